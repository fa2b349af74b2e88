//! A scheme WITHOUT ANY SECURITY, for tests only.
//!
//! [`NoSecurity`] keeps the shape of the real scheme, that is its sizes, orders and errors, and hides nothing: a chunk
//! holds the values themselves, as `b`-bit numbers in a little-endian bit string, and every key share is zero. Tests of
//! the protocol run on it, and cheating parties are written against it.

use super::committee::CommitteeRule;
use super::parameters::SumParameters;
use super::roles::{AddError, Adder, Contributor, EncryptError, OpenError, Opened, Scheme, SumContext};
use super::shamir::{self, Fp};
use super::shares::{KeyShare, ShareSum};
use crate::wire::WireError;

/// Sums vectors IN THE CLEAR. For tests only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecurity;

impl Scheme for NoSecurity {
    fn name(&self) -> &'static str {
        "NO-SECURITY"
    }

    fn contributor(&self, parameters: &SumParameters, _: &SumContext, _: [u8; 32]) -> Box<dyn Contributor> {
        Box::new(PlainContributor { parameters: parameters.clone(), next: 0 })
    }

    fn adder(&self, parameters: &SumParameters, _: &SumContext) -> Box<dyn Adder> {
        let sum = vec![0; parameters.dimension()];
        Box::new(PlainAdder { parameters: parameters.clone(), sum, contributors: 0, next: 0 })
    }
}

struct PlainContributor {
    parameters: SumParameters,
    next: usize,
}

impl Contributor for PlainContributor {
    fn encrypt_chunk(&mut self, index: usize, values: &[u32], out: &mut Vec<u8>) -> Result<(), EncryptError> {
        let chunks = self.parameters.chunks();
        if index != self.next || index >= chunks {
            return Err(EncryptError::OutOfOrder { expected: self.next, found: index, chunks });
        }
        let range = self.parameters.chunk_values(index);
        if values.len() != range.len() {
            return Err(EncryptError::Length { index, expected: range.len(), found: values.len() });
        }
        let largest = self.parameters.max_value();
        if let Some(position) = values.iter().position(|&value| value > largest) {
            return Err(EncryptError::ValueTooLarge {
                index: range.start + position,
                value: values[position],
                largest,
            });
        }
        let end = out.len() + self.parameters.chunk_bytes();
        let (mut buffer, mut bits) = (0u64, 0);
        for &value in values {
            buffer |= u64::from(value) << bits;
            bits += self.parameters.value_bits();
            while bits >= 8 {
                out.push(buffer as u8);
                buffer >>= 8;
                bits -= 8;
            }
        }
        if bits > 0 {
            out.push(buffer as u8);
        }
        out.resize(end, 0);
        self.next += 1;
        Ok(())
    }

    fn into_key_shares(self: Box<Self>, rule: &CommitteeRule) -> Vec<KeyShare> {
        let length = rule.share_len(self.parameters.set());
        (0..rule.members()).map(|_| KeyShare::from_elements(vec![0; length])).collect()
    }
}

struct PlainAdder {
    parameters: SumParameters,
    sum: Vec<u64>,
    contributors: u32,
    next: usize,
}

impl Adder for PlainAdder {
    fn add_chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), AddError> {
        let chunks = self.parameters.chunks();
        if index != self.next || index >= chunks {
            return Err(AddError::OutOfOrder { expected: self.next, found: index, chunks });
        }
        if self.contributors == self.parameters.n_max() {
            return Err(AddError::Full { n_max: self.contributors });
        }
        let expected = self.parameters.chunk_bytes();
        if bytes.len() != expected {
            return Err(WireError::Length { expected, found: bytes.len() }.into());
        }
        let width = self.parameters.value_bits();
        let range = self.parameters.chunk_values(index);
        if bytes[(range.len() * width as usize).div_ceil(8)..].iter().any(|&byte| byte != 0) {
            return Err(WireError::StrayBits.into());
        }
        let (mut buffer, mut bits) = (0u64, 0);
        let mut bytes = bytes.iter();
        for sum in &mut self.sum[range] {
            while bits < width {
                buffer |= u64::from(bytes.next().copied().unwrap_or(0)) << bits;
                bits += 8;
            }
            *sum += buffer & u64::from(self.parameters.max_value());
            buffer >>= width;
            bits -= width;
        }
        self.next += 1;
        Ok(())
    }

    fn finish_contribution(&mut self) -> Result<(), AddError> {
        let chunks = self.parameters.chunks();
        if self.next != chunks {
            return Err(AddError::OutOfOrder { expected: self.next, found: chunks, chunks });
        }
        self.next = 0;
        self.contributors += 1;
        Ok(())
    }

    fn open(
        self: Box<Self>,
        rule: &CommitteeRule,
        answers: &[(u32, ShareSum)],
        contributors: u32,
    ) -> Result<Opened, OpenError> {
        if self.next != 0 {
            return Err(OpenError::Unfinished { added: self.next, chunks: self.parameters.chunks() });
        }
        if contributors != self.contributors {
            return Err(OpenError::Contributors { answered: contributors, added: self.contributors });
        }
        let answers: Vec<(u32, &[Fp])> = answers.iter().map(|(position, sum)| (*position, sum.elements())).collect();
        let (key, wrong_answers) = shamir::reconstruct(&answers, rule, self.parameters.ring_degree())?;
        match key.iter().position(|&element| element != 0) {
            Some(index) => {
                let value = i64::from(key[index]);
                Err(OpenError::KeyOutOfRange { index, value, largest: 0, contributors })
            }
            None => Ok(Opened { sum: self.sum, wrong_answers }),
        }
    }
}
