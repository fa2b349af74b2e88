//! Times the plain networks on made-up rows: `cargo run -p haihe-models --example network_speed`.
#![allow(clippy::expect_used, reason = "a program to look at")]

use std::time::Instant;

use haihe_models::network::{Activation, Architecture, Examples, Learner, LocalTraining, Optimiser, Plain};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const ROWS: usize = 21_000;
const WIDTH: usize = 23;

fn main() {
    let examples = rows(WIDTH, &[]);
    let relu = Activation::Relu;
    let networks = [
        ("logistic 23", Architecture::Logistic { inputs: WIDTH }),
        ("mlp 23-64-32-1", Architecture::Mlp { inputs: WIDTH, hidden: vec![64, 32], activation: relu }),
        ("mlp tanh", Architecture::Mlp { inputs: WIDTH, hidden: vec![64, 32], activation: Activation::Tanh }),
        (
            "autoencoder 23-16-8-4",
            Architecture::Autoencoder { inputs: WIDTH, hidden: vec![16, 8, 4], activation: relu },
        ),
        ("mlp 23-256-256-1", Architecture::Mlp { inputs: WIDTH, hidden: vec![256, 256], activation: relu }),
    ];
    for (name, architecture) in networks {
        let start = architecture.initial(1);
        let mut plain = Plain::new(architecture).expect("a small network");
        let mut print = |what: &str, run: &mut dyn FnMut(&mut Plain)| {
            println!("{name:<22} {what:<22} {:8.2} ms", fastest(|| run(&mut plain)));
        };
        for (what, optimiser, batch_rows) in [
            ("epoch, sgd, 256", Optimiser::default(), 256),
            ("epoch, adam, 256", Optimiser::Adam, 256),
            ("epoch, adam, 32", Optimiser::Adam, 32),
        ] {
            let options = LocalTraining { optimiser, batch_rows, ..LocalTraining::default() };
            print(what, &mut |p| drop(p.train(&start, &examples, &options, None, 7).expect("finite")));
        }
        print("predict", &mut |p| drop(p.predict(&start, &examples).expect("finite")));
        print("clipped, rows", &mut |p| drop(p.clipped_gradients(&start, &examples, None, 1.0).expect("finite")));
        let firms: Vec<u32> = (0..ROWS as u32).map(|r| r % 5000).collect();
        print("clipped, firms of 4", &mut |p| {
            drop(p.clipped_gradients(&start, &examples, Some(&firms), 1.0).expect("finite"));
        });
    }
    let lstm = Architecture::Lstm { steps: 12, channels: 8, statics: 15, hidden: 32, head: vec![32] };
    let lengths: Vec<u32> = (0..ROWS as u32).map(|r| r % 13).collect();
    let (examples, start) = (rows(lstm.inputs(), &lengths), lstm.initial(1));
    let mut plain = Plain::forward_only(lstm).expect("a small network");
    let took = fastest(|| drop(plain.predict(&start, &examples).expect("finite")));
    println!("{:<22} {:<22} {took:8.2} ms", "lstm 12 x 8, 32", "predict");
}

/// Milliseconds of the fastest of some runs.
fn fastest(mut run: impl FnMut()) -> f64 {
    let once = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..9).map(once).fold(f64::INFINITY, f64::min)
}

fn rows(width: usize, lengths: &[u32]) -> Examples {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut unit = || rng.next_u32() as f32 / u32::MAX as f32;
    let x: Vec<f32> = (0..ROWS * width).map(|_| 4.0 * unit() - 2.0).collect();
    let y = x.chunks_exact(width).map(|row| f32::from(row[0] + row[1] + unit() > 1.0)).collect();
    Examples { width, x, y, lengths: lengths.to_vec() }
}
