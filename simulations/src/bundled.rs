//! The data sets that travel inside the binary, and the files that each party of a demo would have of them.
//!
//! Licences, citations, columns and leaks: `simulations/data/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use haihe_models::firm::UnifiedSocialCreditCode;

/// Loans of US small businesses as bundled (gzip, CSV).
pub const SBA_LOANS_GZ: &[u8] = include_bytes!("../data/sba_loans.csv.gz");
/// Polish firms, bankrupt within a year or not, as bundled (gzip, CSV).
pub const POLISH_YEAR5_GZ: &[u8] = include_bytes!("../data/polish_year5.csv.gz");
/// Foetal heart traces, pathological or not, as bundled (gzip, CSV): a set for anomaly models, divided unevenly.
pub const CARDIO_GZ: &[u8] = include_bytes!("../data/cardio.csv.gz");
/// Taiwanese credit cards with six months of bills and payments, as bundled (gzip, CSV).
pub const DEFAULT_CREDIT_GZ: &[u8] = include_bytes!("../data/default_credit.csv.gz");
/// Which party of a vertical job holds which of the Polish ratios (JSON).
pub const POLISH_YEAR5_PARTIES: &str = include_str!("../data/polish_year5_parties.json");
/// Licence, citation, columns, leaks and digests of the bundled files.
pub const README: &str = include_str!("../data/README.md");

/// The three parties of a divided set, in the order of the column `silo`: Beijing, Tianjin, Hebei.
pub const SBA_SILO_PARTIES: [&str; 3] = ["bj", "tj", "he"];
/// The thirty small lenders that gain most from working together.
pub const SBA_LENDERS: RangeInclusive<u32> = 8..=37;

/// The parties of the joint demo: name, file, and what is added to a firm's `id` before it is mixed to say whether this party
/// lacks the firm, and where in its file the firm stands.
pub const POLISH_JOINT: [(&str, &str, u64); 3] =
    [("bank", "loans.csv", 2_000_003), ("tax", "returns.csv", 3_000_017), ("core", "orders.csv", 4_000_037)];

/// Columns of the bundled loans that a bank's own file does not have: they say who holds the row, or how it is folded.
const SBA_HELD_BACK: [&str; 3] = ["bank_id", "fold", "silo"];

/// A decoded file: text cells, empty = missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTable {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows; each has one cell per column.
    pub rows: Vec<Vec<String>>,
}

impl TextTable {
    /// Position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// The rows that `keep` accepts.
    pub fn filtered(&self, mut keep: impl FnMut(&[String]) -> bool) -> TextTable {
        TextTable { columns: self.columns.clone(), rows: self.rows.iter().filter(|row| keep(row)).cloned().collect() }
    }

    /// The named columns in the given order, each under its new name: `(old, new)`. Columns that do not exist are left out.
    pub fn selected<'a>(&self, columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> TextTable {
        let picked: Vec<(usize, &str)> =
            columns.into_iter().filter_map(|(old, new)| Some((self.position(old)?, new))).collect();
        TextTable {
            columns: picked.iter().map(|(_, new)| (*new).to_owned()).collect(),
            rows: self.rows.iter().map(|row| picked.iter().map(|(at, _)| row[*at].clone()).collect()).collect(),
        }
    }

    /// Writes the table as CSV; makes the folders above it.
    pub fn write_csv(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut out = csv::Writer::from_path(path)?;
        out.write_record(&self.columns)?;
        for row in &self.rows {
            out.write_record(row)?;
        }
        out.flush()
    }

    fn decode(gz: &[u8]) -> TextTable {
        const CHECKED: &str = "a bundled file is well formed: its digest is compared by a test";
        let mut text = String::new();
        flate2::read::GzDecoder::new(gz).read_to_string(&mut text).expect(CHECKED);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let owned = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        let columns = owned(reader.headers().expect(CHECKED));
        let rows = reader.records().map(|record| owned(&record.expect(CHECKED))).collect();
        TextTable { columns, rows }
    }
}

/// All 30,000 loans with `bank_id`, `set`, `fold` and `silo`.
pub fn sba() -> TextTable {
    TextTable::decode(SBA_LOANS_GZ)
}

/// All 5,910 Polish firms with `set`, `fold` and `silo`.
pub fn polish_year5() -> TextTable {
    TextTable::decode(POLISH_YEAR5_GZ)
}

/// All 1,831 heart traces with `set`, `fold` and `silo`.
pub fn cardio() -> TextTable {
    TextTable::decode(CARDIO_GZ)
}

/// The columns that each party of the vertical job holds: `bank`, `tax`, `core`.
pub fn polish_year5_parties() -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(POLISH_YEAR5_PARTIES)
        .expect("the bundled list is well formed: its digest is compared by a test")
}

/// Writes `<dir>/<party>/firms.csv` for three parties that hold different Polish firms: `bj` has silo 0 (60 %), `tj` silo 1
/// (30 %), `he` silo 2 (10 %). Every file has `firm_id`, `y`, `set` and all 64 ratios.
pub fn write_polish_silos(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    write_rows_by_silo(dir, &polish_year5())
}

/// Writes `<dir>/<party>/firms.csv` for three parties that hold different heart traces: nine of ten go to `bj`, `tj` or `he` by
/// their baseline heart rate `x0`, slow to fast, one of ten to any. Every file has `firm_id`, `y`, `set` and `x0` to `x20`.
pub fn write_cardio_silos(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    write_rows_by_silo(dir, &cardio())
}

/// The bundled credit cards.
pub fn default_credit() -> TextTable {
    TextTable::decode(DEFAULT_CREDIT_GZ)
}

/// Writes `<dir>/<party>/cards.csv` (`card_id`, `y`, `set`, and what does not change) and `<dir>/<party>/months.csv` (one row per
/// card and month: months past due, bill and payment as shares of the limit, and both amounts) for three parties, 60, 30 and
/// 10 % of the cards.
pub fn write_default_credit_silos(dir: &Path) -> io::Result<Vec<(String, PathBuf, PathBuf)>> {
    let cards = default_credit();
    let (at, limit) = (column_of(&cards, "silo"), column_of(&cards, "limit_bal"));
    let fixed = ["limit_bal", "sex", "education", "marriage", "age"];
    // September is month 1 of bills and payments, and month 0 of the months past due: the set has no PAY_1.
    let months: Vec<(String, [usize; 3])> = (1..=6)
        .map(|back| {
            let past_due = if back == 1 { "pay_0".to_owned() } else { format!("pay_{back}") };
            let columns = [past_due, format!("bill_amt{back}"), format!("pay_amt{back}")];
            (format!("2005-{:02}", 10 - back), columns.map(|c| column_of(&cards, &c)))
        })
        .collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let mut written = Vec::new();
    for (silo, party) in SBA_SILO_PARTIES.into_iter().enumerate() {
        let lead = [("id", "card_id"), ("y", "y"), ("set", "set")];
        let own = cards.filtered(|row| row[at] == silo.to_string());
        let (path, series) = (dir.join(party).join("cards.csv"), dir.join(party).join("months.csv"));
        own.selected(lead.into_iter().chain(fixed.map(|n| (n, n)))).write_csv(&path)?;
        let columns = ["card_id", "month", "past_due", "use", "paid", "bill", "payment"].map(str::to_owned).to_vec();
        let mut rows = Vec::with_capacity(6 * own.rows.len());
        for row in &own.rows {
            for (month, [past_due, bill, payment]) in &months {
                let of_limit = |column: usize| (number(&row[column]) / number(&row[limit])).to_string();
                let [bill_share, paid_share] = [of_limit(*bill), of_limit(*payment)];
                let values = [&row[0], month, &row[*past_due], &bill_share, &paid_share, &row[*bill], &row[*payment]];
                rows.push(values.map(String::clone).to_vec());
            }
        }
        TextTable { columns, rows }.write_csv(&series)?;
        written.push((party.to_owned(), path, series));
    }
    Ok(written)
}

/// One file `firms.csv` per party, with its rows of a set that has a column `silo`.
fn write_rows_by_silo(dir: &Path, rows: &TextTable) -> io::Result<Vec<(String, PathBuf)>> {
    let at = column_of(rows, "silo");
    let features = || rows.columns.iter().filter(|n| !["id", "y", "set", "fold", "silo"].contains(&n.as_str()));
    let mut written = Vec::new();
    for (silo, party) in SBA_SILO_PARTIES.into_iter().enumerate() {
        let lead = [("id", "firm_id"), ("y", "y"), ("set", "set")];
        let own = rows.filtered(|row| row[at] == silo.to_string());
        let path = dir.join(party).join("firms.csv");
        own.selected(lead.into_iter().chain(features().map(|n| (n.as_str(), n.as_str())))).write_csv(&path)?;
        written.push((party.to_owned(), path));
    }
    Ok(written)
}

/// Loans as a bank would keep them: `loan_id`, `y`, `set`, then the features.
fn as_bank_file(loans: &TextTable) -> TextTable {
    let features = loans.columns.iter().map(String::as_str);
    let features = features.filter(|name| !["id", "y", "set"].contains(name) && !SBA_HELD_BACK.contains(name));
    let lead = [("id", "loan_id"), ("y", "y"), ("set", "set")];
    loans.selected(lead.into_iter().chain(features.map(|name| (name, name))))
}

/// Writes `<dir>/<party>/loans.csv` for the three lender groups and returns what was written:
/// `bj` has silo 0, `tj` silo 1, `he` silo 2.
pub fn write_sba_silos(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let silos = SBA_SILO_PARTIES.into_iter().enumerate();
    write_parts(dir, "silo", silos.map(|(silo, party)| (party.to_owned(), silo.to_string())))
}

/// Writes `<dir>/lender-NN/loans.csv` for single lenders, [`SBA_LENDERS`] for instance, and returns what was written.
/// A lender that holds no loan gets no file.
pub fn write_sba_lenders(dir: &Path, bank_ids: RangeInclusive<u32>) -> io::Result<Vec<(String, PathBuf)>> {
    write_parts(dir, "bank_id", bank_ids.map(|id| (lender_party(id), id.to_string())))
}

/// Party id of a single lender: `lender-08`.
pub fn lender_party(bank_id: u32) -> String {
    format!("lender-{bank_id:02}")
}

/// Writes `<dir>/pooled/loans.csv`: the rows of all three groups in one file, which no real party could have. For the reference.
pub fn write_sba_pooled(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("pooled").join("loans.csv");
    as_bank_file(&sba()).write_csv(&path)?;
    Ok(path)
}

/// Writes `<dir>/pooled/loans.csv` with the rows of the given lenders only. For the reference.
pub fn write_sba_lenders_pooled(dir: &Path, bank_ids: RangeInclusive<u32>) -> io::Result<PathBuf> {
    let loans = sba();
    let at = column_of(&loans, "bank_id");
    let chosen = loans.filtered(|row| row[at].parse().is_ok_and(|id: u32| bank_ids.contains(&id)));
    let path = dir.join("pooled").join("loans.csv");
    as_bank_file(&chosen).write_csv(&path)?;
    Ok(path)
}

/// Writes `<dir>/<party>/firms.csv` for `bank`, `core` and `tax` of the vertical job. Every file has `firm_id`; the bank's also has
/// `y` and `set`.
pub fn write_polish_parties(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let firms = polish_year5();
    let mut written = Vec::new();
    for (party, columns) in polish_year5_parties() {
        let own: &[(&str, &str)] = if party == "bank" { &[("y", "y"), ("set", "set")] } else { &[] };
        let features = columns.iter().map(|name| (name.as_str(), name.as_str()));
        let lead = [("id", "firm_id")].into_iter().chain(own.iter().copied());
        let path = dir.join(&party).join("firms.csv");
        firms.selected(lead.chain(features)).write_csv(&path)?;
        written.push((party, path));
    }
    Ok(written)
}

/// Writes what each party of the joint demo holds: `<dir>/bank/loans.csv` with `uscc`, `y`, `set` and 21 ratios,
/// `<dir>/tax/returns.csv` and `<dir>/core/orders.csv` with `uscc` and theirs. Each party lacks about 2 % of the firms (those with
/// `mix(id + offset) % 50 == 0`) and has the others in an order of its own; about 5,530 firms are in all three files. The codes
/// are made up: firms of Beijing, Tianjin and Hebei that were never registered.
pub fn write_polish_joint(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut firms = polish_year5();
    let at = column_of(&firms, "id");
    let ids: Vec<u64> = firms.rows.iter().map(|row| row[at].parse().expect("the bundled ids are numbers")).collect();
    firms.columns.push("uscc".to_owned());
    firms.rows.iter_mut().zip(&ids).for_each(|(row, id)| row.push(made_up_code(*id)));
    let parties = polish_year5_parties();
    let mut written = Vec::new();
    for (party, file, offset) in POLISH_JOINT {
        let mut own: Vec<(u64, usize)> = ids.iter().enumerate().map(|(row, id)| (mix(id + offset), row)).collect();
        own.retain(|(drawn, _)| drawn % 50 != 0);
        own.sort_unstable();
        let rows = own.into_iter().map(|(_, row)| firms.rows[row].clone()).collect();
        let lead: &[&str] = if party == "bank" { &["uscc", "y", "set"] } else { &["uscc"] };
        let columns = lead.iter().copied().chain(parties[party].iter().map(String::as_str));
        let path = dir.join(party).join(file);
        TextTable { columns: firms.columns.clone(), rows }.selected(columns.map(|c| (c, c))).write_csv(&path)?;
        written.push((party.to_owned(), path));
    }
    Ok(written)
}

/// A valid unified social credit code for a firm of the bundled data.
fn made_up_code(id: u64) -> String {
    let divisions = [110_000, 120_000, 130_000];
    let division = divisions[(mix(id + 5_000_011) % 3) as usize];
    let code = UnifiedSocialCreditCode::synthetic(division, id as u32);
    code.expect("these are divisions, and any number makes a code").to_string()
}

/// The rule of the README by which rows are drawn.
fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One file per party: the loans whose `column` holds the party's value.
fn write_parts(
    dir: &Path,
    column: &str,
    parts: impl Iterator<Item = (String, String)>,
) -> io::Result<Vec<(String, PathBuf)>> {
    let loans = sba();
    let at = column_of(&loans, column);
    let mut written = Vec::new();
    for (party, value) in parts {
        let own = loans.filtered(|row| row[at] == value);
        if own.rows.is_empty() {
            continue;
        }
        let path = dir.join(&party).join("loans.csv");
        as_bank_file(&own).write_csv(&path)?;
        written.push((party, path));
    }
    Ok(written)
}

fn column_of(table: &TextTable, column: &str) -> usize {
    table.position(column).expect("a column of the bundled file: its header is fixed by its digest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn read(path: &Path) -> TextTable {
        let mut reader = csv::Reader::from_path(path).expect("written");
        let owned = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        let columns = owned(reader.headers().expect("header"));
        TextTable { columns, rows: reader.records().map(|r| owned(&r.expect("record"))).collect() }
    }

    fn count(table: &TextTable, column: &str, value: &str) -> usize {
        let at = column_of(table, column);
        table.rows.iter().filter(|row| row[at] == value).count()
    }

    #[test]
    fn the_readme_gives_the_digest_of_every_file() {
        let files: [(&str, &[u8]); 5] = [
            ("sba_loans.csv.gz", SBA_LOANS_GZ),
            ("polish_year5.csv.gz", POLISH_YEAR5_GZ),
            ("cardio.csv.gz", CARDIO_GZ),
            ("default_credit.csv.gz", DEFAULT_CREDIT_GZ),
            ("polish_year5_parties.json", POLISH_YEAR5_PARTIES.as_bytes()),
        ];
        for (name, bytes) in files {
            let line = README.lines().find(|line| line.starts_with(&format!("| `{name}`"))).expect("listed");
            assert!(
                line.contains(&hex::encode(Sha256::digest(bytes))),
                "{name}: the digest in data/README.md is not the file's"
            );
        }
        let stored = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data")).expect("folder").count();
        assert_eq!(stored, files.len() + 1, "a file in simulations/data is not listed in its README");
    }

    #[test]
    fn the_tables_have_the_documented_shape_and_splits() {
        let sets = [
            (sba(), 30_000, 15_000, 20_944),
            (polish_year5(), 5_910, 410, 4_191),
            (cardio(), 1_831, 176, 1_291),
            (default_credit(), 30_000, 6_636, 20_944),
        ];
        for (table, rows, bad, train) in sets {
            assert_eq!(table.rows.len(), rows);
            assert_eq!((count(&table, "y", "1"), count(&table, "y", "0")), (bad, rows - bad));
            assert_eq!((count(&table, "set", "train"), count(&table, "set", "test")), (train, rows - train));
            let at = ["id", "set", "fold"].map(|name| column_of(&table, name));
            for row in &table.rows {
                let z = mix(row[at[0]].parse().expect("an integer"));
                assert_eq!(row[at[1]], if z % 10 < 7 { "train" } else { "test" });
                assert_eq!(row[at[2]], (z / 10 % 5).to_string());
            }
        }
        assert_eq!(mix(0), 16_294_208_416_658_607_535);
    }

    #[test]
    fn heart_traces_are_divided_by_their_rate() {
        let table = cardio();
        let [id, rate, silo] = ["id", "x0", "silo"].map(|name| column_of(&table, name));
        let number = |row: &[String], at: usize| row[at].parse::<f64>().expect("a number");
        let mut rates: Vec<f64> = table.rows.iter().map(|row| number(row, rate)).collect();
        rates.sort_by(f64::total_cmp);
        let (slow, fast) = (rates[rates.len() / 2], rates[rates.len() * 4 / 5]);
        for row in &table.rows {
            let drawn = mix(row[id].parse::<u64>().expect("an integer") + 1_000_003);
            let by_rate = u64::from(number(row, rate) >= slow) + u64::from(number(row, rate) >= fast);
            let expected = if drawn % 100 < 10 { drawn / 100 % 3 } else { by_rate };
            assert_eq!(row[silo], expected.to_string(), "{}", row[id]);
        }
    }

    #[test]
    fn three_parties_get_all_rows_and_no_column_that_says_whose_they_are() {
        let dir = tempfile::tempdir().expect("a folder");
        for (written, rows, columns) in [
            (write_polish_silos(&dir.path().join("polish")), [3551, 1751, 608], 67),
            (write_cardio_silos(&dir.path().join("cardio")), [866, 537, 428], 24),
        ] {
            let tables: Vec<TextTable> = written.expect("written").iter().map(|(_, path)| read(path)).collect();
            assert_eq!(tables.iter().map(|t| t.rows.len()).collect::<Vec<_>>(), rows);
            for table in &tables {
                assert_eq!(
                    (table.columns.len(), &table.columns[..3]),
                    (columns, &["firm_id", "y", "set"].map(str::to_owned)[..])
                );
                assert!(table.position("silo").is_none() && table.position("fold").is_none());
            }
        }
    }

    #[test]
    fn columns_that_leak_are_not_bundled() {
        for leak in ["term", "approval_fy", "disbursement_month"] {
            assert_eq!(sba().position(leak), None, "{leak}");
        }
    }

    #[test]
    fn every_polish_ratio_belongs_to_one_party() {
        let parties = polish_year5_parties();
        let sizes: Vec<_> = parties.iter().map(|(party, columns)| (party.as_str(), columns.len())).collect();
        assert_eq!(sizes, [("bank", 21), ("core", 13), ("tax", 30)]);
        let mut all: Vec<_> = parties.into_values().flatten().collect();
        all.sort();
        let mut ratios: Vec<_> = polish_year5().columns.into_iter().filter(|name| name.starts_with('a')).collect();
        ratios.sort();
        assert_eq!(all, ratios);
    }

    #[test]
    fn three_banks_get_their_own_loans() {
        let dir = tempfile::tempdir().expect("a folder");
        let written = write_sba_silos(dir.path()).expect("written");
        let mut sizes = Vec::new();
        for (party, path) in &written {
            assert_eq!(*path, dir.path().join(party).join("loans.csv"));
            let table = read(path);
            assert_eq!(table.columns[..3], ["loan_id", "y", "set"]);
            assert_eq!(table.columns.len(), 3 + 16);
            assert!(SBA_HELD_BACK.iter().all(|name| table.position(name).is_none()));
            sizes.push((party.as_str(), count(&table, "set", "train"), count(&table, "set", "test")));
        }
        assert_eq!(sizes, [("bj", 2418, 1122), ("tj", 6870, 2943), ("he", 11_656, 4991)]);

        let pooled = read(&write_sba_pooled(dir.path()).expect("written"));
        assert_eq!(pooled.rows.len(), 30_000);
        assert_eq!(pooled.columns, read(&written[0].1).columns);
    }

    #[test]
    fn thirty_lenders_get_their_own_loans() {
        let dir = tempfile::tempdir().expect("a folder");
        let written = write_sba_lenders(dir.path(), SBA_LENDERS).expect("written");
        let names: Vec<_> = written.iter().map(|(party, _)| party.as_str()).collect();
        assert_eq!((names.len(), names[0], names[29]), (30, "lender-08", "lender-37"));
        let mut rows = 0;
        for (party, path) in &written {
            let table = read(path);
            assert!(count(&table, "y", "0") > 0 && count(&table, "y", "1") > 0, "{party} has one class only");
            assert!(count(&table, "set", "train") > 0 && count(&table, "set", "test") > 0, "{party}");
            rows += table.rows.len();
        }
        let pooled = read(&write_sba_lenders_pooled(dir.path(), SBA_LENDERS).expect("written"));
        assert_eq!(pooled.rows.len(), rows);
    }

    #[test]
    fn three_parties_of_the_vertical_job_share_only_the_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let written = write_polish_parties(dir.path()).expect("written");
        let widths: Vec<_> = written.iter().map(|(party, path)| (party.as_str(), read(path).columns.len())).collect();
        assert_eq!(widths, [("bank", 24), ("core", 14), ("tax", 31)]);
        assert!(read(&written[1].1).position("y").is_none());
    }

    #[test]
    fn the_joint_demo_has_firms_in_three_orders_and_most_of_them_in_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let written = write_polish_joint(dir.path()).expect("written");
        let tables: Vec<TextTable> = written.iter().map(|(_, path)| read(path)).collect();
        let keys: Vec<Vec<String>> = tables
            .iter()
            .map(|t| {
                let raw: Vec<String> = t.rows.iter().map(|row| row[0].clone()).collect();
                haihe_models::firm::read_keys(haihe_models::firm::KeyKind::UnifiedSocialCreditCode, &raw)
                    .expect("valid codes")
            })
            .collect();
        let sizes: Vec<_> = tables.iter().map(|t| (t.columns.len(), t.rows.len())).collect();
        assert_eq!(sizes, [(24, 5785), (31, 5782), (14, 5776)]);
        let sets: Vec<std::collections::BTreeSet<&String>> = keys.iter().map(|k| k.iter().collect()).collect();
        let common = sets[0].iter().filter(|k| sets[1].contains(*k) && sets[2].contains(*k)).count();
        assert_eq!(common, 5528);
        let first: Vec<_> = keys.iter().map(|k| k.iter().find(|k| sets.iter().all(|s| s.contains(k)))).collect();
        assert!(first[0] != first[1] && first[1] != first[2], "the orders differ");
        assert_eq!(
            (&tables[0].columns[..3], &tables[1].columns[..2]),
            (&["uscc", "y", "set"].map(str::to_owned)[..], &["uscc", "a1"].map(str::to_owned)[..])
        );
    }
}
