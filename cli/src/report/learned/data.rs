//! Everything that the report of a network or an anomaly model shows, as one JSON value: `report.json` beside `report.html`.

use haihe_models::{
    anomaly::{AnomalyGrid, Population, Thresholds},
    metrics::{Ranking, ScoreHistogram},
    network::Architecture,
};
use haihe_protocol::{
    horizontal::{
        anomaly::{AnomalyModel, AnomalyResult, ColumnDriver, Detection, Warned},
        network::{CreditEvaluation, Learned, NetworkOptions, NetworkResult, RoundFigures},
    },
    id::PartyId,
};
use haihe_simulations::{detection::DetectionComparison, rounds::RoundFacts};
use serde::{Deserialize, Serialize};

use crate::leaks::LeakReport;
pub use crate::report::data::{CommitteeFacts, Note, PartyFacts};

/// Most bars of a histogram of scores.
const BARS: usize = 40;

/// Jobs that belong together, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// Heading.
    pub title: Note,
    /// Data sets, each with its jobs.
    pub sets: Vec<SetReport>,
    /// What a reader must know before trusting a figure; may be empty.
    pub notes: Vec<Note>,
}

/// The jobs over one data set, with the same parties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetReport {
    /// For programs, for example `polish`.
    pub key: String,
    /// Heading; empty if there is only one set.
    pub title: Note,
    /// What lies at whose place; empty where only a journal was read.
    pub silos: Vec<Silo>,
    /// One per job.
    pub jobs: Vec<LearnedReport>,
}

/// What one party brings; in a demonstration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silo {
    /// Party.
    pub party: PartyId,
    /// Training rows.
    pub train: u64,
    /// Bads among them.
    pub train_bad: u64,
    /// Test rows.
    pub test: u64,
    /// Bads among them.
    pub test_bad: u64,
}

/// A finished job that trained a network or an anomaly model, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnedReport {
    /// Name of the job.
    pub name: String,
    /// Its id.
    pub job: String,
    /// Federation.
    pub federation: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// Wall-clock seconds from opening to result.
    pub seconds: f64,
    /// The scheme of the secure sum; `lattice` in every deployment.
    pub scheme: String,
    /// Committee rule: members, privacy threshold, answers needed.
    pub committee: CommitteeFacts,
    /// Who took part.
    pub parties: Vec<PartyFacts>,
    /// One per opened sum, in order.
    pub rounds: Vec<RoundFacts>,
    /// Contributions accepted, rejected, late.
    pub contributions: [u64; 3],
    /// What was learned and how it was evaluated; the model itself is in the result.
    pub learnt: Learnt,
    /// Rows of each party with a warning, with what drives them: only the party sees them, and a demonstration.
    pub flagged: Vec<Flagged>,
    /// Who could infer what from the job; also `leak-report.json`.
    pub leaks: LeakReport,
    /// What a reader must know before trusting a figure; may be empty.
    pub notes: Vec<Note>,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Learnt {
    /// A credit network.
    Network(Box<NetworkFacts>),
    /// An anomaly model.
    Anomaly(Box<AnomalyFacts>),
}

/// How a network was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// The network.
    pub architecture: Architecture,
    /// Its parameters.
    pub parameters: u64,
    /// The round whose network is the result.
    pub best_round: u32,
    /// One per round.
    pub history: Vec<RoundFigures>,
}

impl TrainingFacts {
    fn of(learned: &Learned) -> Self {
        Self {
            parameters: learned.parameters.len() as u64,
            architecture: learned.architecture.clone(),
            best_round: learned.best_round,
            history: learned.history.clone(),
        }
    }
}

/// A credit network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Training rows of all parties.
    pub rows: f64,
    /// Bads among them.
    pub bads: f64,
    /// Whether every party keeps a last layer of its own.
    pub own_head: bool,
    /// Whether every party trains the result on for itself.
    pub fine_tuned: bool,
    /// The training.
    pub training: TrainingFacts,
    /// The federated evaluation.
    pub evaluation: CreditEvaluation,
}

impl NetworkFacts {
    /// From the result of a job.
    pub fn of(options: Option<&NetworkOptions>, result: &NetworkResult) -> Self {
        Self {
            rows: result.rows,
            bads: result.bads,
            own_head: options.is_some_and(|o| o.personal.head),
            fine_tuned: options.is_some_and(|o| o.personal.fine_tune.is_some()),
            training: TrainingFacts::of(&result.network),
            evaluation: result.evaluation.clone(),
        }
    }
}

/// An anomaly model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyFacts {
    /// `autoencoder`, `tails` or `forest`.
    pub method: String,
    /// Which training rows teach what is normal.
    pub population: Population,
    /// Training rows of all parties.
    pub rows: f64,
    /// Bads among them.
    pub bads: f64,
    /// Of an autoencoder.
    pub training: Option<TrainingFacts>,
    /// Trees of a forest.
    pub trees: Option<u64>,
    /// Goods and bads of the test rows along the score.
    pub bars: Bars,
    /// How well the test rows are told apart.
    pub found: Quality,
    /// The same for each party, if the job asks for it.
    pub per_party: Vec<(PartyId, Quality)>,
    /// Where the warning levels begin.
    pub thresholds: Thresholds,
    /// Test rows by warning level.
    pub warned: Vec<Warned>,
    /// Test rows, good and bad.
    pub test_rows: [f64; 2],
    /// What drives the warnings, largest share first.
    pub drivers: Vec<ColumnDriver>,
    /// Against pooled training and every party alone; in a demonstration.
    pub comparison: Option<DetectionComparison>,
}

/// Ranking of test rows by an anomaly score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// AUROC and KS; absent if there is only one class.
    pub ranking: Option<Ranking>,
    /// Average precision.
    pub auprc: Option<f64>,
}

impl Quality {
    fn of(detection: &Detection) -> Self {
        Self { ranking: detection.ranking, auprc: detection.average_precision }
    }
}

/// A histogram of anomaly scores over even factors, as few bars as a chart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// Lower ends of the bars, rising, and the upper end of the last.
    pub ends: Vec<f64>,
    /// Good rows.
    pub good: Vec<f64>,
    /// Bad rows.
    pub bad: Vec<f64>,
}

impl Bars {
    /// Puts the cells of [`AnomalyGrid`] together. What lies below the occupied cells' first thousandth counts into the first bar.
    pub fn of(histogram: &ScoreHistogram) -> Self {
        let cells = AnomalyGrid::CELLS.min(histogram.good.len()).min(histogram.bad.len());
        let count = |cell: usize| histogram.good[cell] + histogram.bad[cell];
        let total: f64 = (0..cells).map(count).sum();
        let first = (0..cells).find(|&c| count(c) > 0.0).unwrap_or(0);
        let (mut below, mut last) = (0.0, cells.saturating_sub(1));
        while last > first && below + count(last) <= total / 1000.0 {
            below += count(last);
            last -= 1;
        }
        let per_bar = (last - first + 1).div_ceil(BARS).max(1);
        let mut bars = Self { ends: Vec::new(), good: Vec::new(), bad: Vec::new() };
        // Cells are counted from the highest scores down.
        let mut upper = last + 1;
        while upper > first {
            let lower = upper.saturating_sub(per_bar).max(first);
            let sum = |counts: &[f64]| counts[lower..upper].iter().sum::<f64>();
            bars.ends.push(AnomalyGrid::lower(upper - 1));
            bars.good.push(sum(&histogram.good));
            bars.bad.push(sum(&histogram.bad));
            upper = lower;
        }
        let rest = |counts: &[f64]| counts[(last + 1).min(cells)..cells].iter().sum::<f64>();
        if let (Some(good), Some(bad)) = (bars.good.first_mut(), bars.bad.first_mut()) {
            (*good, *bad) = (*good + rest(&histogram.good), *bad + rest(&histogram.bad));
        }
        bars.ends.push(2.0 * AnomalyGrid::lower(first) - AnomalyGrid::lower(first + 1));
        bars
    }
}

impl AnomalyFacts {
    /// From the result of a job.
    pub fn of(population: Population, result: &AnomalyResult) -> Self {
        let sum = |counts: &[f64]| counts.iter().sum::<f64>();
        Self {
            method: result.model.method().to_owned(),
            population,
            rows: result.rows,
            bads: result.bads,
            training: match &result.model {
                AnomalyModel::Autoencoder(learned) => Some(TrainingFacts::of(learned)),
                AnomalyModel::Tails(_) | AnomalyModel::Forest(_) => None,
            },
            trees: match &result.model {
                AnomalyModel::Forest(forest) => Some(forest.trees().len() as u64),
                AnomalyModel::Tails(_) | AnomalyModel::Autoencoder(_) => None,
            },
            bars: Bars::of(&result.test.histogram),
            found: Quality::of(&result.test),
            per_party: result.per_party.iter().map(|p| (p.party.clone(), Quality::of(&p.test))).collect(),
            thresholds: result.thresholds,
            warned: result.warned.clone(),
            test_rows: [sum(&result.test.histogram.good), sum(&result.test.histogram.bad)],
            drivers: result.drivers.clone(),
            comparison: None,
        }
    }
}

/// A row with a warning, as its own party sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flagged {
    /// Whose.
    pub party: PartyId,
    /// Key of the row.
    pub key: String,
    /// `train` or `test`.
    pub split: String,
    /// Anomaly score.
    pub score: f64,
    /// Warning level.
    pub warning: String,
    /// Columns with the largest shares of the score, in words.
    pub drivers: String,
    /// Whether it turned out bad; the party knows.
    pub bad: Option<bool>,
}

impl Reports {
    /// A page of its own for one job.
    pub fn of_one(report: LearnedReport) -> Self {
        let title = Note { en: report.name.clone(), zh: String::new() };
        let none = Note { en: String::new(), zh: String::new() };
        let notes = report.notes.clone();
        let set = SetReport { key: report.name.clone(), title: none, silos: Vec::new(), jobs: vec![report] };
        Self { title, sets: vec![set], notes }
    }

    /// All jobs.
    pub fn jobs(&self) -> impl Iterator<Item = &LearnedReport> {
        self.sets.iter().flat_map(|s| &s.jobs)
    }
}

impl LearnedReport {
    /// Bytes that all parties sent.
    pub fn bytes_sent(&self) -> u64 {
        self.parties.iter().map(|p| p.bytes_sent).sum()
    }

    /// The anomaly model, if it is one.
    pub fn anomaly(&self) -> Option<&AnomalyFacts> {
        match &self.learnt {
            Learnt::Anomaly(facts) => Some(facts),
            Learnt::Network(_) => None,
        }
    }
}
