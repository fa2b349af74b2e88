//! The tables `[vertical]` and `[scoring]` of a job file.

use std::collections::{BTreeMap, BTreeSet};

use haihe_models::{
    scorecard::ScalingOptions,
    table::ColumnSpec,
    vertical::{SolverOptions, minibatch::MinibatchOptions, selection::SelectionOptions, woe::WoeOptions},
};
use serde::{Deserialize, Serialize};

use crate::{
    id::PartyId,
    job::{JobProblem, MAX_COLUMNS, SplitSpec},
};

/// Most parties of a vertical job.
pub const MAX_HOLDERS: usize = 32;
/// Most firms that one party may bring.
pub const MAX_FIRMS: u64 = 50_000_000;

/// The table `[vertical]`: who holds which columns of the same firms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalOptions {
    /// The one party that knows the outcome (in a job over regions: the role).
    pub label_holder: String,
    /// Regions whose models share their coefficients. Empty: one region.
    #[serde(default)]
    pub regions: Vec<String>,
    /// One per party, or per role in a job over regions.
    #[serde(rename = "holder")]
    pub holders: Vec<HolderSpec>,
    /// How the firms are aligned.
    #[serde(default)]
    pub alignment: AlignmentOptions,
    /// How columns become numbers.
    #[serde(default)]
    pub encoding: Encoding,
    /// How columns are binned, with `encoding = "woe"`.
    #[serde(default)]
    pub woe: WoeOptions,
    /// Which columns enter, with `encoding = "woe"`.
    #[serde(default)]
    pub selection: SelectionOptions,
    /// The regression: penalty, passes, tolerance, weights.
    #[serde(default)]
    pub regression: SolverOptions,
    /// How it is fitted.
    #[serde(default)]
    pub fit: FitOptions,
    /// How log-odds become points.
    #[serde(default)]
    pub scaling: ScalingOptions,
}

/// What one party brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderSpec {
    /// The party; in a job over regions, the role.
    pub party: String,
    /// In a job over regions: the party that has this role, for each region.
    #[serde(default)]
    pub in_region: BTreeMap<String, PartyId>,
    /// Name of the view.
    pub view: String,
    /// Column with the key of the firm; unique inside the party.
    pub key: String,
    /// Column with the outcome, 1 = bad; at the label holder only.
    pub label: Option<String>,
    /// Column that says which firms are for testing; at the label holder only. Without it all are for training.
    pub split: Option<SplitSpec>,
    /// Columns to learn from; the label holder may have none.
    #[serde(default)]
    pub columns: Vec<ColumnSpec>,
}

/// The table `[vertical.alignment]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlignmentOptions {
    /// What the key is: `unified-social-credit-code`, whose check characters are verified, or `text`.
    pub key_kind: haihe_models::firm::KeyKind,
    /// Most firms that a party may bring: whoever brings the whole registry reads its peers' customers.
    pub max_firms: u64,
    /// Fewest firms that all parties must have in common.
    pub min_common: u64,
}

impl Default for AlignmentOptions {
    fn default() -> Self {
        Self { key_kind: haihe_models::firm::KeyKind::UnifiedSocialCreditCode, max_firms: 1_000_000, min_common: 100 }
    }
}

/// How a column becomes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Weight of evidence of its bin.
    #[default]
    Woe,
    /// Missing values to the median, clipped to the 1 % and 99 % quantiles, standardised.
    Standardise,
}

/// How the loss is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// All firms in every pass.
    #[default]
    FullBatch,
    /// A part of the firms in every pass.
    Minibatch,
}

/// The table `[vertical.fit]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitOptions {
    /// How the loss is minimised.
    pub optimiser: Optimiser,
    /// With `optimiser = "minibatch"`.
    pub minibatch: MinibatchOptions,
    /// Share of the training firms that are held out to stop early; 0 for none.
    pub validation_share: f64,
    /// Starts from the coefficients of this job's model, at every party, if the columns are the same.
    pub warm_start: Option<String>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            optimiser: Optimiser::FullBatch,
            minibatch: MinibatchOptions::default(),
            validation_share: 0.0,
            warm_start: None,
        }
    }
}

/// The table `[scoring]`: the parties score firms together with a model that they learned before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringOptions {
    /// The job that learned the model.
    pub model: String,
    /// Feature holders without whom firms are scored all the same, and marked, if they stay away.
    #[serde(default)]
    pub may_be_absent: Vec<PartyId>,
}

impl VerticalOptions {
    /// What `party` brings.
    pub fn holder(&self, party: &PartyId) -> Option<&HolderSpec> {
        self.holders.iter().find(|h| h.party == party.as_str())
    }

    /// True if `party` is the label holder.
    pub fn is_label_holder(&self, party: &PartyId) -> bool {
        self.label_holder == party.as_str()
    }

    /// Whether the parties review the signs of their coefficients: unless the job says no, wherever it can be done.
    pub fn reviews(&self) -> bool {
        let possible = self.encoding == Encoding::Woe && self.fit.optimiser == Optimiser::FullBatch;
        possible && self.selection.require_positive.unwrap_or(true)
    }

    /// Most bytes of letters in one parcel.
    pub fn max_parcel_bytes(&self) -> u64 {
        // A set of points in an alignment; else ciphertexts and scores of all passes' widest exchange.
        let columns = self.holders.iter().map(|h| h.columns.len() as u64).sum::<u64>() + 1;
        64 * self.alignment.max_firms + (64 << 20) + columns * (4 << 20)
    }

    pub(crate) fn problems(&self, parties: &[PartyId], scoring: Option<&ScoringOptions>, found: &mut Vec<JobProblem>) {
        let mut option = |table: &str, detail: String| {
            found.push(JobProblem::Option { table: table.to_owned(), detail });
        };
        if !self.regions.is_empty() {
            option(
                "vertical.regions",
                "jobs over several regions can be written down, and are not carried out yet: see docs/regions.md. Run one job for \
                 each region"
                    .to_owned(),
            );
            return;
        }
        if !(2..=MAX_HOLDERS).contains(&parties.len()) {
            option("job.parties", format!("a vertical job has 2 to {MAX_HOLDERS} parties, not {}", parties.len()));
        }
        let named: BTreeSet<&str> = self.holders.iter().map(|h| h.party.as_str()).collect();
        for party in parties.iter().filter(|p| !named.contains(p.as_str())) {
            option("vertical.holder", format!("there is none for {party}, which job.parties names"));
        }
        if named.len() != self.holders.len() {
            option("vertical.holder", "a party has two of them".to_owned());
        }
        for holder in &self.holders {
            if !parties.iter().any(|p| p.as_str() == holder.party) {
                option("vertical.holder", format!("{} is not in job.parties", holder.party));
            }
            holder.problems(holder.party == self.label_holder, scoring.is_some(), &mut option);
        }
        if !named.contains(self.label_holder.as_str()) {
            option("vertical.label_holder", format!("{:?} has no table [[vertical.holder]]", self.label_holder));
        }
        self.number_problems(scoring.is_some(), &mut option);
        for party in scoring.iter().flat_map(|s| &s.may_be_absent) {
            if self.is_label_holder(party) || !parties.contains(party) {
                option("scoring.may_be_absent", format!("{party} is not a feature holder of this job"));
            }
        }
    }

    fn number_problems(&self, scoring: bool, option: &mut impl FnMut(&str, String)) {
        let mut range = |key: &str, got: f64, low: f64, high: f64| {
            if !(low..=high).contains(&got) {
                let (table, key) = key.rsplit_once('.').unwrap_or(("vertical", key));
                option(table, format!("{key} = {got} is out of range: {low} to {high}"));
            }
        };
        let (a, f) = (&self.alignment, &self.fit);
        range("vertical.alignment.max_firms", a.max_firms as f64, 1.0, MAX_FIRMS as f64);
        let least = if scoring { 1.0 } else { 10.0 };
        range("vertical.alignment.min_common", a.min_common as f64, least, a.max_firms as f64);
        range("vertical.fit.minibatch.batch_rows", f.minibatch.batch_rows as f64, 256.0, 16_777_216.0);
        range("vertical.fit.validation_share", f.validation_share, 0.0, 0.5);
        if let Err(error) = self.woe.validate() {
            option("vertical.woe", error.to_string());
        }
        self.selection_problems(option);
        if let Err(error) = f.minibatch.validate() {
            option("vertical.fit.minibatch", error.to_string());
        }
        if f.optimiser == Optimiser::Minibatch && f.warm_start.is_some() {
            option("vertical.fit", "warm_start needs optimiser = \"full-batch\"".to_owned());
        }
        if let Err(error) = self.regression.validate() {
            option("vertical.regression", error.to_string());
        }
        if let Err(error) = self.scaling.validate() {
            option("vertical.scaling", error.to_string());
        }
    }
}

impl VerticalOptions {
    fn selection_problems(&self, option: &mut impl FnMut(&str, String)) {
        let (table, s) = ("vertical.selection", &self.selection);
        if let Err(error) = s.validate() {
            option(table, error.to_string());
        }
        if self.encoding != Encoding::Woe && (s.most_correlation() < 1.0 || s.require_positive == Some(true)) {
            option(table, "columns are selected by their weight of evidence: it needs encoding = \"woe\"".to_owned());
        } else if self.fit.optimiser != Optimiser::FullBatch && s.require_positive == Some(true) {
            option(table, "require_positive needs optimiser = \"full-batch\": batches are not fitted again".to_owned());
        }
    }
}

impl HolderSpec {
    fn problems(&self, labels: bool, scoring: bool, option: &mut impl FnMut(&str, String)) {
        let mut problem = |detail: String| option("vertical.holder", format!("{}: {detail}", self.party));
        if !self.in_region.is_empty() {
            problem("in_region needs vertical.regions".to_owned());
        }
        match (labels, &self.label) {
            (true, None) if !scoring => problem("the label holder must name its column `label`".to_owned()),
            (false, Some(_)) => {
                problem(
                    "only the label holder has a label; name one label holder, and leave the others' out".to_owned(),
                );
            }
            _ => {}
        }
        if !labels && self.split.is_some() {
            problem("only the label holder says which firms are for testing".to_owned());
        }
        if !labels && self.columns.is_empty() {
            problem("a feature holder needs at least one column".to_owned());
        }
        if self.columns.len() > MAX_COLUMNS {
            problem(format!("{} columns; at most {MAX_COLUMNS} are accepted", self.columns.len()));
        }
        let mut seen = BTreeSet::new();
        let names = [&self.key].into_iter().chain(&self.label).chain(self.split.iter().map(|s| &s.column));
        for name in names.chain(self.columns.iter().map(|c| &c.name)) {
            if name.is_empty() || name.chars().count() > 128 {
                problem(format!("column {name:?} must have 1 to 128 characters"));
            }
            if !seen.insert(name) {
                problem(format!("column {name:?} is used twice"));
            }
        }
        if self.view.is_empty() || self.view.chars().count() > 128 {
            problem("view must have 1 to 128 characters".to_owned());
        }
    }
}
