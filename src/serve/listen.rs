//! The HTTP listener: loopback only until users exist.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::ServeSettings;

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
