//! `haihe simulate`: a scenario file, all parties in this process, the same protocol code, one seed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_protocol::journal::Event;
use haihe_simulations::scenario::{Data, Scenario, ScenarioOutcome, run_opened};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    Format,
    demo::{anomaly, describe, notes, write_results},
    evidence,
    job::bytes,
    leaks::{Circumstances, leak_report},
    show,
};

/// Arguments of `haihe simulate`.
#[derive(Args)]
pub struct SimulateArguments {
    /// Scenario file, for example simulations/scenarios/village-banks.toml.
    file: PathBuf,
    /// Folder for report.html, leak-report.json, summary.json and the other results.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another seed than the scenario's.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs a scenario. Fails if an expected figure does not come out.
pub async fn run(arguments: SimulateArguments, format: Format) -> anyhow::Result<()> {
    let mut scenario = Scenario::open(&arguments.file)?;
    if let Some(seed) = arguments.seed {
        scenario.head.seed = seed;
    }
    let seed = scenario.head.seed;
    if format == Format::Text {
        println!("{}: {} parties, seed {seed}", scenario.head.name, scenario.job()?.job.parties.len());
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    let ran = run_opened(&arguments.file, scenario, |progress| {
        bar.tick();
        if progress.line.contains(": contribution of ") || progress.line.contains(" answered") {
            bar.set_message(progress.line.clone());
        } else if format == Format::Text && !progress.line.contains(" joined") && !progress.line.contains(" confirmed")
        {
            let line = format!("{:>8} ms  {}", progress.at_ms, progress.line);
            if bar.is_hidden() { println!("{line}") } else { bar.println(line) }
        }
    })
    .await;
    bar.finish_and_clear();
    let ran = ran.with_context(|| format!("seed {seed} repeats this"))?;
    finish(&ran, arguments.out, format)
}

fn finish(ran: &ScenarioOutcome, out: Option<PathBuf>, format: Format) -> anyhow::Result<()> {
    let outcome = &ran.outcome;
    if let Some(out) = out {
        write(ran, &out)?;
        if format == Format::Text {
            println!("report: {}", out.join("report.html").display());
        }
    }
    if format == Format::Json {
        let checks = ran.checks.iter().map(|c| {
            json!({"figure": c.figure, "expected": c.expected, "tolerance": c.tolerance, "found": c.found,
                   "holds": c.holds()})
        });
        println!(
            "{}",
            json!({"scenario": ran.scenario.head.name, "seed": outcome.seed, "scheme": outcome.scheme,
                   "seconds": ran.seconds, "virtual_ms": outcome.virtual_ms, "tip": outcome.tip,
                   "figures": ran.figures(), "checks": checks.collect::<Vec<_>>()})
        );
    } else {
        people(ran);
    }
    let misses = ran.misses();
    if misses.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = misses.iter().map(|c| c.figure.as_str()).collect();
    bail!(
        "{} expected figure(s) did not come out: {}; seed {} repeats it",
        misses.len(),
        names.join(", "),
        outcome.seed
    )
}

/// Everything that the simulated job leaves behind.
fn write(ran: &ScenarioOutcome, out: &Path) -> anyhow::Result<()> {
    let outcome = &ran.outcome;
    let circumstances = Circumstances {
        federation: "simulation",
        scheme: &outcome.scheme,
        traffic: Some(&outcome.traffic),
        noise: None,
        sums: Some(&outcome.sums),
    };
    if evidence::learned::is_learned(&outcome.journal) {
        let report = evidence::learned::report(&outcome.journal, &circumstances, |_| Default::default(), Vec::new())?;
        anomaly::write_results(out, &report, &outcome.journal)?;
        let figures = json!({"figures": ran.figures(), "seconds": ran.seconds, "rounds": report.rounds.len()});
        fs::write(out.join("summary.json"), serde_json::to_string_pretty(&figures)?)?;
        return Ok(());
    }
    let bundled = matches!(ran.scenario.head.data, Data::Bundled(_));
    let remarks = if bundled { notes() } else { Vec::new() };
    let mut report = evidence::report(&outcome.journal, "simulation", &outcome.scheme, describe, remarks)?;
    report.comparison = ran.comparison.clone();
    report.leaks = leak_report(&outcome.journal, &report.rounds, &report.result, &circumstances)?;
    write_results(out, &report, &outcome.journal)?;
    if let Some(comparison) = &ran.comparison {
        let summary = show::summary(&report, comparison, ran.seconds);
        fs::write(out.join("summary.json"), serde_json::to_string_pretty(&summary)?)?;
    }
    Ok(())
}

/// The federated network or anomaly model against pooled training and every party alone, on the test rows of all parties.
fn twins(ran: &ScenarioOutcome) -> Table {
    let figures = ran.figures();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["model", "AUC", "AUPRC"]);
    let cell = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.4}"));
    let reported = |name: &str| cell(figures.get(name).copied());
    table.add_row(["federated".to_owned(), reported("reported AUC"), reported("reported AUPRC")]);
    for twin in &ran.twins {
        table.add_row([twin.name.clone(), cell(twin.auc), cell(twin.average_precision)]);
    }
    for column in 1..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn people(ran: &ScenarioOutcome) {
    let outcome = &ran.outcome;
    if let Some(comparison) = &ran.comparison {
        print!("\n{}", show::tables(comparison));
    }
    if !ran.twins.is_empty() {
        println!("\n{}", twins(ran));
    }
    let sent: u64 = outcome.bytes.values().sum();
    println!(
        "\n{} rounds, {} messages, {} sent by {} parties ({} each); contributions accepted {}, rejected {}, late {}",
        outcome.rounds.len(),
        outcome.messages,
        bytes(sent),
        outcome.bytes.len(),
        bytes(sent / outcome.bytes.len().max(1) as u64),
        outcome.counters.accepted,
        outcome.counters.rejected,
        outcome.counters.late
    );
    let lost = outcome.journal.iter().filter(|e| matches!(e.event(), Ok(Event::RoundLost { .. }))).count();
    println!(
        "{:.1} s here, {:.1} s by the simulated clock, {lost} rounds lost; seed {}, journal tip {}",
        ran.seconds,
        outcome.virtual_ms as f64 / 1000.0,
        outcome.seed,
        outcome.tip
    );
    if ran.checks.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["figure", "expected", "tolerance", "found", ""]);
    for c in &ran.checks {
        let found = c.found.map_or("-".to_owned(), |f| format!("{f:.6}"));
        let verdict = if c.holds() { "holds" } else { "DOES NOT HOLD" };
        table.add_row([&c.figure, &c.expected.to_string(), &c.tolerance.to_string(), &found, verdict]);
    }
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{table}");
}
