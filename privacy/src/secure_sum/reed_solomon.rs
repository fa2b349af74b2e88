//! Reed-Solomon decoding over GF(2^17 - 1) after Gao ("A new algorithm for decoding Reed-Solomon codes", 2003).
//!
//! The code: polynomials of degree below `r`, evaluated at `m` distinct points. Up to `(m - r) / 2` wrong values are
//! found.

use super::shamir::{FIELD, Fp, add, inverse, mul, sub};

/// The positions whose values are not those of the one polynomial of degree below `degree_bound` that agrees with all
/// but at most `(m - degree_bound) / 2` of the `m` values; `None` if there is no such polynomial.
///
/// The points must be distinct.
pub fn wrong_positions(points: &[Fp], values: &[Fp], degree_bound: usize) -> Option<Vec<usize>> {
    let polynomial = decode(points, values, degree_bound)?;
    let wrong: Vec<usize> = (0..points.len()).filter(|&i| evaluate(&polynomial, points[i]) != values[i]).collect();
    (2 * wrong.len() <= points.len() - degree_bound).then_some(wrong)
}

/// Gao's algorithm 1a. Polynomials are coefficient vectors, lowest first, without leading zeros.
fn decode(points: &[Fp], values: &[Fp], degree_bound: usize) -> Option<Vec<Fp>> {
    let m = points.len();
    if values.len() != m || degree_bound == 0 || m < degree_bound {
        return None;
    }
    // "Step 1: (Interpolation) Find the unique polynomial g1(x) of degree <= n - 1 such that g1(a_i) = b_i."
    let g0 = points.iter().fold(vec![1], |g, &a| multiply(&g, &[sub(0, a), 1]));
    let g1 = interpolate(points, values, &g0);
    // "Step 2: (Partial gcd) Apply the extended Euclidean algorithm to g0 and g1. Stop when the remainder g(x) has
    // degree < (n + k) / 2. Suppose we have u(x) g0(x) + v(x) g1(x) = g(x)."
    let (mut previous, mut current) = (g0, g1);
    let (mut v_previous, mut v) = (Vec::new(), vec![1]);
    while 2 * current.len() > m + degree_bound + 1 {
        let (quotient, remainder) = divide(&previous, &current)?;
        let v_next = subtract(&v_previous, &multiply(&quotient, &v));
        (previous, current) = (current, remainder);
        (v_previous, v) = (v, v_next);
    }
    // "Step 3: (Long division) Divide g(x) by v(x), say g(x) = f1(x) v(x) + r(x). If r(x) = 0 and deg f1 < k then
    // output f1(x); otherwise output 'Decoding failure'."
    let (f1, remainder) = divide(&current, &v)?;
    (remainder.is_empty() && f1.len() <= degree_bound).then_some(f1)
}

/// Lagrange interpolation, with `vanishing` the product of all `x - a_i`.
fn interpolate(points: &[Fp], values: &[Fp], vanishing: &[Fp]) -> Vec<Fp> {
    let mut sum = vec![0; points.len()];
    for (&point, &value) in points.iter().zip(values) {
        let Some((basis, _)) = divide(vanishing, &[sub(0, point), 1]) else {
            continue;
        };
        let scale = mul(value, inverse(evaluate(&basis, point)));
        for (sum, &coefficient) in sum.iter_mut().zip(&basis) {
            *sum = add(*sum, mul(scale, coefficient));
        }
    }
    trimmed(sum)
}

/// Horner's rule.
fn evaluate(polynomial: &[Fp], point: Fp) -> Fp {
    polynomial.iter().rev().fold(0, |value, &coefficient| add(mul(value, point), coefficient))
}

fn multiply(a: &[Fp], b: &[Fp]) -> Vec<Fp> {
    if a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let mut product = vec![0; a.len() + b.len() - 1];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in b.iter().enumerate() {
            product[i + j] = add(product[i + j], mul(x, y));
        }
    }
    trimmed(product)
}

fn subtract(a: &[Fp], b: &[Fp]) -> Vec<Fp> {
    let at = |p: &[Fp], i: usize| p.get(i).copied().unwrap_or(0);
    trimmed((0..a.len().max(b.len())).map(|i| sub(at(a, i), at(b, i))).collect())
}

/// Quotient and remainder; `None` if the divisor is zero.
fn divide(dividend: &[Fp], divisor: &[Fp]) -> Option<(Vec<Fp>, Vec<Fp>)> {
    let lead = inverse(*divisor.last()?);
    let mut remainder = dividend.to_vec();
    let mut quotient = vec![0; (dividend.len() + 1).saturating_sub(divisor.len())];
    for i in (0..quotient.len()).rev() {
        let factor = mul(remainder[i + divisor.len() - 1], lead);
        quotient[i] = factor;
        for (j, &coefficient) in divisor.iter().enumerate() {
            remainder[i + j] = sub(remainder[i + j], mul(factor, coefficient));
        }
    }
    Some((trimmed(quotient), trimmed(remainder)))
}

fn trimmed(mut polynomial: Vec<Fp>) -> Vec<Fp> {
    while polynomial.last() == Some(&0) {
        polynomial.pop();
    }
    polynomial
}

const _: () = assert!(FIELD > 1000);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_every_wrong_value_up_to_half_the_redundancy(
            polynomial in proptest::collection::vec(0..FIELD, 1..20),
            redundancy in 0usize..12,
            offsets in proptest::collection::vec(1..FIELD, 6),
            order in any::<u64>(),
        ) {
            let m = polynomial.len() + redundancy;
            let points: Vec<Fp> = (1..=m as Fp).collect();
            let mut values: Vec<Fp> = points.iter().map(|&x| evaluate(&polynomial, x)).collect();
            let errors = redundancy / 2;
            let mut wrong: Vec<usize> = (0..errors).map(|i| (order as usize % m + i * 7) % m).collect();
            wrong.sort_unstable();
            wrong.dedup();
            for (&i, &offset) in wrong.iter().zip(&offsets) {
                values[i] = add(values[i], offset);
            }
            prop_assert_eq!(wrong_positions(&points, &values, polynomial.len()), Some(wrong));
        }
    }

    #[test]
    fn too_many_wrong_values_are_not_explained_away() {
        let points: Vec<Fp> = (1..=10).collect();
        let mut values: Vec<Fp> = points.iter().map(|&x| evaluate(&[5, 6, 7], x)).collect();
        for (i, value) in values.iter_mut().enumerate().take(5) {
            *value = add(*value, 1000 + 17 * i as Fp * i as Fp * i as Fp);
        }
        assert_eq!(wrong_positions(&points, &values, 3), None);
        assert_eq!(wrong_positions(&points[..2], &values[..2], 3), None);
    }
}
