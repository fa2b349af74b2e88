//! The loop that joins link, policy, data, member and vault: one worker per job, each following its newest directive.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haihe_models::{
    firm::{KeyProblems, read_keys},
    network::{EncodingKind, LearnerError},
};
use haihe_privacy::{
    digest::Digest,
    secure_sum::{Adversary, Scheme, lattice::Lattice},
    sign::SigningKey,
};
use haihe_protocol::{
    error::Violation,
    horizontal::network::NetworkOptions,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    roster::Trust,
    vertical::{Encoding, VerticalOptions, exchange::ParcelHead},
};
use rand::TryRng as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::sync::watch;

use crate::{
    config::{ConfigError, ParticipantConfig, ViewConfig},
    ledger::{Given, ShowError},
    link::{Address, Ask, EarlyLetters, Extension, Link, LinkError, Receipt},
    member::{BudgetError, Identity, Member, MemberError, Offer, SessionParts, affordable, most_aligned, shown_to},
    policy::{self, AlignmentRequest, Policy, PolicyError, PolicyRequest, ViewRequest},
    source::{DataRequest, Loaded, SourceError, load},
    vault::{DiskVault, private_folder, write_whole},
};

mod exchange;
mod results;

use exchange::Data;

/// Longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Why the participant cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A key or certificate cannot be used.
    #[error("{path} holds no usable {what}: {detail}")]
    Key {
        /// File.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}: {source}")]
    State {
        /// Folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another participant uses the state folder.
    #[error("another participant uses the state folder {0}; stop it first, or give this one its own folder")]
    Locked(PathBuf),
    /// The connection cannot be set up.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// The present time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Fresh secret bytes from the operating system.
fn secret() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Everything that workers share.
pub struct Participant {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    policy: Policy,
    views: Vec<ViewConfig>,
    state_dir: PathBuf,
}

fn file(path: &Path) -> Result<String, RunError> {
    fs::read_to_string(path).map_err(|e| RunError::Key { path: path.to_owned(), what: "text", detail: e.to_string() })
}

fn certificate(path: &Path) -> Result<Vec<u8>, RunError> {
    let detail = |detail: String| RunError::Key { path: path.to_owned(), what: "certificate", detail };
    let pem = CertificateDer::from_pem_slice(file(path)?.as_bytes());
    Ok(pem.map_err(|e| detail(format!("{e:?}")))?.to_vec())
}

impl Participant {
    /// Loads keys and policy. Contributions are always encrypted under the lattice scheme.
    pub fn load(config: &ParticipantConfig) -> Result<(Self, Address), RunError> {
        let c = &config.coordinator;
        let key = SigningKey::from_pkcs8_pem(&file(&c.signing_key)?).map_err(|e| RunError::Key {
            path: c.signing_key.clone(),
            what: "Ed25519 key",
            detail: e.to_string(),
        })?;
        let party = PartyId::new(&config.participant.party).map_err(|e| RunError::Key {
            path: PathBuf::from("[participant] party"),
            what: "party id",
            detail: e.to_string(),
        })?;
        let authority = certificate(&c.ca)?;
        let own = certificate(&c.signing_certificate)?;
        let member = haihe_privacy::identity::verify_member_certificate(&authority, &own, now().unix_seconds());
        let wrong = |detail: String| RunError::Key {
            path: c.signing_certificate.clone(),
            what: "signing certificate of this participant",
            detail,
        };
        let member = member.map_err(|e| wrong(e.to_string()))?;
        if member.party != party.as_str() {
            return Err(wrong(format!("it names {}, [participant] party is {party}", member.party)));
        }
        if member.signing_key != Some(key.verifying_key()) {
            return Err(wrong("it does not belong to the signing key".to_owned()));
        }
        let policy = Policy::load(&config.policy)?;
        let trust = Trust::new(member.federation, authority);
        let identity = Identity { party, trust, certificate: own, key, budget: policy.budget() };
        let address =
            Address { url: c.url.clone(), ca: file(&c.ca)?, certificate: file(&c.certificate)?, key: file(&c.key)? };
        let participant = Self {
            identity: Arc::new(identity),
            scheme: Arc::new(Lattice),
            policy,
            views: config.views.clone(),
            state_dir: config.participant.state_dir.clone(),
        };
        Ok((participant, address))
    }

    /// Who this is.
    pub fn party(&self) -> &PartyId {
        &self.identity.party
    }

    fn policy_request(&self, spec: &JobSpec, data: &DataRequest, by: Option<&str>, rows: Option<u64>) -> PolicyRequest {
        PolicyRequest {
            federation: self.identity.trust.federation().to_owned(),
            kind: spec.kind().as_str().to_owned(),
            operator: by.map(str::to_owned),
            view: data.view.clone(),
            columns: data.view_columns(),
            series: data
                .series
                .as_ref()
                .map(|series| ViewRequest { view: series.view.clone(), columns: series.all_columns() }),
            parties: spec.job.parties.len() as u64,
            min_contributors: u64::from(spec.least_in_a_sum()),
            min_bin_rows: smallest_bin(spec),
            adversary: match spec.secure_sum.adversary {
                Adversary::Malicious => policy::Adversary::Malicious,
                Adversary::SemiHonest => policy::Adversary::SemiHonest,
            },
            per_party_evaluation: spec.tells_own_figures(),
            own_train_rows: rows,
            privacy: spec.privacy.as_ref().map(|p| (p.epsilon, p.delta)),
            alignment: None,
        }
    }

    /// What a vertical job wants of the policy. It opens no sum, and its smallest bins hold so many good and so many bad firms.
    fn vertical_request(spec: &JobSpec, vertical: &VerticalOptions, request: PolicyRequest) -> PolicyRequest {
        let binned = spec.scoring.is_none() && vertical.encoding == Encoding::Woe;
        let smallest = vertical.woe.minimum_goods + vertical.woe.minimum_bads;
        PolicyRequest {
            min_bin_rows: if binned { smallest } else { u64::MAX },
            adversary: policy::Adversary::Malicious,
            alignment: Some(AlignmentRequest {
                max_firms: vertical.alignment.max_firms,
                min_common: vertical.alignment.min_common,
            }),
            ..request
        }
    }

    /// What the policy says; a job that nobody has submitted yet is not asked who submitted it.
    fn refusals(
        &self,
        spec: &JobSpec,
        data: &DataRequest,
        by: Option<&str>,
        rows: Option<u64>,
    ) -> Vec<policy::Refusal> {
        let mut request = self.policy_request(spec, data, by, rows);
        if let Some(vertical) = &spec.vertical {
            request = Self::vertical_request(spec, vertical, request);
        }
        let mut refusals = self.policy.check(&request).err().unwrap_or_default();
        if by.is_none() {
            refusals.retain(|r| !matches!(r, policy::Refusal::Operator { .. }));
        }
        refusals
    }

    /// Everything that would make this participant decline, in full, for its own people. `by` is who submitted the job,
    /// or `None` before it is submitted.
    pub async fn examine(&self, spec: &JobSpec, by: Option<&str>) -> Result<Loaded, Objection> {
        self.check_budget(spec).map_err(Objection::Budget)?;
        self.check_model(spec).map_err(Objection::Model)?;
        spec.trainable().map_err(Objection::Program)?;
        self.check_alignments(spec)?;
        self.examine_joined(spec, by).await
    }

    /// A peer with whom this participant aligned often enough lately is not aligned with once more. A job that was joined
    /// counts itself: the member looks again before its first parcel.
    fn check_alignments(&self, spec: &JobSpec) -> Result<(), Objection> {
        if spec.vertical.is_none() {
            return Ok(());
        }
        let peers: Vec<PartyId> = spec.job.parties.iter().filter(|p| *p != self.party()).cloned().collect();
        let most = self.vault().and_then(|vault| most_aligned(&vault, now(), &peers));
        let most = most.map_err(Objection::Vault)?;
        let refusal = most.and_then(|(peer, times)| self.policy.check_often(&peer, times));
        refusal.or(self.check_shown(spec)?).map_or(Ok(()), |refusal| Err(Objection::Policy(vec![refusal])))
    }

    /// A label holder sees at least the scores of the model, and of one direction where one is learned.
    fn check_shown(&self, spec: &JobSpec) -> Result<Option<policy::Refusal>, Objection> {
        let Some(holder) = spec.label_holder().filter(|p| *p != self.party()) else { return Ok(None) };
        let seen = self.vault().and_then(|vault| shown_to(&vault, holder)).map_err(Objection::Vault)?;
        Ok(self.policy.check_shown(holder, seen, if spec.scoring.is_some() { 1 } else { 2 }))
    }

    /// A job that scores with a model, or starts from one, is joined only where that model is.
    fn check_model(&self, spec: &JobSpec) -> Result<(), MemberError> {
        if spec.vertical.is_some() {
            self.member()?.model(spec)?;
        }
        Ok(())
    }

    /// The same for a job that was joined: its sums are paid for one by one, and some of them have been.
    async fn examine_joined(&self, spec: &JobSpec, by: Option<&str>) -> Result<Loaded, Objection> {
        let data = DataRequest::of(spec, self.party()).ok_or(Objection::NotNamed)?;
        let refusals = self.refusals(spec, &data, by, None);
        if !refusals.is_empty() {
            // Without the policy's consent no data are touched.
            return Err(Objection::Policy(refusals));
        }
        let loaded = load(self.party().as_str(), &self.views, Path::new(""), &data).await;
        let loaded = loaded.map_err(|e| Objection::Data(Box::new(e)))?;
        let refusals = self.refusals(spec, &data, by, Some(loaded.summary.train_rows));
        if !refusals.is_empty() {
            return Err(Objection::Policy(refusals));
        }
        let (firms, most) = (loaded.summary.rows, spec.vertical.as_ref().map(|v| v.alignment.max_firms));
        if let Some(most) = most.filter(|most| firms > *most) {
            return Err(Objection::TooManyFirms { firms, most });
        }
        match spec.vertical.as_ref().map(|v| read_keys(v.alignment.key_kind, &loaded.keys)) {
            Some(Err(problems)) => Err(Objection::Keys(problems)),
            _ => Ok(loaded),
        }
    }

    fn vault(&self) -> io::Result<DiskVault> {
        DiskVault::open(self.state_dir.join("vault"))
    }

    /// All sums of the job must fit into what is left of the privacy budget.
    fn check_budget(&self, spec: &JobSpec) -> Result<(), BudgetError> {
        if spec.privacy.is_none() {
            return Ok(());
        }
        let spent = affordable(&self.vault()?, self.identity.budget.as_ref(), spec)?;
        if let (Some(spent), Some(budget)) = (spent, self.identity.budget) {
            tracing::info!(spent, allowed = budget.epsilon, delta = budget.delta, "privacy budget after this job");
        }
        Ok(())
    }

    /// What was given away over all jobs.
    pub fn given(&self) -> Result<Given, ShowError> {
        let allowed = self.policy.score_vectors();
        Given::read(self.party().clone(), &self.vault()?, self.identity.budget.as_ref(), allowed, now())
    }

    fn member(&self) -> io::Result<Member> {
        let member = Member::new(self.identity.clone(), self.scheme.clone(), Box::new(self.vault()?));
        let member = member.with_alignments_per_day(self.policy.alignments_per_day());
        Ok(member.with_score_vectors(self.policy.score_vectors()))
    }
}

/// Fewest rows of all parties together that a bin of the job's result holds; the largest number if it has no bins. The cells of
/// tail statistics and forests may hold a single row.
fn smallest_bin(spec: &JobSpec) -> u64 {
    let of_network = |n: &NetworkOptions| match n.encoding.kind {
        EncodingKind::Woe | EncodingKind::QuantileNormal => n.binning.min_bin_rows.max(0.0) as u64,
        EncodingKind::Standardise => u64::MAX,
    };
    match (&spec.scorecard, &spec.network, &spec.anomaly) {
        (Some(scorecard), ..) => scorecard.binning.min_bin_rows.max(0.0) as u64,
        (_, Some(network), _) => of_network(network),
        (.., Some(anomaly)) => anomaly.autoencoder.as_ref().map_or(1, of_network),
        _ => 0,
    }
}

/// Why a job is declined.
#[derive(Debug)]
pub enum Objection {
    /// The policy forbids it.
    Policy(Vec<policy::Refusal>),
    /// Too little is left of the privacy budget.
    Budget(BudgetError),
    /// The data do not allow it.
    Data(Box<SourceError>),
    /// More firms than the job allows a party to bring.
    TooManyFirms {
        /// What we hold.
        firms: u64,
        /// What the job allows.
        most: u64,
    },
    /// Keys that are no keys of firms, or twice the same.
    Keys(KeyProblems),
    /// The job does not say what we bring.
    NotNamed,
    /// The model that the job builds on is not here.
    Model(MemberError),
    /// This program was built without what the job's network needs.
    Program(LearnerError),
    /// The vault cannot be read: ours to repair.
    Vault(io::Error),
}

impl Objection {
    /// For this participant's own people: everything, with its own figures.
    pub fn for_us(&self) -> String {
        match self {
            Objection::Policy(refusals) => refusals.iter().map(|r| format!("  - {r}\n")).collect(),
            Objection::Budget(error) => error.to_string(),
            Objection::Data(error) => error.to_string(),
            Objection::TooManyFirms { firms, most } => format!(
                "the view has {firms} firms, and the job lets a party bring {most} (vertical.alignment max_firms); narrow \
                 the view, or have the operator raise the number"
            ),
            Objection::Keys(problems) => format!("the key column cannot be used: {problems}"),
            Objection::NotNamed => "the job has no table [[vertical.holder]] for this participant".to_owned(),
            Objection::Model(error) => error.to_string(),
            Objection::Program(error) => error.to_string(),
            Objection::Vault(error) => format!("the record of alignments cannot be read: {error}"),
        }
    }

    /// For the others: which rules, without this participant's own figures.
    pub fn for_others(&self, party: &PartyId) -> String {
        let (what, codes): (&str, Vec<&str>) = match self {
            Objection::Policy(refusals) => ("policy", refusals.iter().map(policy::Refusal::code).collect()),
            Objection::Budget(_) => ("policy", vec!["privacy_budget"]),
            Objection::Data(error) => ("data", error.codes().into_iter().collect()),
            Objection::TooManyFirms { .. } => ("data", vec!["too_many_firms"]),
            Objection::Keys(problems) => ("data", problems.iter().map(|(problem, _)| problem.code()).collect()),
            Objection::NotNamed => ("data", vec!["not_named"]),
            Objection::Model(_) => ("data", vec!["no_model"]),
            Objection::Program(_) => ("program", vec!["no_torch"]),
            Objection::Vault(_) => ("policy", vec!["policy_alignment_too_often"]),
        };
        format!("{what}: {}; the log of {party} says more", codes.join(", "))
    }
}

/// Runs the participant until `stop` changes.
pub async fn run(config: &ParticipantConfig, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let (participant, address) = Participant::load(config)?;
    let state = |source| RunError::State { path: participant.state_dir.clone(), source };
    fs::create_dir_all(&participant.state_dir).map_err(state)?;
    let lock = fs::File::create(participant.state_dir.join("lock")).map_err(state)?;
    lock.try_lock().map_err(|_| RunError::Locked(participant.state_dir.clone()))?;
    let link = Link::new(&address, participant.party().clone())?;
    let participant = Arc::new(participant);
    tracing::info!(party = %participant.party(), coordinator = address.url, "started");

    let mut workers: HashMap<JobId, watch::Sender<Option<Ask>>> = HashMap::new();
    let mut pause = Duration::from_millis(200);
    loop {
        tokio::select! {
            ended = follow(&participant, &link, &mut workers, &mut pause) => {
                match ended {
                    Ok(()) => tracing::warn!("the coordinator ended the stream; connecting again"),
                    Err(error) if error.may_retry() => {
                        tracing::warn!(%error, seconds = format!("{:.1}", pause.as_secs_f32()), "no connection; trying again");
                    }
                    Err(error) => tracing::error!(%error, "the coordinator refuses this participant; trying again"),
                }
            }
            _ = stop.changed() => break,
        }
        tokio::select! {
            _ = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
            _ = stop.changed() => break,
        }
    }
    tracing::info!("stopped; every open job goes on after the next start");
    Ok(())
}

/// Reads directives and hands each to its job's worker.
async fn follow(
    participant: &Arc<Participant>,
    link: &Link,
    workers: &mut HashMap<JobId, watch::Sender<Option<Ask>>>,
    pause: &mut Duration,
) -> Result<(), LinkError> {
    let mut directives = link.follow().await?;
    tracing::info!("connected");
    *pause = Duration::from_millis(200);
    while let Some((job, ask)) = directives.next().await? {
        let worker = workers.entry(job).or_insert_with(|| {
            let (to, asks) = watch::channel(None);
            tokio::spawn(work(participant.clone(), link.clone(), job, asks));
            to
        });
        worker.send_replace(Some(ask));
    }
    Ok(())
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("policy or data do not allow this job any more:\n{0}")]
    Objection(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the result cannot be read: {0}")]
    Result(String),
    #[error("the rows of this job are not those of firms; this is a defect, please report it")]
    NoFirms,
}

impl StepError {
    fn may_retry(&self) -> bool {
        match self {
            StepError::Link(error) => error.may_retry(),
            StepError::Io(_) | StepError::Member(MemberError::Vault(_)) => true,
            _ => false,
        }
    }
}

/// One job: does what the newest directive asks; after a passing failure tries again, after a refusal waits for the next.
async fn work(participant: Arc<Participant>, link: Link, job: JobId, mut asks: watch::Receiver<Option<Ask>>) {
    let member = match participant.member() {
        Ok(member) => member,
        Err(error) => {
            tracing::error!(job = %job.short(), %error, "the vault cannot be opened; this job is left alone");
            return;
        }
    };
    let mut worker = Worker { participant, link, job, member, loaded: None, early: None };
    while asks.changed().await.is_ok() {
        let mut pause = Duration::from_millis(200);
        loop {
            let Some(ask) = asks.borrow_and_update().clone() else { break };
            let round = ask.round();
            let Some(done) = until_superseded(&mut asks, worker.follow(ask)).await else { continue };
            let Err(error) = done else { break };
            if !error.may_retry() {
                let party = worker.participant.party().clone();
                match (&error, round) {
                    (StepError::Member(MemberError::Violation(violation)), round) => {
                        worker.object(round.unwrap_or(0), violation).await;
                    }
                    (StepError::Member(MemberError::Closed), _) | (_, None) => {}
                    // Nobody is to wait for a party that will not go on.
                    (_, Some(round)) => worker.object(round, &Violation::CannotGoOn { party }).await,
                }
                tracing::error!(job = %job.short(), %error, "refused to go on with this step");
                break;
            }
            tracing::warn!(job = %job.short(), %error, "trying again");
            tokio::select! {
                _ = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_PAUSE),
                changed = asks.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Takes a step to its end, unless something else is asked meanwhile: then `None`. Everything durable in a step happens
/// between its waits, so that it may be left at any of them.
async fn until_superseded<T>(asks: &mut watch::Receiver<Option<Ask>>, step: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(step);
    loop {
        tokio::select! {
            done = &mut step => return Some(done),
            changed = asks.changed() => {
                if changed.is_err() {
                    return Some(step.await);
                }
                // To wait is what follows a step that the coordinator has just heard of.
                if !matches!(&*asks.borrow(), Some(Ask::Wait { .. })) {
                    return None;
                }
            }
        }
    }
}

struct Worker {
    participant: Arc<Participant>,
    link: Link,
    job: JobId,
    member: Member,
    loaded: Option<Data>,
    /// The question for the letters of the open exchange; it outlives the step that asked it.
    early: Option<EarlyLetters>,
}

impl Worker {
    async fn follow(&mut self, ask: Ask) -> Result<(), StepError> {
        match ask {
            Ask::Wait { awaiting } => {
                tracing::debug!(job = %self.job.short(), awaiting, "waiting");
                Ok(())
            }
            Ask::Offer { toml, opened, by } => self.offered(&toml, opened, &by).await,
            Ask::Roster(roster) => {
                let confirmation = self.member.confirm(now(), &self.job, &roster)?;
                let receipt = self.link.confirm(&confirmation).await?;
                self.told("confirmed the roster", &receipt);
                Ok(())
            }
            Ask::Contribute { spec, signature, session, checkpoint, extends } => {
                self.pin(Some(spec.round), (&checkpoint, extends), session.as_ref()).await?;
                self.catch_up(Some(spec.round), &spec.previous, session.as_ref()).await?;
                self.ensure_data().await?;
                let Some(Data::Rows(loaded, encoded)) = &self.loaded else { return Ok(()) };
                let (round, rows) = (spec.round, (&loaded.table, encoded));
                let member = &mut self.member;
                let seed = secret()?;
                let outgoing = tokio::task::block_in_place(|| {
                    member.contribute(now(), &self.job, spec, &signature, session.as_ref(), rows, seed)
                })?;
                let ciphertext = self.member.ciphertext(&self.job)?;
                let receipt = self.link.contribute(&self.job, &outgoing.prepared, ciphertext).await?;
                self.told(&format!("round {round}: contributed to {}", outgoing.step), &receipt);
                Ok(())
            }
            Ask::Answer { spec, spec_signature, survivors, signature, sealed_shares, session, checkpoint } => {
                self.pin(Some(spec.round), (&checkpoint, None), session.as_ref()).await?;
                self.catch_up(Some(spec.round), &spec.previous, session.as_ref()).await?;
                let (round, parties) = (spec.round, survivors.survivors.len());
                let member = &mut self.member;
                let answer = tokio::task::block_in_place(|| {
                    let shares = &sealed_shares;
                    member.answer(
                        now(),
                        &self.job,
                        spec,
                        &spec_signature,
                        survivors,
                        &signature,
                        shares,
                        session.as_ref(),
                    )
                })?;
                let receipt = self.link.answer(&self.job, &answer).await?;
                self.told(&format!("round {round}: answered for the sum of {parties} parties"), &receipt);
                Ok(())
            }
            Ask::Exchange { round, previous, parcels, session, checkpoint, extends } => {
                self.pin(Some(round), (&checkpoint, extends), session.as_ref()).await?;
                self.exchange((round, &previous), parcels, session).await
            }
            Ask::Closed { outcome, checkpoint, extends, session, parcels } => {
                self.early = None;
                self.closed(outcome, (&checkpoint, extends), session, parcels).await
            }
        }
    }

    /// Pins the head of the coordinator's journal, after the coordinator proved that it extends the one before: with the proof
    /// that came along, if it begins from what is pinned here, or with one that is asked for.
    async fn pin(
        &mut self,
        round: Option<u64>,
        (checkpoint, extends): (&str, Option<Extension>),
        session: Option<&SessionParts>,
    ) -> Result<(), StepError> {
        let proof = match (self.member.compare_checkpoint(&self.job, round, checkpoint, session)?, extends) {
            (Some((old, _)), Some(extends)) if extends.old_size == old => Some(extends.proof),
            (Some((old, new)), _) => self.link.consistency(&self.job, old, new).await?,
            (None, _) => None,
        };
        Ok(self.member.pin(now(), &self.job, round, checkpoint, proof.as_ref())?)
    }

    /// Fetches and checks the sums that `previous` builds on.
    async fn catch_up(
        &mut self,
        round: Option<u64>,
        previous: &Digest,
        session: Option<&SessionParts>,
    ) -> Result<(), StepError> {
        while let Some(after) = self.member.behind(&self.job, round, previous, session)? {
            // If there is nothing to show, the next step finds that its round builds on nothing.
            let Some((closed, signature)) = self.link.closed_round(&self.job, after).await? else { break };
            let (member, job) = (&mut self.member, &self.job);
            tokio::task::block_in_place(|| member.absorb(now(), job, &closed, &signature))?;
            let parties = closed.contributors.len();
            tracing::info!(job = %self.job.short(), "round {}: the sum of {parties} parties holds", closed.spec.round);
        }
        Ok(())
    }

    /// Tells everybody that a rule was broken in a round.
    async fn object(&mut self, round: u64, violation: &Violation) {
        let told = match self.member.object(now(), &self.job, round, violation) {
            Ok(Some(objection)) => self.link.object(&objection).await.map_err(|e| e.to_string()),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        match told {
            Ok(receipt) => self.told(&format!("round {round}: objected"), &receipt),
            Err(error) => tracing::warn!(job = %self.job.short(), error, "the objection did not reach the coordinator"),
        }
    }

    fn told(&self, what: &str, receipt: &Receipt) {
        let job = self.job.short();
        match receipt {
            Receipt::Accepted => tracing::info!(%job, "{what}"),
            Receipt::Late(reason) => tracing::warn!(%job, reason, "{what}, too late"),
            Receipt::Rejected(reason) => tracing::error!(%job, reason, "{what}, rejected by the coordinator"),
        }
    }

    async fn offered(&mut self, toml: &str, opened: Timestamp, by: &str) -> Result<(), StepError> {
        if let Some(earlier) = self.member.earlier_reply(now(), &self.job)? {
            let receipt = match &earlier {
                Ok(join) => self.link.join(join).await?,
                Err(decline) => self.link.decline(decline).await?,
            };
            self.told("repeated the earlier reply to the offer", &receipt);
            return Ok(());
        }
        let spec = self.member.offered(&self.job, toml, opened)?;
        match self.participant.examine(&spec, Some(by)).await {
            Ok(loaded) => {
                let summary = &loaded.summary;
                tracing::info!(
                    job = %self.job.short(),
                    rows = summary.rows,
                    train = summary.train_rows,
                    test = summary.test_rows,
                    "policy and data allow the job"
                );
                let rows = summary.rows;
                self.loaded = Some(Data::of(&spec, loaded));
                let secrets = [secret()?, secret()?, secret()?];
                let join = self.member.join(now(), &self.job, Offer { toml, opened, by }, rows, secrets)?;
                let receipt = self.link.join(&join).await?;
                self.told(&format!("joined {:?}", spec.job.name), &receipt);
            }
            Err(objection) => {
                tracing::error!(job = %self.job.short(), "declined {:?}:\n{}", spec.job.name, objection.for_us());
                let reason = objection.for_others(self.participant.party());
                let decline = self.member.decline(now(), &self.job, &reason)?;
                let receipt = self.link.decline(&decline).await?;
                self.told("declined", &receipt);
            }
        }
        Ok(())
    }

    /// Loads the data again after a restart, if the policy still allows the job.
    async fn ensure_data(&mut self) -> Result<(), StepError> {
        if self.loaded.is_none() {
            let spec = self.member.spec(&self.job)?;
            let by = self.member.submitted_by(&self.job)?;
            let examined = self.participant.examine_joined(&spec, Some(&by)).await;
            let loaded = examined.map_err(|o| StepError::Objection(o.for_us()))?;
            self.loaded = Some(Data::of(&spec, loaded));
        }
        Ok(())
    }

    async fn closed(
        &mut self,
        outcome: Result<(String, Digest), String>,
        checkpoint: (&str, Option<Extension>),
        session: Option<SessionParts>,
        parcels: Vec<ParcelHead>,
    ) -> Result<(), StepError> {
        if !self.member.has_joined(&self.job)? || self.member.is_closed(&self.job)? {
            return Ok(());
        }
        let job = self.job.short();
        match outcome {
            Ok((json, transcript)) => {
                let vertical = self.member.spec(&self.job)?.vertical.is_some();
                let checked = match vertical {
                    true => self.checked_parcels((&json, &transcript), checkpoint, session, parcels).await,
                    false => self.checked_result(&json, &transcript, checkpoint, session).await,
                };
                match checked {
                    Ok(()) => {}
                    Err(error) if error.may_retry() => return Err(error),
                    // A result that cannot be used ends the job all the same: its keys are forgotten.
                    Err(error) => {
                        tracing::error!(%job, %error, "the result is not kept");
                        if let StepError::Member(MemberError::Violation(violation)) = &error {
                            self.object(u64::MAX, violation).await;
                        }
                        self.member.close(now(), &self.job, Err(format!("the result cannot be used: {error}")))?;
                        self.loaded = None;
                        return Ok(());
                    }
                }
                if self.member.close(now(), &self.job, Ok(transcript))? {
                    tracing::info!(%job, "the job is finished; its result is in the state folder");
                }
            }
            Err(reason) => {
                if self.member.has_session(&self.job)? {
                    match self.pin(None, checkpoint, None).await {
                        Err(error) if error.may_retry() => return Err(error),
                        Err(error) => tracing::error!(%job, %error, "the journal of the stopped job"),
                        Ok(()) => {}
                    }
                }
                if self.member.close(now(), &self.job, Err(reason.clone()))? {
                    tracing::warn!(%job, reason, "the job is over without a result");
                }
            }
        }
        self.loaded = None;
        Ok(())
    }

    /// Keeps the shared result if it is what the sums lead to.
    async fn checked_result(
        &mut self,
        json: &str,
        transcript: &Digest,
        checkpoint: (&str, Option<Extension>),
        session: Option<SessionParts>,
    ) -> Result<(), StepError> {
        self.pin(None, checkpoint, session.as_ref()).await?;
        self.catch_up(None, transcript, session.as_ref()).await?;
        self.member.check_result(&self.job, json, transcript)?;
        self.keep_result(json, transcript).await
    }
}
