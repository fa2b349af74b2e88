//! Every target for a bounded time: kept inputs first, then seeds and what a seeded driver makes of them.
//!
//! `HAIHE_FUZZ_SEED` repeats a run, `HAIHE_FUZZ_MS` makes it longer. A failing input is left in
//! `target/tmp/failed/<target>.hex`; moved to `fuzz/corpus/<target>/`, it stays a test.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use haihe_fuzz::{TARGETS, Target, driver::Driver, find, kept};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Inputs of one target, at most.
const INPUTS: u32 = 3000;
/// The seed of every run that is not asked for another one.
const SEED: u64 = 20_260_101;

/// Memory is counted for the whole process: one target at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one input; the bytes that it held at its peak, or why it failed.
fn held(target: &Target, input: &[u8]) -> Result<usize, String> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let held = MEMORY.peak_usage().saturating_sub(before);
    let limit = target.memory.of(input.len());
    match outcome {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default())
        }
        Ok(()) if held > limit => Err(format!("held {held} bytes for {} bytes of input, at most {limit}", input.len())),
        Ok(()) => Ok(held),
    }
}

fn leave(target: &Target, input: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("failed");
    let path = folder.join(format!("{}.hex", target.name));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&path, hex::encode(input))).expect("the target folder");
    path
}

fn bounded(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let target = find(name).expect("a target");
    let mut seeds = (target.seeds)();
    // What is made once and kept does not count.
    seeds.iter().for_each(|seed| (target.run)(seed));
    for (name, input) in kept(target).expect("the corpus is readable") {
        held(target, &input).unwrap_or_else(|e| panic!("{}: the kept input {name} fails again: {e}", target.name));
        seeds.push(input);
    }
    let seed = number("HAIHE_FUZZ_SEED", SEED);
    let time = Duration::from_millis(number("HAIHE_FUZZ_MS", 1000));
    let inputs = if time > Duration::from_secs(1) { u32::MAX } else { INPUTS };
    let mut driver = Driver::new(seed, seeds);
    let (begun, mut done, mut most, mut worst) = (Instant::now(), 0, 0, 0.0f64);
    while done < inputs && begun.elapsed() < time {
        let input = driver.input();
        match held(target, &input) {
            Ok(held) => {
                most = most.max(held);
                worst = worst.max(held as f64 / (input.len() + 64) as f64);
            }
            Err(error) => {
                let path = leave(target, &input);
                panic!("{}: HAIHE_FUZZ_SEED={seed}, input {done}, left in {}: {error}", target.name, path.display());
            }
        }
        done += 1;
    }
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    println!("{}: {done} inputs, {rate:.0} a second; at most {most} bytes held, {worst:.0} a byte", target.name);
}

macro_rules! bounded {
    ($($test:ident $name:literal),* $(,)?) => {
        $(#[test] fn $test() { bounded($name); })*

        #[test]
        fn every_target_has_a_test() {
            let tested = [$($name),*];
            let all: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
            assert_eq!(tested.as_slice(), all);
        }
    };
}

bounded! {
    coordinator_wire "coordinator-wire",
    participant_wire "participant-wire",
    closed_round "closed-round",
    job_file "job-file",
    config_files "config-files",
    scorecard_file "scorecard-file",
    keys "keys",
    certificate "certificate",
    journal "journal",
    log "log",
    sealed "sealed",
    shares "shares",
    chunks "chunks",
    parameters "parameters",
    task "task",
    plan "plan",
    job_machine "job-machine",
    member_machine "member-machine",
    vault "vault",
    witness_machine "witness-machine",
}
