//! Integers of 256 bits, as far as the secure sum needs them: `q` has at most 200 bits.

/// Four 64-bit limbs, lowest first.
pub(crate) type Wide = [u64; 4];

/// A small integer.
pub(crate) const fn from_u64(value: u64) -> Wide {
    [value, 0, 0, 0]
}

/// `value * factor + term`; the caller knows that it fits.
#[inline(always)]
pub(crate) fn mul_add(value: Wide, factor: u64, term: u64) -> Wide {
    let mut result = [0; 4];
    let mut carry = u128::from(term);
    for (limb, value) in result.iter_mut().zip(value) {
        carry += u128::from(value) * u128::from(factor);
        *limb = carry as u64;
        carry >>= 64;
    }
    result
}

/// `value * 2^bits`, if it has no more than 256 bits.
pub(crate) fn shifted(value: u64, bits: u32) -> Option<Wide> {
    if value == 0 {
        return Some([0; 4]);
    }
    if bits + 64 - value.leading_zeros() > 256 {
        return None;
    }
    let (limb, shift) = ((bits / 64) as usize, bits % 64);
    let mut result = [0; 4];
    result[limb] = value << shift;
    if shift > 0 && limb < 3 {
        result[limb + 1] = value >> (64 - shift);
    }
    Some(result)
}

/// `a < b`.
pub(crate) fn less(a: &Wide, b: &Wide) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// Bits `start .. start + length` of a number; `length` is at most 64.
#[inline(always)]
pub(crate) fn bits(value: &Wide, start: u32, length: u32) -> u64 {
    let (limb, shift) = ((start / 64) as usize, start % 64);
    let low = value.get(limb).copied().unwrap_or(0) >> shift;
    let high = value.get(limb + 1).copied().unwrap_or(0);
    let joined = if shift == 0 { low } else { low | high << (64 - shift) };
    joined & (u64::MAX >> (64 - length))
}

/// The number without bit `length` and those above.
#[inline(always)]
pub(crate) fn low_bits(mut value: Wide, length: u32) -> Wide {
    for (i, limb) in value.iter_mut().enumerate() {
        let kept = length.saturating_sub(64 * i as u32).min(64);
        *limb &= if kept == 0 { 0 } else { u64::MAX >> (64 - kept) };
    }
    value
}

/// `value - term` modulo 2^256, and whether it is negative.
#[inline(always)]
pub(crate) fn sub_small(mut value: Wide, term: u64) -> (Wide, bool) {
    let mut borrow = term;
    for limb in &mut value {
        let (difference, below) = limb.overflowing_sub(borrow);
        (*limb, borrow) = (difference, u64::from(below));
    }
    (value, borrow != 0)
}

/// `2^bits + 1` modulo `p`.
pub(crate) fn power_of_two_plus_one(bits: u32, p: u64) -> u64 {
    let power = (0..bits).fold(1u64, |power, _| (power << 1) % p);
    (power + 1) % p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_128_bit_arithmetic() {
        let x: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        let wide = [x as u64, (x >> 64) as u64, 0, 0];
        for (start, length) in [(0, 64), (1, 64), (63, 5), (64, 17), (100, 28)] {
            let expected = (x >> start) & (u128::MAX >> (128 - length));
            assert_eq!(u128::from(bits(&wide, start, length)), expected);
        }
        for length in [0, 1, 63, 64, 65, 127, 128, 200] {
            let expected = if length >= 128 { x } else { x & ((1 << length) - 1) };
            assert_eq!(low_bits(wide, length), [expected as u64, (expected >> 64) as u64, 0, 0]);
        }
        let product = (x >> 20) * 0xfffff + 77;
        let shifted_right = [(x >> 20) as u64, (x >> 84) as u64, 0, 0];
        assert_eq!(mul_add(shifted_right, 0xfffff, 77), [product as u64, (product >> 64) as u64, 0, 0]);
        assert_eq!(shifted(3, 63), Some([1 << 63, 1, 0, 0]));
        assert_eq!((shifted(1, 255), shifted(2, 255)), (Some([0, 0, 0, 1 << 63]), None));
        assert_eq!(sub_small([0, 1, 0, 0], 1), ([u64::MAX, 0, 0, 0], false));
        assert!(sub_small([4, 0, 0, 0], 5).1 && less(&[9, 1, 0, 0], &[0, 2, 0, 0]));
        assert_eq!(power_of_two_plus_one(70, 97), ((1u128 << 70) % 97 + 1) as u64);
    }
}
