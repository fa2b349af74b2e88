//! A feature holder against the labels: it sees its own gradient in every pass, and goods and bads of merged bins.

use super::town::{Job, Polish};
use crate::{
    Settings, seeded,
    stats::{Share, Test},
    town::DELTA,
};
use anyhow::{Context, Result};
use haihe_models::{
    glm::sigmoid,
    vertical::{
        Encoded, Pass, SolverOptions, gradient_from_products,
        pooled::{self, Fitted},
        quantise_residuals,
        woe::{FineColumn, WoeOptions, merge},
    },
};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use serde::Serialize;

const BITS: u32 = 24;

/// How well labels are told from a view.
#[derive(Clone, Debug, Serialize)]
pub struct Labels {
    /// The feature holders of the job.
    pub holders: String,
    /// What the attacker, the first of them, has.
    pub view: String,
    /// Whether it follows the protocol.
    pub honest: bool,
    /// Firms.
    pub firms: usize,
    /// That a bad firm is ranked above a good one.
    pub auc: f64,
    /// Half-width of its 95 % interval.
    pub auc_error: f64,
    /// Labels that were read off, where it is that easy.
    pub read: Option<Share>,
}

/// Views of the tax bureau.
pub fn labels(polish: &Polish, settings: &Settings) -> Result<Vec<Labels>> {
    let mut all = Vec::new();
    for holders in [vec!["tax"], vec!["tax", "core"]] {
        let job = polish.learn(&holders, "standardise", settings.seed)?;
        let models = retraced(&job)?;
        let (x, holders) = (&job.parts[0], job.holders.join(" + "));
        let row = |view: &str, score: Vec<f64>| {
            let test = judged(&score, &job.bad);
            let (view, firms) = (view.to_owned(), job.bad.len());
            let (auc, auc_error) = (test.auc, test.auc_error);
            Labels { holders: holders.clone(), view, honest: true, firms, auc, auc_error, read: None }
        };
        all.push(row("gradient of the first pass", least_squares(x, &gradient(&job, &models[0], x))?));
        all.push(row("gradients of all passes", all_passes(&job, &models)?));
        let last = models.last().context("a pass")?;
        all.push(row("its own coefficients at the end", scores(x, &last.coefficients[1])));
        let knowing = pooled::fit(&[x], &job.bad, &options(&job))?;
        all.push(row("own columns with all labels (nobody has them)", scores(x, &knowing.coefficients[0])));
        all.push(made_up_columns(&job, &models[0], holders.clone())?);
    }
    let job = polish.learn(&["tax"], "standardise", settings.seed)?;
    all.push(two_bins(&job, settings)?);
    Ok(all)
}

fn options(job: &Job) -> SolverOptions {
    let regression = job.spec.vertical.as_ref().map(|v| v.regression.clone()).unwrap_or_default();
    SolverOptions { max_passes: job.passes(), ..regression }
}

/// The model after every pass: the same roles in the clear, which the letters must agree with.
fn retraced(job: &Job) -> Result<Vec<Fitted>> {
    let mut models = Vec::new();
    let parts: Vec<&Encoded> = job.parts.iter().collect();
    pooled::federate(&job.own, &parts, &job.bad, &options(job), BITS, |fitted| models.push(fitted.clone()))?;
    let loss = |passes: &[Pass]| passes.last().map_or(f64::NAN, |p| p.loss);
    let (clear, sent) = (models.last().map_or(f64::NAN, |m| loss(&m.passes)), loss(&job.result.passes));
    anyhow::ensure!((clear - sent).abs() < 1e-4, "retraced otherwise than the letters say: {clear} {sent}");
    Ok(models)
}

/// What a holder of these columns unmasks when the model stands here.
fn gradient(job: &Job, model: &Fitted, x: &Encoded) -> Vec<f64> {
    let mut z = vec![model.intercept; job.bad.len()];
    for (part, coefficients) in [&job.own].into_iter().chain(&job.parts).zip(&model.coefficients) {
        z.iter_mut().zip(scores(part, coefficients)).for_each(|(z, s)| *z += s);
    }
    let d: Vec<f64> = z.iter().zip(&job.bad).map(|(z, bad)| sigmoid(*z) - f64::from(u8::from(*bad))).collect();
    gradient_from_products(&x.products(&quantise_residuals(&d, BITS)), BITS)
}

fn scores(x: &Encoded, coefficients: &[f64]) -> Vec<f64> {
    let mut z = vec![0.0; x.rows()];
    for (column, c) in x.real().iter().zip(coefficients) {
        z.iter_mut().zip(column).for_each(|(z, x)| *z += c * x);
    }
    z
}

/// The shortest d with `X^T d = g`; bad firms have negative ones.
fn least_squares(x: &Encoded, gradient: &[f64]) -> Result<Vec<f64>> {
    let real = x.real();
    let m = real.len();
    let product = |i: usize, j: usize| real[i].iter().zip(&real[j]).map(|(a, b)| a * b).sum::<f64>();
    let mut gram = DMatrix::from_fn(m, m, product);
    let floor = 1e-9 * gram.trace();
    (0..m).for_each(|i| gram[(i, i)] += floor);
    let solved = gram.cholesky().context("a Gram matrix")?.solve(&DVector::from_column_slice(gradient));
    Ok(scores(x, solved.as_slice()).into_iter().map(|d| -d).collect())
}

/// Residuals of all passes added up: what they have in common is the label.
fn all_passes(job: &Job, models: &[Fitted]) -> Result<Vec<f64>> {
    let x = &job.parts[0];
    let mut sum = vec![0.0; x.rows()];
    for model in &models[..models.len() - 1] {
        // What this holder's own part explains is known to it: sigmoid is close to linear, with the slope p (1 - p).
        let rate = job.bad.iter().filter(|b| **b).count() as f64 / job.bad.len() as f64;
        let own = scores(x, &model.coefficients[1]);
        let d = least_squares(x, &gradient(job, model, x))?;
        sum.iter_mut().zip(d).zip(own).for_each(|((s, d), z)| *s += d + rate * (1.0 - rate) * z);
    }
    Ok(sum)
}

fn judged(score: &[f64], bad: &[bool]) -> Test {
    let of = |class| score.iter().zip(bad).filter(|(_, b)| **b == class).map(|(s, _)| *s).collect::<Vec<f64>>();
    Test::of(&of(true), &of(false), DELTA)
}

/// A dishonest holder: as many columns as it declared, each 1 for one firm and 0 for all others.
fn made_up_columns(job: &Job, model: &Fitted, holders: String) -> Result<Labels> {
    let (rows, columns) = (job.bad.len(), job.parts[0].len());
    let one = |r: usize| (0..rows).map(|i| if i == r { 1 << haihe_models::vertical::VALUE_BITS } else { 0 }).collect();
    let x = Encoded::new(rows, (0..columns).map(one).collect())?;
    let d = gradient(job, model, &x);
    let right = d.iter().zip(&job.bad).filter(|(d, bad)| (**d < 0.0) == **bad).count();
    let view = "a column for one firm, one pass".to_owned();
    Ok(Labels {
        holders,
        view,
        honest: false,
        firms: columns,
        auc: 1.0,
        auc_error: 0.0,
        read: Some(Share::of(right, columns)),
    })
}

/// A dishonest holder: two columns whose bins differ by one firm, both above the minimum.
fn two_bins(job: &Job, settings: &Settings) -> Result<Labels> {
    let mut rng = seeded(settings.seed, "two bins");
    let firms = settings.trials(500, 50);
    let (mut right, rows) = (0, job.bad.len());
    for _ in 0..firms {
        let target = rng.random_range(0..rows);
        let half: Vec<bool> = (0..rows).map(|r| r != target && rng.random::<bool>()).collect();
        let column = |inside: &dyn Fn(usize) -> bool| {
            let count = |want: bool, bad: Option<bool>| {
                (0..rows).filter(|r| inside(*r) == want && bad.is_none_or(|b| job.bad[*r] == b)).count() as u64
            };
            FineColumn {
                rows: vec![count(true, None), count(false, None)],
                bad: vec![count(true, Some(true)), count(false, Some(true))],
                standalone: vec![false, false],
            }
        };
        let both = [column(&|r| half[r]), column(&|r| half[r] || r == target)];
        let merged = merge(&both, &job.bad, &WoeOptions::default())?;
        let bads: Vec<u64> = merged.columns.iter().map(|c| c.groups.first().map_or(0, |g| g.bad)).collect();
        right += usize::from((bads[1] > bads[0]) == job.bad[target]);
    }
    Ok(Labels {
        holders: job.holders.join(" + "),
        view: "two columns whose bins differ by one firm (WOE)".to_owned(),
        honest: false,
        firms,
        auc: 1.0,
        auc_error: 0.0,
        read: Some(Share::of(right, firms)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_views_guess_and_made_up_columns_read() {
        let polish = Polish::load().expect("the bundled firms");
        let found = labels(&polish, &Settings { seed: 1, quick: true }).expect("runs");
        for row in found.iter().filter(|r| !r.honest) {
            assert_eq!(row.read.map(|r| r.value), Some(1.0), "{row:?}");
        }
        let best = |holders: &str| {
            let of = |r: &&Labels| r.holders == holders && r.view.contains("nobody has");
            found.iter().find(of).expect("is there").auc
        };
        for row in found.iter().filter(|r| r.honest) {
            assert!(row.auc < best(&row.holders) + 0.02, "no more than a model of its own columns: {row:?}");
        }
    }
}
