//! A participant's privacy ledger: everything it ever released with noise, and whether a job still fits its budget.
//!
//! The ledger is the participant's own, across jobs and coordinators. It is pure; the vault stores it. The order matters:
//! [`Ledger::reserve`], store the ledger, and only then release the noisy vector. A release that never happens after that
//! is paid for, which is safe.

use super::accountant::{AccountingError, Bounds, Composition, Mechanism};
use serde::{Deserialize, Serialize};

/// What a participant allows to be spent in all, of each firm's privacy.
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
    /// Names the noisy vector: the job and the digest of the task.
    pub id: String,
    /// What is released.
    pub mechanism: Mechanism,
    /// How often.
    pub count: u64,
}

/// All that was ever spent, in order. Each id is there once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Ledger {
    spends: Vec<Spend>,
}

/// The ledger holds this spend, within the budget. Only [`Ledger::reserve`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetReserved {
    id: String,
    spent: Bounds,
}

/// Why a spend is refused. The ledger is as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// The job's or the policy's numbers.
    #[error(transparent)]
    Accounting(#[from] AccountingError),
    /// The policy's budget.
    #[error("the budget's epsilon {0} is not a positive number: set one in the participant's policy")]
    Budget(f64),
    /// The coordinator's fault, or a damaged ledger: an id stands for one noisy vector.
    #[error("{id} was released with another mechanism or count before: a new release needs an id of its own")]
    Conflict {
        /// Which spend.
        id: String,
    },
    /// The job asks for more than is left.
    #[error(
        "{id} does not fit the privacy budget: epsilon {spent:.4} is spent, it would be {would_be:.4}, {allowed:.4} is \
         allowed at delta = {delta:e}; refuse it, ask for more noise or fewer rounds, or have the data's owner raise the budget"
    )]
    Exceeded {
        /// Which spend, or the first of several.
        id: String,
        /// Epsilon spent so far.
        spent: f64,
        /// Epsilon with it.
        would_be: f64,
        /// The budget's epsilon.
        allowed: f64,
        /// The budget's delta.
        delta: f64,
    },
}

impl Ledger {
    /// Records a spend if all that is recorded and it together stay within the budget, by the bound from above.
    ///
    /// A spend that is recorded already, with the same mechanism and count, costs nothing, whatever the budget is by now:
    /// the very same noisy vector is sent again, or the program was stopped between storing and sending.
    pub fn reserve(&mut self, budget: &Budget, spend: Spend) -> Result<BudgetReserved, LedgerError> {
        if self.holds(&spend)? {
            return Ok(BudgetReserved { spent: self.spent(budget.delta)?, id: spend.id });
        }
        let spent = self.would_fit(budget, std::slice::from_ref(&spend))?;
        let id = spend.id.clone();
        self.spends.push(spend);
        Ok(BudgetReserved { id, spent })
    }

    /// What all that is recorded and these spends would cost, if that is within the budget: for a whole job before joining
    /// it. Those that are recorded already are not counted again.
    pub fn would_fit(&self, budget: &Budget, spends: &[Spend]) -> Result<Bounds, LedgerError> {
        if !(budget.epsilon > 0.0 && budget.epsilon.is_finite()) {
            return Err(LedgerError::Budget(budget.epsilon));
        }
        let mut with = self.clone();
        for spend in spends {
            if !with.holds(spend)? {
                spend.check()?;
                with.spends.push(spend.clone());
            }
        }
        let would_be = with.spent(budget.delta)?;
        match spends.first() {
            Some(first) if would_be.upper > budget.epsilon && with.spends.len() > self.spends.len() => {
                Err(LedgerError::Exceeded {
                    id: first.id.clone(),
                    spent: self.spent(budget.delta)?.upper,
                    would_be: would_be.upper,
                    allowed: budget.epsilon,
                    delta: budget.delta,
                })
            }
            _ => Ok(would_be),
        }
    }

    /// The epsilon spent so far.
    pub fn spent(&self, delta: f64) -> Result<Bounds, LedgerError> {
        let releases: Vec<_> = self.spends.iter().map(|spend| (spend.mechanism, spend.count)).collect();
        Ok(Composition::new(&releases)?.epsilon(delta)?)
    }

    /// The budget's epsilon less what is spent. Epsilons do not add up: a job may fit although its own is larger, so ask
    /// [`would_fit`](Self::would_fit).
    pub fn remaining(&self, budget: &Budget) -> Result<f64, LedgerError> {
        Ok((budget.epsilon - self.spent(budget.delta)?.upper).max(0.0))
    }

    /// What was recorded, in order.
    pub fn spends(&self) -> &[Spend] {
        &self.spends
    }

    fn holds(&self, spend: &Spend) -> Result<bool, LedgerError> {
        match self.spends.iter().find(|known| known.id == spend.id) {
            None => Ok(false),
            Some(known) if known == spend => Ok(true),
            Some(_) => Err(LedgerError::Conflict { id: spend.id.clone() }),
        }
    }
}

impl Spend {
    fn check(&self) -> Result<(), AccountingError> {
        Composition::default().and(self.mechanism, self.count).map(drop)
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

/// A ledger as it is read, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    spends: Vec<Spend>,
}

impl TryFrom<Stored> for Ledger {
    type Error = LedgerError;

    fn try_from(stored: Stored) -> Result<Self, LedgerError> {
        let mut ids = std::collections::BTreeSet::new();
        for spend in &stored.spends {
            spend.check()?;
            if !ids.insert(&spend.id) {
                return Err(LedgerError::Conflict { id: spend.id.clone() });
            }
        }
        Ok(Self { spends: stored.spends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const BUDGET: Budget = Budget { epsilon: 3.0, delta: 1e-6 };

    fn spend(id: &str, multiplier: f64, rate: f64, count: u64) -> Spend {
        Spend { id: id.into(), mechanism: Mechanism::new(multiplier, rate).expect("valid"), count }
    }

    #[test]
    fn spends_add_up_until_the_budget_is_reached() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.remaining(&BUDGET), Ok(3.0));
        let mut before = 0.0;
        for i in 0..9 {
            let reserved = ledger.reserve(&BUDGET, spend(&format!("job {i}"), 5.0, 1.0, 1)).expect("fits");
            assert!(reserved.spent().upper > before && reserved.id() == format!("job {i}"));
            before = reserved.spent().upper;
        }
        // mu^2 = 10 / 25 is epsilon 2.92, 11 / 25 is 3.08.
        let tenth = ledger.reserve(&BUDGET, spend("job 9", 5.0, 1.0, 1)).expect("fits");
        assert!((tenth.spent().upper - 2.92).abs() < 0.01);
        let stored = ledger.clone();
        let error = ledger.reserve(&BUDGET, spend("job 10", 5.0, 1.0, 1)).expect_err("one too many");
        let LedgerError::Exceeded { spent, would_be, .. } = error else { panic!("{error}") };
        assert!((spent - 2.92).abs() < 0.01 && would_be > 3.0 && would_be < 3.2);
        assert!(error.to_string().starts_with("job 10 does not fit the privacy budget: epsilon 2.92"), "{error}");
        assert_eq!(ledger, stored);
        assert!((ledger.remaining(&BUDGET).expect("valid") - (3.0 - spent)).abs() < 1e-12);
        ledger.reserve(&BUDGET, spend("job 10", 100.0, 1.0, 1)).expect("more noise fits");
    }

    #[test]
    fn the_same_vector_again_is_free() {
        let mut ledger = Ledger::default();
        let once = ledger.reserve(&BUDGET, spend("a", 2.0, 1.0, 1)).expect("fits");
        let again = ledger.reserve(&BUDGET, spend("a", 2.0, 1.0, 1)).expect("nothing new");
        assert_eq!((once, ledger.spends().len()), (again, 1));
        for other in [spend("a", 2.5, 1.0, 1), spend("a", 2.0, 0.5, 1), spend("a", 2.0, 1.0, 2)] {
            assert_eq!(ledger.reserve(&BUDGET, other), Err(LedgerError::Conflict { id: "a".into() }));
        }
        // Even after the budget was lowered.
        let lower = Budget { epsilon: 0.1, ..BUDGET };
        ledger.reserve(&lower, spend("a", 2.0, 1.0, 1)).expect("nothing new");
        assert_eq!(ledger.remaining(&lower), Ok(0.0));
    }

    #[test]
    fn a_whole_job_before_joining() {
        let mut ledger = Ledger::default();
        let rounds: Vec<_> = (0..10).map(|i| spend(&format!("round {i}"), 5.0, 1.0, 1)).collect();
        let planned = ledger.would_fit(&BUDGET, &rounds).expect("fits");
        assert!(ledger.spends().is_empty());
        for round in &rounds {
            ledger.reserve(&BUDGET, round.clone()).expect("was said to fit");
        }
        assert!((ledger.spent(1e-6).expect("valid").upper - planned.upper).abs() < 1e-9);
        assert!(ledger.would_fit(&BUDGET, &rounds).is_ok());
        let more: Vec<_> = (5..15).map(|i| spend(&format!("round {i}"), 5.0, 1.0, 1)).collect();
        assert!(matches!(ledger.would_fit(&BUDGET, &more), Err(LedgerError::Exceeded { .. })));
        let twice = [spend("x", 50.0, 1.0, 1), spend("x", 60.0, 1.0, 1)];
        assert_eq!(ledger.would_fit(&BUDGET, &twice), Err(LedgerError::Conflict { id: "x".into() }));
    }

    #[test]
    fn a_thousand_entries_are_fast() {
        let spends = (0..1000).map(|i| match i % 2 {
            0 => spend(&format!("job {i}"), 100.0 + f64::from(i), 1.0, 1),
            _ => spend(&format!("job {i}"), 2.0, 0.01, 10),
        });
        let mut ledger = Ledger { spends: spends.collect() };
        let start = Instant::now();
        let reserved = ledger.reserve(&Budget { epsilon: 10.0, delta: 1e-6 }, spend("one more", 5.0, 1.0, 1));
        assert!(reserved.is_ok() && start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn stored_ledgers_are_checked() {
        let mut ledger = Ledger::default();
        ledger.reserve(&BUDGET, spend("a", 2.0, 1.0, 1)).expect("fits");
        ledger.reserve(&BUDGET, spend("b", 3.0, 0.1, 7)).expect("fits");
        let text = serde_json::to_string(&ledger).expect("plain data");
        let expected = r#"{"spends":[{"id":"a","mechanism":{"gaussian":{"multiplier":2.0}},"count":1},{"id":"b","mechanism":{"sampled-gaussian":{"multiplier":3.0,"rate":0.1}},"count":7}]}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Ledger>(&text).expect("as written"), ledger);
        for (from, to) in [
            (r#""id":"b""#, r#""id":"a""#),
            ("\"multiplier\":2.0", "\"multiplier\":0.0"),
            ("\"count\":7", "\"count\":0"),
            ("\"count\":1", "\"count\":1,\"note\":1"),
            ("{\"spends\"", "{\"more\":1,\"spends\""),
        ] {
            assert!(text.contains(from));
            assert!(serde_json::from_str::<Ledger>(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn budgets_and_spends_must_be_numbers() {
        let mut ledger = Ledger::default();
        for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = ledger.reserve(&Budget { epsilon, delta: 1e-6 }, spend("a", 2.0, 1.0, 1));
            assert!(matches!(refused, Err(LedgerError::Budget(_))));
        }
        let unchecked = Spend { mechanism: Mechanism::Gaussian { multiplier: f64::NAN }, ..spend("a", 2.0, 1.0, 1) };
        assert!(matches!(ledger.reserve(&BUDGET, unchecked), Err(LedgerError::Accounting(_))));
        let refused = ledger.reserve(&Budget { delta: 0.0, ..BUDGET }, spend("a", 2.0, 1.0, 1));
        assert_eq!(refused, Err(LedgerError::Accounting(AccountingError::Delta(0.0))));
        assert!(ledger.spends().is_empty());
    }
}
