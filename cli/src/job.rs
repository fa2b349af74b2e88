//! `haihe job`: validate, submit, status, watch, cancel.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_proto::v1::{JobStatus, PartyStatus};
use haihe_protocol::{
    job::JobSpec,
    vertical::{HolderSpec, VerticalOptions},
};
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
            validated(&file, &spec, format)
        }
        JobCommand::Submit { file, connection, watch } => {
            let (text, spec) = read_job(&file)?;
            let mut operator = Operator::connect(&connection).await?;
            let status = operator.submit(text).await?;
            if let (Format::Text, Some(vertical)) = (format, &spec.vertical) {
                println!("{}", holders(vertical));
            }
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
            show(&jobs, format)?;
            if let ([job], Format::Text) = (jobs.as_slice(), format)
                && let Some(vertical) = operator.job_file(&job.job_id).await?.and_then(|spec| spec.vertical)
            {
                println!("{}", holders(&vertical));
            }
            Ok(())
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

/// What `haihe job validate` says of a valid file.
fn validated(file: &Path, spec: &JobSpec, format: Format) -> anyhow::Result<()> {
    let (name, kind, parties) = (&spec.job.name, spec.kind().as_str(), spec.job.parties.len());
    if let Some(vertical) = &spec.vertical {
        let columns: usize = vertical.holders.iter().map(|h| h.columns.len()).sum();
        if format == Format::Json {
            let holder = |h: &HolderSpec| json!({"party": h.party, "view": h.view, "key": h.key, "label": h.label, "columns": h.columns.len()});
            let value = json!({"valid": true, "name": name, "kind": kind, "parties": spec.job.parties, "columns": columns,
                "label_holder": vertical.label_holder, "holders": vertical.holders.iter().map(holder).collect::<Vec<_>>()});
            println!("{value}");
        } else {
            println!("{} is valid: {name:?}, a {kind} of {columns} columns over {parties} parties", file.display());
            println!("{}", holders(vertical));
            println!(
                "{} has the labels; a firm must be at all parties, at least {} of them, and nobody brings more than {}",
                vertical.label_holder, vertical.alignment.min_common, vertical.alignment.max_firms
            );
            println!("letters are sealed from party to party: the coordinator opens none, and there is no committee");
        }
        return Ok(());
    }
    let rule = spec.committee_rule(parties as u32)?;
    if format == Format::Json {
        let value = json!({"valid": true, "name": name, "kind": kind,
            "parties": spec.job.parties, "columns": spec.data.columns.len(),
            "committee": {"members": rule.members(), "privacy_threshold": rule.privacy_threshold(),
                          "answers_needed": rule.answers_needed()}});
        println!("{value}");
    } else {
        let columns = spec.data.columns.len();
        println!("{} is valid: {name:?}, a {kind} of {columns} columns over {parties} parties", file.display());
        println!(
            "committee: {} members, {} answers needed, {} may collude with the coordinator and learn nothing",
            rule.members(),
            rule.answers_needed(),
            rule.privacy_threshold()
        );
    }
    Ok(())
}

/// Who holds what in a vertical job.
fn holders(vertical: &VerticalOptions) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["holder", "brings", "view", "key", "columns"]);
    for h in &vertical.holders {
        let brings = match (&h.label, h.party == vertical.label_holder) {
            (Some(label), _) => format!("label {label:?} and features"),
            (None, true) => "the firms that are scored".to_owned(),
            (None, false) => "features".to_owned(),
        };
        table.add_row([h.party.clone(), brings, h.view.clone(), h.key.clone(), h.columns.len().to_string()]);
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
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
        let (rounds, messages) = if is_vertical(job) { ("exchanges", "parcels") } else { ("rounds", "contributions") };
        println!(
            "  {rounds} closed {}, {messages} accepted {}, rejected {}, late {}",
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

/// True if the job is known to be made of exchanges: what it last came to says how many parcels there were.
fn is_vertical(job: &JobStatus) -> bool {
    job.phase == "exchanging" || job.last_result.contains(" parcels with ")
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

/// Steps inside a pass, which come by the dozen.
fn is_passing(result: &str) -> bool {
    ["waits", ", products", ", direction"].iter().any(|word| result.contains(word))
}

/// Follows a job to its end: aloud for people, silently for scripts, which are told the result alone.
pub async fn follow_to_end(operator: &mut Operator, job: &str, format: Format) -> anyhow::Result<JobStatus> {
    if format == Format::Text {
        return follow_quietly(operator, job, format).await;
    }
    let mut watch = operator.watch(job).await?;
    let mut last = None;
    while let Some(status) = watch.next().await? {
        last = Some(status);
    }
    last.context("the coordinator said nothing about the job")
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
                let line = match is_vertical(&status) {
                    // What is said of an exchange is said by a party: only what moves the job on makes a line.
                    true if is_passing(&status.last_result) => None,
                    true => {
                        let (what, _) = status.last_result.rsplit_once(": ").unwrap_or((&status.last_result, ""));
                        Some(format!("exchange {closed:>3}  {:>10}  {what}", bytes(sent)))
                    }
                    false => Some(format!("round {closed:>3}  {:>10}  {}", bytes(sent), status.last_result)),
                };
                if let Some(line) = line {
                    if bar.is_hidden() { println!("{line}") } else { bar.println(line) }
                }
            }
            bar.set_message(format!("{} · {}", status.phase, status.detail.lines().next().unwrap_or_default()));
        }
        last = Some(status);
    }
    bar.finish_and_clear();
    last.context("the coordinator said nothing about the job")
}
