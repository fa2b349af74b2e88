//! What a bank makes of the shared scorecard for itself, on its own train rows. It stays at the bank.
//!
//! A shift ([`RecalibrationKind::Intercept`]) or a shift and a stretch of the log-odds correct the level of the probabilities,
//! but never the order of the bank's customers. [`RecalibrationKind::Coefficients`] refits the coefficients of the shared
//! variables, drawn towards the shared ones: with shared coefficients `s` it maximises, over the bank's rows,
//!
//! ```text
//! log-likelihood(b) - 1/2 (b_0 - s_0)^2 - tau/2 sum_{j>=1} (b_j - s_j)^2
//! ```
//!
//! [`RecalibrationKind::Points`] goes one step further and gives every bin a deviation of its own: to the coefficients it adds one
//! 0-or-1 column per bin that is not neutral, with `s_j = 0`, so that a bank may disagree with the others about one industry
//! and not about another. The result is still a points table over the shared bins.
//!
//! This is the most probable `b` when the shared scorecard is the prior and `1 / tau` the variance of the banks around it: MAP
//! adaptation, Chelba & Acero 2006, "Adaptation of maximum entropy capitalizer: Little data can help a lot", Computer Speech & Language 20(4). WOE
//! values put all variables on one scale, so that one `tau` serves them all. The bank chooses `tau` from [`STRENGTHS`] or
//! infinity (the shared coefficients, own intercept) by cross-validation over its own train rows, as the least log-loss of rows
//! that the fit did not see. Ties go to the shared scorecard. No test row is ever looked at.

use crate::binning::{Bin, Binning, Matrix};
use crate::export::bin_label;
use crate::glm::{Coefficient, Fit, GlmError, LogisticStatistics, logistic_statistics, sigmoid, softplus};
use crate::grid::{StatisticsError, rows_of, validate};
use crate::scorecard::{Scorecard, Variable};
use crate::symmetric::Symmetric;
use crate::table::{Split, Table};
use serde::{Deserialize, Serialize};

/// The finite values of `tau` that a bank tries.
pub const STRENGTHS: [f64; 7] = [1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0];
/// Parts of the cross-validation.
pub const FOLDS: usize = 5;
/// Fewest goods, and fewest bads, among the train rows: two for every part.
pub const MIN_OF_A_CLASS: usize = 2 * FOLDS;
/// Penalty on the squared shift of the intercept.
const INTERCEPT_RIDGE: f64 = 1.0;
/// Most Newton steps of one fit.
const MAX_ROUNDS: usize = 100;

/// What a bank may change of the shared scorecard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecalibrationKind {
    /// Shift the log-odds.
    Intercept,
    /// Shift and stretch them.
    InterceptAndSlope,
    /// Refit the coefficients, drawn towards the shared ones.
    Coefficients,
    /// Refit the coefficients and the points of every bin, drawn towards the shared ones.
    Points,
}

impl RecalibrationKind {
    /// Whether it can change the order of customers.
    pub fn reorders(self) -> bool {
        matches!(self, RecalibrationKind::Coefficients | RecalibrationKind::Points)
    }
}

/// A bank's own version of the shared scorecard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalModel {
    /// What the job asked for.
    pub asked: RecalibrationKind,
    /// What was learned.
    pub change: Change,
    /// Why it is less than what was asked for, if it is.
    pub fallback: Option<Fallback>,
}

/// What turns the shared scorecard into a bank's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Other log-odds for the same order of customers.
    Offset(Recalibration),
    /// Other coefficients or points, hence another order.
    Adapted(Adaptation),
}

/// Why a bank falls back to something simpler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fallback {
    /// Too few train rows of a class to choose `tau`: only the intercept was fitted.
    TooFewRows {
        /// Good train rows.
        good: usize,
        /// Bad train rows.
        bad: usize,
        /// Needed of each.
        needed: usize,
    },
    /// The regression found no optimum; the shared scorecard, or its intercept alone, is used.
    NotFitted {
        /// What the regression said.
        reason: String,
    },
}

/// A bank's own coefficients or points, and how strongly they are drawn to the shared ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptation {
    /// The chosen strength; `None` is infinity: the shared coefficients, own intercept.
    pub tau: Option<f64>,
    /// The regression on the bank's own train rows; its `ridge` is `tau`. The coefficients of the shared variables come first,
    /// then, for [`RecalibrationKind::Points`], the deviations of their bins, named `variable: bin`. Standard errors are from the penalised Hessian; a
    /// coefficient that was not refitted keeps the shared one's.
    pub fit: Fit,
    /// Every strength that was tried, the strongest first.
    pub tried: Vec<Tried>,
}

/// One strength in the cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// The strength; `None` is infinity.
    pub tau: Option<f64>,
    /// Mean log-loss of the train rows, each scored by a fit that did not see it.
    pub log_loss: f64,
}

impl LocalModel {
    /// Learns a bank's own version from its train rows.
    pub fn learn(kind: RecalibrationKind, shared: &Scorecard, table: &Table) -> Result<LocalModel, StatisticsError> {
        let offset = |slope: bool, fallback: Option<Fallback>| {
            let scores = shared.score_table(table)?;
            let rows = rows_of(table, Split::Train);
            let (own, good): (Vec<f64>, Vec<bool>) = rows.iter().map(|&r| (scores[r], !table.label[r])).unzip();
            Ok(match offset_recalibration(&own, &good, slope) {
                Ok(map) => LocalModel { asked: kind, change: Change::Offset(map), fallback },
                Err(error) => LocalModel {
                    asked: kind,
                    change: Change::Offset(Recalibration { intercept: 0.0, slope: 1.0, rows: rows.len() }),
                    fallback: Some(Fallback::NotFitted { reason: error.to_string() }),
                },
            })
        };
        match kind {
            RecalibrationKind::Intercept => offset(false, None),
            RecalibrationKind::InterceptAndSlope => offset(true, None),
            RecalibrationKind::Coefficients | RecalibrationKind::Points => {
                let rows = rows_of(table, Split::Train);
                let good: Vec<bool> = rows.iter().map(|&r| !table.label[r]).collect();
                let bads = good.iter().filter(|g| !**g).count();
                let (goods, needed) = (good.len() - bads, MIN_OF_A_CLASS);
                if goods.min(bads) < needed {
                    return offset(false, Some(Fallback::TooFewRows { good: goods, bad: bads, needed }));
                }
                let prior = Prior::of(shared, kind == RecalibrationKind::Points);
                let x = prior.matrix(shared, table, &rows)?;
                match adapt(&prior, shared.ridge, &x, &good) {
                    Ok(own) => Ok(LocalModel { asked: kind, change: Change::Adapted(own), fallback: None }),
                    Err(error) => offset(false, Some(Fallback::NotFitted { reason: error.to_string() })),
                }
            }
        }
    }

    /// Log-odds of good of every row, as the bank's own version gives them.
    pub fn score_table(&self, shared: &Scorecard, table: &Table) -> Result<Vec<f64>, StatisticsError> {
        match (&self.change, self.scorecard(shared)) {
            (_, Some(own)) => own.score_table(table),
            (Change::Offset(map), None) => Ok(shared.score_table(table)?.into_iter().map(|x| map.apply(x)).collect()),
            // Coefficients of another scorecard say nothing about this one.
            (Change::Adapted(own), None) => Err(StatisticsError::Columns {
                expected: own.fit.coefficients.len().saturating_sub(1),
                found: shared.variables.len(),
            }),
        }
    }

    /// Log-odds and labels of the rows of one split, in order.
    pub fn scores_of(
        &self,
        shared: &Scorecard,
        table: &Table,
        split: Split,
    ) -> Result<(Vec<f64>, Vec<bool>), StatisticsError> {
        let scores = self.score_table(shared, table)?;
        Ok(rows_of(table, split).into_iter().map(|row| (scores[row], table.label[row])).unzip())
    }

    /// The bank's own points table: the shared bins with own coefficients, or with own weights of evidence under the shared
    /// coefficients where each bin has a deviation. `None` for a mere offset, which has no coefficients
    /// of its own, and for a scorecard with other variables than those that were adapted.
    ///
    /// The counts of the bins stay those of all banks, from which the WOE values come; a coefficient may be negative where the
    /// bank's customers contradict the others'.
    pub fn scorecard(&self, shared: &Scorecard) -> Option<Scorecard> {
        match &self.change {
            Change::Offset(_) => None,
            Change::Adapted(own) if own.fit.coefficients.len() == shared.variables.len() + 1 => {
                shared.refitted(&own.fit)
            }
            Change::Adapted(own) => with_own_bins(shared, &own.fit),
        }
    }
}

/// The bins of a variable that may deviate.
fn deviating(binning: &Binning) -> impl Iterator<Item = (usize, &Bin)> {
    binning.bins.iter().enumerate().filter(|(_, bin)| !bin.neutral)
}

/// Own weights of evidence: what, times the shared coefficient, is the own log-odds of each bin.
fn with_own_bins(shared: &Scorecard, fit: &Fit) -> Option<Scorecard> {
    let expected = Prior::of(shared, true).names;
    if !fit.coefficients.iter().map(|c| &c.column).eq(&expected) {
        return None;
    }
    let (own, deviations) = fit.coefficients.split_at_checked(shared.variables.len() + 1)?;
    let mut deviations = deviations.iter().map(|c| c.value);
    let mut card = shared.clone();
    let mut coefficients = vec![own.first()?.clone()];
    for (v, own) in card.variables.iter_mut().zip(&own[1..]) {
        // A shared coefficient of 0 could carry no deviation.
        let value = if v.coefficient.abs() > 1e-6 { v.coefficient } else { 1.0 };
        for bin in v.binning.bins.iter_mut().filter(|bin| !bin.neutral) {
            bin.woe = (own.value * bin.woe + deviations.next()?) / value;
        }
        let Variable { standard_error, z, p_value, .. } = *v;
        coefficients.push(Coefficient { column: v.column().to_owned(), value, standard_error, z, p_value });
    }
    card.refitted(&Fit { coefficients, ..fit.clone() })
}

/// The shared scorecard as a regression that a bank may move away from.
struct Prior {
    /// Intercept, variables, perhaps bins.
    names: Vec<String>,
    values: Vec<f64>,
    /// Standard errors of the shared fit; 0 where it has none.
    errors: Vec<f64>,
    by_bin: bool,
}

impl Prior {
    fn of(shared: &Scorecard, by_bin: bool) -> Prior {
        let mut prior = Prior {
            names: vec!["(intercept)".to_owned()],
            values: vec![shared.intercept],
            errors: vec![shared.intercept_standard_error],
            by_bin,
        };
        for v in &shared.variables {
            prior.names.push(v.column().to_owned());
            prior.values.push(v.coefficient);
            prior.errors.push(v.standard_error);
        }
        let bins = shared.variables.iter().flat_map(|v| deviating(&v.binning).map(move |(_, bin)| (v, bin)));
        for (v, bin) in bins.filter(|_| by_bin) {
            prior.names.push(format!("{}: {}", v.column(), bin_label(bin)));
            prior.values.push(0.0);
            prior.errors.push(0.0);
        }
        prior
    }

    /// The columns of the regression, intercept left out.
    fn matrix(&self, shared: &Scorecard, table: &Table, rows: &[usize]) -> Result<Matrix, StatisticsError> {
        validate(table)?;
        let binnings = || shared.variables.iter().map(|v| &v.binning);
        let bins = binnings().map(|b| b.bins_of(table)).collect::<Result<Vec<_>, _>>()?;
        let width = self.values.len() - 1;
        let mut data = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            data.extend(binnings().zip(&bins).map(|(b, at)| b.bins.get(at[row]).map_or(0.0, |bin| bin.woe)));
            for (b, at) in binnings().zip(&bins).filter(|_| self.by_bin) {
                data.extend(deviating(b).map(|(bin, _)| f64::from(u8::from(bin == at[row]))));
            }
        }
        Ok(Matrix::new(rows.len(), width, data).expect("a row of values for each row"))
    }
}

/// Chooses the strength by cross-validation, then fits all rows with it.
fn adapt(prior: &Prior, shared_ridge: f64, x: &Matrix, good: &[bool]) -> Result<Adaptation, GlmError> {
    let strengths: Vec<Option<f64>> = [None].into_iter().chain(STRENGTHS.map(Some)).collect();
    let folds = folds(good);
    let mut losses = vec![0.0; strengths.len()];
    for fold in 0..FOLDS {
        let (seen, seen_good) = subset(x, good, |row| folds[row] != fold);
        let (held, held_good) = subset(x, good, |row| folds[row] == fold);
        // From strong to weak, each fit starts where the one before ended.
        let mut beta = prior.values.clone();
        for (loss, tau) in losses.iter_mut().zip(&strengths) {
            beta = shrunken(&seen, &seen_good, &prior.values, *tau, beta)?.0;
            *loss -= logistic_statistics(&held, &held_good, &beta)?.log_likelihood;
        }
    }
    let tried = strengths.iter().zip(&losses);
    let tried: Vec<Tried> = tried.map(|(tau, loss)| Tried { tau: *tau, log_loss: loss / good.len() as f64 }).collect();
    // Strict: the strongest of equals.
    let best = tried.iter().fold(tried[0], |best, t| if t.log_loss < best.log_loss { *t } else { best });
    let (beta, statistics, rounds) = shrunken(x, good, &prior.values, best.tau, prior.values.clone())?;
    let fit = fit(prior, &beta, &statistics, best.tau);
    Ok(Adaptation { tau: best.tau, fit: Fit { rounds, ridge: best.tau.unwrap_or(shared_ridge), ..fit }, tried })
}

/// The part of every row, from its position among the rows of its class: each part has its share of goods and of bads.
fn folds(good: &[bool]) -> Vec<usize> {
    let mut seen = [0, 0];
    let part = |&g: &bool| {
        let count = &mut seen[usize::from(g)];
        *count += 1;
        (*count - 1) % FOLDS
    };
    good.iter().map(part).collect()
}

fn subset(x: &Matrix, good: &[bool], keep: impl Fn(usize) -> bool) -> (Matrix, Vec<bool>) {
    let rows: Vec<usize> = (0..good.len()).filter(|&row| keep(row)).collect();
    let data = rows.iter().flat_map(|&row| x.row(row)).copied().collect();
    let matrix = Matrix::new(rows.len(), x.columns(), data).expect("whole rows of one matrix");
    (matrix, rows.iter().map(|&row| good[row]).collect())
}

/// `b` that maximises the penalised log-likelihood, by damped Newton, the statistics there, and the rounds used. `tau` of `None` keeps the
/// coefficients at the prior's.
fn shrunken(
    x: &Matrix,
    good: &[bool],
    prior: &[f64],
    tau: Option<f64>,
    start: Vec<f64>,
) -> Result<(Vec<f64>, LogisticStatistics, usize), GlmError> {
    let free = if tau.is_some() { prior.len() } else { 1 };
    let penalty = |j: usize| if j == 0 { INTERCEPT_RIDGE } else { tau.unwrap_or(0.0) };
    let objective = |beta: &[f64], s: &LogisticStatistics| {
        let parts = beta.iter().zip(prior).enumerate();
        parts.fold(s.log_likelihood, |sum, (j, (b, p))| sum - penalty(j) / 2.0 * (b - p) * (b - p))
    };
    let mut beta = start;
    let mut statistics = logistic_statistics(x, good, &beta)?;
    let mut value = objective(&beta, &statistics);
    let mut moved = f64::INFINITY;
    for round in 1..=MAX_ROUNDS {
        let gradient: Vec<f64> =
            (0..free).map(|j| statistics.gradient[j] - penalty(j) * (beta[j] - prior[j])).collect();
        let mut step = if free == 1 {
            vec![gradient[0] / (statistics.hessian[0] + penalty(0))]
        } else {
            let factor = penalised(&statistics, prior.len(), penalty).factor(1e-12);
            let factor = factor.map_err(|d| GlmError::Collinear { column: format!("#{}", d.0), others: Vec::new() })?;
            factor.solve(&gradient)
        };
        moved = step.iter().fold(0.0f64, |m, d| m.max(d.abs()));
        if moved < 1e-9 {
            return Ok((beta, statistics, round));
        }
        let slack = 1e-12 * (1.0 + value.abs());
        let mut better = None;
        for _ in 0..40 {
            let steps = step.iter().copied().chain(std::iter::repeat(0.0));
            let next: Vec<f64> = beta.iter().zip(steps).map(|(b, d)| b + d).collect();
            let at = logistic_statistics(x, good, &next)?;
            let reached = objective(&next, &at);
            if reached >= value - slack {
                better = Some((next, at, reached));
                break;
            }
            step.iter_mut().for_each(|d| *d /= 2.0);
        }
        let Some(found) = better else { break };
        (beta, statistics, value) = found;
    }
    Err(GlmError::NotConverged { rounds: MAX_ROUNDS, step: moved })
}

fn penalised(s: &LogisticStatistics, size: usize, penalty: impl Fn(usize) -> f64) -> Symmetric {
    let mut hessian = Symmetric::new(size, &s.hessian);
    for j in 0..size {
        hessian.add_to_diagonal(j, penalty(j));
    }
    hessian
}

/// The regression as the rest of the crate knows it.
fn fit(prior: &Prior, beta: &[f64], s: &LogisticStatistics, tau: Option<f64>) -> Fit {
    let ridge = |j: usize| if j == 0 { INTERCEPT_RIDGE } else { tau.unwrap_or(0.0) };
    let hessian = penalised(s, beta.len(), ridge);
    let own = tau.and(hessian.factor(1e-12).ok());
    let errors = match own {
        Some(factor) => factor.inverse_diagonal().into_iter().map(libm::sqrt).collect(),
        // Nothing but the intercept was fitted.
        None => {
            let mut errors = prior.errors.clone();
            errors[0] = 1.0 / libm::sqrt(s.hessian[0] + INTERCEPT_RIDGE);
            errors
        }
    };
    let coefficient = |((column, &value), standard_error): ((&String, &f64), f64)| {
        let z = if standard_error > 0.0 { value / standard_error } else { 0.0 };
        let p_value = libm::erfc(z.abs() / core::f64::consts::SQRT_2);
        Coefficient { column: column.clone(), value, standard_error, z, p_value }
    };
    let share = s.events / s.rows;
    let drawn = beta.iter().zip(&prior.values).enumerate();
    Fit {
        coefficients: prior.names.iter().zip(beta).zip(errors).map(coefficient).collect(),
        rows: s.rows,
        events: s.events,
        log_likelihood: s.log_likelihood,
        null_log_likelihood: s.rows * (share * libm::log(share) + (1.0 - share) * libm::log(1.0 - share)),
        penalised_log_likelihood: drawn
            .fold(s.log_likelihood, |sum, (j, (b, p))| sum - ridge(j) / 2.0 * (b - p) * (b - p)),
        condition_number: hessian.condition_number(),
        ridge: tau.unwrap_or(0.0),
        rounds: 0,
    }
}

/// A bank's own map from the shared model's log-odds to its own: `intercept + slope * log_odds`. It stays at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    /// Shift, in log-odds of good.
    pub intercept: f64,
    /// Stretch; 1 when only the intercept was fitted.
    pub slope: f64,
    /// Rows used.
    pub rows: usize,
}

impl Recalibration {
    /// The bank's own log-odds.
    pub fn apply(&self, log_odds: f64) -> f64 {
        self.intercept + self.slope * log_odds
    }
}

/// Fits a bank's own recalibration on its own rows (`good[i]` = the firm turned out good). A ridge of 1 towards `(0, 1)` keeps
/// it near the shared model where the bank has few rows, and finite where it has seen one class only. The slope stays 1 unless
/// `slope_free`.
pub fn offset_recalibration(log_odds: &[f64], good: &[bool], slope_free: bool) -> Result<Recalibration, GlmError> {
    if log_odds.len() != good.len() {
        return Err(GlmError::Length { what: "labels", expected: log_odds.len(), found: good.len() });
    }
    if log_odds.iter().any(|x| !x.is_finite()) {
        return Err(GlmError::NotFinite { what: "the log-odds" });
    }
    const RIDGE: f64 = 1.0;
    let objective = |a: f64, b: f64| {
        let rows = log_odds.iter().zip(good);
        let fit = rows.fold(0.0, |sum, (&x, &y)| sum - softplus(if y { -(a + b * x) } else { a + b * x }));
        fit - RIDGE / 2.0 * (a * a + (b - 1.0) * (b - 1.0))
    };
    let (mut a, mut b) = (0.0, 1.0);
    let mut value = objective(a, b);
    for round in 0..100 {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (-RIDGE * a, -RIDGE * (b - 1.0), RIDGE, 0.0, RIDGE);
        for (&x, &y) in log_odds.iter().zip(good) {
            let p = sigmoid(a + b * x);
            let (r, w) = (f64::from(u8::from(y)) - p, p * (1.0 - p));
            ga += r;
            gb += r * x;
            haa += w;
            hab += w * x;
            hbb += w * x * x;
        }
        let (mut da, mut db) = if slope_free {
            let determinant = haa * hbb - hab * hab;
            ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant)
        } else {
            (ga / haa, 0.0)
        };
        let mut next = objective(a + da, b + db);
        for _ in 0..40 {
            if next >= value {
                break;
            }
            (da, db) = (da / 2.0, db / 2.0);
            next = objective(a + da, b + db);
        }
        let moved = da.abs().max(db.abs());
        if moved < 1e-10 || next < value {
            return Ok(Recalibration { intercept: a, slope: b, rows: good.len() });
        }
        (a, b, value) = (a + da, b + db, next);
        if round == 99 {
            return Err(GlmError::NotConverged { rounds: 100, step: moved });
        }
    }
    Ok(Recalibration { intercept: a, slope: b, rows: good.len() })
}
