//! The tree against the RFC's definition and another implementation; known answers of others; what must not verify.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::SigningKey;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::{prelude::*, sample::Index};
use sha2::{Digest as _, Sha256};

/// Logs up to this size are tried in every position.
const EVERY: u64 = 70;

fn entry(i: u64) -> Vec<u8> {
    format!("entry {i}").into_bytes()
}

fn log(size: u64) -> Log {
    let mut log = Log::new();
    for i in 0..size {
        assert_eq!(log.append(&entry(i)), i);
    }
    log
}

/// RFC 9162, section 2.1.1, word for word and slow.
fn mth(entries: &[Vec<u8>]) -> [u8; 32] {
    match entries {
        [] => Sha256::digest([]).into(),
        [d] => Sha256::digest([&[0], d.as_slice()].concat()).into(),
        _ => {
            let k = entries.len().next_power_of_two() / 2;
            Sha256::digest([&[1], mth(&entries[..k]).as_slice(), &mth(&entries[k..])].concat()).into()
        }
    }
}

/// A proof with one bit flipped in each hash, one hash less, one more, and neighbours exchanged.
fn altered(hashes: &[RootHash]) -> Vec<Vec<RootHash>> {
    let mut all = Vec::new();
    for i in 0..hashes.len() {
        let mut flipped = hashes.to_vec();
        flipped[i].0[i % 32] ^= 1 << (i % 8);
        let mut dropped = hashes.to_vec();
        dropped.remove(i);
        all.extend([flipped, dropped]);
        if i > 0 {
            let mut swapped = hashes.to_vec();
            swapped.swap(i - 1, i);
            all.push(swapped);
        }
    }
    for end in [RootHash::empty(), *hashes.last().unwrap_or(&RootHash([0; 32]))] {
        all.push([hashes, &[end]].concat());
    }
    all
}

#[test]
fn roots_are_those_of_the_definition_and_of_another_implementation() {
    let entries: Vec<_> = (0..EVERY).map(entry).collect();
    let log = log(EVERY);
    let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 0..=EVERY {
        let root = log.root_at(size).unwrap();
        assert_eq!(root.0, mth(&entries[..size as usize]), "size {size}");
        if size > 0 {
            other.push(entry(size - 1));
            assert_eq!(root.0.as_slice(), other.root().as_bytes().as_slice(), "size {size}");
        }
    }
    assert_eq!(log.root(), log.root_at(EVERY).unwrap());
}

#[test]
fn every_inclusion_proof_holds_and_no_altered_one() {
    let log = log(EVERY);
    let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 1..=EVERY {
        other.push(entry(size - 1));
        let root = log.root_at(size).unwrap();
        for index in 0..size {
            let proof = log.inclusion(index, size).unwrap();
            assert_eq!(proof.to_bytes(), other.prove_inclusion(index as usize).as_bytes(), "{index} of {size}");
            assert_eq!(verify_inclusion(&root, size, index, &entry(index), &proof), Ok(()), "{index} of {size}");
            assert!(
                verify_inclusion(&root, size, index, &entry(index + 1), &proof).is_err(),
                "entry {index} of {size}"
            );
            for wrong in (0..=size).filter(|wrong| *wrong != index) {
                assert!(verify_inclusion(&root, size, wrong, &entry(index), &proof).is_err(), "{wrong} of {size}");
            }
            for hashes in altered(proof.hashes()) {
                let wrong = InclusionProof::from_hashes(hashes).unwrap();
                assert!(verify_inclusion(&root, size, index, &entry(index), &wrong).is_err(), "{index} of {size}");
            }
        }
    }
}

#[test]
fn every_consistency_proof_holds_and_no_altered_one() {
    let log = log(EVERY);
    let heads: Vec<_> = (0..=EVERY).map(|size| (size, log.root_at(size).unwrap())).collect();
    for new in 0..=EVERY {
        let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        (0..new).for_each(|i| other.push(entry(i)));
        for old in 0..=new {
            let (before, after) = (heads[old as usize], heads[new as usize]);
            let proof = log.consistency(old, new).unwrap();
            if 0 < old && old < new {
                assert_eq!(
                    proof.to_bytes(),
                    other.prove_consistency((new - old) as usize).as_bytes(),
                    "{old} to {new}"
                );
            }
            assert_eq!(verify_consistency(before, after, &proof), Ok(()), "{old} to {new}");
            for hashes in altered(proof.hashes()) {
                let wrong = ConsistencyProof::from_hashes(hashes).unwrap();
                assert!(verify_consistency(before, after, &wrong).is_err(), "{old} to {new}");
            }
            for wrong in heads.iter().filter(|head| head.0 != old) {
                assert!(verify_consistency((old, wrong.1), after, &proof).is_err(), "root {} for {old}", wrong.0);
            }
            // A log with no entries is the beginning of every log.
            for wrong in heads.iter().filter(|head| head.0 != new && old > 0) {
                assert!(verify_consistency(before, (new, wrong.1), &proof).is_err(), "root {} for {new}", wrong.0);
            }
        }
    }
}

/// A size that is altered where the roots are not. Sizes of one shape share a proof: `fn` and `sn` are only compared
/// along the path. The checkpoint binds the size to the root, and so the pair is what is signed; here is how far a proof
/// alone goes.
#[test]
fn a_proof_binds_the_shape_of_its_sizes() {
    let log = log(EVERY);
    let mut same_shape = 0;
    for size in 1..=EVERY {
        let root = log.root_at(size).unwrap();
        for index in 0..size {
            let proof = log.inclusion(index, size).unwrap();
            for wrong in (1..=EVERY).filter(|wrong| *wrong != size) {
                let holds = verify_inclusion(&root, wrong, index, &entry(index), &proof).is_ok();
                let shape = index < wrong && path_shape(index, wrong) == path_shape(index, size);
                assert_eq!(holds, shape, "{index} of {size} as of {wrong}");
                same_shape += u64::from(holds);
            }
        }
    }
    assert!(same_shape > 0);
}

#[test]
fn a_consistency_proof_binds_the_shape_of_its_sizes() {
    const SIZES: u64 = 24;
    let log = log(SIZES);
    let root = |size| log.root_at(size).unwrap();
    // The path from the last complete subtree of the old log, and whether the old root stands for that subtree.
    let shape = |old: u64, new: u64| {
        let below = (old - 1).trailing_ones() as usize;
        let mut sides = path_shape(old - 1, new);
        sides.truncate(sides.len() - below);
        (old.is_power_of_two(), sides)
    };
    for (new, old) in (2..=SIZES).flat_map(|new| (1..new).map(move |old| (new, old))) {
        let proof = log.consistency(old, new).unwrap();
        let others = (0..=SIZES).flat_map(|size| [(size, new), (old, size)]).filter(|sizes| *sizes != (old, new));
        for (wrong_old, wrong_new) in others {
            let holds = verify_consistency((wrong_old, root(old)), (wrong_new, root(new)), &proof).is_ok();
            let alike = 0 < wrong_old && wrong_old < wrong_new && shape(wrong_old, wrong_new) == shape(old, new);
            assert_eq!(holds, alike, "{old} to {new} as {wrong_old} to {wrong_new}");
        }
    }
}

/// On which side each sibling is, from the root downwards.
fn path_shape(index: u64, size: u64) -> Vec<bool> {
    let (mut start, mut end, mut sides) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + (end - start).next_power_of_two() / 2;
        sides.push(index < middle);
        (start, end) = if index < middle { (start, middle) } else { (middle, end) };
    }
    sides
}

#[test]
fn what_a_log_does_not_have_is_refused() {
    let log = log(3);
    assert_eq!(log.root_at(4), Err(LogError::Size { size: 4, held: 3 }));
    assert_eq!(log.inclusion(0, 4), Err(LogError::Size { size: 4, held: 3 }));
    assert_eq!(log.inclusion(2, 2), Err(LogError::Index { index: 2, size: 2 }));
    assert_eq!(log.inclusion(0, 0), Err(LogError::Index { index: 0, size: 0 }));
    assert_eq!(log.consistency(1, 4), Err(LogError::Size { size: 4, held: 3 }));
    assert_eq!(log.consistency(3, 2), Err(LogError::Order { old: 3, new: 2 }));
}

#[test]
fn sizes_at_the_end_of_their_range_do_no_harm() {
    let root = RootHash::empty();
    let proof = InclusionProof(vec![root; MAX_PROOF_HASHES]);
    for (size, index) in [(u64::MAX, u64::MAX - 1), (u64::MAX, 0), (u64::MAX, u64::MAX), (1 << 63, 0), (0, 0)] {
        assert!(verify_inclusion(&root, size, index, b"", &proof).is_err());
    }
    for (old, new) in [(1, u64::MAX), (u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX), ((1 << 63) - 1, 1 << 63), (0, 1)] {
        for length in [0, 1, 63, MAX_PROOF_HASHES] {
            let proof = ConsistencyProof(vec![root; length]);
            let result = verify_consistency((old, root), (new, root), &proof);
            assert_eq!(result.is_ok(), old == 0 && length == 0, "{old} to {new}, {length} hashes: {result:?}");
        }
    }
}

#[test]
fn proofs_are_bounded_on_the_wire() {
    let hash = "00".repeat(32);
    let json = |count: usize| serde_json::to_string(&vec![&hash; count]).unwrap();
    assert_eq!(serde_json::from_str::<InclusionProof>(&json(64)).unwrap().hashes().len(), 64);
    assert!(serde_json::from_str::<InclusionProof>(&json(65)).is_err());
    assert!(serde_json::from_str::<ConsistencyProof>(&json(65)).is_err());
    assert_eq!(ConsistencyProof::from_bytes(&[0; 65 * 32]), Err(ProofError::TooMany { found: 65 }));
    assert_eq!(InclusionProof::from_bytes(&[0; 33]), Err(ProofError::Bytes { found: 33 }));
    assert_eq!(InclusionProof::from_hashes(vec![RootHash::empty(); 65]), Err(ProofError::TooMany { found: 65 }));
    let proof = log(70).inclusion(5, 70).unwrap();
    assert_eq!(InclusionProof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
    assert_eq!(serde_json::from_str::<InclusionProof>(&serde_json::to_string(&proof).unwrap()).unwrap(), proof);
}

/// Signed by the public checksum database of Go, whose verifier key is compiled into the go command;
/// c2sp.org/tlog-checkpoint shows size, root and signature under another name.
#[test]
fn a_checkpoint_of_another_log_verifies() {
    let vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let text = "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let key: NoteKey = vkey.parse().unwrap();
    assert_eq!(key.to_string(), vkey);
    let signed = SignedCheckpoint::parse(text, "go.sum database tree", &key).unwrap();
    assert_eq!(signed.checkpoint().size(), 20_852_163);
    assert_eq!(signed.to_text(), text);
    let larger = text.replace("20852163", "20852164");
    assert!(matches!(SignedCheckpoint::parse(&larger, "go.sum database tree", &key), Err(NoteError::Signature { .. })));
}

#[test]
fn a_checkpoint_is_never_as_long_as_a_digest() {
    let smallest = Checkpoint::new("a", 0, RootHash::empty()).unwrap();
    assert_eq!(smallest.to_string().len(), 49);
}

#[test]
fn sixteen_cosigners_of_the_longest_names_fit() {
    let origin = "o".repeat(MAX_NAME_BYTES);
    let signer = |i: u8| {
        let name: KeyName = format!("{i:02}{}", "n".repeat(MAX_NAME_BYTES - 2)).parse().unwrap();
        (name, SigningKey::from_seed([i; 32]))
    };
    let (name, key) = signer(0);
    let mut signed = Checkpoint::new(&origin, u64::MAX, RootHash::empty()).unwrap().sign(&name, &key);
    for i in 0..16 {
        let (name, key) = signer(i);
        signed = signed.cosign(&name, &key);
    }
    let text = signed.to_text();
    assert!(text.len() <= MAX_CHECKPOINT_BYTES, "{} bytes", text.len());
    for i in 0..16 {
        let (name, key) = signer(i);
        let key = NoteKey::new(name, key.verifying_key());
        assert_eq!(SignedCheckpoint::parse(&text, &origin, &key).as_ref(), Ok(&signed));
        assert_eq!(signed.verify(&key), Ok(()));
    }
}

#[test]
fn names_and_verifier_keys_are_strict() {
    for bad in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{3000}b", "a\tb", &"a".repeat(129)] {
        assert_eq!(bad.parse::<KeyName>(), Err(NoteError::BadName), "{bad:?}");
    }
    for bad in ["", "a\nb", "a\0", &"a".repeat(129)] {
        assert_eq!(Checkpoint::new(bad, 0, RootHash::empty()), Err(NoteError::BadOrigin), "{bad:?}");
    }
    // The key of the examples for signed notes: another name gives another id.
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(vkey.parse::<NoteKey>().unwrap().to_string(), vkey);
    assert!(matches!(vkey.replace("Peter", "Petra").parse::<NoteKey>(), Err(NoteError::KeyId { .. })));
    for bad in [vkey.replace("c74f", "C74F"), vkey.replace("+ARpc", "+AhpC")] {
        assert!(bad.parse::<NoteKey>().is_err(), "{bad}");
    }
    for bad in [vkey.replace("+ARpc", "+ARp"), vkey.replace("c74f", "c74"), "PeterNeumann".to_owned()] {
        assert_eq!(bad.parse::<NoteKey>(), Err(NoteError::BadVerifierKey), "{bad}");
    }
}

proptest! {
    /// Any text is refused or read, and what is read is written back as it was.
    #[test]
    fn foreign_text_does_no_harm(cut in 0usize..400, byte in any::<char>(), noise in ".*") {
        let key = SigningKey::from_seed([3; 32]);
        let name: KeyName = "example.com/log".parse().unwrap();
        let text = Checkpoint::new("o", 7, RootHash::empty()).unwrap().sign(&name, &key).to_text();
        let key = NoteKey::new(name, key.verifying_key());
        let mut chars: Vec<char> = text.chars().collect();
        let position = cut % chars.len();
        let was = std::mem::replace(&mut chars[position], byte);
        let changed: String = chars.into_iter().collect();
        prop_assert_eq!(SignedCheckpoint::parse(&changed, "o", &key).is_ok(), was == byte);
        prop_assert!(SignedCheckpoint::parse(&noise, "o", &key).is_err());
        let _ = noise.parse::<NoteKey>();
    }

    /// Proofs of large logs, at sizes and positions that are drawn.
    #[test]
    fn large_logs_prove_what_they_have(new in 1u64..5000, part in any::<Index>(), at in any::<Index>()) {
        let old = 1 + part.index(new as usize) as u64;
        let log = log(new);
        let index = at.index(old as usize) as u64;
        let (before, after) = ((old, log.root_at(old).unwrap()), (new, log.root()));
        let proof = log.inclusion(index, old).unwrap();
        prop_assert_eq!(verify_inclusion(&before.1, old, index, &entry(index), &proof), Ok(()));
        prop_assert_eq!(verify_consistency(before, after, &log.consistency(old, new).unwrap()), Ok(()));
    }
}
