//! align: whole alignments, what each letter hashes to, and letters that are altered on their way.

use super::{Answer, array, bytes, number, read, tampered, words};
use haihe_privacy::{Digest, align::*};
use serde_json::{Value, json};
use std::num::NonZeroUsize;

pub(super) fn align(input: &Value) -> Answer {
    let keys: Vec<Vec<String>> = read(&input["keys"])?;
    let terms: Terms = read(&input["terms"])?;
    let sizes: Vec<u32> = keys.iter().map(|keys| keys.len() as u32).collect();
    let secret = |me: u32| Secret::new(terms.session, me, array(&input["seeds"][me as usize]));
    let (mut commitments, mut parties) = (Vec::new(), Vec::new());
    for (me, keys) in (0..).zip(&keys) {
        commitments.push(secret(me).commit(keys).map_err(words)?);
        parties.push(Alignment::new(terms, sizes.clone(), secret(me), NonZeroUsize::MIN).map_err(words)?);
    }
    let (mut letters, mut digests, mut rows) = (Vec::<Letter>::new(), Vec::new(), Vec::new());
    for step in 1..=terms.ring.exchanges() + 1 {
        let mut sent = Vec::new();
        for (me, party) in (0..).zip(&parties) {
            let inbox: Vec<Letter> = letters.iter().filter(|letter| letter.to == me).cloned().collect();
            let outcome = party.step(step, &keys[me as usize], &inbox, &mut |_, _| {});
            match outcome.map_err(|error| format!("step {step} of party {me}: {error}"))? {
                Outcome::Send(mine) => sent.extend(mine),
                Outcome::Rows(mine) => rows.push(mine),
            }
        }
        alter(&input["altered"], step, &mut sent);
        let digest = |letter: &Letter| json!([letter.from, letter.to, Digest::of_content(&letter.bytes)]);
        digests.push(sent.iter().map(digest).collect::<Vec<_>>());
        letters = sent;
    }
    Ok(json!({"commitments": commitments, "letters_by_exchange": digests, "rows": rows}))
}

/// Puts other bytes into one letter, from a place on; or cuts it there, if there are none.
fn alter(how: &Value, step: u32, sent: &mut [Letter]) {
    if how.is_null() || how["exchange"] != step {
        return;
    }
    let (at, put): (usize, Vec<u8>) = (number(&how["at"]), bytes(&how["put"]));
    let letter = sent.iter_mut().find(|letter| how["from"] == letter.from).unwrap();
    if put.is_empty() {
        letter.bytes.truncate(at);
    } else {
        letter.bytes[at..at + put.len()].copy_from_slice(&put);
    }
}

pub(super) fn align_inputs() -> Vec<(&'static str, Value)> {
    let firms =
        |numbers: &[u32]| -> Vec<String> { numbers.iter().map(|n| format!("9113000000000000{n:02}")).collect() };
    let case = |keys: Vec<Vec<String>>, comparator: u32, minimum: u32| {
        let seeds: Vec<String> = (1..=keys.len()).map(|party| format!("{party:02x}").repeat(32)).collect();
        let ring = json!({"parties": keys.len(), "comparator": comparator});
        let terms = json!({"session": "2a".repeat(32), "ring": ring, "minimum": minimum, "maximum": 6});
        json!({"terms": terms, "seeds": seeds, "keys": keys, "altered": null})
    };
    let two = vec![firms(&[1, 2, 3, 4]), firms(&[5, 3, 1])];
    let three = case(vec![firms(&[1, 2, 3, 4]), firms(&[4, 5, 1, 2, 7]), firms(&[8, 2, 1])], 0, 2);
    let altered = |exchange: u32, from: u32, at: usize, put: &str| {
        let how = json!({"exchange": exchange, "from": from, "at": at, "put": put});
        tampered(three.clone(), &[("/altered", how)])
    };
    // Party 2 gets the set of party 0 from party 1 in exchange 2; party 0 gets its positions from party 1 in exchange 6.
    let negative = format!("01{}", "00".repeat(31));
    let not_reduced = format!("f1{}7f", "ff".repeat(30));
    vec![
        ("two parties", case(two.clone(), 0, 1)),
        ("another comparator", case(two.clone(), 1, 1)),
        ("three parties", three.clone()),
        ("keys of any text", case(vec![vec!["a".into(), "中".into()], vec![" ".into(), "中".into()]], 0, 1)),
        ("fewer than the minimum", case(two.clone(), 0, 3)),
        ("a set below the minimum", case(two.clone(), 0, 4)),
        ("a set above the maximum", case(vec![firms(&[1]), firms(&[1, 2, 3, 4, 5, 6, 7])], 0, 1)),
        ("a key twice", case(vec![firms(&[1, 2, 1]), firms(&[1])], 0, 1)),
        ("one party", case(vec![firms(&[1])], 0, 1)),
        ("a comparator that is not there", case(two, 2, 1)),
        ("a set cut short", altered(2, 1, 127, "")),
        ("a negative point", altered(2, 1, 32, &negative)),
        ("a point that is not reduced", altered(2, 1, 96, &not_reduced)),
        ("the identity", altered(2, 1, 0, &"00".repeat(32))),
        ("a point twice", altered(2, 1, 0, &format!("{}{}", "02".repeat(32), "02".repeat(32)))),
        ("tags cut short", altered(3, 2, 36, "")),
        ("a tag twice", altered(3, 2, 12, &"00".repeat(24))),
        ("half a position", altered(6, 1, 7, "")),
        ("too few positions", altered(6, 1, 4, "")),
        ("a position that is not there", altered(6, 1, 0, "04000000")),
        ("a position twice", altered(6, 1, 0, "0300000003000000")),
    ]
}
