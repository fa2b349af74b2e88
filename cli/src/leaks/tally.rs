//! How often each class of messages crossed the wire, as a job's journal tells.

use std::collections::BTreeMap;

use haihe_protocol::{
    checkpoint::origin,
    id::{JobId, PartyId},
    job::JobSpec,
    journal::{Entry, Event},
    message::RoundSpec,
    roster::Roster,
};
use haihe_simulations::simulation::Traffic;

use super::PartialRound;

/// What a journal says about messages and rounds.
#[derive(Default)]
pub(super) struct Read {
    pub(super) spec: Option<JobSpec>,
    pub(super) job: String,
    pub(super) roster: Option<Roster>,
    pub(super) tallies: BTreeMap<&'static str, Traffic>,
    pub(super) partial_rounds: Vec<PartialRound>,
    /// Bytes of a checkpoint without the digits of its size.
    checkpoint_bytes: u64,
    /// The present round, and who is missing from its sum.
    round: Option<RoundSpec>,
    missing: Vec<PartyId>,
    /// Sealed shares of the present round.
    share_bytes: u64,
    /// Heads of the parcels of the present exchange.
    head_bytes: u64,
}

/// Reads a journal to its end.
pub(super) fn read(entries: &[Entry], federation: &str) -> anyhow::Result<Read> {
    let mut read = Read::default();
    for entry in entries {
        read.event(entry.sequence, entry.event()?, federation)?;
    }
    Ok(read)
}

/// A signed note: origin, size, root, an empty line, and one signature under the coordinator's name.
fn checkpoint_bytes(federation: &str, job: &JobId) -> u64 {
    const ROOT: usize = 44;
    const SIGNATURE: usize = 92;
    let name = format!("haihe/{federation}/coordinator");
    (origin(federation, job).len() + 1 + 1 + ROOT + 1 + 1 + "— ".len() + name.len() + 1 + SIGNATURE + 1) as u64
}

impl Read {
    fn add(&mut self, class: &'static str, count: u64, bytes: u64) {
        let tally = self.tallies.entry(class).or_default();
        tally.count += count;
        tally.bytes += bytes;
    }

    /// Something that a participant sent and that is acknowledged.
    fn said(&mut self, class: &'static str, bytes: u64) {
        self.add(class, 1, bytes);
        self.add("receipt", 1, 0);
    }

    fn parties(&self) -> u64 {
        self.roster.as_ref().map_or(0, |r| r.entries.len() as u64)
    }

    fn checkpoints(&mut self, count: u64, size: u64) {
        let digits = (size + 1).to_string().len() as u64;
        self.add("checkpoint", count, count * (self.checkpoint_bytes + digits));
    }

    fn event(&mut self, sequence: u64, event: Event, federation: &str) -> anyhow::Result<()> {
        match event {
            Event::JobOpened { job, toml, .. } => {
                let spec = JobSpec::parse(&toml).map_err(|p| anyhow::anyhow!("the job file in the journal: {p:?}"))?;
                let (bytes, invited) = (toml.len() as u64, spec.job.parties.len() as u64);
                self.add("submission", 1, bytes);
                self.add("job offer", invited, invited * bytes);
                self.checkpoint_bytes = checkpoint_bytes(federation, &job);
                (self.job, self.spec) = (job.to_string(), Some(spec));
            }
            Event::Joined { join } => self.said("join", join.signing_certificate.len() as u64 + 160),
            Event::Declined { decline } => self.said("decline", decline.reason.len() as u64),
            Event::RosterProposed { roster } => {
                let bytes: u64 = roster.entries.iter().map(|e| e.signing_certificate.len() as u64 + 160).sum();
                let to = roster.entries.len() as u64;
                self.add("roster", to, to * bytes);
                self.roster = Some(roster);
            }
            Event::Confirmed { confirmation } => {
                self.said("confirmation", 192);
                if let Some(key) = confirmation.check_key {
                    self.add("check key", 1, 32 + key.sealed.iter().map(|s| s.len() as u64).sum::<u64>());
                }
            }
            Event::RoundOpened { spec } => {
                let to = self.parties();
                self.add("round (M1)", to, to * (spec.task_json.len() as u64 + 200));
                self.checkpoints(to, sequence);
                (self.round, self.share_bytes) = (Some(spec), 0);
            }
            Event::ContributionAccepted { contribution, bytes } => {
                self.said("contribution (M2)", bytes);
                self.share_bytes += bytes.saturating_sub(contribution.ciphertext_bytes);
            }
            Event::ContributionRejected { .. } | Event::ContributionLate { .. } => self.add("receipt", 1, 0),
            Event::ContributionsClosed { survivors, .. } => self.contributions_closed(sequence, &survivors),
            Event::Answered { answer } => self.said("answer (M4)", answer.share_sum.len() as u64),
            Event::Objected { objection } => self.said("objection", objection.reason.len() as u64 + 160),
            Event::SumOpened { round, summary, .. } => self.sum_opened(round, summary.step),
            Event::JobFinished { result_json, .. } => {
                let to = self.parties();
                self.add("job closed", to, to * result_json.len() as u64);
                self.checkpoints(to, sequence);
            }
            Event::ExchangeOpened { .. } => {
                let (to, heads) = (self.parties(), std::mem::take(&mut self.head_bytes));
                self.add("exchange (X2)", to, to * (heads + 200));
                self.checkpoints(to, sequence);
            }
            Event::ParcelAccepted { parcel, bytes } => {
                self.said("parcel (X1)", bytes);
                self.head_bytes += bytes.saturating_sub(parcel.body_bytes()) + 200;
            }
            Event::SessionOpened { .. }
            | Event::ExchangeClosed { .. }
            | Event::ExchangeExtended { .. }
            | Event::RoundLost { .. }
            | Event::JobFailed { .. }
            | Event::JobCancelled { .. } => {}
        }
        Ok(())
    }

    fn contributions_closed(&mut self, sequence: u64, survivors: &[PartyId]) {
        let Some(roster) = &self.roster else { return };
        let members = u64::from(roster.rule.members());
        let entries = roster.entries.iter().map(|e| &e.party);
        self.missing = entries.filter(|p| !survivors.contains(p)).cloned().collect();
        // Each member gets its shares, and every survivor's signed head with the digests of all shares.
        let heads = survivors.len() as u64 * members * (180 + 32 * members);
        self.add("survivors (M3)", members, self.share_bytes + heads);
        self.checkpoints(members, sequence);
    }

    fn sum_opened(&mut self, round: u64, step: String) {
        let to = self.parties();
        if let Some(spec) = &self.round {
            let bytes = 8 * spec.parameters.dimension() as u64 + spec.task_json.len() as u64 + 200;
            self.add("closed round (M5)", to, to * bytes);
        }
        let missing = std::mem::take(&mut self.missing);
        if !missing.is_empty() {
            self.partial_rounds.push(PartialRound { round, step, missing });
        }
    }
}
