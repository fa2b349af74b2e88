//! Who may recover a key sum, how many of them may be missing, and how many may be dishonest.
//!
//! Each contributor splits its one-time key among `c` members by packed Shamir sharing (Franklin and Yung, STOC 1992):
//! any `T` members together learn nothing of one key, any `r = T + k` recover a sum of keys, where `k` key coefficients
//! share one polynomial.
//!
//! Against a coordinator that cheats, `r > (c + T) / 2`: of two sets of `r` members, more than `T` are in both, one of
//! them honest, and an honest member answers once per round. So no coordinator obtains the key sums of two different
//! sets of contributors, and no consistency round among the members is needed.

use super::parameters::{PARTIES, ParameterSet};
use super::shares;
use crate::digest::{Digest, Transcript};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The size of the committee that [`CommitteeRule::for_parties`] draws where there are more parties than this.
pub const DRAWN_COMMITTEE: u32 = 64;

/// What the coordinator is trusted with, beyond up to `T` members that collude with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adversary {
    /// Nothing: it may show different members different sets of contributors.
    Malicious,
    /// It follows the protocol, and looks at everything it sees.
    SemiHonest,
}

/// A committee's size and thresholds. Values of this type satisfy every check of [`CommitteeRule::new`], or are
/// [`CommitteeRule::nobody`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Description", into = "Description")]
pub struct CommitteeRule {
    members: u32,
    privacy_threshold: u32,
    may_be_missing: u32,
    adversary: Adversary,
}

/// The committee asked for would not be safe, or could not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Fewer than three members, or more parties than a sum takes.
    #[error(
        "a committee of {0}: between {min} and {max} are possible; with two parties, each would learn the other's vector by subtracting its own from the sum",
        min = PARTIES.start(), max = PARTIES.end()
    )]
    Members(u32),
    /// With a threshold of zero every single member could open every contribution.
    #[error("a privacy threshold of 0 would let each member open every contribution")]
    NoPrivacy,
    /// Nothing is left to pack secrets into.
    #[error(
        "{members} members, {privacy_threshold} that may collude and {may_be_missing} that may be missing leave no room for a secret"
    )]
    NoRoom {
        /// c
        members: u32,
        /// T
        privacy_threshold: u32,
        /// How many may be missing.
        may_be_missing: u32,
    },
    /// A cheating coordinator could open two different sums.
    #[error("{answers_needed} answers of {members} members, {privacy_threshold} of whom may collude, could be collected twice for different contributors: more than {half} are needed", half = (members + privacy_threshold) / 2)]
    TwoSums {
        /// r
        answers_needed: u32,
        /// c
        members: u32,
        /// T
        privacy_threshold: u32,
    },
}

impl CommitteeRule {
    /// The rule for `n` parties: all of them up to 64, otherwise 64 that are drawn.
    ///
    /// `T` is 1 for three or four members, 2 for five to nine, a third of the others from ten. As many as a quarter of
    /// the members may be missing, or as many as the check against a cheating coordinator allows.
    pub fn for_parties(n: u32, adversary: Adversary) -> Result<Self, CommitteeError> {
        if !PARTIES.contains(&n) {
            return Err(CommitteeError::Members(n));
        }
        let members = n.min(DRAWN_COMMITTEE);
        let privacy_threshold = match members {
            ..5 => 1,
            5..10 => 2,
            _ => (members - 1) / 3,
        };
        let mut missing = members.div_ceil(4);
        loop {
            match Self::new(members, privacy_threshold, missing, adversary) {
                Err(CommitteeError::TwoSums { .. } | CommitteeError::NoRoom { .. }) if missing > 0 => missing -= 1,
                result => return result,
            }
        }
    }

    /// A rule of one's own: `c` members, `T` that may collude, and how many may be missing.
    pub fn new(
        members: u32,
        privacy_threshold: u32,
        may_be_missing: u32,
        adversary: Adversary,
    ) -> Result<Self, CommitteeError> {
        if !PARTIES.contains(&members) {
            return Err(CommitteeError::Members(members));
        }
        if privacy_threshold == 0 {
            return Err(CommitteeError::NoPrivacy);
        }
        let taken = privacy_threshold.checked_add(may_be_missing);
        if taken.is_none_or(|taken| taken >= members) {
            return Err(CommitteeError::NoRoom { members, privacy_threshold, may_be_missing });
        }
        let rule = Self { members, privacy_threshold, may_be_missing, adversary };
        let answers_needed = rule.answers_needed();
        if adversary == Adversary::Malicious && 2 * answers_needed <= members + privacy_threshold {
            return Err(CommitteeError::TwoSums { answers_needed, members, privacy_threshold });
        }
        Ok(rule)
    }

    /// Nobody: in a job without sums no key has to be recovered. Has no answers to wait for and no shares.
    pub const fn nobody() -> Self {
        Self { members: 0, privacy_threshold: 0, may_be_missing: 0, adversary: Adversary::Malicious }
    }

    /// True for [`CommitteeRule::nobody`].
    pub const fn is_nobody(&self) -> bool {
        self.members == 0
    }

    /// c, how many members there are.
    pub const fn members(&self) -> u32 {
        self.members
    }

    /// T, how many members may collude with the coordinator.
    pub const fn privacy_threshold(&self) -> u32 {
        self.privacy_threshold
    }

    /// k, how many key coefficients share one polynomial.
    pub const fn packing(&self) -> u32 {
        self.answers_needed() - self.privacy_threshold
    }

    /// r = T + k, how many answers recover the key sum.
    pub const fn answers_needed(&self) -> u32 {
        self.members - self.may_be_missing
    }

    /// How many members may be missing.
    pub const fn may_be_missing(&self) -> u32 {
        self.may_be_missing
    }

    /// What the coordinator is trusted with.
    pub const fn adversary(&self) -> Adversary {
        self.adversary
    }

    /// The fewest contributions that a member answers for: `T + 2`, so that the sum hides each honest vector behind at
    /// least one other honest vector.
    pub const fn minimum_contributors(&self) -> u32 {
        self.privacy_threshold + 2
    }

    /// Field elements in one key share.
    pub fn share_len(&self, set: ParameterSet) -> usize {
        if self.is_nobody() { 0 } else { set.ring_degree().div_ceil(self.packing() as usize) }
    }

    /// Bytes of one key share, and of one answer.
    pub fn share_bytes(&self, set: ParameterSet) -> usize {
        shares::packed_bytes(self.share_len(set))
    }
}

/// Draws `c` of the party indices `0..n`, every subset equally likely, in increasing order; all of them if `c >= n`.
///
/// A Fisher-Yates shuffle (Knuth, TAOCP 2, algorithm 3.4.2P) driven by ChaCha20 that is seeded from the beacon; indices
/// are uniform by rejection.
pub fn draw_committee(beacon: &Digest, n: u32, c: u32) -> Vec<u32> {
    let mut parties: Vec<u32> = (0..n).collect();
    if c >= n {
        return parties;
    }
    let seed = Transcript::new("haihe/v1/committee").digest(beacon).u64(n.into()).u64(c.into()).finish();
    let mut rng = ChaCha20Rng::from_seed(*seed.as_bytes());
    for i in 0..c {
        let j = i + below(&mut rng, n - i);
        parties.swap(i as usize, j as usize);
    }
    parties.truncate(c as usize);
    parties.sort_unstable();
    parties
}

/// A uniform integer below `bound`, which is not zero.
fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    let limit = u32::MAX - u32::MAX % bound;
    loop {
        let draw = rng.next_u32();
        if draw < limit {
            return draw % bound;
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    members: u32,
    privacy_threshold: u32,
    may_be_missing: u32,
    adversary: Adversary,
}

impl TryFrom<Description> for CommitteeRule {
    type Error = CommitteeError;
    fn try_from(d: Description) -> Result<Self, CommitteeError> {
        let nobody = Self::nobody();
        if (d.members, d.privacy_threshold, d.may_be_missing, d.adversary) == (0, 0, 0, nobody.adversary) {
            return Ok(nobody);
        }
        Self::new(d.members, d.privacy_threshold, d.may_be_missing, d.adversary)
    }
}

impl From<CommitteeRule> for Description {
    fn from(r: CommitteeRule) -> Self {
        Self {
            members: r.members,
            privacy_threshold: r.privacy_threshold,
            may_be_missing: r.may_be_missing,
            adversary: r.adversary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Adversary::{Malicious, SemiHonest};

    fn shape(rule: CommitteeRule) -> (u32, u32, u32, u32) {
        (rule.members(), rule.privacy_threshold(), rule.may_be_missing(), rule.packing())
    }

    #[test]
    fn rules_match_the_table_of_the_protocol() {
        let rule = |n, adversary| shape(CommitteeRule::for_parties(n, adversary).expect("exists"));
        assert_eq!(rule(3, Malicious), (3, 1, 0, 2));
        assert_eq!(rule(3, SemiHonest), (3, 1, 1, 1));
        assert_eq!(rule(5, Malicious), (5, 2, 1, 2));
        assert_eq!(rule(10, Malicious), (10, 3, 3, 4));
        assert_eq!(rule(32, Malicious), (32, 10, 8, 14));
        assert_eq!(rule(1000, Malicious), (64, 21, 16, 27));
        assert_eq!(shape(CommitteeRule::new(100, 33, 25, Malicious).expect("exists")), (100, 33, 25, 42));
    }

    #[test]
    fn nobody_has_no_shares_and_is_read_back() {
        let nobody = CommitteeRule::nobody();
        assert_eq!((shape(nobody), nobody.answers_needed()), ((0, 0, 0, 0), 0));
        assert_eq!(nobody.share_bytes(ParameterSet::Small), 0);
        assert!(draw_committee(&Digest::from_bytes([1; 32]), 5, nobody.members()).is_empty());
        let json = serde_json::to_string(&nobody).expect("encodes");
        assert_eq!(serde_json::from_str::<CommitteeRule>(&json).expect("reads"), nobody);
        assert!(
            serde_json::from_str::<CommitteeRule>(&json.replace("\"may_be_missing\":0", "\"may_be_missing\":1"))
                .is_err()
        );
    }

    #[test]
    fn every_rule_holds_for_every_number_of_parties() {
        for n in PARTIES {
            let rule = CommitteeRule::for_parties(n, Malicious).expect("exists");
            assert!(2 * rule.answers_needed() > rule.members() + rule.privacy_threshold());
            assert!(rule.may_be_missing() <= rule.members().div_ceil(4));
            assert!(CommitteeRule::for_parties(n, SemiHonest).is_ok());
        }
    }

    #[test]
    fn every_check_refuses() {
        assert_eq!(CommitteeRule::for_parties(2, SemiHonest), Err(CommitteeError::Members(2)));
        assert!(CommitteeError::Members(2).to_string().contains("subtracting its own"));
        assert_eq!(CommitteeRule::new(5, 0, 1, Malicious), Err(CommitteeError::NoPrivacy));
        assert_eq!(
            CommitteeRule::new(5, 2, 3, SemiHonest),
            Err(CommitteeError::NoRoom { members: 5, privacy_threshold: 2, may_be_missing: 3 })
        );
        assert!(CommitteeRule::new(5, u32::MAX, 3, SemiHonest).is_err());
        assert_eq!(
            CommitteeRule::new(5, 2, 2, Malicious),
            Err(CommitteeError::TwoSums { answers_needed: 3, members: 5, privacy_threshold: 2 })
        );
        assert!(
            serde_json::from_str::<CommitteeRule>(
                r#"{"members":5,"privacy_threshold":2,"may_be_missing":2,"adversary":"malicious"}"#
            )
            .is_err()
        );
    }

    #[test]
    fn drawing_is_uniform_and_depends_on_the_beacon() {
        let mut counts = [0u32; 40];
        for round in 0..4000 {
            let drawn = draw_committee(&Transcript::new("beacon").u64(round).finish(), 40, 10);
            assert!(drawn.windows(2).all(|w| w[0] < w[1]) && drawn.len() == 10);
            drawn.iter().for_each(|&i| counts[i as usize] += 1);
        }
        // Binomial(4000, 1/4): mean 1000, standard deviation 27.4.
        assert!(counts.iter().all(|&count| (863..=1137).contains(&count)), "{counts:?}");
        assert_eq!(draw_committee(&Transcript::new("beacon").finish(), 5, 5), [0, 1, 2, 3, 4]);
    }
}
