//! What the group of the private set intersection costs: microseconds for an item hashed and raised, and for a point
//! raised, with every engine of this machine, on one thread.
//!
//! `cargo run --release -p haihe-privacy --example align_group`. The least of several repetitions is printed, since
//! others may be using the machine.

use haihe_privacy::Digest;
use haihe_privacy::align::group::{BadPoint, Engine, Exponent};
use std::num::NonZeroUsize;
use std::time::Instant;

const ITEMS: u64 = 1024;
const REPETITIONS: usize = 60;

fn main() -> Result<(), BadPoint> {
    let one = NonZeroUsize::MIN;
    let domain = Digest::of_content(b"a benchmark");
    let (ours, theirs) = (Exponent::derive(&[1; 32]), Exponent::derive(&[2; 32]));
    let items: Vec<_> = (0..ITEMS).map(|i| format!("91350211M{i:09}")).collect();
    println!(
        "{:<8} {:>18} {:>10} {:>40}",
        "engine", "hash and raise us", "raise us", "item and side of a two-party run us"
    );
    for engine in Engine::available() {
        let (mut hash_and_raise, mut raise) = (f64::MAX, f64::MAX);
        let mut points = Vec::new();
        for _ in 0..REPETITIONS {
            let start = Instant::now();
            engine.hash_and_raise(&domain, &items, &ours, one, &mut points);
            hash_and_raise = hash_and_raise.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            engine.raise(&mut points, &theirs, one)?;
            raise = raise.min(start.elapsed().as_secs_f64());
        }
        let each = |seconds: f64| seconds * 1e6 / ITEMS as f64;
        let both = each(hash_and_raise + raise);
        println!("{:<8} {:>18.2} {:>10.2} {both:>40.2}", engine.name(), each(hash_and_raise), each(raise));
    }
    Ok(())
}
