//! Tail statistics, isolation forests and their scores: by hand, against planted outliers, and damaged.
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::anomaly::{
    AnomalyError, AnomalyGrid, Forest, ForestOptions, ForestPlan, Grown, Levels, Margins, Missing, Population, Sum,
    TailOptions, Tails, Thresholds, drivers, grids, row_keys, threshold,
};
use haihe_models::grid::{ColumnGrid, FineGrid, label_counts, profile};
use haihe_models::metrics::{MetricsError, Ranking, ScoreGrid, ScoreHistogram, average_precision};
use haihe_models::scorecard::Warning;
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn numeric(name: &str) -> ColumnSpec {
    ColumnSpec { name: name.into(), kind: ColumnKind::Numeric }
}

fn table(specs: Vec<ColumnSpec>, columns: Vec<Column>, label: Vec<bool>) -> Table {
    let split = vec![Split::Train; label.len()];
    Table { specs, columns, label, split, firms: None }
}

fn one_column(values: &[f64]) -> Table {
    table(vec![numeric("x")], vec![Column::Numeric(values.to_vec())], vec![false; values.len()])
}

fn industry() -> ColumnSpec {
    ColumnSpec { name: "industry".into(), kind: ColumnKind::Categorical { levels: vec!["felt".into(), "wool".into()] } }
}

/// Two correlated numbers with some missing, a small whole number, an industry; the last `planted` rows lie far outside.
fn firms(rows: usize, planted: usize, seed: u64) -> Table {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    let (mut industries, mut label) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let odd = row >= rows - planted;
        let base = (0..6).map(|_| rng.random::<f64>()).sum::<f64>() - 3.0;
        let noise = rng.random::<f64>();
        columns[0].push(if odd { 9.0 + noise } else { base });
        let gap = !odd && rng.random::<f64>() < 0.1;
        columns[1].push(if gap {
            f64::NAN
        } else if odd {
            -500.0 - noise
        } else {
            20.0 * base + 5.0 * noise
        });
        columns[2].push(if odd { 30.0 } else { f64::from(rng.random_range(0..5u32)) });
        industries.push(if odd { 2 } else { rng.random_range(0..2u32) });
        label.push(odd);
    }
    let [a, b, c] = columns.map(Column::Numeric);
    let specs = vec![numeric("margin"), numeric("flow"), numeric("staff"), industry()];
    table(specs, vec![a, b, c, Column::Categorical(industries)], label)
}

fn part(table: &Table, silo: usize) -> (Table, Vec<u64>) {
    let rows: Vec<usize> = (0..table.rows()).filter(|r| r % 3 == silo).collect();
    let pick = |c: &Column| match c {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&r| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&r| v[r]).collect()),
    };
    let out = Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(pick).collect(),
        label: rows.iter().map(|&r| table.label[r]).collect(),
        split: rows.iter().map(|&r| table.split[r]).collect(),
        firms: None,
    };
    (out, rows.iter().map(|&r| keys_of(r)).collect())
}

fn keys_of(row: usize) -> u64 {
    row_keys(row as u64, 1)[0]
}

fn added(vectors: Vec<Vec<f64>>) -> Vec<f64> {
    let first = vec![0.0; vectors[0].len()];
    vectors.iter().fold(first, |sum, v| sum.iter().zip(v).map(|(a, b)| a + b).collect())
}

fn margins(parties: &[&Table], population: Population) -> Margins {
    let specs = &parties[0].specs;
    let profiles = added(parties.iter().map(|t| profile(t, Split::Train).unwrap()).collect());
    let grids = grids(specs, &profiles, 256).unwrap();
    let counts = added(parties.iter().map(|t| label_counts(t, &grids).unwrap()).collect());
    Margins::new(specs, &grids, &counts, population).unwrap()
}

fn grow(options: ForestOptions, margins: &Margins, parties: &[(&Table, Vec<u64>)]) -> Forest {
    let mut plan = ForestPlan::begin(options, margins).unwrap();
    loop {
        let counts = added(parties.iter().map(|(t, keys)| plan.counts(t, keys).unwrap()).collect());
        assert_eq!(counts.len(), plan.layout());
        match plan.absorb(&counts).unwrap() {
            Grown::More(next) => plan = *next,
            Grown::Done(forest) => return forest,
        }
    }
}

fn small() -> ForestOptions {
    ForestOptions { trees: 60, sample: 64, ..ForestOptions::default() }
}

fn pooled_forest(table: &Table, options: ForestOptions) -> Forest {
    let keys = (0..table.rows()).map(keys_of).collect();
    grow(options, &margins(&[table], options.population), &[(table, keys)])
}

fn all(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}

#[test]
fn tails_by_hand() {
    // 1, 2, 3, 4, 10: skewed to the right, each value a cell of its own.
    let t = one_column(&[1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 0.5, f64::NAN]);
    let learned = one_column(&[1.0, 2.0, 3.0, 4.0, 10.0]);
    let model = Tails::new(margins(&[&learned], Population::All), TailOptions::default()).unwrap();
    let scores = model.score(&t, &all(&t)).unwrap();
    // The larger of -ln F(x <= value) and -ln F(x >= value); beyond the train rows 1 / 6.
    let expected = [5.0, 2.5, 5.0 / 3.0, 2.5, 5.0, 6.0, 6.0].map(f64::ln);
    for (score, e) in scores.iter().zip(expected) {
        assert!((score - e).abs() < 1e-12, "{scores:?}");
    }
    assert_eq!(scores[7], 0.0, "a missing value is neutral");
}

#[test]
fn tails_sum_before_they_compare_and_skewness_decides() {
    // x is skewed right, z = -x left: O_auto takes the long tail of each, O_left and O_right one of them.
    let x = [1.0, 2.0, 3.0, 4.0, 10.0];
    let specs = vec![numeric("x"), numeric("z")];
    let z: Vec<f64> = x.iter().map(|v| -v).collect();
    let t = table(specs, vec![Column::Numeric(x.to_vec()), Column::Numeric(z)], vec![false; 5]);
    let margins = margins(&[&t], Population::All);
    let paper = Tails::new(margins.clone(), TailOptions::default()).unwrap();
    let scores = paper.score(&t, &all(&t)).unwrap();
    // Row 0: left 5 and 1, right 1 and 5, auto 1 and 1 -> ln 5. Row 4: auto 5 and 5 -> 2 ln 5.
    assert!((scores[0] - 5f64.ln()).abs() < 1e-12, "{scores:?}");
    assert!((scores[4] - 2.0 * 5f64.ln()).abs() < 1e-12, "{scores:?}");
    let parts = paper.contributions(&t, &[4]).unwrap().remove(0);
    assert_eq!(parts.len(), 2);
    assert!((parts.iter().sum::<f64>() - scores[4]).abs() < 1e-12);
    let options = TailOptions { sum: Sum::PerColumn, ..TailOptions::default() };
    let each = Tails::new(margins, options).unwrap().score(&t, &[0]).unwrap();
    assert!((each[0] - 2.0 * 5f64.ln()).abs() < 1e-12, "{each:?}");
}

#[test]
fn levels_count_by_rarity_and_missing_by_rate_if_asked() {
    let values = Column::Categorical(vec![0, 0, 0, 0, 0, 0, 1, 1, 3, 3]);
    let t = table(vec![industry()], vec![values], vec![false; 10]);
    let margins = margins(&[&t], Population::All);
    let neutral = Tails::new(margins.clone(), TailOptions::default()).unwrap().score(&t, &[0, 6, 8]).unwrap();
    for (score, e) in neutral.iter().zip([(8.0f64 / 6.0).ln(), 4f64.ln(), 0.0]) {
        assert!((score - e).abs() < 1e-12, "{neutral:?}");
    }
    let options = TailOptions { missing: Missing::Rate, ..TailOptions::default() };
    let rate = Tails::new(margins, options).unwrap().score(&t, &[8]).unwrap();
    assert!((rate[0] - 5f64.ln()).abs() < 1e-12);
}

#[test]
fn three_silos_give_the_same_models_as_all_rows() {
    let t = firms(900, 20, 5);
    let parts: Vec<(Table, Vec<u64>)> = (0..3).map(|s| part(&t, s)).collect();
    let tables: Vec<&Table> = parts.iter().map(|p| &p.0).collect();
    let together = margins(&[&t], Population::All);
    let apart = margins(&tables, Population::All);
    assert_eq!(together, apart);
    let parties: Vec<(&Table, Vec<u64>)> = parts.iter().map(|p| (&p.0, p.1.clone())).collect();
    assert_eq!(grow(small(), &apart, &parties), pooled_forest(&t, small()));
}

#[test]
fn planted_outliers_score_highest() {
    let t = firms(1000, 12, 7);
    let tails = Tails::new(margins(&[&t], Population::All), TailOptions::default()).unwrap();
    let forest = pooled_forest(&t, small());
    for scores in [tails.score(&t, &all(&t)).unwrap(), forest.score(&t, &all(&t)).unwrap()] {
        let odd = scores[988..].iter().copied().fold(f64::INFINITY, f64::min);
        let usual = scores[..988].iter().copied().fold(0.0, f64::max);
        assert!(odd > usual, "{odd} {usual}");
    }
    let scores = forest.score(&t, &all(&t)).unwrap();
    assert!(scores.iter().all(|s| *s > 0.0 && *s <= 1.0));
    let clean = pooled_forest(&t, ForestOptions { population: Population::Good, ..small() });
    assert!(clean.score(&t, &[999]).unwrap()[0] > 0.6);
}

#[test]
fn contributions_explain_the_forest_score() {
    let t = firms(600, 1, 3);
    let forest = pooled_forest(&t, small());
    for row in [0, 17, 599] {
        let score = forest.score(&t, &[row]).unwrap()[0];
        let sum: f64 = forest.contributions(&t, &[row]).unwrap()[0].iter().sum();
        assert!((sum - (1.0 + score.log2())).abs() < 1e-9, "{row} {sum} {score}");
    }
    // Only the staff is unusual.
    let mut lone = t.clone();
    if let Column::Numeric(v) = &mut lone.columns[0] {
        v[0] = 0.0;
    }
    if let Column::Numeric(v) = &mut lone.columns[1] {
        v[0] = f64::NAN;
    }
    if let Column::Numeric(v) = &mut lone.columns[2] {
        v[0] = 40.0;
    }
    let top = drivers(&forest.contributions(&lone, &[0]).unwrap()[0], 1);
    assert_eq!(top[0].column, 2);
    assert!(top[0].share > 0.5);
}

#[test]
fn a_row_without_any_value_is_usual() {
    let mut t = firms(800, 5, 11);
    let forest = pooled_forest(&t, small());
    let tails = Tails::new(margins(&[&t], Population::All), TailOptions::default()).unwrap();
    for column in &mut t.columns {
        match column {
            Column::Numeric(v) => v[0] = f64::NAN,
            Column::Categorical(v) => v[0] = 3,
        }
    }
    assert!(forest.score(&t, &[0]).unwrap()[0] < 0.5);
    assert_eq!(tails.score(&t, &[0]).unwrap()[0], 0.0);
}

#[test]
fn a_forest_is_its_seed_and_its_sums() {
    let t = firms(500, 5, 2);
    let forest = pooled_forest(&t, small());
    assert_eq!(forest, pooled_forest(&t, small()));
    assert_ne!(forest, pooled_forest(&t, ForestOptions { seed: 2, ..small() }));
    let json = serde_json::to_string(&forest).unwrap();
    assert_eq!(serde_json::from_str::<Forest>(&json).unwrap(), forest);
    let tails = Tails::new(margins(&[&t], Population::All), TailOptions::default()).unwrap();
    let json = serde_json::to_string(&tails).unwrap();
    assert_eq!(serde_json::from_str::<Tails>(&json).unwrap(), tails);
    // About `sample` rows per tree came together.
    let mean = forest.trees().iter().map(|t| f64::from(t.nodes[0].rows)).sum::<f64>() / 60.0;
    assert!((mean - 64.0).abs() < 6.0, "{mean}");
    assert!(forest.trees().iter().all(|t| t.nodes.iter().all(|n| n.split.is_none_or(|s| s.threshold.is_finite()))));
}

#[test]
fn damaged_models_are_refused() {
    let t = firms(300, 3, 2);
    let forest = serde_json::to_value(pooled_forest(&t, small())).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = forest.clone();
        change(&mut value);
        assert_ne!(value, forest);
        serde_json::from_value::<Forest>(value).unwrap_err().to_string()
    };
    let root = "/trees/0/nodes/0";
    let set = |path: String, to: serde_json::Value| {
        move |v: &mut serde_json::Value| *v.pointer_mut(&path).unwrap() = to.clone()
    };
    assert!(refused(&set(format!("{root}/split/left"), 0.into())).contains("out of order"));
    assert!(refused(&set(format!("{root}/split/left"), 60000.into())).contains("out of order"));
    assert!(refused(&set(format!("{root}/split/column"), 4.into())).contains("names no column"));
    assert!(refused(&set(format!("{root}/rows"), 1_000_000.into())).contains("other rows"));
    assert!(refused(&set(format!("{root}/split"), serde_json::Value::Null)).contains("out of order"));
    assert!(refused(&set("/trees/0/nodes".into(), serde_json::json!([]))).contains("1 to 65536 nodes"));
    assert!(refused(&set("/trees".into(), serde_json::json!([]))).contains("1 to 1000 trees"));
    assert!(refused(&set("/columns/3/kind/ranks".into(), serde_json::json!([0, 0, 1]))).contains("ranks"));
    assert!(refused(&set("/columns/0/kind/missing".into(), serde_json::json!(null))).contains("invalid type"));

    let tails = Tails::new(margins(&[&t], Population::All), TailOptions::default()).unwrap();
    let mut value = serde_json::to_value(&tails).unwrap();
    *value.pointer_mut("/margins/columns/0/missing").unwrap() = 7.0.into();
    assert!(serde_json::from_value::<Tails>(value).unwrap_err().to_string().contains("other rows"));
}

#[test]
fn sums_that_contradict_themselves_are_refused() {
    let t = firms(300, 3, 2);
    let plan = ForestPlan::begin(small(), &margins(&[&t], Population::All)).unwrap();
    let keys = row_keys(4, t.rows());
    let counts = plan.counts(&t, &keys).unwrap();
    assert!(matches!(plan.counts(&t, &keys[1..]), Err(AnomalyError::Keys { expected: 300, found: 299 })));
    for bad in [-1.0, 0.5, f64::NAN, 1e12] {
        let mut sum = counts.clone();
        sum[0] = bad;
        assert!(matches!(plan.clone().absorb(&sum), Err(AnomalyError::Statistics(_))));
    }
    let mut sum = counts.clone();
    sum[0] += 1.0;
    assert!(matches!(plan.clone().absorb(&sum), Err(AnomalyError::Inconsistent { .. })));
    assert!(plan.clone().absorb(&counts[1..]).is_err());
    // Nobody had a row.
    let nothing = vec![0.0; counts.len()];
    assert!(matches!(plan.absorb(&nothing), Err(AnomalyError::TooFewRows { .. })));
}

#[test]
fn constant_and_empty_columns_do_no_harm() {
    let mut rng = StdRng::seed_from_u64(1);
    let x: Vec<f64> = (0..200).map(|_| rng.random::<f64>()).collect();
    let columns = vec![Column::Numeric(vec![7.0; 200]), Column::Numeric(vec![f64::NAN; 200]), Column::Numeric(x)];
    let t = table(vec![numeric("same"), numeric("none"), numeric("x")], columns, vec![false; 200]);
    let forest = pooled_forest(&t, small());
    assert!(forest.trees().iter().flat_map(|t| &t.nodes).all(|n| n.split.is_none_or(|s| s.column == 2)));
    let flat = one_column(&[3.0; 50]);
    let scores = pooled_forest(&flat, small()).score(&flat, &all(&flat)).unwrap();
    assert!(scores.iter().all(|s| (s - 0.5).abs() < 1e-12), "nothing to isolate: every score is 1/2");
}

#[test]
fn cells_keep_the_tails_and_the_gaps() {
    let values: Vec<f64> = (0..1000).map(|i| 100.0 + f64::from(i) / 1000.0).chain([5000.0, -3.0, 0.0]).collect();
    let t = one_column(&values);
    let grids = grids(&t.specs, &profile(&t, Split::Train).unwrap(), 64).unwrap();
    let ColumnGrid::Numeric(FineGrid { edges }) = &grids[0] else { panic!("numeric") };
    assert!(edges.windows(2).all(|w| w[0] < w[1]));
    let counts = label_counts(&t, &grids).unwrap();
    let cells: Vec<f64> = counts.chunks(2).map(|c| c[0] + c[1]).collect();
    let occupied: Vec<usize> = (0..cells.len()).filter(|&c| cells[c] > 0.0).collect();
    assert_eq!((cells[0], cells[cells.len() - 2]), (0.0, 0.0), "beyond all rows");
    assert_eq!(cells[occupied[0]], 1.0);
    assert_eq!(cells[occupied[1]], 1.0, "zero stands alone");
    assert_eq!(cells[occupied[occupied.len() - 1]], 1.0);
    assert!(occupied[occupied.len() - 1] > occupied[occupied.len() - 2] + 1, "the gap is a cell");
}

#[test]
fn thresholds_take_their_shares() {
    let scores: Vec<f64> = (1..=1000).map(f64::from).collect();
    let counts = AnomalyGrid::count(&scores);
    let t = Thresholds::new(&counts, &Levels::default()).unwrap();
    for (threshold, share) in [(t.general, 0.1), (t.serious, 0.05), (t.critical, 0.02)] {
        let above = scores.iter().filter(|s| **s >= threshold).count() as f64 / 1000.0;
        assert!(above <= share && above > share - 0.003, "{above} {share}");
    }
    let levels = [1.0, 920.0, 960.0, 999.0, f64::NAN].map(|s| t.warning(s));
    assert_eq!(levels, [Warning::None, Warning::General, Warning::Serious, Warning::Critical, Warning::Critical]);
    // Ties at the top hold more than the share: nobody is warned of.
    let ties = AnomalyGrid::count(&[vec![1.0; 90], vec![8.0; 10]].concat());
    assert!(threshold(&ties, 0.05).unwrap() > 8.0);
    assert!(threshold(&ties, 0.1).unwrap() <= 8.0);
    assert!(threshold(&ties, 0.0).is_err());
    assert!(threshold(&ties[1..], 0.1).is_err());
    assert!(threshold(&vec![0.0; AnomalyGrid::CELLS], 0.1).is_err());
    assert!(Levels { critical: 0.2, ..Levels::default() }.validate().is_err());
}

#[test]
fn drivers_are_sorted_shares() {
    let found = drivers(&[0.5, -2.0, 1.5, 0.0, 1.5], 2);
    assert_eq!(found.iter().map(|d| d.column).collect::<Vec<_>>(), [2, 4]);
    assert!((found[0].share - 1.5 / 3.5).abs() < 1e-15);
    assert!(drivers(&[0.0, -1.0], 3).is_empty());
}

#[test]
fn options_are_checked_and_unknown_ones_refused() {
    assert!(ForestOptions { trees: 0, ..ForestOptions::default() }.validate().is_err());
    assert!(ForestOptions { sample: 2, ..ForestOptions::default() }.validate().is_err());
    assert!(ForestOptions { node_counts: 8, ..ForestOptions::default() }.validate().is_err());
    assert!(TailOptions { cells: 1, ..TailOptions::default() }.validate().is_err());
    assert!(toml::from_str::<ForestOptions>("tree = 3").is_err());
    let read: ForestOptions = toml::from_str("trees = 3\npopulation = \"good\"").unwrap();
    assert_eq!((read.trees, read.population), (3, Population::Good));
    let read: TailOptions = toml::from_str("sum = \"per_column\"\nmissing = \"rate\"").unwrap();
    assert_eq!((read.sum, read.missing), (Sum::PerColumn, Missing::Rate));
}

#[test]
fn a_small_sum_bound_is_kept() {
    let t = firms(600, 6, 9);
    let options = ForestOptions { sum_counts: 10_000, ..small() };
    let keys = row_keys(1, t.rows());
    let mut plan = ForestPlan::begin(options, &margins(&[&t], Population::All)).unwrap();
    loop {
        assert!(plan.layout() <= 10_000, "{}", plan.layout());
        let counts = plan.counts(&t, &keys).unwrap();
        match plan.absorb(&counts).unwrap() {
            Grown::More(next) => plan = *next,
            Grown::Done(forest) => {
                assert!(forest.score(&t, &[599]).unwrap()[0] > forest.score(&t, &[0]).unwrap()[0]);
                break;
            }
        }
    }
}

/// Row by row: precision at each found bad, ties found together.
fn exact_average_precision(scores: &[f64], bad: &[bool]) -> f64 {
    let total = bad.iter().filter(|b| **b).count() as f64;
    let found =
        |s: f64, only_bad: bool| scores.iter().zip(bad).filter(|&(x, b)| *x >= s && (!only_bad || *b)).count() as f64;
    let precision = |s: f64| found(s, true) / found(s, false);
    scores.iter().zip(bad).filter(|(_, b)| **b).map(|(&s, _)| precision(s)).sum::<f64>() / total
}

#[test]
fn average_precision_by_hand() {
    // Highest anomaly first: bad, good, bad, good -> (1 + 2/3) / 2.
    let h = AnomalyGrid::histogram(&[8.0, 4.0, 2.0, 1.0], &[true, false, true, false]).unwrap();
    assert!((average_precision(&h).unwrap() - 5.0 / 6.0).abs() < 1e-15);
    assert!((Ranking::of(&h).unwrap().auc - 0.75).abs() < 1e-15);
    // A credit score is low for bads.
    let h = ScoreHistogram::of(&ScoreGrid::default(), &[-3.0, -2.0, 1.0, 2.0], &[true, false, true, false]).unwrap();
    assert!((average_precision(&h).unwrap() - 5.0 / 6.0).abs() < 1e-15);
    let one = AnomalyGrid::histogram(&[1.0], &[true]).unwrap();
    assert!(matches!(average_precision(&one), Err(MetricsError::OneClass { .. })));
    assert!(AnomalyGrid::histogram(&[f64::NAN], &[true]).is_err());
}

proptest! {
    #[test]
    fn histograms_measure_as_rows_do(
        rows in proptest::collection::vec((0.0f64..1.0, any::<bool>(), 0u8..4), 400..800), scale in -8i32..8
    ) {
        let scale = 2f64.powi(scale);
        let scores: Vec<f64> =
            rows.iter().map(|&(u, b, k)| scale * (0.3 + u * u + if b && k == 0 { 0.5 } else { 0.0 })).collect();
        let bad: Vec<bool> = rows.iter().map(|r| r.1).collect();
        prop_assume!(bad.iter().any(|b| *b) && bad.iter().any(|b| !*b));
        let negated: Vec<f64> = scores.iter().map(|s| -s).collect();
        let exact = ScoreHistogram::exact(&negated, &bad).unwrap();
        prop_assert!((average_precision(&exact).unwrap() - exact_average_precision(&scores, &bad)).abs() < 1e-9);
        let grid = AnomalyGrid::histogram(&scores, &bad).unwrap();
        prop_assert!((Ranking::of(&grid).unwrap().auc - Ranking::of(&exact).unwrap().auc).abs() < 5e-4);
        prop_assert!((average_precision(&grid).unwrap() - average_precision(&exact).unwrap()).abs() < 2e-2);
    }

    #[test]
    fn grid_cells_follow_the_order_of_scores(a in 0.0f64..1e6, b in 0.0f64..1e6) {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        prop_assert!(AnomalyGrid::cell(low) >= AnomalyGrid::cell(high));
        let cell = AnomalyGrid::cell(high);
        prop_assert!(cell == AnomalyGrid::CELLS - 1 || AnomalyGrid::lower(cell) <= high);
        prop_assert!(cell == 0 || high < AnomalyGrid::lower(cell - 1));
    }
}
