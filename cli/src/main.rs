//! `haihe`: the modeller's and operator's tool.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    haihe_cli::main().await
}
