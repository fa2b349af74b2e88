//! Vertical jobs: one label holder and any number of feature holders know different things about the same firms.
//!
//! A vertical job is a sequence of exchanges. In each one every participant sends one parcel: an [`Announcement`] for all
//! and sealed letters for some. What a participant says next follows from what it received, its own rows and one secret
//! seed ([`work::Work`]); the coordinator relays and sees sizes.

pub mod exchange;
mod options;
pub mod sealing;
pub mod work;

pub use options::{
    AlignmentOptions, Encoding, FitOptions, HolderSpec, MAX_FIRMS, MAX_HOLDERS, Optimiser, ScoringOptions,
    VerticalOptions,
};

use serde::{Deserialize, Serialize};

/// What everybody, the coordinator included, may read of a parcel. Signed by its sender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// What the sender did, in words, for progress: `align 2/7`.
    pub phase: String,
    /// What the others must know and the coordinator may: sizes, commitments, public keys. JSON; at most 64 KiB.
    pub body_json: String,
    /// The sender's last parcel: the job is complete when all say so in the same exchange.
    pub done: bool,
    /// With `done`, from the label holder only: the public result, JSON.
    pub result_json: Option<String>,
}

/// A letter to some of the other parties, before it is sealed. Parties are named by their index in the roster.
#[derive(Clone, PartialEq)]
pub struct Letter {
    /// For whom.
    pub to: Vec<usize>,
    /// What is in it.
    pub body: Vec<u8>,
}

/// What a participant received in an exchange: one announcement per party (its own too), in the roster's order, and the
/// letters for it with their sender's index, in the order of senders. Empty before the first exchange.
#[derive(Clone, Default, PartialEq)]
pub struct Inbox {
    /// One per party.
    pub announcements: Vec<Announcement>,
    /// Sender and contents.
    pub letters: Vec<(usize, Vec<u8>)>,
}

/// What a participant sends in an exchange.
#[derive(Clone, Default, PartialEq)]
pub struct Outbox {
    /// For everybody.
    pub announcement: Announcement,
    /// For some.
    pub letters: Vec<Letter>,
    /// A letter tells the label holder one number per firm that was computed from this party's columns, masked or not.
    pub shows_scores: bool,
}
