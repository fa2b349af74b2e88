//! How a job's journal is a Merkle log, and which heads of it are signed and pinned.
//!
//! The leaves are the journal's entries, each as the line of `journal.jsonl` without its end. The head of a round covers
//! everything up to the entry that opens the round; the last head covers the whole journal. Every contribution signs the
//! head that its party pinned, and the committee answers only if all of them name one: a coordinator that shows parties
//! different histories is found out within the round.

use haihe_privacy::{
    log::{Checkpoint, KeyName, NoteError, NoteKey, RootHash, SignedCheckpoint},
    sign::{SigningKey, VerifyingKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::Violation,
    id::{JobId, PartyId},
};

/// Size and root of a journal at some moment (RFC 6962, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash of their lines.
    pub root: RootHash,
}

impl TreeHead {
    /// The same, as proofs take it.
    pub fn pair(&self) -> (u64, RootHash) {
        (self.size, self.root)
    }
}

/// Names the journal of a job in its checkpoints.
pub fn origin(federation: &str, job: &JobId) -> String {
    format!("haihe/{federation}/{job}")
}

fn coordinator_name(federation: &str) -> Result<KeyName, NoteError> {
    format!("haihe/{federation}/coordinator").parse()
}

/// The key under which the coordinator of a federation signs checkpoints.
pub fn coordinator_note_key(federation: &str, key: &VerifyingKey) -> Result<NoteKey, NoteError> {
    Ok(NoteKey::new(coordinator_name(federation)?, *key))
}

/// Signs a head as the coordinator.
pub fn sign(federation: &str, job: &JobId, head: &TreeHead, key: &SigningKey) -> Result<SignedCheckpoint, NoteError> {
    let checkpoint = Checkpoint::new(&origin(federation, job), head.size, head.root)?;
    Ok(checkpoint.sign(&coordinator_name(federation)?, key))
}

/// Reads and verifies a checkpoint of a job's journal.
pub fn verify(text: &str, federation: &str, job: &JobId, key: &VerifyingKey) -> Result<TreeHead, NoteError> {
    let key = coordinator_note_key(federation, key)?;
    let signed = SignedCheckpoint::parse(text, &origin(federation, job), &key)?;
    let (size, root) = signed.checkpoint().head();
    Ok(TreeHead { size, root })
}

/// Checks that a contributor signed the head that this party pinned.
pub(crate) fn same_head(party: &PartyId, theirs: &TreeHead, ours: &TreeHead) -> Result<(), Violation> {
    if theirs == ours {
        return Ok(());
    }
    Err(Violation::OtherJournal { party: party.clone(), theirs: *theirs, ours: *ours })
}
