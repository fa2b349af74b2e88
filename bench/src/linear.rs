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

/// The samples and features for which the references are compared.
const COMPARED: (usize, usize) = (21_000, 10);

/// Runs everything and publishes `linear.json`.
pub fn run(quick: bool) -> Result<()> {
    let mut rows = Rows::default();
    let mut cached = 0.0;
    for (samples, features) in [(2_000, 10), (21_000, 10), (21_000, 13), (21_000, 64), (100_000, 20)] {
        let time = ours(&mut rows, samples, features, if quick { 5 } else { 31 })?;
        if (samples, features) == COMPARED {
            cached = time;
        }
    }
    for (name, time) in references(&mut rows, if quick { 1 } else { 5 }) {
        let params = [("n", COMPARED.0 as u64), ("features", COMPARED.1 as u64)];
        rows.push(format!("{name} / multiply, cached"), &params, time / cached, "times");
    }
    rows.publish("linear")
}

/// Every step's time; returns that of the product, in ns for a sample and a feature.
fn ours(rows: &mut Rows, samples: usize, features: usize, repetitions: usize) -> Result<f64> {
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
    let times = times.map(|seconds| seconds * 1e9 / (samples * features) as f64);
    for (name, time) in names.into_iter().zip(times) {
        rows.push(name, &params, time, "ns/sample-feature");
    }
    rows.push("encrypted vector", &params, tiling.vector_bytes() as f64, "B");
    rows.push("response", &params, tiling.response_bytes(features) as f64, "B");
    rows.push("flood beyond the noise", &params, parameters.flooding_bits().into(), "bit");
    Ok(times[3])
}

/// Products with few samples: their time is the same for each.
fn references(rows: &mut Rows, repetitions: usize) -> Vec<(String, f64)> {
    let mut random = SecretStream::new(&[1; 32], 1);
    let x: Vec<u16> = (0..4096).map(|_| random.next_u32() as u16).collect();
    let r: Vec<Uint<32>> = (0..8).map(|_| Uint::from_words(std::array::from_fn(|_| random.next_u64()))).collect();
    let (paillier, okamoto) = (Paillier::new(), OkamotoUchiyama::new());
    let few: Vec<_> = r.iter().zip(&x).map(|(r, &x)| paillier.encrypt(x.into(), r)).collect();
    let of_okamoto: Vec<_> = r.iter().zip(&x).map(|(r, &x)| okamoto.encrypt(x.into(), r)).collect();
    let [encrypt, decrypt, of_okamoto_encrypt, of_okamoto_decrypt] = interleaved(
        repetitions,
        [
            &mut || {
                black_box(paillier.encrypt(x[0].into(), &r[0]));
            },
            &mut || {
                black_box(paillier.decrypt(&few[0]));
            },
            &mut || {
                black_box(okamoto.encrypt(x[0].into(), &r[0]));
            },
            &mut || {
                black_box(okamoto.decrypt(&of_okamoto[0]));
            },
        ],
    );
    rows.push("Paillier-2048, encrypt with CRT", &[], encrypt * 1e9, "ns/sample");
    rows.push("Paillier-2048, decrypt with CRT", &[], decrypt * 1e9, "ns/feature");
    rows.push("Okamoto-Uchiyama-2048, encrypt", &[], of_okamoto_encrypt * 1e9, "ns/sample");
    rows.push("Okamoto-Uchiyama-2048, decrypt", &[], of_okamoto_decrypt * 1e9, "ns/feature");
    let mut products = reference_products(rows, "Paillier-2048", &few, &x, repetitions);
    products.extend(reference_products(rows, "Okamoto-Uchiyama-2048", &of_okamoto, &x, repetitions));
    products
}

fn reference_products<const LIMBS: usize>(
    rows: &mut Rows,
    name: &str,
    few: &[Ciphertext<LIMBS>],
    x: &[u16],
    repetitions: usize,
) -> Vec<(String, f64)> {
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
    let named = [("powers", powers), ("buckets", buckets)].into_iter().zip(times).map(|((how, samples), seconds)| {
        let (name, time) = (format!("{name}, product by {how}"), seconds * 1e9 / samples as f64);
        rows.push(&*name, &[("n", samples as u64)], time, "ns/sample-feature");
        (name, time)
    });
    named.collect()
}
