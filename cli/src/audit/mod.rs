//! `haihe audit`: what a journal says, whether it can be true, and proofs from it for third parties.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_privacy::log::Log;
use haihe_protocol::{
    audit::{self, Finding},
    journal::{self, Entry},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    Format,
    client::{Connection, Operator},
    evidence::rfc3339,
};

mod participant;
mod prove;
mod verify;

pub use prove::Proof;

/// Subcommands of `haihe audit`.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Show a job's journal, after checking its chain of digests. From a file, or from the coordinator.
    Show {
        /// Journal file (one JSON entry per line), or a job id when --coordinator is given.
        journal: String,
        /// Address of the coordinator, https://host:port.
        #[arg(long, env = "HAIHE_COORDINATOR", hide_env_values = true, requires = "operator")]
        coordinator: Option<String>,
        /// Folder with the operator's certificates.
        #[arg(long, env = "HAIHE_OPERATOR", hide_env_values = true)]
        operator: Option<PathBuf>,
    },
    /// Check that a journal can be true: replay the job and check every entry, then compare with checkpoints that
    /// participants pinned and with their own journals. Fails if anything does not hold.
    Verify(verify::VerifyArguments),
    /// Make a proof that an entry is in a journal, for somebody who must not see the rest.
    Prove(prove::ProveArguments),
    /// Check such a proof: the entry is in the journal whose checkpoint the coordinator signed.
    Check(prove::CheckArguments),
}

/// Where a journal comes from.
#[derive(Args)]
struct Source {
    /// Journal file (one JSON entry per line); or, if there is no such file and --coordinator is given, a job id.
    journal: String,
    /// Address of the coordinator, https://host:port.
    #[arg(long, env = "HAIHE_COORDINATOR", hide_env_values = true, requires = "operator")]
    coordinator: Option<String>,
    /// Folder with the operator's certificates.
    #[arg(long, env = "HAIHE_OPERATOR", hide_env_values = true)]
    operator: Option<PathBuf>,
}

impl Source {
    /// The entries; or the first line of a file that is none.
    async fn entries(&self) -> anyhow::Result<Result<Vec<Entry>, Finding>> {
        let path = Path::new(&self.journal);
        match (&self.coordinator, &self.operator) {
            (Some(coordinator), Some(operator)) if !path.exists() => {
                let connection = Connection { coordinator: coordinator.clone(), operator: operator.clone() };
                Ok(Ok(Operator::connect(&connection).await?.journal(&self.journal).await?))
            }
            _ => Ok(audit::read(&bytes(path)?)),
        }
    }
}

/// The journal as a Merkle log.
fn log(entries: &[Entry]) -> Log {
    let mut log = Log::new();
    for entry in entries {
        log.append(entry.line().as_bytes());
    }
    log
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A certificate, DER, from a file in PEM.
fn certificate(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = bytes(path)?;
    let der = CertificateDer::from_pem_slice(&pem);
    Ok(der.with_context(|| format!("{} is no certificate in PEM", path.display()))?.to_vec())
}

fn print(shown: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(shown.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Runs a subcommand.
pub async fn run(command: AuditCommand, format: Format) -> anyhow::Result<()> {
    let (journal, coordinator, operator) = match command {
        AuditCommand::Show { journal, coordinator, operator } => (journal, coordinator, operator),
        AuditCommand::Verify(arguments) => return verify::run(arguments, format).await,
        AuditCommand::Prove(arguments) => return prove::prove(arguments).await,
        AuditCommand::Check(arguments) => return prove::check(arguments, format),
    };
    let entries = match (coordinator, operator) {
        (Some(coordinator), Some(operator)) => {
            Operator::connect(&Connection { coordinator, operator }).await?.journal(&journal).await?
        }
        _ => read(Path::new(&journal))?,
    };
    print(&show(&entries, format)?)?;
    // What is shown of a broken journal is shown up to the break; the exit code says the rest.
    match journal::verify(&entries) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{error}"),
    }
}

/// Reads a journal file.
pub fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{} line {}: not a journal entry", path.display(), i + 1))
        })
        .collect()
}

/// Writes a journal file.
pub fn write(path: &Path, entries: &[Entry]) -> anyhow::Result<()> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&serde_json::to_string(entry)?);
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The event's name and one line about it, whoever's journal it is.
fn describe(body: &serde_json::Value) -> (String, String) {
    let text = |v: &serde_json::Value| match v {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let kind = body.get("event").map(text).unwrap_or_default();
    let paths: &[&str] = &[
        "/by",
        "/join/party",
        "/decline/party",
        "/decline/reason",
        "/confirmation/party",
        "/session",
        "/spec/round",
        "/contribution/party",
        "/contribution/commitment",
        "/answer/party",
        "/party",
        "/round",
        "/step",
        "/survivors",
        "/summary/step",
        "/summary/text",
        "/transcript",
        "/reason",
        "/result",
        "/parties",
        "/name",
    ];
    let facts = paths.iter().filter_map(|p| body.pointer(p).map(|v| (p, text(v))));
    let fact = |(path, value): (&&str, String)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let short: String = value.chars().take(90).collect();
        format!("{name} {short}")
    };
    (kind, facts.map(fact).collect::<Vec<_>>().join(" · "))
}

fn show(entries: &[Entry], format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        let lines: Result<Vec<String>, _> = entries.iter().map(serde_json::to_string).collect();
        return Ok(lines?.join("\n") + "\n");
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["#", "time", "event", "facts", "digest"]);
    for entry in entries {
        let body: serde_json::Value =
            serde_json::from_str(&entry.body_json).with_context(|| format!("entry {} is no JSON", entry.sequence))?;
        let (kind, facts) = describe(&body);
        let digest = entry.digest.to_hex()[..12].to_owned();
        table.add_row([entry.sequence.to_string(), rfc3339(entry.at), kind, facts, digest]);
    }
    let verdict = match journal::verify(entries) {
        Ok(tip) => format!("{} entries; the chain holds; tip {tip}", entries.len()),
        Err(error) => format!("THE CHAIN DOES NOT HOLD: {error}"),
    };
    Ok(format!("{table}\n{verdict}\n"))
}
