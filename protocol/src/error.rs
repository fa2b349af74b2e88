//! What can be wrong with a message, and whose fault it is.

use std::fmt;

use haihe_privacy::{
    digest::Digest,
    identity::IdentityError,
    log::{NoteError, ProofError},
    secure_sum::CapacityError,
};

use serde::{Deserialize, Serialize};

use crate::{checkpoint::TreeHead, id::PartyId};

/// Whose fault an error is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This participant said something that it should not have said.
    Participant(PartyId),
    /// The coordinator did.
    Coordinator,
    /// The job asks for something impossible; its author must change it.
    Job,
    /// The coordinator or one of the contributors: what was seen does not tell which.
    CoordinatorOrContributor,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Participant(party) => party.fmt(f),
            Fault::Coordinator => f.pad("the coordinator"),
            Fault::Job => f.pad("the job"),
            Fault::CoordinatorOrContributor => f.pad("the coordinator or a contributor"),
        }
    }
}

/// A broken rule of the protocol. Every variant names who broke it and with which figures.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    /// A certificate does not bind the party that it is used for.
    #[error("the signing certificate of {party} is not acceptable: {source}")]
    Certificate {
        /// Whose.
        party: PartyId,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// A certificate names somebody else.
    #[error("{party} used a certificate that names {named} in federation {federation}")]
    CertificateNames {
        /// Who used it.
        party: PartyId,
        /// Party in the certificate.
        named: String,
        /// Federation in the certificate.
        federation: String,
    },
    /// The coordinator's certificate is not one of this federation's coordinator.
    #[error("the coordinator's certificate is not acceptable: {detail}")]
    CoordinatorCertificate {
        /// What is wrong with it.
        detail: IdentityErrorOrRole,
    },
    /// A signature does not fit the message and the key in the roster.
    #[error("the signature of {party} on its {message} does not verify")]
    Signature {
        /// Who is said to have signed.
        party: PartyId,
        /// Which message.
        message: &'static str,
    },
    /// The coordinator's signature does not verify.
    #[error("the coordinator's signature on its {message} does not verify")]
    CoordinatorSignature {
        /// Which message.
        message: &'static str,
    },
    /// The party is not named by the job.
    #[error("{party} is not among the parties of this job")]
    NotInvited {
        /// Who.
        party: PartyId,
    },
    /// A reason for declining is too long.
    #[error("{party} gave a reason for declining that is too long")]
    ReasonTooLong {
        /// Who.
        party: PartyId,
    },
    /// The party is not in the confirmed roster.
    #[error("{party} is not in the roster of this session")]
    NotInRoster {
        /// Who.
        party: PartyId,
    },
    /// Two entries for one party, or entries out of order.
    #[error("the roster lists {party} twice or out of order")]
    RosterOrder {
        /// Who.
        party: PartyId,
    },
    /// Two parties present the same signing or sealing key.
    #[error("{party} presents a key that another party of the roster presents too")]
    SharedKey {
        /// The later of the two.
        party: PartyId,
    },
    /// A sealing key that nothing can be sealed for.
    #[error("the sealing key of {party} is not a usable X25519 key")]
    SealingKey {
        /// Whose.
        party: PartyId,
    },
    /// Our own entry is missing from the roster or was changed.
    #[error("the coordinator's roster does not carry the entry that {party} signed")]
    OwnEntry {
        /// Us.
        party: PartyId,
    },
    /// The rule of the committee is not the one that the job asks for.
    #[error("the coordinator's roster asks for a committee rule that the job does not allow")]
    CommitteeRule,
    /// A confirmation is missing, or names another session.
    #[error("the confirmation of {party} is missing or is not for this roster")]
    Confirmation {
        /// Whose.
        party: PartyId,
    },
    /// A nonce does not open its commitment.
    #[error("{party} revealed a nonce that does not open its commitment")]
    Beacon {
        /// Who.
        party: PartyId,
    },
    /// A message is for another job.
    #[error("the {message} is for another job")]
    OtherJob {
        /// Which message.
        message: &'static str,
    },
    /// A message is for another session than the pinned one.
    #[error("the {message} is for session {got}, this participant pinned {pinned}")]
    OtherSession {
        /// Which message.
        message: &'static str,
        /// Session in the message.
        got: Digest,
        /// Session pinned.
        pinned: Digest,
    },
    /// A message is for another specification of the round than the one seen here.
    #[error("{party} signed another specification of round {round}: the coordinator told the parties different things")]
    OtherSpec {
        /// Who signed the other one.
        party: PartyId,
        /// Round.
        round: u64,
    },
    /// A contribution or an answer to something else than the coordinator asked.
    #[error("{party} signed something else than round {round} as it was opened")]
    OtherRound {
        /// Who.
        party: PartyId,
        /// Round that is open.
        round: u64,
    },
    /// The coordinator passed on what it had to refuse, or changed what it passed on: it has seen everything before.
    #[error("the coordinator sent a {message} that breaks a rule: {source}")]
    Relayed {
        /// Which message.
        message: &'static str,
        /// Which rule.
        source: Box<Violation>,
    },
    /// A round that is over, or was replaced.
    #[error("round {got} is stale: this participant is at round {at}")]
    StaleRound {
        /// Round in the message.
        got: u64,
        /// Newest round known.
        at: u64,
    },
    /// The coordinator replaced the specification of a round.
    #[error("the coordinator sent a second specification of round {round}")]
    SecondSpec {
        /// Round.
        round: u64,
    },
    /// A checkpoint that cannot be read or does not verify.
    #[error("the checkpoint that the coordinator sent with round {round} is not acceptable: {source}")]
    Checkpoint {
        /// Round; 0 at the end of the job.
        round: u64,
        /// What is wrong.
        source: NoteError,
    },
    /// A round without the checkpoint of its beginning.
    #[error("the coordinator asks for round {round} and showed no checkpoint of its journal for it")]
    NoCheckpoint {
        /// Round.
        round: u64,
    },
    /// A journal that is shorter than it was, or that does not contain what it contained.
    #[error(
        "the coordinator rewrote its journal: the checkpoint of {new_size} entries does not extend the one of \
         {pinned_size} entries that this participant pinned ({source})"
    )]
    Rewritten {
        /// Entries pinned.
        pinned_size: u64,
        /// Entries now.
        new_size: u64,
        /// What does not fit.
        source: ProofError,
    },
    /// A contributor pinned another head of the journal for this round.
    #[error(
        "{party} was shown a journal of {} entries with root {}, this participant one of {} with root {}: the \
         coordinator keeps two histories",
        theirs.size, theirs.root, ours.size, ours.root
    )]
    OtherJournal {
        /// Who.
        party: PartyId,
        /// What it signed.
        theirs: TreeHead,
        /// What was pinned here.
        ours: TreeHead,
    },
    /// A round that builds on other sums than those that this participant saw.
    #[error(
        "round {round} builds on history {got}, this participant's ends with {known}: the coordinator shows the parties \
         different things, or hides a round"
    )]
    OtherHistory {
        /// Round.
        round: u64,
        /// Transcript in the specification.
        got: Digest,
        /// Transcript of the last round that this participant saw.
        known: Digest,
    },
    /// A round asks something that does not follow from the sums before.
    #[error("the coordinator asks something in round {round} that does not follow from the sums before it")]
    UnexpectedTask {
        /// Round.
        round: u64,
    },
    /// A party will not go on, for reasons of its own.
    #[error("{party} cannot go on with this job; its own log says why")]
    CannotGoOn {
        /// Who.
        party: PartyId,
    },
    /// An announced sum does not fit the tags of the contributions: it is another, or a contributor's tag is wrong.
    #[error(
        "the sum that the coordinator announced for round {round} is not the sum of the contributions and their tags"
    )]
    WrongSum {
        /// Round.
        round: u64,
    },
    /// A published result does not follow from the sums.
    #[error("the result that the coordinator published does not follow from the sums of the job")]
    WrongResult,
    /// The check key cannot be used.
    #[error("the check key that {party} made for the session does not open, or is not the one that it committed to")]
    CheckKey {
        /// Who made it.
        party: PartyId,
    },
    /// Confirmed with a check key that it should not have made, or without the one that it should.
    #[error(
        "the confirmation of {party} must carry a check key for every party if it is the first of the roster, else none"
    )]
    CheckKeyPresence {
        /// Who.
        party: PartyId,
    },
    /// The same question about another set of parties, after it was answered for one.
    #[error(
        "round {round} repeats a question that this committee member answered in round {before} for other contributors; \
         the difference of the two sums would be a single party's"
    )]
    SameQuestion {
        /// The later round.
        round: u64,
        /// The round that was answered.
        before: u64,
    },
    /// Too few survivors to answer for.
    #[error("the survivor set of round {round} has {got} parties; this committee answers for at least {needed}")]
    TooFewSurvivors {
        /// Round.
        round: u64,
        /// Size of the set.
        got: u32,
        /// Least size.
        needed: u32,
    },
    /// The committee was asked twice, for different sets.
    #[error("a committee member answers once per round: round {round} was already answered for another survivor set")]
    SecondSurvivorSet {
        /// Round.
        round: u64,
    },
    /// The sealed share delivered is not the one that the contributor signed.
    #[error("the sealed key share of {party} is not the one that it signed")]
    ShareDigest {
        /// Whose share.
        party: PartyId,
    },
    /// Number of shares does not match the committee.
    #[error("{party} sent {got} sealed key shares for a committee of {needed}")]
    ShareCount {
        /// Who.
        party: PartyId,
        /// Shares.
        got: usize,
        /// Members.
        needed: usize,
    },
    /// A sealed key share is larger than one can be.
    #[error("{party} sent a sealed key share of {got} bytes; this round's shares have {needed}")]
    ShareSize {
        /// Who.
        party: PartyId,
        /// Bytes.
        got: usize,
        /// Bytes expected.
        needed: usize,
    },
    /// A sealed share does not open or is no share.
    #[error("the key share that {party} sealed for {receiver} cannot be opened")]
    ShareUnreadable {
        /// Who sealed it.
        party: PartyId,
        /// For whom.
        receiver: PartyId,
    },
    /// A ciphertext of the wrong size.
    #[error("{party} announced a ciphertext of {got} bytes; this round's has {needed}")]
    CiphertextSize {
        /// Who.
        party: PartyId,
        /// Bytes announced.
        got: u64,
        /// Bytes expected.
        needed: u64,
    },
    /// The ciphertext stream does not match its commitment.
    #[error("the ciphertext of {party} does not match the commitment that it signed")]
    Commitment {
        /// Who.
        party: PartyId,
    },
    /// The ciphertext is not a vector of residues.
    #[error("the ciphertext of {party} is malformed in chunk {chunk}")]
    Malformed {
        /// Who.
        party: PartyId,
        /// Index of the chunk.
        chunk: usize,
    },
    /// A contribution that names another head of the journal than its round's.
    #[error("{party} signed another head of the journal than the one that this round began with")]
    PinnedJournal {
        /// Who.
        party: PartyId,
    },
    /// A second, different contribution.
    #[error("{party} sent a second, different contribution for round {round}")]
    SecondContribution {
        /// Who.
        party: PartyId,
        /// Round.
        round: u64,
    },
    /// An answer from outside the committee.
    #[error("{party} is not in the committee of this session")]
    NotInCommittee {
        /// Who.
        party: PartyId,
    },
    /// An answer of the wrong size or with values out of range.
    #[error("{party} sent an answer that is not a sum of key shares")]
    MalformedAnswer {
        /// Who.
        party: PartyId,
    },
    /// An answer for another survivor set.
    #[error("{party} answered for another survivor set")]
    OtherSurvivorSet {
        /// Who.
        party: PartyId,
    },
    /// The announced parameters do not follow from the task.
    #[error("the coordinator announced sum parameters that do not follow from the task of round {round}")]
    Parameters {
        /// Round.
        round: u64,
    },
    /// The task cannot be read.
    #[error("the coordinator sent a task for round {round} that cannot be read")]
    Task {
        /// Round.
        round: u64,
    },
    /// A party without whom the job makes no sense is not in the roster.
    #[error("the coordinator's roster leaves out {party}, without whom this job cannot be done")]
    LeftOut {
        /// Who.
        party: PartyId,
    },
    /// A message of the wrong kind of job.
    #[error("the coordinator sent a {message}, which a job of this kind does not have")]
    OtherKind {
        /// Which message.
        message: &'static str,
    },
    /// A parcel for another exchange than the one that is open.
    #[error("{party} signed a parcel for another exchange than number {round}, or for another history")]
    OtherExchange {
        /// Who.
        party: PartyId,
        /// Exchange that is open.
        round: u64,
    },
    /// Too much in a parcel.
    #[error("{party} sent a parcel with {got} {what}; at most {most} are accepted")]
    ParcelSize {
        /// Who.
        party: PartyId,
        /// Of what.
        what: &'static str,
        /// How many.
        got: u64,
        /// How many at most.
        most: u64,
    },
    /// A letter for nobody, for its own sender, for somebody outside the session, or without one key for each receiver.
    #[error(
        "letter {letter} in the parcel of {party} does not name other parties in order, with one sealed key for each"
    )]
    LetterReceivers {
        /// Who.
        party: PartyId,
        /// Which letter.
        letter: usize,
    },
    /// A letter's body is not the one whose digest was signed.
    #[error("letter {letter} of {party} is not the one that it signed")]
    LetterDigest {
        /// Who signed.
        party: PartyId,
        /// Which letter.
        letter: usize,
    },
    /// A letter that its sender signed cannot be opened.
    #[error("a letter of {party} for {receiver} cannot be opened")]
    LetterUnreadable {
        /// Who sealed it.
        party: PartyId,
        /// For whom.
        receiver: PartyId,
    },
    /// A second, different parcel.
    #[error("{party} sent a second, different parcel for exchange {round}")]
    SecondParcel {
        /// Who.
        party: PartyId,
        /// Exchange.
        round: u64,
    },
    /// The parcels of a closed exchange are not one of each party, or do not lead to the transcript that is built upon.
    #[error(
        "the parcels that the coordinator shows of exchange {round} are not those of all parties, or not those that follow"
    )]
    ClosedExchange {
        /// Exchange.
        round: u64,
    },
    /// Among the parcels of a closed exchange is not the one that this participant sent.
    #[error("the coordinator does not show the parcel that {party} sent in exchange {round}")]
    OwnParcel {
        /// Us.
        party: PartyId,
        /// Exchange.
        round: u64,
    },
    /// Letters that were not asked for, or fewer than there are.
    #[error("the coordinator did not show exactly the letters of exchange {round} that are for this participant")]
    OtherLetters {
        /// Exchange.
        round: u64,
    },
    /// The work itself cannot go on with what was received.
    #[error("{reason}")]
    Work {
        /// Whose fault it is.
        fault: Fault,
        /// For everybody, without figures of rows.
        reason: String,
    },
    /// The job does not allow a secure sum at all.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

/// What is wrong with a coordinator's certificate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IdentityErrorOrRole {
    /// It does not verify.
    #[error("{0}")]
    Identity(IdentityError),
    /// It verifies, for another role or federation.
    #[error("it is for role {role} in federation {federation}")]
    Role {
        /// Role found.
        role: String,
        /// Federation found.
        federation: String,
    },
    /// It binds no Ed25519 key.
    #[error("it binds no Ed25519 signing key")]
    NoSigningKey,
}

impl Violation {
    /// The same in a message that the coordinator passed on. It has verified every part of it, or should have: what is wrong
    /// with another party's part is the coordinator's fault, and never shown to be that party's.
    pub fn relayed(self, message: &'static str) -> Self {
        match self.fault() {
            Fault::Participant(_) => Self::Relayed { message, source: Box::new(self) },
            _ => self,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        use Violation as V;
        match self {
            V::Certificate { party, .. }
            | V::CertificateNames { party, .. }
            | V::Signature { party, .. }
            | V::NotInvited { party }
            | V::ReasonTooLong { party }
            | V::NotInRoster { party }
            | V::SharedKey { party }
            | V::SealingKey { party }
            | V::Beacon { party }
            | V::ShareCount { party, .. }
            | V::ShareSize { party, .. }
            | V::ShareUnreadable { party, .. }
            | V::CiphertextSize { party, .. }
            | V::Commitment { party }
            | V::Malformed { party, .. }
            | V::SecondContribution { party, .. }
            | V::NotInCommittee { party }
            | V::MalformedAnswer { party }
            | V::CannotGoOn { party }
            | V::PinnedJournal { party }
            | V::ShareDigest { party }
            | V::OtherRound { party, .. }
            | V::CheckKey { party }
            | V::CheckKeyPresence { party }
            | V::OtherExchange { party, .. }
            | V::ParcelSize { party, .. }
            | V::LetterReceivers { party, .. }
            | V::LetterDigest { party, .. }
            | V::LetterUnreadable { party, .. }
            | V::SecondParcel { party, .. }
            | V::OtherSurvivorSet { party } => Fault::Participant(party.clone()),
            V::CoordinatorCertificate { .. }
            | V::CoordinatorSignature { .. }
            | V::RosterOrder { .. }
            | V::OwnEntry { .. }
            | V::CommitteeRule
            | V::Confirmation { .. }
            | V::OtherJob { .. }
            | V::OtherSession { .. }
            | V::OtherSpec { .. }
            | V::StaleRound { .. }
            | V::SecondSpec { .. }
            | V::TooFewSurvivors { .. }
            | V::SecondSurvivorSet { .. }
            | V::OtherHistory { .. }
            | V::Checkpoint { .. }
            | V::NoCheckpoint { .. }
            | V::Rewritten { .. }
            | V::OtherJournal { .. }
            | V::UnexpectedTask { .. }
            | V::WrongResult
            | V::SameQuestion { .. }
            | V::Relayed { .. }
            | V::LeftOut { .. }
            | V::OtherKind { .. }
            | V::ClosedExchange { .. }
            | V::OwnParcel { .. }
            | V::OtherLetters { .. }
            | V::Parameters { .. }
            | V::Task { .. } => Fault::Coordinator,
            V::WrongSum { .. } => Fault::CoordinatorOrContributor,
            V::Work { fault, .. } => fault.clone(),
            V::Capacity(_) => Fault::Job,
        }
    }
}
