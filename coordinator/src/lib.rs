//! The coordinator: schedules rounds, relays sealed messages, adds ciphertexts. It holds no key that opens a contribution.
//!
//! * [`engine`]: one job: the protocol's state, its journal's tip and its running sum; no network, no clock;
//! * [`host`]: all jobs, their database and the clock;
//! * [`service`]: the gRPC services; [`wire`]: what they take and give, as domain types;
//! * [`store`], [`blobs`]: journals in SQL, ciphertexts in files;
//! * [`config`], [`serve`]: the program.

pub mod blobs;
pub mod config;
pub mod engine;
pub mod host;
pub mod serve;
pub mod service;
pub mod store;
pub mod wire;
