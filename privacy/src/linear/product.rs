//! B's work: products with the encrypted vector, made to tell A nothing but what they should.

use super::keys::PublicKey;
use super::matrix::EncodedMatrix;
use super::noise::{self, Sampler, Secret, secret_seed, transform_shifted};
use super::parameters::{DEGREE, ELEMENT, FLOOD_BITS, LIMBS, LinearError};
use super::response::Response;
use super::switch::{self, Constants, constants};
use super::vector::EncryptedVector;
use crate::prg::SecretStream;
use crate::ring::kernels::{self, STRIP};
use crate::ring::{PRIMES, RESIDUE_BITS};
use std::num::NonZeroUsize;
use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// Whether the key holder may see the inner products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// No: a uniform number is added to each.
    Uniform,
    /// Yes, as for the counts of a scorecard's bins. The noise is hidden all the same.
    None,
}

/// The inner product of every column with the encrypted vector, and the masks that B keeps (all zero for
/// [`Masking::None`]).
///
/// `seed` makes the masks and what hides the matrix: it must be fresh for every product and stay secret. The randomness
/// depends on the encrypted vector too, so that a second vector under the same context does not meet the same one.
///
/// # Errors
/// [`LinearError::Parameters`] if the matrix was encoded for other parameters.
pub fn multiply(
    matrix: &EncodedMatrix,
    vector: &EncryptedVector,
    key: &PublicKey,
    seed: &[u8; 32],
    masking: Masking,
    threads: NonZeroUsize,
) -> Result<(Response, Vec<u64>), LinearError> {
    if matrix.parameters() != vector.parameters() {
        return Err(LinearError::Parameters);
    }
    let tiling = matrix.parameters().tiling();
    let product = Product::new(matrix, vector, key, seed, masking, Hiding::ALL);
    let columns = matrix.columns();
    let (mut a, mut b, mut masks) = (vec![0; tiling.polynomials(columns) * DEGREE], vec![0; columns], vec![0; columns]);
    let width = tiling.columns_per_polynomial();
    let each = tiling.polynomials(columns).div_ceil(threads.get());
    std::thread::scope(|scope| {
        let shares = a.chunks_mut(each * DEGREE).zip(b.chunks_mut(each * width)).zip(masks.chunks_mut(each * width));
        let mut shares = shares.enumerate().map(|(i, ((a, b), masks))| (i * each, a, b, masks));
        let (product, first) = (&product, shares.next());
        for (start, a, b, masks) in shares {
            scope.spawn(move || product.respond(start, a, b, masks));
        }
        if let Some((start, a, b, masks)) = first {
            product.respond(start, a, b, masks);
        }
    });
    Ok((Response::new(tiling, a, b), masks))
}

/// What is done to hide the matrix. Only tests, which show that each is needed, leave anything out.
#[derive(Clone, Copy)]
pub(super) struct Hiding {
    pub encryption_of_zero: bool,
    pub flood: bool,
}

impl Hiding {
    pub const ALL: Self = Self { encryption_of_zero: true, flood: true };
}

/// One product.
pub(super) struct Product<'a> {
    constants: &'static Constants,
    matrix: &'a EncodedMatrix,
    vector: &'a EncryptedVector,
    key: &'a PublicKey,
    /// The `a` parts of the vector.
    a: Vec<u64>,
    masking: Masking,
    hiding: Hiding,
    key_seed: Secret,
    error_seed: Secret,
    flood_seed: Secret,
    mask_seed: Secret,
}

/// Working memory of a thread.
pub(super) struct Scratch {
    pub a: Vec<u64>,
    pub b: Vec<u64>,
    transform: Vec<u64>,
    small: Zeroizing<Vec<u64>>,
    key: Zeroizing<Vec<u64>>,
    sampler: Box<Sampler>,
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            a: vec![0; ELEMENT],
            b: vec![0; ELEMENT],
            transform: Vec::new(),
            small: Zeroizing::new(vec![0; DEGREE]),
            key: Zeroizing::new(vec![0; ELEMENT]),
            sampler: Sampler::new(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.a.zeroize();
        self.b.zeroize();
        self.transform.zeroize();
    }
}

impl<'a> Product<'a> {
    pub fn new(
        matrix: &'a EncodedMatrix,
        vector: &'a EncryptedVector,
        key: &'a PublicKey,
        seed: &[u8; 32],
        masking: Masking,
        hiding: Hiding,
    ) -> Self {
        let digest = vector.digest();
        let secret = |purpose| secret_seed(purpose, seed, |transcript| transcript.digest(&digest));
        Self {
            constants: constants(),
            matrix,
            vector,
            key,
            a: vector.expand(),
            masking,
            hiding,
            key_seed: secret("one-time key"),
            error_seed: secret("one-time error"),
            flood_seed: secret("flood"),
            mask_seed: secret("mask"),
        }
    }

    /// The response polynomials from number `start` on, as many as `a` has room for.
    fn respond(&self, start: usize, a: &mut [u64], b: &mut [u64], masks: &mut [u64]) {
        let width = self.matrix.parameters().tiling().columns_per_polynomial();
        let mut scratch = Scratch::new();
        let outputs = b.chunks_mut(width).zip(masks.chunks_mut(width));
        for (i, (a, (b, masks))) in a.chunks_exact_mut(DEGREE).zip(outputs).enumerate() {
            self.accumulate(start + i, &mut scratch);
            self.finish_a(start + i, &mut scratch, a);
            self.finish_b(start + i, &scratch, b, masks);
        }
    }

    /// Both parts of a response polynomial, by coefficients: residues of `x` times the cofactor of the prime.
    pub fn accumulate(&self, polynomial: usize, scratch: &mut Scratch) {
        let ring = self.constants.ring;
        let Scratch { a, b, transform, small, key, sampler } = scratch;
        a.fill(0);
        b.fill(0);
        if let Some(plain) = self.matrix.cached(polynomial) {
            self.accumulate_cached(plain, a, b);
        } else {
            for block in 0..self.matrix.parameters().tiling().blocks() {
                let (plain, range) = (self.matrix.block(polynomial, block, transform), element(block));
                multiply_add(self.constants, a, &self.a[range.clone()], plain);
                multiply_add(self.constants, b, &self.vector.b()[range], plain);
            }
        }
        if self.hiding.encryption_of_zero {
            sampler.polynomial(&mut SecretStream::new(&self.key_seed, polynomial as u64), small);
            transform_shifted(ring, small, key);
            multiply_add(self.constants, a, &self.key.a, key);
            multiply_add(self.constants, b, &self.key.b, key);
        }
        for part in [a, b] {
            for (l, residues) in part.chunks_exact_mut(DEGREE).enumerate() {
                ring.inverse_scaled(l, residues, &self.constants.scales[l]);
            }
        }
    }

    /// Adds the products of the blocks from transforms in memory: one prime after another, so that the sums stay in the
    /// second-level cache. (In the first level they are slower: what streams past them comes in too small pieces.)
    fn accumulate_cached(&self, plain: &[u64], a: &mut [u64], b: &mut [u64]) {
        let sums = a.chunks_exact_mut(DEGREE).zip(b.chunks_exact_mut(DEGREE));
        for (l, (a, b)) in sums.enumerate() {
            for block in 0..self.matrix.parameters().tiling().blocks() {
                let start = block * ELEMENT + l * DEGREE;
                let (piece, ring) = (start..start + DEGREE, self.constants.ring);
                ring.mul_accumulate(l, a, &self.a[piece.clone()], &plain[piece.clone()]);
                ring.mul_accumulate(l, b, &self.vector.b()[piece.clone()], &plain[piece]);
            }
        }
    }

    /// Adds the error to the `a` part and changes its modulus.
    fn finish_a(&self, polynomial: usize, scratch: &mut Scratch, out: &mut [u64]) {
        let mut stream = SecretStream::new(&self.error_seed, polynomial as u64);
        let Scratch { a, sampler, .. } = scratch;
        let strip = |l: usize, i: usize| &a[l * DEGREE..(l + 1) * DEGREE].as_chunks::<STRIP>().0[i];
        for (i, out) in out.as_chunks_mut::<STRIP>().0.iter_mut().enumerate() {
            let shares = std::array::from_fn(|l| strip(l, i));
            switch::switch_strip(self.constants, shares, sampler.strip(&mut stream), out);
        }
    }

    /// Floods and masks the needed coefficients of the `b` part, and changes their modulus.
    fn finish_b(&self, polynomial: usize, scratch: &Scratch, out: &mut [u64], masks: &mut [u64]) {
        let outputs = out.iter_mut().zip(masks);
        for ((shares, mask), (out, kept)) in self.hidden(polynomial, scratch).zip(outputs) {
            (*out, *kept) = (switch::switch(shares), mask);
        }
    }

    /// The flooded and masked inner products of a response polynomial, and the masks, without end.
    pub fn hidden(&self, polynomial: usize, scratch: &Scratch) -> impl Iterator<Item = ([u64; LIMBS], u64)> {
        let mut floods = SecretStream::new(&self.flood_seed, polynomial as u64);
        let mut masks = SecretStream::new(&self.mask_seed, polynomial as u64);
        let block = self.matrix.parameters().tiling().block();
        (0..DEGREE / block).map(move |column| {
            let flood = if self.hiding.flood { noise::flood(&mut floods) } else { 1 << (FLOOD_BITS - 1) };
            let mask = if self.masking == Masking::Uniform { noise::mask(&mut masks) } else { 0 };
            let coefficient = column * block + block - 1;
            let share = |l| {
                let added = added(self.constants, l, flood, mask);
                let scaled = kernels::mul_mod(added, self.constants.cofactors[l], PRIMES[l]);
                kernels::canonical(scratch.b[l * DEGREE + coefficient] + scaled, Constants::delta(l), PRIMES[l])
            };
            (std::array::from_fn(share), mask)
        })
    }
}

/// Where the residues of a block are.
fn element(block: usize) -> Range<usize> {
    block * ELEMENT..(block + 1) * ELEMENT
}

/// `sum += a b`, entry by entry, modulo every prime.
fn multiply_add(constants: &Constants, sum: &mut [u64], a: &[u64], b: &[u64]) {
    let operands = a.chunks_exact(DEGREE).zip(b.chunks_exact(DEGREE));
    for (l, (sum, (a, b))) in sum.chunks_exact_mut(DEGREE).zip(operands).enumerate() {
        constants.ring.mul_accumulate(l, sum, a, b);
    }
}

/// `flood - 2^(FLOOD_BITS - 1) + round(q mask / t)` modulo prime `l`.
fn added(constants: &Constants, l: usize, flood: u128, mask: u64) -> u64 {
    let (p, delta) = (PRIMES[l], Constants::delta(l));
    let wide = |number: u128| {
        let high = (number >> RESIDUE_BITS) as u64;
        kernels::mul_mod(high, delta, p) + (number as u64 & ((1 << RESIDUE_BITS) - 1))
    };
    let half = kernels::canonical(wide(1 << (FLOOD_BITS - 1)), delta, p);
    kernels::canonical(wide(flood) + (p - half) + constants.encode(l, mask), delta, p)
}
