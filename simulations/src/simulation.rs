//! The whole federation in one process: the coordinator's engine and every participant's member, exactly as deployed, over a
//! network that one seed decides about. There is no sleeping and no clock but the virtual one, so that one seed gives the same
//! journal again, byte for byte, and a failure is repeated by the seed that it prints.
//!
//! A run fails if the job does, if nothing happens although all deadlines passed, or if afterwards anything of
//! `docs/faults.md` does not hold: journals that do not agree, a sum that is not its survivors', an honest party that is blamed.

mod blobs;
mod cheater;
mod check;
mod coordinator;
mod exchange;
mod liar;
mod message;
mod network;
mod noted;
mod observed;
mod outcome;
mod party;
pub mod pki;
pub mod steps;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use haihe_coordinator::engine::{Engine, Identity};
use haihe_models::table::Table;
use haihe_participant::member::MemberError;
use haihe_protocol::{
    horizontal::JobResult,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::{self, Entry, Event, JournalError},
    state::{Job, Phase, Receipt},
    vertical::work::Firms,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use crate::{
    fault::{During, Fault, STORE_PAUSE_MS},
    rounds::round_facts,
};
use cheater::Overheard;
use coordinator::{Coordinator, Interrupted};
pub use exchange::VerticalOutcome;
use liar::Liar;
use message::{Ask, Message, Said};
use network::Line;
pub use observed::{Noticed, Observed};
pub use outcome::{Outcome, PartyRecord, Progress, Record, SimulationError, SimulationOptions, Traffic};
use party::{Disk, Party, Rows};
use pki::{Authority, derive};
use vault::{CrashingVault, WriteFault};

/// When every simulation begins: 2026-01-01T00:00:00Z.
pub const OPENED: Timestamp = Timestamp(1_767_225_600_000);

/// After how long a request or a submission without an answer is repeated, in milliseconds.
const RETRY_MS: u64 = 5_000;

enum Step {
    Deliver(Message),
    /// The coordinator looks at the clock.
    Wake,
    /// The coordinator repeats its requests.
    Offer,
    /// A participant repeats a submission that it has no receipt for.
    Again {
        party: usize,
        ticket: u64,
    },
    PartyRestarts(usize),
    CoordinatorRestarts,
}

/// A federation that is ready to run.
pub struct Federation {
    options: SimulationOptions,
    spec: JobSpec,
    job: JobId,
    coordinator: Coordinator,
    /// Certificate of the authority, DER.
    authority: Vec<u8>,
    parties: Vec<Party>,
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Step>,
    /// Numbers events and tickets.
    count: u64,
    /// Messages sent.
    sent: u64,
    /// Messages that wait until others have arrived.
    held: Vec<(u64, Message)>,
    network: ChaCha20Rng,
    traffic: BTreeMap<&'static str, Traffic>,
    last_entry: Timestamp,
    remarks: Vec<String>,
    lines: Vec<Line>,
    /// Its store refused something, and it is going to try again.
    coordinator_tries_again: bool,
    /// Positions of the faults that happened, and of the parties that something happened to.
    struck: BTreeSet<usize>,
    disturbed: BTreeSet<usize>,
    /// What each party said in each step, and who said two things.
    said: BTreeMap<(usize, String), Said>,
    told_twice: BTreeSet<usize>,
    /// What must not happen and did.
    complaints: Vec<String>,
    /// What was refused, and what an honest party should not have accepted.
    noticed: Vec<Noticed>,
    harm: Vec<String>,
    overheard: Overheard,
    peak_queue: usize,
    /// Reminders in the queue, answered ones too: a job of many short rounds leaves many behind it, and they are no load.
    reminders: usize,
}

impl Federation {
    /// A federation whose coordinator has opened the job. The parties' tables are those of the job, in any order.
    pub fn new(
        job_toml: &str,
        tables: impl IntoIterator<Item = (PartyId, Arc<Table>)>,
        options: SimulationOptions,
    ) -> Result<Self, SimulationError> {
        Self::with_rows(job_toml, tables.into_iter().map(|(p, table)| (p, Rows::Table(table))).collect(), options)
    }

    /// A federation whose coordinator has opened a vertical job. Each party has the firms and columns that the job asks of it.
    pub fn vertical(
        job_toml: &str,
        firms: impl IntoIterator<Item = (PartyId, Arc<Firms>)>,
        options: SimulationOptions,
    ) -> Result<Self, SimulationError> {
        Self::with_rows(job_toml, firms.into_iter().map(|(p, firms)| (p, Rows::Firms(firms))).collect(), options)
    }

    fn with_rows(
        job_toml: &str,
        tables: BTreeMap<PartyId, Rows>,
        options: SimulationOptions,
    ) -> Result<Self, SimulationError> {
        let spec = JobSpec::parse(job_toml).map_err(SimulationError::Job)?;
        if let Some(other) = tables.keys().find(|p| !spec.job.parties.contains(p)) {
            return Err(SimulationError::NotInvited(other.clone()));
        }
        for fault in &options.faults {
            if let Some(other) = fault.parties().iter().find(|p| !spec.job.parties.contains(p)) {
                return Err(SimulationError::FaultOf(other.clone()));
            }
        }
        let named = options.cheats.iter().flat_map(|cheat| cheat.parties());
        if let Some(other) = named.into_iter().find(|p| !spec.job.parties.contains(p)) {
            return Err(SimulationError::FaultOf(other.clone()));
        }
        let seed = options.seed;
        let authority =
            if options.shared_certificates { Authority::shared()? } else { Arc::new(Authority::new(seed)?) };
        let mut parties = Vec::with_capacity(spec.job.parties.len());
        let mut overheard = Overheard::default();
        for name in &spec.job.parties {
            let table = tables.get(name).ok_or_else(|| SimulationError::NoTable(name.clone()))?.clone();
            let disk = disk(&authority, name, table, &options)?;
            overheard.certificates.insert(name.clone(), disk.certificate.clone());
            parties.push(Party::new(disk, options.scheme.clone(), seed, &options.cheats));
        }
        let unlike = |p: &Party| p.disk.declines.is_some() || p.disk.ahead_ms != 0;
        let disturbed = (0..parties.len()).filter(|i| unlike(&parties[*i])).collect();
        let name = PartyId::new("coordinator").map_err(|e| SimulationError::Certificates(e.to_string()))?;
        let (key, certificate) = authority.member("coordinator", &name)?;
        let identity = Identity { trust: authority.trust(), certificate, key };
        let opening = Entry::after(&Entry::genesis(), 0, OPENED, &Job::open(&spec, job_toml, "simulation", OPENED));
        let accomplice = PartyId::new("accomplice").map_err(|e| SimulationError::Certificates(e.to_string()))?;
        let (accomplice_key, accomplices) = authority.member("bank", &accomplice)?;
        let liar = Liar::new(&options.cheats, (accomplice, accomplice_key, accomplices));
        let authority = authority.certificate();
        let coordinator = Coordinator::new(identity, options.scheme.clone(), opening, job_toml, &options.faults, liar)
            .map_err(|source| SimulationError::Journal { seed, source })?;
        Ok(Self {
            job: JobId::of(job_toml, OPENED),
            network: ChaCha20Rng::from_seed(derive(seed, "network", "", 0)),
            options,
            spec,
            coordinator,
            lines: vec![Line::default(); parties.len()],
            authority,
            parties,
            now: OPENED,
            queue: BTreeMap::new(),
            count: 0,
            sent: 0,
            held: Vec::new(),
            traffic: BTreeMap::new(),
            last_entry: OPENED,
            remarks: Vec::new(),
            coordinator_tries_again: false,
            struck: BTreeSet::new(),
            disturbed,
            said: BTreeMap::new(),
            told_twice: BTreeSet::new(),
            complaints: Vec::new(),
            noticed: Vec::new(),
            harm: Vec::new(),
            overheard,
            peak_queue: 0,
            reminders: 0,
        })
    }

    /// Runs the job to its end. `progress` hears of every journal entry.
    pub fn run(self, progress: impl FnMut(&Progress)) -> Result<Outcome, SimulationError> {
        self.run_recorded(progress).0
    }

    /// The same, and what the run went through, however it ended.
    pub fn run_recorded(mut self, progress: impl FnMut(&Progress)) -> (Result<Outcome, SimulationError>, Record) {
        let ran = self.go_on(progress);
        let record = self.record();
        (ran.and_then(|()| self.finish()), record)
    }

    fn go_on(&mut self, mut progress: impl FnMut(&Progress)) -> Result<(), SimulationError> {
        let patience = self.patience_ms();
        self.at(0, Step::Wake);
        self.at(RETRY_MS, Step::Offer);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = self.after_standstill(at).max(self.now);
            self.peak_queue = self.peak_queue.max(self.queue.len().saturating_sub(self.reminders) + self.held.len());
            self.handle(event)?;
            self.check_deadline();
            self.tell(&mut progress);
            if self.is_done() {
                break;
            }
            if self.now.0 - self.last_entry.0 > patience {
                // The job is over and somebody cannot be told: that is their loss only.
                if self.is_over() {
                    break;
                }
                return Err(self.stuck());
            }
        }
        Ok(())
    }

    fn record(&mut self) -> Record {
        self.struck.extend(self.coordinator.struck.iter().copied().chain(self.coordinator.blobs.struck()));
        for party in &self.parties {
            self.struck.extend(party.disk.vault.struck());
        }
        let skewed = |fault: &usize| matches!(self.options.faults[*fault], Fault::ClockSkew { .. });
        self.struck.extend((0..self.options.faults.len()).filter(skewed));
        let kinds = |kind: &str| {
            let begins = format!("{{\"event\":\"{kind}\"");
            self.coordinator.journal.iter().filter(|e| e.body_json.starts_with(&begins)).count() as u64
        };
        Record {
            entries: self.coordinator.journal.len() as u64,
            messages: self.sent,
            coordinator_crashes: self.coordinator.killed,
            participant_crashes: self.parties.iter().map(|p| p.killed).sum(),
            rounds_closed: kinds("sum_opened"),
            rounds_lost: kinds("round_lost"),
            peak_queue: self.peak_queue,
            virtual_ms: self.last_entry.0 - OPENED.0,
            struck: self.struck.clone(),
        }
    }

    /// Longer than any chain of deadlines and faults after which something must have happened.
    fn patience_ms(&self) -> u64 {
        let d = &self.spec.deadlines;
        let longest = [d.join_seconds, d.confirm_seconds, d.round_seconds, d.answer_seconds].into_iter().max();
        let faults = self.options.faults.iter().map(|fault| match fault {
            Fault::Delay { by_ms: ms, .. }
            | Fault::Double { later_ms: ms, .. }
            | Fault::CrashOnMessage { down_ms: ms, .. }
            | Fault::CrashOnWrite { down_ms: ms, .. }
            | Fault::Partition { for_ms: ms, .. } => *ms,
            Fault::CrashLoop { times, down_ms, .. } => times * down_ms,
            other => other.holds_up_ms().max(10_000),
        });
        longest.unwrap_or(0) * 1000 + faults.sum::<u64>() + 20 * RETRY_MS
    }

    fn is_over(&self) -> bool {
        self.coordinator.engine.as_ref().is_some_and(|e| e.job().is_over())
    }

    /// Over, and everybody who can hear of it has.
    fn is_done(&self) -> bool {
        let gone = |party: &Party| self.ignores(&party.disk.name, u64::MAX, During::Contributing).is_some();
        self.is_over() && self.parties.iter().all(|p| p.closed || gone(p))
    }

    fn at(&mut self, later_ms: u64, event: Step) {
        self.count += 1;
        self.reminders += usize::from(matches!(event, Step::Again { .. }));
        self.queue.insert((Timestamp(self.now.0.saturating_add(later_ms)), self.count), event);
    }

    fn remark(&mut self, who: &str, what: impl fmt::Display) {
        if self.remarks.len() < 1000 {
            self.remarks.push(format!("{} ms: {who}: {what}", self.elapsed()));
        }
    }

    fn tell(&mut self, progress: &mut impl FnMut(&Progress)) {
        for (entry, line) in std::mem::take(&mut self.coordinator.news) {
            self.last_entry = self.now;
            tracing::debug!(entry, "{line}");
            progress(&Progress { at_ms: self.elapsed(), entry, line });
        }
    }

    fn handle(&mut self, event: Step) -> Result<(), SimulationError> {
        match event {
            Step::Deliver(message) => {
                self.deliver(message);
                self.release_held();
            }
            Step::Wake => {
                if self.coordinator.engine.is_some() {
                    self.coordinator_tries_again = false;
                    let settled = self.coordinator.settle(self.now);
                    self.after_coordinator(settled);
                }
            }
            Step::Offer => {
                for party in 0..self.parties.len() {
                    // On a slow line only the newest directive waits.
                    if self.lines[party].down <= self.now {
                        self.offer(party);
                    }
                }
                self.at(RETRY_MS, Step::Offer);
            }
            Step::Again { party, ticket } => {
                self.reminders -= 1;
                if let Some((outstanding, ask)) = self.parties[party].outstanding.clone()
                    && outstanding == ticket
                {
                    self.perform(party, ask);
                }
            }
            Step::PartyRestarts(party) => {
                self.parties[party].start();
                self.offer(party);
            }
            Step::CoordinatorRestarts => {
                let seed = self.options.seed;
                self.coordinator.recover().map_err(|source| SimulationError::Journal { seed, source })?;
                // The first thing that it does is to look what follows.
                self.coordinator_tries_again = true;
                self.at(0, Step::Wake);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) {
        if self.is_cut_off(message.line().0) {
            return;
        }
        match message {
            Message::Said { from, ticket, said, whole } => {
                if self.coordinator.engine.is_none() {
                    return;
                }
                if let Said::Contribution { head, .. } = &said
                    && !self.options.cheats.is_empty()
                {
                    self.overheard.contributions.insert((head.party.clone(), head.round), said.clone());
                }
                match self.coordinator.receive(self.now, said, whole) {
                    Ok(receipt) => {
                        self.send(Message::Receipt { to: from, ticket, receipt });
                        self.after_coordinator(Ok(()));
                    }
                    interrupted => self.after_coordinator(interrupted.map(|_| ())),
                }
            }
            Message::Ask { to, ask } => self.asked(to, *ask),
            Message::Receipt { to, ticket, receipt } => {
                if let Receipt::Rejected(reason) = &receipt {
                    let name = self.parties[to].disk.name.clone();
                    self.complaints.push(format!("{name} was rejected by the coordinator: {reason}"));
                    self.noticed.push(Noticed { by: None, violation: None, reason: reason.clone() });
                    self.remark(name.as_str(), format!("rejected by the coordinator: {reason}"));
                }
                let party = &mut self.parties[to];
                if party.outstanding.as_ref().is_some_and(|(outstanding, _)| *outstanding == ticket) {
                    party.outstanding = None;
                }
            }
        }
    }

    /// Restarts, deadlines and directives after the coordinator did something.
    fn after_coordinator(&mut self, done: Result<(), Interrupted>) {
        match done {
            Err(Interrupted::Killed { down_ms }) => {
                self.disturb_all();
                self.coordinator_tries_again = false;
                self.at(down_ms.max(1), Step::CoordinatorRestarts);
                return;
            }
            Err(Interrupted::Store) => {
                self.disturb_all();
                self.coordinator_tries_again = true;
                self.at(STORE_PAUSE_MS, Step::Wake);
            }
            Err(Interrupted::Refused(reason)) => self.remark("coordinator", reason),
            Err(Interrupted::Blamed(reason)) => self.complaints.push(format!("the coordinator refuses: {reason}")),
            Ok(()) => {}
        }
        self.after_lies();
        let moment = self.coordinator.moment();
        if moment != self.coordinator.offered {
            self.coordinator.offered = moment;
            let deadline = self.coordinator.engine.as_ref().and_then(|e| e.job().next_deadline());
            if let Some(deadline) = deadline {
                self.at(deadline.0.saturating_sub(self.now.0), Step::Wake);
            }
            self.offer_all();
        }
    }

    /// What a dishonest coordinator says unasked; and what it forgets.
    fn after_lies(&mut self) {
        if let Err(error) = self.coordinator.restore() {
            self.complaints.push(format!("the backup cannot be used: {error}"));
        }
        for (to, ask) in self.coordinator.whispered() {
            if let Some(to) = self.parties.iter().position(|p| p.disk.name == to) {
                self.send(Message::Ask { to, ask: Box::new(ask) });
            }
        }
    }

    fn offer_all(&mut self) {
        for party in 0..self.parties.len() {
            self.offer(party);
        }
    }

    /// Level-triggered: what a party is asked follows from the job's state alone, so that it may be asked again.
    fn offer(&mut self, party: usize) {
        if self.coordinator.engine.is_none() || self.parties[party].closed {
            return;
        }
        match self.coordinator.ask(&self.parties[party].disk.name.clone()) {
            Ok(Some(ask)) => {
                self.send(Message::Ask { to: party, ask: Box::new(ask) });
            }
            Ok(None) => {}
            Err(Interrupted::Refused(reason) | Interrupted::Blamed(reason)) => self.remark("coordinator", reason),
            Err(_) => {}
        }
    }

    fn asked(&mut self, to: usize, ask: Ask) {
        let name = self.parties[to].disk.name.clone();
        let request = if matches!(ask, Ask::Answer { .. }) { During::Answering } else { During::Contributing };
        if !self.parties[to].is_up() {
            return;
        }
        if let Some(fault) = self.ignores(&name, ask.round(), request) {
            return self.disturb(fault, to);
        }
        let number = self.parties[to].received;
        self.parties[to].received += 1;
        let Some((fault, worked, down_ms)) = self.crash_at(&name, number) else { return self.perform(to, ask) };
        self.disturb(fault, to);
        if worked {
            // What it would have said is lost with it; a crash inside the work comes first.
            let _ = match self.catch_up(to, &ask) {
                Ok(true) => self.work(to, &ask),
                _ => Ok(None),
            };
        }
        let down_ms = self.parties[to].disk.vault.take_crash().unwrap_or(down_ms);
        self.kill(to, down_ms);
    }

    fn kill(&mut self, party: usize, down_ms: u64) {
        self.parties[party].kill();
        self.disturbed.insert(party);
        self.at(down_ms.max(1), Step::PartyRestarts(party));
    }

    /// Shows a participant how the journal grew, and the sums that `ask` builds on. False if the coordinator cannot be reached.
    fn catch_up(&mut self, party: usize, ask: &Ask) -> Result<bool, MemberError> {
        let name = self.parties[party].disk.name.clone();
        let proof = match self.parties[party].compare_checkpoint(&self.job, ask)? {
            None => None,
            Some((old, new)) => match self.coordinator.consistency(&name, old, new) {
                Ok(proof) => proof,
                Err(_) => return Ok(false),
            },
        };
        if let Some(proof) = &proof {
            self.count_traffic("consistency proof", 32 * proof.hashes().len() as u64);
        }
        self.parties[party].pin(self.now, &self.job, ask, proof.as_ref())?;
        while let Some(after) = self.parties[party].behind(&self.job, ask)? {
            let closed = match self.coordinator.closed_round(&name, after) {
                Ok(Some(closed)) => closed,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            };
            let bytes = 8 * closed.0.sum.len() as u64 + closed.0.spec.task_json.len() as u64 + 200;
            self.count_traffic("closed round (M5)", bytes);
            self.parties[party].absorb(self.now, &self.job, &closed)?;
        }
        Ok(true)
    }

    fn perform(&mut self, party: usize, ask: Ask) {
        let said = match self.catch_up(party, &ask) {
            Ok(true) => self.work(party, &ask),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        if let Some(down_ms) = self.parties[party].disk.vault.take_crash() {
            self.kill(party, down_ms);
            return;
        }
        match said {
            Ok(None) => {
                if let Ask::Closed { outcome: Ok((json, _)), .. } = &ask {
                    self.note_result(party, json);
                }
            }
            Ok(Some(said)) => {
                self.note_said(party, &said);
                for (nth, said) in self.parties[party].says(&ask, said, &self.overheard).into_iter().enumerate() {
                    self.count += 1;
                    let ticket = self.count;
                    if nth == 0 {
                        self.parties[party].outstanding = Some((ticket, ask.clone()));
                    }
                    let message = Message::Said { from: party, ticket, said, whole: true };
                    if nth > 0 {
                        // What a cheater says besides comes after the first.
                        self.at(*self.options.latency_ms.end() + nth as u64, Step::Deliver(message));
                        continue;
                    }
                    let travel = self.send(message);
                    self.at(travel.saturating_add(RETRY_MS), Step::Again { party, ticket });
                }
            }
            Err(error) => {
                self.parties[party].outstanding = None;
                if let MemberError::Violation(violation) = &error
                    && let Some(said) = self.parties[party].object(self.now, &self.job, ask.round(), violation)
                {
                    self.count += 1;
                    self.send(Message::Said { from: party, ticket: self.count, said, whole: true });
                }
                self.disturbed.insert(party);
                self.note_refusal(party, &error);
                let (by, violation) =
                    (Some(self.parties[party].disk.name.clone()), observed::violation(&error).cloned());
                self.noticed.push(Noticed { by, violation, reason: error.to_string() });
                let name = self.parties[party].disk.name.clone();
                self.remark(name.as_str(), error);
            }
        }
    }

    fn count_traffic(&mut self, kind: &'static str, bytes: u64) {
        let traffic = self.traffic.entry(kind).or_default();
        traffic.count += 1;
        traffic.bytes += bytes;
    }

    fn stuck(&self) -> SimulationError {
        SimulationError::Stuck {
            seed: self.options.seed,
            last_ms: self.last_entry.0 - OPENED.0,
            awaiting: self
                .coordinator
                .engine
                .as_ref()
                .map_or("the coordinator is down".to_owned(), |e| e.job().awaiting()),
            remarks: self.remarks.clone(),
        }
    }

    /// Checks the records of a run that is over; gives the job as the journal replays it, its result, and when it finished.
    fn ended(&self) -> Result<(Engine, String, Timestamp), SimulationError> {
        let seed = self.options.seed;
        let disagreement = |detail: String| SimulationError::Disagreement { seed, detail };
        let replayed = self.coordinator.replay().map_err(|source| SimulationError::Journal { seed, source })?;
        self.agree(replayed.job()).map_err(disagreement)?;
        match replayed.job().phase() {
            Phase::Finished { result_json, at, .. } => {
                let (result_json, at) = (result_json.clone(), *at);
                Ok((replayed, result_json, at))
            }
            Phase::Stopped { reason, at, .. } => Err(SimulationError::Failed {
                seed,
                at_ms: at.0 - OPENED.0,
                reason: reason.clone(),
                journal: self.coordinator.journal.clone(),
                remarks: self.remarks.clone(),
            }),
            _ => Err(self.stuck()),
        }
    }

    fn finish(self) -> Result<Outcome, SimulationError> {
        let seed = self.options.seed;
        let journal_error = |source| SimulationError::Journal { seed, source };
        let disagreement = |detail: String| SimulationError::Disagreement { seed, detail };
        let (replayed, result_json, finished) = self.ended()?;
        let job = replayed.job();
        let tip = journal::verify(&self.coordinator.journal).map_err(journal_error)?;
        let result =
            JobResult::read(&self.spec, &result_json).ok_or_else(|| disagreement("no result of a sum".to_owned()))?;
        let result = result.map_err(|e| disagreement(format!("the result: {e}")))?;
        let roster = last_roster(&self.coordinator.journal).map_err(journal_error)?;
        let roster = roster.ok_or_else(|| disagreement("the journal has no roster".to_owned()))?;
        let records = self.records().map_err(|e| disagreement(e.to_string()))?;
        let sums = self.coordinator.sums(&replayed).map_err(|e| disagreement(format!("the opened sums: {e}")))?;
        Ok(Outcome {
            seed,
            scheme: self.options.scheme.name().to_owned(),
            job: self.job,
            parties: roster.entries.iter().map(|e| e.party.clone()).collect(),
            committee: roster.rule,
            minimum_contributors: roster.minimum_contributors,
            result_json,
            result,
            rounds: round_facts(&self.coordinator.journal).map_err(journal_error)?,
            bytes: self.spec.job.parties.iter().map(|p| (p.clone(), job.bytes_from(p))).collect(),
            traffic: self.traffic,
            messages: self.sent,
            counters: job.counters(),
            opened: OPENED,
            virtual_ms: finished.0 - OPENED.0,
            tip,
            authority: self.authority,
            records,
            sums,
            journal: self.coordinator.journal,
            spec: self.spec,
            remarks: self.remarks,
        })
    }

    fn records(&self) -> Result<BTreeMap<PartyId, PartyRecord>, MemberError> {
        let record = |party: &Party| {
            let member = party.fresh_member();
            let (journal, checkpoint) = (member.journal(&self.job)?, member.last_checkpoint(&self.job)?);
            Ok((party.disk.name.clone(), PartyRecord { journal, checkpoint }))
        };
        self.parties.iter().map(record).collect()
    }
}

fn last_roster(entries: &[Entry]) -> Result<Option<haihe_protocol::roster::Roster>, JournalError> {
    let mut last = None;
    for entry in entries {
        if let Event::RosterProposed { roster } = entry.event()? {
            last = Some(roster);
        }
    }
    Ok(last)
}

fn disk(
    authority: &Authority,
    name: &PartyId,
    rows: Rows,
    options: &SimulationOptions,
) -> Result<Disk, SimulationError> {
    let (_, certificate) = authority.member("bank", name)?;
    let (mut writes, mut ahead_ms) = (Vec::new(), 0);
    for (fault, what) in options.faults.iter().enumerate().filter(|(_, what)| what.parties().contains(name)) {
        match *what {
            Fault::CrashOnWrite { write, torn, down_ms, .. } => {
                writes.push((fault, WriteFault::Crash { write, torn, down_ms }));
            }
            Fault::DiskFull { write, writes: count, .. } => {
                writes.push((fault, WriteFault::Full { write, writes: count }));
            }
            Fault::ClockSkew { ahead_ms: by, .. } => ahead_ms += by,
            _ => {}
        }
    }
    Ok(Disk {
        name: name.clone(),
        trust: authority.trust(),
        certificate,
        signing_seed: authority.signing_seed(name),
        vault: CrashingVault::new(writes),
        rows,
        budget: options.budget,
        declines: options.declines.get(name).cloned(),
        ahead_ms,
    })
}
