//! Sums in which no firm weighs more than agreed.
//!
//! Every statistic of this crate is a sum over rows. Before noise can hide one firm, what a firm adds must be bounded:
//! [`clipped_sum`] adds up all rows of a firm, scales the firm's part of each [`Block`] down to an L2 norm of at most the
//! block's clip, and adds that to the sum. With one firm more or less, each block of the sum moves by at most its clip.
//!
//! The bound holds per table: a firm with rows in the tables of `k` parties moves their common sum by up to `k` clips.

use crate::grid::StatisticsError;
use crate::table::Table;
use serde::{Deserialize, Serialize};

/// A statistic that is a sum over rows of sparse vectors.
pub trait RowStatistic {
    /// Entries of the vector.
    fn len(&self) -> usize;

    /// Hands each entry that one row touches to `add`, as `(position, value)`; a position may come more than once.
    fn row(&self, row: usize, add: impl FnMut(usize, f64));

    /// True when the vector has no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Neighbouring entries of a vector that are clipped together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// What the entries are.
    pub name: String,
    /// Number of entries.
    pub len: usize,
    /// Largest L2 norm of one firm's part; infinite for no bound.
    pub clip: f64,
    /// Share of the step's privacy budget that this block is meant to use; the shares of a step add up to 1.
    pub share: f64,
}

impl Block {
    /// Standard deviation of Gaussian noise on each entry when the whole step is to be `mu`-GDP (Dong, Roth & Su 2022,
    /// "Gaussian differential privacy", theorem 1 and corollary 2): `clip / (mu * sqrt(share))`, 0 for an infinite `mu`.
    pub fn sigma(&self, mu: f64) -> f64 {
        if mu.is_infinite() { 0.0 } else { self.clip / (mu * libm::sqrt(self.share)) }
    }
}

/// A sum in which no firm weighs more than agreed. The two numbers of firms are for the party's own eyes: no noise hides them.
#[derive(Clone, Debug, PartialEq)]
pub struct ClippedSum {
    /// The vector.
    pub sum: Vec<f64>,
    /// Firms with at least one row in it.
    pub firms: usize,
    /// Firms that were scaled down, per block.
    pub clipped: Vec<usize>,
}

/// Why a sum cannot be clipped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClipError {
    /// The table.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Blocks must cover the vector.
    #[error("the blocks cover {found} entries of a vector of {expected}: use the layout of the same statistic")]
    Layout {
        /// Entries of the vector.
        expected: usize,
        /// Entries of all blocks.
        found: usize,
    },
    /// A clip bounds something.
    #[error("the clip of block `{block}` is {clip}: it must be at least 1e-100, and finite where privacy rests on it")]
    Clip {
        /// Name of the block.
        block: String,
        /// The clip.
        clip: f64,
    },
}

/// Relative room below a clip for rounding: of the norm (2^-53 per entry) and of the scaled entries.
const ROOM: f64 = 1.0 / (1u64 << 36) as f64;

/// Adds up the rows of a table, clipped per firm. Every entry of a firm that is not finite counts as 0.
///
/// The firm's part as rounded to `f64` has a norm of at most the clip, exactly. Rounding of the running sum comes on top, below
/// 2^-52 of the sum per firm, as in any sum of floats.
pub fn clipped_sum(statistic: &impl RowStatistic, table: &Table, blocks: &[Block]) -> Result<ClippedSum, ClipError> {
    let (expected, found) = (statistic.len(), blocks.iter().map(|b| b.len).sum());
    if expected != found {
        return Err(ClipError::Layout { expected, found });
    }
    if let Some(block) = blocks.iter().find(|b| b.clip.is_nan() || b.clip < 1e-100) {
        return Err(ClipError::Clip { block: block.name.clone(), clip: block.clip });
    }
    let rows: Vec<usize> = by_firm(table)?;
    let own_firm = |row: usize| table.firms.as_ref().map_or(row as u64, |firms| u64::from(firms[row]));
    let mut sums = Sums::new(expected, blocks);
    for firm in rows.chunk_by(|&a, &b| own_firm(a) == own_firm(b)) {
        for &row in firm {
            statistic.row(row, |at, value| sums.add(at, value));
        }
        sums.close(blocks);
    }
    Ok(sums.done)
}

/// All rows, those of one firm side by side.
fn by_firm(table: &Table) -> Result<Vec<usize>, StatisticsError> {
    let mut rows: Vec<usize> = (0..table.rows()).collect();
    if let Some(firms) = &table.firms {
        if firms.len() != rows.len() {
            let (expected, found) = (rows.len(), firms.len());
            return Err(StatisticsError::Rows { column: "firms".to_owned(), expected, found });
        }
        rows.sort_by_key(|&row| (firms[row], row));
    }
    Ok(rows)
}

/// The sum so far and the part of the current firm.
struct Sums {
    done: ClippedSum,
    part: Vec<f64>,
    seen: Vec<bool>,
    /// Entries of `part` in use.
    touched: Vec<usize>,
    /// Block of each entry.
    block: Vec<usize>,
    /// Per block: largest entry of the current firm, sum of squares of the entries over it, factor.
    scale: Vec<(f64, f64, f64)>,
}

impl Sums {
    fn new(len: usize, blocks: &[Block]) -> Sums {
        Sums {
            done: ClippedSum { sum: vec![0.0; len], firms: 0, clipped: vec![0; blocks.len()] },
            part: vec![0.0; len],
            seen: vec![false; len],
            touched: Vec::with_capacity(len),
            block: blocks.iter().enumerate().flat_map(|(i, b)| std::iter::repeat_n(i, b.len)).collect(),
            scale: vec![(0.0, 0.0, 1.0); blocks.len()],
        }
    }

    fn add(&mut self, at: usize, value: f64) {
        if !self.seen[at] {
            self.seen[at] = true;
            self.touched.push(at);
        }
        self.part[at] += value;
    }

    fn close(&mut self, blocks: &[Block]) {
        self.scale.fill((0.0, 0.0, 1.0));
        for &at in &self.touched {
            if !self.part[at].is_finite() {
                self.part[at] = 0.0;
            }
            let largest = &mut self.scale[self.block[at]].0;
            *largest = largest.max(self.part[at].abs());
        }
        for &at in &self.touched {
            let (largest, squares, _) = &mut self.scale[self.block[at]];
            // Divided by the largest, no square overflows.
            if *largest > 0.0 {
                *squares += (self.part[at] / *largest) * (self.part[at] / *largest);
            }
        }
        for ((scale, block), clipped) in self.scale.iter_mut().zip(blocks).zip(&mut self.done.clipped) {
            let root = libm::sqrt(scale.1);
            let limit = block.clip * (1.0 - ROOM);
            if root > limit / scale.0 && scale.0 > 0.0 {
                scale.2 = limit * (1.0 - ROOM) / root;
                *clipped += 1;
            } else {
                // Unscaled: the entries stay as they are.
                scale.0 = 1.0;
            }
        }
        for &at in &self.touched {
            let (largest, _, factor) = self.scale[self.block[at]];
            self.done.sum[at] += self.part[at] / largest * factor;
            (self.part[at], self.seen[at]) = (0.0, false);
        }
        self.done.firms += usize::from(!self.touched.is_empty());
        self.touched.clear();
    }
}
