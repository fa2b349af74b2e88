use super::exact::{ERROR, Fixed, POWERS, Threshold, Uniform, exp_neg, exp_neg_fixed};
use super::*;
use crate::prg::SecretStream;
use proptest::prelude::*;

fn stream(index: u64) -> SecretStream {
    SecretStream::new(&[0x5a; 32], index)
}

fn samples(law: &DiscreteGaussian, count: usize, index: u64) -> Vec<i64> {
    let mut out = vec![0; count];
    law.fill(&mut out, &mut stream(index));
    out
}

/// The probability of each `|i| <= reach`; the rest of the line weighs less than 1e-20.
fn probabilities(sigma: f64, reach: i64) -> Vec<f64> {
    let weight = |i: i64| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp();
    let total: f64 = 1.0 + 2.0 * (1..=reach).rev().map(weight).sum::<f64>();
    (-reach..=reach).map(|i| weight(i) / total).collect()
}

/// Pearson's statistic over bins of at least 20 expected samples, as standard deviations above its mean.
fn excess(expected: &[f64], seen: &[u64], count: usize) -> f64 {
    let (mut statistic, mut bins) = (0.0, 0);
    let (mut e, mut o) = (0.0, 0.0);
    for (expected, seen) in expected.iter().zip(seen) {
        e += expected * count as f64;
        o += *seen as f64;
        if e >= 20.0 {
            statistic += (o - e) * (o - e) / e;
            bins += 1;
            (e, o) = (0.0, 0.0);
        }
    }
    let freedom = f64::from(bins - 1);
    assert!(bins > 1, "bins");
    (statistic - freedom) / (2.0 * freedom).sqrt()
}

fn check_law(law: &DiscreteGaussian, bin: i64, count: usize, index: u64) {
    let sigma = law.sigma();
    let reach = (12.0 * sigma).ceil() as i64 + 3;
    let probabilities = probabilities(sigma, reach);
    let bins = (2 * reach) as usize / bin as usize + 1;
    let (mut expected, mut seen) = (vec![0.0; bins], vec![0; bins]);
    for (i, probability) in probabilities.iter().enumerate() {
        expected[i / bin as usize] += probability;
    }
    for sample in samples(law, count, index) {
        seen[((sample + reach) / bin) as usize] += 1;
    }
    let excess = excess(&expected, &seen, count);
    assert!(excess.abs() < 5.0, "{law:?}: {excess} standard deviations");
}

#[test]
fn small_sigmas_follow_the_exact_probabilities() {
    for (index, (p, q)) in [(1, 2), (1, 1), (3, 2), (17, 5), (8, 1), (16, 1), (33, 2), (100, 1)].into_iter().enumerate()
    {
        check_law(&DiscreteGaussian::new(p, q).expect("in range"), 1, 1_000_000, index as u64);
    }
}

#[test]
fn large_sigmas_follow_the_exact_probabilities_in_bins() {
    for (index, p) in [1_000u32, 4_097, 65_536].into_iter().enumerate() {
        check_law(&DiscreteGaussian::new(p, 1).expect("in range"), i64::from(p / 40), 1_000_000, 20 + index as u64);
        check_law(&DiscreteGaussian::new(p, 1).expect("in range"), i64::from(p / 3), 1_000_000, 30 + index as u64);
    }
}

#[test]
fn inside_a_slab_every_number_has_its_own_probability() {
    // All samples of a few neighbouring slabs, folded to their place in the slab: wedges that are cut wrongly show here.
    let law = DiscreteGaussian::new(320, 1).expect("in range");
    check_law(&law, 1, 4_000_000, 40);
}

#[test]
fn a_tail_that_is_reached_follows_the_exact_probabilities() {
    for (index, (p, q, tail)) in [(1, 1, 1), (2, 1, 3), (3, 2, 2), (4, 1, 12)].into_iter().enumerate() {
        check_law(&DiscreteGaussian::with_tail(p, q, Some(tail)).expect("in range"), 1, 100_000, 50 + index as u64);
    }
}

#[test]
fn moments_and_tails_at_production_sizes() {
    for (index, sigma) in [1u32 << 14, 10_000_000, (1 << 24) + 1, 1 << 30].into_iter().enumerate() {
        let law = DiscreteGaussian::new(sigma, 1).expect("in range");
        let scaled: Vec<f64> =
            samples(&law, 1_000_000, 60 + index as u64).iter().map(|&i| i as f64 / f64::from(sigma)).collect();
        let moment = |power: i32| scaled.iter().map(|x| x.powi(power)).sum::<f64>() / scaled.len() as f64;
        // Standard errors: 0.001, sqrt(2) 0.001, sqrt(15) 0.001, sqrt(96) 0.001.
        for (power, mean, error) in [(1, 0.0, 0.001), (2, 1.0, 0.00142), (3, 0.0, 0.0039), (4, 3.0, 0.0098)] {
            assert!((moment(power) - mean).abs() < 4.5 * error, "sigma {sigma}, moment {power}: {}", moment(power));
        }
        let beyond = |limit: f64| scaled.iter().filter(|x| x.abs() > limit).count() as f64;
        // 2 Phi(-3) = 0.0026998, 2 Phi(-4.5) = 6.7953e-6, of a million.
        assert!((beyond(3.0) - 2699.8).abs() < 4.5 * 52.0 && (beyond(4.5) - 6.8).abs() < 12.0);
    }
}

#[test]
fn weights_cover_the_law_and_sum_to_the_whole() {
    for (p, q) in
        [(1, 16), (1, 2), (1, 1), (15, 1), (16, 1), (17, 1), (1000, 7), (1 << 24, 1), (1 << 30, 1), (u32::MAX >> 1, 3)]
    {
        let law = DiscreteGaussian::new(p, q).expect("in range");
        assert_eq!(law.slabs.iter().map(|slab| slab.weight).sum::<u64>(), TOTAL);
        let mut drawn = vec![0u64; law.slabs.len()];
        for (k, cell) in law.cells.iter().enumerate() {
            for (slab, part) in [(k, cell.below), (usize::from(cell.other), (1 << WEIGHT_BITS) - cell.below)] {
                if part > 0 {
                    drawn[slab] += part;
                }
            }
        }
        assert!(drawn.iter().zip(&law.slabs).all(|(drawn, slab)| *drawn == slab.weight), "{law:?}");
        // c_k / F >= exp(-x), from above, at three words.
        for (k, slab) in law.slabs.iter().enumerate() {
            let (square, twice_variance) = law.exponent(k as u64 * u64::from(law.width));
            let (mut e, error) = exp_neg_fixed(square, twice_variance, 3);
            e = e.plus(error).times(law.scale).times(if k + 1 == law.slabs.len() { 2 } else { 1 });
            assert!(e.whole() < slab.weight, "{law:?}, slab {k}");
        }
        // Few tries are wasted.
        let area: f64 = 0.5 + 1.2533 * law.sigma();
        let boxes = TOTAL as f64 / law.scale as f64 * f64::from(law.width);
        assert!(law.sigma() < 1.0 || boxes / area < 1.14, "{law:?}: {}", boxes / area);
    }
}

#[test]
fn the_powers_of_e() {
    for (i, power) in POWERS.iter().enumerate() {
        let (e, error) = exp_neg_fixed(1 << i, 1, 4);
        assert!(error < 10_000);
        assert_eq!(e.word(3), *power);
    }
}

#[test]
fn exponentials_to_256_bits() {
    // floor(2^256 exp(-a / b)).
    for (a, b, words) in KNOWN {
        let (e, error) = exp_neg_fixed(a, b, 5);
        let known = Fixed::from_hex(words, 5);
        assert!(e.minus(error).cmp(&known.plus_high(1)).is_le() && e.plus(error).cmp(&known).is_ge(), "{a}/{b}");
    }
}

proptest! {
    #[test]
    fn the_short_exponential_is_within_its_error(p in 1u64..1 << 31, times in 0.0..9.5f64, q in 1u64..1000) {
        let scaled = (p as f64 * times) as u128 + u128::from(q);
        let (square, twice_variance) = (scaled * scaled, 2 * u128::from(p) * u128::from(p));
        let short = exp_neg(square, twice_variance);
        let (long, error) = exp_neg_fixed(square, twice_variance, 3);
        prop_assert!(error < 100_000);
        prop_assert!(short.abs_diff(long.word(2)) < ERROR);
    }

    /// `U` agrees with the threshold in `agree` words and is then one unit below or above: the answer must be the true one.
    #[test]
    fn bernoulli_decides_at_any_depth(
        p in 1u64..1 << 31, times in 0.01..6.0f64, weight in 1u64 << 40..1 << 62, part in 0.0..1.0f64, agree in 1usize..5,
        zeros in 0u64..130,
    ) {
        let scaled = (p as f64 * times) as u128 + 1;
        let (square, twice_variance) = (scaled * scaled, 2 * u128::from(p) * u128::from(p));
        let scale = (part * (weight >> zeros.min(30)) as f64) as u64 + 1;
        let threshold = Threshold { scale, weight, square, twice_variance };
        // The threshold's digits, times 2^zeros, to ten words.
        let (e, _) = exp_neg_fixed(square, twice_variance, 10);
        let digits = e.times(scale).over(weight).shifted_left(zeros);
        prop_assume!(digits.whole() == 0);
        let words: Vec<u64> = (0..8).map(|i| digits.word(9 - i)).collect();
        prop_assume!(words[agree] > 0 && words[agree] < u64::MAX);
        for (last, below) in [(words[agree] - 1, true), (words[agree] + 1, false)] {
            let mut drawn = words[1..agree].iter().copied().chain([last]).chain([if below { u64::MAX } else { 0 }; 20]);
            let uniform = Uniform::new(words[0], zeros);
            prop_assert_eq!(threshold.is_above(uniform, &mut || drawn.next().expect("enough words")), below);
        }
    }
}

#[test]
fn the_short_and_the_long_way_agree() {
    // The same digits of U settled from 32, 64 and 192 of them.
    let law = DiscreteGaussian::new(1000, 1).expect("in range");
    let mut rng = stream(70);
    let mut unsettled = 0;
    for k in 0..law.slabs.len() - 1 {
        for _ in 0..300 {
            let mut words = Words::new(&mut rng);
            let i = k as u64 * u64::from(law.width) + u64::from(words.next() as u32 % law.width);
            let (digits, weight) = (words.next() as u32, law.slabs[k].weight);
            let second = words.next();
            words.words[words.used - 1] = second;
            words.used -= 1;
            let settled = law.settle(i, weight, digits, &mut words);
            let (square, twice_variance) = law.exponent(i);
            let threshold = Threshold { scale: law.scale, weight, square, twice_variance };
            let uniform = Uniform::new(u64::from(digits) << 32 | second >> 32, 0);
            assert_eq!(settled, threshold.is_above(uniform, &mut || words.next()));
            if digits < law.slabs[k].accept {
                assert!(settled, "slab {k}");
            } else {
                unsettled += 1;
            }
        }
    }
    assert!(unsettled > 1000, "{unsettled}");
}

#[test]
fn uniform_numbers_are_exactly_uniform() {
    // Over all 2^32 words in steps of an odd number of them, every result is as frequent as every other, up to one.
    for bound in [1u32, 3, 1000, 65_537] {
        let counted = (0..1u64 << 22).filter(|i| uniform_below(bound, (i << 10) as u32).is_some()).count();
        assert!(counted as f64 >= (1u64 << 22) as f64 * (1.0 - f64::from(bound) / 2f64.powi(22) - 1e-6));
    }
    // Exactly: the words that give `v` are those with product in [v 2^32 + r, (v + 1) 2^32), r = 2^32 mod bound.
    let bound = 1_000_003u64;
    let rest = (1u64 << 32) % bound;
    for v in [0, 1, 777, bound - 1] {
        let first = ((v << 32) + rest).div_ceil(bound);
        let end = ((v + 1) << 32).div_ceil(bound);
        assert_eq!(end - first, (1 << 32) / bound);
        for word in first.saturating_sub(2)..first + 2 {
            let expected = (word >= first).then_some(v as u32);
            let got = uniform_below(bound as u32, word as u32).filter(|&got| u64::from(got) == v);
            assert_eq!(got, expected, "word {word}");
        }
    }
}

#[test]
fn sigmas_out_of_range() {
    for (p, q) in [(0, 1), (1, 0), (1, 17), (1 << 31, 2), ((1 << 30) + 1, 1)] {
        assert!(DiscreteGaussian::new(p, q).is_err(), "{p}/{q}");
    }
}

const KNOWN: [(u128, u128, &str); 4] = [
    (1, 1, "5e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a507daed"),
    (1, 3, "b76e989179752689c5984c9c50ebe4c9a86a1feb960e62121fe12615380ce967"),
    (22, 7, "0b0c7d0dcbbf5eacdfe7f9da0aada1bb7930bd81a091aa1f4b2bc939e849bf3d"),
    (1000, 37, "000000000202eef598564f367076f7acc13ec2561983dbef0a22724a602c3f8d"),
];
