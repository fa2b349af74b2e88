//! A participant under a coordinator that does whatever it likes, has its own signing key, and the keys of all other
//! parties: old, altered and newly signed requests in any order, restarts, and journals and sums of its choice.

use std::collections::BTreeMap;

use haihe_participant::member::MemberError;
use haihe_privacy::{
    digest::Digest,
    log::{ConsistencyProof, RootHash},
    seal::{Pair, SealingKey},
    sign::Signature,
};
use haihe_protocol::{
    checkpoint::{self, TreeHead},
    id::{PartyId, Timestamp},
    message::{Contribution, RoundSpec, share_digest},
    roster::Roster,
    share_keys::ShareContext,
    witness::ClosedRound,
};

use crate::{
    bytes::Bytes,
    scene::{NOW, federation},
    world::{Ask, Coordinator, Party, Reference, Said, World, reference},
};

/// Steps of one input, at most.
const STEPS: usize = 20;
/// The party under test.
const ME: usize = 0;

/// What the coordinator shows when it is asked back.
struct Hostile<'a> {
    world: &'a World,
    closed: Vec<(ClosedRound, Signature)>,
    proof: u8,
}

impl Coordinator for Hostile<'_> {
    fn consistency(&self, old: u64, new: u64) -> Option<ConsistencyProof> {
        match self.proof % 4 {
            0 | 1 => self.world.engine.consistency(old, new).ok(),
            2 => None,
            _ => ConsistencyProof::from_bytes(&[self.proof; 96]).ok(),
        }
    }
    fn closed_round(&self, after: u64) -> Option<(ClosedRound, Signature)> {
        self.closed.iter().find(|(c, _)| c.spec.round > after).cloned()
    }
}

/// What the participant has said, and what must hold of all of it together.
#[derive(Default)]
struct Record {
    join: Option<Said>,
    contributions: BTreeMap<u64, Said>,
    answers: BTreeMap<u64, Said>,
    /// Contributors that were answered for, by the question.
    questions: BTreeMap<Digest, Vec<PartyId>>,
    /// The session that anything was said in.
    session: Option<Digest>,
    confirmed: BTreeMap<u32, Digest>,
    closed: bool,
}

impl Record {
    fn hear(&mut self, said: Said, ask: &Ask) {
        assert!(!self.closed || matches!(said, Said::Join(_)), "something new after the end");
        match (&said, ask) {
            (Said::Join(_), _) => {
                assert_eq!(*self.join.get_or_insert_with(|| said.clone()), said, "two different joins");
            }
            (Said::Confirm(c), Ask::Confirm(roster)) => {
                assert_eq!(c.session, roster.digest());
                let known = self.confirmed.entry(roster.attempt).or_insert(c.session);
                assert_eq!(*known, c.session, "two rosters of one attempt were signed");
                assert!(self.session.is_none_or(|s| s == c.session), "another roster was signed in a session");
            }
            (Said::Contribute { head, .. }, Ask::Contribute { spec, .. }) => {
                let known = self.contributions.entry(head.round).or_insert_with(|| said.clone());
                assert_eq!(*known, said, "two different contributions to one round");
                assert_eq!(head.spec, spec.digest());
                assert_eq!(*self.session.get_or_insert(spec.session), spec.session, "a second session");
            }
            (Said::Answer(answer), Ask::Answer { spec, survivors, .. }) => {
                let known = self.answers.entry(answer.round).or_insert_with(|| said.clone());
                assert_eq!(*known, said, "two different answers for one round");
                let set: Vec<PartyId> = survivors.survivors.iter().map(|s| s.party.clone()).collect();
                assert!(set.len() >= 3, "an answer for too few contributors");
                assert!(set.is_sorted() && set.windows(2).all(|w| w[0] != w[1]), "a contributor twice");
                let asked = self.questions.entry(spec.previous).or_insert_with(|| set.clone());
                assert_eq!(*asked, set, "one question answered for two sets");
                assert_eq!(*self.session.get_or_insert(spec.session), spec.session, "a second session");
            }
            _ => panic!("an answer to something else"),
        }
    }
}

fn sign_spec(spec: &RoundSpec) -> Signature {
    spec.sign(&federation().key("coordinator"))
}

/// Another specification, signed by the coordinator.
fn alter_spec(spec: &mut RoundSpec, bytes: &mut Bytes<'_>, reference: &Reference) {
    for _ in 0..=bytes.below(2) {
        match bytes.below(8) {
            0 => spec.round = spec.round.wrapping_add(1),
            1 => spec.round = bytes.magnitude(),
            2 => spec.deadline = Timestamp(bytes.magnitude()),
            3 => spec.task_json.push(' '),
            4 | 5 => {
                let other = &reference.closed[bytes.below(reference.closed.len())].0;
                spec.task_json.clone_from(&other.spec.task_json);
                spec.parameters = other.spec.parameters.clone();
            }
            6 => spec.previous = reference.closed[bytes.below(reference.closed.len())].0.transcript(),
            _ => spec.previous = Digest::from_bytes([bytes.byte(); 32]),
        }
    }
}

fn alter_roster(roster: &mut Roster, bytes: &mut Bytes<'_>) {
    match bytes.below(6) {
        0 => roster.attempt = roster.attempt.wrapping_add(1),
        1 => roster.attempt = bytes.magnitude() as u32,
        2 => {
            let at = bytes.below(roster.entries.len());
            if at < roster.entries.len() {
                roster.entries.remove(at);
            }
            let rule = haihe_privacy::secure_sum::CommitteeRule::for_parties(
                roster.entries.len().max(3) as u32,
                haihe_privacy::secure_sum::Adversary::Malicious,
            );
            roster.rule = rule.expect("three or more");
        }
        3 => roster.minimum_contributors = bytes.magnitude() as u32,
        4 => roster.deadline = Timestamp(bytes.magnitude()),
        _ => roster.entries.reverse(),
    }
}

fn alter_checkpoint(text: &mut String, world: &World, bytes: &mut Bytes<'_>) {
    match bytes.below(4) {
        0 => text.truncate(bytes.below(200).min(text.len())),
        1 => {
            let head = TreeHead { size: bytes.magnitude(), root: RootHash::from_bytes([bytes.byte(); 32]) };
            let signed = checkpoint::sign("fuzz", &world.job, &head, &federation().key("coordinator"));
            *text = signed.expect("signs").to_text();
        }
        _ => *text = world.engine.checkpoint().expect("signs"),
    }
}

/// Another party's contribution, signed by it.
fn resign(contribution: &mut Contribution, me: &PartyId) {
    if contribution.party != *me {
        *contribution = contribution.clone().signed(&federation().key(contribution.party.as_str()));
    }
}

/// Another party's contribution and its sealed share for `me`, made anew for another round.
fn reissue(
    contribution: &mut Contribution,
    share: &mut Vec<u8>,
    spec: &RoundSpec,
    roster: &Roster,
    me: &PartyId,
    secret: &[u8; 32],
) {
    let digest = spec.digest();
    (contribution.round, contribution.spec) = (spec.round, digest);
    let context = ShareContext {
        round: spec.round,
        spec: &digest,
        from: &contribution.party,
        to: me,
        commitment: &contribution.commitment,
    };
    let plain = vec![0; roster.rule.share_bytes(spec.parameters.set())];
    let key = |party: &PartyId| roster.entries.iter().find(|e| e.party == *party).map(|e| &e.sealing_key);
    if let (Some(from), Some(to)) = (key(&contribution.party), key(me))
        && let Ok(key) = SealingKey::derive(secret).pair(&Pair {
            session: &roster.digest(),
            sender: (contribution.party.as_str(), from),
            receiver: (me.as_str(), to),
        })
        && let Ok(sealed) = key.seal(&context.digest(), &plain)
    {
        contribution.share_digests.iter_mut().take(ME + 1).for_each(|d| *d = share_digest(&sealed));
        *share = sealed;
    }
    resign(contribution, me);
}

fn alter(ask: &mut Ask, bytes: &mut Bytes<'_>, world: &World, reference: &Reference, me: &PartyId) {
    match ask {
        Ask::Offer => {}
        Ask::Confirm(roster) => alter_roster(roster, bytes),
        Ask::Contribute { spec, signature, checkpoint, session } => match bytes.below(6) {
            0 => alter_checkpoint(checkpoint, world, bytes),
            1 => alter_roster(&mut session.roster, bytes),
            _ => {
                alter_spec(spec, bytes, reference);
                *signature = sign_spec(spec);
            }
        },
        Ask::Answer { spec, spec_signature, survivors, signature, shares, checkpoint, session } => {
            match bytes.below(10) {
                0 => alter_checkpoint(checkpoint, world, bytes),
                1 => alter_roster(&mut session.roster, bytes),
                2 => {
                    let at = bytes.below(survivors.survivors.len());
                    if survivors.survivors.len() > 2 {
                        survivors.survivors.remove(at);
                        shares.remove(at.min(shares.len() - 1));
                    }
                }
                3 => survivors.survivors.reverse(),
                4 => {
                    let (one, share) = (survivors.survivors[0].clone(), shares[0].clone());
                    survivors.survivors.insert(0, one);
                    shares.insert(0, share);
                }
                5 => shares.reverse(),
                6 => survivors.deadline = Timestamp(bytes.magnitude()),
                7 => {
                    let at = bytes.below(survivors.survivors.len());
                    survivors.survivors[at].commitment = Digest::from_bytes([bytes.byte(); 32]);
                    resign(&mut survivors.survivors[at], me);
                }
                _ => {
                    alter_spec(spec, bytes, reference);
                    *spec_signature = sign_spec(spec);
                    // The other parties do not mind: they sign for the new round too.
                    survivors.round = spec.round;
                    survivors.spec = spec.digest();
                    let session = &session.roster;
                    for (s, share) in survivors.survivors.iter_mut().zip(shares.iter_mut()) {
                        reissue(s, share, spec, session, me, &world.parties[ME].sealing_secret());
                    }
                }
            }
            *signature = survivors.sign(&federation().key("coordinator"));
        }
        Ask::Closed { outcome, checkpoint, .. } => match bytes.below(4) {
            0 => *outcome = Err("over".to_owned()),
            1 => *outcome = Ok(("{}".to_owned(), Digest::from_bytes([bytes.byte(); 32]))),
            _ => alter_checkpoint(checkpoint, world, bytes),
        },
    }
}

fn shown(bytes: &mut Bytes<'_>, reference: &Reference) -> Vec<(ClosedRound, Signature)> {
    let mut closed = reference.closed.clone();
    if bytes.byte() & 3 != 3 {
        return closed;
    }
    let at = bytes.below(closed.len());
    let (round, signature) = &mut closed[at];
    match bytes.below(4) {
        0 => drop(round.contributors.pop()),
        1 => round.sum.iter_mut().take(bytes.below(40)).for_each(|v| *v += 1),
        2 => round.sum.truncate(bytes.below(256)),
        _ => {
            alter_spec(&mut round.spec, bytes, reference);
            *signature = sign_spec(&round.spec);
        }
    }
    closed
}

/// The participant under a list of requests.
pub(crate) fn run(input: &[u8]) {
    let reference = reference(4);
    let mut bytes = Bytes::new(input);
    let stage = &reference.stages[usize::from(bytes.byte()) % reference.stages.len()];
    let mut world = stage.fork();
    let mut now = world.now;
    let mut me: Party = world.parties.remove(ME);
    let mine: Vec<&Ask> = reference.asked.iter().filter(|(p, _)| *p == ME).map(|(_, ask)| ask).collect();
    let mut record = Record::default();
    // What it said before this input began counts too.
    let before = reference.asked.iter().take_while(|(_, a)| !same_moment(a, &world)).filter(|(p, _)| *p == ME).count();
    let job = world.job;
    for step in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        let choice = bytes.byte();
        if choice % 16 == 15 {
            me.restart();
            continue;
        }
        if choice % 16 == 14 {
            now = now.plus_seconds(bytes.magnitude() % 1_000_000_000);
            continue;
        }
        // Mostly what would come next, or near it.
        let at = match choice % 4 {
            0 | 1 => before + step,
            2 => usize::from(bytes.byte()),
            _ => (before + step).saturating_sub(bytes.below(4)),
        };
        let mut ask = mine[at % mine.len()].clone();
        if choice & 64 != 0 {
            for _ in 0..=bytes.below(3) {
                alter(&mut ask, &mut bytes, &world, reference, &me.name);
            }
        }
        let hostile = Hostile { world: &world, closed: shown(&mut bytes, reference), proof: bytes.byte() };
        let salt = format!("salt {step}");
        let toml = if choice & 32 != 0 { world.toml.replace("fuzz", "other") } else { world.toml.clone() };
        let was_closed = me.member.is_closed(&job).expect("its own journal");
        match me.follow(now, &job, &toml, &ask, &hostile, &salt) {
            Ok(Some(said)) => record.hear(said, &ask),
            Ok(None) => {}
            Err(MemberError::Violation(violation)) => {
                drop(me.member.object(now, &job, step as u64, &violation).map(|o| o.map(|o| o.reason)));
            }
            Err(error @ (MemberError::Record { .. } | MemberError::Journal(_) | MemberError::Vault(_))) => {
                // Nobody touches the vault here; only a key that was forgotten at the end may be missing.
                panic!("a request damaged the vault: {error}");
            }
            Err(error) => drop(error.to_string()),
        }
        record.closed |= was_closed;
        me.member.journal(&job).expect("the own journal stays sound");
    }
}

/// True if the world's next request is this one: the round and the kind are the same.
fn same_moment(ask: &Ask, world: &World) -> bool {
    let round = match ask {
        Ask::Contribute { spec, .. } | Ask::Answer { spec, .. } => spec.round,
        Ask::Closed { .. } => u64::MAX,
        _ => 0,
    };
    round >= world.engine.job().round().max(1)
}

/// Records in the vault, altered: a participant says that they are damaged, or goes on without a panic.
pub(crate) fn vault(input: &[u8]) {
    let reference = reference(4);
    let mut bytes = Bytes::new(input);
    let at = usize::from(bytes.byte()) % reference.stages.len();
    let mut world = reference.stages[at].fork();
    let mut me = world.parties.remove(ME);
    let names = me.vault.names();
    if names.is_empty() {
        return;
    }
    let name = names[bytes.below(names.len())].clone();
    let (from, length) = (bytes.number() as usize, bytes.below(64));
    let with = bytes.rest().to_vec();
    me.vault.change(&name, |record| {
        let from = from % (record.len() + 1);
        let to = (from + length).min(record.len());
        record.splice(from..to, with);
    });
    me.restart();
    let hostile = Hostile { world: &world, closed: reference.closed.clone(), proof: 0 };
    for (_, ask) in reference.asked.iter().filter(|(p, _)| *p == ME).skip(at / 4).take(3) {
        drop(me.follow(NOW, &world.job, &world.toml, ask, &hostile, "").map_err(|e| e.to_string()));
    }
    drop(me.member.journal(&world.job).map_err(|e| e.to_string()));
}

pub(crate) fn vault_seeds() -> Vec<Vec<u8>> {
    let with: [&[u8]; 6] = [b"", b"18446744073709551615", b"null", b"\"", b"\n", b"[]"];
    let stages = reference(4).stages.len() as u8;
    let mut all = Vec::new();
    for stage in (2..stages).step_by(5) {
        for record in 0..8u8 {
            let with = with[usize::from(stage + record) % with.len()];
            all.push([&[stage, record, 40, record, 0, 0, 0, 0, 0, 0, 3], with].concat());
        }
    }
    all
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let stages = reference(4).stages.len() as u8;
    let mut all = Vec::new();
    for stage in 0..stages {
        // Honest, honest with a restart, altered.
        all.push([&[stage], [0u8; 24].as_slice()].concat());
        all.push([&[stage, 0, 0, 0, 15], [0u8; 12].as_slice()].concat());
        // Answered; then the same question in the next round, for everybody but the party itself.
        all.push([&[stage, 0, 0, 0], [64, 1, 2, 0, 8, 0, 0, 0, 0].repeat(3).as_slice(), &[0, 0, 0]].concat());
        all.push([&[stage, 64, 4, 0, 0, 0, 0, 64, 8, 1, 0, 0, 2, 7, 0, 0], [68u8; 12].as_slice()].concat());
    }
    all
}
