//! The label holder's side of sequential subspace optimisation: it minimises
//!
//! ```text
//! F = sum_i c_i log(1 + exp(-s_i z_i)) + ridge / 2 * |w|^2       s_i = +1 if bad, -1 if good; the intercept is free
//! z = intercept + X_own w_own + sum_j theta_j u_j                u_j = sum over the holders of X_p v_pj
//! ```
//!
//! exactly over the intercept, its own columns and the span of all directions received, so that no step size is needed and F
//! never rises. `ridge = 1 / C` of scikit-learn's `LogisticRegression`.

use super::linear::{dot, solve_independent, weighted_gram};
use super::selection::{self, CLEAR_CONTRADICTION, CONTRADICTION, Review, SETTLED};
use super::{Combination, Direction, Encoded, Pass, SolverOptions, Status};
use super::{SCORE_BITS, SCORE_LIMIT, VerticalError, log_odds};
use crate::glm::{sigmoid, softplus};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// The label holder with its rows.
pub struct LabelHolder {
    /// A column of ones, then the own columns.
    own: Vec<Vec<f64>>,
    bad: Vec<bool>,
    /// Weights of the training rows, 0 for held-out ones.
    weights: Vec<f64>,
    held_out: Vec<usize>,
    options: SolverOptions,
    z: Vec<f64>,
    state: LabelState,
}

/// What a label holder must remember between two passes: for the vault only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelState {
    /// Received score directions, oldest first, as real log-odds (a merged one is no whole number any more).
    scores: Vec<Vec<f64>>,
    /// `sum_p v_pi . v_pj`, full rows.
    gram: Vec<Vec<f64>>,
    /// Intercept, own coefficients, then theta.
    point: Vec<f64>,
    pass: usize,
    /// Best combination on the held-out rows: loss, pass, point.
    best: Option<(f64, usize, Vec<f64>)>,
    /// A combination is in force that no direction has answered yet.
    told: bool,
    /// The gain of the direction that is due.
    gain: u32,
    /// Objective after the last pass, and how many passes in a row did not lower it by what the tolerance is worth.
    objective: Option<f64>,
    idle: usize,
    /// All parties have looked at their coefficients since the first of these directions.
    reviewed: bool,
}

/// Redacted: shows how far the solver is.
impl core::fmt::Debug for LabelState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LabelState {{ directions: {}, pass: {} }}", self.scores.len(), self.pass)
    }
}

impl core::fmt::Debug for LabelHolder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LabelHolder {{ rows: {}, own: {}, state: {:?} }}", self.bad.len(), self.own.len() - 1, self.state)
    }
}

impl LabelHolder {
    /// A label holder with its own part of the matrix (which may have no columns) and the labels of the same rows. Rows of
    /// `held_out` do not train; they only decide when to stop.
    pub fn new(
        own: &Encoded,
        bad: Vec<bool>,
        held_out: Vec<usize>,
        options: SolverOptions,
    ) -> Result<LabelHolder, VerticalError> {
        options.validate()?;
        let rows = bad.len();
        if own.rows() != rows {
            return Err(VerticalError::Length { what: "labels", expected: own.rows(), found: rows });
        }
        if held_out.iter().any(|&r| r >= rows) {
            return Err(VerticalError::RowSet { rows });
        }
        let weights = class_weights(&bad, &held_out, options.balanced)?;
        let mut columns = vec![vec![1.0; rows]];
        columns.extend(own.real());
        let mut point = vec![0.0; columns.len()];
        let positive: f64 = weights.iter().zip(&bad).filter(|(_, b)| **b).map(|(w, _)| w).sum();
        let negative = weights.iter().sum::<f64>() - positive;
        point[0] = libm::log(positive / negative);
        let state = LabelState {
            scores: Vec::new(),
            gram: Vec::new(),
            point,
            pass: 0,
            best: None,
            told: false,
            gain: 0,
            objective: None,
            idle: 0,
            reviewed: false,
        };
        let z = vec![0.0; rows];
        Ok(LabelHolder { own: columns, bad, weights, held_out, options, z, state })
    }

    /// The same holder with what it remembered.
    pub fn resume(mut self, state: LabelState) -> Result<LabelHolder, VerticalError> {
        let length = |what, expected: usize, found: usize| {
            if expected == found { Ok(()) } else { Err(VerticalError::Length { what, expected, found }) }
        };
        let h = state.scores.len();
        length("stored coefficients", self.own.len() + h, state.point.len())?;
        length("stored products", h, state.gram.len())?;
        state.gram.iter().try_for_each(|row| length("stored products", h, row.len()))?;
        state.scores.iter().try_for_each(|u| length("stored scores", self.bad.len(), u.len()))?;
        self.state = state;
        self.z = self.scores_at(&self.state.point);
        Ok(self)
    }

    /// What to remember.
    pub fn state(&self) -> &LabelState {
        &self.state
    }

    /// Pass 0: the optimum over the label holder's own columns, which is its model without the others.
    pub fn alone(&mut self) -> Result<Pass, VerticalError> {
        if self.state.pass > 0 || !self.state.scores.is_empty() {
            return Err(VerticalError::Order { what: "the solution over the own columns" });
        }
        let steps = self.minimise()?;
        self.report(None, None, steps)
    }

    /// Takes the sum of all feature holders' directions of this pass and solves over the larger span.
    pub fn receive(&mut self, direction: &Direction) -> Result<Pass, VerticalError> {
        self.check(direction)?;
        let h = self.state.scores.len();
        let [squares @ .., gradient_square, slope] = direction.scalars.as_slice() else {
            return Err(VerticalError::Length { what: "scalars", expected: h + 3, found: direction.scalars.len() });
        };
        for (row, &product) in self.state.gram.iter_mut().zip(squares) {
            row.push(product);
        }
        self.state.gram.push(squares.to_vec());
        let scores: Vec<f64> = direction.scores.iter().map(|&u| log_odds(u)).collect();
        self.state.scores.push(scores);
        // A refit goes on from where it stands.
        self.state.point.push(if h == 0 && self.state.pass > 0 { 1.0 } else { 0.0 });
        self.state.pass += 1;
        self.state.told = false;
        let curvature: f64 = self.curvature() * self.bad.len() as f64;
        // g . v carries the gain once.
        let asked = libm::sqrt((-slope).max(0.0) * libm::ldexp(1.0, -(self.state.gain as i32)) / curvature);
        // A direction that no gradient was made into (a warm start) asks for nothing.
        let asked = (*gradient_square > 0.0).then_some(asked);
        let steps = self.minimise()?;
        // Directions shrink by a factor of three to ten per pass: the next one will be about 1 at most.
        let next = asked.filter(|asked| *asked > 0.0);
        self.state.gain = next.map_or(0, |asked| (-libm::log2(asked)).clamp(0.0, 20.0) as u32);
        self.report(Some(libm::sqrt(gradient_square.max(0.0))), asked, steps)
    }

    /// Whether all parties should look at their coefficients now, and above what a coefficient contradicts: once when signs have
    /// settled, before the last pass, and at the end. Not without a pass left, which a refit would need.
    pub fn review_is_due(&self, pass: &Pass) -> Option<f64> {
        let left = self.options.max_passes.saturating_sub(pass.pass);
        let first = !self.state.reviewed;
        match (left, pass.status) {
            (0, _) => None,
            (1, Status::Continue) => Some(CONTRADICTION),
            (_, Status::Continue) => {
                (first && pass.asked.is_some_and(|asked| asked <= SETTLED)).then_some(CLEAR_CONTRADICTION)
            }
            _ => Some(CONTRADICTION),
        }
    }

    /// Looks at its own coefficients, as [`super::FeatureHolder::review`].
    pub fn review(&mut self, above: f64) -> Result<Review, VerticalError> {
        self.state.reviewed = true;
        selection::review(&self.own[1..], self.coefficients(), self.curvature(), self.options.ridge, above)
    }

    /// Goes on with the own columns that a review keeps. The others' directions are as good as before.
    pub fn narrow(&mut self, review: &Review) -> Result<(), VerticalError> {
        let theta = self.state.point.split_off(self.own.len());
        self.keep(review)?;
        self.state.point.extend(theta);
        self.minimise()?;
        Ok(())
    }

    /// The same when feature holders go on with fewer columns too: directions of before are forgotten, as they forget them, and
    /// passes count on. Due is the sum of their first directions.
    pub fn refit(&mut self, review: &Review) -> Result<(), VerticalError> {
        self.keep(review)?;
        let state = &mut self.state;
        (state.scores, state.gram) = (Vec::new(), Vec::new());
        (state.told, state.gain, state.reviewed) = (false, 0, false);
        self.z = self.scores_at(&self.state.point);
        Ok(())
    }

    fn keep(&mut self, review: &Review) -> Result<(), VerticalError> {
        let (expected, found) = (review.kept.len(), review.coefficients.len());
        if expected != found || review.kept.iter().any(|j| j + 1 >= self.own.len()) {
            return Err(VerticalError::Length { what: "coefficients", expected, found });
        }
        let mut own = vec![std::mem::take(&mut self.own[0])];
        own.extend(review.kept.iter().map(|j| std::mem::take(&mut self.own[j + 1])));
        self.own = own;
        self.state.point.truncate(1);
        self.state.point.extend(&review.coefficients);
        (self.state.best, self.state.objective, self.state.idle) = (None, None, 0);
        Ok(())
    }

    /// What to tell all feature holders after a pass; call it once per pass and send the same bytes again if need be. With `merge`, both sides put the two oldest directions together.
    pub fn combination(&mut self) -> Combination {
        let own = self.own.len();
        let theta = self.state.point[own..].to_vec();
        let merge = !self.state.told && theta.len() > self.options.memory;
        self.state.told = true;
        if merge {
            self.merge();
        }
        Combination { theta, curvature: self.curvature(), gain: self.state.gain, merge }
    }

    /// `d_i = c_i (sigmoid(z_i) - y_i)`, 0 for held-out rows.
    pub fn residuals(&self) -> Vec<f64> {
        let one = |((&z, &bad), &c): ((&f64, &bool), &f64)| c * (sigmoid(z) - f64::from(u8::from(bad)));
        self.z.iter().zip(&self.bad).zip(&self.weights).map(one).collect()
    }

    /// Log-odds of bad of every row at the current point.
    pub fn scores(&self) -> &[f64] {
        &self.z
    }

    /// The intercept.
    pub fn intercept(&self) -> f64 {
        self.state.point[0]
    }

    /// Coefficients of the own columns.
    pub fn coefficients(&self) -> &[f64] {
        &self.state.point[1..self.own.len()]
    }

    /// The directions received, as the label holder sees them.
    pub fn received(&self) -> &[Vec<f64>] {
        &self.state.scores
    }

    pub(super) fn weights(&self) -> &[f64] {
        &self.weights
    }

    pub(super) fn bad(&self) -> &[bool] {
        &self.bad
    }

    pub(super) fn own(&self) -> &[Vec<f64>] {
        &self.own
    }

    pub(super) fn ridge(&self) -> f64 {
        self.options.ridge
    }

    fn check(&self, direction: &Direction) -> Result<(), VerticalError> {
        let length = |what, expected: usize, found: usize| {
            if expected == found { Ok(()) } else { Err(VerticalError::Length { what, expected, found }) }
        };
        length("scores", self.bad.len(), direction.scores.len())?;
        length("scalars", self.state.scores.len() + 3, direction.scalars.len())?;
        if direction.scores.iter().any(|u| u.unsigned_abs() > SCORE_LIMIT.unsigned_abs()) {
            return Err(VerticalError::NotFinite { what: "scores" });
        }
        if direction.scalars.iter().any(|s| !s.is_finite()) {
            return Err(VerticalError::NotFinite { what: "scalars" });
        }
        Ok(())
    }

    pub(super) fn curvature(&self) -> f64 {
        let one = |(&z, &c): (&f64, &f64)| c * weight(z);
        self.z.iter().zip(&self.weights).map(one).sum::<f64>().max(1e-9) / self.bad.len() as f64
    }

    fn report(&mut self, gradient_norm: Option<f64>, asked: Option<f64>, steps: usize) -> Result<Pass, VerticalError> {
        let n = self.weights.iter().filter(|&&c| c > 0.0).count() as f64;
        let (loss, penalty) = self.objective(&self.z, &self.state.point);
        let worth = 0.5 * self.curvature() * self.options.tolerance * self.options.tolerance * self.bad.len() as f64;
        let lowered = self.state.objective.map_or(f64::INFINITY, |before| before - (loss + penalty));
        self.state.idle = if lowered < worth { self.state.idle + 1 } else { 0 };
        self.state.objective = Some(loss + penalty);
        let held_out_loss = self.held_out_loss();
        let pass = self.state.pass;
        let better = |held_out: &f64| self.state.best.as_ref().is_none_or(|(best, ..)| held_out < best);
        if let Some(held_out) = held_out_loss.filter(better).filter(|_| self.options.patience.is_some()) {
            self.state.best = Some((held_out, pass, self.state.point.clone()));
        }
        let stale = self.state.best.as_ref().map_or(0, |(_, at, _)| pass - at);
        let status = if self.options.patience.is_some_and(|p| stale >= p) {
            Status::StoppedEarly
        } else if asked.is_some_and(|asked| asked <= self.options.tolerance) || self.state.idle >= 2 {
            Status::Converged
        } else if pass >= self.options.max_passes {
            Status::PassesSpent
        } else {
            Status::Continue
        };
        if let Some((_, _, point)) = self.state.best.take_if(|_| status != Status::Continue) {
            self.state.point = point;
            self.state.point.resize(self.own.len() + self.state.scores.len(), 0.0);
            self.z = self.scores_at(&self.state.point);
        }
        Ok(Pass {
            pass,
            loss: loss / n,
            objective: (loss + penalty) / n,
            held_out_loss,
            gradient_norm,
            asked,
            steps,
            status,
        })
    }

    fn held_out_loss(&self) -> Option<f64> {
        let total: f64 =
            self.held_out.iter().map(|&r| softplus(if self.bad[r] { -self.z[r] } else { self.z[r] })).sum();
        (!self.held_out.is_empty()).then(|| total / self.held_out.len() as f64)
    }

    fn columns(&self) -> Vec<&[f64]> {
        self.own.iter().chain(&self.state.scores).map(Vec::as_slice).collect()
    }

    fn scores_at(&self, point: &[f64]) -> Vec<f64> {
        combine(&self.columns(), point)
    }

    /// Loss and penalty at a point with the scores `z`.
    fn objective(&self, z: &[f64], point: &[f64]) -> (f64, f64) {
        let loss = z
            .iter()
            .zip(&self.bad)
            .zip(&self.weights)
            .filter(|(_, c)| **c > 0.0)
            .fold(0.0, |sum, ((&z, &bad), &c)| sum + c * softplus(if bad { -z } else { z }));
        (loss, self.options.ridge / 2.0 * dot(point, &self.penalised(point)))
    }

    /// The penalty's matrix times a point: identity for own columns, the Gram matrix of the directions, nothing for the intercept.
    fn penalised(&self, point: &[f64]) -> Vec<f64> {
        let own = self.own.len();
        let mut out = vec![0.0; point.len()];
        out[1..own].copy_from_slice(&point[1..own]);
        for (o, row) in out[own..].iter_mut().zip(&self.state.gram) {
            *o = dot(row, &point[own..]);
        }
        out
    }

    /// Damped Newton over intercept, own columns and directions; returns the number of steps.
    fn minimise(&mut self) -> Result<usize, VerticalError> {
        let rows = self.bad.len();
        let ridge = self.options.ridge;
        let columns = self.columns();
        let mut point = self.state.point.clone();
        let mut z = combine(&columns, &point);
        let total = |(loss, penalty): (f64, f64)| loss + penalty;
        let mut value = total(self.objective(&z, &point));
        let mut steps = 0;
        while steps < MOST_STEPS {
            let p: Vec<f64> = z.iter().map(|&z| sigmoid(z)).collect();
            let d: Vec<f64> = (0..rows).map(|i| self.weights[i] * (p[i] - f64::from(u8::from(self.bad[i])))).collect();
            let curvatures: Vec<f64> = p.iter().zip(&self.weights).map(|(&p, c)| c * (p * (1.0 - p))).collect();
            let penalised = self.penalised(&point);
            let gradient: Vec<f64> = columns.iter().zip(&penalised).map(|(c, r)| dot(c, &d) + ridge * r).collect();
            let mut hessian = weighted_gram(&columns, &curvatures);
            self.add_penalty(&mut hessian);
            let step = solve_independent(&hessian, &gradient, &self.floors(&hessian, &curvatures))
                .ok_or(VerticalError::Range { what: "the Hessian", rows })?;
            let decrease = dot(&step, &gradient);
            let enough = 1e-4 * self.options.tolerance * self.options.tolerance * curvatures.iter().sum::<f64>();
            if decrease <= enough.max(1e-14 * value.abs()) {
                break;
            }
            steps += 1;
            let moved = combine(&columns, &step);
            let mut length = 1.0;
            let accepted = loop {
                let next: Vec<f64> = point.iter().zip(&step).map(|(p, s)| p - length * s).collect();
                let next_z: Vec<f64> = z.iter().zip(&moved).map(|(z, m)| z - length * m).collect();
                let next_value = total(self.objective(&next_z, &next));
                if next_value <= value - 1e-4 * length * decrease {
                    break Some((next, next_z, next_value));
                }
                length /= 2.0;
                if length < 1e-6 {
                    break None;
                }
            };
            // No fall is left that the arithmetic can see.
            let Some(better) = accepted else { break };
            (point, z, value) = better;
        }
        // Not the z of the line search: a state that comes out of the vault must continue to the same bits.
        self.z = self.scores_at(&point);
        self.state.point = point;
        Ok(steps)
    }

    fn add_penalty(&self, hessian: &mut DMatrix<f64>) {
        let (own, ridge) = (self.own.len(), self.options.ridge);
        (1..own).for_each(|i| hessian[(i, i)] += ridge);
        for (i, row) in self.state.gram.iter().enumerate() {
            for (j, product) in row.iter().enumerate() {
                hessian[(own + i, own + j)] += ridge * product;
            }
        }
    }

    /// What must be new in a column for it to be used: a share of its square, and for directions well more than the rounding
    /// of their scores, which would be magnified otherwise.
    fn floors(&self, hessian: &DMatrix<f64>, curvatures: &[f64]) -> Vec<f64> {
        let unit = libm::ldexp(1.0, -(SCORE_BITS as i32));
        let rounding = unit * unit * curvatures.iter().sum::<f64>();
        let floor = |i: usize| if i < self.own.len() { 0.0 } else { 1e6 * rounding };
        (0..hessian.nrows()).map(|i| (NEW_SHARE * hessian[(i, i)]).max(floor(i))).collect()
    }

    fn merge(&mut self) {
        let own = self.own.len();
        let (a, b) = (self.state.point[own], self.state.point[own + 1]);
        let second = self.state.scores.remove(1);
        self.state.scores[0].iter_mut().zip(second).for_each(|(u, v)| *u = a * *u + b * v);
        let gram = &mut self.state.gram;
        let second = gram.remove(1);
        gram[0] = gram[0].iter().zip(&second).map(|(u, v)| a * u + b * v).collect();
        for row in gram.iter_mut() {
            row[0] = a * row[0] + b * row.remove(1);
        }
        self.state.point.remove(own + 1);
        self.state.point[own] = 1.0;
        // As a state that comes out of the vault has it.
        self.z = self.scores_at(&self.state.point);
    }
}

/// Newton steps per pass, at most: the start is the last optimum, so two or three are usual.
const MOST_STEPS: usize = 20;

/// A column that differs from the earlier ones by less than this share of its square is left where it is.
const NEW_SHARE: f64 = 1e-9;

/// `p (1 - p)` at the log-odds `z`.
fn weight(z: f64) -> f64 {
    let p = sigmoid(z);
    p * (1.0 - p)
}

/// `sum_j point_j column_j`.
fn combine(columns: &[&[f64]], point: &[f64]) -> Vec<f64> {
    let mut z = vec![0.0; columns.first().map_or(0, |c| c.len())];
    for (column, &p) in columns.iter().zip(point).filter(|(_, p)| **p != 0.0) {
        z.iter_mut().zip(*column).for_each(|(z, x)| *z += p * x);
    }
    z
}

fn class_weights(bad: &[bool], held_out: &[usize], balanced: bool) -> Result<Vec<f64>, VerticalError> {
    let mut trains = vec![true; bad.len()];
    held_out.iter().for_each(|&r| trains[r] = false);
    let count = |class: bool| bad.iter().zip(&trains).filter(|(b, t)| **b == class && **t).count() as f64;
    let (bads, goods) = (count(true), count(false));
    if bads == 0.0 || goods == 0.0 {
        return Err(VerticalError::OneClass { rows: (bads + goods) as usize });
    }
    let of = |class: f64| if balanced { (bads + goods) / (2.0 * class) } else { 1.0 };
    Ok(bad.iter().zip(&trains).map(|(&b, &t)| if t { of(if b { bads } else { goods }) } else { 0.0 }).collect())
}
