//! What a participant writes into its own journal.

use haihe_privacy::{digest::Digest, log::RootHash};
use haihe_protocol::{
    error::Fault,
    id::{JobId, PartyId},
};
use serde::{Deserialize, Serialize};

/// What a participant notes in its own journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Note {
    /// Joined a job.
    Joined {
        /// Job.
        job: JobId,
        /// Name of the job.
        name: String,
        /// Own rows that will be used.
        rows: u64,
    },
    /// Declined a job.
    Declined {
        /// Job.
        job: JobId,
        /// Why.
        reason: String,
    },
    /// Signed a roster.
    Confirmed {
        /// Session.
        session: Digest,
        /// Who is in it.
        parties: Vec<PartyId>,
    },
    /// Encrypted a vector.
    Contributed {
        /// Round.
        round: u64,
        /// Step of the plan.
        step: String,
        /// Specification of the round.
        spec: Digest,
        /// Commitment to the ciphertext.
        commitment: Digest,
        /// Length of the vector.
        dimension: u64,
        /// Bytes sent: ciphertext and sealed shares.
        bytes: u64,
    },
    /// Answered for a survivor set.
    Answered {
        /// Round.
        round: u64,
        /// The set.
        survivors: Digest,
        /// Its size.
        parties: u32,
    },
    /// Spent privacy for the sum of a round, before any data were touched.
    Spent {
        /// Round.
        round: u64,
        /// Noise over sensitivity.
        multiplier: f64,
        /// Epsilon spent in all jobs so far, at the policy's delta.
        epsilon: f64,
    },
    /// Pinned a checkpoint of the coordinator's journal, after it was proved to extend the one before.
    Pinned {
        /// Number of entries.
        size: u64,
        /// Root hash.
        root: RootHash,
    },
    /// Checked an opened sum, and what followed from it.
    Witnessed {
        /// Round.
        round: u64,
        /// Who contributed.
        parties: Vec<PartyId>,
        /// Transcript of the round.
        transcript: Digest,
    },
    /// Sealed a parcel of a vertical job.
    Exchanged {
        /// Exchange.
        round: u64,
        /// What was done, in words.
        phase: String,
        /// Transcript that it builds on.
        previous: Digest,
        /// Digest of the parcel's head.
        parcel: Digest,
        /// Letters in it.
        letters: u64,
        /// Bytes sent.
        bytes: u64,
    },
    /// Refused to go on because somebody broke a rule.
    Objected {
        /// Round.
        round: u64,
        /// Whose fault it is.
        against: Fault,
        /// The rule.
        reason: String,
    },
    /// The job is over.
    Closed {
        /// Digest of the result, or none.
        transcript: Option<Digest>,
        /// Why it stopped.
        reason: Option<String>,
    },
}
