//! How letters are sealed: a body once, for a key of its own whose secret is sealed for each receiver, so that a letter to
//! many costs its bytes once.
//!
//! HPKE does not say who sealed a message (base mode): the digest of every body stands in its sender's signed head.

use haihe_privacy::{
    digest::{Digest, Transcript},
    prg::SecretStream,
    seal::{self, SealError, SealingKey, seal},
    sign::{Signature, SigningKey},
};

use zeroize::Zeroizing;

use super::{
    Outbox,
    exchange::{LetterHead, ParcelHead},
};
use crate::{checkpoint::TreeHead, error::Violation, id::PartyId, roster::Session, verified::Verified};

/// Bytes of a letter's secret, sealed for one receiver.
pub const SEALED_SECRET_BYTES: usize = 32 + seal::OVERHEAD;

/// Why a parcel could not be sealed. Ours to repair; nothing was sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SealingError {
    /// This party is not in the session.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A letter for nobody, or for somebody outside the session.
    #[error("letter {letter} is for party {to}, and the session has {parties}; this is a defect, please report it")]
    Receiver {
        /// Which letter.
        letter: usize,
        /// For whom.
        to: usize,
        /// Number of parties.
        parties: u32,
    },
    /// A letter could not be sealed.
    #[error("a letter cannot be sealed: {0}")]
    Seal(#[from] SealError),
}

/// Where a parcel belongs.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Session.
    pub session: &'a Session,
    /// Sender.
    pub me: &'a PartyId,
    /// Exchange.
    pub round: u64,
    /// Transcript of the exchange before.
    pub previous: Digest,
    /// The journal's head that is pinned for this exchange.
    pub journal: TreeHead,
}

/// Binds a body to its exchange, sender, place and receivers.
fn body_context(round: u64, from: u32, letter: usize, to: &[u32]) -> Digest {
    let t = Transcript::new("haihe/v1/letter-context").u64(round).u64(from.into()).u64(letter as u64);
    to.iter().fold(t.u64(to.len() as u64), |t, to| t.u64(u64::from(*to))).finish()
}

/// Binds a letter's secret to the same and to its receiver.
fn key_context(body: &Digest, to: u32) -> Digest {
    Transcript::new("haihe/v1/letter-key-context").digest(body).u64(to.into()).finish()
}

/// Seals and signs a parcel; gives its head and the bodies, in order.
///
/// Everything follows from `seed` and from what is said, so that the same words always become the same bytes, and other
/// words are never sealed with the same randomness.
///
/// # Errors
/// If a letter is for somebody who is not in the session: a defect of whoever wrote it.
pub fn seal_letters(
    outbox: &Outbox,
    envelope: &Envelope<'_>,
    key: &SigningKey,
    seed: &[u8; 32],
) -> Result<(ParcelHead, Vec<Vec<u8>>), SealingError> {
    let Envelope { session, me, round, previous, journal } = *envelope;
    let from = session.index_of(me)?;
    let said = outbox.letters.iter().fold(blake3::Hasher::new(), |mut hash, letter| {
        hash.update(&(letter.body.len() as u64).to_le_bytes()).update(&letter.body);
        hash
    });
    let randomness = Transcript::new("haihe/v1/parcel-seed")
        .bytes(seed)
        .digest(&session.digest())
        .u64(round)
        .digest(&previous)
        .bytes(said.finalize().as_bytes())
        .finish();
    let mut letters = Vec::with_capacity(outbox.letters.len());
    let mut bodies = Vec::with_capacity(outbox.letters.len());
    for (index, letter) in outbox.letters.iter().enumerate() {
        let mut to = letter.to.iter().map(|to| receiver(index, *to, from, session)).collect::<Result<Vec<_>, _>>()?;
        to.sort_unstable();
        to.dedup();
        let context = body_context(round, from, index, &to);
        let mut rng = SecretStream::new(randomness.as_bytes(), index as u64);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill(&mut secret[..]);
        let body_key = SealingKey::derive(&secret).public_key();
        let body = seal(&mut rng, &body_key, &session.digest(), context.as_bytes(), &letter.body)?;
        let sealed_keys = to.iter().map(|to| {
            let entry = &session.roster().entries[*to as usize];
            seal(&mut rng, &entry.sealing_key, &session.digest(), key_context(&context, *to).as_bytes(), &secret[..])
        });
        let sealed_keys = sealed_keys.collect::<Result<_, _>>()?;
        letters.push(LetterHead { to, sealed_keys, digest: letter_digest(&body), bytes: body.len() as u64 });
        bodies.push(body);
    }
    let head = ParcelHead {
        job: session.roster().job,
        session: session.digest(),
        round,
        party: me.clone(),
        previous,
        announcement: outbox.announcement.clone(),
        letters,
        journal,
        signature: Signature::from_bytes([0; 64]),
    };
    Ok((head.signed(key), bodies))
}

fn receiver(letter: usize, to: usize, from: u32, session: &Session) -> Result<u32, SealingError> {
    let parties = session.parties();
    match u32::try_from(to) {
        Ok(index) if index < parties && index != from => Ok(index),
        _ => Err(SealingError::Receiver { letter, to, parties }),
    }
}

/// Names a sealed body.
pub fn letter_digest(sealed: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(sealed).as_bytes())
}

/// Opens letter `letter` of a parcel for `me`.
///
/// # Errors
/// [`Violation::LetterDigest`] if the body is not the one that was signed, which whoever passed it on may have changed;
/// after that, [`Violation::LetterUnreadable`] names the sender, who signed what cannot be opened.
pub fn open_letter(
    head: &Verified<ParcelHead>,
    letter: usize,
    sealed: &[u8],
    session: &Session,
    me: &PartyId,
    sealing: &SealingKey,
) -> Result<Vec<u8>, Violation> {
    let party = || head.party.clone();
    let not_sent = || Violation::LetterDigest { party: party(), letter };
    let signed = head.letters.get(letter).ok_or_else(not_sent)?;
    if signed.bytes != sealed.len() as u64 || letter_digest(sealed) != signed.digest {
        return Err(not_sent());
    }
    let index = session.index_of(me)?;
    let unreadable = || Violation::LetterUnreadable { party: party(), receiver: me.clone() };
    let place = signed.to.binary_search(&index).map_err(|_| not_sent())?;
    let context = body_context(head.round, session.index_of(&head.party)?, letter, &signed.to);
    let sealed_key = signed.sealed_keys.get(place).ok_or_else(unreadable)?;
    let opened = sealing.open(&session.digest(), key_context(&context, index).as_bytes(), sealed_key);
    let secret = opened.ok().and_then(|s| <[u8; 32]>::try_from(s).ok()).map(Zeroizing::new).ok_or_else(unreadable)?;
    let body_key = SealingKey::derive(&secret);
    body_key.open(&session.digest(), context.as_bytes(), sealed).map_err(|_| unreadable())
}
