//! Outer steps, schedules, packed vectors, bounds and robust means: against numbers worked out by hand, and what must always hold.
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::network::clipping::{ClippingOptions, MAGNITUDES, bounds, clip, magnitude_cell, one_hot};
use haihe_models::network::robust::{Robust, RobustError, bucket_of, buckets_of};
use haihe_models::network::strategy::{scaffold_control, scaffold_correction};
use haihe_models::network::{Activation, Architecture, Schedule, Shared, Strategy, StrategyError, TensorSpec};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

fn near(a: f32, b: f64) -> bool {
    (f64::from(a) - b).abs() <= 1e-6 * (1.0 + b.abs())
}

#[test]
fn fed_avg_with_momentum() {
    let strategy = Strategy::FedAvg { rate: 0.5, momentum: 0.9 };
    let mut server = Shared::begin(&strategy, vec![1.0, -1.0]).unwrap();
    server.step(&strategy, &[0.2, 0.0], None).unwrap();
    server.step(&strategy, &[0.2, -0.4], None).unwrap();
    // m: 0.2, then 0.18 + 0.2; x: 1 + 0.1 + 0.19.
    assert!(near(server.parameters[0], 1.29) && near(server.parameters[1], -1.2), "{:?}", server.parameters);
    assert!(near(server.first[0], 0.38) && server.second.is_empty() && server.control.is_empty());
    assert_eq!(server.round, 2);
}

#[test]
fn fed_avg_and_fed_prox_take_the_mean() {
    for strategy in [Strategy::default(), Strategy::FedProx { mu: 0.1 }] {
        let mut server = Shared::begin(&strategy, vec![1.0, 2.0]).unwrap();
        server.step(&strategy, &[0.25, -0.5], None).unwrap();
        assert_eq!(server.parameters, [1.25, 1.5]);
        assert!(server.first.is_empty());
    }
    assert_eq!(Strategy::FedProx { mu: 0.1 }.proximal(), 0.1);
    assert_eq!(Strategy::default().proximal(), 0.0);
}

#[test]
fn fed_adam_by_hand() {
    let strategy: Strategy = serde_json::from_str(r#"{"kind":"fed_adam","rate":0.1,"tau":0.1}"#).unwrap();
    let mut server = Shared::begin(&strategy, vec![0.0, 0.0]).unwrap();
    assert!(near(server.second[0], 0.01));
    server.step(&strategy, &[1.0, 0.0], None).unwrap();
    // m = 0.1, v = 0.99 * 0.01 + 0.01 * 1 = 0.0199, x = 0.1 * 0.1 / (sqrt(0.0199) + 0.1).
    assert!(near(server.parameters[0], 0.041_482_88), "{}", server.parameters[0]);
    assert_eq!(server.parameters[1], 0.0);
    server.step(&strategy, &[-0.5, 0.0], None).unwrap();
    // m = 0.09 - 0.05 = 0.04, v = 0.019701 + 0.0025 = 0.022201, x += 0.004 / 0.2490.
    assert!(near(server.first[0], 0.04) && near(server.second[0], 0.022_201));
    assert!(near(server.parameters[0], 0.041_482_88 + 0.004 / (0.022_201f64.sqrt() + 0.1)));
}

#[test]
fn fed_yogi_by_hand() {
    let strategy = Strategy::FedYogi { rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 0.1 };
    let mut server = Shared::begin(&strategy, vec![0.0; 2]).unwrap();
    // v = 0.01: below the first square, above the second.
    server.step(&strategy, &[1.0, 0.05], None).unwrap();
    assert!(near(server.second[0], 0.02) && near(server.second[1], 0.01 - 0.01 * 0.0025));
    assert!(near(server.parameters[0], 0.01 / (0.02f64.sqrt() + 0.1)));
}

#[test]
fn scaffold_identities() {
    // A visit of plain descent from x: y = x - rate * sum of (g + c - c_i), so c_i+ is the mean gradient.
    let (start, control, own) = ([1.0f32, -2.0], [0.5f32, 0.25], [-0.5f32, 0.125]);
    let correction = scaffold_correction(&control, &own);
    assert_eq!(correction, [1.0, 0.125]);
    let gradients = [[1.0f32, 2.0], [3.0, -1.0], [2.0, 0.5]];
    let mut trained = start;
    for g in gradients {
        for i in 0..2 {
            trained[i] -= 0.125 * (g[i] + correction[i]);
        }
    }
    let next = scaffold_control(&control, &own, &start, &trained, 3, 0.125);
    assert!(near(next[0], 2.0) && near(next[1], 0.5), "{next:?}");
    assert_eq!(scaffold_control(&control, &own, &start, &start, 0, 0.125), own);

    let strategy = Strategy::Scaffold { rate: 1.0 };
    let mut server = Shared::begin(&strategy, start.to_vec()).unwrap();
    server.step(&strategy, &[0.5, 0.5], Some(&[0.25, -1.0])).unwrap();
    server.step(&strategy, &[0.0, 0.0], Some(&[0.25, 0.5])).unwrap();
    assert_eq!((server.parameters, server.control), (vec![1.5, -1.5], vec![0.5, -0.5]));
}

#[test]
fn a_refused_step_changes_nothing() {
    let (plain, scaffold) = (Strategy::default(), Strategy::Scaffold { rate: 1.0 });
    let mut server = Shared::begin(&plain, vec![1.0, 2.0]).unwrap();
    let before = server.clone();
    assert!(matches!(server.step(&plain, &[1.0], None), Err(StrategyError::Length { expected: 2, found: 1, .. })));
    assert!(matches!(server.step(&plain, &[1.0, f64::NAN], None), Err(StrategyError::NotFinite { index: 1, .. })));
    assert!(matches!(server.step(&plain, &[1e300, 0.0], None), Err(StrategyError::NotFinite { index: 0, .. })));
    assert_eq!(server.step(&plain, &[0.0; 2], Some(&[0.0; 2])), Err(StrategyError::Control));
    assert!(matches!(server.step(&scaffold, &[0.0; 2], Some(&[0.0; 2])), Err(StrategyError::Length { .. })));
    assert!(server.step(&Strategy::FedAvg { rate: 0.0, momentum: 0.0 }, &[0.0; 2], None).is_err());
    assert_eq!(server, before);
    assert_eq!(Shared::begin(&scaffold, vec![0.0]).unwrap().step(&scaffold, &[0.0], None), Err(StrategyError::Control));
    assert!(Shared::begin(&plain, vec![f32::NAN]).is_err());
    assert!(serde_json::from_str::<Strategy>(r#"{"kind":"fed_prox","mu":1.0,"nu":1.0}"#).is_err());
}

#[test]
fn schedules() {
    let constant = Schedule::Constant { warmup: 3 };
    assert_eq!([0, 1, 2, 3, 9].map(|r| constant.factor(r)), [0.25, 0.5, 0.75, 1.0, 1.0]);
    let step = Schedule::Step { every: 2, factor: 0.5, warmup: 1 };
    assert_eq!([0, 1, 2, 3, 4, 5].map(|r| step.factor(r)), [0.5, 1.0, 1.0, 0.5, 0.5, 0.25]);
    let cosine: Schedule = serde_json::from_str(r#"{"kind":"cosine","rounds":10,"floor":0.1}"#).unwrap();
    let factors: Vec<f64> = (0..15).map(|r| cosine.factor(r)).collect();
    assert_eq!(factors[0], 1.0);
    assert!((factors[5] - 0.55).abs() < 1e-12 && (factors[12] - 0.1).abs() < 1e-12);
    assert!(factors.windows(2).all(|f| f[1] <= f[0]));
    assert!(Schedule::Step { every: 0, factor: 0.5, warmup: 0 }.validate().is_err());
    assert!(Schedule::Step { every: 0, factor: 0.5, warmup: 0 }.factor(u32::MAX).is_finite());
}

#[test]
fn packed_vectors_are_read_to_the_bit_or_refused() {
    let strategy = Strategy::FedAdam { rate: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
    let server = Shared::begin(&strategy, vec![1.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX]).unwrap();
    let json = serde_json::to_string(&server).unwrap();
    assert!(json.contains(r#""parameters":"AACAPwAAAIAAAEAA//9/fw==""#), "{json}");
    let back: Shared = serde_json::from_str(&json).unwrap();
    assert_eq!(
        back.parameters.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        [0x3f80_0000, 0x8000_0000, 0x0040_0000, 0x7f7f_ffff]
    );
    assert_eq!(back, server);
    let read = |text: &str| serde_json::from_str::<Shared>(&json.replace("AACAPwAAAIAAAEAA//9/fw==", text));
    assert!(read("").unwrap().parameters.is_empty());
    // Cut, another alphabet, padding gone, bits after the end, five bytes, infinity, NaN.
    for damaged in ["AACAPwAAAIA", "AACAPw-_", "AACAPw", "AACAPx==", "AACAPwA=", "AACAfw==", "AADAfw==", "AACA Pw="] {
        assert!(read(damaged).is_err(), "{damaged}");
    }
    // One value too many.
    let long = "AAAA".repeat((haihe_models::network::architecture::MAX_PARAMETERS + 3) * 4 / 3);
    assert!(read(&long).is_err());
}

fn tensors() -> Vec<TensorSpec> {
    Architecture::Mlp { inputs: 3, hidden: vec![2], activation: Activation::Relu }.tensors()
}

#[test]
fn magnitudes() {
    assert_eq!(magnitude_cell(0.0), 0);
    assert_eq!(magnitude_cell(-0.0), 0);
    assert_eq!(magnitude_cell(1e-40), 1);
    assert_eq!((magnitude_cell(1.0), magnitude_cell(-1.0), magnitude_cell(1.0001)), (40, 40, 41));
    assert_eq!([256.0, 257.0, f32::INFINITY, f32::NAN].map(magnitude_cell), [MAGNITUDES - 1; 4]);
    let mut update = vec![0.0; 11];
    (update[1], update[6], update[8]) = (-0.75, 0.3, 1e-3);
    let cells = one_hot(&update, &tensors());
    let ones: Vec<usize> = (0..cells.len()).filter(|&i| cells[i] == 1.0).collect();
    // (0.5, 1] is cell 40, (0.25, 0.5] 39; 2^-10 < 1e-3 <= 2^-9 is 31.
    assert_eq!(ones, [40, MAGNITUDES + 39, 2 * MAGNITUDES + 31, 3 * MAGNITUDES]);
    assert_eq!(one_hot(&[], &tensors()).iter().sum::<f64>(), 4.0);
}

#[test]
fn bounds_grow_at_once_and_shrink_slowly() {
    let options = ClippingOptions::default();
    assert_eq!(options.first(2), [0.5, 0.5]);
    let counts = |cells: &[usize]| {
        let mut sum = vec![0.0; MAGNITUDES];
        cells.iter().for_each(|&c| sum[c] += 1.0);
        sum
    };
    let next =
        |cells: &[usize], options: &ClippingOptions, before: f64| bounds(&counts(cells), 1, options, &[before])[0];
    // The largest party is in (4, 8].
    assert_eq!(next(&[20, 30, 43], &options, 0.5), 16.0);
    assert_eq!(next(&[48], &options, 0.5), 64.0);
    assert_eq!(next(&[0, 0], &options, 0.5), 0.125);
    assert_eq!(next(&[39], &options, 2.0), 1.0);
    let median = ClippingOptions { quantile: 0.5, ..options };
    assert_eq!(next(&[38, 39, 48], &median, 0.5), 1.0);
    assert_eq!(next(&[38, 39, 40, 48], &median, 0.5), 1.0);
    // Nobody counted; noise below zero; no number.
    assert_eq!(next(&[], &options, 0.3), 0.3);
    let mut noisy = counts(&[39]);
    (noisy[48], noisy[47], noisy[46]) = (-2.0, f64::NAN, 0.2);
    assert_eq!(bounds(&noisy, 2, &options, &[1.0]), [1.0, 0.5]);
    let mut bound = 64.0;
    for _ in 0..40 {
        bound = next(&[1], &options, bound);
    }
    assert_eq!(bound, options.least);
    assert!(ClippingOptions { quantile: 0.0, ..options }.validate().is_err());
    assert!(options.validate().is_ok());
}

#[test]
fn clipping_counts_what_it_changes() {
    let mut update: Vec<f32> = (0..11).map(|i| i as f32 - 5.0).collect();
    update[7] = f32::NAN;
    assert_eq!(clip(&mut update, &tensors(), &[2.0, 10.0, 0.1]), 3 + 1 + 2 + 1);
    assert_eq!(&update[..8], [-2.0, -2.0, -2.0, -2.0, -1.0, 0.0, 1.0, 0.0]);
    assert!(update[8] > 0.0 && f64::from(update[8]) <= 0.1 && update[10] == 0.0);
}

#[test]
fn one_bad_bucket_does_not_move_the_median() {
    let honest: Vec<Vec<f64>> = (0..4).map(|b| vec![f64::from(b) * 0.01, 1.0]).collect();
    for bad in [[1e12, -1e12], [-f64::MAX, f64::MAX]] {
        let buckets = [honest.clone(), vec![bad.to_vec()]].concat();
        for rule in [Robust::Median, Robust::TrimmedMean { cut: 1 }] {
            let mean = rule.combine(&buckets).unwrap();
            assert!((0.0..=0.03).contains(&mean[0]) && (mean[1] - 1.0).abs() < 1e-12, "{rule:?} {mean:?}");
        }
    }
    assert_eq!(Robust::Median.combine(&honest).unwrap()[0], 0.015);
    assert_eq!((Robust::Median.tolerates(5), Robust::Median.tolerates(4), Robust::Median.tolerates(0)), (2, 1, 0));
    assert_eq!(Robust::Median.combine(&[]), Err(RobustError::Empty));
    let cut = Robust::TrimmedMean { cut: 2 };
    assert_eq!(cut.combine(&honest), Err(RobustError::Cut { cut: 2, buckets: 4 }));
    let uneven = [vec![0.0], vec![]];
    assert!(matches!(Robust::Median.combine(&uneven), Err(RobustError::Length { bucket: 1, .. })));
    let infinite = [vec![0.0], vec![f64::INFINITY]];
    assert_eq!(Robust::Median.combine(&infinite), Err(RobustError::NotFinite { bucket: 1, index: 0 }));
    assert!(Robust::TrimmedMean { cut: u32::MAX }.combine(&honest).is_err());
}

#[test]
fn buckets_are_a_fixed_and_fair_deal() {
    // Known answers: every party must deal alike, on every machine.
    assert_eq!(buckets_of(8, 3, 5, 42), [1, 0, 1, 2, 1, 0, 0, 2]);
    let mut together = [0u32; 6];
    for round in 0..3000 {
        let dealt = buckets_of(6, 3, round, 7);
        (0..6).for_each(|p| together[p] += u32::from(dealt[p] == dealt[0]));
    }
    // A bucket of two: each other party is the companion in a fifth of the rounds.
    assert_eq!(together[0], 3000);
    assert!(together[1..].iter().all(|n| (500..700).contains(n)), "{together:?}");
    assert_eq!((bucket_of(9, 3, 4, 0, 0), bucket_of(0, 1, 0, 0, 0), bucket_of(u32::MAX, 0, 0, 0, 0)), (1, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn buckets_are_balanced(parties in 1u32..60, buckets in 1u32..12, round in any::<u64>(), seed in any::<u64>()) {
        let dealt = buckets_of(parties, buckets, round, seed);
        let sizes: Vec<usize> = (0..buckets).map(|b| dealt.iter().filter(|&&d| d == b).count()).collect();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{sizes:?}");
        prop_assert_eq!(bucket_of(parties - 1, parties, buckets, round, seed), dealt[dealt.len() - 1]);
    }

    #[test]
    fn robust_rules_stay_among_the_honest_in_any_order(
        honest in proptest::collection::vec(-1e3f64..1e3, 3..9),
        bad in any::<f64>().prop_filter("finite", |b| b.is_finite()),
        turn in 0usize..9,
    ) {
        let mut buckets: Vec<Vec<f64>> = honest.iter().chain([&bad]).map(|&v| vec![v]).collect();
        let (least, most) = (honest.iter().copied().fold(f64::MAX, f64::min), honest.iter().copied().fold(f64::MIN, f64::max));
        for rule in [Robust::Median, Robust::TrimmedMean { cut: 1 }] {
            let before = rule.combine(&buckets).unwrap();
            prop_assert!(before[0] >= least - 1e-9 && before[0] <= most + 1e-9);
            let places = buckets.len();
            buckets.rotate_left(turn % places);
            prop_assert_eq!(rule.combine(&buckets).unwrap()[0].to_bits(), before[0].to_bits());
        }
    }

    #[test]
    fn what_a_bound_follows_fits_into_it(values in proptest::collection::vec(-100f32..100.0, 11), scale in -20i32..3) {
        let update: Vec<f32> = values.iter().map(|v| v * 2f32.powi(scale)).collect();
        let (tensors, options) = (tensors(), ClippingOptions { most: 1024.0, ..ClippingOptions::default() });
        let next = bounds(&one_hot(&update, &tensors), tensors.len(), &options, &options.first(tensors.len()));
        let mut clipped = update.clone();
        let outside = update.iter().any(|v| v.abs() > 256.0);
        prop_assert!(outside || clip(&mut clipped, &tensors, &next) == 0, "{next:?}");
        let cut = clip(&mut clipped, &tensors, &[1e-3; 4]);
        prop_assert_eq!(cut as usize, update.iter().filter(|v| f64::from(v.abs()) > 1e-3).count());
        prop_assert!(clipped.iter().all(|v| f64::from(v.abs()) <= 1e-3));
    }

    #[test]
    fn packed_round_trip(values in proptest::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 0..50)) {
        let server = Shared::begin(&Strategy::default(), values).unwrap();
        let back: Shared = serde_json::from_str(&serde_json::to_string(&server).unwrap()).unwrap();
        prop_assert!(back.parameters.iter().map(|v| v.to_bits()).eq(server.parameters.iter().map(|v| v.to_bits())));
    }
}
