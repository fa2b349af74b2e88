//! Files in which models leave the federation.
//!
//! | file | holds | who reads it |
//! |---|---|---|
//! | [`weights`] | a network's parameters and its [`ModelCard`], as safetensors | Haihe, PyTorch, any safetensors reader |
//! | [`onnx`] | a network as an inference graph, with the card | ONNX runtimes |
//! | [`pmml`] | a scorecard, or the regression behind it | decision engines of banks |
//!
//! [`compare`] tells two networks apart. All are functions from values to bytes and back: the same value gives the same bytes.
//! Writers take no clock: whoever calls them says when the file was made.

use crate::network::LearnerError;
use crate::scorecard::ScorecardError;

pub mod card;
pub mod compare;
pub mod onnx;
pub mod pmml;
pub mod weights;

pub use card::{ModelCard, Privacy};

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// More bytes than any model has.
    #[error(
        "{what} has {bytes} bytes, and at most {most} are read: this is not the file of a model of ours, or it is damaged"
    )]
    TooLarge {
        /// The file, or a part of it.
        what: &'static str,
        /// Bytes found.
        bytes: u64,
        /// Bytes allowed.
        most: u64,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("not a whole safetensors file ({problem}): get it again from where it was written")]
    Damaged {
        /// What is wrong.
        problem: Damage,
    },
    /// A safetensors file of another program.
    #[error(
        "the safetensors file has no entry `{}` in its metadata: it was not written by this program, so nothing says which \
         network its tensors belong to",
        weights::CARD_KEY
    )]
    NoCard,
    /// The model card is not what it should be.
    #[error("the model card cannot be read: {0}")]
    Card(#[source] serde_json::Error),
    /// The model card is of a version that this program does not know.
    #[error(
        "the model card has version {found}, this program reads version {}: use the program that wrote it",
        card::CARD_VERSION
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// A field of the card that is refused.
    #[error("field `{field}` of the model card is out of range: {allowed}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The network of the card is refused.
    #[error(transparent)]
    Network(#[from] LearnerError),
    /// A tensor that the network has is not there, or not in its shape.
    #[error(
        "the network needs a tensor `{tensor}` of 32-bit floats in the shape {shape:?}, which the file does not have"
    )]
    Tensor {
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Another number of tensors.
    #[error("the network has {expected} tensors and the file {found}: the model card belongs to another network")]
    Tensors {
        /// Of the network.
        expected: usize,
        /// Of the file.
        found: usize,
    },
    /// A parameter is infinite or no number.
    #[error("tensor `{tensor}` holds a value that is not a finite number: the model cannot be used")]
    NotFinite {
        /// Its name.
        tensor: String,
    },
    /// A scorecard that is refused.
    #[error(transparent)]
    Scorecard(#[from] ScorecardError),
    /// Bins that do not divide the values among them.
    #[error("the bins of `{column}` {problem}: a PMML file could not say what this scorecard does")]
    Bins {
        /// The column.
        column: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A name that XML cannot hold.
    #[error("{text:?} holds a control character, which XML 1.0 has no way to write: rename the column or level")]
    Text {
        /// The name.
        text: String,
    },
}

/// What is wrong with a safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Shorter than its own header says.
    #[error("it ends before its header does")]
    Short,
    /// The header is not JSON, or its tensors are not one after the other in the sizes that their shapes say.
    #[error("its header does not describe tensors, one after the other, in the sizes that their shapes have")]
    Header,
    /// The tensors of the header are not all of the data.
    #[error("its header describes another number of bytes than there are")]
    Length,
}
