//! Parcels in, letters out.

use std::io::Read as _;

use super::*;
use crate::engine::LetterBlob;

/// How long a party may wait for an exchange to close before it has to ask again.
const HELD: Duration = Duration::from_secs(900);
/// Questions of one party that may wait at once: one for each of its jobs, and some that were given up.
const MOST_HELD: usize = 32;

type Parts = mpsc::Sender<Result<v1::LetterPart, Status>>;

impl Service {
    /// Receives a parcel, from where an earlier attempt broke off.
    pub(super) async fn receive_parcel(
        &self,
        mut parts: Streaming<v1::ParcelPart>,
        head: v1::ParcelHead,
    ) -> Result<Receipt, Status> {
        let head = wire::parcel(head)?;
        let (party, round) = (head.party.clone(), head.round);
        let engine = self.host.job(&head.job).await.map_err(status)?;
        let begun = engine.lock().await.begin_parcel(head);
        let refused = match begun {
            Ok(Ok(upload)) => {
                let chunk = |part: v1::ParcelPart| match part.part {
                    Some(v1::parcel_part::Part::Chunk(chunk)) => Some(chunk),
                    _ => None,
                };
                self.store_chunks(&upload.key, upload.head.body_bytes(), &mut parts, chunk).await?;
                let finish = move |engine: &mut Engine, blobs: &dyn Blobs| {
                    engine.finish_parcel(upload, blobs).map(Step::command)
                };
                return self.host.carry_out(engine, finish).await.map_err(status);
            }
            Ok(Err(receipt)) => Ok(receipt),
            Err(error) => Err(error),
        };
        self.not_begun(engine, party, round, refused).await
    }

    /// Sends the letters for `party` in the last closed exchange, or in the open one as soon as it closes, if the party waits
    /// for them; at most two chunks are in memory.
    pub(super) async fn letters(
        &self,
        party: &PartyId,
        m: v1::LettersRequest,
    ) -> Result<Response<BoxStream<v1::LetterPart>>, Status> {
        let engine = self.host.job(&wire::job(&m.job_id)?).await.map_err(status)?;
        // Before the state is looked at: no change is missed.
        let changed = self.host.watch();
        let letters = {
            let engine = engine.lock().await;
            if !engine.job().is_member(party) {
                return Err(Status::permission_denied("letters are for the parties of the session only"));
            }
            match m.wait && engine.is_open(m.round) {
                true => None,
                false => Some(closed_letters(&engine, party, m.round)?),
            }
        };
        let (to, from) = mpsc::channel(2);
        match letters {
            Some(letters) => self.send_letters(letters, to),
            None => {
                let held = self.held.clone().one_more(party).ok_or_else(|| {
                    let text =
                        format!("{party} has {MOST_HELD} such questions open; ask again when the exchange is closed");
                    Status::resource_exhausted(text)
                })?;
                let waits = self.clone().hold_letters(engine, party.clone(), m.round, changed, to);
                drop(tokio::spawn(async move {
                    waits.await;
                    drop(held);
                }));
            }
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    fn send_letters(&self, letters: Vec<LetterBlob>, to: Parts) {
        let blobs = self.host.blobs().clone();
        tokio::task::spawn_blocking(move || {
            for letter in letters {
                if let Err(error) = send_letter(&letter, &*blobs, &to) {
                    let failed = Status::unavailable(format!("the coordinator's store failed: {error}"));
                    let _ = to.blocking_send(Err(failed));
                    return;
                }
            }
        });
    }

    /// Sends the letters of an open exchange when it closes. Ends early when nobody listens any more.
    async fn hold_letters(
        self,
        engine: Arc<Mutex<Engine>>,
        party: PartyId,
        round: u64,
        mut changed: watch::Receiver<u64>,
        to: Parts,
    ) {
        let mut stop = self.stop.clone();
        let late = tokio::time::sleep(HELD);
        tokio::pin!(late);
        let waited = loop {
            tokio::select! {
                _ = changed.changed() => tokio::time::sleep(COALESCE).await,
                () = &mut late => {
                    let seconds = HELD.as_secs();
                    let text = format!("exchange {round} did not close within {seconds} s; ask again when it has");
                    break Err(Status::deadline_exceeded(text));
                }
                _ = stop.changed() => {
                    break Err(Status::unavailable("the coordinator is shutting down; ask again when it is back"));
                }
                () = to.closed() => return,
            }
            let engine = engine.lock().await;
            if !engine.is_open(round) {
                break closed_letters(&engine, &party, round);
            }
        };
        match waited {
            Ok(letters) => self.send_letters(letters, to),
            Err(status) => drop(to.send(Err(status)).await),
        }
    }
}

/// The letters for `party` in `round`, which must be the last closed exchange.
fn closed_letters(engine: &Engine, party: &PartyId, round: u64) -> Result<Vec<LetterBlob>, Status> {
    if engine.job().is_over() {
        return Err(Status::not_found("the job is over; letters of its last exchange are delivered to nobody"));
    }
    let closed = || Status::not_found(format!("exchange {round} is not the last closed one"));
    engine.letters_for(party, round).ok_or_else(closed)
}

/// Sends one letter in chunks; an empty body still makes one part. Ends early when nobody listens.
fn send_letter(letter: &LetterBlob, blobs: &dyn Blobs, to: &Parts) -> std::io::Result<()> {
    let mut body = letter.open(blobs)?;
    let mut left = letter.bytes;
    loop {
        let mut chunk = Vec::with_capacity(left.min(CHUNK_BYTES as u64) as usize);
        body.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() && left > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(chunk.len() as u64);
        let part = v1::LetterPart { from: letter.from, letter: letter.letter, chunk: chunk.into() };
        if to.blocking_send(Ok(part)).is_err() || left == 0 {
            return Ok(());
        }
    }
}

/// Questions for letters that wait for their exchange to close, by party.
#[derive(Default)]
pub(super) struct HeldQuestions(std::sync::Mutex<BTreeMap<PartyId, usize>>);

/// One of them; it counts until it is dropped.
struct HeldQuestion {
    all: Arc<HeldQuestions>,
    party: PartyId,
}

impl HeldQuestions {
    fn one_more(self: Arc<Self>, party: &PartyId) -> Option<HeldQuestion> {
        {
            let mut open = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let count = open.entry(party.clone()).or_default();
            if *count >= MOST_HELD {
                return None;
            }
            *count += 1;
        }
        Some(HeldQuestion { all: self, party: party.clone() })
    }
}

impl Drop for HeldQuestion {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.party) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_questions_of_a_party_wait() {
        let all = Arc::new(HeldQuestions::default());
        let party = |name: &str| PartyId::new(name).expect("a party");
        let mut held: Vec<_> = (0..MOST_HELD).filter_map(|_| all.clone().one_more(&party("bank"))).collect();
        assert_eq!(held.len(), MOST_HELD);
        assert!(all.clone().one_more(&party("bank")).is_none());
        assert!(all.clone().one_more(&party("tax")).is_some(), "others are not concerned");
        held.pop();
        assert!(all.clone().one_more(&party("bank")).is_some());
    }
}
