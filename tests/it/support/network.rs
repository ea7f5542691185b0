//! A network that fails on demand: a TCP relay that can cut, refuse and swallow.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Passes everything on.
    Fair,
    /// Passes nothing on and says nothing: a firewall that forgot us, a cable in a basement.
    Silent,
    /// Every connection is cut, new ones at once.
    Cut,
}

/// A relay to `127.0.0.1:<upstream>` on a port of its own; gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    weather: Arc<watch::Sender<Weather>>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::new(watch::Sender::new(Weather::Fair));
        let mut task = JoinSet::new();
        let sky = weather.subscribe();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(relay(stream, upstream, sky.clone()));
            }
        });
        Self {
            port,
            weather,
            _task: task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn relay(near: TcpStream, upstream: u16, mut sky: watch::Receiver<Weather>) {
    if *sky.borrow() == Weather::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let (up, down) = (sky.clone(), sky.clone());
    tokio::select! {
        () = pass(near_read, far_write, up) => {}
        () = pass(far_read, near_write, down) => {}
        _ = sky.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

/// Passes bytes on while the weather is fair; what came in during silence is lost with the
/// connection, never passed on late.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sky: watch::Receiver<Weather>) {
    let mut bytes = vec![0; 16 * 1024];
    let mut is_swallowing = false;
    while let Ok(len) = from.read(&mut bytes).await {
        if len == 0 && !is_swallowing {
            return;
        }
        is_swallowing |= *sky.borrow() == Weather::Silent;
        if is_swallowing {
            if len == 0 {
                // An end that nobody hears of.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}
