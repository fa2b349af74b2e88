//! A model in other formats.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use haihe_models::{
    export::{block_csv, scorecard_csv, scorecard_json},
    files::{onnx, pmml, weights},
};
use serde_json::json;

use super::{Model, Opened};
use crate::Format;

/// Arguments of `haihe model export`.
#[derive(Args)]
pub struct ExportArguments {
    /// model.safetensors, scorecard.json, block.json, result.json, or a job's journal.jsonl.
    pub file: PathBuf,
    /// The format. Networks: safetensors, onnx, or json (the model card). Scorecards: pmml, csv or json. Parts of
    /// joint scorecards: csv or json. Tails and forests: json.
    #[arg(long, value_enum)]
    pub to: To,
    /// Where to write it; an earlier file is replaced.
    #[arg(long)]
    pub out: PathBuf,
    /// Which model of PMML a scorecard becomes.
    #[arg(long = "as", value_enum)]
    pub shape: Option<Shape>,
    /// Another name for the model than the file says.
    #[arg(long)]
    pub name: Option<String>,
    /// Name of the federation, for the model card.
    #[arg(long)]
    pub federation: Option<String>,
}

/// Formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// A graph of operators for ONNX runtimes; it takes encoded rows, as the card in it says.
    Onnx,
    /// PMML 4.4 for decision engines.
    Pmml,
    /// Parameters and model card, as PyTorch reads them.
    Safetensors,
    /// A table for spreadsheets.
    Csv,
    /// For programs.
    Json,
}

impl To {
    fn name(self) -> &'static str {
        match self {
            To::Onnx => "onnx",
            To::Pmml => "pmml",
            To::Safetensors => "safetensors",
            To::Csv => "csv",
            To::Json => "json",
        }
    }
}

/// Models of PMML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Scorecard: whole points, reason codes. The default.
    Scorecard,
    /// RegressionModel: the probability of default.
    Regression,
}

/// Formats that a kind of model has.
fn formats(model: &Model) -> &'static [To] {
    match model {
        Model::Network(_) => &[To::Safetensors, To::Onnx, To::Json],
        Model::Scorecard(_) => &[To::Pmml, To::Csv, To::Json],
        Model::Part(_) => &[To::Csv, To::Json],
        Model::Anomaly(_) => &[To::Json],
    }
}

/// Runs `haihe model export`.
pub fn run(arguments: &ExportArguments, format: Format) -> anyhow::Result<()> {
    ensure!(
        arguments.shape.is_none() || arguments.to == To::Pmml,
        "--as says which model of PMML is written: it goes with --to pmml only"
    );
    let mut opened = Opened::read(&arguments.file)?;
    let known = formats(&opened.model);
    if !known.contains(&arguments.to) {
        let names: Vec<&str> = known.iter().map(|to| to.name()).collect();
        let (file, kind, to) = (opened.path.display(), opened.model.kind(), arguments.to.name());
        bail!("{file} holds {kind}, which has no form as {to}: choose --to {}", names.join(" or --to "));
    }
    rename(&mut opened, arguments);
    let bytes = written(&opened, arguments.to, arguments.shape.unwrap_or(Shape::Scorecard))?;
    let out = arguments.out.display();
    fs::write(&arguments.out, &bytes).with_context(|| format!("cannot write {out}"))?;
    let said = match format {
        Format::Text => format!("{}, {} bytes: {out}\n", arguments.to.name(), bytes.len()),
        Format::Json => {
            format!("{}\n", json!({"format": arguments.to.name(), "out": arguments.out, "bytes": bytes.len()}))
        }
    };
    super::print(&said)
}

fn rename(opened: &mut Opened, arguments: &ExportArguments) {
    if let Some(name) = &arguments.name {
        opened.name.clone_from(name);
    }
    if let Model::Network(network) = &mut opened.model {
        network.0.name.clone_from(&opened.name);
        if let Some(federation) = &arguments.federation {
            network.0.federation.clone_from(federation);
        }
    }
}

/// The bytes of a file.
pub fn written(opened: &Opened, to: To, shape: Shape) -> anyhow::Result<Vec<u8>> {
    let created = opened.job.as_ref().map_or("", |job| job.finished.as_str());
    Ok(match (&opened.model, to) {
        (Model::Network(network), To::Safetensors) => weights::write(&network.0, &network.1)?,
        (Model::Network(network), To::Onnx) => onnx::write(&network.0, &network.1)?,
        (Model::Network(network), _) => {
            network.0.check()?;
            serde_json::to_vec_pretty(&network.0)?
        }
        (Model::Scorecard(scorecard), To::Pmml) => match shape {
            Shape::Scorecard => pmml::scorecard(scorecard, &opened.name, created)?.into_bytes(),
            Shape::Regression => pmml::regression(scorecard, &opened.name, created)?.into_bytes(),
        },
        (Model::Scorecard(scorecard), To::Csv) => scorecard_csv(scorecard).into_bytes(),
        (Model::Scorecard(scorecard), _) => scorecard_json(scorecard)?.into_bytes(),
        (Model::Part(part), To::Csv) => block_csv(&part.block, &part.scaling()).into_bytes(),
        (Model::Part(part), _) => serde_json::to_vec_pretty(&part.block)?,
        (Model::Anomaly(result), _) => serde_json::to_vec_pretty(result)?,
    })
}
