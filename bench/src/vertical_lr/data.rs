//! Public data sets whose columns are divided among parties.

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use haihe_models::firm::UnifiedSocialCreditCode;
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::id::PartyId;
use haihe_protocol::vertical::work::Firms;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

/// A set: every party's firms, the bank's first. Firms' codes are made from the ids of the set.
pub struct Set {
    /// Its name in the rows.
    pub name: &'static str,
    /// Parties in the roster's order, which is that of their names.
    pub parties: Vec<(PartyId, Firms)>,
}

/// A file's header, and its rows by id.
struct File {
    header: Vec<String>,
    rows: HashMap<u64, Vec<String>>,
}

impl Set {
    /// Polish companies one year before bankruptcy, which come with the simulations: bank, tax bureau, core enterprise.
    pub fn polish() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulations/data");
        let file = File::read(&folder.join("polish_year5.csv.gz"))?;
        let columns: BTreeMap<String, Vec<String>> =
            serde_json::from_str(&std::fs::read_to_string(folder.join("polish_year5_parties.json"))?)?;
        let split = file.split()?;
        let parties = columns.iter().map(|(party, columns)| Ok((PartyId::new(party)?, file.firms(columns, &split)?)));
        Ok(Self { name: "polish year5", parties: parties.collect::<Result<_>>()? })
    }

    /// Two files of a folder, the bank's with `y`, and one that says which rows train.
    pub fn of_two(name: &'static str, [bank, other, split]: [&Path; 3]) -> Result<Self> {
        let split = File::read(split)?.split()?;
        let parties = [("bank", bank), ("host", other)].map(|(party, path)| {
            let file = File::read(path)?;
            let features = |column: &&String| !["id", "y"].contains(&column.as_str());
            let columns: Vec<String> = file.header.iter().filter(features).cloned().collect();
            Ok((PartyId::new(party)?, file.firms(&columns, &split)?))
        });
        Ok(Self { name, parties: parties.into_iter().collect::<Result<_>>()? })
    }

    /// The job file of a regression over this set, the bank being the label holder.
    pub fn job(&self, encoding: &str) -> String {
        let holder = |(party, firms): &(PartyId, Firms)| {
            let column = |s: &ColumnSpec| format!("{{ name = \"{}\", kind = \"numeric\" }}", s.name);
            let columns: Vec<String> = firms.table.specs.iter().map(column).collect();
            let label = if party.as_str() == "bank" { "label = \"y\"\nsplit = { column = \"set\" }\n" } else { "" };
            let columns = columns.join(", ");
            format!(
                "[[vertical.holder]]\nparty = \"{party}\"\nview = \"v\"\nkey = \"id\"\n{label}columns = [{columns}]\n"
            )
        };
        let names: Vec<String> = self.parties.iter().map(|(party, _)| format!("\"{party}\"")).collect();
        let holders: String = self.parties.iter().map(holder).collect();
        format!(
            "[job]\nname = \"bench\"\nparties = [{}]\n[vertical]\nlabel_holder = \"bank\"\nencoding = \"{encoding}\"\n{holders}",
            names.join(", ")
        )
    }
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut text = String::new();
        match path.extension().is_some_and(|e| e == "gz") {
            true => GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?,
            false => bytes.as_slice().read_to_string(&mut text)?,
        };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        ensure!(header.first().is_some_and(|h| h == "id"), "{}: the first column must be `id`", path.display());
        let mut rows = HashMap::new();
        for record in reader.records() {
            let record: Vec<String> = record?.iter().map(str::to_owned).collect();
            rows.insert(record[0].parse()?, record);
        }
        Ok(Self { header, rows })
    }

    fn place(&self, column: &str) -> Result<usize> {
        self.header.iter().position(|h| h == column).with_context(|| format!("no column `{column}`"))
    }

    fn split(&self) -> Result<HashMap<u64, Split>> {
        let at = self.place("set")?;
        let of = |row: &[String]| if row[at] == "train" { Split::Train } else { Split::Test };
        Ok(self.rows.iter().map(|(id, row)| (*id, of(row))).collect())
    }

    /// Some columns, in an order of rows that no other file has.
    fn firms(&self, columns: &[String], split: &HashMap<u64, Split>) -> Result<Firms> {
        let mut ids: Vec<u64> = self.rows.keys().copied().collect();
        ids.sort_by_key(|id| mix(id ^ mix(columns.len() as u64)));
        let number = |id: &u64, at: usize| match self.rows[id][at].as_str() {
            "" => Ok(f64::NAN),
            text => text.parse::<f64>(),
        };
        let column = |name: &String| -> Result<Column> {
            let at = self.place(name)?;
            Ok(Column::Numeric(ids.iter().map(|id| number(id, at)).collect::<Result<_, _>>()?))
        };
        let y = self.place("y").ok();
        let table = Table {
            specs: columns.iter().map(|name| ColumnSpec { name: name.clone(), kind: ColumnKind::Numeric }).collect(),
            columns: columns.iter().map(column).collect::<Result<_>>()?,
            label: ids.iter().map(|id| y.is_some_and(|y| self.rows[id][y] == "1")).collect(),
            split: ids
                .iter()
                .map(|id| split.get(id).copied().context("a row without a split"))
                .collect::<Result<_>>()?,
            firms: None,
        };
        let code = |id: &u64| Ok(UnifiedSocialCreditCode::synthetic(130_000, u32::try_from(*id)?)?.as_str().to_owned());
        Ok(Firms { keys: ids.iter().map(code).collect::<Result<_>>()?, table })
    }
}

/// The last step of splitmix64.
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
