//! Signed notes, <https://c2sp.org/signed-note>: names of keys, key IDs, verifier keys and signature lines.

use crate::sign::{SignatureError, VerifyingKey};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// How many bytes of UTF-8 a name of ours has at most, so that sixteen signatures fit in a checkpoint.
pub const MAX_NAME_BYTES: usize = 128;

/// The signature type identifier byte of Ed25519.
const ED25519: u8 = 0x01;

/// The name of a key in a note: not empty, no Unicode spaces, no plus, no control characters. A URL without its scheme
/// is recommended, such as `coordinator.example/log`. Serialised as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyName(String);

/// Who may sign: a name and its verifying key. Displayed, read and serialised as a "verifier key" or vkey,
/// `name+hex(key ID)+base64(0x01 || key)`, the form that other tools for signed notes take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteKey {
    name: KeyName,
    key: VerifyingKey,
}

/// A signed checkpoint, or a part of one, is not what it should be: the fault of whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is longer than any that is read.
    #[error("the signed checkpoint has {found} bytes, above the limit of {limit}")]
    TooLong {
        /// How many bytes there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The text is no signed note.
    #[error("the text is not a signed note: lines, an empty line, signature lines, each with its newline")]
    NotANote,
    /// A line after the empty one is no signature line.
    #[error("signature line {line} is not an em dash, a name and a base64 signature")]
    SignatureLine {
        /// Which line, from 1.
        line: usize,
    },
    /// The signed text is not that of a checkpoint.
    #[error("the signed text is not a checkpoint: origin, size and root in their one way of writing, and nothing else")]
    NotACheckpoint,
    /// The text does not name a log.
    #[error("an origin is one line of 1 to {MAX_NAME_BYTES} bytes without control characters")]
    BadOrigin,
    /// The text cannot name a key.
    #[error("a key's name has 1 to {MAX_NAME_BYTES} bytes and no spaces, plus or control characters")]
    BadName,
    /// The text is no Ed25519 verifier key.
    #[error("a verifier key is name+id+key, with 8 hexadecimal digits and a base64 Ed25519 key")]
    BadVerifierKey,
    /// The key ID is not that of the name and the key.
    #[error("the verifier key's id is {found}, but its name and key give {expected}")]
    KeyId {
        /// The ID of name and key.
        expected: String,
        /// The ID in the text.
        found: String,
    },
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Origin {
        /// The log asked for.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
    /// No signature line has the key's name and ID.
    #[error("no signature of {key}")]
    Unsigned {
        /// Who should have signed.
        key: NoteKey,
    },
    /// A signature line has the key's name and ID, and does not hold.
    #[error("the signature line of {name} does not hold: {reason}")]
    Signature {
        /// Who should have signed.
        name: KeyName,
        /// What is wrong with the signature.
        reason: SignatureError,
    },
}

/// A signature line. Those of unknown keys are carried along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SignatureLine {
    pub(super) name: String,
    pub(super) id: [u8; 4],
    pub(super) signature: Vec<u8>,
}

impl KeyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NoteKey {
    /// The key of this name.
    pub const fn new(name: KeyName, key: VerifyingKey) -> Self {
        Self { name, key }
    }

    /// The key's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The verifying key.
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// "key ID = SHA-256(key name || 0x0A || 0x01 || 32-byte Ed25519 public key)\[:4\]". A hint, not a commitment.
    pub fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name.0).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }

    /// "The tuple of key name and key ID uniquely identifies the key".
    pub(super) fn claims(&self, line: &SignatureLine) -> bool {
        line.name == self.name.0 && line.id == self.id()
    }
}

impl SignatureLine {
    /// Reads `— name base64(id || signature)`, without its newline.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, base64) = text.strip_prefix("— ")?.split_once(' ')?;
        let bytes = Base64::decode_vec(base64).ok()?;
        let (id, signature) = bytes.split_first_chunk()?;
        let well_formed = is_name(name) && !signature.is_empty();
        well_formed.then(|| Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id, self.signature.as_slice()].concat();
        write!(f, "— {} {}", self.name, Base64::encode_string(&bytes))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let fits = text.len() <= MAX_NAME_BYTES && is_name(text);
        if fits { Ok(Self(text.to_owned())) } else { Err(NoteError::BadName) }
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Base64::encode_string(&[&[ED25519], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.id()))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        // Base64 may have a plus, so the name ends at the first one.
        let (name, rest) = text.split_once('+').ok_or(NoteError::BadVerifierKey)?;
        let (id, base64) = rest.split_once('+').ok_or(NoteError::BadVerifierKey)?;
        let mut buffer = [0; 33];
        match Base64::decode(base64, &mut buffer) {
            Ok([ED25519, key @ ..]) if key.len() == 32 => {}
            _ => return Err(NoteError::BadVerifierKey),
        }
        let [_, key @ ..] = buffer;
        let parsed = Self::new(name.parse()?, VerifyingKey::from_bytes(key));
        let expected = hex::encode(parsed.id());
        match id {
            id if id == expected => Ok(parsed),
            id if id.len() == 8 => Err(NoteError::KeyId { expected, found: id.to_owned() }),
            _ => Err(NoteError::BadVerifierKey),
        }
    }
}

/// "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B) characters", and no note has
/// control characters.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

macro_rules! serde_as_text {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
serde_as_text!(KeyName);
serde_as_text!(NoteKey);
