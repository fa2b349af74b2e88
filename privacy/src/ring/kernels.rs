//! The loops between the transforms: noise, residues of wide integers, uniform expansion, sums.
//!
//! Every prime is `2^50 - delta` with `delta < 2^21`, so that `x 2^50 = x delta` modulo the prime, and a wide integer is
//! reduced by Horner's rule over its 50-bit limbs with products of at most 32 x 32 bits, of which every vector unit has
//! plenty. All loops are free of branches on secret values.

use super::packing::{self, BLOCK, BLOCK_BYTES};
use super::{RESIDUE_BITS, Ring, vectorised};
use crate::digest::Digest;
use crate::prg::{PublicStream, SecretStream};

/// Coefficients that are prepared together.
pub(crate) const STRIP: usize = 256;
/// Limbs of a coefficient: one for each prime.
pub(crate) const MAX_LIMBS: usize = 4;

const MASK: u64 = (1 << RESIDUE_BITS) - 1;
const HALF: u32 = RESIDUE_BITS / 2;
const HALF_MASK: u64 = (1 << HALF) - 1;

/// One strip of coefficients in 50-bit limbs, lowest limb first.
pub(crate) type Limbs = [[u64; STRIP]; MAX_LIMBS];

/// Samples `x + 64` with `x` from CBD(64), for one strip.
///
/// `x` is the number of ones among 64 bits less that among 64 others; `x + 64` is therefore the number of ones among the
/// first and of zeros among the others, and has the distribution of the number of ones among all 128.
pub(crate) fn sample_noise(stream: &mut SecretStream, noise: &mut [u64; STRIP], bytes: &mut [u8; 16 * STRIP]) {
    stream.fill(bytes);
    vectorised(
        #[inline(always)]
        || {
            let (words, _) = bytes.as_chunks::<8>();
            let (first, second) = words.split_at(STRIP);
            for ((noise, first), second) in noise.iter_mut().zip(first).zip(second) {
                *noise =
                    u64::from_le_bytes(*first).count_ones() as u64 + u64::from_le_bytes(*second).count_ones() as u64;
            }
        },
    );
}

/// How the slots of a coefficient lie in its limbs.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Bits of a slot.
    pub slot_bits: u32,
    /// Slots in a coefficient.
    pub slots: usize,
    /// Coefficients of a ring element.
    pub degree: usize,
    /// How many limbs, and primes, there are.
    pub limbs: usize,
}

/// The coefficients `start .. start + STRIP` of `t (e + 64) + m`, with `t = 2^(wk) + 1` and `noise = e + 64`.
///
/// Value `slot * N + i` of the chunk is slot `slot` of coefficient `i`. The product by `t` costs nothing: the noise is
/// added once at bit 0 and once at bit `wk`. The lowest limb may exceed 50 bits by that noise.
pub(crate) fn gather(layout: Layout, values: &[u32], start: usize, noise: &[u64; STRIP], limbs: &mut Limbs) {
    vectorised(
        #[inline(always)]
        || {
            limbs[0] = *noise;
            limbs[1..].iter_mut().for_each(|limb| *limb = [0; STRIP]);
            for slot in 0..layout.slots {
                let from = (slot * layout.degree + start).min(values.len());
                // A short strip is the end of the vector: what comes after is zero.
                let strip = &values[from..(from + STRIP).min(values.len())];
                place(limbs, layout.slot_bits * slot as u32, strip);
            }
            place(limbs, layout.slot_bits * layout.slots as u32, noise);
        },
    );
}

/// Adds numbers of at most 32 bits at a bit position of a strip.
#[inline(always)]
fn place<T: Copy + Into<u64>>(limbs: &mut Limbs, position: u32, numbers: &[T]) {
    let (limb, shift) = ((position / RESIDUE_BITS) as usize, position % RESIDUE_BITS);
    for (sum, &number) in limbs[limb].iter_mut().zip(numbers) {
        *sum += (number.into() << shift) & MASK;
    }
    if shift > RESIDUE_BITS - 32 && limb + 1 < MAX_LIMBS {
        for (sum, &number) in limbs[limb + 1].iter_mut().zip(numbers) {
            *sum += number.into() >> (RESIDUE_BITS - shift);
        }
    }
}

/// `limbs + constant` modulo `p`, reduced.
pub(crate) fn reduce(limbs: &Limbs, count: usize, p: u64, constant: u64, residues: &mut [u64]) {
    vectorised(
        #[inline(always)]
        || match count {
            1 => reduce_limbs::<1>(limbs, p, constant, residues),
            2 => reduce_limbs::<2>(limbs, p, constant, residues),
            _ => reduce_limbs::<MAX_LIMBS>(limbs, p, constant, residues),
        },
    );
}

#[inline(always)]
fn reduce_limbs<const COUNT: usize>(limbs: &Limbs, p: u64, constant: u64, residues: &mut [u64]) {
    let delta = ((1 << RESIDUE_BITS) - p) & 0xffff_ffff;
    for (i, residue) in residues.iter_mut().enumerate().take(STRIP) {
        let mut x = limbs[COUNT - 1][i];
        for limb in limbs[..COUNT - 1].iter().rev() {
            x = times_two_to_fifty(x, delta) + limb[i];
        }
        *residue = canonical(x + constant, delta, p);
    }
}

/// `x 2^50` modulo `2^50 - delta`, below `2^50 + 2^47`, for `x < 2^52`.
#[inline(always)]
fn times_two_to_fifty(x: u64, delta: u64) -> u64 {
    let low = (x & HALF_MASK) * delta;
    let high = ((x >> HALF) & 0xffff_ffff) * delta;
    low + ((high & HALF_MASK) << HALF) + ((high >> HALF) & 0xffff_ffff) * delta
}

/// `x` modulo `p = 2^50 - delta`, reduced, for `x < 2^62`.
#[inline(always)]
pub(crate) fn canonical(x: u64, delta: u64, p: u64) -> u64 {
    let x = (x & MASK) + ((x >> RESIDUE_BITS) & 0xffff_ffff) * delta;
    x.min(x.wrapping_sub(p))
}

/// Reduces sums of up to 2^12 residues.
pub(crate) fn reduce_sums(sums: &mut [u64], p: u64) {
    vectorised(
        #[inline(always)]
        || {
            let delta = ((1 << RESIDUE_BITS) - p) & 0xffff_ffff;
            sums.iter_mut().for_each(|sum| *sum = canonical(*sum, delta, p));
        },
    );
}

/// `values + constant` modulo `p`; all reduced.
pub(crate) fn add_constant(values: &[u64], constant: u64, p: u64, sums: &mut [u64; STRIP]) {
    vectorised(
        #[inline(always)]
        || {
            for (sum, value) in sums.iter_mut().zip(values) {
                let x = value + constant;
                *sum = x.min(x.wrapping_sub(p));
            }
        },
    );
}

/// `values -= others` modulo `p`, where `others` are reduced modulo another of [`super::PRIMES`]: all are within 2^21 of
/// each other, so that one subtraction reduces them.
pub(crate) fn subtract(values: &mut [u64; STRIP], others: &[u64; STRIP], p: u64) {
    vectorised(
        #[inline(always)]
        || {
            for (value, &other) in values.iter_mut().zip(others) {
                let x = *value + p - other.min(other.wrapping_sub(p));
                *value = x.min(x.wrapping_sub(p));
            }
        },
    );
}

/// Adds packed residues modulo `p` to a block of sums; if one is not below `p`, says which and adds nothing.
pub(crate) fn add_packed(bytes: &[u8; BLOCK_BYTES], sums: &mut [u64; BLOCK], p: u64) -> Result<(), usize> {
    let largest = vectorised(
        #[inline(always)]
        || {
            let mut largest = 0;
            packing::unpack(
                bytes,
                sums,
                #[inline(always)]
                |sum, residue| {
                    *sum += residue;
                    largest = residue.max(largest);
                },
            );
            largest
        },
    );
    if largest < p {
        return Ok(());
    }
    subtract_packed(bytes, sums);
    let mut residues = [0; BLOCK];
    packing::unpack(bytes, &mut residues, |slot, residue| *slot = residue);
    Err(residues.iter().position(|&residue| residue >= p).unwrap_or(0))
}

/// Unpacks a block of residues modulo `p`; if one is not below `p`, says which.
pub(crate) fn unpack_reduced(bytes: &[u8; BLOCK_BYTES], residues: &mut [u64; BLOCK], p: u64) -> Result<(), usize> {
    let largest = unpack_all(bytes, residues);
    if largest < p { Ok(()) } else { Err(residues.iter().position(|&residue| residue >= p).unwrap_or(0)) }
}

/// Unpacks a block and returns the largest of its residues.
fn unpack_all(bytes: &[u8; BLOCK_BYTES], residues: &mut [u64; BLOCK]) -> u64 {
    vectorised(
        #[inline(always)]
        || {
            let mut largest = 0;
            packing::unpack(
                bytes,
                residues,
                #[inline(always)]
                |slot, residue| {
                    *slot = residue;
                    largest = residue.max(largest);
                },
            );
            largest
        },
    )
}

/// Takes back what [`add_packed`] added.
pub(crate) fn subtract_packed(bytes: &[u8; BLOCK_BYTES], sums: &mut [u64; BLOCK]) {
    packing::unpack(bytes, sums, |sum, residue| *sum -= residue);
}

/// Packs reduced residues.
pub(crate) fn pack(residues: &[u64; BLOCK], bytes: &mut [u8; BLOCK_BYTES]) {
    vectorised(
        #[inline(always)]
        || packing::pack(residues, bytes),
    );
}

/// The public polynomial `a_j` modulo one prime, in transformed form, block after block.
///
/// A block is the next 12800 bytes of the stream, read as packed residues. One that is not below `p`, which happens once
/// in 2^29 to 2^36 residues, is replaced by the next 50 bits below `p` of a second stream (the low bits of its
/// little-endian words): the residues are exactly uniform.
pub(crate) struct Expansion {
    p: u64,
    bytes: Vec<u8>,
    spare: PublicStream,
}

impl Expansion {
    /// The expansion of `seed` for ring element `index` and prime `l`, of so many blocks.
    pub fn new(seed: &Digest, index: usize, l: usize, p: u64, blocks: usize) -> Self {
        let number = (index as u64) << 8 | l as u64;
        let mut bytes = vec![0; blocks * BLOCK_BYTES];
        PublicStream::new(seed, number).fill(&mut bytes);
        Self { p, bytes, spare: PublicStream::new(seed, 1 << 63 | number) }
    }

    /// Unpacks one of the blocks; they must be taken in order.
    pub fn block(&mut self, index: usize, residues: &mut [u64; BLOCK]) {
        let (blocks, _) = self.bytes.as_chunks::<BLOCK_BYTES>();
        let bytes = &blocks[index];
        let largest = unpack_all(bytes, residues);
        if largest >= self.p {
            for residue in residues.iter_mut() {
                while *residue >= self.p {
                    let mut word = [0; 8];
                    self.spare.fill(&mut word);
                    *residue = u64::from_le_bytes(word) & MASK;
                }
            }
        }
    }
}

/// Multiplies modulo `p = 2^50 - delta`.
#[inline(always)]
pub(crate) fn mul_mod(a: u64, b: u64, p: u64) -> u64 {
    let delta = (1u64 << RESIDUE_BITS) - p;
    let product = u128::from(a) * u128::from(b);
    let folded = (product & u128::from(MASK)) + (product >> RESIDUE_BITS) * u128::from(delta);
    canonical((folded as u64 & MASK) + (folded >> RESIDUE_BITS) as u64 * delta, delta, p)
}

/// The inverse modulo a prime.
pub(crate) fn inverse_mod(a: u64, p: u64) -> u64 {
    let (mut result, mut square, mut exponent) = (1, a, p - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul_mod(result, square, p);
        }
        square = mul_mod(square, square, p);
        exponent >>= 1;
    }
    result
}

/// Blocks of a ring element's residues modulo one prime.
pub(crate) fn blocks_per_prime(ring: &Ring) -> usize {
    ring.degree() / BLOCK
}

#[cfg(test)]
mod tests {
    use super::super::PRIMES;
    use super::*;
    use proptest::prelude::*;

    fn wide_mod(limbs: &[u64], p: u64) -> u64 {
        let p = u128::from(p);
        limbs.iter().rev().fold(0u128, |x, &limb| (x * (1 << 50) + u128::from(limb)) % p) as u64
    }

    proptest! {
        #[test]
        fn reducing_agrees_with_division(limbs in proptest::array::uniform4(0u64..(1 << 50)), extra in 0u64..129) {
            for p in PRIMES {
                for constant in [0, 1, p - 1] {
                    let mut strip: Limbs = [[0; STRIP]; MAX_LIMBS];
                    for (strip, limb) in strip.iter_mut().zip(limbs) {
                        *strip = [limb; STRIP];
                    }
                    strip[0][7] += extra;
                    let mut residues = [0; STRIP];
                    reduce(&strip, 4, p, constant, &mut residues);
                    let with = |first| (wide_mod(&[first, limbs[1], limbs[2], limbs[3]], p) + constant) % p;
                    prop_assert_eq!(residues[0], with(limbs[0]));
                    prop_assert_eq!(residues[7], with(limbs[0] + extra));
                }
                let product = (u128::from(limbs[0] % p) * u128::from(limbs[1] % p) % u128::from(p)) as u64;
                prop_assert_eq!(mul_mod(limbs[0] % p, limbs[1] % p, p), product);
            }
        }
    }

    #[test]
    fn reducing_holds_at_the_limits() {
        for p in PRIMES {
            let mut strip: Limbs = [[MASK; STRIP]; MAX_LIMBS];
            strip[0] = [MASK + 128; STRIP];
            let mut residues = [0; STRIP];
            reduce(&strip, 4, p, p - 1, &mut residues);
            let expected = (wide_mod(&[MASK + 128, MASK, MASK, MASK], p) + p - 1) % p;
            assert_eq!(residues, [expected; STRIP]);
            let mut sums = [1000 * (p - 1), 0, p, p - 1];
            reduce_sums(&mut sums, p);
            assert_eq!(sums, [(1000 * u128::from(p - 1) % u128::from(p)) as u64, 0, 0, p - 1]);
            assert_eq!(mul_mod(inverse_mod(12345, p), 12345, p), 1);
        }
    }

    #[test]
    fn rejected_residues_are_replaced_in_order() {
        let seed = Digest::from_bytes([5; 32]);
        let p = 1 << 49; // rejects every other residue
        let mut residues = [0; BLOCK];
        Expansion::new(&seed, 3, 1, p, 1).block(0, &mut residues);
        assert!(residues.iter().all(|&residue| residue < p));

        let (mut bytes, mut plain) = ([0; BLOCK_BYTES], [0; BLOCK]);
        PublicStream::new(&seed, 3 << 8 | 1).fill(&mut bytes);
        packing::unpack(&bytes, &mut plain, |slot, residue| *slot = residue);
        let mut spare = PublicStream::new(&seed, 1 << 63 | 3 << 8 | 1);
        for (residue, plain) in residues.into_iter().zip(plain) {
            let mut expected = plain;
            while expected >= p {
                let mut word = [0; 8];
                spare.fill(&mut word);
                expected = u64::from_le_bytes(word) & MASK;
            }
            assert_eq!(residue, expected);
        }
    }

    #[test]
    fn noise_has_the_variance_of_the_centred_binomial_distribution() {
        let mut stream = SecretStream::new(&[1; 32], 0);
        let (mut noise, mut bytes) = ([0; STRIP], [0; 16 * STRIP]);
        let (mut sum, mut squares, rounds) = (0.0, 0.0, 400);
        for _ in 0..rounds {
            sample_noise(&mut stream, &mut noise, &mut bytes);
            for &x in &noise {
                let x = x as f64 - 64.0;
                sum += x;
                squares += x * x;
            }
        }
        let count = f64::from(rounds) * STRIP as f64;
        // Standard errors: 5.66 / 320 = 0.018 of the mean, 45 / 320 = 0.14 of the variance.
        assert!((sum / count).abs() < 0.09 && (squares / count - 32.0).abs() < 0.7);
    }

    #[test]
    fn a_residue_that_is_not_reduced_leaves_no_trace() {
        let p = PRIMES[0];
        let mut residues = [1; BLOCK];
        residues[77] = p;
        let (mut bytes, mut sums) = ([0; BLOCK_BYTES], [40; BLOCK]);
        pack(&residues, &mut bytes);
        assert_eq!(add_packed(&bytes, &mut sums, p), Err(77));
        assert_eq!(sums, [40; BLOCK]);
    }
}
