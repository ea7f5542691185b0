//! MQTT without a broker: meters connect to us directly (ADR 0001).
//!
//! MQTT 3.1.1 as far as a meter needs it: CONNECT, PUBLISH at `QoS` 0 and 1, PINGREQ, DISCONNECT.
//! PUBACK is sent only after our own commit, in the order of arrival, which no broker does.
//! Nothing is ever sent down: SUBSCRIBE is answered with a failure, since no command path exists.

mod close;
mod connection;
mod health;
mod users;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::collect::Delivery;
use crate::collect::topic::TopicSet;
use crate::settings::ListenSettings;

use self::close::Close;
use self::connection::Connection;
pub use self::health::{ListenHealth, ListenHealthSnapshot};
use self::users::Users;
pub use self::users::UsersProblem;

/// Refusals are logged this often at most; the rest is counted. A hostile neighbour must not be
/// able to fill the disk with our log.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);

/// Pause after the host refuses to accept (usually: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
    /// The users file cannot be read.
    #[error("[mqtt.listen] users_file {} cannot be read; create it with mode 0600, one `user:password` a line", path.display())]
    UsersFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The users file has lines that are none.
    #[error("[mqtt.listen] users_file {}: {}; write one `user:password` a line", path.display(), list(problems))]
    UsersLines {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<UsersProblem>,
    },
    /// The socket is unusable.
    #[error("[mqtt.listen] the listening socket has no address")]
    Socket {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn list(problems: &[UsersProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join(", ")
}

impl ListenError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OpenToAll { .. } => "collect.listen_open",
            Self::UsersFile { .. } => "collect.listen_users_file",
            Self::UsersLines { .. } => "collect.listen_users_lines",
            Self::Socket { .. } => "collect.listen_socket",
        }
    }
}

/// What every connection shares.
#[derive(Debug)]
struct Shared {
    settings: ListenSettings,
    users: Option<Users>,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    health: Arc<ListenHealth>,
    sessions: Sessions,
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
pub async fn serve(
    listener: TcpListener,
    settings: ListenSettings,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    sender: mpsc::Sender<Delivery>,
    health: Arc<ListenHealth>,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let address = listener
        .local_addr()
        .map_err(|source| ListenError::Socket { source })?;
    let users = load_users(&settings).await?;
    if users.is_none() && !address.ip().is_loopback() {
        return Err(ListenError::OpenToAll { address });
    }
    info!(listen.address = %address, "Listening for meters on {address}");
    let mut server = Server {
        shared: Arc::new(Shared {
            settings,
            users,
            topics,
            clock,
            health,
            sessions: Sessions::default(),
        }),
        sender,
        connections: JoinSet::new(),
        accepted: 0,
        is_full: false,
        refusals: Refusals::default(),
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = server.connections.join_next() => server.ended(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.accept(stream, peer, &stop),
                Err(error) => {
                    warn!("Meters cannot connect: {error}; if it says too many open files, raise the limit (LimitNOFILE)");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
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

async fn load_users(settings: &ListenSettings) -> Result<Option<Users>, ListenError> {
    let Some(path) = &settings.users_file else {
        return Ok(None);
    };
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|source| ListenError::UsersFile {
            path: path.clone(),
            source,
        })?;
    Users::parse(&text)
        .map(Some)
        .map_err(|problems| ListenError::UsersLines {
            path: path.clone(),
            problems,
        })
}

struct Server {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Delivery>,
    connections: JoinSet<(SocketAddr, Close)>,
    accepted: u64,
    is_full: bool,
    refusals: Refusals,
}

impl Server {
    fn accept(&mut self, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
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
            .spawn(async move { (peer, connection.run(stream).await) });
    }

    fn ended(&mut self, ended: Result<(SocketAddr, Close), tokio::task::JoinError>) {
        match ended {
            Err(error) => warn!("A meter's connection failed: {error}"),
            Ok((peer, close)) if close.is_refusal() => {
                self.shared.health.count_refused();
                if let Some(unlogged) = self.refusals.pass() {
                    warn!(
                        listen.refusals_unlogged = unlogged,
                        "Closed the connection of the meter at {peer}: {close}"
                    );
                }
                self.shared
                    .health
                    .set_error(format!("meter at {peer}: {close}"));
            }
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
