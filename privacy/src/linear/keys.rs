//! The key holder's secret, and what the others need of it.

use super::noise::{Sampler, Secret, secret_seed, transform_shifted};
use super::parameters::{DEGREE, ELEMENT, ELEMENT_BYTES, PACKED_BLOCKS, ReadError, SECRET_NORM};
use super::switch::constants;
use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use crate::ring::kernels::{self, Expansion};
use crate::ring::packing::{BLOCK, BLOCK_BYTES};
use crate::ring::{NOISE_BOUND, PRIMES};
use crate::wire::WireError;
use std::fmt;
use zeroize::Zeroizing;

/// A's key, for as many exchanges of a job as there are.
pub struct KeyPair {
    /// The secret `s`, transformed.
    pub(super) transform: Zeroizing<Vec<u64>>,
    /// What a coefficient of `a s` weighs the coefficients of `a` with: `s` reversed, and before it once more negated.
    pub(super) window: Zeroizing<Vec<u64>>,
    pub(super) error_seed: Secret,
    public: PublicKey,
}

/// An encryption of zero under a [`KeyPair`], from which a feature holder makes fresh ones.
#[derive(Clone)]
pub struct PublicKey {
    seed: Digest,
    /// `pa`, from the seed, and `pb = pa s + e`; both transformed.
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
}

impl KeyPair {
    /// The key pair of a secret seed. Everything, the errors of [`Self::encrypt`] too, follows from it.
    pub fn derive(seed: &[u8; 32]) -> Self {
        let ring = constants().ring;
        let secret = |purpose| secret_seed(purpose, seed, |transcript| transcript);
        let mut sampler = Sampler::new();
        let mut shifted = Zeroizing::new(vec![0; DEGREE]);
        let key_seed = secret("key");
        for attempt in 0.. {
            sampler.polynomial(&mut SecretStream::new(&key_seed, attempt), &mut shifted);
            // The bound holds at once but for one key in 2^49 or so; decryption is proved for keys below it.
            if shifted.iter().map(|&s| s.abs_diff(NOISE_BOUND).pow(2)).sum::<u64>() < SECRET_NORM {
                break;
            }
        }
        let mut transform = Zeroizing::new(vec![0; ELEMENT]);
        transform_shifted(ring, &shifted, &mut transform);
        let centred = |s: &u64| s.wrapping_sub(NOISE_BOUND);
        let reversed = shifted.iter().rev().map(centred);
        let window = Zeroizing::new(reversed.clone().chain(reversed.map(u64::wrapping_neg)).collect());

        let public_seed = Transcript::new("haihe/v1/linear/public-seed").bytes(&*secret("public seed")).finish();
        let a = PublicKey::expand(&public_seed);
        let mut b = vec![0; ELEMENT];
        sampler.polynomial(&mut SecretStream::new(&secret("public key"), 0), &mut shifted);
        transform_shifted(ring, &shifted, &mut b);
        for (l, sum) in b.chunks_exact_mut(DEGREE).enumerate() {
            let range = l * DEGREE..(l + 1) * DEGREE;
            ring.mul_accumulate(l, sum, &a[range.clone()], &transform[range]);
        }
        Self { transform, window, error_seed: secret("errors"), public: PublicKey { seed: public_seed, a, b } }
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

impl PublicKey {
    /// Bytes of a public key.
    pub const BYTES: usize = 32 + ELEMENT_BYTES;

    /// The seed of `pa`, and `pb` in packed residues.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.seed.as_bytes().to_vec();
        pack_element(&self.b, &mut bytes);
        bytes
    }

    /// Reads a public key.
    ///
    /// # Errors
    /// [`ReadError::PublicKey`] if the length is another than [`Self::BYTES`] or a residue is not reduced.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        let length = WireError::Length { expected: Self::BYTES, found: bytes.len() };
        let Some((seed, packed)) = bytes.split_first_chunk::<32>().filter(|_| bytes.len() == Self::BYTES) else {
            return Err(ReadError::PublicKey(length));
        };
        let seed = Digest::from_bytes(*seed);
        let b = unpack_elements(packed, 1).map_err(ReadError::PublicKey)?;
        Ok(Self { seed, a: Self::expand(&seed), b })
    }

    fn expand(seed: &Digest) -> Vec<u64> {
        let mut a = vec![0; ELEMENT];
        expand_element(&Transcript::new("haihe/v1/linear/public-key").digest(seed).finish(), 0, &mut a);
        a
    }
}

/// Uniform residues, transformed: ring element `index` of a public seed.
pub(super) fn expand_element(seed: &Digest, index: usize, element: &mut [u64]) {
    for (l, residues) in element.chunks_exact_mut(DEGREE).enumerate() {
        let mut expansion = Expansion::new(seed, index, l, PRIMES[l], DEGREE / BLOCK);
        for (i, block) in residues.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            expansion.block(i, block);
        }
    }
}

/// Appends the packed residues of ring elements.
pub(super) fn pack_element(elements: &[u64], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + elements.len() / BLOCK * BLOCK_BYTES, 0);
    let (packed, _) = bytes[start..].as_chunks_mut::<BLOCK_BYTES>();
    for (block, packed) in elements.as_chunks::<BLOCK>().0.iter().zip(packed) {
        kernels::pack(block, packed);
    }
}

/// Reads packed ring elements: the exact length first, then every residue.
pub(super) fn unpack_elements(bytes: &[u8], count: usize) -> Result<Vec<u64>, WireError> {
    if bytes.len() != count * ELEMENT_BYTES {
        return Err(WireError::Length { expected: count * ELEMENT_BYTES, found: bytes.len() });
    }
    let mut elements = vec![0; count * ELEMENT];
    let blocks = elements.as_chunks_mut::<BLOCK>().0.iter_mut();
    for (i, (packed, block)) in bytes.as_chunks::<BLOCK_BYTES>().0.iter().zip(blocks).enumerate() {
        let p = PRIMES[i % PACKED_BLOCKS * BLOCK / DEGREE];
        kernels::unpack_reduced(packed, block, p)
            .map_err(|position| WireError::Element { index: i * BLOCK + position })?;
    }
    Ok(elements)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed && self.b == other.b
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public.seed)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.seed)
    }
}
