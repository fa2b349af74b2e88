//! Names of parties and jobs, and points in time.

use std::fmt;

use haihe_privacy::digest::{Digest, Transcript};
use serde::{Deserialize, Serialize};

/// Name of a party inside its federation: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartyId(String);

/// Why a text is no party id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("party id {0:?} is not 1 to 32 of a-z, 0-9 and '-'")]
pub struct PartyIdError(String);

impl PartyId {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, PartyIdError> {
        let text = text.into();
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text)) } else { Err(PartyIdError(text.chars().take(40).collect())) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PartyId {
    type Error = PartyIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<PartyId> for String {
    fn from(id: PartyId) -> Self {
        id.0
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Name of a job: digest of its file and of the time it was opened, so that the same file may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Digest);

impl JobId {
    /// The id of the job that `toml` describes, opened at `opened`.
    pub fn of(toml: &str, opened: Timestamp) -> Self {
        Self(Transcript::new("haihe/v1/job").str(toml).u64(opened.0).finish())
    }

    /// The first twelve hexadecimal digits: enough for people and for folder names.
    pub fn short(&self) -> String {
        self.0.to_hex()[..12].to_owned()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_hex())
    }
}

/// Unix time in milliseconds, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// `seconds` later.
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole seconds since the epoch.
    pub fn unix_seconds(self) -> i64 {
        (self.0 / 1000) as i64
    }
}

/// Serde for byte strings as lowercase hexadecimal.
pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Serde for lists of byte strings as lowercase hexadecimal.
pub(crate) mod hex_list {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(hex::encode))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<String>::deserialize(from)?;
        list.into_iter().map(|text| hex::decode(text).map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_ids_are_plain() {
        for good in ["bj", "lender-08", "0"] {
            assert!(PartyId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "BJ", "北京", "a_b", "a/b", "..", &"x".repeat(33)] {
            assert!(PartyId::new(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<PartyId>("\"../etc\"").is_err());
    }

    #[test]
    fn job_id_depends_on_file_and_time() {
        let a = JobId::of("x", Timestamp(1));
        assert_ne!(a, JobId::of("x", Timestamp(2)));
        assert_ne!(a, JobId::of("y", Timestamp(1)));
        assert_eq!(a, JobId::of("x", Timestamp(1)));
    }
}
