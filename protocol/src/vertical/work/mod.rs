//! What one participant does in a vertical job, from exchange to exchange. Pure: rows and one secret seed come in by
//! argument, and the same inbox always leads to the same outbox.
//!
//! | exchanges (N parties) | label holder | feature holders |
//! |---|---|---|
//! | 1 | announces its firms | announce their firms; share seeds for masks |
//! | 2 .. 2N + 1 | [alignment](haihe_privacy::align) | the same |
//! | then, WOE only | training rows, encrypted labels | encrypted counts of bad firms per bin |
//! | each pass | encrypted residuals | encrypted, masked products |
//! | | decrypts them | masked scores of a direction |
//! | each review, WOE only | asks for it | how many columns contradict, masked scores without them |
//! | last two | asks for scores; publishes the evaluation | masked partial scores; nothing |

mod align;
mod as_json;
mod context;
mod feature;
mod label;
mod letters;
mod model;
mod rows;

use std::collections::BTreeMap;

use haihe_models::table::Table;
use haihe_privacy::digest::Digest;
use serde::{Deserialize, Serialize};

use self::{
    align::{Aligned, Aligning},
    context::Context,
    feature::Feature,
    label::Label,
};
use super::{Inbox, Outbox};
use crate::{error::Fault, id::PartyId, job::JobSpec};

pub use self::align::FirmsAnnounced;
pub use self::label::{Comparison, JointResult, Quality, ReviewHeld, ScoredResult};
pub use self::letters::LetterKind;
pub use self::model::{BLOCK_FILE, EVALUATION_FILE, Evaluation, MODEL_FILE, ModelFile, SCORECARD_FILE};

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
#[derive(Serialize, Deserialize)]
pub struct Work {
    seed: [u8; 32],
    /// Exchanges prepared.
    exchange: u64,
    /// What this participant kept of the job that a scoring or a warm start names.
    model: Option<Kept>,
    /// Of the rows that the job began with: rows are remembered by their number, and must be the same after a restart.
    rows: Option<Digest>,
    #[serde(skip)]
    compared: bool,
    stage: Stage,
}

#[derive(Serialize, Deserialize)]
enum Stage {
    Begun,
    Aligning(Aligning),
    Label(Box<Label>),
    Feature(Box<Feature>),
    Over,
}

/// What a side's step leads to.
enum Turn<T> {
    More(T, Outbox),
    Last(Outbox, Kept),
}

impl Work {
    /// Before the first exchange. `model` is what this participant kept of the job that a scoring or a warm start names.
    pub fn begin(spec: &JobSpec, place: &Place, seed: [u8; 32], model: Option<&Kept>) -> Result<Self, StepError> {
        let named = spec.scoring.is_some() || spec.vertical.as_ref().is_some_and(|v| v.fit.warm_start.is_some());
        if named && model.is_none() {
            let me = place.parties[place.me].clone();
            let reason = format!("{me}: nothing is kept here of the job whose model is asked for");
            return Err(StepError { fault: Fault::Participant(me), reason });
        }
        Ok(Self { seed, exchange: 0, model: model.cloned(), rows: None, compared: false, stage: Stage::Begun })
    }

    /// For the vault.
    ///
    /// # Panics
    /// Never: what is remembered is plain data.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data")
    }

    /// From the vault; `None` if the bytes are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        letters::read(bytes)
    }

    /// This participant's own rows of the common firms, in the order that all parties have them in; `None` before the firms
    /// are aligned and after the end. For audits: whoever may read the vault may know it.
    pub fn rows(&self) -> Option<&[u32]> {
        match &self.stage {
            Stage::Label(label) => Some(label.rows()),
            Stage::Feature(feature) => Some(feature.rows()),
            Stage::Begun | Stage::Aligning(_) | Stage::Over => None,
        }
    }

    /// Takes what was received in the last exchange (nothing before the first) and says what is sent in the next.
    /// `progress` hears what is done, how much of it, and how much there is.
    pub fn step(
        self,
        spec: &JobSpec,
        place: &Place,
        inbox: &Inbox,
        firms: &Firms,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Stepped, StepError> {
        let broken = |reason: &str| StepError { fault: Fault::Job, reason: reason.to_owned() };
        let options = spec.vertical.as_ref().ok_or_else(|| broken("the job has no table [vertical]"))?;
        let label_holder = place.parties.iter().position(|p| options.is_label_holder(p));
        let label_holder = label_holder.ok_or_else(|| broken("the label holder is not in the session"))?;
        let exchange = self.exchange + 1;
        let mut c = Context { spec, options, place, inbox, firms, label_holder, exchange, seed: &self.seed, progress };
        if exchange > 1 && inbox.announcements.len() != place.parties.len() {
            return Err(broken("an exchange without everybody's announcement"));
        }
        let rows = match self.rows {
            Some(rows) if self.compared => rows,
            Some(rows) if rows == rows::digest(firms) => rows,
            Some(_) => return Err(c.own("its view has changed since the job began; submit the job again")),
            None => rows::digest(firms),
        };
        let model = self.model.as_ref();
        let (stage, outbox, kept) = match self.stage {
            Stage::Begun => {
                let (aligning, outbox) = Aligning::begin(&mut c)?;
                (Stage::Aligning(aligning), outbox, None)
            }
            Stage::Aligning(aligning) => match aligning.step(&mut c)? {
                Aligned::More(aligning, outbox) => (Stage::Aligning(aligning), outbox, None),
                Aligned::Rows(_, rows) if c.is_label_holder() => {
                    sorted(Label::begin(&mut c, rows, model)?, Stage::Label)
                }
                Aligned::Rows(aligning, rows) => {
                    sorted(Feature::begin(&mut c, rows, aligning.pairs, model)?, Stage::Feature)
                }
            },
            Stage::Label(label) => sorted((*label).step(&mut c, model)?, Stage::Label),
            Stage::Feature(feature) => sorted((*feature).step(&mut c)?, Stage::Feature),
            Stage::Over => return Err(broken("the job is over; nothing follows its last exchange")),
        };
        let work = Self { seed: self.seed, exchange, model: self.model, rows: Some(rows), compared: true, stage };
        Ok(Stepped { work, outbox, kept })
    }
}

fn sorted<T>(turn: Turn<T>, stage: impl Fn(Box<T>) -> Stage) -> (Stage, Outbox, Option<Kept>) {
    match turn {
        Turn::More(side, outbox) => (stage(Box::new(side)), outbox, None),
        Turn::Last(outbox, kept) => (Stage::Over, outbox, Some(kept)),
    }
}
