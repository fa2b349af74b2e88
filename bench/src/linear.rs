//! The linear kernel of vertical training: `X^T d` with `d` encrypted, each side's time for a sample and a feature, and
//! bytes; beside Paillier and Okamoto-Uchiyama on the same machine in the same run.

use crate::paillier::{Ciphertext, OkamotoUchiyama, Paillier, product_by_buckets, product_of_powers};
use crate::rows::{Rows, interleaved};
use anyhow::Result;
use crypto_bigint::Uint;
use haihe_privacy::Digest;
use haihe_privacy::linear::{EncodedMatrix, EncryptedVector, KeyPair, LinearParameters, Masking, Tiling, multiply};
use haihe_privacy::prg::SecretStream;
use rand::Rng;
use std::hint::black_box;
use std::num::NonZeroUsize;

/// Entries have 16 bits, with their sign.
const LARGEST_ENTRY: u32 = (1 << 15) - 1;

/// Runs everything and publishes `linear.json`.
pub fn run(quick: bool) -> Result<()> {
    let mut rows = Rows::default();
    for (samples, features) in [(2_000, 10), (21_000, 10), (21_000, 13), (21_000, 64), (100_000, 20)] {
        ours(&mut rows, samples, features, if quick { 5 } else { 31 })?;
    }
    references(&mut rows, if quick { 1 } else { 5 });
    rows.publish("linear")
}

fn ours(rows: &mut Rows, samples: usize, features: usize, repetitions: usize) -> Result<()> {
    let tiling = Tiling::choose(samples, &[features])?;
    let bound = LinearParameters::largest_multiplier(samples, LARGEST_ENTRY);
    let parameters = LinearParameters::new(tiling, LARGEST_ENTRY, bound)?;
    let mut random = SecretStream::new(&[1; 32], 0);
    let mut within = |bound: u64| (random.next_u64() % (2 * bound + 1)) as i64 - bound as i64;
    let x: Vec<Vec<i32>> =
        (0..features).map(|_| (0..samples).map(|_| within(LARGEST_ENTRY.into()) as i32).collect()).collect();
    let d: Vec<i64> = (0..samples).map(|_| within(bound)).collect();

    let keys = KeyPair::derive(&[1; 32]);
    let context = Digest::from_bytes([2; 32]);
    let bytes = keys.encrypt(&parameters, &d, &context)?.to_bytes();
    let vector = EncryptedVector::from_bytes(&parameters, &context, &bytes)?;
    let (cached, cold) = (EncodedMatrix::new(&parameters, &x, usize::MAX)?, EncodedMatrix::new(&parameters, &x, 0)?);
    let product = |matrix, threads| {
        multiply(matrix, &vector, keys.public_key(), &[3; 32], Masking::Uniform, threads).expect("the same parameters")
    };
    let response = product(&cached, NonZeroUsize::MIN).0;
    let two = NonZeroUsize::MIN.saturating_add(1);
    let times = interleaved(
        repetitions,
        [
            &mut || drop(black_box(keys.encrypt(&parameters, &d, &context).expect("valid").to_bytes())),
            &mut || drop(black_box(EncryptedVector::from_bytes(&parameters, &context, &bytes).expect("valid"))),
            &mut || drop(black_box(EncodedMatrix::new(&parameters, &x, usize::MAX).expect("valid"))),
            &mut || drop(black_box(product(&cached, NonZeroUsize::MIN))),
            &mut || drop(black_box(product(&cold, NonZeroUsize::MIN))),
            &mut || drop(black_box(product(&cached, two))),
            &mut || drop(black_box(keys.decrypt(&response))),
        ],
    );
    let params = [("n", samples as u64), ("features", features as u64), ("block", tiling.block() as u64)];
    let names =
        ["encrypt", "read", "encode", "multiply, cached", "multiply, cold", "multiply, cached, 2 threads", "decrypt"];
    for (name, seconds) in names.into_iter().zip(times) {
        rows.push(name, &params, seconds * 1e9 / (samples * features) as f64, "ns/sample-feature");
    }
    rows.push("encrypted vector", &params, tiling.vector_bytes() as f64, "B");
    rows.push("response", &params, tiling.response_bytes(features) as f64, "B");
    rows.push("flood beyond the noise", &params, parameters.flooding_bits().into(), "bit");
    Ok(())
}

/// Products with few samples: their time is the same for each.
fn references(rows: &mut Rows, repetitions: usize) {
    let mut random = SecretStream::new(&[1; 32], 1);
    let x: Vec<u16> = (0..4096).map(|_| random.next_u32() as u16).collect();
    let r: Vec<Uint<32>> = (0..8).map(|_| Uint::from_words(std::array::from_fn(|_| random.next_u64()))).collect();
    let (paillier, okamoto) = (Paillier::new(), OkamotoUchiyama::new());
    let few: Vec<_> = r.iter().zip(&x).map(|(r, &x)| paillier.encrypt(x.into(), r)).collect();
    let of_okamoto: Vec<_> = r.iter().zip(&x).map(|(r, &x)| okamoto.encrypt(x.into(), r)).collect();
    let [encrypt, decrypt] = interleaved(
        repetitions,
        [
            &mut || {
                black_box(paillier.encrypt(x[0].into(), &r[0]));
            },
            &mut || {
                black_box(paillier.decrypt(&few[0]));
            },
        ],
    );
    rows.push("Paillier-2048, encrypt with CRT", &[], encrypt * 1e9, "ns/sample");
    rows.push("Paillier-2048, decrypt with CRT", &[], decrypt * 1e9, "ns/feature");
    reference_products(rows, "Paillier-2048", &few, &x, repetitions);
    reference_products(rows, "Okamoto-Uchiyama-2048", &of_okamoto, &x, repetitions);
}

fn reference_products<const LIMBS: usize>(
    rows: &mut Rows,
    name: &str,
    few: &[Ciphertext<LIMBS>],
    x: &[u16],
    repetitions: usize,
) {
    let d: Vec<_> = few.iter().copied().cycle().take(x.len()).collect();
    let (powers, buckets) = (256, x.len());
    let times = interleaved(
        repetitions,
        [
            &mut || {
                black_box(product_of_powers(&d[..powers], &x[..powers]));
            },
            &mut || {
                black_box(product_by_buckets(&d, x));
            },
        ],
    );
    for ((how, samples), seconds) in [("powers", powers), ("buckets", buckets)].into_iter().zip(times) {
        let params = [("n", samples as u64)];
        rows.push(format!("{name}, product by {how}"), &params, seconds * 1e9 / samples as f64, "ns/sample-feature");
    }
}
