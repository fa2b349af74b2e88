//! The document has a place for every table that the command writes, and the command fills it.

use haihe_attacks::report::{TABLES, mark};

#[test]
fn every_table_has_its_place() {
    let document = include_str!("../../docs/security/attacks.md");
    for name in TABLES {
        let (start, end) = mark(name);
        let from = document.find(&start).unwrap_or_else(|| panic!("no place for {name}")) + start.len();
        let table = &document[from..document.find(&end).unwrap_or_else(|| panic!("no end of {name}"))];
        assert!(table.lines().count() > 2, "{name} is empty: run `cargo xtask attacks --write`");
    }
}
