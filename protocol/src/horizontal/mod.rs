//! Horizontal learning: every party has the same columns for other firms, and each round is one secure sum.
//!
//! A [`Plan`] is what the coordinator knows: only sums. A [`Task`] is what it asks for in one round; each party turns it
//! into a vector over its own rows with [`Task::perform`]. Both sides derive the layout of that vector with
//! [`Task::segments`], so that a coordinator that asks for anything else is refused.

pub mod anomaly;
mod layout;
pub mod network;
mod result;
pub mod scorecard;

use haihe_models::table::Table;
use haihe_privacy::secure_sum::{QuantiseError, Segment};
use serde::{Deserialize, Serialize};

use crate::{id::PartyId, job::JobSpec};
use scorecard::noised;

pub use layout::{Layout, Numbers};
pub use result::{JobResult, Provenance};

/// What one round computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// A step towards a scorecard.
    Scorecard(scorecard::Task),
    /// A step towards a scorecard, from sums with noise.
    NoisedScorecard(noised::Task),
    /// A step towards a credit network.
    Network(network::Task),
    /// A step towards an anomaly model.
    Anomaly(anomaly::Task),
}

/// Where a job's learning stands at the coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Plan {
    /// A scorecard.
    Scorecard(Box<scorecard::Plan>),
    /// A scorecard from sums with noise.
    NoisedScorecard(Box<noised::Plan>),
    /// A credit network.
    Network(Box<network::Plan>),
    /// An anomaly model.
    Anomaly(Box<anomaly::Plan>),
}

/// The rows that a party brings to a step, and what it kept of the step before.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Its rows.
    pub table: &'a Table,
    /// Its index in the session.
    pub party: u32,
    /// Parties of the session.
    pub parties: u32,
    /// What [`Performed::memory`] gave last.
    pub memory: Option<&'a [u8]>,
    /// What was made of these very rows before.
    pub encoded: &'a network::EncodedRows,
}

/// A party's vector, and what it must keep for later rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Performed {
    /// What is summed; without noise, which [`Task::layout`] adds.
    pub vector: Vec<f64>,
    /// What never leaves the party; `None` if what it kept before still stands.
    pub memory: Option<Vec<u8>>,
}

impl Performed {
    /// A vector that leaves nothing to remember.
    pub fn only(vector: Vec<f64>) -> Self {
        Self { vector, memory: None }
    }
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub enum Next {
    /// Another round.
    Continue(Box<Plan>),
    /// The result, JSON.
    Finished(String),
}

/// One closed round, for people and for the convergence plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The step, one word.
    pub step: String,
    /// What came of it, one line.
    pub text: String,
    /// Figures worth plotting, by name.
    pub figures: std::collections::BTreeMap<String, f64>,
}

/// Why a task cannot be performed or a sum leads nowhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The scorecard's.
    #[error(transparent)]
    Scorecard(#[from] scorecard::ScorecardError),
    /// The network's.
    #[error(transparent)]
    Network(#[from] network::NetworkError),
    /// The anomaly model's.
    #[error(transparent)]
    Anomaly(#[from] anomaly::AnomalyJobError),
    /// The numbers of the task do not fit into the job's slots.
    #[error("the task does not fit the secure sum: {0}")]
    Quantise(#[from] QuantiseError),
    /// A network's task was performed without its plan.
    #[error("this task names a network that follows from the sums before it; those are missing")]
    NeedsPlan,
    /// A plan that learns from noisy sums was given an exact one.
    #[error("this job learns from sums with noise only")]
    Exact,
    /// A sum that is shorter than the vector.
    #[error("a sum of {got} entries is shorter than the vector of its task")]
    Length {
        /// Entries.
        got: usize,
    },
}

impl Plan {
    /// The plan of a job.
    pub fn begin(spec: &JobSpec) -> Self {
        match spec.privacy {
            _ if spec.anomaly.is_some() => Plan::Anomaly(Box::new(anomaly::Plan::begin())),
            _ if spec.network.is_some() => Plan::Network(Box::new(network::Plan::begin())),
            Some(_) => Plan::NoisedScorecard(Box::new(noised::Plan::begin())),
            None => Plan::Scorecard(Box::new(scorecard::Plan::begin(spec))),
        }
    }

    /// What the next round computes.
    pub fn task(&self) -> Task {
        match self {
            Plan::Scorecard(plan) => Task::Scorecard(plan.task()),
            Plan::NoisedScorecard(plan) => Task::NoisedScorecard(plan.task()),
            Plan::Network(plan) => Task::Network(plan.task()),
            Plan::Anomaly(plan) => Task::Anomaly(plan.task()),
        }
    }

    /// The step, one word.
    pub fn step(&self) -> &'static str {
        match self {
            Plan::Scorecard(plan) => plan.step(),
            Plan::NoisedScorecard(plan) => plan.task().step(),
            Plan::Network(plan) => plan.step(),
            Plan::Anomaly(plan) => plan.step(),
        }
    }

    /// The vector of one party, and what it is to keep. A scorecard's follows from the task alone; a network's from the plan, which
    /// knows the parameters that the task only names.
    pub fn perform(&self, spec: &JobSpec, rows: &Rows<'_>) -> Result<Performed, PlanError> {
        match self {
            Plan::Network(plan) => Ok(plan.perform(spec, rows)?),
            Plan::Anomaly(plan) => Ok(plan.perform(spec, rows)?),
            Plan::Scorecard(_) | Plan::NoisedScorecard(_) => {
                Ok(Performed::only(self.task().perform(spec, rows.table, rows.party, rows.parties)?))
            }
        }
    }

    /// Goes on from an opened sum of integers: that of `contributors` vectors that answer [`Plan::task`], each followed by
    /// the slots of its tag. `parties` are those of the session, of whom `guaranteed` contribute honestly at least.
    pub fn absorb_sum(
        self,
        spec: &JobSpec,
        parties: &[PartyId],
        guaranteed: u32,
        sum: &[u64],
        contributors: u32,
    ) -> Result<(Summary, Next), PlanError> {
        let layout = self.task().layout(spec, parties.len() as u32, guaranteed)?;
        let slots = sum.get(..layout.dimension()).ok_or(PlanError::Length { got: sum.len() })?;
        let numbers = layout.dequantise(slots, contributors);
        match (self, layout.mechanism()) {
            (Plan::NoisedScorecard(plan), Some(mechanism)) => {
                let (summary, next) = plan.absorb(spec, &numbers, mechanism)?;
                let next = match next {
                    noised::Next::Continue(plan) => Next::Continue(Box::new(Plan::NoisedScorecard(plan))),
                    noised::Next::Finished(json) => Next::Finished(json),
                };
                Ok((summary, next))
            }
            (plan, _) => plan.absorb(spec, &numbers.values, parties),
        }
    }

    /// Goes on from the exact sum that answers [`Plan::task`], in a session of `parties`.
    pub fn absorb(self, spec: &JobSpec, sum: &[f64], parties: &[PartyId]) -> Result<(Summary, Next), PlanError> {
        match self {
            Plan::Scorecard(plan) => {
                let (summary, next) = plan.absorb(spec, sum, parties)?;
                let next = match next {
                    scorecard::Next::Continue(plan) => Next::Continue(Box::new(Plan::Scorecard(plan))),
                    scorecard::Next::Finished(json) => Next::Finished(json),
                };
                Ok((summary, next))
            }
            Plan::Network(plan) => {
                let (summary, next) = plan.absorb(spec, sum, parties)?;
                let next = match next {
                    network::Next::Continue(plan) => Next::Continue(Box::new(Plan::Network(plan))),
                    network::Next::Finished(json) => Next::Finished(json),
                };
                Ok((summary, next))
            }
            Plan::Anomaly(plan) => {
                let (summary, next) = plan.absorb(spec, sum, parties)?;
                let next = match next {
                    anomaly::Next::Continue(plan) => Next::Continue(Box::new(Plan::Anomaly(plan))),
                    anomaly::Next::Finished(json) => Next::Finished(json),
                };
                Ok((summary, next))
            }
            Plan::NoisedScorecard(_) => Err(PlanError::Exact),
        }
    }
}

impl Task {
    /// The task in the form that is signed.
    ///
    /// # Panics
    /// Never: tasks are plain data and always encode.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("tasks are plain data with string keys")
    }

    /// Reads a task; `None` if it is not one.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The step, one word.
    pub fn step(&self) -> &'static str {
        match self {
            Task::Scorecard(task) => task.step(),
            Task::NoisedScorecard(task) => task.step(),
            Task::Network(task) => task.step(),
            Task::Anomaly(task) => task.step(),
        }
    }

    /// Bits per value and party.
    pub fn value_bits(&self, spec: &JobSpec) -> u32 {
        match self {
            Task::Network(task) => task.value_bits(spec),
            Task::Anomaly(task) => task.value_bits(spec),
            Task::Scorecard(_) | Task::NoisedScorecard(_) => spec.secure_sum.value_bits,
        }
    }

    /// Layout of the vector that answers the task in a session of `parties`.
    pub fn segments(&self, spec: &JobSpec, parties: u32) -> Result<Vec<Segment>, PlanError> {
        match self {
            Task::Scorecard(task) => Ok(task.segments(spec, parties)?),
            Task::NoisedScorecard(task) => Ok(task.segments(spec)?),
            Task::Network(task) => Ok(task.segments(spec, parties)?),
            Task::Anomaly(task) => Ok(task.segments(spec, parties)?),
        }
    }

    /// How that vector becomes integers. With noise, that of any `guaranteed` contributors must suffice.
    pub fn layout(&self, spec: &JobSpec, parties: u32, guaranteed: u32) -> Result<Layout, PlanError> {
        match self {
            Task::Scorecard(task) => Ok(Layout::exact(task.segments(spec, parties)?, spec.secure_sum.value_bits)?),
            Task::NoisedScorecard(task) => Ok(task.layout(spec, guaranteed)?),
            Task::Network(task) => Ok(Layout::exact(task.segments(spec, parties)?, task.value_bits(spec))?),
            Task::Anomaly(task) => Ok(Layout::exact(task.segments(spec, parties)?, task.value_bits(spec))?),
        }
    }

    /// A scorecard's vector of the party with index `party` of `parties`, over its own rows; without noise, which
    /// [`Task::layout`] adds. Other kinds need their plan: [`Plan::perform`].
    pub fn perform(&self, spec: &JobSpec, table: &Table, party: u32, parties: u32) -> Result<Vec<f64>, PlanError> {
        match self {
            Task::Scorecard(task) => Ok(task.perform(spec, table, party, parties)?),
            Task::NoisedScorecard(task) => Ok(task.perform(spec, table)?.sum),
            Task::Network(_) | Task::Anomaly(_) => Err(PlanError::NeedsPlan),
        }
    }
}
