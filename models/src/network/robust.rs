//! Means that a few bad parties cannot move far.
//!
//! A secure sum hides who sent what, so one party could replace the mean of all. Instead the parties of a round are dealt at random
//! into buckets, each bucket is summed on its own, and the buckets' means are combined value by value with a robust rule. The
//! deal is the bucketing of Karimireddy, He & Jaggi 2022 ("Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing"),
//! which also mixes unlike parties, so that honest ones with unusual rows are not taken for outliers; the rules are those of Yin
//! et al. 2018, definitions 1 and 2. A rule withstands as many bad *buckets* as [`Robust::tolerates`] says.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Most parties that are dealt; beyond them a party's bucket is its number modulo the buckets.
pub const MAX_PARTIES: u32 = 1 << 16;

/// How buckets are combined, value by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Robust {
    /// The middle value, or the mean of the two middle ones.
    Median,
    /// The mean without the `cut` smallest and the `cut` largest values.
    TrimmedMean {
        /// Buckets left out at each end.
        cut: u32,
    },
}

/// Why buckets cannot be combined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RobustError {
    /// None came.
    #[error("there is no bucket to combine: wait for parties, or give the round up")]
    Empty,
    /// Too few for the rule.
    #[error("cutting {cut} buckets at each end leaves none of {buckets}: cut fewer, or deal into more buckets")]
    Cut {
        /// Left out at each end.
        cut: u32,
        /// Buckets that came.
        buckets: usize,
    },
    /// Buckets of unequal length.
    #[error("bucket {bucket} holds {found} values where bucket 0 holds {expected}: the sums are of different plans")]
    Length {
        /// Which bucket.
        bucket: usize,
        /// Values of bucket 0.
        expected: usize,
        /// Its values.
        found: usize,
    },
    /// A value that is no finite number.
    #[error("value {index} of bucket {bucket} is not a finite number: its sum was decoded with a wrong scale")]
    NotFinite {
        /// Which bucket.
        bucket: usize,
        /// Position.
        index: usize,
    },
}

impl Robust {
    /// How many of so many buckets may be bad.
    pub fn tolerates(&self, buckets: usize) -> usize {
        match self {
            Robust::Median => buckets.saturating_sub(1) / 2,
            Robust::TrimmedMean { cut } => *cut as usize,
        }
    }

    /// Combines the buckets' means, all of one length. The order of the buckets does not matter, to the bit.
    pub fn combine(&self, buckets: &[Vec<f64>]) -> Result<Vec<f64>, RobustError> {
        let first = buckets.first().ok_or(RobustError::Empty)?;
        if let Robust::TrimmedMean { cut } = *self
            && (cut as usize).saturating_mul(2) >= buckets.len()
        {
            return Err(RobustError::Cut { cut, buckets: buckets.len() });
        }
        for (bucket, values) in buckets.iter().enumerate() {
            if values.len() != first.len() {
                return Err(RobustError::Length { bucket, expected: first.len(), found: values.len() });
            }
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(RobustError::NotFinite { bucket, index });
            }
        }
        let mut column = vec![0.0; buckets.len()];
        let value = |index: usize| {
            for (entry, bucket) in column.iter_mut().zip(buckets) {
                *entry = bucket[index];
            }
            column.sort_unstable_by(f64::total_cmp);
            self.of_sorted(&column)
        };
        Ok((0..first.len()).map(value).collect())
    }

    fn of_sorted(&self, sorted: &[f64]) -> f64 {
        let n = sorted.len();
        match *self {
            Robust::Median if n % 2 == 1 => sorted[n / 2],
            Robust::Median => sorted[n / 2 - 1] / 2.0 + sorted[n / 2] / 2.0,
            Robust::TrimmedMean { cut } => {
                let kept = &sorted[cut as usize..n - cut as usize];
                // Divided first: the sum of finite values must stay finite.
                kept.iter().map(|v| v / kept.len() as f64).sum()
            }
        }
    }
}

/// Bucket of every party in a round: a shuffle (Fisher-Yates on ChaCha8, from seed and round) dealt out in turn, so that
/// bucket sizes differ by one at most. At most [`MAX_PARTIES`] entries; 0 buckets count as 1.
///
/// Whoever can choose a place in the roster after the seed is known can choose a bucket: fix the roster first.
pub fn buckets_of(parties: u32, buckets: u32, round: u64, seed: u64) -> Vec<u32> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&round.to_le_bytes());
    bytes[16..].copy_from_slice(b"haihe bucketing ");
    let mut rng = ChaCha8Rng::from_seed(bytes);
    let mut order: Vec<u32> = (0..parties.min(MAX_PARTIES)).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, below(&mut rng, last as u32 + 1) as usize);
    }
    let mut bucket = vec![0; order.len()];
    for (place, &party) in (0u32..).zip(&order) {
        bucket[party as usize] = place % buckets.max(1);
    }
    bucket
}

/// Bucket of one party, as in [`buckets_of`].
pub fn bucket_of(party: u32, parties: u32, buckets: u32, round: u64, seed: u64) -> u32 {
    let dealt = buckets_of(parties, buckets, round, seed);
    dealt.get(party as usize).copied().unwrap_or(party % buckets.max(1))
}

/// A number below `bound` (not 0), every one as likely: the high half of a product, with the few unfair draws repeated (Lemire
/// 2019, algorithm 5).
fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    let unfair = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= unfair {
            return (product >> 32) as u32;
        }
    }
}
