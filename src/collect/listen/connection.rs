//! One meter's connection.

use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::close::Close;
use super::rate::{Bucket, SharedBucket, limit};
use super::wire::{self, Connect, Incoming, Refusal, Terms, Version, protocol_level};
use crate::collect::Delivery;
use crate::collect::credentials::User;
use crate::collect::tls::TlsPort;

mod publish;

/// Messages of one meter whose commit is under way, at most; then we stop reading from it.
const IN_FLIGHT_MAX: u16 = 64;

/// Before the peer is known, packets may not be larger, bytes.
const CONNECT_MAX_BYTES: usize = 16 * 1024;

/// A peer that does not take our few bytes for this long is gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// At shutdown, commits under way are waited for this long; the rest is sent again.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Silence allowed to a peer that asks for no keep-alive: the longest one MQTT can express.
const SILENCE_MAX: Duration = Duration::from_secs(98_302);

/// A message that waits for its acknowledgement.
struct Held {
    pkid: u16,
    state: HeldState,
}

enum HeldState {
    /// The commit is under way.
    Committing(oneshot::Receiver<()>),
    /// It may not be published (MQTT 5 can say so).
    Denied,
}

/// Who is at the other end.
struct Peer {
    /// None: this machine, without a users file.
    user: Option<Arc<User>>,
    /// What all connections of the user share.
    bucket: Option<SharedBucket>,
    /// What this connection has of its own.
    own_bucket: Option<Bucket>,
}

/// Nobody we know.
struct Stranger;

/// One meter's connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    address: SocketAddr,
    number: u64,
    version: Version,
    /// Names in the peer's certificate, if it showed one.
    names: Vec<String>,
    peer: Peer,
    /// Dropped at shutdown, so that ingest sees the end of its queue.
    sender: Option<mpsc::Sender<Delivery>>,
    stop: CancellationToken,
    displaced: CancellationToken,
    held: VecDeque<Held>,
    /// Received, waiting for room in ingest's queue; while there is one, nothing more is read.
    parked: Option<Delivery>,
    /// It sends faster than it may: nothing is read before this.
    paused_until: Option<Instant>,
    unread: BytesMut,
    frame_max: usize,
    silence_max: Duration,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        address: SocketAddr,
        number: u64,
        sender: mpsc::Sender<Delivery>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared,
            address,
            number,
            version: Version::V4,
            names: Vec::new(),
            peer: Peer {
                user: None,
                bucket: None,
                own_bucket: None,
            },
            sender: Some(sender),
            stop,
            displaced: CancellationToken::new(),
            held: VecDeque::new(),
            parked: None,
            paused_until: None,
            unread: BytesMut::new(),
            frame_max: CONNECT_MAX_BYTES,
            silence_max: SILENCE_MAX,
        }
    }

    /// Serves the peer until either side ends it.
    pub(super) async fn run(mut self, stream: TcpStream, tls: Option<Arc<TlsPort>>) -> Close {
        stream.set_nodelay(true).ok();
        let Some(tls) = tls else {
            return Box::pin(self.talk(stream)).await;
        };
        let stop = self.stop.clone();
        let shaken = tokio::select! {
            () = stop.cancelled() => return Close::Stopped,
            shaken = timeout(self.introduction_max(), tls.accept(stream)) => shaken,
        };
        match shaken {
            Err(_) => Close::ConnectTimeout,
            Ok(Err(words)) => Close::Tls(words),
            Ok(Ok((stream, names))) => {
                self.names = names;
                Box::pin(self.talk(stream)).await
            }
        }
    }

    fn introduction_max(&self) -> Duration {
        Duration::from_secs(self.shared.settings.connect_timeout_s.max(1))
    }

    async fn talk<S: AsyncRead + AsyncWrite>(mut self, stream: S) -> Close {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let stop = self.stop.clone();
        let within = self.introduction_max();
        let connect = tokio::select! {
            () = stop.cancelled() => return Close::Stopped,
            connect = timeout(within, self.read_connect(&mut reader)) => connect,
        };
        let session = match connect {
            Err(_) => return Close::ConnectTimeout,
            Ok(Err(close)) => {
                // MQTT-3.1.2-2: tell a peer of another version before closing.
                if protocol_level(&self.unread).is_some_and(|level| !matches!(level, 4 | 5)) {
                    self.refuse(&mut writer, Refusal::Version).await;
                }
                return close;
            }
            Ok(Ok(connect)) => match self.admit(connect, &mut writer).await {
                Ok(session) => session,
                Err(close) => return close,
            },
        };
        let health = Arc::clone(&self.shared.health);
        health.enter();
        let close = self.converse(&mut reader, &mut writer).await;
        self.shared.sessions.leave(&session, self.number);
        health.leave();
        if !matches!(close, Close::ByPeer | Close::Network(_))
            && let Some(goodbye) = wire::disconnected(self.version, &close)
        {
            send(&mut writer, &goodbye).await.ok();
        }
        writer.shutdown().await.ok();
        close
    }

    async fn read_connect(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<Connect, Close> {
        loop {
            match self.unread.first() {
                None | Some(0x10) => {}
                Some(0x16) => {
                    return Err(Close::Protocol(
                        "it speaks TLS; set the meter to plain MQTT, or to the port of mqtt.listen.tls_address".into(),
                    ));
                }
                Some(_) => {
                    return Err(Close::Protocol("its first packet is not CONNECT".into()));
                }
            }
            // Each parser knows one version; another one's CONNECT would be misread.
            match protocol_level(&self.unread) {
                None | Some(4) => {}
                Some(5) => self.version = Version::V5,
                Some(level) => {
                    return Err(Close::Protocol(format!(
                        "it speaks MQTT protocol level {level}; set the meter to MQTT 3.1.1 (level 4) or 5"
                    )));
                }
            }
            if let Some(Incoming::Connect(connect)) = self.next_packet()? {
                return Ok(connect);
            }
            if read_some(reader, &mut self.unread).await? == 0 {
                return Err(Close::ByPeer);
            }
        }
    }

    /// Lets the peer in, or says why not; gives the key of its session.
    async fn admit(
        &mut self,
        connect: Connect,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<String, Close> {
        if connect.has_method {
            self.refuse(writer, Refusal::Method).await;
            return Err(Close::Protocol(
                "it asks for an authentication method; set the meter to user and password, or a certificate".into(),
            ));
        }
        let Ok(user) = self.identify(&connect).await else {
            let shown = match self.names.first() {
                Some(name) => name,
                None => &connect.user,
            };
            let user = printable(shown, 64);
            self.refuse(writer, Refusal::Credentials).await;
            return Err(Close::Credentials { user });
        };
        // A lasting session of a client without a name could never be found again.
        if connect.client_id.is_empty() && !connect.is_clean && self.version == Version::V4 {
            self.refuse(writer, Refusal::ClientId).await;
            return Err(Close::Protocol(
                "it asks for a lasting session without a client id; give the meter one".into(),
            ));
        }
        let is_named = !connect.client_id.is_empty();
        let client_id = if is_named {
            connect.client_id
        } else {
            format!("auto-{}", self.number)
        };
        // Who knows another user's client id must not be able to cut that user off.
        let session = match &user {
            Some(user) => format!("{}\0{client_id}", user.name()),
            None => client_id.clone(),
        };
        // The topic and its length come on top of the payload, which is checked by itself.
        let payload_max = self.shared.settings.payload_max_bytes;
        self.frame_max = payload_max.saturating_add(65_540);
        if connect.keep_alive > 0 {
            self.silence_max = Duration::from_secs(u64::from(connect.keep_alive)).mul_f64(1.5);
        }
        self.peer = self.weigh(user);
        self.shared
            .sessions
            .enter(&session, self.number, self.displaced.clone());
        // Our side of a session is empty (no subscriptions, nothing to send), so there is nothing
        // we could have forgotten, not even across a restart. Saying so makes the client send
        // again what we have not acknowledged; told otherwise, it would throw that away.
        let terms = Terms {
            receive_max: IN_FLIGHT_MAX,
            packet_max: u32::try_from(self.frame_max.saturating_add(5)).unwrap_or(u32::MAX),
            client_id: (!is_named).then_some(client_id),
        };
        let answer = wire::accepted(self.version, is_named && !connect.is_clean, &terms);
        if let Err(close) = send(writer, &answer).await {
            self.shared.sessions.leave(&session, self.number);
            return Err(close);
        }
        Ok(session)
    }

    /// Who it is; none where nobody need say so.
    async fn identify(&self, connect: &Connect) -> Result<Option<Arc<User>>, Stranger> {
        let Some(file) = &self.shared.users else {
            // The port is this machine's own, or asks for certificates.
            let of_certificate = self
                .names
                .first()
                .map(|name| Arc::new(User::of_certificate(name)));
            let is_needed = of_certificate.is_none() && !self.address.ip().is_loopback();
            return if is_needed {
                Err(Stranger)
            } else {
                Ok(of_certificate)
            };
        };
        let users = file.get();
        if !self.names.is_empty() {
            return users.of_names(&self.names).map(Some).ok_or(Stranger);
        }
        if users.is_quick(&connect.user, &connect.password) {
            let user = users.admit(&connect.user, &connect.password);
            return user.map(Some).ok_or(Stranger);
        }
        // Guessing must not take the cores from those who are in.
        let _turn = self.shared.hashing.acquire().await.map_err(|_| Stranger)?;
        let (user, password) = (connect.user.clone(), connect.password.clone());
        tokio::task::spawn_blocking(move || users.admit(&user, &password))
            .await
            .ok()
            .flatten()
            .map(Some)
            .ok_or(Stranger)
    }

    fn weigh(&self, user: Option<Arc<User>>) -> Peer {
        let settings = &self.shared.settings;
        let now = Instant::now();
        let bucket = user.as_ref().and_then(|user| {
            let new = limit(settings.user_messages_per_s, settings.messages_burst, now)?;
            Some(self.shared.user_buckets.of(user.name(), new))
        });
        Peer {
            user,
            bucket,
            own_bucket: limit(settings.messages_per_s, settings.messages_burst, now),
        }
    }

    async fn refuse(&self, writer: &mut (impl AsyncWrite + Unpin), refusal: Refusal) {
        // It is being closed anyway.
        send(writer, &wire::refused(self.version, refusal))
            .await
            .ok();
        writer.shutdown().await.ok();
    }

    async fn converse(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Close {
        let mut heard_at = Instant::now();
        let (stop, displaced) = (self.stop.clone(), self.displaced.clone());
        let Some(sender) = self.sender.clone() else {
            return Close::Stopped;
        };
        let close = loop {
            if let Err(close) = self.take_all(writer).await {
                break close;
            }
            let is_reading = self.is_reading();
            let pause = self.paused_until.unwrap_or(heard_at);
            tokio::select! {
                biased;
                () = stop.cancelled() => break Close::Stopped,
                () = displaced.cancelled() => break Close::Displaced,
                is_committed = front(&mut self.held), if !self.held.is_empty() => {
                    if let Err(close) = self.acknowledge(writer, is_committed).await {
                        return close;
                    }
                    if !is_reading {
                        // The silence was ours.
                        heard_at = Instant::now();
                    }
                }
                permit = sender.reserve(), if self.parked.is_some() => match permit {
                    Err(_) => return Close::Stopped,
                    Ok(permit) => {
                        if let Some(delivery) = self.parked.take() {
                            permit.send(delivery);
                        }
                        heard_at = Instant::now();
                    }
                },
                () = sleep_until(pause), if self.paused_until.is_some() => {
                    self.paused_until = None;
                    heard_at = Instant::now();
                }
                read = read_some(reader, &mut self.unread), if is_reading => match read {
                    Ok(0) => break Close::ByPeer,
                    Ok(_) => heard_at = Instant::now(),
                    Err(error) => return error.into(),
                },
                () = sleep_until(heard_at + self.silence_max), if is_reading => {
                    break Close::Silent;
                }
            }
        };
        // What came in before the end is still worth its acknowledgement.
        drop(sender);
        self.drain(writer).await;
        close
    }

    fn is_reading(&self) -> bool {
        self.parked.is_none()
            && self.paused_until.is_none()
            && self.held.len() < usize::from(IN_FLIGHT_MAX)
    }

    /// Takes every whole packet that has come in, as far as there is room.
    async fn take_all(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), Close> {
        while self.is_reading() {
            let Some(packet) = self.next_packet()? else {
                break;
            };
            match packet {
                Incoming::Publish(publish) => self.take(publish)?,
                Incoming::PingReq => send(writer, &wire::PONG).await?,
                Incoming::Subscribe { pkid, filters } => {
                    send(
                        writer,
                        &wire::unsubscribed(self.version, true, pkid, filters),
                    )
                    .await?;
                }
                Incoming::Unsubscribe { pkid, filters } => {
                    send(
                        writer,
                        &wire::unsubscribed(self.version, false, pkid, filters),
                    )
                    .await?;
                }
                Incoming::Disconnect => return Err(Close::ByPeer),
                Incoming::Connect(_) => {
                    return Err(Close::Protocol("it sent CONNECT twice".into()));
                }
                Incoming::Misplaced => {
                    return Err(Close::Protocol(
                        "it sent a packet that only a server sends".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn next_packet(&mut self) -> Result<Option<Incoming>, Close> {
        wire::read(&mut self.unread, self.version, self.frame_max)
    }

    /// Acknowledges the oldest message and whatever behind it is committed too, in one write.
    async fn acknowledge(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        is_committed: bool,
    ) -> Result<(), Close> {
        if !is_committed {
            return Err(Close::NotCommitted);
        }
        let mut bytes = Vec::new();
        let mut count = 0;
        let mut is_dropped = false;
        while let Some(held) = self.held.front_mut() {
            match &mut held.state {
                HeldState::Denied => bytes.extend_from_slice(&wire::not_authorised(held.pkid)),
                // The front has already been received, in `front`.
                HeldState::Committing(done) => {
                    if !bytes.is_empty() {
                        match done.try_recv() {
                            Ok(()) => {}
                            Err(oneshot::error::TryRecvError::Empty) => break,
                            Err(oneshot::error::TryRecvError::Closed) => {
                                is_dropped = true;
                                break;
                            }
                        }
                    }
                    bytes.extend_from_slice(&wire::acknowledged(held.pkid));
                    count += 1;
                }
            }
            self.held.pop_front();
        }
        send(writer, &bytes).await?;
        self.shared.health.count_acknowledged(count);
        if is_dropped {
            return Err(Close::NotCommitted);
        }
        Ok(())
    }

    /// Acknowledges what is still being committed, for a while.
    async fn drain(&mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        if let (Some(delivery), Some(sender)) = (self.parked.take(), self.sender.take()) {
            // Without room at once it stays unacknowledged, and the meter sends it again.
            sender.try_send(delivery).ok();
        }
        self.sender = None;
        let rest = async {
            while !self.held.is_empty() {
                let is_committed = front(&mut self.held).await;
                if self.acknowledge(writer, is_committed).await.is_err() {
                    break;
                }
            }
        };
        timeout(DRAIN_MAX, rest).await.ok();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// What a stranger wrote, as it may stand in a log: not too long, on one line.
fn printable(text: &str, max: usize) -> String {
    text.chars()
        .take(max)
        .flat_map(char::escape_debug)
        .collect()
}

async fn read_some(
    reader: &mut (impl AsyncRead + Unpin),
    unread: &mut BytesMut,
) -> std::io::Result<usize> {
    unread.reserve(2_048);
    reader.read_buf(unread).await
}

/// Waits for the oldest message: whether it can be answered.
async fn front(held: &mut VecDeque<Held>) -> bool {
    match held.front_mut().map(|held| &mut held.state) {
        None => future::pending().await,
        Some(HeldState::Denied) => true,
        Some(HeldState::Committing(done)) => done.await.is_ok(),
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Close> {
    let write = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    match timeout(WRITE_MAX, write).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(Close::Network("it does not read our answers".into())),
    }
}
