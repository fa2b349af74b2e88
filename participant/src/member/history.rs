//! What a participant does with opened sums, and what it says when a rule was broken.

use haihe_privacy::log::{ConsistencyProof, verify_consistency};
use haihe_protocol::{
    checkpoint::{self, TreeHead},
    error::Fault,
    message::Objection,
    witness::ClosedRound,
};
use serde::{Deserialize, Serialize};

use super::*;

/// What was answered last; written before the answer leaves.
#[derive(Serialize, Deserialize)]
pub(super) struct AnswerRecord {
    pub(super) answer: Answer,
    /// Transcript that the question builds on: one question, however often it is asked.
    pub(super) previous: Digest,
    pub(super) contributors: Vec<PartyId>,
}

/// The coordinator's journal as it was last seen.
#[derive(PartialEq, Serialize, Deserialize)]
struct HeadRecord {
    /// The round that began with it.
    round: u64,
    head: TreeHead,
    /// The signed note.
    note: String,
}

impl AnswerRecord {
    /// Checks that answering for `contributors` gives nobody the difference of two sums.
    pub(super) fn allows(&self, spec: &RoundSpec, contributors: &[PartyId]) -> Result<(), Violation> {
        if self.previous == spec.previous && self.contributors != contributors {
            return Err(Violation::SameQuestion { round: spec.round, before: self.answer.round });
        }
        Ok(())
    }
}

impl Member {
    fn witness(&self, job: &JobId, spec: &JobSpec, session: &Session) -> Result<Arc<Witness>, MemberError> {
        if let Some(witness) = self.memo(job, |memo| memo.witness.clone()) {
            return Ok(witness);
        }
        let damaged = || MemberError::Record { name: WITNESS.to_owned(), detail: "it cannot be read".to_owned() };
        let witness = Arc::new(match self.vault.get(job, WITNESS)? {
            Some(bytes) => Witness::from_bytes(&bytes).ok_or_else(damaged)?,
            None => Witness::begin(spec, session),
        });
        self.memo(job, |memo| memo.witness = Some(witness.clone()));
        Ok(witness)
    }

    pub(super) fn sealing_key(&self, job: &JobId) -> Result<SealingKey, MemberError> {
        let sealing = self.joined(job)?.sealing_key.and_then(|k| hex::decode(k).ok());
        let sealing = sealing.and_then(|k| <[u8; 32]>::try_from(k).ok());
        let damaged = || MemberError::Record { name: RECORD.to_owned(), detail: "sealing key".to_owned() };
        Ok(SealingKey::derive(&sealing.ok_or_else(damaged)?))
    }

    pub(super) fn check_key(&self, job: &JobId, session: &Session) -> Result<CheckKey, MemberError> {
        if let Some(key) = self.memo(job, |memo| memo.check_key.clone()) {
            return Ok(key);
        }
        let key = session.check_key(&self.identity.party, &self.sealing_key(job)?)?;
        self.memo(job, |memo| memo.check_key = Some(key.clone()));
        Ok(key)
    }

    /// The keys for shares: one key exchange with every other party, once in this process.
    pub(super) fn share_keys(&self, job: &JobId, session: &Session) -> Result<Arc<ShareKeys>, MemberError> {
        if let Some(keys) = self.memo(job, |memo| memo.share_keys.clone()) {
            return Ok(keys);
        }
        let keys = Arc::new(ShareKeys::new(session, &self.identity.party, &self.sealing_key(job)?)?);
        self.memo(job, |memo| memo.share_keys = Some(keys.clone()));
        Ok(keys)
    }

    fn pinned(&self, job: &JobId) -> Result<Option<HeadRecord>, MemberError> {
        self.record(job, HEAD)
    }

    /// Reads a checkpoint that came with a round, or with the job's end. Gives the sizes between which the coordinator
    /// must prove that it only appended, or `None` if nothing is to be proved.
    pub fn compare_checkpoint(
        &mut self,
        job: &JobId,
        round: Option<u64>,
        text: &str,
        session: Option<&SessionParts>,
    ) -> Result<Option<(u64, u64)>, MemberError> {
        let head = self.checkpoint(job, round, text, session)?;
        let Some(pinned) = self.pinned(job)? else { return Ok(None) };
        match round {
            Some(got) if got < pinned.round => Err(Violation::StaleRound { got, at: pinned.round }.into()),
            _ if head == pinned.head => Ok(None),
            _ => Ok(Some((pinned.head.size, head.size))),
        }
    }

    fn checkpoint(
        &mut self,
        job: &JobId,
        round: Option<u64>,
        text: &str,
        session: Option<&SessionParts>,
    ) -> Result<TreeHead, MemberError> {
        let session = self.session(job, session)?;
        // It comes with everything that is asked in a round.
        let known = |memo: &mut Memo| memo.checkpoint.as_ref().filter(|(t, _)| t == text).map(|(_, head)| *head);
        if let Some(head) = self.memo(job, known) {
            return Ok(head);
        }
        let federation = self.identity.trust.federation();
        let head = checkpoint::verify(text, federation, job, session.coordinator_key());
        let head = head.map_err(|source| Violation::Checkpoint { round: round.unwrap_or(0), source })?;
        self.memo(job, |memo| memo.checkpoint = Some((text.to_owned(), head)));
        Ok(head)
    }

    /// Pins a checkpoint. `proof` is needed if an earlier one of another size is pinned.
    pub fn pin(
        &mut self,
        now: Timestamp,
        job: &JobId,
        round: Option<u64>,
        text: &str,
        proof: Option<&ConsistencyProof>,
    ) -> Result<(), MemberError> {
        let head = self.checkpoint(job, round, text, None)?;
        let pinned = self.pinned(job)?;
        if let Some(pinned) = &pinned
            && pinned.head != head
        {
            // Without a proof nothing but the same head would be acceptable.
            let proof = proof.cloned().unwrap_or_default();
            if let Err(source) = verify_consistency(pinned.head.pair(), head.pair(), &proof) {
                let (pinned_size, new_size) = (pinned.head.size, head.size);
                return Err(Violation::Rewritten { pinned_size, new_size, source }.into());
            }
        }
        let round = round.unwrap_or(u64::MAX);
        let record = HeadRecord { round, head, note: text.to_owned() };
        if pinned.as_ref() != Some(&record) {
            self.vault.put(job, HEAD, &encode(&record))?;
            self.note(now, job, &Note::Pinned { size: head.size, root: head.root })?;
        }
        Ok(())
    }

    /// True once the session was verified here: before that there is nobody whose signature could be checked.
    pub fn has_session(&self, job: &JobId) -> Result<bool, MemberError> {
        Ok(self.vault.get(job, SESSION)?.is_some())
    }

    /// The last pinned checkpoint, a signed note, for whoever audits the coordinator's journal.
    pub fn last_checkpoint(&self, job: &JobId) -> Result<Option<String>, MemberError> {
        Ok(self.pinned(job)?.map(|pinned| pinned.note))
    }

    /// The head that was pinned for a round.
    pub(super) fn head_of(&self, job: &JobId, round: u64) -> Result<TreeHead, MemberError> {
        match self.pinned(job)? {
            Some(pinned) if pinned.round == round => Ok(pinned.head),
            Some(pinned) if pinned.round > round => Err(Violation::StaleRound { got: round, at: pinned.round }.into()),
            _ => Err(Violation::NoCheckpoint { round }.into()),
        }
    }

    /// The last round whose sum this participant has seen, if `previous` builds on later ones: those must be absorbed
    /// before the next step is taken.
    pub fn behind(
        &mut self,
        job: &JobId,
        round: Option<u64>,
        previous: &Digest,
        session: Option<&SessionParts>,
    ) -> Result<Option<u64>, MemberError> {
        let session = self.session(job, session)?;
        let witness = self.witness(job, &self.horizontal(job, "question about sums")?, &session)?;
        match round {
            Some(got) if got <= witness.round => Err(Violation::StaleRound { got, at: witness.round }.into()),
            _ => Ok(witness.is_behind(previous).then_some(witness.round)),
        }
    }

    /// Takes the next closed round, once its sum and what it asked were checked. `None` if the coordinator has none to
    /// show, which is for the step that follows to judge.
    pub fn absorb(
        &mut self,
        now: Timestamp,
        job: &JobId,
        closed: &ClosedRound,
        signature: &Signature,
    ) -> Result<(), MemberError> {
        let session = self.session(job, None)?;
        let spec = self.horizontal(job, "closed round")?;
        let key = self.check_key(job, &session)?;
        let witness = self.witness(job, &spec, &session)?.absorb(closed, signature, &session, &spec, &key)?;
        let (round, transcript) = (witness.round, witness.transcript);
        self.vault.put(job, WITNESS, &witness.to_bytes())?;
        self.memo(job, |memo| memo.witness = Some(Arc::new(witness)));
        self.note(now, job, &Note::Witnessed { round, parties: closed.contributors.clone(), transcript })
    }

    /// A round must ask what follows from the sums that this participant has seen; gives what it knows of them.
    pub(super) fn expects(
        &self,
        job: &JobId,
        job_spec: &JobSpec,
        session: &Session,
        spec: &RoundSpec,
        task: &Task,
    ) -> Result<Arc<Witness>, MemberError> {
        let witness = self.witness(job, job_spec, session)?;
        witness.check(spec, task)?;
        Ok(witness)
    }

    /// Checks that a published result is what the sums lead to.
    pub fn check_result(&mut self, job: &JobId, result_json: &str, transcript: &Digest) -> Result<(), MemberError> {
        let session = self.session(job, None)?;
        Ok(self.witness(job, &self.horizontal(job, "sum")?, &session)?.check_result(result_json, transcript)?)
    }

    /// Notes that a rule was broken in a round, and signs what the others should know of it. `None` if there is no session
    /// yet, or if the message was only old.
    pub fn object(
        &mut self,
        now: Timestamp,
        job: &JobId,
        round: u64,
        violation: &Violation,
    ) -> Result<Option<Objection>, MemberError> {
        if matches!(violation, Violation::StaleRound { .. }) {
            return Ok(None);
        }
        let (against, reason): (Fault, String) = (violation.fault(), violation.to_string());
        // Once per round: nobody can fill a journal with complaints.
        let noted = |e: &Entry| matches!(e.event(), Ok(Note::Objected { round: known, .. }) if known == round);
        if !self.journal(job)?.iter().any(noted) {
            self.note(now, job, &Note::Objected { round, against, reason })?;
        }
        let Ok(session) = self.session(job, None) else { return Ok(None) };
        let party = self.identity.party.clone();
        Ok(Some(Objection::signed(&session, round, party, violation, &self.identity.key)))
    }
}
