//! Without faults.

use haihe_simulations::simulation::SimulationOptions;

use crate::support::{finished, job, plain, tables};

#[test]
fn quick() {
    let t = std::time::Instant::now();
    let o = finished(&job(3, ""), &tables(3, 200), plain(1, vec![]));
    println!(
        "{:?} rounds {} messages {} virtual {} journal {}",
        t.elapsed(),
        o.rounds.len(),
        o.messages,
        o.virtual_ms,
        o.journal.len()
    );
    println!("{:#?} {:?} {:?}", o.rounds.iter().map(|r| &r.summary.text).collect::<Vec<_>>(), o.remarks, o.traffic);
    let t = std::time::Instant::now();
    let o2 = finished(&job(3, ""), &tables(3, 200), plain(1, vec![]));
    println!("{:?}", t.elapsed());
    assert_eq!(o.tip, o2.tip);
    let t = std::time::Instant::now();
    let o3 = finished(&job(3, ""), &tables(3, 200), SimulationOptions::new(1));
    println!("lattice {:?}", t.elapsed());
    assert_eq!(o.result_json, o3.result_json);
}
