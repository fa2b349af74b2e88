//! From a number to an input.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::normal;
use super::{EncodingKind, LARGEST};
use crate::binning::Binning;

/// Least share of the rows in an interval whose values count as tied.
const TIED: f64 = 0.05;

/// How the numbers of a column become inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Scale {
    /// `(x - mean) / deviation`, of `x` moved into `[low, high]`.
    Standardise { low: f64, high: f64, mean: f64, deviation: f64 },
    /// The normal quantile of the rank, which is kept `clip` away from 0 and 1.
    QuantileNormal { clip: f64, ranks: Vec<Rank> },
    /// The WOE of the bin.
    Woe { binning: Binning },
}

/// Ranks of the values in `(lower, upper]`: they rise evenly. Values between two intervals have the rank that the next one
/// begins with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rank {
    lower: f64,
    upper: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// `None` where it would give the same for every value. `kind` is not WOE. No interval of ranks has fewer than `least` rows.
    pub fn learn(kind: EncodingKind, histogram: &Histogram, clip: f64, least: f64) -> Option<Scale> {
        if histogram.intervals.len() < 2 {
            return None;
        }
        match kind {
            EncodingKind::Standardise => {
                let (low, high) = (histogram.quantile(clip), histogram.quantile(1.0 - clip));
                let [mean, deviation] = histogram.moments(low, high);
                let least = 1e-9 * low.abs().max(high.abs());
                (high > low && deviation > least).then_some(Scale::Standardise { low, high, mean, deviation })
            }
            _ => Some(Scale::QuantileNormal { clip, ranks: ranks(histogram, least) }),
        }
    }

    /// `None` where all bins weigh the same.
    pub fn of_bins(binning: Binning) -> Option<Scale> {
        let varies = binning.bins.iter().any(|b| b.woe != binning.bins[0].woe);
        varies.then_some(Scale::Woe { binning })
    }

    /// The input; a missing value (NaN) without a weight is 0.
    pub fn apply(&self, x: f64) -> f32 {
        let value = match self {
            Scale::Woe { binning } => binning.woe_of_numeric(x),
            _ if x.is_nan() => 0.0,
            // Not `clamp`: it panics where the ends are out of order, and a scale may have been read from anywhere.
            Scale::Standardise { low, high, mean, deviation } => (x.max(*low).min(*high) - mean) / deviation,
            Scale::QuantileNormal { clip, ranks } => normal::quantile(rank(ranks, x).min(1.0 - clip).max(*clip)),
        };
        bounded(value)
    }
}

/// As an input: finite, within [`LARGEST`].
pub(super) fn bounded(value: f64) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-LARGEST, LARGEST) as f32 }
}

fn ranks(histogram: &Histogram, least: f64) -> Vec<Rank> {
    let total = histogram.rows();
    // On a grid of few cells each has many rows, and says nothing of ties.
    let tied = (2.5 / histogram.cells.max(1) as f64).max(TIED) * total;
    let (mut below, mut ranks, mut open) = (0.0, Vec::<Rank>::new(), None);
    for interval in &histogram.intervals {
        let (lower, waiting) = open.take().unwrap_or((interval.lower, 0.0));
        let rows = waiting + interval.rows();
        if rows < least {
            open = Some((lower, rows));
            continue;
        }
        let (from, to) = (below / total, (below + rows) / total);
        below += rows;
        let tie = waiting == 0.0 && (interval.is_zero() || rows >= tied);
        let (from, to) = if tie { ((from + to) / 2.0, (from + to) / 2.0) } else { (from, to) };
        ranks.push(Rank { lower, upper: interval.upper, from, to });
    }
    // What is left at the end belongs to the last interval.
    if let (Some((lower, _)), Some(end)) = (open, histogram.intervals.last()) {
        match ranks.last_mut() {
            Some(last) if last.from < last.to => (last.upper, last.to) = (end.upper, 1.0),
            Some(last) => last.upper = end.upper,
            None => ranks.push(Rank { lower, upper: end.upper, from: 0.0, to: 1.0 }),
        }
    }
    ranks
}

fn rank(ranks: &[Rank], x: f64) -> f64 {
    let Some(at) = ranks.get(ranks.partition_point(|r| r.upper < x)).or(ranks.last()) else { return 0.5 };
    let inside = ((x - at.lower) / (at.upper - at.lower)).clamp(0.0, 1.0);
    at.from + (at.to - at.from) * inside
}
