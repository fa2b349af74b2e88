//! Peak memory of either side of one large sum, each in a process of its own.

use crate::rows::Rows;
use crate::secure_sum::{BITS, PARTIES, context, quantiser};
use anyhow::{Context, Result, ensure};
use haihe_privacy::prg::SecretStream;
use haihe_privacy::secure_sum::lattice::Lattice;
use haihe_privacy::secure_sum::{Adversary, CommitteeRule, KeyShare, Scheme, ShareSum, SumParameters};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

/// The length of the vector.
const DIMENSION: usize = 10_000_000;

/// One side of a sum.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Side {
    /// Quantises and encrypts a vector of `f32`, chunk by chunk into a file, and appends its key shares.
    Participant,
    /// Adds the files of all participants, chunk by chunk, and opens the sum.
    Coordinator,
}

/// Runs every participant and the coordinator in child processes and records their peak resident memory.
pub fn measure(rows: &mut Rows) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("haihe-bench-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let outcome = measure_in(&folder);
    std::fs::remove_dir_all(&folder)?;
    let (participant, coordinator) = outcome?;
    let params = [("d", DIMENSION as u64), ("n", PARTIES.into())];
    rows.push("participant peak RSS", &params, participant, "MB");
    rows.push("coordinator peak RSS", &params, coordinator, "MB");
    Ok(())
}

/// Peaks in MB: the largest of the participants', and the coordinator's.
fn measure_in(folder: &Path) -> Result<(f64, f64)> {
    let side = |arguments: &[&str]| -> Result<f64> {
        let output = Command::new(std::env::current_exe()?).arg("side").arg(folder).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    let mut participant = 0f64;
    for party in 0..PARTIES {
        participant = participant.max(side(&["participant", &party.to_string()])?);
    }
    Ok((participant, side(&["coordinator"])?))
}

/// One side; prints its peak resident memory in MB.
pub fn run_side(folder: &Path, side: Side, party: u8) -> Result<()> {
    let parameters = SumParameters::choose(DIMENSION, PARTIES, BITS)?;
    let rule = CommitteeRule::for_parties(PARTIES, Adversary::Malicious)?;
    match side {
        Side::Participant => participate(&parameters, &rule, folder, party)?,
        Side::Coordinator => coordinate(&parameters, &rule, folder)?,
    }
    println!("{}", peak_megabytes()?);
    Ok(())
}

fn participate(parameters: &SumParameters, rule: &CommitteeRule, folder: &Path, party: u8) -> Result<()> {
    let values: Vec<f32> = (0..DIMENSION).map(|i| (i % 2001) as f32 / 1000.0 - 1.0).collect();
    let quantiser = quantiser(DIMENSION)?;
    let mut rounding = SecretStream::new(&[1; 32], 0);
    let mut contributor = Lattice.contributor(parameters, &context(), [party; 32]);
    let mut file = BufWriter::new(File::create(folder.join(party.to_string()))?);
    let (mut integers, mut bytes) = (vec![0; parameters.values_per_chunk()], Vec::new());
    for index in 0..parameters.chunks() {
        let range = parameters.chunk_values(index);
        let integers = &mut integers[..range.len()];
        quantiser.quantise(range.start, &values[range], integers, &mut rounding)?;
        bytes.clear();
        contributor.encrypt_chunk(index, integers, &mut bytes)?;
        file.write_all(&bytes)?;
    }
    for share in contributor.into_key_shares(rule) {
        file.write_all(&share.to_bytes())?;
    }
    Ok(file.flush()?)
}

fn coordinate(parameters: &SumParameters, rule: &CommitteeRule, folder: &Path) -> Result<()> {
    let mut adder = Lattice.adder(parameters, &context());
    let mut answers: Vec<_> = (0..rule.members()).map(|m| (m, ShareSum::zero(parameters.set(), rule))).collect();
    let mut chunk = vec![0; parameters.chunk_bytes()];
    let mut share = vec![0; rule.share_bytes(parameters.set())];
    for party in 0..PARTIES {
        let mut file = BufReader::new(File::open(folder.join(party.to_string()))?);
        for index in 0..parameters.chunks() {
            file.read_exact(&mut chunk)?;
            adder.add_chunk(index, &chunk)?;
        }
        adder.finish_contribution()?;
        for (_, answer) in &mut answers {
            file.read_exact(&mut share)?;
            answer.add(&KeyShare::from_bytes(&share, parameters.set(), rule)?)?;
        }
    }
    let opened = adder.open(rule, &answers, PARTIES)?;
    ensure!(opened.sum.len() == DIMENSION, "the sum has {} entries", opened.sum.len());
    Ok(())
}

/// `VmHWM` of this process.
fn peak_megabytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is measured on Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
