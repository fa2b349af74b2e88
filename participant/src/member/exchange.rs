//! A participant's side of a vertical job: it takes what the others sent, takes one step of its work, and seals what it
//! says. Where the work stands and the very bytes that are sent are in the vault before anybody hears of them.

use std::io::Read;

use haihe_privacy::digest::Transcript;
use haihe_protocol::vertical::{
    Inbox,
    exchange::{Expected, ParcelHead, check_closed, completed},
    sealing::{Envelope, SealingError, open_letter, seal_letters},
    work::{Kept, Place, StepError, Stepped, Work},
};

use super::*;

/// The last parcel.
const EXCHANGE: &str = "exchange.json";
/// Where the work stands; what an exchange was prepared from is still there while the next is written.
const WORK: [&str; 2] = ["work-0.bin", "work-1.bin"];
/// Letters of the last parcels; those of an exchange are still there while the next ones are written.
const LETTERS: [&str; 2] = ["parcel-0.letters", "parcel-1.letters"];
/// Names of the files that are kept.
const KEPT: &str = "kept.json";

/// What to do about an exchange.
pub enum Due {
    /// It was done before: the same parcel is sent again.
    Send(Box<ParcelHead>),
    /// The letters of the exchange before are to be fetched, and a step to be taken.
    Take(Box<Taking>),
}

/// An exchange whose heads were checked; its letters are still to come.
pub struct Taking {
    round: u64,
    previous: Digest,
    session: Arc<Session>,
    spec: JobSpec,
    before: Option<ParcelHead>,
    heads: Vec<Verified<ParcelHead>>,
}

/// A letter that the coordinator showed: sealed, and not yet compared with anything.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedLetter {
    /// Index of the sender in the roster.
    pub from: u32,
    /// Index of the letter in its parcel.
    pub letter: u32,
    /// The sealed body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for ReceivedLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReceivedLetter({}/{}, {} bytes)", self.from, self.letter, self.body.len())
    }
}

impl Taking {
    /// The exchange whose letters are to be fetched.
    pub fn letters_of(&self) -> u64 {
        self.round - 1
    }

    /// Sender, letter and length of each letter for `me`, in the order in which they are shown.
    pub fn letters(&self, me: &PartyId) -> Vec<(u32, u32, u64)> {
        let Ok(me) = self.session.index_of(me) else { return Vec::new() };
        let of = |(from, head): (u32, &Verified<ParcelHead>)| {
            let meant = head.letters.iter().zip(0u32..).filter(|(letter, _)| letter.to.contains(&me));
            meant.map(|(letter, index)| (from, index, letter.bytes)).collect::<Vec<_>>()
        };
        (0u32..).zip(&self.heads).flat_map(of).collect()
    }
}

/// The letters of a parcel for this exchange.
fn letters_name(round: u64) -> &'static str {
    LETTERS[(round % 2) as usize]
}

/// Where the work stands when the parcel for this exchange is ready.
fn work_name(round: u64) -> &'static str {
    WORK[(round % 2) as usize]
}

fn kept_name(name: &str) -> Result<String, MemberError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    match (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.') {
        true => Ok(format!("kept-{name}")),
        false => Err(MemberError::Record { name: name.to_owned(), detail: "no file can have this name".to_owned() }),
    }
}

impl From<StepError> for MemberError {
    fn from(StepError { fault, reason }: StepError) -> Self {
        Violation::Work { fault, reason }.into()
    }
}

impl From<SealingError> for MemberError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::Violation(violation) => violation.into(),
            other => MemberError::Sealing(other),
        }
    }
}

impl Member {
    /// Checks what the coordinator asks in an exchange: it must build on the parcel that this participant sent last, and the
    /// heads of that exchange must be those of all parties.
    pub fn exchange(
        &mut self,
        now: Timestamp,
        job: &JobId,
        round: u64,
        previous: &Digest,
        heads: Vec<ParcelHead>,
        session: Option<&SessionParts>,
    ) -> Result<Due, MemberError> {
        let session = self.session(job, session)?;
        let spec = self.spec(job)?;
        if spec.vertical.is_none() {
            return Err(Violation::OtherKind { message: "request for a parcel" }.into());
        }
        let before: Option<ParcelHead> = self.record(job, EXCHANGE)?;
        let other = |known: Digest| Violation::OtherHistory { round, got: *previous, known };
        let heads = match &before {
            Some(head) if head.round > round => {
                return Err(Violation::StaleRound { got: round, at: head.round }.into());
            }
            Some(head) if head.round == round => {
                if head.previous != *previous {
                    return Err(other(head.previous).into());
                }
                self.note_parcel(now, job, head)?;
                return Ok(Due::Send(Box::new(head.clone())));
            }
            Some(head) if head.round + 1 == round => {
                check_closed(heads, previous, head, &expected(&session, &spec, head))?
            }
            None if round == 1 && heads.is_empty() && *previous == session.digest() => Vec::new(),
            Some(head) => return Err(other(head.previous).into()),
            None => return Err(other(session.digest()).into()),
        };
        Ok(Due::Take(Box::new(Taking { round, previous: *previous, session, spec, before, heads })))
    }

    /// Opens the letters, takes a step, and seals what is said. `step` is [`Work::step`] with the own firms; nothing that it
    /// does counts before this returns.
    pub fn take(
        &mut self,
        now: Timestamp,
        job: &JobId,
        taking: Taking,
        letters: Vec<ReceivedLetter>,
        step: impl FnOnce(Work, &JobSpec, &Place, &Inbox) -> Result<Stepped, StepError>,
    ) -> Result<ParcelHead, MemberError> {
        let inbox = self.inbox(job, &taking, letters)?;
        let Taking { round, previous, session, spec, before, .. } = taking;
        let me = self.identity.party.clone();
        let place = Place {
            session: session.digest(),
            parties: session.roster().parties(),
            me: session.index_of(&me)? as usize,
        };
        let work = match before {
            Some(head) => self.work(job, head.round)?,
            None => {
                let peers = place.parties.iter().filter(|p| **p != me).cloned().collect();
                self.align(now, job, peers)?;
                let model = self.model(&spec)?;
                Work::begin(&spec, &place, self.secret(job, "work", &place.session)?, model.as_ref())?
            }
        };
        let Stepped { work, outbox, kept } = step(work, &spec, &place, &inbox)?;
        if outbox.shows_scores {
            self.show(now, job, &spec, (round, place.parties.len()))?;
        }
        drop(inbox);
        let journal = self.head_of(job, round)?;
        let envelope = Envelope { session: &session, me: &me, round, previous, journal };
        let seed = self.secret(job, "seal", &place.session)?;
        let (head, bodies) = seal_letters(&outbox, &envelope, &self.identity.key, &seed)?;
        // What the others would refuse is not sent, and not remembered either.
        let limits = Expected { session: &session, spec: &spec, round, previous: &previous, journal: &journal };
        let head = Verified::parcel(head, &limits)?.into_inner();
        if let Some(kept) = kept {
            self.keep(job, &kept)?;
        }
        if !bodies.is_empty() {
            let mut spool = self.vault.spool(job, letters_name(round))?;
            bodies.iter().try_for_each(|body| spool.write_all(body))?;
            spool.finish()?;
        }
        self.vault.put(job, work_name(round), &work.to_bytes())?;
        // From here on the step counts.
        self.vault.put(job, EXCHANGE, &encode(&head))?;
        self.works.insert(*job, (round, work));
        self.note_parcel(now, job, &head)?;
        Ok(head)
    }

    /// Where the work stood when the parcel for `round` was ready: still in memory, or from the vault after a restart.
    fn work(&mut self, job: &JobId, round: u64) -> Result<Work, MemberError> {
        if let Some((_, work)) = self.works.remove(job).filter(|(ready, _)| *ready == round) {
            return Ok(work);
        }
        let name = work_name(round);
        let damaged = |detail: &str| MemberError::Record { name: name.to_owned(), detail: detail.to_owned() };
        let bytes = self.vault.get(job, name)?.ok_or_else(|| damaged("it is missing"))?;
        Work::from_bytes(&bytes).ok_or_else(|| damaged("it is damaged"))
    }

    /// Notes a parcel, once: also when it is sent again after a crash.
    fn note_parcel(&mut self, now: Timestamp, job: &JobId, head: &ParcelHead) -> Result<(), MemberError> {
        let note = Note::Exchanged {
            round: head.round,
            phase: head.announcement.phase.clone(),
            previous: head.previous,
            parcel: head.digest(),
            letters: head.letters.len() as u64,
            bytes: head.bytes(),
        };
        self.note(now, job, &note)
    }

    /// The letters of the last parcel, one after the other.
    pub fn letters(&self, job: &JobId, head: &ParcelHead) -> io::Result<Box<dyn Read + Send>> {
        match head.body_bytes() {
            0 => Ok(Box::new(io::empty())),
            _ => self.vault.read(job, letters_name(head.round)),
        }
    }

    /// Checks that a published result is the one that the label holder signed in the last exchange of all.
    pub fn check_parcels(
        &mut self,
        job: &JobId,
        result_json: &str,
        transcript: &Digest,
        heads: Vec<ParcelHead>,
    ) -> Result<(), MemberError> {
        let (session, spec) = (self.session(job, None)?, self.spec(job)?);
        let own: Option<ParcelHead> = self.record(job, EXCHANGE)?;
        let party = self.identity.party.clone();
        let own = own.ok_or(Violation::OwnParcel { party, round: heads.first().map_or(0, |h| h.round) })?;
        check_closed(heads.clone(), transcript, &own, &expected(&session, &spec, &own))?;
        match completed(&heads, &spec) {
            Some(Ok(result)) if result == result_json => Ok(()),
            _ => Err(Violation::WrongResult.into()),
        }
    }

    /// The files that the work left for this participant's own people; none if the job did not finish.
    pub fn kept(&self, job: &JobId) -> Result<Option<Kept>, MemberError> {
        let finished = |e: &Entry| matches!(e.event::<Note>(), Ok(Note::Closed { transcript: Some(_), .. }));
        match self.journal(job)?.iter().any(finished) {
            true => self.draft(job),
            false => Ok(None),
        }
    }

    /// The files that are kept if the job finishes.
    pub fn draft(&self, job: &JobId) -> Result<Option<Kept>, MemberError> {
        let Some(names) = self.record::<Vec<String>>(job, KEPT)? else { return Ok(None) };
        let file = |name: String| {
            let missing = || MemberError::Record { name: name.clone(), detail: "it is missing".to_owned() };
            let bytes = self.vault.get(job, &kept_name(&name)?)?.ok_or_else(missing)?;
            Ok((name, bytes))
        };
        names.into_iter().map(file).collect::<Result<Kept, MemberError>>().map(Some)
    }

    /// What this participant kept of the job whose model a job scores with, or starts from.
    ///
    /// # Errors
    /// [`MemberError::Model`] if it took part in no such job, or if the job did not finish.
    pub fn model(&self, spec: &JobSpec) -> Result<Option<Kept>, MemberError> {
        let warm = spec.vertical.as_ref().and_then(|v| v.fit.warm_start.as_ref());
        let Some(wanted) = spec.scoring.as_ref().map(|s| &s.model).or(warm) else { return Ok(None) };
        let unusable = |detail: &str| MemberError::Model { model: wanted.clone(), detail: detail.to_owned() };
        if wanted.len() != 64 {
            return Err(unusable("give all 64 digits of the job's id: every party must mean the same job"));
        }
        let jobs = self.vault.jobs()?;
        let found: Vec<&JobId> = jobs.iter().filter(|job| job.to_string().starts_with(wanted.as_str())).collect();
        match found.as_slice() {
            [] => Err(unusable("this participant took part in no job with this id")),
            [job] => {
                let kept = self.kept(job)?;
                kept.map(Some).ok_or_else(|| unusable("that job did not finish here, or left no model"))
            }
            _ => Err(unusable("several jobs' ids begin like this; give more digits")),
        }
    }

    fn keep(&mut self, job: &JobId, kept: &Kept) -> Result<(), MemberError> {
        for (name, bytes) in kept {
            self.vault.put(job, &kept_name(name)?, bytes)?;
        }
        let names: Vec<&String> = kept.keys().collect();
        Ok(self.vault.put(job, KEPT, &encode(&names))?)
    }

    /// Opens the letters: exactly those that the heads announce for this participant, in order.
    fn inbox(&self, job: &JobId, taking: &Taking, letters: Vec<ReceivedLetter>) -> Result<Inbox, MemberError> {
        let me = &self.identity.party;
        let shown = letters.iter().map(|l| (l.from, l.letter, l.body.len() as u64));
        if !shown.eq(taking.letters(me)) {
            return Err(Violation::OtherLetters { round: taking.letters_of() }.into());
        }
        let announcements = taking.heads.iter().map(|head| head.announcement.clone()).collect();
        let mut opened = Vec::with_capacity(letters.len());
        let sealing = if letters.is_empty() { None } else { Some(self.sealing_key(job)?) };
        for received in letters {
            let (Some(head), Some(sealing)) = (taking.heads.get(received.from as usize), &sealing) else { continue };
            let open = open_letter(head, received.letter as usize, &received.body, &taking.session, me, sealing);
            let body = open.map_err(|violation| match violation {
                // The coordinator has compared it before.
                Violation::LetterDigest { .. } => violation.relayed("letter"),
                other => other,
            })?;
            opened.push((received.from as usize, body));
        }
        Ok(Inbox { announcements, letters: opened })
    }

    /// A secret of this participant and session, for one purpose. The job's record forgets where it comes from at the end.
    fn secret(&self, job: &JobId, purpose: &str, session: &Digest) -> Result<[u8; 32], MemberError> {
        let record = self.joined(job)?;
        let seed = Transcript::new("haihe/v1/work-seed").str(purpose).digest(session).bytes(&record.check_secret);
        Ok(*seed.finish().as_bytes())
    }

    /// Removes what a closed job does not need any more; what was kept stays only if the job finished.
    pub(super) fn forget_exchange(&mut self, job: &JobId, finished: bool) -> Result<(), MemberError> {
        if !finished && let Some(names) = self.record::<Vec<String>>(job, KEPT)? {
            for name in names {
                self.vault.remove(job, &kept_name(&name)?)?;
            }
            self.vault.remove(job, KEPT)?;
        }
        self.works.remove(job);
        if self.vault.get(job, EXCHANGE)?.is_some() {
            for name in LETTERS.iter().chain(&WORK) {
                self.vault.remove(job, name)?;
            }
            self.vault.remove(job, EXCHANGE)?;
        }
        Ok(())
    }
}

/// What the parcels of the exchange of `own` must fit to.
fn expected<'a>(session: &'a Session, spec: &'a JobSpec, own: &'a ParcelHead) -> Expected<'a> {
    Expected { session, spec, round: own.round, previous: &own.previous, journal: &own.journal }
}
