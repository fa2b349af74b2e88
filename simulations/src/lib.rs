//! The whole federation in one process: the same protocol code, a seeded clock and network; and the bundled data.

pub mod bundled;
