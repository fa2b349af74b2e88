//! Who takes part in a job. A [`Session`] exists only once every certificate, key, nonce and signature was verified, so
//! whoever holds one may rely on all of them.

use std::collections::{BTreeMap, BTreeSet};

use haihe_privacy::{
    digest::{Digest, Transcript},
    identity::{IdentityError, MemberCertificate, read_unverified_certificate, verify_member_certificate},
    seal::SealingPublicKey,
    secure_sum::committee::{CommitteeRule, draw_committee},
    sign::{Signature, SigningKey, VerifyingKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    check::{MAKER, SealedCheckKey},
    error::{IdentityErrorOrRole, Violation},
    id::{JobId, PartyId, Timestamp, hex_bytes},
    job::JobSpec,
    message::cut,
    verified::Verified,
};

/// What a party takes for granted: its federation and the certificate authority that vouches for the members.
#[derive(Clone, Debug)]
pub struct Trust {
    federation: String,
    authority: Authority,
}

#[derive(Clone, Debug)]
enum Authority {
    /// DER.
    Certificate(Vec<u8>),
    /// Nobody vouches: certificates are taken at their word. Only an audit that says so does that.
    Nobody,
}

impl Trust {
    /// Trust in the authority with this certificate, DER.
    pub fn new(federation: impl Into<String>, authority: Vec<u8>) -> Self {
        Self { federation: federation.into(), authority: Authority::Certificate(authority) }
    }

    /// Takes certificates at their word.
    pub(crate) fn in_nobody(federation: impl Into<String>) -> Self {
        Self { federation: federation.into(), authority: Authority::Nobody }
    }

    /// Name of the federation.
    pub fn federation(&self) -> &str {
        &self.federation
    }

    /// What a certificate says that the authority issued, whatever federation it names.
    pub fn member(&self, certificate: &[u8], now: Timestamp) -> Result<MemberCertificate, IdentityError> {
        match &self.authority {
            Authority::Certificate(authority) => verify_member_certificate(authority, certificate, now.unix_seconds()),
            Authority::Nobody => read_unverified_certificate(certificate),
        }
    }

    /// The signing key that a member's certificate binds to `party`.
    fn member_key(&self, party: &PartyId, certificate: &[u8], now: Timestamp) -> Result<VerifyingKey, Violation> {
        let member =
            self.member(certificate, now).map_err(|source| Violation::Certificate { party: party.clone(), source })?;
        let data_holder = ["bank", "government", "enterprise"].contains(&member.role.as_str());
        if member.party != party.as_str() || member.federation != self.federation || !data_holder {
            return Err(Violation::CertificateNames {
                party: party.clone(),
                named: format!("{}/{}", member.role, member.party),
                federation: member.federation,
            });
        }
        member.signing_key.ok_or_else(|| Violation::CertificateNames {
            party: party.clone(),
            named: "no Ed25519 key".to_owned(),
            federation: member.federation,
        })
    }

    /// The signing key of this federation's coordinator.
    pub(crate) fn coordinator_key(&self, certificate: &[u8], now: Timestamp) -> Result<VerifyingKey, Violation> {
        let refuse = |detail| Violation::CoordinatorCertificate { detail };
        let member = self.member(certificate, now).map_err(|e| refuse(IdentityErrorOrRole::Identity(e)))?;
        if member.role != "coordinator" || member.federation != self.federation {
            return Err(refuse(IdentityErrorOrRole::Role { role: member.role, federation: member.federation }));
        }
        member.signing_key.ok_or(refuse(IdentityErrorOrRole::NoSigningKey))
    }
}

/// A participant's wish to take part in a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// Job.
    pub job: JobId,
    /// Who joins.
    pub party: PartyId,
    /// DER; binds `party` to its signing key.
    #[serde(with = "hex_bytes")]
    pub signing_certificate: Vec<u8>,
    /// Key shares are sealed for this key, fresh for the job.
    pub sealing_key: SealingPublicKey,
    /// Digest of the nonce that the confirmation reveals.
    pub beacon_commitment: Digest,
    /// By the party, over everything above.
    pub signature: Signature,
}

/// Digest that commits to a beacon nonce.
pub fn beacon_commitment(job: &JobId, party: &PartyId, nonce: &[u8; 32]) -> Digest {
    Transcript::new("haihe/v1/beacon-commitment").digest(&job.0).str(party.as_str()).bytes(nonce).finish()
}

impl Join {
    /// Signs a wish to join.
    pub fn signed(
        job: JobId,
        party: PartyId,
        signing_certificate: Vec<u8>,
        sealing_key: SealingPublicKey,
        beacon_nonce: &[u8; 32],
        key: &SigningKey,
    ) -> Self {
        let beacon_commitment = beacon_commitment(&job, &party, beacon_nonce);
        let signature = key.sign(&Self::to_sign(&job, &party, &signing_certificate, &sealing_key, &beacon_commitment));
        Self { job, party, signing_certificate, sealing_key, beacon_commitment, signature }
    }

    fn to_sign(
        job: &JobId,
        party: &PartyId,
        certificate: &[u8],
        sealing: &SealingPublicKey,
        beacon: &Digest,
    ) -> Digest {
        Transcript::new("haihe/v1/join")
            .digest(&job.0)
            .str(party.as_str())
            .bytes(certificate)
            .bytes(sealing.as_bytes())
            .digest(beacon)
            .finish()
    }

    /// Checks certificate, identity and signature; returns the party's signing key.
    fn check(&self, job: &JobId, spec: &JobSpec, trust: &Trust, now: Timestamp) -> Result<VerifyingKey, Violation> {
        if self.job != *job {
            return Err(Violation::OtherJob { message: "join" });
        }
        if !spec.job.parties.contains(&self.party) {
            return Err(Violation::NotInvited { party: self.party.clone() });
        }
        if !self.sealing_key.is_usable() {
            return Err(Violation::SealingKey { party: self.party.clone() });
        }
        let key = trust.member_key(&self.party, &self.signing_certificate, now)?;
        let digest = Self::to_sign(
            &self.job,
            &self.party,
            &self.signing_certificate,
            &self.sealing_key,
            &self.beacon_commitment,
        );
        key.verify(&digest, &self.signature)
            .map_err(|_| Violation::Signature { party: self.party.clone(), message: "join" })?;
        Ok(key)
    }
}

impl Verified<Join> {
    /// Checks a received wish to join.
    pub fn join(join: Join, job: &JobId, spec: &JobSpec, trust: &Trust, now: Timestamp) -> Result<Self, Violation> {
        join.check(job, spec, trust, now)?;
        Ok(Verified::after_checks(join))
    }
}

/// A participant's refusal of a job, with its reason in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decline {
    /// Job.
    pub job: JobId,
    /// Who declines.
    pub party: PartyId,
    /// DER; binds `party` to its signing key.
    #[serde(with = "hex_bytes")]
    pub signing_certificate: Vec<u8>,
    /// For people; never row contents.
    pub reason: String,
    /// By the party, over everything above.
    pub signature: Signature,
}

/// Longest reason that is kept, in bytes.
pub const MAX_REASON_BYTES: usize = 4096;

impl Decline {
    /// Signs a refusal; a reason that is too long is cut.
    pub fn signed(job: JobId, party: PartyId, signing_certificate: Vec<u8>, reason: &str, key: &SigningKey) -> Self {
        let reason = cut(reason);
        let signature = key.sign(&Self::to_sign(&job, &party, &signing_certificate, &reason));
        Self { job, party, signing_certificate, reason, signature }
    }

    fn to_sign(job: &JobId, party: &PartyId, certificate: &[u8], reason: &str) -> Digest {
        Transcript::new("haihe/v1/decline").digest(&job.0).str(party.as_str()).bytes(certificate).str(reason).finish()
    }
}

/// The parties of a session, as the coordinator proposes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roster {
    /// Job.
    pub job: JobId,
    /// Counts proposals, from 0.
    pub attempt: u32,
    /// Sorted by party id; the position is the party's index.
    pub entries: Vec<Join>,
    /// Committee rule.
    pub rule: CommitteeRule,
    /// Smallest survivor set that a committee member may answer for.
    pub minimum_contributors: u32,
    /// DER; binds the coordinator's signing key.
    #[serde(with = "hex_bytes")]
    pub coordinator_certificate: Vec<u8>,
    /// When confirming ends.
    pub deadline: Timestamp,
}

impl Roster {
    /// Names the session. Covers every field.
    pub fn digest(&self) -> Digest {
        let mut t = Transcript::new("haihe/v1/roster")
            .digest(&self.job.0)
            .u64(u64::from(self.attempt))
            .u64(self.entries.len() as u64);
        for e in &self.entries {
            t = t
                .digest(&Join::to_sign(&e.job, &e.party, &e.signing_certificate, &e.sealing_key, &e.beacon_commitment))
                .bytes(e.signature.as_bytes());
        }
        t.u64(u64::from(self.rule.members()))
            .u64(u64::from(self.rule.privacy_threshold()))
            .u64(u64::from(self.rule.packing()))
            .u64(u64::from(self.rule.answers_needed()))
            .u64(u64::from(self.minimum_contributors))
            .bytes(&self.coordinator_certificate)
            .u64(self.deadline.0)
            .finish()
    }

    /// The parties in their order.
    pub fn parties(&self) -> Vec<PartyId> {
        self.entries.iter().map(|e| e.party.clone()).collect()
    }

    /// True for the party that draws the key with which sums are checked; where no sum is opened, nobody does.
    pub fn makes_check_key(&self, index: usize) -> bool {
        index == MAKER && !self.rule.is_nobody()
    }

    /// Honest contributors in every sum that may be opened, at least: their noise alone protects a sum.
    pub fn guaranteed_contributors(&self) -> u32 {
        self.minimum_contributors.saturating_sub(self.rule.privacy_threshold()).max(1)
    }

    /// The entries that hold by themselves and share no key with an earlier one.
    pub(crate) fn sound_entries(
        entries: Vec<Join>,
        job: &JobId,
        spec: &JobSpec,
        trust: &Trust,
        now: Timestamp,
    ) -> Vec<Join> {
        let mut keys = BTreeSet::new();
        let sound = |entry: &Join| match entry.check(job, spec, trust, now) {
            Ok(key) => keys.insert(*key.as_bytes()) && keys.insert(*entry.sealing_key.as_bytes()),
            Err(_) => false,
        };
        entries.into_iter().filter(sound).collect()
    }

    /// Everything that can be checked before the others confirmed: what a participant verifies before it signs.
    pub fn verify(&self, job: &JobId, spec: &JobSpec, trust: &Trust, now: Timestamp) -> Result<RosterKeys, Violation> {
        if self.job != *job {
            return Err(Violation::OtherJob { message: "roster" });
        }
        let mut participants = Vec::with_capacity(self.entries.len());
        let mut keys = BTreeSet::new();
        let mut last: Option<&PartyId> = None;
        for entry in &self.entries {
            if last.is_some_and(|l| *l >= entry.party) {
                return Err(Violation::RosterOrder { party: entry.party.clone() });
            }
            last = Some(&entry.party);
            let key = entry.check(job, spec, trust, now)?;
            if !keys.insert(*key.as_bytes()) || !keys.insert(*entry.sealing_key.as_bytes()) {
                return Err(Violation::SharedKey { party: entry.party.clone() });
            }
            participants.push(key);
        }
        if let Some(party) = spec.needed_parties().find(|p| !self.entries.iter().any(|e| e.party == **p)) {
            return Err(Violation::LeftOut { party: party.clone() });
        }
        // The numbers count: over the wire a rule does not say against whom it was chosen.
        let numbers = |r: &CommitteeRule| [r.members(), r.privacy_threshold(), r.packing(), r.answers_needed()];
        let rule = spec.committee_rule(self.entries.len() as u32).map_err(|_| Violation::CommitteeRule)?;
        if numbers(&self.rule) != numbers(&rule)
            || self.minimum_contributors < self.rule.minimum_contributors()
            || self.minimum_contributors < spec.min_parties()
        {
            return Err(Violation::CommitteeRule);
        }
        Ok(RosterKeys { participants, coordinator: trust.coordinator_key(&self.coordinator_certificate, now)? })
    }
}

/// Signing keys of a verified roster.
#[derive(Clone, Debug, PartialEq)]
pub struct RosterKeys {
    participants: Vec<VerifyingKey>,
    coordinator: VerifyingKey,
}

/// A participant's signature on the roster; reveals its beacon nonce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Job.
    pub job: JobId,
    /// Who confirms.
    pub party: PartyId,
    /// Digest of the roster.
    pub session: Digest,
    /// Opens the commitment of the join.
    pub beacon_nonce: [u8; 32],
    /// The check key of the session; made by the first party of the roster, absent from all others and in vertical jobs.
    pub check_key: Option<SealedCheckKey>,
    /// By the party, over everything above.
    pub signature: Signature,
}

impl Confirmation {
    /// Signs a roster that was verified.
    pub fn signed(
        job: JobId,
        party: PartyId,
        session: Digest,
        beacon_nonce: [u8; 32],
        check_key: Option<SealedCheckKey>,
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&Self::to_sign(&job, &party, &session, &beacon_nonce, check_key.as_ref()));
        Self { job, party, session, beacon_nonce, check_key, signature }
    }

    fn to_sign(
        job: &JobId,
        party: &PartyId,
        session: &Digest,
        nonce: &[u8; 32],
        check_key: Option<&SealedCheckKey>,
    ) -> Digest {
        let t = Transcript::new("haihe/v1/confirmation")
            .digest(&job.0)
            .str(party.as_str())
            .digest(session)
            .bytes(nonce)
            .u64(u64::from(check_key.is_some()));
        check_key.map(SealedCheckKey::digest).iter().fold(t, |t, digest| t.digest(digest)).finish()
    }

    /// Checks the confirmation of the party with index `index` in the roster.
    fn check(
        &self,
        (index, roster): (usize, &Roster),
        entry: &Join,
        key: &VerifyingKey,
        session: &Digest,
    ) -> Result<(), Violation> {
        let party = || self.party.clone();
        if self.job != entry.job || self.session != *session || self.party != entry.party {
            return Err(Violation::Confirmation { party: entry.party.clone() });
        }
        if beacon_commitment(&self.job, &self.party, &self.beacon_nonce) != entry.beacon_commitment {
            return Err(Violation::Beacon { party: party() });
        }
        let proper = match &self.check_key {
            Some(made) => roster.makes_check_key(index) && made.is_complete(roster.entries.len()),
            None => !roster.makes_check_key(index),
        };
        if !proper {
            return Err(Violation::CheckKeyPresence { party: party() });
        }
        let check_key = self.check_key.as_ref();
        let signed = Self::to_sign(&self.job, &self.party, &self.session, &self.beacon_nonce, check_key);
        key.verify(&signed, &self.signature)
            .map_err(|_| Violation::Signature { party: party(), message: "confirmation" })
    }
}

impl Verified<Confirmation> {
    /// Checks a received confirmation against the roster that is being confirmed.
    pub fn confirmation(c: Confirmation, roster: &Roster, keys: &RosterKeys) -> Result<Self, Violation> {
        let index = roster
            .entries
            .binary_search_by(|e| e.party.cmp(&c.party))
            .map_err(|_| Violation::NotInRoster { party: c.party.clone() })?;
        c.check((index, roster), &roster.entries[index], &keys.participants[index], &roster.digest())?;
        Ok(Verified::after_checks(c))
    }
}

impl Verified<Decline> {
    /// Checks a received refusal.
    pub fn decline(d: Decline, job: &JobId, spec: &JobSpec, trust: &Trust, now: Timestamp) -> Result<Self, Violation> {
        if d.job != *job {
            return Err(Violation::OtherJob { message: "decline" });
        }
        if !spec.job.parties.contains(&d.party) {
            return Err(Violation::NotInvited { party: d.party });
        }
        if d.reason.len() > MAX_REASON_BYTES {
            return Err(Violation::ReasonTooLong { party: d.party });
        }
        let key = trust.member_key(&d.party, &d.signing_certificate, now)?;
        key.verify(&Decline::to_sign(&d.job, &d.party, &d.signing_certificate, &d.reason), &d.signature)
            .map_err(|_| Violation::Signature { party: d.party.clone(), message: "decline" })?;
        Ok(Verified::after_checks(d))
    }
}

/// A roster that every party in it signed. Has no public constructor but [`Session::establish`].
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    roster: Roster,
    confirmations: Vec<Confirmation>,
    keys: RosterKeys,
    digest: Digest,
    committee: Vec<u32>,
    index: BTreeMap<PartyId, u32>,
}

impl Session {
    /// Verifies the roster and one confirmation per entry, opens the beacon and draws the committee.
    ///
    /// The beacon is the digest of all nonces, each committed to in a join and revealed in a confirmation, so that no
    /// party (and not the coordinator) chooses the committee; a party can only walk away.
    pub fn establish(
        roster: Roster,
        confirmations: Vec<Confirmation>,
        job: &JobId,
        spec: &JobSpec,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Self, Violation> {
        let keys = roster.verify(job, spec, trust, now)?;
        let digest = roster.digest();
        let mut beacon = Transcript::new("haihe/v1/beacon").digest(&digest);
        for (i, entry) in roster.entries.iter().enumerate() {
            let confirmation =
                confirmations.get(i).ok_or_else(|| Violation::Confirmation { party: entry.party.clone() })?;
            confirmation.check((i, &roster), entry, &keys.participants[i], &digest)?;
            beacon = beacon.bytes(&confirmation.beacon_nonce);
        }
        let parties = roster.entries.len() as u32;
        let committee = draw_committee(&beacon.finish(), parties, roster.rule.members());
        let index = roster.entries.iter().enumerate().map(|(i, e)| (e.party.clone(), i as u32)).collect();
        Ok(Self { roster, confirmations, keys, digest, committee, index })
    }

    /// Names the session: digest of the roster.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The roster.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// One confirmation per party, in order.
    pub fn confirmations(&self) -> &[Confirmation] {
        &self.confirmations
    }

    /// Number of parties.
    pub fn parties(&self) -> u32 {
        self.roster.entries.len() as u32
    }

    /// Index of a party.
    pub fn index_of(&self, party: &PartyId) -> Result<u32, Violation> {
        self.index.get(party).copied().ok_or_else(|| Violation::NotInRoster { party: party.clone() })
    }

    /// The party with this index.
    ///
    /// # Panics
    /// If `index` is not below [`Session::parties`].
    pub fn party(&self, index: u32) -> &PartyId {
        &self.roster.entries[index as usize].party
    }

    /// Verifying key of the party with this index.
    pub fn key_of(&self, index: u32) -> &VerifyingKey {
        &self.keys.participants[index as usize]
    }

    /// Verifying key of the coordinator.
    pub fn coordinator_key(&self) -> &VerifyingKey {
        &self.keys.coordinator
    }

    /// As [`Roster::guaranteed_contributors`].
    pub fn guaranteed_contributors(&self) -> u32 {
        self.roster.guaranteed_contributors()
    }

    /// Indices of the committee's members, ascending; the position in this list is the member's share.
    pub fn committee(&self) -> &[u32] {
        &self.committee
    }

    /// Position of a party in the committee, if it is a member.
    pub fn committee_position(&self, index: u32) -> Option<u32> {
        self.committee.binary_search(&index).ok().map(|p| p as u32)
    }
}
