//! The statistics that the attacks are judged by.

use haihe_privacy::dp::{Composition, Mechanism};
use serde::Serialize;

/// A share with its interval (Clopper and Pearson 1934, exact).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Successes over trials.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Share {
    /// `hits` of `trials`, two-sided at 95 %.
    pub fn of(hits: usize, trials: usize) -> Share {
        let (lower, upper) = clopper_pearson(hits, trials, 0.05);
        Share { value: hits as f64 / trials.max(1) as f64, lower, upper }
    }
}

/// The ends of the exact interval for a probability; each is missed with probability `alpha / 2` at most.
pub fn clopper_pearson(hits: usize, trials: usize, alpha: f64) -> (f64, f64) {
    let (k, n) = (hits as f64, trials as f64);
    // P(X >= k) = I_p(k, n - k + 1) rises with p; so does 1 - P(X <= k) = I_p(k + 1, n - k).
    let lower = if hits == 0 { 0.0 } else { bisect(|p| beta(k, n - k + 1.0, p) < alpha / 2.0) };
    let upper = if hits == trials { 1.0 } else { bisect(|p| beta(k + 1.0, n - k, p) < 1.0 - alpha / 2.0) };
    (lower, upper)
}

/// Where `below` turns false on `[0, 1]`.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8, Lentz's method).
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, 1.0 - x);
    }
    let front = libm::exp(
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x) - libm::log(a),
    );
    let apart = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / apart(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..2000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / apart(1.0 + term * d);
            c = apart(1.0 + term / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front * fraction
}

/// Standard normal distribution function.
pub fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x / core::f64::consts::SQRT_2)
}

/// Its inverse, to about 1e-12.
pub fn probit(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if phi(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// P-value of a chi-square statistic (Wilson and Hilferty 1931; good to about 1e-3 from 30 degrees of freedom on).
pub fn chi_square_p(statistic: f64, freedom: f64) -> f64 {
    let v = 2.0 / (9.0 * freedom);
    1.0 - phi((libm::cbrt(statistic / freedom) - (1.0 - v)) / libm::sqrt(v))
}

/// An attack that says "in" or "out", judged by its scores in both worlds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// Trials in each world.
    pub trials: usize,
    /// Probability that a score "in" is above a score "out".
    pub auc: f64,
    /// Half-width of its 95 % interval (Hanley and McNeil 1982).
    pub auc_error: f64,
    /// True-positive rate where 1 % of "out" are called in.
    pub tpr_1: Share,
    /// The same at 0.1 %.
    pub tpr_01: Share,
    /// Difference of the mean scores over their standard deviation: mu, if the scores are Gaussian.
    pub mu: f64,
    /// Half-width of its 95 % interval.
    pub mu_error: f64,
    /// Lower bound of epsilon that holds for any mechanism.
    pub epsilon_any: f64,
    /// Lower bound of epsilon if the trade-off curve is that of a Gaussian.
    pub epsilon_gaussian: f64,
}

impl Test {
    /// Scores of the world with the firm, and without it. Bounds of epsilon are at `delta`, and wrong with probability 1 % at
    /// most each.
    pub fn of(with: &[f64], without: &[f64], delta: f64) -> Test {
        let n = with.len().min(without.len());
        let (mut a, mut b) = (with.to_vec(), without.to_vec());
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        let auc = auc(&a, &b);
        let at = |rate: f64| {
            let limit = b[b.len() - 1 - ((b.len() as f64 * rate) as usize).min(b.len() - 1)];
            Share::of(a.len() - a.partition_point(|s| *s <= limit), a.len())
        };
        let ((m1, v1), (m0, v0)) = (moments(&a), moments(&b));
        let mu = (m1 - m0) / libm::sqrt((v1 + v0) / 2.0).max(1e-12);
        let (epsilon_any, epsilon_gaussian) = bounds(with, without, delta);
        Test {
            trials: n,
            auc,
            auc_error: 1.96 * hanley(auc, a.len() as f64, b.len() as f64),
            tpr_1: at(0.01),
            tpr_01: at(0.001),
            mu,
            mu_error: 1.96 * libm::sqrt(2.0 / n as f64 + mu * mu / (4.0 * n as f64)),
            epsilon_any,
            epsilon_gaussian,
        }
    }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0).max(1.0))
}

/// Of sorted scores.
fn auc(with: &[f64], without: &[f64]) -> f64 {
    let wins: f64 = with
        .iter()
        .map(|s| (without.partition_point(|o| o < s) + without.partition_point(|o| o <= s)) as f64 / 2.0)
        .sum();
    wins / (with.len() * without.len()) as f64
}

fn hanley(auc: f64, n1: f64, n0: f64) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let variance = auc * (1.0 - auc) + (n1 - 1.0) * (q1 - auc * auc) + (n0 - 1.0) * (q2 - auc * auc);
    libm::sqrt(variance.max(0.0) / (n1 * n0))
}

/// Lower bounds of epsilon (Jagielski, Ullman, Oprea 2020; Nasr et al. 2023): the threshold is chosen on one half of the trials
/// and judged on the other, so that choosing does not flatter.
fn bounds(with: &[f64], without: &[f64], delta: f64) -> (f64, f64) {
    let (a, b) = (with.split_at(with.len() / 2), without.split_at(without.len() / 2));
    let rates = |a: &[f64], b: &[f64], t: f64| {
        let (hits, alarms) = (a.iter().filter(|s| **s > t).count(), b.iter().filter(|s| **s > t).count());
        // Both ends together are wrong with probability 1 %.
        let (fnr, fpr) = (clopper_pearson(a.len() - hits, a.len(), 0.01).1, clopper_pearson(alarms, b.len(), 0.01).1);
        (fnr, fpr)
    };
    let any = |(fnr, fpr): (f64, f64)| {
        libm::log(((1.0 - fnr - delta) / fpr).max(1.0)).max(libm::log(((1.0 - fpr - delta) / fnr).max(1.0)))
    };
    let mu = |(fnr, fpr): (f64, f64)| (probit(1.0 - fpr) - probit(fnr)).max(0.0);
    let mut sorted: Vec<f64> = a.0.iter().chain(b.0).copied().collect();
    sorted.sort_by(f64::total_cmp);
    let thresholds: Vec<f64> = sorted.iter().step_by((sorted.len() / 60).max(1)).copied().collect();
    let best = |value: &dyn Fn((f64, f64)) -> f64| {
        let score = |t: &f64| value(rates(a.0, b.0, *t));
        let t = thresholds.iter().max_by(|s, t| score(s).total_cmp(&score(t))).copied().unwrap_or(0.0);
        value(rates(a.1, b.1, t))
    };
    (best(&any), epsilon_of(best(&mu), delta))
}

/// Epsilon of a Gaussian release with this mu.
pub fn epsilon_of(mu: f64, delta: f64) -> f64 {
    if mu < 1e-6 {
        return 0.0;
    }
    let multiplier = (1.0 / mu).clamp(0.1, 1e6);
    Composition::new(&[(Mechanism::Gaussian { multiplier }, 1)])
        .and_then(|c| c.epsilon(delta))
        .map_or(f64::NAN, |b| b.upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Clopper and Pearson 1934; scipy.stats.beta.ppf.
        let (low, high) = clopper_pearson(10, 100, 0.05);
        assert!((low - 0.049_005).abs() < 1e-5 && (high - 0.176_223).abs() < 1e-5, "{low} {high}");
        let (low, high) = clopper_pearson(0, 1000, 0.05);
        assert!(low == 0.0 && (high - 0.003_682).abs() < 1e-5, "{high}");
        assert!((probit(0.975) - 1.959_964).abs() < 1e-6);
        assert!((chi_square_p(293.247_8, 255.0) - 0.05).abs() < 1e-3);
    }

    #[test]
    fn bounds_of_a_known_gaussian_are_below_and_near() {
        let mut rng = crate::seeded(1, "known gaussian");
        let mut draw = |mean: f64| (0..20_000).map(|_| mean + crate::normal(&mut rng)).collect::<Vec<f64>>();
        let (with, without) = (draw(1.0), draw(0.0));
        let test = Test::of(&with, &without, 1e-6);
        let truth = epsilon_of(1.0, 1e-6);
        assert!((test.mu - 1.0).abs() < test.mu_error, "{test:?}");
        assert!((test.auc - phi(1.0 / core::f64::consts::SQRT_2)).abs() < test.auc_error, "{test:?}");
        assert!(test.epsilon_gaussian <= truth && test.epsilon_gaussian > 0.85 * truth, "{test:?} {truth}");
        assert!(test.epsilon_any <= truth && test.epsilon_any > 0.8, "{test:?}");
    }
}
