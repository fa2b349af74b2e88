//! Vertical jobs in a simulation: letters are fetched, steps taken, and what came of it.

use haihe_participant::member::{Due, MemberError};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    id::{JobId, PartyId},
    journal::{self, Entry},
    state::Counters,
    vertical::work::Kept,
};

use super::{
    BTreeMap, Federation, PartyRecord, Progress, SimulationError, Traffic,
    message::{Ask, Said},
};

/// A finished simulation of a vertical job.
#[derive(Clone, Debug)]
pub struct VerticalOutcome {
    /// Repeats the run.
    pub seed: u64,
    /// Job.
    pub job: JobId,
    /// Who was in the session, by index.
    pub parties: Vec<PartyId>,
    /// The public result, as the label holder signed it.
    pub result_json: String,
    /// What each party keeps for itself.
    pub kept: BTreeMap<PartyId, Kept>,
    /// Exchanges that were closed: step and what came of it.
    pub exchanges: Vec<(String, String)>,
    /// Bytes that the coordinator received from each party: letters, sealed keys, announcements.
    pub bytes: BTreeMap<PartyId, u64>,
    /// Writes to each party's vault.
    pub writes: BTreeMap<PartyId, u64>,
    /// What was sent, by kind of message.
    pub traffic: BTreeMap<&'static str, Traffic>,
    /// Parcels accepted, rejected, late; exchanges closed, and deadlines that passed without somebody.
    pub counters: Counters,
    /// Virtual milliseconds from opening to result.
    pub virtual_ms: u64,
    /// The coordinator's journal.
    pub journal: Vec<Entry>,
    /// Digest of its last entry: equal digests, equal runs.
    pub tip: Digest,
    /// Certificate of the federation's authority, DER.
    pub authority: Vec<u8>,
    /// What each participant has on its disk for an auditor.
    pub records: BTreeMap<PartyId, PartyRecord>,
    /// What participants and coordinator refused on the way.
    pub remarks: Vec<String>,
}

impl Federation {
    /// Does what a party is asked, as a deployed participant does. `None` if it says nothing.
    pub(super) fn work(&mut self, party: usize, ask: &Ask) -> Result<Option<Said>, MemberError> {
        if !matches!(ask, Ask::Exchange { .. }) {
            return self.parties[party].perform(self.now, &self.job, ask);
        }
        let name = self.parties[party].disk.name.clone();
        let taking = match self.parties[party].due(self.now, &self.job, ask)? {
            None => return Ok(None),
            Some(Due::Send(head)) => return self.parties[party].parcel(&self.job, head),
            Some(Due::Take(taking)) => taking,
        };
        let announced = taking.letters(&name);
        let mut letters = Vec::new();
        if !announced.is_empty() {
            // The coordinator cannot be reached, or has something else to say now.
            let Ok(shown) = self.coordinator.letters(&name, taking.letters_of()) else { return Ok(None) };
            self.count_traffic("letters (X3)", shown.iter().map(|l| l.body.len() as u64).sum());
            letters = shown;
        }
        let steps = self.options.steps.clone();
        self.parties[party].take(self.now, &self.job, *taking, letters, &*steps)
    }

    /// Runs a vertical job to its end. `progress` hears of every journal entry.
    ///
    /// # Errors
    /// If the job fails, if nothing happens although all deadlines passed, or if afterwards the records do not agree.
    pub fn run_vertical(mut self, progress: impl FnMut(&Progress)) -> Result<VerticalOutcome, SimulationError> {
        self.go_on(progress)?;
        let seed = self.options.seed;
        let journal_error = |source| SimulationError::Journal { seed, source };
        let disagreement = |detail: String| SimulationError::Disagreement { seed, detail };
        let (replayed, result_json, finished) = self.ended()?;
        let job = replayed.job();
        let records = self.records().map_err(|e| disagreement(e.to_string()))?;
        let mut kept = BTreeMap::new();
        for party in &self.parties {
            let files = party.fresh_member().kept(&self.job).map_err(|e| disagreement(e.to_string()))?;
            kept.insert(party.disk.name.clone(), files.unwrap_or_default());
        }
        let roster = super::last_roster(&self.coordinator.journal).map_err(journal_error)?;
        Ok(VerticalOutcome {
            seed,
            job: self.job,
            parties: roster.map(|r| r.parties()).unwrap_or_default(),
            result_json,
            kept,
            exchanges: job.history().iter().map(|s| (s.step.clone(), s.text.clone())).collect(),
            bytes: self.spec.job.parties.iter().map(|p| (p.clone(), job.bytes_from(p))).collect(),
            writes: self.parties.iter().map(|p| (p.disk.name.clone(), p.disk.vault.writes_done())).collect(),
            counters: job.counters(),
            virtual_ms: finished.0 - super::OPENED.0,
            tip: journal::verify(&self.coordinator.journal).map_err(journal_error)?,
            traffic: self.traffic,
            authority: self.authority,
            records,
            journal: self.coordinator.journal,
            remarks: self.remarks,
        })
    }
}
