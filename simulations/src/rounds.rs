//! What a journal says about each round; for reports on a simulation and on a deployment alike.

use std::collections::BTreeMap;

use haihe_protocol::{
    horizontal::Summary,
    id::{PartyId, Timestamp},
    journal::{Entry, Event, JournalError},
};
use serde::{Deserialize, Serialize};

/// One round whose sum was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundFacts {
    /// Its number.
    pub round: u64,
    /// Contributors.
    pub contributors: u32,
    /// Values in the vector.
    pub dimension: u64,
    /// Bytes received from all parties: ciphertexts, sealed shares, answers.
    pub bytes: u64,
    /// Milliseconds from opening the round to the opened sum; virtual in a simulation.
    pub milliseconds: u64,
    /// Step and what came of it.
    pub summary: Summary,
}

#[derive(Default)]
struct Seen {
    opened: Timestamp,
    dimension: u64,
    bytes: u64,
    survivors: Vec<PartyId>,
}

/// The closed rounds of a journal, in order.
pub fn round_facts(entries: &[Entry]) -> Result<Vec<RoundFacts>, JournalError> {
    let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
    let mut facts = Vec::new();
    for entry in entries {
        match entry.event::<Event>()? {
            Event::RoundOpened { spec } => {
                let dimension = spec.parameters.dimension() as u64;
                seen.insert(spec.round, Seen { opened: entry.at, dimension, ..Seen::default() });
            }
            Event::ContributionAccepted { contribution, bytes } => {
                seen.entry(contribution.round).or_default().bytes += bytes;
            }
            Event::ContributionsClosed { round, survivors, .. } => {
                seen.entry(round).or_default().survivors = survivors;
            }
            Event::Answered { answer } => {
                seen.entry(answer.round).or_default().bytes += answer.share_sum.len() as u64;
            }
            Event::SumOpened { round, summary, .. } => {
                let Seen { opened, dimension, bytes, survivors } = seen.remove(&round).unwrap_or_default();
                facts.push(RoundFacts {
                    round,
                    contributors: survivors.len() as u32,
                    dimension,
                    bytes,
                    milliseconds: entry.at.0.saturating_sub(opened.0),
                    summary,
                });
            }
            _ => {}
        }
    }
    Ok(facts)
}
