//! Deciding `U < F exp(-x) / c` for a uniform `U`, a rational `x >= 0` and integers `F` and `c`, without rounding.
//!
//! Both sides are enclosed between fixed-point numbers of ever more digits until the enclosures part. `exp(-x)` is
//! irrational unless `x = 0`, so they part with probability one.

use std::cmp::Ordering;

/// How far [`exp_neg`] is from the truth, in units of 2^-64.
pub(super) const ERROR: u64 = 128;

/// `2^64 exp(-square / twice_variance)` within [`ERROR`]; `twice_variance` is below 2^63.
pub(super) fn exp_neg(square: u128, twice_variance: u128) -> u64 {
    if square / 64 >= twice_variance {
        return 0; // e^-64 < 2^-92
    }
    // x in units of 2^-58, from below by less than one: exp(-x) is too large by at most 2^-58, which is 64 units of 2^-64.
    let x = ((square << 58) / twice_variance) as u64;
    let (mut product, fraction) = (taylor(x << 6), x >> 58);
    // Each product of numbers below one is too small by at most one unit and the error of its factors: 6 products, 2 units
    // each, on top of Taylor's 22 units; 64 + 22 + 12 < 128.
    for (bit, power) in POWERS.iter().enumerate() {
        if fraction >> bit & 1 == 1 {
            product = high(product, *power);
        }
    }
    product
}

/// `2^64 exp(-y / 2^64)` within 22, by Horner's rule on `1 - y (1 - y/2 (1 - y/3 (...)))`. Step `k` is off by at most one
/// unit and `1/k` of the error before it; the first term left out is below 1/22! < 2^-69.
fn taylor(y: u64) -> u64 {
    let mut sum = u64::MAX;
    for k in (1..=21).rev() {
        sum = u64::MAX - high(y, sum) / k;
    }
    sum
}

fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// `floor(2^64 exp(-2^i))`; a test computes them again.
pub(super) const POWERS: [u64; 6] = [
    0x5e2d_58d8_b3bc_df1a,
    0x22a5_5547_7f03_973f,
    0x04b0_556e_084f_3d1d,
    0x0015_fc21_0410_27ac,
    0x01e3_55bb_aee8,
    0x3_908c,
];

/// `F exp(-square / twice_variance) / c`.
pub(super) struct Threshold {
    /// F.
    pub scale: u64,
    /// c.
    pub weight: u64,
    pub square: u128,
    pub twice_variance: u128,
}

/// The first digits of a uniform number of `[0, 2^-zeros)`: so many zeros, then these 64 bits.
pub(super) struct Uniform {
    words: Vec<u64>,
    zeros: u64,
}

impl Uniform {
    pub(super) fn new(word: u64, zeros: u64) -> Self {
        Self { words: vec![word], zeros }
    }

    /// The number's first `limbs` words, from below by less than one unit.
    fn floor(&mut self, limbs: usize, draw: &mut impl FnMut() -> u64) -> Fixed {
        let (skip, shift) = ((self.zeros / 64) as usize, self.zeros % 64);
        while self.words.len() + skip < limbs {
            self.words.push(draw());
        }
        let mut words = vec![0; limbs];
        for i in skip..limbs {
            let before = if i > skip && shift > 0 { self.words[i - skip - 1] << (64 - shift) } else { 0 };
            words[limbs - 1 - i] = before | self.words[i - skip] >> shift;
        }
        words.push(0);
        Fixed(words)
    }
}

impl Threshold {
    /// Whether the number is below the threshold. `draw` gives more of its digits.
    pub(super) fn is_above(&self, mut uniform: Uniform, draw: &mut impl FnMut() -> u64) -> bool {
        let least = 3 + (uniform.zeros / 64) as usize;
        for limbs in least.. {
            // In units of 2^-(64 limbs): c U in [c u, c (u + 1)), F exp(-x) in F (e +- error).
            let u = uniform.floor(limbs, draw);
            let (e, error) = exp_neg_fixed(self.square, self.twice_variance, limbs);
            let (low, high) = (u.times(self.weight), u.plus(1).times(self.weight));
            if high.cmp(&e.minus(error).times(self.scale)) != Ordering::Greater {
                return true;
            }
            if low.cmp(&e.plus(error).times(self.scale)) != Ordering::Less {
                return false;
            }
        }
        unreachable!("the loop has no end")
    }
}

/// A number below 2^64 in fixed point, the least significant word first; the last word is the whole part. Products by
/// whole numbers stay below 2^64: both F and c are below 2^62.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed(Vec<u64>);

impl Fixed {
    pub(super) fn times(&self, factor: u64) -> Self {
        let mut carry = 0u128;
        let words = self.0.iter().map(|&word| {
            carry += u128::from(word) * u128::from(factor);
            let low = carry as u64;
            carry >>= 64;
            low
        });
        Self(words.collect())
    }

    /// The product, from below by less than one unit, of numbers below 2^32.
    fn times_fixed(&self, other: &Self) -> Self {
        let len = self.0.len();
        let mut product = vec![0u64; 2 * len];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u128;
            for (j, &b) in other.0.iter().enumerate() {
                carry += u128::from(a) * u128::from(b) + u128::from(product[i + j]);
                product[i + j] = carry as u64;
                carry >>= 64;
            }
            product[i + len] = carry as u64;
        }
        Self(product[len - 1..2 * len - 1].to_vec())
    }

    /// The quotient, from below by less than one unit.
    pub(super) fn over(&self, divisor: u64) -> Self {
        let (mut words, mut remainder) = (self.0.clone(), 0u128);
        for word in words.iter_mut().rev() {
            let value = remainder << 64 | u128::from(*word);
            *word = (value / u128::from(divisor)) as u64;
            remainder = value % u128::from(divisor);
        }
        Self(words)
    }

    pub(super) fn plus(&self, units: u64) -> Self {
        let mut one = Self(vec![0; self.0.len()]);
        one.0[0] = units;
        self.add(&one)
    }

    fn add(&self, other: &Self) -> Self {
        let mut carry = false;
        let words = self.0.iter().zip(&other.0).map(|(&a, &b)| {
            let sum = u128::from(a) + u128::from(b) + u128::from(carry);
            carry = sum >> 64 != 0;
            sum as u64
        });
        Self(words.collect())
    }

    /// Zero where the difference would be negative.
    pub(super) fn minus(&self, units: u64) -> Self {
        let mut words = self.0.clone();
        let mut borrow = units;
        for word in &mut words {
            let (difference, below) = word.overflowing_sub(borrow);
            *word = difference;
            borrow = u64::from(below);
        }
        if borrow > 0 {
            words.fill(0);
        }
        Self(words)
    }

    /// Both numbers are below 2^64, `other` no larger.
    fn sub(&self, other: &Self) -> Self {
        let mut borrow = false;
        let words = self.0.iter().zip(&other.0).map(|(&a, &b)| {
            let (difference, first) = a.overflowing_sub(b);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            borrow = first | second;
            difference
        });
        Self(words.collect())
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }
}

/// `exp(-numerator / denominator)` with so many words of fraction, and how far from it the truth may be, in units.
pub(super) fn exp_neg_fixed(numerator: u128, denominator: u128, limbs: usize) -> (Fixed, u64) {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    if whole >= 64 * limbs as u128 {
        return (Fixed(vec![0; limbs + 1]), 1);
    }
    let (mut product, mut error) = taylor_fixed(&ratio(rest, denominator, limbs));
    if whole > 0 {
        let mut one = Fixed(vec![0; limbs + 1]);
        one.0[limbs] = 1;
        let (inverse, each) = taylor_fixed(&one);
        for _ in 0..whole {
            // Both factors are at most one (and a unit), so that errors add, and one for the rounding.
            product = product.times_fixed(&inverse);
            error += each + 2;
        }
    }
    (product, error)
}

/// `numerator / denominator < 1` by long division, from below by less than one unit; the denominator is below 2^127.
fn ratio(numerator: u128, denominator: u128, limbs: usize) -> Fixed {
    let (mut words, mut rest) = (vec![0u64; limbs + 1], numerator);
    for word in words[..limbs].iter_mut().rev() {
        for _ in 0..64 {
            rest <<= 1;
            *word <<= 1;
            if rest >= denominator {
                rest -= denominator;
                *word |= 1;
            }
        }
    }
    Fixed(words)
}

/// `exp(-y)` for `0 <= y <= 1` known from below by less than one unit, and the error in units.
///
/// The terms `y^k / k!` are summed until they vanish. Each is from below: by its product's and its quotient's rounding, by
/// `1/k` of the error before it and by that of `y`, so by 4 units at most. The first term left out is below 5 units, and
/// all of them together below 8.
fn taylor_fixed(y: &Fixed) -> (Fixed, u64) {
    let mut term = Fixed(vec![0; y.0.len()]);
    *term.0.last_mut().expect("a whole part") = 1;
    let (mut plus, mut minus) = (term.clone(), Fixed(vec![0; y.0.len()]));
    let mut terms = 1;
    loop {
        term = term.times_fixed(y).over(terms);
        if term.is_zero() {
            // exp(-y) >= 1/e, far above the error.
            return (plus.sub(&minus), 4 * terms + 8);
        }
        let side = if terms % 2 == 0 { &mut plus } else { &mut minus };
        *side = side.add(&term);
        terms += 1;
    }
}

#[cfg(test)]
impl Fixed {
    pub(super) fn word(&self, i: usize) -> u64 {
        self.0[i]
    }

    pub(super) fn whole(&self) -> u64 {
        self.0[self.0.len() - 1]
    }

    /// 256 bits of fraction in hexadecimal, and zeros below.
    pub(super) fn from_hex(digits: &str, limbs: usize) -> Self {
        let mut words = vec![0; limbs + 1];
        for i in 0..4 {
            words[limbs - 1 - i] = u64::from_str_radix(&digits[16 * i..16 * (i + 1)], 16).expect("hexadecimal");
        }
        Self(words)
    }

    /// Plus so many units of the fraction's fourth word.
    pub(super) fn plus_high(&self, units: u64) -> Self {
        let mut other = Self(vec![0; self.0.len()]);
        let fourth = self.0.len() - 5;
        other.0[fourth] = units;
        self.add(&other)
    }

    pub(super) fn shifted_left(&self, bits: u64) -> Self {
        (0..bits).fold(self.clone(), |value, _| if value.whole() == 0 { value.times(2) } else { value })
    }
}
