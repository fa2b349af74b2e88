//! The leak report of a job: what crossed the wire, in which class, and who could infer what from it, alone or together.
//!
//! Everything is computed from the job's own journal: its roster and rule, its rounds, its result. A class of messages
//! that did not occur is named, not described.

use std::collections::BTreeMap;

use anyhow::Context as _;
use haihe_privacy::secure_sum::check_slots;
use haihe_protocol::{
    horizontal::{
        JobResult,
        anomaly::{AnomalyOptions, AnomalyResult},
        network::{NetworkOptions, NetworkResult},
        scorecard::ScorecardResult,
    },
    id::PartyId,
    job::JobSpec,
    journal::Entry,
};
use haihe_simulations::{rounds::RoundFacts, simulation::Traffic};
use serde::{Deserialize, Serialize};

use crate::report::data::Note;

pub use self::vertical::{VerticalFacts, VerticalLeakReport, vertical};

mod classes;
mod collusions;
mod learning;
mod remarks;
mod steps;
mod tally;
pub mod vertical;

#[cfg(test)]
pub(crate) mod tests;

/// Version of `leak-report.json`; a field that changes its meaning raises it.
pub const FORMAT: u32 = 1;

/// Who could infer what from a job: `leak-report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Job.
    pub job: String,
    /// Its name.
    pub name: String,
    /// Federation.
    pub federation: String,
    /// Scheme of the secure sum.
    pub scheme: String,
    /// Parties of the session, by index.
    pub parties: Vec<PartyId>,
    /// The numbers that decide who can open what.
    pub rule: Rule,
    /// Differential privacy of the sums; absent if they are exact.
    pub noise: Option<Noise>,
    /// What a reader must know of this job before the rest.
    pub remarks: Vec<Note>,
    /// What crossed the wire, by class of message.
    pub classes: Vec<ClassLeak>,
    /// Classes that every deployment has, but whose messages the journal does not count.
    pub unrecorded: Vec<ClassLeak>,
    /// Classes that exist and did not occur in this job.
    pub absent: Vec<String>,
    /// What the sums of each step held.
    pub steps: Vec<StepLeak>,
    /// Who learns what by pooling what they know.
    pub collusions: Vec<Collusion>,
}

/// The numbers of the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Parties of the session, n.
    pub parties: u32,
    /// Members of the committee, c.
    pub members: u32,
    /// How many members may collude with the coordinator and open nothing, T.
    pub privacy_threshold: u32,
    /// Answers that open a sum, r.
    pub answers_needed: u32,
    /// Fewest contributors whose sum is opened, m.
    pub minimum_contributors: u32,
    /// Whether two sums of one round are impossible even for a cheating coordinator, 2r > c + T.
    pub one_sum_per_round: bool,
    /// Whether the job gives each party slots of its own in the evaluation.
    pub per_party: bool,
    /// Rounds that were summed without somebody: number, step, who.
    pub partial_rounds: Vec<PartialRound>,
}

/// A round that was summed without somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialRound {
    /// Round.
    pub round: u64,
    /// Step.
    pub step: String,
    /// Whose contribution is not in the sum.
    pub missing: Vec<PartyId>,
}

/// The guarantee of differential privacy that the noise of the whole job gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Epsilon.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
}

/// How messages were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Counted where they passed.
    Measured,
    /// From the journal's contents and the number of receivers, without repeats and transport.
    Computed,
    /// They leave no trace in the journal.
    Unrecorded,
}

/// One class of messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassLeak {
    /// For example `contribution (M2)`.
    pub class: String,
    /// The same in Chinese.
    pub class_zh: String,
    /// Its message types in `proto/federation/v1`.
    pub messages: Vec<String>,
    /// From whom to whom.
    pub route: Note,
    /// How many; absent if unrecorded.
    pub count: Option<u64>,
    /// Bytes altogether; absent if unrecorded.
    pub bytes: Option<u64>,
    /// How both were counted.
    pub basis: Basis,
    /// What its receiver learns.
    pub receiver: Note,
    /// What somebody learns who sees only that it passes.
    pub outsider: Note,
    /// What keeps it from telling more.
    pub protected_by: Note,
}

/// The sums of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLeak {
    /// For example `label_counts`.
    pub step: String,
    /// Sums that were opened.
    pub sums: u32,
    /// Values in the largest of them, the slots of the tag included.
    pub dimension: u64,
    /// Fewest parties in one of them.
    pub fewest_contributors: u32,
    /// Smallest count above 0 that the result shows of this step.
    pub smallest_published: Option<f64>,
    /// Small cells of the sums themselves; absent where the journal has the digest of the sum only.
    pub small_cells: Option<SmallCells>,
    /// What the sums held.
    pub holds: Note,
    /// What a reader of them could infer.
    pub infers: Note,
}

/// Cells that hold few firms of all parties together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmallCells {
    /// The job's `min_bin_rows`; [`FEW`] where a job has none.
    pub below: f64,
    /// Cells with at least one firm, and fewer than that.
    pub cells: u64,
    /// Cells with exactly one firm.
    pub single: u64,
}

/// Whether somebody gets something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not from anything that this job sent.
    No,
    /// Under a condition, or a part of it; the words say which.
    Partly,
    /// Yes.
    Yes,
}

/// Some who pool what they know, and what they get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collusion {
    /// For programs, for example `coordinator_and_threshold`.
    pub key: String,
    /// Who.
    pub who: Note,
    /// The coalitions of this kind by name, where there are few; the coordinator is not named.
    pub coalitions: Vec<Vec<PartyId>>,
    /// Rows, names or codes of firms.
    pub rows: Verdict,
    /// A single party's part of a sum.
    pub single_party: Verdict,
    /// The sums over all contributors.
    pub sums: Verdict,
    /// Who takes part, when, and how many bytes.
    pub presence: Verdict,
    /// What they can infer.
    pub can: Note,
    /// What they cannot.
    pub cannot: Note,
}

/// What a journal does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// Federation.
    pub federation: &'a str,
    /// Scheme of the secure sum.
    pub scheme: &'a str,
    /// Messages by class where all of them were seen, as in a simulation.
    pub traffic: Option<&'a BTreeMap<&'static str, Traffic>>,
    /// Differential privacy of the sums, where the result does not say it itself.
    pub noise: Option<Noise>,
    /// The opened sums by round, with the slots of their tags, where they are at hand.
    pub sums: Option<&'a BTreeMap<u64, Vec<u64>>>,
}

/// Whether a scheme hides contributions.
pub fn encrypts(scheme: &str) -> bool {
    ["lattice", "ps-kahe-rlwe"].contains(&scheme)
}

/// A cell with fewer firms is called small where the job itself has no minimum.
pub const FEW: f64 = 5.0;

/// What a job led to.
#[derive(Clone, Copy, Debug)]
pub enum Learnt<'a> {
    /// A scorecard.
    Scorecard(&'a ScorecardResult),
    /// A credit network.
    Network(&'a NetworkResult),
    /// An anomaly model.
    Anomaly(&'a AnomalyResult),
}

impl<'a> From<&'a ScorecardResult> for Learnt<'a> {
    fn from(result: &'a ScorecardResult) -> Self {
        Learnt::Scorecard(result)
    }
}

impl<'a> From<&'a JobResult> for Learnt<'a> {
    fn from(result: &'a JobResult) -> Self {
        match result {
            JobResult::Scorecard(result) => Learnt::Scorecard(result),
            JobResult::Network(result) => Learnt::Network(result),
            JobResult::Anomaly(result) => Learnt::Anomaly(result),
        }
    }
}

/// The leak report of a finished job.
///
/// # Errors
/// If the journal has no job, no roster or an entry that cannot be read.
pub fn leak_report<'a>(
    entries: &[Entry],
    rounds: &[RoundFacts],
    result: impl Into<Learnt<'a>>,
    circumstances: &Circumstances<'_>,
) -> anyhow::Result<LeakReport> {
    let result = result.into();
    let read = tally::read(entries, circumstances.federation)?;
    let spec = read.spec.context("the journal does not open a job")?;
    let roster = read.roster.context("the journal has no roster")?;
    let learns = Learns::of(&spec);
    let rule = Rule {
        parties: roster.entries.len() as u32,
        members: roster.rule.members(),
        privacy_threshold: roster.rule.privacy_threshold(),
        answers_needed: roster.rule.answers_needed(),
        minimum_contributors: roster.minimum_contributors.min(spec.least_in_a_sum()),
        one_sum_per_round: 2 * roster.rule.answers_needed() > roster.rule.members() + roster.rule.privacy_threshold(),
        per_party: learns.per_party(&spec),
        partial_rounds: read.partial_rounds,
    };
    let spent = match result {
        Learnt::Scorecard(result) => result.privacy.as_ref(),
        Learnt::Network(_) | Learnt::Anomaly(_) => None,
    };
    let spent = spent.map(|p| Noise { epsilon: p.epsilon, delta: p.asked.delta });
    let noise = spent.or(circumstances.noise);
    let parties: Vec<PartyId> = roster.entries.into_iter().map(|e| e.party).collect();
    let scene = Scene {
        parties: &parties,
        rule: &rule,
        noise,
        encrypted: encrypts(circumstances.scheme),
        learns,
        floor: learns.floor(&spec),
        sums: circumstances.sums,
        tag_slots: check_slots(spec.secure_sum.value_bits),
    };
    let (classes, unrecorded, absent) = classes::leaks(&scene, &read.tallies, circumstances.traffic);
    Ok(LeakReport {
        format: FORMAT,
        job: read.job,
        name: spec.job.name.clone(),
        federation: circumstances.federation.to_owned(),
        scheme: circumstances.scheme.to_owned(),
        remarks: remarks::remarks(&scene),
        steps: steps::leaks(&scene, rounds, result),
        collusions: collusions::collusions(&scene),
        noise,
        classes,
        unrecorded,
        absent,
        parties,
        rule,
    })
}

/// What all texts depend on.
struct Scene<'a> {
    parties: &'a [PartyId],
    rule: &'a Rule,
    noise: Option<Noise>,
    encrypted: bool,
    learns: Learns<'a>,
    /// The job's `min_bin_rows`, or [`FEW`].
    floor: f64,
    sums: Option<&'a BTreeMap<u64, Vec<u64>>>,
    /// Slots of the tag at the end of a sum.
    tag_slots: usize,
}

/// What a job learns, as far as the texts depend on it.
#[derive(Clone, Copy)]
enum Learns<'a> {
    Scorecard,
    Network(&'a NetworkOptions),
    Anomaly(&'a AnomalyOptions),
}

impl<'a> Learns<'a> {
    fn of(spec: &'a JobSpec) -> Self {
        match (&spec.network, &spec.anomaly) {
            (Some(options), _) => Learns::Network(options),
            (None, Some(options)) => Learns::Anomaly(options),
            (None, None) => Learns::Scorecard,
        }
    }

    /// How the network is trained, if there is one.
    fn training(&self) -> Option<&'a NetworkOptions> {
        match self {
            Learns::Scorecard => None,
            Learns::Network(options) => Some(options),
            Learns::Anomaly(options) => options.autoencoder.as_ref(),
        }
    }

    fn per_party(&self, spec: &JobSpec) -> bool {
        match self {
            Learns::Scorecard => spec.scorecard.as_ref().is_some_and(|s| s.evaluation.per_party),
            Learns::Network(options) => options.evaluation.per_party,
            Learns::Anomaly(options) => options.per_party,
        }
    }

    fn floor(&self, spec: &JobSpec) -> f64 {
        match self {
            Learns::Scorecard => spec.scorecard.as_ref().map_or(1.0, |s| s.binning.min_bin_rows),
            Learns::Network(_) | Learns::Anomaly(_) => FEW,
        }
    }
}

impl Scene<'_> {
    /// How exact a sum is, as a sentence.
    fn exactness(&self) -> Note {
        match self.noise {
            None => note("The sum is exact: no noise was added.", "总和是精确的，未加噪声。"),
            Some(Noise { epsilon, delta }) => note(
                format!(
                    "Noise is in the sum: over the whole job, ({epsilon:.3}, {delta:e})-differential privacy for one firm."
                ),
                format!("总和含噪声：整个任务对单个企业满足 ({epsilon:.3}, {delta:e})-差分隐私。"),
            ),
        }
    }
}

fn note(en: impl Into<String>, zh: impl Into<String>) -> Note {
    Note { en: en.into(), zh: zh.into() }
}

/// Appends a sentence in both languages.
fn and(mut text: Note, more: &Note) -> Note {
    text.en = format!("{} {}", text.en, more.en).trim().to_owned();
    text.zh.push_str(&more.zh);
    text
}

/// Names for people: `bj, tj and he`.
fn names(parties: &[PartyId]) -> Note {
    let all: Vec<&str> = parties.iter().map(PartyId::as_str).collect();
    let en = match all.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    note(en, all.join("、"))
}
