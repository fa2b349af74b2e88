//! `cargo xtask check`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    build::PACKAGES,
    process::{Workspace, say, step, works},
    rules,
};

/// The version that the rules of deny.toml are written for.
const CARGO_DENY: &str = "0.20.2";

/// Formatting, the table of rules, lints, documentation, dependencies: cheapest first.
///
/// Clippy and rustdoc share what they need to know of the dependencies with each other, not with the tests.
pub fn check(workspace: &Workspace, strict: bool) -> Result<()> {
    step("formatting", &mut workspace.cargo(["fmt", "--all", "--check"]))?;
    rules::check(workspace)?;
    let mut clippy = workspace.cargo(["clippy", "--locked", "--all-targets"]);
    step("lints", clippy.args(PACKAGES).args(["--", "--deny", "warnings"]))?;
    // Without libtorch, of which `doc-only` asks for none; nothing that is built so can be linked.
    let mut networks = workspace.cargo(["clippy", "--locked", "--all-targets", "--package", "haihe-models"]);
    networks.args(["--features", "torch,tch/doc-only", "--", "--deny", "warnings"]);
    step("lints of networks on libtorch", &mut networks)?;
    let mut doc = workspace.cargo(["doc", "--locked", "--no-deps"]);
    step("documentation", doc.args(PACKAGES).env("RUSTDOCFLAGS", "-D warnings"))?;
    dependencies(workspace, strict)?;
    say("all checks passed");
    Ok(())
}

fn dependencies(workspace: &Workspace, strict: bool) -> Result<()> {
    match cargo_deny(workspace) {
        Some(mut deny) => {
            let flags = ["--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
            step("licences, bans and sources of dependencies", deny.args(flags))
        }
        None if strict => bail!("cargo-deny {CARGO_DENY} is not there and cannot be installed"),
        None => {
            say("skipped: licences, bans and sources, as cargo-deny is not there and cannot be installed");
            Ok(())
        }
    }
}

/// cargo-deny: the installed one if it has the right version, else one of our own.
fn cargo_deny(workspace: &Workspace) -> Option<Command> {
    let tools = workspace.root.join("target/tools");
    let candidates = [tools.join("bin/cargo-deny"), "cargo-deny".into()];
    for program in &candidates {
        let version = workspace.command(program).arg("--version").output();
        if version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).split_whitespace().any(|w| w == CARGO_DENY)) {
            return Some(workspace.command(program));
        }
    }
    say(&format!("installing cargo-deny {CARGO_DENY} into target/tools; this takes some minutes, once"));
    let mut install = workspace.cargo(["install", "--locked", "--quiet", "cargo-deny", "--version", CARGO_DENY]);
    install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("build"));
    let installed = step("installing cargo-deny", &mut install);
    let _ = std::fs::remove_dir_all(tools.join("build"));
    match installed {
        Ok(()) if works(workspace.command(&candidates[0]).arg("--version")) => Some(workspace.command(&candidates[0])),
        Ok(()) => None,
        Err(error) => {
            say(&format!("{error:#}"));
            None
        }
    }
}
