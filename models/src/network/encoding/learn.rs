//! From summed counts to an encoder.

use super::histogram::Histogram;
use super::scale::Scale;
use super::{
    Channel, ChannelFault, Coding, Encoder, EncodingError, EncodingKind, EncodingOptions, Input, Number, Series,
    SeriesChannel, Static, check_inputs,
};
use crate::binning::{Binning, BinningOptions, Shape, bin_columns, bin_counts};
use crate::grid::{ColumnGrid, FineGrid, LabelCountsLayout, StatisticsError};
use crate::table::{ColumnKind, ColumnSpec};

/// Fewest rows of a level with an input of its own.
const LEVEL_ROWS: f64 = 10.0;
/// Most levels with an input of their own; "other" and missing may come on top.
const LEVELS: usize = 30;

pub(super) fn learn(
    specs: &[ColumnSpec],
    grids: &[ColumnGrid],
    counts: &[f64],
    options: &EncodingOptions,
    binning: &BinningOptions,
) -> Result<Encoder, EncodingError> {
    options.validate()?;
    check(specs, grids)?;
    let cells = cells(grids, counts)?;
    let bins = match options.kind {
        EncodingKind::Woe => {
            let whole: Vec<f64> = counts.iter().map(|&c| libm::round(c).max(0.0)).collect();
            Some(bin_columns(specs, grids, &whole, binning)?)
        }
        _ => None,
    };
    let source = Source { specs, grids, cells: &cells, bins: bins.as_deref(), options, binning };
    let mut encoder =
        Encoder { columns: specs.to_vec(), series: None, statics: vec![], inputs: vec![], dropped: vec![] };
    let in_series = source.add_series(&mut encoder)?;
    for column in (0..specs.len()).filter(|c| !in_series.contains(c)) {
        source.add_static(&mut encoder, column);
    }
    check_inputs(encoder.inputs.len())?;
    Ok(encoder)
}

fn check(specs: &[ColumnSpec], grids: &[ColumnGrid]) -> Result<(), EncodingError> {
    if specs.len() != grids.len() {
        return Err(StatisticsError::Columns { expected: specs.len(), found: grids.len() }.into());
    }
    for (spec, grid) in specs.iter().zip(grids) {
        let column = || spec.name.clone();
        match (&spec.kind, grid) {
            (ColumnKind::Numeric, ColumnGrid::Numeric(FineGrid { edges })) => {
                let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
                if !ascending || edges.iter().any(|e| !e.is_finite()) {
                    return Err(EncodingError::Grid { column: column() });
                }
            }
            (ColumnKind::Categorical { levels: own }, ColumnGrid::Categorical { levels }) if own == levels => {}
            _ => return Err(StatisticsError::Kind { column: column() }.into()),
        }
    }
    Ok(())
}

/// Goods and bads per column and cell, none below 0.
fn cells(grids: &[ColumnGrid], counts: &[f64]) -> Result<Vec<Vec<[f64; 2]>>, EncodingError> {
    let expected = LabelCountsLayout::new(grids).len();
    if counts.len() != expected {
        return Err(StatisticsError::Length { expected, found: counts.len() }.into());
    }
    if let Some(index) = counts.iter().position(|c| !c.is_finite()) {
        return Err(EncodingError::Count { index });
    }
    let mut pairs = counts.chunks_exact(2).map(|pair| [pair[0].max(0.0), pair[1].max(0.0)]);
    Ok(grids.iter().map(|grid| pairs.by_ref().take(grid.cells() + 1).collect()).collect())
}

struct Source<'a> {
    specs: &'a [ColumnSpec],
    grids: &'a [ColumnGrid],
    cells: &'a [Vec<[f64; 2]>],
    /// For WOE.
    bins: Option<&'a [Binning]>,
    options: &'a EncodingOptions,
    binning: &'a BinningOptions,
}

impl Source<'_> {
    /// Adds the series, if there is one; gives its columns.
    fn add_series(&self, encoder: &mut Encoder) -> Result<Vec<usize>, EncodingError> {
        let Some(first) = self.options.series.first() else { return Ok(Vec::new()) };
        let mut series = Series { steps: first.columns.len(), channels: Vec::new(), present: Vec::new() };
        let mut names = Vec::new();
        for channel in &self.options.series {
            let columns = self.columns_of(channel)?;
            let number = self.channel(channel, &columns);
            if number.scale.is_none() {
                encoder.dropped.push(channel.name.clone());
            }
            series.present.push(columns.clone());
            if number.width() > 0 {
                names.push(&channel.name);
                series.channels.push(SeriesChannel { columns, number });
            }
        }
        if series.channels.iter().all(|c| c.number.scale.is_none()) {
            return Err(EncodingError::Channel { channel: first.name.clone(), fault: ChannelFault::Constant });
        }
        for step in 0..series.steps {
            for (channel, name) in series.channels.iter().zip(&names) {
                add_number(encoder, &channel.number, format!("{name}[{step}]"), channel.columns[step]);
            }
        }
        let columns = series.present.concat();
        encoder.series = Some(series);
        Ok(columns)
    }

    fn columns_of(&self, channel: &Channel) -> Result<Vec<usize>, EncodingError> {
        let find = |name: &String| {
            let column = self.specs.iter().position(|s| s.name == *name && s.kind == ColumnKind::Numeric);
            column.ok_or_else(|| EncodingError::Channel { channel: channel.name.clone(), fault: ChannelFault::Column })
        };
        channel.columns.iter().map(find).collect()
    }

    fn channel(&self, channel: &Channel, columns: &[usize]) -> Number {
        let parts: Vec<Histogram> = columns.iter().filter_map(|&c| self.histogram(c)).collect();
        let whole = Histogram::sum(&parts);
        match self.bins {
            Some(_) => Number { scale: Scale::of_bins(self.joint_bins(&channel.name, &whole)), indicator: false },
            None => self.number(&whole),
        }
    }

    /// Bins of all steps together.
    fn joint_bins(&self, name: &str, histogram: &Histogram) -> Binning {
        let intervals = &histogram.intervals;
        // The last one is unbounded; without any there is one cell all the same.
        let edges = intervals.iter().take(intervals.len().saturating_sub(1)).map(|i| i.upper).collect();
        let mut cells: Vec<[f64; 2]> = intervals.iter().map(|i| i.count).collect();
        cells.resize(cells.len().max(1), [0.0; 2]);
        cells.push(histogram.missing);
        let rows = cells.iter().fold([0.0; 2], |sum, c| [sum[0] + c[0], sum[1] + c[1]]);
        let shape = if self.binning.monotone { Shape::Monotone } else { Shape::Free };
        bin_counts(name, &ColumnGrid::Numeric(FineGrid { edges }), &cells, rows, self.binning, shape)
    }

    fn histogram(&self, column: usize) -> Option<Histogram> {
        let ColumnGrid::Numeric(grid) = &self.grids[column] else { return None };
        Some(Histogram::of(grid, &self.cells[column]))
    }

    fn number(&self, histogram: &Histogram) -> Number {
        let scale = Scale::learn(self.options.kind, histogram, self.options.clip, self.binning.min_bin_rows);
        // All missing: an indicator would be constant too.
        Number { scale, indicator: histogram.missing_rows() > 0.0 && histogram.rows() > 0.0 }
    }

    fn add_static(&self, encoder: &mut Encoder, column: usize) {
        let name = &self.specs[column].name;
        let inputs = encoder.inputs.len();
        let coding = match (self.histogram(column), self.bins, &self.specs[column].kind) {
            (Some(histogram), bins, _) => {
                let number = match bins {
                    Some(bins) => Number { scale: Scale::of_bins(bins[column].clone()), indicator: false },
                    None => self.number(&histogram),
                };
                if number.scale.is_none() {
                    encoder.dropped.push(name.clone());
                }
                add_number(encoder, &number, name.clone(), column);
                Coding::Number { number }
            }
            (None, Some(bins), _) => {
                let weights: Vec<f64> =
                    (0..=self.grids[column].cells()).map(|l| bins[column].woe_of_level(l)).collect();
                if weights.iter().any(|w| *w != weights[0]) {
                    encoder.inputs.push(Input { name: name.clone(), column });
                }
                Coding::Weights { weights }
            }
            (None, None, kind) => {
                let levels = if let ColumnKind::Categorical { levels } = kind { levels.as_slice() } else { &[] };
                let (group, names) = groups(levels, &self.cells[column]);
                encoder.inputs.extend(names.iter().map(|l| Input { name: format!("{name}={l}"), column }));
                Coding::Groups { group, groups: names.len() }
            }
        };
        if encoder.inputs.len() > inputs {
            encoder.statics.push(Static { column, coding });
        } else if !encoder.dropped.contains(name) {
            encoder.dropped.push(name.clone());
        }
    }
}

fn add_number(encoder: &mut Encoder, number: &Number, name: String, column: usize) {
    if number.scale.is_some() {
        encoder.inputs.push(Input { name: name.clone(), column });
    }
    if number.indicator {
        encoder.inputs.push(Input { name: format!("{name}=missing"), column });
    }
}

/// Group of each level, of "other" and of missing, and the names of the groups; none if there would be one only. The text of a level
/// that is called like one of the two is as ambiguous in a name as it is in the column.
fn groups(levels: &[String], cells: &[[f64; 2]]) -> (Vec<Option<usize>>, Vec<String>) {
    let rows: Vec<f64> = cells.iter().map(|c| c[0] + c[1]).collect();
    let (other, missing) = (levels.len(), levels.len() + 1);
    let mut frequent: Vec<usize> = (0..levels.len()).filter(|&l| rows[l] >= LEVEL_ROWS).collect();
    // Stable: the first of the job among equals.
    frequent.sort_by(|&a, &b| rows[b].total_cmp(&rows[a]));
    frequent.truncate(LEVELS);
    frequent.sort_unstable();
    let mut group = vec![None; levels.len() + 2];
    let mut names: Vec<String> = Vec::new();
    for &level in &frequent {
        group[level] = Some(names.len());
        names.push(levels[level].clone());
    }
    let alone = rows[missing] >= LEVEL_ROWS;
    let rare: Vec<usize> = (0..=missing).filter(|&l| group[l].is_none() && (l <= other || !alone)).collect();
    if rare.iter().map(|&l| rows[l]).sum::<f64>() > 0.0 {
        rare.iter().for_each(|&l| group[l] = Some(names.len()));
        names.push("other".to_owned());
    }
    if alone {
        group[missing] = Some(names.len());
        names.push("missing".to_owned());
    }
    if names.len() < 2 { (group, Vec::new()) } else { (group, names) }
}
