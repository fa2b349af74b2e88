//! What a finished job of any horizontal kind learned.

use haihe_models::files::ModelCard;
use haihe_privacy::digest::Digest;
use serde::Deserialize;

use super::{
    anomaly::{AnomalyModel, AnomalyResult},
    network::{Learned, NetworkResult},
    scorecard::ScorecardResult,
};
use crate::{
    id::{JobId, PartyId},
    job::{JobKind, JobSpec},
};

/// The result of a job, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum JobResult {
    /// A credit scorecard.
    Scorecard(Box<ScorecardResult>),
    /// A credit network.
    Network(Box<NetworkResult>),
    /// An anomaly model.
    Anomaly(Box<AnomalyResult>),
}

fn whole<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<Box<T>> {
    serde_json::from_str(json).map(Box::new)
}

impl JobResult {
    /// Reads the JSON that a job's last sum led to; `None` if the job is not made of sums.
    pub fn read(spec: &JobSpec, json: &str) -> Option<serde_json::Result<Self>> {
        Some(match spec.kind() {
            JobKind::Scorecard => whole(json).map(JobResult::Scorecard),
            JobKind::Network => whole(json).map(JobResult::Network),
            JobKind::Anomaly => whole(json).map(JobResult::Anomaly),
            JobKind::JointScorecard | JobKind::JointScoring => return None,
        })
    }

    /// The scorecard, if it is one.
    pub fn scorecard(&self) -> Option<&ScorecardResult> {
        match self {
            JobResult::Scorecard(result) => Some(result),
            _ => None,
        }
    }

    /// The anomaly model, if it is one.
    pub fn anomaly(&self) -> Option<&AnomalyResult> {
        match self {
            JobResult::Anomaly(result) => Some(result),
            _ => None,
        }
    }

    /// The network, if it is one.
    pub fn network(&self) -> Option<&NetworkResult> {
        match self {
            JobResult::Network(result) => Some(result),
            _ => None,
        }
    }
}

/// What a model card says beside the result: from the job and its session.
#[derive(Clone, Debug)]
pub struct Provenance<'a> {
    /// The job file.
    pub spec: &'a JobSpec,
    /// Its id.
    pub job: &'a JobId,
    /// Name of the federation.
    pub federation: &'a str,
    /// The parties of the session.
    pub parties: &'a [PartyId],
    /// When the result was recorded, RFC 3339.
    pub created: &'a str,
    /// The job's transcript.
    pub transcript: &'a Digest,
}

impl JobResult {
    /// The trained network, if there is one.
    pub fn learned(&self) -> Option<&Learned> {
        match self {
            JobResult::Network(result) => Some(&result.network),
            JobResult::Anomaly(result) => match &result.model {
                AnomalyModel::Autoencoder(network) => Some(network),
                AnomalyModel::Tails(_) | AnomalyModel::Forest(_) => None,
            },
            JobResult::Scorecard(_) => None,
        }
    }

    /// The card of the trained network, if there is one.
    pub fn card(&self, from: &Provenance<'_>) -> Option<ModelCard> {
        let learned = self.learned()?;
        let mut card = ModelCard::new(&from.spec.job.name, learned.architecture.clone(), from.created);
        card.encoder = Some(learned.encoder.clone());
        card.job = from.job.to_string();
        card.federation = from.federation.to_owned();
        card.parties = from.parties.iter().map(ToString::to_string).collect();
        card.rounds = learned.history.len() as u32;
        card.best_round = learned.best_round;
        card.transcript = from.transcript.to_hex();
        let (rows, figures) = match self {
            JobResult::Network(result) => {
                card.intended_use =
                    "Ranks firms by the risk of default; log-odds of bad. Decisions stay with people.".to_owned();
                card.limits = LIMITS.to_owned();
                let ranking = result.evaluation.test.ranking.iter();
                (result.rows, ranking.flat_map(|r| [("test AUC", r.auc), ("test KS", r.ks)]).collect::<Vec<_>>())
            }
            JobResult::Anomaly(result) => {
                card.intended_use = "Points out firms that differ from the others, for people to look at.".to_owned();
                card.limits = LIMITS.to_owned();
                let t = &result.thresholds;
                card.thresholds = [("general", t.general), ("serious", t.serious), ("critical", t.critical)]
                    .map(|(n, v)| (n.to_owned(), v))
                    .into();
                let auroc = result.test.ranking.iter().map(|r| ("test AUROC", r.auc));
                (result.rows, auroc.chain(result.test.average_precision.map(|v| ("test AUPRC", v))).collect())
            }
            JobResult::Scorecard(_) => return None,
        };
        card.training_rows = rows.max(0.0) as u64;
        card.figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Some(card)
    }
}

const LIMITS: &str = "Valid for firms like those it learned from; inputs beyond their ranges are cut off. Not checked for fairness \
                      between groups of firms. The parameters themselves hide no single firm: no noise was added.";
