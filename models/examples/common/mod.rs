//! Reading the parties' CSV files (`id,y,set` and features) and a job file, for the examples.

use haihe_models::pooled::ScorecardOptions;
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use serde::Deserialize;
use std::collections::HashMap;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A column of the job file, in the form of [`ColumnSpec`].
#[derive(Deserialize)]
struct JobColumn {
    name: String,
    #[serde(flatten)]
    kind: ColumnKind,
}

#[derive(Deserialize)]
struct JobFile {
    columns: Vec<JobColumn>,
    #[serde(default)]
    scorecard: ScorecardOptions,
}

pub struct Job {
    pub columns: Vec<ColumnSpec>,
    pub scorecard: ScorecardOptions,
}

pub fn job(path: &str) -> Result<Job> {
    let file: JobFile = toml::from_str(&std::fs::read_to_string(path)?)?;
    let columns = file.columns.into_iter().map(|c| ColumnSpec { name: c.name, kind: c.kind }).collect();
    Ok(Job { columns, scorecard: file.scorecard })
}

/// A table, and the fields of columns that are no features.
#[allow(dead_code, reason = "not every example looks at the other columns")]
pub struct Loaded {
    pub table: Table,
    pub extra: HashMap<String, Vec<String>>,
}

pub fn load(path: &str, specs: &[ColumnSpec], extra: &[&str]) -> Result<Loaded> {
    read(path, std::fs::File::open(path)?, specs, extra)
}

/// The same from any source; `path` is for messages.
pub fn read(path: &str, source: impl std::io::Read, specs: &[ColumnSpec], extra: &[&str]) -> Result<Loaded> {
    let mut reader = csv::Reader::from_reader(source);
    let header = reader.headers()?.clone();
    let find = |name: &str| header.iter().position(|h| h == name).ok_or_else(|| format!("{path}: no column {name}"));
    let (y, set) = (find("y")?, find("set")?);
    let at = specs.iter().map(|s| find(&s.name)).collect::<std::result::Result<Vec<_>, _>>()?;
    let extra_at = extra.iter().map(|n| find(n)).collect::<std::result::Result<Vec<_>, _>>()?;
    let empty = |s: &ColumnSpec| match s.kind {
        ColumnKind::Numeric => Column::Numeric(Vec::new()),
        ColumnKind::Categorical { .. } => Column::Categorical(Vec::new()),
    };
    let columns = specs.iter().map(empty).collect();
    let mut table = Table { specs: specs.to_vec(), columns, label: Vec::new(), split: Vec::new(), firms: None };
    let mut others = vec![Vec::new(); extra.len()];
    for record in reader.records() {
        let record = record?;
        table.label.push(&record[y] == "1");
        table.split.push(if &record[set] == "train" { Split::Train } else { Split::Test });
        for ((column, spec), &at) in table.columns.iter_mut().zip(specs).zip(&at) {
            let field = &record[at];
            match (column, &spec.kind) {
                (Column::Numeric(v), _) => v.push(if field.is_empty() { f64::NAN } else { field.parse()? }),
                (Column::Categorical(v), ColumnKind::Categorical { levels }) => {
                    let level = levels.iter().position(|l| l == field).unwrap_or(levels.len());
                    v.push(if field.is_empty() { levels.len() + 1 } else { level } as u32);
                }
                _ => {}
            }
        }
        for (values, &at) in others.iter_mut().zip(&extra_at) {
            values.push(record[at].to_owned());
        }
    }
    Ok(Loaded { table, extra: extra.iter().map(|n| (*n).to_owned()).zip(others).collect() })
}
