//! The part of a model that each party keeps, and exact scores from it.
//!
//! A model never lies in one place: every party has a [`Block`] with its own columns, bins and coefficients. Terms are whole
//! numbers in units of `2^-SCORE_BITS`, so a total is the same to the last bit whoever adds it up, one row or many at a time:
//!
//! ```text
//! score = base (label holder's) + sum over parties and columns of term        log-odds of bad
//! PD    = sigmoid(score * 2^-26)
//! ```

use super::encoding::{ColumnEncoder, coefficients_in_fixed_point, to_score};
use super::{Dropped, Encoder, Features, SCORE_BITS, SCORE_LIMIT, VerticalError, log_odds};
use crate::glm::sigmoid;
use crate::scorecard::{ScalingOptions, Value};
use serde::{Deserialize, Serialize};

/// Version of the stored form.
pub const BLOCK_VERSION: u32 = 1;

/// One column of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// How its values are encoded.
    pub encoder: ColumnEncoder,
    /// The coefficient in units of `2^-COEFFICIENT_BITS`, log-odds of bad.
    pub coefficient: i64,
    /// WOE columns: the term of each bin in units of `2^-SCORE_BITS`, parallel to the bins. Empty for standardised columns.
    pub terms: Vec<i64>,
}

/// A party's part of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// [`BLOCK_VERSION`].
    pub version: u32,
    /// Intercept in units of `2^-SCORE_BITS` at the label holder, 0 elsewhere.
    pub base: i64,
    /// The columns.
    pub columns: Vec<Term>,
    /// Mean partial score of the training rows, what the others may take where this party does not answer.
    pub mean_partial: i64,
    /// Columns of the party that take no part.
    pub dropped: Vec<Dropped>,
}

impl Block {
    /// A block from an encoder and the coefficients of its columns; `intercept` is 0 for feature holders. The mean is over the
    /// training rows of `features`.
    pub fn new(
        encoder: &Encoder,
        coefficients: &[f64],
        intercept: f64,
        features: &Features,
        train: &[usize],
    ) -> Result<Block, VerticalError> {
        let rows = train.len();
        if coefficients.len() != encoder.columns.len() {
            let (expected, found) = (encoder.columns.len(), coefficients.len());
            return Err(VerticalError::Length { what: "coefficients", expected, found });
        }
        let base = libm::rint(libm::ldexp(intercept, SCORE_BITS as i32));
        if base.is_nan() || base.abs() >= SCORE_LIMIT as f64 {
            return Err(VerticalError::Range { what: "the intercept", rows });
        }
        let fixed = coefficients_in_fixed_point(coefficients, rows)?;
        let term = |(encoder, coefficient): (&ColumnEncoder, i64)| {
            let terms = encoder.of_bins().into_iter().map(|x| to_score(coefficient * i64::from(x))).collect();
            Term { encoder: encoder.clone(), coefficient, terms }
        };
        let columns = encoder.columns.iter().zip(fixed).map(term).collect();
        let dropped = encoder.dropped.clone();
        let mut block = Block { version: BLOCK_VERSION, base: base as i64, columns, mean_partial: 0, dropped };
        let partials = block.partials(features, train)?;
        block.mean_partial = mean(&partials);
        Ok(block)
    }

    /// Checks a block that came out of a store.
    pub fn check(&self) -> Result<(), VerticalError> {
        let columns: Vec<ColumnEncoder> = self.columns.iter().map(|t| t.encoder.clone()).collect();
        Encoder { columns, dropped: Vec::new() }.check()?;
        let unit = libm::ldexp(1.0, -(super::COEFFICIENT_BITS as i32));
        let coefficients: Vec<f64> = self.columns.iter().map(|t| t.coefficient as f64 * unit).collect();
        coefficients_in_fixed_point(&coefficients, 0)?;
        let whole = |t: &&Term| {
            let terms = t.encoder.of_bins().into_iter().map(|x| to_score(t.coefficient * i64::from(x)));
            !terms.eq(t.terms.iter().copied())
        };
        if let Some(bad) = self.columns.iter().find(whole) {
            return Err(VerticalError::Damaged { column: bad.encoder.column().to_owned() });
        }
        let inside = |x: i64| x.unsigned_abs() <= SCORE_LIMIT.unsigned_abs();
        if self.version != BLOCK_VERSION || !inside(self.base) || !inside(self.mean_partial) {
            return Err(VerticalError::Damaged { column: "(block)".to_owned() });
        }
        Ok(())
    }

    /// Partial scores of some rows, base included.
    pub fn partials(&self, features: &Features, rows: &[usize]) -> Result<Vec<i64>, VerticalError> {
        features.check_rows(rows)?;
        let mut sums = vec![self.base; rows.len()];
        for term in &self.columns {
            let name = term.encoder.column();
            let absent = || VerticalError::Absent { column: name.to_owned(), rows: features.rows() };
            let (spec, column) = features.find(name).ok_or_else(absent)?;
            let kind = || VerticalError::Kind { column: name.to_owned(), rows: features.rows() };
            match (&term.encoder, column) {
                (ColumnEncoder::Woe { binning }, column) => {
                    let bins = super::woe::bins_of(binning, spec, column).ok_or_else(kind)?;
                    sums.iter_mut().zip(rows).for_each(|(s, &r)| *s += term.of_bin(bins[r]));
                }
                (ColumnEncoder::Standardise { .. }, crate::table::Column::Numeric(values)) => {
                    sums.iter_mut().zip(rows).for_each(|(s, &r)| *s += term.of_number(values[r]));
                }
                _ => return Err(kind()),
            }
        }
        Ok(sums)
    }

    /// Partial score of one firm from named values, base included. A column that `value` does not know counts as missing, a
    /// text that was not agreed on as "other", and infinite numbers as the last bin or the clipped tail.
    pub fn partial(&self, value: impl Fn(&str) -> Value) -> i64 {
        self.terms(value).into_iter().fold(self.base, |sum, (_, term)| sum + term)
    }

    /// The terms of one firm by column, in units of `2^-SCORE_BITS`: reasons for the owner of the columns only.
    pub fn terms(&self, value: impl Fn(&str) -> Value) -> Vec<(&str, i64)> {
        let one = |t: &Term| match (value(t.encoder.column()), &t.encoder) {
            (Value::Number(x), _) if !t.is_categorical() => t.of_number(x),
            (Value::Text(text), ColumnEncoder::Woe { binning }) if t.is_categorical() => {
                t.of_bin(binning.bin_of_text(&text))
            }
            _ => t.of_number(f64::NAN),
        };
        self.columns.iter().map(|t| (t.encoder.column(), one(t))).collect()
    }

    /// Points per column and bin of the WOE columns, high for good firms, before rounding; [`Block::base_points`] go to
    /// everybody. Nobody needs another party's points to add its own.
    pub fn points(&self, scaling: &ScalingOptions) -> Vec<(&str, Vec<f64>)> {
        let points = |t: &Term| t.terms.iter().map(|&x| -scaling.factor() * log_odds(x)).collect();
        self.columns.iter().map(|t| (t.encoder.column(), points(t))).collect()
    }

    /// Points that everybody gets, from the label holder's block.
    pub fn base_points(&self, scaling: &ScalingOptions) -> f64 {
        scaling.base_score - scaling.factor() * (log_odds(self.base) + libm::log(scaling.base_odds))
    }
}

impl Term {
    fn is_categorical(&self) -> bool {
        matches!(&self.encoder, ColumnEncoder::Woe { binning } if binning.levels.is_some())
    }

    fn of_bin(&self, bin: usize) -> i64 {
        self.terms.get(bin).copied().unwrap_or(0)
    }

    /// Term of a number; NaN is missing, also for a categorical column.
    fn of_number(&self, x: f64) -> i64 {
        match &self.encoder {
            ColumnEncoder::Standardise { .. } => to_score(self.coefficient * i64::from(self.encoder.number(x))),
            ColumnEncoder::Woe { binning } => self.of_bin(binning.bin_of_numeric(x)),
        }
    }
}

/// Total of the partial scores of all parties; `None` when it does not fit, which honest partial scores never cause.
pub fn total(partials: impl IntoIterator<Item = i64>) -> Option<i64> {
    partials.into_iter().try_fold(0i64, i64::checked_add)
}

/// Probability of default of a total score.
pub fn probability_of_default(score: i64) -> f64 {
    sigmoid(log_odds(score))
}

/// Points of a total score, high for good firms.
pub fn points(score: i64, scaling: &ScalingOptions) -> f64 {
    scaling.base_score - scaling.factor() * (log_odds(score) + libm::log(scaling.base_odds))
}

fn mean(partials: &[i64]) -> i64 {
    let sum: i128 = partials.iter().map(|&p| i128::from(p)).sum();
    let n = partials.len().max(1) as i128;
    ((2 * sum + n).div_euclid(2 * n)) as i64
}
