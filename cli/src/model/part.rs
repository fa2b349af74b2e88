//! One party's part of a joint scorecard: what a vertical job leaves in its folder of results.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use haihe_models::{
    scorecard::ScalingOptions,
    vertical::{COEFFICIENT_BITS, encoding::ColumnEncoder, score::Block},
};
use haihe_protocol::vertical::work::{BLOCK_FILE, EVALUATION_FILE, Evaluation, MODEL_FILE, ModelFile};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{aligned, table};

/// A part, and what it is a part of.
pub struct Part {
    /// Columns, bins, coefficients.
    pub block: Block,
    /// From the file beside it.
    pub of: Option<ModelFile>,
}

impl Part {
    /// Reads a block and what lies beside it.
    pub fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let block: Block =
            serde_json::from_str(text).context("this is no part of a model that this version can read")?;
        block.check()?;
        Ok(Self { block, of: beside(path, MODEL_FILE)? })
    }

    /// How log-odds become points; as is usual where nothing says it.
    pub fn scaling(&self) -> ScalingOptions {
        self.of.as_ref().map_or_else(ScalingOptions::default, |of| of.scaling.clone())
    }

    /// For people.
    pub fn text(&self, name: &str) -> String {
        let scaling = self.scaling();
        let mut lines = vec![("name", name.to_owned())];
        if let Some(of) = &self.of {
            let others: Vec<&str> = of.feature_holders.iter().map(|p| p.as_str()).collect();
            lines.extend([
                ("model", format!("{}'s part of a joint scorecard", of.party)),
                ("job", of.name.clone()),
                ("label holder", of.label_holder.to_string()),
                ("feature holders", others.join(", ")),
            ]);
        } else {
            lines.push(("model", "one party's part of a joint scorecard; points are by the usual scale".to_owned()));
        }
        if self.block.base != 0 {
            lines.push(("base points", format!("{:.0}", self.block.base_points(&scaling))));
        }
        let columns = self.block.columns.iter().zip(self.block.points(&scaling)).map(|(term, (column, points))| {
            let coefficient = term.coefficient as f64 * 2f64.powi(-(COEFFICIENT_BITS as i32));
            let of_bins = |pick: fn(f64, f64) -> f64| {
                points.iter().copied().reduce(pick).map_or_else(String::new, |p| format!("{p:.0}"))
            };
            let (bins, iv, with) = match &term.encoder {
                ColumnEncoder::Woe { binning } => {
                    let with = if coefficient > 0.0 { "against its evidence" } else { "" };
                    (binning.bins.len().to_string(), format!("{:.4}", binning.iv), with)
                }
                ColumnEncoder::Standardise { .. } => (String::new(), String::new(), "per standard deviation"),
            };
            // In log-odds of good, as people read scorecards.
            let coefficient = format!("{:.4}", -coefficient);
            [column.to_owned(), bins, iv, coefficient, of_bins(f64::min), of_bins(f64::max), with.to_owned()]
        });
        let header = ["variable", "bins", "IV", "coefficient", "least points", "most points", ""];
        let mut text = format!("{}\n{}", aligned(&lines), table(&header, 1, columns));
        if !self.block.dropped.is_empty() {
            let dropped = self.block.dropped.iter().map(|d| [d.column.clone(), d.reason.to_string()]);
            text.push_str(&table(&["left out", "why"], 2, dropped));
        }
        text
    }

    /// For programs.
    pub fn json(&self, name: &str) -> Value {
        json!({"model": "part", "name": name, "of": self.of, "block": self.block})
    }
}

/// What a party's own people can show of a job: its part, and at the label holder how firms score.
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// What it is a part of.
    pub of: ModelFile,
    /// The part.
    pub block: Block,
    /// At the label holder.
    pub evaluation: Option<Evaluation>,
}

impl Folder {
    /// Reads a job's folder of results.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.join(BLOCK_FILE);
        let text = fs::read_to_string(&file).with_context(|| {
            format!("{} is no participant's folder of results of a joint scorecard: {BLOCK_FILE}", path.display())
        })?;
        let Part { block, of } = Part::parse(&file, &text).with_context(|| file.display().to_string())?;
        let of = of.with_context(|| format!("{}: {MODEL_FILE} is missing", path.display()))?;
        Ok(Self { path: path.to_owned(), of, block, evaluation: beside(&file, EVALUATION_FILE)? })
    }
}

/// Another file of the same job, if it is there.
fn beside<T: DeserializeOwned>(path: &Path, name: &str) -> anyhow::Result<Option<T>> {
    let path = path.with_file_name(name);
    if !path.exists() {
        return Ok(None);
    }
    let size = fs::metadata(&path)?.len();
    ensure!(size < 1 << 24, "{}: {size} bytes are more than such a file has", path.display());
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).map(Some).with_context(|| path.display().to_string())
}
