//! Jobs with differential privacy, from the clipped rows to the ledger.

use haihe_participant::member::Note;
use haihe_privacy::dp::{Budget, Composition, Mechanism};
use haihe_simulations::{
    fault::{During, Fault},
    simulation::{Outcome, SimulationError, SimulationOptions},
};

use crate::support::{Tables, finished, job, party, plain, run, tables};

const PRIVACY: &str = "[privacy]\nepsilon = 4.0\ndelta = 1e-6\n";

fn private_job(parties: usize, head: &str) -> String {
    format!("{}\n{PRIVACY}", job(parties, head))
}

fn notes(outcome: &Outcome, name: &haihe_protocol::id::PartyId) -> Vec<Note> {
    let record = outcome.records.get(name).expect("every party keeps a journal");
    record.journal.iter().map(|e| e.event().expect("a note")).collect()
}

fn learned(options: SimulationOptions) -> (Outcome, Tables) {
    let tables = tables(3, 2000);
    (finished(&private_job(3, ""), &tables, options), tables)
}

#[test]
fn a_private_job_spends_what_it_says_and_no_more() {
    let (outcome, _) = learned(plain(21, vec![]));
    let spent = outcome.scorecard().privacy.as_ref().expect("the result says what was spent");
    assert!(spent.epsilon <= 4.0 && spent.epsilon > 3.9, "{}", spent.epsilon);
    let steps: Vec<&str> = spent.releases.iter().map(|r| r.step.as_str()).collect();
    assert_eq!(steps, ["profile", "label_counts", "regression", "regression", "evaluation"]);
    // What the report says is what every ledger recorded, release by release.
    for index in 0..3 {
        let multipliers: Vec<f64> = notes(&outcome, &party(index))
            .iter()
            .filter_map(|note| match note {
                Note::Spent { multiplier, .. } => Some(*multiplier),
                _ => None,
            })
            .collect();
        let released: Vec<f64> = spent.releases.iter().map(|r| r.multiplier).collect();
        assert_eq!(multipliers, released);
        let all: Vec<_> = multipliers.iter().map(|m| (Mechanism::new(*m, 1.0).expect("a mechanism"), 1)).collect();
        let bounds = Composition::new(&all).and_then(|c| c.epsilon(1e-6)).expect("accounted");
        assert!(bounds.upper <= 4.0);
    }
    let ranking = outcome.scorecard().evaluation.test.ranking.expect("ranked");
    assert!(ranking.auc > 0.75, "4000 firms and epsilon 4 leave something to learn: {}", ranking.auc);
}

#[test]
fn noise_is_fresh_and_of_the_size_that_is_reported() {
    let (a, tables) = learned(plain(22, vec![]));
    let (b, _) = learned(plain(23, vec![]));
    // The number of rows is public here: what is measured is the noise.
    let rows: f64 = tables.iter().map(|(_, t)| t.rows() as f64 * 0.75).sum();
    let sigma = a.scorecard().privacy.as_ref().expect("spent").releases[0].blocks[0].sigma;
    let measured = |outcome: &Outcome| outcome.rounds[0].summary.figures["rows"] - rows;
    let (x, y) = (measured(&a), measured(&b));
    assert_ne!(x, y, "another seed, other noise");
    // Rows are goods plus bads: two numbers with noise each.
    for deviation in [x, y] {
        assert!(deviation.abs() < 6.0 * 1.42 * sigma, "{deviation} with noise of {sigma}");
    }
    assert!(x.abs() > 1e-3 * sigma && y.abs() > 1e-3 * sigma, "there is noise: {x}, {y}");
}

#[test]
fn a_lost_round_is_asked_again_and_paid_for_once() {
    let silent = Fault::Silent { party: party(1), from_round: 2, rounds: 1, during: During::Answering };
    let (outcome, _) = learned(plain(24, vec![silent]));
    assert_eq!(outcome.counters.rounds_lost, 1);
    let released = outcome.scorecard().privacy.as_ref().expect("spent").releases.len();
    for index in 0..3 {
        let notes = notes(&outcome, &party(index));
        let spent = notes.iter().filter(|n| matches!(n, Note::Spent { .. })).count();
        let contributed = notes.iter().filter(|n| matches!(n, Note::Contributed { .. })).count();
        assert_eq!((spent, contributed), (released, released + 1), "one more contribution, nothing more spent");
    }
}

#[test]
fn a_crash_at_any_write_spends_nothing_twice() {
    let (reference, _) = learned(plain(25, vec![]));
    let spent = reference.scorecard().privacy.as_ref().expect("spent").epsilon;
    for write in (4..60).step_by(5) {
        let crash = Fault::CrashOnWrite { party: party(0), write, torn: true, down_ms: 500 };
        let (outcome, _) = learned(plain(25, vec![crash]));
        let notes = notes(&outcome, &party(0));
        let last = notes.iter().rev().find_map(|n| match n {
            Note::Spent { epsilon, .. } => Some(*epsilon),
            _ => None,
        });
        assert!(last.is_some_and(|last| last <= spent + 1e-9), "write {write}: {last:?} against {spent}");
    }
}

#[test]
fn a_job_beyond_the_budget_is_declined_before_any_data_are_touched() {
    for budget in [Some(Budget { epsilon: 2.0, delta: 1e-6 }), None] {
        let options = SimulationOptions { budget, ..plain(26, vec![]) };
        let error = run(&private_job(3, ""), &tables(3, 200), options).expect_err("declined");
        let SimulationError::Failed { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains("bank-00 declined") && reason.contains("privacy"), "{reason}");
    }
}

#[test]
fn the_lattice_and_fewer_contributors_than_parties_carry_noise_too() {
    let silent = Fault::Silent { party: party(4), from_round: 1, rounds: u64::MAX, during: During::Everything };
    let options = SimulationOptions::new(27).with_faults(vec![silent]);
    let outcome = finished(&private_job(5, "min_parties = 4"), &tables(5, 600), options);
    let privacy = outcome.scorecard().privacy.as_ref().expect("spent");
    assert!(privacy.epsilon <= 4.0);
    // The noise of 4 - 2 contributors must suffice alone, so that of 4 is sqrt(2) times as much.
    let release = &privacy.releases[0];
    let excess = release.blocks[0].sigma / (release.multiplier * release.blocks[0].clip);
    assert!(excess > 1.4, "{excess}");
}

#[test]
fn what_does_not_go_with_privacy_is_refused_with_a_reason() {
    let refused = |job: &str| match run(job, &tables(3, 100), plain(28, vec![])) {
        Err(SimulationError::Job(problems)) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        other => panic!("{:?}", other.map(|_| ())),
    };
    let own = job(3, "").replace("cells = 50", "cells = 50\nper_party = true") + PRIVACY;
    assert!(refused(&own).contains("per_party"), "{}", refused(&own));
    let short = private_job(3, "") + "[secure_sum]\nvalue_bits = 12\n";
    assert!(refused(&short).contains("bits"), "{}", refused(&short));
    let nothing = private_job(3, "").replace("epsilon = 4.0", "epsilon = 0.0");
    assert!(refused(&nothing).contains("privacy.epsilon"), "{}", refused(&nothing));
}
