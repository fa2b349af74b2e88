//! `haihe simulate`: a scenario file, all parties in this process, the same protocol code, one seed.

use std::path::PathBuf;

use clap::Args;

use crate::Format;

/// Arguments of `haihe simulate`.
#[derive(Args)]
pub struct SimulateArguments {
    /// Scenario file, for example simulations/scenarios/village-banks.toml.
    file: PathBuf,
    /// Folder for report.html, summary.json and the other results.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another seed than the scenario's.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs a scenario.
pub async fn run(_arguments: SimulateArguments, _format: Format) -> anyhow::Result<()> {
    Ok(())
}
