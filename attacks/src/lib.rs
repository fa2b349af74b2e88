//! Attacks on what the parties of a job send, with the numbers that they reach.
//!
//! What is attacked are the product's own vectors, quantised, encrypted and noised by its own code, on real loans of real
//! lenders ([`town`]). Three attacks: reconstruction of firms ([`inversion`]), membership of a firm ([`membership`]), lone firms
//! in fine cells ([`cells`]); and what a ciphertext tells ([`ciphertext`]). Vertical jobs have attacks of their own ([`vertical`]). Every one has a view on which it must succeed, else
//! its failure elsewhere would say nothing.
//!
//! `docs/security/attacks.md` says who the attackers are and what was not tried. All figures follow from one seed.
#![deny(missing_docs)]

pub mod cells;
pub mod ciphertext;
pub mod inversion;
pub mod membership;
pub mod report;
pub mod stats;
pub mod town;
pub mod vertical;

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// All figures follow from it.
    pub seed: u64,
    /// Fewer trials.
    pub quick: bool,
}

impl Settings {
    /// One of two numbers.
    pub fn trials(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// The generator of one named part: parts may run in any order.
pub fn seeded(seed: u64, part: &str) -> ChaCha8Rng {
    let digest = haihe_privacy::Transcript::new("haihe/v1/attacks").u64(seed).str(part).finish();
    ChaCha8Rng::from_seed(*digest.as_bytes())
}

/// Standard normal (Box and Muller 1958).
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * core::f64::consts::PI * v)
}

/// Runs the jobs on all cores; results in the order of the jobs.
pub fn parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
                {
                    let result = work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
