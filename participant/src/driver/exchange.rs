//! What a worker does in a vertical job: fetch letters, take a step, send a parcel; at the end, keep what the work left.

use std::time::Instant;

use haihe_protocol::{
    horizontal::network::EncodedRows,
    vertical::{exchange::ParcelHead, work::Firms},
};

use super::*;
use crate::member::{Due, Taking};

/// Progress is told no more often than this.
const PROGRESS: Duration = Duration::from_secs(2);

/// Tells how a step goes on.
struct Progress {
    job: String,
    round: u64,
    told: Instant,
}

impl Progress {
    fn tell(&mut self, what: &str, done: u64, total: u64) {
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            tracing::info!(job = %self.job, done, total, "exchange {}: {what}", self.round);
        }
    }
}

impl Worker {
    /// Sends the parcel of an exchange: the one that is in the vault, or a new one.
    pub(super) async fn exchange(
        &mut self,
        (round, previous): (u64, &Digest),
        parcels: Vec<ParcelHead>,
        session: Option<SessionParts>,
    ) -> Result<(), StepError> {
        let head = match self.member.exchange(now(), &self.job, round, previous, parcels, session.as_ref())? {
            Due::Send(head) => *head,
            Due::Take(taking) => self.take(round, *taking).await?,
        };
        let letters = self.member.letters(&self.job, &head)?;
        let receipt = self.link.parcel(&head, letters).await?;
        self.told(&format!("exchange {round}: sent {} bytes ({})", head.bytes(), head.announcement.phase), &receipt);
        Ok(())
    }

    async fn take(&mut self, round: u64, taking: Taking) -> Result<ParcelHead, StepError> {
        self.ensure_data().await?;
        let announced = taking.letters(self.participant.party());
        let letters = self.link.letters(&self.job, taking.letters_of(), &announced).await?;
        let Some(Data::Firms(firms)) = &self.loaded else { return Err(StepError::NoFirms) };
        let (member, job) = (&mut self.member, &self.job);
        let mut progress = Progress { job: job.short(), round, told: Instant::now() };
        let head = tokio::task::block_in_place(|| {
            member.take(now(), job, taking, letters, |work, spec, place, inbox| {
                work.step(spec, place, inbox, firms, &mut |what, done, total| progress.tell(what, done, total))
            })
        })?;
        Ok(head)
    }

    /// Keeps the result of a vertical job if it is the one that the label holder signed.
    pub(super) async fn checked_parcels(
        &mut self,
        (json, transcript): (&str, &Digest),
        checkpoint: &str,
        session: Option<SessionParts>,
        parcels: Vec<ParcelHead>,
    ) -> Result<(), StepError> {
        self.pin(None, checkpoint, session.as_ref()).await?;
        self.member.check_parcels(&self.job, json, transcript, parcels)?;
        let folder = self.participant.state_dir.join("results").join(self.job.to_string());
        private_folder(&folder)?;
        if let Some(note) = self.member.last_checkpoint(&self.job)? {
            write_whole(&folder.join("checkpoint.txt"), note.as_bytes())?;
        }
        for (name, bytes) in self.member.draft(&self.job)?.unwrap_or_default() {
            write_whole(&folder.join(name), &bytes)?;
        }
        // Last: its presence says that everything is there.
        Ok(write_whole(&folder.join("result.json"), json.as_bytes())?)
    }
}

/// The own rows of a job, in the form that its kind needs.
pub(super) enum Data {
    /// Of a job made of sums, with what was made of them in earlier rounds.
    Rows(Loaded, EncodedRows),
    /// Of a vertical job.
    Firms(Firms),
}

impl Data {
    /// The rows of `spec`.
    pub(super) fn of(spec: &JobSpec, loaded: Loaded) -> Self {
        match spec.vertical {
            Some(_) => Data::Firms(Firms { keys: loaded.keys, table: loaded.table }),
            None => Data::Rows(loaded, EncodedRows::default()),
        }
    }
}
