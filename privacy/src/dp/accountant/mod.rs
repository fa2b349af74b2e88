//! What many noisy releases cost together: epsilon at a delta, or delta at an epsilon, from below and from above.
//!
//! Neighbouring data sets differ by one firm that one of them has and the other has not, so both orders of the two count:
//! the larger of the two divergences is the cost.
//!
//! * Releases in which every firm takes part compose to one Gaussian exactly, `mu^2 = sum 1 / z_i^2` (Dong, Roth, Su,
//!   *Gaussian Differential Privacy*, 2022, <https://arxiv.org/abs/1905.02383>); its curve is known in closed form (`gaussian`).
//! * Sampled releases are composed as privacy-loss distributions on a grid (`loss`) by the Fourier transform
//!   (`compose`). Two grids enclose the truth: one dominates the mechanism, the other is dominated by it. The grid is
//!   refined until the two epsilons are within half a per cent of each other.
//!
//! Floating-point errors are bounded generously where they could matter (the transform); elsewhere they are parts in
//! 10^12 of a probability.

mod compose;
mod gaussian;
mod loss;

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
    /// Each firm takes part with probability `rate`, drawn anew and alone each time (Poisson sampling), and nobody learns
    /// which did.
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
    /// The true value is at least this.
    pub lower: f64,
    /// What is promised: the true value is at most this.
    pub upper: f64,
}

/// Releases that were made, or are planned, taken together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Composition {
    /// `sum 1 / z^2` of the releases in which every firm takes part.
    mu_squared: f64,
    sampled: Vec<Sampled>,
}

/// So many sampled releases alike.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sampled {
    multiplier: f64,
    rate: f64,
    count: u64,
}

/// The caller's numbers cannot be accounted for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AccountingError {
    /// A noise multiplier.
    #[error("the noise multiplier {0} is not between 0.1 and 1e6: choose one of at least 0.1")]
    Multiplier(f64),
    /// A sampling rate.
    #[error("the sampling rate {0} is not between 1e-4 and 1")]
    Rate(f64),
    /// A number of releases.
    #[error("{0} releases: between one and 10^9 of a mechanism can be accounted for")]
    Count(u64),
    /// A delta.
    #[error("delta = {0} is not between 1e-20 and 1")]
    Delta(f64),
    /// An epsilon.
    #[error("epsilon = {0} is not between 0 and 1000")]
    Epsilon(f64),
    /// No multiplier below 1e6 is enough.
    #[error("epsilon = {epsilon} and delta = {delta} need a noise multiplier beyond 1e6")]
    OutOfReach {
        /// Asked for.
        epsilon: f64,
        /// Asked for.
        delta: f64,
    },
}

/// The largest `mu^2` that is composed with sampled releases: an epsilon of 200 and more.
const MOST: f64 = 400.0;

impl Mechanism {
    /// With this multiplier; sampled, unless `rate` is one.
    pub fn new(multiplier: f64, rate: f64) -> Result<Self, AccountingError> {
        let mechanism = match rate {
            1.0 => Self::Gaussian { multiplier },
            _ => Self::SampledGaussian { multiplier, rate },
        };
        mechanism.check().map(|()| mechanism)
    }

    /// Whether it can be accounted for.
    pub fn check(&self) -> Result<(), AccountingError> {
        let (multiplier, rate) = self.parts();
        if !(0.1..=1e6).contains(&multiplier) {
            return Err(AccountingError::Multiplier(multiplier));
        }
        if !(1e-4..=1.0).contains(&rate) {
            return Err(AccountingError::Rate(rate));
        }
        Ok(())
    }

    fn parts(&self) -> (f64, f64) {
        match *self {
            Self::Gaussian { multiplier } => (multiplier, 1.0),
            Self::SampledGaussian { multiplier, rate } => (multiplier, rate),
        }
    }
}

impl Composition {
    /// Of each mechanism, so many releases.
    pub fn new(releases: &[(Mechanism, u64)]) -> Result<Self, AccountingError> {
        releases.iter().try_fold(Self::default(), |whole, &(mechanism, count)| whole.and(mechanism, count))
    }

    /// With so many more releases of a mechanism.
    pub fn and(mut self, mechanism: Mechanism, count: u64) -> Result<Self, AccountingError> {
        mechanism.check()?;
        let known = |sampled: &&mut Sampled| (sampled.multiplier, sampled.rate) == mechanism.parts();
        match mechanism.parts() {
            _ if !(1..=1_000_000_000).contains(&count) => return Err(AccountingError::Count(count)),
            (multiplier, 1.0) => self.mu_squared += count as f64 / (multiplier * multiplier),
            (multiplier, rate) => match self.sampled.iter_mut().find(known) {
                Some(sampled) if sampled.count + count > 1_000_000_000 => {
                    return Err(AccountingError::Count(sampled.count + count));
                }
                Some(sampled) => sampled.count += count,
                None => self.sampled.push(Sampled { multiplier, rate, count }),
            },
        }
        Ok(self)
    }

    /// The smallest epsilon with which the releases are (epsilon, delta)-private.
    pub fn epsilon(&self, delta: f64) -> Result<Bounds, AccountingError> {
        if !(1e-20..1.0).contains(&delta) {
            return Err(AccountingError::Delta(delta));
        }
        Ok(match self.sampled.is_empty() {
            true => gaussian::epsilon(self.mu_squared.sqrt(), delta),
            // Far beyond any promise, and beyond what a grid can hold.
            false if self.mu_squared > MOST => {
                Bounds { upper: f64::INFINITY, ..gaussian::epsilon(self.mu_squared.sqrt(), delta) }
            }
            false => compose::epsilon(&self.parts(), delta),
        })
    }

    /// The smallest delta with which the releases are (epsilon, delta)-private.
    pub fn delta(&self, epsilon: f64) -> Result<Bounds, AccountingError> {
        if !(0.0..=1000.0).contains(&epsilon) {
            return Err(AccountingError::Epsilon(epsilon));
        }
        Ok(match self.sampled.is_empty() {
            true => gaussian::delta(self.mu_squared.sqrt(), epsilon),
            false if self.mu_squared > MOST => {
                Bounds { upper: 1.0, ..gaussian::delta(self.mu_squared.sqrt(), epsilon) }
            }
            false => compose::delta(&self.parts(), epsilon),
        })
    }

    /// The sampled releases, and the others as one.
    fn parts(&self) -> Vec<Sampled> {
        let whole = Sampled { multiplier: self.mu_squared.sqrt().recip(), rate: 1.0, count: 1 };
        self.sampled.iter().copied().chain((self.mu_squared > 0.0).then_some(whole)).collect()
    }
}

/// The smallest noise multiplier (of at least 0.1, up to one part in a thousand and from above) with which `count` releases at this sampling
/// rate (1: every firm each time) are (epsilon, delta)-private.
pub fn multiplier_for(epsilon: f64, delta: f64, rate: f64, count: u64) -> Result<f64, AccountingError> {
    if !(epsilon > 0.0 && epsilon <= 1000.0) {
        return Err(AccountingError::Epsilon(epsilon));
    }
    let enough = |multiplier: f64| -> Result<bool, AccountingError> {
        Ok(Composition::default().and(Mechanism::new(multiplier, rate)?, count)?.epsilon(delta)?.upper <= epsilon)
    };
    // From one upwards or downwards: the smallest multipliers are the slowest to account for.
    let (mut low, mut high) = (1.0, 1.0);
    if enough(1.0)? {
        while low > 0.1 && enough(low)? {
            (low, high) = ((low / 2.0).max(0.1), low);
        }
    } else {
        while !enough(high)? {
            (low, high) = (high, high * 2.0);
            if high > 1e6 {
                return Err(AccountingError::OutOfReach { epsilon, delta });
            }
        }
    }
    while high > low * 1.001 {
        let middle = (low * high).sqrt();
        match enough(middle)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests;
