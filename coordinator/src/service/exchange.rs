//! Parcels in, letters out.

use std::io::Read as _;

use super::*;
use crate::engine::LetterBlob;

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

    /// Sends the letters for `party` in the last closed exchange; at most two chunks are in memory.
    pub(super) async fn letters(
        &self,
        party: &PartyId,
        m: v1::LettersRequest,
    ) -> Result<Response<BoxStream<v1::LetterPart>>, Status> {
        let engine = self.host.job(&wire::job(&m.job_id)?).await.map_err(status)?;
        let letters = {
            let engine = engine.lock().await;
            if !engine.job().is_member(party) {
                return Err(Status::permission_denied("letters are for the parties of the session only"));
            }
            engine.letters_for(party, m.round)
        };
        let closed = || Status::not_found(format!("exchange {} is not the last closed one", m.round));
        let letters = letters.ok_or_else(closed)?;
        let (to, from) = mpsc::channel(2);
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
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }
}

/// Sends one letter in chunks; an empty body still makes one part. Ends early when nobody listens.
fn send_letter(
    letter: &LetterBlob,
    blobs: &dyn Blobs,
    to: &mpsc::Sender<Result<v1::LetterPart, Status>>,
) -> std::io::Result<()> {
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
