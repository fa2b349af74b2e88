//! What goes wrong in a simulation: a list of operations that can be read, stored in a scenario and shortened by hand.

use haihe_protocol::id::PartyId;
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
    /// A participant is killed again and again: at `times` of its messages in a row, before it does what it is asked.
    CrashLoop {
        /// Who.
        party: PartyId,
        /// The first of the messages to it, from 0.
        message: u64,
        /// How often.
        times: u64,
        /// How long it is away each time, in milliseconds.
        down_ms: u64,
    },
    /// A participant's disk is full: some writes to its vault fail, half of an appended line is on it, later ones work.
    DiskFull {
        /// Who.
        party: PartyId,
        /// The first write that fails, from 0.
        write: u64,
        /// How many fail.
        writes: u64,
    },
    /// The coordinator is killed again and again: after each of `times` writes to its journal, none of which it acted on.
    CoordinatorCrashLoop {
        /// Sequence number of the first entry.
        entry: u64,
        /// How often.
        times: u64,
        /// How long it is away each time, in milliseconds.
        down_ms: u64,
    },
    /// The coordinator's machine loses power after it acted on one journal entry and before the next that follows from it.
    /// Of ciphertexts, only half of what was not made durable is there afterwards.
    CoordinatorPowerLoss {
        /// Sequence number of the entry.
        entry: u64,
        /// How long it is away, in milliseconds.
        down_ms: u64,
    },
    /// The coordinator's disk is full: some writes of ciphertexts and shares fail, later ones work.
    BlobsFull {
        /// The first write that fails, from 0.
        append: u64,
        /// How many fail.
        appends: u64,
    },
    /// Nothing happens for a while, anywhere; then every clock has gone on and everything that was due comes at once.
    Standstill {
        /// When, in milliseconds since the job was opened.
        at_ms: u64,
        /// How long, in milliseconds.
        for_ms: u64,
    },
    /// A participant's own clock is wrong.
    ClockSkew {
        /// Who.
        party: PartyId,
        /// How far it is ahead, in milliseconds; negative if it is behind.
        ahead_ms: i64,
    },
    /// A region is cut off: whatever its parties and the coordinator send each other meanwhile is lost.
    Partition {
        /// Who.
        parties: Vec<PartyId>,
        /// From when, in milliseconds since the job was opened.
        from_ms: u64,
        /// How long, in milliseconds.
        for_ms: u64,
    },
    /// A line is slow, both ways: messages wait for each other.
    SlowLink {
        /// Whose; everybody's if absent.
        party: Option<PartyId>,
        /// How fast.
        #[serde(default = "ten_megabits")]
        kbit_per_second: u64,
        /// How long a bit travels, in milliseconds.
        #[serde(default = "fifty")]
        latency_ms: u64,
    },
}

fn ten_megabits() -> u64 {
    10_000
}

fn fifty() -> u64 {
    50
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
    /// Its name in files and reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Drop { .. } => "drop",
            Fault::Double { .. } => "double",
            Fault::Delay { .. } => "delay",
            Fault::Reorder { .. } => "reorder",
            Fault::Cut { .. } => "cut",
            Fault::Silent { .. } => "silent",
            Fault::CrashOnMessage { .. } => "crash_on_message",
            Fault::CrashOnWrite { .. } => "crash_on_write",
            Fault::CoordinatorCrash { .. } => "coordinator_crash",
            Fault::StoreFails { .. } => "store_fails",
            Fault::CrashLoop { .. } => "crash_loop",
            Fault::DiskFull { .. } => "disk_full",
            Fault::CoordinatorCrashLoop { .. } => "coordinator_crash_loop",
            Fault::CoordinatorPowerLoss { .. } => "coordinator_power_loss",
            Fault::BlobsFull { .. } => "blobs_full",
            Fault::Standstill { .. } => "standstill",
            Fault::ClockSkew { .. } => "clock_skew",
            Fault::Partition { .. } => "partition",
            Fault::SlowLink { .. } => "slow_link",
        }
    }

    /// The parties that it names.
    pub fn parties(&self) -> &[PartyId] {
        match self {
            Fault::Silent { party, .. }
            | Fault::CrashOnMessage { party, .. }
            | Fault::CrashOnWrite { party, .. }
            | Fault::CrashLoop { party, .. }
            | Fault::DiskFull { party, .. }
            | Fault::ClockSkew { party, .. }
            | Fault::SlowLink { party: Some(party), .. } => std::slice::from_ref(party),
            Fault::Partition { parties, .. } => parties,
            _ => &[],
        }
    }

    /// How long it may hold up the whole job beyond every deadline: the coordinator is away, or nobody does anything.
    pub fn holds_up_ms(&self) -> u64 {
        match self {
            Fault::CoordinatorCrash { down_ms, .. } | Fault::CoordinatorPowerLoss { down_ms, .. } => *down_ms,
            Fault::CoordinatorCrashLoop { times, down_ms, .. } => times.saturating_mul(*down_ms),
            Fault::Standstill { for_ms, .. } => *for_ms,
            Fault::StoreFails { .. } => STORE_PAUSE_MS,
            Fault::BlobsFull { appends, .. } => appends.saturating_mul(STORE_PAUSE_MS),
            _ => 0,
        }
    }
}

/// After how long a coordinator whose store failed tries again, in milliseconds.
pub(crate) const STORE_PAUSE_MS: u64 = 10_000;
