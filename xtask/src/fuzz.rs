//! `cargo xtask fuzz`: every target, or one, for as long as asked, guided by coverage.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::{Workspace, say, step};

/// Memory of one fuzzing process and of one allocation, at most, in MiB.
const MEMORY: [&str; 2] = ["-rss_limit_mb=2048", "-malloc_limit_mb=512"];

/// Builds the targets with coverage and runs them under libFuzzer, one after the other, each for `seconds`.
pub fn fuzz(workspace: &Workspace, only: Option<&str>, seconds: u32) -> Result<()> {
    let package = ["--locked", "--package", "haihe-fuzz"];
    step("building the tool", workspace.cargo(["build"]).args(package))?;
    // libFuzzer is C++; `fuzz/instrument.sh` gives coverage to the crates of this workspace only.
    let mut build = workspace.cargo(["build"]);
    build.args(package).args(["--features", "coverage", "--bin", "haihe-fuzz-coverage"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", workspace.root.join("fuzz/instrument.sh"));
    step("building the targets with coverage (needs a C++ compiler)", &mut build)?;
    let tool = workspace.target.join("debug/haihe-fuzz");
    let list = workspace.command(&tool).arg("list").output().context("cannot start haihe-fuzz")?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let targets: Vec<&str> = list.lines().filter(|name| only.is_none_or(|o| o == *name)).collect();
    if targets.is_empty() {
        bail!(
            "there is no target {:?}; there are: {}",
            only.unwrap_or(""),
            list.lines().collect::<Vec<_>>().join(", ")
        );
    }
    let mut failed = Vec::new();
    println!("{:<18} {:>12} {:>9} {:>9} {:>9} {:>9}", "target", "inputs", "a second", "branches", "corpus", "peak MiB");
    for target in targets {
        if !one(workspace, &tool, target, seconds)? {
            failed.push(target);
        }
    }
    if !failed.is_empty() {
        bail!("failing inputs were found for: {}", failed.join(", "));
    }
    Ok(())
}

/// One target; false if it failed. Its corpus grows in `target/fuzz/<target>/corpus` from run to run.
fn one(workspace: &Workspace, tool: &Path, target: &str, seconds: u32) -> Result<bool> {
    let folder = workspace.target.join("fuzz").join(target);
    let (corpus, found) = (folder.join("corpus"), folder.join("found"));
    fs::create_dir_all(&found)?;
    let seeded = workspace.command(tool).args(["seeds", target]).arg(&corpus).status()?;
    if !seeded.success() {
        bail!("{target} has no seeds");
    }
    let mut fuzzer = workspace.command(workspace.target.join("debug/haihe-fuzz-coverage"));
    fuzzer.arg(&corpus).env("HAIHE_FUZZ_TARGET", target).args(MEMORY);
    fuzzer.args(["-max_len=65536", "-timeout=20", "-print_final_stats=1"]);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
    let output = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).output().context("cannot start the fuzzer")?;
    let log = String::from_utf8_lossy(&output.stderr);
    fs::write(folder.join("log"), output.stderr.as_slice())?;
    let number = |name: &str| statistic(&log, name).unwrap_or_default();
    println!(
        "{target:<18} {:>12} {:>9} {:>9} {:>9} {:>9}",
        number("stat::number_of_executed_units:"),
        number("stat::average_exec_per_sec:"),
        number("cov:"),
        fs::read_dir(&corpus)?.count(),
        number("stat::peak_rss_mb:"),
    );
    if !output.status.success() {
        say(&format!("{target} failed; its log is {}", workspace.shown(&folder.join("log"))));
        let keep = format!("haihe-fuzz keep {target} FILE NAME");
        say(&format!("the input is in {}; once repaired, keep it with `{keep}`", workspace.shown(&found)));
    }
    Ok(output.status.success())
}

/// The last number that follows `name` in a log of libFuzzer.
fn statistic(log: &str, name: &str) -> Option<u64> {
    let after = log.rsplit_once(name)?.1.trim_start();
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts() {
        let log = "#2 INITED cov: 12 ft: 3\n#9 DONE cov: 345 ft: 9\nstat::peak_rss_mb:              38\n";
        assert_eq!(statistic(log, "cov:"), Some(345));
        assert_eq!(statistic(log, "stat::peak_rss_mb:"), Some(38));
        assert_eq!(statistic(log, "stat::nothing:"), None);
    }
}
