//! Anomaly models: tail statistics, an isolation forest, or an autoencoder, with thresholds and drivers.
//!
//! | step | what the sum holds | what follows from it |
//! |---|---|---|
//! | `profile` | rows, bads, coarse counts per numeric column | the fine grids |
//! | `label_counts` | goods and bads per fine cell and level | the tails; the forest's root; the autoencoder's inputs |
//! | `grow` (forest) | rows of the subsamples per open node and group of cells | one more level of every tree |
//! | `train` (autoencoder) | updates, weights, losses | the next network |
//! | `evaluation` | histograms of the scores | thresholds of the warning levels, AUROC, AUPRC |
//! | `drivers` | warnings by level, shares of the columns in them | what drives anomalies in the federation |
//!
//! A party's own firms with score, warning and drivers are computed at the party from the result, and stay there
//! ([`AnomalyResult::flag`]).

use haihe_models::{
    anomaly::{
        AnomalyError, Driver, Forest, ForestOptions, Levels, Population, TailOptions, Tails, Thresholds, drivers,
    },
    metrics::{MetricsError, Ranking, ScoreHistogram},
    network::{EncodingKind, learner::learner},
    scorecard::Warning,
    table::{ColumnSpec, Table},
};
use serde::{Deserialize, Serialize};

use super::network::{Learned, MAX_SUM, NetworkError, NetworkOptions};
use crate::{
    id::PartyId,
    job::{JobProblem, JobSpec},
};

mod evaluation;
mod plan;

pub use plan::{Next, Plan, Task};

/// The table `[anomaly]` of a job file; exactly one of its three methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnomalyOptions {
    /// Which training rows teach what is normal.
    pub population: Population,
    /// Which share of the training rows each warning level is for.
    pub levels: Levels,
    /// Give every party a slot range of its own, so that its own figures become known to all. Each party's policy must allow it.
    pub per_party: bool,
    /// Tail probabilities of each column: no training, and often as good as anything.
    pub tails: Option<TailOptions>,
    /// Trees that isolate rows.
    pub forest: Option<ForestOptions>,
    /// A network that reconstructs its inputs.
    pub autoencoder: Option<NetworkOptions>,
}

/// A trained anomaly model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum AnomalyModel {
    /// Tail statistics.
    Tails(Tails),
    /// Isolation forest.
    Forest(Forest),
    /// Autoencoder.
    Autoencoder(Box<Learned>),
}

/// One party's test rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartyAnomaly {
    /// Party.
    pub party: PartyId,
    /// Its figures.
    pub test: Detection,
}

/// How well scores find the bads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Goods and bads along the score, highest scores first: [`haihe_models::anomaly::AnomalyGrid`].
    pub histogram: ScoreHistogram,
    /// AUROC and KS; absent if there is only one class.
    pub ranking: Option<Ranking>,
    /// Average precision (AUPRC).
    pub average_precision: Option<f64>,
}

/// Test rows at one warning level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warned {
    /// The level.
    pub warning: Warning,
    /// Good rows.
    pub good: f64,
    /// Bad rows.
    pub bad: f64,
}

/// A column's part in the scores of all test rows with a warning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDriver {
    /// Column.
    pub column: String,
    /// Mean share of the score, 0 to 1.
    pub share: f64,
}

/// A trained anomaly model and everything that a modeller wants to see of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyResult {
    /// The model.
    pub model: AnomalyModel,
    /// Training rows of all parties, and the bads among them.
    pub rows: f64,
    /// Bads among them.
    pub bads: f64,
    /// Training rows along the score.
    pub train: Vec<f64>,
    /// Test rows.
    pub test: Detection,
    /// One per party of the session, if the job asks for it.
    pub per_party: Vec<PartyAnomaly>,
    /// Where the warning levels begin.
    pub thresholds: Thresholds,
    /// Test rows by warning level, without those below all of them.
    pub warned: Vec<Warned>,
    /// What drives the warnings, largest share first.
    pub drivers: Vec<ColumnDriver>,
}

/// A row with a warning, as its own party sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flagged {
    /// Its place in the party's table.
    pub row: usize,
    /// Anomaly score.
    pub score: f64,
    /// Level.
    pub warning: Warning,
    /// Columns with the largest shares of the score, by index in the job.
    pub drivers: Vec<Driver>,
}

/// Why a task cannot be performed or a sum leads nowhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnomalyJobError {
    /// The model.
    #[error(transparent)]
    Model(#[from] AnomalyError),
    /// The autoencoder.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Evaluation.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The job asks for no anomaly model.
    #[error("the job does not train an anomaly model")]
    OtherKind,
}

impl From<haihe_models::grid::StatisticsError> for AnomalyJobError {
    fn from(error: haihe_models::grid::StatisticsError) -> Self {
        AnomalyJobError::Model(error.into())
    }
}

impl AnomalyOptions {
    pub(crate) fn problems(&self, spec: &JobSpec, found: &mut Vec<JobProblem>) {
        let methods = [self.tails.is_some(), self.forest.is_some(), self.autoencoder.is_some()];
        let mut option = |table: &str, detail: String| {
            found.push(JobProblem::Option { table: table.to_owned(), detail });
        };
        if methods.iter().filter(|m| **m).count() != 1 {
            option("anomaly", "needs exactly one of the tables tails, forest and autoencoder".to_owned());
        }
        if let Err(e) = self.levels.validate() {
            option("anomaly.levels", e.to_string());
        }
        if let Some(e) = self.tails.as_ref().and_then(|t| t.validate().err()) {
            option("anomaly.tails", e.to_string());
        }
        if let Some(forest) = &self.forest {
            if let Err(e) = forest.validate() {
                option("anomaly.forest", e.to_string());
            }
            if forest.sum_counts > MAX_SUM {
                option(
                    "anomaly.forest",
                    format!("sum_counts = {} is out of range: at most {MAX_SUM}", forest.sum_counts),
                );
            }
            if forest.population != Population::All && forest.population != self.population {
                option("anomaly.forest", "population stands in [anomaly], for all methods".to_owned());
            }
        }
        let woe = self.autoencoder.as_ref().is_some_and(|a| a.encoding.kind == EncodingKind::Woe);
        if woe && self.goods_only() {
            option(
                "anomaly.autoencoder.encoding",
                "kind = \"woe\" needs bads, and population = \"good\" has none".to_owned(),
            );
        }
        if spec.privacy.is_some() {
            option("anomaly", "cannot be learned with [privacy] yet".to_owned());
        }
        if self.per_party && spec.job.parties.len() > 32 {
            option("anomaly", "per_party = true is for at most 32 parties".to_owned());
        }
        if let Some(network) = &self.autoencoder {
            network.problems("anomaly.autoencoder", true, spec, found);
        }
    }

    /// The method, one word.
    pub fn method(&self) -> &'static str {
        match (&self.tails, &self.forest) {
            (Some(_), _) => "tails",
            (None, Some(_)) => "forest",
            _ => "autoencoder",
        }
    }

    pub(crate) fn goods_only(&self) -> bool {
        self.population == Population::Good
    }
}

impl AnomalyModel {
    /// The method, one word.
    pub fn method(&self) -> &'static str {
        match self {
            AnomalyModel::Tails(_) => "tails",
            AnomalyModel::Forest(_) => "forest",
            AnomalyModel::Autoencoder(_) => "autoencoder",
        }
    }

    /// Score of each row, high for anomalies.
    pub fn score(&self, table: &Table, rows: &[usize]) -> Result<Vec<f64>, AnomalyJobError> {
        match self {
            AnomalyModel::Tails(tails) => Ok(tails.score(table, rows)?),
            AnomalyModel::Forest(forest) => Ok(forest.score(table, rows)?),
            AnomalyModel::Autoencoder(network) => {
                let examples = network.encoder.encode(table, rows).map_err(NetworkError::from)?;
                let scores = learner(Default::default(), network.architecture.clone())
                    .and_then(|mut l| l.predict(&network.parameters, &examples))
                    .map_err(NetworkError::from)?;
                Ok(scores.into_iter().map(|s| f64::from(s).max(0.0)).collect())
            }
        }
    }

    /// What each column of the job adds to the score of each row: 0 or more.
    pub fn contributions(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<f64>>, AnomalyJobError> {
        match self {
            AnomalyModel::Tails(tails) => Ok(tails.contributions(table, rows)?),
            AnomalyModel::Forest(forest) => Ok(forest.contributions(table, rows)?),
            AnomalyModel::Autoencoder(network) => {
                let examples = network.encoder.encode(table, rows).map_err(NetworkError::from)?;
                let residuals = learner(Default::default(), network.architecture.clone())
                    .and_then(|mut l| l.residuals(&network.parameters, &examples))
                    .map_err(NetworkError::from)?;
                let inputs = network.encoder.inputs();
                // An encoder of an earlier job may have the columns in another order.
                let place = |spec: &ColumnSpec| table.specs.iter().position(|s| s.name == spec.name);
                let places: Vec<Option<usize>> = network.encoder.columns().iter().map(place).collect();
                let of_row = |row: &[f32]| {
                    let mut columns = vec![0.0; table.columns.len()];
                    for (input, residual) in inputs.iter().zip(row) {
                        let place = places.get(input.column).copied().flatten();
                        if let Some(column) = place.and_then(|p| columns.get_mut(p)) {
                            *column += f64::from(*residual);
                        }
                    }
                    columns
                };
                Ok(residuals.chunks(inputs.len().max(1)).map(of_row).collect())
            }
        }
    }
}

impl AnomalyResult {
    /// Rows of a party that carry a warning, highest scores first, with their `most` largest drivers. For the party alone.
    pub fn flag(&self, table: &Table, rows: &[usize], most: usize) -> Result<Vec<Flagged>, AnomalyJobError> {
        let scores = self.model.score(table, rows)?;
        let mut flagged: Vec<(usize, f64, Warning)> = rows
            .iter()
            .zip(scores)
            .map(|(&row, score)| (row, score, self.thresholds.warning(score)))
            .filter(|(.., warning)| *warning != Warning::None)
            .collect();
        flagged.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let of: Vec<usize> = flagged.iter().map(|f| f.0).collect();
        let contributions = self.model.contributions(table, &of)?;
        let one = |((row, score, warning), c): ((usize, f64, Warning), Vec<f64>)| Flagged {
            row,
            score,
            warning,
            drivers: drivers(&c, most),
        };
        Ok(flagged.into_iter().zip(contributions).map(one).collect())
    }
}
