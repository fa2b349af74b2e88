//! What a federation of three banks loses against pooled training with the same budget: AUC over seeds, on cards that are drawn
//! into silos and on loans of real lender groups. In the clear, by the same plans as a deployment.
//!
//! `cargo xtask bench networks` runs it and keeps its rows in `target/bench/networks.json`.

use std::{fs, sync::Arc};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::{id::PartyId, job::JobSpec};
use haihe_simulations::{
    bundled::{self, TextTable},
    twin,
};
use serde_json::json;

/// Numeric columns of a bundled set, one table per silo.
fn silos(rows: &TextTable, hidden: &[&str]) -> Vec<(PartyId, Arc<Table>)> {
    let at = |name: &str| rows.position(name).expect("a bundled column");
    let (y, set, silo) = (at("y"), at("set"), at("silo"));
    let numeric = |c: usize| rows.rows.iter().take(300).all(|r| r[c].is_empty() || r[c].parse::<f64>().is_ok());
    let features: Vec<usize> =
        (0..rows.columns.len()).filter(|&c| !hidden.contains(&rows.columns[c].as_str()) && numeric(c)).collect();
    let table = |part: String| {
        let own: Vec<&Vec<String>> = rows.rows.iter().filter(|r| r[silo] == part).collect();
        let specs = features.iter().map(|&c| ColumnSpec { name: rows.columns[c].clone(), kind: ColumnKind::Numeric });
        let column = |&c: &usize| Column::Numeric(own.iter().map(|r| r[c].parse().unwrap_or(f64::NAN)).collect());
        Table {
            specs: specs.collect(),
            columns: features.iter().map(column).collect(),
            label: own.iter().map(|r| r[y] == "1").collect(),
            split: own.iter().map(|r| if r[set] == "train" { Split::Train } else { Split::Test }).collect(),
            firms: None,
        }
    };
    let party = |p: &str| PartyId::new(p).expect("an id");
    ["bj", "tj", "he"].iter().enumerate().map(|(s, p)| (party(p), Arc::new(table(s.to_string())))).collect()
}

fn job(tables: &[(PartyId, Arc<Table>)], strategy: &str, seed: u64) -> JobSpec {
    let columns: String = tables[0]
        .1
        .specs
        .iter()
        .map(|s| format!("[[data.columns]]\nname = \"{}\"\nkind = \"numeric\"\n", s.name))
        .collect();
    let text = format!(
        "[job]\nname = \"quality\"\nparties = [\"bj\", \"tj\", \"he\"]\n[data]\nview = \"v\"\nkey = \"id\"\nlabel = \"y\"\n{columns}\n\
         [network]\nmodel = {{ kind = \"mlp\", hidden = [64, 32] }}\nstrategy = {{ {strategy} }}\n[network.training]\nrate = 0.002\n\
         optimiser = {{ kind = \"adam\" }}\n[network.rounds]\nmost = 40\npatience = 8\nseed = {seed}\n"
    );
    JobSpec::parse(&text).expect("a job")
}

fn main() {
    let quick = std::env::args().any(|a| a == "--quick");
    let held_back = ["id", "y", "set", "fold", "silo", "bank_id"];
    let sets = [
        ("default_credit, silos alike", silos(&bundled::default_credit(), &held_back)),
        ("sba, real lender groups", silos(&bundled::sba(), &held_back)),
    ];
    let mut rows = Vec::new();
    for (name, tables) in &sets {
        let pooled = Arc::new(twin::pooled(tables).expect("one table"));
        for (strategy, options) in [("fed_avg", "kind = \"fed_avg\""), ("fed_prox", "kind = \"fed_prox\", mu = 0.01")] {
            let (mut federated, mut together) = (Vec::new(), Vec::new());
            for seed in 1..=if quick { 1 } else { 5 } {
                let spec = job(tables, options, seed);
                let auc = |tables: &[(PartyId, Arc<Table>)]| {
                    let result = twin::learn(&spec, tables, |_| ()).expect("a twin");
                    twin::measured(&result, &pooled).expect("both classes").0
                };
                federated.push(auc(tables));
                together.push(auc(&[(tables[0].0.clone(), pooled.clone())]));
            }
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let (f, p) = (mean(&federated), mean(&together));
            println!("{name:<28} {strategy:<9} federated {f:.4}  pooled {p:.4}  difference {:+.4}", f - p);
            rows.push(json!({"data": name, "strategy": strategy, "federated": federated, "pooled": together,
                             "federated_mean": f, "pooled_mean": p}));
        }
    }
    fs::create_dir_all("target/bench").expect("a folder");
    let text = serde_json::to_string_pretty(&json!({"bench": "networks", "rows": rows})).expect("plain data");
    fs::write("target/bench/networks.json", text).expect("written");
}
