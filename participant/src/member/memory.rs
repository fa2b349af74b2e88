//! What a participant keeps of a step for the next one, and shows nobody: its own head of a network, its control variates.

use super::*;

const MEMORY: &str = "memory";

/// The memory that a step begins with, and the one that it left.
struct Record {
    /// History that the step builds on: asked again in a later round, the same step begins with the same memory.
    previous: Digest,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

impl Record {
    /// `previous`, then each memory as a length and its bytes; the largest length says that there is none.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.previous.as_bytes().to_vec();
        for memory in [&self.before, &self.after] {
            bytes.extend(memory.as_ref().map_or(u64::MAX, |m| m.len() as u64).to_le_bytes());
            bytes.extend(memory.iter().flatten());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (previous, mut rest) = bytes.split_first_chunk::<32>()?;
        let mut next = || -> Option<Option<Vec<u8>>> {
            let (len, after) = rest.split_first_chunk::<8>()?;
            let len = u64::from_le_bytes(*len);
            rest = after;
            if len == u64::MAX {
                return Some(None);
            }
            let (memory, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            Some(Some(memory.to_vec()))
        };
        let (before, after) = (next()?, next()?);
        rest.is_empty().then(|| Self { previous: Digest::from_bytes(*previous), before, after })
    }
}

impl Member {
    fn memory_record(&self, job: &JobId) -> Result<Option<Record>, MemberError> {
        let Some(bytes) = self.vault.get(job, MEMORY)? else { return Ok(None) };
        let damaged = || MemberError::Record { name: MEMORY.to_owned(), detail: "cut short".to_owned() };
        Record::from_bytes(&bytes).map(Some).ok_or_else(damaged)
    }

    /// The parties of the session, in its order.
    pub fn parties(&self, job: &JobId) -> Result<Vec<PartyId>, MemberError> {
        let stored: Option<SessionParts> = self.record(job, SESSION)?;
        Ok(stored.ok_or_else(|| MemberError::Unknown(job.short()))?.roster.parties())
    }

    /// What the last step left.
    pub fn memory(&self, job: &JobId) -> Result<Option<Vec<u8>>, MemberError> {
        Ok(self.memory_record(job)?.and_then(|record| record.after))
    }

    /// What a step that builds on `previous` begins with.
    pub(super) fn memory_before(&self, job: &JobId, previous: &Digest) -> Result<Option<Vec<u8>>, MemberError> {
        let record = self.memory_record(job)?;
        Ok(record.and_then(|r| if r.previous == *previous { r.before } else { r.after }))
    }

    /// Keeps what a step left.
    pub(super) fn remember(
        &mut self,
        job: &JobId,
        previous: Digest,
        before: Option<Vec<u8>>,
        after: Vec<u8>,
    ) -> Result<(), MemberError> {
        let record = Record { previous, before, after: Some(after) };
        Ok(self.vault.put(job, MEMORY, &record.to_bytes())?)
    }

    pub(super) fn forget_memory(&mut self, job: &JobId) -> Result<(), MemberError> {
        Ok(self.vault.remove(job, MEMORY)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_round_trip_and_damage_is_noticed() {
        let previous = Digest::from_bytes([7; 32]);
        for (before, after) in [(None, Some(vec![1, 2, 3])), (Some(vec![]), Some(vec![9; 100])), (Some(vec![4]), None)]
        {
            let bytes = Record { previous, before: before.clone(), after: after.clone() }.to_bytes();
            let read = Record::from_bytes(&bytes).expect("whole");
            assert_eq!((read.previous, read.before, read.after), (previous, before, after));
            assert!((0..bytes.len()).all(|end| Record::from_bytes(&bytes[..end]).is_none()));
        }
    }
}
