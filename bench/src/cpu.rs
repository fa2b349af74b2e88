//! CPU time, and how many cores take part.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// CPU seconds of this process so far: all threads, user and system.
pub fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// CPU seconds of all threads.
    pub cpu: f64,
    /// Seconds on the wall.
    pub wall: f64,
}

/// Does `work` and measures it. Nothing else may run in this process.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, wall) = (seconds(), Instant::now());
    let result = work();
    (result, Cost { cpu: seconds() - cpu, wall: wall.elapsed().as_secs_f64() })
}

/// Does `work` on one core: whatever asks for the number of cores is told one, so that CPU seconds add up.
pub fn on_one_core<T>(work: impl FnOnce() -> T) -> Result<T> {
    let all = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    if let Some(core) = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)) {
        one.set(core);
    }
    sched_setaffinity(None, &one)?;
    let result = work();
    sched_setaffinity(None, &all)?;
    Ok(result)
}

/// Least and median.
pub fn summary(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    (values.first().copied().unwrap_or(f64::NAN), values.get(values.len() / 2).copied().unwrap_or(f64::NAN))
}
