//! Sealing a message for one party: RFC 9180 HPKE, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! Base mode does not say who sealed a message: whatever is sealed here is signed by its sender as well. `info` names
//! the session and the associated data the round, the sender and the receiver, so that a sealed message opened in any
//! other context fails.
//!
//! [`PairKey`] is for many messages of one sender for one receiver, which say by themselves who sealed them.

use crate::digest::{Digest, HexError, deserialize_hex, parse_hex};
use curve25519_dalek::{MontgomeryPoint, traits::IsIdentity};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, aead, kdf, kem};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

mod pair;

pub use pair::{PAIR_OVERHEAD, Pair, PairKey};

type Suite = kem::X25519HkdfSha256;
type SecretKey = <Suite as Kem>::PrivateKey;

/// Bytes that sealing adds: the encapsulated key (32) and the tag (16).
pub const OVERHEAD: usize = 48;

/// An X25519 secret key that opens what was sealed for its public half. The `hpke` crate wipes it on drop.
pub struct SealingKey(SecretKey);

/// The public half of a [`SealingKey`], as pinned in a roster. Serialised as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingPublicKey([u8; 32]);

/// A message could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The receiver's public key is not a usable X25519 point.
    #[error("the sealing key {0:?} is not a usable X25519 public key")]
    InvalidPublicKey(SealingPublicKey),
    /// The bytes are not a usable X25519 secret key.
    #[error("the bytes are not a usable X25519 secret key")]
    InvalidSecretKey,
    /// The sealed message is shorter than its fixed parts.
    #[error("a sealed message has at least {least} bytes, this one has {found}")]
    TooShort {
        /// How many bytes there are.
        found: usize,
        /// How many there must be.
        least: usize,
    },
    /// The message was altered, is for somebody else, or belongs to another context.
    #[error("the sealed message of {found} bytes does not open: altered, for another party, or from another context")]
    DoesNotOpen {
        /// How many bytes there are.
        found: usize,
    },
    /// The AEAD refused to seal.
    #[error("the message of {length} bytes could not be sealed")]
    CannotSeal {
        /// The length of the message.
        length: usize,
    },
}

/// Seals `plaintext` for `receiver`: encapsulated key, ciphertext, tag.
pub fn seal<R: CryptoRng>(
    rng: &mut R,
    receiver: &SealingPublicKey,
    info: &Digest,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let invalid = |_| SealError::InvalidPublicKey(*receiver);
    let public = <Suite as Kem>::PublicKey::from_bytes(&receiver.0).map_err(invalid)?;
    // RFC 9180 section 5.1.1: enc, context = SetupBaseS(pkR, info). It fails only for a point of small order.
    let (encapsulated, mut context) = hpke::setup_sender_with_rng::<aead::ChaCha20Poly1305, kdf::HkdfSha256, Suite>(
        &OpModeS::Base,
        &public,
        info.as_bytes(),
        rng,
    )
    .map_err(invalid)?;
    let ciphertext = context.seal(plaintext, aad).map_err(|_| SealError::CannotSeal { length: plaintext.len() })?;
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.extend_from_slice(&encapsulated.to_bytes());
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

impl SealingKey {
    /// A fresh key: RFC 9180 section 7.1.3, `DeriveKeyPair` on 32 random bytes.
    pub fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        Self(Suite::gen_keypair_with_rng(rng).0)
    }

    /// RFC 9180 section 7.1.3, `DeriveKeyPair(ikm)`.
    pub fn derive(ikm: &[u8; 32]) -> Self {
        Self(Suite::derive_keypair(ikm).0)
    }

    /// The key that [`Self::expose_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SealError> {
        SecretKey::from_bytes(bytes).map(Self).map_err(|_| SealError::InvalidSecretKey)
    }

    /// The secret itself, for a vault. The name is meant to be found by `grep`.
    pub fn expose_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public half.
    pub fn public_key(&self) -> SealingPublicKey {
        SealingPublicKey(Suite::sk_to_pk(&self.0).to_bytes().into())
    }

    /// Opens what [`seal`] made for this key with the same `info` and `aad`.
    pub fn open(&self, info: &Digest, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let found = sealed.len();
        let too_short = SealError::TooShort { found, least: OVERHEAD };
        let (encapsulated, ciphertext) = sealed.split_at_checked(32).ok_or(too_short)?;
        if ciphertext.len() < OVERHEAD - 32 {
            return Err(too_short);
        }
        let does_not_open = |_| SealError::DoesNotOpen { found };
        let encapsulated = <Suite as Kem>::EncappedKey::from_bytes(encapsulated).map_err(does_not_open)?;
        let mut context = hpke::setup_receiver::<aead::ChaCha20Poly1305, kdf::HkdfSha256, Suite>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            info.as_bytes(),
        )
        .map_err(does_not_open)?;
        context.open(ciphertext, aad).map_err(does_not_open)
    }
}

impl SealingPublicKey {
    /// False for the few points of low order, for which nothing can be sealed (RFC 9180, section 7.1.4).
    pub fn is_usable(&self) -> bool {
        // Eight times a point of low order, on the curve or on its twist, is the neutral element; of no other point.
        !MontgomeryPoint(self.0).mul_bits_be([true, false, false, false].into_iter()).is_identity()
    }

    /// The key with these bytes; whether it is usable is checked when sealing, or by [`SealingPublicKey::is_usable`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, HexError> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey(secret of {:?})", self.public_key())
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({})", hex::encode(&self.0[..6]))
    }
}

impl fmt::Display for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for SealingPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SealingPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_hex(deserializer).map(Self)
    }
}
