//! The federated evaluation: histograms of scores at every party, figures from their sum.

use haihe_models::{
    adaptation::LocalModel,
    metrics::{Calibration, Ranking, ScoreGrid, ScoreHistogram, calibration, psi},
    pooled::scores_of,
    scorecard::Scorecard,
    table::{Split, Table},
};
use serde::{Deserialize, Serialize};

use super::{ScorecardError, ScorecardOptions, options};
use crate::{id::PartyId, job::JobSpec};

/// The federated evaluation: from summed histograms, never from rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The grid of the histograms.
    pub grid: ScoreGrid,
    /// Training rows.
    pub train: Measured,
    /// Test rows.
    pub test: Measured,
    /// Test rows, each party's scored by its own version of the scorecard, if the job asks for one.
    pub test_recalibrated: Option<Measured>,
    /// Population stability index of the test scores against the training scores.
    pub stability: Option<f64>,
    /// One per party of the session, if the job asks for it.
    pub per_party: Vec<PartyEvaluation>,
}

/// One population, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Goods and bads along the score.
    pub histogram: ScoreHistogram,
    /// AUC, KS, Gini; absent if there is only one class.
    pub ranking: Option<Ranking>,
    /// Expected against observed.
    pub calibration: Option<Calibration>,
    /// Mean squared error of the predicted probabilities, exact up to the fixed-point code.
    pub brier: Option<f64>,
}

/// One party's own customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartyEvaluation {
    /// Party.
    pub party: PartyId,
    /// Its test rows.
    pub test: Measured,
    /// Brier score under its own version of the scorecard.
    pub brier_recalibrated: Option<f64>,
    /// Population stability index of its scores against those of all test rows.
    pub stability: Option<f64>,
}

/// What a party computes from the shared result for itself. Stays at the party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalResult {
    /// Own version of the scorecard, if the job asks for one.
    pub model: Option<LocalModel>,
    /// Own test rows under the shared scorecard.
    pub test: Measured,
    /// Own test rows under the own version.
    pub test_recalibrated: Option<Measured>,
}

/// Log-odds of good to the probability of bad in the population of the training rows.
fn pd(log_odds: f64) -> f64 {
    haihe_models::glm::sigmoid(-log_odds)
}

fn squared_error(log_odds: &[f64], bad: &[bool]) -> f64 {
    let square = |(x, &bad): (&f64, &bool)| {
        let miss = pd(*x) - f64::from(u8::from(bad));
        miss * miss
    };
    log_odds.iter().zip(bad).map(square).sum()
}

/// The part of an evaluation that a party computes over its own rows.
struct Scored {
    train: ScoreHistogram,
    test: ScoreHistogram,
    squared_error: f64,
    recalibrated: Option<(LocalModel, ScoreHistogram, f64)>,
}

fn score(options: &ScorecardOptions, scorecard: &Scorecard, table: &Table) -> Result<Scored, ScorecardError> {
    let grid = options.grid();
    let (train, train_bad) = scores_of(scorecard, table, Split::Train)?;
    let (test, test_bad) = scores_of(scorecard, table, Split::Test)?;
    let recalibrated = match options.local.recalibrate {
        None => None,
        Some(kind) => {
            let own = LocalModel::learn(kind, scorecard, table)?;
            let (moved, _) = own.scores_of(scorecard, table, Split::Test)?;
            let histogram = ScoreHistogram::of(&grid, &moved, &test_bad)?;
            Some((own, histogram, squared_error(&moved, &test_bad)))
        }
    };
    Ok(Scored {
        train: ScoreHistogram::of(&grid, &train, &train_bad)?,
        test: ScoreHistogram::of(&grid, &test, &test_bad)?,
        squared_error: squared_error(&test, &test_bad),
        recalibrated,
    })
}

pub(super) fn evaluation_vector(
    options: &ScorecardOptions,
    scorecard: &Scorecard,
    table: &Table,
    party: u32,
    parties: u32,
) -> Result<Vec<f64>, ScorecardError> {
    let scored = score(options, scorecard, table)?;
    let cells = options.evaluation.cells;
    let mut vector = scored.train.to_vec();
    let own = scored.test.to_vec();
    vector.extend(&own);
    let mut errors = vec![scored.squared_error];
    if let Some((_, histogram, error)) = &scored.recalibrated {
        vector.extend(histogram.to_vec());
        errors.push(*error);
    }
    if options.evaluation.per_party {
        for index in 0..parties {
            if index == party {
                vector.extend(&own);
            } else {
                vector.extend(std::iter::repeat_n(0.0, 2 * cells));
            }
        }
    }
    vector.extend(&errors);
    if options.evaluation.per_party {
        for index in 0..parties {
            vector.extend(errors.iter().map(|e| if index == party { *e } else { 0.0 }));
        }
    }
    Ok(vector)
}

fn measured(grid: &ScoreGrid, histogram: ScoreHistogram, squared_error: Option<f64>) -> Measured {
    let rows: f64 = histogram.good.iter().chain(&histogram.bad).sum();
    Measured {
        ranking: Ranking::of(&histogram).ok(),
        calibration: calibration(grid, &histogram, 10, 0.0).ok(),
        brier: squared_error.filter(|_| rows > 0.0).map(|e| e / rows),
        histogram,
    }
}

fn totals(histogram: &ScoreHistogram) -> Vec<f64> {
    histogram.good.iter().zip(&histogram.bad).map(|(g, b)| g + b).collect()
}

/// Reads the summed evaluation vector.
pub(super) fn evaluation(
    options: &ScorecardOptions,
    sum: &[f64],
    parties: &[PartyId],
) -> Result<Evaluation, ScorecardError> {
    let grid = options.grid();
    let width = 2 * options.evaluation.cells;
    let recalibrated = options.local.recalibrate.is_some();
    let shares = if options.evaluation.per_party { parties.len() } else { 0 };
    let histograms = 2 + usize::from(recalibrated) + shares;
    let (counts, errors) = sum.split_at((histograms * width).min(sum.len()));
    let mut blocks = counts.chunks(width).map(|block| ScoreHistogram::from_slice(&grid, block));
    let mut block = || blocks.next().unwrap_or_else(|| ScoreHistogram::from_slice(&grid, &[]));
    let per = 1 + usize::from(recalibrated);
    let error = |share: usize, which: usize| errors.get(share * per + which).map(|e| e.max(0.0));
    let train = block()?;
    let test = block()?;
    let test_recalibrated = if recalibrated { Some(measured(&grid, block()?, error(0, 1))) } else { None };
    let mut per_party = Vec::with_capacity(shares);
    for (index, party) in parties.iter().enumerate().take(shares) {
        let own = block()?;
        let rows: f64 = totals(&own).iter().sum();
        per_party.push(PartyEvaluation {
            party: party.clone(),
            stability: psi(&totals(&test), &totals(&own)).ok(),
            brier_recalibrated: if recalibrated && rows > 0.0 { error(index + 1, 1).map(|e| e / rows) } else { None },
            test: measured(&grid, own, error(index + 1, 0)),
        });
    }
    Ok(Evaluation {
        stability: psi(&totals(&train), &totals(&test)).ok(),
        train: measured(&grid, train, None),
        test: measured(&grid, test, error(0, 0)),
        test_recalibrated,
        per_party,
        grid,
    })
}

/// What a party computes from the finished scorecard over its own rows, and keeps.
pub fn local_result(spec: &JobSpec, scorecard: &Scorecard, table: &Table) -> Result<LocalResult, ScorecardError> {
    let options = options(spec)?;
    let scored = score(options, scorecard, table)?;
    let grid = options.grid();
    let (model, test_recalibrated) = match scored.recalibrated {
        Some((own, histogram, error)) => (Some(own), Some(measured(&grid, histogram, Some(error)))),
        None => (None, None),
    };
    Ok(LocalResult { model, test: measured(&grid, scored.test, Some(scored.squared_error)), test_recalibrated })
}
