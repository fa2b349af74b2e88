//! What every step has at hand, and how its errors name the one at fault.

use std::{fmt::Display, num::NonZeroUsize};

use haihe_privacy::{
    digest::{Digest, Transcript},
    pairwise::PairSeed,
};

use super::{Firms, Place, StepError, letters};
use crate::{
    error::Fault,
    id::PartyId,
    job::JobSpec,
    vertical::{Inbox, Outbox, VerticalOptions},
};

/// What a step is taken with.
pub(super) struct Context<'a> {
    pub spec: &'a JobSpec,
    pub options: &'a VerticalOptions,
    pub place: &'a Place,
    pub inbox: &'a Inbox,
    pub firms: &'a Firms,
    /// Index of the label holder.
    pub label_holder: usize,
    /// The exchange that this step prepares, from 1.
    pub exchange: u64,
    pub seed: &'a [u8; 32],
    pub progress: &'a mut dyn FnMut(&str, u64, u64),
}

/// All cores: what is computed does not depend on their number.
pub(super) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Context<'_> {
    pub fn me(&self) -> usize {
        self.place.me
    }

    pub fn is_label_holder(&self) -> bool {
        self.place.me == self.label_holder
    }

    pub fn name(&self, party: usize) -> &PartyId {
        &self.place.parties[party]
    }

    /// Everybody but the label holder.
    pub fn feature_holders(&self) -> Vec<usize> {
        (0..self.place.parties.len()).filter(|p| *p != self.label_holder).collect()
    }

    /// Columns that the job asks of a party: never more are used.
    pub fn declared_columns(&self, party: usize) -> usize {
        self.options.holder(self.name(party)).map_or(0, |h| h.columns.len())
    }

    /// Names this exchange and a purpose in it; never the same twice in a session.
    pub fn purpose(&self, purpose: &str) -> Digest {
        self.purpose_at(purpose, self.exchange)
    }

    pub fn purpose_at(&self, purpose: &str, exchange: u64) -> Digest {
        Transcript::new("haihe/v1/vertical").digest(&self.place.session).u64(exchange).str(purpose).finish()
    }

    /// A secret for one purpose in the whole job.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        *Transcript::new("haihe/v1/vertical-secret")
            .digest(&self.place.session)
            .str(purpose)
            .bytes(self.seed)
            .finish()
            .as_bytes()
    }

    /// A secret for one purpose in this exchange.
    pub fn secret_now(&self, purpose: &str) -> [u8; 32] {
        *Transcript::new("haihe/v1/vertical-secret-now")
            .u64(self.exchange)
            .str(purpose)
            .bytes(&self.secret("exchange"))
            .finish()
            .as_bytes()
    }

    /// The seed that this participant draws for its pair with `other`, whose index is higher.
    pub fn pair_seed(&self, other: usize) -> PairSeed {
        PairSeed::from_bytes(self.secret(&format!("pair {other}")))
    }

    /// An exchange in which this side has nothing to say.
    pub fn waiting(&self) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.announcement.phase = "waits".to_owned();
        outbox
    }

    /// The one letter from `from` in the last exchange.
    pub fn letter<T: letters::Said>(&self, from: usize, what: &str) -> Result<T, StepError> {
        let body = self.body(from, what)?;
        letters::read(body).ok_or_else(|| self.peer(from, format!("its {what} cannot be read")))
    }

    pub fn body(&self, from: usize, what: &str) -> Result<&[u8], StepError> {
        let mut found = self.inbox.letters.iter().filter(|(sender, _)| *sender == from);
        match (found.next(), found.next()) {
            (Some((_, body)), None) => Ok(body),
            _ => Err(self.peer(from, format!("its {what} must be one letter"))),
        }
    }

    /// Another participant's fault.
    pub fn peer(&self, party: usize, what: impl Display) -> StepError {
        let name = self.name(party).clone();
        StepError { reason: format!("{name}: {what}"), fault: Fault::Participant(name) }
    }

    /// This participant's own.
    pub fn own(&self, what: impl Display) -> StepError {
        self.peer(self.me(), what)
    }

    /// One of several feature holders': a masked sum does not tell whose.
    pub fn together(&self, what: impl Display) -> StepError {
        self.one_of(&self.feature_holders(), what)
    }

    /// One of all others', the label holder among them.
    pub fn others(&self, what: impl Display) -> StepError {
        let others: Vec<usize> = (0..self.place.parties.len()).filter(|p| *p != self.me()).collect();
        self.one_of(&others, what)
    }

    fn one_of(&self, parties: &[usize], what: impl Display) -> StepError {
        match parties {
            [one] => self.peer(*one, what),
            several => {
                let names: Vec<&str> = several.iter().map(|p| self.name(*p).as_str()).collect();
                StepError {
                    fault: Fault::CoordinatorOrContributor,
                    reason: format!("one of {}: {what}", names.join(", ")),
                }
            }
        }
    }

    /// Most passes where one feature holder alone sends scores, by the columns that it uses: as many directions as columns
    /// span them, and the label holder sees each one unmixed. `None` where there are several, whose sum it sees.
    pub fn most_passes(&self, columns: usize) -> Option<usize> {
        (self.place.parties.len() == 2).then(|| columns.saturating_sub(1).max(1))
    }

    /// The same after a review that left `columns` of a sole holder's, `sent` directions having been sent: those are
    /// combinations of more columns, and few of them say anything about these alone; what follows does.
    pub fn most_passes_after(&self, most: Option<usize>, sent: usize, columns: usize) -> Option<usize> {
        most.zip(self.most_passes(columns)).map(|(most, of_these)| most.min(sent + of_these))
    }

    /// Training firms, by their number in the common order of training firms, that only decide when to stop.
    pub fn held_out(&self, trained: usize) -> Vec<usize> {
        let share = self.options.fit.validation_share;
        let every = if share > 0.0 { (1.0 / share).round() as usize } else { usize::MAX };
        (0..trained).filter(|r| r % every == every - 1).collect()
    }

    /// The job's.
    pub fn job(&self, what: impl Display) -> StepError {
        StepError { fault: Fault::Job, reason: what.to_string() }
    }
}
