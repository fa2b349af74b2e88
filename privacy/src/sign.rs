//! Signatures: Ed25519 (RFC 8032) over a [`Digest`] that its [`Transcript`](crate::Transcript) has already separated by
//! domain.
//!
//! The one exception is a log's [`Checkpoint`], whose text is signed as it is, because tools of others check it. The two
//! are never confused: a digest has 32 bytes, a checkpoint at least 49 (a line for its origin, one for its size, and the
//! 44 characters of its root). Only the type [`Checkpoint`] gets there, so no text is signed that a peer chose.
//!
//! Verification is `verify_strict`: small-order keys and non-canonical encodings are refused, so a signature binds its
//! signer to exactly one message (Chalkias, Garillot, Nikolaenko: "Taming the many EdDSAs", SSR 2020).

use crate::digest::{Digest, HexError, parse_hex};
use crate::log::Checkpoint;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// A long-term Ed25519 signing key. Never printed, never serialised by accident, wiped on drop.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The public half of a [`SigningKey`], as pinned in a roster. Serialised as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey([u8; 32]);

/// An Ed25519 signature. Serialised as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// The signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The verifying key is not a point of the curve, or is one of small order.
    #[error("the verifying key {0} is not a valid Ed25519 key")]
    InvalidKey(VerifyingKey),
    /// The signature was not made by this key over this digest.
    #[error("the signature over digest {digest} was not made by the key {key}")]
    Mismatch {
        /// The key that should have signed.
        key: VerifyingKey,
        /// What should have been signed.
        digest: Digest,
    },
    /// The signature was not made by this key over this checkpoint, or is no signature by its length.
    #[error("the signature over the checkpoint was not made by the key {key}")]
    Checkpoint {
        /// The key that should have signed.
        key: VerifyingKey,
    },
}

/// A signing key could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The text is not an Ed25519 private key in PKCS #8 PEM (RFC 5958, RFC 8410).
    #[error("the text is not an Ed25519 private key in PKCS #8 PEM form")]
    NotPkcs8Pem,
    /// The key could not be encoded.
    #[error("the key could not be encoded as PKCS #8 PEM")]
    Encoding,
}

impl SigningKey {
    /// The key of RFC 8032 with this 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// A fresh key from a cryptographic generator.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(ed25519_dalek::SigningKey::generate(rng))
    }

    /// Reads the PEM file that `openssl genpkey -algorithm ed25519` or [`Self::to_pkcs8_pem`] writes.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyFileError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| KeyFileError::NotPkcs8Pem)
    }

    /// The secret key as PKCS #8 PEM.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyFileError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyFileError::Encoding)
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a digest.
    pub fn sign(&self, digest: &Digest) -> Signature {
        self.sign_bytes(digest.as_bytes())
    }

    /// Signs the text of a checkpoint, never 32 bytes long.
    pub(crate) fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> Signature {
        self.sign_bytes(checkpoint.to_string().as_bytes())
    }

    fn sign_bytes(&self, message: &[u8]) -> Signature {
        use ed25519_dalek::Signer;
        Signature(self.0.sign(message).to_bytes())
    }
}

impl VerifyingKey {
    /// The key with these bytes; whether they are a curve point is checked when verifying.
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

    /// Checks that this key signed this digest.
    pub fn verify(&self, digest: &Digest, signature: &Signature) -> Result<(), SignatureError> {
        self.verify_bytes(digest.as_bytes(), signature, SignatureError::Mismatch { key: *self, digest: *digest })
    }

    /// Checks that this key signed the text of this checkpoint.
    pub(crate) fn verify_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_bytes(checkpoint.to_string().as_bytes(), signature, SignatureError::Checkpoint { key: *self })
    }

    fn verify_bytes(
        &self,
        message: &[u8],
        signature: &Signature,
        mismatch: SignatureError,
    ) -> Result<(), SignatureError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError::InvalidKey(*self))?;
        if key.is_weak() {
            return Err(SignatureError::InvalidKey(*self));
        }
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| mismatch)
    }
}

impl Signature {
    /// The signature with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The signature's bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Reads 128 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, HexError> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {})", self.verifying_key())
    }
}

macro_rules! hex_text {
    ($type:ident, $length:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), hex::encode(&self.0[..6]))
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::digest::deserialize_hex::<D, $length>(deserializer).map(Self)
            }
        }
    };
}
pub(crate) use hex_text;
hex_text!(VerifyingKey, 32);
hex_text!(Signature, 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transcript;

    #[test]
    fn signs_verifies_and_refuses() {
        let key = SigningKey::from_seed([7; 32]);
        let digest = Transcript::new("haihe/v1/test").u64(1).finish();
        let other = Transcript::new("haihe/v1/test").u64(2).finish();
        let signature = key.sign(&digest);
        let public = key.verifying_key();
        assert_eq!(public.verify(&digest, &signature), Ok(()));
        assert_eq!(public.verify(&other, &signature), Err(SignatureError::Mismatch { key: public, digest: other }));
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak = VerifyingKey::from_bytes(identity);
        assert_eq!(weak.verify(&digest, &signature), Err(SignatureError::InvalidKey(weak)));
    }

    #[test]
    fn pem_round_trip_and_redaction() {
        let key = SigningKey::from_seed([9; 32]);
        let pem = key.to_pkcs8_pem().expect("encodes");
        let again = SigningKey::from_pkcs8_pem(&pem).expect("decodes");
        assert_eq!(again.verifying_key(), key.verifying_key());
        assert!(!format!("{key:?}").contains(&hex::encode([9; 32])));
        assert_eq!(SigningKey::from_pkcs8_pem("nonsense").err(), Some(KeyFileError::NotPkcs8Pem));
    }
}
