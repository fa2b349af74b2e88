//! Sums over a few parties that all stay: pairwise masks that cancel.
//!
//! Every pair of contributors shares a seed. Both expand it into the same stream, the one with the lower index adds it and
//! the other subtracts it, so that the sum over all contributors is exact and any smaller sum is uniformly random
//! (Bonawitz et al., CCS 2017, section 4.0.1, without the recovery of dropouts: if a contributor is missing, the sum is
//! noise, and is asked for again under another context). One contributor alone has no mask: the receiver sees its vector.
//!
//! Values are integers modulo 2^48 for long vectors and modulo 2^128 for a few wide numbers.

use std::fmt;

use zeroize::Zeroize;

use crate::{
    digest::{Digest, Transcript},
    prg::SecretStream,
};

/// Bytes of one masked value of a [`Masks::mask`] vector.
pub const VALUE_BYTES: usize = 6;
/// Bytes of one masked value of a [`Masks::mask_wide`] vector.
pub const WIDE_BYTES: usize = 16;
/// Sums must lie in `-2^47 .. 2^47`.
pub const SUM_BITS: u32 = 47;

const MODULUS_MASK: u64 = (1 << 48) - 1;

/// A seed that two contributors share. Wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct PairSeed([u8; 32]);

impl PairSeed {
    /// The seed with these bytes; they must be uniformly random and known to the pair only.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself, for its letter and the vault.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for PairSeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PairSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairSeed(secret)")
    }
}

/// A masked vector could not be read or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// A value is too large to be summed.
    #[error("value {index} does not fit: its absolute value must be below 2^{bits}")]
    TooLarge {
        /// Position.
        index: usize,
        /// Bits that are left for one contributor.
        bits: u32,
    },
    /// A masked vector has another length than it must have.
    #[error("a masked vector has {found} bytes; this one must have {expected}")]
    Length {
        /// Bytes.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
}

/// The masks of one contributor against all others.
#[derive(Clone, Debug)]
pub struct Masks<'a> {
    me: usize,
    /// Index of the other contributor, and the seed of the pair.
    pairs: &'a [(usize, PairSeed)],
}

impl<'a> Masks<'a> {
    /// The masks of contributor `me`; `pairs` has one entry for every other contributor.
    pub fn new(me: usize, pairs: &'a [(usize, PairSeed)]) -> Self {
        Self { me, pairs }
    }

    fn for_each_stream(&self, context: &Digest, bytes: usize, mut add: impl FnMut(bool, &[u8])) {
        let mut buffer = vec![0; bytes];
        for (other, seed) in self.pairs {
            let key = Transcript::new("haihe/v1/pairwise-mask").digest(context).bytes(&seed.0).finish();
            SecretStream::new(key.as_bytes(), 0).fill(&mut buffer);
            add(self.me < *other, &buffer);
        }
        buffer.zeroize();
    }

    /// Masks a vector of integers below 2^47 over the number of contributors. `context` must never be used twice.
    pub fn mask(&self, context: &Digest, values: &[i64]) -> Result<Vec<u8>, MaskError> {
        let bits = SUM_BITS - (self.pairs.len() as u32 + 1).next_power_of_two().trailing_zeros();
        if let Some(index) = values.iter().position(|v| v.unsigned_abs() >> bits != 0) {
            return Err(MaskError::TooLarge { index, bits });
        }
        let mut sums: Vec<u64> = values.iter().map(|v| *v as u64).collect();
        self.for_each_stream(context, VALUE_BYTES * values.len(), |plus, stream| {
            for (sum, mask) in sums.iter_mut().zip(stream.chunks_exact(VALUE_BYTES)) {
                let mask = read_value(mask);
                *sum = if plus { sum.wrapping_add(mask) } else { sum.wrapping_sub(mask) };
            }
        });
        Ok(sums.iter().flat_map(|s| s.to_le_bytes().into_iter().take(VALUE_BYTES)).collect())
    }

    /// Masks a few wide integers, modulo 2^128.
    pub fn mask_wide(&self, context: &Digest, values: &[i128]) -> Vec<u8> {
        let mut sums: Vec<u128> = values.iter().map(|v| *v as u128).collect();
        self.for_each_stream(context, WIDE_BYTES * values.len(), |plus, stream| {
            let (masks, _) = stream.as_chunks::<WIDE_BYTES>();
            for (sum, mask) in sums.iter_mut().zip(masks) {
                let mask = u128::from_le_bytes(*mask);
                *sum = if plus { sum.wrapping_add(mask) } else { sum.wrapping_sub(mask) };
            }
        });
        sums.iter().flat_map(|s| s.to_le_bytes()).collect()
    }
}

fn read_value(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..VALUE_BYTES].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

/// The sum of `len` values over all contributors' masked vectors.
pub fn open(masked: &[&[u8]], len: usize) -> Result<Vec<i64>, MaskError> {
    let mut sums = vec![0u64; len];
    for vector in masked {
        check(vector, len * VALUE_BYTES)?;
        for (sum, value) in sums.iter_mut().zip(vector.chunks_exact(VALUE_BYTES)) {
            *sum = sum.wrapping_add(read_value(value));
        }
    }
    // The residue modulo 2^48 with the smallest absolute value.
    Ok(sums.iter().map(|s| ((s & MODULUS_MASK) << 16) as i64 >> 16).collect())
}

/// The sum of `len` wide values over all contributors' masked vectors.
pub fn open_wide(masked: &[&[u8]], len: usize) -> Result<Vec<i128>, MaskError> {
    let mut sums = vec![0u128; len];
    for vector in masked {
        check(vector, len * WIDE_BYTES)?;
        let (values, _) = vector.as_chunks::<WIDE_BYTES>();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(u128::from_le_bytes(*value));
        }
    }
    Ok(sums.iter().map(|s| *s as i128).collect())
}

fn check(vector: &[u8], expected: usize) -> Result<(), MaskError> {
    if vector.len() == expected { Ok(()) } else { Err(MaskError::Length { found: vector.len(), expected }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeds(parties: usize) -> Vec<Vec<(usize, PairSeed)>> {
        let seed = |a: usize, b: usize| {
            let (low, high) = (a.min(b) as u64, a.max(b) as u64);
            PairSeed(*Transcript::new("test/pair").u64(low).u64(high).finish().as_bytes())
        };
        (0..parties).map(|me| (0..parties).filter(|o| *o != me).map(|o| (o, seed(me, o))).collect()).collect()
    }

    fn context(n: u64) -> Digest {
        Transcript::new("test/context").u64(n).finish()
    }

    proptest! {
        #[test]
        fn the_sum_is_exact(parties in 1usize..6, values in prop::collection::vec(-(1i64 << 43)..(1 << 43), 1..40)) {
            let seeds = seeds(parties);
            let own = |p: usize| values.iter().map(|v| v / (p as i64 + 1) - p as i64).collect::<Vec<_>>();
            let masked: Vec<Vec<u8>> =
                (0..parties).map(|p| Masks::new(p, &seeds[p]).mask(&context(1), &own(p)).expect("fits")).collect();
            let views: Vec<&[u8]> = masked.iter().map(Vec::as_slice).collect();
            let expected: Vec<i64> = (0..values.len()).map(|i| (0..parties).map(|p| own(p)[i]).sum()).collect();
            prop_assert_eq!(open(&views, values.len()), Ok(expected));
            let wide: Vec<Vec<u8>> = (0..parties)
                .map(|p| Masks::new(p, &seeds[p]).mask_wide(&context(2), &[i128::from(values[0]) << 60, -1]))
                .collect();
            let views: Vec<&[u8]> = wide.iter().map(Vec::as_slice).collect();
            let expected = vec![parties as i128 * (i128::from(values[0]) << 60), -(parties as i128)];
            prop_assert_eq!(open_wide(&views, 2), Ok(expected));
        }
    }

    #[test]
    fn one_missing_contributor_leaves_noise() {
        let seeds = seeds(3);
        let zeros = vec![0i64; 4000];
        let masked: Vec<Vec<u8>> =
            (0..2).map(|p| Masks::new(p, &seeds[p]).mask(&context(3), &zeros).expect("fits")).collect();
        let sum = open(&[&masked[0], &masked[1]], zeros.len()).expect("length");
        let negative = sum.iter().filter(|s| **s < 0).count();
        assert!((1800..2200).contains(&negative), "{negative} of 4000 are negative");
        let large = sum.iter().filter(|s| s.unsigned_abs() > 1 << 46).count();
        assert!((1800..2200).contains(&large), "{large} of 4000 are large");
    }

    #[test]
    fn contexts_and_limits() {
        let seeds = seeds(2);
        let masks = Masks::new(0, &seeds[0]);
        assert_ne!(masks.mask(&context(1), &[0, 0]), masks.mask(&context(2), &[0, 0]));
        assert_eq!(masks.mask(&context(1), &[0, 1 << 46]), Err(MaskError::TooLarge { index: 1, bits: 46 }));
        assert_eq!(open(&[&[0; 7]], 1), Err(MaskError::Length { found: 7, expected: 6 }));
        assert!(!format!("{masks:?}").contains(&hex::encode(seeds[0][0].1.expose_bytes())));
    }
}
