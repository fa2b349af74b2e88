//! The cryptography of Haihe (海河), and nothing else: an auditor opens one folder.
//!
//! * [`secure_sum`]: the sum of many parties' vectors, where nobody sees more than the sum;
//! * [`align`]: private set intersection, by which parties find the firms that all of them know;
//! * [`dp`]: differential privacy, the noise in that sum and the account of what it costs;
//! * [`seal`]: sealing a message for one party (RFC 9180 HPKE);
//! * [`sign`], [`identity`]: who says so (Ed25519, X.509);
//! * [`digest`]: transcripts, the only way in which this project hashes structured data;
//! * [`log`]: the Merkle log over a job's journal, its proofs and signed checkpoints (RFC 9162, C2SP);
//! * [`ring`]: the RLWE arithmetic below the secure sum, with its security estimate.
//!
//! The crate is pure: no clock, no input or output, no operating-system randomness and no `unsafe`. Seeds, random
//! generators and the current time come in by argument, so that every test vector can be replayed.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod align;
pub mod digest;
pub mod dp;
pub mod identity;
pub mod log;
pub mod prg;
pub mod ring;
pub mod seal;
pub mod secure_sum;
pub mod sign;
pub mod wire;

pub use digest::{Digest, Transcript};
pub use seal::{SealingKey, SealingPublicKey};
pub use sign::{Signature, SigningKey, VerifyingKey};
