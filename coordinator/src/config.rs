//! `coordinator.toml`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A complete configuration with comments.
pub const SAMPLE: &str = include_str!("../coordinator.sample.toml");

/// What the configuration file says; paths are relative to it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorConfig {
    /// Network, state and identity.
    pub coordinator: CoordinatorSection,
    /// How it logs.
    #[serde(default)]
    pub log: LogSection,
}

/// Network, state and identity.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorSection {
    /// Where it listens; port 0 takes any free one and writes it to `address` in the state folder.
    pub listen: SocketAddr,
    /// Journals and ciphertexts.
    pub state_dir: PathBuf,
    /// Name of the federation.
    pub federation: String,
    /// Certificate of the federation's authority, PEM.
    pub ca: PathBuf,
    /// Own TLS certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Own signing certificate, PEM.
    pub signing_certificate: PathBuf,
    /// Its key, PEM.
    pub signing_key: PathBuf,
    /// Answer gRPC reflection.
    #[serde(default)]
    pub reflection: bool,
}

/// How it logs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Filter as in `info,haihe_coordinator=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why the configuration cannot be used: yours to repair.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {detail}")]
    Syntax {
        /// File.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A key can be read by others.
    #[error("{path} can be read by others than its owner; run: chmod 600 {path}")]
    Exposed {
        /// File.
        path: PathBuf,
    },
    /// A key or certificate is not one.
    #[error("{path} holds no usable {what}: {detail}")]
    Key {
        /// File.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl CoordinatorConfig {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path)
    }

    /// Parses the text of the file at `path`; the file itself is not touched.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|e| ConfigError::Syntax { path: path.to_owned(), detail: e.to_string() })?;
        let base = path.parent().unwrap_or(Path::new("."));
        let c = &mut config.coordinator;
        for file in [
            &mut c.state_dir,
            &mut c.ca,
            &mut c.certificate,
            &mut c.key,
            &mut c.signing_certificate,
            &mut c.signing_key,
        ] {
            *file = base.join(&file);
        }
        Ok(config)
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Reads a private key; refuses it if others can read it too.
pub(crate) fn read_private(path: &Path) -> Result<String, ConfigError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let meta = std::fs::metadata(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(ConfigError::Exposed { path: path.to_owned() });
        }
    }
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_read_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("coordinator.toml");
        std::fs::write(&path, SAMPLE).expect("write");
        let config = CoordinatorConfig::load(&path).expect("the sample is valid");
        assert!(config.coordinator.state_dir.starts_with(folder.path()));
        assert!(!config.coordinator.reflection, "reflection is off unless asked for");
        std::fs::write(&path, SAMPLE.replace("listen", "listne")).expect("write");
        let error = CoordinatorConfig::load(&path).expect_err("a typo is refused").to_string();
        assert!(error.contains("listne"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_read_are_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("tls.key");
        std::fs::write(&path, "x").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");
        assert!(matches!(read_private(&path), Err(ConfigError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        assert!(read_private(&path).is_ok());
    }
}
