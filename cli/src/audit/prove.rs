//! `haihe audit prove` and `check`: one entry of a journal, for somebody who does not see the others.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{ArgGroup, Args};
use haihe_privacy::log::{InclusionProof, NoteKey, RootHash, SignedCheckpoint, verify_inclusion};
use haihe_protocol::{
    audit, checkpoint,
    journal::{self, Entry},
    roster::Trust,
};
use serde::{Deserialize, Serialize};

use super::{Source, certificate, describe, print, text, verify::job};
use crate::{Format, evidence::rfc3339};

/// Arguments of `haihe audit prove`.
#[derive(Args)]
pub struct ProveArguments {
    /// Number of the entry, from 0.
    sequence: u64,
    #[command(flatten)]
    source: Source,
    /// How many entries the proof counts [default: those of the checkpoint, or all].
    #[arg(long, value_name = "N", conflicts_with = "checkpoint")]
    size: Option<u64>,
    /// A checkpoint that the coordinator signed, to put into the proof.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Arguments of `haihe audit check`.
#[derive(Args)]
#[command(group(ArgGroup::new("signer").required(true).args(["key", "authority"])))]
pub struct CheckArguments {
    /// The proof, as `haihe audit prove` prints it.
    proof: PathBuf,
    /// The checkpoint, if it is not in the proof or you hold one of your own.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The coordinator's verifier key, name+id+key.
    #[arg(long, value_name = "VKEY")]
    key: Option<NoteKey>,
    /// Certificate of the federation's authority, PEM: the proof carries the coordinator's certificate.
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

/// That an entry is in a journal (RFC 9162, section 2.1.3), with what is needed to check it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Names the journal, as its checkpoints do.
    pub origin: String,
    /// The entry, a line of `journal.jsonl` without its end.
    pub entry: String,
    /// Its number.
    pub index: u64,
    /// Number of entries that the root covers.
    pub size: u64,
    /// Their Merkle tree hash, hexadecimal.
    pub root: RootHash,
    /// From the entry's sibling upwards.
    pub proof: InclusionProof,
    /// Size and root, signed by the coordinator.
    pub checkpoint: Option<String>,
    /// The coordinator's verifier key.
    pub key: NoteKey,
    /// Its certificate, DER, hexadecimal.
    pub certificate: String,
}

/// Prints a proof.
pub async fn prove(arguments: ProveArguments) -> anyhow::Result<()> {
    let entries = arguments.source.entries().await??;
    journal::verify(&entries)?;
    let job = job(&entries).context("the first entry of the journal opens no job")?;
    let signer = audit::signer(&entries, None).context("no roster in the journal names who signs it")?;
    let log = super::log(&entries);
    let note = arguments.checkpoint.as_deref().map(text).transpose()?;
    let pinned = note.as_deref().map(|note| checkpoint::verify(note, &signer.federation, &job, &signer.key));
    let pinned = pinned.transpose().context("the checkpoint is not one of this journal")?;
    let size = pinned.map(|head| head.size).or(arguments.size).unwrap_or(log.size());
    let root = log.root_at(size)?;
    if pinned.is_some_and(|head| head.root != root) {
        bail!("the coordinator signed another journal of {size} entries; `haihe audit verify` says more");
    }
    let proof = log.inclusion(arguments.sequence, size)?;
    let entry = entries.get(arguments.sequence as usize).context("no such entry")?;
    let proof = Proof {
        origin: checkpoint::origin(&signer.federation, &job),
        entry: entry.line(),
        index: arguments.sequence,
        size,
        root,
        proof,
        checkpoint: note,
        key: checkpoint::coordinator_note_key(&signer.federation, &signer.key)?,
        certificate: signer.certificate.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    print(&format!("{}\n", serde_json::to_string_pretty(&proof)?))
}

/// Checks a proof.
pub fn check(arguments: CheckArguments, format: Format) -> anyhow::Result<()> {
    let path = arguments.proof.display();
    let proof: Proof = serde_json::from_str(&text(&arguments.proof)?).with_context(|| format!("{path} is no proof"))?;
    let entry: Entry = serde_json::from_str(&proof.entry).context("the entry in the proof is none")?;
    verify_inclusion(&proof.root, proof.size, proof.index, proof.entry.as_bytes(), &proof.proof)
        .context("the entry is not in the journal of this root: the proof was altered")?;
    let key = match (&arguments.key, &arguments.authority) {
        (Some(key), _) => key.clone(),
        (None, Some(authority)) => certified(&proof, &entry, certificate(authority)?)?,
        (None, None) => bail!("--key or --authority must say who may sign"),
    };
    let journal = proof.origin.rsplit_once('/').map(|(federation, _)| format!("{federation}/coordinator"));
    ensure!(
        journal.as_deref() == Some(key.name().as_str()),
        "the proof is of journal {}, which {} does not sign",
        proof.origin,
        key.name()
    );
    let note = match (&arguments.checkpoint, &proof.checkpoint) {
        (Some(path), _) => text(path)?,
        (None, Some(note)) => note.clone(),
        (None, None) => {
            bail!("nobody signed for this root: give a checkpoint of {} entries with --checkpoint", proof.size)
        }
    };
    let signed = SignedCheckpoint::parse(&note, &proof.origin, &key)
        .context("the checkpoint does not hold: it was altered, or somebody else signed it")?;
    ensure!(
        signed.checkpoint().head() == (proof.size, proof.root),
        "the proof is for {} entries with root {}, the checkpoint for {} with root {}: make the proof again, with \
         --checkpoint",
        proof.size,
        proof.root,
        signed.checkpoint().size(),
        signed.checkpoint().root()
    );
    let body = serde_json::from_str(&entry.body_json).context("the entry in the proof is none")?;
    let (kind, facts) = describe(&body);
    let (at, index) = (rfc3339(entry.at), proof.index);
    match format {
        Format::Json => print(&format!(
            "{}\n",
            serde_json::json!({"holds": true, "origin": proof.origin, "index": index, "size": proof.size, "event": kind,
                               "at": at, "signed_by": key})
        )),
        Format::Text => print(&format!(
            "entry {index} is in the journal {} of {} entries that {} signed:\n{at}  {kind}  {facts}\n",
            proof.origin,
            proof.size,
            key.name()
        )),
    }
}

/// The key that the authority certified for the coordinator when the entry was made.
fn certified(proof: &Proof, entry: &Entry, authority: Vec<u8>) -> anyhow::Result<NoteKey> {
    let digits = proof.certificate.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let certificate: Option<Vec<u8>> = digits.0.iter().map(byte).collect();
    let certificate = certificate.filter(|_| digits.1.is_empty()).context("the certificate in the proof is none")?;
    let member = Trust::new("", authority).member(&certificate, entry.at);
    let member = member.context("the certificate in the proof does not hold")?;
    ensure!(member.role == "coordinator", "the certificate in the proof is of a {}, not of a coordinator", member.role);
    let key = member.signing_key.context("the certificate in the proof binds no Ed25519 key")?;
    Ok(checkpoint::coordinator_note_key(&member.federation, &key)?)
}
