//! What jobs this institution accepts: a local file that no job can overrule.
//!
//! Nothing is allowed but what the file names. Every refusal says what the job asks, which line of which file forbids it, and what
//! either side can change. A refusal names no row, no value and nothing of the file but the entry that applies, so its text may be
//! shown to the operator; the one exception, the number of our own rows, is marked at [`Refusal::TooFewRows`].

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

/// A complete policy with comments, as `participant/policy.sample.toml`.
pub const SAMPLE: &str = include_str!("../policy.sample.toml");

/// What a job wants, in plain words: filled from the job, checked by [`Policy::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRequest {
    /// Name of the federation.
    pub federation: String,
    /// Kind of job.
    pub kind: String,
    /// Who submitted it, where that is known.
    pub operator: Option<String>,
    /// The view it reads.
    pub view: String,
    /// Every column it reads: key, label, split and features.
    pub columns: Vec<String>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// Which line of the policy applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the policy file, without its folder.
    pub file: String,
    /// Line of the entry, from 1.
    pub line: usize,
    /// The entry, as `[accept] kinds`.
    pub entry: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {} ({})", self.file, self.line, self.entry)
    }
}

/// One reason not to take part. The text says what is asked, what forbids it, and what to change on either side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The federation is not one of ours.
    #[error(
        "the job belongs to the federation {federation:?}, which {rule} does not list; to accept it add {federation:?} there, otherwise the operator leaves us out of the roster"
    )]
    Federation {
        /// What the job says.
        federation: String,
        /// What forbids it.
        rule: Rule,
    },
    /// We do not do this kind of job.
    #[error(
        "the job is of the kind {kind:?}, which {rule} does not list; to accept it add {kind:?} there, otherwise the operator submits a kind that we accept"
    )]
    Kind {
        /// What the job says.
        kind: String,
        /// What forbids it.
        rule: Rule,
    },
    /// Somebody else submitted it.
    #[error(
        "the job was submitted by {}, whom {rule} does not list; to accept it add the operator there, otherwise a listed operator submits the job",
        name_or_nobody(operator)
    )]
    Operator {
        /// What the job says.
        operator: Option<String>,
        /// What forbids it.
        rule: Rule,
    },
    /// The view is not open to jobs.
    #[error(
        "the job reads the view {view:?}, which {rule} does not list; to accept it add {view:?} there, otherwise the operator names a view that we offer"
    )]
    View {
        /// What the job says.
        view: String,
        /// What forbids it.
        rule: Rule,
    },
    /// Columns that no line allows.
    #[error(
        "the job reads {} of the view {view:?}, which {rule} does not list; to accept the job add {} there, otherwise the operator takes {} out of the job",
        list("column", columns),
        them(columns),
        them(columns)
    )]
    ColumnsNotAllowed {
        /// The view.
        view: String,
        /// The columns, in the order of the job.
        columns: Vec<String>,
        /// What forbids it.
        rule: Rule,
    },
    /// Columns that a line denies.
    #[error(
        "the job reads {} of the view {view:?}, which {rule} denies; to accept the job take {} off that list, otherwise the operator takes {} out of the job",
        list("column", columns),
        them(columns),
        them(columns)
    )]
    ColumnsDenied {
        /// The view.
        view: String,
        /// The columns, in the order of the job.
        columns: Vec<String>,
        /// What forbids it.
        rule: Rule,
    },
    /// The job has too few parties.
    #[error("the job has {parties} parties with data, {rule} asks for at least {minimum}: the fewer they are, the more a sum says about each; lower it there or have the operator invite {} more", minimum - parties)]
    TooFewParties {
        /// What the job says.
        parties: u64,
        /// What we ask for.
        minimum: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// The job would open a sum of too few.
    #[error(
        "the job opens a sum of {min_contributors} contributions, {rule} asks for at least {minimum}: the fewer they are, the more a sum says about each; lower it there or have the operator raise the job's minimum to {minimum}"
    )]
    TooFewContributors {
        /// What the job says.
        min_contributors: u64,
        /// What we ask for.
        minimum: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// We hold too few rows ourselves. The text has their number: keep it at home.
    #[error(
        "we would bring {rows} training rows, {rule} asks for at least {minimum} before anything is sent; lower it there, widen the view, or stay out of this job"
    )]
    TooFewRows {
        /// What we hold.
        rows: u64,
        /// What we ask for.
        minimum: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// The job allows bins that are too small.
    #[error(
        "the job allows bins of {min_bin_rows} rows, {rule} asks for at least {minimum}: a small bin says much about the firms in it; lower it there or have the operator raise the job's smallest bin to {minimum}"
    )]
    BinsTooSmall {
        /// What the job says.
        min_bin_rows: u64,
        /// What we ask for.
        minimum: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// The committee rule is too weak.
    #[error(
        "the job protects against a {adversary} coordinator, {rule} asks for {minimum}; accept the weaker rule there or have the operator submit the job with adversary {minimum}"
    )]
    Adversary {
        /// What the job says.
        adversary: Adversary,
        /// What we ask for.
        minimum: Adversary,
        /// What forbids it.
        rule: Rule,
    },
    /// Our own evaluation would be seen by the others.
    #[error(
        "the job evaluates each party apart, so that the others learn our own results, which {rule} forbids; set own_metrics = true there or have the operator switch the evaluation per party off"
    )]
    OwnMetrics {
        /// What forbids it.
        rule: Rule,
    },
}

impl Refusal {
    /// A short name that never changes and holds nothing of ours: for the journal and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Federation { .. } => "policy_federation",
            Refusal::Kind { .. } => "policy_kind",
            Refusal::Operator { .. } => "policy_operator",
            Refusal::View { .. } => "policy_view",
            Refusal::ColumnsNotAllowed { .. } => "policy_columns_not_allowed",
            Refusal::ColumnsDenied { .. } => "policy_columns_denied",
            Refusal::TooFewParties { .. } => "policy_parties",
            Refusal::TooFewContributors { .. } => "policy_contributors",
            Refusal::TooFewRows { .. } => "policy_rows",
            Refusal::BinsTooSmall { .. } => "policy_bin_rows",
            Refusal::Adversary { .. } => "policy_adversary",
            Refusal::OwnMetrics { .. } => "policy_own_metrics",
        }
    }
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
        let RawPolicy { accept, columns, minimum, results } = raw;
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
            file: file.to_owned(),
        })
    }

    /// May we take part? All reasons against it, in the order of the file.
    pub fn check(&self, request: &PolicyRequest) -> Result<(), Vec<Refusal>> {
        let mut refusals = Vec::new();
        self.check_accept(request, &mut refusals);
        self.check_columns(request, &mut refusals);
        self.check_minimum(request, &mut refusals);
        if request.per_party_evaluation && !self.own_metrics.value {
            refusals.push(Refusal::OwnMetrics { rule: self.rule(&self.own_metrics) });
        }
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
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

    fn check_columns(&self, request: &PolicyRequest, refusals: &mut Vec<Refusal>) {
        let view = request.view.clone();
        if !self.views.value.contains(&view) {
            refusals.push(Refusal::View { view: view.clone(), rule: self.rule(&self.views) });
        }
        let (list, listed_is_fine) = match &self.columns {
            Columns::Allow(list) => (list, true),
            Columns::Deny(list) => (list, false),
        };
        let wrong = request.columns.iter().filter(|name| list.value.contains(*name) != listed_is_fine);
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    accept: RawAccept,
    columns: Spanned<RawColumns>,
    minimum: RawMinimum,
    results: RawResults,
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
}

fn name_or_nobody(operator: &Option<String>) -> String {
    operator.as_ref().map_or_else(|| "an operator without a name".to_owned(), |name| format!("{name:?}"))
}

fn them(columns: &[String]) -> &'static str {
    if columns.len() == 1 { "it" } else { "them" }
}

/// `the column "a"`, `the columns "a", "b"`.
fn list(noun: &str, names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("the {noun}{} {}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}
