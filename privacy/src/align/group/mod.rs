//! The group of the private set intersection: ristretto255 (RFC 9496), many points at a time.
//!
//! A party hashes each of its items to the group and raises the point to its secret [`Exponent`] ([`hash_and_raise`]);
//! points that come from other parties are raised as they are ([`raise`]). Exponents commute, so that an item that has
//! passed through all parties is the same point whichever way it went.
//!
//! **Hash.** The 64 bytes of keyed BLAKE3 in extendable output, with the domain as key and the item as message, go
//! through the one-way map of RFC 9496, section 4.3.4: two Elligator maps and an addition.
//!
//! **Raising** doubles last: `k P` is computed as `2 (k/2 mod l) P`, because twice a point is encoded without a square
//! root, and the inversions that it needs are shared by a whole block (Hamburg's batched double-and-encode).
//!
//! Two engines give the same bytes: `ifma8` works on eight points at a time with AVX-512 IFMA (module `ifma8`), and
//! `dalek` is `curve25519-dalek`. Neither branches on the exponent nor uses it in an address.
//! The exponent and its digits are wiped; intermediate points, which are on the stack, are not.

#[cfg(target_arch = "x86_64")]
mod constants8;
#[cfg(target_arch = "x86_64")]
mod curve8;
mod dalek;
mod engine;
#[cfg(target_arch = "x86_64")]
mod field8;
#[cfg(target_arch = "x86_64")]
mod ifma8;
#[cfg(target_arch = "x86_64")]
mod roots8;
#[cfg(test)]
mod tests;

pub use engine::Engine;

use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use curve25519_dalek::Scalar;
use std::fmt;
use std::num::NonZeroUsize;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;

/// A party's secret exponent: a scalar that is not zero. Wiped on drop.
pub struct Exponent {
    /// Half the exponent, modulo the order of the group: points are doubled when they are encoded.
    half: Scalar,
}

/// Why points that a peer sent were refused: the peer's fault, which should make its set again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPoint {
    /// The bytes are not the canonical encoding of a point.
    #[error("point {index} is not the canonical encoding of a ristretto255 element")]
    Encoding {
        /// Position of the first such point.
        index: usize,
    },
    /// The point is the identity, which stays the same under every exponent.
    #[error("point {index} is the identity")]
    Identity {
        /// Position of the first such point.
        index: usize,
    },
}

impl BadPoint {
    /// Position of the point among all that were to be raised.
    pub fn index(self) -> usize {
        let (Self::Encoding { index } | Self::Identity { index }) = self;
        index
    }

    /// The same, with `points` more in front.
    fn after(self, points: usize) -> Self {
        match self {
            Self::Encoding { index } => Self::Encoding { index: points + index },
            Self::Identity { index } => Self::Identity { index: points + index },
        }
    }
}

impl Exponent {
    /// The exponent that belongs to a seed, uniform among the non-zero scalars if the seed is.
    pub fn derive(seed: &[u8; 32]) -> Self {
        let mut key = Zeroizing::new(*Transcript::new("haihe/v1/align/exponent").bytes(seed).finish().as_bytes());
        let mut stream = SecretStream::new(&key, 0);
        key.zeroize();
        let mut wide = Zeroizing::new([0; 64]);
        loop {
            stream.fill(wide.as_mut());
            let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
            if *scalar != Scalar::ZERO {
                return Self::from_scalar(&scalar);
            }
        }
    }

    fn from_scalar(scalar: &Scalar) -> Self {
        Self { half: scalar * Scalar::from(2u8).invert() }
    }
}

impl Drop for Exponent {
    fn drop(&mut self) {
        self.half.zeroize();
    }
}

impl fmt::Debug for Exponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exponent(..)")
    }
}

/// Hashes each item to the group and raises it: `out[i]` becomes the encoding of `H(domain, items[i])` to the exponent.
///
/// What was in `out` is dropped.
pub fn hash_and_raise<T: AsRef<[u8]> + Sync>(
    domain: &Digest,
    items: &[T],
    exponent: &Exponent,
    threads: NonZeroUsize,
    out: &mut Vec<[u8; POINT_BYTES]>,
) {
    Engine::best().hash_and_raise(domain, items, exponent, threads, out);
}

/// Raises received points to the exponent, in place.
///
/// # Errors
/// The first point that is not a canonical encoding, or is the identity. The points are then worth nothing: some may
/// have been raised.
pub fn raise(points: &mut [[u8; POINT_BYTES]], exponent: &Exponent, threads: NonZeroUsize) -> Result<(), BadPoint> {
    Engine::best().raise(points, exponent, threads)
}

/// The name of the engine that works on this machine: `ifma8` or `dalek`.
pub fn engine() -> &'static str {
    Engine::best().name()
}
