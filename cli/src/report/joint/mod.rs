//! The report of a joint scorecard: parties with different columns of the same firms.
//!
//! Made of the journal alone it holds what everybody may read: who took part, what was published, what crossed the wire. In a
//! demonstration, where one process has the files of all parties, each owner's part and the comparisons stand beside it.

pub mod data;
mod figures;
mod html;
mod learnt;
mod owners;

#[cfg(test)]
mod tests;

use data::JointReport;

/// The report as one HTML page.
pub fn render(report: &JointReport) -> String {
    html::page(report)
}
