//! From noisy good and bad counts to bins.
//!
//! What noise does, and what is done about it, with `s` the standard deviation of an entry and `m` the cells of a bin:
//!
//! - *Totals differ between columns.* They are all estimates of the same two numbers; their weighted mean is taken, and each
//!   column's surplus is spread over its cells.
//! - *A cut may follow noise.* A bin must have rows that stand out, and what a further bin must add to the information value
//!   covers sampling and noise: `min_chi_square * (1/G + 1/B + s^2 m (1/G^2 + 1/B^2) / share)`.
//! - *A WOE may be noise.* `s sqrt(m)` pseudo-rows per class join the smoothing, and the WOE is drawn to 0 like the posterior
//!   mean of a normal value with the column's information value as prior variance.
//! - *Information values are too large.* What noise alone is expected to add is taken off; a column needs as much again.

use super::{NoisyError, NoisyOptions, check};
use crate::binning::{Bin, BinKind, Binning, BinningOptions, Flat, Trend, partition, suppress};
use crate::grid::{ColumnGrid, LabelCountsLayout, StatisticsError};
use crate::selection::{Reason, Selection, SelectionOptions, by_information_value};
use crate::table::ColumnSpec;
use serde::{Deserialize, Serialize};

/// What the second noisy sum tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyBinnings {
    /// Good train rows, as clipped: the weighted mean over the columns.
    pub good: f64,
    /// Bad train rows.
    pub bad: f64,
    /// Standard deviation of the noise on either.
    pub sigma: f64,
    /// All columns. Counts are rounded and not negative; WOE values are shrunk, so that they do not follow from the counts alone.
    pub binnings: Vec<Binning>,
    /// Information value that noise alone adds to each column, on average; already taken off its `iv`.
    pub noise_iv: Vec<f64>,
    /// Which of them go into the regression.
    pub selection: Selection,
}

impl NoisyBinnings {
    /// The kept columns, in order.
    pub fn chosen(&self) -> Vec<Binning> {
        self.selection.binnings(&self.binnings)
    }
}

/// Reads the second noisy sum; `sigmas`: one.
pub fn absorb(
    specs: &[ColumnSpec],
    grids: &[ColumnGrid],
    sum: &[f64],
    sigmas: &[f64],
    binning: &BinningOptions,
    selection: &SelectionOptions,
    options: &NoisyOptions,
) -> Result<NoisyBinnings, NoisyError> {
    options.validate()?;
    binning.validate()?;
    selection.validate()?;
    if specs.len() != grids.len() {
        return Err(StatisticsError::Columns { expected: specs.len(), found: grids.len() }.into());
    }
    let layout = LabelCountsLayout::new(grids);
    check("label counts", sum, sigmas, layout.len(), 1)?;
    let mut pairs = sum.chunks_exact(2).map(|p| [p[0], p[1]]);
    let mut columns: Vec<Vec<[f64; 2]>> =
        grids.iter().map(|grid| pairs.by_ref().take(grid.cells() + 1).collect()).collect();
    let totals = reconcile(&mut columns, sigmas[0]);
    let [good, bad] = totals.rows;
    if good.min(bad) < (4.0 * totals.sigma).max(1.0) {
        return Err(NoisyError::Drowned { good, bad, sigma: totals.sigma });
    }
    let noise = Noise { good, bad, sigma: sigmas[0], binning, options };
    let binned =
        specs.iter().zip(grids).zip(&columns).map(|((spec, grid), cells)| noise.column(&spec.name, grid, cells));
    let (binnings, noise_iv): (Vec<Binning>, Vec<f64>) = binned.unzip();
    let selection = select(&binnings, &noise_iv, selection, options);
    if selection.kept.is_empty() {
        return Err(NoisyError::NothingSelected { columns: specs.len() });
    }
    Ok(NoisyBinnings { good, bad, sigma: totals.sigma, binnings, noise_iv, selection })
}

struct Totals {
    rows: [f64; 2],
    sigma: f64,
}

/// Best common totals, and the columns made to agree with them: each column's total has variance `cells * sigma^2`.
fn reconcile(columns: &mut [Vec<[f64; 2]>], sigma: f64) -> Totals {
    let sums: Vec<[f64; 2]> =
        columns.iter().map(|c| c.iter().fold([0.0, 0.0], |s, x| [s[0] + x[0], s[1] + x[1]])).collect();
    let weight = |cells: &Vec<[f64; 2]>| 1.0 / cells.len() as f64;
    let weights: f64 = columns.iter().map(weight).sum();
    let mut rows = [0.0, 0.0];
    for (cells, sum) in columns.iter().zip(&sums) {
        for (row, s) in rows.iter_mut().zip(sum) {
            *row += s * weight(cells) / weights;
        }
    }
    for (cells, sum) in columns.iter_mut().zip(&sums) {
        let each = [0, 1].map(|k| (rows[k] - sum[k]) / cells.len() as f64);
        for cell in cells.iter_mut() {
            *cell = [cell[0] + each[0], cell[1] + each[1]];
        }
    }
    Totals { rows, sigma: sigma / libm::sqrt(weights.max(1e-300)) }
}

/// Some cells put together.
#[derive(Clone, Copy)]
struct Group {
    rows: [f64; 2],
    cells: f64,
}

impl Group {
    fn of(cells: &[[f64; 2]]) -> Group {
        let rows = cells.iter().fold([0.0, 0.0], |s, c| [s[0] + c[0], s[1] + c[1]]);
        Group { rows, cells: cells.len() as f64 }
    }

    fn and(self, other: Group) -> Group {
        Group { rows: [0, 1].map(|k| self.rows[k] + other.rows[k]), cells: self.cells + other.cells }
    }

    fn total(&self) -> f64 {
        self.rows[0] + self.rows[1]
    }
}

/// All that the bins of a column depend on.
struct Noise<'a> {
    good: f64,
    bad: f64,
    sigma: f64,
    binning: &'a BinningOptions,
    options: &'a NoisyOptions,
}

impl Noise<'_> {
    /// Standard deviation of the noise on the goods, or the bads, of a group.
    fn of(&self, group: &Group) -> f64 {
        self.sigma * libm::sqrt(group.cells)
    }

    /// Whether there are rows beyond doubt.
    fn stands_out(&self, group: &Group, least: f64) -> bool {
        group.total() >= least.max(self.options.min_bin_sigmas * self.of(group) * core::f64::consts::SQRT_2)
    }

    /// Shares of goods and of bads, each with the smoothing on top.
    fn shares(&self, group: &Group) -> [f64; 2] {
        let smoothing = 2.0 * (self.binning.smoothing + self.of(group)) / (self.good + self.bad);
        [group.rows[0].max(0.0) / self.good + smoothing, group.rows[1].max(0.0) / self.bad + smoothing]
    }

    fn woe(&self, group: &Group) -> f64 {
        let [good, bad] = self.shares(group);
        libm::log(good / bad)
    }

    /// Information value, noise included.
    fn iv(&self, group: &Group) -> f64 {
        (group.rows[0].max(0.0) / self.good - group.rows[1].max(0.0) / self.bad) * self.woe(group)
    }

    /// What noise alone adds to the information value of a group, on average: near equal shares it is
    /// `(difference of shares)^2 / share`.
    fn noise_iv(&self, group: &Group) -> f64 {
        let [good, bad] = self.shares(group);
        let variance = self.of(group) * self.of(group) * (1.0 / (self.good * self.good) + 1.0 / (self.bad * self.bad));
        variance / ((good + bad) / 2.0)
    }

    /// Ends (exclusive) of the best bins over neighbouring groups.
    fn ends(&self, groups: &[Group], trend: Trend) -> (f64, Vec<usize>) {
        let n = groups.len();
        let least = self.binning.min_bin_rows.max(self.binning.min_bin_fraction * (self.good + self.bad));
        let sampling = 1.0 / self.good + 1.0 / self.bad;
        let price = |group: &Group| self.binning.min_chi_square * (sampling + self.noise_iv(group));
        let mut woe = vec![vec![0.0; n + 1]; n];
        let mut gain = vec![vec![f64::NEG_INFINITY; n + 1]; n];
        let mut whole = 0.0;
        for i in 0..n {
            let mut group = Group { rows: [0.0, 0.0], cells: 0.0 };
            for j in i + 1..=n {
                group = group.and(groups[j - 1]);
                if self.stands_out(&group, least) {
                    woe[i][j] = self.woe(&group);
                    gain[i][j] = self.iv(&group) - price(&group);
                }
            }
            if i == 0 {
                whole = self.iv(&group) - price(&group);
            }
        }
        partition(&woe, &gain, whole, self.binning.max_bins, trend)
    }

    fn column(&self, name: &str, grid: &ColumnGrid, cells: &[[f64; 2]]) -> (Binning, f64) {
        let (missing, values) = (cells[cells.len() - 1], &cells[..cells.len() - 1]);
        let (mut groups, trend) = match grid {
            ColumnGrid::Numeric(fine) => self.numeric(&fine.edges, values),
            ColumnGrid::Categorical { levels } => self.categorical(levels, values),
        };
        let usable = groups.iter().filter(|g| !g.2).count();
        let missing = Group::of(&[missing]);
        let few = !self.stands_out(&missing, self.binning.min_bin_rows);
        groups.push((BinKind::Missing, missing, few));
        let mut flat = if usable >= 2 { None } else { Some(Flat::NoEvidence) };
        if !groups[..groups.len() - 1].iter().any(|g| self.stands_out(&g.1, self.binning.min_bin_rows)) {
            flat = Some(Flat::TooFewRows);
        }
        if flat.is_some() && (few || flat == Some(Flat::TooFewRows)) {
            groups.iter_mut().for_each(|g| g.2 = true);
        }
        let speaking = || groups.iter().filter(|g| !g.2).map(|g| &g.1);
        let noise_iv: f64 = speaking().map(|g| self.noise_iv(g)).sum();
        let raw: f64 = speaking().map(|g| self.iv(g)).sum();
        let iv = (raw - noise_iv).max(0.0);
        let kept = if raw > 0.0 { iv / raw } else { 0.0 };
        let bins =
            groups.iter().map(|(kind, group, neutral)| self.bin(kind.clone(), group, *neutral, iv, kept)).collect();
        let levels = match grid {
            ColumnGrid::Numeric(_) => None,
            ColumnGrid::Categorical { levels } => Some(levels.clone()),
        };
        let monotone = if flat.is_some() { Trend::None } else { trend };
        let smoothing = self.binning.smoothing;
        (Binning { column: name.to_owned(), levels, bins, iv, monotone, flat, smoothing }, noise_iv)
    }

    fn bin(&self, kind: BinKind, group: &Group, neutral: bool, iv: f64, kept: f64) -> Bin {
        let [good, bad] = group.rows.map(|r| libm::round(r.max(0.0)));
        let (woe, share) = if neutral {
            (0.0, 0.0)
        } else {
            let noise = self.of(group);
            let floor = |r: f64| r.max(0.0) + noise + self.binning.smoothing;
            let variance = noise * noise * group.rows.map(|r| 1.0 / (floor(r) * floor(r))).iter().sum::<f64>();
            let shrink = if variance > 0.0 { iv / (iv + variance) } else { 1.0 };
            (self.woe(group) * shrink, self.iv(group) * kept)
        };
        let mut bin = Bin { kind, good, bad, woe, iv: share, neutral, suppressed_below: None };
        suppress(&mut bin, self.binning.min_bin_rows);
        bin
    }

    fn numeric(&self, edges: &[f64], cells: &[[f64; 2]]) -> (Vec<(BinKind, Group, bool)>, Trend) {
        let groups: Vec<Group> = cells.iter().map(|c| Group { rows: *c, cells: 1.0 }).collect();
        let (trend, ends) = if self.binning.monotone {
            let (up, down) = (self.ends(&groups, Trend::Increasing), self.ends(&groups, Trend::Decreasing));
            if down.0 > up.0 { (Trend::Decreasing, down.1) } else { (Trend::Increasing, up.1) }
        } else {
            (Trend::None, self.ends(&groups, Trend::None).1)
        };
        let (mut bins, mut start, mut lower) = (Vec::new(), 0, None);
        for &end in &ends {
            let upper = edges.get(end - 1).copied();
            bins.push((BinKind::Range { lower, upper }, Group::of(&cells[start..end]), false));
            (start, lower) = (end, upper);
        }
        (bins, trend)
    }

    fn categorical(&self, levels: &[String], cells: &[[f64; 2]]) -> (Vec<(BinKind, Group, bool)>, Trend) {
        let group = |members: &[usize]| Group::of(&members.iter().map(|&i| cells[i]).collect::<Vec<_>>());
        let large = |i: &usize| self.stands_out(&group(&[*i]), self.binning.min_bin_rows);
        let (large, small): (Vec<usize>, Vec<usize>) = (0..levels.len()).partition(large);
        let mut sets: Vec<Vec<usize>> = large.into_iter().map(|i| vec![i]).collect();
        let rest: Vec<usize> = small.into_iter().chain([levels.len()]).collect();
        let neutral = !self.stands_out(&group(&rest), self.binning.min_bin_rows);
        if !neutral {
            sets.push(rest.clone());
        }
        sets.sort_by(|a, b| self.woe(&group(a)).total_cmp(&self.woe(&group(b))));
        let groups: Vec<Group> = sets.iter().map(|s| group(s)).collect();
        let ends = if groups.is_empty() { Vec::new() } else { self.ends(&groups, Trend::Increasing).1 };
        let mut merged: Vec<(Vec<usize>, bool)> = Vec::new();
        let mut start = 0;
        for &end in &ends {
            merged.push((sets[start..end].concat(), false));
            start = end;
        }
        if neutral {
            merged.push((rest, true));
        }
        let bins = merged.into_iter().map(|(mut members, neutral)| {
            members.sort_unstable();
            let names = members.iter().filter_map(|&i| levels.get(i).cloned()).collect();
            let kind = BinKind::Levels { levels: names, other: members.last() == Some(&levels.len()) };
            (kind, group(&members), neutral)
        });
        (bins.collect(), Trend::None)
    }
}

/// By information value; a column must have at least twice what noise alone adds, and there is no room for more than the maximum.
fn select(binnings: &[Binning], noise_iv: &[f64], selection: &SelectionOptions, options: &NoisyOptions) -> Selection {
    let mut chosen = by_information_value(binnings, selection);
    let hidden = |i: usize| binnings[i].iv < 2.0 * noise_iv[i];
    while let Some(at) = chosen.kept.iter().position(|&i| hidden(i)) {
        let iv = binnings[chosen.kept[at]].iv;
        chosen = chosen.without(at, binnings, Reason::LowInformation { iv });
    }
    let most = options.max_variables.min(selection.max_variables);
    while chosen.kept.len() > most {
        chosen = chosen.without(chosen.kept.len() - 1, binnings, Reason::TooMany);
    }
    chosen
}
