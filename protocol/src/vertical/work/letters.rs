//! What participants write to each other in a vertical job. Each letter is sealed for its receiver; at every step its kind
//! is known, so that nothing but its contents is sent.

use haihe_models::vertical::{Combination, woe::Merged};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// From the label holder, once the firms are aligned.
#[derive(Serialize, Deserialize)]
pub(super) struct Opening {
    /// How many firms all have in common.
    pub common: u32,
    /// One bit per common firm, in the common order: 1 = training.
    pub train: Vec<u8>,
    /// The label holder's public key for encrypted products.
    pub public_key: Vec<u8>,
    /// For WOE: the encrypted labels of the training firms.
    pub labels: Option<Encrypted>,
    /// Else: what is asked in the first pass.
    pub ask: Option<Ask>,
}

/// An encrypted vector over the training firms.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Encrypted {
    /// Rows in one ciphertext.
    pub block: u32,
    /// Its values are multiples of `2^-bits`.
    pub bits: u32,
    /// No value is larger.
    pub largest: u64,
    /// The ciphertexts.
    pub bytes: Vec<u8>,
}

/// From a feature holder: what its columns look like before a label was seen.
#[derive(Serialize, Deserialize)]
pub(super) struct Counts {
    /// Per column and bin: rows, and whether it stands alone.
    pub columns: Vec<(Vec<u64>, Vec<bool>)>,
    /// Encrypted numbers of bad firms, one per bin, in the same order.
    pub response: Vec<u8>,
}

/// From the label holder: bins with enough good and bad firms.
#[derive(Serialize, Deserialize)]
pub(super) struct Binned {
    /// Groups of the holder's bins, with their counts.
    pub merged: Merged,
    /// The first pass.
    pub ask: Ask,
}

/// From the label holder, at the beginning of a pass or at the end of all.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ask {
    /// How far along the directions so far; absent before the first.
    pub combination: Option<Combination>,
    /// What is to be multiplied; absent at the end, and where a direction is asked for at once (warm start).
    pub residuals: Option<Encrypted>,
    /// The fit is over.
    pub fitted: bool,
}

/// From a feature holder: encrypted, masked products with its columns.
#[derive(Serialize, Deserialize)]
pub(super) struct Products {
    /// Number of columns.
    pub columns: u32,
    /// The response.
    pub response: Vec<u8>,
}

/// From the label holder: the same, decrypted; the masks are still on.
#[derive(Serialize, Deserialize)]
pub(super) struct Opened {
    /// One per column.
    pub values: Vec<u64>,
}

/// From a feature holder: its scores in one direction, masked.
#[derive(Serialize, Deserialize)]
pub(super) struct Masked {
    /// One per training firm.
    pub scores: Vec<u8>,
    /// A few sums of products of directions and gradients.
    pub scalars: Vec<u8>,
}

/// From a feature holder: its partial scores of all common firms, masked.
#[derive(Serialize, Deserialize)]
pub(super) struct PartialScores {
    /// One per common firm.
    pub scores: Vec<u8>,
    /// What stands for this holder's part if it is absent when firms are scored: the mean over the training firms.
    pub mean: i64,
    /// Columns in use, for the report.
    pub columns: u32,
}

/// Writes a letter.
///
/// # Panics
/// Never: letters are plain data.
pub(super) fn write<T: Serialize>(letter: &T) -> Vec<u8> {
    postcard::to_allocvec(letter).expect("letters are plain data")
}

/// Reads a letter; the whole of it. What is allocated is bounded by its length.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((letter, [])) => Some(letter),
        _ => None,
    }
}
