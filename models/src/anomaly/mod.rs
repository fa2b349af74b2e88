//! Anomalies without a network: tail statistics and an isolation forest, both from sums of counts.
//!
//! Every vector that leaves a party holds non-negative whole numbers and means something only added over all parties:
//!
//! | step | at each party | from the sum |
//! |---|---|---|
//! | 1 | [`crate::grid::profile`] | [`grids`]: cells that resolve the tails and the gaps |
//! | 2 | [`crate::grid::label_counts`] | [`Margins::new`]: how each column is distributed |
//! | | | [`Tails::new`]: done, no further sum |
//! | 3.. | [`ForestPlan::counts`] | [`ForestPlan::absorb`]: one more level of every tree |
//! | last | [`AnomalyGrid::count`] | [`Thresholds::new`], [`crate::metrics::average_precision`] |
//!
//! No row, no tree of one party and no minimum or maximum of one party is shown; the model follows from the sums alone.
//!
//! **Orientation**: an anomaly score is high for anomalies. [`AnomalyGrid`] turns it around for [`crate::metrics`].

mod forest;
mod growth;
mod margins;
mod score;
mod tails;

pub use forest::{Forest, ForestColumn, ForestKind, Node, Split, Tree};
pub use growth::{ForestOptions, ForestPlan, Grown, row_keys};
pub use margins::{Margin, Margins, Population, grids};
pub use score::{AnomalyGrid, Driver, Levels, Thresholds, drivers, threshold};
pub use tails::{Missing, Sum, TailOptions, Tails};

use crate::grid::StatisticsError;

/// Why an anomaly model cannot be learned, read or applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnomalyError {
    /// A table or a vector of counts does not fit.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// An option that is refused.
    #[error("{option} is out of range: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Nothing can be learned from so few rows.
    #[error("{rows} rows came together where at least {least} are needed: let more parties in, or use more train rows")]
    TooFewRows {
        /// Rows of all parties.
        rows: f64,
        /// Rows needed.
        least: f64,
    },
    /// Two parts of one sum contradict each other.
    #[error(
        "{what} add up to {found} where {expected} rows are known: a party counted other rows than before, or came or went between two \
         sums, which a forest does not survive: submit the job again when all parties are there"
    )]
    Inconsistent {
        /// Which counts.
        what: &'static str,
        /// What is known.
        expected: f64,
        /// What the sum says.
        found: f64,
    },
    /// Each row needs a key.
    #[error("{found} row keys came for {expected} rows: draw one key per row of the table")]
    Keys {
        /// Rows of the table.
        expected: usize,
        /// Keys given.
        found: usize,
    },
    /// A stored model that cannot be right.
    #[error("the stored model is damaged ({what}): fetch it again from the journal")]
    Damaged {
        /// The rule that it breaks.
        what: &'static str,
    },
}

fn rule(holds: bool, option: &'static str, allowed: &'static str) -> Result<(), AnomalyError> {
    if holds { Ok(()) } else { Err(AnomalyError::Option { option, allowed }) }
}

fn intact(holds: bool, what: &'static str) -> Result<(), AnomalyError> {
    if holds { Ok(()) } else { Err(AnomalyError::Damaged { what }) }
}
