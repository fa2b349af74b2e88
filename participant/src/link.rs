//! The participant's end of the wire: dials the coordinator, turns messages into domain types and back.

use std::{io::Read, sync::Arc, time::Duration};

use bytes::Bytes;
use haihe_privacy::{
    digest::Digest,
    log::{ConsistencyProof, RootHash},
    seal::SealingPublicKey,
    secure_sum::{Adversary, CommitteeRule, ParameterSet, SumParameters},
    sign::Signature,
};
use haihe_proto::{
    CHUNK_BYTES, MAX_MESSAGE_BYTES,
    v1::{self, federation_client::FederationClient},
};
use haihe_protocol::{
    check::{SEALED_KEY_BYTES, SealedCheckKey},
    checkpoint::TreeHead,
    contribution::Prepared,
    error::Fault,
    id::{JobId, PartyId, Timestamp},
    message::{Answer, Contribution, Objection, RoundSpec, SurvivorSet},
    roster::{Confirmation, Decline, Join, Roster},
    vertical::{
        Announcement, MAX_HOLDERS,
        exchange::{LetterHead, MAX_LETTERS, ParcelHead},
        sealing::SEALED_SECRET_BYTES,
    },
    witness::ClosedRound,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity},
};

use crate::member::{ReceivedLetter, SessionParts};

/// How long one call may take, uploads apart.
const CALL: Duration = Duration::from_secs(30);
/// Bytes that the coordinator may send ahead of what was read, in one call.
const STREAM_WINDOW: u32 = 4 << 20;
/// Calls for letters that are opened before their exchange has closed, of all jobs together: what they hold unread stays well
/// below [`CONNECTION_WINDOW`], so that directives always get through.
const EARLY: usize = 8;
/// The same as [`STREAM_WINDOW`] for all calls together.
const CONNECTION_WINDOW: u32 = 2 * EARLY as u32 * STREAM_WINDOW;
/// Parties of a job, at most: what the secure sum carries.
const MAX_PARTIES: usize = 1000;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address or the TLS files cannot be used: ours to repair.
    #[error("cannot set up the connection to the coordinator: {0}; check [coordinator] in the configuration")]
    Setup(#[from] tonic::transport::Error),
    /// The coordinator is unreachable or answered with an error.
    #[error("the coordinator at {url} answered {code:?}: {message}", code = .status.code(), message = .status.message())]
    Status {
        /// Address.
        url: String,
        /// What it said.
        status: Box<Status>,
    },
    /// The coordinator said something that is no message.
    #[error("the coordinator sent a malformed message: {field}: {detail}")]
    Malformed {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The own ciphertext could not be read back.
    #[error("the ciphertext cannot be read from the vault: {0}")]
    Ciphertext(#[from] std::io::Error),
}

impl LinkError {
    /// True if the same message may be sent again.
    pub fn may_retry(&self) -> bool {
        let transient = [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Aborted,
            Code::Unknown,
            Code::Cancelled,
            Code::Internal,
        ];
        matches!(self, LinkError::Status { status, .. } if transient.contains(&status.code()))
    }
}

fn malformed(field: &'static str, detail: impl ToString) -> LinkError {
    LinkError::Malformed { field, detail: detail.to_string() }
}

/// That a checkpoint extends an earlier one, sent along with it.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Entries of the earlier one.
    pub old_size: u64,
    /// The proof, not yet verified.
    pub proof: ConsistencyProof,
}

/// What the coordinator asks of this participant, for one job.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Nothing.
    Wait {
        /// What the job waits for.
        awaiting: String,
    },
    /// Join or decline.
    Offer {
        /// The job file.
        toml: String,
        /// When the job was opened.
        opened: Timestamp,
        /// Operator who submitted it.
        by: String,
    },
    /// Verify and sign a roster.
    Roster(Roster),
    /// Contribute to a round.
    Contribute {
        /// Round.
        spec: RoundSpec,
        /// The coordinator's signature on it.
        signature: Signature,
        /// The session.
        session: Option<SessionParts>,
        /// Head of the coordinator's journal, a signed note.
        checkpoint: String,
        /// That it extends the one before.
        extends: Option<Extension>,
    },
    /// Answer for a survivor set.
    Answer {
        /// Round.
        spec: RoundSpec,
        /// The coordinator's signature on it.
        spec_signature: Signature,
        /// Survivors.
        survivors: SurvivorSet,
        /// The coordinator's signature on them.
        signature: Signature,
        /// Sealed for us, one per survivor.
        sealed_shares: Vec<Vec<u8>>,
        /// The session.
        session: Option<SessionParts>,
        /// Head of the coordinator's journal, a signed note.
        checkpoint: String,
    },
    /// Send a parcel.
    Exchange {
        /// Number of the exchange.
        round: u64,
        /// Transcript of the exchange before.
        previous: Digest,
        /// Its parcels.
        parcels: Vec<ParcelHead>,
        /// The session.
        session: Option<SessionParts>,
        /// Head of the coordinator's journal, a signed note.
        checkpoint: String,
        /// That it extends the one before.
        extends: Option<Extension>,
    },
    /// The job is over.
    Closed {
        /// Result and last transcript, or why it stopped.
        outcome: Result<(String, Digest), String>,
        /// Head of the coordinator's whole journal, a signed note.
        checkpoint: String,
        /// That it extends the one of the last round.
        extends: Option<Extension>,
        /// The session, with a result.
        session: Option<SessionParts>,
        /// The last parcels of a vertical job, with a result.
        parcels: Vec<ParcelHead>,
    },
}

impl Ask {
    /// The round that it is about, if it is about one.
    pub fn round(&self) -> Option<u64> {
        match self {
            Ask::Contribute { spec, .. } | Ask::Answer { spec, .. } => Some(spec.round),
            Ask::Exchange { round, .. } => Some(*round),
            _ => None,
        }
    }
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It counts.
    Accepted,
    /// It came too late.
    Late(String),
    /// It breaks a rule.
    Rejected(String),
}

/// How the coordinator is reached.
#[derive(Clone, Debug)]
pub struct Address {
    /// `https://host:port`.
    pub url: String,
    /// PEM of the federation's authority.
    pub ca: String,
    /// PEM of our TLS certificate.
    pub certificate: String,
    /// PEM of its key.
    pub key: String,
}

/// A connection to the coordinator. Connects when it is used, and again when it breaks.
#[derive(Clone)]
pub struct Link {
    url: String,
    party: PartyId,
    client: FederationClient<Channel>,
    early: Arc<Semaphore>,
}

impl Link {
    /// Prepares a connection; nothing is dialled yet.
    pub fn new(address: &Address, party: PartyId) -> Result<Self, LinkError> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&address.ca))
            .identity(TlsIdentity::from_pem(&address.certificate, &address.key));
        let channel = Endpoint::from_shared(address.url.clone())?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_lazy();
        let client = FederationClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { url: address.url.clone(), party, client, early: Arc::new(Semaphore::new(EARLY)) })
    }

    fn status(&self, status: Status) -> LinkError {
        LinkError::Status { url: self.url.clone(), status: Box::new(status) }
    }

    /// Opens the stream of directives.
    pub async fn follow(&self) -> Result<Directives, LinkError> {
        let request = v1::FollowRequest { party: self.party.to_string() };
        let stream = self.client.clone().follow(request).await.map_err(|s| self.status(s))?;
        Ok(Directives { link: self.clone(), stream: stream.into_inner() })
    }

    async fn call<T, F>(&self, call: F) -> Result<T, LinkError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        match tokio::time::timeout(CALL, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.status(status)),
            Err(_) => Err(self.status(Status::deadline_exceeded(format!("no answer within {} s", CALL.as_secs())))),
        }
    }

    /// Sends a wish to join.
    pub async fn join(&self, join: &Join) -> Result<Receipt, LinkError> {
        receipt(self.call(self.client.clone().submit_join(to_join(join))).await?)
    }

    /// Sends a refusal.
    pub async fn decline(&self, d: &Decline) -> Result<Receipt, LinkError> {
        let message = v1::Decline {
            job_id: d.job.to_string(),
            party: d.party.to_string(),
            signing_certificate: bytes(&d.signing_certificate),
            reason: d.reason.clone(),
            signature: bytes(d.signature.as_bytes()),
        };
        receipt(self.call(self.client.clone().submit_decline(message)).await?)
    }

    /// Sends a signature on the roster.
    pub async fn confirm(&self, c: &Confirmation) -> Result<Receipt, LinkError> {
        let message = v1::Confirmation {
            job_id: c.job.to_string(),
            party: c.party.to_string(),
            session: bytes(c.session.as_bytes()),
            beacon_nonce: bytes(&c.beacon_nonce),
            check_key: c.check_key.as_ref().map(|made| v1::SealedCheckKey {
                commitment: bytes(made.commitment.as_bytes()),
                sealed: made.sealed.iter().map(|s| bytes(s)).collect(),
            }),
            signature: bytes(c.signature.as_bytes()),
        };
        receipt(self.call(self.client.clone().submit_confirmation(message)).await?)
    }

    /// Sends an answer.
    pub async fn answer(&self, job: &JobId, a: &Answer) -> Result<Receipt, LinkError> {
        let message = v1::CommitteeAnswer {
            job_id: job.to_string(),
            party: a.party.to_string(),
            round: a.round,
            spec_digest: bytes(a.spec.as_bytes()),
            survivors_digest: bytes(a.survivors.as_bytes()),
            share_sum: bytes(&a.share_sum),
            signature: bytes(a.signature.as_bytes()),
        };
        receipt(self.call(self.client.clone().submit_answer(message)).await?)
    }

    /// Sends an objection.
    pub async fn object(&self, o: &Objection) -> Result<Receipt, LinkError> {
        use v1::objection::Fault as Wire;
        let (fault, against) = match &o.against {
            Fault::Participant(party) => (Wire::Participant, party.to_string()),
            Fault::Coordinator => (Wire::Coordinator, String::new()),
            Fault::Job => (Wire::Job, String::new()),
            Fault::CoordinatorOrContributor => (Wire::CoordinatorOrContributor, String::new()),
        };
        let message = v1::Objection {
            job_id: o.job.to_string(),
            session: bytes(o.session.as_bytes()),
            round: o.round,
            party: o.party.to_string(),
            fault: fault.into(),
            against,
            reason: o.reason.clone(),
            signature: bytes(o.signature.as_bytes()),
        };
        receipt(self.call(self.client.clone().submit_objection(message)).await?)
    }

    /// The first round after `after_round` whose sum was opened, with the coordinator's signature on its specification;
    /// `None` if the coordinator has none to show.
    pub async fn closed_round(
        &self,
        job: &JobId,
        after_round: u64,
    ) -> Result<Option<(ClosedRound, Signature)>, LinkError> {
        let (job_id, party) = (job.to_string(), self.party.to_string());
        let request = v1::ClosedRoundRequest { job_id, party, after_round };
        let mut parts = match self.call(self.client.clone().get_closed_round(request)).await {
            Err(LinkError::Status { status, .. }) if status.code() == Code::NotFound => return Ok(None),
            other => other?,
        };
        let mut closed: Option<(ClosedRound, Signature)> = None;
        loop {
            let part = tokio::time::timeout(CALL, parts.message()).await;
            let part = part.map_err(|_| self.status(Status::deadline_exceeded("the closed round stopped coming")))?;
            match part.map_err(|s| self.status(s))? {
                None => break,
                Some(part) => closed_part(&mut closed, part)?,
            }
        }
        present("head", closed).map(Some)
    }

    /// That the coordinator's journal of `new` entries begins with what it was at `old` entries, as the coordinator proves
    /// it; `None` if it cannot.
    pub async fn consistency(&self, job: &JobId, old: u64, new: u64) -> Result<Option<ConsistencyProof>, LinkError> {
        let (job_id, party) = (job.to_string(), self.party.to_string());
        let request = v1::ConsistencyProofRequest { job_id, party, old_size: old, new_size: new };
        match self.call(self.client.clone().get_consistency_proof(request)).await {
            Err(LinkError::Status { status, .. }) if status.code() == Code::FailedPrecondition => Ok(None),
            Err(error) => Err(error),
            Ok(proof) => ConsistencyProof::from_bytes(&proof.hashes).map(Some).map_err(|e| malformed("hashes", e)),
        }
    }

    /// Uploads a contribution, from where an earlier attempt broke off.
    pub async fn contribute(
        &self,
        job: &JobId,
        prepared: &Prepared,
        mut ciphertext: Box<dyn Read + Send>,
    ) -> Result<Receipt, LinkError> {
        let c = &prepared.contribution;
        let status = v1::UploadStatusRequest {
            job_id: job.to_string(),
            party: c.party.to_string(),
            round: c.round,
            commitment: bytes(c.commitment.as_bytes()),
        };
        let status = self.call(self.client.clone().get_upload_status(status)).await?;
        if status.accepted {
            return Ok(Receipt::Accepted);
        }
        let header = v1::ContributionHeader {
            job_id: job.to_string(),
            party: c.party.to_string(),
            round: c.round,
            spec_digest: bytes(c.spec.as_bytes()),
            commitment: bytes(c.commitment.as_bytes()),
            ciphertext_bytes: c.ciphertext_bytes,
            sealed_shares: prepared.sealed_shares.iter().map(|s| bytes(s)).collect(),
            journal: Some(v1::TreeHead { size: c.journal.size, root: bytes(c.journal.root.as_bytes()) }),
            signature: bytes(c.signature.as_bytes()),
        };
        use v1::contribution_part::Part;
        let part = |part| v1::ContributionPart { part: Some(part) };
        let (header, chunk) = (part(Part::Header(header)), move |chunk| part(Part::Chunk(chunk)));
        let start = skip(&mut ciphertext, status.stored_bytes, c.ciphertext_bytes)?;
        let (to, from) = mpsc::channel(2);
        let reading = tokio::spawn(send_parts(header, chunk, ciphertext, start, to));
        let sent = self.client.clone().submit_contribution(ReceiverStream::new(from)).await;
        let read = reading.await.unwrap_or(Ok(()));
        match sent {
            Ok(response) => receipt(response.into_inner()),
            Err(status) => {
                read?;
                Err(self.status(status))
            }
        }
    }
}

impl Link {
    /// Uploads a parcel, from where an earlier attempt broke off. `letters` are all bodies, one after the other.
    pub async fn parcel(&self, head: &ParcelHead, letters: Box<dyn Read + Send>) -> Result<Receipt, LinkError> {
        let status = v1::UploadStatusRequest {
            job_id: head.job.to_string(),
            party: head.party.to_string(),
            round: head.round,
            commitment: bytes(head.digest().as_bytes()),
        };
        let status = self.call(self.client.clone().get_upload_status(status)).await?;
        match status.accepted {
            true => Ok(Receipt::Accepted),
            false => self.send_parcel(head, letters, status.stored_bytes).await,
        }
    }

    /// Uploads a parcel of which nothing was ever sent: nobody needs to be asked how much of it is there.
    pub async fn new_parcel(&self, head: &ParcelHead, letters: Box<dyn Read + Send>) -> Result<Receipt, LinkError> {
        self.send_parcel(head, letters, 0).await
    }

    async fn send_parcel(
        &self,
        head: &ParcelHead,
        mut letters: Box<dyn Read + Send>,
        stored: u64,
    ) -> Result<Receipt, LinkError> {
        use v1::parcel_part::Part;
        let part = |part| v1::ParcelPart { part: Some(part) };
        let (first, chunk) = (part(Part::Head(to_parcel(head))), move |chunk| part(Part::Chunk(chunk)));
        let start = skip(&mut letters, stored, head.body_bytes())?;
        let (to, from) = mpsc::channel(2);
        let reading = tokio::spawn(send_parts(first, chunk, letters, start, to));
        let sent = self.client.clone().submit_parcel(ReceiverStream::new(from)).await;
        let read = reading.await.unwrap_or(Ok(()));
        match sent {
            Ok(response) => receipt(response.into_inner()),
            Err(status) => {
                read?;
                Err(self.status(status))
            }
        }
    }

    /// The letters of exchange `round` for this participant: `announced` has sender, letter and length of each, and nothing
    /// else is taken.
    pub async fn letters(
        &self,
        job: &JobId,
        round: u64,
        announced: &[(u32, u32, u64)],
    ) -> Result<Vec<ReceivedLetter>, LinkError> {
        if announced.is_empty() {
            return Ok(Vec::new());
        }
        let (job_id, party) = (job.to_string(), self.party.to_string());
        let request = v1::LettersRequest { job_id, party, round, wait: false };
        let parts = self.call(self.client.clone().get_letters(request)).await?;
        self.read_letters(parts, announced).await
    }

    /// Asks for the letters of an exchange that is still open, so that they come as soon as it closes. `None` if so many such
    /// questions are open that the letters must be asked for when they are there.
    pub fn early_letters(&self, job: &JobId, round: u64) -> Option<EarlyLetters> {
        let permit = self.early.clone().try_acquire_owned().ok()?;
        let (job_id, party) = (job.to_string(), self.party.to_string());
        let request = v1::LettersRequest { job_id, party, round, wait: true };
        let link = self.clone();
        let call = tokio::spawn(async move { link.call(link.client.clone().get_letters(request)).await });
        Some(EarlyLetters { link: self.clone(), round, call, _permit: permit })
    }

    async fn read_letters(
        &self,
        mut parts: Streaming<v1::LetterPart>,
        announced: &[(u32, u32, u64)],
    ) -> Result<Vec<ReceivedLetter>, LinkError> {
        let mut letters = Vec::with_capacity(announced.len());
        loop {
            let part = tokio::time::timeout(CALL, parts.message()).await;
            let part = part.map_err(|_| self.status(Status::deadline_exceeded("the letters stopped coming")))?;
            match part.map_err(|s| self.status(s))? {
                None => return Ok(letters),
                Some(part) => letter_part(&mut letters, announced, part)?,
            }
        }
    }
}

/// A question for letters that was asked before their exchange closed. Given up when dropped.
///
/// Nothing of the answer is read before the heads of the exchange say what it may hold; until then no more of it is in memory
/// than one call's window.
pub struct EarlyLetters {
    link: Link,
    round: u64,
    call: JoinHandle<Result<Streaming<v1::LetterPart>, LinkError>>,
    _permit: OwnedSemaphorePermit,
}

impl EarlyLetters {
    /// The exchange whose letters were asked for.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The letters, once the exchange has closed: as [`Link::letters`].
    pub async fn read(mut self, announced: &[(u32, u32, u64)]) -> Result<Vec<ReceivedLetter>, LinkError> {
        if announced.is_empty() {
            return Ok(Vec::new());
        }
        let ended = |_| self.link.status(Status::cancelled("the question for letters was given up"));
        let parts = (&mut self.call).await.map_err(ended)??;
        let letters = self.link.read_letters(parts, announced).await?;
        // An answer that was cut off is asked for again.
        let whole = letters.iter().map(|l| (l.from, l.letter, l.body.len() as u64)).eq(announced.iter().copied());
        if whole { Ok(letters) } else { Err(malformed("letters", "fewer came than the heads announce")) }
    }
}

impl Drop for EarlyLetters {
    fn drop(&mut self) {
        self.call.abort();
    }
}

/// Takes the next part of the letters: in the announced order, none longer than announced.
pub fn letter_part(
    letters: &mut Vec<ReceivedLetter>,
    announced: &[(u32, u32, u64)],
    part: v1::LetterPart,
) -> Result<(), LinkError> {
    let (from, letter) = (part.from, part.letter);
    if letters.last().is_none_or(|last| (last.from, last.letter) != (from, letter)) {
        let expected = announced.get(letters.len()).is_some_and(|next| (next.0, next.1) == (from, letter));
        if !expected {
            return Err(malformed("letter", "it is not the next one for this participant"));
        }
        letters.push(ReceivedLetter { from, letter, body: Vec::new() });
    }
    let most = announced.get(letters.len().saturating_sub(1)).map_or(0, |(.., bytes)| *bytes);
    match letters.last_mut() {
        Some(last) if last.body.len() as u64 + part.chunk.len() as u64 <= most => {
            last.body.extend_from_slice(&part.chunk);
            Ok(())
        }
        _ => Err(malformed("chunk", "the letter is longer than announced")),
    }
}

fn to_parcel(h: &ParcelHead) -> v1::ParcelHead {
    let letter = |l: &LetterHead| v1::LetterHead {
        to: l.to.clone(),
        sealed_keys: l.sealed_keys.iter().map(|key| bytes(key)).collect(),
        digest: bytes(l.digest.as_bytes()),
        bytes: l.bytes,
    };
    v1::ParcelHead {
        job_id: h.job.to_string(),
        session: bytes(h.session.as_bytes()),
        round: h.round,
        party: h.party.to_string(),
        previous: bytes(h.previous.as_bytes()),
        announcement: Some(v1::Announcement {
            phase: h.announcement.phase.clone(),
            body_json: h.announcement.body_json.clone(),
            done: h.announcement.done,
            result_json: h.announcement.result_json.clone(),
        }),
        letters: h.letters.iter().map(letter).collect(),
        journal: Some(v1::TreeHead { size: h.journal.size, root: bytes(h.journal.root.as_bytes()) }),
        signature: bytes(h.signature.as_bytes()),
    }
}

fn extension(m: v1::ConsistencyProof) -> Result<Extension, LinkError> {
    let proof = ConsistencyProof::from_bytes(&m.hashes).map_err(|e| malformed("extends", e))?;
    Ok(Extension { old_size: m.old_size, proof })
}

fn parcels(list: Vec<v1::ParcelHead>) -> Result<Vec<ParcelHead>, LinkError> {
    if list.len() > MAX_HOLDERS {
        return Err(malformed("parcels", format!("{} of them, at most {MAX_HOLDERS}", list.len())));
    }
    list.into_iter().map(parcel).collect()
}

fn parcel(m: v1::ParcelHead) -> Result<ParcelHead, LinkError> {
    if m.letters.len() > MAX_LETTERS {
        return Err(malformed("letters", format!("{} of them, at most {MAX_LETTERS}", m.letters.len())));
    }
    let letter = |l: v1::LetterHead| -> Result<LetterHead, LinkError> {
        if l.to.len() > MAX_HOLDERS || l.sealed_keys.len() > MAX_HOLDERS {
            return Err(malformed("to", format!("{} receivers, at most {MAX_HOLDERS}", l.to.len())));
        }
        if l.sealed_keys.iter().any(|key| key.len() != SEALED_SECRET_BYTES) {
            return Err(malformed("sealed_keys", format!("a sealed key has {SEALED_SECRET_BYTES} bytes")));
        }
        Ok(LetterHead {
            to: l.to,
            sealed_keys: l.sealed_keys.iter().map(|key| key.to_vec()).collect(),
            digest: digest("digest", &l.digest)?,
            bytes: l.bytes,
        })
    };
    let a = present("announcement", m.announcement)?;
    let head = present("journal", m.journal)?;
    Ok(ParcelHead {
        job: job(&m.job_id)?,
        session: digest("session", &m.session)?,
        round: m.round,
        party: party(&m.party)?,
        previous: digest("previous", &m.previous)?,
        announcement: Announcement { phase: a.phase, body_json: a.body_json, done: a.done, result_json: a.result_json },
        letters: m.letters.into_iter().map(letter).collect::<Result<_, _>>()?,
        journal: TreeHead { size: head.size, root: RootHash::from_bytes(fixed("root", &head.root)?) },
        signature: signature(&m.signature)?,
    })
}

/// Leaves out what the coordinator has already; gives the offset at which the rest begins.
fn skip(bytes: &mut Box<dyn Read + Send>, stored: u64, total: u64) -> std::io::Result<u64> {
    let start = stored.min(total);
    std::io::copy(&mut bytes.by_ref().take(start), &mut std::io::sink())?;
    Ok(start)
}

/// Feeds an upload: the head, then chunks; at most two wait in memory.
async fn send_parts<Part>(
    head: Part,
    chunk_part: impl Fn(v1::Chunk) -> Part,
    mut bytes: Box<dyn Read + Send>,
    mut offset: u64,
    to: mpsc::Sender<Part>,
) -> Result<(), LinkError> {
    if to.send(head).await.is_err() {
        return Ok(());
    }
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        bytes.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let length = chunk.len() as u64;
        if to.send(chunk_part(v1::Chunk { offset, data: chunk.into() })).await.is_err() {
            return Ok(());
        }
        offset += length;
    }
}

/// The stream of directives.
pub struct Directives {
    link: Link,
    stream: Streaming<v1::Directive>,
}

impl Directives {
    /// The next directive, or `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<(JobId, Ask)>, LinkError> {
        let message = self.stream.message().await.map_err(|s| self.link.status(s))?;
        message.map(directive).transpose()
    }
}

fn bytes(b: &[u8]) -> Bytes {
    Bytes::copy_from_slice(b)
}

fn fixed<const N: usize>(field: &'static str, b: &Bytes) -> Result<[u8; N], LinkError> {
    <[u8; N]>::try_from(b.as_ref()).map_err(|_| malformed(field, format!("{} bytes, expected {N}", b.len())))
}

fn digest(field: &'static str, b: &Bytes) -> Result<Digest, LinkError> {
    fixed(field, b).map(Digest::from_bytes)
}

fn signature(b: &Bytes) -> Result<Signature, LinkError> {
    fixed("signature", b).map(Signature::from_bytes)
}

fn party(text: &str) -> Result<PartyId, LinkError> {
    PartyId::new(text).map_err(|e| malformed("party", e))
}

fn job(text: &str) -> Result<JobId, LinkError> {
    Digest::parse(text).map(JobId).map_err(|e| malformed("job_id", e))
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, LinkError> {
    value.ok_or_else(|| malformed(field, "missing"))
}

/// What became of a submission.
pub fn receipt(r: v1::Receipt) -> Result<Receipt, LinkError> {
    use v1::receipt::Outcome;
    Ok(match r.outcome() {
        Outcome::Accepted | Outcome::AlreadyAccepted => Receipt::Accepted,
        Outcome::Late => Receipt::Late(r.reason),
        Outcome::Rejected => Receipt::Rejected(r.reason),
        Outcome::Unspecified => return Err(malformed("outcome", "unspecified")),
    })
}

fn to_join(j: &Join) -> v1::Join {
    v1::Join {
        job_id: j.job.to_string(),
        party: j.party.to_string(),
        signing_certificate: bytes(&j.signing_certificate),
        sealing_key: bytes(j.sealing_key.as_bytes()),
        beacon_commitment: bytes(j.beacon_commitment.as_bytes()),
        signature: bytes(j.signature.as_bytes()),
    }
}

fn join(m: v1::Join) -> Result<Join, LinkError> {
    Ok(Join {
        job: job(&m.job_id)?,
        party: party(&m.party)?,
        signing_certificate: m.signing_certificate.to_vec(),
        sealing_key: SealingPublicKey::from_bytes(fixed("sealing_key", &m.sealing_key)?),
        beacon_commitment: digest("beacon_commitment", &m.beacon_commitment)?,
        signature: signature(&m.signature)?,
    })
}

/// The rule for this many parties whose numbers are these; anything else is none that a job can ask for.
fn rule(m: &v1::CommitteeRule, parties: usize) -> Result<CommitteeRule, LinkError> {
    let numbers = [m.members, m.privacy_threshold, m.packing, m.answers_needed];
    if numbers == [0; 4] {
        return Ok(CommitteeRule::nobody());
    }
    [Adversary::Malicious, Adversary::SemiHonest]
        .into_iter()
        .filter_map(|adversary| CommitteeRule::for_parties(parties as u32, adversary).ok())
        .find(|r| [r.members(), r.privacy_threshold(), r.packing(), r.answers_needed()] == numbers)
        .ok_or_else(|| malformed("committee_rule", format!("{numbers:?} is no rule for {parties} parties")))
}

fn roster(m: v1::Roster) -> Result<Roster, LinkError> {
    if m.entries.len() > MAX_PARTIES {
        return Err(malformed("entries", format!("{} parties, at most {MAX_PARTIES}", m.entries.len())));
    }
    Ok(Roster {
        job: job(&m.job_id)?,
        attempt: m.attempt,
        rule: rule(&present("committee_rule", m.committee_rule)?, m.entries.len())?,
        entries: m.entries.into_iter().map(join).collect::<Result<_, _>>()?,
        minimum_contributors: m.minimum_contributors,
        coordinator_certificate: m.coordinator_certificate.to_vec(),
        deadline: Timestamp(m.confirm_deadline_ms),
    })
}

fn check_key(m: v1::SealedCheckKey) -> Result<SealedCheckKey, LinkError> {
    if m.sealed.len() > MAX_PARTIES || m.sealed.iter().any(|s| s.len() != SEALED_KEY_BYTES) {
        return Err(malformed("check_key", "not one sealed key per party"));
    }
    let sealed = m.sealed.iter().map(|s| s.to_vec()).collect();
    Ok(SealedCheckKey { commitment: digest("commitment", &m.commitment)?, sealed })
}

fn closed_head(m: v1::ClosedRoundHead) -> Result<(ClosedRound, Signature), LinkError> {
    let (spec, signature) = spec(present("spec", m.spec)?)?;
    if m.contributors.len() > MAX_PARTIES {
        return Err(malformed("contributors", format!("{} parties, at most {MAX_PARTIES}", m.contributors.len())));
    }
    let contributors = m.contributors.iter().map(|p| party(p)).collect::<Result<_, _>>()?;
    let survivors = digest("survivors_digest", &m.survivors_digest)?;
    Ok((ClosedRound { spec, contributors, survivors, sum: Vec::new() }, signature))
}

/// Takes the next part of a closed round: its head first, then its sum, never longer than the head's vector.
pub fn closed_part(closed: &mut Option<(ClosedRound, Signature)>, part: v1::ClosedRoundPart) -> Result<(), LinkError> {
    use v1::closed_round_part::Part;
    match (part.part, closed) {
        (Some(Part::Head(head)), closed @ None) => *closed = Some(closed_head(head)?),
        (Some(Part::Sum(bytes)), Some((closed, _))) => {
            let (values, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() || closed.sum.len() + values.len() > closed.spec.parameters.dimension() {
                return Err(malformed("sum", "longer than the round's vector"));
            }
            closed.sum.extend(values.iter().map(|v| u64::from_le_bytes(*v)));
        }
        _ => return Err(malformed("part", "a closed round is one head, then its sum")),
    }
    Ok(())
}

fn session(m: v1::Session) -> Result<SessionParts, LinkError> {
    let confirmation = |c: v1::Confirmation| -> Result<Confirmation, LinkError> {
        Ok(Confirmation {
            job: job(&c.job_id)?,
            party: party(&c.party)?,
            session: digest("session", &c.session)?,
            beacon_nonce: fixed("beacon_nonce", &c.beacon_nonce)?,
            check_key: c.check_key.map(check_key).transpose()?,
            signature: signature(&c.signature)?,
        })
    };
    Ok(SessionParts {
        roster: roster(present("roster", m.roster)?)?,
        confirmations: m.confirmations.into_iter().map(confirmation).collect::<Result<_, _>>()?,
    })
}

fn spec(m: v1::RoundSpec) -> Result<(RoundSpec, Signature), LinkError> {
    use v1::sum_parameters::ParameterSet as Set;
    let p = present("parameters", m.parameters)?;
    let set = match p.set() {
        Set::Small => ParameterSet::Small,
        Set::Medium => ParameterSet::Medium,
        Set::Large => ParameterSet::Large,
        Set::Unspecified => return Err(malformed("parameters", "no parameter set")),
    };
    let dimension = usize::try_from(p.dimension).map_err(|e| malformed("dimension", e))?;
    let parameters =
        SumParameters::with_set(set, dimension, p.n_max, p.value_bits).map_err(|e| malformed("parameters", e))?;
    let spec = RoundSpec {
        job: job(&m.job_id)?,
        session: digest("session", &m.session)?,
        round: m.round,
        task_json: m.task_json,
        parameters,
        previous: digest("previous", &m.previous)?,
        deadline: Timestamp(m.deadline_ms),
    };
    Ok((spec, signature(&m.signature)?))
}

fn survivor(m: v1::Survivor, round: u64, spec: Digest) -> Result<Contribution, LinkError> {
    Ok(Contribution {
        party: party(&m.party)?,
        round,
        spec,
        commitment: digest("commitment", &m.commitment)?,
        ciphertext_bytes: m.ciphertext_bytes,
        share_digests: m.share_digests.iter().map(|d| digest("share_digests", d)).collect::<Result<_, _>>()?,
        journal: {
            let head = present("journal", m.journal)?;
            TreeHead { size: head.size, root: RootHash::from_bytes(fixed("root", &head.root)?) }
        },
        signature: signature(&m.signature)?,
    })
}

/// What the coordinator asks, and of which job. Checked for its form only.
pub fn directive(m: v1::Directive) -> Result<(JobId, Ask), LinkError> {
    use v1::{directive::Ask as Wire, job_closed::Outcome};
    let id = job(&m.job_id)?;
    let ask = match present("ask", m.ask)? {
        Wire::Waiting(w) => Ask::Wait { awaiting: w.awaiting },
        Wire::JobOffer(o) => Ask::Offer { toml: o.job_toml, opened: Timestamp(o.opened_ms), by: o.submitted_by },
        Wire::Roster(r) => Ask::Roster(roster(r)?),
        Wire::Contribute(c) => {
            let (spec, signature) = spec(present("spec", c.spec)?)?;
            let (checkpoint, extends) = (c.checkpoint, c.extends.map(extension).transpose()?);
            Ask::Contribute { spec, signature, session: c.session.map(session).transpose()?, checkpoint, extends }
        }
        Wire::Answer(a) => {
            let (spec, spec_signature) = spec(present("spec", a.spec)?)?;
            let spec_digest = digest("spec_digest", &a.spec_digest)?;
            let survivors = a.survivors.into_iter().map(|s| survivor(s, a.round, spec_digest));
            Ask::Answer {
                spec,
                spec_signature,
                survivors: SurvivorSet {
                    round: a.round,
                    spec: spec_digest,
                    survivors: survivors.collect::<Result<_, _>>()?,
                    deadline: Timestamp(a.deadline_ms),
                },
                signature: signature(&a.signature)?,
                sealed_shares: a.sealed_shares.iter().map(|s| s.to_vec()).collect(),
                session: a.session.map(session).transpose()?,
                checkpoint: a.checkpoint,
            }
        }
        Wire::JobClosed(c) => Ask::Closed {
            outcome: match c.outcome() {
                Outcome::Finished => Ok((c.result_json, digest("transcript", &c.transcript)?)),
                _ => Err(c.reason),
            },
            checkpoint: c.checkpoint,
            extends: c.extends.map(extension).transpose()?,
            session: c.session.map(session).transpose()?,
            parcels: parcels(c.parcels)?,
        },
        Wire::Exchange(e) => Ask::Exchange {
            round: e.round,
            previous: digest("previous", &e.previous)?,
            parcels: parcels(e.parcels)?,
            session: e.session.map(session).transpose()?,
            checkpoint: e.checkpoint,
            extends: e.extends.map(extension).transpose()?,
        },
    };
    Ok((id, ask))
}
