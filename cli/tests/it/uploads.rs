//! A participant in this process, over the real wire: what becomes of uploads that break off, come twice or were altered.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read as _},
    sync::Arc,
    time::Duration,
};

use haihe_participant::{
    link::{Address, Ask, Directives, Link, LinkError, Receipt},
    member::{Identity, Member, Offer, Outgoing},
    vault::MemoryVault,
};
use haihe_privacy::{secure_sum::lattice::Lattice, sign::SigningKey};
use haihe_protocol::{
    horizontal::network::EncodedRows,
    id::{JobId, PartyId, Timestamp},
    roster::Trust,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::processes::{JOB, Stage};

fn now() -> Timestamp {
    haihe_participant::driver::now()
}

/// The third party of the job, in this process.
struct Puppet {
    party: PartyId,
    member: Member,
    link: Link,
    table: Arc<haihe_models::table::Table>,
    seeds: u8,
}

impl Puppet {
    async fn new(stage: &Stage, url: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let party = stage.spec.job.parties[2].clone();
        let folder = stage.town.operator(url).operator.with_file_name(party.as_str());
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the member");
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
        let files = [(party.clone(), stage.file(&party))];
        let tables = haihe_simulations::scenario::load_tables(&stage.spec, &files).await.expect("table");
        Self {
            member: Member::new(Arc::new(identity), Arc::new(Lattice), Box::new(MemoryVault::default())),
            link: Link::new(&address, party.clone()).expect("link"),
            table: tables[0].1.clone(),
            party,
            seeds: 0,
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        self.seeds += 1;
        [self.seeds; 32]
    }

    /// Follows directives until the first request to contribute, and makes the contribution.
    async fn until_contribution(&mut self, directives: &mut Directives) -> (JobId, Outgoing) {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(60), directives.next()).await;
            let (job, ask) = next.expect("a directive in time").expect("a stream").expect("not ended");
            match ask {
                Ask::Wait { .. } => {}
                Ask::Offer { toml, opened, .. } => {
                    let secrets = [self.seed(), self.seed(), self.seed()];
                    let join = self
                        .member
                        .join(now(), &job, Offer { toml: &toml, opened, by: "pilot-operator" }, 1, secrets)
                        .expect("join");
                    assert_eq!(self.link.join(&join).await.expect("sent"), Receipt::Accepted);
                }
                Ask::Roster(roster) => {
                    let confirmation = self.member.confirm(now(), &job, &roster).expect("confirm");
                    assert_eq!(self.link.confirm(&confirmation).await.expect("sent"), Receipt::Accepted);
                }
                Ask::Contribute { spec, signature, session, checkpoint, .. } => {
                    let round = Some(spec.round);
                    let proof = self.member.compare_checkpoint(&job, round, &checkpoint, session.as_ref());
                    assert_eq!(proof.expect("a checkpoint"), None, "nothing was pinned before the first round");
                    self.member.pin(now(), &job, round, &checkpoint, None).expect("pinned");
                    let seed = self.seed();
                    let table = self.table.clone();
                    let rows = (&*table, &EncodedRows::default());
                    let outgoing = self.member.contribute(now(), &job, spec, &signature, session.as_ref(), rows, seed);
                    return (job, outgoing.expect("contribution"));
                }
                other => panic!("{} is asked for {other:?}", self.party),
            }
        }
    }

    fn ciphertext(&self, job: &JobId) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.member.ciphertext(job).expect("spooled").read_to_end(&mut bytes).expect("read");
        bytes
    }
}

/// Submits the job and lets the puppet come to its first contribution, not yet sent.
async fn first_contribution(stage: &Stage, url: &str) -> (String, JobId, Puppet, Outgoing) {
    let job_id = stage.operator(url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let mut puppet = Puppet::new(stage, url).await;
    let mut directives = puppet.link.follow().await.expect("stream");
    let (job, outgoing) = puppet.until_contribution(&mut directives).await;
    (job_id, job, puppet, outgoing)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_is_resumed_and_counts_once() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let others: Vec<_> = stage.spec.job.parties[..2].iter().map(|p| stage.participant(p, &url)).collect();
    let (job_id, job, puppet, outgoing) = first_contribution(&stage, &url).await;
    let whole = puppet.ciphertext(&job);

    let broken = puppet.link.contribute(&job, &outgoing.prepared, Box::new(Cursor::new(whole[..5000].to_vec()))).await;
    match broken {
        Err(error @ LinkError::Status { .. }) => {
            assert!(error.may_retry(), "{error}");
            assert!(error.to_string().contains("resume"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // The link asks where to go on: what was stored is not read again, so its content does not matter.
    let mut rest = vec![0; 5000];
    rest.extend_from_slice(&whole[5000..]);
    let resumed = puppet.link.contribute(&job, &outgoing.prepared, Box::new(Cursor::new(rest))).await;
    assert_eq!(resumed.expect("resumed"), Receipt::Accepted);
    let again = puppet.link.contribute(&job, &outgoing.prepared, Box::new(Cursor::new(whole))).await;
    assert_eq!(again.expect("sent again"), Receipt::Accepted, "the same contribution twice is the same contribution");
    let status = stage.operator(&url).await.status(&job_id).await.expect("status");
    let own = status.parties.iter().find(|p| p.party == puppet.party.as_str()).expect("listed");
    let shares: usize = outgoing.prepared.sealed_shares.iter().map(Vec::len).sum();
    assert_eq!(own.bytes_received, outgoing.prepared.contribution.ciphertext_bytes + shares as u64, "counted once");
    assert_eq!((status.rejected, status.late), (0, 0));
    drop(others);
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_exchanged_ciphertext_is_rejected_by_name() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let others: Vec<_> = stage.spec.job.parties[..2].iter().map(|p| stage.participant(p, &url)).collect();
    let (job_id, job, puppet, outgoing) = first_contribution(&stage, &url).await;
    let mut altered = puppet.ciphertext(&job);
    altered[100] ^= 1;
    let receipt = puppet.link.contribute(&job, &outgoing.prepared, Box::new(Cursor::new(altered))).await.expect("sent");
    match receipt {
        Receipt::Rejected(reason) => {
            assert!(reason.contains(puppet.party.as_str()) && reason.contains("commitment"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let status = stage.operator(&url).await.status(&job_id).await.expect("status");
    assert_eq!(status.rejected, 1, "rejected contributions are counted apart");

    // What the signature covers cannot be exchanged either.
    let mut prepared = outgoing.prepared.clone();
    prepared.sealed_shares.swap(0, 1);
    let whole = puppet.ciphertext(&job);
    let receipt = puppet.link.contribute(&job, &prepared, Box::new(Cursor::new(whole.clone()))).await.expect("sent");
    assert!(matches!(&receipt, Receipt::Rejected(reason) if reason.contains("signature")), "{receipt:?}");
    // The true one is still welcome, and the sum is not spoilt by the bad ones.
    let receipt = puppet.link.contribute(&job, &outgoing.prepared, Box::new(Cursor::new(whole))).await.expect("sent");
    assert_eq!(receipt, Receipt::Accepted);
    drop(others);
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_and_reflection_is_off_unless_asked_for() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let folder = stage.town.operator(&url).operator;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the operator");
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(read("ca.crt")))
        .identity(tonic::transport::Identity::from_pem(read("tls.crt"), read("tls.key")));
    let channel = tonic::transport::Endpoint::from_shared(url).expect("an address").tls_config(tls).expect("TLS");
    let channel = channel.connect().await.expect("connected");
    let mut answers = BTreeMap::new();
    for service in ["", "haihe.federation.v1.Federation", "haihe.federation.v1.Operations"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.expect("health answers");
        answers.insert(service, answer.into_inner().status());
    }
    assert!(answers.values().all(|s| *s == ServingStatus::Serving), "{answers:?}");
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let refused = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(ask)).await;
    assert_eq!(refused.expect_err("reflection is off").code(), tonic::Code::Unimplemented);
    coordinator.stop().expect("the coordinator stops cleanly");
}
