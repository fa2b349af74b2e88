//! The participant's configuration file: who we are, whom we dial, where our data and our rules are.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A complete configuration with comments, as `participant/participant.sample.toml`.
pub const SAMPLE: &str = include_str!("../participant.sample.toml");

/// What the configuration file says. After [`ParticipantConfig::load`] every path is absolute or relative to the working folder,
/// never to the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantConfig {
    /// The file that says what jobs are accepted: see [`crate::policy::Policy`].
    pub policy: PathBuf,
    /// Who we are.
    pub participant: Identity,
    /// Whom we dial, and with which certificates.
    pub coordinator: CoordinatorLink,
    /// Which of our files answers to which view of a job.
    #[serde(default, rename = "view")]
    pub views: Vec<ViewConfig>,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
}

/// Section `[participant]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Our name in the federation's roster.
    pub party: String,
    /// Folder of the vault and of results.
    pub state_dir: PathBuf,
}

/// Section `[coordinator]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorLink {
    /// `https://host:port`.
    pub url: String,
    /// Certificate authority that vouches for the coordinator.
    pub ca: PathBuf,
    /// Our TLS certificate.
    pub certificate: PathBuf,
    /// Its key, readable by its owner only.
    pub key: PathBuf,
    /// The certificate of our signing key.
    pub signing_certificate: PathBuf,
    /// The key that signs what we say, readable by its owner only.
    pub signing_key: PathBuf,
}

/// One `[[view]]`: what a job calls `name` is the answer of `sql` over the file `path`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// Name that jobs use.
    pub name: String,
    /// A `.csv` or `.parquet` file.
    pub path: PathBuf,
    /// Query over the one table `source`; without it, all of it.
    pub sql: Option<String>,
    /// What the query may use, in MiB; [`crate::source::DEFAULT_MEMORY_MB`] without it.
    pub memory_mb: Option<u64>,
}

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which events: a level, or a filter as `haihe_participant=debug,info`.
    pub filter: String,
    /// For people or for programs.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the configuration cannot be used. Each is ours to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}; name an existing file that this user may read", path.display())]
    Unreadable {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The configuration file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// The party's name has other characters than a name may have.
    #[error("{}: [participant] party = {party:?} is not a name; use 1 to 32 characters of a-z, 0-9 and -, as in the roster", path.display())]
    Party {
        /// The configuration file.
        path: PathBuf,
        /// What it says.
        party: String,
    },
    /// The coordinator would be dialled without TLS.
    #[error("{}: [coordinator] url = {url:?} must begin with https://: participants talk to the coordinator over mutual TLS only", path.display())]
    Url {
        /// The configuration file.
        path: PathBuf,
        /// What it says.
        url: String,
    },
    /// Two views have one name.
    #[error("{}: two [[view]] entries are named {view:?}; a job could not tell them apart: rename one", path.display())]
    ViewTwice {
        /// The configuration file.
        path: PathBuf,
        /// The name.
        view: String,
    },
    /// A view has no name, or no memory to run in.
    #[error("{}: [[view]] {view:?}: {entry} must not be {found}", path.display())]
    View {
        /// The configuration file.
        path: PathBuf,
        /// The view's name.
        view: String,
        /// Which entry.
        entry: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A key file is not there.
    #[error("{}: cannot open the file of [coordinator] {entry}: {source}; copy the key there or correct {entry} in the configuration", path.display())]
    KeyMissing {
        /// The key file.
        path: PathBuf,
        /// Which entry names it.
        entry: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A key file can be read by others.
    #[error("{}: the file of [coordinator] {entry} can be opened by other users (mode {mode:04o}); run: chmod 600 {}", path.display(), Quoted(path))]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Which entry names it.
        entry: &'static str,
        /// Its permission bits.
        mode: u32,
    },
}

impl ParticipantConfig {
    /// Reads the file, makes its paths relative to it, and checks everything, the permissions of the key files included.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(path)?;
        config.check_keys()?;
        Ok(config)
    }

    /// As [`ParticipantConfig::load`], without looking at the key files: for callers that may still replace their paths.
    /// Such a caller runs [`ParticipantConfig::check_keys`] afterwards.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of the file at `path`; the file itself is not touched.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        config.check(path)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Refuses key files that are missing or that anybody but their owner may open.
    pub fn check_keys(&self) -> Result<(), ConfigError> {
        check_key("key", &self.coordinator.key)?;
        check_key("signing_key", &self.coordinator.signing_key)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let path = || path.to_owned();
        let party = &self.participant.party;
        let is_name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if party.is_empty() || party.len() > 32 || !party.bytes().all(is_name_byte) {
            return Err(ConfigError::Party { path: path(), party: party.clone() });
        }
        if !self.coordinator.url.starts_with("https://") {
            return Err(ConfigError::Url { path: path(), url: self.coordinator.url.clone() });
        }
        for (at, view) in self.views.iter().enumerate() {
            let wrong = |entry, found| ConfigError::View { path: path(), view: view.name.clone(), entry, found };
            if view.name.trim().is_empty() {
                return Err(wrong("name", "empty"));
            }
            if view.memory_mb == Some(0) {
                return Err(wrong("memory_mb", "0"));
            }
            if self.views[..at].iter().any(|earlier| earlier.name == view.name) {
                return Err(ConfigError::ViewTwice { path: path(), view: view.name.clone() });
            }
        }
        Ok(())
    }

    fn resolve(&mut self, base: &Path) {
        let link = &mut self.coordinator;
        let own = [&mut self.policy, &mut self.participant.state_dir];
        let keys =
            [&mut link.ca, &mut link.certificate, &mut link.key, &mut link.signing_certificate, &mut link.signing_key];
        let views = self.views.iter_mut().map(|view| &mut view.path);
        for path in own.into_iter().chain(keys).chain(views) {
            *path = base.join(&*path);
        }
    }
}

fn check_key(entry: &'static str, path: &Path) -> Result<(), ConfigError> {
    let missing = |source| ConfigError::KeyMissing { path: path.to_owned(), entry, source };
    let metadata = fs::metadata(path).map_err(missing)?;
    if !metadata.is_file() {
        return Err(missing(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
    }
    match exposed_mode(&metadata) {
        Some(mode) => Err(ConfigError::KeyExposed { path: path.to_owned(), entry, mode }),
        None => Ok(()),
    }
}

/// The permission bits, when they let anybody but the owner in.
#[cfg(unix)]
fn exposed_mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed_mode(_: &fs::Metadata) -> Option<u32> {
    None
}

/// A path that can be pasted into a shell.
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.display().to_string();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b));
        if plain { f.write_str(&text) } else { write!(f, "'{}'", text.replace('\'', r"'\''")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ParticipantConfig, ConfigError> {
        ParticipantConfig::parse(text, Path::new("/etc/haihe/participant.toml"))
    }

    fn message(text: &str) -> String {
        parse(text).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_sample_parses_and_its_paths_start_at_the_file() {
        let config = parse(SAMPLE).expect("the sample is a configuration");
        assert_eq!(config.participant.party, "bj");
        assert_eq!(config.participant.state_dir, Path::new("/etc/haihe/state"));
        assert_eq!(config.policy, Path::new("/etc/haihe/policy.sample.toml"));
        assert_eq!(config.coordinator.key, Path::new("/etc/haihe/pki/tls.key"));
        assert_eq!(config.views[0].path, Path::new("/etc/haihe/loans.csv"));
        assert_eq!(config.log, LogConfig::default());
    }

    #[test]
    fn absolute_paths_stay() {
        let text = SAMPLE.replace("\"pki/ca.crt\"", "\"/srv/ca.crt\"");
        assert_eq!(parse(&text).expect("a configuration").coordinator.ca, Path::new("/srv/ca.crt"));
    }

    #[test]
    fn a_wrong_entry_is_named_with_its_line() {
        let text = message(&SAMPLE.replace("state_dir", "statedir"));
        assert!(text.starts_with("/etc/haihe/participant.toml: TOML parse error at line 9"), "{text}");
        assert!(text.contains("unknown field `statedir`"), "{text}");
        let text = message(&SAMPLE.replace("memory_mb = 1024", "memory = 1024"));
        assert!(text.contains("unknown field `memory`"), "{text}");
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        assert_eq!(
            message(&SAMPLE.replace("\"bj\"", "\"北京\"")),
            "/etc/haihe/participant.toml: [participant] party = \"北京\" is not a name; \
             use 1 to 32 characters of a-z, 0-9 and -, as in the roster"
        );
        assert_eq!(
            message(&SAMPLE.replace("https://", "http://")),
            "/etc/haihe/participant.toml: [coordinator] url = \"http://coordinator.example:7443\" must begin with https://: \
             participants talk to the coordinator over mutual TLS only"
        );
        let twice = format!("{SAMPLE}\n[[view]]\nname = \"loans\"\npath = \"other.csv\"\n");
        assert_eq!(
            message(&twice),
            "/etc/haihe/participant.toml: two [[view]] entries are named \"loans\"; \
             a job could not tell them apart: rename one"
        );
        assert_eq!(
            message(&SAMPLE.replace("memory_mb = 1024", "memory_mb = 0")),
            "/etc/haihe/participant.toml: [[view]] \"loans\": memory_mb must not be 0"
        );
        let missing = ParticipantConfig::load(Path::new("/nowhere/p.toml")).expect_err("no such file").to_string();
        assert!(missing.starts_with("/nowhere/p.toml: cannot read the configuration: "), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_open_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("participant.toml");
        fs::write(&file, SAMPLE).expect("written");
        let missing = ParticipantConfig::load(&file).expect_err("no keys yet").to_string();
        assert!(missing.contains("cannot open the file of [coordinator] key"), "{missing}");

        fs::create_dir(dir.path().join("pki")).expect("made");
        let chmod = |name: &str, mode| {
            let path = dir.path().join("pki").join(name);
            fs::write(&path, "key").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            path
        };
        chmod("tls.key", 0o600);
        for mode in [0o640, 0o604, 0o660] {
            let path = chmod("signing.key", mode);
            let text = ParticipantConfig::load(&file).expect_err("exposed").to_string();
            let path = path.display();
            assert_eq!(
                text,
                format!(
                    "{path}: the file of [coordinator] signing_key can be opened by other users (mode {mode:04o}); \
                     run: chmod 600 {path}"
                )
            );
        }
        for mode in [0o600, 0o400] {
            chmod("signing.key", mode);
            ParticipantConfig::load(&file).expect("a private key file");
        }
    }
}
