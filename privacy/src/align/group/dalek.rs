//! The engine for every machine: `curve25519-dalek`, with its batched double-and-encode.

use super::POINT_BYTES;
use super::engine::BLOCK;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::{RistrettoPoint, Scalar};

/// Maps uniform bytes to points and raises them to twice `half`.
pub(super) fn map_and_raise(hashes: &[[u8; 64]], half: &Scalar, out: &mut [[u8; POINT_BYTES]]) {
    let halves: Vec<_> = hashes.iter().map(|hash| RistrettoPoint::from_uniform_bytes(hash) * half).collect();
    double_and_encode(&halves, out);
}

/// Raises points to twice `half`, or gives the position of the first that is not the encoding of a point.
pub(super) fn raise(points: &mut [[u8; POINT_BYTES]], half: &Scalar) -> Result<(), usize> {
    let mut halves = Vec::with_capacity(BLOCK);
    for (at, point) in points.iter().enumerate() {
        halves.push(CompressedRistretto(*point).decompress().ok_or(at)? * half);
    }
    double_and_encode(&halves, points);
    Ok(())
}

fn double_and_encode(halves: &[RistrettoPoint], out: &mut [[u8; POINT_BYTES]]) {
    for (out, point) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(halves)) {
        *out = point.to_bytes();
    }
}
