//! A Merkle log over a job's journal: whoever holds one small checkpoint can check that an entry is in the journal, and
//! that a later journal only adds to the earlier one.
//!
//! * [`Log`]: the tree of RFC 9162, section 2.1 (the same as RFC 6962's), over SHA-256, with roots and proofs for every
//!   size that it has ever had;
//! * [`InclusionProof`], [`ConsistencyProof`]: what goes over the wire, at most [`MAX_PROOF_HASHES`] hashes;
//! * [`verify_inclusion`], [`verify_consistency`]: what the receiver runs, which holds no tree;
//! * [`Checkpoint`], [`SignedCheckpoint`], [`NoteKey`]: size and root, signed in the form of
//!   <https://c2sp.org/tlog-checkpoint>, so that tools of others can check them.
//!
//! A proof shows nothing that its checkpoint does not vouch for: two signed checkpoints of one origin without a
//! consistency proof between them are evidence against their signer, and only that is.
//!
//! ```
//! use haihe_privacy::{SigningKey, log::*};
//! let mut log = Log::new();
//! log.append(b"job opened");
//! let early = log.root();
//! log.append(b"round closed");
//!
//! let key = SigningKey::from_seed([7; 32]);
//! let name: KeyName = "coordinator.example".parse()?;
//! let text = Checkpoint::new("coordinator.example/job/1", log.size(), log.root())?.sign(&name, &key).to_text();
//!
//! let vkey = NoteKey::new(name, key.verifying_key());
//! let signed = SignedCheckpoint::parse(&text, "coordinator.example/job/1", &vkey)?;
//! let (size, root) = signed.checkpoint().head();
//! verify_inclusion(&root, size, 0, b"job opened", &log.inclusion(0, 2)?)?;
//! verify_consistency((1, early), (size, root), &log.consistency(1, 2)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate `ct-merkle` checks this one in tests and is not used beside: it has no roots or proofs of earlier sizes, and
//! panics on an index or a size that it cannot serve.

mod checkpoint;
mod note;
mod proof;
mod tree;

pub use checkpoint::{Checkpoint, MAX_CHECKPOINT_BYTES, SignedCheckpoint};
pub use note::{KeyName, MAX_NAME_BYTES, NoteError, NoteKey};
pub use proof::{ConsistencyProof, InclusionProof, MAX_PROOF_HASHES, ProofError, verify_consistency, verify_inclusion};
pub use tree::{Log, LogError, RootHash};

#[cfg(test)]
mod tests;
