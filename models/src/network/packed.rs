//! Long vectors of `f32` in JSON: base64 (RFC 4648, section 4, padded) of the little-endian bytes, for
//! `#[serde(with = "packed")]`. A million parameters take 5.3 MB so, and are read back to the bit.

use base64ct::{Base64, Encoding};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::architecture::MAX_PARAMETERS;

/// Bytes of a value.
const BYTES: usize = size_of::<f32>();

/// Writes the values as one string.
pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    serializer.serialize_str(&Base64::encode_string(&bytes))
}

/// Reads at most [`MAX_PARAMETERS`] finite values.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    deserializer.deserialize_str(Packed)
}

struct Packed;

impl Visitor<'_> for Packed {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "padded base64 of at most {MAX_PARAMETERS} finite little-endian f32 values")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<f32>, E> {
        if text.len() > (MAX_PARAMETERS * BYTES).div_ceil(3) * 4 {
            return Err(E::invalid_length(text.len(), &self));
        }
        let damaged = || E::invalid_value(Unexpected::Other("damaged base64 text"), &self);
        let bytes = Base64::decode_vec(text).map_err(|_| damaged())?;
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
