//! What a participant noted of a job, against the coordinator's journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use haihe_participant::member::Note;
use haihe_privacy::{digest::Digest, log::Log};
use haihe_protocol::{
    id::{JobId, PartyId},
    journal::{self, Entry, Event},
    message::Contribution,
};

use super::{
    bytes, text,
    verify::{Check, Pinned},
};

const JOURNAL: &str = "journal.jsonl";

/// What a participant has on its disk about a job.
pub(super) struct Records {
    /// The party, once it is known; else the path.
    name: String,
    party: Option<PartyId>,
    entries: Vec<Entry>,
    /// The last checkpoint that it pinned.
    head: Option<String>,
}

/// The journal in a state folder or vault, or the file itself.
fn locate(path: &Path, job: &JobId) -> PathBuf {
    let job = job.to_string();
    let inside = [path.join(JOURNAL), path.join(&job).join(JOURNAL), path.join("vault").join(&job).join(JOURNAL)];
    if path.is_dir() {
        inside.into_iter().find(|p| p.is_file()).unwrap_or_else(|| path.join(JOURNAL))
    } else {
        path.into()
    }
}

impl Records {
    /// Reads them. Of the vault's other records only the party's name and the pinned checkpoint are looked at.
    pub(super) fn open(path: &Path, job: &JobId) -> anyhow::Result<Self> {
        let file = locate(path, job);
        let bytes = bytes(&file)?;
        // A line without its end was being written when the participant was stopped: it was never relied on.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate();
        let entry = |(i, line): (usize, &[u8])| {
            serde_json::from_slice::<Entry>(line)
                .with_context(|| format!("{} line {}: not a journal entry", file.display(), i + 1))
        };
        let entries = lines.map(entry).collect::<anyhow::Result<Vec<Entry>>>()?;
        let beside = |name: &str, pointer: &str| {
            let record: serde_json::Value = serde_json::from_str(&text(&file.with_file_name(name)).ok()?).ok()?;
            record.pointer(pointer)?.as_str().map(str::to_owned)
        };
        let party = beside("job.json", "/join/party").and_then(|name| PartyId::new(name).ok());
        let name = party.as_ref().map_or_else(|| path.display().to_string(), ToString::to_string);
        Ok(Self { name, party, entries, head: beside("journal-head.json", "/note") })
    }

    /// Finds out whose records these are if need be, and gives the checkpoint among them.
    pub(super) fn pinned(&mut self, coordinator: &[Entry]) -> Option<Pinned> {
        if self.party.is_none() {
            let noted = self.entries.iter().find_map(|e| match e.event() {
                Ok(Note::Contributed { commitment, .. }) => Some(commitment),
                _ => None,
            });
            let facts = Facts::of(coordinator);
            self.party = facts.accepted.iter().find(|(_, c)| Some(c.commitment) == noted).map(|((p, _), _)| p.clone());
            if let Some(party) = &self.party {
                self.name = party.to_string();
            }
        }
        self.head.take().map(|text| Pinned { from: self.name.clone(), text })
    }

    /// Every note against the journal.
    pub(super) fn compare(&self, coordinator: &[Entry], log: &Log) -> Vec<Check> {
        let check = format!("journal of {}", self.name);
        if let Err(error) = journal::verify(&self.entries) {
            let said = format!(
                "{error}: {} altered its own journal, or its disk did; it says nothing against anybody else",
                self.name
            );
            return vec![Check::fails(check, said)];
        }
        let facts = Facts::of(coordinator);
        let mut comparison = Comparison {
            of: self,
            facts: &facts,
            log,
            agreed: BTreeMap::new(),
            pinned: 0,
            found: Vec::new(),
            noted: BTreeSet::new(),
        };
        for entry in &self.entries {
            match entry.event() {
                Ok(note) => comparison.note(&note),
                Err(error) => comparison.fail(format!("{error}; is this a participant's journal?")),
            }
        }
        comparison.converse();
        let Comparison { agreed, found, .. } = comparison;
        let mut checks: Vec<Check> = found
            .into_iter()
            .map(|(fails, said)| if fails { Check::fails(&check, said) } else { Check::open(&check, said) })
            .collect();
        let agreed: Vec<String> = agreed.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if checks.is_empty() && !agreed.is_empty() {
            checks.push(Check::holds(&check, format!("it agrees: {}", agreed.join(", "))));
        } else if checks.is_empty() {
            checks.push(Check::open(&check, "it has nothing to compare"));
        }
        checks
    }
}

/// What the coordinator's journal says, as far as it can be read.
#[derive(Default)]
struct Facts {
    job: Option<JobId>,
    rosters: BTreeMap<Digest, Vec<PartyId>>,
    questions: BTreeMap<u64, Digest>,
    accepted: BTreeMap<(PartyId, u64), Contribution>,
    asked: BTreeMap<u64, (Digest, Vec<PartyId>)>,
    answered: BTreeSet<(PartyId, u64)>,
    opened: BTreeMap<u64, Digest>,
    objected: BTreeSet<(PartyId, u64)>,
    parcels: BTreeMap<(PartyId, u64), Digest>,
}

impl Facts {
    fn of(entries: &[Entry]) -> Self {
        let mut facts = Self::default();
        for event in entries.iter().filter_map(|e| e.event().ok()) {
            match event {
                Event::JobOpened { job, .. } => facts.job = Some(job),
                Event::RosterProposed { roster } => {
                    let parties = roster.entries.iter().map(|e| e.party.clone()).collect();
                    facts.rosters.insert(roster.digest(), parties);
                }
                Event::RoundOpened { spec } => {
                    facts.questions.insert(spec.round, spec.digest());
                }
                Event::ContributionAccepted { contribution: c, .. } => {
                    facts.accepted.insert((c.party.clone(), c.round), c);
                }
                Event::ContributionsClosed { round, digest, survivors, .. } => {
                    facts.asked.insert(round, (digest, survivors));
                }
                Event::Answered { answer } => {
                    facts.answered.insert((answer.party, answer.round));
                }
                Event::SumOpened { round, transcript, .. } => {
                    facts.opened.insert(round, transcript);
                }
                Event::ParcelAccepted { parcel, .. } => {
                    facts.parcels.insert((parcel.party.clone(), parcel.round), parcel.digest());
                }
                Event::ExchangeClosed { round, transcript } => {
                    facts.opened.insert(round, transcript);
                }
                Event::Objected { objection } => {
                    facts.objected.insert((objection.party, objection.round));
                }
                _ => {}
            }
        }
        facts
    }
}

struct Comparison<'a> {
    of: &'a Records,
    facts: &'a Facts,
    log: &'a Log,
    agreed: BTreeMap<&'static str, u64>,
    /// Largest size of the journal that was pinned and agrees.
    pinned: u64,
    /// Whether it fails, and one sentence.
    found: Vec<(bool, String)>,
    /// Kind and round of what the participant noted that it said.
    noted: BTreeSet<(&'static str, u64)>,
}

impl Comparison<'_> {
    fn fail(&mut self, said: String) {
        self.found.push((true, said));
    }

    fn judge(&mut self, what: &'static str, agrees: bool, said: impl FnOnce() -> String) {
        if agrees { *self.agreed.entry(what).or_default() += 1 } else { self.found.push((true, said())) }
    }

    fn note(&mut self, note: &Note) {
        let (name, facts) = (&self.of.name, self.facts);
        match note {
            Note::Joined { job, .. } | Note::Declined { job, .. } => self.judge("job", facts.job == Some(*job), || {
                format!("{name} noted job {job}: this is the journal of another job")
            }),
            Note::Confirmed { session, parties } => {
                self.judge("rosters", facts.rosters.get(session) == Some(parties), || {
                    format!("the coordinator had {name} sign roster {session}, which is not in its journal")
                });
            }
            Note::Contributed { round, spec, commitment, .. } => self.contributed(*round, spec, commitment),
            Note::Answered { round, survivors, .. } => {
                self.noted.insert(("answer", *round));
                let asked = facts.asked.get(round).map(|(digest, _)| digest);
                self.judge("answers", asked == Some(survivors), || {
                    format!(
                        "round {round}: {name} answered for survivor set {survivors}, which is not the one in the journal: the \
                         coordinator asked for two sets, or hides one"
                    )
                });
            }
            Note::Witnessed { round, parties, transcript } => {
                let contributors = facts.asked.get(round).map(|(_, survivors)| survivors);
                let same = facts.opened.get(round) == Some(transcript) && contributors == Some(parties);
                self.judge("sums", same, || {
                    format!("round {round}: the coordinator showed {name} another sum, or another history, than its journal has")
                });
            }
            Note::Exchanged { round, parcel, .. } => {
                let accepted = self.of.party.as_ref().and_then(|p| facts.parcels.get(&(p.clone(), *round)));
                // One that was on its way when the job ended is not in the journal.
                if let Some(accepted) = accepted {
                    self.judge("parcels", accepted == parcel, || {
                        format!("exchange {round}: the journal has another parcel than the one that {name} noted")
                    });
                }
            }
            // The coordinator hears nothing of the ledger.
            Note::Spent { .. } => {}
            Note::Pinned { size, root } => {
                let agrees = self.log.root_at(*size) == Ok(*root);
                let (from, held) = (self.pinned, self.log.size());
                if agrees {
                    self.pinned = from.max(*size);
                }
                self.judge("heads", agrees, || match held {
                    held if *size > held => format!(
                        "{name} pinned a journal of {size} entries and this one ends after {held}: the last {} are withheld",
                        size - held
                    ),
                    _ => format!("{name} pinned other entries than these: at least one of {from} to {} was exchanged", size - 1),
                });
            }
            Note::Objected { round, reason, .. } => {
                let recorded = self.of.party.as_ref().is_some_and(|p| facts.objected.contains(&(p.clone(), *round)));
                if recorded {
                    self.judge("objections", true, String::new);
                } else {
                    let said = format!(
                        "round {round}: {name} objected ({reason}); the journal does not have it: it did not arrive in time, or the \
                         coordinator left it out"
                    );
                    self.found.push((false, said));
                }
            }
            Note::Closed { transcript: Some(transcript), .. } => {
                let last = facts.opened.values().next_back();
                self.judge("end", last == Some(transcript), || {
                    format!("the coordinator gave {name} a result at the end of another history than the journal's")
                });
            }
            Note::Closed { .. } => {}
        }
    }

    fn contributed(&mut self, round: u64, spec: &Digest, commitment: &Digest) {
        let (name, facts) = (&self.of.name, self.facts);
        self.noted.insert(("contribution", round));
        let accepted = self.of.party.as_ref().and_then(|p| facts.accepted.get(&(p.clone(), round)));
        let asked = facts.questions.get(&round);
        self.judge("questions", asked == Some(spec), || match (asked, accepted) {
            (None, _) => {
                format!("round {round}: the coordinator asked {name} something, and its journal has no such round")
            }
            (Some(_), Some(signed)) if signed.spec != *spec => {
                format!("round {round}: {name} signed another question than it noted: it altered its own journal")
            }
            _ => format!("round {round}: the coordinator asked {name} another question than its journal has"),
        });
        if let Some(signed) = accepted {
            self.judge("contributions", signed.commitment == *commitment, || {
                format!("round {round}: {name} signed another ciphertext than it noted: it altered its own journal, or contributed twice")
            });
        }
    }

    /// What the journal has of this party, the party must have noted: it does so before it says anything.
    fn converse(&mut self) {
        let Some(party) = &self.of.party else { return };
        let said = self.facts.accepted.keys().map(|key| ("contribution", key));
        let said = said.chain(self.facts.answered.iter().map(|key| ("answer", key)));
        let missing = said.filter(|(what, (who, round))| who == party && !self.noted.contains(&(*what, *round)));
        let missing: Vec<String> = missing
            .map(|(what, (who, round))| {
                format!(
                    "round {round}: the journal has a signed {what} of {who} that {who} did not note: its own journal was cut or \
                     restored from a backup, or somebody else has its key"
                )
            })
            .collect();
        missing.into_iter().for_each(|said| self.fail(said));
    }
}
