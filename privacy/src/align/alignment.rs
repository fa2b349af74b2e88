//! The hops of one party: shuffle, raise, pass on; and the way back.

use super::BadPoint;
use super::error::AlignError;
use super::group::{Exponent, POINT_BYTES, hash_and_raise, raise};
use super::permutation::repeated;
use super::ring::Ring;
use super::secret::Secret;
use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;

/// Elements that are raised before progress is reported.
const BLOCK: usize = 16_384;

/// What all parties of an alignment agreed on before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The alignment's name, different for each one: the hash to the group depends on it.
    pub session: Digest,
    /// Who takes part, and who compares.
    pub ring: Ring,
    /// The smallest intersection that is made known; at least 1. Also the smallest set.
    pub minimum: u32,
    /// The largest set.
    pub maximum: u32,
}

/// One party's side of an alignment, once all sizes have been announced.
///
/// Every function is pure: it depends on the terms, the sizes, the secret and its arguments alone, and may be called again.
/// The number of threads never changes a result.
#[derive(Debug)]
pub struct Alignment {
    pub(super) terms: Terms,
    pub(super) sizes: Vec<u32>,
    pub(super) secret: Secret,
    exponent: Exponent,
    threads: NonZeroUsize,
}

/// Called between blocks with how many elements are done and how many there are.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Alignment {
    /// Our side of an alignment of sets of the announced sizes, in the order of the ring.
    ///
    /// # Errors
    /// [`AlignError::AnnouncedSize`] names the first party whose set is not within the terms.
    pub fn new(terms: Terms, sizes: Vec<u32>, secret: Secret, threads: NonZeroUsize) -> Result<Self, AlignError> {
        let parties = terms.ring.parties();
        if sizes.len() != parties as usize {
            return Err(AlignError::Sizes { parties, found: sizes.len() });
        }
        if secret.me() >= parties {
            return Err(AlignError::NoSuchParty { parties, found: secret.me() });
        }
        let (minimum, maximum) = (terms.minimum.max(1), terms.maximum);
        for (party, &found) in (0..).zip(&sizes) {
            if !(minimum..=maximum).contains(&found) {
                return Err(AlignError::AnnouncedSize { party, found, minimum, maximum });
            }
        }
        let exponent = secret.exponent();
        Ok(Self { terms: Terms { minimum, ..terms }, sizes, secret, exponent, threads })
    }

    /// Who does what when.
    pub fn ring(&self) -> Ring {
        self.terms.ring
    }

    /// Our place in the ring.
    pub fn me(&self) -> u32 {
        self.secret.me()
    }

    /// Bytes of a tag: see [`tag_bytes`].
    pub fn tag_bytes(&self) -> usize {
        tag_bytes(&self.sizes)
    }

    /// Hop 0 of our own set: shuffles the keys, hashes and raises them. The letter to the next party: one point of 32 bytes
    /// for each key. 36 bytes a key are allocated.
    ///
    /// # Errors
    /// [`AlignError::OwnSize`], [`AlignError::OwnDuplicate`].
    pub fn first_hop(&self, keys: &[String], progress: Progress<'_>) -> Result<Vec<u8>, AlignError> {
        let size = self.sizes[self.me() as usize];
        if keys.len() != size as usize {
            return Err(AlignError::OwnSize { announced: size, found: keys.len() });
        }
        let order = self.secret.permutation(self.me(), size);
        let mut letter = Vec::with_capacity(keys.len() * POINT_BYTES);
        let (mut items, mut points) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        for block in order.sources().chunks(BLOCK) {
            items.clear();
            items.extend(block.iter().map(|row| keys[*row as usize].as_str()));
            hash_and_raise(&self.terms.session, &items, &self.exponent, self.threads, &mut points);
            letter.extend_from_slice(points.as_flattened());
            progress((letter.len() / POINT_BYTES) as u64, size.into());
        }
        if let Some((_, second)) = repeated(letter.as_chunks().0) {
            return Err(AlignError::OwnDuplicate { row: order.sources()[second as usize] + 1 });
        }
        Ok(letter)
    }

    /// Our hop of another party's set: raises and shuffles the points of `bytes`. The letter to the next party, 32 bytes a
    /// point; or, if ours is the last hop of this set, to the comparator, [`Self::tag_bytes`] a point. 36 bytes a point
    /// are allocated beside the letter that came.
    ///
    /// # Errors
    /// The letter is refused, with the name of who sent it, unless it has exactly the announced size and every point is
    /// canonical, not the identity, and there once. [`AlignError::NotOurStep`] for our own set.
    pub fn hop(&self, owner: u32, bytes: &[u8], progress: Progress<'_>) -> Result<Vec<u8>, AlignError> {
        let (hop, size) = self.hop_of(owner)?;
        if hop == 0 {
            return Err(AlignError::NotOurStep { me: self.me(), owner });
        }
        let ring = self.terms.ring;
        let from = ring.previous(self.me());
        let (points, expected) = (bytes.as_chunks::<POINT_BYTES>().0, u64::from(size) * POINT_BYTES as u64);
        if bytes.len() as u64 != expected {
            return Err(AlignError::Length { from, owner, expected, found: bytes.len() });
        }
        if let Some((first, second)) = repeated(points) {
            return Err(AlignError::Repeated { from, owner, first, second });
        }
        let width = if hop + 1 == ring.parties() { self.tag_bytes() } else { POINT_BYTES };
        let order = self.secret.permutation(owner, size);
        let mut letter = Vec::with_capacity(points.len() * width);
        let mut raised = Vec::with_capacity(BLOCK);
        for block in order.sources().chunks(BLOCK) {
            raised.clear();
            raised.extend(block.iter().map(|at| points[*at as usize]));
            let result = raise(&mut raised, &self.exponent, self.threads);
            result.map_err(|problem| AlignError::Point { from, owner, problem: received_at(problem, block) })?;
            if width == POINT_BYTES {
                letter.extend_from_slice(raised.as_flattened());
            } else {
                raised.iter().for_each(|point| letter.extend_from_slice(tag(point, width)));
            }
            progress((letter.len() / width) as u64, size.into());
        }
        Ok(letter)
    }

    /// Undoes our shuffle of a set: positions in the list that we sent become positions in the list that we received. For
    /// our own set these are rows of our own keys, from 0, and the way ends. The order of the list stays: it is the common
    /// order of all parties.
    ///
    /// # Errors
    /// The list is refused, with the name of who sent it, unless its length is possible, and every position is in the set
    /// and there once.
    pub fn unshuffle(&self, owner: u32, bytes: &[u8]) -> Result<Vec<u32>, AlignError> {
        let (hop, size) = self.hop_of(owner)?;
        let from = self.terms.ring.back_from(hop, self.me());
        let positions = bytes.as_chunks::<4>().0;
        let (minimum, maximum) = (self.terms.minimum, self.sizes.iter().copied().min().unwrap_or(0));
        if !bytes.len().is_multiple_of(4) || !(minimum as usize..=maximum as usize).contains(&positions.len()) {
            return Err(AlignError::PositionBytes { from, owner, found: bytes.len(), minimum, maximum });
        }
        let order = self.secret.permutation(owner, size);
        let mut seen = vec![0u64; (size as usize).div_ceil(64)];
        let mut result = Vec::with_capacity(positions.len());
        for position in positions.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
            let Some(source) = order.sources().get(position as usize) else {
                return Err(AlignError::PositionRange { from, owner, position, size });
            };
            let (word, bit) = (&mut seen[position as usize / 64], 1 << (position % 64));
            if *word & bit != 0 {
                return Err(AlignError::PositionRepeated { from, owner, position });
            }
            *word |= bit;
            result.push(*source);
        }
        Ok(result)
    }

    /// Which hop of a set is ours, and the set's size.
    fn hop_of(&self, owner: u32) -> Result<(u32, u32), AlignError> {
        let parties = self.terms.ring.parties();
        let size = self.sizes.get(owner as usize).ok_or(AlignError::NoSuchParty { parties, found: owner })?;
        Ok((self.terms.ring.hop_of(owner, self.me()), *size))
    }
}

/// Positions as they are sent: four bytes each, little endian.
pub fn position_bytes(positions: &[u32]) -> Vec<u8> {
    positions.iter().flat_map(|position| position.to_le_bytes()).collect()
}

/// How many bytes of a point are compared: 12 or 16, so that two different keys among all sets have one tag with
/// probability at most 2^-40.
///
/// Of `n` keys in all sets together there are fewer than `n^2 / 2` pairs, and two different points agree in `8 b` bits with
/// probability `2^(-8 b)`: `n^2 / 2 <= 2^(8 b - 40)`. 12 bytes do up to `n = 2^28.5` (380 million), 16 for everything.
pub fn tag_bytes(sizes: &[u32]) -> usize {
    let total: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
    if total * total <= 1 << (8 * 12 - 39) { 12 } else { 16 }
}

/// The tag of a point: its bytes from the second on. The lowest bit of the first one is zero in every encoding (RFC 9496,
/// section 4.3.2: the field element is not negative).
fn tag(point: &[u8; POINT_BYTES], width: usize) -> &[u8] {
    &point[1..=width]
}

/// The problem with its place in the letter, not in the shuffled block.
fn received_at(problem: BadPoint, block: &[u32]) -> BadPoint {
    match problem {
        BadPoint::Encoding { index } => BadPoint::Encoding { index: block[index] as usize },
        BadPoint::Identity { index } => BadPoint::Identity { index: block[index] as usize },
    }
}
