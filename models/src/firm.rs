//! Keys of firms.

use serde::{Deserialize, Serialize};

/// What the key of a firm is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// GB 32100-2015.
    #[default]
    UnifiedSocialCreditCode,
    /// Any text.
    Text,
}
