//! What should happen. Never changes state: a refused message leaves no trace.

use super::*;

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
            Command::Reject { party, round, reason } => Ok(self.decide_reject(party, round, reason)),
            Command::Late { party, round } => Ok(self.decide_late(party, round)),
            Command::Answer(answer) => Ok(self.decide_answer(answer)),
            Command::Opened { sum, wrong_answers } => self.decide_opened(&sum, wrong_answers),
            Command::NotOpened { reason } => match &self.phase {
                Phase::Opening(o) => Ok(vec![Event::RoundLost { round: o.spec.round, reason, absent: Vec::new() }]),
                _ => Ok(Vec::new()),
            },
            Command::Tick => Ok(self.decide_tick(now)),
            Command::Cancel { .. } => unreachable!("handled above"),
        }
    }

    fn refuse(&self, message: &'static str) -> Refusal {
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
            Phase::Collecting(c) if c.running.session.digest() == confirmation.session => Ok(Vec::new()),
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
        match self.open_round() {
            Some(spec) if spec.round == round => {
                vec![Event::ContributionAccepted { contribution: contribution.into_inner(), bytes }]
            }
            _ => self.decide_late(party, round),
        }
    }

    /// Late contributions are recorded once per party and round, for the same reason as rejections.
    fn decide_late(&self, party: PartyId, round: u64) -> Vec<Event> {
        let known = self.late.get(&party).is_some_and(|last| *last >= round);
        if self.is_over() || known || round > self.round() || !self.members.contains(&party) {
            return Vec::new();
        }
        vec![Event::ContributionLate { party, round }]
    }

    /// Rejections are recorded once per party and round, so that nobody can flood the journal.
    fn decide_reject(&self, party: PartyId, round: u64, reason: String) -> Vec<Event> {
        match &self.phase {
            _ if !self.members.contains(&party) => Vec::new(),
            Phase::Collecting(c) if c.rejected.contains(&party) => Vec::new(),
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

    fn decide_opened(&self, sum: &[f64], wrong_answers: Vec<PartyId>) -> Result<Vec<Event>, Refusal> {
        let Phase::Opening(o) = &self.phase else { return Err(self.refuse("sum")) };
        let mut t = Transcript::new("haihe/v1/sum").u64(sum.len() as u64);
        for value in sum {
            t = t.u64(value.to_bits());
        }
        let digest = t.finish();
        let round = o.spec.round;
        let mut transcript = Transcript::new("haihe/v1/round-transcript")
            .digest(&o.running.transcript)
            .digest(&o.spec.digest())
            .digest(&o.digest);
        for answer in o.answers.values() {
            transcript = transcript.bytes(answer.signature.as_bytes());
        }
        let transcript = transcript.digest(&digest).finish();
        let entries = o.running.session.roster().entries.iter();
        let parties: Vec<PartyId> = entries.map(|e| e.party.clone()).collect();
        let opened = |summary, plan| Event::SumOpened { round, sum: digest, wrong_answers, transcript, summary, plan };
        match o.running.plan.clone().absorb(&self.head.spec, sum, &parties) {
            Ok((summary, Next::Continue(plan))) => Ok(vec![opened(summary, Some(*plan))]),
            Ok((summary, Next::Finished(result_json))) => {
                let result = Transcript::new("haihe/v1/result").str(&result_json).finish();
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
            Phase::Opening(o) if now >= o.survivors.deadline && self.ready_to_open(now).is_none() => {
                let absent: Vec<PartyId> = o.missing_answers().into_iter().cloned().collect();
                let reason = format!(
                    "{} of {} answers came in time, {} are needed; {} did not answer",
                    o.answers.len(),
                    o.running.session.committee().len(),
                    o.running.session.roster().rule.answers_needed(),
                    names(&absent)
                );
                vec![Event::RoundLost { round: o.spec.round, reason, absent }]
            }
            _ => Vec::new(),
        }
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
        let event = self.propose(c.roster.attempt + 1, entries, now, "confirm the roster");
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
            .filter(|p| !c.accepted.contains_key(p))
            .cloned()
            .collect();
        let quorum = c.accepted.len() >= session.roster().minimum_contributors as usize;
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
                absent: waiting,
                digest: survivors.digest(),
                deadline: survivors.deadline,
            }];
        }
        if now < spec.deadline {
            return Vec::new();
        }
        let reason = format!(
            "{} of {} contributions came in time, {} are needed; {} did not contribute",
            c.accepted.len(),
            session.parties(),
            session.roster().minimum_contributors,
            names(&waiting)
        );
        vec![Event::RoundLost { round: spec.round, reason, absent: waiting }]
    }

    fn open_next(&self, c: &Collecting, now: Timestamp) -> Event {
        if c.running.lost >= self.head.spec.deadlines.attempts {
            let reason = format!(
                "{} rounds in a row were lost; last waited in vain for {}. Bring them back and submit the job again, or \
                 lower job.min_parties",
                c.running.lost,
                names(&c.running.absent.iter().cloned().collect::<Vec<_>>())
            );
            return Event::JobFailed { reason };
        }
        let session = &c.running.session;
        let task = c.running.plan.task();
        let parameters = task.segments(&self.head.spec, session.parties()).map_err(|e| e.to_string()).and_then(|s| {
            let dimension = s.iter().map(|s| s.len).sum();
            SumParameters::choose(dimension, session.parties(), self.head.spec.secure_sum.value_bits)
                .map_err(|e| e.to_string())
        });
        match parameters {
            Err(reason) => Event::JobFailed { reason },
            Ok(parameters) => Event::RoundOpened {
                spec: RoundSpec {
                    job: self.head.job,
                    session: session.digest(),
                    round: c.round + 1,
                    task_json: task.to_json(),
                    parameters,
                    previous: c.running.transcript,
                    deadline: now.plus_seconds(self.head.spec.deadlines.round_seconds),
                },
            },
        }
    }
}

fn names(parties: &[PartyId]) -> String {
    match parties {
        [] => "nobody".to_owned(),
        some => some.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", "),
    }
}
