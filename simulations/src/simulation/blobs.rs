//! The coordinator's ciphertexts in memory, as a disk would keep them: full at times, and without power only what was synced
//! is sure to stay.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use haihe_coordinator::blobs::{BlobKey, Blobs, MemoryBlobs};

#[derive(Debug, Default)]
struct Disk {
    /// Bytes that were made durable, by blob.
    synced: BTreeMap<BlobKey, u64>,
    appends: u64,
    /// `(fault, first, count)`: writes that fail.
    full: Vec<(usize, u64, u64)>,
    struck: Vec<usize>,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct CrashingBlobs {
    inner: MemoryBlobs,
    disk: Arc<Mutex<Disk>>,
}

impl CrashingBlobs {
    pub(super) fn new(full: Vec<(usize, u64, u64)>) -> Self {
        let disk = Disk { full, ..Disk::default() };
        Self { inner: MemoryBlobs::default(), disk: Arc::new(Mutex::new(disk)) }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Faults that happened.
    pub(super) fn struck(&self) -> Vec<usize> {
        self.disk().struck.clone()
    }

    /// Power is lost: half of what was not synced is gone.
    pub(super) fn lose_power(&self) -> io::Result<()> {
        let mut disk = self.disk();
        for (key, synced) in &mut disk.synced {
            let stored = self.inner.len(key)?;
            let kept = *synced + stored.saturating_sub(*synced) / 2;
            if kept < stored {
                let mut bytes = Vec::new();
                self.inner.read(key)?.take(kept).read_to_end(&mut bytes)?;
                self.inner.remove(key)?;
                self.inner.append(key, 0, &bytes)?;
            }
            *synced = kept;
        }
        Ok(())
    }
}

impl Blobs for CrashingBlobs {
    fn len(&self, key: &BlobKey) -> io::Result<u64> {
        self.inner.len(key)
    }

    fn append(&self, key: &BlobKey, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.appends;
        disk.appends += 1;
        let full = disk.full.iter().find(|(_, first, count)| (*first..first.saturating_add(*count)).contains(&number));
        if let Some((fault, ..)) = full.copied() {
            disk.struck.push(fault);
            // What fitted is there.
            self.inner.append(key, offset, &data[..data.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.append(key, offset, data)?;
        disk.synced.entry(key.clone()).or_default();
        Ok(())
    }

    fn sync(&self, key: &BlobKey) -> io::Result<()> {
        let stored = self.inner.len(key)?;
        self.disk().synced.insert(key.clone(), stored);
        self.inner.sync(key)
    }

    fn read(&self, key: &BlobKey) -> io::Result<Box<dyn Read + Send>> {
        self.inner.read(key)
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        self.disk().synced.remove(key);
        self.inner.remove(key)
    }

    fn remove_rounds(&self, job: &str, round: u64) -> io::Result<()> {
        self.disk().synced.retain(|k, _| k.job != job || k.round > round);
        self.inner.remove_rounds(job, round)
    }
}
