//! Encoders from summed counts: what they do to known distributions, to missing values, to levels and to series.
#![allow(clippy::unwrap_used, reason = "tests")]

use haihe_models::binning::{BinningOptions, bin_columns};
use haihe_models::grid::{ColumnGrid, FineGrid, grids, label_counts, profile, rows_of};
use haihe_models::network::encoding::ChannelFault;
use haihe_models::network::{Channel, Encoder, EncodingError, EncodingKind, EncodingOptions, Examples};
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const NAN: f64 = f64::NAN;

fn numeric(name: &str) -> ColumnSpec {
    ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric }
}

fn categorical(name: &str, levels: &[&str]) -> ColumnSpec {
    let levels = levels.iter().map(|l| (*l).to_owned()).collect();
    ColumnSpec { name: name.to_owned(), kind: ColumnKind::Categorical { levels } }
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.next_u32() >> 1) + 0.5) / f64::from(1u32 << 31)
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    libm::sqrt(-2.0 * libm::log(uniform(rng))) * libm::cos(core::f64::consts::TAU * uniform(rng))
}

/// All rows train; every fourth is bad, unless `bad` says otherwise.
fn table(columns: Vec<(ColumnSpec, Column)>) -> Table {
    let rows = columns[0].1.len();
    let (specs, columns) = columns.into_iter().unzip();
    Table {
        specs,
        columns,
        label: (0..rows).map(|r| r % 4 == 0).collect(),
        split: vec![Split::Train; rows],
        firms: None,
    }
}

fn numbers(name: &str, rows: usize, mut value: impl FnMut(usize) -> f64) -> (ColumnSpec, Column) {
    (numeric(name), Column::Numeric((0..rows).map(&mut value).collect()))
}

fn learn_on(table: &Table, cells: usize, options: &EncodingOptions) -> Result<Encoder, EncodingError> {
    let grids = grids(&table.specs, &profile(table, Split::Train).unwrap(), cells).unwrap();
    let counts = label_counts(table, &grids).unwrap();
    Encoder::learn(&table.specs, &grids, &counts, options, &BinningOptions::default())
}

fn of(kind: EncodingKind) -> EncodingOptions {
    EncodingOptions { kind, ..EncodingOptions::default() }
}

fn all(encoder: &Encoder, table: &Table) -> Examples {
    let examples = encoder.encode(table, &(0..table.rows()).collect::<Vec<_>>()).unwrap();
    assert_eq!(examples.width, encoder.inputs().len());
    assert!(examples.x.iter().all(|v| v.is_finite() && v.abs() <= 16.0));
    examples
}

fn input(examples: &Examples, index: usize) -> Vec<f64> {
    (0..examples.rows()).map(|r| f64::from(examples.row(r)[index])).collect()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt())
}

fn names(encoder: &Encoder) -> Vec<&str> {
    encoder.inputs().iter().map(|i| i.name.as_str()).collect()
}

/// Columns of many shapes.
fn shapes(rows: usize, seed: u64) -> Table {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = |f: &dyn Fn(&mut ChaCha8Rng) -> f64, name: &str| numbers(name, rows, |_| f(&mut rng));
    table(vec![
        draws(&|r| 3.0 + uniform(r), "uniform"),
        draws(&|r| normal(r) * 50.0 - 20.0, "normal"),
        draws(&|r| -libm::log(uniform(r)) * 1e6, "exponential"),
        draws(&|r| libm::exp(2.0 * normal(r)), "lognormal"),
        draws(&|r| libm::floor(uniform(r) * 6.0), "dice"),
        draws(&|r| libm::floor(uniform(r) * 300.0), "whole"),
        draws(&|r| f64::from(u8::from(uniform(r) < 0.3)), "flag"),
        draws(&|r| if uniform(r) < 0.7 { 0.0 } else { normal(r).abs() * 1e3 }, "zeros"),
        draws(&|r| 1e9 + 1e7 * uniform(r), "offset"),
    ])
}

#[test]
fn standardised_columns_have_mean_0_and_deviation_1() {
    let table = shapes(20_000, 11);
    let encoder = learn_on(&table, 64, &of(EncodingKind::Standardise)).unwrap();
    let examples = all(&encoder, &table);
    assert_eq!(encoder.inputs().len(), table.specs.len());
    for (index, spec) in table.specs.iter().enumerate() {
        let (mean, deviation) = moments(&input(&examples, index));
        println!("{:12} mean {mean:+.4} deviation {deviation:.4}", spec.name);
        // Within the outer cells of a heavy tail values are not spread evenly, as the histogram takes them to be.
        let tolerance = if spec.name == "lognormal" { 0.06 } else { 0.03 };
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < tolerance, "{}: {mean} {deviation}", spec.name);
    }
}

#[test]
fn continuous_columns_become_normal() {
    let table = shapes(20_000, 12);
    let encoder = learn_on(&table, 64, &of(EncodingKind::QuantileNormal)).unwrap();
    let examples = all(&encoder, &table);
    for (index, spec) in table.specs.iter().enumerate().filter(|(i, _)| *i < 4 || *i == 5) {
        let mut values = input(&examples, index);
        values.sort_by(f64::total_cmp);
        for share in [0.02, 0.05, 0.25, 0.5, 0.75, 0.95, 0.98] {
            let z = values[(share * values.len() as f64) as usize];
            let below = libm::erfc(-z / core::f64::consts::SQRT_2) / 2.0;
            assert!((below - share).abs() < 0.012, "{}: rank {below} of the {share} quantile", spec.name);
        }
        assert!(values[0] >= -2.3264 && values[values.len() - 1] <= 2.3264);
        let (mean, deviation) = moments(&values);
        println!("{:12} mean {mean:+.4} deviation {deviation:.4}", spec.name);
        assert!(mean.abs() < 0.03 && (deviation - 0.98).abs() < 0.04, "{}: {mean} {deviation}", spec.name);
    }
    // Seven tenths are 0: rank 0.35. Its z is -0.3853.
    let zeros = input(&examples, 7);
    let Column::Numeric(source) = &table.columns[7] else { panic!() };
    assert!(source.iter().zip(&zeros).filter(|(x, _)| **x == 0.0).all(|(_, z)| (z + 0.3853).abs() < 0.03));
    // Ties at other values, too: 30 % ones.
    assert!(input(&examples, 6).iter().all(|z| (z + 0.385).abs() < 0.05 || (z - 1.036).abs() < 0.05));
}

#[test]
fn encodings_keep_the_order() {
    let table = shapes(3_000, 13);
    for (kind, cells) in
        [(EncodingKind::Standardise, 64), (EncodingKind::QuantileNormal, 64), (EncodingKind::QuantileNormal, 8)]
    {
        let examples = all(&learn_on(&table, cells, &of(kind)).unwrap(), &table);
        for (index, column) in table.columns.iter().enumerate() {
            let Column::Numeric(source) = column else { panic!() };
            let mut pairs: Vec<(f64, f64)> = source.iter().copied().zip(input(&examples, index)).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(pairs.windows(2).all(|p| p[0].1 <= p[1].1), "{} {kind:?}", table.specs[index].name);
        }
    }
}

#[test]
fn missing_values_are_0_and_told() {
    let mut table = shapes(1000, 14);
    let Column::Numeric(values) = &mut table.columns[1] else { panic!() };
    (values[3], values[500]) = (NAN, NAN);
    for kind in [EncodingKind::Standardise, EncodingKind::QuantileNormal] {
        let encoder = learn_on(&table, 64, &of(kind)).unwrap();
        assert_eq!(names(&encoder)[..4], ["uniform", "normal", "normal=missing", "exponential"]);
        assert_eq!(encoder.inputs()[2].column, 1);
        let examples = all(&encoder, &table);
        let told = input(&examples, 2);
        assert_eq!(told.iter().sum::<f64>(), 2.0);
        assert_eq!((examples.row(3)[1], examples.row(3)[2]), (0.0, 1.0));
        assert_eq!(examples.y[..5], [1.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(examples.lengths.is_empty() && encoder.series().is_none());
    }
    // A missing value in a column that had none when learning.
    let before = shapes(1000, 14);
    let encoder = learn_on(&before, 64, &EncodingOptions::default()).unwrap();
    assert_eq!(encoder.encode(&table, &[3]).unwrap().row(0)[1], 0.0);
}

#[test]
fn what_does_not_vary_is_dropped() {
    let rows = 400;
    let gappy = |r: usize| if r % 10 == 0 { NAN } else { 4.0 };
    let industry = (categorical("one", &["a", "b"]), Column::Categorical(vec![1; rows]));
    let table = table(vec![
        numbers("constant", rows, |_| 7.5),
        numbers("x", rows, |r| r as f64),
        numbers("empty", rows, |_| NAN),
        numbers("gappy", rows, gappy),
        industry,
    ]);
    for kind in [EncodingKind::Standardise, EncodingKind::QuantileNormal] {
        let encoder = learn_on(&table, 64, &of(kind)).unwrap();
        assert_eq!(names(&encoder), ["x", "gappy=missing"]);
        assert_eq!(encoder.dropped(), ["constant", "empty", "gappy", "one"]);
        assert_eq!(all(&encoder, &table).row(10), [all(&encoder, &table).row(10)[0], 1.0]);
    }
    let constant = Table { specs: vec![table.specs[0].clone()], columns: vec![table.columns[0].clone()], ..table };
    let refused = learn_on(&constant, 64, &EncodingOptions::default());
    assert_eq!(refused.unwrap_err(), EncodingError::Inputs { found: 0 });
}

#[test]
fn levels_become_inputs_and_rare_ones_other() {
    let levels = ["felt", "wool", "rare", "never"];
    // 60 felt, 100 wool, 4 rare, 5 other, 31 missing.
    let index = |r: usize| match r {
        0..60 => 0,
        60..160 => 1,
        160..164 => 2,
        164..169 => 4,
        _ => 5,
    };
    let table = table(vec![(categorical("kind", &levels), Column::Categorical((0..200).map(index).collect()))]);
    let encoder = learn_on(&table, 64, &EncodingOptions::default()).unwrap();
    assert_eq!(names(&encoder), ["kind=felt", "kind=wool", "kind=other", "kind=missing"]);
    let examples = all(&encoder, &table);
    for (row, hot) in [(0, 0), (60, 1), (160, 2), (164, 2), (199, 3)] {
        let expected: Vec<f32> = (0..4).map(|i| f32::from(u8::from(i == hot))).collect();
        assert_eq!(examples.row(row), expected, "{row}");
    }
    let many: Vec<String> = (0..50).map(|i| format!("l{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let wide = (categorical("wide", &many), Column::Categorical((0..2000).map(|r| r % 52).collect()));
    let encoder = learn_on(&crate::table(vec![wide]), 64, &EncodingOptions::default()).unwrap();
    assert_eq!(encoder.inputs().len(), 32);
    assert_eq!(encoder.inputs()[31].name, "wide=missing");
}

#[test]
fn woe_is_that_of_the_scorecard() {
    let mut table = shapes(4000, 15);
    table.specs.push(categorical("kind", &["a", "b"]));
    table.columns.push(Column::Categorical((0..4000).map(|r| r % 4).collect()));
    let Column::Numeric(x) = table.columns[1].clone() else { panic!() };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let chance = |r: usize, x: f64| if x > 0.0 { 0.4 } else { 0.1 } + if r % 4 == 1 { 0.3 } else { 0.0 };
    table.label = (0..4000).map(|r| uniform(&mut rng) < chance(r, x[r])).collect();
    if let Column::Numeric(x) = &mut table.columns[1] {
        (0..200).for_each(|r| x[r * 7] = NAN);
    }
    let encoder = learn_on(&table, 64, &of(EncodingKind::Woe)).unwrap();
    let names = names(&encoder);
    assert!(names.contains(&"normal") && names.contains(&"kind"), "{names:?}");
    assert_eq!(names.len() + encoder.dropped().len(), table.specs.len());
    let grids = grids(&table.specs, &profile(&table, Split::Train).unwrap(), 64).unwrap();
    let counts = label_counts(&table, &grids).unwrap();
    let bins = bin_columns(&table.specs, &grids, &counts, &BinningOptions::default()).unwrap();
    let examples = all(&encoder, &table);
    for (at, i) in encoder.inputs().iter().enumerate() {
        let binning = &bins[i.column];
        let of_row = binning.bins_of(&table).unwrap();
        let expected: Vec<f64> = of_row.iter().map(|&b| f64::from(binning.bins[b].woe as f32)).collect();
        assert_eq!(input(&examples, at), expected, "{}", i.name);
    }
}

fn channel(name: &str, columns: &[&str]) -> Channel {
    Channel { name: name.to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect() }
}

/// Two channels of three months and a static. Row 0 is complete, 1 lacks the first month, 2 the last two, 3 has a hole in one
/// channel, 4 a hole in both, 5 nothing.
fn ragged(rows: usize) -> (Table, EncodingOptions) {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    let holes: [[u8; 3]; 6] = [[3, 3, 3], [0, 3, 3], [3, 0, 0], [3, 1, 3], [3, 0, 3], [0, 0, 0]];
    let mut month = |name: &str, bit: u8, step: usize| {
        numbers(name, rows, |r| {
            let value = 100.0 * uniform(&mut rng);
            if holes[r % 6][step] & bit != 0 { value } else { NAN }
        })
    };
    let mut columns: Vec<_> = [("a1", 0), ("a2", 1), ("a3", 2)].map(|(n, s)| month(n, 1, s)).into();
    columns.extend([("b1", 0), ("b2", 1), ("b3", 2)].map(|(n, s)| month(n, 2, s)));
    columns.insert(3, numbers("static", rows, |r| r as f64));
    let series = vec![channel("a", &["a1", "a2", "a3"]), channel("b", &["b1", "b2", "b3"])];
    (table(columns), EncodingOptions { series, ..EncodingOptions::default() })
}

#[test]
fn ragged_series_are_left_aligned() {
    let (table, options) = ragged(600);
    let encoder = learn_on(&table, 64, &options).unwrap();
    assert_eq!(encoder.series(), Some((3, 4, 1)));
    assert_eq!(names(&encoder)[..5], ["a[0]", "a[0]=missing", "b[0]", "b[0]=missing", "a[1]"]);
    assert_eq!(names(&encoder)[12..], ["static"]);
    assert_eq!(encoder.inputs().iter().map(|i| i.column).collect::<Vec<_>>(), [0, 0, 4, 4, 1, 1, 5, 5, 2, 2, 6, 6, 3]);
    let examples = all(&encoder, &table);
    assert_eq!(examples.lengths[..6], [3, 2, 1, 3, 3, 0]);
    let steps = |row: usize| examples.row(row)[..12].chunks(4).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let told = |row: usize| steps(row).iter().map(|s| [s[1], s[3]]).collect::<Vec<_>>();
    assert_eq!(told(0), [[0.0; 2]; 3]);
    assert_eq!((told(1), &steps(1)[2]), (vec![[0.0; 2]; 3], &vec![0.0; 4]));
    assert!(steps(1)[..2].iter().all(|s| s[0] != 0.0 && s[2] != 0.0));
    assert_eq!((&steps(2)[1], &steps(2)[2]), (&vec![0.0; 4], &vec![0.0; 4]));
    // `b` lacks the second month, then both do.
    assert_eq!(told(3), [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]);
    assert!(steps(3)[1][0] != 0.0 && steps(3)[1][2] == 0.0);
    assert_eq!(steps(4)[1], [0.0, 1.0, 0.0, 1.0]);
    assert_eq!(steps(5), vec![vec![0.0; 4]; 3]);
    // The same value is the same input in every month.
    let mut equal = table.clone();
    for column in [0, 1, 2] {
        equal.columns[column] = Column::Numeric(vec![40.0; 600]);
    }
    let equal = encoder.encode(&equal, &[0]).unwrap();
    assert!(equal.row(0)[0] == equal.row(0)[4] && equal.row(0)[4] == equal.row(0)[8]);
}

#[test]
fn a_whole_series_needs_no_indicators_and_follows_the_sum_of_its_months() {
    let rows = 5000;
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    // Months that differ much: alone, each would be near normal; together they are 0 at the middle of all.
    let mut month = |name: &str, centre: f64| numbers(name, rows, |_| centre + 10.0 * normal(&mut rng));
    let columns = vec![month("m1", 0.0), month("m2", 50.0), month("m3", 100.0)];
    let table = table(columns);
    for kind in [EncodingKind::QuantileNormal, EncodingKind::Standardise] {
        let options = EncodingOptions { kind, clip: 0.01, series: vec![channel("m", &["m1", "m2", "m3"])] };
        let encoder = learn_on(&table, 64, &options).unwrap();
        assert_eq!(encoder.series(), Some((3, 1, 0)));
        let examples = all(&encoder, &table);
        assert!(examples.lengths.iter().all(|&l| l == 3));
        let (mean, deviation) = moments(&(0..3).flat_map(|s| input(&examples, s)).collect::<Vec<_>>());
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.05, "{kind:?} {mean} {deviation}");
        let months: Vec<f64> = (0..3).map(|s| moments(&input(&examples, s)).0).collect();
        assert!(months[0] < -0.9 && months[1].abs() < 0.05 && months[2] > 0.9, "{kind:?} {months:?}");
    }
}

#[test]
fn woe_of_a_series_is_that_of_all_months() {
    let (mut table, options) = ragged(6000);
    let Column::Numeric(a) = table.columns[0].clone() else { panic!() };
    let mut rng = ChaCha8Rng::seed_from_u64(18);
    table.label = a.iter().map(|&x| uniform(&mut rng) < if x > 50.0 { 0.5 } else { 0.1 }).collect();
    let encoder = learn_on(&table, 64, &EncodingOptions { kind: EncodingKind::Woe, ..options }).unwrap();
    let (steps, channels, statics) = encoder.series().unwrap();
    assert_eq!((steps, channels * steps + statics), (3, encoder.inputs().len()));
    let examples = all(&encoder, &table);
    // A high first month is bad, so its weight is low.
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for row in (0..6000).step_by(6) {
        if a[row] > 60.0 {
            high.push(f64::from(examples.row(row)[0]))
        } else if a[row] < 40.0 {
            low.push(f64::from(examples.row(row)[0]))
        }
    }
    assert!(moments(&high).0 < moments(&low).0 - 0.2);
}

#[test]
fn a_wrong_job_is_refused() {
    let (table, options) = ragged(60);
    let fault = |series: Vec<Channel>| match learn_on(&table, 64, &EncodingOptions { series, ..options.clone() }) {
        Err(EncodingError::Channel { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(vec![channel("a", &[])]), ChannelFault::Steps);
    assert_eq!(fault(vec![channel("a", &["a1", "a2"]), channel("b", &["b1"])]), ChannelFault::Steps);
    assert_eq!(fault(vec![channel("a", &["a1", "a1"])]), ChannelFault::Twice);
    assert_eq!(fault(vec![channel("a", &["a1"]), channel("a", &["b1"])]), ChannelFault::Twice);
    assert_eq!(fault(vec![channel("a", &["nowhere"])]), ChannelFault::Column);
    assert!(matches!(
        learn_on(&table, 64, &EncodingOptions { clip: 0.5, ..options.clone() }),
        Err(EncodingError::Option { option: "clip", .. })
    ));
    assert!(serde_json::from_str::<EncodingOptions>(r#"{"kind":"woe","clips":0.1}"#).is_err());
    assert_eq!(serde_json::from_str::<EncodingOptions>("{}").unwrap(), EncodingOptions::default());

    let specs = vec![numeric("x")];
    let learn = |edges: Vec<f64>, counts: &[f64]| {
        let grids = [ColumnGrid::Numeric(FineGrid { edges })];
        Encoder::learn(&specs, &grids, counts, &EncodingOptions::default(), &BinningOptions::default())
    };
    assert!(matches!(learn(vec![1.0], &[1.0; 5]), Err(EncodingError::Statistics(_))));
    assert_eq!(learn(vec![1.0], &[1.0, 1.0, f64::NAN, 1.0, 1.0, 1.0]), Err(EncodingError::Count { index: 2 }));
    assert!(matches!(learn(vec![1.0, 1.0], &[1.0; 8]), Err(EncodingError::Grid { .. })));
    assert!(matches!(learn(vec![NAN], &[1.0; 6]), Err(EncodingError::Grid { .. })));
    // Noise below 0 counts as nothing: no missing rows, so no indicator.
    let noisy = learn(vec![1.0], &[10.0, 3.0, 8.0, 2.5, -3.0, -0.5]).unwrap();
    assert_eq!(noisy, learn(vec![1.0], &[10.0, 3.0, 8.0, 2.5, 0.0, 0.0]).unwrap());
    assert_eq!(names(&noisy), ["x"]);

    let encoder = learn_on(&table, 64, &options).unwrap();
    assert_eq!(encoder.encode(&table, &[60]), Err(EncodingError::Row { row: 60, rows: 60 }));
    let mut renamed = table.clone();
    renamed.specs[2].name = "c".to_owned();
    assert!(matches!(encoder.encode(&renamed, &[0]), Err(EncodingError::Statistics(_))));
}

#[test]
fn extreme_values_stay_finite() {
    let extremes = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -1e-300, 0.0, 1e300, -1e300, 1.0, 5e-324, 1e20];
    for cells in [2, 3, 64] {
        for take in 2..=extremes.len() {
            let table = table(vec![numbers("x", 100, |r| extremes[r % take]), numbers("y", 100, |r| r as f64)]);
            for kind in [EncodingKind::Standardise, EncodingKind::QuantileNormal] {
                all(&learn_on(&table, cells, &of(kind)).unwrap(), &table);
            }
        }
    }
}

fn part(table: &Table, rows: &[usize]) -> Table {
    let columns = table.columns.iter().map(|c| match c {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&r| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&r| v[r]).collect()),
    });
    Table {
        specs: table.specs.clone(),
        columns: columns.collect(),
        label: rows.iter().map(|&r| table.label[r]).collect(),
        split: rows.iter().map(|&r| table.split[r]).collect(),
        firms: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn three_silos_learn_what_one_pool_would(seed in any::<u64>(), kind in 0usize..3) {
        let kind = [EncodingKind::Standardise, EncodingKind::QuantileNormal, EncodingKind::Woe][kind];
        let mut whole = shapes(600, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        whole.split = (0..600).map(|_| if uniform(&mut rng) < 0.8 { Split::Train } else { Split::Test }).collect();
        let silo: Vec<usize> = (0..600).map(|_| (uniform(&mut rng) * 3.0) as usize).collect();
        let silos: Vec<Table> =
            (0..3).map(|s| part(&whole, &(0..600).filter(|&r| silo[r] == s).collect::<Vec<_>>())).collect();
        let add = |vectors: Vec<Vec<f64>>| {
            vectors.into_iter().reduce(|a, b| a.iter().zip(&b).map(|(x, y)| x + y).collect()).unwrap()
        };
        let options = EncodingOptions {
            kind,
            clip: 0.02,
            series: vec![channel("s", &["uniform", "normal", "lognormal"])],
        };
        let profiles = add(silos.iter().map(|s| profile(s, Split::Train).unwrap()).collect());
        let grids = grids(&whole.specs, &profiles, 32).unwrap();
        let counts = add(silos.iter().map(|s| label_counts(s, &grids).unwrap()).collect());
        let binning = BinningOptions { min_chi_square: 0.0, ..BinningOptions::default() };
        let federated = Encoder::learn(&whole.specs, &grids, &counts, &options, &binning).unwrap();
        let pooled = label_counts(&whole, &grids).unwrap();
        let pooled = Encoder::learn(&whole.specs, &grids, &pooled, &options, &binning).unwrap();
        prop_assert_eq!(&federated, &pooled);
        // Through JSON it stays the same to the bit, and a silo encodes its own rows as the pool would.
        let back: Encoder = serde_json::from_str(&serde_json::to_string(&federated).unwrap()).unwrap();
        prop_assert_eq!(&back, &federated);
        let rows: Vec<usize> = (0..600).filter(|&r| silo[r] == 1).collect();
        let test = rows_of(&silos[1], Split::Test);
        let own = all(&back, &silos[1]);
        prop_assert_eq!(&own, &pooled.encode(&whole, &rows).unwrap());
        prop_assert_eq!(back.encode(&silos[1], &test).unwrap(), own.select(&test));
    }
}
