//! From the engine's arrays to the values of a table.

use std::collections::HashMap;

pub(super) use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use haihe_models::table::Column;

use super::problem::{Problem, RowNumbers, Rows};

/// A column whose values are wanted as text: trimmed, empty = missing.
#[derive(Default)]
pub(super) struct Texts {
    values: Vec<Option<String>>,
    unsupported: Option<String>,
}

impl Texts {
    pub fn add(&mut self, array: &ArrayRef) {
        match texts(array) {
            Some(values) => self.values.extend(values),
            None => self.unsupported = Some(array.data_type().to_string()),
        }
    }

    /// The values, or the name of the type that has no text.
    pub fn finish(self) -> Result<Vec<Option<String>>, String> {
        self.unsupported.map_or(Ok(self.values), Err)
    }
}

/// A column of numbers.
pub(super) struct Numbers {
    values: Vec<f64>,
    missing: u64,
    not_numeric: Rows,
    not_finite: Rows,
    unsupported: Option<String>,
}

impl Numbers {
    pub fn new(numbering: RowNumbers) -> Self {
        let none = || Rows::new(numbering);
        Numbers { values: Vec::new(), missing: 0, not_numeric: none(), not_finite: none(), unsupported: None }
    }

    pub fn add(&mut self, array: &ArrayRef) {
        let Some(array) = plain(array) else {
            self.unsupported = Some(array.data_type().to_string());
            return;
        };
        if array.data_type() == &DataType::Utf8 {
            for value in array.as_string::<i32>() {
                match value.map(str::trim).filter(|text| !text.is_empty()).map(str::parse) {
                    None => self.push(None),
                    Some(Ok(number)) => self.push(Some(number)),
                    Some(Err(_)) => {
                        self.not_numeric.add(self.values.len());
                        self.values.push(f64::NAN);
                    }
                }
            }
        } else if let Ok(numbers) = cast(&array, &DataType::Float64) {
            numbers.as_primitive::<Float64Type>().iter().for_each(|number| self.push(number));
        } else {
            self.unsupported = Some(array.data_type().to_string());
        }
    }

    fn push(&mut self, number: Option<f64>) {
        match number {
            None => self.missing += 1,
            Some(number) if !number.is_finite() => self.not_finite.add(self.values.len()),
            Some(_) => {}
        }
        self.values.push(number.unwrap_or(f64::NAN));
    }

    /// The column, how many values are missing, and how many are "other": none.
    pub fn finish(self, name: &str, problems: &mut Vec<Problem>) -> (Column, u64, u64) {
        let column = || name.to_owned();
        if let Some(found) = self.unsupported {
            problems.push(Problem::ColumnType { column: column(), found, wanted: "numbers" });
        }
        if !self.not_numeric.is_empty() {
            problems.push(Problem::NotNumeric { column: column(), rows: self.not_numeric });
        }
        if !self.not_finite.is_empty() {
            problems.push(Problem::NotFinite { column: column(), rows: self.not_finite });
        }
        (Column::Numeric(self.values), self.missing, 0)
    }
}

/// A column of agreed levels.
pub(super) struct Levels {
    index: HashMap<String, u32>,
    count: u32,
    values: Vec<u32>,
    unsupported: Option<String>,
}

impl Levels {
    pub fn new(levels: &[String]) -> Self {
        let number = |at: usize| u32::try_from(at).expect("a job has fewer levels than 2^32");
        let mut index = HashMap::new();
        for (at, level) in levels.iter().enumerate() {
            index.entry(level.trim().to_owned()).or_insert(number(at));
        }
        Levels { index, count: number(levels.len()), values: Vec::new(), unsupported: None }
    }

    pub fn add(&mut self, array: &ArrayRef) {
        let Some(texts) = texts(array) else {
            self.unsupported = Some(array.data_type().to_string());
            return;
        };
        let (other, missing) = (self.count, self.count + 1);
        let place = |text: Option<String>| match text {
            None => missing,
            Some(text) => self.index.get(&text).copied().unwrap_or(other),
        };
        self.values.extend(texts.into_iter().map(place));
    }

    /// The column, how many values are missing, and how many are outside the levels.
    pub fn finish(self, name: &str, problems: &mut Vec<Problem>) -> (Column, u64, u64) {
        if let Some(found) = self.unsupported {
            problems.push(Problem::ColumnType { column: name.to_owned(), found, wanted: "text or integers" });
        }
        let count = |wanted: u32| self.values.iter().filter(|value| **value == wanted).count() as u64;
        let (other, missing) = (count(self.count), count(self.count + 1));
        (Column::Categorical(self.values), missing, other)
    }
}

/// Dates and times as text, `2020-02-15` first; everything else as it is.
pub(super) fn dates_as_text(array: &ArrayRef) -> ArrayRef {
    let is_date = matches!(array.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    let text = is_date.then(|| cast(array, &DataType::Utf8).ok()).flatten();
    text.unwrap_or_else(|| array.clone())
}

/// What a label says, in the ways that files say it.
pub(super) fn zero_or_one(text: &str) -> Option<bool> {
    match text.parse::<f64>() {
        Ok(0.0) => Some(false),
        Ok(1.0) => Some(true),
        Ok(_) => None,
        Err(_) if text.eq_ignore_ascii_case("false") => Some(false),
        Err(_) if text.eq_ignore_ascii_case("true") => Some(true),
        Err(_) => None,
    }
}

/// The same values as Utf8, a number or a bool; `None` for types that are none of these.
fn plain(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Utf8 | DataType::Boolean => Some(array.clone()),
        kind if kind.is_numeric() => Some(array.clone()),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => cast(array, &DataType::Utf8).ok(),
        DataType::Dictionary(_, value) => plain(&cast(array, value).ok()?),
        _ => None,
    }
}

/// Trimmed text of each value: `31`, `0.5`, `true`; null and blank text are missing.
fn texts(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    let array = plain(array)?;
    let kind = array.data_type();
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Some(floats.iter().map(|value| value.map(|number| number.to_string())).collect());
    }
    if let Some(floats) = array.as_primitive_opt::<Float32Type>() {
        return Some(floats.iter().map(|value| value.map(|number| number.to_string())).collect());
    }
    let is_decimal = kind.is_decimal();
    let array = cast(&array, &DataType::Utf8).ok()?;
    let text = |value: &str| {
        let value = value.trim();
        let value = match is_decimal && value.contains('.') {
            true => value.trim_end_matches('0').trim_end_matches('.'),
            false => value,
        };
        (!value.is_empty()).then(|| value.to_owned())
    };
    Some(array.as_string::<i32>().iter().map(|value| value.and_then(text)).collect())
}
