//! `haihe demo joint`: bank, tax bureau and core enterprise as real processes learn one scorecard for their common firms.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use haihe_models::{
    export::block_csv,
    metrics::Ranking,
    table::Split,
    vertical::{log_odds, score::Block},
};
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    journal::{Entry, Event},
    vertical::work::{Firms, ScoredResult},
};
use haihe_simulations::{bundled, joint::compare, scenario::load_firms};

use super::{DemoArguments, clear, say_line};
use crate::{
    Format, audit,
    client::Operator,
    evidence,
    job::follow_to_end,
    model::part::Folder,
    pki::Role,
    report::{
        data::Note,
        joint::{
            self as page,
            data::{JointReport, ScoringFacts},
        },
    },
    show::joint::{self as show, Course},
    town::{FEDERATION, PATIENCE, Process, Town, line::Line},
};

const JOB: &str = include_str!("../../../simulations/jobs/polish-joint.toml");
/// Who is absent from the last scoring.
const ABSENT: &str = "core";
/// How long the last scoring waits for it.
const ABSENT_SECONDS: i64 = 4;

/// What each party of the demo is.
pub fn describe(party: &PartyId) -> (String, String) {
    let (en, zh) = match party.as_str() {
        "bank" => ("bank: loans and defaults", "银行：贷款与违约"),
        "tax" => ("tax bureau: profit and sales", "税务：利润与销售"),
        "core" => ("core enterprise: turnover", "核心企业：周转"),
        _ => ("", ""),
    };
    (en.to_owned(), zh.to_owned())
}

fn role(party: &PartyId) -> Role {
    match party.as_str() {
        "tax" => Role::Government,
        "core" => Role::Enterprise,
        _ => Role::Bank,
    }
}

/// What a reader must know of the demo's data.
fn notes() -> Vec<Note> {
    vec![Note {
        en: "The firms are real: 5,910 Polish manufacturers with 64 financial ratios, 6.9 % bankrupt within a year. Their division \
             among bank, tax bureau and core enterprise is ours, and so are the codes that join them. Only about a hundred test \
             firms went bankrupt: differences of AUC below one standard error say little."
            .to_owned(),
        zh: "企业数据真实：5,910 家波兰制造企业的 64 项财务比率，一年内破产占 6.9 %。银行、税务与核心企业之间的划分及统一社会信用代码\
             为演示所设。测试样本中破产企业仅百余家，小于一个标准误的 AUC 差异意义不大。"
            .to_owned(),
    }]
}

/// The demo while it runs.
struct Stage {
    town: Town,
    spec: JobSpec,
    files: Vec<(PartyId, PathBuf)>,
    participants: BTreeMap<PartyId, Process>,
    operator: Operator,
    format: Format,
}

/// A job that was followed to its end.
struct Done {
    job: String,
    entries: Vec<Entry>,
}

impl Stage {
    fn say(&self, line: impl AsRef<str>) {
        if self.format == Format::Text {
            println!("{}", line.as_ref());
        }
    }

    /// Submits a job and stays with it.
    async fn run(&mut self, toml: &str) -> anyhow::Result<Done> {
        let job = self.operator.submit(toml.to_owned()).await?.job_id;
        self.say(format!("job {} submitted", &job[..12]));
        let last = follow_to_end(&mut self.operator, &job, self.format).await;
        for process in self.participants.values_mut() {
            process.check()?;
        }
        let last = last?;
        ensure!(last.phase == "finished", "the job {}: {}", last.phase, last.detail);
        let entries = self.operator.journal(&job).await?;
        let present: Vec<&PartyId> = self.participants.keys().collect();
        wait_for_files(&self.town, &present, &job)?;
        Ok(Done { job, entries })
    }

    /// A party's folder of results.
    fn results(&self, party: &PartyId, job: &str) -> PathBuf {
        self.town.folder(party.as_str()).join("state/results").join(job)
    }

    /// A file that a party kept of a job, from its own state folder.
    fn kept(&self, party: &PartyId, job: &str, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.results(party, job).join(name);
        fs::read(&path).with_context(|| format!("{party} kept no {name}: {}", path.display()))
    }

    /// Scores the label holder's firms with a learned model.
    async fn score(
        &mut self,
        learned: &Done,
        offline: &[u8],
        own: &Firms,
        absent: Option<&str>,
    ) -> anyhow::Result<ScoringFacts> {
        let begun = Instant::now();
        let scored = self.run(&scoring_job(&learned.job, absent)?).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let result: ScoredResult =
            serde_json::from_str(&self.operator.result(&scored.job).await?).context("the result of the scoring")?;
        let bank = PartyId::new(self.label_holder())?;
        let online = self.kept(&bank, &scored.job, "scores.csv")?;
        let lines = read_scores(&online)?;
        ensure!(lines.len() as u64 == result.scored, "{} scores for {} firms", lines.len(), result.scored);
        let mark = absent.unwrap_or_default();
        let unmarked = lines.values().filter(|line| line.without != mark).count();
        ensure!(unmarked == 0, "{unmarked} scores are not marked as made without {mark:?}");
        Ok(ScoringFacts {
            job: scored.job,
            asked: result.asked,
            scored: result.scored,
            without: result.without,
            equal_to_evaluation: online == offline,
            test_auc: test_auc(&lines, own),
            seconds,
        })
    }

    fn label_holder(&self) -> String {
        self.spec.vertical.as_ref().map_or_else(String::new, |v| v.label_holder.clone())
    }
}

/// The parties write their files when they hear that the job is finished; `result.json` last.
fn wait_for_files(town: &Town, parties: &[&PartyId], job: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    for party in parties {
        let result = town.folder(party.as_str()).join("state/results").join(job).join("result.json");
        while !result.exists() {
            ensure!(since.elapsed() < PATIENCE, "{party} did not keep its result within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// The learning job with a table `[scoring]`.
pub fn scoring_job(model: &str, absent: Option<&str>) -> anyhow::Result<String> {
    let mut job: toml::Table = toml::from_str(JOB)?;
    let mut scoring = toml::Table::new();
    scoring.insert("model".to_owned(), model.into());
    let entry = |job: &mut toml::Table, table: &str, key: &str, value: toml::Value| {
        if let Some(table) = job.get_mut(table).and_then(toml::Value::as_table_mut) {
            table.insert(key.to_owned(), value);
        }
    };
    entry(&mut job, "job", "name", "polish-joint-scores".into());
    if let Some(absent) = absent {
        scoring.insert("may_be_absent".to_owned(), vec![absent].into());
        entry(&mut job, "job", "name", format!("polish-joint-scores-without-{absent}").into());
        entry(&mut job, "deadlines", "join_seconds", ABSENT_SECONDS.into());
    }
    job.insert("scoring".to_owned(), scoring.into());
    Ok(toml::to_string(&job)?)
}

/// A line of a file of scores.
struct Scored {
    units: i64,
    without: String,
}

/// Scores by key.
fn read_scores(csv: &[u8]) -> anyhow::Result<BTreeMap<String, Scored>> {
    let text = std::str::from_utf8(csv).context("a file of scores")?;
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let units = fields.get(1).and_then(|units| units.parse().ok());
        let (key, without) = (fields.first()?.to_string(), fields.last()?.to_string());
        Some((key, Scored { units: units?, without }))
    };
    text.lines().skip(1).map(|l| line(l).with_context(|| format!("cannot read the score {l:?}"))).collect()
}

/// Scores and outcomes of the test firms that were scored.
fn tested(lines: &BTreeMap<String, Scored>, own: &Firms) -> (Vec<i64>, Vec<bool>) {
    let rows = own.keys.iter().enumerate().filter(|(row, _)| own.table.split[*row] == Split::Test);
    rows.filter_map(|(row, key)| Some((lines.get(key)?.units, own.table.label[row]))).unzip()
}

fn test_auc(lines: &BTreeMap<String, Scored>, own: &Firms) -> Option<f64> {
    let (units, bad) = tested(lines, own);
    let good: Vec<f64> = units.iter().map(|u| -log_odds(*u)).collect();
    Ranking::of_rows(&good, &bad).ok().map(|r| r.auc)
}

/// Writes everything that a finished joint job leaves behind.
pub fn write_results(out: &Path, report: &JointReport, entries: &[Entry]) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let write = |name: &str, text: String| {
        fs::write(out.join(name), text).with_context(|| format!("cannot write {}", out.join(name).display()))
    };
    write("report.html", page::render(report))?;
    write("report.json", serde_json::to_string_pretty(report)?)?;
    write("leak-report.json", serde_json::to_string_pretty(&report.leaks)?)?;
    for owner in &report.owners {
        write(&format!("scorecard-{}.csv", owner.party), block_csv(&owner.block, &report.terms.scaling))?;
    }
    audit::write(&out.join("journal.jsonl"), entries)
}

/// Seconds from the opening of the first exchange to the finished model.
fn learning_seconds(entries: &[Entry]) -> anyhow::Result<f64> {
    let (mut first, mut last) = (None, None);
    for entry in entries {
        match entry.event()? {
            Event::ExchangeOpened { .. } => first = first.or(Some(entry.at)),
            Event::JobFinished { .. } => last = Some(entry.at),
            _ => {}
        }
    }
    let (first, last) = first.zip(last).context("the journal has no finished exchanges")?;
    Ok(last.0.saturating_sub(first.0) as f64 / 1000.0)
}

/// Starts everybody.
async fn stage(root: &Path, data: &Path, line: Option<Line>, format: Format) -> anyhow::Result<(Stage, Process)> {
    let spec = JobSpec::parse(JOB).map_err(|p| anyhow::anyhow!("the demo's job: {p:?}"))?;
    let files = bundled::write_polish_joint(data).context("writing the parties' files")?;
    let files = files.into_iter().map(|(party, file)| Ok((PartyId::new(&party)?, file)));
    let files: Vec<(PartyId, PathBuf)> = files.collect::<anyhow::Result<_>>()?;
    let members: Vec<_> = spec.job.parties.iter().map(|p| (p.clone(), role(p))).collect();
    let town = Town::build_of(root, &members)?.over(line);
    let (coordinator, url) = town.start_coordinator(None)?;
    let operator = Operator::connect(&town.operator(&url)).await?;
    let mut stage = Stage { town, spec, files, participants: BTreeMap::new(), operator, format };
    stage.say(format!("coordinator listens on {url} (mutual TLS, authority made just now)"));
    say_line(line, &|text| stage.say(text));
    for (party, file) in stage.files.clone() {
        let process = stage.town.start_participant(&party, &url, &file, &stage.spec)?;
        stage.participants.insert(party.clone(), process);
        stage.say(format!("participant started, {}", describe(&party).0));
    }
    Ok((stage, coordinator))
}

/// Runs the demo.
pub async fn run(arguments: &DemoArguments, out: &Path, format: Format) -> anyhow::Result<()> {
    let started = Instant::now();
    clear(out)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let temporary = tempfile::Builder::new().prefix("haihe-demo-").tempdir()?;
    let root = if arguments.keep { fs::canonicalize(out)?.join("parties") } else { temporary.path().to_owned() };
    if format == Format::Text {
        println!(
            "Bank, tax bureau and core enterprise learn one scorecard for the firms that all three know.\nNo row, no label and no \
             column leaves its owner."
        );
    }
    fs::write(out.join("job.toml"), JOB)?;
    let (mut stage, coordinator) = stage(&root, &out.join("data"), arguments.line, format).await?;
    let learned = stage.run(JOB).await?;
    let mut report = evidence::joint::report(&learned.entries, FEDERATION, describe, notes())?;

    // From here on the demo looks into all parties' folders, as nobody in a federation can.
    let bank = report.label_holder().clone();
    for party in stage.spec.job.parties.clone() {
        evidence::joint::add_part(&mut report, Folder::read(&stage.results(&party, &learned.job))?)?;
    }
    let blocks: BTreeMap<PartyId, Block> = report.owners.iter().map(|o| (o.party.clone(), o.block.clone())).collect();
    let offline = stage.kept(&bank, &learned.job, "evaluation-scores.csv")?;
    let firms = load_firms(&stage.spec, &stage.files).await?;
    let own =
        firms.iter().find(|(party, _)| *party == bank).map(|(_, f)| f.clone()).context("the label holder's firms")?;

    stage.say("\nscoring the bank's firms with the learned model, everybody present");
    report.scorings.push(stage.score(&learned, &offline, &own, None).await?);
    let absent = PartyId::new(ABSENT)?;
    if let Some(process) = stage.participants.remove(&absent) {
        process.stop()?;
    }
    stage.say(format!("\n{absent} is stopped; scoring again, with may_be_absent = [\"{absent}\"]"));
    report.scorings.push(stage.score(&learned, &offline, &own, Some(ABSENT)).await?);
    for (_, process) in std::mem::take(&mut stage.participants) {
        process.stop()?;
    }
    coordinator.stop()?;

    stage.say("\ncomparing with models that only somebody with all columns could fit (the demo has them; a federation does not)");
    let comparison = compare(&stage.spec, &firms, &blocks)?;
    report.comparison = Some(comparison.clone());
    write_results(out, &report, &learned.entries)?;
    let course = Course {
        seconds: started.elapsed().as_secs_f64(),
        learning_seconds: learning_seconds(&learned.entries)?,
        line: arguments.line,
    };
    let summary = show::summary(&report, &comparison, &course);
    fs::write(out.join("summary.json"), serde_json::to_string_pretty(&summary)?)?;
    match format {
        Format::Json => println!("{summary}"),
        Format::Text => {
            print!("{}", show::tables(&report, &comparison, &course));
            println!("report: {}\n{:.1} s", out.join("report.html").display(), started.elapsed().as_secs_f64());
        }
    }
    show::judge(&report, &comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scoring_jobs_are_valid_and_ask_for_the_same_columns() {
        let learning = JobSpec::parse(JOB).expect("the demo's job");
        for absent in [None, Some(ABSENT)] {
            let spec = scoring_job("0123abcd", absent).map(|toml| JobSpec::parse(&toml)).expect("TOML").expect("a job");
            let scoring = spec.scoring.as_ref().expect("a scoring");
            assert_eq!(
                (scoring.model.as_str(), scoring.may_be_absent.len()),
                ("0123abcd", usize::from(absent.is_some()))
            );
            assert_eq!(spec.vertical, learning.vertical);
            assert_eq!(spec.min_parties(), 3 - scoring.may_be_absent.len() as u32);
        }
    }

    #[test]
    fn a_file_of_scores_is_read_line_by_line() {
        let csv = "key,log_odds_units,probability_of_default,score,tier,warning,without\na,-7,0.1,90.0,A,None,\nb,9,0.2,80.0,B,None,core\n";
        let lines = read_scores(csv.as_bytes()).expect("scores");
        assert_eq!((lines["a"].units, lines["a"].without.as_str()), (-7, ""));
        assert_eq!((lines["b"].units, lines["b"].without.as_str()), (9, "core"));
        assert!(read_scores(b"key,log_odds_units\na,much\n").is_err());
    }
}
