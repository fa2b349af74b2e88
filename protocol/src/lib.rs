//! The rules of the game: who may say what, when, and what follows from it.
//!
//! No I/O, no async, no clock, no randomness of its own: time and random bytes come in by argument. A coordinator, a
//! participant and a simulation run exactly this code.
//!
//! * [`job`]: what the parties are asked to agree to.
//! * [`roster`]: who takes part; a [`roster::Session`] exists only once every signature on it was verified.
//! * [`message`]: the messages M1 to M4 of a round and objections, received and, as [`verified::Verified`] values, checked.
//! * [`state`]: the coordinator's side as decide/apply over [`journal`] events; [`checkpoint`]: the journal as a Merkle log.
//! * [`contribution`]: the participant's side of one round, with the session's [`share_keys`]; [`witness`]: what it makes of the opened sums, checked with a
//!   key that [`check`] keeps from the coordinator.
//! * [`horizontal`]: what is computed, round by round; [`vertical`]: the same where parties hold different columns.
//! * [`audit`]: whether a whole journal could have come about like this, checked by whoever holds it.

pub mod audit;
pub mod check;
pub mod checkpoint;
pub mod contribution;
pub mod error;
pub mod horizontal;
pub mod id;
pub mod job;
pub mod journal;
pub mod message;
pub mod roster;
pub mod share_keys;
pub mod state;
pub mod verified;
pub mod vertical;
pub mod witness;
