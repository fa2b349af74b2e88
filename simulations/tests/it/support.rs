//! Small synthetic federations, and running them so that a failure names its seed.

use std::{collections::BTreeMap, sync::Arc};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::id::PartyId;
use haihe_simulations::{
    fault::Fault,
    simulation::{Federation, Outcome, SimulationError, SimulationOptions},
};

/// Parties with their tables.
pub type Tables = Vec<(PartyId, Arc<Table>)>;

pub fn party(index: usize) -> PartyId {
    PartyId::new(format!("bank-{index:02}")).expect("a valid id")
}

fn specs() -> Vec<ColumnSpec> {
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let levels = ["north", "south", "east"].map(str::to_owned).to_vec();
    vec![
        numeric("debt"),
        numeric("age"),
        ColumnSpec { name: "region".to_owned(), kind: ColumnKind::Categorical { levels } },
    ]
}

/// `rows` firms whose label depends on `debt`, `age` and `region`.
pub fn table(seed: u64, rows: usize) -> Table {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut debt, mut age, mut region, mut label, mut split) = (vec![], vec![], vec![], vec![], vec![]);
    for row in 0..rows {
        let (d, a, r) = (uniform() * 2.0 - 1.0, uniform() * 20.0, (uniform() * 3.0) as u32);
        let odds = -0.2 + 2.5 * d - 0.1 * (a - 10.0) + if r == 1 { 0.9 } else { 0.0 };
        debt.push(d);
        age.push(a);
        region.push(r);
        label.push(uniform() < 1.0 / (1.0 + (-odds).exp()));
        split.push(if row % 4 == 3 { Split::Test } else { Split::Train });
    }
    let columns = vec![Column::Numeric(debt), Column::Numeric(age), Column::Categorical(region)];
    Table { specs: specs(), columns, label, split, firms: None }
}

pub fn tables(parties: usize, rows: usize) -> Tables {
    (0..parties).map(|i| (party(i), Arc::new(table(1 + i as u64, rows)))).collect()
}

/// A small job; `head` is added to `[job]`.
pub fn job(parties: usize, head: &str) -> String {
    let names: Vec<String> = (0..parties).map(|i| format!("\"{}\"", party(i))).collect();
    format!(
        r#"
        [job]
        name = "test"
        parties = [{}]
        {head}
        [data]
        view = "firms"
        key = "id"
        label = "bad"
        split = {{ column = "set" }}
        columns = [
            {{ name = "debt", kind = "numeric" }},
            {{ name = "age", kind = "numeric" }},
            {{ name = "region", kind = "categorical", levels = ["north", "south", "east"] }},
        ]
        [deadlines]
        join_seconds = 60
        confirm_seconds = 60
        round_seconds = 60
        answer_seconds = 60
        [scorecard.binning]
        fine_cells = 16
        [scorecard.evaluation]
        cells = 50
        "#,
        names.join(", ")
    )
}

/// The same with few regression rounds: enough to go wrong in.
pub fn quick_job(parties: usize, head: &str) -> String {
    job(parties, head) + "[scorecard.regression]\ntolerance = 0.1\n"
}

/// Fast: vectors in the clear.
pub fn plain(seed: u64, faults: Vec<Fault>) -> SimulationOptions {
    SimulationOptions::new(seed).without_any_security().with_faults(faults)
}

pub fn run(job: &str, tables: &Tables, options: SimulationOptions) -> Result<Outcome, SimulationError> {
    Federation::new(job, tables.clone(), options)?.run(|_| {})
}

/// Runs and expects a result; a failure names seed and faults.
pub fn finished(job: &str, tables: &Tables, options: SimulationOptions) -> Outcome {
    let shown = format!("{options:?}");
    run(job, tables, options).unwrap_or_else(|e| panic!("{shown}: {e}"))
}

/// Coefficients by column.
pub fn coefficients(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.scorecard().fit.coefficients.iter().map(|c| (c.column.clone(), c.value)).collect()
}

/// The two runs learned the same, up to the rounding of the fixed-point code.
pub fn same_result(a: &Outcome, b: &Outcome) -> Result<(), String> {
    let (x, y) = (coefficients(a), coefficients(b));
    if x.keys().ne(y.keys()) {
        return Err(format!("other variables: {x:?} and {y:?}"));
    }
    for (column, value) in &x {
        let other = y[column];
        if (value - other).abs() > 1e-6 * value.abs().max(1.0) {
            return Err(format!("coefficient of {column}: {value} and {other}"));
        }
    }
    let auc = |o: &Outcome| o.scorecard().evaluation.test.ranking.as_ref().map(|r| r.auc);
    let (a, b) = (auc(a), auc(b));
    match (a, b) {
        (Some(x), Some(y)) if (x - y).abs() < 1e-3 => Ok(()),
        _ => Err(format!("AUC {a:?} and {b:?}")),
    }
}
