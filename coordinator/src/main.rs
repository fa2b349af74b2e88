//! `haihe-coordinator`: schedules rounds, relays sealed messages, adds ciphertexts.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use haihe_coordinator::{
    config::{CoordinatorConfig, LogFormat},
    serve::{ServeError, serve},
};
use tokio::sync::watch;

/// Schedules rounds, relays sealed messages, adds ciphertexts. Holds no key that opens a contribution.
///
/// Exit codes: 0 stopped as asked; 1 failed; 2 wrong usage; 78 the configuration cannot be used.
#[derive(Parser)]
#[command(name = "haihe-coordinator", version)]
struct Arguments {
    /// Configuration file; see coordinator.sample.toml.
    #[arg(long, env = "HAIHE_COORDINATOR_CONFIG", hide_env_values = true)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match CoordinatorConfig::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("haihe-coordinator: {error}");
            return ExitCode::from(78);
        }
    };
    let filter = tracing_subscriber::EnvFilter::new(&config.log.filter);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match config.log.format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("asked to stop: finishing what is open");
        stop.send_replace(true);
        // Keeps the sender, so that receivers see one change, not a closed channel.
        std::future::pending::<()>().await;
    });
    match serve(config, stopped).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("haihe-coordinator: {error}");
            ExitCode::from(if matches!(error, ServeError::Config(_)) { 78 } else { 1 })
        }
    }
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
