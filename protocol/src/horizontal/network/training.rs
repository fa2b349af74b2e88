//! Rounds of local training, and what the coordinator and every witness make of their sums.

use std::{collections::BTreeMap, sync::OnceLock};

use haihe_models::metrics::{Ranking, ScoreGrid, ScoreHistogram};
use haihe_models::network::{
    Architecture, Encoder, Objective,
    clipping::{self, MAGNITUDES},
    packed,
    robust::buckets_of,
    strategy::{Shared, Strategy},
};
use haihe_privacy::{digest::Digest, secure_sum::Segment};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{MAX_SUM, NetworkError, NetworkOptions, Wide, counts, fixed, parameters_digest, unchanged::Unchanged};

/// Largest mean loss that a round can tell; what is above counts as this.
pub(super) const LOSS_BOUND: f64 = 100.0;

/// One round of training, as it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainTask {
    /// Counts the training rounds from 0.
    pub number: u32,
    /// Digest of the parameters to start from.
    pub parameters: Digest,
    /// The network.
    pub architecture: Architecture,
    /// Bound of the updates of each tensor; with SCAFFOLD, then of the control variates.
    pub bounds: Vec<f64>,
    /// False in the last round, which only measures the last network on the validation rows.
    pub train: bool,
}

/// Figures of one training round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundFigures {
    /// Number of the round.
    pub number: u32,
    /// Parties whose update was in the sum.
    pub trained: f64,
    /// Mean loss over the local steps.
    pub train_loss: Option<f64>,
    /// Mean loss of the network that the round began with, on the validation rows.
    pub validation_loss: f64,
    /// Its AUC there; absent for an autoencoder, or with one class only.
    pub validation_auc: Option<f64>,
    /// L2 norm of the mean update.
    pub update_norm: Option<f64>,
    /// Share of the values of the updates that were clipped to the round's bounds.
    pub clipped: f64,
}

/// Where the training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Training rows of all parties, those for validation included.
    pub rows: f64,
    /// Makes the inputs.
    pub encoder: Unchanged<Encoder>,
    /// The network.
    pub architecture: Unchanged<Architecture>,
    /// Rounds that train.
    most: u32,
    /// Only goods teach.
    goods_only: bool,
    shared: Shared,
    /// Digest of the shared parameters, once it was asked for.
    #[serde(skip)]
    named: Named,
    bounds: Vec<f64>,
    best: Option<Best>,
    /// One per round.
    pub history: Vec<RoundFigures>,
}

/// The digest of parameters, which takes long for many of them. Follows from them, so it is no part of what is compared.
#[derive(Clone, Debug, Default)]
struct Named(OnceLock<Digest>);

impl PartialEq for Named {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    number: u32,
    loss: f64,
    #[serde(with = "packed")]
    parameters: Vec<f32>,
}

/// What a round led to.
pub enum Trained {
    /// Another round.
    Continue(Box<Training>),
    /// The training is over: the network of the best round.
    Finished(Box<Learned>),
}

/// A trained network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Makes the inputs.
    pub encoder: Encoder,
    /// The network.
    pub architecture: Architecture,
    /// Its parameters.
    #[serde(with = "packed")]
    pub parameters: Vec<f32>,
    /// The round that began with them.
    pub best_round: u32,
    /// One per round.
    pub history: Vec<RoundFigures>,
}

/// Which parties train in a round, and in which bucket each update goes.
pub(super) struct Draw {
    buckets: Vec<Option<u32>>,
}

impl Draw {
    pub(super) fn new(options: &NetworkOptions, parties: u32, number: u32) -> Self {
        let taken = options.sampled(parties);
        // A shuffle of the parties, from public numbers: everybody draws the same.
        let mut order: Vec<u32> = (0..parties).collect();
        let mut rng =
            ChaCha8Rng::seed_from_u64(options.rounds.seed ^ (u64::from(number) << 32) ^ 0x5a4d_504c_4521_0000);
        for at in (1..order.len()).rev() {
            let other = (u64::from(rng.next_u32()) * (at as u64 + 1)) >> 32;
            order.swap(at, other as usize);
        }
        let mut buckets = vec![None; parties as usize];
        let dealt = buckets_of(taken, options.buckets(), u64::from(number), options.rounds.seed);
        for (&party, bucket) in order.iter().zip(dealt) {
            if let Some(slot) = buckets.get_mut(party as usize) {
                *slot = Some(bucket);
            }
        }
        Self { buckets }
    }

    /// The bucket of a party, if it trains.
    pub(super) fn bucket(&self, party: u32) -> Option<u32> {
        self.buckets.get(party as usize).copied().flatten()
    }
}

/// Where the parts of a round's vector lie.
pub(crate) struct Parts {
    tensors: Vec<usize>,
    groups: usize,
    buckets: usize,
    validation_cells: usize,
}

impl Parts {
    pub(crate) fn new(task: &TrainTask, options: &NetworkOptions) -> Result<Self, NetworkError> {
        task.architecture.validate()?;
        let lengths: Vec<usize> = shared_tensors(&task.architecture, options).iter().map(|t| t.len()).collect();
        let groups = if matches!(options.strategy, Strategy::Scaffold { .. }) { 2 } else { 1 };
        let buckets = options.buckets() as usize;
        let total: usize = lengths.iter().sum();
        if task.bounds.len() != groups * lengths.len() || total.saturating_mul(buckets * groups) > MAX_SUM {
            return Err(NetworkError::OtherKind);
        }
        let cells = match task.architecture.objective() {
            Objective::Credit => options.evaluation.validation_cells,
            Objective::Reconstruction => 0,
        };
        Ok(Self { tensors: lengths, groups, buckets, validation_cells: cells })
    }

    /// Values of one update.
    pub(super) fn update(&self) -> usize {
        self.tensors.iter().sum()
    }

    /// Updates in the vector: one per bucket, and with SCAFFOLD one of control variates.
    pub(super) fn updates(&self) -> usize {
        self.buckets * self.groups
    }

    pub(super) fn magnitudes(&self) -> usize {
        self.groups * self.tensors.len() * MAGNITUDES
    }

    /// Weights per bucket; trained parties, train loss, validation loss and rows, clipped values; the validation histogram.
    fn wide(&self) -> usize {
        self.buckets + 5 + 2 * self.validation_cells
    }

    pub(crate) fn segments(&self, task: &TrainTask) -> Vec<Segment> {
        let mut segments = Vec::new();
        for update in 0..self.updates() {
            // Buckets come first and have the same bounds; control variates have their own.
            let group = usize::from(self.groups == 2 && update == 1);
            let bounds = task.bounds.iter().skip(group * self.tensors.len());
            let name = if group == 0 { "update" } else { "control variates" };
            segments.extend(self.tensors.iter().zip(bounds).map(|(&len, &bound)| fixed(name, len, bound)));
        }
        segments.push(counts("magnitudes", self.magnitudes()));
        segments.push(counts("losses and scores", Wide::slots(self.wide())));
        segments
    }
}

/// The tensors that are averaged: all, or all but the last layer's if every party keeps a head of its own.
pub(super) fn shared_tensors(
    architecture: &Architecture,
    options: &NetworkOptions,
) -> Vec<haihe_models::network::TensorSpec> {
    let end = shared_end(architecture, options);
    architecture.tensors().into_iter().filter(|t| t.offset < end).collect()
}

/// End of the shared parameters.
pub(super) fn shared_end(architecture: &Architecture, options: &NetworkOptions) -> usize {
    if options.personal.head { architecture.last_layer().start } else { architecture.parameters() }
}

/// Grid of validation scores.
pub(super) fn validation_grid(options: &NetworkOptions) -> ScoreGrid {
    ScoreGrid { cells: options.evaluation.validation_cells, ..ScoreGrid::default() }
}

/// What a party says besides its update.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) weights: Vec<f64>,
    pub(super) trained: f64,
    /// Weighted by the party's share of the weights.
    pub(super) train_loss: f64,
    /// Sum over the validation rows, over all training rows of the federation.
    pub(super) validation_loss: f64,
    pub(super) validation_rows: f64,
    pub(super) clipped: f64,
    pub(super) histogram: Vec<f64>,
}

impl Said {
    pub(super) fn push(&self, vector: &mut Vec<f64>) {
        let (share, loss, whole) = (Wide::new(1.0), Wide::new(LOSS_BOUND), Wide::whole());
        self.weights.iter().for_each(|w| share.push(vector, *w));
        whole.push(vector, self.trained);
        loss.push(vector, self.train_loss);
        loss.push(vector, self.validation_loss);
        whole.push(vector, self.validation_rows);
        whole.push(vector, self.clipped);
        self.histogram.iter().for_each(|count| whole.push(vector, *count));
    }

    fn read(digits: &[f64], buckets: usize) -> Self {
        let (share, loss, whole) = (Wide::new(1.0), Wide::new(LOSS_BOUND), Wide::whole());
        let mut numbers = digits.chunks(Wide::slots(1));
        let mut next = |wide: &Wide| numbers.next().map_or(0.0, |d| wide.read(d));
        let weights = (0..buckets).map(|_| next(&share)).collect();
        let trained = libm::rint(next(&whole));
        let (train_loss, validation_loss) = (next(&loss), next(&loss));
        let (validation_rows, clipped) = (libm::rint(next(&whole)), libm::rint(next(&whole)));
        let histogram = numbers.map(|d| libm::rint(whole.read(d))).collect();
        Self { weights, trained, train_loss, validation_loss, validation_rows, clipped, histogram }
    }
}

impl Training {
    /// The start: parameters from the seed, or those of an earlier network.
    pub(crate) fn begin(options: &NetworkOptions, encoder: Encoder, rows: f64) -> Result<Self, NetworkError> {
        let architecture = options.model.architecture(&encoder)?;
        let parameters = match &options.start {
            Some(start) => start.parameters.clone(),
            None => architecture.initial(options.rounds.seed),
        };
        let (expected, found) = (architecture.parameters(), parameters.len());
        if expected != found {
            return Err(haihe_models::network::LearnerError::Parameters { expected, found }.into());
        }
        let groups = if matches!(options.strategy, Strategy::Scaffold { .. }) { 2 } else { 1 };
        let bounds = vec![options.clipping.start; groups * shared_tensors(&architecture, options).len()];
        let shared = Shared::begin(&options.strategy, parameters)?;
        let most = options.rounds.most;
        Ok(Self {
            rows,
            encoder: encoder.into(),
            architecture: architecture.into(),
            most,
            goods_only: false,
            shared,
            named: Named::default(),
            bounds,
            best: None,
            history: Vec::new(),
        })
    }

    /// The same, taught by goods only if `goods_only`.
    pub(crate) fn of_goods(self, goods_only: bool) -> Self {
        Self { goods_only, ..self }
    }

    pub(super) fn goods_only(&self) -> bool {
        self.goods_only
    }

    /// The best round so far.
    pub(super) fn best_round(&self) -> Option<u32> {
        self.best.as_ref().map(|best| best.number)
    }

    /// The current parameters.
    pub fn parameters(&self) -> &[f32] {
        &self.shared.parameters
    }

    /// The shared control variates; empty without SCAFFOLD.
    pub(super) fn control(&self) -> &[f32] {
        &self.shared.control
    }

    /// Factor of the local learning rate in this round.
    pub(super) fn rate_factor(&self, options: &NetworkOptions) -> f64 {
        options.schedule.factor(self.number())
    }

    /// Number of the round that comes next.
    pub fn number(&self) -> u32 {
        self.history.len() as u32
    }

    /// What the next round asks.
    pub fn task(&self) -> TrainTask {
        TrainTask {
            number: self.number(),
            parameters: *self.named.0.get_or_init(|| parameters_digest(self.parameters())),
            architecture: Architecture::clone(&self.architecture),
            bounds: self.bounds.clone(),
            train: self.number() < self.most,
        }
    }

    /// Goes on from the sum that answers [`Training::task`].
    pub fn absorb(mut self, options: &NetworkOptions, sum: &[f64]) -> Result<Trained, NetworkError> {
        let task = self.task();
        let parts = Parts::new(&task, options)?;
        let (updates, rest) = sum.split_at((parts.updates() * parts.update()).min(sum.len()));
        let (magnitudes, digits) = rest.split_at(parts.magnitudes().min(rest.len()));
        let said = Said::read(digits, parts.buckets);
        let mut figures = self.figures(options, &task, &parts, &said)?;
        self.keep_best(&figures);
        if task.train {
            // Nobody who was drawn came, or too few for the robust rule: the network stays as it is for a round.
            let mean = match self.mean_update(options, &parts, updates, &said) {
                Err(NetworkError::NoWeight | NetworkError::Robust(_)) => vec![0.0; parts.update()],
                mean => mean?,
            };
            figures.update_norm = Some(libm::sqrt(mean.iter().map(|u| u * u).sum()));
            // Weights of all parties add up to 1, so this is the mean over all of them; those that did not train keep theirs.
            let control = (parts.groups == 2).then(|| updates.get(parts.update()..).unwrap_or(&[]).to_vec());
            self.shared.step(&options.strategy, &padded(mean, &self.architecture), control.as_deref())?;
            self.named = Named::default();
            self.bounds = clipping::bounds(magnitudes, task.bounds.len(), &options.clipping, &task.bounds);
        }
        let validation_loss = figures.validation_loss;
        self.history.push(figures);
        let since_best = self.best.as_ref().map_or(0, |b| task.number - b.number);
        let stale = options.rounds.patience > 0 && since_best >= options.rounds.patience;
        if task.train && !stale && validation_loss.is_finite() {
            return Ok(Trained::Continue(Box::new(self)));
        }
        let best = self.best.ok_or(NetworkError::NoRows { what: "validation", rows: 0.0 })?;
        Ok(Trained::Finished(Box::new(Learned {
            encoder: self.encoder.into_inner(),
            architecture: self.architecture.into_inner(),
            parameters: best.parameters,
            best_round: best.number,
            history: self.history,
        })))
    }

    fn figures(
        &self,
        options: &NetworkOptions,
        task: &TrainTask,
        parts: &Parts,
        said: &Said,
    ) -> Result<RoundFigures, NetworkError> {
        if said.validation_rows < 1.0 {
            return Err(NetworkError::NoRows { what: "validation", rows: said.validation_rows });
        }
        let auc = if parts.validation_cells == 0 {
            None
        } else {
            let histogram = ScoreHistogram::from_slice(&validation_grid(options), &said.histogram)?;
            Ranking::of(&histogram).ok().map(|r| r.auc)
        };
        let weight: f64 = said.weights.iter().sum();
        let values = said.trained * (parts.update() * parts.groups) as f64;
        Ok(RoundFigures {
            number: task.number,
            trained: said.trained,
            train_loss: (task.train && weight > 0.0).then(|| said.train_loss / weight),
            validation_loss: said.validation_loss * self.rows / said.validation_rows,
            validation_auc: auc,
            update_norm: None,
            clipped: if values > 0.0 { said.clipped / values } else { 0.0 },
        })
    }

    fn keep_best(&mut self, figures: &RoundFigures) {
        if self.best.as_ref().is_none_or(|best| figures.validation_loss < best.loss) {
            let parameters = self.shared.parameters.clone();
            self.best = Some(Best { number: figures.number, loss: figures.validation_loss, parameters });
        }
    }

    fn mean_update(
        &self,
        options: &NetworkOptions,
        parts: &Parts,
        updates: &[f64],
        said: &Said,
    ) -> Result<Vec<f64>, NetworkError> {
        let buckets: Vec<Vec<f64>> = updates
            .chunks(parts.update().max(1))
            .zip(&said.weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(update, weight)| update.iter().map(|u| u / weight).collect())
            .collect();
        match (&options.robust, buckets.into_iter()) {
            (Some(robust), buckets) => Ok(robust.rule.combine(&buckets.collect::<Vec<_>>())?),
            (None, mut buckets) => buckets.next().ok_or(NetworkError::NoWeight),
        }
    }
}

/// An update of the shared tensors, with zeros for what stays at the parties.
fn padded(mut update: Vec<f64>, architecture: &Architecture) -> Vec<f64> {
    update.resize(architecture.parameters(), 0.0);
    update
}

impl RoundFigures {
    /// One line.
    pub(super) fn text(&self) -> String {
        let mut text = format!("round {}: validation loss {:.4}", self.number, self.validation_loss);
        if let Some(auc) = self.validation_auc {
            text += &format!(", AUC {auc:.4}");
        }
        if let Some(loss) = self.train_loss {
            text += &format!("; {} parties trained, loss {loss:.4}", self.trained);
        }
        text
    }

    pub(super) fn by_name(&self) -> BTreeMap<&'static str, f64> {
        let mut figures = BTreeMap::from([("validation_loss", self.validation_loss), ("clipped", self.clipped)]);
        figures.extend(self.train_loss.map(|loss| ("train_loss", loss)));
        figures.extend(self.validation_auc.map(|auc| ("validation_auc", auc)));
        figures.extend(self.update_norm.map(|norm| ("update_norm", norm)));
        figures
    }
}
