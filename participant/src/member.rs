//! A participant's side of a job, step by step, without network or clock.
//!
//! Every step first looks into the vault: if it was taken before, the very same answer is given again, so that asking
//! twice, or restarting, never makes a participant say two different things.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use haihe_models::table::Table;
use haihe_privacy::{
    digest::Digest,
    dp::Budget,
    seal::SealingKey,
    secure_sum::{CheckKey, Scheme},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    check::SealedCheckKey,
    checkpoint::TreeHead,
    contribution::{self, ContributeError, Prepared, Vector},
    error::Violation,
    horizontal::{Layout, PlanError, Rows, Task, network::EncodedRows},
    id::{JobId, PartyId, Timestamp},
    job::{JobProblem, JobSpec},
    journal::{self, Entry, JournalError},
    message::{Answer, RoundSpec, SurvivorSet, Verified, share_digest},
    roster::{Confirmation, Decline, Join, Roster, Session, Trust},
    share_keys::ShareKeys,
    vertical::sealing::SealingError,
    witness::Witness,
};
use serde::{Deserialize, Serialize};

use crate::vault::Vault;

mod alignments;
mod budget;
mod exchange;
mod history;
mod memory;
mod note;
mod shown;

pub use alignments::{aligned_lately, most_aligned};
pub use budget::{BudgetError, affordable, ledger as privacy_ledger};
pub use exchange::{Due, ReceivedLetter, Taking};
use history::AnswerRecord;
pub use note::Note;
pub use shown::{Shown, shown, shown_to};

/// Who this participant is.
pub struct Identity {
    /// Its name.
    pub party: PartyId,
    /// What it trusts.
    pub trust: Trust,
    /// Its signing certificate, DER.
    pub certificate: Vec<u8>,
    /// Its signing key.
    pub key: SigningKey,
    /// What its policy allows to be spent of each firm's privacy, in all jobs together.
    pub budget: Option<Budget>,
}

/// Why a step was not taken. Nothing was said to anybody.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The coordinator, or another party through it, broke a rule.
    #[error("refused: {0}")]
    Violation(#[from] Violation),
    /// The job file is not one.
    #[error("the coordinator offered an invalid job: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Job(Vec<JobProblem>),
    /// The job's id does not fit its file.
    #[error("the coordinator offered a job whose id does not follow from its file")]
    JobId,
    /// This participant never joined the job.
    #[error(
        "this participant has no record of job {0}; its vault may have been moved or cleared. It cannot go on in \
             this job: cancel the job and submit it again"
    )]
    Unknown(String),
    /// The job is over for this participant.
    #[error("the job is over for this participant; whatever is asked after its end is refused")]
    Closed,
    /// The task cannot be performed on the data.
    #[error("the task cannot be performed: {0}")]
    Task(#[from] PlanError),
    /// The vector cannot be contributed.
    #[error(transparent)]
    Contribute(#[from] ContributeError<io::Error>),
    /// A letter cannot be sealed.
    #[error("the parcel cannot be sealed: {0}")]
    Sealing(SealingError),
    /// The model that the job names is not there.
    #[error("the job builds on the model of job {model}, which cannot be used here: {detail}")]
    Model {
        /// As the job names it.
        model: String,
        /// What is wrong.
        detail: String,
    },
    /// Too many alignments with one peer.
    #[error(
        "this participant aligned its firms with {peer} {count} times in the last 24 hours; its policy ([alignment] \
         per_peer_per_day) allows no more"
    )]
    Alignments {
        /// With whom.
        peer: PartyId,
        /// How often.
        count: u64,
    },
    /// One label holder has seen enough.
    #[error(
        "{label_holder} has seen {shown} score vectors of this participant's columns, over all jobs; its policy ([alignment] \
         score_vectors_per_peer) allows no more: raise it there, or take no part in such jobs"
    )]
    ScoreVectors {
        /// Who has seen them.
        label_holder: PartyId,
        /// How many.
        shown: u64,
    },
    /// Nothing more is spent of the firms' privacy.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The vault failed: ours to repair.
    #[error("the vault failed: {0}; check the disk and the permissions of the state folder")]
    Vault(#[from] io::Error),
    /// A record in the vault is damaged: ours to repair.
    #[error("the record {name} in the vault is damaged: {detail}; restore the vault, or leave the job")]
    Record {
        /// Record.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// The participant's own journal is damaged.
    #[error("this participant's own journal is damaged: {0}")]
    Journal(#[from] JournalError),
}

/// Secrets and public facts of one job; lives in the vault only.
#[derive(Serialize, Deserialize)]
struct JobRecord {
    toml: String,
    opened: Timestamp,
    by: String,
    rows: u64,
    /// Forgotten when the job is over.
    sealing_key: Option<String>,
    beacon_nonce: [u8; 32],
    /// Makes the session's check key, if this party is the one to make it; in a vertical job, everything that is drawn at
    /// random. Forgotten when the job is over.
    check_secret: [u8; 32],
    join: Join,
}

/// What was contributed to one round; written, with the sealed shares behind it, before anything is sent.
#[derive(Serialize, Deserialize)]
struct RoundRecord {
    spec: Digest,
    round: u64,
    contribution: haihe_protocol::message::Contribution,
    note: Note,
}

impl RoundRecord {
    /// The length of the JSON, the JSON, the shares.
    fn to_bytes(&self, sealed_shares: &[Vec<u8>]) -> Vec<u8> {
        let json = encode(self);
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json);
        sealed_shares.iter().for_each(|share| bytes.extend(share));
        bytes
    }

    /// The record, and its shares one after the other.
    fn from_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), MemberError> {
        let cut = || MemberError::Record { name: ROUND.to_owned(), detail: "cut short".to_owned() };
        let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| cut())?;
        let (json, shares) = rest.split_at_checked(len).ok_or_else(cut)?;
        Ok((decode(ROUND, json)?, shares))
    }

    /// All shares have the same length.
    fn shares(&self, shares: &[u8]) -> Result<Vec<Vec<u8>>, MemberError> {
        let count = self.contribution.share_digests.len();
        let parts: Vec<Vec<u8>> = shares.chunks((shares.len() / count.max(1)).max(1)).map(<[u8]>::to_vec).collect();
        let whole = parts.iter().map(|share| share_digest(share)).eq(self.contribution.share_digests.iter().copied());
        let detail = "its shares are not those that were signed".to_owned();
        if whole { Ok(parts) } else { Err(MemberError::Record { name: ROUND.to_owned(), detail }) }
    }
}

/// A job as it was offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The job file.
    pub toml: &'a str,
    /// When the job was opened.
    pub opened: Timestamp,
    /// Who submitted it, as the coordinator says.
    pub by: &'a str,
}

/// A confirmed roster, and when it was verified.
#[derive(Serialize, Deserialize)]
struct Pin {
    attempt: u32,
    session: Digest,
    at: Timestamp,
}

/// The roster and its confirmations, as the coordinator sends them along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionParts {
    /// Roster.
    pub roster: Roster,
    /// One per party.
    pub confirmations: Vec<Confirmation>,
}

const RECORD: &str = "job.json";
const DECLINED: &str = "declined.json";
const PINNED: &str = "roster-pin.json";
const SESSION: &str = "session.json";
const ROUND: &str = "round";
const CIPHERTEXT: &str = "round.ciphertext";
const HEAD: &str = "journal-head.json";
const WITNESS: &str = "witness";
const ANSWERED: &str = "answered.json";
const JOURNAL: &str = "journal.jsonl";

/// What was read of a job, so that it is not read again in every step.
#[derive(Default)]
struct Memo {
    spec: Option<JobSpec>,
    /// Entries, and what they say.
    journal: Option<Vec<(Entry, Option<Note>)>>,
    /// The journal's last line was written whole by this process.
    ends_whole: bool,
    witness: Option<Arc<Witness>>,
    /// Opened from the session with the sealing key.
    check_key: Option<CheckKey>,
    share_keys: Option<Arc<ShareKeys>>,
    /// The checkpoint whose signature was verified last.
    checkpoint: Option<(String, TreeHead)>,
}

/// A participant.
pub struct Member {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    vault: Box<dyn Vault>,
    /// What was read of each job in this process; the vault has it all.
    memos: Mutex<std::collections::BTreeMap<JobId, Memo>>,
    /// Sessions that were verified in this process.
    sessions: std::collections::BTreeMap<JobId, Arc<Session>>,
    /// Vertical jobs: the exchange that was prepared last in this process, and where the work stands.
    works: std::collections::BTreeMap<JobId, (u64, haihe_protocol::vertical::work::Work)>,
    /// Most alignments with one peer in a day.
    alignments_per_day: Option<u64>,
    /// Most score vectors for one label holder, over all jobs.
    score_vectors: Option<u64>,
}

/// A ciphertext that waits in the vault to be sent.
pub struct Outgoing {
    /// Head and sealed shares.
    pub prepared: Prepared,
    /// Step of the plan, for people.
    pub step: String,
}

fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, MemberError> {
    serde_json::from_slice(bytes)
        .map_err(|e| MemberError::Record { name: name.to_owned(), detail: format!("line {}", e.line()) })
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain data with string keys")
}

impl Member {
    /// A participant with its vault.
    pub fn new(identity: Arc<Identity>, scheme: Arc<dyn Scheme>, vault: Box<dyn Vault>) -> Self {
        let (sessions, works) = Default::default();
        let (alignments_per_day, score_vectors) = (None, None);
        Self { identity, scheme, vault, sessions, works, memos: Mutex::default(), alignments_per_day, score_vectors }
    }

    /// Who this participant is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn record<T: serde::de::DeserializeOwned>(&self, job: &JobId, name: &str) -> Result<Option<T>, MemberError> {
        match self.vault.get(job, name)? {
            None => Ok(None),
            Some(bytes) => decode(name, &bytes).map(Some),
        }
    }

    fn joined(&self, job: &JobId) -> Result<JobRecord, MemberError> {
        self.record(job, RECORD)?.ok_or_else(|| MemberError::Unknown(job.short()))
    }

    /// The job file as this participant knows it, if it joined.
    pub fn spec(&self, job: &JobId) -> Result<JobSpec, MemberError> {
        if let Some(spec) = self.memo(job, |memo| memo.spec.clone()) {
            return Ok(spec);
        }
        let spec = JobSpec::parse(&self.joined(job)?.toml).map_err(MemberError::Job)?;
        self.memo(job, |memo| memo.spec = Some(spec.clone()));
        Ok(spec)
    }

    /// What this process has read of a job.
    fn memo<T>(&self, job: &JobId, of: impl FnOnce(&mut Memo) -> T) -> T {
        of(self.memos.lock().unwrap_or_else(PoisonError::into_inner).entry(*job).or_default())
    }

    /// The job file, if the job is made of sums: others have no rounds to contribute to.
    fn horizontal(&self, job: &JobId, message: &'static str) -> Result<JobSpec, MemberError> {
        let spec = self.spec(job)?;
        match spec.vertical {
            None => Ok(spec),
            Some(_) => Err(Violation::OtherKind { message }.into()),
        }
    }

    /// Adds a note to the own journal, unless it is there: a step that is repeated after a crash is noted once.
    fn note(&mut self, now: Timestamp, job: &JobId, note: &Note) -> Result<(), MemberError> {
        let known = |notes: &[(Entry, Option<Note>)]| notes.iter().any(|(_, known)| known.as_ref() == Some(note));
        let tip = |notes: &[(Entry, Option<Note>)]| notes.last().map_or_else(Entry::genesis, |(e, _)| e.digest);
        let (known, tip, entries) = self.notes(job, |notes| (known(notes), tip(notes), notes.len() as u64))?;
        if known {
            return Ok(());
        }
        // A write that failed, in this process or an earlier one, may have left half a line.
        if !self.memo(job, |memo| std::mem::take(&mut memo.ends_whole)) {
            self.cut_torn_line(job)?;
        }
        let entry = Entry::after(&tip, entries, now, note);
        let line = String::from_utf8(encode(&entry)).expect("JSON is UTF-8");
        if let Err(error) = self.vault.append(job, JOURNAL, &line) {
            // Whether the line is there, only the vault knows.
            self.memo(job, |memo| memo.journal = None);
            return Err(error.into());
        }
        self.memo(job, |memo| {
            memo.ends_whole = true;
            memo.journal.iter_mut().for_each(|j| j.push((entry.clone(), Some(note.clone()))));
        });
        Ok(())
    }

    /// Takes away a line that was being written when the process was killed: the next one would be glued to it.
    fn cut_torn_line(&mut self, job: &JobId) -> Result<(), MemberError> {
        let bytes = self.vault.get(job, JOURNAL)?.unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            self.vault.put(job, JOURNAL, &bytes[..whole])?;
        }
        Ok(())
    }

    /// True once the end of the job was noted; nothing is said about it any more.
    pub fn is_closed(&self, job: &JobId) -> Result<bool, MemberError> {
        self.notes(job, |notes| notes.iter().any(|(_, note)| matches!(note, Some(Note::Closed { .. }))))
    }

    fn open(&self, job: &JobId) -> Result<(), MemberError> {
        if self.is_closed(job)? { Err(MemberError::Closed) } else { Ok(()) }
    }

    /// This participant's own journal of a job; its chain is verified.
    pub fn journal(&self, job: &JobId) -> Result<Vec<Entry>, MemberError> {
        self.notes(job, |notes| notes.iter().map(|(entry, _)| entry.clone()).collect())
    }

    /// The journal's entries and what they say: read and verified once in this process, which alone writes to it.
    fn notes<T>(&self, job: &JobId, of: impl FnOnce(&[(Entry, Option<Note>)]) -> T) -> Result<T, MemberError> {
        if self.memo(job, |memo| memo.journal.is_none()) {
            let entries = self.read_journal(job)?;
            let notes = entries.into_iter().map(|e| (e.event().ok(), e)).map(|(note, e)| (e, note)).collect();
            self.memo(job, |memo| memo.journal = Some(notes));
        }
        Ok(self.memo(job, |memo| of(memo.journal.as_deref().unwrap_or(&[]))))
    }

    fn read_journal(&self, job: &JobId) -> Result<Vec<Entry>, MemberError> {
        let bytes = self.vault.get(job, JOURNAL)?.unwrap_or_default();
        let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        // A line without its end was being written when the process was killed: it was never relied on.
        lines.pop();
        let entries: Vec<Entry> = lines.iter().map(|l| decode(JOURNAL, l)).collect::<Result<_, _>>()?;
        journal::verify(&entries)?;
        Ok(entries)
    }

    /// Reads an offered job; checks that its id follows from its file.
    pub fn offered(&self, job: &JobId, toml: &str, opened: Timestamp) -> Result<JobSpec, MemberError> {
        if JobId::of(toml, opened) != *job {
            return Err(MemberError::JobId);
        }
        JobSpec::parse(toml).map_err(MemberError::Job)
    }

    /// What was said to this offer before, if anything.
    pub fn earlier_reply(&mut self, now: Timestamp, job: &JobId) -> Result<Option<Result<Join, Decline>>, MemberError> {
        if let Some(record) = self.record::<JobRecord>(job, RECORD)? {
            let name = JobSpec::parse(&record.toml).map_err(MemberError::Job)?.job.name;
            self.note(now, job, &Note::Joined { job: *job, name, rows: record.rows })?;
            return Ok(Some(Ok(record.join)));
        }
        let declined = self.record::<Decline>(job, DECLINED)?;
        if let Some(decline) = &declined {
            self.note(now, job, &Note::Declined { job: *job, reason: decline.reason.clone() })?;
        }
        Ok(declined.map(Err))
    }

    /// True if this participant joined the job.
    pub fn has_joined(&self, job: &JobId) -> Result<bool, MemberError> {
        Ok(self.vault.get(job, RECORD)?.is_some())
    }

    /// Who submitted a job that this participant joined, as the coordinator said.
    pub fn submitted_by(&self, job: &JobId) -> Result<String, MemberError> {
        Ok(self.joined(job)?.by)
    }

    /// Joins a job that policy and data allow. `secrets` are fresh random bytes: for the sealing key, the beacon nonce and
    /// the check key.
    pub fn join(
        &mut self,
        now: Timestamp,
        job: &JobId,
        offer: Offer<'_>,
        rows: u64,
        secrets: [[u8; 32]; 3],
    ) -> Result<Join, MemberError> {
        let spec = self.offered(job, offer.toml, offer.opened)?;
        let [sealing, beacon_nonce, check_secret] = secrets;
        let sealing_key = SealingKey::derive(&sealing);
        let join = Join::signed(
            *job,
            self.identity.party.clone(),
            self.identity.certificate.clone(),
            sealing_key.public_key(),
            &beacon_nonce,
            &self.identity.key,
        );
        let record = JobRecord {
            toml: offer.toml.to_owned(),
            opened: offer.opened,
            by: offer.by.to_owned(),
            rows,
            sealing_key: Some(hex::encode(sealing)),
            beacon_nonce,
            check_secret,
            join: join.clone(),
        };
        self.vault.put(job, RECORD, &encode(&record))?;
        self.note(now, job, &Note::Joined { job: *job, name: spec.job.name, rows })?;
        Ok(join)
    }

    /// Declines a job.
    pub fn decline(&mut self, now: Timestamp, job: &JobId, reason: &str) -> Result<Decline, MemberError> {
        let identity = &self.identity;
        let decline =
            Decline::signed(*job, identity.party.clone(), identity.certificate.clone(), reason, &identity.key);
        self.vault.put(job, DECLINED, &encode(&decline))?;
        self.note(now, job, &Note::Declined { job: *job, reason: decline.reason.clone() })?;
        Ok(decline)
    }

    /// Verifies a proposed roster, pins it and signs it.
    pub fn confirm(&mut self, now: Timestamp, job: &JobId, roster: &Roster) -> Result<Confirmation, MemberError> {
        self.open(job)?;
        let record = self.joined(job)?;
        let spec = JobSpec::parse(&record.toml).map_err(MemberError::Job)?;
        roster.verify(job, &spec, &self.identity.trust, now).map_err(|v| v.relayed("roster"))?;
        if !roster.entries.contains(&record.join) {
            return Err(Violation::OwnEntry { party: self.identity.party.clone() }.into());
        }
        let session = roster.digest();
        match self.record::<Pin>(job, PINNED)? {
            Some(pin) if pin.session == session => {}
            // A later proposal leaves out a party that did not confirm; an earlier or second one is a trick.
            Some(pin) if roster.attempt <= pin.attempt || self.vault.get(job, SESSION)?.is_some() => {
                return Err(Violation::OtherSession { message: "roster", got: session, pinned: pin.session }.into());
            }
            _ => self.vault.put(job, PINNED, &encode(&Pin { attempt: roster.attempt, session, at: now }))?,
        }
        let parties = roster.entries.iter().map(|e| e.party.clone()).collect();
        self.note(now, job, &Note::Confirmed { session, parties })?;
        let party = self.identity.party.clone();
        let index = roster.entries.iter().position(|e| e.party == party);
        let makes = index.is_some_and(|index| roster.makes_check_key(index));
        let check_key = makes.then(|| SealedCheckKey::make(roster, &party, &record.check_secret)).transpose();
        let check_key = check_key.map_err(|_| Violation::SealingKey { party: party.clone() })?;
        Ok(Confirmation::signed(*job, party, session, record.beacon_nonce, check_key, &self.identity.key))
    }

    /// The session of a job: from memory, the vault, or the coordinator's message, always verified against the pin.
    ///
    /// Certificates count as of the moment at which the roster was pinned: one that expires later does not end the job.
    fn session(&mut self, job: &JobId, sent: Option<&SessionParts>) -> Result<Arc<Session>, MemberError> {
        self.open(job)?;
        if let Some(session) = self.sessions.get(job) {
            return Ok(session.clone());
        }
        let record = self.joined(job)?;
        let spec = JobSpec::parse(&record.toml).map_err(MemberError::Job)?;
        let stored: Option<SessionParts> = self.record(job, SESSION)?;
        let fresh = stored.is_none();
        let parts = stored.or_else(|| sent.cloned()).ok_or_else(|| MemberError::Unknown(job.short()))?;
        let pin: Pin = self.record(job, PINNED)?.ok_or_else(|| MemberError::Unknown(job.short()))?;
        let got = parts.roster.digest();
        if got != pin.session {
            return Err(Violation::OtherSession { message: "session", got, pinned: pin.session }.into());
        }
        let SessionParts { roster, confirmations } = parts.clone();
        let session = Session::establish(roster, confirmations, job, &spec, &self.identity.trust, pin.at);
        let session = Arc::new(session.map_err(|v| v.relayed("session"))?);
        if fresh {
            self.vault.put(job, SESSION, &encode(&parts))?;
        }
        self.sessions.insert(*job, session.clone());
        Ok(session)
    }

    /// Encrypts this participant's vector for a round. The ciphertext waits in the vault; see [`Member::ciphertext`].
    ///
    /// `seed` is fresh for every call; `encoded` is kept with the table.
    #[allow(clippy::too_many_arguments)]
    pub fn contribute(
        &mut self,
        now: Timestamp,
        job: &JobId,
        spec: RoundSpec,
        signature: &Signature,
        session: Option<&SessionParts>,
        (table, encoded): (&Table, &EncodedRows),
        seed: [u8; 32],
    ) -> Result<Outgoing, MemberError> {
        let session = self.session(job, session)?;
        let job_spec = self.horizontal(job, "round specification")?;
        let digest = spec.digest();
        let (spec, task) = spec.verify(signature, &session, &job_spec)?;
        let witness = self.expects(job, &job_spec, &session, &spec, &task)?;
        if let Some(last) = self.vault.get(job, ROUND)? {
            let (last, shares) = RoundRecord::from_bytes(&last)?;
            if last.spec == digest {
                let sealed_shares = last.shares(shares)?;
                self.note(now, job, &last.note)?;
                let prepared = Prepared { contribution: last.contribution, sealed_shares };
                return Ok(Outgoing { prepared, step: task.step().to_owned() });
            }
            if last.round == spec.round {
                return Err(Violation::SecondSpec { round: spec.round }.into());
            }
            if last.round > spec.round {
                return Err(Violation::StaleRound { got: spec.round, at: last.round }.into());
            }
        }
        let me = self.identity.party.clone();
        let index = session.index_of(&me)?;
        let (parties, guaranteed) = (session.parties(), session.guaranteed_contributors());
        let layout = task.layout(&job_spec, parties, guaranteed)?;
        let memory = self.memory_before(job, &spec.previous)?;
        let mut kept = None;
        let mut perform = || {
            let rows = Rows { table, party: index, parties, memory: memory.as_deref(), encoded };
            let done = witness.plan().ok_or(PlanError::NeedsPlan)?.perform(&job_spec, &rows)?;
            kept = done.memory;
            Ok(done.vector)
        };
        let (exact, noised);
        let vector = match &layout {
            Layout::Exact(quantiser) => {
                exact = perform()?;
                Vector::Exact(quantiser, &exact)
            }
            Layout::Noised(quantiser) => {
                noised = self.noised(now, job, &spec, quantiser, &seed, perform)?;
                Vector::Noised(&noised)
            }
        };
        if let Some(kept) = kept {
            self.remember(job, spec.previous, memory, kept)?;
        }
        let (check, share_keys) = (self.check_key(job, &session)?, self.share_keys(job, &session)?);
        let journal = self.head_of(job, spec.round)?;
        let mut spool = self.vault.spool(job, CIPHERTEXT)?;
        let prepared = contribution::contribute(
            &*self.scheme,
            &session,
            (&spec, &journal),
            vector,
            &me,
            (&self.identity.key, &check, &share_keys),
            seed,
            |chunk| spool.write_all(chunk),
        )?;
        spool.finish()?;
        let shares: usize = prepared.sealed_shares.iter().map(Vec::len).sum();
        let note = Note::Contributed {
            round: spec.round,
            step: task.step().to_owned(),
            spec: digest,
            commitment: prepared.contribution.commitment,
            dimension: layout.dimension() as u64,
            bytes: prepared.contribution.ciphertext_bytes + shares as u64,
        };
        let record = RoundRecord {
            spec: digest,
            round: spec.round,
            contribution: prepared.contribution.clone(),
            note: note.clone(),
        };
        self.vault.put(job, ROUND, &record.to_bytes(&prepared.sealed_shares))?;
        self.note(now, job, &note)?;
        Ok(Outgoing { prepared, step: task.step().to_owned() })
    }

    /// The ciphertext of the last contribution.
    pub fn ciphertext(&self, job: &JobId) -> io::Result<Box<dyn io::Read + Send>> {
        self.vault.read(job, CIPHERTEXT)
    }

    /// Answers for a survivor set, once per round.
    #[allow(clippy::too_many_arguments)]
    pub fn answer(
        &mut self,
        now: Timestamp,
        job: &JobId,
        spec: RoundSpec,
        spec_signature: &Signature,
        survivors: SurvivorSet,
        signature: &Signature,
        sealed_shares: &[Vec<u8>],
        session: Option<&SessionParts>,
    ) -> Result<Answer, MemberError> {
        let session = self.session(job, session)?;
        let job_spec = self.horizontal(job, "survivor set")?;
        let (spec, task) = spec.verify(spec_signature, &session, &job_spec)?;
        self.expects(job, &job_spec, &session, &spec, &task)?;
        let me = self.identity.party.clone();
        let journal = self.head_of(job, spec.round)?;
        let survivors = survivors.verify(signature, sealed_shares, &me, &session, &spec, &journal);
        let survivors = survivors.map_err(|v| v.relayed("survivor set"))?;
        self.check_own_view(job, &spec, &survivors)?;
        let digest = survivors.digest();
        let parties = survivors.survivors.len() as u32;
        let note = Note::Answered { round: survivors.round, survivors: digest, parties };
        let contributors: Vec<PartyId> = survivors.survivors.iter().map(|s| s.party.clone()).collect();
        if let Some(record) = self.record::<AnswerRecord>(job, ANSWERED)? {
            let given = &record.answer;
            if given.round == survivors.round && given.survivors == digest {
                self.note(now, job, &note)?;
                return Ok(record.answer);
            }
            if given.round == survivors.round {
                return Err(Violation::SecondSurvivorSet { round: survivors.round }.into());
            }
            if given.round > survivors.round {
                return Err(Violation::StaleRound { got: survivors.round, at: given.round }.into());
            }
            record.allows(&spec, &contributors)?;
        }
        let answer = contribution::answer(
            &survivors,
            sealed_shares,
            &session,
            &spec,
            &me,
            &*self.share_keys(job, &session)?,
            &self.identity.key,
        )?;
        // Durable before anybody hears it: this is what makes "once per round" true over crashes.
        let record = AnswerRecord { answer: answer.clone(), previous: spec.previous, contributors };
        self.vault.put(job, ANSWERED, &encode(&record))?;
        self.note(now, job, &note)?;
        Ok(answer)
    }

    /// The specification and the commitment that the coordinator shows must be the ones that this participant saw and made.
    fn check_own_view(
        &self,
        job: &JobId,
        spec: &Verified<RoundSpec>,
        survivors: &SurvivorSet,
    ) -> Result<(), MemberError> {
        let Some(own) = self.vault.get(job, ROUND)? else { return Ok(()) };
        let (own, _) = RoundRecord::from_bytes(&own)?;
        if own.round > spec.round {
            return Err(Violation::StaleRound { got: spec.round, at: own.round }.into());
        }
        if own.round == spec.round {
            if own.spec != spec.digest() {
                return Err(Violation::SecondSpec { round: spec.round }.into());
            }
            let listed = survivors.survivors.iter().find(|s| s.party == self.identity.party);
            if listed.is_some_and(|s| s.commitment != own.contribution.commitment) {
                return Err(Violation::Commitment { party: self.identity.party.clone() }
                    .relayed("survivor set")
                    .into());
            }
        }
        Ok(())
    }

    /// Notes the end of a job and forgets what is not needed any more. Returns false if that was done before.
    pub fn close(&mut self, now: Timestamp, job: &JobId, outcome: Result<Digest, String>) -> Result<bool, MemberError> {
        if self.is_closed(job)? {
            self.forget(job)?;
            return Ok(false);
        }
        // Closed first: from here on nothing is answered, whatever is still there.
        let (transcript, reason) = match outcome {
            Ok(transcript) => (Some(transcript), None),
            Err(reason) => (None, Some(reason)),
        };
        self.note(now, job, &Note::Closed { transcript, reason })?;
        self.forget(job)?;
        Ok(true)
    }

    /// Removes what a closed job does not need any more.
    fn forget(&mut self, job: &JobId) -> Result<(), MemberError> {
        self.vault.remove(job, CIPHERTEXT)?;
        self.vault.remove(job, budget::NOISED)?;
        let finished = |e: &Entry| matches!(e.event::<Note>(), Ok(Note::Closed { transcript: Some(_), .. }));
        let finished = self.journal(job)?.iter().any(finished);
        self.forget_exchange(job, finished)?;
        self.forget_memory(job)?;
        // Without the key, what was sealed for this participant in the job stays sealed, whoever kept it.
        if let Some(mut record) = self.record::<JobRecord>(job, RECORD)?
            && record.sealing_key.is_some()
        {
            record.sealing_key = None;
            record.beacon_nonce = [0; 32];
            record.check_secret = [0; 32];
            self.vault.put(job, RECORD, &encode(&record))?;
        }
        self.sessions.remove(job);
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
        Ok(())
    }
}
