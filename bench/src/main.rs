//! Benchmarks of Haihe beside their references.
//!
//! `cargo xtask bench NAME` runs them in release and keeps the rows in `target/bench/`. The secure sum is measured beside
//! `tfhe`, which the feature `tfhe` adds; all others do without.

mod cpu;
mod linear;
#[cfg(feature = "tfhe")]
mod memory;
mod noise;
mod paillier;
#[cfg(feature = "tfhe")]
mod plain;
mod psi;
mod rows;
#[cfg(feature = "tfhe")]
mod secure_sum;
#[cfg(feature = "tfhe")]
mod seeded_glwe;
mod vertical_lr;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "haihe-bench", about = "Benchmarks of Haihe beside their references")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The secure sum: each message handler on its own, single-threaded, at production parameters
    #[cfg(feature = "tfhe")]
    SecureSum {
        /// Fewer repetitions and no memory measurement
        #[arg(long)]
        quick: bool,
    },
    /// Samples of the discrete Gaussian, beside those of the `prio` crate
    Noise {
        /// Fewer repetitions
        #[arg(long)]
        quick: bool,
    },
    /// Inner products with an encrypted vector, beside Paillier and Okamoto-Uchiyama
    Linear {
        /// Fewer repetitions
        #[arg(long)]
        quick: bool,
    },
    /// Alignment of two and three parties: CPU time and bytes for each firm
    Psi {
        /// Fewer repetitions, and 100,000 firms at most
        #[arg(long)]
        quick: bool,
        /// A Python that has the package `spu`, whose intersections then run in turn with ours
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// Vertical logistic regression, from sealed letters to the evaluation, all parties in one process
    VerticalLr {
        /// Fewer repetitions
        #[arg(long)]
        quick: bool,
        /// The folder of public data sets; without it only the bundled firms are learned from
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// One side of a secure sum in a process of its own, for its peak memory
    #[cfg(feature = "tfhe")]
    #[command(hide = true)]
    Side {
        /// Where the participants write their contributions and the coordinator reads them
        folder: PathBuf,
        /// Which side
        side: memory::Side,
        /// Which participant
        #[arg(default_value_t = 0)]
        party: u8,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        #[cfg(feature = "tfhe")]
        Command::SecureSum { quick } => secure_sum::run(quick),
        Command::Noise { quick } => noise::run(quick),
        Command::Linear { quick } => linear::run(quick),
        Command::Psi { quick, python } => psi::run(quick, python.as_deref()),
        Command::VerticalLr { quick, data } => vertical_lr::run(quick, data.as_deref()),
        #[cfg(feature = "tfhe")]
        Command::Side { folder, side, party } => memory::run_side(&folder, side, party),
    }
}
