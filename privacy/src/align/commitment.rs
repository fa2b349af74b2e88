//! What a party signs before any key is used: how many keys it has, and a root over all of them.
//!
//! The root is that of RFC 6962 ([`crate::log`]) over one leaf for each key, in the order of the leaves. A leaf is a hash of
//! the key and of a salt that belongs to this key alone, so that the root tells nothing, though all codes can be enumerated,
//! and opening one key to an auditor tells nothing about its neighbours in the tree.
//!
//! The commitment does not prove that the same keys were used. An auditor who is shown seed and keys can compute every
//! letter of the party again and compare it with the digest that the party signed.

use super::error::AlignError;
use super::secret::Secret;
use crate::digest::{Digest, Transcript};
use crate::log::{InclusionProof, Log, ProofError, RootHash, verify_inclusion};
use serde::{Deserialize, Serialize};

/// How many keys a party has, and the Merkle root over them. Announced and signed before exchange 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCommitment {
    /// How many keys.
    pub size: u32,
    /// The root over the leaves.
    pub root: RootHash,
}

/// Shows an auditor that one key is among those that a party committed to. Whoever has it knows the key's salt and
/// nothing about other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOpening {
    /// The salt of the key.
    pub salt: Digest,
    /// The place of its leaf, from 0.
    pub index: u64,
    /// The way from the leaf to the root.
    pub proof: InclusionProof,
}

/// An opening or a list of keys does not fit to the commitment: the fault of the party that committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// Another number of keys.
    #[error("the party committed to {committed} keys and shows {shown}")]
    Size {
        /// What was committed to.
        committed: u32,
        /// What was shown.
        shown: usize,
    },
    /// Other keys.
    #[error("the keys that the party shows are not those that it committed to")]
    Keys,
    /// The key is not shown to be among them.
    #[error("the key is not shown to be among those that the party committed to: {0}")]
    Opening(#[from] ProofError),
}

impl Secret {
    /// The commitment to these keys, in whatever order they are. About 100 bytes a key are allocated.
    ///
    /// # Errors
    /// [`AlignError::OwnDuplicate`], and [`AlignError::OwnSize`] if they are 2^32 or more.
    pub fn commit(&self, keys: &[String]) -> Result<InputCommitment, AlignError> {
        let size =
            u32::try_from(keys.len()).map_err(|_| AlignError::OwnSize { announced: u32::MAX, found: keys.len() })?;
        let leaves = leaves(&self.salt(), &self.place(), keys);
        if let Some(two) = leaves.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(AlignError::OwnDuplicate { row: two[1].1 + 1 });
        }
        Ok(InputCommitment { size, root: tree(&leaves).root() })
    }

    /// Opens the commitment to these keys at one of them, for an auditor.
    ///
    /// # Errors
    /// [`AlignError::NoSuchKey`].
    pub fn open(&self, keys: &[String], key: &str) -> Result<KeyOpening, AlignError> {
        let salt = key_salt(&self.salt(), key);
        let wanted = leaf(&salt, &self.place(), key);
        let leaves = leaves(&self.salt(), &self.place(), keys);
        let index = leaves.binary_search_by(|(leaf, _)| leaf.cmp(&wanted)).map_err(|_| AlignError::NoSuchKey)? as u64;
        let proof = tree(&leaves).inclusion(index, leaves.len() as u64).map_err(|_| AlignError::NoSuchKey)?;
        Ok(KeyOpening { salt, index, proof })
    }

    /// The secret from which all salts of this alignment come: for an auditor who is shown all keys. With it, anybody who
    /// has a leaf can find its key.
    pub fn expose_salt(&self) -> Digest {
        self.salt()
    }
}

impl InputCommitment {
    /// Checks that the party at `party` committed to exactly these keys, in any order.
    pub fn verify_all(
        &self,
        session: &Digest,
        party: u32,
        salt: &Digest,
        keys: &[String],
    ) -> Result<(), CommitmentError> {
        if keys.len() != self.size as usize {
            return Err(CommitmentError::Size { committed: self.size, shown: keys.len() });
        }
        let root = tree(&leaves(salt, &place(session, party), keys)).root();
        if root == self.root { Ok(()) } else { Err(CommitmentError::Keys) }
    }

    /// Checks that the party at `party` committed to this key, among others.
    pub fn verify_one(
        &self,
        session: &Digest,
        party: u32,
        key: &str,
        opening: &KeyOpening,
    ) -> Result<(), CommitmentError> {
        let leaf = leaf(&opening.salt, &place(session, party), key);
        Ok(verify_inclusion(&self.root, u64::from(self.size), opening.index, leaf.as_bytes(), &opening.proof)?)
    }
}

/// Whose leaf it is: a root cannot be passed on by another party or in another job.
pub(super) fn place(session: &Digest, party: u32) -> Digest {
    Transcript::new("haihe/v1/align/place").digest(session).u64(party.into()).finish()
}

fn key_salt(salt: &Digest, key: &str) -> Digest {
    Transcript::new("haihe/v1/align/salt").digest(salt).str(key).finish()
}

fn leaf(key_salt: &Digest, place: &Digest, key: &str) -> Digest {
    Transcript::new("haihe/v1/align/leaf").digest(place).digest(key_salt).str(key).finish()
}

/// The leaves in order, each with its row.
fn leaves(salt: &Digest, place: &Digest, keys: &[String]) -> Vec<(Digest, u32)> {
    let mut leaves: Vec<_> =
        keys.iter().zip(0..).map(|(key, row)| (leaf(&key_salt(salt, key), place, key), row)).collect();
    leaves.sort_unstable();
    leaves
}

fn tree(leaves: &[(Digest, u32)]) -> Log {
    let mut log = Log::new();
    for (leaf, _) in leaves {
        log.append(leaf.as_bytes());
    }
    log
}
