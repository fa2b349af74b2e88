//! What a party keeps of a model: its own part, for its people and for later jobs, and who learned it, so that a part is used in
//! the role and company that it was made for.

use haihe_models::{
    export::block_csv,
    metrics::{ScoreGrid, ScoreHistogram},
    scorecard::ScalingOptions,
    vertical::score::{Block, points},
};
use haihe_privacy::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{Kept, StepError, context::Context};
use crate::id::PartyId;

/// A party's columns, bins and coefficients ([`Block`]).
pub const BLOCK_FILE: &str = "block.json";
/// The same as a table for a spreadsheet.
pub const SCORECARD_FILE: &str = "scorecard.csv";
/// How the common firms score ([`Evaluation`]), at the label holder.
pub const EVALUATION_FILE: &str = "evaluation.json";
/// What it is a part of ([`ModelFile`]).
pub const MODEL_FILE: &str = "model.json";
/// Cells of an evaluation.
const CELLS: usize = 120;

/// Points of the common test firms, as the label holder keeps them for its own people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Cells of points.
    pub grid: ScoreGrid,
    /// Test firms per cell.
    pub test: ScoreHistogram,
}

impl Evaluation {
    /// From scores in units of `2^-SCORE_BITS` and outcomes of the test firms; `None` if there are none.
    pub(super) fn of(scores: &[i64], bad: &[bool], c: &Context<'_>) -> Option<Self> {
        let points: Vec<f64> = scores.iter().map(|s| points(*s, &c.options.scaling)).collect();
        let (lower, upper) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, u), p| (l.min(*p), u.max(*p)));
        let grid = ScoreGrid { lower: lower.floor(), upper: upper.ceil() + 1.0, cells: CELLS };
        Some(Self { test: ScoreHistogram::of(&grid, &points, bad).ok()?, grid })
    }
}

/// The files with a party's own part.
pub(super) fn part(c: &Context<'_>, block: &Block) -> Kept {
    let mut kept = Kept::new();
    kept.insert(BLOCK_FILE.to_owned(), pretty(block));
    kept.insert(SCORECARD_FILE.to_owned(), block_csv(block, &c.options.scaling).into_bytes());
    kept.insert(MODEL_FILE.to_owned(), pretty(&ModelFile::of(c)));
    kept
}

/// A file for people and programs.
pub(super) fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain data")
}

/// What a part is a part of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Name of the job that learned it.
    pub name: String,
    /// Digest of its session.
    pub session: Digest,
    /// Whose part it is.
    pub party: PartyId,
    /// Who knew the labels.
    pub label_holder: PartyId,
    /// All others.
    pub feature_holders: Vec<PartyId>,
    /// How log-odds become points.
    pub scaling: ScalingOptions,
}

impl ModelFile {
    /// A part made in this session.
    pub(super) fn of(c: &Context<'_>) -> Self {
        Self {
            name: c.spec.job.name.clone(),
            session: c.place.session,
            party: c.name(c.me()).clone(),
            scaling: c.options.scaling.clone(),
            label_holder: c.name(c.label_holder).clone(),
            feature_holders: c.feature_holders().into_iter().map(|p| c.name(p).clone()).collect(),
        }
    }

    /// Checks that the model that a scoring names was learned for the same label holder, with all the feature holders that
    /// take part, and that those who do not were declared dispensable in the job that everybody joined.
    pub(super) fn check(c: &Context<'_>, model: Option<&Kept>) -> Result<(), StepError> {
        let file = model.and_then(|kept| kept.get(MODEL_FILE));
        let made: ModelFile = file
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .ok_or_else(|| c.own("the model that is asked for is not kept here, or is damaged"))?;
        let now = Self::of(c);
        if made.label_holder != now.label_holder {
            let reason = format!("the model was learned for {}, not for {}", made.label_holder, now.label_holder);
            return Err(c.job(reason));
        }
        if let Some(stranger) = now.feature_holders.iter().find(|p| !made.feature_holders.contains(p)) {
            return Err(c.job(format!("{stranger} has no part in the model that is asked for")));
        }
        let spared = c.spec.scoring.as_ref().map_or(&[][..], |s| &s.may_be_absent);
        let missing = |p: &&PartyId| !now.feature_holders.contains(p) && !spared.contains(p);
        match made.feature_holders.iter().find(missing) {
            None => Ok(()),
            Some(party) => Err(c.job(format!(
                "{party} has a part in the model and none in this job: name it in job.parties, and in scoring.may_be_absent if \
                 firms are to be scored without it"
            ))),
        }
    }
}
