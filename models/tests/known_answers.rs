//! Numbers computed by hand, or by other programs (`tests/vectors`).
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::adaptation::offset_recalibration;
use haihe_models::binning::{BinKind, BinningError, BinningOptions, Flat, Matrix, Trend, bin_columns};
use haihe_models::glm::{GlmError, LogisticStatistics, Newton, NewtonOptions, NewtonOutcome, logistic_statistics};
use haihe_models::grid::{ColumnGrid, FineGrid};
use haihe_models::metrics::{self, Ranking, ScoreGrid, ScoreHistogram};
use haihe_models::scorecard::{Tier, Warning, score_0_100};
use haihe_models::selection::{Correlation, correlation_statistics};
use haihe_models::table::{ColumnKind, ColumnSpec};

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} is not {b}");
}

fn numeric(name: &str) -> ColumnSpec {
    ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric }
}

fn fine(edges: &[f64]) -> ColumnGrid {
    ColumnGrid::Numeric(FineGrid { edges: edges.to_vec() })
}

/// 100 goods, 50 bads; cells (good, bad) = (10, 25), (40, 20), (50, 5); nothing missing.
#[test]
fn woe_and_iv_by_hand() {
    let counts = [10.0, 25.0, 40.0, 20.0, 50.0, 5.0, 0.0, 0.0];
    let options = BinningOptions { min_bin_rows: 10.0, smoothing: 0.75, ..Default::default() };
    let binned = bin_columns(&[numeric("turnover")], &[fine(&[3.0, 6.0])], &counts, &options).unwrap();
    let b = &binned[0];
    assert_eq!(b.monotone, Trend::Increasing);
    assert_eq!(b.bins.len(), 4);
    // e = 2 * 0.75 / 150 = 0.01
    let woe = [(0.11f64 / 0.51).ln(), (0.41f64 / 0.41).ln(), (0.51f64 / 0.11).ln()];
    for (bin, expected) in b.bins.iter().zip(woe) {
        close(bin.woe, expected, 1e-14);
    }
    close(b.iv, -0.4 * woe[0] + 0.4 * woe[2], 1e-14);
    assert_eq!(b.bins[1].kind, BinKind::Range { lower: Some(3.0), upper: Some(6.0) });
    let missing = &b.bins[3];
    assert!(missing.neutral && missing.woe == 0.0 && missing.kind == BinKind::Missing);
    // Right-closed: 3 belongs to the first bin.
    assert_eq!(
        [b.bin_of_numeric(3.0), b.bin_of_numeric(3.1), b.bin_of_numeric(1e300), b.bin_of_numeric(f64::NAN)],
        [0, 1, 2, 3]
    );
}

#[test]
fn a_dip_in_a_rising_column_is_merged_away() {
    let counts = [10.0, 40.0, 20.0, 20.0, 18.0, 22.0, 52.0, 18.0, 0.0, 0.0];
    let options = BinningOptions { min_bin_rows: 5.0, min_chi_square: 0.0, ..Default::default() };
    let grids = [fine(&[1.0, 2.0, 3.0])];
    let b = &bin_columns(&[numeric("a")], &grids, &counts, &options).unwrap()[0];
    assert_eq!(b.bins.len(), 4, "cells 2 and 3 are one bin: {:?}", b.bins);
    assert_eq!(b.bins[1].kind, BinKind::Range { lower: Some(1.0), upper: Some(3.0) });
    let free = BinningOptions { monotone: false, ..options };
    assert_eq!(bin_columns(&[numeric("a")], &grids, &counts, &free).unwrap()[0].bins.len(), 5);
}

#[test]
fn levels_are_grouped_by_rate_and_rare_ones_are_neutral() {
    let levels: Vec<String> = ["cable", "felt", "wool", "rare"].map(str::to_owned).to_vec();
    let spec = ColumnSpec { name: "industry".to_owned(), kind: ColumnKind::Categorical { levels: levels.clone() } };
    let counts = [50.0, 50.0, 90.0, 20.0, 48.0, 51.0, 2.0, 1.0, 3.0, 0.0, 40.0, 40.0];
    let b =
        &bin_columns(&[spec], &[ColumnGrid::Categorical { levels }], &counts, &BinningOptions::default()).unwrap()[0];
    assert_eq!(b.bins[0].kind, BinKind::Levels { levels: vec!["cable".into(), "wool".into()], other: false });
    assert_eq!(b.bins[1].kind, BinKind::Levels { levels: vec!["felt".into()], other: false });
    assert_eq!(b.bins[2].kind, BinKind::Levels { levels: vec!["rare".into()], other: true });
    assert!(b.bins[2].neutral && b.bins[2].woe == 0.0);
    assert!(!b.bins[3].neutral, "80 missing rows are enough");
    assert_eq!([b.bin_of_text("wool"), b.bin_of_text("rare"), b.bin_of_text("glass"), b.bin_of_level(9)], [0, 2, 2, 3]);
}

#[test]
fn columns_that_say_nothing_say_why() {
    let options = BinningOptions { min_bin_rows: 10.0, ..Default::default() };
    let specs = [numeric("constant"), numeric("empty"), numeric("sparse"), numeric("noise")];
    let grids = [fine(&[]), fine(&[]), fine(&[1.0]), fine(&[1.0])];
    let counts = [
        60.0, 40.0, 0.0, 0.0, // one cell
        0.0, 0.0, 60.0, 40.0, // all missing
        2.0, 1.0, 2.0, 1.0, 56.0, 38.0, // few values
        30.0, 20.0, 30.0, 20.0, 0.0, 0.0, // same rate everywhere
    ];
    let binned = bin_columns(&specs, &grids, &counts, &options).unwrap();
    let reasons: Vec<_> = binned.iter().map(|b| b.flat).collect();
    assert_eq!(reasons, [Some(Flat::Constant), Some(Flat::AllMissing), Some(Flat::TooFewRows), Some(Flat::NoEvidence)]);
    assert!(binned.iter().all(|b| b.iv.abs() < 1e-3 && b.bins.iter().all(|bin| bin.woe.is_finite())));
    assert_eq!(
        bin_columns(&specs[..1], &grids[..1], &[60.0, 0.0, 0.0, 0.0], &options),
        Err(BinningError::OneClass { good: 60.0, bad: 0.0 })
    );
    assert!(bin_columns(&specs[..1], &grids[..1], &[60.0, -1.0, 0.0, 0.0], &options).is_err());
    assert!(bin_columns(&specs[..1], &grids[..1], &[60.5, 1.0, 0.0, 0.0], &options).is_err());
    assert!(bin_columns(&specs[..1], &grids[..1], &[60.0], &options).is_err());
}

#[derive(serde::Deserialize)]
struct Vectors {
    x: Vec<[f64; 3]>,
    y: Vec<u8>,
    cases: Vec<Case>,
    auc_of_rounded_first_column: f64,
}

#[derive(serde::Deserialize)]
struct Case {
    ridge: f64,
    coefficients: Vec<f64>,
    standard_errors: Vec<f64>,
    p_values: Option<Vec<f64>>,
    log_likelihood: Option<f64>,
    null_log_likelihood: Option<f64>,
}

fn run(x: &Matrix, y: &[bool], options: NewtonOptions) -> NewtonOutcome {
    let names = (0..x.columns()).map(|j| format!("x{j}")).collect();
    let mut newton = Newton::new(names, options).unwrap();
    loop {
        // The state survives storage between rounds.
        newton = serde_json::from_str(&serde_json::to_string(&newton).unwrap()).unwrap();
        match newton.step(&logistic_statistics(x, y, newton.beta()).unwrap()) {
            NewtonOutcome::Continue(next) | NewtonOutcome::Backtrack(next) => newton = next,
            done => return done,
        }
    }
}

#[test]
fn logistic_regression_equals_statsmodels_and_scikit_learn() {
    let v: Vectors = serde_json::from_str(include_str!("vectors/glm.json")).unwrap();
    let x = Matrix::new(v.x.len(), 3, v.x.concat()).unwrap();
    let y: Vec<bool> = v.y.iter().map(|&y| y == 1).collect();
    for case in &v.cases {
        let options = NewtonOptions { ridge: case.ridge, tolerance: 1e-9, ..Default::default() };
        let NewtonOutcome::Converged(fit) = run(&x, &y, options) else { panic!("no convergence") };
        for (j, c) in fit.coefficients.iter().enumerate() {
            close(c.value, case.coefficients[j], 1e-8);
            close(c.standard_error, case.standard_errors[j], 1e-8);
            if let Some(p) = &case.p_values {
                close(c.p_value, p[j], 1e-8);
            }
        }
        if let (Some(ll), Some(null)) = (case.log_likelihood, case.null_log_likelihood) {
            close(fit.log_likelihood, ll, 1e-10);
            close(fit.null_log_likelihood, null, 1e-10);
        }
        assert!(fit.rounds < 10);
    }
    let score: Vec<f64> = v.x.iter().map(|r| (r[0] * 10.0).round_ties_even() / 10.0).collect();
    let bad: Vec<bool> = y.iter().map(|y| !y).collect();
    close(metrics::auc(&score, &bad).unwrap(), v.auc_of_rounded_first_column, 1e-12);
}

#[test]
fn regressions_that_cannot_be_fitted_name_the_column() {
    let twin: Vec<f64> = (0..60).flat_map(|i| [f64::from(i % 7), 2.0 * f64::from(i % 7)]).collect();
    let y: Vec<bool> = (0..60).map(|i| i % 3 == 0).collect();
    let options = NewtonOptions { ridge: 0.0, ..Default::default() };
    let x = Matrix::new(60, 2, twin).unwrap();
    match run(&x, &y, options.clone()) {
        NewtonOutcome::Failed(GlmError::Collinear { column, others }) => {
            assert_eq!((column.as_str(), others[0].as_str()), ("x1", "x0"));
        }
        other => panic!("{other:?}"),
    }
    let x = Matrix::new(60, 1, (0..60).map(|i| f64::from(i) / 1e3).collect()).unwrap();
    let separated: Vec<bool> = (0..60).map(|i| i >= 30).collect();
    assert!(matches!(run(&x, &separated, options.clone()), NewtonOutcome::Failed(GlmError::Separation { .. })));
    assert!(matches!(run(&x, &[true; 60], options), NewtonOutcome::Failed(GlmError::OneClass { .. })));
    assert!(logistic_statistics(&x, &[true; 3], &[0.0, 0.0]).is_err());
    assert!(logistic_statistics(&x, &separated, &[0.0]).is_err());
    assert!(logistic_statistics(&x, &separated, &[0.0, f64::NAN]).is_err());
    assert!(LogisticStatistics::from_slice(1, &[f64::NAN; 8]).is_err());
}

/// Two steps of Newton from a poor start overshoot; halving brings it back.
#[test]
fn a_step_that_is_too_long_is_halved() {
    let x = Matrix::new(8, 1, vec![-40.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 40.0]).unwrap();
    let y = [true, false, false, true, false, true, true, true];
    let NewtonOutcome::Converged(fit) = run(&x, &y, NewtonOptions { ridge: 1e-6, ..Default::default() }) else {
        panic!()
    };
    assert!(fit.coefficients[1].value.is_finite());
    let newton = Newton::new(vec!["x0".into()], NewtonOptions::default()).unwrap();
    let first = logistic_statistics(&x, &y, newton.beta()).unwrap();
    let NewtonOutcome::Continue(next) = newton.step(&first) else { panic!() };
    let mut worse = logistic_statistics(&x, &y, next.beta()).unwrap();
    worse.log_likelihood = first.log_likelihood - 5.0;
    let NewtonOutcome::Backtrack(back) = next.step(&worse) else { panic!() };
    close(back.beta()[1], next.beta()[1] / 2.0, 1e-15);
}

#[test]
fn ranking_by_hand() {
    // Bads at 1, 2, 2; goods at 2, 3: pairs won 5, tied 2 halves... of 6.
    let r = Ranking::of_rows(&[1.0, 2.0, 2.0, 2.0, 3.0], &[true, true, true, false, false]).unwrap();
    close(r.auc, (1.0 + 0.5 + 0.5 + 3.0) / 6.0, 1e-15);
    close(r.ks, 1.0 - 0.5, 1e-15);
    close(r.gini, 2.0 * r.auc - 1.0, 1e-15);
    // DeLong by hand: goods' placements 2/3 and 1, bads' 1, 3/4, 3/4.
    close(r.auc_standard_error, ((1.0f64 / 18.0) / 2.0 + (1.0 / 48.0) / 3.0).sqrt(), 1e-12);
    assert!(metrics::auc(&[1.0], &[true]).is_err());
    assert!(metrics::auc(&[f64::NAN, 1.0], &[true, false]).is_err());
    assert!(metrics::auc(&[1.0], &[true, false]).is_err());
    close(metrics::brier(&[0.2, 0.6], &[false, true]).unwrap(), 0.1, 1e-15);
    close(metrics::log_loss(&[0.5, 0.5], &[false, true]).unwrap(), std::f64::consts::LN_2, 1e-15);
    assert!(metrics::log_loss(&[0.0, 1.0], &[true, false]).unwrap().is_finite());
    assert_eq!(metrics::mean_of_scores(&[vec![1.0, 2.0], vec![3.0, 6.0]]).unwrap(), [2.0, 4.0]);
}

#[test]
fn calibration_and_stability() {
    let grid = ScoreGrid { lower: -4.0, upper: 4.0, cells: 2 };
    // Middle of the cells: log-odds -2 and 2.
    let pd = 1.0 / (1.0 + (-2.0f64).exp());
    let h = ScoreHistogram { good: vec![12.0, 88.0], bad: vec![88.0, 12.0] };
    let c = metrics::calibration(&grid, &h, 2, 0.0).unwrap();
    assert_eq!(c.groups.len(), 2);
    close(c.groups[0].expected_bad, 100.0 * pd, 1e-12);
    close(c.level, 1.0, 1e-12);
    assert!(c.hosmer_lemeshow < 0.01 && c.expected_calibration_error < 1e-3);
    close(metrics::psi(&[10.0, 20.0, 30.0], &[10.0, 20.0, 30.0]).unwrap(), 0.0, 1e-15);
    assert!(metrics::psi(&[100.0, 10.0], &[10.0, 100.0]).unwrap() > 0.25);
    assert!(metrics::psi(&[1.0], &[1.0, 2.0]).is_err() && metrics::psi(&[f64::NAN], &[1.0]).is_err());
    assert_eq!((grid.cell(-1e9), grid.cell(1e9), grid.cell(0.0)), (0, 1, 1));
}

#[test]
fn correlations_and_variance_inflation() {
    // Two columns with correlation 1/2, hence VIF 4/3; a constant third.
    let x = Matrix::new(4, 3, vec![1.0, 1.0, 5.0, 1.0, 0.0, 5.0, 0.0, 1.0, 5.0, 0.0, 0.0, 5.0]).unwrap();
    let c = Correlation::from_sums(3, &correlation_statistics(&x)).unwrap();
    close(c.matrix[0][1], 0.0, 1e-15);
    assert_eq!(c.matrix[0][2], 0.0);
    let x = Matrix::new(4, 2, vec![2.0, 2.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
    let c = Correlation::from_sums(2, &correlation_statistics(&x)).unwrap();
    close(c.matrix[0][1], 0.5, 1e-12);
    close(c.vif.unwrap()[0], 4.0 / 3.0, 1e-12);
    assert!(Correlation::from_sums(2, &[1.0]).is_err());
}

#[test]
fn the_users_thresholds() {
    close(score_0_100(0.05), 75.0, 1e-14);
    assert_eq!((score_0_100(0.0), score_0_100(1.0)), (100.0, 0.0));
    assert_eq!([0.049, 0.05, 0.10, 0.20, 0.21].map(Tier::of), [Tier::A, Tier::B, Tier::C, Tier::C, Tier::D]);
    assert_eq!(Warning::of(f64::NAN), Warning::Critical);
    assert_eq!(
        [0.01, 0.07, 0.15, 0.5].map(|p| Warning::of(p).colour()),
        [None, Some("blue"), Some("yellow"), Some("red")]
    );
}

#[test]
fn a_bank_recalibrates_on_its_own_rows() {
    // 100 firms at log-odds 1, of which 90 are good: the shift is ln 9 - 1, drawn towards 0 by the ridge.
    let log_odds = vec![1.0; 100];
    let good: Vec<bool> = (0..100).map(|i| i < 90).collect();
    let r = offset_recalibration(&log_odds, &good, false).unwrap();
    assert!(r.intercept > 1.0 && r.intercept < 9.0f64.ln() - 1.0 && r.slope == 1.0, "{r:?}");
    let one_class = offset_recalibration(&log_odds, &[true; 100], true).unwrap();
    assert!(one_class.intercept.is_finite() && one_class.slope.is_finite());
    let none = offset_recalibration(&[], &[], true).unwrap();
    assert_eq!((none.intercept, none.slope), (0.0, 1.0));
    assert!(offset_recalibration(&[f64::NAN], &[true], false).is_err());
}

#[test]
fn a_warm_start_reaches_the_same_optimum() {
    let x = Matrix::new(8, 1, vec![-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
    let y = [true, false, false, true, false, true, true, true];
    let NewtonOutcome::Converged(cold) = run(&x, &y, NewtonOptions::default()) else { panic!() };
    let newton = Newton::new(vec!["x0".into()], NewtonOptions::default()).unwrap();
    assert!(newton.clone().starting_at(vec![0.0]).is_err());
    assert!(newton.clone().starting_at(vec![0.0, f64::NAN]).is_err());
    let warm = newton.starting_at(cold.coefficients.iter().map(|c| c.value).collect()).unwrap();
    let statistics = logistic_statistics(&x, &y, warm.beta()).unwrap();
    let NewtonOutcome::Converged(fit) = warm.step(&statistics) else { panic!("one round is enough") };
    assert_eq!(fit.rounds, 1);
    close(fit.coefficients[1].value, cold.coefficients[1].value, 1e-12);
}

#[test]
fn selection_options_out_of_range_are_refused() {
    let defaults = haihe_models::selection::SelectionOptions::default();
    assert!(defaults.validate().is_ok());
    for bad in [f64::NAN, -1.0, 2.0] {
        let o = haihe_models::selection::SelectionOptions { max_correlation: bad, ..defaults.clone() };
        assert!(o.validate().is_err());
    }
}

#[test]
fn counts_below_the_floor_are_not_published() {
    let levels: Vec<String> = ["cable", "felt", "rare"].map(str::to_owned).to_vec();
    let spec = ColumnSpec { name: "industry".to_owned(), kind: ColumnKind::Categorical { levels: levels.clone() } };
    let grids = [ColumnGrid::Categorical { levels }];
    let counts = [50.0, 50.0, 90.0, 20.0, 12.0, 9.0, 0.0, 0.0, 0.0, 0.0];
    let b = &bin_columns(&[spec], &grids, &counts, &BinningOptions::default()).unwrap()[0];
    let [.., rare, missing] = b.bins.as_slice() else { panic!() };
    assert_eq!((rare.good, rare.bad, rare.woe, rare.suppressed_below), (0.0, 0.0, 0.0, Some(30.0)));
    assert_eq!((missing.good, missing.bad, missing.suppressed_below), (0.0, 0.0, None), "nobody to hide");
    assert!(b.bins[..2].iter().all(|bin| bin.suppressed_below.is_none() && bin.good + bin.bad >= 30.0));
}
