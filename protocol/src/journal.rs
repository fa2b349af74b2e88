//! What happened in a job. The journal is at once recovery, audit trail and replay.

use haihe_privacy::digest::{Digest, Transcript};
use serde::{Deserialize, Serialize};

use crate::{
    horizontal::{Plan, Summary},
    id::{JobId, PartyId, Timestamp},
    message::{Answer, Contribution, Objection, RoundSpec},
    roster::{Confirmation, Decline, Join, Roster},
    vertical::exchange::ParcelHead,
};

/// One thing that happened. Big ciphertexts stay out: an event carries their digest, the store their bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A job was submitted and is valid.
    JobOpened {
        /// Job.
        job: JobId,
        /// The job file.
        toml: String,
        /// Who submitted it.
        by: String,
        /// When gathering ends.
        deadline: Timestamp,
    },
    /// A participant joined.
    Joined {
        /// Its signed wish.
        join: Join,
    },
    /// A participant declined.
    Declined {
        /// Its signed refusal.
        decline: Decline,
    },
    /// Everybody answered, or the time to join is over: the parties are proposed.
    RosterProposed {
        /// The proposal.
        roster: Roster,
    },
    /// A participant signed the roster.
    Confirmed {
        /// Its signature.
        confirmation: Confirmation,
    },
    /// Everybody in the roster signed it.
    SessionOpened {
        /// Digest of the roster.
        session: Digest,
    },
    /// A round began.
    RoundOpened {
        /// Its specification.
        spec: RoundSpec,
    },
    /// A contribution was received whole and matches its commitment.
    ContributionAccepted {
        /// Its signed head.
        contribution: Contribution,
        /// Bytes received for it: ciphertext and sealed shares.
        bytes: u64,
    },
    /// A contribution or a parcel broke a rule.
    ContributionRejected {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
        /// The rule, in words.
        reason: String,
    },
    /// A contribution or a parcel came after its round had closed.
    ContributionLate {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
    },
    /// Contributions ended with a quorum; the committee is asked.
    ContributionsClosed {
        /// Round.
        round: u64,
        /// Who contributed.
        survivors: Vec<PartyId>,
        /// Who was expected and did not.
        absent: Vec<PartyId>,
        /// Digest of the signed survivor set.
        digest: Digest,
        /// When answers end.
        deadline: Timestamp,
    },
    /// A committee member answered.
    Answered {
        /// Its signed answer.
        answer: Answer,
    },
    /// A participant refuses to go on with a round.
    Objected {
        /// Its signed objection.
        objection: Objection,
    },
    /// The sum was opened, and the plan went on.
    SumOpened {
        /// Round.
        round: u64,
        /// Digest of the sum.
        sum: Digest,
        /// Committee members whose answers were wrong and were corrected.
        wrong_answers: Vec<PartyId>,
        /// Transcript of the round: what came before, specification, survivors and sum.
        transcript: Digest,
        /// One line for people.
        summary: Summary,
        /// Where the plan stands now; absent when it is complete.
        plan: Option<Plan>,
    },
    /// Too few contributions or answers came in time; nothing was opened.
    RoundLost {
        /// Round.
        round: u64,
        /// Who was waited for, and for what.
        reason: String,
        /// Who was waited for in vain.
        absent: Vec<PartyId>,
    },
    /// An exchange of a vertical job began.
    ExchangeOpened {
        /// Its number, from 1.
        round: u64,
        /// Transcript of the exchange before; before the first, the session.
        previous: Digest,
        /// When parcels end.
        deadline: Timestamp,
    },
    /// A parcel was received whole, and its letters match their digests.
    ParcelAccepted {
        /// Its signed head.
        parcel: ParcelHead,
        /// Bytes received for it: letters, sealed keys, announcement.
        bytes: u64,
    },
    /// All parcels are in: every party gets the heads, and the letters for it.
    ExchangeClosed {
        /// Exchange.
        round: u64,
        /// Chains the exchange to those before it.
        transcript: Digest,
    },
    /// The deadline passed without somebody, and is put off.
    ExchangeExtended {
        /// Exchange.
        round: u64,
        /// Who was waited for in vain.
        absent: Vec<PartyId>,
        /// When parcels end now.
        deadline: Timestamp,
        /// How often it was put off, from 1.
        attempt: u32,
    },
    /// The plan is complete, or every party's work is.
    JobFinished {
        /// Digest of the result.
        result: Digest,
        /// The result, JSON.
        result_json: String,
    },
    /// The job cannot go on.
    JobFailed {
        /// Whose fault, and what to do.
        reason: String,
    },
    /// An operator cancelled the job.
    JobCancelled {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// The event's name in the journal.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::JobOpened { .. } => "job_opened",
            Event::Joined { .. } => "joined",
            Event::Declined { .. } => "declined",
            Event::RosterProposed { .. } => "roster_proposed",
            Event::Confirmed { .. } => "confirmed",
            Event::SessionOpened { .. } => "session_opened",
            Event::RoundOpened { .. } => "round_opened",
            Event::ContributionAccepted { .. } => "contribution_accepted",
            Event::ContributionRejected { .. } => "contribution_rejected",
            Event::ContributionLate { .. } => "contribution_late",
            Event::ContributionsClosed { .. } => "contributions_closed",
            Event::Answered { .. } => "answered",
            Event::Objected { .. } => "objected",
            Event::SumOpened { .. } => "sum_opened",
            Event::RoundLost { .. } => "round_lost",
            Event::ExchangeOpened { .. } => "exchange_opened",
            Event::ParcelAccepted { .. } => "parcel_accepted",
            Event::ExchangeClosed { .. } => "exchange_closed",
            Event::ExchangeExtended { .. } => "exchange_extended",
            Event::JobFinished { .. } => "job_finished",
            Event::JobFailed { .. } => "job_failed",
            Event::JobCancelled { .. } => "job_cancelled",
        }
    }
}

/// An event in its place: number, time, and a digest that covers everything before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the job's journal, from 0.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened, JSON; the very bytes that the digest covers.
    pub body_json: String,
    /// Digest of the previous entry's digest, number, time and body.
    pub digest: Digest,
}

/// Why a journal cannot be trusted or read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JournalError {
    /// Numbers are not 0, 1, 2, ...
    #[error("journal entry {expected} is missing: found {found} in its place")]
    Gap {
        /// Number expected.
        expected: u64,
        /// Number found.
        found: u64,
    },
    /// The chain of digests is broken.
    #[error("journal entry {sequence} was altered: its digest does not follow from the entries before it")]
    Altered {
        /// First entry that does not hold.
        sequence: u64,
    },
    /// The body is no event.
    #[error("journal entry {sequence} cannot be read by this version: {detail}")]
    Unreadable {
        /// Entry.
        sequence: u64,
        /// What is wrong.
        detail: String,
    },
    /// The first entry does not open a job.
    #[error("the journal does not begin with the opening of a job")]
    NoOpening,
}

impl Entry {
    /// The digest before the first entry.
    pub fn genesis() -> Digest {
        Transcript::new("haihe/v1/journal").finish()
    }

    /// Puts `event` after the entry with digest `previous`.
    ///
    /// # Panics
    /// Never for the events of this project: they are plain data and always encode.
    pub fn after<E: Serialize>(previous: &Digest, sequence: u64, at: Timestamp, event: &E) -> Self {
        let body_json = serde_json::to_string(event).expect("events are plain data with string keys");
        let digest = Self::chain(previous, sequence, at, &body_json);
        Self { sequence, at, body_json, digest }
    }

    fn chain(previous: &Digest, sequence: u64, at: Timestamp, body: &str) -> Digest {
        Transcript::new("haihe/v1/journal-entry").digest(previous).u64(sequence).u64(at.0).str(body).finish()
    }

    /// Checks that this is entry `sequence`, after the one with digest `previous`.
    pub(crate) fn follows(&self, previous: &Digest, sequence: u64) -> Result<(), JournalError> {
        if self.sequence != sequence {
            return Err(JournalError::Gap { expected: sequence, found: self.sequence });
        }
        if Self::chain(previous, sequence, self.at, &self.body_json) != self.digest {
            return Err(JournalError::Altered { sequence });
        }
        Ok(())
    }

    /// The entry as a line of `journal.jsonl`, without its end: the leaf of the Merkle log.
    ///
    /// # Panics
    /// Never: entries are plain data and always encode.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("entries are plain data with string keys")
    }

    /// The event.
    pub fn event<E: serde::de::DeserializeOwned>(&self) -> Result<E, JournalError> {
        serde_json::from_str(&self.body_json)
            .map_err(|e| JournalError::Unreadable { sequence: self.sequence, detail: e.to_string() })
    }
}

/// Checks numbering and the chain of digests of a whole journal; names the first entry that does not hold.
pub fn verify(entries: &[Entry]) -> Result<Digest, JournalError> {
    let mut previous = Entry::genesis();
    for (expected, entry) in entries.iter().enumerate() {
        entry.follows(&previous, expected as u64)?;
        previous = entry.digest;
    }
    Ok(previous)
}
