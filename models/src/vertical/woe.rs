//! Weight of evidence when columns and labels are at different parties.
//!
//! | step | where | what |
//! |---|---|---|
//! | 1 | owner of the columns | [`fine_columns`]: narrow bins, one 0/1 indicator per bin and training row |
//! | 2 | encrypted | bads per bin = indicator . label |
//! | 3 | label holder | [`merge`]: neighbours merged until no group is below the minimum of goods and bads |
//! | 4 | owner | [`final_columns`]: bins, weights of evidence, information values |
//!
//! The label holder sees row and bad counts per unnamed fine bin, in order; the owner sees goods and bads of groups that reach
//! the minimum, nothing of smaller ones. The label holder takes the same steps with its own columns.

use super::encoding::ColumnEncoder;
pub use super::merging::{FineColumn, Group, Joined, Merged, MergedColumn, merge};
use super::{DropReason, Dropped, Encoder, Features, VerticalError};
use crate::binning::{BinKind, Binning, BinningOptions, Shape, bin_counts};
use crate::grid::{ColumnGrid, FineGrid};
use crate::table::{Column, ColumnKind, ColumnSpec};
use serde::{Deserialize, Serialize};

/// Numbers with few different values are often codes, whose weight need not follow their order: under [`Shape::Auto`] it does
/// not have to where that brings this much more evidence (chi-square with one degree of freedom, 1 in 1000 by chance).
pub const CODES_CHI_SQUARE: f64 = 10.83;

/// How columns are binned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WoeOptions {
    /// Fine bins per numeric column, 2 to 64.
    pub fine_bins: usize,
    /// Fewest goods in a group whose counts the owner learns.
    pub minimum_goods: u64,
    /// Fewest bads in such a group.
    pub minimum_bads: u64,
    /// Most final bins, without missing and "other", 1 to 50.
    pub max_bins: usize,
    /// How the WOE may go along a column.
    pub shape: Shape,
    /// Pseudo-rows per class, see [`crate::binning`].
    pub smoothing: f64,
    /// Evidence asked for per further bin, as in [`BinningOptions::min_chi_square`].
    pub min_chi_square: f64,
    /// Columns below this information value are left out.
    pub min_iv: f64,
}

impl Default for WoeOptions {
    fn default() -> Self {
        WoeOptions {
            fine_bins: 20,
            minimum_goods: 5,
            minimum_bads: 5,
            max_bins: 10,
            shape: Shape::Auto,
            smoothing: 0.5,
            min_chi_square: 1.0,
            min_iv: 0.02,
        }
    }
}

impl WoeOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), VerticalError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(VerticalError::Option { option, allowed }) }
        };
        rule((2..=64).contains(&self.fine_bins), "fine_bins", "2 to 64")?;
        rule((1..=1_000_000).contains(&self.minimum_goods), "minimum_goods", "1 to 1000000")?;
        rule((1..=1_000_000).contains(&self.minimum_bads), "minimum_bads", "1 to 1000000")?;
        rule((1..=50).contains(&self.max_bins), "max_bins", "1 to 50")?;
        rule(self.smoothing.is_finite() && self.smoothing > 0.0, "smoothing", "above 0")?;
        rule(self.min_chi_square.is_finite() && self.min_chi_square >= 0.0, "min_chi_square", "0 or more")?;
        rule(self.min_iv.is_finite() && self.min_iv >= 0.0, "min_iv", "0 or more")
    }
}

/// Narrow bins of one column at its owner, with the bin of every training row.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineBins {
    column: String,
    grid: ColumnGrid,
    of_row: Vec<u32>,
    /// A numeric column with no more different values than fine bins may hold codes.
    few_values: bool,
}

/// Shows the shape only.
impl core::fmt::Debug for FineBins {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FineBins {{ bins: {}, rows: {} }}", self.len(), self.of_row.len())
    }
}

impl FineBins {
    /// Name of the column.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Number of bins: cells in order of value, or levels and "other"; then missing.
    pub fn len(&self) -> usize {
        self.grid.cells() + 1
    }

    /// Never true: there is always the bin for missing values.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// 1 for the training rows of one bin, 0 for all others.
    pub fn indicator(&self, bin: usize) -> Vec<i32> {
        self.of_row.iter().map(|&b| i32::from(b as usize == bin)).collect()
    }

    /// Training rows per bin.
    pub fn rows(&self) -> Vec<u64> {
        let mut rows = vec![0; self.len()];
        self.of_row.iter().for_each(|&b| rows[b as usize] += 1);
        rows
    }

    /// Which bins have no neighbours: missing, and all of a categorical column.
    pub fn standalone(&self) -> Vec<bool> {
        let categorical = matches!(self.grid, ColumnGrid::Categorical { .. });
        (0..self.len()).map(|b| categorical || b + 1 == self.len()).collect()
    }

    /// Bads per bin: what the encrypted products give, here in the clear.
    pub fn bads(&self, bad: &[bool]) -> Vec<u64> {
        let mut bads = vec![0; self.len()];
        self.of_row.iter().zip(bad).filter(|(_, bad)| **bad).for_each(|(&b, _)| bads[b as usize] += 1);
        bads
    }

    /// What the label holder works with.
    pub fn counted(&self, bad: Vec<u64>) -> FineColumn {
        FineColumn { rows: self.rows(), bad, standalone: self.standalone() }
    }
}

/// Fine bins of all columns of a party, from its training rows: about equally many rows each, heavy values on their own.
pub fn fine_columns(
    features: &Features,
    train: &[usize],
    options: &WoeOptions,
) -> Result<Vec<FineBins>, VerticalError> {
    options.validate()?;
    features.check_rows(train)?;
    let one = |(spec, column): (&ColumnSpec, &Column)| match (column, &spec.kind) {
        (Column::Numeric(values), _) => {
            let mut known: Vec<f64> = train.iter().map(|&r| values[r]).filter(|x| !x.is_nan()).collect();
            known.sort_unstable_by(f64::total_cmp);
            let few_values = known.chunk_by(|a, b| a == b).count() <= options.fine_bins;
            let grid = FineGrid { edges: edges(&known, options.fine_bins) };
            let missing = grid.cells();
            let bin = |x: f64| if x.is_nan() { missing } else { grid.cell(x) } as u32;
            let of_row = train.iter().map(|&r| bin(values[r])).collect();
            FineBins { column: spec.name.clone(), grid: ColumnGrid::Numeric(grid), of_row, few_values }
        }
        (Column::Categorical(values), kind) => {
            let levels = match kind {
                ColumnKind::Categorical { levels } => levels.clone(),
                ColumnKind::Numeric => Vec::new(),
            };
            let of_row = train.iter().map(|&r| values[r]).collect();
            FineBins { column: spec.name.clone(), grid: ColumnGrid::Categorical { levels }, of_row, few_values: false }
        }
    };
    Ok(features.specs().iter().zip(features.columns()).map(one).collect())
}

/// Cut points of sorted values for about equally many rows per bin; a value that many rows share is not mixed with others if
/// that can be helped.
fn edges(values: &[f64], bins: usize) -> Vec<f64> {
    let runs: Vec<(f64, usize)> = values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    let (mut edges, mut inside, mut left) = (Vec::new(), 0usize, values.len());
    for pair in runs.windows(2) {
        let ((value, count), (_, next)) = (pair[0], pair[1]);
        inside += count;
        let open = bins.saturating_sub(edges.len());
        if open <= 1 {
            break;
        }
        let target = left as f64 / open as f64;
        // Cut here when one more value would miss the target by more than stopping does.
        if inside as f64 >= target || (inside + next) as f64 - target > target - inside as f64 {
            edges.push(value);
            left -= inside;
            inside = 0;
        }
    }
    edges
}

/// The owner's encoder from the merged counts: as few bins as the evidence supports, each with its weight of evidence.
pub fn final_columns(fine: &[FineBins], merged: &Merged, options: &WoeOptions) -> Result<Encoder, VerticalError> {
    options.validate()?;
    if fine.len() != merged.columns.len() {
        let (expected, found) = (fine.len(), merged.columns.len());
        return Err(VerticalError::Length { what: "merged columns", expected, found });
    }
    let (mut columns, mut dropped) = (Vec::new(), Vec::new());
    for (at, (fine, merged_column)) in fine.iter().zip(&merged.columns).enumerate() {
        let binning = final_column(fine, merged_column, [merged.good as f64, merged.bad as f64], options)
            .ok_or(VerticalError::Counts { column: at })?;
        if binning.iv < options.min_iv || binning.bins.iter().all(|b| b.woe == 0.0) {
            dropped.push(Dropped { column: binning.column, reason: DropReason::LowInformation { iv: binning.iv } });
        } else {
            columns.push(ColumnEncoder::Woe { binning });
        }
    }
    Ok(Encoder { columns, dropped })
}

fn final_column(fine: &FineBins, merged: &MergedColumn, totals: [f64; 2], options: &WoeOptions) -> Option<Binning> {
    let rows = fine.rows();
    let standalone = fine.standalone();
    consistent(&rows, &standalone, merged)?;
    let minimum = (options.minimum_goods + options.minimum_bads) as f64;
    let binning = BinningOptions {
        max_bins: options.max_bins,
        min_bin_fraction: 0.0,
        min_bin_rows: minimum,
        smoothing: options.smoothing,
        min_chi_square: options.min_chi_square,
        ..BinningOptions::default()
    };
    let count = |g: &Group| [g.good as f64, g.bad as f64];
    let missing = rows.len() - 1;
    let alone = |bin: usize| merged.groups.iter().find(|g| g.first == bin).map_or([0.0, 0.0], count);
    let (grid, mut cells) = match &fine.grid {
        ColumnGrid::Categorical { .. } => (fine.grid.clone(), (0..missing).map(alone).collect::<Vec<_>>()),
        ColumnGrid::Numeric(grid) => {
            let groups: Vec<&Group> = merged.groups.iter().filter(|g| g.last < missing).collect();
            let inner = groups.iter().take(groups.len().saturating_sub(1));
            let edges = inner.map(|g| grid.edges[g.last]).collect();
            let cells = if groups.is_empty() { vec![[0.0, 0.0]] } else { groups.into_iter().map(count).collect() };
            (ColumnGrid::Numeric(FineGrid { edges }), cells)
        }
    };
    cells.push(alone(missing));
    let shaped = |shape| bin_counts(&fine.column, &grid, &cells, totals, &binning, shape);
    let mut binning = shaped(options.shape);
    if fine.few_values && options.shape == Shape::Auto {
        let free = shaped(Shape::Free);
        if free.iv - binning.iv > CODES_CHI_SQUARE * (1.0 / totals[0] + 1.0 / totals[1]) {
            binning = free;
        }
    }
    let hidden = rows[missing] > 0 && alone(missing) == [0.0, 0.0];
    if let Some(last) = binning.bins.last_mut().filter(|_| hidden) {
        last.suppressed_below = Some(minimum);
    }
    for join in &merged.joined {
        take_weight(&mut binning, fine, join.bin, merged.groups[join.group].first);
    }
    Some(binning)
}

/// Gives a joined bin the weight of the final bin of its group.
fn take_weight(binning: &mut Binning, fine: &FineBins, bin: usize, like: usize) {
    let missing = fine.len() - 1;
    match &fine.grid {
        _ if bin == missing => {
            let woe = match &fine.grid {
                // The end of the group's first cell lies in the group.
                ColumnGrid::Numeric(grid) => binning.woe_of_numeric(grid.edges.get(like).copied().unwrap_or(f64::MAX)),
                ColumnGrid::Categorical { .. } => binning.woe_of_level(like),
            };
            if let Some(last) = binning.bins.last_mut() {
                (last.woe, last.neutral) = (woe, woe == 0.0);
            }
        }
        ColumnGrid::Categorical { levels } if like < missing => {
            let (from, to) = (binning.bin_of_level(bin), binning.bin_of_level(like));
            let name = levels.get(bin);
            if let BinKind::Levels { levels, other } = &mut binning.bins[from].kind {
                levels.retain(|l| Some(l) != name);
                *other &= name.is_some();
            }
            if let BinKind::Levels { levels, other } = &mut binning.bins[to].kind {
                levels.extend(name.cloned());
                *other |= name.is_none();
            }
        }
        _ => {}
    }
}

/// Groups must be ordered, disjoint, of neighbours only, and of as many rows as the owner counts itself.
fn consistent(rows: &[u64], standalone: &[bool], merged: &MergedColumn) -> Option<()> {
    let (mut used, mut next) = (vec![false; rows.len()], 0);
    for g in &merged.groups {
        let ordered = g.first >= next && g.first <= g.last && g.last < rows.len();
        if !ordered || (g.first < g.last && standalone[g.first..=g.last].iter().any(|&s| s)) {
            return None;
        }
        used[g.first..=g.last].fill(true);
        next = g.last + 1;
    }
    for j in &merged.joined {
        if j.group >= merged.groups.len() || !*standalone.get(j.bin)? || core::mem::replace(&mut used[j.bin], true) {
            return None;
        }
    }
    let withheld: u64 = rows.iter().zip(&used).filter(|(_, used)| !**used).map(|(r, _)| r).sum();
    for (at, g) in merged.groups.iter().enumerate() {
        let own: u64 = rows[g.first..=g.last].iter().sum();
        let joined: u64 = merged.joined.iter().filter(|j| j.group == at).map(|j| rows[j.bin]).sum();
        let rest = if merged.withheld_in == Some(at) { withheld } else { 0 };
        if own + joined + rest != g.good.checked_add(g.bad)? {
            return None;
        }
    }
    Some(())
}

/// Bin of each row of a column; `None` when the column is of another kind than the bins.
pub(crate) fn bins_of(binning: &Binning, spec: &ColumnSpec, column: &Column) -> Option<Vec<usize>> {
    match (column, &spec.kind, &binning.levels) {
        (Column::Numeric(values), ColumnKind::Numeric, None) => {
            Some(values.iter().map(|&x| binning.bin_of_numeric(x)).collect())
        }
        (Column::Categorical(values), ColumnKind::Categorical { levels }, Some(agreed)) => {
            // The table may list its levels in another order than the model: go by the text.
            let by_level: Vec<usize> = levels.iter().map(|l| binning.bin_of_text(l)).collect();
            let (other, missing) = (binning.bin_of_level(agreed.len()), binning.bins.len().saturating_sub(1));
            let bin = |l: u32| match (l as usize).cmp(&levels.len()) {
                core::cmp::Ordering::Less => by_level[l as usize],
                core::cmp::Ordering::Equal => other,
                core::cmp::Ordering::Greater => missing,
            };
            Some(values.iter().map(|&l| bin(l)).collect())
        }
        _ => None,
    }
}
