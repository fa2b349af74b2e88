//! `haihe demo`: a whole federation on this machine, as separate processes over mutual TLS; and `haihe report`.

pub mod anomaly;
mod joint;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use haihe_models::export::{scorecard_csv, scorecard_json};
use haihe_protocol::{id::PartyId, job::JobSpec, journal::Entry};
use haihe_simulations::{baseline::compare, bundled, scenario::load_tables};

use crate::{
    Format, audit,
    client::{Connection, Operator},
    evidence,
    job::{bytes, follow_to_end},
    leaks::Circumstances,
    model::part::Folder,
    report::{
        self as page,
        data::{Note, Report},
    },
    show,
    town::{FEDERATION, PATIENCE, Town, line::Line},
};

const JOB: &str = include_str!("../../simulations/jobs/sba-scorecard.toml");

/// Arguments of `haihe demo`.
#[derive(Args)]
pub struct DemoArguments {
    /// Which demo.
    #[arg(value_enum, default_value_t = Name::Scorecard)]
    name: Name,
    /// Where results go; made anew. Default: target/demo/NAME.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Keep the folders of the four processes (keys, journals, logs) under OUT/parties.
    #[arg(long)]
    keep: bool,
    /// Put a slow line between every participant and the coordinator: its rate and its delay each way, such as 10mbit,50ms.
    #[arg(long, value_name = "RATE,DELAY")]
    line: Option<Line>,
}

/// Demos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Three banks build one credit scorecard on real loans to small firms.
    Scorecard,
    /// Bank, tax bureau and core enterprise build one scorecard from different columns of the same real firms.
    Joint,
    /// Three parties look for firms unlike the others: autoencoder, tail statistics and isolation forest on two data sets.
    Anomaly,
}

impl Name {
    fn folder(self) -> &'static str {
        match self {
            Name::Scorecard => "target/demo/scorecard",
            Name::Joint => "target/demo/joint",
            Name::Anomaly => "target/demo/anomaly",
        }
    }
}

/// Arguments of `haihe report`.
#[derive(Args)]
pub struct ReportArguments {
    /// Journal file (one JSON entry per line), or a job id when --coordinator is given.
    journal: String,
    /// Address of the coordinator, https://host:port.
    #[arg(long, env = "HAIHE_COORDINATOR", hide_env_values = true, requires = "operator")]
    coordinator: Option<String>,
    /// Folder with the operator's certificates.
    #[arg(long, env = "HAIHE_OPERATOR", hide_env_values = true)]
    operator: Option<PathBuf>,
    /// Name of the federation, for the heading.
    #[arg(long, default_value = FEDERATION)]
    federation: String,
    /// Of a joint scorecard: a participant's own folder of results of the job, whose part of the scorecard is shown too. What
    /// is written is then for that participant's people only. May be repeated.
    #[arg(long, value_name = "FOLDER")]
    part: Vec<PathBuf>,
    /// Folder for report.html, report.json, leak-report.json, model-card.md, scorecard.* and journal.jsonl.
    #[arg(long)]
    out: PathBuf,
}

/// Runs `haihe report`. With `--format json`, prints the leak report.
pub async fn report(arguments: ReportArguments, format: Format) -> anyhow::Result<()> {
    let entries = match (arguments.coordinator, arguments.operator) {
        (Some(coordinator), Some(operator)) => {
            Operator::connect(&Connection { coordinator, operator }).await?.journal(&arguments.journal).await?
        }
        _ => audit::read(Path::new(&arguments.journal))?,
    };
    if evidence::joint::is_joint(&entries) {
        let mut report = evidence::joint::report(&entries, &arguments.federation, |_| Default::default(), Vec::new())?;
        for folder in &arguments.part {
            evidence::joint::add_part(&mut report, Folder::read(folder)?)?;
        }
        joint::write_results(&arguments.out, &report, &entries)?;
        return written(&arguments.out, &report.leaks, format);
    }
    ensure!(
        arguments.part.is_empty(),
        "--part is for joint scorecards, whose parts lie at the parties: this job made none"
    );
    if evidence::learned::is_learned(&entries) {
        let circumstances =
            Circumstances { federation: &arguments.federation, scheme: "lattice", ..Circumstances::default() };
        let report = evidence::learned::report(&entries, &circumstances, |_| Default::default(), Vec::new())?;
        anomaly::write_results(&arguments.out, &report, &entries)?;
        return written(&arguments.out, &report.leaks, format);
    }
    let report = evidence::report(&entries, &arguments.federation, "lattice", |_| Default::default(), Vec::new())?;
    write_results(&arguments.out, &report, &entries)?;
    written(&arguments.out, &report.leaks, format)
}

fn written(out: &Path, leaks: &impl serde::Serialize, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string(leaks)?),
        Format::Text => println!("{}", out.join("report.html").display()),
    }
    Ok(())
}

/// Files of a finished job, as [`write_results`] writes them.
const RESULTS: [&str; 7] = [
    "report.html",
    "report.json",
    "leak-report.json",
    "model-card.md",
    "scorecard.json",
    "scorecard.csv",
    "journal.jsonl",
];

/// Writes everything that a finished job leaves behind.
pub fn write_results(out: &Path, report: &Report, entries: &[Entry]) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let write = |name: &str, text: String| {
        fs::write(out.join(name), text).with_context(|| format!("cannot write {}", out.join(name).display()))
    };
    write("report.html", page::render(report))?;
    write("report.json", serde_json::to_string_pretty(report)?)?;
    write("leak-report.json", serde_json::to_string_pretty(&report.leaks)?)?;
    write("model-card.md", page::model_card(report))?;
    write("scorecard.json", scorecard_json(&report.result.scorecard)?)?;
    write("scorecard.csv", scorecard_csv(&report.result.scorecard))?;
    audit::write(&out.join("journal.jsonl"), entries)
}

/// What each bank of the demo is.
pub fn describe(party: &PartyId) -> (String, String) {
    let (en, zh) = match party.as_str() {
        "bj" => ("bj: the largest lender", "bj：最大机构"),
        "tj" => ("tj: the next seven", "tj：其后七家"),
        "he" => ("he: all others", "he：其余机构"),
        _ => ("", ""),
    };
    (en.to_owned(), zh.to_owned())
}

/// What a reader must know of the demo's data.
pub fn notes() -> Vec<Note> {
    vec![Note {
        en: "The data are a public sample of United States small-business loans (SBA 7(a)), balanced so that half of the loans \
             defaulted. AUC and KS compare; probabilities of default are corrected to the population's rate of 17.6 %. The three \
             regions stand for real lender groups, not for places."
            .to_owned(),
        zh: "数据为美国小企业管理局 7(a) 贷款的公开样本，已配平至违约占一半：AUC 与 KS 可比；违约概率已按总体违约率 17.6 % 校正。\
             三地名称代表真实的贷款机构分组，并非地域。"
            .to_owned(),
    }]
}

/// Runs `haihe demo`.
pub async fn run(arguments: DemoArguments, format: Format) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from(arguments.name.folder()));
    match arguments.name {
        Name::Scorecard => scorecard(&arguments, out, format).await,
        Name::Joint => joint::run(&arguments, &out, format).await,
        Name::Anomaly => anomaly::run(&arguments, &out, format).await,
    }
}

/// A line, for `summary.json`: null without one.
fn line_text(line: Option<Line>) -> Option<String> {
    line.map(|line| line.to_string())
}

/// Tells of the line, if there is one.
fn say_line(line: Option<Line>, say: &dyn Fn(String)) {
    if let Some(line) = line {
        say(format!("between every participant and the coordinator: a line of {line} each way"));
    }
}

/// Three banks.
async fn scorecard(arguments: &DemoArguments, out: PathBuf, format: Format) -> anyhow::Result<()> {
    let started = Instant::now();
    clear(&out)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let temporary = tempfile::Builder::new().prefix("haihe-demo-").tempdir()?;
    let root = if arguments.keep { fs::canonicalize(&out)?.join("parties") } else { temporary.path().to_owned() };
    let say = |line: String| {
        if format == Format::Text {
            println!("{line}");
        }
    };
    say("Three banks build one credit scorecard. No row leaves a bank.".to_owned());
    let spec = JobSpec::parse(JOB).map_err(|p| anyhow::anyhow!("the demo's job: {p:?}"))?;
    let data = out.join("data");
    bundled::write_sba_silos(&data).context("writing the banks' files")?;
    fs::write(out.join("job.toml"), JOB)?;
    let parties = &spec.job.parties;
    let town = Town::build(&root, parties)?.over(arguments.line);
    let (coordinator, url) = town.start_coordinator(None)?;
    say(format!("coordinator listens on {url} (mutual TLS, authority made just now)"));
    say_line(arguments.line, &say);
    let mut participants = Vec::new();
    for party in parties {
        let file = data.join(party.as_str()).join("loans.csv");
        participants.push(town.start_participant(party, &url, &file, &spec)?);
        say(format!("participant started, {}", describe(party).0));
    }

    let mut operator = Operator::connect(&town.operator(&url)).await?;
    let job = operator.submit(JOB.to_owned()).await?.job_id;
    say(format!("job {} submitted: {} columns, {} parties\n", &job[..12], spec.data.columns.len(), parties.len()));
    let last = follow_to_end(&mut operator, &job, format).await;
    for process in &mut participants {
        process.check()?;
    }
    let last = last?;
    ensure!(last.phase == "finished", "the job {}: {}", last.phase, last.detail);
    let entries = operator.journal(&job).await?;
    let mut report = evidence::report(&entries, FEDERATION, "lattice", describe, notes())?;
    wait_for_results(&town, parties, &job)?;
    for process in participants {
        process.stop()?;
    }
    coordinator.stop()?;

    say(
        "\ncomparing with models that only somebody with all rows could fit (the demo has them; a federation does not)"
            .to_owned(),
    );
    let files: Vec<_> = parties.iter().map(|p| (p.clone(), data.join(p.as_str()).join("loans.csv"))).collect();
    let tables = load_tables(&spec, &files).await?;
    let comparison = compare(&spec, &report.result, &tables)?;
    report.comparison = Some(comparison.clone());
    write_results(&out, &report, &entries)?;
    let mut summary = show::summary(&report, &comparison, started.elapsed().as_secs_f64());
    summary["line"] = line_text(arguments.line).into();
    fs::write(out.join("summary.json"), serde_json::to_string_pretty(&summary)?)?;
    match format {
        Format::Json => println!("{summary}"),
        Format::Text => {
            print!("{}", show::tables(&comparison));
            let sent: Vec<String> =
                report.parties.iter().map(|p| format!("{} {}", p.party, bytes(p.bytes_sent))).collect();
            println!("\n{} rounds, sent: {}; rows sent: 0", report.rounds.len(), sent.join(", "));
            println!("report: {}", out.join("report.html").display());
            println!("{:.1} s", started.elapsed().as_secs_f64());
        }
    }
    show::judge(&comparison)
}

/// Removes what an earlier demo left, and nothing else: a demo that fails must not leave another one's figures.
fn clear(out: &Path) -> anyhow::Result<()> {
    let done = |result: std::io::Result<()>, path: PathBuf| match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    };
    for folder in ["data", "parties"] {
        done(fs::remove_dir_all(out.join(folder)), out.join(folder))?;
    }
    for file in RESULTS.into_iter().chain(["summary.json", "job.toml"]) {
        done(fs::remove_file(out.join(file)), out.join(file))?;
    }
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("scorecard-") && name.ends_with(".csv") {
            done(fs::remove_file(entry.path()), entry.path())?;
        }
    }
    Ok(())
}

/// The banks write their own results when they hear that the job is finished.
fn wait_for_results(town: &Town, parties: &[PartyId], job: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    for party in parties {
        let own = town.folder(party.as_str()).join("state/results").join(job).join("own.json");
        while !own.exists() {
            ensure!(since.elapsed() < PATIENCE, "{party} did not keep its result within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
