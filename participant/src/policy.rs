//! What jobs this institution accepts: a local file that no job can overrule.
//!
//! Nothing is allowed but what the file names. Every refusal says what the job asks, which line of which file forbids it, and what
//! either side can change. A refusal names no row, no value and nothing of the file but the entry that applies, so its text may be
//! shown to the operator; the one exception, the number of our own rows, is marked at [`Refusal::TooFewRows`].

mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use haihe_privacy::dp::Budget;
use haihe_protocol::id::PartyId;
use serde::Deserialize;
use toml::Spanned;

pub use refusal::{Refusal, Rule};

/// A complete policy with comments, as `participant/policy.sample.toml`.
pub const SAMPLE: &str = include_str!("../policy.sample.toml");

/// What a job wants, in plain words: filled from the job, checked by [`Policy::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRequest {
    /// Name of the federation.
    pub federation: String,
    /// Kind of job.
    pub kind: String,
    /// Who submitted it, where that is known.
    pub operator: Option<String>,
    /// The view it reads.
    pub view: String,
    /// Every column it reads of this view: key, firm, label, split and features.
    pub columns: Vec<String>,
    /// The second view that it reads, if it does.
    pub series: Option<ViewRequest>,
    /// How many parties hold data in it.
    pub parties: u64,
    /// How many contributions make a sum that may be opened.
    pub min_contributors: u64,
    /// How many rows a bin must hold.
    pub min_bin_rows: u64,
    /// Which committee rule it runs under.
    pub adversary: Adversary,
    /// Does each party's own evaluation have its own slots in the sum?
    pub per_party_evaluation: bool,
    /// How many training rows we would bring; `None` before the data are loaded.
    pub own_train_rows: Option<u64>,
    /// What it spends of each firm's privacy: epsilon and delta. `None` if it adds no noise.
    pub privacy: Option<(f64, f64)>,
    /// How it aligns firms with other parties', if it does.
    pub alignment: Option<AlignmentRequest>,
}

/// What a job wants of a second view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRequest {
    /// The view.
    pub view: String,
    /// Every column it reads of it: key, month and channels.
    pub columns: Vec<String>,
}

/// What a vertical job wants of an alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlignmentRequest {
    /// Most firms that a party may bring.
    pub max_firms: u64,
    /// Fewest firms that all must have in common.
    pub min_common: u64,
}

/// What the committee rule assumes of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adversary {
    /// It follows the protocol and looks at what it gets.
    SemiHonest,
    /// It may do anything.
    Malicious,
}

impl fmt::Display for Adversary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Adversary::SemiHonest => "semi-honest",
            Adversary::Malicious => "malicious",
        })
    }
}

/// The rules of this institution.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    file: String,
    federations: Entry<BTreeSet<String>>,
    kinds: Entry<BTreeSet<String>>,
    operators: Option<Entry<BTreeSet<String>>>,
    views: Entry<BTreeSet<String>>,
    columns: Columns,
    parties: Entry<u64>,
    rows: Entry<u64>,
    bin_rows: Entry<u64>,
    adversary: Entry<Adversary>,
    own_metrics: Entry<bool>,
    privacy: Option<Privacy>,
    alignment: Option<Alignment>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{}: cannot read the policy: {source}; without a policy no job is accepted", path.display())]
    Unreadable {
        /// The policy file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{file}: {source}")]
    Syntax {
        /// Name of the policy file.
        file: String,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// Neither list of columns is there, or both are.
    #[error("{file} line {line}: [columns] has {found} of `allow` and `deny`; write exactly one of them")]
    ColumnLists {
        /// Name of the policy file.
        file: String,
        /// Line of the section.
        line: usize,
        /// "neither" or "both".
        found: &'static str,
    },
    /// A minimum that protects nothing.
    #[error("{file} line {line}: {entry} = 0 would protect nothing; write at least 1")]
    ZeroMinimum {
        /// Name of the policy file.
        file: String,
        /// Line of the entry.
        line: usize,
        /// The entry.
        entry: &'static str,
    },
    /// A privacy budget that is none.
    #[error("{file} line {line}: {entry} = {found:?} is not a budget; write a number {allowed}")]
    Budget {
        /// Name of the policy file.
        file: String,
        /// Line of the entry.
        line: usize,
        /// The entry.
        entry: &'static str,
        /// What it says.
        found: f64,
        /// What it may say.
        allowed: &'static str,
    },
}

impl Policy {
    /// Reads a policy file.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let text =
            fs::read_to_string(path).map_err(|source| PolicyError::Unreadable { path: path.to_owned(), source })?;
        let file = path.file_name().map_or_else(|| "policy.toml".into(), |name| name.to_string_lossy());
        Self::parse_named(&text, &file)
    }

    /// Parses the text of a policy; refusals will call it `policy.toml`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse_named(text, "policy.toml")
    }

    /// As [`Policy::parse`], for a file of another name.
    pub fn parse_named(text: &str, file: &str) -> Result<Self, PolicyError> {
        let raw: RawPolicy = toml::from_str(text)
            .map_err(|source| PolicyError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
        let lines = Lines { text, file };
        let RawPolicy { accept, columns, minimum, results, privacy, alignment } = raw;
        let section = lines.of(columns.span().start);
        let RawColumns { views, allow, deny } = columns.into_inner();
        let columns = match (allow, deny) {
            (Some(allow), None) => Columns::Allow(lines.entry("[columns] allow", allow)),
            (None, Some(deny)) => Columns::Deny(lines.entry("[columns] deny", deny)),
            (allow, _) => {
                let found = if allow.is_some() { "both" } else { "neither" };
                return Err(PolicyError::ColumnLists { file: file.to_owned(), line: section, found });
            }
        };
        Ok(Policy {
            federations: lines.entry("[accept] federations", accept.federations),
            kinds: lines.entry("[accept] kinds", accept.kinds),
            operators: accept.operators.map(|operators| lines.entry("[accept] operators", operators)),
            views: lines.entry("[columns] views", views),
            columns,
            parties: lines.positive("[minimum] parties", minimum.parties)?,
            rows: lines.positive("[minimum] rows", minimum.rows)?,
            bin_rows: lines.positive("[minimum] bin_rows", minimum.bin_rows)?,
            adversary: lines.entry("[minimum] adversary", minimum.adversary),
            own_metrics: lines.entry("[results] own_metrics", results.own_metrics),
            privacy: privacy.map(|privacy| lines.privacy(privacy)).transpose()?,
            alignment: alignment.map(|alignment| lines.alignment(alignment)).transpose()?,
            file: file.to_owned(),
        })
    }

    /// May we take part? All reasons against it, in the order of the file.
    pub fn check(&self, request: &PolicyRequest) -> Result<(), Vec<Refusal>> {
        let mut refusals = Vec::new();
        self.check_accept(request, &mut refusals);
        self.check_view(&request.view, &request.columns, &mut refusals);
        if let Some(ViewRequest { view, columns }) = &request.series {
            self.check_view(view, columns, &mut refusals);
        }
        self.check_minimum(request, &mut refusals);
        if request.per_party_evaluation && !self.own_metrics.value {
            refusals.push(Refusal::OwnMetrics { rule: self.rule(&self.own_metrics) });
        }
        self.check_privacy(request, &mut refusals);
        self.check_alignment(request, &mut refusals);
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    /// What may be spent of each firm's privacy in all jobs together; `None`: nothing. What was spent is in the ledger.
    pub fn budget(&self) -> Option<Budget> {
        self.privacy.as_ref().map(|privacy| Budget { epsilon: privacy.epsilon.value, delta: privacy.delta.value })
    }

    /// How often we align with one peer in 24 hours at most; without `[alignment]`, never.
    pub fn alignments_per_day(&self) -> u64 {
        self.alignment.as_ref().map_or(0, |a| a.per_peer_per_day.value)
    }

    fn check_accept(&self, request: &PolicyRequest, refusals: &mut Vec<Refusal>) {
        let PolicyRequest { federation, kind, operator, .. } = request;
        if !self.federations.value.contains(federation) {
            refusals.push(Refusal::Federation { federation: federation.clone(), rule: self.rule(&self.federations) });
        }
        if !self.kinds.value.contains(kind) {
            refusals.push(Refusal::Kind { kind: kind.clone(), rule: self.rule(&self.kinds) });
        }
        if let Some(operators) = &self.operators
            && !operator.as_ref().is_some_and(|name| operators.value.contains(name))
        {
            refusals.push(Refusal::Operator { operator: operator.clone(), rule: self.rule(operators) });
        }
    }

    fn check_view(&self, view: &str, columns: &[String], refusals: &mut Vec<Refusal>) {
        let view = view.to_owned();
        if !self.views.value.contains(&view) {
            refusals.push(Refusal::View { view: view.clone(), rule: self.rule(&self.views) });
        }
        let (list, listed_is_fine) = match &self.columns {
            Columns::Allow(list) => (list, true),
            Columns::Deny(list) => (list, false),
        };
        let wrong = columns.iter().filter(|name| list.value.contains(*name) != listed_is_fine);
        let columns: Vec<String> = wrong.cloned().collect();
        let rule = self.rule(list);
        match (columns.is_empty(), listed_is_fine) {
            (true, _) => {}
            (false, true) => refusals.push(Refusal::ColumnsNotAllowed { view, columns, rule }),
            (false, false) => refusals.push(Refusal::ColumnsDenied { view, columns, rule }),
        }
    }

    fn check_minimum(&self, request: &PolicyRequest, refusals: &mut Vec<Refusal>) {
        let &PolicyRequest { parties, min_contributors, min_bin_rows, adversary, own_train_rows, .. } = request;
        let (minimum, rule) = (self.parties.value, self.rule(&self.parties));
        if parties < minimum {
            refusals.push(Refusal::TooFewParties { parties, minimum, rule: rule.clone() });
        }
        if min_contributors < minimum {
            refusals.push(Refusal::TooFewContributors { min_contributors, minimum, rule });
        }
        if let Some(rows) = own_train_rows.filter(|rows| *rows < self.rows.value) {
            refusals.push(Refusal::TooFewRows { rows, minimum: self.rows.value, rule: self.rule(&self.rows) });
        }
        if min_bin_rows < self.bin_rows.value {
            let (minimum, rule) = (self.bin_rows.value, self.rule(&self.bin_rows));
            refusals.push(Refusal::BinsTooSmall { min_bin_rows, minimum, rule });
        }
        if adversary < self.adversary.value {
            let (minimum, rule) = (self.adversary.value, self.rule(&self.adversary));
            refusals.push(Refusal::Adversary { adversary, minimum, rule });
        }
    }

    /// Could the job be paid for if nothing was spent yet? An epsilon within the budget at a smaller delta is within it at the
    /// budget's, so the two are compared one by one.
    fn check_privacy(&self, request: &PolicyRequest, refusals: &mut Vec<Refusal>) {
        match (request.privacy, &self.privacy) {
            (None, Some(Privacy { required: Some(required), .. })) if required.value => {
                refusals.push(Refusal::PrivacyRequired { rule: self.rule(required) });
            }
            (None, _) => {}
            (Some((epsilon, delta)), None) => {
                refusals.push(Refusal::PrivacyNoBudget { epsilon, delta, file: self.file.clone() });
            }
            (Some((epsilon, delta)), Some(privacy)) => {
                let within = |asked: f64, entry: &Entry<f64>| asked <= entry.value; // not so for NaN
                if !within(epsilon, &privacy.epsilon) {
                    let (allowed, rule) = (privacy.epsilon.value, self.rule(&privacy.epsilon));
                    refusals.push(Refusal::PrivacyEpsilon { epsilon, delta, allowed, rule });
                }
                if !within(delta, &privacy.delta) {
                    let (allowed, rule) = (privacy.delta.value, self.rule(&privacy.delta));
                    refusals.push(Refusal::PrivacyDelta { delta, allowed, rule });
                }
            }
        }
    }

    fn check_alignment(&self, request: &PolicyRequest, refusals: &mut Vec<Refusal>) {
        let Some(asked) = &request.alignment else { return };
        let Some(allowed) = &self.alignment else {
            return refusals.push(Refusal::AlignmentNotAllowed { file: self.file.clone() });
        };
        let AlignmentRequest { max_firms, min_common } = *asked;
        if max_firms > allowed.max_firms.value {
            let (most, rule) = (allowed.max_firms.value, self.rule(&allowed.max_firms));
            refusals.push(Refusal::AlignmentTooManyFirms { max_firms, most, rule });
        }
        if min_common < allowed.min_common.value {
            let (least, rule) = (allowed.min_common.value, self.rule(&allowed.min_common));
            refusals.push(Refusal::AlignmentTooFewCommon { min_common, least, rule });
        }
    }

    /// May we align with `peer` once more, after `times` in the last 24 hours?
    pub fn check_often(&self, peer: &PartyId, times: u64) -> Option<Refusal> {
        let allowed = &self.alignment.as_ref()?.per_peer_per_day;
        let (peer, most, rule) = (peer.to_string(), allowed.value, self.rule(allowed));
        (times >= most).then_some(Refusal::AlignmentTooOften { peer, times, most, rule })
    }

    /// Most score vectors of our columns that one label holder may see, over all jobs; `None` for no limit.
    pub fn score_vectors(&self) -> Option<u64> {
        self.alignment.as_ref()?.score_vectors.as_ref().map(|most| most.value)
    }

    /// May `label_holder`, who has seen `shown` score vectors, see `needed` more?
    pub fn check_shown(&self, label_holder: &PartyId, shown: u64, needed: u64) -> Option<Refusal> {
        let allowed = self.alignment.as_ref()?.score_vectors.as_ref()?;
        let (label_holder, most, rule) = (label_holder.to_string(), allowed.value, self.rule(allowed));
        (shown + needed > most).then_some(Refusal::AlignmentScoreVectors { label_holder, shown, most, rule })
    }

    fn rule<T>(&self, entry: &Entry<T>) -> Rule {
        Rule { file: self.file.clone(), line: entry.line, entry: entry.name }
    }
}

/// A value of the file and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<T> {
    value: T,
    name: &'static str,
    line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Columns {
    Allow(Entry<BTreeSet<String>>),
    Deny(Entry<BTreeSet<String>>),
}

#[derive(Clone, Debug, PartialEq)]
struct Privacy {
    epsilon: Entry<f64>,
    delta: Entry<f64>,
    required: Option<Entry<bool>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Alignment {
    max_firms: Entry<u64>,
    min_common: Entry<u64>,
    /// Line 0 where the file does not say it.
    per_peer_per_day: Entry<u64>,
    score_vectors: Option<Entry<u64>>,
}

/// Alignments with one peer in 24 hours, where the policy does not say it.
const PER_PEER_PER_DAY: u64 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    accept: RawAccept,
    columns: Spanned<RawColumns>,
    minimum: RawMinimum,
    results: RawResults,
    privacy: Option<RawPrivacy>,
    alignment: Option<RawAlignment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccept {
    federations: Spanned<BTreeSet<String>>,
    kinds: Spanned<BTreeSet<String>>,
    operators: Option<Spanned<BTreeSet<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumns {
    views: Spanned<BTreeSet<String>>,
    allow: Option<Spanned<BTreeSet<String>>>,
    deny: Option<Spanned<BTreeSet<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMinimum {
    parties: Spanned<u64>,
    rows: Spanned<u64>,
    bin_rows: Spanned<u64>,
    adversary: Spanned<Adversary>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResults {
    own_metrics: Spanned<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrivacy {
    epsilon: Spanned<f64>,
    delta: Spanned<f64>,
    required: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlignment {
    max_firms: Spanned<u64>,
    min_common: Spanned<u64>,
    per_peer_per_day: Option<Spanned<u64>>,
    score_vectors_per_peer: Option<Spanned<u64>>,
}

/// Turns byte offsets of the text into line numbers.
struct Lines<'a> {
    text: &'a str,
    file: &'a str,
}

impl Lines<'_> {
    fn of(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn entry<T>(&self, name: &'static str, value: Spanned<T>) -> Entry<T> {
        Entry { line: self.of(value.span().start), name, value: value.into_inner() }
    }

    fn positive(&self, name: &'static str, value: Spanned<u64>) -> Result<Entry<u64>, PolicyError> {
        let entry = self.entry(name, value);
        match entry.value {
            0 => Err(PolicyError::ZeroMinimum { file: self.file.to_owned(), line: entry.line, entry: name }),
            _ => Ok(entry),
        }
    }

    fn alignment(&self, raw: RawAlignment) -> Result<Alignment, PolicyError> {
        let name = "[alignment] per_peer_per_day";
        Ok(Alignment {
            max_firms: self.positive("[alignment] max_firms", raw.max_firms)?,
            min_common: self.positive("[alignment] min_common", raw.min_common)?,
            per_peer_per_day: match raw.per_peer_per_day {
                Some(times) => self.positive(name, times)?,
                None => Entry { value: PER_PEER_PER_DAY, name, line: 0 },
            },
            score_vectors: match raw.score_vectors_per_peer {
                Some(most) => Some(self.positive("[alignment] score_vectors_per_peer", most)?),
                None => None,
            },
        })
    }

    /// The smallest delta is the accountant's; a larger one than the largest would let a job publish one firm in a hundred.
    fn privacy(&self, raw: RawPrivacy) -> Result<Privacy, PolicyError> {
        const SMALL: &str = "from 1e-20 to 0.01, less than one in the number of firms";
        let number = |name, value: Spanned<f64>, fits: fn(f64) -> bool, allowed| {
            let Entry { value: found, name: entry, line } = self.entry(name, value);
            match fits(found) {
                true => Ok(Entry { value: found, name, line }),
                false => Err(PolicyError::Budget { file: self.file.to_owned(), line, entry, found, allowed }),
            }
        };
        let above_zero = |epsilon: f64| epsilon > 0.0 && epsilon.is_finite();
        let small = |delta: f64| (1e-20..=0.01).contains(&delta);
        Ok(Privacy {
            epsilon: number("[privacy] epsilon", raw.epsilon, above_zero, "above 0")?,
            delta: number("[privacy] delta", raw.delta, small, SMALL)?,
            required: raw.required.map(|required| self.entry("[privacy] required", required)),
        })
    }
}
