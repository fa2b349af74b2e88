//! A witness over closed rounds in any order, altered and newly signed: it follows the true sums and nothing else.

use haihe_privacy::{seal::SealingKey, secure_sum::CheckKey};
use haihe_protocol::{
    horizontal::Plan,
    job::JobSpec,
    roster::Session,
    witness::{ClosedRound, Witness},
};
use std::sync::OnceLock;

use crate::{
    bytes::Bytes,
    scene::federation,
    world::{Reference, reference},
};

struct Scene {
    reference: &'static Reference,
    spec: JobSpec,
    session: Session,
    key: CheckKey,
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let reference = reference(3);
        let mut worlds = reference.stages.iter().map(|s| s.fork());
        let world = worlds.find(|w| w.engine.job().session().is_some()).expect("a session");
        let job = world.engine.job();
        let session = job.session().expect("open").clone();
        let secret = world.parties[0].sealing_secret();
        let key = session.check_key(session.party(0), &SealingKey::derive(&secret)).expect("sealed for it");
        Scene { reference, spec: job.head().spec.clone(), session, key }
    })
}

fn alter(closed: &mut ClosedRound, bytes: &mut Bytes<'_>) {
    match bytes.below(8) {
        0 => {
            let at = (bytes.number() % closed.sum.len().max(1) as u64) as usize;
            let value = bytes.magnitude();
            closed.sum.iter_mut().skip(at).take(1 + bytes.below(4)).for_each(|v| *v = value);
        }
        1 => closed.sum.truncate(bytes.magnitude() as usize % (closed.sum.len() + 1)),
        2 => closed.sum.push(bytes.magnitude()),
        3 => drop(closed.contributors.pop()),
        4 => closed.contributors.reverse(),
        5 => closed.spec.round = bytes.magnitude(),
        6 => closed.spec.task_json.push(' '),
        _ => closed.survivors = haihe_privacy::digest::Digest::from_bytes([bytes.byte(); 32]),
    }
}

/// The witness under a list of closed rounds.
pub(crate) fn run(input: &[u8]) {
    let Scene { reference, spec, session, key } = scene();
    let mut bytes = Bytes::new(input);
    let mut witness = Witness::begin(spec, session);
    let mut at = 0;
    for _ in 0..12 {
        if bytes.is_empty() {
            break;
        }
        let choice = bytes.byte();
        let index = if choice & 1 == 0 { at } else { bytes.below(reference.closed.len()) };
        let Some((honest, signature)) = reference.closed.get(index) else { break };
        let (mut closed, mut signature) = (honest.clone(), *signature);
        if choice & 2 != 0 {
            alter(&mut closed, &mut bytes);
            if choice & 4 != 0 {
                signature = closed.spec.sign(&federation().key("coordinator"));
            }
        }
        assert_eq!(Witness::from_bytes(&witness.to_bytes()).expect("a stored witness is read back"), witness);
        let is_true = closed.sum == honest.sum
            && closed.contributors == honest.contributors
            && closed.spec.task_json == honest.spec.task_json;
        match witness.absorb(&closed, &signature, session, spec, key) {
            Ok(next) => {
                assert!(is_true && next.round > witness.round, "an untrue sum was believed");
                assert_eq!(next.transcript, closed.transcript());
                witness = next;
                at += 1;
            }
            Err(violation) => {
                drop(violation.to_string());
                assert!(closed != *honest || index != at, "the true round was refused: {violation}");
            }
        }
        if closed != *honest && witness.transcript == closed.transcript() {
            // Renumbered, or with another survivor digest: the chain differs from here on, and the learning does not.
            return;
        }
    }
    let last = reference.closed.last().map(|(c, _)| c.transcript()).unwrap_or_else(|| session.digest());
    let done = at == reference.closed.len();
    assert_eq!(witness.check_result(&reference.result, &last).is_ok(), done, "the result is believed when it follows");
    assert!(witness.check_result("{}", &last).is_err());
    drop(Plan::begin(spec));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut all = vec![vec![0; 12], vec![0, 0, 1, 0, 0, 0]];
    for kind in 0..8u8 {
        all.push(vec![0, 2, kind, 0, 0, 0, 0, 0, 0, 0, 70, 0, 1, 0]);
        all.push(vec![6, kind, 1, 1, 0, 0, 0, 0, 0, 0, 70, 0, 1, 0]);
    }
    all
}
