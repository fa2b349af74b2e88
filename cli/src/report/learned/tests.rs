//! The pages of jobs that three parties ran in this process.

use std::sync::Arc;

use haihe_models::table::{Column, Split, Table};
use haihe_protocol::{id::PartyId, job::JobSpec};
use haihe_simulations::{
    detection::compare,
    simulation::{Federation, Outcome, SimulationOptions},
};

use super::{
    super::tests::check,
    data::{Bars, Flagged, LearnedReport, Learnt, Note, Reports, SetReport, Silo},
    render, render_all,
};
use crate::{
    evidence,
    leaks::{Circumstances, Verdict},
};

/// A column's name is the only text of a party that gets into a page.
const HOSTILE: &str = "paid <b>&\"'";

const JOB: &str = "[job]\nname = \"<i>NAME\"\nparties = [\"bj\", \"he\", \"tj\"]\n[data]\nview = \"firms\"\nkey = \"id\"\nlabel = \"bad\"\n\
                   split = { column = \"set\" }\n\
                   columns = [{ name = HOSTILE, kind = \"numeric\" }, { name = \"age\", kind = \"numeric\" }]\n";
const NETWORK: &str = "[network]\nmodel = { kind = \"mlp\", hidden = [4] }\n[network.rounds]\nmost = 3\n[network.personal]\nhead = true\n\
                       [network.evaluation]\ncells = 50\nvalidation_cells = 20\nper_party = true\n";
const TAILS: &str = "[anomaly]\npopulation = \"good\"\nper_party = true\n[anomaly.tails]\ncells = 16\n";
const FOREST: &str = "[anomaly.forest]\ntrees = 5\nsample = 32\n";
const AUTOENCODER: &str =
    "[anomaly.autoencoder]\nmodel = { kind = \"autoencoder\", hidden = [1] }\n[anomaly.autoencoder.rounds]\nmost = 3\n";

fn job(method: &str) -> String {
    let hostile = serde_json::to_string(HOSTILE).expect("a string");
    format!("{JOB}{method}").replace("HOSTILE", &hostile)
}

/// 400 firms: the more debt, the worse; a bad one is strange.
fn table(spec: &JobSpec, seed: u64) -> Arc<Table> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let (mut debt, mut age, mut label, mut split) = (vec![], vec![], vec![], vec![]);
    for row in 0..400 {
        let (d, a) = (uniform(), uniform());
        let bad = uniform() < 0.1 + 0.2 * d;
        label.push(bad);
        debt.push(if bad { d + 2.0 * uniform() } else { d });
        age.push(a);
        split.push(if row % 4 == 3 { Split::Test } else { Split::Train });
    }
    let columns = vec![Column::Numeric(debt), Column::Numeric(age)];
    Arc::new(Table { specs: spec.data.columns.clone(), columns, label, split, firms: None })
}

fn tables(spec: &JobSpec) -> Vec<(PartyId, Arc<Table>)> {
    spec.job.parties.iter().zip(1..).map(|(p, seed)| (p.clone(), table(spec, seed))).collect()
}

fn outcome(toml: &str) -> Outcome {
    let spec = JobSpec::parse(toml).expect("a job");
    let federation = Federation::new(toml, tables(&spec), SimulationOptions::new(7)).expect("a federation");
    federation.run(|_| {}).expect("a result")
}

fn report(outcome: &Outcome, measured: bool) -> LearnedReport {
    let circumstances = Circumstances {
        federation: haihe_simulations::simulation::pki::FEDERATION,
        scheme: "lattice",
        traffic: measured.then_some(&outcome.traffic),
        noise: None,
        sums: measured.then_some(&outcome.sums),
    };
    evidence::learned::report(&outcome.journal, &circumstances, |_| Default::default(), Vec::new()).expect("a report")
}

fn step<'a>(report: &'a LearnedReport, name: &str) -> &'a crate::leaks::StepLeak {
    report.leaks.steps.iter().find(|s| s.step == name).unwrap_or_else(|| panic!("no step {name}"))
}

fn bilingual(report: &LearnedReport) {
    let leaks = &report.leaks;
    let texts = leaks.classes.iter().flat_map(|c| [&c.route, &c.receiver, &c.outsider, &c.protected_by]);
    let texts = texts.chain(leaks.collusions.iter().flat_map(|c| [&c.who, &c.can, &c.cannot])).chain(&leaks.remarks);
    for text in texts.chain(leaks.steps.iter().flat_map(|s| [&s.holds, &s.infers])) {
        assert!(!text.en.is_empty() && text.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{text:?}");
        for word in ["scorecard", "Hessian", "present coefficients"] {
            assert!(!text.en.contains(word), "{word} in a job without one: {}", text.en);
        }
    }
}

#[test]
fn a_network_has_a_page_and_a_leak_report_that_names_its_updates() {
    let outcome = outcome(&job(NETWORK));
    assert!(evidence::learned::is_learned(&outcome.journal));
    let report = report(&outcome, true);
    let html = render(&report);
    check(&html);
    for text in ["Loss by round", "AUC by round", "Calibration", "own customers", "own last layer", "2 → 4 → 1 relu"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("<i>") && !html.contains("Was it worth it"));
    for section in ["set-0", "traffic", "privacy", "notes"] {
        assert!(
            html.contains(&format!("<section id=\"{section}\">")) && html.contains(&format!("href=\"#{section}\""))
        );
    }
    let steps: Vec<&str> = report.leaks.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(steps, ["profile", "label_counts", "train", "evaluation"]);
    let train = step(&report, "train");
    assert_eq!(train.sums, 4);
    assert!(train.holds.en.contains("model updates") && train.holds.en.contains("16 bits"), "{}", train.holds.en);
    assert!(train.infers.en.contains("last layer of each party is in no sum"), "{}", train.infers.en);
    assert!(report.leaks.rule.per_party && report.leaks.remarks.iter().any(|r| r.en.contains("trained alone")));
    let of = |key: &str| report.leaks.collusions.iter().find(|c| c.key == key).expect("a row");
    assert!(of("all_but_one").can.en.contains("rows can be reconstructed in part"));
    assert!(of("participant").can.en.contains("model updates"));
    let rows = ["all_but_one", "coordinator_and_answers", "coordinator"].map(|key| of(key).rows);
    assert_eq!(rows, [Verdict::Partly, Verdict::Partly, Verdict::No]);
    let closed = report.leaks.classes.iter().find(|c| c.class == "closed round (M5)").expect("rounds were closed");
    assert!(closed.receiver.en.contains("tensor by tensor"), "{}", closed.receiver.en);
    bilingual(&report);
    let Learnt::Network(facts) = &report.learnt else { panic!("a network") };
    assert_eq!((facts.evaluation.per_party.len(), facts.training.history.len()), (3, 4));
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<LearnedReport>(&json).expect("read again"), report);
}

#[test]
fn every_anomaly_method_has_a_page() {
    for (method, name, steps) in [
        (TAILS, "Tails (ECOD)", &["profile", "label_counts", "evaluation", "drivers"][..]),
        (FOREST, "Isolation forest", &["profile", "label_counts", "grow", "evaluation", "drivers"]),
        (AUTOENCODER, "Autoencoder", &["profile", "label_counts", "train", "evaluation", "drivers"]),
    ] {
        let outcome = outcome(&job(method));
        let report = report(&outcome, true);
        let html = render(&report);
        check(&html);
        assert!(html.contains(name) && html.contains("paid &lt;b&gt;") | html.contains("paid &#60;b&#62;"), "{name}");
        assert!(!html.contains(HOSTILE) && html.contains("anomalies.csv"), "{name}");
        assert_eq!(html.contains("Loss by round"), name == "Autoencoder");
        let found: Vec<&str> = report.leaks.steps.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(found, steps, "{name}");
        assert!(step(&report, "evaluation").small_cells.is_some_and(|c| c.single > 0), "{name}");
        assert!(step(&report, "label_counts").small_cells.is_some(), "{name}");
        assert_eq!(step(&report, "label_counts").smallest_published.is_some(), name == "Tails (ECOD)");
        bilingual(&report);
        // From the journal alone nobody counted the cells of sums.
        let public = self::report(&outcome, false);
        assert!(step(&public, "label_counts").infers.en.contains("not counted"), "{name}");
    }
}

#[test]
fn a_demonstration_compares_and_shows_what_each_party_sees() {
    let toml = job(TAILS);
    let (spec, outcome) = (JobSpec::parse(&toml).expect("a job"), outcome(&toml));
    let mut report = report(&outcome, false);
    let result = outcome.result.anomaly().expect("an anomaly model");
    let comparison = compare(&spec, result, &tables(&spec)).expect("a comparison");
    let published = result.test.ranking.as_ref().expect("both classes").auc;
    assert!((comparison.federated.auroc - published).abs() < 1e-12, "{comparison:?}");
    assert_eq!(
        comparison.federated, comparison.pooled,
        "tails follow from counts: where the rows lie makes no difference"
    );
    assert_eq!((comparison.alone.len(), comparison.test_rows), (3, 300));
    if let Learnt::Anomaly(facts) = &mut report.learnt {
        facts.comparison = Some(comparison);
    }
    let party = spec.job.parties[0].clone();
    report.flagged = vec![Flagged {
        party: party.clone(),
        key: "firm <7>".to_owned(),
        split: "test".to_owned(),
        score: 12.5,
        warning: "critical".to_owned(),
        drivers: "age 80%; debt 20%".to_owned(),
        bad: Some(true),
    }];
    let note = |en: &str| Note { en: en.to_owned(), zh: String::new() };
    let silos = vec![Silo { party, train: 300, train_bad: 40, test: 100, test_bad: 12 }];
    let set = |key: &str| SetReport {
        key: key.to_owned(),
        title: note(key),
        silos: silos.clone(),
        jobs: vec![report.clone()],
    };
    let html = render_all(&Reports {
        title: note("two sets"),
        sets: vec![set("one"), set("two")],
        notes: vec![note("beware")],
    });
    check(&html);
    for text in ["Was it worth it", "bj alone", "only the party itself sees its own", "age 80 %", "beware", "<details"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("firm <7>"));
}

#[test]
fn bars_lose_no_row() {
    use haihe_models::anomaly::AnomalyGrid;
    let scores: Vec<f64> = (0..2000).map(|i| 0.001 + f64::from(i * i) / 1e5).chain([0.0, 1e9]).collect();
    let bad: Vec<bool> = (0..scores.len()).map(|i| i % 7 == 0).collect();
    let bars = Bars::of(&AnomalyGrid::histogram(&scores, &bad).expect("scores"));
    assert_eq!(bars.good.iter().chain(&bars.bad).sum::<f64>(), scores.len() as f64);
    assert_eq!((bars.good.len(), bars.bad.len()), (bars.ends.len() - 1, bars.ends.len() - 1));
    assert!(bars.ends.windows(2).all(|e| e[0] < e[1]) && bars.good.len() <= 40, "{:?}", bars.ends);
}
