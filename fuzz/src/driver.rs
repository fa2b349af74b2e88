//! A seeded, mutating driver: what the tests run, and what is left where libFuzzer is not.

use rand::{Rng as _, RngExt as _};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

/// Longest input that the driver makes.
const MAX_BYTES: usize = 1 << 16;

/// Numbers at which decoders go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 53,
    1 << 60,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Texts at which parsers go wrong.
const TEXTS: [&str; 22] = [
    "-1",
    "0",
    "1e308",
    "1e-320",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "null",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "[]",
    "{}",
    "[[",
    "\"\"",
    "\"\\u0000\"",
    "true",
    "1000000000",
    "\u{202e}",
    "\n",
    "北京",
];

/// Makes inputs from seeds, the same ones for the same number.
pub struct Driver {
    rng: ChaCha8Rng,
    pool: Vec<Vec<u8>>,
    seeds: usize,
}

impl Driver {
    /// Over these seeds, which are given first, unchanged.
    pub fn new(seed: u64, pool: Vec<Vec<u8>>) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), pool, seeds: 0 }
    }

    fn pick(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound.max(1))
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        if let Some(seed) = self.pool.get(self.seeds) {
            self.seeds += 1;
            return seed.clone();
        }
        let from = self.pick(self.pool.len());
        let mut input = self.pool.get(from).cloned().unwrap_or_default();
        for _ in 0..=self.pick(6) {
            self.mutate(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.pick(input.len() + 1);
        let rest = input.len() - at;
        match self.pick(14) {
            0 | 1 if rest > 0 => input[at] ^= 1 << self.pick(8),
            2 if rest > 0 => input[at] = self.rng.next_u32() as u8,
            3 => input.truncate(at),
            4 => {
                let length = 1 + self.pick(rest.min(64));
                input.drain(at..at + length.min(rest));
            }
            5 => {
                // The same again, a few or many times.
                let length = 1 + self.pick(rest.min(64));
                let times = 1 + if self.pick(8) == 0 { self.pick(200) } else { self.pick(3) };
                let block = input[at..at + length.min(rest)].repeat(times);
                input.splice(at..at, block);
            }
            6 => {
                let number = NUMBERS[self.pick(NUMBERS.len())];
                let bytes = if self.pick(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let width = 1 << self.pick(4);
                let part = if bytes[0] == 0 { &bytes[8 - width..] } else { &bytes[..width] };
                self.overwrite(input, at, part);
            }
            7 => {
                let number = NUMBERS[self.pick(NUMBERS.len())];
                let insert = varint(number.wrapping_add(self.pick(3) as u64));
                if self.pick(2) == 0 {
                    input.splice(at..at, insert);
                } else {
                    self.overwrite(input, at, &insert);
                }
            }
            8 | 9 => self.replace_number(input, at),
            10 => {
                let other = self.pick(self.pool.len());
                let other = self.pool.get(other).cloned().unwrap_or_default();
                let from = self.pick(other.len() + 1);
                let length = self.pick(other.len() - from + 1);
                let end = at + self.pick(rest + 1);
                input.splice(at..end, other[from..from + length].iter().copied());
            }
            11 => {
                let noise: Vec<u8> = (0..=self.pick(16)).map(|_| self.rng.next_u32() as u8).collect();
                input.splice(at..at, noise);
            }
            12 => {
                let text = TEXTS[self.pick(TEXTS.len())].as_bytes().to_vec();
                input.splice(at..at, text);
            }
            _ => {
                // Two parts change places.
                let middle = at + self.pick(rest + 1);
                input[at..].rotate_left(middle - at);
            }
        }
    }

    fn overwrite(&mut self, input: &mut [u8], at: usize, with: &[u8]) {
        for (to, from) in input.iter_mut().skip(at).zip(with) {
            *to = *from;
        }
    }

    /// Puts another text in the place of the number, word or string in quotes after `at`.
    fn replace_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let word = |b: &u8| b.is_ascii_alphanumeric() || b"+-._".contains(b);
        let Some(start) = input.iter().skip(at).position(|b| b.is_ascii_digit()).map(|n| at + n) else { return };
        let end = input.iter().skip(start).position(|b| !word(b)).map_or(input.len(), |n| start + n);
        let text = TEXTS[self.pick(TEXTS.len())].as_bytes().to_vec();
        input.splice(start..end, text);
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
