//! Learning a scorecard from sums that hide every single firm: clipped per firm, Gaussian noise added.
//!
//! | step | a party's vector | blocks | from the noisy sum |
//! |---|---|---|---|
//! | 1 | [`statistics::profile_sum`] | [`statistics::profile_blocks`] | [`profile::absorb`] |
//! | 2 | [`statistics::label_counts_sum`] | [`statistics::label_counts_blocks`] | [`binning::absorb`] |
//! | 3.. | [`statistics::regression_sum`] | [`statistics::regression_blocks`] | [`newton::NoisyNewton::step`] |
//! | last | [`statistics::evaluation_sum`] | [`statistics::evaluation_blocks`] | [`evaluation::absorb`] |
//!
//! There are `3 + steps` sums, a number that no data decide. Everything after a sum is post-processing: it costs no privacy.
//! Noise itself is not added here, and no function assumes that sums are whole or not negative. Each `absorb` is told the
//! standard deviation of the noise per entry, one for each block; 0 is allowed.
//!
//! [`trial::train`] runs all steps in the clear with a given source of noise, to choose options by.

pub mod binning;
pub mod evaluation;
pub mod newton;
pub mod profile;
pub mod statistics;
pub mod trial;

use crate::binning::BinningError;
use crate::clipped::ClipError;
use crate::glm::GlmError;
use crate::grid::StatisticsError;
use crate::metrics::MetricsError;
use crate::scorecard::ScorecardError;
use serde::{Deserialize, Serialize};

/// How a scorecard is learned under noise. The defaults come from cross-validation on the training rows of the bundled loans
/// (`examples/noise.rs`), where most of them hardly matter; `gradient_clip` is larger than that asks for, see there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoisyOptions {
    /// How many rows of one firm count in full: every clip is in units of this many. Firms with more rows are scaled down.
    pub rows_per_firm: f64,
    /// Fine cells per numeric column.
    pub fine_cells: usize,
    /// A coarse cell of the profile is taken for occupied from this many standard deviations of its noise on.
    pub occupied_sigmas: f64,
    /// Goods and bads of a bin are each at least this many standard deviations of their noise.
    pub min_bin_sigmas: f64,
    /// Most variables; takes the place of the selection's `max_variables`, if smaller.
    pub max_variables: usize,
    /// Newton steps, all of them always taken.
    pub steps: usize,
    /// Where every slope starts, and what a slope stays near where the data do not speak.
    pub start_slope: f64,
    /// Standard deviation of the slopes around `start_slope` that is expected beforehand.
    pub slope_deviation: f64,
    /// Clip of the gradient, in units of the root mean square length of a row `(1, WOE...)`. Where bads are rare their residuals
    /// are near 1: below 1, this clips most of them and the probabilities of default come out too low.
    pub gradient_clip: f64,
    /// Clip of the Hessian, in units of a quarter of the mean square length of a row.
    pub hessian_clip: f64,
    /// Share of a Newton step's budget that the Hessian gets; the gradient gets the rest.
    pub hessian_share: f64,
    /// Cells of the histograms of log-odds.
    pub score_cells: usize,
    /// How the privacy budget is divided.
    pub weights: StepWeights,
}

/// Parts of the budget, in any unit: step `s` is `mu * sqrt(weight_s / sum of weights)`-GDP, so that all of them are `mu`-GDP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepWeights {
    /// Coarse counts.
    pub profile: f64,
    /// Goods and bads per cell.
    pub label_counts: f64,
    /// All Newton steps together; each gets the same.
    pub regression: f64,
    /// Histograms of scores.
    pub evaluation: f64,
}

impl Default for StepWeights {
    fn default() -> Self {
        StepWeights { profile: 0.05, label_counts: 0.35, regression: 0.5, evaluation: 0.1 }
    }
}

impl Default for NoisyOptions {
    fn default() -> Self {
        NoisyOptions {
            rows_per_firm: 1.0,
            fine_cells: 20,
            occupied_sigmas: 4.0,
            min_bin_sigmas: 4.0,
            max_variables: 16,
            steps: 2,
            start_slope: 0.4,
            slope_deviation: 0.3,
            gradient_clip: 1.2,
            hessian_clip: 1.0,
            hessian_share: 0.3,
            score_cells: 32,
            weights: StepWeights::default(),
        }
    }
}

impl NoisyOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), NoisyError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(NoisyError::Option { option, allowed }) }
        };
        let within = |x: f64, low: f64, high: f64| x >= low && x <= high;
        rule(within(self.rows_per_firm, 0.01, 1e6), "rows_per_firm", "0.01 to 1000000")?;
        rule((2..=256).contains(&self.fine_cells), "fine_cells", "2 to 256")?;
        rule(within(self.occupied_sigmas, 0.0, 100.0), "occupied_sigmas", "0 to 100")?;
        rule(within(self.min_bin_sigmas, 0.0, 100.0), "min_bin_sigmas", "0 to 100")?;
        rule((1..=100).contains(&self.max_variables), "max_variables", "1 to 100")?;
        rule((1..=20).contains(&self.steps), "steps", "1 to 20")?;
        rule(within(self.start_slope, 0.0, 2.0), "start_slope", "0 to 2")?;
        rule(within(self.slope_deviation, 0.01, 100.0), "slope_deviation", "0.01 to 100")?;
        rule(within(self.gradient_clip, 0.01, 100.0), "gradient_clip", "0.01 to 100")?;
        rule(within(self.hessian_clip, 0.01, 100.0), "hessian_clip", "0.01 to 100")?;
        rule(within(self.hessian_share, 0.01, 0.99), "hessian_share", "0.01 to 0.99")?;
        rule((2..=10_000).contains(&self.score_cells), "score_cells", "2 to 10000")?;
        let w = &self.weights;
        let positive = [w.profile, w.label_counts, w.regression, w.evaluation].iter().all(|&w| within(w, 1e-6, 1e6));
        rule(positive, "weights", "each 0.000001 to 1000000")
    }

    /// Number of sums that a job takes.
    pub fn sums(&self) -> usize {
        3 + self.steps
    }

    /// Budgets of the sums in their order (profile, label counts, each regression step, evaluation) when all of them together
    /// are to be `mu`-GDP: their squares add up to `mu^2`.
    pub fn budgets(&self, mu: f64) -> Vec<f64> {
        let w = &self.weights;
        let step = w.regression / self.steps as f64;
        let mut weights = vec![w.profile, w.label_counts];
        weights.extend(std::iter::repeat_n(step, self.steps));
        weights.push(w.evaluation);
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| mu * libm::sqrt(w / total)).collect()
    }
}

/// What stops learning under noise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoisyError {
    /// A table, or the length of a vector.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Clipping.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// Binning options.
    #[error(transparent)]
    Binning(#[from] BinningError),
    /// Regression.
    #[error(transparent)]
    Regression(#[from] GlmError),
    /// Scaling.
    #[error(transparent)]
    Scorecard(#[from] ScorecardError),
    /// Evaluation.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A number is NaN or infinite, or a standard deviation negative.
    #[error(
        "the noisy {what} hold a value that is not finite, or a standard deviation below 0: a sum was decoded wrongly"
    )]
    NotFinite {
        /// Which sum.
        what: &'static str,
    },
    /// One standard deviation per block.
    #[error("{expected} standard deviations are expected, one per block, {found} came")]
    Sigmas {
        /// Blocks.
        expected: usize,
        /// Found.
        found: usize,
    },
    /// Too little is left beside the noise.
    #[error(
        "about {good:.0} goods and {bad:.0} bads cannot be told from noise of {sigma:.0}: use more rows, or more budget"
    )]
    Drowned {
        /// Noisy goods.
        good: f64,
        /// Noisy bads.
        bad: f64,
        /// Standard deviation of either.
        sigma: f64,
    },
    /// No variable is informative enough.
    #[error("none of {columns} columns has information that stands out from the noise: use more rows, or more budget")]
    NothingSelected {
        /// Columns of the job.
        columns: usize,
    },
    /// An option is out of its range.
    #[error("noise option `{option}` is out of range: {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// A sum must have the layout's length, finite entries, and a standard deviation per block.
fn check(what: &'static str, sum: &[f64], sigmas: &[f64], expected: usize, blocks: usize) -> Result<(), NoisyError> {
    if sum.len() != expected {
        return Err(StatisticsError::Length { expected, found: sum.len() }.into());
    }
    if sigmas.len() != blocks {
        return Err(NoisyError::Sigmas { expected: blocks, found: sigmas.len() });
    }
    let finite = sum.iter().all(|v| v.is_finite()) && sigmas.iter().all(|s| s.is_finite() && *s >= 0.0);
    if finite { Ok(()) } else { Err(NoisyError::NotFinite { what }) }
}
