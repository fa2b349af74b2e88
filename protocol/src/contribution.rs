//! The participant's side of one round: a contribution (M2) and, as a committee member, an answer (M4).
//!
//! Plain functions: what must be remembered between them (the keys for shares, which round was answered) is the vault's.

use haihe_privacy::{
    digest::{Digest, Transcript},
    dp::{BudgetReserved, NoiseError, NoisedQuantiser},
    prg::SecretStream,
    seal::SealError,
    secure_sum::{
        CheckKey, Coding, EncryptError, KeyShare, QuantiseError, Quantiser, Scheme, ShareSum, SumContext, check_slots,
        clip_coordinates,
    },
    sign::{Signature, SigningKey},
};

use crate::{
    checkpoint::TreeHead,
    error::Violation,
    id::PartyId,
    message::{Answer, Contribution, RoundSpec, SurvivorSet, Verified, share_digest},
    roster::Session,
    share_keys::{ShareContext, ShareKeys},
};

/// A contribution that is ready to be uploaded; its ciphertext went to the caller's sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Signed head.
    pub contribution: Contribution,
    /// One per committee member, in committee order.
    pub sealed_shares: Vec<Vec<u8>>,
}

/// Why a contribution could not be made. Ours to repair; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ContributeError<E: std::error::Error> {
    /// A value cannot be encoded.
    #[error("the vector cannot be encoded: {0}")]
    Quantise(#[from] QuantiseError),
    /// The vector could not be encrypted.
    #[error("the vector cannot be encrypted: {0}")]
    Sum(#[from] EncryptError),
    /// The vector has another length than the round's.
    #[error("the vector has another length than this round's; this is a defect, please report it")]
    Length,
    /// A share could not be sealed.
    #[error("a key share cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// This party is not in the session.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The sink refused the ciphertext.
    #[error("the ciphertext cannot be stored: {0}")]
    Sink(#[source] E),
}

/// What is contributed.
#[derive(Clone, Copy, Debug)]
pub enum Vector<'a> {
    /// Numbers, quantised on the way.
    Exact(&'a Quantiser, &'a [f64]),
    /// Integers that were quantised and noised before: sent as they are, so that asking twice shows the same noise.
    Noised(&'a [u32]),
}

impl Vector<'_> {
    fn len(&self) -> usize {
        match self {
            Vector::Exact(_, values) => values.len(),
            Vector::Noised(slots) => slots.len(),
        }
    }

    /// The integers from `start` on, as many as there is room for in `out`.
    fn fill(&self, start: usize, out: &mut [u32], rounding: &mut SecretStream) -> Result<(), QuantiseError> {
        match self {
            Vector::Exact(quantiser, values) => {
                let part = values.get(start..start + out.len()).unwrap_or(&[]);
                quantiser.quantise(start, part, out, rounding)
            }
            Vector::Noised(slots) => {
                let part = slots.get(start..start + out.len()).unwrap_or(&[]);
                out.iter_mut().zip(part).for_each(|(out, slot)| *out = *slot);
                Ok(())
            }
        }
    }
}

fn derive_seed(seed: &[u8; 32], purpose: &str) -> [u8; 32] {
    *Transcript::new("haihe/v1/contribution-seed").bytes(seed).str(purpose).finish().as_bytes()
}

/// The integers of a vector with noise, to be kept and sent as they are. The ledger has recorded them before anything else
/// happens, and the noise is drawn before `values` touches any data.
///
/// `seed` must be fresh for every call.
pub fn noised<E: From<NoiseError>>(
    quantiser: &NoisedQuantiser,
    _recorded: &BudgetReserved,
    seed: &[u8; 32],
    values: impl FnOnce() -> Result<Vec<f64>, E>,
) -> Result<Vec<u32>, E> {
    let noise = quantiser.draw(&mut SecretStream::new(&derive_seed(seed, "noise"), 0));
    let mut values = values()?;
    // Clamped, not refused: what refuses depends on the data. Entry by entry, no two vectors come further apart.
    let mut rest = values.as_mut_slice();
    for segment in quantiser.segments() {
        let (part, later) = rest.split_at_mut(segment.len.min(rest.len()));
        if let Coding::Fixed { bound } = segment.coding {
            clip_coordinates(part, bound);
        }
        rest = later;
    }
    let mut slots = vec![0; values.len()];
    let mut rounding = SecretStream::new(&derive_seed(seed, "noised rounding"), 0);
    quantiser.quantise(0, &values, &noise, &mut slots, &mut rounding)?;
    Ok(slots)
}

/// Quantises one vector, appends its tag, encrypts and signs it.
///
/// `seed` must be fresh for every call: the one-time key, the noise and the rounding follow from it. A caller that may be
/// interrupted stores what this function returned, never the seed.
///
/// # Errors
/// If a value is not finite or out of its segment's bound, or if `sink` fails.
#[allow(clippy::too_many_arguments)]
pub fn contribute<E: std::error::Error>(
    scheme: &dyn Scheme,
    session: &Session,
    (spec, journal): (&Verified<RoundSpec>, &TreeHead),
    vector: Vector<'_>,
    me: &PartyId,
    (key, check, share_keys): (&SigningKey, &CheckKey, &ShareKeys),
    seed: [u8; 32],
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Prepared, ContributeError<E>> {
    let index = session.index_of(me)?;
    let parameters = &spec.parameters;
    let length = vector.len();
    if length + check_slots(parameters.value_bits()) != parameters.dimension() {
        return Err(ContributeError::Length);
    }
    let spec_digest = spec.digest();
    let mut tag = Some(check.tag(&spec_digest));
    let mut rounding = SecretStream::new(&derive_seed(&seed, "rounding"), 0);
    let context = SumContext { session: session.digest(), round: spec.round };
    let mut contributor = scheme.contributor(parameters, &context, derive_seed(&seed, "ring"));

    let mut hash = blake3::Hasher::new();
    let mut slots = vec![0u32; parameters.values_per_chunk()];
    let mut chunk = Vec::with_capacity(parameters.chunk_bytes());
    let mut end = Vec::new();
    for number in 0..parameters.chunks() {
        let range = parameters.chunk_values(number);
        let slots = &mut slots[..range.len()];
        let (start, stop) = (range.start.min(length), range.end.min(length));
        let (quantised, rest) = slots.split_at_mut(stop - start);
        vector.fill(start, quantised, &mut rounding)?;
        if let Some(tag) = &mut tag {
            tag.absorb(quantised.iter().map(|&value| value.into()));
        }
        if range.end > length {
            // The tag follows the values; it may begin in one chunk and end in the next.
            if let Some(tag) = tag.take() {
                end = check.slots(tag, &spec_digest, index, parameters.value_bits());
            }
            let first = range.start.max(length) - length;
            rest.copy_from_slice(end.get(first..first + rest.len()).ok_or(ContributeError::Length)?);
        }
        chunk.clear();
        contributor.encrypt_chunk(number, slots, &mut chunk)?;
        hash.update(&chunk);
        sink(&chunk).map_err(ContributeError::Sink)?;
    }

    let commitment = Digest::from_bytes(*hash.finalize().as_bytes());
    let shares = contributor.into_key_shares(&session.roster().rule);
    let mut sealed_shares = Vec::with_capacity(shares.len());
    for (position, (share, member)) in shares.iter().zip(session.committee()).enumerate() {
        let (round, to) = (spec.round, session.party(*member));
        let context = ShareContext { round, spec: &spec_digest, from: me, to, commitment: &commitment };
        sealed_shares.push(share_keys.seal(position, &context, &share.to_bytes())?);
    }
    let contribution = Contribution {
        party: me.clone(),
        round: spec.round,
        spec: spec_digest,
        commitment,
        ciphertext_bytes: parameters.ciphertext_bytes() as u64,
        share_digests: sealed_shares.iter().map(|s| share_digest(s)).collect(),
        journal: *journal,
        signature: Signature::from_bytes([0; 64]),
    };
    Ok(Prepared { contribution: contribution.signed(key), sealed_shares })
}

/// Opens the sealed shares of the survivors and signs their sum.
///
/// The caller has made sure, durably, that it never answered this round before ([`Violation::SecondSurvivorSet`]).
pub fn answer(
    survivors: &Verified<SurvivorSet>,
    sealed_shares: &[Vec<u8>],
    session: &Session,
    spec: &RoundSpec,
    me: &PartyId,
    share_keys: &ShareKeys,
    key: &SigningKey,
) -> Result<Answer, Violation> {
    let rule = &session.roster().rule;
    let mut sum = ShareSum::zero(spec.parameters.set(), rule);
    for (survivor, sealed) in survivors.survivors.iter().zip(sealed_shares) {
        let unreadable = || Violation::ShareUnreadable { party: survivor.party.clone(), receiver: me.clone() };
        let (from, commitment) = (&survivor.party, &survivor.commitment);
        let context = ShareContext { round: spec.round, spec: &survivors.spec, from, to: me, commitment };
        let plain = share_keys.open(session.index_of(from)?, &context, sealed).map_err(|_| unreadable())?;
        let share = KeyShare::from_bytes(&plain, spec.parameters.set(), rule).map_err(|_| unreadable())?;
        sum.add(&share).map_err(|_| unreadable())?;
    }
    Ok(Answer::signed(me.clone(), survivors.round, survivors.spec, survivors.digest(), sum.to_bytes(), key))
}
