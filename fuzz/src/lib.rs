//! Fuzzing: one target per decoder of foreign bytes and one per state machine.
//!
//! A target takes any bytes and must neither panic nor hang nor hold more memory than it states; what else must hold is
//! asserted inside. The tests of this crate run every target for about a second, seeded ([`driver`]); `cargo xtask fuzz`
//! runs them for as long as asked, guided by coverage. Inputs that once failed lie in `corpus/<target>/*.hex` and are
//! replayed by the tests. State machines run over the scheme without security, so that they are fast; see `docs/fuzzing.md`.

use std::{collections::BTreeSet, path::PathBuf};

pub mod bytes;
pub mod driver;
mod files;
mod job;
mod learning;
mod member;
mod scene;
mod sums;
mod wire;
mod witness;
mod world;

/// What one call may hold at its peak: so many bytes per byte of input, and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Per byte of input.
    pub per_byte: usize,
    /// In any case, in KiB.
    pub constant_kib: usize,
}

impl Memory {
    /// Bytes for an input of this length.
    pub fn of(self, length: usize) -> usize {
        self.per_byte * length + (self.constant_kib << 10)
    }
}

/// One thing to be fuzzed.
pub struct Target {
    /// Its name, also of its folder in `corpus/`.
    pub name: &'static str,
    /// Takes any bytes. Panics if what must hold does not.
    pub run: fn(&[u8]),
    /// Inputs to begin with: real messages, files and lists of operations.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What one call may hold.
    pub memory: Memory,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, memory: (usize, usize)) -> Target {
    Target { name, run, seeds, memory: Memory { per_byte: memory.0, constant_kib: memory.1 } }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("coordinator-wire", wire::coordinator, wire::coordinator_seeds, (64, 64)),
    target("participant-wire", wire::participant, wire::participant_seeds, (160, 64)),
    target("closed-round", wire::closed_round, wire::closed_round_seeds, (64, 64)),
    target("job-file", files::job, files::job_seeds, (256, 1024)),
    target("config-files", files::configs, files::configs_seeds, (128, 256)),
    target("scorecard-file", files::scorecard, files::scorecard_seeds, (128, 256)),
    target("keys", files::keys, files::keys_seeds, (64, 64)),
    target("certificate", files::certificate, files::certificate_seeds, (64, 64)),
    target("journal", files::journal, files::journal_seeds, (256, 1024)),
    target("log", sums::log, sums::log_seeds, (64, 64)),
    target("sealed", sums::sealed, sums::sealed_seeds, (16, 64)),
    target("shares", sums::shares, sums::shares_seeds, (64, 1024)),
    target("chunks", sums::chunks, sums::chunks_seeds, (16, 1024)),
    target("parameters", sums::parameters, sums::parameters_seeds, (64, 64)),
    target("task", learning::task, learning::task_seeds, (64, 1024)),
    target("plan", learning::plan, learning::plan_seeds, (64, 1024)),
    target("job-machine", job::run, job::seeds, (256, 4096)),
    target("member-machine", member::run, member::seeds, (256, 4096)),
    target("vault", member::vault, member::vault_seeds, (256, 4096)),
    target("witness-machine", witness::run, witness::seeds, (256, 4096)),
];

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|t| t.name == name)
}

/// The folder of a target's kept inputs.
pub fn corpus(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// A target's kept inputs, with their names.
///
/// # Errors
/// If a file cannot be read or is not hexadecimal.
pub fn kept(target: &Target) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = corpus(target);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let files: BTreeSet<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    let hex = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "hex"));
    hex.map(|path| {
        let text: String = std::fs::read_to_string(&path)?.split_whitespace().collect();
        let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, hex::decode(text)?))
    })
    .collect()
}
