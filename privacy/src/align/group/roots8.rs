//! Inverses and square roots: long chains of squarings.

use super::constants8::SQRT_M1;
use super::field8::{Element, Ifma, Mask};

impl Ifma {
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
