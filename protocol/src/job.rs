//! What the parties are asked to agree to: the job file.

use std::collections::BTreeSet;

use haihe_models::{
    network::LearnerError,
    table::{ColumnKind, ColumnSpec},
};
use haihe_privacy::secure_sum::{Adversary, CommitteeError, CommitteeRule};
use serde::{Deserialize, Serialize};

use crate::{
    horizontal::{
        Plan,
        anomaly::AnomalyOptions,
        network::NetworkOptions,
        scorecard::{ScorecardOptions, noised::PrivacyOptions},
    },
    id::PartyId,
    vertical::{ScoringOptions, VerticalOptions},
};

mod series;

pub use series::{MAX_CHANNELS, MAX_STEPS, Month, SeriesSpec};

/// Largest job file, in bytes.
pub const MAX_JOB_BYTES: usize = 1 << 20;

/// A job, as its author wrote it. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Name and parties.
    pub job: JobHead,
    /// Where each participant finds its rows; absent in a vertical job, where each holder has its own view.
    #[serde(default)]
    pub data: DataSpec,
    /// How vectors are added.
    #[serde(default)]
    pub secure_sum: SecureSumOptions,
    /// How long to wait for what.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// Present if every sum is to hide each single firm.
    pub privacy: Option<PrivacyOptions>,
    /// Present if the job learns a credit scorecard.
    pub scorecard: Option<ScorecardOptions>,
    /// Present if the job trains a credit network.
    pub network: Option<NetworkOptions>,
    /// Present if the job trains an anomaly model.
    pub anomaly: Option<AnomalyOptions>,
    /// Present if the parties hold different columns of the same firms.
    pub vertical: Option<VerticalOptions>,
    /// Present if they score firms with a model that they learned before.
    pub scoring: Option<ScoringOptions>,
}

/// Name and parties of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobHead {
    /// For people; 1 to 64 characters.
    pub name: String,
    /// Who is invited.
    pub parties: Vec<PartyId>,
    /// Fewest parties that the job may run with, and fewest contributions that a sum may have. Default: all parties.
    pub min_parties: Option<u32>,
}

/// The view that every participant maps to its own files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Name of the view.
    pub view: String,
    /// Column that identifies a row; unique inside one participant.
    pub key: String,
    /// Column that says which firm a row belongs to: the unit of differential privacy. Default: every row is a firm of its own.
    pub firm: Option<String>,
    /// Column with the label, 1 = bad.
    pub label: String,
    /// Column that says which rows are for testing; without it all rows are for training.
    pub split: Option<SplitSpec>,
    /// Columns to learn from. [`JobSpec::parse`] adds those of `series` at the end.
    #[serde(default)]
    pub columns: Vec<ColumnSpec>,
    /// A second view, with a row per firm and month.
    pub series: Option<SeriesSpec>,
}

impl DataSpec {
    /// The columns that are in the main view: all but those of the series.
    pub fn main_columns(&self) -> &[ColumnSpec] {
        let wide = self.series.as_ref().map(SeriesSpec::columns).unwrap_or_default();
        self.columns.strip_suffix(wide.as_slice()).unwrap_or(&self.columns)
    }
}

/// Which rows are for training and which for testing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSpec {
    /// Column with the name of the split.
    pub column: String,
    /// Value of training rows.
    #[serde(default = "train")]
    pub train: String,
    /// Value of test rows.
    #[serde(default = "test")]
    pub test: String,
}

fn train() -> String {
    "train".to_owned()
}

fn test() -> String {
    "test".to_owned()
}

/// How vectors are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecureSumOptions {
    /// Bits per value and party. With 32 a federated scorecard equals its pooled twin to six decimals or more.
    pub value_bits: u32,
    /// What the committee rule assumes of the coordinator.
    pub adversary: Adversary,
}

impl Default for SecureSumOptions {
    fn default() -> Self {
        Self { value_bits: 32, adversary: Adversary::Malicious }
    }
}

/// How long the coordinator waits, in seconds, and how often it tries again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// For participants to join or decline.
    pub join_seconds: u64,
    /// For participants to confirm the roster.
    pub confirm_seconds: u64,
    /// For contributions of one round.
    pub round_seconds: u64,
    /// For answers of the committee.
    pub answer_seconds: u64,
    /// How often in a row a round may be lost before the job fails.
    pub attempts: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { join_seconds: 600, confirm_seconds: 120, round_seconds: 600, answer_seconds: 120, attempts: 3 }
    }
}

/// Kinds of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// A credit scorecard over horizontally split firms.
    Scorecard,
    /// A credit network over horizontally split firms.
    Network,
    /// An anomaly model over horizontally split firms.
    Anomaly,
    /// A credit scorecard over vertically split firms.
    JointScorecard,
    /// Scores of firms from a joint scorecard.
    JointScoring,
}

impl JobKind {
    /// The word used in policies and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Scorecard => "scorecard",
            JobKind::Network => "network",
            JobKind::Anomaly => "anomaly",
            JobKind::JointScorecard => "joint_scorecard",
            JobKind::JointScoring => "joint_scoring",
        }
    }
}

/// One problem of a job file; all of them are collected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JobProblem {
    /// Larger than any job.
    #[error("the job file has {got} bytes; at most {max} are accepted")]
    TooLarge {
        /// Bytes.
        got: usize,
        /// Limit.
        max: usize,
    },
    /// Not TOML, or not the expected keys.
    #[error("{0}")]
    Syntax(String),
    /// A name is empty or too long.
    #[error("{key} must have 1 to {max} characters")]
    Length {
        /// Key in the file.
        key: String,
        /// Limit.
        max: usize,
    },
    /// A party is named twice.
    #[error("job.parties names {0} twice")]
    PartyTwice(PartyId),
    /// Too few or too many parties for a secure sum, or for the committee rule.
    #[error("job.parties: {0}")]
    Committee(#[from] CommitteeError),
    /// `min_parties` is out of range.
    #[error(
        "job.min_parties = {got}: must be between {least} and the number of parties, {parties}; with fewer contributions \
         in a sum, colluding parties could subtract their own and see another's"
    )]
    MinParties {
        /// Given.
        got: u32,
        /// Least value.
        least: u32,
        /// Number of parties.
        parties: u32,
    },
    /// No kind of model.
    #[error("the job says nothing to learn: add the table [scorecard], [network], [anomaly] or [vertical]")]
    NoKind,
    /// More than one kind of model.
    #[error("the job says more than one thing to learn: keep one of the tables [scorecard], [network] and [anomaly]")]
    TwoKinds,
    /// No column.
    #[error("data.columns is empty")]
    NoColumns,
    /// A column is named twice, or is the key, the label or the split.
    #[error("data: column {0:?} is used twice")]
    ColumnTwice(String),
    /// A categorical column without levels, with too many, or with a level twice.
    #[error("data.columns: {column:?} needs between 1 and {max} distinct levels")]
    Levels {
        /// Column.
        column: String,
        /// Most levels.
        max: usize,
    },
    /// Too many columns.
    #[error("the job has {got} columns, a series one per channel and month; at most {max} are accepted")]
    TooManyColumns {
        /// Number of columns.
        got: usize,
        /// Limit.
        max: usize,
    },
    /// An option of the kind's table is out of range.
    #[error("{table}: {detail}")]
    Option {
        /// Table in the file.
        table: String,
        /// What is wrong.
        detail: String,
    },
    /// A number is out of range.
    #[error("{key} = {got} is out of range: {allowed}")]
    Range {
        /// Key in the file.
        key: &'static str,
        /// Given.
        got: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// Most columns of a job.
pub const MAX_COLUMNS: usize = 512;
/// Most levels of a categorical column.
pub const MAX_LEVELS: usize = 4096;

impl JobSpec {
    /// Who knows the labels of a vertical job.
    pub fn label_holder(&self) -> Option<&PartyId> {
        let vertical = self.vertical.as_ref()?;
        self.job.parties.iter().find(|party| vertical.is_label_holder(party))
    }

    /// Reads and checks a job file; returns every problem found. What it returns may be written and read again: it stays the same.
    pub fn parse(text: &str) -> Result<Self, Vec<JobProblem>> {
        if text.len() > MAX_JOB_BYTES {
            return Err(vec![JobProblem::TooLarge { got: text.len(), max: MAX_JOB_BYTES }]);
        }
        let mut spec: JobSpec = toml::from_str(text).map_err(|e| vec![JobProblem::Syntax(e.to_string())])?;
        spec.expand_series();
        let problems = spec.problems();
        if problems.is_empty() { Ok(spec) } else { Err(problems) }
    }

    /// What the job learns.
    pub fn kind(&self) -> JobKind {
        match (&self.vertical, &self.scoring) {
            (Some(_), None) => JobKind::JointScorecard,
            (_, Some(_)) => JobKind::JointScoring,
            _ if self.anomaly.is_some() => JobKind::Anomaly,
            _ if self.network.is_some() => JobKind::Network,
            _ => JobKind::Scorecard,
        }
    }

    /// Fewest parties whose numbers are in one sum of the job: in rounds of a network with samples or buckets fewer contribute more
    /// than zeros.
    pub fn least_in_a_sum(&self) -> u32 {
        let (least, most) = (self.min_parties(), self.job.parties.len() as u32);
        let autoencoder = self.anomaly.as_ref().and_then(|a| a.autoencoder.as_ref());
        let networks = self.network.iter().chain(autoencoder).filter(|n| n.rounds.sample < 1.0 || n.robust.is_some());
        networks.map(|n| n.least_in_a_sum(least, most)).fold(least, u32::min)
    }

    /// Does the result tell each party's own figures to all?
    pub fn tells_own_figures(&self) -> bool {
        self.scorecard.as_ref().is_some_and(|s| s.evaluation.per_party)
            || self.network.as_ref().is_some_and(|n| n.evaluation.per_party)
            || self.anomaly.as_ref().is_some_and(|a| a.per_party)
    }

    /// Checks that this program has what the job's network needs.
    pub fn trainable(&self) -> Result<(), LearnerError> {
        let autoencoder = self.anomaly.as_ref().and_then(|a| a.autoencoder.as_ref());
        self.network.iter().chain(autoencoder).try_for_each(NetworkOptions::trainable)
    }

    /// Fewest parties that a job may run with, and fewest contributions that a sum may have.
    pub fn min_parties(&self) -> u32 {
        let absent = self.scoring.as_ref().map_or(0, |s| s.may_be_absent.len()) as u32;
        self.job.min_parties.unwrap_or((self.job.parties.len() as u32).saturating_sub(absent))
    }

    /// The committee rule for a roster of `parties`. In a vertical job there is no sum to open, and no committee.
    pub fn committee_rule(&self, parties: u32) -> Result<CommitteeRule, CommitteeError> {
        if self.vertical.is_some() {
            return Ok(CommitteeRule::nobody());
        }
        CommitteeRule::for_parties(parties, self.secure_sum.adversary)
    }

    /// Parties without whom the job makes no sense: in a vertical job all whose columns are needed.
    pub fn needed_parties(&self) -> impl Iterator<Item = &PartyId> {
        let spared = self.scoring.iter().flat_map(|s| &s.may_be_absent).collect::<BTreeSet<_>>();
        let vertical = self.vertical.is_some();
        self.job.parties.iter().filter(move |p| vertical && !spared.contains(p))
    }

    fn problems(&self) -> Vec<JobProblem> {
        let mut found = Vec::new();
        let length = |key: &str, text: &str, max: usize, found: &mut Vec<JobProblem>| {
            if text.is_empty() || text.chars().count() > max {
                found.push(JobProblem::Length { key: key.to_owned(), max });
            }
        };
        length("job.name", &self.job.name, 64, &mut found);
        self.repeated_parties(&mut found);
        match &self.vertical {
            Some(vertical) => self.vertical_problems(vertical, &mut found),
            None => {
                if self.scoring.is_some() {
                    let detail = "needs [vertical], which says who holds which columns".to_owned();
                    found.push(JobProblem::Option { table: "scoring".to_owned(), detail });
                }
                length("data.view", &self.data.view, 128, &mut found);
                length("data.key", &self.data.key, 128, &mut found);
                length("data.label", &self.data.label, 128, &mut found);
                self.party_problems(&mut found);
                self.column_problems(&mut found);
            }
        }
        if !(8..=32).contains(&self.secure_sum.value_bits) {
            found.push(JobProblem::Range {
                key: "secure_sum.value_bits",
                got: f64::from(self.secure_sum.value_bits),
                allowed: "8 to 32",
            });
        }
        let deadlines = [
            ("deadlines.join_seconds", self.deadlines.join_seconds),
            ("deadlines.confirm_seconds", self.deadlines.confirm_seconds),
            ("deadlines.round_seconds", self.deadlines.round_seconds),
            ("deadlines.answer_seconds", self.deadlines.answer_seconds),
        ];
        for (key, seconds) in deadlines {
            if !(1..=604_800).contains(&seconds) {
                found.push(JobProblem::Range { key, got: seconds as f64, allowed: "1 to 604800 (a week)" });
            }
        }
        if !(1..=100).contains(&self.deadlines.attempts) {
            let got = f64::from(self.deadlines.attempts);
            found.push(JobProblem::Range { key: "deadlines.attempts", got, allowed: "1 to 100" });
        }
        self.kind_problems(&mut found);
        self.privacy_problems(&mut found);
        found
    }

    fn kind_problems(&self, found: &mut Vec<JobProblem>) {
        let kinds = [self.scorecard.is_some(), self.network.is_some(), self.anomaly.is_some()];
        match kinds.iter().filter(|k| **k).count() {
            0 if self.vertical.is_none() => found.push(JobProblem::NoKind),
            0 | 1 => {}
            _ => found.push(JobProblem::TwoKinds),
        }
        if let Some(options) = &self.scorecard {
            options.problems(self.job.parties.len(), found);
        }
        if let Some(options) = &self.network {
            options.problems("network", false, self, found);
        }
        if let Some(options) = &self.anomaly {
            options.problems(self, found);
        }
    }

    /// The first sum with noise stands for all of them: it is the longest, with the widest bound.
    fn privacy_problems(&self, found: &mut Vec<JobProblem>) {
        let (Some(privacy), Some(options)) = (&self.privacy, &self.scorecard) else { return };
        let mut range = |key, got, fits: bool, allowed| {
            if !fits {
                found.push(JobProblem::Range { key, got, allowed });
            }
        };
        range("privacy.epsilon", privacy.epsilon, (0.01..=100.0).contains(&privacy.epsilon), "0.01 to 100");
        let likely = privacy.delta > 0.0 && privacy.delta <= 0.01;
        range("privacy.delta", privacy.delta, likely, "above 0, at most 0.01; less than one in the number of firms");
        if options.evaluation.per_party {
            found.push(JobProblem::Option {
                table: "scorecard.evaluation".to_owned(),
                detail: "per_party = true cannot be had with [privacy]: a party's own figures would cost each of its firms as much \
                         as all others together; every party still evaluates its own rows for itself"
                    .to_owned(),
            });
        }
        if found.is_empty()
            && let Ok(rule) = self.committee_rule(self.job.parties.len() as u32)
        {
            let guaranteed = self.min_parties().saturating_sub(rule.privacy_threshold()).max(1);
            let task = Plan::begin(self).task();
            if let Err(error) = task.layout(self, self.job.parties.len() as u32, guaranteed) {
                found.push(JobProblem::Option { table: "privacy".to_owned(), detail: error.to_string() });
            }
        }
    }

    fn repeated_parties(&self, found: &mut Vec<JobProblem>) {
        let mut seen = BTreeSet::new();
        for party in &self.job.parties {
            if !seen.insert(party) {
                found.push(JobProblem::PartyTwice(party.clone()));
            }
        }
    }

    fn vertical_problems(&self, vertical: &VerticalOptions, found: &mut Vec<JobProblem>) {
        vertical.problems(&self.job.parties, self.scoring.as_ref(), found);
        let besides = [
            ("data", self.data != DataSpec::default()),
            ("scorecard", self.scorecard.is_some()),
            ("network", self.network.is_some()),
            ("anomaly", self.anomaly.is_some()),
            ("privacy", self.privacy.is_some()),
        ];
        for (table, _) in besides.into_iter().filter(|(_, present)| *present) {
            let detail =
                "cannot stand beside [vertical]: each holder has its own view, and [vertical] says what is learned";
            found.push(JobProblem::Option { table: table.to_owned(), detail: detail.to_owned() });
        }
        if self.job.min_parties.is_some() {
            let detail =
                "a vertical job needs all its parties; [scoring] may_be_absent names those whom a score can do without";
            found.push(JobProblem::Option { table: "job.min_parties".to_owned(), detail: detail.to_owned() });
        }
    }

    fn party_problems(&self, found: &mut Vec<JobProblem>) {
        let parties = self.job.parties.len() as u32;
        match self.committee_rule(parties) {
            Err(e) => found.push(e.into()),
            Ok(rule) => {
                let (got, least) = (self.min_parties(), rule.minimum_contributors());
                if got < least || got > parties {
                    found.push(JobProblem::MinParties { got, least, parties });
                }
            }
        }
    }

    fn column_problems(&self, found: &mut Vec<JobProblem>) {
        if let Some(series) = &self.data.series {
            series.problems(&self.data.view, found);
        }
        let columns = &self.data.columns;
        if columns.is_empty() {
            found.push(JobProblem::NoColumns);
        }
        if columns.len() > MAX_COLUMNS {
            found.push(JobProblem::TooManyColumns { got: columns.len(), max: MAX_COLUMNS });
        }
        let mut seen: BTreeSet<&str> = [self.data.key.as_str()].into();
        // The firm may be named by the key itself.
        let firm = self.data.firm.iter().map(String::as_str).filter(|f| *f != self.data.key);
        let split = self.data.split.iter().map(|s| s.column.as_str()).chain(firm);
        for name in [self.data.label.as_str()].into_iter().chain(split).chain(columns.iter().map(|c| c.name.as_str())) {
            if name.is_empty() || name.chars().count() > 128 {
                found.push(JobProblem::Length { key: format!("data column {name:?}"), max: 128 });
            }
            if !seen.insert(name) {
                found.push(JobProblem::ColumnTwice(name.to_owned()));
            }
        }
        for column in columns {
            if let ColumnKind::Categorical { levels } = &column.kind {
                let distinct: BTreeSet<&str> = levels.iter().map(String::as_str).collect();
                if levels.is_empty() || levels.len() > MAX_LEVELS || distinct.len() != levels.len() {
                    found.push(JobProblem::Levels { column: column.name.clone(), max: MAX_LEVELS });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
