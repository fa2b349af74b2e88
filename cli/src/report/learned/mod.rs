//! The report of jobs that trained a network or an anomaly model: one page for one job, or for all jobs of the anomaly demo.
//!
//! A page made from a journal holds what everybody may read. In a demonstration, where one process has the files of all parties,
//! each party's own warnings and the comparisons with models of a single owner stand beside it.

mod anomaly;
pub mod data;
mod figures;
mod html;
mod network;
mod traffic;

#[cfg(test)]
mod tests;

use data::{LearnedReport, Reports};

/// One page for all jobs of a demonstration.
pub fn render_all(reports: &Reports) -> String {
    html::page(reports)
}

/// The report of one job as an HTML page.
pub fn render(report: &LearnedReport) -> String {
    html::page(&Reports::of_one(report.clone()))
}
