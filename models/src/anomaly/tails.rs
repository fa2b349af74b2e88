//! Tail probabilities: empirical cumulative outlier detection (ECOD), from sums of counts.
//!
//! Li, Zhao, Hu, Botta, Ionescu & Chen 2022, "ECOD: Unsupervised outlier detection using empirical cumulative distribution
//! functions" (IEEE TKDE), algorithm 1: per column the left and the right tail probability; the sign of the skewness says which
//! of them counts in O_auto; the score of a row is the largest of O_left, O_right and O_auto.
//!
//! Deviations: a cell takes the place of a value (rows of one cell are ties, both tails include the cell), which
//! [`super::grids`] keeps narrow in the tails; skewness follows from the middles of cells; a value beyond all train rows has
//! the tail probability `1 / (rows + 1)`; and a categorical level adds `-ln` of its share to all three sums.

use super::margins::{Axis, Margins};
use super::{AnomalyError, rule};
use crate::grid::{ColumnGrid, StatisticsError};
use crate::table::{Column, Table};
use serde::{Deserialize, Serialize};

/// What a missing value adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nothing: absence says nothing about a firm.
    #[default]
    Neutral,
    /// `-ln` of the share of rows without a value: rare absence is an anomaly.
    Rate,
}

/// How the tails of the columns become one score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sum {
    /// The paper's: the largest of O_left, O_right and O_auto.
    #[default]
    Largest,
    /// Per column the larger of both tails, then summed: for rows that are extreme to the left in one column and to the right
    /// in another.
    PerColumn,
}

/// Options of [`Tails`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TailOptions {
    /// Cells of a numeric column, for [`super::grids`].
    pub cells: usize,
    /// What a missing value adds.
    pub missing: Missing,
    /// How the tails become one score.
    pub sum: Sum,
}

impl Default for TailOptions {
    fn default() -> Self {
        TailOptions { cells: 256, missing: Missing::Neutral, sum: Sum::Largest }
    }
}

impl TailOptions {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), AnomalyError> {
        rule((2..=4096).contains(&self.cells), "cells", "2 to 4096")
    }
}

/// A tail model. Stored as its margins: what is computed from them is computed again, and checked, when it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Tails {
    options: TailOptions,
    margins: Margins,
    columns: Vec<TailColumn>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    options: TailOptions,
    margins: Margins,
}

/// `-ln` of the tail probabilities, per cell.
#[derive(Clone, Debug, PartialEq)]
struct TailColumn {
    left: Vec<f64>,
    right: Vec<f64>,
    auto_left: bool,
    missing: f64,
}

impl TryFrom<Stored> for Tails {
    type Error = AnomalyError;
    fn try_from(stored: Stored) -> Result<Self, AnomalyError> {
        Tails::new(stored.margins, stored.options)
    }
}

impl From<Tails> for Stored {
    fn from(tails: Tails) -> Self {
        Stored { options: tails.options, margins: tails.margins }
    }
}

impl Tails {
    /// The model: a function of the margins alone.
    pub fn new(margins: Margins, options: TailOptions) -> Result<Tails, AnomalyError> {
        options.validate()?;
        margins.check()?;
        let rows = margins.rows;
        let columns = margins
            .columns
            .iter()
            .map(|margin| {
                let known = margin.known();
                let (left, right, auto_left) = match &margin.grid {
                    ColumnGrid::Numeric(_) => {
                        let mut right = cumulated(margin.counts.iter().rev(), known);
                        right.reverse();
                        let axis = Axis { counts: margin.counts.clone(), ..Axis::new(margin) };
                        (cumulated(margin.counts.iter(), known), right, skewness(&axis) < 0.0)
                    }
                    ColumnGrid::Categorical { .. } => {
                        let rarity: Vec<f64> = margin.counts.iter().map(|&c| surprise(c, known)).collect();
                        (rarity.clone(), rarity, false)
                    }
                };
                let missing = if options.missing == Missing::Rate { surprise(margin.missing, rows) } else { 0.0 };
                TailColumn { left, right, auto_left, missing }
            })
            .collect();
        Ok(Tails { options, margins, columns })
    }

    /// The distributions behind the model.
    pub fn margins(&self) -> &Margins {
        &self.margins
    }

    /// Score of each row: the sum of `-ln` tail probabilities, 0 or more, high for anomalies.
    pub fn score(&self, table: &Table, rows: &[usize]) -> Result<Vec<f64>, AnomalyError> {
        self.check_table(table)?;
        rows.iter().map(|&row| Ok(self.sides(table, row)?.1)).collect()
    }

    /// What each column adds to the score of each row: 0 or more, the sum is the score.
    pub fn contributions(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<f64>>, AnomalyError> {
        self.check_table(table)?;
        let one = |&row: &usize| {
            let (side, _) = self.sides(table, row)?;
            Ok((0..self.columns.len()).map(|c| self.tails(table, row, c)[side]).collect())
        };
        rows.iter().map(one).collect()
    }

    /// Which of the sums is the largest, and that sum.
    fn sides(&self, table: &Table, row: usize) -> Result<(usize, f64), AnomalyError> {
        if row >= table.rows() {
            return Err(StatisticsError::Rows { column: "rows".into(), expected: table.rows(), found: row + 1 }.into());
        }
        let mut sums = [0.0; 4];
        for column in 0..self.columns.len() {
            let tails = self.tails(table, row, column);
            sums.iter_mut().zip(tails).for_each(|(sum, tail)| *sum += tail);
        }
        if self.options.sum == Sum::PerColumn {
            return Ok((3, sums[3]));
        }
        let side = (1..3).fold(0, |best, side| if sums[side] > sums[best] { side } else { best });
        Ok((side, sums[side]))
    }

    /// What one column adds to O_left, O_right and O_auto, and its larger tail.
    fn tails(&self, table: &Table, row: usize, column: usize) -> [f64; 4] {
        let tail = &self.columns[column];
        let cell = match (&table.columns[column], &self.margins.columns[column].grid) {
            (Column::Numeric(x), ColumnGrid::Numeric(grid)) if !x[row].is_nan() => grid.cell(x[row]),
            (Column::Categorical(x), _) => x[row] as usize,
            _ => usize::MAX,
        };
        match (tail.left.get(cell), tail.right.get(cell)) {
            (Some(&left), Some(&right)) => [left, right, if tail.auto_left { left } else { right }, left.max(right)],
            _ => [tail.missing; 4],
        }
    }

    fn check_table(&self, table: &Table) -> Result<(), AnomalyError> {
        check_table(table, self.margins.columns.iter().map(|m| (m.name.as_str(), levels_of(&m.grid))))
    }
}

pub(super) fn levels_of(grid: &ColumnGrid) -> Option<usize> {
    match grid {
        ColumnGrid::Numeric(_) => None,
        ColumnGrid::Categorical { levels } => Some(levels.len()),
    }
}

/// The table is sound, and has the columns of the model, by name and kind (levels for a categorical one).
pub(super) fn check_table<'a>(
    table: &Table,
    columns: impl ExactSizeIterator<Item = (&'a str, Option<usize>)>,
) -> Result<(), AnomalyError> {
    crate::grid::validate(table)?;
    if columns.len() != table.specs.len() {
        return Err(StatisticsError::Columns { expected: columns.len(), found: table.specs.len() }.into());
    }
    for (spec, (name, levels)) in table.specs.iter().zip(columns) {
        let own = match &spec.kind {
            crate::table::ColumnKind::Numeric => None,
            crate::table::ColumnKind::Categorical { levels } => Some(levels.len()),
        };
        if spec.name != name {
            return Err(StatisticsError::Absent { column: name.to_owned() }.into());
        }
        if own != levels {
            return Err(StatisticsError::Kind { column: name.to_owned() }.into());
        }
    }
    Ok(())
}

/// `-ln` of `count / total`; what never occurred is as rare as one more row would be.
fn surprise(count: f64, total: f64) -> f64 {
    let share = if count > 0.0 { count / total } else { 1.0 / (total + 1.0) };
    // -ln 1 is -0 otherwise.
    0.0 - libm::log(share)
}

fn cumulated<'a>(counts: impl Iterator<Item = &'a f64>, total: f64) -> Vec<f64> {
    let mut below = 0.0;
    counts
        .map(|count| {
            below += count;
            surprise(below, total)
        })
        .collect()
}

/// Third central moment of the middles of cells: only its sign is used.
fn skewness(axis: &Axis) -> f64 {
    let middle = |cell: usize| (axis.low(cell) + axis.high(cell)) / 2.0;
    let total: f64 = axis.counts.iter().sum();
    let mean = axis.counts.iter().enumerate().fold(0.0, |sum, (cell, n)| sum + n * middle(cell)) / total.max(1.0);
    axis.counts.iter().enumerate().fold(0.0, |sum, (cell, n)| {
        let d = middle(cell) - mean;
        sum + n * d * d * d
    })
}
