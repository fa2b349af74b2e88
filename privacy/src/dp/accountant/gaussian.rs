//! The Gaussian mechanism in closed form: Balle, Wang, *Improving the Gaussian Mechanism for Differential Privacy*
//! (ICML 2018), theorem 8, <https://arxiv.org/abs/1805.06530>.

use super::Bounds;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Delta at `epsilon` of a Gaussian with sensitivity over standard deviation `mu`.
pub(super) fn delta(mu: f64, epsilon: f64) -> Bounds {
    let (value, slack) = (log_delta(mu, epsilon).exp(), slack(mu));
    Bounds { lower: value * (1.0 - slack), upper: (value * (1.0 + slack)).min(1.0) }
}

/// Epsilon at `delta` of a Gaussian with sensitivity over standard deviation `mu`.
pub(super) fn epsilon(mu: f64, delta: f64) -> Bounds {
    let slack = slack(mu);
    let at = |log: f64| {
        // The loss has the law N(mu^2 / 2, mu^2); it exceeds this bound with less than delta.
        let (mut low, mut high) = (0.0, mu * mu / 2.0 + mu * (-2.0 * log).max(0.0).sqrt());
        if log_delta(mu, 0.0) <= log {
            return (0.0, 0.0);
        }
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            match log_delta(mu, middle) > log {
                true => low = middle,
                false => high = middle,
            }
        }
        (low, high)
    };
    Bounds { lower: at(delta.ln() + slack).0, upper: at(delta.ln() - slack).1 * (1.0 + 1e-14) }
}

/// What the difference of two Mills ratios `mu` apart may be wrong by, relatively.
fn slack(mu: f64) -> f64 {
    1e-12 + 1e-14 / mu.clamp(1e-10, 1.0)
}

/// `delta = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)`. With `a = eps/mu - mu/2`, `b = a + mu`, `phi` the density and
/// `R` Mills's ratio this is `phi(a) (R(a) - R(b))`, for `phi(a) = e^eps phi(b)`: nothing overflows or cancels.
pub(super) fn log_delta(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (a, b) = (epsilon / mu - mu / 2.0, epsilon / mu + mu / 2.0);
    let log_density = -a * a / 2.0 - (2.0 * PI).sqrt().ln();
    if a < 0.0 {
        return (upper_tail(a) - (log_density + mills(b).ln()).exp()).ln();
    }
    log_density + (mills(a) - mills(b)).ln()
}

/// `1 - Phi(x)`.
pub(super) fn upper_tail(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// `(1 - Phi(x)) / phi(x)` for `x >= 0`; from 3 on by Laplace's continued fraction `1/(x + 1/(x + 2/(x + ...)))`, whose 80
/// terms leave less than 1e-15 (Abramowitz, Stegun, 26.2.14).
fn mills(x: f64) -> f64 {
    if x < 3.0 {
        return upper_tail(x) * (x * x / 2.0).exp() * (2.0 * PI).sqrt();
    }
    (1..=80).rev().fold(x, |rest, k| x + f64::from(k) / rest).recip()
}
