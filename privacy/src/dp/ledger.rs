//! A participant's privacy ledger.
use super::accountant::{AccountingError, Bounds, Mechanism};
use serde::{Deserialize, Serialize};

/// What a participant allows to be spent in all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Epsilon at `delta`.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
}

/// One release, or several alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    /// Names the noisy vector: job and digest of the task.
    pub id: String,
    /// What is released.
    pub mechanism: Mechanism,
    /// How often.
    pub count: u64,
}

/// All that was ever spent. Storage is the caller's: persist it before the noise is released.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    spends: Vec<Spend>,
}

/// The ledger holds this spend, within the budget.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetReserved {
    id: String,
    spent: Bounds,
}

/// Why a spend is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// From the accountant.
    #[error(transparent)]
    Accounting(#[from] AccountingError),
}

#[allow(unused_variables)]
impl Ledger {
    /// Records a spend if everything recorded and it together stay within the budget. A spend that is recorded already,
    /// with the same mechanism and count, costs nothing: the very same noisy vector is sent again.
    pub fn reserve(&mut self, budget: &Budget, spend: Spend) -> Result<BudgetReserved, LedgerError> {
        todo!()
    }

    /// What everything recorded and these spends would cost, if that is within the budget. Changes nothing.
    pub fn would_fit(&self, budget: &Budget, spends: &[Spend]) -> Result<Bounds, LedgerError> {
        todo!()
    }

    /// The epsilon spent so far.
    pub fn spent(&self, delta: f64) -> Result<Bounds, LedgerError> {
        todo!()
    }

    /// The epsilon that is left, from below: composition is not additive, so a job may fit although its own epsilon is
    /// larger.
    pub fn remaining(&self, budget: &Budget) -> Result<f64, LedgerError> {
        todo!()
    }

    /// What was recorded, in order.
    pub fn spends(&self) -> &[Spend] {
        &self.spends
    }
}

impl BudgetReserved {
    /// Which spend.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The epsilon spent in all, this spend included, at the budget's delta.
    pub fn spent(&self) -> Bounds {
        self.spent
    }
}
