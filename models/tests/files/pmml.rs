//! Scorecards as PMML, applied by an evaluator of its own: each value in one bin, the same points, the same probability.

use std::collections::BTreeMap;

use haihe_models::binning::{BinKind, BinningOptions};
use haihe_models::files::{FileError, pmml};
use haihe_models::pooled::{ScorecardOptions, train};
use haihe_models::scorecard::{ScalingOptions, Scorecard, Value};
use haihe_models::selection::SelectionOptions;
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};

use crate::xml::{Element, parse};

/// Levels that are hard to write down.
const LEVELS: [&str; 12] = [
    "<a> & 'b'",
    "say \"x\"",
    "back\\slash",
    "two words",
    " edges ",
    "制造业",
    "tab\tin",
    "line\nend",
    "",
    "\r",
    "]]>",
    "plain",
];
const NUMBER: &str = "debt / \"equity\" <ratio>";
const COUNT: &str = "年限 & age";
const LEVEL: &str = "region\n'x'";
const SIMPLE: &str = "sector";
const NOTE: &str = "note";

type Row = BTreeMap<&'static str, Value>;

struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }
}

/// Firms whose badness depends on every column, and on whether a note is missing.
fn scorecard(seed: u64) -> Scorecard {
    let mut draw = Draw(seed);
    let (mut number, mut count, mut level, mut simple, mut note) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut label, mut split) = (vec![], vec![]);
    for _ in 0..4000 {
        let (x, n, l, s) = (draw.uniform() * 4.0 - 2.0, draw.below(12), draw.below(LEVELS.len() + 2), draw.below(6));
        let missing = draw.uniform() < 0.3;
        let z =
            x + 0.2 * n as f64 - 0.3 * (l % 5) as f64 + 0.5 * (s % 3) as f64 + if missing { 1.0 } else { 0.0 } - 1.5;
        label.push(draw.uniform() < 1.0 / (1.0 + (-z).exp()));
        split.push(Split::Train);
        number.push(if draw.uniform() < 0.1 { f64::NAN } else { x });
        count.push(n as f64);
        level.push(l as u32);
        simple.push(s as u32);
        note.push(if missing { f64::NAN } else { 1.0 });
    }
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let levels = |name: &str, levels: &[&str]| ColumnSpec {
        name: name.to_owned(),
        kind: ColumnKind::Categorical { levels: levels.iter().map(|&l| l.to_owned()).collect() },
    };
    let table = Table {
        specs: vec![
            numeric(NUMBER),
            numeric(COUNT),
            levels(LEVEL, &LEVELS),
            levels(SIMPLE, &["a", "b b", "c", "d"]),
            numeric(NOTE),
        ],
        columns: vec![
            Column::Numeric(number),
            Column::Numeric(count),
            Column::Categorical(level),
            Column::Categorical(simple),
            Column::Numeric(note),
        ],
        label,
        split,
        firms: None,
    };
    let options = ScorecardOptions {
        binning: BinningOptions { max_bins: 2 + seed as usize % 5, min_chi_square: 0.5, ..BinningOptions::default() },
        selection: SelectionOptions { min_iv: 0.0, max_p_value: 1.0, ..SelectionOptions::default() },
        scaling: ScalingOptions { population_bad_rate: Some(0.05), ..ScalingOptions::default() },
        ..ScorecardOptions::default()
    };
    train(&[&table], &options).unwrap().scorecard
}

/// Values on and beside every edge, levels that were agreed on and others, and nothing.
fn rows(scorecard: &Scorecard, draw: &mut Draw) -> Vec<Row> {
    let mut numbers = vec![0.0, -0.0, 1e300, -1e300, f64::MIN_POSITIVE];
    for bin in scorecard.variables.iter().flat_map(|v| &v.binning.bins) {
        if let BinKind::Range { upper: Some(edge), .. } = bin.kind {
            numbers.extend([edge, edge.next_up(), edge.next_down()]);
        }
    }
    let texts: Vec<&str> = LEVELS.iter().copied().chain(["a", "b b", "c", "d", "unheard of", "\"a\"", "A"]).collect();
    let value = |column: &str, draw: &mut Draw| match draw.below(10) {
        0 => Value::Missing,
        _ if column == LEVEL || column == SIMPLE => Value::Text(texts[draw.below(texts.len())].to_owned()),
        1..6 => Value::Number(numbers[draw.below(numbers.len())]),
        _ => Value::Number(draw.uniform() * 20.0 - 5.0),
    };
    (0..400).map(|_| [NUMBER, COUNT, LEVEL, SIMPLE, NOTE].map(|column| (column, value(column, draw))).into()).collect()
}

/// True, false, or unknown.
fn holds(predicate: &Element, row: &Row) -> Option<bool> {
    let value = || match &row[predicate.get("field").unwrap()] {
        Value::Missing => None,
        Value::Number(x) => Some(Value::Number(*x)),
        Value::Text(t) => Some(Value::Text(t.clone())),
    };
    let operator = predicate.get("operator").or(predicate.get("booleanOperator")).unwrap();
    match (predicate.name.as_str(), operator) {
        ("SimplePredicate", "isMissing") => Some(value().is_none()),
        ("SimplePredicate", "isNotMissing") => Some(value().is_some()),
        ("SimplePredicate", operator) => value().map(|value| match (value, operator) {
            (Value::Number(x), "lessOrEqual") => x <= predicate.number("value"),
            (Value::Number(x), "greaterThan") => x > predicate.number("value"),
            (Value::Text(t), "equal") => t == predicate.get("value").unwrap(),
            (Value::Text(t), "notEqual") => t != predicate.get("value").unwrap(),
            other => panic!("{other:?}"),
        }),
        ("SimpleSetPredicate", operator) => value().map(|value| {
            let Value::Text(text) = value else { panic!("a number in a set") };
            let array = predicate.child("Array");
            let inner = array.text.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let members: Vec<&str> = inner.split("\" \"").collect();
            assert_eq!(members.len() as f64, array.number("n"));
            members.contains(&text.as_str()) == (operator == "isIn")
        }),
        ("CompoundPredicate", operator) => {
            assert!(predicate.children.len() > 1, "a compound of one");
            let all: Option<Vec<bool>> = predicate.children.iter().map(|child| holds(child, row)).collect();
            all.map(|all| if operator == "and" { all.iter().all(|&h| h) } else { all.contains(&true) })
        }
        other => panic!("{other:?}"),
    }
}

/// Points, and per reason the variable and its loss.
fn points(model: &Element, row: &Row) -> (f64, Vec<(String, f64)>) {
    let (mut sum, mut reasons) = (model.number("initialScore"), Vec::new());
    for characteristic in model.child("Characteristics").all("Characteristic") {
        let attributes: Vec<&Element> = characteristic.all("Attribute").collect();
        let fitting: Vec<_> = attributes.iter().filter(|a| holds(&a.children[0], row) == Some(true)).collect();
        assert_eq!(fitting.len(), 1, "{row:?} in one bin of {:?}", characteristic.get("name"));
        let partial = fitting[0].number("partialScore");
        sum += partial;
        reasons.push((
            characteristic.get("reasonCode").unwrap().to_owned(),
            characteristic.number("baselineScore") - partial,
        ));
    }
    reasons.sort_by(|a, b| b.1.total_cmp(&a.1));
    (sum, reasons)
}

/// The value of a derived field.
fn derived(field: &Element, row: &Row) -> f64 {
    let map = &field.children[0];
    let column = map.get("field").unwrap_or_else(|| map.child("FieldColumnPair").get("field").unwrap());
    match &row[column] {
        Value::Missing => map.number("mapMissingTo"),
        Value::Number(x) => {
            let fits = |bin: &&Element| {
                let (i, number) = (bin.child("Interval"), |end: &str| Some(end.parse::<f64>().unwrap()));
                let above = i.get("leftMargin").and_then(number).is_none_or(|left| *x > left);
                let closed = i.get("closure").unwrap() == "openClosed";
                above && i.get("rightMargin").and_then(number).is_none_or(|right| *x < right || closed && *x == right)
            };
            let fitting: Vec<&Element> = map.all("DiscretizeBin").filter(fits).collect();
            assert!(fitting.len() <= 1);
            fitting.first().map_or_else(|| map.number("defaultValue"), |bin| bin.number("binValue"))
        }
        Value::Text(text) => {
            let mut rows = map.child("InlineTable").all("row");
            let found = rows.find(|row| row.child("level").text == *text);
            found.map_or_else(|| map.number("defaultValue"), |row| row.child("woe").text.parse().unwrap())
        }
    }
}

fn probability(model: &Element, row: &Row) -> f64 {
    assert_eq!((model.get("functionName"), model.get("normalizationMethod")), (Some("regression"), Some("logit")));
    let fields: Vec<&Element> = model.child("LocalTransformations").all("DerivedField").collect();
    let table = model.child("RegressionTable");
    let sum = table.all("NumericPredictor").fold(table.number("intercept"), |sum, predictor| {
        let field = fields.iter().find(|f| f.get("name") == predictor.get("name")).unwrap();
        sum + predictor.number("coefficient") * derived(field, row)
    });
    1.0 / (1.0 + (-sum).exp())
}

#[test]
fn an_evaluator_of_pmml_gives_the_same_points_and_probabilities() {
    let mut kinds = BTreeMap::new();
    for seed in 1..=12 {
        let scorecard = scorecard(seed);
        assert_eq!(scorecard.variables.len(), 5, "every column is used");
        let files = [pmml::scorecard, pmml::regression]
            .map(|file| file(&scorecard, "A & \"B\"", "2026-03-01T00:00:00Z").unwrap());
        assert_eq!(files[0], pmml::scorecard(&scorecard, "A & \"B\"", "2026-03-01T00:00:00Z").unwrap());
        let roots = files.each_ref().map(|file| parse(file));
        assert_eq!(roots[0].get("version"), Some("4.4"));
        let declared: Vec<_> =
            roots[0].child("DataDictionary").all("DataField").filter_map(|f| f.get("name")).collect();
        let mined: Vec<_> = roots[0]
            .child("Scorecard")
            .child("MiningSchema")
            .all("MiningField")
            .filter_map(|f| f.get("name"))
            .collect();
        assert_eq!(declared, mined);
        for element in ["SimpleSetPredicate", "CompoundPredicate", "isNotMissing", "isNotIn", "&#9;", "notEqual"] {
            *kinds.entry(element).or_insert(0) += files[0].matches(element).count();
        }
        for row in rows(&scorecard, &mut Draw(seed + 1000)) {
            let expected = scorecard.assess(|column| row[column].clone());
            let (sum, reasons) = points(roots[0].child("Scorecard"), &row);
            assert_eq!(sum, expected.points as f64, "seed {seed}: {row:?}");
            let expected_reasons: Vec<_> =
                expected.reasons.iter().map(|r| (r.column.clone(), r.below_best as f64)).collect();
            assert_eq!(reasons, expected_reasons, "seed {seed}: {row:?}");
            let found = probability(roots[1].child("RegressionModel"), &row);
            assert!((found - expected.probability_of_default).abs() < 1e-14, "seed {seed}: {row:?}");
        }
    }
    assert!(kinds.values().all(|&count| count > 0), "every form of predicate was met: {kinds:?}");
}

#[test]
fn what_pmml_cannot_say_is_refused() {
    let changed = |change: fn(&mut Scorecard)| {
        let mut scorecard = scorecard(1);
        change(&mut scorecard);
        [pmml::scorecard, pmml::regression].map(|file| file(&scorecard, "m", "").expect_err("changed"))
    };
    type Change = fn(&mut Scorecard);
    let bins: [Change; 6] = [
        |s| s.variables[0].binning.column = s.variables[1].column().to_owned(),
        |s| s.variables[0].points[0] = i64::MIN,
        |s| with(s, NUMBER, |bins| *bins = BinKind::Range { lower: Some(f64::NEG_INFINITY), upper: Some(0.0) }),
        |s| with(s, NUMBER, |bins| *bins = BinKind::Missing),
        |s| with(s, LEVEL, |bins| *bins = BinKind::Levels { levels: vec!["plain".to_owned()], other: false }),
        |s| {
            s.variables.iter_mut().for_each(|v| {
                v.binning.bins.iter_mut().for_each(|b| {
                    if let BinKind::Levels { other, .. } = &mut b.kind {
                        *other = false;
                    }
                })
            })
        },
    ];
    for (k, change) in bins.into_iter().enumerate() {
        for error in changed(change) {
            assert!(matches!(error, FileError::Bins { .. }), "change {k}: {error}");
        }
    }
    for error in changed(|s| s.variables[0].binning.column = "bell\u{7}".to_owned()) {
        assert!(matches!(error, FileError::Text { .. }), "{error}");
    }
    for error in changed(|s| s.intercept = f64::NAN) {
        assert!(matches!(error, FileError::Scorecard(_)), "{error}");
    }
}

/// Changes the first bin of a column.
fn with(scorecard: &mut Scorecard, column: &str, change: impl Fn(&mut BinKind)) {
    let variable = scorecard.variables.iter_mut().find(|v| v.column() == column).unwrap();
    change(&mut variable.binning.bins[0].kind);
}
