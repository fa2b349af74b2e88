//! The participant: keeps the data, computes on them, encrypts and contributes. It dials out; nobody dials in.
//!
//! * [`member`]: a participant's side of a job, without network or clock;
//! * [`vault`]: what it must not forget;
//! * [`policy`]: which jobs it accepts; [`source`]: its rows, through SQL;
//! * [`ledger`]: what it has given away over all jobs, for its own people;
//! * [`link`]: gRPC; [`driver`]: the loop that joins them all;
//! * [`config`]: its configuration file.

pub mod config;
pub mod driver;
pub mod ledger;
pub mod link;
pub mod member;
pub mod policy;
pub mod source;
pub mod vault;
