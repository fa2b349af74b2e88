//! Proofs on the wire and their verification: RFC 9162, sections 2.1.3.2 and 2.1.4.2. The letters are the RFC's.

use super::tree::RootHash;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// No proof is longer: sizes are below 2^64. (A consistency proof for a size above 2^63 could need one more; no journal
/// comes near.)
pub const MAX_PROOF_HASHES: usize = 64;

/// Shows that an entry is in a log, from the leaf's sibling upwards. Serialised as a list of hexadecimal texts.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct InclusionProof(pub(super) Vec<RootHash>);

/// Shows that a log begins with all of an earlier one. Serialised as a list of hexadecimal texts.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct ConsistencyProof(pub(super) Vec<RootHash>);

/// A proof does not hold: the fault of whoever keeps the log, or of the way that the proof took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes of a proof are no whole number of hashes.
    #[error("a proof is a whole number of 32-byte hashes, not {found} bytes")]
    Bytes {
        /// How many bytes there are.
        found: usize,
    },
    /// No log needs so long a proof.
    #[error("a proof has at most {MAX_PROOF_HASHES} hashes, not {found}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// The tree has no such leaf.
    #[error("a log of {size} entries has no entry {index}: they are counted from 0")]
    Index {
        /// The entry's claimed index.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// A log does not shrink.
    #[error("the log has shrunk from {old} to {new} entries")]
    Shrunk {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// The proof ends before the root.
    #[error("the proof ends before the root of a log of this size (its hashes: {found})")]
    TooShort {
        /// How many hashes there are.
        found: usize,
    },
    /// The proof goes on after the root.
    #[error("the proof goes on after the root of a log of this size (its hashes: {found})")]
    TooLong {
        /// How many hashes there are.
        found: usize,
    },
    /// A log without entries has one root only.
    #[error("{found} is not the root of a log without entries")]
    NotEmpty {
        /// The root that was claimed.
        found: RootHash,
    },
    /// Two roots for one size: the log shows different entries to different people.
    #[error("two logs of one size have the roots {old} and {new}")]
    Forked {
        /// The root that was known.
        old: RootHash,
        /// The root that was claimed.
        new: RootHash,
    },
    /// The entry and the proof lead to another root.
    #[error("entry and proof lead to the root {found}, not to {expected}")]
    WrongRoot {
        /// The log's root.
        expected: RootHash,
        /// Where the proof leads.
        found: RootHash,
    },
    /// The proof does not begin with the earlier log.
    #[error("the proof leads to the earlier root {found}, not to {expected}")]
    WrongOldRoot {
        /// The earlier root.
        expected: RootHash,
        /// Where the proof leads.
        found: RootHash,
    },
    /// The proof does not end with the later log; or, where the earlier size is a power of two and the path starts from
    /// the earlier root itself, does not begin with the earlier one.
    #[error("the proof leads to the later root {found}, not to {expected}")]
    WrongNewRoot {
        /// The later root.
        expected: RootHash,
        /// Where the proof leads.
        found: RootHash,
    },
}

/// Checks that entry `index` (from 0) of the log with this root and size is `leaf` (section 2.1.3.2).
///
/// Take size and root from one [`Checkpoint`](super::Checkpoint): a root does not bind its size, and sizes whose trees
/// have the same shape along the path pass with the same proof.
pub fn verify_inclusion(
    root: &RootHash,
    size: u64,
    index: u64,
    leaf: &[u8],
    proof: &InclusionProof,
) -> Result<(), ProofError> {
    // "1. Compare leaf_index ... against tree_size. If leaf_index is greater than or equal ..., fail"
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let length = proof.0.len();
    // "2. Set fn to leaf_index and sn to tree_size - 1. 3. Set r to hash."
    let (mut fnode, mut snode) = (index, size - 1);
    let mut r = RootHash::leaf(leaf);
    // "4. For each value p in the inclusion_path array:"
    for p in &proof.0 {
        if snode == 0 {
            return Err(ProofError::TooLong { found: length });
        }
        if fnode & 1 == 1 || fnode == snode {
            r = RootHash::parent(p, &r);
            skip_to_right_child(&mut fnode, &mut snode);
        } else {
            r = RootHash::parent(&r, p);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    // "5. Compare sn to 0. Compare r against the root_hash."
    if snode != 0 {
        return Err(ProofError::TooShort { found: length });
    }
    if r == *root { Ok(()) } else { Err(ProofError::WrongRoot { expected: *root, found: r }) }
}

/// Checks that the log `new`, given as `(size, root)`, begins with all entries of the log `old` (section 2.1.4.2).
///
/// The RFC defines `0 < old < new`. Equal sizes need equal roots, an old size of 0 the root of no entries, and both an
/// empty proof.
pub fn verify_consistency(
    old: (u64, RootHash),
    new: (u64, RootHash),
    proof: &ConsistencyProof,
) -> Result<(), ProofError> {
    let ((first, first_hash), (second, second_hash)) = (old, new);
    if first > second {
        return Err(ProofError::Shrunk { old: first, new: second });
    }
    for (size, hash) in [old, new] {
        if size == 0 && hash != RootHash::empty() {
            return Err(ProofError::NotEmpty { found: hash });
        }
    }
    let found = proof.0.len();
    if first == second && first_hash != second_hash {
        return Err(ProofError::Forked { old: first_hash, new: second_hash });
    }
    if first == 0 || first == second {
        return if found == 0 { Ok(()) } else { Err(ProofError::TooLong { found }) };
    }
    let (fr, sr) = consistency_roots(first, &first_hash, second, &proof.0)?;
    if fr != first_hash {
        return Err(ProofError::WrongOldRoot { expected: first_hash, found: fr });
    }
    if sr != second_hash {
        return Err(ProofError::WrongNewRoot { expected: second_hash, found: sr });
    }
    Ok(())
}

/// The roots of both logs that a proof leads to, for `0 < first < second`.
fn consistency_roots(
    first: u64,
    first_hash: &RootHash,
    second: u64,
    path: &[RootHash],
) -> Result<(RootHash, RootHash), ProofError> {
    let found = path.len();
    // "2. If first is an exact power of 2, then prepend first_hash to the consistency_path array."
    let (start, rest) = match path.split_first() {
        // "1. If consistency_path is an empty array, stop and fail"
        None => return Err(ProofError::TooShort { found }),
        Some(_) if first.is_power_of_two() => (first_hash, path),
        Some(split) => split,
    };
    // "3. Set fn to first - 1 and sn to second - 1."
    let (mut fnode, mut snode) = (first - 1, second - 1);
    // "4. If LSB(fn) is set, then right-shift both fn and sn equally until LSB(fn) is not set."
    let complete = fnode.trailing_ones();
    fnode = fnode.checked_shr(complete).unwrap_or(0);
    snode = snode.checked_shr(complete).unwrap_or(0);
    // "5. Set both fr and sr to the first value in the consistency_path array."
    let (mut fr, mut sr) = (*start, *start);
    // "6. For each subsequent value c in the consistency_path array:"
    for c in rest {
        if snode == 0 {
            return Err(ProofError::TooLong { found });
        }
        if fnode & 1 == 1 || fnode == snode {
            fr = RootHash::parent(c, &fr);
            sr = RootHash::parent(c, &sr);
            skip_to_right_child(&mut fnode, &mut snode);
        } else {
            sr = RootHash::parent(&sr, c);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    // "7. After completing iterating ..., verify that the fr calculated is equal to the first_hash supplied, that the sr
    // calculated is equal to the second_hash supplied, and that sn is 0."
    if snode == 0 { Ok((fr, sr)) } else { Err(ProofError::TooShort { found }) }
}

/// "If LSB(fn) is not set, then right-shift both fn and sn equally until either LSB(fn) is set or fn is 0."
fn skip_to_right_child(fnode: &mut u64, snode: &mut u64) {
    while *fnode & 1 == 0 && *fnode != 0 {
        *fnode >>= 1;
        *snode >>= 1;
    }
}

/// Reads a list of hashes and stops at the first that is too many.
struct Hashes;

impl<'de> de::Visitor<'de> for Hashes {
    type Value = Vec<RootHash>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_PROOF_HASHES} hashes")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut hashes = Vec::new();
        while let Some(hash) = list.next_element()? {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(de::Error::invalid_length(MAX_PROOF_HASHES + 1, &self));
            }
            hashes.push(hash);
        }
        Ok(hashes)
    }
}

macro_rules! wire_form {
    ($proof:ident) => {
        impl $proof {
            /// A proof of these hashes; whether it holds is seen when verifying.
            pub fn from_hashes(hashes: Vec<RootHash>) -> Result<Self, ProofError> {
                match hashes.len() {
                    0..=MAX_PROOF_HASHES => Ok(Self(hashes)),
                    found => Err(ProofError::TooMany { found }),
                }
            }

            /// Reads hashes of 32 bytes, one after the other.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
                let (hashes, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(ProofError::Bytes { found: bytes.len() });
                }
                if hashes.len() > MAX_PROOF_HASHES {
                    return Err(ProofError::TooMany { found: hashes.len() });
                }
                Ok(Self(hashes.iter().copied().map(RootHash::from_bytes).collect()))
            }

            /// The hashes, one after the other.
            pub fn to_bytes(&self) -> Vec<u8> {
                self.0.iter().flat_map(RootHash::as_bytes).copied().collect()
            }

            /// The hashes, those near the leaves first.
            pub fn hashes(&self) -> &[RootHash] {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $proof {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_seq(Hashes).map(Self)
            }
        }
    };
}
wire_form!(InclusionProof);
wire_form!(ConsistencyProof);
