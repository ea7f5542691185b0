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

/// The line, and how often it was cut: a connection lives until the next cut, however short.
#[derive(Debug, Clone, Copy)]
struct State {
    line: Line,
    cuts: u32,
}

/// Listens on a free port and carries each connection to `target`.
pub(crate) struct Proxy {
    port: u16,
    state: watch::Sender<State>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State {
            line: Line::Up,
            cuts: 0,
        });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let State { line, cuts } = *seen.borrow();
                if line == Line::Cut {
                    continue;
                }
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(carry(from_client, to_server, seen.clone(), cuts, true));
                    tokio::spawn(carry(from_server, to_client, seen.clone(), cuts, false));
                }
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, line: Line) {
        self.state.send_modify(|state| {
            state.line = line;
            state.cuts += u32::from(line == Line::Cut);
        });
    }
}

/// One direction of a connection, until either end goes or the line is cut.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut seen: watch::Receiver<State>,
    cuts: u32,
    is_request: bool,
) {
    let mut bytes = vec![0_u8; 16_384];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            gone = seen.wait_for(|state| state.cuts != cuts) => {
                drop(gone);
                return;
            }
        };
        let Ok(count @ 1..) = read else { return };
        let goes_on = |state: &State| {
            let carries = match state.line {
                Line::Up | Line::Cut => true,
                Line::HoldsRequests => !is_request,
                Line::Holds => false,
            };
            carries || state.cuts != cuts
        };
        let is_cut = match seen.wait_for(goes_on).await {
            Ok(state) => state.cuts != cuts,
            Err(_) => true,
        };
        if is_cut || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
