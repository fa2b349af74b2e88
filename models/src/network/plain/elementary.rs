//! Hyperbolic tangent and logistic function without branches, so that loops over them fill vector registers.

/// `tanh x` to a few units in the last place, zero and its neighbourhood included; NaN stays NaN.
#[inline]
pub(super) fn tanh(x: f32) -> f32 {
    // tanh |x| = -m / (m + 2) with m = e^(-2|x|) - 1; beyond 10 it rounds to 1. A NaN fails the comparison and passes.
    let size = x.abs();
    let size = if size > 10.0 { 10.0 } else { size };
    let m = exp_m1(-2.0 * size);
    (-m / (m + 2.0)).copysign(x)
}

/// `1 / (1 + e^-x)`.
#[inline]
pub(super) fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// `e^x - 1` for `-20 <= x <= 0`: with `x = k ln 2 + r`, `|r| <= ln 2 / 2`, it is `2^k (e^r - 1) + (2^k - 1)`, and `e^r - 1` is
/// Taylor's polynomial of degree 7, whose rest is below `r * 2^-24`.
#[inline]
fn exp_m1(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which the lowest bits then hold.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; `k` times the first is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0)));
    let m = r + r * r * (0.5 + r * tail);
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    power * m + (power - 1.0)
}

#[cfg(test)]
mod tests {
    use super::{sigmoid, tanh};

    #[test]
    fn both_agree_with_double_precision() {
        for i in -400_000i32..=400_000 {
            let x = i as f32 * 5e-5;
            let exact = libm::tanh(f64::from(x));
            assert!((f64::from(tanh(x)) - exact).abs() <= 4e-7 * exact.abs(), "tanh {x}");
            let exact = 1.0 / (1.0 + libm::exp(-f64::from(x)));
            assert!((f64::from(sigmoid(x)) - exact).abs() <= 2e-7, "sigmoid {x}");
        }
    }

    #[test]
    fn ends_and_nan() {
        for (x, y) in [(0.0, 0.0), (f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0), (1e-30, 1e-30), (f32::MAX, 1.0)] {
            assert_eq!(tanh(x), y);
            assert_eq!(tanh(-x), -y);
        }
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0));
    }
}
