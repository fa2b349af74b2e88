//! Measures the attacks; `cargo xtask attacks` runs it.

use anyhow::{Context, Result};
use clap::Parser;
use haihe_attacks::{Settings, report};
use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

/// Attacks on what the parties of a job send, with the numbers that they reach
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// All figures follow from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fewer trials
    #[arg(long)]
    quick: bool,
    /// Where all figures go, JSON
    #[arg(long, default_value = "target/attacks.json")]
    out: PathBuf,
    /// A document whose tables are to be replaced
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attacks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let begun = Instant::now();
    let say = |text: &str| eprintln!("attacks: {:5.1} s: {text}", begun.elapsed().as_secs_f64());
    let settings = Settings { seed: arguments.seed, quick: arguments.quick };
    let found = report::run(&settings, say)?;
    for table in found.tables() {
        println!("{}\n{}\n", table.name, table.text());
    }
    println!("{}", report::legend());
    if let Some(folder) = arguments.out.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(&arguments.out, serde_json::to_string_pretty(&found)? + "\n")
        .with_context(|| arguments.out.display().to_string())?;
    if let Some(document) = &arguments.write {
        report::write(&found, document)?;
    }
    let broken = found.broken_promises();
    for row in &broken {
        eprintln!(
            "attacks: {} parties, {} collude, epsilon {}, {}: at least {:.3} where {:.3} is promised",
            row.parties,
            row.colluding,
            row.epsilon,
            row.release,
            row.test.epsilon_any.max(row.test.epsilon_gaussian),
            row.promised
        );
    }
    say("done");
    Ok(broken.is_empty())
}
