//! Alone or together? Cross-validates options on the train rows, then measures the job's own options once on the test rows:
//! pooled, each silo alone, mean of the silos' scores, and 30 small lenders alone and pooled.
//! `cargo run -p haihe-models --example study -- job.toml loans.csv`; the file has `id,y,set,fold,silo,bank_id` and features.

mod common;

use haihe_models::metrics::{self, Ranking};
use haihe_models::pooled::{self, ScorecardOptions};
use haihe_models::table::{Column, Split, Table};

/// The rows for which `keep` holds, with a split of their own.
fn subset(table: &Table, keep: impl Fn(usize) -> Option<Split>) -> Table {
    let rows: Vec<(usize, Split)> = (0..table.rows()).filter_map(|r| Some((r, keep(r)?))).collect();
    let take = |column: &Column| match column {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&(r, _)| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&(r, _)| v[r]).collect()),
    };
    Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(take).collect(),
        label: rows.iter().map(|&(r, _)| table.label[r]).collect(),
        split: rows.iter().map(|&(_, s)| s).collect(),
        firms: table.firms.as_ref().map(|f| rows.iter().map(|&(r, _)| f[r]).collect()),
    }
}

/// Weighted mean AUC within each of the tables, by the rows measured; a table that cannot be trained or measured is skipped.
fn within(tables: &[Table], score: impl Fn(usize, &Table) -> Option<(Vec<f64>, Vec<bool>)>) -> (f64, usize) {
    let (mut sum, mut rows, mut counted) = (0.0, 0.0, 0);
    for (i, table) in tables.iter().enumerate() {
        let Some((scores, bad)) = score(i, table) else {
            continue;
        };
        let Ok(auc) = metrics::auc(&scores, &bad) else {
            continue;
        };
        sum += auc * bad.len() as f64;
        rows += bad.len() as f64;
        counted += 1;
    }
    (sum / rows, counted)
}

/// Weighted mean AUC within the small lenders, on their own test rows.
struct SmallLenders {
    measured: usize,
    without_a_model: usize,
    alone: f64,
    pooled: f64,
}

fn small_lenders(banks: &[Table], options: &ScorecardOptions) -> common::Result<SmallLenders> {
    let all: Vec<&Table> = banks.iter().collect();
    let together = pooled::train(&all, options)?.scorecard;
    let (pooled, measured) = within(banks, |_, t| pooled::scores_of(&together, t, Split::Test).ok());
    let own: Vec<_> = banks.iter().map(|t| pooled::train(&[t], options).ok()).collect();
    // A lender that cannot train any scorecard gives everybody the same score: AUC one half.
    let (alone, _) = within(banks, |bank, t| match &own[bank] {
        Some(own) => pooled::scores_of(&own.scorecard, t, Split::Test).ok(),
        None => {
            let test = (0..t.rows()).filter(|&r| t.split[r] == Split::Test);
            let bad: Vec<bool> = test.map(|r| t.label[r]).collect();
            Some((vec![0.0; bad.len()], bad))
        }
    });
    let without_a_model = own.iter().filter(|o| o.is_none()).count();
    Ok(SmallLenders { measured, without_a_model, alone, pooled })
}

fn main() -> common::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, file] = arguments.as_slice() else {
        return Err("arguments: job.toml loans.csv".into());
    };
    let job = common::job(job)?;
    let loaded = common::load(file, &job.columns, &["fold", "silo", "bank_id"])?;
    let (table, extra) = (&loaded.table, &loaded.extra);
    let train = |r: usize| table.split[r] == Split::Train;
    let small: Vec<String> = (8..38).map(|b: u32| b.to_string()).collect();
    let base = &job.scorecard;

    println!("cross-validation on train rows: all lenders | within the 30 small lenders, alone and pooled over them");
    let vary = |change: &dyn Fn(&mut ScorecardOptions)| {
        let mut o = base.clone();
        change(&mut o);
        o
    };
    let candidates: Vec<(&str, ScorecardOptions)> = vec![
        ("job's options", base.clone()),
        ("max_bins 4", vary(&|o| o.binning.max_bins = 4)),
        ("max_bins 10", vary(&|o| o.binning.max_bins = 10)),
        ("min_bin_fraction .01", vary(&|o| o.binning.min_bin_fraction = 0.01)),
        ("min_bin_fraction .05", vary(&|o| o.binning.min_bin_fraction = 0.05)),
        ("min_bin_rows 5", vary(&|o| o.binning.min_bin_rows = 5.0)),
        ("min_bin_rows 10", vary(&|o| o.binning.min_bin_rows = 10.0)),
        ("min_bin_rows 15", vary(&|o| o.binning.min_bin_rows = 15.0)),
        ("min_bin_rows 20", vary(&|o| o.binning.min_bin_rows = 20.0)),
        ("min_bin_rows 50", vary(&|o| o.binning.min_bin_rows = 50.0)),
        ("no evidence asked", vary(&|o| o.binning.min_chi_square = 0.0)),
        ("twice the evidence", vary(&|o| o.binning.min_chi_square = 7.7)),
        ("not monotone", vary(&|o| o.binning.monotone = false)),
        ("smoothing 5", vary(&|o| o.binning.smoothing = 5.0)),
        ("ridge 0.01", vary(&|o| o.regression.ridge = 0.01)),
        ("ridge 10", vary(&|o| o.regression.ridge = 10.0)),
        ("p <= .05", vary(&|o| o.selection.max_p_value = 0.05)),
        ("p <= 1", vary(&|o| o.selection.max_p_value = 1.0)),
        ("any sign", vary(&|o| o.selection.require_positive = false)),
        ("correlation <= .6", vary(&|o| o.selection.max_correlation = 0.6)),
        ("correlation <= .9", vary(&|o| o.selection.max_correlation = 0.9)),
        ("correlation <= .99", vary(&|o| o.selection.max_correlation = 0.99)),
        (
            "correlation <= .99, any sign",
            vary(&|o| {
                (o.selection.max_correlation, o.selection.require_positive) = (0.99, false);
            }),
        ),
        (
            "the same, p <= 1, 10 bins",
            vary(&|o| {
                (o.selection.max_correlation, o.selection.require_positive) = (0.99, false);
                (o.selection.max_p_value, o.binning.max_bins) = (1.0, 10);
            }),
        ),
    ];
    for (name, options) in &candidates {
        let (mut auc, mut ks, mut alone, mut together) = (0.0, 0.0, 0.0, 0.0);
        for fold in 0..5 {
            let fold = fold.to_string();
            let role = |r: usize| train(r).then_some(if extra["fold"][r] == fold { Split::Test } else { Split::Train });
            let all = subset(table, role);
            let card = pooled::train(&[&all], options)?.scorecard;
            let (scores, bad) = pooled::scores_of(&card, &all, Split::Test)?;
            let r = Ranking::of_rows(&scores, &bad)?;
            (auc, ks) = (auc + r.auc / 5.0, ks + r.ks / 5.0);
            let banks: Vec<Table> = small
                .iter()
                .map(|b| subset(table, |r| if extra["bank_id"][r] == *b { role(r) } else { None }))
                .collect();
            let s = small_lenders(&banks, options)?;
            (alone, together) = (alone + s.alone / 5.0, together + s.pooled / 5.0);
        }
        println!("{name:28} AUC {auc:.4} KS {ks:.4} | alone {alone:.4} pooled {together:.4}");
    }

    println!("test rows, job's options:");
    let trained = pooled::train(&[table], base)?;
    let report = |name: &str, scores: &[f64], bad: &[bool]| -> common::Result<()> {
        let r = Ranking::of_rows(scores, bad)?;
        println!("{name:28} AUC {:.4} (se {:.4}) KS {:.4}", r.auc, r.auc_standard_error, r.ks);
        Ok(())
    };
    let (scores, bad) = pooled::scores_of(&trained.scorecard, table, Split::Test)?;
    report("pooled", &scores, &bad)?;
    let pd: Vec<f64> = scores.iter().map(|&s| haihe_models::glm::sigmoid(-s)).collect();
    println!("Brier {:.4} log-loss {:.4}", metrics::brier(&pd, &bad)?, metrics::log_loss(&pd, &bad)?);
    println!("selected: {:?}", trained.scorecard.variables.iter().map(|v| v.column()).collect::<Vec<_>>());
    let mut silos = Vec::new();
    for silo in ["0", "1", "2"] {
        let own = subset(table, |r| (extra["silo"][r] == silo).then_some(table.split[r]));
        let card = pooled::train(&[&own], base)?.scorecard;
        let (s, b) = pooled::scores_of(&card, table, Split::Test)?;
        report(&format!("silo {silo} alone, all rows"), &s, &b)?;
        let (o, b) = pooled::scores_of(&card, &own, Split::Test)?;
        report("    its own customers", &o, &b)?;
        let (o, b) = pooled::scores_of(&trained.scorecard, &own, Split::Test)?;
        report("    its own, pooled model", &o, &b)?;
        silos.push(s);
    }
    report("mean of the silos' scores", &metrics::mean_of_scores(&silos)?, &bad)?;
    let banks: Vec<Table> =
        small.iter().map(|b| subset(table, |r| (extra["bank_id"][r] == *b).then_some(table.split[r]))).collect();
    // Alone, a bank publishes no counts and may use smaller bins than the federation's privacy floor.
    for rows in [base.binning.min_bin_rows, 15.0, 10.0] {
        let s = small_lenders(&banks, &vary(&|o| o.binning.min_bin_rows = rows))?;
        println!(
            "{} small lenders, min_bin_rows {rows}: alone {:.4} ({} without a model), pooled over them {:.4}",
            s.measured, s.alone, s.without_a_model, s.pooled
        );
    }
    let (auc, _) = within(&banks, |_, t| pooled::scores_of(&trained.scorecard, t, Split::Test).ok());
    println!("the same, pooled over all lenders {auc:.4}");
    Ok(())
}
