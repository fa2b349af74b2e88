//! The second view of a job: one row per firm and month, laid out as one column per channel and month.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use haihe_models::table::{Column, ColumnKind, ColumnSpec};
use haihe_protocol::job::{Month, SeriesSpec};
use serde::Serialize;

use super::problem::{Problem, RowNumbers, Rows, SourceError};
use super::values::{self, ArrayRef, Numbers, Texts};
use super::{ColumnSummary, Loaded, answer, find_view, texts_of};
use crate::config::ViewConfig;

/// What a job asks of the second view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRequest {
    /// The view.
    pub view: String,
    /// Its column with the keys of the main view; it stays with the loader.
    pub key: String,
    /// Its column with the month; it stays with the loader.
    pub month: String,
    /// How many months are asked for.
    pub steps: u32,
    /// The last of them; `None`: each firm's own last one.
    pub last: Option<Month>,
    /// Numeric columns.
    pub channels: Vec<String>,
}

impl SeriesRequest {
    pub(super) fn of(series: &SeriesSpec) -> Self {
        Self {
            view: series.view.clone(),
            key: series.key.clone(),
            month: series.month.clone(),
            steps: series.steps,
            last: series.last_month(),
            channels: series.channels.clone(),
        }
    }

    /// Every column that is read: key, month, channels.
    pub fn all_columns(&self) -> Vec<String> {
        [&self.key, &self.month].into_iter().chain(&self.channels).cloned().collect()
    }
}

/// What the second view had, for our own people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesSummary {
    /// The view that was read.
    pub view: String,
    /// All its rows.
    pub rows: u64,
    /// Rows of firms that are not in the main view; nothing is done with them.
    pub unknown_rows: u64,
    /// Rows of months before the first or after the last that the job asks for; nothing is done with them.
    pub outside_rows: u64,
    /// Rows of the main view for which there is no month.
    pub without_series: u64,
}

/// The rows of a series, checked.
pub(super) struct Series {
    keys: Vec<String>,
    months: Vec<Month>,
    /// One list per channel.
    values: Vec<Vec<f64>>,
}

/// Reads the second view and checks all its rows, those of unknown firms as well.
pub(super) async fn read(
    party: &str,
    views: &[ViewConfig],
    base_dir: &Path,
    asked: &SeriesRequest,
) -> Result<Series, SourceError> {
    let error = |rows, problems| SourceError::new(party, &asked.view, rows, problems);
    let view = find_view(views, &asked.view).map_err(|unknown| error(None, vec![unknown]))?;
    let mut columns = Columns::new(asked, RowNumbers::of(view));
    let read = answer::read(view, base_dir, &asked.all_columns(), |name, array| columns.add(name, array)).await;
    let (rows, mut problems) = match read {
        Ok(rows) => (rows.count, rows.missing_columns),
        Err(stopped) => return Err(error(stopped.rows, stopped.problems)),
    };
    match columns.finish(rows, asked, &mut problems) {
        Some(series) if problems.is_empty() => Ok(series),
        _ => Err(error(Some(rows), problems)),
    }
}

impl Series {
    /// Adds the columns of the series to the main view's. A month that is not there is missing in every channel.
    pub fn join(self, party: &str, asked: &SeriesRequest, mut loaded: Loaded) -> Result<Loaded, SourceError> {
        let (firms, steps) = (loaded.keys.len(), asked.steps as usize);
        let places: HashMap<&str, usize> = loaded.keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
        let places: Vec<Option<usize>> = self.keys.iter().map(|key| places.get(key.as_str()).copied()).collect();
        let last = match asked.last {
            Some(last) => vec![Some(last); firms],
            None => own_last_months(&places, &self.months, firms),
        };
        let mut wide = vec![vec![f64::NAN; firms]; asked.channels.len() * steps];
        let mut has_series = vec![false; firms];
        let (mut unknown_rows, mut outside_rows) = (0, 0);
        for (row, (place, month)) in places.iter().zip(&self.months).enumerate() {
            let Some(firm) = *place else {
                unknown_rows += 1;
                continue;
            };
            let back = last[firm].and_then(|last| last.since(*month)).and_then(|back| usize::try_from(back).ok());
            let Some(back) = back.filter(|back| *back < steps) else {
                outside_rows += 1;
                continue;
            };
            has_series[firm] = true;
            for (channel, values) in self.values.iter().enumerate() {
                wide[(channel + 1) * steps - 1 - back][firm] = values[row];
            }
        }
        let without_series = has_series.iter().filter(|has| !**has).count() as u64;
        let (view, rows) = (asked.view.clone(), self.keys.len() as u64);
        if without_series == firms as u64 {
            let unused = Problem::SeriesUnused { unknown_rows, outside_rows };
            return Err(SourceError::new(party, &view, Some(rows), vec![unused]));
        }
        add_columns(asked, wide, &mut loaded);
        loaded.summary.series = Some(SeriesSummary { view, rows, unknown_rows, outside_rows, without_series });
        Ok(loaded)
    }
}

/// The last month that each firm has a row for.
fn own_last_months(places: &[Option<usize>], months: &[Month], firms: usize) -> Vec<Option<Month>> {
    let mut last: Vec<Option<Month>> = vec![None; firms];
    for (place, month) in places.iter().zip(months) {
        let Some(last) = place.map(|firm| &mut last[firm]) else { continue };
        let is_later = last.is_none_or(|last| month.since(last).is_some_and(|later| later > 0));
        if is_later {
            *last = Some(*month);
        }
    }
    last
}

/// In the order of the job: channel by channel, the oldest month first.
fn add_columns(asked: &SeriesRequest, wide: Vec<Vec<f64>>, loaded: &mut Loaded) {
    let names =
        asked.channels.iter().flat_map(|c| (0..asked.steps).rev().map(move |back| SeriesSpec::column_name(c, back)));
    for (name, values) in names.zip(wide) {
        let missing = values.iter().filter(|value| value.is_nan()).count() as u64;
        loaded.summary.columns.push(ColumnSummary { name: name.clone(), missing, other: 0 });
        loaded.table.specs.push(ColumnSpec { name, kind: ColumnKind::Numeric });
        loaded.table.columns.push(Column::Numeric(values));
    }
}

/// The columns of a series while their values arrive, batch by batch.
struct Columns {
    numbering: RowNumbers,
    key: (String, Texts),
    month: (String, Texts),
    channels: Vec<(String, Numbers)>,
}

impl Columns {
    fn new(asked: &SeriesRequest, numbering: RowNumbers) -> Self {
        Columns {
            numbering,
            key: (asked.key.clone(), Texts::default()),
            month: (asked.month.clone(), Texts::default()),
            channels: asked.channels.iter().map(|name| (name.clone(), Numbers::new(numbering))).collect(),
        }
    }

    fn add(&mut self, column: &str, array: &ArrayRef) {
        if self.key.0 == column {
            self.key.1.add(array);
        }
        if self.month.0 == column {
            self.month.1.add(&values::dates_as_text(array));
        }
        for (_, numbers) in self.channels.iter_mut().filter(|(name, _)| name == column) {
            numbers.add(array);
        }
    }

    /// Checks what arrived and reports all that is wrong.
    fn finish(self, rows: u64, asked: &SeriesRequest, problems: &mut Vec<Problem>) -> Option<Series> {
        if rows == 0 {
            problems.push(Problem::NoRows);
            return None;
        }
        let keys = check_keys(self.key, self.numbering, problems);
        let months = check_months(self.month, asked.last, self.numbering, problems);
        if let (Some(keys), Some(months)) = (&keys, &months) {
            check_repeated(asked, keys, months, self.numbering, problems);
        }
        let mut values = Vec::with_capacity(self.channels.len());
        for (name, numbers) in self.channels {
            if let (Column::Numeric(numbers), ..) = numbers.finish(&name, problems) {
                values.push(numbers);
            }
        }
        let keys: Vec<String> = keys?.into_iter().collect::<Option<_>>()?;
        let months: Vec<Month> = months?.into_iter().collect::<Option<_>>()?;
        let mut lengths = [keys.len(), months.len()].into_iter().chain(values.iter().map(Vec::len));
        // If not, a column is missing, which has been reported.
        lengths.all(|len| len as u64 == rows).then_some(Series { keys, months, values })
    }
}

fn check_keys(key: (String, Texts), numbering: RowNumbers, problems: &mut Vec<Problem>) -> Option<Vec<Option<String>>> {
    let (column, keys) = texts_of(key, "text or integers", problems)?;
    let mut null = Rows::new(numbering);
    keys.iter().enumerate().filter(|(_, key)| key.is_none()).for_each(|(row, _)| null.add(row));
    if !null.is_empty() {
        problems.push(Problem::KeyNull { column, rows: null });
    }
    Some(keys)
}

/// All months must be of the kind of the job's last month; if it names none, of the kind of the first.
fn check_months(
    month: (String, Texts),
    last: Option<Month>,
    numbering: RowNumbers,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Option<Month>>> {
    let (column, texts) = texts_of(month, "text, dates or integers", problems)?;
    let months: Vec<Option<Month>> = texts.iter().map(|text| Month::parse(text.as_deref()?)).collect();
    let (than, like) = match last {
        Some(last) => ("the job's last month", Some(last)),
        None => ("the first row's", months.iter().flatten().next().copied()),
    };
    let mut unreadable = Rows::new(numbering);
    let mut other_kind = Rows::new(numbering);
    for (row, month) in months.iter().enumerate() {
        match (month, like) {
            (None, _) => unreadable.add(row),
            (Some(month), Some(like)) if like.since(*month).is_none() => other_kind.add(row),
            _ => {}
        }
    }
    if !unreadable.is_empty() {
        problems.push(Problem::MonthUnreadable { column: column.clone(), rows: unreadable });
    }
    if !other_kind.is_empty() {
        problems.push(Problem::MonthKind { column, than, rows: other_kind });
    }
    Some(months)
}

fn check_repeated(
    asked: &SeriesRequest,
    keys: &[Option<String>],
    months: &[Option<Month>],
    numbering: RowNumbers,
    problems: &mut Vec<Problem>,
) {
    let mut repeated = Rows::new(numbering);
    let mut seen: HashSet<(&str, Month)> = HashSet::with_capacity(keys.len());
    for (row, pair) in keys.iter().zip(months).enumerate() {
        if let (Some(key), Some(month)) = pair
            && !seen.insert((key, *month))
        {
            repeated.add(row);
        }
    }
    if !repeated.is_empty() {
        let (key, month) = (asked.key.clone(), asked.month.clone());
        problems.push(Problem::MonthRepeated { key, month, rows: repeated });
    }
}
