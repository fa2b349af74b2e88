//! From the journal of a job that trained a network or an anomaly model to the facts of its report.

use anyhow::{Context as _, bail};
use haihe_protocol::{horizontal::JobResult, id::PartyId, job::JobKind, journal::Entry};
use haihe_simulations::rounds::round_facts;

use super::{kind, read, rfc3339};
use crate::{
    leaks::{Circumstances, leak_report},
    report::learned::data::{AnomalyFacts, LearnedReport, Learnt, NetworkFacts, Note},
};

/// True if the journal is that of a job that trained a network or an anomaly model.
pub fn is_learned(entries: &[Entry]) -> bool {
    matches!(kind(entries), Some(JobKind::Network | JobKind::Anomaly))
}

/// The facts of a finished job, from its journal; verifies the chain of digests first.
///
/// `describe` gives a party's name for people, English and Chinese. What lies at the parties is left empty.
pub fn report(
    entries: &[Entry],
    circumstances: &Circumstances<'_>,
    describe: impl Fn(&PartyId) -> (String, String),
    notes: Vec<Note>,
) -> anyhow::Result<LearnedReport> {
    let (mut reading, json) = read(entries)?;
    let spec = reading.spec.take().context("the journal does not begin with a job")?;
    let result = JobResult::read(&spec, &json).context("the job is not made of sums")?;
    let result = result.context("the result in the journal")?;
    let learnt = match &result {
        JobResult::Network(result) => Learnt::Network(Box::new(NetworkFacts::of(spec.network.as_ref(), result))),
        JobResult::Anomaly(result) => {
            let population = spec.anomaly.as_ref().map(|a| a.population).unwrap_or_default();
            Learnt::Anomaly(Box::new(AnomalyFacts::of(population, result)))
        }
        JobResult::Scorecard(_) => bail!("the journal is that of a scorecard"),
    };
    let rounds = round_facts(entries)?;
    Ok(LearnedReport {
        leaks: leak_report(entries, &rounds, &result, circumstances)?,
        parties: reading.parties(describe),
        seconds: reading.seconds(),
        name: reading.name,
        job: reading.job,
        federation: circumstances.federation.to_owned(),
        opened: rfc3339(reading.opened),
        scheme: circumstances.scheme.to_owned(),
        committee: reading.committee.context("the journal has no roster")?,
        rounds,
        contributions: reading.contributions,
        learnt,
        flagged: Vec::new(),
        notes,
    })
}
