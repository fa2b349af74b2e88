//! A's vector, encrypted once for all feature holders.

use super::keys::{KeyPair, expand_element, pack_element, unpack_elements};
use super::noise::{Sampler, secret_seed};
use super::parameters::{DEGREE, ELEMENT, LinearError, LinearParameters, ReadError};
use super::response::little_endian;
use super::switch::{Constants, constants};
use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use crate::ring::kernels::{self, STRIP};
use crate::ring::{NOISE_BOUND, PRIMES};
use std::fmt;
use zeroize::Zeroizing;

/// The encryption of a vector of `rows` integers.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedVector {
    parameters: LinearParameters,
    context: Digest,
    /// The `b` parts of all blocks, transformed.
    b: Vec<u64>,
}

impl KeyPair {
    /// Encrypts `d`, one integer for each row.
    ///
    /// The public stream and the errors follow from `context`: **never encrypt two vectors under one context**, since their
    /// difference would be in plain sight. A context is the digest of whatever names the exchange: job, session, number.
    /// The same vector under the same context gives the same bytes, so that a message can be sent again.
    ///
    /// # Errors
    /// [`LinearError::Length`] and [`LinearError::Multiplier`].
    pub fn encrypt(
        &self,
        parameters: &LinearParameters,
        d: &[i64],
        context: &Digest,
    ) -> Result<EncryptedVector, LinearError> {
        let (tiling, largest) = (parameters.tiling(), parameters.multiplier_bound());
        if d.len() != tiling.rows() {
            return Err(LinearError::Length { expected: tiling.rows(), found: d.len() });
        }
        if let Some(row) = d.iter().position(|d| d.unsigned_abs() > largest) {
            return Err(LinearError::Multiplier { row, largest });
        }
        let constants = constants();
        let public_seed = public_seed(context);
        let error_seed = secret_seed("errors", &self.error_seed, |transcript| transcript.digest(context));
        let mut sampler = Sampler::new();
        let mut b = vec![0; tiling.blocks() * ELEMENT];
        let mut a = vec![0; ELEMENT];
        for (k, element) in b.chunks_exact_mut(ELEMENT).enumerate() {
            let mut stream = SecretStream::new(&error_seed, k as u64);
            prepare(constants, &d[tiling.block_rows(k)], &mut stream, &mut sampler, element);
            expand_element(&public_seed, k, &mut a);
            for (l, residues) in element.chunks_exact_mut(DEGREE).enumerate() {
                let range = l * DEGREE..(l + 1) * DEGREE;
                constants.ring.forward(l, residues);
                constants.ring.mul_accumulate(l, residues, &a[range.clone()], &self.transform[range]);
            }
        }
        Ok(EncryptedVector { parameters: *parameters, context: *context, b })
    }
}

/// `round(q d / t) + e`, by coefficients.
fn prepare(constants: &Constants, d: &[i64], stream: &mut SecretStream, sampler: &mut Sampler, element: &mut [u64]) {
    let mut padded = Zeroizing::new([0; STRIP]);
    for start in (0..DEGREE).step_by(STRIP) {
        let rows = &d[start.min(d.len())..(start + STRIP).min(d.len())];
        padded.fill(0);
        padded[..rows.len()].copy_from_slice(rows);
        let noise = sampler.strip(stream);
        for (l, residues) in element.chunks_exact_mut(DEGREE).enumerate() {
            let (p, residues) = (PRIMES[l], &mut residues[start..start + STRIP]);
            for ((residue, d), noise) in residues.iter_mut().zip(padded.iter()).zip(noise) {
                let sum = constants.encode(l, d.cast_unsigned()) + noise + (p - NOISE_BOUND);
                *residue = kernels::canonical(sum, Constants::delta(l), p);
            }
        }
    }
}

/// The seed of the `a` parts of an exchange.
fn public_seed(context: &Digest) -> Digest {
    Transcript::new("haihe/v1/linear/vector").digest(context).finish()
}

impl EncryptedVector {
    /// What it was encrypted for.
    pub fn parameters(&self) -> &LinearParameters {
        &self.parameters
    }

    /// The `b` parts of the blocks in packed residues.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.parameters.tiling().vector_bytes());
        pack_element(&self.b, &mut bytes);
        bytes
    }

    /// Reads an encrypted vector of an exchange.
    ///
    /// # Errors
    /// [`ReadError::Vector`] if the length is not what the tiling asks for or a residue is not reduced.
    pub fn from_bytes(parameters: &LinearParameters, context: &Digest, bytes: &[u8]) -> Result<Self, ReadError> {
        let b = unpack_elements(bytes, parameters.tiling().blocks()).map_err(ReadError::Vector)?;
        Ok(Self { parameters: *parameters, context: *context, b })
    }

    /// The `b` parts of all blocks, transformed.
    pub(super) fn b(&self) -> &[u64] {
        &self.b
    }

    /// All `a` parts, transformed.
    pub(super) fn expand(&self) -> Vec<u64> {
        let seed = public_seed(&self.context);
        let mut a = vec![0; self.b.len()];
        a.chunks_exact_mut(ELEMENT).enumerate().for_each(|(k, element)| expand_element(&seed, k, element));
        a
    }

    /// What distinguishes this vector from all others.
    pub(super) fn digest(&self) -> Digest {
        let start = Transcript::new("haihe/v1/linear/vector-digest").digest(&self.context);
        let all = self.b.chunks(DEGREE).fold(start, |transcript, words| transcript.bytes(&little_endian(words)));
        all.finish()
    }
}

impl fmt::Debug for EncryptedVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedVector({} rows, {})", self.parameters.tiling().rows(), self.context)
    }
}
