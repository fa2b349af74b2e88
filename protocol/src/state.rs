//! The coordinator's side of a job, as decide and apply.
//!
//! [`Job::decide`] says which events a command leads to and changes nothing; [`Job::apply`] takes an event that is already
//! in the journal and cannot fail. [`Command::Tick`] asks what follows now, from what is known and from the time: the
//! driver repeats it until nothing does, so that a coordinator killed between any two events goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use haihe_privacy::{
    digest::{Digest, Transcript},
    secure_sum::SumParameters,
};

use crate::{
    error::Violation,
    horizontal::{Next, Plan},
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::{self, Entry, Event, JournalError},
    message::{Answer, Contribution, RoundSpec, SurvivorSet, Verified},
    roster::{Confirmation, Decline, Join, Roster, RosterKeys, Session, Trust},
};

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
    /// A contribution broke a rule.
    Reject {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
        /// The rule, in words.
        reason: String,
    },
    /// A contribution came after its round had closed.
    Late {
        /// Who sent it.
        party: PartyId,
        /// Round.
        round: u64,
    },
    /// A committee member answered.
    Answer(Verified<Answer>),
    /// The driver opened the sum that [`Job::ready_to_open`] asked for.
    Opened {
        /// The sum, dequantised.
        sum: Vec<f64>,
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
                Receipt::Late(format!("round {round} is closed; the contribution is counted as late and not used"))
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

/// Contributions counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted.
    pub accepted: u64,
    /// Rejected.
    pub rejected: u64,
    /// Late.
    pub late: u64,
    /// Rounds whose sum was opened.
    pub rounds_closed: u64,
    /// Rounds lost.
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
    /// Finished.
    Finished {
        /// The result, JSON.
        result_json: String,
        /// When.
        at: Timestamp,
        /// Transcript of the last round.
        transcript: Digest,
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
    /// The job is over.
    Closed {
        /// `Ok` with the result's JSON and last transcript, or why it stopped.
        outcome: Result<(String, Digest), (bool, String)>,
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
        let Event::JobOpened { job, toml, by, deadline } = first.event()? else {
            return Err(JournalError::NoOpening);
        };
        let spec = JobSpec::parse(&toml).map_err(|problems| JournalError::Unreadable {
            sequence: 0,
            detail: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        let mut state = Self {
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
        };
        for entry in rest {
            state.apply(entry.at, entry.event()?);
        }
        Ok(state)
    }

    /// What never changes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where the job stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Contributions counted apart.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes received from a party: ciphertexts, sealed shares, answers.
    pub fn bytes_from(&self, party: &PartyId) -> u64 {
        self.bytes.get(party).copied().unwrap_or(0)
    }

    /// One line per closed round.
    pub fn history(&self) -> &[crate::horizontal::Summary] {
        &self.history
    }

    /// The session, once it is open.
    pub fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Collecting(c) => Some(&c.running.session),
            Phase::Opening(o) => Some(&o.running.session),
            _ => None,
        }
    }

    /// The plan, once the session is open.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Collecting(c) => Some(&c.running.plan),
            Phase::Opening(o) => Some(&o.running.plan),
            _ => None,
        }
    }

    /// The roster that is being confirmed, with its keys.
    pub fn proposal(&self) -> Option<(&Roster, &RosterKeys)> {
        match &self.phase {
            Phase::Confirming(c) => Some((&c.roster, &c.keys)),
            _ => None,
        }
    }

    /// The round that takes contributions now.
    pub fn open_round(&self) -> Option<&RoundSpec> {
        match &self.phase {
            Phase::Collecting(c) => c.open.as_ref(),
            _ => None,
        }
    }

    /// The contributions that are in the running sum or will be: accepted ones of the present round.
    pub fn accepted(&self) -> Vec<&PartyId> {
        match &self.phase {
            Phase::Collecting(c) => c.accepted.keys().collect(),
            Phase::Opening(o) => o.survivors.survivors.iter().map(|s| &s.party).collect(),
            _ => Vec::new(),
        }
    }

    /// The contribution of `party` to the present round, if it was accepted.
    pub fn accepted_from(&self, party: &PartyId) -> Option<&Contribution> {
        match &self.phase {
            Phase::Collecting(c) => c.accepted.get(party),
            Phase::Opening(o) => o.survivors.survivors.iter().find(|s| s.party == *party),
            _ => None,
        }
    }

    /// The round and survivor set that the committee is asked to answer for.
    pub fn asked(&self) -> Option<(&RoundSpec, &Digest, &Session)> {
        match &self.phase {
            Phase::Opening(o) => Some((&o.spec, &o.digest, &o.running.session)),
            _ => None,
        }
    }

    /// True once nothing more can happen.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. } | Phase::Stopped { .. })
    }

    /// Number of the present or last round.
    pub fn round(&self) -> u64 {
        match &self.phase {
            Phase::Collecting(c) => c.round,
            Phase::Opening(o) => o.spec.round,
            _ => self.counters.rounds_closed + self.counters.rounds_lost,
        }
    }

    /// Counts roster proposals.
    pub fn attempt(&self) -> u32 {
        match &self.phase {
            Phase::Confirming(c) => c.roster.attempt,
            _ => 0,
        }
    }

    /// One word for the phase.
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Gathering(_) => "gathering",
            Phase::Confirming(_) => "confirming",
            Phase::Collecting(_) => "collecting",
            Phase::Opening(_) => "opening",
            Phase::Finished { .. } => "finished",
            Phase::Stopped { cancelled: true, .. } => "cancelled",
            Phase::Stopped { .. } => "failed",
        }
    }

    /// What the job waits for, in words that name the parties.
    pub fn awaiting(&self) -> String {
        let list = |names: Vec<&PartyId>| names.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(", ");
        match &self.phase {
            Phase::Gathering(g) => {
                let open = self.head.spec.job.parties.iter();
                let open = open.filter(|p| !g.joined.contains_key(p) && !self.declined.contains_key(p));
                format!("waiting for {} to join or decline", list(open.collect()))
            }
            Phase::Confirming(c) => {
                let open = c.roster.entries.iter().map(|e| &e.party).filter(|p| !c.confirmed.contains_key(p));
                format!("waiting for {} to confirm the roster", list(open.collect()))
            }
            Phase::Collecting(c) => match &c.open {
                None => "opening the next round".to_owned(),
                Some(_) => {
                    let open = c.running.session.roster().entries.iter().map(|e| &e.party);
                    let open = open.filter(|p| !c.accepted.contains_key(p));
                    format!("round {}: waiting for the contribution of {}", c.round, list(open.collect()))
                }
            },
            Phase::Opening(o) => {
                let open = o.missing_answers();
                format!("round {}: waiting for the answer of {}", o.spec.round, list(open))
            }
            Phase::Finished { .. } => "finished".to_owned(),
            Phase::Stopped { reason, .. } => reason.clone(),
        }
    }

    /// One word for what the job has of a party.
    pub fn party_state(&self, party: &PartyId) -> (&'static str, String) {
        if let Some(decline) = self.declined.get(party) {
            return ("declined", decline.reason.clone());
        }
        let word = match &self.phase {
            Phase::Gathering(g) if g.joined.contains_key(party) => "joined",
            Phase::Gathering(_) => "invited",
            Phase::Confirming(c) if c.confirmed.contains_key(party) => "confirmed",
            Phase::Confirming(c) if c.roster.entries.iter().any(|e| e.party == *party) => "joined",
            Phase::Collecting(c) if c.running.session.index_of(party).is_err() => "absent",
            Phase::Collecting(c) if c.accepted.contains_key(party) => "contributed",
            Phase::Collecting(c) if c.running.absent.contains(party) => "absent",
            Phase::Collecting(_) => "contributing",
            Phase::Opening(o) if o.answers.contains_key(party) => "answered",
            Phase::Opening(o) if o.survivors.survivors.iter().any(|s| s.party == *party) => "contributed",
            Phase::Finished { .. } | Phase::Stopped { .. } => "done",
            _ => "absent",
        };
        (word, String::new())
    }

    /// What `party` is asked to do now. Depends on the state alone: a participant that missed a directive missed nothing.
    pub fn directive(&self, party: &PartyId) -> Directive {
        let wait = || Directive::Wait { awaiting: self.awaiting() };
        match &self.phase {
            _ if !self.asks(party) => wait(),
            Phase::Gathering(g) => Directive::Offer { deadline: g.deadline },
            Phase::Confirming(c) => Directive::Confirm(c.roster.clone()),
            Phase::Collecting(c) => match &c.open {
                Some(spec) => Directive::Contribute { spec: spec.clone(), session: c.running.session.clone() },
                None => wait(),
            },
            Phase::Opening(o) => {
                let session = &o.running.session;
                match session.index_of(party).ok().and_then(|i| session.committee_position(i)) {
                    Some(position) => Directive::Answer {
                        spec: o.spec.clone(),
                        survivors: o.survivors.clone(),
                        position,
                        session: session.clone(),
                    },
                    None => wait(),
                }
            }
            Phase::Finished { .. } if !self.members.contains(party) => {
                let reason = "the job finished without this party; its result is not for it".to_owned();
                Directive::Closed { outcome: Err((false, reason)) }
            }
            Phase::Finished { result_json, transcript, .. } => {
                Directive::Closed { outcome: Ok((result_json.clone(), *transcript)) }
            }
            Phase::Stopped { reason, cancelled, .. } => {
                Directive::Closed { outcome: Err((*cancelled, reason.clone())) }
            }
        }
    }

    /// True if `party` is asked for something (or told the end), as opposed to waiting: [`Job::directive`] without its cost.
    pub fn asks(&self, party: &PartyId) -> bool {
        match &self.phase {
            Phase::Gathering(g) => !g.joined.contains_key(party) && !self.declined.contains_key(party),
            Phase::Confirming(c) => {
                c.roster.entries.iter().any(|e| e.party == *party) && !c.confirmed.contains_key(party)
            }
            Phase::Collecting(c) => {
                c.open.is_some() && c.running.session.index_of(party).is_ok() && !c.accepted.contains_key(party)
            }
            Phase::Opening(o) => {
                let session = &o.running.session;
                let member = session.index_of(party).is_ok_and(|i| session.committee_position(i).is_some());
                member && !o.answers.contains_key(party)
            }
            Phase::Finished { .. } | Phase::Stopped { .. } => true,
        }
    }

    /// The next moment at which [`Command::Tick`] may lead to something although nobody said anything.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Gathering(g) => Some(g.deadline),
            Phase::Confirming(c) => Some(c.roster.deadline),
            Phase::Collecting(c) => c.open.as_ref().map(|s| s.deadline),
            Phase::Opening(o) => Some(o.survivors.deadline),
            _ => None,
        }
    }

    /// The sum that may be opened now: everybody expected answered, or time is up and enough did.
    pub fn ready_to_open(&self, now: Timestamp) -> Option<OpenRequest> {
        let Phase::Opening(o) = &self.phase else { return None };
        let expected_silent = o.missing_answers().iter().any(|p| !o.running.absent.contains(p));
        let enough = o.answers.len() >= o.running.session.roster().rule.answers_needed() as usize;
        if !enough || (expected_silent && now < o.survivors.deadline) {
            return None;
        }
        let session = &o.running.session;
        let answers = o.answers.values().filter_map(|a| {
            let position = session.committee_position(session.index_of(&a.party).ok()?)?;
            Some((position, a.party.clone(), a.share_sum.clone()))
        });
        Some(OpenRequest {
            spec: o.spec.clone(),
            survivors: o.survivors.survivors.iter().map(|s| s.party.clone()).collect(),
            answers: answers.collect(),
            session: session.clone(),
            plan: o.running.plan.clone(),
        })
    }

    /// What should happen. Never changes state.
    pub fn decide(&self, now: Timestamp, command: Command) -> Result<Vec<Event>, Refusal> {
        if let Command::Cancel { by, reason } = command {
            let over = self.is_over();
            return Ok(if over { Vec::new() } else { vec![Event::JobCancelled { by, reason }] });
        }
        match command {
            Command::Join(join) => self.decide_join(join),
            Command::Decline(decline) => self.decide_decline(decline),
            Command::Confirm(confirmation) => self.decide_confirm(confirmation),
            Command::Contribute { contribution, bytes } => Ok(self.decide_contribute(contribution, bytes)),
            Command::Reject { party, round, reason } => Ok(self.decide_reject(party, round, reason)),
            Command::Late { party, round } => Ok(self.decide_late(party, round)),
            Command::Answer(answer) => Ok(self.decide_answer(answer)),
            Command::Opened { sum, wrong_answers } => self.decide_opened(&sum, wrong_answers),
            Command::NotOpened { reason } => match &self.phase {
                Phase::Opening(o) => Ok(vec![Event::RoundLost { round: o.spec.round, reason, absent: Vec::new() }]),
                _ => Ok(Vec::new()),
            },
            Command::Tick => Ok(self.decide_tick(now)),
            Command::Cancel { .. } => unreachable!("handled above"),
        }
    }

    fn refuse(&self, message: &'static str) -> Refusal {
        Refusal::Phase { phase: self.phase_name(), message }
    }

    fn decide_join(&self, join: Verified<Join>) -> Result<Vec<Event>, Refusal> {
        if self.declined.contains_key(&join.party) {
            return Err(Refusal::Contradiction { party: join.party.clone(), done: "declined" });
        }
        let same = |known: Option<&Join>| known.is_some_and(|k| *k == *join);
        match &self.phase {
            Phase::Gathering(g) if same(g.joined.get(&join.party)) => Ok(Vec::new()),
            Phase::Gathering(g) if g.joined.contains_key(&join.party) => {
                Err(Refusal::Contradiction { party: join.party.clone(), done: "joined with other keys" })
            }
            Phase::Gathering(_) => Ok(vec![Event::Joined { join: join.into_inner() }]),
            Phase::Confirming(c) if same(c.roster.entries.iter().find(|e| e.party == join.party)) => Ok(Vec::new()),
            _ => Err(self.refuse("join")),
        }
    }

    fn decide_decline(&self, decline: Verified<Decline>) -> Result<Vec<Event>, Refusal> {
        match &self.phase {
            _ if self.declined.contains_key(&decline.party) => Ok(Vec::new()),
            Phase::Gathering(g) if g.joined.contains_key(&decline.party) => {
                Err(Refusal::Contradiction { party: decline.party.clone(), done: "joined" })
            }
            Phase::Gathering(_) => Ok(vec![Event::Declined { decline: decline.into_inner() }]),
            _ => Err(self.refuse("decline")),
        }
    }

    fn decide_confirm(&self, confirmation: Verified<Confirmation>) -> Result<Vec<Event>, Refusal> {
        match &self.phase {
            Phase::Confirming(c) if c.confirmed.contains_key(&confirmation.party) => Ok(Vec::new()),
            Phase::Confirming(c) if c.roster.digest() == confirmation.session => {
                Ok(vec![Event::Confirmed { confirmation: confirmation.into_inner() }])
            }
            Phase::Collecting(c) if c.running.session.digest() == confirmation.session => Ok(Vec::new()),
            _ => Err(self.refuse("confirmation")),
        }
    }

    fn decide_contribute(&self, contribution: Verified<Contribution>, bytes: u64) -> Vec<Event> {
        let (party, round) = (contribution.party.clone(), contribution.round);
        if let Some(known) = self.accepted_from(&party)
            && known.round == round
        {
            if *known == *contribution {
                return Vec::new();
            }
            let violation = Violation::SecondContribution { party: party.clone(), round };
            return self.decide_reject(party, round, violation.to_string());
        }
        match self.open_round() {
            Some(spec) if spec.round == round => {
                vec![Event::ContributionAccepted { contribution: contribution.into_inner(), bytes }]
            }
            _ => self.decide_late(party, round),
        }
    }

    /// Late contributions are recorded once per party and round, for the same reason as rejections.
    fn decide_late(&self, party: PartyId, round: u64) -> Vec<Event> {
        let known = self.late.get(&party).is_some_and(|last| *last >= round);
        if self.is_over() || known || round > self.round() || !self.members.contains(&party) {
            return Vec::new();
        }
        vec![Event::ContributionLate { party, round }]
    }

    /// Rejections are recorded once per party and round, so that nobody can flood the journal.
    fn decide_reject(&self, party: PartyId, round: u64, reason: String) -> Vec<Event> {
        match &self.phase {
            _ if !self.members.contains(&party) => Vec::new(),
            Phase::Collecting(c) if c.rejected.contains(&party) => Vec::new(),
            _ => vec![Event::ContributionRejected { party, round, reason }],
        }
    }

    fn decide_answer(&self, answer: Verified<Answer>) -> Vec<Event> {
        match &self.phase {
            Phase::Opening(o) if o.digest == answer.survivors && !o.answers.contains_key(&answer.party) => {
                vec![Event::Answered { answer: answer.into_inner() }]
            }
            _ => Vec::new(),
        }
    }

    fn decide_opened(&self, sum: &[f64], wrong_answers: Vec<PartyId>) -> Result<Vec<Event>, Refusal> {
        let Phase::Opening(o) = &self.phase else { return Err(self.refuse("sum")) };
        let mut t = Transcript::new("haihe/v1/sum").u64(sum.len() as u64);
        for value in sum {
            t = t.u64(value.to_bits());
        }
        let digest = t.finish();
        let round = o.spec.round;
        let mut transcript = Transcript::new("haihe/v1/round-transcript")
            .digest(&o.running.transcript)
            .digest(&o.spec.digest())
            .digest(&o.digest);
        for answer in o.answers.values() {
            transcript = transcript.bytes(answer.signature.as_bytes());
        }
        let transcript = transcript.digest(&digest).finish();
        let entries = o.running.session.roster().entries.iter();
        let parties: Vec<PartyId> = entries.map(|e| e.party.clone()).collect();
        let opened = |summary, plan| Event::SumOpened { round, sum: digest, wrong_answers, transcript, summary, plan };
        match o.running.plan.clone().absorb(&self.head.spec, sum, &parties) {
            Ok((summary, Next::Continue(plan))) => Ok(vec![opened(summary, Some(*plan))]),
            Ok((summary, Next::Finished(result_json))) => {
                let result = Transcript::new("haihe/v1/result").str(&result_json).finish();
                Ok(vec![opened(summary, None), Event::JobFinished { result, result_json }])
            }
            Err(error) => Ok(vec![Event::JobFailed { reason: error.to_string() }]),
        }
    }

    fn decide_tick(&self, now: Timestamp) -> Vec<Event> {
        match &self.phase {
            Phase::Gathering(g) => self.tick_gathering(g, now),
            Phase::Confirming(c) => self.tick_confirming(c, now),
            Phase::Collecting(c) => self.tick_collecting(c, now),
            Phase::Opening(o) if now >= o.survivors.deadline && self.ready_to_open(now).is_none() => {
                let absent: Vec<PartyId> = o.missing_answers().into_iter().cloned().collect();
                let reason = format!(
                    "{} of {} answers came in time, {} are needed; {} did not answer",
                    o.answers.len(),
                    o.running.session.committee().len(),
                    o.running.session.roster().rule.answers_needed(),
                    names(&absent)
                );
                vec![Event::RoundLost { round: o.spec.round, reason, absent }]
            }
            _ => Vec::new(),
        }
    }

    fn tick_gathering(&self, g: &Gathering, now: Timestamp) -> Vec<Event> {
        let invited = self.head.spec.job.parties.len();
        if g.joined.len() + self.declined.len() < invited && now < g.deadline {
            return Vec::new();
        }
        let entries: Vec<Join> = g.joined.values().cloned().collect();
        vec![self.propose(0, entries, now, "join").unwrap_or_else(|reason| {
            let mut reason = reason;
            for (party, decline) in &self.declined {
                reason.push_str(&format!("\n{party} declined: {}", decline.reason));
            }
            Event::JobFailed { reason }
        })]
    }

    fn propose(&self, attempt: u32, entries: Vec<Join>, now: Timestamp, step: &str) -> Result<Event, String> {
        // An entry that does not hold (an expired certificate, somebody else's key) costs its party its place, not the job.
        let entries = Roster::sound_entries(entries, &self.head.job, &self.head.spec, &self.trust, now);
        let parties = entries.len() as u32;
        let present: BTreeSet<&PartyId> = entries.iter().map(|e| &e.party).collect();
        let silent = self.head.spec.job.parties.iter();
        let silent: Vec<PartyId> =
            silent.filter(|p| !present.contains(p) && !self.declined.contains_key(p)).cloned().collect();
        let needed = self.head.spec.min_parties();
        if parties < needed {
            let mut reason = format!("{parties} parties take part, the job needs {needed}");
            if !silent.is_empty() {
                reason.push_str(&format!("; {} did not {step} in time", names(&silent)));
            }
            return Err(reason);
        }
        let rule = self.head.spec.committee_rule(parties).map_err(|e| e.to_string())?;
        let roster = Roster {
            job: self.head.job,
            attempt,
            entries,
            rule,
            minimum_contributors: needed.max(rule.minimum_contributors()),
            coordinator_certificate: self.coordinator_certificate.clone(),
            deadline: now.plus_seconds(self.head.spec.deadlines.confirm_seconds),
        };
        match roster.verify(&self.head.job, &self.head.spec, &self.trust, now) {
            Ok(_) => Ok(Event::RosterProposed { roster }),
            Err(violation) => Err(violation.to_string()),
        }
    }

    /// The session of a roster that everybody confirmed.
    fn establish(&self, c: &Confirming, at: Timestamp) -> Result<Session, Violation> {
        let confirmations = c.confirmed.values().cloned().collect();
        Session::establish(c.roster.clone(), confirmations, &self.head.job, &self.head.spec, &self.trust, at)
    }

    fn tick_confirming(&self, c: &Confirming, now: Timestamp) -> Vec<Event> {
        if c.confirmed.len() == c.roster.entries.len() {
            return vec![match self.establish(c, now) {
                Ok(session) => Event::SessionOpened { session: session.digest() },
                Err(violation) => Event::JobFailed { reason: violation.to_string() },
            }];
        }
        if now < c.roster.deadline {
            return Vec::new();
        }
        let entries = c.roster.entries.iter().filter(|e| c.confirmed.contains_key(&e.party)).cloned().collect();
        let event = self.propose(c.roster.attempt + 1, entries, now, "confirm the roster");
        vec![event.unwrap_or_else(|reason| Event::JobFailed { reason })]
    }

    fn tick_collecting(&self, c: &Collecting, now: Timestamp) -> Vec<Event> {
        let session = &c.running.session;
        let Some(spec) = &c.open else {
            return vec![self.open_next(c, now)];
        };
        let waiting: Vec<PartyId> = session
            .roster()
            .entries
            .iter()
            .map(|e| &e.party)
            .filter(|p| !c.accepted.contains_key(p))
            .cloned()
            .collect();
        let quorum = c.accepted.len() >= session.roster().minimum_contributors as usize;
        let expected = waiting.iter().any(|p| !c.running.absent.contains(p));
        if quorum && (!expected || now >= spec.deadline) {
            let survivors = SurvivorSet {
                round: spec.round,
                spec: spec.digest(),
                survivors: c.accepted.values().cloned().collect(),
                deadline: now.plus_seconds(self.head.spec.deadlines.answer_seconds),
            };
            return vec![Event::ContributionsClosed {
                round: spec.round,
                survivors: c.accepted.keys().cloned().collect(),
                absent: waiting,
                digest: survivors.digest(),
                deadline: survivors.deadline,
            }];
        }
        if now < spec.deadline {
            return Vec::new();
        }
        let reason = format!(
            "{} of {} contributions came in time, {} are needed; {} did not contribute",
            c.accepted.len(),
            session.parties(),
            session.roster().minimum_contributors,
            names(&waiting)
        );
        vec![Event::RoundLost { round: spec.round, reason, absent: waiting }]
    }

    fn open_next(&self, c: &Collecting, now: Timestamp) -> Event {
        if c.running.lost >= self.head.spec.deadlines.attempts {
            let reason = format!(
                "{} rounds in a row were lost; last waited in vain for {}. Bring them back and submit the job again, or \
                 lower job.min_parties",
                c.running.lost,
                names(&c.running.absent.iter().cloned().collect::<Vec<_>>())
            );
            return Event::JobFailed { reason };
        }
        let session = &c.running.session;
        let task = c.running.plan.task();
        let parameters = task.segments(&self.head.spec, session.parties()).map_err(|e| e.to_string()).and_then(|s| {
            let dimension = s.iter().map(|s| s.len).sum();
            SumParameters::choose(dimension, session.parties(), self.head.spec.secure_sum.value_bits)
                .map_err(|e| e.to_string())
        });
        match parameters {
            Err(reason) => Event::JobFailed { reason },
            Ok(parameters) => Event::RoundOpened {
                spec: RoundSpec {
                    job: self.head.job,
                    session: session.digest(),
                    round: c.round + 1,
                    task_json: task.to_json(),
                    parameters,
                    previous: c.running.transcript,
                    deadline: now.plus_seconds(self.head.spec.deadlines.round_seconds),
                },
            },
        }
    }

    /// What did happen. Total: an event that does not fit the phase (it cannot come from [`Job::decide`]) changes nothing.
    pub fn apply(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::JobOpened { .. } => {}
            Event::Joined { join } => {
                if let Phase::Gathering(g) = &mut self.phase {
                    g.joined.insert(join.party.clone(), join);
                }
            }
            Event::Declined { decline } => {
                self.declined.insert(decline.party.clone(), decline);
            }
            Event::RosterProposed { roster } => {
                if let Ok(keys) = roster.verify(&self.head.job, &self.head.spec, &self.trust, at) {
                    self.phase = Phase::Confirming(Box::new(Confirming { roster, keys, confirmed: BTreeMap::new() }));
                }
            }
            Event::Confirmed { confirmation } => {
                if let Phase::Confirming(c) = &mut self.phase {
                    c.confirmed.insert(confirmation.party.clone(), confirmation);
                }
            }
            Event::SessionOpened { .. } => self.apply_session(at),
            Event::RoundOpened { spec } => {
                if let Phase::Collecting(c) = &mut self.phase {
                    c.round = spec.round;
                    c.open = Some(spec);
                    c.accepted.clear();
                    c.rejected.clear();
                }
            }
            Event::ContributionAccepted { contribution, bytes } => {
                self.counters.accepted += 1;
                *self.bytes.entry(contribution.party.clone()).or_default() += bytes;
                if let Phase::Collecting(c) = &mut self.phase {
                    c.running.absent.remove(&contribution.party);
                    c.accepted.insert(contribution.party.clone(), contribution);
                }
            }
            Event::ContributionRejected { party, .. } => {
                self.counters.rejected += 1;
                if let Phase::Collecting(c) = &mut self.phase {
                    c.rejected.insert(party);
                }
            }
            Event::ContributionLate { party, round } => {
                self.counters.late += 1;
                self.late.insert(party.clone(), round);
                if let Some(running) = self.running() {
                    running.absent.remove(&party);
                }
            }
            Event::ContributionsClosed { absent, digest, deadline, .. } => {
                self.apply_closed(absent, digest, deadline);
            }
            Event::Answered { answer } => {
                *self.bytes.entry(answer.party.clone()).or_default() += answer.share_sum.len() as u64;
                if let Phase::Opening(o) = &mut self.phase {
                    o.running.absent.remove(&answer.party);
                    o.answers.insert(answer.party.clone(), answer);
                }
            }
            Event::SumOpened { transcript, summary, plan, .. } => self.apply_sum(transcript, summary, plan),
            Event::RoundLost { absent, .. } => self.apply_lost(absent),
            Event::JobFinished { result_json, .. } => {
                let transcript = self.running().map(|r| r.transcript).unwrap_or_else(Entry::genesis);
                self.phase = Phase::Finished { result_json, at, transcript };
            }
            Event::JobFailed { reason } => self.phase = Phase::Stopped { reason, cancelled: false, at },
            Event::JobCancelled { by, reason } => {
                let reason = format!("cancelled by {by}: {reason}");
                self.phase = Phase::Stopped { reason, cancelled: true, at };
            }
        }
    }

    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Collecting(c) => Some(&mut c.running),
            Phase::Opening(o) => Some(&mut o.running),
            _ => None,
        }
    }

    fn apply_session(&mut self, at: Timestamp) {
        let Phase::Confirming(c) = &self.phase else { return };
        if let Ok(session) = self.establish(c, at) {
            self.members = session.roster().entries.iter().map(|e| e.party.clone()).collect();
            let running = Running {
                transcript: session.digest(),
                plan: Plan::begin(&self.head.spec),
                session,
                absent: BTreeSet::new(),
                lost: 0,
            };
            self.phase = Phase::Collecting(Box::new(Collecting::between(running, 0)));
        }
    }

    fn apply_closed(&mut self, absent: Vec<PartyId>, digest: Digest, deadline: Timestamp) {
        let Phase::Collecting(c) = &self.phase else { return };
        let Some(spec) = c.open.clone() else { return };
        let mut running = c.running.clone();
        running.absent.extend(absent);
        let survivors = SurvivorSet {
            round: spec.round,
            spec: spec.digest(),
            survivors: c.accepted.values().cloned().collect(),
            deadline,
        };
        self.phase = Phase::Opening(Box::new(Opening { running, spec, survivors, digest, answers: BTreeMap::new() }));
    }

    fn apply_sum(&mut self, transcript: Digest, summary: crate::horizontal::Summary, plan: Option<Plan>) {
        let Phase::Opening(o) = &self.phase else { return };
        let mut running = o.running.clone();
        running.transcript = transcript;
        running.lost = 0;
        if let Some(plan) = plan {
            running.plan = plan;
        }
        self.counters.rounds_closed += 1;
        self.history.push(summary);
        self.phase = Phase::Collecting(Box::new(Collecting::between(running, o.spec.round)));
    }

    fn apply_lost(&mut self, absent: Vec<PartyId>) {
        let (mut running, round) = match &self.phase {
            Phase::Collecting(c) => (c.running.clone(), c.round),
            Phase::Opening(o) => (o.running.clone(), o.spec.round),
            _ => return,
        };
        running.absent.extend(absent);
        running.lost += 1;
        self.counters.rounds_lost += 1;
        self.phase = Phase::Collecting(Box::new(Collecting::between(running, round)));
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

fn names(parties: &[PartyId]) -> String {
    match parties {
        [] => "nobody".to_owned(),
        some => some.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", "),
    }
}
