//! What one encrypted product `X^T d` costs each side, and its bytes: the time per sample and feature, single-threaded; the
//! best and the lower quartile of the repetitions, since other programs on the machine only ever add.
//!
//! `cargo run -p haihe-privacy --example linear`

use haihe_privacy::Digest;
use haihe_privacy::linear::{
    EncodedMatrix, EncryptedVector, KeyPair, LinearParameters, Masking, Tiling, centre, multiply, unmask,
};
use std::error::Error;
use std::num::NonZeroUsize;
use std::time::Instant;

const REPETITIONS: usize = 41;
const LARGEST_ENTRY: u32 = (1 << 15) - 1;

fn main() -> Result<(), Box<dyn Error>> {
    for (rows, columns) in [(2_000, 10), (21_000, 10), (21_000, 13), (100_000, 20), (21_000, 64)] {
        measure(rows, columns)?;
    }
    Ok(())
}

fn measure(rows: usize, columns: usize) -> Result<(), Box<dyn Error>> {
    let tiling = Tiling::choose(rows, &[columns])?;
    let bound = LinearParameters::largest_multiplier(rows, LARGEST_ENTRY);
    let parameters = LinearParameters::new(tiling, LARGEST_ENTRY, bound)?;
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64
    };
    let span = i64::from(LARGEST_ENTRY);
    let column = |_| (0..rows).map(|_| (next() % (2 * span + 1) - span) as i32).collect();
    let x: Vec<Vec<i32>> = (0..columns).map(column).collect();
    let d: Vec<i64> = (0..rows).map(|_| next() % (2 * bound as i64 + 1) - bound as i64).collect();

    let keys = KeyPair::derive(&[1; 32]);
    let mut times: [Vec<f64>; 6] = Default::default();
    for repetition in 0..REPETITIONS {
        let context = Digest::from_bytes([repetition as u8; 32]);
        let (vector, encrypt) = timed(|| keys.encrypt(&parameters, &d, &context));
        let bytes = vector?.to_bytes();
        let (vector, read) = timed(|| EncryptedVector::from_bytes(&parameters, &context, &bytes));
        let vector = vector?;
        let (matrix, encode) = timed(|| EncodedMatrix::new(&parameters, &x, usize::MAX));
        let (cached, cold) = (matrix?, EncodedMatrix::new(&parameters, &x, 0)?);
        let seed = [repetition as u8; 32];
        let run = |matrix| multiply(matrix, &vector, keys.public_key(), &seed, Masking::Uniform, NonZeroUsize::MIN);
        let (first, cached) = timed(|| run(&cached));
        let (second, cold) = timed(|| run(&cold));
        let (response, masks) = first?;
        assert_eq!(response, second?.0);
        let (values, decrypt) = timed(|| keys.decrypt(&response));
        for ((value, mask), x) in values.into_iter().zip(masks).zip(&x) {
            let expected: i64 = x.iter().zip(&d).map(|(&x, &d)| i64::from(x) * d).sum();
            assert_eq!(centre(unmask(value, mask)), expected);
        }
        times.iter_mut().zip([encrypt, read, encode, cached, cold, decrypt]).for_each(|(times, time)| times.push(time));
    }
    println!(
        "{rows} x {columns}: block {}, |d| up to {bound}, flood by {} bits",
        tiling.block(),
        parameters.flooding_bits()
    );
    let names = ["encrypt", "read", "encode", "multiply, cached", "multiply, cold", "decrypt"];
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let per = |time: f64| time * 1e9 / (rows * columns) as f64;
        let (best, quartile) = (times[0], times[REPETITIONS / 4]);
        println!("  {name:<18} {:>8.2} ms {:>8.2} ns {:>8.2} ns", best * 1e3, per(best), per(quartile));
    }
    println!("  bytes: {} and back {}", tiling.vector_bytes(), tiling.response_bytes(columns));
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}
