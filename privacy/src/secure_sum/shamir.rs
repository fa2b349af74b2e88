//! Packed Shamir secret sharing over GF(2^17 - 1) (Shamir, CACM 1979; Franklin and Yung, STOC 1992).
//!
//! A polynomial of degree below `r = T + k` takes `k` secrets at the points `-1, ..., -k` and is handed out at the points
//! `1, ..., c`. Its values at `T` of these are uniform and independent of the secrets, so they are drawn at random for
//! the first `T` members, and the other members' values are linear in them and the secrets: sharing is one small matrix
//! product over all columns at once.

use super::committee::CommitteeRule;
use super::reed_solomon;
use crate::digest::Transcript;
use crate::prg::SecretStream;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

/// The field's modulus, the Mersenne prime 2^17 - 1.
pub const FIELD: u32 = (1 << 17) - 1;
/// A field element, always reduced.
pub type Fp = u32;

/// The committee's answers do not determine the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconstructError {
    /// Too few members answered: the round is lost, nobody's secret is.
    #[error("{found} members answered, {needed} are needed")]
    TooFew {
        /// r
        needed: u32,
        /// How many answered.
        found: u32,
    },
    /// The position is not that of a member.
    #[error("position {position} of a committee of {members}")]
    Position {
        /// The position.
        position: u32,
        /// c
        members: u32,
    },
    /// A member answered twice.
    #[error("the member at position {position} answered twice")]
    Repeated {
        /// The position.
        position: u32,
    },
    /// An answer has another length than the rule asks for.
    #[error("the member at position {position} answered {found} elements, not {expected}")]
    Length {
        /// The position.
        position: u32,
        /// The length that the rule asks for.
        expected: usize,
        /// The answer's length.
        found: usize,
    },
    /// So many answers are wrong that the others cannot be told from them.
    #[error("of {found} answers, {needed} of them needed, more than {correctable} are wrong")]
    TooManyWrong {
        /// How many answered.
        found: u32,
        /// r
        needed: u32,
        /// How many wrong answers could have been found.
        correctable: u32,
    },
}

/// Splits `secrets` (reduced) among the members of `rule`: one vector of [`columns`] elements for each.
pub fn share(secrets: &[Fp], rule: &CommitteeRule, random: &mut SecretStream) -> Vec<Vec<Fp>> {
    let (threshold, packing) = (rule.privacy_threshold() as usize, rule.packing() as usize);
    let columns = columns(secrets.len(), rule);
    let mut base: Vec<Vec<Fp>> = (0..packing)
        .map(|row| (0..columns).map(|column| secrets.get(column * packing + row).copied().unwrap_or(0)).collect())
        .collect();
    base.extend((0..threshold).map(|_| uniform(columns, random)));
    let base_points: Vec<Fp> = (0..packing).map(secret_point).chain((0..threshold).map(member_point)).collect();
    let derived: Vec<Vec<Fp>> = (threshold..rule.members() as usize)
        .map(|member| combine(&lagrange(&base_points, member_point(member)), &base, columns))
        .collect();
    let shares = base.split_off(packing).into_iter().chain(derived).collect();
    base.zeroize();
    shares
}

/// The first `count` secrets behind the answers, and the positions of the members whose answers were wrong.
pub fn reconstruct(
    answers: &[(u32, &[Fp])],
    rule: &CommitteeRule,
    count: usize,
) -> Result<(Vec<Fp>, Vec<u32>), ReconstructError> {
    let columns = columns(count, rule);
    check(answers, rule, columns)?;
    let needed = rule.answers_needed() as usize;
    let (good, mut wrong) = split(answers, needed, columns)?;
    let basis = &good[..needed];
    let points: Vec<Fp> = basis.iter().map(|&(position, _)| member_point(position as usize)).collect();
    let rows: Vec<&[Fp]> = basis.iter().map(|&(_, row)| row).collect();
    let packing = rule.packing() as usize;
    let mut secrets = vec![0; columns * packing];
    for slot in 0..packing {
        let values = combine(&lagrange(&points, secret_point(slot)), &rows, columns);
        secrets.iter_mut().skip(slot).step_by(packing).zip(values).for_each(|(secret, value)| *secret = value);
    }
    secrets.truncate(count);
    wrong.sort_unstable();
    Ok((secrets, wrong))
}

/// How many polynomials carry so many secrets: one share's length.
pub fn columns(secrets: usize, rule: &CommitteeRule) -> usize {
    secrets.div_ceil(rule.packing() as usize)
}

type Answer<'a> = (u32, &'a [Fp]);

fn check(answers: &[Answer<'_>], rule: &CommitteeRule, columns: usize) -> Result<(), ReconstructError> {
    let mut seen = vec![false; rule.members() as usize];
    for &(position, elements) in answers {
        match seen.get_mut(position as usize) {
            None => {
                return Err(ReconstructError::Position { position, members: rule.members() });
            }
            Some(true) => return Err(ReconstructError::Repeated { position }),
            Some(seen) => *seen = true,
        }
        if elements.len() != columns {
            return Err(ReconstructError::Length { position, expected: columns, found: elements.len() });
        }
    }
    let (needed, found) = (rule.answers_needed(), answers.len() as u32);
    if found < needed { Err(ReconstructError::TooFew { needed, found }) } else { Ok(()) }
}

/// Tells right answers from wrong ones.
///
/// A random linear combination of the columns is decoded first: it shows every wrong answer, unless the errors of one
/// cancel, which happens with probability `1 / FIELD`. Then every column of the answers left is checked against the
/// polynomial through the first `r` of them; a column that does not fit is decoded itself. So nothing rests on the
/// combination, which may therefore be derived from the answers.
fn split<'a>(
    answers: &[Answer<'a>],
    needed: usize,
    columns: usize,
) -> Result<(Vec<Answer<'a>>, Vec<u32>), ReconstructError> {
    let correctable = (answers.len() - needed) / 2;
    let failure = ReconstructError::TooManyWrong {
        found: answers.len() as u32,
        needed: needed as u32,
        correctable: correctable as u32,
    };
    let mut good = answers.to_vec();
    let mut wrong = Vec::new();
    if good.len() == needed {
        return Ok((good, wrong));
    }
    let coefficients = combination(answers, columns);
    let mut suspect: Option<Vec<Fp>> = Some(good.iter().map(|(_, row)| inner_product(&coefficients, row)).collect());
    while let Some(values) = suspect {
        let points: Vec<Fp> = good.iter().map(|&(position, _)| member_point(position as usize)).collect();
        let found = reed_solomon::wrong_positions(&points, &values, needed).ok_or(failure)?;
        for &index in found.iter().rev() {
            wrong.push(good.remove(index).0);
        }
        if wrong.len() > correctable {
            return Err(failure);
        }
        suspect = unfit_column(&good, needed, columns);
    }
    Ok((good, wrong))
}

/// The values of the first column that is not on a polynomial of degree below `needed`.
fn unfit_column(answers: &[Answer<'_>], needed: usize, columns: usize) -> Option<Vec<Fp>> {
    let (basis, others) = answers.split_at(needed);
    let points: Vec<Fp> = basis.iter().map(|&(position, _)| member_point(position as usize)).collect();
    let rows: Vec<&[Fp]> = basis.iter().map(|&(_, row)| row).collect();
    others.iter().find_map(|&(position, row)| {
        let expected = combine(&lagrange(&points, member_point(position as usize)), &rows, columns);
        let column = (0..columns).find(|&column| expected[column] != row[column])?;
        Some(answers.iter().map(|(_, row)| row[column]).collect())
    })
}

/// Coefficients derived from all the answers.
fn combination(answers: &[Answer<'_>], columns: usize) -> Vec<Fp> {
    let mut transcript = Transcript::new("haihe/v1/secure-sum/combination");
    for (position, row) in answers {
        let bytes: Vec<u8> = row.iter().flat_map(|element| element.to_le_bytes()).collect();
        transcript = transcript.u64(u64::from(*position)).bytes(&bytes);
    }
    let mut rng = ChaCha20Rng::from_seed(*transcript.finish().as_bytes());
    (0..columns).map(|_| rng.next_u32() % FIELD).collect()
}

fn inner_product(a: &[Fp], b: &[Fp]) -> Fp {
    a.iter().zip(b).fold(0, |sum, (&a, &b)| add(sum, mul(a, b)))
}

/// `sum of coefficients[i] rows[i]`, column by column. A sum of 64 or even 1000 products of 34 bits fits 64 bits.
fn combine<Row: AsRef<[Fp]>>(coefficients: &[Fp], rows: &[Row], columns: usize) -> Vec<Fp> {
    let mut sums = vec![0u64; columns];
    for (&coefficient, row) in coefficients.iter().zip(rows) {
        for (sum, &element) in sums.iter_mut().zip(row.as_ref()) {
            *sum += u64::from(coefficient) * u64::from(element);
        }
    }
    let combined = sums.iter().map(|&sum| (sum % u64::from(FIELD)) as Fp).collect();
    sums.zeroize();
    combined
}

/// Lagrange coefficients: `f(x) = sum of result[i] f(points[i])` for every `f` of degree below the number of points.
fn lagrange(points: &[Fp], x: Fp) -> Vec<Fp> {
    let coefficient = |i: usize| {
        let others = || points.iter().enumerate().filter(move |&(j, _)| j != i).map(|(_, &point)| point);
        let numerator = others().fold(1, |product, point| mul(product, sub(x, point)));
        let denominator = others().fold(1, |product, point| mul(product, sub(points[i], point)));
        mul(numerator, inverse(denominator))
    };
    (0..points.len()).map(coefficient).collect()
}

/// Uniform field elements: 17 bits at a time, 2^17 - 1 itself rejected.
fn uniform(count: usize, random: &mut SecretStream) -> Vec<Fp> {
    let mut bytes = vec![0; 4 * count];
    random.fill(&mut bytes);
    let mut elements: Vec<Fp> =
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) & FIELD).collect();
    bytes.zeroize();
    for element in &mut elements {
        while *element == FIELD {
            *element = random.next_u32() & FIELD;
        }
    }
    elements
}

fn member_point(position: usize) -> Fp {
    position as Fp + 1
}

fn secret_point(slot: usize) -> Fp {
    FIELD - 1 - slot as Fp
}

pub(super) fn add(a: Fp, b: Fp) -> Fp {
    (a + b) % FIELD
}

pub(super) fn sub(a: Fp, b: Fp) -> Fp {
    (a + FIELD - b) % FIELD
}

pub(super) fn mul(a: Fp, b: Fp) -> Fp {
    (u64::from(a) * u64::from(b) % u64::from(FIELD)) as Fp
}

/// The inverse of a nonzero element: `a^(p - 2)`. Zero has none; it gives zero.
pub(super) fn inverse(a: Fp) -> Fp {
    let (mut result, mut square, mut exponent) = (1, a, FIELD - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_sum::committee::Adversary;

    const COUNT: usize = 101;

    fn shared(rule: &CommitteeRule) -> (Vec<Fp>, Vec<Vec<Fp>>) {
        let secrets: Vec<Fp> = (0..COUNT as Fp).map(|i| i * i * 12_345 % FIELD).collect();
        let shares = share(&secrets, rule, &mut SecretStream::new(&[3; 32], 0));
        (secrets, shares)
    }

    fn answers(shares: &[Vec<Fp>]) -> Vec<(u32, &[Fp])> {
        shares.iter().enumerate().map(|(i, row)| (i as u32, row.as_slice())).collect()
    }

    #[test]
    fn any_needed_answers_reconstruct_and_fewer_do_not() {
        let rule = CommitteeRule::for_parties(10, Adversary::Malicious).expect("valid");
        let (secrets, shares) = shared(&rule);
        for start in 0..10 {
            let some: Vec<_> = (0..7).map(|i| answers(&shares)[(start + i) % 10]).collect();
            assert_eq!(reconstruct(&some, &rule, COUNT), Ok((secrets.clone(), vec![])));
            let few = reconstruct(&some[1..], &rule, COUNT);
            assert_eq!(few, Err(ReconstructError::TooFew { needed: 7, found: 6 }));
        }
    }

    #[test]
    fn a_wrong_answer_is_named_even_if_the_combination_does_not_show_it() {
        let rule = CommitteeRule::for_parties(10, Adversary::Malicious).expect("valid");
        let (secrets, mut shares) = shared(&rule);
        shares[6][3] = add(shares[6][3], 1);
        assert_eq!(reconstruct(&answers(&shares), &rule, COUNT), Ok((secrets, vec![6])));
        // The check of all columns alone finds it too.
        let column = unfit_column(&answers(&shares), 7, columns(COUNT, &rule)).expect("found");
        let points: Vec<Fp> = (0..10).map(member_point).collect();
        assert_eq!(reed_solomon::wrong_positions(&points, &column, 7), Some(vec![6]));
        // Two wrong answers of ten, seven of them needed: noticed, not corrected.
        shares[1][0] = add(shares[1][0], 9);
        let failure = ReconstructError::TooManyWrong { found: 10, needed: 7, correctable: 1 };
        assert_eq!(reconstruct(&answers(&shares), &rule, COUNT), Err(failure));
    }

    #[test]
    fn malformed_answers_are_refused() {
        let rule = CommitteeRule::for_parties(4, Adversary::Malicious).expect("valid");
        let (_, shares) = shared(&rule);
        let all = answers(&shares);
        let twice = [all[0], all[1], all[1]];
        assert_eq!(reconstruct(&twice, &rule, COUNT), Err(ReconstructError::Repeated { position: 1 }));
        let outside = [all[0], all[1], (4, all[2].1)];
        assert_eq!(reconstruct(&outside, &rule, COUNT), Err(ReconstructError::Position { position: 4, members: 4 }));
        let short = [all[0], all[1], (2, &all[2].1[1..])];
        let length = columns(COUNT, &rule);
        let expected = ReconstructError::Length { position: 2, expected: length, found: length - 1 };
        assert_eq!(reconstruct(&short, &rule, COUNT), Err(expected));
    }

    #[test]
    fn shares_up_to_the_threshold_are_independent_of_the_secrets() {
        // For any T members and any two secret vectors there is exactly one choice of randomness that gives the same
        // shares: the map from randomness to these T shares is a bijection. Checked by its matrix having full rank, on
        // every pair of members of a committee of five with T = 2.
        let rule = CommitteeRule::for_parties(5, Adversary::Malicious).expect("valid");
        let base: Vec<Fp> = (0..2).map(secret_point).chain((0..2).map(member_point)).collect();
        assert_eq!((rule.privacy_threshold(), rule.packing()), (2, 2));
        for a in 0..5 {
            for b in 0..a {
                let (x, y) = (lagrange(&base, member_point(a)), lagrange(&base, member_point(b)));
                assert_ne!(sub(mul(x[2], y[3]), mul(x[3], y[2])), 0);
            }
        }
    }
}
