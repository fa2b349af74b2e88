//! Our own data: the rows that a job asks for, read from our own files through our own query.
//!
//! A job names a view and its columns. The configuration maps the view to one CSV or Parquet file and, if need be, a query over it
//! (table `source`). The query may only read: it cannot write a file, define a table or see another file, it runs within a memory
//! limit, and nothing is spilled to disk. The columns of a CSV file are text until they are read or CAST, so that a wrong
//! value is counted here and not lost in a guess about types; Parquet keeps its types. Names are taken as they are written: `No_Emp`
//! and `no_emp` are two columns, and names in any script need no quotes.
//!
//! A job may ask for a second view, with a row per firm and month (module `series`).
//!
//! What a load complains about is told all at once. A complaint has counts, column names and row numbers, never a value.

mod answer;
mod file;
mod problem;
mod series;
mod values;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::{
    id::PartyId,
    job::{JobSpec, SplitSpec},
};
use serde::Serialize;

use crate::config::ViewConfig;
pub use problem::{Problem, RowNumbers, Rows, SourceError};
pub use series::{SeriesRequest, SeriesSummary};
use values::{Levels, Numbers, Texts};

/// What a query may use when the configuration says nothing, in MiB.
pub const DEFAULT_MEMORY_MB: u64 = 1024;

/// What a job asks of a party's data.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRequest {
    /// The view.
    pub view: String,
    /// The column that names a row; it stays with the loader.
    pub key: String,
    /// The column that says which firm a row belongs to; it stays with the loader. `None`, or the key: each row is a firm of its
    /// own.
    pub firm: Option<String>,
    /// The column with the outcome: 1 = bad, 0 = good. `None` where nobody asks: all rows then count as good, which means
    /// nothing.
    pub label: Option<String>,
    /// Which column says what a row is for; without it, every row is for training.
    pub split: Option<SplitColumn>,
    /// The features in the view.
    pub columns: Vec<ColumnSpec>,
    /// The second view; its columns follow those of the view.
    pub series: Option<SeriesRequest>,
}

impl DataRequest {
    /// What a job asks of `party`; `None` if a vertical job does not name it.
    pub fn of(spec: &JobSpec, party: &PartyId) -> Option<Self> {
        let split = |split: &Option<SplitSpec>| {
            split.as_ref().map(|s| SplitColumn {
                column: s.column.clone(),
                train: s.train.clone(),
                test: s.test.clone(),
            })
        };
        let Some(vertical) = &spec.vertical else {
            let data = &spec.data;
            return Some(Self {
                view: data.view.clone(),
                key: data.key.clone(),
                firm: data.firm.clone(),
                label: Some(data.label.clone()),
                split: split(&data.split),
                columns: data.main_columns().to_vec(),
                series: data.series.as_ref().map(SeriesRequest::of),
            });
        };
        vertical.holder(party).map(|holder| Self {
            view: holder.view.clone(),
            key: holder.key.clone(),
            firm: None,
            label: holder.label.clone(),
            split: split(&holder.split),
            columns: holder.columns.clone(),
            series: None,
        })
    }

    /// Every column that is read from either view, each once.
    pub fn all_columns(&self) -> Vec<String> {
        let mut all = self.view_columns();
        for column in self.series.iter().flat_map(SeriesRequest::all_columns) {
            if !all.contains(&column) {
                all.push(column);
            }
        }
        all
    }

    /// Every column that is read from the first view.
    pub fn view_columns(&self) -> Vec<String> {
        let texts = [&self.key].into_iter().chain(&self.label).chain(self.split.iter().map(|s| &s.column));
        let texts = texts.chain(self.firm_column());
        texts.chain(self.columns.iter().map(|c| &c.name)).cloned().collect()
    }

    /// The firm column, if it has to be read beside the key.
    fn firm_column(&self) -> Option<&String> {
        self.firm.as_ref().filter(|firm| **firm != self.key)
    }
}

/// The column that divides training rows from test rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitColumn {
    /// Its name.
    pub column: String,
    /// What it says for a training row.
    pub train: String,
    /// What it says for a test row.
    pub test: String,
}

/// The rows of a job, ready to learn from. `Debug` shows the summary only.
#[derive(Clone, PartialEq)]
pub struct Loaded {
    /// Features, labels, split and firms.
    pub table: Table,
    /// The key of each row of `table`, as trimmed text.
    pub keys: Vec<String>,
    /// Counts that may be shown to our own people.
    pub summary: DataSummary,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// How many rows there are, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataSummary {
    /// The view that was read.
    pub view: String,
    /// All rows.
    pub rows: u64,
    /// How many firms they belong to; `None` when the job does not ask.
    pub firms: Option<u64>,
    /// Rows to learn from.
    pub train_rows: u64,
    /// Rows to evaluate on.
    pub test_rows: u64,
    /// Rows with label 1.
    pub bad_rows: u64,
    /// Training rows with label 1.
    pub bad_train_rows: u64,
    /// One entry per feature, in the order of the job.
    pub columns: Vec<ColumnSummary>,
    /// The second view; `None` when the job does not ask.
    pub series: Option<SeriesSummary>,
}

/// How complete a feature is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// Rows without a value.
    pub missing: u64,
    /// Rows with a value outside the agreed levels; zero for a numeric feature.
    pub other: u64,
}

/// Loads what `request` asks for. Paths of views are taken relative to `base_dir`.
pub async fn load(
    party: &str,
    views: &[ViewConfig],
    base_dir: &Path,
    request: &DataRequest,
) -> Result<Loaded, SourceError> {
    let main = load_main(party, views, base_dir, request).await;
    let Some(asked) = &request.series else { return main };
    match (main, series::read(party, views, base_dir, asked).await) {
        (Ok(loaded), Ok(series)) => series.join(party, asked, loaded),
        (Err(main), Err(series)) => Err(SourceError { series: Some(Box::new(series)), ..main }),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

async fn load_main(
    party: &str,
    views: &[ViewConfig],
    base_dir: &Path,
    request: &DataRequest,
) -> Result<Loaded, SourceError> {
    let error = |rows, problems| SourceError::new(party, &request.view, rows, problems);
    let view = find_view(views, &request.view).map_err(|unknown| error(None, vec![unknown]))?;
    let mut problems = asked_twice(request);
    let mut columns = Columns::new(request, RowNumbers::of(view));
    let read = answer::read(view, base_dir, &columns.names(), |name, array| columns.add(name, array)).await;
    let rows = match read {
        Ok(rows) => rows,
        Err(stopped) => {
            problems.extend(stopped.problems);
            return Err(error(stopped.rows, problems));
        }
    };
    problems.extend(rows.missing_columns);
    match columns.finish(rows.count, request, &mut problems) {
        Some(loaded) if problems.is_empty() => Ok(loaded),
        _ => Err(error(Some(rows.count), problems)),
    }
}

fn find_view<'a>(views: &'a [ViewConfig], name: &str) -> Result<&'a ViewConfig, Problem> {
    let known = || views.iter().map(|view| view.name.clone()).collect();
    views.iter().find(|view| view.name == name).ok_or_else(|| Problem::UnknownView { known: known() })
}

/// Columns that a job names more than once: as two features, or as a feature and the label. The key may name the firm.
fn asked_twice(request: &DataRequest) -> Vec<Problem> {
    let firm = request.firm_column();
    let split = request.split.iter().map(|split| &split.column);
    let features = request.columns.iter().map(|spec| &spec.name);
    let mut seen = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for name in [&request.key].into_iter().chain(&request.label).chain(firm).chain(split).chain(features) {
        if seen.contains(&name) && !twice.contains(name) {
            twice.push(name.clone());
        }
        seen.push(name);
    }
    if twice.is_empty() { Vec::new() } else { vec![Problem::AskedTwice { columns: twice }] }
}

/// The columns of a request while their values arrive, batch by batch.
struct Columns {
    numbering: RowNumbers,
    key: (String, Texts),
    firm: Option<(String, Texts)>,
    label: Option<(String, Texts)>,
    split: Option<(String, Texts)>,
    features: Vec<(String, Feature)>,
}

enum Feature {
    Numeric(Numbers),
    Categorical(Levels),
}

impl Columns {
    fn new(request: &DataRequest, numbering: RowNumbers) -> Self {
        let feature = |spec: &ColumnSpec| match &spec.kind {
            ColumnKind::Numeric => Feature::Numeric(Numbers::new(numbering)),
            ColumnKind::Categorical { levels } => Feature::Categorical(Levels::new(levels)),
        };
        Columns {
            numbering,
            key: (request.key.clone(), Texts::default()),
            firm: request.firm_column().map(|firm| (firm.clone(), Texts::default())),
            label: request.label.as_ref().map(|label| (label.clone(), Texts::default())),
            split: request.split.as_ref().map(|split| (split.column.clone(), Texts::default())),
            features: request.columns.iter().map(|spec| (spec.name.clone(), feature(spec))).collect(),
        }
    }

    /// Every column once, in the order key, firm, label, split, features.
    fn names(&self) -> Vec<String> {
        let texts =
            [&self.key].into_iter().chain(&self.firm).chain(&self.label).chain(&self.split).map(|(name, _)| name);
        let mut names: Vec<String> = Vec::new();
        for name in texts.chain(self.features.iter().map(|(name, _)| name)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn add(&mut self, column: &str, array: &values::ArrayRef) {
        let texts = [&mut self.key].into_iter().chain(&mut self.label).chain(&mut self.firm).chain(&mut self.split);
        for (_, texts) in texts.filter(|(name, _)| name == column) {
            texts.add(array);
        }
        for (_, feature) in self.features.iter_mut().filter(|(name, _)| name == column) {
            match feature {
                Feature::Numeric(numbers) => numbers.add(array),
                Feature::Categorical(levels) => levels.add(array),
            }
        }
    }

    /// Checks what arrived and reports all that is wrong; a table only when every column has a value or a null for every row.
    fn finish(self, rows: u64, request: &DataRequest, problems: &mut Vec<Problem>) -> Option<Loaded> {
        if rows == 0 {
            problems.push(Problem::NoRows);
            return None;
        }
        let numbering = self.numbering;
        let keys = check_keys(self.key, numbering, problems);
        let firms = self.firm.map(|firm| check_firms(firm, numbering, problems));
        let label = match self.label {
            Some(label) => check_label(label, numbering, problems),
            None => Some(vec![false; keys.as_ref().map_or(0, Vec::len)]),
        };
        let split = match (self.split, &request.split) {
            (Some(texts), Some(asked)) => check_split(texts, asked, numbering, problems),
            _ => Some(vec![Split::Train; keys.as_ref().map_or(0, Vec::len)]),
        };
        let mut columns = Vec::new();
        let mut summaries = Vec::new();
        for (name, feature) in self.features {
            let (column, missing, other) = match feature {
                Feature::Numeric(numbers) => numbers.finish(&name, problems),
                Feature::Categorical(levels) => levels.finish(&name, problems),
            };
            columns.push(column);
            summaries.push(ColumnSummary { name, missing, other });
        }
        let firms = match firms {
            Some(found) => Some(found?), // asked for, so a table without them would not do
            None => None,
        };
        let table = Table { specs: request.columns.clone(), columns, label: label?, split: split?, firms };
        let keys = keys?;
        let complete = |len: usize| len as u64 == rows;
        let lengths = [keys.len(), table.label.len(), table.split.len()].into_iter();
        let lengths = lengths.chain(table.firms.as_ref().map(Vec::len));
        if !lengths.chain(table.columns.iter().map(Column::len)).all(complete) {
            return None; // a column is missing, which has been reported
        }
        let summary = summarise(request, &table, summaries);
        Some(Loaded { table, keys, summary })
    }
}

fn summarise(request: &DataRequest, table: &Table, columns: Vec<ColumnSummary>) -> DataSummary {
    let count = |keep: &dyn Fn(bool, Split) -> bool| {
        table.label.iter().zip(&table.split).filter(|(label, split)| keep(**label, **split)).count() as u64
    };
    let last_firm = |firms: &Vec<u32>| firms.iter().max().map_or(0, |last| u64::from(*last) + 1);
    DataSummary {
        view: request.view.clone(),
        rows: count(&|_, _| true),
        firms: request.firm.as_ref().map(|_| table.firms.as_ref().map_or(table.rows() as u64, last_firm)),
        train_rows: count(&|_, split| split == Split::Train),
        test_rows: count(&|_, split| split == Split::Test),
        bad_rows: count(&|bad, _| bad),
        bad_train_rows: count(&|bad, split| bad && split == Split::Train),
        columns,
        series: None,
    }
}

/// The text of a column; `None` when the column is not there, which has been reported, or of a type that has no text.
fn texts_of(
    (column, texts): (String, Texts),
    wanted: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<(String, Vec<Option<String>>)> {
    match texts.finish() {
        Ok(values) if values.is_empty() => None,
        Ok(values) => Some((column, values)),
        Err(found) => {
            problems.push(Problem::ColumnType { column, found, wanted });
            None
        }
    }
}

fn check_keys(key: (String, Texts), numbering: RowNumbers, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    let (column, values) = texts_of(key, "text or integers", problems)?;
    let mut null = Rows::new(numbering);
    let mut repeated = Rows::new(numbering);
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        match value {
            None => null.add(row),
            Some(key) if first.insert(key, row).is_some() => repeated.add(row),
            Some(_) => {}
        }
    }
    if !null.is_empty() {
        problems.push(Problem::KeyNull { column: column.clone(), rows: null });
    }
    if !repeated.is_empty() {
        problems.push(Problem::KeyRepeated { column, rows: repeated });
    }
    values.into_iter().collect()
}

/// One number per row, counted up where a firm appears for the first time.
fn check_firms(firm: (String, Texts), numbering: RowNumbers, problems: &mut Vec<Problem>) -> Option<Vec<u32>> {
    let (column, values) = texts_of(firm, "text or integers", problems)?;
    let mut null = Rows::new(numbering);
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut firms = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        // Beyond 2^32 firms the last ones would count as one, which promises each of them no less.
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        match value {
            None => null.add(row),
            Some(firm) => firms.push(*known.entry(firm).or_insert(next)),
        }
    }
    let complete = null.is_empty();
    if !complete {
        problems.push(Problem::FirmNull { column, rows: null });
    }
    complete.then_some(firms)
}

fn check_label(label: (String, Texts), numbering: RowNumbers, problems: &mut Vec<Problem>) -> Option<Vec<bool>> {
    let (column, values) = texts_of(label, "0 and 1", problems)?;
    let mut null = Rows::new(numbering);
    let mut wrong = Rows::new(numbering);
    let mut labels = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        match value.as_deref().map(values::zero_or_one) {
            None => null.add(row),
            Some(None) => wrong.add(row),
            Some(Some(label)) => labels.push(label),
        }
    }
    let complete = labels.len() == values.len();
    if !null.is_empty() {
        problems.push(Problem::LabelNull { column: column.clone(), rows: null });
    }
    if !wrong.is_empty() {
        problems.push(Problem::LabelNotBinary { column: column.clone(), rows: wrong });
    }
    let bad = labels.iter().filter(|label| **label).count();
    if complete && (bad == 0 || bad == labels.len()) {
        problems.push(Problem::LabelOneClass { column, absent: u8::from(bad == 0) });
    }
    complete.then_some(labels)
}

fn check_split(
    texts: (String, Texts),
    asked: &SplitColumn,
    numbering: RowNumbers,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Split>> {
    let (column, values) = texts_of(texts, "text", problems)?;
    let (train, test) = (asked.train.trim(), asked.test.trim());
    let mut unknown = Rows::new(numbering);
    let mut splits = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        match value.as_deref() {
            Some(value) if value == train => splits.push(Split::Train),
            Some(value) if value == test => splits.push(Split::Test),
            _ => unknown.add(row),
        }
    }
    let (train, test) = (train.to_owned(), test.to_owned());
    for (split, value) in [(Split::Train, &train), (Split::Test, &test)] {
        if !splits.contains(&split) {
            let (column, value) = (column.clone(), value.clone());
            problems.push(match split {
                Split::Train => Problem::NoTrainRows { column, value },
                Split::Test => Problem::NoTestRows { column, value },
            });
        }
    }
    let complete = unknown.is_empty();
    if !complete {
        problems.push(Problem::SplitUnknown { column, train, test, rows: unknown });
    }
    complete.then_some(splits)
}
