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
    pub(super) fn load(self, words: &[[u64; LANES]; 4]) -> Element {
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
    pub(super) fn store(self, a: &Element) -> [[u64; LANES]; 4] {
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
}

#[cfg(test)]
mod tests;
