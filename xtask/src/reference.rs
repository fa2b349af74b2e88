//! `cargo xtask reference`: what other programs make of ours: scikit-learn fits the demo's scorecard again, ONNX Runtime applies the
//! networks that we write as ONNX files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    demo,
    process::{Workspace, say, step, works},
};

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Comparison {
    /// The demo's scorecard with a fit by scikit-learn.
    Scorecard,
    /// ONNX files with what ONNX Runtime makes of them.
    Onnx,
}

/// Runs one comparison, or all.
pub fn reference(workspace: &Workspace, only: Option<Comparison>) -> Result<()> {
    if only != Some(Comparison::Scorecard) {
        onnx(workspace)?;
    }
    if only != Some(Comparison::Onnx) {
        scorecard(workspace)?;
    }
    Ok(())
}

/// Writes networks as ONNX files, and has ONNX's checker and ONNX Runtime read them.
fn onnx(workspace: &Workspace) -> Result<()> {
    let Some(python) = python(workspace, "reference-onnx", "models/reference/requirements.txt")? else { return Ok(()) };
    let folder = workspace.root.join("target/onnx");
    let mut cases = workspace.cargo(["run", "--locked", "--package", "haihe-models", "--example", "onnx_cases", "--"]);
    step("writing ONNX files", cases.arg(&folder))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    let mut check = workspace.command(python);
    step("checking them with ONNX Runtime", check.arg("models/reference/check_onnx.py").args(files))
}

/// Compares the demo's scorecard, and runs the demo first if it has not run yet.
fn scorecard(workspace: &Workspace) -> Result<()> {
    let Some(python) = python(workspace, "reference", "simulations/reference/requirements.txt")? else { return Ok(()) };
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

/// The interpreter of an environment, `target/NAME`, with the packages that a comparison needs; `None` if they cannot be had here.
fn python(workspace: &Workspace, name: &str, requirements: &str) -> Result<Option<PathBuf>> {
    let requirements = workspace.root.join(requirements);
    let wanted = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let folder = workspace.root.join("target").join(name);
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if python.is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(Some(python));
    }
    say(&format!("making a Python environment in target/{name}"));
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
