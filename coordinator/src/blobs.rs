//! Bytes too big for the journal: ciphertexts and sealed shares, until their round is over.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a blob is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobKey {
    /// Folder-safe name of the job.
    pub job: String,
    /// Round.
    pub round: u64,
    /// Folder-safe name inside the round, for example `bj-1f2e3d4c.ciphertext`.
    pub name: String,
}

/// Where blobs are kept.
pub trait Blobs: Send + Sync {
    /// Bytes stored under `key`; 0 if nothing is.
    fn len(&self, key: &BlobKey) -> io::Result<u64>;
    /// Appends `data`; `offset` must be the present length.
    fn append(&self, key: &BlobKey, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    fn sync(&self, key: &BlobKey) -> io::Result<()>;
    /// Reads a blob from its beginning.
    fn read(&self, key: &BlobKey) -> io::Result<Box<dyn Read + Send>>;
    /// Forgets one blob.
    fn remove(&self, key: &BlobKey) -> io::Result<()>;
    /// Forgets everything of a job up to and including `round`.
    fn remove_rounds(&self, job: &str, round: u64) -> io::Result<()>;
}

fn wrong_offset(stored: u64, offset: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{stored} bytes are stored, the next part begins at {offset}"))
}

/// Blobs as files: `<root>/<job>/<round>/<name>`.
#[derive(Debug)]
pub struct DiskBlobs {
    root: PathBuf,
}

impl DiskBlobs {
    /// Blobs under `root`, which is made if it is not there.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(&key.job).join(key.round.to_string()).join(&key.name)
    }
}

impl Blobs for DiskBlobs {
    fn len(&self, key: &BlobKey) -> io::Result<u64> {
        match fs::metadata(self.path(key)) {
            Ok(meta) => Ok(meta.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e),
        }
    }

    fn append(&self, key: &BlobKey, offset: u64, data: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let stored = file.seek(SeekFrom::End(0))?;
        if stored != offset {
            return Err(wrong_offset(stored, offset));
        }
        file.write_all(data)
    }

    fn sync(&self, key: &BlobKey) -> io::Result<()> {
        let path = self.path(key);
        File::open(&path)?.sync_all()?;
        // Names are durable once their folders are: round, job, root.
        path.ancestors().skip(1).take(3).try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn read(&self, key: &BlobKey) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(key))?))
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        match fs::remove_file(self.path(key)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn remove_rounds(&self, job: &str, round: u64) -> io::Result<()> {
        let folder = self.root.join(job);
        let Ok(rounds) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in rounds {
            let entry = entry?;
            let old = entry.file_name().to_str().and_then(|n| n.parse::<u64>().ok()).is_some_and(|r| r <= round);
            if old {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Blobs in memory, for simulations; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs {
    blobs: Arc<Mutex<BTreeMap<BlobKey, Vec<u8>>>>,
}

impl MemoryBlobs {
    fn blobs(&self) -> MutexGuard<'_, BTreeMap<BlobKey, Vec<u8>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for MemoryBlobs {
    fn len(&self, key: &BlobKey) -> io::Result<u64> {
        Ok(self.blobs().get(key).map_or(0, |b| b.len() as u64))
    }

    fn append(&self, key: &BlobKey, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut blobs = self.blobs();
        let blob = blobs.entry(key.clone()).or_default();
        if blob.len() as u64 != offset {
            return Err(wrong_offset(blob.len() as u64, offset));
        }
        blob.extend_from_slice(data);
        Ok(())
    }

    fn sync(&self, _: &BlobKey) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, key: &BlobKey) -> io::Result<Box<dyn Read + Send>> {
        match self.blobs().get(key) {
            Some(blob) => Ok(Box::new(io::Cursor::new(blob.clone()))),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        self.blobs().remove(key);
        Ok(())
    }

    fn remove_rounds(&self, job: &str, round: u64) -> io::Result<()> {
        self.blobs().retain(|k, _| k.job != job || k.round > round);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(blobs: &dyn Blobs) {
        let key = |round, name: &str| BlobKey { job: "j".into(), round, name: name.into() };
        assert_eq!(blobs.len(&key(1, "a")).expect("length"), 0);
        blobs.append(&key(1, "a"), 0, b"abc").expect("append");
        assert!(blobs.append(&key(1, "a"), 2, b"x").is_err(), "overlapping parts are refused");
        blobs.append(&key(1, "a"), 3, b"def").expect("append");
        blobs.sync(&key(1, "a")).expect("sync");
        let mut text = String::new();
        blobs.read(&key(1, "a")).expect("read").read_to_string(&mut text).expect("text");
        assert_eq!(text, "abcdef");
        blobs.append(&key(2, "b"), 0, b"x").expect("append");
        blobs.remove_rounds("j", 1).expect("remove");
        assert_eq!(blobs.len(&key(1, "a")).expect("length"), 0);
        assert_eq!(blobs.len(&key(2, "b")).expect("length"), 1);
        blobs.remove(&key(2, "b")).expect("remove");
        blobs.remove(&key(2, "b")).expect("removing twice is fine");
        assert!(blobs.read(&key(2, "b")).is_err());
    }

    #[test]
    fn memory_and_disk_agree() {
        exercise(&MemoryBlobs::default());
        let folder = tempfile::tempdir().expect("temporary folder");
        exercise(&DiskBlobs::open(folder.path().join("blobs")).expect("open"));
    }
}
