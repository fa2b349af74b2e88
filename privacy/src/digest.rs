//! Digests and transcripts.
//!
//! Whatever this project hashes or signs goes through a [`Transcript`]: a domain string, then fields, each with its
//! type and its length in front. Two different sequences of fields therefore never feed the same bytes to the hash, and a
//! digest made for one purpose means nothing for another. The hash is BLAKE3 (O'Connor, Aumasson, Neves,
//! Wilcox-O'Hearn, 2020).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A 32-byte BLAKE3 digest. Serialised as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// An unambiguous sequence of typed fields under a domain string, hashed.
///
/// ```
/// use haihe_privacy::Transcript;
/// let digest = Transcript::new("haihe/v1/example").u64(7).str("round").finish();
/// assert_ne!(digest, Transcript::new("haihe/v1/example").str("round").u64(7).finish());
/// ```
#[derive(Clone)]
pub struct Transcript(blake3::Hasher);

/// Why a text is not a digest, key or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// The text has the wrong length.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// How many digits are needed.
        expected: usize,
        /// How many characters there are.
        found: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("the character at position {position} is not a lowercase hexadecimal digit")]
    Character {
        /// Where the first such character is.
        position: usize,
    },
}

impl Digest {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// BLAKE3 of `data` with no domain: for content that is addressed by its plain hash, such as a blob.
    pub fn of_content(data: &[u8]) -> Self {
        Self(*blake3::hash(data).as_bytes())
    }

    /// All 64 lowercase hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads exactly 64 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, HexError> {
        parse_hex(text).map(Self)
    }
}

impl Transcript {
    /// Starts a transcript under a domain such as `haihe/v1/round-spec`.
    pub fn new(domain: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"haihe-transcript-v1");
        Self(hasher).field(b'D', domain.as_bytes())
    }

    /// Appends a byte string.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.field(b'b', value)
    }

    /// Appends an integer, as eight little-endian bytes.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.field(b'u', &value.to_le_bytes())
    }

    /// Appends a text, as UTF-8.
    #[must_use]
    pub fn str(self, value: &str) -> Self {
        self.field(b's', value.as_bytes())
    }

    /// Appends a digest.
    #[must_use]
    pub fn digest(self, value: &Digest) -> Self {
        self.field(b'd', &value.0)
    }

    /// The digest of everything appended.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn field(mut self, kind: u8, value: &[u8]) -> Self {
        self.0.update(&[kind]);
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex::encode(&self.0[..6]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({})", self.finish())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_hex(deserializer).map(Self)
    }
}

/// Reads exactly `2 * LEN` lowercase hexadecimal digits.
pub(crate) fn parse_hex<const LEN: usize>(text: &str) -> Result<[u8; LEN], HexError> {
    if text.len() != 2 * LEN {
        return Err(HexError::Length { expected: 2 * LEN, found: text.chars().count() });
    }
    if let Some(position) = text.bytes().position(|c| !matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(HexError::Character { position });
    }
    let mut bytes = [0; LEN];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError::Length { expected: 2 * LEN, found: text.len() })?;
    Ok(bytes)
}

/// Deserialises a fixed number of bytes from lowercase hexadecimal.
pub(crate) fn deserialize_hex<'de, D: Deserializer<'de>, const LEN: usize>(
    deserializer: D,
) -> Result<[u8; LEN], D::Error> {
    struct Visitor<const LEN: usize>;
    impl<const LEN: usize> serde::de::Visitor<'_> for Visitor<LEN> {
        type Value = [u8; LEN];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} lowercase hexadecimal digits", 2 * LEN)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            parse_hex(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let split = |a: &[u8], b: &[u8]| Transcript::new("test").bytes(a).bytes(b).finish();
        assert_ne!(split(b"ab", b"c"), split(b"a", b"bc"));
        assert_ne!(Transcript::new("a").finish(), Transcript::new("b").finish());
        assert_ne!(Transcript::new("t").bytes(b"x").finish(), Transcript::new("t").str("x").finish());
    }

    #[test]
    fn hexadecimal_is_strict() {
        let digest = Transcript::new("t").finish();
        assert_eq!(Digest::parse(&digest.to_hex()), Ok(digest));
        assert_eq!(Digest::parse("00"), Err(HexError::Length { expected: 64, found: 2 }));
        let mut upper = "0".repeat(64);
        upper.replace_range(5..6, "A");
        assert_eq!(Digest::parse(&upper), Err(HexError::Character { position: 5 }));
        assert!(Digest::parse(&"é".repeat(32)).is_err());
    }
}
