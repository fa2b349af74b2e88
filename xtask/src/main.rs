//! `cargo xtask`: the tasks of this project. Nothing but cargo, Python 3 and a C compiler is expected to be there.

mod attacks;
mod build;
mod check;
mod demo;
mod faults;
mod fuzz;
mod process;
mod reference;
mod rules;
mod test;
mod torch;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use process::{Workspace, say, step};

const DEMO: &str = "scorecard";

/// Tasks of the project
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the programs and run a demo: a coordinator and three parties as four processes on this machine
    ///
    /// The result is in target/demo/NAME: report.html to look at, summary.json for programs. What follows NAME is passed on:
    /// `cargo xtask demo scorecard --keep` keeps the keys, journals and logs of the four processes. `cargo xtask demo joint` has a
    /// bank, a tax bureau and a core enterprise.
    Demo {
        /// Which demo
        #[arg(default_value = DEMO)]
        name: String,
        /// Passed on to `haihe demo NAME`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Build whatever the tests need and run all of them
    Test {
        /// Passed on to the test runner, for example the part of a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Formatting, lints, documentation, and the licences and sources of all dependencies
    Check {
        /// Fail if cargo-deny is not there and cannot be installed; otherwise this is only said
        #[arg(long, env = "CI", value_parser = clap::builder::FalseyValueParser::new())]
        strict: bool,
    },
    /// Everything that a change must pass: check, then test
    Ci,
    /// Run a benchmark in release; its rows are kept in target/bench/NAME.json
    Bench {
        /// Which benchmark, for example secure-sum
        name: String,
        /// Fewer repetitions
        #[arg(long)]
        quick: bool,
        /// vertical-lr: the folder of public data sets, else `../shared/data` beside the checkout
        #[arg(long)]
        data: Option<PathBuf>,
        /// psi: a Python that has the package `spu`, whose intersections then run in turn with ours
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// Run small federations with random faults, by the thousand (docs/faults.md); what they went through is kept in
    /// target/faults.json
    Faults {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
        /// Number of the first; a trial's number decides about everything in it
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Go on from this trial of the series, counted from 0: a long run may be cut into pieces
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Fuzz decoders and state machines under libFuzzer; its tests, in `test`, do so for a second each
    Fuzz {
        /// Which target; all of them, one after the other, if none is named
        target: Option<String>,
        /// For how long, for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Attack what the parties of a job send, and say how far that leads (docs/security/attacks.md); all figures are kept in
    /// target/attacks.json
    Attacks {
        /// All figures follow from it
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Fewer trials
        #[arg(long)]
        quick: bool,
        /// Put the tables into docs/security/attacks.md
        #[arg(long)]
        write: bool,
    },
    /// Check docs/rules.md against the code, run the tests that it names, and show which rules are green
    Rules {
        /// Only check the table; `cargo xtask check` does that too
        #[arg(long)]
        no_run: bool,
    },
    /// Fetch libtorch 2.13.0 (CPU), which the feature `torch` needs, into $XDG_CACHE_HOME/haihe: 540 MB to download, 480 MB to keep
    ///
    /// All checkouts share it, and nothing is downloaded if it is there, or if LIBTORCH names a libtorch 2.13.0 of your own.
    /// `eval "$(cargo xtask libtorch --env)"` sets a shell up to build with `--features torch` and run by hand.
    Libtorch {
        /// Print the variables to set
        #[arg(long)]
        env: bool,
    },
    /// Compare with other programs, each in a Python environment of its own: the scorecard of the demo with an independent fit by
    /// scikit-learn, and ONNX files with what ONNX Runtime makes of them
    Reference {
        /// Only this comparison
        #[arg(value_enum)]
        only: Option<reference::Comparison>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::find()?;
    match task {
        // `cargo xtask demo -- --keep`: options without a name.
        Task::Demo { name, extra } if name.starts_with('-') => {
            demo::demo(&workspace, DEMO, &[vec![name], extra].concat())
        }
        Task::Demo { name, extra } => demo::demo(&workspace, &name, &extra),
        Task::Test { extra } => test::test(&workspace, &extra),
        Task::Check { strict } => check::check(&workspace, strict),
        Task::Ci => check::check(&workspace, true).and_then(|()| test::test(&workspace, &[])),
        Task::Bench { name, quick, data, python } => {
            bench(&workspace, &name, quick, [("--data", data), ("--python", python)])
        }
        Task::Faults { runs, seed, from } => {
            faults::faults(&workspace, runs.saturating_sub(from), seed.saturating_add(from))
        }
        Task::Fuzz { target, seconds } => fuzz::fuzz(&workspace, target.as_deref(), seconds),
        Task::Attacks { seed, quick, write } => attacks::attacks(&workspace, seed, quick, write),
        Task::Rules { no_run } => rules::rules(&workspace, !no_run),
        Task::Libtorch { env } => torch::libtorch(&workspace, env),
        Task::Reference { only } => reference::reference(&workspace, only),
    }
}

fn bench(workspace: &Workspace, name: &str, quick: bool, paths: [(&str, Option<PathBuf>); 2]) -> Result<()> {
    // Whole federations: built as the tests are, where all arithmetic is optimised too, so that nothing is built twice.
    let example = match name {
        "rounds" => Some("network_rounds"),
        "networks" => Some("network_quality"),
        _ => None,
    };
    if let Some(example) = example {
        let mut build = workspace.cargo(["build", "--locked", "--bins", "--tests", "--example", example]);
        step("building", build.args(build::PACKAGES))?;
        let mut run = std::process::Command::new(workspace.root.join("target/debug/examples").join(example));
        return step(&format!("benchmark {name}"), run.current_dir(&workspace.root).args(quick.then_some("--quick")));
    }
    let mut cargo = workspace.cargo(["run", "--release", "--locked", "--package", "haihe-bench"]);
    // `tfhe` is big, and only measured against.
    if name == "secure-sum" {
        cargo.args(["--features", "tfhe"]);
    }
    cargo.args(["--", name]);
    for (option, path) in paths {
        if let Some(path) = path {
            cargo.arg(option).arg(std::path::absolute(path)?);
        }
    }
    if quick {
        cargo.arg("--quick");
    }
    step(&format!("benchmark {name}"), &mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_follows_is_passed_on() {
        let parsed = Arguments::try_parse_from(["xtask", "demo", "scorecard", "--keep"]).expect("valid");
        let Task::Demo { name, extra } = parsed.task else { panic!("a demo was asked for") };
        assert_eq!((name.as_str(), extra), ("scorecard", vec!["--keep".to_owned()]));
    }
}
