//! Reviews of the signs of all coefficients, at the label holder.

use haihe_models::vertical::{LabelHolder, Status, selection::Review};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        StepError, Turn,
        context::Context,
        letters::{Ask, Reviewed},
    },
    Label,
};

/// A review of the signs of all coefficients, see [`haihe_models::vertical::selection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewHeld {
    /// Passes until then.
    pub after_pass: usize,
    /// Columns that contradicted their weight of evidence and were left out, of all parties together.
    pub dropped: u32,
    /// Some were a feature holder's: the next pass began a subspace of its own, without products. Else the directions stayed.
    pub refit: bool,
}

impl Label {
    /// Takes what all have found in a review, its own columns too.
    pub(super) fn review(mut self, c: &mut Context<'_>, above: f64) -> Result<Turn<Self>, StepError> {
        let (mut firsts, mut theirs) = (Vec::new(), 0);
        for party in c.feature_holders() {
            let Reviewed { dropped, direction } = c.letter(party, "review")?;
            let known = self.columns.get(&party).copied().unwrap_or(0);
            let Some(left) = known.checked_sub(dropped as usize) else {
                return Err(c.peer(party, format!("it leaves out {dropped} columns of {known}")));
            };
            if direction.is_none() && (dropped > 0 || c.feature_holders().len() > 1) {
                return Err(c.peer(party, "it does not say where it goes on from after the review"));
            }
            self.columns.insert(party, left);
            firsts.extend(direction);
            theirs += dropped;
        }
        let last = self.passes.last().map(|p| (p.pass, p.status));
        let (after_pass, status) = last.ok_or_else(|| c.own("a review before the first pass"))?;
        let mut solver = self.solver(c)?;
        let own = solver.review(above).map_err(|e| c.own(e))?;
        if theirs == 0 {
            let dropped = self.narrow(c, &mut solver, own, above)?;
            self.reviews.push(ReviewHeld { after_pass, dropped, refit: false });
            let ask = self.go_on(c, solver, dropped > 0 || status == Status::Continue)?;
            return Ok(self.asking(c, &ask));
        }
        solver.refit(&own).map_err(|e| c.own(e))?;
        self.leave_out(c, &own)?;
        self.remember(solver);
        if let Some(sole) = self.columns.values().next() {
            self.allow(c.most_passes_after(self.most_passes, after_pass, *sole));
        }
        let dropped = theirs + own.dropped.len() as u32;
        self.reviews.push(ReviewHeld { after_pass, dropped, refit: true });
        let ask = Ask { refit: true, ..self.direction(c, &firsts)? };
        Ok(self.asking(c, &ask))
    }

    /// Own columns alone are left out, until none contradicts: nobody else has to know, and the directions stay.
    pub(super) fn narrow(
        &mut self,
        c: &Context<'_>,
        solver: &mut LabelHolder,
        own: Review,
        above: f64,
    ) -> Result<u32, StepError> {
        let (mut own, mut dropped) = (own, 0);
        while !own.dropped.is_empty() {
            dropped += own.dropped.len() as u32;
            self.leave_out(c, &own)?;
            solver.narrow(&own).map_err(|e| c.own(e))?;
            own = solver.review(above).map_err(|e| c.own(e))?;
        }
        Ok(dropped)
    }

    fn leave_out(&mut self, c: &Context<'_>, own: &Review) -> Result<(), StepError> {
        let encoder = self.encoder.as_ref().ok_or_else(|| c.own("no encoding yet: a step was left out"))?;
        self.encoder = Some(encoder.reviewed(own));
        Ok(())
    }
}
