#![allow(clippy::unwrap_used)]
use super::*;
use crate::digest::Digest;
use crate::prg::SecretStream;
use permutation::shuffle;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;

const SESSION: Digest = Digest::from_bytes([7; 32]);

/// A whole alignment in memory.
struct Run {
    parties: Vec<Alignment>,
    keys: Vec<Vec<String>>,
}

/// What each party ended with, and every letter, by the exchange that it was sent in.
type Ended = (Vec<Vec<u32>>, Vec<Vec<Letter>>);

impl Run {
    fn new(keys: Vec<Vec<String>>, comparator: u32, minimum: u32, seed: u8) -> Self {
        let ring = Ring::new(keys.len() as u32, comparator).unwrap();
        let terms = Terms { session: SESSION, ring, minimum, maximum: 1000 };
        let sizes: Vec<u32> = keys.iter().map(|keys| keys.len() as u32).collect();
        let party = |me| {
            let secret = Secret::new(SESSION, me, [seed + me as u8; 32]);
            Alignment::new(terms, sizes.clone(), secret, NonZeroUsize::new(1 + me as usize % 2).unwrap()).unwrap()
        };
        Self { parties: (0..ring.parties()).map(party).collect(), keys }
    }

    /// Runs it, with letters altered on their way; the error comes with who found it.
    fn run(&self, alter: impl Fn(u32, &mut Letter)) -> Result<Ended, (u32, AlignError)> {
        let (mut letters, mut rows, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=self.parties[0].exchanges() + 1 {
            let mut sent = Vec::new();
            for (me, party) in (0..).zip(&self.parties) {
                let inbox: Vec<Letter> = letters.iter().filter(|letter: &&Letter| letter.to == me).cloned().collect();
                let outcome = party.step(number, &self.keys[me as usize], &inbox, &mut |_, _| {});
                match outcome.map_err(|error| (me, error))? {
                    Outcome::Send(mine) => sent.extend(mine),
                    Outcome::Rows(mine) => rows.push(mine),
                }
            }
            sent.iter_mut().for_each(|letter| alter(number, letter));
            all.push(sent.clone());
            letters = sent;
        }
        Ok((rows, all))
    }

    fn plain(&self) -> Result<Ended, (u32, AlignError)> {
        self.run(|_, _| {})
    }
}

fn named(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("firm {number}")).collect()
}

/// The firms of the common rows, in their order; all parties must agree on them.
fn firms(keys: &[Vec<String>], rows: &[Vec<u32>]) -> Vec<String> {
    let firms = |(keys, rows): (&Vec<String>, &Vec<u32>)| -> Vec<String> {
        rows.iter().map(|row| keys[*row as usize].clone()).collect()
    };
    let all: Vec<Vec<String>> = keys.iter().zip(rows).map(firms).collect();
    assert_eq!(all.len(), keys.len());
    assert!(all.iter().all(|one| *one == all[0]), "the parties have different firms: {all:?}");
    all[0].clone()
}

/// What the sets have in common, in the clear.
fn plain_intersection(keys: &[Vec<String>]) -> BTreeSet<String> {
    let sets = keys.iter().map(|keys| keys.iter().cloned().collect::<BTreeSet<_>>());
    sets.reduce(|a, b| a.intersection(&b).cloned().collect()).unwrap()
}

#[test]
fn any_number_of_parties_finds_what_all_have() {
    for parties in 2..=8 {
        for seed in 0..6 {
            let mut random = SecretStream::new(&[seed; 32], parties.into());
            let mut byte = || {
                let mut byte = [0];
                random.fill(&mut byte);
                u32::from(byte[0])
            };
            let keys: Vec<Vec<String>> = (0..parties)
                .map(|me| {
                    let likely = 150 + byte() % 100;
                    let mut numbers: Vec<u32> = (0..24).filter(|_| byte() < likely).chain([100 + me]).collect();
                    shuffle(&mut numbers, SecretStream::new(&[seed; 32], u64::from(1000 + me)));
                    named(numbers)
                })
                .collect();
            let expected = plain_intersection(&keys);
            let run = Run::new(keys, byte() % parties, 1, seed);
            let what = format!("{parties} parties, seed {seed}");
            match run.plain() {
                Ok((rows, _)) => {
                    let found = firms(&run.keys, &rows);
                    assert_eq!(found.len(), expected.len(), "{what}");
                    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{what}");
                }
                Err((finder, error)) => {
                    assert!(expected.is_empty(), "{what}: {error}");
                    assert_eq!((finder, error.culprit()), (run.parties[0].ring().comparator(), None), "{what}");
                }
            }
        }
    }
}

#[test]
fn extreme_sets() {
    for comparator in 0..3 {
        // One set inside another, a set of one key, equal sets.
        for sets in [
            [named(0..30), named(10..20), named(5..25)],
            [named(0..30), named([12]), named(5..25)],
            [named([3]), named([3]), named([3])],
            [named(0..9), named((0..9).rev()), named(0..9)],
        ] {
            let run = Run::new(sets.to_vec(), comparator, 1, 3);
            let (rows, _) = run.plain().unwrap();
            let found: BTreeSet<String> = firms(&run.keys, &rows).into_iter().collect();
            assert_eq!(found, plain_intersection(&run.keys));
        }
        // Nothing in common, though each two have something in common.
        let run = Run::new(vec![named([1, 2]), named([2, 3]), named([3, 1])], comparator, 1, 3);
        let everyone_near = AlignError::BelowMinimum { minimum: 1, apart: 0 };
        assert_eq!(run.plain().unwrap_err(), (comparator, everyone_near));
        // One party has other keys: it is named.
        let run = Run::new(vec![named([1, 2]), named([2, 3]), named([2, 1])], comparator, 2, 3);
        let apart = if comparator == 1 { 0b101 } else { 0b010 };
        assert_eq!(run.plain().unwrap_err(), (comparator, AlignError::BelowMinimum { minimum: 2, apart }));
    }
}

#[test]
fn the_minimum_is_enforced_and_the_number_is_not_told() {
    let sets = vec![named(0..20), named(10..30)];
    assert_eq!(Run::new(sets.clone(), 1, 10, 0).plain().unwrap().0[0].len(), 10);
    let (finder, error) = Run::new(sets, 1, 11, 0).plain().unwrap_err();
    assert_eq!((finder, &error), (1, &AlignError::BelowMinimum { minimum: 11, apart: 0b1 }));
    assert!(!error.to_string().contains("10"), "{error}");
}

#[test]
fn the_common_order_is_not_that_of_any_party() {
    let run = Run::new(vec![named(0..100), named(0..100), named(0..100)], 0, 1, 9);
    let (rows, _) = run.plain().unwrap();
    let falls = rows[1].windows(2).filter(|two| two[0] > two[1]).count();
    assert!((30..70).contains(&falls), "{falls} falls in {:?}", rows[1]);
    let (again, _) = Run::new(run.keys.clone(), 0, 1, 9).plain().unwrap();
    assert_eq!(rows, again);
    assert_ne!(rows, Run::new(run.keys, 0, 1, 8).plain().unwrap().0);
}

#[test]
fn threads_and_repetition_never_change_a_letter() {
    let run = Run::new(vec![named(0..700), named(100..900)], 0, 1, 1);
    let hop = run.parties[0].first_hop(&run.keys[0], &mut |_, _| {}).unwrap();
    for threads in [1, 2, 3, 7] {
        let secret = Secret::new(SESSION, 0, [1; 32]);
        let threads = NonZeroUsize::new(threads).unwrap();
        let again = Alignment::new(run.parties[0].terms, vec![700, 800], secret, threads).unwrap();
        assert_eq!(again.first_hop(&run.keys[0], &mut |_, _| {}).unwrap(), hop);
    }
}

#[test]
fn progress_reaches_the_end() {
    let run = Run::new(vec![named(0..70), named(10..30)], 0, 1, 1);
    let mut seen = Vec::new();
    run.parties[0].first_hop(&run.keys[0], &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen.last(), Some(&(70, 70)));
}

// What travels

/// What a party that does not compare can compare: lengths of letters, and whether one point meets it twice.
fn met(letters: &[Vec<Letter>], me: u32) -> (Vec<Vec<(u32, usize)>>, usize) {
    let mine = |sent: &Vec<Letter>| -> Vec<Letter> {
        sent.iter().filter(|letter| letter.to == me || letter.from == me).cloned().collect()
    };
    let all: Vec<Vec<Letter>> = letters.iter().map(mine).collect();
    let parties = letters.len() / 2;
    let points: Vec<[u8; 32]> =
        all[..parties - 1].iter().flatten().flat_map(|letter| letter.bytes.as_chunks::<32>().0.to_vec()).collect();
    let repeated = points.len() - points.iter().collect::<HashSet<_>>().len();
    let sizes = |sent: &Vec<Letter>| sent.iter().map(|letter| (letter.from, letter.bytes.len())).collect();
    (all.iter().map(sizes).collect(), repeated)
}

#[test]
fn a_party_that_does_not_compare_cannot_tell_what_others_share() {
    // In both worlds the sets have the same sizes and the same common keys, and party 3 the same keys.
    let common = 0..10;
    let with = |extra: std::ops::Range<u32>| named(common.clone().chain(extra));
    let shared = vec![with(50..70), with(50..70), with(50..70), with(80..85)];
    let apart = vec![with(50..70), with(150..170), with(250..270), with(80..85)];
    for me in 1..4 {
        let worlds = [shared.clone(), apart.clone()].map(|keys| {
            let run = Run::new(keys, 0, 1, 5);
            let (rows, letters) = run.plain().unwrap();
            (met(&letters, me), firms(&run.keys, &rows).len())
        });
        assert_eq!(worlds[0], worlds[1], "party {me}");
        assert_eq!(worlds[0].0.1, 0, "party {me} meets a point twice");
    }
    // The comparator can, and only by the sizes of intersections.
    let pairs = |keys| {
        let (_, letters) = Run::new(keys, 0, 1, 5).plain().unwrap();
        let mut counts = BTreeMap::new();
        for letter in &letters[3] {
            letter.bytes.as_chunks::<12>().0.iter().for_each(|tag| *counts.entry(*tag).or_insert(0) += 1);
        }
        let with = |sets| counts.values().filter(|count| **count == sets).count();
        [with(1), with(2), with(3), with(4)]
    };
    assert_eq!((pairs(shared), pairs(apart)), ([5, 0, 20, 10], [65, 0, 0, 10]));
}

#[test]
fn letters_have_the_documented_sizes() {
    let run = Run::new(vec![named(0..40), named(10..60), named(20..80)], 1, 1, 2);
    let (_, letters) = run.plain().unwrap();
    let sizes: Vec<Vec<(u32, u32, usize)>> = letters
        .iter()
        .map(|sent| sent.iter().map(|letter| (letter.from, letter.to, letter.bytes.len())).collect())
        .collect();
    assert_eq!(
        sizes,
        [
            vec![(0, 1, 40 * 32), (1, 2, 50 * 32), (2, 0, 60 * 32)],
            vec![(0, 1, 60 * 32), (1, 2, 40 * 32), (2, 0, 50 * 32)],
            vec![(0, 1, 50 * 12), (1, 1, 60 * 12), (2, 1, 40 * 12)],
            vec![(1, 2, 80), (1, 0, 80), (1, 1, 80)],
            vec![(0, 2, 80), (1, 0, 80), (2, 1, 80)],
            vec![(0, 2, 80), (1, 0, 80), (2, 1, 80)],
            vec![],
        ]
    );
}

#[test]
fn tags_are_long_enough() {
    assert_eq!(tag_bytes(&[10_000_000; 32]), 12);
    assert_eq!(tag_bytes(&[189_000_000; 2]), 12);
    assert_eq!(tag_bytes(&[190_000_000; 2]), 16);
    assert_eq!(tag_bytes(&[u32::MAX; 32]), 16);
}

// Cheats

/// Alters one letter, and says who finds it and whom the error blames.
fn cheat(number: u32, from: u32, alter: impl Fn(&mut Vec<u8>)) -> (u32, AlignError) {
    let run = Run::new(vec![named(0..40), named(10..60), named(20..80)], 1, 5, 2);
    let tampered = run.run(|at, letter| {
        if at == number && letter.from == from && letter.to != letter.from {
            alter(&mut letter.bytes);
        }
    });
    tampered.unwrap_err()
}

#[test]
fn altered_points_are_refused_with_the_sender_named() {
    use group::BadPoint::{Encoding, Identity};
    // Party 0 does hop 1 of the set of party 2 in exchange 2 and sends it to party 1.
    let (from, owner) = (0, 2);
    let (finder, error) = cheat(2, 0, |bytes| bytes.truncate(60 * 32 - 1));
    assert_eq!((finder, error), (1, AlignError::Length { from, owner, expected: 1920, found: 1919 }));
    let (_, error) = cheat(2, 0, |bytes| bytes.extend([1; 32]));
    assert_eq!(error, AlignError::Length { from, owner, expected: 1920, found: 1952 });
    let (_, error) = cheat(2, 0, Vec::clear);
    assert_eq!(error, AlignError::Length { from, owner, expected: 1920, found: 0 });
    let (finder, error) = cheat(2, 0, |bytes| bytes.copy_within(0..32, 59 * 32));
    assert_eq!((finder, error), (1, AlignError::Repeated { from, owner, first: 0, second: 59 }));
    let (_, error) = cheat(2, 0, |bytes| bytes[32 * 7..32 * 8].fill(0));
    assert_eq!(error, AlignError::Point { from, owner, problem: Identity { index: 7 } });
    // A negative field element, one that is not reduced, and one that is no point.
    for (first, rest, last) in [(1, 0, 0), (0xee, 0xff, 0x7f), (0xff, 0xff, 0xff)] {
        let (_, error) = cheat(2, 0, |bytes| {
            bytes[32 * 3..32 * 4].fill(rest);
            bytes[32 * 3] = first;
            bytes[32 * 4 - 1] = last;
        });
        assert_eq!(error, AlignError::Point { from, owner, problem: Encoding { index: 3 } });
        assert_eq!(error.culprit(), Some(0));
    }
}

#[test]
fn altered_tags_and_positions_are_refused_with_the_sender_named() {
    // Party 0 does the last hop of the set of party 1.
    let (finder, error) = cheat(3, 0, |bytes| bytes.truncate(600 - 12));
    assert_eq!((finder, error), (1, AlignError::Length { from: 0, owner: 1, expected: 600, found: 588 }));
    let (_, error) = cheat(3, 0, |bytes| bytes.copy_within(12..24, 24));
    assert_eq!(error, AlignError::Repeated { from: 0, owner: 1, first: 1, second: 2 });
    // Party 2 undoes its hop of the set of party 1 in exchange 6 and sends it back to party 1; size 50, common 20.
    let (from, owner) = (2, 1);
    let (finder, error) = cheat(6, 2, |bytes| bytes[..4].copy_from_slice(&50u32.to_le_bytes()));
    assert_eq!((finder, error), (1, AlignError::PositionRange { from, owner, position: 50, size: 50 }));
    let (_, error) = cheat(6, 2, |bytes| bytes[..4].fill(0xff));
    assert_eq!(error, AlignError::PositionRange { from, owner, position: u32::MAX, size: 50 });
    let (_, error) = cheat(6, 2, |bytes| bytes.copy_within(0..4, 40));
    assert!(matches!(error, AlignError::PositionRepeated { from: 2, owner: 1, .. }), "{error}");
    for found in [79, 16, 164] {
        let (_, error) = cheat(6, 2, |bytes| bytes.resize(found, 0));
        assert_eq!(error, AlignError::PositionBytes { from, owner, found, minimum: 5, maximum: 40 });
        assert_eq!(error.culprit(), Some(2));
    }
    // The comparator, party 1, is named where it sent the list.
    let (finder, error) = cheat(4, 1, |bytes| bytes.truncate(3));
    assert_eq!((finder, error.culprit()), (0, Some(1)));
}

#[test]
fn letters_that_do_not_belong_are_refused() {
    let run = Run::new(vec![named(0..4), named(0..4), named(0..4)], 0, 1, 2);
    let letter = |from| Letter { from, to: 0, bytes: vec![0; 128] };
    let step = |number, inbox: &[Letter]| run.parties[0].step(number, &run.keys[0], inbox, &mut |_, _| {}).unwrap_err();
    assert_eq!(step(1, &[letter(1)]), AlignError::LetterUnexpected { from: 1 });
    assert_eq!(step(2, &[]), AlignError::LetterMissing { from: 2 });
    assert_eq!(step(2, &[letter(2), letter(1)]), AlignError::LetterUnexpected { from: 1 });
    assert_eq!(step(2, &[letter(2), letter(2)]), AlignError::LetterUnexpected { from: 2 });
    assert_eq!(step(4, &[letter(0), letter(2)]), AlignError::LetterMissing { from: 1 });
    assert_eq!(step(0, &[]), AlignError::NoSuchStep { number: 0, last: 7 });
    assert_eq!(step(8, &[]), AlignError::NoSuchStep { number: 8, last: 7 });
}

#[test]
fn own_mistakes_are_our_own() {
    let run = Run::new(vec![named(0..4), named(0..4)], 0, 1, 2);
    let first = |keys: &[String]| run.parties[0].first_hop(keys, &mut |_, _| {}).unwrap_err();
    assert_eq!(first(&named(0..5)), AlignError::OwnSize { announced: 4, found: 5 });
    let error = first(&named([0, 1, 2, 1]));
    assert!(matches!(error, AlignError::OwnDuplicate { row: 2 | 4 }), "{error}");
    assert_eq!(run.parties[1].compare(&[]).unwrap_err(), AlignError::NotOurStep { me: 1, owner: 1 });
    let own = run.parties[1].hop(1, &[], &mut |_, _| {}).unwrap_err();
    assert_eq!(own, AlignError::NotOurStep { me: 1, owner: 1 });
    let none = run.parties[1].unshuffle(2, &[]).unwrap_err();
    assert_eq!(none, AlignError::NoSuchParty { parties: 2, found: 2 });
}

#[test]
fn terms_are_enforced() {
    assert_eq!(Ring::new(1, 0).unwrap_err(), AlignError::Parties { found: 1 });
    assert_eq!(Ring::new(33, 0).unwrap_err(), AlignError::Parties { found: 33 });
    assert_eq!(Ring::new(3, 3).unwrap_err(), AlignError::NoSuchParty { parties: 3, found: 3 });
    assert!(serde_json::from_str::<Ring>(r#"{"parties": 3, "comparator": 3}"#).is_err());
    let terms = Terms { session: SESSION, ring: Ring::new(2, 0).unwrap(), minimum: 10, maximum: 100 };
    let sized = |me, sizes: &[u32]| {
        Alignment::new(terms, sizes.to_vec(), Secret::new(SESSION, me, [0; 32]), NonZeroUsize::MIN).unwrap_err()
    };
    let announced = |party, found| AlignError::AnnouncedSize { party, found, minimum: 10, maximum: 100 };
    assert_eq!(sized(0, &[50, 101]), announced(1, 101));
    assert_eq!(sized(0, &[9, 50]), announced(0, 9));
    assert_eq!(sized(0, &[50]), AlignError::Sizes { parties: 2, found: 1 });
    assert_eq!(sized(2, &[50, 50]), AlignError::NoSuchParty { parties: 2, found: 2 });
}

#[test]
fn the_table_of_steps_fits_together() {
    for parties in 2..=MAX_PARTIES {
        for comparator in [0, parties / 2, parties - 1] {
            let ring = Ring::new(parties, comparator).unwrap();
            for number in 1..=ring.exchanges() {
                for me in 0..parties {
                    // Whoever gets a letter about a set expects it from its sender in the next step.
                    let next = |to| ring.step(number + 1, to).unwrap();
                    match ring.step(number, me).unwrap() {
                        Step::FirstHop { to } => {
                            let hopping =
                                matches!(next(to), Step::Hop { owner, from, .. } if (owner, from) == (me, me));
                            assert!(hopping);
                        }
                        Step::Hop { owner, to, .. } => match next(to) {
                            Step::Hop { owner: theirs, from, .. } => assert_eq!((theirs, from), (owner, me)),
                            step => assert_eq!((step, to, ring.last_hopper(owner)), (Step::Compare, comparator, me)),
                        },
                        Step::Compare => {
                            for owner in 0..parties {
                                let step = next(ring.last_hopper(owner));
                                let back = matches!(step, Step::Unshuffle { owner: theirs, from, .. } if (theirs, from) == (owner, me));
                                assert!(back, "{step:?}");
                            }
                        }
                        Step::Unshuffle { owner, to, .. } => match next(to) {
                            Step::Unshuffle { owner: theirs, from, .. } => assert_eq!((theirs, from), (owner, me)),
                            step => assert_eq!((step, to), (Step::Finish { from: me }, owner)),
                        },
                        Step::Wait => assert!(me != comparator && number == parties + 1),
                        Step::Finish { .. } => panic!("too early"),
                    }
                }
            }
        }
    }
}

// Commitments

#[test]
fn commitments_open_to_their_keys_and_to_nothing_else() {
    let keys = named(0..37);
    let secret = Secret::new(SESSION, 1, [4; 32]);
    let commitment = secret.commit(&keys).unwrap();
    assert_eq!(commitment.size, 37);
    let mut other_order = keys.clone();
    other_order.reverse();
    assert_eq!(secret.commit(&other_order).unwrap(), commitment);
    for (me, seed) in [(1, 5), (0, 4)] {
        assert_ne!(Secret::new(SESSION, me, [seed; 32]).commit(&keys).unwrap(), commitment);
    }

    let salt = secret.expose_salt();
    commitment.verify_all(&SESSION, 1, &salt, &other_order).unwrap();
    let refused = |party, salt, keys: &[String]| commitment.verify_all(&SESSION, party, salt, keys).unwrap_err();
    assert_eq!(refused(1, &salt, &keys[1..]), CommitmentError::Size { committed: 37, shown: 36 });
    assert_eq!(refused(1, &salt, &named(1..38)), CommitmentError::Keys);
    assert_eq!(refused(0, &salt, &keys), CommitmentError::Keys);
    assert_eq!(refused(1, &SESSION, &keys), CommitmentError::Keys);

    for key in &keys {
        let opening = secret.open(&keys, key).unwrap();
        commitment.verify_one(&SESSION, 1, key, &opening).unwrap();
        assert!(commitment.verify_one(&SESSION, 1, "firm 37", &opening).is_err());
        assert!(commitment.verify_one(&SESSION, 2, key, &opening).is_err());
        let moved = KeyOpening { index: (opening.index + 1) % 37, ..opening.clone() };
        assert!(commitment.verify_one(&SESSION, 1, key, &moved).is_err());
    }
    assert_eq!(secret.open(&keys, "firm 37").unwrap_err(), AlignError::NoSuchKey);
    assert_eq!(secret.commit(&named([5, 6, 7, 6])).unwrap_err(), AlignError::OwnDuplicate { row: 4 });
}

#[test]
fn secrets_and_letters_do_not_show_themselves() {
    let secret = Secret::new(SESSION, 1, [0xab; 32]);
    let text = format!("{secret:?} {:?}", Letter { from: 0, to: 1, bytes: vec![0xab; 3] });
    assert!(!text.contains("171") && !text.to_lowercase().contains("abab"), "{text}");
}
