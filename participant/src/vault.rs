//! What a participant must not forget: keys of a job, the pinned roster, what it contributed and answered.
//!
//! Everything is kept per job. `put` and `append` are durable when they return: a participant that is killed at any moment
//! comes back knowing everything that it ever told anybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use haihe_privacy::digest::Digest;
use haihe_protocol::id::JobId;

/// A participant's durable memory.
pub trait Vault: Send {
    /// Reads a record.
    fn get(&self, job: &JobId, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Writes a record whole, or not at all.
    fn put(&mut self, job: &JobId, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Adds a line to a record.
    fn append(&mut self, job: &JobId, name: &str, line: &str) -> io::Result<()>;
    /// Starts a large record anew; durable after [`Spool::finish`].
    fn spool(&mut self, job: &JobId, name: &str) -> io::Result<Box<dyn Spool>>;
    /// Reads a large record.
    fn read(&self, job: &JobId, name: &str) -> io::Result<Box<dyn Read + Send>>;
    /// Forgets a record.
    fn remove(&mut self, job: &JobId, name: &str) -> io::Result<()>;
    /// Jobs of which there are records, in order.
    fn jobs(&self) -> io::Result<Vec<JobId>>;
}

/// A large record being written.
pub trait Spool: Write + Send {
    /// Makes it durable.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A vault in a folder that only its owner can read: `<root>/<job>/<name>`.
#[derive(Debug)]
pub struct DiskVault {
    root: PathBuf,
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a folder that only its owner can enter.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a private file whole, or not at all, durably.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The new name is durable once its folder is.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl DiskVault {
    /// A vault under `root`, which is made if it is not there.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        private_folder(&root)?;
        Ok(Self { root })
    }

    fn path(&self, job: &JobId, name: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(job.to_string());
        if !folder.is_dir() {
            private_folder(&folder)?;
            // A new folder is durable once the one above it is.
            File::open(&self.root)?.sync_all()?;
        }
        Ok(folder.join(name))
    }
}

struct FileSpool(File);

impl Write for FileSpool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Spool for FileSpool {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Vault for DiskVault {
    fn get(&self, job: &JobId, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(job, name)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn put(&mut self, job: &JobId, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_whole(&self.path(job, name)?, bytes)
    }

    fn append(&mut self, job: &JobId, name: &str, line: &str) -> io::Result<()> {
        let path = self.path(job, name)?;
        let new = !path.exists();
        let mut file = private(OpenOptions::new().create(true).append(true)).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()?;
        match path.parent() {
            Some(folder) if new => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn spool(&mut self, job: &JobId, name: &str) -> io::Result<Box<dyn Spool>> {
        let path = self.path(job, name)?;
        let file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(path)?;
        Ok(Box::new(FileSpool(file)))
    }

    fn read(&self, job: &JobId, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(job, name)?)?))
    }

    fn remove(&mut self, job: &JobId, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(job, name)?) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn jobs(&self) -> io::Result<Vec<JobId>> {
        let mut jobs = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let name = folder?.file_name();
            jobs.extend(name.to_str().and_then(|name| Digest::parse(name).ok()).map(JobId));
        }
        jobs.sort();
        Ok(jobs)
    }
}

/// A vault in memory that survives its owner: clones share it, so that a simulation can crash and restart a participant.
#[derive(Clone, Debug, Default)]
pub struct MemoryVault {
    records: Arc<Mutex<Records>>,
}

type Records = BTreeMap<(JobId, String), Vec<u8>>;

impl MemoryVault {
    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct MemorySpool {
    vault: MemoryVault,
    key: (JobId, String),
    bytes: Vec<u8>,
}

impl Write for MemorySpool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.bytes.write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool for MemorySpool {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.vault.records().insert(self.key, self.bytes);
        Ok(())
    }
}

impl Vault for MemoryVault {
    fn get(&self, job: &JobId, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.records().get(&(*job, name.to_owned())).cloned())
    }

    fn put(&mut self, job: &JobId, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.records().insert((*job, name.to_owned()), bytes.to_vec());
        Ok(())
    }

    fn append(&mut self, job: &JobId, name: &str, line: &str) -> io::Result<()> {
        let mut records = self.records();
        let record = records.entry((*job, name.to_owned())).or_default();
        record.extend_from_slice(line.as_bytes());
        record.push(b'\n');
        Ok(())
    }

    fn spool(&mut self, job: &JobId, name: &str) -> io::Result<Box<dyn Spool>> {
        Ok(Box::new(MemorySpool { vault: self.clone(), key: (*job, name.to_owned()), bytes: Vec::new() }))
    }

    fn read(&self, job: &JobId, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.get(job, name)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn remove(&mut self, job: &JobId, name: &str) -> io::Result<()> {
        self.records().remove(&(*job, name.to_owned()));
        Ok(())
    }

    fn jobs(&self) -> io::Result<Vec<JobId>> {
        let jobs: BTreeSet<JobId> = self.records().keys().map(|(job, _)| *job).collect();
        Ok(jobs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use haihe_protocol::id::Timestamp;

    use super::*;

    fn exercise(vault: &mut dyn Vault) {
        let job = JobId::of("job", Timestamp(1));
        assert_eq!(vault.get(&job, "a.json").expect("get"), None);
        vault.put(&job, "a.json", b"one").expect("put");
        vault.put(&job, "a.json", b"two").expect("put again");
        assert_eq!(vault.get(&job, "a.json").expect("get"), Some(b"two".to_vec()));
        vault.append(&job, "log", "first").expect("append");
        vault.append(&job, "log", "second").expect("append");
        assert_eq!(vault.get(&job, "log").expect("get"), Some(b"first\nsecond\n".to_vec()));
        let mut spool = vault.spool(&job, "big").expect("spool");
        spool.write_all(b"chunk").expect("write");
        spool.finish().expect("finish");
        let mut text = String::new();
        vault.read(&job, "big").expect("read").read_to_string(&mut text).expect("text");
        assert_eq!(text, "chunk");
        vault.remove(&job, "big").expect("remove");
        assert!(vault.read(&job, "big").is_err());
        assert_eq!(vault.get(&JobId::of("other", Timestamp(1)), "a.json").expect("get"), None);
        assert!(vault.jobs().expect("jobs").contains(&job));
    }

    #[test]
    fn memory_and_disk_agree() {
        exercise(&mut MemoryVault::default());
        let folder = tempfile::tempdir().expect("temporary folder");
        exercise(&mut DiskVault::open(folder.path().join("vault")).expect("open"));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_disk() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = folder.path().join("vault");
        let mut vault = DiskVault::open(root.clone()).expect("open");
        let job = JobId::of("job", Timestamp(1));
        vault.put(&job, "keys.json", b"secret").expect("put");
        let mode = |p: &Path| fs::metadata(p).expect("metadata").permissions().mode() & 0o077;
        assert_eq!(mode(&root), 0);
        assert_eq!(mode(&root.join(job.to_string()).join("keys.json")), 0);
    }
}
