//! What this participant has given away over all jobs, for its own people: privacy spent, score vectors shown, alignments.

use std::{collections::BTreeMap, io};

use haihe_privacy::dp::{Budget, Ledger, LedgerError};
use haihe_protocol::id::{PartyId, Timestamp};
use serde::Serialize;

use crate::{
    member::{Shown, aligned_lately, privacy_ledger, shown},
    vault::Vault,
};

/// Why the ledger cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The vault cannot be read.
    #[error("the vault cannot be read: {0}; check the disk and the permissions of the state folder")]
    Vault(#[from] io::Error),
    /// What is recorded cannot be composed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Everything that was given away.
#[derive(Debug, Serialize)]
pub struct Given {
    /// Whose it is.
    pub party: PartyId,
    /// Noisy sums, where there were any or the policy has a budget.
    pub privacy: Option<PrivacyGiven>,
    /// The policy's `score_vectors_per_peer`.
    pub score_vectors_allowed: Option<u64>,
    /// One line per vertical job that showed scores, oldest first.
    pub score_vectors: Vec<Shown>,
    /// Alignments of the last 24 hours by peer.
    pub aligned_in_24_hours: BTreeMap<PartyId, u64>,
}

/// What was spent of each firm's privacy.
#[derive(Debug, Serialize)]
pub struct PrivacyGiven {
    /// At which delta.
    pub delta: f64,
    /// What the policy allows; `None` without a budget.
    pub allowed: Option<f64>,
    /// Epsilon spent, bound from above.
    pub spent: f64,
    /// Noisy sums.
    pub sums: usize,
}

/// Delta at which epsilon is told where the policy has no budget.
const DELTA: f64 = 1e-6;

impl Given {
    /// Reads a vault.
    pub fn read(
        party: PartyId,
        vault: &dyn Vault,
        budget: Option<&Budget>,
        score_vectors_allowed: Option<u64>,
        now: Timestamp,
    ) -> Result<Self, ShowError> {
        let ledger: Ledger = privacy_ledger(vault)?;
        let delta = budget.map_or(DELTA, |b| b.delta);
        let privacy = match (ledger.spends().len(), budget) {
            (0, None) => None,
            (sums, budget) => {
                let spent = if sums == 0 { 0.0 } else { ledger.spent(delta)?.upper };
                Some(PrivacyGiven { delta, allowed: budget.map(|b| b.epsilon), spent, sums })
            }
        };
        let score_vectors = shown(vault)?;
        let aligned_in_24_hours = aligned_lately(vault, now)?;
        Ok(Self { party, privacy, score_vectors_allowed, score_vectors, aligned_in_24_hours })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{}: given away over all jobs\n\nprivacy\n", self.party);
        text += &match &self.privacy {
            None => "  no noisy sums, and no budget in the policy\n".to_owned(),
            Some(PrivacyGiven { delta, allowed, spent, sums }) => {
                let allowed = allowed.map_or_else(|| "no budget".to_owned(), |a| format!("{a} allowed"));
                format!("  epsilon {spent:.4} spent at delta {delta:e} ({allowed}), in {sums} sums\n")
            }
        };
        text += "\nscore vectors of our columns that label holders saw\n";
        let mut totals: BTreeMap<&PartyId, u64> = BTreeMap::new();
        for shown in &self.score_vectors {
            *totals.entry(&shown.label_holder).or_default() += shown.vectors;
            let mixed = if shown.alone { "unmixed" } else { "added to others'" };
            let (job, view, vectors) = (shown.job.short(), &shown.view, shown.vectors);
            text += &format!("  {:<16} job {job}  {vectors:>5}  {mixed:<16}  view {view}\n", shown.label_holder);
        }
        let most = self.score_vectors_allowed.map_or_else(|| "no limit".to_owned(), |most| format!("{most} allowed"));
        for (label_holder, vectors) in &totals {
            text += &format!("  {label_holder:<16} in all           {vectors:>5}  ({most})\n");
        }
        if totals.is_empty() {
            text += &format!("  none ({most})\n");
        }
        text += "\nalignments in the last 24 hours\n";
        for (peer, times) in &self.aligned_in_24_hours {
            text += &format!("  {peer:<16} {times:>5}\n");
        }
        if self.aligned_in_24_hours.is_empty() {
            text += "  none\n";
        }
        text
    }
}
