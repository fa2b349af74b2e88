//! What a federation gains when it looks for anomalies: its model against models that only somebody with all tables can judge.
//!
//! Every model scores the same rows, the test rows of all parties. The federated one comes out of the job; pooled and alone are
//! its clear twin ([`crate::twin`]) with the same budget, over all rows in one table and over one party's.

use std::sync::Arc;

use haihe_models::{
    anomaly::AnomalyGrid,
    metrics::{MetricsError, Ranking, average_precision},
    table::{Split, Table},
};
use haihe_protocol::{
    horizontal::{
        JobResult,
        anomaly::{AnomalyJobError, AnomalyModel, AnomalyResult},
    },
    id::PartyId,
    job::JobSpec,
};
use serde::{Deserialize, Serialize};

use crate::twin::{self, TwinError};

/// How well one model finds the bads among the test rows of all parties.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Its standard error (DeLong, DeLong & Clarke-Pearson 1988).
    pub auroc_standard_error: f64,
    /// Average precision.
    pub auprc: f64,
}

/// What one party finds with its own rows alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundAlone {
    /// Party.
    pub party: PartyId,
    /// `None` if its rows teach no model.
    pub found: Option<Found>,
    /// Why there is none, else empty.
    pub note: String,
}

/// A federated anomaly model against the others, all on the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionComparison {
    /// Test rows of all parties.
    pub test_rows: u64,
    /// Bads among them.
    pub test_bad: u64,
    /// The job's model.
    pub federated: Found,
    /// All rows in one table.
    pub pooled: Found,
    /// Every party for itself, in the order of the parties.
    pub alone: Vec<FoundAlone>,
}

/// Why a comparison is impossible.
#[derive(Debug, thiserror::Error)]
pub enum DetectionError {
    /// The pooled twin does not learn.
    #[error("the pooled model cannot be trained: {0}")]
    Twin(#[from] TwinError),
    /// A model does not fit a table.
    #[error("a model cannot score a party's rows: {0}")]
    Score(#[from] AnomalyJobError),
    /// The test rows have one class only.
    #[error("the test rows cannot be ranked: {0}")]
    Metrics(#[from] MetricsError),
    /// The job looks for no anomalies.
    #[error("the job trains no anomaly model")]
    OtherKind,
}

/// Compares the result of a finished job with the others, in the clear.
pub fn compare(
    spec: &JobSpec,
    result: &AnomalyResult,
    tables: &[(PartyId, Arc<Table>)],
) -> Result<DetectionComparison, DetectionError> {
    let federated = found(&result.model, tables)?;
    let whole = [(PartyId::new("pooled").map_err(|_| DetectionError::OtherKind)?, Arc::new(twin::pooled(tables)?))];
    let pooled = found(&learn(spec, &whole)?, tables)?;
    let mut alone = Vec::with_capacity(tables.len());
    for own in tables {
        alone.push(match learn(spec, std::slice::from_ref(own)) {
            Ok(model) => FoundAlone { party: own.0.clone(), found: Some(found(&model, tables)?), note: String::new() },
            Err(DetectionError::Twin(e)) => FoundAlone { party: own.0.clone(), found: None, note: e.to_string() },
            Err(other) => return Err(other),
        });
    }
    let labels = || tables.iter().flat_map(|(_, t)| test_labels(t));
    Ok(DetectionComparison {
        test_rows: labels().count() as u64,
        test_bad: labels().filter(|bad| *bad).count() as u64,
        federated,
        pooled,
        alone,
    })
}

fn learn(spec: &JobSpec, tables: &[(PartyId, Arc<Table>)]) -> Result<AnomalyModel, DetectionError> {
    match twin::learn(spec, tables, |_| {})? {
        JobResult::Anomaly(result) => Ok(result.model),
        JobResult::Scorecard(_) | JobResult::Network(_) => Err(DetectionError::OtherKind),
    }
}

fn test_rows(table: &Table) -> Vec<usize> {
    (0..table.rows()).filter(|&row| table.split.get(row) == Some(&Split::Test)).collect()
}

fn test_labels(table: &Table) -> Vec<bool> {
    test_rows(table).into_iter().filter_map(|row| table.label.get(row)).copied().collect()
}

fn found(model: &AnomalyModel, tables: &[(PartyId, Arc<Table>)]) -> Result<Found, DetectionError> {
    let (mut scores, mut bad) = (Vec::new(), Vec::new());
    for (_, table) in tables {
        scores.extend(model.score(table, &test_rows(table))?);
        bad.extend(test_labels(table));
    }
    let histogram = AnomalyGrid::histogram(&scores, &bad)?;
    let ranking = Ranking::of(&histogram)?;
    Ok(Found {
        auroc: ranking.auc,
        auroc_standard_error: ranking.auc_standard_error,
        auprc: average_precision(&histogram)?,
    })
}
