//! What each participant put into each sum, noted before any encryption: the reference that sums are compared with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use haihe_privacy::{
    digest::Digest,
    secure_sum::{Adder, CommitteeRule, Contributor, EncryptError, KeyShare, Scheme, SumContext, SumParameters},
};

/// Integers by session and round. Of a contribution that was made again after a crash, the last one stays, which is the
/// first that was ever sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<Mutex<Vectors>>);

type Vectors = BTreeMap<(Digest, u64), Vec<u32>>;

impl Noted {
    pub(super) fn of(&self, session: Digest, round: u64) -> Option<Vec<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(session, round)).cloned()
    }
}

/// Another scheme, whose contributors are watched.
pub(super) struct Watching {
    pub(super) scheme: Arc<dyn Scheme>,
    pub(super) noted: Noted,
}

impl Scheme for Watching {
    fn name(&self) -> &'static str {
        self.scheme.name()
    }

    fn contributor(&self, parameters: &SumParameters, context: &SumContext, seed: [u8; 32]) -> Box<dyn Contributor> {
        let inner = self.scheme.contributor(parameters, context, seed);
        let step = (context.session, context.round);
        Box::new(Watched { inner, step, values: Vec::new(), noted: self.noted.clone() })
    }

    fn adder(&self, parameters: &SumParameters, context: &SumContext) -> Box<dyn Adder> {
        self.scheme.adder(parameters, context)
    }
}

struct Watched {
    inner: Box<dyn Contributor>,
    step: (Digest, u64),
    values: Vec<u32>,
    noted: Noted,
}

impl Contributor for Watched {
    fn encrypt_chunk(&mut self, index: usize, values: &[u32], out: &mut Vec<u8>) -> Result<(), EncryptError> {
        self.inner.encrypt_chunk(index, values, out)?;
        self.values.extend_from_slice(values);
        Ok(())
    }

    fn into_key_shares(self: Box<Self>, rule: &CommitteeRule) -> Vec<KeyShare> {
        let mut noted = self.noted.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(self.step, self.values);
        self.inner.into_key_shares(rule)
    }
}
