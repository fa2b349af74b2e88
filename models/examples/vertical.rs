//! Vertical regression on public data, all roles in one process, against pooled training and the label holder alone:
//! `cargo run -p haihe-models --example vertical -- DATA_DIR`, where the folder holds CSV files (`.gz` too) per party.

use haihe_models::table::{Column, ColumnKind, ColumnSpec};
use haihe_models::vertical::pooled::{federate, fit};
use haihe_models::vertical::{Encoder, Features, SolverOptions};
use std::collections::HashMap;
use std::io::Read;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn text(path: &str) -> Result<String> {
    let (mut bytes, mut out) = (Vec::new(), String::new());
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    if path.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut out)?;
    } else {
        out = String::from_utf8(bytes)?;
    }
    Ok(out)
}

/// Rows of a CSV file by id.
fn rows(path: &str) -> Result<(Vec<String>, HashMap<u64, Vec<String>>)> {
    let text = text(path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let mut all = HashMap::new();
    for record in reader.records() {
        let record: Vec<String> = record?.iter().map(str::to_owned).collect();
        all.insert(record[0].parse()?, record);
    }
    Ok((header, all))
}

struct Data {
    parties: Vec<(String, Features)>,
    bad: Vec<bool>,
    train: Vec<usize>,
    test: Vec<usize>,
    fold: Vec<u64>,
}

fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Parties' files with `id`; the first one has `y`.
fn load(files: &[(&str, String)]) -> Result<Data> {
    let loaded = files.iter().map(|(_, p)| rows(p)).collect::<Result<Vec<_>>>()?;
    let mut ids: Vec<u64> =
        loaded[0].1.keys().copied().filter(|id| loaded.iter().all(|l| l.1.contains_key(id))).collect();
    ids.sort_unstable();
    let y = loaded[0].0.iter().position(|h| h == "y").ok_or("no column y")?;
    let bad = ids.iter().map(|id| loaded[0].1[id][y] == "1").collect();
    let mut parties = Vec::new();
    for ((name, _), (header, all)) in files.iter().zip(&loaded) {
        let at: Vec<usize> = (1..header.len()).filter(|&j| header[j] != "y").collect();
        let specs = at.iter().map(|&j| ColumnSpec { name: header[j].clone(), kind: ColumnKind::Numeric }).collect();
        let value = |id: &u64, j: usize| match all[id][j].as_str() {
            "" => Ok(f64::NAN),
            field => field.parse::<f64>(),
        };
        let columns = at
            .iter()
            .map(|&j| Ok(Column::Numeric(ids.iter().map(|id| value(id, j)).collect::<std::result::Result<_, _>>()?)))
            .collect::<Result<Vec<_>>>()?;
        parties.push(((*name).to_owned(), Features::new(specs, columns, ids.len())?));
    }
    let (train, test) = (0..ids.len()).partition(|&r| mix(ids[r]) % 10 < 7);
    let fold = ids.iter().map(|&id| mix(id) / 10 % 5).collect();
    Ok(Data { parties, bad, train, test, fold })
}

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_default();
    let file = |name: &str| format!("{dir}/{name}");
    let sets = [
        (
            "default_credit",
            vec![("guest", file("default_credit/guest.csv.gz")), ("host", file("default_credit/host.csv.gz"))],
        ),
        ("give_credit", vec![("guest", file("give_credit/guest.csv.gz")), ("host", file("give_credit/host.csv.gz"))]),
        ("breast", vec![("guest", file("fate_small/breast_guest.csv")), ("host", file("fate_small/breast_host.csv"))]),
        (
            "polish year5",
            vec![
                ("bank", file("polish/year5_bank.csv.gz")),
                ("tax", file("polish/year5_tax.csv.gz")),
                ("core", file("polish/year5_core.csv.gz")),
            ],
        ),
    ];
    for (name, files) in sets {
        let data = load(&files)?;
        let labels: Vec<bool> = data.train.iter().map(|&r| data.bad[r]).collect();
        let mut parts = Vec::new();
        for (_, features) in &data.parties {
            let encoder = Encoder::standardise(features, &data.train)?;
            parts.push(encoder.encode(features, &data.train)?);
        }
        for bits in [12, 20] {
            let options = SolverOptions { tolerance: 1e-6, max_passes: 40, ..SolverOptions::default() };
            let all: Vec<_> = parts.iter().collect();
            let twin = fit(&all, &labels, &options)?;
            println!("{name}: {} rows, largest {:.3}", labels.len(), twin.largest());
            let (mut t, mut line) = (0, String::new());
            let started = std::time::Instant::now();
            let f = federate(&parts[0], &all[1..], &labels, &options, bits, |f| {
                let p = &f.passes[t];
                let d = f.distance(&twin);
                if t % 6 == 0 || (d < 1e-3 && t < 25) {
                    line += &format!(" {t}:{d:.1e}/{:.0e}", p.asked);
                }
                t += 1;
            })?;
            println!(
                "  bits {bits} {:.2} s:{line} {:?}",
                started.elapsed().as_secs_f64(),
                f.passes.last().map(|p| p.status)
            );
        }
    }
    Ok(())
}
