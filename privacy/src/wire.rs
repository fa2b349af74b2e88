//! What is wrong with bytes from outside. Readers check the size before they allocate anything, and every element before
//! they use it.

/// Foreign bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The size is fixed by the parameters, and is another.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// How many bytes there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// An element is not reduced: it is not below its modulus.
    #[error("the element at index {index} is not below its modulus")]
    Element {
        /// The first such element.
        index: usize,
    },
    /// Padding bits are not zero.
    #[error("the padding bits after the last element are not zero")]
    StrayBits,
}
