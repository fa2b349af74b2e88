//! Numbers that need more than the few bits that a slot of a training round has.

/// Digits of a number in a sum of counts: base 2^10, so that a slot of 12 bits has room for each, and 40 bits in all.
const DIGITS: usize = 4;
const BASE: f64 = 1024.0;
/// `BASE^DIGITS - 1`.
const LARGEST: f64 = 1_099_511_627_775.0;

/// Numbers between 0 and a bound, as digits that are added as counts: the sum is exact to 40 bits of the bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Wide {
    bound: f64,
}

impl Wide {
    /// Numbers of `0..=bound`.
    pub fn new(bound: f64) -> Self {
        Self { bound: if bound.is_normal() { bound.abs() } else { 1.0 } }
    }

    /// Whole numbers, exactly.
    pub fn whole() -> Self {
        Self { bound: LARGEST }
    }

    /// Slots of `numbers` numbers.
    pub const fn slots(numbers: usize) -> usize {
        numbers * DIGITS
    }

    /// Appends a number's digits, lowest first; what is outside the range is clamped.
    pub fn push(&self, vector: &mut Vec<f64>, number: f64) {
        let number = if number.is_nan() { self.bound } else { number };
        let mut rest = libm::rint((number / self.bound).clamp(0.0, 1.0) * LARGEST) as u64;
        for _ in 0..DIGITS {
            vector.push((rest % BASE as u64) as f64);
            rest /= BASE as u64;
        }
    }

    /// Reads the sum of a number's digits.
    pub fn read(&self, digits: &[f64]) -> f64 {
        digits.iter().take(DIGITS).rev().fold(0.0, |sum, d| sum * BASE + d) / LARGEST * self.bound
    }

    /// Reads the sums of numbers that stand one after the other.
    pub fn read_all(&self, digits: &[f64]) -> Vec<f64> {
        digits.chunks(DIGITS).map(|d| self.read(d)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_of_digits_are_sums_of_numbers(numbers in prop::collection::vec(0.0f64..20.0, 1..40)) {
            let wide = Wide::new(20.0);
            let mut sum = vec![0.0; Wide::slots(1)];
            for &number in &numbers {
                let mut digits = Vec::new();
                wide.push(&mut digits, number);
                prop_assert!(digits.iter().all(|d| (0.0..4096.0).contains(d) && d.fract() == 0.0));
                sum.iter_mut().zip(&digits).for_each(|(s, d)| *s += d);
            }
            let exact: f64 = numbers.iter().sum();
            prop_assert!((wide.read(&sum) - exact).abs() < 1e-9 * 40.0);
        }

        #[test]
        fn whole_numbers_are_exact(a in 0u32.., b in 0u32..) {
            let (wide, mut x, mut y) = (Wide::whole(), Vec::new(), Vec::new());
            wide.push(&mut x, f64::from(a));
            wide.push(&mut y, f64::from(b));
            let sum: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            prop_assert_eq!(libm::rint(wide.read(&sum)), f64::from(a) + f64::from(b));
        }
    }

    #[test]
    fn what_is_no_number_is_clamped() {
        let wide = Wide::new(20.0);
        for (number, read) in [(f64::NAN, 20.0), (f64::INFINITY, 20.0), (-1.0, 0.0), (21.0, 20.0)] {
            let mut digits = Vec::new();
            wide.push(&mut digits, number);
            assert!((wide.read(&digits) - read).abs() < 1e-9);
        }
    }
}
