//! Arithmetic in `Z_q[X]/(X^N + 1)`, `q` a product of 50-bit primes, one residue polynomial for each.
//!
//! The number-theoretic transform is `tfhe-ntt`'s, which finds AVX-512 IFMA, AVX2 or neither at run time. The loops of
//! our own are plain Rust, compiled for the widest vectors of the machine by [`pulp`]'s dispatch.

pub(crate) mod kernels;
pub(crate) mod packing;
pub mod security;
pub(crate) mod wide;

use crate::secure_sum::ParameterSet;
use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;
use tfhe_ntt::prime64::Plan;

/// The largest primes below 2^50 that are 1 modulo 16384; the first is also the largest that is 1 modulo 4096, the first
/// two are the largest that are 1 modulo 8192.
pub const PRIMES: [u64; 4] = [0x3_ffff_ffff_c001, 0x3_ffff_fffc_c001, 0x3_ffff_ffef_4001, 0x3_ffff_ffe9_4001];
/// Bits of a residue, in memory and on the wire.
pub const RESIDUE_BITS: u32 = 50;
/// The largest absolute value of a coefficient of a key or an error: both follow the centred binomial distribution
/// CBD(64), of variance 32.
pub const NOISE_BOUND: u64 = 64;

/// The transforms of one parameter set.
pub(crate) struct Ring {
    degree: usize,
    plans: Vec<Plan>,
}

impl Ring {
    /// The ring of a parameter set; its tables are made once per process.
    pub fn of(set: ParameterSet) -> &'static Self {
        static RINGS: [OnceLock<Ring>; 3] = [const { OnceLock::new() }; 3];
        RINGS[set as usize].get_or_init(|| Self::new(set.ring_degree(), set.primes()))
    }

    /// The ring of the large set with the first three of its primes, for [`crate::linear`].
    pub fn of_three_primes() -> &'static Self {
        static RING: OnceLock<Ring> = OnceLock::new();
        RING.get_or_init(|| Self::new(ParameterSet::Large.ring_degree(), &ParameterSet::Large.primes()[..3]))
    }

    fn new(degree: usize, primes: &[u64]) -> Self {
        let plan = |&p: &u64| Plan::try_new(degree, p).expect("p is a prime and 1 mod 2N: tested for every set");
        Self { degree, plans: primes.iter().map(plan).collect() }
    }

    /// N.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The primes with their positions.
    pub fn primes(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.plans.iter().map(Plan::modulus).enumerate()
    }

    /// How many residues a ring element has: N for each prime.
    pub fn element_len(&self) -> usize {
        self.degree * self.plans.len()
    }

    /// Coefficients to transform, modulo prime `l`.
    pub fn forward(&self, l: usize, polynomial: &mut [u64]) {
        self.plans[l].fwd(polynomial);
    }

    /// Transform to coefficients, modulo prime `l`.
    pub fn inverse(&self, l: usize, polynomial: &mut [u64]) {
        self.plans[l].inv(polynomial);
        self.plans[l].normalize(polynomial);
    }

    /// Transform to coefficients that are multiplied by a constant, given as many times as there are coefficients.
    pub fn inverse_scaled(&self, l: usize, polynomial: &mut [u64], constants: &[u64]) {
        self.plans[l].inv(polynomial);
        self.plans[l].mul_assign_normalize(polynomial, constants);
    }

    /// `sum += a b`, entry by entry, modulo prime `l`. All reduced; the length is a multiple of eight.
    pub fn mul_accumulate(&self, l: usize, sum: &mut [u64], a: &[u64], b: &[u64]) {
        self.plans[l].mul_accumulate(sum, a, b);
    }

    /// The transforms of a polynomial with small coefficients, modulo every prime.
    pub fn transform_small(&self, coefficients: impl Iterator<Item = i64> + Clone) -> Vec<u64> {
        let mut element = Vec::with_capacity(self.element_len());
        for (l, p) in self.primes() {
            let start = element.len();
            element.extend(coefficients.clone().map(|c| c.rem_euclid(p as i64) as u64));
            self.forward(l, &mut element[start..]);
        }
        element
    }
}

/// Runs a loop compiled for the widest vectors of this machine. The closure and all that it calls must be
/// `#[inline(always)]`.
///
/// [`Arch::dispatch`] takes closures too, but through the compiler's `FnOnce` shim, which is not inlined: the loop would
/// be compiled for the oldest machine. Here the bound makes every closure a `FnOnce` itself.
#[inline]
pub(crate) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    struct Kernel<F>(F);
    impl<R, F: FnOnce() -> R> WithSimd for Kernel<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Kernel(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prime(p: u64) -> bool {
        (2..).take_while(|i| i * i <= p).all(|i| !p.is_multiple_of(i))
    }

    #[test]
    fn primes_are_the_nearest_below_two_to_the_fifty() {
        for set in ParameterSet::ALL {
            let step = 2 * set.ring_degree() as u64;
            let nearest: Vec<u64> = (1..)
                .map(|i| (1 << RESIDUE_BITS) + 1 - i * step)
                .filter(|&p| is_prime(p))
                .take(set.primes().len())
                .collect();
            assert_eq!(nearest, set.primes());
            assert_eq!(Ring::of(set).degree(), set.ring_degree());
        }
    }

    #[test]
    fn the_transform_multiplies_modulo_x_to_the_n_plus_one() {
        let ring = Ring::of(ParameterSet::Small);
        let n = ring.degree();
        // (1 + 2 X^(N-1)) * (3 + X) = 3 + X + 6 X^(N-1) + 2 X^N = 1 + X + 6 X^(N-1)
        let at = |terms: &[(usize, i64)]| {
            let mut polynomial = vec![0; n];
            terms.iter().for_each(|&(i, c)| polynomial[i] = c);
            polynomial
        };
        let a = ring.transform_small(at(&[(0, 1), (n - 1, 2)]).into_iter());
        let b = ring.transform_small(at(&[(0, 3), (1, 1)]).into_iter());
        let mut product = vec![0; n];
        ring.mul_accumulate(0, &mut product, &a, &b);
        assert!(product.iter().all(|&x| x < PRIMES[0]));
        ring.inverse(0, &mut product);
        assert_eq!(product, at(&[(0, 1), (1, 1), (n - 1, 6)]).iter().map(|&c| c as u64).collect::<Vec<_>>());
    }
}
