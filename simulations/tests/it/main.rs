//! The federation as a whole: results, repeatability, faults.

mod cheats;
mod faults;
mod privacy;
mod results;
mod scenarios;
mod support;
mod trials;
mod vertical;
