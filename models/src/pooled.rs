//! The whole road from tables to a scorecard in the clear: a bank's own model, and the twin that a federation must equal.
//!
//! Each function is one step of the plan in terms of sums; nothing here sees more than the sums and its own tables.

use crate::binning::{Binning, BinningError, BinningOptions, bin_columns, design};
use crate::glm::{Fit, GlmError, LogisticStatistics, Newton, NewtonOptions, NewtonOutcome, logistic_statistics};
use crate::grid::{StatisticsError, grids, label_counts, profile};
use crate::scorecard::{ScalingOptions, Scorecard, ScorecardError};
use crate::selection::{
    Correlation, Selection, SelectionOptions, by_correlation, by_information_value, correlation_statistics, weakest,
};
use crate::table::{ColumnSpec, Split, Table};
use serde::{Deserialize, Serialize};

/// All options of a scorecard job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScorecardOptions {
    /// How columns are binned.
    pub binning: BinningOptions,
    /// How variables are selected.
    pub selection: SelectionOptions,
    /// How the regression is fitted.
    pub regression: NewtonOptions,
    /// How log-odds become points.
    pub scaling: ScalingOptions,
}

/// Which step failed, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A table or a count.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Binning.
    #[error(transparent)]
    Binning(#[from] BinningError),
    /// Regression or correlation.
    #[error(transparent)]
    Regression(#[from] GlmError),
    /// Scaling.
    #[error(transparent)]
    Scorecard(#[from] ScorecardError),
    /// No table at all.
    #[error("no table was given: at least one party must bring rows")]
    NoTable,
    /// Tables with different columns.
    #[error("table {table} has other columns or levels than the first: all parties must load the same job's columns")]
    Specs {
        /// Position of the table.
        table: usize,
    },
    /// No variable is informative enough.
    #[error("no variable has an information value of at least {min_iv}: add columns, or lower `min_iv`")]
    NothingSelected {
        /// The minimum asked for.
        min_iv: f64,
    },
}

/// A scorecard and how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// The scorecard.
    pub scorecard: Scorecard,
    /// The regression behind it.
    pub fit: Fit,
    /// All columns, binned, in the order of the job.
    pub binnings: Vec<Binning>,
    /// Which of them were kept.
    pub selection: Selection,
    /// Correlations and variance inflation of the kept variables, in their order.
    pub correlation: Correlation,
}

/// Learns one scorecard from the train rows of several tables, adding up the same statistics that a federation would.
pub fn train(tables: &[&Table], options: &ScorecardOptions) -> Result<Trained, TrainError> {
    let specs = common_specs(tables)?;
    let profile = sum(tables, |t| profile(t, Split::Train).map_err(TrainError::from))?;
    let grids = grids(specs, &profile, options.binning.fine_cells)?;
    let counts = sum(tables, |t| label_counts(t, &grids).map_err(TrainError::from))?;
    let binnings = bin_columns(specs, &grids, &counts, &options.binning)?;
    let by_iv = by_information_value(&binnings, &options.selection);
    let correlation = correlation(tables, &by_iv.binnings(&binnings))?;
    let mut selection = by_correlation(&by_iv, &binnings, &correlation, &options.selection)?;
    loop {
        if selection.kept.is_empty() {
            return Err(TrainError::NothingSelected { min_iv: options.selection.min_iv });
        }
        let chosen = selection.binnings(&binnings);
        let fit = fit(tables, &chosen, &options.regression)?;
        if let Some((at, reason)) = weakest(&fit, &options.selection) {
            selection = selection.without(at, &binnings, reason);
            continue;
        }
        let correlation = self::correlation(tables, &chosen)?;
        let scorecard = Scorecard::new(chosen, &fit, options.scaling.clone())?;
        return Ok(Trained { scorecard, fit, binnings, selection, correlation });
    }
}

/// Fits the regression of the event "good" on the WOE values of given binnings.
pub fn fit(tables: &[&Table], binnings: &[Binning], options: &NewtonOptions) -> Result<Fit, TrainError> {
    let designs = tables.iter().map(|t| design(t, binnings, Split::Train)).collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<String> = binnings.iter().map(|b| b.column.clone()).collect();
    let mut newton = Newton::new(columns, options.clone())?;
    loop {
        let total = sum(&designs, |d| Ok(logistic_statistics(&d.x, &d.good, newton.beta())?.to_vec()))?;
        match newton.step(&LogisticStatistics::from_slice(binnings.len(), &total)?) {
            NewtonOutcome::Continue(next) | NewtonOutcome::Backtrack(next) => newton = next,
            NewtonOutcome::Converged(fit) => return Ok(fit),
            NewtonOutcome::Failed(error) => return Err(error.into()),
        }
    }
}

/// Correlations of the WOE values of given binnings over the train rows.
pub fn correlation(tables: &[&Table], binnings: &[Binning]) -> Result<Correlation, TrainError> {
    let sums = sum(tables, |t| Ok(correlation_statistics(&design(t, binnings, Split::Train)?.x)))?;
    Ok(Correlation::from_sums(binnings.len(), &sums)?)
}

/// Log-odds and labels of the rows of one split, in order.
pub fn scores_of(scorecard: &Scorecard, table: &Table, split: Split) -> Result<(Vec<f64>, Vec<bool>), StatisticsError> {
    let scores = scorecard.score_table(table)?;
    let rows = crate::grid::rows_of(table, split);
    Ok(rows.into_iter().map(|row| (scores[row], table.label[row])).unzip())
}

fn common_specs<'a>(tables: &[&'a Table]) -> Result<&'a [ColumnSpec], TrainError> {
    let (first, rest) = tables.split_first().ok_or(TrainError::NoTable)?;
    match rest.iter().position(|t| t.specs != first.specs) {
        Some(at) => Err(TrainError::Specs { table: at + 1 }),
        None => Ok(&first.specs),
    }
}

/// Adds the vectors of all parties, in the order of the parties.
fn sum<T>(parties: &[T], local: impl Fn(&T) -> Result<Vec<f64>, TrainError>) -> Result<Vec<f64>, TrainError> {
    let mut total: Vec<f64> = Vec::new();
    for party in parties {
        let vector = local(party)?;
        if total.is_empty() {
            total = vector;
        } else {
            for (t, v) in total.iter_mut().zip(&vector) {
                *t += v;
            }
        }
    }
    Ok(total)
}
