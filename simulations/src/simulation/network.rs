//! The network of a simulation: latencies from the seed, and what the list of faults does to messages.

use std::collections::VecDeque;

use haihe_protocol::id::{PartyId, Timestamp};
use rand::RngExt as _;

use super::{Federation, OPENED, Step, message::Message};
use crate::fault::{During, Fault};

/// Until when a party's line is busy, to the coordinator and from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    up: Timestamp,
    pub(super) down: Timestamp,
}

/// Is `at` inside a window that begins at `from` and lasts `length`?
fn within(at: u64, from: u64, length: u64) -> bool {
    (from..from.saturating_add(length)).contains(&at)
}

impl Federation {
    /// Milliseconds since the job was opened.
    pub(super) fn elapsed(&self) -> u64 {
        self.now.0 - OPENED.0
    }

    /// When something that is due at `at` happens: not while everything stands still.
    pub(super) fn after_standstill(&mut self, at: Timestamp) -> Timestamp {
        let mut at = at;
        let mut windows: VecDeque<usize> = (0..self.options.faults.len()).collect();
        while let Some(fault) = windows.pop_front() {
            if let Fault::Standstill { at_ms, for_ms } = self.options.faults[fault]
                && within(at.0 - OPENED.0, at_ms, for_ms)
            {
                at = Timestamp(OPENED.0 + at_ms.saturating_add(for_ms));
                self.struck.insert(fault);
                self.disturb_all();
                // The end of one may lie in another.
                windows = (0..self.options.faults.len()).collect();
            }
        }
        at
    }

    /// Something happened to a party: it may be late, and be called absent.
    pub(super) fn disturb(&mut self, fault: usize, party: usize) {
        self.struck.insert(fault);
        self.disturbed.insert(party);
    }

    pub(super) fn disturb_all(&mut self) {
        self.disturbed.extend(0..self.parties.len());
    }

    /// Is a party cut off from the coordinator now?
    pub(super) fn is_cut_off(&mut self, party: usize) -> bool {
        let (now, name) = (self.elapsed(), &self.parties[party].disk.name);
        let cut = self.options.faults.iter().position(|fault| match fault {
            Fault::Partition { parties, from_ms, for_ms } => parties.contains(name) && within(now, *from_ms, *for_ms),
            _ => false,
        });
        if let Some(fault) = cut {
            self.disturb(fault, party);
        }
        cut.is_some()
    }

    /// Milliseconds until a message of `bytes` is there.
    fn travel(&mut self, party: usize, up: bool, bytes: u64) -> u64 {
        let mut latency = self.network.random_range(self.options.latency_ms.clone());
        let name = &self.parties[party].disk.name;
        let slow = self.options.faults.iter().position(|fault| match fault {
            Fault::SlowLink { party: whose, .. } => whose.as_ref().is_none_or(|whose| whose == name),
            _ => false,
        });
        if let Some(fault) = slow
            && let Fault::SlowLink { kbit_per_second, latency_ms, .. } = self.options.faults[fault]
        {
            self.disturb(fault, party);
            let line = &mut self.lines[party];
            let busy = if up { &mut line.up } else { &mut line.down };
            // One kbit/s is one bit in a millisecond.
            let sending = bytes.saturating_mul(8).div_ceil(kbit_per_second.max(1));
            *busy = Timestamp(busy.0.max(self.now.0).saturating_add(sending));
            latency = latency.saturating_add(busy.0 - self.now.0).saturating_add(latency_ms);
        }
        latency
    }

    /// Sends a message, and says how long it takes if nothing happens to it.
    pub(super) fn send(&mut self, message: Message) -> u64 {
        let number = self.sent;
        self.sent += 1;
        for (kind, bytes) in [message.weight()].into_iter().chain(message.inside()) {
            self.count_traffic(kind, bytes);
        }
        let (party, up) = message.line();
        let (_, bytes) = message.weight();
        let travel = self.travel(party, up, bytes);
        if self.is_cut_off(party) {
            return travel;
        }
        let (mut message, mut latency, mut behind) = (message, travel, None);
        for fault in 0..self.options.faults.len() {
            match self.options.faults[fault] {
                Fault::Drop { message: m } if m == number => {
                    self.disturb(fault, party);
                    return travel;
                }
                Fault::Delay { message: m, by_ms } if m == number => latency = latency.saturating_add(by_ms),
                Fault::Double { message: m, later_ms } if m == number => {
                    self.at(latency.saturating_add(later_ms), Step::Deliver(message.clone()));
                }
                Fault::Reorder { message: m, behind: others } if m == number => behind = Some(others),
                Fault::Cut { message: m } if m == number => match &mut message {
                    Message::Said { whole, .. } => *whole = false,
                    _ => {
                        self.disturb(fault, party);
                        return travel;
                    }
                },
                _ => continue,
            }
            self.disturb(fault, party);
        }
        match behind {
            Some(others) if others > 0 => self.held.push((others, message)),
            _ => self.at(latency, Step::Deliver(message)),
        }
        travel
    }

    pub(super) fn release_held(&mut self) {
        let mut due = Vec::new();
        self.held.retain_mut(|(others, message)| {
            *others -= 1;
            if *others == 0 {
                due.push(message.clone());
            }
            *others > 0
        });
        for message in due {
            self.at(1, Step::Deliver(message));
        }
    }

    /// The fault that makes a party deaf to a request, if there is one.
    pub(super) fn ignores(&self, party: &PartyId, round: u64, request: During) -> Option<usize> {
        self.options.faults.iter().position(|fault| match fault {
            Fault::Silent { party: silent, from_round, rounds, during } => {
                let covered = (*from_round..=from_round.saturating_add(*rounds).saturating_sub(1)).contains(&round)
                    || (*rounds == u64::MAX && round >= *from_round);
                silent == party && *rounds > 0 && covered && (*during == During::Everything || *during == request)
            }
            _ => false,
        })
    }

    /// The fault that kills a party at its message `number`: which, whether it works first, for how long it is away.
    pub(super) fn crash_at(&self, name: &PartyId, number: u64) -> Option<(usize, bool, u64)> {
        self.options.faults.iter().enumerate().find_map(|(fault, what)| match what {
            Fault::CrashOnMessage { party, message, worked, down_ms } if party == name && *message == number => {
                Some((fault, *worked, *down_ms))
            }
            Fault::CrashLoop { party, message, times, down_ms }
                if party == name && within(number, *message, *times) =>
            {
                Some((fault, false, *down_ms))
            }
            _ => None,
        })
    }
}
