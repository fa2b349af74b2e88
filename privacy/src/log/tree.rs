//! The tree: RFC 9162, sections 2.1.1 (hashes), 2.1.3.1 (inclusion) and 2.1.4.1 (consistency).

use super::proof::{ConsistencyProof, InclusionProof};
use crate::sign::hex_text;
use sha2::{Digest as _, Sha256};

/// The Merkle tree hash `MTH` of a list of entries, or of a part of it (RFC 9162, section 2.1.1). Serialised as 64
/// lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(pub(super) [u8; 32]);

/// An append-only Merkle tree. It keeps the hash of every complete subtree, 64 bytes an entry, and no entry.
///
/// Appending computes two hashes on average; a root or a proof, at any size, at most `log2(size)`.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// `levels[h][i]` is `MTH(D[i 2^h : (i + 1) 2^h])`.
    levels: Vec<Vec<RootHash>>,
}

/// The caller asked for something that this log does not have. Nobody else's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The log has never had this size.
    #[error("the log has {held} entries: ask for a size up to that, not {size}")]
    Size {
        /// The size asked for.
        size: u64,
        /// The log's size.
        held: u64,
    },
    /// No entry has this index at this size.
    #[error("a log of {size} entries has no entry {index}: they are counted from 0")]
    Index {
        /// The index asked for.
        index: u64,
        /// The size asked for.
        size: u64,
    },
    /// A log does not shrink.
    #[error("the earlier size, {old}, is above the later one, {new}")]
    Order {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
}

impl RootHash {
    /// The root of a log without entries: `MTH({}) = HASH()`.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, crate::digest::HexError> {
        crate::digest::parse_hex(text).map(Self)
    }

    /// `MTH({d[0]}) = HASH(0x00 || d[0])`.
    pub(super) fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
    }

    /// `MTH(D_n) = HASH(0x01 || MTH(D[0:k]) || MTH(D[k:n]))`.
    pub(super) fn parent(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl Log {
    /// A log without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry of any length and returns its index, counted from 0.
    pub fn append(&mut self, leaf: &[u8]) -> u64 {
        let index = self.size();
        let mut hash = RootHash::leaf(leaf);
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            match row.as_slice() {
                [.., left, right] if row.len().is_multiple_of(2) => hash = RootHash::parent(left, right),
                _ => break,
            }
        }
        index
    }

    /// How many entries there are.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root over all entries.
    pub fn root(&self) -> RootHash {
        self.subtree(0, self.size())
    }

    /// The root over the first `size` entries.
    pub fn root_at(&self, size: u64) -> Result<RootHash, LogError> {
        self.has(size)?;
        Ok(self.subtree(0, size))
    }

    /// Proves that entry `index` is among the first `size`: `PATH(index, D[0:size])` of section 2.1.3.1.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, LogError> {
        self.has(size)?;
        if index >= size {
            return Err(LogError::Index { index, size });
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Ok(InclusionProof(path))
    }

    /// Proves that the first `new_size` entries begin with the first `old_size`: `PROOF(old_size, D[0:new_size])` of
    /// section 2.1.4.1. Empty where there is nothing to show: equal sizes, or an old size of 0.
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, LogError> {
        self.has(new_size)?;
        if old_size > new_size {
            return Err(LogError::Order { old: old_size, new: new_size });
        }
        if old_size == 0 || old_size == new_size {
            return Ok(ConsistencyProof(Vec::new()));
        }
        let (mut start, mut end) = (0, new_size);
        let mut path = Vec::new();
        while end != old_size {
            let middle = start + split(end - start);
            if old_size <= middle {
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
            }
        }
        // "SUBPROOF(m, D_m, true) = {}": the verifier knows the old root. "SUBPROOF(m, D_m, false) = {MTH(D_m)}".
        if start != 0 {
            path.push(self.subtree(start, end));
        }
        path.reverse();
        Ok(ConsistencyProof(path))
    }

    fn has(&self, size: u64) -> Result<(), LogError> {
        let held = self.size();
        if size > held { Err(LogError::Size { size, held }) } else { Ok(()) }
    }

    /// `MTH(D[start:end])` for a range that splitting `D[0:n]`, `n <= size`, arrives at: its left parts are complete.
    fn subtree(&self, start: u64, end: u64) -> RootHash {
        match end - start {
            0 => RootHash::empty(),
            length if length.is_power_of_two() => {
                let level = length.trailing_zeros();
                self.levels[level as usize][(start >> level) as usize]
            }
            length => {
                let middle = start + split(length);
                RootHash::parent(&self.subtree(start, middle), &self.subtree(middle, end))
            }
        }
    }
}

/// "Let k be the largest power of two smaller than n", for `n > 1`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

hex_text!(RootHash, 32);
