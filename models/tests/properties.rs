//! What must hold for any data.
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::binning::{BinKind, BinningOptions, Matrix, Trend, bin_columns};
use haihe_models::export::{read_scorecard, scorecard_csv, scorecard_json};
use haihe_models::glm::{LogisticStatistics, logistic_statistics};
use haihe_models::grid::{
    CoarseGrid, ColumnGrid, FineGrid, LabelCountsLayout, ProfileLayout, grids, label_counts, profile,
};
use haihe_models::metrics::{Ranking, ScoreGrid, ScoreHistogram, roc};
use haihe_models::pooled::{ScorecardOptions, train};
use haihe_models::scorecard::Value;
use haihe_models::selection::{correlation_bounds, correlation_statistics};
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use proptest::prelude::*;

fn specs() -> Vec<ColumnSpec> {
    let levels = ["cable", "felt", "wool"].map(str::to_owned).to_vec();
    vec![
        ColumnSpec { name: "staff".into(), kind: ColumnKind::Numeric },
        ColumnSpec { name: "margin".into(), kind: ColumnKind::Numeric },
        ColumnSpec { name: "industry".into(), kind: ColumnKind::Categorical { levels } },
    ]
}

prop_compose! {
    /// A firm: whole staff numbers, a real margin, an industry (other and missing included), a label that depends on them.
    fn firm()(staff in prop_oneof![Just(f64::NAN), (0u32..200).prop_map(f64::from)],
              margin in prop_oneof![1 => Just(f64::NAN), 9 => -1e3f64..1e3],
              industry in 0u32..5, luck in 0.0f64..1.0, train in 0u8..10) -> (f64, f64, u32, bool, Split) {
        let chance = 0.3 + if margin < 0.0 { 0.2 } else { 0.0 } + if staff > 50.0 { -0.2 } else { 0.0 } + 0.1 * f64::from(industry % 3);
        (staff, margin, industry, luck < chance, if train < 7 { Split::Train } else { Split::Test })
    }
}

fn table(firms: &[(f64, f64, u32, bool, Split)]) -> Table {
    Table {
        specs: specs(),
        columns: vec![
            Column::Numeric(firms.iter().map(|f| f.0).collect()),
            Column::Numeric(firms.iter().map(|f| f.1).collect()),
            Column::Categorical(firms.iter().map(|f| f.2).collect()),
        ],
        label: firms.iter().map(|f| f.3).collect(),
        split: firms.iter().map(|f| f.4).collect(),
        firms: None,
    }
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x + y).collect()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-9 * (1.0 + y.abs()))
}

proptest! {
    #[test]
    fn coarse_cells_are_ordered_and_hold_their_values(x in any::<f64>(), y in any::<f64>()) {
        prop_assume!(x.is_finite() && y.is_finite());
        let (a, b) = (CoarseGrid::cell(x), CoarseGrid::cell(y));
        prop_assert!(a < CoarseGrid::CELLS);
        if x <= y { prop_assert!(a <= b) } else { prop_assert!(a >= b) }
    }

    #[test]
    fn coarse_cells_are_closed_on_the_right(cell in 0..CoarseGrid::CELLS) {
        prop_assert_eq!(CoarseGrid::cell(CoarseGrid::upper(cell)), cell);
        if cell > 0 && cell != CoarseGrid::ZERO && cell != CoarseGrid::ZERO + 1 {
            prop_assert_eq!(CoarseGrid::lower(cell), CoarseGrid::upper(cell - 1));
            prop_assert_eq!(CoarseGrid::cell(CoarseGrid::lower(cell)), cell - 1);
        }
    }

    #[test]
    fn fine_grids_are_sorted_within_budget(values in prop::collection::vec(-1e6f64..1e6, 1..300), cells in 2usize..100) {
        let mut counts = vec![0.0; CoarseGrid::CELLS];
        for &x in &values { counts[CoarseGrid::cell(x)] += 1.0; }
        let fine = FineGrid::from_coarse(&counts, cells).unwrap();
        prop_assert!(fine.edges.windows(2).all(|w| w[0] < w[1]));
        prop_assert!(fine.cells() <= cells + 2, "{} cells", fine.cells());
    }

    #[test]
    fn whole_numbers_up_to_sixteen_are_told_apart(values in prop::collection::vec(0u32..=16, 1..200)) {
        let mut counts = vec![0.0; CoarseGrid::CELLS];
        for &x in &values { counts[CoarseGrid::cell(f64::from(x))] += 1.0; }
        let fine = FineGrid::from_coarse(&counts, 64).unwrap();
        for (&a, &b) in values.iter().zip(values.iter().skip(1)) {
            prop_assert_eq!(a == b, fine.cell(f64::from(a)) == fine.cell(f64::from(b)));
        }
    }

    #[test]
    fn sums_over_parties_are_the_pooled_statistics(firms in prop::collection::vec(firm(), 2..120), cut in 0.0f64..1.0) {
        let at = (cut * firms.len() as f64) as usize;
        let (all, a, b) = (table(&firms), table(&firms[..at]), table(&firms[at..]));
        let whole = profile(&all, Split::Train).unwrap();
        prop_assert_eq!(&add(&profile(&a, Split::Train).unwrap(), &profile(&b, Split::Train).unwrap()), &whole);
        let read = ProfileLayout::new(&specs()).read(&whole).unwrap();
        prop_assert_eq!(read.rows, all.split.iter().filter(|s| **s == Split::Train).count() as f64);
        for c in read.columns.iter().flatten() {
            prop_assert_eq!(c.coarse.iter().sum::<f64>() + c.missing, read.rows);
        }
        let grids = grids(&specs(), &whole, 32).unwrap();
        let counts = label_counts(&all, &grids).unwrap();
        prop_assert_eq!(add(&label_counts(&a, &grids).unwrap(), &label_counts(&b, &grids).unwrap()), counts.clone());
        for column in LabelCountsLayout::new(&grids).read(&counts).unwrap() {
            prop_assert_eq!(column.iter().map(|c| c[0] + c[1]).sum::<f64>(), read.rows);
        }
    }

    #[test]
    fn regression_sums_add_up_within_their_bounds(rows in prop::collection::vec((-2.0f64..2.0, -2.0f64..2.0, any::<bool>()), 2..60),
                                                  beta in prop::array::uniform3(-3.0f64..3.0), cut in 0.0f64..1.0) {
        let at = (cut * rows.len() as f64) as usize;
        let make = |r: &[(f64, f64, bool)]| {
            let x = Matrix::new(r.len(), 2, r.iter().flat_map(|r| [r.0, r.1]).collect()).unwrap();
            let y: Vec<bool> = r.iter().map(|r| r.2).collect();
            (logistic_statistics(&x, &y, &beta).unwrap().to_vec(), correlation_statistics(&x))
        };
        let ((all, all_c), (a, a_c), (b, b_c)) = (make(&rows), make(&rows[..at]), make(&rows[at..]));
        prop_assert!(near(&add(&a, &b), &all) && near(&add(&a_c, &b_c), &all_c));
        let n = rows.len() as f64;
        let bounds = LogisticStatistics::bounds(n, 2, 2.0);
        prop_assert_eq!(bounds.len(), LogisticStatistics::len_for(2));
        prop_assert!(all.iter().zip(&bounds).all(|(v, b)| v.abs() <= *b));
        prop_assert!(all_c.iter().zip(&correlation_bounds(n, 2, 2.0)).all(|(v, b)| v.abs() <= *b));
    }

    #[test]
    fn bins_keep_counts_minimum_rows_and_order(cells in prop::collection::vec((0u32..60, 0u32..60), 2..40), missing in (0u32..20, 0u32..20),
                                               max_bins in 1usize..8, monotone: bool) {
        let counts: Vec<f64> = cells.iter().chain([&missing]).flat_map(|&(g, b)| [f64::from(g), f64::from(b)]).collect();
        let (good, bad): (f64, f64) = (counts.iter().step_by(2).sum(), counts.iter().skip(1).step_by(2).sum());
        prop_assume!(good >= 1.0 && bad >= 1.0);
        let grid = ColumnGrid::Numeric(FineGrid { edges: (1..cells.len() as u32).map(f64::from).collect() });
        let options = BinningOptions { max_bins, monotone, min_bin_rows: 25.0, ..Default::default() };
        let b = bin_columns(&specs()[..1], std::slice::from_ref(&grid), &counts, &options).unwrap().remove(0);
        // What a suppressed bin hides is below the floor, and nothing else is missing.
        let hidden = good + bad - b.bins.iter().map(|b| b.good + b.bad).sum::<f64>();
        let suppressed = b.bins.iter().filter(|b| b.suppressed_below == Some(25.0)).count();
        prop_assert!(hidden >= suppressed as f64 && hidden <= 24.0 * suppressed as f64);
        prop_assert!(b.bins.iter().all(|b| b.good + b.bad == 0.0 || b.good + b.bad >= 25.0));
        prop_assert!(b.bins.iter().all(|b| b.suppressed_below.is_none() || (b.neutral && b.woe == 0.0 && b.good + b.bad == 0.0)));
        prop_assert!(b.bins.iter().all(|b| b.iv >= -1e-15 && b.woe.is_finite()));
        let ranges: Vec<_> = b.bins.iter().filter(|b| b.kind != BinKind::Missing).collect();
        prop_assert!(ranges.len() <= max_bins);
        if ranges.len() > 1 {
            prop_assert!(ranges.iter().all(|b| b.good + b.bad >= 25.0));
            match b.monotone {
                Trend::Increasing => prop_assert!(ranges.windows(2).all(|w| w[0].woe < w[1].woe)),
                Trend::Decreasing => prop_assert!(ranges.windows(2).all(|w| w[0].woe > w[1].woe)),
                Trend::None => prop_assert!(!monotone),
            }
        }
        // Each fine cell falls into the bin that counts it.
        for (i, bin) in ranges.iter().enumerate() {
            let inside = (0..cells.len()).filter(|&c| b.bin_of_numeric(c as f64 + 0.5) == i);
            let total = inside.fold(0.0, |s, c| s + f64::from(cells[c].0 + cells[c].1));
            prop_assert!(bin.suppressed_below.is_some_and(|floor| total < floor) || total == bin.good + bin.bad);
        }
    }

    /// The dynamic programme against trying all partitions.
    #[test]
    fn bins_are_optimal(cells in prop::collection::vec((1u32..40, 1u32..40), 2..9), max_bins in 1usize..5) {
        let counts: Vec<f64> = cells.iter().chain([&(0, 0)]).flat_map(|&(g, b)| [f64::from(g), f64::from(b)]).collect();
        let (good, bad): (f64, f64) = (counts.iter().step_by(2).sum(), counts.iter().skip(1).step_by(2).sum());
        let grid = ColumnGrid::Numeric(FineGrid { edges: (1..cells.len() as u32).map(f64::from).collect() });
        let options = BinningOptions { max_bins, min_bin_rows: 20.0, min_bin_fraction: 0.0, min_chi_square: 0.0, ..Default::default() };
        let iv = bin_columns(&specs()[..1], std::slice::from_ref(&grid), &counts, &options).unwrap()[0].iv;
        let e = 2.0 * options.smoothing / (good + bad);
        let mut best = 0.0f64;
        for mask in 0u32..1 << (cells.len() - 1) {
            let mut segments = vec![(0.0, 0.0)];
            for (i, c) in cells.iter().enumerate() {
                if i > 0 && mask >> (i - 1) & 1 == 1 { segments.push((0.0, 0.0)); }
                let s = segments.last_mut().unwrap();
                *s = (s.0 + f64::from(c.0), s.1 + f64::from(c.1));
            }
            let woe: Vec<f64> = segments.iter().map(|s| ((s.0 / good + e) / (s.1 / bad + e)).ln()).collect();
            let ordered = woe.windows(2).all(|w| w[0] < w[1]) || woe.windows(2).all(|w| w[0] > w[1]);
            if segments.len() <= max_bins && ordered && segments.iter().all(|s| s.0 + s.1 >= 20.0) {
                best = best.max(segments.iter().zip(&woe).map(|(s, w)| (s.0 / good - s.1 / bad) * w).sum());
            }
        }
        prop_assert!((iv - best).abs() < 1e-12, "{} against {}", iv, best);
    }

    #[test]
    fn histogram_metrics_converge_to_exact_ones(rows in prop::collection::vec((-6.0f64..6.0, any::<bool>()), 20..300)) {
        let (scores, bad): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
        prop_assume!(bad.iter().any(|b| *b) && bad.iter().any(|b| !b));
        let exact = Ranking::of_rows(&scores, &bad).unwrap();
        for cells in [400usize, 40_000] {
            let grid = ScoreGrid { cells, ..Default::default() };
            let h = ScoreHistogram::of(&grid, &scores, &bad).unwrap();
            prop_assert_eq!(ScoreHistogram::from_slice(&grid, &h.to_vec()).unwrap(), h.clone());
            // At most half of the pairs that share a cell are misjudged.
            let shared: f64 = h.good.iter().zip(&h.bad).map(|(g, b)| g * b).sum::<f64>() / (exact.good * exact.bad);
            let r = Ranking::of(&h).unwrap();
            prop_assert!((r.auc - exact.auc).abs() <= shared / 2.0 + 1e-12);
            prop_assert!(r.ks <= exact.ks + 1e-12);
            let curve = roc(&h).unwrap();
            let area: f64 = curve.windows(2).map(|w| (w[1].false_positive_rate - w[0].false_positive_rate)
                * (w[0].true_positive_rate + w[1].true_positive_rate) / 2.0).sum();
            prop_assert!((area - r.auc).abs() < 1e-12);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_federated_scorecard_is_the_pooled_one_and_survives_json(firms in prop::collection::vec(firm(), 300..600), cut in 0.1f64..0.9) {
        let at = (cut * firms.len() as f64) as usize;
        let (all, a, b) = (table(&firms), table(&firms[..at]), table(&firms[at..]));
        let options = ScorecardOptions::default();
        let (Ok(pooled), Ok(federated)) = (train(&[&all], &options), train(&[&a, &b], &options)) else {
            prop_assert_eq!(train(&[&all], &options).is_err(), train(&[&a, &b], &options).is_err());
            return Ok(());
        };
        prop_assert_eq!(&pooled.binnings, &federated.binnings);
        prop_assert_eq!(&pooled.selection.kept, &federated.selection.kept);
        let card = pooled.scorecard;
        for (x, y) in card.variables.iter().zip(&federated.scorecard.variables) {
            prop_assert!((x.coefficient - y.coefficient).abs() < 1e-9);
        }
        let back = read_scorecard(&scorecard_json(&card).unwrap()).unwrap();
        prop_assert_eq!(&back, &card);
        prop_assert!(scorecard_csv(&card).lines().count() > card.variables.len());
        // Table scoring, row scoring and scoring by name agree to the last bit, and rounding stays within its bound.
        let (scores, bound) = (card.score_table(&all).unwrap(), card.bind(&all).unwrap());
        for (row, firm) in firms.iter().enumerate() {
            let seen = bound.assess(row).unwrap();
            prop_assert_eq!(seen.log_odds, scores[row]);
            let named = card.assess(|column| match (column, firm.2) {
                ("staff", _) => Value::Number(firm.0),
                ("margin", _) => Value::Number(firm.1),
                (_, 4) => Value::Missing,
                (_, level) => Value::Text(["cable", "felt", "wool", "glass"][level as usize].to_owned()),
            });
            prop_assert_eq!(&named, &seen);
            prop_assert!((seen.exact_points - seen.points as f64).abs() <= card.max_rounding_effect + 1e-9);
            prop_assert!((0.0..=100.0).contains(&seen.score));
        }
        prop_assert!(bound.assess(firms.len()).is_none());
    }
}

#[test]
fn tables_that_do_not_fit_together_are_refused() {
    let firms = [(1.0, 2.0, 0, true, Split::Train), (2.0, f64::NAN, 4, false, Split::Train)];
    let good = table(&firms);
    let refused = |change: &dyn Fn(&mut Table)| {
        let mut t = good.clone();
        change(&mut t);
        profile(&t, Split::Train).is_err()
            && label_counts(&t, &[]).is_err()
            && train(&[&t], &ScorecardOptions::default()).is_err()
    };
    assert!(refused(&|t| t.split = vec![Split::Train]));
    assert!(refused(&|t| t.label = vec![]));
    assert!(refused(&|t| t.columns[0] = Column::Numeric(vec![1.0])));
    assert!(refused(&|t| t.columns[0] = Column::Numeric(vec![1.0, f64::INFINITY])));
    assert!(refused(&|t| t.columns[0] = Column::Categorical(vec![0, 0])));
    assert!(refused(&|t| t.columns[2] = Column::Categorical(vec![0, 5])));
    assert!(refused(&|t| t.columns.truncate(2)));
    assert!(train(&[], &ScorecardOptions::default()).is_err());
    let empty = table(&[]);
    assert!(train(&[&empty], &ScorecardOptions::default()).is_err());
    assert!(profile(&empty, Split::Test).unwrap().iter().all(|&c| c == 0.0));
}

#[test]
fn every_term_has_both_names_and_options_refuse_what_they_do_not_know() {
    assert!(haihe_models::export::terms::ALL.iter().all(|t| !t.en.is_empty() && !t.zh.is_empty()));
    let options: ScorecardOptions =
        toml::from_str("[binning]\nmax_bins = 5\n[scaling]\npopulation_bad_rate = 0.176").unwrap();
    assert_eq!(options.binning.max_bins, 5);
    assert!(toml::from_str::<ScorecardOptions>("[binning]\nmax_bin = 5").is_err());
    assert!(read_scorecard("{}").is_err() && read_scorecard("").is_err());
}
