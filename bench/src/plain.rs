//! The reference without any protection: quantise the vector and encode it as a packed protobuf field.

use haihe_privacy::secure_sum::{QuantiseError, Quantiser};
use prost::Message;
use rand::Rng;

/// What a federation without encryption would send.
#[derive(Clone, PartialEq, Message)]
pub struct Vector {
    /// The quantised numbers.
    #[prost(float, repeated, tag = "1")]
    pub values: Vec<f32>,
}

/// Quantises `values` and encodes them into `out`.
pub fn encode(
    quantiser: &Quantiser,
    values: &[f32],
    rng: &mut impl Rng,
    integers: &mut [u32],
    message: &mut Vector,
    out: &mut Vec<u8>,
) -> Result<(), QuantiseError> {
    quantiser.quantise(0, values, integers, rng)?;
    message.values.clear();
    message.values.extend(integers.iter().map(|&integer| integer as f32));
    out.clear();
    message.encode_raw(out);
    Ok(())
}
