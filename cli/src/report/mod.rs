//! The report of a finished job: one HTML file for the risk modeller, the security officer and the auditor.
//!
//! The page is complete in itself: no script, no font, no image and no address outside it, and its content policy forbids
//! the browser to fetch any. Everything that comes from a job file or a peer is escaped; charts are SVG made here.
//! The same [`data::Report`] always gives the same bytes.

mod card;
mod charts;
pub mod data;
mod facts;
mod figures;
mod format;
mod html;
pub mod joint;
pub mod learned;
mod privacy;
mod scorecard;
mod words;

#[cfg(test)]
mod tests;

pub use card::model_card;
use data::Report;

/// The report as one HTML page.
pub fn render(report: &Report) -> String {
    html::page(report)
}
