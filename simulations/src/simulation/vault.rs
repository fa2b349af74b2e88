//! A vault in memory, as a disk would keep it: its owner can be killed instead of any write, and it can be full.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use haihe_participant::vault::{MemoryVault, Spool, Vault};
use haihe_protocol::id::JobId;

/// Counts writes and says which of them the owner does not survive.
#[derive(Debug, Default)]
struct Writes {
    done: u64,
    faults: Vec<(usize, WriteFault)>,
    /// For how long the owner is away, once it was killed.
    killed: Option<u64>,
    struck: Vec<usize>,
}

/// What goes wrong with writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum WriteFault {
    Crash { write: u64, torn: bool, down_ms: u64 },
    Full { write: u64, writes: u64 },
}

impl WriteFault {
    fn strikes(&self, number: u64) -> bool {
        match self {
            WriteFault::Crash { write, .. } => *write == number,
            WriteFault::Full { write, writes } => (*write..write.saturating_add(*writes)).contains(&number),
        }
    }
}

/// Survives its owner; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct CrashingVault {
    inner: MemoryVault,
    writes: Arc<Mutex<Writes>>,
}

enum Fate {
    Lives,
    Dies { torn: bool },
    Full,
}

impl CrashingVault {
    /// `faults` with their positions in the list of faults.
    pub(super) fn new(faults: Vec<(usize, WriteFault)>) -> Self {
        let writes = Writes { faults, ..Writes::default() };
        Self { inner: MemoryVault::default(), writes: Arc::new(Mutex::new(writes)) }
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If the owner was killed by a write: for how long it is away. Forgets it.
    pub(super) fn take_crash(&self) -> Option<u64> {
        self.writes().killed.take()
    }

    /// Writes so far, those that failed among them.
    pub(super) fn writes_done(&self) -> u64 {
        self.writes().done
    }

    /// Faults that happened.
    pub(super) fn struck(&self) -> Vec<usize> {
        self.writes().struck.clone()
    }

    fn next_write(&self) -> Fate {
        let mut writes = self.writes();
        if writes.killed.is_some() {
            return Fate::Dies { torn: false };
        }
        let number = writes.done;
        writes.done += 1;
        let Some((fault, what)) = writes.faults.iter().find(|(_, fault)| fault.strikes(number)).copied() else {
            return Fate::Lives;
        };
        writes.struck.push(fault);
        match what {
            WriteFault::Crash { torn, down_ms, .. } => {
                writes.killed = Some(down_ms);
                Fate::Dies { torn }
            }
            WriteFault::Full { .. } => Fate::Full,
        }
    }
}

fn killed() -> io::Error {
    io::Error::other("killed by the simulation")
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl Vault for CrashingVault {
    fn get(&self, job: &JobId, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.get(job, name)
    }

    fn put(&mut self, job: &JobId, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.next_write() {
            Fate::Lives => self.inner.put(job, name, bytes),
            // A record is written whole or not at all.
            Fate::Dies { .. } => Err(killed()),
            Fate::Full => Err(full()),
        }
    }

    fn append(&mut self, job: &JobId, name: &str, line: &str) -> io::Result<()> {
        match self.next_write() {
            Fate::Lives => self.inner.append(job, name, line),
            Fate::Dies { torn: false } => Err(killed()),
            fate => {
                let mut bytes = self.inner.get(job, name)?.unwrap_or_default();
                bytes.extend_from_slice(&line.as_bytes()[..line.len() / 2]);
                self.inner.put(job, name, &bytes)?;
                Err(if matches!(fate, Fate::Full) { full() } else { killed() })
            }
        }
    }

    fn spool(&mut self, job: &JobId, name: &str) -> io::Result<Box<dyn Spool>> {
        match self.next_write() {
            Fate::Lives => {}
            Fate::Dies { .. } => return Err(killed()),
            Fate::Full => return Err(full()),
        }
        // On a disk the old record is gone as soon as the new one begins.
        self.inner.remove(job, name)?;
        let spool = self.inner.spool(job, name)?;
        Ok(Box::new(CrashingSpool {
            vault: self.clone(),
            job: *job,
            name: name.to_owned(),
            spool,
            written: Vec::new(),
        }))
    }

    fn read(&self, job: &JobId, name: &str) -> io::Result<Box<dyn Read + Send>> {
        self.inner.read(job, name)
    }

    fn remove(&mut self, job: &JobId, name: &str) -> io::Result<()> {
        match self.next_write() {
            Fate::Lives => self.inner.remove(job, name),
            Fate::Dies { .. } => Err(killed()),
            Fate::Full => Err(full()),
        }
    }

    fn jobs(&self) -> io::Result<Vec<JobId>> {
        self.inner.jobs()
    }
}

struct CrashingSpool {
    vault: CrashingVault,
    job: JobId,
    name: String,
    spool: Box<dyn Spool>,
    written: Vec<u8>,
}

impl Write for CrashingSpool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.spool.write(data)?;
        self.written.extend_from_slice(&data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}

impl Spool for CrashingSpool {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        match self.vault.next_write() {
            Fate::Lives => self.spool.finish(),
            fate => {
                if let Fate::Dies { torn: true } | Fate::Full = fate {
                    let half = self.written.len() / 2;
                    self.vault.inner.put(&self.job, &self.name, &self.written[..half])?;
                }
                Err(if matches!(fate, Fate::Full) { full() } else { killed() })
            }
        }
    }
}
