//! The whole federation in one process: the same protocol code, a seeded clock and network; and the bundled data.
//!
//! * [`simulation`]: coordinator and participants as in a deployment, over a network that a seed decides about;
//! * [`fault`]: what may go wrong in it, as a readable list;
//! * [`cheat`]: what a dishonest party does in it, as a readable list;
//! * [`rounds`]: what a journal says about each round;
//! * [`baseline`], [`joint`], [`detection`]: comparisons that only somebody with all tables can make;
//! * [`twin`]: the same learning in the clear;
//! * [`scenario`]: experiments as files;
//! * [`trial`]: small federations with random faults, by the thousand;
//! * [`bundled`]: the data sets that travel inside the binary.

pub mod baseline;
pub mod bundled;
pub mod cheat;
pub mod detection;
pub mod fault;
pub mod joint;
pub mod rounds;
pub mod scenario;
pub mod simulation;
pub mod trial;
pub mod twin;
