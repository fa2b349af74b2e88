//! From a regression vector to rows: quotient, row space, least squares, annealing.

use anyhow::Result;
use haihe_models::{
    binning::{Binning, Matrix},
    clipped::Block,
    glm::{LogisticStatistics, logistic_statistics},
    table::{Split, Table},
};
use nalgebra::DMatrix;
use rand::{RngExt, rngs::ChaCha8Rng};

/// How often a choice among the combinations found is tried.
const RESTARTS: usize = 4;
/// Passes of the least squares over all combinations found.
const SWEEPS: usize = 3000;
/// Nothing but quantisation is left.
const EXPLAINED: f64 = 1e-4;
/// Up to so many firms in view, single bins are moved.
const FREE: usize = 16;

/// A firm as the regression sees it: a value per column, by its place among the column's distinct WOE values, then good or bad.
pub(super) type Firm = Vec<u8>;

/// What a row adds to the vector in view, and which rows there may be.
pub(super) struct Model {
    /// Distinct WOE values per column.
    pub values: Vec<Vec<f64>>,
    beta: Vec<f64>,
    /// Gradient and Hessian clipped per firm; `None` for the exact vector.
    clips: Option<Vec<Block>>,
    /// One over the size that an entry is compared in.
    pub weights: Vec<f64>,
}

impl Model {
    pub fn new(binnings: &[Binning], beta: Vec<f64>, clips: Option<Vec<Block>>) -> Model {
        let distinct = |b: &Binning| {
            let mut values: Vec<f64> = b.bins.iter().map(|bin| bin.woe).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        Model { values: binnings.iter().map(distinct).collect(), beta, clips, weights: Vec::new() }
    }

    /// The rows of a table's design.
    pub fn firms(&self, table: &Table, binnings: &[Binning]) -> Result<Vec<Firm>> {
        let design = haihe_models::binning::design(table, binnings, Split::Train)?;
        let firm = |(row, &good): (usize, &bool)| {
            let of = |(x, values): (&f64, &Vec<f64>)| nearest(values, *x).0 as u8;
            design.x.row(row).iter().zip(&self.values).map(of).chain([u8::from(good)]).collect()
        };
        Ok(design.good.iter().enumerate().map(firm).collect())
    }

    fn row(&self, firm: &Firm) -> Vec<f64> {
        self.values.iter().zip(firm).map(|(values, &at)| values[usize::from(at)]).collect()
    }

    /// What one firm adds.
    pub fn statistic(&self, firm: &Firm) -> Vec<f64> {
        let row = self.row(firm);
        let (columns, good) = (row.len(), firm[row.len()] == 1);
        let x = Matrix::new(1, columns, row).expect("one row");
        let all = logistic_statistics(&x, &[good], &self.beta).expect("finite values of the right length").to_vec();
        let Some(clips) = &self.clips else { return all };
        let mut part = all[3..].to_vec();
        let mut start = 0;
        for block in clips {
            let entries = &mut part[start..start + block.len];
            let norm = libm::sqrt(entries.iter().map(|v| v * v).sum::<f64>());
            if norm > block.clip {
                entries.iter_mut().for_each(|v| *v *= block.clip / norm);
            }
            start += block.len;
        }
        part
    }
}

/// The nearest of sorted values, and how far it is.
fn nearest(values: &[f64], x: f64) -> (usize, f64) {
    let far = |v: &f64| (v - x).abs();
    let best = values.iter().enumerate().min_by(|a, b| far(a.1).total_cmp(&far(b.1)));
    best.map_or((0, f64::INFINITY), |(i, v)| (i, far(v)))
}

/// One row from its gradient alone.
fn closed_form(model: &Model, seen: &[f64]) -> Firm {
    let gradient = &seen[3..3 + model.beta.len()];
    let of = |(values, g): (&Vec<f64>, &f64)| nearest(values, g / gradient[0]).0 as u8;
    model.values.iter().zip(&gradient[1..]).map(of).chain([u8::from(gradient[0] > 0.0)]).collect()
}

/// All combinations of bins that lie in the row space of the Hessian of few firms.
fn in_row_space(model: &Model, seen: &[f64], most: usize) -> Option<[Vec<Firm>; 2]> {
    let n = model.beta.len();
    let statistics = LogisticStatistics::from_slice(n - 1, seen).ok()?;
    let mut upper = statistics.hessian.iter();
    let mut hessian = DMatrix::from_element(n, n, 0.0);
    for i in 0..n {
        for j in i..n {
            let h = *upper.next()?;
            (hessian[(i, j)], hessian[(j, i)]) = (h, h);
        }
    }
    // Cholesky with pivots, the intercept first: the pivots determine all other entries of a row.
    let mut rest = hessian.clone();
    let mut pivots = Vec::new();
    let mut lower: Vec<Vec<f64>> = Vec::new();
    while pivots.len() < most.min(n) {
        let next = if pivots.is_empty() { 0 } else { (0..n).max_by(|&a, &b| rest[(a, a)].total_cmp(&rest[(b, b)]))? };
        if rest[(next, next)] < 2e-4 {
            break;
        }
        let root = libm::sqrt(rest[(next, next)]);
        let column: Vec<f64> = (0..n).map(|i| rest[(i, next)] / root).collect();
        for i in 0..n {
            for j in 0..n {
                rest[(i, j)] -= column[i] * column[j];
            }
        }
        pivots.push(next);
        lower.push(column);
    }
    // More directions than firms could span: not such a Hessian.
    if (0..n).any(|i| rest[(i, i)].abs() > 0.01 * hessian[(i, i)].abs().max(1.0)) {
        return None;
    }
    let mut search = Search { model, pivots: &pivots, lower: &lower, found: Vec::new(), left: 3_000_000 };
    search.descend(&mut Vec::new(), &mut Vec::new(), 0.0);
    if search.left == 0 || search.found.is_empty() {
        return None;
    }
    // At the point 0 a firm that is in it k times, and depends on no others, has the length 4 / k. Most firms are such: they
    // are tried first, then all that were found.
    let whole = |length: f64| (4.0 / length - libm::round(4.0 / length)).abs() < 0.02;
    let independent = search.found.iter().filter(|(_, l)| whole(*l)).map(|(f, _)| f.clone()).collect();
    let all = search.found.iter().map(|(f, _)| f.clone()).collect();
    Some([independent, all])
}

/// The tree over the pivots' values: `x = L z`, and `|z|^2 = x^T H^+ x` may not pass one over the smallest weight, 4 at the point 0.
struct Search<'a> {
    model: &'a Model,
    pivots: &'a [usize],
    lower: &'a [Vec<f64>],
    found: Vec<(Firm, f64)>,
    left: usize,
}

impl Search<'_> {
    fn descend(&mut self, z: &mut Vec<f64>, x: &mut Vec<f64>, length: f64) {
        if length > 4.05 || self.left == 0 {
            return;
        }
        self.left -= 1;
        let depth = z.len();
        if depth == self.pivots.len() {
            return self.leaf(z, length);
        }
        let pivot = self.pivots[depth];
        let choices = if pivot == 0 { vec![1.0] } else { self.model.values[pivot - 1].clone() };
        for value in choices {
            let before: f64 = z.iter().zip(self.lower).map(|(z, column)| z * column[pivot]).sum();
            let next = (value - before) / self.lower[depth][pivot];
            z.push(next);
            x.push(value);
            self.descend(z, x, length + next * next);
            z.pop();
            x.pop();
        }
    }

    fn leaf(&mut self, z: &[f64], length: f64) {
        let mut firm = Firm::new();
        for (j, values) in self.model.values.iter().enumerate() {
            let x: f64 = z.iter().zip(self.lower).map(|(z, column)| z * column[j + 1]).sum();
            let (at, far) = nearest(values, x);
            if far > 0.03 {
                return;
            }
            firm.push(at as u8);
        }
        for label in 0..2 {
            firm.push(label);
            self.found.push((firm.clone(), length));
            firm.pop();
        }
    }
}

/// How a set of rows is changed, and how cold it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    /// Rows of the pool, or one bin of a row; down to the best fit.
    Free,
    /// Rows of the pool; down to the best fit.
    Pool,
    /// Rows of the pool; the cost is in variances of the noise, and ends as a draw from the posterior, with the pool as prior.
    /// Fitting better than that would fit the noise.
    Posterior,
}

/// Sets of `firms` rows whose vectors add up to what is seen, as nearly as the steps allow.
fn anneal(
    model: &Model,
    seen: &[f64],
    pool: &[Firm],
    firms: usize,
    moves: Moves,
    steps: usize,
    rng: &mut ChaCha8Rng,
) -> (f64, Vec<Firm>) {
    let weigh = |v: Vec<f64>| v.iter().zip(&model.weights).map(|(v, w)| v * w).collect::<Vec<f64>>();
    let statistics: Vec<Vec<f64>> = pool.iter().map(|f| weigh(model.statistic(f))).collect();
    let mut state: Vec<(Firm, Vec<f64>)> = (0..firms)
        .map(|_| {
            let at = rng.random_range(0..pool.len());
            (pool[at].clone(), statistics[at].clone())
        })
        .collect();
    let mut rest = weigh(seen.to_vec());
    for (_, s) in &state {
        rest.iter_mut().zip(s).for_each(|(r, v)| *r -= v);
    }
    let cost = |rest: &[f64]| rest.iter().map(|r| r * r).sum::<f64>();
    let mut current = cost(&rest);
    let start = (current / firms as f64).clamp(1e-3, 10.0);
    let mut best = (current, state.iter().map(|(f, _)| f.clone()).collect::<Vec<_>>());
    let mut trial = vec![0.0; rest.len()];
    for step in 0..steps {
        let progress = step as f64 / steps as f64;
        let temperature = match moves {
            Moves::Posterior => 2.0 * libm::pow(start.max(1.0), (1.0 - 2.0 * progress).max(0.0)),
            _ => start * libm::pow(1e-3, progress),
        };
        let at = rng.random_range(0..firms);
        let (firm, statistic) = if moves == Moves::Free && rng.random_bool(0.5) {
            let mut firm = state[at].0.clone();
            let column = rng.random_range(0..firm.len());
            let choices = model.values.get(column).map_or(2, Vec::len);
            firm[column] = rng.random_range(0..choices) as u8;
            let statistic = weigh(model.statistic(&firm));
            (firm, statistic)
        } else {
            let at = rng.random_range(0..pool.len());
            (pool[at].clone(), statistics[at].clone())
        };
        for (((t, r), old), new) in trial.iter_mut().zip(&rest).zip(&state[at].1).zip(&statistic) {
            *t = r + old - new;
        }
        let next = cost(&trial);
        if next <= current || rng.random::<f64>() < libm::exp((current - next) / temperature) {
            std::mem::swap(&mut rest, &mut trial);
            (current, state[at]) = (next, (firm, statistic));
            if current < best.0 * 0.999 {
                best = (current, state.iter().map(|(f, _)| f.clone()).collect());
            }
        }
    }
    match moves {
        Moves::Posterior => (current, state.into_iter().map(|(firm, _)| firm).collect()),
        _ => best,
    }
}

/// The combinations that take part when what is seen is written as a sum of them, none negative (least squares, coordinate by
/// coordinate). Few are needed, so that most come out at 0.
fn taking_part(model: &Model, seen: &[f64], pool: &[Firm]) -> Vec<Firm> {
    let weigh = |v: &[f64]| v.iter().zip(&model.weights).map(|(v, w)| v * w).collect::<Vec<f64>>();
    let columns: Vec<Vec<f64>> = pool.iter().map(|f| weigh(&model.statistic(f))).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |s, (a, b)| s + a * b);
    let squares: Vec<f64> = columns.iter().map(|c| dot(c, c)).collect();
    let (mut rest, mut parts) = (weigh(seen), vec![0.0f64; pool.len()]);
    for _ in 0..SWEEPS {
        for ((column, square), part) in columns.iter().zip(&squares).zip(&mut parts) {
            let next = (*part + dot(column, &rest) / square).max(0.0);
            let change = next - *part;
            if change != 0.0 {
                rest.iter_mut().zip(column).for_each(|(r, c)| *r -= change * c);
                *part = next;
            }
        }
    }
    pool.iter().zip(&parts).filter(|(_, part)| **part > 0.05).map(|(firm, _)| firm.clone()).collect()
}

/// Puts the attacks together.
pub(super) fn reconstruct(
    model: &Model,
    seen: &[f64],
    pool: &[Firm],
    firms: usize,
    steps: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Firm> {
    let exact = model.clips.is_none();
    if exact && firms == 1 {
        return vec![closed_form(model, seen)];
    }
    if exact
        && firms < model.beta.len()
        && let Some(pools) = in_row_space(model, seen, firms)
    {
        let mut best = (f64::INFINITY, Vec::new());
        let [independent, all] = &pools;
        let pools = [taking_part(model, seen, all), independent.clone(), all.clone()];
        for pool in pools.iter().filter(|p| !p.is_empty()).flat_map(|p| std::iter::repeat_n(p, RESTARTS)) {
            let next = anneal(model, seen, pool, firms, Moves::Pool, steps / 2, rng);
            if next.0 < best.0 {
                best = next;
            }
            if best.0 < EXPLAINED {
                break;
            }
        }
        return best.1;
    }
    // Up to a few dozen rows the numbers say more than the pool; beyond, single bins would be bent to fit.
    let moves = match (exact, firms) {
        (false, _) => Moves::Posterior,
        (true, ..=FREE) => Moves::Free,
        (true, _) => Moves::Pool,
    };
    anneal(model, seen, pool, firms, moves, steps, rng).1
}
