//! `haihe job`: validate, submit, status, watch, cancel.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_proto::v1::{JobStatus, PartyStatus};
use haihe_protocol::job::JobSpec;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    Format,
    client::{Connection, Operator},
};

/// Subcommands of `haihe job`.
#[derive(Subcommand)]
pub enum JobCommand {
    /// Check a job file; every problem is named.
    Validate {
        /// Job file.
        file: PathBuf,
    },
    /// Submit a job file to the coordinator.
    Submit {
        /// Job file.
        file: PathBuf,
        /// Where the coordinator is, and who asks.
        #[command(flatten)]
        connection: Connection,
        /// Stay until the job is over.
        #[arg(long)]
        watch: bool,
    },
    /// Show one job, or all of them.
    Status {
        /// Job id, or at least its first four digits.
        job: Option<String>,
        /// Where the coordinator is, and who asks.
        #[command(flatten)]
        connection: Connection,
    },
    /// Follow a job until it is over. Exit code 1 if it fails or is cancelled.
    Watch {
        /// Job id, or at least its first four digits.
        job: String,
        /// Where the coordinator is, and who asks.
        #[command(flatten)]
        connection: Connection,
    },
    /// Cancel a job.
    Cancel {
        /// Job id, or at least its first four digits.
        job: String,
        /// Why; goes into the journal.
        #[arg(long)]
        reason: String,
        /// Where the coordinator is, and who asks.
        #[command(flatten)]
        connection: Connection,
    },
}

/// Reads and checks a job file.
pub fn read_job(file: &PathBuf) -> anyhow::Result<(String, JobSpec)> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    match JobSpec::parse(&text) {
        Ok(spec) => Ok((text, spec)),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(|p| format!("  - {p}")).collect();
            bail!("{} has {} problem(s):\n{}", file.display(), problems.len(), lines.join("\n"))
        }
    }
}

/// Runs a subcommand.
pub async fn run(command: JobCommand, format: Format) -> anyhow::Result<()> {
    match command {
        JobCommand::Validate { file } => {
            let (_, spec) = read_job(&file)?;
            let rule = spec.committee_rule(spec.job.parties.len() as u32)?;
            if format == Format::Json {
                let value = json!({"valid": true, "name": spec.job.name, "kind": spec.kind().as_str(),
                    "parties": spec.job.parties, "columns": spec.data.columns.len(),
                    "committee": {"members": rule.members(), "privacy_threshold": rule.privacy_threshold(),
                                  "answers_needed": rule.answers_needed()}});
                println!("{value}");
            } else {
                println!(
                    "{} is valid: {:?}, a {} of {} columns over {} parties",
                    file.display(),
                    spec.job.name,
                    spec.kind().as_str(),
                    spec.data.columns.len(),
                    spec.job.parties.len()
                );
                println!(
                    "committee: {} members, {} answers needed, {} may collude with the coordinator and learn nothing",
                    rule.members(),
                    rule.answers_needed(),
                    rule.privacy_threshold()
                );
            }
            Ok(())
        }
        JobCommand::Submit { file, connection, watch } => {
            let (text, _) = read_job(&file)?;
            let mut operator = Operator::connect(&connection).await?;
            let status = operator.submit(text).await?;
            if !watch {
                return show(&[status], format);
            }
            let id = status.job_id.clone();
            follow(&mut operator, &id, format).await
        }
        JobCommand::Status { job, connection } => {
            let mut operator = Operator::connect(&connection).await?;
            let jobs = match job {
                Some(job) => vec![operator.status(&job).await?],
                None => operator.list().await?,
            };
            show(&jobs, format)
        }
        JobCommand::Watch { job, connection } => {
            let mut operator = Operator::connect(&connection).await?;
            follow(&mut operator, &job, format).await
        }
        JobCommand::Cancel { job, reason, connection } => {
            let mut operator = Operator::connect(&connection).await?;
            show(&[operator.cancel(&job, reason).await?], format)
        }
    }
}

/// A job's status as JSON.
pub fn to_json(s: &JobStatus) -> serde_json::Value {
    let party = |p: &PartyStatus| {
        json!({"party": p.party, "state": p.state, "detail": p.detail, "bytes_received": p.bytes_received,
               "connected": p.connected})
    };
    json!({
        "job_id": s.job_id, "name": s.name, "phase": s.phase, "detail": s.detail, "round": s.round, "step": s.step,
        "rounds_closed": s.rounds_closed, "accepted": s.accepted, "rejected": s.rejected, "late": s.late,
        "opened_ms": s.opened_ms, "closed_ms": s.closed_ms, "last_result": s.last_result,
        "parties": s.parties.iter().map(party).collect::<Vec<_>>(),
    })
}

fn show(jobs: &[JobStatus], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for job in jobs {
            println!("{}", to_json(job));
        }
        return Ok(());
    }
    if jobs.is_empty() {
        println!("no jobs");
    }
    for job in jobs {
        println!("{}  {}  {}", &job.job_id[..12.min(job.job_id.len())], job.name, job.phase);
        println!("  {}", job.detail.replace('\n', "\n  "));
        println!(
            "  rounds closed {}, contributions accepted {}, rejected {}, late {}",
            job.rounds_closed, job.accepted, job.rejected, job.late
        );
        println!("{}", parties(&job.parties));
    }
    Ok(())
}

fn parties(parties: &[PartyStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["party", "state", "connected", "bytes sent", ""]);
    for p in parties {
        let connected = if p.connected { "yes" } else { "no" };
        table.add_row([&p.party, &p.state, connected, &bytes(p.bytes_received), &p.detail]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Bytes for people.
pub fn bytes(n: u64) -> String {
    indicatif::BinaryBytes(n).to_string()
}

/// Follows a job to its end, with a line per closed round and a live line for what it waits for.
pub async fn follow(operator: &mut Operator, job: &str, format: Format) -> anyhow::Result<()> {
    let last = follow_quietly(operator, job, format).await?;
    match last.phase.as_str() {
        "finished" => Ok(()),
        _ => bail!("job {} {}: {}", &last.job_id[..12.min(last.job_id.len())], last.phase, last.detail),
    }
}

/// As [`follow`], but returns the last status whatever it is.
pub async fn follow_quietly(operator: &mut Operator, job: &str, format: Format) -> anyhow::Result<JobStatus> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    let mut watch = operator.watch(job).await?;
    let mut last = None;
    let mut closed = 0;
    while let Some(status) = watch.next().await? {
        if format == Format::Json {
            println!("{}", to_json(&status));
        } else {
            let sent: u64 = status.parties.iter().map(|p| p.bytes_received).sum();
            if status.rounds_closed > closed {
                closed = status.rounds_closed;
                let line = format!("round {:>3}  {:>10}  {}", closed, bytes(sent), status.last_result);
                if bar.is_hidden() { println!("{line}") } else { bar.println(line) }
            }
            bar.set_message(format!("{} · {}", status.phase, status.detail.lines().next().unwrap_or_default()));
        }
        last = Some(status);
    }
    bar.finish_and_clear();
    last.context("the coordinator said nothing about the job")
}
