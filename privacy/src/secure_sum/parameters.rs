//! Which ring a sum uses, how many values a coefficient carries, and why the sum comes out exact.
//!
//! A coefficient of the opened polynomial is `t E + M` with `t = 2^(wk) + 1`, where `E` is the sum of the contributors'
//! errors and `M < 2^(wk)` holds `k` slots of `w = b + ceil(log2 n)` bits. The reduction modulo `q`, then modulo `t`,
//! returns `M` exactly if `t |E| + M < q/2`. [`SumParameters`] exists only where this holds.
//!
//! `|E|` never exceeds `64 n`. For many parties a sharper bound holds for honest noise: `E` is a sum of `128 n`
//! independent bits (less its mean), and Hoeffding's inequality gives `P(|E| >= x) <= 2 exp(-x^2 / (64 n))`, which is
//! `2^-128` per coefficient at `x = sqrt(64 n ln(2 * 2^128))`. A dishonest contributor can spoil a sum anyway, by
//! contributing a wrong vector.

use super::committee::{Adversary, CommitteeRule};
use crate::ring::{NOISE_BOUND, PRIMES, RESIDUE_BITS, wide};
use crate::seal;
use serde::{Deserialize, Serialize};

/// The smallest and the largest number of parties of a secure sum.
pub const PARTIES: std::ops::RangeInclusive<u32> = 3..=1000;
/// How many bits a summed value may have.
pub const VALUE_BITS: std::ops::RangeInclusive<u32> = 1..=32;
/// The longest vector.
pub const MAX_DIMENSION: usize = 1 << 31;

/// One of the three rings. Their security is estimated in [`crate::ring::security`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterSet {
    /// N = 2048 and one 50-bit prime: short vectors, few parties.
    Small,
    /// N = 4096 and two 50-bit primes.
    Medium,
    /// N = 8192 and four 50-bit primes: long vectors, up to a thousand parties.
    Large,
}

/// Everything that fixes the shape of one secure sum. Values of this type satisfy every capacity check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Description", into = "Description")]
pub struct SumParameters {
    set: ParameterSet,
    dimension: usize,
    n_max: u32,
    value_bits: u32,
    slots: u32,
}

/// The sum asked for does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// Fewer than three or more than a thousand parties.
    #[error(
        "{0} parties: a secure sum takes {min} to {max} (with two, each would learn the other's vector by subtracting its own)",
        min = PARTIES.start(), max = PARTIES.end()
    )]
    Parties(u32),
    /// The values have no bits or too many.
    #[error("values of {0} bits: between {min} and {max} are possible", min = VALUE_BITS.start(), max = VALUE_BITS.end())]
    ValueBits(u32),
    /// The vector is empty or too long.
    #[error("a vector of {0} values: between 1 and {MAX_DIMENSION} are possible")]
    Dimension(usize),
    /// Not even one slot fits into a coefficient of this ring.
    #[error("one slot of {slot_bits} bits and the errors of {n_max} parties exceed a coefficient of the {set:?} ring")]
    NoSlot {
        /// The ring.
        set: ParameterSet,
        /// The width of one slot.
        slot_bits: u32,
        /// The number of parties.
        n_max: u32,
    },
}

impl ParameterSet {
    /// All sets, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// N, the number of coefficients of a ring element.
    pub const fn ring_degree(self) -> usize {
        match self {
            Self::Small => 2048,
            Self::Medium => 4096,
            Self::Large => 8192,
        }
    }

    /// The primes whose product is q, each `1 mod 2N` and as near below 2^50 as possible.
    pub fn primes(self) -> &'static [u64] {
        match self {
            Self::Small => &PRIMES[..1],
            Self::Medium => &PRIMES[..2],
            Self::Large => &PRIMES[..4],
        }
    }

    /// Bytes of one ring element: N residues of 50 bits for each prime.
    pub fn element_bytes(self) -> usize {
        self.primes().len() * self.ring_degree() * RESIDUE_BITS as usize / 8
    }

    /// The name used in transcripts and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

impl SumParameters {
    /// The set with the smallest upload, key shares included; the smaller ring where two are equal.
    pub fn choose(dimension: usize, n_max: u32, value_bits: u32) -> Result<Self, CapacityError> {
        let mut best: Result<(usize, Self), CapacityError> = Err(CapacityError::Parties(n_max));
        for set in ParameterSet::ALL {
            match (Self::with_set(set, dimension, n_max, value_bits), &best) {
                (Ok(parameters), Ok((bytes, _))) if parameters.upload_bytes() >= *bytes => {}
                (Ok(parameters), _) => best = Ok((parameters.upload_bytes(), parameters)),
                (Err(error), Err(_)) => best = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
        best.map(|(_, parameters)| parameters)
    }

    /// The parameters in a given ring, with as many slots per coefficient as stay exact.
    pub fn with_set(set: ParameterSet, dimension: usize, n_max: u32, value_bits: u32) -> Result<Self, CapacityError> {
        if !PARTIES.contains(&n_max) {
            return Err(CapacityError::Parties(n_max));
        }
        if !VALUE_BITS.contains(&value_bits) {
            return Err(CapacityError::ValueBits(value_bits));
        }
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(CapacityError::Dimension(dimension));
        }
        let slot_bits = value_bits + ceil_log2(n_max);
        let most = RESIDUE_BITS * set.primes().len() as u32 / slot_bits;
        match (1..=most).rev().find(|&slots| is_exact(set, slot_bits * slots, n_max)) {
            Some(slots) => Ok(Self { set, dimension, n_max, value_bits, slots }),
            None => Err(CapacityError::NoSlot { set, slot_bits, n_max }),
        }
    }

    /// The ring.
    pub const fn set(&self) -> ParameterSet {
        self.set
    }

    /// How many values the vector has.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many contributions may be summed.
    pub const fn n_max(&self) -> u32 {
        self.n_max
    }

    /// b, the bits of one contributed value.
    pub const fn value_bits(&self) -> u32 {
        self.value_bits
    }

    /// The largest value that may be contributed: `2^b - 1`.
    pub const fn max_value(&self) -> u32 {
        u32::MAX >> (32 - self.value_bits)
    }

    /// w, the bits of one slot: `b + ceil(log2 n)`.
    pub const fn slot_bits(&self) -> u32 {
        self.value_bits + ceil_log2(self.n_max)
    }

    /// k, the slots in one coefficient.
    pub const fn slots(&self) -> usize {
        self.slots as usize
    }

    /// N, the coefficients of one ring element.
    pub const fn ring_degree(&self) -> usize {
        self.set.ring_degree()
    }

    /// Values in one ring element: `N k`.
    pub const fn values_per_chunk(&self) -> usize {
        self.ring_degree() * self.slots()
    }

    /// How many ring elements a vector takes.
    pub const fn chunks(&self) -> usize {
        self.dimension.div_ceil(self.values_per_chunk())
    }

    /// The values of chunk `index`: fewer than [`Self::values_per_chunk`] only in the last.
    pub fn chunk_values(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.saturating_mul(self.values_per_chunk()).min(self.dimension);
        start..start.saturating_add(self.values_per_chunk()).min(self.dimension)
    }

    /// Bytes of one chunk.
    pub fn chunk_bytes(&self) -> usize {
        self.set.element_bytes()
    }

    /// Bytes of a whole contribution, without the key shares.
    pub fn ciphertext_bytes(&self) -> usize {
        self.chunks() * self.chunk_bytes()
    }

    /// Bytes that one participant sends in a malicious-coordinator round: ciphertext and sealed key shares.
    pub fn upload_bytes(&self) -> usize {
        let shares = CommitteeRule::for_parties(self.n_max, Adversary::Malicious)
            .map_or(0, |rule| rule.members() as usize * (rule.share_bytes(self.set) + seal::PAIR_OVERHEAD));
        self.ciphertext_bytes() + shares
    }

    /// `|E|max`: no sum of at most `n_max` honest errors is larger (see the module's documentation).
    pub fn error_bound(&self) -> u64 {
        error_bound(self.n_max)
    }
}

/// `min(64 n, ceil(sqrt(64 n ln(2 * 2^128))))`.
fn error_bound(n: u32) -> u64 {
    let hoeffding = (64.0 * f64::from(n) * 129.0 * std::f64::consts::LN_2).sqrt().ceil() as u64;
    hoeffding.min(NOISE_BOUND * u64::from(n))
}

/// `t |E|max + |M|max < q/2`, with `t = 2^bits + 1` and `|M|max = 2^bits - 1`, in exact integers.
fn is_exact(set: ParameterSet, bits: u32, n: u32) -> bool {
    let error = error_bound(n);
    let q = set.primes().iter().fold(wide::from_u64(1), |q, &p| wide::mul_add(q, p, 0));
    // 2 (t E + M) = 2^(bits + 1) (E + 1) + 2 (E - 1)
    let twice = wide::shifted(2 * (error + 1), bits);
    twice.is_some_and(|twice| wide::less(&wide::mul_add(twice, 1, 2 * (error - 1)), &q))
}

const fn ceil_log2(n: u32) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

/// What is written down of [`SumParameters`]; the rest follows from it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    set: ParameterSet,
    dimension: usize,
    n_max: u32,
    value_bits: u32,
}

impl TryFrom<Description> for SumParameters {
    type Error = CapacityError;
    fn try_from(d: Description) -> Result<Self, CapacityError> {
        Self::with_set(d.set, d.dimension, d.n_max, d.value_bits)
    }
}

impl From<SumParameters> for Description {
    fn from(p: SumParameters) -> Self {
        Self { set: p.set, dimension: p.dimension, n_max: p.n_max, value_bits: p.value_bits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_the_table_of_the_protocol() {
        let slots = |set, n| SumParameters::with_set(set, 1000, n, 16).expect("fits").slots();
        assert_eq!([8, 32, 100, 1000].map(|n| slots(ParameterSet::Large, n)), [10, 9, 8, 7]);
        assert_eq!([3, 8, 32].map(|n| slots(ParameterSet::Medium, n)), [5, 4, 4]);
        assert_eq!(slots(ParameterSet::Small, 3), 2);
    }

    #[test]
    fn every_capacity_check_refuses() {
        assert_eq!(SumParameters::choose(10, 2, 16), Err(CapacityError::Parties(2)));
        assert_eq!(SumParameters::choose(10, 1001, 16), Err(CapacityError::Parties(1001)));
        assert_eq!(SumParameters::choose(0, 3, 16), Err(CapacityError::Dimension(0)));
        assert_eq!(SumParameters::choose(MAX_DIMENSION + 1, 3, 16), Err(CapacityError::Dimension(MAX_DIMENSION + 1)));
        assert_eq!(SumParameters::choose(10, 3, 0), Err(CapacityError::ValueBits(0)));
        assert_eq!(SumParameters::choose(10, 3, 33), Err(CapacityError::ValueBits(33)));
        assert_eq!(
            SumParameters::with_set(ParameterSet::Small, 10, 1000, 32),
            Err(CapacityError::NoSlot { set: ParameterSet::Small, slot_bits: 42, n_max: 1000 })
        );
        assert!(CapacityError::Parties(2).to_string().contains("subtracting its own"));
    }

    #[test]
    fn one_more_slot_would_not_be_exact() {
        for set in ParameterSet::ALL {
            for n in PARTIES {
                let Ok(p) = SumParameters::with_set(set, 1, n, 16) else {
                    continue;
                };
                assert!(is_exact(set, p.slot_bits() * p.slots, n));
                assert!(!is_exact(set, p.slot_bits() * (p.slots + 1), n));
            }
        }
    }

    #[test]
    fn choice_grows_with_the_vector() {
        assert_eq!(SumParameters::choose(30, 3, 16).expect("fits").set(), ParameterSet::Small);
        assert_eq!(SumParameters::choose(1_000_000, 10, 16).expect("fits").set(), ParameterSet::Large);
    }

    #[test]
    fn deserialising_validates() {
        let p = SumParameters::choose(1000, 10, 16).expect("fits");
        let text = serde_json::to_string(&p).expect("serialises");
        assert_eq!(serde_json::from_str::<SumParameters>(&text).expect("valid"), p);
        assert!(serde_json::from_str::<SumParameters>(&text.replace(":10,", ":2,")).is_err());
        assert!(serde_json::from_str::<SumParameters>(&text.replace('{', "{\"slots\":4,")).is_err());
    }
}
