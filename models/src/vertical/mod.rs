//! Vertical learning: the same firms, their columns divided among parties. The arithmetic of every role, in the clear.
//!
//! One **label holder** knows the labels and perhaps columns of its own; one or more **feature holders** know columns only. All
//! have the same training rows in the same order. Nothing here encrypts, masks or sends: each function takes what a role has
//! received and returns what it sends next, and the protocol wraps the arrows.
//!
//! ```text
//! feature holder                                              label holder
//! either Encoder::standardise                                 the same with its own columns
//! or     woe::fine_columns        -- indicators . labels -->  woe::merge
//!        woe::final_columns       <-- groups, counts --
//! Encoder::encode
//! FeatureHolder::new                                          LabelHolder::new (solves over its own columns)
//! per pass:                       <-- Combination --          LabelHolder::combination
//!        FeatureHolder::apply     <-- Enc(residuals) --       LabelHolder::residuals
//!        FeatureHolder::direct    -- sum of Direction -->     LabelHolder::receive (solves over the span)
//! score::Block::new                                           score::Block::new, with the intercept
//! ```
//!
//! **Fixed point.** Encoded values are whole multiples of 2^-12 below 16 in size ([`Encoded`]), and these whole numbers *are* the
//! design matrix: the scores, the gradient and the Gram matrices all use them. Scores are whole multiples of 2^-26.
//!
//! **Orientation.** As everywhere, `true` is bad and a high weight of evidence is good. Scores here, and only here, are the
//! log-odds of **bad**: `PD = sigmoid(score)`, so coefficients of WOE columns are usually negative.

use crate::table::{Column, ColumnKind, ColumnSpec};
use serde::{Deserialize, Serialize};

pub mod attack;
pub mod encoding;
pub mod feature_holder;
pub mod label_holder;
mod linear;
mod merging;
pub mod minibatch;
pub mod passes;
pub mod pooled;
pub mod score;
pub mod selection;
pub mod woe;

pub use encoding::{ColumnEncoder, Encoded, Encoder, Encoding};
pub use feature_holder::{Direction, FeatureHolder};
pub use label_holder::LabelHolder;
pub use passes::{Combination, Pass, SolverOptions, Status};

/// Encoded values are multiples of `2^-VALUE_BITS`.
pub const VALUE_BITS: u32 = 12;
/// Encoded values are smaller than this in size: 16 in units of `2^-VALUE_BITS`.
pub const VALUE_LIMIT: i32 = 16 << VALUE_BITS;
/// Coefficients are multiples of `2^-COEFFICIENT_BITS` when a score is computed.
pub const COEFFICIENT_BITS: u32 = 28;
/// Scores are multiples of `2^-SCORE_BITS`.
pub const SCORE_BITS: u32 = 26;
/// Scores and partial scores stay below this in size (2^50 units, log-odds 2^24), so that sums over parties cannot overflow.
pub const SCORE_LIMIT: i64 = 1 << 50;

/// What stops a vertical computation. No message holds a value of a row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VerticalError {
    /// A column has other rows than the table.
    #[error("column `{column}` has {found} rows where {expected} are expected: load all columns from the same rows")]
    Rows {
        /// Name of the column.
        column: String,
        /// Rows expected.
        expected: usize,
        /// Rows found.
        found: usize,
    },
    /// Vectors do not belong together: a message of another pass, or of another job.
    #[error("{what}: {expected} entries are expected, {found} came; check that all parties are at the same pass")]
    Length {
        /// Which vector.
        what: &'static str,
        /// Entries expected.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// A numeric column arrived where a categorical one is agreed, or the other way round.
    #[error("column `{column}` ({rows} rows) is not of the kind that its spec names: check the column list")]
    Kind {
        /// Name of the column.
        column: String,
        /// Rows of the column.
        rows: usize,
    },
    /// Infinite values, or level indices beyond the agreed ones.
    #[error(
        "column `{column}` holds {bad_rows} infinite values or unknown level indices in {rows} rows: clean the source"
    )]
    Values {
        /// Name of the column.
        column: String,
        /// Rows of the column.
        rows: usize,
        /// Rows that cannot be used.
        bad_rows: usize,
    },
    /// A column that the model needs is not there.
    #[error("column `{column}` is missing from the table of {rows} rows: add it to the party's view")]
    Absent {
        /// Name of the column.
        column: String,
        /// Rows of the table.
        rows: usize,
    },
    /// A training row number is beyond the table.
    #[error("a training row lies beyond the {rows} rows of the table: check the row set of the job")]
    RowSet {
        /// Rows of the table.
        rows: usize,
    },
    /// Every column was dropped.
    #[error("no column is left of {columns} on {rows} training rows: see the reasons, add columns or lower `min_iv`")]
    NoColumns {
        /// Columns that were offered.
        columns: usize,
        /// Training rows.
        rows: usize,
    },
    /// Without both classes there is nothing to tell apart.
    #[error(
        "all {rows} training rows are of one class: both are needed, check the label rule and the observation window"
    )]
    OneClass {
        /// Training rows.
        rows: usize,
    },
    /// A number that came from elsewhere is NaN, infinite or absurdly large.
    #[error("{what} holds a number that is not finite or too large: the sender's message is damaged or dishonest")]
    NotFinite {
        /// Which vector.
        what: &'static str,
    },
    /// Counts that no set of rows can have.
    #[error(
        "the counts of fine column {column} are impossible (more bads than rows): the sender's message is dishonest or damaged"
    )]
    Counts {
        /// Position of the column.
        column: usize,
    },
    /// A score or coefficient does not fit the fixed point.
    #[error("{what} does not fit the fixed-point range over {rows} rows: raise `ridge`, or drop collinear columns")]
    Range {
        /// What does not fit.
        what: &'static str,
        /// Rows.
        rows: usize,
    },
    /// A call that does not follow from the one before.
    #[error("{what} is not due now: a message was repeated or left out")]
    Order {
        /// Which step.
        what: &'static str,
    },
    /// The holder's own limit.
    #[error(
        "{most} score vectors were sent, the most that this holder allows: lower `max_passes`, or raise the holder's limit"
    )]
    Budget {
        /// The limit.
        most: usize,
    },
    /// An option is out of its range.
    #[error("option `{option}` is out of range: {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A stored model block is inconsistent.
    #[error("the stored model block is damaged at column `{column}`: fetch it again from the party's vault")]
    Damaged {
        /// Name of the column.
        column: String,
    },
}

/// A column that takes no part, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Name of the column.
    pub column: String,
    /// Why.
    pub reason: DropReason,
}

/// Why a column takes no part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The same value in all training rows, after missing values are filled and the tails clipped.
    Constant,
    /// No training row has a value.
    AllMissing,
    /// Levels have no order to standardise along: use [`Encoding::Woe`].
    Categorical,
    /// Information value below the minimum asked for.
    LowInformation {
        /// The information value found.
        iv: f64,
    },
    /// It says what a column of the same party with more information says.
    Correlated {
        /// That column.
        with: String,
        /// Correlation of the encoded values over the training rows.
        correlation: f64,
    },
    /// Its coefficient contradicted its weight of evidence when the fit was reviewed.
    WrongSign {
        /// The coefficient, log-odds of bad.
        coefficient: f64,
    },
}

/// For people, as a part of a sentence.
impl core::fmt::Display for DropReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DropReason::Constant => f.write_str("the same value in all training rows"),
            DropReason::AllMissing => f.write_str("no value in any training row"),
            DropReason::Categorical => f.write_str("levels have no order to standardise along"),
            DropReason::LowInformation { iv } => write!(f, "information value {iv:.4}"),
            DropReason::Correlated { with, correlation } => {
                write!(f, "says what {with} already says (correlation {correlation:.2})")
            }
            // In log-odds of good, as people read scorecards.
            DropReason::WrongSign { coefficient } => {
                write!(f, "coefficient {:.3} contradicted its weight of evidence", -coefficient)
            }
        }
    }
}

/// The columns of one party, in the common row order of the job. NaN is a missing number; level indices are as in [`Column`].
#[derive(Clone, PartialEq)]
pub struct Features {
    specs: Vec<ColumnSpec>,
    columns: Vec<Column>,
    rows: usize,
}

/// Shows the shape only.
impl core::fmt::Debug for Features {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Features {{ columns: {}, rows: {} }}", self.columns.len(), self.rows)
    }
}

impl Features {
    /// Columns with their specs; all must have `rows` rows, no infinite values and level indices in range.
    pub fn new(specs: Vec<ColumnSpec>, columns: Vec<Column>, rows: usize) -> Result<Features, VerticalError> {
        if specs.len() != columns.len() {
            return Err(VerticalError::Length { what: "columns", expected: specs.len(), found: columns.len() });
        }
        for (spec, column) in specs.iter().zip(&columns) {
            let name = || spec.name.clone();
            if column.len() != rows {
                return Err(VerticalError::Rows { column: name(), expected: rows, found: column.len() });
            }
            let bad_rows = match (column, &spec.kind) {
                (Column::Numeric(v), ColumnKind::Numeric) => v.iter().filter(|x| x.is_infinite()).count(),
                (Column::Categorical(v), ColumnKind::Categorical { levels }) => {
                    v.iter().filter(|&&l| l as usize > levels.len() + 1).count()
                }
                _ => return Err(VerticalError::Kind { column: name(), rows }),
            };
            if bad_rows > 0 {
                return Err(VerticalError::Values { column: name(), rows, bad_rows });
            }
        }
        Ok(Features { specs, columns, rows })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Names and kinds.
    pub fn specs(&self) -> &[ColumnSpec] {
        &self.specs
    }

    /// The columns, parallel to [`Features::specs`].
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn check_rows(&self, rows: &[usize]) -> Result<(), VerticalError> {
        if rows.iter().any(|&r| r >= self.rows) { Err(VerticalError::RowSet { rows: self.rows }) } else { Ok(()) }
    }

    fn find(&self, column: &str) -> Option<(&ColumnSpec, &Column)> {
        self.specs.iter().position(|s| s.name == column).map(|at| (&self.specs[at], &self.columns[at]))
    }
}

/// Residuals as whole multiples of `2^-bits`, rounded to nearest. With `n` rows the rounding moves an entry of the gradient by
/// about `2^-bits * sqrt(n / 12)`, so 12 bits are plenty for coefficients to 1e-4.
pub fn quantise_residuals(residuals: &[f64], bits: u32) -> Vec<i64> {
    let scale = libm::ldexp(1.0, bits as i32);
    residuals.iter().map(|d| libm::rint(d * scale) as i64).collect()
}

/// A gradient `X^T d` from whole products of encoded values and residuals in units of `2^-bits`.
pub fn gradient_from_products(products: &[i64], bits: u32) -> Vec<f64> {
    let scale = libm::ldexp(1.0, -((bits + VALUE_BITS) as i32));
    products.iter().map(|&p| p as f64 * scale).collect()
}

/// A score in units of `2^-SCORE_BITS` as log-odds of bad.
pub fn log_odds(score: i64) -> f64 {
    score as f64 * libm::ldexp(1.0, -(SCORE_BITS as i32))
}
