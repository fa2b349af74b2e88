//! Times networks on libtorch beside plain ones, on made-up rows:
//! `cargo run -p haihe-models --features torch --example torch_speed -- lstm`, or `mlp`. One network a run, as the last line is the
//! most memory that the process has held.
#![allow(clippy::expect_used, reason = "a program to look at")]

use std::time::Instant;

use haihe_models::network::{Activation, Architecture, Examples, Learner, LocalTraining, Optimiser, Plain, Torch};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const ROWS: usize = 21_000;

fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    let architecture = match which.as_str() {
        "mlp" => Architecture::Mlp { inputs: 23, hidden: vec![64, 32], activation: Activation::Relu },
        _ => Architecture::Lstm { steps: 6, channels: 3, statics: 5, hidden: 32, head: vec![32] },
    };
    println!("{architecture:?}, {} parameters, {ROWS} rows", architecture.parameters());
    let examples = rows(&architecture);
    println!("{:<40} {:8} MiB", "before libtorch", peak());
    let torch = Torch::new(architecture.clone()).expect("a small network");
    time("torch", torch, &examples);
    if let Ok(plain) = Plain::new(architecture) {
        time("plain", plain, &examples);
    }
    println!("{:<40} {:8} MiB", "peak memory", peak());
}

fn time(name: &str, mut learner: impl Learner, examples: &Examples) {
    let start = learner.architecture().initial(1);
    for (what, optimiser, batch_rows) in [
        ("epoch, sgd, 256", Optimiser::default(), 256),
        ("epoch, adam, 256", Optimiser::Adam, 256),
        ("epoch, adam, 32", Optimiser::Adam, 32),
    ] {
        let options = LocalTraining { optimiser, batch_rows, ..LocalTraining::default() };
        print(name, what, || drop(learner.train(&start, examples, &options, None, 7).expect("finite")));
    }
    print(name, "predict", || drop(learner.predict(&start, examples).expect("finite")));
    print(name, "clipped, rows", || drop(learner.clipped_gradients(&start, examples, None, 1.0).expect("finite")));
}

/// Milliseconds of the fastest of some runs.
fn print(name: &str, what: &str, mut run: impl FnMut()) {
    let once = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64() * 1e3
    };
    println!("{name:<10} {what:<29} {:8.1} ms", (0..5).map(once).fold(f64::INFINITY, f64::min));
}

/// The most memory that this process has held, in MiB, as Linux tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn rows(architecture: &Architecture) -> Examples {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut unit = || rng.next_u32() as f32 / u32::MAX as f32;
    let width = architecture.inputs();
    let x: Vec<f32> = (0..ROWS * width).map(|_| 4.0 * unit() - 2.0).collect();
    let y = x.chunks_exact(width).map(|row| f32::from(row[0] + row[1] + unit() > 1.0)).collect();
    let lengths = match architecture {
        Architecture::Lstm { steps, .. } => (0..ROWS).map(|row| (row % (steps + 1)) as u32).collect(),
        _ => Vec::new(),
    };
    Examples { width, x, y, lengths }
}
