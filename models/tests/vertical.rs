//! Vertical learning against its pooled twin, on made-up firms.

use haihe_models::binning::{Matrix, Shape};
use haihe_models::glm::{LogisticStatistics, Newton, NewtonOptions, NewtonOutcome, logistic_statistics};
use haihe_models::scorecard::{ScalingOptions, Value};
use haihe_models::table::{Column, ColumnKind, ColumnSpec};
use haihe_models::vertical::attack::{reconstruct, spanned};
use haihe_models::vertical::label_holder::LabelState;
use haihe_models::vertical::minibatch::MinibatchOptions;
use haihe_models::vertical::pooled::{Fitted, federate, federate_batches, federate_selected, fit};
use haihe_models::vertical::score::{Block, points, probability_of_default, total};
use haihe_models::vertical::selection::{CONTRADICTION, SelectionOptions, by_correlation, contradicting, review};
use haihe_models::vertical::woe::{FineColumn, WoeOptions, final_columns, fine_columns, merge};
use haihe_models::vertical::{
    Direction, DropReason, Encoded, Encoder, FeatureHolder, Features, LabelHolder, SolverOptions, Status,
    VerticalError, gradient_from_products, log_odds, quantise_residuals,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// Correlated numbers in parts of the given widths, and labels that depend on all of them.
fn firms(seed: u64, rows: usize, widths: &[usize]) -> (Vec<Encoded>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = move || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let common: Vec<[f64; 2]> = (0..rows).map(|_| [normal(), normal()]).collect();
    let mut z = vec![-1.2; rows];
    let mut parts = Vec::new();
    for &width in widths {
        let mut columns = Vec::new();
        for j in 0..width {
            let (a, b, effect) = (0.4 * normal(), 0.4 * normal(), 0.4 * normal());
            let column: Vec<f64> =
                common.iter().map(|c| a * c[0] + b * c[1] + normal() * (1.0 + j as f64 / 4.0) / 2.0).collect();
            z.iter_mut().zip(&column).for_each(|(z, x)| *z += effect * x);
            columns.push(column.iter().map(|x| (x * 4096.0).clamp(-65_000.0, 65_000.0) as i32).collect());
        }
        parts.push(Encoded::new(rows, columns).expect("values are in range"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let bad = z.iter().map(|z| rng.random::<f64>() < 1.0 / (1.0 + (-z).exp())).collect();
    (parts, bad)
}

fn all(parts: &[Encoded]) -> Vec<&Encoded> {
    parts.iter().collect()
}

fn joint(parts: &[Encoded], bad: &[bool], options: &SolverOptions) -> Fitted {
    let parts = all(parts);
    federate(parts[0], &parts[1..], bad, options, 16, |_| {}).expect("honest parties finish")
}

/// One pass of the feature holders.
fn pass(label: &mut LabelHolder, holders: &mut [FeatureHolder]) -> Direction {
    let combination = label.combination();
    let residuals = quantise_residuals(&label.residuals(), 16);
    let mut sum: Option<Direction> = None;
    for h in holders {
        h.apply(&combination).expect("the combination fits");
        let d = h.direct(&gradient_from_products(&h.x().products(&residuals), 16)).expect("the gradient fits");
        sum = Some(sum.map_or(d.clone(), |s| s.plus(&d).expect("same shape")));
    }
    sum.expect("a holder")
}

#[test]
fn the_label_holder_alone_solves_what_the_horizontal_newton_solves() {
    let (parts, bad) = firms(1, 600, &[5]);
    let twin = fit(&all(&parts), &bad, &SolverOptions { ridge: 2.0, ..SolverOptions::default() }).expect("fits");
    let real = parts[0].real();
    let data = (0..600).flat_map(|r| real.iter().map(move |c| c[r])).collect();
    let x = Matrix::new(600, 5, data).expect("600 x 5");
    let names = (0..5).map(|i| format!("x{i}")).collect();
    let mut newton =
        Newton::new(names, NewtonOptions { ridge: 2.0, tolerance: 1e-9, max_rounds: 50 }).expect("options");
    let fit = loop {
        let s: LogisticStatistics = logistic_statistics(&x, &bad, newton.beta()).expect("statistics");
        match newton.step(&s) {
            NewtonOutcome::Continue(next) | NewtonOutcome::Backtrack(next) => newton = next,
            NewtonOutcome::Converged(fit) => break fit,
            NewtonOutcome::Failed(e) => panic!("{e}"),
        }
    };
    assert!((twin.intercept - fit.coefficients[0].value).abs() < 1e-6);
    for (a, b) in twin.coefficients[0].iter().zip(&fit.coefficients[1..]) {
        assert!((a - b.value).abs() < 1e-6, "{a} {}", b.value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_federation_reaches_the_pooled_coefficients_and_the_objective_never_rises(
        seed in any::<u64>(),
        widths in prop::collection::vec(1usize..6, 2..5),
        balanced in any::<bool>(),
        ridge in 0.1f64..30.0,
    ) {
        let (parts, bad) = firms(seed, 500, &widths);
        let options = SolverOptions { balanced, ridge, tolerance: 1e-5, ..SolverOptions::default() };
        let twin = fit(&all(&parts), &bad, &options).expect("fits");
        let joint = joint(&parts, &bad, &options);
        prop_assert!(joint.distance(&twin) < 1e-3, "{} after {}", joint.distance(&twin), joint.passes.len());
        for pair in joint.passes.windows(2) {
            prop_assert!(pair[1].objective <= pair[0].objective + 1e-12);
        }
        prop_assert!(joint.passes.len() <= 31);
    }

    #[test]
    fn no_group_and_no_difference_is_below_the_minimum(
        seed in any::<u64>(),
        ordered in 1usize..25,
        alone in 0usize..5,
        minimum in 1u64..12,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let bins = ordered + alone;
        let rows: Vec<u64> = (0..bins).map(|_| rng.random_range(0..40)).collect();
        let bad: Vec<u64> = rows.iter().map(|&r| rng.random_range(0..=r)).collect();
        let labels: Vec<bool> = rows.iter().zip(&bad).flat_map(|(&r, &b)| (0..r).map(move |i| i < b)).collect();
        prop_assume!(labels.contains(&true) && labels.contains(&false));
        let standalone = (0..bins).map(|b| b >= ordered).collect();
        let options = WoeOptions { minimum_goods: minimum, minimum_bads: minimum, ..WoeOptions::default() };
        let merged = merge(&[FineColumn { rows, bad, standalone }], &labels, &options).expect("honest counts");
        let (mut good, mut bad) = (merged.good, merged.bad);
        for g in &merged.columns[0].groups {
            prop_assert!(g.good >= minimum && g.bad >= minimum);
            (good, bad) = (good - g.good, bad - g.bad);
        }
        let hidden = good + bad == 0 || (good >= minimum && bad >= minimum) || merged.columns[0].groups.is_empty();
        prop_assert!(hidden, "{good} goods and {bad} bads are left over");
    }
}

#[test]
fn merging_old_directions_keeps_going_down() {
    let (parts, bad) = firms(3, 800, &[4, 9, 8]);
    let options = SolverOptions { memory: 2, max_passes: 100, tolerance: 1e-5, ..SolverOptions::default() };
    let twin = fit(&all(&parts), &bad, &options).expect("fits");
    let joint = joint(&parts, &bad, &options);
    assert!(joint.distance(&twin) < 1e-3, "{}", joint.distance(&twin));
    assert!(joint.passes.windows(2).all(|p| p[1].objective <= p[0].objective + 1e-12));
}

#[test]
fn the_same_columns_at_several_parties_share_their_effect() {
    let (parts, bad) = firms(4, 500, &[3]);
    let doubled = vec![parts[0].clone(), parts[0].clone(), parts[0].clone()];
    let options = SolverOptions { tolerance: 1e-6, ..SolverOptions::default() };
    let twin = fit(&all(&doubled), &bad, &options).expect("the ridge decides");
    let joint = joint(&doubled, &bad, &options);
    assert!(joint.distance(&twin) < 1e-3, "{}", joint.distance(&twin));
    let twice: Vec<Vec<i32>> = (0..3).chain(0..3).map(|j| parts[0].column(j).to_vec()).collect();
    let found = Encoded::new(500, twice).expect("same rows").collinear(1e-4);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|c| c.unexplained < 1e-6));
    assert!(parts[0].collinear(1e-4).is_empty());
}

#[test]
fn a_label_holder_without_columns_and_a_warm_start() {
    let (parts, bad) = firms(5, 500, &[4, 4]);
    let none = Encoded::new(500, Vec::new()).expect("no columns");
    let options = SolverOptions { tolerance: 1e-5, ..SolverOptions::default() };
    let twin = fit(&all(&parts), &bad, &options).expect("fits");
    let cold = federate(&none, &all(&parts), &bad, &options, 16, |_| {}).expect("finishes");
    assert!((cold.coefficients[1][0] - twin.coefficients[0][0]).abs() < 1e-3);
    let mut label = LabelHolder::new(&none, bad, Vec::new(), options).expect("labels");
    let mut holders: Vec<_> = parts.iter().map(|x| FeatureHolder::new(x.clone(), 1.0).expect("columns")).collect();
    assert_eq!(label.alone().expect("solves").status, Status::Continue);
    let first = holders[0].start(twin.coefficients[0].clone()).expect("starts");
    let both = first.plus(&holders[1].start(twin.coefficients[1].clone()).expect("starts")).expect("same rows");
    label.receive(&both).expect("fits");
    let sum = pass(&mut label, &mut holders);
    let done = label.receive(&sum).expect("fits");
    assert_eq!((done.pass, done.status), (2, Status::Converged), "{done:?}");
}

#[test]
fn stored_states_continue_to_the_same_bits() {
    let (parts, bad) = firms(6, 300, &[2, 3]);
    let options = SolverOptions { memory: 2, ..SolverOptions::default() };
    let new_label = || LabelHolder::new(&parts[0], bad.clone(), Vec::new(), options.clone()).expect("labels");
    let new_holder = || FeatureHolder::new(parts[1].clone(), 1.0).expect("columns");
    let (mut label, mut holders) = (new_label(), vec![new_holder()]);
    label.alone().expect("solves");
    let (mut label2, mut holders2) = (new_label(), vec![new_holder()]);
    label2.alone().expect("solves");
    for _ in 0..4 {
        let (a, b) = (pass(&mut label, &mut holders), pass(&mut label2, &mut holders2));
        assert_eq!(a, b);
        assert_eq!(label.receive(&a).expect("fits"), label2.receive(&b).expect("fits"));
        let text = serde_json::to_string(label2.state()).expect("serialises");
        let state: LabelState = serde_json::from_str(&text).expect("parses");
        label2 = new_label().resume(state).expect("the same job");
        let text = serde_json::to_string(holders2[0].state()).expect("serialises");
        holders2 = vec![new_holder().resume(serde_json::from_str(&text).expect("parses")).expect("the same job")];
    }
    assert!(!format!("{label:?} {holders:?} {:?}", label.state()).contains('.'), "no number is shown");
}

#[test]
fn held_out_rows_do_not_train_and_can_stop_early() {
    let (parts, mut bad) = firms(7, 300, &[2, 25]);
    // Labels of noise: anything learned is overfitted.
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    bad.iter_mut().for_each(|b| *b = rng.random());
    let held_out: Vec<usize> = (0..300).filter(|r| r % 3 == 0).collect();
    let options =
        SolverOptions { ridge: 1e-3, patience: Some(1), max_passes: 16, tolerance: 1e-6, ..SolverOptions::default() };
    let mut label = LabelHolder::new(&parts[0], bad, held_out.clone(), options).expect("labels");
    let mut holders = vec![FeatureHolder::new(parts[1].clone(), 1e-3).expect("columns")];
    let mut seen = vec![label.alone().expect("solves")];
    while seen[seen.len() - 1].status == Status::Continue {
        assert!(held_out.iter().all(|&r| label.residuals()[r] == 0.0));
        let sum = pass(&mut label, &mut holders);
        seen.push(label.receive(&sum).expect("fits"));
    }
    let last = &seen[seen.len() - 1];
    assert_eq!(last.status, Status::StoppedEarly, "{seen:?}");
    let best = seen.iter().filter_map(|p| p.held_out_loss).fold(f64::INFINITY, f64::min);
    let scores = label.scores();
    assert!(scores.iter().all(|z| z.is_finite()));
    assert!(best < last.held_out_loss.expect("rows are held out"));
}

#[test]
fn batches_come_near_and_are_the_same_everywhere() {
    let (parts, bad) = firms(8, 4000, &[3, 4, 3]);
    let options = SolverOptions::default();
    let twin = fit(&all(&parts), &bad, &options).expect("fits");
    let batches = MinibatchOptions { batch_rows: 300, epochs: 4, rate: 0.5, seed: 9 };
    let parts = all(&parts);
    let near = federate_batches(parts[0], &parts[1..], &bad, &options, &batches, 16).expect("finishes");
    assert!(near.distance(&twin) < 0.1, "{}", near.distance(&twin));
    let mut rows: Vec<usize> = (0..batches.batches(4000)).flat_map(|s| batches.batch(4000, s)).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..4000).collect::<Vec<_>>());
    assert_ne!(batches.batch(4000, 0), batches.batch(4000, batches.batches(4000)));
}

/// A numeric column that is worst in the middle, with missing values, and a categorical one; a constant and an unknown.
fn shop(rows: usize) -> (Features, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut turn, mut kind, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let (x, missing, level): (f64, bool, u32) =
            (rng.random_range(-3.0..3.0), rng.random::<f64>() < 0.05, rng.random_range(0..4));
        let risk = -0.5 * x * x + [0.0, 1.0, -1.0, 0.5][level as usize] + if missing { 1.5 } else { 0.0 };
        bad.push(rng.random::<f64>() < 1.0 / (1.0 + (-risk).exp()));
        turn.push(if missing { f64::NAN } else { x });
        kind.push(level);
    }
    let levels = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let specs = vec![
        numeric("turn"),
        ColumnSpec { name: "kind".to_owned(), kind: ColumnKind::Categorical { levels } },
        numeric("same"),
    ];
    let columns = vec![Column::Numeric(turn), Column::Categorical(kind), Column::Numeric(vec![7.0; rows])];
    (Features::new(specs, columns, rows).expect("the columns agree"), bad)
}

#[test]
fn weights_of_evidence_without_labels_at_the_owner() {
    let (features, bad) = shop(4000);
    let train: Vec<usize> = (0..3000).collect();
    let labels = &bad[..3000];
    let options = WoeOptions::default();
    let fine = fine_columns(&features, &train, &options).expect("options");
    for f in &fine {
        let rows = f.rows();
        assert_eq!(rows.iter().sum::<u64>(), 3000);
        for (bin, &n) in rows.iter().enumerate() {
            assert_eq!(f.indicator(bin).iter().map(|&i| i as u64).sum::<u64>(), n);
        }
    }
    let counted: Vec<FineColumn> = fine.iter().map(|f| f.counted(f.bads(labels))).collect();
    let merged = merge(&counted, labels, &options).expect("honest counts");
    let encoder = final_columns(&fine, &merged, &options).expect("honest answer");
    assert_eq!(encoder.names(), ["turn", "kind"]);
    assert!(matches!(encoder.dropped[0].reason, DropReason::LowInformation { iv } if iv < 0.02));
    // Worst in the middle: the automatic shape must find the turn, a monotone one must not be able to.
    let (middle, ends) =
        (encoder.columns[0].number(0.0), [encoder.columns[0].number(-2.9), encoder.columns[0].number(2.9)]);
    assert!(ends.iter().all(|&e| e > middle + 4096), "{middle} {ends:?}");
    let strict = WoeOptions { shape: Shape::Monotone, min_iv: 0.0, ..options.clone() };
    let monotone = final_columns(&fine, &merged, &strict).expect("honest answer");
    let along: Vec<i32> = (-29..=29).map(|x| monotone.columns[0].number(f64::from(x) / 10.0)).collect();
    assert!(along.is_sorted() || along.iter().rev().is_sorted(), "{along:?}");
    // An answer that does not fit the owner's own counts, and counts that no rows have.
    let mut forged = merged.clone();
    forged.columns[0].groups[0].good += 1;
    assert!(matches!(final_columns(&fine, &forged, &options), Err(VerticalError::Counts { column: 0 })));
    let mut impossible = counted;
    impossible[1].bad[0] = impossible[1].rows[0] + 1;
    assert!(matches!(merge(&impossible, labels, &options), Err(VerticalError::Counts { column: 1 })));
    assert!(matches!(merge(&[], &[true; 5], &options), Err(VerticalError::OneClass { rows: 5 })));
}

#[test]
fn a_pure_missing_bin_takes_the_weight_of_the_most_alike_group() {
    let values: Vec<f64> = (0..400).map(|i| if i < 20 { f64::NAN } else { f64::from(i) }).collect();
    let bad: Vec<bool> = (0..400).map(|i| i < 20 || (i < 200 && i % 2 == 0) || i % 10 == 0).collect();
    let spec = vec![ColumnSpec { name: "x".to_owned(), kind: ColumnKind::Numeric }];
    let features = Features::new(spec, vec![Column::Numeric(values)], 400).expect("one column");
    let train: Vec<usize> = (0..400).collect();
    let options = WoeOptions::default();
    let fine = fine_columns(&features, &train, &options).expect("options");
    let merged = merge(&[fine[0].counted(fine[0].bads(&bad))], &bad, &options).expect("honest counts");
    assert_eq!(merged.columns[0].joined.len(), 1);
    let encoder = final_columns(&fine, &merged, &options).expect("honest answer");
    assert!(encoder.columns[0].number(f64::NAN) < 0, "missing is bad");
    assert!(encoder.columns[0].number(300.0) > 0);
}

#[test]
fn one_firm_and_a_table_score_to_the_same_bits() {
    let (features, bad) = shop(3000);
    let train: Vec<usize> = (0..2000).collect();
    let options = WoeOptions::default();
    let fine = fine_columns(&features, &train, &options).expect("options");
    let counted: Vec<FineColumn> = fine.iter().map(|f| f.counted(f.bads(&bad[..2000]))).collect();
    let merged = merge(&counted, &bad[..2000], &options).expect("honest counts");
    let woe = final_columns(&fine, &merged, &options).expect("honest answer");
    let plain = Encoder::standardise(&features, &train).expect("rows exist");
    assert_eq!(plain.names(), ["turn"]);
    assert_eq!(
        plain.dropped.iter().map(|d| d.reason.clone()).collect::<Vec<_>>(),
        [DropReason::Categorical, DropReason::Constant]
    );
    let rows: Vec<usize> = (0..3000).collect();
    for (encoder, weights) in [(woe, vec![-0.731, -1.137]), (plain, vec![0.377])] {
        let block = Block::new(&encoder, &weights, -0.25, &features, &train).expect("in range");
        let text = serde_json::to_string(&block).expect("serialises");
        let block: Block = serde_json::from_str(&text).expect("parses");
        block.check().expect("as written");
        let partials = block.partials(&features, &rows).expect("the columns are there");
        let [Column::Numeric(turn), Column::Categorical(kind), _] = features.columns() else { panic!("three columns") };
        for &r in &rows {
            let alone = block.partial(|name| match name {
                "turn" if turn[r].is_nan() => Value::Missing,
                "turn" => Value::Number(turn[r]),
                _ => Value::Text(["a", "b", "c", "never seen"][kind[r] as usize].to_owned()),
            });
            assert_eq!(alone, partials[r]);
        }
        let exact =
            encoder.encode(&features, &rows).expect("the columns are there").scores(&weights).expect("in range");
        let slack = 2 + weights.len() as i64;
        assert!(exact.iter().zip(&partials).all(|(e, p)| (e - (p - block.base)).abs() <= slack));
        let mean = partials[..2000].iter().map(|&p| p as f64).sum::<f64>() / 2000.0;
        assert!((block.mean_partial as f64 - mean).abs() <= 1.0);
        let scaling = ScalingOptions::default();
        let score = total([partials[0], 1 << 26]).expect("fits");
        assert!((probability_of_default(score) - 1.0 / (1.0 + (-log_odds(score)).exp())).abs() < 1e-12);
        assert!(points(score, &scaling) < points(partials[0], &scaling), "more risk, fewer points");
        assert!((block.base_points(&scaling) - points(block.base, &scaling)).abs() < 1e-9);
    }
    assert_eq!(total([i64::MAX, 1]), None);
}

#[test]
fn refusals_name_the_column_and_the_rows_but_no_value() {
    let spec = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let one = |values: Vec<f64>, rows| Features::new(vec![spec("turnover")], vec![Column::Numeric(values)], rows);
    let infinite = one(vec![1234.5, f64::INFINITY, f64::NAN], 3).expect_err("infinite").to_string();
    assert!(infinite.contains("turnover") && infinite.contains("3 rows") && !infinite.contains("1234"), "{infinite}");
    let short = one(vec![1.0; 4], 5).expect_err("too short").to_string();
    assert!(short.contains("turnover") && short.contains('4') && short.contains('5'), "{short}");
    let features = one(vec![f64::NAN; 3], 3).expect("missing values are fine");
    let encoder = Encoder::standardise(&features, &[0, 1, 2]).expect("rows exist");
    assert_eq!(encoder.dropped[0].reason, DropReason::AllMissing);
    let nothing = encoder.encode(&features, &[0]).expect("no columns");
    assert!(matches!(FeatureHolder::new(nothing, 1.0), Err(VerticalError::NoColumns { rows: 1, .. })));
    assert!(matches!(Encoder::standardise(&features, &[3]), Err(VerticalError::RowSet { rows: 3 })));
    let none = Encoded::new(4, Vec::new()).expect("no columns");
    let options = SolverOptions::default();
    let one_class = LabelHolder::new(&none, vec![true; 4], Vec::new(), options.clone());
    assert!(matches!(one_class, Err(VerticalError::OneClass { rows: 4 })));
    let mut label = LabelHolder::new(&none, vec![true, false, true, true], Vec::new(), options).expect("two classes");
    label.alone().expect("solves");
    let wrong = Direction { scores: vec![0; 3], scalars: vec![0.0; 3] };
    assert!(matches!(label.receive(&wrong), Err(VerticalError::Length { what: "scores", expected: 4, found: 3 })));
    let wrong = Direction { scores: vec![i64::MIN; 4], scalars: vec![0.0; 3] };
    assert!(matches!(label.receive(&wrong), Err(VerticalError::NotFinite { what: "scores" })));
    let wrong = Direction { scores: vec![0; 4], scalars: vec![f64::NAN; 3] };
    assert!(matches!(label.receive(&wrong), Err(VerticalError::NotFinite { what: "scalars" })));
}

#[test]
fn as_many_passes_as_columns_give_a_sole_holder_away_and_two_holders_less() {
    let known: Vec<usize> = (0..30).collect();
    let seen = |widths: &[usize], passes: usize| {
        let (parts, bad) = firms(12, 1000, widths);
        let options = SolverOptions { tolerance: 1e-9, ..SolverOptions::default() };
        let mut label = LabelHolder::new(&parts[0], bad, Vec::new(), options).expect("labels");
        let mut holders: Vec<_> =
            parts[1..].iter().map(|x| FeatureHolder::new(x.clone(), 1.0).expect("columns")).collect();
        label.alone().expect("solves");
        for _ in 0..passes {
            let sum = pass(&mut label, &mut holders);
            label.receive(&sum).expect("fits");
        }
        (label.received().to_vec(), parts[1].clone())
    };
    let (received, columns) = seen(&[2, 4], 4);
    assert!(reconstruct(&received, &known, &columns).relative_error < 0.05);
    let (received, columns) = seen(&[2, 4], 2);
    assert!(reconstruct(&received, &known, &columns).relative_error > 0.3);
    let (received, columns) = seen(&[2, 4, 4], 4);
    assert!(reconstruct(&received, &known, &columns).relative_error > 0.3);
    assert!(spanned(&received, &columns).relative_error > 0.3);
    let mut holder = FeatureHolder::new(columns, 1.0).expect("columns").with_most_directions(0);
    assert!(matches!(holder.direct(&[0.0; 4]), Err(VerticalError::Budget { most: 0 })));
}

/// Columns of weights of evidence: a high value is good. The last of each part but the first says what the part's first says,
/// less well, so that its coefficient contradicts; the outcomes depend on all.
fn suppressed(seed: u64, rows: usize, widths: &[usize]) -> (Vec<Encoded>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = move || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let (mut parts, mut z) = (Vec::new(), vec![-1.0; rows]);
    for &width in widths {
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for j in 0..width {
            let twin = (j > 0 && j + 1 == width).then(|| columns[0].clone());
            let column: Vec<f64> =
                (0..rows).map(|r| twin.as_ref().map_or(normal(), |t| t[r] + 0.5 * normal())).collect();
            let effect = if twin.is_some() { 0.5 } else { -1.0 };
            z.iter_mut().zip(&column).for_each(|(z, x)| *z += effect * x);
            columns.push(column);
        }
        let fixed = |c: &Vec<f64>| c.iter().map(|x| (x * 4096.0) as i32).collect();
        parts.push(Encoded::new(rows, columns.iter().map(fixed).collect()).expect("values are in range"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let bad = z.iter().map(|z| rng.random::<f64>() < 1.0 / (1.0 + (-z).exp())).collect();
    (parts, bad)
}

#[test]
fn of_two_columns_that_say_the_same_the_weaker_is_left_out() {
    let rows = 3000;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let strong: Vec<f64> = (0..rows).map(|_| rng.random_range(-2.0..2.0)).collect();
    let weak: Vec<f64> = strong.iter().map(|x| -x + 0.3 * rng.random_range(-1.0..1.0)).collect();
    let other: Vec<f64> = (0..rows).map(|_| rng.random_range(-2.0..2.0)).collect();
    let bad: Vec<bool> =
        (0..rows).map(|r| rng.random::<f64>() < 1.0 / (1.0 + (-(strong[r] + 0.5 * other[r] - 1.0)).exp())).collect();
    let spec = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let columns = [weak, strong, other].map(Column::Numeric).to_vec();
    let features = Features::new(["weak", "strong", "other"].map(spec).to_vec(), columns, rows).expect("columns");
    let (train, options) = ((0..rows).collect::<Vec<_>>(), WoeOptions::default());
    let fine = fine_columns(&features, &train, &options).expect("options");
    let counted: Vec<FineColumn> = fine.iter().map(|f| f.counted(f.bads(&bad))).collect();
    let merged = merge(&counted, &bad, &options).expect("honest counts");
    let encoder = final_columns(&fine, &merged, &options).expect("honest answer");
    let encoded = encoder.encode(&features, &train).expect("the columns are there");
    assert_eq!(by_correlation(encoder.clone(), &encoded, 1.0), Ok(encoder.clone()), "off");
    assert_eq!(by_correlation(encoder.clone(), &encoded, 0.999).expect("fits").names().len(), 3);
    let selected = by_correlation(encoder.clone(), &encoded, 0.75).expect("fits");
    assert_eq!(selected.names(), ["strong", "other"]);
    match &selected.dropped[0].reason {
        DropReason::Correlated { with, correlation } => assert!(with == "strong" && *correlation > 0.75),
        other => panic!("{other:?}"),
    }
    // Equals: the first of the job stays.
    let twins = Encoded::new(rows, vec![encoded.column(1).to_vec(); 3]).expect("in range");
    let mut same = encoder.clone();
    same.columns = vec![encoder.columns[1].clone(); 3];
    assert_eq!(by_correlation(same, &twins, 0.9).expect("fits").names(), ["strong"]);
    assert!(by_correlation(encoder, &twins.narrowed(&[0]), 0.9).is_err(), "other columns");
    let range = |c| SelectionOptions { max_correlation: Some(c), require_positive: None }.validate();
    assert!(range(0.0).is_err() && range(1.1).is_err() && range(f64::NAN).is_err() && range(1.0).is_ok());
}

#[test]
fn a_review_is_backward_elimination() {
    let (parts, bad) = suppressed(21, 1500, &[5]);
    let twin = fit(&[&parts[0]], &bad, &SolverOptions::default()).expect("fits");
    let w = &twin.coefficients[0];
    let found = review(&parts[0].real(), w, 0.15, 1.0, CONTRADICTION).expect("solves");
    assert_eq!((found.kept.as_slice(), found.dropped.as_slice()), (&[0, 1, 2, 3][..], &[(4, w[4])][..]));
    // The column that said the same takes over: nearly what a fit without the other finds.
    let without = fit(&[&parts[0].narrowed(&found.kept)], &bad, &SolverOptions::default()).expect("fits");
    for (guess, exact) in found.coefficients.iter().zip(&without.coefficients[0]) {
        assert!((guess - exact).abs() < 0.1, "{guess} {exact}");
    }
    assert!((w[0] - without.coefficients[0][0]).abs() > 0.2);
    // Rounding is no contradiction.
    let calm = review(&parts[0].real(), &[-1.0, CONTRADICTION / 2.0, 0.0, -0.5, -0.1], 0.15, 1.0, CONTRADICTION)
        .expect("solves");
    assert_eq!((calm.kept.len(), calm.dropped.len()), (5, 0));
    assert_eq!(contradicting(&[0.0, CONTRADICTION, 2.0 * CONTRADICTION, -1.0]), 1);
}

#[test]
fn what_reviews_leave_is_the_pooled_fit_of_it() {
    for widths in [&[3usize, 4][..], &[0, 5], &[3, 3, 4], &[4, 2, 3, 3, 5]] {
        let (parts, bad) = suppressed(31, 2000, widths);
        let options = SolverOptions { tolerance: 1e-5, ..SolverOptions::default() };
        let parts = all(&parts);
        let joint = federate_selected(parts[0], &parts[1..], &bad, &options, 24, true, |_| {}).expect("finishes");
        assert_eq!(joint.contradicting(), 0, "{widths:?}");
        let gone: usize = joint.dropped.iter().flat_map(|(_, of)| of).sum();
        let left: usize = joint.kept.iter().map(Vec::len).sum();
        assert!(gone >= widths.iter().filter(|w| **w > 1).count(), "{widths:?}: {:?}", joint.dropped);
        assert_eq!(gone + left, widths.iter().sum::<usize>());
        let kept: Vec<Encoded> = parts.iter().zip(&joint.kept).map(|(p, k)| p.narrowed(k)).collect();
        let twin = fit(&all(&kept), &bad, &options).expect("fits");
        assert!(joint.fitted.distance(&twin) < 1e-4, "{widths:?}: {:.1e}", joint.fitted.distance(&twin));
        assert!(joint.fitted.passes.len() < 20, "{widths:?}: {} passes", joint.fitted.passes.len());
    }
}

#[test]
fn a_refit_counts_the_directions_of_before() {
    let (parts, bad) = suppressed(41, 800, &[2, 4]);
    let mut label = LabelHolder::new(&parts[0], bad, Vec::new(), SolverOptions::default()).expect("labels");
    let holder = FeatureHolder::new(parts[1].clone(), 1.0).expect("columns").with_most_directions(3);
    let mut holders = vec![holder];
    label.alone().expect("solves");
    for _ in 0..2 {
        let sum = pass(&mut label, &mut holders);
        label.receive(&sum).expect("fits");
    }
    let combination = label.combination();
    holders[0].apply(&combination).expect("fits");
    let found = holders[0].review(CONTRADICTION).expect("solves");
    assert!(!found.dropped.is_empty());
    let (mut next, first) = holders[0].refit(&found).expect("the third");
    // Both sides come out of the vault to the same bits.
    let own = label.review(CONTRADICTION).expect("solves");
    label.refit(&own).expect("fits");
    let state: LabelState =
        serde_json::from_str(&serde_json::to_string(label.state()).expect("plain")).expect("read again");
    let labels = suppressed(41, 800, &[2, 4]).1;
    let fresh = LabelHolder::new(&parts[0].narrowed(&own.kept), labels, Vec::new(), SolverOptions::default());
    let mut fresh = fresh.expect("labels").resume(state).expect("fits");
    let (a, b) = (label.receive(&first).expect("fits"), fresh.receive(&first).expect("fits"));
    assert_eq!((&a, label.state() == fresh.state()), (&b, true));
    assert_eq!((a.pass, a.asked), (3, None), "a warm start asks for nothing");
    next.apply(&label.combination()).expect("one direction");
    let gradient = vec![0.1; found.kept.len()];
    assert!(matches!(next.direct(&gradient), Err(VerticalError::Budget { most: 3 })));
    assert!(matches!(next.refit(&next.review(CONTRADICTION).expect("solves")), Err(VerticalError::Budget { most: 3 })));
}
