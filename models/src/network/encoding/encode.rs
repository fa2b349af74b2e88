//! From rows to inputs.

use super::scale::bounded;
use super::{Coding, Encoder, EncodingError, Number, Series};
use crate::grid::{StatisticsError, validate};
use crate::network::Examples;
use crate::table::{Column, Table};

pub(super) fn encode(encoder: &Encoder, table: &Table, rows: &[usize]) -> Result<Examples, EncodingError> {
    validate(table)?;
    if let Some(&row) = rows.iter().find(|&&row| row >= table.rows()) {
        return Err(EncodingError::Row { row, rows: table.rows() });
    }
    let view = View { encoder, columns: columns(encoder, table)? };
    let width = encoder.inputs.len();
    let mut examples = Examples {
        width,
        x: Vec::with_capacity(rows.len() * width),
        y: rows.iter().map(|&row| f32::from(u8::from(table.label[row]))).collect(),
        lengths: Vec::new(),
    };
    for (done, &row) in rows.iter().enumerate() {
        if let Some(series) = &encoder.series {
            let length = view.series(series, row, &mut examples.x)?;
            examples.lengths.push(length);
        }
        view.statics(row, &mut examples.x)?;
        // An encoder may have been read from anywhere: one row is enough to see that it does not fit.
        if examples.x.len() != (done + 1) * width {
            return Err(EncodingError::Damaged);
        }
    }
    Ok(examples)
}

/// The table's columns, in the order of the encoder's.
fn columns<'a>(encoder: &Encoder, table: &'a Table) -> Result<Vec<&'a Column>, EncodingError> {
    let find = |spec: &crate::table::ColumnSpec| {
        let column = || spec.name.clone();
        let at = table.specs.iter().position(|s| s.name == spec.name);
        let at = at.ok_or_else(|| StatisticsError::Absent { column: column() })?;
        if table.specs[at].kind == spec.kind {
            Ok(&table.columns[at])
        } else {
            Err(StatisticsError::Kind { column: column() }.into())
        }
    };
    encoder.columns.iter().map(find).collect()
}

struct View<'a> {
    encoder: &'a Encoder,
    columns: Vec<&'a Column>,
}

impl View<'_> {
    fn number(&self, column: usize, row: usize) -> Result<f64, EncodingError> {
        match self.columns.get(column) {
            Some(Column::Numeric(values)) => values.get(row).copied().ok_or(EncodingError::Damaged),
            _ => Err(EncodingError::Damaged),
        }
    }

    /// Adds the steps of a row; gives how many there are.
    fn series(&self, series: &Series, row: usize, x: &mut Vec<f32>) -> Result<u32, EncodingError> {
        let (mut first, mut end) = (series.steps, 0);
        for columns in &series.present {
            for (step, &column) in columns.iter().enumerate() {
                if !self.number(column, row)?.is_nan() {
                    (first, end) = (first.min(step), end.max(step + 1));
                }
            }
        }
        let length = end.saturating_sub(first);
        for step in 0..length {
            for channel in &series.channels {
                let column = channel.columns.get(first + step).ok_or(EncodingError::Damaged)?;
                push(&channel.number, self.number(*column, row)?, x);
            }
        }
        let channels: usize = series.channels.iter().map(|c| c.number.width()).sum();
        x.resize(x.len() + channels * series.steps.saturating_sub(length).min(super::MAX_WIDTH), 0.0);
        Ok(length as u32)
    }

    fn statics(&self, row: usize, x: &mut Vec<f32>) -> Result<(), EncodingError> {
        for part in &self.encoder.statics {
            let level = || match self.columns.get(part.column) {
                Some(Column::Categorical(values)) => Ok(values.get(row).map_or(usize::MAX, |&l| l as usize)),
                _ => Err(EncodingError::Damaged),
            };
            match &part.coding {
                Coding::Number { number } => push(number, self.number(part.column, row)?, x),
                Coding::Weights { weights } => x.push(bounded(weights.get(level()?).copied().unwrap_or(0.0))),
                Coding::Groups { group, groups } => {
                    let own = group.get(level()?).copied().flatten();
                    let groups = 0..(*groups).min(super::MAX_WIDTH);
                    x.extend(groups.map(|g| f32::from(u8::from(own == Some(g)))));
                }
            }
        }
        Ok(())
    }
}

fn push(number: &Number, value: f64, x: &mut Vec<f32>) {
    if let Some(scale) = &number.scale {
        x.push(scale.apply(value));
    }
    if number.indicator {
        x.push(f32::from(u8::from(value.is_nan())));
    }
}
