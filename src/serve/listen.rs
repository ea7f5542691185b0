//! The HTTP listener: loopback only until users exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::collect::tls::{TlsPort, TlsStream};
use crate::settings::ServeSettings;

/// A handshake that takes longer is given up.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Handshakes under way at most.
const HANDSHAKES_MAX: usize = 256;

/// Pause after the host refuses to accept (usually: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the listener does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `serve.address_not_loopback`.
    #[error(
        "serve.address is {address}, but the console has no users yet and answers whoever asks; \
         set it to 127.0.0.1:{} (serve.address_not_loopback)",
        address.port()
    )]
    AddressNotLoopback {
        /// As configured.
        address: SocketAddr,
    },
    /// `serve.bind_failed`.
    #[error(
        "cannot listen on {address}; stop what uses it or set serve.address to another port (serve.bind_failed)"
    )]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `serve.accept_failed`.
    #[error("the listener on {address} stopped accepting connections (serve.accept_failed)")]
    Accept {
        /// Where it listened.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl ServeError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AddressNotLoopback { .. } => "serve.address_not_loopback",
            Self::Bind { .. } => "serve.bind_failed",
            Self::Accept { .. } => "serve.accept_failed",
        }
    }
}

/// Takes the configured address; port 0 takes any free one.
///
/// # Errors
/// An address that is not loopback is refused before anything is opened.
pub async fn bind(settings: &ServeSettings) -> Result<TcpListener, ServeError> {
    let address = settings.address;
    if !address.ip().is_loopback() {
        return Err(ServeError::AddressNotLoopback { address });
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

/// Answers on a listener until `stop`; open requests are answered first, live streams end.
pub async fn answer(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    tracing::info!(address = %address, "Console and API answer on http://{address}");
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|source| ServeError::Accept { address, source })
}

/// A listener whose connections speak TLS. Handshakes go on side by side, so that a slow one keeps
/// nobody waiting.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    port: Arc<TlsPort>,
    handshakes: JoinSet<Option<(TlsStream, SocketAddr)>>,
}

impl TlsListener {
    /// On an open socket.
    pub fn new(listener: TcpListener, port: Arc<TlsPort>) -> Self {
        Self {
            listener,
            port,
            handshakes: JoinSet::new(),
        }
    }

    fn shake(&mut self, stream: TcpStream, peer: SocketAddr) {
        let port = Arc::clone(&self.port);
        self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_MAX, port.accept(stream)).await {
                Ok(Ok((stream, _))) => Some((stream, peer)),
                Ok(Err(words)) => {
                    tracing::debug!("Refused the client at {peer}: {words}");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let has_room = self.handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, peer)) => self.shake(stream, peer),
                    Err(error) => {
                        tracing::warn!("Clients cannot connect: {error}; if it says too many open files, raise the limit (LimitNOFILE)");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Answers over TLS until `stop`.
pub async fn answer_tls(
    listener: TlsListener,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener
        .listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    tracing::info!(address = %address, "Readings are taken at https://{address}/api/v1/readings");
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|source| ServeError::Accept { address, source })
}

/// Binds and answers.
pub async fn listen(
    settings: &ServeSettings,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    answer(bind(settings).await?, router, stop).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_others_can_reach_is_refused_with_the_reason() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7080"] {
            let settings = ServeSettings {
                address: address.parse().unwrap(),
            };
            let error = bind(&settings).await.unwrap_err();
            assert_eq!(error.code(), "serve.address_not_loopback");
            assert!(error.to_string().contains("has no users yet"), "{error}");
            assert!(error.to_string().contains("127.0.0.1:"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind(&ServeSettings {
            address: "127.0.0.1:0".parse().unwrap(),
        })
        .await
        .unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(&ServeSettings { address }).await.unwrap_err();
        assert_eq!(error.code(), "serve.bind_failed");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn it_ends_when_told_to_stop() {
        let stop = CancellationToken::new();
        stop.cancel();
        let settings = ServeSettings {
            address: "127.0.0.1:0".parse().unwrap(),
        };
        listen(&settings, Router::new(), stop).await.unwrap();
    }
}
