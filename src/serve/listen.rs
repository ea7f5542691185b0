//! The HTTP listener: loopback only until users exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
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

/// Time from a connection, or from the answer before, to the end of the next request's head; who says
/// nothing for so long is let go.
const HEAD_MAX: Duration = Duration::from_secs(30);

/// Connections of the console's and API's own address at most.
const CONSOLE_CONNECTIONS_MAX: usize = 1_000;

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
}

impl ServeError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AddressNotLoopback { .. } => "serve.address_not_loopback",
            Self::Bind { .. } => "serve.bind_failed",
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

/// Answers on the console's address until `stop`; open requests are answered first, live streams end.
pub async fn answer(listener: TcpListener, router: Router, stop: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(address = %address, "Console and API answer on http://{address}");
    }
    serve(listener, router, (CONSOLE_CONNECTIONS_MAX, HEAD_MAX), stop).await;
}

/// Answers on the address of readings alone until `stop`, to so many connections at a time.
pub async fn answer_push<L>(
    listener: L,
    router: Router,
    connections_max: usize,
    stop: CancellationToken,
) where
    L: Listener,
{
    serve(listener, router, (connections_max, HEAD_MAX), stop).await;
}

/// Further connections than `connections_max` wait to be accepted, so that nobody takes the files of
/// the program by connecting; one that is silent for `head_max` makes room.
async fn serve<L>(
    mut listener: L,
    router: Router,
    (connections_max, head_max): (usize, Duration),
    stop: CancellationToken,
) where
    L: Listener,
{
    let room = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_max);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (stream, _)) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("A connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
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

impl Listener for TlsListener {
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

/// Binds and answers.
pub async fn listen(
    settings: &ServeSettings,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    answer(bind(settings).await?, router, stop).await;
    Ok(())
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

    async fn first_line(stream: &mut TcpStream) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = [0; 512];
        let len = stream.read(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(bytes.get(..len).unwrap());
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Two connections that say nothing take all the room there is.
    #[tokio::test]
    async fn silent_connections_make_room_for_one_that_speaks() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let answers = Router::new().route("/", axum::routing::get(async || "here"));
        let head_max = Duration::from_millis(300);
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, answers, (2, head_max), stop.clone()));
        let silent = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let mut speaks = TcpStream::connect(address).await.unwrap();
        assert_eq!(first_line(&mut speaks).await, "HTTP/1.1 200 OK");
        // It stays for its next request.
        assert_eq!(first_line(&mut speaks).await, "HTTP/1.1 200 OK");
        drop((silent, speaks));
        stop.cancel();
        serving.join_next().await.unwrap().unwrap();
    }
}
