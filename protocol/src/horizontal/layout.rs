//! How the vector of a round becomes the integers that are summed, and the sum numbers again.

use haihe_privacy::{
    dp::{Mechanism, NoiseError, NoisedQuantiser, SegmentNoise},
    secure_sum::{QuantiseError, Quantiser, Segment},
};

/// The form of a round's vector, which both sides derive from job, session and task.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Quantised, and nothing else.
    Exact(Quantiser),
    /// Quantised with noise: the sum hides every firm.
    Noised(Box<NoisedQuantiser>),
}

/// An opened sum, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The summed vector.
    pub values: Vec<f64>,
    /// Standard deviation of the noise in each segment; empty if there is none.
    pub sigmas: Vec<f64>,
}

impl Layout {
    /// The form of an exact round.
    pub fn exact(segments: Vec<Segment>, value_bits: u32) -> Result<Self, QuantiseError> {
        Ok(Layout::Exact(Quantiser::new(segments, value_bits)?))
    }

    /// The form of a round with noise: that of any `guaranteed` contributors alone must suffice.
    pub fn noised(
        segments: Vec<Segment>,
        noise: Vec<SegmentNoise>,
        value_bits: u32,
        guaranteed: u32,
    ) -> Result<Self, NoiseError> {
        Ok(Layout::Noised(Box::new(NoisedQuantiser::new(segments, noise, value_bits, guaranteed)?)))
    }

    /// How many numbers the vector has.
    pub fn dimension(&self) -> usize {
        match self {
            Layout::Exact(quantiser) => quantiser.dimension(),
            Layout::Noised(quantiser) => quantiser.dimension(),
        }
    }

    /// What a participant's ledger is to record for this round; `None` if there is no noise.
    pub fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Layout::Exact(_) => None,
            Layout::Noised(quantiser) => Some(quantiser.mechanism()),
        }
    }

    /// The numbers of an opened sum of `contributors` vectors.
    ///
    /// # Panics
    /// If `sum` is not as long as the vector.
    pub fn dequantise(&self, sum: &[u64], contributors: u32) -> Numbers {
        match self {
            Layout::Exact(quantiser) => Numbers { values: quantiser.dequantise(sum, contributors), sigmas: Vec::new() },
            Layout::Noised(quantiser) => Numbers {
                values: quantiser.dequantise(sum, contributors),
                sigmas: (0..quantiser.segments().len()).map(|at| quantiser.sigma(at, contributors)).collect(),
            },
        }
    }
}
