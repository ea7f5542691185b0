//! One connection: from socket to packets, over TCP, TLS or WebSocket.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_util::io::poll_read_buf;

use super::reader::Reader;
use super::secrets::Secrets;
use super::websocket;
use super::wire::{Accepted, Farewell, Hello, Incoming, Refusal, WireError, Writer};
use crate::settings::{BrokerSettings, BrokerTransport};

/// Deadline of connecting, from the name's look-up to the broker's CONNACK.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] tokio_native_tls::native_tls::Error),
    #[error("WebSocket: {0}")]
    WebSocket(#[source] Box<tungstenite::Error>),
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("{}", .0.text)]
    Refused(Refusal),
    #[error("the broker says: {}", .0.text)]
    Farewell(Farewell),
    #[error("closed: {0}")]
    Closed(String),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("unexpected: {0}")]
    Unexpected(&'static str),
}

/// A stream of bytes, whatever carries it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(super) struct Link {
    stream: Box<dyn Stream>,
    reader: Reader,
    settings: BrokerSettings,
    unsent: BytesMut,
    is_flushed: bool,
}

/// What an exchange of bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    /// So many bytes have come in.
    pub(super) read_bytes: usize,
    /// Bytes have gone out.
    pub(super) has_written: bool,
}

impl Link {
    /// Connects, introduces us, and waits for the broker's answer.
    pub(super) async fn open(
        broker: &BrokerSettings,
        secrets: &Secrets,
        hello: &Hello,
    ) -> Result<(Self, Accepted), LinkError> {
        timeout(CONNECT_TIMEOUT, Self::introduce(broker, secrets, hello))
            .await
            .unwrap_or(Err(LinkError::ConnectTimeout))
    }

    async fn introduce(
        broker: &BrokerSettings,
        secrets: &Secrets,
        hello: &Hello,
    ) -> Result<(Self, Accepted), LinkError> {
        let mut link = Self {
            stream: dial(broker, secrets).await?,
            reader: Reader::new(broker.version, broker.payload_max_bytes),
            settings: broker.clone(),
            unsent: BytesMut::new(),
            is_flushed: true,
        };
        link.writer().connect(hello)?;
        loop {
            match link.next()? {
                Some(Incoming::ConnAck(answer)) => {
                    let accepted = answer.map_err(LinkError::Refused)?;
                    return Ok((link, accepted));
                }
                Some(Incoming::Disconnect(farewell)) => return Err(LinkError::Farewell(farewell)),
                Some(_) => return Err(LinkError::Unexpected("a packet before CONNACK")),
                None => {}
            }
            link.exchange(true).await?;
        }
    }

    /// Where packets to send are written; [`Self::exchange`] sends them.
    pub(super) fn writer(&mut self) -> Writer<'_> {
        Writer {
            version: self.settings.version,
            into: &mut self.unsent,
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || !self.is_flushed
    }

    /// The next packet that has come in.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, LinkError> {
        Ok(self.reader.next()?)
    }

    /// Sends what there is to send and reads what there is to read, as far as the network lets it;
    /// returns once anything has come in, or once everything has gone out. Dropped half way, it
    /// loses nothing: bytes leave the buffer only when the system has taken them.
    pub(super) async fn exchange(&mut self, may_read: bool) -> Result<Exchange, LinkError> {
        poll_fn(|context| self.poll_exchange(context, may_read)).await
    }

    fn poll_exchange(
        &mut self,
        context: &mut Context<'_>,
        may_read: bool,
    ) -> Poll<Result<Exchange, LinkError>> {
        let mut progress = Exchange {
            read_bytes: 0,
            has_written: false,
        };
        if self.has_unsent() {
            match self.poll_send(context) {
                Poll::Ready(Ok(())) => progress.has_written = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(closed(&error))),
                Poll::Pending => {}
            }
        }
        if may_read {
            let read = poll_read_buf(Pin::new(&mut self.stream), context, self.reader.buffer());
            match read {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(LinkError::Closed("end of stream".into())));
                }
                Poll::Ready(Ok(count)) => progress.read_bytes = count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(closed(&error))),
                Poll::Pending => {}
            }
        }
        if progress.read_bytes > 0 || progress.has_written {
            Poll::Ready(Ok(progress))
        } else {
            Poll::Pending
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.unsent.advance(written);
                    self.is_flushed = false;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.is_flushed = true;
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    /// Sends all there is to send, says goodbye and closes.
    pub(super) async fn leave(mut self) {
        self.writer().goodbye();
        while self.has_unsent() {
            if self.exchange(false).await.is_err() {
                return;
            }
        }
        // TLS and WebSocket have a goodbye of their own. The broker may be gone already.
        let closing = poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context));
        timeout(Duration::from_secs(1), closing).await.ok();
    }
}

fn closed(error: &io::Error) -> LinkError {
    LinkError::Closed(error.to_string())
}

async fn dial(broker: &BrokerSettings, secrets: &Secrets) -> Result<Box<dyn Stream>, LinkError> {
    let tcp = TcpStream::connect((broker.host.as_str(), broker.port))
        .await
        .map_err(LinkError::Unreachable)?;
    // Acknowledgements are batched by us, not by the kernel.
    tcp.set_nodelay(true).map_err(LinkError::Unreachable)?;
    let url = |scheme: &str| {
        format!(
            "{scheme}://{}:{}{}",
            bracketed(&broker.host),
            broker.port,
            broker.websocket_path
        )
    };
    let web = |error| LinkError::WebSocket(Box::new(error));
    Ok(match broker.transport {
        BrokerTransport::Tcp => Box::new(tcp),
        BrokerTransport::Tls => Box::new(secure(broker, secrets, tcp).await?),
        BrokerTransport::Ws => Box::new(websocket::open(&url("ws"), tcp).await.map_err(web)?),
        BrokerTransport::Wss => {
            let tls = secure(broker, secrets, tcp).await?;
            Box::new(websocket::open(&url("wss"), tls).await.map_err(web)?)
        }
    })
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

async fn secure(
    broker: &BrokerSettings,
    secrets: &Secrets,
    tcp: TcpStream,
) -> Result<tokio_native_tls::TlsStream<TcpStream>, LinkError> {
    let Some(connector) = secrets.tls.clone() else {
        return Err(LinkError::Unexpected("TLS without a connector"));
    };
    let name = broker.server_name.as_deref().unwrap_or(&broker.host);
    tokio_native_tls::TlsConnector::from(connector)
        .connect(name, tcp)
        .await
        .map_err(LinkError::Tls)
}
