use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::{
    horizontal::{JobResult, Next, Plan, Rows},
    id::PartyId,
    job::JobSpec,
};
use std::{io::Read, path::Path, sync::Arc, time::Instant};

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
    z ^ (z >> 31)
}
fn read(path: &Path) -> (Vec<String>, Vec<Vec<f64>>) {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("file")).read_to_string(&mut text).expect("text");
    let mut lines = text.lines();
    let head: Vec<String> = lines.next().expect("head").split(',').map(str::to_owned).collect();
    let rows = lines.map(|l| l.split(',').map(|v| v.parse().unwrap_or(f64::NAN)).collect()).collect();
    (head, rows)
}
fn learn(spec: &JobSpec, tables: &[Arc<Table>]) -> JobResult {
    let parties: Vec<PartyId> = (0..tables.len()).map(|i| PartyId::new(&format!("p{i}")).expect("id")).collect();
    let mut memories: Vec<Option<Vec<u8>>> = vec![None; tables.len()];
    let mut plan = Plan::begin(spec);
    loop {
        let mut sum: Vec<f64> = Vec::new();
        for (i, t) in tables.iter().enumerate() {
            let d = plan
                .perform(
                    spec,
                    &Rows { table: t, party: i as u32, parties: tables.len() as u32, memory: memories[i].as_deref() },
                )
                .expect("perform");
            if d.memory.is_some() {
                memories[i] = d.memory;
            }
            if sum.is_empty() { sum = d.vector } else { sum.iter_mut().zip(&d.vector).for_each(|(s, v)| *s += v) }
        }
        let (s, next) = plan.absorb(spec, &sum, &parties).expect("absorb");
        if std::env::var("V").is_ok() {
            println!("{} {}", s.step, s.text);
        }
        match next {
            Next::Continue(p) => plan = *p,
            Next::Finished(j) => return JobResult::read(spec, &j).expect("kind").expect("json"),
        }
    }
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (file, head) = (Path::new(&args[1]), &args[2]);
    let toml = std::fs::read_to_string(head).expect("toml");
    let (names, rows) = read(file);
    let skip = ["id", "y", "silo", "bank_id", "term", "approval_fy"];
    let cols: Vec<usize> = (0..names.len())
        .filter(|&i| !skip.contains(&names[i].as_str()) && !rows.iter().take(200).all(|r| r[i].is_nan()))
        .collect();
    let at = |n: &str| names.iter().position(|x| x == n).expect(n);
    let (id, y) = (at("id"), at("y"));
    let specs: Vec<ColumnSpec> =
        cols.iter().map(|&i| ColumnSpec { name: names[i].clone(), kind: ColumnKind::Numeric }).collect();
    let make = |keep: &dyn Fn(&Vec<f64>) -> bool| -> Arc<Table> {
        let kept: Vec<&Vec<f64>> = rows.iter().filter(|r| keep(r)).collect();
        Arc::new(Table {
            specs: specs.clone(),
            columns: cols.iter().map(|&c| Column::Numeric(kept.iter().map(|r| r[c]).collect())).collect(),
            label: kept.iter().map(|r| r[y] > 0.5).collect(),
            split: kept.iter().map(|r| if mix(r[id] as u64) % 10 < 7 { Split::Train } else { Split::Test }).collect(),
            firms: None,
        })
    };
    let n: usize = args.get(3).map_or(3, |v| v.parse().expect("parties"));
    let silo = |r: &Vec<f64>| {
        let s = mix(r[id] as u64 + 1000003) % 10;
        if n == 3 {
            if s < 6 {
                0
            } else if s < 9 {
                1
            } else {
                2
            }
        } else {
            (mix(r[id] as u64 + 77) % n as u64) as usize
        }
    };
    let columns: String =
        specs.iter().map(|s| format!("[[data.columns]]\nname = \"{}\"\nkind = \"numeric\"\n", s.name)).collect();
    for seed in 1..=args.get(4).map_or(1u64, |v| v.parse().expect("seeds")) {
        let job = |n: usize| {
            let parties: Vec<String> = (0..n.max(3)).map(|i| format!("\"p{i}\"")).collect();
            let text = format!(
                "[job]\nname = \"x\"\nparties = [{}]\n[data]\nview = \"v\"\nkey = \"id\"\nlabel = \"y\"\n{columns}\n{}",
                parties.join(","),
                toml.replace("SEED", &seed.to_string())
            );
            JobSpec::parse(&text)
                .unwrap_or_else(|p| panic!("{:?}", p.iter().map(ToString::to_string).collect::<Vec<_>>()))
        };
        let show = |what: &str, r: &JobResult, t: Instant| match r {
            JobResult::Network(r) => println!(
                "{seed} {what}: AUC {:.4} KS {:.4} best {} of {} ({:.1} s)",
                r.evaluation.test.ranking.unwrap().auc,
                r.evaluation.test.ranking.unwrap().ks,
                r.network.best_round,
                r.network.history.len(),
                t.elapsed().as_secs_f64()
            ),
            JobResult::Anomaly(r) => println!(
                "{seed} {what}: AUROC {:.4} AP {:.4} ({:.1} s)",
                r.test.ranking.unwrap().auc,
                r.test.average_precision.unwrap(),
                t.elapsed().as_secs_f64()
            ),
            _ => {}
        };
        let t = Instant::now();
        show("pooled", &learn(&job(1), &[make(&|_| true)]), t);
        let t = Instant::now();
        show("federated", &learn(&job(n), &(0..n).map(|i| make(&|r| silo(r) == i)).collect::<Vec<_>>()), t);
    }
}
