//! Pseudorandom streams: AES in counter mode (NIST SP 800-38A), one stream per purpose and index.
//!
//! Which generator, and why (medians on one AVX-512 core, in GB/s: see `privacy/README.md`):
//!
//! * [`PublicStream`] expands the public polynomials `a_j`. The seed is public, so nothing is to be hidden; AES-128 in
//!   counter mode under a public random key is how FrodoKEM (section 2.2.4, `Frodo.Gen` with AES128) expands its public
//!   matrix, with the cipher modelled as ideal.
//! * [`SecretStream`] makes one-time keys, errors, sharing polynomials and rounding bits. The key is secret: AES-256 in
//!   counter mode is a pseudorandom generator under the standard assumption, and its streams are far below the birthday
//!   bound of 2^64 blocks. With AES instructions it runs in constant time; without them the `aes` crate falls back to a
//!   bit-sliced implementation that does too.
//!
//! Both take their key from a [`Transcript`](crate::Transcript) that names the purpose.

use crate::digest::Digest;
use aes::cipher::{KeyIvInit, StreamCipher};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::fmt;

/// The expansion of a public seed: AES-128 in counter mode.
pub struct PublicStream(ctr::Ctr128BE<aes::Aes128>);

/// The expansion of a secret seed: AES-256 in counter mode. The cipher's key schedule is wiped on drop.
pub struct SecretStream(ctr::Ctr128BE<aes::Aes256>);

impl PublicStream {
    /// Stream `index` of a public seed: the key is the digest's first half, the counter block begins at `index * 2^64`.
    pub fn new(seed: &Digest, index: u64) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&seed.as_bytes()[..16]);
        Self(ctr::Ctr128BE::new(&key.into(), &first_block(index).into()))
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.write_keystream(out);
    }
}

impl SecretStream {
    /// Stream `index` of a secret seed: the counter block begins at `index * 2^64`.
    pub fn new(seed: &[u8; 32], index: u64) -> Self {
        Self(ctr::Ctr128BE::new(seed.into(), &first_block(index).into()))
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.write_keystream(out);
    }
}

fn first_block(index: u64) -> [u8; 16] {
    (u128::from(index) << 64).to_be_bytes()
}

impl TryRng for SecretStream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for SecretStream {}

impl fmt::Debug for SecretStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretStream")
    }
}

impl fmt::Debug for PublicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicStream")
    }
}
