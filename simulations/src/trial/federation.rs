//! The smallest federation that still takes every step of a scorecard.

use std::sync::{Arc, LazyLock};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::id::PartyId;
use rand::RngExt as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

/// Most parties of a trial.
pub(super) const MOST: usize = 7;
const ROWS: usize = 40;

/// A party by its position.
pub(super) fn party(index: usize) -> PartyId {
    PartyId::new(format!("bank-{index:02}")).expect("letters, a hyphen and digits are a valid id")
}

/// `ROWS` firms whose label depends on their debt.
fn table(seed: u64) -> Table {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let debt: Vec<f64> = (0..ROWS).map(|_| rng.random_range(-1.0..1.0)).collect();
    let label = debt.iter().map(|d| rng.random_bool(1.0 / (1.0 + (-2.0 * d).exp()))).collect();
    let split = (0..ROWS).map(|row| if row % 4 == 3 { Split::Test } else { Split::Train }).collect();
    let specs = vec![ColumnSpec { name: "debt".to_owned(), kind: ColumnKind::Numeric }];
    Table { specs, columns: vec![Column::Numeric(debt)], label, split, firms: None }
}

/// The parties with their tables, made once.
pub(super) fn tables(parties: usize) -> Vec<(PartyId, Arc<Table>)> {
    static TABLES: LazyLock<Vec<Arc<Table>>> =
        LazyLock::new(|| (0..MOST).map(|i| Arc::new(table(1 + i as u64))).collect());
    TABLES.iter().take(parties).enumerate().map(|(i, table)| (party(i), table.clone())).collect()
}

/// A job that is over after few rounds.
pub(super) fn job(parties: usize, min_parties: u32) -> String {
    let names: Vec<String> = (0..parties).map(|i| format!("\"{}\"", party(i))).collect();
    format!(
        r#"
        [job]
        name = "trial"
        parties = [{}]
        min_parties = {min_parties}
        [data]
        view = "firms"
        key = "id"
        label = "bad"
        split = {{ column = "set" }}
        columns = [{{ name = "debt", kind = "numeric" }}]
        [deadlines]
        join_seconds = 60
        confirm_seconds = 60
        round_seconds = 60
        answer_seconds = 60
        [scorecard.binning]
        fine_cells = 8
        min_bin_rows = 5
        [scorecard.selection]
        max_p_value = 1.0
        require_positive = false
        [scorecard.regression]
        tolerance = 0.1
        [scorecard.evaluation]
        cells = 10
        "#,
        names.join(", ")
    )
}
