//! `haihe audit verify`: a journal against the rules, against what the coordinator signed, and against what the
//! participants noted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use comfy_table::{Cell, Color, ColumnConstraint, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_privacy::log::Log;
use haihe_protocol::{
    audit::{self, Breach, Finding, Signer, Sums},
    checkpoint::{self, TreeHead},
    id::JobId,
    journal::{Entry, Event, JournalError},
};
use serde::Serialize;

use super::{Source, bytes, certificate, participant, print, text};
use crate::Format;

/// Arguments of `haihe audit verify`.
#[derive(Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    source: Source,
    /// A checkpoint of this journal that somebody pinned, such as results/<job>/checkpoint.txt of a participant.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// A participant's state folder, its vault of the job, or its journal.jsonl.
    #[arg(long, value_name = "PATH")]
    participant: Vec<PathBuf>,
    /// Certificate of the federation's authority, PEM; without it, nobody knows whose keys the signatures are of.
    /// [default: ca.crt in --operator, if the journal is fetched]
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Folder with the opened sums, <round>/sum, as the coordinator keeps them in ciphertexts/<job>-sums: what follows
    /// from each sum is then computed again.
    #[arg(long, value_name = "DIR")]
    sums: Option<PathBuf>,
}

/// Width of the table where there is no terminal.
const PIPE_WIDTH: u16 = 110;

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Holds,
    /// For lack of something that the auditor may give.
    NotChecked,
    Fails,
}

/// One line of the result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) outcome: Outcome,
    /// One plain sentence.
    pub(super) said: String,
}

impl Check {
    pub(super) fn holds(check: impl Into<String>, said: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Holds, said: said.into() }
    }

    pub(super) fn open(check: impl Into<String>, said: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::NotChecked, said: said.into() }
    }

    pub(super) fn fails(check: impl Into<String>, said: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Fails, said: said.into() }
    }
}

/// A signed checkpoint that somebody holds.
pub(super) struct Pinned {
    /// Who, or which file.
    pub(super) from: String,
    pub(super) text: String,
}

/// Runs the subcommand.
pub async fn run(arguments: VerifyArguments, format: Format) -> anyhow::Result<()> {
    let entries = arguments.source.entries().await?;
    let fetched = arguments.source.operator.as_ref().filter(|_| !Path::new(&arguments.source.journal).exists());
    let fetched = fetched.map(|operator| operator.join("ca.crt"));
    let authority = arguments.authority.clone().or(fetched).map(|path| certificate(&path)).transpose()?;
    let mut pinned = Vec::new();
    for path in &arguments.checkpoint {
        pinned.push(Pinned { from: path.display().to_string(), text: text(path)? });
    }
    let mut checks = Vec::new();
    match &entries {
        Err(finding) => checks
            .push(Check::fails("lines", format!("{finding}. This copy was altered or damaged, or is no journal."))),
        Ok(entries) => {
            let job = job(entries).context("the first entry of the journal opens no job")?;
            let mut participants = Vec::new();
            for path in &arguments.participant {
                participants.push(participant::Records::open(path, &job)?);
            }
            pinned.extend(participants.iter_mut().filter_map(|p| p.pinned(entries)));
            let sums = arguments.sums.as_deref().map(sums).transpose()?.unwrap_or_default();
            let heads = Heads::of(entries, &job, authority.as_deref(), &pinned);
            checks.extend(journal(entries, authority.as_deref(), &sums, &heads));
            checks.extend(heads.checks());
            checks.extend(participants.iter().flat_map(|p| p.compare(entries, &heads.log)));
        }
    }
    report(&arguments.source.journal, entries.map_or(0, |e| e.len()), &checks, format)
}

fn report(journal: &str, entries: usize, checks: &[Check], format: Format) -> anyhow::Result<()> {
    let failed: Vec<&Check> = checks.iter().filter(|c| c.outcome == Outcome::Fails).collect();
    match format {
        Format::Json => print(&format!(
            "{}\n",
            serde_json::json!({"journal": journal, "entries": entries, "holds": failed.is_empty(), "checks": checks})
        ))?,
        Format::Text => {
            let mut table = Table::new();
            table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["check", "", "what was found"]);
            table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
            for check in checks {
                let (word, colour) = match check.outcome {
                    Outcome::Holds => ("holds", Color::Green),
                    Outcome::NotChecked => ("NOT CHECKED", Color::Yellow),
                    Outcome::Fails => ("FAILS", Color::Red),
                };
                table.add_row([Cell::new(&check.check), Cell::new(word).fg(colour), Cell::new(&check.said)]);
            }
            if let Some(words) = table.column_mut(1) {
                words.set_constraint(ColumnConstraint::ContentWidth);
            }
            if !table.is_tty() {
                table.set_width(PIPE_WIDTH);
            }
            print(&format!("{table}\n"))?;
        }
    }
    match failed.first() {
        None => Ok(()),
        Some(first) => {
            bail!("{} of {} checks failed; the first: {}: {}", failed.len(), checks.len(), first.check, first.said)
        }
    }
}

/// The job that a journal opens.
pub(super) fn job(entries: &[Entry]) -> Option<JobId> {
    match entries.first()?.event() {
        Ok(Event::JobOpened { job, .. }) => Some(job),
        _ => None,
    }
}

/// Reads `<round>/sum`, numbers of 64 bits, little-endian.
fn sums(folder: &Path) -> anyhow::Result<Sums> {
    let mut sums = Sums::new();
    let rounds = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in rounds {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let Some(round) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()) else { continue };
        let path = path.join("sum");
        let bytes = bytes(&path)?;
        let (values, rest) = bytes.as_chunks::<8>();
        ensure!(rest.is_empty(), "{} is no list of 64-bit numbers", path.display());
        sums.insert(round, values.iter().map(|value| u64::from_le_bytes(*value)).collect());
    }
    Ok(sums)
}

/// Who must have done it.
fn copy_or_author(signed: Option<&str>) -> String {
    match signed {
        Some(from) => format!(
            "The coordinator wrote it: it signed the checkpoint of {from}, which covers this entry as it stands here."
        ),
        None => {
            "The coordinator wrote it, or whoever had this copy since altered it: a pinned checkpoint or another copy \
                 tells which."
                .to_owned()
        }
    }
}

fn list(rounds: &[u64]) -> String {
    rounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The journal against the rules.
fn journal(entries: &[Entry], authority: Option<&[u8]>, sums: &Sums, heads: &Heads) -> Vec<Check> {
    let audit = match audit::verify(entries, authority, sums) {
        Ok(audit) => audit,
        Err(finding) => return vec![Check::fails("entries", broken(&finding, heads))],
    };
    let mut checks = vec![Check::holds(
        "entries",
        format!(
            "{}: chained, in order, and each what the rules lead to; the job is {}",
            entries.len(),
            audit.job.phase_name()
        ),
    )];
    let count = |kinds: &[&str]| kinds.iter().filter_map(|kind| audit.entries.get(kind)).sum::<u64>();
    let signed = count(&["joined", "declined", "confirmed", "contribution_accepted", "answered", "objected"]);
    checks.push(Check::holds(
        "signatures",
        format!("{signed} messages of participants are signed by the keys in their certificates"),
    ));
    checks.push(if audit.certified {
        Check::holds("certificates", "each was issued by the authority, for the party that used it")
    } else {
        Check::open(
            "certificates",
            "WHOSE KEYS THESE ARE IS NOT CHECKED: give the federation's ca.crt with --authority",
        )
    });
    let (rounds, heads) = (audit.heads.len(), count(&["contribution_accepted"]));
    checks.push(Check::holds(
        "history",
        format!("{heads} contributions to {rounds} rounds sign this very journal up to their round"),
    ));
    if !audit.recomputed.is_empty() {
        checks.push(Check::holds(
            "sums",
            format!("what follows from the sums of rounds {} was computed again", list(&audit.recomputed)),
        ));
    }
    if !audit.unseen.is_empty() {
        let rounds = list(&audit.unseen);
        checks.push(Check::open("sums", format!("what follows from the sums of rounds {rounds} is not computed again: they are not in the journal; give them with --sums")));
    }
    checks
}

fn broken(finding: &Finding, heads: &Heads) -> String {
    match *finding.breach {
        Breach::OtherSum { .. } => {
            return format!(
                "{finding}. Either the sum in --sums was altered, or the coordinator recorded another one."
            );
        }
        // No coordinator writes this: it would not be able to read it itself.
        Breach::Journal(JournalError::Altered { .. } | JournalError::Gap { .. }) => {
            return format!("{finding}. This copy was altered or damaged by whoever had it.");
        }
        _ => {}
    }
    let covering = heads.matching.iter().find(|(size, _)| *size > finding.sequence);
    format!("{finding}. {}", copy_or_author(covering.map(|(_, from)| from.as_str())))
}

/// The checkpoints against the journal.
pub(super) struct Heads {
    pub(super) log: Log,
    /// Each with what was found.
    judged: Vec<(String, Judged)>,
    /// Sizes of those that this journal has, and who holds them.
    matching: Vec<(u64, String)>,
}

enum Judged {
    /// No roster names who could have signed.
    NoSigner,
    NotSigned(String),
    Signed(TreeHead),
}

impl Heads {
    fn of(entries: &[Entry], job: &JobId, authority: Option<&[u8]>, pinned: &[Pinned]) -> Self {
        let log = super::log(entries);
        let signer = audit::signer(entries, authority);
        let judge = |p: &Pinned| match &signer {
            None => Judged::NoSigner,
            Some(Signer { federation, key, .. }) => match checkpoint::verify(&p.text, federation, job, key) {
                Ok(head) => Judged::Signed(head),
                Err(error) => Judged::NotSigned(error.to_string()),
            },
        };
        let judged: Vec<(String, Judged)> = pinned.iter().map(|p| (p.from.clone(), judge(p))).collect();
        let matches = |head: &TreeHead| log.root_at(head.size) == Ok(head.root);
        let matching = judged.iter().filter_map(|(from, judged)| match judged {
            Judged::Signed(head) if matches(head) => Some((head.size, from.clone())),
            _ => None,
        });
        Self { matching: matching.collect(), judged, log }
    }

    fn checks(&self) -> Vec<Check> {
        let check = |(from, judged): &(String, Judged)| self.check(format!("checkpoint of {from}"), judged);
        let mut checks: Vec<Check> = self.judged.iter().map(check).collect();
        let heads: Vec<(&String, &TreeHead)> = self
            .judged
            .iter()
            .filter_map(|(from, judged)| match judged {
                Judged::Signed(head) => Some((from, head)),
                _ => None,
            })
            .collect();
        for (i, (a, first)) in heads.iter().enumerate() {
            for (b, second) in heads[..i].iter().filter(|(_, s)| s.size == first.size && s.root != first.root) {
                let said = format!(
                    "the coordinator signed two journals of {} entries, one for {b} (root {}) and one for {a} (root {}): \
                     it showed two histories, and the two signatures prove it",
                    first.size, second.root, first.root
                );
                checks.push(Check::fails("one history", said));
            }
        }
        checks
    }

    fn check(&self, check: String, judged: &Judged) -> Check {
        let held = self.log.size();
        match judged {
            Judged::NoSigner => Check::fails(
                check,
                "no roster in the journal names a coordinator whose certificate holds, so nobody can have signed this",
            ),
            Judged::NotSigned(why) => Check::fails(
                check,
                format!(
                    "it is not signed by the coordinator of this journal's roster for this job ({why}): it was altered or is of another job, or the roster was exchanged"
                ),
            ),
            Judged::Signed(head) if head.size > held => Check::fails(
                check,
                format!(
                    "the coordinator signed a journal of {} entries and this one ends after {held}: its last {} are withheld by whoever gave it",
                    head.size,
                    head.size - held
                ),
            ),
            Judged::Signed(head) if self.log.root_at(head.size) == Ok(head.root) => Check::holds(
                check,
                format!("the coordinator signed the first {} of these {held} entries as they stand", head.size),
            ),
            Judged::Signed(head) => {
                let (from, to) = (self.last_match(head.size), head.size - 1);
                Check::fails(
                    check,
                    format!(
                        "entries {from} to {to} are not all those that the coordinator signed: it rewrote its journal after it had signed, or whoever gave this copy altered it"
                    ),
                )
            }
        }
    }

    /// The largest size below `size` up to which the journal is what was signed.
    pub(super) fn last_match(&self, size: u64) -> u64 {
        self.matching.iter().map(|(size, _)| *size).filter(|s| *s < size).max().unwrap_or(0)
    }
}
