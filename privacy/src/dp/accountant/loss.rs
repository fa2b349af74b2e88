//! The privacy loss of one sampled release, on a grid, from above and from below.
//!
//! One firm contributes at most 1; the noise is `N(0, z^2)`. With the firm the output has the law
//! `P = (1 - q) N(0, z^2) + q N(1, z^2)`, without it `Q = N(0, z^2)`. (In more dimensions the firm's direction is the only
//! one that matters.) The loss at `x` is `L(x) = ln dP/dQ = ln(1 + q (e^u - 1))`, `u = (2 x - 1) / (2 z^2)`, increasing.
//!
//! Of each interval of the grid the masses `P_i` and `Q_i` are found by quadrature. A pair of laws is known by its
//! hockey-stick curve `delta(t) = sup_A P(A) - t Q(A)`, convex in `t = e^eps`, and one pair is at most as private as another
//! if its curve is nowhere below the other's.
//!
//! * **Above**: the chords of the curve between the points of the grid ("connect the dots": Doroshenko, Ghazi, Kamath,
//!   Kumar, Manurangsi, PETS 2022, <https://arxiv.org/abs/2207.04380>). In masses: those of an interval are split between its
//!   ends so that both are kept.
//! * **Below**: the same chords, lowered at each point of the grid by at least what they exceed the curve by on either side,
//!   and then the largest convex function that is nowhere above. What a chord exceeds the curve by is at most what it
//!   exceeds the curve of the interval's masses merged into one outcome by, for merging outcomes tells less.
//!
//! Both are off by the square of the grid's step, not by the step: composed T times, T steps' errors stay small.

use super::gaussian::upper_tail;
use std::f64::consts::PI;

/// How many standard deviations are looked at: beyond are less than 2e-33.
const REACH: f64 = 12.0;

/// A law of the loss on multiples of `step`, perhaps with mass at infinity, perhaps with mass missing.
#[derive(Debug, Clone)]
pub(super) struct Discrete {
    pub step: f64,
    /// The first mass is at `first * step`.
    pub first: i64,
    pub masses: Vec<f64>,
    pub infinity: f64,
}

/// The masses under the first law, interval by interval, split between the ends so that the second law's are kept too.
#[derive(Debug, Clone)]
pub(super) struct Intervals {
    step: f64,
    /// The lower end of the first interval, in steps.
    first: i64,
    /// At the lower and the upper end of each interval.
    split: Vec<(f64, f64)>,
    /// Mass of the first law below and above all intervals.
    outside: (f64, f64),
    /// The same of the second law.
    outside_second: (f64, f64),
}

/// The range of losses within reach.
pub(super) fn range(multiplier: f64, rate: f64) -> (f64, f64) {
    let pair = Pair { z: multiplier, q: rate };
    (pair.loss(-REACH * multiplier), pair.loss(1.0 + REACH * multiplier))
}

impl Intervals {
    /// Of the pair (P, Q): the firm is removed.
    pub(super) fn new(multiplier: f64, rate: f64, step: f64) -> Self {
        let pair = Pair { z: multiplier, q: rate };
        let (low, high) = (-REACH * multiplier, 1.0 + REACH * multiplier);
        let first = (pair.loss(low) / step).floor() as i64;
        let last = (pair.loss(high) / step).ceil() as i64;
        let mut from = low;
        let split = (first..last).map(|i| {
            let to = pair.place((i + 1) as f64 * step).clamp(from, high);
            let (mass, excess) = pair.masses(from, to, i as f64 * step, i == first);
            from = to;
            // Mass m at t e^h and the rest at t keep both: m (1 - e^-h) = P - t Q.
            let upper = (excess / -(-step).exp_m1()).min(mass);
            (mass - upper, upper)
        });
        let split = split.collect();
        let (near, far) = (upper_tail(REACH), upper_tail(REACH + 1.0 / multiplier));
        let mixed = |zero: f64, one: f64| (1.0 - rate) * zero + rate * one;
        Self { step, first, split, outside: (mixed(near, far), mixed(far, near)), outside_second: (near, far) }
    }

    /// Of the pair (Q, P): the firm is added. The loss changes its sign and the laws change places.
    pub(super) fn swapped(&self) -> Self {
        let weight = |i: usize| (-((self.first + i as i64) as f64) * self.step).exp();
        let split = self.split.iter().enumerate().rev();
        Self {
            step: self.step,
            first: -self.first - self.split.len() as i64,
            split: split.map(|(i, &(lower, upper))| (upper * weight(i + 1), lower * weight(i))).collect(),
            outside: (self.outside_second.1, self.outside_second.0),
            outside_second: (self.outside.1, self.outside.0),
        }
    }

    /// A law of the loss whose curve is nowhere below the true one.
    pub(super) fn above(&self) -> Discrete {
        let mut masses = chords(&self.split);
        masses[0] += self.outside.0;
        Discrete { step: self.step, first: self.first, masses, infinity: self.outside.1 }
    }

    /// A law of the loss whose curve is nowhere above the true one.
    pub(super) fn below(&self) -> Discrete {
        let masses = self.lowered().unwrap_or_else(|| self.split.iter().map(|(lower, upper)| lower + upper).collect());
        Discrete { step: self.step, first: self.first, masses, infinity: 0.0 }
    }

    /// The lowered chords, up to an interval beyond which there is enough mass to make up for what lowering them by the
    /// same amount from there on would cost; none if there is no such interval, where rounding the losses down must do.
    fn lowered(&self) -> Option<Vec<f64>> {
        let growth = self.step.exp_m1();
        let gap = |&(lower, upper): &(f64, f64)| match lower * (growth + 1.0) + upper {
            0.0 => 0.0,
            sum => lower * upper * growth / sum,
        };
        let gaps: Vec<f64> = self.split.iter().map(gap).collect();
        let end = self.end(&gaps)?;
        // What the chords are lowered by at each point, constant outside the points.
        let lowered: Vec<f64> =
            (0..=end).map(|k| gaps[k.saturating_sub(1)].max(if k < end { gaps[k] } else { 0.0 })).collect();
        let mut masses = chords(&self.split[..end]);
        for (k, mass) in masses.iter_mut().enumerate() {
            let after = lowered[(k + 1).min(end)] - lowered[k];
            let before = lowered[k] - lowered[k.saturating_sub(1)];
            *mass -= after / growth - before * (growth + 1.0) / growth;
        }
        convex(masses, self.step)
    }

    /// The last interval that is used, plus one. At its end, `t`, the true curve has `sum P_i (1 - t / t_i)` from the
    /// intervals above, which must be twice the gap there at least, and then it has more below.
    fn end(&self, gaps: &[f64]) -> Option<usize> {
        let (mut sum, mut weighted, shrink) = (0.0, 0.0, (-self.step).exp());
        for end in (1..self.split.len()).rev() {
            // Of the intervals above `end`, which begin at `end + 1` at least.
            if end + 1 < self.split.len() {
                let (lower, upper) = self.split[end + 1];
                sum += lower + upper;
                weighted = shrink * (weighted + lower + upper);
            }
            if sum > 0.0 && sum - weighted >= 2.0 * gaps[end - 1] && gaps[end - 1] >= gaps[end] {
                return Some(end);
            }
        }
        None
    }
}

/// The masses at the points between and around the intervals.
fn chords(split: &[(f64, f64)]) -> Vec<f64> {
    let mut masses = vec![0.0; split.len() + 1];
    for (i, (lower, upper)) in split.iter().enumerate() {
        masses[i] += lower;
        masses[i + 1] += upper;
    }
    masses
}

/// The largest convex curve below one with these kinks, of which some may be negative: as long as there is a negative one,
/// its point is left out, which moves its mass to the points beside it. None if the last one is negative.
fn convex(mut masses: Vec<f64>, step: f64) -> Option<Vec<f64>> {
    let mut kept: Vec<usize> = Vec::with_capacity(masses.len());
    for next in 0..masses.len() {
        while let Some(&k) = kept.last().filter(|&&k| masses[k] < 0.0) {
            kept.pop();
            let up = ((next - k) as f64 * step).exp_m1();
            // Relative to t_k: t_next = 1 + up and t_before = 1 - down; before the first point there is t = 0.
            let down = kept.last().map_or(1.0, |&before| -(-((k - before) as f64) * step).exp_m1());
            let mass = std::mem::take(&mut masses[k]);
            if let Some(&before) = kept.last() {
                masses[before] += mass * (1.0 - down) * up / (up + down);
            }
            masses[next] += mass * (1.0 + up) * down / (up + down);
        }
        kept.push(next);
    }
    masses.last().is_some_and(|&last| last >= 0.0).then_some(masses)
}

/// The two laws.
struct Pair {
    z: f64,
    q: f64,
}

impl Pair {
    fn exponent(&self, x: f64) -> f64 {
        (2.0 * x - 1.0) / (2.0 * self.z * self.z)
    }

    fn loss(&self, x: f64) -> f64 {
        match self.q {
            1.0 => self.exponent(x),
            q => (q * self.exponent(x).exp_m1()).ln_1p(),
        }
    }

    /// Where the loss is `loss`; minus infinity where it is always more.
    fn place(&self, loss: f64) -> f64 {
        let exponent = match self.q {
            1.0 => loss,
            q => match loss.exp_m1() / q {
                ratio if ratio <= -1.0 => return f64::NEG_INFINITY,
                ratio => ratio.ln_1p(),
            },
        };
        self.z * self.z * exponent + 0.5
    }

    /// P's mass of `[from, to]` and `P - t Q`, `t = e^loss`, by Gauss-Legendre quadrature. Unless it is the first interval,
    /// the loss at `from` is `loss` and the density of the second, `q (e^u - e^v)` with `v` that of `from`, is computed as
    /// such, without cancellation.
    fn masses(&self, from: f64, to: f64, loss: f64, first: bool) -> (f64, f64) {
        let width = (to - from) / self.z;
        if width <= 0.0 {
            return (0.0, 0.0);
        }
        let panels = (width / 0.3).ceil();
        let rule: &[(f64, f64)] = if width < 0.02 { &GAUSS_3 } else { &GAUSS_8 };
        let (half, start, t) = ((to - from) / panels / 2.0, self.exponent(from), loss.exp());
        let (mut second, mut excess) = (0.0, 0.0);
        for panel in 0..panels as usize {
            let middle = from + (2 * panel + 1) as f64 * half;
            for &(node, weight) in rule {
                let x = middle + node * half;
                let (standard, u) = (x / self.z, self.exponent(x));
                let density = weight * (-standard * standard / 2.0).exp();
                second += density;
                excess += density
                    * match first {
                        true => 1.0 - t + self.q * u.exp_m1(),
                        false => self.q * start.exp() * (u - start).exp_m1(),
                    };
            }
        }
        let unit = half / (self.z * (2.0 * PI).sqrt());
        let excess = (excess * unit).max(0.0);
        (t * second * unit + excess, excess)
    }
}

/// Nodes and weights on [-1, 1].
const GAUSS_3: [(f64, f64); 3] =
    [(-0.774_596_669_241_483_4, 5.0 / 9.0), (0.0, 8.0 / 9.0), (0.774_596_669_241_483_4, 5.0 / 9.0)];
const GAUSS_8: [(f64, f64); 8] = [
    (-0.9602898564975362, 0.10122853629037706),
    (-0.7966664774136267, 0.22238103445337443),
    (-0.525532409916329, 0.3137066458778869),
    (-0.18343464249564978, 0.36268378337836166),
    (0.18343464249564978, 0.36268378337836166),
    (0.525532409916329, 0.3137066458778869),
    (0.7966664774136267, 0.22238103445337443),
    (0.9602898564975362, 0.10122853629037706),
];
