//! The steps of a job that trains an anomaly model.

use haihe_models::{
    anomaly::{self, ForestPlan, Grown, Margins, Tails, Thresholds, row_keys},
    grid::{ColumnGrid, LabelCountsLayout, ProfileLayout, grids, label_counts, profile},
    network::Encoder,
    table::Split,
};
use haihe_privacy::{
    digest::{Digest, Transcript},
    secure_sum::Segment,
};
use serde::{Deserialize, Serialize};

use super::{AnomalyJobError, AnomalyModel, AnomalyOptions, AnomalyResult, Detection, PartyAnomaly, evaluation};
use crate::{
    horizontal::{
        Performed, Rows, Summary,
        network::{
            MAX_SUM, NetworkError, NetworkOptions, Parts, Start, TrainTask, Trained, Training, counts, encoder_summary,
            profile_segments, profile_summary, summary, train,
        },
    },
    id::PartyId,
    job::JobSpec,
};

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
    /// Rows of the subsamples per open node and group of cells.
    Grow {
        /// Counts the sums that the forest has taken.
        number: u32,
        /// Length of the vector.
        counts: usize,
    },
    /// Updates of the autoencoder.
    Train(TrainTask),
    /// Histograms of scores.
    Evaluation {
        /// Digest of the model.
        model: Digest,
    },
    /// Warnings and what drives them.
    Drivers {
        /// Where the warning levels begin.
        thresholds: Thresholds,
        /// Digest of the model.
        model: Digest,
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
    LabelCounts {
        grids: Vec<ColumnGrid>,
    },
    Grow {
        forest: Box<ForestPlan>,
    },
    Train {
        training: Box<Training>,
    },
    Evaluation {
        model: Box<AnomalyModel>,
    },
    Drivers {
        model: Box<AnomalyModel>,
        train: Vec<f64>,
        test: Box<Detection>,
        per_party: Vec<PartyAnomaly>,
        thresholds: Thresholds,
    },
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub enum Next {
    /// Another round.
    Continue(Box<Plan>),
    /// The result, JSON.
    Finished(String),
}

fn options(spec: &JobSpec) -> Result<&AnomalyOptions, AnomalyJobError> {
    spec.anomaly.as_ref().ok_or(AnomalyJobError::OtherKind)
}

fn network(options: &AnomalyOptions) -> Result<&NetworkOptions, AnomalyJobError> {
    options.autoencoder.as_ref().ok_or(AnomalyJobError::OtherKind)
}

fn model_digest(model: &AnomalyModel) -> Digest {
    let json = serde_json::to_string(model).expect("a model is plain data with string keys");
    Transcript::new("haihe/v1/anomaly-model").str(&json).finish()
}

impl Task {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Task::Profile => "profile",
            Task::LabelCounts { .. } => "label_counts",
            Task::Grow { .. } => "grow",
            Task::Train(_) => "train",
            Task::Evaluation { .. } => "evaluation",
            Task::Drivers { .. } => "drivers",
        }
    }

    pub(crate) fn value_bits(&self, spec: &JobSpec) -> u32 {
        match (self, options(spec).and_then(network)) {
            (Task::Train(_), Ok(network)) => network.rounds.value_bits,
            _ => spec.secure_sum.value_bits,
        }
    }

    pub(crate) fn segments(&self, spec: &JobSpec, parties: u32) -> Result<Vec<Segment>, AnomalyJobError> {
        let options = options(spec)?;
        Ok(match self {
            Task::Profile => profile_segments(spec),
            Task::LabelCounts { grids } => vec![counts("label counts", LabelCountsLayout::new(grids).len())],
            Task::Grow { counts: len, .. } if *len <= MAX_SUM => vec![counts("rows per node and group", *len)],
            Task::Grow { .. } => return Err(AnomalyJobError::OtherKind),
            Task::Train(task) => Parts::new(task, network(options)?)?.segments(task),
            Task::Evaluation { .. } => evaluation::segments(options, parties),
            Task::Drivers { .. } => evaluation::driver_segments(spec.data.columns.len()),
        })
    }
}

impl Plan {
    /// As in a plan of a network.
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

    pub(crate) fn task(&self) -> Task {
        match &self.stage {
            Stage::Profile => Task::Profile,
            Stage::LabelCounts { grids } => Task::LabelCounts { grids: grids.clone() },
            Stage::Grow { forest } => Task::Grow { number: forest.sums(), counts: forest.layout() },
            Stage::Train { training } => Task::Train(training.task()),
            Stage::Evaluation { model } => Task::Evaluation { model: model_digest(model) },
            Stage::Drivers { model, thresholds, .. } => {
                Task::Drivers { thresholds: *thresholds, model: model_digest(model) }
            }
        }
    }

    pub(crate) fn step(&self) -> &'static str {
        match &self.stage {
            Stage::Profile => "profile",
            Stage::LabelCounts { .. } => "label_counts",
            Stage::Grow { .. } => "grow",
            Stage::Train { .. } => "train",
            Stage::Evaluation { .. } => "evaluation",
            Stage::Drivers { .. } => "drivers",
        }
    }

    /// The vector of one party.
    pub(crate) fn perform(&self, spec: &JobSpec, rows: &Rows<'_>) -> Result<Performed, AnomalyJobError> {
        let options = options(spec)?;
        let vector = match &self.stage {
            Stage::Profile => {
                let mut vector = profile(rows.table, Split::Train)?;
                vector.push(haihe_models::grid::rows_of(rows.table, Split::Test).len() as f64);
                vector
            }
            Stage::LabelCounts { grids } => label_counts(rows.table, grids)?,
            Stage::Grow { forest } => {
                let seed = options.forest.as_ref().map_or(0, |f| f.seed);
                let party = (u64::from(rows.party) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                forest.counts(rows.table, &row_keys(seed ^ party, rows.table.rows()))?
            }
            Stage::Train { training } => return Ok(training.perform(network(options)?, rows)?),
            Stage::Evaluation { model } => evaluation::vector(options, model, rows)?,
            Stage::Drivers { model, thresholds, .. } => {
                evaluation::driver_vector(model, thresholds, self.test_rows, rows)?
            }
        };
        Ok(Performed::only(vector))
    }

    pub(crate) fn absorb(
        mut self,
        spec: &JobSpec,
        sum: &[f64],
        parties: &[PartyId],
    ) -> Result<(Summary, Next), AnomalyJobError> {
        let options = options(spec)?;
        match std::mem::replace(&mut self.stage, Stage::Profile) {
            Stage::Profile => {
                let (test_rows, counts) = sum.split_last().map_or((0.0, sum), |(last, rest)| (*last, rest));
                let read = ProfileLayout::new(&spec.data.columns).read(counts)?;
                (self.rows, self.bads, self.test_rows) = (read.rows, read.bads, test_rows);
                if test_rows < 1.0 {
                    return Err(NetworkError::NoRows { what: "test", rows: test_rows }.into());
                }
                let summary = profile_summary(self.rows, self.bads, test_rows);
                let columns = &spec.data.columns;
                let grids = match (&options.autoencoder, &options.tails, &options.forest) {
                    (Some(network), ..) => grids(columns, counts, network.binning.fine_cells)?,
                    (_, Some(tails), _) => anomaly::grids(columns, counts, tails.cells)?,
                    (.., Some(_)) => anomaly::grids(columns, counts, anomaly::TailOptions::default().cells)?,
                    _ => return Err(AnomalyJobError::OtherKind),
                };
                Ok((summary, self.then(Stage::LabelCounts { grids })))
            }
            Stage::LabelCounts { grids } => self.absorb_label_counts(spec, options, &grids, sum),
            Stage::Grow { forest } => {
                let number = forest.sums() + 1;
                let (text, stage) = match forest.absorb(sum)? {
                    Grown::More(forest) => (format!("level {number} of the trees"), Stage::Grow { forest }),
                    Grown::Done(forest) => {
                        let text = format!("{} trees after {number} sums", forest.trees().len());
                        (text, Stage::Evaluation { model: Box::new(AnomalyModel::Forest(forest)) })
                    }
                };
                Ok((summary("grow", text, [("level", f64::from(number))].into()), self.then(stage)))
            }
            Stage::Train { training } => {
                let (round, next) = train(network(options)?, *training, sum)?;
                let stage = match next {
                    Trained::Continue(training) => Stage::Train { training },
                    Trained::Finished(learned) => {
                        Stage::Evaluation { model: Box::new(AnomalyModel::Autoencoder(learned)) }
                    }
                };
                Ok((round, self.then(stage)))
            }
            Stage::Evaluation { model } => {
                let (train, test, per_party) = evaluation::read(options, sum, parties);
                let thresholds = Thresholds::new(&train, &options.levels)?;
                let auroc = test.ranking.as_ref().map(|r| r.auc);
                let text = match (auroc, test.average_precision) {
                    (Some(auroc), Some(auprc)) => format!("test AUROC {auroc:.4}, AUPRC {auprc:.4}"),
                    _ => "the test rows have one class only".to_owned(),
                };
                let mut figures = std::collections::BTreeMap::new();
                figures.extend(auroc.map(|v| ("auroc", v)));
                figures.extend(test.average_precision.map(|v| ("auprc", v)));
                let stage = Stage::Drivers { model, train, test: Box::new(test), per_party, thresholds };
                Ok((summary("evaluation", text, figures), self.then(stage)))
            }
            Stage::Drivers { model, train, test, per_party, thresholds } => {
                let names: Vec<String> = spec.data.columns.iter().map(|c| c.name.clone()).collect();
                let (warned, drivers) = evaluation::read_drivers(&names, self.test_rows, sum);
                let rows: f64 = warned.iter().map(|w| w.good + w.bad).sum();
                let first = drivers.first().map_or("", |d| d.column.as_str()).to_owned();
                let text = format!("{rows} of {} test rows with a warning; most driven by {first}", self.test_rows);
                let (model, test) = (*model, *test);
                let (rows, bads) = (self.rows, self.bads);
                let result = AnomalyResult { model, rows, bads, train, test, per_party, thresholds, warned, drivers };
                let json = serde_json::to_string(&result).expect("a result is plain data with string keys");
                Ok((summary("drivers", text, [].into()), Next::Finished(json)))
            }
        }
    }

    fn then(self, stage: Stage) -> Next {
        Next::Continue(Box::new(Plan { stage, ..self }))
    }

    fn absorb_label_counts(
        self,
        spec: &JobSpec,
        options: &AnomalyOptions,
        grids: &[ColumnGrid],
        sum: &[f64],
    ) -> Result<(Summary, Next), AnomalyJobError> {
        let columns = &spec.data.columns;
        if let Some(network) = &options.autoencoder {
            // Goods and bads of a cell stand side by side: without the bads, the encoder is that of the goods.
            let normal: Vec<f64> = sum
                .iter()
                .enumerate()
                .map(|(i, c)| if i % 2 == 1 && options.goods_only() { 0.0 } else { *c })
                .collect();
            let encoder = match network.start.as_ref().and_then(Start::encoder) {
                Some(encoder) => Ok(encoder),
                None => Encoder::learn(columns, grids, &normal, &network.encoding, &network.binning),
            };
            let rows = if options.goods_only() { self.rows - self.bads } else { self.rows };
            let training = Training::begin(network, encoder.map_err(NetworkError::from)?, rows)?;
            let training = Box::new(training.of_goods(options.goods_only()));
            return Ok((encoder_summary(&training), self.then(Stage::Train { training })));
        }
        let margins = Margins::new(columns, grids, sum, options.population)?;
        let text = format!("{} rows in {} columns teach what is normal", margins.rows, margins.columns.len());
        let summary = summary("label_counts", text, [("rows", margins.rows)].into());
        let stage = match (&options.tails, &options.forest) {
            (Some(tails), _) => {
                Stage::Evaluation { model: Box::new(AnomalyModel::Tails(Tails::new(margins, *tails)?)) }
            }
            (None, Some(forest)) => {
                // The forest samples from the rows of the same population.
                let forest = anomaly::ForestOptions { population: options.population, ..*forest };
                Stage::Grow { forest: Box::new(ForestPlan::begin(forest, &margins)?) }
            }
            (None, None) => return Err(AnomalyJobError::OtherKind),
        };
        Ok((summary, self.then(stage)))
    }
}
