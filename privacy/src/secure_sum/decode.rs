//! From the residues of an opened polynomial to the sums in its slots.

use super::parameters::SumParameters;
use super::roles::OpenError;
use crate::ring::kernels::{self, MAX_LIMBS, STRIP};
use crate::ring::{Ring, wide};

/// Recovers `M` from `t E + M` modulo each prime, and the slots from `M`; strip by strip, so that the modular arithmetic
/// is done in vectors.
pub(super) struct Decoder<'a> {
    parameters: &'a SumParameters,
    ring: &'static Ring,
    primes: &'static [u64],
    /// `t |E|max` modulo each prime: added, it makes `t E + M` a natural number below `q`.
    offsets: Vec<u64>,
    /// `inverses[l][i]`: the inverse of prime `i` modulo prime `l`, for `i < l`, repeated for a strip.
    inverses: Vec<Vec<[u64; STRIP]>>,
    largest: u64,
    digits: [[u64; STRIP]; MAX_LIMBS],
    messages: [wide::Wide; STRIP],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(parameters: &'a SumParameters, ring: &'static Ring, contributors: u32) -> Self {
        let primes = parameters.set().primes();
        let bits = message_bits(parameters);
        let offset = |p| kernels::mul_mod(wide::power_of_two_plus_one(bits, p), parameters.error_bound(), p);
        let inverse = |p| move |&q: &u64| [kernels::inverse_mod(q % p, p); STRIP];
        Self {
            parameters,
            ring,
            primes,
            offsets: primes.iter().map(|&p| offset(p)).collect(),
            inverses: ring.primes().map(|(l, p)| primes[..l].iter().map(inverse(p)).collect()).collect(),
            largest: u64::from(contributors) * u64::from(parameters.max_value()),
            digits: [[0; STRIP]; MAX_LIMBS],
            messages: [[0; 4]; STRIP],
        }
    }

    /// Writes the sums of one chunk to their places in the vector's sum.
    pub(super) fn decode(&mut self, chunk: usize, element: &[u64], sum: &mut [u64]) -> Result<(), OpenError> {
        let degree = self.parameters.ring_degree();
        let range = self.parameters.chunk_values(chunk);
        let sum = &mut sum[range.clone()];
        for start in (0..degree.min(sum.len())).step_by(STRIP) {
            self.find_digits(element, start);
            self.find_messages().map_err(|i| OpenError::NoiseOutOfRange { chunk, coefficient: start + i })?;
            for slot in 0..self.parameters.slots() {
                let from = (slot * degree + start).min(sum.len());
                let to = (from + STRIP).min(sum.len());
                self.read_slot(slot, &mut sum[from..to]).map_err(|(i, value)| OpenError::SlotOutOfRange {
                    index: range.start + from + i,
                    value,
                    largest: self.largest,
                })?;
            }
        }
        Ok(())
    }

    /// Mixed-radix digits (Garner; Knuth, TAOCP 2, section 4.3.2): `V = v_0 + p_0 (v_1 + p_1 (...))`, with
    /// `v_l = (... ((V - v_0) / p_0 - v_1) / p_1 ...)` modulo prime `l`.
    fn find_digits(&mut self, element: &[u64], start: usize) {
        let degree = self.ring.degree();
        for (l, &p) in self.primes.iter().enumerate() {
            let mut digit = [0; STRIP];
            kernels::add_constant(&element[l * degree + start..][..STRIP], self.offsets[l], p, &mut digit);
            for (other, inverse) in self.digits.iter().zip(&self.inverses[l]) {
                kernels::subtract(&mut digit, other, p);
                let difference = std::mem::replace(&mut digit, [0; STRIP]);
                self.ring.mul_accumulate(l, &mut digit, &difference, inverse);
            }
            self.digits[l] = digit;
        }
    }

    /// The messages of a strip; an error names the first coefficient with too much noise.
    ///
    /// `V = t E' + M` with `t = 2^b + 1` and `0 <= E' <= 2 |E|max`: the part above bit `b` is `E'`, or `E' + 1` if
    /// `E' + M` carries, and the part below is `E' + M` without the carry. Without the carry their difference is `M`;
    /// with it, it is negative and `M` is `t` more.
    fn find_messages(&mut self) -> Result<(), usize> {
        let bits = message_bits(self.parameters);
        let largest_noise = 2 * self.parameters.error_bound();
        for (i, message) in self.messages.iter_mut().enumerate() {
            let digits = self.digits.iter().zip(self.primes).rev();
            let value = digits.fold(wide::from_u64(0), |value, (digit, &p)| wide::mul_add(value, p, digit[i]));
            let mut noise = wide::bits(&value, bits, 64);
            let (difference, negative) = wide::sub_small(wide::low_bits(value, bits), noise);
            *message = difference;
            if negative {
                *message = wide::low_bits(wide::mul_add(difference, 1, 1), bits);
                noise = noise.wrapping_sub(1);
            }
            if noise > largest_noise {
                return Err(i);
            }
        }
        Ok(())
    }

    /// One slot of every message of a strip; an error holds the place and value of the first that is too large.
    fn read_slot(&self, slot: usize, sums: &mut [u64]) -> Result<(), (usize, u64)> {
        let width = self.parameters.slot_bits();
        let start = width * slot as u32;
        for (sum, message) in sums.iter_mut().zip(&self.messages) {
            *sum = wide::bits(message, start, width);
        }
        match sums.iter().position(|&sum| sum > self.largest) {
            Some(i) => Err((i, sums[i])),
            None => Ok(()),
        }
    }
}

/// `w k`: the bits of a coefficient's slots.
fn message_bits(parameters: &SumParameters) -> u32 {
    parameters.slot_bits() * parameters.slots() as u32
}
