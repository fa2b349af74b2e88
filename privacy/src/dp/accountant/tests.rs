use super::*;
use serde::Deserialize;
use std::time::Instant;

#[derive(Deserialize)]
struct Reference {
    rate: f64,
    multiplier: f64,
    count: u64,
    delta: f64,
    pld: f64,
    rdp: f64,
    seconds: f64,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../../../vectors/dp_accounting.json")).expect("a table")
}

fn of(multiplier: f64, rate: f64, count: u64) -> Composition {
    Composition::new(&[(Mechanism::new(multiplier, rate).expect("valid"), count)]).expect("valid")
}

#[test]
fn the_table() {
    for r in references() {
        let start = Instant::now();
        let bounds = of(r.multiplier, r.rate, r.count).epsilon(r.delta).expect("valid");
        println!("{} {} {} {}: {:.5} .. {:.5} ({:.5}, {:.5}) {:.3} s; {} s", r.rate, r.multiplier, r.count, r.delta, bounds.lower, bounds.upper, r.pld, r.rdp, start.elapsed().as_secs_f64(), r.seconds);
    }
}
