//! A credit scorecard from sums that hide every single firm, as a job with a table `[privacy]` asks for it.
//!
//! Each party clips what a firm adds over all of its rows, every party adds discrete Gaussian noise to its vector, and the
//! number of sums is fixed beforehand: profile, label counts, a fixed number of Newton steps, evaluation. What happens after
//! a sum is in `haihe_models::noisy`; it costs no privacy.

use haihe_models::{
    clipped::{Block, ClippedSum},
    grid::ColumnGrid,
    noisy::{
        NoisyError, NoisyOptions,
        binning::{self, NoisyBinnings},
        evaluation::{self, NoisyMeasured},
        newton::{NoisyFit, NoisyNewton, NoisyOutcome},
        profile, statistics,
        trial::without_contradicted,
    },
    scorecard::Scorecard,
    selection::Correlation,
    table::Table,
};
use haihe_privacy::{
    dp::{AccountingError, Composition, Mechanism, NoiseError, SegmentNoise, multiplier_for},
    secure_sum::{Coding, Segment},
};
use serde::{Deserialize, Serialize};

use super::{Evaluation, Measured, ScorecardError, ScorecardResult, options, summary};
use crate::{
    horizontal::{Layout, Numbers, Summary},
    job::JobSpec,
};

/// Most rows that one party may bring to a job with noise: bounds the first sum, when nothing is known yet.
pub const MAX_ROWS: f64 = (1 << 22) as f64;

/// The table `[privacy]` of a job file: what may be learned of any one firm of any one participant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyOptions {
    /// What all sums of the job together cost, at `delta`.
    pub epsilon: f64,
    /// The probability that the bound does not speak about.
    #[serde(default = "delta")]
    pub delta: f64,
}

fn delta() -> f64 {
    1e-6
}

/// What a job spent of each firm's privacy, for reports and model cards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrivacySpent {
    /// What the job asked for.
    pub asked: PrivacyOptions,
    /// Epsilon of all sums together at the asked delta, by the accountant's bound from above.
    pub epsilon: f64,
    /// Every sum with noise, in order.
    pub releases: Vec<Release>,
    /// Standard deviation that noise gives the AUC of the test rows, on top of the sampling error.
    pub auc_noise: Option<f64>,
}

/// One sum with noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The step.
    pub step: String,
    /// Noise over sensitivity that is guaranteed even if T participants give their noise away.
    pub multiplier: f64,
    /// Largest part of one firm and standard deviation of the noise, per block of the vector.
    pub blocks: Vec<ReleaseBlock>,
}

/// One block of a sum with noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseBlock {
    /// What the numbers are.
    pub name: String,
    /// How many there are.
    pub len: usize,
    /// L2 norm of what one firm adds, at most.
    pub clip: f64,
    /// Standard deviation of the noise in each number of the sum.
    pub sigma: f64,
}

/// What one round computes. `rows` bounds the rows of any party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Rows and coarse counts.
    Profile,
    /// Goods and bads on the agreed grids.
    LabelCounts {
        /// Bound.
        rows: f64,
        /// One per column of the job.
        grids: Vec<ColumnGrid>,
    },
    /// Gradient and Hessian of one Newton step.
    Regression {
        /// Bound.
        rows: f64,
        /// Which step, from 0.
        number: usize,
        /// Selected columns.
        binnings: Vec<haihe_models::binning::Binning>,
        /// Where, intercept first.
        beta: Vec<f64>,
    },
    /// Histograms of scores.
    Evaluation {
        /// Bound.
        rows: f64,
        /// The finished scorecard.
        scorecard: Box<Scorecard>,
    },
}

/// Where the learning stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    rows: f64,
    releases: Vec<Release>,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum Stage {
    Profile,
    LabelCounts { grids: Vec<ColumnGrid> },
    Regression { binned: NoisyBinnings, newton: NoisyNewton },
    Evaluation { binned: NoisyBinnings, fit: Box<NoisyFit>, scorecard: Box<Scorecard> },
}

/// What follows a sum.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    Continue(Box<Plan>),
    Finished(String),
}

/// Why a job's noise cannot be set up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PrivacyError {
    /// No such budget.
    #[error(transparent)]
    Accounting(#[from] AccountingError),
    /// The numbers do not fit beside the noise.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// The job has no table `[privacy]`.
    #[error("the job adds no noise")]
    NoBudget,
}

impl PrivacySpent {
    /// What was spent, for people who read neither Greek letters nor proofs: English, Chinese.
    pub fn statement(&self) -> [String; 2] {
        let (factor, delta) = (self.epsilon.exp(), self.asked.delta);
        let (epsilon, sums) = (self.epsilon, self.releases.len());
        [
            format!(
                "{sums} sums with noise were released at (epsilon, delta) = ({epsilon:.2}, {delta:e}). Whatever somebody concludes \
                 from this job, even with the data of all other firms at hand, would have been at most {factor:.1} times as likely \
                 or as unlikely had any one firm's rows at any one participant not been there, except with a probability of \
                 {delta:e}. This holds even if as many participants as the committee rule allows give away their own noise."
            ),
            format!(
                "共发布 {sums} 个带噪声的总和，(ε, δ) = ({epsilon:.2}, {delta:e})。即使掌握其他全部企业的数据，无论从本任务得出什么结论，\
                 与任一参与方去掉任一企业全部数据时相比，其可能性至多相差 {factor:.1} 倍（例外概率不超过 {delta:e}）。\
                 即使合谋参与方达到委员会规则允许的上限并泄露自己的噪声，此结论仍成立。"
            ),
        ]
    }
}

impl PrivacyOptions {
    /// mu of Gaussian differential privacy of the whole job (Dong, Roth, Su 2022): one Gaussian release of this multiplier's
    /// inverse is (epsilon, delta)-private.
    fn mu(&self) -> Result<f64, AccountingError> {
        Ok(1.0 / multiplier_for(self.epsilon, self.delta, 1.0, 1)?)
    }

    /// The sums of a whole job, as a participant's ledger is to judge them before the participant joins.
    pub fn releases(&self, noise: &NoisyOptions) -> Result<Vec<Mechanism>, AccountingError> {
        noise.budgets(self.mu()?).into_iter().map(|mu| Mechanism::new(1.0 / mu, 1.0)).collect()
    }
}

impl Task {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Task::Profile => "profile",
            Task::LabelCounts { .. } => "label_counts",
            Task::Regression { .. } => "regression",
            Task::Evaluation { .. } => "evaluation",
        }
    }

    /// Which of the job's sums it is.
    fn number(&self, noise: &NoisyOptions) -> usize {
        match self {
            Task::Profile => 0,
            Task::LabelCounts { .. } => 1,
            Task::Regression { number, .. } => 2 + number,
            Task::Evaluation { .. } => noise.sums() - 1,
        }
    }

    fn blocks(&self, spec: &JobSpec, noise: &NoisyOptions) -> Vec<Block> {
        match self {
            Task::Profile => statistics::profile_blocks(&spec.data.columns, noise),
            Task::LabelCounts { grids, .. } => statistics::label_counts_blocks(grids, noise),
            Task::Regression { binnings, .. } => statistics::regression_blocks(binnings, noise),
            Task::Evaluation { .. } => statistics::evaluation_blocks(noise),
        }
    }

    /// Largest absolute value of an entry; what is beyond is clamped. `rows` is a sum of clipped rows, so that there are
    /// `rows / rows_per_firm` firms or a few more, and each adds at most the clip.
    fn bound(&self, block: &Block, noise: &NoisyOptions) -> f64 {
        match self {
            Task::Profile => MAX_ROWS,
            Task::LabelCounts { rows, .. } | Task::Evaluation { rows, .. } => {
                rows * (block.clip / noise.rows_per_firm).max(1.0)
            }
            Task::Regression { rows, .. } => rows * block.clip / noise.rows_per_firm,
        }
    }

    /// The layout of the vector that answers the task.
    pub(crate) fn segments(&self, spec: &JobSpec) -> Result<Vec<Segment>, ScorecardError> {
        let noise = &options(spec)?.noise;
        let segment = |b: Block| Segment {
            coding: Coding::Fixed { bound: self.bound(&b, noise).max(1.0) },
            name: b.name,
            len: b.len,
        };
        Ok(self.blocks(spec, noise).into_iter().map(segment).collect())
    }

    /// How the vector becomes integers, with how much noise.
    pub(crate) fn layout(&self, spec: &JobSpec, guaranteed: u32) -> Result<Layout, ScorecardError> {
        let noise = &options(spec)?.noise;
        let privacy = spec.privacy.ok_or(PrivacyError::NoBudget)?;
        let budgets = noise.budgets(privacy.mu().map_err(PrivacyError::from)?);
        let mu = budgets.get(self.number(noise)).copied().ok_or(PrivacyError::NoBudget)?;
        let of_block = |b: &Block| SegmentNoise { clip: b.clip, multiplier: b.sigma(mu) / b.clip };
        let noise = self.blocks(spec, noise).iter().map(of_block).collect();
        let layout = Layout::noised(self.segments(spec)?, noise, spec.secure_sum.value_bits, guaranteed);
        Ok(layout.map_err(PrivacyError::from)?)
    }

    /// The vector of one party: every firm clipped, no noise yet.
    pub(crate) fn perform(&self, spec: &JobSpec, table: &Table) -> Result<ClippedSum, ScorecardError> {
        let noise = &options(spec)?.noise;
        Ok(match self {
            Task::Profile => statistics::profile_sum(table, noise)?,
            Task::LabelCounts { grids, .. } => statistics::label_counts_sum(table, grids, noise)?,
            Task::Regression { binnings, beta, .. } => statistics::regression_sum(table, binnings, beta, noise)?,
            Task::Evaluation { scorecard, .. } => statistics::evaluation_sum(table, scorecard, noise)?,
        })
    }
}

impl Plan {
    pub(crate) fn begin() -> Self {
        Self { rows: MAX_ROWS, releases: Vec::new(), stage: Stage::Profile }
    }

    pub(crate) fn task(&self) -> Task {
        let rows = self.rows;
        match &self.stage {
            Stage::Profile => Task::Profile,
            Stage::LabelCounts { grids } => Task::LabelCounts { rows, grids: grids.clone() },
            Stage::Regression { binned, newton } => Task::Regression {
                rows,
                number: newton.rounds(),
                binnings: binned.chosen(),
                beta: newton.beta().to_vec(),
            },
            Stage::Evaluation { scorecard, .. } => Task::Evaluation { rows, scorecard: scorecard.clone() },
        }
    }

    pub(crate) fn absorb(
        mut self,
        spec: &JobSpec,
        sum: &Numbers,
        mechanism: Mechanism,
    ) -> Result<(Summary, Next), ScorecardError> {
        let options = options(spec)?;
        let noise = &options.noise;
        self.release(spec, noise, sum, mechanism);
        let (values, sigmas) = (&sum.values, &sum.sigmas);
        match self.stage.clone() {
            Stage::Profile => {
                let read = profile::absorb(&spec.data.columns, values, sigmas, noise)?;
                // Twelve standard deviations of three counts above what was measured.
                self.rows = (read.rows() + read.test_rows + 36.0 * read.sigma).clamp(1.0, MAX_ROWS);
                let text = format!(
                    "about {:.0} training rows, {:.1} % bad, {:.0} test rows (noise {:.0})",
                    read.rows(),
                    100.0 * read.bad / read.rows().max(1.0),
                    read.test_rows,
                    read.sigma
                );
                let figures = [("rows", read.rows()), ("bads", read.bad), ("test_rows", read.test_rows)].into();
                let grids = read.grids;
                Ok((summary("profile", text, figures), self.then(Stage::LabelCounts { grids })))
            }
            Stage::LabelCounts { grids } => {
                let (binning, selection) = (&options.binning, &options.selection);
                let columns = &spec.data.columns;
                let binned = binning::absorb(columns, &grids, values, sigmas, binning, selection, noise)?;
                let chosen = binned.chosen();
                let newton = NoisyNewton::new(&chosen, binned.good, binned.bad, noise)?;
                let text = format!(
                    "{} of {} columns have information that stands out from the noise",
                    chosen.len(),
                    binned.binnings.len()
                );
                let figures = [("kept", chosen.len() as f64)].into();
                Ok((summary("label_counts", text, figures), self.then(Stage::Regression { binned, newton })))
            }
            Stage::Regression { mut binned, newton } => {
                let step = newton.rounds() + 1;
                let text = format!("step {step} of {}", noise.steps);
                match newton.step(values, sigmas, options.selection.require_positive)? {
                    NoisyOutcome::Continue(newton) => {
                        let stage = Stage::Regression { binned, newton };
                        Ok((summary("regression", text, [].into()), self.then(stage)))
                    }
                    NoisyOutcome::Finished(fit) => {
                        binned.selection = without_contradicted(&binned, &fit);
                        let scorecard = Scorecard::new(binned.chosen(), &fit.fit, options.scaling.clone())?;
                        let text = format!("{text}; {} variables", scorecard.variables.len());
                        let stage = Stage::Evaluation { binned, fit, scorecard: Box::new(scorecard) };
                        Ok((summary("regression", text, [].into()), self.then(stage)))
                    }
                }
            }
            Stage::Evaluation { binned, fit, scorecard } => {
                let grid = statistics::score_grid(&scorecard, noise);
                let read = evaluation::absorb(&grid, values, sigmas, noise)?;
                let privacy = self.spent(spec)?;
                let text = match (&read.test.ranking, read.test.auc_noise) {
                    (Some(r), Some(sd)) => format!("test AUC {:.4} (noise {sd:.4}), KS {:.4}", r.auc, r.ks),
                    _ => "noise hides the ranking of the test rows".to_owned(),
                };
                let figures = read.test.ranking.map(|r| [("auc", r.auc), ("ks", r.ks)].into()).unwrap_or_default();
                let privacy = PrivacySpent { auc_noise: read.test.auc_noise, ..privacy };
                let result = ScorecardResult {
                    scorecard: *scorecard,
                    fit: fit.fit,
                    correlated: Vec::new(),
                    correlation: Correlation { matrix: Vec::new(), vif: None },
                    selection: binned.selection,
                    binnings: binned.binnings,
                    evaluation: Evaluation {
                        grid: read.grid,
                        train: measured(read.train),
                        test: measured(read.test),
                        test_recalibrated: None,
                        stability: read.stability,
                        per_party: Vec::new(),
                    },
                    privacy: Some(privacy),
                };
                let json = serde_json::to_string(&result).expect("a result is plain data with string keys");
                Ok((summary("evaluation", text, figures), Next::Finished(json)))
            }
        }
    }

    fn then(self, stage: Stage) -> Next {
        Next::Continue(Box::new(Plan { stage, ..self }))
    }

    fn release(&mut self, spec: &JobSpec, noise: &NoisyOptions, sum: &Numbers, mechanism: Mechanism) {
        let task = self.task();
        let (Mechanism::Gaussian { multiplier } | Mechanism::SampledGaussian { multiplier, .. }) = mechanism;
        let block = |(b, sigma): (Block, &f64)| ReleaseBlock { name: b.name, len: b.len, clip: b.clip, sigma: *sigma };
        let blocks = task.blocks(spec, noise).into_iter().zip(&sum.sigmas).map(block).collect();
        self.releases.push(Release { step: task.step().to_owned(), multiplier, blocks });
    }

    fn spent(&self, spec: &JobSpec) -> Result<PrivacySpent, ScorecardError> {
        let asked = spec.privacy.ok_or(PrivacyError::NoBudget)?;
        let account = || -> Result<f64, AccountingError> {
            let mechanisms = self.releases.iter().map(|r| Ok((Mechanism::new(r.multiplier, 1.0)?, 1)));
            let mechanisms = mechanisms.collect::<Result<Vec<_>, AccountingError>>()?;
            Ok(Composition::new(&mechanisms)?.epsilon(asked.delta)?.upper)
        };
        let epsilon = account().map_err(PrivacyError::from)?;
        Ok(PrivacySpent { asked, epsilon, releases: self.releases.clone(), auc_noise: None })
    }
}

fn measured(m: NoisyMeasured) -> Measured {
    let brier = m.calibration.as_ref().map(|c| c.brier);
    Measured { histogram: m.histogram, ranking: m.ranking, calibration: m.calibration, brier }
}

impl From<NoisyError> for ScorecardError {
    fn from(error: NoisyError) -> Self {
        ScorecardError::Noisy(Box::new(error))
    }
}
