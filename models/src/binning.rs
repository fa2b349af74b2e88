//! From good and bad counts to bins with a weight of evidence.
//!
//! Conventions, used throughout the crate: `y = 1` is bad, and **a high weight of evidence is good**:
//!
//! ```text
//! WOE_i = ln( (good_i / G + e) / (bad_i / B + e) )      e = 2 * smoothing / (G + B)
//! IV_i  = (good_i / G - bad_i / B) * WOE_i              IV = sum of IV_i
//! ```
//!
//! G and B count the goods and bads of all train rows. With half of the rows bad this is the usual `(good_i + s) / G`; for any
//! other mix it draws small bins towards 0, gives exactly 0 to an empty bin, and no IV_i can be negative.

use crate::grid::{ColumnGrid, LabelCountsLayout, StatisticsError, validate};
use crate::table::{Column, ColumnSpec, Split, Table};
use serde::{Deserialize, Serialize};

/// How columns are binned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinningOptions {
    /// Most bins per column, without missing and the neutral "other".
    pub max_bins: usize,
    /// Fewest train rows in a bin, as a fraction of all train rows.
    pub min_bin_fraction: f64,
    /// Fewest train rows in a bin, also the privacy floor of the counts that a scorecard publishes.
    pub min_bin_rows: f64,
    /// Numeric columns: WOE must rise or fall along the column.
    pub monotone: bool,
    /// Pseudo-rows per class added to each bin, see the module text.
    pub smoothing: f64,
    /// What a further bin must add to `IV / (1/G + 1/B)`, which is near chi-square with one degree of freedom when the bin is
    /// noise: 3.84 asks for evidence at the 5 % level, 0 for none.
    pub min_chi_square: f64,
    /// Fine cells per numeric column.
    pub fine_cells: usize,
}

impl Default for BinningOptions {
    fn default() -> Self {
        BinningOptions {
            max_bins: 6,
            min_bin_fraction: 0.02,
            min_bin_rows: 30.0,
            monotone: true,
            smoothing: 0.5,
            min_chi_square: 3.84,
            fine_cells: 64,
        }
    }
}

/// Why columns cannot be binned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BinningError {
    /// The counts do not fit the grids.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Without both classes there is nothing to tell apart.
    #[error(
        "the train rows hold {good} goods and {bad} bads: both classes are needed, check the label rule and the observation window"
    )]
    OneClass {
        /// Good train rows.
        good: f64,
        /// Bad train rows.
        bad: f64,
    },
    /// Each row is counted once per column, so the totals must agree.
    #[error(
        "column `{column}` counts {found} train rows where the first column counts {expected}: some party computed it on other rows"
    )]
    Totals {
        /// Name of the column.
        column: String,
        /// Rows by the first column.
        expected: f64,
        /// Rows by this column.
        found: f64,
    },
    /// An option is out of its range.
    #[error("binning option `{option}` is out of range: {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl BinningOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), BinningError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(BinningError::Option { option, allowed }) }
        };
        rule((1..=50).contains(&self.max_bins), "max_bins", "1 to 50")?;
        rule((0.0..=0.5).contains(&self.min_bin_fraction), "min_bin_fraction", "0 to 0.5")?;
        rule(self.min_bin_rows.is_finite() && self.min_bin_rows >= 1.0, "min_bin_rows", "at least 1")?;
        rule(self.smoothing.is_finite() && self.smoothing > 0.0, "smoothing", "above 0")?;
        rule(self.min_chi_square.is_finite() && self.min_chi_square >= 0.0, "min_chi_square", "0 or more")?;
        rule((2..=256).contains(&self.fine_cells), "fine_cells", "2 to 256")
    }
}

/// Which values a bin holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BinKind {
    /// Numbers in `(lower, upper]`; an absent end is unbounded.
    Range {
        /// Not included.
        lower: Option<f64>,
        /// Included.
        upper: Option<f64>,
    },
    /// Some of the agreed levels.
    Levels {
        /// In the order of the job.
        levels: Vec<String>,
        /// Whether every level that was not agreed on belongs here too.
        other: bool,
    },
    /// No value.
    Missing,
}

/// One bin of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// The values it holds.
    pub kind: BinKind,
    /// Good train rows; 0 if suppressed.
    pub good: f64,
    /// Bad train rows; 0 if suppressed.
    pub bad: f64,
    /// Weight of evidence; high is good.
    pub woe: f64,
    /// Share of the column's information value.
    pub iv: f64,
    /// The bin has too few rows to say anything (missing, or unseen levels): its WOE is set to 0.
    pub neutral: bool,
    /// Set when the bin has rows, but fewer than this floor: its counts are not published. Always neutral then,
    /// except in a vertical model, where it may take the weight of the bin that is most alike ([`crate::vertical::woe::Joined`]).
    #[serde(default)]
    pub suppressed_below: Option<f64>,
}

/// How the WOE of a numeric column goes as its value rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// Larger is better.
    Increasing,
    /// Larger is worse.
    Decreasing,
    /// No order: categorical, a single bin, or binned without the monotone rule.
    None,
}

/// Why a column has a single bin, or none that says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flat {
    /// No train row has a value.
    AllMissing,
    /// All values fall into one cell.
    Constant,
    /// Fewer train rows with a value than one bin needs.
    TooFewRows,
    /// No cut satisfies the minimum rows, the monotone rule and the evidence asked for.
    NoEvidence,
}

/// A binned column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binning {
    /// Name of the column.
    pub column: String,
    /// The agreed levels of a categorical column, in the order of the histogram; `None` for a numeric one.
    pub levels: Option<Vec<String>>,
    /// Ranges by value, or level groups from worst to best, then perhaps a neutral "other", then always missing.
    pub bins: Vec<Bin>,
    /// Information value.
    pub iv: f64,
    /// Direction of the WOE.
    pub monotone: Trend,
    /// Set when the values are not divided, with the reason.
    pub flat: Option<Flat>,
    /// The smoothing behind the WOE values, so that anybody with the counts can recompute them.
    pub smoothing: f64,
}

/// Turns the summed round-2 vector into bins, one [`Binning`] per column of the job.
///
/// Numeric columns: of all ways to merge neighbouring fine cells into at most `max_bins` bins with the minimum rows and (if
/// asked) monotone WOE in either direction, the one with the largest IV less the evidence asked for per bin, found by
/// dynamic programming over (number of bins, first and last cell of the last bin): at most `cells^3 * max_bins / 6` steps.
/// Categorical columns: the same over the levels sorted by WOE, after levels with fewer than `min_bin_rows` rows have been put
/// together with "other".
pub fn bin_columns(
    specs: &[ColumnSpec],
    grids: &[ColumnGrid],
    counts: &[f64],
    options: &BinningOptions,
) -> Result<Vec<Binning>, BinningError> {
    options.validate()?;
    if specs.len() != grids.len() {
        return Err(StatisticsError::Columns { expected: specs.len(), found: grids.len() }.into());
    }
    let cells = LabelCountsLayout::new(grids).read(counts)?;
    let Some(first) = cells.first() else {
        return Ok(Vec::new());
    };
    let totals = Totals::of(first, options.smoothing);
    if totals.good < 1.0 || totals.bad < 1.0 {
        return Err(BinningError::OneClass { good: totals.good, bad: totals.bad });
    }
    specs
        .iter()
        .zip(grids)
        .zip(&cells)
        .map(|((spec, grid), cells)| {
            let found = Totals::of(cells, options.smoothing);
            if found.good != totals.good || found.bad != totals.bad {
                let (expected, found) = (totals.rows(), found.rows());
                return Err(BinningError::Totals { column: spec.name.clone(), expected, found });
            }
            let shape = if options.monotone { Shape::Monotone } else { Shape::Free };
            Ok(bin_column(&spec.name, grid, cells, &totals, options, shape))
        })
        .collect()
}

/// Goods and bads of all train rows, and the smoothing they imply.
struct Totals {
    good: f64,
    bad: f64,
    epsilon: f64,
}

impl Totals {
    fn of(cells: &[[f64; 2]], smoothing: f64) -> Totals {
        let good: f64 = cells.iter().map(|c| c[0]).sum();
        let bad: f64 = cells.iter().map(|c| c[1]).sum();
        Totals { good, bad, epsilon: 2.0 * smoothing / (good + bad).max(1.0) }
    }

    fn rows(&self) -> f64 {
        self.good + self.bad
    }

    fn woe(&self, [good, bad]: [f64; 2]) -> f64 {
        libm::log((good / self.good + self.epsilon) / (bad / self.bad + self.epsilon))
    }

    fn iv(&self, cell: [f64; 2]) -> f64 {
        (cell[0] / self.good - cell[1] / self.bad) * self.woe(cell)
    }

    fn bin(&self, kind: BinKind, cell: [f64; 2], neutral: bool) -> Bin {
        let (woe, iv) = if neutral { (0.0, 0.0) } else { (self.woe(cell), self.iv(cell)) };
        Bin { kind, good: cell[0], bad: cell[1], woe, iv, neutral, suppressed_below: None }
    }
}

/// How the WOE of a numeric column may go as its value rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Rising or falling, unless a turn (or, after that, freedom) gains at least a tenth of the information value and 0.01.
    #[default]
    Auto,
    /// Rising or falling.
    Monotone,
    /// At most one change of direction.
    OneTurn,
    /// Anything.
    Free,
}

/// Bins of one column from `good, bad` per cell (missing last), where the cells need not cover all of the `good, bad` train rows:
/// some may have been withheld, and count as empty.
pub(crate) fn bin_counts(
    name: &str,
    grid: &ColumnGrid,
    cells: &[[f64; 2]],
    [good, bad]: [f64; 2],
    options: &BinningOptions,
    shape: Shape,
) -> Binning {
    let totals = Totals { good, bad, epsilon: 2.0 * options.smoothing / (good + bad).max(1.0) };
    bin_column(name, grid, cells, &totals, options, shape)
}

fn add(cells: &[[f64; 2]]) -> [f64; 2] {
    cells.iter().fold([0.0, 0.0], |sum, c| [sum[0] + c[0], sum[1] + c[1]])
}

fn bin_column(
    name: &str,
    grid: &ColumnGrid,
    cells: &[[f64; 2]],
    totals: &Totals,
    options: &BinningOptions,
    shape: Shape,
) -> Binning {
    let (missing, values) = (cells[cells.len() - 1], &cells[..cells.len() - 1]);
    let min_rows = options.min_bin_rows.max(options.min_bin_fraction * totals.rows());
    let merge = Merge { totals, options, min_rows };
    let (mut bins, mut monotone, mut flat) = match grid {
        ColumnGrid::Numeric(fine) => merge.numeric(&fine.edges, values, shape),
        ColumnGrid::Categorical { levels } => merge.categorical(levels, values),
    };
    if flat.is_some() {
        monotone = Trend::None;
    }
    if add(values) == [0.0, 0.0] {
        flat = Some(Flat::AllMissing);
    }
    let few = missing[0] + missing[1] < options.min_bin_rows;
    bins.push(totals.bin(BinKind::Missing, missing, few));
    // One usable bin says nothing; undivided values against enough missing rows do.
    if flat.is_some() && (few || matches!(flat, Some(Flat::TooFewRows | Flat::AllMissing))) {
        for bin in &mut bins {
            (bin.woe, bin.iv, bin.neutral) = (0.0, 0.0, true);
        }
    }
    bins.iter_mut().for_each(|bin| suppress(bin, options.min_bin_rows));
    let iv = bins.iter().map(|b| b.iv).sum();
    let levels = match grid {
        ColumnGrid::Numeric(_) => None,
        ColumnGrid::Categorical { levels } => Some(levels.clone()),
    };
    Binning { column: name.to_owned(), levels, bins, iv, monotone, flat, smoothing: options.smoothing }
}

/// Hides the counts of a bin below the floor. Such a bin is neutral: no WOE can tell them either. A bin without rows hides
/// nobody and stays 0.
pub(crate) fn suppress(bin: &mut Bin, floor: f64) {
    let rows = bin.good + bin.bad;
    if bin.neutral && rows > 0.0 && rows < floor {
        (bin.good, bin.bad, bin.suppressed_below) = (0.0, 0.0, Some(floor));
    }
}

/// Merging neighbouring cells of one column.
struct Merge<'a> {
    totals: &'a Totals,
    options: &'a BinningOptions,
    min_rows: f64,
}

type Merged = (Vec<Bin>, Trend, Option<Flat>);

impl Merge<'_> {
    fn numeric(&self, edges: &[f64], cells: &[[f64; 2]], shape: Shape) -> Merged {
        // Empty cells join the next occupied one, so that a cut sits at the end of the values below it.
        let occupied: Vec<usize> = (0..cells.len()).filter(|&i| cells[i] != [0.0, 0.0]).collect();
        let counts: Vec<[f64; 2]> = occupied.iter().map(|&i| cells[i]).collect();
        let (trend, ends) = self.shaped(&counts, shape);
        let (mut bins, mut start, mut lower) = (Vec::new(), 0, None);
        for (k, &end) in ends.iter().enumerate() {
            // The last bin is unbounded above; earlier ones end with the edge of their last occupied cell.
            let upper = if k + 1 < ends.len() { Some(edges[occupied[end - 1]]) } else { None };
            bins.push(self.totals.bin(BinKind::Range { lower, upper }, add(&counts[start..end]), false));
            (start, lower) = (end, upper);
        }
        if bins.is_empty() {
            bins.push(self.totals.bin(BinKind::Range { lower: None, upper: None }, [0.0, 0.0], true));
        }
        (bins, trend, self.flat(&counts, ends.len()))
    }

    fn categorical(&self, levels: &[String], cells: &[[f64; 2]]) -> Merged {
        let large = |i: &usize| cells[*i][0] + cells[*i][1] >= self.options.min_bin_rows;
        let (mut groups, small): (Vec<Vec<usize>>, Vec<usize>) = {
            let (large, small): (Vec<usize>, Vec<usize>) = (0..levels.len()).partition(large);
            (large.into_iter().map(|i| vec![i]).collect(), small)
        };
        // The group of rare levels and of levels not agreed on ("other" has the index levels.len()).
        let rest: Vec<usize> = small.into_iter().chain([levels.len()]).collect();
        let rest_counts = rest.iter().fold([0.0, 0.0], |s, &i| [s[0] + cells[i][0], s[1] + cells[i][1]]);
        let rest_is_neutral = rest_counts[0] + rest_counts[1] < self.options.min_bin_rows;
        if !rest_is_neutral {
            groups.push(rest.clone());
        }
        let count = |group: &[usize]| group.iter().fold([0.0, 0.0], |s, &i| [s[0] + cells[i][0], s[1] + cells[i][1]]);
        groups.sort_by(|a, b| self.totals.woe(count(a)).total_cmp(&self.totals.woe(count(b))));
        let counts: Vec<[f64; 2]> = groups.iter().map(|g| count(g)).collect();
        let ends = self.best(&counts, Trend::Increasing).1;
        let (mut bins, mut start) = (Vec::new(), 0);
        let mut push = |members: &mut Vec<usize>, neutral: bool| {
            members.sort_unstable();
            let other = members.last() == Some(&levels.len());
            let names = members.iter().filter(|&&i| i < levels.len()).map(|&i| levels[i].clone()).collect();
            bins.push(self.totals.bin(BinKind::Levels { levels: names, other }, count(members), neutral));
        };
        for &end in &ends {
            push(&mut groups[start..end].concat(), false);
            start = end;
        }
        if rest_is_neutral {
            push(&mut rest.clone(), true);
        }
        (bins, Trend::None, self.flat(&counts, ends.len()))
    }

    fn flat(&self, counts: &[[f64; 2]], bins: usize) -> Option<Flat> {
        let [good, bad] = add(counts);
        match (counts.len(), bins) {
            (_, 2..) => None,
            _ if good + bad < self.min_rows => Some(Flat::TooFewRows),
            (1, _) => Some(Flat::Constant),
            _ => Some(Flat::NoEvidence),
        }
    }

    /// Best partition of the shape asked for.
    fn shaped(&self, cells: &[[f64; 2]], shape: Shape) -> (Trend, Vec<usize>) {
        let monotone = || {
            let (up, down) = (self.best(cells, Trend::Increasing), self.best(cells, Trend::Decreasing));
            if down.0 > up.0 { (Trend::Decreasing, down) } else { (Trend::Increasing, up) }
        };
        let free = || self.best(cells, Trend::None);
        let turn = || {
            let (turned, ordered) = (self.one_turn(cells), monotone().1);
            if turned.0 > ordered.0 { turned } else { ordered }
        };
        match shape {
            Shape::Monotone => {
                let (trend, best) = monotone();
                (trend, best.1)
            }
            Shape::Free => (Trend::None, free().1),
            Shape::OneTurn => (Trend::None, turn().1),
            Shape::Auto => {
                let ((trend, ordered), turn, free) = (monotone(), turn(), free());
                let clearly = |more: f64, than: f64| more - than > (0.1 * than.abs()).max(0.01);
                if clearly(free.0, turn.0.max(ordered.0)) {
                    (Trend::None, free.1)
                } else if clearly(turn.0, ordered.0) {
                    (Trend::None, turn.1)
                } else {
                    (trend, ordered.1)
                }
            }
        }
    }

    /// Best partition of `cells` into segments: its objective, and the end (exclusive) of each segment.
    fn best(&self, cells: &[[f64; 2]], trend: Trend) -> (f64, Vec<usize>) {
        if cells.is_empty() {
            return (0.0, Vec::new());
        }
        let (woe, gain, whole) = self.segments(cells);
        partition(&woe, &gain, whole, self.options.max_bins, trend)
    }

    /// Best partition whose WOE changes direction once: a rising or falling part up to some cell, the opposite from there.
    fn one_turn(&self, cells: &[[f64; 2]]) -> (f64, Vec<usize>) {
        let (n, bins) = (cells.len(), self.options.max_bins);
        let mut best = (f64::NEG_INFINITY, Vec::new());
        if n < 2 {
            return best;
        }
        let (woe, gain, _) = self.segments(cells);
        let part = |from: usize, to: usize, most: usize, trend| {
            let cut = |m: &[Vec<f64>]| (from..to).map(|i| m[i][from..=to].to_vec()).collect::<Vec<_>>();
            partition(&cut(&woe), &cut(&gain), gain[from][to], most, trend)
        };
        for turn in 1..n {
            for left in 1..bins {
                for (first, second) in [(Trend::Increasing, Trend::Decreasing), (Trend::Decreasing, Trend::Increasing)]
                {
                    let (a, b) = (part(0, turn, left, first), part(turn, n, bins - left, second));
                    if a.0 + b.0 > best.0 {
                        best = (a.0 + b.0, a.1.iter().copied().chain(b.1.iter().map(|e| e + turn)).collect());
                    }
                }
            }
        }
        best
    }

    /// WOE and gain of every segment of neighbouring cells `i..j`, and the value of not dividing.
    fn segments(&self, cells: &[[f64; 2]]) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, f64) {
        let n = cells.len();
        let mut sums = vec![[0.0, 0.0]];
        for c in cells {
            let last = sums[sums.len() - 1];
            sums.push([last[0] + c[0], last[1] + c[1]]);
        }
        let segment = |i: usize, j: usize| [sums[j][0] - sums[i][0], sums[j][1] - sums[i][1]];
        let large = |i: usize, j: usize| segment(i, j).iter().sum::<f64>() >= self.min_rows;
        let price = self.options.min_chi_square * (1.0 / self.totals.good + 1.0 / self.totals.bad);
        // woe[i][j], gain[i][j] of the segment of cells i..j.
        let mut woe = vec![vec![0.0; n + 1]; n];
        let mut gain = vec![vec![f64::NEG_INFINITY; n + 1]; n];
        for i in 0..n {
            for j in i + 1..=n {
                if large(i, j) {
                    woe[i][j] = self.totals.woe(segment(i, j));
                    gain[i][j] = self.totals.iv(segment(i, j)) - price;
                }
            }
        }
        (woe, gain, self.totals.iv(segment(0, n)) - price)
    }
}

/// Best partition of `n` neighbouring cells into at most `max_bins` segments: the sum of their gains, and the end (exclusive) of
/// each. `woe[i][j]` and `gain[i][j]` are of the cells `i..j`, for `i < n` and `j <= n`; a gain of minus infinity forbids a segment.
/// `whole` is the value of not dividing at all, which is always allowed.
pub(crate) fn partition(
    woe: &[Vec<f64>],
    gain: &[Vec<f64>],
    whole: f64,
    max_bins: usize,
    trend: Trend,
) -> (f64, Vec<usize>) {
    let n = gain.len();
    // value[j][i]: best objective of k segments over the cells 0..j of which the last is i..j; `from` is where the last but
    // one starts.
    let mut best = (whole, vec![n]);
    let mut value = vec![vec![f64::NEG_INFINITY; n]; n + 1];
    for j in 1..=n {
        value[j][0] = gain[0][j];
    }
    let mut from: Vec<Vec<Vec<usize>>> = Vec::new();
    for bins in 2..=max_bins.min(n) {
        let mut next = vec![vec![f64::NEG_INFINITY; n]; n + 1];
        let mut back = vec![vec![0; n]; n + 1];
        for j in bins..=n {
            for i in bins - 1..j {
                if gain[i][j] == f64::NEG_INFINITY {
                    continue;
                }
                for h in 0..i {
                    let ordered = match trend {
                        Trend::Increasing => woe[h][i] < woe[i][j],
                        Trend::Decreasing => woe[h][i] > woe[i][j],
                        Trend::None => true,
                    };
                    let v = value[i][h] + gain[i][j];
                    if ordered && v > next[j][i] {
                        (next[j][i], back[j][i]) = (v, h);
                    }
                }
            }
        }
        from.push(back);
        let top = (0..n).fold(0, |top, i| if next[n][i] > next[n][top] { i } else { top });
        if next[n][top] > best.0 {
            let (mut ends, mut i, mut j) = (vec![n], top, n);
            for back in from.iter().rev() {
                ends.push(i);
                (i, j) = (back[j][i], i);
            }
            ends.reverse();
            best = (next[n][top], ends);
        }
        value = next;
    }
    best
}

impl Binning {
    /// Position in `bins` of a number; NaN is missing.
    pub fn bin_of_numeric(&self, x: f64) -> usize {
        let missing = self.bins.len().saturating_sub(1);
        if x.is_nan() {
            return missing;
        }
        let inside = |b: &Bin| matches!(b.kind, BinKind::Range { upper, .. } if upper.is_none_or(|u| x <= u));
        self.bins.iter().position(inside).unwrap_or(missing)
    }

    /// Position in `bins` of an agreed level by its index; `levels.len()` is "other", anything beyond is missing.
    pub fn bin_of_level(&self, index: usize) -> usize {
        let missing = self.bins.len().saturating_sub(1);
        let agreed = self.levels.as_deref().unwrap_or_default();
        if index > agreed.len() {
            return missing;
        }
        let name = agreed.get(index);
        let inside = |b: &Bin| match (&b.kind, name) {
            (BinKind::Levels { levels, .. }, Some(name)) => levels.contains(name),
            (BinKind::Levels { other, .. }, None) => *other,
            _ => false,
        };
        self.bins.iter().position(inside).unwrap_or(missing)
    }

    /// Position in `bins` of a level by its text; a text that was not agreed on is "other".
    pub fn bin_of_text(&self, text: &str) -> usize {
        let agreed = self.levels.as_deref().unwrap_or_default();
        self.bin_of_level(agreed.iter().position(|l| l == text).unwrap_or(agreed.len()))
    }

    /// WOE of a number; NaN is missing.
    pub fn woe_of_numeric(&self, x: f64) -> f64 {
        self.bins.get(self.bin_of_numeric(x)).map_or(0.0, |b| b.woe)
    }

    /// WOE of an agreed level by its index, as in [`Binning::bin_of_level`].
    pub fn woe_of_level(&self, index: usize) -> f64 {
        self.bins.get(self.bin_of_level(index)).map_or(0.0, |b| b.woe)
    }

    /// Bin of each row of the table, found by the column's name.
    pub fn bins_of(&self, table: &Table) -> Result<Vec<usize>, StatisticsError> {
        let kind = || StatisticsError::Kind { column: self.column.clone() };
        let index = table.specs.iter().position(|s| s.name == self.column);
        let index = index.ok_or_else(|| StatisticsError::Absent { column: self.column.clone() })?;
        match (table.columns.get(index), &self.levels, &table.specs[index].kind) {
            (Some(Column::Numeric(values)), None, _) => Ok(values.iter().map(|&x| self.bin_of_numeric(x)).collect()),
            (Some(Column::Categorical(values)), Some(_), crate::table::ColumnKind::Categorical { levels }) => {
                // The table may list its levels in another order than the model: go by the text.
                let of_text = levels.iter().map(|l| self.bin_of_text(l));
                let other = self.bin_of_level(self.levels.as_deref().map_or(0, <[String]>::len));
                let by_index: Vec<usize> = of_text.chain([other]).collect();
                let missing = self.bins.len().saturating_sub(1);
                Ok(values.iter().map(|&l| by_index.get(l as usize).copied().unwrap_or(missing)).collect())
            }
            _ => Err(kind()),
        }
    }
}

/// Rows of numbers, one row after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Matrix {
    /// A matrix from its entries, row by row; `None` when `data` has not `rows * columns` entries.
    pub fn new(rows: usize, columns: usize, data: Vec<f64>) -> Option<Matrix> {
        (rows.checked_mul(columns) == Some(data.len())).then_some(Matrix { rows, columns, data })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row; empty when there is no such row.
    pub fn row(&self, row: usize) -> &[f64] {
        self.data.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }

    /// All entries, row by row.
    pub fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// Largest absolute entry, 0 when empty.
    pub fn max_abs(&self) -> f64 {
        self.data.iter().fold(0.0, |m, x| m.max(x.abs()))
    }
}

/// The rows of one split, ready for a regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// WOE values, rows of the split x binned columns.
    pub x: Matrix,
    /// The event that the regression models: `true` = good, so that coefficients of WOE columns are positive.
    pub good: Vec<bool>,
}

/// WOE values of all rows: `rows x binnings.len()`, row-major.
pub fn woe_matrix(table: &Table, binnings: &[Binning]) -> Result<Matrix, StatisticsError> {
    let all: Vec<usize> = (0..table.rows()).collect();
    woe_rows(table, binnings, &all)
}

/// WOE values and labels of the rows of one split.
pub fn design(table: &Table, binnings: &[Binning], split: Split) -> Result<Design, StatisticsError> {
    let rows = crate::grid::rows_of(table, split);
    let good = rows.iter().map(|&row| !table.label[row]).collect();
    Ok(Design { x: woe_rows(table, binnings, &rows)?, good })
}

/// Largest |WOE| of the bins: the public bound on the entries of [`woe_matrix`].
pub fn max_abs_woe(binnings: &[Binning]) -> f64 {
    binnings.iter().flat_map(|b| &b.bins).fold(0.0, |m, b| m.max(b.woe.abs()))
}

fn woe_rows(table: &Table, binnings: &[Binning], rows: &[usize]) -> Result<Matrix, StatisticsError> {
    validate(table)?;
    let bins = binnings.iter().map(|b| b.bins_of(table)).collect::<Result<Vec<_>, _>>()?;
    let mut data = Vec::with_capacity(rows.len() * binnings.len());
    for &row in rows {
        data.extend(binnings.iter().zip(&bins).map(|(b, at)| b.bins.get(at[row]).map_or(0.0, |bin| bin.woe)));
    }
    Ok(Matrix { rows: rows.len(), columns: binnings.len(), data })
}
