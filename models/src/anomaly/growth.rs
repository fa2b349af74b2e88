//! How a forest grows from sums: one sum of counts per level, for all trees at once.
//!
//! A tree of Liu, Ting & Zhou 2008 (algorithm 2) takes psi rows at random, and divides a node at a random point between the
//! smallest and the largest value of a random column there. Here each party takes each row into each tree with probability
//! `psi / rows` by a hash of the row's key, and counts, for every open node and a few columns in random order, its rows in
//! groups of cells. From the sum follow the groups that are occupied, hence the range in which the split is drawn, and how
//! many rows go left and right. Everything random in the plan comes from one public seed, so whoever knows the sums knows the
//! forest.
//!
//! Deviations: the ends of the range are known up to a group of cells, and a split falls between groups, never through an
//! occupied one; a node whose columns were all constant among those asked about asks about others in the next sum.

use super::forest::{Forest, ForestColumn, Node, Split, Tree, check_columns, read};
use super::margins::{Axis, Margins, Population};
use super::{AnomalyError, rule};
use crate::grid::{StatisticsError, rows_of};
use crate::table::{Split as Part, Table};
use serde::{Deserialize, Serialize};

/// Options of a forest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForestOptions {
    /// Trees.
    pub trees: usize,
    /// psi: rows that a tree takes, on average, over all parties.
    pub sample: u32,
    /// Levels of splits; 0: `log2(sample)`, rounded up, as in the paper.
    pub levels: u32,
    /// Sums beyond the levels, for nodes whose first columns were constant.
    pub extra_sums: u32,
    /// Counts that a node may ask for, over its columns.
    pub node_counts: usize,
    /// Groups of cells that one column is counted in.
    pub groups: usize,
    /// Counts that a sum may have; nodes then ask for less.
    pub sum_counts: usize,
    /// Seed of the splits; public.
    pub seed: u64,
    /// Which train rows teach.
    pub population: Population,
}

impl Default for ForestOptions {
    fn default() -> Self {
        ForestOptions {
            trees: 200,
            sample: 256,
            levels: 0,
            extra_sums: 2,
            node_counts: 192,
            groups: 64,
            sum_counts: 2_000_000,
            seed: 1,
            population: Population::All,
        }
    }
}

impl ForestOptions {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), AnomalyError> {
        rule((1..=1000).contains(&self.trees), "trees", "1 to 1000")?;
        rule((4..=4096).contains(&self.sample), "sample", "4 to 4096")?;
        rule(self.levels <= 16, "levels", "0 to 16")?;
        rule(self.extra_sums <= 16, "extra_sums", "0 to 16")?;
        rule((4..=256).contains(&self.groups), "groups", "4 to 256")?;
        rule((self.groups..=4096).contains(&self.node_counts), "node_counts", "groups to 4096")?;
        // At most sample / 3 nodes of a tree have three rows, and each asks for four counts at least.
        let least = 2 * self.trees * self.sample as usize;
        rule((least..=50_000_000).contains(&self.sum_counts), "sum_counts", "2 * trees * sample to 50000000")
    }

    fn height(&self) -> u32 {
        if self.levels > 0 { self.levels } else { self.sample.next_power_of_two().trailing_zeros() }
    }
}

/// Keys for the rows of one party that numbers its rows alone: which of them a tree takes follows from the seed and their places, and says nothing of what is in them.
pub fn row_keys(party_seed: u64, rows: usize) -> Vec<u64> {
    (0..rows as u64).map(|row| hash(&[party_seed, row])).collect()
}

/// A forest that grows: the same for everybody, from the public seed and the sums so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForestPlan {
    options: ForestOptions,
    columns: Vec<ForestColumn>,
    axes: Vec<Axis>,
    /// A row is in a tree if its hash is below this.
    below: u64,
    trees: Vec<Growing>,
    sums: u32,
}

/// After a sum.
#[derive(Clone, Debug, PartialEq)]
pub enum Grown {
    /// Another sum is needed.
    More(Box<ForestPlan>),
    /// The forest.
    Done(Forest),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Growing {
    nodes: Vec<Node>,
    open: Vec<Open>,
}

/// A node that may still be divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    node: usize,
    depth: u32,
    /// Per column, the first and the last cell that can hold rows of the node.
    ranges: Vec<(u16, u16)>,
    asked: Vec<Asked>,
}

/// A column that a node asks about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    column: usize,
    /// Group `i` is the cells up to `ends[i]`, and the last one the rest: one group more than ends.
    ends: Vec<u16>,
}

impl ForestPlan {
    /// The first plan.
    pub fn begin(options: ForestOptions, margins: &Margins) -> Result<ForestPlan, AnomalyError> {
        options.validate()?;
        margins.check()?;
        if margins.rows < 4.0 {
            return Err(AnomalyError::TooFewRows { rows: margins.rows, least: 4.0 });
        }
        let axes: Vec<Axis> = margins.columns.iter().map(Axis::new).collect();
        let columns = margins.columns.iter().zip(&axes).map(|(m, a)| ForestColumn::new(&m.name, a)).collect();
        let rate = f64::from(options.sample) / margins.rows;
        let below = if rate >= 1.0 { u64::MAX } else { (rate * 18_446_744_073_709_551_616.0) as u64 };
        let ranges: Vec<(u16, u16)> = axes.iter().map(occupied_range).collect();
        let open = || vec![Open { node: 0, depth: 0, ranges: ranges.clone(), asked: Vec::new() }];
        let trees = (0..options.trees).map(|_| Growing { nodes: vec![Node { rows: 0, split: None }], open: open() });
        let mut plan = ForestPlan { options, columns, axes, below, trees: trees.collect(), sums: 0 };
        plan.ask();
        Ok(plan)
    }

    /// Number of counts in the next sum.
    pub fn layout(&self) -> usize {
        self.trees.iter().flat_map(|t| &t.open).map(Open::counts).sum()
    }

    /// Sums absorbed so far.
    pub fn sums(&self) -> u32 {
        self.sums
    }

    /// Local half of the next sum: rows of the subsamples per open node, column and group. `keys` has one number per row of
    /// the table: [`row_keys`], or identifiers that mean the same in every party.
    pub fn counts(&self, table: &Table, keys: &[u64]) -> Result<Vec<f64>, AnomalyError> {
        check_columns(&self.columns, table)?;
        if keys.len() != table.rows() {
            return Err(AnomalyError::Keys { expected: table.rows(), found: keys.len() });
        }
        let mut rows = rows_of(table, Part::Train);
        rows.retain(|&row| self.options.population == Population::All || !table.label[row]);
        let mut counts = vec![0.0; self.layout()];
        let mut first = 0;
        let mut values = Vec::with_capacity(self.columns.len());
        for (index, tree) in self.trees.iter().enumerate() {
            let mut offsets = vec![None; tree.nodes.len()];
            for open in &tree.open {
                offsets[open.node] = Some((first, open));
                first += open.counts();
            }
            if tree.open.is_empty() {
                continue;
            }
            let salt = hash(&[self.options.seed, index as u64, u64::from(SAMPLE)]);
            for &row in rows.iter().filter(|&&row| mixed(keys[row] ^ salt) < self.below) {
                read(&self.columns, table, row, &mut values);
                if let Some((mut at, open)) = offsets[walk(&tree.nodes, &values)] {
                    for asked in &open.asked {
                        let cell = self.axes[asked.column].cell(values[asked.column]) as u16;
                        counts[at + asked.group(cell)] += 1.0;
                        at += asked.groups();
                    }
                }
            }
        }
        Ok(counts)
    }

    /// One more level from the sum of all parties' [`ForestPlan::counts`].
    pub fn absorb(mut self, sum: &[f64]) -> Result<Grown, AnomalyError> {
        let (expected, found) = (self.layout(), sum.len());
        if expected != found {
            return Err(StatisticsError::Length { expected, found }.into());
        }
        // No tree can hold more rows than fit its counter.
        if let Some(index) = sum.iter().position(|&c| !((0.0..4e9).contains(&c) && libm::floor(c) == c)) {
            return Err(StatisticsError::NotACount { index, value: sum[index] }.into());
        }
        let mut rest = sum;
        for index in 0..self.trees.len() {
            for open in core::mem::take(&mut self.trees[index].open) {
                let (own, after) = rest.split_at(open.counts());
                rest = after;
                self.grow(index, open, own)?;
            }
        }
        self.sums += 1;
        if self.sums >= self.options.height() + self.options.extra_sums {
            self.trees.iter_mut().for_each(|t| t.open.clear());
        }
        if self.trees.iter().all(|t| t.open.is_empty()) {
            let least = 2.0;
            let most = self.trees.iter().map(|t| t.nodes[0].rows).max().unwrap_or(0);
            if f64::from(most) < least {
                return Err(AnomalyError::TooFewRows { rows: f64::from(most), least });
            }
            let trees = self.trees.into_iter().map(|t| breadth_first(&t.nodes)).collect();
            return Ok(Grown::Done(Forest::new(self.columns, trees)?));
        }
        self.ask();
        Ok(Grown::More(Box::new(self)))
    }

    /// Divides one node, or leaves it open for other columns, or closes it.
    fn grow(&mut self, tree: usize, mut open: Open, counts: &[f64]) -> Result<(), AnomalyError> {
        let rows = self.known_rows(tree, &open, counts)?;
        self.trees[tree].nodes[open.node].rows = rows;
        let asked = core::mem::take(&mut open.asked);
        let mut split = None;
        let mut rest = counts;
        for asked in asked {
            let (own, after) = rest.split_at(asked.groups());
            rest = after;
            if let Some(occupied) = Occupied::of(own) {
                let (first, last) = open.ranges[asked.column];
                let cells = |g: usize| asked.cells(g, first, last);
                open.ranges[asked.column] = (cells(occupied.first).0, cells(occupied.last).1);
                if occupied.first < occupied.last && split.is_none() {
                    split = Some((asked, own));
                }
            }
        }
        if rows < 3 || open.depth >= self.options.height() {
            return Ok(());
        }
        match split {
            Some((asked, own)) => self.divide(tree, open, &asked, own),
            None if open.ranges.iter().any(|r| r.0 < r.1) => self.trees[tree].open.push(open),
            None => {}
        }
        Ok(())
    }

    /// All columns count the same rows, and those of a child are known from its parent.
    fn known_rows(&self, tree: usize, open: &Open, counts: &[f64]) -> Result<u32, AnomalyError> {
        let mut expected = (open.node > 0).then(|| f64::from(self.trees[tree].nodes[open.node].rows));
        let mut rest = counts;
        for asked in &open.asked {
            let (own, after) = rest.split_at(asked.groups());
            rest = after;
            let found = own.iter().sum::<f64>();
            let known = *expected.get_or_insert(found);
            if found != known || found > f64::from(u32::MAX) {
                return Err(AnomalyError::Inconsistent { what: "the groups of a node", expected: known, found });
            }
        }
        Ok(expected.unwrap_or(0.0) as u32)
    }

    fn divide(&mut self, tree: usize, open: Open, asked: &Asked, counts: &[f64]) {
        let axis = &self.axes[asked.column];
        let (first, last) = open.ranges[asked.column];
        // The range was tightened: groups are cut to it, the outermost occupied ones stay whole.
        let cells = |g: usize| asked.cells(g, first, last);
        let draw = hash(&[self.options.seed, tree as u64, open.node as u64, u64::from(SPLIT)]);
        let Some((group, threshold)) = drawn(axis, counts, cells, unit(draw)) else { return };
        let rows = |range: core::ops::Range<usize>| counts[range].iter().sum::<f64>() as u32;
        let side = |range: core::ops::Range<usize>| {
            let occupied: Vec<usize> = range.filter(|&g| counts[g] > 0.0).collect();
            let ends = (occupied.first().copied().unwrap_or(0), occupied.last().copied().unwrap_or(0));
            (cells(ends.0).0, cells(ends.1).1)
        };
        let halves =
            [(rows(0..group + 1), side(0..group + 1)), (rows(group + 1..counts.len()), side(group + 1..counts.len()))];
        let growing = &mut self.trees[tree];
        let left = growing.nodes.len();
        growing.nodes[open.node].split = Some(Split { column: asked.column as u32, threshold, left: left as u32 });
        for (k, (rows, range)) in halves.into_iter().enumerate() {
            growing.nodes.push(Node { rows, split: None });
            let depth = open.depth + 1;
            if rows >= 3 && depth < self.options.height() {
                let mut ranges = open.ranges.clone();
                ranges[asked.column] = range;
                if ranges.iter().any(|r| r.0 < r.1) {
                    growing.open.push(Open { node: left + k, depth, ranges, asked: Vec::new() });
                }
            }
        }
    }

    /// What each open node asks about in the next sum.
    fn ask(&mut self) {
        let nodes: usize = self.trees.iter().map(|t| t.open.len()).sum();
        let budget = self.options.node_counts.min(self.options.sum_counts / nodes.max(1)).max(4);
        let groups = self.options.groups.min(budget);
        for (index, tree) in self.trees.iter_mut().enumerate() {
            for open in &mut tree.open {
                let mut order: Vec<usize> =
                    (0..self.axes.len()).filter(|&c| open.ranges[c].0 < open.ranges[c].1).collect();
                let seed = [self.options.seed, index as u64, open.node as u64, u64::from(self.sums), u64::from(ORDER)];
                let salt = hash(&seed);
                order.sort_by_cached_key(|&c| mixed(salt ^ hash(&[c as u64])));
                let mut used = 0;
                for column in order {
                    let asked = Asked { column, ends: group_ends(&self.axes[column], open.ranges[column], groups) };
                    if used > 0 && used + asked.groups() > budget {
                        break;
                    }
                    used += asked.groups();
                    open.asked.push(asked);
                }
                // Nothing left to ask about: one group, which counts the rows.
                if open.asked.is_empty() {
                    open.asked.push(Asked { column: 0, ends: Vec::new() });
                }
            }
        }
    }
}

/// What a random number is for: the three streams of one seed never meet.
const SAMPLE: u8 = 1;
const ORDER: u8 = 2;
const SPLIT: u8 = 3;

impl Open {
    fn counts(&self) -> usize {
        self.asked.iter().map(Asked::groups).sum()
    }
}

impl Asked {
    fn groups(&self) -> usize {
        self.ends.len() + 1
    }

    fn group(&self, cell: u16) -> usize {
        self.ends.partition_point(|&end| end < cell)
    }

    /// First and last cell of a group within a range.
    fn cells(&self, group: usize, first: u16, last: u16) -> (u16, u16) {
        let from = if group == 0 { first } else { self.ends[group - 1] + 1 };
        let to = self.ends.get(group).copied().unwrap_or(last);
        (from.clamp(first, last), to.clamp(first, last))
    }
}

struct Occupied {
    first: usize,
    last: usize,
}

impl Occupied {
    fn of(counts: &[f64]) -> Option<Occupied> {
        let first = counts.iter().position(|&c| c > 0.0)?;
        let last = counts.iter().rposition(|&c| c > 0.0)?;
        Some(Occupied { first, last })
    }
}

fn occupied_range(axis: &Axis) -> (u16, u16) {
    Occupied::of(&axis.counts).map_or((0, 0), |o| (o.first as u16, o.last as u16))
}

/// Ends of at most `groups` groups of the cells of a range: all cells where they are few enough, else half of the ends
/// equally far apart on the axis (a split is drawn evenly there), half by the rows of the population (for what outliers have
/// pushed together), closer in the tails, because the outermost occupied group is the end of the range.
fn group_ends(axis: &Axis, (first, last): (u16, u16), groups: usize) -> Vec<u16> {
    let cells = usize::from(last - first);
    if cells < groups {
        return (first..last).collect();
    }
    let (first, last) = (usize::from(first), usize::from(last));
    let (low, high) = (axis.low(first), axis.high(last));
    let even = groups / 2;
    let mut ends: Vec<u16> = Vec::with_capacity(groups);
    let within = |cell: usize| cell.clamp(first, last - 1) as u16;
    ends.extend((1..=even).map(|k| within(axis.cell(low + (high - low) * (k as f64 / (even + 1) as f64)))));
    let rows = &axis.counts[first..=last];
    let (total, parts) = (rows.iter().sum::<f64>(), groups - even);
    // Shares whose log-odds are equally far apart, from one row to all but one.
    let widest = libm::log((total - 1.0).max(2.0));
    let share = |k: usize| 1.0 / (1.0 + libm::exp(-widest * (2.0 * k as f64 / parts as f64 - 1.0)));
    let (mut seen, mut k) = (0.0, 1usize);
    for (i, count) in rows.iter().enumerate() {
        seen += count;
        if k < parts && seen >= total * share(k) {
            ends.push(within(first + i));
            while k < parts && seen >= total * share(k) {
                k += 1;
            }
        }
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// The last group that goes left, and the threshold: drawn evenly between the middles of the outermost occupied groups; a
/// point within an occupied group moves to its nearer end, so that the counts tell how many rows go where.
fn drawn(axis: &Axis, counts: &[f64], cells: impl Fn(usize) -> (u16, u16), u: f64) -> Option<(usize, f64)> {
    let Occupied { first, last } = Occupied::of(counts)?;
    let low = |g: usize| axis.low(usize::from(cells(g).0));
    let high = |g: usize| axis.high(usize::from(cells(g).1));
    let from = (low(first) + high(first)) / 2.0;
    let to = (low(last) + high(last)) / 2.0;
    let x = from + (to - from) * u;
    let group = (first..=last).find(|&g| x <= high(g)).unwrap_or(last);
    if counts[group] == 0.0 {
        return Some((group, x.clamp(low(group), high(group))));
    }
    let left = group == last || (group > first && x - low(group) < high(group) - x);
    let group = if left { group - 1 } else { group };
    Some((group, high(group)))
}

fn walk(nodes: &[Node], values: &[f64]) -> usize {
    let mut at = 0;
    while let Some(split) = nodes[at].split {
        at = split.left as usize + usize::from(values[split.column as usize] > split.threshold);
    }
    at
}

/// Nodes renumbered level by level, whatever the order in which they were divided.
fn breadth_first(nodes: &[Node]) -> Tree {
    let mut order = vec![0usize];
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut at = 0;
    while at < order.len() {
        let mut node = nodes[order[at]];
        if let Some(split) = &mut node.split {
            let left = split.left as usize;
            split.left = order.len() as u32;
            order.extend([left, left + 1]);
        }
        out.push(node);
        at += 1;
    }
    Tree { nodes: out }
}

/// A number in [0, 1) of 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / 9_007_199_254_740_992.0
}

fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0x9E37_79B9_7F4A_7C15, |state, &word| {
        mixed(state.wrapping_mul(0xD129_0F3B_B5A6_2C47).wrapping_add(word).wrapping_add(0x9E37_79B9_7F4A_7C15))
    })
}

/// The finaliser of splitmix64 (Steele, Lea & Flood 2014): spreads, hides nothing.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
