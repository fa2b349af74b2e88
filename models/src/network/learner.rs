//! What a party does with a network on its own rows.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::plain::Plain;
use super::{Architecture, Objective};

/// Encoded rows. `Debug` shows the shape only.
#[derive(Clone, Default, PartialEq)]
pub struct Examples {
    /// Numbers per row.
    pub width: usize,
    /// `rows * width` finite numbers, row-major.
    pub x: Vec<f32>,
    /// 1 = bad, 0 = good; one per row, ignored by an autoencoder.
    pub y: Vec<f32>,
    /// Steps of each row's series that are there; empty unless the network is an LSTM.
    pub lengths: Vec<u32>,
}

impl core::fmt::Debug for Examples {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Examples {{ rows: {}, width: {} }}", self.rows(), self.width)
    }
}

impl Examples {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.y.len()
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        self.x.get(row * self.width..(row + 1) * self.width).unwrap_or(&[])
    }

    /// The rows with these numbers, in this order.
    pub fn select(&self, rows: &[usize]) -> Examples {
        Examples {
            width: self.width,
            x: rows.iter().flat_map(|&r| self.row(r)).copied().collect(),
            y: rows.iter().filter_map(|&r| self.y.get(r)).copied().collect(),
            lengths: rows.iter().filter_map(|&r| self.lengths.get(r)).copied().collect(),
        }
    }

    /// Checks that the rows fit a network.
    pub fn check(&self, architecture: &Architecture) -> Result<(), LearnerError> {
        let (expected, found) = (architecture.inputs(), self.width);
        if expected != found || self.x.len() != self.rows() * self.width {
            return Err(LearnerError::Width { expected, found });
        }
        if let Architecture::Lstm { steps, .. } = architecture
            && (self.lengths.len() != self.rows() || self.lengths.iter().any(|&l| l as usize > *steps))
        {
            return Err(LearnerError::Lengths { steps: *steps });
        }
        check_finite(&self.x, "an input")
    }

    /// [`Self::check`], and that a credit network has labels to learn from.
    pub fn check_labelled(&self, architecture: &Architecture) -> Result<(), LearnerError> {
        self.check(architecture)?;
        if architecture.objective() == Objective::Credit && self.y.iter().any(|y| !(0.0..=1.0).contains(y)) {
            return Err(LearnerError::Option { option: "a label", allowed: "1 (bad) or 0 (good)" });
        }
        Ok(())
    }
}

/// How parameters move within a visit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimiser {
    /// Gradient descent: `v = momentum v + g, w -= rate v`.
    Sgd {
        /// 0 for none.
        #[serde(default)]
        momentum: f32,
    },
    /// Adam (Kingma & Ba 2015, algorithm 1) with decoupled weight decay; its moments begin at zero in every visit.
    Adam,
}

impl Default for Optimiser {
    fn default() -> Self {
        Optimiser::Sgd { momentum: 0.0 }
    }
}

/// One visit: local training from the shared parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalTraining {
    /// Passes over the own rows.
    pub epochs: u32,
    /// Rows per step; 0: all of them.
    pub batch_rows: usize,
    /// Learning rate.
    pub rate: f32,
    /// How parameters move.
    pub optimiser: Optimiser,
    /// Decoupled weight decay per step: `w -= rate * weight_decay * w`.
    pub weight_decay: f32,
    /// FedProx's mu (Li et al. 2020, eq. 2): the gradient gains `mu (w - start)`.
    pub proximal: f32,
    /// Weight of the bads' loss; 1 for none.
    pub bad_weight: f32,
    /// An epoch leaves out this share of rows with the highest loss at its start: anomalies in contaminated training rows
    /// then do not teach the autoencoder. 0 for none.
    pub trim: f32,
}

impl Default for LocalTraining {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch_rows: 256,
            rate: 0.01,
            optimiser: Optimiser::default(),
            weight_decay: 0.0,
            proximal: 0.0,
            bad_weight: 1.0,
            trim: 0.0,
        }
    }
}

impl LocalTraining {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), LearnerError> {
        let rule = |holds, option, allowed| if holds { Ok(()) } else { Err(LearnerError::Option { option, allowed }) };
        let within = |value: f32, least: f32, most: f32| value >= least && value <= most;
        rule((1..=1000).contains(&self.epochs), "epochs", "1 to 1000")?;
        rule(self.rate > 0.0 && self.rate <= 10.0, "rate", "above 0, at most 10")?;
        rule(within(self.weight_decay, 0.0, 1.0), "weight_decay", "0 to 1")?;
        rule(within(self.proximal, 0.0, 100.0), "proximal", "0 to 100")?;
        rule(within(self.bad_weight, 0.01, 100.0), "bad_weight", "0.01 to 100")?;
        rule(within(self.trim, 0.0, 0.5), "trim", "0 to 0.5")?;
        match self.optimiser {
            Optimiser::Sgd { momentum } => rule((0.0..1.0).contains(&momentum), "momentum", "0 to below 1"),
            Optimiser::Adam => Ok(()),
        }
    }
}

/// What a visit left.
#[derive(Clone, PartialEq)]
pub struct Trained {
    /// The parameters, as long as the start.
    pub parameters: Vec<f32>,
    /// Mean loss over all steps.
    pub loss: f64,
    /// Optimiser steps taken.
    pub steps: u64,
}

impl core::fmt::Debug for Trained {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Trained {{ parameters: {}, loss: {}, steps: {} }}", self.parameters.len(), self.loss, self.steps)
    }
}

/// Which code computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// libtorch for LSTMs, the dense layers of this crate for the rest: on one core they are faster.
    #[default]
    Any,
    /// The dense layers of this crate: everything but LSTMs.
    Plain,
    /// libtorch.
    Torch,
}

/// True if this program was built with libtorch.
pub const HAS_TORCH: bool = cfg!(feature = "torch");

/// Trains and applies one network. Deterministic, on one thread.
pub trait Learner: Send {
    /// The network.
    fn architecture(&self) -> &Architecture;

    /// Trains from `start`. With `correction` (as long as `start`), every gradient gains it: SCAFFOLD's `c - c_i` (Karimireddy
    /// et al. 2020, algorithm 1, line 10). Batches are drawn without replacement, in an order that follows from `seed`. Zero
    /// rows give the start back, with zero steps.
    fn train(
        &mut self,
        start: &[f32],
        examples: &Examples,
        options: &LocalTraining,
        correction: Option<&[f32]>,
        seed: u64,
    ) -> Result<Trained, LearnerError>;

    /// One number per row: log-odds of bad, or the mean squared error of the reconstruction.
    fn predict(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError>;

    /// Squared error of each input's reconstruction, `rows * inputs`; an autoencoder's only.
    fn residuals(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError>;

    /// Sum over firms of the clipped gradient of the loss, and the firms: a firm's gradient is the sum over its rows, scaled to
    /// L2 norm `clip` at most (DP-SGD, Abadi et al. 2016, algorithm 1). `firms` has a number per row; `None`: each row is a
    /// firm.
    fn clipped_gradients(
        &mut self,
        parameters: &[f32],
        examples: &Examples,
        firms: Option<&[u32]>,
        clip: f64,
    ) -> Result<(Vec<f64>, u64), LearnerError>;
}

/// Code that trains and applies a network.
///
/// # Errors
/// A shape that is refused, or [`LearnerError::NoTorch`] for what needs libtorch in a program without it. To apply an LSTM
/// without training it, [`Plain::forward_only`] is enough.
pub fn learner(backend: Backend, architecture: Architecture) -> Result<Box<dyn Learner>, LearnerError> {
    architecture.validate()?;
    match backend {
        #[cfg(feature = "torch")]
        Backend::Any if matches!(architecture, Architecture::Lstm { .. }) => {
            Ok(Box::new(super::torch::Torch::new(architecture)?))
        }
        Backend::Any | Backend::Plain => Ok(Box::new(Plain::new(architecture)?)),
        #[cfg(feature = "torch")]
        Backend::Torch => Ok(Box::new(super::torch::Torch::new(architecture)?)),
        #[cfg(not(feature = "torch"))]
        Backend::Torch => Err(LearnerError::NoTorch { what: "backend `torch`" }),
    }
}

/// Puts rows into the order of one epoch and cuts it into batches of `batch_rows` (0: one batch), the last one shorter. All
/// backends draw their batches here.
///
/// The order is a Fisher-Yates shuffle: for `i` from the last place down to 1, places `i` and `floor(u (i + 1) / 2^32)` are
/// swapped, with `u` the next 32-bit word of ChaCha8, seeded by `seed_from_u64(seed)`, on stream `epoch` (the first epoch is 0).
/// `rows` comes in ascending order; at most `2^32` rows.
pub fn batches(rows: &mut [usize], batch_rows: usize, seed: u64, epoch: u32) -> core::slice::Chunks<'_, usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(epoch));
    for place in (1..rows.len()).rev() {
        // The product stays below 2^64 and the other place below `place + 1`.
        let other = (u64::from(rng.next_u32()) * (place as u64 + 1)) >> 32;
        rows.swap(place, other as usize);
    }
    let size = if batch_rows == 0 { rows.len() } else { batch_rows };
    rows.chunks(size.max(1))
}

/// The rows that an epoch learns from, ascending: all but the `floor(trim * rows)` with the highest loss, where of equal losses
/// the later row goes first. `predictions` are what [`Learner::predict`] gives at the epoch's start; the loss of a credit network
/// counts a bad once, whatever the bads' weight, so that a heavy weight does not turn every bad into an outlier.
pub fn kept_rows(objective: Objective, predictions: &[f32], y: &[f32], trim: f32) -> Vec<usize> {
    let rows = predictions.len();
    let out = ((rows as f32 * trim) as usize).min(rows);
    if out == 0 {
        return (0..rows).collect();
    }
    let loss = |row: usize| match objective {
        Objective::Credit => credit_loss(predictions[row], y.get(row).copied().unwrap_or_default(), 1.0).0,
        Objective::Reconstruction => predictions[row],
    };
    let mut ranked: Vec<(f32, usize)> = (0..rows).map(|row| (loss(row), row)).collect();
    ranked.select_nth_unstable_by(out - 1, |a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let mut kept: Vec<usize> = ranked[out..].iter().map(|r| r.1).collect();
    kept.sort_unstable();
    kept
}

/// Binary cross-entropy of one row, `w y ln(1 + e^-z) + (1 - y) ln(1 + e^z)` with `z` the log-odds of bad and `w` the bads'
/// weight, and its slope by `z`. Neither overflows.
pub fn credit_loss(log_odds: f32, y: f32, bad_weight: f32) -> (f32, f32) {
    let e = (-log_odds.abs()).exp();
    let (rest, least) = (e.ln_1p(), 1.0 / (1.0 + e));
    // P(bad) and P(good), the smaller one without cancellation.
    let (bad, good) = if log_odds >= 0.0 { (least, e * least) } else { (e * least, least) };
    let (as_bad, as_good) = (rest + (-log_odds).max(0.0), rest + log_odds.max(0.0));
    let w = bad_weight * y;
    (w * as_bad + (1.0 - y) * as_good, (1.0 - y) * bad - w * good)
}

/// Refuses NaN and infinities. Without an early end within a piece, so that it keeps up with memory.
pub(crate) fn check_finite(values: &[f32], what: &'static str) -> Result<(), LearnerError> {
    let finite = |piece: &[f32]| piece.iter().fold(true, |all, v| all & v.is_finite());
    if values.chunks(256).all(finite) { Ok(()) } else { Err(LearnerError::NotFinite { what }) }
}

/// Why a network cannot be trained or applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LearnerError {
    /// A shape that is refused.
    #[error("the architecture is out of range: {what}")]
    Architecture {
        /// What is allowed.
        what: &'static str,
    },
    /// An option that is refused.
    #[error("{option} is out of range: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Rows of another width.
    #[error("the network takes rows of {expected} numbers; these have {found}")]
    Width {
        /// The network's.
        expected: usize,
        /// The rows'.
        found: usize,
    },
    /// Series lengths that do not fit.
    #[error("the network takes series of at most {steps} steps, with a length for each row")]
    Lengths {
        /// The network's steps.
        steps: usize,
    },
    /// Another number of parameters.
    #[error("the network has {expected} parameters; {found} were given")]
    Parameters {
        /// The network's.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// Training went to infinity, or an input is no number.
    #[error(
        "{what} is not a finite number; a lower learning rate (rate), or inputs that are encoded with clipping, keep training finite"
    )]
    NotFinite {
        /// What.
        what: &'static str,
    },
    /// The network cannot do this.
    #[error("{what}")]
    Unsuited {
        /// What was asked of which network.
        what: &'static str,
    },
    /// No code for the network in this program.
    #[error(
        "this program was built without libtorch, which {what} needs: build it again with `--features torch` after `cargo xtask \
         libtorch`"
    )]
    NoTorch {
        /// What needs it.
        what: &'static str,
    },
    /// libtorch failed.
    #[error("libtorch: {detail}")]
    Torch {
        /// Its own words.
        detail: String,
    },
}
