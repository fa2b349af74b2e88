//! One job at the coordinator: the protocol's state, its journal's tip and its running sum.
//!
//! The engine does no networking and keeps no clock; the service and the simulation both drive it:
//! [`Engine::plan`] gives the journal entries that a command leads to, the caller stores them, and [`Engine::commit`]
//! makes them count. What is not stored never happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind, Read},
    sync::Arc,
};

use haihe_privacy::{
    digest::Digest,
    log::{ConsistencyProof, Log, LogError, NoteError, RootHash},
    secure_sum::{Adder, Scheme, ShareSum, SumContext, SumParameters},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    checkpoint::{self, TreeHead},
    error::Violation,
    id::{JobId, PartyId, Timestamp},
    journal::{Entry, Event, JournalError},
    message::{Answer, Contribution, Objection, RoundSpec, SurvivorSet, Verified},
    roster::{Confirmation, Decline, Join, Trust},
    state::{Command, Job, OpenRequest, Receipt, Refusal},
    witness::ClosedRound,
};

use crate::blobs::{BlobKey, Blobs};

mod exchange;

pub use exchange::{LetterBlob, ParcelUpload};

/// Who this coordinator is.
pub struct Identity {
    /// What it trusts.
    pub trust: Trust,
    /// Its signing certificate, DER.
    pub certificate: Vec<u8>,
    /// Its signing key.
    pub key: SigningKey,
}

/// Why a command could not be carried out. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The message breaks a rule; its sender's or our fault as [`Violation::fault`] says.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The job does not take this message now.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The store of ciphertexts failed: ours to repair.
    #[error("the coordinator's store of ciphertexts failed: {0}")]
    Blobs(#[from] io::Error),
}

/// Journal entries that a command leads to, not yet stored.
#[derive(Debug)]
#[must_use = "entries count only after they are stored and committed"]
pub struct Planned {
    /// To be stored in this order.
    pub entries: Vec<Entry>,
    events: Vec<Event>,
}

impl Planned {
    /// What to tell the sender.
    pub fn receipt(&self) -> Receipt {
        Receipt::of(&self.events)
    }

    /// The entries with the names of their events, for the store.
    pub fn named(&self) -> Vec<(Entry, &'static str)> {
        self.entries.iter().cloned().zip(self.events.iter().map(Event::kind)).collect()
    }

    /// One line per event, for the log: names, numbers, digests.
    pub fn lines(&self) -> Vec<String> {
        self.events.iter().map(describe).collect()
    }

    /// True if nothing happens.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// An upload whose head was verified.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its head.
    pub contribution: Verified<Contribution>,
    /// Sealed shares, in committee order.
    pub sealed_shares: Vec<Vec<u8>>,
    /// Where its ciphertext goes.
    pub key: BlobKey,
}

struct RunningSum {
    round: u64,
    parameters: SumParameters,
    adder: Box<dyn Adder>,
    added: BTreeSet<PartyId>,
}

/// One job at the coordinator.
pub struct Engine {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    job: Job,
    next: u64,
    tip: Digest,
    /// When the last entry was recorded.
    last: Timestamp,
    /// The journal's lines as a Merkle log.
    log: Log,
    /// Head of the journal at the beginning of the last round.
    round_head: TreeHead,
    /// The same of the round before.
    head_before: TreeHead,
    sum: Option<RunningSum>,
    /// The contribution that each party began to upload: a party sends one a round, so that nobody can fill the disk with
    /// many, or exchange the shares of one.
    begun: BTreeMap<PartyId, Contribution>,
    /// The same for parcels: exchange, and digest of the head.
    begun_parcels: BTreeMap<PartyId, (u64, Digest)>,
}

fn blob_key(job: &JobId, party: &PartyId, round: u64, commitment: &Digest, what: &str) -> BlobKey {
    let name = format!("{party}-{}.{what}", &commitment.to_hex()[..16]);
    BlobKey { job: job.to_string(), round, name }
}

fn ciphertext_key(job: &JobId, c: &Contribution) -> BlobKey {
    blob_key(job, &c.party, c.round, &c.commitment, "ciphertext")
}

/// Opened sums have a folder of their own, which outlives the rounds' ciphertexts.
fn sum_key(job: &JobId, round: u64) -> BlobKey {
    BlobKey { job: format!("{job}-sums"), round, name: "sum".to_owned() }
}

fn pack(sum: &[u64]) -> Vec<u8> {
    sum.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Vec<u64> {
    let (values, _) = bytes.as_chunks::<8>();
    values.iter().map(|value| u64::from_le_bytes(*value)).collect()
}

fn shares_key(job: &JobId, c: &Contribution) -> BlobKey {
    blob_key(job, &c.party, c.round, &c.commitment, "shares")
}

impl Engine {
    /// A job from the entries of its journal.
    pub fn recover(entries: &[Entry], identity: Arc<Identity>, scheme: Arc<dyn Scheme>) -> Result<Self, JournalError> {
        let job = Job::replay(entries, identity.trust.clone(), identity.certificate.clone())?;
        let tip = entries.last().map_or_else(Entry::genesis, |e| e.digest);
        let next = entries.len() as u64;
        let last = entries.last().map_or(Timestamp::default(), |e| e.at);
        let (log, round_head) = (Log::new(), TreeHead { size: 0, root: RootHash::empty() });
        let (begun, begun_parcels) = (BTreeMap::new(), BTreeMap::new());
        let head_before = round_head;
        let mut engine = Self {
            identity,
            scheme,
            job,
            next,
            tip,
            last,
            log,
            round_head,
            head_before,
            sum: None,
            begun,
            begun_parcels,
        };
        for entry in entries {
            engine.note(entry, opens_round(&entry.event()?));
        }
        Ok(engine)
    }

    /// Appends an entry to the log; a round's head covers everything up to the entry that opens it.
    fn note(&mut self, entry: &Entry, opens_round: bool) {
        self.log.append(entry.line().as_bytes());
        if opens_round {
            let head = self.head();
            self.head_before = std::mem::replace(&mut self.round_head, head);
        }
    }

    /// Head of the journal now.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.log.size(), root: self.log.root() }
    }

    /// The signed head of the journal at the beginning of the present round; of the whole journal once the job is over.
    pub fn checkpoint(&self) -> Result<String, NoteError> {
        let head = if self.job.is_over() { self.head() } else { self.round_head };
        let signed =
            checkpoint::sign(self.identity.trust.federation(), &self.job.head().job, &head, &self.identity.key)?;
        Ok(signed.to_text())
    }

    /// That the journal of `new` entries begins with what it was at `old` entries.
    pub fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, LogError> {
        self.log.consistency(old, new)
    }

    /// That [`Engine::checkpoint`] extends the one before: the size of that one, and the proof. `None` if there was none.
    pub fn extension(&self) -> Option<(u64, ConsistencyProof)> {
        let (old, new) = match self.job.is_over() {
            true => (self.round_head, self.head()),
            false => (self.head_before, self.round_head),
        };
        let proof = (old.size > 0).then(|| self.consistency(old.size, new.size))?;
        proof.ok().map(|proof| (old.size, proof))
    }

    /// The job's state.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Increases whenever something happened: the number of committed entries.
    pub fn version(&self) -> u64 {
        self.next
    }

    /// The coordinator's signature on a round's specification.
    pub fn sign_spec(&self, spec: &RoundSpec) -> Signature {
        spec.sign(&self.identity.key)
    }

    /// The coordinator's signature on a survivor set.
    pub fn sign_survivors(&self, set: &SurvivorSet) -> Signature {
        set.sign(&self.identity.key)
    }

    /// Checks a received wish to join.
    pub fn verify_join(&self, join: Join, now: Timestamp) -> Result<Command, EngineError> {
        let head = self.job.head();
        Ok(Command::Join(Verified::join(join, &head.job, &head.spec, &self.identity.trust, now)?))
    }

    /// Checks a received refusal.
    pub fn verify_decline(&self, decline: Decline, now: Timestamp) -> Result<Command, EngineError> {
        let head = self.job.head();
        Ok(Command::Decline(Verified::decline(decline, &head.job, &head.spec, &self.identity.trust, now)?))
    }

    /// Checks a received confirmation. `None` if no such roster is being confirmed: one for an earlier proposal is late, and
    /// breaks no rule.
    pub fn verify_confirmation(&self, c: Confirmation) -> Result<Option<Command>, EngineError> {
        match self.job.proposal() {
            Some((roster, keys)) if roster.digest() == c.session => {
                Ok(Some(Command::Confirm(Verified::confirmation(c, roster, keys)?)))
            }
            _ => Ok(None),
        }
    }

    /// Checks a received answer.
    pub fn verify_answer(&self, answer: Answer) -> Result<Option<Command>, EngineError> {
        match self.job.asked() {
            Some((spec, survivors, session)) if spec.round == answer.round => {
                Ok(Some(Command::Answer(Verified::answer(answer, survivors, session, spec)?)))
            }
            _ => Ok(None),
        }
    }

    /// Checks a received objection.
    pub fn verify_objection(&self, objection: Objection) -> Result<Option<Command>, EngineError> {
        match self.job.session() {
            Some(session) => Ok(Some(Command::Object(Verified::objection(objection, session)?))),
            None => Ok(None),
        }
    }

    /// Checks the head of an upload. `Err(receipt)` if there is nothing to upload.
    pub fn begin_upload(
        &mut self,
        contribution: Contribution,
        sealed_shares: Vec<Vec<u8>>,
    ) -> Result<Result<Upload, Receipt>, EngineError> {
        if let Some(known) = self.job.accepted_from(&contribution.party)
            && known.round == contribution.round
        {
            return Ok(Err(if *known == contribution {
                Receipt::AlreadyAccepted
            } else {
                let (party, round) = (contribution.party, contribution.round);
                Receipt::Rejected(Violation::SecondContribution { party, round }.to_string())
            }));
        }
        let Some((spec, session)) = self.job.open_round().zip(self.job.session()) else {
            return Ok(Err(Receipt::Late(format!("round {} is closed", contribution.round))));
        };
        if contribution.round < spec.round {
            return Ok(Err(Receipt::Late(format!("round {} is closed", contribution.round))));
        }
        let contribution = Verified::contribution(contribution, &sealed_shares, session, spec, &self.round_head)?;
        let (party, round) = (contribution.party.clone(), contribution.round);
        match self.begun.get(&party) {
            Some(known) if known.round == round && *known != *contribution => {
                return Err(Violation::SecondContribution { party, round }.into());
            }
            _ => self.begun.insert(party, (*contribution).clone()),
        };
        let key = ciphertext_key(&self.job.head().job, &contribution);
        Ok(Ok(Upload { contribution, sealed_shares, key }))
    }

    /// The blob that an upload with this commitment goes to; a parcel is named by the digest of its head.
    pub fn upload_key(&self, party: &PartyId, round: u64, commitment: &Digest) -> BlobKey {
        let what = if self.job.head().spec.vertical.is_some() { exchange::LETTERS } else { "ciphertext" };
        blob_key(&self.job.head().job, party, round, commitment, what)
    }

    /// True if the upload with this commitment counts already.
    pub fn is_accepted(&self, party: &PartyId, round: u64, commitment: &Digest) -> bool {
        let contribution = self.job.accepted_from(party).filter(|c| c.round == round).map(|c| c.commitment);
        let parcel = || self.job.parcel_of(party, round).map(|head| head.digest());
        contribution.or_else(parcel).is_some_and(|known| known == *commitment)
    }

    /// Checks a complete upload against its commitment and adds it to the running sum.
    pub fn finish_upload(&mut self, upload: Upload, blobs: &dyn Blobs) -> Result<Command, EngineError> {
        let c = &upload.contribution;
        let (party, round) = (c.party.clone(), c.round);
        if self.job.accepted_from(&party).is_some_and(|known| known.round == round) {
            // Accepted while the bytes came in: nothing of it is touched; the decision compares the two.
            return Ok(Command::Contribute { contribution: upload.contribution, bytes: 0 });
        }
        if self.job.open_round().is_none_or(|s| s.round != round) {
            // Closed while the bytes came in: the decision counts it as late.
            blobs.remove(&upload.key)?;
            return Ok(Command::Contribute { contribution: upload.contribution, bytes: 0 });
        }
        blobs.sync(&upload.key)?;
        // What is wrong with what was accepted before is the store's fault, not this sender's.
        self.ensure_sum(blobs).map_err(|error| match error {
            EngineError::Violation(v) => EngineError::Blobs(io::Error::other(v.to_string())),
            other => other,
        })?;
        match self.add(c, blobs) {
            Ok(()) => {}
            Err(EngineError::Violation(violation)) => {
                // The running sum holds part of a bad ciphertext: it is made anew from the good ones when needed.
                self.sum = None;
                blobs.remove(&upload.key)?;
                return Ok(Command::Reject { party, round, reason: violation.to_string() });
            }
            Err(other) => {
                self.sum = None;
                return Err(other);
            }
        }
        let key = shares_key(&self.job.head().job, c);
        let shares = upload.sealed_shares.concat();
        let stored = blobs.remove(&key).and_then(|()| blobs.append(&key, 0, &shares)).and_then(|()| blobs.sync(&key));
        if let Err(error) = stored {
            // The running sum holds a contribution that is not accepted now, and perhaps never.
            self.sum = None;
            return Err(error.into());
        }
        let shares: usize = upload.sealed_shares.iter().map(Vec::len).sum();
        let bytes = c.ciphertext_bytes + shares as u64;
        Ok(Command::Contribute { contribution: upload.contribution, bytes })
    }

    /// The sealed shares that the survivors meant for the committee member at `position`.
    pub fn sealed_shares_for(
        &self,
        position: u32,
        survivors: &SurvivorSet,
        blobs: &dyn Blobs,
    ) -> io::Result<Vec<Vec<u8>>> {
        let mut shares = Vec::with_capacity(survivors.survivors.len());
        for survivor in &survivors.survivors {
            let key = shares_key(&self.job.head().job, survivor);
            let mut all = Vec::new();
            blobs.read(&key)?.read_to_end(&mut all)?;
            let size = all.len() / survivor.share_digests.len().max(1);
            let start = position as usize * size;
            let share = all.get(start..start + size).ok_or(ErrorKind::UnexpectedEof)?;
            shares.push(share.to_vec());
        }
        Ok(shares)
    }

    fn ensure_sum(&mut self, blobs: &dyn Blobs) -> Result<(), EngineError> {
        let (spec, accepted) = match (self.job.open_round(), self.job.asked()) {
            (Some(spec), _) => (spec.clone(), self.job.accepted()),
            (None, Some((spec, _, _))) => (spec.clone(), self.job.accepted()),
            (None, None) => return Ok(()),
        };
        if self.sum.as_ref().is_some_and(|s| s.round == spec.round) {
            return Ok(());
        }
        let accepted: Vec<Contribution> =
            accepted.into_iter().filter_map(|p| self.job.accepted_from(p)).cloned().collect();
        let context = SumContext { session: spec.session, round: spec.round };
        let adder = self.scheme.adder(&spec.parameters, &context);
        self.sum = Some(RunningSum { round: spec.round, parameters: spec.parameters, adder, added: BTreeSet::new() });
        for contribution in accepted {
            if let Err(error) = self.add(&contribution, blobs) {
                self.sum = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn add(&mut self, c: &Contribution, blobs: &dyn Blobs) -> Result<(), EngineError> {
        let Some(sum) = &mut self.sum else { return Ok(()) };
        if sum.added.contains(&c.party) {
            return Ok(());
        }
        let party = || c.party.clone();
        let mut reader = blobs.read(&ciphertext_key(&self.job.head().job, c))?;
        let mut chunk = vec![0; sum.parameters.chunk_bytes()];
        let mut hash = blake3::Hasher::new();
        for index in 0..sum.parameters.chunks() {
            reader.read_exact(&mut chunk)?;
            hash.update(&chunk);
            sum.adder.add_chunk(index, &chunk).map_err(|_| Violation::Malformed { party: party(), chunk: index })?;
        }
        if Digest::from_bytes(*hash.finalize().as_bytes()) != c.commitment {
            return Err(Violation::Commitment { party: party() }.into());
        }
        sum.adder
            .finish_contribution()
            .map_err(|_| Violation::Malformed { party: party(), chunk: sum.parameters.chunks() })?;
        sum.added.insert(party());
        Ok(())
    }

    /// Opens the sum if it may be opened now. Consumes the running sum.
    pub fn open_sum(&mut self, now: Timestamp, blobs: &dyn Blobs) -> Result<Option<Command>, EngineError> {
        let Some(request) = self.job.ready_to_open(now) else { return Ok(None) };
        match self.ensure_sum(blobs) {
            Ok(()) => {}
            // What is gone or damaged does not come back: the round is lost, the job is not.
            Err(EngineError::Blobs(e)) if [ErrorKind::NotFound, ErrorKind::UnexpectedEof].contains(&e.kind()) => {
                let reason = format!("the coordinator's store lost a ciphertext of this round: {e}");
                return Ok(Some(Command::NotOpened { reason }));
            }
            Err(EngineError::Violation(violation)) => {
                let reason = format!("the coordinator's store is damaged: {violation}");
                return Ok(Some(Command::NotOpened { reason }));
            }
            Err(other) => return Err(other),
        }
        let Some(sum) = self.sum.take() else { return Ok(None) };
        Ok(Some(match self.open(sum, &request) {
            Ok((sum, wrong_answers)) => {
                self.keep_sum(&request, &sum, blobs)?;
                Command::Opened { sum, wrong_answers }
            }
            Err(reason) => Command::NotOpened { reason },
        }))
    }

    /// Opened sums stay until the job is forgotten: a participant that missed a round asks for them later.
    fn keep_sum(&self, request: &OpenRequest, sum: &[u64], blobs: &dyn Blobs) -> io::Result<()> {
        let key = sum_key(&self.job.head().job, request.spec.round);
        blobs.remove(&key)?;
        blobs.append(&key, 0, &pack(sum))?;
        blobs.sync(&key)
    }

    /// The first round after `round` whose sum was opened, with the coordinator's signature on its specification.
    pub fn closed_round(&self, after: u64, blobs: &dyn Blobs) -> io::Result<Option<(ClosedRound, Signature)>> {
        let Some((spec, contributors, survivors)) = self.job.closed_after(after) else { return Ok(None) };
        let mut bytes = Vec::new();
        blobs.read(&sum_key(&self.job.head().job, spec.round))?.read_to_end(&mut bytes)?;
        let sum = unpack(&bytes);
        let closed = ClosedRound { spec: spec.clone(), contributors: contributors.to_vec(), survivors, sum };
        Ok(Some((closed, self.sign_spec(spec))))
    }

    fn open(&self, sum: RunningSum, request: &OpenRequest) -> Result<(Vec<u64>, Vec<PartyId>), String> {
        let rule = &request.session.roster().rule;
        let parameters = &request.spec.parameters;
        let mut answers = Vec::with_capacity(request.answers.len());
        let mut wrong = Vec::new();
        for (position, party, bytes) in &request.answers {
            match ShareSum::from_bytes(bytes, parameters.set(), rule) {
                Ok(answer) => answers.push((*position, answer)),
                Err(_) => wrong.push(party.clone()),
            }
        }
        let contributors = request.survivors.len() as u32;
        let opened = sum.adder.open(rule, &answers, contributors).map_err(|e| e.to_string())?;
        let members = request.session.committee();
        let named = opened.wrong_answers.iter().filter_map(|p| members.get(*p as usize));
        wrong.extend(named.map(|i| request.session.party(*i).clone()));
        Ok((opened.sum, wrong))
    }

    /// Forgets the running sum; it is made anew from accepted contributions when it is needed.
    pub fn forget_sum(&mut self) {
        self.sum = None;
    }

    /// The entries that a command leads to. Their times never go back, even if the clock does.
    pub fn plan(&self, now: Timestamp, command: Command) -> Result<Planned, EngineError> {
        let now = now.max(self.last);
        let events = self.job.decide(now, command)?;
        let mut entries = Vec::with_capacity(events.len());
        let mut tip = self.tip;
        for (i, event) in events.iter().enumerate() {
            let entry = Entry::after(&tip, self.next + i as u64, now, event);
            tip = entry.digest;
            entries.push(entry);
        }
        Ok(Planned { entries, events })
    }

    /// Makes stored entries count.
    pub fn commit(&mut self, planned: Planned, blobs: &dyn Blobs) {
        for (entry, event) in planned.entries.into_iter().zip(planned.events) {
            let finished = match &event {
                Event::SumOpened { round, .. } | Event::RoundLost { round, .. } => Some(*round),
                // The letters of this exchange are about to be fetched; those of the one before have been.
                Event::ExchangeClosed { round, .. } => Some(round.saturating_sub(1)),
                Event::JobFinished { .. } | Event::JobFailed { .. } | Event::JobCancelled { .. } => Some(u64::MAX),
                _ => None,
            };
            self.note(&entry, opens_round(&event));
            self.job.apply(entry.at, event);
            self.next = entry.sequence + 1;
            self.tip = entry.digest;
            self.last = entry.at;
            if let Some(round) = finished {
                self.sum = None;
                // Only disk space is at stake: what cannot be removed now is removed with the next round.
                let _ = blobs.remove_rounds(&self.job.head().job.to_string(), round);
            }
        }
    }
}

/// A round, or an exchange, begins with the head of the journal up to here.
fn opens_round(event: &Event) -> bool {
    matches!(event, Event::RoundOpened { .. } | Event::ExchangeOpened { .. })
}

/// An event in one line, without anything secret: there is nothing secret in events.
fn describe(event: &Event) -> String {
    let list = |parties: &[PartyId]| match parties {
        [] => "nobody".to_owned(),
        some => some.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", "),
    };
    match event {
        Event::JobOpened { by, .. } => format!("job opened by {by}"),
        Event::Joined { join } => format!("{} joined", join.party),
        Event::Declined { decline } => format!("{} declined: {}", decline.party, decline.reason),
        Event::RosterProposed { roster } => format!("roster of {} proposed", roster.entries.len()),
        Event::Confirmed { confirmation } => format!("{} confirmed the roster", confirmation.party),
        Event::SessionOpened { session } => format!("session {session} opened"),
        Event::RoundOpened { spec } => format!("round {} opened: {} values", spec.round, spec.parameters.dimension()),
        Event::ContributionAccepted { contribution, bytes } => {
            format!("round {}: contribution of {} accepted, {bytes} bytes", contribution.round, contribution.party)
        }
        Event::ContributionRejected { party, round, reason } => {
            format!("round {round}: what {party} sent is rejected: {reason}")
        }
        Event::ContributionLate { party, round } => format!("round {round}: contribution of {party} came late"),
        Event::ContributionsClosed { round, survivors, absent, .. } => {
            format!("round {round}: closed with {} contributions; absent: {}", survivors.len(), list(absent))
        }
        Event::Objected { objection: o } => {
            format!("round {}: {} objects to {}: {}", o.round, o.party, o.against, o.reason)
        }
        Event::Answered { answer } => format!("round {}: {} answered", answer.round, answer.party),
        Event::SumOpened { round, summary, wrong_answers, .. } if wrong_answers.is_empty() => {
            format!("round {round}: {}: {}", summary.step, summary.text)
        }
        Event::SumOpened { round, summary, wrong_answers, .. } => {
            let wrong = list(wrong_answers);
            format!("round {round}: {}: {}; wrong answers of {wrong} were corrected", summary.step, summary.text)
        }
        Event::RoundLost { round, reason, .. } => format!("round {round} lost: {reason}"),
        Event::ExchangeOpened { round, .. } => format!("exchange {round} opened"),
        Event::ParcelAccepted { parcel: p, bytes } => {
            let (phase, letters) = (&p.announcement.phase, p.letters.len());
            format!("exchange {}: parcel of {} accepted ({phase}), {letters} letters, {bytes} bytes", p.round, p.party)
        }
        Event::ExchangeClosed { round, .. } => format!("exchange {round} closed"),
        Event::ExchangeExtended { round, absent, attempt, .. } => {
            format!("exchange {round}: still waiting for {} (put off for the {attempt}. time)", list(absent))
        }
        Event::JobFinished { .. } => "job finished".to_owned(),
        Event::JobFailed { reason } => format!("job failed: {reason}"),
        Event::JobCancelled { by, reason } => format!("job cancelled by {by}: {reason}"),
    }
}
