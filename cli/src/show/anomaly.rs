//! What came of the anomaly demo, as tables and as a summary for scripts.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_simulations::detection::{DetectionComparison, Found};
use serde_json::{Map, Value, json};

use crate::{
    job::bytes,
    report::learned::data::{AnomalyFacts, LearnedReport, Reports, SetReport},
};

/// Largest difference of AUROC between the federated and the pooled model that the demo accepts: the trees of a forest and
/// the batches of a network are drawn otherwise where the rows lie otherwise.
const MAX_AUROC_DIFFERENCE: f64 = 0.03;

fn figures(found: &Found) -> Value {
    json!({"auroc": found.auroc, "auroc_standard_error": found.auroc_standard_error, "auprc": found.auprc})
}

fn method(job: &LearnedReport) -> Option<(String, Value)> {
    let facts = job.anomaly()?;
    let comparison = facts.comparison.as_ref()?;
    let alone: Map<String, Value> =
        comparison.alone.iter().map(|a| (a.party.to_string(), a.found.as_ref().map_or(Value::Null, figures))).collect();
    let sent: Map<String, Value> = job.parties.iter().map(|p| (p.party.to_string(), json!(p.bytes_sent))).collect();
    let warned: Map<String, Value> = facts
        .warned
        .iter()
        .map(|w| (format!("{:?}", w.warning).to_lowercase(), json!({"good": w.good, "bad": w.bad})))
        .collect();
    let value = json!({
        "federated": figures(&comparison.federated),
        "pooled": figures(&comparison.pooled),
        "alone": alone,
        "published": {"auroc": facts.found.ranking.as_ref().map(|r| r.auc), "auprc": facts.found.auprc},
        "rounds": job.rounds.len(),
        "seconds": job.seconds,
        "bytes_sent": sent,
        "warned": warned,
        "job": job.job,
    });
    Some((facts.method.clone(), value))
}

fn set(set: &SetReport) -> (String, Value) {
    let silos: Map<String, Value> = set
        .silos
        .iter()
        .map(|s| {
            let rows = json!({"train": s.train, "train_bad": s.train_bad, "test": s.test, "test_bad": s.test_bad});
            (s.party.to_string(), rows)
        })
        .collect();
    let methods: Map<String, Value> = set.jobs.iter().filter_map(method).collect();
    (set.key.clone(), json!({"silos": silos, "methods": methods}))
}

/// `summary.json` of the demo.
pub fn summary(reports: &Reports, took: Duration) -> Value {
    let sets: Map<String, Value> = reports.sets.iter().map(set).collect();
    let sent: u64 = reports.jobs().map(LearnedReport::bytes_sent).sum();
    json!({
        "sets": sets,
        "rounds": reports.jobs().map(|j| j.rounds.len()).sum::<usize>(),
        "bytes_sent": sent,
        "rows_sent": 0,
        "seconds": took.as_secs_f64(),
    })
}

fn compared(set: &SetReport) -> impl Iterator<Item = (&LearnedReport, &AnomalyFacts, &DetectionComparison)> {
    set.jobs.iter().filter_map(|job| {
        let facts = job.anomaly()?;
        Some((job, facts, facts.comparison.as_ref()?))
    })
}

fn table(set: &SetReport) -> String {
    let mut table = Table::new();
    let mut header: Vec<String> = ["AUROC / AUPRC", "federated", "pooled *"].map(str::to_owned).into();
    header.extend(set.silos.iter().map(|s| format!("{} alone", s.party)));
    header.extend(["rounds", "sent", "seconds"].map(str::to_owned));
    let columns = header.len();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    let cell = |found: Option<&Found>| {
        Cell::new(found.map_or_else(|| "-".to_owned(), |f| format!("{:.3} / {:.3}", f.auroc, f.auprc)))
    };
    for (job, facts, comparison) in compared(set) {
        let mut row = vec![Cell::new(&facts.method), cell(Some(&comparison.federated)), cell(Some(&comparison.pooled))];
        row.extend(comparison.alone.iter().map(|a| cell(a.found.as_ref())));
        row.push(Cell::new(job.rounds.len()));
        row.push(Cell::new(bytes(job.bytes_sent())));
        row.push(Cell::new(format!("{:.1}", job.seconds)));
        table.add_row(row);
    }
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// The comparison for people.
pub fn tables(reports: &Reports) -> String {
    let mut text = String::new();
    for set in &reports.sets {
        let rows: Vec<String> = set.silos.iter().map(|s| format!("{} {} + {}", s.party, s.train, s.test)).collect();
        let test: u64 = set.silos.iter().map(|s| s.test).sum();
        let bad: u64 = set.silos.iter().map(|s| s.test_bad).sum();
        text.push_str(&format!(
            "\n{} ({}): training + test rows {}; judged on all {test} test rows, {bad} of them bad\n{}\n",
            set.key,
            set.title.en,
            rows.join(", "),
            table(set)
        ));
    }
    text.push_str(
        "* all rows in one place, which the demo has and no federation could; the same budget of rounds and epochs\n",
    );
    let sent: u64 = reports.jobs().map(LearnedReport::bytes_sent).sum();
    let rounds: usize = reports.jobs().map(|j| j.rounds.len()).sum();
    text.push_str(&format!("{} jobs, {rounds} rounds, {} sent; rows sent: 0\n", reports.jobs().count(), bytes(sent)));
    text
}

/// Fails loudly if a federation did not find what pooling would have found, or published other figures than its model has.
pub fn judge(reports: &Reports) -> anyhow::Result<()> {
    for (job, facts, comparison) in reports.sets.iter().flat_map(compared) {
        let (federated, pooled) = (comparison.federated.auroc, comparison.pooled.auroc);
        ensure!(
            federated > pooled - MAX_AUROC_DIFFERENCE,
            "{}: federated AUROC {federated:.4} is more than {MAX_AUROC_DIFFERENCE} below the pooled one, {pooled:.4}",
            job.name
        );
        let published = facts.found.ranking.as_ref().map(|r| r.auc).context("the job published no AUROC")?;
        ensure!(
            (published - federated).abs() < 1e-9,
            "{}: the federation published an AUROC of {published:.6}, its model has {federated:.6}",
            job.name
        );
    }
    Ok(())
}
