//! The participant: keeps the data of one institution, trains, encrypts and contributes.

pub mod config;
pub mod policy;
pub mod source;
