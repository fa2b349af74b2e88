//! The section on privacy: who sent what, and who could infer what.

use askama::Template;

use super::{
    charts::Svg,
    data::{CommitteeFacts, Note, PartyFacts, Report},
    figures,
    format::{DASH, bytes, count, fixed, percent, whole},
    words::{self, both},
};
use crate::leaks::{ClassLeak, Collusion, LeakReport, StepLeak, Verdict};
use haihe_protocol::horizontal::scorecard::noised::{PrivacySpent, Release, ReleaseBlock};

/// What the section shows.
pub(super) struct View {
    pub(super) tables: String,
    pub(super) parties: Vec<(Note, String, String, Svg)>,
    pub(super) total: String,
    pub(super) per_party: bool,
    pub(super) spent: Option<SpentView>,
}

/// The tables of a leak report.
#[derive(Template)]
#[template(path = "report/leaks.html")]
struct Tables<'a> {
    view: LeaksView,
    committee: &'a CommitteeFacts,
}

/// What they show.
struct LeaksView {
    messages: Vec<MessageRow>,
    unrecorded: Vec<MessageRow>,
    absent: String,
    steps: Vec<StepRow>,
    collusions: Vec<CollusionRow>,
    two_sums_impossible: bool,
}

/// What was spent of each firm's privacy.
pub(super) struct SpentView {
    pub(super) statement: Note,
    pub(super) asked: String,
    pub(super) rows: Vec<SpentRow>,
    pub(super) auc_noise: Option<String>,
}

/// One block of one sum with noise.
pub(super) struct SpentRow {
    pub(super) step: Note,
    pub(super) multiplier: String,
    pub(super) block: String,
    pub(super) len: String,
    pub(super) clip: String,
    pub(super) sigma: String,
}

/// A class of messages.
struct MessageRow {
    name: Note,
    route: Note,
    count: String,
    bytes: String,
    receiver: Note,
    outsider: Note,
    protected_by: Note,
}

/// A step of the learning.
struct StepRow {
    name: Note,
    sums: u32,
    dimension: String,
    fewest: u32,
    smallest: String,
    small_cells: String,
    holds: Note,
    infers: Note,
}

/// Some who pool what they know.
struct CollusionRow {
    who: Note,
    /// Class of style and words, one per column.
    verdicts: [(&'static str, &'static str, &'static str); 4],
    can: Note,
    cannot: Note,
}

/// The section of a report.
pub(super) fn view(report: &Report) -> View {
    let most = report.parties.iter().map(|p| p.bytes_sent).max().unwrap_or(0) as f64;
    let total: u64 = report.parties.iter().map(|p| p.bytes_sent).sum();
    let party = |p: &PartyFacts| {
        let share = if total > 0 { percent(p.bytes_sent as f64 / total as f64, 1) } else { DASH.to_owned() };
        (words::party(p), bytes(p.bytes_sent), share, figures::share_bar("swatch main", p.bytes_sent as f64, most))
    };
    View {
        tables: tables(&report.leaks, &report.committee),
        parties: report.parties.iter().map(party).collect(),
        total: bytes(total),
        per_party: !report.result.evaluation.per_party.is_empty(),
        spent: report.result.privacy.as_ref().map(spent),
    }
}

/// Who could infer what, the committee, the sums and the messages, as HTML.
pub(super) fn tables(leaks: &LeakReport, committee: &CommitteeFacts) -> String {
    let c = committee;
    let view = LeaksView {
        messages: leaks.classes.iter().map(message_row).collect(),
        unrecorded: leaks.unrecorded.iter().map(message_row).collect(),
        absent: leaks.absent.join(", "),
        steps: leaks.steps.iter().map(step_row).collect(),
        collusions: leaks.collusions.iter().map(collusion_row).collect(),
        two_sums_impossible: u64::from(c.answers_needed) * 2 > u64::from(c.members) + u64::from(c.privacy_threshold),
    };
    Tables { view, committee }.render().expect("writing plain values to a string cannot fail")
}

fn spent(p: &PrivacySpent) -> SpentView {
    let [en, zh] = p.statement();
    let row = |r: &Release, b: &ReleaseBlock| SpentRow {
        step: words::step(&r.step),
        multiplier: fixed(r.multiplier, 2),
        block: b.name.clone(),
        len: whole(b.len as u64),
        clip: fixed(b.clip, 2),
        sigma: fixed(b.sigma, 1),
    };
    SpentView {
        statement: Note { en, zh },
        asked: format!("({}, {:e})", p.asked.epsilon, p.asked.delta),
        rows: p.releases.iter().flat_map(|r| r.blocks.iter().map(move |b| row(r, b))).collect(),
        auc_noise: p.auc_noise.map(|sd| fixed(sd, 4)),
    }
}

fn message_row(m: &ClassLeak) -> MessageRow {
    MessageRow {
        name: both(m.class.as_str(), m.class_zh.as_str()),
        route: m.route.clone(),
        count: m.count.map_or_else(|| DASH.to_owned(), whole),
        bytes: m.bytes.map_or_else(|| DASH.to_owned(), bytes),
        receiver: m.receiver.clone(),
        outsider: m.outsider.clone(),
        protected_by: m.protected_by.clone(),
    }
}

fn step_row(s: &StepLeak) -> StepRow {
    StepRow {
        name: words::step(&s.step),
        sums: s.sums,
        dimension: whole(s.dimension),
        fewest: s.fewest_contributors,
        smallest: s.smallest_published.map_or_else(|| DASH.to_owned(), count),
        small_cells: match &s.small_cells {
            Some(c) => format!("{} ({})", whole(c.cells), whole(c.single)),
            None if s.step == "label_counts" => "not counted 未统计".to_owned(),
            None => DASH.to_owned(),
        },
        holds: s.holds.clone(),
        infers: s.infers.clone(),
    }
}

fn collusion_row(c: &Collusion) -> CollusionRow {
    let words = |v: Verdict| match v {
        Verdict::No => ("v-no", "no", "否"),
        Verdict::Partly => ("v-partly", "partly", "部分"),
        Verdict::Yes => ("v-yes", "yes", "是"),
    };
    CollusionRow {
        who: c.who.clone(),
        verdicts: [c.rows, c.single_party, c.sums, c.presence].map(words),
        can: c.can.clone(),
        cannot: c.cannot.clone(),
    }
}
