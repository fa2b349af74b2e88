use super::*;
use crate::prg::SecretStream;
use proptest::prelude::*;

fn rng(index: u64) -> SecretStream {
    SecretStream::new(&[0x33; 32], index)
}

fn fixed(len: usize, bound: f64) -> Segment {
    Segment { name: "gradient".into(), len, coding: Coding::Fixed { bound } }
}

fn noise(clip: f64, multiplier: f64) -> SegmentNoise {
    SegmentNoise { clip, multiplier }
}

fn quantiser(len: usize, bits: u32, guaranteed: u32) -> NoisedQuantiser {
    NoisedQuantiser::new(
        vec![fixed(len, 10.0), fixed(2, 3.0)],
        vec![noise(1.0, 2.0), noise(0.5, 1.0)],
        bits,
        guaranteed,
    )
    .expect("fits")
}

proptest! {
    #[test]
    fn sums_less_the_noise_are_the_plain_sums(
        parties in 1u32..6, guaranteed in 1u32..4, bits in 14u32..=32, seed in any::<u64>(),
        values in prop::collection::vec(-3.0..3.0f64, 6),
    ) {
        let q = quantiser(4, bits, guaranteed);
        let (mut sum, mut plain, mut noises) = (vec![0u64; 6], vec![0u64; 6], vec![0i64; 6]);
        for party in 0..parties {
            let drawn = q.draw(&mut rng(seed ^ u64::from(party)));
            let (mut out, mut bare) = ([0; 6], [0; 6]);
            q.quantise(0, &values, &drawn, &mut out, &mut rng(u64::from(party))).expect("within the bounds");
            q.quantiser.quantise(0, &values, &mut bare, &mut rng(u64::from(party))).expect("within the bounds");
            for i in 0..6 {
                prop_assert!(out[i] <= u32::MAX >> (32 - bits));
                sum[i] += u64::from(out[i]);
                plain[i] += u64::from(bare[i]);
                noises[i] += i64::from(drawn.0[i]);
            }
        }
        for i in 0..6 {
            prop_assert_eq!(sum[i] as i64 - noises[i], plain[i] as i64);
        }
        let (noisy, bare) = (q.dequantise(&sum, parties), q.dequantise(&plain, parties));
        for i in 0..6 {
            let units = q.grids[usize::from(i >= 4)].units;
            prop_assert!((noisy[i] - bare[i] - noises[i] as f64 / units).abs() < 1e-9 * (1.0 + noisy[i].abs()));
            prop_assert!((bare[i] - f64::from(parties) * values[i]).abs() <= f64::from(parties) * 1.0001 / units);
        }
    }

    /// Extreme values and extreme noise together stay within the integers, and the noise of `guaranteed` parties is enough.
    #[test]
    fn every_grid_keeps_its_promises(
        len in 1usize..200_000, bound in 0.01..100.0f64, ratio in 0.001..1.0f64, multiplier in 0.1..50.0f64,
        bits in 8u32..=32, guaranteed in 1u32..20,
    ) {
        let clip = bound * ratio;
        let law = noise(clip, multiplier);
        match grid(len, bound, &law, bits, guaranteed) {
            None => prop_assert!(bits < 32 || ratio < 0.1 || multiplier > 1.0),
            Some(grid) => {
                let (zero, s) = (f64::from(zero(bits)), f64::from(grid.sigma));
                let sensitivity = clip * grid.units + (len as f64).sqrt();
                prop_assert!((bound * grid.units).ceil() + 12.0 * s <= zero);
                // The variance of `guaranteed` parties, less the smoothing, against the sensitivity.
                let summed = (f64::from(guaranteed) * s * s - 4.0).sqrt();
                prop_assert!(summed >= multiplier * sensitivity);
                prop_assert!(s >= 8.0);
                // No more noise than asked for, but for rounding up.
                let asked = multiplier * sensitivity * 1.0001 / f64::from(guaranteed).sqrt();
                prop_assert!(s == 8.0 || s <= asked + 3.0, "{} {}", s, asked);
            }
        }
    }
}

#[test]
fn neighbours_differ_by_no_more_than_the_sensitivity() {
    let q = NoisedQuantiser::new(vec![fixed(1000, 5.0)], vec![noise(1.0, 1.0)], 20, 1).expect("fits");
    let mut worst = 0.0f64;
    for trial in 0..50 {
        let mut stream = rng(trial);
        let mut uniform = || f64::from(stream.next_u32()) / 2f64.powi(31) - 1.0;
        let values: Vec<f64> = (0..1000).map(|_| 3.0 * uniform()).collect();
        let mut firm: Vec<f64> = (0..1000).map(|_| uniform()).collect();
        crate::secure_sum::clip_l2(&mut firm, 1.0);
        let with: Vec<f64> = values.iter().zip(&firm).map(|(a, b)| a + b).collect();
        let drawn = q.draw(&mut rng(trial));
        let integers = |values: &[f64]| {
            let mut out = vec![0; 1000];
            q.quantise(0, values, &drawn, &mut out, &mut rng(1)).expect("within the bounds");
            out
        };
        let (a, b) = (integers(&values), integers(&with));
        let square: f64 = a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        worst = worst.max(square.sqrt());
    }
    let limit = q.grids[0].units + 1000f64.sqrt();
    assert!(worst <= limit && worst > 0.9 * q.grids[0].units, "{worst} of {limit}");
}

#[test]
fn the_sum_has_the_variance_that_is_said() {
    let q = NoisedQuantiser::new(vec![fixed(50_000, 1.0)], vec![noise(0.5, 1.5)], 24, 2).expect("fits");
    for parties in [2u32, 3, 5] {
        let mut sum = vec![0u64; 50_000];
        for party in 0..parties {
            let drawn = q.draw(&mut rng(u64::from(party)));
            let mut out = vec![0; 50_000];
            q.quantise(0, &vec![0.25f32; 50_000], &drawn, &mut out, &mut rng(100)).expect("within the bounds");
            sum.iter_mut().zip(&out).for_each(|(sum, out)| *sum += u64::from(*out));
        }
        let back = q.dequantise(&sum, parties);
        let centre = 0.25 * f64::from(parties);
        let mean = back.iter().sum::<f64>() / 5e4;
        let variance = back.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / 5e4;
        let sigma = q.sigma(0, parties);
        assert!((variance / (sigma * sigma) - 1.0).abs() < 4.5 * (2.0 / 5e4f64).sqrt(), "{parties}: {variance}");
        assert!((mean - centre).abs() < 4.5 * sigma / 5e4f64.sqrt());
        // Any two honest ones are enough.
        assert!(sigma >= 1.5 * 0.5 * (f64::from(parties) / 2.0).sqrt());
    }
}

#[test]
fn parts_of_a_vector_get_their_own_noise() {
    let q = quantiser(4, 20, 1);
    let drawn = q.draw(&mut rng(1));
    let (mut whole, mut split) = ([0; 6], [0; 6]);
    q.quantise(0, &[1.0f64; 6], &drawn, &mut whole, &mut rng(2)).expect("within the bounds");
    let mut coins = rng(2);
    for (start, end) in [(0, 1), (1, 5), (5, 6)] {
        q.quantise(start, &[1.0f64; 6][start..end], &drawn, &mut split[start..end], &mut coins).expect("in range");
    }
    assert_eq!(whole, split);
    assert_eq!(format!("{drawn:?}"), "DrawnNoise(6 numbers)");
}

#[test]
fn several_segments_compose() {
    let Mechanism::Gaussian { multiplier } = quantiser(4, 20, 3).mechanism() else { panic!("every firm takes part") };
    assert!((multiplier - 1.0 / (0.25f64 + 1.0).sqrt()).abs() < 1e-15);
}

#[test]
fn what_is_refused() {
    let new = |segments: Vec<Segment>, law: SegmentNoise, bits, guaranteed| {
        NoisedQuantiser::new(segments, vec![law], bits, guaranteed).map(|_| ()).expect_err("refused")
    };
    let good = noise(1.0, 1.0);
    assert_eq!(new(vec![fixed(1, 1.0)], good, 20, 0), NoiseError::NobodyGuaranteed);
    assert_eq!(new(vec![fixed(1, 1.0); 2], good, 20, 1), NoiseError::Segments { segments: 2, noise: 1 });
    let counts = Segment { coding: Coding::Count, ..fixed(1, 1.0) };
    assert_eq!(new(vec![counts], good, 20, 1), NoiseError::Counts { segment: 0 });
    for clip in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(new(vec![fixed(1, 1.0)], noise(clip, 1.0), 20, 1), NoiseError::Clip { segment: 0, clip });
    }
    for multiplier in [0.0, 0.09, 1e7] {
        let error = NoiseError::Multiplier { segment: 0, multiplier };
        assert_eq!(new(vec![fixed(1, 1.0)], noise(1.0, multiplier), 20, 1), error);
    }
    let error = new(vec![fixed(1_000_000, 1.0)], noise(1.0, 1.0), 12, 1);
    let NoiseError::ValueBits { segment: 0, value_bits: 12, enough: Some(enough) } = error else { panic!("{error}") };
    assert!(NoisedQuantiser::new(vec![fixed(1_000_000, 1.0)], vec![good], enough, 1).is_ok());
    assert!(NoisedQuantiser::new(vec![fixed(1_000_000, 1.0)], vec![good], enough - 1, 1).is_err());
    assert_eq!(error.to_string(), format!("segment 0 does not fit 12 bits with its noise: use {enough}"));
    let error = new(vec![fixed(1 << 30, 1e6)], noise(1e-3, 1.0), 20, 1);
    assert_eq!(error, NoiseError::ValueBits { segment: 0, value_bits: 20, enough: None });
    let length = NoiseError::Quantise(QuantiseError::ValueBits(33));
    assert_eq!(new(vec![fixed(1, 1.0)], good, 33, 1), length);

    let q = quantiser(4, 20, 1);
    let drawn = quantiser(5, 20, 1).draw(&mut rng(1));
    let error = q.quantise(0, &[0.0; 6], &drawn, &mut [0; 6], &mut rng(1));
    assert_eq!(error, Err(NoiseError::Drawn { noise: 7, dimension: 6 }));
    let drawn = q.draw(&mut rng(1));
    let error = q.quantise(3, &[0.0, 0.0, 3.1], &drawn, &mut [0; 3], &mut rng(1));
    let beyond = QuantiseError::BeyondBound { index: 5, segment: 1, value: 3.1, bound: 3.0 };
    assert_eq!(error, Err(beyond.into()));
    let error = q.quantise(0, &[f64::NAN; 6], &drawn, &mut [0; 6], &mut rng(1)).expect_err("no number");
    assert!(matches!(error, NoiseError::Quantise(QuantiseError::NotFinite { index: 0, segment: 0, .. })));
}

#[test]
fn digests_tell_grids_apart() {
    let digests =
        [quantiser(4, 20, 1), quantiser(4, 20, 2), quantiser(5, 20, 1), quantiser(4, 21, 1)].map(|q| q.digest());
    assert!((0..4).all(|i| (0..i).all(|j| digests[i] != digests[j])));
}
