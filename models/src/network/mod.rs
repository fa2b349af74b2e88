//! Networks that a federation trains: logistic regression, multilayer perceptron, autoencoder, LSTM.
//!
//! A network is an [`Architecture`] and a flat vector of `f32` parameters; which part of the vector is which tensor follows from the
//! architecture alone ([`Architecture::tensors`]), with the names, shapes and gate order of PyTorch. A [`Learner`] trains and
//! applies it on one thread and is deterministic: the same start, rows, options and seed give the same parameters to the bit.

use serde::{Deserialize, Serialize};

pub mod architecture;
pub mod clipping;
mod descent;
pub mod encoding;
pub mod learner;
pub mod packed;
pub mod plain;
pub mod robust;
pub mod schedule;
pub mod strategy;
#[cfg(feature = "torch")]
pub mod torch;

pub use architecture::{Activation, Architecture, TensorSpec};
pub use encoding::{Channel, Encoder, EncodingError, EncodingKind, EncodingOptions, Input};
pub use learner::{Backend, Examples, Learner, LearnerError, LocalTraining, Optimiser, Trained, learner};
pub use plain::Plain;
pub use schedule::Schedule;
pub use strategy::{Shared, Strategy, StrategyError};
#[cfg(feature = "torch")]
pub use torch::Torch;

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Log-odds of bad; the loss is the mean binary cross-entropy.
    Credit,
    /// Reconstruction of the inputs; the loss, and the anomaly score of a row, is the mean squared error over the inputs.
    Reconstruction,
}
