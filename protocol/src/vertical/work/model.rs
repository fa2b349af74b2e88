//! Who learned a model: kept beside every part of it, so that a part is used in the role and company that it was made for.

use serde::{Deserialize, Serialize};

use super::{Kept, StepError, context::Context};
use crate::id::PartyId;

/// Name of the file.
pub(super) const MODEL_FILE: &str = "model.json";

/// Who learned a model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelFile {
    label_holder: PartyId,
    feature_holders: Vec<PartyId>,
}

impl ModelFile {
    /// The parties of this session.
    pub fn of(c: &Context<'_>) -> Self {
        Self {
            label_holder: c.name(c.label_holder).clone(),
            feature_holders: c.feature_holders().into_iter().map(|p| c.name(p).clone()).collect(),
        }
    }

    /// Checks that the model that a scoring names was learned for the same label holder, with all the feature holders that
    /// take part, and that those who do not were declared dispensable in the job that everybody joined.
    pub fn check(c: &Context<'_>, model: Option<&Kept>) -> Result<(), StepError> {
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
