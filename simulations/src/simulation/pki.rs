//! Certificates made on the spot. Every key follows from the seed, so that one seed gives the same bytes again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use haihe_privacy::{Transcript, sign::SigningKey};
use haihe_protocol::{id::PartyId, roster::Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use super::SimulationError;

/// Name of every simulated federation.
pub const FEDERATION: &str = "simulation.haihe.example";

/// 32 bytes for one purpose, from the seed.
pub(super) fn derive(seed: u64, purpose: &str, of: &str, count: u64) -> [u8; 32] {
    let digest = Transcript::new("haihe/v1/simulation").u64(seed).str(purpose).str(of).u64(count).finish();
    *digest.as_bytes()
}

/// The certificate authority of a simulation, or of many.
pub(super) struct Authority {
    seed: u64,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// By name; issued once.
    issued: Mutex<BTreeMap<String, Vec<u8>>>,
}

fn pair(key: &SigningKey) -> Result<KeyPair, SimulationError> {
    let pem = key.to_pkcs8_pem().map_err(|e| SimulationError::Certificates(e.to_string()))?;
    Ok(KeyPair::from_pem(&pem)?)
}

impl Authority {
    pub(super) fn new(seed: u64) -> Result<Self, SimulationError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Haihe simulation");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
        let key = SigningKey::from_seed(derive(seed, "authority", "", 0));
        let issuer = CertifiedIssuer::self_signed(params, pair(&key)?)?;
        Ok(Self { seed, issuer, issued: Mutex::default() })
    }

    /// One for all simulations of this process that ask for it.
    pub(super) fn shared() -> Result<Arc<Self>, SimulationError> {
        static SHARED: Mutex<Option<Arc<Authority>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some(authority) => Ok(authority.clone()),
            None => Ok(shared.insert(Arc::new(Self::new(0)?)).clone()),
        }
    }

    /// Seed of a member's signing key.
    pub(super) fn signing_seed(&self, party: &PartyId) -> [u8; 32] {
        derive(self.seed, "signing key", party.as_str(), 0)
    }

    pub(super) fn trust(&self) -> Trust {
        Trust::new(FEDERATION, self.certificate())
    }

    /// The authority's certificate, DER.
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Signing key and certificate of a member.
    pub(super) fn member(&self, role: &str, party: &PartyId) -> Result<(SigningKey, Vec<u8>), SimulationError> {
        let key = SigningKey::from_seed(self.signing_seed(party));
        let name = format!("spiffe://{FEDERATION}/{role}/{party}");
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = issued.get(&name) {
            return Ok((key, certificate.clone()));
        }
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
        let certificate = params.signed_by(&pair(&key)?, &self.issuer)?.der().to_vec();
        issued.insert(name, certificate.clone());
        Ok((key, certificate))
    }
}
