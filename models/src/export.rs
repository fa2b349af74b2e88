//! What leaves the program: a scorecard as CSV or JSON, and the names of things in English and Chinese.

use crate::binning::{Bin, BinKind};
use crate::scorecard::{ScalingOptions, Scorecard, ScorecardError, Tier, Warning};
use crate::vertical::{COEFFICIENT_BITS, Dropped, encoding::ColumnEncoder, score::Block};

/// A name in both languages of the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// English.
    pub en: &'static str,
    /// Simplified Chinese, as in the users' own documents.
    pub zh: &'static str,
}

macro_rules! terms {
    ($($name:ident = $en:literal, $zh:literal;)*) => {
        /// Names of the things in a report.
        pub mod terms {
            use super::Term;
            $(#[doc = $en] pub const $name: Term = Term { en: $en, zh: $zh };)*
            /// All of them.
            pub const ALL: &[Term] = &[$($name),*];
        }
    };
}

terms! {
    SCORECARD = "scorecard", "评分卡";
    WEIGHT_OF_EVIDENCE = "weight of evidence", "证据权重";
    INFORMATION_VALUE = "information value", "信息值";
    VARIABLE = "variable", "变量";
    BIN = "bin", "分箱";
    MISSING = "missing", "缺失";
    OTHER = "other", "其他";
    ALL_VALUES = "all values", "全部取值";
    POINTS = "points", "分值";
    BASE_POINTS = "base points", "基础分";
    SCORE = "score", "得分";
    GOOD = "good", "好客户";
    BAD = "bad", "坏客户";
    BAD_RATE = "bad rate", "坏账率";
    ROWS = "firms", "企业数";
    COEFFICIENT = "coefficient", "系数";
    INTERCEPT = "intercept", "截距";
    STANDARD_ERROR = "standard error", "标准误";
    Z_VALUE = "z value", "z 值";
    P_VALUE = "p-value", "p 值";
    CORRELATION = "correlation", "相关系数";
    VARIANCE_INFLATION = "variance inflation factor", "方差膨胀因子";
    LOG_ODDS = "log-odds", "对数几率";
    ODDS = "odds", "好坏比";
    POINTS_TO_DOUBLE = "points to double the odds", "翻倍分值";
    PROBABILITY_OF_DEFAULT = "probability of default", "违约概率";
    LOGISTIC_REGRESSION = "logistic regression", "逻辑回归";
    AUC = "area under the curve", "曲线下面积";
    KS = "Kolmogorov-Smirnov distance", "KS 值";
    GINI = "Gini coefficient", "基尼系数";
    BRIER = "Brier score", "布里尔得分";
    ROC = "ROC curve", "ROC 曲线";
    CALIBRATION = "calibration", "校准";
    STABILITY_INDEX = "population stability index", "群体稳定性指数";
    TRAIN = "training sample", "训练样本";
    TEST = "test sample", "测试样本";
    WARNING = "early warning", "风险预警";
    WARNING_NONE = "no warning", "无预警";
    WARNING_GENERAL = "general warning (blue)", "一般预警（蓝色）";
    WARNING_SERIOUS = "serious warning (yellow)", "较重预警（黄色）";
    WARNING_CRITICAL = "critical warning (red)", "严重预警（红色）";
    TIER = "tier", "客户分层";
    FEDERATION = "federated", "联邦";
    POOLED = "pooled", "集中";
    ALONE = "alone", "单独";
    PARTICIPANT = "participant", "参与方";
    COORDINATOR = "coordinator", "协调方";
    SECURE_SUM = "secure sum", "安全求和";
    JOB = "job", "任务";
    ROUND = "round", "轮次";
}

/// Name of a warning level.
pub fn warning_term(warning: Warning) -> Term {
    match warning {
        Warning::None => terms::WARNING_NONE,
        Warning::General => terms::WARNING_GENERAL,
        Warning::Serious => terms::WARNING_SERIOUS,
        Warning::Critical => terms::WARNING_CRITICAL,
    }
}

/// What a tier means.
pub fn tier_term(tier: Tier) -> Term {
    match tier {
        Tier::A => Term { en: "A: unsecured credit possible", zh: "A 类：可信用放款" },
        Tier::B => Term { en: "B: watch", zh: "B 类：关注" },
        Tier::C => Term { en: "C: restrict", zh: "C 类：审慎" },
        Tier::D => Term { en: "D: cap the limit, ask for a guarantee", zh: "D 类：限额并要求担保或保险" },
    }
}

/// A bin in words: `<= 5`, `5 < x <= 20`, `CA, NV + other`, `missing`.
pub fn bin_label(bin: &Bin) -> String {
    match &bin.kind {
        BinKind::Range { lower: None, upper: None } => terms::ALL_VALUES.en.to_owned(),
        BinKind::Range { lower: None, upper: Some(u) } => format!("<= {u}"),
        BinKind::Range { lower: Some(l), upper: None } => format!("> {l}"),
        BinKind::Range { lower: Some(l), upper: Some(u) } => format!("{l} < x <= {u}"),
        BinKind::Levels { levels, other: false } => levels.join(", "),
        BinKind::Levels { levels, other: true } if levels.is_empty() => terms::OTHER.en.to_owned(),
        BinKind::Levels { levels, other: true } => format!("{} + {}", levels.join(", "), terms::OTHER.en),
        BinKind::Missing => terms::MISSING.en.to_owned(),
    }
}

/// The scorecard as a table for a spreadsheet: one line per bin, the base points first.
///
/// A text field that a spreadsheet could read as a formula (it begins with `=`, `+`, `-` or `@`) gets a leading apostrophe.
pub fn scorecard_csv(scorecard: &Scorecard) -> String {
    let mut lines = vec![
        [
            "variable",
            "bin",
            "good",
            "bad",
            "bad_rate",
            "woe",
            "iv",
            "coefficient",
            "standard_error",
            "p_value",
            "points",
        ]
        .map(str::to_owned),
    ];
    let (good, bad) = (scorecard.good, scorecard.bad);
    let base = [
        "(base)".to_owned(),
        terms::ALL_VALUES.en.to_owned(),
        good.to_string(),
        bad.to_string(),
        rate(good, bad),
        String::new(),
        String::new(),
        number(scorecard.intercept),
        number(scorecard.intercept_standard_error),
        String::new(),
        scorecard.base_points.to_string(),
    ];
    lines.push(base);
    for v in &scorecard.variables {
        for (bin, points) in v.binning.bins.iter().zip(&v.points) {
            lines.push([
                plain(v.column()),
                plain(&bin_label(bin)),
                shown(bin.good, bin),
                shown(bin.bad, bin),
                rate(bin.good, bin.bad),
                number(bin.woe),
                number(bin.iv),
                number(v.coefficient),
                number(v.standard_error),
                number(v.p_value),
                points.to_string(),
            ]);
        }
    }
    written(&lines)
}

/// One party's part of a vertical scorecard as a table for a spreadsheet: one line per bin; the label holder's begins with the
/// base points. The coefficient is in log-odds of good, as in [`scorecard_csv`]. Scores add up exact terms, so the whole `points`
/// are for people and may differ by the rounding.
pub fn block_csv(block: &Block, scaling: &ScalingOptions) -> String {
    let header = ["variable", "bin", "good", "bad", "bad_rate", "woe", "iv", "coefficient", "points", "exact_points"];
    let mut lines = vec![header.map(str::to_owned)];
    let points = |exact: f64| [(libm::rint(exact) + 0.0).to_string(), format!("{:.4}", exact + 0.0)];
    let empty = String::new;
    if block.base != 0 {
        let [whole, exact] = points(block.base_points(scaling));
        let all = terms::ALL_VALUES.en.to_owned();
        lines.push(["(base)".to_owned(), all, empty(), empty(), empty(), empty(), empty(), empty(), whole, exact]);
    }
    for (term, (column, of_bins)) in block.columns.iter().zip(block.points(scaling)) {
        let coefficient = number(-libm::ldexp(term.coefficient as f64, -(COEFFICIENT_BITS as i32)));
        let ColumnEncoder::Woe { binning } = &term.encoder else {
            let per_deviation = "per standard deviation".to_owned();
            lines.push([
                plain(column),
                per_deviation,
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
                coefficient,
                empty(),
                empty(),
            ]);
            continue;
        };
        for (bin, exact) in binning.bins.iter().zip(of_bins) {
            let [whole, exact] = points(exact);
            lines.push([
                plain(column),
                plain(&bin_label(bin)),
                shown(bin.good, bin),
                shown(bin.bad, bin),
                rate(bin.good, bin.bad),
                number(bin.woe),
                number(bin.iv),
                coefficient.clone(),
                whole,
                exact,
            ]);
        }
    }
    for Dropped { column, reason } in &block.dropped {
        let mut line = header.map(|_| empty());
        (line[0], line[1]) = (plain(column), format!("left out: {reason}"));
        lines.push(line);
    }
    written(&lines)
}

/// Lines of equally many fields as CSV.
fn written<const FIELDS: usize>(lines: &[[String; FIELDS]]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // Writing to memory cannot fail, and all lines have the same number of fields.
        let _ = writer.write_record(line);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// A count of a bin, or the bound of one that is not published.
fn shown(count: f64, bin: &Bin) -> String {
    bin.suppressed_below.map_or_else(|| count.to_string(), |floor| format!("<{floor}"))
}

fn rate(good: f64, bad: f64) -> String {
    if good + bad > 0.0 { format!("{:.4}", bad / (good + bad)) } else { String::new() }
}

fn number(x: f64) -> String {
    if x != 0.0 && x.abs() < 1e-4 { format!("{x:.2e}") } else { format!("{x:.6}") }
}

fn plain(text: &str) -> String {
    spreadsheet_text(text).into_owned()
}

/// The scorecard as indented JSON; reading it back gives the same value to the last bit.
pub fn scorecard_json(scorecard: &Scorecard) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(scorecard)
}

/// Why a stored scorecard cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the JSON of a scorecard.
    #[error("not the JSON of a scorecard: {0}")]
    Json(#[from] serde_json::Error),
    /// A scorecard, but not a usable one.
    #[error(transparent)]
    Scorecard(#[from] ScorecardError),
}

/// Reads what [`scorecard_json`] wrote, and checks it.
pub fn read_scorecard(json: &str) -> Result<Scorecard, ReadError> {
    let scorecard: Scorecard = serde_json::from_str(json)?;
    scorecard.check()?;
    Ok(scorecard)
}

/// A text as it is, but never one that a spreadsheet takes for a formula.
pub fn spreadsheet_text(text: &str) -> std::borrow::Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}").into() } else { text.into() }
}
