//! The gRPC services: parse first, then ask the host, and build a `Status` only here.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use haihe_privacy::identity::MemberCertificate;
use haihe_proto::{
    CHUNK_BYTES,
    v1::{self, federation_server::Federation, operations_server::Operations},
};
use haihe_protocol::{
    error::Fault,
    id::{JobId, PartyId},
    job::MAX_JOB_BYTES,
    journal::{Entry, Event},
    state::{Command, Directive, Phase, Receipt},
};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

mod exchange;

use crate::{
    blobs::{BlobKey, Blobs},
    engine::{Engine, EngineError},
    host::{Host, HostError, Step, now},
    wire,
};

/// How long an upload may stay silent.
const UPLOAD_IDLE: Duration = Duration::from_secs(60);
/// Changes within this time are sent as one.
const COALESCE: Duration = Duration::from_millis(5);

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services; they share the host.
#[derive(Clone)]
pub struct Service {
    host: Arc<Host>,
    stop: watch::Receiver<bool>,
    held: Arc<exchange::HeldQuestions>,
}

impl Service {
    /// Services on `host`; their streams end when `stop` changes.
    pub fn new(host: Arc<Host>, stop: watch::Receiver<bool>) -> Self {
        Self { host, stop, held: Arc::default() }
    }

    /// Who calls, according to the certificate of the connection.
    fn caller<T>(&self, request: &Request<T>) -> Result<MemberCertificate, Status> {
        let certificates = request.peer_certs();
        let certificate = certificates.as_ref().and_then(|c| c.first());
        let certificate = certificate.ok_or_else(|| Status::unauthenticated("no client certificate"))?;
        let trust = &self.host.identity().trust;
        let member = trust
            .member(certificate, now())
            .map_err(|e| Status::unauthenticated(format!("client certificate: {e}")))?;
        if member.federation != trust.federation() {
            return Err(Status::permission_denied(format!(
                "the certificate is for federation {}, this is {}",
                member.federation,
                trust.federation()
            )));
        }
        Ok(member)
    }

    /// The caller must be a party that holds data.
    fn data_holder<T>(&self, request: &Request<T>) -> Result<MemberCertificate, Status> {
        let caller = self.caller(request)?;
        if !["bank", "government", "enterprise"].contains(&caller.role.as_str()) {
            return Err(Status::permission_denied(format!("role {} takes no part in rounds", caller.role)));
        }
        Ok(caller)
    }

    /// The caller must be the participant that its message names.
    fn participant<T>(&self, request: &Request<T>, party: &str) -> Result<PartyId, Status> {
        named(&self.data_holder(request)?, party)?;
        wire::party(party)
    }

    fn operator<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let caller = self.caller(request)?;
        if caller.role != "operator" {
            return Err(Status::permission_denied(format!(
                "this call needs an operator certificate, the caller's role is {}",
                caller.role
            )));
        }
        Ok(caller.party)
    }

    /// Verifies a message with the job's engine and carries it out.
    async fn submit(
        &self,
        job: &JobId,
        verify: impl FnOnce(&Engine) -> Result<Option<Command>, EngineError> + Send + 'static,
    ) -> Result<Response<v1::Receipt>, Status> {
        let engine = self.host.job(job).await.map_err(status)?;
        let step = move |engine: &mut Engine, _: &dyn Blobs| match verify(engine) {
            Ok(Some(command)) => Ok(Step::command(command)),
            Ok(None) => Ok(Step::Answer(Receipt::Late("the coordinator does not ask for it any more".to_owned()))),
            Err(EngineError::Violation(v)) => Ok(Step::Answer(Receipt::Rejected(v.to_string()))),
            Err(other) => Err(other),
        };
        let receipt = self.host.carry_out(engine, step).await.map_err(status)?;
        Ok(Response::new(to_receipt(receipt)))
    }

    async fn receive(
        &self,
        mut parts: Streaming<v1::ContributionPart>,
        header: v1::ContributionHeader,
    ) -> Result<Receipt, Status> {
        let (job, contribution, sealed) = wire::contribution(header)?;
        let (party, round) = (contribution.party.clone(), contribution.round);
        let engine = self.host.job(&job).await.map_err(status)?;
        let begun = engine.lock().await.begin_upload(contribution, sealed);
        let refused = match begun {
            Ok(Ok(upload)) => {
                let total = upload.contribution.ciphertext_bytes;
                let chunk = |part: v1::ContributionPart| match part.part {
                    Some(v1::contribution_part::Part::Chunk(chunk)) => Some(chunk),
                    _ => None,
                };
                self.store_chunks(&upload.key, total, &mut parts, chunk).await?;
                let finish = move |engine: &mut Engine, blobs: &dyn Blobs| {
                    engine.finish_upload(upload, blobs).map(Step::command)
                };
                return self.host.carry_out(engine, finish).await.map_err(status);
            }
            Ok(Err(Receipt::Late(_))) => {
                let late = format!("round {round} is closed; the contribution is counted as late and not used");
                Ok(Receipt::Late(late))
            }
            Ok(Err(receipt)) => Ok(receipt),
            Err(error) => Err(error),
        };
        self.not_begun(engine, party, round, refused).await
    }

    /// Records an upload that is not received, and says why.
    async fn not_begun(
        &self,
        engine: Arc<Mutex<Engine>>,
        party: PartyId,
        round: u64,
        refused: Result<Receipt, EngineError>,
    ) -> Result<Receipt, Status> {
        let (command, receipt) = match refused {
            Ok(receipt @ Receipt::Late(_)) => (Command::Late { party, round }, receipt),
            Ok(receipt) => return Ok(receipt),
            Err(EngineError::Violation(v)) => {
                let reason = v.to_string();
                (Command::Reject { party, round, reason: reason.clone() }, Receipt::Rejected(reason))
            }
            Err(other) => return Err(status(other.into())),
        };
        self.host.carry_out(engine, |_, _| Ok(Step::command(command))).await.map_err(status)?;
        Ok(receipt)
    }

    /// Stores the chunks of an upload as they come: at most one chunk is in memory, never more than was announced.
    async fn store_chunks<Part>(
        &self,
        key: &BlobKey,
        total: u64,
        parts: &mut Streaming<Part>,
        chunk_of: fn(Part) -> Option<v1::Chunk>,
    ) -> Result<(), Status> {
        let blobs = self.host.blobs();
        let io = |e: std::io::Error| Status::unavailable(format!("the coordinator's store failed: {e}"));
        let mut stored = blobs.len(key).map_err(io)?;
        while stored < total {
            let part = tokio::time::timeout(UPLOAD_IDLE, parts.message()).await.map_err(|_| {
                let seconds = UPLOAD_IDLE.as_secs();
                Status::deadline_exceeded(format!("no chunk came for {seconds} s; resume at {stored} of {total}"))
            })??;
            let Some(chunk) = part.and_then(chunk_of) else {
                return Err(Status::aborted(format!("the upload ended at {stored} of {total} bytes; resume there")));
            };
            if chunk.offset != stored || chunk.data.is_empty() || chunk.data.len() > CHUNK_BYTES {
                return Err(Status::aborted(format!("expected 1 to {CHUNK_BYTES} bytes at offset {stored}")));
            }
            if stored + chunk.data.len() as u64 > total {
                return Err(Status::invalid_argument(format!("more than the announced {total} bytes")));
            }
            blobs.append(key, stored, &chunk.data).map_err(io)?;
            stored += chunk.data.len() as u64;
        }
        Ok(())
    }

    fn directive(&self, engine: &Engine, party: &PartyId) -> Result<v1::Directive, Status> {
        use v1::directive::Ask;
        let job = engine.job();
        let extends = || engine.extension().map(|(old, proof)| wire::to_proof(old, &proof));
        let checkpoint = || engine.checkpoint().map_err(|e| Status::internal(format!("a checkpoint: {e}")));
        let ask = match job.directive(party) {
            Directive::Wait { awaiting } => Ask::Waiting(v1::Waiting { awaiting }),
            Directive::Offer { deadline } => Ask::JobOffer(v1::JobOffer {
                job_toml: job.head().toml.clone(),
                opened_ms: job.head().opened.0,
                submitted_by: job.head().by.clone(),
                join_deadline_ms: deadline.0,
            }),
            Directive::Confirm(roster) => Ask::Roster(wire::to_roster(&roster)),
            Directive::Contribute { spec, session } => Ask::Contribute(v1::ContributeRequest {
                session: Some(wire::to_session(&session)),
                spec: Some(wire::to_spec(&spec, &engine.sign_spec(&spec))),
                checkpoint: checkpoint()?,
                extends: extends(),
            }),
            Directive::Answer { spec, survivors, position, session } => {
                let sealed = engine
                    .sealed_shares_for(position, &survivors, &**self.host.blobs())
                    .map_err(|e| Status::internal(format!("the coordinator's store failed: {e}")))?;
                Ask::Answer(v1::AnswerRequest {
                    job_id: job.head().job.to_string(),
                    round: survivors.round,
                    spec_digest: Bytes::copy_from_slice(survivors.spec.as_bytes()),
                    survivors: wire::to_survivors(&survivors),
                    sealed_shares: sealed.into_iter().map(Bytes::from).collect(),
                    deadline_ms: survivors.deadline.0,
                    signature: Bytes::copy_from_slice(engine.sign_survivors(&survivors).as_bytes()),
                    session: Some(wire::to_session(&session)),
                    spec: Some(wire::to_spec(&spec, &engine.sign_spec(&spec))),
                    checkpoint: checkpoint()?,
                })
            }
            Directive::Exchange { round, previous, parcels, deadline, session } => Ask::Exchange(v1::ExchangeRequest {
                round,
                previous: Bytes::copy_from_slice(previous.as_bytes()),
                parcels: wire::to_parcels(&parcels),
                deadline_ms: deadline.0,
                session: Some(wire::to_session(&session)),
                checkpoint: checkpoint()?,
                extends: extends(),
            }),
            Directive::Closed { outcome, session, parcels } => {
                use v1::job_closed::Outcome;
                let extends = if job.is_member(party) { extends() } else { None };
                Ask::JobClosed(match outcome {
                    Ok((result_json, transcript)) => v1::JobClosed {
                        outcome: Outcome::Finished.into(),
                        reason: String::new(),
                        result_json,
                        transcript: Bytes::copy_from_slice(transcript.as_bytes()),
                        checkpoint: checkpoint()?,
                        session: session.as_deref().map(wire::to_session),
                        parcels: wire::to_parcels(&parcels),
                        extends,
                    },
                    Err((cancelled, reason)) => v1::JobClosed {
                        outcome: if cancelled { Outcome::Cancelled } else { Outcome::Failed }.into(),
                        reason,
                        result_json: String::new(),
                        transcript: Bytes::new(),
                        checkpoint: checkpoint()?,
                        session: None,
                        parcels: Vec::new(),
                        extends,
                    },
                })
            }
        };
        Ok(v1::Directive { job_id: job.head().job.to_string(), ask: Some(ask) })
    }

    /// Sends each job's directive when it changes. Jobs that were over before the stream began are sent once.
    async fn follow_loop(self, party: PartyId, to: mpsc::Sender<Result<v1::Directive, Status>>) {
        let _connected = self.host.connect(party.clone());
        let mut changed = self.host.watch();
        let mut stop = self.stop.clone();
        let mut sent: BTreeMap<JobId, (&'static str, u64, u32, bool)> = BTreeMap::new();
        loop {
            changed.mark_unchanged();
            for engine in self.host.jobs().await {
                let engine = engine.lock().await;
                let job = engine.job();
                if !job.head().spec.job.parties.contains(&party) {
                    continue;
                }
                let key = (job.phase_name(), job.round(), job.attempt(), job.asks(&party));
                if sent.get(&job.head().job) == Some(&key) {
                    continue;
                }
                let id = job.head().job;
                let directive = match self.directive(&engine, &party) {
                    Ok(directive) => directive,
                    // One job's trouble is not another's: its deadline decides what becomes of it.
                    Err(error) => {
                        tracing::error!(job = %id.short(), %party, %error, "a directive cannot be sent");
                        continue;
                    }
                };
                drop(engine);
                sent.insert(id, key);
                if to.send(Ok(directive)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                _ = changed.changed() => tokio::time::sleep(COALESCE).await,
                _ = stop.changed() => {
                    let _ = to.send(Err(Status::unavailable("the coordinator is shutting down; connect again"))).await;
                    return;
                }
                _ = to.closed() => return,
            }
        }
    }

    async fn status_of(&self, job: &JobId) -> Result<v1::JobStatus, Status> {
        let engine = self.host.job(job).await.map_err(status)?;
        let engine = engine.lock().await;
        Ok(self.to_status(&engine))
    }

    fn to_status(&self, engine: &Engine) -> v1::JobStatus {
        let job = engine.job();
        let connected = self.host.connected();
        let parties = job.head().spec.job.parties.iter().map(|party| {
            let (state, detail) = job.party_state(party);
            v1::PartyStatus {
                party: party.to_string(),
                state: state.to_owned(),
                detail,
                bytes_received: job.bytes_from(party),
                connected: connected.contains(party),
            }
        });
        let counters = job.counters();
        let closed = match job.phase() {
            Phase::Finished { at, .. } | Phase::Stopped { at, .. } => at.0,
            _ => 0,
        };
        v1::JobStatus {
            job_id: job.head().job.to_string(),
            name: job.head().spec.job.name.clone(),
            phase: job.phase_name().to_owned(),
            detail: job.awaiting(),
            round: job.round(),
            step: job.step().to_owned(),
            parties: parties.collect(),
            accepted: counters.accepted,
            rejected: counters.rejected,
            late: counters.late,
            opened_ms: job.head().opened.0,
            closed_ms: closed,
            rounds_closed: counters.rounds_closed,
            last_result: job.history().last().map_or(String::new(), |s| format!("{}: {}", s.step, s.text)),
        }
    }
}

/// The part with which an upload begins.
async fn first_part<Part>(parts: &mut Streaming<Part>) -> Result<Option<Part>, Status> {
    tokio::time::timeout(UPLOAD_IDLE, parts.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the upload did not begin"))?
}

fn named(caller: &MemberCertificate, party: &str) -> Result<(), Status> {
    if caller.party == party {
        return Ok(());
    }
    Err(Status::permission_denied(format!("the certificate is for {}, the message names {party}", caller.party)))
}

fn to_receipt(receipt: Receipt) -> v1::Receipt {
    use v1::receipt::Outcome;
    let (outcome, reason) = match receipt {
        Receipt::Accepted => (Outcome::Accepted, String::new()),
        Receipt::AlreadyAccepted => (Outcome::AlreadyAccepted, String::new()),
        Receipt::Late(reason) => (Outcome::Late, reason),
        Receipt::Rejected(reason) => (Outcome::Rejected, reason),
    };
    v1::Receipt { outcome: outcome.into(), reason }
}

/// The one place where errors become statuses.
fn status(error: HostError) -> Status {
    match &error {
        HostError::NoJob(_) => Status::not_found(error.to_string()),
        HostError::Job(_) => Status::invalid_argument(error.to_string()),
        HostError::Engine(EngineError::Violation(v)) => match v.fault() {
            Fault::Participant(_) | Fault::Job => Status::invalid_argument(error.to_string()),
            Fault::Coordinator | Fault::CoordinatorOrContributor => Status::internal(error.to_string()),
        },
        HostError::Engine(EngineError::Refusal(_)) => Status::failed_precondition(error.to_string()),
        // The disk may have room again a moment later: the caller may try again.
        HostError::Engine(EngineError::Blobs(_)) | HostError::Store(_) => Status::unavailable(error.to_string()),
        HostError::Journal { .. } => Status::data_loss(error.to_string()),
        HostError::Restless { .. } => Status::internal(error.to_string()),
    }
}

#[tonic::async_trait]
impl Federation for Service {
    type FollowStream = BoxStream<v1::Directive>;
    type GetClosedRoundStream = BoxStream<v1::ClosedRoundPart>;
    type GetLettersStream = BoxStream<v1::LetterPart>;

    async fn follow(&self, request: Request<v1::FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let party = self.participant(&request, &request.get_ref().party)?;
        tracing::info!(%party, "connected");
        let (to, from) = mpsc::channel(4);
        tokio::spawn(self.clone().follow_loop(party, to));
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    async fn submit_join(&self, request: Request<v1::Join>) -> Result<Response<v1::Receipt>, Status> {
        self.participant(&request, &request.get_ref().party)?;
        let join = wire::join(request.into_inner())?;
        let job = join.job;
        self.submit(&job, |engine| engine.verify_join(join, now()).map(Some)).await
    }

    async fn submit_decline(&self, request: Request<v1::Decline>) -> Result<Response<v1::Receipt>, Status> {
        self.participant(&request, &request.get_ref().party)?;
        let decline = wire::decline(request.into_inner())?;
        let job = decline.job;
        self.submit(&job, |engine| engine.verify_decline(decline, now()).map(Some)).await
    }

    async fn submit_confirmation(&self, request: Request<v1::Confirmation>) -> Result<Response<v1::Receipt>, Status> {
        self.participant(&request, &request.get_ref().party)?;
        let confirmation = wire::confirmation(request.into_inner())?;
        let job = confirmation.job;
        self.submit(&job, |engine| engine.verify_confirmation(confirmation)).await
    }

    async fn get_upload_status(
        &self,
        request: Request<v1::UploadStatusRequest>,
    ) -> Result<Response<v1::UploadStatus>, Status> {
        let party = self.participant(&request, &request.get_ref().party)?;
        let m = request.into_inner();
        let commitment = wire::digest("commitment", &m.commitment)?;
        let engine = self.host.job(&wire::job(&m.job_id)?).await.map_err(status)?;
        let engine = engine.lock().await;
        let accepted = engine.is_accepted(&party, m.round, &commitment);
        let key = engine.upload_key(&party, m.round, &commitment);
        let stored_bytes = self.host.blobs().len(&key).map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(Response::new(v1::UploadStatus { stored_bytes, accepted }))
    }

    async fn submit_contribution(
        &self,
        request: Request<Streaming<v1::ContributionPart>>,
    ) -> Result<Response<v1::Receipt>, Status> {
        let caller = self.data_holder(&request)?;
        let mut parts = request.into_inner();
        let first = first_part(&mut parts).await?;
        let Some(v1::ContributionPart { part: Some(v1::contribution_part::Part::Header(header)) }) = first else {
            return Err(Status::invalid_argument("an upload begins with its header"));
        };
        named(&caller, &header.party)?;
        Ok(Response::new(to_receipt(self.receive(parts, header).await?)))
    }

    async fn submit_parcel(
        &self,
        request: Request<Streaming<v1::ParcelPart>>,
    ) -> Result<Response<v1::Receipt>, Status> {
        let caller = self.data_holder(&request)?;
        let mut parts = request.into_inner();
        let first = first_part(&mut parts).await?;
        let Some(v1::ParcelPart { part: Some(v1::parcel_part::Part::Head(head)) }) = first else {
            return Err(Status::invalid_argument("a parcel begins with its head"));
        };
        named(&caller, &head.party)?;
        Ok(Response::new(to_receipt(self.receive_parcel(parts, head).await?)))
    }

    async fn get_letters(
        &self,
        request: Request<v1::LettersRequest>,
    ) -> Result<Response<Self::GetLettersStream>, Status> {
        let party = self.participant(&request, &request.get_ref().party)?;
        self.letters(&party, request.into_inner()).await
    }

    async fn submit_answer(&self, request: Request<v1::CommitteeAnswer>) -> Result<Response<v1::Receipt>, Status> {
        self.participant(&request, &request.get_ref().party)?;
        let (job, answer) = wire::answer(request.into_inner())?;
        self.submit(&job, |engine| engine.verify_answer(answer)).await
    }

    async fn submit_objection(&self, request: Request<v1::Objection>) -> Result<Response<v1::Receipt>, Status> {
        self.participant(&request, &request.get_ref().party)?;
        let objection = wire::objection(request.into_inner())?;
        let job = objection.job;
        self.submit(&job, |engine| engine.verify_objection(objection)).await
    }

    async fn get_closed_round(
        &self,
        request: Request<v1::ClosedRoundRequest>,
    ) -> Result<Response<Self::GetClosedRoundStream>, Status> {
        let party = self.participant(&request, &request.get_ref().party)?;
        let m = request.into_inner();
        let engine = self.host.job(&wire::job(&m.job_id)?).await.map_err(status)?;
        let engine = engine.lock().await;
        if !engine.job().is_member(&party) {
            return Err(Status::permission_denied("sums are shown to the parties of the session only"));
        }
        let closed = tokio::task::block_in_place(|| engine.closed_round(m.after_round, &**self.host.blobs()));
        let closed = closed.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Status::data_loss("the coordinator's store lost an opened sum"),
            _ => Status::unavailable(format!("the coordinator's store failed: {e}")),
        })?;
        let Some((closed, signature)) = closed else {
            return Err(Status::not_found(format!("no sum was opened after round {}", m.after_round)));
        };
        let parts = wire::to_closed_round(&closed, &signature).into_iter().map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::ConsistencyProofRequest>,
    ) -> Result<Response<v1::ConsistencyProof>, Status> {
        let party = self.participant(&request, &request.get_ref().party)?;
        let m = request.into_inner();
        let engine = self.host.job(&wire::job(&m.job_id)?).await.map_err(status)?;
        let engine = engine.lock().await;
        if !engine.job().is_member(&party) {
            return Err(Status::permission_denied("the journal's proofs are for the parties of the session only"));
        }
        let proof = engine.consistency(m.old_size, m.new_size);
        let proof = proof.map_err(|e| Status::failed_precondition(e.to_string()))?;
        Ok(Response::new(wire::to_proof(0, &proof)))
    }
}

#[tonic::async_trait]
impl Operations for Service {
    type WatchJobStream = BoxStream<v1::JobStatus>;
    type GetJournalStream = BoxStream<v1::JournalEntry>;

    async fn submit_job(&self, request: Request<v1::SubmitJobRequest>) -> Result<Response<v1::JobStatus>, Status> {
        let by = self.operator(&request)?;
        let toml = request.into_inner().job_toml;
        if toml.len() > MAX_JOB_BYTES {
            return Err(Status::invalid_argument(format!("the job file has more than {MAX_JOB_BYTES} bytes")));
        }
        let job = self.host.submit(toml, by).await.map_err(status)?;
        Ok(Response::new(self.status_of(&job).await?))
    }

    async fn get_job(&self, request: Request<v1::JobReference>) -> Result<Response<v1::JobStatus>, Status> {
        self.operator(&request)?;
        let job = self.find(&request.get_ref().job_id).await?;
        Ok(Response::new(self.status_of(&job).await?))
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        self.operator(&request)?;
        let mut jobs = Vec::new();
        for engine in self.host.jobs().await {
            jobs.push(self.to_status(&*engine.lock().await));
        }
        Ok(Response::new(v1::ListJobsResponse { jobs }))
    }

    async fn watch_job(&self, request: Request<v1::JobReference>) -> Result<Response<Self::WatchJobStream>, Status> {
        self.operator(&request)?;
        let job = self.find(&request.get_ref().job_id).await?;
        let engine = self.host.job(&job).await.map_err(status)?;
        let (to, from) = mpsc::channel(16);
        let (service, mut changed, mut stop) = (self.clone(), self.host.watch(), self.stop.clone());
        tokio::spawn(async move {
            let mut last = None;
            loop {
                changed.mark_unchanged();
                let (now, over) = {
                    let engine = engine.lock().await;
                    (service.to_status(&engine), engine.job().is_over())
                };
                if last.as_ref() != Some(&now) {
                    last = Some(now.clone());
                    if to.send(Ok(now)).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    _ = stop.changed() => {
                        let _ = to.send(Err(Status::unavailable("the coordinator is shutting down"))).await;
                        return;
                    }
                    _ = to.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }

    async fn cancel_job(&self, request: Request<v1::CancelJobRequest>) -> Result<Response<v1::JobStatus>, Status> {
        let by = self.operator(&request)?;
        let m = request.into_inner();
        let job = self.find(&m.job_id).await?;
        let reason: String = m.reason.chars().take(1000).collect();
        let engine = self.host.job(&job).await.map_err(status)?;
        let cancel = Command::Cancel { by, reason };
        self.host.carry_out(engine, |_, _| Ok(Step::command(cancel))).await.map_err(status)?;
        Ok(Response::new(self.status_of(&job).await?))
    }

    async fn get_journal(
        &self,
        request: Request<v1::JobReference>,
    ) -> Result<Response<Self::GetJournalStream>, Status> {
        self.operator(&request)?;
        let job = self.find(&request.get_ref().job_id).await?;
        let entries = self.host.journal(&job).await.map_err(status)?;
        let entry = |e: Entry| v1::JournalEntry {
            sequence: e.sequence,
            at_ms: e.at.0,
            kind: e.event::<Event>().map_or("unreadable", |e| e.kind()).to_owned(),
            digest: Bytes::copy_from_slice(e.digest.as_bytes()),
            body_json: e.body_json,
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(entries.into_iter().map(move |e| Ok(entry(e)))))))
    }

    async fn get_result(&self, request: Request<v1::JobReference>) -> Result<Response<v1::JobResult>, Status> {
        self.operator(&request)?;
        let job = self.find(&request.get_ref().job_id).await?;
        let engine = self.host.job(&job).await.map_err(status)?;
        let engine = engine.lock().await;
        match engine.job().phase() {
            Phase::Finished { result_json, .. } => {
                Ok(Response::new(v1::JobResult { result_json: result_json.clone() }))
            }
            _ => Err(Status::failed_precondition(format!(
                "job {} is {}, not finished: {}",
                job.short(),
                engine.job().phase_name(),
                engine.job().awaiting()
            ))),
        }
    }
}

impl Service {
    /// A job by its whole id or by an unambiguous beginning of it.
    async fn find(&self, text: &str) -> Result<JobId, Status> {
        if let Ok(job) = wire::job(text) {
            return Ok(job);
        }
        let mut found = Vec::new();
        for engine in self.host.jobs().await {
            let id = engine.lock().await.job().head().job;
            if text.len() >= 4 && id.to_string().starts_with(text) {
                found.push(id);
            }
        }
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Status::not_found(format!("no job's id begins with {text:?} (give at least 4 digits)"))),
            many => Err(Status::invalid_argument(format!("{} jobs' ids begin with {text:?}", many.len()))),
        }
    }
}
