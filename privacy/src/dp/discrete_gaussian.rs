//! Exact samples of the discrete Gaussian.
use rand_core::Rng;

/// The discrete Gaussian on the integers, `P(x) ~ exp(-x^2 / (2 sigma^2))`, for one sigma.
#[derive(Debug, Clone)]
pub struct DiscreteGaussian {}

/// The standard deviation is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sigma {numerator}/{denominator} is not between 1/16 and 2^30 with both numbers below 2^31")]
pub struct SigmaError {
    /// What was asked for.
    pub numerator: u32,
    /// What was asked for.
    pub denominator: u32,
}

impl DiscreteGaussian {
    /// For `sigma = numerator / denominator`.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, SigmaError> {
        let _ = (numerator, denominator);
        todo!()
    }

    /// Fills `out` with independent samples.
    pub fn fill(&self, out: &mut [i64], rng: &mut impl Rng) {
        let _ = (out, rng);
        todo!()
    }
}
