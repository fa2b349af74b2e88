//! Long vectors of `f32`, for `#[serde(with = "packed")]`: their little-endian bytes, in JSON as base64 (RFC 4648, section 4,
//! padded). A million parameters take 4 MB so, 5.3 MB in JSON, and are read back to the bit.

use base64ct::{Base64, Encoding};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::architecture::MAX_PARAMETERS;

/// Bytes of a value.
const BYTES: usize = size_of::<f32>();

/// The little-endian bytes of values.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; BYTES * values.len()];
    let (places, _) = bytes.as_chunks_mut::<BYTES>();
    places.iter_mut().zip(values).for_each(|(place, value)| *place = value.to_le_bytes());
    bytes
}

/// Writes the values as one string, or as bytes where nobody reads.
pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes = bytes(values);
    if serializer.is_human_readable() {
        serializer.serialize_str(&Base64::encode_string(&bytes))
    } else {
        serializer.serialize_bytes(&bytes)
    }
}

/// Reads at most [`MAX_PARAMETERS`] finite values.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Packed)
    } else {
        deserializer.deserialize_bytes(Packed)
    }
}

struct Packed;

impl Visitor<'_> for Packed {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at most {MAX_PARAMETERS} finite little-endian f32 values, in text as padded base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<f32>, E> {
        if text.len() > (MAX_PARAMETERS * BYTES).div_ceil(3) * 4 {
            return Err(E::invalid_length(text.len(), &self));
        }
        let damaged = || E::invalid_value(Unexpected::Other("damaged base64 text"), &self);
        let bytes = Base64::decode_vec(text).map_err(|_| damaged())?;
        self.visit_bytes(&bytes)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<f32>, E> {
        let (values, rest) = bytes.as_chunks::<BYTES>();
        if !rest.is_empty() || values.len() > MAX_PARAMETERS {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        let values: Vec<f32> = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            Some(&v) => Err(E::invalid_value(Unexpected::Float(f64::from(v)), &self)),
            None => Ok(values),
        }
    }
}
