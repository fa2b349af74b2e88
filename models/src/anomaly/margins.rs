//! How each column is distributed over the train rows of all parties, on cells that resolve tails and gaps.

use super::{AnomalyError, intact};
use crate::grid::{CoarseGrid, ColumnGrid, FineGrid, LabelCountsLayout, ProfileLayout, StatisticsError};
use crate::table::{ColumnKind, ColumnSpec};
use serde::{Deserialize, Serialize};

/// Which train rows teach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// All, whatever their label: nobody needs labels.
    #[default]
    All,
    /// Goods only, where labels are known: anomalies then do not teach what is normal.
    Good,
}

/// Most edges of one column: every coarse cell occupied, each with a gap in front, and the heaviest divided.
const MOST_EDGES: usize = 2 * CoarseGrid::CELLS + 8192;

/// A coarse cell is divided into no more than this: parts 2^-10 of the value wide.
const MOST_PARTS: usize = 128;

/// Cells for [`Margins`] from the summed [`crate::grid::profile`].
///
/// Three things matter for anomalies, and quantile cells have none of them. The tails: every occupied coarse cell stays a cell of
/// its own, so that the outermost rows are not lumped together. The gaps: where coarse cells are empty, the gap is a cell of its
/// own (empty in training), so that lengths on the axis are known. The bulk: by turns the heaviest and the widest cells are
/// halved, as long as there are fewer than `cells`; halving keeps whole numbers apart. The first and the last cell are beyond
/// all train rows.
pub fn grids(specs: &[ColumnSpec], profile: &[f64], cells: usize) -> Result<Vec<ColumnGrid>, AnomalyError> {
    super::rule((2..=4096).contains(&cells), "cells", "2 to 4096")?;
    let profile = ProfileLayout::new(specs).read(profile)?;
    let grid = |(spec, column): (&ColumnSpec, &Option<crate::grid::ColumnProfile<'_>>)| match (&spec.kind, column) {
        (ColumnKind::Categorical { levels }, _) => Ok(ColumnGrid::Categorical { levels: levels.clone() }),
        (ColumnKind::Numeric, Some(column)) => Ok(ColumnGrid::Numeric(FineGrid { edges: edges(column.coarse, cells) })),
        (ColumnKind::Numeric, None) => Err(StatisticsError::Kind { column: spec.name.clone() }.into()),
    };
    specs.iter().zip(&profile.columns).map(grid).collect()
}

fn edges(coarse: &[f64], cells: usize) -> Vec<f64> {
    let occupied: Vec<(usize, f64)> = coarse.iter().copied().enumerate().filter(|&(_, n)| n > 0.0).collect();
    let (mut parts, mut used) = (vec![1usize; occupied.len()], occupied.len());
    // By turns the part with the most rows and the widest part.
    for turn in 0.. {
        let mut best: Option<(usize, f64)> = None;
        for (i, &(cell, count)) in occupied.iter().enumerate() {
            let (lower, upper) = ends(cell);
            let share = if turn % 2 == 0 { count } else { upper - lower } / parts[i] as f64;
            if cell != CoarseGrid::ZERO && parts[i] < MOST_PARTS && best.is_none_or(|(_, s)| share > s) {
                best = Some((i, share));
            }
        }
        match best {
            Some((i, _)) if used + parts[i] <= cells => (used, parts[i]) = (used + parts[i], 2 * parts[i]),
            _ => break,
        }
    }
    let mut edges: Vec<f64> = Vec::new();
    let mut push = |x: f64| {
        if edges.last().is_none_or(|&last| last < x) {
            edges.push(x + 0.0);
        }
    };
    for (&(cell, _), &n) in occupied.iter().zip(&parts) {
        let (lower, upper) = ends(cell);
        (0..=n).for_each(|k| push(if k == n { upper } else { lower + (upper - lower) * (k as f64 / n as f64) }));
    }
    edges
}

/// Ends of a coarse cell. Zero gets a lower end, and the cells next to it reach up to it, because tiny values are clamped there.
fn ends(cell: usize) -> (f64, f64) {
    match cell {
        CoarseGrid::ZERO => (CoarseGrid::upper(CoarseGrid::ZERO - 1), 0.0),
        c if c == CoarseGrid::ZERO + 1 => (0.0, CoarseGrid::upper(c)),
        c => (CoarseGrid::lower(c), CoarseGrid::upper(c)),
    }
}

/// One column: its cells and how many rows each holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// Name of the column.
    pub name: String,
    /// Its cells.
    pub grid: ColumnGrid,
    /// Rows per cell (levels and "other" for a categorical column), the missing left out.
    pub counts: Vec<f64>,
    /// Rows without a value.
    pub missing: f64,
}

impl Margin {
    /// Rows with a value.
    pub fn known(&self) -> f64 {
        self.counts.iter().sum()
    }
}

/// Every column's distribution: all that [`super::Tails`] needs, and where a forest begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// Train rows of the population.
    pub rows: f64,
    /// In the order of the job.
    pub columns: Vec<Margin>,
}

impl Margins {
    /// From the sum of [`crate::grid::label_counts`] on [`grids`].
    pub fn new(
        specs: &[ColumnSpec],
        grids: &[ColumnGrid],
        counts: &[f64],
        population: Population,
    ) -> Result<Margins, AnomalyError> {
        if specs.len() != grids.len() {
            return Err(StatisticsError::Columns { expected: specs.len(), found: grids.len() }.into());
        }
        let pairs = LabelCountsLayout::new(grids).read(counts)?;
        let of = |&[good, bad]: &[f64; 2]| if population == Population::Good { good } else { good + bad };
        let mut columns = Vec::with_capacity(specs.len());
        for ((spec, grid), pairs) in specs.iter().zip(grids).zip(&pairs) {
            let mut counts: Vec<f64> = pairs.iter().map(of).collect();
            let missing = counts.pop().unwrap_or(0.0);
            columns.push(Margin { name: spec.name.clone(), grid: grid.clone(), counts, missing });
        }
        let rows = columns.first().map_or(0.0, |c| c.known() + c.missing);
        for column in &columns {
            let found = column.known() + column.missing;
            if found != rows {
                return Err(AnomalyError::Inconsistent { what: "the cells of a column", expected: rows, found });
            }
        }
        if rows < 1.0 {
            return Err(AnomalyError::TooFewRows { rows, least: 1.0 });
        }
        Ok(Margins { rows, columns })
    }

    /// Checks what came from outside.
    pub fn check(&self) -> Result<(), AnomalyError> {
        let count = |c: f64| (0.0..=9.0e15).contains(&c) && libm::floor(c) == c;
        intact(count(self.rows) && self.rows >= 1.0, "rows is no count")?;
        intact((1..=100_000).contains(&self.columns.len()), "1 to 100000 columns")?;
        for column in &self.columns {
            if let ColumnGrid::Numeric(grid) = &column.grid {
                let ascending = grid.edges.windows(2).all(|w| w[0] < w[1]) && grid.edges.iter().all(|e| e.is_finite());
                intact(ascending && grid.edges.len() <= MOST_EDGES, "edges are not finite and ascending")?;
            }
            intact(column.counts.len() == column.grid.cells(), "a count per cell")?;
            intact(column.counts.iter().all(|&c| count(c)) && count(column.missing), "a cell is no count")?;
            intact(column.known() + column.missing == self.rows, "a column has other rows")?;
        }
        Ok(())
    }
}

/// A column as an axis of numbers: a categorical column's levels stand on whole numbers, the most frequent at 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Axis {
    /// Cell `i` is `(edges[i - 1], edges[i]]`.
    pub edges: Vec<f64>,
    /// Rows per cell, one more than edges.
    pub counts: Vec<f64>,
    /// Where a missing value is put: the median, or the most frequent level.
    pub neutral: f64,
    /// Position of each level, "other" included; empty for a numeric column.
    pub ranks: Vec<u32>,
}

impl Axis {
    pub fn new(margin: &Margin) -> Axis {
        match &margin.grid {
            ColumnGrid::Numeric(grid) => {
                let mut axis =
                    Axis { edges: grid.edges.clone(), counts: margin.counts.clone(), neutral: 0.0, ranks: Vec::new() };
                axis.neutral = axis.median();
                let cell = axis.cell(axis.neutral);
                axis.counts[cell] += margin.missing;
                axis
            }
            ColumnGrid::Categorical { .. } => {
                let mut order: Vec<usize> = (0..margin.counts.len()).collect();
                order.sort_by(|&a, &b| margin.counts[b].total_cmp(&margin.counts[a]).then(a.cmp(&b)));
                let mut ranks = vec![0; order.len()];
                let mut counts = vec![0.0];
                for (rank, &level) in order.iter().enumerate() {
                    ranks[level] = rank as u32;
                    counts.push(margin.counts[level] + if rank == 0 { margin.missing } else { 0.0 });
                }
                counts.push(0.0);
                let edges = (0..=order.len()).map(|k| k as f64 - 0.5).collect();
                Axis { edges, counts, neutral: 0.0, ranks }
            }
        }
    }

    pub fn cell(&self, x: f64) -> usize {
        self.edges.partition_point(|&edge| edge < x)
    }

    /// Lower end of a cell; the outermost have no width.
    pub fn low(&self, cell: usize) -> f64 {
        self.edges.get(cell.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// Upper end of a cell.
    pub fn high(&self, cell: usize) -> f64 {
        self.edges.get(cell.min(self.edges.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }

    fn median(&self) -> f64 {
        let half = self.counts.iter().sum::<f64>() / 2.0;
        let mut below = 0.0;
        for (cell, &count) in self.counts.iter().enumerate() {
            if count > 0.0 && below + count >= half {
                let (low, high) = (self.low(cell), self.high(cell));
                // Never the open lower end, which belongs to the cell before.
                let share = ((half - below) / count).clamp(0.5, 1.0);
                return low + (high - low) * share;
            }
            below += count;
        }
        0.0
    }
}
