//! The one secret of a party, and all that is derived from it.

use super::commitment::place;
use super::group::Exponent;
use super::permutation::Permutation;
use crate::digest::{Digest, Transcript};
use crate::prg::SecretStream;
use std::fmt;
use zeroize::Zeroizing;

/// What one party must keep for the length of one alignment: 32 secret bytes. Exponent, salts and shuffles come from them,
/// so that every step can be taken again after a crash and gives the same bytes.
///
/// Draw the seed afresh for each alignment and store it before anything is sent: two sets under one exponent could be
/// compared with each other.
pub struct Secret {
    seed: Zeroizing<[u8; 32]>,
    session: Digest,
    me: u32,
}

impl Secret {
    /// The secret of party `me` in the alignment called `session`: a digest of the job and of what all agreed on.
    pub fn new(session: Digest, me: u32, seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), session, me }
    }

    /// Our place in the ring.
    pub fn me(&self) -> u32 {
        self.me
    }

    /// The alignment's name.
    pub fn session(&self) -> &Digest {
        &self.session
    }

    pub(super) fn place(&self) -> Digest {
        place(&self.session, self.me)
    }

    pub(super) fn salt(&self) -> Digest {
        self.derive("salts", 0)
    }

    pub(super) fn exponent(&self) -> Exponent {
        let seed = Zeroizing::new(*self.derive("exponent", 0).as_bytes());
        Exponent::derive(&seed)
    }

    /// Our shuffle of the set of `owner`.
    pub(super) fn permutation(&self, owner: u32, size: u32) -> Permutation {
        Permutation::draw(self.stream("shuffle", owner), size)
    }

    /// The order in which the comparator numbers the common keys.
    pub(super) fn order(&self) -> SecretStream {
        self.stream("order", 0)
    }

    fn stream(&self, purpose: &str, index: u32) -> SecretStream {
        let seed = Zeroizing::new(*self.derive(purpose, index).as_bytes());
        SecretStream::new(&seed, 0)
    }

    fn derive(&self, purpose: &str, index: u32) -> Digest {
        let secret = Transcript::new("haihe/v1/align/secret").bytes(self.seed.as_ref());
        secret.digest(&self.place()).str(purpose).u64(index.into()).finish()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("session", &self.session).field("me", &self.me).finish_non_exhaustive()
    }
}
