//! Comparisons as tables and as summaries for scripts.

pub mod anomaly;
pub mod joint;

use anyhow::{Context as _, ensure};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_simulations::baseline::{ADAPTED, ComparedModel, Comparison, Figures};
use serde_json::{Map, Value, json};

use crate::report::data::Report;

/// Largest difference of AUC between the federated and the pooled model that a demo accepts.
const MAX_AUC_DIFFERENCE: f64 = 0.001;
/// Largest relative difference of a coefficient.
const MAX_COEFFICIENT_DIFFERENCE: f64 = 1e-3;

fn model<'a>(comparison: &'a Comparison, name: &str) -> Option<&'a ComparedModel> {
    comparison.models.iter().find(|m| m.name == name)
}

fn figures(f: Option<Figures>) -> Value {
    f.map_or(Value::Null, |f| json!({"auc": f.auc, "ks": f.ks, "brier": f.brier}))
}

fn all(comparison: &Comparison, name: &str) -> Value {
    figures(model(comparison, name).and_then(|m| m.all))
}

/// The summary that every demo writes.
pub fn summary(report: &Report, comparison: &Comparison, seconds: f64) -> Value {
    let alone = |p: &haihe_protocol::id::PartyId| (p.to_string(), all(comparison, &format!("{p} alone")));
    let alone: Map<String, Value> = comparison.parties.iter().map(alone).collect();
    let bytes: Map<String, Value> = report.parties.iter().map(|p| (p.party.to_string(), json!(p.bytes_sent))).collect();
    let own = |m: &ComparedModel| {
        let own: Map<String, Value> =
            comparison.parties.iter().zip(&m.own).map(|(p, f)| (p.to_string(), figures(*f))).collect();
        (m.name.clone(), Value::Object(own))
    };
    let own: Map<String, Value> = comparison.models.iter().map(own).collect();
    json!({
        "parties": report.parties.len(),
        "rounds": report.rounds.len(),
        "seconds": seconds,
        "federated": all(comparison, "federated"),
        "pooled": all(comparison, "pooled"),
        "mean_of_scores": all(comparison, "mean of scores"),
        "adapted": all(comparison, ADAPTED),
        "alone": alone,
        "on_own_customers": own,
        "max_relative_coefficient_difference": comparison.max_relative_coefficient_difference,
        "bytes_sent": bytes,
        "rows_sent": 0,
        "privacy": report.result.privacy.as_ref().map(|p| json!({"epsilon": p.epsilon, "delta": p.asked.delta})),
    })
}

/// The comparison for people: every model on all test firms and on each bank's own customers.
pub fn tables(comparison: &Comparison) -> String {
    let mut table = Table::new();
    let many = comparison.parties.len() > 6;
    let mut header = vec!["model".to_owned(), "AUC".to_owned(), "KS".to_owned(), "Brier".to_owned()];
    if !many {
        header.extend(comparison.parties.iter().map(|p| format!("AUC at {p}")));
    }
    let columns = header.len();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    let number = |f: Option<f64>| Cell::new(f.map_or("-".to_owned(), |x| format!("{x:.4}")));
    for m in &comparison.models {
        if many && m.name.ends_with(" alone") {
            continue;
        }
        let mut row = vec![Cell::new(&m.name)];
        row.extend([m.all.map(|f| f.auc), m.all.map(|f| f.ks), m.all.map(|f| f.brier)].map(number));
        if !many {
            row.extend(m.own.iter().map(|f| number(f.map(|f| f.auc))));
        }
        table.add_row(row);
    }
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("test firms: all, and each bank's own customers\n{table}\n");
    let within = &comparison.within;
    text.push_str(&format!(
        "mean AUC within a bank: alone {:.4}, federated {:.4}, mean of scores {:.4}, pooled {:.4}",
        within.alone, within.federated, within.mean_of_scores, within.pooled
    ));
    if let Some(adapted) = within.adapted {
        text.push_str(&format!(", federated and adapted by each bank {adapted:.4}"));
    }
    if within.without_model > 0 {
        text.push_str(&format!(" ({} banks cannot fit a model alone)", within.without_model));
    }
    text.push('\n');
    if many {
        let lost = comparison.losers.len();
        text.push_str(&format!("banks whose own model ranks their own customers better: {lost}"));
        if within.adapted.is_some() {
            text.push_str(&format!(", than the adapted one: {}", comparison.losers_adapted.len()));
        }
        text.push('\n');
    } else {
        for (party, own, federated) in &comparison.losers {
            text.push_str(&format!(
                "{party} ranks its own customers better with its own model: AUC {own:.4} against {federated:.4}\n"
            ));
        }
        for (party, own, adapted) in &comparison.losers_adapted {
            text.push_str(&format!(
                "{party} still does after adapting the shared one: AUC {own:.4} against {adapted:.4}\n"
            ));
        }
    }
    text.push_str(&format!(
        "largest coefficient difference from the pooled fit: {:.1e}\n",
        comparison.max_relative_coefficient_difference
    ));
    text
}

/// Fails loudly if the federation did not learn what pooling would have taught.
pub fn judge(comparison: &Comparison) -> anyhow::Result<()> {
    let auc = |name: &str| {
        model(comparison, name).and_then(|m| m.all).with_context(|| format!("the {name} model has no figures"))
    };
    let (federated, pooled) = (auc("federated")?.auc, auc("pooled")?.auc);
    ensure!(
        (federated - pooled).abs() <= MAX_AUC_DIFFERENCE,
        "federated AUC {federated:.5} and pooled AUC {pooled:.5} differ by more than {MAX_AUC_DIFFERENCE}"
    );
    let difference = comparison.max_relative_coefficient_difference;
    ensure!(
        difference <= MAX_COEFFICIENT_DIFFERENCE,
        "a coefficient differs from the pooled fit by {difference:.1e}, more than {MAX_COEFFICIENT_DIFFERENCE}"
    );
    Ok(())
}
