//! What the federation knows of a numeric column: goods and bads in intervals with ends.
//!
//! Fine cells say where values end, but not always where they begin: the outermost are unbounded, and a cell `(2, 3]` of a
//! column of whole numbers holds threes alone. [`Histogram::of`] gives each occupied cell an interval that its values are in, as
//! far as the grid tells.

use crate::grid::{CoarseGrid, FineGrid};

/// Most intervals that a merged histogram aims at; it has at most about twice as many.
const MERGED: f64 = 128.0;

/// Upper end of the coarse cell below zero: zero's own fine cell begins here.
fn below_zero() -> f64 {
    CoarseGrid::upper(CoarseGrid::ZERO - 1)
}

/// Rows with a value in `(lower, upper]`, thought of as spread evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub lower: f64,
    pub upper: f64,
    /// Goods and bads.
    pub count: [f64; 2],
}

impl Interval {
    pub fn rows(&self) -> f64 {
        self.count[0] + self.count[1]
    }

    /// Whether it is the cell of exact zero.
    pub fn is_zero(&self) -> bool {
        self.upper == 0.0 && self.lower == below_zero()
    }

    /// Mean and mean square of its values, moved into `[low, high]`, less `low`.
    fn moments(&self, low: f64, high: f64) -> [f64; 2] {
        let most = high - low;
        if self.is_zero() {
            let zero = (0.0 - low).max(0.0).min(most);
            return [zero, zero * zero];
        }
        let inside = |x: f64| (x - low).max(0.0).min(most);
        let (from, to) = (inside(self.lower), inside(self.upper));
        let share = |part: f64| (part / (self.upper - self.lower)).clamp(0.0, 1.0);
        let (under, over) = (share(low - self.lower), share(self.upper - high));
        let between = (1.0 - under - over).max(0.0);
        let square = (from * from + from * to + to * to) / 3.0;
        [over * most + between * (from + to) / 2.0, over * most * most + between * square]
    }
}

/// Occupied intervals, ascending and disjoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    pub intervals: Vec<Interval>,
    /// Goods and bads without a value.
    pub missing: [f64; 2],
    /// Cells of the grid, empty ones too.
    pub cells: usize,
}

impl Histogram {
    /// From the counts on a grid, missing last.
    pub fn of(grid: &FineGrid, cells: &[[f64; 2]]) -> Histogram {
        let (missing, values) = cells.split_last().map_or(([0.0; 2], &[][..]), |(m, v)| (*m, v));
        let ends = Ends { edges: &grid.edges, narrow: ends_in_coarse_cells(&grid.edges, values) };
        let occupied = values.iter().enumerate().filter(|(_, c)| c[0] + c[1] > 0.0);
        let intervals = occupied.map(|(cell, &count)| {
            let (lower, upper) = ends.of(cell);
            Interval { lower, upper, count }
        });
        Histogram { intervals: intervals.collect(), missing, cells: values.len() }
    }

    /// The histograms of several columns added up: on the union of their ends, with neighbours of few rows put together.
    pub fn sum(parts: &[Histogram]) -> Histogram {
        let cells = parts.iter().map(|p| p.cells).max().unwrap_or(0);
        let missing = parts.iter().fold([0.0; 2], |sum, p| add(sum, p.missing));
        let all = || parts.iter().flat_map(|p| &p.intervals);
        let mut ends: Vec<f64> = all().flat_map(|i| [i.lower, i.upper]).collect();
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        let mut counts = vec![[0.0; 2]; ends.len().saturating_sub(1)];
        for interval in all() {
            let place = |x: f64| ends.partition_point(|&e| e < x);
            for part in place(interval.lower)..place(interval.upper) {
                let share = (ends[part + 1] - ends[part]) / (interval.upper - interval.lower);
                counts[part] = add(counts[part], interval.count.map(|n| n * share));
            }
        }
        let intervals = ends.windows(2).zip(&counts).map(|(e, &count)| Interval { lower: e[0], upper: e[1], count });
        Histogram { intervals: thinned(intervals.filter(|i| i.rows() > 0.0).collect()), missing, cells }
    }

    /// Rows with a value.
    pub fn rows(&self) -> f64 {
        self.intervals.iter().map(Interval::rows).sum()
    }

    /// Rows without a value.
    pub fn missing_rows(&self) -> f64 {
        self.missing[0] + self.missing[1]
    }

    /// The value below which a share of the rows lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let (wanted, mut below) = (share * self.rows(), 0.0);
        for interval in &self.intervals {
            if below + interval.rows() >= wanted {
                let inside = ((wanted - below) / interval.rows()).clamp(0.0, 1.0);
                let value = interval.lower + (interval.upper - interval.lower) * inside;
                return if interval.is_zero() { 0.0 } else { value };
            }
            below += interval.rows();
        }
        self.intervals.last().map_or(0.0, |i| i.upper)
    }

    /// Mean and standard deviation of the values, moved into `[low, high]`.
    pub fn moments(&self, low: f64, high: f64) -> [f64; 2] {
        let rows = self.rows().max(1.0);
        let [mut mean, mut square] = [0.0; 2];
        for interval in &self.intervals {
            let weight = interval.rows() / rows;
            let [m, s] = interval.moments(low, high);
            mean += weight * m;
            square += weight * s;
        }
        // Both are of the distance from `low`, so that the squares of large numbers do not swallow a small deviation.
        [low + mean, libm::sqrt((square - mean * mean).max(0.0))]
    }
}

fn add(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// Puts neighbours together while they hold few rows; zero stays alone.
fn thinned(intervals: Vec<Interval>) -> Vec<Interval> {
    let few = intervals.iter().map(Interval::rows).sum::<f64>() / MERGED;
    let mut kept: Vec<Interval> = Vec::new();
    for next in intervals {
        match kept.last_mut() {
            Some(last) if last.rows() + next.rows() <= few && !last.is_zero() && !next.is_zero() => {
                (last.upper, last.count) = (next.upper, add(last.count, next.count));
            }
            _ => kept.push(next),
        }
    }
    kept
}

/// Whether every occupied coarse cell ends in an edge, as in the grid of a column with few of them: then the values of a fine
/// cell are within one coarse cell.
fn ends_in_coarse_cells(edges: &[f64], values: &[[f64; 2]]) -> bool {
    let top = edges.last().map(|&e| CoarseGrid::cell(e));
    edges.iter().zip(values).filter(|(_, c)| c[0] + c[1] > 0.0).all(|(&edge, _)| {
        let cell = CoarseGrid::cell(edge);
        let upper = CoarseGrid::upper(cell);
        Some(cell) == top || edges.binary_search_by(|e| e.total_cmp(&upper)).is_ok()
    })
}

struct Ends<'a> {
    edges: &'a [f64],
    narrow: bool,
}

impl Ends<'_> {
    /// Ends of a fine cell.
    fn of(&self, cell: usize) -> (f64, f64) {
        let before = cell.checked_sub(1).and_then(|i| self.edges.get(i)).copied();
        let (lower, upper) = match (before, self.edges.get(cell).copied()) {
            // Zero's own cell; it is the first where nothing is negative.
            (None, Some(0.0)) => (below_zero(), 0.0),
            (Some(a), Some(b)) => (self.tightened(a, b), b),
            (None, Some(b)) => (self.beginning(b), b),
            (Some(a), None) => (a, self.end(a)),
            (None, None) => (0.0, 1.0),
        };
        // Numbers so large that a width is lost, or no number at all.
        if lower < upper && lower.is_finite() && upper.is_finite() {
            (lower, upper)
        } else {
            let end = upper.clamp(-1e300, 1e300);
            (end - end.abs().max(1.0) * 1e-9, end)
        }
    }

    fn tightened(&self, a: f64, b: f64) -> f64 {
        let lower = CoarseGrid::lower(CoarseGrid::cell(b));
        if self.narrow && b != 0.0 && lower > a && lower < b { lower } else { a }
    }

    /// Of the first cell. Nothing tells how far a tail reaches: it is taken to be twice as wide as its neighbour, which places the
    /// 1 % quantile of normal and exponential columns about right on 64 cells.
    fn beginning(&self, first: f64) -> f64 {
        let coarse = CoarseGrid::lower(CoarseGrid::cell(first));
        match self.edges.get(1) {
            Some(second) if !(self.narrow && coarse < first) => first - 2.0 * (second - first),
            _ if coarse < first => coarse,
            _ => first - 1.0,
        }
    }

    /// Of the last cell.
    fn end(&self, last: f64) -> f64 {
        let coarse = CoarseGrid::upper(CoarseGrid::cell(last));
        match self.edges.len().checked_sub(2).and_then(|i| self.edges.get(i)) {
            Some(second) if !(self.narrow && coarse > last) => last + 2.0 * (last - second),
            _ if coarse > last => coarse,
            _ => last + last.abs().max(1.0),
        }
    }
}
