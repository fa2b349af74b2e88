//! Noise inside the secure sum.
use crate::digest::Digest;
use crate::secure_sum::quantise::{QuantiseError, Real, Segment};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq)]
pub struct NoisedQuantiser {}

/// The noise of one vector, drawn before any data are touched.
pub struct DrawnNoise {}

/// A noised round cannot be set up, or a vector cannot be noised.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// From the quantiser.
    #[error(transparent)]
    Quantise(#[from] QuantiseError),
}

#[allow(unused_variables)]
impl NoisedQuantiser {
    /// All segments are [`Coding::Fixed`](crate::secure_sum::quantise::Coding::Fixed); `guaranteed` is the number of
    /// honest contributors that every allowed sum has (n_min - T), whose noise alone reaches the multipliers.
    pub fn new(
        segments: Vec<Segment>,
        noise: Vec<SegmentNoise>,
        value_bits: u32,
        guaranteed: u32,
    ) -> Result<Self, NoiseError> {
        todo!()
    }

    /// How many numbers a vector has.
    pub fn dimension(&self) -> usize {
        todo!()
    }

    /// What the parties of a round sign.
    pub fn digest(&self) -> Digest {
        todo!()
    }

    /// The noise of a whole vector.
    pub fn draw(&self, rng: &mut impl Rng) -> DrawnNoise {
        todo!()
    }

    /// Quantises and noises the numbers at `start ..` of a vector, as many as there are in `values`, into `out`.
    pub fn quantise<T: Real>(
        &self,
        start: usize,
        values: &[T],
        noise: &DrawnNoise,
        out: &mut [u32],
        rounding: &mut impl Rng,
    ) -> Result<(), NoiseError> {
        todo!()
    }

    /// The noisy sums of so many contributors' numbers.
    pub fn dequantise(&self, sum: &[u64], contributors: u32) -> Vec<f64> {
        todo!()
    }

    /// The standard deviation of the summed noise of each number of a segment, in the numbers' own unit.
    pub fn sigma(&self, segment: usize, contributors: u32) -> f64 {
        todo!()
    }
}
