//! Private set intersection: parties find the firms that all of them know, and no others.
//!
//! N parties stand in a ring, each with a set of keys and a secret exponent. Every set passes through every party, which
//! raises its points of ristretto255 and shuffles them; its owner does so first. Exponents commute, so that a key that has
//! passed through all parties is the same point in every set, and nobody knows any more where it came from. One of the
//! parties, the comparator, gets the last points of all sets, finds those that all sets have, and sends their places back
//! the way that each set came. (Two parties: Huberman, Franklin and Hogg, Enhancing privacy and trust in electronic
//! communities, 1999; the decisional Diffie-Hellman assumption in the random oracle model, semi-honest parties.)
//!
//! * [`Secret`]: the seed of a party, from which all its randomness comes, and [`InputCommitment`], what it signs before any
//!   key is used;
//! * [`Ring`]: who does what in which exchange;
//! * [`Alignment`]: the steps of a party, each a pure function ([`Alignment::first_hop`], [`Alignment::hop`],
//!   [`Alignment::compare`], [`Alignment::unshuffle`]);
//! * [`Aligner`]: the same behind one trait, so that another protocol (such as that of Raghuraman and Rindal, CCS 2022, on
//!   vector oblivious linear evaluation) can take its place;
//! * [`group`]: the arithmetic.
//!
//! ```
//! use haihe_privacy::{Digest, align::*};
//! # use std::num::NonZeroUsize;
//! let keys = [["a", "b", "c"].map(String::from), ["c", "d", "a"].map(String::from)];
//! let terms = Terms { session: Digest::from_bytes([1; 32]), ring: Ring::new(2, 0)?, minimum: 1, maximum: 100 };
//! let party = |me| Alignment::new(terms, vec![3, 3], Secret::new(terms.session, me, [me as u8; 32]), NonZeroUsize::MIN);
//! let parties = [party(0)?, party(1)?];
//! let (mut letters, mut rows) = (Vec::new(), Vec::new());
//! for number in 1..=terms.ring.exchanges() + 1 {
//!     let mut sent = Vec::new();
//!     for (me, party) in (0..).zip(&parties) {
//!         let inbox: Vec<Letter> = letters.iter().filter(|letter: &&Letter| letter.to == me).cloned().collect();
//!         match party.step(number, &keys[me as usize], &inbox, &mut |_, _| {})? {
//!             Outcome::Send(more) => sent.extend(more),
//!             Outcome::Rows(mine) => rows.push(mine),
//!         }
//!     }
//!     letters = sent;
//! }
//! // The same firms in the same order.
//! assert_eq!(rows[0].len(), 2);
//! assert!(rows[0].iter().zip(&rows[1]).all(|(a, b)| keys[0][*a as usize] == keys[1][*b as usize]));
//! # Ok::<(), AlignError>(())
//! ```
//!
//! # Who learns what
//!
//! Parties that follow the protocol:
//!
//! * **Everybody** learns the size of every set, how many keys are common to all, and which of its own keys these are.
//! * **The comparator**, the label holder, also learns how large the intersection of every selection of sets is (how many
//!   tags are in the sets 1 and 3 and no other), but not of which keys, not even for its own set.
//! * **A party that is not the comparator** learns nothing about keys that are not common to all: the points of different
//!   sets meet it under different products of exponents, so that equal keys do not look equal.
//! * If the common keys are fewer than the minimum, all learn that and nobody but the comparator how many they are.
//!
//! Parties that collude pool what they learn. A comparator that colludes with others learns no more about the keys of an
//! honest party than the sizes above, as long as one honest party shuffles: every set passes through every party. With a
//! single honest party these are its intersections with sets that the others chose, which is why sizes are capped, sets are
//! committed to before any key is used, and rows are only released above a minimum.
//!
//! A party that breaks the protocol (a whole registry as its set, replaced points, false positions) can learn which of the
//! keys that it entered are common, spoil the result, or make parties use rows that do not belong together. What can be
//! seen is refused, with the name of the sender: wrong sizes, bytes that are no point, the identity, points and positions
//! that are there twice. The rest is for the audit: seed and keys of a party give every letter again.
//!
//! # Cost
//!
//! For each key of each set: N exponentiations, one at each party; 32 bytes sent at each of N - 1 hops, 12 or 16 bytes to
//! the comparator; and N times four bytes back for each common key. Memory at a hop, for each key of the set that is held:
//! 32 bytes for the letter that came, 32 for the letter that goes, 4 for the shuffle; at the comparator 12 or 16 for each
//! key of every set and 40 for each key of the largest.

mod aligner;
mod alignment;
mod commitment;
mod compare;
mod error;
pub mod group;
mod permutation;
mod ring;
mod secret;

pub use aligner::{Aligner, Letter, Outcome};
pub use alignment::{Alignment, Progress, Terms, position_bytes, tag_bytes};
pub use commitment::{CommitmentError, InputCommitment, KeyOpening};
pub use compare::Common;
pub use error::AlignError;
pub use group::BadPoint;
pub use ring::{MAX_PARTIES, Ring, Step};
pub use secret::Secret;

#[cfg(test)]
mod tests;
