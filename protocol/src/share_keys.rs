//! The keys under which the shares of one-time keys travel: one per sender and receiver, for a whole session.

use haihe_privacy::{
    digest::{Digest, Transcript},
    seal::{Pair, PairKey, SealError, SealingKey},
};

use crate::{error::Violation, id::PartyId, roster::Session};

/// One party's keys: to every member of the committee, and, for a member, from every party.
///
/// They follow from the party's sealing key and the session; with the party's vault alone they are made again.
#[derive(Clone, Debug)]
pub struct ShareKeys {
    /// In the committee's order.
    to: Vec<PairKey>,
    /// In the roster's order; empty if the party is not in the committee.
    from: Vec<PairKey>,
}

/// What a sealed share belongs to. The commitment binds it to one ciphertext, and so to one one-time key: a party that
/// contributes again after it lost its vault seals other shares under other keys.
#[derive(Clone, Copy, Debug)]
pub struct ShareContext<'a> {
    /// Round.
    pub round: u64,
    /// Digest of the round's specification.
    pub spec: &'a Digest,
    /// Whose share it is.
    pub from: &'a PartyId,
    /// Who opens it.
    pub to: &'a PartyId,
    /// BLAKE3 of the sender's ciphertext.
    pub commitment: &'a Digest,
}

impl ShareContext<'_> {
    /// Its digest: *share context*.
    pub fn digest(&self) -> Digest {
        Transcript::new("haihe/v1/share-context")
            .u64(self.round)
            .digest(self.spec)
            .str(self.from.as_str())
            .str(self.to.as_str())
            .digest(self.commitment)
            .finish()
    }
}

impl ShareKeys {
    /// The keys of party `me`, whose sealing key the roster names.
    ///
    /// # Errors
    /// If `me` is not in the session; [`Violation::SealingKey`] if `sealing` is not its key, or another party's key is
    /// unusable, which an established session rules out.
    pub fn new(session: &Session, me: &PartyId, sealing: &SealingKey) -> Result<Self, Violation> {
        let own = session.index_of(me)?;
        let pair = |sender: u32, receiver: u32| {
            let half = |index: u32| {
                let entry = &session.roster().entries[index as usize];
                (entry.party.as_str(), &entry.sealing_key)
            };
            let pair = Pair { session: &session.digest(), sender: half(sender), receiver: half(receiver) };
            let at_fault = if sender == own { receiver } else { sender };
            sealing.pair(&pair).map_err(|error| match error {
                SealError::InvalidPublicKey(_) => Violation::SealingKey { party: session.party(at_fault).clone() },
                _ => Violation::SealingKey { party: me.clone() },
            })
        };
        let to = session.committee().iter().map(|member| pair(own, *member)).collect::<Result<_, _>>()?;
        let from = match session.committee_position(own) {
            Some(_) => (0..session.parties()).map(|sender| pair(sender, own)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Self { to, from })
    }

    /// Seals a share for the committee member at `position`.
    pub(crate) fn seal(&self, position: usize, context: &ShareContext<'_>, share: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.to.get(position).ok_or(SealError::CannotSeal { length: share.len() })?;
        key.seal(&context.digest(), share)
    }

    /// Opens a share of the party with index `sender`.
    pub(crate) fn open(&self, sender: u32, context: &ShareContext<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.from.get(sender as usize).ok_or(SealError::DoesNotOpen { found: sealed.len() })?;
        key.open(&context.digest(), sealed)
    }
}
