//! Made-up loans of made-up firms.

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// Staff, margin, industry.
pub fn specs() -> Vec<ColumnSpec> {
    let levels = ["cable", "felt", "wool"].map(str::to_owned).to_vec();
    vec![
        ColumnSpec { name: "staff".into(), kind: ColumnKind::Numeric },
        ColumnSpec { name: "margin".into(), kind: ColumnKind::Numeric },
        ColumnSpec { name: "industry".into(), kind: ColumnKind::Categorical { levels } },
    ]
}

/// Rows of firms with up to `most` rows each. Large staff and a high margin are good, felt is bad.
pub fn firm_table(seed: u64, rows: usize, most: u32) -> Table {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut staff, mut margin, mut industry) = (Vec::new(), Vec::new(), Vec::new());
    let (mut label, mut split, mut firms) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let s = f64::from(rng.random_range(0..200u32));
        let m = rng.random_range(-1.0..1.0);
        let i = rng.random_range(0..5u32);
        let eta = 1.2 * (s / 100.0 - 1.0) + 0.8 * m - if i == 1 { 1.0 } else { 0.0 };
        label.push(rng.random::<f64>() > 1.0 / (1.0 + f64::exp(-eta)));
        staff.push(s);
        margin.push(if rng.random::<f64>() < 0.1 { f64::NAN } else { m });
        industry.push(i);
        split.push(if rng.random::<f64>() < 0.7 { Split::Train } else { Split::Test });
        firms.push(row as u32 / rng.random_range(1..=most));
    }
    let columns = vec![Column::Numeric(staff), Column::Numeric(margin), Column::Categorical(industry)];
    Table { specs: specs(), columns, label, split, firms: Some(firms) }
}

/// Some rows of a table.
pub fn take(table: &Table, rows: &[usize]) -> Table {
    let column = |c: &Column| match c {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&r| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&r| v[r]).collect()),
    };
    Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(column).collect(),
        label: rows.iter().map(|&r| table.label[r]).collect(),
        split: rows.iter().map(|&r| table.split[r]).collect(),
        firms: table.firms.as_ref().map(|firms| rows.iter().map(|&r| firms[r]).collect()),
    }
}
