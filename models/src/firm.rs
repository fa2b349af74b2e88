//! The keys by which parties recognise the same firm.
//!
//! The key that joins firms is the unified social credit code of GB 32100-2015: 18 characters of an alphabet of 31 (digits
//! and capitals without I, O, S, V, Z), in five parts:
//!
//! | characters | part | rule checked here |
//! |---|---|---|
//! | 1 | department of registration | alphabet |
//! | 2 | class of organisation | alphabet |
//! | 3-8 | administrative division (GB/T 2260) | six digits, the first of them 1 to 8 |
//! | 9-17 | organisation code (GB 11714) | character 17 checks 9-16, modulo 11 |
//! | 18 | check character | checks 1-17, modulo 31 |
//!
//! A key is only equal to another party's key if both write it alike, so it is brought into one form first: see
//! [`UnifiedSocialCreditCode::parse`]. A wrong character is never repaired by guessing (O for 0, I for 1): a code that fails a
//! check is refused, since a repaired one might be another firm's.
//!
//! No error or problem of this module shows a key: they have counts, positions and row numbers.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// The longest text key, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 64;
/// How many example rows a problem names.
pub const EXAMPLES: usize = 5;

/// Characters of a unified social credit code.
const LENGTH: usize = 18;
/// GB 32100-2015, table of character values: a character's value is its place.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// GB 11714: weights of the eight characters of an organisation code.
const ORGANISATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];

/// A valid code in its one written form: 18 ASCII characters, both check characters right.
///
/// `Display` writes it out; `Debug` does not, since whose customer a firm is must not reach a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnifiedSocialCreditCode([u8; LENGTH]);

/// What the key column of a job holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// A unified social credit code (GB 32100-2015), both check characters verified.
    UnifiedSocialCreditCode,
    /// Any other text: white space around it is cut off, then it has 1 to [`MAX_TEXT_BYTES`] bytes and is taken as it is.
    /// Parties must agree on its form beforehand; nothing here can tell a slip of the pen.
    Text,
}

/// Why a text is not a key of the asked kind. The fault is in our own data: mend the row, or leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing, or white space only.
    #[error("the key is empty")]
    Empty,
    /// A unified social credit code has 18 characters.
    #[error("a unified social credit code has {LENGTH} characters, this key has {found}")]
    Length {
        /// How many characters are left after spaces and hyphens are dropped.
        found: usize,
    },
    /// A text key is bounded.
    #[error("a text key has at most {MAX_TEXT_BYTES} bytes, this one has {found}")]
    TooLong {
        /// How many bytes it has.
        found: usize,
    },
    /// The character may not stand there.
    #[error(
        "character {position} of the key may not stand there: digits and capitals without I, O, S, V, Z; digits only for characters 3 to 8; a digit or X for character 17"
    )]
    Character {
        /// Which character, from 1, after spaces and hyphens are dropped.
        position: usize,
    },
    /// The six digits are no division of GB/T 2260.
    #[error("characters 3 to 8 of the key are no administrative division: the first of them is 1 to 8")]
    Division,
    /// Character 17 does not fit to 9-16.
    #[error("character 17 of the key, which checks characters 9 to 16 (GB 11714), is wrong")]
    OrganisationCheck,
    /// Character 18 does not fit to 1-17.
    #[error("character 18 of the key, which checks characters 1 to 17 (GB 32100-2015), is wrong")]
    CodeCheck,
    /// The key is of an older kind, which the unified code has replaced.
    #[error("the key is {0}, not a unified social credit code: look the firm's code up")]
    OtherKind(OlderKey),
}

/// Keys that firms had before the unified code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OlderKey {
    /// A registration number of 15 digits.
    RegistrationNumber,
    /// An organisation code of 9 characters (GB 11714), its check character right.
    OrganisationCode,
}

/// How many rows something is wrong in, and which are the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRows {
    /// How many.
    pub count: u64,
    /// The first [`EXAMPLES`] of them, counted from 1.
    pub examples: Vec<u64>,
}

/// What is wrong with a column of keys: each row is counted under the first thing that is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyProblems(BTreeMap<KeyProblem, KeyRows>);

/// One thing that can be wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyProblem {
    /// Nothing there.
    Empty,
    /// Too short or too long.
    Length,
    /// A character that may not stand where it does.
    Character,
    /// No administrative division.
    Division,
    /// One of the two check characters is wrong.
    Check,
    /// An older kind of key among the unified codes.
    OtherKind,
    /// The key of an earlier row, in the one written form of both.
    Duplicate,
}

impl UnifiedSocialCreditCode {
    /// Reads a code as people and spreadsheets write it, and brings it into its one form. In this order:
    ///
    /// 1. Full-width letters, digits and hyphens become ASCII.
    /// 2. White space of any kind, hyphens, dashes, the byte order mark and zero-width spaces are dropped, around the code
    ///    and inside it: codes are printed in groups (`91110000 80210043-3B`), and the organisation code inside has a
    ///    hyphen by its own standard (GB 11714: `80210043-3`). None of these can be part of a code, so nothing is guessed.
    /// 3. Small letters become capitals.
    ///
    /// Then length, characters, division and both check characters are checked, in this order.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        // Room for a code and one more character: longer texts are counted, not kept.
        let mut kept = [0; LENGTH];
        let (mut length, mut foreign) = (0, None);
        for c in text.chars().map(half_width).filter(|c| !is_filler(*c)) {
            match u8::try_from(c) {
                Ok(byte) if byte.is_ascii() && length < LENGTH => kept[length] = byte.to_ascii_uppercase(),
                Ok(byte) if byte.is_ascii() => {}
                _ => foreign = foreign.or(Some(length + 1)),
            }
            length += 1;
        }
        match (length, foreign) {
            (0, _) => Err(KeyError::Empty),
            (LENGTH, Some(position)) => Err(KeyError::Character { position }),
            (LENGTH, None) => Self::checked(kept),
            (_, None) => Err(older(&kept[..length.min(LENGTH)], length)),
            (_, Some(_)) => Err(KeyError::Length { found: length }),
        }
    }

    /// The code of these parts, with both check characters computed: `department` and `class` are characters 1 and 2,
    /// `division` is characters 3-8, `body` characters 9-16.
    pub fn from_parts(department: char, class: char, division: u32, body: &str) -> Result<Self, KeyError> {
        let text = format!("{department}{class}{division:06}{body}");
        let found = text.chars().count();
        let mut code = [b'0'; LENGTH];
        if found != 16 {
            return Err(KeyError::Length { found: found + 2 });
        }
        for (i, c) in text.chars().enumerate() {
            let byte = u8::try_from(c).ok().filter(|byte| ALPHABET.contains(byte));
            code[i] = byte.ok_or(KeyError::Character { position: i + 1 })?;
        }
        code[16] = organisation_check(&code[8..16]);
        code[17] = code_check(&code[..17])?;
        Self::checked(code)
    }

    /// Firm number `n` of a division of six digits such as 130000, for demos and tests: the same number always gives the
    /// same code, different numbers give different ones. Department and class are those of a company (`91`); characters
    /// 9-16 are a `Y` and `n` in base 31, so that nobody takes them for the series that real registrations begin with.
    pub fn synthetic(division: u32, n: u32) -> Result<Self, KeyError> {
        let mut body = *b"Y0000000";
        let mut rest = n as usize;
        for place in body[1..].iter_mut().rev() {
            *place = ALPHABET[rest % 31];
            rest /= 31;
        }
        Self::from_parts('9', '1', division, &body.map(char::from).iter().collect::<String>())
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code has ASCII characters only")
    }

    /// Characters 3-8, the administrative division: `130000` for Hebei.
    pub fn division(&self) -> u32 {
        self.0[2..8].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    }

    fn checked(code: [u8; LENGTH]) -> Result<Self, KeyError> {
        let allowed = |i: usize, c: u8| match i {
            2..=7 => c.is_ascii_digit(),
            16 => c.is_ascii_digit() || c == b'X',
            _ => ALPHABET.contains(&c),
        };
        if let Some(i) = (0..LENGTH).find(|&i| !allowed(i, code[i])) {
            return Err(KeyError::Character { position: i + 1 });
        }
        // GB/T 2260: the first digit is the region, 1 (north) to 8 (Hong Kong and Macao); 100000 is the whole country.
        if !(b'1'..=b'8').contains(&code[2]) {
            return Err(KeyError::Division);
        }
        if organisation_check(&code[8..16]) != code[16] {
            return Err(KeyError::OrganisationCheck);
        }
        if code_check(&code[..17])? != code[17] {
            return Err(KeyError::CodeCheck);
        }
        Ok(Self(code))
    }
}

impl KeyKind {
    /// The one written form of a key, in which it is compared with other parties' keys.
    pub fn normalise(&self, raw: &str) -> Result<String, KeyError> {
        match self {
            Self::UnifiedSocialCreditCode => Ok(UnifiedSocialCreditCode::parse(raw)?.to_string()),
            Self::Text => match raw.trim() {
                "" => Err(KeyError::Empty),
                text if text.len() > MAX_TEXT_BYTES => Err(KeyError::TooLong { found: text.len() }),
                text => Ok(text.to_owned()),
            },
        }
    }
}

/// The one written form of every key of a column, row by row; or all that is wrong with the column.
pub fn read_keys(kind: KeyKind, raw: &[String]) -> Result<Vec<String>, KeyProblems> {
    let mut problems = KeyProblems::default();
    let mut keys = Vec::with_capacity(raw.len());
    let mut rows = Vec::with_capacity(raw.len());
    for (row, text) in raw.iter().enumerate() {
        match kind.normalise(text) {
            Ok(key) => {
                keys.push(key);
                rows.push(row);
            }
            Err(error) => problems.note(error.problem(), row),
        }
    }
    let mut seen = HashSet::with_capacity(keys.len());
    for (key, row) in keys.iter().zip(rows) {
        if !seen.insert(key.as_str()) {
            problems.note(KeyProblem::Duplicate, row);
        }
    }
    if problems.0.is_empty() { Ok(keys) } else { Err(problems) }
}

impl KeyProblems {
    /// The rows that a thing is wrong in.
    pub fn rows(&self, problem: KeyProblem) -> Option<&KeyRows> {
        self.0.get(&problem)
    }

    /// All that was found, at least one.
    pub fn iter(&self) -> impl Iterator<Item = (KeyProblem, &KeyRows)> {
        self.0.iter().map(|(problem, rows)| (*problem, rows))
    }

    fn note(&mut self, problem: KeyProblem, position: usize) {
        self.0.entry(problem).or_default().add(position);
    }
}

impl KeyProblem {
    /// A short name that never changes and holds nothing of ours: for the journal and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "key_empty",
            Self::Length => "key_length",
            Self::Character => "key_character",
            Self::Division => "key_division",
            Self::Check => "key_check",
            Self::OtherKind => "key_other_kind",
            Self::Duplicate => "key_duplicate",
        }
    }
}

impl KeyError {
    /// Under what the key is counted.
    pub fn problem(&self) -> KeyProblem {
        match self {
            Self::Empty => KeyProblem::Empty,
            Self::Length { .. } | Self::TooLong { .. } => KeyProblem::Length,
            Self::Character { .. } => KeyProblem::Character,
            Self::Division => KeyProblem::Division,
            Self::OrganisationCheck | Self::CodeCheck => KeyProblem::Check,
            Self::OtherKind(_) => KeyProblem::OtherKind,
        }
    }
}

impl KeyRows {
    /// Notes the row at this position, from 0.
    fn add(&mut self, position: usize) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(position as u64 + 1);
        }
    }
}

impl std::error::Error for KeyProblems {}

impl fmt::Display for KeyProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (problem, rows)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{rows} {} {problem}", if rows.count == 1 { "has" } else { "have" })?;
        }
        Ok(())
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no key: fill it, or leave such rows out",
            Self::Length => {
                "a key of a wrong length: a unified social credit code has 18 characters; read the column as text"
            }
            Self::Character => {
                "a character that may not stand where it does: no I, O, S, V, Z, digits only for characters 3 to 8"
            }
            Self::Division => "no administrative division at characters 3 to 8: correct the key",
            Self::Check => "a wrong check character: the key was mistyped, look the firm's code up",
            Self::OtherKind => {
                "an older kind of key, a registration number or organisation code: look the firm's unified code up"
            }
            Self::Duplicate => "the key of an earlier row: keep one row per firm",
        })
    }
}

impl fmt::Display for KeyRows {
    /// `7 rows (first 1, 4, 5, 8, 9)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.examples.iter().map(u64::to_string).collect();
        let first = if self.count > self.examples.len() as u64 { "first " } else { "" };
        write!(f, "{} {} ({first}{})", self.count, if self.count == 1 { "row" } else { "rows" }, numbers.join(", "))
    }
}

impl fmt::Display for UnifiedSocialCreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UnifiedSocialCreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnifiedSocialCreditCode(..)")
    }
}

impl fmt::Display for OlderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegistrationNumber => "a registration number of 15 digits",
            Self::OrganisationCode => "an organisation code of 9 characters",
        })
    }
}

/// U+FF01 to U+FF5E are ASCII 0x21 to 0x7e in full width.
fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// White space, hyphens and dashes, and characters of no width: never part of a code.
fn is_filler(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{200b}'..='\u{200d}' | '\u{feff}')
}

/// Says what a key of another length is.
fn older(kept: &[u8], length: usize) -> KeyError {
    match kept {
        digits if length == 15 && digits.iter().all(u8::is_ascii_digit) => {
            KeyError::OtherKind(OlderKey::RegistrationNumber)
        }
        code if length == 9
            && code[..8].iter().all(u8::is_ascii_alphanumeric)
            && organisation_check(&code[..8]) == code[8] =>
        {
            KeyError::OtherKind(OlderKey::OrganisationCode)
        }
        _ => KeyError::Length { found: length },
    }
}

/// GB 11714: 11 minus the weighted sum modulo 11; 10 is written X, 11 is written 0. Letters count from A = 10 to Z = 35.
fn organisation_check(body: &[u8]) -> u8 {
    let value = |c: u8| if c.is_ascii_digit() { u32::from(c - b'0') } else { u32::from(c - b'A') + 10 };
    let sum: u32 = body.iter().zip(ORGANISATION_WEIGHTS).map(|(c, weight)| value(*c) * weight).sum();
    match (11 - sum % 11) % 11 {
        10 => b'X',
        digit => b'0' + digit as u8,
    }
}

/// GB 32100-2015: 31 minus the sum of the values times 3^(i-1) modulo 31; 31 is written 0.
fn code_check(first: &[u8]) -> Result<u8, KeyError> {
    let (mut sum, mut weight) = (0, 1);
    for (i, c) in first.iter().enumerate() {
        let value = ALPHABET.iter().position(|a| a == c).ok_or(KeyError::Character { position: i + 1 })?;
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    Ok(ALPHABET[(31 - sum % 31) % 31])
}

#[cfg(test)]
mod tests;
