//! The seam: rounds of letters, whatever protocol makes them.

use super::alignment::{Alignment, Progress, position_bytes};
use super::error::AlignError;
use super::ring::Step;
use std::fmt;

/// What one party says to one other in one exchange. It must reach the other unaltered and unread: sealed and signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who says it.
    pub from: u32,
    /// To whom; may be the same, and is then kept until the next step.
    pub to: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// What a step gives.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The letters of this exchange: to each party at most one, maybe none at all.
    Send(Vec<Letter>),
    /// The end: our rows of the common keys, from 0, in the common order. The n-th row here and the n-th row of every other
    /// party belong to one firm.
    Rows(Vec<u32>),
}

/// A protocol by which parties find the keys that all of them have, seen from one party.
///
/// A step is a pure function of this value, the keys and the letters of the exchange before: taken again after a crash, it
/// gives the same letters. The caller moves letters and waits until all of an exchange are there; the first exchange is
/// number 1, its inbox is empty. A protocol that needs more than a seed between its steps can send a letter to itself.
pub trait Aligner {
    /// In how many exchanges letters are sent. The step after the last one gives [`Outcome::Rows`], and no earlier one
    /// does.
    fn exchanges(&self) -> u32;

    /// Makes the letters of exchange `number` from those of exchange `number - 1` to us, in any order. An error ends the
    /// alignment for everybody; its `culprit` is to be named.
    fn step(
        &self,
        number: u32,
        keys: &[String],
        inbox: &[Letter],
        progress: Progress<'_>,
    ) -> Result<Outcome, AlignError>;
}

impl Aligner for Alignment {
    fn exchanges(&self) -> u32 {
        self.ring().exchanges()
    }

    fn step(
        &self,
        number: u32,
        keys: &[String],
        inbox: &[Letter],
        progress: Progress<'_>,
    ) -> Result<Outcome, AlignError> {
        let me = self.me();
        let send = |to, bytes| Ok(Outcome::Send(vec![Letter { from: me, to, bytes }]));
        match self.ring().step(number, me)? {
            Step::FirstHop { to } => {
                letters(inbox, &[])?;
                send(to, self.first_hop(keys, progress)?)
            }
            Step::Hop { owner, from, to } => send(to, self.hop(owner, letters(inbox, &[from])?[0], progress)?),
            Step::Compare => {
                let hoppers: Vec<u32> =
                    (0..self.ring().parties()).map(|owner| self.ring().last_hopper(owner)).collect();
                let common = self.compare(&letters(inbox, &hoppers)?)?;
                let letter = |(to, bytes)| Letter { from: me, to, bytes };
                Ok(Outcome::Send(hoppers.into_iter().zip(common.positions).map(letter).collect()))
            }
            Step::Wait => letters(inbox, &[]).map(|_| Outcome::Send(Vec::new())),
            Step::Unshuffle { owner, from, to } => {
                send(to, position_bytes(&self.unshuffle(owner, letters(inbox, &[from])?[0])?))
            }
            Step::Finish { from } => Ok(Outcome::Rows(self.unshuffle(me, letters(inbox, &[from])?[0])?)),
        }
    }
}

/// The one letter from each of these parties; no other may be there.
fn letters<'a>(inbox: &'a [Letter], from: &[u32]) -> Result<Vec<&'a [u8]>, AlignError> {
    for (i, letter) in inbox.iter().enumerate() {
        if !from.contains(&letter.from) || inbox[..i].iter().any(|earlier| earlier.from == letter.from) {
            return Err(AlignError::LetterUnexpected { from: letter.from });
        }
    }
    let find = |from: &u32| inbox.iter().find(|letter| letter.from == *from).map(|letter| letter.bytes.as_slice());
    from.iter().map(|from| find(from).ok_or(AlignError::LetterMissing { from: *from })).collect()
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({} to {}, {} bytes)", self.from, self.to, self.bytes.len())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(letters) => f.debug_tuple("Send").field(letters).finish(),
            Self::Rows(rows) => write!(f, "Rows({})", rows.len()),
        }
    }
}
