//! The exchanges of a vertical job at the coordinator: parcels come in, letters go out. It reads neither.

use std::io::{self, Read};

use haihe_privacy::digest::Digest;
use haihe_protocol::{
    error::Violation,
    id::PartyId,
    message::Verified,
    state::{Command, Receipt},
    vertical::exchange::ParcelHead,
};

use super::{Engine, EngineError, blob_key};
use crate::blobs::{BlobKey, Blobs};

/// The end of the names of letters' blobs: all bodies of a parcel, one after the other.
pub(super) const LETTERS: &str = "letters";

/// A parcel whose head was verified, on its way in.
#[derive(Clone, Debug)]
pub struct ParcelUpload {
    /// Its head.
    pub head: Verified<ParcelHead>,
    /// Where its letters go.
    pub key: BlobKey,
}

/// Where a letter is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterBlob {
    /// Index of the sender in the roster.
    pub from: u32,
    /// Index of the letter in its parcel.
    pub letter: u32,
    /// All letters of the parcel.
    pub key: BlobKey,
    /// Where the body begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

impl LetterBlob {
    /// Reads the sealed body.
    pub fn open(&self, blobs: &dyn Blobs) -> io::Result<impl Read + Send + use<>> {
        let mut reader = blobs.read(&self.key)?;
        let skipped = io::copy(&mut reader.by_ref().take(self.offset), &mut io::sink())?;
        if skipped != self.offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(reader.take(self.bytes))
    }
}

impl Engine {
    /// Checks the head of a parcel. `Err(receipt)` if there is nothing to upload.
    pub fn begin_parcel(&mut self, head: ParcelHead) -> Result<Result<ParcelUpload, Receipt>, EngineError> {
        let (party, round) = (head.party.clone(), head.round);
        if let Some(known) = self.job.parcel_of(&party, round) {
            return Ok(Err(if *known == head {
                Receipt::AlreadyAccepted
            } else {
                Receipt::Rejected(Violation::SecondParcel { party, round }.to_string())
            }));
        }
        let late = || Receipt::Late(format!("exchange {round} is closed"));
        let Some(expected) = self.job.expected_parcel(&self.round_head) else { return Ok(Err(late())) };
        if round < expected.round {
            return Ok(Err(late()));
        }
        let head = Verified::parcel(head, &expected)?;
        let digest = head.digest();
        match self.begun_parcels.get(&party) {
            Some((known, other)) if *known == round && *other != digest => {
                return Err(Violation::SecondParcel { party, round }.into());
            }
            _ => self.begun_parcels.insert(party.clone(), (round, digest)),
        };
        let key = blob_key(&self.job.head().job, &party, round, &digest, LETTERS);
        Ok(Ok(ParcelUpload { head, key }))
    }

    /// Checks the letters of a complete parcel against the digests that were signed.
    pub fn finish_parcel(&mut self, upload: ParcelUpload, blobs: &dyn Blobs) -> Result<Command, EngineError> {
        let (party, round) = (upload.head.party.clone(), upload.head.round);
        if self.job.parcel_of(&party, round).is_some() {
            // Accepted while the bytes came in: nothing of it is touched; the decision compares the two.
            return Ok(Command::Parcel(upload.head));
        }
        if !self.is_open(round) {
            // Closed while the bytes came in: the decision counts it as late.
            blobs.remove(&upload.key)?;
            return Ok(Command::Parcel(upload.head));
        }
        if upload.head.letters.is_empty() {
            return Ok(Command::Parcel(upload.head));
        }
        blobs.sync(&upload.key)?;
        match check_letters(&upload, blobs) {
            Ok(()) => Ok(Command::Parcel(upload.head)),
            Err(EngineError::Violation(violation)) => {
                blobs.remove(&upload.key)?;
                Ok(Command::Reject { party, round, reason: violation.to_string() })
            }
            Err(other) => Err(other),
        }
    }

    /// True if parcels of exchange `round` are still taken.
    pub fn is_open(&self, round: u64) -> bool {
        self.job.expected_parcel(&self.round_head).is_some_and(|expected| expected.round == round)
    }

    /// Where the letters for `party` in exchange `round` are, by sender and letter; `None` if that is not the last closed
    /// exchange.
    pub fn letters_for(&self, party: &PartyId, round: u64) -> Option<Vec<LetterBlob>> {
        let session = self.job.session()?;
        let index = session.index_of(party).ok()?;
        let heads = self.job.closed_exchange();
        if heads.first()?.round != round {
            return None;
        }
        let mut letters = Vec::new();
        for (from, head) in (0u32..).zip(heads) {
            let key = blob_key(&self.job.head().job, &head.party, round, &head.digest(), LETTERS);
            let meant = head.offsets().filter(|(_, _, letter)| letter.to.contains(&index));
            letters.extend(meant.map(|(letter, offset, head)| LetterBlob {
                from,
                letter: letter as u32,
                key: key.clone(),
                offset,
                bytes: head.bytes,
            }));
        }
        Some(letters)
    }
}

fn check_letters(upload: &ParcelUpload, blobs: &dyn Blobs) -> Result<(), EngineError> {
    let mut reader = blobs.read(&upload.key)?;
    for (letter, signed) in upload.head.letters.iter().enumerate() {
        let mut hash = blake3::Hasher::new();
        let length = io::copy(&mut reader.by_ref().take(signed.bytes), &mut hash)?;
        if length != signed.bytes || Digest::from_bytes(*hash.finalize().as_bytes()) != signed.digest {
            return Err(Violation::LetterDigest { party: upload.head.party.clone(), letter }.into());
        }
    }
    Ok(())
}
