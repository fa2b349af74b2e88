//! The leak report of a vertical job: every kind of announcement and letter, with the job's own numbers, and who could infer
//! what from it, alone or together.
//!
//! Letters are sealed, so that a journal knows their sizes only. What they hold follows from the job and its result.

use std::collections::BTreeMap;

use askama::Template;
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    vertical::{Encoding, Optimiser, work::JointResult},
};
use serde::{Deserialize, Serialize};

use super::{Verdict, names, note};
use crate::report::data::Note;

mod letters;
mod pooling;

/// Version of the stored form; a field that changes its meaning raises it.
pub const FORMAT: u32 = 1;

/// What a job's file does not say: from its journal and result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VerticalFacts {
    /// Job.
    pub job: String,
    /// Federation.
    pub federation: String,
    /// Firms that each party announced; parties that were not there are not in it. Empty: all of the job.
    pub firms: BTreeMap<PartyId, u64>,
    /// Firms that all have, or that were scored.
    pub common: u64,
    /// Training firms among them; 0 where firms were scored.
    pub training: u64,
    /// Directions that were sent; in a job that goes batch by batch, batches.
    pub passes: u64,
    /// Reviews of the coefficients that were held.
    pub reviews: u64,
    /// Those among them after which directions began anew.
    pub refits: u64,
    /// Columns in use. Empty: those of the job file.
    pub columns: BTreeMap<PartyId, u32>,
}

impl VerticalFacts {
    /// Of a job that learned.
    pub fn learned(job: &str, federation: &str, firms: BTreeMap<PartyId, u64>, result: &JointResult) -> Self {
        Self {
            job: job.to_owned(),
            federation: federation.to_owned(),
            firms,
            common: result.common,
            training: result.joint.train.rows,
            passes: result.steps,
            reviews: result.reviews.len() as u64,
            refits: result.reviews.iter().filter(|r| r.refit).count() as u64,
            columns: result.columns.clone(),
        }
    }
}

/// Who could infer what from a vertical job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerticalLeakReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Job.
    pub job: String,
    /// Its name.
    pub name: String,
    /// Federation.
    pub federation: String,
    /// Who has the labels.
    pub label_holder: PartyId,
    /// The others that were there.
    pub feature_holders: Vec<PartyId>,
    /// The numbers that decide how much is told.
    pub numbers: Numbers,
    /// What a reader must know of this job before the rest.
    pub remarks: Vec<Note>,
    /// What was sent, by kind.
    pub classes: Vec<SaidLeak>,
    /// Kinds of letters that such jobs can have and this one did not.
    pub absent: Vec<String>,
    /// Who learns what by pooling what they know.
    pub poolings: Vec<Pooling>,
}

/// The numbers of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Feature holders, k.
    pub feature_holders: u64,
    /// Firms that all have.
    pub common: u64,
    /// Training firms among them.
    pub training: u64,
    /// Directions that were sent.
    pub passes: u64,
    /// Reviews of the coefficients that were held.
    #[serde(default)]
    pub reviews: u64,
    /// Those among them after which directions began anew, the first of them without products.
    #[serde(default)]
    pub refits: u64,
    /// Columns in use, by party.
    pub columns: BTreeMap<PartyId, u32>,
    /// Columns of all feature holders.
    pub feature_columns: u64,
    /// Selections of two or more sets, whose common size the label holder can count.
    pub intersections: u64,
    /// Fine bins of a numeric column, with the one for missing values; absent without weight of evidence.
    pub fine_bins: Option<u64>,
}

/// A kind of announcement or letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidLeak {
    /// For programs: the name of the letter's kind in `haihe_protocol::vertical::work::LetterKind`, or `Announcement`, `Result`.
    pub kind: String,
    /// For people.
    pub name: Note,
    /// From whom to whom.
    pub route: Note,
    /// How many there are, by the order of the protocol, without repeats.
    pub count: u64,
    /// What its receiver learns.
    pub receiver: Note,
    /// What the coordinator learns, who relays it.
    pub outsider: Note,
    /// What keeps it from telling more.
    pub protected_by: Note,
}

/// Some who pool what they know, and what they get of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooling {
    /// For programs, for example `label_holder_and_all_but_one`.
    pub key: String,
    /// Who.
    pub who: Note,
    /// Labels of firms.
    pub labels: Verdict,
    /// Values of another party's columns.
    pub values: Verdict,
    /// Firms of another party beyond the common ones.
    pub firms: Verdict,
    /// What they can infer.
    pub can: Note,
    /// What they cannot.
    pub cannot: Note,
}

/// What all texts depend on.
struct Scene<'a> {
    spec: &'a JobSpec,
    label_holder: &'a PartyId,
    holders: &'a [PartyId],
    numbers: &'a Numbers,
    woe: bool,
    warm: bool,
    batches: bool,
    scoring: bool,
    minimum: u64,
    /// Fewest goods and bads of a bin whose counts are shown.
    bins: (u64, u64),
}

impl Scene<'_> {
    /// The sole feature holder's scores are seen unmixed.
    fn sole(&self) -> Option<&PartyId> {
        match self.holders {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// The leak report of a vertical job; `None` if the job is none.
pub fn vertical(spec: &JobSpec, facts: &VerticalFacts) -> Option<VerticalLeakReport> {
    let options = spec.vertical.as_ref()?;
    let label_holder = spec.job.parties.iter().find(|p| options.is_label_holder(p))?.clone();
    let present = |p: &&PartyId| facts.firms.is_empty() || facts.firms.contains_key(*p);
    let others = spec.job.parties.iter().filter(|p| **p != label_holder).filter(present);
    let holders: Vec<PartyId> = others.cloned().collect();
    let declared = |p: &PartyId| options.holder(p).map_or(0, |h| h.columns.len() as u32);
    let columns: BTreeMap<PartyId, u32> = [&label_holder]
        .into_iter()
        .chain(&holders)
        .map(|p| (p.clone(), facts.columns.get(p).copied().unwrap_or_else(|| declared(p))))
        .collect();
    let woe = options.encoding == Encoding::Woe;
    let parties = holders.len() as u32 + 1;
    let numbers = Numbers {
        feature_holders: holders.len() as u64,
        common: facts.common,
        training: facts.training,
        passes: facts.passes,
        reviews: facts.reviews,
        refits: facts.refits,
        feature_columns: holders.iter().map(|p| u64::from(columns[p])).sum(),
        columns,
        intersections: (1u64 << parties.min(63)) - 1 - u64::from(parties),
        fine_bins: woe.then_some(options.woe.fine_bins as u64 + 1),
    };
    let scoring = spec.scoring.is_some();
    let scene = Scene {
        spec,
        label_holder: &label_holder,
        holders: &holders,
        numbers: &numbers,
        woe,
        warm: options.fit.warm_start.is_some(),
        batches: options.fit.optimiser == Optimiser::Minibatch,
        scoring,
        minimum: if scoring { 1 } else { options.alignment.min_common },
        bins: (options.woe.minimum_goods, options.woe.minimum_bads),
    };
    let (classes, absent): (Vec<SaidLeak>, Vec<SaidLeak>) =
        letters::leaks(&scene).into_iter().partition(|c| c.count > 0);
    Some(VerticalLeakReport {
        format: FORMAT,
        job: facts.job.clone(),
        name: spec.job.name.clone(),
        federation: facts.federation.clone(),
        remarks: pooling::remarks(&scene),
        poolings: pooling::poolings(&scene),
        classes,
        absent: absent.into_iter().map(|c| c.kind).collect(),
        label_holder: label_holder.clone(),
        feature_holders: holders.clone(),
        numbers: numbers.clone(),
    })
}

#[derive(Template)]
#[template(path = "report/vertical_leaks.html")]
struct Fragment<'a> {
    report: &'a VerticalLeakReport,
}

impl Fragment<'_> {
    /// Class and words for labels, values and firms.
    fn verdicts(&self, pooling: &Pooling) -> [(&'static str, &'static str, &'static str); 3] {
        [pooling.labels, pooling.values, pooling.firms].map(|verdict| match verdict {
            Verdict::No => ("v-no", "no", "否"),
            Verdict::Partly => ("v-partly", "partly", "部分"),
            Verdict::Yes => ("v-yes", "yes", "是"),
        })
    }
}

impl VerticalLeakReport {
    /// Sections for a page that has the report's styles; everything that comes from a job file is escaped.
    pub fn html(&self) -> String {
        Fragment { report: self }.render().unwrap_or_else(|error| format!("<p>{error}</p>"))
    }

    /// For people at a terminal, English.
    pub fn text(&self) -> String {
        let mut text = format!("Who could infer what from \"{}\"\n", self.name);
        self.remarks.iter().for_each(|r| text.push_str(&format!("\n! {}\n", r.en)));
        for p in &self.poolings {
            let verdicts = [p.labels, p.values, p.firms].map(|v| format!("{v:?}").to_lowercase());
            let [labels, values, firms] = verdicts;
            text.push_str(&format!("\n{}\n  labels: {labels}, values: {values}, firms: {firms}\n", p.who.en));
            text.push_str(&format!("  can: {}\n  cannot: {}\n", p.can.en, p.cannot.en));
        }
        for c in &self.classes {
            text.push_str(&format!("\n{} ({} x {})\n  {}\n", c.name.en, c.count, c.route.en, c.receiver.en));
            text.push_str(&format!("  coordinator: {}\n  protected by: {}\n", c.outsider.en, c.protected_by.en));
        }
        text
    }
}
