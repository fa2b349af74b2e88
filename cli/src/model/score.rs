//! Rows scored with a model, without a federation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use haihe_models::{
    anomaly::{ForestKind, Thresholds, drivers},
    files::ModelCard,
    glm::sigmoid,
    grid::ColumnGrid,
    network::{Learner as _, Objective, Plain},
    scorecard::{Scorecard, Tier, Warning},
    table::{ColumnKind, ColumnSpec, Table},
};
use haihe_participant::{
    config::ViewConfig,
    source::{DataRequest, Loaded, Problem, load},
};
use haihe_protocol::horizontal::{anomaly::AnomalyModel, network::Learned};
use serde::Serialize;

use super::{Model, Opened, print};
use crate::Format;

/// Rows that are encoded at once: whole blocks of the network's.
const AT_ONCE: usize = 1 << 16;
/// Columns that are named as drivers of a warning.
const MOST_DRIVERS: usize = 3;

/// Arguments of `haihe model score`.
#[derive(Args)]
pub struct ScoreArguments {
    /// model.safetensors, scorecard.json, result.json, or a job's journal.jsonl.
    pub file: PathBuf,
    /// The rows: a .csv (UTF-8, header row) or .parquet file with the columns of the model; empty fields are missing
    /// values.
    #[arg(long)]
    pub data: PathBuf,
    /// Column that names a row.
    #[arg(long)]
    pub key: String,
    /// Query over the one table `source`, as a participant writes it for a view.
    #[arg(long)]
    pub sql: Option<String>,
    /// File for the scores; an earlier one is replaced. Default: printed.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// A row under a credit network.
#[derive(Serialize)]
struct Credit<'a> {
    key: &'a str,
    /// Of bad, as the network gives it.
    log_odds: f32,
    probability_of_bad: f64,
}

/// A row under a scorecard.
#[derive(Serialize)]
struct Points<'a> {
    key: &'a str,
    points: i64,
    probability_of_bad: f64,
    /// 0 to 100.
    score: f64,
    tier: Tier,
    warning: Warning,
}

/// A row under an anomaly model.
#[derive(Serialize)]
struct Unusual<'a> {
    key: &'a str,
    score: f64,
    warning: Option<Warning>,
    /// Of rows with a warning.
    drivers: String,
}

/// Runs `haihe model score`.
pub async fn run(arguments: &ScoreArguments, format: Format) -> anyhow::Result<()> {
    let opened = Opened::read(&arguments.file)?;
    let columns = columns_of(&opened)?;
    let loaded = rows(arguments, columns).await?;
    let Loaded { table, keys, .. } = &loaded;
    let keys: Vec<String> = keys.iter().map(|key| field(key, format)).collect();
    let scores = match &opened.model {
        Model::Network(network) if network.0.architecture.objective() == Objective::Credit => {
            let row = |(key, log_odds)| Credit {
                key: String::as_str(key),
                log_odds,
                probability_of_bad: sigmoid(f64::from(log_odds)),
            };
            written(keys.iter().zip(log_odds(network, table)?).map(row), format)?
        }
        Model::Network(network) => {
            let (model, thresholds) = autoencoder(network)?;
            written(unusual(&keys, &model, thresholds.as_ref(), table)?, format)?
        }
        Model::Anomaly(result) => written(unusual(&keys, &result.model, Some(&result.thresholds), table)?, format)?,
        Model::Scorecard(scorecard) => written(points(&keys, scorecard, table)?, format)?,
        Model::Part(_) => bail!("one party's part scores no firm alone"),
    };
    match &arguments.out {
        None => print(&scores),
        Some(out) => {
            fs::write(out, &scores).with_context(|| format!("cannot write {}", out.display()))?;
            match format {
                Format::Text => print(&format!("{} rows scored: {}\n", keys.len(), out.display())),
                Format::Json => print(&format!("{}\n", serde_json::json!({"rows": keys.len(), "out": out}))),
            }
        }
    }
}

/// The columns that a model reads.
pub fn columns_of(opened: &Opened) -> anyhow::Result<Vec<ColumnSpec>> {
    let file = opened.path.display();
    let spec = |name: &str, levels: Option<&Vec<String>>| {
        let kind = levels.map_or(ColumnKind::Numeric, |levels| ColumnKind::Categorical { levels: levels.clone() });
        ColumnSpec { name: name.to_owned(), kind }
    };
    Ok(match &opened.model {
        Model::Network(network) => {
            let encoder = network.0.encoder.as_ref();
            let encoder = encoder.with_context(|| {
                format!("{file}: the model card has no encoder, so the network takes encoded rows only")
            })?;
            encoder.columns().to_vec()
        }
        Model::Part(_) => bail!(
            "{file} holds one party's part of a joint scorecard, which scores no firm alone: submit the job file with a table \
             [scoring] (docs/vertical.md)"
        ),
        Model::Scorecard(scorecard) => {
            scorecard.variables.iter().map(|v| spec(v.column(), v.binning.levels.as_ref())).collect()
        }
        Model::Anomaly(result) => match (&result.model, &opened.job) {
            (_, Some(job)) => job.columns.clone(),
            (AnomalyModel::Tails(tails), None) => {
                let margins = tails.margins().columns.iter();
                let levels = |grid: &ColumnGrid| match grid {
                    ColumnGrid::Numeric(_) => None,
                    ColumnGrid::Categorical { levels } => Some(levels.clone()),
                };
                margins.map(|margin| spec(&margin.name, levels(&margin.grid).as_ref())).collect()
            }
            (AnomalyModel::Forest(forest), None) => {
                let numeric = forest.columns().iter().all(|c| matches!(c.kind, ForestKind::Numeric { .. }));
                ensure!(
                    numeric,
                    "{file}: a forest knows its categorical columns by the ranks of their levels only, and this file does \
                     not name the levels: name the job's journal.jsonl instead"
                );
                forest.columns().iter().map(|column| spec(&column.name, None)).collect()
            }
            (AnomalyModel::Autoencoder(network), None) => network.encoder.columns().to_vec(),
        },
    })
}

/// The rows of the file, read as a participant reads them.
async fn rows(arguments: &ScoreArguments, columns: Vec<ColumnSpec>) -> anyhow::Result<Loaded> {
    let (key, data) = (&arguments.key, arguments.data.display());
    ensure!(
        columns.iter().all(|column| column.name != *key),
        "--key names {key:?}, which the model reads as a value: name the column that tells rows apart"
    );
    let view = ViewConfig {
        name: "rows".to_owned(),
        path: arguments.data.clone(),
        sql: arguments.sql.clone(),
        memory_mb: None,
    };
    let request = DataRequest {
        view: view.name.clone(),
        key: key.clone(),
        firm: None,
        label: None,
        split: None,
        columns,
        series: None,
    };
    load("", &[view], Path::new(""), &request).await.map_err(|error| {
        let said: Vec<String> = error.problems.iter().map(problem).collect();
        anyhow::anyhow!("{data} cannot be scored: {}", said.join("; "))
    })
}

/// What is wrong with the rows, in the words of this command.
fn problem(problem: &Problem) -> String {
    match problem {
        Problem::UnknownColumns { columns, existing } => format!(
            "the model reads {}, which the data do not have; they have {}. Name columns as the model does (with AS in --sql), \
             and leave fields empty where a value is missing",
            columns.join(", "),
            existing.join(", ")
        ),
        other => other.to_string().replace("sql of this [[view]]", "--sql").replace("this [[view]]", "--sql"),
    }
}

/// Log-odds of bad of every row. LSTMs need no libtorch to be applied.
fn log_odds(network: &(ModelCard, Vec<f32>), table: &Table) -> anyhow::Result<Vec<f32>> {
    let (card, parameters) = network;
    let encoder = card.encoder.as_ref().context("the model card has no encoder")?;
    let mut plain = Plain::forward_only(card.architecture.clone())?;
    let rows: Vec<usize> = (0..table.rows()).collect();
    let mut log_odds = Vec::with_capacity(rows.len());
    for rows in rows.chunks(AT_ONCE) {
        log_odds.extend(plain.predict(parameters, &encoder.encode(table, rows)?)?);
    }
    Ok(log_odds)
}

/// An autoencoder as a participant applies it, and the card's thresholds.
fn autoencoder(network: &(ModelCard, Vec<f32>)) -> anyhow::Result<(AnomalyModel, Option<Thresholds>)> {
    let (card, parameters) = network;
    let encoder = card.encoder.clone().context("the model card has no encoder")?;
    let learned = Learned {
        encoder,
        architecture: card.architecture.clone(),
        parameters: parameters.clone(),
        best_round: card.best_round,
        history: Vec::new(),
    };
    let threshold = |name: &str| card.thresholds.get(name).copied();
    let thresholds = match (threshold("general"), threshold("serious"), threshold("critical")) {
        (Some(general), Some(serious), Some(critical)) => Some(Thresholds { general, serious, critical }),
        _ => None,
    };
    Ok((AnomalyModel::Autoencoder(Box::new(learned)), thresholds))
}

fn unusual<'a>(
    keys: &'a [String],
    model: &AnomalyModel,
    thresholds: Option<&Thresholds>,
    table: &Table,
) -> anyhow::Result<Vec<Unusual<'a>>> {
    let rows: Vec<usize> = (0..table.rows()).collect();
    let mut scored = Vec::with_capacity(keys.len());
    for rows in rows.chunks(AT_ONCE) {
        scored.extend(model.score(table, rows)?);
    }
    let warn = |score: f64| thresholds.map(|t| t.warning(score));
    let warns = |row: &usize| scored.get(*row).is_some_and(|&score| warn(score).is_some_and(|w| w != Warning::None));
    let warned: Vec<usize> = rows.into_iter().filter(warns).collect();
    let mut reasons = vec![String::new(); keys.len()];
    for rows in warned.chunks(AT_ONCE) {
        for (&row, contributions) in rows.iter().zip(model.contributions(table, rows)?) {
            reasons[row] = driven_by(table, &contributions);
        }
    }
    let rows = keys.iter().zip(scored).zip(reasons);
    Ok(rows.map(|((key, score), drivers)| Unusual { key, score, warning: warn(score), drivers }).collect())
}

/// The columns that make a row unusual, and their shares.
fn driven_by(table: &Table, contributions: &[f64]) -> String {
    let name = |column: usize| table.specs.get(column).map_or("", |spec| spec.name.as_str());
    let found = drivers(contributions, MOST_DRIVERS);
    let found: Vec<String> = found.iter().map(|d| format!("{} {:.0}%", name(d.column), 100.0 * d.share)).collect();
    found.join("; ")
}

fn points<'a>(keys: &'a [String], scorecard: &Scorecard, table: &Table) -> anyhow::Result<Vec<Points<'a>>> {
    let bound = scorecard.bind(table)?;
    let row = |(row, key): (usize, &'a String)| {
        let found = bound.assess(row)?;
        Some(Points {
            key,
            points: found.points,
            probability_of_bad: found.probability_of_default,
            score: found.score,
            tier: found.tier,
            warning: found.warning,
        })
    };
    Ok(keys.iter().enumerate().filter_map(row).collect())
}

/// A key as it is, but never one that a spreadsheet takes for a formula.
fn field(key: &str, format: Format) -> String {
    if format == Format::Text { haihe_models::export::spreadsheet_text(key).into_owned() } else { key.to_owned() }
}

/// CSV with a header for people, a JSON object per line for programs. A number is written with as many digits as give it back.
fn written<R: Serialize>(rows: impl IntoIterator<Item = R>, format: Format) -> anyhow::Result<String> {
    let mut text = String::new();
    if format == Format::Json {
        for row in rows {
            text.push_str(&serde_json::to_string(&row)?);
            text.push('\n');
        }
        return Ok(text);
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row)?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}
