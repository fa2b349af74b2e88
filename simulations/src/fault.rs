//! What goes wrong in a simulation: a list of operations that can be read, stored in a scenario and shortened by hand.

use haihe_protocol::id::PartyId;
use rand::RngExt as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use serde::{Deserialize, Serialize};

/// One thing that goes wrong. Messages are numbered from 0 in the order in which they are sent, both ways together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A message gets lost.
    Drop {
        /// Which.
        message: u64,
    },
    /// A message arrives twice.
    Double {
        /// Which.
        message: u64,
        /// How much later the second time, in milliseconds.
        later_ms: u64,
    },
    /// A message takes longer.
    Delay {
        /// Which.
        message: u64,
        /// How much, in milliseconds.
        by_ms: u64,
    },
    /// A message arrives only after later ones.
    Reorder {
        /// Which.
        message: u64,
        /// How many other messages arrive first.
        behind: u64,
    },
    /// An upload breaks off half-way; any other message gets lost.
    Cut {
        /// Which.
        message: u64,
    },
    /// A participant does not react to what it is asked in some rounds. Round 0 is joining and confirming.
    Silent {
        /// Who.
        party: PartyId,
        /// First round.
        from_round: u64,
        /// How many rounds.
        rounds: u64,
        /// To which requests.
        #[serde(default)]
        during: During,
    },
    /// A participant is killed when its `message`-th message arrives (from 0), and comes back with its vault.
    CrashOnMessage {
        /// Who.
        party: PartyId,
        /// Which of the messages to it.
        message: u64,
        /// After it did what it was asked, before anybody hears of it? Otherwise before it did anything.
        worked: bool,
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
    /// A participant is killed instead of its `write`-th write to the vault (from 0), and comes back with its vault.
    CrashOnWrite {
        /// Who.
        party: PartyId,
        /// Which write.
        write: u64,
        /// Is half of an appended line on disk, or half of a large record? Otherwise nothing of this write.
        torn: bool,
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
    /// The coordinator is killed around the write of one journal entry, and comes back with its journal and blobs.
    CoordinatorCrash {
        /// Sequence number of the entry.
        entry: u64,
        /// Is the entry on disk? Otherwise the coordinator is killed just before.
        written: bool,
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
    /// The coordinator's database refuses the first write of one journal entry.
    StoreFails {
        /// Sequence number of the entry.
        entry: u64,
    },
}

/// Requests that a silent participant ignores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum During {
    /// All of them.
    #[default]
    Everything,
    /// Requests for a contribution.
    Contributing,
    /// Requests for an answer.
    Answering,
}

impl Fault {
    /// `count` faults that a federation survives if it waits long enough: nobody is away for good, so that the result must be
    /// the same as without them, or the job fails and names who was waited for.
    pub fn random(seed: u64, parties: &[PartyId], count: usize) -> Vec<Fault> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..count).map(|_| one(&mut rng, parties)).collect()
    }
}

fn one(rng: &mut ChaCha20Rng, parties: &[PartyId]) -> Fault {
    let span = 30 * parties.len() as u64;
    let message = rng.random_range(0..span);
    let down_ms = rng.random_range(1..30_000);
    let party = parties[rng.random_range(0..parties.len())].clone();
    match rng.random_range(0..10) {
        0 => Fault::Drop { message },
        1 => Fault::Double { message, later_ms: rng.random_range(0..20_000) },
        2 => Fault::Delay { message, by_ms: rng.random_range(1..90_000) },
        3 => Fault::Reorder { message, behind: rng.random_range(1..20) },
        4 => Fault::Cut { message },
        5 => {
            let during = [During::Everything, During::Contributing, During::Answering][rng.random_range(0..3)];
            Fault::Silent { party, from_round: rng.random_range(0..8), rounds: rng.random_range(1..3), during }
        }
        6 => {
            let message = rng.random_range(0..30);
            Fault::CrashOnMessage { party, message, worked: rng.random_bool(0.5), down_ms }
        }
        7 => Fault::CrashOnWrite { party, write: rng.random_range(0..40), torn: rng.random_bool(0.5), down_ms },
        8 => Fault::CoordinatorCrash { entry: rng.random_range(1..span), written: rng.random_bool(0.5), down_ms },
        _ => Fault::StoreFails { entry: rng.random_range(1..span) },
    }
}
