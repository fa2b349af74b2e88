//! Networks, trained locally and averaged by sums.
//!
//! | step | what the sum holds | what follows from it |
//! |---|---|---|
//! | `profile` | rows, bads, coarse counts per numeric column | the fine grids |
//! | `label_counts` | goods and bads per fine cell and level | the encoder of the inputs, the initial network |
//! | `train` | updates, weights, losses and validation scores | the next network |
//! | `evaluation` | good/bad histograms of the scores | AUC, KS, calibration |
//!
//! No task carries the network: it follows from the sums before, which every participant has seen and checked
//! ([`crate::witness`]). A task names its digest, so a coordinator cannot have one party train on another network than the rest.

use haihe_models::{
    binning::BinningOptions,
    grid::StatisticsError,
    metrics::MetricsError,
    network::{
        Activation, Architecture, Backend, Encoder, EncodingError, EncodingKind, EncodingOptions, LearnerError,
        LocalTraining, Optimiser,
        architecture::MAX_PARAMETERS,
        clipping::ClippingOptions,
        packed,
        robust::{Robust, RobustError},
        schedule::Schedule,
        strategy::{Strategy, StrategyError},
    },
};
use haihe_privacy::{
    digest::{Digest, Transcript},
    secure_sum::{Coding, Segment},
};
use serde::{Deserialize, Serialize};

use super::{Performed, Rows};
use crate::job::{JobProblem, JobSpec};

mod encoded;
mod evaluation;
mod local;
mod plan;
mod training;
mod unchanged;
mod wide;

pub use encoded::EncodedRows;
pub use evaluation::{CreditEvaluation, OwnCustomers, PartyCredit, Population};
pub use local::{Memory, local_result, own_version};
pub use plan::{NetworkResult, Next, Plan, Task};
pub use training::{Learned, RoundFigures, TrainTask, Training};
pub use unchanged::Unchanged;
pub use wide::Wide;

pub(crate) use local::train_rows;
pub(crate) use plan::{encoder_summary, profile_segments, profile_summary, summary, train};
pub(crate) use training::{Parts, Trained};

/// The table `[network]` of a job file, and `[anomaly.autoencoder]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkOptions {
    /// Which network.
    pub model: Model,
    /// How columns become its inputs.
    pub encoding: EncodingOptions,
    /// Bins of the encoding by weight of evidence, and the fine cells of every encoding.
    pub binning: BinningOptions,
    /// What a party does between two sums.
    pub training: LocalTraining,
    /// What follows from a sum.
    pub strategy: Strategy,
    /// How the learning rate changes from round to round.
    pub schedule: Schedule,
    /// How updates are bounded.
    pub clipping: ClippingOptions,
    /// How many rounds.
    pub rounds: RoundsOptions,
    /// Resist single parties that send wrong updates.
    pub robust: Option<RobustOptions>,
    /// What every party keeps for itself.
    pub personal: PersonalOptions,
    /// How the result is evaluated.
    pub evaluation: EvaluationOptions,
    /// Begin with an earlier network.
    pub start: Option<Start>,
}

/// Which network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// Logistic regression by gradient steps.
    Logistic {},
    /// Dense layers.
    Mlp {
        /// Units of the hidden layers.
        hidden: Vec<usize>,
        /// Of the hidden layers.
        #[serde(default)]
        activation: Activation,
    },
    /// One LSTM layer over `encoding.series`, all other columns beside it.
    Lstm {
        /// Units of the LSTM.
        hidden: usize,
        /// Units of the dense layers before the output.
        #[serde(default)]
        head: Vec<usize>,
    },
    /// Dense layers to a narrow code and back; only in `[anomaly.autoencoder]`.
    Autoencoder {
        /// Units of the encoder's layers, the code last. Empty: a half and a quarter of the inputs.
        #[serde(default)]
        hidden: Vec<usize>,
        /// Of all layers but the output.
        #[serde(default = "tanh")]
        activation: Activation,
    },
}

fn tanh() -> Activation {
    Activation::Tanh
}

impl Default for Model {
    fn default() -> Self {
        Model::Mlp { hidden: vec![64, 32], activation: Activation::Relu }
    }
}

impl Model {
    /// The network over the inputs that an encoder makes.
    pub fn architecture(&self, encoder: &Encoder) -> Result<Architecture, NetworkError> {
        let inputs = encoder.inputs().len();
        let architecture = match self {
            Model::Logistic {} => Architecture::Logistic { inputs },
            Model::Mlp { hidden, activation } => {
                Architecture::Mlp { inputs, hidden: hidden.clone(), activation: *activation }
            }
            Model::Autoencoder { hidden, activation } => {
                let hidden =
                    if hidden.is_empty() { vec![inputs.div_ceil(2), inputs.div_ceil(4)] } else { hidden.clone() };
                Architecture::Autoencoder { inputs, hidden, activation: *activation }
            }
            Model::Lstm { hidden, head } => {
                let (steps, channels, statics) = encoder.series().ok_or(NetworkError::NoSeries)?;
                Architecture::Lstm { steps, channels, statics, hidden: *hidden, head: head.clone() }
            }
        };
        architecture.validate()?;
        Ok(architecture)
    }

    /// Checks the sizes that do not depend on the encoder, for about as many inputs as there are columns.
    fn shape(&self, columns: usize) -> Result<(), LearnerError> {
        let inputs = columns.max(1);
        match self {
            Model::Logistic {} => Architecture::Logistic { inputs },
            Model::Mlp { hidden, activation } => {
                Architecture::Mlp { inputs, hidden: hidden.clone(), activation: *activation }
            }
            Model::Autoencoder { hidden, activation } => {
                let hidden = if hidden.is_empty() { vec![1] } else { hidden.clone() };
                Architecture::Autoencoder { inputs, hidden, activation: *activation }
            }
            Model::Lstm { hidden, head } => {
                Architecture::Lstm { steps: 1, channels: 1, statics: 0, hidden: *hidden, head: head.clone() }
            }
        }
        .validate()
    }

    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Model::Logistic {} => "logistic",
            Model::Mlp { .. } => "mlp",
            Model::Lstm { .. } => "lstm",
            Model::Autoencoder { .. } => "autoencoder",
        }
    }
}

/// How many rounds, and who takes part in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoundsOptions {
    /// Training rounds, at most.
    pub most: u32,
    /// Stop after so many rounds in a row without a lower validation loss; 0: never. Whenever it stops, the network of the round
    /// with the lowest validation loss is the result.
    pub patience: u32,
    /// Share of its training rows that every party keeps back for validation.
    pub validation: f64,
    /// Weight parties by their training rows; else all count the same.
    pub weighted: bool,
    /// Share of the parties that train in a round, drawn anew every round; the others send zeros.
    pub sample: f64,
    /// Bits per value and party in training rounds.
    pub value_bits: u32,
    /// Draws the initial network, batches, validation rows, samples and buckets.
    pub seed: u64,
    /// Which code computes; every party may have its own.
    pub backend: Backend,
}

impl Default for RoundsOptions {
    fn default() -> Self {
        Self {
            most: 40,
            patience: 8,
            validation: 0.15,
            weighted: true,
            sample: 1.0,
            value_bits: 16,
            seed: 1,
            backend: Backend::Any,
        }
    }
}

/// Resist single parties that send wrong updates: the parties are dealt into buckets anew in every round, each bucket has a sum
/// of its own, and a robust rule takes the place of the mean over buckets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobustOptions {
    /// Number of buckets.
    pub buckets: u32,
    /// The rule.
    pub rule: Robust,
}

/// What every party keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersonalOptions {
    /// The last layer stays at the party that trained it; only the body is shared.
    pub head: bool,
    /// After the last round every party trains the result on its own rows, for itself.
    pub fine_tune: Option<LocalTraining>,
}

/// How the result is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationOptions {
    /// Cells of the histograms of scores.
    pub cells: usize,
    /// Cells of the validation histograms of every round.
    pub validation_cells: usize,
    /// Give every party a slot range of its own, so that its own figures become known to all: its customers under the shared
    /// network, under its own version, and under a network that it trained alone. Each party's policy must allow it.
    pub per_party: bool,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { cells: 400, validation_cells: 100, per_party: false }
    }
}

/// An earlier network to begin with, as `haihe model start` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Parameters: base64 of little-endian `f32`.
    #[serde(with = "packed")]
    pub parameters: Vec<f32>,
    /// Its encoder, JSON.
    pub encoder: String,
}

impl Start {
    /// Its encoder.
    pub fn encoder(&self) -> Option<Encoder> {
        serde_json::from_str(&self.encoder).ok()
    }

    /// Why a job with this model and these columns cannot begin with it.
    fn problem(&self, model: &Model, spec: &JobSpec) -> Option<String> {
        let Some(encoder) = self.encoder() else { return Some("encoder is not the JSON of an encoder".to_owned()) };
        let strange: Vec<String> = encoder
            .columns()
            .iter()
            .filter(|column| !spec.data.columns.contains(column))
            .map(|column| format!("{:?}", column.name))
            .collect();
        if !strange.is_empty() {
            return Some(format!(
                "the encoder reads {}, which data.columns does not have with the same kind and levels",
                strange.join(", ")
            ));
        }
        let expected = model.architecture(&encoder).map(|a| a.parameters());
        match (expected, self.parameters.len()) {
            (Err(e), _) => Some(e.to_string()),
            (Ok(expected), found) => (expected != found)
                .then(|| format!("model has {expected} parameters over this encoder's inputs, and {found} were given")),
        }
    }
}

/// Why a task cannot be performed or a sum leads nowhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// Tables and counts.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Encoding.
    #[error("the inputs cannot be encoded: {0}")]
    Encoding(#[from] EncodingError),
    /// Training and scoring.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// The step after a sum.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// Robust aggregation.
    #[error(transparent)]
    Robust(#[from] RobustError),
    /// Evaluation.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// An LSTM without series.
    #[error("network.model = lstm needs encoding.series: which columns are the months of which channel")]
    NoSeries,
    /// Nobody brought rows for testing, or nobody kept any for validation.
    #[error(
        "the parties have {rows} {what} rows together; a network is not released without an evaluation. Check data.split, or \
         rounds.validation"
    )]
    NoRows {
        /// Which rows.
        what: &'static str,
        /// How many.
        rows: f64,
    },
    /// All updates were zero or nobody trained.
    #[error("no party trained in this round: the weights add up to nothing")]
    NoWeight,
    /// The job asks for no network.
    #[error("the job does not train a network")]
    OtherKind,
    /// What this party kept of earlier rounds does not fit.
    #[error(
        "what this participant kept of earlier rounds does not fit the task: {detail}; restore the vault, or leave the job"
    )]
    Memory {
        /// What is wrong.
        detail: &'static str,
    },
}

/// Fewest parties whose updates may be in one sum, so that nobody sees another's by taking away its own.
const LEAST_IN_A_SUM: u32 = 3;

/// Most numbers that an encoder by ranks keeps: columns times fine cells.
const MAX_RANKS: usize = 36_000;

/// Most parameters times buckets: the length of a round's vector follows from them.
pub(crate) const MAX_SUM: usize = MAX_PARAMETERS;

impl NetworkOptions {
    /// Collects what is wrong with the options of table `table`.
    pub(crate) fn problems(&self, table: &str, anomaly: bool, spec: &JobSpec, found: &mut Vec<JobProblem>) {
        let mut option = |key: &str, detail: String| {
            let table = if key.is_empty() { table.to_owned() } else { format!("{table}.{key}") };
            found.push(JobProblem::Option { table, detail });
        };
        if let Err(e) = self.encoding.validate() {
            option("encoding", e.to_string());
        }
        if let Err(e) = self.binning.validate() {
            option("binning", e.to_string());
        }
        if let Err(e) = self.training.validate() {
            option("training", e.to_string());
        }
        let ranks = spec.data.columns.len().saturating_mul(self.binning.fine_cells);
        if self.encoding.kind == EncodingKind::QuantileNormal && ranks > MAX_RANKS {
            option(
                "binning",
                format!("fine_cells times columns = {ranks} is out of range: at most {MAX_RANKS} by ranks"),
            );
        }
        let plain = self.training.optimiser == Optimiser::Sgd { momentum: 0.0 } && self.training.weight_decay == 0.0;
        if matches!(self.strategy, Strategy::Scaffold { .. }) && !plain {
            let detail = "scaffold needs plain gradient descent: no momentum, no Adam, no weight decay";
            option("strategy", detail.to_owned());
        }
        if let Some(e) = self.personal.fine_tune.as_ref().and_then(|t| t.validate().err()) {
            option("personal.fine_tune", e.to_string());
        }
        if let Err(e) = self.strategy.validate() {
            option("strategy", e.to_string());
        }
        if let Err(e) = self.schedule.validate() {
            option("schedule", e.to_string());
        }
        if let Err(e) = self.clipping.validate() {
            option("clipping", e.to_string());
        }
        if let Err(e) = self.model.shape(spec.data.columns.len()) {
            option("model", e.to_string());
        }
        let cut_off = |r: &RobustOptions| r.rule.tolerates(r.buckets as usize) == 0;
        if self.robust.as_ref().is_some_and(cut_off) {
            option(
                "robust",
                "the rule leaves out no bucket, or all of them: use more buckets, or a smaller cut".to_owned(),
            );
        }
        if matches!((&self.model, self.rounds.backend), (Model::Lstm { .. }, Backend::Plain)) {
            option("rounds", "backend = \"plain\" cannot train an LSTM: leave it out".to_owned());
        }
        let autoencoder = matches!(self.model, Model::Autoencoder { .. });
        if autoencoder != anomaly {
            let detail =
                if anomaly { "must be kind = \"autoencoder\" here" } else { "an autoencoder belongs to [anomaly]" };
            option("model", detail.to_owned());
        }
        if matches!(self.model, Model::Lstm { .. }) == self.encoding.series.is_empty() {
            option("encoding.series", "belongs to an LSTM: give both or neither".to_owned());
        }
        if matches!(self.strategy, Strategy::Scaffold { .. }) && (self.robust.is_some() || self.personal.head) {
            option("strategy", "scaffold goes neither with robust nor with personal.head".to_owned());
        }
        if anomaly && (self.personal != PersonalOptions::default() || self.evaluation.per_party) {
            option("", "personal and evaluation.per_party are for credit networks".to_owned());
        }
        if let Some(e) = self.start.as_ref().and_then(|start| start.problem(&self.model, spec)) {
            option("start", e);
        }
        if spec.privacy.is_some() {
            option("", "cannot be learned with [privacy] yet: its updates have no bound per firm".to_owned());
        }
        self.range_problems(table, spec, found);
    }

    fn range_problems(&self, table: &str, spec: &JobSpec, found: &mut Vec<JobProblem>) {
        let rounds = &self.rounds;
        let mut range = |key: &str, got: f64, fits: bool, allowed: &str| {
            if !fits {
                let detail = format!("{key} = {got} is out of range: {allowed}");
                found.push(JobProblem::Option { table: table.to_owned(), detail });
            }
        };
        range("rounds.most", f64::from(rounds.most), (1..=10_000).contains(&rounds.most), "1 to 10000");
        range("rounds.validation", rounds.validation, (0.01..=0.5).contains(&rounds.validation), "0.01 to 0.5");
        range("rounds.value_bits", f64::from(rounds.value_bits), (12..=32).contains(&rounds.value_bits), "12 to 32");
        range("rounds.sample", rounds.sample, rounds.sample > 0.0 && rounds.sample <= 1.0, "above 0, at most 1");
        let parties = spec.job.parties.len() as u32;
        let least = self.least_in_a_sum(spec.min_parties(), parties);
        range(
            if self.robust.is_some() { "robust.buckets" } else { "rounds.sample" },
            self.robust.as_ref().map_or(rounds.sample, |r| f64::from(r.buckets)),
            least >= LEAST_IN_A_SUM || (rounds.sample >= 1.0 && self.robust.is_none()),
            "three parties or more must train in every sum, even when as many are late as job.min_parties allows",
        );
        range(
            "robust.buckets",
            f64::from(self.buckets()),
            self.robust.as_ref().is_none_or(|r| r.buckets >= 3),
            "3 or more",
        );
        let cells = self.evaluation.cells;
        range("evaluation.cells", cells as f64, (10..=10_000).contains(&cells), "10 to 10000");
        let cells = self.evaluation.validation_cells;
        range("evaluation.validation_cells", cells as f64, (10..=1000).contains(&cells), "10 to 1000");
        let own = self.evaluation.cells * spec.job.parties.len();
        let fits = !self.evaluation.per_party || own <= 50_000;
        range("evaluation.cells times parties", own as f64, fits, "at most 50000 with per_party = true");
    }

    /// Fewest parties whose updates are in one sum: in a session of `least` to `most` parties, when all but `least` may be late.
    pub(crate) fn least_in_a_sum(&self, least: u32, most: u32) -> u32 {
        let smallest = |n: u32| (self.sampled(n) / self.buckets().max(1)).saturating_sub(n - least);
        (least..=most.max(least)).map(smallest).min().unwrap_or(0)
    }

    /// Checks that this program can train the network.
    pub fn trainable(&self) -> Result<(), LearnerError> {
        let what = match (&self.model, self.rounds.backend) {
            (Model::Lstm { .. }, _) => "an LSTM",
            (_, Backend::Torch) => "backend = \"torch\"",
            _ => return Ok(()),
        };
        if haihe_models::network::learner::HAS_TORCH { Ok(()) } else { Err(LearnerError::NoTorch { what }) }
    }

    /// How many of `parties` train in a round.
    pub fn sampled(&self, parties: u32) -> u32 {
        (libm::ceil(self.rounds.sample * f64::from(parties)) as u32).clamp(1, parties.max(1))
    }

    pub(crate) fn buckets(&self) -> u32 {
        self.robust.as_ref().map_or(1, |r| r.buckets)
    }
}

/// Digest of a network's parameters, as tasks name them.
pub fn parameters_digest(parameters: &[f32]) -> Digest {
    Transcript::new("haihe/v1/parameters").bytes(&packed::bytes(parameters)).finish()
}

pub(crate) fn counts(name: &str, len: usize) -> Segment {
    Segment { name: name.to_owned(), len, coding: Coding::Count }
}

pub(crate) fn fixed(name: &str, len: usize, bound: f64) -> Segment {
    Segment { name: name.to_owned(), len, coding: Coding::Fixed { bound } }
}
