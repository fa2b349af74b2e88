//! How a learning rate changes from round to round.

use serde::{Deserialize, Serialize};

use super::strategy::StrategyError;

/// A factor per round on a learning rate. `warmup`: that many rounds first rise evenly, from `1 / (warmup + 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// 1.
    Constant {
        /// Rounds of warm-up.
        #[serde(default)]
        warmup: u32,
    },
    /// Multiplied by `factor` after every `every` rounds.
    Step {
        /// Rounds.
        every: u32,
        /// Above 0, at most 1.
        factor: f64,
        /// Rounds of warm-up.
        #[serde(default)]
        warmup: u32,
    },
    /// Half a cosine from 1 down to `floor` over `rounds` rounds, `floor` from there (Loshchilov & Hutter 2017, eq. 5, without
    /// restarts).
    Cosine {
        /// Rounds after the warm-up.
        rounds: u32,
        /// 0 to 1.
        #[serde(default)]
        floor: f64,
        /// Rounds of warm-up.
        #[serde(default)]
        warmup: u32,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant { warmup: 0 }
    }
}

impl Schedule {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), StrategyError> {
        let rule = |holds, option, allowed| if holds { Ok(()) } else { Err(StrategyError::Option { option, allowed }) };
        match *self {
            Schedule::Constant { .. } => Ok(()),
            Schedule::Step { every, factor, .. } => {
                rule(every >= 1, "every", "at least 1")?;
                rule(factor > 0.0 && factor <= 1.0, "factor", "above 0, at most 1")
            }
            Schedule::Cosine { rounds, floor, .. } => {
                rule(rounds >= 1, "rounds", "at least 1")?;
                rule((0.0..=1.0).contains(&floor), "floor", "0 to 1")
            }
        }
    }

    /// Of a round, counted from 0.
    pub fn factor(&self, round: u32) -> f64 {
        let (Schedule::Constant { warmup } | Schedule::Step { warmup, .. } | Schedule::Cosine { warmup, .. }) = *self;
        if round < warmup {
            return (f64::from(round) + 1.0) / (f64::from(warmup) + 1.0);
        }
        let after = round - warmup;
        match *self {
            Schedule::Constant { .. } => 1.0,
            Schedule::Step { every, factor, .. } => libm::pow(factor, f64::from(after / every.max(1))),
            Schedule::Cosine { rounds, floor, .. } => {
                let share = f64::from(after.min(rounds)) / f64::from(rounds.max(1));
                floor + (1.0 - floor) * (1.0 + libm::cos(core::f64::consts::PI * share)) / 2.0
            }
        }
    }
}
