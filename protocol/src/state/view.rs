//! What a job's state says: to operators, to participants, to the driver.

use super::*;

impl Job {
    /// What never changes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where the job stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Contributions counted apart.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes received from a party: ciphertexts, sealed shares, answers.
    pub fn bytes_from(&self, party: &PartyId) -> u64 {
        self.bytes.get(party).copied().unwrap_or(0)
    }

    /// One line per closed round.
    pub fn history(&self) -> &[crate::horizontal::Summary] {
        &self.history
    }

    /// The first round after `round` whose sum was opened: what was asked, who contributed, digest of the survivor set.
    pub fn closed_after(&self, round: u64) -> Option<(&RoundSpec, &[PartyId], Digest)> {
        let closed = self.closed.iter().find(|(spec, ..)| spec.round > round);
        closed.map(|(spec, contributors, survivors)| (spec, contributors.as_slice(), *survivors))
    }

    /// True if `party` is in the session, also after the job's end.
    pub fn is_member(&self, party: &PartyId) -> bool {
        self.members.contains(party)
    }

    /// The session, once it is open.
    pub fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Collecting(c) => Some(&c.running.session),
            Phase::Opening(o) => Some(&o.running.session),
            Phase::Exchanging(ex) => Some(&ex.session),
            _ => None,
        }
    }

    /// The plan, once the session is open.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Collecting(c) => Some(&c.running.plan),
            Phase::Opening(o) => Some(&o.running.plan),
            _ => None,
        }
    }

    /// What the job is doing now, in few words: the step of its plan, or what was last said of an exchange.
    pub fn step(&self) -> &str {
        match &self.phase {
            Phase::Exchanging(_) => self.history.last().map_or("", |s| &s.step),
            _ => self.plan().map_or("", Plan::step),
        }
    }

    /// The roster that is being confirmed, with its keys.
    pub fn proposal(&self) -> Option<(&Roster, &RosterKeys)> {
        match &self.phase {
            Phase::Confirming(c) => Some((&c.roster, &c.keys)),
            _ => None,
        }
    }

    /// The round that takes contributions now.
    pub fn open_round(&self) -> Option<&RoundSpec> {
        match &self.phase {
            Phase::Collecting(c) => c.open.as_ref(),
            _ => None,
        }
    }

    /// The contributions that are in the running sum or will be: accepted ones of the present round.
    pub fn accepted(&self) -> Vec<&PartyId> {
        match &self.phase {
            Phase::Collecting(c) => c.accepted.keys().collect(),
            Phase::Opening(o) => o.survivors.survivors.iter().map(|s| &s.party).collect(),
            _ => Vec::new(),
        }
    }

    /// The contribution of `party` to the present round, if it was accepted.
    pub fn accepted_from(&self, party: &PartyId) -> Option<&Contribution> {
        match &self.phase {
            Phase::Collecting(c) => c.accepted.get(party),
            Phase::Opening(o) => o.survivors.survivors.iter().find(|s| s.party == *party),
            _ => None,
        }
    }

    /// The round and survivor set that the committee is asked to answer for.
    pub fn asked(&self) -> Option<(&RoundSpec, &Digest, &Session)> {
        match &self.phase {
            Phase::Opening(o) => Some((&o.spec, &o.digest, &o.running.session)),
            _ => None,
        }
    }

    /// True once nothing more can happen.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. } | Phase::Stopped { .. })
    }

    /// Number of the present or last round.
    pub fn round(&self) -> u64 {
        match &self.phase {
            Phase::Collecting(c) => c.round,
            Phase::Opening(o) => o.spec.round,
            Phase::Exchanging(ex) => ex.round,
            // An exchange whose deadline was put off keeps its number.
            _ if self.head.spec.vertical.is_some() => self.counters.rounds_closed,
            _ => self.counters.rounds_closed + self.counters.rounds_lost,
        }
    }

    /// Counts roster proposals, or how often the deadline of an exchange was put off: with it change directives.
    pub fn attempt(&self) -> u32 {
        match &self.phase {
            Phase::Confirming(c) => c.roster.attempt,
            Phase::Exchanging(ex) => ex.open.as_ref().map_or(0, |open| open.attempt),
            _ => 0,
        }
    }

    /// One word for the phase.
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Gathering(_) => "gathering",
            Phase::Confirming(_) => "confirming",
            Phase::Collecting(_) => "collecting",
            Phase::Opening(_) => "opening",
            Phase::Exchanging(_) => "exchanging",
            Phase::Finished { .. } => "finished",
            Phase::Stopped { cancelled: true, .. } => "cancelled",
            Phase::Stopped { .. } => "failed",
        }
    }

    /// What the job waits for, in words that name the parties.
    pub fn awaiting(&self) -> String {
        let list = |names: Vec<&PartyId>| names.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(", ");
        match &self.phase {
            Phase::Gathering(g) => {
                let open = self.head.spec.job.parties.iter();
                let open = open.filter(|p| !g.joined.contains_key(p) && !self.declined.contains_key(p));
                format!("waiting for {} to join or decline", list(open.collect()))
            }
            Phase::Confirming(c) => {
                let open = c.roster.entries.iter().map(|e| &e.party).filter(|p| !c.confirmed.contains_key(p));
                format!("waiting for {} to confirm the roster", list(open.collect()))
            }
            Phase::Collecting(c) => match &c.open {
                None => "opening the next round".to_owned(),
                Some(_) => {
                    let open = c.running.session.roster().entries.iter().map(|e| &e.party);
                    let open = open.filter(|p| !c.accepted.contains_key(p));
                    format!("round {}: waiting for the contribution of {}", c.round, list(open.collect()))
                }
            },
            Phase::Opening(o) => {
                let open = o.missing_answers();
                format!("round {}: waiting for the answer of {}", o.spec.round, list(open))
            }
            Phase::Exchanging(ex) if ex.open.is_none() => "opening the next exchange".to_owned(),
            Phase::Exchanging(ex) => {
                format!("exchange {}: waiting for the parcel of {}", ex.round, list(ex.missing().iter().collect()))
            }
            Phase::Finished { .. } => "finished".to_owned(),
            Phase::Stopped { reason, .. } => reason.clone(),
        }
    }

    /// One word for what the job has of a party.
    pub fn party_state(&self, party: &PartyId) -> (&'static str, String) {
        if let Some(decline) = self.declined.get(party) {
            return ("declined", decline.reason.clone());
        }
        let word = match &self.phase {
            Phase::Gathering(g) if g.joined.contains_key(party) => "joined",
            Phase::Gathering(_) => "invited",
            Phase::Confirming(c) if c.confirmed.contains_key(party) => "confirmed",
            Phase::Confirming(c) if c.roster.entries.iter().any(|e| e.party == *party) => "joined",
            Phase::Collecting(c) if c.running.session.index_of(party).is_err() => "absent",
            Phase::Collecting(c) if c.accepted.contains_key(party) => "contributed",
            Phase::Collecting(c) if c.running.absent.contains(party) => "absent",
            Phase::Collecting(_) => "contributing",
            Phase::Opening(o) if o.answers.contains_key(party) => "answered",
            Phase::Opening(o) if o.survivors.survivors.iter().any(|s| s.party == *party) => "contributed",
            Phase::Exchanging(ex) if ex.accepted.contains_key(party) => "contributed",
            Phase::Exchanging(ex) if ex.session.index_of(party).is_ok() && !ex.absent.contains(party) => "contributing",
            Phase::Finished { .. } | Phase::Stopped { .. } => "done",
            _ => "absent",
        };
        (word, String::new())
    }

    /// What `party` is asked to do now. Depends on the state alone: a participant that missed a directive missed nothing.
    pub fn directive(&self, party: &PartyId) -> Directive {
        let wait = || Directive::Wait { awaiting: self.awaiting() };
        match &self.phase {
            _ if !self.asks(party) => wait(),
            Phase::Gathering(g) => Directive::Offer { deadline: g.deadline },
            Phase::Confirming(c) => Directive::Confirm(c.roster.clone()),
            Phase::Collecting(c) => match &c.open {
                Some(spec) => Directive::Contribute { spec: spec.clone(), session: c.running.session.clone() },
                None => wait(),
            },
            Phase::Opening(o) => {
                let session = &o.running.session;
                match session.index_of(party).ok().and_then(|i| session.committee_position(i)) {
                    Some(position) => Directive::Answer {
                        spec: o.spec.clone(),
                        survivors: o.survivors.clone(),
                        position,
                        session: session.clone(),
                    },
                    None => wait(),
                }
            }
            Phase::Exchanging(ex) => match &ex.open {
                Some(open) => Directive::Exchange {
                    round: ex.round,
                    previous: ex.transcript,
                    parcels: ex.last.clone(),
                    deadline: open.deadline,
                    session: ex.session.clone(),
                },
                None => wait(),
            },
            Phase::Finished { .. } if !self.members.contains(party) => {
                let reason = "the job finished without this party; its result is not for it".to_owned();
                Directive::Closed { outcome: Err((false, reason)), session: None, parcels: Vec::new() }
            }
            Phase::Finished { result_json, transcript, session, parcels, .. } => Directive::Closed {
                outcome: Ok((result_json.clone(), *transcript)),
                session: session.clone(),
                parcels: parcels.clone(),
            },
            Phase::Stopped { reason, cancelled, .. } => {
                Directive::Closed { outcome: Err((*cancelled, reason.clone())), session: None, parcels: Vec::new() }
            }
        }
    }

    /// True if `party` is asked for something (or told the end), as opposed to waiting: [`Job::directive`] without its cost.
    pub fn asks(&self, party: &PartyId) -> bool {
        match &self.phase {
            Phase::Gathering(g) => !g.joined.contains_key(party) && !self.declined.contains_key(party),
            Phase::Confirming(c) => {
                c.roster.entries.iter().any(|e| e.party == *party) && !c.confirmed.contains_key(party)
            }
            Phase::Collecting(c) => {
                let session = &c.running.session;
                let done = c.accepted.contains_key(party) || c.running.objections.contains_key(party);
                c.open.is_some() && session.index_of(party).is_ok() && c.wants(party) && !done
            }
            Phase::Opening(o) => {
                let session = &o.running.session;
                let member = session.index_of(party).is_ok_and(|i| session.committee_position(i).is_some());
                member && !o.answers.contains_key(party) && !o.running.objections.contains_key(party)
            }
            Phase::Exchanging(ex) => {
                let member = ex.session.index_of(party).is_ok();
                let done = ex.accepted.contains_key(party) || ex.objections.contains_key(party);
                ex.open.is_some() && member && !done
            }
            Phase::Finished { .. } | Phase::Stopped { .. } => true,
        }
    }

    /// The next moment at which [`Command::Tick`] may lead to something although nobody said anything.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Gathering(g) => Some(g.deadline),
            Phase::Confirming(c) => Some(c.roster.deadline),
            Phase::Collecting(c) => c.open.as_ref().map(|s| s.deadline),
            Phase::Opening(o) => Some(o.survivors.deadline),
            Phase::Exchanging(ex) => ex.open.as_ref().map(|open| open.deadline),
            _ => None,
        }
    }

    /// The sum that may be opened now: everybody expected answered, or time is up and enough did.
    pub fn ready_to_open(&self, now: Timestamp) -> Option<OpenRequest> {
        let Phase::Opening(o) = &self.phase else { return None };
        let silent = |p: &PartyId| !o.running.absent.contains(p) && !o.running.objections.contains_key(p);
        let expected_silent = o.missing_answers().into_iter().any(silent);
        let enough = o.answers.len() >= o.running.session.roster().rule.answers_needed() as usize;
        if !enough || (expected_silent && now < o.survivors.deadline) {
            return None;
        }
        let session = &o.running.session;
        let answers = o.answers.values().filter_map(|a| {
            let position = session.committee_position(session.index_of(&a.party).ok()?)?;
            Some((position, a.party.clone(), a.share_sum.clone()))
        });
        Some(OpenRequest {
            spec: o.spec.clone(),
            survivors: o.survivors.survivors.iter().map(|s| s.party.clone()).collect(),
            answers: answers.collect(),
            session: session.clone(),
            plan: o.running.plan.clone(),
        })
    }
}
