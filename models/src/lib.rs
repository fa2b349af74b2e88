//! What is learned: tables in memory, binning, weight of evidence, scorecards, generalised linear models, metrics.
//!
//! This crate stands alone: it knows nothing of parties, encryption or rounds. Everything here is a pure function of its
//! arguments, and everything that two parties must agree on bit by bit uses `libm`, never the platform's mathematics.
//!
//! Every learning step has two halves: a vector of statistics over one party's own rows, and a result from the sum of such
//! vectors. The order of the steps, each half a function:
//!
//! | step | at each party | from the sum |
//! |---|---|---|
//! | 1 | [`grid::profile`] | [`grid::grids`] |
//! | 2 | [`grid::label_counts`] | [`binning::bin_columns`], [`selection::by_information_value`] |
//! | 3 | [`selection::correlation_statistics`] | [`selection::by_correlation`] |
//! | 4.. | [`glm::logistic_statistics`] | [`glm::Newton::step`], [`selection::weakest`], [`scorecard::Scorecard::new`] |
//! | last | [`metrics::ScoreHistogram::of`] | [`metrics::Ranking::of`], [`metrics::calibration`] |
//!
//! What a bank makes of the shared scorecard for itself afterwards is in [`adaptation`].
//!
//! The same steps with sums that hide every single firm (clipped per firm, with noise) are in [`clipped`] and [`noisy`].
//!
//! The keys by which parties recognise the same firm are read in [`firm`].
//!
//! Anomalies from sums of counts, by tail statistics or an isolation forest, are in [`anomaly`].
//!
//! Networks, whose parameters a federation averages, are in [`network`].
//!
//! Files that leave the federation, of networks and scorecards, are in [`files`].
//!
//! [`pooled::train`] runs all of them in the clear: the twin that a federation is compared with, and a bank's own model.
//!
//! **Orientation**, everywhere: a label `true` is bad; weight of evidence, log-odds, points and scores are high for good firms.
#![deny(missing_docs)]

pub mod adaptation;
pub mod anomaly;
pub mod binning;
pub mod clipped;
pub mod export;
pub mod files;
pub mod firm;
pub mod glm;
pub mod grid;
pub mod metrics;
pub mod network;
pub mod noisy;
pub mod pooled;
pub mod scorecard;
pub mod selection;
mod symmetric;
pub mod table;
pub mod vertical;
