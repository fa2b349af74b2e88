//! From the journal of a vertical job to the facts of its report.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    id::{PartyId, Timestamp},
    job::JobSpec,
    journal::{self, Entry, Event},
    vertical::{
        exchange::ParcelHead,
        work::{FirmsAnnounced, JointResult},
    },
};

use super::rfc3339;
use crate::{
    leaks::{VerticalFacts, vertical as leaks_of},
    model::part::Folder,
    report::joint::data::{ExchangeFacts, HolderFacts, JointReport, Note, OwnerPart, Terms},
};

/// True if the journal is that of a vertical job.
pub fn is_joint(entries: &[Entry]) -> bool {
    let first = entries.first().and_then(|e| e.event::<Event>().ok());
    matches!(first, Some(Event::JobOpened { toml, .. }) if JobSpec::parse(&toml).is_ok_and(|s| s.vertical.is_some()))
}

/// What the journal says of a party.
#[derive(Default)]
struct Sent {
    firms: u64,
    letters: u64,
    bytes: u64,
    milliseconds: u64,
}

/// What the journal says while it is read.
#[derive(Default)]
struct Reading {
    spec: Option<JobSpec>,
    job: String,
    opened: Timestamp,
    closed: Timestamp,
    sent: BTreeMap<PartyId, Sent>,
    exchanges: Vec<ExchangeFacts>,
    /// When the present exchange was opened, and what was said in it.
    begun: Timestamp,
    phases: Vec<(PartyId, String)>,
    delays: u64,
    parcels: [u64; 3],
    result: Option<String>,
    session: Option<Digest>,
}

impl Reading {
    fn read(&mut self, at: Timestamp, event: Event) -> anyhow::Result<()> {
        match event {
            Event::JobOpened { job, toml, .. } => {
                let spec = JobSpec::parse(&toml).map_err(|p| anyhow::anyhow!("the job file in the journal: {p:?}"))?;
                (self.spec, self.job, self.opened) = (Some(spec), job.to_string(), at);
            }
            Event::ExchangeOpened { round, .. } => {
                self.begun = at;
                self.phases.clear();
                let exchange =
                    ExchangeFacts { exchange: round, phase: String::new(), letters: 0, bytes: 0, milliseconds: 0 };
                self.exchanges.push(exchange);
            }
            Event::ParcelAccepted { parcel, bytes } => self.parcel(at, &parcel, bytes),
            Event::ExchangeClosed { .. } => {
                let holder = self.spec.as_ref().and_then(|s| s.vertical.as_ref()).map(|v| v.label_holder.clone());
                let phase = spoken(&self.phases, holder.as_deref());
                if let Some(exchange) = self.exchanges.last_mut() {
                    exchange.phase = phase;
                    exchange.milliseconds = at.0.saturating_sub(self.begun.0);
                }
            }
            Event::ExchangeExtended { .. } => self.delays += 1,
            Event::ContributionRejected { .. } => self.parcels[1] += 1,
            Event::ContributionLate { .. } => self.parcels[2] += 1,
            Event::JobFinished { result_json, .. } => (self.closed, self.result) = (at, Some(result_json)),
            Event::JobFailed { reason } => bail!("the job failed, there is nothing to report: {reason}"),
            Event::JobCancelled { by, reason } => bail!("the job was cancelled by {by}: {reason}"),
            _ => {}
        }
        Ok(())
    }

    fn parcel(&mut self, at: Timestamp, parcel: &ParcelHead, bytes: u64) {
        self.parcels[0] += 1;
        self.session = Some(parcel.session);
        let letters = parcel.letters.len() as u64;
        let sent = self.sent.entry(parcel.party.clone()).or_default();
        sent.letters += letters;
        sent.bytes += bytes;
        sent.milliseconds += at.0.saturating_sub(self.begun.0);
        if let Ok(FirmsAnnounced { firms, .. }) = serde_json::from_str(&parcel.announcement.body_json) {
            sent.firms = u64::from(firms);
        }
        if let Some(exchange) = self.exchanges.last_mut() {
            exchange.letters += letters;
            exchange.bytes += bytes;
        }
        self.phases.push((parcel.party.clone(), parcel.announcement.phase.clone()));
    }

    fn holders(
        &self,
        spec: &JobSpec,
        result: &JointResult,
        describe: impl Fn(&PartyId) -> (String, String),
    ) -> Vec<HolderFacts> {
        let Some(vertical) = &spec.vertical else { return Vec::new() };
        let facts = |party: &PartyId| {
            let holder = vertical.holder(party)?;
            let (label, label_zh) = describe(party);
            let sent = self.sent.get(party);
            Some(HolderFacts {
                party: party.clone(),
                label,
                label_zh,
                label_holder: vertical.is_label_holder(party),
                view: holder.view.clone(),
                columns: holder.columns.len() as u32,
                columns_used: result.columns.get(party).copied().unwrap_or(0),
                firms: sent.map_or(0, |s| s.firms),
                letters: sent.map_or(0, |s| s.letters),
                bytes_sent: sent.map_or(0, |s| s.bytes),
                seconds: sent.map_or(0.0, |s| s.milliseconds as f64 / 1000.0),
            })
        };
        let mut holders: Vec<HolderFacts> = spec.job.parties.iter().filter_map(facts).collect();
        holders.sort_by_key(|h| !h.label_holder);
        holders
    }
}

/// What an exchange was about: what the label holder says of it, or another who does more than wait.
fn spoken(phases: &[(PartyId, String)], label_holder: Option<&str>) -> String {
    let busy = || phases.iter().filter(|(_, phase)| phase != "waits");
    let holder = busy().find(|(party, _)| Some(party.as_str()) == label_holder);
    holder.or_else(|| busy().next()).map_or_else(|| "waits".to_owned(), |(_, phase)| phase.clone())
}

/// The facts of a finished vertical job, from its journal; verifies the chain of digests first.
///
/// `describe` gives a party's name for people, English and Chinese. What lies at the parties is left empty.
pub fn report(
    entries: &[Entry],
    federation: &str,
    describe: impl Fn(&PartyId) -> (String, String),
    notes: Vec<Note>,
) -> anyhow::Result<JointReport> {
    journal::verify(entries)?;
    let mut reading = Reading::default();
    for entry in entries {
        reading.read(entry.at, entry.event()?)?;
    }
    let spec = reading.spec.take().context("the journal does not begin with a job")?;
    let vertical = spec.vertical.as_ref().context("the journal is not that of a vertical job")?;
    ensure!(
        spec.scoring.is_none(),
        "the job scored firms and learned nothing: its scores lie at {}, and a report is made of the job that learned the model",
        vertical.label_holder
    );
    let json = reading.result.take().context("the job is not finished; there is nothing to report yet")?;
    let result: JointResult = serde_json::from_str(&json).context("the result in the journal")?;
    let firms = reading.sent.iter().map(|(party, sent)| (party.clone(), sent.firms)).collect();
    let facts = VerticalFacts::learned(&reading.job, federation, firms, &result);
    Ok(JointReport {
        leaks: leaks_of(&spec, &facts).context("the label holder is not among the parties")?,
        terms: Terms {
            encoding: vertical.encoding,
            scaling: vertical.scaling.clone(),
            max_firms: vertical.alignment.max_firms,
            min_common: vertical.alignment.min_common,
            minimum_group: [vertical.woe.minimum_goods, vertical.woe.minimum_bads],
            ridge: vertical.regression.ridge,
        },
        holders: reading.holders(&spec, &result, describe),
        name: spec.job.name,
        job: reading.job,
        session: reading.session.context("a finished job without a parcel")?,
        federation: federation.to_owned(),
        opened: rfc3339(reading.opened),
        seconds: reading.closed.0.saturating_sub(reading.opened.0) as f64 / 1000.0,
        exchanges: reading.exchanges,
        delays: reading.delays,
        parcels: reading.parcels,
        result,
        comparison: None,
        evaluation: None,
        owners: Vec::new(),
        scorings: Vec::new(),
        notes,
    })
}

/// Puts a party's own part beside what the journal says.
///
/// # Errors
/// If the folder is of another job, or of a party whose part is there already.
pub fn add_part(report: &mut JointReport, folder: Folder) -> anyhow::Result<()> {
    let Folder { path, of, block, evaluation } = folder;
    ensure!(
        of.session == report.session,
        "{} is of the job {:?}, another one than the journal's: name the folder of job {}",
        path.display(),
        of.name,
        report.job
    );
    ensure!(
        report.owners.iter().all(|o| o.party != of.party),
        "{}: {}'s part is given twice",
        path.display(),
        of.party
    );
    report.owners.push(OwnerPart { party: of.party, block });
    report.owners.sort_by_key(|o| report.holders.iter().position(|h| h.party == o.party));
    report.evaluation = evaluation.or(report.evaluation.take());
    Ok(())
}
