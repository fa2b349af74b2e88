//! What a report computes from histograms: levels and tiers, points along the score, standard errors.

use haihe_models::{
    metrics::{ScoreGrid, ScoreHistogram},
    scorecard::{Scorecard, Tier, Warning, score_0_100},
};

/// The levels, from no warning to the highest.
pub(super) const LEVELS: [Warning; 4] = [Warning::None, Warning::General, Warning::Serious, Warning::Critical];

/// Upper ends of the levels' probabilities of default, see [`Warning::of`].
pub(super) const LEVEL_ENDS: [f64; 3] = [0.05, 0.10, 0.20];

/// Points of the scorecard at some log-odds.
pub(super) fn points_at(scorecard: &Scorecard, log_odds: f64) -> f64 {
    let scaling = &scorecard.scaling;
    scaling.base_score + scaling.factor() * (log_odds + scorecard.prior_offset - scaling.base_odds.ln())
}

/// Points at a probability of default in the population.
pub(super) fn points_at_pd(scorecard: &Scorecard, pd: f64) -> f64 {
    points_at(scorecard, ((1.0 - pd) / pd).ln() - scorecard.prior_offset)
}

/// Upper end of a cell.
pub(super) fn upper_end(grid: &ScoreGrid, cell: usize) -> f64 {
    grid.lower + (grid.upper - grid.lower) * (cell as f64 + 1.0) / grid.cells as f64
}

/// Firms at one level of the early warning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) warning: Warning,
    pub(super) tier: Tier,
    /// Range of the 0-100 score, highest first.
    pub(super) score: (f64, f64),
    /// Range of points; the ends of the first and the last are open.
    pub(super) points: (Option<f64>, Option<f64>),
    pub(super) good: f64,
    pub(super) bad: f64,
    /// Share of all firms of the histogram.
    pub(super) share: f64,
    /// Share of the population, goods and bads weighted to its bad rate; only if one is given.
    pub(super) population_share: Option<f64>,
    /// Bad rate in the population, likewise.
    pub(super) population_bad_rate: Option<f64>,
}

/// How many firms of a histogram are at each level. A cell belongs to the level of its middle.
pub(super) fn levels(scorecard: &Scorecard, grid: &ScoreGrid, histogram: &ScoreHistogram) -> [Level; 4] {
    let mut counts = [[0.0; 2]; 4];
    for (cell, (good, bad)) in histogram.good.iter().zip(&histogram.bad).enumerate() {
        let warning = Warning::of(scorecard.probability_of_default(grid.middle(cell)));
        let at = LEVELS.iter().position(|l| *l == warning).unwrap_or(0);
        counts[at][0] += good;
        counts[at][1] += bad;
    }
    let total = |class: usize| counts.iter().map(|c| c[class]).sum::<f64>();
    let (goods, bads) = (total(0), total(1));
    // With a population rate: what one good and one bad of the histogram stand for.
    let weights = scorecard
        .scaling
        .population_bad_rate
        .filter(|_| goods > 0.0 && bads > 0.0)
        .map(|rate| ((1.0 - rate) / goods, rate / bads));
    std::array::from_fn(|i| {
        let [good, bad] = counts[i];
        let (from, to) = (if i == 0 { 0.0 } else { LEVEL_ENDS[i - 1] }, LEVEL_ENDS.get(i).copied().unwrap_or(1.0));
        let weighted = weights.map(|(g, b)| (good * g, bad * b));
        Level {
            warning: LEVELS[i],
            tier: Tier::of(if i == 3 { 1.0 } else { from }),
            score: (score_0_100(from), score_0_100(to)),
            points: ((i < 3).then(|| points_at_pd(scorecard, to)), (i > 0).then(|| points_at_pd(scorecard, from))),
            good,
            bad,
            share: (good + bad) / (goods + bads),
            population_share: weighted.map(|(g, b)| g + b),
            population_bad_rate: weighted.map(|(g, b)| b / (g + b)),
        }
    })
}

/// Where goods and bads are furthest apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KsPoint {
    pub(super) log_odds: f64,
    /// Share of the goods at or below.
    pub(super) good: f64,
    /// Share of the bads at or below.
    pub(super) bad: f64,
    /// Binomial standard error of the difference at this cut.
    pub(super) standard_error: f64,
}

/// Shares of goods and bads at or below the end of each cell: `(log-odds, goods, bads)`.
pub(super) fn cumulative(grid: &ScoreGrid, histogram: &ScoreHistogram) -> Vec<(f64, f64, f64)> {
    let (goods, bads) = totals(histogram);
    let (mut good, mut bad) = (0.0, 0.0);
    let cells = histogram.good.iter().zip(&histogram.bad).enumerate();
    cells
        .map(|(cell, (g, b))| {
            (good, bad) = (good + g, bad + b);
            (upper_end(grid, cell), good / goods, bad / bads)
        })
        .collect()
}

/// The cut of the Kolmogorov-Smirnov distance; `None` without both classes.
pub(super) fn ks_point(grid: &ScoreGrid, histogram: &ScoreHistogram) -> Option<KsPoint> {
    let (goods, bads) = totals(histogram);
    if goods <= 0.0 || bads <= 0.0 {
        return None;
    }
    let gap = |p: &(f64, f64, f64)| (p.1 - p.2).abs();
    let curve = cumulative(grid, histogram);
    let (log_odds, good, bad) = curve.into_iter().max_by(|a, b| gap(a).total_cmp(&gap(b)))?;
    let variance = good * (1.0 - good) / goods + bad * (1.0 - bad) / bads;
    Some(KsPoint { log_odds, good, bad, standard_error: variance.max(0.0).sqrt() })
}

/// Standard error of the Brier score, with the PD of the middle of each cell.
pub(super) fn brier_standard_error(grid: &ScoreGrid, histogram: &ScoreHistogram) -> f64 {
    let (goods, bads) = totals(histogram);
    let rows = goods + bads;
    let (mut squares, mut fourths) = (0.0, 0.0);
    for (cell, (g, b)) in histogram.good.iter().zip(&histogram.bad).enumerate() {
        let pd = haihe_models::glm::sigmoid(-grid.middle(cell));
        squares += g * pd.powi(2) + b * (1.0 - pd).powi(2);
        fourths += g * pd.powi(4) + b * (1.0 - pd).powi(4);
    }
    let mean = squares / rows;
    ((fourths / rows - mean * mean).max(0.0) / rows).sqrt()
}

/// Goods and bads.
pub(super) fn totals(histogram: &ScoreHistogram) -> (f64, f64) {
    (histogram.good.iter().sum(), histogram.bad.iter().sum())
}

/// First and last cell with a firm in it.
pub(super) fn occupied(histogram: &ScoreHistogram) -> Option<(usize, usize)> {
    let cells = histogram.good.iter().zip(&histogram.bad);
    let full: Vec<usize> = cells.enumerate().filter(|(_, (g, b))| **g + **b > 0.0).map(|(cell, _)| cell).collect();
    Some((*full.first()?, *full.last()?))
}

/// 95 % interval of a share (Wilson 1927).
pub(super) fn wilson(events: f64, rows: f64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let share = events / rows;
    let scale = 1.0 + Z * Z / rows;
    let middle = (share + Z * Z / (2.0 * rows)) / scale;
    let half = Z / scale * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Variance inflation factors of some of the columns of a correlation matrix; `None` when one is a combination of others.
pub(super) fn variance_inflation(matrix: &[Vec<f64>], columns: &[usize]) -> Option<Vec<f64>> {
    let n = columns.len();
    // The chosen part beside the identity, reduced until the left is the identity and the right the inverse.
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    for (i, &r) in columns.iter().enumerate() {
        let mut row = Vec::with_capacity(2 * n);
        for &c in columns {
            row.push(*matrix.get(r)?.get(c)?);
        }
        row.extend((0..n).map(|j| if i == j { 1.0 } else { 0.0 }));
        rows.push(row);
    }
    for k in 0..n {
        let pivot = rows[k][k];
        if !(pivot.is_finite() && pivot > 1e-9) {
            return None;
        }
        let scaled: Vec<f64> = rows[k].iter().map(|x| x / pivot).collect();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k];
            for (x, y) in row.iter_mut().zip(&scaled) {
                *x -= factor * y;
            }
        }
        rows[k] = scaled;
    }
    Some((0..n).map(|i| rows[i][n + i]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval() {
        let (lo, hi) = wilson(10.0, 100.0);
        assert!((lo - 0.0552).abs() < 1e-4 && (hi - 0.1744).abs() < 1e-4, "{lo} {hi}");
        assert!(wilson(0.0, 20.0).0.abs() < 1e-12);
    }

    #[test]
    fn variance_inflation_of_a_part() {
        let r = |x: f64| vec![vec![1.0, x, 0.0], vec![x, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        let of = |x, columns: &[usize]| variance_inflation(&r(x), columns);
        let both = of(0.6, &[0, 1]).expect("regular");
        assert!(both.iter().all(|v| (v - 1.0 / (1.0 - 0.36)).abs() < 1e-12), "{both:?}");
        assert_eq!(of(0.6, &[1, 2]), Some(vec![1.0, 1.0]));
        assert_eq!(of(1.0, &[0, 1]), None);
        assert_eq!(of(0.5, &[7]), None);
    }

    #[test]
    fn the_ks_point_is_the_widest_gap() {
        let grid = ScoreGrid { lower: 0.0, upper: 4.0, cells: 4 };
        let histogram = ScoreHistogram { good: vec![0.0, 1.0, 1.0, 2.0], bad: vec![2.0, 1.0, 1.0, 0.0] };
        let point = ks_point(&grid, &histogram).expect("both classes");
        assert!((point.bad - point.good - 0.5).abs() < 1e-12);
        assert_eq!(occupied(&histogram), Some((0, 3)));
        let none = ScoreHistogram { good: vec![1.0], bad: vec![0.0] };
        assert_eq!(ks_point(&grid, &none), None);
    }
}
