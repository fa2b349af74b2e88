//! The secure sum of vectors: many parties' vectors go in, their sum comes out, and nobody sees anything else.
//!
//! One-shot key-homomorphic RLWE with a packed Shamir sharing of the key sum (PS-KAHE), of the family of ACORN (Bell et
//! al., USENIX Security 2023), LERNA (Li et al., Asiacrypt 2023) and Willow (Bell-Clark et al., CRYPTO 2025):
//!
//! ```text
//! participant i   c_{i,j} = a_j s_i + t e_{i,j} + m_{i,j}         a_j from a public seed; s_i, e_{i,j} small and fresh
//!                 shares of s_i, one for each committee member
//! coordinator     C_j = sum of c_{i,j} over the contributors U    as they stream in
//! committee       sums of its shares over U                       any r of c answers give S = sum of s_i over U
//! coordinator     sum of m_{i,j} = ((C_j - a_j S) mod q) mod t
//! ```
//!
//! * [`parameters`]: which ring, how many slots, and why the sum is exact;
//! * [`committee`]: who may recover a key sum, and how many may be missing;
//! * [`quantise`]: real numbers to the integers that are summed, and back;
//! * [`roles`]: the contributor and the adder, as traits; [`lattice`] implements them, [`plain`] implements them without
//!   any security, for tests;
//! * [`check`]: how participants notice that the announced sum is not the true one;
//! * [`shares`], [`shamir`], [`reed_solomon`]: sharing the one-time key, and recovering the sum in spite of missing and
//!   wrong answers.

pub mod check;
pub mod committee;
mod decode;
pub mod lattice;
pub mod parameters;
pub mod plain;
pub mod quantise;
pub mod reed_solomon;
pub mod roles;
pub mod shamir;
pub mod shares;

pub use check::{CheckKey, CheckTag, check_slots};
pub use committee::{Adversary, CommitteeError, CommitteeRule, draw_committee};
pub use parameters::{CapacityError, ParameterSet, SumParameters};

pub use quantise::{Coding, QuantiseError, Quantiser, Real, Segment, clip_coordinates, clip_l2};
pub use roles::{AddError, Adder, Contributor, EncryptError, OpenError, Opened, Scheme, SumContext};
pub use shares::{KeyShare, ShareError, ShareSum};
