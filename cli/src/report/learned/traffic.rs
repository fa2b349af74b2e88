//! Rounds and bytes of a job.

use super::{
    super::{
        charts::Svg,
        data::Note,
        figures::share_bar,
        format::{bytes, duration, whole},
        words,
    },
    data::LearnedReport,
};

/// Rounds that did the same.
pub(super) struct StepRow {
    pub(super) name: Note,
    pub(super) rounds: String,
    pub(super) values: String,
    pub(super) bytes: String,
    pub(super) bar: Svg,
    pub(super) seconds: String,
    pub(super) last: String,
}

/// The steps of a job in their order.
pub(super) fn steps(report: &LearnedReport) -> Vec<StepRow> {
    struct Sums<'a> {
        step: &'a str,
        rounds: u64,
        values: u64,
        bytes: u64,
        milliseconds: u64,
        last: &'a str,
    }
    let mut steps: Vec<Sums<'_>> = Vec::new();
    for r in &report.rounds {
        let step = r.summary.step.as_str();
        if steps.last().is_none_or(|s| s.step != step) {
            steps.push(Sums { step, rounds: 0, values: 0, bytes: 0, milliseconds: 0, last: "" });
        }
        if let Some(s) = steps.last_mut() {
            s.rounds += 1;
            s.values = s.values.max(r.dimension);
            s.bytes += r.bytes;
            s.milliseconds += r.milliseconds;
            s.last = &r.summary.text;
        }
    }
    let most = steps.iter().map(|s| s.bytes).max().unwrap_or(0) as f64;
    let row = |s: Sums<'_>| StepRow {
        name: words::step(s.step),
        rounds: whole(s.rounds),
        values: whole(s.values),
        bytes: bytes(s.bytes),
        bar: share_bar("swatch second", s.bytes as f64, most),
        seconds: duration(s.milliseconds as f64 / 1000.0),
        last: s.last.to_owned(),
    };
    steps.into_iter().map(row).collect()
}
