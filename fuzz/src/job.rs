//! The coordinator's state machine: messages in any order, late, twice, altered, by the wrong party, at any time.

use haihe_privacy::sign::Signature;
use haihe_protocol::{
    id::PartyId,
    journal::Event,
    message::Objection,
    state::{Command, Job, Phase},
};

use crate::{
    bytes::Bytes,
    scene::federation,
    world::{Reference, Said, World, reference},
};

/// Steps of one input, at most.
const STEPS: usize = 24;

/// The machine under test and the one that only sees the journal.
struct Machine {
    world: World,
    shadow: Job,
    seen: usize,
    reference: &'static Reference,
}

impl Machine {
    fn at(stage: usize) -> Self {
        let reference = reference(3);
        let world = reference.stages[stage % reference.stages.len()].fork();
        let (shadow, seen) = (world.recovered().job().clone(), world.journal.len());
        Self { world, shadow, seen, reference }
    }

    /// The journal alone gives the live state; what is not in the journal changed nothing.
    fn check(&mut self, before: &str) {
        for entry in &self.world.journal[self.seen..] {
            self.shadow.apply(entry.at, entry.event::<Event>().expect("an own event is read back"));
        }
        let grown = self.world.journal.len() > self.seen;
        self.seen = self.world.journal.len();
        let live = self.world.state();
        assert!(grown || live == before, "something changed and the journal does not say what");
        assert!(format!("{:?}", self.shadow) == live, "replaying the journal gives another state");
        let job = self.world.engine.job();
        let parties = job.head().spec.job.parties.clone();
        for party in &parties {
            drop((job.directive(party), job.party_state(party)));
        }
        let c = job.counters();
        assert!(c.rounds_closed + c.rounds_lost <= job.round().max(c.rounds_closed + c.rounds_lost));
        if let Phase::Finished { result_json, .. } = job.phase() {
            assert_eq!(*result_json, self.reference.result, "another result than the reference");
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let party = bytes.below(3);
        match bytes.below(12) {
            0 | 1 => self.world.settle(),
            2..=4 => {
                if let Some(ask) = self.world.ask(party)
                    && let Ok(Some(said)) = self.world.follow(party, &ask)
                {
                    drop(self.world.receive(said, true));
                }
            }
            5 => {
                let seconds = [0, 1, 119, 120, 600, 601, 100_000, u64::MAX][bytes.below(8)];
                self.world.now = self.world.now.plus_seconds(seconds);
            }
            6 => {
                let said = self.recorded(bytes);
                drop(self.world.receive(said, bytes.byte() != 0));
            }
            7 | 8 => {
                let said = alter(self.recorded(bytes), bytes);
                drop(self.world.receive(said, bytes.byte() != 0));
            }
            9 => {
                assert_eq!(format!("{:?}", self.world.recovered().job()), self.world.state(), "a restart");
                self.world.engine = self.world.recovered();
            }
            10 => {
                let session = self.world.engine.job().session().cloned();
                if let Some(session) = session {
                    let name = self.world.parties[party].name.clone();
                    let round = self.world.engine.job().round().wrapping_add(u64::from(bytes.byte() & 1));
                    let violation = haihe_protocol::error::Violation::UnexpectedTask { round };
                    let key = federation().key(name.as_str());
                    drop(
                        self.world
                            .receive(Said::Object(Objection::signed(&session, round, name, &violation, &key)), true),
                    );
                }
            }
            _ => {
                let party = PartyId::new(["bj", "he", "tj", "xx"][bytes.below(4)]).expect("a name");
                let round = bytes.magnitude();
                drop(self.world.command(match bytes.below(8) {
                    0 => Command::Cancel { by: "fuzz".to_owned(), reason: "tired".to_owned() },
                    1..4 => Command::Reject { party, round, reason: "rule".to_owned() },
                    4..6 => Command::Late { party, round },
                    6 => Command::NotOpened { reason: "no".to_owned() },
                    _ => Command::Tick,
                }));
            }
        }
    }

    fn recorded(&self, bytes: &mut Bytes<'_>) -> Said {
        let said = &self.reference.said;
        said[usize::from(bytes.byte()) % said.len()].1.clone()
    }

    /// Nobody says anything any more: the job ends by its deadlines.
    fn end(&mut self) {
        for _ in 0..40 {
            self.world.settle();
            if self.world.engine.job().is_over() {
                return;
            }
            let next = self.world.engine.job().next_deadline().expect("a job that is not over has a deadline");
            self.world.now = self.world.now.max(next);
        }
        panic!("the job does not end: {}", self.world.engine.job().awaiting());
    }
}

/// Changes one message, and sometimes signs it again as its party could. Vectors are never changed: a party may contribute
/// whatever it likes, and the result would be another one.
fn alter(mut said: Said, bytes: &mut Bytes<'_>) -> Said {
    let (field, value, bit) = (bytes.below(6), bytes.magnitude(), bytes.byte());
    let resign = bytes.byte() & 1 == 1;
    let flip = |data: &mut Vec<u8>| {
        let length = data.len().max(1);
        if let Some(byte) = data.get_mut(value as usize % length) {
            *byte ^= 1 << (bit & 7);
        }
    };
    match &mut said {
        Said::Join(join) => match field {
            0 => join.party = PartyId::new(["bj", "he", "tj"][bit as usize % 3]).expect("a name"),
            1 => flip(&mut join.signing_certificate),
            2 => join.sealing_key = haihe_privacy::seal::SealingPublicKey::from_bytes([bit; 32]),
            _ => join.signature = Signature::from_bytes([bit; 64]),
        },
        Said::Confirm(c) => match field {
            0 => c.beacon_nonce[0] ^= bit,
            1 => c.check_key = None,
            2 => c.check_key.iter_mut().for_each(|k| k.sealed.truncate(bit as usize)),
            _ => c.party = PartyId::new(["bj", "he", "tj"][bit as usize % 3]).expect("a name"),
        },
        Said::Contribute { head, shares, ciphertext } => {
            match field {
                0 => head.round = value,
                1 => head.ciphertext_bytes = value,
                2 => shares.iter_mut().take(1).for_each(flip),
                3 => flip(ciphertext),
                4 => head.journal.size = value,
                _ => head.share_digests.truncate(bit as usize % 4),
            }
            if resign {
                *head = head.clone().signed(&federation().key(head.party.as_str()));
            }
        }
        Said::Answer(a) => {
            match field {
                0 => a.round = value,
                1 => flip(&mut a.share_sum),
                2 => a.share_sum.truncate(value as usize % 64),
                _ => a.party = PartyId::new(["bj", "he", "tj"][bit as usize % 3]).expect("a name"),
            }
            if resign {
                let key = federation().key(a.party.as_str());
                let (party, sum) = (a.party.clone(), a.share_sum.clone());
                *a = haihe_protocol::message::Answer::signed(party, a.round, a.spec, a.survivors, sum, &key);
            }
        }
        Said::Object(o) => o.round = value,
    }
    said
}

/// The machine under a list of operations.
pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let mut machine = Machine::at(usize::from(bytes.byte()));
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        let before = machine.world.state();
        machine.step(&mut bytes);
        machine.check(&before);
    }
    let before = machine.world.state();
    machine.end();
    machine.check(&before);
    assert_eq!(format!("{:?}", machine.world.recovered().job()), machine.world.state(), "replaying the whole journal");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let stages = reference(3).stages.len() as u8;
    let honest: Vec<u8> = (0..8).flat_map(|_| [0, 2, 1, 2, 2, 2]).collect();
    let mut all: Vec<Vec<u8>> = (0..stages).map(|stage| [&[stage], honest.as_slice()].concat()).collect();
    for stage in (0..stages).step_by(3) {
        // A jump past the deadline, a replayed and an altered message, a restart, an objection.
        all.push(vec![stage, 0, 5, 4, 0, 0, 0, 6, stage, 1, 1, 7, stage, 0, 3, 0, 1, 1, 0, 9, 2, 10, 0, 0, 0]);
    }
    all
}
