//! Small federations with random faults, by the thousand. A trial is a number; a failure is a file.
//!
//! What counts as a failure is in `docs/faults.md`. Everything that must hold however the job ends is checked by the
//! [simulation](crate::simulation) itself; [`Trial::run`] adds that the job ends with a result or with a reason that names who
//! or what was missing, that the result is the one without faults if everybody took part, and that nothing panics.

use std::{
    any::Any,
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use haihe_protocol::id::PartyId;
use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    simulation::{Federation, Outcome, Record, SimulationError, SimulationOptions},
};

mod federation;
mod random;

use federation::{job, party, tables};

/// One federation and what goes wrong in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// What it showed, if it is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub story: String,
    /// Decides about keys, latencies and order.
    pub seed: u64,
    /// `bank-00`, `bank-01`, ...
    pub parties: u32,
    /// As in the job file.
    pub min_parties: u32,
    /// Are vectors encrypted? Otherwise they are added in the clear, which is faster.
    #[serde(default)]
    pub lattice: bool,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
}

/// How a trial ended as it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the result.
    Result,
    /// Without, and the reason says who or what was missing.
    Named(String),
}

/// Why a trial's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It is not a trial.
    #[error("{path}: {source}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: toml::de::Error,
    },
}

impl Trial {
    /// Reads a kept trial.
    pub fn open(path: &Path) -> Result<Self, TrialError> {
        let text = fs::read_to_string(path).map_err(|source| TrialError::File { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| TrialError::Syntax { path: path.to_owned(), source })
    }

    /// As it is kept.
    ///
    /// # Panics
    /// Never for random trials: their numbers are within TOML's.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a trial's numbers are below 2^63")
    }

    /// Runs it. `Err` says what must not happen and did.
    pub fn run(&self) -> Result<(Ended, Record), String> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.observe()));
        ran.unwrap_or_else(|panic| Err(format!("panicked: {}", words(&*panic))))
    }

    fn federation(&self, faults: Vec<Fault>) -> Result<Federation, SimulationError> {
        let mut options = SimulationOptions::new(self.seed).with_faults(faults).with_shared_certificates();
        if !self.lattice {
            options = options.without_any_security();
        }
        let parties = self.parties as usize;
        Federation::new(&job(parties, self.min_parties), tables(parties), options)
    }

    fn observe(&self) -> Result<(Ended, Record), String> {
        let federation = self.federation(self.faults.clone()).map_err(|e| e.to_string())?;
        let (ended, record) = federation.run_recorded(|_| {});
        match ended {
            Ok(outcome) => {
                let everybody = outcome.rounds.iter().all(|r| r.contributors == self.parties);
                if everybody {
                    self.same_as_without_faults(&outcome)?;
                }
                Ok((Ended::Result, record))
            }
            Err(SimulationError::Failed { reason, .. }) => {
                self.names_the_absent(&reason)?;
                Ok((Ended::Named(reason), record))
            }
            Err(other) => Err(other.to_string()),
        }
    }

    fn names_the_absent(&self, reason: &str) -> Result<(), String> {
        let named = (0..self.parties as usize).any(|i| reason.contains(party(i).as_str()));
        if named || reason.contains("coordinator's store") {
            return Ok(());
        }
        Err(format!("the job failed and its reason names nobody: {reason}"))
    }

    /// With all contributions in all rounds, only the rounding may differ.
    fn same_as_without_faults(&self, outcome: &Outcome) -> Result<(), String> {
        let reference = self.reference()?;
        let found = coefficients(outcome);
        if found.keys().ne(reference.keys()) {
            return Err(format!("other variables than without faults: {found:?}, {reference:?}"));
        }
        match found.iter().find(|(column, value)| (**value - reference[*column]).abs() > 1e-6 * value.abs().max(1.0)) {
            None => Ok(()),
            Some((column, value)) => {
                Err(format!("the coefficient of {column} is {value}, without faults {}", reference[column]))
            }
        }
    }

    /// Coefficients of a federation of this size without faults; made once.
    fn reference(&self) -> Result<BTreeMap<String, f64>, String> {
        static MADE: Mutex<BTreeMap<u32, BTreeMap<String, f64>>> = Mutex::new(BTreeMap::new());
        let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made().get(&self.parties) {
            return Ok(known.clone());
        }
        let calm = Trial { lattice: false, ..self.clone() };
        let outcome = calm.federation(Vec::new()).and_then(|f| f.run(|_| {})).map_err(|e| e.to_string())?;
        let coefficients = coefficients(&outcome);
        made().insert(self.parties, coefficients.clone());
        Ok(coefficients)
    }

    /// The same failure with as few faults as can be found by leaving out one after the other.
    pub fn shrunk(&self) -> Self {
        let mut least = self.clone();
        let mut at = 0;
        while at < least.faults.len() {
            let mut fewer = least.clone();
            fewer.faults.remove(at);
            if fewer.run().is_err() {
                // What was kept before may be needless now.
                (least, at) = (fewer, 0);
            } else {
                at += 1;
            }
        }
        least
    }
}

fn coefficients(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.scorecard().fit.coefficients.iter().map(|c| (c.column.clone(), c.value)).collect()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

/// Names of a trial's parties.
fn names(parties: u32) -> Vec<PartyId> {
    (0..parties as usize).map(party).collect()
}
