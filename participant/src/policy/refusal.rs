//! Why a job is not accepted, in words for both sides.

use std::fmt;

use super::Adversary;

/// Which line of the policy applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the policy file, without its folder.
    pub file: String,
    /// Line of the entry, from 1; 0 if the file does not have it, and what holds then applies.
    pub line: usize,
    /// The entry, as `[accept] kinds`.
    pub entry: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{} ({}, as it does not say otherwise)", self.file, self.entry);
        }
        write!(f, "{} line {} ({})", self.file, self.line, self.entry)
    }
}

/// One reason not to take part. The text says what is asked, what forbids it, and what to change on either side.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The job adds no noise.
    #[error(
        "the job adds no noise, so that its sums may tell something about a single firm; {rule} accepts only jobs that do; set required = false there or have the operator give the job a table [privacy]"
    )]
    PrivacyRequired {
        /// What forbids it.
        rule: Rule,
    },
    /// The job spends of our firms' privacy, and nothing may be spent.
    #[error(
        "the job spends epsilon = {epsilon} at delta = {delta:?} of each firm's privacy, {file} has no section [privacy] that allows anything to be spent; to accept the job add one with what all jobs together may spend, otherwise the operator leaves us out of the roster"
    )]
    PrivacyNoBudget {
        /// What the job says.
        epsilon: f64,
        /// What the job says.
        delta: f64,
        /// Name of the policy file, without its folder.
        file: String,
    },
    /// The job alone spends more than all jobs together may.
    #[error(
        "the job spends epsilon = {epsilon} at delta = {delta:?} of each firm's privacy, {rule} allows {allowed} for all jobs together; raise it there or have the operator submit the job with epsilon = {allowed} or less"
    )]
    PrivacyEpsilon {
        /// What the job says.
        epsilon: f64,
        /// What the job says.
        delta: f64,
        /// All that may be spent.
        allowed: f64,
        /// What forbids it.
        rule: Rule,
    },
    /// The job's bound leaves out more than ours.
    #[error(
        "the job promises its epsilon but for a probability of delta = {delta:?}, {rule} allows {allowed:?}; raise it there or have the operator submit the job with delta = {allowed:?} or less"
    )]
    PrivacyDelta {
        /// What the job says.
        delta: f64,
        /// What we allow.
        allowed: f64,
        /// What forbids it.
        rule: Rule,
    },
    /// The job aligns firms, and nothing allows it.
    #[error(
        "the job aligns our firms with those of others, so that they learn which of their firms we have; {file} has no section [alignment] that allows it; to accept the job add one, otherwise the operator leaves us out of the roster"
    )]
    AlignmentNotAllowed {
        /// Name of the policy file, without its folder.
        file: String,
    },
    /// Others may bring too many firms.
    #[error(
        "the job lets a party bring {max_firms} firms, {rule} allows {most}: whoever brings a whole registry learns who our firms are; raise it there or have the operator submit the job with max_firms = {most} or less"
    )]
    AlignmentTooManyFirms {
        /// What the job says.
        max_firms: u64,
        /// What we allow.
        most: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// Too few firms in common are enough for the job.
    #[error(
        "the job goes on with {min_common} firms in common, {rule} asks for at least {least}: the fewer they are, the more is told about each; lower it there or have the operator submit the job with min_common = {least} or more"
    )]
    AlignmentTooFewCommon {
        /// What the job says.
        min_common: u64,
        /// What we ask for.
        least: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// Too many alignments with one peer lately. The text says how often we aligned with it, which it knows.
    #[error(
        "we aligned our firms with {peer} {times} times in the last 24 hours, {rule} allows {most}: differences between alignments tell more than each; raise it there or submit the job later"
    )]
    AlignmentTooOften {
        /// With whom.
        peer: String,
        /// How often.
        times: u64,
        /// What we allow.
        most: u64,
        /// What forbids it.
        rule: Rule,
    },
    /// One label holder has seen enough of our columns. The text says how many vectors it saw, which it knows.
    #[error(
        "{label_holder} has seen {shown} score vectors of our columns over all jobs, {rule} allows {most}: with as many as there are columns it can find out the columns; raise it there, or take no part"
    )]
    AlignmentScoreVectors {
        /// Who.
        label_holder: String,
        /// How many it has seen.
        shown: u64,
        /// What we allow.
        most: u64,
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
            Refusal::PrivacyRequired { .. } => "policy_privacy_required",
            Refusal::PrivacyNoBudget { .. } => "policy_privacy_no_budget",
            Refusal::PrivacyEpsilon { .. } | Refusal::PrivacyDelta { .. } => "policy_privacy_budget",
            Refusal::AlignmentNotAllowed { .. } => "policy_alignment",
            Refusal::AlignmentTooManyFirms { .. } => "policy_alignment_firms",
            Refusal::AlignmentTooFewCommon { .. } => "policy_alignment_common",
            Refusal::AlignmentTooOften { .. } => "policy_alignment_too_often",
            Refusal::AlignmentScoreVectors { .. } => "policy_alignment_scores",
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
