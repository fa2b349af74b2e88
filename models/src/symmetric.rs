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
