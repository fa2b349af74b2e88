//! Random trials: every kind of fault, for a while, around the few messages, writes and entries that a trial has.

use haihe_privacy::secure_sum::{Adversary, CommitteeRule};
use haihe_protocol::id::PartyId;
use rand::RngExt as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::{Trial, federation::MOST, names};
use crate::fault::{During, Fault};

/// One in so many trials encrypts.
const LATTICE_ONE_IN: u32 = 50;

impl Trial {
    /// The trial with this number. All its faults end: nobody is away for good.
    pub fn random(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        // Few parties more often: they are as good at going wrong and cost less.
        let sizes = [3, 3, 3, 3, 4, 4, 4, 5, 5, 6, MOST as u32];
        let parties = sizes[rng.random_range(0..sizes.len())];
        let min_parties = rng.random_range(fewest(parties)..=parties);
        let lattice = rng.random_ratio(1, LATTICE_ONE_IN);
        let names = names(parties);
        let faults = (0..rng.random_range(1..=6)).map(|_| fault(&mut rng, &names)).collect();
        Trial { story: String::new(), seed, parties, min_parties, lattice, faults }
    }
}

/// The smallest `min_parties` that a job file may ask for.
fn fewest(parties: u32) -> u32 {
    CommitteeRule::for_parties(parties, Adversary::Malicious).map_or(parties, |rule| rule.minimum_contributors())
}

fn fault(rng: &mut ChaCha20Rng, parties: &[PartyId]) -> Fault {
    let n = parties.len() as u64;
    let message = rng.random_range(0..40 * n);
    let entry = rng.random_range(1..18 * n);
    let down_ms = rng.random_range(1..30_000);
    let times = rng.random_range(2..6);
    // Most trials are over within two virtual seconds, some wait for deadlines.
    let latest = if rng.random_bool(0.5) { 1_500 } else { 120_000 };
    let moment_ms = rng.random_range(0..latest);
    let longest = if rng.random_bool(0.8) { 90_000 } else { 400_000 };
    let length_ms = rng.random_range(1..longest);
    let party = parties[rng.random_range(0..parties.len())].clone();
    match rng.random_range(0..19) {
        0 => Fault::Drop { message },
        1 => Fault::Double { message, later_ms: rng.random_range(0..20_000) },
        2 => Fault::Delay { message, by_ms: rng.random_range(1..90_000) },
        3 => Fault::Reorder { message, behind: rng.random_range(1..20) },
        4 => Fault::Cut { message },
        5 => {
            let during = [During::Everything, During::Contributing, During::Answering][rng.random_range(0..3)];
            Fault::Silent { party, from_round: rng.random_range(0..7), rounds: rng.random_range(1..3), during }
        }
        6 => {
            let message = rng.random_range(0..18);
            Fault::CrashOnMessage { party, message, worked: rng.random_bool(0.5), down_ms }
        }
        7 => Fault::CrashOnWrite { party, write: rng.random_range(0..45), torn: rng.random_bool(0.5), down_ms },
        8 => Fault::CoordinatorCrash { entry, written: rng.random_bool(0.5), down_ms },
        9 => Fault::StoreFails { entry },
        10 => Fault::CrashLoop { party, message: rng.random_range(0..18), times, down_ms },
        11 => Fault::DiskFull { party, write: rng.random_range(0..45), writes: rng.random_range(1..8) },
        12 => Fault::CoordinatorCrashLoop { entry, times, down_ms },
        13 => Fault::CoordinatorPowerLoss { entry, down_ms },
        14 => Fault::BlobsFull { append: rng.random_range(0..14 * n), appends: rng.random_range(1..4) },
        15 => Fault::Standstill { at_ms: moment_ms, for_ms: length_ms },
        16 => {
            // Minutes, and once in a while beyond what certificates allow.
            let most = if rng.random_bool(0.9) { 600_000 } else { 800_000_000_000 };
            Fault::ClockSkew { party, ahead_ms: rng.random_range(-most..most) }
        }
        17 => {
            let region = parties.iter().filter(|_| rng.random_bool(0.4)).cloned().collect::<Vec<_>>();
            let parties = if region.is_empty() { vec![party] } else { region };
            Fault::Partition { parties, from_ms: moment_ms, for_ms: length_ms }
        }
        _ => {
            let kbit_per_second = [10_000, 10_000, 1_000, 100][rng.random_range(0..4)];
            let party = rng.random_bool(0.7).then_some(party);
            Fault::SlowLink { party, kbit_per_second, latency_ms: rng.random_range(50..500) }
        }
    }
}
