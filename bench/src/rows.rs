//! Rows of results: printed as a table, kept as JSON.

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// One result.
#[derive(Serialize)]
pub struct Row {
    name: String,
    params: BTreeMap<&'static str, Value>,
    value: f64,
    unit: &'static str,
}

/// All results of a run.
#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Adds a result.
    pub fn push(&mut self, name: impl Into<String>, params: &[(&'static str, u64)], value: f64, unit: &'static str) {
        self.push_for(name, params.iter().map(|(name, value)| (*name, Value::from(*value))), value, unit);
    }

    /// Adds a result with parameters that need not be numbers.
    pub fn push_for(
        &mut self,
        name: impl Into<String>,
        params: impl IntoIterator<Item = (&'static str, Value)>,
        value: f64,
        unit: &'static str,
    ) {
        self.0.push(Row { name: name.into(), params: params.into_iter().collect(), value, unit });
    }

    /// Prints the rows and writes them to `target/bench/<name>.json`.
    pub fn publish(&self, name: &str) -> Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(["what", "for", "value", "unit"]);
        for row in &self.0 {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let params: Vec<_> = row.params.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            table.add_row([&*row.name, &params.join(" "), &format!("{:.3}", row.value), row.unit]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        let path = target_directory().join("bench").join(format!("{name}.json"));
        write_json(&path, &self.0).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {}", path.display());
        Ok(())
    }
}

fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    Ok(std::fs::write(path, serde_json::to_string_pretty(rows)? + "\n")?)
}

/// The workspace's `target`.
fn target_directory() -> PathBuf {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    room.parent().unwrap_or(room).join("target")
}

/// Times several kernels in turn, so that all meet the same weather, and returns each one's median in seconds.
pub fn interleaved<const COUNT: usize>(repetitions: usize, mut kernels: [&mut dyn FnMut(); COUNT]) -> [f64; COUNT] {
    let mut times = [const { Vec::new() }; COUNT];
    for _ in 0..repetitions {
        for (kernel, times) in kernels.iter_mut().zip(&mut times) {
            let start = Instant::now();
            kernel();
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.map(|mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}
