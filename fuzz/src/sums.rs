//! The secure sum's messages, sealed ones, and the log.

use std::sync::OnceLock;

use haihe_privacy::{
    digest::Digest,
    log::{
        ConsistencyProof, InclusionProof, Log, NoteKey, RootHash, SignedCheckpoint, verify_consistency,
        verify_inclusion,
    },
    prg::SecretStream,
    seal::{SealingKey, seal},
    secure_sum::{
        Adversary, CheckKey, CommitteeRule, KeyShare, ParameterSet, Scheme, ShareSum, SumContext, SumParameters,
        check_slots, lattice::Lattice, plain::NoSecurity,
    },
};
use haihe_protocol::{checkpoint, checkpoint::TreeHead, id::JobId};

use crate::{bytes::Bytes, scene::federation};

const SESSION: Digest = Digest::from_bytes([9; 32]);

fn rules() -> [CommitteeRule; 4] {
    [3, 4, 12, 70].map(|n| CommitteeRule::for_parties(n, Adversary::Malicious).expect("a rule"))
}

/// Key shares and sums of them.
pub(crate) fn shares(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let rule = rules()[bytes.below(4)];
    let set = ParameterSet::ALL[bytes.below(3)];
    let encoded = bytes.rest();
    let sum = ShareSum::from_bytes(encoded, set, &rule);
    if let Ok(share) = KeyShare::from_bytes(encoded, set, &rule) {
        assert_eq!(share.to_bytes(), encoded, "one way of writing");
        let mut total = sum.clone().expect("the same form");
        total.add(&share).expect("the same length");
        assert!(ShareSum::from_bytes(&total.to_bytes(), set, &rule).is_ok(), "sums stay in the field");
    }
    let _ = sum.map(|sum| {
        // One honest answer's form is enough to be heard; nothing about its contents may panic.
        let parameters = SumParameters::with_set(set, 8, rule.members(), 8).expect("fits");
        let adder = NoSecurity.adder(&parameters, &SumContext { session: SESSION, round: 1 });
        let answers: Vec<(u32, ShareSum)> = (0..rule.members()).map(|p| (p, sum.clone())).collect();
        drop(adder.open(&rule, &answers, 0));
        let adder = Lattice.adder(&parameters, &SumContext { session: SESSION, round: 1 });
        if rule.members() < 10 {
            drop(adder.open(&rule, &answers, 0));
        }
    });
}

pub(crate) fn shares_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (r, rule) in rules().iter().enumerate() {
        for (s, set) in ParameterSet::ALL.into_iter().enumerate() {
            let parameters = SumParameters::with_set(set, 8, rule.members(), 8).expect("fits");
            let contributor =
                Lattice.contributor(&parameters, &SumContext { session: SESSION, round: 1 }, [r as u8; 32]);
            let share = contributor.into_key_shares(rule).swap_remove(0).to_bytes();
            all.push([&[r as u8, s as u8], share.as_slice()].concat());
        }
    }
    all
}

fn chunk_parameters() -> SumParameters {
    SumParameters::with_set(ParameterSet::Small, 3000, 3, 16).expect("fits")
}

/// Chunks of ciphertext, in the clear and encrypted: what is refused leaves no trace in the sum.
pub(crate) fn chunks(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let plain = bytes.byte() & 1 == 0;
    let index = bytes.below(4);
    let parameters = chunk_parameters();
    let context = SumContext { session: SESSION, round: 1 };
    let scheme: &dyn Scheme = if plain { &NoSecurity } else { &Lattice };
    let mut adder = scheme.adder(&parameters, &context);
    let first = adder.add_chunk(index, bytes.rest());
    assert!(index == 0 || first.is_err(), "in order");
    drop(adder.finish_contribution().map_err(|e| e.to_string()));
    if first.is_ok() {
        return;
    }
    // An honest contribution after the refusal gives an honest sum.
    let (contribution, answers, rule) = honest(plain);
    for (number, chunk) in contribution.iter().enumerate() {
        adder.add_chunk(number, chunk).expect("honest chunks are taken");
    }
    adder.finish_contribution().expect("whole");
    let opened = adder.open(rule, answers, 1).expect("an honest sum opens");
    assert!(opened.sum.iter().enumerate().all(|(i, v)| *v == i as u64), "the refused chunk left a trace");
}

type Honest = (Vec<Vec<u8>>, Vec<(u32, ShareSum)>, CommitteeRule);

fn honest(plain: bool) -> &'static Honest {
    static HONEST: [OnceLock<Honest>; 2] = [const { OnceLock::new() }; 2];
    HONEST[usize::from(plain)].get_or_init(|| {
        let rule = rules()[0];
        let parameters = chunk_parameters();
        let scheme: &dyn Scheme = if plain { &NoSecurity } else { &Lattice };
        let mut contributor = scheme.contributor(&parameters, &SumContext { session: SESSION, round: 1 }, [4; 32]);
        let chunks = (0..parameters.chunks()).map(|number| {
            let values: Vec<u32> = parameters.chunk_values(number).map(|v| v as u32).collect();
            let mut chunk = Vec::new();
            contributor.encrypt_chunk(number, &values, &mut chunk).expect("encrypts");
            chunk
        });
        let chunks: Vec<Vec<u8>> = chunks.collect();
        let answers = contributor.into_key_shares(&rule).into_iter().enumerate().map(|(position, share)| {
            let mut sum = ShareSum::zero(ParameterSet::Small, &rule);
            sum.add(&share).expect("fits");
            (position as u32, sum)
        });
        let answers = answers.collect();
        (chunks, answers, rule)
    })
}

pub(crate) fn chunks_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (kind, plain) in [(0u8, true), (1, false)] {
        for (index, chunk) in honest(plain).0.iter().enumerate() {
            all.push([&[kind, index as u8], chunk.as_slice()].concat());
        }
    }
    all.push(vec![0, 0]);
    all
}

/// Declared shapes of sums, and the check of a sum: nothing is allocated for what is only declared.
pub(crate) fn parameters(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let set = ParameterSet::ALL[bytes.below(3)];
    let (dimension, parties, bits) = (bytes.magnitude() as usize, bytes.magnitude() as u32, bytes.magnitude() as u32);
    for made in
        [SumParameters::with_set(set, dimension, parties, bits), SumParameters::choose(dimension, parties, bits)]
    {
        let Ok(p) = made else { continue };
        assert!(
            p.chunks() * p.values_per_chunk() >= p.dimension() && p.chunk_values(p.chunks() - 1).end == p.dimension()
        );
        assert!(p.upload_bytes() >= p.ciphertext_bytes() && p.ciphertext_bytes() > 0);
        assert_eq!(p.chunk_values(usize::MAX).len(), 0);
        assert!(check_slots(p.value_bits()) > 0 && p.max_value() > 0 && p.error_bound() > 0);
    }
    let _ = CommitteeRule::for_parties(parties, Adversary::SemiHonest).map(|r| r.share_bytes(set));
    let _ = CommitteeRule::new(parties, bytes.magnitude() as u32, bytes.magnitude() as u32, Adversary::Malicious);
    let contributors: Vec<u32> = (0..bytes.below(5)).map(|_| bytes.magnitude() as u32).collect();
    let sum: Vec<u64> = (0..bytes.below(40)).map(|_| bytes.magnitude()).collect();
    let key = CheckKey::from_bytes([3; 32]);
    // Nobody's sum is zero, with a tag of zero; a witness asks for enough contributors before.
    let forged = key.verify(&SESSION, &sum, &contributors, 1 + bits % 32);
    assert!(!forged || contributors.is_empty(), "a forged sum");
}

pub(crate) fn parameters_seeds() -> Vec<Vec<u8>> {
    let with = |set: u8, tail: &[u8]| [&[set], tail].concat();
    vec![
        with(0, &[64 + 12, 2, 3, 64 + 5, 1]),
        with(2, &[64 + 60, 0, 64 + 31, 0, 200, 255]),
        with(1, &[64 + 31, 1, 64 + 10, 0, 64 + 4, 1, 1, 1, 3, 9, 9, 9, 30, 200, 1, 2, 3]),
        with(2, &[192, 0, 192, 0, 192, 0, 192, 0, 192, 0, 4, 192, 0, 192, 1, 39, 192, 0, 192, 1]),
    ]
}

fn receiver() -> SealingKey {
    SealingKey::derive(&[21; 32])
}

/// Sealed messages.
pub(crate) fn sealed(input: &[u8]) {
    if let Ok(plain) = receiver().open(&SESSION, b"fuzz", input) {
        assert_eq!(plain.len() + haihe_privacy::seal::OVERHEAD, input.len());
    }
    assert!(receiver().open(&SESSION, b"another context", input).is_err());
}

pub(crate) fn sealed_seeds() -> Vec<Vec<u8>> {
    let mut rng = SecretStream::new(&[2; 32], 0);
    let mut message =
        |n: usize| seal(&mut rng, &receiver().public_key(), &SESSION, b"fuzz", &vec![7; n]).expect("seals");
    vec![message(0), message(1), message(32), message(4353)]
}

/// Checkpoints, verifier keys and proofs.
pub(crate) fn log(input: &[u8]) {
    let key = federation().key("coordinator").verifying_key();
    let job = JobId(Digest::from_bytes([8; 32]));
    let mut bytes = Bytes::new(input);
    match bytes.byte() % 4 {
        0 => {
            let Ok(text) = std::str::from_utf8(bytes.rest()) else { return };
            if let Ok(head) = checkpoint::verify(text, "fuzz", &job, &key) {
                assert_eq!(head, known_head(), "nobody but the coordinator signs");
            }
            let vkey = checkpoint::coordinator_note_key("fuzz", &key).expect("a name");
            let origin = checkpoint::origin("fuzz", &job);
            if let Ok(signed) = SignedCheckpoint::parse(text, &origin, &vkey) {
                let again = SignedCheckpoint::parse(&signed.to_text(), &origin, &vkey).expect("reads what was written");
                assert_eq!(again, signed);
            }
        }
        1 => {
            let Ok(text) = std::str::from_utf8(bytes.rest()) else { return };
            if let Ok(key) = text.parse::<NoteKey>() {
                assert_eq!(key.to_string().parse::<NoteKey>().as_ref(), Ok(&key));
            }
        }
        2 => {
            let (old, new) = (bytes.magnitude(), bytes.magnitude());
            let roots = [tree().root_at(old.min(9)).expect("known"), RootHash::from_bytes([1; 32])];
            let pair = (roots[bytes.below(2)], roots[bytes.below(2)]);
            if let Ok(proof) = ConsistencyProof::from_bytes(bytes.rest()) {
                assert_eq!(proof.to_bytes(), bytes.rest());
                if verify_consistency((old, pair.0), (new, pair.1), &proof).is_ok() {
                    assert!(old <= new && (old != new || pair.0 == pair.1));
                }
            }
            // What a peer asks the coordinator to prove.
            if let Ok(proof) = tree().consistency(old, new) {
                let roots = (tree().root_at(old).expect("in range"), tree().root_at(new).expect("in range"));
                verify_consistency((old, roots.0), (new, roots.1), &proof).expect("a true proof");
            }
        }
        _ => {
            let (index, size) = (bytes.magnitude(), bytes.magnitude());
            if let Ok(proof) = InclusionProof::from_bytes(bytes.rest()) {
                let _ = verify_inclusion(&tree().root(), size, index, b"leaf", &proof);
            }
            drop(tree().inclusion(index, size).map(|p| p.to_bytes()));
        }
    }
}

fn tree() -> &'static Log {
    static TREE: OnceLock<Log> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut log = Log::new();
        for leaf in 0..9u8 {
            log.append(&[leaf]);
        }
        log
    })
}

fn known_head() -> TreeHead {
    TreeHead { size: 9, root: tree().root() }
}

pub(crate) fn log_seeds() -> Vec<Vec<u8>> {
    let key = federation().key("coordinator");
    let job = JobId(Digest::from_bytes([8; 32]));
    let signed = checkpoint::sign("fuzz", &job, &known_head(), &key).expect("signs").to_text();
    let vkey = checkpoint::coordinator_note_key("fuzz", &key.verifying_key()).expect("a name").to_string();
    let proof = tree().consistency(3, 9).expect("in range").to_bytes();
    let inclusion = tree().inclusion(4, 9).expect("in range").to_bytes();
    vec![
        [&[0], signed.as_bytes()].concat(),
        [&[1], vkey.as_bytes()].concat(),
        [&[2, 3, 67, 1, 0, 0], proof.as_slice()].concat(),
        [&[3, 4, 67, 1], inclusion.as_slice()].concat(),
        vec![2, 192, 0, 192, 0],
        vec![3, 192, 1, 192, 0],
    ]
}
