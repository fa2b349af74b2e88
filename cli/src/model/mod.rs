//! `haihe model`: what a job learned, for people, for other programs, and for the next job.

use std::{io::Write as _, path::PathBuf};

use clap::Subcommand;

use crate::Format;

pub mod compare;
pub mod export;
pub mod file;
pub mod part;
pub mod score;
pub mod show;
pub mod start;

pub use file::{Model, Opened};
pub use part::Part;

/// Subcommands of `haihe model`. FILE is model.safetensors, scorecard.json or block.json (a party's part of a joint scorecard) from
/// a participant's folder of results, its result.json, or a job's journal.jsonl.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Show a model: what it is, where it comes from, how good it is, which columns it reads.
    Show {
        /// model.safetensors, scorecard.json, block.json (a party's part of a joint scorecard), result.json, or a job's
        /// journal.jsonl.
        file: PathBuf,
    },
    /// Write a model in another format: a network as ONNX or safetensors, a scorecard as PMML, CSV or JSON.
    Export(export::ExportArguments),
    /// Compare two networks (tensors, encoders, figures) or two scorecards (variables, bins, points).
    Compare {
        /// One model; the figures and differences are of the other one against it.
        a: PathBuf,
        /// The other.
        b: PathBuf,
    },
    /// Print the table of a job file that lets a job begin with this network.
    Start {
        /// model.safetensors, result.json, or a job's journal.jsonl.
        file: PathBuf,
    },
    /// Score the rows of a file with a model, as a participant would: no connection, no other party.
    Score(score::ScoreArguments),
}

/// Runs a subcommand.
pub async fn run(command: ModelCommand, format: Format) -> anyhow::Result<()> {
    match command {
        ModelCommand::Show { file } => print(&show::show(&Opened::read(&file)?, format)),
        ModelCommand::Export(arguments) => export::run(&arguments, format),
        ModelCommand::Compare { a, b } => print(&compare::compare(&Opened::read(&a)?, &Opened::read(&b)?, format)?),
        ModelCommand::Start { file } => print(&start::start(&Opened::read(&file)?, format)?),
        ModelCommand::Score(arguments) => score::run(&arguments, format).await,
    }
}

/// Prints; a reader that has seen enough is no failure.
fn print(shown: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(shown.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Foreign text without what would steer a terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Names and values, the values below each other. Lines without a value are left out.
fn aligned(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let value = shown(value).replace('\n', &format!("\n{:width$}  ", ""));
        text.push_str(&format!("{name:width$}  {value}\n"));
    }
    text
}

/// A table for people; the columns from `right` on are numbers.
fn table<R: IntoIterator<Item = String>>(header: &[&str], right: usize, rows: impl IntoIterator<Item = R>) -> String {
    use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| shown(&cell)));
    }
    for column in right..header.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}
