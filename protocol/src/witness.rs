//! A participant's own view of a job's learning: it follows every opened sum and knows what must be asked next.
//!
//! A [`Witness`] starts where the session starts, takes each [`ClosedRound`] that the coordinator shows, checks it with the
//! key that only participants have, and computes what the plan makes of it. So the coordinator can neither announce a wrong
//! sum nor a wrong model, nor ask a question that does not follow from the sums before, nor tell parties different things
//! without being noticed in the next round.

use haihe_privacy::{
    digest::{Digest, Transcript},
    secure_sum::CheckKey,
    sign::Signature,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::Violation,
    horizontal::{
        Next, Plan, Task, anomaly,
        network::{self, Training},
    },
    id::PartyId,
    job::JobSpec,
    message::RoundSpec,
    roster::Session,
};

/// A round whose sum was opened, as the coordinator shows it to the participants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedRound {
    /// What was asked.
    pub spec: RoundSpec,
    /// Whose contributions were added.
    pub contributors: Vec<PartyId>,
    /// Digest of the survivor set that the committee answered for.
    pub survivors: Digest,
    /// The sum, as integers; the last slots are the sum of the tags.
    pub sum: Vec<u64>,
}

/// Digest of an opened sum.
pub fn sum_digest(sum: &[u64]) -> Digest {
    let mut bytes = Vec::with_capacity(8 * sum.len());
    sum.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    Transcript::new("haihe/v1/sum").bytes(&bytes).finish()
}

/// Chains a closed round to those before it; every specification carries the chain's end.
pub fn round_transcript(previous: &Digest, spec: &Digest, survivors: &Digest, sum: &Digest) -> Digest {
    Transcript::new("haihe/v1/round-transcript").digest(previous).digest(spec).digest(survivors).digest(sum).finish()
}

/// Digest of a result.
pub fn result_digest(result_json: &str) -> Digest {
    Transcript::new("haihe/v1/result").str(result_json).finish()
}

impl ClosedRound {
    /// The round's transcript.
    pub fn transcript(&self) -> Digest {
        round_transcript(&self.spec.previous, &self.spec.digest(), &self.survivors, &sum_digest(&self.sum))
    }
}

/// What a participant knows of the learning, from sums that it checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// Number of the last closed round; 0 before the first.
    pub round: u64,
    /// Transcript of the last closed round; the session's digest before the first.
    pub transcript: Digest,
    state: State,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Learning(Box<Plan>),
    Finished { result_json: String },
}

/// A witness as a vault keeps it. What changes in every round is compact; all else is small or rare, and JSON.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    round: u64,
    transcript: Digest,
    state: KeptState<T>,
}

#[derive(Serialize, Deserialize)]
enum KeptState<T> {
    Plan(String),
    Network([f64; 3], T),
    Anomaly([f64; 3], T),
    Finished(String),
}

impl Witness {
    /// What [`Witness::from_bytes`] reads.
    ///
    /// # Panics
    /// Never: a witness is plain data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let state = match &self.state {
            State::Finished { result_json } => KeptState::Finished(result_json.clone()),
            State::Learning(plan) => match &**plan {
                Plan::Network(network) => network.in_training().map(|(rows, t)| KeptState::Network(rows, t)),
                Plan::Anomaly(anomaly) => anomaly.in_training().map(|(rows, t)| KeptState::Anomaly(rows, t)),
                Plan::Scorecard(_) | Plan::NoisedScorecard(_) => None,
            }
            .unwrap_or_else(|| KeptState::Plan(serde_json::to_string(plan).expect("plain data with string keys"))),
        };
        let kept = Kept { round: self.round, transcript: self.transcript, state };
        postcard::to_allocvec(&kept).expect("plain data")
    }

    /// Reads a witness; `None` if it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kept, rest): (Kept<Box<Training>>, _) = postcard::take_from_bytes(bytes).ok()?;
        let learning = |plan| State::Learning(Box::new(plan));
        let state = match kept.state {
            KeptState::Plan(json) => State::Learning(serde_json::from_str(&json).ok()?),
            KeptState::Network(rows, t) => learning(Plan::Network(Box::new(network::Plan::of_training(rows, t)))),
            KeptState::Anomaly(rows, t) => learning(Plan::Anomaly(Box::new(anomaly::Plan::of_training(rows, t)))),
            KeptState::Finished(result_json) => State::Finished { result_json },
        };
        rest.is_empty().then_some(Self { round: kept.round, transcript: kept.transcript, state })
    }

    /// Where the learning stands; `None` once it is over.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.state {
            State::Learning(plan) => Some(plan),
            State::Finished { .. } => None,
        }
    }

    /// Before the first round.
    pub fn begin(spec: &JobSpec, session: &Session) -> Self {
        Self { round: 0, transcript: session.digest(), state: State::Learning(Box::new(Plan::begin(spec))) }
    }

    /// True if the next thing that is asked must build on rounds that this witness has not seen.
    pub fn is_behind(&self, previous: &Digest) -> bool {
        self.transcript != *previous
    }

    /// Checks that a round asks what follows from the sums so far, and gives the plan that it follows from.
    pub fn check(&self, spec: &RoundSpec, task: &Task) -> Result<&Plan, Violation> {
        let round = spec.round;
        if self.is_behind(&spec.previous) {
            return Err(Violation::OtherHistory { round, got: spec.previous, known: self.transcript });
        }
        match &self.state {
            // Word for word: another spelling would be another question to a vault and a ledger.
            State::Learning(plan) if plan.task() == *task && task.to_json() == spec.task_json => Ok(plan),
            _ => Err(Violation::UnexpectedTask { round }),
        }
    }

    /// Takes the next closed round: checks the coordinator's signature, that the round asked what it had to, and the sum.
    pub fn absorb(
        &self,
        closed: &ClosedRound,
        signature: &Signature,
        session: &Session,
        spec: &JobSpec,
        key: &CheckKey,
    ) -> Result<Self, Violation> {
        let round = closed.spec.round;
        if round <= self.round {
            return Err(Violation::StaleRound { got: round, at: self.round });
        }
        let (verified, task) = closed.spec.clone().verify(signature, session, spec)?;
        let plan = self.check(&verified, &task)?;
        let mut contributors = Vec::with_capacity(closed.contributors.len());
        for party in &closed.contributors {
            let index = session.index_of(party).map_err(|v| v.relayed("closed round"))?;
            if contributors.last().is_some_and(|last| *last >= index) {
                return Err(Violation::RosterOrder { party: party.clone() });
            }
            contributors.push(index);
        }
        let (got, needed) = (contributors.len() as u32, session.roster().minimum_contributors);
        if got < needed {
            return Err(Violation::TooFewSurvivors { round, got, needed });
        }
        let parameters = &verified.parameters;
        if closed.sum.len() != parameters.dimension()
            || !key.verify(&verified.digest(), &closed.sum, &contributors, parameters.value_bits())
        {
            return Err(Violation::WrongSum { round });
        }
        let roster = session.roster();
        let next = plan.clone().absorb_sum(spec, &roster.parties(), roster.guaranteed_contributors(), &closed.sum, got);
        let state = match next.map_err(|_| Violation::WrongSum { round })? {
            (_, Next::Continue(plan)) => State::Learning(plan),
            (_, Next::Finished(result_json)) => State::Finished { result_json },
        };
        Ok(Self { round, transcript: closed.transcript(), state })
    }

    /// Checks that what the coordinator publishes is what the sums lead to.
    pub fn check_result(&self, result_json: &str, transcript: &Digest) -> Result<(), Violation> {
        match &self.state {
            State::Finished { result_json: own } if own == result_json && self.transcript == *transcript => Ok(()),
            _ => Err(Violation::WrongResult),
        }
    }
}
