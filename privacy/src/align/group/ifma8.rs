//! The engine for processors with AVX-512 IFMA: eight points in the lanes of a vector, sixteen where there is a root.

use super::POINT_BYTES;
use super::curve8::{Digits, Doubled, Point};
use super::engine::BLOCK;
use super::field8::{Element, Ifma, LANES, Mask};
use curve25519_dalek::Scalar;

/// Words of an encoded point.
const WORDS: usize = POINT_BYTES / 8;
/// Points that are decoded together: the square roots of two vectors overlap.
const PAIR: usize = 2 * LANES;

/// Maps uniform bytes to points and raises them to twice `half`.
pub(super) fn map_and_raise(simd: Ifma, hashes: &[[u8; 64]], half: &Scalar, out: &mut [[u8; POINT_BYTES]]) {
    let digits = Digits::new(half.as_bytes());
    let mut doubled = Vec::with_capacity(BLOCK / LANES);
    for hashes in hashes.chunks(LANES) {
        let first = transpose(hashes.iter().map(|hash| &hash[..32]));
        let second = transpose(hashes.iter().map(|hash| &hash[32..]));
        let point = simd.run(
            #[inline(always)]
            || simd.map(&[simd.load(&first), simd.load(&second)]),
        );
        doubled.push(scale(simd, &point, &digits));
    }
    encode(simd, &doubled, out);
}

/// Raises points to twice `half`, or gives the position of the first that is not the encoding of a point.
pub(super) fn raise(simd: Ifma, points: &mut [[u8; POINT_BYTES]], half: &Scalar) -> Result<(), usize> {
    let digits = Digits::new(half.as_bytes());
    let mut doubled = Vec::with_capacity(BLOCK / LANES + 1);
    for (i, pair) in points.chunks(PAIR).enumerate() {
        let (first, second) = pair.split_at(pair.len().min(LANES));
        let words = [first, second].map(|points| transpose(points.iter().map(<[u8; POINT_BYTES]>::as_slice)));
        let decoded = simd.run(
            #[inline(always)]
            || simd.decode(&[simd.load(&words[0]), simd.load(&words[1])]),
        );
        let valid = u16::from_le_bytes([decoded[0].1, decoded[1].1]);
        if let Some(at) = (0..pair.len()).find(|&at| !is_reduced(&pair[at]) || valid >> at & 1 == 0) {
            return Err(i * PAIR + at);
        }
        doubled.push(scale(simd, &decoded[0].0, &digits));
        if !second.is_empty() {
            doubled.push(scale(simd, &decoded[1].0, &digits));
        }
    }
    encode(simd, &doubled, points);
    Ok(())
}

fn scale(simd: Ifma, point: &Point, digits: &Digits) -> Doubled {
    simd.run(
        #[inline(always)]
        || simd.double_for_encoding(&simd.scale(point, digits)),
    )
}

/// Encodes with one inversion for each lane (Montgomery's trick). Zeros, which have no inverse, are left out.
fn encode(simd: Ifma, doubled: &[Doubled], out: &mut [[u8; POINT_BYTES]]) {
    let words = simd.run(
        #[inline(always)]
        || {
            let one = simd.one();
            let mut before: Vec<(Element, Element, Mask)> = Vec::with_capacity(doubled.len());
            let mut all = one;
            for point in doubled {
                let product = simd.product(point);
                let zeros = simd.is_zero(&product);
                let factor = simd.select(zeros, &product, &one);
                before.push((all, factor, zeros));
                all = simd.mul(&all, &factor);
            }
            let mut inverse = simd.invert(&all);
            let mut words = vec![[[0; LANES]; WORDS]; doubled.len()];
            for ((words, point), (before, factor, zeros)) in words.iter_mut().zip(doubled).zip(before).rev() {
                let own = simd.select(zeros, &simd.mul(&inverse, &before), &simd.zero());
                *words = simd.encode(point, &own);
                inverse = simd.mul(&inverse, &factor);
            }
            words
        },
    );
    for (words, points) in words.iter().zip(out.chunks_mut(LANES)) {
        for (lane, point) in points.iter_mut().enumerate() {
            for (bytes, word) in point.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *bytes = word[lane].to_le_bytes();
            }
        }
    }
}

/// Up to eight strings of 32 bytes, word by word. Lanes without one are zero.
fn transpose<'a>(strings: impl Iterator<Item = &'a [u8]>) -> [[u64; LANES]; WORDS] {
    let mut words = [[0; LANES]; WORDS];
    for (lane, string) in strings.enumerate() {
        for (word, bytes) in words.iter_mut().zip(string.as_chunks::<8>().0) {
            word[lane] = u64::from_le_bytes(*bytes);
        }
    }
    words
}

/// Whether the bytes are an even number below p = 2^255 - 19.
fn is_reduced(point: &[u8; POINT_BYTES]) -> bool {
    let [low, middle @ .., high] = point;
    let top = *high == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    low & 1 == 0 && high >> 7 == 0 && !(top && *low >= 0xed)
}
