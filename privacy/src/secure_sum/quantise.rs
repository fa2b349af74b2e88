//! Real numbers to the integers that are summed, and back.
//!
//! A vector is a list of segments. Counts travel as they are. A number of `[-B, B]` becomes the integer
//! `round(x (2^(b-1) - 1) / B) + 2^(b-1) - 1`, with zero exactly in the middle, rounded up or down at random so that its
//! mean is the number itself (stochastic rounding: sums over many parties are unbiased). Nothing is clipped silently:
//! a number beyond the bound, or none at all (NaN), is an error before anything is encrypted.

use super::parameters::VALUE_BITS;
use crate::digest::{Digest, Transcript};
use crate::ring::vectorised;
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use zeroize::Zeroize;

/// How the numbers of a segment become integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Coding {
    /// Natural numbers up to `2^b - 1`, exactly.
    Count,
    /// Real numbers of `[-bound, bound]`, stochastically rounded to `2^b - 1` levels.
    Fixed {
        /// The largest absolute value.
        bound: f64,
    },
}

/// A run of numbers with one coding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// What the numbers are, for records and errors.
    pub name: String,
    /// How many there are.
    pub len: usize,
    /// How they become integers.
    pub coding: Coding,
}

/// Turns vectors of one shape into integers of `b` bits, and their sums back.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiser {
    segments: Vec<Segment>,
    value_bits: u32,
}

/// A number that can be quantised: `f32` or `f64`.
pub trait Real: Copy + private::Sealed {
    /// The same number.
    fn to_f64(self) -> f64;
}

/// A vector cannot be quantised.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum QuantiseError {
    /// The integers have no bits or too many; numbers need two at least.
    #[error("values of {0} bits: between {min} and {max} are possible, and at least 2 for real numbers", min = VALUE_BITS.start(), max = VALUE_BITS.end())]
    ValueBits(u32),
    /// There are no numbers, or more than memory could hold.
    #[error("the segments have no numbers, or too many")]
    Dimension,
    /// A bound must be a positive number.
    #[error("the bound {bound} of segment {segment} is not a positive number")]
    Bound {
        /// Which segment.
        segment: usize,
        /// Its bound.
        bound: f64,
    },
    /// The numbers do not fit the place they are for.
    #[error("{values} numbers and room for {room}, from index {start} of a vector of {dimension}")]
    Length {
        /// Where they begin.
        start: usize,
        /// How many numbers there are.
        values: usize,
        /// How many integers there is room for.
        room: usize,
        /// How many numbers the vector has.
        dimension: usize,
    },
    /// Not a number, or infinite.
    #[error("the value at index {index} (segment {segment}) is {value}")]
    NotFinite {
        /// Where in the vector.
        index: usize,
        /// In which segment.
        segment: usize,
        /// The value.
        value: f64,
    },
    /// Beyond the segment's bound.
    #[error("the value {value} at index {index} (segment {segment}) is beyond the bound {bound}")]
    BeyondBound {
        /// Where in the vector.
        index: usize,
        /// In which segment.
        segment: usize,
        /// The value.
        value: f64,
        /// The segment's bound.
        bound: f64,
    },
    /// Not a natural number of `b` bits.
    #[error("the value {value} at index {index} (segment {segment}) is not a count of at most {largest}")]
    NotACount {
        /// Where in the vector.
        index: usize,
        /// In which segment.
        segment: usize,
        /// The value.
        value: f64,
        /// The largest count.
        largest: u32,
    },
}

impl Quantiser {
    /// A quantiser for vectors of these segments.
    pub fn new(segments: Vec<Segment>, value_bits: u32) -> Result<Self, QuantiseError> {
        let real = |segment: &Segment| matches!(segment.coding, Coding::Fixed { .. });
        if !VALUE_BITS.contains(&value_bits) || (value_bits == 1 && segments.iter().any(real)) {
            return Err(QuantiseError::ValueBits(value_bits));
        }
        for (index, segment) in segments.iter().enumerate() {
            match segment.coding {
                Coding::Fixed { bound } if !(bound.is_normal() && bound > 0.0) => {
                    return Err(QuantiseError::Bound { segment: index, bound });
                }
                _ => {}
            }
        }
        match segments.iter().try_fold(0usize, |sum, segment| sum.checked_add(segment.len)) {
            None | Some(0) => Err(QuantiseError::Dimension),
            Some(_) => Ok(Self { segments, value_bits }),
        }
    }

    /// How many numbers a vector has.
    pub fn dimension(&self) -> usize {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// b, the bits of each integer.
    pub fn value_bits(&self) -> u32 {
        self.value_bits
    }

    /// What the parties of a round sign: the segments and the bits.
    pub fn digest(&self) -> Digest {
        let start = Transcript::new("haihe/v1/quantiser").u64(self.value_bits.into());
        let segments = self.segments.iter().fold(start, |transcript, segment| {
            let transcript = transcript.str(&segment.name).u64(segment.len as u64);
            match segment.coding {
                Coding::Count => transcript.str("count"),
                Coding::Fixed { bound } => transcript.str("fixed").u64(bound.to_bits()),
            }
        });
        segments.finish()
    }

    /// Quantises the numbers at `start ..` of a vector, as many as there are in `values`, into `out`. Each real number
    /// takes two bytes of randomness. After an error `out` holds nothing of use.
    pub fn quantise<T: Real>(
        &self,
        start: usize,
        values: &[T],
        out: &mut [u32],
        rng: &mut impl Rng,
    ) -> Result<(), QuantiseError> {
        let dimension = self.dimension();
        if values.len() != out.len() || start.checked_add(values.len()).is_none_or(|end| end > dimension) {
            return Err(QuantiseError::Length { start, values: values.len(), room: out.len(), dimension });
        }
        for (segment, range) in self.pieces(start..start + values.len()) {
            let part = range.start - start..range.end - start;
            let (values, out) = (&values[part.clone()], &mut out[part]);
            let place = Place { index: range.start, segment };
            match self.segments[segment].coding {
                Coding::Count => quantise_counts(values, out, self.largest(), place)?,
                Coding::Fixed { bound } => quantise_fixed(values, out, self.zero(), bound, place, rng)?,
            }
        }
        Ok(())
    }

    /// The sums of so many contributors' numbers, from the sums of their integers.
    ///
    /// # Panics
    /// If `sum` is not as long as the vector.
    pub fn dequantise(&self, sum: &[u64], contributors: u32) -> Vec<f64> {
        assert_eq!(sum.len(), self.dimension(), "a sum has as many entries as the vector");
        let zero = i64::from(self.zero());
        let mut values = Vec::with_capacity(sum.len());
        for (segment, range) in self.pieces(0..sum.len()) {
            match self.segments[segment].coding {
                Coding::Count => values.extend(sum[range].iter().map(|&sum| sum as f64)),
                Coding::Fixed { bound } => values.extend(
                    sum[range]
                        .iter()
                        .map(|&sum| (sum as i64 - i64::from(contributors) * zero) as f64 * (bound / zero as f64)),
                ),
            }
        }
        values
    }

    /// The segments that meet `range`, each with the part of `range` in it.
    pub(crate) fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let ends = self.segments.iter().scan(0, |end, segment| {
            let start = *end;
            *end += segment.len;
            Some(start..*end)
        });
        ends.enumerate()
            .map(move |(i, segment)| (i, segment.start.max(range.start)..segment.end.min(range.end)))
            .filter(|(_, part)| !part.is_empty())
    }

    /// The integer for zero, and for the bound less that for zero: `2^(b-1) - 1`.
    fn zero(&self) -> u32 {
        self.largest() >> 1
    }

    fn largest(&self) -> u32 {
        u32::MAX >> (32 - self.value_bits)
    }
}

/// Scales a vector down to an L2 norm of at most `norm`, up to rounding; the factor, 1 if it was short enough. A vector
/// with an entry that is not finite is left as it is, for the quantiser to refuse.
pub fn clip_l2(values: &mut [f64], norm: f64) -> f64 {
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 || values.iter().any(|value| !value.is_finite()) {
        return 1.0;
    }
    let length = largest * values.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt();
    if length <= norm {
        return 1.0;
    }
    let factor = norm / length;
    values.iter_mut().for_each(|value| *value *= factor);
    factor
}

/// Brings every entry into `[-bound, bound]`; how many were not. Entries that are not a number stay, for the quantiser
/// to refuse.
pub fn clip_coordinates(values: &mut [f64], bound: f64) -> usize {
    let mut clipped = 0;
    for value in values {
        if value.abs() > bound {
            *value = bound.copysign(*value);
            clipped += 1;
        }
    }
    clipped
}

/// Where a run of numbers begins, for errors.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    segment: usize,
}

fn quantise_counts<T: Real>(values: &[T], out: &mut [u32], largest: u32, place: Place) -> Result<(), QuantiseError> {
    for (i, (value, out)) in values.iter().zip(out).enumerate() {
        let (value, index, segment) = (value.to_f64(), place.index + i, place.segment);
        if !value.is_finite() {
            return Err(QuantiseError::NotFinite { index, segment, value });
        }
        *out = value as u32;
        if f64::from(*out) != value || *out > largest {
            return Err(QuantiseError::NotACount { index, segment, value, largest });
        }
    }
    Ok(())
}

/// Numbers that share one call of the generator.
const RUN: usize = 1024;
/// Bits of randomness, and of the fraction they are compared with.
const FRACTION_BITS: u32 = 16;

fn quantise_fixed<T: Real>(
    values: &[T],
    out: &mut [u32],
    zero: u32,
    bound: f64,
    place: Place,
    rng: &mut impl Rng,
) -> Result<(), QuantiseError> {
    let mut bytes = [0; 2 * RUN];
    for (run, (values, out)) in values.chunks(RUN).zip(out.chunks_mut(RUN)).enumerate() {
        let bytes = &mut bytes[..2 * values.len()];
        rng.fill_bytes(bytes);
        let good = vectorised(
            #[inline(always)]
            || round_run(values, out, zero, bound, bytes),
        );
        if !good {
            return Err(first_unfit(values, bound, Place { index: place.index + run * RUN, ..place }));
        }
    }
    bytes.zeroize();
    Ok(())
}

/// Rounds one run, without branches; whether every number was within the bound.
///
/// `x` becomes the fixed-point number `y` with 16 bits of fraction nearest to its place among the levels; a random
/// 16-bit number is added and the fraction dropped, so that the mean of the result is `y` exactly. Adding 2^52 leaves
/// `y`, which has at most 48 bits, in the mantissa.
#[inline(always)]
fn round_run<T: Real>(values: &[T], out: &mut [u32], zero: u32, bound: f64, bytes: &[u8]) -> bool {
    const SHIFT: f64 = (1u64 << 52) as f64;
    let unit = f64::from(zero) * f64::from(1u32 << FRACTION_BITS);
    let (scale, middle) = (unit / bound, unit + SHIFT);
    let (random, _) = bytes.as_chunks::<2>();
    let mut unfit = 0u64;
    for ((value, out), random) in values.iter().zip(out).zip(random) {
        let value = value.to_f64();
        unfit |= u64::from(is_unfit(value, bound));
        let fixed = (value * scale + middle).to_bits() & ((1 << 52) - 1);
        *out = ((fixed + u64::from(u16::from_le_bytes(*random))) >> FRACTION_BITS) as u32;
    }
    unfit == 0
}

/// Beyond the bound, or not a number.
#[inline(always)]
fn is_unfit(value: f64, bound: f64) -> bool {
    value.is_nan() || value.abs() > bound
}

#[cold]
fn first_unfit<T: Real>(values: &[T], bound: f64, place: Place) -> QuantiseError {
    let unfit = values.iter().map(|value| value.to_f64()).enumerate().find(|&(_, value)| is_unfit(value, bound));
    let (i, value) = unfit.unwrap_or((0, f64::NAN));
    let (index, segment) = (place.index + i, place.segment);
    if value.is_finite() {
        QuantiseError::BeyondBound { index, segment, value, bound }
    } else {
        QuantiseError::NotFinite { index, segment, value }
    }
}

impl Real for f32 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::SecretStream;
    use proptest::prelude::*;

    fn fixed(len: usize, bound: f64) -> Segment {
        Segment { name: "gradient".into(), len, coding: Coding::Fixed { bound } }
    }

    fn counts(len: usize) -> Segment {
        Segment { name: "counts".into(), len, coding: Coding::Count }
    }

    fn rng() -> SecretStream {
        SecretStream::new(&[9; 32], 0)
    }

    proptest! {
        #[test]
        fn numbers_come_back_within_one_step(bits in 2u32..=32, bound in 1e-6..1e6f64, unit in -1.0..=1.0f64) {
            let quantiser = Quantiser::new(vec![fixed(3, bound)], bits).expect("valid");
            let mut out = [0; 3];
            quantiser.quantise(0, &[unit * bound, 0.0, -bound], &mut out, &mut rng()).expect("fits");
            let sum: Vec<u64> = out.iter().map(|&q| u64::from(q)).collect();
            let back = quantiser.dequantise(&sum, 1);
            let step = bound / f64::from(quantiser.zero());
            prop_assert!((back[0] - unit * bound).abs() <= step * 1.0001);
            prop_assert_eq!(back[1], 0.0);
            prop_assert!((back[2] + bound).abs() <= bound * 1e-15);
            prop_assert!(out.iter().all(|&q| q <= quantiser.largest()));
        }
    }

    #[test]
    fn rounding_is_unbiased() {
        let quantiser = Quantiser::new(vec![fixed(100_000, 1.0)], 4).expect("valid"); // levels are 1/7 apart
        let mut out = vec![0; 100_000];
        quantiser.quantise(0, &vec![0.3f32; 100_000], &mut out, &mut rng()).expect("fits");
        let sum: u64 = out.iter().map(|&q| u64::from(q)).sum();
        let mean = sum as f64 / 1e5 - 7.0;
        // 0.3 is level 2.1: a Bernoulli(0.1) on 2, standard error 0.00095.
        assert!((mean - 2.1).abs() < 0.005, "{mean}");
    }

    #[test]
    fn segments_mix_and_ranges_split_anywhere() {
        let quantiser = Quantiser::new(vec![counts(3), fixed(4, 2.0), counts(1)], 16).expect("valid");
        let values = [0.0, 7.0, 65_535.0, 2.0, -2.0, 0.5, 1.25, 9.0];
        let mut whole = [0; 8];
        quantiser.quantise(0, &values, &mut whole, &mut rng()).expect("fits");
        assert_eq!(whole[..5], [0, 7, 65_535, 65_534, 0]);
        let (mut split, mut stream) = ([0; 8], rng());
        for (start, end) in [(0, 2), (2, 5), (5, 8)] {
            quantiser.quantise(start, &values[start..end], &mut split[start..end], &mut stream).expect("fits");
        }
        assert_eq!(whole, split);
    }

    #[test]
    fn unfit_numbers_are_named() {
        let quantiser = Quantiser::new(vec![counts(2), fixed(2000, 1.0)], 8).expect("valid");
        let mut values = vec![0.0; 2002];
        let error = |values: &[f64]| quantiser.quantise(0, values, &mut [0; 2002], &mut rng()).expect_err("refused");
        for (index, value) in [(1500, f64::NAN), (1501, f64::INFINITY), (0, f64::NEG_INFINITY)] {
            values[index] = value;
            let segment = usize::from(index > 1);
            assert!(
                matches!(error(&values), QuantiseError::NotFinite { index: i, segment: s, .. } if (i, s) == (index, segment))
            );
            values[index] = 0.0;
        }
        values[2001] = 1.0000001;
        let beyond = QuantiseError::BeyondBound { index: 2001, segment: 1, value: 1.0000001, bound: 1.0 };
        assert_eq!(error(&values), beyond);
        for value in [-1.0, 0.5, 256.0, 1e300] {
            values[1] = value;
            assert_eq!(error(&values), QuantiseError::NotACount { index: 1, segment: 0, value, largest: 255 });
        }
        let length = QuantiseError::Length { start: 2000, values: 3, room: 3, dimension: 2002 };
        assert_eq!(quantiser.quantise(2000, &[0.0f32; 3], &mut [0; 3], &mut rng()), Err(length));
    }

    #[test]
    fn shapes_are_validated() {
        assert_eq!(Quantiser::new(vec![], 8), Err(QuantiseError::Dimension));
        assert_eq!(Quantiser::new(vec![counts(usize::MAX), counts(1)], 8), Err(QuantiseError::Dimension));
        assert_eq!(Quantiser::new(vec![fixed(1, 1.0)], 1), Err(QuantiseError::ValueBits(1)));
        assert_eq!(Quantiser::new(vec![counts(1)], 33), Err(QuantiseError::ValueBits(33)));
        for bound in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(Quantiser::new(vec![fixed(1, bound)], 8), Err(QuantiseError::Bound { segment: 0, bound }));
        }
    }

    #[test]
    fn clipping() {
        let mut values = [3.0, -4.0];
        assert_eq!(clip_l2(&mut values, 10.0), 1.0);
        assert_eq!(clip_l2(&mut values, 1.0), 0.2);
        assert!((values[0] - 0.6).abs() < 1e-15 && (values[1] + 0.8).abs() < 1e-15);
        assert_eq!(clip_l2(&mut [1e300, 1e300], 1.0), 1.0 / (1e300 * 2f64.sqrt()));
        let mut values = [3.0, -4.0, f64::NAN, 0.5];
        assert_eq!(clip_coordinates(&mut values, 1.0), 2);
        assert_eq!(values[..2], [1.0, -1.0]);
    }
}
