//! Vertical logistic regression: CPU time and bytes of all parties, and how close the joint model is to a pooled one.

mod data;
mod federation;
mod link;
mod twin;

use crate::cpu::{on_one_core, summary};
use crate::rows::Rows;
use anyhow::{Context, Result};
use data::Set;
use federation::{Done, Exchange, Federation, Turn};
use link::Link;
use serde_json::json;
use std::path::{Path, PathBuf};

/// One epoch over the same set, CPU seconds of all parties: measured on a machine of this class, in other runs.
const REFERENCES: [(&str, f64); 3] = [
    ("FATE 2.1.1 coordinated LR, Paillier 2048, 1 epoch (another run)", 277.0),
    ("SecretFlow HESS-LR, OU 2048, 1 epoch (another run)", 355.0),
    ("SecretFlow SS-LR, 2PC Cheetah, 1 epoch (another run)", 14.5),
];

/// Runs everything and publishes `vertical-lr.json`.
pub fn run(quick: bool, folder: Option<&Path>) -> Result<()> {
    let mut rows = Rows::default();
    for set in sets(folder)? {
        for encoding in ["standardise", "woe"] {
            println!("{} / {encoding}", set.name);
            on_one_core(|| measure(&mut rows, &set, encoding, if quick { 1 } else { 5 }))??;
        }
    }
    for (name, seconds) in REFERENCES {
        rows.push_for(name, [("data", json!("default_credit"))], seconds, "s");
    }
    rows.publish("vertical-lr")
}

/// What is there.
fn sets(folder: Option<&Path>) -> Result<Vec<Set>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = folder.map_or(beside, PathBuf::from);
    let mut found = vec![Set::polish()?];
    let files = [
        ("default_credit", "default_credit/guest.csv.gz", "default_credit/host.csv.gz", "default_credit/split.csv.gz"),
        ("give_credit", "give_credit/guest.csv.gz", "give_credit/host.csv.gz", "give_credit/split.csv.gz"),
        ("breast", "fate_small/breast_guest.csv", "fate_small/breast_host.csv", "fate_small/breast_split.csv"),
    ];
    for (name, bank, host, split) in files {
        let paths = [bank, host, split].map(|file| folder.join(file));
        match paths.iter().find(|path| !path.is_file()) {
            Some(missing) => println!("skipped: {name}, as there is no {} (see --data)", missing.display()),
            None => found.push(Set::of_two(name, [&paths[0], &paths[1], &paths[2]])?),
        }
    }
    Ok(found)
}

/// Learns from one set some times over.
fn measure(rows: &mut Rows, set: &Set, encoding: &'static str, repetitions: usize) -> Result<()> {
    let job = set.job(encoding);
    let federation = Federation::new(&job, &set.parties, false)?;
    let runs = (0..repetitions).map(|_| federation.run()).collect::<Result<Vec<_>>>()?;
    let restarted = Federation::new(&job, &set.parties, true)?.run()?;
    let done = runs.first().context("at least one run")?;
    let aligning = 2 * set.parties.len();
    let params = || [("data", json!(set.name)), ("encoding", json!(encoding))];
    let mut push = |name: &str, value: f64, unit| rows.push_for(name, params(), value, unit);

    let cpu = |done: &Done, of: fn(&Turn) -> f64| total(&done.exchanges[aligning..], of);
    let (least, median) = summary(runs.iter().map(|done| cpu(done, |t| t.cpu)));
    push("training cpu seconds", median, "s");
    push("training cpu seconds, least", least, "s");
    push("training cpu seconds, steps alone", summary(runs.iter().map(|done| cpu(done, |t| t.step))).1, "s");
    push("training cpu seconds, states written out", summary(runs.iter().map(|done| cpu(done, |t| t.snapshot))).1, "s");
    push("training cpu seconds, a restart before every step", cpu(&restarted, |t| t.cpu), "s");
    let passes = done.result.passes.len() - 1;
    push("passes", passes as f64, "");
    let (in_passes, in_pass) = passes_of(&done.exchanges);
    let per_pass = runs.iter().map(|done| total(&done.exchanges[in_passes.clone()], |t| t.cpu) / passes as f64);
    let (_, pass) = summary(per_pass);
    push("seconds per pass", pass, "s");
    if set.name == "default_credit" {
        for (name, seconds) in REFERENCES {
            push(&format!("{name} / the whole training"), seconds / median, "times");
            push(&format!("{name} / one pass"), seconds / pass, "times");
        }
    }
    for (party, (name, _)) in set.parties.iter().enumerate() {
        let own = |done: &Done| done.exchanges[aligning..].iter().map(|e| e.turns[party].cpu).sum::<f64>();
        push(&format!("training cpu seconds of {name}"), summary(runs.iter().map(own)).1, "s");
    }
    let relayed = |done: &Done| done.exchanges[aligning..].iter().map(|e| e.coordinator).sum::<f64>();
    push("training cpu seconds of the coordinator", summary(runs.iter().map(relayed)).1, "s");
    push("alignment cpu seconds", summary(runs.iter().map(|d| total(&d.exchanges[..aligning], |t| t.cpu))).1, "s");
    push("bytes per pass", total(in_pass, |t| t.up as f64), "B");
    push("bytes total", total(&done.exchanges[aligning..], |t| t.up as f64), "B");
    push("alignment bytes", total(&done.exchanges[..aligning], |t| t.up as f64), "B");
    push("largest state", done.exchanges.iter().flat_map(|e| &e.turns).map(|t| t.state).max().unwrap_or(0) as f64, "B");

    let twin = twin::fit(set, &job, &done.kept)?;
    let (joint, alone) = (done.result.joint.test.as_ref(), done.result.alone.test.as_ref());
    let (joint, alone) = (joint.context("test firms")?, alone.context("test firms")?);
    push("AUC", joint.auc, "");
    push("AUC, pooled", twin.ranking.auc, "");
    push("AUC, bank alone", alone.auc, "");
    push("KS", joint.ks, "");
    push("KS, pooled", twin.ranking.ks, "");
    push("largest coefficient difference", twin.distance * 1e6, "1e-6");

    let slow = Link { bits: 1e7, latency: 0.05 };
    if ["default_credit", "polish year5"].contains(&set.name) {
        let name = "seconds to the model at 10 Mbit/s and 50 ms";
        push(name, slow.seconds(&done.exchanges[aligning..], false), "s");
        push(&format!("{name}, alignment too"), slow.seconds(&done.exchanges, false), "s");
        push(&format!("{name}, alignment too, letters asked for"), slow.seconds(&done.exchanges, true), "s");
        push("exchanges", done.exchanges.len() as f64, "");
    }
    if std::env::var_os("HAIHE_BENCH_EXCHANGES").is_some() {
        show(&done.exchanges);
    }
    Ok(())
}

/// The exchanges of all passes, and those of a pass in the middle.
fn passes_of(exchanges: &[Exchange]) -> (std::ops::Range<usize>, &[Exchange]) {
    let decrypts = |e: &Exchange| e.phase.ends_with("products decrypted");
    let at: Vec<usize> = (0..exchanges.len()).filter(|i| decrypts(&exchanges[*i])).collect();
    let (Some(&first), Some(&last)) = (at.first(), at.last()) else { return (0..0, &[]) };
    // The question, products, their decryption, directions; and the next question is answered with what follows.
    let middle = at[at.len() / 2];
    (first - 1..last + 3, &exchanges[middle - 2..middle + 2])
}

fn total(exchanges: &[Exchange], of: fn(&Turn) -> f64) -> f64 {
    exchanges.iter().flat_map(|e| &e.turns).map(of).sum()
}

/// Milliseconds and kilobytes of each exchange.
fn show(exchanges: &[Exchange]) {
    for (number, exchange) in (1..).zip(exchanges) {
        let turn = |t: &Turn| {
            let ms = 1e3;
            let (all, step, state) = (t.cpu * ms, t.step * ms, t.snapshot * ms);
            format!("{all:7.2} ({step:7.2} {state:5.2}) {:6} kB up {:6} kB state", t.up / 1000, t.state / 1000)
        };
        let turns: Vec<String> = exchange.turns.iter().map(turn).collect();
        println!("{number:3} {:<36} {} | {:.2}", exchange.phase, turns.join(" | "), exchange.coordinator * 1e3);
    }
}
