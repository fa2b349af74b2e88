//! Logistic regression from sums: exact, not averaged.
//!
//! With `eta = b0 + sum_j b_j x_j` and `P(event) = 1 / (1 + exp(-eta))`, gradient, Hessian and log-likelihood are sums over rows,
//! hence sums over parties. [`Newton`] maximises `log-likelihood - ridge/2 * sum_{j>=1} b_j^2` (the intercept is free); with
//! scikit-learn's `LogisticRegression(C = 1 / ridge)` it has the same optimum.

use crate::binning::Matrix;
use crate::symmetric::{Symmetric, triangle};
use serde::{Deserialize, Serialize};

/// What stops a regression.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GlmError {
    /// Vectors do not belong together.
    #[error(
        "{what}: {expected} entries are expected, {found} came; all parties must use the same columns in the same order"
    )]
    Length {
        /// Which vector.
        what: &'static str,
        /// Entries expected.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// A number is NaN or infinite.
    #[error("{what} holds a value that is not finite: bin or impute missing values first")]
    NotFinite {
        /// Which vector.
        what: &'static str,
    },
    /// Without both classes the optimum is at infinity.
    #[error("the train rows hold {events} events among {rows} rows: both classes are needed")]
    OneClass {
        /// All rows.
        rows: f64,
        /// Rows with the event.
        events: f64,
    },
    /// A column is a combination of others (`ridge` too small to tell them apart).
    #[error("column `{column}` is a linear combination of {others:?}: drop one of them, or raise `ridge`")]
    Collinear {
        /// The dependent column, or `(intercept)`.
        column: String,
        /// The columns before it with which it correlates most.
        others: Vec<String>,
    },
    /// A coefficient runs away: the column separates goods from bads perfectly.
    #[error(
        "the coefficient of column `{column}` grows without bound: it separates the classes (a leak?); drop it, or raise `ridge`"
    )]
    Separation {
        /// The column.
        column: String,
    },
    /// The rounds are used up.
    #[error("no convergence in {rounds} rounds (largest step {step:e}): raise `max_rounds` or `ridge`")]
    NotConverged {
        /// Rounds used.
        rounds: usize,
        /// Largest step of the last round.
        step: f64,
    },
    /// An option is out of its range.
    #[error("regression option `{option}` is out of range: {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// The sums that a Newton step needs, at one `beta` of `p + 1` entries, intercept first.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticStatistics {
    /// Number of rows.
    pub rows: f64,
    /// Rows with the event.
    pub events: f64,
    /// `sum_i log P(y_i)`, natural logarithm.
    pub log_likelihood: f64,
    /// `sum_i (y_i - p_i) x_i`, `p + 1` entries.
    pub gradient: Vec<f64>,
    /// Upper triangle, row by row, of `sum_i p_i (1 - p_i) x_i x_i^T`: `(p + 1)(p + 2) / 2` entries.
    pub hessian: Vec<f64>,
}

/// Beyond this |eta| a probability is 0 or 1 to 13 digits; the clamp bounds what one row adds to the log-likelihood.
const MAX_ETA: f64 = 30.0;

impl LogisticStatistics {
    /// Entries of the vector for `p` columns.
    pub fn len_for(columns: usize) -> usize {
        3 + (columns + 1) + triangle(columns + 1)
    }

    /// `rows, events, log-likelihood, gradient, hessian`.
    pub fn to_vec(&self) -> Vec<f64> {
        let mut all = vec![self.rows, self.events, self.log_likelihood];
        all.extend(&self.gradient);
        all.extend(&self.hessian);
        all
    }

    /// Reads a vector, local or summed.
    pub fn from_slice(columns: usize, values: &[f64]) -> Result<Self, GlmError> {
        let expected = Self::len_for(columns);
        if values.len() != expected {
            return Err(GlmError::Length { what: "logistic statistics", expected, found: values.len() });
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(GlmError::NotFinite { what: "logistic statistics" });
        }
        let (gradient, hessian) = values[3..].split_at(columns + 1);
        Ok(LogisticStatistics {
            rows: values[0],
            events: values[1],
            log_likelihood: values[2],
            gradient: gradient.to_vec(),
            hessian: hessian.to_vec(),
        })
    }

    /// Largest absolute value that each entry of [`Self::to_vec`] can take, for a fixed-point code: `rows` rows in the sum,
    /// `columns` columns, `|x| <= max_abs_x`. Per row: gradient |x|, Hessian |x x| / 4, log-likelihood 31.
    pub fn bounds(rows: f64, columns: usize, max_abs_x: f64) -> Vec<f64> {
        let size = |j: usize| if j == 0 { 1.0 } else { max_abs_x };
        let mut bounds = vec![rows, rows, (MAX_ETA + 1.0) * rows];
        bounds.extend((0..=columns).map(|j| rows * size(j)));
        for i in 0..=columns {
            bounds.extend((i..=columns).map(|j| rows * size(i) * size(j) / 4.0));
        }
        bounds
    }
}

/// Probability of the event at log-odds `eta`.
pub fn sigmoid(eta: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-eta))
}

/// `ln(1 + exp(x))` without overflow.
pub(crate) fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

/// Local half of one Newton round: the sums over the rows of `x` (rows x p), `y` = event, at `beta` (intercept first).
pub fn logistic_statistics(x: &Matrix, y: &[bool], beta: &[f64]) -> Result<LogisticStatistics, GlmError> {
    let p = x.columns();
    if y.len() != x.rows() {
        return Err(GlmError::Length { what: "labels", expected: x.rows(), found: y.len() });
    }
    if beta.len() != p + 1 {
        return Err(GlmError::Length { what: "beta", expected: p + 1, found: beta.len() });
    }
    if beta.iter().any(|b| !b.is_finite()) {
        return Err(GlmError::NotFinite { what: "beta" });
    }
    if x.as_slice().iter().any(|v| !v.is_finite()) {
        return Err(GlmError::NotFinite { what: "the design matrix" });
    }
    let mut s = LogisticStatistics {
        rows: x.rows() as f64,
        events: y.iter().filter(|&&e| e).count() as f64,
        log_likelihood: 0.0,
        gradient: vec![0.0; p + 1],
        hessian: vec![0.0; triangle(p + 1)],
    };
    let mut row = vec![1.0; p + 1];
    for (i, &event) in y.iter().enumerate() {
        row[1..].copy_from_slice(x.row(i));
        let eta = row.iter().zip(beta).fold(0.0, |sum, (x, b)| sum + x * b).clamp(-MAX_ETA, MAX_ETA);
        let probability = sigmoid(eta);
        s.log_likelihood -= softplus(if event { -eta } else { eta });
        let residual = f64::from(u8::from(event)) - probability;
        let weight = probability * (1.0 - probability);
        let mut at = 0;
        for (j, &xj) in row.iter().enumerate() {
            s.gradient[j] += residual * xj;
            let scaled = weight * xj;
            for (h, &xk) in s.hessian[at..].iter_mut().zip(&row[j..]) {
                *h += scaled * xk;
            }
            at += p + 1 - j;
        }
    }
    Ok(s)
}

/// How a regression is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewtonOptions {
    /// Penalty on the squared coefficients, intercept excepted.
    pub ridge: f64,
    /// Converged when no coefficient would move further than this.
    pub tolerance: f64,
    /// Most rounds, halvings included.
    pub max_rounds: usize,
}

impl Default for NewtonOptions {
    fn default() -> Self {
        NewtonOptions { ridge: 1.0, tolerance: 1e-6, max_rounds: 25 }
    }
}

impl NewtonOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), GlmError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(GlmError::Option { option, allowed }) }
        };
        rule(self.ridge.is_finite() && self.ridge >= 0.0, "ridge", "0 or more")?;
        rule(self.tolerance > 0.0 && self.tolerance <= 0.1, "tolerance", "above 0, at most 0.1")?;
        rule((1..=1000).contains(&self.max_rounds), "max_rounds", "1 to 1000")
    }
}

/// Damped Newton (iteratively reweighted least squares with ridge) as a state between two rounds. [`Newton::beta`] is where the
/// parties compute next; [`Newton::step`] takes the summed statistics and returns what follows, without changing the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newton {
    columns: Vec<String>,
    options: NewtonOptions,
    beta: Vec<f64>,
    round: usize,
    /// How exact the sums are.
    resolution: Resolution,
    /// Best point so far, from which the current one was reached.
    best: Option<Best>,
}

/// How exact summed statistics are: what a fixed-point code may have added to or taken from an entry. Zero for sums in the
/// clear. Differences below it are no differences: without it, a step at the optimum would look like a fall of the objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// Of the log-likelihood.
    pub log_likelihood: f64,
    /// Of an entry of the gradient.
    pub gradient: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    beta: Vec<f64>,
    objective: f64,
}

/// What follows from one round.
#[derive(Clone, Debug, PartialEq)]
pub enum NewtonOutcome {
    /// The objective rose: ask the parties again at `next.beta()`.
    Continue(Newton),
    /// The step was too long: ask the parties again at `next.beta()`, half way back.
    Backtrack(Newton),
    /// Done.
    Converged(Fit),
    /// No optimum can be reached.
    Failed(GlmError),
}

impl Newton {
    /// A regression on the named columns, starting from 0.
    pub fn new(columns: Vec<String>, options: NewtonOptions) -> Result<Newton, GlmError> {
        options.validate()?;
        let beta = vec![0.0; columns.len() + 1];
        Ok(Newton { columns, options, beta, round: 0, resolution: Resolution::default(), best: None })
    }

    /// The same regression on sums that are exact up to `resolution` only.
    pub fn with_resolution(self, resolution: Resolution) -> Newton {
        Newton { resolution, ..self }
    }

    /// The same regression from another point: `beta` has `p + 1` entries, intercept first.
    pub fn starting_at(self, beta: Vec<f64>) -> Result<Newton, GlmError> {
        if beta.len() != self.beta.len() {
            return Err(GlmError::Length { what: "starting point", expected: self.beta.len(), found: beta.len() });
        }
        if beta.iter().any(|b| !b.is_finite()) {
            return Err(GlmError::NotFinite { what: "starting point" });
        }
        Ok(Newton { beta, ..self })
    }

    /// Where the parties compute their next statistics: `p + 1` entries, intercept first.
    pub fn beta(&self) -> &[f64] {
        &self.beta
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Rounds done so far.
    pub fn rounds(&self) -> usize {
        self.round
    }

    /// Forgets how good earlier points were, because they were measured on other rows. Rounds are still counted.
    pub fn on_other_rows(self) -> Newton {
        Newton { best: None, ..self }
    }

    /// What follows from the summed statistics at [`Newton::beta`].
    pub fn step(&self, statistics: &LogisticStatistics) -> NewtonOutcome {
        self.advance(statistics).unwrap_or_else(NewtonOutcome::Failed)
    }

    fn advance(&self, s: &LogisticStatistics) -> Result<NewtonOutcome, GlmError> {
        let p = self.columns.len();
        let s = &LogisticStatistics::from_slice(p, &s.to_vec())?;
        if !(s.events >= 1.0 && s.events <= s.rows - 1.0) {
            return Err(GlmError::OneClass { rows: s.rows, events: s.events });
        }
        let round = self.round + 1;
        let objective = s.log_likelihood - self.options.ridge / 2.0 * self.beta[1..].iter().fold(0.0, |t, b| t + b * b);
        let slack = 1e-9 * (1.0 + objective.abs()) + 2.0 * self.resolution.log_likelihood;
        if let Some(best) = self.best.as_ref().filter(|best| objective < best.objective - slack) {
            let beta: Vec<f64> = self.beta.iter().zip(&best.beta).map(|(b, a)| (a + b) / 2.0).collect();
            self.check_rounds(round, largest(&beta, &best.beta))?;
            return Ok(NewtonOutcome::Backtrack(Newton { beta, round, ..self.clone() }));
        }
        let mut hessian = Symmetric::new(p + 1, &s.hessian);
        for j in 1..=p {
            hessian.add_to_diagonal(j, self.options.ridge);
        }
        let factor = hessian.factor(1e-10).map_err(|d| self.collinear(&hessian, d.0))?;
        let gradient: Vec<f64> =
            (0..=p).map(|j| s.gradient[j] - if j == 0 { 0.0 } else { self.options.ridge * self.beta[j] }).collect();
        let step = factor.solve(&gradient);
        let moved = step.iter().fold(0.0f64, |m, d| m.max(d.abs()));
        let still = gradient.iter().all(|g| g.abs() <= self.resolution.gradient);
        if moved <= self.options.tolerance || still {
            return Ok(NewtonOutcome::Converged(self.fit(s, objective, round, &hessian, &factor.inverse_diagonal())));
        }
        let beta: Vec<f64> = self.beta.iter().zip(&step).map(|(b, d)| b + d).collect();
        if let Some(j) = (1..=p).find(|&j| beta[j].abs() > 100.0) {
            return Err(GlmError::Separation { column: self.columns[j - 1].clone() });
        }
        self.check_rounds(round, moved)?;
        let best = Some(Best { beta: self.beta.clone(), objective });
        Ok(NewtonOutcome::Continue(Newton { beta, round, best, ..self.clone() }))
    }

    fn check_rounds(&self, round: usize, step: f64) -> Result<(), GlmError> {
        if round >= self.options.max_rounds { Err(GlmError::NotConverged { rounds: round, step }) } else { Ok(()) }
    }

    fn name(&self, j: usize) -> String {
        if j == 0 { "(intercept)".to_owned() } else { self.columns[j - 1].clone() }
    }

    fn collinear(&self, hessian: &Symmetric, j: usize) -> GlmError {
        let scaled = hessian.correlation();
        let mut before: Vec<usize> = (0..j).collect();
        before.sort_by(|&a, &b| scaled.at(b, j).abs().total_cmp(&scaled.at(a, j).abs()));
        GlmError::Collinear { column: self.name(j), others: before.iter().take(3).map(|&k| self.name(k)).collect() }
    }

    fn fit(&self, s: &LogisticStatistics, objective: f64, rounds: usize, hessian: &Symmetric, variance: &[f64]) -> Fit {
        let share = s.events / s.rows;
        let coefficients = self
            .beta
            .iter()
            .zip(variance)
            .enumerate()
            .map(|(j, (&value, &v))| {
                let standard_error = libm::sqrt(v);
                let z = value / standard_error;
                Coefficient {
                    column: self.name(j),
                    value,
                    standard_error,
                    z,
                    p_value: libm::erfc(z.abs() / core::f64::consts::SQRT_2),
                }
            })
            .collect();
        Fit {
            coefficients,
            rows: s.rows,
            events: s.events,
            log_likelihood: s.log_likelihood,
            null_log_likelihood: s.rows * (share * libm::log(share) + (1.0 - share) * libm::log(1.0 - share)),
            penalised_log_likelihood: objective,
            condition_number: hessian.condition_number(),
            ridge: self.options.ridge,
            rounds,
        }
    }
}

fn largest(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// One fitted coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficient {
    /// Name of the column, or `(intercept)`.
    pub column: String,
    /// Log-odds of the event per unit.
    pub value: f64,
    /// From the inverse of the penalised Hessian.
    pub standard_error: f64,
    /// `value / standard_error`.
    pub z: f64,
    /// Two-sided, normal.
    pub p_value: f64,
}

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Intercept first, then the columns in their order.
    pub coefficients: Vec<Coefficient>,
    /// Train rows.
    pub rows: f64,
    /// Train rows with the event.
    pub events: f64,
    /// At the fitted coefficients.
    pub log_likelihood: f64,
    /// With an intercept only.
    pub null_log_likelihood: f64,
    /// Log-likelihood less the ridge penalty.
    pub penalised_log_likelihood: f64,
    /// Largest over smallest eigenvalue of the penalised Hessian scaled to a unit diagonal. Above about 100: columns that
    /// hardly differ; above 900 (Belsley's index 30): drop some.
    pub condition_number: f64,
    /// The penalty used.
    pub ridge: f64,
    /// Rounds used.
    pub rounds: usize,
}

impl Fit {
    /// McFadden's pseudo-R2.
    pub fn pseudo_r2(&self) -> f64 {
        1.0 - self.log_likelihood / self.null_log_likelihood
    }
}
