//! The coordinator's side of a job, as decide and apply.
//!
//! [`Job::decide`] says which events a command leads to and changes nothing; [`Job::apply`] takes an event that is already
//! in the journal and cannot fail. [`Command::Tick`] asks what follows now, from what is known and from the time: the
//! driver repeats it until nothing does, so that a coordinator killed between any two events goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use haihe_privacy::digest::Digest;

use crate::{
    error::Violation,
    horizontal::{Next, Plan},
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::{self, Entry, Event, JournalError},
    message::{Answer, Contribution, Objection, RoundSpec, SurvivorSet, Verified},
    roster::{Confirmation, Decline, Join, Roster, RosterKeys, Session, Trust},
    vertical::exchange::ParcelHead,
};

mod admit;
mod apply;
mod decide;
mod exchange;
mod view;

pub use admit::Beside;
pub(crate) use admit::admits_result;
pub use exchange::Exchanging;

/// Something that a job is asked to take note of. Messages are verified before they become commands.
#[derive(Debug)]
pub enum Command {
    /// A participant wants to take part.
    Join(Verified<Join>),
    /// A participant does not.
    Decline(Verified<Decline>),
    /// A participant signed the roster.
    Confirm(Verified<Confirmation>),
    /// A contribution is in the store, whole, and matches its commitment.
    Contribute {
        /// Its signed head.
        contribution: Verified<Contribution>,
        /// Bytes received for it.
        bytes: u64,
    },
    /// A parcel's letters are in the store, whole, and match their digests.
    Parcel(Verified<ParcelHead>),
    /// A contribution or a parcel broke a rule.
    Reject {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
        /// The rule, in words.
        reason: String,
    },
    /// A contribution or a parcel came after its round had closed.
    Late {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
    },
    /// A committee member answered.
    Answer(Verified<Answer>),
    /// A participant objects to a round.
    Object(Verified<Objection>),
    /// The driver opened the sum that [`Job::ready_to_open`] asked for.
    Opened {
        /// The sum, as integers, with the slots of its tag.
        sum: Vec<u64>,
        /// Members whose answers were wrong.
        wrong_answers: Vec<PartyId>,
    },
    /// The driver could not open the sum.
    NotOpened {
        /// Why, in words.
        reason: String,
    },
    /// An operator cancels the job.
    Cancel {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// What follows now?
    Tick,
}

/// What a submission led to, for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Recorded.
    Accepted,
    /// Had been recorded before.
    AlreadyAccepted,
    /// Its phase is over.
    Late(String),
    /// Breaks a rule.
    Rejected(String),
}

impl Receipt {
    /// The receipt for a submission that led to these events.
    pub fn of(events: &[Event]) -> Self {
        match events.first() {
            None => Receipt::AlreadyAccepted,
            Some(Event::ContributionLate { round, .. }) => {
                Receipt::Late(format!("round {round} is closed; what came for it is counted as late and not used"))
            }
            Some(Event::ContributionRejected { reason, .. }) => Receipt::Rejected(reason.clone()),
            Some(_) => Receipt::Accepted,
        }
    }
}

/// Why a command is refused. Leaves no trace in the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job waits for something else.
    #[error("the job is {phase}; it does not take a {message} now")]
    Phase {
        /// Present phase.
        phase: &'static str,
        /// What was sent.
        message: &'static str,
    },
    /// The sender said the opposite before.
    #[error("{party} had already {done}; that cannot be changed for this job")]
    Contradiction {
        /// Who.
        party: PartyId,
        /// What it had done.
        done: &'static str,
    },
}

/// What never changes about a job.
#[derive(Clone, Debug)]
pub struct Head {
    /// Job.
    pub job: JobId,
    /// The job file.
    pub toml: String,
    /// The job file, read.
    pub spec: JobSpec,
    /// When it was opened.
    pub opened: Timestamp,
    /// Who submitted it.
    pub by: String,
}

/// Contributions, or parcels, counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted.
    pub accepted: u64,
    /// Rejected.
    pub rejected: u64,
    /// Late.
    pub late: u64,
    /// Rounds whose sum was opened; closed exchanges.
    pub rounds_closed: u64,
    /// Rounds lost; exchanges whose deadline passed without somebody.
    pub rounds_lost: u64,
}

/// A job and where it stands.
#[derive(Clone, Debug)]
pub struct Job {
    head: Head,
    trust: Trust,
    coordinator_certificate: Vec<u8>,
    phase: Phase,
    counters: Counters,
    bytes: BTreeMap<PartyId, u64>,
    declined: BTreeMap<PartyId, Decline>,
    /// Newest round for which each party was late.
    late: BTreeMap<PartyId, u64>,
    /// Who is in the session, once it is open.
    members: BTreeSet<PartyId>,
    /// One line per closed round.
    history: Vec<crate::horizontal::Summary>,
    /// What was asked in each closed round, who contributed, and the digest of the survivor set.
    closed: Vec<(RoundSpec, Vec<PartyId>, Digest)>,
}

/// Where a job stands. Each phase holds only what it needs.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Waiting for participants to join or decline.
    Gathering(Gathering),
    /// Waiting for the roster to be signed.
    Confirming(Box<Confirming>),
    /// Between rounds, or waiting for contributions.
    Collecting(Box<Collecting>),
    /// Waiting for the committee.
    Opening(Box<Opening>),
    /// Between the exchanges of a vertical job, or waiting for parcels.
    Exchanging(Box<Exchanging>),
    /// Finished.
    Finished {
        /// The result, JSON.
        result_json: String,
        /// When.
        at: Timestamp,
        /// Transcript of the last round.
        transcript: Digest,
        /// For parties that missed every round.
        session: Option<Box<Session>>,
        /// The last parcels of a vertical job: the label holder's carries the result.
        parcels: Vec<ParcelHead>,
    },
    /// Failed or cancelled.
    Stopped {
        /// Why.
        reason: String,
        /// By an operator?
        cancelled: bool,
        /// When.
        at: Timestamp,
    },
}

/// Waiting for participants to join or decline.
#[derive(Clone, Debug)]
pub struct Gathering {
    deadline: Timestamp,
    joined: BTreeMap<PartyId, Join>,
}

/// Waiting for the roster to be signed.
#[derive(Clone, Debug)]
pub struct Confirming {
    roster: Roster,
    keys: RosterKeys,
    confirmed: BTreeMap<PartyId, Confirmation>,
}

/// What lasts over the rounds of a session.
#[derive(Clone, Debug)]
struct Running {
    session: Session,
    plan: Plan,
    /// Transcript of the last closed round.
    transcript: Digest,
    /// Parties that were waited for in vain and have not been heard of since.
    absent: BTreeSet<PartyId>,
    /// Rounds lost in a row.
    lost: u32,
    /// Why parties will not go on with the present round.
    objections: BTreeMap<PartyId, Objection>,
    /// The contributors of a lost round for whom the committee was asked: members answer the same question only for the
    /// same contributors again, until a sum is opened.
    answered_for: Option<BTreeSet<PartyId>>,
}

/// Waiting for contributions; or, with no round, between rounds.
#[derive(Clone, Debug)]
pub struct Collecting {
    running: Running,
    /// The last round's number.
    round: u64,
    open: Option<RoundSpec>,
    accepted: BTreeMap<PartyId, Contribution>,
    rejected: BTreeSet<PartyId>,
}

/// Waiting for the committee's answers.
#[derive(Clone, Debug)]
pub struct Opening {
    running: Running,
    spec: RoundSpec,
    survivors: SurvivorSet,
    digest: Digest,
    answers: BTreeMap<PartyId, Answer>,
}

/// A sum that may be opened now.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Its round.
    pub spec: RoundSpec,
    /// Whose contributions were added.
    pub survivors: Vec<PartyId>,
    /// Position in the committee, party, and its encoded share sum.
    pub answers: Vec<(u32, PartyId, Vec<u8>)>,
    /// Session.
    pub session: Session,
    /// The plan whose task the sum answers.
    pub plan: Plan,
}

/// What one participant is asked to do now.
#[derive(Clone, Debug)]
pub enum Directive {
    /// Nothing.
    Wait {
        /// What the job waits for.
        awaiting: String,
    },
    /// Join or decline.
    Offer {
        /// When gathering ends.
        deadline: Timestamp,
    },
    /// Verify and sign this roster.
    Confirm(Roster),
    /// Contribute to this round.
    Contribute {
        /// Round.
        spec: RoundSpec,
        /// The session, for participants that have not pinned it.
        session: Session,
    },
    /// Answer for these survivors.
    Answer {
        /// Round.
        spec: RoundSpec,
        /// Survivors.
        survivors: SurvivorSet,
        /// The receiver's position in the committee.
        position: u32,
        /// The session, for participants that have not pinned it.
        session: Session,
    },
    /// Send a parcel, after the parcels of the exchange before and the letters in them were taken.
    Exchange {
        /// Number of the exchange.
        round: u64,
        /// Transcript of the exchange before; before the first, the session.
        previous: Digest,
        /// The parcels of the exchange before, in the roster's order.
        parcels: Vec<ParcelHead>,
        /// When parcels end.
        deadline: Timestamp,
        /// The session, for participants that have not pinned it.
        session: Session,
    },
    /// The job is over.
    Closed {
        /// `Ok` with the result's JSON and last transcript, or why it stopped.
        outcome: Result<(String, Digest), (bool, String)>,
        /// With a result: the session, for participants that have not pinned it.
        session: Option<Box<Session>>,
        /// With the result of a vertical job: the last parcels, in the roster's order.
        parcels: Vec<ParcelHead>,
    },
}

impl Job {
    /// The event that opens a job.
    pub fn open(spec: &JobSpec, toml: &str, by: &str, now: Timestamp) -> Event {
        Event::JobOpened {
            job: JobId::of(toml, now),
            toml: toml.to_owned(),
            by: by.to_owned(),
            deadline: now.plus_seconds(spec.deadlines.join_seconds),
        }
    }

    /// A job from its journal: verifies the chain, then applies every event.
    pub fn replay(entries: &[Entry], trust: Trust, coordinator_certificate: Vec<u8>) -> Result<Self, JournalError> {
        journal::verify(entries)?;
        let (first, rest) = entries.split_first().ok_or(JournalError::NoOpening)?;
        let mut state = Self::begin(first, trust, coordinator_certificate)?;
        for entry in rest {
            state.apply(entry.at, entry.event()?);
        }
        Ok(state)
    }

    /// A job from the entry that opens it.
    pub(crate) fn begin(first: &Entry, trust: Trust, coordinator_certificate: Vec<u8>) -> Result<Self, JournalError> {
        let Event::JobOpened { job, toml, by, deadline } = first.event()? else {
            return Err(JournalError::NoOpening);
        };
        let spec = JobSpec::parse(&toml).map_err(|problems| JournalError::Unreadable {
            sequence: 0,
            detail: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        Ok(Self {
            head: Head { job, toml, spec, opened: first.at, by },
            trust,
            coordinator_certificate,
            phase: Phase::Gathering(Gathering { deadline, joined: BTreeMap::new() }),
            counters: Counters::default(),
            bytes: BTreeMap::new(),
            declined: BTreeMap::new(),
            late: BTreeMap::new(),
            members: BTreeSet::new(),
            history: Vec::new(),
            closed: Vec::new(),
        })
    }
}

impl Collecting {
    fn between(running: Running, round: u64) -> Self {
        Self { running, round, open: None, accepted: BTreeMap::new(), rejected: BTreeSet::new() }
    }
}

impl Opening {
    fn missing_answers(&self) -> Vec<&PartyId> {
        let session = &self.running.session;
        let members = session.committee().iter().map(|i| session.party(*i));
        members.filter(|p| !self.answers.contains_key(p)).collect()
    }
}
