//! What is built together, so that it is built once.
//!
//! Cargo unites the features of the packages that it builds at once. Every build here names the same packages; `haihe-bench`
//! stays out, as it alone needs `tfhe`.

/// All packages but the benchmarks.
pub const PACKAGES: [&str; 3] = ["--workspace", "--exclude", "haihe-bench"];

/// The programs.
pub const PROGRAMS: [&str; 6] =
    ["--package", "haihe-cli", "--package", "haihe-coordinator", "--package", "haihe-participant"];
