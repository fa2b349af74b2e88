//! All private steps in the clear, with noise from a given source: for choosing options, and for knowing what a budget costs.
//! It gives no privacy, because whoever runs it holds all rows.

use super::newton::{NoisyFit, NoisyNewton, NoisyOutcome};
use super::statistics::{
    evaluation_blocks, evaluation_sum, label_counts_blocks, label_counts_sum, profile_blocks, profile_sum,
    regression_blocks, regression_sum, score_grid,
};
use super::{NoisyError, NoisyOptions, binning, evaluation, profile};
use crate::clipped::{Block, ClippedSum};
use crate::pooled::ScorecardOptions;
use crate::scorecard::Scorecard;
use crate::selection::{Reason, Selection};
use crate::table::Table;

/// What a trial learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The scorecard.
    pub scorecard: Scorecard,
    /// All columns, binned.
    pub binnings: binning::NoisyBinnings,
    /// The regression.
    pub fit: NoisyFit,
    /// The evaluation under noise.
    pub evaluation: evaluation::NoisyEvaluation,
    /// Firms scaled down per sum and block.
    pub clipped: Vec<Vec<usize>>,
}

/// Learns one scorecard from several tables with a total budget of `mu` (Gaussian differential privacy; infinite for no noise).
/// `noise(sigma)` gives one draw of Gaussian noise.
pub fn train(
    tables: &[&Table],
    learning: &ScorecardOptions,
    options: &NoisyOptions,
    mu: f64,
    noise: &mut dyn FnMut(f64) -> f64,
) -> Result<Trial, NoisyError> {
    let specs = tables.first().map_or(&[][..], |t| &t.specs);
    let budgets = options.budgets(mu);
    let mut sums = Sums { tables, noise, clipped: Vec::new() };
    let (sum, sigmas) = sums.take(&profile_blocks(specs, options), budgets[0], |t| profile_sum(t, options))?;
    let grids = profile::absorb(specs, &sum, &sigmas, options)?.grids;
    let blocks = label_counts_blocks(&grids, options);
    let (sum, sigmas) = sums.take(&blocks, budgets[1], |t| label_counts_sum(t, &grids, options))?;
    let mut binned = binning::absorb(specs, &grids, &sum, &sigmas, &learning.binning, &learning.selection, options)?;
    let chosen = binned.chosen();
    let mut newton = NoisyNewton::new(&chosen, binned.good, binned.bad, options)?;
    let fit = loop {
        let budget = budgets[2 + newton.rounds()];
        let blocks = regression_blocks(&chosen, options);
        let (sum, sigmas) = sums.take(&blocks, budget, |t| regression_sum(t, &chosen, newton.beta(), options))?;
        match newton.step(&sum, &sigmas, learning.selection.require_positive)? {
            NoisyOutcome::Continue(next) => newton = next,
            NoisyOutcome::Finished(fit) => break *fit,
        }
    };
    binned.selection = without_contradicted(&binned, &fit);
    let scorecard = Scorecard::new(binned.chosen(), &fit.fit, learning.scaling.clone())?;
    let (sum, sigmas) =
        sums.take(&evaluation_blocks(options), budgets[budgets.len() - 1], |t| evaluation_sum(t, &scorecard, options))?;
    let evaluation = evaluation::absorb(&score_grid(&scorecard, options), &sum, &sigmas, options)?;
    Ok(Trial { scorecard, binnings: binned, fit, evaluation, clipped: sums.clipped })
}

/// The selection without the columns that contradict their WOE.
pub fn without_contradicted(binned: &binning::NoisyBinnings, fit: &NoisyFit) -> Selection {
    let last_first = fit.contradicted.iter().rev();
    last_first.fold(binned.selection.clone(), |selection, &(at, coefficient)| {
        selection.without(at, &binned.binnings, Reason::WrongSign { coefficient })
    })
}

struct Sums<'a> {
    tables: &'a [&'a Table],
    noise: &'a mut dyn FnMut(f64) -> f64,
    clipped: Vec<Vec<usize>>,
}

impl Sums<'_> {
    /// The noisy sum over all tables and the standard deviation of each block.
    fn take(
        &mut self,
        blocks: &[Block],
        mu: f64,
        part: impl Fn(&Table) -> Result<ClippedSum, NoisyError>,
    ) -> Result<(Vec<f64>, Vec<f64>), NoisyError> {
        let sigmas: Vec<f64> = blocks.iter().map(|b| b.sigma(mu)).collect();
        let mut total: Vec<f64> = vec![0.0; blocks.iter().map(|b| b.len).sum()];
        let mut clipped = vec![0; blocks.len()];
        for table in self.tables {
            let own = part(table)?;
            total.iter_mut().zip(&own.sum).for_each(|(t, v)| *t += v);
            clipped.iter_mut().zip(&own.clipped).for_each(|(t, v)| *t += v);
        }
        self.clipped.push(clipped);
        let of_entry = blocks.iter().zip(&sigmas).flat_map(|(b, s)| std::iter::repeat_n(*s, b.len));
        for (entry, sigma) in total.iter_mut().zip(of_entry).filter(|(_, s)| *s > 0.0) {
            *entry += (self.noise)(sigma);
        }
        Ok((total, sigmas))
    }
}
