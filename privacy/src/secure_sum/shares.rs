//! Key shares and their sums, as they travel: vectors over GF(2^17 - 1), 17 bits per element.
//!
//! The sum of a thousand keys has coefficients in `[-64000, 64000]`, so the field of 131071 elements holds it without
//! wrapping. Shares over a 32-bit field would be nearly twice as long and no safer: the privacy of Shamir's scheme is
//! perfect in any field with enough points.

use super::committee::CommitteeRule;
use super::parameters::{PARTIES, ParameterSet};
use super::shamir::{FIELD, Fp};
use crate::ring::NOISE_BOUND;
use crate::wire::WireError;
use std::fmt;
use zeroize::Zeroize;

const FIELD_BITS: usize = 17;
// The key sum never wraps, and an element takes 17 bits.
const _: () = assert!(2 * NOISE_BOUND * (*PARTIES.end() as u64) < FIELD as u64 && FIELD < 1 << FIELD_BITS);

/// What one contributor gives one committee member of its one-time key. Wiped on drop, never printed.
pub struct KeyShare(Vec<Fp>);

/// What a committee member answers: the sum of its shares over the contributors.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareSum(Vec<Fp>);

/// Two shares do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// They have different lengths.
    #[error("a share of {found} elements cannot be added to a sum of {expected}")]
    Length {
        /// The length of the sum.
        expected: usize,
        /// The length of the share.
        found: usize,
    },
}

impl KeyShare {
    pub(crate) fn from_elements(elements: Vec<Fp>) -> Self {
        Self(elements)
    }

    /// The share's secret bytes, to be sealed for its member: [`CommitteeRule::share_bytes`] of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        pack(&self.0)
    }

    /// Reads a share: exactly [`CommitteeRule::share_bytes`] bytes, every element below `2^17 - 1`, no stray bits.
    pub fn from_bytes(bytes: &[u8], set: ParameterSet, rule: &CommitteeRule) -> Result<Self, WireError> {
        unpack(bytes, rule.share_len(set)).map(Self)
    }
}

impl ShareSum {
    /// The sum of no shares.
    pub fn zero(set: ParameterSet, rule: &CommitteeRule) -> Self {
        Self(vec![0; rule.share_len(set)])
    }

    /// Adds one contributor's share.
    pub fn add(&mut self, share: &KeyShare) -> Result<(), ShareError> {
        if share.0.len() != self.0.len() {
            return Err(ShareError::Length { expected: self.0.len(), found: share.0.len() });
        }
        for (sum, &element) in self.0.iter_mut().zip(&share.0) {
            *sum += element;
            *sum -= FIELD * u32::from(*sum >= FIELD);
        }
        Ok(())
    }

    /// The answer's bytes: [`CommitteeRule::share_bytes`] of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        pack(&self.0)
    }

    /// Reads an answer: exactly [`CommitteeRule::share_bytes`] bytes, every element below `2^17 - 1`, no stray bits.
    pub fn from_bytes(bytes: &[u8], set: ParameterSet, rule: &CommitteeRule) -> Result<Self, WireError> {
        unpack(bytes, rule.share_len(set)).map(Self)
    }

    pub(crate) fn elements(&self) -> &[Fp] {
        &self.0
    }
}

/// Bytes of so many field elements.
pub(crate) fn packed_bytes(elements: usize) -> usize {
    (elements * FIELD_BITS).div_ceil(8)
}

/// Little-endian bit string of 17 bits per element, padded with zero bits.
fn pack(elements: &[Fp]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packed_bytes(elements.len()));
    let (mut buffer, mut bits) = (0u64, 0);
    for &element in elements {
        buffer |= u64::from(element) << bits;
        bits += FIELD_BITS;
        while bits >= 8 {
            bytes.push(buffer as u8);
            buffer >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        bytes.push(buffer as u8);
    }
    bytes
}

fn unpack(bytes: &[u8], elements: usize) -> Result<Vec<Fp>, WireError> {
    let expected = packed_bytes(elements);
    if bytes.len() != expected {
        return Err(WireError::Length { expected, found: bytes.len() });
    }
    let mut out = Vec::with_capacity(elements);
    let (mut buffer, mut bits) = (0u64, 0);
    for &byte in bytes {
        buffer |= u64::from(byte) << bits;
        bits += 8;
        if bits >= FIELD_BITS && out.len() < elements {
            let element = (buffer & ((1 << FIELD_BITS) - 1)) as Fp;
            if element >= FIELD {
                return Err(WireError::Element { index: out.len() });
            }
            out.push(element);
            buffer >>= FIELD_BITS;
            bits -= FIELD_BITS;
        }
    }
    if buffer != 0 {
        return Err(WireError::StrayBits);
    }
    Ok(out)
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({} secret elements)", self.0.len())
    }
}

impl fmt::Debug for ShareSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareSum({} elements)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_sum::committee::Adversary;

    #[test]
    fn bytes_are_exact_and_checked() {
        let rule = CommitteeRule::new(5, 1, 1, Adversary::Malicious).expect("valid"); // packs 3: 683 elements
        let set = ParameterSet::Small;
        let share = KeyShare::from_elements((0..683).map(|i| i * 191 % FIELD).collect());
        let bytes = share.to_bytes();
        assert_eq!(bytes.len(), rule.share_bytes(set));
        assert_eq!(KeyShare::from_bytes(&bytes, set, &rule).expect("valid").0, share.0);
        assert!(!format!("{share:?}").contains("191"));

        let short = KeyShare::from_bytes(&bytes[1..], set, &rule).err();
        assert_eq!(short, Some(WireError::Length { expected: 1452, found: 1451 }));
        let mut too_large = bytes.clone();
        too_large[..3].fill(0xff);
        assert_eq!(KeyShare::from_bytes(&too_large, set, &rule).err(), Some(WireError::Element { index: 0 }));
        let mut stray = bytes;
        *stray.last_mut().expect("not empty") |= 0x80;
        assert_eq!(ShareSum::from_bytes(&stray, set, &rule).err(), Some(WireError::StrayBits));

        let mut other = ShareSum(vec![0; 3]);
        assert_eq!(other.add(&share), Err(ShareError::Length { expected: 3, found: 683 }));
    }
}
