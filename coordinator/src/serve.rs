//! The program: binds, opens the journals, serves until told to stop.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use haihe_privacy::{secure_sum::lattice::Lattice, sign::SigningKey};
use haihe_proto::{
    DESCRIPTORS, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES,
    v1::{federation_server::FederationServer, operations_server::OperationsServer},
};
use haihe_protocol::roster::Trust;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{net::TcpListener, sync::watch};
use tonic::transport::{Certificate, Identity as TlsIdentity, Server, ServerTlsConfig, server::TcpIncoming};

use crate::{
    blobs::DiskBlobs,
    config::{ConfigError, CoordinatorConfig, read, read_private},
    engine::Identity,
    host::{Host, HostError},
    service::Service,
    store::{Store, StoreError},
};

/// How long streams may take to end after a stop.
const GRACE: Duration = Duration::from_secs(10);

/// Why the coordinator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}: {source}")]
    State {
        /// Folder.
        path: String,
        /// What happened.
        source: std::io::Error,
    },
    /// Another coordinator uses the state folder.
    #[error("another coordinator uses the state folder {path}; stop it first, or give this one its own folder")]
    Locked {
        /// Folder.
        path: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {listen}: {source}")]
    Bind {
        /// Address.
        listen: SocketAddr,
        /// What happened.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal cannot be replayed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The transport failed.
    #[error("the gRPC transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The reflection service cannot be built.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

fn der(path: &Path, pem: &str) -> Result<Vec<u8>, ConfigError> {
    let detail = |detail: String| ConfigError::Key { path: path.to_owned(), what: "certificate", detail };
    let pem = CertificateDer::from_pem_slice(pem.as_bytes());
    Ok(pem.map_err(|e| detail(format!("{e:?}")))?.to_vec())
}

/// Loads the identity that the configuration names.
pub fn load_identity(config: &CoordinatorConfig) -> Result<Identity, ConfigError> {
    let c = &config.coordinator;
    let key = SigningKey::from_pkcs8_pem(&read_private(&c.signing_key)?).map_err(|e| ConfigError::Key {
        path: c.signing_key.clone(),
        what: "Ed25519 key",
        detail: e.to_string(),
    })?;
    Ok(Identity {
        trust: Trust::new(&c.federation, der(&c.ca, &read(&c.ca)?)?),
        certificate: der(&c.signing_certificate, &read(&c.signing_certificate)?)?,
        key,
    })
}

/// Runs the coordinator until `stop` changes. Contributions are always added under the lattice scheme.
pub async fn serve(config: CoordinatorConfig, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let c = &config.coordinator;
    let state_error = |source| ServeError::State { path: c.state_dir.display().to_string(), source };
    std::fs::create_dir_all(&c.state_dir).map_err(state_error)?;
    let lock = std::fs::File::create(c.state_dir.join("lock")).map_err(state_error)?;
    lock.try_lock().map_err(|_| ServeError::Locked { path: c.state_dir.display().to_string() })?;

    let identity = Arc::new(load_identity(&config)?);
    let tls = ServerTlsConfig::new()
        .identity(TlsIdentity::from_pem(read(&c.certificate)?, read_private(&c.key)?))
        .client_ca_root(Certificate::from_pem(read(&c.ca)?));
    let store = Store::open_sqlite(&c.state_dir.join("coordinator.db")).await?;
    let blobs = Arc::new(DiskBlobs::open(c.state_dir.join("ciphertexts")).map_err(state_error)?);
    let host = Arc::new(Host::open(identity, Arc::new(Lattice), store.clone(), blobs).await?);

    let listener = TcpListener::bind(c.listen).await.map_err(|source| ServeError::Bind { listen: c.listen, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Bind { listen: c.listen, source })?;
    let draft = c.state_dir.join("address.draft");
    std::fs::write(&draft, address.to_string()).map_err(state_error)?;
    std::fs::rename(&draft, c.state_dir.join("address")).map_err(state_error)?;
    tracing::info!(%address, federation = c.federation, "listening");

    let driver = tokio::spawn(host.clone().drive(stop.clone()));
    let service = Service::new(host, stop.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<FederationServer<Service>>().await;
    health.set_serving::<OperationsServer<Service>>().await;
    let reflection = if c.reflection {
        let builder = tonic_reflection::server::Builder::configure();
        Some(builder.register_encoded_file_descriptor_set(DESCRIPTORS).build_v1()?)
    } else {
        None
    };
    let mut ended = stop.clone();
    let router = Server::builder()
        .tls_config(tls)?
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(4 << 20)
        .concurrency_limit_per_connection(64)
        .add_service(health_service)
        .add_optional_service(reflection)
        .add_service(
            FederationServer::new(service.clone())
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            OperationsServer::new(service)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        );
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        let _ = ended.changed().await;
    });
    let mut deadline = stop;
    let late = async {
        let _ = deadline.changed().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = late => tracing::warn!("some calls did not end in {} s and are cut", GRACE.as_secs()),
    }
    driver.abort();
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}
