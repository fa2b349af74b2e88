//! How the participants of a session agree on the key of the sums' authenticator ([`CheckKey`]) behind the coordinator's
//! back: the first party of the roster draws it and seals it for every party, in its confirmation.
//!
//! Every participant has the key in the end, so it does not matter which of them draws it; the maker signs a commitment,
//! so that nobody can be given another key than the others.

use haihe_privacy::{
    digest::{Digest, Transcript},
    prg::SecretStream,
    seal::{self, SealError, SealingKey, seal},
    secure_sum::CheckKey,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::Violation,
    id::PartyId,
    roster::{Roster, Session},
};

/// Index of the party that draws the key.
pub const MAKER: usize = 0;
/// Size of the key, sealed.
pub const SEALED_KEY_BYTES: usize = 32 + seal::OVERHEAD;

/// The check key of a session, sealed for each of its parties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedCheckKey {
    /// Commits to the key.
    pub commitment: Digest,
    /// One per party, in the roster's order.
    #[serde(with = "crate::id::hex_list")]
    pub sealed: Vec<Vec<u8>>,
}

fn context(from: &PartyId, to: &PartyId) -> Digest {
    Transcript::new("haihe/v1/check-key-context").str(from.as_str()).str(to.as_str()).finish()
}

impl SealedCheckKey {
    /// Draws the key of a session and seals it for everybody in the roster. The same secret gives the same bytes again.
    ///
    /// # Errors
    /// If a sealing key of the roster is unusable, which a verified roster rules out.
    pub fn make(roster: &Roster, me: &PartyId, secret: &[u8; 32]) -> Result<Self, SealError> {
        let session = roster.digest();
        let derive = |purpose: &str| {
            *Transcript::new("haihe/v1/check-key-seed").str(purpose).digest(&session).bytes(secret).finish().as_bytes()
        };
        let key = CheckKey::from_bytes(derive("key"));
        let mut rng = SecretStream::new(&derive("seal"), 0);
        let sealed = roster.entries.iter().map(|entry| {
            let context = context(me, &entry.party);
            seal(&mut rng, &entry.sealing_key, &session, context.as_bytes(), key.expose_bytes())
        });
        Ok(Self { commitment: key.commitment(&session), sealed: sealed.collect::<Result<_, _>>()? })
    }

    /// Covers everything; part of what the maker's confirmation signs.
    pub fn digest(&self) -> Digest {
        let start = Transcript::new("haihe/v1/sealed-check-key").digest(&self.commitment).u64(self.sealed.len() as u64);
        self.sealed.iter().fold(start, |t, sealed| t.bytes(sealed)).finish()
    }

    /// One sealed key per party, each of the right size.
    pub(crate) fn is_complete(&self, parties: usize) -> bool {
        self.sealed.len() == parties && self.sealed.iter().all(|s| s.len() == SEALED_KEY_BYTES)
    }
}

impl Session {
    /// Opens the check key that was sealed for `me`.
    ///
    /// # Errors
    /// [`Violation::CheckKey`], which names the maker, if it does not open or is not the key that the maker committed to.
    pub fn check_key(&self, me: &PartyId, sealing: &SealingKey) -> Result<CheckKey, Violation> {
        let index = self.index_of(me)? as usize;
        let maker = &self.roster().entries[MAKER].party;
        let fault = || Violation::CheckKey { party: maker.clone() };
        let made = self.confirmations()[MAKER].check_key.as_ref().ok_or_else(fault)?;
        let sealed = made.sealed.get(index).ok_or_else(fault)?;
        let bytes = sealing.open(&self.digest(), context(maker, me).as_bytes(), sealed).map_err(|_| fault())?;
        let key = CheckKey::from_bytes(bytes.try_into().map_err(|_| fault())?);
        if key.commitment(&self.digest()) != made.commitment {
            return Err(fault());
        }
        Ok(key)
    }
}
