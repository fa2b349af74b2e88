//! What a dishonest party does in a simulation: a list of lies that can be read and stored, as [faults](crate::fault) are.
//!
//! A cheat is no mock: the party has its keys and everything that it was told, alters what it says at the moment of saying
//! it, and signs it again with its own key where a real one would. Everybody else runs the code of a deployment.
//! `docs/rules.md` says which rule stops each.

use haihe_protocol::id::PartyId;
use serde::{Deserialize, Serialize};

/// One lie. An empty `to` means everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cheat", rename_all = "snake_case", deny_unknown_fields)]
pub enum Cheat {
    /// The coordinator proposes another roster to some parties.
    Roster {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// How it differs.
        lie: RosterLie,
    },
    /// The coordinator passes on other confirmations.
    Session {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// How they differ.
        lie: SessionLie,
    },
    /// The coordinator asks some parties something else in a round (M1).
    Round {
        /// Whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// Which round.
        round: u64,
        /// How it differs.
        lie: RoundLie,
    },
    /// The coordinator asks committee members about other survivors (M3).
    Survivors {
        /// Whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// Which round.
        round: u64,
        /// How they differ.
        lie: SurvivorsLie,
    },
    /// The coordinator announces another sum.
    Sum {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// Of which round.
        round: u64,
        /// How it differs.
        lie: SumLie,
    },
    /// The coordinator publishes another result.
    Result {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// How it differs.
        lie: ResultLie,
    },
    /// The coordinator shows another journal.
    Journal {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// From which round on.
        round: u64,
        /// How it differs.
        lie: JournalLie,
    },
    /// The coordinator comes back with an old backup of its journal once it has so many entries.
    Restore {
        /// When.
        at: u64,
        /// Entries in the backup.
        entries: u64,
    },
    /// The coordinator shows another exchange of a vertical job than there was.
    Exchange {
        /// To whom.
        #[serde(default)]
        to: Vec<PartyId>,
        /// In the request of which exchange.
        round: u64,
        /// How it differs.
        lie: ExchangeLie,
    },
    /// The coordinator does not record what participants complain of.
    Suppress,
    /// A participant joins with what is not its own.
    Join {
        /// Who.
        by: PartyId,
        /// How.
        lie: JoinLie,
    },
    /// A participant confirms the roster wrongly.
    Confirmation {
        /// Who.
        by: PartyId,
        /// How.
        lie: ConfirmationLie,
    },
    /// A participant sends another contribution than it should (M2).
    Contribution {
        /// Who.
        by: PartyId,
        /// In which round.
        round: u64,
        /// How it differs.
        lie: ContributionLie,
    },
    /// A participant sends another parcel than it should (X1).
    Parcel {
        /// Who.
        by: PartyId,
        /// In which exchange.
        round: u64,
        /// How it differs.
        lie: ParcelLie,
    },
    /// A committee member answers wrongly (M4).
    Answer {
        /// Who.
        by: PartyId,
        /// In which round.
        round: u64,
        /// How.
        lie: AnswerLie,
    },
}

/// What is wrong with a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterLie {
    /// It lists an accomplice that the job does not name; its certificate and signature are good.
    Unlisted,
    /// It lists a party twice.
    Twice,
    /// The last party's sealing key is the coordinator's own.
    SealingKey,
    /// It leaves the receiver out.
    WithoutReceiver,
    /// Its committee is chosen as for an honest coordinator.
    Rule,
    /// Fewer contributors than the job asks for.
    Minimum,
    /// After one was confirmed, a second one under the same number.
    Second,
    /// It names an accomplice, a bank, as the coordinator.
    Coordinator,
    /// It is for another job.
    OtherJob,
}

/// What is wrong with the confirmations that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionLie {
    /// Another check key, sealed by the coordinator.
    CheckKey,
    /// Another nonce, to choose the committee.
    Nonce,
    /// One is missing.
    Missing,
    /// The roster is another than the confirmed one.
    Roster,
}

/// What is wrong with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundLie {
    /// Another task than the one that follows: a grid with a cell of the coordinator's choice, or another model.
    Task,
    /// A task that cannot be read.
    Unreadable,
    /// Numbers of fewer bits.
    Parameters,
    /// The same task under another deadline: every party by itself sees nothing.
    Deadline,
    /// It builds on sums that never were.
    Previous,
    /// The task and history of the round before, under the new number.
    OldTask,
    /// The round before, word for word, after this round was contributed to.
    Replayed,
    /// A second specification after the first was contributed to.
    Second,
    /// For another session.
    OtherSession,
    /// For another job.
    OtherJob,
    /// Not signed by the coordinator.
    Unsigned,
}

/// What is wrong with a survivor set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SurvivorsLie {
    /// One less than the roster promises.
    TooFew,
    /// After a member answered, the same without the last survivor.
    Second,
    /// Answers are thrown away, the round is called lost, and the next is asked for without the last survivor.
    NextRound,
    /// One survivor twice.
    Twice,
    /// The last survivor's commitment is another.
    Commitment,
    /// A contribution that was made for what only its party was told.
    Deceived,
    /// The sealed shares of the first two are swapped.
    Shares,
    /// One sealed share is missing.
    ShareMissing,
    /// Of another specification.
    OtherSpec,
    /// Not signed by the coordinator.
    Unsigned,
}

/// What is wrong with the exchange before, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeLie {
    /// A letter with another bit.
    Letter,
    /// One letter less.
    LetterMissing,
    /// Two letters under each other's names.
    LetterSwapped,
    /// One parcel less.
    Dropped,
    /// Another announcement of another party.
    Altered,
    /// The same, with the transcript that fits it.
    Forged,
    /// Another announcement in the receiver's own name, with the transcript that fits it.
    Own,
    /// A transcript that fits nothing.
    Transcript,
    /// A parcel is asked for in a job that is made of sums.
    Kind,
}

/// What is wrong with an announced sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SumLie {
    /// One more in the first value.
    Value,
    /// Everything twice.
    Doubled,
    /// Without the last contributor.
    Contributors,
    /// Not shown at all.
    Withheld,
}

/// What is wrong with a published result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultLie {
    /// Another model.
    Model,
    /// Another history.
    Transcript,
}

/// What is wrong with the journal that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalLie {
    /// The first entry is another; everything else fits it.
    Altered,
    /// It ends before the round began.
    Shorter,
    /// Not signed by the coordinator.
    Unsigned,
}

/// What is wrong with a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinLie {
    /// Another party's certificate.
    Certificate,
    /// A sealing key that nothing can be sealed for.
    SealingKey,
    /// Not signed with the certified key.
    Unsigned,
}

/// What is wrong with a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationLie {
    /// The nonce does not open its commitment.
    Nonce,
    /// The check key of one party is not the one that was committed to.
    CheckKey,
    /// A check key for nobody: where there should be one there is none, and the other way round.
    Presence,
}

/// What is wrong with a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContributionLie {
    /// Residues beyond the modulus; committed to and signed.
    Malformed,
    /// A longer ciphertext.
    Oversized,
    /// Other bytes than were committed to.
    Commitment,
    /// The contribution to the round before, word for word.
    Replayed,
    /// The same, under the new number.
    ReplayedRenamed,
    /// Another party's ciphertext under its own signature, as an accomplice of the coordinator could.
    Ciphertext,
    /// Another party's ciphertext and sealed shares.
    CiphertextAndShares,
    /// Another party's contribution, word for word, under its own name.
    Name,
    /// Sealed shares that nobody can open.
    SharesUnreadable,
    /// For the first committee member, a good share of something else.
    ShareOfOther,
    /// Too few sealed shares.
    ShareMissing,
    /// A sealed share of the wrong size.
    ShareSize,
    /// A sealed share that is not the one that was signed.
    ShareDigest,
    /// Made for another specification of the round.
    OtherSpec,
    /// Made for another journal.
    OtherJournal,
    /// After the first, a second one.
    Second,
    /// Another value, within bounds, than the one that its tag is for.
    Tag,
}

/// What is wrong with a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParcelLie {
    /// Another letter than was signed.
    Letter,
    /// A sealed secret that does not open; signed.
    Unreadable,
    /// An announcement that is too long; signed.
    Oversized,
    /// After the first, a second one.
    Second,
    /// For another exchange; signed.
    OtherExchange,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerLie {
    /// A sum of other shares.
    Wrong,
    /// Elements beyond the field.
    Malformed,
    /// For another survivor set.
    OtherSet,
    /// After the first, a second one.
    Second,
    /// Not signed.
    Unsigned,
}

impl Cheat {
    /// The participant that cheats; `None` if the coordinator does.
    pub fn by(&self) -> Option<&PartyId> {
        match self {
            Cheat::Join { by, .. }
            | Cheat::Confirmation { by, .. }
            | Cheat::Contribution { by, .. }
            | Cheat::Parcel { by, .. }
            | Cheat::Answer { by, .. } => Some(by),
            _ => None,
        }
    }

    /// The parties that it names.
    pub fn parties(&self) -> &[PartyId] {
        match self {
            Cheat::Roster { to, .. }
            | Cheat::Session { to, .. }
            | Cheat::Round { to, .. }
            | Cheat::Survivors { to, .. }
            | Cheat::Sum { to, .. }
            | Cheat::Result { to, .. }
            | Cheat::Exchange { to, .. }
            | Cheat::Journal { to, .. } => to,
            _ => self.by().map_or(&[], std::slice::from_ref),
        }
    }

    /// Does the coordinator tell this lie to a party?
    pub(crate) fn is_told(&self, party: &PartyId) -> bool {
        self.by().is_none() && (self.parties().is_empty() || self.parties().contains(party))
    }
}
