//! Which columns of a party enter a joint scorecard. Each party decides about its own columns, with what it knows anyway.
//!
//! | when | what | who learns of it |
//! |---|---|---|
//! | after the encoding | [`by_correlation`]: of two columns that say the same, the weaker is left out | nobody |
//! | when a fit has settled, and at its end | [`review`]: columns whose coefficient contradicts their weight of evidence are left out | how many |

use super::linear::Gram;
use super::{ColumnEncoder, DropReason, Dropped, Encoded, Encoder, VerticalError};
use serde::{Deserialize, Serialize};

/// How columns are selected; with [`super::Encoding::Woe`] only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionOptions {
    /// Largest |correlation| of the encoded values of two columns of the same party. Without it [`MAX_CORRELATION`].
    pub max_correlation: Option<f64>,
    /// Leave out columns whose coefficient contradicts their weight of evidence. Without it yes, wherever it can be done.
    pub require_positive: Option<bool>,
}

/// [`SelectionOptions::max_correlation`] where a job does not say it: columns may say the same.
pub const MAX_CORRELATION: f64 = 1.0;

/// Scores are log-odds of bad and a high weight of evidence is good, so a coefficient should be negative. One above this
/// contradicts; one below it is no more than rounding: with a weight of evidence of 3 it moves the log-odds by 0.003.
pub const CONTRADICTION: f64 = 1e-3;

/// What counts in a review before the end: a smaller coefficient may still change its sign.
pub const CLEAR_CONTRADICTION: f64 = 0.05;

/// Signs have settled when a direction asks for a smaller change of the log-odds than this (root mean square over the rows). A
/// review at this point and one at the end leave out the columns that reviews at the end only do, in far fewer passes.
pub const SETTLED: f64 = 0.1;

impl SelectionOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), VerticalError> {
        let allowed = "above 0, at most 1";
        match self.max_correlation {
            Some(c) if !(c > 0.0 && c <= 1.0) => Err(VerticalError::Option { option: "max_correlation", allowed }),
            _ => Ok(()),
        }
    }

    /// Largest |correlation|; at 1 nothing is left out.
    pub fn most_correlation(&self) -> f64 {
        self.max_correlation.unwrap_or(MAX_CORRELATION)
    }
}

/// Goes through the columns by information value, the most informative first (ties in the order of the job), and leaves out
/// each whose encoded training values, `encoded`, correlate by more than `most` in size with a column already taken.
pub fn by_correlation(encoder: Encoder, encoded: &Encoded, most: f64) -> Result<Encoder, VerticalError> {
    let (expected, found) = (encoder.columns.len(), encoded.len());
    if expected != found {
        return Err(VerticalError::Length { what: "encoded columns", expected, found });
    }
    if most >= 1.0 {
        return Ok(encoder);
    }
    let gram = Gram::centred(&encoded.real());
    let iv = |at: &usize| match &encoder.columns[*at] {
        ColumnEncoder::Woe { binning } => binning.iv,
        ColumnEncoder::Standardise { .. } => 0.0,
    };
    let mut order: Vec<usize> = (0..expected).collect();
    order.sort_by(|a, b| iv(b).total_cmp(&iv(a)).then(a.cmp(b)));
    let (mut taken, mut reasons) = (Vec::new(), vec![None; expected]);
    for at in order {
        let twin = taken.iter().map(|t| (*t, gram.correlation(at, *t))).find(|(_, c)| c.abs() > most);
        match twin {
            None => taken.push(at),
            Some((with, correlation)) => {
                let with = encoder.columns[with].column().to_owned();
                reasons[at] = Some(DropReason::Correlated { with, correlation });
            }
        }
    }
    let (mut columns, mut dropped) = (Vec::new(), encoder.dropped);
    for (column, reason) in encoder.columns.into_iter().zip(reasons) {
        match reason {
            None => columns.push(column),
            Some(reason) => dropped.push(Dropped { column: column.column().to_owned(), reason }),
        }
    }
    Ok(Encoder { columns, dropped })
}

/// What a party finds when it looks at its own coefficients.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Positions of the columns that stay, ascending.
    pub kept: Vec<usize>,
    /// Positions of those that do not, with the coefficient that each had when it was left out, in that order.
    pub dropped: Vec<(usize, f64)>,
    /// Where the fit goes on from: coefficients of the columns that stay.
    pub coefficients: Vec<f64>,
}

/// Shows how many: which columns, and their coefficients, are the party's own.
impl core::fmt::Debug for Review {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Review {{ kept: {}, dropped: {} }}", self.kept.len(), self.dropped.len())
    }
}

/// How many coefficients contradict their weight of evidence.
pub fn contradicting(coefficients: &[f64]) -> usize {
    coefficients.iter().filter(|w| **w > CONTRADICTION).count()
}

/// Backward elimination by the party's own quadratic model of the loss, `curvature * G + ridge * I` around `coefficients`: the
/// column that contradicts most is left out and the others take over what they can, until no coefficient is above `above`. Columns of other
/// parties stay where they are: what they would take over shows in the refit, and in the next review.
pub fn review(
    columns: &[Vec<f64>],
    coefficients: &[f64],
    curvature: f64,
    ridge: f64,
    above: f64,
) -> Result<Review, VerticalError> {
    let mut w = coefficients.to_vec();
    let mut stays = vec![true; w.len()];
    let mut dropped = Vec::new();
    if worst(&w, &stays, above).is_some() {
        let rows = columns.first().map_or(0, Vec::len);
        let range = VerticalError::Range { what: "the Gram matrix", rows };
        let mut inverse = Gram::centred(columns).solver(curvature, ridge).ok_or(range)?.inverse();
        while let Some(j) = worst(&w, &stays, above) {
            dropped.push((j, w[j]));
            stays[j] = false;
            let (column, by) = (inverse[j].clone(), w[j]);
            for i in 0..w.len() {
                // The inverse without row and column j, and the least of the model where w_j = 0.
                let share = column[i] / column[j];
                w[i] -= share * by;
                inverse[i].iter_mut().zip(&column).for_each(|(p, c)| *p -= share * c);
            }
            w[j] = 0.0;
        }
    }
    let kept: Vec<usize> = (0..w.len()).filter(|j| stays[*j]).collect();
    let coefficients = kept.iter().map(|j| w[*j]).collect();
    Ok(Review { kept, dropped, coefficients })
}

/// The column that contradicts most; the first of equals.
fn worst(w: &[f64], stays: &[bool], above: f64) -> Option<usize> {
    let open = (0..w.len()).filter(|j| stays[*j] && w[*j] > above);
    open.max_by(|a, b| w[*a].total_cmp(&w[*b]).then(b.cmp(a)))
}

impl Encoder {
    /// The encoder without the columns that a review dropped.
    pub fn reviewed(&self, review: &Review) -> Encoder {
        let name = |at: &usize| self.columns.get(*at).map(|c| c.column().to_owned());
        let leaves = |(at, coefficient): &(usize, f64)| {
            let reason = DropReason::WrongSign { coefficient: *coefficient };
            Some(Dropped { column: name(at)?, reason })
        };
        let columns = review.kept.iter().filter_map(|at| self.columns.get(*at).cloned()).collect();
        Encoder {
            columns,
            dropped: self.dropped.iter().cloned().chain(review.dropped.iter().filter_map(leaves)).collect(),
        }
    }
}
