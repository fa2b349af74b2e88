//! The last coefficient of a product of polynomials, as an inner product of coefficients.
//!
//! Where a response polynomial has one column, all that is needed of its `b` part is the last coefficient: `sum_i x_i b_i` for a
//! column `x` and a block of the vector, and the like for the encryption of zero. That is cheaper than a transform.

use super::parameters::{DEGREE, ELEMENT, LIMBS};
use super::switch::constants;
use crate::ring::kernels;
use crate::ring::{PRIMES, RESIDUE_BITS, vectorised};
use zeroize::{Zeroize, Zeroizing};

const HALF: u32 = RESIDUE_BITS / 2;
/// Integers smaller than this in size: a sum of `N` products with halves of residues stays below 2^63.
pub(super) const LIMIT: u32 = 1 << 24;

/// Coefficients in two halves of 25 bits, which vector units multiply.
pub(super) struct Halves {
    low: Vec<i32>,
    high: Vec<i32>,
}

impl Halves {
    /// The coefficients of transformed elements, each prime's in order, or the other way round.
    pub fn of(transformed: &[u64], reversed: bool) -> Self {
        let (mut low, mut high) = (Vec::with_capacity(transformed.len()), Vec::with_capacity(transformed.len()));
        let mut residues = Zeroizing::new(vec![0; DEGREE]);
        for (i, part) in transformed.chunks_exact(DEGREE).enumerate() {
            residues.copy_from_slice(part);
            constants().ring.inverse(i % LIMBS, &mut residues);
            if reversed {
                residues.reverse();
            }
            low.extend(residues.iter().map(|r| (r & ((1 << HALF) - 1)) as i32));
            high.extend(residues.iter().map(|r| (r >> HALF) as i32));
        }
        Self { low, high }
    }

    /// `sum_i x_i b_i` modulo prime `l`, with the coefficients `b` of element `element`; `x` is smaller than [`LIMIT`].
    pub fn inner(&self, element: usize, l: usize, x: &[i32]) -> u64 {
        let start = element * ELEMENT + l * DEGREE;
        let (low, high) = (&self.low[start..start + x.len()], &self.high[start..start + x.len()]);
        let (low, high) = vectorised(
            #[inline(always)]
            || {
                x.iter().zip(low).zip(high).fold((0i64, 0i64), |(lows, highs), ((&x, &low), &high)| {
                    (lows + i64::from(x) * i64::from(low), highs + i64::from(x) * i64::from(high))
                })
            },
        );
        let p = PRIMES[l];
        let reduced = |sum: i64| sum.rem_euclid(p.cast_signed()).cast_unsigned();
        (kernels::mul_mod(reduced(high), 1 << HALF, p) + reduced(low)) % p
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        self.low.zeroize();
        self.high.zeroize();
    }
}
