//! MQTT 3.1.1 and 5 as a server that only receives needs them: packets in by rumqttc's codecs, the
//! few answers out by hand.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::mqttbytes::v4;
use rumqttc::mqttbytes::{Protocol, QoS};
use rumqttc::v5::mqttbytes as five;

use super::close::Close;

/// The versions we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// What a client may send, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Connect(Connect),
    Publish(Publish),
    PingReq,
    Subscribe {
        pkid: u16,
        filters: usize,
    },
    Unsubscribe {
        pkid: u16,
        filters: usize,
    },
    Disconnect,
    /// A packet that only a server sends, or AUTH.
    Misplaced,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) client_id: String,
    /// Nothing is kept of an earlier session.
    pub(super) is_clean: bool,
    pub(super) keep_alive: u16,
    pub(super) user: String,
    pub(super) password: String,
    /// Enhanced authentication, which we do not have.
    pub(super) has_method: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) pkid: u16,
    /// 0, 1 or 2.
    pub(super) qos: u8,
    pub(super) payload: Bytes,
    pub(super) has_alias: bool,
}

/// Takes the next whole packet from what has come in; none if it is not whole yet.
pub(super) fn read(
    unread: &mut BytesMut,
    version: Version,
    frame_max: usize,
) -> Result<Option<Incoming>, Close> {
    match version {
        Version::V4 => match v4::Packet::read(unread, frame_max) {
            Ok(packet) => Ok(Some(from_v4(packet)?)),
            Err(PacketError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
        Version::V5 => {
            // The codec knows no DISCONNECT without a reason, the usual one.
            if unread.first_chunk() == Some(&[0xE0, 0]) {
                drop(unread.split_to(2));
                return Ok(Some(Incoming::Disconnect));
            }
            let max = u32::try_from(frame_max).unwrap_or(u32::MAX);
            match five::v5::Packet::read(unread, Some(max)) {
                Ok(packet) => Ok(Some(from_v5(packet)?)),
                Err(five::Error::InsufficientBytes(_)) => Ok(None),
                Err(five::Error::PayloadSizeLimitExceeded { pkt_size, .. }) => {
                    Err(Close::too_large(pkt_size))
                }
                Err(error) => Err(Close::Protocol(format!("not MQTT 5: {error}"))),
            }
        }
    }
}

fn from_v4(packet: v4::Packet) -> Result<Incoming, Close> {
    Ok(match packet {
        v4::Packet::Connect(connect) => {
            if connect.protocol != Protocol::V4 {
                return Err(Close::Protocol("it does not speak MQTT 3.1.1".into()));
            }
            let login = connect.login;
            let (user, password) =
                login.map_or_else(Default::default, |l| (l.username, l.password));
            Incoming::Connect(Connect {
                client_id: connect.client_id,
                is_clean: connect.clean_session,
                keep_alive: connect.keep_alive,
                user,
                password,
                has_method: false,
            })
        }
        v4::Packet::Publish(publish) => Incoming::Publish(Publish {
            topic: publish.topic,
            pkid: publish.pkid,
            qos: match publish.qos {
                QoS::AtMostOnce => 0,
                QoS::AtLeastOnce => 1,
                QoS::ExactlyOnce => 2,
            },
            payload: publish.payload,
            has_alias: false,
        }),
        v4::Packet::PingReq => Incoming::PingReq,
        v4::Packet::Subscribe(subscribe) => Incoming::Subscribe {
            pkid: subscribe.pkid,
            filters: subscribe.filters.len(),
        },
        v4::Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
            pkid: unsubscribe.pkid,
            filters: unsubscribe.topics.len(),
        },
        v4::Packet::Disconnect => Incoming::Disconnect,
        _ => Incoming::Misplaced,
    })
}

fn from_v5(packet: five::v5::Packet) -> Result<Incoming, Close> {
    Ok(match packet {
        five::v5::Packet::Connect(connect, _, login) => {
            let (user, password) =
                login.map_or_else(Default::default, |l| (l.username, l.password));
            let has_method = connect
                .properties
                .is_some_and(|p| p.authentication_method.is_some());
            Incoming::Connect(Connect {
                client_id: connect.client_id,
                is_clean: connect.clean_start,
                keep_alive: connect.keep_alive,
                user,
                password,
                has_method,
            })
        }
        five::v5::Packet::Publish(publish) => Incoming::Publish(Publish {
            topic: String::from_utf8(publish.topic.to_vec())
                .map_err(|_| Close::Protocol("it published to a topic that is no UTF-8".into()))?,
            pkid: publish.pkid,
            qos: match publish.qos {
                five::QoS::AtMostOnce => 0,
                five::QoS::AtLeastOnce => 1,
                five::QoS::ExactlyOnce => 2,
            },
            payload: publish.payload,
            has_alias: publish.properties.is_some_and(|p| p.topic_alias.is_some()),
        }),
        five::v5::Packet::PingReq(_) => Incoming::PingReq,
        five::v5::Packet::Subscribe(subscribe) => Incoming::Subscribe {
            pkid: subscribe.pkid,
            filters: subscribe.filters.len(),
        },
        five::v5::Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
            pkid: unsubscribe.pkid,
            filters: unsubscribe.filters.len(),
        },
        five::v5::Packet::Disconnect(_) => Incoming::Disconnect,
        _ => Incoming::Misplaced,
    })
}

/// Why a connection is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Version,
    ClientId,
    Credentials,
    Method,
}

impl Refusal {
    const fn code(self, version: Version) -> u8 {
        match (self, version) {
            (Self::Version, Version::V4) => 1,
            (Self::ClientId, Version::V4) => 2,
            (Self::Credentials, Version::V4) => 4,
            (Self::Method, Version::V4) => 5,
            (Self::Version, Version::V5) => 0x84,
            (Self::ClientId, Version::V5) => 0x85,
            (Self::Credentials, Version::V5) => 0x86,
            (Self::Method, Version::V5) => 0x8C,
        }
    }
}

/// Says no to a CONNECT.
pub(super) fn refused(version: Version, refusal: Refusal) -> Vec<u8> {
    let code = refusal.code(version);
    match version {
        Version::V4 => vec![0x20, 2, 0, code],
        Version::V5 => vec![0x20, 3, 0, code, 0],
    }
}

/// What we tell a client of MQTT 5 about us.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Unacknowledged messages at most.
    pub(super) receive_max: u16,
    /// Largest packet, bytes.
    pub(super) packet_max: u32,
    /// A client id for who has none.
    pub(super) client_id: Option<String>,
}

/// Says yes to a CONNECT.
pub(super) fn accepted(version: Version, is_session_present: bool, terms: &Terms) -> Vec<u8> {
    let present = u8::from(is_session_present);
    if version == Version::V4 {
        return vec![0x20, 2, present, 0];
    }
    // Receive maximum, largest packet, QoS 1 at most, and no subscriptions of any kind.
    let mut properties = vec![0x21];
    properties.extend_from_slice(&terms.receive_max.to_be_bytes());
    properties.push(0x27);
    properties.extend_from_slice(&terms.packet_max.to_be_bytes());
    properties.extend_from_slice(&[0x24, 1, 0x28, 0, 0x29, 0, 0x2A, 0]);
    if let Some(id) = &terms.client_id {
        // Made by us from a number: a few bytes.
        properties.push(0x12);
        properties.extend_from_slice(&u16::try_from(id.len()).unwrap_or(0).to_be_bytes());
        properties.extend_from_slice(id.as_bytes());
    }
    let len = u8::try_from(properties.len()).unwrap_or(0);
    let mut bytes = vec![0x20, len + 3, present, 0, len];
    bytes.extend_from_slice(&properties);
    bytes
}

/// PUBACK of a message that is durable; the same in both versions.
pub(super) fn acknowledged(pkid: u16) -> [u8; 4] {
    let [high, low] = pkid.to_be_bytes();
    [0x40, 2, high, low]
}

/// PUBACK of a message that may not be published (MQTT 5): not authorised.
pub(super) fn not_authorised(pkid: u16) -> [u8; 6] {
    let [high, low] = pkid.to_be_bytes();
    [0x40, 4, high, low, 0x87, 0]
}

pub(super) const PONG: [u8; 2] = [0xD0, 0];

/// SUBACK that refuses every filter, or UNSUBACK.
pub(super) fn unsubscribed(
    version: Version,
    is_subscribe: bool,
    pkid: u16,
    filters: usize,
) -> Vec<u8> {
    let mut body = pkid.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    match (version, is_subscribe) {
        (Version::V4, true) => body.resize(body.len() + filters, 0x80),
        (Version::V5, true) => body.resize(body.len() + filters, 0x87),
        (Version::V4, false) => {}
        // There was no subscription.
        (Version::V5, false) => body.resize(body.len() + filters, 0x11),
    }
    let mut bytes = vec![if is_subscribe { 0x90 } else { 0xB0 }];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).unwrap_or(0);
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&body);
    bytes
}

/// DISCONNECT with a reason, which only MQTT 5 has.
pub(super) fn disconnected(version: Version, close: &Close) -> Option<[u8; 4]> {
    (version == Version::V5).then(|| [0xE0, 2, close.reason(), 0])
}

/// The protocol level of a CONNECT whose first bytes are here; none if they are not a CONNECT, or
/// not enough.
pub(super) fn protocol_level(bytes: &[u8]) -> Option<u8> {
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

    #[test]
    fn our_answers_are_what_the_other_side_of_the_codec_reads() {
        let terms = Terms {
            receive_max: 64,
            packet_max: 300_000,
            client_id: Some("auto-7".into()),
        };
        let bytes = accepted(Version::V5, true, &terms);
        let packet = five::v5::Packet::read(&mut BytesMut::from(&bytes[..]), None).unwrap();
        let five::v5::Packet::ConnAck(ack) = packet else {
            panic!("{packet:?}")
        };
        let properties = ack.properties.unwrap();
        assert!(ack.session_present);
        assert_eq!(properties.receive_max, Some(64));
        assert_eq!(properties.max_packet_size, Some(300_000));
        assert_eq!(properties.max_qos, Some(1));
        assert_eq!(
            properties.assigned_client_identifier.as_deref(),
            Some("auto-7")
        );
        for filters in [1, 127, 200] {
            for is_subscribe in [true, false] {
                for version in [Version::V4, Version::V5] {
                    let bytes = unsubscribed(version, is_subscribe, 7, filters);
                    let mut stream = BytesMut::from(&bytes[..]);
                    match version {
                        Version::V4 => drop(v4::Packet::read(&mut stream, 10_000).unwrap()),
                        Version::V5 => drop(five::v5::Packet::read(&mut stream, None).unwrap()),
                    }
                    assert!(stream.is_empty());
                }
            }
        }
        let bytes = not_authorised(300);
        let packet = five::v5::Packet::read(&mut BytesMut::from(&bytes[..]), None).unwrap();
        let five::v5::Packet::PubAck(ack) = packet else {
            panic!("{packet:?}")
        };
        assert_eq!(ack.pkid, 300);
        assert_eq!(ack.reason, five::v5::PubAckReason::NotAuthorized);
        let bytes = disconnected(Version::V5, &Close::Displaced).unwrap();
        let packet = five::v5::Packet::read(&mut BytesMut::from(&bytes[..]), None).unwrap();
        assert!(matches!(packet, five::v5::Packet::Disconnect(_)));
        assert_eq!(disconnected(Version::V4, &Close::Displaced), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            protocol_level(&bytes);
            for version in [Version::V4, Version::V5] {
                let mut stream = BytesMut::from(&bytes[..]);
                // Each round consumes a frame or ends.
                while let Ok(Some(_)) = read(&mut stream, version, 1_000) {}
                prop_assert!(stream.len() <= bytes.len());
            }
        }

        #[test]
        fn no_frame_body_makes_the_parser_fall_over(
            kind in 1_u8..16, flags in 0_u8..16, body in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let len = u8::try_from(body.len()).unwrap();
            for version in [Version::V4, Version::V5] {
                let mut stream = BytesMut::from(&[kind << 4 | flags, len][..]);
                stream.extend_from_slice(&body);
                read(&mut stream, version, 1_000).ok();
                prop_assert!(stream.is_empty());
            }
        }

        /// Hostile properties: a CONNECT and a PUBLISH of MQTT 5 whose property bytes are noise.
        #[test]
        fn no_property_makes_the_parser_fall_over(
            is_connect in any::<bool>(), len in any::<u8>(),
            noise in prop::collection::vec(prop_oneof![0_u8..45, any::<u8>()], 0..80),
        ) {
            let head: &[u8] = if is_connect {
                &[0, 4, b'M', b'Q', b'T', b'T', 5, 0xC6, 0, 60]
            } else {
                &[0, 1, b'a', 0, 9]
            };
            let body = [head, &[len], &noise].concat();
            let first = if is_connect { 0x10 } else { 0x32 };
            let mut stream = BytesMut::from(&[first, u8::try_from(body.len()).unwrap()][..]);
            stream.extend_from_slice(&body);
            read(&mut stream, Version::V5, 1_000).ok();
            prop_assert!(stream.is_empty());
        }
    }
}
