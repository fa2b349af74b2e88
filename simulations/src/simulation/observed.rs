//! What a run with cheats came to: who noticed what, and whether an honest party was led to accept or say something wrong.

use std::collections::BTreeMap;

use haihe_participant::member::{MemberError, Note};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    contribution::ContributeError,
    error::{Fault as Blame, Violation},
    id::PartyId,
    journal::Event,
    state::Phase,
};

use super::{Federation, SimulationError};
use crate::cheat::Cheat;

/// Something that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Noticed {
    /// The participant that refused it; `None` for the coordinator.
    pub by: Option<PartyId>,
    /// The rule that was broken. The coordinator tells a sender its words only.
    pub violation: Option<Violation>,
    /// In words.
    pub reason: String,
}

/// A run with cheats.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The result, or why there is none; as the coordinator recorded it.
    pub ended: Result<String, String>,
    /// What was refused, in order.
    pub noticed: Vec<Noticed>,
    /// Every participant's own journal.
    pub notes: BTreeMap<PartyId, Vec<Note>>,
    /// The coordinator's journal.
    pub events: Vec<Event>,
    /// How often somebody lied: a test of a lie that was never told tests nothing.
    pub lies: u64,
    /// What must not happen to honest parties and did.
    pub harm: Vec<String>,
}

/// The rule that an error is about.
pub(super) fn violation(error: &MemberError) -> Option<&Violation> {
    match error {
        MemberError::Violation(violation) | MemberError::Contribute(ContributeError::Violation(violation)) => {
            Some(violation)
        }
        _ => None,
    }
}

impl Federation {
    /// Runs a job in which somebody cheats to its end.
    ///
    /// # Errors
    /// If the job does not end, or the coordinator's records cannot be read.
    pub fn observe(mut self) -> Result<Observed, SimulationError> {
        self.go_on(|_| {})?;
        let seed = self.options.seed;
        let unreadable = |detail: String| SimulationError::Disagreement { seed, detail };
        let replayed = self.coordinator.replay().map_err(|source| SimulationError::Journal { seed, source })?;
        let ended = match replayed.job().phase() {
            Phase::Finished { result_json, .. } => Ok(result_json.clone()),
            Phase::Stopped { reason, .. } => Err(reason.clone()),
            _ => return Err(self.stuck()),
        };
        let mut notes = BTreeMap::new();
        for party in &self.parties {
            let entries = party.fresh_member().journal(&self.job).map_err(|e| unreadable(e.to_string()))?;
            let own = entries.iter().map(|e| e.event::<Note>()).collect::<Result<Vec<_>, _>>();
            notes.insert(party.disk.name.clone(), own.map_err(|e| unreadable(e.to_string()))?);
        }
        let events = self.coordinator.journal.iter().map(|e| e.event::<Event>()).collect::<Result<Vec<_>, _>>();
        let events = events.map_err(|e| unreadable(e.to_string()))?;
        let mut harm = std::mem::take(&mut self.harm);
        for (party, notes) in &notes {
            if !self.cheats(Some(party)) {
                harm.extend(self.harm_of(party, notes).into_iter().map(|what| format!("{party} {what}")));
            }
        }
        harm.extend(self.wrongly_accused(&events));
        let story = self.story(false).map_err(unreadable)?;
        // A sum that was spoilt and refused harms nobody; a result that rests on one would.
        if ended.is_ok()
            && let Err(wrong) = self.sums_are_those_of_the_survivors(&story)
        {
            harm.push(wrong);
        }
        let lies = self.coordinator.liar.told + self.parties.iter().map(super::Party::lies_told).sum::<u64>();
        Ok(Observed { ended, noticed: self.noticed, notes, events, lies, harm })
    }

    /// Does a participant cheat, or the coordinator?
    fn cheats(&self, party: Option<&PartyId>) -> bool {
        self.options.cheats.iter().any(|cheat| cheat.by() == party)
    }

    fn cheats_as(&self, blamed: &Blame) -> bool {
        match blamed {
            Blame::Coordinator => self.cheats(None),
            Blame::Participant(party) => self.cheats(Some(party)),
            Blame::CoordinatorOrContributor => !self.options.cheats.is_empty(),
            Blame::Job => false,
        }
    }

    /// What an honest participant accepted, said twice, or said of others who are honest.
    fn harm_of(&self, party: &PartyId, notes: &[Note]) -> Vec<String> {
        let (mut transcripts, mut closed) = (BTreeMap::<u64, Vec<Digest>>::new(), BTreeMap::<u64, Digest>::new());
        let (mut end, mut harm) = (None, Vec::new());
        for entry in self.coordinator.liar.replaced.iter().chain(&self.coordinator.journal) {
            match entry.event::<Event>() {
                Ok(Event::SumOpened { round, transcript, .. }) => {
                    transcripts.entry(round).or_default().push(transcript);
                    end = Some(transcript);
                }
                Ok(Event::ExchangeClosed { transcript, .. }) => end = Some(transcript),
                Ok(Event::ContributionsClosed { round, digest, .. }) => {
                    closed.entry(round).or_insert(digest);
                }
                _ => {}
            }
        }
        let (mut contributed, mut answered) = (Vec::new(), Vec::new());
        for note in notes {
            match note {
                Note::Contributed { round, .. } if contributed.contains(round) => {
                    harm.push(format!("contributed twice to round {round}"));
                }
                Note::Contributed { round, .. } => contributed.push(*round),
                Note::Exchanged { round, .. } if contributed.contains(round) => {
                    harm.push(format!("sealed two parcels for exchange {round}"));
                }
                Note::Exchanged { round, .. } => contributed.push(*round),
                Note::Answered { round, survivors, .. } => {
                    if answered.contains(round) || closed.get(round) != Some(survivors) {
                        harm.push(format!("answered round {round} twice, or for others than all were asked for"));
                    }
                    answered.push(*round);
                }
                Note::Witnessed { round, transcript, .. }
                    if !transcripts.get(round).is_some_and(|known| known.contains(transcript)) =>
                {
                    harm.push(format!("accepted a wrong sum of round {round}"));
                }
                Note::Closed { transcript: Some(transcript), .. } if end != Some(*transcript) => {
                    harm.push("accepted a wrong end of the job".to_owned());
                }
                Note::Objected { against, reason, .. } if !self.cheats_as(against) => {
                    harm.push(format!("blames {against}, who is honest: {reason}"));
                }
                _ => {}
            }
        }
        let refused = self.noticed.iter().filter(|n| n.by.as_ref() == Some(party));
        for violation in refused.filter_map(|n| n.violation.as_ref()) {
            if !self.cheats_as(&violation.fault()) {
                harm.push(format!("blames {}, who is honest: {violation}", violation.fault()));
            }
        }
        harm
    }

    /// What an honest coordinator recorded against honest participants.
    fn wrongly_accused(&self, events: &[Event]) -> Vec<String> {
        if self.cheats(None) {
            return Vec::new();
        }
        let mut harm = Vec::new();
        for event in events {
            match event {
                Event::ContributionRejected { party, reason, .. } if !self.cheats(Some(party)) => {
                    harm.push(format!("{party} is rejected: {reason}"));
                }
                Event::SumOpened { wrong_answers, .. } => {
                    let honest = wrong_answers.iter().filter(|party| !self.cheats(Some(party)));
                    harm.extend(honest.map(|party| format!("an answer of {party} is called wrong")));
                }
                _ => {}
            }
        }
        harm
    }

    /// A published result that an honest participant took for the result.
    pub(super) fn note_result(&mut self, party: usize, json: &str) {
        let truth = self.coordinator.engine.as_ref().map(|engine| engine.job().phase());
        let name = &self.parties[party].disk.name;
        let same = matches!(truth, Some(Phase::Finished { result_json, .. }) if result_json == json);
        if !same && !self.options.cheats.iter().any(|c: &Cheat| c.by() == Some(name)) {
            self.harm.push(format!("{name} kept a wrong result"));
        }
    }
}
