//! Alone or together? Cross-validates options on the train rows, then measures the job's own options once on the test rows:
//! pooled, each silo alone, mean of the silos' scores, and 30 small lenders alone and pooled.
//! `cargo run -p haihe-models --example study -- job.toml loans.csv`; the file has `id,y,set,fold,silo,bank_id` and features.

mod common;

use haihe_models::metrics::{self, Ranking};
use haihe_models::pooled::{self, ScorecardOptions};
use haihe_models::table::{Column, Split, Table};

/// The rows for which `keep` holds, with a split of their own.
fn subset(table: &Table, keep: impl Fn(usize) -> Option<Split>) -> Table {
    let rows: Vec<(usize, Split)> = (0..table.rows())
        .filter_map(|r| Some((r, keep(r)?)))
        .collect();
    let take = |column: &Column| match column {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&(r, _)| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&(r, _)| v[r]).collect()),
    };
    Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(take).collect(),
        label: rows.iter().map(|&(r, _)| table.label[r]).collect(),
        split: rows.iter().map(|&(_, s)| s).collect(),
    }
}

/// Weighted mean AUC within each of the tables, by the rows measured; a table that cannot be trained or measured is skipped.
fn within(
    tables: &[Table],
    score: impl Fn(usize, &Table) -> Option<(Vec<f64>, Vec<bool>)>,
) -> (f64, usize) {
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

fn small_lenders(banks: &[Table], options: &ScorecardOptions) -> common::Result<String> {
    let all: Vec<&Table> = banks.iter().collect();
    let together = pooled::train(&all, options)?.scorecard;
    let (pooled_auc, n) = within(banks, |_, t| {
        pooled::scores_of(&together, t, Split::Test).ok()
    });
    // A lender that cannot train any scorecard gives everybody the same score: AUC one half.
    let (alone, _) = within(banks, |_, t| match pooled::train(&[t], options) {
        Ok(own) => pooled::scores_of(&own.scorecard, t, Split::Test).ok(),
        Err(_) => {
            let bad: Vec<bool> = (0..t.rows())
                .filter(|&r| t.split[r] == Split::Test)
                .map(|r| t.label[r])
                .collect();
            Some((vec![0.0; bad.len()], bad))
        }
    });
    let failed = banks
        .iter()
        .filter(|t| pooled::train(&[t], options).is_err())
        .count();
    Ok(format!(
        "{n} small lenders: alone {alone:.4} ({failed} without a model), pooled over them {pooled_auc:.4}"
    ))
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

    println!(
        "cross-validation on train rows: all lenders | within the 30 small lenders, alone and pooled over them"
    );
    let vary = |change: &dyn Fn(&mut ScorecardOptions)| {
        let mut o = base.clone();
        change(&mut o);
        o
    };
    let candidates: Vec<(&str, ScorecardOptions)> = vec![
        ("job's options", base.clone()),
        ("max_bins 8", vary(&|o| o.binning.max_bins = 8)),
        (
            "min_bin_fraction .02",
            vary(&|o| o.binning.min_bin_fraction = 0.02),
        ),
        (
            "min_bin_fraction .02, p <= .2",
            vary(&|o| (o.binning.min_bin_fraction, o.selection.max_p_value) = (0.02, 0.2)),
        ),
        (
            "no evidence asked",
            vary(&|o| o.binning.min_chi_square = 0.0),
        ),
        ("not monotone", vary(&|o| o.binning.monotone = false)),
        ("smoothing 5", vary(&|o| o.binning.smoothing = 5.0)),
        ("ridge 0.01", vary(&|o| o.regression.ridge = 0.01)),
        ("ridge 10", vary(&|o| o.regression.ridge = 10.0)),
        ("p <= .2", vary(&|o| o.selection.max_p_value = 0.2)),
        ("p <= 1", vary(&|o| o.selection.max_p_value = 1.0)),
        ("any sign", vary(&|o| o.selection.require_positive = false)),
        (
            "any sign, .02, p <= .2",
            vary(&|o| {
                (
                    o.selection.require_positive,
                    o.binning.min_bin_fraction,
                    o.selection.max_p_value,
                ) = (false, 0.02, 0.2)
            }),
        ),
        ("iv >= .005", vary(&|o| o.selection.min_iv = 0.005)),
        (
            "correlation <= .6",
            vary(&|o| o.selection.max_correlation = 0.6),
        ),
        (
            "correlation <= .9",
            vary(&|o| o.selection.max_correlation = 0.9),
        ),
    ];
    for (name, options) in &candidates {
        let (mut auc, mut ks, mut alone, mut together) = (0.0, 0.0, 0.0, 0.0);
        for fold in 0..5 {
            let fold = fold.to_string();
            let role = |r: usize| {
                train(r).then_some(if extra["fold"][r] == fold {
                    Split::Test
                } else {
                    Split::Train
                })
            };
            let all = subset(table, role);
            let card = pooled::train(&[&all], options)?.scorecard;
            let (scores, bad) = pooled::scores_of(&card, &all, Split::Test)?;
            let r = Ranking::of_rows(&scores, &bad)?;
            (auc, ks) = (auc + r.auc / 5.0, ks + r.ks / 5.0);
            let banks: Vec<Table> = small
                .iter()
                .map(|b| {
                    subset(table, |r| {
                        if extra["bank_id"][r] == *b {
                            role(r)
                        } else {
                            None
                        }
                    })
                })
                .collect();
            let line = small_lenders(&banks, options)?;
            let numbers: Vec<f64> = line
                .split_whitespace()
                .filter_map(|w| w.parse().ok())
                .collect();
            (alone, together) = (
                alone + numbers[1] / 5.0,
                together + numbers[numbers.len() - 1] / 5.0,
            );
        }
        println!("{name:28} AUC {auc:.4} KS {ks:.4} | alone {alone:.4} pooled {together:.4}");
    }

    println!("test rows, job's options:");
    let trained = pooled::train(&[table], base)?;
    let report = |name: &str, scores: &[f64], bad: &[bool]| -> common::Result<()> {
        let r = Ranking::of_rows(scores, bad)?;
        println!(
            "{name:28} AUC {:.4} (se {:.4}) KS {:.4}",
            r.auc, r.auc_standard_error, r.ks
        );
        Ok(())
    };
    let (scores, bad) = pooled::scores_of(&trained.scorecard, table, Split::Test)?;
    report("pooled", &scores, &bad)?;
    let pd: Vec<f64> = scores
        .iter()
        .map(|&s| haihe_models::glm::sigmoid(-s))
        .collect();
    println!(
        "Brier {:.4} log-loss {:.4}",
        metrics::brier(&pd, &bad)?,
        metrics::log_loss(&pd, &bad)?
    );
    println!(
        "selected: {:?}",
        trained
            .scorecard
            .variables
            .iter()
            .map(|v| v.column())
            .collect::<Vec<_>>()
    );
    let mut silos = Vec::new();
    for silo in ["0", "1", "2"] {
        let own = subset(table, |r| {
            (extra["silo"][r] == silo).then_some(table.split[r])
        });
        let card = pooled::train(&[&own], base)?.scorecard;
        let (s, b) = pooled::scores_of(&card, table, Split::Test)?;
        report(&format!("silo {silo} alone, all rows"), &s, &b)?;
        let (o, b) = pooled::scores_of(&card, &own, Split::Test)?;
        report("    its own customers", &o, &b)?;
        let (o, b) = pooled::scores_of(&trained.scorecard, &own, Split::Test)?;
        report("    its own, pooled model", &o, &b)?;
        silos.push(s);
    }
    report(
        "mean of the silos' scores",
        &metrics::mean_of_scores(&silos)?,
        &bad,
    )?;
    let banks: Vec<Table> = small
        .iter()
        .map(|b| {
            subset(table, |r| {
                (extra["bank_id"][r] == *b).then_some(table.split[r])
            })
        })
        .collect();
    println!("{}", small_lenders(&banks, base)?);
    let (auc, _) = within(&banks, |_, t| {
        pooled::scores_of(&trained.scorecard, t, Split::Test).ok()
    });
    println!("the same, pooled over all lenders {auc:.4}");
    Ok(())
}
