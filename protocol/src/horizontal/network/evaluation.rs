//! The federated evaluation of a credit network, and every party's own customers.

use haihe_models::{
    grid::rows_of,
    metrics::{Calibration, Ranking, ScoreGrid, ScoreHistogram, calibration, psi},
    network::learner::learner,
    table::Split,
};
use haihe_privacy::secure_sum::Segment;
use serde::{Deserialize, Serialize};

use super::{
    NetworkError, NetworkOptions, Rows, counts,
    local::{good_log_odds, labels, own_scores, own_version},
    training::Learned,
};
use crate::id::PartyId;

/// One population along the score: log-odds of good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Goods and bads.
    pub histogram: ScoreHistogram,
    /// AUC, KS, Gini; absent if there is only one class.
    pub ranking: Option<Ranking>,
    /// Expected against observed.
    pub calibration: Option<Calibration>,
}

/// One party's customers under three networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnCustomers<T> {
    /// The shared network; with heads of their own, the party's own version.
    pub shared: T,
    /// A network of the same shape that the party trained alone; absent or empty if its rows do not allow it.
    pub alone: Option<T>,
    /// Why they do not; only in what a party keeps for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_alone: Option<String>,
    /// The party's own version of the shared network, if the job asks for one.
    pub own: Option<T>,
}

/// The federated evaluation: from summed histograms, never from rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreditEvaluation {
    /// The grid of the histograms.
    pub grid: ScoreGrid,
    /// Training rows.
    pub train: Population,
    /// Test rows.
    pub test: Population,
    /// Test rows, each party's scored by its own version, if the job asks for one.
    pub test_own: Option<Population>,
    /// Population stability index of the test scores against the training scores.
    pub stability: Option<f64>,
    /// One per party of the session, if the job asks for it.
    pub per_party: Vec<PartyCredit>,
}

/// One party's own customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartyCredit {
    /// Party.
    pub party: PartyId,
    /// Its test rows.
    pub test: OwnCustomers<Population>,
}

/// Grid of the final evaluation.
pub(super) fn credit_grid(options: &NetworkOptions) -> ScoreGrid {
    ScoreGrid { cells: options.evaluation.cells, ..ScoreGrid::default() }
}

fn has_own(options: &NetworkOptions) -> bool {
    options.personal != super::PersonalOptions::default()
}

/// Histograms per party in its own slots.
fn kinds(options: &NetworkOptions) -> usize {
    2 + usize::from(has_own(options))
}

pub(super) fn population(grid: &ScoreGrid, histogram: ScoreHistogram) -> Population {
    Population {
        ranking: Ranking::of(&histogram).ok(),
        calibration: calibration(grid, &histogram, 10, 0.0).ok(),
        histogram,
    }
}

pub(super) fn segments(options: &NetworkOptions, parties: u32) -> Vec<Segment> {
    let width = 2 * options.evaluation.cells;
    let mut segments = vec![counts("train and test histograms", (2 + usize::from(has_own(options))) * width)];
    if options.evaluation.per_party {
        segments.push(counts("own histograms", parties as usize * kinds(options) * width));
    }
    segments
}

/// One party's histograms.
pub(super) fn vector(options: &NetworkOptions, learned: &Learned, rows: &Rows<'_>) -> Result<Vec<f64>, NetworkError> {
    let grid = credit_grid(options);
    let mut learner = learner(options.rounds.backend, learned.architecture.clone())?;
    let version = own_version(options, learned, rows, &mut *learner)?;
    let own = own_scores(options, learned, rows, version.as_deref(), options.evaluation.per_party)?;
    let train = learned.encoder.encode(rows.table, &rows_of(rows.table, Split::Train))?;
    // With heads of their own the shared parameters alone are no model.
    let shared = version.as_deref().filter(|_| options.personal.head).unwrap_or(&learned.parameters);
    let train_scores = learner.predict(shared, &train)?;
    let mut vector = ScoreHistogram::of(&grid, &good_log_odds(&train_scores), &labels(&train))?.to_vec();
    let histogram = |scores: &[f64]| -> Result<Vec<f64>, NetworkError> {
        Ok(ScoreHistogram::of(&grid, scores, &own.bad)?.to_vec())
    };
    vector.extend(histogram(&own.shared)?);
    if let Some(scores) = &own.own {
        vector.extend(histogram(scores)?);
    }
    if options.evaluation.per_party {
        let mut mine = histogram(&own.shared)?;
        mine.extend(match &own.alone {
            Some(Ok(scores)) => histogram(scores)?,
            _ => vec![0.0; 2 * grid.cells],
        });
        if let Some(scores) = &own.own {
            mine.extend(histogram(scores)?);
        }
        for party in 0..rows.parties {
            let present = party == rows.party;
            vector.extend(mine.iter().map(|count| if present { *count } else { 0.0 }));
        }
    }
    Ok(vector)
}

fn totals(histogram: &ScoreHistogram) -> Vec<f64> {
    histogram.good.iter().zip(&histogram.bad).map(|(g, b)| g + b).collect()
}

/// Reads the summed histograms.
pub(super) fn read(
    options: &NetworkOptions,
    sum: &[f64],
    parties: &[PartyId],
) -> Result<CreditEvaluation, NetworkError> {
    let grid = credit_grid(options);
    let mut blocks = sum.chunks(2 * options.evaluation.cells);
    let mut block = || -> Result<Population, NetworkError> {
        let histogram = ScoreHistogram::from_slice(&grid, blocks.next().unwrap_or(&[]))?;
        Ok(population(&grid, histogram))
    };
    let (train, test) = (block()?, block()?);
    let test_own = if has_own(options) { Some(block()?) } else { None };
    let mut per_party = Vec::new();
    for party in parties.iter().filter(|_| options.evaluation.per_party) {
        let (shared, alone) = (block()?, block()?);
        let own = if has_own(options) { Some(block()?) } else { None };
        per_party.push(PartyCredit {
            party: party.clone(),
            test: OwnCustomers { shared, alone: Some(alone), not_alone: None, own },
        });
    }
    let stability = psi(&totals(&train.histogram), &totals(&test.histogram)).ok();
    Ok(CreditEvaluation { grid, train, test, test_own, stability, per_party })
}
