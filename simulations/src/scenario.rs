//! Experiments as files: which data, which job, what goes wrong, and the figures that must come out.
//!
//! A scenario has a table `[scenario]`, perhaps `[[expected]]` and `[[fault]]`; the rest of the file is the job itself, or, with
//! `scenario.job`, what differs from that job file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use haihe_models::{network::LearnerError, table::Table};
use haihe_participant::{
    config::ViewConfig,
    source::{DataRequest, Loaded, SourceError, load},
};
use haihe_protocol::{
    horizontal::JobResult,
    id::{PartyId, PartyIdError},
    job::{JobProblem, JobSpec},
    vertical::work::Firms,
};
use serde::{Deserialize, Serialize};

use crate::{
    baseline::{BaselineError, Comparison, compare},
    bundled,
    fault::Fault,
    simulation::{Federation, Outcome, Progress, SimulationError, SimulationOptions},
    twin::{self, TwinError},
};

/// A scenario file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Name, seed and data.
    pub head: Head,
    /// Figures that must come out.
    pub expected: Vec<Expected>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The job, TOML.
    pub job_toml: String,
}

/// Table `[scenario]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// For people.
    pub name: String,
    /// Decides about keys, latencies and order.
    pub seed: u64,
    /// Whose rows.
    pub data: Data,
    /// The monthly series, for jobs with `[data.series]`: one CSV or Parquet file per party, relative to the scenario.
    #[serde(default)]
    pub series: BTreeMap<PartyId, PathBuf>,
    /// A job file, relative to the scenario; without it, the rest of the scenario is the job.
    pub job: Option<PathBuf>,
    /// Compare with the pooled twin and with every party alone?
    #[serde(default)]
    pub compare: bool,
}

/// Where a scenario's rows come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Data {
    /// A bundled data set.
    Bundled(Bundled),
    /// One CSV or Parquet file per party, relative to the scenario.
    Files(BTreeMap<PartyId, PathBuf>),
}

/// Bundled data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bundled {
    /// US loans in three lender groups: `bj`, `tj`, `he`.
    SbaSilos,
    /// US loans of thirty small lenders: `lender-08` to `lender-37`.
    SbaLenders,
    /// Polish firms, drawn into `bj`, `tj` and `he`.
    PolishSilos,
    /// Heart traces, unevenly divided among `bj`, `tj` and `he`.
    CardioSilos,
    /// Taiwanese credit cards with six months each, drawn into `bj`, `tj` and `he`.
    DefaultCreditSilos,
}

/// One figure that must come out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Its name, see [`ScenarioOutcome::figures`].
    pub figure: String,
    /// Its value.
    pub value: f64,
    /// How far off it may be.
    pub tolerance: f64,
}

/// An expected figure and what came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name.
    pub figure: String,
    /// Expected value.
    pub expected: f64,
    /// How far off it may be.
    pub tolerance: f64,
    /// What came out; `None` if there is no such figure.
    pub found: Option<f64>,
}

impl Check {
    /// True if the figure is as expected.
    pub fn holds(&self) -> bool {
        self.found.is_some_and(|found| (found - self.expected).abs() <= self.tolerance)
    }
}

/// A scenario that ran to its end.
#[derive(Clone, Debug)]
pub struct ScenarioOutcome {
    /// The scenario.
    pub scenario: Scenario,
    /// The federation.
    pub outcome: Outcome,
    /// Against pooled and alone, if the scenario asks for it.
    pub comparison: Option<Comparison>,
    /// The same learning with all rows in one place, and by every party alone, if the scenario compares and the job trains a
    /// network or an anomaly model.
    pub twins: Vec<Twin>,
    /// One per expected figure.
    pub checks: Vec<Check>,
    /// Wall-clock seconds of the federation alone, without loading and comparing.
    pub seconds: f64,
}

/// A model that was trained in the clear, measured on the test rows of all parties.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Twin {
    /// `pooled`, or whose.
    pub name: String,
    /// AUC, or AUROC of anomaly scores; absent if the party cannot train alone.
    pub auc: Option<f64>,
    /// Average precision, of anomaly scores only.
    pub average_precision: Option<f64>,
}

/// Why a scenario did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// A file is not TOML, or has unknown keys.
    #[error("{path}: {source}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: toml::de::Error,
    },
    /// The merged job cannot be written as TOML.
    #[error("the job cannot be written as TOML: {0}")]
    Merge(#[from] toml::ser::Error),
    /// The job file is invalid.
    #[error("the scenario's job has {} problem(s):\n{}", .0.len(), .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
    Job(Vec<JobProblem>),
    /// A bundled file is for nobody.
    #[error(transparent)]
    Party(#[from] PartyIdError),
    /// A party's rows cannot be loaded.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The federation did not get to a result.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// This program was built without what the job's network needs.
    #[error(transparent)]
    Program(#[from] LearnerError),
    /// The comparison is impossible.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// So is the twin.
    #[error(transparent)]
    Twin(#[from] TwinError),
}

#[derive(Deserialize)]
struct ScenarioFile {
    scenario: Head,
    #[serde(default)]
    expected: Vec<Expected>,
    #[serde(default, rename = "fault")]
    faults: Vec<Fault>,
    #[serde(flatten)]
    job: toml::Table,
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    fs::read_to_string(path).map_err(|source| ScenarioError::File { path: path.to_owned(), source })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ScenarioError> {
    toml::from_str(text).map_err(|source| ScenarioError::Syntax { path: path.to_owned(), source })
}

/// Tables are merged key by key; anything else is replaced.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

impl Scenario {
    /// Reads a scenario and its job.
    pub fn open(path: &Path) -> Result<Self, ScenarioError> {
        let ScenarioFile { scenario: head, expected, faults, job } = parse(path, &read(path)?)?;
        let mut whole = toml::Table::new();
        if let Some(file) = &head.job {
            let file = beside(path, file);
            whole = parse(&file, &read(&file)?)?;
        }
        merge(&mut whole, job);
        Ok(Self { head, expected, faults, job_toml: toml::to_string(&whole)? })
    }

    /// The job, read and checked.
    pub fn job(&self) -> Result<JobSpec, ScenarioError> {
        JobSpec::parse(&self.job_toml).map_err(ScenarioError::Job)
    }
}

fn beside(scenario: &Path, file: &Path) -> PathBuf {
    scenario.parent().unwrap_or(Path::new("")).join(file)
}

/// Runs a scenario file. `progress` hears of every journal entry.
pub async fn run_scenario(path: &Path, progress: impl FnMut(&Progress)) -> Result<ScenarioOutcome, ScenarioError> {
    run_opened(path, Scenario::open(path)?, progress).await
}

/// Runs a scenario that was read from `path` and perhaps changed: another seed, other faults.
pub async fn run_opened(
    path: &Path,
    scenario: Scenario,
    progress: impl FnMut(&Progress),
) -> Result<ScenarioOutcome, ScenarioError> {
    let spec = scenario.job()?;
    spec.trainable()?;
    let tables = scenario_tables(path, &scenario, &spec).await?;
    let options = SimulationOptions::new(scenario.head.seed).with_faults(scenario.faults.clone());
    let begun = Instant::now();
    let outcome = Federation::new(&scenario.job_toml, tables.clone(), options)?.run(progress)?;
    let seconds = begun.elapsed().as_secs_f64();
    let comparison = match (&outcome.result, scenario.head.compare) {
        (JobResult::Scorecard(result), true) => Some(compare(&spec, result, &tables)?),
        _ => None,
    };
    let twins = match (&outcome.result, scenario.head.compare) {
        (JobResult::Network(_) | JobResult::Anomaly(_), true) => twins(&spec, &tables)?,
        _ => Vec::new(),
    };
    let mut ended = ScenarioOutcome { scenario, outcome, comparison, twins, checks: Vec::new(), seconds };
    let figures = ended.figures();
    let check = |e: &Expected| Check {
        figure: e.figure.clone(),
        expected: e.value,
        tolerance: e.tolerance,
        found: figures.get(&e.figure).copied(),
    };
    ended.checks = ended.scenario.expected.iter().map(check).collect();
    Ok(ended)
}

impl ScenarioOutcome {
    /// Expected figures that did not come out.
    pub fn misses(&self) -> Vec<&Check> {
        self.checks.iter().filter(|c| !c.holds()).collect()
    }

    /// Every figure that a scenario may expect, by name.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let outcome = &self.outcome;
        let mut figures: BTreeMap<String, f64> = [
            ("rounds", outcome.rounds.len() as f64),
            ("rounds lost", outcome.counters.rounds_lost as f64),
            (
                "megabytes per party",
                outcome.bytes.values().sum::<u64>() as f64 / 1e6 / outcome.bytes.len().max(1) as f64,
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        figures.extend(learned(&outcome.result).map(|(name, value)| (name.to_owned(), value)));
        for twin in &self.twins {
            figures.extend(twin.auc.map(|auc| (format!("{} AUC", twin.name), auc)));
            figures.extend(twin.average_precision.map(|p| (format!("{} AUPRC", twin.name), p)));
        }
        if let Some(comparison) = &self.comparison {
            for model in &comparison.models {
                for figure in model.all.iter() {
                    figures.insert(format!("{} AUC", model.name), figure.auc);
                    figures.insert(format!("{} KS", model.name), figure.ks);
                    figures.insert(format!("{} Brier", model.name), figure.brier);
                }
            }
            let within = &comparison.within;
            for (name, value) in [
                ("AUC within a bank, alone", within.alone),
                ("AUC within a bank, federated", within.federated),
                ("AUC within a bank, pooled", within.pooled),
                ("AUC within a bank, mean of scores", within.mean_of_scores),
                ("banks without a model alone", within.without_model as f64),
                ("coefficient difference", comparison.max_relative_coefficient_difference),
                ("losers", comparison.losers.len() as f64),
            ] {
                figures.insert(name.to_owned(), value);
            }
            if let Some(adapted) = within.adapted {
                figures.insert("AUC within a bank, adapted".to_owned(), adapted);
                figures.insert("losers after adapting".to_owned(), comparison.losers_adapted.len() as f64);
            }
        }
        figures
    }
}

/// Pooled training, and every party alone.
fn twins(spec: &JobSpec, tables: &[(PartyId, Arc<Table>)]) -> Result<Vec<Twin>, TwinError> {
    let everybody = Arc::new(twin::pooled(tables)?);
    let one = |name: String, table: &Arc<Table>| -> Result<Twin, TwinError> {
        let party = tables.first().map_or_else(Vec::new, |(party, _)| vec![(party.clone(), table.clone())]);
        let trained = twin::learn(spec, &party, |_| ())?;
        let (auc, average_precision) = twin::measured(&trained, &everybody)?;
        Ok(Twin { name, auc: Some(auc), average_precision })
    };
    let mut twins = vec![one("pooled".to_owned(), &everybody)?];
    for (party, table) in tables {
        let name = format!("{party} alone");
        // A party may be too small to learn alone, which is a figure too.
        twins.push(one(name.clone(), table).unwrap_or(Twin { name, auc: None, average_precision: None }));
    }
    Ok(twins)
}

/// Figures of the result itself.
fn learned(result: &JobResult) -> impl Iterator<Item = (&'static str, f64)> {
    let mut figures = Vec::new();
    let ranking = match result {
        JobResult::Scorecard(result) => {
            figures.push(("variables", result.scorecard.variables.len() as f64));
            &result.evaluation.test.ranking
        }
        JobResult::Network(result) => {
            figures.push(("best round", f64::from(result.network.best_round)));
            if let Some(own) = result.evaluation.test_own.as_ref().and_then(|p| p.ranking) {
                figures.push(("reported AUC, own versions", own.auc));
            }
            &result.evaluation.test.ranking
        }
        JobResult::Anomaly(result) => {
            figures.extend(result.test.average_precision.map(|v| ("reported AUPRC", v)));
            &result.test.ranking
        }
    };
    if let Some(ranking) = ranking {
        figures.extend([("reported AUC", ranking.auc), ("reported KS", ranking.ks)]);
    }
    figures.into_iter()
}

async fn scenario_tables(
    path: &Path,
    scenario: &Scenario,
    spec: &JobSpec,
) -> Result<Vec<(PartyId, Arc<Table>)>, ScenarioError> {
    let file_error = |source| ScenarioError::File { path: path.to_owned(), source };
    let folder = tempfile::tempdir().map_err(file_error)?;
    let mut months: BTreeMap<PartyId, PathBuf> = BTreeMap::new();
    let files: Vec<(PartyId, PathBuf)> = match &scenario.head.data {
        Data::Files(files) => files.iter().map(|(p, file)| (p.clone(), beside(path, file))).collect(),
        Data::Bundled(bundled) => {
            let written = match bundled {
                Bundled::SbaSilos => bundled::write_sba_silos(folder.path()),
                Bundled::SbaLenders => bundled::write_sba_lenders(folder.path(), bundled::SBA_LENDERS),
                Bundled::PolishSilos => bundled::write_polish_silos(folder.path()),
                Bundled::CardioSilos => bundled::write_cardio_silos(folder.path()),
                Bundled::DefaultCreditSilos => {
                    let written = bundled::write_default_credit_silos(folder.path()).map_err(file_error)?;
                    for (party, _, series) in &written {
                        months.insert(PartyId::new(party)?, series.clone());
                    }
                    Ok(written.into_iter().map(|(party, file, _)| (party, file)).collect())
                }
            };
            let written = written.map_err(file_error)?;
            written.into_iter().map(|(p, f)| Ok((PartyId::new(p)?, f))).collect::<Result<_, PartyIdError>>()?
        }
    };
    months.extend(scenario.head.series.iter().map(|(party, file)| (party.clone(), beside(path, file))));
    let loaded = load_all(spec, &files, &months).await?;
    Ok(loaded.into_iter().map(|(party, loaded)| (party, Arc::new(loaded.table))).collect())
}

/// Loads the rows that a job asks for from one file per party, as a participant does.
pub async fn load_tables(
    spec: &JobSpec,
    files: &[(PartyId, PathBuf)],
) -> Result<Vec<(PartyId, Arc<Table>)>, ScenarioError> {
    let loaded = load_all(spec, files, &BTreeMap::new()).await?;
    Ok(loaded.into_iter().map(|(party, loaded)| (party, Arc::new(loaded.table))).collect())
}

/// The same for a vertical job: the rows with their keys.
pub async fn load_firms(spec: &JobSpec, files: &[(PartyId, PathBuf)]) -> Result<Vec<(PartyId, Firms)>, ScenarioError> {
    let loaded = load_all(spec, files, &BTreeMap::new()).await?;
    Ok(loaded.into_iter().map(|(party, l)| (party, Firms { keys: l.keys, table: l.table })).collect())
}

async fn load_all(
    spec: &JobSpec,
    files: &[(PartyId, PathBuf)],
    series: &BTreeMap<PartyId, PathBuf>,
) -> Result<Vec<(PartyId, Loaded)>, ScenarioError> {
    let view = |name: &str, path: &Path| ViewConfig {
        name: name.to_owned(),
        path: path.to_owned(),
        sql: None,
        memory_mb: None,
    };
    let mut all = Vec::with_capacity(files.len());
    for (party, path) in files {
        let Some(request) = DataRequest::of(spec, party) else { continue };
        let second = request.series.as_ref().zip(series.get(party)).map(|(series, path)| view(&series.view, path));
        let views: Vec<ViewConfig> = [view(&request.view, path)].into_iter().chain(second).collect();
        all.push((party.clone(), load(party.as_str(), &views, Path::new(""), &request).await?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_changes_its_job_and_lists_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("job.toml", "[job]\nname = \"a\"\nparties = [\"x\"]\n[deadlines]\nattempts = 2\n");
        write(
            "scenario.toml",
            r#"
            [scenario]
            name = "s"
            seed = 3
            job = "job.toml"
            data = { x = "x.csv" }
            [[fault]]
            fault = "silent"
            party = "x"
            from_round = 2
            rounds = 1
            during = "answering"
            [[expected]]
            figure = "rounds"
            value = 9
            tolerance = 0
            [job]
            name = "b"
            "#,
        );
        let scenario = Scenario::open(&folder.path().join("scenario.toml")).expect("a scenario");
        assert_eq!((scenario.faults.len(), scenario.expected.len()), (1, 1));
        let job: toml::Table = toml::from_str(&scenario.job_toml).expect("a job");
        let expected = "[job]\nname = \"b\"\nparties = [\"x\"]\n[deadlines]\nattempts = 2\n";
        assert_eq!(job, toml::from_str(expected).expect("a job"));
        assert!(matches!(scenario.job(), Err(ScenarioError::Job(_) | ScenarioError::Syntax { .. })));
    }

    #[tokio::test]
    async fn every_party_may_have_a_second_file_with_its_months() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        let (mut data, mut series) = (Vec::new(), Vec::new());
        for party in ["x", "y", "z"] {
            write(&format!("{party}.csv"), "id,y\na,0\nb,1\n");
            write(&format!("{party}-months.csv"), "firm,month,n\nb,2020-02,7\nb,2020-01,6\n");
            data.push(format!("{party} = \"{party}.csv\""));
            series.push(format!("{party} = \"{party}-months.csv\""));
        }
        let job = "[job]\nname = \"n\"\nparties = [\"x\", \"y\", \"z\"]\n[data]\nview = \"firms\"\nkey = \"id\"\n\
                   label = \"y\"\n[data.series]\nview = \"months\"\nkey = \"firm\"\nmonth = \"month\"\nsteps = 2\n\
                   channels = [\"n\"]\n[scorecard]\n";
        let head = format!("[scenario]\nname = \"s\"\nseed = 3\ndata = {{ {} }}\n", data.join(", "));
        let path = folder.path().join("scenario.toml");
        write("scenario.toml", &format!("{head}series = {{ {} }}\n{job}", series.join(", ")));
        let scenario = Scenario::open(&path).expect("a scenario");
        let spec = scenario.job().expect("a job");
        let tables = scenario_tables(&path, &scenario, &spec).await.expect("tables");
        assert_eq!(tables.len(), 3);
        assert!(tables.iter().all(|(_, table)| table.specs == spec.data.columns && table.rows() == 2));
        write("scenario.toml", &format!("{head}{job}"));
        let without = Scenario::open(&path).expect("a scenario");
        let error = scenario_tables(&path, &without, &spec).await.expect_err("no second file").to_string();
        assert!(error.starts_with("x, view \"months\": there is no [[view]] of this name"), "{error}");
    }
}
