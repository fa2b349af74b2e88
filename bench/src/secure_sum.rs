//! The secure sum: time of each message handler, bytes on the wire, memory of either side.

use crate::memory;
use crate::plain::{self, Vector};
use crate::rows::{Rows, interleaved};
use crate::seeded_glwe::{self, SeededGlwe};
use anyhow::Result;
use haihe_privacy::prg::SecretStream;
use haihe_privacy::secure_sum::lattice::Lattice;
use haihe_privacy::secure_sum::{
    Adder, Adversary, CheckKey, Coding, CommitteeRule, ParameterSet, Quantiser, Scheme, Segment, ShareSum, SumContext,
    SumParameters, check_slots,
};
use haihe_privacy::{Digest, seal};
use std::hint::black_box;
use std::time::Instant;

/// Parties of every timed sum.
pub const PARTIES: u32 = 10;
/// Bits of a value.
pub const BITS: u32 = 16;

/// A round.
pub fn context() -> SumContext {
    SumContext { session: Digest::from_bytes([7; 32]), round: 1 }
}

/// A vector of numbers of `[-1, 1]`.
pub fn quantiser(dimension: usize) -> Result<Quantiser> {
    let segment = Segment { name: "delta".into(), len: dimension, coding: Coding::Fixed { bound: 1.0 } };
    Ok(Quantiser::new(vec![segment], BITS)?)
}

/// Runs everything and publishes `secure-sum.json`.
pub fn run(quick: bool) -> Result<()> {
    let mut rows = Rows::default();
    for dimension in [10_000, 100_000, 1_000_000] {
        let repetitions = if quick { 5 } else { (20_000_000 / dimension).clamp(21, 401) };
        time_handlers(&mut rows, dimension, repetitions)?;
        time_opening(&mut rows, dimension, if quick { 3 } else { 9 })?;
    }
    wire_sizes(&mut rows)?;
    if !quick {
        memory::measure(&mut rows)?;
    }
    rows.publish("secure-sum")
}

fn time_handlers(rows: &mut Rows, dimension: usize, repetitions: usize) -> Result<()> {
    let parameters = SumParameters::choose(dimension, PARTIES, BITS)?;
    let rule = CommitteeRule::for_parties(PARTIES, Adversary::Malicious)?;
    let quantiser = quantiser(dimension)?;
    let values: Vec<f32> = (0..dimension).map(|i| (i % 2001) as f32 / 1000.0 - 1.0).collect();
    let mut rounding = SecretStream::new(&[1; 32], 0);
    let mut plain_rounding = SecretStream::new(&[1; 32], 1);

    let (check, round) = (CheckKey::from_bytes([3; 32]), Digest::from_bytes([4; 32]));
    let mut integers = vec![0; parameters.values_per_chunk()];
    let mut ciphertext = Vec::with_capacity(parameters.ciphertext_bytes());
    let mut participant = || {
        let mut contributor = Lattice.contributor(&parameters, &context(), [2; 32]);
        ciphertext.clear();
        let mut tag = check.tag(&round);
        for index in 0..parameters.chunks() {
            let range = parameters.chunk_values(index);
            let integers = &mut integers[..range.len()];
            quantiser.quantise(range.start, &values[range], integers, &mut rounding).expect("within the bound");
            tag.absorb(integers.iter().map(|&value| value.into()));
            contributor.encrypt_chunk(index, integers, &mut ciphertext).expect("in order");
        }
        black_box(check.slots(tag, &round, 0, BITS));
    };
    let sum = vec![12_345u64; dimension + check_slots(BITS)];
    let mut checking = || {
        black_box(check.verify(&round, &sum, &[0, 1, 2], BITS));
    };
    let mut sharing = || {
        let contributor = Lattice.contributor(&parameters, &context(), [2; 32]);
        black_box(contributor.into_key_shares(&rule));
    };

    let mut whole = vec![0; dimension];
    let (mut message, mut encoded) = (Vector { values: Vec::with_capacity(dimension) }, Vec::new());
    let mut plainly = || {
        plain::encode(&quantiser, &values, &mut plain_rounding, &mut whole, &mut message, &mut encoded)
            .expect("within the bound");
    };

    let glwe_values: Vec<u32> = (0..dimension.min(2 * seeded_glwe::DEGREE)).map(|i| i as u32 & 0xffff).collect();
    let mut glwe = SeededGlwe::new();
    let mut seeded = || {
        black_box(glwe.encrypt(&glwe_values));
    };

    let mut state = vec![1u64; 1 << 16];
    let mut calibration = || {
        for _ in 0..8 {
            state.iter_mut().for_each(|x| *x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ 0x55);
        }
    };

    let [ours, checked, shares, plain, glwe, calibration] = interleaved(
        repetitions,
        [&mut participant, &mut checking, &mut sharing, &mut plainly, &mut seeded, &mut calibration],
    );
    let adding = time_adding(&parameters, &ciphertext, repetitions);

    let params = [("d", dimension as u64), ("n", PARTIES.into())];
    let per_parameter = |seconds: f64| seconds * 1e9 / dimension as f64;
    rows.push("participant ns/parameter", &params, per_parameter(ours), "ns");
    rows.push("participant checks the sum ns/parameter", &params, per_parameter(checked), "ns");
    rows.push("coordinator ns/parameter", &params, per_parameter(adding), "ns");
    let sealed = rule.members() as usize * (rule.share_bytes(parameters.set()) + seal::PAIR_OVERHEAD);
    let upload = (parameters.ciphertext_bytes() + sealed) as f64 / dimension as f64;
    rows.push("upload bytes/parameter", &params, upload, "B");
    rows.push("participant key shares", &params, shares * 1e6, "us");
    rows.push("plain participant ns/parameter", &params, per_parameter(plain), "ns");
    rows.push("participant vs plain ratio", &params, ours / plain, "ratio");
    let glwe = glwe * 1e9 / glwe_values.len() as f64;
    rows.push("tfhe seeded GLWE ns/parameter", &params, glwe, "ns");
    rows.push("tfhe seeded GLWE vs participant ratio", &params, glwe / per_parameter(ours), "ratio");
    rows.push("calibration kernel", &params, calibration * 1e6, "us");
    Ok(())
}

/// The median time to add one contribution, over adders that take ten each.
fn time_adding(parameters: &SumParameters, received: &[u8], repetitions: usize) -> f64 {
    let mut times = Vec::new();
    while times.len() < repetitions {
        let mut adder = Lattice.adder(parameters, &context());
        for _ in 0..PARTIES {
            let start = Instant::now();
            for (index, chunk) in received.chunks(parameters.chunk_bytes()).enumerate() {
                adder.add_chunk(index, chunk).expect("valid");
            }
            adder.finish_contribution().expect("complete");
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Opening with all answers, and with three of ten missing.
fn time_opening(rows: &mut Rows, dimension: usize, repetitions: usize) -> Result<()> {
    let parameters = SumParameters::choose(dimension, PARTIES, BITS)?;
    let rule = CommitteeRule::for_parties(PARTIES, Adversary::Malicious)?;
    let mut contributions = Vec::new();
    let mut answers: Vec<_> = (0..rule.members()).map(|m| (m, ShareSum::zero(parameters.set(), &rule))).collect();
    for party in 0..PARTIES {
        let mut contributor = Lattice.contributor(&parameters, &context(), [party as u8; 32]);
        let mut bytes = Vec::with_capacity(parameters.ciphertext_bytes());
        for index in 0..parameters.chunks() {
            contributor.encrypt_chunk(index, &vec![party; parameters.chunk_values(index).len()], &mut bytes)?;
        }
        contributions.push(bytes);
        for (share, (_, answer)) in contributor.into_key_shares(&rule).iter().zip(&mut answers) {
            answer.add(share)?;
        }
    }
    let summed = || -> Result<Box<dyn Adder>> {
        let mut adder = Lattice.adder(&parameters, &context());
        for bytes in &contributions {
            for (index, chunk) in bytes.chunks(parameters.chunk_bytes()).enumerate() {
                adder.add_chunk(index, chunk)?;
            }
            adder.finish_contribution()?;
        }
        Ok(adder)
    };
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..repetitions {
        for (times, missing) in times.iter_mut().zip([0, rule.may_be_missing() as usize]) {
            let adder = summed()?;
            let start = Instant::now();
            black_box(adder.open(&rule, &answers[missing..], PARTIES)?);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let [all, missing] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let params = [("d", dimension as u64), ("n", PARTIES.into())];
    rows.push("coordinator open ms", &params, all, "ms");
    rows.push("coordinator open ms, 3 of 10 answers missing", &params, missing, "ms");
    Ok(())
}

/// Upload per participant for every set that can carry the sum.
fn wire_sizes(rows: &mut Rows) -> Result<()> {
    for parties in [3, 10, 32, 100, 1000] {
        for set in ParameterSet::ALL {
            for dimension in [1_000, 100_000] {
                let Ok(parameters) = SumParameters::with_set(set, dimension, parties, BITS) else {
                    continue;
                };
                let rule = CommitteeRule::for_parties(parties, Adversary::Malicious)?;
                let params = [("d", dimension as u64), ("n", parties.into()), ("N", set.ring_degree() as u64)];
                let shares = rule.members() as usize * (rule.share_bytes(set) + seal::PAIR_OVERHEAD);
                let bits = parameters.chunk_bytes() as f64 * 8.0 / parameters.values_per_chunk() as f64;
                rows.push("ciphertext bits/parameter", &params, bits, "bit");
                rows.push("sealed key shares", &params, shares as f64, "B");
                rows.push("upload", &params, parameters.upload_bytes() as f64, "B");
            }
        }
    }
    Ok(())
}
