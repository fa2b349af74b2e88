//! Noise inside the secure sum: every participant adds its part, and the coordinator sees only the noisy sum.
//!
//! Kairouz, Liu, Steinke, *The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation*
//! (ICML 2021), <https://arxiv.org/abs/2102.06387>. Per segment, in units of the grid (`u` units are the number 1):
//!
//! * **Sensitivity.** A firm's part has an L2 norm of at most `clip`. Both neighbours are rounded with the same coins, and
//!   rounding moves the difference of two coordinates by at most one unit: the integer vectors differ by at most
//!   `D = clip u + sqrt(len)` (a factor `1 + 2^-15` stands for the floating-point arithmetic).
//! * **Noise.** Each participant adds the discrete Gaussian with a whole sigma
//!   `s = ceil(sqrt(((multiplier D)^2 + 4) / guaranteed))`, at least 8, so that `guaranteed` participants' noise alone is
//!   enough; that of others, and of dropouts, is not counted on.
//! * **A sum of discrete Gaussians is one**, up to a factor whose logarithm is at most their
//!   `tau = 10 sum_k e^(-2 pi^2 s^2 k / (k + 1)) < 10 n e^(-pi^2 s^2)`: below n 2^-900 for `s >= 8`.
//! * **A discrete Gaussian is as good as a continuous one with variance less 4.** Take `y` from `N(0, v)` and a discrete
//!   Gaussian of variance 4 around `y` on the integers: what comes out is the discrete Gaussian of variance `v + 4`, up to a
//!   factor `1 +- 2^-111` for each coordinate (convolution: Peikert, CRYPTO 2010, <https://eprint.iacr.org/2010/088>,
//!   theorem 3.1; by Poisson's summation formula the masses around any `y` sum to the same up to `2 e^(-8 pi^2)`). It was
//!   made from the continuous release without the data. Hence the 4 above, and hence [`Mechanism::Gaussian`] with this
//!   multiplier accounts for the release.
//! * **Headroom.** The grid leaves 12 s above and below the bound. Noise beyond is cut there, at draw: it has probability
//!   below `2 e^-72 < 2^-102` for each number (`E e^(t X) <= e^(t^2 s^2 / 2)` as for the continuous Gaussian: Canonne, Kamath,
//!   Steinke 2020), to be added to delta.
//!
//! Everything that the parties must agree on is made by `+ - * /` and `sqrt` alone, which IEEE 754 rounds correctly
//! everywhere.

use super::accountant::Mechanism;
use super::discrete_gaussian::DiscreteGaussian;
use crate::digest::{Digest, Transcript};
use crate::secure_sum::quantise::{Coding, QuantiseError, Quantiser, Real, Segment};
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroize;

/// How much noise the sum of a segment gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentNoise {
    /// The L2 norm that one firm's part of the segment has at most.
    pub clip: f64,
    /// Standard deviation of the summed noise of `guaranteed` contributors, over the sensitivity.
    pub multiplier: f64,
}

/// Turns vectors into noised integers of `b` bits, and their sums back.
#[derive(Debug, Clone)]
pub struct NoisedQuantiser {
    /// With bounds that leave room for the noise.
    quantiser: Quantiser,
    segments: Vec<Segment>,
    noise: Vec<SegmentNoise>,
    guaranteed: u32,
    grids: Vec<Grid>,
    laws: Vec<DiscreteGaussian>,
}

/// The noise of one vector, drawn before any data are touched. Use it for one vector only: two vectors with the same noise
/// show their difference. Wiped on drop.
pub struct DrawnNoise(Vec<i32>);

/// A noised round cannot be set up, or a vector cannot be noised. All are the caller's fault: the job's numbers do not go
/// together, or the vector was not clipped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// From the quantiser.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
    /// Each segment has its noise.
    #[error("{segments} segments and noise for {noise}")]
    Segments {
        /// How many segments there are.
        segments: usize,
        /// For how many there is noise.
        noise: usize,
    },
    /// Counts travel exactly and cannot be noised.
    #[error("segment {segment} holds counts: in a noised round use real numbers with a bound")]
    Counts {
        /// Which segment.
        segment: usize,
    },
    /// A clip must be a positive number.
    #[error("the clip {clip} of segment {segment} is not a positive number")]
    Clip {
        /// Which segment.
        segment: usize,
        /// Its clip.
        clip: f64,
    },
    /// A multiplier that cannot be accounted for.
    #[error("the noise multiplier {multiplier} of segment {segment} is not between 0.1 and 1e6")]
    Multiplier {
        /// Which segment.
        segment: usize,
        /// Its multiplier.
        multiplier: f64,
    },
    /// Nobody's noise can be counted on.
    #[error("no honest contributor is guaranteed: raise the minimum of contributors above the privacy threshold")]
    NobodyGuaranteed,
    /// The integers are too short for numbers and noise, or the grid so coarse that rounding would double the noise.
    #[error(
        "segment {segment} does not fit {value_bits} bits with its noise: {}",
        .enough.map_or("use a smaller multiplier or bound, or a larger clip".to_owned(), |bits| format!("use {bits}"))
    )]
    ValueBits {
        /// Which segment.
        segment: usize,
        /// The bits there are.
        value_bits: u32,
        /// The bits that would do for this segment, if any would.
        enough: Option<u32>,
    },
    /// The noise was drawn for vectors of another length.
    #[error("noise for {noise} numbers and a vector of {dimension}")]
    Drawn {
        /// For how many numbers it was drawn.
        noise: usize,
        /// How many the vector has.
        dimension: usize,
    },
}

/// One segment's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    /// Largest absolute value.
    bound: f64,
    /// `u`, units in the number 1.
    units: f64,
    /// `s`, in units.
    sigma: u32,
}

/// Standard deviations of headroom.
const HEADROOM: u32 = 12;
/// The smallest sigma of one participant's noise.
const LEAST_SIGMA: u32 = 8;
/// Variance by which a continuous Gaussian is better than the discrete one.
const SMOOTHING: f64 = 4.0;
/// Stands for the quantiser's floating-point arithmetic and its 16 bits of fraction.
const ARITHMETIC: f64 = 1.0 + 1.0 / 32_768.0;
/// How much rounding may raise the sensitivity.
const ROUNDING: f64 = 2.0;

impl NoisedQuantiser {
    /// For vectors of these segments, all of them [`Coding::Fixed`]. `guaranteed` is the number of honest contributors
    /// that every sum which may be opened has (`n_min - T`): their noise alone reaches the multipliers.
    pub fn new(
        segments: Vec<Segment>,
        noise: Vec<SegmentNoise>,
        value_bits: u32,
        guaranteed: u32,
    ) -> Result<Self, NoiseError> {
        Quantiser::new(segments.clone(), value_bits)?;
        if segments.len() != noise.len() {
            return Err(NoiseError::Segments { segments: segments.len(), noise: noise.len() });
        }
        if guaranteed == 0 {
            return Err(NoiseError::NobodyGuaranteed);
        }
        let grids = segments.iter().zip(&noise).enumerate();
        let grids = grids.map(|(i, (segment, noise))| check(i, segment, noise, value_bits, guaranteed));
        let grids = grids.collect::<Result<Vec<_>, _>>()?;
        let zero = f64::from(zero(value_bits));
        let widened = segments
            .iter()
            .zip(&grids)
            .map(|(segment, grid)| Segment { coding: Coding::Fixed { bound: zero / grid.units }, ..segment.clone() });
        let quantiser = Quantiser::new(widened.collect(), value_bits)?;
        let law = |grid: &Grid| DiscreteGaussian::new(grid.sigma, 1).expect("between 8 and 2^28");
        let laws = grids.iter().map(law).collect();
        Ok(Self { quantiser, segments, noise, guaranteed, grids, laws })
    }

    /// How many numbers a vector has.
    pub fn dimension(&self) -> usize {
        self.quantiser.dimension()
    }

    /// The segments, in order, with the bounds of the numbers without noise.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// b, the bits of each integer.
    pub fn value_bits(&self) -> u32 {
        self.quantiser.value_bits()
    }

    /// What the release of a sum is to be accounted as: all segments together, every firm in it.
    pub fn mechanism(&self) -> Mechanism {
        let mu_squared: f64 = self.noise.iter().map(|noise| 1.0 / (noise.multiplier * noise.multiplier)).sum();
        Mechanism::Gaussian { multiplier: 1.0 / mu_squared.sqrt() }
    }

    /// The standard deviation of the noise in a sum of so many contributors' numbers, in the numbers' own unit.
    ///
    /// # Panics
    /// If there is no such segment.
    pub fn sigma(&self, segment: usize, contributors: u32) -> f64 {
        let grid = &self.grids[segment];
        f64::from(contributors).sqrt() * f64::from(grid.sigma) / grid.units
    }

    /// What the parties of a round sign: the segments, the bits and the noise.
    pub fn digest(&self) -> Digest {
        let start =
            Transcript::new("haihe/v1/noised-quantiser").digest(&self.quantiser.digest()).u64(self.guaranteed.into());
        let parts = self.noise.iter().zip(&self.grids).fold(start, |transcript, (noise, grid)| {
            let transcript = transcript.u64(noise.clip.to_bits()).u64(noise.multiplier.to_bits());
            transcript.u64(grid.bound.to_bits()).u64(grid.units.to_bits()).u64(grid.sigma.into())
        });
        parts.finish()
    }

    /// One participant's noise for a whole vector.
    pub fn draw(&self, rng: &mut impl Rng) -> DrawnNoise {
        // Allocated once: growing would leave copies behind.
        let mut noise = Vec::with_capacity(self.dimension());
        let mut run = [0i64; 1024];
        for ((segment, grid), law) in self.segments.iter().zip(&self.grids).zip(&self.laws) {
            let most = i64::from(HEADROOM * grid.sigma);
            let mut left = segment.len;
            while left > 0 {
                let run = &mut run[..left.min(1024)];
                law.fill(run, rng);
                noise.extend(run.iter().map(|&sample| sample.clamp(-most, most) as i32));
                left -= run.len();
            }
        }
        run.zeroize();
        DrawnNoise(noise)
    }

    /// Quantises the numbers at `start ..` of a vector, as many as there are in `values`, and adds their noise. The coins of
    /// the rounding come from `rounding`, which must not depend on the data either. After an error `out` holds nothing of
    /// use.
    pub fn quantise<T: Real>(
        &self,
        start: usize,
        values: &[T],
        noise: &DrawnNoise,
        out: &mut [u32],
        rounding: &mut impl Rng,
    ) -> Result<(), NoiseError> {
        if noise.0.len() != self.dimension() {
            return Err(NoiseError::Drawn { noise: noise.0.len(), dimension: self.dimension() });
        }
        self.quantiser.quantise(start, values, out, rounding)?;
        for (segment, range) in self.quantiser.pieces(start..start + values.len()) {
            let bound = self.grids[segment].bound;
            let part = range.start - start..range.end - start;
            if let Some(i) = values[part.clone()].iter().position(|value| value.to_f64().abs() > bound) {
                let (index, value) = (range.start + i, values[part.start + i].to_f64());
                return Err(QuantiseError::BeyondBound { index, segment, value, bound }.into());
            }
            for (out, noise) in out[part].iter_mut().zip(&noise.0[range]) {
                // The grid has room for both.
                *out = out.saturating_add_signed(*noise);
            }
        }
        Ok(())
    }

    /// The noisy sums of so many contributors' numbers, from the sums of their integers.
    ///
    /// # Panics
    /// If `sum` is not as long as the vector.
    pub fn dequantise(&self, sum: &[u64], contributors: u32) -> Vec<f64> {
        self.quantiser.dequantise(sum, contributors)
    }
}

fn zero(value_bits: u32) -> u32 {
    (u32::MAX >> (32 - value_bits)) >> 1
}

/// The grid of a segment, or what is wrong with it.
fn check(
    index: usize,
    segment: &Segment,
    noise: &SegmentNoise,
    value_bits: u32,
    guaranteed: u32,
) -> Result<Grid, NoiseError> {
    let SegmentNoise { clip, multiplier } = *noise;
    let Coding::Fixed { bound } = segment.coding else {
        return Err(NoiseError::Counts { segment: index });
    };
    if !(clip.is_normal() && clip > 0.0) {
        return Err(NoiseError::Clip { segment: index, clip });
    }
    if !(0.1..=1e6).contains(&multiplier) {
        return Err(NoiseError::Multiplier { segment: index, multiplier });
    }
    let fitting = |bits: u32| grid(segment.len, bound, noise, bits, guaranteed);
    fitting(value_bits).ok_or_else(|| {
        let enough = (value_bits + 1..=32).find(|&bits| fitting(bits).is_some());
        NoiseError::ValueBits { segment: index, value_bits, enough }
    })
}

/// The finest grid of `2^b - 1` levels on which bound and headroom fit:
/// `u bound + 12 s + 2 <= zero`, where `s <= (multiplier D + 2) / sqrt(guaranteed) + 1` and `D` grows with `u`.
fn grid(len: usize, bound: f64, noise: &SegmentNoise, value_bits: u32, guaranteed: u32) -> Option<Grid> {
    let SegmentNoise { clip, multiplier } = *noise;
    let (zero, headroom, share) = (f64::from(zero(value_bits)), f64::from(HEADROOM), f64::from(guaranteed).sqrt());
    let rounding = (len as f64).sqrt();
    let fixed = headroom * ((multiplier * rounding * ARITHMETIC + 2.0) / share + 1.0);
    let with_noise = (zero - 2.0 - fixed) / (bound + headroom * multiplier * clip * ARITHMETIC / share);
    let with_least = (zero - 2.0 - headroom * f64::from(LEAST_SIGMA)) / bound;
    let units = with_noise.min(with_least);
    let sensitivity = (clip * units + rounding) * ARITHMETIC;
    if !(units.is_normal() && units > 0.0) || sensitivity > ROUNDING * clip * units {
        return None;
    }
    let total = multiplier * sensitivity;
    let sigma = ((total * total + SMOOTHING) / f64::from(guaranteed)).sqrt().ceil().max(f64::from(LEAST_SIGMA));
    (bound * units + headroom * sigma + 1.0 <= zero && (zero / units).is_normal()).then_some(Grid {
        bound,
        units,
        sigma: sigma as u32,
    })
}

impl Drop for DrawnNoise {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DrawnNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrawnNoise({} numbers)", self.0.len())
    }
}

#[cfg(test)]
mod tests;
