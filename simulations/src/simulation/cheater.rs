//! A participant that cheats: it does the work of an honest one, and alters what it is about to say. It signs with its own
//! key, and knows what an accomplice at the coordinator would tell it of the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use haihe_privacy::{
    digest::Digest,
    seal::SealingPublicKey,
    secure_sum::{Adder, CommitteeRule, Contributor, EncryptError, KeyShare, Scheme, SumContext, SumParameters},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    check::{MAKER, SealedCheckKey},
    id::PartyId,
    message::{Answer, Contribution, share_digest},
    roster::{Confirmation, Join},
    vertical::exchange::{MAX_ANNOUNCEMENT_BYTES, ParcelHead},
};

use super::message::{Ask, Said};
use crate::cheat::{AnswerLie, Cheat, ConfirmationLie, ContributionLie, JoinLie, ParcelLie};

const NOBODYS: Signature = Signature::from_bytes([0; 64]);
const OTHER: Digest = Digest::from_bytes([3; 32]);

/// What the others said, as far as a cheater can know.
#[derive(Default)]
pub(super) struct Overheard {
    pub(super) contributions: BTreeMap<(PartyId, u64), Said>,
    /// Certificates are public.
    pub(super) certificates: BTreeMap<PartyId, Vec<u8>>,
}

/// The lies of one participant.
pub(super) struct Cheater {
    me: PartyId,
    key: SigningKey,
    lies: Vec<Cheat>,
    /// Its own contributions, by round.
    before: BTreeMap<u64, Said>,
    /// How often it lied.
    pub(super) told: u64,
}

fn commitment(ciphertext: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(ciphertext).as_bytes())
}

impl Cheater {
    pub(super) fn new(me: PartyId, key: SigningKey, cheats: &[Cheat]) -> Self {
        let lies = cheats.iter().filter(|c| c.by() == Some(&me)).cloned().collect();
        Self { me, key, lies, before: BTreeMap::new(), told: 0 }
    }

    /// What it says instead of what it should, one message after the other; nothing if it waits for what it wants to copy.
    pub(super) fn says(&mut self, ask: &Ask, said: Said, overheard: &Overheard) -> Vec<Said> {
        let honest = said.clone();
        let lie = self.lies.iter().find_map(|cheat| match (cheat, &said) {
            (Cheat::Join { lie, .. }, Said::Join(join)) => Some(vec![self.join(*lie, join, overheard)]),
            (Cheat::Confirmation { lie, .. }, Said::Confirm(c)) => Some(vec![self.confirmation(*lie, c, ask)]),
            (Cheat::Contribution { round, lie, .. }, Said::Contribution { head, sealed_shares, ciphertext })
                if *round == head.round =>
            {
                let lie = self.contribution(*lie, head, sealed_shares, ciphertext, overheard);
                Some(if matches!(cheat, Cheat::Contribution { lie: ContributionLie::Second, .. }) {
                    [vec![honest.clone()], lie].concat()
                } else {
                    lie
                })
            }
            (Cheat::Parcel { round, lie, .. }, Said::Parcel { head, letters }) if *round == head.round => {
                Some(self.parcel(*lie, head, letters, &said))
            }
            (Cheat::Answer { round, lie, .. }, Said::Answer(answer)) if *round == answer.round => {
                Some(self.answer(*lie, answer, &said))
            }
            _ => None,
        });
        if let Said::Contribution { head, .. } = &honest {
            self.before.insert(head.round, honest.clone());
        }
        self.told += u64::from(lie.as_ref().is_some_and(|lie| !lie.is_empty()));
        lie.unwrap_or_else(|| vec![honest])
    }

    fn join(&self, lie: JoinLie, join: &Join, overheard: &Overheard) -> Said {
        let mut other = join.clone();
        match lie {
            JoinLie::Certificate => {
                let certificate = overheard.certificates.iter().find(|(party, _)| **party != self.me);
                other.signing_certificate = certificate.map(|(_, c)| c.clone()).unwrap_or_default();
            }
            JoinLie::SealingKey => other.sealing_key = SealingPublicKey::from_bytes([0; 32]),
            JoinLie::Unsigned => {
                other.signature = NOBODYS;
                return Said::Join(Box::new(other));
            }
        }
        let (certificate, sealing) = (other.signing_certificate, other.sealing_key);
        let signed = Join::signed(join.job, self.me.clone(), certificate, sealing, &[7; 32], &self.key);
        Said::Join(Box::new(signed))
    }

    fn confirmation(&self, lie: ConfirmationLie, c: &Confirmation, ask: &Ask) -> Said {
        let (mut nonce, mut check_key) = (c.beacon_nonce, c.check_key.clone());
        let other = match ask {
            Ask::Confirm(roster) => SealedCheckKey::make(roster, &roster.entries[MAKER].party, &[7; 32]).ok(),
            _ => None,
        };
        match (lie, &mut check_key, other) {
            (ConfirmationLie::Nonce, ..) => nonce = [7; 32],
            (ConfirmationLie::CheckKey, Some(made), Some(other)) => {
                if let (Some(sealed), Some(other)) = (made.sealed.last_mut(), other.sealed.last()) {
                    sealed.clone_from(other);
                }
            }
            (ConfirmationLie::CheckKey, ..) => {}
            (ConfirmationLie::Presence, Some(_), _) => check_key = None,
            (ConfirmationLie::Presence, None, other) => check_key = other,
        }
        let signed = Confirmation::signed(c.job, self.me.clone(), c.session, nonce, check_key, &self.key);
        Said::Confirm(Box::new(signed))
    }

    fn contribution(
        &self,
        lie: ContributionLie,
        head: &Contribution,
        shares: &Arc<Vec<Vec<u8>>>,
        ciphertext: &Arc<[u8]>,
        overheard: &Overheard,
    ) -> Vec<Said> {
        let mut head = head.clone();
        let (mut shares, mut bytes) = (shares.as_ref().clone(), ciphertext.to_vec());
        let mut resign = true;
        let of_another = || {
            let of = |(party, round): &(PartyId, u64)| *party != self.me && *round == head.round;
            overheard.contributions.iter().find(|(key, _)| of(key)).map(|(_, said)| said.clone())
        };
        match lie {
            // Inside the scheme: see `CheatingScheme`.
            ContributionLie::ShareOfOther | ContributionLie::Tag => {}
            ContributionLie::Malformed => bytes.fill(0xff),
            ContributionLie::Oversized => {
                bytes.push(0);
                head.ciphertext_bytes += 1;
            }
            ContributionLie::Commitment => {
                bytes[0] ^= 1;
                resign = false;
            }
            ContributionLie::Replayed => return self.before.get(&(head.round - 1)).cloned().into_iter().collect(),
            ContributionLie::ReplayedRenamed => {
                let Some(Said::Contribution { ciphertext, .. }) = self.before.get(&(head.round - 1)) else {
                    return Vec::new();
                };
                bytes = ciphertext.to_vec();
            }
            ContributionLie::Ciphertext => {
                let Some(Said::Contribution { ciphertext, .. }) = of_another() else { return Vec::new() };
                bytes = ciphertext.to_vec();
            }
            ContributionLie::CiphertextAndShares => {
                let Some(Said::Contribution { ciphertext, sealed_shares, .. }) = of_another() else {
                    return Vec::new();
                };
                (bytes, shares) = (ciphertext.to_vec(), sealed_shares.as_ref().clone());
            }
            ContributionLie::Name => {
                let Some(Said::Contribution { head: theirs, sealed_shares, ciphertext }) = of_another() else {
                    return Vec::new();
                };
                let head = Box::new(Contribution { party: self.me.clone(), ..*theirs });
                return vec![Said::Contribution { head, sealed_shares, ciphertext }];
            }
            ContributionLie::SharesUnreadable => shares.iter_mut().for_each(|s| s.fill(7)),
            ContributionLie::ShareMissing => {
                shares.pop();
            }
            ContributionLie::ShareSize => shares[0].push(0),
            ContributionLie::ShareDigest => {
                shares[0][0] ^= 1;
                resign = false;
            }
            ContributionLie::OtherSpec => head.spec = OTHER,
            ContributionLie::OtherJournal => head.journal.size += 1,
            ContributionLie::Second => bytes[0] ^= 1,
        }
        if resign {
            head.commitment = commitment(&bytes);
            head.share_digests = shares.iter().map(|s| share_digest(s)).collect();
            head = head.signed(&self.key);
        }
        vec![Said::Contribution { head: Box::new(head), sealed_shares: Arc::new(shares), ciphertext: bytes.into() }]
    }

    fn parcel(&self, lie: ParcelLie, head: &ParcelHead, letters: &[u8], honest: &Said) -> Vec<Said> {
        let (mut head, mut letters) = (head.clone(), letters.to_vec());
        match lie {
            ParcelLie::Letter => letters[0] ^= 1,
            ParcelLie::Unreadable => head.letters[0].sealed_keys[0].fill(7),
            ParcelLie::Oversized => head.announcement.body_json = " ".repeat(MAX_ANNOUNCEMENT_BYTES + 1),
            ParcelLie::Second => head.announcement.phase.push('!'),
            ParcelLie::OtherExchange => head.round += 1,
        }
        let other = Said::Parcel { head: Box::new(head.signed(&self.key)), letters: letters.into() };
        if lie == ParcelLie::Second { vec![honest.clone(), other] } else { vec![other] }
    }

    fn answer(&self, lie: AnswerLie, answer: &Answer, honest: &Said) -> Vec<Said> {
        let mut other = answer.clone();
        match lie {
            AnswerLie::Wrong | AnswerLie::Second => other.share_sum[0] ^= 1,
            AnswerLie::Malformed => other.share_sum.fill(0xff),
            AnswerLie::OtherSet => other.survivors = OTHER,
            AnswerLie::Unsigned => {
                other.signature = NOBODYS;
                return vec![Said::Answer(Box::new(other))];
            }
        }
        let Answer { party, round, spec, survivors, share_sum, .. } = other;
        let signed = Said::Answer(Box::new(Answer::signed(party, round, spec, survivors, share_sum, &self.key)));
        if lie == AnswerLie::Second { vec![honest.clone(), signed] } else { vec![signed] }
    }
}

/// A scheme whose contributor cheats in some rounds.
pub(super) struct CheatingScheme {
    pub(super) scheme: Arc<dyn Scheme>,
    pub(super) lies: Vec<(u64, ContributionLie)>,
    pub(super) told: Arc<Mutex<u64>>,
}

impl Scheme for CheatingScheme {
    fn name(&self) -> &'static str {
        self.scheme.name()
    }

    fn contributor(&self, parameters: &SumParameters, context: &SumContext, seed: [u8; 32]) -> Box<dyn Contributor> {
        let inner = self.scheme.contributor(parameters, context, seed);
        let Some((_, lie)) = self.lies.iter().find(|(round, _)| *round == context.round) else { return inner };
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let other = self.scheme.contributor(parameters, context, [7; 32]);
        Box::new(CheatingContributor { inner, other, lie: *lie })
    }

    fn adder(&self, parameters: &SumParameters, context: &SumContext) -> Box<dyn Adder> {
        self.scheme.adder(parameters, context)
    }
}

struct CheatingContributor {
    inner: Box<dyn Contributor>,
    other: Box<dyn Contributor>,
    lie: ContributionLie,
}

impl Contributor for CheatingContributor {
    fn encrypt_chunk(&mut self, index: usize, values: &[u32], out: &mut Vec<u8>) -> Result<(), EncryptError> {
        let mut values = values.to_vec();
        if self.lie == ContributionLie::Tag && index == 0 {
            values[0] ^= 1;
        }
        self.inner.encrypt_chunk(index, &values, out)
    }

    fn into_key_shares(self: Box<Self>, rule: &CommitteeRule) -> Vec<KeyShare> {
        let mut shares = self.inner.into_key_shares(rule);
        if self.lie == ContributionLie::ShareOfOther {
            shares[0] = self.other.into_key_shares(rule).swap_remove(0);
        }
        shares
    }
}
