//! What can go wrong in an alignment, and whose fault it is. Parties are numbers, their places in the ring.

use super::group::BadPoint;
use super::ring::MAX_PARTIES;

/// Why a step could not be taken. [`AlignError::culprit`] says whether a peer is to blame.
///
/// None shows a key, a row other than our own, or the size of an intersection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlignError {
    /// The job has too few or too many parties.
    #[error("an alignment has 2 to {MAX_PARTIES} parties, not {found}: correct the job")]
    Parties {
        /// How many it has.
        found: u32,
    },
    /// A party is named that is not in the ring. The caller's mistake.
    #[error("there is no party {found} among {parties}, which are counted from 0")]
    NoSuchParty {
        /// How many there are.
        parties: u32,
        /// Which was named.
        found: u32,
    },
    /// There is no such step. The caller's mistake.
    #[error("there is no step {number}: they are counted from 1 to {last}")]
    NoSuchStep {
        /// Which was asked for.
        number: u32,
        /// The last one.
        last: u32,
    },
    /// The step is not ours to take. The caller's mistake.
    #[error("party {me} does not take this step with the set of party {owner}")]
    NotOurStep {
        /// Who we are.
        me: u32,
        /// Whose set was given.
        owner: u32,
    },
    /// There is not one size for each party. The caller's mistake.
    #[error("{found} announced sizes were given, there are {parties} parties")]
    Sizes {
        /// How many parties there are.
        parties: u32,
        /// How many sizes were given.
        found: usize,
    },
    /// An announced set is smaller than the smallest intersection, or larger than the job allows.
    #[error("party {party} announced {found} keys; this job takes {minimum} to {maximum}")]
    AnnouncedSize {
        /// Who announced it.
        party: u32,
        /// The announced size.
        found: u32,
        /// The smallest allowed: the smallest intersection of the job.
        minimum: u32,
        /// The largest allowed.
        maximum: u32,
    },
    /// Our own keys are not as many as we announced. Our own fault: the source has changed since.
    #[error("{announced} keys were announced, now there are {found}: freeze the source for the length of a job")]
    OwnSize {
        /// What was announced.
        announced: u32,
        /// How many there are.
        found: usize,
    },
    /// One of our own keys occurs twice. Our own fault.
    #[error("the key of row {row} is the key of another row: keep one row per firm")]
    OwnDuplicate {
        /// The row, from 1.
        row: u32,
    },
    /// One of our own keys is not among those that were committed to. The caller's mistake.
    #[error("the key is not among the given keys")]
    NoSuchKey,
    /// A letter that belongs to the step is missing. The caller's mistake, which waits for all letters.
    #[error("the letter of party {from} is missing")]
    LetterMissing {
        /// Who should have sent it.
        from: u32,
    },
    /// A letter came that does not belong to the step.
    #[error("party {from} sent a letter that does not belong to this step")]
    LetterUnexpected {
        /// Who sent it.
        from: u32,
    },
    /// A set has another size than its owner announced.
    #[error("party {from} sent {found} bytes for the set of party {owner}, whose announced size needs {expected}")]
    Length {
        /// Who sent them.
        from: u32,
        /// Whose set it is.
        owner: u32,
        /// How many bytes are needed.
        expected: u64,
        /// How many came.
        found: usize,
    },
    /// A set has something in it that is no point, or is the identity.
    #[error("party {from} sent something that is no point for the set of party {owner}: {problem}")]
    Point {
        /// Who sent it.
        from: u32,
        /// Whose set it is.
        owner: u32,
        /// What and where.
        problem: BadPoint,
    },
    /// A set has a point or a tag twice. Every party looks for that before it raises a point, so the sender is to blame.
    #[error("party {from} sent the set of party {owner} with one element twice, at {first} and at {second}")]
    Repeated {
        /// Who sent it.
        from: u32,
        /// Whose set it is.
        owner: u32,
        /// Where it is first, from 0.
        first: u32,
        /// Where it is again.
        second: u32,
    },
    /// Fewer firms are common to all parties than the job asks for. Nobody's fault; how many there are is not told.
    #[error("fewer than {minimum} keys are common to all parties: no row leaves, the job ends")]
    BelowMinimum {
        /// The smallest allowed.
        minimum: u32,
        /// Bit `i`: the set of party `i` alone has fewer keys in common with the comparator's; likely another kind of key, or
        /// another population. 0 where every single one has enough.
        apart: u32,
    },
    /// A list of positions has an impossible length.
    #[error(
        "party {from} sent {found} bytes of positions in the set of party {owner}: four for each, {minimum} to {maximum} positions are possible"
    )]
    PositionBytes {
        /// Who sent it.
        from: u32,
        /// Whose set it is about.
        owner: u32,
        /// How many bytes came.
        found: usize,
        /// The smallest intersection of the job.
        minimum: u32,
        /// The smallest announced set.
        maximum: u32,
    },
    /// A position is not in the set.
    #[error("party {from} sent position {position} in the set of party {owner}, which has {size} elements")]
    PositionRange {
        /// Who sent it.
        from: u32,
        /// Whose set it is about.
        owner: u32,
        /// The position.
        position: u32,
        /// The announced size of the set.
        size: u32,
    },
    /// A position occurs twice.
    #[error("party {from} sent position {position} in the set of party {owner} twice")]
    PositionRepeated {
        /// Who sent it.
        from: u32,
        /// Whose set it is about.
        owner: u32,
        /// The position.
        position: u32,
    },
}

impl AlignError {
    /// The peer whose fault it is; nobody's, our own or the caller's otherwise.
    pub fn culprit(&self) -> Option<u32> {
        match *self {
            Self::AnnouncedSize { party, .. } => Some(party),
            Self::LetterUnexpected { from }
            | Self::Length { from, .. }
            | Self::Point { from, .. }
            | Self::Repeated { from, .. }
            | Self::PositionBytes { from, .. }
            | Self::PositionRange { from, .. }
            | Self::PositionRepeated { from, .. } => Some(from),
            _ => None,
        }
    }
}
