//! Anomaly scores along a grid: thresholds of the three warning levels, and what drives a score.

use super::{AnomalyError, rule};
use crate::metrics::{MetricsError, ScoreHistogram};
use crate::scorecard::Warning;
use serde::{Deserialize, Serialize};

/// Cells for scores that begin at 0 and have no upper end: tail sums, reconstruction errors, and a forest's shares too.
///
/// 1024 equal cells per octave from 2^-12 to 2^12, clamped outside: a cell is at most 0.1 % wide, and needs no knowledge of
/// the scores beforehand. Cells are counted from the highest scores down, as [`ScoreHistogram`] has bad rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyGrid;

impl AnomalyGrid {
    const BITS: u32 = 10;
    const OCTAVES: usize = 24;
    const FIRST: u64 = (1023 - 12) << Self::BITS;
    /// Number of cells.
    pub const CELLS: usize = Self::OCTAVES << Self::BITS;

    /// Cell of a score: 0 is the most anomalous. Total: NaN counts as the highest score, as it should be looked at.
    pub fn cell(score: f64) -> usize {
        if score.is_nan() {
            return 0;
        }
        if score <= 0.0 {
            return Self::CELLS - 1;
        }
        // The bits of a positive float order like the float.
        let index = (score.to_bits() >> (52 - Self::BITS)).saturating_sub(Self::FIRST) as usize;
        Self::CELLS - 1 - index.min(Self::CELLS - 1)
    }

    /// Lowest score of a cell; what is below the last cell counts into it.
    pub fn lower(cell: usize) -> f64 {
        let index = (Self::CELLS - 1).saturating_sub(cell) as u64;
        f64::from_bits((Self::FIRST + index) << (52 - Self::BITS))
    }

    /// Local half: rows per cell.
    pub fn count(scores: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; Self::CELLS];
        scores.iter().for_each(|&s| counts[Self::cell(s)] += 1.0);
        counts
    }

    /// Local half with labels, `true` = anomalous: for [`crate::metrics::Ranking`] and [`crate::metrics::average_precision`].
    pub fn histogram(scores: &[f64], bad: &[bool]) -> Result<ScoreHistogram, MetricsError> {
        if scores.len() != bad.len() {
            return Err(MetricsError::Length { expected: scores.len(), found: bad.len() });
        }
        if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
            return Err(MetricsError::NotFinite { row });
        }
        let mut h = ScoreHistogram { good: vec![0.0; Self::CELLS], bad: vec![0.0; Self::CELLS] };
        for (&score, &is_bad) in scores.iter().zip(bad) {
            let side = if is_bad { &mut h.bad } else { &mut h.good };
            side[Self::cell(score)] += 1.0;
        }
        Ok(h)
    }
}

/// The lowest score on a cell's end such that at most `share` of the counted rows score as high or higher. `counts` is the sum
/// of [`AnomalyGrid::count`]. Where ties at the top hold more than the share, the threshold lies above all of them.
pub fn threshold(counts: &[f64], share: f64) -> Result<f64, AnomalyError> {
    rule(share > 0.0 && share < 1.0, "share", "above 0, below 1")?;
    if counts.len() != AnomalyGrid::CELLS {
        let (expected, found) = (AnomalyGrid::CELLS, counts.len());
        return Err(crate::grid::StatisticsError::Length { expected, found }.into());
    }
    if let Some(index) = counts.iter().position(|c| !c.is_finite() || *c < 0.0) {
        return Err(crate::grid::StatisticsError::NotACount { index, value: counts[index] }.into());
    }
    let rows: f64 = counts.iter().sum();
    if rows < 1.0 {
        return Err(AnomalyError::TooFewRows { rows, least: 1.0 });
    }
    let mut above = 0.0;
    for (cell, &count) in counts.iter().enumerate() {
        above += count;
        if above > share * rows {
            // Cell 0 has no upper end of its own: twice its lower end.
            return Ok(if cell == 0 { 2.0 * AnomalyGrid::lower(0) } else { AnomalyGrid::lower(cell - 1) });
        }
    }
    Ok(0.0)
}

/// Shares of the train rows that each warning level and those above it take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Levels {
    /// Shown blue.
    pub general: f64,
    /// Shown yellow.
    pub serious: f64,
    /// Shown red.
    pub critical: f64,
}

impl Default for Levels {
    fn default() -> Self {
        Levels { general: 0.10, serious: 0.05, critical: 0.02 }
    }
}

impl Levels {
    /// Checks that the shares fall and lie within 0 and 1.
    pub fn validate(&self) -> Result<(), AnomalyError> {
        let falling =
            self.critical > 0.0 && self.critical <= self.serious && self.serious <= self.general && self.general < 1.0;
        rule(falling, "levels", "0 < critical <= serious <= general < 1")
    }
}

/// Scores from which a warning level begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Lowest score shown blue.
    pub general: f64,
    /// Lowest score shown yellow.
    pub serious: f64,
    /// Lowest score shown red.
    pub critical: f64,
}

impl Thresholds {
    /// From the sum of [`AnomalyGrid::count`] over the train rows.
    pub fn new(counts: &[f64], levels: &Levels) -> Result<Thresholds, AnomalyError> {
        levels.validate()?;
        Ok(Thresholds {
            general: threshold(counts, levels.general)?,
            serious: threshold(counts, levels.serious)?,
            critical: threshold(counts, levels.critical)?,
        })
    }

    /// Level of a score; a score that is not a number warns at the highest level.
    pub fn warning(&self, score: f64) -> Warning {
        match score {
            s if s < self.general => Warning::None,
            s if s < self.serious => Warning::General,
            s if s < self.critical => Warning::Serious,
            _ => Warning::Critical,
        }
    }
}

/// A column that makes a row anomalous.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// Index of the column.
    pub column: usize,
    /// Share of all that makes the row anomalous, above 0, at most 1.
    pub share: f64,
}

/// The `k` columns that contribute most, highest first. What makes a row more normal (a contribution of 0 or less) is left out.
pub fn drivers(contributions: &[f64], k: usize) -> Vec<Driver> {
    let total = contributions.iter().filter(|c| **c > 0.0).fold(0.0, |sum, c| sum + c);
    let mut all: Vec<Driver> = contributions
        .iter()
        .enumerate()
        .filter(|(_, c)| **c > 0.0)
        .map(|(column, c)| Driver { column, share: c / total })
        .collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.column.cmp(&b.column)));
    all.truncate(k);
    all
}
