//! What a journal may say next: an event is put before the very decision that would have made it, so that an auditor and a
//! coordinator go by one book of rules.

use super::*;
use crate::{
    audit::Breach,
    checkpoint::TreeHead,
    message::sealed_share_bytes,
    witness::{result_digest, round_transcript, sum_digest},
};

/// Begins every reason that blames the coordinator's certificate, which is in no journal unless a roster carries it.
const CERTIFICATE_REFUSED: &str = "the coordinator's certificate is not acceptable";

/// What an auditor holds beside the journal.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Head of the journal at the beginning of the present round, computed anew.
    pub round_head: &'a TreeHead,
    /// The sum of the round, as integers, if it was shown.
    pub sum: Option<&'a [u64]>,
}

impl Job {
    /// Checks that the coordinator could have decided `event` at `at`: the message in it verifies, and [`Job::decide`]
    /// leads to it. Returns the events that the same decision records after it.
    ///
    /// What no journal holds is taken from the event: why a sum could not be opened or a contribution was rejected and,
    /// if [`Beside::sum`] is absent, what became of the sum.
    pub fn admits(&self, at: Timestamp, event: &Event, beside: &Beside<'_>) -> Result<Vec<Event>, Breach> {
        let head = &self.head;
        let command = match event {
            Event::JobFinished { .. } if matches!(self.phase, Phase::Exchanging(_)) => Command::Tick,
            Event::JobOpened { .. } | Event::JobFinished { .. } => return Err(self.undecided(&[])),
            Event::Joined { join } => {
                Command::Join(Verified::join(join.clone(), &head.job, &head.spec, &self.trust, at)?)
            }
            Event::Declined { decline } => {
                Command::Decline(Verified::decline(decline.clone(), &head.job, &head.spec, &self.trust, at)?)
            }
            Event::Confirmed { confirmation } => {
                let (roster, keys) = self.proposal().ok_or_else(|| self.refuse("confirmation"))?;
                Command::Confirm(Verified::confirmation(confirmation.clone(), roster, keys)?)
            }
            Event::ContributionAccepted { contribution, .. } => self.contribution(contribution, beside.round_head)?,
            Event::ParcelAccepted { parcel, .. } => {
                let expected = self.expected_parcel(beside.round_head).ok_or_else(|| self.refuse("parcel"))?;
                Command::Parcel(Verified::parcel(parcel.clone(), &expected)?)
            }
            Event::ContributionRejected { party, round, reason } => {
                Command::Reject { party: party.clone(), round: *round, reason: reason.clone() }
            }
            Event::ContributionLate { party, round } => Command::Late { party: party.clone(), round: *round },
            Event::Answered { answer } => {
                let asked = self.asked().filter(|(spec, ..)| spec.round == answer.round);
                let (spec, survivors, session) = asked.ok_or_else(|| self.refuse("answer"))?;
                Command::Answer(Verified::answer(answer.clone(), survivors, session, spec)?)
            }
            Event::Objected { objection } => {
                let session = self.session().ok_or_else(|| self.refuse("objection"))?;
                Command::Object(Verified::objection(objection.clone(), session)?)
            }
            Event::JobCancelled { by, reason } => Command::Cancel { by: by.clone(), reason: reason.clone() },
            Event::SumOpened { .. } | Event::RoundLost { .. } | Event::JobFailed { .. }
                if self.ready_to_open(at).is_some() =>
            {
                return self.admits_opening(at, event, beside);
            }
            Event::JobFailed { reason } if reason.starts_with(CERTIFICATE_REFUSED) => return self.admits_refused(at),
            Event::RosterProposed { roster } => {
                roster.verify(&head.job, &head.spec, &self.trust, at)?;
                Command::Tick
            }
            Event::SessionOpened { .. } => {
                if let Phase::Confirming(c) = &self.phase {
                    self.establish(c, at)?;
                }
                Command::Tick
            }
            _ => Command::Tick,
        };
        self.leads_to(self.decide(at, command)?, event)
    }

    /// From now on, rosters are expected to carry this certificate: it is renewed now and then.
    pub(crate) fn expect_coordinator(&mut self, certificate: &[u8]) {
        self.coordinator_certificate = certificate.to_vec();
    }

    fn contribution(&self, contribution: &Contribution, round_head: &TreeHead) -> Result<Command, Breach> {
        let running = self.open_round().zip(self.session());
        let (spec, session) = running.ok_or_else(|| self.refuse("contribution"))?;
        let contribution = Verified::contribution_head(contribution.clone(), session, spec, round_head)?;
        let sealed = contribution.share_digests.len() * sealed_share_bytes(session, spec);
        let bytes = contribution.ciphertext_bytes + sealed as u64;
        Ok(Command::Contribute { contribution, bytes })
    }

    /// What may follow enough answers: a sum that was opened, or not, or that led nowhere.
    fn admits_opening(&self, at: Timestamp, event: &Event, beside: &Beside<'_>) -> Result<Vec<Event>, Breach> {
        let Phase::Opening(o) = &self.phase else { return Err(self.undecided(&[])) };
        let wrong = match event {
            Event::SumOpened { wrong_answers, .. } => wrong_answers.clone(),
            _ => Vec::new(),
        };
        if let Some(party) = wrong.iter().find(|p| !o.answers.contains_key(*p)) {
            return Err(Breach::WrongAnswer { party: party.clone() });
        }
        if let (Event::SumOpened { sum, round, .. }, Some(shown)) = (event, beside.sum.map(sum_digest))
            && shown != *sum
        {
            return Err(Breach::OtherSum { round: *round, shown });
        }
        match (event, beside.sum) {
            (Event::RoundLost { reason, .. }, _) => {
                self.leads_to(self.decide(at, Command::NotOpened { reason: reason.clone() })?, event)
            }
            (_, Some(sum)) => {
                let command = Command::Opened { sum: sum.to_vec(), wrong_answers: wrong };
                self.leads_to(self.decide(at, command)?, event)
            }
            (Event::SumOpened { sum, wrong_answers, summary, plan, .. }, None) => {
                let transcript = round_transcript(&o.spec.previous, &o.spec.digest(), &o.digest, sum);
                let expected = Event::SumOpened {
                    round: o.spec.round,
                    sum: *sum,
                    wrong_answers: wrong_answers.clone(),
                    transcript,
                    summary: crate::horizontal::Summary { step: o.running.plan.step().to_owned(), ..summary.clone() },
                    plan: plan.clone(),
                };
                self.leads_to(vec![expected], event)
            }
            // Whether the sum led nowhere is not to be seen without it.
            (_, None) => Ok(Vec::new()),
        }
    }

    /// A coordinator whose certificate does not hold any more fails the job where it would have proposed a roster.
    fn admits_refused(&self, at: Timestamp) -> Result<Vec<Event>, Breach> {
        let decided = self.decide(at, Command::Tick)?;
        match decided.first() {
            Some(Event::RosterProposed { .. }) => Ok(Vec::new()),
            Some(Event::JobFailed { reason }) if reason.starts_with(CERTIFICATE_REFUSED) => Ok(Vec::new()),
            _ => Err(self.undecided(&decided)),
        }
    }

    fn leads_to(&self, mut decided: Vec<Event>, event: &Event) -> Result<Vec<Event>, Breach> {
        match decided.first() {
            Some(first) if first == event => Ok(decided.split_off(1)),
            Some(first) if first.kind() == event.kind() => Err(Breach::differs(first, event)),
            _ => Err(self.undecided(&decided)),
        }
    }

    fn undecided(&self, decided: &[Event]) -> Breach {
        Breach::Undecided { phase: self.phase_name(), instead: decided.first().map(Event::kind) }
    }
}

/// Checks the end of a job that follows the last sum, where the sum was not shown.
pub(crate) fn admits_result(event: &Event) -> Result<(), Breach> {
    match event {
        Event::JobFinished { result_json, .. } => {
            let expected = Event::JobFinished { result: result_digest(result_json), result_json: result_json.clone() };
            if expected == *event { Ok(()) } else { Err(Breach::differs(&expected, event)) }
        }
        _ => Err(Breach::Unfinished),
    }
}
