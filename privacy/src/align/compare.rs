//! The comparator's step: which tags do all sets have?

use super::alignment::{Alignment, position_bytes};
use super::error::AlignError;
use super::permutation::shuffle;
use std::fmt;

/// The keys that all sets have, known by their places only.
#[derive(Clone, PartialEq, Eq)]
pub struct Common {
    /// How many there are: at least the minimum.
    pub count: u32,
    /// For each owner, the positions of the common keys in its set as it came from the last hop, in one order for all
    /// owners; four bytes each, little endian. The list for owner `i` goes to [`super::Ring::last_hopper`] of `i`.
    pub positions: Vec<Vec<u8>>,
}

/// A tag and its place in its set. Tags of 12 bytes end with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tagged {
    tag: [u8; 16],
    at: u32,
}

/// A tag that all sets so far have, and its place in each.
struct Candidate {
    tag: [u8; 16],
    index: u32,
}

impl Alignment {
    /// Finds what all sets have in common; `tags[i]` is the set of party `i` after its last hop. The common keys are
    /// numbered in an order that comes from our seed.
    ///
    /// 40 bytes for each key of the largest set are allocated, and four for each common key and party.
    ///
    /// # Errors
    /// A set that has not exactly the announced size, or one tag twice: the party that did the set's last hop is named.
    /// [`AlignError::BelowMinimum`], which says nothing about the true number but whose sets are too far from the
    /// comparator's.
    pub fn compare(&self, tags: &[&[u8]]) -> Result<Common, AlignError> {
        let ring = self.terms.ring;
        if self.me() != ring.comparator() {
            return Err(AlignError::NotOurStep { me: self.me(), owner: self.me() });
        }
        if tags.len() != self.sizes.len() {
            return Err(AlignError::Sizes { parties: ring.parties(), found: tags.len() });
        }
        // The smallest set first, so that few candidates are carried along.
        let mut owners: Vec<u32> = (0..ring.parties()).collect();
        owners.sort_by_key(|owner| self.sizes[*owner as usize]);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); tags.len()];
        for (i, &owner) in owners.iter().enumerate() {
            let set = self.sorted(owner, tags[owner as usize])?;
            if i == 0 {
                candidates = set.iter().zip(0..).map(|(tagged, index)| Candidate { tag: tagged.tag, index }).collect();
                places[owner as usize] = set.iter().map(|tagged| tagged.at).collect();
            } else {
                places[owner as usize] = keep(&mut candidates, &set);
                for &earlier in &owners[..i] {
                    let place = &mut places[earlier as usize];
                    *place = candidates.iter().map(|candidate| place[candidate.index as usize]).collect();
                }
                (0..).zip(&mut candidates).for_each(|(index, candidate)| candidate.index = index);
            }
        }
        let count = candidates.len() as u32;
        if count < self.terms.minimum {
            return Err(AlignError::BelowMinimum { minimum: self.terms.minimum, apart: self.apart(tags)? });
        }
        Ok(self.numbered(count, &places))
    }

    /// The parties whose sets have fewer keys in common with the comparator's than all should have, one bit each.
    fn apart(&self, tags: &[&[u8]]) -> Result<u32, AlignError> {
        let own = self.sorted(self.me(), tags[self.me() as usize])?;
        (0..self.terms.ring.parties()).filter(|owner| *owner != self.me()).try_fold(0, |apart, owner| {
            let mut candidates = own.iter().map(|tagged| Candidate { tag: tagged.tag, index: 0 }).collect();
            let common = keep(&mut candidates, &self.sorted(owner, tags[owner as usize])?).len();
            Ok(apart | u32::from((common as u64) < u64::from(self.terms.minimum)) << owner)
        })
    }

    /// Draws the common order.
    fn numbered(&self, count: u32, places: &[Vec<u32>]) -> Common {
        let mut order: Vec<u32> = (0..count).collect();
        shuffle(&mut order, self.secret.order());
        let list =
            |places: &Vec<u32>| position_bytes(&order.iter().map(|index| places[*index as usize]).collect::<Vec<_>>());
        Common { count, positions: places.iter().map(list).collect() }
    }

    /// The tags of a set in order, each there once.
    fn sorted(&self, owner: u32, bytes: &[u8]) -> Result<Vec<Tagged>, AlignError> {
        let (width, size) = (self.tag_bytes(), self.sizes[owner as usize]);
        let from = self.terms.ring.last_hopper(owner);
        let expected = u64::from(size) * width as u64;
        if bytes.len() as u64 != expected {
            return Err(AlignError::Length { from, owner, expected, found: bytes.len() });
        }
        let tagged = |(bytes, at): (&[u8], u32)| {
            let mut tag = [0; 16];
            tag[..width].copy_from_slice(bytes);
            Tagged { tag, at }
        };
        let mut set: Vec<Tagged> = bytes.chunks_exact(width).zip(0..).map(tagged).collect();
        set.sort_unstable();
        match set.windows(2).find(|two| two[0].tag == two[1].tag) {
            Some(two) => Err(AlignError::Repeated { from, owner, first: two[0].at, second: two[1].at }),
            None => Ok(set),
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Keeps the candidates that the set has too, and gives their places in it. Both are in the order of the tags.
fn keep(candidates: &mut Vec<Candidate>, set: &[Tagged]) -> Vec<u32> {
    let (mut places, mut rest) = (Vec::new(), set.iter().peekable());
    candidates.retain(|candidate| {
        while rest.next_if(|tagged| tagged.tag < candidate.tag).is_some() {}
        let found = rest.next_if(|tagged| tagged.tag == candidate.tag);
        places.extend(found.map(|tagged| tagged.at));
        found.is_some()
    });
    places
}
