//! The two roles of a secure sum, as traits.
//!
//! [`lattice::Lattice`](super::lattice::Lattice) is the real scheme; [`plain::NoSecurity`](super::plain::NoSecurity)
//! does the same bookkeeping without hiding anything, so that protocol tests run fast and dishonest parties are easy to
//! write. Both roles work chunk by chunk: neither holds a contribution in memory.

use super::committee::CommitteeRule;
use super::parameters::SumParameters;
use super::shamir::ReconstructError;
use super::shares::{KeyShare, ShareSum};
use crate::digest::Digest;
use crate::wire::WireError;

/// What makes the public polynomials of a round its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumContext {
    /// The digest that all parties signed: roster, parameters, rule.
    pub session: Digest,
    /// The round; never repeated within a session.
    pub round: u64,
}

/// A way of summing vectors.
pub trait Scheme: Send + Sync {
    /// The scheme's name, for logs and records.
    fn name(&self) -> &'static str;

    /// A participant's side of one round. `seed` must be fresh for every attempt: two different vectors encrypted under
    /// one seed, session and round give away their difference.
    fn contributor(&self, parameters: &SumParameters, context: &SumContext, seed: [u8; 32]) -> Box<dyn Contributor>;

    /// The coordinator's side of one round.
    fn adder(&self, parameters: &SumParameters, context: &SumContext) -> Box<dyn Adder>;
}

/// Encrypts one vector, chunk after chunk, under a key that is used once.
pub trait Contributor: Send {
    /// Appends exactly [`SumParameters::chunk_bytes`] bytes to `out`. `values` are those of
    /// [`SumParameters::chunk_values`]. Chunks are encrypted in order, each once; after an error nothing is appended.
    fn encrypt_chunk(&mut self, index: usize, values: &[u32], out: &mut Vec<u8>) -> Result<(), EncryptError>;

    /// Splits the key among the committee: one share for each member, by position. The key is gone afterwards.
    fn into_key_shares(self: Box<Self>, rule: &CommitteeRule) -> Vec<KeyShare>;
}

/// Adds contributions as they stream in, and opens their sum.
pub trait Adder: Send {
    /// Adds one chunk of the contribution that is being read. After an error nothing of the chunk has been added.
    fn add_chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), AddError>;

    /// Ends a contribution of which every chunk has been added.
    fn finish_contribution(&mut self) -> Result<(), AddError>;

    /// Opens the sum from the committee's answers, each with its member's position. `contributors` is how many
    /// contributions the answers are for, and must be how many have been added.
    fn open(
        self: Box<Self>,
        rule: &CommitteeRule,
        answers: &[(u32, ShareSum)],
        contributors: u32,
    ) -> Result<Opened, OpenError>;
}

/// An opened sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The sums of the contributed values, as many as the vector's dimension.
    pub sum: Vec<u64>,
    /// The positions of the members whose answers were wrong, in increasing order.
    pub wrong_answers: Vec<u32>,
}

/// A chunk could not be encrypted: a mistake of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// Chunks are encrypted in order, each once.
    #[error("chunk {found} was given to be encrypted, chunk {expected} of {chunks} comes next")]
    OutOfOrder {
        /// The chunk that comes next.
        expected: usize,
        /// The chunk that was given.
        found: usize,
        /// How many chunks there are.
        chunks: usize,
    },
    /// The chunk has a fixed number of values.
    #[error("chunk {index} takes {expected} values, {found} were given")]
    Length {
        /// The chunk.
        index: usize,
        /// How many values it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// The value does not fit into its bits.
    #[error("value {value} at index {index} of the vector exceeds the largest that may be contributed, {largest}")]
    ValueTooLarge {
        /// Where the value stands in the vector.
        index: usize,
        /// The value.
        value: u32,
        /// The largest possible.
        largest: u32,
    },
}

/// A chunk could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The bytes are not a chunk: the contributor's fault.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Chunks are added in order, each once.
    #[error("chunk {found} was given to be added, chunk {expected} of {chunks} comes next")]
    OutOfOrder {
        /// The chunk that comes next.
        expected: usize,
        /// The chunk that was given, or how many chunks there are if the contribution was to be ended.
        found: usize,
        /// How many chunks there are.
        chunks: usize,
    },
    /// The sum is exact for a fixed number of contributions.
    #[error("the sum takes {n_max} contributions and has them")]
    Full {
        /// How many contributions the sum takes.
        n_max: u32,
    },
}

/// A sum could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The answers are for another number of contributions than were added.
    #[error("the answers are for {answered} contributions, {added} were added")]
    Contributors {
        /// How many the answers are for.
        answered: u32,
        /// How many were added.
        added: u32,
    },
    /// A contribution was begun and not ended.
    #[error("a contribution of {chunks} chunks was left after chunk {added}")]
    Unfinished {
        /// How many of its chunks were added.
        added: usize,
        /// How many chunks there are.
        chunks: usize,
    },
    /// The answers do not determine the key sum.
    #[error(transparent)]
    Answers(#[from] ReconstructError),
    /// The key sum has a coefficient that no sum of honest keys has.
    #[error("the key sum has the coefficient {value} at {index}; of {contributors} keys it is at most {largest}")]
    KeyOutOfRange {
        /// Which coefficient.
        index: usize,
        /// Its value.
        value: i64,
        /// The largest possible.
        largest: i64,
        /// How many keys were summed.
        contributors: u32,
    },
    /// The opened polynomial has more noise than honest contributions leave.
    #[error("coefficient {coefficient} of chunk {chunk} carries more noise than honest contributions leave")]
    NoiseOutOfRange {
        /// The chunk.
        chunk: usize,
        /// The coefficient.
        coefficient: usize,
    },
    /// A slot holds more than so many honest values give.
    #[error("the sum at index {index} is {value}, the largest possible is {largest}")]
    SlotOutOfRange {
        /// Where in the vector.
        index: usize,
        /// The sum.
        value: u64,
        /// The largest possible.
        largest: u64,
    },
}
