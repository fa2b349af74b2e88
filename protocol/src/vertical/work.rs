//! What one participant does in a vertical job, from exchange to exchange. Pure: rows and one secret seed come in by
//! argument, and the same inbox always leads to the same outbox.

use std::collections::BTreeMap;

use haihe_models::table::Table;
use haihe_privacy::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{Announcement, Inbox, Outbox};
use crate::{error::Fault, id::PartyId, job::JobSpec};

/// Where a participant stands in its session.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Digest of the session.
    pub session: Digest,
    /// Everybody, in the roster's order.
    pub parties: Vec<PartyId>,
    /// Index of this participant.
    pub me: usize,
}

/// A participant's own firms: one row each.
#[derive(Clone)]
pub struct Firms {
    /// The key of each row of `table`, as the source has it.
    pub keys: Vec<String>,
    /// The columns that the job asks of this holder; labels and split mean something at the label holder only.
    pub table: Table,
}

/// What a participant keeps when the job is done: files by name, for its own people and for later jobs.
pub type Kept = BTreeMap<String, Vec<u8>>;

/// One step taken.
pub struct Stepped {
    /// To be remembered before anything is sent.
    pub work: Work,
    /// To be sent.
    pub outbox: Outbox,
    /// With the last parcel.
    pub kept: Option<Kept>,
}

/// Why a participant cannot go on. It objects, and the job ends.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct StepError {
    /// Whose fault it is.
    pub fault: Fault,
    /// For everybody, without figures of rows.
    pub reason: String,
}

/// Where a participant's work stands. Serialised into its vault.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    seed: [u8; 32],
    taken: u32,
}

impl Work {
    /// Before the first exchange. `model` is what this participant kept of the job that a scoring or a warm start names.
    pub fn begin(_spec: &JobSpec, _place: &Place, seed: [u8; 32], _model: Option<&Kept>) -> Result<Self, StepError> {
        Ok(Self { seed, taken: 0 })
    }

    /// Takes what was received in the last exchange (nothing before the first) and says what is sent in the next.
    /// `progress` hears what is done, how much of it, and how much there is.
    pub fn step(
        self,
        _spec: &JobSpec,
        place: &Place,
        _inbox: &Inbox,
        _firms: &Firms,
        _progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Stepped, StepError> {
        let taken = self.taken + 1;
        let done = taken == 3;
        let announcement = Announcement {
            phase: format!("step {taken}"),
            body_json: "{}".to_owned(),
            done,
            result_json: (done && place.me == 0).then(|| "{}".to_owned()),
        };
        let outbox = Outbox { announcement, letters: Vec::new() };
        Ok(Stepped { work: Self { taken, ..self }, outbox, kept: done.then(Kept::new) })
    }
}
