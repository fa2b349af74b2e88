//! One falsehood per test, in a journal that was chained anew behind it: the digests agree, the story does not.

use std::{convert::Infallible, sync::OnceLock};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_privacy::{
    Digest,
    log::{Log, RootHash},
    seal::SealingKey,
    secure_sum::{Scheme as _, ShareSum, SumContext, plain::NoSecurity},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    audit::{self, Audit, Breach, Finding, Sums},
    check::SealedCheckKey,
    checkpoint::TreeHead,
    contribution::{self, Vector},
    error::{Fault, Violation},
    horizontal::{Layout, Task},
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    journal::{Entry, Event},
    message::{Contribution, Objection, Verified},
    roster::{Confirmation, Decline, Join, Trust},
    share_keys::ShareKeys,
    state::{Command, Directive, Job},
    witness::result_digest,
};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

const OPENED: Timestamp = Timestamp(1_780_000_000_000);
const JOB: &str = r#"
[job]
name = "test"
parties = ["bj", "he", "sx", "tj"]
min_parties = 3
[data]
view = "loans"
key = "id"
label = "bad"
split = { column = "set" }
columns = [{ name = "debt", kind = "numeric" }, { name = "age", kind = "numeric" }]
[scorecard.binning]
fine_cells = 16
[scorecard.evaluation]
cells = 50
[scorecard.regression]
tolerance = 0.1
"#;

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

fn table(seed: u64) -> Table {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut debt, mut age, mut label, mut split) = (vec![], vec![], vec![], vec![]);
    for row in 0..200 {
        let (d, a) = (uniform() * 2.0 - 1.0, uniform() * 20.0);
        debt.push(d);
        age.push(a);
        label.push(uniform() < 1.0 / (1.0 + (0.2 - 2.5 * d + 0.1 * (a - 10.0)).exp()));
        split.push(if row % 4 == 3 { Split::Test } else { Split::Train });
    }
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let columns = vec![Column::Numeric(debt), Column::Numeric(age)];
    Table { specs: vec![numeric("debt"), numeric("age")], columns, label, split, firms: None }
}

/// Chunks of ciphertexts, or sealed shares, by contributor.
type Parts = Vec<Vec<Vec<u8>>>;

/// A job from its opening to its result, with all that goes wrong in one, recorded as a coordinator does.
struct Story {
    spec: JobSpec,
    authority: Vec<u8>,
    keys: Vec<SigningKey>,
    sealing: Vec<SealingKey>,
    certificates: Vec<Vec<u8>>,
    job: Job,
    now: Timestamp,
    events: Vec<(Timestamp, Event)>,
    entries: Vec<Entry>,
    log: Log,
    sums: Sums,
}

fn chain(events: &[(Timestamp, Event)]) -> Vec<Entry> {
    let mut tip = Entry::genesis();
    let mut entries = Vec::new();
    for (at, event) in events {
        let entry = Entry::after(&tip, entries.len() as u64, *at, event);
        tip = entry.digest;
        entries.push(entry);
    }
    entries
}

impl Story {
    fn begin() -> Self {
        let issuer = authority(1);
        let coordinator = SigningKey::from_seed([2; 32]);
        let keys: Vec<SigningKey> = (10..14).map(|i| SigningKey::from_seed([i; 32])).collect();
        let spec = JobSpec::parse(JOB).expect("a valid job");
        let opening = Job::open(&spec, JOB, "operator", OPENED);
        let entries = chain(&[(OPENED, opening.clone())]);
        let certificates =
            |(i, key): (usize, &SigningKey)| certificate("bank", spec.job.parties[i].as_str(), key, &issuer);
        let trust = Trust::new("test", issuer.der().to_vec());
        let own = certificate("coordinator", "coordinator", &coordinator, &issuer);
        let mut log = Log::new();
        log.append(entries[0].line().as_bytes());
        Self {
            authority: issuer.der().to_vec(),
            sealing: (20..24).map(|i| SealingKey::derive(&[i; 32])).collect(),
            certificates: keys.iter().enumerate().map(certificates).collect(),
            job: Job::replay(&entries, trust, own).expect("opens"),
            spec,
            keys,
            now: OPENED,
            events: vec![(OPENED, opening)],
            entries,
            log,
            sums: Sums::new(),
        }
    }

    fn record(&mut self, command: Command) {
        self.now = Timestamp(self.now.0 + 1000);
        let events = self.job.decide(self.now, command).expect("the job takes it");
        assert!(!events.is_empty(), "something happens");
        for event in events {
            let tip = self.entries.last().expect("never empty").digest;
            let entry = Entry::after(&tip, self.entries.len() as u64, self.now, &event);
            self.log.append(entry.line().as_bytes());
            self.entries.push(entry);
            self.events.push((self.now, event.clone()));
            self.job.apply(self.now, event);
        }
    }

    fn party(&self, i: usize) -> PartyId {
        self.spec.job.parties[i].clone()
    }

    fn gather(&mut self) {
        let (job, spec) = (self.job.head().job, self.spec.clone());
        let trust = Trust::new("test", self.authority.clone());
        for i in [0, 1, 3] {
            let sealing = self.sealing[i].public_key();
            let join =
                Join::signed(job, self.party(i), self.certificates[i].clone(), sealing, &[i as u8; 32], &self.keys[i]);
            self.record(Command::Join(Verified::join(join, &job, &spec, &trust, OPENED).expect("verifies")));
        }
        let decline = Decline::signed(job, self.party(2), self.certificates[2].clone(), "not now", &self.keys[2]);
        self.record(Command::Decline(Verified::decline(decline, &job, &spec, &trust, OPENED).expect("verifies")));
        self.record(Command::Tick);
        let (roster, keys) = self.job.proposal().map(|(r, k)| (r.clone(), k.clone())).expect("a roster");
        for i in [0, 1, 3] {
            let check = (i == 0).then(|| SealedCheckKey::make(&roster, &self.party(0), &[40; 32]).expect("keys"));
            let c = Confirmation::signed(job, self.party(i), roster.digest(), [i as u8; 32], check, &self.keys[i]);
            self.record(Command::Confirm(Verified::confirmation(c, &roster, &keys).expect("verifies")));
        }
        self.record(Command::Tick);
    }

    /// Opens a round, lets everybody contribute, and gives the ciphertexts and sealed shares.
    fn collect(&mut self) -> (Parts, Parts) {
        self.record(Command::Tick);
        let head = TreeHead { size: self.log.size(), root: self.log.root() };
        let session = self.job.session().expect("a session").clone();
        let round = self.job.open_round().expect("a round").clone();
        let coordinator = SigningKey::from_seed([2; 32]);
        let (round, task) = round.clone().verify(&round.sign(&coordinator), &session, &self.spec).expect("verifies");
        let (mut ciphertexts, mut shares) = (Vec::new(), Vec::new());
        for (index, i) in [0usize, 1, 3].into_iter().enumerate() {
            let me = self.party(i);
            let values = task.perform(&self.spec, &table(i as u64 + 1), index as u32, 3).expect("a vector");
            let Ok(Layout::Exact(quantiser)) = task.layout(&self.spec, 3, 2) else { panic!("a layout without noise") };
            let check = session.check_key(&me, &self.sealing[i]).expect("a check key");
            let mut chunks = Vec::new();
            let sink = |chunk: &[u8]| {
                chunks.push(chunk.to_vec());
                Ok::<(), Infallible>(())
            };
            let seed = [30 + i as u8; 32];
            let share_keys = ShareKeys::new(&session, &me, &self.sealing[i]).expect("in the session");
            let keys = (&self.keys[i], &check, &share_keys);
            let made = contribution::contribute(
                &NoSecurity,
                &session,
                (&round, &head),
                Vector::Exact(&quantiser, &values),
                &me,
                keys,
                seed,
                sink,
            );
            let made = made.expect("a contribution");
            let shares_bytes: usize = made.sealed_shares.iter().map(Vec::len).sum();
            let bytes = made.contribution.ciphertext_bytes + shares_bytes as u64;
            let verified = Verified::contribution(made.contribution, &made.sealed_shares, &session, &round, &head);
            self.record(Command::Contribute { contribution: verified.expect("verifies"), bytes });
            ciphertexts.push(chunks);
            shares.push(made.sealed_shares);
        }
        (ciphertexts, shares)
    }

    /// Everybody answers; gives the sum.
    fn open(&mut self, ciphertexts: &Parts, shares: &Parts) -> Vec<u64> {
        self.record(Command::Tick);
        let coordinator = SigningKey::from_seed([2; 32]);
        let mut answers = Vec::new();
        let mut context = None;
        for i in [0, 1, 3] {
            let me = self.party(i);
            let Directive::Answer { spec, survivors, position, session } = self.job.directive(&me) else {
                panic!("{me} is asked");
            };
            let head = survivors.survivors[0].journal;
            let sealed: Vec<Vec<u8>> = shares.iter().map(|s| s[position as usize].clone()).collect();
            let signature = survivors.sign(&coordinator);
            let set = survivors.verify(&signature, &sealed, &me, &session, &spec, &head).expect("verifies");
            let share_keys = ShareKeys::new(&session, &me, &self.sealing[i]).expect("in the session");
            let answer =
                contribution::answer(&set, &sealed, &session, &spec, &me, &share_keys, &self.keys[i]).expect("answers");
            let rule = &session.roster().rule;
            answers.push((
                position,
                ShareSum::from_bytes(&answer.share_sum, spec.parameters.set(), rule).expect("a share"),
            ));
            let answer = Verified::answer(answer, &set.digest(), &session, &spec).expect("verifies");
            self.record(Command::Answer(answer));
            context = Some((spec, session));
        }
        let (spec, session) = context.expect("three members");
        let mut adder =
            NoSecurity.adder(&spec.parameters, &SumContext { session: session.digest(), round: spec.round });
        for ciphertext in ciphertexts {
            ciphertext.iter().enumerate().for_each(|(i, chunk)| adder.add_chunk(i, chunk).expect("a chunk"));
            adder.finish_contribution().expect("whole");
        }
        adder.open(&session.roster().rule, &answers, 3).expect("opens").sum
    }

    fn told() -> Self {
        let mut story = Self::begin();
        story.gather();
        let (ciphertexts, shares) = story.collect();
        story.open(&ciphertexts, &shares);
        story.record(Command::NotOpened { reason: "a ciphertext was lost".to_owned() });
        let mut round = 1;
        while !story.job.is_over() {
            round += 1;
            let (ciphertexts, shares) = story.collect();
            if round == 2 {
                let reason = "the ciphertext is malformed".to_owned();
                story.record(Command::Reject { party: story.party(0), round, reason });
                story.record(Command::Late { party: story.party(3), round: 1 });
            }
            let sum = story.open(&ciphertexts, &shares);
            if round == 2 {
                let session = story.job.session().expect("a session").clone();
                let violation = Violation::NoCheckpoint { round };
                let objection = Objection::signed(&session, round, story.party(1), &violation, &story.keys[1]);
                story.record(Command::Object(Verified::objection(objection, &session).expect("verifies")));
            }
            story.sums.insert(round, sum.clone());
            story.record(Command::Opened { sum, wrong_answers: Vec::new() });
        }
        story
    }

    fn verify(&self, events: &[(Timestamp, Event)], sums: &Sums) -> Result<Audit, Finding> {
        audit::verify(&chain(events), Some(&self.authority), sums)
    }

    /// Number of the `nth` entry of a kind.
    fn nth(&self, kind: &str, nth: usize) -> usize {
        let mut found = (0..self.events.len()).filter(|i| self.events[*i].1.kind() == kind);
        found.nth(nth).unwrap_or_else(|| panic!("the story has {kind} number {nth}"))
    }
}

fn story() -> &'static Story {
    static STORY: OnceLock<Story> = OnceLock::new();
    STORY.get_or_init(Story::told)
}

/// Alters the `nth` event of a kind and chains the journal anew; the sums are shown.
fn lie(kind: &str, nth: usize, alter: impl FnOnce(&mut Event)) -> Finding {
    let s = story();
    let mut events = s.events.clone();
    alter(&mut events[s.nth(kind, nth)].1);
    s.verify(&events, &s.sums).expect_err("a falsehood is found")
}

/// The finding names this entry and says this.
fn names(finding: &Finding, kind: &str, nth: usize, says: &str) {
    let text = finding.to_string();
    assert_eq!((finding.kind.as_str(), finding.sequence), (kind, story().nth(kind, nth) as u64), "{text}");
    assert!(text.contains(says), "{says:?} is not in {text:?}");
}

/// The altered event itself is named.
#[track_caller]
fn caught(kind: &str, nth: usize, says: &str, alter: impl FnOnce(&mut Event)) {
    names(&lie(kind, nth, alter), kind, nth, says);
}

/// The journal without one event; the one after its place is named.
#[track_caller]
fn missed(kind: &str, nth: usize, then: (&str, usize), says: &str) {
    let s = story();
    let mut events = s.events.clone();
    events.remove(s.nth(kind, nth));
    let finding = s.verify(&events, &s.sums).expect_err("a gap in the story is found");
    let text = finding.to_string();
    assert_eq!((finding.kind.as_str(), finding.sequence + 1), (then.0, s.nth(then.0, then.1) as u64), "{text}");
    assert!(text.contains(says), "{says:?} is not in {text:?}");
}

/// The journal with an event that did not happen, before the `nth` of a kind; that event is named.
#[track_caller]
fn invented(event: Event, before: (&str, usize), says: &str) {
    let s = story();
    let mut events = s.events.clone();
    let place = s.nth(before.0, before.1);
    let (at, kind) = (events[place].0, event.kind());
    events.insert(place, (at, event));
    let finding = s.verify(&events, &s.sums).expect_err("an invention is found");
    let text = finding.to_string();
    assert_eq!((finding.kind.as_str(), finding.sequence), (kind, place as u64), "{text}");
    assert!(text.contains(says), "{says:?} is not in {text:?}");
}

macro_rules! with {
    ($variant:ident { $($field:ident),+ }, $change:expr) => {
        |event: &mut Event| match event {
            Event::$variant { $($field,)+ .. } => $change,
            other => panic!("{}", other.kind()),
        }
    };
}

fn nines() -> Digest {
    Digest::from_bytes([9; 32])
}

fn bad_signature() -> Signature {
    SigningKey::from_seed([99; 32]).sign(&nines())
}

fn id(name: &str) -> PartyId {
    PartyId::new(name).expect("a party id")
}

#[test]
fn a_true_journal_holds() {
    let s = story();
    assert_eq!(chain(&s.events), s.entries);
    let seen = audit::verify(&s.entries, Some(&s.authority), &s.sums).expect("holds");
    assert!(seen.certified && seen.unseen.is_empty());
    assert_eq!(seen.recomputed.len() as u64, seen.job.counters().rounds_closed);
    assert_eq!((seen.entries["contribution_accepted"], seen.entries["declined"]), (3 * s.job.round(), 1));
    assert_eq!((seen.log.size(), seen.log.root()), (s.log.size(), s.log.root()));
    let unseen = audit::verify(&s.entries, None, &Sums::new()).expect("holds as far as can be seen");
    assert!(!unseen.certified && unseen.recomputed.is_empty());
    assert_eq!(unseen.job.phase_name(), "finished");
    // So does every beginning of it, unless it ends between the two halves of one decision.
    let whole = s.entries.len() - 1;
    for end in 1..whole {
        audit::verify(&s.entries[..end], Some(&s.authority), &s.sums).unwrap_or_else(|f| panic!("{end}: {f}"));
    }
    let finding = audit::verify(&s.entries[..whole], Some(&s.authority), &s.sums).expect_err("half a decision");
    assert_eq!((finding.sequence, *finding.breach), (whole as u64, Breach::Unfinished));
    assert!(audit::verify(&[], None, &Sums::new()).is_err());
}

#[test]
fn another_authority_vouches_for_nobody() {
    let s = story();
    let finding = audit::verify(&s.entries, Some(authority(7).der()), &s.sums).expect_err("strangers");
    names(&finding, "joined", 0, "was not signed by this authority");
}

#[test]
fn the_opening() {
    caught("job_opened", 0, "deadline must be", with!(JobOpened { deadline }, deadline.0 += 1));
    caught("job_opened", 0, "job must be", with!(JobOpened { job }, *job = JobId(nines())));
    caught("job_opened", 0, "job must be", with!(JobOpened { toml }, toml.push('\n')));
    caught("job_opened", 0, "cannot be read", with!(JobOpened { toml }, toml.push('[')));
    let again = story().events[0].1.clone();
    invented(again, ("joined", 1), "led to nothing");
    // Nobody signs who submitted the job; the contributors signed the journal in which it stands.
    let finding = lie("job_opened", 0, with!(JobOpened { by }, by.push('x')));
    let opened = story().nth("round_opened", 0);
    names(&finding, "contribution_accepted", 0, &format!("one of the entries 0 to {opened}"));
}

#[test]
fn gathering() {
    caught("joined", 1, "signature of he on its join", with!(Joined { join }, join.signature = bad_signature()));
    caught("joined", 1, "signature of he on its join", with!(Joined { join }, join.beacon_commitment = nines()));
    caught("joined", 1, "not among the parties", with!(Joined { join }, join.party = id("stranger")));
    caught("joined", 1, "names bank/he", with!(Joined { join }, join.party = id("tj")));
    caught("joined", 1, "for another job", with!(Joined { join }, join.job = JobId(nines())));
    let foreign = certificate("bank", "he", &story().keys[1], &authority(7));
    caught("joined", 1, "not signed by this authority", with!(Joined { join }, join.signing_certificate = foreign));
    caught("declined", 0, "signature of sx on its decline", with!(Declined { decline }, decline.reason.push('!')));
    let event = |kind| story().events[story().nth(kind, 0)].1.clone();
    invented(event("joined"), ("joined", 1), "led to nothing");
    invented(event("joined"), ("confirmed", 1), "led to nothing");
    invented(event("declined"), ("confirmed", 0), "led to nothing");
    // Proposed although nobody knew yet what the last party would say, and long before the deadline.
    missed("declined", 0, ("roster_proposed", 0), "led to nothing");
}

#[test]
fn the_roster() {
    caught("roster_proposed", 0, "roster.deadline must be", with!(RosterProposed { roster }, roster.deadline.0 += 1));
    caught("roster_proposed", 0, "roster.attempt must be 0", with!(RosterProposed { roster }, roster.attempt = 1));
    let raise = with!(RosterProposed { roster }, roster.minimum_contributors = 4);
    caught("roster_proposed", 0, "minimum_contributors must be 3", raise);
    let lower = with!(RosterProposed { roster }, roster.minimum_contributors = 2);
    caught("roster_proposed", 0, "committee rule", lower);
    caught("roster_proposed", 0, "out of order", with!(RosterProposed { roster }, roster.entries.swap(0, 1)));
    let left_out = |roster: &mut haihe_protocol::roster::Roster| {
        roster.entries.pop();
    };
    let finding = lie("roster_proposed", 0, with!(RosterProposed { roster }, left_out(roster)));
    assert_eq!(finding.kind, "roster_proposed", "{finding}");
    let bank = story().certificates[0].clone();
    let as_bank = with!(RosterProposed { roster }, roster.coordinator_certificate = bank);
    caught("roster_proposed", 0, "the coordinator's certificate", as_bank);
}

#[test]
fn the_session() {
    caught(
        "confirmed",
        2,
        "does not open its commitment",
        with!(Confirmed { confirmation }, confirmation.beacon_nonce[0] ^= 1),
    );
    caught(
        "confirmed",
        2,
        "signature of tj",
        with!(Confirmed { confirmation }, confirmation.signature = bad_signature()),
    );
    caught("confirmed", 0, "check key", with!(Confirmed { confirmation }, confirmation.check_key = None));
    let twice = story().events[story().nth("confirmed", 0)].1.clone();
    invented(twice, ("confirmed", 1), "led to nothing");
    missed("confirmed", 1, ("session_opened", 0), "is missing or is not for this roster");
    caught("session_opened", 0, "session must be", with!(SessionOpened { session }, *session = nines()));
}

#[test]
fn rounds() {
    for nth in [0, 1, 4] {
        caught("round_opened", nth, "spec.round must be", with!(RoundOpened { spec }, spec.round += 1));
        caught("round_opened", nth, "spec.task_json must be", with!(RoundOpened { spec }, spec.task_json.push(' ')));
        caught("round_opened", nth, "spec.previous must be", with!(RoundOpened { spec }, spec.previous = nines()));
        caught("round_opened", nth, "spec.session must be", with!(RoundOpened { spec }, spec.session = nines()));
        caught("round_opened", nth, "spec.deadline must be", with!(RoundOpened { spec }, spec.deadline.0 -= 1));
    }
    let other = match &story().events[story().nth("round_opened", 2)].1 {
        Event::RoundOpened { spec } => spec.parameters.clone(),
        other => panic!("{}", other.kind()),
    };
    caught("round_opened", 1, "spec.parameters", with!(RoundOpened { spec }, spec.parameters = other));
    missed("round_opened", 1, ("contribution_accepted", 3), "does not take a contribution now");
}

#[test]
fn contributions() {
    let signed = "signature of he on its contribution";
    let alter = |says, change: fn(&mut Contribution)| {
        caught("contribution_accepted", 4, says, with!(ContributionAccepted { contribution }, change(contribution)));
    };
    alter(signed, |c| c.commitment = nines());
    alter(signed, |c| c.share_digests[0] = nines());
    alter(signed, |c| c.journal.root = RootHash::from_bytes([9; 32]));
    alter(signed, |c| c.signature = bad_signature());
    alter("a ciphertext of", |c| c.ciphertext_bytes += 1);
    alter("shares", |c| c.share_digests.truncate(1));
    alter("signed something else than round", |c| c.spec = nines());
    alter("signed something else than round", |c| c.round -= 1);
    alter("not in the roster", |c| c.party = id("sx"));
    caught("contribution_accepted", 4, "bytes must be", with!(ContributionAccepted { bytes }, *bytes += 1));
    let event = |nth| story().events[story().nth("contribution_accepted", nth)].1.clone();
    invented(event(3), ("contribution_accepted", 4), "led to nothing");
    invented(event(0), ("contribution_accepted", 4), "signed something else than round");
    // Signed by its party, over another history.
    let resign = |c: &mut Contribution| {
        c.journal.root = RootHash::from_bytes([9; 32]);
        let signer = story().spec.job.parties.iter().position(|p| *p == c.party).expect("invited");
        *c = c.clone().signed(&story().keys[signer]);
    };
    let s = story();
    let span = format!("entries {} to {}", s.nth("round_opened", 1) + 1, s.nth("round_opened", 2));
    caught("contribution_accepted", 6, &span, with!(ContributionAccepted { contribution }, resign(contribution)));
    let other = "another head of the journal than the one that this round began with";
    caught("contribution_accepted", 7, other, with!(ContributionAccepted { contribution }, resign(contribution)));
    missed("contribution_accepted", 4, ("contributions_closed", 1), "led to nothing");
}

#[test]
fn rejections_and_objections() {
    let stranger = |party: &mut PartyId| *party = id("sx");
    caught("contribution_rejected", 0, "led to nothing", with!(ContributionRejected { party }, stranger(party)));
    caught("contribution_late", 0, "led to nothing", with!(ContributionLate { party }, stranger(party)));
    caught("contribution_late", 0, "led to nothing", with!(ContributionLate { round }, *round = 99));
    let event = |kind| story().events[story().nth(kind, 0)].1.clone();
    invented(event("contribution_late"), ("contributions_closed", 2), "led to nothing");
    let signed = "signature of he on its objection";
    caught("objected", 0, signed, with!(Objected { objection }, objection.reason.push('!')));
    caught("objected", 0, signed, with!(Objected { objection }, objection.against = Fault::Job));
    caught("objected", 0, signed, with!(Objected { objection }, objection.round = 3));
    invented(event("objected"), ("sum_opened", 0), "led to nothing");
    invented(event("objected"), ("round_opened", 3), "led to nothing");
    // A rejection's reason is in nobody's words but the coordinator's.
    let finding = lie("contribution_rejected", 0, with!(ContributionRejected { reason }, reason.push('!')));
    names(&finding, "contribution_accepted", 6, "at least one of the entries");
}

#[test]
fn closing() {
    let pop = |survivors: &mut Vec<PartyId>| drop(survivors.pop());
    caught("contributions_closed", 1, "survivors must be", with!(ContributionsClosed { survivors }, pop(survivors)));
    caught("contributions_closed", 1, "absent must be", with!(ContributionsClosed { absent }, absent.push(id("sx"))));
    caught("contributions_closed", 1, "digest must be", with!(ContributionsClosed { digest }, *digest = nines()));
    caught("contributions_closed", 1, "deadline must be", with!(ContributionsClosed { deadline }, deadline.0 += 1));
    caught("contributions_closed", 1, "round must be", with!(ContributionsClosed { round }, *round += 1));
    let early = story().events[story().nth("contributions_closed", 1)].1.clone();
    invented(early, ("contribution_accepted", 4), "led to nothing");
}

#[test]
fn answers() {
    let signed = "signature of tj on its answer";
    caught("answered", 5, signed, with!(Answered { answer }, answer.signature = bad_signature()));
    caught("answered", 5, signed, with!(Answered { answer }, answer.share_sum[0] ^= 1));
    caught("answered", 5, "another survivor set", with!(Answered { answer }, answer.survivors = nines()));
    caught("answered", 5, "does not take a answer now", with!(Answered { answer }, answer.round += 1));
    let event = |nth| story().events[story().nth("answered", nth)].1.clone();
    invented(event(3), ("answered", 4), "led to nothing");
    invented(event(0), ("contribution_accepted", 1), "does not take a answer now");
    missed("answered", 3, ("sum_opened", 0), "led to nothing");
    missed("answered", 0, ("round_lost", 0), "led to nothing");
}

#[test]
fn sums_and_losses() {
    let s = story();
    caught("sum_opened", 1, "round must be", with!(SumOpened { round }, *round += 1));
    caught("sum_opened", 1, "transcript must be", with!(SumOpened { transcript }, *transcript = nines()));
    caught("sum_opened", 1, "the sum that was shown", with!(SumOpened { sum }, *sum = nines()));
    caught(
        "sum_opened",
        1,
        "corrects an answer of sx",
        with!(SumOpened { wrong_answers }, wrong_answers.push(id("sx"))),
    );
    caught("sum_opened", 1, "summary.text must be", with!(SumOpened { summary }, summary.text.push('!')));
    caught("sum_opened", 1, "plan", with!(SumOpened { plan }, *plan = None));
    caught("round_lost", 0, "absent must be", with!(RoundLost { absent }, absent.push(id("bj"))));
    caught("round_lost", 0, "round must be", with!(RoundLost { round }, *round += 1));
    let lost = s.events[s.nth("round_lost", 0)].1.clone();
    invented(lost, ("answered", 4), "led to nothing");
    missed("sum_opened", 0, ("round_opened", 2), "led to nothing");
    // A sum that was not the one.
    let mut sums = s.sums.clone();
    sums.get_mut(&3).expect("round 3")[0] += 1;
    let finding = s.verify(&s.events, &sums).expect_err("another sum");
    names(&finding, "sum_opened", 1, "the sum that was shown");
}

/// What is found where the sums are not shown: later, by what the contributors signed.
#[test]
fn sums_that_nobody_shows() {
    let s = story();
    let blind = |alter: &dyn Fn(&mut Event), kind: &str, nth: usize| {
        let mut events = s.events.clone();
        alter(&mut events[s.nth(kind, nth)].1);
        s.verify(&events, &Sums::new())
    };
    let other = match &s.events[s.nth("sum_opened", 0)].1 {
        Event::SumOpened { plan, .. } => plan.clone(),
        other => panic!("{}", other.kind()),
    };
    let transcript = blind(&with!(SumOpened { sum }, *sum = nines()), "sum_opened", 1).expect_err("found");
    names(&transcript, "sum_opened", 1, "transcript must be");
    let step = blind(&with!(SumOpened { summary }, summary.step.push('!')), "sum_opened", 1).expect_err("found");
    names(&step, "sum_opened", 1, "summary.step must be");
    let plan = blind(&with!(SumOpened { plan }, *plan = other.clone()), "sum_opened", 1).expect_err("found");
    names(&plan, "round_opened", 3, "must be");
    let ended = blind(&with!(SumOpened { plan }, *plan = None), "sum_opened", 1).expect_err("found");
    assert_eq!((ended.kind.as_str(), *ended.breach), ("round_opened", Breach::Unfinished));
    let text = blind(&with!(SumOpened { summary }, summary.text.push('!')), "sum_opened", 1).expect_err("found");
    names(&text, "contribution_accepted", 9, "at least one of the entries");
    let result =
        blind(&with!(JobFinished { result_json }, result_json.push(' ')), "job_finished", 0).expect_err("found");
    names(&result, "job_finished", 0, "result must be");
    // Nothing signs what comes after the last round but the last checkpoint, which is not given here.
    let consistent = with!(JobFinished { result, result_json }, {
        result_json.push(' ');
        *result = result_digest(result_json);
    });
    assert!(blind(&consistent, "job_finished", 0).is_ok());
    caught("job_finished", 0, "result must be", consistent);
}

#[test]
fn the_end() {
    let s = story();
    caught("job_finished", 0, "result must be", with!(JobFinished { result }, *result = nines()));
    let mut events = s.events.clone();
    let last = events.len() - 1;
    events[last].1 = Event::JobFailed { reason: "no".to_owned() };
    let finding = s.verify(&events, &s.sums).expect_err("found");
    assert_eq!((finding.sequence, *finding.breach), (last as u64, Breach::Unfinished));
    invented(Event::JobFailed { reason: "no".to_owned() }, ("contribution_accepted", 4), "led to nothing");
    invented(Event::JobFailed { reason: "no".to_owned() }, ("sum_opened", 1), "led to sum_opened");
    let finished = s.events[last].1.clone();
    invented(finished, ("round_opened", 2), "led to nothing");
    // A cancelled job ends there; so does its journal.
    let cancel = Event::JobCancelled { by: "operator".to_owned(), reason: "why not".to_owned() };
    let mut events = s.events[..40].to_vec();
    events.push((events[39].0, cancel.clone()));
    assert_eq!(s.verify(&events, &s.sums).expect("an operator may").job.phase_name(), "cancelled");
    events.extend_from_slice(&s.events[40..]);
    let finding = s.verify(&events, &s.sums).expect_err("found");
    assert_eq!(finding.sequence, 41);
    let mut events = s.events.clone();
    events.push((events[last].0, cancel));
    let finding = s.verify(&events, &s.sums).expect_err("found");
    assert_eq!((finding.kind.as_str(), finding.sequence), ("job_cancelled", last as u64 + 1));
}

#[test]
fn time_and_form() {
    let s = story();
    for i in 1..s.events.len() {
        let mut events = s.events.clone();
        events[i].0.0 -= 2_000_000;
        let finding = s.verify(&events, &s.sums).expect_err("time goes back");
        assert!(finding.sequence == i as u64 && finding.to_string().contains("before the entry"), "{finding}");
    }
    // A body with more in it than the event.
    let mut entries = s.entries.clone();
    let body = entries[5].body_json.replacen('{', "{\"more\":1,", 1);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    entries[5] = Entry::after(&entries[4].digest, 5, entries[5].at, &body);
    let finding = audit::verify(&entries, Some(&s.authority), &s.sums).expect_err("found");
    assert_eq!((finding.sequence, *finding.breach), (5, Breach::Form));
    let mut entries = s.entries.clone();
    entries[5] = Entry::after(&entries[4].digest, 5, entries[5].at, &serde_json::json!({"event": "unheard_of"}));
    let finding = audit::verify(&entries, Some(&s.authority), &s.sums).expect_err("found");
    assert_eq!((finding.sequence, finding.kind.as_str()), (5, "unreadable"));
    let tasks = s.events.iter().filter_map(|(_, e)| match e {
        Event::RoundOpened { spec } => Task::from_json(&spec.task_json),
        _ => None,
    });
    assert!(tasks.count() > 4, "the story goes through every kind of round");
}

fn file() -> Vec<u8> {
    story().entries.iter().flat_map(|e| (e.line() + "\n").into_bytes()).collect()
}

fn read_and_verify(bytes: &[u8]) -> Result<Audit, Finding> {
    let s = story();
    audit::verify(&audit::read(bytes)?, Some(&s.authority), &s.sums)
}

#[test]
fn files() {
    assert!(read_and_verify(&file()).is_ok());
    assert!(matches!(*audit::read(b"").expect_err("empty").breach, Breach::Journal(_)));
    for garbage in [b"\n".as_slice(), b"\xff\xfe\n", b"{}\n", b"sequence,at\n0,1\n"] {
        let finding = audit::read(garbage).expect_err("no journal");
        assert_eq!((finding.sequence, finding.kind.as_str()), (0, "line"), "{finding}");
    }
    let text = String::from_utf8(file()).expect("UTF-8");
    assert!(audit::read(text.trim_end().as_bytes()).is_err(), "the last line has no end");
    let spaced = text.replacen("{\"sequence\":0,", "{ \"sequence\":0,", 1);
    assert_eq!(*audit::read(spaced.as_bytes()).expect_err("found").breach, Breach::Form);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_found_where_it_is(place in any::<prop::sample::Index>(), change in 1u8..) {
        let mut bytes = file();
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        let line = file()[..place].iter().filter(|b| **b == b'\n').count() as u64;
        let finding = read_and_verify(&bytes).expect_err("a changed byte is found");
        prop_assert!(finding.sequence <= line, "line {line}: {finding}");
        prop_assert_eq!(finding.sequence, line);
    }
}
