//! The scenarios in the folder, as `haihe simulate` runs them.

use std::path::Path;

use haihe_simulations::scenario::{ScenarioOutcome, run_scenario};

fn scenario(name: &str) -> ScenarioOutcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ended = runtime.block_on(run_scenario(&path, |_| {})).unwrap_or_else(|e| panic!("{name}: {e}"));
    println!("{name}: {:.1} s, {:#?}", ended.seconds, ended.figures());
    assert!(ended.misses().is_empty(), "{name}: {:#?}", ended.misses());
    let calm = ended.scenario.faults.is_empty();
    assert!(!calm || ended.outcome.remarks.is_empty(), "{name}: {:#?}", ended.outcome.remarks);
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

#[test]
fn bad_day() {
    scenario("bad-day.toml");
}
