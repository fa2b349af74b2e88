//! Was this firm in it? Membership inference on what the coordinator and colluders see.
//!
//! Two attackers. The *strong* one is that of the definition of differential privacy: it knows every row of everybody but
//! whether the target was among its party's, and applies the likelihood-ratio test of Neyman and Pearson to every released
//! number. The *weak* one knows the distribution that the rows come from (other rows of the same lender) and nothing else: the
//! test of Homer et al. (2008) and Sankararaman et al. (2009), with the full covariance of a row and of the noise.
//!
//! The strong attacker's rates are also an audit: its empirical lower bound of epsilon must not pass the promise (Jagielski,
//! Ullman, Oprea 2020; Nasr et al. 2023).

use crate::{
    Settings,
    ciphertext::Sealed,
    normal, parallel, seeded,
    stats::{Test, epsilon_of},
    town::{DELTA, Noisy, Step, Town, VALUE_BITS, pick, subset, total},
};
use anyhow::{Context, Result};
use haihe_models::{
    glm::{LogisticStatistics, logistic_statistics},
    table::{Split, Table},
};
use haihe_privacy::{
    dp::NoisedQuantiser,
    secure_sum::{Coding, Quantiser, Segment},
};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::Serialize;

/// The epsilons that are tried.
pub const EPSILONS: [f64; 4] = [8.0, 4.0, 1.0, 0.5];

/// The strong attacker on sums without noise.
#[derive(Clone, Debug, Serialize)]
pub struct Exact {
    /// What the attacker has.
    pub view: String,
    /// Which sum.
    pub release: String,
    /// How well it does.
    pub test: Test,
}

/// The strong attacker on noised sums, and what was promised.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Parties of the sum.
    pub parties: usize,
    /// How many of them collude with the coordinator and take their vectors and noise off.
    pub colluding: usize,
    /// Epsilon of the whole job.
    pub epsilon: f64,
    /// Which sum, or all of the job.
    pub release: String,
    /// mu promised for this release.
    pub promised_mu: f64,
    /// mu of the attacked firm, from its clipped vector and the noise: not above what is promised.
    pub firm_mu: f64,
    /// Epsilon promised for this release at [`DELTA`].
    pub promised: f64,
    /// How well the attacker does.
    pub test: Test,
}

/// The weak attacker.
#[derive(Clone, Debug, Serialize)]
pub struct Population {
    /// What the attacker has.
    pub view: String,
    /// Which sum.
    pub release: String,
    /// Rows that each party brings.
    pub rows: usize,
    /// How well it does.
    pub test: Test,
}

/// The party's table with the firm in question, and without it.
struct Worlds {
    with: Table,
    without: Table,
    alone: Table,
}

impl Worlds {
    /// The firm of the first party that the clips bound least: the one that noise hides worst.
    fn worst(town: &Town) -> Result<Worlds> {
        let table = &town.parties[0];
        let train: Vec<usize> = (0..table.rows()).filter(|&r| table.split[r] == Split::Train).collect();
        let mut worst = (f64::NEG_INFINITY, 0);
        for row in train {
            let one = pick(table, &[row]);
            let mut loss = 0.0;
            for step in town.noisy.steps().into_iter().filter(|s| matches!(s, Step::Regression(_))) {
                let vector = town.noisy.vector(step, &one)?;
                let mut start = 0;
                for block in town.noisy.blocks(step) {
                    let norm: f64 = vector[start..start + block.len].iter().map(|v| v * v).sum();
                    loss += block.share * norm / (block.clip * block.clip);
                    start += block.len;
                }
            }
            if loss > worst.0 {
                worst = (loss, row);
            }
        }
        let row = worst.1;
        let without = subset(table, |r| r != row);
        Ok(Worlds { with: table.clone(), without, alone: pick(table, &[row]) })
    }
}

/// One release under attack.
struct Target {
    quantiser: NoisedQuantiser,
    with: Vec<f64>,
    without: Vec<f64>,
    others: Vec<Vec<f64>>,
    /// What everybody but the firm adds to the sum.
    known: Vec<f64>,
    /// What the firm adds, each entry over the variance of its noise.
    direction: Vec<f64>,
    /// mu of the firm.
    mu: f64,
}

impl Target {
    fn new(town: &Town, worlds: &Worlds, step: Step, epsilon: f64, honest: usize, weaker: f64) -> Result<Target> {
        let noisy = &town.noisy;
        let mu = noisy.mu(step, epsilon)?;
        let quantiser = noisy.quantiser(step, mu, town.guaranteed(), weaker)?;
        let others = town.parties[1..honest].iter().map(|t| noisy.vector(step, t)).collect::<Result<Vec<_>>>()?;
        let without = noisy.vector(step, &worlds.without)?;
        let mut known = without.clone();
        others.iter().for_each(|o| known.iter_mut().zip(o).for_each(|(k, v)| *k += v));
        let alone = noisy.vector(step, &worlds.alone)?;
        let mut direction = alone.clone();
        let mut start = 0;
        for (at, block) in noisy.blocks(step).iter().enumerate() {
            let sigma = quantiser.sigma(at, honest as u32);
            direction[start..start + block.len].iter_mut().for_each(|v| *v /= sigma * sigma);
            start += block.len;
        }
        let with = noisy.vector(step, &worlds.with)?;
        let mu = libm::sqrt(alone.iter().zip(&direction).map(|(a, d)| a * d).sum::<f64>());
        Ok(Target { quantiser, with, without, others, known, direction, mu })
    }

    /// The log-likelihood ratio of one release, up to a constant. Colluders' vectors are not in it: they took them off.
    fn release(&self, member: bool, rng: &mut ChaCha8Rng) -> Result<f64> {
        let own = if member { &self.with } else { &self.without };
        let mut sum = vec![0u64; own.len()];
        let mut slots = vec![0u32; own.len()];
        for vector in std::iter::once(own).chain(&self.others) {
            let noise = self.quantiser.draw(rng);
            self.quantiser.quantise(0, vector, &noise, &mut slots, rng)?;
            sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
        }
        let seen = self.quantiser.dequantise(&sum, 1 + self.others.len() as u32);
        Ok(seen.iter().zip(&self.known).zip(&self.direction).fold(0.0, |s, ((v, k), d)| s + (v - k) * d))
    }
}

/// The strong attacker on a job with noise: every release, and all of them together. `weaker` divides the noise; anything but 1
/// breaks the promise, for a test that wants to see that noticed.
pub fn audit(town: &Town, epsilon: f64, colluding: usize, trials: usize, weaker: f64, seed: u64) -> Result<Vec<Audit>> {
    let worlds = Worlds::worst(town)?;
    let honest = town.n() - colluding;
    let steps = town.noisy.steps();
    let targets = steps
        .iter()
        .map(|&step| Target::new(town, &worlds, step, epsilon, honest, weaker))
        .collect::<Result<Vec<_>>>()?;
    let blocks: Vec<usize> = (0..trials).step_by(250).collect();
    let run = |&first: &usize| -> Result<Vec<[Vec<f64>; 2]>> {
        let mut rng = seeded(seed, &format!("audit {} {colluding} {epsilon} {first}", town.n()));
        let many = first..trials.min(first + 250);
        let mut scores = vec![[Vec::new(), Vec::new()]; targets.len()];
        for _ in many {
            for (target, scores) in targets.iter().zip(&mut scores) {
                scores[1].push(target.release(true, &mut rng)?);
                scores[0].push(target.release(false, &mut rng)?);
            }
        }
        Ok(scores)
    };
    let mut scores = vec![[Vec::new(), Vec::new()]; targets.len()];
    for part in parallel(&blocks, run) {
        for (whole, part) in scores.iter_mut().zip(part?) {
            whole.iter_mut().zip(part).for_each(|(w, p)| w.extend(p));
        }
    }
    let sum = |world: usize| (0..trials).map(|i| scores.iter().map(|s| s[world][i]).sum()).collect::<Vec<f64>>();
    let together = [sum(0), sum(1)];
    let names = steps.iter().map(|s| s.name()).chain(["whole job".to_owned()]);
    let mus = steps.iter().map(|&s| town.noisy.mu(s, epsilon)).collect::<Result<Vec<_>>>()?;
    let whole = libm::sqrt(mus.iter().map(|m| m * m).sum::<f64>());
    let firm: Vec<f64> = targets.iter().map(|t| t.mu).collect();
    let firm_whole = libm::sqrt(firm.iter().map(|m| m * m).sum::<f64>());
    let mus = mus.into_iter().chain([whole]).zip(firm.into_iter().chain([firm_whole]));
    let rows = names.zip(mus).zip(scores.iter().chain([&together]));
    Ok(rows
        .map(|((release, (mu, firm_mu)), scores)| Audit {
            parties: town.n(),
            colluding,
            epsilon,
            release,
            promised_mu: mu,
            firm_mu,
            promised: epsilon_of(mu, DELTA),
            test: Test::of(&scores[1], &scores[0], DELTA),
        })
        .collect())
}

/// All audits that the tables show.
pub fn audits(three: &Town, ten: &Town, settings: &Settings) -> Result<Vec<Audit>> {
    let mut rows = Vec::new();
    for epsilon in EPSILONS {
        for colluding in [0, three.colluders] {
            rows.extend(audit(three, epsilon, colluding, settings.trials(3000, 500), 1.0, settings.seed)?);
        }
    }
    // With ten parties the noise of a sum is the same; one epsilon shows it.
    for colluding in [0, ten.colluders] {
        rows.extend(audit(ten, 1.0, colluding, settings.trials(1000, 250), 1.0, settings.seed)?);
    }
    Ok(rows)
}

/// One exact vector with its coding.
struct Coded {
    quantiser: Quantiser,
    vector: fn(&Town, &Table) -> Result<Vec<f64>>,
}

fn regression_vector(town: &Town, table: &Table) -> Result<Vec<f64>> {
    let design = haihe_models::binning::design(table, &town.exact.binnings, Split::Train)?;
    let beta = vec![0.0; town.exact.binnings.len() + 1];
    Ok(logistic_statistics(&design.x, &design.good, &beta)?.to_vec())
}

impl Coded {
    fn all(town: &Town) -> Result<[(&'static str, Coded); 2]> {
        let len = town.exact.label_counts(&pick(&town.parties[0], &[]))?.len();
        let counts = Segment { name: "label counts".to_owned(), len, coding: Coding::Count };
        Ok([
            (
                "label counts",
                Coded {
                    quantiser: Quantiser::new(vec![counts], VALUE_BITS)?,
                    vector: |town, table| town.exact.label_counts(table),
                },
            ),
            ("regression 1", Coded { quantiser: regression_quantiser(town)?, vector: regression_vector }),
        ])
    }
}

/// The coding of an exact regression round.
pub fn regression_quantiser(town: &Town) -> Result<Quantiser> {
    let size = haihe_models::binning::max_abs_woe(&town.exact.binnings).max(1e-3);
    let bounds = LogisticStatistics::bounds(town.rows, town.exact.binnings.len(), size);
    let counts = Segment { name: "rows and events".to_owned(), len: 2, coding: Coding::Count };
    let fixed = bounds[2..].iter().map(|&bound| Segment {
        name: "log-likelihood, gradient, Hessian".to_owned(),
        len: 1,
        coding: Coding::Fixed { bound },
    });
    Ok(Quantiser::new(std::iter::once(counts).chain(fixed).collect(), VALUE_BITS)?)
}

/// The strong attacker where there is no noise: a plain update, a ciphertext, sums.
pub fn exact(town: &Town, settings: &Settings) -> Result<Vec<Exact>> {
    let worlds = Worlds::worst(town)?;
    let trials = settings.trials(500, 100);
    let mut rows = Vec::new();
    for (release, coded) in Coded::all(town)? {
        let alone = (coded.vector)(town, &worlds.alone)?;
        let views = [
            ("plain update", 1, false),
            ("ciphertext", 1, true),
            ("exact sum of 3", 3, false),
            ("exact sum of 3, one party colludes", 2, false),
        ];
        for (view, parties, sealed) in views {
            let own = [(coded.vector)(town, &worlds.without)?, (coded.vector)(town, &worlds.with)?];
            let others =
                town.parties[1..parties].iter().map(|t| (coded.vector)(town, t)).collect::<Result<Vec<_>>>()?;
            let mut rng = seeded(settings.seed, &format!("exact {release} {view}"));
            let sealer = Sealed::new(town, alone.len())?;
            let mut scores = [Vec::new(), Vec::new()];
            for trial in 0..2 * trials {
                let mut sum = vec![0u64; alone.len()];
                let mut slots = vec![0u32; alone.len()];
                for vector in std::iter::once(&own[trial % 2]).chain(&others) {
                    coded.quantiser.quantise(0, vector, &mut slots, &mut rng)?;
                    if sealed {
                        slots = sealer.read_without_key(&sealer.encrypt(&slots, rng.random())?);
                    }
                    sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
                }
                let seen = coded.quantiser.dequantise(&sum, parties as u32);
                let mut known = own[0].clone();
                others.iter().for_each(|o| known.iter_mut().zip(o).for_each(|(k, v)| *k += v));
                let score = seen.iter().zip(&known).zip(&alone).fold(0.0, |s, ((v, k), a)| s + (v - k) * a);
                scores[trial % 2].push(score);
            }
            let test = Test::of(&scores[1], &scores[0], DELTA);
            rows.push(Exact { view: view.to_owned(), release: release.to_owned(), test });
        }
    }
    Ok(rows)
}

/// What the weak attacker sees.
struct View {
    name: String,
    parties: usize,
    epsilon: Option<f64>,
}

/// The weak attacker, on parties of 64 and of 1000 rows.
pub fn population(town: &Town, settings: &Settings) -> Result<Vec<Population>> {
    let mut views: Vec<View> = [(1, "plain update"), (2, "exact sum of 3, one party colludes"), (3, "exact sum of 3")]
        .map(|(parties, name)| View { name: name.to_owned(), parties, epsilon: None })
        .into();
    views.extend(EPSILONS.map(|e| View { name: format!("sum of 3, epsilon {e}"), parties: 3, epsilon: Some(e) }));
    let mut jobs = Vec::new();
    for step in [Step::LabelCounts, Step::Regression(0)] {
        for (rows, runs) in [(64, settings.trials(40, 10)), (1000, settings.trials(8, 2))] {
            jobs.extend(views.iter().map(|view| (step, rows, runs, view)));
        }
    }
    // Vectors of single rows, each counted as a train row.
    let per_row = |step: Step, table: &Table| -> Result<Vec<Vec<f64>>> {
        let all = Table { split: vec![Split::Train; table.rows()], ..table.clone() };
        (0..all.rows().min(4000)).map(|r| town.noisy.vector(step, &pick(&all, &[r]))).collect()
    };
    let mut vectors = Vec::new();
    for step in [Step::LabelCounts, Step::Regression(0)] {
        vectors.push(parallel(&town.parties, |t| per_row(step, t)).into_iter().collect::<Result<Vec<_>>>()?);
    }
    let work = |&(step, rows, runs, view): &(Step, usize, usize, &View)| {
        let vectors = &vectors[usize::from(step != Step::LabelCounts)];
        let mut rng = seeded(settings.seed, &format!("population {} {rows} {}", step.name(), view.name));
        let test = homer(town, vectors, step, (rows, runs), view, &mut rng)?;
        Ok(Population { view: view.name.clone(), release: step.name(), rows, test })
    };
    parallel(&jobs, work).into_iter().collect()
}

fn homer(
    town: &Town,
    vectors: &[Vec<Vec<f64>>],
    step: Step,
    (rows, runs): (usize, usize),
    view: &View,
    rng: &mut ChaCha8Rng,
) -> Result<Test> {
    let dimension = vectors[0][0].len();
    let sigmas = match view.epsilon {
        None => vec![0.0; dimension],
        Some(epsilon) => entry_sigmas(&town.noisy, step, epsilon, town.guaranteed(), view.parties as u32)?,
    };
    let mut scores = [Vec::new(), Vec::new()];
    let mut order: Vec<usize> = (0..vectors[0].len()).collect();
    order.shuffle(rng);
    // The attacker's own sample, and the rows that may be in it.
    let (reference, mut candidates) = (order[..order.len() / 3].to_vec(), order[order.len() / 3..].to_vec());
    let (mean, covariance) = gaussian(reference.iter().map(|&r| &vectors[0][r]), dimension);
    let means: Vec<DVector<f64>> = vectors[..view.parties].iter().map(|v| gaussian_mean(v.iter(), dimension)).collect();
    let mut spread = covariance * (rows * view.parties) as f64;
    let ridge = 0.02 * spread.trace() / dimension as f64;
    for i in 0..dimension {
        spread[(i, i)] += sigmas[i] * sigmas[i] + ridge;
    }
    let factor = spread.cholesky().context("a covariance with a ridge has a Cholesky factor")?;
    for _ in 0..runs {
        candidates.shuffle(rng);
        let (members, rest) = candidates.split_at(rows.min(candidates.len() / 2));
        let mut surplus = DVector::from_element(dimension, 0.0);
        for &row in members {
            surplus += DVector::from_column_slice(&vectors[0][row]) - &mean;
        }
        for (vectors, mean) in vectors[..view.parties].iter().zip(&means).skip(1) {
            for _ in 0..rows {
                surplus += DVector::from_column_slice(&vectors[rng.random_range(0..vectors.len())]) - mean;
            }
        }
        for (s, sigma) in surplus.iter_mut().zip(&sigmas) {
            *s += sigma * normal(rng);
        }
        let weights = factor.solve(&surplus);
        let score = |&row: &usize| (DVector::from_column_slice(&vectors[0][row]) - &mean).dot(&weights);
        scores[1].extend(members.iter().map(score));
        scores[0].extend(rest.iter().take(members.len()).map(score));
    }
    Ok(Test::of(&scores[1], &scores[0], DELTA))
}

/// Standard deviation of the noise on each entry.
pub fn entry_sigmas(noisy: &Noisy, step: Step, epsilon: f64, guaranteed: u32, contributors: u32) -> Result<Vec<f64>> {
    let quantiser = noisy.quantiser(step, noisy.mu(step, epsilon)?, guaranteed, 1.0)?;
    let blocks = noisy.blocks(step);
    let of = |(at, len): (usize, usize)| std::iter::repeat_n(quantiser.sigma(at, contributors), len);
    Ok(blocks.iter().map(|b| b.len).enumerate().flat_map(of).collect())
}

fn gaussian_mean<'a>(rows: impl Iterator<Item = &'a Vec<f64>>, dimension: usize) -> DVector<f64> {
    let (mut mean, mut n) = (DVector::from_element(dimension, 0.0), 0.0);
    for row in rows {
        mean += DVector::from_column_slice(row);
        n += 1.0;
    }
    mean / f64::max(n, 1.0)
}

fn gaussian<'a>(rows: impl Iterator<Item = &'a Vec<f64>> + Clone, dimension: usize) -> (DVector<f64>, DMatrix<f64>) {
    let mean = gaussian_mean(rows.clone(), dimension);
    let n = rows.clone().count();
    let centred = DMatrix::from_iterator(
        dimension,
        n,
        rows.flat_map(|row| row.iter().zip(mean.iter()).map(|(v, m)| v - m).collect::<Vec<_>>()),
    );
    let covariance = &centred * centred.transpose() / (n as f64 - 1.0);
    (mean, covariance)
}

/// The vectors of a federation's parties, summed: for attacks that look at sums.
pub fn exact_regression(town: &Town, tables: &[&Table]) -> Result<Vec<f64>> {
    total(tables, |t| regression_vector(town, t))
}
