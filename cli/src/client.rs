//! The tool's end of the wire: an operator's calls to the coordinator.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use haihe_privacy::digest::Digest;
use haihe_proto::{
    MAX_MESSAGE_BYTES,
    v1::{self, operations_client::OperationsClient},
};
use haihe_protocol::{
    id::Timestamp,
    job::JobSpec,
    journal::{Entry, Event},
};
use tonic::{
    Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

/// How to reach the coordinator as an operator.
#[derive(Args, Clone)]
pub struct Connection {
    /// Address of the coordinator, https://host:port.
    #[arg(long, env = "HAIHE_COORDINATOR", hide_env_values = true)]
    pub coordinator: String,
    /// Folder with the operator's certificates, from `haihe pki issue --role operator`.
    #[arg(long, env = "HAIHE_OPERATOR", hide_env_values = true)]
    pub operator: PathBuf,
}

/// An operator's connection.
pub struct Operator {
    client: OperationsClient<Channel>,
}

fn said(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("the coordinator answered {:?}: {}", status.code(), status.message())
}

impl Operator {
    /// Connects.
    pub async fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = |name: &str| {
            let path: PathBuf = Path::new(&connection.operator).join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt")?))
            .identity(Identity::from_pem(read("tls.crt")?, read("tls.key")?));
        let channel = Endpoint::from_shared(connection.coordinator.clone())
            .context("--coordinator must be https://host:port")?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(10))
            .connect()
            .await
            .with_context(|| format!("cannot reach the coordinator at {}", connection.coordinator))?;
        let client = OperationsClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client })
    }

    /// Submits a job file.
    pub async fn submit(&mut self, toml: String) -> anyhow::Result<v1::JobStatus> {
        let request = v1::SubmitJobRequest { job_toml: toml };
        Ok(self.client.submit_job(request).await.map_err(said)?.into_inner())
    }

    /// One job.
    pub async fn status(&mut self, job: &str) -> anyhow::Result<v1::JobStatus> {
        Ok(self.client.get_job(reference(job)).await.map_err(said)?.into_inner())
    }

    /// All jobs.
    pub async fn list(&mut self) -> anyhow::Result<Vec<v1::JobStatus>> {
        Ok(self.client.list_jobs(v1::ListJobsRequest {}).await.map_err(said)?.into_inner().jobs)
    }

    /// Every change of a job until it is over.
    pub async fn watch(&mut self, job: &str) -> anyhow::Result<Watch> {
        Ok(Watch(self.client.watch_job(reference(job)).await.map_err(said)?.into_inner()))
    }

    /// Cancels a job.
    pub async fn cancel(&mut self, job: &str, reason: String) -> anyhow::Result<v1::JobStatus> {
        let request = v1::CancelJobRequest { job_id: job.to_owned(), reason };
        Ok(self.client.cancel_job(request).await.map_err(said)?.into_inner())
    }

    /// A job's journal.
    pub async fn journal(&mut self, job: &str) -> anyhow::Result<Vec<Entry>> {
        let mut stream = self.client.get_journal(reference(job)).await.map_err(said)?.into_inner();
        let mut entries = Vec::new();
        while let Some(entry) = stream.message().await.map_err(said)? {
            let digest = <[u8; 32]>::try_from(entry.digest.as_ref()).context("a digest has 32 bytes")?;
            entries.push(Entry {
                sequence: entry.sequence,
                at: Timestamp(entry.at_ms),
                body_json: entry.body_json,
                digest: Digest::from_bytes(digest),
            });
        }
        Ok(entries)
    }

    /// The job file that was submitted: the first entry of the job's journal.
    pub async fn job_file(&mut self, job: &str) -> anyhow::Result<Option<JobSpec>> {
        let mut stream = self.client.get_journal(reference(job)).await.map_err(said)?.into_inner();
        let Some(entry) = stream.message().await.map_err(said)? else { return Ok(None) };
        match serde_json::from_str(&entry.body_json) {
            Ok(Event::JobOpened { toml, .. }) => Ok(JobSpec::parse(&toml).ok()),
            _ => Ok(None),
        }
    }

    /// A finished job's result, JSON.
    pub async fn result(&mut self, job: &str) -> anyhow::Result<String> {
        Ok(self.client.get_result(reference(job)).await.map_err(said)?.into_inner().result_json)
    }
}

fn reference(job: &str) -> v1::JobReference {
    v1::JobReference { job_id: job.to_owned() }
}

/// The stream of a job's changes.
pub struct Watch(Streaming<v1::JobStatus>);

impl Watch {
    /// The next change.
    pub async fn next(&mut self) -> anyhow::Result<Option<v1::JobStatus>> {
        self.0.message().await.map_err(said)
    }
}
