//! What comes back, and what it says.

use super::keys::KeyPair;
use super::parameters::{DEGREE, LinearParameters, PLAINTEXT_BITS, RESPONSE_BYTES, ReadError, Tiling, check_columns};
use crate::ring::vectorised;
use crate::wire::WireError;
use std::fmt;

const MASK: u64 = (1 << PLAINTEXT_BITS) - 1;

/// The encrypted inner products, modulo 2^64.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    tiling: Tiling,
    /// The `a` parts, by coefficients.
    a: Vec<u64>,
    /// The coefficient of the `b` part for each column.
    b: Vec<u64>,
}

impl Response {
    pub(super) fn new(tiling: Tiling, a: Vec<u64>, b: Vec<u64>) -> Self {
        Self { tiling, a, b }
    }

    /// How many inner products it holds.
    pub fn columns(&self) -> usize {
        self.b.len()
    }

    /// The `a` parts, then a number for each column, all little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        [little_endian(&self.a), little_endian(&self.b)].concat()
    }

    /// Reads the response of a holder with so many columns. Every word is valid.
    ///
    /// # Errors
    /// [`ReadError::Columns`], and [`ReadError::Response`] if the length is not [`Tiling::response_bytes`].
    pub fn from_bytes(parameters: &LinearParameters, columns: usize, bytes: &[u8]) -> Result<Self, ReadError> {
        check_columns(columns).map_err(ReadError::Columns)?;
        let tiling = parameters.tiling();
        let expected = tiling.response_bytes(columns);
        if bytes.len() != expected {
            return Err(ReadError::Response(WireError::Length { expected, found: bytes.len() }));
        }
        let words = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (a, b) = bytes.split_at(tiling.polynomials(columns) * RESPONSE_BYTES);
        Ok(Self { tiling, a: words(a), b: words(b) })
    }
}

impl KeyPair {
    /// The inner products modulo `t`, each plus its mask.
    pub fn decrypt(&self, response: &Response) -> Vec<u64> {
        let half = 1 << (63 - PLAINTEXT_BITS);
        self.phases(response).map(|phase| phase.wrapping_add(half) >> (64 - PLAINTEXT_BITS)).collect()
    }

    /// `b' - a' s`, which is `2^64 / t` times the value, plus noise.
    pub(super) fn phases(&self, response: &Response) -> impl Iterator<Item = u64> {
        response.b.iter().enumerate().map(|(column, b)| {
            let (polynomial, coefficient) = response.tiling.place(column);
            let a = &response.a[polynomial * DEGREE..(polynomial + 1) * DEGREE];
            b.wrapping_sub(self.coefficient(a, coefficient))
        })
    }

    /// One coefficient of `a s` modulo 2^64.
    fn coefficient(&self, a: &[u64], coefficient: usize) -> u64 {
        let weights = &self.window[DEGREE - 1 - coefficient..][..DEGREE];
        vectorised(
            #[inline(always)]
            || a.iter().zip(weights).fold(0, |sum: u64, (a, s)| sum.wrapping_add(a.wrapping_mul(*s))),
        )
    }
}

/// The number of `[-t/2, t/2)` that a value modulo `t` stands for.
pub fn centre(value: u64) -> i64 {
    let shift = 64 - PLAINTEXT_BITS;
    (value << shift).cast_signed() >> shift
}

/// A decrypted value without its mask, modulo `t`.
pub fn unmask(value: u64, mask: u64) -> u64 {
    value.wrapping_sub(mask) & MASK
}

/// Words as bytes.
pub(super) fn little_endian(words: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0; 8 * words.len()];
    bytes.as_chunks_mut::<8>().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    bytes
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} columns)", self.b.len())
    }
}
