//! With faults. Every failure names the seed and the list of faults that repeat it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use haihe_simulations::{
    fault::{During, Fault},
    simulation::{Outcome, SimulationError, SimulationOptions},
};

use crate::support::{Tables, finished, job, party, plain, quick_job, run, same_result, tables};

/// Calls `check` for every number on two threads; collects what it says instead of stopping at the first.
pub fn for_all(numbers: impl Iterator<Item = u64>, check: impl Fn(u64) -> Result<(), String> + Sync) {
    let numbers: Vec<u64> = numbers.collect();
    let next = AtomicU64::new(0);
    let complaints = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let told = catch_unwind(AssertUnwindSafe(|| check(*number)));
                    let told = told.unwrap_or_else(|_| Err("panicked".to_owned()));
                    if let Err(complaint) = told {
                        complaints.lock().expect("no panic inside").push(format!("{number}: {complaint}"));
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("no panic inside");
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), numbers.len(), complaints.join("\n"));
}

/// The run must end with the reference's result.
fn must_equal(reference: &Outcome, job: &str, tables: &Tables, options: SimulationOptions) -> Result<Outcome, String> {
    let shown = format!("{options:?}");
    let outcome = run(job, tables, options).map_err(|e| format!("{shown}: {e}"))?;
    same_result(reference, &outcome).map_err(|e| format!("{shown}: {e}"))?;
    if outcome.counters.rejected > 0 {
        return Err(format!("{shown}: an honest party was rejected: {:?}", outcome.remarks));
    }
    Ok(outcome)
}

#[test]
fn a_coordinator_crash_at_every_journal_position_changes_nothing() {
    let (job, tables) = (quick_job(3, ""), tables(3, 120));
    let reference = finished(&job, &tables, plain(11, vec![]));
    let positions = 1..reference.journal.len() as u64;
    for_all(positions, |entry| {
        for written in [false, true] {
            let crash = Fault::CoordinatorCrash { entry, written, down_ms: 700 };
            must_equal(&reference, &job, &tables, plain(11, vec![crash]))?;
        }
        if entry % 3 == 0 {
            must_equal(&reference, &job, &tables, plain(11, vec![Fault::StoreFails { entry }]))?;
        }
        Ok(())
    });
}

#[test]
fn a_participant_crash_at_every_message_changes_nothing() {
    let (job, tables) = (quick_job(3, ""), tables(3, 120));
    let reference = finished(&job, &tables, plain(12, vec![]));
    let asks = 3 + 2 * reference.rounds.len() as u64;
    for_all(0..asks, |message| {
        for worked in [false, true] {
            let crash = Fault::CrashOnMessage { party: party(1), message, worked, down_ms: 700 };
            must_equal(&reference, &job, &tables, plain(12, vec![crash]))?;
        }
        Ok(())
    });
}

#[test]
fn a_participant_crash_at_every_write_changes_nothing() {
    let (job, tables) = (quick_job(3, ""), tables(3, 120));
    let reference = finished(&job, &tables, plain(13, vec![]));
    // Joining, confirming and the session take 5 writes, every round 6, the end 3.
    let writes = 8 + 6 * reference.rounds.len() as u64;
    for_all(0..writes, |write| {
        for torn in [false, true] {
            let crash = Fault::CrashOnWrite { party: party(2), write, torn, down_ms: 700 };
            must_equal(&reference, &job, &tables, plain(13, vec![crash]))?;
        }
        Ok(())
    });
}

fn gone(index: usize, from_round: u64, during: During) -> Fault {
    Fault::Silent { party: party(index), from_round, rounds: u64::MAX, during }
}

#[test]
fn as_many_as_allowed_may_drop_out() {
    for (parties, least, missing) in [(5, 4, 1), (10, 8, 2)] {
        let (job, tables) = (quick_job(parties, &format!("min_parties = {least}")), tables(parties, 80));
        for during in [During::Everything, During::Contributing, During::Answering] {
            for from in [0, 1, 4] {
                let faults = (0..missing).map(|i| gone(i, from, during)).collect();
                let outcome = finished(&job, &tables, plain(15, faults));
                let rounds = &outcome.rounds;
                if during != During::Answering {
                    let last = rounds.last().expect("a round");
                    assert_eq!(last.contributors as usize, parties - missing, "{during:?} from {from}, seed 15");
                }
            }
        }
    }
}

#[test]
fn one_more_missing_than_allowed_is_named() {
    for (parties, least, missing) in [(5, 4, 2), (10, 8, 3)] {
        let (job, tables) = (quick_job(parties, &format!("min_parties = {least}")), tables(parties, 80));
        for from in [0, 4] {
            let faults = (0..missing).map(|i| gone(i, from, During::Everything)).collect();
            match run(&job, &tables, plain(16, faults)) {
                Err(SimulationError::Failed { reason, .. }) => {
                    for absent in (0..missing).map(party) {
                        assert!(reason.contains(absent.as_str()), "seed 16, from {from}: {absent} is not in: {reason}");
                    }
                    let present = party(parties - 1);
                    assert!(!reason.contains(present.as_str()), "seed 16, from {from}: {present} is in: {reason}");
                }
                other => panic!("seed 16, from {from}: {:?}", other.map(|o| o.counters)),
            }
        }
    }
}

#[test]
fn a_party_that_comes_and_goes_does_not_spoil_the_regression() {
    let (job, tables) = (job(5, "min_parties = 4"), tables(5, 200));
    let away = |from_round, rounds| Fault::Silent { party: party(2), from_round, rounds, during: During::Contributing };
    for from in 4..9 {
        for rounds in 1..3 {
            finished(&job, &tables, plain(17, vec![away(from, rounds)]));
        }
    }
}

#[test]
fn with_three_parties_nobody_may_miss_a_round() {
    let (job, tables) = (quick_job(3, ""), tables(3, 120));
    match run(&job, &tables, plain(18, vec![gone(1, 3, During::Contributing)])) {
        Err(SimulationError::Failed { reason, .. }) => {
            assert!(reason.contains("bank-01") && reason.contains("rounds in a row were lost"), "seed 18: {reason}");
        }
        other => panic!("seed 18: {:?}", other.map(|o| o.counters)),
    }
    let absent = Fault::Silent { party: party(1), from_round: 3, rounds: 1, during: During::Contributing };
    let outcome = finished(&job, &tables, plain(18, vec![absent]));
    assert_eq!(outcome.counters.rounds_lost, 1, "seed 18");
    let lost = outcome.journal.iter().find(|e| e.body_json.contains("round_lost")).expect("recorded");
    assert!(lost.body_json.contains("2 of 3 contributions came in time, 3 are needed; bank-01"), "{}", lost.body_json);
    same_result(&finished(&job, &tables, plain(18, vec![])), &outcome).expect("the same model, seed 18");
}
