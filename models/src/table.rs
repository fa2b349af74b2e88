//! Rows of one party, in memory, column by column.

use crate::grid::StatisticsError;
use serde::{Deserialize, Serialize};

/// What a job asks of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// Name of the column in the job's view.
    pub name: String,
    /// How its values are read and binned.
    #[serde(flatten)]
    pub kind: ColumnKind,
}

/// How the values of a column are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    /// Finite numbers; a null is a missing value.
    Numeric,
    /// One of the agreed levels; a null is a missing value, any other text falls into the level "other".
    Categorical {
        /// The levels that the parties agreed on, in the order of the histogram.
        levels: Vec<String>,
    },
}

/// Values of one column; every vector of a [`Table`] has the same length.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Finite numbers, or NaN where the value is missing (loaders turn nulls into NaN and refuse NaN and infinities in the source).
    Numeric(Vec<f64>),
    /// Index into the levels of the spec; `levels.len()` is "other", `levels.len() + 1` is missing.
    Categorical(Vec<u32>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Numeric(v) => v.len(),
            Column::Categorical(v) => v.len(),
        }
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which part of the data a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Used to learn.
    Train,
    /// Used to evaluate only.
    Test,
}

/// The rows that one party brings to a job. Keys stay with the loader: learning does not need them.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// One spec per column, in the order of the job.
    pub specs: Vec<ColumnSpec>,
    /// The columns, parallel to `specs`.
    pub columns: Vec<Column>,
    /// `true` = bad (default, overdue, bankrupt).
    pub label: Vec<bool>,
    /// Train or test, one per row.
    pub split: Vec<Split>,
    /// Firm of each row: rows with the same number belong to one firm, and the numbers mean nothing else. `None`: each row is
    /// a firm of its own. Only [`crate::clipped`] looks at it.
    pub firms: Option<Vec<u32>>,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.label.len()
    }

    /// The same rows grouped into firms, one number per row.
    pub fn with_firms(self, firms: Vec<u32>) -> Result<Table, StatisticsError> {
        let (expected, found) = (self.rows(), firms.len());
        if found != expected {
            return Err(StatisticsError::Rows { column: "firms".to_owned(), expected, found });
        }
        Ok(Table { firms: Some(firms), ..self })
    }
}
