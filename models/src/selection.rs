//! Which variables go into the scorecard, and why the others do not.

use crate::binning::{Binning, Flat, Matrix};
use crate::glm::{Fit, GlmError};
use crate::symmetric::{Symmetric, triangle};
use serde::{Deserialize, Serialize};

/// How variables are selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionOptions {
    /// Least information value.
    pub min_iv: f64,
    /// Information value above which a variable is marked as suspicious (a leak of the outcome); it is kept.
    pub suspicious_iv: f64,
    /// Largest |correlation| of the WOE values of two variables.
    pub max_correlation: f64,
    /// Largest p-value in the fitted regression. The default is mild: for prediction, a variable with the right sign and a
    /// p-value of 0.1 is better kept than dropped.
    pub max_p_value: f64,
    /// Drop variables whose coefficient has the sign opposite to their WOE: their points would read the wrong way round.
    pub require_positive: bool,
    /// Most variables.
    pub max_variables: usize,
}

impl Default for SelectionOptions {
    fn default() -> Self {
        SelectionOptions {
            min_iv: 0.02,
            suspicious_iv: 0.5,
            max_correlation: 0.75,
            max_p_value: 0.2,
            require_positive: true,
            max_variables: 20,
        }
    }
}

impl SelectionOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), GlmError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(GlmError::Option { option, allowed }) }
        };
        rule(self.min_iv.is_finite() && self.min_iv >= 0.0, "min_iv", "0 or more")?;
        rule(self.max_correlation > 0.0 && self.max_correlation <= 1.0, "max_correlation", "above 0, at most 1")?;
        rule(self.max_p_value > 0.0 && self.max_p_value <= 1.0, "max_p_value", "above 0, at most 1")?;
        rule(self.max_variables >= 1, "max_variables", "1 or more")
    }
}

/// Why a variable was dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// Its values could not be divided and say nothing.
    Flat(Flat),
    /// Its information value is below the minimum.
    LowInformation {
        /// Information value.
        iv: f64,
    },
    /// It says what a stronger variable already says.
    Correlated {
        /// The stronger variable.
        with: String,
        /// Correlation of the WOE values.
        correlation: f64,
    },
    /// `max_variables` were already taken by variables with more information.
    TooMany,
    /// Its coefficient contradicts its weight of evidence.
    WrongSign {
        /// The coefficient.
        coefficient: f64,
    },
    /// Beside the others it adds nothing that could be told from chance.
    NotSignificant {
        /// p-value of the coefficient.
        p_value: f64,
    },
}

/// A variable that is not in the scorecard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Name of the column.
    pub column: String,
    /// Information value.
    pub iv: f64,
    /// Why.
    pub reason: Reason,
}

/// The outcome of a selection step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Positions in the list of binnings, by information value, largest first (ties by position).
    pub kept: Vec<usize>,
    /// Everything else.
    pub dropped: Vec<Dropped>,
    /// Kept variables whose information value is suspiciously high.
    pub suspicious: Vec<String>,
}

impl Selection {
    /// The kept binnings, in order.
    pub fn binnings(&self, all: &[Binning]) -> Vec<Binning> {
        self.kept.iter().filter_map(|&i| all.get(i).cloned()).collect()
    }

    /// The same selection without the `at`-th kept variable.
    pub fn without(&self, at: usize, all: &[Binning], reason: Reason) -> Selection {
        let mut next = self.clone();
        if at < next.kept.len() {
            let binning = all.get(next.kept.remove(at));
            if let Some(b) = binning {
                next.suspicious.retain(|name| *name != b.column);
                next.dropped.push(Dropped { column: b.column.clone(), iv: b.iv, reason });
            }
        }
        next
    }
}

/// Keeps variables with enough information, the most informative first.
pub fn by_information_value(binnings: &[Binning], options: &SelectionOptions) -> Selection {
    let mut selection = Selection::default();
    for (index, b) in binnings.iter().enumerate() {
        let drop = |reason| Dropped { column: b.column.clone(), iv: b.iv, reason };
        match b.flat {
            Some(flat) if b.iv < options.min_iv => selection.dropped.push(drop(Reason::Flat(flat))),
            _ if b.iv < options.min_iv => selection.dropped.push(drop(Reason::LowInformation { iv: b.iv })),
            _ => selection.kept.push(index),
        }
    }
    selection.kept.sort_by(|&a, &b| binnings[b].iv.total_cmp(&binnings[a].iv).then(a.cmp(&b)));
    let suspicious = selection.kept.iter().filter(|&&i| binnings[i].iv > options.suspicious_iv);
    selection.suspicious = suspicious.map(|&i| binnings[i].column.clone()).collect();
    selection
}

/// Sums for the correlations of the columns of a matrix: `rows`, then `p` sums, then the upper triangle of cross-products.
/// Local half; add the vectors of all parties.
pub fn correlation_statistics(x: &Matrix) -> Vec<f64> {
    let p = x.columns();
    let mut sums = vec![0.0; correlation_len(p)];
    sums[0] = x.rows() as f64;
    for i in 0..x.rows() {
        let row = x.row(i);
        let mut at = 1 + p;
        for (j, &xj) in row.iter().enumerate() {
            sums[1 + j] += xj;
            for (s, &xk) in sums[at..].iter_mut().zip(&row[j..]) {
                *s += xj * xk;
            }
            at += p - j;
        }
    }
    sums
}

/// Entries of [`correlation_statistics`] for `p` columns.
pub fn correlation_len(columns: usize) -> usize {
    1 + columns + triangle(columns)
}

/// Largest absolute value of each entry of [`correlation_statistics`], for `rows` rows in the sum and `|x| <= max_abs_x`.
pub fn correlation_bounds(rows: f64, columns: usize, max_abs_x: f64) -> Vec<f64> {
    let mut bounds = vec![rows];
    bounds.extend(std::iter::repeat_n(rows * max_abs_x, columns));
    bounds.extend(std::iter::repeat_n(rows * max_abs_x * max_abs_x, triangle(columns)));
    bounds
}

/// Correlations and variance inflation of some columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// `p x p`; a constant column correlates with nothing.
    pub matrix: Vec<Vec<f64>>,
    /// Variance inflation factors, the diagonal of the inverse; `None` when a column is a combination of others.
    pub vif: Option<Vec<f64>>,
}

impl Correlation {
    /// Second half: from the summed statistics.
    pub fn from_sums(columns: usize, sums: &[f64]) -> Result<Correlation, GlmError> {
        let expected = correlation_len(columns);
        if sums.len() != expected {
            return Err(GlmError::Length { what: "correlation statistics", expected, found: sums.len() });
        }
        if sums.iter().any(|v| !v.is_finite()) {
            return Err(GlmError::NotFinite { what: "correlation statistics" });
        }
        let rows = sums[0].max(1.0);
        let (means, products) = sums[1..].split_at(columns);
        let mut covariance = Vec::with_capacity(products.len());
        let mut at = 0;
        for i in 0..columns {
            for j in i..columns {
                let c = products[at] / rows - means[i] / rows * (means[j] / rows);
                // What is left of a constant column is rounding.
                covariance.push(if i == j && c < 1e-12 * (products[at] / rows).abs().max(1e-12) { 0.0 } else { c });
                at += 1;
            }
        }
        let scaled = Symmetric::new(columns, &covariance).correlation();
        let matrix = (0..columns).map(|i| (0..columns).map(|j| scaled.at(i, j)).collect()).collect();
        Ok(Correlation { matrix, vif: scaled.factor(1e-10).ok().map(|f| f.inverse_diagonal()) })
    }
}

/// Goes through the kept variables in their order and drops each that correlates too much with one already taken.
/// `correlation` is over the kept variables, in their order.
pub fn by_correlation(
    selection: &Selection,
    binnings: &[Binning],
    correlation: &Correlation,
    options: &SelectionOptions,
) -> Result<Selection, GlmError> {
    let square = correlation.matrix.iter().all(|row| row.len() == selection.kept.len());
    if correlation.matrix.len() != selection.kept.len() || !square {
        let (expected, found) = (selection.kept.len(), correlation.matrix.len());
        return Err(GlmError::Length { what: "correlation matrix", expected, found });
    }
    let mut next = Selection { kept: Vec::new(), ..selection.clone() };
    let mut taken: Vec<usize> = Vec::new();
    for (at, &index) in selection.kept.iter().enumerate() {
        let Some(binning) = binnings.get(index) else {
            continue;
        };
        let twin = taken.iter().find(|&&t| correlation.matrix[at][t].abs() > options.max_correlation);
        let reason = match twin {
            Some(&t) => {
                let with = binnings[selection.kept[t]].column.clone();
                Reason::Correlated { with, correlation: correlation.matrix[at][t] }
            }
            None if taken.len() >= options.max_variables => Reason::TooMany,
            None => {
                taken.push(at);
                next.kept.push(index);
                continue;
            }
        };
        next.suspicious.retain(|name| *name != binning.column);
        next.dropped.push(Dropped { column: binning.column.clone(), iv: binning.iv, reason });
    }
    Ok(next)
}

/// The variable that a fit asks to drop next, as a position among its columns: the most negative coefficient if signs matter,
/// else the largest p-value above the limit. After dropping one, fit again: the others change. `None`: the fit stands.
pub fn weakest(fit: &Fit, options: &SelectionOptions) -> Option<(usize, Reason)> {
    let columns = fit.coefficients.get(1..).unwrap_or_default();
    let wrong = columns.iter().enumerate().filter(|(_, c)| options.require_positive && c.value < 0.0);
    if let Some((at, c)) = wrong.min_by(|a, b| a.1.value.total_cmp(&b.1.value)) {
        return Some((at, Reason::WrongSign { coefficient: c.value }));
    }
    let chance = columns.iter().enumerate().filter(|(_, c)| c.p_value > options.max_p_value);
    let (at, c) = chance.max_by(|a, b| a.1.p_value.total_cmp(&b.1.p_value))?;
    Some((at, Reason::NotSignificant { p_value: c.p_value }))
}
