//! `haihe model` on files as jobs leave them: real results of small jobs, learned in the clear.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use haihe_models::{
    anomaly::Driver,
    binning::BinningOptions,
    export::scorecard_json,
    files::{ModelCard, weights},
    grid::{grids, label_counts, profile},
    network::{Architecture, Channel, Encoder, EncodingOptions, Learner as _, Plain, learner},
    table::{Column, ColumnKind, ColumnSpec, Split, Table},
};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    horizontal::JobResult,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::{Entry, Event},
};
use haihe_simulations::twin;
use serde_json::Value;

const HEAD: &str = r#"
[job]
name = "north"
parties = ["bj", "he", "tj"]
[data]
view = "firms"
key = "code"
label = "bad"
split = { column = "set" }
columns = [
  { name = "turnover", kind = "numeric" },
  { name = "debt", kind = "numeric" },
  { name = "sector", kind = "categorical", levels = ["farm", "trade", "works"] },
]
"#;
const NETWORK: &str = r#"
[network]
model = { kind = "mlp", hidden = [6], activation = "tanh" }
training = { rate = 0.1, batch_rows = 32 }
rounds = { most = 4 }
"#;
const AUTOENCODER: &str = r#"
[anomaly.autoencoder]
model = { kind = "autoencoder", hidden = [3] }
rounds = { most = 3 }
"#;
const ROWS: usize = 400;

fn haihe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haihe")).args(arguments).output().expect("the tool runs")
}

fn said(arguments: &[&str]) -> String {
    let output = haihe(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn refused(arguments: &[&str]) -> String {
    let output = haihe(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let text = said(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// Numbers from 0 to 1 that look random: the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Rows of one party: firms with much debt, and works, go bad.
fn rows(specs: &[ColumnSpec], seed: u64) -> Table {
    let mut numbers = Numbers(seed);
    let (mut turnover, mut debt, mut sector) = (Vec::new(), Vec::new(), Vec::new());
    let (mut label, mut split) = (Vec::new(), Vec::new());
    for row in 0..ROWS {
        let owed = 5.0 * numbers.next() * numbers.next();
        let level = (numbers.next() * 5.0) as u32;
        turnover.push(if numbers.next() < 0.1 { f64::NAN } else { (6.0 * numbers.next()).exp() });
        debt.push(owed);
        sector.push(level);
        label.push(numbers.next() < 0.1 + 0.15 * owed + if level == 2 { 0.15 } else { 0.0 });
        split.push(if row % 4 == 0 { Split::Test } else { Split::Train });
    }
    let columns = vec![Column::Numeric(turnover), Column::Numeric(debt), Column::Categorical(sector)];
    Table { specs: specs.to_vec(), columns, label, split, firms: None }
}

/// The rows as a file, without label and split; columns in another order than the job's.
fn csv(table: &Table) -> String {
    let mut text = "code,sector,debt,turnover\n".to_owned();
    let [Column::Numeric(turnover), Column::Numeric(debt), Column::Categorical(sector)] = table.columns.as_slice()
    else {
        panic!("other columns")
    };
    for row in 0..table.rows() {
        let sector = ["farm", "trade", "works", "mines", ""][sector[row] as usize];
        let turnover = if turnover[row].is_nan() { String::new() } else { turnover[row].to_string() };
        writeln!(text, "firm {row},{sector},{},{turnover}", debt[row]).expect("text");
    }
    text
}

/// A folder with the files of one job.
struct Folder {
    folder: tempfile::TempDir,
    toml: String,
    result: JobResult,
    table: Table,
}

impl Folder {
    /// Runs a job and writes `result.json`, `journal.jsonl` and `rows.csv`.
    fn of(kind: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let toml = format!("{HEAD}{kind}");
        let (result, table) = learned(&toml);
        let json = match &result {
            JobResult::Scorecard(result) => serde_json::to_string(result),
            JobResult::Network(result) => serde_json::to_string(result),
            JobResult::Anomaly(result) => serde_json::to_string(result),
        };
        let json = json.expect("JSON");
        fs::write(folder.path().join("result.json"), &json).expect("written");
        fs::write(folder.path().join("rows.csv"), csv(&table)).expect("written");
        let end = Event::JobFinished { result: Digest::of_content(json.as_bytes()), result_json: json };
        journal(&folder.path().join("journal.jsonl"), &toml, &[end]);
        Folder { folder, toml, result, table }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path").to_owned()
    }

    /// The rows of a CSV file that `haihe model score` prints.
    fn scores(&self, model: &str) -> Vec<Vec<String>> {
        let text = said(&["model", "score", &self.path(model), "--data", &self.path("rows.csv"), "--key", "code"]);
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }
}

fn learned(toml: &str) -> (JobResult, Table) {
    let spec = JobSpec::parse(toml).unwrap_or_else(|p| panic!("{p:?} in {toml}"));
    let tables: Vec<(PartyId, Arc<Table>)> =
        (1..).zip(&spec.job.parties).map(|(seed, p)| (p.clone(), Arc::new(rows(&spec.data.columns, seed)))).collect();
    let result = twin::learn(&spec, &tables, |_| {}).expect("a result");
    (result, tables[0].1.as_ref().clone())
}

fn journal(path: &Path, toml: &str, end: &[Event]) {
    let opened = Timestamp(1_772_357_400_000);
    let opening = Event::JobOpened {
        job: JobId::of(toml, opened),
        toml: toml.to_owned(),
        by: "operator".to_owned(),
        deadline: opened,
    };
    let (mut entries, mut tip) = (Vec::new(), Entry::genesis());
    for (sequence, event) in (0..).zip([&opening].into_iter().chain(end)) {
        let entry = Entry::after(&tip, sequence, opened.plus_seconds(sequence), event);
        tip = entry.digest;
        entries.push(entry);
    }
    haihe_cli::audit::write(path, &entries).expect("written");
}

#[test]
fn a_network_goes_from_its_journal_to_its_other_formats() {
    let job = Folder::of(NETWORK);
    let (from_journal, onnx) = (job.path("model.safetensors"), job.path("model.onnx"));
    said(&["model", "export", &job.path("journal.jsonl"), "--to", "safetensors", "--out", &from_journal]);
    said(&["model", "export", &from_journal, "--to", "onnx", "--out", &onnx]);
    let (card, parameters) = weights::read(&fs::read(&from_journal).expect("a file")).expect("a model");
    let network = &job.result.network().expect("a network").network;
    assert_eq!(parameters, network.parameters);
    assert_eq!((card.name.as_str(), card.created.as_str()), ("north", "2026-03-01T09:30:01Z"));
    assert_eq!(card.parties, ["bj", "he", "tj"]);
    assert_eq!(card.rounds as usize, network.history.len());
    assert!(fs::read(&onnx).expect("a file").windows(5).any(|bytes| bytes == b"north"));

    let text = said(&["model", "show", &from_journal]);
    for expected in ["mlp: ", "tanh", "test AUC", "bj, he, tj", "turnover=missing", "3 levels", "limits"] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    assert_eq!(text, said(&["model", "show", &job.path("journal.jsonl")]));
    let shown = json(&["model", "show", &from_journal]);
    assert_eq!(shown["card"]["job"], card.job);
    assert_eq!(shown["columns"][2]["column"]["name"], "sector");

    // A result alone does not say its job: with the card beside it, it does.
    let named = job.path("named.safetensors");
    let result = job.path("result.json");
    said(&[
        "model",
        "export",
        &result,
        "--to",
        "safetensors",
        "--out",
        &named,
        "--name",
        "by hand",
        "--federation",
        "j",
    ]);
    let (by_hand, _) = weights::read(&fs::read(&named).expect("a file")).expect("a model");
    assert_eq!((by_hand.name.as_str(), by_hand.federation.as_str(), by_hand.job.as_str()), ("by hand", "j", ""));
    said(&["model", "export", &from_journal, "--to", "json", "--out", &job.path("model-card.json")]);
    assert_eq!(json(&["model", "show", &result])["card"]["job"], card.job);

    let error = refused(&["model", "export", &from_journal, "--to", "pmml", "--out", &job.path("x")]);
    assert!(error.contains("a credit network") && error.contains("safetensors or --to onnx or --to json"), "{error}");
    assert!(!Path::new(&job.path("x")).exists());
}

#[test]
fn two_networks_are_compared_by_tensor_encoder_and_figure() {
    let job = Folder::of(NETWORK);
    let other = Folder::of(&NETWORK.replace("most = 4", "most = 2"));
    let (a, b) = (job.path("journal.jsonl"), other.path("journal.jsonl"));
    let same = json(&["model", "compare", &a, &job.path("result.json")]);
    assert_eq!(same["comparison"]["all"]["max_abs"], 0.0);
    let different = json(&["model", "compare", &a, &b]);
    assert_eq!(different["comparison"]["same_encoder"], true);
    assert!(different["comparison"]["all"]["relative_l2"].as_f64().is_some_and(|d| d > 1e-3), "{different}");
    let text = said(&["model", "compare", &a, &b]);
    for expected in ["layers.0.weight", "test AUC", "cosine", "encoder  the same"] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    let scorecard = Folder::of("[scorecard]\n");
    let error = refused(&["model", "compare", &a, &scorecard.path("result.json")]);
    assert!(error.contains("a credit network") && error.contains("a scorecard"), "{error}");
}

#[test]
fn scores_equal_those_of_a_participant() {
    let job = Folder::of(NETWORK);
    let network = &job.result.network().expect("a network").network;
    let all: Vec<usize> = (0..ROWS).collect();
    let examples = network.encoder.encode(&job.table, &all).expect("encoded");
    let mut participant = learner(Default::default(), network.architecture.clone()).expect("a learner");
    let expected = participant.predict(&network.parameters, &examples).expect("scores");
    for model in ["result.json", "journal.jsonl"] {
        let scores = job.scores(model);
        assert_eq!(scores[0], ["key", "log_odds", "probability_of_bad"]);
        assert_eq!(scores.len(), ROWS + 1);
        for (row, (line, expected)) in scores[1..].iter().zip(&expected).enumerate() {
            assert_eq!(line[0], format!("firm {row}"));
            assert_eq!(line[1].parse::<f32>().expect("a number").to_bits(), expected.to_bits(), "row {row}");
            let probability: f64 = line[2].parse().expect("a number");
            assert!((probability - 1.0 / (1.0 + (-f64::from(*expected)).exp())).abs() < 1e-12);
        }
    }
    let (out, data) = (job.path("scores.jsonl"), job.path("rows.csv"));
    let to_file = ["model", "score", &job.path("result.json"), "--data", &data, "--key", "code", "--out", &out];
    assert_eq!(json(&to_file)["rows"], ROWS);
    let lines = fs::read_to_string(&out).expect("a file");
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["key"], first["log_odds"].as_f64().map(|x| x as f32)), (&"firm 0".into(), Some(expected[0])));
}

#[test]
fn all_missing_columns_are_named() {
    let job = Folder::of(NETWORK);
    let (model, data) = (job.path("result.json"), job.path("other.csv"));
    fs::write(&data, "code,Debt,sector\na,1,farm\n").expect("written");
    let error = refused(&["model", "score", &model, "--data", &data, "--key", "code"]);
    assert!(
        error.contains("reads turnover, debt, which the data do not have; they have code, Debt, sector"),
        "{error}"
    );
    let error = refused(&["model", "score", &model, "--data", &job.path("rows.csv"), "--key", "debt"]);
    assert!(error.contains("--key names \"debt\""), "{error}");
    let error = refused(&["model", "score", &model, "--data", &job.path("no.csv"), "--key", "code"]);
    assert!(error.contains("no.csv"), "{error}");
}

#[test]
fn an_lstm_is_applied_without_libtorch() {
    let months: Vec<String> = (1..=4).map(|month| format!("sales {month}")).collect();
    let numeric = |name: &String| ColumnSpec { name: name.clone(), kind: ColumnKind::Numeric };
    let specs: Vec<ColumnSpec> = months.iter().map(numeric).chain([numeric(&"debt".to_owned())]).collect();
    let mut numbers = Numbers(7);
    let mut column = |_: &ColumnSpec| {
        Column::Numeric((0..ROWS).map(|_| if numbers.next() < 0.2 { f64::NAN } else { numbers.next() }).collect())
    };
    let columns = specs.iter().map(&mut column).collect();
    let label = (0..ROWS).map(|row| row % 3 == 0).collect();
    let table = Table { specs: specs.clone(), columns, label, split: vec![Split::Train; ROWS], firms: None };
    let cells = grids(&specs, &profile(&table, Split::Train).expect("a profile"), 32).expect("grids");
    let counts = label_counts(&table, &cells).expect("counts");
    let series = vec![Channel { name: "sales".to_owned(), columns: months }];
    let options = EncodingOptions { series, ..EncodingOptions::default() };
    let encoder = Encoder::learn(&specs, &cells, &counts, &options, &BinningOptions::default()).expect("an encoder");
    let (steps, channels, statics) = encoder.series().expect("a series");
    let architecture = Architecture::Lstm { steps, channels, statics, hidden: 5, head: vec![4] };
    let parameters = architecture.initial(3);
    let card = ModelCard {
        encoder: Some(encoder.clone()),
        ..ModelCard::new("series", architecture.clone(), "2026-03-01T09:30:00Z")
    };
    let folder = tempfile::tempdir().expect("temporary folder");
    let (model, data) = (folder.path().join("model.safetensors"), folder.path().join("rows.csv"));
    fs::write(&model, weights::write(&card, &parameters).expect("a file")).expect("written");
    let mut text = "debt,sales 4,sales 3,sales 2,sales 1,code\n".to_owned();
    for row in 0..ROWS {
        for column in table.columns.iter().rev() {
            let Column::Numeric(values) = column else { panic!("a number") };
            let value = if values[row].is_nan() { String::new() } else { values[row].to_string() };
            write!(text, "{value},").expect("text");
        }
        writeln!(text, "{row}").expect("text");
    }
    fs::write(&data, text).expect("written");
    let all: Vec<usize> = (0..ROWS).collect();
    let expected = Plain::forward_only(architecture)
        .and_then(|mut plain| plain.predict(&parameters, &encoder.encode(&table, &all).expect("encoded")))
        .expect("scores");
    let path = |path: &PathBuf| path.to_str().expect("a path").to_owned();
    let scores = said(&["model", "score", &path(&model), "--data", &path(&data), "--key", "code"]);
    let scores: Vec<f32> =
        scores.lines().skip(1).map(|l| l.split(',').nth(1).expect("a field").parse().expect("a number")).collect();
    assert_eq!(scores, expected);
    let text = said(&["model", "show", &path(&model)]);
    assert!(text.contains("lstm: 4 steps of") && text.contains("a series of 4 steps"), "{text}");
}

#[test]
fn anomalies_are_those_that_a_participant_flags() {
    for (kind, model) in [
        (AUTOENCODER, "result.json"),
        ("[anomaly.tails]\n", "result.json"),
        ("[anomaly.forest]\ntrees = 20\n", "journal.jsonl"),
    ] {
        let job = Folder::of(kind);
        let result = job.result.anomaly().expect("an anomaly model");
        let all: Vec<usize> = (0..ROWS).collect();
        let expected = result.model.score(&job.table, &all).expect("scores");
        let flagged = result.flag(&job.table, &all, 3).expect("flagged");
        let scores = job.scores(model);
        assert_eq!(scores[0], ["key", "score", "warning", "drivers"]);
        let mut warned = 0;
        for (row, (line, expected)) in scores[1..].iter().zip(&expected).enumerate() {
            assert_eq!(line[1].parse::<f64>().expect("a number").to_bits(), expected.to_bits(), "{kind} row {row}");
            let flag = flagged.iter().find(|f| f.row == row);
            let warning = flag.map_or("none".to_owned(), |f| format!("{:?}", f.warning).to_lowercase());
            let name = |d: &Driver| format!("{} {:.0}%", job.table.specs[d.column].name, 100.0 * d.share);
            let drivers: Vec<String> = flag.iter().flat_map(|f| &f.drivers).map(name).collect();
            assert_eq!(line[2..], [warning, drivers.join("; ")], "{kind} row {row}");
            warned += usize::from(flag.is_some());
        }
        assert!(warned > 0, "{kind}");
        let text = said(&["model", "show", &job.path("journal.jsonl")]);
        for expected in ["north", "general", "serious", "critical", "test AUROC", "sector", "turnover"] {
            assert!(text.contains(expected), "{kind}: {expected:?} is missing in\n{text}");
        }
        let shown = json(&["model", "show", &job.path("journal.jsonl")]);
        if kind == AUTOENCODER {
            said(&["model", "export", &job.path(model), "--to", "onnx", "--out", &job.path("m.onnx")]);
            assert!(shown["card"]["thresholds"]["serious"].is_number(), "{shown}");
        } else {
            assert_eq!(shown["method"], result.model.method());
            let error = refused(&["model", "export", &job.path(model), "--to", "onnx", "--out", &job.path("m.onnx")]);
            assert!(error.contains("choose --to json"), "{error}");
            let again = job.path("again.json");
            said(&["model", "export", &job.path(model), "--to", "json", "--out", &again]);
            assert_eq!(json(&["model", "show", &again])["thresholds"], shown["thresholds"]);
        }
    }
}

#[test]
fn a_forest_without_its_job_does_not_know_the_levels() {
    let job = Folder::of("[anomaly.forest]\ntrees = 5\n");
    let error =
        refused(&["model", "score", &job.path("result.json"), "--data", &job.path("rows.csv"), "--key", "code"]);
    assert!(error.contains("journal.jsonl instead"), "{error}");
    assert!(said(&["model", "show", &job.path("result.json")]).contains("forest: 5 trees"));
}

#[test]
fn a_scorecard_has_its_formats_too() {
    let job = Folder::of("[scorecard]\n");
    let card = &job.result.scorecard().expect("a scorecard").scorecard;
    let path = job.path("scorecard.json");
    fs::write(&path, scorecard_json(card).expect("JSON")).expect("written");
    let export = |to: &[&str]| {
        let out = job.path("out");
        said(&[&["model", "export", &path, "--out", &out, "--to"], to].concat());
        fs::read_to_string(&out).expect("a file")
    };
    assert!(export(&["pmml"]).contains("<Scorecard modelName=\"scorecard\""));
    assert!(export(&["pmml", "--as", "regression", "--name", "r"]).contains("<RegressionModel modelName=\"r\""));
    assert!(export(&["csv"]).starts_with("variable,bin,good"));
    assert_eq!(export(&["json"]), fs::read_to_string(&path).expect("a file"));
    let error = refused(&["model", "export", &path, "--to", "csv", "--as", "regression", "--out", &job.path("x")]);
    assert!(error.contains("--to pmml only"), "{error}");
    assert!(refused(&["model", "export", &path, "--to", "onnx", "--out", &job.path("x")]).contains("--to pmml or"));
    let text = said(&["model", "show", &path]);
    assert!(text.contains("base points") && text.contains("debt"), "{text}");
    let scores = job.scores("scorecard.json");
    assert_eq!(scores[0], ["key", "points", "probability_of_bad", "score", "tier", "warning"]);
    let bound = card.bind(&job.table).expect("bound");
    for (row, line) in scores[1..].iter().enumerate() {
        let found = bound.assess(row).expect("a row");
        assert_eq!(line[1], found.points.to_string(), "row {row}");
        assert_eq!(line[2].parse(), Ok(found.probability_of_default), "row {row}");
    }
    let other = Folder::of("[scorecard]\nbinning = { max_bins = 2 }\n");
    let both = json(&["model", "compare", &path, &other.path("journal.jsonl")]);
    assert_eq!(both["variables"][0]["same_bins"], false, "{both}");
    let same = json(&["model", "compare", &path, &job.path("result.json")]);
    assert_eq!(same["variables"][0]["points_apart"], 0, "{same}");
    assert!(said(&["model", "compare", &path, &job.path("result.json")]).contains("the same, points up to 0 apart"));
}

#[test]
fn a_job_begins_with_an_earlier_network() {
    for kind in [NETWORK, AUTOENCODER] {
        let job = Folder::of(kind);
        let table = said(&["model", "start", &job.path("result.json")]);
        let toml = format!("{}{table}", job.toml);
        let before = job.result.learned().expect("a network");
        let (after, _) = learned(&toml);
        let after = after.learned().expect("a network").clone();
        assert_eq!(after.encoder, before.encoder);
        let loss = |round: Option<&haihe_protocol::horizontal::network::RoundFigures>| {
            round.map(|r| r.validation_loss).expect("a round")
        };
        // The first round measures the network that it begins with, which is the best of the job before.
        let best = before.history.iter().find(|r| r.number == before.best_round);
        assert!((loss(after.history.first()) - loss(best)).abs() < 1e-6, "{kind}");

        let other = toml.replace("hidden = [6]", "hidden = [5]").replace("hidden = [3]", "hidden = [2]");
        let problems = format!("{:?}", JobSpec::parse(&other).expect_err("another network"));
        assert!(problems.contains("were given"), "{problems}");
        let other = toml.replacen("name = \"debt\"", "name = \"debts\"", 1);
        let problems = format!("{:?}", JobSpec::parse(&other).expect_err("other columns"));
        assert!(problems.contains("reads") && problems.contains("debt"), "{problems}");
    }
    let scorecard = Folder::of("[scorecard]\n");
    let error = refused(&["model", "start", &scorecard.path("journal.jsonl")]);
    assert!(error.contains("a scorecard: a job can begin with a network only"), "{error}");
}

#[test]
fn files_without_a_model_are_told_apart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    let show = |name: &str| refused(&["model", "show", at(name).to_str().expect("a path")]);
    fs::write(at("rows.csv"), "code,debt\n1,2\n").expect("written");
    fs::write(at("other.json"), "{\"a\": 1}").expect("written");
    fs::write(at("empty"), "").expect("written");
    fs::write(at("binary"), [0xff; 100]).expect("written");
    for name in ["rows.csv", "other.json", "empty", "binary"] {
        assert!(show(name).contains("none of the files with a model"), "{name}: {}", show(name));
    }
    assert!(show("missing").contains("cannot read"));
    let here = folder.path().to_str().expect("a path");
    assert!(refused(&["model", "show", here]).contains("is a folder"));

    let card = ModelCard::new("m", Architecture::Logistic { inputs: 2 }, "2026-03-01T09:30:00Z");
    fs::write(at("card.json"), card.to_json().expect("JSON")).expect("written");
    assert!(show("card.json").contains("model card alone"), "{}", show("card.json"));
    let bytes = weights::write(&card, &[0.5, 0.25, -1.0]).expect("bytes");
    fs::write(at("half.safetensors"), &bytes[..bytes.len() - 4]).expect("written");
    assert!(show("half.safetensors").contains("not a whole safetensors file"), "{}", show("half.safetensors"));
    fs::write(at("plain.safetensors"), &bytes).expect("written");
    let plain = at("plain.safetensors");
    let plain = plain.to_str().expect("a path");
    assert!(said(&["model", "show", plain]).contains("No encoder: the network takes 2 encoded numbers"));
    for arguments in [&["start", plain][..], &["score", plain, "--data", "x.csv", "--key", "k"]] {
        let error = refused(&[&["model"], arguments].concat());
        assert!(error.contains("the model card has no encoder"), "{error}");
    }

    let toml = format!("{HEAD}{NETWORK}");
    journal(&at("open.jsonl"), &toml, &[]);
    assert!(show("open.jsonl").contains("not finished"), "{}", show("open.jsonl"));
    journal(&at("failed.jsonl"), &toml, &[Event::JobFailed { reason: "nobody came".to_owned() }]);
    assert!(show("failed.jsonl").contains("learned nothing: nobody came"), "{}", show("failed.jsonl"));
    let text = fs::read_to_string(at("failed.jsonl")).expect("a file");
    fs::write(at("altered.jsonl"), text.replace("nobody came", "nobody cared")).expect("written");
    assert!(show("altered.jsonl").contains("journal entry 1 was altered"), "{}", show("altered.jsonl"));
}
