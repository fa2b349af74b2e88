//! Monthly series: one row per firm and month in a view of its own, one column per channel and month in the job.
//!
//! A channel `invoices` with 12 steps becomes the numeric columns `invoices@11` (eleven months before the last) to `invoices@0`
//! (the last month). Columns are what the rest of a job knows, so whatever learns from columns can learn from series.

use std::collections::BTreeSet;

use haihe_models::{
    network::encoding::Channel,
    table::{ColumnKind, ColumnSpec},
};
use serde::{Deserialize, Serialize};

use super::{JobProblem, JobSpec, MAX_COLUMNS};
use crate::horizontal::network::Model;

/// Most months of a series.
pub const MAX_STEPS: u32 = 120;
/// Most channels of a series.
pub const MAX_CHANNELS: usize = 64;
/// Longest name of a channel, in characters: what is left of a column's name without `@119`.
const MAX_CHANNEL_NAME: usize = 124;

/// The table `[data.series]`: a view with one row per firm and month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesSpec {
    /// Name of the view.
    pub view: String,
    /// Its column with the key of a row of the main view.
    pub key: String,
    /// Its column with the month, in a form that [`Month::parse`] reads.
    pub month: String,
    /// How many months the job uses, the most recent ones.
    pub steps: u32,
    /// The last month for all firms. Without it, each firm's own last month is the last one.
    pub last: Option<String>,
    /// Its numeric columns.
    pub channels: Vec<String>,
}

impl SeriesSpec {
    /// The column of the job for a channel, `steps_back` months before the last.
    pub fn column_name(channel: &str, steps_back: u32) -> String {
        format!("{channel}@{steps_back}")
    }

    /// The columns of the job: channel by channel, the oldest month first.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        let names = self.expanded().into_iter().flat_map(|channel| channel.columns);
        names.map(|name| ColumnSpec { name, kind: ColumnKind::Numeric }).collect()
    }

    /// The last month for all firms, if the job names one.
    pub fn last_month(&self) -> Option<Month> {
        self.last.as_deref().and_then(Month::parse)
    }

    /// Every channel with its columns. What [`SeriesSpec::problems`] refuses is left out, so that a small file cannot ask for much
    /// memory and one fault is told once.
    fn expanded(&self) -> Vec<Channel> {
        let mut seen = BTreeSet::new();
        let steps = self.steps.clamp(1, MAX_STEPS);
        let most = MAX_CHANNELS.min(MAX_COLUMNS / steps as usize);
        let channels = self.channels.iter().filter(|name| named_well(name, MAX_CHANNEL_NAME) && seen.insert(*name));
        let columns = |name: &str| (0..steps).rev().map(|back| Self::column_name(name, back)).collect();
        channels.take(most).map(|name| Channel { name: name.clone(), columns: columns(name) }).collect()
    }

    /// Collects what is wrong. `main` is the name of the main view.
    pub(super) fn problems(&self, main: &str, found: &mut Vec<JobProblem>) {
        let names = [("view", &self.view), ("key", &self.key), ("month", &self.month)];
        for (key, _) in names.into_iter().filter(|(_, name)| !named_well(name, 128)) {
            found.push(JobProblem::Length { key: format!("data.series.{key}"), max: 128 });
        }
        if self.channels.iter().any(|name| !named_well(name, MAX_CHANNEL_NAME)) {
            found.push(JobProblem::Length { key: "each of data.series.channels".to_owned(), max: MAX_CHANNEL_NAME });
        }
        let mut range = |key, got, fits: bool, allowed| {
            if !fits {
                found.push(JobProblem::Range { key, got, allowed });
            }
        };
        range("data.series.steps", f64::from(self.steps), (1..=MAX_STEPS).contains(&self.steps), "1 to 120");
        let (channels, steps) = (self.channels.len(), self.steps as usize);
        range("the number of data.series.channels", channels as f64, (1..=MAX_CHANNELS).contains(&channels), "1 to 64");
        let wide = if channels <= MAX_CHANNELS && self.steps <= MAX_STEPS { channels * steps } else { 0 };
        let key = "data.series.steps times the number of channels";
        range(key, wide as f64, wide <= MAX_COLUMNS, "at most 512, the most columns of a job");
        let mut option = |detail| found.push(JobProblem::Option { table: "data.series".to_owned(), detail });
        if self.view == main {
            let detail = "needs a view of its own: the main view has one row per key, the series one per key and month";
            option(detail.to_owned());
        }
        let mut seen = BTreeSet::new();
        let mut told = BTreeSet::new();
        for name in [&self.key, &self.month].into_iter().chain(&self.channels) {
            if !seen.insert(name) && told.insert(name) {
                option(format!("column {name:?} is used twice among key, month and channels"));
            }
        }
        if let Some(last) = self.last.as_ref().filter(|last| Month::parse(last).is_none()) {
            option(format!("last = {last:?} is not a month: write it like \"2020-02\", or as a whole number"));
        }
    }
}

impl JobSpec {
    /// Adds the columns of the series, and tells an LSTM of them. A job that has them already, as one that was read and written,
    /// stays as it is.
    pub(super) fn expand_series(&mut self) {
        let Some(series) = &self.data.series else { return };
        let wide = series.columns();
        if !self.data.columns.ends_with(&wide) {
            self.data.columns.extend(wide);
        }
        if let Some(network) = &mut self.network
            && matches!(network.model, Model::Lstm { .. })
            && network.encoding.series.is_empty()
        {
            network.encoding.series = series.expanded();
        }
    }
}

/// A month, counted from some beginning. Months of the two kinds cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Month {
    /// Of the calendar: twelve times the year, plus 0 for January to 11 for December.
    Calendar(i32),
    /// Of somebody's own count.
    Counted(i32),
}

impl Month {
    /// Reads `2020-02`, `202002`, a date `2020-02-15`, also with a time behind `T` or a space, or a whole number of one to five
    /// digits, which counts months. Years are 1900 to 2199.
    pub fn parse(text: &str) -> Option<Month> {
        match text.as_bytes() {
            [b'-', digits @ ..] if digits.len() <= 5 => number(digits).map(|count| Month::Counted(-count)),
            [y1, y2, y3, y4, m1, m2] | [y1, y2, y3, y4, b'-', m1, m2] => calendar(&[*y1, *y2, *y3, *y4], &[*m1, *m2]),
            [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, time @ ..] => {
                let day = number(&[*d1, *d2]).filter(|day| (1..=31).contains(day));
                let is_time = match time {
                    [] => true,
                    [b'T' | b' ', time @ ..] => time.iter().all(|b| b.is_ascii_digit() || b":.+-Z".contains(b)),
                    _ => false,
                };
                calendar(&[*y1, *y2, *y3, *y4], &[*m1, *m2]).filter(|_| day.is_some() && is_time)
            }
            digits if digits.len() <= 5 => number(digits).map(Month::Counted),
            _ => None,
        }
    }

    /// How many months `earlier` is before this one, negative if it is later; `None` for months of different kinds.
    pub fn since(self, earlier: Month) -> Option<i32> {
        match (self, earlier) {
            (Month::Calendar(this), Month::Calendar(earlier)) | (Month::Counted(this), Month::Counted(earlier)) => {
                Some(this.saturating_sub(earlier))
            }
            _ => None,
        }
    }
}

fn calendar(year: &[u8], month: &[u8]) -> Option<Month> {
    let (year, month) = (number(year)?, number(month)?);
    ((1900..2200).contains(&year) && (1..=12).contains(&month)).then_some(Month::Calendar(year * 12 + month - 1))
}

/// Up to nine digits.
fn number(digits: &[u8]) -> Option<i32> {
    let all = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0')))
}

fn named_well(name: &str, max: usize) -> bool {
    !name.is_empty() && name.chars().count() <= max
}
