//! Two models side by side.

use anyhow::bail;
use haihe_models::{
    files::compare::{Comparison, Difference, compare as compare_networks},
    scorecard::{Scorecard, Variable},
};
use serde::Serialize;
use serde_json::json;

use super::{Model, Opened, aligned, file::layers, table};
use crate::Format;

/// What `haihe model compare` prints.
pub fn compare(a: &Opened, b: &Opened, format: Format) -> anyhow::Result<String> {
    match (&a.model, &b.model) {
        (Model::Network(of_a), Model::Network(of_b)) => {
            let comparison = compare_networks(of_a, of_b);
            Ok(match format {
                Format::Json => format!("{}\n", json!({"models": "networks", "comparison": comparison})),
                Format::Text => networks(a, b, &comparison),
            })
        }
        (Model::Scorecard(of_a), Model::Scorecard(of_b)) => {
            let pairs = pairs(of_a, of_b);
            Ok(match format {
                Format::Json => {
                    let base = json!({"a": of_a.base_points, "b": of_b.base_points});
                    format!("{}\n", json!({"models": "scorecards", "base_points": base, "variables": pairs}))
                }
                Format::Text => scorecards(a, b, (of_a, of_b), &pairs),
            })
        }
        (of_a, of_b) => bail!(
            "{} holds {} and {} {}: only two networks, or two scorecards, can be compared",
            a.path.display(),
            of_a.kind(),
            b.path.display(),
            of_b.kind()
        ),
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"))
}

fn networks(a: &Opened, b: &Opened, comparison: &Comparison) -> String {
    let line = |opened: &Opened| match &opened.model {
        Model::Network(network) => format!("{}; {}", opened.name, layers(&network.0.architecture)),
        _ => opened.name.clone(),
    };
    let same = |holds: bool, otherwise: &str| if holds { "the same".to_owned() } else { otherwise.to_owned() };
    let mut text = aligned(&[
        ("a", line(a)),
        ("b", line(b)),
        ("layers", same(comparison.same_architecture, "different: their tensors cannot be compared")),
        ("encoder", same(comparison.same_encoder, "different: the same input means something else to each")),
    ]);
    let row = |d: &Difference| [d.name.clone(), format!("{:.6}", d.max_abs), number(d.relative_l2), number(d.cosine)];
    if !comparison.tensors.is_empty() {
        let rows = comparison.tensors.iter().chain(&comparison.all).map(row);
        text.push('\n');
        text.push_str(&table(&["tensor", "largest difference", "|b - a| / |a|", "cosine"], 1, rows));
    }
    if !comparison.figures.is_empty() {
        let row = |f: &haihe_models::files::compare::FigurePair| [f.name.clone(), number(f.a), number(f.b)];
        text.push('\n');
        text.push_str(&table(&["figure", "a", "b"], 1, comparison.figures.iter().map(row)));
    }
    text
}

/// A variable of either scorecard.
#[derive(Serialize)]
struct Pair<'a> {
    variable: &'a str,
    /// Whether both divide its values in the same bins; `None` if only one has it.
    same_bins: Option<bool>,
    /// Largest difference of a bin's points, with the same bins only.
    points_apart: Option<i64>,
    a: Option<Side>,
    b: Option<Side>,
}

#[derive(Serialize)]
struct Side {
    bins: usize,
    iv: f64,
    coefficient: f64,
    least_points: i64,
    most_points: i64,
}

impl Side {
    fn of(variable: &Variable) -> Self {
        let points = || variable.points.iter().copied();
        Side {
            bins: variable.binning.bins.len(),
            iv: variable.binning.iv,
            coefficient: variable.coefficient,
            least_points: points().min().unwrap_or(0),
            most_points: points().max().unwrap_or(0),
        }
    }
}

/// The variables of the first, then what only the second has.
fn pairs<'a>(a: &'a Scorecard, b: &'a Scorecard) -> Vec<Pair<'a>> {
    let find = |scorecard: &'a Scorecard, name: &str| scorecard.variables.iter().find(|v| v.column() == name);
    let names = a.variables.iter().chain(b.variables.iter().filter(|v| find(a, v.column()).is_none()));
    let pair = |v: &'a Variable| {
        let variable = v.column();
        let (in_a, in_b) = (find(a, variable), find(b, variable));
        let both = in_a.zip(in_b);
        let kinds = |v: &'a Variable| v.binning.bins.iter().map(|bin| &bin.kind);
        let same_bins = both.map(|(a, b)| kinds(a).eq(kinds(b)));
        let apart = |(a, b): (&Variable, &Variable)| {
            let differences = a.points.iter().zip(&b.points).map(|(a, b)| b.abs_diff(*a));
            differences.max().and_then(|most| i64::try_from(most).ok())
        };
        let points_apart = both.filter(|_| same_bins == Some(true)).and_then(apart);
        Pair { variable, same_bins, points_apart, a: in_a.map(Side::of), b: in_b.map(Side::of) }
    };
    names.map(pair).collect()
}

fn scorecards(a: &Opened, b: &Opened, (of_a, of_b): (&Scorecard, &Scorecard), pairs: &[Pair<'_>]) -> String {
    let line = |opened: &Opened, scorecard: &Scorecard| {
        let (variables, base) = (scorecard.variables.len(), scorecard.base_points);
        format!("{}; {variables} variables, base points {base}", opened.name)
    };
    let points = |side: &Option<Side>| {
        side.as_ref().map_or_else(|| "-".to_owned(), |s| format!("{} to {}", s.least_points, s.most_points))
    };
    let coefficient =
        |side: &Option<Side>| side.as_ref().map_or_else(|| "-".to_owned(), |s| format!("{:.4}", s.coefficient));
    let rows = pairs.iter().map(|pair| {
        let bins = match (pair.same_bins, pair.points_apart) {
            (Some(true), Some(apart)) => format!("the same, points up to {apart} apart"),
            (Some(true), None) => "the same".to_owned(),
            (Some(false), _) => "different".to_owned(),
            (None, _) if pair.a.is_some() => "only in a".to_owned(),
            (None, _) => "only in b".to_owned(),
        };
        let (a, b) = (&pair.a, &pair.b);
        [pair.variable.to_owned(), bins, points(a), points(b), coefficient(a), coefficient(b)]
    });
    let header = ["variable", "bins", "points a", "points b", "coefficient a", "coefficient b"];
    format!("{}\n{}", aligned(&[("a", line(a, of_a)), ("b", line(b, of_b))]), table(&header, 2, rows))
}
