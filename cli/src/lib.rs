//! `haihe`: the modeller's and operator's tool. The program is [`main`]; the rest is public for its tests.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

pub mod audit;
pub mod client;
pub mod demo;
pub mod evidence;
pub mod job;
pub mod leaks;
pub mod model;
pub mod pki;
pub mod report;
pub mod show;
pub mod simulate;
pub mod town;

/// The modeller's and operator's tool of a Haihe federation.
///
/// Exit codes: 0 done; 1 failed, or the job failed; 2 wrong usage.
#[derive(Parser)]
#[command(name = "haihe", version)]
struct Arguments {
    /// How to print: tables for people, or JSON lines for scripts.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Make a federation's certificate authority and issue its members' keys.
    #[command(subcommand)]
    Pki(pki::PkiCommand),
    /// Check, submit and follow jobs.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Run a whole federation on this machine: real processes, mutual TLS, encryption, real loans.
    Demo(demo::DemoArguments),
    /// Run a scenario file: the same job with all parties in this process, seeded.
    Simulate(simulate::SimulateArguments),
    /// Write report.html, scorecard and journal of a finished job.
    Report(demo::ReportArguments),
    /// Look at a learned model, write it in other formats, compare two, score rows with it, begin a job with it.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Look at journals, check whether they can be true, and prove entries of them to third parties.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

/// How the tool is called: for tests of what the documentation says.
pub fn usage() -> clap::Command {
    Arguments::command()
}

/// The program.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.format;
    let done = match arguments.command {
        Command::Pki(command) => pki::run(command),
        Command::Job(command) => job::run(command, format).await,
        Command::Demo(arguments) => demo::run(arguments, format).await,
        Command::Simulate(arguments) => simulate::run(arguments, format).await,
        Command::Report(arguments) => demo::report(arguments, format).await,
        Command::Model(command) => model::run(command, format).await,
        Command::Audit(command) => audit::run(command, format).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if format == Format::Json {
                println!("{}", serde_json::json!({"error": format!("{error:#}")}));
            }
            eprintln!("haihe: {error:#}");
            ExitCode::FAILURE
        }
    }
}
