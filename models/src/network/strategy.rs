//! What becomes of the parties' updates: the outer step that turns shared parameters into the next ones.
//!
//! An *update* is what a party's visit left less what it began from; all strategies see only its (weighted) mean over the parties
//! of a round. Every witness repeats the step, so it is the same to the bit everywhere: `f64` arithmetic value by value, rounded
//! to `f32` once per stored value, and [`libm`] for the rest.
//!
//! Sources: McMahan et al. 2017 (FedAvg); Hsu et al. 2019, section 4.3 (its momentum); Li et al. 2020, "Federated Optimization
//! in Heterogeneous Networks" (FedProx); Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2 (FedAdam, FedYogi);
//! Karimireddy et al. 2020, algorithm 1 (SCAFFOLD).

use serde::{Deserialize, Serialize};

use super::architecture::MAX_PARAMETERS;
use super::packed;

/// How the mean update moves the shared parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// `m = momentum m + update, x += rate m`.
    FedAvg {
        /// 1: the parties' mean becomes the next model.
        #[serde(default = "one")]
        rate: f64,
        /// 0 for none.
        #[serde(default)]
        momentum: f64,
    },
    /// The parties' mean; what differs is in the visit, see [`Strategy::proximal`].
    FedProx {
        /// Pull towards the shared parameters.
        mu: f64,
    },
    /// `m = beta1 m + (1 - beta1) update, v = beta2 v + (1 - beta2) update^2, x += rate m / (sqrt(v) + tau)`, where `v` begins at
    /// `tau^2` and, as in the paper, nothing corrects the bias of the first rounds.
    FedAdam {
        /// Step size; 0.1 to 0.001 is usual.
        rate: f64,
        /// Memory of the updates.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Memory of their squares.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Adaptivity: updates far below it move parameters like FedAvg.
        #[serde(default = "tau")]
        tau: f64,
    },
    /// As FedAdam with `v -= (1 - beta2) update^2 sign(v - update^2)`: a large update is forgotten more slowly.
    FedYogi {
        /// Step size.
        rate: f64,
        /// Memory of the updates.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Memory of their squares.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Adaptivity.
        #[serde(default = "tau")]
        tau: f64,
    },
    /// `x += rate update`, while control variates correct the drift of each visit, see [`scaffold_correction`].
    Scaffold {
        /// Step size.
        #[serde(default = "one")]
        rate: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.99
}

fn tau() -> f64 {
    1e-3
}

impl Default for Strategy {
    fn default() -> Self {
        Strategy::FedAvg { rate: 1.0, momentum: 0.0 }
    }
}

/// Why a step was not taken; the state is as before then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StrategyError {
    /// An option is out of its range: correct the job.
    #[error("strategy option `{option}` is out of range: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A vector of another length.
    #[error(
        "{what} has {found} values where the network has {expected}: all parties must use the same plan and architecture"
    )]
    Length {
        /// Which vector.
        what: &'static str,
        /// Parameters.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// A value that is no finite number.
    #[error("value {index} of {what} is not a finite number: lower the learning rates, or the bounds on updates")]
    NotFinite {
        /// Which vector.
        what: &'static str,
        /// Position.
        index: usize,
    },
    /// SCAFFOLD without the control update, or the other way round.
    #[error("SCAFFOLD, and no other strategy, takes a control update with each step: the plan and the round disagree")]
    Control,
}

impl Strategy {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), StrategyError> {
        let rule = |holds, option, allowed| if holds { Ok(()) } else { Err(StrategyError::Option { option, allowed }) };
        let positive = |x: f64| x > 0.0 && x <= 10.0;
        match *self {
            Strategy::FedAvg { rate, momentum } => {
                rule(positive(rate), "rate", "above 0, at most 10")?;
                rule((0.0..1.0).contains(&momentum), "momentum", "0 to below 1")
            }
            Strategy::FedProx { mu } => rule((0.0..=100.0).contains(&mu), "mu", "0 to 100"),
            Strategy::FedAdam { rate, beta1, beta2, tau } | Strategy::FedYogi { rate, beta1, beta2, tau } => {
                rule(positive(rate), "rate", "above 0, at most 10")?;
                rule((0.0..1.0).contains(&beta1), "beta1", "0 to below 1")?;
                rule((0.0..1.0).contains(&beta2), "beta2", "0 to below 1")?;
                rule((1e-9..=1.0).contains(&tau), "tau", "1e-9 to 1")
            }
            Strategy::Scaffold { rate } => rule(positive(rate), "rate", "above 0, at most 10"),
        }
    }

    /// FedProx's mu, for [`LocalTraining::proximal`](super::LocalTraining); 0 otherwise.
    pub fn proximal(&self) -> f64 {
        if let Strategy::FedProx { mu } = self { *mu } else { 0.0 }
    }

    /// Whether parties keep and send control variates.
    pub fn controls(&self) -> bool {
        matches!(self, Strategy::Scaffold { .. })
    }

    /// Lengths of [`Shared`]'s first moments, second moments and control, in units of the parameters.
    fn keeps(&self) -> [bool; 3] {
        match *self {
            Strategy::FedAvg { momentum, .. } => [momentum != 0.0, false, false],
            Strategy::FedProx { .. } => [false; 3],
            Strategy::FedAdam { .. } | Strategy::FedYogi { .. } => [true, true, false],
            Strategy::Scaffold { .. } => [false, false, true],
        }
    }
}

/// The shared state of the training. `Debug` shows lengths only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// The shared parameters.
    #[serde(with = "packed")]
    pub parameters: Vec<f32>,
    /// First moments (`m`); empty unless the strategy keeps them.
    #[serde(with = "packed")]
    pub first: Vec<f32>,
    /// Second moments (`v`); empty unless the strategy keeps them.
    #[serde(with = "packed")]
    pub second: Vec<f32>,
    /// SCAFFOLD's `c`; empty otherwise.
    #[serde(with = "packed")]
    pub control: Vec<f32>,
    /// Steps taken.
    pub round: u32,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Shared {{ parameters: {}, round: {} }}", self.parameters.len(), self.round)
    }
}

impl Shared {
    /// Before the first round: moments and control at their start.
    pub fn begin(strategy: &Strategy, parameters: Vec<f32>) -> Result<Shared, StrategyError> {
        strategy.validate()?;
        let n = parameters.len();
        let [first, second, control] = strategy.keeps().map(|kept| if kept { n } else { 0 });
        // The paper asks for v >= tau^2 at the start.
        let floor = match *strategy {
            Strategy::FedAdam { tau, .. } | Strategy::FedYogi { tau, .. } => (tau * tau) as f32,
            _ => 0.0,
        };
        let (first, second, control) = (vec![0.0; first], vec![floor; second], vec![0.0; control]);
        let shared = Shared { parameters, first, second, control, round: 0 };
        shared.check(strategy)?;
        Ok(shared)
    }

    /// Checks the lengths of a state that was read back.
    pub fn check(&self, strategy: &Strategy) -> Result<(), StrategyError> {
        let n = self.parameters.len();
        if n > MAX_PARAMETERS {
            return Err(StrategyError::Length { what: "the state", expected: MAX_PARAMETERS, found: n });
        }
        finite("the parameters", &self.parameters)?;
        let kept = strategy.keeps().map(|kept| if kept { n } else { 0 });
        let found = [("the first moments", &self.first), ("the second moments", &self.second)];
        for ((what, vector), expected) in found.into_iter().chain([("the control", &self.control)]).zip(kept) {
            length(what, expected, vector.len())?;
            finite(what, vector)?;
        }
        Ok(())
    }

    /// One outer step. `update` is the (weighted) mean of local less shared parameters over the parties of the round;
    /// `control_update`, for SCAFFOLD alone, the mean over **all** parties of the job of `c_i+ - c_i` (0 for those that did not
    /// take part), which is the paper's `|S| / N` times the mean over those that did.
    pub fn step(
        &mut self,
        strategy: &Strategy,
        update: &[f64],
        control_update: Option<&[f64]>,
    ) -> Result<(), StrategyError> {
        strategy.validate()?;
        self.check(strategy)?;
        length("the update", self.parameters.len(), update.len())?;
        if control_update.is_some() != strategy.controls() {
            return Err(StrategyError::Control);
        }
        let (first, second) = self.moments(strategy, update);
        let parameters = self.moved(strategy, update, &first, &second);
        let control = self.controlled(control_update)?;
        finite("the first moments", &first)?;
        finite("the second moments", &second)?;
        finite("the next parameters", &parameters)?;
        finite("the next control", &control)?;
        let round = self.round.saturating_add(1);
        *self = Shared { parameters, first, second, control, round };
        Ok(())
    }

    /// `m` and `v` after the update.
    fn moments(&self, strategy: &Strategy, update: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let first = |keep: f64, gain: f64| -> Vec<f32> {
            self.first.iter().zip(update).map(|(&m, u)| (keep * f64::from(m) + gain * u) as f32).collect()
        };
        let second = |rule: &dyn Fn(f64, f64) -> f64| -> Vec<f32> {
            self.second.iter().zip(update).map(|(&v, u)| rule(f64::from(v), u * u) as f32).collect()
        };
        match *strategy {
            Strategy::FedAvg { momentum, .. } => (first(momentum, 1.0), Vec::new()),
            Strategy::FedAdam { beta1, beta2, .. } => {
                (first(beta1, 1.0 - beta1), second(&|v, square| beta2 * v + (1.0 - beta2) * square))
            }
            Strategy::FedYogi { beta1, beta2, .. } => {
                let yogi = |v: f64, square: f64| match v.partial_cmp(&square) {
                    Some(core::cmp::Ordering::Greater) => v - (1.0 - beta2) * square,
                    Some(core::cmp::Ordering::Equal) => v,
                    _ => v + (1.0 - beta2) * square,
                };
                (first(beta1, 1.0 - beta1), second(&yogi))
            }
            Strategy::FedProx { .. } | Strategy::Scaffold { .. } => (Vec::new(), Vec::new()),
        }
    }

    /// The next parameters.
    fn moved(&self, strategy: &Strategy, update: &[f64], first: &[f32], second: &[f32]) -> Vec<f32> {
        let along = |rate: f64, direction: &dyn Fn(usize) -> f64| -> Vec<f32> {
            let moved = |(i, &x): (usize, &f32)| (f64::from(x) + rate * direction(i)) as f32;
            self.parameters.iter().enumerate().map(moved).collect()
        };
        match *strategy {
            Strategy::FedAvg { rate, momentum } if momentum != 0.0 => along(rate, &|i| f64::from(first[i])),
            Strategy::FedAvg { rate, .. } | Strategy::Scaffold { rate } => along(rate, &|i| update[i]),
            Strategy::FedProx { .. } => along(1.0, &|i| update[i]),
            Strategy::FedAdam { rate, tau, .. } | Strategy::FedYogi { rate, tau, .. } => {
                along(rate, &|i| f64::from(first[i]) / (libm::sqrt(f64::from(second[i])) + tau))
            }
        }
    }

    /// The next control.
    fn controlled(&self, update: Option<&[f64]>) -> Result<Vec<f32>, StrategyError> {
        let Some(update) = update else { return Ok(Vec::new()) };
        length("the control update", self.control.len(), update.len())?;
        Ok(self.control.iter().zip(update).map(|(&c, u)| (f64::from(c) + u) as f32).collect())
    }
}

fn length(what: &'static str, expected: usize, found: usize) -> Result<(), StrategyError> {
    if expected == found { Ok(()) } else { Err(StrategyError::Length { what, expected, found }) }
}

fn finite(what: &'static str, values: &[f32]) -> Result<(), StrategyError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(StrategyError::NotFinite { what, index }),
        None => Ok(()),
    }
}

/// A party's next control variate, option II (line 12 of algorithm 1): `c_i+ = c_i - c + (x - y_i) / (K rate)`, where `x` is
/// what the visit began from, `y_i` what it left after `K` steps. All vectors are as long as the parameters; the result is as
/// long as the shortest. A visit without steps leaves `own`.
///
/// It is the mean gradient of the visit when the visit is plain gradient descent; with momentum, Adam or weight decay it is a
/// stand-in for one.
pub fn scaffold_control(
    control: &[f32],
    own: &[f32],
    start: &[f32],
    trained: &[f32],
    steps: u64,
    rate: f32,
) -> Vec<f32> {
    let scale = steps as f64 * f64::from(rate);
    if steps == 0 || scale.is_nan() || scale <= 0.0 {
        return own.to_vec();
    }
    let next = |(((&c, &ci), &x), &y): (((&f32, &f32), &f32), &f32)| {
        (f64::from(ci) - f64::from(c) + (f64::from(x) - f64::from(y)) / scale) as f32
    };
    control.iter().zip(own).zip(start).zip(trained).map(next).collect()
}

/// What every gradient of a visit gains: `c - c_i` (line 10), for [`Learner::train`](super::Learner::train).
pub fn scaffold_correction(control: &[f32], own: &[f32]) -> Vec<f32> {
    control.iter().zip(own).map(|(c, ci)| c - ci).collect()
}
