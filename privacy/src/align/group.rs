//! The group of the private set intersection: ristretto255 (RFC 9496), many points at a time, on `curve25519-dalek`.
//!
//! Items are hashed by keyed BLAKE3 in extendable output, the domain as key, to 64 bytes, which go through the one-way map
//! of RFC 9496, section 4.3.4. Raising doubles last (`k P` is `2 (k/2 mod l) P`), because doubled points are encoded in
//! batches without a square root.

use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::{RistrettoPoint, Scalar};
use std::num::NonZeroUsize;
use std::{fmt, thread};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;

/// Points that share an inversion.
const BLOCK: usize = 256;

/// A party's secret exponent: a scalar that is not zero. Wiped on drop.
pub struct Exponent {
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
        let key = Zeroizing::new(*Transcript::new("haihe/v1/align/exponent").bytes(seed).finish().as_bytes());
        let mut stream = SecretStream::new(&key, 0);
        let mut wide = Zeroizing::new([0; 64]);
        loop {
            stream.fill(wide.as_mut());
            let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
            if *scalar != Scalar::ZERO {
                return Self { half: *scalar * Scalar::from(2u8).invert() };
            }
        }
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
    out.clear();
    out.resize(items.len(), [0; POINT_BYTES]);
    let part = part(items.len(), threads);
    thread::scope(|scope| {
        for (items, out) in items.chunks(part).zip(out.chunks_mut(part)) {
            scope.spawn(move || {
                for (items, out) in items.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
                    let points = items.iter().map(|item| hash(domain, item.as_ref()) * exponent.half).collect();
                    double_and_encode(points, out);
                }
            });
        }
    });
}

/// Raises received points to the exponent, in place.
///
/// # Errors
/// The first point that is not a canonical encoding, or is the identity. The points are then worth nothing: some may
/// have been raised.
pub fn raise(points: &mut [[u8; POINT_BYTES]], exponent: &Exponent, threads: NonZeroUsize) -> Result<(), BadPoint> {
    let part = part(points.len(), threads);
    thread::scope(|scope| {
        let parts = points.chunks_mut(part).enumerate();
        let running: Vec<_> =
            parts.map(|(i, points)| scope.spawn(move || raise_part(points, exponent, i * part))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// The name of the engine that works on this machine.
pub fn engine() -> &'static str {
    "dalek"
}

fn raise_part(points: &mut [[u8; POINT_BYTES]], exponent: &Exponent, start: usize) -> Result<(), BadPoint> {
    for (i, block) in points.chunks_mut(BLOCK).enumerate() {
        let mut raised = Vec::with_capacity(BLOCK);
        for (j, point) in block.iter().enumerate() {
            let index = start + i * BLOCK + j;
            if *point == [0; POINT_BYTES] {
                return Err(BadPoint::Identity { index });
            }
            let point = CompressedRistretto(*point).decompress().ok_or(BadPoint::Encoding { index })?;
            raised.push(point * exponent.half);
        }
        double_and_encode(raised, block);
    }
    Ok(())
}

fn hash(domain: &Digest, item: &[u8]) -> RistrettoPoint {
    let mut hash = [0; 64];
    blake3::Hasher::new_keyed(domain.as_bytes()).update(item).finalize_xof().fill(&mut hash);
    RistrettoPoint::from_uniform_bytes(&hash)
}

fn double_and_encode(halves: Vec<RistrettoPoint>, out: &mut [[u8; POINT_BYTES]]) {
    for (out, point) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(&halves)) {
        *out = point.to_bytes();
    }
}

/// How many of `len` points a thread takes: whole blocks.
fn part(len: usize, threads: NonZeroUsize) -> usize {
    len.div_ceil(threads.get()).next_multiple_of(BLOCK).max(BLOCK)
}
