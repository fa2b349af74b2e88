//! Samples of the discrete Gaussian: ours beside `prio`'s, which does the same law in big integers.

use crate::rows::{Rows, interleaved};
use anyhow::{Context, Result};
use haihe_privacy::dp::DiscreteGaussian;
use haihe_privacy::prg::SecretStream;
use prio::dp::{Rational, distributions};
use rand::distr::Distribution;
use std::hint::black_box;

/// Runs the benchmark; `quick` takes fewer repetitions.
pub fn run(quick: bool) -> Result<()> {
    let mut rows = Rows::default();
    let (repetitions, ours_at_once, theirs_at_once) = if quick { (5, 100_000, 300) } else { (21, 1_000_000, 2_000) };
    for sigma in [8u32, 1_000, 100_000, 10_000_000] {
        let law = DiscreteGaussian::new(sigma, 1)?;
        let std = Rational::from_unsigned(sigma, 1).context("sigma is a ratio")?;
        let reference = distributions::DiscreteGaussian::new(std).context("sigma is not zero")?;
        let mut samples = vec![0i64; ours_at_once];
        let (mut stream, mut other) = (SecretStream::new(&[1; 32], 0), SecretStream::new(&[1; 32], 1));
        let [ours, theirs] = interleaved(
            repetitions,
            [
                &mut || {
                    law.fill(&mut samples, &mut stream);
                    black_box(&samples);
                },
                &mut || {
                    for _ in 0..theirs_at_once {
                        black_box(reference.sample(&mut other));
                    }
                },
            ],
        );
        let (ours, theirs) = (ours * 1e9 / ours_at_once as f64, theirs * 1e9 / theirs_at_once as f64);
        let params = [("sigma", u64::from(sigma))];
        rows.push("discrete Gaussian", &params, ours, "ns/sample");
        rows.push("discrete Gaussian, prio", &params, theirs, "ns/sample");
        rows.push("prio / ours", &params, theirs / ours, "times");
    }
    rows.publish("noise")
}
