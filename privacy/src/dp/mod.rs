//! Differential privacy: noise inside the secure sum, what it costs, and each participant's own account of it.
//!
//! The unit is one firm in one participant: neighbouring data sets differ in the rows of one firm, which one has and the
//! other has not. `docs/security/dp-accounting.md` says in plain words what is promised.
//!
//! * [`discrete_gaussian`]: exact samples of the discrete Gaussian, in integers alone;
//! * [`noise`]: numbers, noise and grid of a noised round;
//! * [`accountant`]: epsilon and delta of many releases together, from below and from above;
//! * [`ledger`]: what a participant has spent, and whether a job still fits.

pub mod accountant;
pub mod discrete_gaussian;
pub mod ledger;
pub mod noise;

pub use accountant::{AccountingError, Bounds, Composition, Mechanism, multiplier_for};
pub use discrete_gaussian::{DiscreteGaussian, SigmaError};
pub use ledger::{Budget, BudgetReserved, Ledger, LedgerError, Spend};
pub use noise::{DrawnNoise, NoiseError, NoisedQuantiser, SegmentNoise};
