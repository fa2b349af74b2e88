//! From the columns of a job to the inputs of a network.
//!
//! All that an [`Encoder`] knows it learns from the summed counts of [`crate::grid::label_counts`], so every party derives the same
//! one to the bit, and none shows its own mean, minimum or maximum. Three kinds:
//!
//! - `standardise`: cut to the federation's `[clip, 1 - clip]` quantiles, less the mean, by the standard deviation, all of them
//!   from the fine histogram;
//! - `quantile_normal`: the normal quantile of the value's rank in the federation, for any shape of distribution: the rank rises
//!   evenly within a fine cell; a cell with exact zero, or with a twentieth of all rows, is a tie and takes its middle rank;
//! - `woe`: the weight of evidence of the value's bin ([`crate::binning`]), also of a missing value and of a level. A high one is
//!   good, and nothing scales it.
//!
//! With the first two, a missing value is 0, and a column that has any gains an input that is 1 for them; a categorical column
//! becomes one 0/1 input per level, rare levels (under 10 rows, or beyond the 30 most frequent) together as "other".
//! Every input is a finite number within `+-16`. A column that would give all rows the same gives no input, see
//! [`Encoder::dropped`].

use serde::{Deserialize, Serialize};

use super::Examples;
use super::architecture::MAX_WIDTH;
use crate::binning::{BinningError, BinningOptions};
use crate::grid::{ColumnGrid, StatisticsError};
use crate::table::{ColumnSpec, Table};

mod encode;
mod histogram;
mod learn;
mod normal;
mod scale;

use scale::Scale;

/// Largest size of an input.
const LARGEST: f64 = 16.0;

/// How numbers become inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncodingKind {
    /// Cut, centred and scaled.
    Standardise,
    /// Ranks on a normal scale.
    #[default]
    QuantileNormal,
    /// Weight of evidence.
    Woe,
}

/// What becomes of the columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncodingOptions {
    /// How numbers become inputs.
    pub kind: EncodingKind,
    /// Share of the rows cut off at both ends of a numeric column; not for WOE. 0.01 keeps `quantile_normal` within +-2.33.
    pub clip: f64,
    /// Channels of a monthly series, for an LSTM; empty for none. Every column outside of it is a static.
    pub series: Vec<Channel>,
}

impl Default for EncodingOptions {
    fn default() -> Self {
        EncodingOptions { kind: EncodingKind::default(), clip: 0.01, series: Vec::new() }
    }
}

/// One channel of a series. All channels have as many steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// In the names of the inputs.
    pub name: String,
    /// Numeric columns of the job, oldest step first. Their histograms are added up: all steps share one scale.
    pub columns: Vec<String>,
}

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelFault {
    /// It has no column, or not as many as the first channel.
    Steps,
    /// A column is not a numeric column of the job.
    Column,
    /// A name or a column is there twice.
    Twice,
    /// No channel of the series varies.
    Constant,
}

impl core::fmt::Display for ChannelFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            ChannelFault::Steps => "give every channel the same number of columns, at least one",
            ChannelFault::Column => "name numeric columns of the job only",
            ChannelFault::Twice => "use each name and each column once",
            ChannelFault::Constant => {
                "no channel varies among the train rows: leave the series out, or correct its columns"
            }
        })
    }
}

/// Why columns cannot be encoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EncodingError {
    /// The table, or the counts, do not fit the job.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// The columns cannot be binned (WOE only).
    #[error(transparent)]
    Binning(#[from] BinningError),
    /// An option is out of its range: correct the job.
    #[error("encoding option `{option}` is out of range: {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A channel of the series: correct the job.
    #[error("channel `{channel}` of the series: {fault}")]
    Channel {
        /// Its name.
        channel: String,
        /// What is wrong.
        fault: ChannelFault,
    },
    /// A count is no finite number.
    #[error("entry {index} of the counts is not a finite number: the sum was decoded with a wrong scale")]
    Count {
        /// Position.
        index: usize,
    },
    /// Edges that are not finite and ascending.
    #[error("the grid of column `{column}` is out of order: both sides must use the grids made from the profile")]
    Grid {
        /// Name of the column.
        column: String,
    },
    /// Nothing varies, or too much does.
    #[error("the columns make {found} inputs; a network takes 1 to 16384: choose other columns")]
    Inputs {
        /// Inputs.
        found: usize,
    },
    /// A row that the table has not.
    #[error("row {row} is asked for; the table has {rows}")]
    Row {
        /// The row, counted from 0.
        row: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// An encoder that was read back damaged.
    #[error("the encoder contradicts itself: derive it again from the sums of the job")]
    Damaged,
}

impl EncodingOptions {
    /// Checks what can be checked without the columns.
    pub fn validate(&self) -> Result<(), EncodingError> {
        let (option, allowed) = ("clip", "0.0001 to 0.25");
        if !(1e-4..=0.25).contains(&self.clip) {
            return Err(EncodingError::Option { option, allowed });
        }
        let steps = self.series.first().map_or(0, |c| c.columns.len());
        let mut columns: Vec<&String> = self.series.iter().flat_map(|c| &c.columns).collect();
        let mut names: Vec<&String> = self.series.iter().map(|c| &c.name).collect();
        for channel in &self.series {
            let refuse = |fault| Err(EncodingError::Channel { channel: channel.name.clone(), fault });
            if channel.columns.is_empty() || channel.columns.len() != steps {
                return refuse(ChannelFault::Steps);
            }
        }
        for list in [&mut columns, &mut names] {
            list.sort();
            if let Some(pair) = list.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(EncodingError::Channel { channel: pair[0].clone(), fault: ChannelFault::Twice });
            }
        }
        Ok(())
    }
}

/// One number of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `column`, `column=level`, `column=missing`; in a series `channel[step]` and `channel[step]=missing`, where steps count from
    /// the row's own first one.
    pub name: String,
    /// Index of the column in the specs of the job; in a series that of the step's column, which is where the number comes from
    /// in a row whose series is complete.
    pub column: usize,
}

/// Turns rows into inputs. The same counts and options give the same encoder to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Columns of the job.
    columns: Vec<ColumnSpec>,
    series: Option<Series>,
    statics: Vec<Static>,
    inputs: Vec<Input>,
    dropped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    steps: usize,
    /// Channels that give an input.
    channels: Vec<SeriesChannel>,
    /// Index of each column, for each channel of the options: a constant channel still tells which steps are there.
    present: Vec<Vec<usize>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesChannel {
    columns: Vec<usize>,
    number: Number,
}

/// Inputs of a number: at least one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    scale: Option<Scale>,
    /// Whether an input tells missing values.
    indicator: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Static {
    column: usize,
    coding: Coding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Coding {
    Number {
        number: Number,
    },
    /// One input per group of levels.
    Groups {
        /// Of each level, of "other" and of missing; `None` is in no group.
        group: Vec<Option<usize>>,
        groups: usize,
    },
    /// Weight of each level, of "other" and of missing.
    Weights {
        weights: Vec<f64>,
    },
}

impl Encoder {
    /// Learns from the sum of [`crate::grid::label_counts`] over the parties. Counts below 0, which noise leaves, count as 0; WOE
    /// also rounds to whole rows, and refuses columns whose totals then differ.
    pub fn learn(
        specs: &[ColumnSpec],
        grids: &[ColumnGrid],
        counts: &[f64],
        options: &EncodingOptions,
        binning: &BinningOptions,
    ) -> Result<Encoder, EncodingError> {
        learn::learn(specs, grids, counts, options, binning)
    }

    /// The columns that rows must have, with the kinds and levels of the job that it was learned in.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The numbers of a row: the series step by step, then the statics in the order of the columns.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Columns and channels without an input of their values, because all train rows would have the same.
    pub fn dropped(&self) -> &[String] {
        &self.dropped
    }

    /// Steps, channels and statics for [`Architecture::Lstm`](super::Architecture::Lstm), if there is a series.
    pub fn series(&self) -> Option<(usize, usize, usize)> {
        let series = self.series.as_ref()?;
        let channels = series.channels.iter().map(|c| c.number.width()).sum();
        Some((series.steps, channels, self.inputs.len().saturating_sub(series.steps.saturating_mul(channels))))
    }

    /// Encodes rows of a table with the columns of the job, found by name.
    ///
    /// A series is left-aligned: steps before the first and after the last one in which any channel has a value are absent, the
    /// rest moves to the front, and zeros follow. A row without any step has length 0.
    pub fn encode(&self, table: &Table, rows: &[usize]) -> Result<Examples, EncodingError> {
        encode::encode(self, table, rows)
    }
}

impl Number {
    fn width(&self) -> usize {
        usize::from(self.scale.is_some()) + usize::from(self.indicator)
    }
}

/// Checks the number of inputs.
fn check_inputs(found: usize) -> Result<(), EncodingError> {
    if (1..=MAX_WIDTH).contains(&found) { Ok(()) } else { Err(EncodingError::Inputs { found }) }
}
