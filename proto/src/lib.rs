//! Wire format of Haihe: the messages and services of `federation/v1/*.proto`.
//!
//! These types are seen only where the network is: the coordinator's service, the participant's link and the tool's
//! client. Everything else speaks the domain types of `haihe-protocol`.

/// Generated from `federation/v1/*.proto`.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("haihe.federation.v1");
}

/// Encoded `FileDescriptorSet`, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message that a participant or an operator accepts, in bytes. Ciphertexts travel in chunks of at most
/// [`CHUNK_BYTES`]; the largest single message is a request for an answer in a federation of 1,000 participants.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Largest message that the coordinator accepts, in bytes: job files are the largest. A decoded message takes up to 49 times
/// the bytes that it came in, where they declare many empty parts.
pub const MAX_REQUEST_BYTES: usize = 2 << 20;

/// Ciphertext bytes per part of an upload.
pub const CHUNK_BYTES: usize = 256 << 10;
