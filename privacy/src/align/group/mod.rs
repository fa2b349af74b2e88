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

#[cfg(target_arch = "x86_64")]
mod curve8;
mod dalek;
#[cfg(target_arch = "x86_64")]
mod field8;
#[cfg(target_arch = "x86_64")]
mod ifma8;
#[cfg(test)]
mod tests;

use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use curve25519_dalek::Scalar;
use std::num::NonZeroUsize;
use std::{fmt, thread};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;

/// Points that an engine is given at once. They share an inversion.
const BLOCK: usize = 256;

/// A party's secret exponent: a scalar that is not zero. Wiped on drop.
pub struct Exponent {
    /// Half the exponent, modulo the order of the group: see [`dalek`] and the module's documentation.
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
    hash_and_raise_with(Engine::best(), domain, items, exponent, threads, out);
}

/// Raises received points to the exponent, in place.
///
/// # Errors
/// The first point that is not a canonical encoding, or is the identity. The points are then worth nothing: some may
/// have been raised.
pub fn raise(points: &mut [[u8; POINT_BYTES]], exponent: &Exponent, threads: NonZeroUsize) -> Result<(), BadPoint> {
    raise_with(Engine::best(), points, exponent, threads)
}

/// The name of the engine that works on this machine: `ifma8` or `dalek`.
pub fn engine() -> &'static str {
    Engine::best().name()
}

/// Who does the arithmetic.
#[derive(Clone, Copy)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Ifma8(field8::Ifma),
    Dalek,
}

impl Engine {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = field8::Ifma::try_new() {
            return Self::Ifma8(simd);
        }
        Self::Dalek
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8(_) => "ifma8",
            Self::Dalek => "dalek",
        }
    }

    /// Maps at most [`BLOCK`] hashes to the group and raises them.
    fn map_and_raise(self, hashes: &[[u8; 64]], exponent: &Exponent, out: &mut [[u8; POINT_BYTES]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8(simd) => ifma8::map_and_raise(simd, hashes, &exponent.half, out),
            Self::Dalek => dalek::map_and_raise(hashes, &exponent.half, out),
        }
    }

    /// Raises at most [`BLOCK`] points, or gives the position of the first that is not the encoding of a point.
    fn raise(self, points: &mut [[u8; POINT_BYTES]], exponent: &Exponent) -> Result<(), usize> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8(simd) => ifma8::raise(simd, points, &exponent.half),
            Self::Dalek => dalek::raise(points, &exponent.half),
        }
    }
}

fn hash_and_raise_with<T: AsRef<[u8]> + Sync>(
    engine: Engine,
    domain: &Digest,
    items: &[T],
    exponent: &Exponent,
    threads: NonZeroUsize,
    out: &mut Vec<[u8; POINT_BYTES]>,
) {
    out.clear();
    out.resize(items.len(), [0; POINT_BYTES]);
    let work = |items: &[T], out: &mut [[u8; POINT_BYTES]]| {
        let mut hashes = [[0; 64]; BLOCK];
        for (items, out) in items.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            for (item, hash) in items.iter().zip(&mut hashes) {
                *hash = uniform(domain, item.as_ref());
            }
            engine.map_and_raise(&hashes[..items.len()], exponent, out);
        }
    };
    let part = part(items.len(), threads);
    if items.len() <= part {
        return work(items, out);
    }
    thread::scope(|scope| {
        for (items, out) in items.chunks(part).zip(out.chunks_mut(part)) {
            scope.spawn(|| work(items, out));
        }
    });
}

fn raise_with(
    engine: Engine,
    points: &mut [[u8; POINT_BYTES]],
    exponent: &Exponent,
    threads: NonZeroUsize,
) -> Result<(), BadPoint> {
    let work = |points: &mut [[u8; POINT_BYTES]], start: usize| {
        for (i, block) in points.chunks_mut(BLOCK).enumerate() {
            let start = start + i * BLOCK;
            if let Some(at) = block.iter().position(|point| *point == [0; POINT_BYTES]) {
                // A point before it may be worse: the first one is named.
                engine.raise(&mut block[..at], exponent).map_err(|at| BadPoint::Encoding { index: start + at })?;
                return Err(BadPoint::Identity { index: start + at });
            }
            engine.raise(block, exponent).map_err(|at| BadPoint::Encoding { index: start + at })?;
        }
        Ok(())
    };
    let part = part(points.len(), threads);
    if points.len() <= part {
        return work(points, 0);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = points.chunks_mut(part).enumerate().collect();
        let running: Vec<_> =
            parts.into_iter().map(|(i, points)| scope.spawn(move || work(points, i * part))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// How many of `len` points a thread takes: whole blocks.
fn part(len: usize, threads: NonZeroUsize) -> usize {
    len.div_ceil(threads.get()).next_multiple_of(BLOCK).max(BLOCK)
}

/// The 64 uniform bytes that stand for an item under a domain.
fn uniform(domain: &Digest, item: &[u8]) -> [u8; 64] {
    let mut hash = [0; 64];
    blake3::Hasher::new_keyed(domain.as_bytes()).update(item).finalize_xof().fill(&mut hash);
    hash
}
