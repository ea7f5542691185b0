//! The ports others reach: sockets, certificates, users and tokens, read again at SIGHUP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::collect::credentials::{CredentialFile, Credentials, Tokens, Users};
use crate::collect::listen::Ports;
use crate::collect::push::{Gate, write_local_secret};
use crate::collect::tls::TlsPort;
use crate::domain::text::error_chain;
use crate::run::app::App;
use crate::settings::TlsSettings;

/// What proves who is at the other end, as read from files; a clone shares it.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    /// Users of the MQTT listener.
    pub users: Option<Arc<CredentialFile<Users>>>,
    /// Tokens of the push.
    pub tokens: Option<Arc<CredentialFile<Tokens>>>,
    /// Certificate of the MQTT listener.
    mqtt_tls: Option<Arc<TlsPort>>,
    /// Certificate of the push.
    push_tls: Option<Arc<TlsPort>>,
}

/// The open sockets of the edge.
#[derive(Debug, Default)]
pub struct EdgeSockets {
    /// For meters.
    pub mqtt: Ports,
    /// For pushed readings alone.
    pub push: Option<(TcpListener, Option<Arc<TlsPort>>)>,
    /// What proves who connects.
    pub proofs: Proofs,
}

fn tls(key: &str, settings: Option<&TlsSettings>) -> anyhow::Result<Option<Arc<TlsPort>>> {
    settings
        .map(|settings| TlsPort::load(settings).map(Arc::new))
        .transpose()
        .with_context(|| format!("[{key}]"))
}

fn file<T: Credentials>(path: Option<&PathBuf>) -> anyhow::Result<Option<Arc<CredentialFile<T>>>> {
    Ok(path
        .map(|path| CredentialFile::load(path).map(Arc::new))
        .transpose()?)
}

async fn bind(key: &str, what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen for {what} on {address}; stop what uses it or set {key} to another port"
        )
    })
}

impl EdgeSockets {
    /// Reads the files and opens what the settings name.
    ///
    /// # Errors
    /// A file that cannot be used or an address that is taken, with what to do.
    pub async fn open(app: &App) -> anyhow::Result<Self> {
        let (listen, push) = (&app.settings.mqtt.listen, &app.settings.push);
        let is_listening = listen.enabled || listen.tls_address.is_some();
        let proofs = Proofs {
            users: file(listen.users_file.as_ref().filter(|_| is_listening))?,
            tokens: file(push.tokens_file.as_ref())?,
            mqtt_tls: tls("mqtt.listen.tls", listen.tls.as_ref())?,
            push_tls: tls("push.tls", push.tls.as_ref())?,
        };
        let mut mqtt = Ports::default();
        if listen.enabled {
            mqtt.plain = Some(bind("mqtt.listen.address", "meters", listen.address).await?);
        }
        if let (Some(address), Some(port)) = (listen.tls_address, &proofs.mqtt_tls) {
            let listener = bind("mqtt.listen.tls_address", "meters", address).await?;
            mqtt.tls = Some((listener, Arc::clone(port)));
        }
        let push = match push.address {
            Some(address) => {
                let listener = bind("push.address", "readings", address).await?;
                Some((listener, proofs.push_tls.clone()))
            }
            None => None,
        };
        if let Some((listener, None)) = &push
            && !listener.local_addr()?.ip().is_loopback()
        {
            warn!(
                "push.address takes tokens without TLS; set [push.tls], or let only a TLS proxy reach it"
            );
        }
        Ok(Self { mqtt, push, proofs })
    }
}

/// Tells of a file that was not taken.
fn kept<E: std::error::Error>(reloaded: Result<(), E>) {
    if let Err(error) = reloaded {
        warn!("Kept what was in force: {}", error_chain(&error));
    }
}

impl Proofs {
    /// Who may push; the secret of this run's operator is written to the data directory.
    ///
    /// # Errors
    /// A data directory that cannot be written.
    pub fn gate(&self, app: &App) -> anyhow::Result<Gate> {
        let local = write_local_secret(app.data_dir())?;
        Ok(Gate::new(self.tokens.clone(), Some(local)))
    }

    fn reload(&self) {
        if let Some(users) = &self.users {
            kept(users.reload());
        }
        if let Some(tokens) = &self.tokens {
            kept(tokens.reload());
        }
        for port in [&self.mqtt_tls, &self.push_tls].into_iter().flatten() {
            kept(port.reload());
        }
    }

    /// Reads users, tokens and certificates again at each SIGHUP, until told to stop.
    ///
    /// # Errors
    /// The system refuses signal handlers.
    pub async fn watch(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => {}
            }
            let proofs = self.clone();
            tokio::task::spawn_blocking(move || proofs.reload()).await?;
        }
    }
}
