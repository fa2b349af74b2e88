//! What a party does in a step, over its own rows.

use haihe_models::{
    grid::rows_of,
    metrics::ScoreHistogram,
    network::{
        Architecture, Examples, Learner, LearnerError, LocalTraining, Objective, clipping,
        learner::learner,
        packed,
        strategy::{Strategy, scaffold_control},
    },
    table::{Split, Table},
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{
    NetworkError, NetworkOptions, OwnCustomers, Performed, Population, Rows, TrainTask, Training,
    evaluation::{credit_grid, population},
    training::{Draw, LOSS_BOUND, Learned, Parts, Said, shared_end, shared_tensors, validation_grid},
};

/// What a party keeps between rounds. JSON, in its vault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Its own last layer; empty without `personal.head`.
    #[serde(with = "packed")]
    pub head: Vec<f32>,
    /// The last layer with which the last round began.
    #[serde(with = "packed")]
    pub begun: Vec<f32>,
    /// The last layer with which the best round before that began.
    #[serde(with = "packed")]
    pub best: Vec<f32>,
    /// Its own control variates; empty without SCAFFOLD.
    #[serde(with = "packed")]
    pub control: Vec<f32>,
}

impl Memory {
    fn read(bytes: Option<&[u8]>, architecture: &Architecture, options: &NetworkOptions) -> Result<Self, NetworkError> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let memory: Memory =
            serde_json::from_slice(bytes).map_err(|_| NetworkError::Memory { detail: "it cannot be read" })?;
        let head = architecture.parameters() - shared_end(architecture, options);
        let fits = |values: &[f32], len: usize| values.is_empty() || values.len() == len;
        let heads = [&memory.head, &memory.begun, &memory.best].into_iter().all(|h| fits(h, head));
        if heads && fits(&memory.control, architecture.parameters()) {
            Ok(memory)
        } else {
            Err(NetworkError::Memory { detail: "it belongs to another network" })
        }
    }

    fn write(&self) -> Option<Vec<u8>> {
        let empty = self.head.is_empty() && self.control.is_empty();
        (!empty).then(|| serde_json::to_vec(self).expect("a memory is plain data"))
    }
}

/// Training rows divided into those that train and those that validate, as the seed and the row's place say.
pub(super) fn divided(options: &NetworkOptions, rows: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(options.rounds.seed ^ 0x7661_6c69_6461_7465);
    let limit = (options.rounds.validation * f64::from(u32::MAX)) as u32;
    rows.iter().partition(|_| rng.next_u32() >= limit)
}

/// The places of the training rows, or of the goods among them.
pub(crate) fn train_rows(table: &Table, goods_only: bool) -> Vec<usize> {
    let mut rows = rows_of(table, Split::Train);
    rows.retain(|&row| !goods_only || !table.label.get(row).copied().unwrap_or(false));
    rows
}

pub(super) fn labels(examples: &Examples) -> Vec<bool> {
    examples.y.iter().map(|y| *y > 0.5).collect()
}

/// Log-odds of good, as score histograms have them, within the range that a histogram can place.
pub(super) fn good_log_odds(of_bad: &[f32]) -> Vec<f64> {
    of_bad.iter().map(|z| (-f64::from(*z)).clamp(-60.0, 60.0)).collect()
}

/// Mean loss of each row's prediction.
fn losses(objective: Objective, predicted: &[f32], y: &[f32]) -> Vec<f64> {
    let softplus = |z: f64| z.max(0.0) + libm::log1p(libm::exp(-z.abs()));
    let one = |(&p, &y): (&f32, &f32)| match objective {
        Objective::Reconstruction => f64::from(p),
        Objective::Credit => softplus(if y > 0.5 { -f64::from(p) } else { f64::from(p) }),
    };
    predicted.iter().zip(y).map(one).collect()
}

fn seed_of(options: &NetworkOptions, party: u32, number: u32) -> u64 {
    let mix = (u64::from(party) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    options.rounds.seed.wrapping_add(mix)
}

impl Training {
    /// The vector of one party for one round.
    pub fn perform(&self, options: &NetworkOptions, rows: &Rows<'_>) -> Result<Performed, NetworkError> {
        let task = self.task();
        let parts = Parts::new(&task, options)?;
        let mut memory = Memory::read(rows.memory, &self.architecture, options)?;
        let mut learner = learner(options.rounds.backend, Architecture::clone(&self.architecture))?;
        let start = with_head(self.parameters(), &memory.head);
        self.keep_head(options, &mut memory, &start);
        let examples = rows.encoded.divided(options, &self.encoder, self.goods_only(), rows.table)?;
        let mut said = Said { weights: vec![0.0; options.buckets() as usize], ..Said::default() };
        self.validate(options, &mut *learner, &start, &examples.validation, &mut said)?;

        let mut vector = vec![0.0; parts.updates() * parts.update()];
        let mut magnitudes = vec![0.0; parts.magnitudes()];
        let bucket = Draw::new(options, rows.parties, task.number).bucket(rows.party).filter(|_| task.train);
        let trained = examples.train.rows();
        if let (Some(bucket), true) = (bucket, trained > 0) {
            let seed = seed_of(options, rows.party, task.number);
            let visit = self.visit(options, &mut *learner, &start, &examples.train, &mut memory, seed)?;
            // The weights of all parties add up to 1, but for what chance makes of the shares for validation. A party that was
            // not there when the rows were counted may bring more than all others: it counts as one with all of them.
            let trained_by_all = self.rows * (1.0 - options.rounds.validation);
            let weight =
                if options.rounds.weighted { trained as f64 / trained_by_all } else { 1.0 / f64::from(rows.parties) };
            let weight = weight.min(1.0);
            let begun = memory.control.clone();
            let clipped = self.write_updates(
                options,
                &task,
                &parts,
                visit,
                (bucket, weight),
                &mut vector,
                &mut magnitudes,
                &mut said,
            );
            // What the others take for this party's control variates is what this party goes on with.
            for ((own, begun), change) in memory.control.iter_mut().zip(&begun).zip(&clipped) {
                *own = begun + (f64::from(*change) / weight) as f32;
            }
        }
        vector.extend(magnitudes);
        said.push(&mut vector);
        Ok(Performed { vector, memory: memory.write() })
    }

    /// Remembers the head that this round begins with, and that of the best round: which one that was is known one round later.
    fn keep_head(&self, options: &NetworkOptions, memory: &mut Memory, start: &[f32]) {
        if !options.personal.head {
            return;
        }
        if self.number().checked_sub(1).is_some_and(|last| self.best_round() == Some(last)) {
            memory.best = std::mem::take(&mut memory.begun);
        }
        memory.begun = start.get(shared_end(&self.architecture, options)..).unwrap_or(&[]).to_vec();
    }

    fn validate(
        &self,
        options: &NetworkOptions,
        learner: &mut dyn Learner,
        parameters: &[f32],
        examples: &Examples,
        said: &mut Said,
    ) -> Result<(), NetworkError> {
        let predicted = learner.predict(parameters, examples)?;
        let objective = self.architecture.objective();
        let total: f64 = losses(objective, &predicted, &examples.y).iter().map(|l| l.min(LOSS_BOUND)).sum();
        said.validation_loss = total / self.rows.max(1.0);
        said.validation_rows = examples.rows() as f64;
        if objective == Objective::Credit {
            let scores = good_log_odds(&predicted);
            said.histogram = ScoreHistogram::of(&validation_grid(options), &scores, &labels(examples))?.to_vec();
        }
        Ok(())
    }

    /// Local training; returns update, control update and mean loss, and keeps what stays at the party.
    fn visit(
        &self,
        options: &NetworkOptions,
        learner: &mut dyn Learner,
        start: &[f32],
        examples: &Examples,
        memory: &mut Memory,
        seed: u64,
    ) -> Result<Visit, NetworkError> {
        let rate = (f64::from(options.training.rate) * self.rate_factor(options)) as f32;
        let mut training = LocalTraining { rate, ..options.training.clone() };
        if let Strategy::FedProx { mu } = options.strategy {
            training.proximal = mu as f32;
        }
        let scaffold = matches!(options.strategy, Strategy::Scaffold { .. });
        if scaffold && memory.control.is_empty() {
            memory.control = vec![0.0; start.len()];
        }
        let correction: Option<Vec<f32>> =
            scaffold.then(|| self.control().iter().zip(&memory.control).map(|(c, own)| c - own).collect());
        let trained = learner.train(start, examples, &training, correction.as_deref(), seed)?;
        let shared = shared_end(&self.architecture, options);
        let difference = |new: &[f32], old: &[f32]| new.iter().zip(old).map(|(n, o)| n - o).collect::<Vec<f32>>();
        let mut control = Vec::new();
        if scaffold {
            let own =
                scaffold_control(self.control(), &memory.control, start, &trained.parameters, trained.steps, rate);
            control = difference(&own, &memory.control);
        }
        let mut update = difference(&trained.parameters, start);
        if options.personal.head {
            memory.head = trained.parameters.get(shared..).unwrap_or(&[]).to_vec();
            update.truncate(shared);
        }
        Ok(Visit { update, control, loss: trained.loss.min(LOSS_BOUND) })
    }

    #[allow(clippy::too_many_arguments)]
    fn write_updates(
        &self,
        options: &NetworkOptions,
        task: &TrainTask,
        parts: &Parts,
        mut visit: Visit,
        (bucket, weight): (u32, f64),
        vector: &mut [f64],
        magnitudes: &mut Vec<f64>,
        said: &mut Said,
    ) -> Vec<f32> {
        let tensors = shared_tensors(&self.architecture, options);
        // What is summed is weighted, so that is what the bounds are for.
        let weigh = |values: &mut [f32]| values.iter_mut().for_each(|v| *v = (f64::from(*v) * weight) as f32);
        weigh(&mut visit.update);
        weigh(&mut visit.control);
        *magnitudes = clipping::one_hot(&visit.update, &tensors);
        let (own, controls) = task.bounds.split_at(tensors.len());
        let mut clipped = clipping::clip(&mut visit.update, &tensors, own);
        if !visit.control.is_empty() {
            magnitudes.extend(clipping::one_hot(&visit.control, &tensors));
            clipped += clipping::clip(&mut visit.control, &tensors, controls);
        }
        // A bound that is no f32 may lie just below the clipped value.
        let put = |slots: &mut [f64], values: &[f32], bounds: &[f64]| {
            for (tensor, bound) in tensors.iter().zip(bounds) {
                let range = tensor.range();
                let (Some(slots), Some(values)) = (slots.get_mut(range.clone()), values.get(range)) else { continue };
                slots.iter_mut().zip(values).for_each(|(s, v)| *s = f64::from(*v).clamp(-bound, *bound));
            }
        };
        let from = bucket as usize * parts.update();
        put(vector.get_mut(from..).unwrap_or(&mut []), &visit.update, own);
        if !visit.control.is_empty() {
            put(vector.get_mut(parts.update()..).unwrap_or(&mut []), &visit.control, controls);
        }
        if let Some(slot) = said.weights.get_mut(bucket as usize) {
            *slot = weight;
        }
        said.trained = 1.0;
        said.clipped = clipped as f64;
        said.train_loss = weight * visit.loss;
        visit.control
    }
}

struct Visit {
    update: Vec<f32>,
    control: Vec<f32>,
    loss: f64,
}

/// Scores of the own customers under the shared network, under one trained alone, and under the own version.
pub(super) struct OwnScores {
    pub(super) shared: Vec<f64>,
    /// Absent if nobody asked; why there are none, if the rows do not allow it.
    pub(super) alone: Option<Result<Vec<f64>, NetworkError>>,
    pub(super) own: Option<Vec<f64>>,
    pub(super) bad: Vec<bool>,
}

/// The own version of a network, if the job asks for one: the own head, further training, or both.
pub fn own_version(
    options: &NetworkOptions,
    learned: &Learned,
    rows: &Rows<'_>,
    learner: &mut dyn Learner,
) -> Result<Option<Vec<f32>>, NetworkError> {
    if options.personal == super::PersonalOptions::default() {
        return Ok(None);
    }
    let memory = Memory::read(rows.memory, &learned.architecture, options)?;
    let last = learned.history.len() as u32;
    let head = if learned.best_round + 1 == last { &memory.begun } else { &memory.best };
    let parameters = with_head(&learned.parameters, head);
    let Some(training) = &options.personal.fine_tune else { return Ok(Some(parameters)) };
    let (train, validation) = divided(options, &rows_of(rows.table, Split::Train));
    let (train, validation) =
        (learned.encoder.encode(rows.table, &train)?, learned.encoder.encode(rows.table, &validation)?);
    best_of(learner, parameters, &train, &validation, training, seed_of(options, rows.party, u32::MAX)).map(Some)
}

/// Parameters with another last layer; as they are if there is none.
fn with_head(parameters: &[f32], head: &[f32]) -> Vec<f32> {
    let body = parameters.len().saturating_sub(head.len());
    parameters.iter().take(body).chain(head).copied().collect()
}

/// Trains epoch by epoch and keeps the parameters with the lowest loss on the validation rows, the start included.
fn best_of(
    learner: &mut dyn Learner,
    start: Vec<f32>,
    train: &Examples,
    validation: &Examples,
    training: &LocalTraining,
    seed: u64,
) -> Result<Vec<f32>, NetworkError> {
    let objective = learner.architecture().objective();
    let measure = |learner: &mut dyn Learner, parameters: &[f32]| -> Result<f64, LearnerError> {
        let predicted = learner.predict(parameters, validation)?;
        Ok(losses(objective, &predicted, &validation.y).iter().sum())
    };
    let mut best = (measure(learner, &start)?, start.clone());
    let mut at = start;
    let one = LocalTraining { epochs: 1, ..training.clone() };
    for epoch in 0..training.epochs {
        at = learner.train(&at, train, &one, None, seed.wrapping_add(u64::from(epoch)))?.parameters;
        let loss = measure(learner, &at)?;
        // Without rows to validate on there is no best epoch, and the last one stands.
        if loss < best.0 || validation.rows() == 0 {
            best = (loss, at.clone());
        }
    }
    Ok(best.1)
}

/// A network of the same shape that the party trains alone, for as many passes over its rows as the federation made.
pub(super) fn alone(
    options: &NetworkOptions,
    learned: &Learned,
    rows: &Rows<'_>,
    learner: &mut dyn Learner,
) -> Result<Vec<f32>, NetworkError> {
    let (train, validation) = divided(options, &rows_of(rows.table, Split::Train));
    let (train, validation) =
        (learned.encoder.encode(rows.table, &train)?, learned.encoder.encode(rows.table, &validation)?);
    let rounds = learned.history.len() as u32;
    let training =
        LocalTraining { epochs: options.training.epochs.saturating_mul(rounds).min(1000), ..options.training.clone() };
    let start = learned.architecture.initial(options.rounds.seed);
    best_of(learner, start, &train, &validation, &training, seed_of(options, rows.party, u32::MAX - 1))
}

/// Scores of one split under the versions that a job asks for.
pub(super) fn own_scores(
    options: &NetworkOptions,
    learned: &Learned,
    rows: &Rows<'_>,
    own: Option<&[f32]>,
    with_alone: bool,
) -> Result<OwnScores, NetworkError> {
    let mut learner = learner(options.rounds.backend, learned.architecture.clone())?;
    let examples = learned.encoder.encode(rows.table, &rows_of(rows.table, Split::Test))?;
    // With heads of their own the shared parameters alone are no model.
    let shared = own.filter(|_| options.personal.head).unwrap_or(&learned.parameters);
    let mut predict = |parameters: &[f32]| -> Result<Vec<f64>, LearnerError> {
        Ok(good_log_odds(&learner.predict(parameters, &examples)?))
    };
    let (shared, own) = (predict(shared)?, own.map(&mut predict).transpose()?);
    // A party whose rows teach nothing alone still has its part in the evaluation.
    let alone = with_alone.then(|| {
        let parameters = alone(options, learned, rows, &mut *learner)?;
        Ok(good_log_odds(&learner.predict(&parameters, &examples)?))
    });
    Ok(OwnScores { shared, alone, own, bad: labels(&examples) })
}

/// What a party computes from the shared result over its own customers, and keeps. `own` is [`own_version`].
pub fn local_result(
    options: &NetworkOptions,
    learned: &Learned,
    rows: &Rows<'_>,
    own: Option<&[f32]>,
) -> Result<OwnCustomers<Population>, NetworkError> {
    let scores = own_scores(options, learned, rows, own, true)?;
    let grid = credit_grid(options);
    let of = |s: &Vec<f64>| -> Result<Population, NetworkError> {
        Ok(population(&grid, ScoreHistogram::of(&grid, s, &scores.bad)?))
    };
    Ok(OwnCustomers {
        shared: of(&scores.shared)?,
        alone: scores.alone.as_ref().and_then(|s| s.as_ref().ok()).map(of).transpose()?,
        not_alone: scores.alone.as_ref().and_then(|s| s.as_ref().err()).map(ToString::to_string),
        own: scores.own.as_ref().map(of).transpose()?,
    })
}
