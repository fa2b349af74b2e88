//! `haihe-participant`: keeps the data, trains, encrypts and contributes.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use haihe_participant::{
    config::{LogFormat, ParticipantConfig},
    driver::{Participant, RunError, run},
};
use haihe_protocol::job::JobSpec;
use tokio::sync::watch;

/// Keeps an institution's data, computes on them, encrypts and contributes. Dials the coordinator; nobody dials in.
///
/// Exit codes: 0 stopped as asked, or the check passed; 1 failed, or the check did not pass; 2 wrong usage; 78 the
/// configuration cannot be used.
#[derive(Parser)]
#[command(name = "haihe-participant", version)]
struct Arguments {
    /// Configuration file; see participant.sample.toml.
    #[arg(long, env = "HAIHE_PARTICIPANT_CONFIG", hide_env_values = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Take part until told to stop (the default).
    Run,
    /// Say whether this participant would join a job, and everything that stands against it. Sends nothing.
    Check {
        /// Job file.
        job: PathBuf,
        /// Who will submit it; without it, the policy's rule about operators is not looked at.
        #[arg(long)]
        by: Option<String>,
    },
    /// Show what was given away over all jobs: privacy spent, score vectors shown, alignments.
    Ledger {
        /// How to print.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match ParticipantConfig::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("haihe-participant: {error}");
            return ExitCode::from(78);
        }
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Check { job, by } => check(&config, &job, by.as_deref()).await,
        Command::Ledger { format } => ledger(&config, format),
        Command::Run => start(&config).await,
    }
}

fn ledger(config: &ParticipantConfig, format: Format) -> ExitCode {
    let participant = match Participant::load(config) {
        Ok((participant, _)) => participant,
        Err(error) => return failed(&error),
    };
    match participant.given() {
        Ok(given) => {
            match format {
                Format::Text => print!("{}", given.text()),
                Format::Json => println!("{}", serde_json::json!(given)),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("haihe-participant: {error}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &RunError) -> ExitCode {
    eprintln!("haihe-participant: {error}");
    let configuration = matches!(error, RunError::Config(_) | RunError::Policy(_) | RunError::Key { .. });
    ExitCode::from(if configuration { 78 } else { 1 })
}

async fn check(config: &ParticipantConfig, job: &std::path::Path, by: Option<&str>) -> ExitCode {
    let participant = match Participant::load(config) {
        Ok((participant, _)) => participant,
        Err(error) => return failed(&error),
    };
    let spec = match std::fs::read_to_string(job) {
        Ok(text) => JobSpec::parse(&text),
        Err(error) => {
            eprintln!("haihe-participant: cannot read {}: {error}", job.display());
            return ExitCode::FAILURE;
        }
    };
    let spec = match spec {
        Ok(spec) => spec,
        Err(problems) => {
            eprintln!("haihe-participant: {} is no valid job:", job.display());
            for problem in problems {
                eprintln!("  - {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    match participant.examine(&spec, by).await {
        Ok(loaded) => {
            let s = &loaded.summary;
            println!(
                "{} would join {:?}: {} rows ({} train, {} test, {} bad)",
                participant.party(),
                spec.job.name,
                s.rows,
                s.train_rows,
                s.test_rows,
                s.bad_rows
            );
            if let Some(series) = &s.series {
                println!(
                    "series of view {:?}: {} rows, {} of them of firms that {:?} does not have, {} of months that the job \
                     does not ask for; {} firms without any month",
                    series.view, series.rows, series.unknown_rows, s.view, series.outside_rows, series.without_series
                );
            }
            ExitCode::SUCCESS
        }
        Err(objection) => {
            eprintln!("{} would decline {:?}:\n{}", participant.party(), spec.job.name, objection.for_us());
            ExitCode::FAILURE
        }
    }
}

async fn start(config: &ParticipantConfig) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::new(&config.log.filter);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("asked to stop");
        stop.send_replace(true);
        std::future::pending::<()>().await;
    });
    match run(config, stopped).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
