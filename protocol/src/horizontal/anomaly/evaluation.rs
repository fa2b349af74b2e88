//! Histograms of anomaly scores, and what drives the warnings.

use haihe_models::{
    anomaly::{AnomalyGrid, Thresholds, drivers},
    metrics::{Ranking, ScoreHistogram, average_precision},
    scorecard::Warning,
    table::Split,
};
use haihe_privacy::secure_sum::Segment;

use super::{AnomalyJobError, AnomalyModel, AnomalyOptions, ColumnDriver, Detection, PartyAnomaly, Warned};
use crate::{
    horizontal::{
        Rows,
        network::{Wide, counts, train_rows},
    },
    id::PartyId,
};

const CELLS: usize = AnomalyGrid::CELLS;
/// Warning levels, mildest first.
const LEVELS: [Warning; 3] = [Warning::General, Warning::Serious, Warning::Critical];

pub(super) fn segments(options: &AnomalyOptions, parties: u32) -> Vec<Segment> {
    let mut segments = vec![counts("train histogram", CELLS), counts("test histograms", 2 * CELLS)];
    if options.per_party {
        segments.push(counts("own test histograms", 2 * CELLS * parties as usize));
    }
    segments
}

fn labels(rows: &Rows<'_>, of: &[usize]) -> Vec<bool> {
    of.iter().filter_map(|&row| rows.table.label.get(row)).copied().collect()
}

pub(super) fn vector(
    options: &AnomalyOptions,
    model: &AnomalyModel,
    rows: &Rows<'_>,
) -> Result<Vec<f64>, AnomalyJobError> {
    let train = train_rows(rows.table, options.goods_only());
    let test = haihe_models::grid::rows_of(rows.table, Split::Test);
    let mut vector = AnomalyGrid::count(&model.score(rows.table, &train)?);
    let own = AnomalyGrid::histogram(&model.score(rows.table, &test)?, &labels(rows, &test))?.to_vec();
    vector.extend(&own);
    if options.per_party {
        for party in 0..rows.parties {
            vector.extend(own.iter().map(|count| if party == rows.party { *count } else { 0.0 }));
        }
    }
    Ok(vector)
}

fn detection(counts: &[f64]) -> Detection {
    let (good, bad) = counts.split_at(CELLS.min(counts.len()));
    let histogram = ScoreHistogram { good: good.to_vec(), bad: bad.to_vec() };
    Detection {
        ranking: Ranking::of(&histogram).ok(),
        average_precision: average_precision(&histogram).ok(),
        histogram,
    }
}

/// The training histogram, the test rows, and each party's.
pub(super) fn read(
    options: &AnomalyOptions,
    sum: &[f64],
    parties: &[PartyId],
) -> (Vec<f64>, Detection, Vec<PartyAnomaly>) {
    let (train, rest) = sum.split_at(CELLS.min(sum.len()));
    let mut blocks = rest.chunks(2 * CELLS);
    let test = detection(blocks.next().unwrap_or(&[]));
    let per_party = parties.iter().zip(blocks).filter(|_| options.per_party);
    let per_party = per_party.map(|(p, block)| PartyAnomaly { party: p.clone(), test: detection(block) }).collect();
    (train.to_vec(), test, per_party)
}

pub(super) fn driver_segments(columns: usize) -> Vec<Segment> {
    vec![counts("warned rows", 2 * LEVELS.len()), counts("shares of columns", Wide::slots(columns))]
}

/// Warned test rows by level, and the sum of each column's share in their scores.
pub(super) fn driver_vector(
    model: &AnomalyModel,
    thresholds: &Thresholds,
    test_rows: f64,
    rows: &Rows<'_>,
) -> Result<Vec<f64>, AnomalyJobError> {
    let test = haihe_models::grid::rows_of(rows.table, Split::Test);
    let scores = model.score(rows.table, &test)?;
    let mut vector = vec![0.0; 2 * LEVELS.len()];
    let mut warned = Vec::new();
    for (&row, &score) in test.iter().zip(&scores) {
        let level = thresholds.warning(score);
        if let Some(at) = LEVELS.iter().position(|l| *l == level) {
            let bad = rows.table.label.get(row).copied().unwrap_or(false);
            vector[2 * at + usize::from(bad)] += 1.0;
            warned.push(row);
        }
    }
    let columns = rows.table.columns.len();
    let mut shares = vec![0.0; columns];
    for contributions in model.contributions(rows.table, &warned)? {
        for driver in drivers(&contributions, columns) {
            if let Some(share) = shares.get_mut(driver.column) {
                *share += driver.share;
            }
        }
    }
    let wide = Wide::new(test_rows.max(1.0));
    shares.iter().for_each(|share| wide.push(&mut vector, *share));
    Ok(vector)
}

pub(super) fn read_drivers(columns: &[String], test_rows: f64, sum: &[f64]) -> (Vec<Warned>, Vec<ColumnDriver>) {
    let (levels, shares) = sum.split_at((2 * LEVELS.len()).min(sum.len()));
    let warned: Vec<Warned> = LEVELS
        .iter()
        .zip(levels.chunks(2))
        .map(|(&warning, pair)| Warned {
            warning,
            good: pair.first().copied().unwrap_or(0.0),
            bad: pair.get(1).copied().unwrap_or(0.0),
        })
        .collect();
    let rows: f64 = warned.iter().map(|w| w.good + w.bad).sum();
    let shares = Wide::new(test_rows.max(1.0)).read_all(shares);
    let one = |(column, share): (&String, f64)| ColumnDriver { column: column.clone(), share: share / rows.max(1.0) };
    let mut found: Vec<ColumnDriver> = columns.iter().zip(shares).map(one).collect();
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    (warned, found)
}
