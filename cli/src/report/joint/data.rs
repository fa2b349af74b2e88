//! Everything that the report of a joint scorecard shows, as one JSON value: `report.json` beside `report.html`.
//!
//! What comes from the journal is always there. What lies at a party is there where its folder was given: by its own people, or in
//! a demonstration, where one process holds the files of all parties.

use haihe_models::{scorecard::ScalingOptions, vertical::score::Block};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    id::PartyId,
    vertical::{
        Encoding,
        work::{Evaluation, JointResult},
    },
};
use haihe_simulations::joint::JointComparison;
use serde::{Deserialize, Serialize};

use crate::leaks::VerticalLeakReport;
pub use crate::report::data::Note;

/// A finished vertical job, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointReport {
    /// Name of the job.
    pub name: String,
    /// Its id.
    pub job: String,
    /// Digest of its session.
    pub session: Digest,
    /// Federation.
    pub federation: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// Wall-clock seconds from opening to result.
    pub seconds: f64,
    /// What the parties agreed on.
    pub terms: Terms,
    /// Who took part, the label holder first.
    pub holders: Vec<HolderFacts>,
    /// One per exchange, in order.
    pub exchanges: Vec<ExchangeFacts>,
    /// How often the deadline of an exchange was put off.
    pub delays: u64,
    /// Parcels accepted, rejected, late.
    pub parcels: [u64; 3],
    /// What the label holder published.
    pub result: JointResult,
    /// Against models that only somebody with all columns could fit; in a demonstration.
    pub comparison: Option<JointComparison>,
    /// From the label holder's own file, where it was given.
    pub evaluation: Option<Evaluation>,
    /// The parts that were given: a party's own; in a demonstration everybody's.
    pub owners: Vec<OwnerPart>,
    /// Firms scored with the model afterwards; in a demonstration.
    pub scorings: Vec<ScoringFacts>,
    /// Who could infer what from the job; also `leak-report.json`.
    pub leaks: VerticalLeakReport,
    /// What a reader must know before trusting a figure; may be empty.
    pub notes: Vec<Note>,
}

/// What the job file says, as far as a reader needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// How columns become numbers.
    pub encoding: Encoding,
    /// How log-odds become points.
    pub scaling: ScalingOptions,
    /// Most firms that a party may bring.
    pub max_firms: u64,
    /// Fewest firms in common.
    pub min_common: u64,
    /// Fewest good and fewest bad firms of a group whose counts the owner of a column learns.
    pub minimum_group: [u64; 2],
    /// Penalty on the squared coefficients.
    pub ridge: f64,
}

/// One party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HolderFacts {
    /// Party.
    pub party: PartyId,
    /// For people, English; may be empty.
    pub label: String,
    /// For people, Chinese; may be empty.
    pub label_zh: String,
    /// True for the one that knows the outcome.
    pub label_holder: bool,
    /// Its view.
    pub view: String,
    /// Columns that the job asks of it.
    pub columns: u32,
    /// Those of them that are in the model.
    pub columns_used: u32,
    /// Firms that it announced.
    pub firms: u64,
    /// Letters that it sent.
    pub letters: u64,
    /// Bytes that it sent: letters, sealed keys, announcements.
    pub bytes_sent: u64,
    /// Seconds that it was waited for: from the opening of an exchange to its parcel, all exchanges together.
    pub seconds: f64,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeFacts {
    /// Its number.
    pub exchange: u64,
    /// What was done, in words.
    pub phase: String,
    /// Letters of all parties.
    pub letters: u64,
    /// Bytes of all parties.
    pub bytes: u64,
    /// From opening to closing.
    pub milliseconds: u64,
}

/// What one party keeps: nobody else has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnerPart {
    /// Whose.
    pub party: PartyId,
    /// Its columns, bins and coefficients.
    pub block: Block,
}

/// Firms scored with the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoringFacts {
    /// Id of the scoring job.
    pub job: String,
    /// Firms that were asked for.
    pub asked: u64,
    /// Firms that all parties present know.
    pub scored: u64,
    /// Holders without whom they were scored.
    pub without: Vec<PartyId>,
    /// Whether the file of scores equals the one of the learning job, byte for byte.
    pub equal_to_evaluation: bool,
    /// Area under the curve on the test firms among them, which the label holder computes for itself.
    pub test_auc: Option<f64>,
    /// Wall-clock seconds of the job.
    pub seconds: f64,
}

impl JointReport {
    /// The party that knows the outcome.
    pub fn label_holder(&self) -> &PartyId {
        &self.result.label_holder
    }
}
