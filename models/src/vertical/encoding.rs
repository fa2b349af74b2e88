//! From a party's own columns to its part of the design matrix. Everything is learned from the party's own training rows.

use super::linear::{Gram, dot};
use super::{
    COEFFICIENT_BITS, DropReason, Dropped, Features, SCORE_BITS, SCORE_LIMIT, VALUE_BITS, VALUE_LIMIT, VerticalError,
};
use crate::binning::Binning;
use crate::table::Column;
use serde::{Deserialize, Serialize};

/// How the columns of a party enter the regression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Median for missing values, tails clipped, mean 0, standard deviation 1.
    Standardise,
    /// Weight of evidence of the bin, see [`super::woe`].
    #[default]
    Woe,
}

/// How one column is encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "encoding", rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnEncoder {
    /// `(clip(x) - mean) / deviation`.
    Standardise {
        /// Name of the column.
        column: String,
        /// For missing values: the median of the training rows that have one.
        median: f64,
        /// 1 % quantile of the training rows.
        low: f64,
        /// 99 % quantile.
        high: f64,
        /// Mean after filling and clipping.
        mean: f64,
        /// Standard deviation (of the population) after filling and clipping, above 0.
        deviation: f64,
    },
    /// Weight of evidence.
    Woe {
        /// The bins.
        binning: Binning,
    },
}

impl ColumnEncoder {
    /// Name of the column.
    pub fn column(&self) -> &str {
        match self {
            ColumnEncoder::Standardise { column, .. } => column,
            ColumnEncoder::Woe { binning } => &binning.column,
        }
    }

    /// Encoded value of a number in units of `2^-VALUE_BITS`; NaN is missing.
    pub fn number(&self, x: f64) -> i32 {
        match self {
            ColumnEncoder::Standardise { median, low, high, mean, deviation, .. } => {
                let x = if x.is_nan() { *median } else { x };
                quantise((x.clamp(*low, *high) - mean) / deviation)
            }
            ColumnEncoder::Woe { binning } => quantise(binning.woe_of_numeric(x)),
        }
    }

    /// Encoded value of bin `bin` of a WOE column.
    pub(crate) fn of_bin(binning: &Binning, bin: usize) -> i32 {
        binning.bins.get(bin).map_or(0, |b| quantise(b.woe))
    }

    /// Encoded values of all bins of a WOE column; nothing for a standardised one.
    pub(crate) fn of_bins(&self) -> Vec<i32> {
        match self {
            ColumnEncoder::Standardise { .. } => Vec::new(),
            ColumnEncoder::Woe { binning } => (0..binning.bins.len()).map(|b| Self::of_bin(binning, b)).collect(),
        }
    }

    fn is_consistent(&self) -> bool {
        match self {
            ColumnEncoder::Standardise { median, low, high, mean, deviation, .. } => {
                [median, low, high, mean].iter().all(|x| x.is_finite())
                    && low <= high
                    && deviation.is_finite()
                    && *deviation > 0.0
            }
            ColumnEncoder::Woe { binning } => {
                binning.bins.iter().all(|b| b.woe.is_finite())
                    && binning.bins.last().is_some_and(|b| b.kind == crate::binning::BinKind::Missing)
            }
        }
    }
}

fn quantise(x: f64) -> i32 {
    let limit = f64::from(VALUE_LIMIT - 1);
    libm::rint(x * libm::ldexp(1.0, VALUE_BITS as i32)).clamp(-limit, limit) as i32
}

/// A party's whole encoding, and what it left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// The columns that take part, in the order of the design matrix.
    pub columns: Vec<ColumnEncoder>,
    /// The columns that do not.
    pub dropped: Vec<Dropped>,
}

impl Encoder {
    /// [`Encoding::Standardise`] from the given training rows. A WOE encoder comes from [`super::woe::final_columns`].
    pub fn standardise(features: &Features, train: &[usize]) -> Result<Encoder, VerticalError> {
        features.check_rows(train)?;
        let (mut columns, mut dropped) = (Vec::new(), Vec::new());
        for (spec, column) in features.specs().iter().zip(features.columns()) {
            let found = match column {
                Column::Categorical(_) => Err(DropReason::Categorical),
                Column::Numeric(values) => standardised(&spec.name, train.iter().map(|&r| values[r]).collect()),
            };
            match found {
                Ok(encoder) => columns.push(encoder),
                Err(reason) => dropped.push(Dropped { column: spec.name.clone(), reason }),
            }
        }
        Ok(Encoder { columns, dropped })
    }

    /// Names of the columns that take part.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.column().to_owned()).collect()
    }

    /// This party's part of the design matrix for some rows.
    pub fn encode(&self, features: &Features, rows: &[usize]) -> Result<Encoded, VerticalError> {
        features.check_rows(rows)?;
        let columns = self.columns.iter().map(|c| encode_column(c, features, rows)).collect::<Result<_, _>>()?;
        Ok(Encoded { rows: rows.len(), columns })
    }

    /// Checks an encoder that came out of a store.
    pub fn check(&self) -> Result<(), VerticalError> {
        match self.columns.iter().find(|c| !c.is_consistent()) {
            Some(bad) => Err(VerticalError::Damaged { column: bad.column().to_owned() }),
            None => Ok(()),
        }
    }
}

fn encode_column(encoder: &ColumnEncoder, features: &Features, rows: &[usize]) -> Result<Vec<i32>, VerticalError> {
    let name = encoder.column();
    let (spec, column) =
        features.find(name).ok_or_else(|| VerticalError::Absent { column: name.to_owned(), rows: features.rows() })?;
    let kind = || VerticalError::Kind { column: name.to_owned(), rows: features.rows() };
    match (encoder, column) {
        (ColumnEncoder::Standardise { .. }, Column::Numeric(v)) => {
            Ok(rows.iter().map(|&r| encoder.number(v[r])).collect())
        }
        (ColumnEncoder::Woe { binning }, column) => {
            let bins = super::woe::bins_of(binning, spec, column).ok_or_else(kind)?;
            Ok(rows.iter().map(|&r| ColumnEncoder::of_bin(binning, bins[r])).collect())
        }
        _ => Err(kind()),
    }
}

fn standardised(name: &str, values: Vec<f64>) -> Result<ColumnEncoder, DropReason> {
    let mut present: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    if present.is_empty() {
        return Err(DropReason::AllMissing);
    }
    present.sort_unstable_by(f64::total_cmp);
    let median = quantile(&present, 0.5);
    let missing = values.len() - present.len();
    let at = present.partition_point(|x| x.total_cmp(&median).is_lt());
    let mut filled = present;
    filled.splice(at..at, std::iter::repeat_n(median, missing));
    let (low, high) = (quantile(&filled, 0.01), quantile(&filled, 0.99));
    let n = filled.len() as f64;
    // Around a value of the column, so that large numbers with a small spread keep their digits.
    let offset = |x: f64| x.clamp(low, high) - median;
    let mean = filled.iter().map(|&x| offset(x)).sum::<f64>() / n;
    let variance = filled.iter().map(|&x| (offset(x) - mean) * (offset(x) - mean)).sum::<f64>() / n;
    let deviation = libm::sqrt(variance);
    if !deviation.is_finite() || deviation <= 1e-12 * (high.abs().max(low.abs())) {
        return Err(DropReason::Constant);
    }
    Ok(ColumnEncoder::Standardise { column: name.to_owned(), median, low, high, mean: mean + median, deviation })
}

/// Linearly interpolated quantile of sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (libm::floor(at) as usize, at - libm::floor(at));
    let above = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + (above - sorted[below]) * part
}

/// A party's part of the design matrix: whole multiples of `2^-VALUE_BITS`, column by column.
#[derive(Clone, PartialEq)]
pub struct Encoded {
    rows: usize,
    columns: Vec<Vec<i32>>,
}

/// Shows the shape only.
impl core::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Encoded {{ columns: {}, rows: {} }}", self.columns.len(), self.rows)
    }
}

/// A column that other columns of the same party nearly determine. It stays in: the ridge decides what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collinear {
    /// Position of the column.
    pub column: usize,
    /// Share of its variance that the other columns do not explain.
    pub unexplained: f64,
}

impl Encoded {
    /// Columns in units of `2^-VALUE_BITS`, all of `rows` rows and below [`VALUE_LIMIT`] in size.
    pub fn new(rows: usize, columns: Vec<Vec<i32>>) -> Result<Encoded, VerticalError> {
        if let Some(found) = columns.iter().map(Vec::len).find(|&l| l != rows) {
            return Err(VerticalError::Length { what: "an encoded column", expected: rows, found });
        }
        if columns.iter().flatten().any(|x| x.unsigned_abs() >= VALUE_LIMIT.unsigned_abs()) {
            return Err(VerticalError::Range { what: "an encoded column", rows });
        }
        Ok(Encoded { rows, columns })
    }

    /// Some of the columns, by position.
    pub fn narrowed(&self, kept: &[usize]) -> Encoded {
        Encoded { rows: self.rows, columns: kept.iter().filter_map(|j| self.columns.get(*j).cloned()).collect() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True without any column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// One column in units of `2^-VALUE_BITS`.
    pub fn column(&self, index: usize) -> &[i32] {
        &self.columns[index]
    }

    /// All columns as real numbers.
    pub fn real(&self) -> Vec<Vec<f64>> {
        let unit = libm::ldexp(1.0, -(VALUE_BITS as i32));
        self.columns.iter().map(|c| c.iter().map(|&x| f64::from(x) * unit).collect()).collect()
    }

    /// `X^T d` in whole numbers: what the encrypted product returns, here in the clear.
    pub fn products(&self, residuals: &[i64]) -> Vec<i64> {
        let one = |c: &Vec<i32>| c.iter().zip(residuals).fold(0i64, |s, (&x, &d)| s.wrapping_add(i64::from(x) * d));
        self.columns.iter().map(one).collect()
    }

    /// Scores `X w` of all rows in units of `2^-SCORE_BITS`: the coefficients are rounded to `2^-COEFFICIENT_BITS`, the sum is
    /// exact, and each row is rounded once.
    pub fn scores(&self, coefficients: &[f64]) -> Result<Vec<i64>, VerticalError> {
        let all: Vec<usize> = (0..self.rows).collect();
        self.scores_of_rows(coefficients, &all)
    }

    /// The same for some rows.
    pub fn scores_of_rows(&self, coefficients: &[f64], rows: &[usize]) -> Result<Vec<i64>, VerticalError> {
        if coefficients.len() != self.len() {
            let (expected, found) = (self.len(), coefficients.len());
            return Err(VerticalError::Length { what: "coefficients", expected, found });
        }
        if rows.iter().any(|&r| r >= self.rows) {
            return Err(VerticalError::RowSet { rows: self.rows });
        }
        let fixed = coefficients_in_fixed_point(coefficients, rows.len())?;
        let mut sums = vec![0i64; rows.len()];
        for (column, &c) in self.columns.iter().zip(&fixed) {
            for (sum, &row) in sums.iter_mut().zip(rows) {
                *sum += c * i64::from(column[row]);
            }
        }
        Ok(sums.into_iter().map(to_score).collect())
    }

    /// Columns that are nearly combinations of the others, by a Cholesky factorisation with pivoting of the correlations: those
    /// that are left when every other column has been taken out and less than `share` of the variance remains.
    pub fn collinear(&self, share: f64) -> Vec<Collinear> {
        let gram = Gram::centred(&self.real());
        gram.dependent(share).into_iter().map(|(column, unexplained)| Collinear { column, unexplained }).collect()
    }

    /// Mean of each column.
    pub fn means(&self) -> Vec<f64> {
        let ones = vec![1.0; self.rows];
        self.real().iter().map(|c| dot(c, &ones) / (self.rows as f64).max(1.0)).collect()
    }
}

/// Coefficients in units of `2^-COEFFICIENT_BITS`. Their sum is bounded so that no score can overflow.
pub(crate) fn coefficients_in_fixed_point(coefficients: &[f64], rows: usize) -> Result<Vec<i64>, VerticalError> {
    // sum |c| * 16 < 2^20, so the exact sums stay below 2^(20 + 28 + 12) = 2^60.
    let total: f64 = coefficients.iter().map(|c| c.abs()).sum();
    if !total.is_finite() || total >= 65_536.0 {
        return Err(VerticalError::Range { what: "the sum of the coefficients", rows });
    }
    let scale = libm::ldexp(1.0, COEFFICIENT_BITS as i32);
    Ok(coefficients.iter().map(|c| libm::rint(c * scale) as i64).collect())
}

/// From units of `2^-(COEFFICIENT_BITS + VALUE_BITS)` to scores, rounded to nearest, halves up.
pub(crate) fn to_score(sum: i64) -> i64 {
    const SHIFT: u32 = COEFFICIENT_BITS + VALUE_BITS - SCORE_BITS;
    let score = (sum + (1 << (SHIFT - 1))) >> SHIFT;
    debug_assert!(score.abs() <= SCORE_LIMIT, "bounded by the sum of the coefficients");
    score
}
