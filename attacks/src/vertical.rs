//! What the parties of a vertical job could find out: columns from scores, labels from gradients, firms from points.
//!
//! A bank, a tax bureau and a core enterprise learn on the bundled Polish firms ([`town`]): the product's own state machines, every
//! letter kept. Each attacker gets the letters that reach it and what it knows anyway, no more.

mod columns;
mod firms;
mod labels;
pub mod town;

pub use columns::{Columns, columns};
pub use firms::{Firms, firms};
pub use labels::{Labels, labels};
