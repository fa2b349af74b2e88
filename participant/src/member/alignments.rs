//! With whom this participant has aligned its firms lately: whoever may align often enough learns more of its peers'
//! customers than one alignment tells.

use std::sync::{Mutex, PoisonError};

use super::{budget::NO_JOB, *};

const ALIGNMENTS: &str = "alignments.json";
/// The time that counts, in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// One record for all jobs of this process; the state folder is locked for one process.
static LOCK: Mutex<()> = Mutex::new(());

/// A job whose first parcel was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Alignment {
    job: JobId,
    at: Timestamp,
    peers: Vec<PartyId>,
}

/// Alignments that still count, other jobs' only.
fn recent(vault: &dyn Vault, now: Timestamp, job: Option<&JobId>) -> io::Result<Vec<Alignment>> {
    let Some(bytes) = vault.get(&NO_JOB, ALIGNMENTS)? else { return Ok(Vec::new()) };
    // A record that cannot be read is never taken for an empty one.
    let known: Vec<Alignment> =
        serde_json::from_slice(&bytes).map_err(|e| io::Error::other(format!("{ALIGNMENTS}: {e}")))?;
    let counts = |a: &Alignment| a.at.0.saturating_add(DAY_MS) > now.0 && job != Some(&a.job);
    Ok(known.into_iter().filter(counts).collect())
}

/// The one of `peers` with whom this participant aligned most often in the last 24 hours, and how often.
pub fn most_aligned(vault: &dyn Vault, now: Timestamp, peers: &[PartyId]) -> io::Result<Option<(PartyId, u64)>> {
    let known = recent(vault, now, None)?;
    let count = |peer: &PartyId| known.iter().filter(|a| a.peers.contains(peer)).count() as u64;
    Ok(peers.iter().map(|peer| (peer.clone(), count(peer))).max_by_key(|(_, count)| *count))
}

/// How often this participant aligned with each peer in the last 24 hours.
pub fn aligned_lately(vault: &dyn Vault, now: Timestamp) -> io::Result<std::collections::BTreeMap<PartyId, u64>> {
    let mut times = std::collections::BTreeMap::new();
    for peer in recent(vault, now, None)?.into_iter().flat_map(|a| a.peers) {
        *times.entry(peer).or_default() += 1;
    }
    Ok(times)
}

impl Member {
    /// With this many alignments with one peer in 24 hours at most; without it, as many as are asked for.
    pub fn with_alignments_per_day(self, most: u64) -> Self {
        Self { alignments_per_day: Some(most), ..self }
    }

    /// Records that this participant aligns with `peers` in a job, before it says anything in it.
    pub(super) fn align(&mut self, now: Timestamp, job: &JobId, peers: Vec<PartyId>) -> Result<(), MemberError> {
        let _one_at_a_time = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = recent(&*self.vault, now, Some(job))?;
        if let Some(most) = self.alignments_per_day {
            for peer in &peers {
                let count = known.iter().filter(|a| a.peers.contains(peer)).count() as u64;
                if count >= most {
                    return Err(MemberError::Alignments { peer: peer.clone(), count });
                }
            }
        }
        known.push(Alignment { job: *job, at: now, peers });
        Ok(self.vault.put(&NO_JOB, ALIGNMENTS, &encode(&known))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::MemoryVault;

    #[test]
    fn a_day_counts() {
        let mut vault = MemoryVault::default();
        let party = |name: &str| PartyId::new(name).expect("a party");
        let entry = |n: u64, at: u64, peers: &[&str]| Alignment {
            job: JobId::of("x", Timestamp(n)),
            at: Timestamp(at),
            peers: peers.iter().map(|p| party(p)).collect(),
        };
        let known = vec![entry(1, 0, &["a", "b"]), entry(2, 1000, &["a"]), entry(3, 2000, &["b"])];
        vault.put(&NO_JOB, ALIGNMENTS, &encode(&known)).expect("written");
        let most = |now: u64| most_aligned(&vault, Timestamp(now), &[party("a"), party("b")]).expect("read");
        assert_eq!(most(3000).map(|(_, n)| n), Some(2));
        assert_eq!(most(DAY_MS).map(|(_, n)| n), Some(1), "the first one is a day old");
        assert_eq!(most(DAY_MS + 1500), Some((party("b"), 1)));
        assert_eq!(most(DAY_MS + 2000).map(|(_, n)| n), Some(0));
        vault.put(&NO_JOB, ALIGNMENTS, b"[").expect("written");
        assert!(most_aligned(&vault, Timestamp(0), &[]).is_err());
    }
}
