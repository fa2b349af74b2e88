//! One exchange of a vertical job: what a participant signs (X1), and how closed exchanges are chained.

use haihe_privacy::{
    digest::{Digest, Transcript},
    sign::{Signature, SigningKey},
};
use serde::{Deserialize, Serialize};

use super::{Announcement, sealing::SEALED_SECRET_BYTES};
use crate::{
    checkpoint::TreeHead,
    error::Violation,
    id::{JobId, PartyId},
    job::JobSpec,
    roster::Session,
    verified::Verified,
};

/// Most bytes of an announcement, its result apart.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 64 << 10;
/// Most bytes of a public result.
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// Most letters of one parcel.
pub const MAX_LETTERS: usize = 64;

/// What everybody may know of a letter: for whom, how long, and what names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LetterHead {
    /// Indices in the roster, ascending.
    pub to: Vec<u32>,
    /// The secret that opens the body, sealed for each receiver, in the order of `to`.
    #[serde(with = "crate::id::hex_list")]
    pub sealed_keys: Vec<Vec<u8>>,
    /// BLAKE3 of the sealed body.
    pub digest: Digest,
    /// Length of the sealed body.
    pub bytes: u64,
}

/// X1 without the letters' bodies: what a participant says in an exchange, signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParcelHead {
    /// Job.
    pub job: JobId,
    /// Session.
    pub session: Digest,
    /// Counts the exchanges of a job from 1.
    pub round: u64,
    /// Who sends it.
    pub party: PartyId,
    /// Transcript of the last closed exchange; before the first, the session.
    pub previous: Digest,
    /// For everybody.
    pub announcement: Announcement,
    /// For some; the bodies follow in this order.
    pub letters: Vec<LetterHead>,
    /// The journal's head that the sender pinned for this exchange.
    pub journal: TreeHead,
    /// By the sender, over everything above.
    pub signature: Signature,
}

/// What a parcel must fit to.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Session of the job.
    pub session: &'a Session,
    /// The job.
    pub spec: &'a JobSpec,
    /// The exchange.
    pub round: u64,
    /// Transcript of the exchange before.
    pub previous: &'a Digest,
    /// Head of the journal at the beginning of the exchange.
    pub journal: &'a TreeHead,
}

/// Chains a closed exchange to those before it. `heads` in the roster's order.
pub fn exchange_transcript(previous: &Digest, heads: &[ParcelHead]) -> Digest {
    let t = Transcript::new("haihe/v1/exchange-transcript").digest(previous).u64(heads.len() as u64);
    heads.iter().fold(t, |t, head| t.digest(&head.digest()).bytes(head.signature.as_bytes())).finish()
}

impl ParcelHead {
    /// Names the parcel: what its sender signs, every field but the signature.
    pub fn digest(&self) -> Digest {
        let a = &self.announcement;
        let mut t = Transcript::new("haihe/v1/parcel")
            .digest(&self.job.0)
            .digest(&self.session)
            .u64(self.round)
            .str(self.party.as_str())
            .digest(&self.previous)
            .str(&a.phase)
            .str(&a.body_json)
            .u64(u64::from(a.done))
            .u64(u64::from(a.result_json.is_some()));
        if let Some(result) = &a.result_json {
            t = t.str(result);
        }
        t = t.u64(self.letters.len() as u64);
        for letter in &self.letters {
            t = t.u64(letter.to.len() as u64);
            t = letter.to.iter().fold(t, |t, to| t.u64(u64::from(*to)));
            t = t.u64(letter.sealed_keys.len() as u64);
            t = letter.sealed_keys.iter().fold(t, |t, key| t.bytes(key));
            t = t.digest(&letter.digest).u64(letter.bytes);
        }
        t.u64(self.journal.size).bytes(self.journal.root.as_bytes()).finish()
    }

    /// Signs a head; whatever signature it carries is replaced.
    pub fn signed(self, key: &SigningKey) -> Self {
        Self { signature: key.sign(&self.digest()), ..self }
    }

    /// Bytes of all letters' bodies, which are stored and sent one after the other.
    pub fn body_bytes(&self) -> u64 {
        self.letters.iter().map(|l| l.bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of everything that the parcel carries: bodies, keys and announcement.
    pub fn bytes(&self) -> u64 {
        let keys: usize = self.letters.iter().flat_map(|l| &l.sealed_keys).map(Vec::len).sum();
        let result = self.announcement.result_json.as_ref().map_or(0, String::len);
        self.body_bytes().saturating_add((keys + announced(&self.announcement) + result) as u64)
    }

    /// Where each letter's body begins among all bodies, with the letter's index.
    pub fn offsets(&self) -> impl Iterator<Item = (usize, u64, &LetterHead)> {
        let begins = self.letters.iter().scan(0u64, |at, letter| {
            let begin = *at;
            *at = at.saturating_add(letter.bytes);
            Some(begin)
        });
        self.letters.iter().enumerate().zip(begins).map(|((index, letter), at)| (index, at, letter))
    }

    /// The checks that need no signature: limits, and receivers that can be meant.
    fn check_form(&self, sender: u32, session: &Session, spec: &JobSpec) -> Result<(), Violation> {
        let party = || self.party.clone();
        let size = |what: &'static str, got: u64, most: u64| match got {
            got if got > most => Err(Violation::ParcelSize { party: party(), what, got, most }),
            _ => Ok(()),
        };
        size("bytes of announcement", announced(&self.announcement) as u64, MAX_ANNOUNCEMENT_BYTES as u64)?;
        let result = self.announcement.result_json.as_ref().map_or(0, String::len);
        size("bytes of result", result as u64, MAX_RESULT_BYTES as u64)?;
        size("letters", self.letters.len() as u64, MAX_LETTERS as u64)?;
        let most = spec.vertical.as_ref().map_or(0, |v| v.max_parcel_bytes());
        size("bytes of letters", self.body_bytes(), most)?;
        for (letter, head) in self.letters.iter().enumerate() {
            let ascending = head.to.windows(2).all(|pair| pair[0] < pair[1]);
            let others = head.to.iter().all(|to| *to < session.parties() && *to != sender);
            let keys = head.sealed_keys.len() == head.to.len()
                && head.sealed_keys.iter().all(|key| key.len() == SEALED_SECRET_BYTES);
            if head.to.is_empty() || !ascending || !others || !keys {
                return Err(Violation::LetterReceivers { party: party(), letter });
            }
        }
        Ok(())
    }
}

fn announced(a: &Announcement) -> usize {
    a.phase.len() + a.body_json.len()
}

impl Verified<ParcelHead> {
    /// Checks what a sender signed. The bodies are checked against their digests where they are.
    ///
    /// # Errors
    /// The sender is at fault, whoever passed the head on: [`Violation::relayed`] where the coordinator did.
    pub fn parcel(head: ParcelHead, expected: &Expected<'_>) -> Result<Self, Violation> {
        let Expected { session, spec, round, previous, journal } = *expected;
        let index = session.index_of(&head.party)?;
        let party = || head.party.clone();
        if head.job != session.roster().job {
            return Err(Violation::OtherJob { message: "parcel" });
        }
        if head.session != session.digest() || head.round != round || head.previous != *previous {
            return Err(Violation::OtherExchange { party: party(), round });
        }
        head.check_form(index, session, spec)?;
        if head.journal != *journal {
            return Err(Violation::PinnedJournal { party: party() });
        }
        session
            .key_of(index)
            .verify(&head.digest(), &head.signature)
            .map_err(|_| Violation::Signature { party: party(), message: "parcel" })?;
        Ok(Verified::after_checks(head))
    }
}

/// Checks the parcels of a closed exchange, as the coordinator shows them: one of each party, in the roster's order, every
/// one as [`Verified::parcel`] asks; `transcript` is what they come to, and `own` is among them word for word.
///
/// # Errors
/// The coordinator is at fault: it has verified all of them, and signed heads cannot be exchanged.
pub fn check_closed(
    heads: Vec<ParcelHead>,
    transcript: &Digest,
    own: &ParcelHead,
    expected: &Expected<'_>,
) -> Result<Vec<Verified<ParcelHead>>, Violation> {
    let (round, session) = (expected.round, expected.session);
    let wrong = || Violation::ClosedExchange { round };
    let parties = session.roster().entries.iter().map(|e| &e.party);
    if !heads.iter().map(|h| &h.party).eq(parties) || exchange_transcript(expected.previous, &heads) != *transcript {
        return Err(wrong());
    }
    if !heads.contains(own) {
        return Err(Violation::OwnParcel { party: own.party.clone(), round });
    }
    // The one thing that a sender may have seen otherwise although everybody is honest but the coordinator.
    for head in &heads {
        crate::checkpoint::same_head(&head.party, &head.journal, expected.journal)?;
    }
    let check = |head| Verified::parcel(head, expected).map_err(|v| v.relayed("parcel"));
    heads.into_iter().map(check).collect()
}

/// What a job comes to whose last exchange these are: the result, or in words why there is none. `None` if nobody is done.
pub fn completed(heads: &[ParcelHead], spec: &JobSpec) -> Option<Result<String, String>> {
    let of = |keep: &dyn Fn(&&ParcelHead) -> bool| -> Vec<&str> {
        heads.iter().filter(keep).map(|h| h.party.as_str()).collect()
    };
    let (done, open) = (of(&|h| h.announcement.done), of(&|h| !h.announcement.done));
    let early = of(&|h| h.announcement.result_json.is_some() && !h.announcement.done);
    let round = heads.first().map_or(0, |h| h.round);
    if done.is_empty() && early.is_empty() {
        return None;
    }
    let restart = "compare the versions of their programs, and submit the job again";
    if !open.is_empty() {
        let ended = if done.is_empty() { early } else { done };
        let (ended, open) = (ended.join(", "), open.join(", "));
        return Some(Err(format!("in exchange {round}, {ended} had come to the end and {open} had not; {restart}")));
    }
    let holder = spec.vertical.as_ref().map_or("", |v| v.label_holder.as_str());
    let with = of(&|h| h.announcement.result_json.is_some());
    let result = heads.iter().find(|h| h.party.as_str() == holder).and_then(|h| h.announcement.result_json.clone());
    Some(match result {
        Some(result) if with.len() == 1 => Ok(result),
        Some(_) => {
            let others: Vec<&str> = with.into_iter().filter(|p| *p != holder).collect();
            Err(format!("{} published a result, which is for {holder} alone; {restart}", others.join(", ")))
        }
        None => {
            Err(format!("{holder}, the label holder, was done in exchange {round} and published no result; {restart}"))
        }
    })
}
