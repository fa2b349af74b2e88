//! A bank's own version of a shared scorecard: from the shared scores to its own fit, by its own train rows alone.
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::adaptation::{Change, FOLDS, Fallback, LocalModel, MIN_OF_A_CLASS, RecalibrationKind, STRENGTHS};
use haihe_models::glm::NewtonOptions;
use haihe_models::metrics::Ranking;
use haihe_models::pooled::{ScorecardOptions, fit, scores_of, train};
use haihe_models::scorecard::Scorecard;
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};

/// Firms whose log-odds of bad are `weights . x`, of two columns.
fn bank(seed: u64, rows: usize, weights: [f64; 2]) -> Table {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let (mut a, mut b, mut label, mut split) = (vec![], vec![], vec![], vec![]);
    for row in 0..rows {
        let (x, y) = (uniform() * 4.0 - 2.0, uniform() * 4.0 - 2.0);
        label.push(uniform() < 1.0 / (1.0 + (-(weights[0] * x + weights[1] * y)).exp()));
        a.push(x);
        b.push(y);
        split.push(if row % 2 == 0 { Split::Train } else { Split::Test });
    }
    let spec = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    Table {
        specs: vec![spec("debt"), spec("age")],
        columns: vec![Column::Numeric(a), Column::Numeric(b)],
        label,
        split,
        firms: None,
    }
}

/// Learned from many firms for which debt matters much and age a little.
fn shared() -> Scorecard {
    train(&[&bank(1, 20_000, [1.5, 0.4])], &ScorecardOptions::default()).unwrap().scorecard
}

fn auc(scores: &[f64], bad: &[bool]) -> f64 {
    Ranking::of_rows(scores, bad).unwrap().auc
}

fn learn(shared: &Scorecard, table: &Table) -> LocalModel {
    LocalModel::learn(RecalibrationKind::Coefficients, shared, table).unwrap()
}

fn adapted(model: &LocalModel) -> &haihe_models::adaptation::Adaptation {
    let Change::Adapted(own) = &model.change else { panic!("{model:?}") };
    own
}

/// The same bank with other test rows, which nothing may depend on.
fn with_other_test_rows(table: &Table) -> Table {
    let mut other = table.clone();
    for (label, split) in other.label.iter_mut().zip(&other.split) {
        *label ^= *split == Split::Test;
    }
    other
}

#[test]
fn a_bank_that_differs_ranks_its_own_customers_better() {
    let shared = shared();
    let table = bank(2, 4_000, [0.3, 1.5]);
    let model = learn(&shared, &table);
    let (before, bad) = scores_of(&shared, &table, Split::Test).unwrap();
    let (after, _) = model.scores_of(&shared, &table, Split::Test).unwrap();
    assert!(auc(&after, &bad) > auc(&before, &bad) + 0.1, "{} {}", auc(&after, &bad), auc(&before, &bad));
    let own = adapted(&model);
    assert!(own.tau.is_some_and(|tau| tau <= 10.0) && own.tried.len() == STRENGTHS.len() + 1, "{own:?}");
    assert_eq!(model, learn(&shared, &with_other_test_rows(&table)), "test rows are not looked at");

    // With this much evidence it is nearly the bank's own fit on the same bins.
    let binnings: Vec<_> = shared.variables.iter().map(|v| v.binning.clone()).collect();
    let alone = fit(&[&table], &binnings, &NewtonOptions { ridge: 0.0, ..Default::default() }).unwrap();
    for (a, b) in own.fit.coefficients.iter().zip(&alone.coefficients) {
        assert!(a.column == b.column && (a.value - b.value).abs() < b.standard_error, "{a:?} {b:?}");
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 0.1);
    }
}

#[test]
fn a_bank_like_the_others_keeps_the_shared_scorecard_nearly() {
    let shared = shared();
    let table = bank(3, 4_000, [1.5, 0.4]);
    let model = learn(&shared, &table);
    let (before, bad) = scores_of(&shared, &table, Split::Test).unwrap();
    let (after, _) = model.scores_of(&shared, &table, Split::Test).unwrap();
    assert!((auc(&after, &bad) - auc(&before, &bad)).abs() < 0.003);
}

#[test]
fn a_tiny_bank_stays_near() {
    let shared = shared();
    for seed in 10..20 {
        let table = bank(seed, 120, [1.5, 0.4]);
        for (own, v) in adapted(&learn(&shared, &table)).fit.coefficients[1..].iter().zip(&shared.variables) {
            // Sixty rows alone would give standard errors of this size or larger.
            assert!((own.value - v.coefficient).abs() < 1.0, "{own:?} {}", v.coefficient);
        }
    }
}

#[test]
fn too_few_rows_or_one_class_only_shift() {
    let shared = shared();
    for rows in [0, 2, 4 * FOLDS] {
        let model = learn(&shared, &bank(4, rows, [1.5, 0.4]));
        let Some(Fallback::TooFewRows { good, bad, needed }) = model.fallback else { panic!("{model:?}") };
        assert!(good.min(bad) < needed && needed == MIN_OF_A_CLASS);
        assert!(matches!(model.change, Change::Offset(map) if map.slope == 1.0 && map.intercept.is_finite()));
        assert!(model.scorecard(&shared).is_none());
    }
    let mut table = bank(5, 200, [1.5, 0.4]);
    table.label.fill(false);
    let model = learn(&shared, &table);
    assert!(matches!(model.fallback, Some(Fallback::TooFewRows { good: 100, bad: 0, .. })));
    let scores = model.score_table(&shared, &table).unwrap();
    let shift = |s: &[f64]| s.iter().zip(shared.score_table(&table).unwrap()).map(|(a, b)| a - b).collect::<Vec<_>>();
    assert!(shift(&scores).iter().all(|d| *d > 0.0 && (d - shift(&scores)[0]).abs() < 1e-12));
}

#[test]
fn infinity_is_the_intercept_alone() {
    // Labels by chance: nothing that the bank could learn from its rows is worth having.
    let shared = shared();
    let models = (30..60).map(|seed| (seed, bank(seed, 400, [1.5, 0.4])));
    let found = models.map(|(seed, t)| (seed, learn(&shared, &t), t)).find(|(_, m, _)| adapted(m).tau.is_none());
    let (_, model, table) = found.expect("one of thirty banks like the others keeps the coefficients");
    let shift = LocalModel::learn(RecalibrationKind::Intercept, &shared, &table).unwrap();
    let (own, shifted) = (model.score_table(&shared, &table).unwrap(), shift.score_table(&shared, &table).unwrap());
    assert!(own.iter().zip(&shifted).all(|(a, b)| (a - b).abs() < 1e-8));
    let card = model.scorecard(&shared).unwrap();
    for (own, v) in card.variables.iter().zip(&shared.variables) {
        assert!((own.coefficient, own.standard_error) == (v.coefficient, v.standard_error) && own.points == v.points);
    }
}

/// A table whose column `age` matters in the middle alone at one bank.
fn bent(table: &Table) -> Table {
    let mut table = table.clone();
    let Column::Numeric(age) = &table.columns[1] else { panic!() };
    for (row, age) in age.iter().enumerate() {
        if age.abs() < 0.7 {
            table.label[row] = row % 11 != 0;
        }
    }
    table
}

#[test]
fn own_points_follow_a_single_bin() {
    let shared = shared();
    let table = bent(&bank(2, 6_000, [1.5, 0.4]));
    let test = |kind| {
        let model = LocalModel::learn(kind, &shared, &table).unwrap();
        let card = model.scorecard(&shared).unwrap();
        card.check().unwrap();
        assert_eq!(card.score_table(&table).unwrap(), model.score_table(&shared, &table).unwrap());
        let again: LocalModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        assert_eq!(again, model);
        let (scores, bad) = model.scores_of(&shared, &table, Split::Test).unwrap();
        auc(&scores, &bad)
    };
    let (coefficients, points) = (test(RecalibrationKind::Coefficients), test(RecalibrationKind::Points));
    assert!(points > coefficients + 0.03, "{points} {coefficients}");
    // Neutral bins keep their 0.
    let card = LocalModel::learn(RecalibrationKind::Points, &shared, &table).unwrap().scorecard(&shared).unwrap();
    assert!(card.variables.iter().flat_map(|v| &v.binning.bins).all(|b| !b.neutral || b.woe == 0.0));
}

#[test]
fn the_own_points_table_is_a_scorecard() {
    let shared = shared();
    let table = bank(2, 4_000, [0.3, 1.5]);
    let model = learn(&shared, &table);
    let card = model.scorecard(&shared).unwrap();
    card.check().unwrap();
    assert_eq!(card.score_table(&table).unwrap(), model.score_table(&shared, &table).unwrap());
    assert_eq!(card.prior_offset, shared.prior_offset);
    let factor = card.scaling.factor();
    for (own, v) in card.variables.iter().zip(&shared.variables) {
        assert_eq!(own.binning, v.binning);
        for (points, bin) in own.exact_points.iter().zip(&own.binning.bins) {
            assert!((points - factor * own.coefficient * bin.woe).abs() < 1e-9);
        }
    }
    let bound = card.bind(&table).unwrap();
    let firm = bound.assess(0).unwrap();
    assert!((firm.points as f64 - firm.exact_points).abs() <= card.max_rounding_effect + 1e-9);
    // It survives storage.
    let again: LocalModel = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
    assert_eq!(again, model);
    // Coefficients belong to one scorecard.
    let mut other = shared.clone();
    other.variables.truncate(1);
    assert!(model.scorecard(&other).is_none() && model.score_table(&other, &table).is_err());
}
