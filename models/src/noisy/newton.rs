//! A fixed number of Newton steps from noisy gradients and Hessians.
//!
//! The start is a point that needs no regression: the intercept at the log-odds of the train rows, every slope at
//! `start_slope` (on WOE values, a slope of 1 is what a single variable has). Slopes are expected within `slope_deviation` (`t`)
//! of it. A step takes `y = g + H (b - start)` as an observation of `H (optimum - start)` with noise of variance
//! `v = sigma_g^2 + sigma_h^2 (p + 1) t^2` from privacy, and of the eigenvalue `l` itself from sampling, and takes the best
//! linear estimate along each eigenvector of `H`:
//!
//! ```text
//! d = l t^2 y / (l^2 t^2 + v + l)        next point = start + d
//! ```
//!
//! Directions that the noise drowns stay at the start: of columns that say nearly the same, the slopes stay equal. Without noise
//! this is Newton's method with a ridge of `1 / t^2` towards the start.

use super::{NoisyError, NoisyOptions, check};
use crate::binning::Binning;
use crate::glm::{Coefficient, Fit, GlmError};
use crate::symmetric::{Symmetric, triangle};
use serde::{Deserialize, Serialize};

/// The regression between two noisy sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyNewton {
    columns: Vec<String>,
    good: f64,
    bad: f64,
    /// Information value of each column: fixes the gradient where all slopes are 0.
    iv: Vec<f64>,
    start: Vec<f64>,
    beta: Vec<f64>,
    round: usize,
    steps: usize,
    deviation: f64,
}

/// What follows a noisy sum.
#[derive(Clone, Debug, PartialEq)]
pub enum NoisyOutcome {
    /// Ask again at `next.beta()`.
    Continue(NoisyNewton),
    /// All steps are taken.
    Finished(Box<NoisyFit>),
}

/// The result of the regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyFit {
    /// Coefficients of the kept columns. Standard errors are those of the posterior: sampling, noise of gradient and Hessian, and
    /// what shrinking hides; noise in the WOE values is not in them. `log_likelihood` is an estimate from the information
    /// values (half the gradient at slopes 0 times the slopes), `condition_number` is of the posterior, `ridge` is `1 / slope_deviation^2` towards `start_slope`.
    pub fit: Fit,
    /// Columns whose slope may not stay, as position among the columns of the regression, with the coefficient that they would
    /// have: below 0, or 0 where only the loss of others turned it.
    pub contradicted: Vec<(usize, f64)>,
}

impl NoisyNewton {
    /// A regression on chosen columns, with the noisy numbers of good and bad train rows.
    pub fn new(chosen: &[Binning], good: f64, bad: f64, options: &NoisyOptions) -> Result<NoisyNewton, NoisyError> {
        options.validate()?;
        if !(good >= 1.0 && bad >= 1.0 && good.is_finite() && bad.is_finite()) {
            return Err(GlmError::OneClass { rows: good + bad, events: good }.into());
        }
        let mut start = vec![options.start_slope; chosen.len() + 1];
        start[0] = libm::log(good / bad);
        Ok(NoisyNewton {
            columns: chosen.iter().map(|b| b.column.clone()).collect(),
            good,
            bad,
            iv: chosen.iter().map(|b| b.iv).collect(),
            beta: start.clone(),
            start,
            round: 0,
            steps: options.steps,
            deviation: options.slope_deviation,
        })
    }

    /// Where the parties compute their next gradient and Hessian: `p + 1` entries, intercept first.
    pub fn beta(&self) -> &[f64] {
        &self.beta
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Steps taken.
    pub fn rounds(&self) -> usize {
        self.round
    }

    /// What follows from the noisy sum at [`NoisyNewton::beta`]; `sigmas`: of the gradient, of the Hessian. With
    /// `require_positive` the last step keeps slopes from below 0; a slope that would be is reported in `contradicted`.
    pub fn step(&self, sum: &[f64], sigmas: &[f64], require_positive: bool) -> Result<NoisyOutcome, NoisyError> {
        let n = self.beta.len();
        check("regression sums", sum, sigmas, n + triangle(n), 2)?;
        let (gradient, hessian) = sum.split_at(n);
        let hessian = Symmetric::new(n, hessian);
        let away: Vec<f64> = self.beta.iter().zip(&self.start).map(|(b, s)| b - s).collect();
        let seen: Vec<f64> = gradient.iter().zip(hessian.times(&away)).map(|(g, h)| g + h).collect();
        let model = Model::new(&hessian, sigmas, self.deviation)?;
        let round = self.round + 1;
        if round < self.steps {
            let beta = self.limited(&model.solve(&seen));
            return Ok(NoisyOutcome::Continue(NoisyNewton { beta, round, ..self.clone() }));
        }
        let free = self.limited(&model.solve(&seen));
        let beta = if require_positive { model.positive(&free) } else { free.clone() };
        let fit = self.finish(&model, &beta, &free, require_positive);
        if fit.fit.coefficients.len() == 1 {
            return Err(NoisyError::NothingSelected { columns: n - 1 });
        }
        Ok(NoisyOutcome::Finished(Box::new(fit)))
    }

    /// `start + d`, and not further than 4 expected deviations per slope on average.
    fn limited(&self, d: &[f64]) -> Vec<f64> {
        let length = libm::sqrt(d.iter().fold(0.0, |s, x| s + x * x));
        let most = 4.0 * self.deviation * libm::sqrt(d.len() as f64);
        let factor = if length > most { most / length } else { 1.0 };
        self.start.iter().zip(d).map(|(s, d)| s + factor * d).collect()
    }

    fn finish(&self, model: &Model, beta: &[f64], free: &[f64], require_positive: bool) -> NoisyFit {
        let (rows, share) = (self.good + self.bad, self.good / (self.good + self.bad));
        let variance = model.variance();
        let kept = |j: usize| j == 0 || !require_positive || beta[j] > 0.0;
        let coefficient = |j: usize| {
            let standard_error = libm::sqrt(variance[j].max(1e-300));
            let z = beta[j] / standard_error;
            let column = if j == 0 { "(intercept)".to_owned() } else { self.columns[j - 1].clone() };
            let p_value = libm::erfc(z.abs() / core::f64::consts::SQRT_2);
            Coefficient { column, value: beta[j], standard_error, z, p_value }
        };
        let null = rows * (share * libm::log(share) + (1.0 - share) * libm::log(1.0 - share));
        // The gradient of slope j where all slopes are 0 is G B / (G + B) * IV_j, and it is 0 at the optimum.
        let scale = self.good * self.bad / rows;
        let rise: f64 = self.iv.iter().zip(&beta[1..]).map(|(iv, b)| scale * iv * b / 2.0).sum();
        let log_likelihood = (null + rise).min(0.0);
        let ridge = 1.0 / (self.deviation * self.deviation);
        let far: f64 = beta.iter().zip(&self.start).map(|(b, s)| (b - s) * (b - s)).sum();
        let fit = Fit {
            coefficients: (0..beta.len()).filter(|&j| kept(j)).map(coefficient).collect(),
            rows,
            events: self.good,
            log_likelihood,
            null_log_likelihood: null,
            penalised_log_likelihood: log_likelihood - ridge / 2.0 * far,
            condition_number: model.precision.condition_number(),
            ridge,
            rounds: self.round + 1,
        };
        let contradicted = (1..beta.len()).filter(|&j| !kept(j)).map(|j| (j - 1, free[j].min(0.0))).collect();
        NoisyFit { fit, contradicted }
    }
}

/// The normal model of one step.
struct Model {
    /// Takes `y` to `d`.
    estimate: Symmetric,
    /// Posterior covariance of the slopes, and its inverse.
    covariance: Symmetric,
    precision: Symmetric,
}

impl Model {
    fn new(hessian: &Symmetric, sigmas: &[f64], deviation: f64) -> Result<Model, NoisyError> {
        let eigen = hessian.eigen();
        if eigen.values.iter().any(|v| !v.is_finite()) {
            return Err(NoisyError::NotFinite { what: "regression sums" });
        }
        let prior = deviation * deviation;
        let largest = eigen.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let noise = sigmas[0] * sigmas[0] + sigmas[1] * sigmas[1] * eigen.values.len() as f64 * prior;
        // A negative eigenvalue is noise: it becomes next to nothing, and its direction stays at the start.
        let size = |l: f64| l.max(1e-9 * largest.max(1e-300));
        let whole = |l: f64| size(l) * size(l) * prior + noise + size(l);
        let variance = |l: f64| prior * (noise + size(l)) / whole(l);
        Ok(Model {
            estimate: eigen.with_values(|l| size(l) * prior / whole(l)),
            covariance: eigen.with_values(variance),
            precision: eigen.with_values(|l| 1.0 / variance(l)),
        })
    }

    fn solve(&self, seen: &[f64]) -> Vec<f64> {
        self.estimate.times(seen)
    }

    fn variance(&self) -> Vec<f64> {
        (0..self.covariance.size()).map(|i| self.covariance.at(i, i)).collect()
    }

    /// The most likely point of the posterior around `free` with no slope below 0, by coordinate descent: the other
    /// coefficients make up for a slope that is held at 0.
    fn positive(&self, free: &[f64]) -> Vec<f64> {
        let mut beta: Vec<f64> = free.iter().enumerate().map(|(j, b)| if j == 0 { *b } else { b.max(0.0) }).collect();
        for _ in 0..1000 {
            let mut moved = 0.0f64;
            for j in 0..beta.len() {
                let pull = (0..beta.len()).fold(0.0, |sum, k| sum - self.precision.at(j, k) * (beta[k] - free[k]));
                let next = beta[j] + pull / self.precision.at(j, j);
                let next = if j == 0 { next } else { next.max(0.0) };
                moved = moved.max((next - beta[j]).abs());
                beta[j] = next;
            }
            if moved < 1e-12 {
                break;
            }
        }
        beta
    }
}
