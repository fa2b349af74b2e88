//! What a worker does in a vertical job: fetch letters, take a step, send a parcel; at the end, keep what the work left.

use std::time::Instant;

use haihe_models::vertical::score::Block;
use haihe_protocol::{
    horizontal::network::EncodedRows,
    vertical::{
        exchange::ParcelHead,
        work::{BLOCK_FILE, Firms, Kept, SCORECARD_FILE},
    },
};

use super::*;
use crate::member::{Due, ReceivedLetter, Taking};

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
        let (head, new) = match self.member.exchange(now(), &self.job, round, previous, parcels, session.as_ref())? {
            Due::Send(head) => (*head, false),
            Due::Take(taking) => (self.take(round, *taking).await?, true),
        };
        // Whoever is done hears of no more letters. The last question goes first: few may be open.
        self.early = None;
        self.early = if head.announcement.done { None } else { self.link.early_letters(&self.job, round) };
        let letters = self.member.letters(&self.job, &head)?;
        let receipt = match new {
            true => self.link.new_parcel(&head, letters).await?,
            false => self.link.parcel(&head, letters).await?,
        };
        self.told(&format!("exchange {round}: sent {} bytes ({})", head.bytes(), head.announcement.phase), &receipt);
        Ok(())
    }

    async fn take(&mut self, round: u64, taking: Taking) -> Result<ParcelHead, StepError> {
        self.ensure_data().await?;
        let announced = taking.letters(self.participant.party());
        let letters = self.letters(taking.letters_of(), &announced).await?;
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

    /// The letters of a closed exchange: those that were asked for when it was open, or asked for now.
    async fn letters(&mut self, round: u64, announced: &[(u32, u32, u64)]) -> Result<Vec<ReceivedLetter>, StepError> {
        if let Some(early) = self.early.take().filter(|early| early.round() == round) {
            match early.read(announced).await {
                Ok(letters) => return Ok(letters),
                Err(error) => {
                    tracing::debug!(job = %self.job.short(), %error, "exchange {round}: asking for the letters again")
                }
            }
        }
        Ok(self.link.letters(&self.job, round, announced).await?)
    }

    /// Keeps the result of a vertical job if it is the one that the label holder signed.
    pub(super) async fn checked_parcels(
        &mut self,
        (json, transcript): (&str, &Digest),
        checkpoint: (&str, Option<Extension>),
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
        let draft = self.member.draft(&self.job)?.unwrap_or_default();
        for (name, bytes) in &draft {
            write_whole(&folder.join(name), bytes)?;
        }
        self.tell_part(&draft);
        // Last: its presence says that everything is there.
        Ok(write_whole(&folder.join("result.json"), json.as_bytes())?)
    }
}

impl Worker {
    /// Which of the own columns a model uses, and why not the others: for this participant's own people.
    fn tell_part(&self, kept: &Kept) {
        let block = kept.get(BLOCK_FILE).and_then(|bytes| serde_json::from_slice::<Block>(bytes).ok());
        let Some(Block { columns, dropped, .. }) = block else { return };
        let left_out: Vec<String> = dropped.iter().map(|d| format!("{} ({})", d.column, d.reason)).collect();
        let (job, left_out) = (self.job.short(), left_out.join(", "));
        tracing::info!(%job, columns = columns.len(), left_out, "the own part of the scorecard is in {SCORECARD_FILE}");
    }
}

/// The own rows of a job, in the form that its kind needs.
pub(super) enum Data {
    /// Of a job made of sums, with what was made of them in earlier rounds.
    Rows(Box<Loaded>, EncodedRows),
    /// Of a vertical job.
    Firms(Firms),
}

impl Data {
    /// The rows of `spec`.
    pub(super) fn of(spec: &JobSpec, loaded: Loaded) -> Self {
        match spec.vertical {
            Some(_) => Data::Firms(Firms { keys: loaded.keys, table: loaded.table }),
            None => Data::Rows(Box::new(loaded), EncodedRows::default()),
        }
    }
}
