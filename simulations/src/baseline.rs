//! Comparisons that only somebody with all tables can make: the pooled twin, every party alone, the mean of their scores.
//!
//! A deployment has nobody of that kind; a simulation and the demo do, and measure with it what a federation gains.

use std::{collections::BTreeMap, sync::Arc};

use haihe_models::{
    adaptation::LocalModel,
    glm::{Fit, sigmoid},
    grid::StatisticsError,
    metrics::{Ranking, brier},
    pooled::{ScorecardOptions, TrainError, scores_of, train},
    scorecard::Scorecard,
    table::{Split, Table},
};
use haihe_protocol::{horizontal::scorecard::ScorecardResult, id::PartyId, job::JobSpec};
use serde::{Deserialize, Serialize};

/// A bank alone has few rows: with the federation's bound on the rows of a bin it would often have no model at all.
const MIN_BIN_ROWS_ALONE: f64 = 10.0;
/// Name of the federated model with every party's own coefficients or points.
pub const ADAPTED: &str = "federated, adapted";

/// AUC, KS and Brier score of one model on one set of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Kolmogorov-Smirnov distance.
    pub ks: f64,
    /// Brier score.
    pub brier: f64,
}

/// One model of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedModel {
    /// `federated`, `federated, recalibrated` or `federated, adapted`, `pooled`, `mean of scores`, or `bj alone`.
    pub name: String,
    /// On all test rows; `None` if the model could not be fitted.
    pub all: Option<Figures>,
    /// On each party's own test rows, in the order of the parties; `None` also if they have one class only.
    pub own: Vec<Option<Figures>>,
    /// Why there is no model, if there is none.
    pub note: String,
}

/// AUC within each party's own test rows, averaged over the parties with the number of these rows as weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Within {
    /// Every party with the model that it can fit alone; a party that cannot fit any gives all its customers the same score, which
    /// is an AUC of one half.
    pub alone: f64,
    /// The federated model.
    pub federated: f64,
    /// Every party with the coefficients or points that it adapted for itself, if the job asks for that.
    #[serde(default)]
    pub adapted: Option<f64>,
    /// The pooled model.
    pub pooled: f64,
    /// The mean of the scores of all models fitted alone.
    pub mean_of_scores: f64,
    /// Parties whose test rows have both classes, so that they count.
    pub parties: usize,
    /// Parties, of all, that could not fit a model alone.
    pub without_model: usize,
}

/// The federated model against models that only somebody with all data could fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The parties, in the order of [`ComparedModel::own`].
    pub parties: Vec<PartyId>,
    /// Federated first, then pooled, mean of scores, each party alone.
    pub models: Vec<ComparedModel>,
    /// Largest `|federated - pooled| / max(|pooled|, standard error)` over intercept and coefficients. A variable that only one
    /// of the two models has counts as 0 in the other.
    pub max_relative_coefficient_difference: f64,
    /// `(party, own model's AUC, federated AUC)` for own customers, where the own model is better.
    pub losers: Vec<(PartyId, f64, f64)>,
    /// `(party, own model's AUC, adapted AUC)` for own customers, where the own model is better even than the federated one as
    /// the party adapted it. Empty also if the job does not ask for these: see [`Within::adapted`].
    #[serde(default)]
    pub losers_adapted: Vec<(PartyId, f64, f64)>,
    /// Customers within their own bank.
    pub within: Within,
}

/// Why a comparison is impossible.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BaselineError {
    /// The pooled twin cannot be fitted.
    #[error("the pooled model cannot be fitted: {0}")]
    Pooled(#[from] TrainError),
    /// A scorecard does not fit a table.
    #[error("a model cannot score a party's rows: {0}")]
    Score(#[from] StatisticsError),
    /// The job does not learn a scorecard.
    #[error("the job does not learn a scorecard")]
    OtherKind,
}

/// Test rows of one party: labels, true for bad.
type Labels = Vec<bool>;
/// Log-odds of good of the same rows.
type Scores = Vec<f64>;

/// Compares a finished federated scorecard with the others, in the clear.
pub fn compare(
    spec: &JobSpec,
    result: &ScorecardResult,
    tables: &[(PartyId, Arc<Table>)],
) -> Result<Comparison, BaselineError> {
    let options = spec.scorecard.as_ref().ok_or(BaselineError::OtherKind)?;
    let learning = options.learning();
    let (scores, labels) = score_all(&result.scorecard, tables)?;
    let mut models = vec![compared("federated", &scores, &labels)];
    if let Some(kind) = options.local.recalibrate {
        let mut moved = Vec::with_capacity(tables.len());
        for (_, table) in tables {
            let own = LocalModel::learn(kind, &result.scorecard, table)?;
            moved.push(own.scores_of(&result.scorecard, table, Split::Test)?.0);
        }
        let name = if kind.reorders() { ADAPTED } else { "federated, recalibrated" };
        models.push(compared(name, &moved, &labels));
    }
    let pooled = train(&tables.iter().map(|(_, t)| t.as_ref()).collect::<Vec<_>>(), &learning)?;
    models.push(compared("pooled", &score_all(&pooled.scorecard, tables)?.0, &labels));

    let alone = every_party_alone(&learning, tables)?;
    let fitted: Vec<&Vec<Scores>> = alone.iter().filter_map(|a| a.as_ref().ok()).collect();
    let mean = mean_of(&fitted);
    models.push(match &mean {
        Some(mean) => compared("mean of scores", mean, &labels),
        None => missing("mean of scores", tables.len(), "no party could fit a model alone".to_owned()),
    });
    for ((party, _), own) in tables.iter().zip(&alone) {
        let name = format!("{party} alone");
        models.push(match own {
            Ok(scores) => compared(&name, scores, &labels),
            Err(reason) => missing(&name, tables.len(), reason.clone()),
        });
    }
    let parties: Vec<PartyId> = tables.iter().map(|(p, _)| p.clone()).collect();
    Ok(Comparison {
        max_relative_coefficient_difference: coefficient_difference(&result.fit, &pooled.fit),
        losers: losers(&parties, &models, "federated"),
        losers_adapted: losers(&parties, &models, ADAPTED),
        within: within(&models, &labels, alone.iter().filter(|a| a.is_err()).count()),
        parties,
        models,
    })
}

fn score_all(
    scorecard: &Scorecard,
    tables: &[(PartyId, Arc<Table>)],
) -> Result<(Vec<Scores>, Vec<Labels>), StatisticsError> {
    let scored: Result<Vec<_>, _> = tables.iter().map(|(_, t)| scores_of(scorecard, t, Split::Test)).collect();
    Ok(scored?.into_iter().unzip())
}

/// The scores that each party's own model gives to everybody's test rows, or why it has none.
fn every_party_alone(
    learning: &ScorecardOptions,
    tables: &[(PartyId, Arc<Table>)],
) -> Result<Vec<Result<Vec<Scores>, String>>, StatisticsError> {
    let mut options = learning.clone();
    options.binning.min_bin_rows = options.binning.min_bin_rows.min(MIN_BIN_ROWS_ALONE);
    let mut alone = Vec::with_capacity(tables.len());
    for (_, table) in tables {
        alone.push(match train(&[table.as_ref()], &options) {
            Ok(trained) => Ok(score_all(&trained.scorecard, tables)?.0),
            Err(error) => Err(error.to_string()),
        });
    }
    Ok(alone)
}

/// Mean over the models, for every row of every party.
fn mean_of(models: &[&Vec<Scores>]) -> Option<Vec<Scores>> {
    let (first, rest) = models.split_first()?;
    let mut sum = (*first).clone();
    for model in rest {
        for (total, scores) in sum.iter_mut().flatten().zip(model.iter().flatten()) {
            *total += scores;
        }
    }
    sum.iter_mut().flatten().for_each(|total| *total /= models.len() as f64);
    Some(sum)
}

/// `None` if the rows have one class only.
fn figures(scores: &[f64], bad: &[bool]) -> Option<Figures> {
    let ranking = Ranking::of_rows(scores, bad).ok()?;
    let pd: Vec<f64> = scores.iter().map(|s| 1.0 - sigmoid(*s)).collect();
    Some(Figures { auc: ranking.auc, ks: ranking.ks, brier: brier(&pd, bad).ok()? })
}

fn compared(name: &str, scores: &[Scores], labels: &[Labels]) -> ComparedModel {
    ComparedModel {
        name: name.to_owned(),
        all: figures(&scores.concat(), &labels.concat()),
        own: scores.iter().zip(labels).map(|(s, b)| figures(s, b)).collect(),
        note: String::new(),
    }
}

fn missing(name: &str, parties: usize, note: String) -> ComparedModel {
    ComparedModel { name: name.to_owned(), all: None, own: vec![None; parties], note }
}

fn coefficient_difference(federated: &Fit, pooled: &Fit) -> f64 {
    let by_column = |fit: &Fit| -> BTreeMap<String, (f64, f64)> {
        fit.coefficients.iter().map(|c| (c.column.clone(), (c.value, c.standard_error))).collect()
    };
    let (ours, twins) = (by_column(federated), by_column(pooled));
    let mut largest = 0.0f64;
    for column in ours.keys().chain(twins.keys()) {
        let (value, error) = ours.get(column).copied().unwrap_or_default();
        let (twin, twin_error) = twins.get(column).copied().unwrap_or((0.0, error));
        largest = largest.max((value - twin).abs() / twin.abs().max(twin_error));
    }
    largest
}

fn model<'a>(models: &'a [ComparedModel], name: &str) -> Option<&'a ComparedModel> {
    models.iter().find(|m| m.name == name)
}

/// Parties whose own model ranks their own customers better than the named one.
fn losers(parties: &[PartyId], models: &[ComparedModel], shared: &str) -> Vec<(PartyId, f64, f64)> {
    let mut losers = Vec::new();
    for (index, party) in parties.iter().enumerate() {
        let own_auc = |name: &str| model(models, name).and_then(|m| m.own[index]).map(|f| f.auc);
        if let (Some(alone), Some(federated)) = (own_auc(&format!("{party} alone")), own_auc(shared))
            && alone > federated
        {
            losers.push((party.clone(), alone, federated));
        }
    }
    losers
}

fn within(models: &[ComparedModel], labels: &[Labels], without_model: usize) -> Within {
    // The models of the parties alone come last, in the order of the parties.
    let first_alone = models.len() - labels.len();
    let mean = |of: &dyn Fn(usize) -> f64| {
        let (mut sum, mut rows) = (0.0, 0.0);
        for (index, bad) in labels.iter().enumerate() {
            if models[0].own[index].is_some() {
                sum += of(index) * bad.len() as f64;
                rows += bad.len() as f64;
            }
        }
        if rows > 0.0 { sum / rows } else { 0.5 }
    };
    let auc = |model: &ComparedModel, index: usize| model.own[index].map_or(0.5, |f| f.auc);
    let of = |name: &'static str| move |index: usize| model(models, name).map_or(0.5, |m| auc(m, index));
    Within {
        alone: mean(&|index| auc(&models[first_alone + index], index)),
        federated: mean(&of("federated")),
        adapted: model(models, ADAPTED).map(|_| mean(&of(ADAPTED))),
        pooled: mean(&of("pooled")),
        mean_of_scores: mean(&of("mean of scores")),
        parties: models[0].own.iter().flatten().count(),
        without_model,
    }
}
