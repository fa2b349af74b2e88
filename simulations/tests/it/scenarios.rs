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

#[test]
fn mlp_default_credit() {
    scenario("mlp-default-credit.toml");
}

#[test]
fn an_lstm_without_libtorch_is_refused_with_what_to_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/lstm-default-credit.toml");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ran = runtime.block_on(run_scenario(&path, |_| {}));
    if haihe_models::network::learner::HAS_TORCH {
        assert!(ran.is_ok_and(|ended| ended.misses().is_empty()));
    } else {
        let error = ran.expect_err("no libtorch").to_string();
        assert!(error.contains("cargo xtask libtorch"), "{error}");
    }
}
