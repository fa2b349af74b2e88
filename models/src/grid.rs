//! Agreed grids and the counts that parties add up on them.
//!
//! Two secure sums tell the coordinator all it needs to bin a column:
//!
//! 1. [`profile`]: counts on the [`CoarseGrid`], the same for every column of every job, so nobody has to reveal a minimum or a
//!    maximum first. Out of the sum come the cut points of one [`FineGrid`] per numeric column.
//! 2. [`label_counts`]: goods and bads per fine cell or level.
//!
//! Both are flat vectors of non-negative integers held in `f64`.

use crate::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use serde::{Deserialize, Serialize};

/// What can be wrong with a table or with counts that came out of a sum.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    /// Labels, splits and columns must all have one entry per row.
    #[error(
        "column `{column}` has {found} rows where {expected} are expected: load all columns of the table from the same rows"
    )]
    Rows {
        /// Name of the column, or `label` / `split` / `firms`.
        column: String,
        /// Rows of the table.
        expected: usize,
        /// Rows of this column.
        found: usize,
    },
    /// The table has more or fewer columns than specs or grids.
    #[error(
        "the table has {found} columns where the job names {expected}: load exactly the columns of the job, in its order"
    )]
    Columns {
        /// Columns that the job names.
        expected: usize,
        /// Columns of the table.
        found: usize,
    },
    /// A numeric column arrived where a categorical one is agreed, or the other way round.
    #[error(
        "column `{column}` is not of the kind (numeric or categorical) that the job agreed on: check the job's column list"
    )]
    Kind {
        /// Name of the column.
        column: String,
    },
    /// A column that a model needs is not in the table.
    #[error("column `{column}` is missing from the table: add it to the party's view")]
    Absent {
        /// Name of the column.
        column: String,
    },
    /// A value is infinite.
    #[error("column `{column}` holds an infinite value in row {row}: clean the source, or leave the field empty")]
    Infinite {
        /// Name of the column.
        column: String,
        /// Row, counted from 0.
        row: usize,
    },
    /// A level index is beyond `levels.len() + 1`.
    #[error(
        "column `{column}` holds the level index {level} in row {row}, beyond its agreed levels: reload it with the job's levels"
    )]
    Level {
        /// Name of the column.
        column: String,
        /// Row, counted from 0.
        row: usize,
        /// The index found.
        level: u32,
    },
    /// The vector has not the length that its layout asks for.
    #[error(
        "a statistics vector of {expected} entries is expected, {found} came: both sides must use the same job and grids"
    )]
    Length {
        /// Entries by the layout.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// Counts must be whole, finite and not negative.
    #[error(
        "entry {index} of the counts is {value}, not a non-negative whole number: the sum was decoded with a wrong scale"
    )]
    NotACount {
        /// Position in the vector.
        index: usize,
        /// The value found.
        value: f64,
    },
}

/// Checks that all vectors of the table agree in length and kind, numbers are not infinite and level indices are in range.
pub fn validate(table: &Table) -> Result<(), StatisticsError> {
    let rows = table.rows();
    if table.columns.len() != table.specs.len() {
        return Err(StatisticsError::Columns { expected: table.specs.len(), found: table.columns.len() });
    }
    let same = |column: &str, found: usize| {
        if found == rows {
            Ok(())
        } else {
            Err(StatisticsError::Rows { column: column.to_owned(), expected: rows, found })
        }
    };
    same("split", table.split.len())?;
    same("firms", table.firms.as_ref().map_or(rows, Vec::len))?;
    for (spec, column) in table.specs.iter().zip(&table.columns) {
        same(&spec.name, column.len())?;
        match (&spec.kind, column) {
            (ColumnKind::Numeric, Column::Numeric(values)) => {
                if let Some(row) = values.iter().position(|x| x.is_infinite()) {
                    return Err(StatisticsError::Infinite { column: spec.name.clone(), row });
                }
            }
            (ColumnKind::Categorical { levels }, Column::Categorical(values)) => {
                if let Some(row) = values.iter().position(|&x| x as usize > levels.len() + 1) {
                    return Err(StatisticsError::Level { column: spec.name.clone(), row, level: values[row] });
                }
            }
            _ => {
                return Err(StatisticsError::Kind { column: spec.name.clone() });
            }
        }
    }
    Ok(())
}

/// Row numbers of one split, ascending.
pub fn rows_of(table: &Table, split: Split) -> Vec<usize> {
    (0..table.rows()).filter(|&row| table.split[row] == split).collect()
}

fn check_counts(counts: &[f64], expected: usize) -> Result<(), StatisticsError> {
    if counts.len() != expected {
        return Err(StatisticsError::Length { expected, found: counts.len() });
    }
    match counts.iter().position(|&c| !(c >= 0.0 && c.is_finite() && libm::floor(c) == c)) {
        Some(index) => Err(StatisticsError::NotACount { index, value: counts[index] }),
        None => Ok(()),
    }
}

/// Universal coarse grid over all finite `f64`, needing no knowledge of the domain: order-preserving cells by sign, exponent
/// and the three leading bits of the mantissa, as in an HDR histogram.
///
/// One cell for exact 0, and for each sign magnitudes from 2^-20 to 2^44 with 8 cells per octave (relative width at most
/// 12.5 %), clamped outside. Cells are closed on the right, `(lower, upper]`, so that a whole number up to 16 is the
/// upper end of its own cell and "x <= 5" is a natural cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoarseGrid;

impl CoarseGrid {
    const MIN_EXPONENT: i64 = -20;
    const OCTAVES: usize = 64;
    const PER_OCTAVE_BITS: u32 = 3;
    /// Cells per sign.
    const SIDE: usize = Self::OCTAVES << Self::PER_OCTAVE_BITS;
    /// Number of cells.
    pub const CELLS: usize = 2 * Self::SIDE + 1;
    /// The cell that holds exactly 0 (and -0).
    pub const ZERO: usize = Self::SIDE;

    /// Cell of a finite value; total: NaN falls into the cell of zero, infinities into the outermost cells.
    pub fn cell(x: f64) -> usize {
        if x == 0.0 || x.is_nan() {
            return Self::ZERO;
        }
        // The bits of a positive float order like the float; one less makes the cells closed at the larger magnitude.
        let magnitude = x.abs().to_bits() - u64::from(x > 0.0);
        let first = (1023 + Self::MIN_EXPONENT) << Self::PER_OCTAVE_BITS;
        let index = (magnitude >> (52 - Self::PER_OCTAVE_BITS)) as i64 - first;
        let index = index.clamp(0, Self::SIDE as i64 - 1) as usize;
        if x > 0.0 { Self::ZERO + 1 + index } else { Self::ZERO - 1 - index }
    }

    /// Open lower end of a cell, as if nothing was clamped; the cell of zero has both ends at 0.
    pub fn lower(cell: usize) -> f64 {
        match cell.min(Self::CELLS - 1) {
            c if c > Self::ZERO => Self::magnitude(c - Self::ZERO - 1),
            c if c < Self::ZERO => -Self::magnitude(Self::ZERO - c),
            _ => 0.0,
        }
    }

    /// Closed upper end of a cell, as if nothing was clamped.
    pub fn upper(cell: usize) -> f64 {
        match cell.min(Self::CELLS - 1) {
            c if c > Self::ZERO => Self::magnitude(c - Self::ZERO),
            c if c < Self::ZERO => -Self::magnitude(Self::ZERO - c - 1),
            _ => 0.0,
        }
    }

    /// The `index`-th boundary counted from 2^-20 upwards.
    fn magnitude(index: usize) -> f64 {
        let first = ((1023 + Self::MIN_EXPONENT) as u64) << Self::PER_OCTAVE_BITS;
        f64::from_bits((first + index as u64) << (52 - Self::PER_OCTAVE_BITS))
    }
}

/// Sorted cut points of one numeric column. Cell `i` holds `(edges[i-1], edges[i]]`; the first and last cells are unbounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineGrid {
    /// Distinct, ascending.
    pub edges: Vec<f64>,
}

impl FineGrid {
    /// Quantile cut points from the summed counts on the [`CoarseGrid`], at most `cells` cells.
    ///
    /// Exact zero keeps a cell of its own. A column with few occupied coarse cells gets all of them, and the heaviest
    /// are divided further; otherwise cuts are interpolated quantiles. Cuts inside a coarse cell move to a rounder number
    /// where one is near, because people choose round numbers: 50,000 is a cut, 50,123.7 is not.
    pub fn from_coarse(counts: &[f64], cells: usize) -> Result<FineGrid, StatisticsError> {
        check_counts(counts, CoarseGrid::CELLS)?;
        let occupied: Vec<(usize, f64)> = counts.iter().copied().enumerate().filter(|&(_, n)| n > 0.0).collect();
        let Some(&(last, _)) = occupied.last() else {
            return Ok(FineGrid { edges: Vec::new() });
        };
        let cells = cells.max(2);
        // A cut is (position, may it move).
        let mut cuts = if occupied.len() <= cells { divided(&occupied, cells) } else { quantiles(&occupied, cells) };
        cuts.sort_by(|a, b| a.0.total_cmp(&b.0));
        cuts.dedup_by(|a, b| a.0 == b.0);
        cuts.retain(|&(x, _)| x < CoarseGrid::upper(last));
        Ok(FineGrid { edges: rounded(&cuts, CoarseGrid::lower(occupied[0].0), CoarseGrid::upper(last)) })
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.edges.len() + 1
    }

    /// Cell of a value that is not missing.
    pub fn cell(&self, x: f64) -> usize {
        self.edges.partition_point(|&edge| edge < x)
    }
}

/// Every occupied cell ends in a cut; what is left of the budget divides the heaviest (widest share per part) evenly.
fn divided(occupied: &[(usize, f64)], cells: usize) -> Vec<(f64, bool)> {
    let mut parts = vec![1usize; occupied.len()];
    for _ in occupied.len()..cells {
        let mut best: Option<(usize, f64)> = None;
        for (i, &(cell, count)) in occupied.iter().enumerate() {
            let share = count / parts[i] as f64;
            if cell != CoarseGrid::ZERO && best.is_none_or(|(_, s)| share > s) {
                best = Some((i, share));
            }
        }
        let Some((i, _)) = best else { break };
        parts[i] += 1;
    }
    let mut cuts = Vec::with_capacity(cells);
    for (&(cell, _), &n) in occupied.iter().zip(&parts) {
        let (lower, upper) = (CoarseGrid::lower(cell), CoarseGrid::upper(cell));
        cuts.extend((1..n).map(|k| (lower + (upper - lower) * k as f64 / n as f64, true)));
        cuts.push((upper, false));
        if cell == CoarseGrid::ZERO {
            cuts.push((CoarseGrid::upper(CoarseGrid::ZERO - 1), false));
        }
    }
    if occupied[0].0 == CoarseGrid::ZERO {
        cuts.retain(|&(x, _)| x >= 0.0);
    }
    cuts
}

/// Interpolated quantiles of everything but exact zero, which gets its own cell when it is occupied.
fn quantiles(occupied: &[(usize, f64)], cells: usize) -> Vec<(f64, bool)> {
    let mut cuts = Vec::with_capacity(cells + 1);
    let zero = occupied.iter().any(|&(cell, _)| cell == CoarseGrid::ZERO);
    if zero {
        cuts.push((0.0, false));
        if occupied[0].0 < CoarseGrid::ZERO {
            cuts.push((CoarseGrid::upper(CoarseGrid::ZERO - 1), false));
        }
    }
    let parts = cells.saturating_sub(cuts.len()).max(2);
    let rest = || occupied.iter().filter(|&&(cell, _)| cell != CoarseGrid::ZERO);
    let total: f64 = rest().map(|&(_, n)| n).sum();
    let (mut below, mut k) = (0.0, 1usize);
    for &(cell, count) in rest() {
        while k < parts && total * k as f64 / parts as f64 <= below + count {
            let inside = (total * k as f64 / parts as f64 - below) / count;
            let (lower, upper) = (CoarseGrid::lower(cell), CoarseGrid::upper(cell));
            cuts.push((lower + (upper - lower) * inside, true));
            k += 1;
        }
        below += count;
    }
    cuts
}

/// Moves each movable cut to the roundest number within a quarter of the way to its neighbours.
fn rounded(cuts: &[(f64, bool)], lowest: f64, highest: f64) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::with_capacity(cuts.len());
    for (i, &(x, movable)) in cuts.iter().enumerate() {
        let before = if i > 0 { cuts[i - 1].0 } else { lowest };
        let after = cuts.get(i + 1).map_or(highest, |&(y, _)| y);
        let edge = if movable { roundest(x - (x - before) / 4.0, x + (after - x) / 4.0, x) } else { x };
        if edges.last().is_none_or(|&e| e < edge) {
            edges.push(edge);
        }
    }
    edges
}

/// The number with the fewest decimals (counted from the left) in `[low, high]`, the nearest to `x` among equals.
fn roundest(low: f64, high: f64, x: f64) -> f64 {
    for decimals in (-13i32..=12).rev().map(|d| -d) {
        let scale = (0..decimals.unsigned_abs()).fold(1.0f64, |p, _| p * 10.0);
        let candidate = if decimals < 0 { libm::round(x / scale) * scale } else { libm::round(x * scale) / scale };
        if candidate >= low && candidate <= high {
            return candidate + 0.0;
        }
    }
    x
}

/// Where the entries of the round-1 vector lie: `rows, bads`, then per numeric column `CELLS` counts and the missing rows.
/// Categorical columns add nothing: their levels are agreed beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileLayout {
    numeric: Vec<bool>,
}

impl ProfileLayout {
    /// Layout for the columns of a job.
    pub fn new(specs: &[ColumnSpec]) -> Self {
        ProfileLayout { numeric: specs.iter().map(|s| s.kind == ColumnKind::Numeric).collect() }
    }

    /// Number of entries of the vector.
    pub fn len(&self) -> usize {
        2 + self.numeric.iter().filter(|&&n| n).count() * (CoarseGrid::CELLS + 1)
    }

    /// Never true: rows and bads are always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// First entry of a numeric column (`CELLS` counts, then missing); `None` for categorical columns.
    pub fn offset(&self, column: usize) -> Option<usize> {
        let numeric = *self.numeric.get(column)?;
        let before = self.numeric[..column].iter().filter(|&&n| n).count();
        numeric.then_some(2 + before * (CoarseGrid::CELLS + 1))
    }

    /// Reads a vector, local or summed.
    pub fn read<'a>(&self, counts: &'a [f64]) -> Result<Profile<'a>, StatisticsError> {
        check_counts(counts, self.len())?;
        let columns = (0..self.numeric.len())
            .map(|column| {
                self.offset(column).map(|at| ColumnProfile {
                    coarse: &counts[at..at + CoarseGrid::CELLS],
                    missing: counts[at + CoarseGrid::CELLS],
                })
            })
            .collect();
        Ok(Profile { rows: counts[0], bads: counts[1], columns })
    }
}

/// A round-1 vector, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile<'a> {
    /// Rows of the split.
    pub rows: f64,
    /// Bad rows of the split.
    pub bads: f64,
    /// One per column of the job; `None` for categorical columns.
    pub columns: Vec<Option<ColumnProfile<'a>>>,
}

/// One numeric column in a [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnProfile<'a> {
    /// Counts of the rows that are not missing, per coarse cell.
    pub coarse: &'a [f64],
    /// Rows without a value.
    pub missing: f64,
}

/// Round 1, local half: the vector that [`ProfileLayout`] describes, over the rows of one split.
pub fn profile(table: &Table, split: Split) -> Result<Vec<f64>, StatisticsError> {
    validate(table)?;
    let layout = ProfileLayout::new(&table.specs);
    let mut counts = vec![0.0; layout.len()];
    let rows = rows_of(table, split);
    counts[0] = rows.len() as f64;
    counts[1] = rows.iter().filter(|&&row| table.label[row]).count() as f64;
    for (index, column) in table.columns.iter().enumerate() {
        if let (Column::Numeric(values), Some(at)) = (column, layout.offset(index)) {
            for &row in &rows {
                let x = values[row];
                counts[at + if x.is_nan() { CoarseGrid::CELLS } else { CoarseGrid::cell(x) }] += 1.0;
            }
        }
    }
    Ok(counts)
}

/// Round 1, second half: the grids of round 2 from the summed profile.
pub fn grids(specs: &[ColumnSpec], profile: &[f64], fine_cells: usize) -> Result<Vec<ColumnGrid>, StatisticsError> {
    let profile = ProfileLayout::new(specs).read(profile)?;
    specs
        .iter()
        .zip(&profile.columns)
        .map(|(spec, column)| match (&spec.kind, column) {
            (ColumnKind::Categorical { levels }, _) => Ok(ColumnGrid::Categorical { levels: levels.clone() }),
            (ColumnKind::Numeric, Some(column)) => {
                FineGrid::from_coarse(column.coarse, fine_cells).map(ColumnGrid::Numeric)
            }
            (ColumnKind::Numeric, None) => Err(StatisticsError::Kind { column: spec.name.clone() }),
        })
        .collect()
}

/// The agreed cells of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ColumnGrid {
    /// Cut points of a numeric column.
    Numeric(FineGrid),
    /// Levels of a categorical column.
    Categorical {
        /// In the order of the histogram.
        levels: Vec<String>,
    },
}

impl ColumnGrid {
    /// Cells without the missing one: fine cells, or levels and "other".
    pub fn cells(&self) -> usize {
        match self {
            ColumnGrid::Numeric(grid) => grid.cells(),
            ColumnGrid::Categorical { levels } => levels.len() + 1,
        }
    }
}

/// Where the entries of the round-2 vector lie: per column, for each cell in order and then for missing, `good, bad`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelCountsLayout {
    /// Cells per column, missing included.
    cells: Vec<usize>,
}

impl LabelCountsLayout {
    /// Layout for the agreed grids.
    pub fn new(grids: &[ColumnGrid]) -> Self {
        LabelCountsLayout { cells: grids.iter().map(|g| g.cells() + 1).collect() }
    }

    /// Number of entries of the vector.
    pub fn len(&self) -> usize {
        2 * self.cells.iter().sum::<usize>()
    }

    /// True when there is no column.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// First entry of a column.
    pub fn offset(&self, column: usize) -> usize {
        2 * self.cells.iter().take(column).sum::<usize>()
    }

    /// Reads a vector, local or summed: per column, `[good, bad]` per cell with missing last.
    pub fn read(&self, counts: &[f64]) -> Result<Vec<Vec<[f64; 2]>>, StatisticsError> {
        check_counts(counts, self.len())?;
        let mut pairs = counts.chunks_exact(2).map(|p| [p[0], p[1]]);
        Ok(self.cells.iter().map(|&n| pairs.by_ref().take(n).collect()).collect())
    }
}

/// Round 2, local half: goods and bads of the train rows on the agreed grids, as [`LabelCountsLayout`] describes.
pub fn label_counts(table: &Table, grids: &[ColumnGrid]) -> Result<Vec<f64>, StatisticsError> {
    validate(table)?;
    if grids.len() != table.columns.len() {
        return Err(StatisticsError::Columns { expected: grids.len(), found: table.columns.len() });
    }
    let layout = LabelCountsLayout::new(grids);
    let mut counts = vec![0.0; layout.len()];
    let rows = rows_of(table, Split::Train);
    for (index, (column, grid)) in table.columns.iter().zip(grids).enumerate() {
        let at = layout.offset(index);
        let mut add = |row: usize, cell: usize| counts[at + 2 * cell + usize::from(table.label[row])] += 1.0;
        match (column, grid, &table.specs[index].kind) {
            (Column::Numeric(values), ColumnGrid::Numeric(fine), _) => {
                for &row in &rows {
                    let x = values[row];
                    add(row, if x.is_nan() { fine.cells() } else { fine.cell(x) });
                }
            }
            (
                Column::Categorical(values),
                ColumnGrid::Categorical { levels },
                ColumnKind::Categorical { levels: own },
            ) if levels == own => {
                for &row in &rows {
                    add(row, values[row] as usize);
                }
            }
            _ => {
                return Err(StatisticsError::Kind { column: table.specs[index].name.clone() });
            }
        }
    }
    Ok(counts)
}
