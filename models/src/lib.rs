//! What is learned: tables in memory, binning, weight of evidence, scorecards, generalised linear models, metrics.
//!
//! This crate stands alone: it knows nothing of parties, encryption or rounds. Everything here is a pure function of its
//! arguments, and everything that two parties must agree on bit by bit uses `libm`, never the platform's mathematics.

pub mod table;
