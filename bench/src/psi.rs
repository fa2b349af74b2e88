//! Alignment: CPU time and bytes for each firm, of the arithmetic and of whole alignments.

use crate::cpu::{Cost, measured, summary};
use crate::rows::Rows;
use anyhow::{Context, Result, ensure};
use haihe_models::firm::{KeyKind, UnifiedSocialCreditCode, read_keys};
use haihe_privacy::Digest;
use haihe_privacy::align::group::{Engine, Exponent};
use haihe_privacy::align::{Aligner as _, Alignment, Letter, Outcome, Ring, Secret, Terms};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

/// Two parties, half of each side's items in common: microseconds of CPU for an item of a side, and bytes of both sides for an
/// item of one. Measured on a machine of this class, in other runs.
const REFERENCES: [(&str, f64, f64); 4] = [
    ("SecretFlow spu 0.9.4, ECDH curve25519 (another run)", 17.0, 76.0),
    ("KKRT (another run)", 5.0, 115.0),
    ("RR22 (another run)", 2.3, 33.0),
    ("RR22, low communication (another run)", 3.1, 21.0),
];

const SESSION: Digest = Digest::from_bytes([1; 32]);

/// Runs everything and publishes `psi.json`. With `python`, an interpreter that has the package `spu`, its intersections run
/// in turn with ours.
pub fn run(quick: bool, python: Option<&Path>) -> Result<()> {
    let mut rows = Rows::default();
    let cores = std::thread::available_parallelism()?;
    let mut threads = vec![NonZeroUsize::MIN];
    threads.extend((cores > NonZeroUsize::MIN).then_some(cores));
    arithmetic(&mut rows, &threads, 20_000, if quick { 3 } else { 7 })?;
    let mut cases = vec![(2, 100_000, if quick { 1 } else { 5 }), (3, 100_000, if quick { 1 } else { 3 })];
    cases.extend((!quick).then_some((2, 1_000_000, 2)));
    for (parties, size, repetitions) in cases {
        let python = python.filter(|_| parties == 2);
        whole(&mut rows, (parties, size), &threads, repetitions, python)?;
    }
    for (name, microseconds, bytes) in REFERENCES {
        rows.push(format!("{name}: cpu per item and side"), &[], microseconds, "us");
        rows.push(format!("{name}: bytes per item"), &[], bytes, "B");
    }
    rows.publish("psi")
}

/// The engines of the group: items become points, and points are raised.
fn arithmetic(rows: &mut Rows, threads: &[NonZeroUsize], items: usize, repetitions: usize) -> Result<()> {
    let codes = codes(0..items as u32)?;
    let exponent = Exponent::derive(&[2; 32]);
    for engine in Engine::available() {
        for &threads in threads {
            let (mut hashed, mut raised) = (Vec::new(), Vec::new());
            let mut points = Vec::new();
            for _ in 0..repetitions {
                hashed.push(measured(|| engine.hash_and_raise(&SESSION, &codes, &exponent, threads, &mut points)).1);
                let (result, cost) = measured(|| engine.raise(&mut points, &exponent, threads));
                result?;
                raised.push(cost);
            }
            let params = || [("engine", json!(engine.name())), ("threads", json!(threads.get())), ("n", json!(items))];
            for (name, costs) in [("hash and raise", hashed), ("raise", raised)] {
                let of = |cost: &Cost| cost.cpu * 1e6 / items as f64;
                let (least, median) = summary(costs.iter().map(of));
                rows.push_for(format!("{name}, cpu per item"), params(), median, "us");
                rows.push_for(format!("{name}, cpu per item, least"), params(), least, "us");
            }
        }
    }
    Ok(())
}

/// What an alignment took, all parties together.
struct Aligned {
    cost: Cost,
    /// Bytes of letters to others.
    bytes: u64,
}

/// Whole alignments, and what goes before them.
fn whole(
    rows: &mut Rows,
    (parties, size): (u32, usize),
    threads: &[NonZeroUsize],
    repetitions: usize,
    python: Option<&Path>,
) -> Result<()> {
    println!("{parties} parties with {size} codes each");
    let sets = sets(parties, size)?;
    let each = parties as usize * size;
    let (mut ours, mut theirs): (Vec<Vec<Aligned>>, Vec<_>) =
        (threads.iter().map(|_| Vec::new()).collect(), Vec::new());
    let (mut reading, mut committing) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        for (threads, ours) in threads.iter().zip(&mut ours) {
            ours.push(align(&sets, size / 2, *threads)?);
        }
        if let Some(python) = python {
            theirs.push(reference(python, &sets)?);
        }
        let (read, cost) = measured(|| read_keys(KeyKind::UnifiedSocialCreditCode, &sets[0]));
        reading.push(cost.cpu);
        let keys = read.map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let (committed, cost) = measured(|| Secret::new(SESSION, 0, [1; 32]).commit(&keys));
        committed?;
        committing.push(cost.cpu);
    }
    let engine = Engine::best().name();
    let of = |threads: usize| -> [(&'static str, Value); 4] {
        [("parties", json!(parties)), ("n", json!(size)), ("engine", json!(engine)), ("threads", json!(threads))]
    };
    for (threads, ours) in threads.iter().zip(&ours) {
        let (least, median) = summary(ours.iter().map(|a| a.cost.cpu * 1e6 / each as f64));
        rows.push_for("alignment, cpu per item and side", of(threads.get()), median, "us");
        rows.push_for("alignment, cpu per item and side, least", of(threads.get()), least, "us");
        rows.push_for("alignment, wall", of(threads.get()), summary(ours.iter().map(|a| a.cost.wall)).1, "s");
    }
    let bytes = ours[0].first().context("at least one run")?.bytes as f64;
    rows.push_for("alignment, bytes of all parties per item of one", of(1), bytes / size as f64, "B");
    rows.push_for("alignment, bytes per item and side", of(1), bytes / each as f64, "B");
    rows.push_for("codes read, cpu per item", of(1), summary(reading).1 * 1e6 / size as f64, "us");
    rows.push_for("input commitment, cpu per item", of(1), summary(committing).1 * 1e6 / size as f64, "us");
    if !theirs.is_empty() {
        let params = || [("parties", json!(parties)), ("n", json!(size))];
        let (least, median) = summary(theirs.iter().map(|(cpu, _)| cpu * 1e6 / each as f64));
        let own = summary(ours.last().into_iter().flatten().map(|a| a.cost.cpu * 1e6 / each as f64)).1;
        rows.push_for("spu ECDH curve25519, same run, cpu per item and side", params(), median, "us");
        rows.push_for("spu ECDH curve25519, same run, cpu per item and side, least", params(), least, "us");
        rows.push_for("spu ECDH curve25519, same run, wall", params(), summary(theirs.iter().map(|t| t.1)).1, "s");
        rows.push_for("spu ECDH curve25519, same run / ours on all cores", params(), median / own, "times");
    }
    Ok(())
}

/// One alignment, party after party; checks how many keys it finds.
fn align(sets: &[Vec<String>], common: usize, threads: NonZeroUsize) -> Result<Aligned> {
    let size = sets[0].len() as u32;
    let terms = Terms { session: SESSION, ring: Ring::new(sets.len() as u32, 0)?, minimum: 1, maximum: size };
    let ((bytes, found), cost) = {
        let (result, cost) = measured(|| -> Result<(u64, Vec<usize>)> {
            let party = |me: u32| {
                Alignment::new(terms, vec![size; sets.len()], Secret::new(SESSION, me, [me as u8 + 1; 32]), threads)
            };
            let parties = (0..sets.len() as u32).map(party).collect::<Result<Vec<_>, _>>()?;
            let (mut letters, mut bytes, mut found): (Vec<Letter>, u64, _) = (Vec::new(), 0, Vec::new());
            for number in 1..=terms.ring.exchanges() + 1 {
                let mut sent = Vec::new();
                for (me, party) in (0..).zip(&parties) {
                    let (inbox, rest): (Vec<_>, Vec<_>) = letters.into_iter().partition(|l: &Letter| l.to == me);
                    letters = rest;
                    match party.step(number, &sets[me as usize], &inbox, &mut |_, _| {})? {
                        Outcome::Send(more) => sent.extend(more),
                        Outcome::Rows(rows) => found.push(rows.len()),
                    }
                }
                bytes += sent.iter().filter(|l| l.to != l.from).map(|l| l.bytes.len() as u64).sum::<u64>();
                letters = sent;
            }
            Ok((bytes, found))
        });
        (result?, cost)
    };
    ensure!(found.iter().all(|rows| *rows == common), "found {found:?} of {common} common codes");
    Ok(Aligned { cost, bytes })
}

/// Sets of which each has half of its codes in common with all others, in different orders.
fn sets(parties: u32, size: usize) -> Result<Vec<Vec<String>>> {
    let (size, half) = (size as u32, size as u32 / 2);
    let of = |party: u32| {
        let mut set = codes(0..half)?;
        set.extend(codes(half + party * size..half + party * size + size - half)?);
        let places = set.len();
        set.rotate_left(places * party as usize / parties as usize);
        Ok(set)
    };
    (0..parties).map(of).collect()
}

fn codes(numbers: std::ops::Range<u32>) -> Result<Vec<String>> {
    numbers.map(|n| Ok(UnifiedSocialCreditCode::synthetic(130_000, n)?.as_str().to_owned())).collect()
}

/// CPU seconds of both sides of the reference, and its seconds on the wall.
fn reference(python: &Path, sets: &[Vec<String>]) -> Result<(f64, f64)> {
    let folder = std::env::temp_dir().join(format!("haihe-bench-psi-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for (side, set) in sets.iter().enumerate() {
        std::fs::write(folder.join(format!("{side}.csv")), format!("id\n{}\n", set.join("\n")))?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/psi.py");
    let output = Command::new(python).arg(script).arg(&folder).output();
    std::fs::remove_dir_all(&folder)?;
    let output = output.with_context(|| format!("cannot start {}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = said.lines().rev().find_map(|line| line.strip_prefix("cpu, wall, common: ")).map(str::to_owned);
    let errors = || String::from_utf8_lossy(&output.stderr).into_owned();
    let numbers = numbers.with_context(errors)?;
    let numbers: Vec<f64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(numbers.get(2) == Some(&(sets[0].len() as f64 / 2.0)), "the reference found {numbers:?}");
    Ok((numbers[0], numbers[1]))
}
