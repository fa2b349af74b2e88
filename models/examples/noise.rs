//! What hiding every single firm costs: pooled training under Gaussian noise, for several epsilons.
//! `cargo run -p haihe-models --example noise -- job.toml loans.csv [curve | options]`; the file has `id,y,set,fold` and features,
//! and may be gzipped; the job's columns are read.
//!
//! `options` cross-validates options on the train rows (five folds), which is how the defaults were chosen; it never looks at a
//! test row. `curve` measures the defaults on the test rows. Each row is a firm of its own, as the loans name no firm.

#[allow(dead_code, reason = "a real job file is read here, which has its columns elsewhere")]
mod common;

use haihe_models::metrics::Ranking;
use haihe_models::noisy::{NoisyOptions, trial};
use haihe_models::pooled::{self, ScorecardOptions};
use haihe_models::table::{Column, ColumnSpec, Split, Table};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde::Deserialize;
use std::io::Read;

/// Failure probability of the (epsilon, delta) figures.
const DELTA: f64 = 1e-6;

#[derive(Deserialize)]
struct JobFile {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    columns: Vec<ColumnSpec>,
}

/// Standard normal distribution function.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x / core::f64::consts::SQRT_2)
}

/// Delta of a mu-GDP mechanism at epsilon (Dong, Roth & Su 2022, corollary 1).
fn delta(mu: f64, epsilon: f64) -> f64 {
    phi(-epsilon / mu + mu / 2.0) - libm::exp(epsilon) * phi(-epsilon / mu - mu / 2.0)
}

/// The largest mu that is (epsilon, DELTA)-differentially private.
fn mu_for(epsilon: f64) -> f64 {
    if epsilon.is_infinite() {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (1e-6, 20.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if delta(middle, epsilon) <= DELTA { low = middle } else { high = middle }
    }
    low
}

/// One draw of standard normal noise (Box & Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * core::f64::consts::PI * v)
}

/// The rows for which `role` names a split.
fn subset(table: &Table, role: impl Fn(usize) -> Option<Split>) -> Table {
    let rows: Vec<(usize, Split)> = (0..table.rows()).filter_map(|r| Some((r, role(r)?))).collect();
    let take = |column: &Column| match column {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&(r, _)| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&(r, _)| v[r]).collect()),
    };
    Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(take).collect(),
        label: rows.iter().map(|&(r, _)| table.label[r]).collect(),
        split: rows.iter().map(|&(_, s)| s).collect(),
        firms: None,
    }
}

/// Means over runs.
#[derive(Default)]
struct Outcome {
    runs: f64,
    failed: usize,
    auc: f64,
    auc_squares: f64,
    ks: f64,
    variables: f64,
    /// Observed over expected bads of the test rows.
    level: f64,
    level_squares: f64,
    /// Of the AUC that the noisy evaluation reports: mean error, mean squared error, mean variance it claims; the same of KS.
    error: f64,
    error_squares: f64,
    claimed: f64,
    ks_error: f64,
}

impl Outcome {
    fn run(&mut self, table: &Table, learning: &ScorecardOptions, options: &NoisyOptions, mu: f64, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let trial = match trial::train(&[table], learning, options, mu, &mut |sigma| sigma * normal(&mut rng)) {
            Ok(trial) => trial,
            Err(error) => {
                if self.failed == 0 {
                    eprintln!("    {error}");
                }
                self.failed += 1;
                return;
            }
        };
        let (scores, bad) = pooled::scores_of(&trial.scorecard, table, Split::Test).expect("the table was scored");
        let exact = Ranking::of_rows(&scores, &bad).expect("both classes");
        self.runs += 1.0;
        self.auc += exact.auc;
        self.auc_squares += exact.auc * exact.auc;
        self.ks += exact.ks;
        let expected: f64 = scores.iter().map(|s| haihe_models::glm::sigmoid(-s)).sum();
        let level = exact.bad / expected;
        self.level += level;
        self.level_squares += level * level;
        self.variables += trial.scorecard.variables.len() as f64;
        if let Some(seen) = &trial.evaluation.test.ranking {
            let error = seen.auc - exact.auc;
            self.error += error;
            self.error_squares += error * error;
            self.claimed += trial.evaluation.test.auc_noise.map_or(0.0, |s| s * s);
            self.ks_error += seen.ks - exact.ks;
        }
    }

    fn line(&self) -> String {
        let n = self.runs.max(1.0);
        let sd = |sum: f64, squares: f64| libm::sqrt((squares / n - sum / n * (sum / n)).max(0.0));
        format!(
            "AUC {:.4} (sd {:.4}) KS {:.4} bads {:.3} of expected (sd {:.3}), variables {:.1} | reported AUC off by {:+.4} (rms {:.4}, claimed {:.4}), KS by {:+.4} | {} failed",
            self.auc / n,
            sd(self.auc, self.auc_squares),
            self.ks / n,
            self.level / n,
            sd(self.level, self.level_squares),
            self.variables / n,
            self.error / n,
            libm::sqrt(self.error_squares / n),
            libm::sqrt(self.claimed / n),
            self.ks_error / n,
            self.failed,
        )
    }
}

fn load(path: &str, specs: &[ColumnSpec]) -> common::Result<common::Loaded> {
    if !path.ends_with(".gz") {
        return common::load(path, specs, &["fold"]);
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut text)?;
    common::read(path, text.as_slice(), specs, &["fold"])
}

/// Mean over folds and seeds, on the train rows alone.
fn validate(folds: &[Table], learning: &ScorecardOptions, options: &NoisyOptions, epsilon: f64) -> Outcome {
    let mut outcome = Outcome::default();
    for (fold, table) in folds.iter().enumerate() {
        for seed in 0..8 {
            outcome.run(table, learning, options, mu_for(epsilon), 100 * seed + fold as u64);
        }
    }
    outcome
}

type Change = (&'static str, fn(&mut NoisyOptions));

/// Candidates, each one change from the defaults.
const CHANGES: &[Change] = &[
    ("defaults", |_| {}),
    ("fine_cells 12", |o| o.fine_cells = 12),
    ("fine_cells 40", |o| o.fine_cells = 40),
    ("min_bin_sigmas 2", |o| o.min_bin_sigmas = 2.0),
    ("min_bin_sigmas 8", |o| o.min_bin_sigmas = 8.0),
    ("max_variables 8", |o| o.max_variables = 8),
    ("max_variables 12", |o| o.max_variables = 12),
    ("steps 1", |o| o.steps = 1),
    ("steps 3", |o| o.steps = 3),
    ("start_slope 0.2", |o| o.start_slope = 0.2),
    ("start_slope 0.7", |o| o.start_slope = 0.7),
    ("slope_deviation 0.15", |o| o.slope_deviation = 0.15),
    ("slope_deviation 0.6", |o| o.slope_deviation = 0.6),
    ("gradient_clip 0.6", |o| o.gradient_clip = 0.6),
    ("gradient_clip 1", |o| o.gradient_clip = 1.0),
    ("gradient_clip 2", |o| o.gradient_clip = 2.0),
    ("hessian_clip 0.5", |o| o.hessian_clip = 0.5),
    ("hessian_clip 2", |o| o.hessian_clip = 2.0),
    ("hessian_share 0.15", |o| o.hessian_share = 0.15),
    ("hessian_share 0.5", |o| o.hessian_share = 0.5),
    ("profile 0.02", |o| o.weights.profile = 0.02),
    ("profile 0.15", |o| o.weights.profile = 0.15),
    ("label_counts 0.2", |o| o.weights.label_counts = 0.2),
    ("label_counts 0.7", |o| o.weights.label_counts = 0.7),
    ("regression 0.25", |o| o.weights.regression = 0.25),
    ("regression 1", |o| o.weights.regression = 1.0),
    ("evaluation 0.05", |o| o.weights.evaluation = 0.05),
    ("evaluation 0.2", |o| o.weights.evaluation = 0.2),
    ("score_cells 16", |o| o.score_cells = 16),
    ("score_cells 64", |o| o.score_cells = 64),
];

fn main() -> common::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, file, rest @ ..] = arguments.as_slice() else {
        return Err("arguments: job.toml loans.csv [curve | options]".into());
    };
    let job: JobFile = toml::from_str(&std::fs::read_to_string(job)?)?;
    let loaded = load(file, &job.data.columns)?;
    let (table, fold) = (&loaded.table, &loaded.extra["fold"]);
    let learning = ScorecardOptions::default();
    if rest.first().is_some_and(|word| word == "options") {
        let folds: Vec<Table> = (0..5)
            .map(|k: usize| {
                let role = |r: usize| if fold[r] == k.to_string() { Split::Test } else { Split::Train };
                subset(table, |r| (table.split[r] == Split::Train).then(|| role(r)))
            })
            .collect();
        for (name, change) in CHANGES {
            if rest.get(1).is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let mut options = NoisyOptions::default();
            change(&mut options);
            for epsilon in [0.5, 1.0, 4.0] {
                println!("{name:20} epsilon {epsilon:3}: {}", validate(&folds, &learning, &options, epsilon).line());
            }
        }
        return Ok(());
    }
    let exact = pooled::train(&[table], &learning)?;
    let (scores, bad) = pooled::scores_of(&exact.scorecard, table, Split::Test)?;
    let exact = Ranking::of_rows(&scores, &bad)?;
    println!("without clipping and noise: AUC {:.4} KS {:.4}", exact.auc, exact.ks);
    for epsilon in [0.2, 0.5, 1.0, 2.0, 4.0, 8.0, f64::INFINITY] {
        let mut outcome = Outcome::default();
        for seed in 0..20 {
            outcome.run(table, &learning, &NoisyOptions::default(), mu_for(epsilon), seed);
        }
        println!("epsilon {epsilon:4} mu {:.4}: {}", mu_for(epsilon), outcome.line());
    }
    Ok(())
}
