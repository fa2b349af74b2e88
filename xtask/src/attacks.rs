//! `cargo xtask attacks`.

use anyhow::Result;

use crate::process::{Workspace, step};

/// Measures the attacks. Built as the tests are, so that nothing is built twice.
pub fn attacks(workspace: &Workspace, seed: u64, quick: bool, write: bool) -> Result<()> {
    let mut cargo = workspace.cargo(["run", "--locked", "--package", "haihe-attacks", "--"]);
    cargo.args(["--seed", &seed.to_string()]).arg("--out").arg(workspace.root.join("target/attacks.json"));
    if quick {
        cargo.arg("--quick");
    }
    if write {
        cargo.arg("--write").arg(workspace.root.join("docs/security/attacks.md"));
    }
    step("attacks", &mut cargo)
}
