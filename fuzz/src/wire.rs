//! Messages on the wire: decoded, turned into domain types, and checked against a live session.

use haihe_coordinator::wire as read;
use haihe_participant::link;
use haihe_privacy::sign::Signature;
use haihe_proto::v1;
use haihe_protocol::witness::ClosedRound;
use prost::Message as _;

use crate::{
    bytes::Bytes,
    scene::NOW,
    world::{Ask, Said, World, reference},
};

/// A world in the middle of a job, never changed.
fn live() -> World {
    let stages = &reference(3).stages;
    stages[stages.len() / 2].fork()
}

fn decoded<M: prost::Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok()
}

thread_local! {
    static LIVE: World = live();
}

/// Every request to the coordinator: decoded, read, and verified by an engine, which stays as it is.
pub(crate) fn coordinator(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let kind = bytes.below(15);
    let body = bytes.rest();
    LIVE.with(|world| {
        let engine = &world.engine;
        match kind {
            0 => drop(decoded(body).and_then(|m| read::join(m).ok()).map(|m| engine.verify_join(m, NOW).is_ok())),
            1 => drop(decoded(body).and_then(|m| read::decline(m).ok()).map(|m| engine.verify_decline(m, NOW).is_ok())),
            2 => drop(
                decoded(body).and_then(|m| read::confirmation(m).ok()).map(|m| engine.verify_confirmation(m).is_ok()),
            ),
            3 => drop(decoded(body).and_then(|m| read::answer(m).ok()).map(|(_, m)| engine.verify_answer(m).is_ok())),
            4 => drop(decoded(body).and_then(|m| read::objection(m).ok()).map(|m| engine.verify_objection(m).is_ok())),
            5 => drop(decoded(body).and_then(|m| read::contribution(m).ok()).map(|(_, c, sealed)| {
                assert_eq!(c.share_digests.len(), sealed.len());
            })),
            6 => drop(decoded::<v1::ContributionPart>(body)),
            7 => drop(decoded::<v1::UploadStatusRequest>(body).map(|m| {
                (read::job(&m.job_id).is_ok(), read::party(&m.party).is_ok(), read::digest("c", &m.commitment).is_ok())
            })),
            8 => drop(
                decoded::<v1::ConsistencyProofRequest>(body)
                    .map(|m| engine.consistency(m.old_size, m.new_size).map(|p| p.to_bytes())),
            ),
            9 => drop(
                decoded::<v1::ClosedRoundRequest>(body)
                    .map(|m| engine.closed_round(m.after_round, &world.blobs).map(|closed| closed.is_some())),
            ),
            10 => drop(
                decoded::<v1::SubmitJobRequest>(body).map(|m| haihe_protocol::job::JobSpec::parse(&m.job_toml).is_ok()),
            ),
            11 => drop(decoded::<v1::JobReference>(body).map(|m| read::job(&m.job_id).is_ok())),
            12 => drop(decoded::<v1::CancelJobRequest>(body)),
            13 => drop(decoded::<v1::FollowRequest>(body).map(|m| read::party(&m.party).is_ok())),
            _ => drop(decoded::<v1::ListJobsRequest>(body)),
        }
    });
}

fn framed(kind: u8, message: &impl prost::Message) -> Vec<u8> {
    [&[kind], message.encode_to_vec().as_slice()].concat()
}

pub(crate) fn coordinator_seeds() -> Vec<Vec<u8>> {
    let job_id = LIVE.with(|w| w.job.to_string());
    let mut all: Vec<Vec<u8>> = Vec::new();
    for (_, said) in reference(3).said.iter().take(14) {
        let seed = match said {
            // The roster holds joins as they were sent.
            Said::Join(_) => continue,
            Said::Confirm(c) => framed(
                2,
                &v1::Confirmation {
                    job_id: c.job.to_string(),
                    party: c.party.to_string(),
                    session: c.session.as_bytes().to_vec().into(),
                    beacon_nonce: c.beacon_nonce.to_vec().into(),
                    check_key: c.check_key.as_ref().map(|k| v1::SealedCheckKey {
                        commitment: k.commitment.as_bytes().to_vec().into(),
                        sealed: k.sealed.iter().map(|s| s.clone().into()).collect(),
                    }),
                    signature: c.signature.as_bytes().to_vec().into(),
                },
            ),
            Said::Contribute { head, shares, ciphertext } => {
                let header = v1::ContributionHeader {
                    job_id: job_id.clone(),
                    party: head.party.to_string(),
                    round: head.round,
                    spec_digest: head.spec.as_bytes().to_vec().into(),
                    commitment: head.commitment.as_bytes().to_vec().into(),
                    ciphertext_bytes: head.ciphertext_bytes,
                    sealed_shares: shares.iter().map(|s| s.clone().into()).collect(),
                    journal: Some(v1::TreeHead {
                        size: head.journal.size,
                        root: head.journal.root.as_bytes().to_vec().into(),
                    }),
                    signature: head.signature.as_bytes().to_vec().into(),
                };
                let data = ciphertext[..64.min(ciphertext.len())].to_vec().into();
                let chunk = v1::contribution_part::Part::Chunk(v1::Chunk { offset: 0, data });
                all.push(framed(6, &v1::ContributionPart { part: Some(chunk) }));
                framed(5, &header)
            }
            Said::Answer(a) => framed(
                3,
                &v1::CommitteeAnswer {
                    job_id: job_id.clone(),
                    party: a.party.to_string(),
                    round: a.round,
                    spec_digest: a.spec.as_bytes().to_vec().into(),
                    survivors_digest: a.survivors.as_bytes().to_vec().into(),
                    share_sum: a.share_sum.clone().into(),
                    signature: a.signature.as_bytes().to_vec().into(),
                },
            ),
            Said::Object(_) => continue,
        };
        all.push(seed);
    }
    let roster = LIVE.with(|w| read::to_roster(w.engine.job().session().expect("open").roster()));
    all.extend(roster.entries.iter().map(|join| framed(0, join)));
    all.push(framed(
        1,
        &v1::Decline {
            job_id: job_id.clone(),
            party: "bj".to_owned(),
            signing_certificate: roster.entries[0].signing_certificate.clone(),
            reason: "rows".to_owned(),
            signature: vec![1; 64].into(),
        },
    ));
    all.push(framed(
        4,
        &v1::Objection {
            job_id: job_id.clone(),
            session: vec![1; 32].into(),
            round: 2,
            party: "bj".to_owned(),
            fault: v1::objection::Fault::Participant.into(),
            against: "he".to_owned(),
            reason: "rule".to_owned(),
            signature: vec![1; 64].into(),
        },
    ));
    let (party, job_toml) = ("bj".to_owned(), crate::scene::JOB.to_owned());
    let request =
        v1::ConsistencyProofRequest { job_id: job_id.clone(), party: party.clone(), old_size: 3, new_size: 9 };
    all.push(framed(8, &request));
    all.push(framed(9, &v1::ClosedRoundRequest { job_id: job_id.clone(), party: party.clone(), after_round: 0 }));
    all.push(framed(10, &v1::SubmitJobRequest { job_toml }));
    // Nothing costs a sender less than many empty parts.
    let sealed = vec![Default::default(); 2000];
    all.push(framed(5, &v1::ContributionHeader { sealed_shares: sealed.clone(), ..Default::default() }));
    let check_key = Some(v1::SealedCheckKey { sealed, ..Default::default() });
    all.push(framed(2, &v1::Confirmation { check_key, ..Default::default() }));
    all.push(framed(11, &v1::JobReference { job_id: job_id.clone() }));
    all.push(framed(13, &v1::FollowRequest { party }));
    all
}

/// Every message to a participant: a directive, a receipt, a proof.
pub(crate) fn participant(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    match bytes.below(4) {
        3 => drop(decoded(bytes.rest()).map(|m| link::receipt(m).map_err(|e| e.to_string()))),
        2 => drop(
            decoded::<v1::ConsistencyProof>(bytes.rest())
                .map(|m| haihe_privacy::log::ConsistencyProof::from_bytes(&m.hashes)),
        ),
        _ => {
            let Some(message) = decoded::<v1::Directive>(bytes.rest()) else { return };
            if let Ok((_, ask)) = link::directive(message) {
                let _ = ask.round();
            }
        }
    }
}

fn directive(world: &World, ask: &Ask) -> v1::Directive {
    use v1::directive::Ask as Wire;
    let session = || world.engine.job().session().map(read::to_session);
    let ask = match ask.clone() {
        Ask::Offer => Wire::JobOffer(v1::JobOffer {
            job_toml: world.toml.clone(),
            opened_ms: NOW.0,
            submitted_by: "fuzz".to_owned(),
            ..Default::default()
        }),
        Ask::Confirm(roster) => Wire::Roster(read::to_roster(&roster)),
        Ask::Contribute { spec, signature, checkpoint, .. } => Wire::Contribute(v1::ContributeRequest {
            spec: Some(read::to_spec(&spec, &signature)),
            session: session(),
            checkpoint,
            ..Default::default()
        }),
        Ask::Answer { spec, spec_signature, survivors, signature, shares, checkpoint, .. } => {
            Wire::Answer(v1::AnswerRequest {
                job_id: world.job.to_string(),
                round: survivors.round,
                spec_digest: survivors.spec.as_bytes().to_vec().into(),
                survivors: read::to_survivors(&survivors),
                sealed_shares: shares.into_iter().map(Into::into).collect(),
                deadline_ms: survivors.deadline.0,
                signature: signature.as_bytes().to_vec().into(),
                spec: Some(read::to_spec(&spec, &spec_signature)),
                session: session(),
                checkpoint,
            })
        }
        Ask::Closed { outcome, checkpoint, .. } => {
            let (result_json, transcript) =
                outcome.unwrap_or_else(|reason| (reason, haihe_privacy::digest::Digest::from_bytes([0; 32])));
            Wire::JobClosed(v1::JobClosed {
                outcome: v1::job_closed::Outcome::Finished.into(),
                result_json,
                transcript: transcript.as_bytes().to_vec().into(),
                checkpoint,
                ..Default::default()
            })
        }
    };
    v1::Directive { job_id: world.job.to_string(), ask: Some(ask) }
}

pub(crate) fn participant_seeds() -> Vec<Vec<u8>> {
    let reference = reference(3);
    let asked = reference.asked.iter().zip(&reference.stages).enumerate();
    let mut all: Vec<Vec<u8>> = asked
        .filter(|(i, _)| i % 3 == 0)
        .map(|(_, ((_, ask), stage))| framed(0, &directive(&stage.fork(), ask)))
        .collect();
    // Nothing costs a sender less than many empty parts.
    let roster = v1::Roster { entries: vec![v1::Join::default(); 2000], ..Default::default() };
    let many = v1::directive::Ask::Roster(roster);
    all.push(framed(0, &v1::Directive { job_id: String::new(), ask: Some(many) }));
    let survivors = vec![v1::Survivor::default(); 2000];
    let many = v1::directive::Ask::Answer(v1::AnswerRequest { survivors, ..Default::default() });
    all.push(framed(0, &v1::Directive { job_id: String::new(), ask: Some(many) }));
    all.push(framed(2, &v1::ConsistencyProof { hashes: vec![5; 96].into(), old_size: 3 }));
    all.push(framed(3, &v1::Receipt { outcome: v1::receipt::Outcome::Late.into(), reason: "late".to_owned() }));
    all
}

/// A closed round that comes in parts, each with its length in front.
pub(crate) fn closed_round(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let mut closed: Option<(ClosedRound, Signature)> = None;
    while !bytes.is_empty() {
        let length = usize::from(bytes.byte()) | usize::from(bytes.byte()) << 8;
        let Some(part) = decoded::<v1::ClosedRoundPart>(bytes.take(length)) else { return };
        if link::closed_part(&mut closed, part).is_err() {
            return;
        }
        if let Some((closed, _)) = &closed {
            assert!(closed.sum.len() <= closed.spec.parameters.dimension());
        }
    }
}

pub(crate) fn closed_round_seeds() -> Vec<Vec<u8>> {
    let rounds = reference(3).closed.iter();
    rounds
        .map(|(closed, signature)| {
            let parts = read::to_closed_round(closed, signature).into_iter();
            parts
                .flat_map(|part| {
                    let bytes = part.encode_to_vec();
                    [(bytes.len() as u16).to_le_bytes().to_vec(), bytes].concat()
                })
                .collect()
        })
        .collect()
}
