//! A model for people, and for programs.

use haihe_models::{
    files::ModelCard,
    network::Encoder,
    scorecard::Scorecard,
    table::{ColumnKind, ColumnSpec},
};
use haihe_protocol::horizontal::anomaly::{AnomalyModel, AnomalyResult};
use serde_json::{Value, json};

use super::{
    Model, Opened, aligned,
    file::{Job, layers},
    score::columns_of,
    table,
};
use crate::Format;

/// Inputs of one column that people are shown.
const INPUTS: usize = 4;

/// What `haihe model show` prints.
pub fn show(opened: &Opened, format: Format) -> String {
    let value = match (&opened.model, format) {
        (Model::Network(network), Format::Text) => return network_text(&network.0),
        (Model::Scorecard(scorecard), Format::Text) => return scorecard_text(opened, scorecard),
        (Model::Anomaly(result), Format::Text) => return anomaly_text(opened, result),
        (Model::Part(part), Format::Text) => return part.text(&opened.name),
        (Model::Part(part), Format::Json) => part.json(&opened.name),
        (Model::Network(network), Format::Json) => network_json(&network.0),
        (Model::Scorecard(scorecard), Format::Json) => {
            json!({"model": "scorecard", "name": opened.name, "job": job_json(opened), "scorecard": scorecard})
        }
        (Model::Anomaly(result), Format::Json) => anomaly_json(opened, result),
    };
    format!("{value}\n")
}

fn figures<'a>(figures: impl IntoIterator<Item = (&'a String, &'a f64)>) -> String {
    let figures: Vec<String> = figures.into_iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    figures.join("\n")
}

fn network_text(card: &ModelCard) -> String {
    let mut thresholds: Vec<(&String, &f64)> = card.thresholds.iter().collect();
    thresholds.sort_by(|a, b| a.1.total_cmp(b.1));
    let some = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    let rounds = match card.rounds {
        0 => String::new(),
        rounds => format!("{rounds}; the parameters are those that round {} began with", card.best_round),
    };
    let privacy = card.privacy.as_ref().map_or_else(String::new, |p| {
        let number = |name: &str, value: Option<f64>| value.map_or_else(String::new, |v| format!("; {name} {v}"));
        format!("{}{}{}", p.statement, number("epsilon", p.epsilon), number("delta", p.delta))
    });
    let text = aligned(&[
        ("name", card.name.clone()),
        ("network", layers(&card.architecture)),
        ("job", card.job.clone()),
        ("federation", card.federation.clone()),
        ("parties", card.parties.join(", ")),
        ("rounds", rounds),
        ("train rows", some(card.training_rows)),
        ("created", card.created.clone()),
        ("transcript", card.transcript.clone()),
        ("figures", figures(&card.figures)),
        ("thresholds", figures(thresholds)),
        ("privacy", privacy),
        ("licence", card.licence.clone()),
        ("use", card.intended_use.clone()),
        ("limits", card.limits.clone()),
    ]);
    match &card.encoder {
        Some(encoder) => format!("{text}\n{}", encoder_text(encoder)),
        None => {
            format!("{text}\nNo encoder: the network takes {} encoded numbers per row.\n", card.architecture.inputs())
        }
    }
}

/// Names of the inputs of each column of an encoder.
fn inputs_of(encoder: &Encoder) -> Vec<Vec<&str>> {
    let mut names = vec![Vec::new(); encoder.columns().len()];
    for input in encoder.inputs() {
        if let Some(names) = names.get_mut(input.column) {
            names.push(input.name.as_str());
        }
    }
    names
}

fn kind(column: &ColumnSpec) -> String {
    match &column.kind {
        ColumnKind::Numeric => "numeric".to_owned(),
        ColumnKind::Categorical { levels } => format!("{} levels", levels.len()),
    }
}

fn encoder_text(encoder: &Encoder) -> String {
    let row = |(column, names): (&ColumnSpec, Vec<&str>)| {
        let more = names.len().saturating_sub(INPUTS);
        let mut inputs = names.iter().take(INPUTS).copied().collect::<Vec<_>>().join(", ");
        match (names.len(), more) {
            (0, _) => inputs = "none".to_owned(),
            (_, 0) => {}
            _ => inputs.push_str(&format!(" and {more} more")),
        }
        [column.name.clone(), kind(column), inputs]
    };
    let rows = encoder.columns().iter().zip(inputs_of(encoder)).map(row);
    let mut text = format!("{} inputs from {} columns\n", encoder.inputs().len(), encoder.columns().len());
    if let Some((steps, channels, statics)) = encoder.series() {
        text.push_str(&format!(
            "a series of {steps} steps with {channels} numbers each, {statics} numbers beside it\n"
        ));
    }
    text.push_str(&table(&["column", "kind", "inputs"], 3, rows));
    if !encoder.dropped().is_empty() {
        text.push_str(&format!("alike in all train rows, and left out: {}\n", encoder.dropped().join(", ")));
    }
    text
}

fn network_json(card: &ModelCard) -> Value {
    let columns = card.encoder.as_ref().map(|encoder| {
        let of = |(column, inputs): (&ColumnSpec, Vec<&str>)| json!({"column": column, "inputs": inputs});
        encoder.columns().iter().zip(inputs_of(encoder)).map(of).collect::<Vec<_>>()
    });
    json!({"model": "network", "parameters": card.architecture.parameters(), "columns": columns, "card": card})
}

/// First lines of a model without a card.
fn head(opened: &Opened, what: String) -> Vec<(&'static str, String)> {
    let mut lines = vec![("name", opened.name.clone()), ("model", what)];
    if let Some(Job { id, parties, finished, .. }) = &opened.job {
        let parties: Vec<String> = parties.iter().map(ToString::to_string).collect();
        lines.extend([("job", id.clone()), ("parties", parties.join(", ")), ("created", finished.clone())]);
    }
    lines
}

fn job_json(opened: &Opened) -> Value {
    opened.job.as_ref().map_or(
        Value::Null,
        |job| json!({"id": job.id, "parties": job.parties, "finished": job.finished, "columns": job.columns}),
    )
}

fn scorecard_text(opened: &Opened, scorecard: &Scorecard) -> String {
    let scale = &scorecard.scaling;
    let mut lines = head(opened, format!("a scorecard of {} variables", scorecard.variables.len()));
    lines.extend([
        ("train rows", format!("{} good, {} bad", scorecard.good, scorecard.bad)),
        ("base points", scorecard.base_points.to_string()),
        (
            "scale",
            format!(
                "{} points at {} goods per bad, {} more double the odds",
                scale.base_score, scale.base_odds, scale.points_to_double
            ),
        ),
    ]);
    let rows = scorecard.variables.iter().map(|v| {
        let points = |p: Option<&i64>| p.map_or_else(String::new, ToString::to_string);
        [
            v.column().to_owned(),
            v.binning.bins.len().to_string(),
            format!("{:.4}", v.binning.iv),
            format!("{:.4}", v.coefficient),
            points(v.points.iter().min()),
            points(v.points.iter().max()),
        ]
    });
    let variables = table(&["variable", "bins", "IV", "coefficient", "least points", "most points"], 1, rows);
    format!("{}\n{variables}", aligned(&lines))
}

fn anomaly_text(opened: &Opened, result: &AnomalyResult) -> String {
    let what = match &result.model {
        AnomalyModel::Tails(_) => "tails: how far out a value lies in each column".to_owned(),
        AnomalyModel::Forest(forest) => format!("forest: {} trees that isolate rows", forest.trees().len()),
        AnomalyModel::Autoencoder(network) => layers(&network.architecture),
    };
    let t = &result.thresholds;
    let found =
        [("test AUROC", result.test.ranking.as_ref().map(|r| r.auc)), ("test AUPRC", result.test.average_precision)];
    let found: Vec<String> = found.iter().filter_map(|(name, v)| v.map(|v| format!("{name} {v:.4}"))).collect();
    let mut lines = head(opened, what);
    lines.extend([
        ("train rows", format!("{}, {} of them bad", result.rows, result.bads)),
        ("figures", found.join("\n")),
        ("thresholds", format!("general {:.4}\nserious {:.4}\ncritical {:.4}", t.general, t.serious, t.critical)),
    ]);
    let warned = result
        .warned
        .iter()
        .map(|w| [format!("{:?}", w.warning).to_lowercase(), w.good.to_string(), w.bad.to_string()]);
    let warned = table(&["test rows with a warning", "good", "bad"], 1, warned);
    let share =
        |name: &str| result.drivers.iter().find(|d| d.column == name).map(|d| format!("{:.1} %", 100.0 * d.share));
    let names = names_and_kinds(opened, result);
    let columns = names.into_iter().map(|(name, kind)| {
        let share = share(&name).unwrap_or_default();
        [name, kind, share]
    });
    let columns = table(&["column", "kind", "share of the warnings"], 2, columns);
    format!("{}\n{warned}\n{columns}", aligned(&lines))
}

/// The columns that a model reads. A forest alone does not know the names of levels.
fn names_and_kinds(opened: &Opened, result: &AnomalyResult) -> Vec<(String, String)> {
    if let Ok(columns) = columns_of(opened) {
        return columns.iter().map(|column| (column.name.clone(), kind(column))).collect();
    }
    match &result.model {
        AnomalyModel::Forest(forest) => {
            forest.columns().iter().map(|column| (column.name.clone(), String::new())).collect()
        }
        _ => Vec::new(),
    }
}

fn anomaly_json(opened: &Opened, result: &AnomalyResult) -> Value {
    let columns: Vec<String> = names_and_kinds(opened, result).into_iter().map(|(name, _)| name).collect();
    json!({
        "model": "anomaly", "method": result.model.method(), "name": opened.name, "job": job_json(opened),
        "columns": columns, "rows": result.rows, "bads": result.bads, "thresholds": result.thresholds,
        "figures": {
            "test AUROC": result.test.ranking.as_ref().map(|r| r.auc),
            "test AUPRC": result.test.average_precision,
        },
        "warned": result.warned, "drivers": result.drivers,
    })
}
