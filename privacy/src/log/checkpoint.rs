//! Checkpoints, <https://c2sp.org/tlog-checkpoint>: the size and the root of a log, signed as a note.

use super::note::{KeyName, MAX_NAME_BYTES, NoteError, NoteKey, SignatureLine};
use super::tree::RootHash;
use crate::sign::{Signature, SignatureError, SigningKey};
use base64ct::{Base64, Encoding};
use std::fmt;

/// No longer text is read as a signed checkpoint. Sixteen Ed25519 signatures fit ("MUST accept at least up to 16").
pub const MAX_CHECKPOINT_BYTES: usize = 4096;

/// Which log, how many entries, and their root. There are no extension lines: no monitor could audit them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: RootHash,
}

/// A checkpoint under at least one signature that was made or verified here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<SignatureLine>,
}

impl Checkpoint {
    /// The checkpoint of the log that `origin` names: unique among the signer's logs, such as
    /// `coordinator.example/job/7`; one line of at most [`MAX_NAME_BYTES`] bytes without control characters.
    pub fn new(origin: &str, size: u64, root: RootHash) -> Result<Self, NoteError> {
        if !(1..=MAX_NAME_BYTES).contains(&origin.len()) || origin.contains(char::is_control) {
            return Err(NoteError::BadOrigin);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Their root.
    pub const fn root(&self) -> &RootHash {
        &self.root
    }

    /// Size and root, as [`verify_consistency`](super::verify_consistency) takes them.
    pub const fn head(&self) -> (u64, RootHash) {
        (self.size, self.root)
    }

    /// Signs the checkpoint. Whoever signs two of one origin that are not consistent gives evidence against itself:
    /// journal first, then sign.
    pub fn sign(&self, name: &KeyName, key: &SigningKey) -> SignedCheckpoint {
        SignedCheckpoint { checkpoint: self.clone(), signatures: vec![self.signature_line(name, key)] }
    }

    /// Reads origin, size and root. There is one way to write each checkpoint.
    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::NotACheckpoint);
        };
        let mut hash = [0; 32];
        match (size.parse(), Base64::decode(root, &mut hash)) {
            (Ok(size), Ok(whole)) if whole.len() == 32 => {
                let checkpoint = Self::new(origin, size, RootHash(hash))?;
                // `u64::from_str` takes "+7" and "007"; writing does not.
                if checkpoint.to_string() == text { Ok(checkpoint) } else { Err(NoteError::NotACheckpoint) }
            }
            _ => Err(NoteError::NotACheckpoint),
        }
    }

    fn signature_line(&self, name: &KeyName, key: &SigningKey) -> SignatureLine {
        let id = NoteKey::new(name.clone(), key.verifying_key()).id();
        let signature = key.sign_checkpoint(self).as_bytes().to_vec();
        SignatureLine { name: name.to_string(), id, signature }
    }
}

/// The note text that is signed, with its last newline.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, Base64::encode_string(&self.root.0))
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint of the log `origin` that `key` signed. Signatures of other keys are kept and not judged: ask
    /// [`Self::verify`] about each that matters.
    pub fn parse(text: &str, origin: &str, key: &NoteKey) -> Result<Self, NoteError> {
        if text.len() > MAX_CHECKPOINT_BYTES {
            return Err(NoteError::TooLong { found: text.len(), limit: MAX_CHECKPOINT_BYTES });
        }
        // "MUST NOT contain any ASCII control characters ... other than newline": no part below takes one.
        // "The text is separated from the signatures by the last empty line in the note."
        let note = text.strip_suffix('\n').ok_or(NoteError::NotANote)?;
        let (body, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NotANote)?;
        let signatures = (1..)
            .zip(lines.split('\n'))
            .map(|(line, text)| SignatureLine::parse(text).ok_or(NoteError::SignatureLine { line }))
            .collect::<Result<_, _>>()?;
        let signed = Self { checkpoint: Checkpoint::parse(&format!("{body}\n"))?, signatures };
        if signed.checkpoint.origin != origin {
            return Err(NoteError::Origin { expected: origin.to_owned(), found: signed.checkpoint.origin });
        }
        signed.verify(key)?;
        Ok(signed)
    }

    /// Checks that this key signed, too. "If a signature from a known key fails to verify, clients SHOULD reject the
    /// whole note": so one bad line of the key is enough to refuse, even beside a good one.
    pub fn verify(&self, key: &NoteKey) -> Result<(), NoteError> {
        let mut lines = self.signatures.iter().filter(|line| key.claims(line)).peekable();
        if lines.peek().is_none() {
            return Err(NoteError::Unsigned { key: key.clone() });
        }
        lines.try_for_each(|line| {
            <[u8; 64]>::try_from(line.signature.as_slice())
                .map_err(|_| SignatureError::Checkpoint { key: *key.key() })
                .and_then(|bytes| key.key().verify_checkpoint(&self.checkpoint, &Signature::from_bytes(bytes)))
                .map_err(|reason| NoteError::Signature { name: key.name().clone(), reason })
        })
    }

    /// Adds a signature, once: Ed25519 has one of each key. It is a plain note signature of the same text, without the
    /// time that c2sp.org/tlog-cosignature adds.
    #[must_use]
    pub fn cosign(mut self, name: &KeyName, key: &SigningKey) -> Self {
        let line = self.checkpoint.signature_line(name, key);
        if !self.signatures.contains(&line) {
            self.signatures.push(line);
        }
        self
    }

    /// What was signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note.
    pub fn to_text(&self) -> String {
        let lines: String = self.signatures.iter().map(|line| format!("{line}\n")).collect();
        format!("{}\n{lines}", self.checkpoint)
    }
}
