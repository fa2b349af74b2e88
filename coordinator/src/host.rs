//! All jobs of a coordinator: the one place where commands, journal and clock meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haihe_privacy::secure_sum::Scheme;
use haihe_protocol::{
    id::{JobId, PartyId, Timestamp},
    job::{JobProblem, JobSpec},
    journal::{Entry, JournalError},
    state::{Command, Job, Receipt},
};
use tokio::sync::{Mutex, RwLock, watch};

use crate::{
    blobs::Blobs,
    engine::{Engine, EngineError, Identity},
    store::{Store, StoreError},
};

/// Why the host could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The job file is invalid.
    #[error("the job file has {} problem(s):\n{}", .0.len(), .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
    Job(Vec<JobProblem>),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal in the database cannot be replayed.
    #[error("the journal of job {job} cannot be replayed: {source}")]
    Journal {
        /// Job.
        job: JobId,
        /// What is wrong.
        source: JournalError,
    },
    /// A job does not come to rest: a defect of this program.
    #[error("job {job} took {steps} steps at once and did not come to rest; this is a defect, please report it")]
    Restless {
        /// Job.
        job: JobId,
        /// Steps.
        steps: usize,
    },
}

/// Most steps that one command may lead to.
const MAX_STEPS: usize = 64;

/// What a message amounts to.
pub enum Step {
    /// Nothing happens; the sender hears this.
    Answer(Receipt),
    /// This is carried out.
    Command(Box<Command>),
}

impl Step {
    /// Carries out `command`.
    pub fn command(command: Command) -> Self {
        Step::Command(Box::new(command))
    }
}

/// The present time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A job and when it was opened, which is known without its lock.
struct Hosted {
    opened: Timestamp,
    engine: Arc<Mutex<Engine>>,
}

impl Hosted {
    fn new(engine: Engine) -> Self {
        Self { opened: engine.job().head().opened, engine: Arc::new(Mutex::new(engine)) }
    }
}

/// All jobs of a coordinator.
pub struct Host {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    store: Store,
    blobs: Arc<dyn Blobs>,
    jobs: RwLock<BTreeMap<JobId, Hosted>>,
    changed: watch::Sender<u64>,
    connected: std::sync::Mutex<BTreeMap<PartyId, usize>>,
}

impl Host {
    /// Opens the host: every job in the database goes on where it was.
    pub async fn open(
        identity: Arc<Identity>,
        scheme: Arc<dyn Scheme>,
        store: Store,
        blobs: Arc<dyn Blobs>,
    ) -> Result<Self, HostError> {
        let mut jobs = BTreeMap::new();
        for job in store.jobs().await? {
            let entries = store.journal(&job).await?;
            let engine = Engine::recover(&entries, identity.clone(), scheme.clone())
                .map_err(|source| HostError::Journal { job, source })?;
            tracing::info!(job = %job.short(), phase = engine.job().phase_name(), "recovered from the journal");
            jobs.insert(job, Hosted::new(engine));
        }
        let (changed, _) = watch::channel(0);
        let connected = std::sync::Mutex::default();
        Ok(Self { identity, scheme, store, blobs, jobs: RwLock::new(jobs), changed, connected })
    }

    /// Where ciphertexts are kept.
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// This coordinator's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Wakes up whoever watches, after every change of any job.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notes that a participant's stream is open; closes the note when dropped.
    pub fn connect(self: &Arc<Self>, party: PartyId) -> Connected {
        *self.connections().entry(party.clone()).or_default() += 1;
        self.changed.send_modify(|v| *v += 1);
        Connected { host: self.clone(), party }
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, BTreeMap<PartyId, usize>> {
        self.connected.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Participants whose stream is open.
    pub fn connected(&self) -> BTreeSet<PartyId> {
        self.connections().keys().cloned().collect()
    }

    /// All jobs, oldest first.
    pub async fn jobs(&self) -> Vec<Arc<Mutex<Engine>>> {
        let jobs = self.jobs.read().await;
        let mut opened: Vec<_> = jobs.values().map(|j| (j.opened, j.engine.clone())).collect();
        opened.sort_by_key(|(at, _)| *at);
        opened.into_iter().map(|(_, engine)| engine).collect()
    }

    /// One job.
    pub async fn job(&self, job: &JobId) -> Result<Arc<Mutex<Engine>>, HostError> {
        self.jobs.read().await.get(job).map(|j| j.engine.clone()).ok_or(HostError::NoJob(*job))
    }

    /// The journal of a job as it is stored.
    pub async fn journal(&self, job: &JobId) -> Result<Vec<Entry>, HostError> {
        self.job(job).await?;
        Ok(self.store.journal(job).await?)
    }

    /// Opens a job. The same file, submitted while such a job runs, is that job. Runs to its end like
    /// [`Host::carry_out`].
    pub async fn submit(self: &Arc<Self>, toml: String, by: String) -> Result<JobId, HostError> {
        let host = self.clone();
        match tokio::spawn(async move { host.open_job(&toml, &by).await }).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn open_job(&self, toml: &str, by: &str) -> Result<JobId, HostError> {
        let spec = JobSpec::parse(toml).map_err(HostError::Job)?;
        let mut jobs = self.jobs.write().await;
        for (id, hosted) in jobs.iter() {
            let engine = hosted.engine.lock().await;
            if engine.job().head().toml == toml && !engine.job().is_over() {
                return Ok(*id);
            }
        }
        let now = now();
        let event = Job::open(&spec, toml, by, now);
        let entry = Entry::after(&Entry::genesis(), 0, now, &event);
        let id = JobId::of(toml, now);
        self.store.append(&id, &[(entry.clone(), event.kind())]).await?;
        let engine = Engine::recover(&[entry], self.identity.clone(), self.scheme.clone())
            .map_err(|source| HostError::Journal { job: id, source })?;
        tracing::info!(job = %id.short(), name = spec.job.name, by, "job opened");
        jobs.insert(id, Hosted::new(engine));
        drop(jobs);
        self.changed.send_modify(|v| *v += 1);
        Ok(id)
    }

    /// Carries out what `step` decides on the engine, and whatever follows from it. Nothing counts before it is in the
    /// database. Runs to its end even if the caller goes away: an entry that is in the database always counts.
    pub async fn carry_out<F>(self: &Arc<Self>, engine: Arc<Mutex<Engine>>, step: F) -> Result<Receipt, HostError>
    where
        F: FnOnce(&mut Engine, &dyn Blobs) -> Result<Step, EngineError> + Send + 'static,
    {
        let host = self.clone();
        let work = tokio::spawn(async move {
            let mut engine = engine.lock().await;
            let step = tokio::task::block_in_place(|| step(&mut engine, &*host.blobs))?;
            match step {
                Step::Answer(receipt) => Ok(receipt),
                Step::Command(command) => {
                    let receipt = host.take(&mut engine, *command).await?;
                    host.settle(&mut engine).await?;
                    Ok(receipt)
                }
            }
        });
        match work.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn take(&self, engine: &mut Engine, command: Command) -> Result<Receipt, HostError> {
        let planned = engine.plan(now(), command)?;
        let receipt = planned.receipt();
        if planned.is_empty() {
            return Ok(receipt);
        }
        let job = engine.job().head().job;
        for line in planned.lines() {
            tracing::info!(job = %job.short(), "{line}");
        }
        if let Err(error) = self.store.append(&job, &planned.named()).await {
            // The running sum may hold a contribution that was never accepted.
            engine.forget_sum();
            return Err(error.into());
        }
        engine.commit(planned, &*self.blobs);
        self.changed.send_modify(|v| *v += 1);
        Ok(receipt)
    }

    /// Takes every step that follows from what is known and from the time.
    async fn settle(&self, engine: &mut Engine) -> Result<(), HostError> {
        for _ in 0..MAX_STEPS {
            let before = engine.version();
            self.take(engine, Command::Tick).await?;
            let opened = tokio::task::block_in_place(|| engine.open_sum(now(), &*self.blobs))?;
            if let Some(command) = opened {
                self.take(engine, command).await?;
            }
            if engine.version() == before {
                return Ok(());
            }
        }
        Err(HostError::Restless { job: engine.job().head().job, steps: MAX_STEPS })
    }

    /// Keeps the deadlines of all jobs until `stop` changes.
    pub async fn drive(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut changed = self.watch();
        loop {
            let mut next: Option<Timestamp> = None;
            for engine in self.jobs().await {
                let mut engine = engine.lock().await;
                if engine.job().is_over() {
                    continue;
                }
                let at = match self.settle(&mut engine).await {
                    Ok(()) => engine.job().next_deadline(),
                    Err(error) => {
                        let job = engine.job().head().job.short();
                        tracing::error!(%job, %error, "the job cannot go on now; it is tried again in ten seconds");
                        Some(now().plus_seconds(10))
                    }
                };
                next = [next, at].into_iter().flatten().min();
            }
            let pause = match next {
                // A deadline that has passed without effect is looked at again soon, not at once.
                Some(at) => Duration::from_millis(at.0.saturating_sub(now().0).clamp(50, 3_600_000)),
                None => Duration::from_secs(3600),
            };
            tokio::select! {
                _ = tokio::time::sleep(pause) => {}
                _ = changed.changed() => {}
                _ = stop.changed() => return,
            }
        }
    }
}

/// A note that a participant's stream is open.
pub struct Connected {
    host: Arc<Host>,
    party: PartyId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut connections = self.host.connections();
        if let Some(n) = connections.get_mut(&self.party) {
            *n -= 1;
            if *n == 0 {
                connections.remove(&self.party);
            }
        }
        drop(connections);
        self.host.changed.send_modify(|v| *v += 1);
    }
}
