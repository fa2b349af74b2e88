//! The references of the linear kernel: Paillier (Eurocrypt 1999) and Okamoto-Uchiyama (Eurocrypt 1998), both with moduli of
//! 2048 bits, on `crypto-bigint`'s Montgomery arithmetic.
//!
//! The primes are the first beyond round numbers: of no use as a key, and no different in time. The key holder encrypts and
//! decrypts Paillier by the Chinese remainder theorem. Entries are numbers of 16 bits; signed ones would be shifted, which
//! costs one more ciphertext for the whole matrix.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{NonZero, Odd, Uint};

/// A ciphertext in Montgomery form.
pub type Ciphertext<const LIMBS: usize> = FixedMontyForm<LIMBS>;

type U1024 = Uint<16>;
type U2048 = Uint<32>;
type U4096 = Uint<64>;

/// `sum of x_i d_i`, each ciphertext raised to its entry: what the frameworks do. By squaring and multiplying, since for
/// exponents of 16 bits a table of powers costs more than it saves.
pub fn product_of_powers<const LIMBS: usize>(d: &[Ciphertext<LIMBS>], x: &[u16]) -> Ciphertext<LIMBS> {
    let power = |d: &Ciphertext<LIMBS>, x: u16| {
        let bits = (0..x.checked_ilog2()?).rev();
        Some(bits.fold(*d, |power, bit| if x >> bit & 1 == 1 { power.square().mul(d) } else { power.square() }))
    };
    let powers = d.iter().zip(x).filter_map(|(d, &x)| power(d, x));
    powers.fold(FixedMontyForm::one(d[0].params()), |product, power| product.mul(&power))
}

/// The same with buckets (Pippenger): two products for each entry, and a thousand for each column.
pub fn product_by_buckets<const LIMBS: usize>(d: &[Ciphertext<LIMBS>], x: &[u16]) -> Ciphertext<LIMBS> {
    let one = FixedMontyForm::one(d[0].params());
    let mut result = one;
    for shift in [8, 0] {
        let mut buckets: Vec<_> = std::iter::repeat_n(one, 256).collect();
        for (d, x) in d.iter().zip(x) {
            let digit = usize::from(x >> shift & 0xff);
            // Bucket 0 is never read.
            if digit > 0 {
                buckets[digit] = buckets[digit].mul(d);
            }
        }
        let (mut running, mut sum) = (one, one);
        for bucket in buckets[1..].iter().rev() {
            running = running.mul(bucket);
            sum = sum.mul(&running);
        }
        result = result.square_repeat_vartime(8).mul(&sum);
    }
    result
}

/// A Paillier key pair.
pub struct Paillier {
    p: U1024,
    q: U1024,
    n: U2048,
    squares: [FixedMontyParams<32>; 2],
    of_n: FixedMontyParams<64>,
    /// `(p^2)^-1` modulo `q^2`.
    inverse: FixedMontyForm<32>,
}

impl Paillier {
    /// The key with primes of 1024 bits.
    pub fn new() -> Self {
        let p = U1024::from(3u8).shl_vartime(1022).wrapping_add(&U1024::from(1037u16));
        let q = U1024::from(7u8).shl_vartime(1021).wrapping_add(&U1024::from(309u16));
        let n: U2048 = p.concatenating_mul(&q);
        let square = |p: &U1024| -> U2048 { p.concatenating_mul(p) };
        let squares = [square(&p), square(&q)].map(|square| FixedMontyParams::new_vartime(odd(square)));
        let n_square: U4096 = n.concatenating_mul(&n);
        let inverse = FixedMontyForm::new(&square(&p).rem_vartime(&nonzero(square(&q))), &squares[1]);
        let inverse = inverse.invert_vartime().expect("p and q differ");
        Self { p, q, n, squares, of_n: FixedMontyParams::new_vartime(odd(n_square)), inverse }
    }

    /// `(1 + m n) r^n` modulo `n^2`, the power by its residues modulo `p^2` and `q^2`.
    pub fn encrypt(&self, m: u64, r: &U2048) -> Ciphertext<64> {
        let [at_p, at_q] = [0, 1]
            .map(|i| FixedMontyForm::new(&r.rem(self.squares[i].modulus().as_nz_ref()), &self.squares[i]).pow(&self.n));
        let p_square = *self.squares[0].modulus().as_nz_ref();
        let small = at_p.retrieve();
        let difference =
            at_q.sub(&FixedMontyForm::new(&small.rem(self.squares[1].modulus().as_nz_ref()), &self.squares[1]));
        let high: U4096 = difference.mul(&self.inverse).retrieve().concatenating_mul(&p_square);
        let power = FixedMontyForm::new(&high.wrapping_add(&small.resize()), &self.of_n);
        let plain: U4096 = self.n.concatenating_mul(&U2048::from(m));
        power.mul(&FixedMontyForm::new(&plain.wrapping_add(&U4096::ONE), &self.of_n))
    }

    /// The plaintext modulo `n`.
    pub fn decrypt(&self, ciphertext: &Ciphertext<64>) -> U2048 {
        let c = ciphertext.retrieve();
        let half = |i: usize, p: &U1024, other: &U1024| {
            let reduced = c.rem(self.squares[i].modulus().as_nz_ref());
            let power = FixedMontyForm::new(&reduced, &self.squares[i]).pow(&p.wrapping_sub(&U1024::ONE));
            // (1 + n)^(p - 1) = 1 - n modulo p^2, so the factor is the inverse of -q.
            let params = FixedMontyParams::new_vartime(odd(*p));
            let l = power.retrieve().wrapping_sub(&U2048::ONE).div_exact(&nonzero(p.resize::<32>()));
            let l = FixedMontyForm::new(&l.expect("a multiple of p").resize::<16>(), &params);
            l.mul(
                &FixedMontyForm::new(&other.rem(&nonzero(*p)), &params).neg().invert_vartime().expect("p and q differ"),
            )
        };
        let (at_p, at_q) = (half(0, &self.p, &self.q), half(1, &self.q, &self.p));
        let params = *at_q.params();
        let small = at_p.retrieve();
        let inverse =
            FixedMontyForm::new(&self.p.rem(&nonzero(self.q)), &params).invert_vartime().expect("p and q differ");
        let difference = at_q.sub(&FixedMontyForm::new(&small.rem(&nonzero(self.q)), &params));
        let high: U2048 = difference.mul(&inverse).retrieve().concatenating_mul(&self.p);
        high.wrapping_add(&small.resize())
    }
}

/// An Okamoto-Uchiyama key pair, with `g = 2`. Only the product is of interest here: encryption and decryption could be two
/// or three times faster with shorter randomness and arithmetic of fewer limbs.
pub struct OkamotoUchiyama {
    p: U2048,
    /// `h = g^n`.
    h: FixedMontyForm<32>,
    of_n: FixedMontyParams<32>,
    of_p_square: FixedMontyParams<32>,
}

impl OkamotoUchiyama {
    /// The key with primes of 682 bits.
    pub fn new() -> Self {
        let p = U2048::from(3u8).shl_vartime(680).wrapping_add(&U2048::from(251u8));
        let q = U2048::from(7u8).shl_vartime(679).wrapping_add(&U2048::from(47u8));
        let p_square = p.wrapping_mul(&p);
        let n = p_square.wrapping_mul(&q);
        let params = |modulus| FixedMontyParams::new_vartime(odd(modulus));
        let of_n = params(n);
        let h = FixedMontyForm::new(&U2048::from(2u8), &of_n).pow(&n);
        Self { p, h, of_n, of_p_square: params(p_square) }
    }

    /// `g^m h^r` modulo `n`.
    pub fn encrypt(&self, m: u64, r: &U2048) -> Ciphertext<32> {
        let g = FixedMontyForm::new(&U2048::from(2u8), &self.of_n);
        g.pow_vartime(&Uint::<1>::from(m)).mul(&self.h.pow(r))
    }

    /// The plaintext modulo `p`.
    pub fn decrypt(&self, ciphertext: &Ciphertext<32>) -> U2048 {
        let logarithm = |c: &U2048| {
            let c = FixedMontyForm::new(&c.rem(self.of_p_square.modulus().as_nz_ref()), &self.of_p_square);
            let power = c.pow(&self.p.wrapping_sub(&U2048::ONE)).retrieve();
            let params = FixedMontyParams::new_vartime(odd(self.p));
            let quotient = power.wrapping_sub(&U2048::ONE).div_exact(&nonzero(self.p)).expect("a multiple of p");
            FixedMontyForm::new(&quotient, &params)
        };
        let of_g = logarithm(&U2048::from(2u8)).invert_vartime().expect("2 is of no order p - 1 modulo p^2");
        logarithm(&ciphertext.retrieve()).mul(&of_g).retrieve()
    }
}

fn odd<const LIMBS: usize>(number: Uint<LIMBS>) -> Odd<Uint<LIMBS>> {
    Odd::new(number).expect("a product of odd primes")
}

fn nonzero<const LIMBS: usize>(number: Uint<LIMBS>) -> NonZero<Uint<LIMBS>> {
    NonZero::new(number).expect("a product of odd primes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_compute_inner_products() {
        let (d, x) = ([7u64, 0, 1_000_003, 65_535], [65_535u16, 3, 256, 255]);
        let expected = U2048::from(d.iter().zip(x).map(|(d, x)| d * u64::from(x)).sum::<u64>());
        let r = U2048::from(5u8).shl_vartime(2000).wrapping_add(&U2048::from(11u8));
        let (paillier, okamoto) = (Paillier::new(), OkamotoUchiyama::new());
        let of_paillier = d.map(|d| paillier.encrypt(d, &r));
        let of_okamoto = d.map(|d| okamoto.encrypt(d, &r));
        assert_eq!(paillier.decrypt(&product_of_powers(&of_paillier, &x)), expected);
        assert_eq!(paillier.decrypt(&product_by_buckets(&of_paillier, &x)), expected);
        assert_eq!(okamoto.decrypt(&product_of_powers(&of_okamoto, &x)), expected);
        assert_eq!(okamoto.decrypt(&product_by_buckets(&of_okamoto, &x)), expected);
    }
}
