//! What did happen. Total: replaying the journal always rebuilds the same job.

use super::*;

impl Job {
    /// What did happen. Total: an event that does not fit the phase (it cannot come from [`Job::decide`]) changes nothing.
    pub fn apply(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::JobOpened { .. } => {}
            Event::Joined { join } => {
                if let Phase::Gathering(g) = &mut self.phase {
                    g.joined.insert(join.party.clone(), join);
                }
            }
            Event::Declined { decline } => {
                self.declined.insert(decline.party.clone(), decline);
            }
            Event::RosterProposed { roster } => {
                if let Ok(keys) = roster.verify(&self.head.job, &self.head.spec, &self.trust, at) {
                    self.phase = Phase::Confirming(Box::new(Confirming { roster, keys, confirmed: BTreeMap::new() }));
                }
            }
            Event::Confirmed { confirmation } => {
                if let Phase::Confirming(c) = &mut self.phase {
                    c.confirmed.insert(confirmation.party.clone(), confirmation);
                }
            }
            Event::SessionOpened { .. } => self.apply_session(at),
            Event::RoundOpened { spec } => {
                if let Phase::Collecting(c) = &mut self.phase {
                    c.round = spec.round;
                    c.running.objections.clear();
                    c.open = Some(spec);
                    c.accepted.clear();
                    c.rejected.clear();
                }
            }
            Event::ContributionAccepted { contribution, bytes } => {
                self.counters.accepted += 1;
                self.received(&contribution.party, bytes);
                if let Phase::Collecting(c) = &mut self.phase {
                    c.running.absent.remove(&contribution.party);
                    c.accepted.insert(contribution.party.clone(), contribution);
                }
            }
            Event::ContributionRejected { party, reason, .. } => {
                self.counters.rejected += 1;
                match &mut self.phase {
                    Phase::Collecting(c) => {
                        c.rejected.insert(party);
                    }
                    Phase::Exchanging(ex) => {
                        ex.rejected.insert(party, reason);
                    }
                    _ => {}
                }
            }
            Event::ContributionLate { party, round } => {
                self.counters.late += 1;
                self.late.insert(party.clone(), round);
                if let Some(running) = self.running() {
                    running.absent.remove(&party);
                }
            }
            Event::ContributionsClosed { absent, digest, deadline, .. } => {
                self.apply_closed(absent, digest, deadline);
            }
            Event::Answered { answer } => {
                self.received(&answer.party, answer.share_sum.len() as u64);
                if let Phase::Opening(o) = &mut self.phase {
                    o.running.absent.remove(&answer.party);
                    o.answers.insert(answer.party.clone(), answer);
                }
            }
            Event::Objected { objection } => match &mut self.phase {
                Phase::Exchanging(ex) => {
                    ex.objections.insert(objection.party.clone(), objection);
                }
                _ => {
                    if let Some(running) = self.running() {
                        running.objections.insert(objection.party.clone(), objection);
                    }
                }
            },
            Event::ExchangeOpened { .. }
            | Event::ParcelAccepted { .. }
            | Event::ExchangeClosed { .. }
            | Event::ExchangeExtended { .. } => self.apply_exchange(event),
            Event::SumOpened { transcript, summary, plan, .. } => self.apply_sum(transcript, summary, plan),
            Event::RoundLost { absent, .. } => self.apply_lost(absent),
            Event::JobFinished { result_json, .. } => {
                let (session, transcript, parcels) = match &mut self.phase {
                    Phase::Exchanging(ex) => (Some(&ex.session), Some(ex.transcript), std::mem::take(&mut ex.last)),
                    _ => {
                        let running = self.running();
                        let transcript = running.as_ref().map(|r| r.transcript);
                        (running.map(|r| &r.session), transcript, Vec::new())
                    }
                };
                let (session, transcript) = (session.cloned().map(Box::new), transcript.unwrap_or_else(Entry::genesis));
                self.phase = Phase::Finished { result_json, at, transcript, session, parcels };
            }
            Event::JobFailed { reason } => self.phase = Phase::Stopped { reason, cancelled: false, at },
            Event::JobCancelled { by, reason } => {
                let reason = format!("cancelled by {by}: {reason}");
                self.phase = Phase::Stopped { reason, cancelled: true, at };
            }
        }
    }

    /// Total, whatever numbers a journal from elsewhere holds.
    pub(super) fn received(&mut self, party: &PartyId, bytes: u64) {
        let total = self.bytes.entry(party.clone()).or_default();
        *total = total.saturating_add(bytes);
    }

    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Collecting(c) => Some(&mut c.running),
            Phase::Opening(o) => Some(&mut o.running),
            _ => None,
        }
    }

    fn apply_session(&mut self, at: Timestamp) {
        let Phase::Confirming(c) = &self.phase else { return };
        if let Ok(session) = self.establish(c, at) {
            self.members = session.roster().entries.iter().map(|e| e.party.clone()).collect();
            if self.head.spec.vertical.is_some() {
                self.phase = Phase::Exchanging(Box::new(Exchanging::begin(session)));
                return;
            }
            let running = Running {
                transcript: session.digest(),
                plan: Plan::begin(&self.head.spec),
                session,
                absent: BTreeSet::new(),
                lost: 0,
                objections: BTreeMap::new(),
                answered_for: None,
            };
            self.phase = Phase::Collecting(Box::new(Collecting::between(running, 0)));
        }
    }

    fn apply_closed(&mut self, absent: Vec<PartyId>, digest: Digest, deadline: Timestamp) {
        let Phase::Collecting(c) = &self.phase else { return };
        let Some(spec) = c.open.clone() else { return };
        let mut running = c.running.clone();
        running.absent.extend(absent);
        let survivors = SurvivorSet {
            round: spec.round,
            spec: spec.digest(),
            survivors: c.accepted.values().cloned().collect(),
            deadline,
        };
        self.phase = Phase::Opening(Box::new(Opening { running, spec, survivors, digest, answers: BTreeMap::new() }));
    }

    fn apply_sum(&mut self, transcript: Digest, summary: crate::horizontal::Summary, plan: Option<Plan>) {
        let Phase::Opening(o) = &self.phase else { return };
        let mut running = o.running.clone();
        running.transcript = transcript;
        running.lost = 0;
        running.answered_for = None;
        if let Some(plan) = plan {
            running.plan = plan;
        }
        let contributors = o.survivors.survivors.iter().map(|s| s.party.clone()).collect();
        self.closed.push((o.spec.clone(), contributors, o.digest));
        self.counters.rounds_closed += 1;
        self.history.push(summary);
        self.phase = Phase::Collecting(Box::new(Collecting::between(running, o.spec.round)));
    }

    fn apply_lost(&mut self, absent: Vec<PartyId>) {
        let (mut running, round) = match &self.phase {
            Phase::Collecting(c) => (c.running.clone(), c.round),
            Phase::Opening(o) => {
                let mut running = o.running.clone();
                // Members may have answered although nothing came of it.
                running.answered_for = Some(o.survivors.survivors.iter().map(|s| s.party.clone()).collect());
                (running, o.spec.round)
            }
            _ => return,
        };
        running.absent.extend(absent);
        running.lost += 1;
        self.counters.rounds_lost += 1;
        self.phase = Phase::Collecting(Box::new(Collecting::between(running, round)));
    }
}
