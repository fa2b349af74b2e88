//! `haihe demo anomaly`: three parties as real processes look for firms unlike the others, with three methods on two data sets.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use haihe_models::table::{Split, Table};
use haihe_protocol::{horizontal::JobResult, id::PartyId, job::JobSpec, journal::Entry, vertical::work::Firms};
use haihe_simulations::{bundled, detection::compare, scenario::load_firms};

use super::{DemoArguments, clear, line_text, say_line, wait_for_results};
use crate::{
    Format, audit,
    client::Operator,
    evidence,
    job::follow_to_end,
    leaks::Circumstances,
    report::learned::{
        self as page,
        data::{Flagged, LearnedReport, Learnt, Note, Reports, SetReport, Silo},
    },
    show::anomaly as show,
    town::{FEDERATION, Process, Town, line::Line},
};

/// Rows with a warning that a report shows per job.
const SHOWN: usize = 12;
/// What a participant keeps of a trained network.
const MODEL: [&str; 3] = ["model.safetensors", "model.onnx", "model-card.json"];

/// Writes the files of the parties into a folder: each party and its file.
type Write = fn(&Path) -> std::io::Result<Vec<(String, PathBuf)>>;

/// A data set of the demo with its jobs.
struct Set {
    key: &'static str,
    title: [&'static str; 2],
    write: Write,
    jobs: [&'static str; 3],
}

macro_rules! jobs {
    ($set:literal) => {
        [
            include_str!(concat!("../../../simulations/jobs/", $set, "-anomaly-autoencoder.toml")),
            include_str!(concat!("../../../simulations/jobs/", $set, "-anomaly-tails.toml")),
            include_str!(concat!("../../../simulations/jobs/", $set, "-anomaly-forest.toml")),
        ]
    };
}

const SETS: [Set; 2] = [
    Set {
        key: "polish",
        title: ["Polish manufacturers, silos alike", "波兰制造企业（各方数据相似）"],
        write: bundled::write_polish_silos,
        jobs: jobs!("polish"),
    },
    Set {
        key: "cardio",
        title: ["Heart traces, silos that differ", "胎心监护（各方数据差异明显）"],
        write: bundled::write_cardio_silos,
        jobs: jobs!("cardio"),
    },
];

fn parse(toml: &str) -> anyhow::Result<JobSpec> {
    JobSpec::parse(toml).map_err(|p| anyhow::anyhow!("the demo's job: {p:?}"))
}

/// What a reader must know of the demo's data.
fn notes() -> Vec<Note> {
    vec![Note {
        en: "The firms are real: 5,910 Polish manufacturers, of whom 6.9 % went bankrupt within a year; here bankruptcy stands for \
             anomaly, which it is only in part. The heart traces are a public set for anomaly models, dealt to three parties by \
             heart rate so that none has seen the others' normal. Few test rows are bad (114 and 55): differences of one \
             standard error say little. The division and the shape of the networks are ours, chosen to show what skew does."
            .to_owned(),
        zh: "企业数据真实：5,910 家波兰制造企业，6.9 % 在一年内破产；此处以破产代表异常，二者仅部分重合。胎心监护为公开的异常检测数据集，\
             按心率分给三方，使各方未见过他方的“正常”。测试样本中坏的很少（114 与 55），一个标准误以内的差异意义不大。\
             数据划分与网络结构为演示所选，用以展示数据偏斜的影响。"
            .to_owned(),
    }]
}

/// A federation of the demo while it runs.
struct Stage {
    town: Town,
    parties: Vec<PartyId>,
    processes: Vec<Process>,
    operator: Operator,
    format: Format,
}

/// A job that was followed to its end.
struct Done {
    toml: &'static str,
    spec: JobSpec,
    job: String,
    entries: Vec<Entry>,
    result: JobResult,
}

impl Stage {
    /// Starts everybody. All jobs of a set ask for the same data, so that one policy accepts them all.
    async fn start(
        root: &Path,
        spec: &JobSpec,
        files: &[(PartyId, PathBuf)],
        (line, format): (Option<Line>, Format),
    ) -> anyhow::Result<(Self, Process)> {
        let parties = spec.job.parties.clone();
        let town = Town::build(root, &parties)?.over(line);
        let (coordinator, url) = town.start_coordinator(None)?;
        let mut processes = Vec::new();
        for (party, file) in files {
            processes.push(town.start_participant(party, &url, file, spec)?);
        }
        let operator = Operator::connect(&town.operator(&url)).await?;
        say(
            format,
            format!("coordinator listens on {url} (mutual TLS, authority made just now), {} participants", files.len()),
        );
        say_line(line, &|text| say(format, text));
        Ok((Self { town, parties, processes, operator, format }, coordinator))
    }

    /// Submits a job and stays with it.
    async fn run(&mut self, toml: &'static str) -> anyhow::Result<Done> {
        let spec = parse(toml)?;
        let job = self.operator.submit(toml.to_owned()).await?.job_id;
        say(self.format, format!("\n{}: job {} submitted", spec.job.name, &job[..12]));
        let last = follow_to_end(&mut self.operator, &job, self.format).await;
        for process in &mut self.processes {
            process.check()?;
        }
        let last = last?;
        ensure!(last.phase == "finished", "the job {}: {}", last.phase, last.detail);
        let entries = self.operator.journal(&job).await?;
        let result = JobResult::read(&spec, &self.operator.result(&job).await?).context("a job made of sums")?;
        wait_for_results(&self.town, &self.parties, &job)?;
        Ok(Done { toml, result: result.context("the job's result")?, spec, job, entries })
    }

    /// Where a party keeps what came of a job: nobody else in a federation can look there.
    fn kept(&self, party: &PartyId, job: &str) -> PathBuf {
        self.town.folder(party.as_str()).join("state/results").join(job)
    }

    /// Copies what the parties keep of a job: the model, and each party's own warnings.
    fn copy_kept(&self, done: &Done, folder: &Path) -> anyhow::Result<()> {
        let copy = |from: PathBuf, to: PathBuf| {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
        };
        for party in &self.parties {
            copy(self.kept(party, &done.job).join("anomalies.csv"), folder.join(format!("anomalies-{party}.csv")))?;
        }
        if done.result.learned().is_some() {
            let first = self.parties.first().context("a federation of nobody")?;
            for name in MODEL {
                copy(self.kept(first, &done.job).join(name), folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn say(format: Format, line: impl AsRef<str>) {
    if format == Format::Text {
        println!("{}", line.as_ref());
    }
}

/// The rows that the parties wrote down with a warning, highest scores first; the demo knows how they ended.
fn flagged(folder: &Path, firms: &[(PartyId, Firms)]) -> anyhow::Result<Vec<Flagged>> {
    let mut all = Vec::new();
    for (party, own) in firms {
        let path = folder.join(format!("anomalies-{party}.csv"));
        let labels: BTreeMap<&str, bool> =
            own.keys.iter().map(String::as_str).zip(own.table.label.iter().copied()).collect();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in text.lines().skip(1) {
            let mut fields = line.splitn(5, ',');
            let mut next = || fields.next().with_context(|| format!("{}: a short line", path.display()));
            let (key, split, score) = (next()?, next()?, next()?.parse().context("a score")?);
            all.push(Flagged {
                party: party.clone(),
                bad: labels.get(key).copied(),
                key: key.to_owned(),
                split: split.to_owned(),
                score,
                warning: next()?.to_owned(),
                drivers: next()?.trim_matches('"').to_owned(),
            });
        }
    }
    all.retain(|f| f.split == "test");
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all.truncate(SHOWN);
    Ok(all)
}

fn silo(party: &PartyId, table: &Table) -> Silo {
    let count = |split: Split, bad: bool| {
        let rows = table.split.iter().zip(&table.label);
        rows.filter(|(s, label)| **s == split && (!bad || **label)).count() as u64
    };
    Silo {
        party: party.clone(),
        train: count(Split::Train, false),
        train_bad: count(Split::Train, true),
        test: count(Split::Test, false),
        test_bad: count(Split::Test, true),
    }
}

/// Writes the files of one job.
pub fn write_job(folder: &Path, report: &LearnedReport, entries: &[Entry]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(folder, "leak-report.json", &serde_json::to_string_pretty(&report.leaks)?)?;
    audit::write(&folder.join("journal.jsonl"), entries)
}

/// Writes everything that one finished job leaves behind, with a page of its own.
pub fn write_results(out: &Path, report: &LearnedReport, entries: &[Entry]) -> anyhow::Result<()> {
    write_job(out, report, entries)?;
    write(out, "report.html", &page::render(report))?;
    write(out, "report.json", &serde_json::to_string_pretty(report)?)
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    fs::write(folder.join(name), text).with_context(|| format!("cannot write {}", folder.join(name).display()))
}

/// One data set: a federation, its three jobs, and what comes of them.
async fn run_set(set: &Set, root: &Path, out: &Path, how: (Option<Line>, Format)) -> anyhow::Result<SetReport> {
    let (_, format) = how;
    say(format, format!("\n{} ({})", set.title[0], set.key));
    let files = (set.write)(&out.join("data").join(set.key)).context("writing the parties' files")?;
    let files = files.into_iter().map(|(party, file)| Ok((PartyId::new(&party)?, file)));
    let files: Vec<(PartyId, PathBuf)> = files.collect::<anyhow::Result<_>>()?;
    let first = parse(set.jobs[0])?;
    let (mut stage, coordinator) = Stage::start(&root.join(set.key), &first, &files, how).await?;
    let mut ended = Vec::new();
    for toml in set.jobs {
        let done = stage.run(toml).await?;
        let folder = out.join(&done.spec.job.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write(&folder, "job.toml", done.toml)?;
        stage.copy_kept(&done, &folder)?;
        ended.push(done);
    }
    for process in stage.processes.drain(..) {
        process.stop()?;
    }
    coordinator.stop()?;
    say(
        format,
        "\ncomparing with pooled training and with every party alone (the demo has all rows; a federation does not)",
    );
    let firms = load_firms(&first, &files).await?;
    let tables: Vec<_> = firms.iter().map(|(party, own)| (party.clone(), Arc::new(own.table.clone()))).collect();
    let mut jobs = Vec::new();
    for done in &ended {
        jobs.push(job_report(done, &out.join(&done.spec.job.name), &firms, &tables)?);
    }
    let title = Note { en: set.title[0].to_owned(), zh: set.title[1].to_owned() };
    let silos = tables.iter().map(|(party, table)| silo(party, table)).collect();
    Ok(SetReport { key: set.key.to_owned(), title, silos, jobs })
}

fn job_report(
    done: &Done,
    folder: &Path,
    firms: &[(PartyId, Firms)],
    tables: &[(PartyId, Arc<Table>)],
) -> anyhow::Result<LearnedReport> {
    let circumstances = Circumstances { federation: FEDERATION, scheme: "lattice", ..Circumstances::default() };
    let mut report = evidence::learned::report(&done.entries, &circumstances, |_| Default::default(), Vec::new())?;
    let result = done.result.anomaly().context("the job trains an anomaly model")?;
    if let Learnt::Anomaly(facts) = &mut report.learnt {
        facts.comparison = Some(compare(&done.spec, result, tables)?);
    }
    report.flagged = flagged(folder, firms)?;
    write_job(folder, &report, &done.entries)?;
    Ok(report)
}

/// Removes what an earlier demo left of its jobs.
fn clear_jobs(out: &Path) -> anyhow::Result<()> {
    for toml in SETS.iter().flat_map(|s| s.jobs) {
        let folder = out.join(parse(toml)?.job.name);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs the demo.
pub async fn run(arguments: &DemoArguments, out: &Path, format: Format) -> anyhow::Result<()> {
    let started = Instant::now();
    clear(out)?;
    clear_jobs(out)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let temporary = tempfile::Builder::new().prefix("haihe-demo-").tempdir()?;
    let root = if arguments.keep { fs::canonicalize(out)?.join("parties") } else { temporary.path().to_owned() };
    say(
        format,
        "Three parties look for firms unlike the others: autoencoder, tail statistics, isolation forest.\nNo row leaves a party.",
    );
    let mut sets = Vec::new();
    for set in &SETS {
        sets.push(run_set(set, &root, out, (arguments.line, format)).await?);
    }
    let title = Note { en: "Anomalies in three silos".to_owned(), zh: "三方异常检测".to_owned() };
    let reports = Reports { title, sets, notes: notes() };
    write(out, "report.html", &page::render_all(&reports))?;
    write(out, "report.json", &serde_json::to_string_pretty(&reports)?)?;
    let leaks: BTreeMap<&str, _> = reports.jobs().map(|j| (j.name.as_str(), &j.leaks)).collect();
    write(out, "leak-report.json", &serde_json::to_string_pretty(&leaks)?)?;
    let mut summary = show::summary(&reports, started.elapsed());
    summary["line"] = line_text(arguments.line).into();
    write(out, "summary.json", &serde_json::to_string_pretty(&summary)?)?;
    match format {
        Format::Json => println!("{summary}"),
        Format::Text => {
            print!("{}", show::tables(&reports));
            println!("report: {}\n{:.1} s", out.join("report.html").display(), started.elapsed().as_secs_f64());
        }
    }
    show::judge(&reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_of_a_set_ask_for_the_same_data_and_differ_in_method() {
        for set in &SETS {
            let jobs: Vec<JobSpec> = set.jobs.iter().map(|toml| parse(toml).expect("a job")).collect();
            let methods: Vec<&str> = jobs.iter().filter_map(|j| Some(j.anomaly.as_ref()?.method())).collect();
            assert_eq!(methods, ["autoencoder", "tails", "forest"]);
            for job in &jobs {
                assert_eq!((&job.data, &job.job.parties), (&jobs[0].data, &jobs[0].job.parties), "{}", job.job.name);
                assert!(job.job.name.starts_with(set.key), "{}", job.job.name);
            }
        }
    }
}
