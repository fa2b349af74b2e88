//! A credit scorecard, learned by sums alone: profile, label counts, correlations, damped Newton, evaluation.
//!
//! | step | what the sum holds | what follows from it |
//! |---|---|---|
//! | `profile` | rows, bads, coarse counts per numeric column | the fine grids |
//! | `label_counts` | goods and bads per fine cell and level | bins, weight of evidence, information value |
//! | `correlation` | first and second moments of the WOE values | the selection |
//! | `regression` | log-likelihood, gradient, Hessian at one point | the next point, or a fit and perhaps one variable less |
//! | `evaluation` | good/bad histograms of the scores | AUC, KS, calibration, stability |

use std::collections::BTreeMap;

use haihe_models::{
    adaptation::RecalibrationKind,
    binning::{Binning, BinningError, BinningOptions, bin_columns, design, max_abs_woe},
    glm::{Fit, GlmError, LogisticStatistics, Newton, NewtonOptions, NewtonOutcome, Resolution, logistic_statistics},
    grid::{ColumnGrid, LabelCountsLayout, ProfileLayout, StatisticsError, grids, label_counts, profile, rows_of},
    metrics::{MetricsError, ScoreGrid},
    noisy::{NoisyError, NoisyOptions},
    scorecard::{ScalingOptions, Scorecard},
    selection::{
        Correlation, Selection, SelectionOptions, by_correlation, by_information_value, correlation_len,
        correlation_statistics, weakest,
    },
    table::{Split, Table},
};
use haihe_privacy::secure_sum::{Coding, Segment};
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::{
    id::PartyId,
    job::{JobProblem, JobSpec},
};

mod evaluation;
pub mod noised;

pub use evaluation::{Evaluation, LocalResult, Measured, PartyEvaluation, local_result};
use evaluation::{evaluation, evaluation_vector};

/// The table `[scorecard]` of a job file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScorecardOptions {
    /// How columns are binned.
    pub binning: BinningOptions,
    /// How variables are selected.
    pub selection: SelectionOptions,
    /// How the regression is fitted.
    pub regression: NewtonOptions,
    /// How log-odds become points.
    pub scaling: ScalingOptions,
    /// How the result is evaluated.
    pub evaluation: EvaluationOptions,
    /// What every party keeps for itself.
    pub local: LocalOptions,
    /// How a scorecard is learned under noise, if the job has a table `[privacy]`.
    pub noise: NoisyOptions,
}

/// How the result is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationOptions {
    /// Cells of the histograms of log-odds.
    pub cells: usize,
    /// Give every party a slot range of its own, so that its own figures become known to all. Each party's policy must
    /// allow it.
    pub per_party: bool,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { cells: 400, per_party: false }
    }
}

/// What every party keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalOptions {
    /// Fit a version of the shared scorecard on the party's own training rows. It never leaves the party.
    pub recalibrate: Option<RecalibrationKind>,
}

impl ScorecardOptions {
    /// The options of the learning itself, as pooled training takes them.
    pub fn learning(&self) -> haihe_models::pooled::ScorecardOptions {
        haihe_models::pooled::ScorecardOptions {
            binning: self.binning.clone(),
            selection: self.selection.clone(),
            regression: self.regression.clone(),
            scaling: self.scaling.clone(),
        }
    }

    pub(crate) fn problems(&self, parties: usize, found: &mut Vec<JobProblem>) {
        let mut option = |table: &str, problem: Option<String>| {
            if let Some(detail) = problem {
                found.push(JobProblem::Option { table: format!("scorecard.{table}"), detail });
            }
        };
        option("binning", self.binning.validate().err().map(|e| e.to_string()));
        option("selection", self.selection.validate().err().map(|e| e.to_string()));
        option("regression", self.regression.validate().err().map(|e| e.to_string()));
        option("scaling", self.scaling.validate().err().map(|e| e.to_string()));
        option("noise", self.noise.validate().err().map(|e| e.to_string()));
        if !(10..=10_000).contains(&self.evaluation.cells) {
            let got = self.evaluation.cells as f64;
            found.push(JobProblem::Range { key: "scorecard.evaluation.cells", got, allowed: "10 to 10000" });
        }
        let own_cells = parties.saturating_mul(self.evaluation.cells);
        if self.evaluation.per_party && own_cells > MAX_OWN_CELLS {
            let got = own_cells as f64;
            let allowed = "at most 100000 cells over all parties with per_party = true";
            found.push(JobProblem::Range { key: "scorecard.evaluation.cells times parties", got, allowed });
        }
    }

    fn grid(&self) -> ScoreGrid {
        ScoreGrid { cells: self.evaluation.cells, ..ScoreGrid::default() }
    }
}

/// Most cells of the parties' own histograms together: the result carries them all, and must fit into one message.
const MAX_OWN_CELLS: usize = 100_000;

/// What one round computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Rows, bads and coarse counts.
    Profile,
    /// Goods and bads on the agreed grids.
    LabelCounts {
        /// One per column of the job.
        grids: Vec<ColumnGrid>,
    },
    /// Moments of the WOE values.
    Correlation {
        /// Training rows of all parties; bounds the sums.
        rows: f64,
        /// Columns with enough information.
        binnings: Vec<Binning>,
    },
    /// Log-likelihood, gradient and Hessian.
    Regression {
        /// Training rows of all parties; bounds the sums.
        rows: f64,
        /// Selected columns.
        binnings: Vec<Binning>,
        /// Where, intercept first.
        beta: Vec<f64>,
    },
    /// Histograms of scores.
    Evaluation {
        /// Test rows of all parties; bounds the sums.
        test_rows: f64,
        /// The finished scorecard.
        scorecard: Box<Scorecard>,
    },
}

/// Where the learning stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    rows: f64,
    bads: f64,
    test_rows: f64,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum Stage {
    Profile,
    LabelCounts {
        grids: Vec<ColumnGrid>,
    },
    Correlation {
        binnings: Vec<Binning>,
        selection: Selection,
    },
    Regression {
        learned: Learned,
        newton: Newton,
        /// Rows and events of the sum before this one.
        before: Option<(f64, f64)>,
    },
    Evaluation {
        learned: Learned,
        fit: Fit,
        scorecard: Box<Scorecard>,
    },
}

/// What is known once the variables were selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Learned {
    binnings: Vec<Binning>,
    selection: Selection,
    /// Columns of `correlation`, as positions in `binnings`.
    correlated: Vec<usize>,
    correlation: Correlation,
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    Continue(Box<Plan>),
    Finished(String),
}

/// Why a task cannot be performed or a sum leads nowhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScorecardError {
    /// Tables and counts.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Binning.
    #[error(transparent)]
    Binning(#[from] BinningError),
    /// Regression.
    #[error(transparent)]
    Regression(#[from] GlmError),
    /// Scorecard.
    #[error(transparent)]
    Scorecard(#[from] haihe_models::scorecard::ScorecardError),
    /// Evaluation.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No variable is informative enough.
    #[error("no variable is left: none of {columns} columns passes scorecard.selection; add columns or relax it")]
    NothingSelected {
        /// Columns of the job.
        columns: usize,
    },
    /// Nobody brought rows for testing.
    #[error("the parties have {rows} test rows together; a scorecard is not released without an evaluation")]
    NoTestRows {
        /// Test rows.
        rows: f64,
    },
    /// Learning under noise.
    #[error(transparent)]
    Noisy(Box<NoisyError>),
    /// The noise of a job.
    #[error(transparent)]
    Privacy(#[from] noised::PrivacyError),
    /// The job has no table `[scorecard]`.
    #[error("the job does not learn a scorecard")]
    OtherKind,
}

/// The learned scorecard and everything that a modeller wants to see of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScorecardResult {
    /// The model.
    pub scorecard: Scorecard,
    /// The regression.
    pub fit: Fit,
    /// All columns of the job, binned.
    pub binnings: Vec<Binning>,
    /// Which were kept, and why the others were not.
    pub selection: Selection,
    /// Names of the columns of `correlation`.
    pub correlated: Vec<String>,
    /// Correlations of the WOE values of all columns with enough information.
    pub correlation: Correlation,
    /// The federated evaluation.
    pub evaluation: Evaluation,
    /// What was spent of each firm's privacy, if the job added noise. Then counts are not whole numbers, and everything here is
    /// as noisy as it says.
    #[serde(default)]
    pub privacy: Option<noised::PrivacySpent>,
}

fn options(spec: &JobSpec) -> Result<&ScorecardOptions, ScorecardError> {
    spec.scorecard.as_ref().ok_or(ScorecardError::OtherKind)
}

fn counts(name: &str, len: usize) -> Segment {
    Segment { name: name.to_owned(), len, coding: Coding::Count }
}

fn fixed(name: &str, len: usize, bound: f64) -> Segment {
    Segment { name: name.to_owned(), len, coding: Coding::Fixed { bound } }
}

/// Neighbouring entries with the same bound share a segment.
fn fixed_runs(name: &str, bounds: &[f64]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for &bound in bounds {
        match segments.last_mut() {
            Some(last) if last.coding == (Coding::Fixed { bound }) => last.len += 1,
            _ => segments.push(fixed(name, 1, bound)),
        }
    }
    segments
}

impl Task {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Task::Profile => "profile",
            Task::LabelCounts { .. } => "label_counts",
            Task::Correlation { .. } => "correlation",
            Task::Regression { .. } => "regression",
            Task::Evaluation { .. } => "evaluation",
        }
    }

    /// Layout of the vector that answers the task.
    pub(crate) fn segments(&self, spec: &JobSpec, parties: u32) -> Result<Vec<Segment>, ScorecardError> {
        let options = options(spec)?;
        let columns = spec.data.columns.len();
        if let Task::Correlation { binnings, .. } | Task::Regression { binnings, .. } = self
            && binnings.len() > columns
        {
            // The layout grows with the square of this number: it is checked before anything is made of it.
            return Err(StatisticsError::Columns { expected: columns, found: binnings.len() }.into());
        }
        Ok(match self {
            Task::Profile => {
                vec![counts("profile", ProfileLayout::new(&spec.data.columns).len()), counts("test rows", 1)]
            }
            Task::LabelCounts { grids } => vec![counts("label counts", LabelCountsLayout::new(grids).len())],
            Task::Correlation { rows, binnings } => {
                let size = max_abs_woe(binnings).max(1.0);
                let p = binnings.len();
                vec![
                    counts("rows", 1),
                    fixed("sums", p, rows * size),
                    fixed("products", correlation_len(p).saturating_sub(1 + p), rows * size * size),
                ]
            }
            Task::Regression { rows, binnings, .. } => {
                let bounds = LogisticStatistics::bounds(*rows, binnings.len(), max_abs_woe(binnings).max(1e-3));
                let mut segments = vec![counts("rows and events", 2)];
                segments.extend(fixed_runs("log-likelihood, gradient, Hessian", bounds.get(2..).unwrap_or(&[])));
                segments
            }
            Task::Evaluation { test_rows, .. } => {
                let cells = options.evaluation.cells;
                let shares = if options.evaluation.per_party { parties as usize } else { 0 };
                let recalibrated = usize::from(options.local.recalibrate.is_some());
                vec![
                    counts("train and test histograms", 4 * cells + recalibrated * 2 * cells),
                    counts("own histograms", shares * 2 * cells),
                    fixed("squared errors", (1 + recalibrated) * (1 + shares), test_rows.max(1.0)),
                ]
            }
        })
    }

    /// The vector of one party.
    pub(crate) fn perform(
        &self,
        spec: &JobSpec,
        table: &Table,
        party: u32,
        parties: u32,
    ) -> Result<Vec<f64>, ScorecardError> {
        match self {
            Task::Profile => {
                let mut vector = profile(table, Split::Train)?;
                vector.push(rows_of(table, Split::Test).len() as f64);
                Ok(vector)
            }
            Task::LabelCounts { grids } => Ok(label_counts(table, grids)?),
            Task::Correlation { binnings, .. } => Ok(correlation_statistics(&design(table, binnings, Split::Train)?.x)),
            Task::Regression { binnings, beta, .. } => {
                let design = design(table, binnings, Split::Train)?;
                Ok(logistic_statistics(&design.x, &design.good, beta)?.to_vec())
            }
            Task::Evaluation { scorecard, .. } => {
                let options = options(spec)?;
                evaluation_vector(options, scorecard, table, party, parties)
            }
        }
    }
}

impl Plan {
    pub(crate) fn begin(_: &JobSpec) -> Self {
        Self { rows: 0.0, bads: 0.0, test_rows: 0.0, stage: Stage::Profile }
    }

    pub(crate) fn step(&self) -> &'static str {
        match &self.stage {
            Stage::Profile => "profile",
            Stage::LabelCounts { .. } => "label_counts",
            Stage::Correlation { .. } => "correlation",
            Stage::Regression { .. } => "regression",
            Stage::Evaluation { .. } => "evaluation",
        }
    }

    pub(crate) fn task(&self) -> Task {
        match &self.stage {
            Stage::Profile => Task::Profile,
            Stage::LabelCounts { grids } => Task::LabelCounts { grids: grids.clone() },
            Stage::Correlation { binnings, selection } => {
                Task::Correlation { rows: self.rows, binnings: selection.binnings(binnings) }
            }
            Stage::Regression { learned, newton, .. } => Task::Regression {
                rows: self.rows,
                binnings: learned.selection.binnings(&learned.binnings),
                beta: newton.beta().to_vec(),
            },
            Stage::Evaluation { scorecard, .. } => {
                Task::Evaluation { test_rows: self.test_rows, scorecard: scorecard.clone() }
            }
        }
    }

    pub(crate) fn absorb(
        self,
        spec: &JobSpec,
        sum: &[f64],
        parties: &[PartyId],
    ) -> Result<(Summary, Next), ScorecardError> {
        let options = options(spec)?;
        match self.stage.clone() {
            Stage::Profile => self.absorb_profile(spec, options, sum),
            Stage::LabelCounts { grids } => self.absorb_label_counts(spec, options, &grids, sum),
            Stage::Correlation { binnings, selection } => {
                self.absorb_correlation(spec, options, binnings, selection, sum)
            }
            Stage::Regression { learned, newton, before } => {
                self.absorb_regression(spec, options, learned, newton, before, sum)
            }
            Stage::Evaluation { learned, fit, scorecard } => {
                let evaluation = evaluation(options, sum, parties)?;
                let ranking = evaluation.test.ranking;
                let text = match &ranking {
                    Some(r) => format!("test AUC {:.4}, KS {:.4}, Gini {:.4}", r.auc, r.ks, r.gini),
                    None => "the test rows have one class only".to_owned(),
                };
                let figures = ranking.map(|r| [("auc", r.auc), ("ks", r.ks)].into()).unwrap_or_default();
                let names = |i: &usize| learned.binnings.get(*i).map(|b| b.column.clone());
                let result = ScorecardResult {
                    scorecard: *scorecard,
                    fit,
                    correlated: learned.correlated.iter().filter_map(names).collect(),
                    correlation: learned.correlation,
                    binnings: learned.binnings,
                    selection: learned.selection,
                    evaluation,
                    privacy: None,
                };
                let json = serde_json::to_string(&result).expect("a result is plain data with string keys");
                Ok((summary("evaluation", text, figures), Next::Finished(json)))
            }
        }
    }

    fn then(self, stage: Stage) -> Next {
        Next::Continue(Box::new(Plan { stage, ..self }))
    }

    fn absorb_profile(
        mut self,
        spec: &JobSpec,
        options: &ScorecardOptions,
        sum: &[f64],
    ) -> Result<(Summary, Next), ScorecardError> {
        let (test_rows, profile) = sum.split_last().map_or((0.0, sum), |(last, rest)| (*last, rest));
        let read = ProfileLayout::new(&spec.data.columns).read(profile)?;
        (self.rows, self.bads, self.test_rows) = (read.rows, read.bads, test_rows);
        if test_rows < 1.0 {
            return Err(ScorecardError::NoTestRows { rows: test_rows });
        }
        let grids = grids(&spec.data.columns, profile, options.binning.fine_cells)?;
        let text = format!(
            "{} training rows, {:.1} % bad, {test_rows} test rows",
            self.rows,
            100.0 * self.bads / self.rows.max(1.0)
        );
        let figures = [("rows", self.rows), ("bads", self.bads), ("test_rows", test_rows)].into();
        Ok((summary("profile", text, figures), self.then(Stage::LabelCounts { grids })))
    }

    fn absorb_label_counts(
        self,
        spec: &JobSpec,
        options: &ScorecardOptions,
        grids: &[ColumnGrid],
        sum: &[f64],
    ) -> Result<(Summary, Next), ScorecardError> {
        let binnings = bin_columns(&spec.data.columns, grids, sum, &options.binning)?;
        let selection = by_information_value(&binnings, &options.selection);
        if selection.kept.is_empty() {
            return Err(ScorecardError::NothingSelected { columns: binnings.len() });
        }
        let best = selection.kept.first().and_then(|i| binnings.get(*i));
        let text = format!(
            "{} of {} columns have information value {} or more{}",
            selection.kept.len(),
            binnings.len(),
            options.selection.min_iv,
            best.map_or(String::new(), |b| format!("; most: {} {:.3}", b.column, b.iv))
        );
        let figures = [("kept", selection.kept.len() as f64)].into();
        Ok((summary("label_counts", text, figures), self.then(Stage::Correlation { binnings, selection })))
    }

    fn absorb_correlation(
        self,
        spec: &JobSpec,
        options: &ScorecardOptions,
        binnings: Vec<Binning>,
        selection: Selection,
        sum: &[f64],
    ) -> Result<(Summary, Next), ScorecardError> {
        let correlation = Correlation::from_sums(selection.kept.len(), sum)?;
        let correlated = selection.kept.clone();
        let selection = by_correlation(&selection, &binnings, &correlation, &options.selection)?;
        let text = format!("{} of {} variables stay after correlation", selection.kept.len(), correlated.len());
        let figures = [("kept", selection.kept.len() as f64)].into();
        let learned = Learned { binnings, selection, correlated, correlation };
        let newton = self.newton(spec, options, &learned, None)?;
        Ok((summary("correlation", text, figures), self.then(Stage::Regression { learned, newton, before: None })))
    }

    /// What stochastic rounding can do to the entries of a regression sum: one unit of the code per party.
    fn resolution(&self, spec: &JobSpec, chosen: &[Binning]) -> Resolution {
        let units = f64::from((1u32 << (spec.secure_sum.value_bits - 1)) - 1);
        let per_bound = spec.job.parties.len() as f64 / units;
        let bounds = LogisticStatistics::bounds(self.rows, chosen.len(), max_abs_woe(chosen).max(1e-3));
        let gradient = bounds.get(3..4 + chosen.len()).unwrap_or(&[]).iter().fold(0.0f64, |m, b| m.max(*b));
        Resolution { log_likelihood: bounds.get(2).unwrap_or(&0.0) * per_bound, gradient: gradient * per_bound }
    }

    /// A regression on the selected variables, from zero or from where an earlier fit without one variable left off.
    fn newton(
        &self,
        spec: &JobSpec,
        options: &ScorecardOptions,
        learned: &Learned,
        start: Option<Vec<f64>>,
    ) -> Result<Newton, ScorecardError> {
        let names = |i: &usize| learned.binnings.get(*i).map(|b| b.column.clone());
        let columns: Vec<String> = learned.selection.kept.iter().filter_map(names).collect();
        if columns.is_empty() {
            return Err(ScorecardError::NothingSelected { columns: learned.binnings.len() });
        }
        let chosen = learned.selection.binnings(&learned.binnings);
        let newton = Newton::new(columns, options.regression.clone())?.with_resolution(self.resolution(spec, &chosen));
        Ok(match start {
            Some(beta) => newton.starting_at(beta)?,
            None => newton,
        })
    }

    fn absorb_regression(
        self,
        spec: &JobSpec,
        options: &ScorecardOptions,
        learned: Learned,
        newton: Newton,
        before: Option<(f64, f64)>,
        sum: &[f64],
    ) -> Result<(Summary, Next), ScorecardError> {
        let statistics = LogisticStatistics::from_slice(newton.columns().len(), sum)?;
        // Log-likelihoods of other rows cannot be compared: when a party leaves or comes back between two rounds, the
        // iteration goes on from where it is, and the step that led there is not judged by them.
        let rows = (statistics.rows, statistics.events);
        let newton = if before.is_some_and(|b| b != rows) { newton.on_other_rows() } else { newton };
        let before = Some(rows);
        let log_likelihood = statistics.log_likelihood / statistics.rows.max(1.0);
        let gradient = statistics.gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let line = |text: String, moved: f64| {
            let figures = [("mean_log_likelihood", log_likelihood), ("gradient", gradient), ("step", moved)].into();
            summary("regression", format!("mean log-likelihood {log_likelihood:.6}, {text}"), figures)
        };
        let distance =
            |next: &Newton| next.beta().iter().zip(newton.beta()).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        match newton.step(&statistics) {
            NewtonOutcome::Continue(next) => {
                let moved = distance(&next);
                let text = format!("largest step {moved:.2e}");
                Ok((line(text, moved), self.then(Stage::Regression { learned, newton: next, before })))
            }
            NewtonOutcome::Backtrack(next) => {
                let moved = distance(&next);
                let text = "step halved".to_owned();
                Ok((line(text, moved), self.then(Stage::Regression { learned, newton: next, before })))
            }
            NewtonOutcome::Failed(error) => Err(error.into()),
            NewtonOutcome::Converged(fit) => match weakest(&fit, &options.selection) {
                Some((at, reason)) => {
                    let selection = learned.selection.without(at, &learned.binnings, reason);
                    let dropped = fit.coefficients.get(at + 1).map_or("", |c| c.column.as_str());
                    let text = format!("converged; {dropped} is dropped");
                    let start = fit.coefficients.iter().enumerate();
                    let start = start.filter(|(i, _)| *i != at + 1).map(|(_, c)| c.value).collect();
                    let learned = Learned { selection, ..learned };
                    let newton = self.newton(spec, options, &learned, Some(start))?;
                    Ok((line(text, 0.0), self.then(Stage::Regression { learned, newton, before: None })))
                }
                None => {
                    let chosen = learned.selection.binnings(&learned.binnings);
                    let scorecard = Box::new(Scorecard::new(chosen, &fit, options.scaling.clone())?);
                    let text = format!("converged with {} variables", scorecard.variables.len());
                    Ok((line(text, 0.0), self.then(Stage::Evaluation { learned, fit, scorecard })))
                }
            },
        }
    }
}

fn summary(step: &str, text: String, figures: BTreeMap<&str, f64>) -> Summary {
    let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Summary { step: step.to_owned(), text, figures }
}
