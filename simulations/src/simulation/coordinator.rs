//! The coordinator: an [`Engine`], and the journal and blobs that survive it. Follows `haihe_coordinator::host` step by step.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    sync::Arc,
};

use haihe_coordinator::{
    blobs::{BlobKey, Blobs as _},
    engine::{Engine, EngineError, Identity},
};
use haihe_participant::member::{ReceivedLetter, SessionParts};
use haihe_privacy::{log::ConsistencyProof, secure_sum::Scheme, sign::Signature};
use haihe_protocol::{
    id::{PartyId, Timestamp},
    journal::{Entry, JournalError},
    roster::Session,
    state::{Command, Directive, Receipt, Refusal},
    witness::ClosedRound,
};

use super::{
    blobs::CrashingBlobs,
    liar::Liar,
    message::{Ask, Said},
};
use crate::fault::Fault;

/// Why the coordinator did not finish what it was doing.
pub(super) enum Interrupted {
    /// It was killed.
    Killed { down_ms: u64 },
    /// Its database or its disk refused a write; it tries again later.
    Store,
    /// It does not take this message now.
    Refused(String),
    /// It puts the blame on somebody.
    Blamed(String),
}

impl From<EngineError> for Interrupted {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Blobs(_) => Self::Store,
            EngineError::Refusal(Refusal::Phase { .. }) => Self::Refused(error.to_string()),
            EngineError::Refusal(_) | EngineError::Violation(_) => Self::Blamed(error.to_string()),
        }
    }
}

/// Phase, round and roster attempt: with it change the directives of those who said nothing.
pub(super) type Moment = (&'static str, u64, u32);

/// When the coordinator is killed around the write of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Before,
    Written,
    /// After it acted on the entry, with a loss of power.
    Acted,
}

struct Crash {
    fault: usize,
    entry: u64,
    moment: Around,
    times: u64,
    down_ms: u64,
}

pub(super) struct Coordinator {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    pub(super) blobs: CrashingBlobs,
    pub(super) journal: Vec<Entry>,
    /// `None` while it is down.
    pub(super) engine: Option<Engine>,
    /// Not yet happened.
    crashes: Vec<Crash>,
    /// `(fault, entry)`, not yet happened.
    store_fails: Vec<(usize, u64)>,
    /// Faults that happened, and how often it was killed.
    pub(super) struck: Vec<usize>,
    pub(super) killed: u64,
    /// What happened since the last look: sequence number and one line.
    pub(super) news: Vec<(u64, String)>,
    pub(super) offered: Option<Moment>,
    /// The session as it is sent along, made once.
    session: Option<Arc<SessionParts>>,
    toml: Arc<str>,
    pub(super) liar: Liar,
}

impl Coordinator {
    pub(super) fn new(
        identity: Identity,
        scheme: Arc<dyn Scheme>,
        opening: Entry,
        toml: &str,
        faults: &[Fault],
        liar: Liar,
    ) -> Result<Self, JournalError> {
        let (mut crashes, mut store_fails, mut full) = (Vec::new(), Vec::new(), Vec::new());
        for (fault, what) in faults.iter().enumerate() {
            let mut crash = |entry: &u64, moment, times: u64, down_ms: &u64| {
                crashes.push(Crash { fault, entry: *entry, moment, times, down_ms: *down_ms });
            };
            match what {
                Fault::CoordinatorCrash { entry, written: false, down_ms } => crash(entry, Around::Before, 1, down_ms),
                Fault::CoordinatorCrash { entry, written: true, down_ms } => crash(entry, Around::Written, 1, down_ms),
                Fault::CoordinatorCrashLoop { entry, times, down_ms } => crash(entry, Around::Written, *times, down_ms),
                Fault::CoordinatorPowerLoss { entry, down_ms } => crash(entry, Around::Acted, 1, down_ms),
                Fault::StoreFails { entry } => store_fails.push((fault, *entry)),
                Fault::BlobsFull { append, appends } => full.push((fault, *append, *appends)),
                _ => {}
            }
        }
        let mut coordinator = Self {
            identity: Arc::new(identity),
            scheme,
            blobs: CrashingBlobs::new(full),
            journal: vec![opening],
            engine: None,
            crashes,
            store_fails,
            struck: Vec::new(),
            killed: 0,
            news: Vec::new(),
            offered: None,
            session: None,
            toml: toml.into(),
            liar,
        };
        coordinator.recover()?;
        Ok(coordinator)
    }

    /// Starts the process; everything that it knows comes from journal and blobs.
    pub(super) fn recover(&mut self) -> Result<(), JournalError> {
        self.engine = Some(self.replay()?);
        self.offered = None;
        Ok(())
    }

    /// A second engine from the same journal.
    pub(super) fn replay(&self) -> Result<Engine, JournalError> {
        Engine::recover(&self.journal, self.identity.clone(), self.scheme.clone())
    }

    fn up(&mut self) -> Result<&mut Engine, Interrupted> {
        self.engine.as_mut().ok_or_else(|| Interrupted::Refused("the coordinator is down".to_owned()))
    }

    /// What the service does with one submission.
    pub(super) fn receive(&mut self, now: Timestamp, said: Said, whole: bool) -> Result<Receipt, Interrupted> {
        if let Some(engine) = &self.engine
            && self.liar.hears(&said, engine)
        {
            return Ok(Receipt::Accepted);
        }
        let engine = self.up()?;
        let command = match said {
            Said::Contribution { head, sealed_shares, ciphertext } => {
                let (party, round) = (head.party.clone(), head.round);
                match engine.begin_upload(*head, sealed_shares.as_ref().clone()) {
                    Ok(Ok(upload)) => {
                        self.upload(&upload.key, &ciphertext, whole)?;
                        let blobs = self.blobs.clone();
                        self.up()?.finish_upload(upload, &blobs)?
                    }
                    Ok(Err(receipt)) => return self.not_begun(now, party, round, Ok(receipt)),
                    Err(error) => return self.not_begun(now, party, round, Err(error)),
                }
            }
            Said::Parcel { head, letters } => {
                let (party, round) = (head.party.clone(), head.round);
                match engine.begin_parcel(*head) {
                    Ok(Ok(upload)) => {
                        self.upload(&upload.key, &letters, whole)?;
                        let blobs = self.blobs.clone();
                        self.up()?.finish_parcel(upload, &blobs)?
                    }
                    Ok(Err(receipt)) => return self.not_begun(now, party, round, Ok(receipt)),
                    Err(error) => return self.not_begun(now, party, round, Err(error)),
                }
            }
            _ if !whole => return Err(Interrupted::Refused("the message broke off".to_owned())),
            said => {
                let verified = match said {
                    Said::Join(join) => engine.verify_join(*join, now).map(Some),
                    Said::Decline(decline) => engine.verify_decline(*decline, now).map(Some),
                    Said::Confirm(confirmation) => engine.verify_confirmation(*confirmation),
                    Said::Answer(answer) => engine.verify_answer(*answer),
                    Said::Object(objection) => engine.verify_objection(*objection),
                    Said::Contribution { .. } | Said::Parcel { .. } => Ok(None),
                };
                match verified {
                    Ok(Some(command)) => command,
                    Ok(None) => return Ok(Receipt::Late("the coordinator does not ask for it any more".to_owned())),
                    Err(EngineError::Violation(v)) => return Ok(Receipt::Rejected(v.to_string())),
                    Err(other) => return Err(other.into()),
                }
            }
        };
        self.carry_out(now, command)
    }

    /// Records an upload that is not received, as the service does.
    fn not_begun(
        &mut self,
        now: Timestamp,
        party: PartyId,
        round: u64,
        refused: Result<Receipt, EngineError>,
    ) -> Result<Receipt, Interrupted> {
        match refused {
            Ok(Receipt::Late(_)) => self.carry_out(now, Command::Late { party, round }),
            Ok(receipt) => Ok(receipt),
            Err(EngineError::Violation(v)) => {
                let reason = v.to_string();
                self.carry_out(now, Command::Reject { party, round, reason: reason.clone() })?;
                Ok(Receipt::Rejected(reason))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Stores what comes of an upload: all of it, or half if it breaks off.
    fn upload(&self, key: &BlobKey, bytes: &[u8], whole: bool) -> Result<(), Interrupted> {
        let end = if whole { bytes.len() } else { bytes.len() / 2 };
        self.store(key, &bytes[..end])?;
        if whole { Ok(()) } else { Err(Interrupted::Refused("the upload broke off".to_owned())) }
    }

    /// Goes on with an upload where it broke off.
    fn store(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), Interrupted> {
        let stored = self.blobs.len(key).map_err(EngineError::from)?;
        match bytes.get(stored as usize..) {
            Some(rest) if !rest.is_empty() => Ok(self.blobs.append(key, stored, rest).map_err(EngineError::from)?),
            _ => Ok(()),
        }
    }

    /// The letters for a party in the last closed exchange, sealed.
    pub(super) fn letters(&mut self, to: &PartyId, round: u64) -> Result<Vec<ReceivedLetter>, Interrupted> {
        let found = self.up()?.letters_for(to, round);
        let found =
            found.ok_or_else(|| Interrupted::Refused(format!("exchange {round} is not the last closed one")))?;
        let mut letters = Vec::with_capacity(found.len());
        for letter in found {
            let mut body = Vec::new();
            letter.open(&self.blobs).and_then(|mut b| b.read_to_end(&mut body)).map_err(EngineError::from)?;
            letters.push(ReceivedLetter { from: letter.from, letter: letter.letter, body });
        }
        Ok(self.liar.letters(letters, to, round))
    }

    fn carry_out(&mut self, now: Timestamp, command: Command) -> Result<Receipt, Interrupted> {
        let receipt = self.take(now, command)?;
        self.settle(now)?;
        Ok(receipt)
    }

    /// Nothing counts before it is in the journal; a crash may come just before or just after that.
    fn take(&mut self, now: Timestamp, command: Command) -> Result<Receipt, Interrupted> {
        let planned = self.up()?.plan(now, command)?;
        let receipt = planned.receipt();
        if planned.is_empty() {
            return Ok(receipt);
        }
        let entries = planned.entries.iter().map(|e| e.sequence).collect::<Vec<_>>();
        if let Some(at) = self.store_fails.iter().position(|(_, entry)| entries.contains(entry)) {
            let (fault, _) = self.store_fails.remove(at);
            self.struck.push(fault);
            self.up()?.forget_sum();
            return Err(Interrupted::Store);
        }
        let crash = self.next_crash(&entries);
        if let Some((Around::Before, down_ms)) = crash {
            return Err(self.die(down_ms));
        }
        self.journal.extend(planned.entries.iter().cloned());
        self.news.extend(entries.into_iter().zip(planned.lines()));
        if let Some((Around::Written, down_ms)) = crash {
            return Err(self.die(down_ms));
        }
        let blobs = self.blobs.clone();
        self.up()?.commit(planned, &blobs);
        if let Some((_, down_ms)) = crash {
            self.blobs.lose_power().map_err(EngineError::from)?;
            return Err(self.die(down_ms));
        }
        Ok(receipt)
    }

    /// If it is killed around the write of these entries: when, and for how long it is away.
    fn next_crash(&mut self, entries: &[u64]) -> Option<(Around, u64)> {
        // One that is to happen again goes on with the entry after these.
        let next = entries.last()? + 1;
        let at = self.crashes.iter().position(|c| entries.contains(&c.entry))?;
        let crash = &mut self.crashes[at];
        let (moment, down_ms) = (crash.moment, crash.down_ms);
        self.struck.push(crash.fault);
        crash.entry = next;
        crash.times = crash.times.saturating_sub(1);
        if crash.times == 0 {
            self.crashes.remove(at);
        }
        Some((moment, down_ms))
    }

    fn die(&mut self, down_ms: u64) -> Interrupted {
        self.killed += 1;
        self.engine = None;
        self.session = None;
        Interrupted::Killed { down_ms }
    }

    /// Takes every step that follows from what is known and from the time.
    pub(super) fn settle(&mut self, now: Timestamp) -> Result<(), Interrupted> {
        let blobs = self.blobs.clone();
        loop {
            let before = self.up()?.version();
            self.take(now, Command::Tick)?;
            if let Some(command) = self.up()?.open_sum(now, &blobs)? {
                self.take(now, command)?;
            }
            if self.up()?.version() == before {
                return Ok(());
            }
        }
    }

    /// When directives change for parties that said nothing.
    pub(super) fn moment(&self) -> Option<Moment> {
        let job = self.engine.as_ref()?.job();
        Some((job.phase_name(), job.round(), job.attempt()))
    }

    fn parts(&mut self, session: &Session) -> Arc<SessionParts> {
        let parts = self.session.get_or_insert_with(|| {
            let (roster, confirmations) = (session.roster().clone(), session.confirmations().to_vec());
            Arc::new(SessionParts { roster, confirmations })
        });
        parts.clone()
    }

    /// The first round after `after` whose sum was opened.
    pub(super) fn closed_round(
        &mut self,
        to: &PartyId,
        after: u64,
    ) -> Result<Option<(ClosedRound, Signature)>, Interrupted> {
        let blobs = self.blobs.clone();
        let closed = self.up()?.closed_round(after, &blobs).map_err(EngineError::from)?;
        Ok(self.liar.shows(closed, to))
    }

    /// Every opened sum, by round.
    pub(super) fn sums(&self, engine: &Engine) -> io::Result<BTreeMap<u64, Vec<u64>>> {
        let mut sums = BTreeMap::new();
        let mut after = 0;
        while let Some((closed, _)) = engine.closed_round(after, &self.blobs)? {
            after = closed.spec.round;
            sums.insert(after, closed.sum);
        }
        Ok(sums)
    }

    /// That the journal of `new` entries begins with what it was at `old` entries.
    pub(super) fn consistency(
        &mut self,
        to: &PartyId,
        old: u64,
        new: u64,
    ) -> Result<Option<ConsistencyProof>, Interrupted> {
        let honest = self.up()?.consistency(old, new).ok();
        Ok(self.liar.consistency(&self.journal, to, old, new).or(honest))
    }

    /// What a party is asked now, if anything.
    pub(super) fn ask(&mut self, party: &PartyId) -> Result<Option<Ask>, Interrupted> {
        let ask = self.honest_ask(party)?;
        let engine = self.engine.as_ref();
        Ok(ask.zip(engine).map(|(ask, engine)| self.liar.says((&self.identity, engine, &self.journal), party, ask)))
    }

    /// What it says although nothing asks for it.
    pub(super) fn whispered(&mut self) -> Vec<(PartyId, Ask)> {
        self.liar.whispered(&self.identity.key)
    }

    /// Takes an old backup for its journal, if it cheats in this way and now.
    pub(super) fn restore(&mut self) -> Result<bool, JournalError> {
        let Some(left) = self.liar.restores(&self.journal) else { return Ok(false) };
        self.journal.truncate(left);
        self.session = None;
        self.recover()?;
        Ok(true)
    }

    fn honest_ask(&mut self, party: &PartyId) -> Result<Option<Ask>, Interrupted> {
        let engine = self.up()?;
        let job = engine.job();
        let opened = job.head().opened;
        let checkpoint = engine.checkpoint().map(Arc::from).map_err(|e| Interrupted::Refused(e.to_string()));
        Ok(match job.directive(party) {
            Directive::Wait { .. } => None,
            Directive::Offer { .. } => Some(Ask::Offer { toml: self.toml.clone(), opened }),
            Directive::Confirm(roster) => Some(Ask::Confirm(Box::new(roster))),
            Directive::Contribute { spec, session } => {
                let signature = engine.sign_spec(&spec);
                let checkpoint = checkpoint?;
                Some(Ask::Contribute { signature, session: self.parts(&session), spec, checkpoint })
            }
            Directive::Answer { spec, survivors, position, session } => {
                let spec_signature = engine.sign_spec(&spec);
                let signature = engine.sign_survivors(&survivors);
                let blobs = self.blobs.clone();
                let sealed = self.up()?.sealed_shares_for(position, &survivors, &blobs).map_err(EngineError::from)?;
                Some(Ask::Answer {
                    spec,
                    spec_signature,
                    survivors: Box::new(survivors),
                    signature,
                    sealed_shares: Arc::new(sealed),
                    session: self.parts(&session),
                    checkpoint: checkpoint?,
                })
            }
            Directive::Exchange { round, previous, parcels, session, .. } => Some(Ask::Exchange {
                round,
                previous,
                parcels: Arc::new(parcels),
                session: self.parts(&session),
                checkpoint: checkpoint?,
            }),
            Directive::Closed { outcome, session, parcels } => Some(Ask::Closed {
                parcels: Arc::new(parcels),
                session: session.map(|s| self.parts(&s)),
                outcome: match outcome {
                    Ok((json, transcript)) => Ok((json.into(), transcript)),
                    Err((_, reason)) => Err(reason),
                },
                checkpoint: checkpoint?,
            }),
        })
    }
}
