//! Tail statistics and isolation forests on public anomaly data, next to reference figures of pooled implementations:
//! `cargo run -p haihe-models --example anomaly_table -- DATA [runs] [key=value ...]`
//!
//! `DATA` holds `anomaly/NAME.csv.gz` and `anomaly/NAME_split.csv.gz`; what is not there is left out. Keys: `trees`, `sample`,
//! `cells`, `groups`, `node_counts`, `sum_counts`, `only` (a name).

use flate2::read::GzDecoder;
use haihe_models::anomaly::{
    AnomalyGrid, Forest, ForestOptions, ForestPlan, Grown, Margins, Population, TailOptions, Tails, grids, row_keys,
};
use haihe_models::grid::{label_counts, profile, rows_of};
use haihe_models::metrics::{Ranking, ScoreHistogram, average_precision};
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use std::fs::File;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Folder, name, and AUROC / AUPRC of the reference: forest (all rows, goods only), ECOD (all rows, goods only).
type Reference = (&'static str, &'static str, [[f64; 2]; 4]);
const REFERENCES: [Reference; 6] = [
    ("anomaly", "cardio", [[0.917, 0.516], [0.945, 0.653], [0.848, 0.429], [0.883, 0.416]]),
    ("anomaly", "annthyroid", [[0.823, 0.332], [0.917, 0.489], [0.679, 0.172], [0.770, 0.270]]),
    ("anomaly", "mammography", [[0.841, 0.181], [0.863, 0.255], [0.892, 0.401], [0.897, 0.472]]),
    ("anomaly", "campaign", [[0.732, 0.325], [0.753, 0.347], [0.799, 0.400], [0.822, 0.424]]),
    ("anomaly", "shuttle", [[0.998, 0.983], [0.997, 0.977], [0.994, 0.917], [0.998, 0.983]]),
    ("polish", "year5", [[0.741, 0.211], [0.751, 0.213], [0.763, 0.264], [0.772, 0.284]]),
];

struct Data {
    table: Table,
    ids: Vec<u64>,
    silo: Vec<usize>,
}

struct Settings {
    runs: u64,
    tails: TailOptions,
    forest: ForestOptions,
    only: Option<String>,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "../shared/data".into());
    let settings = settings(arguments)?;
    println!("{:<12} {:<6} {:<22} {:>13} {:>13}  sums", "data", "train", "model", "AUROC (ref)", "AUPRC (ref)");
    for (part, name, reference) in REFERENCES {
        let path = Path::new(&folder).join(part);
        if settings.only.as_ref().is_some_and(|o| o != name) || !path.join(format!("{name}.csv.gz")).exists() {
            continue;
        }
        let data = read(&path, name)?;
        for (population, forest, tails) in [(Population::All, 0, 2), (Population::Good, 1, 3)] {
            table_rows(name, &data, population, &settings, reference[forest], reference[tails])?;
        }
    }
    Ok(())
}

fn settings(arguments: impl Iterator<Item = String>) -> Result<Settings> {
    let mut s = Settings { runs: 3, tails: TailOptions::default(), forest: ForestOptions::default(), only: None };
    for argument in arguments {
        match argument.split_once('=') {
            None => s.runs = argument.parse()?,
            Some(("trees", v)) => s.forest.trees = v.parse()?,
            Some(("sample", v)) => s.forest.sample = v.parse()?,
            Some(("cells", v)) => s.tails.cells = v.parse()?,
            Some(("groups", v)) => s.forest.groups = v.parse()?,
            Some(("node_counts", v)) => s.forest.node_counts = v.parse()?,
            Some(("sum_counts", v)) => s.forest.sum_counts = v.parse()?,
            Some(("extra_sums", v)) => s.forest.extra_sums = v.parse()?,
            Some(("sum", "column")) => s.tails.sum = haihe_models::anomaly::Sum::PerColumn,
            Some(("missing", "rate")) => s.tails.missing = haihe_models::anomaly::Missing::Rate,
            Some(("only", v)) => s.only = Some(v.to_owned()),
            Some((key, _)) => return Err(format!("no setting {key}").into()),
        }
    }
    Ok(s)
}

fn table_rows(
    name: &str,
    data: &Data,
    population: Population,
    settings: &Settings,
    forest: [f64; 2],
    tails: [f64; 2],
) -> Result<()> {
    let train = if population == Population::All { "contam." } else { "clean" };
    let silos: Vec<Data> = (0..3).map(|s| data.silo(s)).collect();
    let pooled: [&Data; 1] = [data];
    let apart: Vec<&Data> = silos.iter().collect();
    let (margins, size) = margins(&pooled, settings.tails.cells, population)?;
    if margins != self::margins(&apart, settings.tails.cells, population)?.0 {
        return Err("three silos give other margins than all rows together".into());
    }
    let test = rows_of(&data.table, Split::Test);
    let bad: Vec<bool> = test.iter().map(|&r| data.table.label[r]).collect();
    let model = Tails::new(margins.clone(), settings.tails)?;
    let found = quality(&model.score(&data.table, &test)?, &bad)?;
    println!("{name:<12} {train:<7} {:<22} {}  {size}", "tails", against(&[found], tails));

    let (mut together, mut own, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..settings.runs {
        let options = ForestOptions { seed, population, ..settings.forest };
        let keys = |d: &Data| d.ids.iter().map(|&id| row_keys(id, 1)[0]).collect::<Vec<u64>>();
        let (pooled_forest, s) = grow(options, &margins, &pooled, &[keys(data)])?;
        let all_keys: Vec<Vec<u64>> = silos.iter().map(keys).collect();
        if seed == 0 && pooled_forest != grow(options, &margins, &apart, &all_keys)?.0 {
            return Err("three silos give another forest than all rows together".into());
        }
        let numbered: Vec<Vec<u64>> =
            silos.iter().zip(1u64..).map(|(d, party)| row_keys(1000 * seed + party, d.table.rows())).collect();
        let (apart_forest, _) = grow(options, &margins, &apart, &numbered)?;
        together.push(quality(&pooled_forest.score(&data.table, &test)?, &bad)?);
        own.push(quality(&apart_forest.score(&data.table, &test)?, &bad)?);
        sizes = s;
    }
    println!("{name:<12} {train:<7} {:<22} {}  {sizes:?}", "forest, pooled", against(&together, forest));
    println!("{name:<12} {train:<7} {:<22} {}", "forest, 3 silos", against(&own, forest));
    Ok(())
}

fn margins(parties: &[&Data], cells: usize, population: Population) -> Result<(Margins, usize)> {
    let specs = &parties[0].table.specs;
    let each = |f: &dyn Fn(&Table) -> Result<Vec<f64>>| -> Result<Vec<f64>> {
        parties.iter().map(|d| f(&d.table)).collect::<Result<Vec<_>>>().map(|v| added(&v))
    };
    let grids = grids(specs, &each(&|t| Ok(profile(t, Split::Train)?))?, cells)?;
    let counts = each(&|t| Ok(label_counts(t, &grids)?))?;
    Ok((Margins::new(specs, &grids, &counts, population)?, counts.len()))
}

fn grow(
    options: ForestOptions,
    margins: &Margins,
    parties: &[&Data],
    keys: &[Vec<u64>],
) -> Result<(Forest, Vec<usize>)> {
    let mut plan = ForestPlan::begin(options, margins)?;
    let mut sizes = Vec::new();
    loop {
        sizes.push(plan.layout());
        let counts = parties
            .iter()
            .zip(keys)
            .map(|(d, k)| plan.counts(&d.table, k))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        match plan.absorb(&added(&counts))? {
            Grown::More(next) => plan = *next,
            Grown::Done(forest) => return Ok((forest, sizes)),
        }
    }
}

fn added(vectors: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors[0].len()];
    vectors.iter().for_each(|v| sum.iter_mut().zip(v).for_each(|(s, x)| *s += x));
    sum
}

/// AUROC and AUPRC from rows, and how far a histogram on the agreed grid is from them.
fn quality(scores: &[f64], bad: &[bool]) -> Result<[f64; 4]> {
    let negated: Vec<f64> = scores.iter().map(|s| -s).collect();
    let exact = ScoreHistogram::exact(&negated, bad)?;
    let grid = AnomalyGrid::histogram(scores, bad)?;
    let of = |h: &ScoreHistogram| -> Result<[f64; 2]> { Ok([Ranking::of(h)?.auc, average_precision(h)?]) };
    let (e, g) = (of(&exact)?, of(&grid)?);
    Ok([e[0], e[1], (g[0] - e[0]).abs(), (g[1] - e[1]).abs()])
}

fn against(found: &[[f64; 4]], reference: [f64; 2]) -> String {
    let mean = |k: usize| found.iter().map(|f| f[k]).sum::<f64>() / found.len() as f64;
    let most = |k: usize| found.iter().map(|f| f[k]).fold(0.0, f64::max);
    let mark = |k: usize| if mean(k) < reference[k] - 0.01 { "-" } else { " " };
    format!(
        "{:.4} ({:.3}){} {:.4} ({:.3}){} grid {:.5} {:.5}",
        mean(0),
        reference[0],
        mark(0),
        mean(1),
        reference[1],
        mark(1),
        most(2),
        most(3)
    )
}

impl Data {
    fn silo(&self, silo: usize) -> Data {
        let rows: Vec<usize> = (0..self.ids.len()).filter(|&r| self.silo[r] == silo).collect();
        let pick = |c: &Column| match c {
            Column::Numeric(v) => Column::Numeric(rows.iter().map(|&r| v[r]).collect()),
            Column::Categorical(v) => Column::Categorical(rows.iter().map(|&r| v[r]).collect()),
        };
        let table = Table {
            specs: self.table.specs.clone(),
            columns: self.table.columns.iter().map(pick).collect(),
            label: rows.iter().map(|&r| self.table.label[r]).collect(),
            split: rows.iter().map(|&r| self.table.split[r]).collect(),
            firms: None,
        };
        Data { table, ids: rows.iter().map(|&r| self.ids[r]).collect(), silo: vec![silo; rows.len()] }
    }
}

fn read(folder: &Path, name: &str) -> Result<Data> {
    let open = |file: String| -> Result<csv::Reader<GzDecoder<File>>> {
        Ok(csv::Reader::from_reader(GzDecoder::new(File::open(folder.join(file))?)))
    };
    let mut rows = open(format!("{name}.csv.gz"))?;
    let specs: Vec<ColumnSpec> =
        rows.headers()?.iter().skip(2).map(|n| ColumnSpec { name: n.to_owned(), kind: ColumnKind::Numeric }).collect();
    let (mut ids, mut label) = (Vec::new(), Vec::new());
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); specs.len()];
    for record in rows.records() {
        let record = record?;
        ids.push(record[0].parse()?);
        label.push(&record[1] == "1");
        for (column, field) in values.iter_mut().zip(record.iter().skip(2)) {
            column.push(if field.is_empty() { f64::NAN } else { field.parse()? });
        }
    }
    let (mut split, mut silo) = (Vec::new(), Vec::new());
    for (record, &id) in open(format!("{name}_split.csv.gz"))?.records().zip(&ids) {
        let record = record?;
        if record[0].parse::<u64>()? != id {
            return Err(format!("{name}: the split file has other rows").into());
        }
        split.push(if &record[2] == "train" { Split::Train } else { Split::Test });
        silo.push(record[4].parse()?);
    }
    let columns = values.into_iter().map(Column::Numeric).collect();
    Ok(Data { table: Table { specs, columns, label, split, firms: None }, ids, silo })
}
