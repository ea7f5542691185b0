//! MQTT without a broker: meters connect to us directly (ADR 0001).
//!
//! MQTT 3.1.1 and 5 as far as a meter needs them: CONNECT, PUBLISH at `QoS` 0 and 1, PINGREQ,
//! DISCONNECT; over TCP, and over TLS with client certificates if wanted. A user speaks only for its
//! own devices. PUBACK is sent only after our own commit, in the order of arrival, which no broker does.
//! Nothing is ever sent down: SUBSCRIBE is answered with a failure, since no command path exists.

mod close;
mod connection;
mod health;
mod rate;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::collect::Delivery;
use crate::collect::credentials::{CredentialFile, Users};
use crate::collect::tls::TlsPort;
use crate::collect::topic::TopicSet;
use crate::settings::ListenSettings;

use self::close::Close;
use self::connection::Connection;
pub use self::health::{ListenHealth, ListenHealthSnapshot};
use self::rate::{Addresses, UserBuckets};

/// Refusals are logged this often at most; the rest is counted. A hostile neighbour must not be
/// able to fill the disk with our log.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);

/// Pause after the host refuses to accept (usually: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A connection on which nothing came for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_mins(2);
/// And again, until the system gives it up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Passwords checked at the same time; each takes a core for a tenth of a second.
const HASHING_MAX: usize = 1;

/// The open sockets.
#[derive(Debug, Default)]
pub struct Ports {
    /// Without TLS.
    pub plain: Option<TcpListener>,
    /// With TLS.
    pub tls: Option<(TcpListener, Arc<TlsPort>)>,
}

impl Ports {
    /// One socket without TLS.
    pub fn plain(listener: TcpListener) -> Self {
        Self {
            plain: Some(listener),
            tls: None,
        }
    }
}

/// Why the listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Anyone could write readings.
    #[error(
        "[mqtt.listen] address {address} is open to the network without users; set users_file, or listen on 127.0.0.1"
    )]
    OpenToAll {
        /// The address.
        address: SocketAddr,
    },
    /// The socket is unusable.
    #[error("[mqtt.listen] the listening socket has no address")]
    Socket {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ListenError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OpenToAll { .. } => "collect.listen_open",
            Self::Socket { .. } => "collect.listen_socket",
        }
    }
}

/// What every connection shares.
#[derive(Debug)]
struct Shared {
    settings: ListenSettings,
    users: Option<Arc<CredentialFile<Users>>>,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    health: Arc<ListenHealth>,
    sessions: Sessions,
    user_buckets: UserBuckets,
    hashing: Semaphore,
    refusals: Mutex<Refusals>,
}

impl Shared {
    /// Counts what a peer was refused, and tells it unless that was done lately.
    fn refuse(&self, peer: SocketAddr, close: &Close) {
        self.health.count_refused();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unlogged) = refusals.pass() {
            warn!(
                listen.refusals_unlogged = unlogged,
                "Refused the meter at {peer}: {close}"
            );
        }
        self.health.set_error(format!("meter at {peer}: {close}"));
    }
}

/// Client ids in use: the newest connection of a client id displaces the one before.
#[derive(Debug, Default)]
struct Sessions(Mutex<BTreeMap<String, (u64, CancellationToken)>>);

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u64, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, client_id: &str, number: u64, displaced: CancellationToken) {
        let before = self
            .lock()
            .insert(client_id.to_owned(), (number, displaced));
        if let Some((_, displaced)) = before {
            displaced.cancel();
        }
    }

    fn leave(&self, client_id: &str, number: u64) {
        let mut sessions = self.lock();
        if sessions.get(client_id).is_some_and(|(n, _)| *n == number) {
            sessions.remove(client_id);
        }
    }
}

/// Serves meters until told to stop. At shutdown commits under way are waited for and
/// acknowledged; what is not acknowledged the meters send again.
///
/// # Errors
/// Only for what cannot be served at all: see [`ListenError`]. What a peer does wrong closes its
/// own connection.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one program, joined in one place"
)]
pub async fn serve(
    ports: Ports,
    settings: ListenSettings,
    users: Option<Arc<CredentialFile<Users>>>,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    sender: mpsc::Sender<Delivery>,
    health: Arc<ListenHealth>,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    check_open(&ports, users.is_some())?;
    let attempts = Addresses::new(settings.connects_per_minute);
    let mut server = Server {
        shared: Arc::new(Shared {
            settings,
            users,
            topics,
            clock,
            health,
            sessions: Sessions::default(),
            user_buckets: UserBuckets::default(),
            hashing: Semaphore::new(HASHING_MAX),
            refusals: Mutex::default(),
        }),
        sender,
        connections: JoinSet::new(),
        accepted: 0,
        is_full: false,
        attempts,
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = server.connections.join_next() => server.ended(ended),
            accepted = accept(ports.plain.as_ref()) => server.accepted(accepted, None, &stop).await,
            accepted = accept(ports.tls.as_ref().map(|(listener, _)| listener)) => {
                let tls = ports.tls.as_ref().map(|(_, port)| Arc::clone(port));
                server.accepted(accepted, tls, &stop).await;
            }
        }
    }
    // The queue to ingest ends when the last connection lets go of it.
    drop(server.sender);
    while let Some(ended) = server.connections.join_next().await {
        if let Err(error) = ended {
            warn!("A meter's connection failed: {error}");
        }
    }
    Ok(())
}

/// A port that others can reach needs something that proves who they are.
fn check_open(ports: &Ports, has_users: bool) -> Result<(), ListenError> {
    let plain = ports.plain.as_ref().map(|listener| (listener, false));
    let tls = ports
        .tls
        .as_ref()
        .map(|(listener, port)| (listener, port.is_certificate_required()));
    for (listener, has_certificates) in plain.into_iter().chain(tls) {
        let address = listener
            .local_addr()
            .map_err(|source| ListenError::Socket { source })?;
        if !has_users && !has_certificates && !address.ip().is_loopback() {
            return Err(ListenError::OpenToAll { address });
        }
        info!(listen.address = %address, "Listening for meters on {address}");
    }
    Ok(())
}

/// The next connection of a port that may not be there.
async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

struct Server {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Delivery>,
    connections: JoinSet<(SocketAddr, Close)>,
    accepted: u64,
    is_full: bool,
    attempts: Addresses,
}

impl Server {
    async fn accepted(
        &mut self,
        accepted: std::io::Result<(TcpStream, SocketAddr)>,
        tls: Option<Arc<TlsPort>>,
        stop: &CancellationToken,
    ) {
        match accepted {
            Ok((stream, peer)) => {
                // A meter behind a NAT that forgot it never says goodbye, and some ask for no keep-alive of MQTT.
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE)
                    .with_interval(KEEPALIVE_INTERVAL);
                if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
                    debug!("Connection of {peer} without TCP keep-alive: {error}");
                }
                self.accept(stream, peer, tls, stop);
            }
            Err(error) => {
                warn!(
                    "Meters cannot connect: {error}; if it says too many open files, raise the limit (LimitNOFILE)"
                );
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn accept(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<TlsPort>>,
        stop: &CancellationToken,
    ) {
        if !self.attempts.admit(peer.ip(), Instant::now()) {
            self.shared.refuse(
                peer,
                &Close::Protocol(format!(
                    "it connects more often than connects_per_minute = {} allows; raise it if many meters share the address",
                    self.shared.settings.connects_per_minute
                )),
            );
            return;
        }
        let max = self.shared.settings.connections_max;
        if self.connections.len() >= max {
            self.shared.health.count_refused();
            if !self.is_full {
                warn!(
                    "Meter at {peer} turned away: connections_max = {max} are in use; raise it in [mqtt.listen]"
                );
            }
            self.is_full = true;
            return;
        }
        self.is_full = false;
        self.accepted += 1;
        let connection = Connection::new(
            Arc::clone(&self.shared),
            peer,
            self.accepted,
            self.sender.clone(),
            stop.clone(),
        );
        self.connections
            .spawn(async move { (peer, connection.run(stream, tls).await) });
    }

    fn ended(&mut self, ended: Result<(SocketAddr, Close), tokio::task::JoinError>) {
        match ended {
            Err(error) => warn!("A meter's connection failed: {error}"),
            Ok((peer, close)) if close.is_refusal() => self.shared.refuse(peer, &close),
            Ok((peer, close)) => debug!("Connection of the meter at {peer} ended: {close}"),
        }
    }
}

/// Lets one refusal through in each period and counts the rest.
#[derive(Debug, Default)]
struct Refusals {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl Refusals {
    fn pass(&mut self) -> Option<u64> {
        if self
            .logged_at
            .is_some_and(|at| at.elapsed() < REFUSAL_LOG_EVERY)
        {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(Instant::now());
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests;
