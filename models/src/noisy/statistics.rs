//! What a party adds to each private sum, and how its entries are clipped.

use super::{NoisyError, NoisyOptions};
use crate::binning::{Binning, Design, design, max_abs_woe};
use crate::clipped::{Block, ClipError, ClippedSum, RowStatistic, clipped_sum};
use crate::glm::{GlmError, sigmoid};
use crate::grid::{CoarseGrid, ColumnGrid, LabelCountsLayout, ProfileLayout, StatisticsError, validate};
use crate::metrics::ScoreGrid;
use crate::scorecard::Scorecard;
use crate::symmetric::triangle;
use crate::table::{Column, ColumnKind, ColumnSpec, Split, Table};

/// A clip for counts of up to `counts` per row: the norm of a row, with room for rounding.
fn count_clip(counts: usize, options: &NoisyOptions) -> f64 {
    libm::sqrt(counts.max(1) as f64) * options.rows_per_firm * (1.0 + 1e-9)
}

fn block(name: &str, len: usize, clip: f64, share: f64) -> Block {
    Block { name: name.to_owned(), len, clip, share }
}

/// A clipped sum that has a bound: bins and options come from elsewhere, and huge WOE values must not make a clip infinite.
fn bounded_sum(
    statistic: &impl RowStatistic,
    table: &Table,
    blocks: &[Block],
    options: &NoisyOptions,
) -> Result<ClippedSum, NoisyError> {
    options.validate()?;
    if let Some(block) = blocks.iter().find(|b| !b.clip.is_finite()) {
        return Err(ClipError::Clip { block: block.name.clone(), clip: block.clip }.into());
    }
    Ok(clipped_sum(statistic, table, blocks)?)
}

/// Blocks of the first sum: `rows` = good train rows, bad train rows, test rows; `coarse counts` per numeric column as in
/// [`ProfileLayout`] without its first two entries. Not negative before noise.
pub fn profile_blocks(specs: &[ColumnSpec], options: &NoisyOptions) -> Vec<Block> {
    let cells = ProfileLayout::new(specs).len() - 2;
    let columns = cells / (CoarseGrid::CELLS + 1);
    if columns == 0 {
        return vec![block("rows", 3, count_clip(1, options), 1.0)];
    }
    let share = 0.05;
    vec![
        block("rows", 3, count_clip(1, options), share),
        block("coarse counts", cells, count_clip(columns, options), 1.0 - share),
    ]
}

/// Counts of rows and coarse cells; see [`profile_blocks`].
pub struct ProfileStatistic<'a> {
    table: &'a Table,
    layout: ProfileLayout,
}

impl<'a> ProfileStatistic<'a> {
    /// Checks the table.
    pub fn new(table: &'a Table) -> Result<Self, StatisticsError> {
        validate(table)?;
        Ok(ProfileStatistic { table, layout: ProfileLayout::new(&table.specs) })
    }
}

impl RowStatistic for ProfileStatistic<'_> {
    fn len(&self) -> usize {
        self.layout.len() + 1
    }

    fn row(&self, row: usize, mut add: impl FnMut(usize, f64)) {
        if self.table.split[row] == Split::Test {
            return add(2, 1.0);
        }
        add(usize::from(self.table.label[row]), 1.0);
        for (index, column) in self.table.columns.iter().enumerate() {
            if let (Column::Numeric(values), Some(at)) = (column, self.layout.offset(index)) {
                let x = values[row];
                add(at + 1 + if x.is_nan() { CoarseGrid::CELLS } else { CoarseGrid::cell(x) }, 1.0);
            }
        }
    }
}

/// A party's part of the first sum.
pub fn profile_sum(table: &Table, options: &NoisyOptions) -> Result<ClippedSum, NoisyError> {
    bounded_sum(&ProfileStatistic::new(table)?, table, &profile_blocks(&table.specs, options), options)
}

/// One block of the second sum: goods and bads of the train rows as in [`LabelCountsLayout`]. Not negative before noise.
pub fn label_counts_blocks(grids: &[ColumnGrid], options: &NoisyOptions) -> Vec<Block> {
    vec![block("label counts", LabelCountsLayout::new(grids).len(), count_clip(grids.len(), options), 1.0)]
}

/// Goods and bads on the agreed grids.
pub struct LabelCountsStatistic<'a> {
    table: &'a Table,
    grids: &'a [ColumnGrid],
    offsets: Vec<usize>,
    len: usize,
}

impl<'a> LabelCountsStatistic<'a> {
    /// Checks table and grids against each other.
    pub fn new(table: &'a Table, grids: &'a [ColumnGrid]) -> Result<Self, StatisticsError> {
        validate(table)?;
        if grids.len() != table.columns.len() {
            return Err(StatisticsError::Columns { expected: grids.len(), found: table.columns.len() });
        }
        for (spec, grid) in table.specs.iter().zip(grids) {
            let fits = match (&spec.kind, grid) {
                (ColumnKind::Numeric, ColumnGrid::Numeric(_)) => true,
                (ColumnKind::Categorical { levels: own }, ColumnGrid::Categorical { levels }) => own == levels,
                _ => false,
            };
            if !fits {
                return Err(StatisticsError::Kind { column: spec.name.clone() });
            }
        }
        let layout = LabelCountsLayout::new(grids);
        let offsets = (0..grids.len()).map(|column| layout.offset(column)).collect();
        Ok(LabelCountsStatistic { table, grids, offsets, len: layout.len() })
    }
}

impl RowStatistic for LabelCountsStatistic<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn row(&self, row: usize, mut add: impl FnMut(usize, f64)) {
        if self.table.split[row] == Split::Test {
            return;
        }
        let bad = usize::from(self.table.label[row]);
        for ((column, grid), at) in self.table.columns.iter().zip(self.grids).zip(&self.offsets) {
            let cell = match (column, grid) {
                (Column::Numeric(values), ColumnGrid::Numeric(fine)) if values[row].is_nan() => fine.cells(),
                (Column::Numeric(values), ColumnGrid::Numeric(fine)) => fine.cell(values[row]),
                (Column::Categorical(values), _) => values[row] as usize,
                (Column::Numeric(_), ColumnGrid::Categorical { .. }) => continue, // refused by `new`
            };
            add(at + 2 * cell + bad, 1.0);
        }
    }
}

/// A party's part of the second sum.
pub fn label_counts_sum(table: &Table, grids: &[ColumnGrid], options: &NoisyOptions) -> Result<ClippedSum, NoisyError> {
    bounded_sum(&LabelCountsStatistic::new(table, grids)?, table, &label_counts_blocks(grids, options), options)
}

/// Two blocks of a Newton step over `p` binned columns: `gradient` (`p + 1` entries, any sign) and `hessian` (upper triangle of
/// `(p + 1) x (p + 1)`, not negative on the diagonal).
///
/// The clips follow from the published bins alone. With `m^2 = 1 + sum_j E[WOE_j^2]` the mean square length of a row `(1, WOE...)`
/// (lengths of columns add up whatever their correlation), the gradient's clip is `gradient_clip * m`, the Hessian's
/// `hessian_clip * m^2 / 4`, neither more than the largest that a row can have.
pub fn regression_blocks(binnings: &[Binning], options: &NoisyOptions) -> Vec<Block> {
    let mean_square = |b: &Binning| {
        let rows: f64 = b.bins.iter().map(|bin| bin.good + bin.bad).sum();
        b.bins.iter().fold(0.0, |sum, bin| sum + (bin.good + bin.bad) * bin.woe * bin.woe) / rows.max(1.0)
    };
    let largest = |b: &Binning| max_abs_woe(std::slice::from_ref(b));
    let typical = 1.0 + binnings.iter().map(mean_square).sum::<f64>();
    let most = 1.0 + binnings.iter().fold(0.0, |sum, b| sum + largest(b) * largest(b));
    let gradient = libm::sqrt(most).min(options.gradient_clip * libm::sqrt(typical));
    let hessian = most.min(options.hessian_clip * typical) / 4.0;
    let n = binnings.len() + 1;
    let share = options.hessian_share;
    vec![
        block("gradient", n, gradient * options.rows_per_firm, 1.0 - share),
        block("hessian", triangle(n), hessian * options.rows_per_firm, share),
    ]
}

/// Gradient and Hessian of the log-likelihood of "good" at one point.
pub struct RegressionStatistic<'a> {
    /// Position of each row among the train rows.
    at: Vec<Option<usize>>,
    design: Design,
    beta: &'a [f64],
}

impl<'a> RegressionStatistic<'a> {
    /// Looks up the bins of the train rows; `beta` has `p + 1` entries, intercept first.
    pub fn new(table: &Table, binnings: &[Binning], beta: &'a [f64]) -> Result<Self, NoisyError> {
        if beta.len() != binnings.len() + 1 {
            let (expected, found) = (binnings.len() + 1, beta.len());
            return Err(GlmError::Length { what: "beta", expected, found }.into());
        }
        let design = design(table, binnings, Split::Train)?;
        let mut next = 0..;
        let at = table.split.iter().map(|s| if *s == Split::Train { next.next() } else { None }).collect();
        Ok(RegressionStatistic { at, design, beta })
    }
}

impl RowStatistic for RegressionStatistic<'_> {
    fn len(&self) -> usize {
        self.beta.len() + triangle(self.beta.len())
    }

    fn row(&self, row: usize, mut add: impl FnMut(usize, f64)) {
        let Some(at) = self.at[row] else { return };
        let x = self.design.x.row(at);
        let n = self.beta.len();
        let eta = x.iter().zip(&self.beta[1..]).fold(self.beta[0], |sum, (x, b)| sum + x * b);
        let probability = sigmoid(eta.clamp(-30.0, 30.0));
        let residual = f64::from(u8::from(self.design.good[at])) - probability;
        let weight = probability * (1.0 - probability);
        let value = |j: usize| if j == 0 { 1.0 } else { x[j - 1] };
        let mut entry = n;
        for j in 0..n {
            let xj = value(j);
            add(j, residual * xj);
            for k in j..n {
                add(entry, weight * xj * value(k));
                entry += 1;
            }
        }
    }
}

/// A party's part of a Newton step at `beta`.
pub fn regression_sum(
    table: &Table,
    binnings: &[Binning],
    beta: &[f64],
    options: &NoisyOptions,
) -> Result<ClippedSum, NoisyError> {
    let statistic = RegressionStatistic::new(table, binnings, beta)?;
    bounded_sum(&statistic, table, &regression_blocks(binnings, options), options)
}

/// The grid of the last sum, from the scorecard alone: all log-odds that it can give, at most 4 to either side of its intercept.
pub fn score_grid(scorecard: &Scorecard, options: &NoisyOptions) -> ScoreGrid {
    let (mut lower, mut upper) = (0.0, 0.0);
    for v in &scorecard.variables {
        let values = || v.binning.bins.iter().map(|b| v.coefficient * b.woe);
        lower += values().fold(f64::INFINITY, f64::min).min(0.0);
        upper += values().fold(f64::NEG_INFINITY, f64::max).max(0.0);
    }
    let at = |x: f64| scorecard.intercept + x;
    ScoreGrid { lower: at(lower.clamp(-4.0, -0.01)), upper: at(upper.clamp(0.01, 4.0)), cells: options.score_cells }
}

/// One block of the last sum: goods and bads per cell of [`score_grid`], train rows, then goods and bads of the test rows. Not
/// negative before noise. A firm with train and test rows is clipped over both.
pub fn evaluation_blocks(options: &NoisyOptions) -> Vec<Block> {
    vec![block("train and test histograms", 4 * options.score_cells, count_clip(1, options), 1.0)]
}

/// Histograms of the scores of train and test rows.
pub struct EvaluationStatistic<'a> {
    table: &'a Table,
    grid: ScoreGrid,
    scores: Vec<f64>,
}

impl<'a> EvaluationStatistic<'a> {
    /// Scores the table.
    pub fn new(table: &'a Table, scorecard: &Scorecard, options: &NoisyOptions) -> Result<Self, NoisyError> {
        let grid = score_grid(scorecard, options);
        grid.validate()?;
        Ok(EvaluationStatistic { table, grid, scores: scorecard.score_table(table)? })
    }
}

impl RowStatistic for EvaluationStatistic<'_> {
    fn len(&self) -> usize {
        4 * self.grid.cells
    }

    fn row(&self, row: usize, mut add: impl FnMut(usize, f64)) {
        let (test, bad) = (self.table.split[row] == Split::Test, self.table.label[row]);
        let histogram = 2 * usize::from(test) + usize::from(bad);
        add(histogram * self.grid.cells + self.grid.cell(self.scores[row]), 1.0);
    }
}

/// A party's part of the last sum.
pub fn evaluation_sum(table: &Table, scorecard: &Scorecard, options: &NoisyOptions) -> Result<ClippedSum, NoisyError> {
    let statistic = EvaluationStatistic::new(table, scorecard, options)?;
    bounded_sum(&statistic, table, &evaluation_blocks(options), options)
}
