//! Exactness at the limits, over random shapes, and what would be seen without the parts that hide the matrix.

use super::keys::expand_element;
use super::parameters::{ELEMENT, ELEMENT_BYTES, LIMBS, RESPONSE_BYTES, SECRET_NORM, decryption_noise};
use super::product::{Hiding, Product, Scratch};
use super::switch::{self, Constants, constants};
use super::*;
use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use crate::ring::kernels::{inverse_mod, mul_mod};
use crate::ring::{PRIMES, security};
use crate::wire::WireError;
use rand_core::Rng;
use std::num::NonZeroUsize;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

fn random(seed: u64) -> SecretStream {
    SecretStream::new(&[9; 32], seed)
}

/// A number of `[-bound, bound]`.
fn within(bound: u64, random: &mut SecretStream) -> i64 {
    (random.next_u64() % (2 * bound + 1)) as i64 - bound as i64
}

fn matrix(rows: usize, columns: usize, bound: u32, random: &mut SecretStream) -> Vec<Vec<i32>> {
    (0..columns).map(|_| (0..rows).map(|_| within(bound.into(), random) as i32).collect()).collect()
}

fn plain(columns: &[Vec<i32>], d: &[i64]) -> Vec<i64> {
    columns.iter().map(|x| x.iter().zip(d).map(|(&x, &d)| i64::from(x) * d).sum()).collect()
}

/// The whole way, through bytes.
fn whole_way(parameters: &LinearParameters, x: &[Vec<i32>], d: &[i64], masking: Masking, memory: usize) -> Vec<i64> {
    let keys = KeyPair::derive(&[1; 32]);
    let context = Transcript::new("test").u64(d.len() as u64).finish();
    let sent = keys.encrypt(parameters, d, &context).expect("within the bounds").to_bytes();
    assert_eq!(sent.len(), parameters.tiling().vector_bytes());
    let vector = EncryptedVector::from_bytes(parameters, &context, &sent).expect("valid");
    let key = PublicKey::from_bytes(&keys.public_key().to_bytes()).expect("valid");
    assert_eq!(&key, keys.public_key());
    let encoded = EncodedMatrix::new(parameters, x, memory).expect("within the bounds");
    let (response, masks) = multiply(&encoded, &vector, &key, &[2; 32], masking, ONE).expect("the same parameters");
    let bytes = response.to_bytes();
    assert_eq!(bytes.len(), parameters.tiling().response_bytes(x.len()));
    let response = Response::from_bytes(parameters, x.len(), &bytes).expect("valid");
    let values = keys.decrypt(&response).into_iter().zip(masks);
    values.map(|(value, mask)| centre(unmask(value, mask))).collect()
}

#[test]
fn products_of_random_shapes_are_exact() {
    for case in 0..40u64 {
        let mut random = random(case);
        let block = 1 << (random.next_u64() % 14);
        // Many small blocks are slow, and no different from few.
        let most = (40 * block).min(40_000) as u64;
        let (rows, columns) = (1 + (random.next_u64() % most) as usize, 1 + (random.next_u64() % 30) as usize);
        let entry = 1 + (random.next_u64() % (1 << (random.next_u64() % 20))) as u32;
        let multiplier = 1 + random.next_u64() % LinearParameters::largest_multiplier(rows, entry);
        let tiling = Tiling::new(rows, block).expect("a power of two");
        let parameters = LinearParameters::new(tiling, entry, multiplier).expect("within the bounds");
        let x = matrix(rows, columns, entry, &mut random);
        let d: Vec<i64> = (0..rows).map(|_| within(multiplier, &mut random)).collect();
        let memory = (random.next_u64() % 4) as usize * tiling.blocks() * ELEMENT * 8;
        let masking = if case % 4 == 0 { Masking::None } else { Masking::Uniform };
        let result = whole_way(&parameters, &x, &d, masking, memory);
        assert_eq!(result, plain(&x, &d), "case {case}: {rows} rows, {columns} columns, blocks of {block}");
    }
}

#[test]
fn products_at_the_limits_are_exact() {
    for (rows, block, entry) in
        [(40_000, 8192, 32_767), (3_000, 1024, 1 << 20), (8193, 4096, 1), (70, 64, i32::MAX as u32)]
    {
        let tiling = Tiling::new(rows, block).expect("a power of two");
        let bound = LinearParameters::largest_multiplier(rows, entry);
        let parameters = LinearParameters::new(tiling, entry, bound).expect("at the limit");
        let d: Vec<i64> = (0..rows).map(|i| if i % 3 == 0 { -(bound as i64) } else { bound as i64 }).collect();
        let aligned: Vec<i32> = d.iter().map(|d| d.signum() as i32 * entry as i32).collect();
        let x = [aligned.clone(), aligned.iter().map(|x| -x).collect(), vec![entry as i32; rows], aligned];
        let expected = plain(&x, &d);
        assert_eq!(expected[0], (rows as u64 * u64::from(entry) * bound) as i64);
        for masking in [Masking::Uniform, Masking::None] {
            assert_eq!(whole_way(&parameters, &x, &d, masking, usize::MAX), expected, "{rows} rows");
        }
    }
}

#[test]
fn threads_and_memory_change_nothing() {
    let mut random = random(1);
    let parameters = LinearParameters::new(Tiling::new(3_000, 4096).expect("fine"), 100, 100).expect("fine");
    let x = matrix(3_000, 7, 100, &mut random);
    let d: Vec<i64> = (0..3_000).map(|_| within(100, &mut random)).collect();
    let keys = KeyPair::derive(&[3; 32]);
    let vector = keys.encrypt(&parameters, &d, &Digest::from_bytes([4; 32])).expect("fine");
    let run = |memory: usize, threads| {
        let encoded = EncodedMatrix::new(&parameters, &x, memory).expect("fine");
        assert_eq!(encoded.cached_polynomials(), (memory / (8 * ELEMENT)).min(4));
        multiply(&encoded, &vector, keys.public_key(), &[5; 32], Masking::Uniform, threads).expect("fine")
    };
    let expected = run(0, ONE);
    for threads in [2, 3, 4, 9].map(|count| NonZeroUsize::new(count).expect("positive")) {
        assert_eq!(run(16 * ELEMENT, threads), expected);
        assert_eq!(run(usize::MAX, threads), expected);
    }
}

#[test]
fn every_bound_refuses() {
    assert_eq!(Tiling::new(0, 8), Err(LinearError::Rows(0)));
    assert_eq!(Tiling::new(MAX_ROWS + 1, 8), Err(LinearError::Rows(MAX_ROWS + 1)));
    for block in [0, 3, 16_384] {
        assert_eq!(Tiling::new(10, block), Err(LinearError::Block(block)));
    }
    assert_eq!(Tiling::choose(10, &[1, 0]), Err(LinearError::Columns(0)));
    let tiling = Tiling::new(1 << 10, 1024).expect("fine");
    assert_eq!(LinearParameters::largest_multiplier(1 << 10, 1 << 15), (1 << 25) - 1);
    assert!(LinearParameters::new(tiling, 1 << 15, (1 << 25) - 1).is_ok());
    let (rows, largest_entry, largest_multiplier) = (1 << 10, 1 << 15, 1 << 25);
    assert_eq!(
        LinearParameters::new(tiling, largest_entry, largest_multiplier),
        Err(LinearError::Capacity { rows, largest_entry, largest_multiplier, largest: (1 << 25) - 1 })
    );
    assert!(matches!(LinearParameters::new(tiling, 0, 1), Err(LinearError::NoRange { .. })));
    assert!(matches!(LinearParameters::new(tiling, 1 << 31, 1), Err(LinearError::NoRange { .. })));
    // Rows of one each: the errors of 2^26 polynomials of 8192 coefficients come together.
    let tiny = Tiling::new(1 << 26, 1).expect("fine");
    assert!(matches!(LinearParameters::new(tiny, 1 << 20, 1), Err(LinearError::Flooding { .. })));

    let parameters = LinearParameters::new(Tiling::new(3, 4).expect("fine"), 10, 7).expect("fine");
    let keys = KeyPair::derive(&[1; 32]);
    let context = Digest::from_bytes([1; 32]);
    let encrypt = |d: &[i64]| keys.encrypt(&parameters, d, &context).map(drop);
    assert_eq!(encrypt(&[1, 2]), Err(LinearError::Length { expected: 3, found: 2 }));
    assert_eq!(encrypt(&[7, -8, i64::MIN]), Err(LinearError::Multiplier { row: 1, largest: 7 }));
    let encode = |columns: &[Vec<i32>]| EncodedMatrix::new(&parameters, columns, 0).map(drop);
    assert_eq!(encode(&[]), Err(LinearError::Columns(0)));
    assert_eq!(encode(&[vec![1, 2, 3], vec![4, 5]]), Err(LinearError::Length { expected: 3, found: 2 }));
    let far = LinearError::Entry { column: 1, row: 2, largest: 10 };
    assert_eq!(encode(&[vec![10, -10, 3], vec![4, 5, i32::MIN]]), Err(far));

    let other = LinearParameters::new(Tiling::new(3, 8).expect("fine"), 10, 7).expect("fine");
    let encoded = EncodedMatrix::new(&other, &[vec![1, 2, 3]], 0).expect("fine");
    let vector = keys.encrypt(&parameters, &[1, 2, 3], &context).expect("fine");
    let result = multiply(&encoded, &vector, keys.public_key(), &[0; 32], Masking::Uniform, ONE);
    assert_eq!(result.map(drop), Err(LinearError::Parameters));
}

#[test]
fn foreign_bytes_are_checked() {
    let parameters = LinearParameters::new(Tiling::new(5, 4).expect("fine"), 10, 7).expect("fine");
    let context = Digest::from_bytes([1; 32]);
    let read = |bytes: &[u8]| EncryptedVector::from_bytes(&parameters, &context, bytes).map(drop);
    let expected = 2 * ELEMENT_BYTES;
    for found in [0, expected - 1, expected + 1, ELEMENT_BYTES] {
        assert_eq!(read(&vec![0; found]), Err(ReadError::Vector(WireError::Length { expected, found })));
    }
    assert_eq!(read(&vec![0; expected]), Ok(()));
    let mut bytes = vec![0; expected];
    // The first residue modulo the second prime, of the second element.
    let element = DEGREE * 50 / 8;
    let block_start = ELEMENT_BYTES + element;
    bytes[block_start..block_start + 8].fill(0xff);
    assert_eq!(read(&bytes), Err(ReadError::Vector(WireError::Element { index: ELEMENT + DEGREE })));

    let expected = PublicKey::BYTES;
    for found in [0, 31, expected - 1, expected + 1] {
        let error = ReadError::PublicKey(WireError::Length { expected, found });
        assert_eq!(PublicKey::from_bytes(&vec![0; found]).map(drop), Err(error));
    }
    let error = ReadError::PublicKey(WireError::Element { index: 0 });
    assert_eq!(PublicKey::from_bytes(&vec![0xff; expected]).map(drop), Err(error));

    let read = |columns, length| Response::from_bytes(&parameters, columns, &vec![0; length]).map(drop);
    assert_eq!(read(0, 0), Err(ReadError::Columns(LinearError::Columns(0))));
    assert_eq!(read(usize::MAX, 0), Err(ReadError::Columns(LinearError::Columns(usize::MAX))));
    let (expected, found) = (2 * RESPONSE_BYTES + 8 * 2049, 2 * RESPONSE_BYTES);
    assert_eq!(read(2049, found), Err(ReadError::Response(WireError::Length { expected, found })));
    assert_eq!(read(2049, expected), Ok(()));
}

#[test]
fn the_tiling_has_the_fewest_bytes() {
    let chosen = |rows, columns: &[usize]| Tiling::choose(rows, columns).expect("fine");
    assert_eq!(chosen(21_000, &[10]).block(), 8192);
    assert_eq!(chosen(100, &[64]).block(), 128);
    for (rows, columns) in [(1, vec![1]), (5_000, vec![30, 4]), (100_000, vec![20]), (21_000, vec![300, 3])] {
        let best = chosen(rows, &columns);
        for bits in 0..=13 {
            let block = 1 << bits;
            let up = rows.div_ceil(block) as u64 * 153_600;
            let back = |&c: &usize| c.div_ceil(8192 / block) as u64 * 65_536 + 8 * c as u64;
            let bytes: u64 = columns.iter().map(|c| up + back(c)).sum();
            assert_eq!(Tiling::new(rows, block).expect("fine").bytes(&columns), bytes);
            assert!(best.bytes(&columns) <= bytes, "{rows} {columns:?}: {block}");
        }
    }
}

#[test]
fn the_constants_are_what_they_are_said_to_be() {
    let log2_q: f64 = PRIMES[..LIMBS].iter().map(|&p| (p as f64).log2()).sum();
    let estimate = security::estimate(DEGREE as u32, log2_q, 32f64.sqrt());
    assert_eq!(SECURITY.block_size, estimate.block_size, "{estimate:?}");
    assert!((SECURITY.core_svp_bits - estimate.core_svp_bits).abs() < 0.05, "{estimate:?}");
    assert!((SECURITY.standard_bits - estimate.standard_bits).abs() < 0.05, "{estimate:?}");
    assert!(estimate.standard_bits >= 128.0);
    assert!(decryption_noise() < f64::from(64 - PLAINTEXT_BITS - 1).exp2(), "{}", decryption_noise());
    assert!(SECRET_NORM as f64 > 32.0 * DEGREE as f64 + 7.0 * (DEGREE as f64 * 2048.0).sqrt());
}

/// Integers of 192 bits modulo q, for tests only: `x = sum of y_l q / p_l`, of which the `y_l` are given, centred.
fn lifted(shares: [u64; LIMBS]) -> f64 {
    let residue = |l: usize| {
        let others =
            (0..LIMBS).filter(|&i| i != l).fold(1, |product, i| mul_mod(product, PRIMES[i] % PRIMES[l], PRIMES[l]));
        mul_mod(shares[l], others, PRIMES[l])
    };
    // Mixed radix: x = v0 + v1 p0 + v2 p0 p1.
    let [p0, p1, p2] = [PRIMES[0], PRIMES[1], PRIMES[2]];
    let less = |a: u64, b: u64, p: u64| (a % p + p - b % p) % p;
    let v0 = residue(0);
    let v1 = mul_mod(less(residue(1), v0, p1), inverse_mod(p0 % p1, p1), p1);
    let v2 = less(residue(2), v0, p2);
    let v2 = less(v2, mul_mod(v1 % p2, p0 % p2, p2), p2);
    let v2 = mul_mod(v2, inverse_mod(mul_mod(p0 % p2, p1 % p2, p2), p2), p2);
    // What is wanted is near zero: its negative where the highest digit is large.
    let value = |v0: u64, v1: u64, v2: u64| v0 as f64 + p0 as f64 * (v1 as f64 + p1 as f64 * v2 as f64);
    if v2 < p2 / 2 { value(v0, v1, v2) } else { -value(p0 - 1 - v0, p1 - 1 - v1, p2 - 1 - v2) - 1.0 }
}

#[test]
fn the_change_of_modulus_rounds() {
    // x = v q / 2^64 for known v, by way of exact fractions y_l / p_l in 128 bits.
    let mut random = random(2);
    for _ in 0..20_000 {
        let shares: [u64; LIMBS] = std::array::from_fn(|l| random.next_u64() % PRIMES[l]);
        let exact = shares.iter().zip(PRIMES).fold(0u128, |sum, (&y, p)| {
            // floor(2^128 y / p), in two steps of 64 bits.
            let (p, first) = (u128::from(p), u128::from(y) << 64);
            let (whole, rest) = (first / p, first % p);
            sum.wrapping_add(whole << 64).wrapping_add((rest << 64) / p)
        });
        let switched = u128::from(switch::switch(shares)) << 64;
        let error = exact.wrapping_sub(switched).cast_signed();
        assert!(error.unsigned_abs() <= (1 << 63) + (1 << 47), "{shares:?}: {error}");
    }
    let largest: [u64; LIMBS] = std::array::from_fn(|l| PRIMES[l] - 1);
    assert_eq!((switch::switch([0; LIMBS]), switch::switch(largest)), (0, 0u64.wrapping_sub(3 << 14)));
}

#[test]
fn strips_are_switched_like_single_numbers() {
    let mut random = random(3);
    let shares: [[u64; 256]; LIMBS] = std::array::from_fn(|l| std::array::from_fn(|_| random.next_u64() % PRIMES[l]));
    let noise = std::array::from_fn(|i| i as u64 % 129);
    let mut out = [0; 256];
    switch::switch_strip(constants(), shares.each_ref(), &noise, &mut out);
    for i in 0..256 {
        let share = |l: usize| {
            let error = mul_mod((PRIMES[l] + noise[i] - 64) % PRIMES[l], constants().cofactors[l], PRIMES[l]);
            (shares[l][i] + error) % PRIMES[l]
        };
        assert_eq!(out[i], switch::switch(std::array::from_fn(share)), "at {i}");
    }
}

#[test]
fn encoding_rounds_to_the_nearest() {
    // t round(q m / t) - q m is at most t / 2 in size, and it is t times the encoding modulo every prime.
    let mut random = random(4);
    for _ in 0..1_000 {
        let m = within(1 << 50, &mut random);
        let remainder = |l: usize| mul_mod(constants().encode(l, m.cast_unsigned()), (1 << 51) % PRIMES[l], PRIMES[l]);
        let centred = |l: usize| {
            let r = remainder(l) as i64;
            if r > PRIMES[l] as i64 / 2 { r - PRIMES[l] as i64 } else { r }
        };
        // At most 2^50 in size, so equal in all primes but for one multiple of each.
        let (r, p) = (centred(0), PRIMES.map(|p| p as i64));
        let candidates = [r, r - p[0], r + p[0]].into_iter().filter(|r| r.abs() <= 1 << 50);
        let fits = |r: &i64| (0..LIMBS).all(|l| (centred(l) - r).rem_euclid(p[l]) == 0);
        assert!(candidates.filter(fits).count() >= 1, "{m}");
    }
}

/// The noise `b' - a' s - q (X^T d) / t` of every inner product before the change of modulus, which A could compute if it
/// were sent: rows of one element in blocks of one, so that one polynomial holds 8192 inner products.
fn noise(entry: i32, hiding: Hiding, d: i64, seed: u8) -> Vec<f64> {
    let parameters = LinearParameters::new(Tiling::new(1, 1).expect("fine"), 1 << 20, 1).expect("fine");
    let keys = KeyPair::derive(&[7; 32]);
    let vector = keys.encrypt(&parameters, &[d], &Digest::from_bytes([seed; 32])).expect("fine");
    let encoded = EncodedMatrix::new(&parameters, &vec![vec![entry]; DEGREE], 0).expect("fine");
    let product = Product::new(&encoded, &vector, keys.public_key(), &[seed; 32], Masking::None, hiding);
    let mut scratch = Scratch::new();
    product.accumulate(0, &mut scratch);
    let ring = constants().ring;
    let mut of_a = vec![0; ELEMENT];
    for l in 0..LIMBS {
        let range = l * DEGREE..(l + 1) * DEGREE;
        let mut a = scratch.a[range.clone()].to_vec();
        ring.forward(l, &mut a);
        ring.mul_accumulate(l, &mut of_a[range.clone()], &a, &keys.transform[range.clone()]);
        ring.inverse(l, &mut of_a[range]);
    }
    let hidden = product.hidden(0, &scratch).enumerate().map(|(i, (shares, _))| {
        let value = (i64::from(entry) * d).cast_unsigned();
        lifted(std::array::from_fn(|l| {
            let p = PRIMES[l];
            let known = mul_mod(constants().encode(l, value), constants().cofactors[l], p);
            (shares[l] + 2 * p - of_a[l * DEGREE + i] - known) % p
        }))
    });
    hidden.collect()
}

/// The Kolmogorov-Smirnov statistic of two samples of one size, times the root of half of it.
fn distance(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let (mut i, mut j, mut largest) = (0, 0, 0usize);
    while i < a.len() && j < b.len() {
        if a[i] <= b[j] {
            i += 1
        } else {
            j += 1
        }
        largest = largest.max(i.abs_diff(j));
    }
    largest as f64 / a.len() as f64 * (a.len() as f64 / 2.0).sqrt()
}

#[test]
fn the_flood_hides_the_noise_of_the_product() {
    let largest = 1 << 20;
    // At a distance of 2.2 and beyond, two samples of one distribution are found once in 10,000 times.
    let bare = Hiding { flood: false, ..Hiding::ALL };
    let size = |noise: &[f64]| noise.iter().fold(0.0, |largest: f64, noise| largest.max(noise.abs()));
    let (small, large) = (noise(0, bare, 1, 1), noise(largest, bare, 1, 2));
    assert!(distance(small.clone(), large.clone()) > 20.0, "without the flood the matrices are told apart");
    assert!(size(&small) < 26f64.exp2() && size(&large) > 28f64.exp2() && size(&large) < 48f64.exp2());

    let (small, large) = (noise(0, Hiding::ALL, 1, 1), noise(largest, Hiding::ALL, 1, 2));
    assert!(size(&small) > 93.9f64.exp2() && size(&large) < 94.001f64.exp2());
    let found = distance(small, large);
    assert!(found < 2.2, "{found}");
}

/// What A finds in the place of the matrix when it divides `a'` by `a`.
fn divided(hiding: Hiding, x: &[Vec<i32>]) -> Vec<u64> {
    let rows = x[0].len();
    let parameters = LinearParameters::new(Tiling::new(rows, DEGREE).expect("fine"), 100, 100).expect("fine");
    let keys = KeyPair::derive(&[7; 32]);
    let context = Digest::from_bytes([1; 32]);
    let vector = keys.encrypt(&parameters, &vec![1; rows], &context).expect("fine");
    let encoded = EncodedMatrix::new(&parameters, x, 0).expect("fine");
    let product = Product::new(&encoded, &vector, keys.public_key(), &[2; 32], Masking::Uniform, hiding);
    let mut scratch = Scratch::new();
    product.accumulate(0, &mut scratch);
    let (p, ring) = (PRIMES[0], constants().ring);
    let mut a = vec![0; ELEMENT];
    expand_element(&Transcript::new("haihe/v1/linear/vector").digest(&context).finish(), 0, &mut a);
    let mut quotient = scratch.a[..DEGREE].to_vec();
    ring.forward(0, &mut quotient);
    let cofactor = inverse_mod(constants().cofactors[0], p);
    quotient.iter_mut().zip(&a).for_each(|(q, &a)| *q = mul_mod(mul_mod(*q, cofactor, p), inverse_mod(a, p), p));
    ring.inverse(0, &mut quotient);
    quotient.iter().rev().take(rows).copied().collect()
}

#[test]
fn only_the_encryption_of_zero_hides_the_matrix() {
    let x = matrix(500, 1, 100, &mut random(5));
    let residues: Vec<u64> = x[0].iter().map(|&x| i64::from(x).rem_euclid(PRIMES[0] as i64) as u64).collect();
    let bare = Hiding { encryption_of_zero: false, ..Hiding::ALL };
    assert_eq!(divided(bare, &x), residues, "without it, A reads the column");
    let found = divided(Hiding::ALL, &x);
    assert!(found.iter().zip(&residues).all(|(found, entry)| found != entry));
    // And what A finds is spread over all residues, not near the small ones of a matrix.
    let small = found.iter().filter(|&&x| x.min(PRIMES[0] - x) < PRIMES[0] / 4).count();
    assert!((180..320).contains(&small), "{small} of 500 are in the half around zero");
}

#[test]
fn masked_values_say_nothing_and_two_products_share_nothing() {
    let parameters = LinearParameters::new(Tiling::new(1, 1).expect("fine"), 1, 1).expect("fine");
    let keys = KeyPair::derive(&[7; 32]);
    let encoded = EncodedMatrix::new(&parameters, &vec![vec![0]; DEGREE], 0).expect("fine");
    let run = |context: u8, seed: u8| {
        let vector = keys.encrypt(&parameters, &[1], &Digest::from_bytes([context; 32])).expect("fine");
        multiply(&encoded, &vector, keys.public_key(), &[seed; 32], Masking::Uniform, ONE).expect("fine")
    };
    let (response, masks) = run(1, 1);
    // The inner products are all zero: A sees the masks, and their bits are fair.
    assert_eq!(keys.decrypt(&response), masks);
    for bit in 0..PLAINTEXT_BITS {
        let ones = masks.iter().filter(|&mask| mask >> bit & 1 == 1).count();
        assert!(ones.abs_diff(DEGREE / 2) < 250, "bit {bit}: {ones}");
    }
    assert!(masks.iter().all(|mask| mask >> PLAINTEXT_BITS == 0));
    // The same seed with another vector, and another seed: other masks.
    for (_, others) in [run(2, 1), run(1, 2)] {
        assert!(masks.iter().zip(&others).all(|(mask, other)| mask != other));
    }
    assert_eq!(run(1, 1), (response, masks), "and the same again is the same");
}

#[test]
fn the_noise_of_decryption_is_what_it_is_said_to_be() {
    let parameters = LinearParameters::new(Tiling::new(1, 1).expect("fine"), 1 << 20, 1).expect("fine");
    let keys = KeyPair::derive(&[7; 32]);
    let vector = keys.encrypt(&parameters, &[1], &Digest::from_bytes([1; 32])).expect("fine");
    let encoded = EncodedMatrix::new(&parameters, &vec![vec![1 << 20]; DEGREE], 0).expect("fine");
    let (response, _) = multiply(&encoded, &vector, keys.public_key(), &[1; 32], Masking::None, ONE).expect("fine");
    let exact = 1u64 << (20 + 64 - PLAINTEXT_BITS);
    let noise: Vec<f64> = keys.phases(&response).map(|phase| phase.wrapping_sub(exact).cast_signed() as f64).collect();
    let deviation = (noise.iter().map(|noise| noise * noise).sum::<f64>() / DEGREE as f64).sqrt();
    // The flood is uniform to 256; every rounding of `a'` has a variance of a twelfth, and the secret is 2^18 long.
    let expected = (256f64.powi(2) / 3.0 + 18f64.exp2() / 12.0).sqrt();
    assert!((0.96..1.04).contains(&(deviation / expected)), "{deviation} instead of {expected}");
    assert!(noise.iter().all(|noise| noise.abs() < decryption_noise()));
}

#[test]
fn delta_is_small() {
    assert!((0..LIMBS).all(|l| Constants::delta(l) < 1 << 21));
}
