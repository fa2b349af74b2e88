//! What the label holder could reconstruct from the scores it sees: for the leak report, never for a job.
//!
//! Every received vector is a combination of the feature holders' columns. With one feature holder and as many passes as it has
//! columns, the vectors span all of its columns; some known rows then fix the combination. With two or more holders only sums
//! are seen, which mix the columns of all.

use super::Encoded;
use super::linear::{dot, solve_independent, weighted_gram};

/// Reconstruction from known rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reconstruction {
    /// Root of the unexplained share of the variance, over the rows that are not known: 0 is perfect, 1 no better than the mean.
    pub relative_error: f64,
    /// Share of the columns of which at least 90 % of the variance is explained.
    pub columns_found: f64,
}

/// Least squares for the columns in the span of a constant and the received vectors, on the rows that the attacker knows; then
/// the same combination on all other rows.
pub fn reconstruct(received: &[Vec<f64>], known: &[usize], columns: &Encoded) -> Reconstruction {
    let mut is_known = vec![0.0; columns.rows()];
    known.iter().filter(|&&r| r < columns.rows()).for_each(|&r| is_known[r] = 1.0);
    let others: Vec<f64> = is_known.iter().map(|k| 1.0 - k).collect();
    explained(received, columns, &is_known, &others)
}

/// What share of each column lies in the span at all: what an attacker with every row could get, and what nobody can exceed.
pub fn spanned(received: &[Vec<f64>], columns: &Encoded) -> Reconstruction {
    let all = vec![1.0; columns.rows()];
    explained(received, columns, &all, &all)
}

fn explained(received: &[Vec<f64>], columns: &Encoded, fit: &[f64], check: &[f64]) -> Reconstruction {
    let ones = vec![1.0; columns.rows()];
    let basis: Vec<&[f64]> = core::iter::once(&ones).chain(received).map(Vec::as_slice).collect();
    let gram = weighted_gram(&basis, fit);
    let floor: Vec<f64> = gram.diagonal().iter().map(|d| 1e-12 * d).collect();
    let (mut missed, mut total, mut found) = (0.0, 0.0, 0);
    let real = columns.real();
    for column in &real {
        let weighted: Vec<f64> = column.iter().zip(fit).map(|(x, w)| x * w).collect();
        let right: Vec<f64> = basis.iter().map(|b| dot(b, &weighted)).collect();
        let weights = solve_independent(&gram, &right, &floor).unwrap_or_else(|| vec![0.0; basis.len()]);
        let rows: f64 = check.iter().sum();
        let mean = dot(column, check) / rows.max(1.0);
        let (mut bad, mut all) = (0.0, 0.0);
        for (row, &x) in column.iter().enumerate() {
            let guess = basis.iter().zip(&weights).fold(0.0, |s, (b, w)| s + b[row] * w);
            bad += check[row] * (x - guess) * (x - guess);
            all += check[row] * (x - mean) * (x - mean);
        }
        found += usize::from(bad < 0.1 * all);
        (missed, total) = (missed + bad, total + all);
    }
    let share = if total > 0.0 { missed / total } else { 1.0 };
    Reconstruction { relative_error: libm::sqrt(share), columns_found: found as f64 / real.len().max(1) as f64 }
}
