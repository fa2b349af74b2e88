//! Learning from noisy sums.
#![allow(clippy::unwrap_used, reason = "tests")]

mod firms;

use firms::{firm_table, specs};
use haihe_models::binning::{BinningOptions, Trend};
use haihe_models::grid::{CoarseGrid, ColumnGrid, FineGrid, StatisticsError, grids, label_counts, profile};
use haihe_models::metrics::{Ranking, ScoreGrid, ScoreHistogram};
use haihe_models::noisy::newton::{NoisyFit, NoisyNewton, NoisyOutcome};
use haihe_models::noisy::statistics::{label_counts_sum, profile_blocks, profile_sum, regression_sum};
use haihe_models::noisy::{NoisyError, NoisyOptions, binning, evaluation, profile as noisy_profile, trial};
use haihe_models::pooled::{self, ScorecardOptions};
use haihe_models::scorecard::Scorecard;
use haihe_models::selection::{Reason, SelectionOptions};
use haihe_models::table::{ColumnKind, ColumnSpec, Split, Table};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// Gaussian enough, without tables: twelve uniform numbers.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

fn learn(table: &Table, mu: f64, seed: u64) -> Result<trial::Trial, NoisyError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = &mut |sigma: f64| sigma * normal(&mut rng);
    trial::train(&[table], &ScorecardOptions::default(), &NoisyOptions::default(), mu, noise)
}

fn auc(card: &Scorecard, table: &Table) -> f64 {
    let (scores, bad) = pooled::scores_of(card, table, Split::Test).unwrap();
    Ranking::of_rows(&scores, &bad).unwrap().auc
}

fn single(seed: u64, rows: usize) -> Table {
    Table { firms: None, ..firm_table(seed, rows, 1) }
}

#[test]
fn noise_costs_little_with_many_firms_and_much_with_few() {
    let large = single(1, 20_000);
    let exact = auc(&pooled::train(&[&large], &ScorecardOptions::default()).unwrap().scorecard, &large);
    let without_noise = auc(&learn(&large, f64::INFINITY, 0).unwrap().scorecard, &large);
    assert!((without_noise - exact).abs() < 0.005, "{without_noise} {exact}");
    let noisy = learn(&large, 0.25, 0).unwrap();
    assert!(auc(&noisy.scorecard, &large) > exact - 0.02, "{} {exact}", auc(&noisy.scorecard, &large));
    assert_eq!(noisy, learn(&large, 0.25, 0).unwrap(), "nothing but the noise is random");
    assert!(noisy.scorecard.check().is_ok());
    assert!(noisy.scorecard.variables.iter().all(|v| v.coefficient > 0.0));
    let json = serde_json::to_string(&noisy.fit).unwrap();
    assert_eq!(serde_json::from_str::<NoisyFit>(&json).unwrap(), noisy.fit);

    // 200 firms: an error that says so, never a panic or a scorecard of NaN.
    for seed in 0..20 {
        match learn(&single(2, 200), 0.1, seed) {
            Ok(trial) => assert!(trial.scorecard.check().is_ok()),
            Err(NoisyError::Drowned { .. } | NoisyError::NothingSelected { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn firms_with_many_rows_are_learned_from_too() {
    let table = firm_table(3, 20_000, 4);
    let trial = learn(&table, 0.5, 1).unwrap();
    assert!(trial.clipped.iter().flatten().any(|&n| n > 0));
    assert!(auc(&trial.scorecard, &table) > 0.7);
}

#[test]
fn a_profile_without_noise_gives_the_usual_grids() {
    let table = single(4, 3000);
    let options = NoisyOptions { fine_cells: 12, ..NoisyOptions::default() };
    let sum = profile_sum(&table, &options).unwrap().sum;
    let read = noisy_profile::absorb(&specs(), &sum, &[0.0, 0.0], &options).unwrap();
    assert_eq!(read.grids, grids(&specs(), &profile(&table, Split::Train).unwrap(), 12).unwrap());
    assert_eq!(read.rows() + read.test_rows, 3000.0);
}

#[test]
fn a_noisy_profile_stays_in_the_range_of_the_values() {
    let table = single(4, 20_000);
    let options = NoisyOptions::default();
    let blocks = profile_blocks(&specs(), &options);
    let sigmas: Vec<f64> = blocks.iter().map(|b| b.sigma(0.05)).collect();
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sum = profile_sum(&table, &options).unwrap().sum;
        for (i, v) in sum.iter_mut().enumerate() {
            *v += sigmas[usize::from(i >= 3)] * normal(&mut rng);
        }
        let read = noisy_profile::absorb(&specs(), &sum, &sigmas, &options).unwrap();
        for (grid, largest) in read.grids.iter().zip([200.0, 1.0]) {
            let ColumnGrid::Numeric(fine) = grid else { panic!("numeric") };
            assert!(fine.cells() <= options.fine_cells + 2 && fine.cells() > 5, "{fine:?}");
            // A coarse cell is an eighth of an octave.
            assert!(fine.edges.iter().all(|e| e.abs() <= largest * 1.13), "seed {seed}: {fine:?}");
        }
    }
}

/// One column without any information, in `cells` cells of equal size.
fn nothing(cells: usize, rows: f64) -> (Vec<ColumnSpec>, Vec<ColumnGrid>, Vec<f64>) {
    let edges = (1..cells).map(|e| e as f64).collect();
    let spec = ColumnSpec { name: "noise".into(), kind: ColumnKind::Numeric };
    let mut counts = vec![rows / cells as f64 / 2.0; 2 * cells];
    counts.extend([0.0, 0.0]);
    (vec![spec], vec![ColumnGrid::Numeric(FineGrid { edges })], counts)
}

#[test]
fn noise_is_no_information() {
    let (specs, grids, counts) = nothing(20, 20_000.0);
    let options = NoisyOptions::default();
    let mut selected = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noisy: Vec<f64> = counts.iter().map(|c| c + 60.0 * normal(&mut rng)).collect();
        let (b, s) = (BinningOptions::default(), SelectionOptions::default());
        match binning::absorb(&specs, &grids, &noisy, &[60.0], &b, &s, &options) {
            Ok(read) => {
                selected += 1;
                assert!(read.binnings[0].iv < 0.1, "{:?}", read.binnings[0]);
            }
            Err(NoisyError::NothingSelected { columns: 1 }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(selected <= 4, "{selected} of 200 columns of noise were taken for information");
}

#[test]
fn bins_of_noisy_counts_are_monotone_and_readable() {
    let table = single(6, 20_000);
    let options = NoisyOptions::default();
    let grids = grids(&specs(), &profile(&table, Split::Train).unwrap(), 20).unwrap();
    let counts = label_counts(&table, &grids).unwrap();
    assert_eq!(label_counts_sum(&table, &grids, &options).unwrap().sum, counts);
    let (b, s) = (BinningOptions::default(), SelectionOptions::default());
    for seed in 0..30 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noisy: Vec<f64> = counts.iter().map(|c| c + 40.0 * normal(&mut rng)).collect();
        let read = binning::absorb(&specs(), &grids, &noisy, &[40.0], &b, &s, &options).unwrap();
        assert!((read.good + read.bad - 14_000.0).abs() < 1000.0);
        let staff = &read.binnings[0];
        assert_eq!(staff.monotone, Trend::Increasing);
        let woe: Vec<f64> = staff.bins[..staff.bins.len() - 1].iter().map(|b| b.woe).collect();
        assert!(woe.len() >= 2 && woe.windows(2).all(|w| w[0] < w[1]), "{woe:?}");
        for bin in read.binnings.iter().flat_map(|b| &b.bins) {
            assert!(bin.good >= 0.0 && bin.bad >= 0.0 && bin.good.fract() == 0.0 && bin.woe.is_finite());
        }
        for binning in &read.binnings {
            let iv: f64 = binning.bins.iter().map(|b| b.iv).sum();
            assert!((iv - binning.iv).abs() < 1e-9);
        }
    }
}

/// Bins of the made-up firms from exact counts.
fn exact_bins(table: &Table, options: &NoisyOptions) -> binning::NoisyBinnings {
    let grids = grids(&specs(), &profile(table, Split::Train).unwrap(), 20).unwrap();
    let counts = label_counts(table, &grids).unwrap();
    let (b, s) = (BinningOptions::default(), SelectionOptions::default());
    binning::absorb(&specs(), &grids, &counts, &[0.0], &b, &s, options).unwrap()
}

fn regress(table: &Table, bins: &binning::NoisyBinnings, options: &NoisyOptions, sigmas: [f64; 2]) -> NoisyFit {
    let chosen = bins.chosen();
    let mut newton = NoisyNewton::new(&chosen, bins.good, bins.bad, options).unwrap();
    loop {
        let sum = regression_sum(table, &chosen, newton.beta(), options).unwrap().sum;
        match newton.step(&sum, &sigmas, true).unwrap() {
            NoisyOutcome::Continue(next) => newton = next,
            NoisyOutcome::Finished(fit) => return *fit,
        }
    }
}

#[test]
fn without_noise_the_steps_lead_to_the_usual_fit() {
    let table = single(7, 10_000);
    let options = NoisyOptions {
        steps: 6,
        slope_deviation: 10.0,
        gradient_clip: 100.0,
        hessian_clip: 100.0,
        ..NoisyOptions::default()
    };
    let bins = exact_bins(&table, &options);
    let found = regress(&table, &bins, &options, [0.0, 0.0]);
    let ridge = haihe_models::glm::NewtonOptions { ridge: 0.0, ..Default::default() };
    let usual = pooled::fit(&[&table], &bins.chosen(), &ridge).unwrap();
    assert!(found.contradicted.is_empty());
    for (a, b) in found.fit.coefficients.iter().zip(&usual.coefficients) {
        assert_eq!(a.column, b.column);
        assert!((a.value - b.value).abs() < 0.01 * b.standard_error, "{a:?} {b:?}");
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 0.01, "{a:?} {b:?}");
    }
    assert_eq!(found.fit.null_log_likelihood, usual.null_log_likelihood);
    let (rise, exact) =
        (found.fit.log_likelihood - usual.null_log_likelihood, usual.log_likelihood - usual.null_log_likelihood);
    assert!((rise / exact - 1.0).abs() < 0.2, "the log-likelihood is an estimate: {rise} {exact}");
}

#[test]
fn what_noise_drowns_stays_at_the_start() {
    let table = single(7, 2000);
    let options = NoisyOptions::default();
    let bins = exact_bins(&table, &options);
    let fit = regress(&table, &bins, &options, [1e9, 1e9]).fit;
    for c in &fit.coefficients[1..] {
        assert!((c.value - options.start_slope).abs() < 1e-6, "{c:?}");
        assert!((c.standard_error - options.slope_deviation).abs() < 1e-6, "{c:?}");
    }
}

#[test]
fn a_slope_of_the_wrong_sign_is_dropped_and_the_others_follow() {
    let table = single(8, 3000);
    let options = NoisyOptions { steps: 1, ..NoisyOptions::default() };
    let bins = exact_bins(&table, &options);
    let chosen = bins.chosen();
    assert_eq!(chosen.len(), 3);
    let newton = NoisyNewton::new(&chosen, bins.good, bins.bad, &options).unwrap();
    let mut sum = regression_sum(&table, &chosen, newton.beta(), &options).unwrap().sum;
    sum[2] -= 2000.0;
    let finish = |positive: bool| match newton.step(&sum, &[5.0, 5.0], positive).unwrap() {
        NoisyOutcome::Finished(fit) => *fit,
        NoisyOutcome::Continue(_) => panic!("one step"),
    };
    let fit = finish(true);
    assert_eq!(fit.contradicted.len(), 1);
    assert!(fit.contradicted[0].0 == 1 && fit.contradicted[0].1 < 0.0);
    assert_eq!(fit.fit.coefficients.len(), 3);
    let selection = trial::without_contradicted(&bins, &fit);
    assert!(matches!(selection.dropped.last().unwrap().reason, Reason::WrongSign { .. }));
    assert!(Scorecard::new(selection.binnings(&bins.binnings), &fit.fit, Default::default()).is_ok());
    let free = finish(false);
    assert!(free.contradicted.is_empty() && free.fit.coefficients[2].value < 0.0);
}

#[test]
fn auc_from_noisy_histograms_is_unbiased_and_knows_its_error() {
    let table = single(9, 20_000);
    let card = pooled::train(&[&table], &ScorecardOptions::default()).unwrap().scorecard;
    let options = NoisyOptions::default();
    let grid = ScoreGrid { lower: -4.0, upper: 4.0, cells: options.score_cells };
    let mut exact = Vec::new();
    for split in [Split::Train, Split::Test] {
        let (scores, bad) = pooled::scores_of(&card, &table, split).unwrap();
        exact.extend(ScoreHistogram::of(&grid, &scores, &bad).unwrap().to_vec());
    }
    let truth = evaluation::absorb(&grid, &exact, &[0.0], &options).unwrap();
    let usual = Ranking::of(&ScoreHistogram::from_slice(&grid, &exact[64..]).unwrap()).unwrap();
    let ranking = truth.test.ranking.unwrap();
    assert!((ranking.auc - usual.auc).abs() < 1e-12 && (ranking.ks - usual.ks).abs() < 0.01);
    assert_eq!(truth.test.auc_noise, Some(0.0));

    let sigma = 25.0;
    let (mut errors, mut squares, mut claimed, mut ks) = (0.0, 0.0, 0.0, 0.0);
    let runs = 300;
    for seed in 0..runs {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noisy: Vec<f64> = exact.iter().map(|c| c + sigma * normal(&mut rng)).collect();
        let test = evaluation::absorb(&grid, &noisy, &[sigma], &options).unwrap().test;
        let seen = test.ranking.unwrap();
        errors += seen.auc - usual.auc;
        squares += (seen.auc - usual.auc) * (seen.auc - usual.auc);
        claimed += test.auc_noise.unwrap() * test.auc_noise.unwrap();
        ks += seen.ks - usual.ks;
        assert!(test.histogram.good.iter().chain(&test.histogram.bad).all(|c| *c >= 0.0));
        assert!(test.calibration.unwrap().level.is_finite());
    }
    let n = runs as f64;
    let (bias, spread, claimed) = (errors / n, (squares / n).sqrt(), (claimed / n).sqrt());
    assert!(bias.abs() < 3.0 * spread / n.sqrt(), "bias {bias}, spread {spread}");
    assert!(claimed / spread > 0.8 && claimed / spread < 1.3, "claimed {claimed}, found {spread}");
    assert!((ks / n).abs() < 0.02, "KS is off by {}", ks / n);
}

#[test]
fn budgets_add_up_and_options_are_checked() {
    let options = NoisyOptions { steps: 3, ..NoisyOptions::default() };
    let budgets = options.budgets(0.7);
    assert_eq!(budgets.len(), options.sums());
    assert!((budgets.iter().map(|b| b * b).sum::<f64>() - 0.49).abs() < 1e-12);
    let spent = |b: &haihe_models::clipped::Block| (b.clip / b.sigma(0.3)) * (b.clip / b.sigma(0.3));
    let spent: f64 = profile_blocks(&specs(), &options).iter().map(spent).sum();
    assert!((spent - 0.09).abs() < 1e-12);
    assert!(toml::from_str::<NoisyOptions>("step = 2").is_err());
    assert!(toml::from_str::<NoisyOptions>("[weights]\nother = 2").is_err());
    let read: NoisyOptions = toml::from_str("steps = 4\n[weights]\nprofile = 1.0").unwrap();
    assert_eq!((read.steps, read.weights.profile), (4, 1.0));
    for bad in ["steps = 0", "rows_per_firm = nan", "slope_deviation = 0.0", "[weights]\nevaluation = 0.0"] {
        let options: NoisyOptions = toml::from_str(bad).unwrap();
        assert!(matches!(options.validate(), Err(NoisyError::Option { .. })), "{bad}");
    }
}

#[test]
fn damaged_sums_are_refused() {
    let options = NoisyOptions::default();
    let len = profile_blocks(&specs(), &options).iter().map(|b| b.len).sum();
    let read = |sum: &[f64], sigmas: &[f64]| noisy_profile::absorb(&specs(), sum, sigmas, &options).unwrap_err();
    let mut sum = vec![0.0; len];
    assert!(matches!(read(&sum[1..], &[1.0, 1.0]), NoisyError::Statistics(StatisticsError::Length { .. })));
    assert_eq!(read(&sum, &[1.0]), NoisyError::Sigmas { expected: 2, found: 1 });
    assert_eq!(read(&sum, &[1.0, -1.0]), NoisyError::NotFinite { what: "coarse counts" });
    sum[CoarseGrid::ZERO] = f64::NAN;
    assert_eq!(read(&sum, &[1.0, 1.0]), NoisyError::NotFinite { what: "coarse counts" });
}

/// Only one bad in `keep` stays.
fn with_rare_bads(table: &Table, keep: usize) -> Table {
    let kept: Vec<usize> = (0..table.rows()).filter(|&r| !table.label[r] || r % keep == 0).collect();
    firms::take(table, &kept)
}

#[test]
fn clipping_leaves_the_level_right_when_bads_are_rare() {
    let table = with_rare_bads(&single(10, 60_000), 10);
    let level = |gradient_clip: f64| {
        let options = NoisyOptions { gradient_clip, ..NoisyOptions::default() };
        let trial = trial::train(&[&table], &ScorecardOptions::default(), &options, f64::INFINITY, &mut |_| 0.0);
        let (scores, bad) = pooled::scores_of(&trial.unwrap().scorecard, &table, Split::Test).unwrap();
        let expected: f64 = scores.iter().map(|s| 1.0 / (1.0 + s.exp())).sum();
        bad.iter().filter(|b| **b).count() as f64 / expected
    };
    let found = level(NoisyOptions::default().gradient_clip);
    assert!((found - 1.0).abs() < 0.03, "{found}");
    assert!(level(0.6) > 1.2, "what a small clip would do");
}

#[test]
fn the_intercept_stays_put_when_a_slope_is_held_at_zero() {
    let table = single(8, 3000);
    let options = NoisyOptions { steps: 1, ..NoisyOptions::default() };
    let bins = exact_bins(&table, &options);
    let chosen = bins.chosen();
    let newton = NoisyNewton::new(&chosen, bins.good, bins.bad, &options).unwrap();
    let mut held = 0;
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sum = regression_sum(&table, &chosen, newton.beta(), &options).unwrap().sum;
        // So much noise that the Hessian has negative eigenvalues.
        sum.iter_mut().for_each(|v| *v += 100.0 * normal(&mut rng));
        sum[2] -= 1000.0;
        match newton.step(&sum, &[100.0, 100.0], true) {
            Ok(NoisyOutcome::Finished(fit)) => {
                held += fit.contradicted.len();
                let moved = fit.fit.coefficients[0].value - newton.beta()[0];
                assert!(moved.abs() < 0.7, "seed {seed}: {fit:?}");
            }
            Err(NoisyError::NothingSelected { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(held > 50, "{held}");
}

#[test]
fn bins_from_elsewhere_cannot_lift_the_bound() {
    let table = single(7, 2000);
    let options = NoisyOptions::default();
    let mut chosen = exact_bins(&table, &options).chosen();
    for woe in [1e200, f64::INFINITY, f64::NAN] {
        chosen[0].bins[0].woe = woe;
        let refused = regression_sum(&table, &chosen, &[0.0; 4], &options);
        let bounded = refused.as_ref().is_ok_and(|s| s.sum.iter().all(|v| v.is_finite()));
        assert!(refused.is_err() || bounded, "{woe}: {refused:?}");
    }
    chosen[0].bins[0].woe = 1e200;
    assert!(matches!(regression_sum(&table, &chosen, &[0.0; 4], &options), Err(NoisyError::Clip(_))));
    let beta = [f64::NAN; 4];
    chosen[0].bins[0].woe = 1.0;
    assert!(regression_sum(&table, &chosen, &beta, &options).unwrap().sum.iter().all(|v| *v == 0.0));
}
