//! Points of the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2 behind ristretto255, eight at a time.
//!
//! Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited" (2008), sections 3.1 and 3.3, complete on
//! this curve. Encodings: RFC 9496, section 4.3; double-and-encode: Hamburg's, as on ristretto.group.

use super::constants8::{D, D_MINUS_ONE_SQ, D2, INVSQRT_A_MINUS_D, ONE_MINUS_D_SQ, SQRT_AD_MINUS_ONE, SQRT_M1};
use super::field8::{Element, Ifma, LANES, Mask};
use std::hint::black_box;
use zeroize::Zeroizing;

/// `x = X/Z`, `y = Y/Z`, `x y = T/Z`.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: Element,
    y: Element,
    z: Element,
    t: Element,
}

/// A point without T.
#[derive(Clone, Copy)]
struct Projective {
    x: Element,
    y: Element,
    z: Element,
}

/// A sum before its last multiplications: `x = E/G`, `y = H/F`.
#[derive(Clone, Copy)]
struct Completed {
    e: Element,
    f: Element,
    g: Element,
    h: Element,
}

/// A point that is going to be added: `Y + X`, `Y - X`, `2 Z`, `2 d T`.
#[derive(Clone, Copy)]
struct Cached {
    sum: Element,
    difference: Element,
    z2: Element,
    t2d: Element,
}

/// Twice a point, ready to be encoded once `1 / (e f g h)` is known.
#[derive(Clone, Copy)]
pub(super) struct Doubled {
    e: Element,
    f: Element,
    g: Element,
    h: Element,
    eg: Element,
    fh: Element,
}

/// Multiples that a table holds: digits of radix 16 run from -8 to 8.
const TABLE: usize = 8;
const DIGITS: usize = 64;

/// A scalar in signed digits of radix 16, lowest first. Wiped on drop.
pub(super) struct Digits(Zeroizing<[i8; DIGITS]>);

impl Digits {
    /// The digits of a little-endian scalar below 2^253.
    pub(super) fn new(scalar: &[u8; 32]) -> Self {
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut carry = 0;
        for (i, digit) in digits.iter_mut().enumerate() {
            let nibble = (scalar[i / 2] >> (4 * (i % 2)) & 15) as i8 + carry;
            carry = (nibble + 8) >> 4;
            *digit = nibble - (carry << 4);
        }
        Self(digits)
    }
}

impl Ifma {
    #[inline(always)]
    fn projective(self, p: &Completed) -> Projective {
        Projective { x: self.mul(&p.e, &p.f), y: self.mul(&p.g, &p.h), z: self.mul(&p.f, &p.g) }
    }

    #[inline(always)]
    fn extended(self, p: &Completed) -> Point {
        let Projective { x, y, z } = self.projective(p);
        Point { x, y, z, t: self.mul(&p.e, &p.h) }
    }

    #[inline(always)]
    fn double(self, p: &Projective) -> Completed {
        let (xx, yy, zz) = (self.square_wide(&p.x), self.square_wide(&p.y), self.square_wide(&p.z));
        let both = self.square_wide(&self.add(&p.x, &p.y));
        let h = self.add_wide(yy, xx);
        Completed {
            e: self.carry(self.sub_wide(both, h)),
            f: self.carry(self.sub_wide(self.add_wide(self.add_wide(zz, zz), xx), yy)),
            g: self.carry(self.sub_wide(yy, xx)),
            h: self.carry(h),
        }
    }

    #[inline(always)]
    fn add_cached(self, p: &Point, q: &Cached) -> Completed {
        let pp = self.mul_wide(&self.add(&p.y, &p.x), &q.sum);
        let mm = self.mul_wide(&self.sub(&p.y, &p.x), &q.difference);
        let tt = self.mul_wide(&p.t, &q.t2d);
        let zz = self.mul_wide(&p.z, &q.z2);
        Completed {
            e: self.carry(self.sub_wide(pp, mm)),
            f: self.carry(self.sub_wide(zz, tt)),
            g: self.carry(self.add_wide(zz, tt)),
            h: self.carry(self.add_wide(pp, mm)),
        }
    }

    #[inline(always)]
    fn cached(self, p: &Point) -> Cached {
        Cached {
            sum: self.add(&p.y, &p.x),
            difference: self.sub(&p.y, &p.x),
            z2: self.add(&p.z, &p.z),
            t2d: self.mul(&p.t, &self.constant(&D2)),
        }
    }

    /// `p, 2 p, .., 8 p`.
    #[inline(always)]
    fn table(self, p: &Point) -> [Cached; TABLE] {
        let first = self.cached(p);
        let mut table = [first; TABLE];
        let mut multiple = *p;
        for entry in &mut table[1..] {
            multiple = self.extended(&self.add_cached(&multiple, &first));
            *entry = self.cached(&multiple);
        }
        table
    }

    /// Puts the entry into `found`, which is zero before, if the two numbers are equal.
    #[inline(always)]
    fn or_if(self, found: &mut Cached, entry: &Cached, magnitude: u64, wanted: u64) {
        // All ones or all zeros. The compiler must not know that much, lest it make a branch of it.
        let mask = self.splat(black_box(((magnitude ^ wanted).wrapping_sub(1) as i64 >> 63) as u64));
        found.sum = self.or_masked(&found.sum, &entry.sum, mask);
        found.difference = self.or_masked(&found.difference, &entry.difference, mask);
        found.z2 = self.or_masked(&found.z2, &entry.z2, mask);
        found.t2d = self.or_masked(&found.t2d, &entry.t2d, mask);
    }

    /// The digit's multiple out of the table. Every entry is read, whatever the digit is.
    #[inline(always)]
    fn look_up(self, table: &[Cached; TABLE], digit: i8) -> Cached {
        let sign = digit >> 7;
        let magnitude = ((digit ^ sign) - sign) as u64;
        let mut found = Cached { sum: self.zero(), difference: self.zero(), z2: self.zero(), t2d: self.zero() };
        let identity = Cached {
            sum: self.one(),
            difference: self.one(),
            z2: self.add(&self.one(), &self.one()),
            t2d: self.zero(),
        };
        self.or_if(&mut found, &identity, magnitude, 0);
        for (i, entry) in table.iter().enumerate() {
            self.or_if(&mut found, entry, magnitude, i as u64 + 1);
        }
        let negative: Mask = black_box(sign as u8);
        Cached {
            sum: self.select(negative, &found.sum, &found.difference),
            difference: self.select(negative, &found.difference, &found.sum),
            z2: found.z2,
            t2d: self.select(negative, &found.t2d, &self.negative_loose(&found.t2d)),
        }
    }

    /// The point times the scalar, the same for all lanes: four doublings and an addition for each digit.
    #[inline(always)]
    pub(super) fn scale(self, p: &Point, digits: &Digits) -> Point {
        let table = self.table(p);
        let identity = Point { x: self.zero(), y: self.one(), z: self.one(), t: self.zero() };
        let [rest @ .., last] = &*digits.0;
        let mut sum = self.add_cached(&identity, &self.look_up(&table, *last));
        for digit in rest.iter().rev() {
            for _ in 0..3 {
                sum = self.double(&self.projective(&sum));
            }
            let shifted = self.extended(&self.double(&self.projective(&sum)));
            sum = self.add_cached(&shifted, &self.look_up(&table, *digit));
        }
        self.extended(&sum)
    }

    /// Decoding (RFC 9496, section 4.3.1) of canonical, non-negative field elements, and the lanes that are points.
    #[inline(always)]
    pub(super) fn decode(self, s: &[Element; 2]) -> [(Point, Mask); 2] {
        let one = self.one();
        let [a, b] = [self.before_root(&s[0]), self.before_root(&s[1])];
        let (squares, roots) = self.sqrt_ratio(&[one, one], &[a.3, b.3]);
        [self.after_root(&s[0], &a, squares[0], &roots[0]), self.after_root(&s[1], &b, squares[1], &roots[1])]
    }

    /// `u1`, `u2`, `v` and `v u2^2`.
    #[inline(always)]
    fn before_root(self, s: &Element) -> (Element, Element, Element, Element) {
        let (one, ss) = (self.one(), self.square(s));
        let (u1, u2) = (self.sub(&one, &ss), self.add(&one, &ss));
        let u2_squared = self.square(&u2);
        let du1_squared = self.mul(&self.constant(&D), &self.square(&u1));
        let v = self.negative(&self.add(&du1_squared, &u2_squared));
        (u1, u2, v, self.mul(&v, &u2_squared))
    }

    #[inline(always)]
    fn after_root(
        self,
        s: &Element,
        (u1, u2, v, _): &(Element, Element, Element, Element),
        square: Mask,
        root: &Element,
    ) -> (Point, Mask) {
        let den_x = self.mul(root, u2);
        let den_y = self.mul(&self.mul(root, &den_x), v);
        let x = self.absolute(&self.mul(&self.add(s, s), &den_x));
        let y = self.mul(u1, &den_y);
        let t = self.mul(&x, &y);
        let valid = square & !self.is_negative(&t) & !self.is_zero(&y);
        (Point { x, y, z: self.one(), t }, valid)
    }

    /// The sum of the function `MAP` of RFC 9496, section 4.3.4 (Elligator 2), of two field elements.
    #[inline(always)]
    pub(super) fn map(self, t: &[Element; 2]) -> Point {
        let [(r0, u0, v0), (r1, u1, v1)] = [self.before_map(&t[0]), self.before_map(&t[1])];
        let (squares, roots) = self.sqrt_ratio(&[u0, u1], &[v0, v1]);
        let p = self.after_map(&t[0], &r0, &v0, squares[0], &roots[0]);
        let q = self.after_map(&t[1], &r1, &v1, squares[1], &roots[1]);
        self.extended(&self.add_cached(&p, &self.cached(&q)))
    }

    /// `r`, `u` and `v`.
    #[inline(always)]
    fn before_map(self, t: &Element) -> (Element, Element, Element) {
        let (one, d) = (self.one(), self.constant(&D));
        let r = self.mul(&self.square(t), &self.constant(&SQRT_M1));
        let u = self.mul(&self.add(&r, &one), &self.constant(&ONE_MINUS_D_SQ));
        let rd_plus_one = self.add(&self.mul(&r, &d), &one);
        (r, u, self.mul(&self.negative(&rd_plus_one), &self.add(&r, &d)))
    }

    #[inline(always)]
    fn after_map(self, t: &Element, r: &Element, v: &Element, square: Mask, root: &Element) -> Point {
        let one = self.one();
        let turned = self.negative(&self.absolute(&self.mul(root, t)));
        let s = self.select(square, &turned, root);
        let c = self.select(square, r, &self.negative(&one));
        let scaled = self.mul(&self.mul(&c, &self.sub(r, &one)), &self.constant(&D_MINUS_ONE_SQ));
        let n = self.sub(&scaled, v);
        let ss = self.square(&s);
        self.extended(&Completed {
            e: self.mul(&self.add(&s, &s), v),
            g: self.mul(&n, &self.constant(&SQRT_AD_MINUS_ONE)),
            h: self.sub(&one, &ss),
            f: self.add(&one, &ss),
        })
    }

    /// Twice the point, up to the inversion of [`Doubled::product`].
    #[inline(always)]
    pub(super) fn double_for_encoding(self, p: &Point) -> Doubled {
        let dtt = self.mul(&self.constant(&D), &self.square(&p.t));
        let zz = self.square(&p.z);
        let xy = self.mul(&p.x, &p.y);
        let e = self.add(&xy, &xy);
        let g = self.carry(self.add_wide(self.square_wide(&p.x), self.square_wide(&p.y)));
        let (f, h) = (self.add(&zz, &dtt), self.sub(&zz, &dtt));
        Doubled { e, f, g, h, eg: self.mul(&e, &g), fh: self.mul(&f, &h) }
    }

    /// `e f g h`, of which [`Self::encode`] wants the inverse.
    #[inline(always)]
    pub(super) fn product(self, p: &Doubled) -> Element {
        self.mul(&p.eg, &p.fh)
    }

    /// The encodings, word by word. `inverse` is 1 / (e f g h), or 0 where that is 0: the identity.
    #[inline(always)]
    pub(super) fn encode(self, p: &Doubled, inverse: &Element) -> [[u64; LANES]; 4] {
        let z_inverse = self.mul(&p.eg, inverse);
        let t_inverse = self.mul(&p.fh, inverse);
        let rotate = self.is_negative(&self.mul(&p.eg, &z_inverse));
        let i = self.constant(&SQRT_M1);
        let e = self.select(rotate, &p.e, &p.g);
        let g = self.select(rotate, &p.g, &self.negative(&p.e));
        let h = self.select(rotate, &p.h, &self.mul(&p.f, &i));
        let magic = self.select(rotate, &self.constant(&INVSQRT_A_MINUS_D), &i);
        let turn = self.is_negative(&self.mul(&self.mul(&h, &e), &z_inverse));
        let g = self.negate_where(turn, &g);
        let s = self.mul(&self.mul(&self.sub(&h, &g), &magic), &self.mul(&g, &t_inverse));
        self.store(&self.absolute(&s))
    }
}
