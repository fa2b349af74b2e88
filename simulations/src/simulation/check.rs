//! What counts as a failure of the protocol, whatever went wrong around it: `docs/faults.md` in code.

use std::collections::{BTreeMap, BTreeSet};

use haihe_participant::member::{MemberError, Note};
use haihe_privacy::{
    digest::Digest,
    log::{Log, RootHash},
};
use haihe_protocol::{
    contribution::ContributeError,
    error::Violation,
    horizontal::{Next, Plan},
    id::PartyId,
    journal::Event,
    message::RoundSpec,
    roster::Roster,
    state::{Job, Phase},
    vertical::exchange::{ParcelHead, completed},
    witness::sum_digest,
};

use super::{Federation, OPENED, Party, RETRY_MS, message::Said};

/// Most steps that wait in the simulated network, per party: more would be a queue that grows without end.
const MAX_WAITING_PER_PARTY: usize = 64;

/// What the coordinator's journal says, by subject.
#[derive(Default)]
pub(super) struct Story {
    rosters: BTreeMap<Digest, Roster>,
    specs: BTreeMap<u64, RoundSpec>,
    accepted: BTreeMap<(PartyId, u64), Digest>,
    /// Survivor set and its members.
    closed: BTreeMap<u64, (Digest, Vec<PartyId>)>,
    answered: BTreeSet<(PartyId, u64)>,
    /// Rounds whose sum was opened, with its digest and the plan that followed.
    sums: Vec<(u64, Digest, Option<Plan>)>,
    /// Transcripts of closed rounds.
    transcripts: BTreeMap<u64, Digest>,
    /// Root of the journal by size.
    roots: BTreeMap<u64, RootHash>,
    joined: BTreeSet<PartyId>,
    /// Named as absent, and where.
    absent: Vec<(PartyId, String)>,
    proposals: u64,
    /// Exchanges, each as often as its parcels were waited for.
    exchanges: u64,
    /// The parcels of the exchange that was closed last.
    parcels: BTreeMap<PartyId, ParcelHead>,
    result: Option<String>,
    /// When it was over, in milliseconds since it was opened.
    over_ms: u64,
}

impl Federation {
    /// Everything that must hold however the job ended. `replayed` is what the journal replays to.
    pub(super) fn agree(&self, replayed: &Job) -> Result<(), String> {
        if let Some(complaint) = self.complaints.first() {
            return Err(complaint.clone());
        }
        let story = self.story(true)?;
        self.replays(replayed)?;
        self.nobody_is_named_without_cause(&story)?;
        for (index, party) in self.parties.iter().enumerate() {
            self.tells_the_same(index, party, &story, replayed.phase())
                .map_err(|e| format!("{}: {e}", party.disk.name))?;
        }
        self.sums_are_those_of_the_survivors(&story)?;
        self.is_bounded(&story)
    }

    /// `strict`: nobody cheats, so nothing may be rejected, called wrong or complained of.
    pub(super) fn story(&self, strict: bool) -> Result<Story, String> {
        let mut story = Story::default();
        let mut log = Log::new();
        for entry in &self.coordinator.journal {
            log.append(entry.line().as_bytes());
            story.roots.insert(log.size(), log.root());
            match entry.event::<Event>().map_err(|e| e.to_string())? {
                Event::Joined { join } => {
                    story.joined.insert(join.party);
                }
                Event::RosterProposed { roster } => {
                    let parties = roster.parties();
                    let left_out = self.spec.job.parties.iter().filter(|p| !parties.contains(p));
                    story.absent.extend(left_out.map(|p| (p.clone(), format!("roster {}", roster.attempt))));
                    story.rosters.insert(roster.digest(), roster);
                    story.proposals += 1;
                }
                Event::RoundOpened { spec } => {
                    story.specs.insert(spec.round, spec);
                }
                Event::ContributionAccepted { contribution: c, .. } => {
                    let second = story.accepted.insert((c.party.clone(), c.round), c.commitment).is_some();
                    if second {
                        return Err(format!("two contributions of {} to round {} were accepted", c.party, c.round));
                    }
                }
                Event::ContributionRejected { party, round, reason } if strict => {
                    return Err(format!("the contribution of {party} to round {round} was rejected: {reason}"));
                }
                Event::ContributionsClosed { round, survivors, absent, digest, .. } => {
                    story.absent.extend(absent.into_iter().map(|p| (p, format!("round {round}"))));
                    story.closed.insert(round, (digest, survivors));
                }
                Event::Answered { answer } => {
                    story.answered.insert((answer.party, answer.round));
                }
                Event::Objected { objection: o } if strict => {
                    return Err(format!("{} objects in round {}: {}", o.party, o.round, o.reason));
                }
                Event::SumOpened { round, sum, wrong_answers, plan, transcript, .. } => {
                    story.transcripts.insert(round, transcript);
                    if strict && !wrong_answers.is_empty() {
                        return Err(format!("wrong answers in round {round} are attributed to {wrong_answers:?}"));
                    }
                    story.sums.push((round, sum, plan));
                }
                Event::RoundLost { round, absent, reason } => {
                    let store = reason.contains("coordinator's store");
                    if strict && absent.is_empty() && !store {
                        return Err(format!("round {round} was lost and nobody was absent: {reason}"));
                    }
                    story.absent.extend(absent.into_iter().map(|p| (p, format!("round {round}"))));
                }
                Event::ExchangeOpened { .. } => {
                    story.exchanges += 1;
                    story.parcels.clear();
                }
                Event::ParcelAccepted { parcel: p, .. } => {
                    let second = story.accepted.insert((p.party.clone(), p.round), p.digest()).is_some();
                    if second {
                        return Err(format!("two parcels of {} in exchange {} were accepted", p.party, p.round));
                    }
                    story.parcels.insert(p.party.clone(), p);
                }
                Event::ExchangeClosed { round, transcript } => {
                    story.transcripts.insert(round, transcript);
                }
                Event::ExchangeExtended { round, absent, .. } => {
                    story.exchanges += 1;
                    story.absent.extend(absent.into_iter().map(|p| (p, format!("exchange {round}"))));
                }
                Event::JobFinished { result_json, .. } => {
                    story.result = Some(result_json);
                    story.over_ms = entry.at.0 - OPENED.0;
                }
                Event::JobFailed { .. } | Event::JobCancelled { .. } => story.over_ms = entry.at.0 - OPENED.0,
                _ => {}
            }
        }
        Ok(story)
    }

    /// The journal is a chain, and replays to the very state that the coordinator is in.
    fn replays(&self, replayed: &Job) -> Result<(), String> {
        let Some(live) = &self.coordinator.engine else { return Ok(()) };
        let (live, replayed) = (format!("{:?}", live.job()), format!("{replayed:?}"));
        if live == replayed {
            return Ok(());
        }
        let at = live.bytes().zip(replayed.bytes()).take_while(|(a, b)| a == b).count();
        let near = |text: &str| text.chars().skip(at.saturating_sub(40)).take(120).collect::<String>();
        Err(format!("the live job is ...{}..., the replayed one ...{}...", near(&live), near(&replayed)))
    }

    fn nobody_is_named_without_cause(&self, story: &Story) -> Result<(), String> {
        for (party, place) in &story.absent {
            let index = self.parties.iter().position(|p| p.disk.name == *party);
            if index.is_none_or(|i| !self.disturbed.contains(&i)) {
                return Err(format!("{party} is named as absent in {place}, and nothing had happened to it"));
            }
        }
        Ok(())
    }

    /// A party's own journal is a chain, and says of the job what the coordinator's says.
    fn tells_the_same(&self, index: usize, party: &Party, story: &Story, end: &Phase) -> Result<(), String> {
        let name = &party.disk.name;
        let member = party.fresh_member();
        let entries = member.journal(&self.job).map_err(|e: MemberError| e.to_string())?;
        let (mut joined, mut contributed, mut answered) = (false, BTreeSet::new(), BTreeSet::new());
        for entry in entries {
            match entry.event().map_err(|e| e.to_string())? {
                Note::Joined { job, .. } if job == self.job => joined = true,
                Note::Joined { job, .. } => return Err(format!("joined another job, {job}")),
                Note::Declined { .. } => {}
                Note::Confirmed { session, parties } => {
                    if story.rosters.get(&session).map(Roster::parties) != Some(parties.clone()) {
                        return Err(format!("confirmed session {session} of {parties:?}, which was never proposed"));
                    }
                }
                Note::Contributed { round, spec, commitment, .. } => {
                    if story.specs.get(&round).map(RoundSpec::digest) != Some(spec) {
                        return Err(format!("contributed to another specification of round {round}"));
                    }
                    if story.accepted.get(&(name.clone(), round)).is_some_and(|accepted| *accepted != commitment) {
                        return Err(format!("noted another contribution to round {round} than the accepted one"));
                    }
                    if !contributed.insert(round) {
                        return Err(format!("noted two contributions to round {round}"));
                    }
                }
                Note::Answered { round, survivors, parties } => {
                    let closed = story.closed.get(&round).map(|(digest, set)| (*digest, set.len() as u32));
                    if closed != Some((survivors, parties)) {
                        return Err(format!("answered round {round} for another survivor set"));
                    }
                    if !answered.insert(round) {
                        return Err(format!("noted two answers in round {round}"));
                    }
                }
                Note::Pinned { size, root } => {
                    if story.roots.get(&size) != Some(&root) {
                        return Err(format!("pinned another journal of {size} entries"));
                    }
                }
                Note::Witnessed { round, transcript, .. } => {
                    if story.transcripts.get(&round) != Some(&transcript) {
                        return Err(format!("saw another sum in round {round}"));
                    }
                }
                // Certificates are not valid yet, or any more, for whoever has a wrong clock.
                Note::Objected { reason, .. } if party.disk.ahead_ms != 0 && reason.contains("certificate") => {}
                Note::Objected { reason, .. } => return Err(format!("objected: {reason}")),
                Note::Exchanged { round, parcel, .. } => {
                    if story.accepted.get(&(name.clone(), round)).is_some_and(|accepted| *accepted != parcel) {
                        return Err(format!("noted another parcel of exchange {round} than the accepted one"));
                    }
                    if !contributed.insert(round) {
                        return Err(format!("noted two parcels of exchange {round}"));
                    }
                }
                Note::Spent { .. } => {}
                Note::Closed { transcript, reason } => closed_as_it_ended(transcript, reason, end)?,
            }
        }
        let accepted: BTreeSet<u64> = of(name, story.accepted.keys());
        let heard: BTreeSet<u64> = of(name, story.answered.iter());
        if (story.joined.contains(name) && !joined) || !accepted.is_subset(&contributed) || !heard.is_subset(&answered)
        {
            return Err("the coordinator has something of it that it has not noted".to_owned());
        }
        if self.told_twice.contains(&index) {
            return Err("said two different things in one step".to_owned());
        }
        Ok(())
    }

    /// Every sum is, bit for bit, that of what its survivors put into it, and the result is what follows from these sums.
    pub(super) fn sums_are_those_of_the_survivors(&self, story: &Story) -> Result<(), String> {
        if self.spec.vertical.is_some() {
            return self.result_is_the_label_holders(story);
        }
        let mut plan = Plan::begin(&self.spec);
        let mut result = None;
        for (round, digest, next) in &story.sums {
            let missing = || format!("the journal does not say what round {round} was");
            let spec = story.specs.get(round).ok_or_else(missing)?;
            let roster = story.rosters.get(&spec.session).ok_or_else(missing)?;
            let (_, survivors) = story.closed.get(round).ok_or_else(missing)?;
            if plan.task().to_json() != spec.task_json {
                return Err(format!("round {round} asked for something that does not follow from the sums before it"));
            }
            let sum = self.reference(spec, survivors)?;
            if sum_digest(&sum) != *digest {
                return Err(format!("the sum of round {round} is not that of its survivors' vectors"));
            }
            let contributors = survivors.len() as u32;
            let (parties, guaranteed) = (roster.parties(), roster.guaranteed_contributors());
            let followed = plan.clone().absorb_sum(&self.spec, &parties, guaranteed, &sum, contributors);
            match followed.map_err(|e| e.to_string())? {
                (_, Next::Continue(follows)) if next.as_ref() == Some(&*follows) => plan = *follows,
                (_, Next::Finished(json)) if next.is_none() => result = Some(json),
                _ => return Err(format!("another plan follows from round {round}")),
            }
        }
        if result == story.result { Ok(()) } else { Err("another result follows from the sums".to_owned()) }
    }

    /// The result of a vertical job is what the label holder signed when all were done.
    fn result_is_the_label_holders(&self, story: &Story) -> Result<(), String> {
        let Some(result) = &story.result else { return Ok(()) };
        let heads: Vec<ParcelHead> = story.parcels.values().cloned().collect();
        match completed(&heads, &self.spec) {
            Some(Ok(signed)) if signed == *result => Ok(()),
            _ => Err("another result follows from the parcels".to_owned()),
        }
    }

    /// The sum of what the survivors noted before any encryption.
    fn reference(&self, spec: &RoundSpec, survivors: &[PartyId]) -> Result<Vec<u64>, String> {
        let mut sum = vec![0u64; spec.parameters.dimension()];
        for name in survivors {
            let party = self.parties.iter().find(|p| p.disk.name == *name);
            let values = party.and_then(|p| p.noted.of(spec.session, spec.round));
            let values = values.ok_or_else(|| format!("{name} has no part in round {}", spec.round))?;
            if values.len() != sum.len() {
                return Err(format!("{name} contributed {} values to round {}", values.len(), spec.round));
            }
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += u64::from(value));
        }
        Ok(sum)
    }

    /// The longest that this job may take: every phase until its deadline, and all that faults hold up.
    pub(super) fn limit_ms(&self, proposals: u64, rounds: u64) -> u64 {
        let d = &self.spec.deadlines;
        let seconds = d.join_seconds + proposals * d.confirm_seconds + rounds * (d.round_seconds + d.answer_seconds);
        let held: u64 = self.options.faults.iter().map(|f| f.holds_up_ms()).fold(0, u64::saturating_add);
        (seconds * 1000 + RETRY_MS).saturating_add(held)
    }

    fn is_bounded(&self, story: &Story) -> Result<(), String> {
        let limit = self.limit_ms(story.proposals, story.specs.len() as u64 + story.exchanges);
        if story.over_ms > limit {
            return Err(format!("the job was over after {} virtual ms; {limit} were allowed", story.over_ms));
        }
        let most = MAX_WAITING_PER_PARTY * self.parties.len();
        if self.peak_queue > most {
            return Err(format!("{} steps waited in the network at once; {most} are allowed", self.peak_queue));
        }
        Ok(())
    }

    /// Every wait has an end: a job that is not over has a deadline, and it is not far away.
    pub(super) fn check_deadline(&mut self) {
        let Some(engine) = &self.coordinator.engine else { return };
        if engine.job().is_over() || self.coordinator_tries_again {
            return;
        }
        let d = &self.spec.deadlines;
        let longest = [d.join_seconds, d.confirm_seconds, d.round_seconds, d.answer_seconds].into_iter().max();
        let latest = self.now.plus_seconds(longest.unwrap_or(0));
        if engine.job().next_deadline().is_none_or(|at| at > latest) {
            self.complaints.push(format!("a wait without end: {}", engine.job().awaiting()));
        }
    }

    /// Compares with what the party said before in the same step.
    pub(super) fn note_said(&mut self, party: usize, said: &Said) {
        let step = match said {
            Said::Join(_) | Said::Decline(_) => "reply".to_owned(),
            Said::Confirm(c) => format!("confirmation {}", c.session),
            Said::Contribution { head, .. } => format!("contribution {}", head.round),
            Said::Answer(answer) => format!("answer {}", answer.round),
            Said::Parcel { head, .. } => format!("parcel {}", head.round),
            // A complaint by itself; see `note_refusal`.
            Said::Object(_) => return,
        };
        match self.said.get(&(party, step.clone())) {
            Some(before) if !same(before, said) => {
                self.told_twice.insert(party);
            }
            Some(_) => {}
            None => {
                self.said.insert((party, step), said.clone());
            }
        }
    }

    /// A refusal that puts the blame on somebody: nobody here is to blame. What came too late may be refused as such.
    pub(super) fn note_refusal(&mut self, party: usize, error: &MemberError) {
        let wrong_clock = self.parties[party].disk.ahead_ms != 0;
        let fine = match error {
            MemberError::Violation(
                Violation::StaleRound { .. } | Violation::OtherSession { message: "roster", .. },
            )
            | MemberError::Closed
            | MemberError::Vault(_)
            | MemberError::Contribute(ContributeError::Sink(_)) => true,
            MemberError::Violation(Violation::CoordinatorCertificate { .. }) => wrong_clock,
            MemberError::Violation(Violation::Relayed { source, .. }) => {
                wrong_clock && matches!(**source, Violation::Certificate { .. })
            }
            _ => false,
        };
        if !fine {
            let name = &self.parties[party].disk.name;
            self.complaints.push(format!("{name} refuses what an honest federation asks: {error}"));
        }
    }
}

fn closed_as_it_ended(noted: Option<Digest>, why: Option<String>, end: &Phase) -> Result<(), String> {
    let fits = match end {
        Phase::Finished { transcript, .. } => noted == Some(*transcript) || (noted.is_none() && why.is_some()),
        Phase::Stopped { reason, .. } => noted.is_none() && why.as_ref() == Some(reason),
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("noted another end of the job: {noted:?}, {why:?}")) }
}

fn of<'a>(name: &PartyId, keys: impl Iterator<Item = &'a (PartyId, u64)>) -> BTreeSet<u64> {
    keys.filter(|(party, _)| party == name).map(|(_, round)| *round).collect()
}

fn same(a: &Said, b: &Said) -> bool {
    match (a, b) {
        (Said::Join(a), Said::Join(b)) => a == b,
        (Said::Decline(a), Said::Decline(b)) => a == b,
        (Said::Confirm(a), Said::Confirm(b)) => a == b,
        (Said::Answer(a), Said::Answer(b)) => a == b,
        (Said::Parcel { head: a, letters: x }, Said::Parcel { head: b, letters: y }) => a == b && x == y,
        (
            Said::Contribution { head: a, sealed_shares: x, ciphertext: c },
            Said::Contribution { head: b, sealed_shares: y, ciphertext: d },
        ) => a == b && x == y && c == d,
        _ => false,
    }
}
