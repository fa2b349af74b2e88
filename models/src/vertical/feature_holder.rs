//! The feature holder's side of sequential subspace optimisation (Narkiss & Zibulevsky 2005, "Sequential subspace optimization
//! method for large-scale unconstrained problems").
//!
//! In each pass the holder turns its own gradient into a direction with its own Gram matrix,
//! `v = -(curvature * G + ridge * I)^-1 (X^T d + ridge * w)`, offers the scores `X v`, and learns by how much to go along this
//! and all earlier directions.

use super::linear::{Gram, Solver, dot};
use super::selection::{self, Review};
use super::{Combination, Encoded, VerticalError};
use serde::{Deserialize, Serialize};

/// One part of the matrix and what was learned about it so far.
pub struct FeatureHolder {
    x: Encoded,
    gram: Gram,
    ridge: f64,
    most: usize,
    state: FeatureState,
}

/// What a feature holder must remember between two passes. It tells much about the columns: it belongs into the vault only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureState {
    /// Directions in use, oldest first; the first may stand for several merged ones.
    directions: Vec<Vec<f64>>,
    /// The current coefficients.
    coefficients: Vec<f64>,
    /// Curvature to divide by, from the label holder.
    curvature: f64,
    /// Power of two to multiply the next direction with, from the label holder.
    gain: u32,
    /// Directions sent so far.
    sent: usize,
    /// A direction was sent and no combination has come back yet.
    waiting: bool,
}

/// Redacted: directions and coefficients are the holder's own.
impl core::fmt::Debug for FeatureState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FeatureState {{ directions: {}, waiting: {} }}", self.directions.len(), self.waiting)
    }
}

impl core::fmt::Debug for FeatureHolder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FeatureHolder {{ x: {:?}, state: {:?} }}", self.x, self.state)
    }
}

/// What a feature holder sends in a pass. The label holder needs the sums over all feature holders only.
#[derive(Clone, PartialEq)]
pub struct Direction {
    /// `X v` per row, in units of `2^-SCORE_BITS`.
    pub scores: Vec<i64>,
    /// `v . v_j` for the directions in use, then `v . v`, `g . g`, `g . v`: `h + 3` numbers.
    pub scalars: Vec<f64>,
}

/// Shows the shape only.
impl core::fmt::Debug for Direction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Direction {{ scores: {}, scalars: {} }}", self.scores.len(), self.scalars.len())
    }
}

impl Direction {
    /// Adds another holder's direction, as the masked sum does.
    pub fn plus(mut self, other: &Direction) -> Result<Direction, VerticalError> {
        let (expected, found) = (self.scores.len(), other.scores.len());
        if expected != found {
            return Err(VerticalError::Length { what: "scores", expected, found });
        }
        let (expected, found) = (self.scalars.len(), other.scalars.len());
        if expected != found {
            return Err(VerticalError::Length { what: "scalars", expected, found });
        }
        self.scores.iter_mut().zip(&other.scores).for_each(|(a, b)| *a = a.wrapping_add(*b));
        self.scalars.iter_mut().zip(&other.scalars).for_each(|(a, b)| *a += b);
        Ok(self)
    }
}

impl FeatureHolder {
    /// A holder of the training rows `x`, with coefficients 0.
    pub fn new(x: Encoded, ridge: f64) -> Result<FeatureHolder, VerticalError> {
        if x.is_empty() {
            return Err(VerticalError::NoColumns { columns: 0, rows: x.rows() });
        }
        Self::of_what_is_left(x, ridge)
    }

    /// The same for a holder that may have lost all of its columns in a review: it takes part, and has nothing to say.
    pub fn of_what_is_left(x: Encoded, ridge: f64) -> Result<FeatureHolder, VerticalError> {
        if !(ridge.is_finite() && ridge > 0.0) {
            return Err(VerticalError::Option { option: "ridge", allowed: "above 0" });
        }
        let gram = Gram::centred(&x.real());
        let state = FeatureState { coefficients: vec![0.0; x.len()], curvature: 0.25, ..FeatureState::default() };
        Ok(FeatureHolder { x, gram, ridge, most: usize::MAX, state })
    }

    /// The same holder, sending at most `most` directions. As many directions as columns span them completely: a sole feature
    /// holder whose columns must not be found out stops well before ([`super::attack`]).
    pub fn with_most_directions(self, most: usize) -> FeatureHolder {
        FeatureHolder { most, ..self }
    }

    /// The same holder with what it remembered.
    pub fn resume(mut self, state: FeatureState) -> Result<FeatureHolder, VerticalError> {
        let expected = self.x.len();
        let all = state.directions.iter().chain([&state.coefficients]);
        if let Some(found) = all.map(Vec::len).find(|&l| l != expected) {
            return Err(VerticalError::Length { what: "stored coefficients", expected, found });
        }
        self.state = state;
        Ok(self)
    }

    /// What to remember.
    pub fn state(&self) -> &FeatureState {
        &self.state
    }

    /// The training rows.
    pub fn x(&self) -> &Encoded {
        &self.x
    }

    /// The current coefficients.
    pub fn coefficients(&self) -> &[f64] {
        &self.state.coefficients
    }

    /// A warm start: earlier coefficients are the first direction.
    pub fn start(&mut self, coefficients: Vec<f64>) -> Result<Direction, VerticalError> {
        if !self.state.directions.is_empty() || self.state.waiting {
            return Err(VerticalError::Order { what: "a warm start" });
        }
        let gradient = vec![0.0; coefficients.len()];
        self.offer(coefficients, &gradient)
    }

    /// Looks at its own coefficients: which columns contradict their weight of evidence, and where to go on without them.
    /// `above` is what the label holder says, [`super::LabelHolder::review_is_due`].
    pub fn review(&self, above: f64) -> Result<Review, VerticalError> {
        selection::review(&self.x.real(), &self.state.coefficients, self.state.curvature, self.ridge, above)
    }

    /// A holder of the columns that a review keeps, and its first direction: the coefficients to go on from. Directions of
    /// before are forgotten, and count: with fewer columns even fewer may follow.
    pub fn refit(&self, review: &Review) -> Result<(FeatureHolder, Direction), VerticalError> {
        let x = self.x.narrowed(&review.kept);
        let mut next = FeatureHolder::of_what_is_left(x, self.ridge)?.with_most_directions(self.most);
        next.state.curvature = self.state.curvature;
        next.state.sent = self.state.sent;
        let first = next.start(review.coefficients.clone())?;
        Ok((next, first))
    }

    /// The next direction, from `X^T d` over the training rows (without the ridge, which the holder adds itself).
    pub fn direct(&mut self, products: &[f64]) -> Result<Direction, VerticalError> {
        if self.state.waiting {
            return Err(VerticalError::Order { what: "a direction" });
        }
        let gradient = self.gradient(products)?;
        let solver = self.preconditioner()?;
        let direction = solver.solve(&gradient).into_iter().map(|v| -libm::ldexp(v, self.state.gain as i32)).collect();
        self.offer(direction, &gradient)
    }

    /// Takes the label holder's combination of the directions.
    pub fn apply(&mut self, combination: &Combination) -> Result<(), VerticalError> {
        let state = &self.state;
        let (expected, found) = (state.directions.len(), combination.theta.len());
        if expected != found {
            return Err(VerticalError::Length { what: "combination", expected, found });
        }
        let usable = |c: f64| c > 0.0 && c <= 1e6;
        let damaged = combination.theta.iter().any(|t| !t.is_finite()) || combination.gain > 40;
        if damaged || !usable(combination.curvature) {
            return Err(VerticalError::NotFinite { what: "combination" });
        }
        if combination.merge && expected < 2 {
            return Err(VerticalError::Order { what: "merging two directions" });
        }
        let mut coefficients = vec![0.0; self.x.len()];
        for (theta, direction) in combination.theta.iter().zip(&state.directions) {
            coefficients.iter_mut().zip(direction).for_each(|(w, v)| *w += theta * v);
        }
        self.x.scores_of_rows(&coefficients, &[])?;
        if combination.merge {
            let second = self.state.directions.remove(1);
            let (a, b) = (combination.theta[0], combination.theta[1]);
            self.state.directions[0].iter_mut().zip(second).for_each(|(v, w)| *v = a * *v + b * w);
        }
        self.state.coefficients = coefficients;
        self.state.curvature = combination.curvature;
        self.state.gain = combination.gain;
        self.state.waiting = false;
        Ok(())
    }

    pub(super) fn gradient(&self, products: &[f64]) -> Result<Vec<f64>, VerticalError> {
        let (expected, found) = (self.x.len(), products.len());
        if expected != found {
            return Err(VerticalError::Length { what: "gradient", expected, found });
        }
        if products.iter().any(|g| !g.is_finite()) {
            return Err(VerticalError::NotFinite { what: "gradient" });
        }
        Ok(products.iter().zip(&self.state.coefficients).map(|(g, w)| g + self.ridge * w).collect())
    }

    pub(super) fn preconditioner(&self) -> Result<Solver, VerticalError> {
        let what = "the Gram matrix";
        self.gram.solver(self.state.curvature, self.ridge).ok_or(VerticalError::Range { what, rows: self.x.rows() })
    }

    pub(super) fn move_to(&mut self, coefficients: Vec<f64>) {
        self.state.coefficients = coefficients;
    }

    fn offer(&mut self, direction: Vec<f64>, gradient: &[f64]) -> Result<Direction, VerticalError> {
        if self.state.sent >= self.most {
            return Err(VerticalError::Budget { most: self.most });
        }
        let scores = self.x.scores(&direction)?;
        let mut scalars: Vec<f64> = self.state.directions.iter().map(|v| dot(v, &direction)).collect();
        scalars.extend([dot(&direction, &direction), dot(gradient, gradient), dot(gradient, &direction)]);
        self.state.directions.push(direction);
        self.state.sent += 1;
        self.state.waiting = true;
        Ok(Direction { scores, scalars })
    }
}
