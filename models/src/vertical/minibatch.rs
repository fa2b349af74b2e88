//! Preconditioned stochastic gradient descent, for more rows than a pass over all of them can carry: the same messages as in
//! [`super::label_holder`], for the rows of one batch at a time (scores of the batch, residuals of the batch, gradient).
//!
//! A step divides the batch's gradient by the same matrix as a direction of the full method would; the rate falls as
//! `rate / (1 + t)` with `t` in epochs, and the result is the mean over the second half of the steps (Polyak & Juditsky 1992).

use super::linear::{Solver, weighted_gram};
use super::{FeatureHolder, LabelHolder, VerticalError, log_odds};
use crate::glm::sigmoid;
use serde::{Deserialize, Serialize};

/// How batches are made and used; the same at all parties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinibatchOptions {
    /// Rows per batch.
    pub batch_rows: usize,
    /// How often every row is used.
    pub epochs: usize,
    /// Length of the first step; at most 1 over the number of parties is safe, more is usually fine.
    pub rate: f64,
    /// Agreed seed of the batches.
    pub seed: u64,
}

impl Default for MinibatchOptions {
    fn default() -> Self {
        MinibatchOptions { batch_rows: 4096, epochs: 3, rate: 0.7, seed: 0 }
    }
}

impl MinibatchOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), VerticalError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(VerticalError::Option { option, allowed }) }
        };
        rule((16..=1 << 24).contains(&self.batch_rows), "batch_rows", "16 to 16777216")?;
        rule((1..=1000).contains(&self.epochs), "epochs", "1 to 1000")?;
        rule(self.rate > 0.0 && self.rate <= 1.0, "rate", "above 0, at most 1")
    }

    /// Batches per epoch: the last one takes what is left.
    pub fn batches(&self, rows: usize) -> usize {
        (rows / self.batch_rows).max(1)
    }

    /// Steps in all.
    pub fn steps(&self, rows: usize) -> usize {
        self.batches(rows) * self.epochs
    }

    /// Rows of the batch of a step, ascending: every epoch divides the rows anew.
    pub fn batch(&self, rows: usize, step: usize) -> Vec<usize> {
        let batches = self.batches(rows);
        let (epoch, at) = (step / batches, step % batches);
        let mut order: Vec<usize> = (0..rows).collect();
        let mut state = self.seed ^ (epoch as u64).wrapping_mul(0xA24B_AED4_963E_E407);
        for i in (1..rows).rev() {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            // Multiply and shift instead of a remainder (Lemire 2019); the bias is below 2^-32.
            let j = ((u128::from(mixed(state)) * (i as u128 + 1)) >> 64) as usize;
            order.swap(i, j);
        }
        let end = if at + 1 == batches { rows } else { (at + 1) * self.batch_rows };
        let mut batch = order[at * self.batch_rows..end].to_vec();
        batch.sort_unstable();
        batch
    }

    fn rate_at(&self, step: usize, rows: usize) -> f64 {
        self.rate / (1.0 + step as f64 / self.batches(rows) as f64)
    }
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014).
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where a role stands: for the vault.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchState {
    step: usize,
    point: Vec<f64>,
    sum: Vec<f64>,
    averaged: usize,
}

/// Redacted: shows how far the role is.
impl core::fmt::Debug for BatchState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "BatchState {{ step: {} }}", self.step)
    }
}

impl BatchState {
    fn at(point: Vec<f64>) -> BatchState {
        BatchState { sum: vec![0.0; point.len()], point, ..BatchState::default() }
    }

    fn check(&self, expected: usize) -> Result<(), VerticalError> {
        let found = [self.point.len(), self.sum.len()].into_iter().find(|found| *found != expected);
        found.map_or(Ok(()), |found| Err(VerticalError::Length { what: "stored coefficients", expected, found }))
    }

    fn go(&mut self, step: &[f64], rate: f64, steps: usize) {
        self.point.iter_mut().zip(step).for_each(|(w, s)| *w -= rate * s);
        self.step += 1;
        if 2 * self.step > steps {
            self.sum.iter_mut().zip(&self.point).for_each(|(s, w)| *s += w);
            self.averaged += 1;
        }
    }

    fn mean(&self) -> Vec<f64> {
        if self.averaged == 0 {
            return self.point.clone();
        }
        self.sum.iter().map(|s| s / self.averaged as f64).collect()
    }
}

/// A feature holder that goes batch by batch.
pub struct BatchFeatures {
    holder: FeatureHolder,
    solver: Solver,
    options: MinibatchOptions,
    state: BatchState,
}

impl BatchFeatures {
    /// From a holder that has applied the label holder's first combination (which brings the curvature).
    pub fn new(holder: FeatureHolder, options: MinibatchOptions) -> Result<BatchFeatures, VerticalError> {
        options.validate()?;
        let solver = holder.preconditioner()?;
        let state = BatchState::at(holder.coefficients().to_vec());
        Ok(BatchFeatures { holder, solver, options, state })
    }

    /// The same role with what it remembered.
    pub fn resume(self, state: BatchState) -> Result<BatchFeatures, VerticalError> {
        state.check(self.state.point.len())?;
        Ok(BatchFeatures { state, ..self })
    }

    /// Rows of the batch that is due; empty when all steps are done.
    pub fn rows(&self) -> Vec<usize> {
        due(&self.options, self.holder.x().rows(), self.state.step)
    }

    /// What to remember.
    pub fn state(&self) -> &BatchState {
        &self.state
    }

    /// Partial scores of the batch in units of `2^-SCORE_BITS`.
    pub fn scores(&self) -> Result<Vec<i64>, VerticalError> {
        self.holder.x().scores_of_rows(&self.state.point, &self.rows())
    }

    /// A step along `X^T d` over the rows of the batch.
    pub fn step(&mut self, products: &[f64]) -> Result<(), VerticalError> {
        let (n, batch) = (self.holder.x().rows(), self.rows().len());
        if batch == 0 {
            return Err(VerticalError::Order { what: "a batch" });
        }
        let scaled: Vec<f64> = products.iter().map(|g| g * n as f64 / batch as f64).collect();
        self.holder.move_to(self.state.point.clone());
        let gradient = self.holder.gradient(&scaled)?;
        let step = self.solver.solve(&gradient);
        self.state.go(&step, self.options.rate_at(self.state.step, n), self.options.steps(n));
        Ok(())
    }

    /// The coefficients in the end.
    pub fn finish(&self) -> Vec<f64> {
        self.state.mean()
    }

    /// The holder that it was made from; its coefficients are of no meaning any more.
    pub fn into_holder(self) -> FeatureHolder {
        self.holder
    }
}

/// A label holder that goes batch by batch.
pub struct BatchLabel {
    holder: LabelHolder,
    solver: Solver,
    options: MinibatchOptions,
    state: BatchState,
}

impl BatchLabel {
    /// From a label holder that has solved over its own columns.
    pub fn new(holder: LabelHolder, options: MinibatchOptions) -> Result<BatchLabel, VerticalError> {
        options.validate()?;
        if !holder.received().is_empty() {
            return Err(VerticalError::Order { what: "going batch by batch" });
        }
        let columns: Vec<&[f64]> = holder.own().iter().map(Vec::as_slice).collect();
        let mut matrix = weighted_gram(&columns, &vec![holder.curvature(); holder.bad().len()]);
        (1..columns.len()).for_each(|i| matrix[(i, i)] += holder.ridge());
        let rows = holder.bad().len();
        let solver = Solver::new(&matrix).ok_or(VerticalError::Range { what: "the Gram matrix", rows })?;
        let mut point = vec![holder.intercept()];
        point.extend(holder.coefficients());
        Ok(BatchLabel { holder, solver, options, state: BatchState::at(point) })
    }

    /// The same role with what it remembered.
    pub fn resume(self, state: BatchState) -> Result<BatchLabel, VerticalError> {
        state.check(self.state.point.len())?;
        Ok(BatchLabel { state, ..self })
    }

    /// Rows of the batch that is due; empty when all steps are done.
    pub fn rows(&self) -> Vec<usize> {
        due(&self.options, self.holder.bad().len(), self.state.step)
    }

    /// What to remember.
    pub fn state(&self) -> &BatchState {
        &self.state
    }

    /// Takes the sum of the feature holders' scores of the batch, makes the step over the own columns, and returns the residuals
    /// of the batch for the others.
    pub fn receive(&mut self, scores: &[i64]) -> Result<Vec<f64>, VerticalError> {
        let rows = self.rows();
        if scores.len() != rows.len() || rows.is_empty() {
            return Err(VerticalError::Length { what: "scores of a batch", expected: rows.len(), found: scores.len() });
        }
        let (n, own) = (self.holder.bad().len(), self.holder.own());
        let score = |r: usize| own.iter().zip(&self.state.point).fold(0.0, |z, (c, w)| z + c[r] * w);
        let residual = |(&r, &u): (&usize, &i64)| {
            let p = sigmoid(score(r) + log_odds(u));
            self.holder.weights()[r] * (p - f64::from(u8::from(self.holder.bad()[r])))
        };
        let residuals: Vec<f64> = rows.iter().zip(scores).map(residual).collect();
        let scale = n as f64 / rows.len() as f64;
        let gradient = |(j, column): (usize, &Vec<f64>)| {
            let data: f64 = rows.iter().zip(&residuals).map(|(&r, d)| column[r] * d).sum();
            scale * data + if j == 0 { 0.0 } else { self.holder.ridge() * self.state.point[j] }
        };
        let gradient: Vec<f64> = own.iter().enumerate().map(gradient).collect();
        let step = self.solver.solve(&gradient);
        self.state.go(&step, self.options.rate_at(self.state.step, n), self.options.steps(n));
        Ok(residuals)
    }

    /// Intercept and own coefficients in the end.
    pub fn finish(&self) -> (f64, Vec<f64>) {
        let mut point = self.state.mean();
        let own = point.split_off(1);
        (point[0], own)
    }

    /// The label holder that it was made from.
    pub fn into_holder(self) -> LabelHolder {
        self.holder
    }
}

fn due(options: &MinibatchOptions, rows: usize, step: usize) -> Vec<usize> {
    if step < options.steps(rows) { options.batch(rows, step) } else { Vec::new() }
}
