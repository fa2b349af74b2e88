//! Everything that a report shows, as one JSON value: `report.json` beside `report.html`.

use haihe_protocol::{horizontal::scorecard::ScorecardResult, id::PartyId};
pub use haihe_simulations::{
    baseline::{ComparedModel, Comparison, Figures, Within},
    rounds::RoundFacts,
};
use serde::{Deserialize, Serialize};

use crate::leaks::LeakReport;

/// A finished job, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the job.
    pub name: String,
    /// Its id.
    pub job: String,
    /// Federation.
    pub federation: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// Wall-clock seconds from opening to result.
    pub seconds: f64,
    /// The scheme of the secure sum; `lattice` in every deployment.
    pub scheme: String,
    /// Committee rule in words: members, privacy threshold, answers needed.
    pub committee: CommitteeFacts,
    /// Who took part.
    pub parties: Vec<PartyFacts>,
    /// One per opened sum, in order.
    pub rounds: Vec<RoundFacts>,
    /// Contributions accepted, rejected, late.
    pub contributions: [u64; 3],
    /// What was learned and how it was evaluated.
    pub result: ScorecardResult,
    /// Against models that only somebody with all data could fit; present where one process holds them, as in the demo.
    pub comparison: Option<Comparison>,
    /// What crossed the wire, and who could infer what from it; also `leak-report.json`.
    pub leaks: LeakReport,
    /// What a reader must know before trusting a figure, for example that the data are a public sample; may be empty.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// A remark in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// English.
    pub en: String,
    /// Chinese; may be empty.
    pub zh: String,
}

/// The committee of the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitteeFacts {
    /// Members, c.
    pub members: u32,
    /// How many of them may collude with the coordinator and learn nothing, T.
    pub privacy_threshold: u32,
    /// Answers needed, r.
    pub answers_needed: u32,
    /// Smallest set of contributors whose sum is opened.
    pub minimum_contributors: u32,
}

/// One party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartyFacts {
    /// Party.
    pub party: PartyId,
    /// For people, English; may be empty.
    pub label: String,
    /// For people, Chinese; may be empty.
    pub label_zh: String,
    /// Bytes that it sent: ciphertexts, sealed shares, answers.
    pub bytes_sent: u64,
}
