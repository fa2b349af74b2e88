//! Inner products with an encrypted vector: the label holder A has `d`, a feature holder B has the columns of `X`, and
//! `X^T d` comes out under a mask of B's. The kernel of vertical training.
//!
//! Coefficient packing, after Cheetah (Huang, Lu, Hong, Ding: "Cheetah: Lean and fast secure two-party deep neural network
//! inference", USENIX Security 2022, section 3.1): `d` lies in the coefficients of a polynomial, a column in those of
//! another in reverse order, and one coefficient of their product is the inner product. There are no rotations and no
//! evaluation keys.
//!
//! ```text
//! A -> B   b_k = a_k s + e_k + round(q d_k / t)       a_k from a public stream, for every block k of rows
//! B        a' = sum_k a_k P_k + u pa + e'             P_k: the block's rows of N/block columns; (pa, pb): A's public key
//!          b' = sum_k b_k P_k + u pb + flood + mask   only the coefficients that are inner products
//! B -> A   round(2^64 a' / q), round(2^64 b' / q)
//! A        b' - a' s = (2^64 / t) (X^T d + mask) + noise
//! ```
//!
//! # What A learns of X
//! A knows `a_k`, `s` and its errors, so `sum a_k P_k` alone would give it the matrix by one division. `u pa + e'`, with
//! `u` and `e'` fresh and secret, makes `a'` a fresh ring-LWE sample whose secret is B's: it looks uniform to A too. What
//! is then left in `b'` beyond `a' s` is the product and a noise that depends on the matrix, on `u` and on `e'`; it is
//! flooded by a uniform number that is at least 2^40 times larger ([`LinearParameters::flooding_bits`] says how
//! much). So `(a', b')` can be simulated from the masked product. The error that an encryption of zero usually has in
//! its `b` part is left out: the flood covers it, and it has no other task. Last, the mask is uniform modulo `t`. All this is
//! for an A that follows the protocol: a public key that is no ring-LWE sample would void it.
//!
//! # Why the numbers are what they are
//! The ring is the large one of the secure sum with three of its four primes, `q` about 2^150, and the same centred
//! binomial secrets and errors. All parameters but the tiling are constants: after the change of modulus to 2^64, the
//! noise of A's decryption is the rounding of `a'` times the secret, whatever the matrix: with a probability of all but
//! 2^-128 at most `sqrt(|s|^2 129 ln(2) / 2) < 3632` (Hoeffding), and the flood is chosen to cost less than that: 256. With
//! a few units of other roundings their sum is below `2^64 / 2t` for `t = 2^51`. So every product below 2^50 in size is exact, and a smaller `t` would gain
//! nothing: the bytes are the same. [`LinearParameters::largest_multiplier`] tells how precise `d` may be.
//!
//! A response polynomial is 65,536 bytes of `a'`, and 8 for each inner product in it; a block of rows is 153,600 bytes.
//! [`Tiling::choose`] weighs the two.

mod keys;
mod matrix;
mod noise;
mod parameters;
mod product;
mod response;
mod switch;
#[cfg(test)]
mod tests;
mod vector;

pub use keys::{KeyPair, PublicKey};
pub use matrix::EncodedMatrix;
pub use parameters::{
    DEGREE, LinearError, LinearParameters, MAX_COLUMNS, MAX_ROWS, PLAINTEXT_BITS, ReadError, SECURITY, Tiling,
};
pub use product::{Masking, multiply};
pub use response::{Response, centre, unmask};
pub use vector::EncryptedVector;
