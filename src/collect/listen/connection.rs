//! One meter's connection.

use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode,
    UnsubAck,
};
use rumqttc::mqttbytes::{Protocol, QoS, has_wildcards};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::collect::listen::Shared;
use crate::collect::listen::close::Close;
use crate::collect::{Ack, Delivery};
use crate::domain::frame::{RawFrame, Transport};

/// Messages of one meter whose commit is under way, at most; then we stop reading from it.
const IN_FLIGHT_MAX: usize = 64;

/// Before the peer is known, packets may not be larger, bytes.
const CONNECT_MAX_BYTES: usize = 16 * 1024;

/// A peer that does not take our few bytes for this long is gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// At shutdown, commits under way are waited for this long; the rest is sent again.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Silence allowed to a peer that asks for no keep-alive: the longest one MQTT can express.
const SILENCE_MAX: Duration = Duration::from_secs(98_302);

/// Largest answer, bytes.
const ANSWER_MAX_BYTES: usize = 128 * 1024;

/// A message whose commit is under way.
struct Held {
    pkid: u16,
    done: oneshot::Receiver<()>,
}

/// One meter's connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    number: u64,
    /// Dropped at shutdown, so that ingest sees the end of its queue.
    sender: Option<mpsc::Sender<Delivery>>,
    stop: CancellationToken,
    displaced: CancellationToken,
    held: VecDeque<Held>,
    /// Received, waiting for room in ingest's queue; while there is one, nothing more is read.
    parked: Option<Delivery>,
    unread: BytesMut,
    frame_max: usize,
    silence_max: Duration,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        peer: SocketAddr,
        number: u64,
        sender: mpsc::Sender<Delivery>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared,
            peer,
            number,
            sender: Some(sender),
            stop,
            displaced: CancellationToken::new(),
            held: VecDeque::new(),
            parked: None,
            unread: BytesMut::new(),
            frame_max: CONNECT_MAX_BYTES,
            silence_max: SILENCE_MAX,
        }
    }

    pub(super) async fn run(mut self, mut stream: TcpStream) -> Close {
        stream.set_nodelay(true).ok();
        let (mut reader, mut writer) = stream.split();
        let within = Duration::from_secs(self.shared.settings.connect_timeout_s.max(1));
        let stop = self.stop.clone();
        let connect = tokio::select! {
            () = stop.cancelled() => return Close::Stopped,
            connect = timeout(within, self.read_connect(&mut reader)) => connect,
        };
        let client_id = match connect {
            Err(_) => return Close::ConnectTimeout,
            Ok(Err(close)) => {
                // MQTT-3.1.2-2: tell a peer of another version before closing.
                if protocol_level(&self.unread).is_some_and(|level| level != 4) {
                    self.refuse(&mut writer, ConnectReturnCode::RefusedProtocolVersion)
                        .await;
                }
                return close;
            }
            Ok(Ok(connect)) => match self.admit(connect, &mut writer).await {
                Ok(client_id) => client_id,
                Err(close) => return close,
            },
        };
        let health = Arc::clone(&self.shared.health);
        health.enter();
        let close = self.converse(&mut reader, &mut writer).await;
        self.shared.sessions.leave(&client_id, self.number);
        health.leave();
        writer.shutdown().await.ok();
        close
    }

    async fn read_connect(&mut self, reader: &mut ReadHalf<'_>) -> Result<Connect, Close> {
        loop {
            match self.unread.first() {
                None | Some(0x10) => {}
                Some(0x16) => {
                    return Err(Close::Protocol(
                        "it speaks TLS; set the meter to plain MQTT, or put a TLS proxy before this port".into(),
                    ));
                }
                Some(_) => {
                    return Err(Close::Protocol("its first packet is not CONNECT".into()));
                }
            }
            // The parser knows one version; another one's CONNECT would be misread.
            if let Some(level) = protocol_level(&self.unread)
                && level != 4
            {
                return Err(Close::Protocol(format!(
                    "it speaks MQTT protocol level {level}; set the meter to MQTT 3.1.1 (level 4)"
                )));
            }
            if let Some(Packet::Connect(connect)) = self.next_packet()? {
                return Ok(connect);
            }
            self.unread.reserve(1_024);
            if reader.read_buf(&mut self.unread).await? == 0 {
                return Err(Close::ByPeer);
            }
        }
    }

    async fn admit(
        &mut self,
        connect: Connect,
        writer: &mut WriteHalf<'_>,
    ) -> Result<String, Close> {
        if connect.protocol != Protocol::V4 {
            self.refuse(writer, ConnectReturnCode::RefusedProtocolVersion)
                .await;
            return Err(Close::Protocol("it does not speak MQTT 3.1.1".into()));
        }
        if let Some(users) = &self.shared.users {
            let (user, password) = connect
                .login
                .as_ref()
                .map_or(("", ""), |l| (&l.username, &l.password));
            if !users.admits(user, password) {
                let user = user.chars().take(64).collect();
                self.refuse(writer, ConnectReturnCode::BadUserNamePassword)
                    .await;
                return Err(Close::Credentials { user });
            }
        }
        if connect.client_id.is_empty() && !connect.clean_session {
            self.refuse(writer, ConnectReturnCode::BadClientId).await;
            return Err(Close::Protocol(
                "it asks for a lasting session without a client id; give the meter one".into(),
            ));
        }
        let client_id = if connect.client_id.is_empty() {
            format!("\0anonymous {}", self.number)
        } else {
            connect.client_id
        };
        // The topic and its length come on top of the payload, which is checked by itself.
        self.frame_max = self
            .shared
            .settings
            .payload_max_bytes
            .saturating_add(65_540);
        if connect.keep_alive > 0 {
            self.silence_max = Duration::from_secs(u64::from(connect.keep_alive)).mul_f64(1.5);
        }
        self.shared
            .sessions
            .enter(&client_id, self.number, self.displaced.clone());
        // Our side of a session is empty (no subscriptions, nothing to send), so there is nothing
        // we could have forgotten, not even across a restart. Saying so makes the client send
        // again what we have not acknowledged; told otherwise, it would throw that away.
        let is_session_present = !connect.clean_session;
        let connack = Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, is_session_present));
        let answer = encode([connack])?;
        if let Err(close) = send(writer, &answer).await {
            self.shared.sessions.leave(&client_id, self.number);
            return Err(close);
        }
        Ok(client_id)
    }

    async fn refuse(&self, writer: &mut WriteHalf<'_>, code: ConnectReturnCode) {
        if let Ok(answer) = encode([Packet::ConnAck(ConnAck::new(code, false))]) {
            // It is being closed anyway.
            send(writer, &answer).await.ok();
            writer.shutdown().await.ok();
        }
    }

    async fn converse(&mut self, reader: &mut ReadHalf<'_>, writer: &mut WriteHalf<'_>) -> Close {
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
        self.parked.is_none() && self.held.len() < IN_FLIGHT_MAX
    }

    /// Takes every whole packet that has come in, as far as there is room.
    async fn take_all(&mut self, writer: &mut WriteHalf<'_>) -> Result<(), Close> {
        while self.is_reading() {
            let Some(packet) = self.next_packet()? else {
                break;
            };
            match packet {
                Packet::Publish(publish) => self.take(publish)?,
                Packet::PingReq => send(writer, &encode([Packet::PingResp])?).await?,
                Packet::Subscribe(subscribe) => {
                    let codes = vec![SubscribeReasonCode::Failure; subscribe.filters.len()];
                    let answer = Packet::SubAck(SubAck::new(subscribe.pkid, codes));
                    send(writer, &encode([answer])?).await?;
                }
                Packet::Unsubscribe(unsubscribe) => {
                    let answer = Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid));
                    send(writer, &encode([answer])?).await?;
                }
                Packet::Disconnect => return Err(Close::ByPeer),
                Packet::Connect(_) => {
                    return Err(Close::Protocol("it sent CONNECT twice".into()));
                }
                _ => {
                    return Err(Close::Protocol(
                        "it sent a packet that only a server sends".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, Close> {
        match Packet::read(&mut self.unread, self.frame_max) {
            Ok(packet) => Ok(Some(packet)),
            Err(PacketError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, publish: Publish) -> Result<(), Close> {
        if publish.topic.is_empty() || has_wildcards(&publish.topic) {
            return Err(Close::Protocol(
                "it published to a topic that is empty or has wildcards".into(),
            ));
        }
        let (len, max) = (
            publish.payload.len(),
            self.shared.settings.payload_max_bytes,
        );
        if len > max {
            return Err(Close::Protocol(format!(
                "a payload of {len} bytes is above payload_max_bytes = {max}; raise it or send less at once"
            )));
        }
        let ack = match publish.qos {
            QoS::AtMostOnce => Ack::none(),
            QoS::AtLeastOnce => {
                let (ack, done) = Ack::pair();
                self.held.push_back(Held {
                    pkid: publish.pkid,
                    done,
                });
                ack
            }
            QoS::ExactlyOnce => {
                return Err(Close::Protocol(
                    "it published at QoS 2; set the meter to QoS 1, a reading that comes twice is stored once".into(),
                ));
            }
        };
        self.shared.health.count_received();
        let frame = RawFrame {
            transport: Transport::Mqtt,
            device: self.shared.topics.device_of(&publish.topic),
            origin: publish.topic,
            // Copied, so that a small payload does not keep the whole read buffer alive.
            bytes: Bytes::copy_from_slice(&publish.payload),
            received_at: self.shared.clock.now(),
        };
        let delivery = Delivery { frame, ack };
        self.parked = match self.sender.as_ref().map(|s| s.try_send(delivery)) {
            Some(Ok(())) => None,
            Some(Err(mpsc::error::TrySendError::Full(delivery))) => Some(delivery),
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => return Err(Close::Stopped),
        };
        Ok(())
    }

    /// Acknowledges the oldest message and whatever behind it is committed too, in one write.
    async fn acknowledge(
        &mut self,
        writer: &mut WriteHalf<'_>,
        is_committed: bool,
    ) -> Result<(), Close> {
        if !is_committed {
            return Err(Close::NotCommitted);
        }
        let mut acks = Vec::new();
        let mut is_dropped = false;
        while let Some(held) = self.held.front_mut() {
            // The front has already been received, in `front`.
            if !acks.is_empty() {
                match held.done.try_recv() {
                    Ok(()) => {}
                    Err(oneshot::error::TryRecvError::Empty) => break,
                    Err(oneshot::error::TryRecvError::Closed) => {
                        is_dropped = true;
                        break;
                    }
                }
            }
            acks.push(Packet::PubAck(PubAck::new(held.pkid)));
            self.held.pop_front();
        }
        let count = acks.len() as u64;
        send(writer, &encode(acks)?).await?;
        self.shared.health.count_acknowledged(count);
        if is_dropped {
            return Err(Close::NotCommitted);
        }
        Ok(())
    }

    /// Acknowledges what is still being committed, for a while.
    async fn drain(&mut self, writer: &mut WriteHalf<'_>) {
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
            .field("peer", &self.peer)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The protocol level of a CONNECT whose first bytes are here; none if they are not a CONNECT, or
/// not enough.
fn protocol_level(bytes: &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    if *first != 0x10 {
        return None;
    }
    // The remaining length ends with the first byte without the top bit, the fourth at the latest.
    let length_bytes = rest.iter().take(4).position(|b| b & 0x80 == 0)? + 1;
    let header = rest.get(length_bytes..)?;
    let name_len = usize::from(u16::from_be_bytes([*header.first()?, *header.get(1)?]));
    if !matches!(header.get(2..2 + name_len)?, b"MQTT" | b"MQIsdp") {
        return None;
    }
    header.get(2 + name_len).copied()
}

async fn read_some(reader: &mut ReadHalf<'_>, unread: &mut BytesMut) -> std::io::Result<usize> {
    unread.reserve(2_048);
    reader.read_buf(unread).await
}

/// Waits for the oldest message: whether it was committed.
async fn front(held: &mut VecDeque<Held>) -> bool {
    match held.front_mut() {
        None => future::pending().await,
        Some(held) => (&mut held.done).await.is_ok(),
    }
}

fn encode(packets: impl IntoIterator<Item = Packet>) -> Result<BytesMut, Close> {
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.write(&mut bytes, ANSWER_MAX_BYTES)?;
    }
    Ok(bytes)
}

async fn send(writer: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<(), Close> {
    match timeout(WRITE_MAX, writer.write_all(bytes)).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(Close::Network("it does not read our answers".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_protocol_level_is_read_before_the_packet_is() {
        let v311 = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        assert_eq!(protocol_level(&v311), Some(4));
        for cut in 0..9 {
            assert_eq!(protocol_level(&v311[..cut]), None, "{cut}");
        }
        let v31 = [0x10, 20, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3];
        assert_eq!(protocol_level(&v31), Some(3));
        assert_eq!(protocol_level(b"GET / HTTP/1.1\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            protocol_level(&bytes);
            let mut stream = BytesMut::from(&bytes[..]);
            // Each round consumes a frame or ends.
            while Packet::read(&mut stream, 1_000).is_ok() {}
            prop_assert!(stream.len() <= bytes.len());
        }

        #[test]
        fn no_frame_body_makes_the_parser_fall_over(
            kind in 1_u8..15, flags in 0_u8..16, body in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let len = u8::try_from(body.len()).unwrap();
            let mut stream = BytesMut::from(&[kind << 4 | flags, len][..]);
            stream.extend_from_slice(&body);
            Packet::read(&mut stream, 1_000).ok();
            prop_assert!(stream.is_empty());
        }
    }
}
