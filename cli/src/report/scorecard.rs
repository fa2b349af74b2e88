//! The scorecard's part of the page: variables, bins, levels, and what was dropped.

use haihe_models::{
    binning::Trend,
    export::{tier_term, warning_term},
    scorecard::Variable,
};
use haihe_protocol::horizontal::scorecard::ScorecardResult;

use super::{
    charts::Svg,
    data::{Note, Report},
    facts::{self, Level},
    figures,
    format::{DASH, count, fixed, p_value, percent, signed, value},
    words::{self, both},
};

/// Everything about the scorecard.
pub(super) struct View {
    pub(super) base_points: String,
    pub(super) intercept: String,
    pub(super) intercept_error: String,
    pub(super) scaling: Vec<(Note, String)>,
    pub(super) quality: Vec<(Note, String)>,
    pub(super) variables: Vec<VariableRow>,
    pub(super) suspicious: Vec<String>,
    pub(super) dropped: Vec<DroppedRow>,
    pub(super) levels: Vec<LevelRow>,
    pub(super) population: Option<String>,
    pub(super) level_bars: Vec<(Note, Svg)>,
    pub(super) heat_map: Option<Svg>,
}

/// One variable.
pub(super) struct VariableRow {
    pub(super) name: String,
    pub(super) coefficient: String,
    pub(super) standard_error: String,
    pub(super) z: String,
    pub(super) p_value: String,
    pub(super) iv: String,
    pub(super) iv_bar: Svg,
    pub(super) vif: String,
    pub(super) range: String,
    pub(super) trend: Note,
    pub(super) bins: Vec<BinRow>,
}

/// One bin.
pub(super) struct BinRow {
    pub(super) label: Note,
    pub(super) exact: String,
    pub(super) good: String,
    pub(super) bad: String,
    /// Shown in the place of counts and rates that are not published.
    pub(super) suppressed: Option<String>,
    pub(super) share: String,
    pub(super) bad_rate: String,
    pub(super) woe: String,
    pub(super) bar: Svg,
    pub(super) points: String,
    pub(super) neutral: bool,
}

/// One variable that was dropped.
pub(super) struct DroppedRow {
    pub(super) name: String,
    pub(super) iv: String,
    pub(super) reason: Note,
}

/// One level of the early warning.
pub(super) struct LevelRow {
    pub(super) class: String,
    pub(super) tier: Note,
    pub(super) warning: Note,
    pub(super) pd: String,
    pub(super) score: String,
    pub(super) points: String,
    pub(super) firms: String,
    pub(super) share: String,
    pub(super) bad_rate: String,
    pub(super) population_share: String,
    pub(super) population_bad_rate: String,
}

/// Puts the view together.
pub(super) fn view(report: &Report) -> View {
    let result = &report.result;
    let card = &result.scorecard;
    let bins = || card.variables.iter().flat_map(|v| &v.binning.bins);
    let largest_woe = bins().fold(0.0f64, |m, b| m.max(b.woe.abs()));
    let largest_iv = card.variables.iter().fold(0.0f64, |m, v| m.max(v.binning.iv));
    let vif = variance_inflation(result);
    let row = |(at, v): (usize, &Variable)| {
        let vif = vif.as_ref().and_then(|all| all.get(at)).copied().unwrap_or(f64::NAN);
        variable_row(v, vif, card.good + card.bad, largest_woe, largest_iv)
    };
    let levels = |h| facts::levels(card, &result.evaluation.grid, h);
    let test = levels(&result.evaluation.test.histogram);
    let mut level_bars = vec![(both("all test firms", "全部测试企业"), figures::level_bar(&test))];
    for own in &result.evaluation.per_party {
        let facts = report.parties.iter().find(|p| p.party == own.party);
        let name = facts.map_or_else(|| both(own.party.as_str(), ""), words::party);
        level_bars.push((name, figures::level_bar(&levels(&own.test.histogram))));
    }
    View {
        base_points: card.base_points.to_string(),
        intercept: fixed(card.intercept, 4),
        intercept_error: fixed(card.intercept_standard_error, 4),
        scaling: scaling(result),
        quality: quality(result),
        variables: card.variables.iter().enumerate().map(row).collect(),
        suspicious: result.selection.suspicious.clone(),
        dropped: dropped(result),
        levels: test.iter().enumerate().map(level_row).collect(),
        population: card.scaling.population_bad_rate.map(|r| percent(r, 1)),
        level_bars,
        heat_map: (result.correlated.len() > 1)
            .then(|| figures::heat_map(&result.correlated, &result.correlation.matrix)),
    }
}

fn scaling(result: &ScorecardResult) -> Vec<(Note, String)> {
    let card = &result.scorecard;
    let s = &card.scaling;
    vec![
        (both("anchor", "基准"), format!("{} points at {} : 1", value(s.base_score), value(s.base_odds))),
        (both("points to double the odds", "翻倍分值"), value(s.points_to_double)),
        (
            both("population bad rate", "总体坏账率"),
            s.population_bad_rate.map_or_else(|| "as in training 与训练样本一致".to_owned(), |r| percent(r, 1)),
        ),
        (both("prior correction", "先验校正"), signed(card.prior_offset, 4)),
        (both("largest effect of rounding", "取整误差上限"), format!("{} points", fixed(card.max_rounding_effect, 2))),
    ]
}

fn quality(result: &ScorecardResult) -> Vec<(Note, String)> {
    let card = &result.scorecard;
    let word = match card.condition_number {
        c if c <= 100.0 => "well conditioned 良好",
        c if c <= 900.0 => "some collinearity 共线性偏高",
        c if c.is_finite() => "collinear: drop some 严重共线",
        _ => "",
    };
    vec![
        (both("training firms", "训练样本"), format!("{} good 好, {} bad 坏", count(card.good), count(card.bad))),
        (
            both("log-likelihood", "对数似然"),
            format!("{} (null {})", fixed(card.log_likelihood, 2), fixed(card.null_log_likelihood, 2)),
        ),
        (both("McFadden's pseudo-R²", "伪 R²"), fixed(result.fit.pseudo_r2(), 4)),
        (both("condition number", "条件数"), format!("{}, {word}", fixed(card.condition_number, 1))),
        (both("ridge penalty", "岭惩罚"), value(card.ridge)),
        (both("Newton rounds, last fit", "末次拟合轮数"), result.fit.rounds.to_string()),
    ]
}

/// Of the variables in the scorecard, among themselves.
fn variance_inflation(result: &ScorecardResult) -> Option<Vec<f64>> {
    let position = |v: &Variable| result.correlated.iter().position(|name| name == v.column());
    let columns: Option<Vec<usize>> = result.scorecard.variables.iter().map(position).collect();
    facts::variance_inflation(&result.correlation.matrix, &columns?)
}

fn variable_row(v: &Variable, vif: f64, rows: f64, largest_woe: f64, largest_iv: f64) -> VariableRow {
    let (lo, hi) = (v.points.iter().min().copied().unwrap_or(0), v.points.iter().max().copied().unwrap_or(0));
    let bins = v.binning.bins.iter().zip(&v.points).map(|(bin, points)| {
        let firms = bin.good + bin.bad;
        BinRow {
            label: words::bin(bin),
            exact: haihe_models::export::bin_label(bin),
            good: count(bin.good),
            bad: count(bin.bad),
            suppressed: bin.suppressed_below.map(words::suppressed),
            share: percent(firms / rows, 1),
            bad_rate: if firms > 0.0 { percent(bin.bad / firms, 1) } else { DASH.to_owned() },
            woe: signed(bin.woe, 3),
            bar: figures::woe_bar(bin.woe, largest_woe),
            points: signed(*points as f64, 0),
            neutral: bin.neutral,
        }
    });
    VariableRow {
        name: v.column().to_owned(),
        coefficient: fixed(v.coefficient, 4),
        standard_error: fixed(v.standard_error, 4),
        z: fixed(v.z, 2),
        p_value: p_value(v.p_value),
        iv: fixed(v.binning.iv, 4),
        iv_bar: figures::share_bar("swatch main", v.binning.iv, largest_iv),
        vif: fixed(vif, 2),
        range: format!("{} … {}", signed(lo as f64, 0), signed(hi as f64, 0)),
        trend: match v.binning.monotone {
            Trend::Increasing => both("larger is better", "越大越好"),
            Trend::Decreasing => both("larger is worse", "越大越差"),
            Trend::None => both("no order", "无序"),
        },
        bins: bins.collect(),
    }
}

fn dropped(result: &ScorecardResult) -> Vec<DroppedRow> {
    let row = |d: &haihe_models::selection::Dropped| DroppedRow {
        name: d.column.clone(),
        iv: fixed(d.iv, 4),
        reason: words::reason(&d.reason),
    };
    result.selection.dropped.iter().map(row).collect()
}

fn level_row((at, level): (usize, &Level)) -> LevelRow {
    let optional = |x: Option<f64>| x.map_or_else(|| DASH.to_owned(), |x| percent(x, 1));
    let points = |x: f64| fixed(x, 0);
    let firms = level.good + level.bad;
    LevelRow {
        class: format!("level-{at}"),
        tier: words::term(tier_term(level.tier)),
        warning: words::term(warning_term(level.warning)),
        pd: ["< 5 %", "5 – < 10 %", "10 – 20 %", "> 20 %"][at.min(3)].to_owned(),
        score: match at {
            0 => format!("> {}", fixed(level.score.1, 1)),
            3 => format!("< {}", fixed(level.score.0, 1)),
            _ => format!("{} – {}", fixed(level.score.1, 1), fixed(level.score.0, 1)),
        },
        points: match level.points {
            (Some(from), None) => format!("> {}", points(from)),
            (Some(from), Some(to)) => format!("{} – {}", points(from), points(to)),
            (None, Some(to)) => format!("< {}", points(to)),
            (None, None) => DASH.to_owned(),
        },
        firms: count(firms),
        share: percent(level.share, 1),
        bad_rate: if firms > 0.0 { percent(level.bad / firms, 1) } else { DASH.to_owned() },
        population_share: optional(level.population_share),
        population_bad_rate: optional(level.population_bad_rate),
    }
}
