//! What travels between coordinator and participants in a simulation.

use std::sync::Arc;

use haihe_participant::member::SessionParts;
use haihe_privacy::{digest::Digest, sign::Signature};
use haihe_protocol::{
    check::SealedCheckKey,
    id::Timestamp,
    message::{Answer, Contribution, Objection, RoundSpec, SurvivorSet},
    roster::{Confirmation, Decline, Join, Roster},
    state::Receipt,
    vertical::exchange::ParcelHead,
};

/// What a participant is asked to do.
#[derive(Clone)]
pub(super) enum Ask {
    Offer {
        toml: Arc<str>,
        opened: Timestamp,
    },
    Confirm(Box<Roster>),
    Contribute {
        spec: RoundSpec,
        signature: Signature,
        session: Arc<SessionParts>,
        checkpoint: Arc<str>,
    },
    Answer {
        spec: RoundSpec,
        spec_signature: Signature,
        survivors: Box<SurvivorSet>,
        signature: Signature,
        sealed_shares: Arc<Vec<Vec<u8>>>,
        session: Arc<SessionParts>,
        checkpoint: Arc<str>,
    },
    Exchange {
        round: u64,
        previous: Digest,
        parcels: Arc<Vec<ParcelHead>>,
        session: Arc<SessionParts>,
        checkpoint: Arc<str>,
    },
    Closed {
        outcome: Result<(Arc<str>, Digest), String>,
        checkpoint: Arc<str>,
        session: Option<Arc<SessionParts>>,
        parcels: Arc<Vec<ParcelHead>>,
    },
}

impl Ask {
    /// The round that it is about; 0 while the session is being formed.
    pub(super) fn round(&self) -> u64 {
        match self {
            Ask::Offer { .. } | Ask::Confirm(_) => 0,
            Ask::Contribute { spec, .. } | Ask::Answer { spec, .. } => spec.round,
            Ask::Exchange { round, .. } => *round,
            Ask::Closed { .. } => u64::MAX,
        }
    }

    /// The head of the journal that comes with it, and the session that it is about.
    pub(super) fn checkpoint(&self) -> Option<(Option<u64>, &str, Option<&SessionParts>)> {
        match self {
            Ask::Contribute { spec, session, checkpoint, .. } | Ask::Answer { spec, session, checkpoint, .. } => {
                Some((Some(spec.round), checkpoint, Some(session.as_ref())))
            }
            Ask::Exchange { round, session, checkpoint, .. } => {
                Some((Some(*round), checkpoint, Some(session.as_ref())))
            }
            Ask::Closed { checkpoint, session, .. } => Some((None, checkpoint, session.as_deref())),
            Ask::Offer { .. } | Ask::Confirm(_) => None,
        }
    }

    /// What must be known before it is followed: its round, if it is one, and the transcript that it builds on.
    pub(super) fn builds_on(&self) -> Option<(Option<u64>, Digest, Option<&SessionParts>)> {
        match self {
            Ask::Contribute { spec, session, .. } | Ask::Answer { spec, session, .. } => {
                Some((Some(spec.round), spec.previous, Some(session.as_ref())))
            }
            Ask::Closed { outcome: Ok((_, transcript)), session, parcels, .. } if parcels.is_empty() => {
                Some((None, *transcript, session.as_deref()))
            }
            _ => None,
        }
    }
}

/// What a participant says.
#[derive(Clone)]
pub(super) enum Said {
    Join(Box<Join>),
    Decline(Box<Decline>),
    Confirm(Box<Confirmation>),
    Contribution { head: Box<Contribution>, sealed_shares: Arc<Vec<Vec<u8>>>, ciphertext: Arc<[u8]> },
    Answer(Box<Answer>),
    Parcel { head: Box<ParcelHead>, letters: Arc<[u8]> },
    Object(Box<Objection>),
}

/// One message. Parties are positions in the list of the simulation.
#[derive(Clone)]
pub(super) enum Message {
    Ask {
        to: usize,
        ask: Box<Ask>,
    },
    /// `whole` is false if an upload breaks off half-way.
    Said {
        from: usize,
        ticket: u64,
        said: Said,
        whole: bool,
    },
    Receipt {
        to: usize,
        ticket: u64,
        receipt: Receipt,
    },
}

impl Message {
    /// Whose line it takes, and whether towards the coordinator.
    pub(super) fn line(&self) -> (usize, bool) {
        match self {
            Message::Ask { to, .. } | Message::Receipt { to, .. } => (*to, false),
            Message::Said { from, .. } => (*from, true),
        }
    }

    /// Its kind, for the count of messages, and the bytes of what it carries (envelopes are not counted).
    pub(super) fn weight(&self) -> (&'static str, u64) {
        let sum = |parts: &[Vec<u8>]| parts.iter().map(|p| p.len() as u64).sum::<u64>();
        let heads = |parcels: &[ParcelHead]| parcels.iter().map(|p| p.bytes() - p.body_bytes() + 200).sum::<u64>();
        match self {
            Message::Ask { ask, .. } => match ask.as_ref() {
                Ask::Offer { toml, .. } => ("job offer", toml.len() as u64),
                Ask::Confirm(roster) => {
                    ("roster", roster.entries.iter().map(|e| e.signing_certificate.len() as u64 + 160).sum())
                }
                Ask::Contribute { spec, .. } => ("round (M1)", spec.task_json.len() as u64 + 200),
                Ask::Answer { sealed_shares, survivors, .. } => {
                    let heads: usize = survivors.survivors.iter().map(|s| 180 + 32 * s.share_digests.len()).sum();
                    ("survivors (M3)", sum(sealed_shares) + heads as u64)
                }
                Ask::Exchange { parcels, .. } => ("exchange (X2)", heads(parcels) + 200),
                Ask::Closed { outcome, .. } => {
                    ("job closed", outcome.as_ref().map_or(0, |(json, _)| json.len() as u64))
                }
            },
            Message::Said { said, .. } => match said {
                Said::Join(join) => ("join", join.signing_certificate.len() as u64 + 160),
                Said::Decline(decline) => ("decline", decline.reason.len() as u64),
                Said::Confirm(_) => ("confirmation", 192),
                Said::Contribution { sealed_shares, ciphertext, .. } => {
                    ("contribution (M2)", sum(sealed_shares) + ciphertext.len() as u64)
                }
                Said::Answer(answer) => ("answer (M4)", answer.share_sum.len() as u64),
                Said::Parcel { head, .. } => ("parcel (X1)", head.bytes()),
                Said::Object(objection) => ("objection", objection.reason.len() as u64 + 160),
            },
            Message::Receipt { .. } => ("receipt", 0),
        }
    }

    /// What travels inside of it and tells something of its own.
    pub(super) fn inside(&self) -> Option<(&'static str, u64)> {
        match self {
            Message::Ask { ask, .. } => match ask.as_ref() {
                Ask::Contribute { checkpoint, .. }
                | Ask::Answer { checkpoint, .. }
                | Ask::Exchange { checkpoint, .. }
                | Ask::Closed { checkpoint, .. } => Some(("checkpoint", checkpoint.len() as u64)),
                Ask::Offer { .. } | Ask::Confirm(_) => None,
            },
            Message::Said { said: Said::Confirm(c), .. } => {
                let sealed = |k: &SealedCheckKey| 32 + k.sealed.iter().map(|s| s.len() as u64).sum::<u64>();
                c.check_key.as_ref().map(|k| ("check key", sealed(k)))
            }
            _ => None,
        }
    }
}
