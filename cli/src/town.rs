//! A federation on this machine as separate processes: what the demo and the process tests run.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use haihe_participant::source::DataRequest;
use haihe_protocol::{
    id::PartyId,
    job::{JobKind, JobSpec},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    client::Connection,
    pki::{self, Role},
};

pub mod line;

use line::{Line, Relay};

/// Name of the demo's federation.
pub const FEDERATION: &str = "jingjinji";
/// How long a process may take to come up or to stop.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive us.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The slow line to the coordinator, if there is one.
    _relay: Option<Relay>,
}

impl Process {
    /// Sends a signal, for example `Signal::STOP`.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// Ends the process at once, as a power failure would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Where its log goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn start(name: &str, program: &Path, config: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log, _relay: None })
    }

    /// Fails with the end of its log if the process has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{} ended ({status}); its log ends with:\n{}", self.name, tail.join("\n"));
        }
        Ok(())
    }

    /// Asks the process to stop, and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} stopped with {status}; see {}", self.name, self.log.display());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not stop within {} s", self.name, PATIENCE.as_secs())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    // Tests run from a folder beside the programs.
    let own = std::env::current_exe().context("cannot find this program")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = own.with_file_name(&file);
    let above = own.parent().and_then(Path::parent).map(|p| p.join(&file));
    let path = if beside.exists() { beside } else { above.unwrap_or(beside) };
    ensure!(path.exists(), "{} is missing; build it: cargo build -p {name}", path.display());
    Ok(path)
}

/// The files of a federation's members under one folder: keys, configurations, state.
pub struct Town {
    root: PathBuf,
    pki: PathBuf,
    line: Option<Line>,
}

impl Town {
    /// Makes an authority, the keys of all members and their configurations. All parties are banks.
    pub fn build(root: &Path, parties: &[PartyId]) -> anyhow::Result<Self> {
        let banks: Vec<_> = parties.iter().map(|party| (party.clone(), Role::Bank)).collect();
        Self::build_of(root, &banks)
    }

    /// The same for parties of any role.
    pub fn build_of(root: &Path, members: &[(PartyId, Role)]) -> anyhow::Result<Self> {
        let pki = root.join("pki");
        pki::init(&pki, FEDERATION)?;
        let host = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        pki::issue(&pki, Role::Coordinator, "coordinator", &host)?;
        pki::issue(&pki, Role::Operator, "pilot-operator", &[])?;
        for (party, role) in members {
            pki::issue(&pki, *role, party.as_str(), &[])?;
        }
        Ok(Self { root: root.to_owned(), pki, line: None })
    }

    /// Puts a line of its own between every participant that is started and the coordinator.
    #[must_use]
    pub fn over(self, line: Option<Line>) -> Self {
        Self { line, ..self }
    }

    /// The folder of a member's configuration, state and log.
    pub fn folder(&self, member: &str) -> PathBuf {
        self.root.join(member)
    }

    /// How the demo's operator reaches the coordinator at `url`.
    pub fn operator(&self, url: &str) -> Connection {
        Connection { coordinator: url.to_owned(), operator: self.pki.join("pilot-operator") }
    }

    /// Starts the coordinator on a free port, or on the one that it had before, and waits until it listens.
    pub fn start_coordinator(&self, listen: Option<&str>) -> anyhow::Result<(Process, String)> {
        let folder = self.root.join("coordinator");
        fs::create_dir_all(&folder)?;
        let listen = listen.map_or("127.0.0.1:0", |url| url.trim_start_matches("https://"));
        let text = format!(
            "[coordinator]\nlisten = \"{listen}\"\nstate_dir = \"state\"\nfederation = \"{FEDERATION}\"\n\
             ca = \"../pki/ca.crt\"\ncertificate = \"../pki/coordinator/tls.crt\"\n\
             key = \"../pki/coordinator/tls.key\"\nsigning_certificate = \"../pki/coordinator/signing.crt\"\n\
             signing_key = \"../pki/coordinator/signing.key\"\n"
        );
        let config = folder.join("coordinator.toml");
        fs::write(&config, text)?;
        let _ = fs::remove_file(folder.join("state/address"));
        let mut process =
            Process::start("haihe-coordinator", &program("haihe-coordinator")?, &config, folder.join("log"))?;
        let since = Instant::now();
        loop {
            if let Ok(address) = fs::read_to_string(folder.join("state/address")) {
                return Ok((process, format!("https://{address}")));
            }
            process.check()?;
            ensure!(since.elapsed() < PATIENCE, "the coordinator did not come up within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The line between a participant and the coordinator at `url`, if there is one, and where it begins.
    fn line(&self, url: &str) -> anyhow::Result<(Option<Relay>, String)> {
        let Some(line) = self.line else { return Ok((None, url.to_owned())) };
        let address = url.trim_start_matches("https://");
        let to: SocketAddr = address.parse().with_context(|| format!("{address:?} is no address and port"))?;
        let relay = Relay::start(line, to).context("cannot start a relay")?;
        let url = format!("https://{}", relay.address());
        Ok((Some(relay), url))
    }

    /// Starts a participant whose view is the file `data`, under a policy that accepts this job and no other. With a line, to
    /// be called inside a Tokio runtime.
    pub fn start_participant(
        &self,
        party: &PartyId,
        url: &str,
        data: &Path,
        spec: &JobSpec,
    ) -> anyhow::Result<Process> {
        let folder = self.root.join(party.as_str());
        fs::create_dir_all(&folder)?;
        let csv = fs::canonicalize(data).with_context(|| format!("{} is missing", data.display()))?;
        let pki = format!("../pki/{party}");
        let (relay, url) = self.line(url)?;
        let request = DataRequest::of(spec, party).with_context(|| format!("the job asks nothing of {party}"))?;
        let config = format!(
            "policy = \"policy.toml\"\n\n[participant]\nparty = \"{party}\"\nstate_dir = \"state\"\n\n[coordinator]\n\
             url = \"{url}\"\nca = \"{pki}/ca.crt\"\ncertificate = \"{pki}/tls.crt\"\nkey = \"{pki}/tls.key\"\n\
             signing_certificate = \"{pki}/signing.crt\"\nsigning_key = \"{pki}/signing.key\"\n\n\
             [[view]]\nname = \"{}\"\npath = {}\n",
            request.view,
            toml_string(&csv.display().to_string())
        );
        fs::write(folder.join("participant.toml"), config)?;
        fs::write(folder.join("policy.toml"), policy(spec, &request))?;
        let config = folder.join("participant.toml");
        let name = format!("haihe-participant {party}");
        let mut process = Process::start(&name, &program("haihe-participant")?, &config, folder.join("log"))?;
        process._relay = relay;
        Ok(process)
    }
}

fn toml_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A policy that accepts this job and no other; of a vertical job, also the scoring of firms with its model.
fn policy(spec: &JobSpec, request: &DataRequest) -> String {
    let columns: Vec<String> = request.all_columns().iter().map(|column| toml_string(column)).collect();
    let views = [&request.view].into_iter().chain(request.series.as_ref().map(|series| &series.view));
    let views: Vec<String> = views.map(|view| toml_string(view)).collect();
    let (kinds, parties, bins, rest) = match &spec.vertical {
        None => {
            let bins = spec.scorecard.as_ref().map_or(1.0, |s| s.binning.min_bin_rows.max(1.0));
            let rest = "[privacy]\nepsilon = 8.0\ndelta = 1e-6\n".to_owned();
            (format!("\"{}\"", spec.kind().as_str()), spec.min_parties(), bins as u64, rest)
        }
        Some(vertical) => {
            let (woe, alignment) = (&vertical.woe, &vertical.alignment);
            let (max_firms, min_common) = (alignment.max_firms, alignment.min_common);
            let rest = format!("[alignment]\nmax_firms = {max_firms}\nmin_common = {min_common}\n");
            let kinds = [JobKind::JointScorecard, JobKind::JointScoring].map(|kind| toml_string(kind.as_str()));
            (kinds.join(", "), 2, (woe.minimum_goods + woe.minimum_bads).max(1), rest)
        }
    };
    format!(
        "[accept]\nfederations = [\"{FEDERATION}\"]\nkinds = [{kinds}]\noperators = [\"pilot-operator\"]\n\n\
         [columns]\nviews = [{}]\nallow = [{}]\n\n\
         [minimum]\nparties = {parties}\nrows = 100\nbin_rows = {bins}\nadversary = \"malicious\"\n\n\
         [results]\nown_metrics = true\n\n{rest}",
        views.join(", "),
        columns.join(", "),
    )
}
