//! The messages M1 to M4 of a round, as they are signed and as they are verified.

use haihe_privacy::{
    digest::{Digest, Transcript},
    seal,
    secure_sum::{ShareSum, SumParameters, check_slots},
    sign::{Signature, SigningKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{TreeHead, same_head},
    error::{Fault, Violation},
    horizontal::Task,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    roster::{MAX_REASON_BYTES, Session},
};

pub use crate::verified::Verified;

/// M1: what one round computes, and in which form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundSpec {
    /// Job.
    pub job: JobId,
    /// Session.
    pub session: Digest,
    /// Counts the rounds of a job from 1, lost ones too.
    pub round: u64,
    /// The task, JSON; the very bytes that are signed.
    pub task_json: String,
    /// Shape of the sum.
    pub parameters: SumParameters,
    /// Transcript of the last closed round.
    pub previous: Digest,
    /// When contributions end.
    pub deadline: Timestamp,
}

impl RoundSpec {
    /// What everybody signs when they sign anything about this round.
    pub fn digest(&self) -> Digest {
        Transcript::new("haihe/v1/round-spec")
            .digest(&self.job.0)
            .digest(&self.session)
            .u64(self.round)
            .str(&self.task_json)
            .u64(self.parameters.set() as u64)
            .u64(self.parameters.dimension() as u64)
            .u64(u64::from(self.parameters.n_max()))
            .u64(u64::from(self.parameters.value_bits()))
            .digest(&self.previous)
            .u64(self.deadline.0)
            .finish()
    }

    /// The coordinator's signature.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&self.digest())
    }

    /// Shape of the sum that answers a task: its vector, then the slots of the tag.
    pub fn parameters_of(task: &Task, spec: &JobSpec, parties: u32, round: u64) -> Result<SumParameters, Violation> {
        let segments = task.segments(spec, parties).map_err(|_| Violation::Task { round })?;
        let bits = task.value_bits(spec);
        let dimension = segments.iter().map(|s| s.len).sum::<usize>() + check_slots(bits);
        Ok(SumParameters::choose(dimension, parties, bits)?)
    }

    /// Checks a received specification against session and job: signature, and parameters that follow from the task.
    pub fn verify(
        self,
        signature: &Signature,
        session: &Session,
        spec: &JobSpec,
    ) -> Result<(Verified<RoundSpec>, Task), Violation> {
        if self.job != session.roster().job {
            return Err(Violation::OtherJob { message: "round specification" });
        }
        if self.session != session.digest() {
            return Err(Violation::OtherSession {
                message: "round specification",
                got: self.session,
                pinned: session.digest(),
            });
        }
        session
            .coordinator_key()
            .verify(&self.digest(), signature)
            .map_err(|_| Violation::CoordinatorSignature { message: "round specification" })?;
        let task = Task::from_json(&self.task_json).ok_or(Violation::Task { round: self.round })?;
        let expected = Self::parameters_of(&task, spec, session.parties(), self.round)?;
        if self.parameters != expected {
            return Err(Violation::Parameters { round: self.round });
        }
        Ok((Verified::after_checks(self), task))
    }
}

/// M2 without the ciphertext stream: what a contributor signs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Who contributes.
    pub party: PartyId,
    /// Round.
    pub round: u64,
    /// Digest of the round's specification.
    pub spec: Digest,
    /// BLAKE3 of the ciphertext stream.
    pub commitment: Digest,
    /// Length of the ciphertext stream.
    pub ciphertext_bytes: u64,
    /// Digests of the sealed shares, in committee order.
    pub share_digests: Vec<Digest>,
    /// The journal's head that the contributor pinned for this round.
    pub journal: TreeHead,
    /// By the contributor, over everything above.
    pub signature: Signature,
}

/// Digest of one sealed share.
pub fn share_digest(sealed: &[u8]) -> Digest {
    Transcript::new("haihe/v1/sealed-share").bytes(sealed).finish()
}

impl Contribution {
    /// What the contributor signs: every field but the signature.
    fn digest(&self) -> Digest {
        let t = Transcript::new("haihe/v1/contribution")
            .str(self.party.as_str())
            .u64(self.round)
            .digest(&self.spec)
            .digest(&self.commitment)
            .u64(self.ciphertext_bytes)
            .u64(self.share_digests.len() as u64);
        let t = self.share_digests.iter().fold(t, |t, share| t.digest(share));
        t.u64(self.journal.size).bytes(self.journal.root.as_bytes()).finish()
    }

    /// Signs a contribution; whatever signature it carries is replaced.
    pub fn signed(self, key: &SigningKey) -> Self {
        Self { signature: key.sign(&self.digest()), ..self }
    }

    fn check(&self, session: &Session, spec: &RoundSpec, spec_digest: &Digest) -> Result<u32, Violation> {
        let index = session.index_of(&self.party)?;
        if self.round != spec.round {
            return Err(Violation::StaleRound { got: self.round, at: spec.round });
        }
        if self.spec != *spec_digest {
            return Err(Violation::OtherSpec { party: self.party.clone(), round: self.round });
        }
        let needed = spec.parameters.ciphertext_bytes() as u64;
        if self.ciphertext_bytes != needed {
            return Err(Violation::CiphertextSize { party: self.party.clone(), got: self.ciphertext_bytes, needed });
        }
        let needed = session.committee().len();
        if self.share_digests.len() != needed {
            let got = self.share_digests.len();
            return Err(Violation::ShareCount { party: self.party.clone(), got, needed });
        }
        session
            .key_of(index)
            .verify(&self.digest(), &self.signature)
            .map_err(|_| Violation::Signature { party: self.party.clone(), message: "contribution" })?;
        Ok(index)
    }
}

impl Verified<Contribution> {
    /// Checks what a contributor signed, without the sealed shares: those are in no journal.
    pub(crate) fn contribution_head(
        contribution: Contribution,
        session: &Session,
        spec: &RoundSpec,
        journal: &TreeHead,
    ) -> Result<Self, Violation> {
        let other_round = |v| match v {
            // The coordinator knows what it asked.
            Violation::StaleRound { .. } | Violation::OtherSpec { .. } => {
                Violation::OtherRound { party: contribution.party.clone(), round: spec.round }
            }
            other => other,
        };
        contribution.check(session, spec, &spec.digest()).map_err(other_round)?;
        if contribution.journal != *journal {
            return Err(Violation::PinnedJournal { party: contribution.party });
        }
        Ok(Verified::after_checks(contribution))
    }

    /// Checks the head of an upload and the sealed shares that came with it. The ciphertext itself is checked against
    /// the commitment when it is complete.
    pub fn contribution(
        contribution: Contribution,
        sealed_shares: &[Vec<u8>],
        session: &Session,
        spec: &RoundSpec,
        journal: &TreeHead,
    ) -> Result<Self, Violation> {
        let contribution = Self::contribution_head(contribution, session, spec, journal)?.into_inner();
        let party = || contribution.party.clone();
        let needed = session.committee().len();
        if sealed_shares.len() != needed {
            return Err(Violation::ShareCount { party: party(), got: sealed_shares.len(), needed });
        }
        let size = sealed_share_bytes(session, spec);
        for (sealed, digest) in sealed_shares.iter().zip(&contribution.share_digests) {
            if sealed.len() != size {
                return Err(Violation::ShareSize { party: party(), got: sealed.len(), needed: size });
            }
            if share_digest(sealed) != *digest {
                return Err(Violation::ShareDigest { party: party() });
            }
        }
        Ok(Verified::after_checks(contribution))
    }
}

/// Size of one sealed key share of this round.
pub fn sealed_share_bytes(session: &Session, spec: &RoundSpec) -> usize {
    session.roster().rule.share_bytes(spec.parameters.set()) + seal::PAIR_OVERHEAD
}

/// M3: the survivors of a round, as the committee is asked to answer for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurvivorSet {
    /// Round.
    pub round: u64,
    /// Digest of the round's specification.
    pub spec: Digest,
    /// Sorted by party.
    pub survivors: Vec<Contribution>,
    /// When answers end.
    pub deadline: Timestamp,
}

impl SurvivorSet {
    /// Names the set: covers round, specification and every contributor's signed commitment.
    pub fn digest(&self) -> Digest {
        let mut t =
            Transcript::new("haihe/v1/survivors").u64(self.round).digest(&self.spec).u64(self.survivors.len() as u64);
        for s in &self.survivors {
            t = t.digest(&s.digest()).bytes(s.signature.as_bytes());
        }
        t.finish()
    }

    /// The coordinator's signature.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&self.digest())
    }

    /// What a committee member checks before it answers: enough survivors, each in the roster, each signature over the
    /// very specification and the very head of the journal that this member saw, each sealed share the one that was signed.
    pub fn verify(
        self,
        signature: &Signature,
        sealed_shares: &[Vec<u8>],
        me: &PartyId,
        session: &Session,
        spec: &RoundSpec,
        journal: &TreeHead,
    ) -> Result<Verified<SurvivorSet>, Violation> {
        session
            .coordinator_key()
            .verify(&self.digest(), signature)
            .map_err(|_| Violation::CoordinatorSignature { message: "survivor set" })?;
        if self.round != spec.round {
            return Err(Violation::StaleRound { got: self.round, at: spec.round });
        }
        let spec_digest = spec.digest();
        if self.spec != spec_digest {
            return Err(Violation::OtherSpec { party: me.clone(), round: self.round });
        }
        let position = session
            .committee_position(session.index_of(me)?)
            .ok_or_else(|| Violation::NotInCommittee { party: me.clone() })?;
        let (got, needed) = (self.survivors.len() as u32, session.roster().minimum_contributors);
        if got < needed {
            return Err(Violation::TooFewSurvivors { round: self.round, got, needed });
        }
        if sealed_shares.len() != self.survivors.len() {
            return Err(Violation::ShareCount {
                party: me.clone(),
                got: sealed_shares.len(),
                needed: self.survivors.len(),
            });
        }
        let mut last: Option<&PartyId> = None;
        for (survivor, sealed) in self.survivors.iter().zip(sealed_shares) {
            if last.is_some_and(|l| *l >= survivor.party) {
                return Err(Violation::RosterOrder { party: survivor.party.clone() });
            }
            last = Some(&survivor.party);
            survivor.check(session, spec, &spec_digest)?;
            same_head(&survivor.party, &survivor.journal, journal)?;
            if share_digest(sealed) != survivor.share_digests[position as usize] {
                return Err(Violation::ShareDigest { party: survivor.party.clone() });
            }
        }
        Ok(Verified::after_checks(self))
    }
}

/// M4: a committee member's sum of key shares over the survivors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub party: PartyId,
    /// Round.
    pub round: u64,
    /// Digest of the round's specification.
    pub spec: Digest,
    /// Digest of the survivor set that is answered for.
    pub survivors: Digest,
    /// Sum of shares, encoded.
    #[serde(with = "crate::id::hex_bytes")]
    pub share_sum: Vec<u8>,
    /// By the member, over everything above.
    pub signature: Signature,
}

impl Answer {
    fn to_sign(party: &PartyId, round: u64, spec: &Digest, survivors: &Digest, sum: &[u8]) -> Digest {
        Transcript::new("haihe/v1/answer")
            .str(party.as_str())
            .u64(round)
            .digest(spec)
            .digest(survivors)
            .bytes(sum)
            .finish()
    }

    /// Signs an answer.
    pub fn signed(
        party: PartyId,
        round: u64,
        spec: Digest,
        survivors: Digest,
        share_sum: Vec<u8>,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::to_sign(&party, round, &spec, &survivors, &share_sum));
        Self { party, round, spec, survivors, share_sum, signature }
    }
}

impl Verified<Answer> {
    /// Checks a received answer against the survivor set that was asked for.
    pub fn answer(answer: Answer, survivors: &Digest, session: &Session, spec: &RoundSpec) -> Result<Self, Violation> {
        let index = session.index_of(&answer.party)?;
        if session.committee_position(index).is_none() {
            return Err(Violation::NotInCommittee { party: answer.party });
        }
        if answer.spec != spec.digest() {
            return Err(Violation::OtherRound { party: answer.party, round: spec.round });
        }
        if answer.survivors != *survivors {
            return Err(Violation::OtherSurvivorSet { party: answer.party });
        }
        if answer.share_sum.len() != session.roster().rule.share_bytes(spec.parameters.set()) {
            return Err(Violation::MalformedAnswer { party: answer.party });
        }
        let rule = &session.roster().rule;
        if ShareSum::from_bytes(&answer.share_sum, spec.parameters.set(), rule).is_err() {
            return Err(Violation::MalformedAnswer { party: answer.party });
        }
        let digest = Answer::to_sign(&answer.party, answer.round, &answer.spec, &answer.survivors, &answer.share_sum);
        session
            .key_of(index)
            .verify(&digest, &answer.signature)
            .map_err(|_| Violation::Signature { party: answer.party.clone(), message: "answer" })?;
        Ok(Verified::after_checks(answer))
    }
}

/// A participant's signed refusal to go on with a round, for everybody to see: who broke which rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objection {
    /// Job.
    pub job: JobId,
    /// Session.
    pub session: Digest,
    /// Round.
    pub round: u64,
    /// Who objects.
    pub party: PartyId,
    /// Whose fault it is, as the objecting party sees it.
    pub against: Fault,
    /// The rule, in words; never row contents.
    pub reason: String,
    /// By the objecting party, over everything above.
    pub signature: Signature,
}

impl Objection {
    fn to_sign(job: &JobId, session: &Digest, round: u64, party: &PartyId, against: &Fault, reason: &str) -> Digest {
        Transcript::new("haihe/v1/objection")
            .digest(&job.0)
            .digest(session)
            .u64(round)
            .str(party.as_str())
            .str(&against.to_string())
            .str(reason)
            .finish()
    }

    /// Signs an objection to what `violation` describes; a reason that is too long is cut.
    pub fn signed(session: &Session, round: u64, party: PartyId, violation: &Violation, key: &SigningKey) -> Self {
        let (job, session, against) = (session.roster().job, session.digest(), violation.fault());
        let reason = cut(&violation.to_string());
        let signature = key.sign(&Self::to_sign(&job, &session, round, &party, &against, &reason));
        Self { job, session, round, party, against, reason, signature }
    }
}

/// A text of at most [`MAX_REASON_BYTES`] bytes.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl Verified<Objection> {
    /// Checks a received objection against the session.
    pub fn objection(objection: Objection, session: &Session) -> Result<Self, Violation> {
        let o = &objection;
        let index = session.index_of(&o.party)?;
        if o.job != session.roster().job {
            return Err(Violation::OtherJob { message: "objection" });
        }
        if o.session != session.digest() {
            let (got, pinned) = (o.session, session.digest());
            return Err(Violation::OtherSession { message: "objection", got, pinned });
        }
        if o.reason.len() > MAX_REASON_BYTES {
            return Err(Violation::ReasonTooLong { party: o.party.clone() });
        }
        let digest = Objection::to_sign(&o.job, &o.session, o.round, &o.party, &o.against, &o.reason);
        session
            .key_of(index)
            .verify(&digest, &o.signature)
            .map_err(|_| Violation::Signature { party: o.party.clone(), message: "objection" })?;
        Ok(Verified::after_checks(objection))
    }
}
