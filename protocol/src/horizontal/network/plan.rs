//! The steps of a job that trains a credit network.

use std::collections::BTreeMap;

use haihe_models::{
    grid::{ColumnGrid, LabelCountsLayout, ProfileLayout, grids, label_counts, profile, rows_of},
    network::Encoder,
    table::Split,
};
use haihe_privacy::{digest::Digest, secure_sum::Segment};
use serde::{Deserialize, Serialize};

use super::{
    CreditEvaluation, NetworkError, NetworkOptions, Performed, Rows, TrainTask, Training, counts, evaluation,
    parameters_digest,
    training::{Learned, Parts, Trained},
};
use crate::{horizontal::Summary, id::PartyId, job::JobSpec};

/// What one round computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Rows, bads and coarse counts.
    Profile,
    /// Goods and bads on the agreed grids.
    LabelCounts {
        /// One per column of the job.
        grids: Vec<ColumnGrid>,
    },
    /// Updates of the network.
    Train(TrainTask),
    /// Histograms of scores.
    Evaluation {
        /// Digest of the finished network's parameters.
        parameters: Digest,
    },
}

/// Where the learning stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    rows: f64,
    bads: f64,
    test_rows: f64,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum Stage {
    Profile,
    LabelCounts { grids: Vec<ColumnGrid> },
    Train { training: Box<Training> },
    Evaluation { learned: Box<Learned> },
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub enum Next {
    /// Another round.
    Continue(Box<Plan>),
    /// The result, JSON.
    Finished(String),
}

/// A trained credit network and everything that a modeller wants to see of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkResult {
    /// The network.
    pub network: Learned,
    /// Training rows of all parties.
    pub rows: f64,
    /// The bads among them.
    pub bads: f64,
    /// The federated evaluation.
    pub evaluation: CreditEvaluation,
}

fn options(spec: &JobSpec) -> Result<&NetworkOptions, NetworkError> {
    spec.network.as_ref().ok_or(NetworkError::OtherKind)
}

pub(crate) fn profile_segments(spec: &JobSpec) -> Vec<Segment> {
    vec![counts("profile", ProfileLayout::new(&spec.data.columns).len()), counts("test rows", 1)]
}

impl Task {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Task::Profile => "profile",
            Task::LabelCounts { .. } => "label_counts",
            Task::Train(_) => "train",
            Task::Evaluation { .. } => "evaluation",
        }
    }

    pub(crate) fn value_bits(&self, spec: &JobSpec) -> u32 {
        match (self, options(spec)) {
            (Task::Train(_), Ok(options)) => options.rounds.value_bits,
            _ => spec.secure_sum.value_bits,
        }
    }

    pub(crate) fn segments(&self, spec: &JobSpec, parties: u32) -> Result<Vec<Segment>, NetworkError> {
        let options = options(spec)?;
        Ok(match self {
            Task::Profile => profile_segments(spec),
            Task::LabelCounts { grids } => vec![counts("label counts", LabelCountsLayout::new(grids).len())],
            Task::Train(task) => Parts::new(task, options)?.segments(task),
            Task::Evaluation { .. } => evaluation::segments(options, parties),
        })
    }
}

impl Plan {
    /// The rows of the federation, its bads and test rows, and the training, if that is where the plan stands.
    pub(crate) fn in_training(&self) -> Option<([f64; 3], &Training)> {
        match &self.stage {
            Stage::Train { training } => Some(([self.rows, self.bads, self.test_rows], training)),
            _ => None,
        }
    }

    /// The plan of which [`Plan::in_training`] told.
    pub(crate) fn of_training([rows, bads, test_rows]: [f64; 3], training: Box<Training>) -> Self {
        Self { rows, bads, test_rows, stage: Stage::Train { training } }
    }

    pub(crate) fn begin() -> Self {
        Self { rows: 0.0, bads: 0.0, test_rows: 0.0, stage: Stage::Profile }
    }

    /// What the next round computes.
    pub(crate) fn task(&self) -> Task {
        match &self.stage {
            Stage::Profile => Task::Profile,
            Stage::LabelCounts { grids } => Task::LabelCounts { grids: grids.clone() },
            Stage::Train { training } => Task::Train(training.task()),
            Stage::Evaluation { learned } => Task::Evaluation { parameters: parameters_digest(&learned.parameters) },
        }
    }

    pub(crate) fn step(&self) -> &'static str {
        match &self.stage {
            Stage::Profile => "profile",
            Stage::LabelCounts { .. } => "label_counts",
            Stage::Train { .. } => "train",
            Stage::Evaluation { .. } => "evaluation",
        }
    }

    /// The vector of one party.
    pub(crate) fn perform(&self, spec: &JobSpec, rows: &Rows<'_>) -> Result<Performed, NetworkError> {
        let options = options(spec)?;
        match &self.stage {
            Stage::Profile => {
                let mut vector = profile(rows.table, Split::Train)?;
                vector.push(rows_of(rows.table, Split::Test).len() as f64);
                Ok(Performed::only(vector))
            }
            Stage::LabelCounts { grids } => Ok(Performed::only(label_counts(rows.table, grids)?)),
            Stage::Train { training } => training.perform(options, rows),
            Stage::Evaluation { learned } => Ok(Performed::only(evaluation::vector(options, learned, rows)?)),
        }
    }

    pub(crate) fn absorb(
        mut self,
        spec: &JobSpec,
        sum: &[f64],
        parties: &[PartyId],
    ) -> Result<(Summary, Next), NetworkError> {
        let options = options(spec)?;
        match std::mem::replace(&mut self.stage, Stage::Profile) {
            Stage::Profile => {
                let (test_rows, counts) = sum.split_last().map_or((0.0, sum), |(last, rest)| (*last, rest));
                let read = ProfileLayout::new(&spec.data.columns).read(counts)?;
                (self.rows, self.bads, self.test_rows) = (read.rows, read.bads, test_rows);
                if test_rows < 1.0 {
                    return Err(NetworkError::NoRows { what: "test", rows: test_rows });
                }
                let summary = profile_summary(self.rows, self.bads, test_rows);
                if let Some(encoder) = options.start.as_ref().and_then(super::Start::encoder) {
                    let training = Box::new(Training::begin(options, encoder, self.rows)?);
                    return Ok((summary, self.then(Stage::Train { training })));
                }
                let grids = grids(&spec.data.columns, counts, options.binning.fine_cells)?;
                Ok((summary, self.then(Stage::LabelCounts { grids })))
            }
            Stage::LabelCounts { grids } => {
                let columns = &spec.data.columns;
                let encoder = Encoder::learn(columns, &grids, sum, &options.encoding, &options.binning)?;
                let training = Box::new(Training::begin(options, encoder, self.rows)?);
                Ok((encoder_summary(&training), self.then(Stage::Train { training })))
            }
            Stage::Train { training } => {
                let (round, next) = train(options, *training, sum)?;
                let next = match next {
                    Trained::Continue(training) => Stage::Train { training },
                    Trained::Finished(learned) => Stage::Evaluation { learned },
                };
                Ok((round, self.then(next)))
            }
            Stage::Evaluation { learned } => {
                let evaluation = evaluation::read(options, sum, parties)?;
                let (text, figures) = match &evaluation.test.ranking {
                    Some(r) => (
                        format!("test AUC {:.4}, KS {:.4}; network of round {}", r.auc, r.ks, learned.best_round),
                        BTreeMap::from([("auc", r.auc), ("ks", r.ks)]),
                    ),
                    None => ("the test rows have one class only".to_owned(), BTreeMap::new()),
                };
                let result = NetworkResult { network: *learned, rows: self.rows, bads: self.bads, evaluation };
                let json = serde_json::to_string(&result).expect("a result is plain data with string keys");
                Ok((summary("evaluation", text, figures), Next::Finished(json)))
            }
        }
    }

    fn then(self, stage: Stage) -> Next {
        Next::Continue(Box::new(Plan { stage, ..self }))
    }
}

pub(crate) fn profile_summary(rows: f64, bads: f64, test_rows: f64) -> Summary {
    let text = format!("{rows} training rows, {:.1} % bad, {test_rows} test rows", 100.0 * bads / rows.max(1.0));
    summary("profile", text, [("rows", rows), ("bads", bads), ("test_rows", test_rows)].into())
}

pub(crate) fn encoder_summary(training: &Training) -> Summary {
    let (inputs, parameters) = (training.encoder.inputs().len(), training.architecture.parameters());
    let text = format!("{inputs} inputs, {parameters} parameters");
    summary("label_counts", text, [("inputs", inputs as f64), ("parameters", parameters as f64)].into())
}

/// One training round, with its summary.
pub(crate) fn train(
    options: &NetworkOptions,
    training: Training,
    sum: &[f64],
) -> Result<(Summary, Trained), NetworkError> {
    let next = training.absorb(options, sum)?;
    let history = match &next {
        Trained::Continue(training) => &training.history,
        Trained::Finished(learned) => &learned.history,
    };
    let summary = history.last().map(|round| summary("train", round.text(), round.by_name()));
    Ok((summary.ok_or(NetworkError::NoWeight)?, next))
}

pub(crate) fn summary(step: &str, text: String, figures: BTreeMap<&str, f64>) -> Summary {
    let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Summary { step: step.to_owned(), text, figures }
}
