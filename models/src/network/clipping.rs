//! Bounds on updates that follow the training, tensor by tensor.
//!
//! A sum with 16 bits a value needs a bound on every value: too wide and the grid swallows small updates, too narrow and large
//! ones are cut. In each round every party also sends in which octave the largest value of its update lies, per tensor
//! ([`one_hot`], before clipping); the sum of these tells the next round's bounds and nothing of who had which.
//!
//! The idea, to follow a quantile of the update norms with the help of a private count, is that of Andrew et al. 2021,
//! "Differentially Private Learning with Adaptive Clipping". What differs: the whole histogram of octaves is opened instead of one
//! bit per party, so the bound jumps to the quantile instead of approaching it geometrically; bounds are per tensor and on
//! coordinates, not on one norm; there is no noise, hence no guarantee of differential privacy from this step.

use serde::{Deserialize, Serialize};

use super::TensorSpec;

/// Octaves above zero.
const OCTAVES: usize = 48;
/// Exponent of the lower end of the lowest octave.
const LOWEST: i64 = -40;
/// Cells of a magnitude: cell 0 is exactly 0, cell `k` is `(2^(k - 41), 2^(k - 40)]`; smaller and larger magnitudes are in the
/// outermost of them.
pub const MAGNITUDES: usize = OCTAVES + 1;
/// Most that a bound shrinks in a round.
const SHRINK: f64 = 4.0;

/// How bounds follow updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClippingOptions {
    /// Share of the parties whose largest value is within the bound before headroom; 1: of all. With 1, one party can widen the
    /// bounds of all up to `most`, and so coarsen their sums; where parties are not trusted with that, take 0.5 to 0.9.
    pub quantile: f64,
    /// Factor on the upper end of that octave, for updates that grow until the next round.
    pub headroom: f64,
    /// Bound of the first round, when nothing is known yet. 0.5 suits gradient descent from `Architecture::initial`; a visit
    /// with Adam moves no value by more than about its rate times its steps.
    pub start: f64,
    /// Smallest bound.
    pub least: f64,
    /// Largest bound.
    pub most: f64,
}

impl Default for ClippingOptions {
    fn default() -> Self {
        ClippingOptions { quantile: 1.0, headroom: 2.0, start: 0.5, least: 1e-6, most: 64.0 }
    }
}

/// An option is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("clipping option `{option}` is out of range: {allowed}")]
pub struct ClippingError {
    /// Its name.
    pub option: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
}

impl ClippingOptions {
    /// Checks the options.
    pub fn validate(&self) -> Result<(), ClippingError> {
        let rule = |holds, option, allowed| if holds { Ok(()) } else { Err(ClippingError { option, allowed }) };
        rule(self.quantile > 0.0 && self.quantile <= 1.0, "quantile", "above 0, at most 1")?;
        rule((1.0..=64.0).contains(&self.headroom), "headroom", "1 to 64")?;
        rule((1e-12..=1024.0).contains(&self.least), "least", "1e-12 to 1024")?;
        rule(self.most >= self.least && self.most <= 1024.0, "most", "`least` to 1024")?;
        rule(self.start >= self.least && self.start <= self.most, "start", "`least` to `most`")
    }

    /// Bounds of the first round.
    pub fn first(&self, tensors: usize) -> Vec<f64> {
        vec![self.start; tensors]
    }
}

/// Cell of the magnitude of a value; what is no finite number is in the last.
pub fn magnitude_cell(value: f32) -> usize {
    let magnitude = f64::from(value).abs();
    if magnitude == 0.0 {
        return 0;
    }
    if !magnitude.is_finite() {
        return OCTAVES;
    }
    // One less than the bits: an octave is closed at its upper end. Every f32 is a normal f64.
    let exponent = ((magnitude.to_bits() - 1) >> 52) as i64 - 1023;
    (exponent - LOWEST + 1).clamp(1, OCTAVES as i64) as usize
}

/// Upper end of a cell.
fn upper(cell: usize) -> f64 {
    if cell == 0 { 0.0 } else { libm::ldexp(1.0, (LOWEST + cell as i64) as i32) }
}

/// One party's part of the sum: per tensor [`MAGNITUDES`] zeros but for a 1 at the cell of its largest value, before clipping.
pub fn one_hot(update: &[f32], tensors: &[TensorSpec]) -> Vec<f64> {
    let mut cells = vec![0.0; tensors.len() * MAGNITUDES];
    for (tensor, cells) in tensors.iter().zip(cells.chunks_exact_mut(MAGNITUDES)) {
        let values = update.get(tensor.range()).unwrap_or(&[]);
        let cell = values.iter().map(|&v| magnitude_cell(v)).max().unwrap_or(0);
        cells[cell] = 1.0;
    }
    cells
}

/// The next round's bounds from the sum of the parties' [`one_hot`] vectors: per tensor `headroom` times the upper end of the
/// octave at the quantile, within `least` and `most`, and no less than a quarter of the `previous` bound (`start` where there is
/// none). A tensor for which nobody counted keeps its bound. Counts are rounded to whole numbers, negative ones to 0.
pub fn bounds(summed: &[f64], tensors: usize, options: &ClippingOptions, previous: &[f64]) -> Vec<f64> {
    (0..tensors)
        .map(|tensor| {
            let before = previous.get(tensor).copied().filter(|b| b.is_finite()).unwrap_or(options.start);
            let cells = summed.get(tensor * MAGNITUDES..(tensor + 1) * MAGNITUDES).unwrap_or(&[]);
            let next = quantile_cell(cells, options.quantile).map_or(before, |cell| options.headroom * upper(cell));
            next.max(before / SHRINK).min(options.most).max(options.least)
        })
        .collect()
}

/// The first cell up to which at least this share of the counts lies; `None` without counts.
fn quantile_cell(cells: &[f64], quantile: f64) -> Option<usize> {
    // `max` also turns what is no number into 0.
    let counts: Vec<f64> = cells.iter().map(|&c| libm::round(c).max(0.0).min(1e9)).collect();
    let total: f64 = counts.iter().sum();
    // At least one party, and a whole number of them, so that rounding of the product cannot ask for one too many.
    let wanted = libm::ceil(quantile * total - 1e-9).max(1.0);
    let mut seen = 0.0;
    counts.iter().position(|n| {
        seen += n;
        seen >= wanted
    })
}

/// Cuts every value to its tensor's bound, `|value| <= bound`, and counts those that it changed. What is no number, and values
/// of a tensor without a bound, become 0.
pub fn clip(update: &mut [f32], tensors: &[TensorSpec], bounds: &[f64]) -> u64 {
    let mut clipped = 0;
    for (index, tensor) in tensors.iter().enumerate() {
        let bound = within(bounds.get(index).copied().unwrap_or(0.0));
        for value in update.get_mut(tensor.range()).unwrap_or(&mut []) {
            let kept = if value.is_nan() { 0.0 } else { value.clamp(-bound, bound) };
            if kept != *value {
                (*value, clipped) = (kept, clipped + 1);
            }
        }
    }
    clipped
}

/// The largest `f32` that is no larger than the bound.
fn within(bound: f64) -> f32 {
    let bound = if bound > 0.0 { bound.min(f64::from(f32::MAX)) } else { 0.0 };
    let near = bound as f32;
    if f64::from(near) > bound { near.next_down() } else { near }
}
