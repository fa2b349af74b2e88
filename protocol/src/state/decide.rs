//! What should happen. Never changes state: a refused message leaves no trace.

use super::*;
use crate::witness::{result_digest, round_transcript, sum_digest};

impl Job {
    /// What should happen. Never changes state.
    pub fn decide(&self, now: Timestamp, command: Command) -> Result<Vec<Event>, Refusal> {
        if let Command::Cancel { by, reason } = command {
            let over = self.is_over();
            return Ok(if over { Vec::new() } else { vec![Event::JobCancelled { by, reason }] });
        }
        match command {
            Command::Join(join) => self.decide_join(join),
            Command::Decline(decline) => self.decide_decline(decline),
            Command::Confirm(confirmation) => self.decide_confirm(confirmation),
            Command::Contribute { contribution, bytes } => Ok(self.decide_contribute(contribution, bytes)),
            Command::Parcel(parcel) => Ok(self.decide_parcel(parcel)),
            Command::Reject { party, round, reason } => Ok(self.decide_reject(party, round, reason)),
            Command::Late { party, round } => Ok(self.decide_late(party, round)),
            Command::Answer(answer) => Ok(self.decide_answer(answer)),
            Command::Object(objection) => Ok(self.decide_object(objection)),
            Command::Opened { sum, wrong_answers } => self.decide_opened(&sum, wrong_answers),
            Command::NotOpened { reason } => match &self.phase {
                Phase::Opening(o) => Ok(vec![Event::RoundLost { round: o.spec.round, reason, absent: Vec::new() }]),
                _ => Ok(Vec::new()),
            },
            Command::Tick => Ok(self.decide_tick(now)),
            Command::Cancel { .. } => unreachable!("handled above"),
        }
    }

    pub(super) fn refuse(&self, message: &'static str) -> Refusal {
        Refusal::Phase { phase: self.phase_name(), message }
    }

    fn decide_join(&self, join: Verified<Join>) -> Result<Vec<Event>, Refusal> {
        if self.declined.contains_key(&join.party) {
            return Err(Refusal::Contradiction { party: join.party.clone(), done: "declined" });
        }
        let same = |known: Option<&Join>| known.is_some_and(|k| *k == *join);
        match &self.phase {
            Phase::Gathering(g) if same(g.joined.get(&join.party)) => Ok(Vec::new()),
            Phase::Gathering(g) if g.joined.contains_key(&join.party) => {
                Err(Refusal::Contradiction { party: join.party.clone(), done: "joined with other keys" })
            }
            Phase::Gathering(_) => Ok(vec![Event::Joined { join: join.into_inner() }]),
            Phase::Confirming(c) if same(c.roster.entries.iter().find(|e| e.party == join.party)) => Ok(Vec::new()),
            _ => Err(self.refuse("join")),
        }
    }

    fn decide_decline(&self, decline: Verified<Decline>) -> Result<Vec<Event>, Refusal> {
        match &self.phase {
            _ if self.declined.contains_key(&decline.party) => Ok(Vec::new()),
            Phase::Gathering(g) if g.joined.contains_key(&decline.party) => {
                Err(Refusal::Contradiction { party: decline.party.clone(), done: "joined" })
            }
            Phase::Gathering(_) => Ok(vec![Event::Declined { decline: decline.into_inner() }]),
            _ => Err(self.refuse("decline")),
        }
    }

    fn decide_confirm(&self, confirmation: Verified<Confirmation>) -> Result<Vec<Event>, Refusal> {
        match &self.phase {
            Phase::Confirming(c) if c.confirmed.contains_key(&confirmation.party) => Ok(Vec::new()),
            Phase::Confirming(c) if c.roster.digest() == confirmation.session => {
                Ok(vec![Event::Confirmed { confirmation: confirmation.into_inner() }])
            }
            _ if self.session().is_some_and(|s| s.digest() == confirmation.session) => Ok(Vec::new()),
            _ => Err(self.refuse("confirmation")),
        }
    }

    fn decide_contribute(&self, contribution: Verified<Contribution>, bytes: u64) -> Vec<Event> {
        let (party, round) = (contribution.party.clone(), contribution.round);
        if let Some(known) = self.accepted_from(&party)
            && known.round == round
        {
            if *known == *contribution {
                return Vec::new();
            }
            let violation = Violation::SecondContribution { party: party.clone(), round };
            return self.decide_reject(party, round, violation.to_string());
        }
        match &self.phase {
            Phase::Collecting(c) if c.open.as_ref().is_some_and(|s| s.round == round) => {
                if !c.wants(&party) {
                    let reason = format!("{party} is not among those whose sum is asked for again");
                    return self.decide_reject(party, round, reason);
                }
                vec![Event::ContributionAccepted { contribution: contribution.into_inner(), bytes }]
            }
            _ => self.decide_late(party, round),
        }
    }

    /// Late contributions are recorded once per party and round, for the same reason as rejections.
    pub(super) fn decide_late(&self, party: PartyId, round: u64) -> Vec<Event> {
        let known = self.late.get(&party).is_some_and(|last| *last >= round);
        if self.is_over() || known || round > self.round() || !self.members.contains(&party) {
            return Vec::new();
        }
        vec![Event::ContributionLate { party, round }]
    }

    /// Rejections are recorded once per party and round, so that nobody can flood the journal.
    pub(super) fn decide_reject(&self, party: PartyId, round: u64, reason: String) -> Vec<Event> {
        match &self.phase {
            _ if !self.members.contains(&party) => Vec::new(),
            Phase::Collecting(c) if c.rejected.contains(&party) => Vec::new(),
            Phase::Exchanging(ex) if ex.rejected.contains_key(&party) => Vec::new(),
            _ => vec![Event::ContributionRejected { party, round, reason }],
        }
    }

    fn decide_answer(&self, answer: Verified<Answer>) -> Vec<Event> {
        match &self.phase {
            Phase::Opening(o) if o.digest == answer.survivors && !o.answers.contains_key(&answer.party) => {
                vec![Event::Answered { answer: answer.into_inner() }]
            }
            _ => Vec::new(),
        }
    }

    /// Objections are recorded once per party and round.
    fn decide_object(&self, objection: Verified<Objection>) -> Vec<Event> {
        let known = match &self.phase {
            Phase::Collecting(c) if c.open.is_some() => &c.running.objections,
            Phase::Opening(o) => &o.running.objections,
            Phase::Exchanging(ex) if ex.open.is_some() => &ex.objections,
            _ => return Vec::new(),
        };
        if objection.round != self.round() || known.contains_key(&objection.party) {
            return Vec::new();
        }
        vec![Event::Objected { objection: objection.into_inner() }]
    }

    fn decide_opened(&self, sum: &[u64], wrong_answers: Vec<PartyId>) -> Result<Vec<Event>, Refusal> {
        let Phase::Opening(o) = &self.phase else { return Err(self.refuse("sum")) };
        let (round, digest) = (o.spec.round, sum_digest(sum));
        let transcript = round_transcript(&o.spec.previous, &o.spec.digest(), &o.digest, &digest);
        let opened = |summary, plan| Event::SumOpened { round, sum: digest, wrong_answers, transcript, summary, plan };
        let contributors = o.survivors.survivors.len() as u32;
        let roster = o.running.session.roster();
        let (parties, guaranteed) = (roster.parties(), roster.guaranteed_contributors());
        match o.running.plan.clone().absorb_sum(&self.head.spec, &parties, guaranteed, sum, contributors) {
            Ok((summary, Next::Continue(plan))) => Ok(vec![opened(summary, Some(*plan))]),
            Ok((summary, Next::Finished(result_json))) => {
                let result = result_digest(&result_json);
                Ok(vec![opened(summary, None), Event::JobFinished { result, result_json }])
            }
            Err(error) => Ok(vec![Event::JobFailed { reason: error.to_string() }]),
        }
    }

    fn decide_tick(&self, now: Timestamp) -> Vec<Event> {
        match &self.phase {
            Phase::Gathering(g) => self.tick_gathering(g, now),
            Phase::Confirming(c) => self.tick_confirming(c, now),
            Phase::Collecting(c) => self.tick_collecting(c, now),
            Phase::Opening(o) => self.tick_opening(o, now),
            Phase::Exchanging(ex) => self.tick_exchanging(ex, now),
            _ => Vec::new(),
        }
    }

    fn tick_opening(&self, o: &Opening, now: Timestamp) -> Vec<Event> {
        let missing = o.missing_answers();
        let (refused, absent): (Vec<&PartyId>, Vec<&PartyId>) =
            missing.into_iter().partition(|p| o.running.objections.contains_key(*p));
        let needed = o.running.session.roster().rule.answers_needed() as usize;
        let hopeless = o.answers.len() + absent.len() < needed;
        if !hopeless && (now < o.survivors.deadline || self.ready_to_open(now).is_some()) {
            return Vec::new();
        }
        let absent: Vec<PartyId> = if hopeless { Vec::new() } else { absent.into_iter().cloned().collect() };
        let mut reason = format!(
            "{} of {} answers came in time, {needed} are needed",
            o.answers.len(),
            o.running.session.committee().len()
        );
        if !absent.is_empty() {
            reason.push_str(&format!("; {} did not answer", names(&absent)));
        }
        reason.push_str(&o.running.objections_of(&refused));
        vec![Event::RoundLost { round: o.spec.round, reason, absent }]
    }

    fn tick_gathering(&self, g: &Gathering, now: Timestamp) -> Vec<Event> {
        let invited = self.head.spec.job.parties.len();
        if g.joined.len() + self.declined.len() < invited && now < g.deadline {
            return Vec::new();
        }
        let entries: Vec<Join> = g.joined.values().cloned().collect();
        vec![self.propose(0, entries, now, "join").unwrap_or_else(|reason| {
            let mut reason = reason;
            for (party, decline) in &self.declined {
                reason.push_str(&format!("\n{party} declined: {}", decline.reason));
            }
            Event::JobFailed { reason }
        })]
    }

    fn propose(&self, attempt: u32, entries: Vec<Join>, now: Timestamp, step: &str) -> Result<Event, String> {
        // An entry that does not hold (an expired certificate, somebody else's key) costs its party its place, not the job.
        let entries = Roster::sound_entries(entries, &self.head.job, &self.head.spec, &self.trust, now);
        let parties = entries.len() as u32;
        let present: BTreeSet<&PartyId> = entries.iter().map(|e| &e.party).collect();
        let silent = self.head.spec.job.parties.iter();
        let silent: Vec<PartyId> =
            silent.filter(|p| !present.contains(p) && !self.declined.contains_key(p)).cloned().collect();
        let needed = self.head.spec.min_parties();
        let missed: Vec<PartyId> = self.head.spec.needed_parties().filter(|p| !present.contains(p)).cloned().collect();
        if !missed.is_empty() {
            let (left, those) = (names(&missed), if missed.len() == 1 { "whose columns are" } else { "all of them" });
            let mut reason = format!("the job cannot be done without {left}, {those} needed");
            if !silent.is_empty() {
                reason.push_str(&format!("; {} did not {step} in time", names(&silent)));
            }
            return Err(reason);
        }
        if parties < needed {
            let mut reason = format!("{parties} parties take part, the job needs {needed}");
            if !silent.is_empty() {
                reason.push_str(&format!("; {} did not {step} in time", names(&silent)));
            }
            return Err(reason);
        }
        let rule = self.head.spec.committee_rule(parties).map_err(|e| e.to_string())?;
        let roster = Roster {
            job: self.head.job,
            attempt,
            entries,
            rule,
            minimum_contributors: needed.max(rule.minimum_contributors()),
            coordinator_certificate: self.coordinator_certificate.clone(),
            deadline: now.plus_seconds(self.head.spec.deadlines.confirm_seconds),
        };
        match roster.verify(&self.head.job, &self.head.spec, &self.trust, now) {
            Ok(_) => Ok(Event::RosterProposed { roster }),
            Err(violation) => Err(violation.to_string()),
        }
    }

    /// The session of a roster that everybody confirmed.
    pub(super) fn establish(&self, c: &Confirming, at: Timestamp) -> Result<Session, Violation> {
        let confirmations = c.confirmed.values().cloned().collect();
        Session::establish(c.roster.clone(), confirmations, &self.head.job, &self.head.spec, &self.trust, at)
    }

    fn tick_confirming(&self, c: &Confirming, now: Timestamp) -> Vec<Event> {
        if c.confirmed.len() == c.roster.entries.len() {
            return vec![match self.establish(c, now) {
                Ok(session) => Event::SessionOpened { session: session.digest() },
                Err(violation) => Event::JobFailed { reason: violation.to_string() },
            }];
        }
        if now < c.roster.deadline {
            return Vec::new();
        }
        let entries = c.roster.entries.iter().filter(|e| c.confirmed.contains_key(&e.party)).cloned().collect();
        let event = self.propose(c.roster.attempt.saturating_add(1), entries, now, "confirm the roster");
        vec![event.unwrap_or_else(|reason| Event::JobFailed { reason })]
    }

    fn tick_collecting(&self, c: &Collecting, now: Timestamp) -> Vec<Event> {
        let session = &c.running.session;
        let Some(spec) = &c.open else {
            return vec![self.open_next(c, now)];
        };
        let waiting: Vec<PartyId> = session
            .roster()
            .entries
            .iter()
            .map(|e| &e.party)
            .filter(|p| !c.accepted.contains_key(p) && c.wants(p))
            .cloned()
            .collect();
        let (refused, waiting): (Vec<PartyId>, Vec<PartyId>) =
            waiting.into_iter().partition(|p| c.running.objections.contains_key(p));
        let quorum = c.has_quorum();
        let expected = waiting.iter().any(|p| !c.running.absent.contains(p));
        if quorum && (!expected || now >= spec.deadline) {
            let survivors = SurvivorSet {
                round: spec.round,
                spec: spec.digest(),
                survivors: c.accepted.values().cloned().collect(),
                deadline: now.plus_seconds(self.head.spec.deadlines.answer_seconds),
            };
            return vec![Event::ContributionsClosed {
                round: spec.round,
                survivors: c.accepted.keys().cloned().collect(),
                absent: waiting.into_iter().chain(refused).collect(),
                digest: survivors.digest(),
                deadline: survivors.deadline,
            }];
        }
        let hopeless = !refused.is_empty() && !c.could_have_quorum(&waiting);
        if !hopeless && now < spec.deadline {
            return Vec::new();
        }
        let needed = match &c.running.answered_for {
            Some(set) => format!(
                "exactly those of {} are needed, as the committee was asked for them before",
                names(&set.iter().cloned().collect::<Vec<_>>())
            ),
            None => format!("{} are needed", session.roster().minimum_contributors),
        };
        let absent = if hopeless { Vec::new() } else { waiting };
        let mut reason = format!("{} of {} contributions came in time, {needed}", c.accepted.len(), session.parties());
        if !absent.is_empty() {
            reason.push_str(&format!("; {} did not contribute", names(&absent)));
        }
        reason.push_str(&c.running.objections_of(&refused.iter().collect::<Vec<_>>()));
        vec![Event::RoundLost { round: spec.round, reason, absent }]
    }

    fn open_next(&self, c: &Collecting, now: Timestamp) -> Event {
        if c.running.lost >= self.head.spec.deadlines.attempts {
            let mut reason = format!("{} rounds in a row were lost", c.running.lost);
            if !c.running.absent.is_empty() {
                let absent = names(&c.running.absent.iter().cloned().collect::<Vec<_>>());
                reason.push_str(&format!(
                    "; last waited in vain for {absent}. Bring them back and submit the job again, or lower \
                     job.min_parties"
                ));
            }
            let objecting: Vec<&PartyId> = c.running.objections.keys().collect();
            reason.push_str(&c.running.objections_of(&objecting));
            return Event::JobFailed { reason };
        }
        let session = &c.running.session;
        let task = c.running.plan.task();
        let round = c.round.saturating_add(1);
        match RoundSpec::parameters_of(&task, &self.head.spec, session.parties(), round) {
            Err(violation) => Event::JobFailed { reason: violation.to_string() },
            Ok(parameters) => Event::RoundOpened {
                spec: RoundSpec {
                    job: self.head.job,
                    session: session.digest(),
                    round,
                    task_json: task.to_json(),
                    parameters,
                    previous: c.running.transcript,
                    deadline: now.plus_seconds(self.head.spec.deadlines.round_seconds),
                },
            },
        }
    }
}

impl Running {
    /// Each objection of `parties`, in words.
    fn objections_of(&self, parties: &[&PartyId]) -> String {
        let objections = parties.iter().filter_map(|p| self.objections.get(*p));
        objections.map(|o| format!("; {} objects: {}", o.party, o.reason)).collect()
    }
}

impl Collecting {
    /// True if the accepted contributions may be summed.
    fn has_quorum(&self) -> bool {
        match &self.running.answered_for {
            Some(set) => self.accepted.len() == set.len() && self.accepted.keys().all(|p| set.contains(p)),
            None => self.accepted.len() >= self.running.session.roster().minimum_contributors as usize,
        }
    }

    /// True if they might be, once `waiting` have contributed too.
    fn could_have_quorum(&self, waiting: &[PartyId]) -> bool {
        match &self.running.answered_for {
            Some(set) => set.iter().all(|p| self.accepted.contains_key(p) || waiting.contains(p)),
            None => {
                let minimum = self.running.session.roster().minimum_contributors as usize;
                self.accepted.len() + waiting.len() >= minimum
            }
        }
    }

    /// True if a contribution of `party` is wanted in this round at all.
    pub(super) fn wants(&self, party: &PartyId) -> bool {
        self.running.answered_for.as_ref().is_none_or(|set| set.contains(party))
    }
}

pub(super) fn names(parties: &[PartyId]) -> String {
    match parties {
        [] => "nobody".to_owned(),
        some => some.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", "),
    }
}
