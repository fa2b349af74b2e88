//! From noisy coarse counts to grids.

use super::{NoisyError, NoisyOptions, check, statistics::profile_blocks};
use crate::grid::{CoarseGrid, ColumnGrid, FineGrid, ProfileLayout};
use crate::table::{ColumnKind, ColumnSpec};
use serde::{Deserialize, Serialize};

/// What the first noisy sum tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyProfile {
    /// Good train rows, as clipped; whole, 0 or more.
    pub good: f64,
    /// Bad train rows.
    pub bad: f64,
    /// Test rows.
    pub test_rows: f64,
    /// Standard deviation of the noise on each of the three.
    pub sigma: f64,
    /// One per column of the job.
    pub grids: Vec<ColumnGrid>,
}

impl NoisyProfile {
    /// Train rows.
    pub fn rows(&self) -> f64 {
        self.good + self.bad
    }
}

/// Reads the first noisy sum. `sigmas`: one per block of [`profile_blocks`].
pub fn absorb(
    specs: &[ColumnSpec],
    sum: &[f64],
    sigmas: &[f64],
    options: &NoisyOptions,
) -> Result<NoisyProfile, NoisyError> {
    options.validate()?;
    let blocks = profile_blocks(specs, options).len();
    let layout = ProfileLayout::new(specs);
    check("coarse counts", sum, sigmas, layout.len() + 1, blocks)?;
    let count = |at: usize| libm::round(sum[at]).max(0.0);
    let sigma = sigmas.last().copied().unwrap_or(0.0);
    let grid = |(index, spec): (usize, &ColumnSpec)| match (&spec.kind, layout.offset(index)) {
        (ColumnKind::Categorical { levels }, _) => Ok(ColumnGrid::Categorical { levels: levels.clone() }),
        (ColumnKind::Numeric, at) => {
            let at = at.map_or(3, |at| at + 1);
            let coarse = occupied(&sum[at..at + CoarseGrid::CELLS], sigma, options.occupied_sigmas);
            Ok(ColumnGrid::Numeric(FineGrid::from_coarse(&coarse, options.fine_cells)?))
        }
    };
    Ok(NoisyProfile {
        good: count(0),
        bad: count(1),
        test_rows: count(2),
        sigma: sigmas.first().copied().unwrap_or(0.0),
        grids: specs.iter().enumerate().map(grid).collect::<Result<_, NoisyError>>()?,
    })
}

/// Coarse counts without the cells that noise alone explains, whole and not negative.
///
/// An octave (8 cells) counts when its sum stands out, and its cells then share the sum; elsewhere a cell must stand out by itself,
/// so that a lone spike is not lost among seven empty neighbours.
fn occupied(noisy: &[f64], sigma: f64, sigmas: f64) -> Vec<f64> {
    let mut counts = vec![0.0; CoarseGrid::CELLS];
    let limit = sigmas * sigma;
    let octave = |cells: &[f64], counts: &mut [f64]| {
        let total: f64 = cells.iter().sum();
        if total > limit * libm::sqrt(cells.len() as f64) {
            counts.copy_from_slice(&project(cells, total));
        } else {
            for (count, &cell) in counts.iter_mut().zip(cells) {
                *count = if cell > limit { cell } else { 0.0 };
            }
        }
    };
    let (negative, rest) = noisy.split_at(CoarseGrid::ZERO);
    let (counts_negative, counts_rest) = counts.split_at_mut(CoarseGrid::ZERO);
    octave(&rest[..1], &mut counts_rest[..1]);
    for (cells, counts) in negative.chunks(8).zip(counts_negative.chunks_mut(8)) {
        octave(cells, counts);
    }
    for (cells, counts) in rest[1..].chunks(8).zip(counts_rest[1..].chunks_mut(8)) {
        octave(cells, counts);
    }
    counts.iter_mut().for_each(|c| *c = libm::round(*c));
    counts
}

/// The nearest vector without negative entries whose sum is `total`, or 0 if that is negative (Duchi et al. 2008, "Efficient
/// projections onto the l1-ball", figure 1). Clamping alone would add the noise of all empty cells to the total.
pub(super) fn project(values: &[f64], total: f64) -> Vec<f64> {
    let total = total.max(0.0);
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut theta) = (0.0, f64::INFINITY);
    for (k, &v) in sorted.iter().enumerate() {
        sum += v;
        let candidate = (sum - total) / (k + 1) as f64;
        if v > candidate {
            theta = candidate;
        }
    }
    values.iter().map(|v| (v - theta).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_makes_no_range() {
        let mut noisy = vec![0.0; CoarseGrid::CELLS];
        for (i, v) in noisy.iter_mut().enumerate() {
            *v = if i % 2 == 0 { 25.0 } else { -25.0 };
        }
        let cell = CoarseGrid::cell(50.0);
        noisy[cell] += 1000.0;
        let counts = occupied(&noisy, 10.0, 4.0);
        assert!(counts[cell] > 900.0, "{}", counts[cell]);
        let far = counts.iter().enumerate().filter(|(i, _)| i.abs_diff(cell) > 7);
        assert_eq!(far.map(|(_, c)| c).sum::<f64>(), 0.0, "nothing outside the octave of the real cell");
    }

    #[test]
    fn without_noise_nothing_changes() {
        let mut counts = vec![0.0; CoarseGrid::CELLS];
        for x in [-3.0, 0.0, 1.0, 1.1, 700.0] {
            counts[CoarseGrid::cell(x)] += 5.0;
        }
        assert_eq!(occupied(&counts, 0.0, 4.0), counts);
    }

    #[test]
    fn projection_keeps_the_total() {
        assert_eq!(project(&[5.0, -3.0, 1.0], 3.0), [3.0, 0.0, 0.0]);
        let p = project(&[4.0, -1.0, 3.0, 0.1], 6.1);
        assert!((p.iter().sum::<f64>() - 6.1).abs() < 1e-12 && p[1] == 0.0, "{p:?}");
        assert_eq!(project(&[1.0, 2.0], -1.0), [0.0, 0.0]);
    }
}
