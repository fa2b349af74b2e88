//! The page of a job that three parties ran in this process: from its journal alone, and with what each of them kept.

use std::{collections::BTreeMap, sync::Arc};

use haihe_models::{
    table::{Column, ColumnSpec, Split, Table},
    vertical::score::Block,
};
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    vertical::work::{Evaluation, Firms},
};
use haihe_simulations::{
    joint::compare,
    simulation::{Federation, SimulationOptions, VerticalOutcome},
};

use super::{
    super::tests::check,
    data::{JointReport, OwnerPart, ScoringFacts},
    render,
};
use crate::evidence;

/// A column's name is the only text of a party that gets into a page.
const HOSTILE: &str = "paid <b>&\"'";

fn job() -> String {
    let hostile = serde_json::to_string(HOSTILE).expect("a string");
    format!(
        "[job]\nname = \"<i>joint\"\nparties = [\"bank\", \"tax\", \"core\"]\n[vertical]\nlabel_holder = \"bank\"\n\
         [vertical.alignment]\nkey_kind = \"text\"\nmin_common = 50\nmax_firms = 5000\n\
         [[vertical.holder]]\nparty = \"bank\"\nview = \"loans\"\nkey = \"id\"\nlabel = \"y\"\nsplit = {{ column = \"set\" }}\n\
         columns = [{{ name = \"debt\", kind = \"numeric\" }}]\n\
         [[vertical.holder]]\nparty = \"tax\"\nview = \"tax\"\nkey = \"id\"\n\
         columns = [{{ name = {hostile}, kind = \"numeric\" }}]\n\
         [[vertical.holder]]\nparty = \"core\"\nview = \"orders\"\nkey = \"id\"\n\
         columns = [{{ name = \"turnover\", kind = \"numeric\" }}]\n"
    )
}

/// 900 firms; each party lacks another twentieth of them.
fn firms(spec: &JobSpec) -> Vec<(PartyId, Firms)> {
    let uniform = |row: usize, salt: usize| {
        let mut z = ((8 * row + salt) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let holders = &spec.vertical.as_ref().expect("vertical").holders;
    let of = |party: usize| {
        let rows: Vec<usize> = (0..900).filter(|row| row % 20 != party).collect();
        // The more of everything, the worse.
        let risk = |row: usize| 1.4 * (0..3).map(|salt| uniform(row, salt)).sum::<f64>() / 3.0 - 0.2;
        let bad = |row: &usize| uniform(*row, 5) < risk(*row);
        let table = Table {
            specs: holders[party]
                .columns
                .iter()
                .map(|c| ColumnSpec { name: c.name.clone(), kind: c.kind.clone() })
                .collect(),
            columns: vec![Column::Numeric(rows.iter().map(|row| uniform(*row, party)).collect())],
            label: rows.iter().map(bad).collect(),
            split: rows.iter().map(|row| if row % 3 == 0 { Split::Test } else { Split::Train }).collect(),
            firms: None,
        };
        (spec.job.parties[party].clone(), Firms { keys: rows.iter().map(|row| format!("firm-{row}")).collect(), table })
    };
    (0..3).map(of).collect()
}

fn outcome(firms: &[(PartyId, Firms)]) -> VerticalOutcome {
    let shared: Vec<_> = firms.iter().map(|(p, f)| (p.clone(), Arc::new(f.clone()))).collect();
    let federation = Federation::vertical(&job(), shared, SimulationOptions::new(5).with_shared_certificates());
    federation.expect("a federation").run_vertical(|_| {}).expect("a result")
}

fn of_journal(outcome: &VerticalOutcome) -> JointReport {
    evidence::joint::report(&outcome.journal, "jingjinji", |_| Default::default(), Vec::new()).expect("a report")
}

#[test]
fn a_journal_makes_a_page_without_anybodys_part() {
    let spec = JobSpec::parse(&job()).expect("a job");
    let outcome = outcome(&firms(&spec));
    assert!(evidence::joint::is_joint(&outcome.journal));
    let report = of_journal(&outcome);
    let html = render(&report);
    check(&html);
    for section in ["result", "parties", "training", "scorecard", "learnt", "leaks", "traffic", "notes"] {
        assert!(
            html.contains(&format!("<section id=\"{section}\">")) && html.contains(&format!("href=\"#{section}\"")),
            "{section}"
        );
    }
    assert!(html.contains("&#60;i&#62;joint") || html.contains("&lt;i&gt;joint"), "the name is escaped");
    assert!(!html.contains("<i>joint") && !html.contains("turnover"), "no column of anybody");
    assert!(html.contains("holds nobody's part") && !html.contains("class=\"owner\""));

    // The journal's figures: everybody's firms, letters and bytes.
    assert_eq!(report.holders.iter().map(|h| h.firms).collect::<Vec<_>>(), [855; 3]);
    assert_eq!((report.result.common, report.label_holder().as_str()), (765, "bank"));
    assert_eq!(report.exchanges.len() as u64 * 3, report.parcels[0]);
    let by_exchange: u64 = report.exchanges.iter().map(|e| e.bytes).sum();
    assert_eq!(by_exchange, report.holders.iter().map(|h| h.bytes_sent).sum::<u64>());
    assert!(report.exchanges[1].phase.starts_with("align 1/"), "{:?}", report.exchanges[1]);
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<JointReport>(&json).expect("read again"), report);
}

#[test]
fn a_demonstration_shows_every_owners_part() {
    let spec = JobSpec::parse(&job()).expect("a job");
    let firms = firms(&spec);
    let outcome = outcome(&firms);
    let mut report = of_journal(&outcome);
    let block =
        |party: &PartyId| -> Block { serde_json::from_slice(&outcome.kept[party]["block.json"]).expect("a block") };
    let blocks: BTreeMap<PartyId, Block> = spec.job.parties.iter().map(|p| (p.clone(), block(p))).collect();
    let comparison = compare(&spec, &firms, &blocks).expect("a comparison");
    assert!(comparison.max_coefficient_difference < 1e-3, "{comparison:?}");
    let published = report.result.joint.test.as_ref().expect("test firms").auc;
    assert!((comparison.model("joint").expect("joint").figures.auc - published).abs() < 1e-12, "{published}");
    let alone = report.result.alone.test.as_ref().expect("test firms").auc;
    assert!((comparison.models[0].figures.auc - alone).abs() < 1e-3, "{alone} {:?}", comparison.models[0]);
    let names: Vec<&str> = comparison.models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["bank alone", "bank + tax", "bank + core", "joint", "pooled"]);
    report.comparison = Some(comparison);
    report.owners = blocks.into_iter().map(|(party, block)| OwnerPart { party, block }).collect();
    let bank = &outcome.kept[&spec.job.parties[0]];
    let evaluation: Evaluation = serde_json::from_slice(&bank["evaluation.json"]).expect("an evaluation");
    assert_eq!(evaluation.test.good.iter().chain(&evaluation.test.bad).sum::<f64>(), 255.0, "the common test firms");
    report.evaluation = Some(evaluation);
    let scoring = |without: &[&str]| ScoringFacts {
        job: "00".to_owned(),
        asked: 855,
        scored: 765,
        without: without.iter().map(|p| PartyId::new(*p).expect("a party")).collect(),
        equal_to_evaluation: without.is_empty(),
        test_auc: Some(0.7),
        seconds: 1.0,
    };
    report.scorings = vec![scoring(&[]), scoring(&["core"])];
    let html = render(&report);
    check(&html);
    assert_eq!(html.matches("class=\"owner\"").count(), 3);
    for text in ["turnover", "byte for byte", "without core", "bank + tax", "base points"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains(HOSTILE), "a column's name is escaped");
}

#[test]
fn a_scoring_has_no_report_of_its_own() {
    use haihe_protocol::{
        id::{JobId, Timestamp},
        journal::{Entry, Event},
    };
    let toml = format!("{}\n[scoring]\nmodel = \"0123\"\n", job());
    let opened = Event::JobOpened {
        job: JobId(haihe_privacy::digest::Digest::from_bytes([7; 32])),
        toml,
        by: "pilot-operator".to_owned(),
        deadline: Timestamp(9),
    };
    let entries = [Entry::after(&Entry::genesis(), 0, Timestamp(1), &opened)];
    let error =
        evidence::joint::report(&entries, "jingjinji", |_| Default::default(), Vec::new()).expect_err("no report");
    assert!(error.to_string().contains("bank"), "{error}");
}
