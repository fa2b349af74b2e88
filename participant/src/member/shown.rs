//! How many score vectors each label holder has seen of this participant's columns, over all jobs.
//!
//! A score vector has one number per common firm: a direction of a fit, a model's part of the scores, the scores of a scoring job.
//! Alone, as many of them as there are columns span the columns; beside other feature holders the label holder sees sums. A job has
//! a brake of its own for the first case; this record is the one over jobs.

use std::sync::{Mutex, PoisonError};

use super::{budget::NO_JOB, *};

const SHOWN: &str = "score-vectors.json";

/// One record for all jobs of this process; the state folder is locked for one process.
static LOCK: Mutex<()> = Mutex::new(());

/// What one job showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The job.
    pub job: JobId,
    /// When the first vector was made.
    pub since: Timestamp,
    /// Who saw them.
    pub label_holder: PartyId,
    /// The view that they were computed from.
    pub view: String,
    /// True if no other feature holder's scores were added.
    pub alone: bool,
    /// How many.
    pub vectors: u64,
    /// The exchange of the last one.
    pub exchange: u64,
}

/// Everything that was shown, oldest job first.
pub fn shown(vault: &dyn Vault) -> io::Result<Vec<Shown>> {
    let Some(bytes) = vault.get(&NO_JOB, SHOWN)? else { return Ok(Vec::new()) };
    // A record that cannot be read is never taken for an empty one.
    serde_json::from_slice(&bytes).map_err(|e| io::Error::other(format!("{SHOWN}: {e}")))
}

/// How many score vectors a label holder has seen.
pub fn shown_to(vault: &dyn Vault, label_holder: &PartyId) -> io::Result<u64> {
    Ok(total(&shown(vault)?, label_holder))
}

fn total(known: &[Shown], label_holder: &PartyId) -> u64 {
    known.iter().filter(|s| s.label_holder == *label_holder).map(|s| s.vectors).sum()
}

impl Member {
    /// With at most this many score vectors for one label holder over all jobs; without it, as many as jobs ask for.
    pub fn with_score_vectors(self, most: Option<u64>) -> Self {
        Self { score_vectors: most, ..self }
    }

    /// Records that a parcel with a score vector is about to be remembered and sent. After a crash the same parcel is made
    /// again, and counts once.
    ///
    /// `parties` are those of the session: who was absent adds nothing.
    pub(super) fn show(
        &mut self,
        now: Timestamp,
        job: &JobId,
        spec: &JobSpec,
        (exchange, parties): (u64, usize),
    ) -> Result<(), MemberError> {
        let own = &self.identity.party;
        let (Some(vertical), Some(label_holder)) = (&spec.vertical, spec.label_holder()) else { return Ok(()) };
        let _one_at_a_time = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = shown(&*self.vault)?;
        let first = Shown {
            job: *job,
            since: now,
            label_holder: label_holder.clone(),
            view: vertical.holder(own).map_or_else(String::new, |h| h.view.clone()),
            alone: parties == 2,
            vectors: 1,
            exchange,
        };
        count(&mut known, first, self.score_vectors)
            .map_err(|shown| MemberError::ScoreVectors { label_holder: label_holder.clone(), shown })?;
        Ok(self.vault.put(&NO_JOB, SHOWN, &encode(&known))?)
    }
}

/// Counts one more vector, unless it was counted.
///
/// # Errors
/// How many were shown, if the limit is reached.
fn count(known: &mut Vec<Shown>, one: Shown, most: Option<u64>) -> Result<(), u64> {
    let before = total(known, &one.label_holder);
    let at = known.iter().position(|s| s.job == one.job);
    if at.is_some_and(|at| known[at].exchange == one.exchange) {
        return Ok(());
    }
    if most.is_some_and(|most| before >= most) {
        return Err(before);
    }
    match at {
        Some(at) => (known[at].vectors, known[at].exchange) = (known[at].vectors + 1, one.exchange),
        None => known.push(one),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::MemoryVault;

    #[test]
    fn vectors_are_counted_once_by_label_holder_over_jobs() {
        let party = |name: &str| PartyId::new(name).expect("a party");
        let one = |job: u64, holder: &str, exchange: u64| Shown {
            job: JobId::of("x", Timestamp(job)),
            since: Timestamp(job),
            label_holder: party(holder),
            view: "returns".to_owned(),
            alone: true,
            vectors: 1,
            exchange,
        };
        let mut known = Vec::new();
        for (job, holder, exchange) in [(1, "a", 9), (1, "a", 13), (1, "a", 13), (2, "b", 9), (3, "a", 9)] {
            assert_eq!(count(&mut known, one(job, holder, exchange), Some(3)), Ok(()), "{job} {exchange}");
        }
        assert_eq!(known.iter().map(|s| s.vectors).collect::<Vec<_>>(), [2, 1, 1]);
        let before = known.clone();
        assert_eq!(count(&mut known, one(3, "a", 13), Some(3)), Err(3), "the limit is for all jobs together");
        assert_eq!(count(&mut known, one(3, "a", 9), Some(3)), Ok(()), "what was counted is made again after a crash");
        assert_eq!(known, before);
        assert_eq!(count(&mut known, one(4, "b", 9), Some(3)), Ok(()));

        let mut vault = MemoryVault::default();
        assert_eq!(shown_to(&vault, &party("a")).expect("read"), 0);
        vault.put(&NO_JOB, SHOWN, &encode(&known)).expect("written");
        assert_eq!(shown_to(&vault, &party("a")).expect("read"), 3);
        vault.put(&NO_JOB, SHOWN, b"[").expect("written");
        assert!(shown(&vault).is_err(), "a damaged record is not an empty one");
    }
}
