//! The scenarios in the folder, as `haihe simulate` runs them.

use std::path::Path;

use haihe_simulations::scenario::{ScenarioOutcome, run_scenario};

fn scenario(name: &str) -> ScenarioOutcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ended = runtime.block_on(run_scenario(&path, |_| {})).unwrap_or_else(|e| panic!("{name}: {e}"));
    println!("{name}: {:.1} s, {:#?}", ended.seconds, ended.figures());
    if let Some(comparison) = &ended.comparison {
        for model in &comparison.models {
            println!("{:24} {:?} {:?} {}", model.name, model.all, model.own.iter().map(|f| f.map(|f| f.auc)).collect::<Vec<_>>(), model.note);
        }
        println!("{:?}\n{:?}", comparison.within, comparison.losers);
    }
    for round in &ended.outcome.rounds {
        println!("{:3} {:3} {:6} {:9} {}", round.round, round.contributors, round.dimension, round.bytes, round.summary.text);
    }
    assert!(ended.misses().is_empty(), "{name}: {:#?}", ended.misses());
    assert!(ended.outcome.remarks.is_empty(), "{name}: {:#?}", ended.outcome.remarks);
    ended
}

#[test]
fn three_banks() {
    scenario("three-banks.toml");
}

#[test]
fn village_banks() {
    scenario("village-banks.toml");
}
