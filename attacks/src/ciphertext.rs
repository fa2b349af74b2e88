//! What the coordinator has of one party: a ciphertext and, with T colluders, T shares of its key.

use crate::{
    Settings, seeded,
    stats::{Test, chi_square_p},
    town::{DELTA, Town, VALUE_BITS},
};
use anyhow::Result;
use haihe_privacy::{
    Digest,
    ring::{PRIMES, RESIDUE_BITS},
    secure_sum::{Adversary, CommitteeRule, Scheme, ShareSum, SumContext, SumParameters, lattice::Lattice},
};
use rand::{RngExt, rngs::ChaCha8Rng};
use serde::Serialize;

/// Encrypts vectors of one length as a party of this federation does.
pub struct Sealed {
    parameters: SumParameters,
    rule: CommitteeRule,
    context: SumContext,
}

/// What the tests of this module found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Ciphertexts in each test.
    pub ciphertexts: usize,
    /// P-value of the chi-square test of residues against the uniform distribution, 256 cells.
    pub uniform_p: f64,
    /// A trained classifier that tells ciphertexts of two known vectors apart.
    pub classifier: Test,
    /// The same where a party uses its one-time seed twice: the control that must succeed.
    pub seed_reused: Test,
    /// Openings tried with T true shares and made-up answers for the rest.
    pub openings: usize,
    /// How many of them gave a vector at all.
    pub opened: usize,
}

impl Sealed {
    /// For vectors of `dimension` numbers in this federation.
    pub fn new(town: &Town, dimension: usize) -> Result<Sealed> {
        let n = town.n() as u32;
        Ok(Sealed {
            parameters: SumParameters::choose(dimension, n, VALUE_BITS)?,
            rule: CommitteeRule::for_parties(n, Adversary::Malicious)?,
            context: SumContext { session: Digest::from_bytes([7; 32]), round: 1 },
        })
    }

    /// A contribution; `seed` is fresh in the product.
    pub fn encrypt(&self, values: &[u32], seed: [u8; 32]) -> Result<Vec<u8>> {
        let mut contributor = Lattice.contributor(&self.parameters, &self.context, seed);
        let mut bytes = Vec::with_capacity(self.parameters.ciphertext_bytes());
        for index in 0..self.parameters.chunks() {
            contributor.encrypt_chunk(index, &values[self.parameters.chunk_values(index)], &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The residues as they travel: blocks of 2048, 64 columns of 32, 50 bits each (`docs/protocol.md`).
    pub fn residues(&self, bytes: &[u8]) -> Vec<u64> {
        const BLOCK: usize = 2048;
        const LANES: usize = 64;
        const BITS: usize = RESIDUE_BITS as usize;
        let mut all = Vec::new();
        for block in bytes.chunks_exact(BLOCK * BITS / 8) {
            let word = |i: usize| {
                let part: [u8; 8] = std::array::from_fn(|k| block[8 * i + k]);
                u64::from_le_bytes(part)
            };
            for index in 0..BLOCK {
                let (i, lane) = (index / LANES, index % LANES);
                let (w, shift) = (BITS * i / 64, BITS * i % 64);
                let low = word(LANES * w + lane) >> shift;
                let high = if shift + BITS > 64 { word(LANES * (w + 1) + lane) << (64 - shift) } else { 0 };
                all.push((low | high) & ((1 << BITS) - 1));
            }
        }
        all
    }

    /// The vector that one reads off a ciphertext without a key: the residues' leading bits in the place of the values.
    pub fn read_without_key(&self, bytes: &[u8]) -> Vec<u32> {
        let residues = self.residues(bytes);
        (0..self.parameters.dimension())
            .map(|i| (residues[i % residues.len()] >> (RESIDUE_BITS - VALUE_BITS)) as u32)
            .collect()
    }

    /// Tries to open one contribution with the true shares of `known` members and made-up answers for the rest.
    pub fn open_with(&self, values: &[u32], known: usize, rng: &mut ChaCha8Rng) -> Result<bool> {
        let seed: [u8; 32] = rng.random();
        let bytes = self.encrypt(values, seed)?;
        let shares = |seed| Lattice.contributor(&self.parameters, &self.context, seed).into_key_shares(&self.rule);
        let (own, made_up) = (shares(seed), shares(rng.random()));
        let mut answers = Vec::new();
        for position in 0..self.rule.answers_needed() as usize {
            let mut sum = ShareSum::zero(self.parameters.set(), &self.rule);
            sum.add(if position < known { &own[position] } else { &made_up[position] })?;
            answers.push((position as u32, sum));
        }
        let mut adder = Lattice.adder(&self.parameters, &self.context);
        for (index, chunk) in bytes.chunks(self.parameters.chunk_bytes()).enumerate() {
            adder.add_chunk(index, chunk)?;
        }
        adder.finish_contribution()?;
        Ok(adder
            .open(&self.rule, &answers, 1)
            .is_ok_and(|opened| opened.sum.iter().zip(values).all(|(s, v)| *s == u64::from(*v))))
    }

    /// How many shares open a contribution: r.
    pub fn answers_needed(&self) -> usize {
        self.rule.answers_needed() as usize
    }
}

/// Residues against the uniform distribution, a trained distinguisher, and guesses at the key.
pub fn findings(town: &Town, settings: &Settings) -> Result<Findings> {
    let dimension = 1000;
    let sealed = Sealed::new(town, dimension)?;
    let vectors = [vec![0; dimension], vec![u32::MAX; dimension]];
    let ciphertexts = settings.trials(2000, 400);
    let mut rng = seeded(settings.seed, "ciphertexts");
    let mut samples: [Vec<Vec<f64>>; 2] = [Vec::new(), Vec::new()];
    let mut cells = [0u64; 256];
    for i in 0..ciphertexts {
        let residues = sealed.residues(&sealed.encrypt(&vectors[i % 2], rng.random())?);
        // All primes are within 2^-29 of 2^50: leading bytes are cells.
        residues.iter().for_each(|r| cells[(r >> (RESIDUE_BITS - 8)) as usize] += 1);
        samples[i % 2].push(residues.iter().map(|&r| r as f64 / PRIMES[0] as f64 - 0.5).collect());
    }
    let expected = cells.iter().sum::<u64>() as f64 / 256.0;
    let statistic: f64 = cells.iter().map(|&c| (c as f64 - expected) * (c as f64 - expected) / expected).sum();
    let reused: [Vec<Vec<f64>>; 2] = {
        let seed = rng.random();
        let of = |vector: &[u32]| -> Result<Vec<Vec<f64>>> {
            let residues = sealed.residues(&sealed.encrypt(vector, seed)?);
            Ok(vec![residues.iter().map(|&r| r as f64 / PRIMES[0] as f64 - 0.5).collect(); 100])
        };
        [of(&vectors[0])?, of(&vectors[1])?]
    };
    let (openings, mut opened) = (settings.trials(50, 10), 0);
    for _ in 0..openings {
        opened += usize::from(sealed.open_with(&vectors[1], town.colluders, &mut rng)?);
    }
    Ok(Findings {
        ciphertexts,
        uniform_p: chi_square_p(statistic, 255.0),
        classifier: classify(&samples),
        seed_reused: classify(&reused),
        openings,
        opened,
    })
}

/// A linear classifier from class means, trained on one half, judged on the other.
fn classify(samples: &[Vec<Vec<f64>>; 2]) -> Test {
    let mean = |samples: &[Vec<f64>]| {
        let mut mean = vec![0.0; samples[0].len()];
        samples.iter().for_each(|s| mean.iter_mut().zip(s).for_each(|(m, v)| *m += v / samples.len() as f64));
        mean
    };
    let [a, b] = [0, 1].map(|k| samples[k].split_at(samples[k].len() / 2));
    let direction: Vec<f64> = mean(b.0).iter().zip(mean(a.0)).map(|(b, a)| b - a).collect();
    let score = |s: &Vec<f64>| s.iter().zip(&direction).fold(0.0, |sum, (v, d)| sum + v * d);
    let [without, with] = [a.1, b.1].map(|half| half.iter().map(score).collect::<Vec<f64>>());
    Test::of(&with, &without, DELTA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::town::Loans;

    #[test]
    fn all_shares_open_and_t_do_not() {
        let town = Loans::load().and_then(|l| l.three()).expect("the bundled data");
        let sealed = Sealed::new(&town, 100).expect("fits");
        let mut rng = seeded(1, "open");
        let values: Vec<u32> = (0..100).collect();
        assert!(sealed.open_with(&values, sealed.answers_needed(), &mut rng).expect("runs"));
        assert!(!sealed.open_with(&values, town.colluders, &mut rng).expect("runs"));
        let bytes = sealed.encrypt(&values, [3; 32]).expect("fits");
        assert!(sealed.residues(&bytes).iter().all(|r| *r < 1 << RESIDUE_BITS));
        assert_ne!(sealed.read_without_key(&bytes), values);
    }

    #[test]
    fn a_seed_used_twice_is_seen_and_a_fresh_one_is_not() {
        let town = Loans::load().and_then(|l| l.three()).expect("the bundled data");
        let found = findings(&town, &Settings { seed: 1, quick: true }).expect("runs");
        assert_eq!(found.seed_reused.auc, 1.0);
        assert!((found.classifier.auc - 0.5).abs() < 2.0 * found.classifier.auc_error, "{found:?}");
        assert!(found.uniform_p > 1e-4 && found.opened == 0, "{found:?}");
    }
}
