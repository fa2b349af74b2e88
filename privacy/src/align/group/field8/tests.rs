//! Every operation against long hand.

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
    let lanes = element.0.map(pulp::cast::<__m512i, [u64; LANES]>);
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
            [simd.mul(&x, &y), simd.square(&x), simd.add(&x, &y), simd.sub(&x, &y), simd.mul(&inverse, &x), difference]
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
