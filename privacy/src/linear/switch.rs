//! Between the plaintext modulus `t`, the ring's `q` and the responses' `2^64`.
//!
//! By the Chinese remainder theorem `x / q` is, modulo one, the sum of `y_l / p_l` with `y_l = x_l (q / p_l)^-1` modulo `p_l`.
//! Every prime is `2^50 - delta` with `delta < 2^21`, so `2^64 y / p` is the series `2^14 y + y delta / 2^36 + y delta^2 /
//! 2^86 + ...`, which integers of 64 bits and products of 32 give to within 2^-17.

use super::parameters::{DEGREE, LIMBS, PLAINTEXT_BITS};
use crate::ring::kernels::{self, STRIP};
use crate::ring::{NOISE_BOUND, PRIMES, RESIDUE_BITS, Ring, vectorised};
use std::sync::OnceLock;

const FRACTION: u32 = 36;
const FRACTION_MASK: u64 = (1 << FRACTION) - 1;
const HALF: u32 = RESIDUE_BITS / 2;

/// Constants of the ring.
pub(crate) struct Constants {
    /// The ring with `N = 8192` and three primes.
    pub ring: &'static Ring,
    /// `(q / p)^-1` modulo each prime.
    pub cofactors: [u64; LIMBS],
    /// The same, `N` times over: what an inverse transform is multiplied by.
    pub scales: [Vec<u64>; LIMBS],
    /// `-1 / t` modulo each prime.
    negated_inverses: [u64; LIMBS],
    /// q modulo 2^64.
    low_q: u64,
}

/// The constants, made once per process.
pub(crate) fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let primes: [u64; LIMBS] = std::array::from_fn(|l| PRIMES[l]);
        let others = |l: usize| primes.into_iter().enumerate().filter(move |&(i, _)| i != l).map(|(_, p)| p);
        let cofactors = primes.map(|p| {
            let l = primes.iter().position(|&other| other == p).unwrap_or(0);
            kernels::inverse_mod(others(l).fold(1, |product, other| kernels::mul_mod(product, other % p, p)), p)
        });
        Constants {
            ring: Ring::of_three_primes(),
            cofactors,
            scales: cofactors.map(|cofactor| vec![cofactor; DEGREE]),
            negated_inverses: primes.map(|p| p - kernels::inverse_mod((1 << PLAINTEXT_BITS) % p, p)),
            low_q: primes.into_iter().fold(1, u64::wrapping_mul),
        }
    })
}

impl Constants {
    /// `2^50 - p`.
    #[inline(always)]
    pub fn delta(l: usize) -> u64 {
        ((1 << RESIDUE_BITS) - PRIMES[l]) & 0xffff_ffff
    }

    /// `round(q m / t)` modulo prime `l`: since `q` vanishes, it is `-r / t` with `r` the remainder of `q m`, centred.
    #[inline(always)]
    pub fn encode(&self, l: usize, m: u64) -> u64 {
        let p = PRIMES[l];
        let shift = 64 - PLAINTEXT_BITS;
        let remainder = (self.low_q.wrapping_mul(m) << shift).cast_signed() >> shift;
        let reduced = kernels::canonical((remainder + 2 * p.cast_signed()).cast_unsigned(), Self::delta(l), p);
        kernels::mul_mod(reduced, self.negated_inverses[l], p)
    }
}

/// `2^64 y / p` in whole numbers and parts of `2^-36`, added to those of the other primes.
#[inline(always)]
fn add_share(y: u64, delta: u64, whole: &mut u64, parts: &mut u64) {
    // The masks are for the compiler: it sees products of 32 bits.
    let high = ((y >> HALF) & 0xffff_ffff) * delta;
    let low = (y & ((1 << HALF) - 1)) * delta;
    let first = ((high & 0x7ff) << (FRACTION - 11)) + low;
    let carried = (high >> 11) + (first >> FRACTION);
    let second = (((carried >> 10) & 0xffff_ffff) * delta) >> 4;
    *whole = whole.wrapping_add(y << 14).wrapping_add(carried);
    *parts += (first & FRACTION_MASK) + second;
}

#[inline(always)]
fn rounded(whole: u64, parts: u64) -> u64 {
    whole.wrapping_add((parts + (1 << (FRACTION - 1))) >> FRACTION)
}

/// `round(2^64 x / q)` for one number of which the `y_l` are given.
pub(crate) fn switch(shares: [u64; LIMBS]) -> u64 {
    let (mut whole, mut parts) = (0, 0);
    for (l, share) in shares.into_iter().enumerate() {
        add_share(share, Constants::delta(l), &mut whole, &mut parts);
    }
    rounded(whole, parts)
}

/// `round(2^64 (x + e) / q)` for a strip of numbers of which the `y_l` are given, and errors `e + 64`.
pub(crate) fn switch_strip(
    constants: &Constants,
    shares: [&[u64; STRIP]; LIMBS],
    noise: &[u64; STRIP],
    out: &mut [u64; STRIP],
) {
    vectorised(
        #[inline(always)]
        || {
            let mut parts = [0; STRIP];
            *out = [0; STRIP];
            for (l, shares) in shares.into_iter().enumerate() {
                let (p, delta, cofactor) = (PRIMES[l], Constants::delta(l), constants.cofactors[l]);
                let correction = p - kernels::mul_mod(cofactor, NOISE_BOUND, p);
                for (((whole, parts), &share), &noise) in out.iter_mut().zip(&mut parts).zip(shares).zip(noise) {
                    let y = kernels::canonical(share + noise * cofactor + correction, delta, p);
                    add_share(y, delta, whole, parts);
                }
            }
            for (whole, &parts) in out.iter_mut().zip(&parts) {
                *whole = rounded(*whole, parts);
            }
        },
    );
}
