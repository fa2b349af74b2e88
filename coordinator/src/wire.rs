//! From the wire into domain types and back; a message that is no message ends here.
//!
//! What reads foreign bytes is public, so that it can be fuzzed where it stands. Every function is total; what it refuses,
//! it refuses with `INVALID_ARGUMENT` and the field's name.

use bytes::Bytes;
use haihe_privacy::{
    digest::Digest,
    log::{ConsistencyProof, RootHash},
    seal::SealingPublicKey,
    secure_sum::{CommitteeRule, ParameterSet},
    sign::Signature,
};
use haihe_proto::v1;
use haihe_protocol::{
    check::{SEALED_KEY_BYTES, SealedCheckKey},
    checkpoint::TreeHead,
    error::Fault,
    id::{JobId, PartyId},
    message::{Answer, Contribution, Objection, RoundSpec, SurvivorSet, share_digest},
    roster::{Confirmation, Decline, Join, MAX_REASON_BYTES, Roster, Session},
    vertical::{
        Announcement, MAX_HOLDERS,
        exchange::{LetterHead, MAX_LETTERS, ParcelHead},
        sealing::SEALED_SECRET_BYTES,
    },
    witness::ClosedRound,
};
use tonic::Status;

/// Largest certificate that is accepted, in bytes.
const MAX_CERTIFICATE_BYTES: usize = 16 << 10;

fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {why}"))
}

fn fixed<const N: usize>(field: &str, bytes: &Bytes) -> Result<[u8; N], Status> {
    <[u8; N]>::try_from(bytes.as_ref()).map_err(|_| invalid(field, format!("{} bytes, expected {N}", bytes.len())))
}

/// A digest; `field` names it in the error.
pub fn digest(field: &str, bytes: &Bytes) -> Result<Digest, Status> {
    fixed(field, bytes).map(Digest::from_bytes)
}

fn signature(bytes: &Bytes) -> Result<Signature, Status> {
    fixed("signature", bytes).map(Signature::from_bytes)
}

/// A proof that begins from `old_size` entries; 0 where the question said so.
pub(crate) fn to_proof(old_size: u64, proof: &ConsistencyProof) -> v1::ConsistencyProof {
    v1::ConsistencyProof { hashes: proof.to_bytes().into(), old_size }
}

/// The name of a party.
pub fn party(text: &str) -> Result<PartyId, Status> {
    PartyId::new(text).map_err(|e| invalid("party", e))
}

/// The name of a job.
pub fn job(text: &str) -> Result<JobId, Status> {
    Digest::parse(text).map(JobId).map_err(|e| invalid("job_id", e))
}

fn certificate(bytes: &Bytes) -> Result<Vec<u8>, Status> {
    if bytes.len() > MAX_CERTIFICATE_BYTES {
        return Err(invalid("signing_certificate", "too large"));
    }
    Ok(bytes.to_vec())
}

/// A wish to take part.
pub fn join(m: v1::Join) -> Result<Join, Status> {
    Ok(Join {
        job: job(&m.job_id)?,
        party: party(&m.party)?,
        signing_certificate: certificate(&m.signing_certificate)?,
        sealing_key: SealingPublicKey::from_bytes(fixed("sealing_key", &m.sealing_key)?),
        beacon_commitment: digest("beacon_commitment", &m.beacon_commitment)?,
        signature: signature(&m.signature)?,
    })
}

/// A refusal to take part.
pub fn decline(m: v1::Decline) -> Result<Decline, Status> {
    if m.reason.len() > MAX_REASON_BYTES {
        return Err(invalid("reason", "too long"));
    }
    Ok(Decline {
        job: job(&m.job_id)?,
        party: party(&m.party)?,
        signing_certificate: certificate(&m.signing_certificate)?,
        reason: m.reason,
        signature: signature(&m.signature)?,
    })
}

/// A signature on a roster.
pub fn confirmation(m: v1::Confirmation) -> Result<Confirmation, Status> {
    Ok(Confirmation {
        job: job(&m.job_id)?,
        party: party(&m.party)?,
        session: digest("session", &m.session)?,
        beacon_nonce: fixed("beacon_nonce", &m.beacon_nonce)?,
        check_key: m.check_key.map(check_key).transpose()?,
        signature: signature(&m.signature)?,
    })
}

fn check_key(m: v1::SealedCheckKey) -> Result<SealedCheckKey, Status> {
    if m.sealed.iter().any(|s| s.len() != SEALED_KEY_BYTES) {
        return Err(invalid("check_key", format!("a sealed key has {SEALED_KEY_BYTES} bytes")));
    }
    let sealed = m.sealed.iter().map(|s| s.to_vec()).collect();
    Ok(SealedCheckKey { commitment: digest("commitment", &m.commitment)?, sealed })
}

/// A refusal to go on with a round.
pub fn objection(m: v1::Objection) -> Result<Objection, Status> {
    use v1::objection::Fault as Wire;
    if m.reason.len() > MAX_REASON_BYTES {
        return Err(invalid("reason", "too long"));
    }
    Ok(Objection {
        against: match m.fault() {
            Wire::Participant => Fault::Participant(party(&m.against)?),
            Wire::Coordinator => Fault::Coordinator,
            Wire::Job => Fault::Job,
            Wire::CoordinatorOrContributor => Fault::CoordinatorOrContributor,
            Wire::Unspecified => return Err(invalid("fault", "unspecified")),
        },
        job: job(&m.job_id)?,
        session: digest("session", &m.session)?,
        round: m.round,
        party: party(&m.party)?,
        reason: m.reason,
        signature: signature(&m.signature)?,
    })
}

fn tree_head(m: Option<v1::TreeHead>) -> Result<TreeHead, Status> {
    let m = m.ok_or_else(|| invalid("journal", "missing"))?;
    Ok(TreeHead { size: m.size, root: RootHash::from_bytes(fixed("root", &m.root)?) })
}

/// The head of an upload: job, contribution, sealed shares. The sizes of the shares are checked against the round later;
/// the message limit bounds them here.
pub fn contribution(m: v1::ContributionHeader) -> Result<(JobId, Contribution, Vec<Vec<u8>>), Status> {
    let sealed: Vec<Vec<u8>> = m.sealed_shares.iter().map(|s| s.to_vec()).collect();
    let contribution = Contribution {
        party: party(&m.party)?,
        round: m.round,
        spec: digest("spec_digest", &m.spec_digest)?,
        commitment: digest("commitment", &m.commitment)?,
        ciphertext_bytes: m.ciphertext_bytes,
        share_digests: sealed.iter().map(|s| share_digest(s)).collect(),
        journal: tree_head(m.journal)?,
        signature: signature(&m.signature)?,
    };
    Ok((job(&m.job_id)?, contribution, sealed))
}

/// The head of a parcel. Its sizes are checked against the job later; the message limit bounds them here.
pub fn parcel(m: v1::ParcelHead) -> Result<ParcelHead, Status> {
    if m.letters.len() > MAX_LETTERS {
        return Err(invalid("letters", format!("{} of them, at most {MAX_LETTERS}", m.letters.len())));
    }
    let a = m.announcement.ok_or_else(|| invalid("announcement", "missing"))?;
    Ok(ParcelHead {
        job: job(&m.job_id)?,
        session: digest("session", &m.session)?,
        round: m.round,
        party: party(&m.party)?,
        previous: digest("previous", &m.previous)?,
        announcement: Announcement { phase: a.phase, body_json: a.body_json, done: a.done, result_json: a.result_json },
        letters: m.letters.into_iter().map(letter).collect::<Result<_, _>>()?,
        journal: tree_head(m.journal)?,
        signature: signature(&m.signature)?,
    })
}

fn letter(m: v1::LetterHead) -> Result<LetterHead, Status> {
    if m.to.len() > MAX_HOLDERS || m.sealed_keys.len() > MAX_HOLDERS {
        return Err(invalid("to", format!("{} receivers, at most {MAX_HOLDERS}", m.to.len())));
    }
    if m.sealed_keys.iter().any(|key| key.len() != SEALED_SECRET_BYTES) {
        return Err(invalid("sealed_keys", format!("a sealed key has {SEALED_SECRET_BYTES} bytes")));
    }
    Ok(LetterHead {
        to: m.to,
        sealed_keys: m.sealed_keys.iter().map(|key| key.to_vec()).collect(),
        digest: digest("digest", &m.digest)?,
        bytes: m.bytes,
    })
}

/// A committee member's answer.
pub fn answer(m: v1::CommitteeAnswer) -> Result<(JobId, Answer), Status> {
    let answer = Answer {
        party: party(&m.party)?,
        round: m.round,
        spec: digest("spec_digest", &m.spec_digest)?,
        survivors: digest("survivors_digest", &m.survivors_digest)?,
        share_sum: m.share_sum.to_vec(),
        signature: signature(&m.signature)?,
    };
    Ok((job(&m.job_id)?, answer))
}

fn bytes(b: &[u8]) -> Bytes {
    Bytes::copy_from_slice(b)
}

fn to_join(j: &Join) -> v1::Join {
    v1::Join {
        job_id: j.job.to_string(),
        party: j.party.to_string(),
        signing_certificate: bytes(&j.signing_certificate),
        sealing_key: bytes(j.sealing_key.as_bytes()),
        beacon_commitment: bytes(j.beacon_commitment.as_bytes()),
        signature: bytes(j.signature.as_bytes()),
    }
}

fn to_rule(r: &CommitteeRule) -> v1::CommitteeRule {
    v1::CommitteeRule {
        members: r.members(),
        privacy_threshold: r.privacy_threshold(),
        packing: r.packing(),
        answers_needed: r.answers_needed(),
    }
}

/// A roster as it is sent.
pub fn to_roster(r: &Roster) -> v1::Roster {
    v1::Roster {
        job_id: r.job.to_string(),
        attempt: r.attempt,
        entries: r.entries.iter().map(to_join).collect(),
        committee_rule: Some(to_rule(&r.rule)),
        minimum_contributors: r.minimum_contributors,
        coordinator_certificate: bytes(&r.coordinator_certificate),
        confirm_deadline_ms: r.deadline.0,
    }
}

/// A session as it is sent.
pub fn to_session(s: &Session) -> v1::Session {
    let confirmations = s.confirmations().iter().map(|c| v1::Confirmation {
        job_id: c.job.to_string(),
        party: c.party.to_string(),
        session: bytes(c.session.as_bytes()),
        beacon_nonce: bytes(&c.beacon_nonce),
        check_key: c.check_key.as_ref().map(|made| v1::SealedCheckKey {
            commitment: bytes(made.commitment.as_bytes()),
            sealed: made.sealed.iter().map(|s| bytes(s)).collect(),
        }),
        signature: bytes(c.signature.as_bytes()),
    });
    v1::Session { roster: Some(to_roster(s.roster())), confirmations: confirmations.collect() }
}

/// A round's specification with the coordinator's signature.
pub fn to_spec(s: &RoundSpec, signature: &Signature) -> v1::RoundSpec {
    use v1::sum_parameters::ParameterSet as Set;
    let set = match s.parameters.set() {
        ParameterSet::Small => Set::Small,
        ParameterSet::Medium => Set::Medium,
        ParameterSet::Large => Set::Large,
    };
    v1::RoundSpec {
        job_id: s.job.to_string(),
        session: bytes(s.session.as_bytes()),
        round: s.round,
        task_json: s.task_json.clone(),
        parameters: Some(v1::SumParameters {
            set: set.into(),
            dimension: s.parameters.dimension() as u64,
            n_max: s.parameters.n_max(),
            value_bits: s.parameters.value_bits(),
        }),
        previous: bytes(s.previous.as_bytes()),
        deadline_ms: s.deadline.0,
        signature: bytes(signature.as_bytes()),
    }
}

/// Survivors as they are sent.
pub fn to_survivors(s: &SurvivorSet) -> Vec<v1::Survivor> {
    let survivor = |c: &Contribution| v1::Survivor {
        party: c.party.to_string(),
        commitment: bytes(c.commitment.as_bytes()),
        ciphertext_bytes: c.ciphertext_bytes,
        share_digests: c.share_digests.iter().map(|d| bytes(d.as_bytes())).collect(),
        journal: Some(v1::TreeHead { size: c.journal.size, root: bytes(c.journal.root.as_bytes()) }),
        signature: bytes(c.signature.as_bytes()),
    };
    s.survivors.iter().map(survivor).collect()
}

/// Parcels as they are passed on.
pub fn to_parcels(heads: &[ParcelHead]) -> Vec<v1::ParcelHead> {
    heads.iter().map(to_parcel).collect()
}

fn to_parcel(h: &ParcelHead) -> v1::ParcelHead {
    let letter = |l: &LetterHead| v1::LetterHead {
        to: l.to.clone(),
        sealed_keys: l.sealed_keys.iter().map(|key| bytes(key)).collect(),
        digest: bytes(l.digest.as_bytes()),
        bytes: l.bytes,
    };
    v1::ParcelHead {
        job_id: h.job.to_string(),
        session: bytes(h.session.as_bytes()),
        round: h.round,
        party: h.party.to_string(),
        previous: bytes(h.previous.as_bytes()),
        announcement: Some(v1::Announcement {
            phase: h.announcement.phase.clone(),
            body_json: h.announcement.body_json.clone(),
            done: h.announcement.done,
            result_json: h.announcement.result_json.clone(),
        }),
        letters: h.letters.iter().map(letter).collect(),
        journal: Some(v1::TreeHead { size: h.journal.size, root: bytes(h.journal.root.as_bytes()) }),
        signature: bytes(h.signature.as_bytes()),
    }
}

/// Numbers of a sum in one part of a closed round.
const SUM_PART: usize = 32_768;

/// A closed round in parts: its head, then the sum.
pub fn to_closed_round(closed: &ClosedRound, signature: &Signature) -> Vec<v1::ClosedRoundPart> {
    use v1::closed_round_part::Part;
    let head = v1::ClosedRoundHead {
        spec: Some(to_spec(&closed.spec, signature)),
        contributors: closed.contributors.iter().map(ToString::to_string).collect(),
        survivors_digest: bytes(closed.survivors.as_bytes()),
    };
    let sums = closed
        .sum
        .chunks(SUM_PART)
        .map(|values| Part::Sum(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()));
    std::iter::once(Part::Head(head)).chain(sums).map(|part| v1::ClosedRoundPart { part: Some(part) }).collect()
}
