//! From a job's journal to the facts of its report.

pub mod joint;
pub mod learned;

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use haihe_protocol::{
    horizontal::scorecard::ScorecardResult,
    id::{PartyId, Timestamp},
    job::{JobKind, JobSpec},
    journal::{self, Entry, Event},
};
use haihe_simulations::rounds::round_facts;

use crate::{
    leaks::{Circumstances, leak_report},
    report::data::{CommitteeFacts, Note, PartyFacts, Report},
};

/// What the journal says about the rounds while it is read.
#[derive(Default)]
struct Reading {
    spec: Option<JobSpec>,
    name: String,
    job: String,
    opened: Timestamp,
    closed: Timestamp,
    committee: Option<CommitteeFacts>,
    parties: Vec<PartyId>,
    sent: BTreeMap<PartyId, u64>,
    contributions: [u64; 3],
    result: Option<String>,
}

impl Reading {
    fn read(&mut self, at: Timestamp, event: Event) -> anyhow::Result<()> {
        match event {
            Event::JobOpened { job, toml, .. } => {
                let spec = JobSpec::parse(&toml).map_err(|p| anyhow::anyhow!("the job file in the journal: {p:?}"))?;
                (self.name, self.job, self.opened) = (spec.job.name.clone(), job.to_string(), at);
                self.spec = Some(spec);
            }
            Event::RosterProposed { roster } => {
                self.parties = roster.entries.iter().map(|e| e.party.clone()).collect();
                self.committee = Some(CommitteeFacts {
                    members: roster.rule.members(),
                    privacy_threshold: roster.rule.privacy_threshold(),
                    answers_needed: roster.rule.answers_needed(),
                    minimum_contributors: roster.minimum_contributors,
                });
            }
            Event::ContributionAccepted { contribution, bytes } => {
                self.contributions[0] += 1;
                *self.sent.entry(contribution.party).or_default() += bytes;
            }
            Event::ContributionRejected { .. } => self.contributions[1] += 1,
            Event::ContributionLate { .. } => self.contributions[2] += 1,
            Event::Answered { answer } => {
                *self.sent.entry(answer.party).or_default() += answer.share_sum.len() as u64;
            }
            Event::JobFinished { result_json, .. } => (self.closed, self.result) = (at, Some(result_json)),
            Event::JobFailed { reason } => bail!("the job failed, there is nothing to report: {reason}"),
            Event::JobCancelled { by, reason } => bail!("the job was cancelled by {by}: {reason}"),
            _ => {}
        }
        Ok(())
    }
}

impl Reading {
    fn seconds(&self) -> f64 {
        self.closed.0.saturating_sub(self.opened.0) as f64 / 1000.0
    }

    fn parties(&self, describe: impl Fn(&PartyId) -> (String, String)) -> Vec<PartyFacts> {
        let facts = |party: &PartyId| {
            let (label, label_zh) = describe(party);
            let bytes_sent = self.sent.get(party).copied().unwrap_or(0);
            PartyFacts { party: party.clone(), label, label_zh, bytes_sent }
        };
        self.parties.iter().map(facts).collect()
    }
}

/// What the job of a journal learns; `None` if the journal does not begin with a job.
pub fn kind(entries: &[Entry]) -> Option<JobKind> {
    match entries.first()?.event::<Event>().ok()? {
        Event::JobOpened { toml, .. } => JobSpec::parse(&toml).ok().map(|spec| spec.kind()),
        _ => None,
    }
}

/// Reads a journal to its end; verifies the chain of digests first.
fn read(entries: &[Entry]) -> anyhow::Result<(Reading, String)> {
    journal::verify(entries)?;
    let mut reading = Reading::default();
    for entry in entries {
        reading.read(entry.at, entry.event()?)?;
    }
    let json = reading.result.take().context("the job is not finished; there is nothing to report yet")?;
    Ok((reading, json))
}

/// The facts of a finished scorecard job, from its journal; verifies the chain of digests first.
///
/// `describe` gives a party's name for people, English and Chinese.
pub fn report(
    entries: &[Entry],
    federation: &str,
    scheme: &str,
    describe: impl Fn(&PartyId) -> (String, String),
    notes: Vec<Note>,
) -> anyhow::Result<Report> {
    let (reading, json) = read(entries)?;
    let result: ScorecardResult = serde_json::from_str(&json).context("the result in the journal")?;
    let rounds = round_facts(entries)?;
    let circumstances = Circumstances { federation, scheme, ..Circumstances::default() };
    let leaks = leak_report(entries, &rounds, &result, &circumstances)?;
    let seconds = reading.seconds();
    Ok(Report {
        parties: reading.parties(describe),
        name: reading.name,
        job: reading.job,
        federation: federation.to_owned(),
        opened: rfc3339(reading.opened),
        seconds,
        scheme: scheme.to_owned(),
        committee: reading.committee.context("the journal has no roster")?,
        rounds,
        contributions: reading.contributions,
        result,
        comparison: None,
        leaks,
        notes,
    })
}

/// A time for people and programs.
pub fn rfc3339(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{} ms", at.0), |t| t.to_string())
}
