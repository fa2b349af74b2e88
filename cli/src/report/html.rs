//! The page: what the template shows, put together from the report.

use askama::Template;
use haihe_models::export::Term;
use haihe_protocol::id::PartyId;
use haihe_simulations::baseline::ADAPTED;

use crate::leaks::encrypts;

use super::{
    charts::Svg,
    data::{ComparedModel, Comparison, Figures, Note, PartyFacts, Report},
    facts, figures,
    format::{DASH, bytes, count, duration, fixed, percent, signed, time, whole},
    privacy, scorecard,
    words::{self, both},
};

/// Most parties that get a column of their own in the comparison.
const WIDE: usize = 6;

#[derive(Template)]
#[template(path = "report/page.html")]
struct Page<'a> {
    report: &'a Report,
    opened: String,
    lattice: bool,
    headline: Vec<Headline>,
    facts: Vec<(Note, String)>,
    comparison: Option<ComparisonView>,
    charts: Charts,
    rounds: Vec<RoundRow>,
    bands: Vec<BandRow>,
    scorecard: scorecard::View,
    privacy: privacy::View,
    glossary: &'static [(Term, &'static str, &'static str)],
    version: &'static str,
}

/// A figure in the head.
struct Headline {
    name: Note,
    figure: String,
    error: String,
    meaning: Note,
}

struct ComparisonView {
    matrices: Vec<Matrix>,
    per_party: Vec<PartyRow>,
    notes: Vec<(String, String)>,
    difference: String,
    losers: Vec<(Note, String, String, String)>,
    /// The same against what each party adapted; `None` if the job does not ask for that.
    losers_adapted: Option<Vec<(Note, String, String, String)>>,
    within: Vec<(Note, Cell)>,
    counted: usize,
    without_model: usize,
    /// How many parties have no better model of their own.
    winners: usize,
    /// Models that rank all test firms better than the federated one, pooled left out.
    ahead: Vec<(Note, String, String)>,
    chart: Svg,
}

/// One measure: models by populations.
struct Matrix {
    name: Note,
    better: Note,
    /// Whether the columns are populations.
    by_party: bool,
    columns: Vec<Note>,
    rows: Vec<(Note, Vec<Cell>)>,
}

struct Cell {
    text: String,
    best: bool,
    own: bool,
}

/// A party of many: its own model against the federated one.
struct PartyRow {
    name: Note,
    cells: Vec<Cell>,
    gain: String,
}

struct Charts {
    roc: Svg,
    ks: Svg,
    distribution: Svg,
    calibration: Svg,
    likelihood: Svg,
    steps: Svg,
    small: Vec<Small>,
    stability: Option<(String, Note)>,
    level: Option<String>,
    has_prior: bool,
}

struct Small {
    name: Note,
    firms: String,
    bad_rate: String,
    auc: String,
    psi: String,
    word: Note,
    svg: Svg,
}

struct RoundRow {
    round: u64,
    step: Note,
    text: String,
    contributors: u32,
    dimension: String,
    bytes: String,
    milliseconds: String,
}

/// One band of the score, lowest first.
struct BandRow {
    points: String,
    firms: String,
    bad: String,
    observed: String,
    expected: String,
    captured: String,
}

/// The page of a report.
pub(super) fn page(report: &Report) -> String {
    let page = Page {
        opened: time(&report.opened),
        lattice: encrypts(&report.scheme),
        headline: headline(report),
        facts: head_facts(report),
        comparison: report.comparison.as_ref().map(|c| comparison(c, &in_order(c, &report.parties))),
        charts: charts(report),
        rounds: report.rounds.iter().map(round_row).collect(),
        bands: bands(report),
        scorecard: scorecard::view(report),
        privacy: privacy::view(report),
        glossary: words::GLOSSARY,
        version: env!("CARGO_PKG_VERSION"),
        report,
    };
    page.render().expect("writing plain values to a string cannot fail")
}

fn headline(report: &Report) -> Vec<Headline> {
    let evaluation = &report.result.evaluation;
    let test = &evaluation.test;
    let ranking = test.ranking;
    let cut = facts::ks_point(&evaluation.grid, &test.histogram);
    let figure = |x: Option<f64>| x.map_or_else(|| DASH.to_owned(), |x| fixed(x, 4));
    let error = |x: Option<f64>| x.map_or_else(String::new, |x| format!("± {}", fixed(x, 4)));
    let of = |get: fn(&haihe_models::metrics::Ranking) -> f64| ranking.as_ref().map(get);
    let item = |name, value, se, meaning| Headline { name, figure: figure(value), error: error(se), meaning };
    vec![
        item(
            both("AUC", "曲线下面积"),
            of(|r| r.auc),
            of(|r| r.auc_standard_error),
            both("1 is perfect, 0.5 is guessing", "1 为完美，0.5 为随机"),
        ),
        item(
            both("KS", "区分度"),
            of(|r| r.ks),
            cut.map(|c| c.standard_error),
            both("widest gap of good and bad", "好坏最大差距"),
        ),
        item(
            both("Gini", "基尼系数"),
            of(|r| r.gini),
            of(|r| 2.0 * r.auc_standard_error),
            both("2 × AUC − 1", "由 AUC 换算"),
        ),
        item(
            both("Brier score", "布里尔得分"),
            test.brier,
            test.brier.map(|_| facts::brier_standard_error(&evaluation.grid, &test.histogram)),
            both("lower is better", "越低越好"),
        ),
    ]
}

fn head_facts(report: &Report) -> Vec<(Note, String)> {
    let sample = |h| {
        let (good, bad) = facts::totals(h);
        format!("{} firms 企业, {} bad 坏", count(good + bad), percent(bad / (good + bad), 1))
    };
    let evaluation = &report.result.evaluation;
    let [accepted, rejected, late] = report.contributions.map(whole);
    let sent: u64 = report.parties.iter().map(|p| p.bytes_sent).sum();
    vec![
        (both("training sample", "训练样本"), sample(&evaluation.train.histogram)),
        (both("test sample", "测试样本"), sample(&evaluation.test.histogram)),
        (both("rounds", "轮次"), report.rounds.len().to_string()),
        (both("wall-clock time", "用时"), duration(report.seconds)),
        (both("sent by the parties", "参与方发送"), bytes(sent)),
        (
            both("contributions", "贡献"),
            format!("{accepted} accepted 接受, {rejected} rejected 拒绝, {late} late 迟到"),
        ),
    ]
}

/// The parties in the order of the comparison's columns.
fn in_order(c: &Comparison, parties: &[PartyFacts]) -> Vec<PartyFacts> {
    let find = |id: &PartyId| {
        let known = parties.iter().find(|p| p.party == *id).cloned();
        known.unwrap_or_else(|| PartyFacts {
            party: id.clone(),
            label: String::new(),
            label_zh: String::new(),
            bytes_sent: 0,
        })
    };
    c.parties.iter().map(find).collect()
}

/// A way to read one measure.
type Measure = (&'static str, &'static str, fn(&Figures) -> f64, bool);

const MEASURES: [Measure; 3] = [
    ("AUC", "曲线下面积", |f| f.auc, true),
    ("KS", "区分度", |f| f.ks, true),
    ("Brier score", "布里尔得分", |f| f.brier, false),
];

/// Marks the best of some values; ties at four decimals are all best.
fn best_of(values: &[Option<f64>], high: bool) -> Vec<bool> {
    let rounded = |v: &Option<f64>| v.filter(|v| v.is_finite()).map(|v| (v * 1e4).round());
    let best = values.iter().filter_map(rounded).reduce(|a, b| if high { a.max(b) } else { a.min(b) });
    let several = values.iter().flatten().count() > 1;
    values.iter().map(|v| several && best.is_some() && rounded(v) == best).collect()
}

fn comparison(c: &Comparison, parties: &[PartyFacts]) -> ComparisonView {
    let named =
        |id: &PartyId| parties.iter().find(|p| p.party == *id).map_or_else(|| both(id.as_str(), ""), words::party);
    let loser =
        |(id, own, other): &(PartyId, f64, f64)| (named(id), fixed(*own, 4), fixed(*other, 4), signed(other - own, 4));
    let lines: Vec<String> = parties.iter().map(words::party_line).collect();
    let ids: Vec<String> = parties.iter().map(|p| p.party.to_string()).collect();
    let notes = c.models.iter().filter(|m| !m.note.is_empty());
    ComparisonView {
        matrices: if parties.len() > WIDE {
            vec![all_firms(c, parties)]
        } else {
            MEASURES.iter().map(|m| matrix(c, parties, m)).collect()
        },
        per_party: if parties.len() > WIDE { party_rows(c, parties) } else { Vec::new() },
        notes: notes.map(|m| (words::model(&m.name, parties).en, m.note.clone())).collect(),
        difference: if c.max_relative_coefficient_difference.is_finite() {
            format!("{:.1e}", c.max_relative_coefficient_difference)
        } else {
            DASH.to_owned()
        },
        within: within(c),
        counted: c.within.parties,
        without_model: c.within.without_model,
        ahead: ahead(c, parties),
        winners: parties.len().saturating_sub(c.losers.len()),
        losers: c.losers.iter().map(loser).collect(),
        losers_adapted: c.within.adapted.map(|_| c.losers_adapted.iter().map(loser).collect()),
        chart: figures::comparison(c, &lines, &ids),
    }
}

fn ahead(c: &Comparison, parties: &[PartyFacts]) -> Vec<(Note, String, String)> {
    let auc = |m: &ComparedModel| m.all.map(|f| f.auc).filter(|a| a.is_finite());
    let rounded = |x: f64| (x * 1e4).round();
    let Some(shared) = c.models.iter().find(|m| m.name == "federated").and_then(auc) else {
        return Vec::new();
    };
    let others = c.models.iter().filter(|m| m.name != "pooled" && !m.name.starts_with("federated"));
    let better = others.filter_map(|m| Some((m, auc(m)?))).filter(|(_, a)| rounded(*a) > rounded(shared));
    better.map(|(m, a)| (words::model(&m.name, parties), fixed(a, 4), fixed(shared, 4))).collect()
}

fn matrix(c: &Comparison, parties: &[PartyFacts], (en, zh, get, high): &Measure) -> Matrix {
    let mut columns = vec![both("all test firms", "全部测试企业")];
    columns.extend(parties.iter().map(words::party));
    let figure = |model: &ComparedModel, column: usize| {
        let figures = if column == 0 { model.all } else { model.own.get(column - 1).copied().flatten() };
        figures.as_ref().map(get)
    };
    let best: Vec<Vec<bool>> = (0..columns.len())
        .map(|column| best_of(&c.models.iter().map(|m| figure(m, column)).collect::<Vec<_>>(), *high))
        .collect();
    let rows = c.models.iter().enumerate().map(|(row, model)| {
        let cell = |column: usize| Cell {
            text: figure(model, column).map_or_else(|| DASH.to_owned(), |x| fixed(x, 4)),
            best: best[column][row],
            own: column > 0 && is_own(model, &parties[column - 1]),
        };
        (words::model(&model.name, parties), (0..columns.len()).map(cell).collect())
    });
    Matrix {
        name: both(*en, *zh),
        better: if *high { both("higher is better", "越高越好") } else { both("lower is better", "越低越好") },
        by_party: true,
        rows: rows.collect(),
        columns,
    }
}

/// All measures on all test firms, where the parties are too many for columns of their own.
fn all_firms(c: &Comparison, parties: &[PartyFacts]) -> Matrix {
    let figure = |model: &ComparedModel, (_, _, get, _): &Measure| model.all.as_ref().map(get);
    let column = |m: &Measure| {
        let figures: Vec<_> = c.models.iter().map(|model| figure(model, m)).collect();
        best_of(&figures, m.3)
    };
    let best = MEASURES.each_ref().map(column);
    let rows = c.models.iter().enumerate().map(|(row, model)| {
        let cell = |(m, best): (&Measure, &Vec<bool>)| Cell {
            text: figure(model, m).map_or_else(|| DASH.to_owned(), |x| fixed(x, 4)),
            best: best[row],
            own: false,
        };
        (words::model(&model.name, parties), MEASURES.iter().zip(&best).map(cell).collect())
    });
    Matrix {
        name: both("All test firms", "全部测试企业"),
        better: both("AUC and KS: higher is better; Brier: lower", "AUC、KS 越高越好，Brier 越低越好"),
        by_party: false,
        columns: MEASURES.iter().map(|m| both(m.0, m.1)).collect(),
        rows: rows.collect(),
    }
}

/// Everybody's customers within their own bank, in one figure per way of modelling.
fn within(c: &Comparison) -> Vec<(Note, Cell)> {
    let w = &c.within;
    let mut ways = vec![
        (both("each party's own model", "各方自有模型"), w.alone),
        (both("mean of scores", "得分平均"), w.mean_of_scores),
        (both("federated", "联邦"), w.federated),
    ];
    ways.extend(w.adapted.map(|auc| (both("federated, adapted", "联邦（本地适配）"), auc)));
    ways.push((both("pooled", "集中"), w.pooled));
    let best = best_of(&ways.iter().map(|(_, auc)| Some(*auc)).collect::<Vec<_>>(), true);
    let cell = |((name, auc), best)| (name, Cell { text: fixed(auc, 4), best, own: false });
    ways.into_iter().zip(best).map(cell).collect()
}

fn is_own(model: &ComparedModel, party: &PartyFacts) -> bool {
    model.name.strip_suffix(" alone") == Some(party.party.as_str())
}

/// Own model, mean of scores, federated, perhaps adapted, pooled: AUC on each party's own customers.
fn party_rows(c: &Comparison, parties: &[PartyFacts]) -> Vec<PartyRow> {
    let rows = parties.iter().enumerate().map(|(at, party)| {
        let auc = |model: Option<&ComparedModel>| model.and_then(|m| m.own.get(at).copied().flatten()).map(|f| f.auc);
        let by_name = |name: &str| auc(c.models.iter().find(|m| m.name == name));
        let own = auc(c.models.iter().find(|m| is_own(m, party)));
        let federated = by_name("federated");
        let mut values = vec![own, by_name("mean of scores"), federated];
        values.extend(c.within.adapted.map(|_| by_name(ADAPTED)));
        values.push(by_name("pooled"));
        let cells = values.iter().zip(best_of(&values, true)).map(|(v, best)| Cell {
            text: v.map_or_else(|| DASH.to_owned(), |x| fixed(x, 4)),
            best,
            own: false,
        });
        let gain = federated.zip(own).map_or_else(|| DASH.to_owned(), |(f, o)| signed(f - o, 4));
        PartyRow { name: words::party(party), cells: cells.collect(), gain }
    });
    rows.collect()
}

fn charts(report: &Report) -> Charts {
    let (evaluation, card) = (&report.result.evaluation, &report.result.scorecard);
    let small = evaluation.per_party.iter().enumerate().map(|(at, own)| {
        let facts = report.parties.iter().find(|p| p.party == own.party);
        let name = facts.map_or_else(|| both(own.party.as_str(), ""), words::party);
        let (good, bad) = facts::totals(&own.test.histogram);
        Small {
            firms: count(good + bad),
            bad_rate: percent(bad / (good + bad), 1),
            auc: own.test.ranking.map_or_else(
                || DASH.to_owned(),
                |r| format!("{} ± {}", fixed(r.auc, 3), fixed(r.auc_standard_error, 3)),
            ),
            psi: own.stability.map_or_else(|| DASH.to_owned(), |p| fixed(p, 3)),
            word: words::stability(own.stability.unwrap_or(f64::NAN)),
            svg: figures::small_distribution(card, evaluation, at, &name.en),
            name,
        }
    });
    Charts {
        roc: figures::roc_curve(evaluation),
        ks: figures::ks_curve(card, evaluation),
        distribution: figures::distribution(card, evaluation),
        calibration: figures::calibration(evaluation),
        likelihood: figures::log_likelihood(&report.rounds),
        steps: figures::step_size(&report.rounds),
        small: small.collect(),
        stability: evaluation.stability.map(|p| (fixed(p, 4), words::stability(p))),
        level: evaluation.test.calibration.as_ref().map(|c| fixed(c.level, 3)),
        has_prior: card.scaling.population_bad_rate.is_some(),
    }
}

fn round_row(r: &super::data::RoundFacts) -> RoundRow {
    RoundRow {
        round: r.round,
        step: words::step(&r.summary.step),
        text: r.summary.text.clone(),
        contributors: r.contributors,
        dimension: whole(r.dimension),
        bytes: bytes(r.bytes),
        milliseconds: whole(r.milliseconds),
    }
}

fn bands(report: &Report) -> Vec<BandRow> {
    let (evaluation, card) = (&report.result.evaluation, &report.result.scorecard);
    let Some(calibration) = &evaluation.test.calibration else {
        return Vec::new();
    };
    let bads: f64 = calibration.groups.iter().map(|g| g.bad).sum();
    let last = calibration.groups.len().saturating_sub(1);
    let mut captured = 0.0;
    let row = |(at, g): (usize, &haihe_models::metrics::CalibrationGroup)| {
        captured += g.bad;
        let end = |cell| fixed(facts::points_at(card, facts::upper_end(&evaluation.grid, cell)), 0);
        let lower = g.first_cell.checked_sub(1).map(end);
        BandRow {
            points: match (at, lower) {
                (0, _) | (_, None) => format!("≤ {}", end(g.last_cell)),
                (at, Some(lower)) if at == last => format!("> {lower}"),
                (_, Some(lower)) => format!("{lower} – {}", end(g.last_cell)),
            },
            firms: count(g.rows),
            bad: count(g.bad),
            observed: percent(g.observed_rate, 1),
            expected: percent(g.expected_rate, 1),
            captured: percent(captured / bads, 1),
        }
    };
    calibration.groups.iter().enumerate().map(row).collect()
}
