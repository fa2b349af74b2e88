//! What participants write to each other in a vertical job. Each letter is sealed for its receiver; at every step its kind
//! is known, so that nothing but its contents is sent.

use haihe_models::vertical::{Combination, woe::Merged};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::vertical::Letter;

macro_rules! kinds {
    ($($(#[doc = $text:literal])* $kind:ident,)*) => {
        /// What a letter between participants of a vertical job is. The kind is not written into a letter: it follows from the
        /// step. It is for those who must speak of every kind, as the leak report does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LetterKind {
            $($(#[doc = $text])* $kind,)*
        }

        impl LetterKind {
            /// Every kind there is, in the order of a job.
            pub const ALL: &[LetterKind] = &[$(LetterKind::$kind,)*];
        }
    };
}

kinds! {
    /// A seed for masks that two feature holders share.
    PairSeed,
    /// A set of firms as points of a group, raised and shuffled; from party to party.
    Points,
    /// The same after the last party, cut to what is compared; to the label holder.
    Tags,
    /// Where the common firms are in a set; back the way that the set came.
    Positions,
    /// Number of common firms, which of them train, public key; encrypted labels or the first question.
    Opening,
    /// Rows and encrypted bad firms per fine bin.
    Counts,
    /// Merged bins with their goods and bads, and the first question.
    Binned,
    /// Combination of the directions so far, and encrypted residuals.
    Ask,
    /// Encrypted products with a holder's columns, masked.
    Products,
    /// The same, decrypted, still masked.
    Opened,
    /// Scores of a direction and a few scalars, masked.
    Masked,
    /// How many columns contradict their weight of evidence and are left out, and the scores to go on from, masked.
    Reviewed,
    /// Partial scores of all common firms, masked; their mean and the number of columns in the clear.
    PartialScores,
}

/// What travels as a letter of one kind.
pub(super) trait Said: Serialize + DeserializeOwned {
    /// Which.
    const KIND: LetterKind;
}

macro_rules! said {
    ($($kind:ident)*) => { $(impl Said for $kind { const KIND: LetterKind = LetterKind::$kind; })* };
}

said! { Opening Counts Binned Ask Products Opened Masked Reviewed PartialScores }

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
    /// What is to be multiplied; absent at the end, for a review, and where a direction is asked for at once (warm start).
    pub residuals: Option<Encrypted>,
    /// The fit is over.
    pub fitted: bool,
    /// All are to look at their coefficients: above this one contradicts.
    pub review: Option<f64>,
    /// After a review: all go on without the columns that were left out, from the direction that they sent with it.
    pub refit: bool,
}

impl Ask {
    /// A pass: products with these residuals.
    pub fn pass(combination: Option<Combination>, residuals: Option<Encrypted>) -> Self {
        Self { combination, residuals, fitted: false, review: None, refit: false }
    }

    /// The partial scores: the fit is over.
    pub fn end(combination: Option<Combination>) -> Self {
        Self { fitted: true, ..Self::pass(combination, None) }
    }

    /// A review.
    pub fn review(combination: Option<Combination>, above: f64) -> Self {
        Self { review: Some(above), ..Self::pass(combination, None) }
    }
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

/// From a feature holder: what it found when it looked at its coefficients.
#[derive(Serialize, Deserialize)]
pub(super) struct Reviewed {
    /// Columns that contradict their weight of evidence; it goes on without them.
    pub dropped: u32,
    /// Where it goes on from: its scores with the columns that stay, as a first direction. Absent from a sole holder that drops
    /// none, as nothing follows from it.
    pub direction: Option<Masked>,
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
    /// Columns among them that contradict their weight of evidence after all; 0 where the job asks for no reviews.
    pub contradicting: u32,
}

/// The same letter to some; none to nobody.
///
/// # Panics
/// Never: letters are plain data.
pub(super) fn write<T: Said>(to: Vec<usize>, letter: &T) -> Vec<Letter> {
    let body = postcard::to_allocvec(letter).expect("letters are plain data");
    if to.is_empty() { Vec::new() } else { vec![raw(T::KIND, to, body)] }
}

/// A letter whose bytes are made elsewhere.
pub(super) fn raw(_kind: LetterKind, to: Vec<usize>, body: Vec<u8>) -> Letter {
    Letter { to, body }
}

/// Reads a letter; the whole of it. What is allocated is bounded by its length.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((letter, [])) => Some(letter),
        _ => None,
    }
}
