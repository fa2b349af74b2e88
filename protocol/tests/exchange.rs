//! Parcels and letters of a vertical job: what honest parties send is accepted, and one altered field per check is refused by
//! the rule that is meant for it.

use haihe_privacy::{
    Digest,
    log::RootHash,
    seal::SealingKey,
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    check::SealedCheckKey,
    checkpoint::TreeHead,
    error::{Fault, Violation},
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    message::Verified,
    roster::{Confirmation, Join, Roster, Session, Trust},
    vertical::{
        Announcement, Letter, Outbox,
        exchange::{
            Expected, MAX_ANNOUNCEMENT_BYTES, MAX_LETTERS, MAX_RESULT_BYTES, ParcelHead, check_closed, completed,
            exchange_transcript,
        },
        sealing::{Envelope, SealingError, letter_digest, open_letter, seal_letters},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

const NOW: Timestamp = Timestamp(1_780_000_000_000);
const HEAD: TreeHead = TreeHead { size: 9, root: RootHash::from_bytes([9; 32]) };
const OTHER: Digest = Digest::from_bytes([3; 32]);
const JOB: &str = r#"
[job]
name = "joint"
parties = ["bank", "core", "tax"]
[vertical]
label_holder = "bank"
alignment = { key_kind = "text", max_firms = 1000, min_common = 10 }
[[vertical.holder]]
party = "bank"
view = "v"
key = "code"
label = "bad"
[[vertical.holder]]
party = "core"
view = "v"
key = "code"
columns = [{ name = "a", kind = "numeric" }]
[[vertical.holder]]
party = "tax"
view = "v"
key = "code"
columns = [{ name = "b", kind = "numeric" }]
"#;

struct Scene {
    spec: JobSpec,
    roster: Roster,
    trust: Trust,
    keys: Vec<SigningKey>,
    sealing: Vec<SealingKey>,
    session: Session,
}

fn pair(key: &SigningKey) -> KeyPair {
    KeyPair::from_pem(&key.to_pkcs8_pem().expect("PEM")).expect("a key pair")
}

fn valid(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
}

fn certificate(role: &str, party: &str, key: &SigningKey, issuer: &CertifiedIssuer<'static, KeyPair>) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    let name = format!("spiffe://test/{role}/{party}");
    params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().expect("a URI"))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    valid(&mut params);
    params.signed_by(&pair(key), issuer).expect("a certificate").der().to_vec()
}

fn scene() -> Scene {
    let spec = JobSpec::parse(JOB).expect("a valid job");
    let job = JobId::of(JOB, NOW);
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params);
    let issuer = CertifiedIssuer::self_signed(params, pair(&SigningKey::from_seed([1; 32]))).expect("an authority");
    let trust = Trust::new("test", issuer.der().to_vec());
    let keys: Vec<SigningKey> = (10..13).map(|i| SigningKey::from_seed([i; 32])).collect();
    let sealing: Vec<SealingKey> = (20..23).map(|i| SealingKey::derive(&[i; 32])).collect();
    let join = |i: usize| {
        let party = spec.job.parties[i].clone();
        let certificate = certificate("bank", party.as_str(), &keys[i], &issuer);
        Join::signed(job, party, certificate, sealing[i].public_key(), &[i as u8; 32], &keys[i])
    };
    let roster = Roster {
        job,
        attempt: 0,
        entries: (0..3).map(join).collect(),
        rule: spec.committee_rule(3).expect("nobody"),
        minimum_contributors: 3,
        coordinator_certificate: certificate("coordinator", "coordinator", &SigningKey::from_seed([2; 32]), &issuer),
        deadline: NOW.plus_seconds(60),
    };
    let session = establish(&roster, &spec, &trust, &keys, None).expect("a session");
    Scene { spec, roster, trust, keys, sealing, session }
}

fn establish(
    roster: &Roster,
    spec: &JobSpec,
    trust: &Trust,
    keys: &[SigningKey],
    check: Option<SealedCheckKey>,
) -> Result<Session, Violation> {
    let confirm = |(i, entry): (usize, &Join)| {
        let check = check.clone().filter(|_| i == 0);
        let nonce = [spec.job.parties.iter().position(|p| *p == entry.party).expect("invited") as u8; 32];
        Confirmation::signed(roster.job, entry.party.clone(), roster.digest(), nonce, check, &keys[nonce[0] as usize])
    };
    let confirmations = roster.entries.iter().enumerate().map(confirm).collect();
    Session::establish(roster.clone(), confirmations, &roster.job, spec, trust, NOW)
}

impl Scene {
    fn party(&self, index: usize) -> PartyId {
        self.spec.job.parties[index].clone()
    }

    fn expected<'a>(&'a self, round: u64, previous: &'a Digest) -> Expected<'a> {
        Expected { session: &self.session, spec: &self.spec, round, previous, journal: &HEAD }
    }

    fn seal(&self, from: usize, round: u64, previous: Digest, outbox: &Outbox) -> (ParcelHead, Vec<Vec<u8>>) {
        let me = self.party(from);
        let envelope = Envelope { session: &self.session, me: &me, round, previous, journal: HEAD };
        seal_letters(outbox, &envelope, &self.keys[from], &[50 + from as u8; 32]).expect("sealed")
    }

    /// A parcel of the first exchange, with a letter to both others and one to the last party.
    fn parcel(&self) -> (ParcelHead, Vec<Vec<u8>>) {
        self.seal(0, 1, self.session.digest(), &outbox())
    }

    fn check(&self, head: ParcelHead) -> Result<Verified<ParcelHead>, Violation> {
        Verified::parcel(head, &self.expected(1, &self.session.digest()))
    }

    /// Altered, and signed again by its sender.
    fn resigned(&self, change: impl FnOnce(&mut ParcelHead)) -> Result<Verified<ParcelHead>, Violation> {
        let (mut head, _) = self.parcel();
        change(&mut head);
        self.check(head.signed(&self.keys[0]))
    }
}

fn outbox() -> Outbox {
    let announcement = Announcement { phase: "test".to_owned(), body_json: "{}".to_owned(), ..Announcement::default() };
    let letters =
        vec![Letter { to: vec![1, 2], body: vec![7; 5000] }, Letter { to: vec![2], body: b"for tax alone".to_vec() }];
    Outbox { announcement, letters, ..Outbox::default() }
}

#[test]
fn what_is_sealed_opens_for_its_receivers_only() {
    let s = scene();
    let (head, bodies) = s.parcel();
    assert_eq!((head.clone(), bodies.clone()), s.parcel(), "the same words give the same bytes");
    assert_eq!(bodies[0].len(), 5048, "a letter to two costs its bytes once");
    assert_eq!(head.body_bytes(), bodies.iter().map(|b| b.len() as u64).sum::<u64>());
    let head = s.check(head).expect("an honest parcel");
    for (me, letter, plain) in [(1, 0, vec![7; 5000]), (2, 0, vec![7; 5000]), (2, 1, b"for tax alone".to_vec())] {
        let opened = open_letter(&head, letter, &bodies[letter], &s.session, &s.party(me), &s.sealing[me]);
        assert_eq!(opened, Ok(plain), "{me}, letter {letter}");
    }
    let not_mine = open_letter(&head, 1, &bodies[1], &s.session, &s.party(1), &s.sealing[1]);
    assert!(matches!(not_mine, Err(Violation::LetterDigest { letter: 1, .. })), "{not_mine:?}");
    let altered = [&bodies[0][..100], &[1], &bodies[0][101..]].concat();
    let altered = open_letter(&head, 0, &altered, &s.session, &s.party(1), &s.sealing[1]);
    assert!(matches!(altered, Err(Violation::LetterDigest { letter: 0, .. })), "{altered:?}");
}

#[test]
fn other_words_are_sealed_with_other_randomness() {
    let s = scene();
    let (_, bodies) = s.parcel();
    let mut other = outbox();
    other.letters[1].body[0] ^= 1;
    let (_, others) = s.seal(0, 1, s.session.digest(), &other);
    assert_ne!(bodies[0][..32], others[0][..32], "the encapsulated key of an unchanged letter differs too");
}

#[test]
fn a_sender_is_blamed_for_what_it_signed() {
    let s = scene();
    let (mut head, mut bodies) = s.parcel();
    // Sealed for the third party where it should be for the second.
    head.letters[0].sealed_keys.swap(0, 1);
    let head = s.check(head.signed(&s.keys[0])).expect("the form is right");
    let unreadable = open_letter(&head, 0, &bodies[0], &s.session, &s.party(1), &s.sealing[1]);
    let violation = unreadable.expect_err("it does not open");
    assert!(matches!(violation, Violation::LetterUnreadable { .. }), "{violation}");
    assert_eq!(violation.fault(), Fault::Participant(s.party(0)));
    // A body that is another letter's, signed as this one.
    let (mut head, _) = s.parcel();
    bodies[0] = bodies[1].clone();
    head.letters[0].bytes = bodies[0].len() as u64;
    head.letters[0].digest = letter_digest(&bodies[0]);
    let head = s.check(head.signed(&s.keys[0])).expect("the form is right");
    let unreadable = open_letter(&head, 0, &bodies[0], &s.session, &s.party(1), &s.sealing[1]);
    assert!(matches!(unreadable, Err(Violation::LetterUnreadable { .. })), "{unreadable:?}");
}

#[test]
fn letters_are_for_others_in_the_session() {
    let s = scene();
    for to in [vec![0], vec![1, 3], vec![usize::MAX]] {
        let outbox = Outbox { letters: vec![Letter { to, body: Vec::new() }], ..outbox() };
        let me = s.party(0);
        let previous = s.session.digest();
        let envelope = Envelope { session: &s.session, me: &me, round: 1, previous, journal: HEAD };
        let sealed = seal_letters(&outbox, &envelope, &s.keys[0], &[1; 32]);
        assert!(matches!(sealed, Err(SealingError::Receiver { letter: 0, .. })), "{sealed:?}");
    }
}

#[test]
fn one_altered_field_each() {
    type Change = fn(&mut ParcelHead);
    let s = scene();
    let unsigned: [(&str, Change); 9] = [
        ("phase", |h| h.announcement.phase.push('x')),
        ("body", |h| h.announcement.body_json.push(' ')),
        ("done", |h| h.announcement.done = true),
        ("result", |h| h.announcement.result_json = Some("{}".to_owned())),
        ("key", |h| h.letters[0].sealed_keys[0][40] ^= 1),
        ("digest", |h| h.letters[0].digest = OTHER),
        ("bytes", |h| h.letters[0].bytes -= 1),
        ("letter", |h| {
            h.letters.pop();
        }),
        ("signature", |h| h.signature = Signature::from_bytes([0; 64])),
    ];
    for (what, change) in unsigned {
        let (mut head, _) = s.parcel();
        change(&mut head);
        let refused = s.check(head);
        assert!(matches!(refused, Err(Violation::Signature { message: "parcel", .. })), "{what}: {refused:?}");
    }
    let refused = |change: Change| s.resigned(change).expect_err("must be refused");
    assert_eq!(refused(|h| h.job = JobId(OTHER)), Violation::OtherJob { message: "parcel" });
    let other = Violation::OtherExchange { party: s.party(0), round: 1 };
    for change in [(|h| h.session = OTHER) as Change, |h| h.round = 2, |h| h.round = 0, |h| h.previous = OTHER] {
        assert_eq!(refused(change), other);
    }
    assert_eq!(refused(|h| h.journal.size += 1), Violation::PinnedJournal { party: s.party(0) });
    let unknown = refused(|h| h.party = PartyId::new("nobody").expect("a name"));
    assert!(matches!(unknown, Violation::NotInRoster { .. }), "{unknown}");
    let another = refused(|h| h.party = PartyId::new("tax").expect("a name"));
    assert!(
        matches!(&another, Violation::LetterReceivers { .. } | Violation::Signature { .. }),
        "signed in another's name: {another}"
    );
}

#[test]
fn limits_and_receivers() {
    let s = scene();
    let size = |change: &dyn Fn(&mut ParcelHead)| match s.resigned(change) {
        Err(Violation::ParcelSize { what, most, .. }) => (what, most),
        other => panic!("{other:?}"),
    };
    let long = size(&|h| h.announcement.body_json = " ".repeat(MAX_ANNOUNCEMENT_BYTES));
    assert_eq!(long, ("bytes of announcement", MAX_ANNOUNCEMENT_BYTES as u64));
    let result = size(&|h| h.announcement.result_json = Some(" ".repeat(MAX_RESULT_BYTES + 1)));
    assert_eq!(result, ("bytes of result", MAX_RESULT_BYTES as u64));
    let letters = size(&|h| h.letters = vec![h.letters[0].clone(); MAX_LETTERS + 1]);
    assert_eq!(letters, ("letters", MAX_LETTERS as u64));
    let most = s.spec.vertical.as_ref().expect("vertical").max_parcel_bytes();
    assert_eq!(size(&|h| h.letters[0].bytes = most + 1), ("bytes of letters", most));
    assert_eq!(size(&|h| h.letters.iter_mut().for_each(|l| l.bytes = u64::MAX)), ("bytes of letters", most));
    type Change = fn(&mut ParcelHead);
    let receivers: [Change; 6] = [
        |h| h.letters[0].to = vec![2, 1],
        |h| h.letters[0].to = vec![1, 1],
        |h| h.letters[0].to = vec![0, 1],
        |h| h.letters[0].to = vec![1, 3],
        |h| {
            h.letters[0].sealed_keys.pop();
        },
        |h| h.letters[0].sealed_keys[0].push(0),
    ];
    for (number, change) in receivers.into_iter().enumerate() {
        let refused = s.resigned(change);
        assert!(matches!(refused, Err(Violation::LetterReceivers { letter: 0, .. })), "{number}: {refused:?}");
    }
    let nobody = s.resigned(|h| {
        h.letters[0].to.clear();
        h.letters[0].sealed_keys.clear();
    });
    assert!(matches!(nobody, Err(Violation::LetterReceivers { letter: 0, .. })), "{nobody:?}");
}

#[test]
fn a_closed_exchange_is_that_of_all_parties() {
    let s = scene();
    let session = s.session.digest();
    let heads: Vec<ParcelHead> =
        (0..3).map(|i| s.seal(i, 1, session, &Outbox { letters: Vec::new(), ..outbox() }).0).collect();
    let transcript = exchange_transcript(&session, &heads);
    let check = |heads: Vec<ParcelHead>, transcript: &Digest, own: &ParcelHead| {
        check_closed(heads, transcript, own, &s.expected(1, &session)).map(|heads| heads.len())
    };
    assert_eq!(check(heads.clone(), &transcript, &heads[1]), Ok(3));
    let wrong = Violation::ClosedExchange { round: 1 };
    assert_eq!(check(heads.clone(), &OTHER, &heads[1]), Err(wrong.clone()));
    let with = |heads: Vec<ParcelHead>| {
        let transcript = exchange_transcript(&session, &heads);
        check(heads, &transcript, &s.seal(1, 1, session, &Outbox { letters: Vec::new(), ..outbox() }).0)
    };
    assert_eq!(with(heads[..2].to_vec()), Err(wrong.clone()));
    assert_eq!(with(vec![heads[1].clone(), heads[0].clone(), heads[2].clone()]), Err(wrong.clone()));
    assert_eq!(with(vec![heads[0].clone(), heads[1].clone(), heads[1].clone()]), Err(wrong));
    let mut forged = heads.clone();
    forged[2].announcement.body_json = "[]".to_owned();
    assert!(matches!(with(forged), Err(Violation::Relayed { message: "parcel", .. })));
    let mut own = heads.clone();
    own[1] = ParcelHead { announcement: Announcement::default(), ..own[1].clone() }.signed(&s.keys[1]);
    assert_eq!(with(own), Err(Violation::OwnParcel { party: s.party(1), round: 1 }));
    let mut fork = heads.clone();
    fork[0] = ParcelHead { journal: TreeHead { size: 8, ..HEAD }, ..fork[0].clone() }.signed(&s.keys[0]);
    let fork = with(fork).expect_err("two journals");
    assert!(matches!(fork, Violation::OtherJournal { .. }) && fork.fault() == Fault::Coordinator, "{fork}");
}

#[test]
fn a_job_is_complete_when_all_say_so() {
    let s = scene();
    let heads = |done: [bool; 3], result: [bool; 3]| -> Vec<ParcelHead> {
        (0..3)
            .map(|i| {
                let result_json = result[i].then(|| "{}".to_owned());
                let announcement = Announcement { done: done[i], result_json, ..Announcement::default() };
                s.seal(i, 1, s.session.digest(), &Outbox { announcement, ..Outbox::default() }).0
            })
            .collect()
    };
    let end = |done, result| completed(&heads(done, result), &s.spec);
    assert_eq!(completed(&[], &s.spec), None);
    assert_eq!(end([false; 3], [false; 3]), None);
    assert_eq!(end([true; 3], [true, false, false]), Some(Ok("{}".to_owned())));
    let words = |end: Option<Result<String, String>>| end.expect("an end").expect_err("none that is good");
    assert!(words(end([true; 3], [false; 3])).contains("bank, the label holder, was done in exchange 1"));
    assert!(words(end([true; 3], [true, true, false])).starts_with("core published a result"));
    assert!(words(end([true; 3], [false, false, true])).starts_with("bank, the label holder"));
    assert!(
        words(end([true, false, true], [true, false, false]))
            .contains("bank, tax had come to the end and core had not")
    );
    assert!(words(end([false; 3], [false, true, false])).contains("core had come to the end"));
}

#[test]
fn rosters_without_a_committee() {
    let s = scene();
    assert!(s.roster.rule.is_nobody() && s.session.committee().is_empty());
    let verify = |change: &dyn Fn(&mut Roster)| {
        let mut roster = s.roster.clone();
        change(&mut roster);
        roster.verify(&s.roster.job, &s.spec, &s.trust, NOW).map(|_| ())
    };
    assert_eq!(verify(&|_| ()), Ok(()));
    let left_out = |party: usize| Err(Violation::LeftOut { party: s.party(party) });
    for party in 0..3 {
        assert_eq!(verify(&|r| drop(r.entries.remove(party))), left_out(party));
    }
    assert_eq!(verify(&|r| r.minimum_contributors = 2), Err(Violation::CommitteeRule));
    let three =
        haihe_privacy::secure_sum::CommitteeRule::for_parties(3, haihe_privacy::secure_sum::Adversary::Malicious);
    assert_eq!(verify(&|r| r.rule = three.expect("a rule")), Err(Violation::CommitteeRule));
    let check = SealedCheckKey::make(&s.roster, &s.party(0), &[7; 32]).expect("usable keys");
    let refused = establish(&s.roster, &s.spec, &s.trust, &s.keys, Some(check));
    assert_eq!(refused.err(), Some(Violation::CheckKeyPresence { party: s.party(0) }), "nobody makes a check key");
    // Without tax, if the job can do without it.
    let toml = JOB.replace("[vertical]\n", "[scoring]\nmodel = \"abcd\"\nmay_be_absent = [\"tax\"]\n[vertical]\n");
    let scoring = JobSpec::parse(&toml).expect("a valid job");
    let mut roster = s.roster.clone();
    roster.entries.pop();
    roster.minimum_contributors = 2;
    assert!(roster.verify(&roster.job, &scoring, &s.trust, NOW).is_ok(), "two parties are enough");
    let session = establish(&roster, &scoring, &s.trust, &s.keys, None).expect("a session of two");
    assert_eq!(session.parties(), 2);
    roster.entries.remove(0);
    assert_eq!(roster.verify(&roster.job, &scoring, &s.trust, NOW).err(), left_out(0).err());
}
