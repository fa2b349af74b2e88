//! Rounds of federated averaging per second, start-up time, memory, and what the federation costs beside the training itself.
//!
//! `cargo xtask bench rounds` runs it and keeps its rows in `target/bench/rounds.json`. Every party is in this process; signatures,
//! certificates, encryption, committee, journals and checks are those of a deployment, and only the network is simulated.

use std::{fs, sync::Arc, time::Instant};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::{id::PartyId, job::JobSpec};
use haihe_simulations::{
    bundled,
    simulation::{Federation, SimulationOptions},
    twin,
};
use serde_json::{Value, json};

/// Cards divided evenly among so many parties.
fn tables(parties: usize) -> Vec<(PartyId, Arc<Table>)> {
    let cards = bundled::default_credit();
    let held_back = ["id", "y", "set", "fold", "silo"];
    let features: Vec<usize> =
        (0..cards.columns.len()).filter(|&c| !held_back.contains(&cards.columns[c].as_str())).collect();
    let at = |name: &str| cards.position(name).expect("a bundled column");
    let (y, set) = (at("y"), at("set"));
    let table = |party: usize| {
        let rows: Vec<&Vec<String>> = cards.rows.iter().skip(party).step_by(parties).collect();
        let column = |&c: &usize| Column::Numeric(rows.iter().map(|r| r[c].parse().unwrap_or(f64::NAN)).collect());
        Table {
            specs: features
                .iter()
                .map(|&c| ColumnSpec { name: cards.columns[c].clone(), kind: ColumnKind::Numeric })
                .collect(),
            columns: features.iter().map(column).collect(),
            label: rows.iter().map(|r| r[y] == "1").collect(),
            split: rows.iter().map(|r| if r[set] == "train" { Split::Train } else { Split::Test }).collect(),
            firms: None,
        }
    };
    (0..parties).map(|p| (PartyId::new(format!("bank-{p:03}")).expect("an id"), Arc::new(table(p)))).collect()
}

fn job(tables: &[(PartyId, Arc<Table>)], model: &str, rounds: u32) -> String {
    let parties: Vec<String> = tables.iter().map(|(p, _)| format!("\"{p}\"")).collect();
    let columns: String = tables[0]
        .1
        .specs
        .iter()
        .map(|s| format!("[[data.columns]]\nname = \"{}\"\nkind = \"numeric\"\n", s.name))
        .collect();
    format!(
        "[job]\nname = \"rounds\"\nparties = [{}]\n[data]\nview = \"cards\"\nkey = \"id\"\nlabel = \"y\"\n{columns}\
         [network]\nmodel = {{ {model} }}\n[network.training]\nrate = 0.05\nbatch_rows = 256\n[network.rounds]\n\
         most = {rounds}\npatience = 0\n",
        parties.join(", ")
    )
}

/// Peak resident memory of this process in MiB, where the system tells.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Seconds that this process has computed so far, where the system tells: they count the same on a busy machine.
fn computed() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

fn measure(name: &str, parties: usize, model: &str, rounds: u32) -> Value {
    let tables = tables(parties);
    let toml = job(&tables, model, rounds);
    let spec = JobSpec::parse(&toml).expect("a job");
    // Training alone, by the same plans on the same rows.
    let (mut seen, begun) = (Vec::new(), Instant::now());
    twin::learn(&spec, &tables, |s| seen.push((s.step.clone(), begun.elapsed().as_secs_f64()))).expect("a twin");
    let last_of = |seen: &[(String, f64)], step: &str| seen.iter().rfind(|s| s.0 == step).map_or(0.0, |s| s.1);
    let training = last_of(&seen, "train") - last_of(&seen, "label_counts");

    let begun = Instant::now();
    let mut opened: Vec<(String, f64)> = Vec::new();
    // Of the rounds: what the simulation checks after the job is not part of it.
    let mut peak = None;
    let mut computing: Vec<(String, f64)> = Vec::new();
    let options = SimulationOptions::new(1);
    let outcome = Federation::new(&toml, tables, options)
        .and_then(|f| {
            f.run(|p| {
                // "round 7: train: what came of it"
                let step = p.line.split(": ").nth(1).map(str::to_owned);
                opened.extend(step.clone().map(|s| (s, begun.elapsed().as_secs_f64())));
                computing.extend(step.zip(computed()));
                peak = peak_mib();
            })
        })
        .expect("a federation");
    let seconds = begun.elapsed().as_secs_f64();
    let trained = outcome.rounds.iter().filter(|r| r.summary.step == "train").count();
    let (first, begin, end) =
        (last_of(&opened, "profile"), last_of(&opened, "label_counts"), last_of(&opened, "train"));
    let per_second = trained as f64 / (end - begin);
    let each = (last_of(&computing, "train") - last_of(&computing, "label_counts")) / trained as f64;
    let overhead = 1.0 - training / (end - begin);
    println!(
        "{name:<28} {parties:>4} parties  {trained:>3} rounds  {per_second:>7.2} rounds/s  {:>7.1} ms CPU each  first sum after {first:>6.2} s  \
         {:>5.1} % beside training  {:>5.0} MiB  {seconds:.1} s in all",
        1e3 * each,
        100.0 * overhead,
        peak.unwrap_or(f64::NAN)
    );
    json!({"name": name, "parties": parties, "rounds": trained, "rounds_per_second": per_second, "cpu_seconds_per_round": each,
           "first_sum_seconds": first, "train_seconds": end - begin, "local_training_seconds": training,
           "share_beside_training": overhead, "peak_mib": peak, "seconds": seconds})
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let wanted = |name: &str| arguments.iter().all(|a| a.starts_with("--")) || arguments.iter().any(|a| a == name);
    let mut rows = Vec::new();
    let logistic = "kind = \"logistic\"";
    if wanted("small") {
        rows.push(measure("logistic regression", 10, logistic, if quick { 10 } else { 60 }));
        rows.push(measure("mlp 64-32", 10, "kind = \"mlp\", hidden = [64, 32]", if quick { 10 } else { 40 }));
    }
    if wanted("large") {
        // 23 x 1000 + 1000 x 1000 weights and their biases.
        rows.push(measure(
            "mlp of 1,026,001 parameters",
            10,
            "kind = \"mlp\", hidden = [1000, 1000]",
            if quick { 2 } else { 4 },
        ));
    }
    if wanted("many") {
        rows.push(measure("logistic regression", 100, logistic, if quick { 3 } else { 10 }));
    }
    fs::create_dir_all("target/bench").expect("a folder");
    let text = serde_json::to_string_pretty(&json!({"bench": "rounds", "rows": rows})).expect("plain data");
    fs::write("target/bench/rounds.json", text).expect("written");
}
