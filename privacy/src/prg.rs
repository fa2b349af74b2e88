//! Pseudorandom streams: AES in counter mode (NIST SP 800-38A), one stream per purpose and index.
//!
//! Which generator, and why (measured: see `privacy/README.md`):
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
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, consts::U16};
use aes::{Aes128, Aes256};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::fmt;
use zeroize::Zeroize;

/// The expansion of a public seed: AES-128 in counter mode.
pub struct PublicStream(CounterMode<Aes128>);

/// The expansion of a secret seed: AES-256 in counter mode. The cipher's key schedule is wiped on drop.
pub struct SecretStream(CounterMode<Aes256>);

impl PublicStream {
    /// Stream `index` of a public seed: the key is the digest's first half.
    pub fn new(seed: &Digest, index: u64) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&seed.as_bytes()[..16]);
        Self(CounterMode::new(Aes128::new(&key.into()), index))
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

impl SecretStream {
    /// Stream `index` of a secret seed.
    pub fn new(seed: &[u8; 32], index: u64) -> Self {
        Self(CounterMode::new(Aes256::new(seed.into()), index))
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

/// Counter mode over a whole buffer at once, which lets the cipher work on 64 blocks in vector registers; the `ctr` crate
/// copies block by block and takes several times as long. Block `i` of stream `index` is the encryption of the
/// big-endian numbers `index` and `i`, of 64 bits each.
struct CounterMode<Cipher> {
    cipher: Cipher,
    index: u64,
    next: u64,
    /// The last block, of which the bytes from `used` on are still to be given out.
    last: [u8; 16],
    used: usize,
}

impl<Cipher: BlockCipherEncrypt<BlockSize = U16>> CounterMode<Cipher> {
    fn new(cipher: Cipher, index: u64) -> Self {
        Self { cipher, index, next: 0, last: [0; 16], used: 16 }
    }

    fn fill(&mut self, out: &mut [u8]) {
        let rest = &self.last[self.used..];
        let (first, out) = out.split_at_mut(rest.len().min(out.len()));
        first.copy_from_slice(&rest[..first.len()]);
        self.used += first.len();

        let (blocks, tail) = out.as_chunks_mut::<16>();
        self.encrypt_counters(blocks);
        if !tail.is_empty() {
            let mut last = [[0; 16]];
            self.encrypt_counters(&mut last);
            self.last = last[0];
            tail.copy_from_slice(&self.last[..tail.len()]);
            self.used = tail.len();
        }
    }

    fn encrypt_counters(&mut self, blocks: &mut [[u8; 16]]) {
        for block in blocks.iter_mut() {
            *block = (u128::from(self.index) << 64 | u128::from(self.next)).to_be_bytes();
            self.next += 1;
        }
        self.cipher.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    }
}

impl<Cipher> Drop for CounterMode<Cipher> {
    fn drop(&mut self) {
        self.last.zeroize();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_nist() {
        // FIPS 197, appendices C.1 and C.3, turned into counter mode: the plaintext 00112233..eeff is stream
        // 0x0011223344556677 at block 0x8899aabbccddeeff.
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let mut secret = SecretStream::new(&key, 0x0011_2233_4455_6677);
        secret.0.next = 0x8899_aabb_ccdd_eeff;
        let mut block = [0; 16];
        secret.fill(&mut block);
        assert_eq!(hex::encode(block), "8ea2b7ca516745bfeafc49904b496089");
        let mut public = PublicStream::new(&Digest::from_bytes(key), 0x0011_2233_4455_6677);
        public.0.next = 0x8899_aabb_ccdd_eeff;
        public.fill(&mut block);
        assert_eq!(hex::encode(block), "69c4e0d86a7b0430d8cdb78070b4c55a");
    }

    #[test]
    fn agrees_with_the_reference_implementation_of_counter_mode() {
        use ctr::cipher::{KeyIvInit, StreamCipher};
        let (mut ours, mut theirs) = ([0; 5000], [0; 5000]);
        SecretStream::new(&[4; 32], 9).fill(&mut ours);
        let first_block = (9u128 << 64).to_be_bytes();
        ctr::Ctr128BE::<Aes256>::new(&[4; 32].into(), &first_block.into()).apply_keystream(&mut theirs);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_read() {
        let mut whole = [0; 3000];
        SecretStream::new(&[1; 32], 2).fill(&mut whole);
        let (mut split, mut stream, mut at) = ([0; 3000], SecretStream::new(&[1; 32], 2), 0);
        for length in [1, 0, 15, 16, 17, 3, 1024, 7, 6, 900, 1000, 11] {
            stream.fill(&mut split[at..at + length]);
            at += length;
        }
        assert_eq!((at, whole), (3000, split));
    }
}
