//! A coordinator's engine and its participants over the scheme without security, stepped by hand, and a whole honest job
//! to begin in the middle of.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use haihe_coordinator::{
    blobs::{BlobKey, Blobs},
    engine::{self, Engine, EngineError},
};
use haihe_models::table::Table;
use haihe_participant::{
    member::{self, Member, MemberError, Offer, SessionParts},
    vault::{Spool, Vault},
};
use haihe_privacy::{
    digest::{Digest, Transcript},
    log::ConsistencyProof,
    secure_sum::plain::NoSecurity,
    sign::Signature,
};
use haihe_protocol::{
    horizontal::network::EncodedRows,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::Entry,
    message::{Answer, Contribution, RoundSpec, SurvivorSet},
    roster::{Confirmation, Join, Roster, Session},
    state::{Command, Directive, Job, Receipt},
    witness::ClosedRound,
};

use crate::scene::{self, NOW, federation};

type Records<K> = Arc<Mutex<BTreeMap<K, Vec<u8>>>>;

fn locked<K>(records: &Records<K>) -> MutexGuard<'_, BTreeMap<K, Vec<u8>>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

fn deep<K: Clone + Ord>(records: &Records<K>) -> Records<K> {
    Arc::new(Mutex::new(locked(records).clone()))
}

/// A vault in memory; clones share it.
#[derive(Clone, Default)]
pub(crate) struct MapVault(Records<String>);

struct MapSpool(MapVault, String, Vec<u8>);

impl Write for MapSpool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.2.write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool for MapSpool {
    fn finish(self: Box<Self>) -> io::Result<()> {
        locked(&self.0.0).insert(self.1, self.2);
        Ok(())
    }
}

impl Vault for MapVault {
    fn get(&self, _: &JobId, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(locked(&self.0).get(name).cloned())
    }
    fn put(&mut self, _: &JobId, name: &str, bytes: &[u8]) -> io::Result<()> {
        locked(&self.0).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
    fn append(&mut self, _: &JobId, name: &str, line: &str) -> io::Result<()> {
        let mut records = locked(&self.0);
        let record = records.entry(name.to_owned()).or_default();
        record.extend_from_slice(line.as_bytes());
        record.push(b'\n');
        Ok(())
    }
    fn spool(&mut self, _: &JobId, name: &str) -> io::Result<Box<dyn Spool>> {
        Ok(Box::new(MapSpool(self.clone(), name.to_owned(), Vec::new())))
    }
    fn read(&self, _: &JobId, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = locked(&self.0).get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }
    fn remove(&mut self, _: &JobId, name: &str) -> io::Result<()> {
        locked(&self.0).remove(name);
        Ok(())
    }
    fn jobs(&self) -> io::Result<Vec<JobId>> {
        // Records are kept without their job.
        Ok(Vec::new())
    }
}

impl MapVault {
    /// The names of all records.
    pub(crate) fn names(&self) -> Vec<String> {
        locked(&self.0).keys().cloned().collect()
    }
    pub(crate) fn change(&self, name: &str, with: impl FnOnce(&mut Vec<u8>)) {
        locked(&self.0).entry(name.to_owned()).and_modify(with);
    }
}

/// Blobs in memory that can be copied.
#[derive(Default)]
pub(crate) struct MapBlobs(Records<(String, u64, String)>);

fn key(k: &BlobKey) -> (String, u64, String) {
    (k.job.clone(), k.round, k.name.clone())
}

impl Blobs for MapBlobs {
    fn len(&self, k: &BlobKey) -> io::Result<u64> {
        Ok(locked(&self.0).get(&key(k)).map_or(0, |b| b.len() as u64))
    }
    fn append(&self, k: &BlobKey, _: u64, data: &[u8]) -> io::Result<()> {
        locked(&self.0).entry(key(k)).or_default().extend_from_slice(data);
        Ok(())
    }
    fn sync(&self, _: &BlobKey) -> io::Result<()> {
        Ok(())
    }
    fn read(&self, k: &BlobKey) -> io::Result<Box<dyn Read + Send>> {
        let blob = locked(&self.0).get(&key(k)).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(blob)))
    }
    fn remove(&self, k: &BlobKey) -> io::Result<()> {
        locked(&self.0).remove(&key(k));
        Ok(())
    }
    fn remove_rounds(&self, job: &str, round: u64) -> io::Result<()> {
        locked(&self.0).retain(|k, _| k.0 != job || k.1 > round);
        Ok(())
    }
}

/// What a participant says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Join(Join),
    Confirm(Confirmation),
    Contribute { head: Contribution, shares: Vec<Vec<u8>>, ciphertext: Vec<u8> },
    Answer(Answer),
    Object(haihe_protocol::message::Objection),
}

/// What a participant is asked.
#[derive(Clone)]
pub(crate) enum Ask {
    Offer,
    Confirm(Roster),
    Contribute {
        spec: RoundSpec,
        signature: Signature,
        session: SessionParts,
        checkpoint: String,
    },
    Answer {
        spec: RoundSpec,
        spec_signature: Signature,
        survivors: SurvivorSet,
        signature: Signature,
        shares: Vec<Vec<u8>>,
        session: SessionParts,
        checkpoint: String,
    },
    Closed {
        outcome: Result<(String, Digest), String>,
        checkpoint: String,
        session: Option<SessionParts>,
    },
}

/// What a participant asks back.
pub(crate) trait Coordinator {
    fn consistency(&self, old: u64, new: u64) -> Option<ConsistencyProof>;
    fn closed_round(&self, after: u64) -> Option<(ClosedRound, Signature)>;
}

/// A participant and its vault.
pub(crate) struct Party {
    pub(crate) name: PartyId,
    pub(crate) vault: MapVault,
    pub(crate) member: Member,
    table: Table,
}

impl Party {
    fn new(name: &PartyId, vault: MapVault, table: Table) -> Self {
        let identity = member::Identity {
            party: name.clone(),
            trust: federation().trust(),
            certificate: certificate(name),
            key: federation().key(name.as_str()),
            budget: None,
        };
        let member = Member::new(Arc::new(identity), Arc::new(NoSecurity), Box::new(vault.clone()));
        Self { name: name.clone(), vault, member, table }
    }

    /// Its process is killed and started again.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(&self.name, self.vault.clone(), self.table.clone());
    }

    /// What its sealing key is derived from.
    pub(crate) fn sealing_secret(&self) -> [u8; 32] {
        self.secret("sealing", "")
    }

    fn secret(&self, purpose: &str, of: &str) -> [u8; 32] {
        *Transcript::new("haihe/v1/fuzz").str(self.name.as_str()).str(purpose).str(of).finish().as_bytes()
    }

    /// Does what it is asked, in the order in which a deployed participant looks at things. `salt` makes its randomness
    /// another one.
    pub(crate) fn follow(
        &mut self,
        now: Timestamp,
        job: &JobId,
        toml: &str,
        ask: &Ask,
        coordinator: &dyn Coordinator,
        salt: &str,
    ) -> Result<Option<Said>, MemberError> {
        let (round, built, session, checkpoint) = match ask {
            Ask::Contribute { spec, session, checkpoint, .. } | Ask::Answer { spec, session, checkpoint, .. } => {
                (Some(spec.round), Some(spec.previous), Some(session), Some(checkpoint))
            }
            Ask::Closed { outcome, checkpoint, session } => {
                (None, outcome.as_ref().ok().map(|(_, transcript)| *transcript), session.as_ref(), Some(checkpoint))
            }
            _ => (None, None, None, None),
        };
        let member = &mut self.member;
        if let Some(text) = checkpoint
            && !member.is_closed(job)?
            && (session.is_some() || member.has_session(job)?)
        {
            let proof = member
                .compare_checkpoint(job, round, text, session)?
                .and_then(|(old, new)| coordinator.consistency(old, new));
            member.pin(now, job, round, text, proof.as_ref())?;
        }
        if let Some(previous) = built
            && !member.is_closed(job)?
        {
            for _ in 0..32 {
                let Some(after) = member.behind(job, round, &previous, session)? else { break };
                let Some((closed, signature)) = coordinator.closed_round(after) else { break };
                member.absorb(now, job, &closed, &signature)?;
            }
        }
        self.perform(now, job, toml, ask, salt)
    }

    fn perform(
        &mut self,
        now: Timestamp,
        job: &JobId,
        toml: &str,
        ask: &Ask,
        salt: &str,
    ) -> Result<Option<Said>, MemberError> {
        let secrets = ["sealing", "nonce", "check"].map(|p| self.secret(p, salt));
        let member = &mut self.member;
        Ok(match ask {
            Ask::Offer => match member.earlier_reply(now, job)? {
                Some(Ok(join)) => Some(Said::Join(join)),
                Some(Err(_)) => None,
                None => {
                    let offer = Offer { toml, opened: NOW, by: "fuzz" };
                    Some(Said::Join(member.join(now, job, offer, self.table.rows() as u64, secrets)?))
                }
            },
            Ask::Confirm(roster) => Some(Said::Confirm(member.confirm(now, job, roster)?)),
            Ask::Contribute { spec, signature, session, .. } => {
                let seed = self.secret(&spec.task_json, salt);
                let member = &mut self.member;
                // Its table never changes, and it may be restarted at any time: nothing is kept of it.
                let rows = (&self.table, &EncodedRows::default());
                let out = member.contribute(now, job, spec.clone(), signature, Some(session), rows, seed)?;
                let mut ciphertext = Vec::new();
                member.ciphertext(job)?.read_to_end(&mut ciphertext)?;
                let (head, shares) = (out.prepared.contribution, out.prepared.sealed_shares);
                Some(Said::Contribute { head, shares, ciphertext })
            }
            Ask::Answer { spec, spec_signature, survivors, signature, shares, session, .. } => {
                let (survivors, session) = (survivors.clone(), Some(session));
                Some(Said::Answer(member.answer(
                    now,
                    job,
                    spec.clone(),
                    spec_signature,
                    survivors,
                    signature,
                    shares,
                    session,
                )?))
            }
            Ask::Closed { outcome, .. } => {
                if let Ok((result, transcript)) = outcome
                    && !member.is_closed(job)?
                {
                    member.check_result(job, result, transcript)?;
                }
                member.close(now, job, outcome.clone().map(|(_, transcript)| transcript))?;
                None
            }
        })
    }
}

fn certificate(name: &PartyId) -> Vec<u8> {
    static MADE: OnceLock<Mutex<BTreeMap<PartyId, Vec<u8>>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let role = if name.as_str() == "coordinator" { "coordinator" } else { "bank" };
    made.entry(name.clone()).or_insert_with(|| federation().certificate(role, name.as_str())).clone()
}

fn identity() -> Arc<engine::Identity> {
    let name = PartyId::new("coordinator").expect("a name");
    let (certificate, key) = (certificate(&name), federation().key("coordinator"));
    Arc::new(engine::Identity { trust: federation().trust(), certificate, key })
}

/// The coordinator and everybody.
pub(crate) struct World {
    pub(crate) toml: String,
    pub(crate) job: JobId,
    pub(crate) engine: Engine,
    pub(crate) journal: Vec<Entry>,
    pub(crate) blobs: MapBlobs,
    pub(crate) parties: Vec<Party>,
    pub(crate) now: Timestamp,
}

impl Coordinator for World {
    fn consistency(&self, old: u64, new: u64) -> Option<ConsistencyProof> {
        self.engine.consistency(old, new).ok()
    }
    fn closed_round(&self, after: u64) -> Option<(ClosedRound, Signature)> {
        self.engine.closed_round(after, &self.blobs).ok()?
    }
}

/// The session as it is sent along.
pub(crate) fn parts(session: &Session) -> SessionParts {
    SessionParts { roster: session.roster().clone(), confirmations: session.confirmations().to_vec() }
}

impl World {
    fn begin(toml: &str) -> Self {
        let spec = JobSpec::parse(toml).expect("a valid job");
        let journal = vec![Entry::after(&Entry::genesis(), 0, NOW, &Job::open(&spec, toml, "fuzz", NOW))];
        let parties = spec.job.parties.iter().enumerate();
        let parties = parties.map(|(i, p)| Party::new(p, MapVault::default(), scene::table(&spec, i))).collect();
        let engine = recover(&journal);
        let (toml, job) = (toml.to_owned(), JobId::of(toml, NOW));
        Self { toml, job, engine, journal, blobs: MapBlobs::default(), parties, now: NOW }
    }

    /// What is on everybody's disk.
    fn stage(&self) -> Stage {
        Stage {
            toml: self.toml.clone(),
            journal: self.journal.clone(),
            blobs: MapBlobs(deep(&self.blobs.0)),
            vaults: self.parties.iter().map(|p| MapVault(deep(&p.vault.0))).collect(),
            now: self.now,
        }
    }

    /// An engine from the journal alone.
    pub(crate) fn recovered(&self) -> Engine {
        recover(&self.journal)
    }

    /// Carries a command out.
    pub(crate) fn command(&mut self, command: Command) -> Result<Receipt, EngineError> {
        let planned = self.engine.plan(self.now, command)?;
        let receipt = planned.receipt();
        self.journal.extend(planned.entries.iter().cloned());
        self.engine.commit(planned, &self.blobs);
        Ok(receipt)
    }

    /// Everything that follows by itself.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let before = self.journal.len();
            self.command(Command::Tick).expect("ticks are always taken");
            if self.journal.len() == before {
                match self.engine.open_sum(self.now, &self.blobs) {
                    Ok(Some(command)) => drop(self.command(command)),
                    _ => return,
                }
            }
        }
        panic!("what follows by itself never ends");
    }

    /// Takes a message as the service does. `whole` is false if an upload breaks off.
    pub(crate) fn receive(&mut self, said: Said, whole: bool) -> Result<Option<Receipt>, EngineError> {
        let command = match said {
            Said::Join(join) => Some(self.engine.verify_join(join, self.now)?),
            Said::Confirm(confirmation) => self.engine.verify_confirmation(confirmation)?,
            Said::Answer(answer) => self.engine.verify_answer(answer)?,
            Said::Object(objection) => self.engine.verify_objection(objection)?,
            Said::Contribute { head, shares, ciphertext } => match self.engine.begin_upload(head, shares)? {
                Err(receipt) => return Ok(Some(receipt)),
                Ok(upload) => {
                    self.blobs.remove(&upload.key)?;
                    self.blobs.append(&upload.key, 0, &ciphertext)?;
                    if !whole {
                        return Ok(None);
                    }
                    Some(self.engine.finish_upload(upload, &self.blobs)?)
                }
            },
        };
        command.map(|command| self.command(command)).transpose()
    }

    /// What a party is asked now.
    pub(crate) fn ask(&self, party: usize) -> Option<Ask> {
        let engine = &self.engine;
        let checkpoint = || engine.checkpoint().expect("signs");
        Some(match engine.job().directive(&self.parties[party].name) {
            Directive::Wait { .. } => return None,
            Directive::Offer { .. } => Ask::Offer,
            Directive::Confirm(roster) => Ask::Confirm(roster),
            Directive::Contribute { spec, session } => {
                let signature = engine.sign_spec(&spec);
                Ask::Contribute { spec, signature, session: parts(&session), checkpoint: checkpoint() }
            }
            Directive::Answer { spec, survivors, position, session } => Ask::Answer {
                spec_signature: engine.sign_spec(&spec),
                signature: engine.sign_survivors(&survivors),
                shares: engine.sealed_shares_for(position, &survivors, &self.blobs).ok()?,
                session: parts(&session),
                spec,
                survivors,
                checkpoint: checkpoint(),
            },
            // No job of this world is vertical.
            Directive::Exchange { .. } => return None,
            Directive::Closed { outcome, session, .. } => Ask::Closed {
                outcome: outcome.map_err(|(_, reason)| reason),
                checkpoint: checkpoint(),
                session: session.map(|s| parts(&s)),
            },
        })
    }

    /// A party does what it is asked.
    pub(crate) fn follow(&mut self, party: usize, ask: &Ask) -> Result<Option<Said>, MemberError> {
        // The party is taken out while it asks the rest of the world back.
        let mut one = self.parties.remove(party);
        let said = one.follow(self.now, &self.job, &self.toml.clone(), ask, self, "");
        self.parties.insert(party, one);
        said
    }

    /// Everything about the job's state.
    pub(crate) fn state(&self) -> String {
        format!("{:?}", self.engine.job())
    }
}

/// A moment of a job, as it lies on everybody's disk.
pub(crate) struct Stage {
    toml: String,
    journal: Vec<Entry>,
    blobs: MapBlobs,
    vaults: Vec<MapVault>,
    now: Timestamp,
}

impl Stage {
    /// A world that begins here, apart from all others.
    pub(crate) fn fork(&self) -> World {
        let engine = recover(&self.journal);
        let spec = &engine.job().head().spec;
        let fresh = |(i, (name, vault)): (usize, (&PartyId, &MapVault))| {
            Party::new(name, MapVault(deep(&vault.0)), scene::table(spec, i))
        };
        World {
            toml: self.toml.clone(),
            job: engine.job().head().job,
            journal: self.journal.clone(),
            blobs: MapBlobs(deep(&self.blobs.0)),
            parties: spec.job.parties.iter().zip(&self.vaults).enumerate().map(fresh).collect(),
            now: self.now,
            engine,
        }
    }
}

fn recover(journal: &[Entry]) -> Engine {
    Engine::recover(journal, identity(), Arc::new(NoSecurity)).expect("an own journal is sound")
}

/// A whole honest job, and the moments on its way.
pub(crate) struct Reference {
    pub(crate) stages: Vec<Stage>,
    pub(crate) journal: Vec<Entry>,
    pub(crate) said: Vec<(usize, Said)>,
    pub(crate) asked: Vec<(usize, Ask)>,
    pub(crate) closed: Vec<(ClosedRound, Signature)>,
    pub(crate) result: String,
}

/// The honest job of three parties, or of four of which three are enough.
pub(crate) fn reference(parties: usize) -> &'static Reference {
    static REFERENCES: [OnceLock<Reference>; 2] = [const { OnceLock::new() }; 2];
    REFERENCES[parties - 3].get_or_init(|| {
        run(&match parties {
            3 => scene::JOB.to_owned(),
            _ => scene::job_of(&["bj", "he", "sx", "tj"], "min_parties = 3"),
        })
    })
}

fn run(toml: &str) -> Reference {
    let mut world = World::begin(toml);
    let (mut stages, mut said, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    while !world.parties.iter().all(|p| p.member.is_closed(&world.job).expect("a journal")) {
        assert!(stages.len() < 200, "an honest job ends");
        for party in 0..world.parties.len() {
            world.settle();
            let Some(ask) = world.ask(party) else { continue };
            stages.push(world.stage());
            asked.push((party, ask.clone()));
            if let Some(words) = world.follow(party, &ask).expect("honest") {
                said.push((party, words.clone()));
                world.receive(words, true).expect("honest");
            }
        }
        world.now = world.now.plus_seconds(1);
    }
    let mut closed: Vec<(ClosedRound, Signature)> = Vec::new();
    while let Some(next) = world.closed_round(closed.last().map_or(0, |c| c.0.spec.round)) {
        closed.push(next);
    }
    let Directive::Closed { outcome: Ok((result, _)), .. } = world.engine.job().directive(&world.parties[0].name)
    else {
        panic!("the honest job did not finish: {}", world.engine.job().awaiting());
    };
    Reference { stages, journal: world.journal, said, asked, closed, result }
}
