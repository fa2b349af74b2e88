//! What many noisy releases cost together.
use serde::{Deserialize, Serialize};

/// A noisy release of sums over a participant's firms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mechanism {
    /// Every firm takes part.
    Gaussian {
        /// Standard deviation of the noise over the L2 sensitivity.
        multiplier: f64,
    },
    /// Each firm takes part with probability `rate`, drawn anew each time.
    SampledGaussian {
        /// Standard deviation of the noise over the L2 sensitivity.
        multiplier: f64,
        /// The probability of taking part.
        rate: f64,
    },
}

/// An interval that holds the true value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// No attack can be ruled out below this.
    pub lower: f64,
    /// What is promised.
    pub upper: f64,
}

/// Releases that were made, or are planned, taken together.
#[derive(Debug, Clone, Default)]
pub struct Composition {}

/// The caller's numbers cannot be accounted for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AccountingError {
    /// A multiplier.
    #[error("the noise multiplier {0} is not between 0.05 and 1e6")]
    Multiplier(f64),
}

impl Composition {
    /// Of each mechanism, so many releases.
    pub fn new(releases: &[(Mechanism, u64)]) -> Result<Self, AccountingError> {
        let _ = releases;
        todo!()
    }

    /// The epsilon at this delta.
    pub fn epsilon(&self, delta: f64) -> Result<Bounds, AccountingError> {
        let _ = delta;
        todo!()
    }

    /// The delta at this epsilon.
    pub fn delta(&self, epsilon: f64) -> Result<Bounds, AccountingError> {
        let _ = epsilon;
        todo!()
    }
}

/// The smallest multiplier, up to one part in a thousand, with which `count` releases at this sampling rate
/// (1: every firm each time) are (epsilon, delta)-private.
pub fn multiplier_for(epsilon: f64, delta: f64, rate: f64, count: u64) -> Result<f64, AccountingError> {
    let _ = (epsilon, delta, rate, count);
    todo!()
}
