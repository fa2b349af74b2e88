//! Small dense linear algebra: Gram matrices with and without weights, and solving with them.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// Rows per block: two blocks of all columns should fit the first cache.
const BLOCK: usize = 256;

/// Inner product with eight running sums, so that it can use vector instructions.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `C^T diag(weights) C` for columns of equal length.
pub(crate) fn weighted_gram(columns: &[&[f64]], weights: &[f64]) -> DMatrix<f64> {
    let q = columns.len();
    let mut gram = DMatrix::zeros(q, q);
    let mut scaled = [0.0f64; BLOCK];
    for start in (0..weights.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(weights.len());
        let scaled = &mut scaled[..end - start];
        for i in 0..q {
            for ((s, x), w) in scaled.iter_mut().zip(&columns[i][start..end]).zip(&weights[start..end]) {
                *s = x * w;
            }
            for j in i..q {
                gram[(j, i)] += dot(scaled, &columns[j][start..end]);
            }
        }
    }
    gram.fill_upper_triangle_with_lower_triangle();
    gram
}

/// Solves `A x = b` for a positive semidefinite `A`, in order: a row whose pivot is at most `floor` hardly differs from
/// the rows before it and gets `x = 0`.
pub(crate) fn solve_independent(matrix: &DMatrix<f64>, right: &[f64], floor: &[f64]) -> Option<Vec<f64>> {
    let n = right.len();
    let mut lower: Vec<Vec<f64>> = Vec::with_capacity(n);
    let mut kept: Vec<usize> = Vec::with_capacity(n);
    let mut half = Vec::with_capacity(n);
    for i in 0..n {
        let mut row: Vec<f64> = Vec::with_capacity(kept.len() + 1);
        for (&j, other) in kept.iter().zip(&lower) {
            let known = dot(&row, &other[..row.len()]);
            row.push((matrix[(i, j)] - known) / other[row.len()]);
        }
        let pivot = matrix[(i, i)] - dot(&row, &row);
        if !pivot.is_finite() {
            return None;
        }
        if pivot <= floor[i] {
            continue;
        }
        let root = libm::sqrt(pivot);
        half.push((right[i] - dot(&row, &half)) / root);
        row.push(root);
        lower.push(row);
        kept.push(i);
    }
    let mut solution = vec![0.0; n];
    for (a, &i) in kept.iter().enumerate().rev() {
        let later: f64 = (a + 1..kept.len()).map(|b| lower[b][a] * solution[kept[b]]).sum();
        solution[i] = (half[a] - later) / lower[a][a];
    }
    Some(solution)
}

/// A symmetric positive matrix, factored after scaling to a unit diagonal. What little is added to the diagonal to make that
/// possible is the least of 1e-12, 1e-10, ... that works, so that collinear columns share their effect instead of failing.
#[derive(Clone, Debug)]
pub(crate) struct Solver {
    factor: Cholesky<f64, Dyn>,
    scale: DVector<f64>,
}

impl Solver {
    pub(crate) fn new(matrix: &DMatrix<f64>) -> Option<Solver> {
        let root = |d: f64| if d > 0.0 && d.is_finite() { 1.0 / libm::sqrt(d) } else { 1.0 };
        let scale = DVector::from_iterator(matrix.nrows(), matrix.diagonal().iter().map(|&d| root(d)));
        if matrix.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let unit = DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] * scale[i] * scale[j]);
        let mut jitter = 1e-12;
        while jitter < 1e-2 {
            let mut trial = unit.clone();
            (0..trial.nrows()).for_each(|i| trial[(i, i)] += jitter);
            if let Some(factor) = Cholesky::new(trial) {
                return Some(Solver { factor, scale });
            }
            jitter *= 100.0;
        }
        None
    }

    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let scaled = DVector::from_iterator(right.len(), right.iter().zip(self.scale.iter()).map(|(r, s)| r * s));
        let solved = self.factor.solve(&scaled);
        solved.iter().zip(self.scale.iter()).map(|(x, s)| x * s).collect()
    }

    /// The inverse, column by column.
    pub(crate) fn inverse(&self) -> Vec<Vec<f64>> {
        let n = self.scale.len();
        let unit = |j: usize| (0..n).map(|i| f64::from(u8::from(i == j))).collect::<Vec<_>>();
        (0..n).map(|j| self.solve(&unit(j))).collect()
    }
}

/// `(X - mean)^T (X - mean)`: a free intercept takes the means out of every column.
#[derive(Clone, Debug)]
pub(crate) struct Gram(DMatrix<f64>);

impl Gram {
    pub(crate) fn centred(columns: &[Vec<f64>]) -> Gram {
        let n = columns.first().map_or(0, Vec::len);
        let ones = vec![1.0; n];
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut gram = weighted_gram(&columns, &ones);
        let sums: Vec<f64> = columns.iter().map(|c| dot(c, &ones)).collect();
        for i in 0..sums.len() {
            for j in 0..sums.len() {
                gram[(i, j)] -= sums[i] * sums[j] / (n as f64).max(1.0);
            }
        }
        Gram(gram)
    }

    /// Correlation of two columns; a constant one correlates with nothing.
    pub(crate) fn correlation(&self, i: usize, j: usize) -> f64 {
        let scale = self.0[(i, i)] * self.0[(j, j)];
        if scale > 0.0 { self.0[(i, j)] / libm::sqrt(scale) } else { 0.0 }
    }

    /// `curvature * G + ridge * I`, ready to solve with.
    pub(crate) fn solver(&self, curvature: f64, ridge: f64) -> Option<Solver> {
        let mut matrix = &self.0 * curvature;
        (0..matrix.nrows()).for_each(|i| matrix[(i, i)] += ridge);
        Solver::new(&matrix)
    }

    /// Cholesky with pivoting on the correlations: columns whose pivot falls below `share`, with that pivot.
    pub(crate) fn dependent(&self, share: f64) -> Vec<(usize, f64)> {
        let n = self.0.nrows();
        let root = |i: usize| libm::sqrt(self.0[(i, i)].max(f64::MIN_POSITIVE));
        let mut left = DMatrix::from_fn(n, n, |i, j| self.0[(i, j)] / (root(i) * root(j)));
        let mut open: Vec<usize> = (0..n).collect();
        while let Some(at) = (0..open.len()).max_by(|&a, &b| {
            let (a, b) = (open[a], open[b]);
            left[(a, a)].total_cmp(&left[(b, b)]).then(b.cmp(&a))
        }) {
            let p = open[at];
            let pivot = left[(p, p)];
            if pivot < share {
                break;
            }
            open.swap_remove(at);
            for &i in &open {
                for &j in &open {
                    let take = left[(i, p)] * left[(p, j)] / pivot;
                    left[(i, j)] -= take;
                }
            }
        }
        open.sort_unstable();
        open.into_iter().map(|i| (i, left[(i, i)].max(0.0))).collect()
    }
}
