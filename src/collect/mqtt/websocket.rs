//! A WebSocket as a stream of bytes, which is what MQTT makes of it: frames need not end where
//! packets do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A frame of the broker may hold this many bytes; larger ones end the connection.
const FRAME_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A frame of ours holds at most this many.
const OUR_FRAME_MAX_BYTES: usize = 64 * 1024;

/// The subprotocol of MQTT in its versions 3.1.1 and 5.
const SUBPROTOCOL: &str = "mqtt";

/// Shakes hands over `stream`, asking `url` for the subprotocol `mqtt`.
pub(super) async fn open<S>(url: &str, stream: S) -> Result<WebSocketIo<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES));
    // The handshake itself fails unless the server chooses the subprotocol we asked for.
    let (inner, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
    Ok(WebSocketIo {
        inner,
        unread: Bytes::new(),
    })
}

/// Reads and writes the payloads of binary frames.
#[derive(Debug)]
pub(super) struct WebSocketIo<S> {
    inner: WebSocketStream<S>,
    unread: Bytes,
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the WebSocket was closed")
        }
        other => io::Error::other(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(context)) {
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    let text = "the server sent text, which is not MQTT over WebSocket";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            }
        }
        let len = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(context)).map_err(io_error)?;
        let mut frame = Bytes::copy_from_slice(bytes);
        if frame.remaining() > OUR_FRAME_MAX_BYTES {
            frame.truncate(OUR_FRAME_MAX_BYTES);
        }
        let len = frame.len();
        Pin::new(&mut self.inner)
            .start_send(Message::Binary(frame))
            .map_err(io_error)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner)
            .poll_flush(context)
            .map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner)
            .poll_close(context)
            .map_err(io_error)
    }
}
