//! Thousands of trials with random faults; `cargo xtask faults` runs it.
//!
//! `faults RUNS FIRST OUT`: trials with the numbers `FIRST`, `FIRST + 1`, ...; what they went through goes to `OUT`, JSON.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use haihe_simulations::{
    simulation::Record,
    trial::{Ended, Trial},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// What all trials went through together.
#[derive(Default, Serialize)]
struct Tally {
    first: u64,
    runs: u64,
    with_result: u64,
    named_the_absent: u64,
    failures: u64,
    encrypted: u64,
    seconds: f64,
    entries: u64,
    messages: u64,
    coordinator_crashes: u64,
    participant_crashes: u64,
    rounds_closed: u64,
    rounds_lost: u64,
    largest_queue: usize,
    longest_virtual_ms: u64,
    /// Faults that happened, by kind; one that waits for a message or an entry that never comes is not counted.
    faults: BTreeMap<&'static str, u64>,
    trials_by_parties: BTreeMap<u32, u64>,
}

impl Tally {
    fn add(&mut self, trial: &Trial, ended: &Ended, record: &Record) {
        match ended {
            Ended::Result => self.with_result += 1,
            Ended::Named(_) => self.named_the_absent += 1,
        }
        self.encrypted += u64::from(trial.lattice);
        self.entries += record.entries;
        self.messages += record.messages;
        self.coordinator_crashes += record.coordinator_crashes;
        self.participant_crashes += record.participant_crashes;
        self.rounds_closed += record.rounds_closed;
        self.rounds_lost += record.rounds_lost;
        self.largest_queue = self.largest_queue.max(record.peak_queue);
        self.longest_virtual_ms = self.longest_virtual_ms.max(record.virtual_ms);
        for fault in &record.struck {
            *self.faults.entry(trial.faults[*fault].kind()).or_default() += 1;
        }
        *self.trials_by_parties.entry(trial.parties).or_default() += 1;
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: u64| (name.to_owned(), value.to_string());
        let mut rows = vec![
            row("trials", self.runs),
            row("  with encryption", self.encrypted),
            row("ended with the result", self.with_result),
            row("ended and named who or what was missing", self.named_the_absent),
            row("failures", self.failures),
            row("journal entries written", self.entries),
            row("messages", self.messages),
            row("coordinator crashes", self.coordinator_crashes),
            row("participant crashes", self.participant_crashes),
            row("rounds closed", self.rounds_closed),
            row("rounds lost", self.rounds_lost),
            row("largest queue in the network", self.largest_queue as u64),
            row("longest job, virtual s", self.longest_virtual_ms / 1000),
        ];
        rows.extend(self.faults.iter().map(|(kind, count)| row(&format!("  fault {kind}"), *count)));
        rows.push(("trials per second".to_owned(), format!("{:.1}", self.runs as f64 / self.seconds)));
        rows
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [runs, first, out] = arguments.as_slice() else { return Err("usage: faults RUNS FIRST OUT".into()) };
    let (runs, first): (u64, u64) = (runs.parse()?, first.parse()?);
    let bar = ProgressBar::new(runs);
    bar.set_style(ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} {msg}")?);
    let (tally, failed) = run(runs, first, &bar);
    bar.finish_and_clear();
    for (name, value) in tally.rows() {
        println!("{name:<42} {value:>10}");
    }
    for (trial, complaint) in &failed {
        println!("\ntrial {}: {complaint}\nkeep this as simulations/tests/failures/NAME.toml:\n", trial.seed);
        println!("{}", trial.to_toml());
    }
    if let Some(folder) = Path::new(out).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, serde_json::to_string_pretty(&tally)?)?;
    println!("kept in {out}");
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// At most so many failures are shrunk and shown.
const SHOWN: usize = 10;

fn run(runs: u64, first: u64, bar: &ProgressBar) -> (Tally, Vec<(Trial, String)>) {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let together = Mutex::new((Tally { first, runs, ..Tally::default() }, Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number - first >= runs {
                        break;
                    }
                    let trial = Trial::random(number);
                    let ran = trial.run();
                    let shown = {
                        let mut together = together.lock().unwrap_or_else(PoisonError::into_inner);
                        match &ran {
                            Ok((ended, record)) => together.0.add(&trial, ended, record),
                            Err(_) => together.0.failures += 1,
                        }
                        together.1.len() < SHOWN
                    };
                    if let (Err(complaint), true) = (ran, shown) {
                        bar.set_message(format!("trial {number} failed, looking for what is needed of it"));
                        let least = trial.shrunk();
                        let complaint = least.run().err().unwrap_or(complaint);
                        together.lock().unwrap_or_else(PoisonError::into_inner).1.push((least, complaint));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    let (mut tally, mut failed) = together.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.seconds = begun.elapsed().as_secs_f64();
    failed.sort_by_key(|(trial, _)| trial.seed);
    (tally, failed)
}
