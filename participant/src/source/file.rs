//! A look at the file before the engine reads it: what engines report in their own words, with values in them, is found here.

use std::fs::File;
use std::io;
use std::path::Path;

use super::problem::{Problem, RowNumbers, Rows};

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text with these columns.
    Csv { columns: Vec<String> },
    /// Typed columns.
    Parquet,
}

/// What was found instead of a readable file.
#[derive(Debug)]
pub(super) struct Unusable {
    pub rows: Option<u64>,
    pub problems: Vec<Problem>,
}

impl From<Problem> for Unusable {
    fn from(problem: Problem) -> Self {
        Unusable { rows: None, problems: vec![problem] }
    }
}

/// Opens the file and, for CSV, walks through it once.
pub(super) fn inspect(path: &Path) -> Result<Format, Unusable> {
    let unreadable = |error: io::Error| Problem::FileUnreadable { path: path.to_owned(), reason: error.to_string() };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Problem::FileMissing { path: path.to_owned() },
        _ => unreadable(error),
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")).into());
    }
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    let is = |wanted: &str| extension.as_ref().is_some_and(|extension| extension == wanted);
    match (is("csv"), is("parquet")) {
        (false, false) => Err(Problem::FileKind { path: path.to_owned() }.into()),
        _ if metadata.len() == 0 => Err(Problem::FileEmpty { path: path.to_owned() }.into()),
        (false, true) => Ok(Format::Parquet),
        (true, _) => inspect_csv(path, file),
    }
}

fn inspect_csv(path: &Path, file: File) -> Result<Format, Unusable> {
    let unreadable = |error: csv::Error| Problem::FileUnreadable { path: path.to_owned(), reason: reason(error) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let header = reader.byte_headers().map_err(unreadable)?.clone();
    let columns = match names(&header) {
        _ if header.is_empty() => {
            return Err(Problem::FileEmpty { path: path.to_owned() }.into());
        }
        None => {
            return Err(Problem::NotUtf8 { path: path.to_owned(), rows: None }.into());
        }
        Some(columns) => columns,
    };
    if columns.iter().any(|name| name.parse::<f64>().is_ok() && name.bytes().any(|byte| byte.is_ascii_digit())) {
        return Err(Problem::NoHeader { path: path.to_owned() }.into());
    }
    let mut field_count = Rows::new(RowNumbers::File);
    let mut not_utf8 = Rows::new(RowNumbers::File);
    let mut rows = 0;
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        if record.len() != columns.len() {
            field_count.add(rows);
        }
        if record.iter().any(|field| std::str::from_utf8(field).is_err()) {
            not_utf8.add(rows);
        }
        rows += 1;
    }
    let mut problems = Vec::new();
    let repeated = repeated(&columns);
    if !repeated.is_empty() {
        problems.push(Problem::ColumnRepeated { columns: repeated, numbering: RowNumbers::File });
    }
    if !not_utf8.is_empty() {
        problems.push(Problem::NotUtf8 { path: path.to_owned(), rows: Some(not_utf8) });
    }
    if !field_count.is_empty() {
        problems.push(Problem::FieldCount { fields: columns.len(), rows: field_count });
    }
    match problems.is_empty() {
        true => Ok(Format::Csv { columns }),
        false => Err(Unusable { rows: Some(rows as u64), problems }),
    }
}

/// Trimmed names of the columns; one without a name is called by its place. `None` when the header is not UTF-8.
fn names(header: &csv::ByteRecord) -> Option<Vec<String>> {
    let name = |(at, field)| {
        let name = std::str::from_utf8(field).ok()?.trim();
        Some(if name.is_empty() { format!("column_{}", at + 1) } else { name.to_owned() })
    };
    header.iter().enumerate().map(name).collect()
}

/// The names that occur again, each once.
pub(super) fn repeated(names: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut repeated: Vec<String> = Vec::new();
    for name in names {
        if !seen.insert(name) && !repeated.contains(name) {
            repeated.push(name.clone());
        }
    }
    repeated
}

/// Only what the system said: other texts of the reader could quote the file.
fn reason(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => "it is not CSV".to_owned(),
    }
}
