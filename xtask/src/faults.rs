//! `cargo xtask faults`.

use anyhow::Result;

use crate::process::{Workspace, step};

/// Runs `runs` trials from number `first` on. Built as the tests are, so that nothing is built twice.
pub fn faults(workspace: &Workspace, runs: u64, first: u64) -> Result<()> {
    let out = workspace.root.join("target/faults.json");
    let mut cargo = workspace.cargo(["run", "--locked", "--package", "haihe-simulations", "--example", "faults", "--"]);
    cargo.args([runs.to_string(), first.to_string()]).arg(out);
    step(&format!("{runs} trials with random faults"), &mut cargo)
}
