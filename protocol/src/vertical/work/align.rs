//! First part of every vertical job: the parties find the firms that all of them have, and put their rows in one order.
//!
//! | exchange | what is sent |
//! |---|---|
//! | 1 | announced: number of firms and commitment to them; a seed to every feature holder with a higher index |
//! | 2 .. 2N + 1 | the letters of [`haihe_privacy::align`] |

use haihe_models::firm::read_keys;
use haihe_privacy::{
    align::{AlignError, Aligner as _, Alignment, InputCommitment, Letter as Passed, Outcome, Ring, Secret, Terms},
    digest::Digest,
    pairwise::PairSeed,
};
use serde::{Deserialize, Serialize};

use super::{
    StepError,
    context::{Context, threads},
    letters::{self, LetterKind},
};
use crate::vertical::Outbox;

/// What a party announces of its firms before a key of them is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmsAnnounced {
    /// How many.
    pub firms: u32,
    /// Root of the Merkle tree over salted hashes of their keys (`haihe_privacy::align::InputCommitment`).
    pub commitment: Digest,
}

/// What is remembered while firms are aligned.
#[derive(Serialize, Deserialize)]
pub(super) struct Aligning {
    /// Announced sizes, once all have announced.
    sizes: Vec<u32>,
    /// Seeds shared with the other feature holders.
    pub pairs: Vec<(usize, [u8; 32])>,
    /// A letter to oneself.
    kept: Vec<(u32, Vec<u8>)>,
    /// How many firms the comparator found, which is told nobody before the firms are aligned.
    common: Option<usize>,
}

/// A party's own rows of the common firms, in the common order.
pub(super) type Rows = Vec<u32>;

pub(super) enum Aligned {
    /// Not yet; this is sent.
    More(Aligning, Outbox),
    /// Done: nothing was sent yet in this exchange.
    Rows(Aligning, Rows),
}

fn secret(c: &Context<'_>) -> Secret {
    Secret::new(c.purpose_at("align", 0), c.me() as u32, c.secret("align"))
}

fn keys(c: &Context<'_>) -> Result<Vec<String>, StepError> {
    read_keys(c.options.alignment.key_kind, &c.firms.keys).map_err(|problems| c.own(problems))
}

/// What the parties brought does not meet: nobody did anything wrong.
fn too_few(c: &Context<'_>, minimum: u32, apart: u32) -> StepError {
    let parties = c.place.parties.iter().enumerate();
    let names: Vec<&str> = parties.filter(|(p, _)| apart >> p & 1 == 1).map(|(_, name)| name.as_str()).collect();
    let who = match names.as_slice() {
        [] => "every party alone has as many in common with the label holder: leave one out".to_owned(),
        names => {
            let holder = c.name(c.label_holder);
            names.iter().map(|n| format!("{holder} and {n} alone have fewer")).collect::<Vec<_>>().join(", ")
        }
    };
    c.job(format!(
        "fewer than {minimum} firms are common to all parties (how many is not told); {who}: compare the views, their periods and \
         kinds of key, or lower vertical.alignment.min_common"
    ))
}

fn named(c: &Context<'_>, error: AlignError) -> StepError {
    // Everybody's parcel is here: a letter that is not in it was not written.
    let missing = match error {
        AlignError::LetterMissing { from } => Some(from),
        AlignError::BelowMinimum { minimum, apart } => return too_few(c, minimum, apart),
        _ => None,
    };
    match error.culprit().or(missing) {
        Some(party) if (party as usize) < c.place.parties.len() => c.peer(party as usize, error),
        _ => c.own(error),
    }
}

impl Aligning {
    /// Exchange 1.
    pub fn begin(c: &mut Context<'_>) -> Result<(Self, Outbox), StepError> {
        let InputCommitment { size, root } = secret(c).commit(&keys(c)?).map_err(|e| named(c, e))?;
        let announced = FirmsAnnounced { firms: size, commitment: Digest::from_bytes(*root.as_bytes()) };
        let mut outbox = Outbox::default();
        outbox.announcement.phase = "align: announce".to_owned();
        outbox.announcement.body_json = serde_json::to_string(&announced).expect("plain data");
        if !c.is_label_holder() {
            for other in c.feature_holders().into_iter().filter(|o| *o > c.me()) {
                let body = c.pair_seed(other).expose_bytes().to_vec();
                outbox.letters.push(letters::raw(LetterKind::PairSeed, vec![other], body));
            }
        }
        Ok((Self { sizes: Vec::new(), pairs: Vec::new(), kept: Vec::new(), common: None }, outbox))
    }

    fn terms(&self, c: &Context<'_>) -> Result<Terms, StepError> {
        let ring = Ring::new(c.place.parties.len() as u32, c.label_holder as u32).map_err(|e| c.job(e))?;
        let least = c.options.alignment.min_common;
        let bounded = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let maximum = bounded(c.options.alignment.max_firms);
        Ok(Terms { session: c.purpose_at("align", 0), ring, minimum: bounded(least), maximum })
    }

    /// Reads what all announced, and the seeds.
    fn hear(&mut self, c: &Context<'_>) -> Result<(), StepError> {
        for (party, announcement) in c.inbox.announcements.iter().enumerate() {
            let announced: FirmsAnnounced = serde_json::from_str(&announcement.body_json)
                .map_err(|_| c.peer(party, "announced nothing of its firms"))?;
            self.sizes.push(announced.firms);
        }
        if c.is_label_holder() {
            return Ok(());
        }
        for other in c.feature_holders().into_iter().filter(|o| *o != c.me()) {
            let seed = if other > c.me() {
                *c.pair_seed(other).expose_bytes()
            } else {
                c.body(other, "seed of the pair")?.try_into().map_err(|_| c.peer(other, "its seed has no 32 bytes"))?
            };
            self.pairs.push((other, seed));
        }
        Ok(())
    }

    /// Exchanges 2 to 2N + 1, and the end.
    pub fn step(mut self, c: &mut Context<'_>) -> Result<Aligned, StepError> {
        let number = (c.exchange - 1) as u32;
        if number == 1 {
            self.hear(c)?;
        }
        let (terms, me) = (self.terms(c)?, c.me() as u32);
        let alignment =
            Alignment::new(terms, self.sizes.clone(), secret(c), threads()).map_err(|error| named(c, error))?;
        let mut inbox: Vec<Passed> = self.kept.drain(..).map(|(from, bytes)| Passed { from, to: me, bytes }).collect();
        if number > 1 {
            let letters = c.inbox.letters.iter();
            inbox.extend(letters.map(|(from, body)| Passed { from: *from as u32, to: me, bytes: body.clone() }));
        }
        let own = if number == 1 { keys(c)? } else { Vec::new() };
        let phase = format!("align {number}/{}", alignment.exchanges());
        let progress = &mut *c.progress;
        let step = alignment.step(number, &own, &inbox, &mut |done, of| progress(&phase, done, of));
        match step.map_err(|error| named(c, error))? {
            Outcome::Rows(rows) if self.common.is_some_and(|common| common != rows.len()) => {
                Err(c.others("its list of common firms came back with another length"))
            }
            Outcome::Rows(rows) => Ok(Aligned::Rows(self, rows)),
            Outcome::Send(letters) => {
                let mut outbox = Outbox::default();
                outbox.announcement.phase = phase;
                let kind = match number {
                    n if n < terms.ring.parties() => LetterKind::Points,
                    n if n == terms.ring.parties() => LetterKind::Tags,
                    _ => LetterKind::Positions,
                };
                if kind == LetterKind::Positions && number == terms.ring.parties() + 1 {
                    self.common = letters.first().map(|letter| letter.bytes.len() / 4);
                }
                for letter in letters {
                    if letter.to == me {
                        self.kept.push((me, letter.bytes));
                    } else {
                        outbox.letters.push(letters::raw(kind, vec![letter.to as usize], letter.bytes));
                    }
                }
                Ok(Aligned::More(self, outbox))
            }
        }
    }

    /// The seeds as masks take them.
    pub fn pair_seeds(pairs: &[(usize, [u8; 32])]) -> Vec<(usize, PairSeed)> {
        pairs.iter().map(|(other, seed)| (*other, PairSeed::from_bytes(*seed))).collect()
    }
}
