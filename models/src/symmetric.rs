//! Small symmetric matrices, stored as the upper triangle, row by row. Plain loops in a fixed order, so that an auditor who
//! replays a job gets the coordinator's numbers to the last bit.

/// Number of entries of the upper triangle.
pub(crate) fn triangle(size: usize) -> usize {
    size * (size + 1) / 2
}

/// A symmetric matrix.
#[derive(Clone, Debug)]
pub(crate) struct Symmetric {
    size: usize,
    upper: Vec<f64>,
}

/// The column that is (almost) a combination of the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dependent(pub usize);

impl Symmetric {
    /// From the upper triangle; missing entries count as 0.
    pub(crate) fn new(size: usize, upper: &[f64]) -> Self {
        let mut upper = upper.to_vec();
        upper.resize(triangle(size), 0.0);
        Symmetric { size, upper }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn index(&self, i: usize, j: usize) -> usize {
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        i * self.size - i * (i + 1) / 2 + j
    }

    pub(crate) fn at(&self, i: usize, j: usize) -> f64 {
        self.upper[self.index(i, j)]
    }

    pub(crate) fn add_to_diagonal(&mut self, i: usize, value: f64) {
        let at = self.index(i, i);
        self.upper[at] += value;
    }

    /// The same matrix scaled to a unit diagonal; rows with a diagonal of 0 become rows of the identity.
    pub(crate) fn correlation(&self) -> Symmetric {
        let mut scaled = Symmetric::new(self.size, &[]);
        for i in 0..self.size {
            for j in i..self.size {
                let scale = libm::sqrt(self.at(i, i) * self.at(j, j));
                let value = if i == j {
                    1.0
                } else if scale > 0.0 {
                    (self.at(i, j) / scale).clamp(-1.0, 1.0)
                } else {
                    0.0
                };
                let at = scaled.index(i, j);
                scaled.upper[at] = value;
            }
        }
        scaled
    }

    /// Cholesky factor; a pivot below `tolerance` of its diagonal names the dependent column.
    pub(crate) fn factor(&self, tolerance: f64) -> Result<Factor, Dependent> {
        let n = self.size;
        let mut lower = vec![vec![0.0; n]; n];
        let dot = |a: &[f64], b: &[f64], len: usize| a.iter().zip(b).take(len).fold(0.0, |sum, (x, y)| sum + x * y);
        for j in 0..n {
            let pivot = self.at(j, j) - dot(&lower[j], &lower[j], j);
            if pivot.is_nan() || pivot.is_infinite() || pivot <= tolerance * self.at(j, j) {
                return Err(Dependent(j));
            }
            lower[j][j] = libm::sqrt(pivot);
            for i in j + 1..n {
                lower[i][j] = (self.at(i, j) - dot(&lower[i], &lower[j], j)) / lower[j][j];
            }
        }
        Ok(Factor { lower })
    }

    /// `A x`.
    pub(crate) fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.size).map(|i| x.iter().enumerate().fold(0.0, |sum, (j, v)| sum + self.at(i, j) * v)).collect()
    }

    /// Cyclic Jacobi rotations (Golub & Van Loan, "Matrix computations", section 8.5): slow, simple, the same everywhere.
    pub(crate) fn eigen(&self) -> Eigen {
        let n = self.size;
        let mut a: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| self.at(i, j)).collect()).collect();
        let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        let size = a.iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
        for _ in 0..60 {
            let mut moved = false;
            for p in 0..n {
                for q in p + 1..n {
                    if a[p][q].abs() <= 1e-15 * size {
                        continue;
                    }
                    moved = true;
                    let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                    let root = libm::sqrt(1.0 + tau * tau);
                    let t = if tau >= 0.0 { 1.0 / (tau + root) } else { 1.0 / (tau - root) };
                    let c = 1.0 / libm::sqrt(1.0 + t * t);
                    let s = t * c;
                    for row in a.iter_mut().chain(&mut v) {
                        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                    }
                    let (above, below) = a.split_at_mut(q);
                    for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                    }
                }
            }
            if !moved {
                break;
            }
        }
        Eigen { values: (0..n).map(|i| a[i][i]).collect(), vectors: v }
    }

    /// Largest over smallest eigenvalue of the matrix scaled to a unit diagonal, at most
    /// 1e16 (which stands for a singular matrix and, unlike infinity, survives JSON).
    pub(crate) fn condition_number(&self) -> f64 {
        let scaled = self.correlation();
        let matrix = nalgebra::DMatrix::from_fn(self.size, self.size, |i, j| scaled.at(i, j));
        let values = matrix.symmetric_eigenvalues();
        let (low, high) = values.iter().fold((f64::INFINITY, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        match self.size {
            0 => 1.0,
            _ if low > 0.0 => (high / low).min(1e16),
            _ => 1e16,
        }
    }
}

/// Eigenvalues, and the eigenvectors as columns: `vectors[i][k]` is entry `i` of the `k`-th.
#[derive(Clone, Debug)]
pub(crate) struct Eigen {
    pub(crate) values: Vec<f64>,
    vectors: Vec<Vec<f64>>,
}

impl Eigen {
    /// The matrix with the same eigenvectors and other eigenvalues.
    pub(crate) fn with_values(&self, value: impl Fn(f64) -> f64) -> Symmetric {
        let n = self.values.len();
        let values: Vec<f64> = self.values.iter().map(|&v| value(v)).collect();
        let mut m = Symmetric::new(n, &[]);
        for i in 0..n {
            for j in i..n {
                let at = m.index(i, j);
                m.upper[at] = (0..n).fold(0.0, |s, k| s + self.vectors[i][k] * values[k] * self.vectors[j][k]);
            }
        }
        m
    }
}

/// A Cholesky factor.
#[derive(Clone, Debug)]
pub(crate) struct Factor {
    lower: Vec<Vec<f64>>,
}

impl Factor {
    /// Solution of `A x = b`.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let n = self.lower.len();
        let mut x = b.to_vec();
        for i in 0..n {
            for k in 0..i {
                x[i] -= self.lower[i][k] * x[k];
            }
            x[i] /= self.lower[i][i];
        }
        for i in (0..n).rev() {
            for k in i + 1..n {
                x[i] -= self.lower[k][i] * x[k];
            }
            x[i] /= self.lower[i][i];
        }
        x
    }

    /// Diagonal of the inverse of `A`.
    pub(crate) fn inverse_diagonal(&self) -> Vec<f64> {
        let n = self.lower.len();
        let unit = |i: usize| (0..n).map(|k| f64::from(u8::from(k == i))).collect::<Vec<_>>();
        (0..n).map(|i| self.solve(&unit(i))[i]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_rebuild_the_matrix() {
        let upper = [4.0, -1.5, 0.0, 2.0, -3.0, 1e-3, 0.5, 1e4, -2.0, 7.0];
        let matrix = Symmetric::new(4, &upper);
        let eigen = matrix.eigen();
        let again = eigen.with_values(|v| v);
        assert!(again.upper.iter().zip(&upper).all(|(a, b)| (a - b).abs() < 1e-8), "{again:?}");
        let trace: f64 = eigen.values.iter().sum();
        assert!((trace - (4.0 - 3.0 + 1e4 + 7.0)).abs() < 1e-8, "{trace}");
        let inverse = Symmetric::new(2, &[2.0, 1.0, 2.0]).eigen().with_values(|v| 1.0 / v);
        let x = inverse.times(&[3.0, 3.0]);
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 1.0).abs() < 1e-12, "{x:?}");
    }
}
