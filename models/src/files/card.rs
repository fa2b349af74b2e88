//! The model card: what a network is, where it comes from, and what it is good for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FileError;
use crate::network::{Architecture, Encoder, LearnerError};

/// Version of the stored form.
pub const CARD_VERSION: u32 = 1;
/// Most bytes of a card's JSON.
pub const MAX_CARD_BYTES: usize = 4 << 20;
/// Most bytes of one text.
const MAX_TEXT: usize = 16_384;
/// Most parties, figures or thresholds.
const MAX_ENTRIES: usize = 10_000;

/// What people and programs must know of a network before they use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// [`CARD_VERSION`].
    pub version: u32,
    /// What the owners call the model.
    pub name: String,
    /// [`ModelCard::kind_of`] its architecture.
    pub kind: String,
    /// The network.
    pub architecture: Architecture,
    /// How raw rows become the network's inputs; `None` if the inputs are taken as they are.
    #[serde(default)]
    pub encoder: Option<Encoder>,
    /// The job that trained it.
    pub job: String,
    /// The federation, in words.
    pub federation: String,
    /// The parties that trained it.
    pub parties: Vec<String>,
    /// Rounds of training.
    pub rounds: u32,
    /// The round whose parameters these are.
    pub best_round: u32,
    /// Train rows of all parties together.
    pub training_rows: u64,
    /// Evaluation: the name of a figure and its value.
    pub figures: BTreeMap<String, f64>,
    /// From which score on which action is meant.
    pub thresholds: BTreeMap<String, f64>,
    /// What is promised about single rows or firms; `None` if nothing is.
    #[serde(default)]
    pub privacy: Option<Privacy>,
    /// Under which terms it may be used.
    pub licence: String,
    /// What it is meant for.
    pub intended_use: String,
    /// What it must not be used for, and where it is known to be weak.
    pub limits: String,
    /// When the card was made: RFC 3339, as in `2026-03-01T09:30:00Z`.
    pub created: String,
    /// Digest of the job's transcript, in hexadecimal; empty if there is none.
    pub transcript: String,
}

/// A promise of differential privacy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// In words: of what, against whom.
    pub statement: String,
    /// Epsilon.
    #[serde(default)]
    pub epsilon: Option<f64>,
    /// Delta.
    #[serde(default)]
    pub delta: Option<f64>,
}

impl ModelCard {
    /// The word for a kind of network.
    pub fn kind_of(architecture: &Architecture) -> &'static str {
        match architecture {
            Architecture::Logistic { .. } => "logistic",
            Architecture::Mlp { .. } => "mlp",
            Architecture::Autoencoder { .. } => "autoencoder",
            Architecture::Lstm { .. } => "lstm",
        }
    }

    /// A card that says nothing yet but which network it is of.
    pub fn new(name: &str, architecture: Architecture, created: &str) -> ModelCard {
        ModelCard {
            version: CARD_VERSION,
            name: name.to_owned(),
            kind: ModelCard::kind_of(&architecture).to_owned(),
            architecture,
            encoder: None,
            job: String::new(),
            federation: String::new(),
            parties: Vec::new(),
            rounds: 0,
            best_round: 0,
            training_rows: 0,
            figures: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            privacy: None,
            licence: String::new(),
            intended_use: String::new(),
            limits: String::new(),
            created: created.to_owned(),
            transcript: String::new(),
        }
    }

    /// Checks the version, the network's sizes and the ranges of the fields.
    pub fn check(&self) -> Result<(), FileError> {
        let rule = |holds, field, allowed| if holds { Ok(()) } else { Err(FileError::Field { field, allowed }) };
        if self.version != CARD_VERSION {
            return Err(FileError::Version { found: self.version });
        }
        self.architecture.validate()?;
        rule(self.kind == ModelCard::kind_of(&self.architecture), "kind", "the kind of its architecture")?;
        for (field, text) in self.texts() {
            rule(text.len() <= MAX_TEXT, field, "at most 16384 bytes")?;
        }
        rule(!self.name.is_empty(), "name", "not empty")?;
        rule(self.encoder_fits(), "encoder", "one that makes the inputs of the network")?;
        rule(self.parties.len() <= MAX_ENTRIES, "parties", "at most 10000")?;
        rule(self.best_round <= self.rounds, "best_round", "one of the rounds")?;
        let numbers =
            |map: &BTreeMap<String, f64>| map.len() <= MAX_ENTRIES && map.values().all(|value| value.is_finite());
        rule(numbers(&self.figures), "figures", "at most 10000 finite numbers")?;
        rule(numbers(&self.thresholds), "thresholds", "at most 10000 finite numbers")?;
        if let Some(Privacy { epsilon, delta, .. }) = &self.privacy {
            rule(epsilon.is_none_or(|e| e.is_finite() && e >= 0.0), "privacy.epsilon", "0 or more, finite")?;
            rule(delta.is_none_or(|d| (0.0..=1.0).contains(&d)), "privacy.delta", "0 to 1")?;
        }
        rule(is_a_time(&self.created), "created", "a time as in 2026-03-01T09:30:00Z (RFC 3339)")?;
        let hex = self.transcript.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        rule(hex && self.transcript.len().is_multiple_of(2), "transcript", "pairs of the digits 0 to 9 and a to f")
    }

    /// Its JSON, on one line; checked.
    pub fn to_json(&self) -> Result<String, FileError> {
        self.check()?;
        let json = serde_json::to_string(self).map_err(FileError::Card)?;
        within(json.len(), MAX_CARD_BYTES, "the model card")?;
        // An encoder with a number that is not finite would be written, but not read.
        serde_json::from_str::<ModelCard>(&json).map_err(FileError::Card)?;
        Ok(json)
    }

    /// Reads what [`ModelCard::to_json`] wrote, and checks it.
    pub fn from_json(json: &str) -> Result<ModelCard, FileError> {
        within(json.len(), MAX_CARD_BYTES, "the model card")?;
        let card: ModelCard = serde_json::from_str(json).map_err(FileError::Card)?;
        card.check()?;
        Ok(card)
    }

    fn encoder_fits(&self) -> bool {
        self.encoder.as_ref().is_none_or(|encoder| match self.architecture {
            Architecture::Lstm { steps, channels, statics, .. } => encoder.series() == Some((steps, channels, statics)),
            _ => encoder.inputs().len() == self.architecture.inputs(),
        })
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let parties = self.parties.iter().map(|party| ("parties", party));
        let figures = self.figures.keys().map(|name| ("figures", name));
        let thresholds = self.thresholds.keys().map(|name| ("thresholds", name));
        let privacy = self.privacy.iter().map(|privacy| ("privacy.statement", &privacy.statement));
        [
            ("name", &self.name),
            ("job", &self.job),
            ("federation", &self.federation),
            ("licence", &self.licence),
            ("intended_use", &self.intended_use),
            ("limits", &self.limits),
            ("created", &self.created),
            ("transcript", &self.transcript),
        ]
        .into_iter()
        .chain(parties)
        .chain(figures)
        .chain(thresholds)
        .chain(privacy)
    }
}

/// Checks a vector of parameters against the network of a card.
pub(super) fn check_parameters(architecture: &Architecture, parameters: &[f32]) -> Result<(), FileError> {
    let (expected, found) = (architecture.parameters(), parameters.len());
    if expected != found {
        return Err(LearnerError::Parameters { expected, found }.into());
    }
    let damaged = |range: &[f32]| range.iter().any(|value| !value.is_finite());
    match architecture.tensors().into_iter().find(|t| parameters.get(t.range()).is_none_or(damaged)) {
        Some(tensor) => Err(FileError::NotFinite { tensor: tensor.name }),
        None => Ok(()),
    }
}

/// Refuses what is too large.
pub(super) fn within(bytes: usize, most: usize, what: &'static str) -> Result<(), FileError> {
    if bytes <= most { Ok(()) } else { Err(FileError::TooLarge { what, bytes: bytes as u64, most: most as u64 }) }
}

/// The form of RFC 3339, section 5.6, by its digits and separators; months of 31 days are not told from others.
fn is_a_time(text: &str) -> bool {
    let form = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(b, f)| if f == b'0' { b.is_ascii_digit() } else { b == f })
    };
    let Some((start, rest)) = text.split_at_checked(19) else { return false };
    let digits = rest.strip_prefix('.').map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && digits == 0 {
        return false;
    }
    let zone = rest.get(if digits > 0 { digits + 1 } else { 0 }..).unwrap_or_default();
    form(start, "0000-00-00T00:00:00") && (zone == "Z" || form(zone, "+00:00") || form(zone, "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_form() {
        for good in ["2026-03-01T09:30:00Z", "2026-03-01T09:30:00.25+08:00", "2026-03-01T09:30:00-01:00"] {
            assert!(is_a_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-03-01",
            "2026-03-01 09:30:00Z",
            "2026-03-01T09:30:00",
            "2026-03-01T09:30:00.Z",
            "二〇二六年三月一日九点",
        ] {
            assert!(!is_a_time(bad), "{bad}");
        }
    }
}
