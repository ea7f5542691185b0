//! A network between two programs that can be cut, and that can hold back one direction.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It carries everything.
    Up,
    /// It holds back what the connecting side sends.
    HoldsRequests,
    /// It holds back everything, and nobody is told.
    Holds,
    /// Connections break, what was held is gone, new ones are refused.
    Cut,
}

/// Listens on a free port and carries each connection to `target`.
pub(crate) struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, seen) = watch::channel(Line::Up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() == Line::Cut {
                    continue;
                }
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(carry(from_client, to_server, seen.clone(), true));
                    tokio::spawn(carry(from_server, to_client, seen.clone(), false));
                }
            }
        });
        Self { port, line }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// One direction of a connection, until either end or the line goes.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    is_request: bool,
) {
    let mut bytes = vec![0_u8; 16_384];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            gone = line.wait_for(|line| *line == Line::Cut) => {
                drop(gone);
                return;
            }
        };
        let Ok(count @ 1..) = read else { return };
        let carries = |line: &Line| match line {
            Line::Up | Line::Cut => true,
            Line::HoldsRequests => !is_request,
            Line::Holds => false,
        };
        let is_cut = match line.wait_for(carries).await {
            Ok(line) => *line == Line::Cut,
            Err(_) => true,
        };
        if is_cut || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
