//! Vertical jobs over the real wire: parcels and letters in many chunks, uploads that break off, and the programs themselves.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use haihe_cli::{client::Operator, town::Town};
use haihe_participant::{
    link::{Address, Ask, Directives, EarlyLetters, Extension, Link, LinkError, Receipt},
    member::{Due, Identity, Member, Offer, SessionParts},
    vault::MemoryVault,
};
use haihe_privacy::{digest::Digest, secure_sum::lattice::Lattice, sign::SigningKey};
use haihe_protocol::{
    audit,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    roster::Trust,
    vertical::{exchange::ParcelHead, work::Firms},
};
use haihe_simulations::simulation::steps::{Echo, Steps as _};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

const LIMIT: Duration = Duration::from_secs(120);
const JOB: &str = r#"
[job]
name = "joint"
parties = ["bank", "core", "tax"]
[vertical]
label_holder = "bank"
encoding = "standardise"
[vertical.alignment]
key_kind = "text"
max_firms = 2000
min_common = 100
[[vertical.holder]]
party = "bank"
view = "firms"
key = "code"
label = "bad"
split = { column = "set" }
columns = [{ name = "turnover", kind = "numeric" }]
[[vertical.holder]]
party = "core"
view = "firms"
key = "code"
columns = [{ name = "orders", kind = "numeric" }]
[[vertical.holder]]
party = "tax"
view = "firms"
key = "code"
columns = [{ name = "paid", kind = "numeric" }]
"#;

fn now() -> Timestamp {
    haihe_participant::driver::now()
}

struct Stage {
    folder: tempfile::TempDir,
    town: Town,
    spec: JobSpec,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let spec = JobSpec::parse(JOB).expect("the job is valid");
        let town = Town::build(&folder.path().join("town"), &spec.job.parties).expect("town");
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { folder, town, spec }
    }

    async fn operator(&self, url: &str) -> Operator {
        Operator::connect(&self.town.operator(url)).await.expect("an operator")
    }

    /// A thousand firms; one in ten is missing at each party, another one each.
    fn csv(&self, party: &PartyId) -> String {
        let index = self.spec.job.parties.iter().position(|p| p == party).expect("a party");
        let head = ["code,bad,set,turnover", "code,orders", "code,paid"][index];
        let row = |i: usize| {
            let x = (i * 37 % 101) as f64 / 101.0;
            match index {
                0 => format!(
                    "f{i},{},{},{x}",
                    u8::from((i * 53 % 97) as f64 / 97.0 < x),
                    if i % 4 == 3 { "test" } else { "train" }
                ),
                1 => format!("f{i},{}", x * 3.0 + (i % 5) as f64),
                _ => format!("f{i},{}", (i * 11 % 29) as f64 - x),
            }
        };
        let rows: Vec<String> = (0..1000).filter(|i| i % 10 != index).map(row).collect();
        format!("{head}\n{}\n", rows.join("\n"))
    }

    async fn ended(&self, url: &str, job: &str) -> haihe_proto::v1::JobStatus {
        let since = Instant::now();
        loop {
            let status = self.operator(url).await.status(job).await.expect("a status");
            if ["finished", "failed", "cancelled"].contains(&status.phase.as_str()) {
                return status;
            }
            assert!(since.elapsed() < LIMIT, "the job does not end: {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A party in this process, over the real wire.
struct Puppet {
    party: PartyId,
    member: Member,
    link: Link,
    echo: Echo,
    firms: Firms,
    /// Uploads to break off once, half-way.
    breaks: bool,
    /// Asks for the letters of an exchange before its own parcel, and takes the proofs that are sent along.
    early: bool,
    asked: Option<EarlyLetters>,
    parcels: u64,
}

impl Puppet {
    fn new(stage: &Stage, party: &PartyId, url: &str, echo: Echo) -> Self {
        let folder = stage.town.operator(url).operator.with_file_name(party.as_str());
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file of the member");
        let der = |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate").to_vec();
        let identity = Identity {
            party: party.clone(),
            trust: Trust::new("jingjinji", der("ca.crt")),
            certificate: der("signing.crt"),
            key: SigningKey::from_pkcs8_pem(&read("signing.key")).expect("a key"),
            budget: None,
        };
        let address =
            Address { url: url.to_owned(), ca: read("ca.crt"), certificate: read("tls.crt"), key: read("tls.key") };
        let table = haihe_models::table::Table {
            specs: Vec::new(),
            columns: Vec::new(),
            label: Vec::new(),
            split: Vec::new(),
            firms: None,
        };
        Self {
            member: Member::new(Arc::new(identity), Arc::new(Lattice), Box::new(MemoryVault::default())),
            link: Link::new(&address, party.clone()).expect("link"),
            party: party.clone(),
            echo,
            firms: Firms { keys: Vec::new(), table },
            breaks: false,
            early: false,
            asked: None,
            parcels: 0,
        }
    }

    /// Follows directives until the job is over; gives the result.
    async fn play(mut self) -> (PartyId, Result<String, String>, BTreeMap<String, Vec<u8>>) {
        let mut directives: Directives = self.link.follow().await.expect("stream");
        loop {
            let next = tokio::time::timeout(LIMIT, directives.next()).await;
            let (job, ask) = next.expect("a directive in time").expect("a stream").expect("not ended");
            match ask {
                Ask::Exchange { round, previous, parcels, session, checkpoint, extends } => {
                    self.pin(&job, Some(round), (&checkpoint, extends), session.clone()).await;
                    self.exchange(&job, round, &previous, parcels, session).await;
                }
                Ask::Closed { outcome, checkpoint, extends, session, parcels } => {
                    self.pin(&job, None, (&checkpoint, extends), session).await;
                    let result = outcome.map(|(json, transcript)| {
                        self.member.check_parcels(&job, &json, &transcript, parcels).expect("the result is signed");
                        self.member.close(now(), &job, Ok(transcript)).expect("closed");
                        json
                    });
                    let kept = self.member.kept(&job).expect("a vault").unwrap_or_default();
                    return (self.party, result, kept);
                }
                other => self.enter(&job, other).await,
            }
        }
    }

    /// Joins, and confirms the roster.
    async fn enter(&mut self, job: &JobId, ask: Ask) {
        match ask {
            Ask::Offer { toml, opened, .. } => {
                let own = self.party.as_str().bytes().next().expect("a name");
                let secrets = [[own; 32], [own + 1; 32], [own + 2; 32]];
                let offer = Offer { toml: &toml, opened, by: "pilot-operator" };
                let join = self.member.join(now(), job, offer, 1, secrets).expect("join");
                assert_eq!(self.link.join(&join).await.expect("sent"), Receipt::Accepted);
            }
            Ask::Roster(roster) => {
                let confirmation = self.member.confirm(now(), job, &roster).expect("confirm");
                assert_eq!(self.link.confirm(&confirmation).await.expect("sent"), Receipt::Accepted);
            }
            _ => {}
        }
    }

    /// Follows directives until the first exchange is open.
    async fn until_asked(mut self) -> (Self, JobId) {
        let mut directives: Directives = self.link.follow().await.expect("stream");
        loop {
            let next = tokio::time::timeout(LIMIT, directives.next()).await;
            let (job, ask) = next.expect("a directive in time").expect("a stream").expect("not ended");
            if matches!(ask, Ask::Exchange { .. }) {
                return (self, job);
            }
            self.enter(&job, ask).await;
        }
    }

    async fn pin(
        &mut self,
        job: &JobId,
        round: Option<u64>,
        (checkpoint, extends): (&str, Option<Extension>),
        session: Option<SessionParts>,
    ) {
        let sizes = self.member.compare_checkpoint(job, round, checkpoint, session.as_ref()).expect("a checkpoint");
        let sent = extends.filter(|extends| Some(extends.old_size) == sizes.map(|(old, _)| old));
        assert_eq!(sent.is_some(), sizes.is_some(), "the proof that is needed came along");
        let proof = match (sizes, sent) {
            (Some(_), Some(sent)) if self.early => Some(sent.proof),
            (Some((old, new)), _) => self.link.consistency(job, old, new).await.expect("a proof"),
            (None, _) => None,
        };
        self.member.pin(now(), job, round, checkpoint, proof.as_ref()).expect("pinned");
    }

    async fn exchange(
        &mut self,
        job: &JobId,
        round: u64,
        previous: &Digest,
        parcels: Vec<ParcelHead>,
        session: Option<SessionParts>,
    ) {
        let head =
            match self.member.exchange(now(), job, round, previous, parcels, session.as_ref()).expect("an exchange") {
                Due::Send(head) => *head,
                Due::Take(taking) => {
                    let announced = taking.letters(&self.party);
                    let letters = match self.asked.take() {
                        Some(asked) => asked.read(&announced).await.expect("letters that were asked for early"),
                        None => self.link.letters(job, taking.letters_of(), &announced).await.expect("letters"),
                    };
                    let (echo, firms) = (&self.echo, &self.firms);
                    let step = |work, spec: &_, place: &_, inbox: &_| echo.step(work, spec, place, inbox, firms);
                    self.member.take(now(), job, *taking, letters, step).expect("a step")
                }
            };
        self.parcels += 1;
        let mut letters = Vec::new();
        self.member.letters(job, &head).expect("spooled").read_to_end(&mut letters).expect("read");
        if self.breaks && !letters.is_empty() {
            self.broken(&head, &letters).await;
        }
        let letters = Box::new(Cursor::new(letters));
        let sent = if self.early {
            self.asked = self.link.early_letters(job, round);
            assert_eq!(self.asked.as_ref().map(EarlyLetters::round), Some(round));
            self.link.new_parcel(&head, letters).await
        } else {
            self.link.parcel(&head, letters).await
        };
        let sent = sent.expect("sent");
        assert_eq!(sent, Receipt::Accepted, "{} in exchange {round}", self.party);
        // Word for word once more, as after a crash.
        let letters = self.member.letters(job, &head).expect("spooled");
        assert_eq!(self.link.parcel(&head, letters).await.expect("sent again"), Receipt::Accepted);
    }

    async fn broken(&mut self, head: &ParcelHead, letters: &[u8]) {
        self.breaks = false;
        match self.link.parcel(head, Box::new(Cursor::new(letters[..letters.len() / 2].to_vec()))).await {
            Err(error @ LinkError::Status { .. }) => assert!(error.may_retry(), "{error}"),
            other => panic!("{other:?}"),
        }
        // Another parcel for the same exchange, before the first is whole.
        let mut other = head.clone();
        other.announcement.phase.push('!');
        let refused = self.link.parcel(&other, Box::new(Cursor::new(letters.to_vec()))).await.expect("a receipt");
        assert!(matches!(refused, Receipt::Rejected(_)), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_many_chunks_reach_their_receivers() {
    let stage = Stage::new();
    let (_coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let echo = Echo { letter_bytes: 700_000, ..Echo::new(3) };
    let mut puppets: Vec<Puppet> =
        stage.spec.job.parties.iter().map(|p| Puppet::new(&stage, p, &url, echo.clone())).collect();
    puppets[1].breaks = true;
    puppets[0].early = true;
    puppets[2].early = true;
    let playing: Vec<_> = puppets.into_iter().map(|p| tokio::spawn(p.play())).collect();
    for played in playing {
        let (party, result, kept) = played.await.expect("no panic");
        assert_eq!(result, Ok("{\"exchanges\":3}".to_owned()), "{party}");
        assert_eq!(kept["echo.txt"], format!("{party} 3").into_bytes());
    }
    let status = stage.ended(&url, &job).await;
    assert_eq!((status.phase.as_str(), status.rounds_closed, status.rejected), ("finished", 3, 1), "{status:?}");
    assert!(status.parties.iter().all(|p| p.bytes_received > 2_800_000), "{status:?}");
    let entries = stage.operator(&url).await.journal(&job).await.expect("journal");
    let found = audit::verify(&entries, None, &audit::Sums::new()).expect("the journal holds");
    assert_eq!(found.heads.len(), 3);
    let blobs = stage.town.folder("coordinator").join("state/ciphertexts").join(&job);
    let left = fs::read_dir(blobs).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no letter is left");
}

fn code<T>(answer: Result<T, LinkError>) -> Option<tonic::Code> {
    match answer {
        Err(LinkError::Status { status, .. }) => Some(status.code()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_letters_hears_when_there_will_be_none() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let waiting = |puppets: &[Puppet], job: JobId| {
        let questions = puppets.iter().map(|p| p.link.early_letters(&job, 1).expect("few questions are open"));
        let read = |early: EarlyLetters| tokio::spawn(async move { early.read(&[(0, 0, 1)]).await });
        questions.map(read).collect::<Vec<_>>()
    };
    let enter = async || {
        let id = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
        let mut puppets = Vec::new();
        let all = stage.spec.job.parties.iter().map(|p| Puppet::new(&stage, p, &url, Echo::new(3)));
        for entered in all.map(|p| tokio::spawn(p.until_asked())).collect::<Vec<_>>() {
            puppets.push(entered.await.expect("no panic"));
        }
        let job = puppets[0].1;
        assert_eq!(job.to_string(), id);
        (puppets.into_iter().map(|(puppet, _)| puppet).collect::<Vec<_>>(), job)
    };

    let (puppets, job) = enter().await;
    // Only the open exchange is waited for.
    let later = puppets[0].link.early_letters(&job, 2).expect("few questions are open");
    assert_eq!(code(later.read(&[(0, 0, 1)]).await), Some(tonic::Code::NotFound));
    assert_eq!(code(puppets[0].link.letters(&job, 1, &[(0, 0, 1)]).await), Some(tonic::Code::NotFound));
    // More questions than may be open at once are not asked.
    let open: Vec<_> = (0..20).map_while(|_| puppets[1].link.early_letters(&job, 1)).collect();
    assert_eq!(open.len(), 8);
    drop(open);
    let questions = waiting(&puppets, job);
    stage.operator(&url).await.cancel(&job.to_string(), "enough".to_owned()).await.expect("cancelled");
    for question in questions {
        assert_eq!(code(question.await.expect("no panic")), Some(tonic::Code::NotFound));
    }

    let (puppets, job) = enter().await;
    let questions = waiting(&puppets, job);
    coordinator.stop().expect("nobody who waits keeps the coordinator up");
    for question in questions {
        let code = code(question.await.expect("no panic"));
        assert!(code.is_some_and(|code| code != tonic::Code::NotFound), "{code:?}");
    }
}

/// A participant's program, which does not outlive us.
struct Program(Child);

impl Program {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("signalled");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(stage: &Stage, party: &PartyId, url: &str) -> Program {
    let folder = stage.town.folder(party.as_str());
    fs::create_dir_all(&folder).expect("folder");
    let csv = folder.join("firms.csv");
    fs::write(&csv, stage.csv(party)).expect("data");
    let pki = format!("../pki/{party}");
    let config = format!(
        "policy = \"policy.toml\"\n[participant]\nparty = \"{party}\"\nstate_dir = \"state\"\n[coordinator]\nurl = \"{url}\"\n\
         ca = \"{pki}/ca.crt\"\ncertificate = \"{pki}/tls.crt\"\nkey = \"{pki}/tls.key\"\nsigning_certificate = \
         \"{pki}/signing.crt\"\nsigning_key = \"{pki}/signing.key\"\n[[view]]\nname = \"firms\"\npath = \"firms.csv\"\n"
    );
    let policy = "[accept]\nfederations = [\"jingjinji\"]\nkinds = [\"joint_scorecard\"]\n[columns]\nviews = [\"firms\"]\ndeny = []\n\
                  [minimum]\nparties = 3\nrows = 100\nbin_rows = 10\nadversary = \"malicious\"\n[results]\nown_metrics = \
                  false\n[alignment]\nmax_firms = 2000\nmin_common = 100\n";
    fs::write(folder.join("participant.toml"), config).expect("configuration");
    fs::write(folder.join("policy.toml"), policy).expect("policy");
    let log = fs::File::create(folder.join("log")).expect("log");
    let own = std::env::current_exe().expect("this program");
    let program = own.ancestors().nth(2).expect("the folder of programs").join("haihe-participant");
    let child = Command::new(program)
        .arg("--config")
        .arg(folder.join("participant.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn();
    Program(child.expect("participant starts"))
}

fn wait_for(path: &Path) -> PathBuf {
    let since = Instant::now();
    while !path.exists() {
        assert!(since.elapsed() < LIMIT, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    path.to_owned()
}

fn wait_for_line(log: &Path, text: &str) {
    let since = Instant::now();
    while !fs::read_to_string(log).unwrap_or_default().contains(text) {
        assert!(since.elapsed() < LIMIT, "{text:?} does not appear in {}", log.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_finish_a_job_although_one_is_killed() {
    let stage = Stage::new();
    let (_coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let mut running: Vec<Program> = stage.spec.job.parties.iter().map(|p| start(&stage, p, &url)).collect();
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let vault = stage.town.folder("tax").join("state/vault").join(&job);
    wait_for(&vault.join("exchange.json"));
    drop(running.pop());
    running.push(start(&stage, &stage.spec.job.parties[2], &url));
    let status = stage.ended(&url, &job).await;
    let logs = || {
        let log = |p: &PartyId| fs::read_to_string(stage.town.folder(p.as_str()).join("log")).unwrap_or_default();
        stage.spec.job.parties.iter().map(log).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(status.phase, "finished", "{status:?}\n{}", logs());
    let result = stage.operator(&url).await.result(&job).await.expect("a result");
    for party in &stage.spec.job.parties {
        let folder = stage.town.folder(party.as_str()).join("state/results").join(&job);
        let own = fs::read_to_string(wait_for(&folder.join("result.json"))).expect("a result");
        assert_eq!(own, result, "{party}");
        assert!(folder.join("checkpoint.txt").exists(), "{party}");
    }
    assert!(stage.folder.path().exists());
}

/// Waits until the job waits for `party` and for nobody else.
async fn wait_for_only(stage: &Stage, url: &str, job: &str, party: &str) {
    let since = Instant::now();
    loop {
        let status = stage.operator(url).await.status(job).await.expect("a status");
        let others = stage.spec.job.parties.iter().filter(|p| p.as_str() != party);
        if status.detail.contains(party) && others.clone().all(|p| !status.detail.contains(p.as_str())) {
            return;
        }
        assert!(since.elapsed() < LIMIT, "the job does not come to wait for {party} alone: {status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_finish_a_job_although_those_who_wait_for_letters_are_cut_off() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let mut running: Vec<Program> = stage.spec.job.parties.iter().map(|p| start(&stage, p, &url)).collect();
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    wait_for(&stage.town.folder("core").join("state/vault").join(&job).join("exchange.json"));
    // From here on the exchange stays open: the two others have sent their parcels and wait for letters.
    running[1].signal(Signal::STOP);
    wait_for_only(&stage, &url, &job, "core").await;
    drop(running.pop());
    running.push(start(&stage, &stage.spec.job.parties[2], &url));
    wait_for_line(&stage.town.folder("tax").join("log"), "connected");
    coordinator.stop().expect("nobody who waits keeps the coordinator up");
    let (_coordinator, url) = stage.town.start_coordinator(Some(&url)).expect("coordinator starts again");
    wait_for_only(&stage, &url, &job, "core").await;
    running[1].signal(Signal::CONT);
    let status = stage.ended(&url, &job).await;
    assert_eq!(status.phase, "finished", "{status:?}");
    assert_eq!(status.rejected, 0, "{status:?}");
    for party in &stage.spec.job.parties {
        wait_for(&stage.town.folder(party.as_str()).join("state/results").join(&job).join("result.json"));
    }
}
