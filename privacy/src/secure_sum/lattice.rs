//! The real scheme: `c_j = a_j s + t e_j + m_j` in `Z_q[X]/(X^N + 1)`, summed as it is.
//!
//! Everything travels and is added in transformed form: the participant transforms `t e_j + m_j` once and multiplies by
//! the transform of its key entry by entry, the coordinator adds 64-bit words, and only the opened sum is transformed
//! back. A ring element is prepared and sent in one go, so that it never leaves the second-level cache.

use super::committee::CommitteeRule;
use super::decode::Decoder;
use super::parameters::SumParameters;
use super::roles::{AddError, Adder, Contributor, EncryptError, OpenError, Opened, Scheme, SumContext};
use super::shamir::{self, FIELD, Fp};
use super::shares::{KeyShare, ShareSum};
use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use crate::ring::kernels::{self, Expansion, Layout, Limbs, MAX_LIMBS, STRIP};
use crate::ring::packing::{BLOCK, BLOCK_BYTES};
use crate::ring::{NOISE_BOUND, Ring, wide};
use crate::wire::WireError;
use zeroize::{Zeroize, Zeroizing};

/// The key-homomorphic RLWE scheme.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lattice;

impl Scheme for Lattice {
    fn name(&self) -> &'static str {
        "ps-kahe-rlwe"
    }

    fn contributor(&self, parameters: &SumParameters, context: &SumContext, seed: [u8; 32]) -> Box<dyn Contributor> {
        Box::new(LatticeContributor::new(parameters, context, Zeroizing::new(seed)))
    }

    fn adder(&self, parameters: &SumParameters, context: &SumContext) -> Box<dyn Adder> {
        Box::new(LatticeAdder::new(parameters, context))
    }
}

/// The seed of the public polynomials: `H(session, round)`, and the ring.
fn public_seed(parameters: &SumParameters, context: &SumContext) -> Digest {
    Transcript::new("haihe/v1/secure-sum/public")
        .digest(&context.session)
        .u64(context.round)
        .str(parameters.set().name())
        .finish()
}

/// The key of one secret stream of a contributor.
fn secret_seed(
    purpose: &str,
    parameters: &SumParameters,
    context: &SumContext,
    seed: &[u8; 32],
) -> Zeroizing<[u8; 32]> {
    let digest = Transcript::new("haihe/v1/secure-sum/secret")
        .str(purpose)
        .bytes(seed)
        .digest(&context.session)
        .u64(context.round)
        .str(parameters.set().name())
        .u64(parameters.dimension() as u64)
        .u64(parameters.n_max().into())
        .u64(parameters.value_bits().into())
        .finish();
    Zeroizing::new(*digest.as_bytes())
}

struct LatticeContributor {
    parameters: SumParameters,
    ring: &'static Ring,
    public_seed: Digest,
    error_seed: Zeroizing<[u8; 32]>,
    sharing_seed: Zeroizing<[u8; 32]>,
    /// s + 64.
    key: Zeroizing<Vec<u64>>,
    /// s, transformed.
    key_transform: Zeroizing<Vec<u64>>,
    /// `-64 t` modulo each prime: errors are sampled as `e + 64`.
    corrections: Vec<u64>,
    /// The ring element in the making, and one strip of its coefficients.
    element: Zeroizing<Vec<u64>>,
    scratch: Box<Scratch>,
    next: usize,
}

/// Working memory that holds secrets for a moment.
struct Scratch {
    limbs: Limbs,
    noise: [u64; STRIP],
    bytes: [u8; 16 * STRIP],
}

impl Scratch {
    fn new() -> Box<Self> {
        Box::new(Self { limbs: [[0; STRIP]; MAX_LIMBS], noise: [0; STRIP], bytes: [0; 16 * STRIP] })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.limbs.zeroize();
        self.noise.zeroize();
        self.bytes.zeroize();
    }
}

impl LatticeContributor {
    fn new(parameters: &SumParameters, context: &SumContext, seed: Zeroizing<[u8; 32]>) -> Self {
        let ring = Ring::of(parameters.set());
        let secret = |purpose| secret_seed(purpose, parameters, context, &seed);
        let mut scratch = Scratch::new();
        let mut key = Zeroizing::new(Vec::with_capacity(ring.degree()));
        let mut stream = SecretStream::new(&secret("key"), 0);
        while key.len() < ring.degree() {
            kernels::sample_noise(&mut stream, &mut scratch.noise, &mut scratch.bytes);
            key.extend_from_slice(&scratch.noise);
        }
        let small = key.iter().map(|&shifted| shifted as i64 - NOISE_BOUND as i64);
        let key_transform = Zeroizing::new(ring.transform_small(small));
        let bits = parameters.slot_bits() * parameters.slots() as u32;
        let correction = |p| p - kernels::mul_mod(wide::power_of_two_plus_one(bits, p), NOISE_BOUND, p);
        Self {
            corrections: ring.primes().map(|(_, p)| correction(p)).collect(),
            public_seed: public_seed(parameters, context),
            error_seed: secret("error"),
            sharing_seed: secret("sharing"),
            element: Zeroizing::new(vec![0; ring.element_len()]),
            parameters: parameters.clone(),
            ring,
            key,
            key_transform,
            scratch,
            next: 0,
        }
    }

    fn check(&self, index: usize, values: &[u32]) -> Result<(), EncryptError> {
        let chunks = self.parameters.chunks();
        if index != self.next || index >= chunks {
            return Err(EncryptError::OutOfOrder { expected: self.next, found: index, chunks });
        }
        let range = self.parameters.chunk_values(index);
        if values.len() != range.len() {
            return Err(EncryptError::Length { index, expected: range.len(), found: values.len() });
        }
        let largest = self.parameters.max_value();
        // The largest value is 2^b - 1, so the union of all bits decides for the whole chunk at once.
        if values.iter().fold(0, |all, value| all | value) > largest
            && let Some(position) = values.iter().position(|&value| value > largest)
        {
            let (index, value) = (range.start + position, values[position]);
            return Err(EncryptError::ValueTooLarge { index, value, largest });
        }
        Ok(())
    }

    /// `element = t e + m`, by coefficients.
    fn prepare(&mut self, index: usize, values: &[u32]) {
        let parameters = &self.parameters;
        let ring = self.ring;
        let layout = Layout {
            slot_bits: parameters.slot_bits(),
            slots: parameters.slots(),
            degree: ring.degree(),
            limbs: parameters.set().primes().len(),
        };
        let mut stream = SecretStream::new(&self.error_seed, index as u64);
        let Scratch { limbs, noise, bytes } = &mut *self.scratch;
        for start in (0..ring.degree()).step_by(STRIP) {
            kernels::sample_noise(&mut stream, noise, bytes);
            kernels::gather(layout, values, start, noise, limbs);
            for (l, p) in ring.primes() {
                let residues = &mut self.element[l * ring.degree() + start..][..STRIP];
                kernels::reduce(limbs, layout.limbs, p, self.corrections[l], residues);
            }
        }
    }
}

impl Contributor for LatticeContributor {
    fn encrypt_chunk(&mut self, index: usize, values: &[u32], out: &mut Vec<u8>) -> Result<(), EncryptError> {
        self.check(index, values)?;
        self.prepare(index, values);
        let ring = self.ring;
        let start = out.len();
        out.resize(start + self.parameters.chunk_bytes(), 0);
        let (packed, _) = out[start..].as_chunks_mut::<BLOCK_BYTES>();
        let mut packed = packed.iter_mut();
        let mut public = Box::new([0; BLOCK]);
        for (l, p) in ring.primes() {
            let residues = l * ring.degree()..(l + 1) * ring.degree();
            let polynomial = &mut self.element[residues.clone()];
            ring.forward(l, polynomial);
            let mut expansion = Expansion::new(&self.public_seed, index, l, p, kernels::blocks_per_prime(ring));
            let (blocks, _) = polynomial.as_chunks_mut::<BLOCK>();
            let (keys, _) = self.key_transform[residues].as_chunks::<BLOCK>();
            for (i, ((block, key), packed)) in blocks.iter_mut().zip(keys).zip(&mut packed).enumerate() {
                expansion.block(i, &mut public);
                ring.mul_accumulate(l, block, &public[..], key);
                kernels::pack(block, packed);
            }
        }
        self.next += 1;
        Ok(())
    }

    fn into_key_shares(self: Box<Self>, rule: &CommitteeRule) -> Vec<KeyShare> {
        let offset = u64::from(FIELD) - NOISE_BOUND;
        let key: Zeroizing<Vec<Fp>> =
            Zeroizing::new(self.key.iter().map(|&shifted| ((shifted + offset) % u64::from(FIELD)) as Fp).collect());
        let mut random = SecretStream::new(&self.sharing_seed, 0);
        shamir::share(&key, rule, &mut random).into_iter().map(KeyShare::from_elements).collect()
    }
}

struct LatticeAdder {
    parameters: SumParameters,
    ring: &'static Ring,
    public_seed: Digest,
    /// For each chunk the sums of residues, not reduced: a thousand residues of 50 bits fit 64 bits.
    sums: Vec<Vec<u64>>,
    contributors: u32,
    next: usize,
}

impl LatticeAdder {
    fn new(parameters: &SumParameters, context: &SumContext) -> Self {
        let ring = Ring::of(parameters.set());
        Self {
            public_seed: public_seed(parameters, context),
            sums: vec![vec![0; ring.element_len()]; parameters.chunks()],
            parameters: parameters.clone(),
            ring,
            contributors: 0,
            next: 0,
        }
    }

    /// The transform of `-S`, from the answers.
    fn negated_key(
        &self,
        rule: &CommitteeRule,
        answers: &[(u32, ShareSum)],
    ) -> Result<(Vec<u64>, Vec<u32>), OpenError> {
        let answers: Vec<(u32, &[Fp])> = answers.iter().map(|(position, sum)| (*position, sum.elements())).collect();
        let (key, wrong_answers) = shamir::reconstruct(&answers, rule, self.ring.degree())?;
        let centred = |element: Fp| i64::from(element) - if element > FIELD / 2 { i64::from(FIELD) } else { 0 };
        let largest = NOISE_BOUND as i64 * i64::from(self.contributors);
        if let Some(index) = key.iter().position(|&element| centred(element).abs() > largest) {
            let value = centred(key[index]);
            return Err(OpenError::KeyOutOfRange { index, value, largest, contributors: self.contributors });
        }
        let negated = key.iter().map(|&element| -centred(element));
        Ok((self.ring.transform_small(negated), wrong_answers))
    }

    /// `C_j - a_j S`, by coefficients.
    fn decrypt(&self, index: usize, element: &mut [u64], negated_key: &[u64]) {
        let mut public = Box::new([0; BLOCK]);
        for (l, p) in self.ring.primes() {
            let residues = l * self.ring.degree()..(l + 1) * self.ring.degree();
            let polynomial = &mut element[residues.clone()];
            kernels::reduce_sums(polynomial, p);
            let mut expansion = Expansion::new(&self.public_seed, index, l, p, kernels::blocks_per_prime(self.ring));
            let (blocks, _) = polynomial.as_chunks_mut::<BLOCK>();
            let (keys, _) = negated_key[residues].as_chunks::<BLOCK>();
            for (i, (block, key)) in blocks.iter_mut().zip(keys).enumerate() {
                expansion.block(i, &mut public);
                self.ring.mul_accumulate(l, block, &public[..], key);
            }
            self.ring.inverse(l, polynomial);
        }
    }
}

impl Adder for LatticeAdder {
    fn add_chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), AddError> {
        let chunks = self.parameters.chunks();
        if index != self.next || index >= chunks {
            return Err(AddError::OutOfOrder { expected: self.next, found: index, chunks });
        }
        if self.contributors == self.parameters.n_max() {
            return Err(AddError::Full { n_max: self.contributors });
        }
        let expected = self.parameters.chunk_bytes();
        if bytes.len() != expected {
            return Err(WireError::Length { expected, found: bytes.len() }.into());
        }
        let (packed, _) = bytes.as_chunks::<BLOCK_BYTES>();
        let (sums, _) = self.sums[index].as_chunks_mut::<BLOCK>();
        let per_prime = kernels::blocks_per_prime(self.ring);
        let primes = self.parameters.set().primes();
        for block in 0..packed.len() {
            if let Err(position) = kernels::add_packed(&packed[block], &mut sums[block], primes[block / per_prime]) {
                for (packed, sums) in packed.iter().zip(sums).take(block) {
                    kernels::subtract_packed(packed, sums);
                }
                return Err(WireError::Element { index: block * BLOCK + position }.into());
            }
        }
        self.next += 1;
        Ok(())
    }

    fn finish_contribution(&mut self) -> Result<(), AddError> {
        let chunks = self.parameters.chunks();
        if self.next != chunks {
            return Err(AddError::OutOfOrder { expected: self.next, found: chunks, chunks });
        }
        self.next = 0;
        self.contributors += 1;
        Ok(())
    }

    fn open(
        mut self: Box<Self>,
        rule: &CommitteeRule,
        answers: &[(u32, ShareSum)],
        contributors: u32,
    ) -> Result<Opened, OpenError> {
        if self.next != 0 {
            return Err(OpenError::Unfinished { added: self.next, chunks: self.parameters.chunks() });
        }
        if contributors != self.contributors {
            return Err(OpenError::Contributors { answered: contributors, added: self.contributors });
        }
        let (negated_key, wrong_answers) = self.negated_key(rule, answers)?;
        let mut decoder = Decoder::new(&self.parameters, self.ring, contributors);
        let mut sum = vec![0; self.parameters.dimension()];
        for index in 0..self.parameters.chunks() {
            // Taking the chunk frees its memory as soon as it has been decoded.
            let mut element = std::mem::take(&mut self.sums[index]);
            self.decrypt(index, &mut element, &negated_key);
            decoder.decode(index, &element, &mut sum)?;
        }
        Ok(Opened { sum, wrong_answers })
    }
}
