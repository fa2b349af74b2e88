//! Who does what in which exchange: the order of the steps, as a table that every party computes for itself.

use super::error::AlignError;
use serde::{Deserialize, Serialize};

/// The most parties of an alignment.
pub const MAX_PARTIES: u32 = 32;

/// The parties in a ring, in the order of the roster and counted from 0, and who of them compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Ring {
    parties: u32,
    comparator: u32,
}

/// What a party does with the letters of the exchange before, and to whom the outcome goes. A letter may be to oneself:
/// the caller keeps it until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hop 0: shuffle, hash and raise the own keys.
    FirstHop {
        /// Who gets the points.
        to: u32,
    },
    /// Raise and shuffle another party's set.
    Hop {
        /// Whose set.
        owner: u32,
        /// Who sent the points.
        from: u32,
        /// Who gets the points; after the last hop the comparator, which gets tags.
        to: u32,
    },
    /// Compare the tags of all sets. The positions in the set of each owner go to [`Ring::last_hopper`].
    Compare,
    /// The comparator compares, all others do nothing and send nothing.
    Wait,
    /// Turn positions after one's own shuffle of the set into positions before it.
    Unshuffle {
        /// Whose set.
        owner: u32,
        /// Who sent the positions.
        from: u32,
        /// Who gets them.
        to: u32,
    },
    /// The same with the own set: the positions are now rows of the own keys. Nothing is sent.
    Finish {
        /// Who sent the positions.
        from: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    parties: u32,
    comparator: u32,
}

impl Ring {
    /// A ring of 2 to [`MAX_PARTIES`] parties.
    pub fn new(parties: u32, comparator: u32) -> Result<Self, AlignError> {
        if !(2..=MAX_PARTIES).contains(&parties) {
            return Err(AlignError::Parties { found: parties });
        }
        if comparator >= parties {
            return Err(AlignError::NoSuchParty { parties, found: comparator });
        }
        Ok(Self { parties, comparator })
    }

    /// How many parties there are.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// Who compares: the label holder.
    pub fn comparator(&self) -> u32 {
        self.comparator
    }

    /// In how many exchanges letters are sent: `2 N`. After the last one every party takes one more step, [`Step::Finish`].
    pub fn exchanges(&self) -> u32 {
        2 * self.parties
    }

    /// What party `me` does to make its letters of exchange `number`, from 1; `number` is at most one more than
    /// [`Self::exchanges`].
    ///
    /// | exchange | each party | sends |
    /// |---|---|---|
    /// | 1 | hop 0 of its own set | points, to the next party |
    /// | h + 1, for h = 1..N-1 | hop h of the set of the party h places before it | points, to the next party; tags (h = N-1), to the comparator |
    /// | N + 1 | the comparator compares | positions in each set, to the party that did the set's last hop |
    /// | 2N + 1 - h, for h = N-1..1 | undoes its shuffle of hop h | positions, to the party before it |
    /// | (2N + 1) | undoes its shuffle of hop 0 | nothing |
    pub fn step(&self, number: u32, me: u32) -> Result<Step, AlignError> {
        let n = self.parties;
        if me >= n {
            return Err(AlignError::NoSuchParty { parties: n, found: me });
        }
        Ok(match number {
            1 => Step::FirstHop { to: self.next(me) },
            _ if (2..=n).contains(&number) => {
                let owner = self.owner_at(number - 1, me);
                let to = if number == n { self.comparator } else { self.next(me) };
                Step::Hop { owner, from: self.previous(me), to }
            }
            _ if number == n + 1 && me == self.comparator => Step::Compare,
            _ if number == n + 1 => Step::Wait,
            _ if (n + 2..=2 * n).contains(&number) => {
                let hop = 2 * n + 1 - number;
                Step::Unshuffle { owner: self.owner_at(hop, me), from: self.back_from(hop, me), to: self.previous(me) }
            }
            _ if number == 2 * n + 1 => Step::Finish { from: self.back_from(0, me) },
            _ => return Err(AlignError::NoSuchStep { number, last: 2 * n + 1 }),
        })
    }

    /// Whose set party `me` has at hop `hop`, from 0: the party that is so many places before it.
    pub fn owner_at(&self, hop: u32, me: u32) -> u32 {
        (me + self.parties - hop % self.parties) % self.parties
    }

    /// Which hop of the set of `owner` party `me` does, from 0.
    pub fn hop_of(&self, owner: u32, me: u32) -> u32 {
        (me + self.parties - owner) % self.parties
    }

    /// Who does the last hop of the set of `owner`: the party before it.
    pub fn last_hopper(&self, owner: u32) -> u32 {
        self.previous(owner)
    }

    /// From whom party `me` gets positions in the set that it had at hop `hop`.
    pub(super) fn back_from(&self, hop: u32, me: u32) -> u32 {
        if hop + 1 == self.parties { self.comparator } else { self.next(me) }
    }

    pub(super) fn next(&self, me: u32) -> u32 {
        (me + 1) % self.parties
    }

    pub(super) fn previous(&self, me: u32) -> u32 {
        (me + self.parties - 1) % self.parties
    }
}

impl TryFrom<Raw> for Ring {
    type Error = AlignError;

    fn try_from(raw: Raw) -> Result<Self, AlignError> {
        Self::new(raw.parties, raw.comparator)
    }
}

impl From<Ring> for Raw {
    fn from(ring: Ring) -> Self {
        Self { parties: ring.parties, comparator: ring.comparator }
    }
}
