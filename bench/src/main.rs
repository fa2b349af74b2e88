//! Benchmarks of Haihe beside their references.
//!
//! `cargo xtask bench secure-sum` runs them in release and keeps the rows in `target/bench/`.

mod linear;
mod memory;
mod noise;
mod paillier;
mod plain;
mod rows;
mod secure_sum;
mod seeded_glwe;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "haihe-bench", about = "Benchmarks of Haihe beside their references")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The secure sum: each message handler on its own, single-threaded, at production parameters
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
    /// One side of a secure sum in a process of its own, for its peak memory
    #[command(hide = true)]
    Side {
        /// Where the participants write their contributions and the coordinator reads them
        folder: std::path::PathBuf,
        /// Which side
        side: memory::Side,
        /// Which participant
        #[arg(default_value_t = 0)]
        party: u8,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::SecureSum { quick } => secure_sum::run(quick),
        Command::Noise { quick } => noise::run(quick),
        Command::Linear { quick } => linear::run(quick),
        Command::Side { folder, side, party } => memory::run_side(&folder, side, party),
    }
}
