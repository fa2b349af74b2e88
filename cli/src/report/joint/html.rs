//! The page: what the templates show, put together from the report.

use askama::Template;
use haihe_models::{export::Term, vertical::Status};
use haihe_protocol::vertical::{Encoding, work::Comparison};
use haihe_simulations::joint::EVERY_COLUMN;

use super::{
    super::{
        charts::Svg,
        figures::share_bar,
        format::{DASH, bytes, duration, fixed, percent, signed, time, value, whole},
        words::{GLOSSARY, both},
    },
    data::{JointReport, Note},
    figures, learnt,
    owners::{self, OwnerView},
};

#[derive(Template)]
#[template(path = "report/joint/page.html")]
struct Page<'a> {
    report: &'a JointReport,
    opened: String,
    headline: Vec<Headline>,
    facts: Vec<(Note, String)>,
    holders: Vec<HolderRow>,
    common: String,
    min_common: String,
    max_firms: String,
    comparison: Option<ComparisonView>,
    published: Vec<(Note, Vec<String>)>,
    roc: Option<Svg>,
    distribution: Option<Svg>,
    loss: Svg,
    asked: Svg,
    ending: Note,
    owners: Vec<OwnerView>,
    scaling: Vec<(Note, String)>,
    scorings: Vec<ScoringRow>,
    learnt: Vec<(Note, Vec<Note>)>,
    coordinator: Vec<Note>,
    traffic: Vec<TrafficRow>,
    total_letters: String,
    total_bytes: String,
    phases: Vec<PhaseRow>,
    glossary: Vec<&'static (Term, &'static str, &'static str)>,
    version: &'static str,
}

/// A figure in the head.
struct Headline {
    name: Note,
    figure: String,
    error: String,
    meaning: Note,
}

struct HolderRow {
    name: Note,
    role: Note,
    view: String,
    columns: String,
    used: String,
    firms: String,
    share: String,
}

struct ComparisonView {
    chart: Svg,
    rows: Vec<ModelRow>,
    test_firms: String,
    test_bad: String,
    gain: String,
    share: Option<String>,
    difference: String,
    largest: String,
}

struct ModelRow {
    name: Note,
    columns: String,
    auc: String,
    error: String,
    ks: String,
    brier: String,
    joint: bool,
}

struct ScoringRow {
    what: Note,
    firms: String,
    auc: String,
    equal: Note,
    seconds: String,
}

struct TrafficRow {
    name: Note,
    letters: String,
    bytes: String,
    share: String,
    bar: Svg,
    seconds: String,
}

/// Exchanges that did the same.
struct PhaseRow {
    name: Note,
    exchanges: String,
    letters: String,
    bytes: String,
    bar: Svg,
    seconds: String,
}

/// The page of a report.
pub(super) fn page(report: &JointReport) -> String {
    let total: u64 = report.holders.iter().map(|h| h.bytes_sent).sum();
    let test_auc = report.result.joint.test.as_ref().map_or(f64::NAN, |q| q.auc);
    let page = Page {
        opened: time(&report.opened),
        headline: headline(report),
        facts: facts(report, total),
        holders: report.holders.iter().map(|h| holder_row(report, h)).collect(),
        common: whole(report.result.common),
        min_common: whole(report.terms.min_common),
        max_firms: whole(report.terms.max_firms),
        comparison: comparison(report),
        published: published(report),
        roc: report.evaluation.as_ref().map(|e| figures::roc_curve(e, test_auc)),
        distribution: report.evaluation.as_ref().map(figures::distribution),
        loss: figures::loss(&report.result.passes),
        asked: figures::asked(&report.result.passes),
        ending: ending(report),
        owners: owners::views(report),
        scaling: scaling(report),
        scorings: report.scorings.iter().map(scoring_row).collect(),
        learnt: report.holders.iter().map(|h| (owners::name(h), learnt::of(report, h))).collect(),
        coordinator: learnt::coordinator(),
        traffic: traffic(report, total),
        total_letters: whole(report.holders.iter().map(|h| h.letters).sum()),
        total_bytes: bytes(total),
        phases: phases(report),
        glossary: GLOSSARY.iter().filter(|(term, ..)| USED_TERMS.contains(&term.en)).collect(),
        version: env!("CARGO_PKG_VERSION"),
        report,
    };
    page.render().expect("writing plain values to a string cannot fail")
}

/// Terms of the glossary that this page uses.
const USED_TERMS: [&str; 7] = [
    haihe_models::export::terms::WEIGHT_OF_EVIDENCE.en,
    haihe_models::export::terms::INFORMATION_VALUE.en,
    haihe_models::export::terms::AUC.en,
    haihe_models::export::terms::KS.en,
    haihe_models::export::terms::BRIER.en,
    haihe_models::export::terms::LOG_ODDS.en,
    haihe_models::export::terms::POINTS_TO_DOUBLE.en,
];

fn headline(report: &JointReport) -> Vec<Headline> {
    let (joint, alone) = (&report.result.joint, &report.result.alone);
    let quality = joint.test.as_ref();
    let figure = |x: Option<f64>, decimals| x.map_or_else(|| DASH.to_owned(), |x| fixed(x, decimals));
    let error = report.comparison.as_ref().and_then(|c| c.model("joint")).map(|m| m.auc_standard_error);
    let gain = quality.zip(alone.test.as_ref()).map(|(j, a)| j.auc - a.auc);
    let who = report.label_holder();
    vec![
        Headline {
            name: both("AUC", "曲线下面积"),
            figure: figure(quality.map(|q| q.auc), 4),
            error: error.map_or_else(String::new, |e| format!("± {}", fixed(e, 4))),
            meaning: both("1 is perfect, 0.5 is guessing", "1 为完美，0.5 为随机"),
        },
        Headline {
            name: both("KS", "区分度"),
            figure: figure(quality.map(|q| q.ks), 4),
            error: String::new(),
            meaning: both("widest gap of good and bad", "好坏最大差距"),
        },
        Headline {
            name: both("gain of AUC", "AUC 提升"),
            figure: gain.map_or_else(|| DASH.to_owned(), |g| signed(g, 4)),
            error: String::new(),
            meaning: both(format!("over {who} alone, same firms"), "相对标签方单独建模，同一批企业"),
        },
        Headline {
            name: both("firms in common", "共有企业"),
            figure: whole(report.result.common),
            error: String::new(),
            meaning: both(
                format!("at all {} parties", report.holders.len()),
                format!("{} 方共有", report.holders.len()),
            ),
        },
    ]
}

fn facts(report: &JointReport, total: u64) -> Vec<(Note, String)> {
    let sample = |c: Option<&haihe_protocol::vertical::work::Quality>| {
        c.map_or_else(
            || DASH.to_owned(),
            |q| format!("{} firms 企业, {} bad 坏", whole(q.rows), percent(q.bad as f64 / q.rows.max(1) as f64, 1)),
        )
    };
    let [accepted, rejected, late] = report.parcels.map(whole);
    let used: u32 = report.holders.iter().map(|h| h.columns_used).sum();
    let offered: u32 = report.holders.iter().map(|h| h.columns).sum();
    vec![
        (both("training sample", "训练样本"), sample(Some(&report.result.joint.train))),
        (both("test sample", "测试样本"), sample(report.result.joint.test.as_ref())),
        (both("columns in the model", "入模列数"), format!("{used} of {offered}")),
        (
            both("exchanges, passes", "交换次数、训练轮次"),
            format!("{}, {}", report.exchanges.len(), report.result.passes.len().saturating_sub(1)),
        ),
        (both("columns left out for their sign", "因符号剔除的列"), reviewed(report)),
        (both("wall-clock time", "用时"), duration(report.seconds)),
        (both("sent by the parties", "参与方发送"), bytes(total)),
        (both("parcels", "邮包"), format!("{accepted} accepted 接受, {rejected} rejected 拒绝, {late} late 迟到")),
        (both("deadlines put off", "延期次数"), report.delays.to_string()),
    ]
}

/// What the reviews of signs left out, and what contradicts after all because the passes were used up.
fn reviewed(report: &JointReport) -> String {
    let dropped: u32 = report.result.reviews.iter().map(|r| r.dropped).sum();
    match report.result.contradicting {
        None => DASH.to_owned(),
        Some(0) => format!("{dropped} in {} reviews 次复核", report.result.reviews.len()),
        Some(left) => {
            let reviews = report.result.reviews.len();
            format!("{dropped} in {reviews} reviews 次复核; {left} left 仍相反: passes used up 轮次用尽")
        }
    }
}

fn holder_row(report: &JointReport, h: &super::data::HolderFacts) -> HolderRow {
    HolderRow {
        name: owners::name(h),
        role: if h.label_holder { both("label holder", "标签方") } else { both("feature holder", "特征方") },
        view: h.view.clone(),
        columns: h.columns.to_string(),
        used: h.columns_used.to_string(),
        firms: whole(h.firms),
        share: percent(report.result.common as f64 / h.firms.max(1) as f64, 1),
    }
}

/// Names of models for people.
fn model_name(report: &JointReport, name: &str) -> Note {
    let holder = report.label_holder().as_str();
    match name {
        "joint" => both(format!("All {} jointly", report.holders.len()), format!("{} 方联合", report.holders.len())),
        "pooled" => both("Pooled (the same columns in one place)", "集中（相同列）"),
        EVERY_COLUMN => both("Pooled, any sign (all columns)", "集中，不限符号"),
        _ if name == format!("{holder} alone") => both(name, "标签方单独"),
        _ => both(name, "两方联合"),
    }
}

fn comparison(report: &JointReport) -> Option<ComparisonView> {
    let c = report.comparison.as_ref()?;
    let names = c.models.iter().map(|m| {
        let name = model_name(report, &m.name);
        format!("{} {}", name.en, name.zh)
    });
    let rows = c.models.iter().map(|m| ModelRow {
        name: model_name(report, &m.name),
        columns: m.columns.to_string(),
        auc: fixed(m.figures.auc, 4),
        error: fixed(m.auc_standard_error, 4),
        ks: fixed(m.figures.ks, 4),
        brier: fixed(m.figures.brier, 4),
        joint: m.name == "joint",
    });
    let auc = |m: Option<&haihe_simulations::joint::JointModel>| m.map_or(f64::NAN, |m| m.figures.auc);
    Some(ComparisonView {
        chart: figures::comparison(c, &names.collect::<Vec<_>>()),
        rows: rows.collect(),
        test_firms: whole(c.test_firms),
        test_bad: whole(c.test_bad),
        gain: signed(auc(c.model("joint")) - auc(c.models.first()), 4),
        share: c.share_of_gain().map(|s| percent(s, 1)),
        difference: if c.max_coefficient_difference.is_finite() {
            format!("{:.1e}", c.max_coefficient_difference).replace('-', "\u{2212}")
        } else {
            DASH.to_owned()
        },
        largest: fixed(c.largest_coefficient, 2),
    })
}

/// What the label holder published: itself alone and all jointly, on training and on test firms.
fn published(report: &JointReport) -> Vec<(Note, Vec<String>)> {
    let row = |name: Note, c: &Comparison| {
        let test = |get: fn(&haihe_protocol::vertical::work::Quality) -> f64| {
            c.test.as_ref().map_or_else(|| DASH.to_owned(), |q| fixed(get(q), 4))
        };
        let cells = vec![
            fixed(c.train.auc, 4),
            fixed(c.train.ks, 4),
            fixed(c.train.brier, 4),
            test(|q| q.auc),
            test(|q| q.ks),
            test(|q| q.brier),
        ];
        (name, cells)
    };
    vec![
        row(both(format!("{} alone", report.label_holder()), "标签方单独"), &report.result.alone),
        row(model_name(report, "joint"), &report.result.joint),
    ]
}

fn ending(report: &JointReport) -> Note {
    match report.result.passes.last().map(|p| p.status) {
        Some(Status::Converged) => both("converged", "已收敛"),
        Some(Status::StoppedEarly) => both("stopped early on held-out firms", "依据留出样本提前停止"),
        Some(Status::PassesSpent) => both("all passes were used up", "轮次用尽"),
        Some(Status::Continue) | None => both("unknown", "未知"),
    }
}

fn scaling(report: &JointReport) -> Vec<(Note, String)> {
    let s = &report.terms.scaling;
    vec![
        (both("anchor", "基准"), format!("{} points at {} : 1", value(s.base_score), value(s.base_odds))),
        (both("points to double the odds", "翻倍分值"), value(s.points_to_double)),
        (both("ridge penalty", "岭惩罚"), value(report.terms.ridge)),
    ]
}

fn scoring_row(s: &super::data::ScoringFacts) -> ScoringRow {
    let names: Vec<&str> = s.without.iter().map(haihe_protocol::id::PartyId::as_str).collect();
    ScoringRow {
        what: if names.is_empty() {
            both("everybody present", "各方均在")
        } else {
            let names = names.join(", ");
            both(format!("without {names}, marked in every line"), format!("缺 {names}，逐行注明"))
        },
        firms: format!("{} of {}", whole(s.scored), whole(s.asked)),
        auc: s.test_auc.map_or_else(|| DASH.to_owned(), |a| fixed(a, 4)),
        equal: match (names.is_empty(), s.equal_to_evaluation) {
            (true, true) => both("equal, byte for byte", "逐字节一致"),
            (true, false) => both("DIFFERENT", "不一致"),
            (false, _) => both("another score by design", "评分口径不同"),
        },
        seconds: duration(s.seconds),
    }
}

fn traffic(report: &JointReport, total: u64) -> Vec<TrafficRow> {
    let largest = report.holders.iter().map(|h| h.bytes_sent).max().unwrap_or(0) as f64;
    let row = |h: &super::data::HolderFacts| TrafficRow {
        name: owners::name(h),
        letters: whole(h.letters),
        bytes: bytes(h.bytes_sent),
        share: percent(h.bytes_sent as f64 / total.max(1) as f64, 1),
        bar: share_bar("swatch main", h.bytes_sent as f64, largest),
        seconds: duration(h.seconds),
    };
    report.holders.iter().map(row).collect()
}

/// What an exchange belongs to.
fn phase_name(phase: &str, encoding: Encoding) -> Note {
    let says = |word: &str| phase.contains(word);
    match phase {
        _ if says("align: announce") => both("announcing sizes and commitments", "公布规模与承诺"),
        _ if phase.starts_with("align ") => both("private alignment", "隐私求交"),
        _ if phase.starts_with("aligned") && encoding == Encoding::Woe => {
            both("encrypted labels for the bins", "加密标签（用于分箱）")
        }
        _ if phase.starts_with("aligned") => both("first encrypted residuals", "首次加密残差"),
        _ if says("counts per bin") || says("bins with") => both("counts per bin, merged groups", "分箱计数与合并"),
        _ if says("scores") => both("partial scores", "部分得分"),
        _ if phase.starts_with("train") => both("training passes", "训练轮次"),
        "done" => both("the end", "结束"),
        _ => both("waiting", "等待"),
    }
}

fn phases(report: &JointReport) -> Vec<PhaseRow> {
    let mut groups: Vec<(Note, [u64; 4])> = Vec::new();
    for e in &report.exchanges {
        let name = phase_name(&e.phase, report.terms.encoding);
        let sums = [1, e.letters, e.bytes, e.milliseconds];
        match groups.last_mut() {
            Some((last, total)) if *last == name => total.iter_mut().zip(sums).for_each(|(t, s)| *t += s),
            _ => groups.push((name, sums)),
        }
    }
    let largest = groups.iter().map(|(_, [_, _, bytes, _])| *bytes).max().unwrap_or(0) as f64;
    let row = |(name, [exchanges, letters, sent, milliseconds]): (Note, [u64; 4])| PhaseRow {
        name,
        exchanges: whole(exchanges),
        letters: whole(letters),
        bytes: bytes(sent),
        bar: share_bar("swatch second", sent as f64, largest),
        seconds: duration(milliseconds as f64 / 1000.0),
    };
    groups.into_iter().map(row).collect()
}
