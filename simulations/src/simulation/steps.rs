//! What parties of a simulated vertical job do in an exchange: what a deployed participant does, or small talk that tests the
//! exchanges themselves.

use std::collections::BTreeMap;

use haihe_privacy::{digest::Transcript, prg::SecretStream};
use haihe_protocol::{
    error::Fault,
    id::PartyId,
    job::JobSpec,
    vertical::{
        Announcement, Inbox, Letter, Outbox,
        work::{Firms, Place, StepError, Stepped, Work},
    },
};

/// What a party does between two exchanges.
pub trait Steps: Send + Sync {
    /// As [`Work::step`]: the same answer to the same inbox, always.
    ///
    /// # Errors
    /// If the party cannot go on: it objects, and the job ends.
    fn step(
        &self,
        work: Work,
        spec: &JobSpec,
        place: &Place,
        inbox: &Inbox,
        firms: &Firms,
    ) -> Result<Stepped, StepError>;
}

/// What a deployed participant does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deployed;

impl Steps for Deployed {
    fn step(
        &self,
        work: Work,
        spec: &JobSpec,
        place: &Place,
        inbox: &Inbox,
        firms: &Firms,
    ) -> Result<Stepped, StepError> {
        work.step(spec, place, inbox, firms, &mut |_, _, _| {})
    }
}

/// Everybody writes to everybody and, in a second letter, to its neighbour; everybody compares what it gets with what must
/// have been written.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Exchanges until all are done.
    pub exchanges: u64,
    /// Length of a letter.
    pub letter_bytes: usize,
    /// Who cannot go on, in which exchange, and why.
    pub fails: Option<(PartyId, u64, String)>,
}

impl Echo {
    /// So many exchanges, without trouble.
    pub fn new(exchanges: u64) -> Self {
        Self { exchanges, letter_bytes: 1000, fails: None }
    }

    fn letters(&self, place: &Place, from: usize, exchange: u64) -> Vec<Letter> {
        let others: Vec<usize> = (0..place.parties.len()).filter(|to| *to != from).collect();
        let neighbour = vec![(from + 1) % place.parties.len()];
        let letter = |(index, to): (u64, Vec<usize>)| {
            let seed =
                Transcript::new("haihe/v1/echo").digest(&place.session).u64(from as u64).u64(exchange).u64(index);
            let mut body = vec![0; self.letter_bytes];
            SecretStream::new(seed.finish().as_bytes(), 0).fill(&mut body);
            Letter { to, body }
        };
        (0..).zip([others, neighbour]).map(letter).collect()
    }

    /// Who wrote what to `me`.
    fn expected(&self, place: &Place, exchange: u64) -> Vec<(usize, Vec<u8>)> {
        let from = |from: usize| {
            let meant = self.letters(place, from, exchange).into_iter().filter(|l| l.to.contains(&place.me));
            meant.map(move |letter| (from, letter.body)).collect::<Vec<_>>()
        };
        (0..place.parties.len()).flat_map(from).collect()
    }
}

impl Steps for Echo {
    fn step(&self, work: Work, spec: &JobSpec, place: &Place, inbox: &Inbox, _: &Firms) -> Result<Stepped, StepError> {
        let error = |fault, reason: &str| StepError { fault, reason: reason.to_owned() };
        let before = inbox.announcements.iter().map(|a| a.body_json.parse::<u64>());
        let before = before.collect::<Result<Vec<u64>, _>>().map_err(|_| error(Fault::Coordinator, "no number"))?;
        let exchange = before.first().map_or(1, |n| n + 1);
        if before.iter().any(|n| n + 1 != exchange) {
            return Err(error(Fault::Coordinator, "the parties are not in the same exchange"));
        }
        if exchange > 1 && inbox.letters != self.expected(place, exchange - 1) {
            return Err(error(Fault::Coordinator, "other letters than were written"));
        }
        let me = &place.parties[place.me];
        if let Some((party, at, reason)) = &self.fails
            && party == me
            && *at == exchange
        {
            return Err(error(Fault::Participant(me.clone()), reason));
        }
        let done = exchange == self.exchanges;
        let holds_label = spec.vertical.as_ref().is_some_and(|v| v.is_label_holder(me));
        let announcement = Announcement {
            phase: format!("echo {exchange}/{}", self.exchanges),
            body_json: exchange.to_string(),
            done,
            result_json: (done && holds_label).then(|| format!("{{\"exchanges\":{exchange}}}")),
        };
        let letters = if done { Vec::new() } else { self.letters(place, place.me, exchange) };
        let kept = || BTreeMap::from([("echo.txt".to_owned(), format!("{me} {exchange}").into_bytes())]);
        Ok(Stepped { work, outbox: Outbox { announcement, letters, ..Outbox::default() }, kept: done.then(kept) })
    }
}
