//! Sealing many messages of one sender for one receiver: one key exchange in a session, one key for every message.
//!
//! The key of a pair is derived from the static Diffie-Hellman value of the two sealing keys of the session (X25519,
//! RFC 7748, section 6.1), the session, both names and both public keys, so that each direction has its own. Every message has
//! a key of its own, derived from the pair's and the message's context, under which ChaCha20-Poly1305 (RFC 8439) seals once,
//! with the nonce zero. **A context must determine the message**: two messages in one context would share a key stream.
//!
//! What is lost against a fresh key exchange for each message: who has the *sender's* sealing key, too, can open what it
//! sealed in the session. `docs/threat-model.md` says why that is accepted where this is used.

use super::{SealError, SealingKey, SealingPublicKey};
use crate::digest::{Digest, Transcript};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce, Tag,
    aead::{AeadInOut, inout::InOutBuf},
};
use curve25519_dalek::{MontgomeryPoint, traits::IsIdentity};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that sealing with a [`PairKey`] adds: the tag.
pub const PAIR_OVERHEAD: usize = 16;

/// What a sender and a receiver share in one session, for messages in one direction. Wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairKey([u8; 32]);

/// A sender and a receiver: their names and their sealing keys in the roster.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Names the session in which both keys are pinned.
    pub session: &'a Digest,
    /// Who seals.
    pub sender: (&'a str, &'a SealingPublicKey),
    /// Who opens.
    pub receiver: (&'a str, &'a SealingPublicKey),
}

impl SealingKey {
    /// The key of a pair of which this is one half; both halves come to the same.
    ///
    /// # Errors
    /// [`SealError::InvalidPublicKey`] if the other half is of small order, which a verified roster rules out;
    /// [`SealError::InvalidSecretKey`] if this key is neither half.
    pub fn pair(&self, pair: &Pair<'_>) -> Result<PairKey, SealError> {
        let own = self.public_key();
        let other = match (*pair.sender.1 == own, *pair.receiver.1 == own) {
            (true, _) => pair.receiver.1,
            (false, true) => pair.sender.1,
            (false, false) => return Err(SealError::InvalidSecretKey),
        };
        let mut shared = MontgomeryPoint(*other.as_bytes()).mul_clamped(*self.expose_bytes());
        // RFC 7748, section 6.1: "MAY check [...] whether the value is the all-zero value".
        if shared.is_identity() {
            return Err(SealError::InvalidPublicKey(*other));
        }
        let key = Transcript::new("haihe/v1/pair-key")
            .digest(pair.session)
            .str(pair.sender.0)
            .str(pair.receiver.0)
            .bytes(pair.sender.1.as_bytes())
            .bytes(pair.receiver.1.as_bytes())
            .bytes(shared.as_bytes())
            .finish();
        shared.zeroize();
        Ok(PairKey(*key.as_bytes()))
    }
}

impl PairKey {
    fn cipher(&self, context: &Digest) -> ChaCha20Poly1305 {
        let digest = Transcript::new("haihe/v1/message-key").digest(context).bytes(&self.0).finish();
        let mut key = chacha20poly1305::Key::from(*digest.as_bytes());
        let cipher = ChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        cipher
    }

    /// Seals a message: ciphertext, tag. The same message in the same context gives the same bytes.
    ///
    /// `context` must determine `plaintext`; see the module.
    pub fn seal(&self, context: &Digest, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(plaintext.len() + PAIR_OVERHEAD);
        sealed.extend_from_slice(plaintext);
        let tag = self
            .cipher(context)
            .encrypt_inout_detached(&Nonce::default(), context.as_bytes(), InOutBuf::from(sealed.as_mut_slice()))
            .map_err(|_| SealError::CannotSeal { length: plaintext.len() })?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made with the same pair and context.
    pub fn open(&self, context: &Digest, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let found = sealed.len();
        let too_short = SealError::TooShort { found, least: PAIR_OVERHEAD };
        let (ciphertext, tag) = sealed.split_last_chunk::<PAIR_OVERHEAD>().ok_or(too_short)?;
        let mut plaintext = ciphertext.to_vec();
        self.cipher(context)
            .decrypt_inout_detached(
                &Nonce::default(),
                context.as_bytes(),
                InOutBuf::from(plaintext.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| SealError::DoesNotOpen { found })?;
        Ok(plaintext)
    }
}

impl fmt::Debug for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKey(..)")
    }
}
