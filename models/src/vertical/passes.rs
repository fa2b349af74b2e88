//! What the roles of the regression agree on and tell each other in a pass.

use super::VerticalError;
use serde::{Deserialize, Serialize};

/// How the regression is solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SolverOptions {
    /// Penalty on the squared coefficients, above 0; the intercept is free.
    pub ridge: f64,
    /// Weigh both classes the same: `c_i = n / (2 n_class)` instead of 1.
    pub balanced: bool,
    /// Done when the last direction asks for a smaller change of the log-odds than this (root mean square over the rows).
    pub tolerance: f64,
    /// Most passes.
    pub max_passes: usize,
    /// Directions kept apart, 2 or more; older ones are merged into one.
    pub memory: usize,
    /// Passes without a better loss on the held-out rows before the best one is taken; needs `memory >= max_passes`.
    pub patience: Option<usize>,
}

impl Default for SolverOptions {
    fn default() -> Self {
        SolverOptions { ridge: 1.0, balanced: false, tolerance: 1e-4, max_passes: 40, memory: 16, patience: None }
    }
}

impl SolverOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), VerticalError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(VerticalError::Option { option, allowed }) }
        };
        rule(self.ridge.is_finite() && self.ridge > 0.0, "ridge", "above 0")?;
        rule(self.tolerance > 0.0 && self.tolerance <= 1.0, "tolerance", "above 0, at most 1")?;
        rule((1..=1000).contains(&self.max_passes), "max_passes", "1 to 1000")?;
        rule((2..=256).contains(&self.memory), "memory", "2 to 256")?;
        let unmerged = self.patience.is_none_or(|p| p > 0 && self.memory >= self.max_passes);
        rule(unmerged, "patience", "1 or more, and `memory` at least `max_passes`")
    }
}

/// How far along each direction, for all feature holders alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combination {
    /// One factor per direction in use.
    pub theta: Vec<f64>,
    /// Mean of `c_i p_i (1 - p_i)` over the rows: how curved the loss is.
    pub curvature: f64,
    /// The next direction is to be multiplied by `2^gain`, so that its scores use the fixed point well when they get small.
    pub gain: u32,
    /// Afterwards the two oldest directions become one, `theta[0] v_0 + theta[1] v_1`.
    pub merge: bool,
}

/// What follows from a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Another direction is needed.
    Continue,
    /// The last direction asked for less than the tolerance, or the last two achieved less.
    Converged,
    /// No better loss on the held-out rows for `patience` passes; the best combination is in force.
    StoppedEarly,
    /// `max_passes` are used up.
    PassesSpent,
}

/// What a pass achieved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// Directions received so far; 0 is the label holder alone.
    pub pass: usize,
    /// Mean loss of the training rows, without the penalty.
    pub loss: f64,
    /// The same with the penalty: what is minimised, divided by the number of rows.
    pub objective: f64,
    /// Mean loss of the held-out rows, if there are any.
    pub held_out_loss: Option<f64>,
    /// Length of the feature holders' gradient when they made this direction; absent in pass 0, and where it is not told.
    pub gradient_norm: Option<f64>,
    /// Change of the log-odds that this direction asked for, root mean square over the rows; absent in pass 0.
    pub asked: Option<f64>,
    /// Newton steps in the subspace.
    pub steps: usize,
    /// What follows.
    pub status: Status,
}
