//! What dropouts cost the coordinator: its time for one round (adding, decoding the key, opening), on one thread, and the bytes of the round, with everybody there and with
//! three of ten parties gone.
//!
//! `cargo run --release -p haihe-privacy --example recovery`; the rows are kept in `target/bench/recovery.json`.

use std::{collections::BTreeMap, error::Error, fs, hint::black_box, path::Path, time::Instant};

use haihe_privacy::{
    digest::Digest,
    seal,
    secure_sum::{
        Adder, Adversary, CommitteeRule, KeyShare, Scheme, ShareSum, SumContext, SumParameters, lattice::Lattice,
    },
};
use serde::Serialize;

const DIMENSION: usize = 100_000;
const BITS: u32 = 16;
const REPETITIONS: usize = 101;

/// One row, as the benchmarks write them.
#[derive(Serialize)]
struct Row {
    name: String,
    params: BTreeMap<&'static str, u64>,
    value: f64,
    unit: &'static str,
}

/// Who is there: how many contribute, and how many of the committee answer.
struct Round {
    name: &'static str,
    contributions: usize,
    answers: usize,
}

/// Position in the committee, and what came from there.
type Answer = (u32, Vec<u8>);

fn context() -> SumContext {
    SumContext { session: Digest::from_bytes([7; 32]), round: 1 }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for parties in [10, 100] {
        measure(parties, &mut rows)?;
    }
    for row in &rows {
        let params: Vec<String> = row.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        println!("{:<58} {:<60} {:>14.3} {}", row.name, params.join(" "), row.value, row.unit);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("recovery.json"), serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

fn measure(parties: u32, rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let parameters = SumParameters::choose(DIMENSION, parties, BITS)?;
    let rule = CommitteeRule::for_parties(parties, Adversary::Malicious)?;
    let (all, members) = (parties as usize, rule.members() as usize);
    // A committee of 64 bears 16 that are missing, a quarter.
    let answering = members - (members * 3 / 10).min(rule.may_be_missing() as usize);
    let rounds = [
        Round { name: "everybody", contributions: all, answers: members },
        Round { name: "30 % gone before they contribute", contributions: all * 7 / 10, answers: answering },
        Round { name: "30 % gone before they answer", contributions: all, answers: answering },
    ];
    let values = vec![1u32; parameters.values_per_chunk()];
    let mut ciphertexts = Vec::with_capacity(all);
    let mut shares = Vec::with_capacity(all);
    for party in 0..parties {
        let mut contributor = Lattice.contributor(&parameters, &context(), [party as u8; 32]);
        let mut bytes = Vec::with_capacity(parameters.ciphertext_bytes());
        for index in 0..parameters.chunks() {
            contributor.encrypt_chunk(index, &values[..parameters.chunk_values(index).len()], &mut bytes)?;
        }
        ciphertexts.push(bytes);
        shares.push(contributor.into_key_shares(&rule));
    }
    let encoded = rounds.iter().map(|round| answers(round, &shares, &parameters, &rule));
    let encoded = encoded.collect::<Result<Vec<_>, _>>()?;
    let mut times: Vec<[Vec<f64>; 3]> = rounds.iter().map(|_| Default::default()).collect();
    // In turn, so that all meet the same weather.
    for _ in 0..REPETITIONS {
        for ((round, encoded), times) in rounds.iter().zip(&encoded).zip(&mut times) {
            let start = Instant::now();
            let mut adder: Box<dyn Adder> = Lattice.adder(&parameters, &context());
            for bytes in &ciphertexts[..round.contributions] {
                for (index, chunk) in bytes.chunks(parameters.chunk_bytes()).enumerate() {
                    adder.add_chunk(index, chunk)?;
                }
                adder.finish_contribution()?;
            }
            let added = start.elapsed().as_secs_f64();
            let mut answers = Vec::with_capacity(encoded.len());
            for (member, bytes) in encoded {
                answers.push((*member, ShareSum::from_bytes(bytes, parameters.set(), &rule)?));
            }
            let opened = adder.open(&rule, &answers, round.contributions as u32)?;
            let total = start.elapsed().as_secs_f64();
            assert!(opened.sum.iter().all(|sum| *sum == round.contributions as u64), "the sum is wrong");
            black_box(opened);
            for (times, value) in times.iter_mut().zip([added, total - added, total]) {
                times.push(value);
            }
        }
    }
    let answer_bytes = ShareSum::zero(parameters.set(), &rule).to_bytes().len();
    let sealed = rule.share_bytes(parameters.set()) + seal::PAIR_OVERHEAD;
    for (round, times) in rounds.iter().zip(times) {
        let params: BTreeMap<&'static str, u64> = [
            ("d", DIMENSION as u64),
            ("n", u64::from(parties)),
            ("contributions", round.contributions as u64),
            ("answers", round.answers as u64),
            ("members", members as u64),
        ]
        .into();
        let mut push = |what: &str, value: f64, unit| {
            rows.push(Row { name: format!("{}: {what}", round.name), params: params.clone(), value, unit });
        };
        let [adding, opening, total] = times.map(quartile);
        let n = round.contributions as f64;
        push("coordinator, adding", adding * 1e3, "ms");
        push("coordinator, opening", opening * 1e3, "ms");
        push("coordinator, total", total * 1e3, "ms");
        push("coordinator, per contribution", total * 1e3 / n, "ms");
        let received = n * (parameters.ciphertext_bytes() + members * sealed) as f64;
        push("bytes received", received + (round.answers * answer_bytes) as f64, "B");
        // Shares go to every member that is asked; the present ones fetch them.
        push("bytes sent", n * (round.answers * sealed) as f64, "B");
    }
    Ok(())
}

/// Encoded answers of the members that are there, for those who contributed.
fn answers(
    round: &Round,
    shares: &[Vec<KeyShare>],
    parameters: &SumParameters,
    rule: &CommitteeRule,
) -> Result<Vec<Answer>, Box<dyn Error>> {
    let mut sums: Vec<ShareSum> = (0..rule.members()).map(|_| ShareSum::zero(parameters.set(), rule)).collect();
    for shares in &shares[..round.contributions] {
        for (share, sum) in shares.iter().zip(&mut sums) {
            sum.add(share)?;
        }
    }
    let there = rule.members() as usize - round.answers;
    Ok(sums[there..].iter().enumerate().map(|(i, sum)| ((there + i) as u32, sum.to_bytes())).collect())
}

/// The lower quartile: other programs on the machine only ever add.
fn quartile(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}
