//! From noisy histograms of scores to figures.
//!
//! AUC comes from the noisy counts as they are, negative ones included: it is bilinear in goods and bads, whose noise is
//! independent, so that it has no bias beyond that of its denominator. All else comes from the histogram without negative
//! counts that is nearest to the noisy one and has the same total: clamping alone would add the noise of the empty cells.

use super::{NoisyError, NoisyOptions, check, profile::project, statistics::evaluation_blocks};
use crate::metrics::{Calibration, Ranking, ScoreGrid, ScoreHistogram, calibration, psi};
use serde::{Deserialize, Serialize};

/// The evaluation under noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyEvaluation {
    /// The grid of the histograms.
    pub grid: ScoreGrid,
    /// Training rows.
    pub train: NoisyMeasured,
    /// Test rows.
    pub test: NoisyMeasured,
    /// Population stability index of the test scores against the training scores.
    pub stability: Option<f64>,
}

/// One population, measured under noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyMeasured {
    /// Goods and bads along the score: not negative, not whole, totals as measured.
    pub histogram: ScoreHistogram,
    /// AUC from the noisy counts as they are, with its sampling error; KS at the cut where the bad rate, made to fall along the
    /// score, passes that of all rows. Absent when noise drowns a class.
    pub ranking: Option<Ranking>,
    /// Standard deviation of the AUC from noise, on top of the sampling error.
    pub auc_noise: Option<f64>,
    /// Expected against observed, five groups.
    pub calibration: Option<Calibration>,
}

/// Reads the last noisy sum; `sigmas`: one. `grid` is [`super::statistics::score_grid`] of the scorecard.
pub fn absorb(
    grid: &ScoreGrid,
    sum: &[f64],
    sigmas: &[f64],
    options: &NoisyOptions,
) -> Result<NoisyEvaluation, NoisyError> {
    options.validate()?;
    grid.validate()?;
    let expected = evaluation_blocks(options).iter().map(|b| b.len).sum();
    check("histograms", sum, sigmas, expected, 1)?;
    if grid.cells != options.score_cells {
        return Err(crate::metrics::MetricsError::Length { expected: options.score_cells, found: grid.cells }.into());
    }
    let (train, test) = sum.split_at(2 * grid.cells);
    let (train, test) = (measured(grid, train, sigmas[0]), measured(grid, test, sigmas[0]));
    let rows =
        |m: &NoisyMeasured| -> Vec<f64> { m.histogram.good.iter().zip(&m.histogram.bad).map(|(g, b)| g + b).collect() };
    Ok(NoisyEvaluation { grid: *grid, stability: psi(&rows(&train), &rows(&test)).ok(), train, test })
}

fn measured(grid: &ScoreGrid, noisy: &[f64], sigma: f64) -> NoisyMeasured {
    let (good, bad) = noisy.split_at(grid.cells);
    let near = |cells: &[f64]| project(cells, cells.iter().sum());
    let histogram = ScoreHistogram { good: near(good), bad: near(bad) };
    let limit = 4.0 * sigma * libm::sqrt(grid.cells as f64);
    let drowned = |cells: &[f64]| cells.iter().sum::<f64>() <= limit;
    if drowned(good) || drowned(bad) {
        return NoisyMeasured { histogram, ranking: None, auc_noise: None, calibration: None };
    }
    let (auc, auc_noise) = auc(good, bad, sigma);
    let ks = ks(good, bad, &histogram);
    let ranking = Ranking::of(&histogram).ok().map(|r| Ranking { auc, gini: 2.0 * auc - 1.0, ks, ..r });
    NoisyMeasured {
        ranking,
        auc_noise: Some(auc_noise),
        calibration: calibration(grid, &histogram, 5, 0.0).ok(),
        histogram,
    }
}

/// AUC and the standard deviation that noise gives it, to second order.
fn auc(good: &[f64], bad: &[f64], sigma: f64) -> (f64, f64) {
    let (goods, bads) = (good.iter().sum::<f64>(), bad.iter().sum::<f64>());
    let mut below = (0.0, 0.0);
    let (mut wins, mut of_good, mut of_bad) = (0.0, Vec::new(), Vec::new());
    for (g, b) in good.iter().zip(bad) {
        wins += g * (below.1 + b / 2.0);
        of_good.push((below.1 + b / 2.0) / bads);
        of_bad.push(1.0 - (below.0 + g / 2.0) / goods);
        below = (below.0 + g, below.1 + b);
    }
    let auc = (wins / (goods * bads)).clamp(0.0, 1.0);
    let spread = |shares: &[f64], rows: f64| shares.iter().map(|s| (s - auc) * (s - auc)).sum::<f64>() / (rows * rows);
    let cells = good.len() as f64;
    // Noise against noise: half of all pairs of cells count.
    let second = sigma * sigma * cells * cells / 2.0 / (goods * goods * bads * bads);
    let variance = sigma * sigma * (spread(&of_good, goods) + spread(&of_bad, bads) + second);
    (auc, libm::sqrt(variance))
}

/// Distance of the two distributions at the cut where the fitted bad rate passes the average. The largest distance over all cuts
/// would be too large under noise; for a falling bad rate it is at this cut.
fn ks(good: &[f64], bad: &[f64], near: &ScoreHistogram) -> f64 {
    let (goods, bads) = (good.iter().sum::<f64>(), bad.iter().sum::<f64>());
    let average = bads / (goods + bads);
    // Pool adjacent violators: (first cell, rows, bads).
    let mut pools: Vec<(usize, f64, f64)> = Vec::new();
    for (cell, (g, b)) in near.good.iter().zip(&near.bad).enumerate() {
        pools.push((cell, g + b, *b));
        while let [.., last, top] = pools.as_slice() {
            if top.1 > 0.0 && last.1 > 0.0 && top.2 / top.1 < last.2 / last.1 {
                break;
            }
            let merged = (last.0, last.1 + top.1, last.2 + top.2);
            pools.truncate(pools.len() - 2);
            pools.push(merged);
        }
    }
    let cut = pools.iter().find(|p| p.2 <= average * p.1).map_or(0, |p| p.0);
    let share = |cells: &[f64], total: f64| cells[..cut].iter().sum::<f64>() / total;
    (share(bad, bads) - share(good, goods)).clamp(0.0, 1.0)
}
