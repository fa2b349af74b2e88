//! Which firms are behind this update? Reconstruction of rows from gradient and Hessian of one regression round.
//!
//! What the attacker knows beforehand: the task (bins with their WOE values, the point), how many firms are in what it sees, and
//! other firms of the same kind (the test rows). A column has a handful of bins, so that firms are looked for among
//! combinations of bins, which beats descent on real numbers (Zhu, Liu, Han 2019, "Deep leakage from gradients") wherever the
//! two can be compared. By the number of firms `m` in the view:
//!
//! * one: the gradient is `residual * (1, x)`, so that `x` is a quotient (Phong et al. 2018, section 3);
//! * up to the number of columns: every firm's `(1, x)` lies in the row space of the Hessian, and `x^T H^+ x` is one over its
//!   weight. A tree search over bins finds all combinations that do;
//! * more: simulated annealing over sets of `m` firms, moves from the firms known beforehand or one bin at a time.
//!
//! Of the combinations that the search finds, non-negative least squares and annealing choose the set that explains the numbers.

use crate::{
    Settings,
    ciphertext::Sealed,
    membership::{EPSILONS, entry_sigmas, exact_regression, regression_quantiser},
    parallel, seeded,
    stats::Share,
    town::{Step, Town, pick, subset},
};
use anyhow::{Context, Result, ensure};
use haihe_models::{
    binning::{Binning, Matrix},
    clipped::Block,
    glm::{LogisticStatistics, logistic_statistics},
    table::{Split, Table},
};
use nalgebra::DMatrix;
use rand::{RngExt, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::Serialize;
use std::collections::HashMap;

/// How well firms were reconstructed.
#[derive(Clone, Debug, Serialize)]
pub struct Inversion {
    /// What the attacker has.
    pub view: String,
    /// Rows that each party of the sum brings; 0 for all.
    pub rows: usize,
    /// Firms in what the attacker sees, on average.
    pub firms: f64,
    /// Rows of the attacked party that came out right in every column, label included.
    pub exact: Share,
    /// The same for as many guesses from the firms known beforehand.
    pub guessed: Share,
    /// Bins right, over rows and columns, each row beside its nearest reconstruction.
    pub cells: Option<f64>,
    /// The same for guesses.
    pub cells_guessed: Option<f64>,
}

/// A firm as the regression sees it: a value per column, by its place among the column's distinct WOE values, then good or bad.
type Firm = Vec<u8>;

/// What a row adds to the vector in view, and which rows there may be.
struct Model {
    /// Distinct WOE values per column.
    values: Vec<Vec<f64>>,
    beta: Vec<f64>,
    /// Gradient and Hessian clipped per firm; `None` for the exact vector.
    clips: Option<Vec<Block>>,
    /// One over the size that an entry is compared in.
    weights: Vec<f64>,
}

impl Model {
    fn new(binnings: &[Binning], beta: Vec<f64>, clips: Option<Vec<Block>>) -> Model {
        let distinct = |b: &Binning| {
            let mut values: Vec<f64> = b.bins.iter().map(|bin| bin.woe).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        Model { values: binnings.iter().map(distinct).collect(), beta, clips, weights: Vec::new() }
    }

    /// The rows of a table's design.
    fn firms(&self, table: &Table, binnings: &[Binning]) -> Result<Vec<Firm>> {
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
    fn statistic(&self, firm: &Firm) -> Vec<f64> {
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
fn reconstruct(
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

/// Rows of `truth` that are among the guesses, each guess used once.
fn hits(truth: &[Firm], guesses: &[Firm]) -> usize {
    let mut left: HashMap<&Firm, usize> = HashMap::new();
    guesses.iter().for_each(|g| *left.entry(g).or_default() += 1);
    truth.iter().filter(|t| left.get_mut(t).is_some_and(|n| n.checked_sub(1).map(|less| *n = less).is_some())).count()
}

/// Share of cells that are right when every row takes the nearest guess that is left.
fn cells(truth: &[Firm], guesses: &[Firm]) -> f64 {
    let mut left: Vec<&Firm> = guesses.iter().collect();
    let right = |a: &Firm, b: &Firm| a.iter().zip(b).filter(|(a, b)| a == b).count();
    let mut total = 0;
    for row in truth {
        let Some((at, n)) = left.iter().map(|g| right(row, g)).enumerate().max_by_key(|(i, n)| (*n, left.len() - i))
        else {
            break;
        };
        total += n;
        left.swap_remove(at);
    }
    total as f64 / (truth.len() * truth[0].len()) as f64
}

/// What the attacker has.
#[derive(Clone, Debug)]
enum View {
    Plain,
    Ciphertext,
    Sum { parties: usize, colluding: usize },
    Noised { epsilon: f64 },
}

impl View {
    fn name(&self) -> String {
        match self {
            View::Plain => "plain update".to_owned(),
            View::Ciphertext => "ciphertext".to_owned(),
            View::Sum { parties, colluding: 0 } => format!("exact sum of {parties}"),
            View::Sum { parties, colluding } => format!("exact sum of {parties}, {colluding} collude"),
            View::Noised { epsilon } => format!("sum of 3, epsilon {epsilon}"),
        }
    }
}

/// How often a choice among the combinations found is tried.
const RESTARTS: usize = 4;
/// Passes of the least squares over all combinations found.
const SWEEPS: usize = 3000;
/// Nothing but quantisation is left.
const EXPLAINED: f64 = 1e-4;
/// Up to so many firms in view, single bins are moved.
const FREE: usize = 16;
/// Rows that each party brings.
const BATCHES: [usize; 6] = [1, 2, 8, 64, 1000, 0];

/// Every view, every size of a batch.
pub fn inversions(three: &Town, ten: &Town, settings: &Settings) -> Result<Vec<Inversion>> {
    let mut views = vec![View::Plain, View::Ciphertext];
    for town in [three, ten] {
        for colluding in [0, town.colluders] {
            views.push(View::Sum { parties: town.n(), colluding });
        }
    }
    views.extend(EPSILONS.map(|epsilon| View::Noised { epsilon }));
    let jobs: Vec<(View, usize)> =
        views.into_iter().flat_map(|view| BATCHES.map(|rows| (view.clone(), rows))).collect();
    let work = |(view, rows): &(View, usize)| {
        let town = if matches!(view, View::Sum { parties: 10, .. }) { ten } else { three };
        attack(town, view, *rows, settings)
    };
    parallel(&jobs, work).into_iter().collect()
}

fn attack(town: &Town, view: &View, rows: usize, settings: &Settings) -> Result<Inversion> {
    let runs = match rows {
        1..=8 => settings.trials(20, 4),
        64 => settings.trials(6, 2),
        _ => settings.trials(2, 1),
    };
    let most = settings.trials(100_000, 30_000);
    let mut rng = seeded(settings.seed, &format!("inversion {} {rows}", view.name()));
    let setting = Setting::new(town, view)?;
    let mut result = [(0, 0), (0, 0)];
    let (mut in_view, mut cell_sums, mut cell_runs) = (0, [0.0, 0.0], 0);
    for _ in 0..runs {
        let (batches, seen) = setting.see(rows, &mut rng)?;
        let truth = setting.model.firms(&batches[0], setting.binnings)?;
        let firms: usize = batches.iter().map(Table::rows).sum();
        in_view += firms;
        let steps = most.min(15_000 * firms);
        let found = reconstruct(&setting.model, &seen, &setting.pool, firms, steps, &mut rng);
        let guesses: Vec<Firm> =
            (0..firms).map(|_| setting.pool[rng.random_range(0..setting.pool.len())].clone()).collect();
        for (result, rows) in result.iter_mut().zip([&found, &guesses]) {
            *result = (result.0 + hits(&truth, rows), result.1 + truth.len());
        }
        if firms <= 640 {
            cell_runs += 1;
            cell_sums[0] += cells(&truth, &found);
            cell_sums[1] += cells(&truth, &guesses);
        }
    }
    let mean = |sum: f64| (cell_runs > 0).then(|| sum / f64::from(cell_runs));
    Ok(Inversion {
        view: view.name(),
        rows,
        firms: in_view as f64 / runs as f64,
        exact: Share::of(result[0].0, result[0].1),
        guessed: Share::of(result[1].0, result[1].1),
        cells: mean(cell_sums[0]),
        cells_guessed: mean(cell_sums[1]),
    })
}

/// A federation seen in one way.
struct Setting<'a> {
    town: &'a Town,
    view: &'a View,
    binnings: &'a [Binning],
    model: Model,
    /// Firms that the attacker knows beforehand.
    pool: Vec<Firm>,
}

impl<'a> Setting<'a> {
    fn new(town: &'a Town, view: &'a View) -> Result<Setting<'a>> {
        let noisy = &town.noisy;
        let (binnings, mut model) = match view {
            View::Noised { .. } => {
                let blocks = noisy.blocks(Step::Regression(0));
                (&noisy.binnings[..], Model::new(&noisy.binnings, noisy.points[0].clone(), Some(blocks)))
            }
            _ => {
                let binnings = &town.exact.binnings;
                (&binnings[..], Model::new(binnings, vec![0.0; binnings.len() + 1], None))
            }
        };
        let mut pool = Vec::new();
        for table in &town.parties {
            let test = subset(table, |r| table.split[r] == Split::Test);
            let test = Table { split: vec![Split::Train; test.rows()], ..test };
            pool.extend(model.firms(&test, binnings)?);
        }
        model.weights = match view {
            View::Noised { epsilon } => {
                let sigmas = entry_sigmas(noisy, Step::Regression(0), *epsilon, town.guaranteed(), town.n() as u32)?;
                sigmas.iter().map(|s| 1.0 / s).collect()
            }
            _ => spreads(&model, &pool),
        };
        ensure!(!pool.is_empty(), "there are test rows");
        Ok(Setting { town, view, binnings, model, pool })
    }

    /// Draws the batches of the parties in view and gives what is seen of them.
    fn see(&self, rows: usize, rng: &mut ChaCha8Rng) -> Result<(Vec<Table>, Vec<f64>)> {
        let parties = match self.view {
            View::Plain | View::Ciphertext => 1,
            View::Sum { parties, colluding } => parties - colluding,
            View::Noised { .. } => self.town.n(),
        };
        let mut batches = Vec::new();
        for table in &self.town.parties[..parties] {
            let mut train: Vec<usize> = (0..table.rows()).filter(|&r| table.split[r] == Split::Train).collect();
            if rows > 0 {
                train.shuffle(rng);
                train.truncate(rows);
            }
            batches.push(pick(table, &train));
        }
        let seen = match self.view {
            View::Noised { epsilon } => self.noised(&batches, *epsilon, rng)?,
            _ => self.exact(&batches, rng)?,
        };
        Ok((batches, seen))
    }

    fn exact(&self, batches: &[Table], rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let quantiser = regression_quantiser(self.town)?;
        let mut sum = vec![0u64; quantiser.dimension()];
        let mut slots = vec![0u32; quantiser.dimension()];
        for batch in batches {
            quantiser.quantise(0, &exact_regression(self.town, &[batch])?, &mut slots, rng)?;
            if matches!(self.view, View::Ciphertext) {
                let sealed = Sealed::new(self.town, slots.len())?;
                slots = sealed.read_without_key(&sealed.encrypt(&slots, rng.random())?);
            }
            sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
        }
        Ok(quantiser.dequantise(&sum, batches.len() as u32))
    }

    fn noised(&self, batches: &[Table], epsilon: f64, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let (noisy, step) = (&self.town.noisy, Step::Regression(0));
        let quantiser = noisy.quantiser(step, noisy.mu(step, epsilon)?, self.town.guaranteed(), 1.0)?;
        let mut sum = vec![0u64; quantiser.dimension()];
        let mut slots = vec![0u32; quantiser.dimension()];
        for batch in batches {
            let noise = quantiser.draw(rng);
            quantiser.quantise(0, &noisy.vector(step, batch)?, &noise, &mut slots, rng)?;
            sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
        }
        Ok(quantiser.dequantise(&sum, batches.len() as u32))
    }
}

/// One over the standard deviation of each entry among the firms known beforehand.
fn spreads(model: &Model, pool: &[Firm]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = pool.iter().take(2000).map(|f| model.statistic(f)).collect();
    let n = rows.len() as f64;
    (0..rows[0].len())
        .map(|at| {
            let mean = rows.iter().map(|r| r[at]).sum::<f64>() / n;
            let variance = rows.iter().map(|r| (r[at] - mean) * (r[at] - mean)).sum::<f64>() / n;
            1.0 / libm::sqrt(variance).max(0.05)
        })
        .collect()
}

/// For a test: one view and size of batch.
pub fn one(town: &Town, noised: Option<f64>, rows: usize, settings: &Settings) -> Result<Inversion> {
    let view = noised.map_or(View::Plain, |epsilon| View::Noised { epsilon });
    attack(town, &view, rows, settings).context("an attack on one view")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::town::Loans;

    #[test]
    fn the_attackers_model_is_the_products_vector() {
        let town = Loans::load().and_then(|l| l.three()).expect("the bundled data");
        for view in [View::Plain, View::Noised { epsilon: 1.0 }] {
            let setting = Setting::new(&town, &view).expect("sets up");
            let train: Vec<usize> = (0..200).filter(|&r| town.parties[0].split[r] == Split::Train).collect();
            let batch = pick(&town.parties[0], &train);
            let mut sum = match view {
                View::Plain => exact_regression(&town, &[&batch]).expect("runs"),
                _ => town.noisy.vector(Step::Regression(0), &batch).expect("runs"),
            };
            for firm in setting.model.firms(&batch, setting.binnings).expect("runs") {
                sum.iter_mut().zip(setting.model.statistic(&firm)).for_each(|(s, v)| *s -= v);
            }
            assert!(sum.iter().all(|s| s.abs() < 1e-6), "{sum:?}");
        }
    }

    #[test]
    fn few_rows_come_out_of_a_plain_update_and_not_out_of_noise() {
        let town = Loans::load().and_then(|l| l.three()).expect("the bundled data");
        let settings = Settings { seed: 1, quick: true };
        for rows in [1, 2] {
            let plain = one(&town, None, rows, &settings).expect("runs");
            assert_eq!(plain.exact.value, 1.0, "{plain:?}");
        }
        let plain = one(&town, None, 8, &settings).expect("runs");
        assert!(plain.exact.lower > 0.4 && plain.guessed.value < 0.1, "{plain:?}");
        let noised = one(&town, Some(1.0), 8, &settings).expect("runs");
        assert!(noised.exact.value <= noised.guessed.upper.max(0.1), "{noised:?}");
    }
}
