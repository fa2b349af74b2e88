//! Small secret polynomials, floods and masks.

use super::parameters::{DEGREE, FLOOD_BITS, PLAINTEXT_BITS};
use crate::digest::Transcript;
use crate::prg::SecretStream;
use crate::ring::kernels::{self, STRIP};
use crate::ring::{NOISE_BOUND, Ring};
use zeroize::{Zeroize, Zeroizing};

/// A secret stream's key: for a purpose, from a seed and whatever else must make it unique.
pub(crate) fn secret_seed(purpose: &str, seed: &[u8; 32], fields: impl FnOnce(Transcript) -> Transcript) -> Secret {
    let transcript = Transcript::new("haihe/v1/linear/secret").str(purpose).bytes(seed);
    Zeroizing::new(*fields(transcript).finish().as_bytes())
}

/// A seed that is wiped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// Samples polynomials with coefficients of CBD(64).
pub(crate) struct Sampler {
    noise: [u64; STRIP],
    bytes: [u8; 16 * STRIP],
}

impl Sampler {
    /// Working memory, on the heap.
    pub fn new() -> Box<Self> {
        Box::new(Self { noise: [0; STRIP], bytes: [0; 16 * STRIP] })
    }

    /// The next coefficients of the stream, each plus 64.
    pub fn strip(&mut self, stream: &mut SecretStream) -> &[u64; STRIP] {
        kernels::sample_noise(stream, &mut self.noise, &mut self.bytes);
        &self.noise
    }

    /// A whole polynomial, each coefficient plus 64.
    pub fn polynomial(&mut self, stream: &mut SecretStream, polynomial: &mut [u64]) {
        for strip in polynomial.chunks_exact_mut(STRIP) {
            strip.copy_from_slice(self.strip(stream));
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.noise.zeroize();
        self.bytes.zeroize();
    }
}

/// Transforms a polynomial whose coefficients are each plus 64, modulo every prime.
pub(crate) fn transform_shifted(ring: &Ring, shifted: &[u64], element: &mut [u64]) {
    for ((l, p), residues) in ring.primes().zip(element.chunks_exact_mut(DEGREE)) {
        let strips = residues.as_chunks_mut::<STRIP>().0.iter_mut();
        for (shifted, strip) in shifted.as_chunks::<STRIP>().0.iter().zip(strips) {
            kernels::add_constant(shifted, p - NOISE_BOUND, p, strip);
        }
        ring.forward(l, residues);
    }
}

/// A uniform number of `FLOOD_BITS` bits; the flood is this less its half.
pub(crate) fn flood(stream: &mut SecretStream) -> u128 {
    let mut bytes = [0; 16];
    stream.fill(&mut bytes);
    u128::from_le_bytes(bytes) >> (128 - FLOOD_BITS)
}

/// A uniform number modulo `t`.
pub(crate) fn mask(stream: &mut SecretStream) -> u64 {
    let mut bytes = [0; 8];
    stream.fill(&mut bytes);
    u64::from_le_bytes(bytes) >> (64 - PLAINTEXT_BITS)
}
