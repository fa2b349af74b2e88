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

mod solver;

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
    binning::Binning,
    table::{Split, Table},
};
use rand::{RngExt, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::Serialize;
use solver::{Firm, Model, reconstruct};
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
