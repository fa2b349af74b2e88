//! Fits one scorecard on the files of all parties, in the clear, and writes it as JSON:
//! `cargo run -p haihe-models --example pooled -- job.toml scorecard.json a.csv b.csv c.csv`

mod common;

use haihe_models::{export, metrics, pooled, table::Split};

fn main() -> common::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, out, files @ ..] = arguments.as_slice() else {
        return Err("arguments: job.toml scorecard.json a.csv ...".into());
    };
    let job = common::job(job)?;
    let loaded = files.iter().map(|f| common::load(f, &job.columns, &[])).collect::<common::Result<Vec<_>>>()?;
    let tables: Vec<_> = loaded.iter().map(|l| &l.table).collect();
    let trained = pooled::train(&tables, &job.scorecard)?;
    std::fs::write(out, export::scorecard_json(&trained.scorecard)?)?;
    print!("{}", export::scorecard_csv(&trained.scorecard));
    for d in &trained.selection.dropped {
        println!("dropped {}: {:?}", d.column, d.reason);
    }
    println!("vif {:.2?}, condition number {:.1}", trained.correlation.vif, trained.fit.condition_number);
    let (mut scores, mut bad) = (Vec::new(), Vec::new());
    for table in tables {
        let (s, b) = pooled::scores_of(&trained.scorecard, table, Split::Test)?;
        scores.extend(s);
        bad.extend(b);
    }
    let r = metrics::Ranking::of_rows(&scores, &bad)?;
    let pd: Vec<f64> = scores.iter().map(|&s| 1.0 - haihe_models::glm::sigmoid(s)).collect();
    println!(
        "test: AUC {:.4} (se {:.4}) KS {:.4} Brier {:.4}",
        r.auc,
        r.auc_standard_error,
        r.ks,
        metrics::brier(&pd, &bad)?
    );
    Ok(())
}
