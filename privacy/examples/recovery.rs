//! What dropouts cost the coordinator: its CPU time for one round, and the bytes of the round, with everybody there and with
//! three of ten parties gone.
//!
//! `cargo run --release -p haihe-privacy --example recovery`; the rows are kept in `target/bench/recovery.json`.

use std::{collections::BTreeMap, error::Error, fs, hint::black_box, path::Path, time::Instant};

use haihe_privacy::{
    digest::Digest,
    seal,
    secure_sum::{Adder, Adversary, CommitteeRule, Scheme, ShareSum, SumContext, SumParameters, lattice::Lattice},
};
use serde::Serialize;

const DIMENSION: usize = 100_000;
const BITS: u32 = 16;
const REPETITIONS: usize = 5;

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

fn context() -> SumContext {
    SumContext { session: Digest::from_bytes([7; 32]), round: 1 }
}

/// CPU seconds of this thread, which other programs do not disturb; where Linux does not say it, the time of the clock.
fn cpu_seconds(begun: Instant) -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| begun.elapsed().as_secs_f64(), |n| n * 1e-9)
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
    let mut times: Vec<[Vec<f64>; 3]> = rounds.iter().map(|_| Default::default()).collect();
    let begun = Instant::now();
    for _ in 0..REPETITIONS {
        for (round, times) in rounds.iter().zip(&mut times) {
            let mut sums: Vec<(u32, ShareSum)> =
                (0..rule.members()).map(|m| (m, ShareSum::zero(parameters.set(), &rule))).collect();
            for shares in &shares[..round.contributions] {
                for (share, (_, sum)) in shares.iter().zip(&mut sums) {
                    sum.add(share)?;
                }
            }
            let encoded: Vec<(u32, Vec<u8>)> =
                sums[members - round.answers..].iter().map(|(m, sum)| (*m, sum.to_bytes())).collect();
            let start = cpu_seconds(begun);
            let mut adder: Box<dyn Adder> = Lattice.adder(&parameters, &context());
            for bytes in &ciphertexts[..round.contributions] {
                for (index, chunk) in bytes.chunks(parameters.chunk_bytes()).enumerate() {
                    adder.add_chunk(index, chunk)?;
                }
                adder.finish_contribution()?;
            }
            let added = cpu_seconds(begun);
            let answers =
                encoded.iter().map(|(m, bytes)| Ok((*m, ShareSum::from_bytes(bytes, parameters.set(), &rule)?)));
            let answers: Vec<(u32, ShareSum)> = answers.collect::<Result<_, Box<dyn Error>>>()?;
            let opened = adder.open(&rule, &answers, round.contributions as u32)?;
            let end = cpu_seconds(begun);
            assert!(opened.sum.iter().all(|sum| *sum == round.contributions as u64), "the sum is wrong");
            black_box(opened);
            for (times, value) in times.iter_mut().zip([added - start, end - added, end - start]) {
                times.push(value);
            }
        }
    }
    let answer_bytes = ShareSum::zero(parameters.set(), &rule).to_bytes().len();
    let sealed = rule.share_bytes(parameters.set()) + seal::OVERHEAD;
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
        let [adding, opening, total] = times.map(median);
        let n = round.contributions as f64;
        push("coordinator CPU, adding", adding * 1e3, "ms");
        push("coordinator CPU, opening", opening * 1e3, "ms");
        push("coordinator CPU, total", total * 1e3, "ms");
        push("coordinator CPU, per contribution", total * 1e3 / n, "ms");
        let received = n * (parameters.ciphertext_bytes() + members * sealed) as f64;
        push("bytes received", received + (round.answers * answer_bytes) as f64, "B");
        // Shares go to every member that is asked; the present ones fetch them.
        push("bytes sent", n * (round.answers * sealed) as f64, "B");
    }
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
