//! A one-time authenticator of sums: participants notice when the coordinator announces another sum than the true one.
//!
//! The participants of a session share a [`CheckKey`] that the coordinator does not have. For every round it gives a
//! vector r of random residues modulo p = 2^61 - 1 and one pad per party. Beside its values `q_i` party `i` contributes
//!
//! ```text
//! t_i = <r, q_i> + pad_i   mod p,      written in base 2^b, one digit per slot
//! ```
//!
//! so that the digits of the summed tags give `<r, sum> + (the pads of those who contributed)`. This is the polynomial-free
//! form of the MAC of Carter and Wegman (JCSS 22, 1981): r is used once, and the pads hide `<r, sum>`, so a coordinator that
//! has seen the sum knows nothing about r. Another sum, or the same sum announced for other contributors, passes with
//! probability 1/p for one attempt, and an attempt that fails is seen. (Entries are far below p: larger ones are refused.) The sum's tag tells the coordinator nothing that the
//! sum does not.
//!
//! Whoever has the key can forge: a participant that gives it to the coordinator gives up this check, not privacy.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::parameters::VALUE_BITS;
use crate::{
    digest::{Digest, Transcript},
    prg::SecretStream,
};
use rand_core::Rng as _;

/// p, the prime 2^61 - 1.
pub const MODULUS: u64 = (1 << 61) - 1;

/// Random residues that share one call of the generator.
const RUN: usize = 512;

/// How many slots of `b` bits a tag takes at the end of a vector.
///
/// # Panics
/// If `value_bits` is not the width of a slot.
pub fn check_slots(value_bits: u32) -> usize {
    assert!(VALUE_BITS.contains(&value_bits), "slots have {value_bits} bits");
    61u32.div_ceil(value_bits) as usize
}

/// The key that the participants of a session share. The coordinator never has it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CheckKey([u8; 32]);

impl std::fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckKey(..)")
    }
}

/// The tag of one vector, or of a sum, as it is being computed: feed it the values in order.
pub struct CheckTag {
    residues: SecretStream,
    inner: u64,
    run: Vec<u8>,
    used: usize,
}

/// x mod p for any 128-bit number.
fn reduce(x: u128) -> u64 {
    let m = u128::from(MODULUS);
    let x = (x & m) + (x >> 61);
    let x = ((x & m) + (x >> 61)) as u64;
    let x = (x & MODULUS) + (x >> 61);
    if x >= MODULUS { x - MODULUS } else { x }
}

impl CheckKey {
    /// The key from its bytes, as its maker drew them.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sealed for another participant.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the maker of the key signs, so that everybody opens the same one.
    pub fn commitment(&self, session: &Digest) -> Digest {
        Transcript::new("haihe/v1/check-key").digest(session).bytes(&self.0).finish()
    }

    fn derive(&self, purpose: &str, round: &Digest) -> [u8; 32] {
        *Transcript::new("haihe/v1/check").str(purpose).digest(round).bytes(&self.0).finish().as_bytes()
    }

    /// Starts the tag of one round; `round` is the digest of its specification.
    pub fn tag(&self, round: &Digest) -> CheckTag {
        let residues = SecretStream::new(&self.derive("residues", round), 0);
        CheckTag { residues, inner: 0, run: vec![0; 8 * RUN], used: RUN }
    }

    fn pad(&self, round: &Digest, party: u32) -> u64 {
        let mut stream = SecretStream::new(&self.derive("pads", round), u64::from(party));
        stream.next_u64() % MODULUS
    }

    /// The slots that party `party` appends to its vector, of which `tag` has seen all values.
    pub fn slots(&self, tag: CheckTag, round: &Digest, party: u32, value_bits: u32) -> Vec<u32> {
        let tag = reduce(u128::from(tag.inner) + u128::from(self.pad(round, party)));
        let mask = u64::from(u32::MAX >> (32 - value_bits));
        (0..check_slots(value_bits) as u32).map(|digit| ((tag >> (digit * value_bits)) & mask) as u32).collect()
    }

    /// Whether `sum` is what the parties with indices `contributors`, each named once, contributed together. Its last slots
    /// are the sum of their tags.
    pub fn verify(&self, round: &Digest, sum: &[u64], contributors: &[u32], value_bits: u32) -> bool {
        let Some(dimension) = sum.len().checked_sub(check_slots(value_bits)) else { return false };
        // The tag counts modulo p: entries beyond what the contributors can bring would pass for smaller ones.
        let largest = contributors.len() as u64 * u64::from(u32::MAX >> (32 - value_bits));
        if sum.iter().any(|&entry| entry > largest) {
            return false;
        }
        let (values, digits) = sum.split_at(dimension);
        let mut tag = self.tag(round);
        tag.absorb(values.iter().copied());
        let pads = contributors.iter().fold(0u128, |total, party| total + u128::from(self.pad(round, *party)));
        let expected = reduce(u128::from(tag.inner) + pads);
        let mut found = 0u128;
        for (place, &digit) in digits.iter().enumerate() {
            // Digits of a sum may exceed 2^b; all of them together stay far below 2^128.
            let weight = 1u128 << (place as u32 * value_bits);
            found = u128::from(reduce(found + u128::from(reduce(u128::from(digit))) * u128::from(reduce(weight))));
        }
        expected == found as u64
    }
}

impl CheckTag {
    /// Takes the next values: quantised ones of a vector, or those of a sum.
    pub fn absorb(&mut self, values: impl IntoIterator<Item = u64>) {
        let mut total = u128::from(self.inner);
        let mut pending = 0;
        for value in values {
            if self.used == RUN {
                self.residues.fill_bytes(&mut self.run);
                self.used = 0;
            }
            let at = 8 * self.used;
            let bytes = self.run.get(at..at + 8).and_then(|b| b.try_into().ok()).unwrap_or_default();
            let residue = u64::from_le_bytes(bytes) & MODULUS;
            self.used += 1;
            total += u128::from(residue) * u128::from(value);
            // A product of 61 and 64 bits: eight of them fit beside a reduced total.
            pending += 1;
            if pending == 7 {
                total = u128::from(reduce(total));
                pending = 0;
            }
        }
        self.inner = reduce(total);
    }
}

impl Drop for CheckTag {
    fn drop(&mut self) {
        self.run.zeroize();
        self.inner.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(n: u64) -> Digest {
        Transcript::new("test").u64(n).finish()
    }

    fn summed(key: &CheckKey, vectors: &[Vec<u32>], bits: u32) -> Vec<u64> {
        let mut sum = vec![0u64; vectors[0].len() + check_slots(bits)];
        for (party, vector) in vectors.iter().enumerate() {
            let mut tag = key.tag(&round(1));
            let (first, second) = vector.split_at(vector.len() / 3);
            tag.absorb(first.iter().map(|&v| v.into()));
            tag.absorb(second.iter().map(|&v| v.into()));
            let slots = key.slots(tag, &round(1), party as u32, bits);
            for (sum, &value) in sum.iter_mut().zip(vector.iter().chain(&slots)) {
                *sum += u64::from(value);
            }
        }
        sum
    }

    #[test]
    fn reduction_is_the_remainder() {
        let p = u128::from(MODULUS);
        for x in [0, 1, p - 1, p, p + 1, 2 * p, p * p, u128::MAX, u128::MAX - 1, 1 << 122, (1 << 64) - 1] {
            assert_eq!(u128::from(reduce(x)), x % p, "{x}");
        }
    }

    proptest! {
        #[test]
        fn true_sums_pass_and_others_do_not(
            seed in any::<[u8; 32]>(), bits in 1u32..=32, parties in 2usize..6, length in 1usize..1200,
            at in any::<prop::sample::Index>(), change in 1u64..1000, stranger in 6u32..9,
        ) {
            let key = CheckKey::from_bytes(seed);
            let mut values = SecretStream::new(&seed, 9);
            let largest = u32::MAX >> (32 - bits);
            let vectors: Vec<Vec<u32>> =
                (0..parties).map(|_| (0..length).map(|_| values.next_u32() & largest).collect()).collect();
            let sum = summed(&key, &vectors, bits);
            let all: Vec<u32> = (0..parties as u32).collect();
            prop_assert!(key.verify(&round(1), &sum, &all, bits));
            prop_assert!(!key.verify(&round(2), &sum, &all, bits), "another round");
            prop_assert!(!key.verify(&round(1), &sum, &all[1..], bits), "without one contributor");
            prop_assert!(!key.verify(&round(1), &sum, &[&all[1..], &[stranger]].concat(), bits), "another contributor");
            let doubled: Vec<u64> = sum.iter().map(|v| 2 * v).collect();
            prop_assert!(!key.verify(&round(1), &doubled, &all, bits), "everything twice");
            let mut wrong = sum.clone();
            wrong[at.index(sum.len())] += change;
            prop_assert!(!key.verify(&round(1), &wrong, &all, bits), "one entry changed");
            let mut wrong = sum.clone();
            wrong[at.index(sum.len())] += MODULUS * (1 + change % 7);
            prop_assert!(!key.verify(&round(1), &wrong, &all, bits), "one entry changed by a multiple of p");
            prop_assert!(!key.verify(&round(1), &sum[..sum.len() - 1], &all, bits), "one entry missing");
            prop_assert!(!CheckKey::from_bytes([1; 32]).verify(&round(1), &sum, &all, bits), "another key");
        }
    }

    #[test]
    fn tags_take_as_many_slots_as_they_need() {
        assert_eq!([1, 8, 16, 24, 31, 32].map(check_slots), [61, 8, 4, 3, 2, 2]);
        let key = CheckKey::from_bytes([3; 32]);
        assert!(!key.verify(&round(1), &[], &[], 16), "no room for a tag");
        assert_eq!(format!("{key:?}"), "CheckKey(..)");
    }
}
