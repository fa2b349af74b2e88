//! The scorecard: what a credit officer reads, and what scores a firm.
//!
//! ```text
//! log-odds  = intercept + sum_j coefficient_j * WOE_j(value)             ln(good : bad), in the population of the train rows
//! PD        = 1 / (1 + exp(log-odds + prior_offset))                     in the population that the bank lends to
//! points    = base_score + points_to_double / ln 2 * (log-odds + prior_offset - ln base_odds)
//! ```
//!
//! `prior_offset = ln(G' / B') - ln(G / B)` corrects a train set that was drawn with another bad rate than the population has
//! (King & Zeng 2001, "Logistic regression in rare events data", section 4.1); it is 0 when no population rate is given.
//!
//! | PD | warning | shown as | tier | score |
//! |---|---|---|---|---|
//! | below 5 % | none | - | A | above 75 |
//! | 5 % to below 10 % | general | blue | B | 75 to above 58.7 |
//! | 10 % to 20 % | serious | yellow | C | 58.7 to 38.7 |
//! | above 20 % | critical | red | D | below 38.7 |

use crate::binning::{BinKind, Binning};
use crate::glm::{Coefficient, Fit, sigmoid};
use crate::grid::{StatisticsError, validate};
use crate::table::Table;
use serde::{Deserialize, Serialize};

/// Version of the stored form.
pub const SCORECARD_VERSION: u32 = 1;

/// What a scorecard cannot be made from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScorecardError {
    /// The fit and the binnings do not name the same columns.
    #[error(
        "the regression names {fitted:?} where the binnings name {binned:?}: fit on exactly the selected columns, in order"
    )]
    Columns {
        /// Columns of the fit.
        fitted: Vec<String>,
        /// Columns of the binnings.
        binned: Vec<String>,
    },
    /// An option is out of its range.
    #[error("scaling option `{option}` is out of range: {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A stored scorecard is of a version that this program does not know.
    #[error(
        "the scorecard has version {found}, this program reads version {SCORECARD_VERSION}: use the program that wrote it"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// A stored scorecard is inconsistent.
    #[error("variable `{column}` of the stored scorecard is damaged: {what}")]
    Damaged {
        /// The variable.
        column: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// How log-odds become points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingOptions {
    /// Points at `base_odds`.
    pub base_score: f64,
    /// Goods per bad at `base_score`.
    pub base_odds: f64,
    /// Points that double the odds.
    pub points_to_double: f64,
    /// Bad rate of the population that will be scored, when the train rows were drawn with another one.
    pub population_bad_rate: Option<f64>,
}

impl Default for ScalingOptions {
    fn default() -> Self {
        ScalingOptions { base_score: 600.0, base_odds: 30.0, points_to_double: 20.0, population_bad_rate: None }
    }
}

impl ScalingOptions {
    /// Checks the ranges of the options.
    pub fn validate(&self) -> Result<(), ScorecardError> {
        let rule = |ok: bool, option, allowed| {
            if ok { Ok(()) } else { Err(ScorecardError::Option { option, allowed }) }
        };
        rule(self.base_score.is_finite(), "base_score", "a finite number")?;
        rule(self.base_odds.is_finite() && self.base_odds > 0.0, "base_odds", "above 0")?;
        rule(self.points_to_double.is_finite() && self.points_to_double > 0.0, "points_to_double", "above 0")?;
        let rate_ok = self.population_bad_rate.is_none_or(|r| r > 0.0 && r < 1.0);
        rule(rate_ok, "population_bad_rate", "between 0 and 1, both excluded")
    }

    /// Points per unit of log-odds.
    pub fn factor(&self) -> f64 {
        self.points_to_double / core::f64::consts::LN_2
    }
}

/// One variable of a scorecard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its bins, with counts and weight of evidence.
    pub binning: Binning,
    /// Regression coefficient of the WOE, in log-odds of good.
    pub coefficient: f64,
    /// Standard error of the coefficient.
    pub standard_error: f64,
    /// `coefficient / standard_error`.
    pub z: f64,
    /// Two-sided.
    pub p_value: f64,
    /// Whole points per bin, parallel to `binning.bins`.
    pub points: Vec<i64>,
    /// The same before rounding.
    pub exact_points: Vec<f64>,
}

impl Variable {
    /// Name of the column.
    pub fn column(&self) -> &str {
        &self.binning.column
    }
}

/// A fitted scorecard: a plain value, the same JSON for everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scorecard {
    /// [`SCORECARD_VERSION`].
    pub version: u32,
    /// Log-odds of good at WOE 0, in the population of the train rows.
    pub intercept: f64,
    /// Standard error of the intercept.
    pub intercept_standard_error: f64,
    /// What corrects the log-odds for the population's bad rate.
    pub prior_offset: f64,
    /// The variables, the most informative first.
    pub variables: Vec<Variable>,
    /// Points that everybody gets, whole.
    pub base_points: i64,
    /// The same before rounding.
    pub exact_base_points: f64,
    /// How far rounding can move a firm's points, at most.
    pub max_rounding_effect: f64,
    /// The scaling.
    pub scaling: ScalingOptions,
    /// Good train rows.
    pub good: f64,
    /// Bad train rows.
    pub bad: f64,
    /// Log-likelihood of the train rows.
    pub log_likelihood: f64,
    /// The same with an intercept only.
    pub null_log_likelihood: f64,
    /// Collinearity of the regression, see [`Fit::condition_number`].
    pub condition_number: f64,
    /// Ridge penalty of the regression.
    pub ridge: f64,
}

impl Scorecard {
    /// A scorecard from the selected binnings and the regression (event = good) on their WOE values.
    pub fn new(binnings: Vec<Binning>, fit: &Fit, scaling: ScalingOptions) -> Result<Scorecard, ScorecardError> {
        scaling.validate()?;
        let fitted: Vec<String> = fit.coefficients.iter().skip(1).map(|c| c.column.clone()).collect();
        let binned: Vec<String> = binnings.iter().map(|b| b.column.clone()).collect();
        let (Some(intercept), true) = (fit.coefficients.first(), fitted == binned) else {
            return Err(ScorecardError::Columns { fitted, binned });
        };
        let (good, bad) = (fit.events, fit.rows - fit.events);
        let prior_offset =
            scaling.population_bad_rate.map_or(0.0, |rate| libm::log((1.0 - rate) / rate) - libm::log(good / bad));
        let variables = binnings.into_iter().zip(fit.coefficients.iter().skip(1));
        let variables = variables.map(|(binning, c)| variable(binning, c, &scaling)).collect();
        Ok(Scorecard {
            version: SCORECARD_VERSION,
            intercept: intercept.value,
            intercept_standard_error: intercept.standard_error,
            prior_offset,
            variables,
            base_points: 0,
            exact_base_points: 0.0,
            max_rounding_effect: 0.0,
            scaling,
            good,
            bad,
            log_likelihood: fit.log_likelihood,
            null_log_likelihood: fit.null_log_likelihood,
            condition_number: fit.condition_number,
            ridge: fit.ridge,
        }
        .with_base_points())
    }

    /// The same bins with the coefficients and the figures of another regression on their WOE values, in the same order. Counts
    /// stay those behind the WOE values, and the prior correction stays: it undoes how the train rows were drawn, which a
    /// regression on some of them does not change.
    pub(crate) fn refitted(&self, fit: &Fit) -> Option<Scorecard> {
        let (intercept, coefficients) = fit.coefficients.split_first()?;
        if !coefficients.iter().map(|c| c.column.as_str()).eq(self.variables.iter().map(Variable::column)) {
            return None;
        }
        let variables = self.variables.iter().zip(coefficients);
        let refitted = Scorecard {
            intercept: intercept.value,
            intercept_standard_error: intercept.standard_error,
            variables: variables.map(|(v, c)| variable(v.binning.clone(), c, &self.scaling)).collect(),
            log_likelihood: fit.log_likelihood,
            null_log_likelihood: fit.null_log_likelihood,
            condition_number: fit.condition_number,
            ridge: fit.ridge,
            ..self.clone()
        };
        Some(refitted.with_base_points())
    }

    /// Points for everybody, and what rounding can do, from intercept and variables.
    fn with_base_points(mut self) -> Scorecard {
        let s = &self.scaling;
        self.exact_base_points =
            s.base_score + s.factor() * (self.intercept + self.prior_offset - libm::log(s.base_odds));
        self.base_points = whole(self.exact_base_points);
        let slip =
            |v: &Variable| v.exact_points.iter().zip(&v.points).fold(0.0f64, |m, (x, &p)| m.max((x - p as f64).abs()));
        self.max_rounding_effect =
            (self.exact_base_points - self.base_points as f64).abs() + self.variables.iter().map(slip).sum::<f64>();
        self
    }

    /// Checks a scorecard that came from a file or a peer: version, and that every bin has its points and finite numbers.
    pub fn check(&self) -> Result<(), ScorecardError> {
        if self.version != SCORECARD_VERSION {
            return Err(ScorecardError::Version { found: self.version });
        }
        self.scaling.validate()?;
        if !(self.intercept + self.prior_offset + self.exact_base_points).is_finite() {
            let column = "(intercept)".to_owned();
            return Err(ScorecardError::Damaged { column, what: "a number is not finite" });
        }
        for v in &self.variables {
            let rule = |ok: bool, what| {
                if ok { Ok(()) } else { Err(ScorecardError::Damaged { column: v.column().to_owned(), what }) }
            };
            let bins = &v.binning.bins;
            rule(
                bins.len() == v.points.len() && bins.len() == v.exact_points.len(),
                "bins and points differ in number",
            )?;
            rule(
                bins.last().is_some_and(|b| b.kind == BinKind::Missing),
                "the last bin is not the one for missing values",
            )?;
            rule(v.coefficient.is_finite() && bins.iter().all(|b| b.woe.is_finite()), "a number is not finite")?;
        }
        Ok(())
    }

    /// Looks up the columns of a table once, so that its rows can be scored.
    pub fn bind(&self, table: &Table) -> Result<Bound<'_>, StatisticsError> {
        validate(table)?;
        let bins = self.variables.iter().map(|v| v.binning.bins_of(table)).collect::<Result<_, _>>()?;
        Ok(Bound { scorecard: self, bins, rows: table.rows() })
    }

    /// Log-odds of good of every row (train population), for histograms and metrics.
    pub fn score_table(&self, table: &Table) -> Result<Vec<f64>, StatisticsError> {
        let bound = self.bind(table)?;
        Ok((0..bound.rows).map(|row| self.log_odds_of(|v| bound.bins[v][row])).collect())
    }

    /// Scores one firm from named values; a column that `value` does not know counts as missing.
    pub fn assess(&self, value: impl Fn(&str) -> Value) -> Assessment {
        let bins: Vec<usize> = self
            .variables
            .iter()
            .map(|v| match value(v.column()) {
                Value::Number(x) if v.binning.levels.is_none() => v.binning.bin_of_numeric(x),
                Value::Text(text) if v.binning.levels.is_some() => v.binning.bin_of_text(&text),
                _ => v.binning.bins.len().saturating_sub(1),
            })
            .collect();
        self.assessment(&bins)
    }

    /// PD from log-odds as [`Scorecard::score_table`] gives them, corrected for the population's bad rate.
    pub fn probability_of_default(&self, log_odds: f64) -> f64 {
        sigmoid(-(log_odds + self.prior_offset))
    }

    fn log_odds_of(&self, bin: impl Fn(usize) -> usize) -> f64 {
        let parts = self.variables.iter().enumerate();
        parts
            .fold(self.intercept, |sum, (i, v)| sum + v.coefficient * v.binning.bins.get(bin(i)).map_or(0.0, |b| b.woe))
    }

    /// What a credit officer sees for a firm whose value of variable `i` lies in bin `bins[i]`.
    fn assessment(&self, bins: &[usize]) -> Assessment {
        let log_odds = self.log_odds_of(|v| bins[v]);
        let probability_of_default = self.probability_of_default(log_odds);
        let mut reasons: Vec<Contribution> = self
            .variables
            .iter()
            .zip(bins)
            .map(|(v, &bin)| {
                let points = v.points.get(bin).copied().unwrap_or(0);
                let best = v.points.iter().copied().max().unwrap_or(0);
                Contribution { column: v.column().to_owned(), bin, points, below_best: best.saturating_sub(points) }
            })
            .collect();
        let points = reasons.iter().fold(self.base_points, |sum, r| sum.saturating_add(r.points));
        let parts = self.variables.iter().zip(bins);
        let exact_points =
            parts.fold(self.exact_base_points, |s, (v, &bin)| s + v.exact_points.get(bin).copied().unwrap_or(0.0));
        reasons.sort_by_key(|r| std::cmp::Reverse(r.below_best));
        Assessment {
            log_odds,
            probability_of_default,
            points,
            exact_points,
            score: score_0_100(probability_of_default),
            warning: Warning::of(probability_of_default),
            tier: Tier::of(probability_of_default),
            reasons,
        }
    }
}

/// A column with its points.
fn variable(binning: Binning, c: &Coefficient, scaling: &ScalingOptions) -> Variable {
    let exact_points: Vec<f64> = binning.bins.iter().map(|b| scaling.factor() * c.value * b.woe + 0.0).collect();
    let points = exact_points.iter().map(|&x| whole(x)).collect();
    let Coefficient { value, standard_error, z, p_value, .. } = *c;
    Variable { binning, coefficient: value, standard_error, z, p_value, points, exact_points }
}

/// Rounds to whole points; the cast saturates.
fn whole(x: f64) -> i64 {
    libm::round(x) as i64
}

/// A scorecard whose columns were found in a table.
#[derive(Clone, Debug)]
pub struct Bound<'a> {
    scorecard: &'a Scorecard,
    /// Per variable, the bin of each row.
    bins: Vec<Vec<usize>>,
    rows: usize,
}

impl Bound<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What a credit officer sees for one row; `None` beyond the last row.
    pub fn assess(&self, row: usize) -> Option<Assessment> {
        let bins: Vec<usize> = (row < self.rows).then(|| self.bins.iter().map(|b| b[row]).collect())?;
        Some(self.scorecard.assessment(&bins))
    }
}

/// A value of one firm, by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; NaN is missing.
    Number(f64),
    /// A level.
    Text(String),
    /// No value.
    Missing,
}

/// One variable's part in a firm's points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// The variable.
    pub column: String,
    /// Bin of the firm's value, a position in `binning.bins`.
    pub bin: usize,
    /// Whole points of the bin.
    pub points: i64,
    /// Points lost against the best bin of the variable: the reason codes are the largest of these.
    pub below_best: i64,
}

/// What a credit officer sees for one firm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Log-odds of good, train population.
    pub log_odds: f64,
    /// Corrected for the population's bad rate.
    pub probability_of_default: f64,
    /// Whole points.
    pub points: i64,
    /// Points before rounding.
    pub exact_points: f64,
    /// 0 to 100, see [`score_0_100`].
    pub score: f64,
    /// Level of the early warning.
    pub warning: Warning,
    /// Tier A to D.
    pub tier: Tier,
    /// Per variable, the largest loss against the best bin first.
    pub reasons: Vec<Contribution>,
}

/// PD at which the score is [`ANCHOR_SCORE`]: the lower end of the early-warning band.
pub const ANCHOR_PD: f64 = 0.05;
/// Score from which unsecured credit is possible.
pub const ANCHOR_SCORE: f64 = 75.0;

/// The 0-100 score: `100 / (1 + odds / (3 * anchor odds))` with `odds = PD / (1 - PD)`.
///
/// Strictly falling in PD, 100 at PD 0 and 0 at PD 1, and anchored so that 75, from which unsecured credit is possible, is a PD
/// of 5 %, where the early warning begins: "score above 75" and "no warning" are the same firms. 10 % is 58.7, 20 % is 38.7.
pub fn score_0_100(probability_of_default: f64) -> f64 {
    let pd = probability_of_default.clamp(0.0, 1.0);
    let anchor = ANCHOR_PD / (1.0 - ANCHOR_PD) * ANCHOR_SCORE / (100.0 - ANCHOR_SCORE);
    // 100 / (1 + odds / anchor), written so that PD 1 needs no division by zero.
    100.0 * anchor * (1.0 - pd) / (anchor * (1.0 - pd) + pd)
}

/// Level of the early warning, by PD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Below 5 %.
    None,
    /// 5 % to below 10 %, shown blue.
    General,
    /// 10 % to 20 %, shown yellow.
    Serious,
    /// Above 20 %, shown red.
    Critical,
}

impl Warning {
    /// Level of a PD; a PD that is not a number warns at the highest level.
    pub fn of(probability_of_default: f64) -> Warning {
        match probability_of_default {
            pd if pd < 0.05 => Warning::None,
            pd if pd < 0.10 => Warning::General,
            pd if pd <= 0.20 => Warning::Serious,
            _ => Warning::Critical,
        }
    }

    /// The colour that people see.
    pub fn colour(self) -> Option<&'static str> {
        match self {
            Warning::None => None,
            Warning::General => Some("blue"),
            Warning::Serious => Some("yellow"),
            Warning::Critical => Some("red"),
        }
    }
}

/// Tier of a firm: one per warning level, so that the two can never contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// PD below 5 %: unsecured credit possible.
    A,
    /// PD 5 % to below 10 %.
    B,
    /// PD 10 % to 20 %.
    C,
    /// PD above 20 %: limit capped, bound to insurance or a guarantee.
    D,
}

impl Tier {
    /// Tier of a PD.
    pub fn of(probability_of_default: f64) -> Tier {
        match Warning::of(probability_of_default) {
            Warning::None => Tier::A,
            Warning::General => Tier::B,
            Warning::Serious => Tier::C,
            Warning::Critical => Tier::D,
        }
    }
}
