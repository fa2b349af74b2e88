//! Without faults: the right result, the same again, and refusals with a reason.

use std::{collections::BTreeMap, sync::Arc};

use haihe_models::{metrics::Ranking, pooled, table::Split};
use haihe_protocol::{job::JobSpec, journal};
use haihe_simulations::{
    baseline::compare,
    simulation::{SimulationError, SimulationOptions},
};

use crate::support::{finished, job, party, plain, quick_job, run, same_result, tables};

#[test]
fn a_federation_on_the_lattice_equals_its_pooled_twin() {
    let (job, tables) = (job(4, ""), tables(4, 400));
    let outcome = finished(&job, &tables, SimulationOptions::new(1));
    assert_eq!(
        (outcome.scheme.as_str(), outcome.counters.rejected, outcome.counters.rounds_lost),
        ("ps-kahe-rlwe", 0, 0)
    );
    let spec = JobSpec::parse(&job).expect("a job");
    let all: Vec<_> = tables.iter().map(|(_, t)| t.as_ref()).collect();
    let options = spec.scorecard.as_ref().expect("a scorecard").learning();
    let twin = pooled::train(&all, &options).expect("a model");
    assert_eq!(outcome.scorecard().scorecard.variables.len(), twin.scorecard.variables.len());
    for (ours, theirs) in outcome.scorecard().fit.coefficients.iter().zip(&twin.fit.coefficients) {
        assert_eq!(ours.column, theirs.column);
        let difference = (ours.value - theirs.value).abs() / theirs.value.abs().max(theirs.standard_error);
        assert!(difference < 1e-5, "{}: {} and {}", ours.column, ours.value, theirs.value);
    }
    let (mut scores, mut bad) = (Vec::new(), Vec::new());
    for table in all {
        let (s, b) = pooled::scores_of(&twin.scorecard, table, Split::Test).expect("scores");
        scores.extend(s);
        bad.extend(b);
    }
    let auc = Ranking::of_rows(&scores, &bad).expect("two classes").auc;
    let reported = outcome.scorecard().evaluation.test.ranking.as_ref().expect("two classes").auc;
    // The reported AUC comes from a histogram of 50 cells, in which scores count as ties.
    assert!((auc - reported).abs() < 5e-3, "{auc} and {reported}");
    let comparison = compare(&spec, outcome.scorecard(), &tables).expect("a comparison");
    assert!(comparison.max_relative_coefficient_difference < 1e-5, "{comparison:?}");
    let aucs: BTreeMap<_, _> =
        comparison.models.iter().map(|m| (m.name.as_str(), m.all.expect("a model").auc)).collect();
    assert!((aucs["federated"] - auc).abs() < 1e-3, "{aucs:?} and {auc}");
    assert_eq!(comparison.models.len(), 3 + 4);
    assert!(outcome.bytes.values().all(|b| *b > 10_000), "{:?}", outcome.bytes);
    assert_eq!(
        outcome.rounds.iter().map(|r| r.round).collect::<Vec<_>>(),
        (1..=outcome.rounds.len() as u64).collect::<Vec<_>>()
    );
}

#[test]
fn one_seed_gives_the_same_journal_and_another_seed_another() {
    let (job, tables) = (job(3, ""), tables(3, 120));
    for options in [SimulationOptions::new, |seed| plain(seed, vec![])] {
        let first = finished(&job, &tables, options(21));
        let again = finished(&job, &tables, options(21));
        assert_eq!(first.journal, again.journal);
        assert_eq!(first.tip, journal::verify(&again.journal).expect("a chain"));
        assert_eq!((first.messages, first.virtual_ms), (again.messages, again.virtual_ms));
        let other = finished(&job, &tables, options(22));
        assert_ne!(first.tip, other.tip);
        same_result(&first, &other).expect("the seed does not decide about the model");
    }
}

#[test]
fn the_scheme_does_not_change_the_result() {
    let (job, tables) = (job(3, ""), tables(3, 120));
    let lattice = finished(&job, &tables, SimulationOptions::new(23));
    let clear = finished(&job, &tables, plain(23, vec![]));
    assert_eq!(lattice.result_json, clear.result_json, "seed 23");
    assert_ne!(lattice.tip, clear.tip, "the ciphertexts differ");
    assert_eq!(clear.scheme, "NO-SECURITY");
}

#[test]
fn a_hundred_parties() {
    let (job, tables) = (quick_job(100, "min_parties = 90"), tables(100, 40));
    let outcome = finished(&job, &tables, plain(24, vec![]));
    assert_eq!((outcome.parties.len(), outcome.committee.members()), (100, 64));
    assert!(outcome.rounds.iter().all(|r| r.contributors == 100));
}

#[test]
fn two_parties_are_refused_and_told_why() {
    match run(&job(2, ""), &tables(2, 120), plain(25, vec![])) {
        Err(error @ SimulationError::Job(_)) => {
            let text = error.to_string();
            assert!(text.contains("with two parties, each would learn the other's vector"), "{text}");
        }
        other => panic!("{:?}", other.map(|o| o.tip)),
    }
}

#[test]
fn a_party_that_declines_is_named_with_its_reason() {
    let mut options = plain(26, vec![]);
    options.declines.insert(party(1), "the policy allows no scorecards".to_owned());
    match run(&job(3, ""), &tables(3, 120), options) {
        Err(SimulationError::Failed { reason, .. }) => {
            assert!(reason.contains("bank-01 declined: the policy allows no scorecards"), "{reason}");
        }
        other => panic!("{:?}", other.map(|o| o.tip)),
    }
    let mut options = plain(26, vec![]);
    options.declines.insert(party(1), "not today".to_owned());
    let outcome = finished(&job(5, "min_parties = 4"), &tables(5, 120), options);
    assert_eq!(outcome.parties.len(), 4);
}

#[test]
fn tables_and_parties_must_fit() {
    let (job, mut tables) = (job(3, ""), tables(4, 40));
    assert!(matches!(run(&job, &tables, plain(27, vec![])), Err(SimulationError::NotInvited(p)) if p == party(3)));
    tables.truncate(2);
    assert!(matches!(run(&job, &tables, plain(27, vec![])), Err(SimulationError::NoTable(p)) if p == party(2)));
}

#[test]
fn rows_of_one_class_fail_with_a_reason() {
    let mut tables = tables(3, 80);
    for (_, table) in &mut tables {
        Arc::make_mut(table).label.iter_mut().for_each(|bad| *bad = false);
    }
    match run(&job(3, ""), &tables, plain(28, vec![])) {
        Err(SimulationError::Failed { reason, .. }) => assert!(!reason.is_empty(), "{reason}"),
        other => panic!("{:?}", other.map(|o| o.tip)),
    }
}
