//! Files that hold a model, told apart by what is in them and not by their names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use haihe_models::{
    export::read_scorecard,
    files::{FileError, ModelCard, weights},
    network::{Architecture, LearnerError, Objective},
    scorecard::Scorecard,
    table::ColumnSpec,
};
use haihe_protocol::{
    horizontal::{JobResult, Provenance},
    id::{JobId, PartyId, Timestamp},
    job::{DataSpec, Deadlines, JobHead, JobKind, JobSpec, SecureSumOptions},
    journal::{self, Entry, Event},
};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Part;
use crate::{audit, evidence::rfc3339};

/// Largest file that is read.
const MOST_BYTES: u64 = 1 << 30;

/// A model, and what its file says of it.
pub struct Opened {
    /// The file.
    pub path: PathBuf,
    /// What the owners call the model; the file's name where nothing says it.
    pub name: String,
    /// The job that it comes from, where the file says it.
    pub job: Option<Job>,
    /// The model.
    pub model: Model,
}

/// What a journal says of its job.
pub struct Job {
    /// Its id, hexadecimal.
    pub id: String,
    /// The parties of its session.
    pub parties: Vec<PartyId>,
    /// When it was finished, RFC 3339.
    pub finished: String,
    /// The columns that it asked for.
    pub columns: Vec<ColumnSpec>,
}

/// What was learned.
pub enum Model {
    /// A network with its card and parameters: for credit, or an autoencoder.
    Network(Box<(ModelCard, Vec<f32>)>),
    /// A credit scorecard.
    Scorecard(Box<Scorecard>),
    /// One party's part of a joint scorecard.
    Part(Box<Part>),
    /// Tail statistics or an isolation forest.
    Anomaly(Box<haihe_protocol::horizontal::anomaly::AnomalyResult>),
}

impl Model {
    /// What it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Model::Network(network) => match network.0.architecture.objective() {
                Objective::Credit => "a credit network",
                Objective::Reconstruction => "an autoencoder",
            },
            Model::Scorecard(_) => "a scorecard",
            Model::Part(_) => "one party's part of a joint scorecard",
            Model::Anomaly(result) => match result.model.method() {
                "tails" => "a model of tails",
                _ => "an isolation forest",
            },
        }
    }
}

impl Opened {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(!size.is_dir(), "{} is a folder: name a file in it, such as model.safetensors", path.display());
        ensure!(
            size.len() <= MOST_BYTES,
            "{} has {} bytes, more than any model: name another file",
            path.display(),
            size.len()
        );
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, bytes).with_context(|| format!("{}", path.display()))
    }

    fn parse(path: &Path, bytes: Vec<u8>) -> anyhow::Result<Self> {
        // Safetensors begins with a length of 8 bytes, the upper ones of which are zero; no text holds such a byte.
        if bytes.get(..8).is_some_and(|head| head.contains(&0)) {
            let (card, parameters) = weights::read(&bytes)?;
            let name = card.name.clone();
            return Ok(Self { path: path.to_owned(), name, job: None, model: Model::network(card, parameters) });
        }
        let Ok(text) = String::from_utf8(bytes) else { bail!(OTHER) };
        let first = text.lines().next().unwrap_or_default();
        if serde_json::from_str::<Entry>(first).is_ok() {
            return of_journal(path);
        }
        of_json(path, &text)
    }
}

impl Model {
    fn network(card: ModelCard, parameters: Vec<f32>) -> Self {
        Model::Network(Box::new((card, parameters)))
    }
}

const OTHER: &str = "this is none of the files with a model: name model.safetensors, scorecard.json, block.json or result.json \
                     from a participant's folder of results, or a job's journal.jsonl";

/// The last result in a journal.
fn of_journal(path: &Path) -> anyhow::Result<Opened> {
    let entries = audit::read(path)?;
    journal::verify(&entries)?;
    let (mut opened, mut parties, mut transcript, mut finished) = (None, None, Entry::genesis(), None);
    for entry in &entries {
        match entry.event()? {
            Event::JobOpened { job, toml, .. } => opened = Some((job, toml)),
            Event::RosterProposed { roster } => {
                parties = Some(roster.entries.iter().map(|join| join.party.clone()).collect::<Vec<_>>());
            }
            Event::SumOpened { transcript: after, .. } => transcript = after,
            Event::JobFinished { result_json, .. } => finished = Some((entry.at, result_json)),
            Event::JobFailed { reason } => bail!("the job failed and learned nothing: {reason}"),
            Event::JobCancelled { by, reason } => bail!("the job was cancelled by {by} and learned nothing: {reason}"),
            _ => {}
        }
    }
    let (id, toml) = opened.context("the journal does not begin with the opening of a job")?;
    let (at, json) = finished.context("the job is not finished: there is no model in its journal yet")?;
    let spec = JobSpec::parse(&toml).map_err(|p| anyhow::anyhow!("the job file in the journal: {p:?}"))?;
    let Some(result) = JobResult::read(&spec, &json) else {
        let kind = if spec.kind() == JobKind::JointScoring { "scores" } else { "a joint scorecard" };
        bail!(
            "the job made {kind}: each party keeps its own part (block.json in its folder of results), and nobody the whole; \
             `haihe report` shows what all know"
        )
    };
    let result = result.context("the result in the journal")?;
    let parties = parties.unwrap_or_else(|| spec.job.parties.clone());
    let finished = rfc3339(at);
    let from = Provenance {
        spec: &spec,
        job: &id,
        federation: "",
        parties: &parties,
        created: &finished,
        transcript: &transcript,
    };
    let model = of_result(result, &from)?;
    let columns = spec.data.columns.clone();
    let job = Some(Job { id: id.to_string(), parties, finished, columns });
    Ok(Opened { path: path.to_owned(), name: spec.job.name, job, model })
}

fn of_result(result: JobResult, from: &Provenance<'_>) -> anyhow::Result<Model> {
    let card = result.card(from);
    Ok(match (result, card) {
        (JobResult::Scorecard(result), _) => {
            result.scorecard.check()?;
            Model::Scorecard(Box::new(result.scorecard))
        }
        (result @ (JobResult::Network(_) | JobResult::Anomaly(_)), Some(card)) => {
            let parameters = result.learned().map(|l| l.parameters.clone()).unwrap_or_default();
            check(&card, &parameters)?;
            Model::network(card, parameters)
        }
        (JobResult::Anomaly(result), None) => Model::Anomaly(result),
        (JobResult::Network(_), None) => bail!("the result has no network"),
    })
}

fn check(card: &ModelCard, parameters: &[f32]) -> Result<(), FileError> {
    card.check()?;
    let (expected, found) = (card.architecture.parameters(), parameters.len());
    if expected == found { Ok(()) } else { Err(LearnerError::Parameters { expected, found }.into()) }
}

/// A scorecard, or the result of a job.
fn of_json(path: &Path, text: &str) -> anyhow::Result<Opened> {
    let Ok(keys) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text) else { bail!(OTHER) };
    let has = |names: [&str; 2]| names.iter().all(|name| keys.contains_key(*name));
    let model = if has(["mean_partial", "dropped"]) {
        Model::Part(Box::new(Part::parse(path, text)?))
    } else if has(["variables", "base_points"]) {
        Model::Scorecard(Box::new(read_scorecard(text)?))
    } else if has(["scorecard", "fit"]) {
        alone(path, JobResult::Scorecard(read(text)?))?
    } else if has(["network", "evaluation"]) {
        alone(path, JobResult::Network(read(text)?))?
    } else if has(["model", "thresholds"]) {
        alone(path, JobResult::Anomaly(read(text)?))?
    } else if has(["label_holder", "passes"]) {
        bail!("this is what all parties of a joint scorecard know: the own part is in block.json beside it")
    } else if has(["architecture", "encoder"]) {
        bail!("this is a model card alone: the network with its card is in model.safetensors beside it")
    } else {
        bail!(OTHER)
    };
    let name = match &model {
        Model::Network(network) => network.0.name.clone(),
        Model::Part(part) => part.of.as_ref().map_or_else(|| stem(path), |of| of.name.clone()),
        _ => stem(path),
    };
    Ok(Opened { path: path.to_owned(), name, job: None, model })
}

fn read<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("this is no result that this version can read")
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// A result that says nothing of its job: with the card that the participant wrote beside it, if that is of the same network.
fn alone(path: &Path, result: JobResult) -> anyhow::Result<Model> {
    let written = fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let seconds = written.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let created = rfc3339(Timestamp(1000 * seconds));
    let spec = unknown_job(stem(path));
    let unknown = Entry::genesis();
    let job = JobId(unknown);
    let from =
        Provenance { spec: &spec, job: &job, federation: "", parties: &[], created: &created, transcript: &unknown };
    let mut model = of_result(result, &from)?;
    if let Model::Network(network) = &mut model {
        let (card, _) = &mut **network;
        (card.job, card.transcript) = (String::new(), String::new());
        let beside = path.with_file_name("model-card.json");
        let beside = fs::read_to_string(beside).ok().and_then(|json| ModelCard::from_json(&json).ok());
        let same = |other: &ModelCard| {
            (&other.architecture, &other.encoder, &other.figures, other.best_round)
                == (&card.architecture, &card.encoder, &card.figures, card.best_round)
        };
        if let Some(beside) = beside.filter(same) {
            *card = beside;
        }
    }
    Ok(model)
}

/// A job of which nothing but a name is known.
fn unknown_job(name: String) -> JobSpec {
    JobSpec {
        job: JobHead { name, parties: Vec::new(), min_parties: None },
        data: DataSpec::default(),
        secure_sum: SecureSumOptions::default(),
        deadlines: Deadlines::default(),
        privacy: None,
        scorecard: None,
        network: None,
        anomaly: None,
        vertical: None,
        scoring: None,
    }
}

/// The layers of a network in words: `mlp: 23 inputs, 64, 32, 1; relu`.
pub fn layers(architecture: &Architecture) -> String {
    let dense: Vec<String> = architecture.dense().iter().map(ToString::to_string).collect();
    let kind = ModelCard::kind_of(architecture);
    let shape = match architecture {
        Architecture::Logistic { inputs } => format!("{inputs} inputs"),
        Architecture::Mlp { activation, .. } | Architecture::Autoencoder { activation, .. } => {
            format!("{}, {}", dense.join(" > "), format!("{activation:?}").to_lowercase())
        }
        Architecture::Lstm { steps, channels, statics, hidden, .. } => {
            format!("{steps} steps of {channels} > {hidden}, with {statics} beside them: {}, relu", dense.join(" > "))
        }
    };
    format!("{kind}: {shape}; {} parameters", architecture.parameters())
}
