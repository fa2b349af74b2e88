//! How hard the rings are to break: the primal attack on LWE by the unique shortest vector, in the core-SVP methodology.
//!
//! A lattice reduction with block size `beta` finds the secret if (Alkim, Ducas, Pöppelmann, Schwabe: "Post-quantum key
//! exchange: a New Hope", USENIX Security 2016, section 6.3)
//!
//! ```text
//! sigma sqrt(beta) <= delta^(2 beta - d - 1) q^(m/d),   d = m + N + 1,   delta = ((pi beta)^(1/beta) beta / (2 pi e))^(1/(2 beta - 2))
//! ```
//!
//! for some number `m` of samples. [`Estimate`] gives the smallest such `beta` and two costs: the bare core-SVP cost
//! `2^(0.292 beta)` of one call of the sieve (Becker, Ducas, Gama, Laarhoven, SODA 2016), and the cost of the
//! Homomorphic Encryption Standard (2018, section 2.1), `8 d 2^(0.292 beta + 16.4)`, with which the sets are chosen to have
//! more than 128 bits.
//!
//! # The variance is halved
//! The sum of the keys and the sums of the errors become public. A contributor's key given its sum with at least one
//! other honest key has half the variance (Hint-RLWE: Kim, Lee, Seo, Song, CRYPTO 2023), so the estimate is for
//! `sigma = sqrt(32 / 2) = 4`. This is also why keys are never binary or ternary.

use crate::secure_sum::ParameterSet;

/// The standard deviation left of a key or an error when the sums are known: that of CBD(64) over `sqrt(2)`.
pub const SIGMA: f64 = 4.0;

/// What the attack costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The smallest block size with which it succeeds.
    pub block_size: u32,
    /// `0.292 beta`.
    pub core_svp_bits: f64,
    /// `0.292 beta + 16.4 + log2(8 d)`.
    pub standard_bits: f64,
}

impl ParameterSet {
    /// The output of [`estimate`] for this set, which a test computes again.
    pub const fn security(self) -> Estimate {
        match self {
            Self::Small => Estimate { block_size: 405, core_svp_bits: 118.26, standard_bits: 149.70 },
            Self::Medium => Estimate { block_size: 385, core_svp_bits: 112.42, standard_bits: 144.82 },
            Self::Large => Estimate { block_size: 376, core_svp_bits: 109.79, standard_bits: 143.14 },
        }
    }
}

/// The cheapest primal attack on LWE of dimension `n` modulo `2^log2_q`, secret and errors of standard deviation `sigma`.
pub fn estimate(n: u32, log2_q: f64, sigma: f64) -> Estimate {
    // More samples than 2n never help; success is monotone in the block size.
    let succeeds = |beta: u32| (1..=2 * n).find(|&m| finds_the_secret(n, log2_q, sigma, m, beta));
    let (mut low, mut high) = (50, n); // fails at `low`, succeeds at `high`
    while high - low > 1 {
        let middle = low.midpoint(high);
        if succeeds(middle).is_some() { high = middle } else { low = middle }
    }
    let d = f64::from(succeeds(high).unwrap_or(2 * n) + n + 1);
    let core_svp_bits = 0.292 * f64::from(high);
    Estimate { block_size: high, core_svp_bits, standard_bits: core_svp_bits + 16.4 + (8.0 * d).log2() }
}

fn finds_the_secret(n: u32, log2_q: f64, sigma: f64, m: u32, beta: u32) -> bool {
    use std::f64::consts::{E, PI};
    let (d, m, beta) = (f64::from(m + n + 1), f64::from(m), f64::from(beta));
    let log2_delta = ((PI * beta).log2() / beta + (beta / (2.0 * PI * E)).log2()) / (2.0 * beta - 2.0);
    sigma.log2() + 0.5 * beta.log2() <= (2.0 * beta - d - 1.0) * log2_delta + log2_q * m / d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_estimators_output() {
        for set in ParameterSet::ALL {
            let log2_q: f64 = set.primes().iter().map(|&p| (p as f64).log2()).sum();
            let estimate = estimate(set.ring_degree() as u32, log2_q, SIGMA);
            let written = set.security();
            assert_eq!(written.block_size, estimate.block_size, "{set:?}: {estimate:?}");
            assert!((written.core_svp_bits - estimate.core_svp_bits).abs() < 0.05, "{set:?}: {estimate:?}");
            assert!((written.standard_bits - estimate.standard_bits).abs() < 0.05, "{set:?}: {estimate:?}");
            assert!(estimate.standard_bits >= 128.0);
        }
    }

    #[test]
    fn agrees_with_published_estimates() {
        // New Hope 1024 (ibid., table 1): q = 12289, sigma = sqrt(8), primal attack with b = 967.
        let new_hope = estimate(1024, 12289f64.log2(), 8f64.sqrt());
        assert!((960..=970).contains(&new_hope.block_size), "{new_hope:?}");
        // Kyber 1024 (round 3 specification, table 4): q = 3329, eta = 2, b = 877 or so.
        let kyber = estimate(1024, 3329f64.log2(), 1.0);
        assert!((860..=890).contains(&kyber.block_size), "{kyber:?}");
    }
}
