//! Many releases together: the law of the sum of their losses, by the Fourier transform.
//!
//! The transform's rounding errors are alike everywhere, while the masses that matter are tiny. So the laws are tilted
//! first: mass at loss `x` is multiplied by `e^(lambda x)` and all are scaled to sum to one. Tilting and convolution commute,
//! and with the right lambda (that of Chernoff's bound) the losses that decide a delta of 10^-12 are the most likely ones.
//!
//! The transform's window is finite and wraps around. Chernoff's bound on the tilted mass outside, together with the
//! rounding, is a mass `stray` of which we do not know where it is: on one side it is added at the loss where it would
//! count most, on the other it is taken away there.

use super::loss::{self, Discrete, Intervals};
use super::{Bounds, Sampled};
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

/// How close the bounds must be, relatively.
const CLOSE: f64 = 0.004;
/// The most intervals of one mechanism, and points of the window.
const INTERVALS: f64 = 3e6;
const POINTS: f64 = 8e6;

/// Epsilon at `delta`.
pub(super) fn epsilon(parts: &[Sampled], delta: f64) -> Bounds {
    refine(parts, |laws, side| {
        let tilt = laws.tilt(|moments, tilt| tilt * moments.mean - moments.log - (1.0 / delta).ln());
        laws.curve(tilt).map(|curve| curve.epsilon(delta, side))
    })
}

/// Delta at `epsilon`.
pub(super) fn delta(parts: &[Sampled], epsilon: f64) -> Bounds {
    refine(parts, |laws, side| {
        let tilt = laws.tilt(|moments, _| moments.mean - epsilon);
        laws.curve(tilt).map(|curve| curve.delta(epsilon, side))
    })
}

/// From which side the truth is enclosed.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Below,
    Above,
}

/// Computes a quantity from below and from above, for both orders of the neighbours, on ever finer grids.
fn refine(parts: &[Sampled], quantity: impl Fn(&Laws, Side) -> Option<f64>) -> Bounds {
    let widest = parts.iter().map(width).fold(0.0, f64::max);
    let narrowest = parts.iter().map(spread).fold(f64::INFINITY, f64::min);
    let finest = widest / INTERVALS;
    let mut step = (widest / 1000.0).min(narrowest / 4.0).max(finest);
    let mut best = Bounds { lower: 0.0, upper: f64::INFINITY };
    loop {
        let intervals: Vec<Intervals> =
            parts.iter().map(|part| Intervals::new(part.multiplier, part.rate, step)).collect();
        let swapped: Vec<Intervals> = intervals.iter().map(Intervals::swapped).collect();
        let mut upper = 0.0f64;
        for orders in [&intervals, &swapped] {
            let above = Laws::new(parts, orders.iter().map(Intervals::above).collect());
            upper = upper.max(quantity(&above, Side::Above).unwrap_or(f64::INFINITY));
            let below = Laws::new(parts, orders.iter().map(Intervals::below).collect());
            best.lower = best.lower.max(quantity(&below, Side::Below).unwrap_or(0.0));
        }
        best.upper = best.upper.min(upper);
        if best.upper.is_finite() && best.upper - best.lower <= CLOSE * best.upper || step <= finest {
            return best;
        }
        // The error goes with the square of the step.
        let excess = (best.upper - best.lower) / (CLOSE * best.upper);
        let finer = if excess.is_finite() { (1.5 * excess).sqrt().clamp(1.5, 6.0) } else { 4.0 };
        step = (step / finer).max(finest);
    }
}

/// The range of one release's losses.
fn width(part: &Sampled) -> f64 {
    let (low, high) = loss::range(part.multiplier, part.rate);
    high - low
}

/// About the standard deviation of one release's loss.
fn spread(part: &Sampled) -> f64 {
    let z = part.multiplier;
    (part.rate * (1.0 / (z * z)).min(50.0).exp_m1().sqrt()).min(1.0 / z)
}

/// Laws on one grid, each so many times.
struct Laws {
    laws: Vec<(Discrete, u64)>,
}

/// Of a tilted law: the logarithm of what it is scaled by, mean and variance.
#[derive(Clone, Copy, Default)]
struct Moments {
    log: f64,
    mean: f64,
    variance: f64,
}

impl Discrete {
    /// `ln sum p e^(tilt x)`, and mean and variance under that weight.
    fn moments(&self, tilt: f64) -> Moments {
        let len = self.masses.len();
        // From the end that the tilt prefers, so that nothing overflows.
        let (start, factor) =
            if tilt >= 0.0 { (len - 1, (-tilt * self.step).exp()) } else { (0, (tilt * self.step).exp()) };
        let (mut weight, mut sums) = (1.0, [0.0; 3]);
        let mut add = |i: usize| {
            let (mass, place) = (self.masses[i] * weight, i.abs_diff(start) as f64);
            sums[0] += mass;
            sums[1] += mass * place;
            sums[2] += mass * place * place;
            weight *= factor;
        };
        if tilt >= 0.0 {
            (0..len).rev().for_each(&mut add)
        } else {
            (0..len).for_each(&mut add)
        }
        let (distance, square) = (sums[1] / sums[0], sums[2] / sums[0]);
        let pivot = (self.first + start as i64) as f64;
        let mean = if tilt >= 0.0 { pivot - distance } else { pivot + distance };
        Moments {
            log: tilt * pivot * self.step + sums[0].ln(),
            mean: mean * self.step,
            variance: (square - distance * distance).max(0.0) * self.step * self.step,
        }
    }
}

impl Laws {
    fn new(parts: &[Sampled], laws: Vec<Discrete>) -> Self {
        Self { laws: laws.into_iter().zip(parts).map(|(law, part)| (law, part.count)).collect() }
    }

    fn moments(&self, tilt: f64) -> Moments {
        self.laws.iter().fold(Moments::default(), |sum, (law, count)| {
            let (one, count) = (law.moments(tilt), *count as f64);
            Moments {
                log: sum.log + count * one.log,
                mean: sum.mean + count * one.mean,
                variance: sum.variance + count * one.variance,
            }
        })
    }

    /// The tilt at which an increasing function changes its sign, roughly: it need not be exact.
    fn tilt(&self, function: impl Fn(Moments, f64) -> f64) -> f64 {
        let (mut low, mut high) = (-7.0f64, 8.0f64);
        for _ in 0..14 {
            let middle = 0.5 * (low + high);
            match function(self.moments(middle.exp()), middle.exp()) < 0.0 {
                true => low = middle,
                false => high = middle,
            }
        }
        low.exp()
    }

    /// The law of the sum; none if its window would be too large.
    fn curve(&self, tilt: f64) -> Option<Curve> {
        let (moments, step) = (self.moments(tilt), self.laws[0].0.step);
        let deviation = moments.variance.sqrt().max(step);
        // Chernoff: beyond these losses there is less than e^-37 of the tilted mass on each side.
        let bound = |theta: f64| (self.moments(tilt + theta).log - moments.log + 37.0) / theta;
        // Small thetas are for laws whose rare large losses make the moments explode soon after the tilt.
        let bounds = |sign: f64| [0.25, 0.5, 1.0, 2.0, 4.0, 8.0].map(|theta| bound(sign * theta / deviation));
        let high = bounds(1.0).into_iter().fold(f64::INFINITY, f64::min);
        let low = bounds(-1.0).into_iter().fold(f64::NEG_INFINITY, f64::max);
        let points = (high - low) / step + 3.0;
        if points.is_nan() || points > POINTS {
            return None;
        }
        let points = transform_length(points as usize);
        let first = (low / step).floor() as i64;
        let (masses, centre) = self.convolve(tilt, points);
        let turn = (first - centre).rem_euclid(points as i64) as usize;
        let masses: Vec<f64> = (0..points).map(|i| masses[(turn + i) % points]).collect();
        let releases: f64 = self.laws.iter().map(|(_, count)| *count as f64).sum();
        let mut curve = Curve {
            step,
            first,
            tilt,
            log: moments.log,
            stray: 2.0 * (-37.0f64).exp() + 1e-13 + 1e-14 * releases,
            infinity: self.laws.iter().map(|(law, count)| law.infinity * *count as f64).sum(),
            sums: Vec::new(),
            scale: 1.0,
        };
        curve.sum(&masses, (moments.mean / step).round() as i64);
        Some(curve)
    }

    /// The sum's tilted masses on a circle of so many points, the first of which stands for the second result.
    fn convolve(&self, tilt: f64, points: usize) -> (Vec<f64>, i64) {
        let mut planner = RealFftPlanner::<f64>::new();
        let (forward, inverse) = (planner.plan_fft_forward(points), planner.plan_fft_inverse(points));
        let mut product = vec![Complex64::new(1.0, 0.0); points / 2 + 1];
        let mut centre = 0i64;
        for (law, count) in &self.laws {
            let one = law.moments(tilt);
            let middle = (one.mean / law.step).round() as i64;
            let mut circle = vec![0.0; points];
            for (i, mass) in law.masses.iter().enumerate() {
                let place = law.first + i as i64;
                let weight = (tilt * place as f64 * law.step - one.log).exp();
                circle[(place - middle).rem_euclid(points as i64) as usize] += mass * weight;
            }
            let mut spectrum = forward.make_output_vec();
            forward.process(&mut circle, &mut spectrum).expect("both have the plan's length");
            for (product, value) in product.iter_mut().zip(&spectrum) {
                *product *= power(*value, *count);
            }
            centre += middle * *count as i64;
        }
        // The inverse of a real signal has no imaginary part there; what rounding left is dropped.
        product[0].im = 0.0;
        if points.is_multiple_of(2) {
            product[points / 2].im = 0.0;
        }
        let mut circle = inverse.make_output_vec();
        inverse.process(&mut product, &mut circle).expect("both have the plan's length");
        circle.iter_mut().for_each(|mass| *mass /= points as f64);
        (circle, centre)
    }
}

/// `value^count` by repeated squaring.
fn power(mut value: Complex64, mut count: u64) -> Complex64 {
    let mut result = Complex64::new(1.0, 0.0);
    while count > 0 {
        if count & 1 == 1 {
            result *= value;
        }
        value *= value;
        count >>= 1;
    }
    result
}

/// The smallest even `2^k` or `3 * 2^k` that is enough.
fn transform_length(points: usize) -> usize {
    let two = points.next_power_of_two().max(4);
    let three = two / 4 * 3;
    if three >= points { three } else { two }
}

/// The hockey-stick curve of a sum of losses.
struct Curve {
    step: f64,
    /// The first point of the window, in steps.
    first: i64,
    tilt: f64,
    /// `ln E e^(tilt x)`.
    log: f64,
    /// Tilted mass whose place is not known.
    stray: f64,
    infinity: f64,
    /// For each point, of all masses from there on, untilted and over `scale`: the sum, and the sum with weight
    /// `e^(point - x)`.
    sums: Vec<(f64, f64)>,
    scale: f64,
}

impl Curve {
    /// Untilts the masses of the window and sums them.
    fn sum(&mut self, masses: &[f64], pivot: i64) {
        let shrink = (-self.step).exp();
        let (mut sum, mut weighted) = (0.0, 0.0);
        self.scale = (self.log - self.tilt * pivot as f64 * self.step).exp();
        self.sums = vec![(0.0, 0.0); masses.len() + 1];
        for (i, mass) in masses.iter().enumerate().rev() {
            let mass = mass * (self.tilt * (pivot - self.first - i as i64) as f64 * self.step).exp();
            sum += mass;
            weighted = weighted * shrink + mass;
            self.sums[i] = (sum, weighted);
        }
    }

    /// `sum p (1 - e^(epsilon - x))` over the losses `x > epsilon`.
    fn delta(&self, epsilon: f64, side: Side) -> f64 {
        // The first point that is not below epsilon.
        let point = ((epsilon / self.step).ceil() - self.first as f64).clamp(0.0, (self.sums.len() - 1) as f64);
        let (sum, weighted) = self.sums[point as usize];
        let distance = epsilon - (self.first as f64 + point) * self.step;
        let known = self.scale * (sum - distance.exp() * weighted);
        // A tilted mass at epsilon + y counts e^(log - tilt (epsilon + y)) (1 - e^-y), at most where e^-y is this:
        let decay = self.tilt / (1.0 + self.tilt);
        let stray = self.stray * (self.log - self.tilt * epsilon).exp() * decay.powf(self.tilt) * (1.0 - decay);
        match side {
            Side::Above if known.is_nan() || stray.is_nan() => 1.0,
            Side::Above => (known + stray + self.infinity).clamp(0.0, 1.0),
            Side::Below if known.is_nan() || stray.is_nan() => 0.0,
            Side::Below => (known - stray).clamp(0.0, 1.0),
        }
    }

    /// Where the curve goes below `delta`.
    fn epsilon(&self, delta: f64, side: Side) -> f64 {
        let end = (self.first + self.sums.len() as i64) as f64 * self.step;
        let exceeds = |epsilon: f64| self.delta(epsilon, side) > delta;
        let bracket = match side {
            Side::Above if !exceeds(0.0) => return 0.0,
            Side::Above if exceeds(end) => return f64::INFINITY,
            Side::Above => Some((0.0, end)),
            // Far below the losses that the tilt makes likely, what is known from below is nothing.
            Side::Below => {
                let start = (self.first as f64 * self.step).max(0.0);
                let place = |i: u32| start + (end - start) * f64::from(i) / 256.0;
                (0..=256).rev().find(|&i| exceeds(place(i))).map(|i| (place(i), place(i + 1)))
            }
        };
        let Some((mut low, mut high)) = bracket.filter(|(_, high)| *high > 0.0) else {
            return 0.0;
        };
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            match exceeds(middle) {
                true => low = middle,
                false => high = middle,
            }
        }
        match side {
            Side::Above => high,
            Side::Below => low,
        }
    }
}
