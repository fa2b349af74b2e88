//! The exchanges of a vertical job, as decide and apply.
//!
//! Every party of the roster is needed in every exchange: one that stays away is named and waited for again, and when
//! patience is used up the job fails with its name. A party that objects ends the job at once.

use super::*;
use crate::{
    checkpoint::TreeHead,
    horizontal::Summary,
    vertical::exchange::{Expected, ParcelHead, completed, exchange_transcript},
    witness::result_digest,
};

/// Waiting for the parcels of an exchange; or, with none open, between exchanges.
#[derive(Clone, Debug)]
pub struct Exchanging {
    pub(super) session: Session,
    /// The last exchange's number.
    pub(super) round: u64,
    /// Transcript of the last closed exchange; before the first, the session.
    pub(super) transcript: Digest,
    pub(super) open: Option<Open>,
    pub(super) accepted: BTreeMap<PartyId, ParcelHead>,
    /// Why a parcel of the present exchange was refused.
    pub(super) rejected: BTreeMap<PartyId, String>,
    /// Who was waited for in vain in the present exchange.
    pub(super) absent: BTreeSet<PartyId>,
    pub(super) objections: BTreeMap<PartyId, Objection>,
    /// The parcels of the last closed exchange, in the roster's order.
    pub(super) last: Vec<ParcelHead>,
}

/// How long an exchange is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) deadline: Timestamp,
    /// How often its deadline was put off.
    pub(super) attempt: u32,
}

impl Exchanging {
    pub(super) fn begin(session: Session) -> Self {
        Self {
            transcript: session.digest(),
            session,
            round: 0,
            open: None,
            accepted: BTreeMap::new(),
            rejected: BTreeMap::new(),
            absent: BTreeSet::new(),
            objections: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    /// Who has not sent its parcel yet.
    pub(super) fn missing(&self) -> Vec<PartyId> {
        let entries = self.session.roster().entries.iter().map(|e| &e.party);
        entries.filter(|p| !self.accepted.contains_key(p)).cloned().collect()
    }

    /// The parcel of a party in the present exchange or in the last closed one.
    fn parcel_of(&self, party: &PartyId, round: u64) -> Option<&ParcelHead> {
        let present = self.accepted.get(party).filter(|p| p.round == round);
        present.or_else(|| self.last.iter().find(|p| p.party == *party && p.round == round))
    }

    /// What is done in the present exchange, as far as somebody has said.
    fn phase(&self, spec: &JobSpec) -> String {
        let said = |heads: &mut dyn Iterator<Item = &ParcelHead>| {
            // A side that has nothing to say in an exchange waits for the other.
            let heads: Vec<&ParcelHead> = heads.filter(|h| h.announcement.phase != "waits").collect();
            let holder = heads.iter().find(|h| is_label_holder(spec, &h.party));
            holder.or(heads.first()).map(|h| h.announcement.phase.clone())
        };
        match said(&mut self.accepted.values()) {
            Some(phase) => phase,
            None => said(&mut self.last.iter()).map_or("the first one".to_owned(), |phase| format!("after {phase}")),
        }
    }

    fn deadline(&self, spec: &JobSpec, now: Timestamp) -> Timestamp {
        now.plus_seconds(spec.deadlines.round_seconds)
    }

    /// One line about the exchange that is being closed.
    fn summary(&self, spec: &JobSpec) -> Summary {
        let letters: usize = self.accepted.values().map(|h| h.letters.len()).sum();
        let bytes = self.accepted.values().map(ParcelHead::bytes).fold(0, u64::saturating_add);
        Summary {
            step: self.phase(spec),
            text: format!("{} parcels with {letters} letters, {bytes} bytes", self.accepted.len()),
            figures: [("letters".to_owned(), letters as f64), ("bytes".to_owned(), bytes as f64)].into(),
        }
    }
}

fn is_label_holder(spec: &JobSpec, party: &PartyId) -> bool {
    spec.vertical.as_ref().is_some_and(|v| v.is_label_holder(party))
}

/// Why a job that needs a party ends, and what can be done about it.
fn stayed_away(ex: &Exchanging, missing: &[PartyId], spec: &JobSpec) -> String {
    let (seconds, times) = (spec.deadlines.round_seconds, spec.deadlines.attempts);
    let (whose, they) = if missing.len() == 1 { ("its parcel", "it was") } else { ("their parcels", "they were") };
    let mut reason = format!(
        "{} did not send {whose} of exchange {} ({}) within {seconds} s, {times} times",
        decide::names(missing),
        ex.round,
        ex.phase(spec)
    );
    for (party, rule) in ex.rejected.iter().filter(|(party, _)| missing.contains(party)) {
        reason.push_str(&format!("; a parcel of {party} was rejected: {rule}"));
    }
    reason.push_str(&format!(
        ". Bring them back and submit the job again; if the log there says that {they} still computing, raise \
         deadlines.round_seconds"
    ));
    reason
}

impl Job {
    /// What a parcel must fit to, if an exchange is open. `journal` is the journal's head at its beginning.
    pub fn expected_parcel<'a>(&'a self, journal: &'a TreeHead) -> Option<Expected<'a>> {
        match &self.phase {
            Phase::Exchanging(ex) if ex.open.is_some() => {
                let (session, previous) = (&ex.session, &ex.transcript);
                Some(Expected { session, spec: &self.head.spec, round: ex.round, previous, journal })
            }
            _ => None,
        }
    }

    /// The accepted parcel of `party` in exchange `round`, if that is the present one or the last closed one; also after the
    /// job finished.
    pub fn parcel_of(&self, party: &PartyId, round: u64) -> Option<&ParcelHead> {
        match &self.phase {
            Phase::Exchanging(ex) => ex.parcel_of(party, round),
            Phase::Finished { parcels, .. } => parcels.iter().find(|p| p.party == *party && p.round == round),
            _ => None,
        }
    }

    /// The parcels of the last closed exchange, in the roster's order; also after the job finished.
    pub fn closed_exchange(&self) -> &[ParcelHead] {
        match &self.phase {
            Phase::Exchanging(ex) => &ex.last,
            Phase::Finished { parcels, .. } => parcels,
            _ => &[],
        }
    }

    pub(super) fn decide_parcel(&self, parcel: Verified<ParcelHead>) -> Vec<Event> {
        let (party, round) = (parcel.party.clone(), parcel.round);
        if let Some(known) = self.parcel_of(&party, round) {
            if *known == *parcel {
                return Vec::new();
            }
            let violation = Violation::SecondParcel { party: party.clone(), round };
            return self.decide_reject(party, round, violation.to_string());
        }
        match &self.phase {
            Phase::Exchanging(ex) if ex.open.is_some() && ex.round == round => {
                let parcel = parcel.into_inner();
                vec![Event::ParcelAccepted { bytes: parcel.bytes(), parcel }]
            }
            _ => self.decide_late(party, round),
        }
    }

    pub(super) fn tick_exchanging(&self, ex: &Exchanging, now: Timestamp) -> Vec<Event> {
        let spec = &self.head.spec;
        if let Some(o) = ex.objections.values().next() {
            let (round, phase) = (ex.round, ex.phase(spec));
            let reason = format!(
                "{} cannot go on in exchange {round} ({phase}): {} (at fault: {})",
                o.party, o.reason, o.against
            );
            return vec![Event::JobFailed { reason }];
        }
        let Some(open) = &ex.open else {
            return vec![match completed(&ex.last, spec) {
                None => Event::ExchangeOpened {
                    round: ex.round.saturating_add(1),
                    previous: ex.transcript,
                    deadline: ex.deadline(spec, now),
                },
                Some(Ok(result_json)) => Event::JobFinished { result: result_digest(&result_json), result_json },
                Some(Err(reason)) => Event::JobFailed { reason },
            }];
        };
        let missing = ex.missing();
        if missing.is_empty() {
            let heads: Vec<ParcelHead> = ex.accepted.values().cloned().collect();
            let transcript = exchange_transcript(&ex.transcript, &heads);
            return vec![Event::ExchangeClosed { round: ex.round, transcript }];
        }
        if now < open.deadline {
            return Vec::new();
        }
        let attempt = open.attempt.saturating_add(1);
        if attempt >= spec.deadlines.attempts {
            return vec![Event::JobFailed { reason: stayed_away(ex, &missing, spec) }];
        }
        vec![Event::ExchangeExtended { round: ex.round, absent: missing, deadline: ex.deadline(spec, now), attempt }]
    }

    pub(super) fn apply_exchange(&mut self, event: Event) {
        if let Event::ParcelAccepted { parcel, bytes } = &event {
            self.counters.accepted += 1;
            self.received(&parcel.party, *bytes);
        }
        let Phase::Exchanging(ex) = &mut self.phase else { return };
        match event {
            Event::ExchangeOpened { round, deadline, .. } => {
                ex.round = round;
                ex.open = Some(Open { deadline, attempt: 0 });
                ex.rejected.clear();
                ex.absent.clear();
                ex.objections.clear();
            }
            Event::ParcelAccepted { parcel, .. } => {
                ex.absent.remove(&parcel.party);
                ex.accepted.insert(parcel.party.clone(), parcel);
            }
            Event::ExchangeExtended { absent, deadline, attempt, .. } => {
                ex.absent = absent.into_iter().collect();
                // Who was refused may have mended its ways.
                ex.rejected.clear();
                ex.open = Some(Open { deadline, attempt });
                self.counters.rounds_lost += 1;
            }
            Event::ExchangeClosed { transcript, .. } => {
                let summary = ex.summary(&self.head.spec);
                ex.transcript = transcript;
                ex.last = std::mem::take(&mut ex.accepted).into_values().collect();
                ex.open = None;
                self.counters.rounds_closed += 1;
                self.history.push(summary);
            }
            _ => {}
        }
    }
}
