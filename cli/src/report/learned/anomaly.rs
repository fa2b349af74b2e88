//! What a page shows of an anomaly model.

use haihe_models::{anomaly::Population, scorecard::Warning};
use haihe_simulations::detection::Found;

use super::{
    super::{
        charts::Svg,
        figures::share_bar,
        format::{DASH, count, fixed, percent, whole},
        words::both,
    },
    data::{AnomalyFacts, Flagged, LearnedReport, Note, SetReport},
    figures, network,
};

/// Most columns that are named as drivers.
const DRIVERS: usize = 10;

/// One job.
pub(super) struct View {
    pub(super) learns: Note,
    pub(super) quality: Vec<(Note, String)>,
    pub(super) network: Option<String>,
    pub(super) loss: Option<Svg>,
    pub(super) scores: Svg,
    pub(super) levels: Vec<LevelRow>,
    /// All test rows by level.
    pub(super) level_bar: Svg,
    pub(super) drivers: Vec<(String, String, Svg)>,
    pub(super) columns: usize,
    pub(super) per_party: Vec<(String, String, String)>,
    pub(super) flagged: Vec<FlaggedRow>,
}

/// One warning level.
pub(super) struct LevelRow {
    pub(super) level: usize,
    pub(super) name: Note,
    pub(super) from: String,
    pub(super) rows: String,
    pub(super) bad: String,
    pub(super) precision: String,
    pub(super) found: String,
}

/// One row with a warning.
pub(super) struct FlaggedRow {
    pub(super) party: String,
    pub(super) key: String,
    pub(super) score: String,
    pub(super) level: usize,
    pub(super) warning: Note,
    pub(super) drivers: String,
    pub(super) bad: Note,
}

/// A set's comparison: methods by models.
pub(super) struct ComparisonView {
    pub(super) chart: Svg,
    pub(super) parties: Vec<String>,
    pub(super) rows: Vec<(Note, Vec<CellView>)>,
    pub(super) test_rows: String,
    pub(super) test_bad: String,
}

/// One model's figures.
pub(super) struct CellView {
    pub(super) auroc: String,
    pub(super) auprc: String,
    pub(super) federated: bool,
}

/// A method for people.
pub(super) fn method(name: &str) -> Note {
    match name {
        "autoencoder" => both("Autoencoder", "自编码器"),
        "tails" => both("Tails (ECOD)", "尾部概率"),
        "forest" => both("Isolation forest", "孤立森林"),
        other => both(other, ""),
    }
}

fn level(warning: Warning) -> (usize, Note) {
    match warning {
        Warning::None => (0, both("none", "无")),
        Warning::General => (1, both("general", "一般")),
        Warning::Serious => (2, both("serious", "较重")),
        Warning::Critical => (3, both("critical", "严重")),
    }
}

fn level_of(word: &str) -> (usize, Note) {
    let all = [Warning::General, Warning::Serious, Warning::Critical];
    let of = all.into_iter().find(|w| format!("{w:?}").eq_ignore_ascii_case(word));
    level(of.unwrap_or(Warning::None))
}

/// The comparison of a set; `None` without a demonstration.
pub(super) fn comparison(set: &SetReport) -> Option<ComparisonView> {
    let compared = || set.jobs.iter().filter_map(|j| Some((j.anomaly()?, j.anomaly()?.comparison.as_ref()?)));
    let (_, first) = compared().next()?;
    let cell = |found: Option<&Found>, federated: bool| CellView {
        auroc: found.map_or_else(|| DASH.to_owned(), |f| fixed(f.auroc, 3)),
        auprc: found.map_or_else(|| DASH.to_owned(), |f| fixed(f.auprc, 3)),
        federated,
    };
    let rows = compared().map(|(facts, c)| {
        let mut cells = vec![cell(Some(&c.federated), true), cell(Some(&c.pooled), false)];
        cells.extend(c.alone.iter().map(|a| cell(a.found.as_ref(), false)));
        (method(&facts.method), cells)
    });
    let names: Vec<String> = compared()
        .map(|(facts, _)| {
            let name = method(&facts.method);
            format!("{} {}", name.en, name.zh)
        })
        .collect();
    Some(ComparisonView {
        chart: figures::comparison(set, &names),
        parties: first.alone.iter().map(|a| a.party.to_string()).collect(),
        rows: rows.collect(),
        test_rows: whole(first.test_rows),
        test_bad: whole(first.test_bad),
    })
}

/// One job.
pub(super) fn view(id: &str, report: &LearnedReport, facts: &AnomalyFacts) -> View {
    let ranking = facts.found.ranking.as_ref();
    let figure = |x: Option<f64>| x.map_or_else(|| DASH.to_owned(), |x| fixed(x, 4));
    let auroc = ranking
        .map_or_else(|| DASH.to_owned(), |r| format!("{} ± {}", fixed(r.auc, 4), fixed(r.auc_standard_error, 4)));
    let largest = facts.drivers.first().map_or(0.0, |d| d.share);
    let taught = match facts.population {
        Population::Good => both("good training rows", "好的训练行"),
        Population::All => both("all training rows", "全部训练行"),
    };
    let rows = match facts.population {
        Population::Good => facts.rows - facts.bads,
        Population::All => facts.rows,
    };
    View {
        learns: both(format!("{} {}", count(rows), taught.en), taught.zh),
        quality: vec![
            (both("AUROC", "测试"), auroc),
            (both("AUPRC", "平均精度"), figure(facts.found.auprc)),
            (both("KS", "区分度"), figure(ranking.map(|r| r.ks))),
            (both("bad test rows", "测试坏客户"), base_rate(facts)),
        ],
        network: facts
            .training
            .as_ref()
            .map(network::describe)
            .or_else(|| facts.trees.map(|t| format!("{t} trees 棵树"))),
        loss: facts.training.as_ref().map(|t| figures::loss(id, t)),
        scores: figures::scores(id, facts),
        levels: levels(facts),
        level_bar: figures::levels(facts),
        drivers: facts
            .drivers
            .iter()
            .take(DRIVERS)
            .map(|d| (d.column.clone(), percent(d.share, 1), share_bar("swatch main", d.share, largest)))
            .collect(),
        columns: facts.drivers.len(),
        per_party: facts
            .per_party
            .iter()
            .map(|(party, q)| (party.to_string(), figure(q.ranking.as_ref().map(|r| r.auc)), figure(q.auprc)))
            .collect(),
        flagged: report.flagged.iter().map(flagged).collect(),
    }
}

fn base_rate(facts: &AnomalyFacts) -> String {
    let [good, bad] = facts.test_rows;
    format!("{} of {} ({})", count(bad), count(good + bad), percent(bad / (good + bad).max(1.0), 1))
}

fn levels(facts: &AnomalyFacts) -> Vec<LevelRow> {
    let [_, bads] = facts.test_rows;
    let t = &facts.thresholds;
    facts
        .warned
        .iter()
        .map(|w| {
            let (at, name) = level(w.warning);
            let rows = w.good + w.bad;
            LevelRow {
                level: at,
                name,
                from: short(match w.warning {
                    Warning::Critical => t.critical,
                    Warning::Serious => t.serious,
                    Warning::General | Warning::None => t.general,
                }),
                rows: count(rows),
                bad: count(w.bad),
                precision: percent(w.bad / rows, 1),
                found: percent(w.bad / bads, 1),
            }
        })
        .rev()
        .collect()
}

/// A score with four digits that count.
fn short(score: f64) -> String {
    let before = if score >= 1.0 { score.log10().floor() as i32 + 1 } else { 0 };
    // The cast is of 0 to 4.
    fixed(score, (4 - before).clamp(0, 4) as usize)
}

fn flagged(f: &Flagged) -> FlaggedRow {
    let (level, warning) = level_of(&f.warning);
    FlaggedRow {
        party: f.party.to_string(),
        key: f.key.clone(),
        score: short(f.score),
        level,
        warning,
        drivers: f.drivers.replace("; ", ", ").replace('%', " %"),
        bad: match f.bad {
            Some(true) => both("bad", "坏"),
            Some(false) => both("good", "好"),
            None => both(DASH, ""),
        },
    }
}
