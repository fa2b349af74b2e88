//! `haihe-fuzz-coverage`: the target that `HAIHE_FUZZ_TARGET` names, under libFuzzer. Built by `cargo xtask fuzz`.
#![no_main]

use std::sync::OnceLock;

use haihe_fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn chosen() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("HAIHE_FUZZ_TARGET").unwrap_or_default();
        haihe_fuzz::find(&name).unwrap_or_else(|| panic!("HAIHE_FUZZ_TARGET names no target: {name:?}"))
    })
}

fuzz_target!(|input: &[u8]| (chosen().run)(input));
