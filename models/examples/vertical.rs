//! Vertical regression on public data, all roles in one process, against pooled training and the label holder alone:
//! `cargo run -p haihe-models --example vertical -- DATA_DIR [all | options | selection] [SET]`, where the folder holds CSV files (`.gz`
//! too) per party. `options` cross-validates the binning options on the training rows, which is how the defaults were chosen;
//! `selection` the limits on correlation and the reviews of signs.

use haihe_models::binning::Shape;
use haihe_models::metrics::Ranking;
use haihe_models::table::{Column, ColumnKind, ColumnSpec};
use haihe_models::vertical::attack::{reconstruct, spanned};
use haihe_models::vertical::minibatch::MinibatchOptions;
use haihe_models::vertical::pooled::{Fitted, Selected, federate, federate_batches, federate_selected, fit};
use haihe_models::vertical::score::Block;
use haihe_models::vertical::selection::{by_correlation, contradicting};
use haihe_models::vertical::woe::{WoeOptions, final_columns, fine_columns, merge};
use haihe_models::vertical::{
    Direction, Encoded, Encoder, FeatureHolder, Features, LabelHolder, SolverOptions, Status, gradient_from_products,
    log_odds, quantise_residuals,
};
use std::collections::HashMap;
use std::io::Read;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn text(path: &str) -> Result<String> {
    let (mut bytes, mut out) = (Vec::new(), String::new());
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    if path.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut out)?;
    } else {
        out = String::from_utf8(bytes)?;
    }
    Ok(out)
}

/// A header, and rows by id.
type Rows = (Vec<String>, HashMap<u64, Vec<String>>);

/// Rows of a CSV file by id.
fn rows(path: &str) -> Result<Rows> {
    let text = text(path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let mut all = HashMap::new();
    for record in reader.records() {
        let record: Vec<String> = record?.iter().map(str::to_owned).collect();
        all.insert(record[0].parse()?, record);
    }
    Ok((header, all))
}

struct Data {
    parties: Vec<(String, Features)>,
    bad: Vec<bool>,
    train: Vec<usize>,
    test: Vec<usize>,
    fold: Vec<u64>,
}

fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Parties' files with `id`; the first one has `y`.
fn load(files: &[(&str, String)]) -> Result<Data> {
    let loaded = files.iter().map(|(_, p)| rows(p)).collect::<Result<Vec<_>>>()?;
    let mut ids: Vec<u64> =
        loaded[0].1.keys().copied().filter(|id| loaded.iter().all(|l| l.1.contains_key(id))).collect();
    ids.sort_unstable();
    let y = loaded[0].0.iter().position(|h| h == "y").ok_or("no column y")?;
    let bad = ids.iter().map(|id| loaded[0].1[id][y] == "1").collect();
    let mut parties = Vec::new();
    for ((name, _), (header, all)) in files.iter().zip(&loaded) {
        let at: Vec<usize> = (1..header.len()).filter(|&j| header[j] != "y").collect();
        let specs = at.iter().map(|&j| ColumnSpec { name: header[j].clone(), kind: ColumnKind::Numeric }).collect();
        let value = |id: &u64, j: usize| match all[id][j].as_str() {
            "" => Ok(f64::NAN),
            field => field.parse::<f64>(),
        };
        let columns = at
            .iter()
            .map(|&j| Ok(Column::Numeric(ids.iter().map(|id| value(id, j)).collect::<std::result::Result<_, _>>()?)))
            .collect::<Result<Vec<_>>>()?;
        parties.push(((*name).to_owned(), Features::new(specs, columns, ids.len())?));
    }
    let (train, test) = (0..ids.len()).partition(|&r| mix(ids[r]) % 10 < 7);
    let fold = ids.iter().map(|&id| mix(id) / 10 % 5).collect();
    Ok(Data { parties, bad, train, test, fold })
}

/// Seconds of the label holder and of the feature holders together.
#[derive(Default)]
struct Cost {
    label: f64,
    features: f64,
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let started = std::time::Instant::now();
    let out = work();
    *seconds += started.elapsed().as_secs_f64();
    out
}

/// Encoders of some parties, the label holder first, from the training rows.
fn encoders(
    data: &Data,
    parties: &[usize],
    train: &[usize],
    woe: Option<&WoeOptions>,
    cost: &mut Cost,
) -> Result<Vec<Encoder>> {
    let bad: Vec<bool> = train.iter().map(|&r| data.bad[r]).collect();
    let mut out = Vec::new();
    for &p in parties {
        let features = &data.parties[p].1;
        let Some(options) = woe else {
            out.push(Encoder::standardise(features, train)?);
            continue;
        };
        let fine = timed(&mut cost.features, || fine_columns(features, train, options))?;
        let counted: Vec<_> = fine.iter().map(|f| f.counted(f.bads(&bad))).collect();
        let merged = timed(&mut cost.label, || merge(&counted, &bad, options))?;
        out.push(timed(&mut cost.features, || final_columns(&fine, &merged, options))?);
    }
    Ok(out)
}

struct Outcome {
    vertical: Ranking,
    pooled: Ranking,
    distance: f64,
    largest: f64,
    /// Passes until 1e-3 of the pooled coefficients, and in all.
    near: usize,
    passes: usize,
    cost: Cost,
    columns: usize,
    left_out: usize,
}

/// Trains on `train` with the given parties and ranks `test`.
fn run(
    data: &Data,
    parties: &[usize],
    train: &[usize],
    test: &[usize],
    woe: Option<&WoeOptions>,
    options: &SolverOptions,
) -> Result<Outcome> {
    let mut cost = Cost::default();
    let encoders = encoders(data, parties, train, woe, &mut cost)?;
    let bad: Vec<bool> = train.iter().map(|&r| data.bad[r]).collect();
    let parts = parties
        .iter()
        .zip(&encoders)
        .map(|(&p, e)| Ok(e.encode(&data.parties[p].1, train)?))
        .collect::<Result<Vec<_>>>()?;
    let all: Vec<&Encoded> = parts.iter().collect();
    let twin = fit(&all, &bad, options)?;
    let (mut near, mut pass) = (None, 0);
    let watch = |f: &Fitted| {
        if f.distance(&twin) <= 1e-3 {
            near.get_or_insert(pass);
        } else {
            near = None;
        }
        pass += 1;
    };
    let fitted = if parties.len() > 1 { federate(all[0], &all[1..], &bad, options, 16, watch)? } else { twin.clone() };
    let near = near.unwrap_or(usize::MAX);
    if parties.len() > 1 {
        roles(&parts, &bad, options, &mut cost)?;
    }
    let rank = |f: &Fitted| -> Result<Ranking> {
        let mut totals = vec![0i64; test.len()];
        for (k, &p) in parties.iter().enumerate() {
            let intercept = if k == 0 { f.intercept } else { 0.0 };
            let features = &data.parties[p].1;
            let block = Block::new(&encoders[k], &f.coefficients[k], intercept, features, train)?;
            block.check()?;
            totals.iter_mut().zip(block.partials(features, test)?).for_each(|(t, p)| *t += p);
        }
        let bad: Vec<bool> = test.iter().map(|&r| data.bad[r]).collect();
        let scores: Vec<f64> = totals.iter().map(|&t| -log_odds(t)).collect();
        Ok(Ranking::of_rows(&scores, &bad)?)
    };
    Ok(Outcome {
        vertical: rank(&fitted)?,
        pooled: rank(&twin)?,
        distance: fitted.distance(&twin),
        largest: twin.largest(),
        near,
        passes: fitted.passes.len() - 1,
        cost,
        columns: encoders.iter().map(|e| e.columns.len()).sum(),
        left_out: encoders.iter().map(|e| e.dropped.len()).sum(),
    })
}

/// The same passes again, for the time that each role takes; the encrypted product is not in it.
fn roles(parts: &[Encoded], bad: &[bool], options: &SolverOptions, cost: &mut Cost) -> Result<()> {
    let mut label = timed(&mut cost.label, || LabelHolder::new(&parts[0], bad.to_vec(), Vec::new(), options.clone()))?;
    let mut pass = timed(&mut cost.label, || label.alone())?;
    let new = || {
        parts[1..]
            .iter()
            .map(|x| FeatureHolder::new(x.clone(), options.ridge))
            .collect::<std::result::Result<Vec<_>, _>>()
    };
    let mut holders = timed(&mut cost.features, new)?;
    loop {
        let combination = label.combination();
        holders.iter_mut().try_for_each(|h| h.apply(&combination))?;
        if pass.status != Status::Continue {
            return Ok(());
        }
        let residuals = timed(&mut cost.label, || quantise_residuals(&label.residuals(), 16));
        let mut sum: Option<Direction> = None;
        for h in &mut holders {
            let products = gradient_from_products(&h.x().products(&residuals), 16);
            let direction = timed(&mut cost.features, || h.direct(&products))?;
            sum = Some(match sum {
                None => direction,
                Some(s) => s.plus(&direction)?,
            });
        }
        pass = timed(&mut cost.label, || {
            label.receive(&sum.ok_or("no feature holder")?).map_err(Box::<dyn std::error::Error>::from)
        })?;
    }
}

fn line(what: &str, o: &Outcome) {
    let near = if o.near == usize::MAX { "-".to_owned() } else { o.near.to_string() };
    println!(
        "  {what:<22} {:>2}+{:<2} AUC {:.4} KS {:.4} | pooled {:.4} {:.4} | coefficients off by {:.1e} of {:.2} | passes {near}/{} | s {:.2} {:.2}",
        o.columns,
        o.left_out,
        o.vertical.auc,
        o.vertical.ks,
        o.pooled.auc,
        o.pooled.ks,
        o.distance,
        o.largest,
        o.passes,
        o.cost.label,
        o.cost.features
    );
}

/// Mean AUC over the folds of the training rows.
fn cross_validated(data: &Data, woe: &WoeOptions, options: &SolverOptions) -> Result<f64> {
    let all: Vec<usize> = (0..data.parties.len()).collect();
    let mut sum = 0.0;
    for fold in 0..5 {
        let (test, train): (Vec<usize>, Vec<usize>) = data.train.iter().partition(|&&r| data.fold[r] == fold);
        sum += run(data, &all, &train, &test, Some(woe), options)?.pooled.auc;
    }
    Ok(sum / 5.0)
}

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_default();
    let mode = std::env::args().nth(2).unwrap_or_default();
    if !std::path::Path::new(&dir).join("default_credit").is_dir() {
        println!("no data in `{dir}`: give the folder that holds default_credit, give_credit, fate_small and polish");
        return Ok(());
    }
    let file = |name: &str| format!("{dir}/{name}");
    let sets = [
        (
            "default_credit",
            vec![("guest", file("default_credit/guest.csv.gz")), ("host", file("default_credit/host.csv.gz"))],
        ),
        ("give_credit", vec![("guest", file("give_credit/guest.csv.gz")), ("host", file("give_credit/host.csv.gz"))]),
        ("breast", vec![("guest", file("fate_small/breast_guest.csv")), ("host", file("fate_small/breast_host.csv"))]),
        (
            "polish year5",
            vec![
                ("bank", file("polish/year5_bank.csv.gz")),
                ("tax", file("polish/year5_tax.csv.gz")),
                ("core", file("polish/year5_core.csv.gz")),
            ],
        ),
    ];
    let solver = SolverOptions::default();
    let only = std::env::args().nth(3).unwrap_or_default();
    for (name, files) in sets.into_iter().filter(|(name, _)| name.contains(&only)) {
        let data = load(&files)?;
        if mode == "selection" {
            select(&data, &solver)?;
            continue;
        }
        println!("{name}: {} training rows, {} test rows", data.train.len(), data.test.len());
        if mode == "options" {
            options(&data, &solver)?;
            continue;
        }
        let all: Vec<usize> = (0..data.parties.len()).collect();
        line("standardised, joint", &run(&data, &all, &data.train, &data.test, None, &solver)?);
        batches(&data, &solver)?;
        leaks(&data, &solver)?;
        let woe = WoeOptions::default();
        let mut groups = vec![vec![0]];
        if all.len() > 2 {
            groups.extend((1..all.len()).map(|p| vec![0, p]));
        }
        groups.push(all);
        for group in groups {
            let names: Vec<&str> = group.iter().map(|&p| data.parties[p].0.as_str()).collect();
            line(
                &format!("WOE, {}", names.join("+")),
                &run(&data, &group, &data.train, &data.test, Some(&woe), &solver)?,
            );
        }
    }
    Ok(())
}

/// How the defaults were chosen: cross-validation on the training rows.
fn options(data: &Data, solver: &SolverOptions) -> Result<()> {
    let base = WoeOptions::default();
    let trial = |what: String, woe: WoeOptions| -> Result<()> {
        println!("  {what:<40} CV AUC {:.4}", cross_validated(data, &woe, solver)?);
        Ok(())
    };
    trial("defaults".to_owned(), base.clone())?;
    for shape in [Shape::Monotone, Shape::OneTurn, Shape::Free] {
        trial(format!("{shape:?}"), WoeOptions { shape, ..base.clone() })?;
    }
    for min_chi_square in [0.0, 2.0, 3.84] {
        trial(format!("chi-square {min_chi_square}"), WoeOptions { min_chi_square, ..base.clone() })?;
    }
    for fine_bins in [10, 16, 32] {
        trial(format!("fine bins {fine_bins}"), WoeOptions { fine_bins, ..base.clone() })?;
    }
    for minimum in [1, 10, 20] {
        trial(
            format!("minimum {minimum}"),
            WoeOptions { minimum_goods: minimum, minimum_bads: minimum, ..base.clone() },
        )?;
    }
    for max_bins in [6, 8, 20] {
        trial(format!("max bins {max_bins}"), WoeOptions { max_bins, ..base.clone() })?;
    }
    trial(
        "free, chi-square 0".to_owned(),
        WoeOptions { shape: Shape::Free, min_chi_square: 0.0, max_bins: 20, ..base.clone() },
    )
}

/// What came of a selection.
struct Trial {
    auc: f64,
    ks: f64,
    columns: usize,
    left: usize,
    passes: usize,
    refits: Vec<(usize, Vec<usize>)>,
    distance: f64,
}

/// Selects, trains on `train` and ranks `test`.
fn trial(
    data: &Data,
    train: &[usize],
    test: &[usize],
    woe: &WoeOptions,
    solver: &SolverOptions,
    most: f64,
    positive: bool,
) -> Result<Trial> {
    let parties: Vec<usize> = (0..data.parties.len()).collect();
    let mut encoders = encoders(data, &parties, train, Some(woe), &mut Cost::default())?;
    let bad: Vec<bool> = train.iter().map(|&r| data.bad[r]).collect();
    for (p, e) in encoders.iter_mut().enumerate() {
        let x = e.encode(&data.parties[p].1, train)?;
        *e = by_correlation(e.clone(), &x, most)?;
    }
    let parts: Vec<Encoded> =
        parties.iter().zip(&encoders).map(|(&p, e)| Ok(e.encode(&data.parties[p].1, train)?)).collect::<Result<_>>()?;
    let all: Vec<&Encoded> = parts.iter().collect();
    // A sole feature holder sends fewer directions than it has columns.
    let most = if let [_, sole] = all.as_slice() { sole.len() - 1 } else { usize::MAX };
    let solver = &SolverOptions { max_passes: solver.max_passes.min(most), ..solver.clone() };
    let Selected { fitted: joint, kept: keeps, dropped } =
        federate_selected(all[0], &all[1..], &bad, solver, 16, positive, |_| {})?;
    let kept: Vec<Encoded> = parts.iter().zip(&keeps).map(|(p, k)| p.narrowed(k)).collect();
    let twin = fit(&kept.iter().collect::<Vec<_>>(), &bad, solver)?;
    let mut totals = vec![0i64; test.len()];
    for &p in &parties {
        let mut encoder = encoders[p].clone();
        encoder.columns = keeps[p].iter().map(|j| encoder.columns[*j].clone()).collect();
        let intercept = if p == 0 { joint.intercept } else { 0.0 };
        let features = &data.parties[p].1;
        let block = Block::new(&encoder, &joint.coefficients[p], intercept, features, train)?;
        totals.iter_mut().zip(block.partials(features, test)?).for_each(|(t, p)| *t += p);
    }
    let bad: Vec<bool> = test.iter().map(|&r| data.bad[r]).collect();
    let scores: Vec<f64> = totals.iter().map(|&t| -log_odds(t)).collect();
    let ranking = Ranking::of_rows(&scores, &bad)?;
    Ok(Trial {
        auc: ranking.auc,
        ks: ranking.ks,
        columns: keeps.iter().map(Vec::len).sum(),
        left: joint.coefficients.iter().map(|w| contradicting(w)).sum(),
        passes: joint.passes.len() - 1,
        refits: dropped,
        distance: joint.distance(&twin),
    })
}

/// Limits on correlation, with and without reviews of signs: cross-validated on the training rows, then on the test rows.
fn select(data: &Data, solver: &SolverOptions) -> Result<()> {
    let woe = WoeOptions::default();
    for most in [1.0, 0.95, 0.9, 0.8, 0.75, 0.6] {
        for positive in [false, true] {
            let mut cv = 0.0;
            for fold in 0..5 {
                let (test, train): (Vec<usize>, Vec<usize>) = data.train.iter().partition(|&&r| data.fold[r] == fold);
                cv += trial(data, &train, &test, &woe, solver, most, positive)?.auc / 5.0;
            }
            let s = trial(data, &data.train, &data.test, &woe, solver, most, positive)?;
            println!(
                "  corr {most:<4} positive {positive:<5}: CV {cv:.4} | test {:.4} KS {:.4} | columns {:>2}, {} contradict | passes {} refits {:?} | off {:.1e}",
                s.auc, s.ks, s.columns, s.left, s.passes, s.refits, s.distance
            );
        }
    }
    Ok(())
}

/// Batch by batch, standardised.
fn batches(data: &Data, solver: &SolverOptions) -> Result<()> {
    let bad: Vec<bool> = data.train.iter().map(|&r| data.bad[r]).collect();
    let parts = standardised(data)?;
    let all: Vec<&Encoded> = parts.iter().collect();
    let twin = fit(&all, &bad, solver)?;
    let options = MinibatchOptions { batch_rows: (bad.len() / 8).max(64), ..MinibatchOptions::default() };
    let fitted = federate_batches(all[0], &all[1..], &bad, solver, &options, 16)?;
    let auc = |f: &Fitted| -> Result<f64> {
        let mut scores = vec![0.0; bad.len()];
        for (part, w) in parts.iter().zip(&f.coefficients) {
            scores.iter_mut().zip(part.scores(w)?).for_each(|(s, u)| *s -= log_odds(u));
        }
        Ok(Ranking::of_rows(&scores, &bad)?.auc)
    };
    println!(
        "  batches of {} rows, {} epochs: training AUC {:.4}, pooled {:.4}; coefficients off by {:.1e}",
        options.batch_rows,
        options.epochs,
        auc(&fitted)?,
        auc(&twin)?,
        fitted.distance(&twin)
    );
    Ok(())
}

fn standardised(data: &Data) -> Result<Vec<Encoded>> {
    let encode = |(_, f): &(String, Features)| Ok(Encoder::standardise(f, &data.train)?.encode(f, &data.train)?);
    data.parties.iter().map(encode).collect()
}

/// What the received scores tell about the columns of each feature holder.
fn leaks(data: &Data, solver: &SolverOptions) -> Result<()> {
    let bad: Vec<bool> = data.train.iter().map(|&r| data.bad[r]).collect();
    let parts = standardised(data)?;
    let solver = SolverOptions { tolerance: 1e-6, memory: 64, ..solver.clone() };
    let mut label = LabelHolder::new(&parts[0], bad, Vec::new(), solver.clone())?;
    let mut pass = label.alone()?;
    let mut holders = parts[1..]
        .iter()
        .map(|x| FeatureHolder::new(x.clone(), solver.ridge))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    while pass.status == Status::Continue {
        let combination = label.combination();
        holders.iter_mut().try_for_each(|h| h.apply(&combination))?;
        let residuals = quantise_residuals(&label.residuals(), 16);
        let mut sum: Option<Direction> = None;
        for h in &mut holders {
            let direction = h.direct(&gradient_from_products(&h.x().products(&residuals), 16))?;
            sum = Some(match sum {
                None => direction,
                Some(s) => s.plus(&direction)?,
            });
        }
        pass = label.receive(&sum.ok_or("no feature holder")?)?;
        let seen = label.received();
        if ![1, 3, 5, 7, 10, 13, 19, 24, 30].contains(&seen.len()) {
            continue;
        }
        for ((name, _), x) in data.parties[1..].iter().zip(&parts[1..]) {
            let mut line =
                format!("  leak to pass {:>2}, {name}: spanned {:.3}", seen.len(), spanned(seen, x).relative_error);
            for known in [10, 30, 100, 300] {
                let rows: Vec<usize> = (0..known).map(|i| i * x.rows() / known).collect();
                let r = reconstruct(seen, &rows, x);
                line += &format!(
                    " | {known} known: error {:.3}, found {:.0} %",
                    r.relative_error.min(99.0),
                    100.0 * r.columns_found
                );
            }
            println!("{line}");
        }
    }
    Ok(())
}
