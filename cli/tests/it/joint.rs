//! The joint demo as its users start it; and what they are told when an input is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use haihe_cli::{
    client::Operator,
    pki::Role,
    town::{Process, Town},
};
use haihe_models::firm::UnifiedSocialCreditCode;
use haihe_protocol::{id::PartyId, job::JobSpec};
use serde_json::Value;

const LINE: &str = "finished model, over a line of 1gbit,1ms each way: ";
const LIMIT: Duration = Duration::from_secs(120);

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_joint_demo_equals_the_pooled_model_and_scores_without_a_party() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().join("joint");
    let path = out.to_str().expect("a path");
    let output = Command::new(env!("CARGO_BIN_EXE_haihe"))
        .args(["demo", "joint", "--keep", "--line", "1gbit,1ms", "--out", path])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(&read(&out.join("summary.json"))).expect("JSON");
    let auc = |model: &str| summary["models"][model]["auc"].as_f64().expect("an AUC");
    assert!((auc("joint") - auc("pooled")).abs() < 0.002, "{summary}");
    assert!(auc("joint") > auc("bank alone") + 0.02, "{summary}");
    assert!(summary["max_coefficient_difference"].as_f64().expect("a difference") < 1e-3, "{summary}");
    assert_eq!((&summary["scores_bit_equal"], &summary["rows_sent"]), (&true.into(), &0.into()));
    assert_eq!(summary["common_firms"], 5528);
    // Each exchange takes a round trip of the line, at least.
    let (least, learning) =
        (summary["exchanges"].as_u64().expect("exchanges") as f64 * 0.002, &summary["learning_seconds"]);
    assert!(summary["line"] == "1gbit,1ms" && learning.as_f64().is_some_and(|s| s > least), "{summary}");
    let [with, without] = [&summary["scorings"][0], &summary["scorings"][1]];
    assert_eq!((&with["scored"], &without["without"][0]), (&5528.into(), &"core".into()));
    assert!(without["scored"].as_u64() > with["scored"].as_u64(), "firms that only core lacks are scored too");
    for text in ["bank alone", "bank + tax", "all 3 jointly", "pooled *", "byte for byte", "scored without core", LINE]
    {
        assert!(said.contains(text), "{text:?} is missing in:\n{said}");
    }
    for party in ["bank", "tax", "core"] {
        let card = read(&out.join(format!("scorecard-{party}.csv")));
        assert!(card.starts_with("variable,bin,") && card.lines().count() > 10, "{party}: {card}");
        assert_eq!(card.contains("(base)"), party == "bank");
    }

    // From the public journal alone: the same page without anybody's part.
    let page = folder.path().join("page");
    let journal = out.join("journal.jsonl");
    let arguments = ["report", journal.to_str().expect("a path"), "--out", page.to_str().expect("a path")];
    let output = Command::new(env!("CARGO_BIN_EXE_haihe")).args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = read(&page.join("report.html"));
    assert!(html.contains("5,528 firms are at all 3 parties") && !html.contains("class=\"owner\""));
    assert!(read(&out.join("report.html")).contains("class=\"owner\""));
    assert!(!page.join("scorecard-bank.csv").exists());
    let leaks: Value = serde_json::from_str(&read(&page.join("leak-report.json"))).expect("JSON");
    assert_eq!((&leaks["label_holder"], &leaks["numbers"]["common"]), (&"bank".into(), &5528.into()));

    // With the part of one party, as its own people make it from their folder of results.
    let results = |party: &str| {
        let jobs = fs::read_dir(out.join(format!("parties/{party}/state/results"))).expect("results");
        let folders: Vec<PathBuf> = jobs.map(|job| job.expect("a folder").path()).collect();
        folders.into_iter().find(|job| job.join("block.json").exists()).expect("a learning job")
    };
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_haihe")).args(arguments).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (journal, own) = (text(&journal), folder.path().join("own"));
    let (tax, bank) = (results("tax"), results("bank"));
    assert!(run(&["report", &journal, "--part", &text(&tax), "--out", &text(&own)]).0);
    let html = read(&own.join("report.html"));
    assert!(
        html.contains("id=\"owner-tax\"")
            && !html.contains("id=\"owner-bank\"")
            && html.contains("For the people of tax only")
    );
    assert_eq!(read(&own.join("scorecard-tax.csv")), read(&tax.join("scorecard.csv")));
    assert!(bank.join("evaluation.json").exists() && !tax.join("evaluation.json").exists());
    let twice = run(&["report", &journal, "--part", &text(&tax), "--part", &text(&tax), "--out", &text(&own)]);
    assert!(!twice.0 && twice.1.contains("given twice"), "{}", twice.1);
    let (ok, shown) = run(&["model", "show", &text(&tax.join("block.json"))]);
    assert!(ok && shown.contains("tax's part of a joint scorecard") && shown.contains("a13"), "{shown}");
    // What a party gave away is in its ledger: one vector a pass, one for a review that ended without a refit (with one it is
    // the pass), one of the model; then one for each scoring.
    let given = |party: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_haihe")).with_file_name("haihe-participant");
        let config = out.join(format!("parties/{party}/participant.toml"));
        let output = Command::new(program).arg("--config").arg(config).args(["ledger", "--format", "json"]).output();
        let given: Value = serde_json::from_slice(&output.expect("runs").stdout).expect("JSON");
        let jobs = given["score_vectors"].as_array().expect("a list").clone();
        jobs.iter().map(|job| job["vectors"].as_u64().expect("a number")).collect::<Vec<u64>>()
    };
    let reviews = summary["reviews"].as_array().expect("a list");
    let idle = reviews.iter().filter(|review| review["refit"] == false).count() as u64;
    let learned = summary["passes"].as_u64().expect("a number") + idle + 1;
    assert_eq!((given("tax"), given("core")), (vec![learned, 1, 1], vec![learned, 1]));
    assert!(given("bank").is_empty(), "nobody sees scores of the label holder's columns");
    let (ok, refused) = run(&["model", "score", &text(&tax.join("block.json")), "--data", "none.csv", "--key", "uscc"]);
    assert!(!ok && refused.contains("scores no firm alone"), "{refused}");
}

const PARTIES: [&str; 3] = ["bank", "tax", "core"];
const SMALL: &str = r#"
[job]
name = "NAME"
parties = ["bank", "tax", "core"]
[deadlines]
join_seconds = 60
confirm_seconds = 60
round_seconds = 60
[vertical]
label_holder = "bank"
[vertical.alignment]
max_firms = 1000
min_common = 100
[[vertical.holder]]
party = "bank"
view = "firms"
key = "uscc"
label = "y"
columns = [{ name = "debt", kind = "numeric" }]
[[vertical.holder]]
party = "tax"
view = "firms"
key = "uscc"
columns = [{ name = "paid", kind = "numeric" }]
[[vertical.holder]]
party = "core"
view = "firms"
key = "uscc"
columns = [{ name = "turnover", kind = "numeric" }]
"#;

/// Firms `first..first + 300` as a party's file has them.
fn csv(party: &str, first: u32, label: &dyn Fn(u32) -> u8) -> String {
    let head = match party {
        "bank" => "uscc,y,debt",
        "tax" => "uscc,paid",
        _ => "uscc,turnover",
    };
    let row = |n: u32| {
        let code = UnifiedSocialCreditCode::synthetic(130_000, n).expect("a code");
        let x = f64::from(n * 37 % 101);
        if party == "bank" { format!("{code},{},{x}", label(n)) } else { format!("{code},{}", x + f64::from(n % 7)) }
    };
    let rows: Vec<String> = (first..first + 300).map(row).collect();
    format!("{head}\n{}\n", rows.join("\n"))
}

fn mixed(n: u32) -> u8 {
    u8::from(n * 53 % 97 < 30)
}

/// Three parties whose files change between jobs.
struct Stage {
    town: Town,
    url: String,
    data: PathBuf,
    running: Vec<Process>,
}

impl Stage {
    fn new(folder: &Path) -> Self {
        let spec = JobSpec::parse(SMALL).unwrap_or_else(|p| panic!("{p:?}"));
        let roles = [Role::Bank, Role::Government, Role::Enterprise];
        let members: Vec<(PartyId, Role)> = spec.job.parties.iter().cloned().zip(roles).collect();
        let town = Town::build_of(&folder.join("town"), &members).expect("town");
        let (coordinator, url) = town.start_coordinator(None).expect("coordinator starts");
        let mut stage = Self { town, url, data: folder.join("data"), running: vec![coordinator] };
        for party in &spec.job.parties {
            stage.write(party.as_str(), &csv(party.as_str(), 0, &mixed));
            let file = stage.data.join(format!("{party}.csv"));
            let process = stage.town.start_participant(party, &stage.url, &file, &spec).expect("participant starts");
            stage.running.push(process);
        }
        stage
    }

    fn write(&self, party: &str, csv: &str) {
        fs::create_dir_all(&self.data).expect("folder");
        fs::write(self.data.join(format!("{party}.csv")), csv).expect("written");
    }

    /// What the operator is told of a job over these files in the end.
    async fn fails(&self, name: &str, files: [String; 3]) -> String {
        PARTIES.iter().zip(&files).for_each(|(party, csv)| self.write(party, csv));
        let mut operator = Operator::connect(&self.town.operator(&self.url)).await.expect("an operator");
        let job = operator.submit(SMALL.replace("NAME", name)).await.expect("submitted").job_id;
        let since = Instant::now();
        loop {
            let status = operator.status(&job).await.expect("a status");
            if ["finished", "failed", "cancelled"].contains(&status.phase.as_str()) {
                assert_eq!(status.phase, "failed", "{name} was accepted");
                return status.detail;
            }
            assert!(since.elapsed() < LIMIT, "{name} does not end: {status:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// Each mistake as its user makes it: the job ends, and says at whom and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_input_ends_the_job_with_the_party_and_what_to_do() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let stage = Stage::new(folder.path());
    let good = |party: &str| csv(party, 0, &mixed);
    let holds = |said: &str, words: &[&str]| {
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    };
    // The core enterprise has other firms.
    let said = stage.fails("nothing in common", [good("bank"), good("tax"), csv("core", 5000, &mixed)]).await;
    holds(&said, &["bank", "common to all"]);
    // The bank's label is always 0.
    let said = stage.fails("one class", [csv("bank", 0, &|_| 0), good("tax"), good("core")]).await;
    holds(&said, &["bank declined", "label_one_class", "the log of bank says more"]);
    holds(&read(&stage.town.folder("bank").join("log")), &["label column", "widen the view"]);
    // The tax bureau's codes were mistyped: three of them.
    let mistyped = good("tax").replacen("Y0000000", "Y0000009", 1).replacen("Y0000001", "Y0000009", 1);
    let said = stage.fails("bad codes", [good("bank"), mistyped, good("core")]).await;
    holds(&said, &["tax", "key_check"]);
    let log = read(&stage.town.folder("tax").join("log"));
    holds(&log, &["check character", "look the firm's code up"]);
}

#[test]
fn two_label_holders_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("job.toml");
    let two = SMALL.replace("columns = [{ name = \"paid\"", "label = \"y\"\ncolumns = [{ name = \"paid\"");
    fs::write(&file, two).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_haihe"))
        .args(["job", "validate", file.to_str().expect("a path")])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("tax: only the label holder has a label") && said.contains("name one label holder"),
        "{said}"
    );

    fs::write(&file, SMALL).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_haihe"))
        .args(["job", "validate", file.to_str().expect("a path")])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    for text in ["joint_scorecard of 3 columns over 3 parties", "bank has the labels", "label \"y\" and features"] {
        assert!(said.contains(text), "{text:?} is missing in: {said}");
    }
}
