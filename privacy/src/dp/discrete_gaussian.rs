//! Exact samples of the discrete Gaussian `P(i) ~ exp(-i^2 / (2 sigma^2))` on the integers, in integers alone.
//!
//! The law, and why it is as good as the continuous Gaussian for privacy: Canonne, Kamath, Steinke, *The Discrete Gaussian
//! for Differential Privacy* (NeurIPS 2020), <https://arxiv.org/abs/2004.00010>. Their sampler (algorithms 1-3) rejects
//! from a discrete Laplace; this one rejects from a histogram, which needs 1.03 tries instead of 2.2 and hardly ever an
//! exponential:
//!
//! 1. The half line `i >= 0` is cut into slabs `[k w, (k + 1) w)` of about sigma/16. Slab `k` is drawn with probability
//!    `c_k / 2^62`, where `c_k` is any integer with `c_k >= F exp(-(k w)^2 / (2 sigma^2))` and `F` is a fixed integer. The
//!    slabs from `K` on share what is left, `c_K`: slab `K + g` has the part `2^-(g + 1)` of it, which is enough because the
//!    Gaussian more than halves from slab to slab there.
//! 2. `i` is uniform in the slab, its sign is a coin; a negative zero is drawn again.
//! 3. `i` is accepted with probability `F exp(-i^2 / (2 sigma^2)) / c_k <= 1` (in the tail, `c_k = c_K 2^-(g + 1)`).
//!
//! Every `i` comes out with probability proportional to `c_k * (1 / w) * F exp(..) / c_k`, that is, exactly to
//! `exp(-i^2 / (2 sigma^2))`. The `c_k` cancel, so they may be rounded up at will. Only step 3 meets a number that is not
//! rational: `U < F exp(-x) / c` for a uniform `U` is decided from as many digits of `U` and of `exp(-x)` as it takes, 32 of
//! them nearly always, 64 in a slab's last few per cent, more once in 2^50 samples (`exact`). No step rounds.
//!
//! The time depends on the sample: noise is drawn in one go before any data are touched, and whoever could time single
//! samples on the participant's own machine could read its data too.

mod exact;

use exact::{ERROR, Threshold, Uniform, exp_neg};
use rand_core::Rng;
use std::fmt;
use zeroize::Zeroize;

/// The discrete Gaussian with mean zero for one sigma, a ratio of two numbers below 2^31 between 1/16 and 2^30.
#[derive(Clone)]
pub struct DiscreteGaussian {
    numerator: u32,
    denominator: u32,
    /// `w`.
    width: u32,
    /// `F`.
    scale: u64,
    /// For each slab, and last for the tail.
    slabs: Vec<Slab>,
    /// Draws a slab, by Walker's alias method with integer weights.
    cells: Vec<Cell>,
}

/// Step 1's `c_k`, and where the first 32 digits of `U` settle step 3.
#[derive(Clone, Copy)]
struct Slab {
    weight: u64,
    /// `U < accept / 2^32` is below the threshold for every `i` of the slab.
    accept: u32,
}

/// Of 2^54 equally likely numbers, those below `below` mean the cell's own slab, the others `other`.
#[derive(Clone, Copy, Default)]
struct Cell {
    below: u64,
    other: u8,
}

/// The standard deviation is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sigma = {numerator}/{denominator} is not between 1/16 and 2^30, as a ratio of numbers below 2^31")]
pub struct SigmaError {
    /// What was asked for.
    pub numerator: u32,
    /// What was asked for.
    pub denominator: u32,
}

/// log2 of the number of cells, and the most slabs there are, the tail included.
const CELL_BITS: u32 = 8;
/// The bits that are compared within a cell; 8 choose it, one is the sign.
const WEIGHT_BITS: u32 = 54;
/// The weights' sum.
const TOTAL: u64 = 1 << (CELL_BITS + WEIGHT_BITS);
/// Words of randomness that are fetched at a time.
const WORDS: usize = 128;

impl DiscreteGaussian {
    /// For `sigma = numerator / denominator`.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, SigmaError> {
        Self::with_tail(numerator, denominator, None)
    }

    /// The parameter; from 1 on the law's standard deviation is the same up to parts in a million.
    pub fn sigma(&self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// Fills `out` with independent samples. About 16 bytes of randomness each; what is left of the last run is dropped,
    /// so that two calls give other samples than one.
    pub fn fill(&self, out: &mut [i64], rng: &mut impl Rng) {
        let mut words = Words::new(rng);
        for out in out {
            *out = loop {
                if let Some(sample) = self.attempt(&mut words) {
                    break sample;
                }
            };
        }
    }

    /// Steps 1 to 3.
    #[inline]
    fn attempt<R: Rng>(&self, words: &mut Words<'_, R>) -> Option<i64> {
        let word = words.next();
        let cell = (word >> (64 - CELL_BITS)) as usize;
        let Cell { below, other } = self.cells[cell];
        let k = if (word >> 2) & ((1 << WEIGHT_BITS) - 1) < below { cell } else { usize::from(other) };
        let word_2 = words.next();
        if k + 1 == self.slabs.len() {
            return self.attempt_tail(word, words);
        }
        let i = k as u64 * u64::from(self.width) + u64::from(uniform_below(self.width, word_2 as u32)?);
        let (digits, slab) = ((word_2 >> 32) as u32, &self.slabs[k]);
        let accepted = digits < slab.accept || self.settle(i, slab.weight, digits, words);
        (accepted && (i != 0 || word & 1 == 0)).then_some(if word & 1 == 0 { i as i64 } else { -(i as i64) })
    }

    /// Step 3 where the first digits of `U` do not settle it.
    #[cold]
    fn settle<R: Rng>(&self, i: u64, weight: u64, digits: u32, words: &mut Words<'_, R>) -> bool {
        let (square, twice_variance) = self.exponent(i);
        let digits = u64::from(digits) << 32 | words.next() >> 32;
        let (low, high) = (u128::from(digits) * u128::from(weight), (u128::from(digits) + 1) * u128::from(weight));
        let about = exp_neg(square, twice_variance);
        // `about` is within ERROR of 2^64 exp(-x), the true U within [digits, digits + 1) / 2^64.
        if high <= u128::from(self.scale) * u128::from(about.saturating_sub(ERROR)) {
            return true;
        }
        if low >= u128::from(self.scale) * (u128::from(about) + u128::from(ERROR)) {
            return false;
        }
        let threshold = Threshold { scale: self.scale, weight, square, twice_variance };
        threshold.is_above(Uniform::new(digits, 0), &mut || words.next())
    }

    /// Slab `K + g`, with `g` the coins that fall tails before the first that falls heads.
    #[cold]
    fn attempt_tail<R: Rng>(&self, word: u64, words: &mut Words<'_, R>) -> Option<i64> {
        let mut tails = 0u64;
        let last = loop {
            match words.next() {
                0 => tails += 64,
                coins => break tails + u64::from(coins.leading_zeros()),
            }
        };
        let k = (self.slabs.len() as u64 - 1).checked_add(last)?;
        let i = k.checked_mul(self.width.into())? + u64::from(uniform_below(self.width, words.next() as u32)?);
        let (square, twice_variance) = self.exponent(i);
        let weight = self.slabs[self.slabs.len() - 1].weight;
        let threshold = Threshold { scale: self.scale, weight, square, twice_variance };
        // U < 2^(g + 1) F exp(-x) / c_K is 2^-(g + 1) U < F exp(-x) / c_K.
        let accepted = threshold.is_above(Uniform::new(words.next(), last + 1), &mut || words.next());
        accepted.then_some(if word & 1 == 0 { i as i64 } else { -(i as i64) })
    }

    /// `i^2 / (2 sigma^2)` as a ratio.
    fn exponent(&self, i: u64) -> (u128, u128) {
        let (numerator, denominator) = (u128::from(self.numerator), u128::from(self.denominator));
        // Beyond u64 only in a tail that needs 2^30 coins: e^-(2^60) is as far from any digit as the true value.
        let scaled = (u128::from(i) * denominator).min(u128::from(u64::MAX));
        (scaled * scaled, 2 * numerator * numerator)
    }

    /// `tail` moves the tail inwards, for tests.
    fn with_tail(numerator: u32, denominator: u32, tail: Option<usize>) -> Result<Self, SigmaError> {
        let (p, q) = (u64::from(numerator), u64::from(denominator));
        if p >= 1 << 31 || q >= 1 << 31 || q == 0 || p * 16 < q || p > q << 30 {
            return Err(SigmaError { numerator, denominator });
        }
        let width = p.div_ceil(16 * q) as u32;
        let mut law = Self { numerator, denominator, width, scale: 0, slabs: Vec::new(), cells: Vec::new() };
        let tail = tail.unwrap_or_else(|| law.tail());
        assert!(tail < 1 << CELL_BITS, "sigma/16 or more a slab");
        // 2^64 exp(-(k w)^2 / (2 sigma^2)) from above, for every slab; c_K must hold twice its own.
        let tops: Vec<u128> = (0..=tail).map(|k| law.at(k as u64 * u64::from(width)) + u128::from(ERROR)).collect();
        let sum = tops.iter().sum::<u128>() + tops[tail];
        law.scale = ((u128::from(TOTAL - 1024) << 64) / sum) as u64;
        let weight = |top: u128| ((u128::from(law.scale) * top) >> 64) as u64 + 1;
        let mut weights: Vec<u64> = tops.iter().map(|&top| weight(top)).collect();
        weights[tail] = TOTAL - weights[..tail].iter().sum::<u64>();
        debug_assert!(weights[tail] >= 2 * weight(tops[tail]));
        law.cells = alias_table(&weights);
        law.slabs = weights.into_iter().enumerate().map(|(k, weight)| law.slab(k, weight, tail)).collect();
        Ok(law)
    }

    /// K, the first slab of the tail: `F exp(..)` is below one there, and halves from slab to slab.
    fn tail(&self) -> usize {
        let exceeds = |square: u128, twice_variance: u128, tenths: u128| 10 * square >= tenths * twice_variance;
        let step = |k: u128| {
            let (square, twice_variance) = self.exponent(self.width.into());
            exceeds((2 * k + 1) * square, twice_variance, 7)
        };
        let small = |k: u128| {
            let (square, twice_variance) = self.exponent(k as u64 * u64::from(self.width));
            exceeds(square, twice_variance, 440)
        };
        (1..).find(|&k| step(k) && small(k)).expect("squares grow without bound") as usize
    }

    fn slab(&self, k: usize, weight: u64, tail: usize) -> Slab {
        if k == tail {
            return Slab { weight, accept: 0 };
        }
        let last = self.at((k as u64 + 1) * u64::from(self.width) - 1).saturating_sub(u128::from(ERROR));
        // floor(2^32 F exp(-x) / c_k) from below, where x is that of the slab's last i.
        let accept = (u128::from(self.scale) * last / u128::from(weight)) >> 32;
        Slab { weight, accept: accept.min(u32::MAX.into()) as u32 }
    }

    /// `2^64 exp(-i^2 / (2 sigma^2))`, within ERROR.
    fn at(&self, i: u64) -> u128 {
        let (square, twice_variance) = self.exponent(i);
        exp_neg(square, twice_variance).into()
    }
}

/// A uniform number below `bound`, or none: Lemire's method (*Fast random integer generation in an interval*, 2019).
#[inline(always)]
fn uniform_below(bound: u32, random: u32) -> Option<u32> {
    let product = u64::from(random) * u64::from(bound);
    // Of the 2^32 products those whose low half is below 2^32 mod bound are one too many for their high half.
    let low = product as u32;
    (low >= bound || low >= bound.wrapping_neg() % bound).then_some((product >> 32) as u32)
}

/// Vose's construction of Walker's table, in integers: the weights of `slabs <= 256` sum to 2^62 exactly.
fn alias_table(weights: &[u64]) -> Vec<Cell> {
    let cell = 1u64 << WEIGHT_BITS;
    let mut left = weights.to_vec();
    left.resize(1 << CELL_BITS, 0);
    let mut cells = vec![Cell::default(); 1 << CELL_BITS];
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..left.len()).partition(|&k| left[k] < cell);
    while let Some(k) = small.pop() {
        let donor = *large.last().expect("what cells lack, others have");
        cells[k] = Cell { below: left[k], other: donor as u8 };
        left[donor] -= cell - left[k];
        if left[donor] < cell {
            large.pop();
            small.push(donor);
        }
    }
    for k in large {
        cells[k] = Cell { below: cell, other: k as u8 };
    }
    cells
}

/// Random words, fetched in runs.
struct Words<'a, R> {
    rng: &'a mut R,
    words: [u64; WORDS],
    used: usize,
}

impl<'a, R: Rng> Words<'a, R> {
    fn new(rng: &'a mut R) -> Self {
        Self { rng, words: [0; WORDS], used: WORDS }
    }

    #[inline(always)]
    fn next(&mut self) -> u64 {
        if self.used == WORDS {
            self.refill();
        }
        let word = self.words[self.used];
        self.used += 1;
        word
    }

    #[cold]
    fn refill(&mut self) {
        let mut bytes = [0; 8 * WORDS];
        self.rng.fill_bytes(&mut bytes);
        for (word, bytes) in self.words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        bytes.zeroize();
        self.used = 0;
    }
}

impl<R> Drop for Words<'_, R> {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl fmt::Debug for DiscreteGaussian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiscreteGaussian(sigma = {}/{})", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests;
