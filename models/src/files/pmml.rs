//! Scorecards as PMML 4.4 files, which decision engines of banks import.
//!
//! [`scorecard`] writes the element `Scorecard`: whole points per bin, reason codes, base points. [`regression`] writes the regression
//! behind it, with the weights of evidence as derived fields; its value is the probability of default.
//!
//! Every value falls into exactly one bin in both: a number goes by `lower < x <= upper`, a level that was not agreed on goes where
//! "other" is, and a missing value where missing is. PMML has no NaN: hand it over as a missing value. A text where a number is
//! expected counts as missing. A level that is an empty text, or white space only, is written as it is; some engines read such a
//! text as a missing value, so give it a name in the job's view.

use std::borrow::Cow;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::FileError;
use crate::binning::{Bin, BinKind, Binning};
use crate::scorecard::{Scorecard, Variable};

/// Name of the points among the outputs.
pub const POINTS: &str = "points";
/// Name of the probability of default among the outputs.
pub const PROBABILITY: &str = "probability_of_default";

/// Most points of a bin: sums of more would not be exact in a runtime's floating-point numbers.
const MAX_POINTS: i64 = 1 << 40;

/// The scorecard as whole points. `created` is a time in the form of RFC 3339, or empty for none.
///
/// Reason code N is the variable that loses the N-th most points against its best bin, as in
/// [`crate::scorecard::Assessment::reasons`].
pub fn scorecard(scorecard: &Scorecard, name: &str, created: &str) -> Result<String, FileError> {
    check(scorecard, [name, created])?;
    let variables = &scorecard.variables;
    let scale = &scorecard.scaling;
    let description = format!(
        "Points: {} at {} goods per bad, {} more for twice the odds; more is better.",
        number(scale.base_score),
        number(scale.base_odds),
        number(scale.points_to_double)
    );
    Ok(document(scorecard, created, &description, |xml| {
        let attributes = [
            ("modelName", name),
            ("functionName", "regression"),
            ("initialScore", &scorecard.base_points.to_string()),
            ("useReasonCodes", "true"),
            ("reasonCodeAlgorithm", "pointsBelow"),
            ("baselineMethod", "max"),
        ];
        let model = xml.create_element("Scorecard").with_attributes(attributes);
        model.write_inner_content(|xml| {
            mining_schema(xml, variables)?;
            xml.create_element("Output").write_inner_content(|xml| {
                output(
                    xml,
                    &[
                        ("name", POINTS),
                        ("feature", "predictedValue"),
                        ("optype", "continuous"),
                        ("dataType", "double"),
                    ],
                )?;
                (1..=variables.len()).try_for_each(|rank| reason(xml, rank))
            })?;
            let characteristics = xml.create_element("Characteristics");
            characteristics.write_inner_content(|xml| variables.iter().try_for_each(|v| characteristic(xml, v)))?;
            Ok(())
        })?;
        Ok(())
    }))
}

/// The regression behind the scorecard, on weights of evidence; its value is the probability of default in the population that the
/// bank lends to. `created` as in [`scorecard`].
pub fn regression(scorecard: &Scorecard, name: &str, created: &str) -> Result<String, FileError> {
    check(scorecard, [name, created])?;
    let variables = &scorecard.variables;
    let description = "Probability of default from a logistic regression on weights of evidence.";
    Ok(document(scorecard, created, description, |xml| {
        let attributes = [("modelName", name), ("functionName", "regression"), ("normalizationMethod", "logit")];
        let model = xml.create_element("RegressionModel").with_attributes(attributes);
        model.write_inner_content(|xml| {
            mining_schema(xml, variables)?;
            xml.create_element("Output").write_inner_content(|xml| {
                output(
                    xml,
                    &[
                        ("name", PROBABILITY),
                        ("feature", "predictedValue"),
                        ("optype", "continuous"),
                        ("dataType", "double"),
                    ],
                )
            })?;
            let derived = xml.create_element("LocalTransformations");
            derived.write_inner_content(|xml| variables.iter().try_for_each(|v| derived_field(xml, &v.binning)))?;
            // Ours are the log-odds of good, PMML's value is 1 / (1 + exp(-sum)): of bad with the signs turned.
            let intercept = number(-(scorecard.intercept + scorecard.prior_offset));
            let table = xml.create_element("RegressionTable").with_attribute(("intercept", intercept.as_str()));
            table.write_inner_content(|xml| {
                variables.iter().try_for_each(|v| {
                    let (name, coefficient) = (derived_name(v.column()), number(-v.coefficient));
                    let predictor = [("name", name.as_str()), ("coefficient", &coefficient)];
                    empty(xml, "NumericPredictor", &predictor)
                })
            })?;
            Ok(())
        })?;
        Ok(())
    }))
}

type Xml = Writer<Vec<u8>>;

/// The frame of a file: header, fields, and the model that `model` writes.
fn document(
    scorecard: &Scorecard,
    created: &str,
    description: &str,
    model: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    let written = (|| {
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let root = [("xmlns", "http://www.dmg.org/PMML-4_4"), ("version", "4.4")];
        xml.create_element("PMML").with_attributes(root).write_inner_content(|xml| {
            xml.create_element("Header").with_attribute(("description", description)).write_inner_content(|xml| {
                empty(xml, "Application", &[("name", "haihe"), ("version", env!("CARGO_PKG_VERSION"))])?;
                if !created.is_empty() {
                    xml.create_element("Timestamp").write_text_content(BytesText::new(created))?;
                }
                Ok(())
            })?;
            let variables = &scorecard.variables;
            let count = variables.len().to_string();
            let dictionary = xml.create_element("DataDictionary").with_attribute(("numberOfFields", count.as_str()));
            dictionary.write_inner_content(|xml| {
                variables.iter().try_for_each(|v| {
                    let [optype, data] =
                        if v.binning.levels.is_some() { ["categorical", "string"] } else { ["continuous", "double"] };
                    empty(xml, "DataField", &[("name", v.column()), ("optype", optype), ("dataType", data)])
                })
            })?;
            model(xml)
        })?;
        io::Result::Ok(())
    })();
    written.expect("memory takes every write");
    let mut text = String::from_utf8(xml.into_inner()).expect("only text was written");
    text.push('\n');
    text
}

fn mining_schema(xml: &mut Xml, variables: &[Variable]) -> io::Result<()> {
    xml.create_element("MiningSchema").write_inner_content(|xml| {
        variables.iter().try_for_each(|v| {
            let invalid = ("invalidValueTreatment", "asMissing");
            let field = [("name", v.column()), ("usageType", "active"), ("missingValueTreatment", "asIs"), invalid];
            empty(xml, "MiningField", &field)
        })
    })?;
    Ok(())
}

fn output(xml: &mut Xml, attributes: &[(&str, &str)]) -> io::Result<()> {
    empty(xml, "OutputField", attributes)
}

fn reason(xml: &mut Xml, rank: usize) -> io::Result<()> {
    let (name, rank) = (format!("reason_{rank}"), rank.to_string());
    let field = [("name", name.as_str()), ("feature", "reasonCode"), ("rank", &rank)];
    output(xml, &[&field[..], &[("optype", "categorical"), ("dataType", "string")]].concat())
}

/// A variable with its bins.
fn characteristic(xml: &mut Xml, variable: &Variable) -> io::Result<()> {
    let best = variable.points.iter().max().copied().unwrap_or(0).to_string();
    let name = variable.column();
    let attributes = [("name", name), ("reasonCode", name), ("baselineScore", best.as_str())];
    xml.create_element("Characteristic").with_attributes(attributes).write_inner_content(|xml| {
        variable.binning.bins.iter().zip(&variable.points).try_for_each(|(bin, points)| {
            let points = points.to_string();
            let attribute = xml.create_element("Attribute").with_attribute(("partialScore", points.as_str()));
            attribute.write_inner_content(|xml| predicate(xml, &variable.binning, bin))?;
            Ok(())
        })
    })?;
    Ok(())
}

/// What holds for exactly the values of a bin. Comparisons with a missing value hold for none.
fn predicate(xml: &mut Xml, binning: &Binning, bin: &Bin) -> io::Result<()> {
    let field = binning.column.as_str();
    match &bin.kind {
        BinKind::Missing => empty(xml, "SimplePredicate", &[("field", field), ("operator", "isMissing")]),
        BinKind::Range { lower, upper } => {
            tests(xml, field, "and", &ends([("greaterThan", *lower), ("lessOrEqual", *upper)]))
        }
        BinKind::Levels { levels, other: false } => set(xml, field, true, levels),
        BinKind::Levels { other: true, .. } => {
            let elsewhere = binning.bins.iter().filter(|b| b.kind != bin.kind);
            let elsewhere: Vec<String> = elsewhere.flat_map(|b| levels_of(b).iter().cloned()).collect();
            set(xml, field, false, &elsewhere)
        }
    }
}

/// `field` is one of the levels, or none of them.
fn set(xml: &mut Xml, field: &str, inside: bool, levels: &[String]) -> io::Result<()> {
    // PMML's arrays leave open what a backslash before a character other than a quote means, and whether an empty text is one.
    let plain = levels.iter().all(|l| !l.is_empty() && !l.contains(|c: char| c == '"' || c == '\\' || c.is_control()));
    if levels.len() < 2 || !plain {
        let [operator, all] = if inside { ["equal", "or"] } else { ["notEqual", "and"] };
        let each: Vec<(&str, String)> = levels.iter().map(|level| (operator, level.clone())).collect();
        return tests(xml, field, all, &each);
    }
    let operator = ("booleanOperator", if inside { "isIn" } else { "isNotIn" });
    let quoted: Vec<String> = levels.iter().map(|level| format!("\"{level}\"")).collect();
    let count = levels.len().to_string();
    let predicate = xml.create_element("SimpleSetPredicate").with_attributes([("field", field), operator]);
    predicate.write_inner_content(|xml| {
        let array = xml.create_element("Array").with_attributes([("n", count.as_str()), ("type", "string")]);
        array.write_text_content(BytesText::new(&quoted.join(" ")))?;
        Ok(())
    })?;
    Ok(())
}

/// Comparisons of `field`, joined by `all`; none of them: the field has any value.
fn tests(xml: &mut Xml, field: &str, all: &str, tests: &[(&str, String)]) -> io::Result<()> {
    let test = |xml: &mut Xml, (operator, value): &(&str, String)| {
        empty(xml, "SimplePredicate", &[("field", field), ("operator", operator), ("value", value)])
    };
    match tests {
        [] => empty(xml, "SimplePredicate", &[("field", field), ("operator", "isNotMissing")]),
        [one] => test(xml, one),
        several => {
            let compound = xml.create_element("CompoundPredicate").with_attribute(("booleanOperator", all));
            compound.write_inner_content(|xml| several.iter().try_for_each(|one| test(xml, one)))?;
            Ok(())
        }
    }
}

/// The ends of a range that it has.
fn ends(ends: [(&str, Option<f64>); 2]) -> Vec<(&str, String)> {
    ends.into_iter().filter_map(|(name, end)| Some((name, number(end?)))).collect()
}

fn derived_name(column: &str) -> String {
    format!("woe({column})")
}

/// The weight of evidence of a column.
fn derived_field(xml: &mut Xml, binning: &Binning) -> io::Result<()> {
    let name = derived_name(&binning.column);
    let attributes = [("name", name.as_str()), ("optype", "continuous"), ("dataType", "double")];
    xml.create_element("DerivedField").with_attributes(attributes).write_inner_content(|xml| {
        if binning.levels.is_some() { map_values(xml, binning) } else { discretize(xml, binning) }
    })?;
    Ok(())
}

fn discretize(xml: &mut Xml, binning: &Binning) -> io::Result<()> {
    let missing = number(woe_where(binning, |kind| *kind == BinKind::Missing));
    // A single bin has no ends; it is the default then.
    let last = number(woe_where(binning, |kind| matches!(kind, BinKind::Range { upper: None, .. })));
    let [field, data] = [("field", binning.column.as_str()), ("dataType", "double")];
    let attributes = [field, data, ("mapMissingTo", &missing), ("defaultValue", &last)];
    let discretize = xml.create_element("Discretize").with_attributes(attributes);
    discretize.write_inner_content(|xml| {
        for bin in &binning.bins {
            let BinKind::Range { lower, upper } = &bin.kind else { continue };
            let ends = ends([("leftMargin", *lower), ("rightMargin", *upper)]);
            if ends.is_empty() {
                continue;
            }
            let woe = number(bin.woe);
            xml.create_element("DiscretizeBin").with_attribute(("binValue", woe.as_str())).write_inner_content(
                |xml| {
                    let closure = if upper.is_some() { "openClosed" } else { "openOpen" };
                    let ends = ends.iter().map(|(name, end)| (*name, end.as_str()));
                    xml.create_element("Interval")
                        .with_attribute(("closure", closure))
                        .with_attributes(ends)
                        .write_empty()?;
                    Ok(())
                },
            )?;
        }
        Ok(())
    })?;
    Ok(())
}

fn map_values(xml: &mut Xml, binning: &Binning) -> io::Result<()> {
    let missing = number(woe_where(binning, |kind| *kind == BinKind::Missing));
    let other = number(woe_where(binning, |kind| matches!(kind, BinKind::Levels { other: true, .. })));
    let attributes =
        [("outputColumn", "woe"), ("dataType", "double"), ("mapMissingTo", missing.as_str()), ("defaultValue", &other)];
    xml.create_element("MapValues").with_attributes(attributes).write_inner_content(|xml| {
        empty(xml, "FieldColumnPair", &[("field", &binning.column), ("column", "level")])?;
        xml.create_element("InlineTable").write_inner_content(|xml| {
            let rows = binning.bins.iter().flat_map(|bin| levels_of(bin).iter().map(move |level| (level, bin.woe)));
            for (level, woe) in rows {
                xml.create_element("row").write_inner_content(|xml| {
                    xml.create_element("level").write_text_content(text(level))?;
                    xml.create_element("woe").write_text_content(text(&number(woe)))?;
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

fn empty(xml: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    xml.create_element(name).with_attributes(attributes.iter().copied()).write_empty()?;
    Ok(())
}

/// Text whose line ends and tabs readers leave alone.
fn text(raw: &str) -> BytesText<'static> {
    let escaped = quick_xml::escape::escape(raw).replace('\n', "&#10;").replace('\t', "&#9;");
    BytesText::from_escaped(Cow::<str>::Owned(escaped))
}

/// The shortest decimal that reads back as the same number.
fn number(x: f64) -> String {
    let x = x + 0.0;
    if x == 0.0 || (1e-5..1e15).contains(&x.abs()) { format!("{x}") } else { format!("{x:e}") }
}

fn levels_of(bin: &Bin) -> &[String] {
    if let BinKind::Levels { levels, .. } = &bin.kind { levels } else { &[] }
}

fn woe_where(binning: &Binning, is: impl Fn(&BinKind) -> bool) -> f64 {
    binning.bins.iter().find(|bin| is(&bin.kind)).map_or(0.0, |bin| bin.woe)
}

/// Checks that the bins of each variable hold every value once, and that XML can hold their names.
fn check(scorecard: &Scorecard, texts: [&str; 2]) -> Result<(), FileError> {
    scorecard.check()?;
    let mut columns: Vec<&str> = scorecard.variables.iter().map(Variable::column).collect();
    columns.sort_unstable();
    let twice = columns.windows(2).find(|pair| pair[0] == pair[1]);
    let refuse = |column: &str, problem| Err(FileError::Bins { column: column.to_owned(), problem });
    if let Some(pair) = twice {
        return refuse(pair[0], "are those of two variables of the same name");
    }
    let points = scorecard.variables.iter().flat_map(|v| &v.points).chain([&scorecard.base_points]);
    if points.into_iter().any(|points| points.checked_abs().is_none_or(|p| p > MAX_POINTS)) {
        return refuse("(points)", "have more points than a sum can hold");
    }
    for binning in scorecard.variables.iter().map(|v| &v.binning) {
        let problem = match &binning.levels {
            None => ranges_problem(&binning.bins),
            Some(agreed) => levels_problem(agreed, &binning.bins),
        };
        if let Some(problem) = problem {
            return refuse(&binning.column, problem);
        }
    }
    let levels = scorecard.variables.iter().flat_map(|v| &v.binning.bins).flat_map(levels_of).map(String::as_str);
    match columns.into_iter().chain(levels).chain(texts).find(|text| !text.chars().all(is_xml)) {
        Some(text) => Err(FileError::Text { text: text.to_owned() }),
        None => Ok(()),
    }
}

/// XML 1.0, production 2.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Ranges in order, each beginning where the one before ends, then missing.
fn ranges_problem(bins: &[Bin]) -> Option<&'static str> {
    let (_, ranges) = bins.split_last()?;
    let mut end = None;
    for (k, bin) in ranges.iter().enumerate() {
        let BinKind::Range { lower, upper } = &bin.kind else { return Some("are not all ranges of numbers") };
        if *lower != end || (k > 0 && lower.is_none()) || lower.zip(*upper).is_some_and(|(l, u)| l >= u) {
            return Some("leave out numbers, or hold some twice");
        }
        if [lower, upper].into_iter().flatten().any(|end| !end.is_finite()) {
            return Some("end with no finite number");
        }
        end = *upper;
    }
    if ranges.is_empty() || end.is_some() { Some("do not hold all numbers") } else { None }
}

/// Every agreed level in one bin, "other" in one, then missing.
fn levels_problem(agreed: &[String], bins: &[Bin]) -> Option<&'static str> {
    let (_, groups) = bins.split_last()?;
    let is_levels = |bin: &Bin| matches!(bin.kind, BinKind::Levels { .. });
    if !groups.iter().all(is_levels) {
        return Some("are not all groups of levels");
    }
    let mut held: Vec<&String> = groups.iter().flat_map(levels_of).collect();
    let mut agreed: Vec<&String> = agreed.iter().collect();
    held.sort_unstable();
    agreed.sort_unstable();
    if held != agreed || held.windows(2).any(|pair| pair[0] == pair[1]) {
        return Some("do not hold each agreed level once");
    }
    let others = groups.iter().filter(|bin| matches!(bin.kind, BinKind::Levels { other: true, .. })).count();
    (others != 1).then_some("do not hold the levels that were not agreed on, or do so twice")
}
