//! An audit of a whole journal, by whoever holds it: without network, clock or secret.
//!
//! A journal whose chain of digests holds was not changed by accident. It may still have been written anew from some entry
//! on, by whoever can compute a digest. [`verify`] therefore replays the job step by step and asks of each entry whether
//! the coordinator could have decided it then ([`Job::admits`]): every signature, every deadline, every digest that follows
//! from other entries. The contributions' signatures cover the journal's Merkle root at the beginning of their round, so
//! that nobody but all contributors together can exchange what came before.
//!
//! What this cannot see: a sum that was never shown ([`Sums`]), why a sum could not be opened, who submitted or cancelled a
//! job, and whether the last entries are missing. Pinned checkpoints show the last.

use std::collections::BTreeMap;

use haihe_privacy::{
    digest::Digest,
    identity::read_unverified_certificate,
    log::{Log, RootHash},
    sign::VerifyingKey,
};

use crate::{
    checkpoint::TreeHead,
    error::Violation,
    id::{JobId, PartyId, Timestamp},
    journal::{Entry, Event, JournalError},
    roster::Trust,
    state::{Beside, Job, Refusal, admits_result},
};

/// Opened sums, by round: those that the auditor was shown. The journal has their digests only.
pub type Sums = BTreeMap<u64, Vec<u64>>;

/// A journal in which everything holds that can be checked.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where the job stands.
    pub job: Job,
    /// The journal as a Merkle log: roots and proofs of every size that it had.
    pub log: Log,
    /// Head of the journal at the beginning of each round.
    pub heads: BTreeMap<u64, TreeHead>,
    /// How many entries of each kind hold.
    pub entries: BTreeMap<&'static str, u64>,
    /// Certificates were verified against the authority's; else they were taken at their word.
    pub certified: bool,
    /// Rounds whose sum was shown: digest, what came of it, and the result follow from it.
    pub recomputed: Vec<u64>,
    /// Rounds whose sum was not.
    pub unseen: Vec<u64>,
}

/// The first entry that does not hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("journal entry {sequence} ({kind}) does not hold: {breach}")]
pub struct Finding {
    /// Its number.
    pub sequence: u64,
    /// Its event, as the journal names it.
    pub kind: String,
    /// Which rule it breaks.
    pub breach: Box<Breach>,
}

/// Why an entry does not hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Breach {
    /// Number or digest does not follow from the entries before, or the body is no event.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// There is another way to write the same, so that two texts would mean one.
    #[error("it is not written as this event is written")]
    Form,
    /// A line that is no entry.
    #[error("it is not an entry: {detail}")]
    NotAnEntry {
        /// What is wrong.
        detail: String,
    },
    /// Recorded before what stands before it.
    #[error("it was recorded at {} ms, before the entry that it follows, at {} ms", at.0, before.0)]
    Time {
        /// Time of the entry.
        at: Timestamp,
        /// Time of the entry before.
        before: Timestamp,
    },
    /// The message in it does not hold.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The job did not take such a message then.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Nothing led to it.
    #[error("the job was {phase}, and what was known then led to {}", instead.unwrap_or("nothing"))]
    Undecided {
        /// State of the job.
        phase: &'static str,
        /// What it led to.
        instead: Option<&'static str>,
    },
    /// It had to happen, with other contents.
    #[error("{field} must be {expected}, the journal has {found}")]
    Differs {
        /// Path in the event.
        field: String,
        /// What follows from the entries before; cut.
        expected: String,
        /// What the journal has; cut.
        found: String,
    },
    /// A contributor signed another journal than this one.
    #[error(
        "{party} signed that the journal had another root when round {round} began: at least one of the entries {from} to \
         {to} is not the one that stood there"
    )]
    History {
        /// Who signed.
        party: PartyId,
        /// Round.
        round: u64,
        /// First entry that may be another.
        from: u64,
        /// Last one.
        to: u64,
    },
    /// A correction of an answer that nobody gave.
    #[error("it corrects an answer of {party}, who gave none")]
    WrongAnswer {
        /// Who.
        party: PartyId,
    },
    /// The sum that was shown to the auditor is another one.
    #[error("the sum that was shown for round {round} has the digest {shown}, not the one that stands here")]
    OtherSum {
        /// Round.
        round: u64,
        /// Digest of the sum shown.
        shown: Digest,
    },
    /// The last sum without the result.
    #[error("the plan was complete: the result must stand here, recorded together with the last sum")]
    Unfinished,
}

impl Breach {
    /// Names the first field in which two events of one kind differ.
    pub(crate) fn differs(expected: &Event, found: &Event) -> Self {
        let value = |event: &Event| serde_json::to_value(event).unwrap_or_default();
        let (field, expected, found) = difference(&value(expected), &value(found));
        Breach::Differs { field: field.trim_start_matches('.').to_owned(), expected, found }
    }
}

fn difference(expected: &serde_json::Value, found: &serde_json::Value) -> (String, String, String) {
    use serde_json::Value;
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            if let Some((key, x)) = a.iter().find(|(key, x)| b.get(*key) != Some(x)) {
                let (path, expected, found) = difference(x, &b[key]);
                return (format!(".{key}{path}"), expected, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            if let Some(i) = (0..a.len()).find(|i| a[*i] != b[*i]) {
                let (path, expected, found) = difference(&a[i], &b[i]);
                return (format!("[{i}]{path}"), expected, found);
            }
        }
        _ => {}
    }
    let short = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() <= 100 { text } else { text.chars().take(100).chain(['…']).collect() }
    };
    (String::new(), short(expected), short(found))
}

/// Who signs the checkpoints of a journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Signer {
    /// Name of the federation.
    pub federation: String,
    /// The coordinator's key.
    pub key: VerifyingKey,
    /// The certificate that binds it, DER.
    pub certificate: Vec<u8>,
}

/// The coordinator that the last roster of a journal names; `None` if there is no roster, or its certificate does not hold.
pub fn signer(entries: &[Entry], authority: Option<&[u8]>) -> Option<Signer> {
    let roster = entries.iter().rev().find_map(|entry| match entry.event() {
        Ok(Event::RosterProposed { roster }) => Some((entry.at, roster)),
        _ => None,
    });
    let (at, roster) = roster?;
    let certificate = roster.coordinator_certificate;
    let trust = trust(read_unverified_certificate(&certificate).ok()?.federation, authority);
    let key = trust.coordinator_key(&certificate, at).ok()?;
    Some(Signer { federation: trust.federation().to_owned(), key, certificate })
}

/// Reads `journal.jsonl`. Every line must be written as [`Entry::line`] writes it: lines are the leaves of the log.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, Finding> {
    let mut entries = Vec::new();
    let whole = bytes.strip_suffix(b"\n");
    let lines = whole.unwrap_or(bytes).split(|b| *b == b'\n').filter(|_| !bytes.is_empty());
    for (sequence, line) in (0..).zip(lines) {
        let finding = |breach| Finding { sequence, kind: "line".to_owned(), breach: Box::new(breach) };
        let entry: Entry =
            serde_json::from_slice(line).map_err(|e| finding(Breach::NotAnEntry { detail: e.to_string() }))?;
        if entry.line().as_bytes() != line {
            return Err(finding(Breach::Form));
        }
        entries.push(entry);
    }
    match (entries.last(), whole) {
        (None, _) => Err(Finding { sequence: 0, kind: "line".to_owned(), breach: no_opening() }),
        (Some(last), None) => {
            let detail = "the line has no end".to_owned();
            Err(Finding {
                sequence: last.sequence,
                kind: "line".to_owned(),
                breach: Box::new(Breach::NotAnEntry { detail }),
            })
        }
        _ => Ok(entries),
    }
}

/// Replays a journal and checks every entry, in order; names the first that does not hold.
///
/// Without the certificate of the federation's `authority` (DER), certificates are taken at their word: signatures then
/// show that one key signed, not whose key it is.
pub fn verify(entries: &[Entry], authority: Option<&[u8]>, sums: &Sums) -> Result<Audit, Finding> {
    let (first, rest) =
        entries.split_first().ok_or_else(|| Finding { sequence: 0, kind: "none".to_owned(), breach: no_opening() })?;
    let mut auditor = open(first, trust(named_federation(entries), authority), sums).map_err(|b| found(first, b))?;
    auditor.audit.certified = authority.is_some();
    for entry in rest {
        auditor.take(entry).map_err(|breach| found(entry, breach))?;
    }
    if auditor.due != Due::Nothing {
        let sequence = entries.len() as u64;
        return Err(Finding { sequence, kind: "missing".to_owned(), breach: Box::new(Breach::Unfinished) });
    }
    Ok(auditor.audit)
}

fn no_opening() -> Box<Breach> {
    Box::new(JournalError::NoOpening.into())
}

fn trust(federation: String, authority: Option<&[u8]>) -> Trust {
    match authority {
        Some(certificate) => Trust::new(federation, certificate.to_vec()),
        None => Trust::in_nobody(federation),
    }
}

/// The federation that the first certificate in the journal names; every other must name the same.
fn named_federation(entries: &[Entry]) -> String {
    let certificates = entries.iter().filter_map(|entry| match entry.event() {
        Ok(Event::Joined { join }) => Some(join.signing_certificate),
        Ok(Event::Declined { decline }) => Some(decline.signing_certificate),
        _ => None,
    });
    let mut named = certificates.filter_map(|c| read_unverified_certificate(&c).ok());
    named.next().map(|member| member.federation).unwrap_or_default()
}

fn found(entry: &Entry, breach: Breach) -> Finding {
    let kind = entry.event::<Event>().map_or("unreadable", |event| event.kind());
    Finding { sequence: entry.sequence, kind: kind.to_owned(), breach: Box::new(breach) }
}

/// What the entry before asks of the next one: both are one decision.
#[derive(Debug, PartialEq)]
enum Due {
    Nothing,
    /// This very event.
    Event(Box<Event>),
    /// Some result: the sum that it follows from was not shown.
    Result,
}

struct Auditor<'a> {
    audit: Audit,
    sums: &'a Sums,
    tip: Digest,
    last: Timestamp,
    due: Due,
    round_head: TreeHead,
    /// Size of the last head that a contributor's signature covers.
    signed: u64,
}

/// Number, chain, and the one way to write it.
fn readable(entry: &Entry, tip: &Digest, sequence: u64) -> Result<Event, Breach> {
    entry.follows(tip, sequence)?;
    let event: Event = entry.event()?;
    match serde_json::to_string(&event) {
        Ok(body) if body == entry.body_json => Ok(event),
        _ => Err(Breach::Form),
    }
}

fn open<'a>(first: &Entry, trust: Trust, sums: &'a Sums) -> Result<Auditor<'a>, Breach> {
    let event = readable(first, &Entry::genesis(), 0)?;
    let job = Job::begin(first, trust, Vec::new())?;
    let head = job.head();
    let expected = Job::open(&head.spec, &head.toml, &head.by, first.at);
    if expected != event {
        return Err(Breach::differs(&expected, &event));
    }
    let mut log = Log::new();
    log.append(first.line().as_bytes());
    let audit = Audit {
        job,
        log,
        heads: BTreeMap::new(),
        entries: [(event.kind(), 1)].into(),
        certified: false,
        recomputed: Vec::new(),
        unseen: Vec::new(),
    };
    let round_head = TreeHead { size: 0, root: RootHash::empty() };
    Ok(Auditor { audit, sums, tip: first.digest, last: first.at, due: Due::Nothing, round_head, signed: 0 })
}

impl Auditor<'_> {
    fn take(&mut self, entry: &Entry) -> Result<(), Breach> {
        let event = readable(entry, &self.tip, self.audit.log.size())?;
        if entry.at < self.last {
            return Err(Breach::Time { at: entry.at, before: self.last });
        }
        self.due = self.check(entry.at, &event)?;
        self.audit.log.append(entry.line().as_bytes());
        (self.tip, self.last) = (entry.digest, entry.at);
        *self.audit.entries.entry(event.kind()).or_default() += 1;
        self.note(&event);
        self.audit.job.apply(entry.at, event);
        Ok(())
    }

    fn check(&mut self, at: Timestamp, event: &Event) -> Result<Due, Breach> {
        match &self.due {
            Due::Nothing => {}
            _ if at != self.last => return Err(Breach::Unfinished),
            Due::Result => return admits_result(event).map(|()| Due::Nothing),
            Due::Event(expected) if **expected == *event => return Ok(Due::Nothing),
            Due::Event(expected) if expected.kind() == event.kind() => return Err(Breach::differs(expected, event)),
            Due::Event(_) => return Err(Breach::Unfinished),
        }
        if let Event::RosterProposed { roster } = event {
            self.audit.job.expect_coordinator(&roster.coordinator_certificate);
        }
        let sum = self.sums.get(&self.audit.job.round()).map(Vec::as_slice);
        let follows = self.audit.job.admits(at, event, &Beside { round_head: &self.round_head, sum });
        let mut follows = follows.map_err(|breach| self.named(breach))?;
        Ok(match (follows.pop(), event) {
            (Some(next), _) => Due::Event(Box::new(next)),
            (None, Event::SumOpened { plan: None, .. }) => Due::Result,
            _ => Due::Nothing,
        })
    }

    /// A head that does not match says more than that: which entries may have been exchanged.
    fn named(&self, breach: Breach) -> Breach {
        match breach {
            Breach::Violation(Violation::PinnedJournal { party }) if self.signed < self.round_head.size => {
                let round = self.audit.job.round();
                Breach::History { party, round, from: self.signed, to: self.round_head.size.saturating_sub(1) }
            }
            other => other,
        }
    }

    /// A round's head covers everything up to the entry that opens it.
    fn begins(&mut self, round: u64) {
        self.round_head = TreeHead { size: self.audit.log.size(), root: self.audit.log.root() };
        self.audit.heads.insert(round, self.round_head);
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::RoundOpened { spec } => self.begins(spec.round),
            Event::ExchangeOpened { round, .. } => self.begins(*round),
            Event::ContributionAccepted { .. } | Event::ParcelAccepted { .. } => self.signed = self.round_head.size,
            Event::SumOpened { round, .. } if self.sums.contains_key(round) => self.audit.recomputed.push(*round),
            Event::SumOpened { round, .. } => self.audit.unseen.push(*round),
            _ => {}
        }
    }
}

impl Audit {
    /// Which job.
    pub fn id(&self) -> JobId {
        self.job.head().job
    }
}
