//! `cargo xtask test`.

use anyhow::Result;

use crate::{
    build::PACKAGES,
    process::{Workspace, say, step, works},
    torch,
};

/// Builds what the tests need and runs them; `extra` goes to the test runner.
pub fn test(workspace: &Workspace, extra: &[String]) -> Result<()> {
    // Process tests start the programs of other packages, which no test runner builds for them. Programs and tests are built
    // by one command, so that both use the same features of every dependency.
    let mut build = workspace.cargo(["build", "--locked", "--bins", "--tests"]);
    step("building programs and tests", build.args(PACKAGES))?;
    // The examples come first: what is printed last is the verdict of the test runner.
    if extra.is_empty() {
        step("examples in the documentation", workspace.cargo(["test", "--doc", "--locked"]).args(PACKAGES))?;
    } else {
        say("skipped: the examples in the documentation, as only some tests were asked for");
    }
    if works(&mut workspace.cargo(["nextest", "--version"])) {
        step("tests", workspace.cargo(["nextest", "run", "--locked"]).args(PACKAGES).args(extra))?;
    } else {
        say("cargo-nextest is not installed: the tests run under `cargo test`, one program after the other");
        let mut tests = workspace.cargo(["test", "--locked", "--tests"]);
        step("tests", tests.args(PACKAGES).args(extra))?;
    }
    if extra.is_empty() {
        networks(workspace)?;
    }
    say("skipped: the comparison with scikit-learn, which needs Python packages (`cargo xtask reference`)");
    say("skipped: the benchmarks and their tests, which build tfhe (`cargo xtask bench secure-sum`)");
    say("all tests passed");
    Ok(())
}

/// The tests of what is built with libtorch, which is fetched if need be: the backends are compared, and parties train an LSTM.
fn networks(workspace: &Workspace) -> Result<()> {
    if torch::installed(workspace)?.is_none()
        && let Err(error) = torch::libtorch(workspace, false)
    {
        if std::env::var_os("CI").is_some() {
            return Err(error);
        }
        say(&format!("skipped: the tests of networks on libtorch, which cannot be fetched: {error:#}"));
        return Ok(());
    }
    let mut tests = workspace.cargo(["test", "--locked", "--package", "haihe-models", "--package", "haihe-protocol"]);
    tests.args(["--features", "haihe-protocol/torch", "--test", "torch", "--test", "lstm"]);
    step("tests of networks on libtorch", tests.envs(torch::environment(workspace)?))
}
