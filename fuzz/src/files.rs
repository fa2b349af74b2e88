//! Files and texts: job files, configurations, scorecards, keys, certificates, journals.

use std::path::Path;

use haihe_coordinator::config::CoordinatorConfig;
use haihe_models::{export, scorecard::Scorecard, scorecard::Value};
use haihe_participant::{config::ParticipantConfig, policy::Policy};
use haihe_privacy::{
    digest::Digest,
    identity::verify_member_certificate,
    seal::SealingPublicKey,
    sign::{Signature, SigningKey, VerifyingKey},
};
use haihe_protocol::{
    horizontal::scorecard::ScorecardResult,
    job::JobSpec,
    journal::{self, Entry, Event},
    state::{Command, Job},
};

use crate::{
    scene::{self, JOB, NOW, course, federation},
    world,
};

fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// A job file as an operator or a coordinator sends it.
pub(crate) fn job(input: &[u8]) {
    let Some(text) = text(input) else { return };
    match JobSpec::parse(text) {
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal without a reason");
            problems.iter().for_each(|p| drop(p.to_string()));
        }
        Ok(spec) => {
            let parties = spec.job.parties.len() as u32;
            let rule = spec.committee_rule(parties).expect("a valid job has a rule");
            assert!(spec.min_parties() >= rule.minimum_contributors() && spec.min_parties() <= parties);
            let plan = haihe_protocol::horizontal::Plan::begin(&spec);
            // Whatever a job asks first, its layout exists.
            plan.task().layout(&spec, parties, 2).expect("a valid job has a first task");
            let event = Job::open(&spec, text, "fuzz", NOW);
            let entry = Entry::after(&Entry::genesis(), 0, NOW, &event);
            Job::replay(&[entry], federation().trust(), Vec::new()).expect("a valid job opens");
        }
    }
}

const SERIES: &str = "[data.series]\nview = \"months\"\nkey = \"id\"\nmonth = \"month\"\nsteps = 3\nlast = \"2020-02\"\n\
                      channels = [\"a\", \"b\"]\n";

pub(crate) fn job_seeds() -> Vec<Vec<u8>> {
    let per_party = JOB.replace("cells = 10", "cells = 10, per_party = true\n");
    let all = [
        JOB.to_owned(),
        per_party,
        scene::job_of(&["bj", "he", "tj", "sx"], "min_parties = 3"),
        JOB.replace("[deadlines]", "[secure_sum]\nvalue_bits = 24\nadversary = \"semi-honest\"\n[deadlines]"),
        JOB.replace("[deadlines]", &format!("{SERIES}[deadlines]")),
        format!("{JOB}local = {{ recalibrate = \"offset\" }}\n"),
    ];
    all.into_iter().map(String::into_bytes).collect()
}

/// Policy and configurations.
pub(crate) fn configs(input: &[u8]) {
    let Some((kind, input)) = input.split_first() else { return };
    let Some(text) = text(input) else { return };
    let path = Path::new("fuzz.toml");
    match kind % 3 {
        0 => drop(Policy::parse(text).map_err(|e| e.to_string())),
        1 => drop(ParticipantConfig::parse(text, path).map_err(|e| e.to_string())),
        _ => drop(CoordinatorConfig::parse(text, path).map_err(|e| e.to_string())),
    }
}

pub(crate) fn configs_seeds() -> Vec<Vec<u8>> {
    let samples =
        [haihe_participant::policy::SAMPLE, haihe_participant::config::SAMPLE, haihe_coordinator::config::SAMPLE];
    samples.iter().enumerate().map(|(kind, text)| [&[kind as u8], text.as_bytes()].concat()).collect()
}

/// A scorecard, exported or published, and what is done with it: scoring and printing.
pub(crate) fn scorecard(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(scorecard) = export::read_scorecard(text) {
        let again = export::scorecard_json(&scorecard).expect("encodes");
        assert_eq!(export::read_scorecard(&again).expect("reads what was written"), scorecard);
        use_scorecard(&scorecard);
    }
    if let Ok(result) = serde_json::from_str::<ScorecardResult>(text)
        && result.scorecard.check().is_ok()
    {
        use_scorecard(&result.scorecard);
    }
}

fn use_scorecard(scorecard: &Scorecard) {
    drop(export::scorecard_csv(scorecard));
    drop(scorecard.assess(|_| Value::Number(1.5)));
    drop(scorecard.assess(|_| Value::Text("b".to_owned())));
    let (spec, ..) = course();
    let table = scene::table(spec, 0);
    if let Ok(bound) = scorecard.bind(&table) {
        (0..bound.rows()).for_each(|row| drop(bound.assess(row)));
    }
    drop(haihe_protocol::horizontal::scorecard::local_result(spec, scorecard, &table).map_err(|e| e.to_string()));
}

pub(crate) fn scorecard_seeds() -> Vec<Vec<u8>> {
    let result = &course().2;
    let read: ScorecardResult = serde_json::from_str(result).expect("a result");
    vec![export::scorecard_json(&read.scorecard).expect("encodes").into_bytes(), result.clone().into_bytes()]
}

/// Keys, digests and signatures as text.
pub(crate) fn keys(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(key) = SigningKey::from_pkcs8_pem(text) {
        let pem = key.to_pkcs8_pem().expect("encodes");
        let again = SigningKey::from_pkcs8_pem(&pem).expect("reads what was written");
        assert_eq!(again.verifying_key(), key.verifying_key());
    }
    let digest = Digest::parse(text);
    if let Ok(digest) = &digest {
        assert_eq!(digest.to_hex(), text);
    }
    if let (Ok(key), Ok(digest)) = (VerifyingKey::parse(text), &digest) {
        assert!(key.verify(digest, &Signature::from_bytes([0; 64])).is_err());
    }
    if let Ok(key) = SealingPublicKey::parse(text) {
        let _ = key.is_usable();
    }
    let _ = Signature::parse(text);
    drop(haihe_protocol::id::PartyId::new(text));
}

pub(crate) fn keys_seeds() -> Vec<Vec<u8>> {
    let key = federation().key("bj");
    let public = key.verifying_key();
    let digest = Digest::from_bytes([3; 32]);
    vec![
        key.to_pkcs8_pem().expect("encodes").as_bytes().to_vec(),
        public.to_string().into_bytes(),
        digest.to_hex().into_bytes(),
        key.sign(&digest).to_string().into_bytes(),
        b"lender-08".to_vec(),
    ]
}

/// A member's certificate.
pub(crate) fn certificate(input: &[u8]) {
    let authority = federation().authority();
    if let Ok(member) = verify_member_certificate(&authority, input, NOW.unix_seconds()) {
        assert!(haihe_protocol::id::PartyId::new(member.party.as_str()).is_ok(), "{:?}", member.party);
        assert!(member.not_after >= NOW.unix_seconds());
        assert_eq!(member.federation, "fuzz", "nobody but the authority signs");
    }
    // Somebody's authority.
    drop(verify_member_certificate(input, input, i64::MIN));
    drop(verify_member_certificate(input, &federation().certificate("bank", "bj"), i64::MAX));
}

pub(crate) fn certificate_seeds() -> Vec<Vec<u8>> {
    vec![
        federation().certificate("bank", "bj"),
        federation().certificate("coordinator", "coordinator"),
        federation().authority(),
    ]
}

/// A journal: lines, the chain, and the job that they rebuild. The chain is repaired first, as whoever owns a journal can
/// do, so that what is behind it is reached.
pub(crate) fn journal(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let entries: Vec<Entry> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    drop(journal::verify(&entries).map_err(|e| e.to_string()));
    let mut tip = Entry::genesis();
    let mut repaired: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Ok(event) = entry.event::<Event>() else { break };
        let again = Entry::after(&tip, repaired.len() as u64, entry.at, &event);
        tip = again.digest;
        repaired.push(again);
    }
    assert!(journal::verify(&repaired).is_ok());
    let certificate = federation().certificate("coordinator", "coordinator");
    let Ok(mut job) = Job::replay(&repaired, federation().trust(), certificate) else { return };
    // Whatever was replayed can be looked at, and goes on.
    for party in job.head().spec.job.parties.clone() {
        drop((job.directive(&party), job.party_state(&party), job.bytes_from(&party)));
    }
    drop((job.awaiting(), job.next_deadline(), job.closed_after(0)));
    let last = repaired.last().map_or(NOW, |e| e.at);
    for step in 0..4u64 {
        let now = last.plus_seconds(step * 700_000);
        for event in job.decide(now, Command::Tick).unwrap_or_default() {
            job.apply(now, event);
        }
        drop(job.ready_to_open(now));
    }
    let sum = job.asked().map(|(spec, ..)| vec![7; spec.parameters.dimension().min(4096)]);
    if let Some(sum) = sum {
        drop(job.decide(last, Command::Opened { sum, wrong_answers: Vec::new() }));
    }
}

pub(crate) fn journal_seeds() -> Vec<Vec<u8>> {
    let lines: Vec<String> = world::reference(3).journal.iter().map(Entry::line).collect();
    let until = |n: usize| lines[..n.min(lines.len())].join("\n").into_bytes();
    [1, 3, 6, 9, 12, 16, 24, 40, usize::MAX].map(until).to_vec()
}
