//! The secure sum from end to end.
#![allow(clippy::unwrap_used, missing_docs)]

use haihe_privacy::secure_sum::{lattice::Lattice, plain::NoSecurity, *};
use haihe_privacy::{Digest, Transcript};
use proptest::prelude::*;

fn context() -> SumContext {
    SumContext { session: Transcript::new("test").finish(), round: 7 }
}

fn seed(i: u64) -> [u8; 32] {
    *Transcript::new("test/seed").u64(i).finish().as_bytes()
}

/// Adds the vectors of all contributors and returns the adder with every member's answer.
fn round(
    scheme: &dyn Scheme,
    parameters: &SumParameters,
    rule: &CommitteeRule,
    vectors: impl Iterator<Item = Vec<u32>>,
) -> (Box<dyn Adder>, Vec<(u32, ShareSum)>) {
    let mut adder = scheme.adder(parameters, &context());
    let mut answers: Vec<_> = (0..rule.members()).map(|m| (m, ShareSum::zero(parameters.set(), rule))).collect();
    let mut bytes = Vec::new();
    for (i, vector) in vectors.enumerate() {
        let mut contributor = scheme.contributor(parameters, &context(), seed(i as u64));
        for index in 0..parameters.chunks() {
            bytes.clear();
            contributor.encrypt_chunk(index, &vector[parameters.chunk_values(index)], &mut bytes).unwrap();
            assert_eq!(bytes.len(), parameters.chunk_bytes());
            adder.add_chunk(index, &bytes).unwrap();
        }
        adder.finish_contribution().unwrap();
        for (share, (_, answer)) in contributor.into_key_shares(rule).iter().zip(&mut answers) {
            let share = KeyShare::from_bytes(&share.to_bytes(), parameters.set(), rule).unwrap();
            answer.add(&share).unwrap();
        }
    }
    (adder, answers)
}

fn vector(parameters: &SumParameters, seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..parameters.dimension())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match state >> 60 {
                0 => 0,
                1 => parameters.max_value(),
                _ => (state >> 20) as u32 & parameters.max_value(),
            }
        })
        .collect()
}

fn total(vectors: &[Vec<u32>]) -> Vec<u64> {
    (0..vectors[0].len()).map(|i| vectors.iter().map(|v| u64::from(v[i])).sum()).collect()
}

#[test]
fn a_sum_in_each_ring() {
    for set in ParameterSet::ALL {
        let parameters = SumParameters::with_set(set, 20_011, 5, 16).unwrap();
        let rule = CommitteeRule::for_parties(5, Adversary::Malicious).unwrap();
        let vectors: Vec<_> = (0..5).map(|i| vector(&parameters, i)).collect();
        let (adder, answers) = round(&Lattice, &parameters, &rule, vectors.iter().cloned());
        let opened = adder.open(&rule, &answers, 5).unwrap();
        assert_eq!(opened.sum, total(&vectors));
        assert!(opened.wrong_answers.is_empty());
    }
}

#[test]
fn a_thousand_parties_with_every_slot_at_its_maximum() {
    for set in [ParameterSet::Medium, ParameterSet::Large] {
        let parameters = SumParameters::with_set(set, set.ring_degree() * 7, 1000, 16).unwrap();
        let rule = CommitteeRule::for_parties(1000, Adversary::Malicious).unwrap();
        let all = vec![parameters.max_value(); parameters.dimension()];
        let (adder, answers) = round(&Lattice, &parameters, &rule, (0..1000).map(|_| all.clone()));
        let opened = adder.open(&rule, &answers[..rule.answers_needed() as usize], 1000).unwrap();
        assert!(opened.sum.iter().all(|&value| value == 65_535_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn sums_are_exact_whoever_drops_out(
        n in prop_oneof![3u32..12, 12u32..80],
        set in prop_oneof![Just(ParameterSet::Small), Just(ParameterSet::Medium), Just(ParameterSet::Large)],
        value_bits in 1u32..=32,
        length in 1usize..5000,
        dropouts in any::<u32>(),
        silent in any::<u32>(),
        start in any::<u32>(),
        real in any::<bool>(),
    ) {
        let Ok(parameters) = SumParameters::with_set(set, length, n, value_bits) else { return Ok(()) };
        let rule = CommitteeRule::for_parties(n, Adversary::Malicious).unwrap();
        let contributors = n - dropouts % (n - 1);
        let vectors: Vec<_> = (0..contributors).map(|i| vector(&parameters, i.into())).collect();
        let scheme: &dyn Scheme = if real { &Lattice } else { &NoSecurity };
        let (adder, answers) = round(scheme, &parameters, &rule, vectors.iter().cloned());
        let missing = silent % (rule.may_be_missing() + 1);
        let present: Vec<_> = (0..rule.members() - missing)
            .map(|i| answers[((start % rule.members() + i) % rule.members()) as usize].clone())
            .collect();
        let opened = adder.open(&rule, &present, contributors).unwrap();
        prop_assert_eq!(opened.sum, total(&vectors));
    }
}

#[test]
fn too_few_answers_open_nothing() {
    let parameters = SumParameters::choose(100, 10, 16).unwrap();
    let rule = CommitteeRule::for_parties(10, Adversary::Malicious).unwrap();
    let (adder, answers) = round(&Lattice, &parameters, &rule, (0..10).map(|i| vector(&parameters, i)));
    let error = adder.open(&rule, &answers[4..], 10).unwrap_err();
    assert_eq!(error.to_string(), "6 members answered, 7 are needed");
}

#[test]
fn a_wrong_answer_is_named_and_the_sum_is_right() {
    let parameters = SumParameters::choose(100, 10, 16).unwrap();
    let rule = CommitteeRule::for_parties(10, Adversary::Malicious).unwrap();
    let vectors: Vec<_> = (0..10).map(|i| vector(&parameters, i)).collect();
    let (adder, mut answers) = round(&Lattice, &parameters, &rule, vectors.iter().cloned());
    let mut bytes = answers[4].1.to_bytes();
    bytes[100] ^= 0x10;
    answers[4].1 = ShareSum::from_bytes(&bytes, parameters.set(), &rule).unwrap();
    let opened = adder.open(&rule, &answers, 10).unwrap();
    assert_eq!((opened.sum, opened.wrong_answers), (total(&vectors), vec![4]));
}

#[test]
fn a_wrong_key_sum_opens_nothing() {
    let parameters = SumParameters::choose(100, 3, 16).unwrap();
    let rule = CommitteeRule::for_parties(3, Adversary::Malicious).unwrap();
    let (adder, mut answers) = round(&Lattice, &parameters, &rule, (0..3).map(|i| vector(&parameters, i)));
    let mut bytes = answers[0].1.to_bytes();
    bytes[0] ^= 1;
    answers[0].1 = ShareSum::from_bytes(&bytes, parameters.set(), &rule).unwrap();
    let error = adder.open(&rule, &answers, 3).unwrap_err();
    assert!(matches!(error, OpenError::KeyOutOfRange { .. } | OpenError::NoiseOutOfRange { .. }), "{error}");
}

#[test]
fn answers_for_other_contributors_open_nothing() {
    let parameters = SumParameters::choose(100, 3, 16).unwrap();
    let rule = CommitteeRule::for_parties(3, Adversary::Malicious).unwrap();
    let vectors = || (0..3).map(|i| vector(&parameters, i));
    let (adder, answers) = round(&Lattice, &parameters, &rule, vectors());
    assert_eq!(adder.open(&rule, &answers, 2).unwrap_err(), OpenError::Contributors { answered: 2, added: 3 });
    let (adder, _) = round(&Lattice, &parameters, &rule, vectors());
    let (_, partial) = round(&Lattice, &parameters, &rule, vectors().take(2));
    assert!(matches!(adder.open(&rule, &partial, 3).unwrap_err(), OpenError::NoiseOutOfRange { .. }));
}

#[test]
fn misuse_and_malformed_chunks_are_refused_by_both_schemes() {
    let parameters = SumParameters::with_set(ParameterSet::Small, 5000, 3, 16).unwrap();
    let rule = CommitteeRule::for_parties(3, Adversary::Malicious).unwrap();
    for scheme in [&Lattice as &dyn Scheme, &NoSecurity] {
        let values = vec![1; 4096];
        let mut out = vec![9];
        let mut contributor = scheme.contributor(&parameters, &context(), seed(0));
        let mut refused = |index, values: &[u32]| contributor.encrypt_chunk(index, values, &mut out).unwrap_err();
        assert_eq!(refused(1, &values), EncryptError::OutOfOrder { expected: 0, found: 1, chunks: 2 });
        assert_eq!(refused(0, &values[1..]), EncryptError::Length { index: 0, expected: 4096, found: 4095 });
        let mut large = values.clone();
        large[5] = 65_536;
        assert_eq!(refused(0, &large), EncryptError::ValueTooLarge { index: 5, value: 65_536, largest: 65_535 });
        assert_eq!(out, [9]);
        contributor.encrypt_chunk(0, &values, &mut out).unwrap();
        let first = out.split_off(1);
        let again = contributor.encrypt_chunk(0, &values, &mut out).unwrap_err();
        assert_eq!(again, EncryptError::OutOfOrder { expected: 1, found: 0, chunks: 2 });
        contributor.encrypt_chunk(1, &values[..904], &mut out).unwrap();
        let second = out.split_off(1);

        let mut adder = scheme.adder(&parameters, &context());
        let length = AddError::Wire(haihe_privacy::wire::WireError::Length { expected: 12_800, found: 12_799 });
        assert_eq!(adder.add_chunk(0, &first[1..]).unwrap_err(), length);
        assert!(matches!(adder.add_chunk(0, &vec![0xff; 12_800]), Ok(()) | Err(AddError::Wire(_))));
        let mut adder = scheme.adder(&parameters, &context());
        for _ in 0..3 {
            adder.add_chunk(0, &first).unwrap();
            let early = adder.finish_contribution().unwrap_err();
            assert_eq!(early, AddError::OutOfOrder { expected: 1, found: 2, chunks: 2 });
            assert!(matches!(adder.add_chunk(1, &vec![0xff; 12_800]), Err(AddError::Wire(_))));
            adder.add_chunk(1, &second).unwrap();
            adder.finish_contribution().unwrap();
        }
        assert_eq!(adder.add_chunk(0, &first).unwrap_err(), AddError::Full { n_max: 3 });
        let answers: Vec<_> = contributor
            .into_key_shares(&rule)
            .iter()
            .enumerate()
            .map(|(m, share)| {
                let mut answer = ShareSum::zero(parameters.set(), &rule);
                (0..3).for_each(|_| answer.add(share).unwrap());
                (m as u32, answer)
            })
            .collect();
        assert_eq!(adder.open(&rule, &answers, 3).unwrap().sum, vec![3; 5000]);
    }
}

#[test]
fn another_round_or_session_gives_another_ciphertext() {
    let parameters = SumParameters::choose(10, 3, 16).unwrap();
    let encrypt = |context: SumContext| {
        let mut out = Vec::new();
        Lattice.contributor(&parameters, &context, seed(1)).encrypt_chunk(0, &[0; 10], &mut out).unwrap();
        out
    };
    let here = encrypt(context());
    assert_eq!(here, encrypt(context()));
    assert_ne!(here, encrypt(SumContext { round: 8, ..context() }));
    assert_ne!(here, encrypt(SumContext { session: Digest::from_bytes([0; 32]), ..context() }));
}
