//! One firm never weighs more than agreed, and without a bound nothing changes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod firms;

use firms::{firm_table, specs, take};
use haihe_models::binning::{BinningOptions, bin_columns, design};
use haihe_models::clipped::{Block, ClipError, ClippedSum, RowStatistic, clipped_sum};
use haihe_models::glm::logistic_statistics;
use haihe_models::grid::{grids, label_counts, profile, rows_of};
use haihe_models::metrics::ScoreHistogram;
use haihe_models::noisy::NoisyOptions;
use haihe_models::noisy::statistics::{
    EvaluationStatistic, LabelCountsStatistic, ProfileStatistic, RegressionStatistic, evaluation_blocks,
    evaluation_sum, label_counts_blocks, label_counts_sum, profile_blocks, profile_sum, regression_blocks,
    regression_sum, score_grid,
};
use haihe_models::pooled::{self, ScorecardOptions};
use haihe_models::table::{Split, Table};
use proptest::prelude::*;

/// Given entries, row by row.
struct Given(Vec<Vec<(usize, f64)>>, usize);

impl RowStatistic for Given {
    fn len(&self) -> usize {
        self.1
    }

    fn row(&self, row: usize, mut add: impl FnMut(usize, f64)) {
        self.0[row].iter().for_each(|&(at, value)| add(at, value));
    }
}

fn table_of(firms: Vec<u32>) -> Table {
    let rows = firms.len();
    let (label, split) = (vec![false; rows], vec![Split::Train; rows]);
    Table { specs: Vec::new(), columns: Vec::new(), label, split, firms: Some(firms) }
}

fn block(len: usize, clip: f64) -> Block {
    Block { name: "entries".into(), len, clip, share: 1.0 }
}

/// Norm over clip; no entry overflows, and the rounding of this very sum is below 1e-12.
fn size(values: &[f64], clip: f64) -> f64 {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let root = values.iter().map(|v| (v / largest) * (v / largest)).sum::<f64>().sqrt();
    root * (largest / clip)
}

fn adversarial() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -10.0f64..10.0,
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(f64::NAN),
        Just(f64::NEG_INFINITY),
        Just(1.0),
        Just(1.0 + f64::EPSILON),
    ]
}

proptest! {
    #[test]
    fn the_bound_is_exact_for_any_values(
        rows in prop::collection::vec(prop::collection::vec((0usize..6, adversarial()), 0..9), 1..5),
        clips in (prop_oneof![Just(1.0), Just(1e-90), Just(1e300), 1e-3f64..1e3], 1e-3f64..1e3),
    ) {
        let given = Given(rows.clone(), 6);
        let blocks = [block(4, clips.0), block(2, clips.1)];
        let one = clipped_sum(&given, &table_of(vec![7; rows.len()]), &blocks).unwrap();
        prop_assert_eq!(one.firms, usize::from(rows.iter().any(|r| !r.is_empty())));
        for (part, clip) in [(&one.sum[..4], clips.0), (&one.sum[4..], clips.1)] {
            prop_assert!(part.iter().all(|v| v.is_finite()));
            prop_assert!(size(part, clip) <= 1.0 - 1e-12, "{part:?} over {clip}");
        }
    }

    #[test]
    fn without_a_bound_the_sums_are_the_plain_ones(seed in 0u64..1000) {
        let table = firm_table(seed, 300, 3);
        let options = NoisyOptions::default();
        let infinite = |blocks: Vec<Block>| -> Vec<Block> {
            blocks.into_iter().map(|b| Block { clip: f64::INFINITY, ..b }).collect()
        };
        let sum = clipped_sum(&ProfileStatistic::new(&table).unwrap(), &table, &infinite(profile_blocks(&specs(), &options))).unwrap();
        let plain = profile(&table, Split::Train).unwrap();
        prop_assert_eq!(sum.sum[0] + sum.sum[1], plain[0]);
        prop_assert_eq!(sum.sum[1], plain[1]);
        prop_assert_eq!(sum.sum[2], rows_of(&table, Split::Test).len() as f64);
        prop_assert_eq!(&sum.sum[3..], &plain[2..]);

        let grids = grids(&specs(), &plain, 12).unwrap();
        let statistic = LabelCountsStatistic::new(&table, &grids).unwrap();
        let sum = clipped_sum(&statistic, &table, &infinite(label_counts_blocks(&grids, &options))).unwrap();
        let counts = label_counts(&table, &grids).unwrap();
        prop_assert_eq!(&sum.sum, &counts);
        prop_assert_eq!(&sum.clipped, &[0]);

        let binnings = bin_columns(&specs(), &grids, &counts, &BinningOptions::default()).unwrap();
        let beta = [0.3, 0.9, -0.2, 0.5];
        let statistic = RegressionStatistic::new(&table, &binnings, &beta).unwrap();
        let sum = clipped_sum(&statistic, &table, &infinite(regression_blocks(&binnings, &options))).unwrap();
        let train = design(&table, &binnings, Split::Train).unwrap();
        let plain = logistic_statistics(&train.x, &train.good, &beta).unwrap();
        for (a, b) in sum.sum.iter().zip(plain.gradient.iter().chain(&plain.hessian)) {
            prop_assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{a} {b}");
        }
    }
}

#[test]
fn without_a_bound_the_histograms_are_the_plain_ones() {
    let table = firm_table(5, 2000, 3);
    let card = pooled::train(&[&table], &ScorecardOptions::default()).unwrap().scorecard;
    let options = NoisyOptions::default();
    let statistic = EvaluationStatistic::new(&table, &card, &options).unwrap();
    let blocks: Vec<Block> =
        evaluation_blocks(&options).into_iter().map(|b| Block { clip: f64::INFINITY, ..b }).collect();
    let sum = clipped_sum(&statistic, &table, &blocks).unwrap().sum;
    let grid = score_grid(&card, &options);
    let mut plain = Vec::new();
    for split in [Split::Train, Split::Test] {
        let (scores, bad) = pooled::scores_of(&card, &table, split).unwrap();
        plain.extend(ScoreHistogram::of(&grid, &scores, &bad).unwrap().to_vec());
    }
    assert_eq!(sum, plain);
}

/// The same table without the rows of one firm.
fn without(table: &Table, firm: u32) -> Table {
    let firms = table.firms.as_ref().unwrap();
    let kept: Vec<usize> = (0..table.rows()).filter(|&r| firms[r] != firm).collect();
    take(table, &kept)
}

#[test]
fn one_firm_moves_no_block_by_more_than_its_clip() {
    // Firm 0 is a giant: it holds a third of all rows.
    let mut table = firm_table(9, 1500, 4);
    let firms = table.firms.as_mut().unwrap();
    firms.iter_mut().step_by(3).for_each(|f| *f = 0);
    let options = NoisyOptions::default();
    let plain = profile(&table, Split::Train).unwrap();
    let grids = grids(&specs(), &plain, 12).unwrap();
    let counts = label_counts(&table, &grids).unwrap();
    let binnings = bin_columns(&specs(), &grids, &counts, &BinningOptions::default()).unwrap();
    let card = pooled::train(&[&table], &ScorecardOptions::default()).unwrap().scorecard;
    let beta = [0.3, 0.9, -0.2, 0.5];
    type Part<'a> = Box<dyn Fn(&Table) -> ClippedSum + 'a>;
    let steps: Vec<(Vec<Block>, Part)> = vec![
        (profile_blocks(&specs(), &options), Box::new(|t| profile_sum(t, &options).unwrap())),
        (label_counts_blocks(&grids, &options), Box::new(|t| label_counts_sum(t, &grids, &options).unwrap())),
        (regression_blocks(&binnings, &options), Box::new(|t| regression_sum(t, &binnings, &beta, &options).unwrap())),
        (evaluation_blocks(&options), Box::new(|t| evaluation_sum(t, &card, &options).unwrap())),
    ];
    for firm in [0, 1, 100] {
        let smaller = without(&table, firm);
        assert!(smaller.rows() < table.rows());
        for (blocks, part) in &steps {
            let (with, less) = (part(&table), part(&smaller));
            assert_eq!(with.firms, less.firms + 1);
            let mut at = 0;
            for (index, block) in blocks.iter().enumerate() {
                let moved: Vec<f64> = (at..at + block.len).map(|i| with.sum[i] - less.sum[i]).collect();
                let norm = size(&moved, block.clip);
                // The difference of two sums is rounded; the parts themselves are not.
                assert!(norm <= 1.0 + 1e-9, "{} of firm {firm}: {norm}", block.name);
                if firm == 0 {
                    assert!(with.clipped[index] > less.clipped[index] && norm > 0.999, "{}: {norm}", block.name);
                }
                at += block.len;
            }
        }
    }
}

#[test]
fn firms_of_one_row_lose_no_count() {
    let mut table = firm_table(3, 400, 1);
    let options = NoisyOptions::default();
    table.firms = None;
    let sum = profile_sum(&table, &options).unwrap();
    assert_eq!((sum.firms, sum.clipped), (400, vec![0, 0]));
    let own: Vec<u32> = (0..400).rev().collect();
    assert_eq!(profile_sum(&table.with_firms(own).unwrap(), &options).unwrap().sum, sum.sum);
}

#[test]
fn what_does_not_fit_is_refused() {
    let given = Given(vec![vec![(0, 1.0)]], 3);
    let table = table_of(vec![0]);
    let refused = |blocks: &[Block]| clipped_sum(&given, &table, blocks).unwrap_err();
    assert_eq!(refused(&[block(2, 1.0)]), ClipError::Layout { expected: 3, found: 2 });
    for clip in [0.0, -1.0, f64::NAN] {
        assert!(matches!(refused(&[block(3, clip)]), ClipError::Clip { .. }));
    }
    let short = Table { firms: Some(Vec::new()), ..table };
    assert!(matches!(clipped_sum(&given, &short, &[block(3, 1.0)]), Err(ClipError::Statistics(_))));
    assert!(firm_table(1, 10, 2).with_firms(vec![1]).is_err());
}
