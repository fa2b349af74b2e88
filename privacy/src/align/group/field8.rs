//! The field of 2^255 - 19, eight elements at a time, with AVX-512 IFMA.
//!
//! An element is five limbs of 51 bits, one vector for each limb, one lane for each element. IFMA multiplies the low 52
//! bits of two lanes and adds the low or the high half of the product to a third. As 2^52 is twice the radix, high halves
//! count double in the next column.
//!
//! Bounds. The limbs of an [`Element`] are below 2^51 + 2^18, unless said otherwise, and always below 2^52. A product is
//! first [`Wide`]: sums of halves, below 2^60 each. Sums and differences of products are made before [`Ifma::carry`], which
//! takes limbs below 2^63 and passes every limb's upper bits on once, all at the same time; what goes round from the last
//! limb is multiplied by 19, since 2^255 = 19.
//!
//! Nothing here branches on values.

use std::arch::x86_64::__m512i;

pulp::simd_type! {
    /// Proof that the processor has AVX-512 IFMA.
    pub(super) struct Ifma {
        pub(super) sse: "sse",
        pub(super) sse2: "sse2",
        pub(super) fxsr: "fxsr",
        pub(super) sse3: "sse3",
        pub(super) ssse3: "ssse3",
        pub(super) sse4_1: "sse4.1",
        pub(super) sse4_2: "sse4.2",
        pub(super) popcnt: "popcnt",
        pub(super) avx: "avx",
        pub(super) avx2: "avx2",
        pub(super) bmi1: "bmi1",
        pub(super) bmi2: "bmi2",
        pub(super) fma: "fma",
        pub(super) lzcnt: "lzcnt",
        pub(super) avx512f: "avx512f",
        pub(super) avx512bw: "avx512bw",
        pub(super) avx512cd: "avx512cd",
        pub(super) avx512dq: "avx512dq",
        pub(super) avx512vl: "avx512vl",
        pub(super) avx512ifma: "avx512ifma",
    }
}

/// Elements worked on together.
pub(super) const LANES: usize = 8;

/// Bits of a limb.
const BITS: u32 = 51;
const MASK: u64 = (1 << BITS) - 1;

/// One bit for each lane.
pub(super) type Mask = u8;

/// Eight field elements.
#[derive(Clone, Copy)]
pub(super) struct Element(pub(super) [__m512i; 5]);

/// Eight sums of products, not yet carried.
#[derive(Clone, Copy)]
pub(super) struct Wide([__m512i; 5]);

/// A constant's limbs.
pub(super) type Constant = [u64; 5];

/// A multiple of p by a power of two, limb by limb; subtracting from it never borrows.
const fn multiple_of_p(shift: u32) -> Constant {
    let limb = MASK << shift;
    [(MASK - 18) << shift, limb, limb, limb, limb]
}

impl Ifma {
    /// Runs a kernel, compiled for this processor. All that it calls must be `#[inline(always)]`, and must not hand
    /// closures around: what is not inlined is compiled for the oldest machine.
    ///
    /// The bound makes the closure an `FnOnce` itself; otherwise it would be called through a shim that is not inlined.
    #[inline(always)]
    pub(super) fn run<R>(self, kernel: impl FnOnce() -> R) -> R {
        self.vectorize(kernel)
    }

    #[inline(always)]
    pub(super) fn splat(self, x: u64) -> __m512i {
        self.avx512f._mm512_set1_epi64(x as i64)
    }

    /// The same element in all lanes.
    #[inline(always)]
    pub(super) fn constant(self, limbs: &Constant) -> Element {
        let [l0, l1, l2, l3, l4] = *limbs;
        Element([self.splat(l0), self.splat(l1), self.splat(l2), self.splat(l3), self.splat(l4)])
    }

    #[inline(always)]
    pub(super) fn zero(self) -> Element {
        self.constant(&[0; 5])
    }

    #[inline(always)]
    pub(super) fn one(self) -> Element {
        self.constant(&[1, 0, 0, 0, 0])
    }

    #[inline(always)]
    fn plus(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_add_epi64(a, b)
    }

    #[inline(always)]
    fn twice(self, a: __m512i) -> __m512i {
        self.plus(a, a)
    }

    /// Adds the low halves of products.
    #[inline(always)]
    fn low<const N: usize>(self, mut sum: __m512i, a: [__m512i; N], b: [__m512i; N]) -> __m512i {
        for i in 0..N {
            sum = self.avx512ifma._mm512_madd52lo_epu64(sum, a[i], b[i]);
        }
        sum
    }

    /// Adds the high halves of products.
    #[inline(always)]
    fn high<const N: usize>(self, mut sum: __m512i, a: [__m512i; N], b: [__m512i; N]) -> __m512i {
        for i in 0..N {
            sum = self.avx512ifma._mm512_madd52hi_epu64(sum, a[i], b[i]);
        }
        sum
    }

    /// `low + 19 high`, column by column: what lies above 2^255 comes round.
    #[inline(always)]
    fn fold(self, low: [__m512i; 5], high: [__m512i; 5]) -> Wide {
        let nineteen = self.splat(19);
        let mut sum = low;
        for (sum, high) in sum.iter_mut().zip(high) {
            *sum = self.plus(*sum, self.avx512dq._mm512_mullo_epi64(high, nineteen));
        }
        Wide(sum)
    }

    /// The product, of factors with limbs below 2^52 of which one is below 2^51 + 2^18.
    #[inline(always)]
    pub(super) fn mul_wide(self, a: &Element, b: &Element) -> Wide {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (a.0, b.0);
        let o = self.splat(0);
        let h5 = self.high(o, [a0, a1, a2, a3, a4], [b4, b3, b2, b1, b0]);
        let h6 = self.high(o, [a1, a2, a3, a4], [b4, b3, b2, b1]);
        let h7 = self.high(o, [a2, a3, a4], [b4, b3, b2]);
        let h8 = self.high(o, [a3, a4], [b4, b3]);
        let h9 = self.high(o, [a4], [b4]);
        let h1 = self.high(o, [a0], [b0]);
        let h2 = self.high(o, [a0, a1], [b1, b0]);
        let h3 = self.high(o, [a0, a1, a2], [b2, b1, b0]);
        let h4 = self.high(o, [a0, a1, a2, a3], [b3, b2, b1, b0]);
        let upper = [
            self.low(self.twice(h5), [a1, a2, a3, a4], [b4, b3, b2, b1]),
            self.low(self.twice(h6), [a2, a3, a4], [b4, b3, b2]),
            self.low(self.twice(h7), [a3, a4], [b4, b3]),
            self.low(self.twice(h8), [a4], [b4]),
            self.twice(h9),
        ];
        let lower = [
            self.low(o, [a0], [b0]),
            self.low(self.twice(h1), [a0, a1], [b1, b0]),
            self.low(self.twice(h2), [a0, a1, a2], [b2, b1, b0]),
            self.low(self.twice(h3), [a0, a1, a2, a3], [b3, b2, b1, b0]),
            self.low(self.twice(h4), [a0, a1, a2, a3, a4], [b4, b3, b2, b1, b0]),
        ];
        self.fold(lower, upper)
    }

    /// The square. A product of two different limbs counts twice, a high half twice: both together four times.
    #[inline(always)]
    pub(super) fn square_wide(self, a: &Element) -> Wide {
        let [a0, a1, a2, a3, a4] = a.0;
        let o = self.splat(0);
        // High halves of mixed products, by the column they count in.
        let h2 = self.high(o, [a0], [a1]);
        let h3 = self.high(o, [a0], [a2]);
        let h4 = self.high(o, [a0, a1], [a3, a2]);
        let h5 = self.high(o, [a0, a1], [a4, a3]);
        let h6 = self.high(o, [a1, a2], [a4, a3]);
        let h7 = self.high(o, [a2], [a4]);
        let h8 = self.high(o, [a3], [a4]);
        // Twice these; low halves of mixed products; high halves of squares.
        let m1 = self.high(self.low(o, [a0], [a1]), [a0], [a0]);
        let m2 = self.low(self.twice(h2), [a0], [a2]);
        let m3 = self.high(self.low(self.twice(h3), [a0, a1], [a3, a2]), [a1], [a1]);
        let m4 = self.low(self.twice(h4), [a0, a1], [a4, a3]);
        let m5 = self.high(self.low(self.twice(h5), [a1, a2], [a4, a3]), [a2], [a2]);
        let m6 = self.low(self.twice(h6), [a2], [a4]);
        let m7 = self.high(self.low(self.twice(h7), [a3], [a4]), [a3], [a3]);
        let m8 = self.twice(h8);
        let m9 = self.high(o, [a4], [a4]);
        // Twice these; low halves of squares.
        let upper = [
            self.twice(m5),
            self.low(self.twice(m6), [a3], [a3]),
            self.twice(m7),
            self.low(self.twice(m8), [a4], [a4]),
            self.twice(m9),
        ];
        let lower = [
            self.low(o, [a0], [a0]),
            self.twice(m1),
            self.low(self.twice(m2), [a1], [a1]),
            self.twice(m3),
            self.low(self.twice(m4), [a2], [a2]),
        ];
        self.fold(lower, upper)
    }

    /// Brings limbs below 2^63 under 2^51 + 2^18.
    #[inline(always)]
    pub(super) fn carry(self, wide: Wide) -> Element {
        let ([z0, z1, z2, z3, z4], f, mask) = (wide.0, self.avx512f, self.splat(MASK));
        Element([
            self.low(f._mm512_and_si512(z0, mask), [f._mm512_srli_epi64::<BITS>(z4)], [self.splat(19)]),
            self.plus(f._mm512_and_si512(z1, mask), f._mm512_srli_epi64::<BITS>(z0)),
            self.plus(f._mm512_and_si512(z2, mask), f._mm512_srli_epi64::<BITS>(z1)),
            self.plus(f._mm512_and_si512(z3, mask), f._mm512_srli_epi64::<BITS>(z2)),
            self.plus(f._mm512_and_si512(z4, mask), f._mm512_srli_epi64::<BITS>(z3)),
        ])
    }

    #[inline(always)]
    pub(super) fn mul(self, a: &Element, b: &Element) -> Element {
        self.carry(self.mul_wide(a, b))
    }

    #[inline(always)]
    pub(super) fn square(self, a: &Element) -> Element {
        self.carry(self.square_wide(a))
    }

    #[inline(always)]
    pub(super) fn add_wide(self, a: Wide, b: Wide) -> Wide {
        let mut sum = a.0;
        for (sum, b) in sum.iter_mut().zip(b.0) {
            *sum = self.plus(*sum, b);
        }
        Wide(sum)
    }

    /// `a - b + 2^11 p`: the sum of the limbs of `a` must stay below 2^62, those of `b` below 2^61.
    #[inline(always)]
    pub(super) fn sub_wide(self, a: Wide, b: Wide) -> Wide {
        let bias = multiple_of_p(11);
        let mut difference = a.0;
        for ((difference, b), bias) in difference.iter_mut().zip(b.0).zip(bias) {
            *difference = self.plus(*difference, self.avx512f._mm512_sub_epi64(self.splat(bias), b));
        }
        Wide(difference)
    }

    #[inline(always)]
    pub(super) fn add(self, a: &Element, b: &Element) -> Element {
        self.carry(self.add_wide(Wide(a.0), Wide(b.0)))
    }

    #[inline(always)]
    pub(super) fn sub(self, a: &Element, b: &Element) -> Element {
        let negative = self.negative_loose(b);
        self.carry(self.add_wide(Wide(a.0), Wide(negative.0)))
    }

    /// `2 p - a`, with limbs below 2^52.
    #[inline(always)]
    pub(super) fn negative_loose(self, a: &Element) -> Element {
        let mut negative = self.constant(&multiple_of_p(1)).0;
        for (negative, a) in negative.iter_mut().zip(a.0) {
            *negative = self.avx512f._mm512_sub_epi64(*negative, a);
        }
        Element(negative)
    }

    #[inline(always)]
    pub(super) fn negative(self, a: &Element) -> Element {
        self.carry(Wide(self.negative_loose(a).0))
    }

    /// `b` in the lanes of the mask, `a` in the others.
    #[inline(always)]
    pub(super) fn select(self, mask: Mask, a: &Element, b: &Element) -> Element {
        let mut chosen = a.0;
        for (chosen, b) in chosen.iter_mut().zip(b.0) {
            *chosen = self.avx512f._mm512_mask_blend_epi64(mask, *chosen, b);
        }
        Element(chosen)
    }

    /// `sum | (a & mask)`, bit by bit.
    #[inline(always)]
    pub(super) fn or_masked(self, sum: &Element, a: &Element, mask: __m512i) -> Element {
        let mut result = sum.0;
        for (sum, limb) in result.iter_mut().zip(a.0) {
            *sum = self.avx512f._mm512_or_si512(*sum, self.avx512f._mm512_and_si512(limb, mask));
        }
        Element(result)
    }

    /// The one representative below p, in limbs below 2^51.
    #[inline(always)]
    pub(super) fn canonical(self, a: &Element) -> Element {
        let (f, mask) = (self.avx512f, self.splat(MASK));
        // The value is below 2 p: adding 19 shows in bit 255 whether p fits into it.
        let mut carry = self.splat(19);
        for limb in a.0 {
            carry = f._mm512_srli_epi64::<BITS>(self.plus(limb, carry));
        }
        let mut limbs = a.0;
        carry = self.low(self.splat(0), [carry], [self.splat(19)]);
        for limb in &mut limbs {
            let sum = self.plus(*limb, carry);
            *limb = f._mm512_and_si512(sum, mask);
            carry = f._mm512_srli_epi64::<BITS>(sum);
        }
        Element(limbs)
    }

    /// The lanes that hold zero.
    #[inline(always)]
    pub(super) fn is_zero(self, a: &Element) -> Mask {
        let [l0, l1, l2, l3, l4] = self.canonical(a).0;
        let f = self.avx512f;
        let all = f._mm512_or_si512(f._mm512_or_si512(f._mm512_or_si512(l0, l1), f._mm512_or_si512(l2, l3)), l4);
        f._mm512_testn_epi64_mask(all, all)
    }

    /// The lanes whose canonical representative is odd: `IS_NEGATIVE` of RFC 9496.
    #[inline(always)]
    pub(super) fn is_negative(self, a: &Element) -> Mask {
        self.avx512f._mm512_test_epi64_mask(self.canonical(a).0[0], self.splat(1))
    }

    /// Negates the lanes of the mask.
    #[inline(always)]
    pub(super) fn negate_where(self, mask: Mask, a: &Element) -> Element {
        self.select(mask, a, &self.negative(a))
    }

    /// `CT_ABS` of RFC 9496.
    #[inline(always)]
    pub(super) fn absolute(self, a: &Element) -> Element {
        self.negate_where(self.is_negative(a), a)
    }

    /// From the 255 low bits of eight little-endian integers, word by word.
    #[inline(always)]
    pub(super) fn from_words(self, words: &[[u64; LANES]; 4]) -> Element {
        let (f, mask) = (self.avx512f, self.splat(MASK));
        let [w0, w1, w2, w3] = pulp::cast::<_, [__m512i; 4]>(*words);
        Element([
            f._mm512_and_si512(w0, mask),
            f._mm512_and_si512(f._mm512_or_si512(f._mm512_srli_epi64::<51>(w0), f._mm512_slli_epi64::<13>(w1)), mask),
            f._mm512_and_si512(f._mm512_or_si512(f._mm512_srli_epi64::<38>(w1), f._mm512_slli_epi64::<26>(w2)), mask),
            f._mm512_and_si512(f._mm512_or_si512(f._mm512_srli_epi64::<25>(w2), f._mm512_slli_epi64::<39>(w3)), mask),
            f._mm512_and_si512(f._mm512_srli_epi64::<12>(w3), mask),
        ])
    }

    /// Eight canonical little-endian integers, word by word.
    #[inline(always)]
    pub(super) fn to_words(self, a: &Element) -> [[u64; LANES]; 4] {
        let f = self.avx512f;
        let [l0, l1, l2, l3, l4] = self.canonical(a).0;
        let words: [__m512i; 4] = [
            f._mm512_or_si512(l0, f._mm512_slli_epi64::<51>(l1)),
            f._mm512_or_si512(f._mm512_srli_epi64::<13>(l1), f._mm512_slli_epi64::<38>(l2)),
            f._mm512_or_si512(f._mm512_srli_epi64::<26>(l2), f._mm512_slli_epi64::<25>(l3)),
            f._mm512_or_si512(f._mm512_srli_epi64::<39>(l3), f._mm512_slli_epi64::<12>(l4)),
        ];
        pulp::cast(words)
    }

    /// `x^(2^count)` for several vectors, whose squarings overlap.
    #[inline(always)]
    fn square_times<const N: usize>(self, mut x: [Element; N], count: usize) -> [Element; N] {
        for _ in 0..count {
            for x in &mut x {
                *x = self.square(x);
            }
        }
        x
    }

    #[inline(always)]
    fn mul_each<const N: usize>(self, mut a: [Element; N], b: &[Element; N]) -> [Element; N] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = self.mul(a, b);
        }
        a
    }

    /// `x^(2^250 - 1)` and `x^11`.
    #[inline(always)]
    fn power_chain<const N: usize>(self, x: &[Element; N]) -> ([Element; N], [Element; N]) {
        let x2 = self.square_times(*x, 1);
        let x9 = self.mul_each(self.square_times(x2, 2), x);
        let x11 = self.mul_each(x9, &x2);
        let e5 = self.mul_each(self.square_times(x11, 1), &x9); // 2^5 - 1
        let e10 = self.mul_each(self.square_times(e5, 5), &e5);
        let e20 = self.mul_each(self.square_times(e10, 10), &e10);
        let e40 = self.mul_each(self.square_times(e20, 20), &e20);
        let e50 = self.mul_each(self.square_times(e40, 10), &e10);
        let e100 = self.mul_each(self.square_times(e50, 50), &e50);
        let e200 = self.mul_each(self.square_times(e100, 100), &e100);
        (self.mul_each(self.square_times(e200, 50), &e50), x11)
    }

    /// `1 / x`, and 0 for 0: `x^(p - 2) = x^(2^255 - 21)`.
    #[inline(always)]
    pub(super) fn invert(self, x: &Element) -> Element {
        let (chain, x11) = self.power_chain(&[*x]);
        self.mul_each(self.square_times(chain, 5), &x11)[0]
    }

    /// `SQRT_RATIO_M1(u, v)` of RFC 9496, section 4.2: whether `u / v` is a square (zero counts), and the non-negative
    /// root of `u / v`, or of `SQRT_M1 u / v` where it is not. Two vectors, whose long chains of squarings overlap.
    ///
    /// A kernel of its own: it is long, and used in two places.
    #[inline(never)]
    pub(super) fn sqrt_ratio(self, u: &[Element; 2], v: &[Element; 2]) -> ([Mask; 2], [Element; 2]) {
        self.run(
            #[inline(always)]
            || {
                let v3 = self.mul_each(self.square_times(*v, 1), v);
                let uv7 = self.mul_each(self.mul_each(self.square_times(v3, 1), v), u);
                // (p - 5) / 8 = 2^252 - 3
                let power = self.mul_each(self.square_times(self.power_chain(&uv7).0, 2), &uv7);
                let [first, second] = self.mul_each(self.mul_each(power, &v3), u);
                let (first_square, first) = self.right_root(&u[0], &v[0], &first);
                let (second_square, second) = self.right_root(&u[1], &v[1], &second);
                ([first_square, second_square], [first, second])
            },
        )
    }

    /// The root, from `(u / v)^((p + 3) / 8)`, which is right up to a fourth root of unity.
    #[inline(always)]
    fn right_root(self, u: &Element, v: &Element, root: &Element) -> (Mask, Element) {
        let i = self.constant(&SQRT_M1);
        let check = self.mul(v, &self.square(root));
        let right = self.is_zero(&self.sub(&check, u));
        let flipped = self.is_zero(&self.add(&check, u));
        let flipped_i = self.is_zero(&self.add(&check, &self.mul(u, &i)));
        let turned = self.select(flipped | flipped_i, root, &self.mul(root, &i));
        (right | flipped, self.absolute(&turned))
    }
}

// Constants of RFC 9496, section 4.1.

/// The square root of -1.
pub(super) const SQRT_M1: Constant =
    [0x61b2_74a0_ea0b0, 0x0d5a_5fc8_f189d, 0x7ef5_e9cb_d0c60, 0x7859_5a68_04c9e, 0x2b83_2480_4fc1d];
/// The curve's d.
pub(super) const D: Constant =
    [0x34dc_a135_978a3, 0x1a82_83b1_56ebd, 0x5e7a_2600_1c029, 0x739c_663a_03cbb, 0x5203_6cee_2b6ff];
/// 2 d.
pub(super) const D2: Constant =
    [0x69b9_426b_2f159, 0x3505_0762_add7a, 0x3cf4_4c00_38052, 0x6738_cc74_07977, 0x2406_d9dc_56dff];
/// 1 - d^2.
pub(super) const ONE_MINUS_D_SQ: Constant =
    [0x409c_1945_fc176, 0x719a_bc6a_1fc4f, 0x1c37_f90b_20684, 0x06bc_cca5_5eedf, 0x0290_72a8_b2b3e];
/// (d - 1)^2.
pub(super) const D_MINUS_ONE_SQ: Constant =
    [0x55aa_a44e_d4d20, 0x5960_3c33_32635, 0x26d3_baf4_a7928, 0x120a_66e6_997a9, 0x5968_b37a_f66c2];
/// The square root of a d - 1, with a = -1.
pub(super) const SQRT_AD_MINUS_ONE: Constant =
    [0x7f6a_0497_b2e1b, 0x1836_f0a9_7afd2, 0x7d74_7f6b_e7638, 0x4560_79e7_e6498, 0x3769_31bf_2b834];
/// One over the square root of a - d, with a = -1.
pub(super) const INVSQRT_A_MINUS_D: Constant =
    [0x0fda_a805_d40ea, 0x2eb4_82e5_7d339, 0x0076_1027_4bc58, 0x6510_b613_dc8ff, 0x786c_8905_cfaff];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest limb of an element, and the largest that a product takes on one side.
    const TOP: u64 = (1 << BITS) + (1 << 18) - 1;
    const LOOSE_TOP: u64 = (1 << 52) - 1;

    /// A field element by long hand: limbs of 51 bits, below p.
    fn reduced(mut limbs: [u128; 5]) -> Constant {
        fn ripple(limbs: &mut [u128; 5]) -> u128 {
            limbs.iter_mut().fold(0, |carry, limb| {
                let sum = *limb + carry;
                *limb = sum & u128::from(MASK);
                sum >> BITS
            })
        }
        for _ in 0..4 {
            let carry = ripple(&mut limbs);
            limbs[0] += 19 * carry;
        }
        let mut without_p = limbs;
        without_p[0] += 19;
        let is_p_or_more = ripple(&mut without_p) > 0;
        (if is_p_or_more { without_p } else { limbs }).map(|limb| limb as u64)
    }

    fn product(a: &Constant, b: &Constant) -> Constant {
        let mut sums = [0; 5];
        for (i, &a) in a.iter().enumerate() {
            for (j, &b) in b.iter().enumerate() {
                sums[(i + j) % 5] += u128::from(a) * u128::from(b) * if i + j >= 5 { 19 } else { 1 };
            }
        }
        reduced(sums)
    }

    fn wide(a: &Constant) -> [u128; 5] {
        a.map(u128::from)
    }

    /// `a + b` or `a - b`; a multiple of p keeps the difference above zero.
    fn combined(a: &Constant, sign: i128, b: &Constant) -> Constant {
        let bias = multiple_of_p(12);
        reduced(std::array::from_fn(|i| (i128::from(a[i]) + i128::from(bias[i]) + sign * i128::from(b[i])) as u128))
    }

    fn limbs(element: &Element) -> [Constant; LANES] {
        let lanes = element.0.map(|limb| pulp::cast::<__m512i, [u64; LANES]>(limb));
        std::array::from_fn(|lane| lanes.map(|limb| limb[lane]))
    }

    fn element(lanes: &[Constant; LANES]) -> Element {
        Element(std::array::from_fn(|i| pulp::cast(lanes.map(|lane| lane[i]))))
    }

    /// Every operation on eight pairs, lane by lane; results keep the bounds.
    fn check(a: &[Constant; LANES], b: &[Constant; LANES]) {
        let Some(simd) = Ifma::try_new() else { return };
        let (x, y) = (element(a), element(b));
        let results = simd.run(
            #[inline(always)]
            || {
                let inverse = simd.invert(&x);
                let difference = simd.carry(simd.sub_wide(simd.square_wide(&x), simd.mul_wide(&x, &y)));
                [
                    simd.mul(&x, &y),
                    simd.square(&x),
                    simd.add(&x, &y),
                    simd.sub(&x, &y),
                    simd.mul(&inverse, &x),
                    difference,
                ]
            },
        );
        let canonical = results.map(|result| {
            limbs(&simd.run(
                #[inline(always)]
                || simd.canonical(&result),
            ))
        });
        let is_zero = simd.run(
            #[inline(always)]
            || simd.is_zero(&x),
        );
        for (lane, (a, b)) in a.iter().zip(b).enumerate() {
            let square = product(a, a);
            let zero = reduced(wide(a)) == [0; 5];
            let expected = [
                product(a, b),
                square,
                combined(a, 1, b),
                combined(a, -1, b),
                [u64::from(!zero), 0, 0, 0, 0],
                combined(&square, -1, &product(a, b)),
            ];
            for (i, expected) in expected.iter().enumerate() {
                assert_eq!(canonical[i][lane], *expected, "operation {i} on {a:x?} and {b:x?}");
                assert!(limbs(&results[i])[lane].iter().all(|limb| *limb <= TOP), "operation {i} on {a:x?} and {b:x?}");
            }
            assert_eq!(is_zero >> lane & 1 == 1, zero, "{a:x?}");
        }
    }

    #[test]
    fn the_largest_limbs_and_the_edges_of_the_field() {
        let [p, p2] = [multiple_of_p(0), multiple_of_p(1)];
        let values = [
            [0; 5],
            [1, 0, 0, 0, 0],
            p,
            [p[0] - 1, p[1], p[2], p[3], p[4]],
            [p[0] + 1, p[1], p[2], p[3], p[4]],
            [MASK; 5],
            [TOP; 5],
            [TOP, 0, TOP, 0, TOP],
        ];
        for turn in 0..LANES {
            let mut turned = values;
            turned.rotate_left(turn);
            check(&values, &turned);
        }
        // One loose side, as the negated entry of a table has.
        let Some(simd) = Ifma::try_new() else { return };
        for loose in [[LOOSE_TOP; 5], p2] {
            let (x, y) = (element(&[loose; LANES]), element(&[[TOP; 5]; LANES]));
            let result = limbs(&simd.run(
                #[inline(always)]
                || simd.canonical(&simd.mul(&x, &y)),
            ));
            assert_eq!(result, [product(&loose, &[TOP; 5]); LANES]);
        }
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_long_hand(
            a in prop::array::uniform8(prop::array::uniform5(0..=TOP)),
            b in prop::array::uniform8(prop::array::uniform5(0..=TOP)),
        ) {
            check(&a, &b);
        }
    }
}
