//! `cargo xtask reference`: the demo's scorecard against an independent fit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    demo,
    process::{Workspace, say, step, works},
};

/// Runs the comparison, and the demo first if it has not run yet.
pub fn reference(workspace: &Workspace) -> Result<()> {
    let Some(python) = python(workspace)? else { return Ok(()) };
    let demo = workspace.demo("scorecard");
    let scorecard = demo.join("scorecard.json");
    if !scorecard.is_file() {
        demo::demo(workspace, "scorecard", &[])?;
    }
    let data = loans(&demo.join("data"))?;
    let out = demo.join("reference.json");
    let mut compare = workspace.command(python);
    compare.arg("simulations/reference/reference.py").arg("--scorecard").arg(&scorecard);
    compare.arg("--job").arg(demo.join("job.toml")).arg("--data").args(data).arg("--out").arg(&out);
    step("comparing with scikit-learn", &mut compare)
}

/// The interpreter of an environment with the packages that the comparison needs; `None` if they cannot be had here.
fn python(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let requirements = workspace.root.join("simulations/reference/requirements.txt");
    let wanted = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let folder = workspace.root.join("target/reference");
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if python.is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(Some(python));
    }
    say("making a Python environment in target/reference");
    if !works(workspace.command("python3").args(["-m", "venv"]).arg(&folder)) {
        say("skipped: `python3 -m venv` does not work here; install Python 3 with its venv module");
        return Ok(None);
    }
    let mut pip = workspace.command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    if let Err(error) = step("installing the packages of the comparison", &mut pip) {
        say(&format!("skipped: {error:#}; pip needs access to a package index"));
        return Ok(None);
    }
    fs::write(&installed, wanted)?;
    Ok(Some(python))
}

/// Every party's file.
fn loans(data: &Path) -> Result<Vec<PathBuf>> {
    let parties = fs::read_dir(data).with_context(|| format!("the demo's data are missing: {}", data.display()))?;
    let mut files = Vec::new();
    for party in parties {
        let file = party?.path().join("loans.csv");
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{} holds no loans.csv of any party; run `cargo xtask demo` again", data.display());
    Ok(files)
}
