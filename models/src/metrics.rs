//! How well a score ranks and how true its probabilities are, from rows or from histograms alone.
//!
//! A score is high for good firms. AUC is the probability that a random good scores above a random bad, ties counting half;
//! KS the largest distance between the two distributions. Both are functions of good and bad counts along the score, so exact
//! metrics (one cell per distinct score) and federated ones (cells of a [`ScoreGrid`]) are the same code.

use crate::glm::sigmoid;
use serde::{Deserialize, Serialize};

/// What cannot be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricsError {
    /// Vectors differ in length.
    #[error(
        "{expected} labels or cells are expected, {found} came: compute scores and labels from the same rows and grid"
    )]
    Length {
        /// Entries expected.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// A score is NaN or infinite.
    #[error(
        "the score of row {row} is not finite: a model with runaway coefficients, or a missing value that was not binned"
    )]
    NotFinite {
        /// Row, counted from 0.
        row: usize,
    },
    /// Nothing can be ranked with one class.
    #[error("{good} goods and {bad} bads: ranking needs both classes, use more test rows")]
    OneClass {
        /// Goods.
        good: f64,
        /// Bads.
        bad: f64,
    },
    /// A count is negative or not finite.
    #[error("cell {cell} of a histogram is not a finite, non-negative count: the sum was decoded with a wrong scale")]
    NotACount {
        /// The cell.
        cell: usize,
    },
    /// The grid has no cells, or its ends are not in order.
    #[error("a score grid needs finite ends, lower below upper, and 1 to 100000 cells")]
    Grid,
}

/// Equal cells over the log-odds, clamped outside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreGrid {
    /// Lower end of the first cell.
    pub lower: f64,
    /// Upper end of the last cell.
    pub upper: f64,
    /// Number of cells.
    pub cells: usize,
}

impl Default for ScoreGrid {
    fn default() -> Self {
        ScoreGrid { lower: -8.0, upper: 8.0, cells: 400 }
    }
}

impl ScoreGrid {
    /// Checks ends and number of cells.
    pub fn validate(&self) -> Result<(), MetricsError> {
        let ends = self.lower.is_finite() && self.upper.is_finite() && self.lower < self.upper;
        if ends && (1..=100_000).contains(&self.cells) { Ok(()) } else { Err(MetricsError::Grid) }
    }

    /// Cell of a finite score.
    pub fn cell(&self, score: f64) -> usize {
        let at = (score - self.lower) / (self.upper - self.lower) * self.cells as f64;
        // The cast saturates at 0 and takes NaN to 0.
        (libm::floor(at) as usize).min(self.cells.saturating_sub(1))
    }

    /// Middle of a cell.
    pub fn middle(&self, cell: usize) -> f64 {
        self.lower + (self.upper - self.lower) * (cell as f64 + 0.5) / self.cells as f64
    }
}

/// Goods and bads along a score: what a party contributes to an evaluation, and what comes out of the sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreHistogram {
    /// Goods per cell, lowest scores first.
    pub good: Vec<f64>,
    /// Bads per cell.
    pub bad: Vec<f64>,
}

impl ScoreHistogram {
    /// Local half: histogram of `scores` with labels (`true` = bad).
    pub fn of(grid: &ScoreGrid, scores: &[f64], bad: &[bool]) -> Result<ScoreHistogram, MetricsError> {
        grid.validate()?;
        check_rows(scores, bad)?;
        let mut h = ScoreHistogram { good: vec![0.0; grid.cells], bad: vec![0.0; grid.cells] };
        for (&score, &is_bad) in scores.iter().zip(bad) {
            let side = if is_bad { &mut h.bad } else { &mut h.good };
            side[grid.cell(score)] += 1.0;
        }
        Ok(h)
    }

    /// One cell per distinct score: exact metrics.
    pub fn exact(scores: &[f64], bad: &[bool]) -> Result<ScoreHistogram, MetricsError> {
        check_rows(scores, bad)?;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let mut h = ScoreHistogram { good: Vec::new(), bad: Vec::new() };
        let mut last = None;
        for i in order {
            if last != Some(scores[i]) {
                h.good.push(0.0);
                h.bad.push(0.0);
                last = Some(scores[i]);
            }
            let side = if bad[i] { &mut h.bad } else { &mut h.good };
            if let Some(count) = side.last_mut() {
                *count += 1.0;
            }
        }
        Ok(h)
    }

    /// Goods, then bads: `2 * cells` counts.
    pub fn to_vec(&self) -> Vec<f64> {
        [self.good.as_slice(), self.bad.as_slice()].concat()
    }

    /// Reads a vector, local or summed.
    pub fn from_slice(grid: &ScoreGrid, counts: &[f64]) -> Result<ScoreHistogram, MetricsError> {
        grid.validate()?;
        if counts.len() != 2 * grid.cells {
            return Err(MetricsError::Length { expected: 2 * grid.cells, found: counts.len() });
        }
        if let Some(at) = counts.iter().position(|c| !c.is_finite() || *c < 0.0) {
            return Err(MetricsError::NotACount { cell: at % grid.cells });
        }
        let (good, bad) = counts.split_at(grid.cells);
        Ok(ScoreHistogram { good: good.to_vec(), bad: bad.to_vec() })
    }

    fn totals(&self) -> Result<(f64, f64), MetricsError> {
        if self.good.len() != self.bad.len() {
            return Err(MetricsError::Length { expected: self.good.len(), found: self.bad.len() });
        }
        let (good, bad) = (self.good.iter().sum::<f64>(), self.bad.iter().sum::<f64>());
        if good > 0.0 && bad > 0.0 { Ok((good, bad)) } else { Err(MetricsError::OneClass { good, bad }) }
    }
}

fn check_rows(scores: &[f64], bad: &[bool]) -> Result<(), MetricsError> {
    if scores.len() != bad.len() {
        return Err(MetricsError::Length { expected: scores.len(), found: bad.len() });
    }
    match scores.iter().position(|s| !s.is_finite()) {
        Some(row) => Err(MetricsError::NotFinite { row }),
        None => Ok(()),
    }
}

/// How well a score ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// Area under the ROC curve.
    pub auc: f64,
    /// `2 AUC - 1`.
    pub gini: f64,
    /// Kolmogorov-Smirnov distance.
    pub ks: f64,
    /// Standard error of the AUC (DeLong, DeLong & Clarke-Pearson 1988).
    pub auc_standard_error: f64,
    /// Goods.
    pub good: f64,
    /// Bads.
    pub bad: f64,
}

impl Ranking {
    /// From a histogram, exact or on a grid. Within a cell scores count as ties.
    pub fn of(histogram: &ScoreHistogram) -> Result<Ranking, MetricsError> {
        let (good, bad) = histogram.totals()?;
        let cells = || histogram.good.iter().zip(&histogram.bad);
        let (mut goods, mut bads, mut auc, mut ks) = (0.0, 0.0, 0.0, 0.0f64);
        for (&g, &b) in cells() {
            auc += g * (bads + b / 2.0);
            (goods, bads) = (goods + g, bads + b);
            ks = ks.max((goods / good - bads / bad).abs());
        }
        auc /= good * bad;
        // Placement values: the share of the other class on the wrong side, constant within a cell.
        let (mut goods, mut bads, mut of_goods, mut of_bads) = (0.0, 0.0, 0.0, 0.0);
        for (&g, &b) in cells() {
            let (v_good, v_bad) = ((bads + b / 2.0) / bad - auc, (good - goods - g / 2.0) / good - auc);
            of_goods += g * v_good * v_good;
            of_bads += b * v_bad * v_bad;
            (goods, bads) = (goods + g, bads + b);
        }
        let variance = of_goods / (good - 1.0).max(1.0) / good + of_bads / (bad - 1.0).max(1.0) / bad;
        Ok(Ranking { auc, gini: 2.0 * auc - 1.0, ks, auc_standard_error: libm::sqrt(variance), good, bad })
    }

    /// Exact, from rows.
    pub fn of_rows(scores: &[f64], bad: &[bool]) -> Result<Ranking, MetricsError> {
        Ranking::of(&ScoreHistogram::exact(scores, bad)?)
    }
}

/// Exact AUC with ties.
pub fn auc(scores: &[f64], bad: &[bool]) -> Result<f64, MetricsError> {
    Ranking::of_rows(scores, bad).map(|r| r.auc)
}

/// Exact KS.
pub fn ks(scores: &[f64], bad: &[bool]) -> Result<f64, MetricsError> {
    Ranking::of_rows(scores, bad).map(|r| r.ks)
}

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocPoint {
    /// Share of the goods refused when everything up to this cell is refused.
    pub false_positive_rate: f64,
    /// Share of the bads refused.
    pub true_positive_rate: f64,
}

/// ROC curve, from (0, 0) to (1, 1), one point per occupied cell.
pub fn roc(histogram: &ScoreHistogram) -> Result<Vec<RocPoint>, MetricsError> {
    let (good, bad) = histogram.totals()?;
    let mut points = vec![RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0 }];
    let (mut goods, mut bads) = (0.0, 0.0);
    for (&g, &b) in histogram.good.iter().zip(&histogram.bad) {
        if g + b > 0.0 {
            (goods, bads) = (goods + g, bads + b);
            points.push(RocPoint { false_positive_rate: goods / good, true_positive_rate: bads / bad });
        }
    }
    Ok(points)
}

/// Mean squared error of probabilities of default.
pub fn brier(pd: &[f64], bad: &[bool]) -> Result<f64, MetricsError> {
    check_rows(pd, bad)?;
    Ok(mean(pd, bad, |p, y| (p - y) * (p - y)))
}

/// Mean negative log-likelihood of probabilities of default, each kept 1e-15 away from 0 and 1.
pub fn log_loss(pd: &[f64], bad: &[bool]) -> Result<f64, MetricsError> {
    check_rows(pd, bad)?;
    Ok(mean(pd, bad, |p, y| {
        let p = p.clamp(1e-15, 1.0 - 1e-15);
        -(y * libm::log(p) + (1.0 - y) * libm::log(1.0 - p))
    }))
}

fn mean(pd: &[f64], bad: &[bool], loss: impl Fn(f64, f64) -> f64) -> f64 {
    let total = pd.iter().zip(bad).fold(0.0, |sum, (&p, &b)| sum + loss(p, f64::from(u8::from(b))));
    total / (pd.len() as f64).max(1.0)
}

/// One line of a calibration table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationGroup {
    /// Cells of the grid, first and last.
    pub first_cell: usize,
    /// Last cell, included.
    pub last_cell: usize,
    /// Firms.
    pub rows: f64,
    /// Observed bads.
    pub bad: f64,
    /// Bads that the score predicts.
    pub expected_bad: f64,
    /// `bad / rows`.
    pub observed_rate: f64,
    /// `expected_bad / rows`.
    pub expected_rate: f64,
}

/// Expected against observed bads along the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Lowest scores first.
    pub groups: Vec<CalibrationGroup>,
    /// Hosmer-Lemeshow statistic; on rows that were not used to fit, near chi-square with as many degrees of freedom as groups.
    pub hosmer_lemeshow: f64,
    /// Mean |observed - expected| rate, weighted by rows.
    pub expected_calibration_error: f64,
    /// Brier score with the PD of the middle of each cell.
    pub brier: f64,
    /// Observed over expected bads: 1 = the level is right.
    pub level: f64,
}

/// Calibration table of about `groups` groups of equal size from a histogram of log-odds. `offset` is added to the log-odds
/// first (0 for the train population; a prior or recalibration shift otherwise).
pub fn calibration(
    grid: &ScoreGrid,
    histogram: &ScoreHistogram,
    groups: usize,
    offset: f64,
) -> Result<Calibration, MetricsError> {
    grid.validate()?;
    let (good, bad) = histogram.totals()?;
    if histogram.good.len() != grid.cells {
        return Err(MetricsError::Length { expected: grid.cells, found: histogram.good.len() });
    }
    let total = good + bad;
    let target = total / groups.max(1) as f64;
    let mut table: Vec<CalibrationGroup> = Vec::new();
    let (mut first, mut rows, mut bads, mut expected, mut seen, mut squares) = (0, 0.0, 0.0, 0.0, 0.0, 0.0);
    let last_occupied = (0..grid.cells).rev().find(|&c| histogram.good[c] + histogram.bad[c] > 0.0).unwrap_or(0);
    for cell in 0..=last_occupied {
        let (g, b) = (histogram.good[cell], histogram.bad[cell]);
        let pd = sigmoid(-(grid.middle(cell) + offset));
        (rows, bads, expected, seen) = (rows + g + b, bads + b, expected + pd * (g + b), seen + g + b);
        squares += g * pd * pd + b * (1.0 - pd) * (1.0 - pd);
        if rows > 0.0 && (seen >= target * (table.len() + 1) as f64 - 1e-9 || cell == last_occupied) {
            table.push(CalibrationGroup {
                first_cell: first,
                last_cell: cell,
                rows,
                bad: bads,
                expected_bad: expected,
                observed_rate: bads / rows,
                expected_rate: expected / rows,
            });
            (first, rows, bads, expected) = (cell + 1, 0.0, 0.0, 0.0);
        }
    }
    let (mut hl, mut gap, mut all) = (0.0, 0.0, 0.0);
    for g in &table {
        let d = g.bad - g.expected_bad;
        hl += d * d / (g.expected_bad * (1.0 - g.expected_rate)).max(1e-12);
        gap += d.abs();
        all += g.expected_bad;
    }
    Ok(Calibration {
        groups: table,
        hosmer_lemeshow: hl,
        expected_calibration_error: gap / total,
        brier: squares / total,
        level: bad / all,
    })
}

/// Population stability index of two histograms over the same cells: `sum (p - q) ln(p / q)` over about ten groups of equal
/// size in the first. Below 0.1 stable, above 0.25 shifted.
pub fn psi(reference: &[f64], current: &[f64]) -> Result<f64, MetricsError> {
    if reference.len() != current.len() {
        return Err(MetricsError::Length { expected: reference.len(), found: current.len() });
    }
    if let Some(cell) =
        reference.iter().zip(current).position(|(a, b)| !(a.is_finite() && b.is_finite() && *a >= 0.0 && *b >= 0.0))
    {
        return Err(MetricsError::NotACount { cell });
    }
    let (n, m) = (reference.iter().sum::<f64>(), current.iter().sum::<f64>());
    if n <= 0.0 || m <= 0.0 {
        return Err(MetricsError::OneClass { good: n, bad: m });
    }
    let mut groups: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    let mut seen = 0.0;
    for (&a, &b) in reference.iter().zip(current) {
        // A new group starts only when something of the reference is left to put into it.
        if seen >= n / 10.0 * groups.len() as f64 - 1e-9 && a > 0.0 {
            groups.push((0.0, 0.0));
        }
        if let Some(g) = groups.last_mut() {
            (g.0, g.1) = (g.0 + a, g.1 + b);
        }
        seen += a;
    }
    let k = groups.len() as f64;
    let share = |x: f64, total: f64| (x + 0.5) / (total + 0.5 * k);
    Ok(groups.iter().fold(0.0, |sum, &(a, b)| {
        let (p, q) = (share(a, n), share(b, m));
        sum + (p - q) * libm::log(p / q)
    }))
}

/// The baseline that costs nothing: mean of the scores that each party's own model gives to the same rows.
pub fn mean_of_scores(scores: &[Vec<f64>]) -> Result<Vec<f64>, MetricsError> {
    let rows = scores.first().map_or(0, Vec::len);
    if let Some(other) = scores.iter().find(|s| s.len() != rows) {
        return Err(MetricsError::Length { expected: rows, found: other.len() });
    }
    let n = (scores.len() as f64).max(1.0);
    Ok((0..rows).map(|row| scores.iter().fold(0.0, |sum, s| sum + s[row]) / n).collect())
}

/// Average precision, the area under the precision-recall curve as a sum of steps: `sum (R_k - R_(k-1)) P_k`, where `k` runs
/// over the cells from the lowest scores up, `R` is the share of bads found and `P` the share of bads among all found so far.
///
/// Rows of one cell are ties and are found together. For anomaly scores, which are high for anomalies, the histogram of
/// [`crate::anomaly::AnomalyGrid`] has the highest scores first.
pub fn average_precision(histogram: &ScoreHistogram) -> Result<f64, MetricsError> {
    let (_, bad) = histogram.totals()?;
    let (mut goods, mut bads, mut area) = (0.0, 0.0, 0.0);
    for (&g, &b) in histogram.good.iter().zip(&histogram.bad) {
        (goods, bads) = (goods + g, bads + b);
        if b > 0.0 {
            area += b / bad * (bads / (goods + bads));
        }
    }
    Ok(area)
}
