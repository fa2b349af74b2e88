//! One altered field per check: every signed message, changed in one place, is refused by the rule that is meant for it.

use std::{convert::Infallible, sync::OnceLock};

use haihe_privacy::{
    Digest,
    log::RootHash,
    seal::SealingKey,
    secure_sum::{Scheme as _, ShareSum, SumContext, SumParameters, plain::NoSecurity},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    check::SealedCheckKey,
    checkpoint::TreeHead,
    contribution::{self, Prepared, Vector},
    error::{Fault, Violation},
    horizontal::{Layout, Plan, Task, scorecard},
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    message::{Answer, Objection, RoundSpec, SurvivorSet, Verified},
    roster::{Confirmation, Join, Roster, Session, Trust},
    share_keys::ShareKeys,
    witness::{ClosedRound, Witness},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

const NOW: Timestamp = Timestamp(1_780_000_000_000);
const HEAD: TreeHead = TreeHead { size: 9, root: RootHash::from_bytes([9; 32]) };
const JOB: &str = r#"
[job]
name = "test"
parties = ["bj", "he", "tj"]
[data]
view = "loans"
key = "id"
label = "y"
split = { column = "set" }
columns = [{ name = "size", kind = "numeric" }]
[scorecard]
"#;

/// A session of three parties in its first round, with everything that honest parties would have sent.
struct Scene {
    job: JobId,
    spec: JobSpec,
    trust: Trust,
    keys: Vec<SigningKey>,
    sealing: Vec<SealingKey>,
    coordinator: SigningKey,
    roster: Roster,
    confirmations: Vec<Confirmation>,
    session: Session,
    round: RoundSpec,
    prepared: Vec<Prepared>,
    survivors: SurvivorSet,
    /// Sealed shares for the first party.
    sealed: Vec<Vec<u8>>,
    closed: ClosedRound,
}

fn pair(key: &SigningKey) -> KeyPair {
    KeyPair::from_pem(&key.to_pkcs8_pem().expect("PEM")).expect("a key pair")
}

fn certificate(role: &str, party: &str, key: &SigningKey, issuer: &CertifiedIssuer<'static, KeyPair>) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    let name = format!("spiffe://test/{role}/{party}");
    params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().expect("a URI"))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
    params.signed_by(&pair(key), issuer).expect("a certificate").der().to_vec()
}

fn authority(seed: u8) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
    CertifiedIssuer::self_signed(params, pair(&SigningKey::from_seed([seed; 32]))).expect("an authority")
}

fn build() -> Scene {
    let spec = JobSpec::parse(JOB).expect("a valid job");
    let job = JobId::of(JOB, NOW);
    let issuer = authority(1);
    let trust = Trust::new("test", issuer.der().to_vec());
    let coordinator = SigningKey::from_seed([2; 32]);
    let coordinator_certificate = certificate("coordinator", "coordinator", &coordinator, &issuer);
    let keys: Vec<SigningKey> = (10..13).map(|i| SigningKey::from_seed([i; 32])).collect();
    let sealing: Vec<SealingKey> = (20..23).map(|i| SealingKey::derive(&[i; 32])).collect();
    let parties = spec.job.parties.clone();
    let join = |i: usize| {
        let certificate = certificate("bank", parties[i].as_str(), &keys[i], &issuer);
        Join::signed(job, parties[i].clone(), certificate, sealing[i].public_key(), &[i as u8; 32], &keys[i])
    };
    let rule = spec.committee_rule(3).expect("a rule");
    let roster = Roster {
        job,
        attempt: 0,
        entries: (0..3).map(join).collect(),
        rule,
        minimum_contributors: 3,
        coordinator_certificate,
        deadline: NOW.plus_seconds(60),
    };
    let digest = roster.digest();
    let confirm = |i: usize| {
        let check = (i == 0).then(|| SealedCheckKey::make(&roster, &parties[0], &[40; 32]).expect("usable keys"));
        Confirmation::signed(job, parties[i].clone(), digest, [i as u8; 32], check, &keys[i])
    };
    let confirmations: Vec<Confirmation> = (0..3).map(confirm).collect();
    let session = Session::establish(roster.clone(), confirmations.clone(), &job, &spec, &trust, NOW).expect("session");
    let task = Plan::begin(&spec).task();
    let Ok(Layout::Exact(quantiser)) = task.layout(&spec, 3, 2) else { panic!("a layout without noise") };
    let check = session.check_key(&parties[1], &sealing[1]).expect("the check key opens");
    let share_keys = |i: usize| ShareKeys::new(&session, &parties[i], &sealing[i]).expect("in the session");
    let round = RoundSpec {
        job,
        session: session.digest(),
        round: 1,
        task_json: task.to_json(),
        parameters: RoundSpec::parameters_of(&task, &spec, 3, 1).expect("parameters"),
        previous: session.digest(),
        deadline: NOW.plus_seconds(120),
    };
    let (verified, _) = round.clone().verify(&round.sign(&coordinator), &session, &spec).expect("the round verifies");
    let values = vec![1.0; quantiser.dimension()];
    let mut ciphertexts = vec![Vec::new(); 3];
    let mut contribute = |i: usize| {
        let sink = |chunk: &[u8]| {
            ciphertexts[i].push(chunk.to_vec());
            Ok::<(), Infallible>(())
        };
        let seed = [30 + i as u8; 32];
        contribution::contribute(
            &NoSecurity,
            &session,
            (&verified, &HEAD),
            Vector::Exact(&quantiser, &values),
            &parties[i],
            (&keys[i], &check, &share_keys(i)),
            seed,
            sink,
        )
        .expect("a contribution")
    };
    let prepared: Vec<Prepared> = (0..3).map(&mut contribute).collect();
    let survivors = SurvivorSet {
        round: 1,
        spec: round.digest(),
        survivors: prepared.iter().map(|p| p.contribution.clone()).collect(),
        deadline: NOW.plus_seconds(180),
    };
    let sealed: Vec<Vec<u8>> = prepared.iter().map(|p| p.sealed_shares[0].clone()).collect();
    let answer = |i: usize| {
        let sealed: Vec<Vec<u8>> = prepared.iter().map(|p| p.sealed_shares[i].clone()).collect();
        let set =
            survivors.clone().verify(&survivors.sign(&coordinator), &sealed, &parties[i], &session, &round, &HEAD);
        let set = set.expect("verifies");
        let answer = contribution::answer(&set, &sealed, &session, &round, &parties[i], &share_keys(i), &keys[i]);
        let bytes = answer.expect("an answer").share_sum;
        (i as u32, ShareSum::from_bytes(&bytes, round.parameters.set(), &session.roster().rule).expect("a share"))
    };
    let mut adder = NoSecurity.adder(&round.parameters, &SumContext { session: session.digest(), round: 1 });
    for ciphertext in &ciphertexts {
        ciphertext.iter().enumerate().for_each(|(i, chunk)| adder.add_chunk(i, chunk).expect("a chunk"));
        adder.finish_contribution().expect("whole");
    }
    let answers: Vec<_> = (0..3).map(answer).collect();
    let closed = ClosedRound {
        spec: round.clone(),
        contributors: parties.clone(),
        survivors: survivors.digest(),
        sum: adder.open(&session.roster().rule, &answers, 3).expect("opens").sum,
    };
    Scene {
        job,
        spec,
        trust,
        keys,
        sealing,
        coordinator,
        roster,
        confirmations,
        session,
        round,
        prepared,
        survivors,
        sealed,
        closed,
    }
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(build)
}

fn bad_signature() -> Signature {
    SigningKey::from_seed([99; 32]).sign(&Digest::from_bytes([0; 32]))
}

impl Scene {
    fn party(&self, i: usize) -> PartyId {
        self.spec.job.parties[i].clone()
    }

    fn roster(&self, change: impl FnOnce(&mut Roster)) -> Violation {
        let mut roster = self.roster.clone();
        change(&mut roster);
        roster.verify(&self.job, &self.spec, &self.trust, NOW).expect_err("an altered roster is refused")
    }

    fn session(&self, change: impl FnOnce(&mut Vec<Confirmation>)) -> Violation {
        let mut confirmations = self.confirmations.clone();
        change(&mut confirmations);
        let roster = self.roster.clone();
        Session::establish(roster, confirmations, &self.job, &self.spec, &self.trust, NOW).expect_err("refused")
    }

    /// A specification that the coordinator itself altered and signed.
    fn round(&self, change: impl FnOnce(&mut RoundSpec)) -> Violation {
        let mut round = self.round.clone();
        change(&mut round);
        let signature = round.sign(&self.coordinator);
        round.verify(&signature, &self.session, &self.spec).expect_err("refused")
    }

    fn contribution(&self, change: impl FnOnce(&mut Prepared)) -> Violation {
        let mut prepared = self.prepared[1].clone();
        change(&mut prepared);
        let Prepared { contribution, sealed_shares } = prepared;
        Verified::contribution(contribution, &sealed_shares, &self.session, &self.round, &HEAD).expect_err("refused")
    }

    /// A survivor set that the coordinator itself altered and signed, as the first party checks it.
    fn survivors(&self, change: impl FnOnce(&mut SurvivorSet, &mut Vec<Vec<u8>>)) -> Violation {
        let (mut survivors, mut sealed) = (self.survivors.clone(), self.sealed.clone());
        change(&mut survivors, &mut sealed);
        let signature = survivors.sign(&self.coordinator);
        survivors.verify(&signature, &sealed, &self.party(0), &self.session, &self.round, &HEAD).expect_err("refused")
    }

    fn answer(&self) -> Answer {
        let signature = self.survivors.sign(&self.coordinator);
        let me = self.party(0);
        let set = self.survivors.clone().verify(&signature, &self.sealed, &me, &self.session, &self.round, &HEAD);
        let set = set.expect("the true set verifies");
        let share_keys = self.share_keys(0);
        contribution::answer(&set, &self.sealed, &self.session, &self.round, &me, &share_keys, &self.keys[0])
            .expect("an answer")
    }

    fn share_keys(&self, party: usize) -> ShareKeys {
        ShareKeys::new(&self.session, &self.party(party), &self.sealing[party]).expect("in the session")
    }

    fn answered(&self, change: impl FnOnce(&mut Answer)) -> Violation {
        let mut answer = self.answer();
        change(&mut answer);
        Verified::answer(answer, &self.survivors.digest(), &self.session, &self.round).expect_err("refused")
    }
}

#[test]
fn honest_messages_verify() {
    let s = scene();
    for p in &s.prepared {
        let checked = Verified::contribution(p.contribution.clone(), &p.sealed_shares, &s.session, &s.round, &HEAD);
        assert!(checked.is_ok(), "{checked:?}");
    }
    assert!(Verified::answer(s.answer(), &s.survivors.digest(), &s.session, &s.round).is_ok());
    assert_eq!(s.session.committee(), [0, 1, 2], "three parties are all in the committee");
}

#[test]
fn rosters() {
    let s = scene();
    let other = s.party(1);
    assert!(matches!(s.roster(|r| r.entries.swap(0, 1)), Violation::RosterOrder { .. }));
    assert!(matches!(s.roster(|r| r.entries[1] = r.entries[0].clone()), Violation::RosterOrder { .. }));
    let v = s.roster(|r| r.entries[1].signature = bad_signature());
    assert_eq!(v, Violation::Signature { party: other.clone(), message: "join" });
    assert_eq!(v.fault(), Fault::Participant(other.clone()));
    let v = s.roster(|r| r.entries[1].beacon_commitment = Digest::from_bytes([1; 32]));
    assert_eq!(v, Violation::Signature { party: other.clone(), message: "join" });
    // Somebody else's certificate, a foreign authority's, and a name outside the job.
    let v = s.roster(|r| r.entries[1].signing_certificate = r.entries[0].signing_certificate.clone());
    assert!(matches!(v, Violation::CertificateNames { .. }), "{v}");
    let foreign = certificate("bank", other.as_str(), &s.keys[1], &authority(7));
    let v = s.roster(|r| r.entries[1].signing_certificate = foreign);
    assert!(matches!(v, Violation::Certificate { .. }), "{v}");
    let stranger = PartyId::new("stranger").expect("a party id");
    assert_eq!(s.roster(|r| r.entries[1].party = stranger.clone()), Violation::NotInvited { party: stranger });
    // A party that joined with another's sealing key.
    let Join { sealing_key, .. } = s.roster.entries[0].clone();
    let mine = s.roster.entries[1].signing_certificate.clone();
    let copied = Join::signed(s.job, s.party(1), mine, sealing_key, &[0; 32], &s.keys[1]);
    assert_eq!(s.roster(|r| r.entries[1] = copied), Violation::SharedKey { party: s.party(1) });
    // A sealing key of low order, for which nothing can be sealed.
    let v = s.roster(|r| r.entries[1].sealing_key = haihe_privacy::SealingPublicKey::from_bytes([0; 32]));
    assert_eq!(v, Violation::SealingKey { party: other });
    let bank = s.roster.entries[0].signing_certificate.clone();
    let v = s.roster(|r| r.coordinator_certificate = bank);
    assert!(matches!(v, Violation::CoordinatorCertificate { .. }), "a bank is no coordinator: {v}");
    assert_eq!(s.roster(|r| r.minimum_contributors = 2), Violation::CommitteeRule);
    assert!(matches!(s.roster(|r| r.job = JobId::of("other", NOW)), Violation::OtherJob { .. }));
    // Two parties are no committee: who proposes them is to blame, and not the job.
    let v = s.roster(|r| r.entries.truncate(2));
    assert_eq!((v.fault(), v), (Fault::Coordinator, Violation::CommitteeRule));
}

#[test]
fn jobs_that_no_sum_takes() {
    let v = Violation::from(SumParameters::choose(1, 1_000_000, 32).expect_err("too many contributors"));
    assert!(matches!(v, Violation::Capacity(_)), "{v}");
    assert_eq!(v.fault(), Fault::Job);
}

#[test]
fn confirmations() {
    let s = scene();
    assert!(matches!(s.session(|c| c.truncate(2)), Violation::Confirmation { .. }));
    assert!(matches!(s.session(|c| c.swap(0, 1)), Violation::Confirmation { .. }));
    assert!(matches!(s.session(|c| c[1].session = Digest::from_bytes([0; 32])), Violation::Confirmation { .. }));
    assert_eq!(s.session(|c| c[1].beacon_nonce[0] ^= 1), Violation::Beacon { party: s.party(1) });
    let v = s.session(|c| c[1].signature = bad_signature());
    assert_eq!(v, Violation::Signature { party: s.party(1), message: "confirmation" });
}

#[test]
fn check_keys() {
    let s = scene();
    let presence = |i: usize| Violation::CheckKeyPresence { party: s.party(i) };
    assert_eq!(s.session(|c| c[0].check_key = None), presence(0));
    assert_eq!(s.session(|c| c[1].check_key = c[0].check_key.clone()), presence(1));
    let changed = |change: fn(&mut SealedCheckKey)| {
        s.session(|c| change(c[0].check_key.as_mut().expect("the first party makes the key")))
    };
    assert_eq!(changed(|k| k.sealed.truncate(2)), presence(0));
    assert_eq!(changed(|k| k.sealed[1].push(0)), presence(0));
    let signature = Violation::Signature { party: s.party(0), message: "confirmation" };
    assert_eq!(changed(|k| k.sealed[1][0] ^= 1), signature);
    assert_eq!(changed(|k| k.commitment = Digest::from_bytes([0; 32])), signature);
    // A maker that gives one party another key than it committed to, and signs it.
    let mut made = SealedCheckKey::make(&s.roster, &s.party(0), &[41; 32]).expect("usable keys");
    made.sealed[2] = s.confirmations[0].check_key.as_ref().expect("there").sealed[2].clone();
    let mut confirmations = s.confirmations.clone();
    confirmations[0] = Confirmation::signed(s.job, s.party(0), s.session.digest(), [0; 32], Some(made), &s.keys[0]);
    let session = Session::establish(s.roster.clone(), confirmations, &s.job, &s.spec, &s.trust, NOW);
    let session = session.expect("the others cannot see it");
    assert!(session.check_key(&s.party(1), &s.sealing[1]).is_ok());
    let v = session.check_key(&s.party(2), &s.sealing[2]).expect_err("refused");
    assert_eq!(v, Violation::CheckKey { party: s.party(0) });
    assert_eq!(v.fault(), Fault::Participant(s.party(0)));
    // Sealed for somebody else.
    assert!(session.check_key(&s.party(1), &s.sealing[2]).is_err());
}

/// What a witness says to a closed round, changed in one place and signed again by the coordinator.
fn witnessed(change: impl FnOnce(&mut ClosedRound)) -> Result<Witness, Violation> {
    let s = scene();
    let mut closed = s.closed.clone();
    change(&mut closed);
    let key = s.session.check_key(&s.party(2), &s.sealing[2]).expect("the check key opens");
    let signature = closed.spec.sign(&s.coordinator);
    Witness::begin(&s.spec, &s.session).absorb(&closed, &signature, &s.session, &s.spec, &key)
}

#[test]
fn closed_rounds() {
    let s = scene();
    let witness = witnessed(|_| ()).expect("the true sum holds");
    assert_eq!((witness.round, witness.transcript), (1, s.closed.transcript()));
    for at in [0, s.closed.sum.len() - 1] {
        assert_eq!(witnessed(|c| c.sum[at] += 1).expect_err("refused"), Violation::WrongSum { round: 1 });
    }
    // What the tag cannot tell from the true entry is more than three parties can bring.
    let p = haihe_privacy::secure_sum::check::MODULUS;
    assert_eq!(witnessed(|c| c.sum[0] += p).expect_err("refused"), Violation::WrongSum { round: 1 });
    assert_eq!(witnessed(|c| c.sum.push(0)).expect_err("refused"), Violation::WrongSum { round: 1 });
    assert_eq!(witnessed(|c| c.sum.clear()).expect_err("refused"), Violation::WrongSum { round: 1 });
    assert_eq!(
        witnessed(|c| c.sum.iter_mut().for_each(|v| *v *= 2)).expect_err("refused").fault(),
        Fault::CoordinatorOrContributor
    );
    // One contributor less, twice, or unknown.
    let v = witnessed(|c| c.contributors.truncate(2)).expect_err("refused");
    assert_eq!(v, Violation::TooFewSurvivors { round: 1, got: 2, needed: 3 });
    let v = witnessed(|c| c.contributors[1] = c.contributors[0].clone()).expect_err("refused");
    assert!(matches!(v, Violation::RosterOrder { .. }));
    let stranger = PartyId::new("stranger").expect("a party id");
    let v = witnessed(|c| c.contributors[1] = stranger).expect_err("refused");
    assert!(
        matches!(&v, Violation::Relayed { source, .. } if matches!(**source, Violation::NotInRoster { .. })),
        "{v}"
    );
    assert_eq!(v.fault(), Fault::Coordinator);
    // Another question, another history, the same round again, and a signature of nobody.
    let task = Task::Scorecard(scorecard::Task::LabelCounts { grids: vec![] });
    let v = witnessed(|c| c.spec.task_json = task.to_json()).expect_err("refused");
    assert!(
        matches!(v, Violation::Task { .. } | Violation::Parameters { .. } | Violation::UnexpectedTask { .. }),
        "{v}"
    );
    assert!(matches!(
        witnessed(|c| c.spec.previous = Digest::from_bytes([0; 32])),
        Err(Violation::OtherHistory { .. })
    ));
    // Contributions were made for another specification than this one, which the coordinator signed too.
    let v = witnessed(|c| c.spec.deadline = NOW).expect_err("refused");
    assert_eq!(v, Violation::WrongSum { round: 1 });
    let key = s.session.check_key(&s.party(2), &s.sealing[2]).expect("the check key opens");
    let v = witness.absorb(&s.closed, &s.round.sign(&s.coordinator), &s.session, &s.spec, &key);
    assert_eq!(v.expect_err("refused"), Violation::StaleRound { got: 1, at: 1 });
    let v = Witness::begin(&s.spec, &s.session).absorb(&s.closed, &bad_signature(), &s.session, &s.spec, &key);
    assert_eq!(v.expect_err("refused"), Violation::CoordinatorSignature { message: "round specification" });
}

#[test]
fn questions_must_follow_from_the_sums() {
    let s = scene();
    let witness = Witness::begin(&s.spec, &s.session);
    let task = Plan::begin(&s.spec).task();
    assert!(witness.check(&s.round, &task).is_ok());
    let other = Task::Scorecard(scorecard::Task::LabelCounts { grids: vec![] });
    assert_eq!(witness.check(&s.round, &other), Err(Violation::UnexpectedTask { round: 1 }));
    let round = RoundSpec { previous: Digest::from_bytes([0; 32]), ..s.round.clone() };
    assert!(matches!(witness.check(&round, &task), Err(Violation::OtherHistory { .. })));
    // The same question in another spelling would be another one to a ledger: fresh noise for it would be one release more.
    let round = RoundSpec { task_json: format!(" {}", s.round.task_json), ..s.round.clone() };
    assert_eq!(Task::from_json(&round.task_json), Some(task.clone()));
    assert_eq!(witness.check(&round, &task), Err(Violation::UnexpectedTask { round: 1 }));
    assert_eq!(witness.check_result("{}", &s.session.digest()), Err(Violation::WrongResult));
}

#[test]
fn objections() {
    let s = scene();
    let violation = Violation::ShareUnreadable { party: s.party(1), receiver: s.party(0) };
    let good = Objection::signed(&s.session, 1, s.party(0), &violation, &s.keys[0]);
    assert_eq!(good.against, Fault::Participant(s.party(1)));
    assert!(Verified::objection(good.clone(), &s.session).is_ok());
    let own = Violation::CannotGoOn { party: s.party(0) };
    let own = Objection::signed(&s.session, 1, s.party(0), &own, &s.keys[0]);
    assert_eq!(own.against, Fault::Participant(s.party(0)), "nobody else is blamed");
    assert!(Verified::objection(own, &s.session).is_ok());
    let changed = |change: fn(&mut Objection)| {
        let mut objection = good.clone();
        change(&mut objection);
        Verified::objection(objection, &s.session).expect_err("refused")
    };
    let signature = Violation::Signature { party: s.party(0), message: "objection" };
    assert_eq!(changed(|o| o.round = 2), signature);
    assert_eq!(changed(|o| o.reason.push('!')), signature);
    assert_eq!(changed(|o| o.against = Fault::Coordinator), signature);
    assert_eq!(changed(|o| o.signature = bad_signature()), signature);
    assert_eq!(changed(|o| o.reason = "x".repeat(5000)), Violation::ReasonTooLong { party: s.party(0) });
    assert!(matches!(changed(|o| o.session = Digest::from_bytes([0; 32])), Violation::OtherSession { .. }));
    assert!(matches!(changed(|o| o.job = JobId::of("other", NOW)), Violation::OtherJob { .. }));
    assert!(matches!(changed(|o| o.party = PartyId::new("x").expect("an id")), Violation::NotInRoster { .. }));
}

#[test]
fn round_specifications() {
    let s = scene();
    let v = s.round.clone().verify(&bad_signature(), &s.session, &s.spec).expect_err("refused");
    assert_eq!(v, Violation::CoordinatorSignature { message: "round specification" });
    assert_eq!(v.fault(), Fault::Coordinator);
    assert!(matches!(s.round(|r| r.session = Digest::from_bytes([0; 32])), Violation::OtherSession { .. }));
    assert!(matches!(s.round(|r| r.job = JobId::of("other", NOW)), Violation::OtherJob { .. }));
    assert_eq!(s.round(|r| r.task_json = "{}".to_owned()), Violation::Task { round: 1 });
    // A sum over fewer bits, or of another length, than the task and the job ask for.
    let d = s.round.parameters.dimension();
    let fewer = SumParameters::choose(d, 3, 8).expect("parameters");
    assert_eq!(s.round(|r| r.parameters = fewer), Violation::Parameters { round: 1 });
    let longer = SumParameters::choose(d + 1, 3, 32).expect("parameters");
    assert_eq!(s.round(|r| r.parameters = longer), Violation::Parameters { round: 1 });
    assert!(Task::from_json(&s.round.task_json).is_some());
}

#[test]
fn contributions() {
    let s = scene();
    let party = s.party(1);
    let signature = Violation::Signature { party: party.clone(), message: "contribution" };
    assert_eq!(s.contribution(|p| p.contribution.signature = bad_signature()), signature);
    assert_eq!(s.contribution(|p| p.contribution.commitment = Digest::from_bytes([0; 32])), signature);
    assert_eq!(s.contribution(|p| p.contribution.party = s.party(2)).fault(), Fault::Participant(s.party(2)));
    // The coordinator knows what it asked: another round is the sender's fault, not its own.
    let other = Violation::OtherRound { party: party.clone(), round: 1 };
    assert_eq!(other.fault(), Fault::Participant(party.clone()));
    assert_eq!(s.contribution(|p| p.contribution.round = 2), other);
    assert_eq!(s.contribution(|p| p.contribution.spec = Digest::from_bytes([0; 32])), other);
    assert!(matches!(s.contribution(|p| p.contribution.ciphertext_bytes += 1), Violation::CiphertextSize { .. }));
    assert!(matches!(s.contribution(|p| p.contribution.share_digests.truncate(2)), Violation::ShareCount { .. }));
    assert!(matches!(s.contribution(|p| p.sealed_shares.truncate(2)), Violation::ShareCount { .. }));
    assert!(matches!(s.contribution(|p| p.sealed_shares[0].push(0)), Violation::ShareSize { .. }));
    let v = s.contribution(|p| p.sealed_shares[0][0] ^= 1);
    assert_eq!((v.fault(), v), (Fault::Participant(party.clone()), Violation::ShareDigest { party: party.clone() }));
    let stranger = PartyId::new("stranger").expect("a party id");
    let v = s.contribution(|p| p.contribution.party = stranger.clone());
    assert_eq!(v, Violation::NotInRoster { party: stranger });
}

#[test]
fn survivor_sets() {
    let s = scene();
    let me = s.party(0);
    let v =
        s.survivors.clone().verify(&bad_signature(), &s.sealed, &me, &s.session, &s.round, &HEAD).expect_err("refused");
    assert_eq!(v, Violation::CoordinatorSignature { message: "survivor set" });
    let v = s.survivors(|set, sealed| {
        set.survivors.pop();
        sealed.pop();
    });
    assert_eq!(v, Violation::TooFewSurvivors { round: 1, got: 2, needed: 3 });
    let v = s.survivors(|set, sealed| {
        set.survivors.swap(0, 1);
        sealed.swap(0, 1);
    });
    assert!(matches!(v, Violation::RosterOrder { .. }));
    let v = s.survivors(|set, _| set.survivors[1] = set.survivors[0].clone());
    assert!(matches!(v, Violation::RosterOrder { .. }), "nobody counts twice");
    let v = s.survivors(|set, _| set.survivors[1].commitment = Digest::from_bytes([0; 32]));
    assert_eq!(v, Violation::Signature { party: s.party(1), message: "contribution" });
    // A contributor that was shown another history signed another head of the journal.
    let forked = TreeHead { root: RootHash::from_bytes([8; 32]), ..HEAD };
    let mut other = s.survivors.survivors[1].clone();
    other.journal = forked;
    let other = other.signed(&s.keys[1]);
    let v = s.survivors(|set, _| set.survivors[1] = other.clone());
    assert_eq!(v, Violation::OtherJournal { party: s.party(1), theirs: forked, ours: HEAD });
    assert_eq!(v.fault(), Fault::Coordinator);
    let v = s.contribution(|p| p.contribution = other);
    assert_eq!(v, Violation::PinnedJournal { party: s.party(1) });
    // A contributor that was shown another specification signed another digest.
    let v = s.survivors(|set, _| set.survivors[1].spec = Digest::from_bytes([0; 32]));
    assert_eq!(v, Violation::OtherSpec { party: s.party(1), round: 1 });
    assert_eq!(v.fault(), Fault::Coordinator);
    assert!(matches!(s.survivors(|set, _| set.round = 2), Violation::StaleRound { .. }));
    let v = s.survivors(|_, sealed| sealed.swap(0, 1));
    assert_eq!(v, Violation::ShareDigest { party: s.party(0) });
    assert_eq!(v.relayed("survivor set").fault(), Fault::Coordinator, "who passes it on has seen it");
    assert!(matches!(s.survivors(|_, sealed| sealed.truncate(2)), Violation::ShareCount { .. }));
}

#[test]
fn answers() {
    let s = scene();
    let party = s.party(0);
    let signature = Violation::Signature { party: party.clone(), message: "answer" };
    assert_eq!(s.answered(|a| a.signature = bad_signature()), signature);
    assert_eq!(s.answered(|a| a.share_sum[0] ^= 1), signature);
    let v = s.answered(|a| a.share_sum.push(0));
    assert_eq!(v, Violation::MalformedAnswer { party: party.clone() });
    // Elements beyond the field.
    let v = s.answered(|a| a.share_sum.fill(0xff));
    assert_eq!(v, Violation::MalformedAnswer { party: party.clone() });
    let v = s.answered(|a| a.survivors = Digest::from_bytes([0; 32]));
    assert_eq!(v, Violation::OtherSurvivorSet { party: party.clone() });
    assert!(matches!(s.answered(|a| a.spec = Digest::from_bytes([0; 32])), Violation::OtherRound { .. }));
    // A share that was sealed for somebody else does not open.
    let signature = s.survivors.sign(&s.coordinator);
    let set = s.survivors.clone().verify(&signature, &s.sealed, &party, &s.session, &s.round, &HEAD).expect("verifies");
    let v = contribution::answer(&set, &s.sealed, &s.session, &s.round, &party, &s.share_keys(1), &s.keys[0]);
    let v = v.expect_err("refused");
    assert!(matches!(v, Violation::ShareUnreadable { .. }), "{v}");
    // Nor one that belongs to another ciphertext of its sender, although it has the digest that the sender signed.
    let mut survivors = s.survivors.clone();
    survivors.survivors[1].commitment = Digest::from_bytes([9; 32]);
    survivors.survivors[1] = survivors.survivors[1].clone().signed(&s.keys[1]);
    let signature = survivors.sign(&s.coordinator);
    let set = survivors.verify(&signature, &s.sealed, &party, &s.session, &s.round, &HEAD).expect("verifies");
    let v = contribution::answer(&set, &s.sealed, &s.session, &s.round, &party, &s.share_keys(0), &s.keys[0]);
    let unreadable = Violation::ShareUnreadable { party: s.party(1), receiver: party.clone() };
    assert_eq!(v.expect_err("refused"), unreadable);
    // Only a party of the session has keys, and only with its own sealing key.
    let v = ShareKeys::new(&s.session, &party, &s.sealing[1]).expect_err("refused");
    assert_eq!(v, Violation::SealingKey { party: party.clone() });
}
