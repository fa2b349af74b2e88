//! Letters that are not what they should be: whoever receives one says whose it is, or a job ends as if nothing had been.
//!
//! A dishonest party signs and seals its own letters, so that everything after the seal is its choice. What it cannot be caught
//! at is listed in `docs/rules.md`.

use std::collections::BTreeMap;

use haihe_protocol::vertical::{Letter, Outbox};

use super::*;

/// A response of products: number of columns, and bytes.
pub(super) fn products(letter: &[u8]) -> (u32, Vec<u8>) {
    postcard::from_bytes(letter).expect("products")
}

/// Decrypted products.
pub(super) fn opened(letter: &[u8]) -> Vec<u64> {
    postcard::from_bytes(letter).expect("values")
}

/// As letters are written.
pub(super) fn written<T: serde::Serialize>(letter: &T) -> Vec<u8> {
    postcard::to_allocvec(letter).expect("plain data")
}

/// What is done to a letter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// It is not there.
    Removed,
    /// It is there twice.
    Doubled,
    /// Nothing is in it.
    Empty,
    /// Its end is missing.
    Cut,
    /// Something is behind its end.
    Longer,
    /// Another letter of the same job, of this party or another.
    Other,
    /// As long as before: ones, zeros, noise.
    Ones,
    Zeros,
    Noise,
    /// One bit.
    Bit,
}

/// Whatever the letter, these must be noticed by whoever receives it.
const NOTICED: [Change; 5] = [Change::Removed, Change::Doubled, Change::Empty, Change::Cut, Change::Longer];
const TRIED: [Change; 5] = [Change::Other, Change::Ones, Change::Zeros, Change::Noise, Change::Bit];

impl Change {
    fn apply(self, letters: &mut Vec<Letter>, at: usize, other: &[u8], seed: u64) {
        let body = &mut letters[at].body;
        match self {
            Change::Removed => {
                letters.remove(at);
            }
            Change::Doubled => letters.push(letters[at].clone()),
            Change::Empty => body.clear(),
            Change::Cut => body.truncate(body.len() - 1 - (mix(seed) as usize % body.len().min(40))),
            Change::Longer => body.extend(std::iter::repeat_n(0, 1 + mix(seed) as usize % 9)),
            Change::Other => *body = other.to_vec(),
            Change::Ones => body.fill(0xff),
            Change::Zeros => body.fill(0),
            Change::Noise => body.iter_mut().zip(0..).for_each(|(b, i)| *b = mix(seed ^ i) as u8),
            Change::Bit => {
                let bit = mix(seed) as usize % (8 * body.len());
                body[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

/// A letter of an honest run.
struct Sent {
    exchange: u64,
    from: usize,
    at: usize,
    phase: String,
    body: Vec<u8>,
}

struct Scene {
    spec: JobSpec,
    town: Vec<(PartyId, Firms)>,
    sent: Vec<Sent>,
    result: String,
}

fn scene(holders: u64, encoding: &str) -> Scene {
    let text = job(holders, 2, encoding, "").replace(
        "[vertical.alignment]",
        "[vertical.regression]\nmax_passes = 2\n[vertical.woe]\nmin_iv = 0\nfine_bins = 4\n[vertical.alignment]",
    );
    let (spec, town) = (spec(&text), town(holders, 2, 400));
    let mut sent = Vec::new();
    let honest = run_with(&spec, &town, None, 21, &mut |exchange, from, outbox| {
        let phase = &outbox.announcement.phase;
        sent.extend(outbox.letters.iter().enumerate().map(|(at, letter)| Sent {
            exchange,
            from,
            at,
            phase: phase.clone(),
            body: letter.body.clone(),
        }));
    });
    let result = honest.map_err(|(_, _, e)| e).expect("an honest run").result_json;
    Scene { spec, town, sent, result }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The receiver refuses it and names its sender.
    Named,
    /// It stands in a sum: one of the group.
    Group,
    /// Later, or by the dishonest party itself.
    Later,
    /// Fewer firms are in common than the job asks for.
    TooFew,
    /// The job ends as without it.
    Unchanged,
    /// The job ends otherwise, and nobody knows.
    Unnoticed,
}

impl Scene {
    fn tried(&self, sent: &Sent, change: Change, seed: u64) -> Outcome {
        let other = &self.sent[mix(seed ^ 0xABC) as usize % self.sent.len()].body;
        let outcome = run_with(&self.spec, &self.town, None, 21, &mut |exchange, from, outbox: &mut Outbox| {
            if (exchange, from) == (sent.exchange, sent.from) {
                change.apply(&mut outbox.letters, sent.at, other, seed);
            }
        });
        let cheat = &self.town[sent.from].0;
        let told = format!("{change:?}, seed {seed}, exchange {}, {cheat}: {}", sent.exchange, sent.phase);
        match outcome {
            Ok(run) if run.result_json == self.result => Outcome::Unchanged,
            Ok(_) => Outcome::Unnoticed,
            Err((_, by, _)) if by == sent.from => Outcome::Later,
            Err((exchange, by, error)) => match &error.fault {
                Fault::Participant(named) if named == cheat && exchange == sent.exchange + 1 => Outcome::Named,
                Fault::Participant(named) if named == cheat => Outcome::Later,
                Fault::CoordinatorOrContributor if error.reason.contains(cheat.as_str()) => Outcome::Group,
                // Where the lie cannot be seen nobody is named, or an honest party names itself.
                Fault::Job if error.reason.contains("fewer than") => Outcome::TooFew,
                Fault::Participant(named) if *named == self.town[by].0 && exchange > sent.exchange + 1 => {
                    Outcome::Later
                }
                _ => panic!("{told}: {} says {error}, fault {:?}", self.town[by].0, error.fault),
            },
        }
    }

    /// Every letter, changed in every way.
    fn all(&self, seed: u64) -> BTreeMap<(String, Outcome), usize> {
        let cases: Vec<(&Sent, Change)> =
            self.sent.iter().flat_map(|sent| NOTICED.iter().chain(&TRIED).map(move |change| (sent, *change))).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = cases.len().div_ceil(threads);
        let outcomes: Vec<(String, Change, Outcome)> = std::thread::scope(|scope| {
            let parts: Vec<_> = cases
                .chunks(share)
                .enumerate()
                .map(|(part, cases)| {
                    scope.spawn(move || {
                        let one = |(i, (sent, change)): (usize, &(&Sent, Change))| {
                            let outcome = self.tried(sent, *change, seed ^ mix((part * share + i) as u64));
                            (sent.phase.clone(), *change, outcome)
                        };
                        cases.iter().enumerate().map(one).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts.into_iter().flat_map(|p| p.join().expect("no panic, whatever the letter")).collect()
        });
        let mut counts = BTreeMap::new();
        for (phase, change, outcome) in outcomes {
            if NOTICED.contains(&change) {
                // A list of common firms without its last ones is noticed when all compare how many there are.
                let shorter = change == Change::Cut && phase.starts_with("align ") && outcome == Outcome::Later;
                assert!(
                    shorter || matches!(outcome, Outcome::Named | Outcome::Group),
                    "{change:?} of a letter of {phase}: {outcome:?}, seed {seed}"
                );
            }
            let kind: String = phase.chars().filter(|c| !c.is_ascii_digit()).collect();
            *counts.entry((kind, outcome)).or_default() += 1;
        }
        counts
    }
}

#[test]
fn changed_letters_name_their_sender_or_change_nothing_or_cannot_be_seen() {
    // Every refusal is a `StepError`, which says whose fault it is; nothing panics.
    let seed = 2026;
    for (holders, encoding) in [(2, "woe"), (1, "standardise")] {
        let counts = scene(holders, encoding).all(seed);
        for ((phase, outcome), count) in &counts {
            println!("{holders} holders, {encoding}, {phase}: {outcome:?} {count}");
        }
        let of = |wanted: Outcome| counts.iter().filter(|((_, o), _)| *o == wanted).map(|(_, n)| n).sum::<usize>();
        assert!(of(Outcome::Named) > 2 * of(Outcome::Unnoticed), "{counts:?}");
        // What cannot be seen: other points, another order, other masked numbers, noise in a ciphertext.
        for (phase, outcome) in counts.keys() {
            let silent = ["align", "product", "direction", "scores", "counts", "aligned", "loss", "bins", "review"];
            assert!(*outcome != Outcome::Unnoticed || silent.iter().any(|s| phase.contains(s)), "{phase}");
        }
    }
}
