//! Random faults by the hundred (`cargo xtask faults` runs thousands), and every failure that was ever found this way.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use haihe_simulations::{
    fault::Fault,
    scenario::Scenario,
    trial::{Ended, Trial},
};

use crate::faults::for_all;

#[test]
fn random_faults_never_break_what_must_hold() {
    let ended = [AtomicU64::new(0), AtomicU64::new(0)];
    for_all(1..301, |number| {
        let trial = Trial::random(number);
        let (how, _) = trial.run().map_err(|complaint| format!("{complaint}\n{}", trial.to_toml()))?;
        ended[usize::from(how != Ended::Result)].fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let [well, named] = ended.map(AtomicU64::into_inner);
    println!("{well} with the result, {named} named who or what was missing");
    assert!(well >= 225, "too few trials end well to mean anything: {well}");
}

fn kept() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failures");
    let files = fs::read_dir(folder).expect("the folder of failures").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|f| f.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_failure_that_was_found_stays_repaired() {
    let files = kept();
    assert!(!files.is_empty(), "no failures are kept");
    for_all(0..files.len() as u64, |index| {
        let file = &files[index as usize];
        let trial = Trial::open(file).map_err(|e| e.to_string())?;
        assert!(!trial.story.is_empty(), "{} has no story", file.display());
        trial.run().map(|_| ()).map_err(|complaint| format!("{}: {complaint}", file.display()))
    });
}

#[test]
fn one_number_gives_the_same_trial_again() {
    for number in [1, 2, 3] {
        let trial = Trial::random(number);
        let text = trial.to_toml();
        assert_eq!(toml::from_str::<Trial>(&text).expect("a trial"), trial, "{text}");
        assert_eq!(trial.run(), Trial::random(number).run());
    }
}

#[test]
fn a_failure_is_shrunk_to_what_it_needs() {
    // No fault is needed for this failure: a job of two parties is refused.
    let broken = Trial { parties: 2, min_parties: 2, ..Trial::random(4) };
    assert!(broken.run().is_err(), "two parties are refused");
    assert!(broken.shrunk().faults.is_empty());
}

#[test]
fn every_kind_of_fault_is_written_in_a_scenario() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bad-day.toml");
    let scenario = Scenario::open(&path).expect("the scenario");
    let mut kinds: Vec<&str> = scenario.faults.iter().map(Fault::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 19, "{kinds:?}");
    scenario.job().expect("its job");
}
