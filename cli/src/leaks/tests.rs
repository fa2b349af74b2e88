//! The table against the wire format, and the report against what a simulated job really sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use haihe_models::table::{Column, Split, Table};
use haihe_protocol::job::JobSpec;
use haihe_simulations::simulation::{Federation, Outcome, SimulationOptions};
use prost::Message as _;

use super::*;

/// A leak report without a journal, for tests of the page.
pub(crate) fn sample(parties: &[PartyId], rounds: &[RoundFacts], result: &ScorecardResult) -> LeakReport {
    let rule = rule(3, 3);
    let scene = Scene {
        parties,
        rule: &rule,
        noise: None,
        encrypted: true,
        learns: Learns::Scorecard,
        floor: 30.0,
        sums: None,
        tag_slots: 3,
    };
    let traffic = |name: &'static str| (name, Traffic { count: 9, bytes: 900 });
    let (classes, unrecorded, absent) =
        classes::leaks(&scene, &["contribution (M2)", "answer (M4)", "join"].map(traffic).into(), None);
    LeakReport {
        format: FORMAT,
        job: "0123456789ab".to_owned(),
        name: "Three banks".to_owned(),
        federation: "jingjinji".to_owned(),
        scheme: "lattice".to_owned(),
        remarks: remarks::remarks(&scene),
        steps: steps::leaks(&scene, rounds, result.into()),
        collusions: collusions::collusions(&scene),
        noise: None,
        classes,
        unrecorded,
        absent,
        parties: parties.to_vec(),
        rule: rule.clone(),
    }
}

fn rule(parties: u32, minimum_contributors: u32) -> Rule {
    Rule {
        parties,
        members: parties,
        privacy_threshold: if parties < 5 { 1 } else { 2 },
        answers_needed: if parties == 3 { 3 } else { parties - 1 },
        minimum_contributors,
        one_sum_per_round: true,
        per_party: true,
        partial_rounds: vec![],
    }
}

fn ids(names: &[&str]) -> Vec<PartyId> {
    names.iter().map(|n| PartyId::new(*n).expect("an id")).collect()
}

const JOB: &str = r#"
[job]
name = "leaks"
parties = PARTIES
MORE
[data]
view = "firms"
key = "id"
label = "bad"
split = { column = "set" }
columns = [{ name = "debt", kind = "numeric" }, { name = "age", kind = "numeric" }]
[scorecard.binning]
fine_cells = 64
[scorecard.evaluation]
cells = 50
"#;

fn job(parties: &[&str], more: &str) -> String {
    JOB.replace("PARTIES", &format!("{parties:?}")).replace("MORE", more)
}

fn table(spec: &JobSpec, seed: u64) -> Arc<Table> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let (mut debt, mut age, mut label, mut split) = (vec![], vec![], vec![], vec![]);
    for row in 0..400 {
        let (d, a) = (uniform(), uniform());
        label.push(uniform() < 0.2 + 0.5 * d - 0.15 * a);
        debt.push(d);
        age.push(a);
        split.push(if row % 4 == 3 { Split::Test } else { Split::Train });
    }
    let columns = vec![Column::Numeric(debt), Column::Numeric(age)];
    Arc::new(Table { specs: spec.data.columns.clone(), columns, label, split, firms: None })
}

fn simulated(toml: &str) -> Outcome {
    let spec = JobSpec::parse(toml).expect("a job");
    let tables = spec.job.parties.iter().zip(1..).map(|(p, seed)| (p.clone(), table(&spec, seed)));
    let tables: Vec<_> = tables.collect();
    Federation::new(toml, tables, SimulationOptions::new(7)).expect("a federation").run(|_| {}).expect("a result")
}

fn report(outcome: &Outcome, measured: bool, noise: Option<Noise>) -> LeakReport {
    let circumstances = Circumstances {
        federation: haihe_simulations::simulation::pki::FEDERATION,
        scheme: &outcome.scheme,
        traffic: measured.then_some(&outcome.traffic),
        noise,
        sums: measured.then_some(&outcome.sums),
    };
    leak_report(&outcome.journal, &outcome.rounds, &outcome.result, &circumstances).expect("a leak report")
}

fn remark(report: &LeakReport, en: &str, zh: &str) -> bool {
    report.remarks.iter().any(|r| r.en.contains(en) && r.zh.contains(zh))
}

#[test]
fn every_message_type_of_the_wire_format_has_one_class() {
    fn walk(prefix: &str, messages: &[prost_types::DescriptorProto], found: &mut BTreeSet<String>) {
        for message in messages {
            let name = format!("{prefix}{}", message.name());
            walk(&format!("{name}."), &message.nested_type, found);
            found.insert(name);
        }
    }
    let files = prost_types::FileDescriptorSet::decode(haihe_proto::DESCRIPTORS).expect("a descriptor set");
    let (mut found, mut services) = (BTreeSet::new(), BTreeSet::new());
    for file in files.file.iter().filter(|f| f.package() == "haihe.federation.v1") {
        walk("", &file.message_type, &mut found);
        services.extend(file.service.iter().map(|s| s.name().to_owned()));
    }
    assert_eq!(services, ["Federation", "Operations"].map(str::to_owned).into());
    let mut classified = BTreeSet::new();
    for class in classes::CLASSES {
        for message in class.messages {
            assert!(classified.insert((*message).to_owned()), "{message} has two classes");
        }
    }
    let without: Vec<_> = found.difference(&classified).collect();
    assert!(without.is_empty(), "no class says what these messages tell: {without:?}");
    let unknown: Vec<_> = classified.difference(&found).collect();
    assert!(unknown.is_empty(), "there are no such messages: {unknown:?}");
    let names: BTreeSet<_> = classes::CLASSES.iter().map(|c| c.name).collect();
    assert_eq!(names.len(), classes::CLASSES.len());
}

#[test]
fn a_simulated_job_has_exactly_the_classes_that_it_sent() {
    let outcome = simulated(&job(&["bj", "he", "tj"], ""));
    let measured = report(&outcome, true, None);
    let sent: BTreeMap<&str, (u64, u64)> = outcome.traffic.iter().map(|(n, t)| (*n, (t.count, t.bytes))).collect();
    let told = |r: &LeakReport| -> BTreeMap<String, (u64, u64)> {
        r.classes.iter().map(|c| (c.class.clone(), (c.count.expect("counted"), c.bytes.expect("counted")))).collect()
    };
    let measured_told = told(&measured);
    assert_eq!(measured_told.iter().map(|(n, t)| (n.as_str(), *t)).collect::<BTreeMap<_, _>>(), sent);
    assert!(measured.unrecorded.is_empty() && measured.classes.iter().all(|c| c.basis == Basis::Measured));
    assert_eq!(measured.classes.len() + measured.absent.len(), classes::CLASSES.len());
    assert!(["decline", "objection", "status"].iter().all(|n| measured.absent.iter().any(|a| a == n)));

    // What the journal gives alone, where nothing was repeated.
    let computed = report(&outcome, false, None);
    let computed_told = told(&computed);
    for class in ["join", "confirmation", "check key", "contribution (M2)", "answer (M4)", "closed round (M5)"] {
        assert_eq!(computed_told[class], sent[class], "{class}");
    }
    assert!(computed.unrecorded.iter().any(|c| c.class == "consistency proof" && c.count.is_none()));
    let size = |told: (u64, u64)| told.1 / told.0;
    assert!(size(computed_told["checkpoint"]).abs_diff(size(sent["checkpoint"])) <= 1);
}

#[test]
fn the_report_reads_in_both_languages() {
    let outcome = simulated(&job(&["bj", "he", "tj"], ""));
    let report = report(&outcome, true, None);
    assert_eq!(report.remarks, vec![]);
    let of = |key: &str| report.collusions.iter().find(|c| c.key == key).expect("a row");
    let all_but_one = of("all_but_one");
    assert_eq!(
        all_but_one.can.en,
        "bj + he, without the coordinator, obtain tj's exact counts by subtraction; \
         bj + tj, without the coordinator, obtain he's exact counts by subtraction; \
         he + tj, without the coordinator, obtain bj's exact counts by subtraction."
    );
    assert!(all_but_one.can.zh.starts_with("bj + he（无需协调方）相减即得 tj 的精确计数；"), "{}", all_but_one.can.zh);
    assert_eq!(all_but_one.coalitions, [ids(&["bj", "he"]), ids(&["bj", "tj"]), ids(&["he", "tj"])]);
    let threshold = of("coordinator_and_threshold");
    assert!(
        threshold.can.en.starts_with(
            "Obtain the sum over the 2 parties that do not collude. For example the coordinator with bj: the sum of he and tj."
        ),
        "{}",
        threshold.can.en
    );
    assert_eq!((threshold.single_party, threshold.sums), (Verdict::No, Verdict::Yes));
    assert_eq!(of("coordinator_and_between").who.zh, "协调方与 2 名委员会成员");
    assert_eq!(of("coordinator_and_answers").who.en, "The coordinator and all 3 members");
    assert!(report.collusions.iter().all(|c| c.rows == Verdict::No));
    let steps: Vec<_> = report.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(steps, ["profile", "label_counts", "correlation", "regression", "evaluation"]);
    let evaluation = &report.steps[4];
    let cells = evaluation.small_cells.expect("the result holds them");
    assert!(cells.below == 30.0 && cells.cells >= cells.single && cells.cells > 0, "{cells:?}");
    // 2 columns of 64 cells that hold 900 training rows: about 14 in each.
    let fine = report.steps[1].small_cells.expect("the simulation has the sums");
    assert!(fine.cells > 64 && fine.cells <= 130, "{fine:?}");
    assert!(!report.steps[1].infers.en.contains("not counted"));
    let from_journal = self::report(&outcome, false, None);
    assert!(from_journal.steps[1].small_cells.is_none());
    assert!(
        from_journal.steps[1].infers.en.contains("was not counted")
            && from_journal.steps[1].infers.zh.contains("未统计")
    );
    assert!(report.steps[1].smallest_published.is_some_and(|rows| rows >= 30.0));
    assert_eq!(report.steps.iter().map(|s| s.sums as usize).sum::<usize>(), outcome.rounds.len());
    let texts = report.classes.iter().flat_map(|c| [&c.route, &c.receiver, &c.outsider, &c.protected_by]);
    let texts = texts.chain(report.collusions.iter().flat_map(|c| [&c.who, &c.can, &c.cannot]));
    for text in texts.chain(report.steps.iter().flat_map(|s| [&s.holds, &s.infers])) {
        assert!(!text.en.is_empty() && text.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{text:?}");
    }
}

#[test]
fn jobs_that_show_more_say_so() {
    let toml = job(&["bj", "he", "sx", "tj"], "min_parties = 3");
    let toml = toml.replace("cells = 50", "cells = 50\nper_party = true");
    let outcome = simulated(&toml);
    let report = report(&outcome, true, None);
    assert!(report.rule.per_party && report.rule.minimum_contributors == 3);
    assert!(remark(&report, "slots of its own", "独立槽位"), "{:?}", report.remarks);
    assert!(remark(&report, "opens sums of 3 of its 4 parties", "4 方中 3 方"), "{:?}", report.remarks);
    let result = report.classes.iter().find(|c| c.class == "job closed").expect("it closed");
    assert!(result.receiver.en.contains("slots of its own") && result.receiver.zh.contains("独立槽位"));
    let reader = report.collusions.iter().find(|c| c.key == "reader").expect("a row");
    assert_eq!(reader.single_party, Verdict::Partly);
    let operator = report.collusions.iter().find(|c| c.key == "operator").expect("a row");
    assert_eq!(operator.single_party, Verdict::Partly);
    assert!(report.collusions.iter().any(|c| c.key == "participant" && c.can.en.contains("2 to 3 others")));
}

#[test]
fn noise_changes_what_is_said() {
    let outcome = simulated(&job(&["bj", "he", "tj"], ""));
    let noise = Some(Noise { epsilon: 2.0, delta: 1e-6 });
    let (exact, noised) = (report(&outcome, true, None), report(&outcome, true, noise));
    let all = |r: &LeakReport| serde_json::to_string(r).expect("JSON");
    assert!(!all(&exact).contains("differential privacy") && all(&exact).contains("no noise was added"));
    let text = all(&noised);
    assert!(text.contains("(2.000, 1e-6)-differential privacy") && text.contains("差分隐私"));
    assert!(
        !text.contains("no noise was added") && !text.contains("exact counts") && text.contains("weaker guarantee")
    );
}

#[test]
fn leak_reports_are_read_again() {
    let outcome = simulated(&job(&["bj", "he", "tj"], ""));
    let report = report(&outcome, false, Some(Noise { epsilon: 1.5, delta: 1e-6 }));
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["format"], FORMAT);
    assert_eq!(json["collusions"][0]["single_party"], "no");
    let found: BTreeSet<&str> =
        json["classes"].as_array().expect("a list").iter().filter_map(|c| c["basis"].as_str()).collect();
    assert_eq!(found, ["computed", "measured"].into());
    assert_eq!(serde_json::from_value::<LeakReport>(json).expect("a leak report"), report);
}

#[test]
fn rounds_without_somebody_are_named() {
    let (parties, mut four) = (ids(&["bj", "he", "sx", "tj"]), rule(4, 3));
    four.partial_rounds = vec![PartialRound { round: 4, step: "regression".to_owned(), missing: ids(&["he"]) }];
    let scene = Scene {
        parties: &parties,
        rule: &four,
        noise: None,
        encrypted: false,
        learns: Learns::Scorecard,
        floor: 30.0,
        sums: None,
        tag_slots: 3,
    };
    let remarks = remarks::remarks(&scene);
    assert!(remarks.iter().any(|r| r.en == "Round 4 (regression) was summed without he."), "{remarks:?}");
    assert!(remarks[0].en.contains("NO ENCRYPTION"));
    let rows = collusions::collusions(&scene);
    assert!(rows.iter().any(|c| c.key == "coordinator" && c.single_party == Verdict::Yes));
}

#[test]
fn many_parties_are_not_all_named() {
    let names: Vec<String> = (0..1000).map(|i| format!("bank-{i:04}")).collect();
    let parties = ids(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let rule = Rule { members: 64, privacy_threshold: 21, answers_needed: 48, ..rule(1000, 900) };
    let scene = Scene {
        parties: &parties,
        rule: &rule,
        noise: None,
        encrypted: true,
        learns: Learns::Scorecard,
        floor: 30.0,
        sums: None,
        tag_slots: 3,
    };
    for row in collusions::collusions(&scene) {
        assert!(row.coalitions.is_empty() && row.can.en.len() < 600, "{row:?}");
    }
}
