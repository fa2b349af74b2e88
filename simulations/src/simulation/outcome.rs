//! What a simulation takes, tells and returns.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    sync::Arc,
};

use haihe_privacy::{
    digest::Digest,
    dp::Budget,
    secure_sum::{CommitteeRule, Scheme, lattice::Lattice, plain::NoSecurity},
};
use haihe_protocol::{
    horizontal::{JobResult, scorecard::ScorecardResult},
    id::{JobId, PartyId, Timestamp},
    job::{JobProblem, JobSpec},
    journal::{Entry, JournalError},
    state::Counters,
};
use serde::{Deserialize, Serialize};

use super::steps::{Deployed, Steps};
use crate::{cheat::Cheat, fault::Fault, rounds::RoundFacts};

/// How a federation is simulated.
#[derive(Clone)]
pub struct SimulationOptions {
    /// Decides about keys, latencies and order.
    pub seed: u64,
    /// How vectors are added.
    pub scheme: Arc<dyn Scheme>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who cheats, and how; see [`Federation::observe`](super::Federation::observe).
    pub cheats: Vec<Cheat>,
    /// How long a message travels, in milliseconds.
    pub latency_ms: RangeInclusive<u64>,
    /// Who declines the job, and why.
    pub declines: BTreeMap<PartyId, String>,
    /// What every participant's policy allows to be spent of each firm's privacy.
    pub budget: Option<Budget>,
    /// What parties of a vertical job do in an exchange.
    pub steps: Arc<dyn Steps>,
    /// Keys and certificates that do not depend on the seed, made once for all such simulations.
    pub shared_certificates: bool,
}

impl SimulationOptions {
    /// The lattice scheme, as in every deployment, and a network without faults.
    pub fn new(seed: u64) -> Self {
        let scheme = Arc::new(Lattice);
        Self {
            seed,
            scheme,
            faults: Vec::new(),
            cheats: Vec::new(),
            latency_ms: 5..=50,
            declines: BTreeMap::new(),
            budget: Some(Budget { epsilon: 8.0, delta: 1e-6 }),
            steps: Arc::new(Deployed),
            shared_certificates: false,
        }
    }

    /// Sums vectors IN THE CLEAR. For tests of the protocol only, where the scheme's arithmetic does not matter; says so in
    /// the log and in [`Outcome::scheme`].
    pub fn without_any_security(self) -> Self {
        tracing::warn!("this simulation adds vectors IN THE CLEAR: it says nothing about privacy or cost");
        Self { scheme: Arc::new(NoSecurity), ..self }
    }

    /// With keys and certificates that are made once for many simulations.
    pub fn with_shared_certificates(self) -> Self {
        Self { shared_certificates: true, ..self }
    }

    /// With these faults.
    pub fn with_faults(self, faults: Vec<Fault>) -> Self {
        Self { faults, ..self }
    }

    /// Parties of a vertical job do this.
    pub fn with_steps(self, steps: impl Steps + 'static) -> Self {
        Self { steps: Arc::new(steps), ..self }
    }

    /// With these cheats.
    pub fn with_cheats(self, cheats: Vec<Cheat>) -> Self {
        Self { cheats, ..self }
    }
}

impl fmt::Debug for SimulationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulationOptions")
            .field("seed", &self.seed)
            .field("scheme", &self.scheme.name())
            .field("faults", &self.faults)
            .field("cheats", &self.cheats)
            .finish_non_exhaustive()
    }
}

/// Something was recorded in the coordinator's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual milliseconds since the job was opened.
    pub at_ms: u64,
    /// Sequence number of the entry.
    pub entry: u64,
    /// What happened, one line.
    pub line: String,
}

/// Why a simulation did not end with a result.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The job file is invalid.
    #[error("the job file has {} problem(s):\n{}", .0.len(), .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
    Job(Vec<JobProblem>),
    /// A party of the job has no table.
    #[error("the job invites {0}, for whom no data are given")]
    NoTable(PartyId),
    /// A table is for nobody.
    #[error("data are given for {0}, whom the job does not invite")]
    NotInvited(PartyId),
    /// A fault or a cheat is about somebody else.
    #[error("a fault or cheat names {0}, whom the job does not invite")]
    FaultOf(PartyId),
    /// A key or certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Certificates(String),
    /// The job failed.
    #[error("the job failed after {at_ms} virtual ms: {reason}\n(seed {seed})")]
    Failed {
        /// Repeats the failure.
        seed: u64,
        /// Virtual milliseconds since the job was opened.
        at_ms: u64,
        /// As the coordinator recorded it.
        reason: String,
        /// The coordinator's journal.
        journal: Vec<Entry>,
        /// What participants and coordinator refused on the way.
        remarks: Vec<String>,
    },
    /// Nothing happened although all deadlines passed.
    #[error("nothing has happened since {last_ms} virtual ms: {awaiting}\n{}\n(seed {seed})", .remarks.join("\n"))]
    Stuck {
        /// Repeats the failure.
        seed: u64,
        /// Virtual milliseconds of the last journal entry.
        last_ms: u64,
        /// What the job waits for.
        awaiting: String,
        /// What participants and coordinator refused on the way.
        remarks: Vec<String>,
    },
    /// The records of the run do not agree.
    #[error("after the run, the records do not agree: {detail}\n(seed {seed})")]
    Disagreement {
        /// Repeats the failure.
        seed: u64,
        /// Which.
        detail: String,
    },
    /// A journal cannot be replayed.
    #[error("the coordinator's journal cannot be replayed: {source}\n(seed {seed})")]
    Journal {
        /// Repeats the failure.
        seed: u64,
        /// What is wrong.
        source: JournalError,
    },
}

impl From<rcgen::Error> for SimulationError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificates(error.to_string())
    }
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// How many were sent.
    pub count: u64,
    /// Bytes of what they carry; envelopes are not counted.
    pub bytes: u64,
}

/// A finished simulation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Repeats the run.
    pub seed: u64,
    /// Scheme of the secure sum: `NO-SECURITY` if vectors were added in the clear.
    pub scheme: String,
    /// Job.
    pub job: JobId,
    /// The job file, read.
    pub spec: JobSpec,
    /// Who was in the session, by index.
    pub parties: Vec<PartyId>,
    /// Committee rule of the session.
    pub committee: CommitteeRule,
    /// Fewest contributors whose sum was opened.
    pub minimum_contributors: u32,
    /// The result as the coordinator recorded it.
    pub result_json: String,
    /// The same, read.
    pub result: JobResult,
    /// Closed rounds.
    pub rounds: Vec<RoundFacts>,
    /// Bytes that the coordinator received from each party: ciphertexts, sealed shares, answers.
    pub bytes: BTreeMap<PartyId, u64>,
    /// What was sent, by kind of message.
    pub traffic: BTreeMap<&'static str, Traffic>,
    /// Messages sent.
    pub messages: u64,
    /// Contributions accepted, rejected, late; rounds closed and lost.
    pub counters: Counters,
    /// When the job was opened; virtual.
    pub opened: Timestamp,
    /// Virtual milliseconds from opening to result.
    pub virtual_ms: u64,
    /// The coordinator's journal.
    pub journal: Vec<Entry>,
    /// Digest of its last entry: equal digests, equal runs.
    pub tip: Digest,
    /// Certificate of the federation's authority, DER.
    pub authority: Vec<u8>,
    /// What each participant has on its disk for an auditor.
    pub records: BTreeMap<PartyId, PartyRecord>,
    /// The opened sums, by round, as the coordinator keeps them.
    pub sums: BTreeMap<u64, Vec<u64>>,
    /// What participants and coordinator refused on the way.
    pub remarks: Vec<String>,
}

impl Outcome {
    /// The scorecard of a job that learns one.
    ///
    /// # Panics
    /// If the job learned something else.
    pub fn scorecard(&self) -> &ScorecardResult {
        self.result.scorecard().expect("the job learns a scorecard")
    }
}

/// What a run went through, however it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Entries of the coordinator's journal.
    pub entries: u64,
    /// Messages sent.
    pub messages: u64,
    /// How often the coordinator was killed.
    pub coordinator_crashes: u64,
    /// How often a participant was killed.
    pub participant_crashes: u64,
    /// Rounds whose sum was opened.
    pub rounds_closed: u64,
    /// Rounds lost.
    pub rounds_lost: u64,
    /// Most steps that waited in the simulated network at once.
    pub peak_queue: usize,
    /// Virtual milliseconds from opening to the last entry.
    pub virtual_ms: u64,
    /// Positions of the faults that happened; others waited for a message or an entry that there never was.
    pub struck: BTreeSet<usize>,
}

/// What a participant can show to an auditor.
#[derive(Clone, Debug)]
pub struct PartyRecord {
    /// Its own journal.
    pub journal: Vec<Entry>,
    /// The last checkpoint of the coordinator's journal that it pinned, a signed note.
    pub checkpoint: Option<String>,
}
