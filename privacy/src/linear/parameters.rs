//! Shapes, bounds and what is wrong with them.

use crate::ring::packing::{BLOCK, BLOCK_BYTES};
use crate::ring::security::Estimate;
use crate::ring::{NOISE_BOUND, RESIDUE_BITS};
use crate::wire::WireError;

/// N, the coefficients of a ring element.
pub const DEGREE: usize = 8192;
/// The primes of the ring.
pub(crate) const LIMBS: usize = 3;
/// Residues of a ring element.
pub(crate) const ELEMENT: usize = LIMBS * DEGREE;
/// Packed blocks of a ring element.
pub(crate) const PACKED_BLOCKS: usize = ELEMENT / BLOCK;
/// Bytes of a packed ring element.
pub(crate) const ELEMENT_BYTES: usize = PACKED_BLOCKS * BLOCK_BYTES;
/// Bytes of the `a` part of a response polynomial.
pub(crate) const RESPONSE_BYTES: usize = 8 * DEGREE;

/// tau: products are exact modulo `t = 2^51`.
pub const PLAINTEXT_BITS: u32 = 51;
/// The flood is uniform among the `2^95` numbers around zero: 256 at most in units of `q / 2^64`.
pub(crate) const FLOOD_BITS: u32 = 95;
/// How many bits the flood must be wider than what it hides.
const HIDING_BITS: u32 = 40;
/// The squared length of a secret is below this: its mean is 2^18, its standard deviation 2^12.
pub(crate) const SECRET_NORM: u64 = (1 << 18) + (1 << 15);
/// Rows of a matrix, at most.
pub const MAX_ROWS: usize = 1 << 28;
/// Columns of a matrix, at most.
pub const MAX_COLUMNS: usize = 1 << 16;

/// The cost of the best attack on a key, an encrypted vector or a response: the output of
/// [`crate::ring::security::estimate`] for `N = 8192`, the three primes and the standard deviation `sqrt(32)`, which a test
/// computes again. Unlike in the secure sum no sum of secrets is ever opened, so the variance is the whole one.
pub const SECURITY: Estimate = Estimate { block_size: 572, core_svp_bits: 167.02, standard_bits: 200.40 };

/// How the rows are cut into blocks. A announces it, and one encrypted vector serves every holder.
///
/// `block` rows go into one ciphertext, and `N / block` columns share one response polynomial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tiling {
    rows: usize,
    block: usize,
}

impl Tiling {
    /// A tiling that was announced.
    ///
    /// # Errors
    /// [`LinearError::Rows`] and [`LinearError::Block`].
    pub fn new(rows: usize, block: usize) -> Result<Self, LinearError> {
        if rows == 0 || rows > MAX_ROWS {
            return Err(LinearError::Rows(rows));
        }
        if !block.is_power_of_two() || block > DEGREE {
            return Err(LinearError::Block(block));
        }
        Ok(Self { rows, block })
    }

    /// The tiling with the fewest bytes on all ways together: to every holder `ceil(rows / block)` ciphertexts, and
    /// back `ceil(columns / (N / block))` response polynomials. The larger block where two are equal.
    ///
    /// # Errors
    /// [`LinearError::Rows`], and [`LinearError::Columns`] for a holder without columns or with too many.
    pub fn choose(rows: usize, columns_of_each_holder: &[usize]) -> Result<Self, LinearError> {
        for &columns in columns_of_each_holder {
            check_columns(columns)?;
        }
        let tilings = (0..=DEGREE.trailing_zeros()).rev().map(|bits| Self::new(rows, 1 << bits));
        let mut best = Self::new(rows, DEGREE)?;
        for tiling in tilings {
            let tiling = tiling?;
            if tiling.bytes(columns_of_each_holder) < best.bytes(columns_of_each_holder) {
                best = tiling;
            }
        }
        Ok(best)
    }

    /// Bytes on all ways together, for holders with so many columns.
    pub fn bytes(&self, columns_of_each_holder: &[usize]) -> u64 {
        let both = |&columns: &usize| self.vector_bytes() as u64 + self.response_bytes(columns) as u64;
        columns_of_each_holder.iter().map(both).sum()
    }

    /// n, the rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Rows in one ciphertext.
    pub const fn block(&self) -> usize {
        self.block
    }

    /// Ciphertexts of an encrypted vector.
    pub const fn blocks(&self) -> usize {
        self.rows.div_ceil(self.block)
    }

    /// Columns that share a response polynomial.
    pub const fn columns_per_polynomial(&self) -> usize {
        DEGREE / self.block
    }

    /// Response polynomials for so many columns.
    pub const fn polynomials(&self, columns: usize) -> usize {
        columns.div_ceil(self.columns_per_polynomial())
    }

    /// Bytes of an encrypted vector.
    pub const fn vector_bytes(&self) -> usize {
        self.blocks() * ELEMENT_BYTES
    }

    /// Bytes of a response for so many columns.
    pub const fn response_bytes(&self, columns: usize) -> usize {
        self.polynomials(columns) * RESPONSE_BYTES + 8 * columns
    }

    /// The rows of block `index`.
    pub(crate) fn block_rows(&self, index: usize) -> std::ops::Range<usize> {
        index * self.block..((index + 1) * self.block).min(self.rows)
    }

    /// The polynomial and the coefficient in which the inner product of a column is.
    pub(crate) const fn place(&self, column: usize) -> (usize, usize) {
        let per_polynomial = self.columns_per_polynomial();
        (column / per_polynomial, (column % per_polynomial + 1) * self.block - 1)
    }
}

/// A tiling, and bounds under which every product is exact and hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearParameters {
    tiling: Tiling,
    largest_entry: u32,
    largest_multiplier: u64,
}

impl LinearParameters {
    /// Parameters for matrices with `|x| <= largest_entry` and vectors with `|d| <= largest_multiplier`.
    ///
    /// # Errors
    /// [`LinearError::Capacity`] if a product could reach `t / 2`, [`LinearError::Flooding`] if the noise of a product is too
    /// large to be hidden (only for absurdly small blocks), [`LinearError::NoRange`] if a bound is zero or beyond `i32`.
    pub fn new(tiling: Tiling, largest_entry: u32, largest_multiplier: u64) -> Result<Self, LinearError> {
        if largest_entry == 0 || largest_entry > i32::MAX as u32 || largest_multiplier == 0 {
            return Err(LinearError::NoRange { largest_entry, largest_multiplier });
        }
        let parameters = Self { tiling, largest_entry, largest_multiplier };
        let largest = Self::largest_multiplier(tiling.rows, largest_entry);
        if largest_multiplier > largest {
            let rows = tiling.rows;
            return Err(LinearError::Capacity { rows, largest_entry, largest_multiplier, largest });
        }
        let bits = parameters.flooding_bits();
        if bits < HIDING_BITS {
            return Err(LinearError::Flooding { bits, block: tiling.block, blocks: tiling.blocks() });
        }
        Ok(parameters)
    }

    /// The largest `|d|` for so many rows and such entries: `rows |x| |d| < t / 2`. Zero if there is none.
    pub fn largest_multiplier(rows: usize, largest_entry: u32) -> u64 {
        let most = (1u128 << (PLAINTEXT_BITS - 1)) - 1;
        (most / (rows as u128 * u128::from(largest_entry)).max(1)) as u64
    }

    /// How the rows are cut.
    pub const fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// The bound of `|x|`.
    pub const fn largest_entry(&self) -> u32 {
        self.largest_entry
    }

    /// The bound of `|d|`.
    pub const fn multiplier_bound(&self) -> u64 {
        self.largest_multiplier
    }

    /// A's view of one inner product is within `2^-bits` of one that does not depend on the matrix, beyond the product.
    pub fn flooding_bits(&self) -> u32 {
        FLOOD_BITS.saturating_sub(128 - self.noise_bound().leading_zeros())
    }

    /// No noise of a product is larger, before it is flooded: worst case, for every error and every matrix.
    ///
    /// A coefficient of `e_k P_k` is at most `N |x| 64`, and the rounding of `q d / t` adds a half to every error; the
    /// encryption of zero leaves `u e - e' s`, at most `2 N 64^2`, and the rounding of the mask one.
    pub(crate) fn noise_bound(&self) -> u128 {
        let terms = (self.tiling.blocks() * DEGREE) as u128;
        let errors = u128::from(NOISE_BOUND + 1) * u128::from(self.largest_entry) * terms;
        errors + 2 * DEGREE as u128 * u128::from(NOISE_BOUND * NOISE_BOUND) + 1
    }
}

/// A shape or a value is out of bounds: the caller's own, or one announced by the other party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinearError {
    /// The number of rows.
    #[error("{0} rows: between 1 and {MAX_ROWS} are possible")]
    Rows(usize),
    /// The number of columns.
    #[error("{0} columns: between 1 and {MAX_COLUMNS} are possible")]
    Columns(usize),
    /// The rows in a ciphertext.
    #[error("a block of {0} rows: it must be a power of two, and at most {DEGREE}")]
    Block(usize),
    /// A bound is zero or too large to be stored.
    #[error(
        "the bounds {largest_entry} of entries and {largest_multiplier} of multipliers: both must be positive, the first below 2^31"
    )]
    NoRange {
        /// The bound of `|x|`.
        largest_entry: u32,
        /// The bound of `|d|`.
        largest_multiplier: u64,
    },
    /// A product could reach `t / 2`.
    #[error(
        "{rows} rows with entries up to {largest_entry} and multipliers up to {largest_multiplier} exceed 2^50: with these \
         entries the multipliers may reach {largest}"
    )]
    Capacity {
        /// n.
        rows: usize,
        /// The bound of `|x|`.
        largest_entry: u32,
        /// The bound of `|d|` that was asked for.
        largest_multiplier: u64,
        /// The largest possible one.
        largest: u64,
    },
    /// The noise of a product cannot be hidden.
    #[error(
        "the flood hides the noise of {blocks} blocks of {block} rows by {bits} bits only, not 40: take larger blocks"
    )]
    Flooding {
        /// By how many bits it is wider.
        bits: u32,
        /// Rows in a ciphertext.
        block: usize,
        /// Ciphertexts.
        blocks: usize,
    },
    /// A vector or a column has the wrong length.
    #[error("expected {expected} values, found {found}")]
    Length {
        /// The rows of the tiling.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A multiplier exceeds the bound.
    #[error("the multiplier in row {row} exceeds {largest}")]
    Multiplier {
        /// The first such row.
        row: usize,
        /// The bound.
        largest: u64,
    },
    /// An entry of the matrix exceeds the bound.
    #[error("the entry in row {row} of column {column} exceeds {largest}")]
    Entry {
        /// Its column.
        column: usize,
        /// The first such row of the column.
        row: usize,
        /// The bound.
        largest: u32,
    },
    /// The matrix and the encrypted vector were made for different parameters.
    #[error("the matrix and the encrypted vector were made for different parameters")]
    Parameters,
}

/// Bytes from the other party are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A's encrypted vector.
    #[error("the encrypted vector: {0}")]
    Vector(WireError),
    /// A's public key.
    #[error("the public key: {0}")]
    PublicKey(WireError),
    /// B's response.
    #[error("the response: {0}")]
    Response(WireError),
    /// The number of columns that a response was said to have.
    #[error("the response: {0}")]
    Columns(LinearError),
}

/// At least one column, and not too many.
pub(crate) fn check_columns(columns: usize) -> Result<(), LinearError> {
    if columns == 0 || columns > MAX_COLUMNS { Err(LinearError::Columns(columns)) } else { Ok(()) }
}

/// The noise of A's decryption in units of `q / 2^64`, with a probability of all but 2^-128: the rounding of `a'` times the
/// secret, the flood, two halves for the roundings of `b'`, and what the change of modulus rounds downwards, at most 2^-17 for
/// every coefficient of `a'` (see the module's documentation).
#[cfg(test)]
pub(crate) fn decryption_noise() -> f64 {
    let hoeffding = (SECRET_NORM as f64 * 129.0 * std::f64::consts::LN_2 / 2.0).sqrt();
    let flood = f64::from(FLOOD_BITS - 1 - (LIMBS as u32 * RESIDUE_BITS - 64)).exp2();
    hoeffding + flood + 2.0 + (DEGREE as f64 * NOISE_BOUND as f64) / 17f64.exp2()
}

const _: () = assert!(ELEMENT.is_multiple_of(BLOCK) && LIMBS as u32 * RESIDUE_BITS - 64 < FLOOD_BITS);
