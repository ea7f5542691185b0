//! The two versions of MQTT at the edge: packets in, packets out, in words of our own.
//!
//! rumqttc reads and writes the packets of both versions; what lies behind this file knows only
//! one protocol.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use rumqttc::v5::mqttbytes::{Error as V5Error, QoS as V5QoS};
use rumqttc::{QoS, SubscribeFilter};

use crate::settings::MqttVersion;

/// Sizes are checked by [`super::reader`] before rumqttc sees a packet.
const ANY_SIZE: usize = 256 * 1024 * 1024;

/// A packet that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// Other than a message, which is cut.
    #[error("a packet of {0} bytes")]
    TooLarge(usize),
    /// Not MQTT, or not as agreed.
    #[error("{0}")]
    Malformed(String),
}

/// A message delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) pkid: u16,
    pub(super) qos: u8,
    pub(super) is_duplicate: bool,
    pub(super) is_retained: bool,
    /// The payload, or its beginning.
    pub(super) payload: Bytes,
    /// Length of the whole payload, bytes.
    pub(super) len: usize,
}

/// What the broker answers to one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    Qos(u8),
    /// In words, with the reason code.
    Refused(String),
}

/// What kind of refusal a CONNACK is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalKind {
    Credentials,
    ClientId,
    Version,
    Other,
}

/// A CONNACK that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    /// In words, with the broker's own reason where it gives one.
    pub(super) text: String,
}

/// A CONNACK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Accepted {
    pub(super) has_session: bool,
    /// What the broker imposes; MQTT 5 only.
    pub(super) limits: Limits,
}

/// What a broker of MQTT 5 imposes on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Limits {
    pub(super) session_expiry_s: Option<u32>,
    pub(super) qos_max: Option<u8>,
    pub(super) keep_alive_s: Option<u16>,
    pub(super) receive_max: Option<u16>,
    pub(super) lacks_wildcards: bool,
    pub(super) lacks_shared: bool,
}

/// Why the broker ends a connection; MQTT 5 only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) is_taken_over: bool,
    /// In words, with the broker's own reason where it gives one.
    pub(super) text: String,
}

/// A packet of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    ConnAck(Result<Accepted, Refusal>),
    Message(Message),
    SubAck {
        pkid: u16,
        grants: Vec<Grant>,
    },
    UnsubAck {
        pkid: u16,
    },
    PubAck {
        pkid: u16,
    },
    Pong,
    Disconnect(Farewell),
    /// Nothing a broker sends to such a client.
    Unexpected(&'static str),
}

/// How we introduce ourselves.
#[derive(Clone)]
pub(super) struct Hello {
    pub(super) client_id: String,
    /// Begin without a session, and leave none behind.
    pub(super) is_clean: bool,
    pub(super) keep_alive_s: u16,
    pub(super) session_expiry_s: u32,
    pub(super) receive_max: u16,
    pub(super) login: Option<(String, String)>,
}

/// `SessionTakenOver` as `session taken over`.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn with_reason(code: &impl std::fmt::Debug, reason: Option<&str>) -> String {
    let words = words(&format!("{code:?}"));
    match reason {
        Some(reason) if !reason.is_empty() => format!("{words}: {reason}"),
        _ => words,
    }
}

/// Reads one whole packet from the front of `bytes`.
pub(super) fn decode(version: MqttVersion, bytes: &mut BytesMut) -> Result<Incoming, WireError> {
    match version {
        MqttVersion::V311 => v4::Packet::read(bytes, ANY_SIZE)
            .map(from_v4)
            .map_err(|error| WireError::Malformed(error.to_string())),
        MqttVersion::V5 => {
            // A farewell without a reason has no body, which the library takes for an error.
            if bytes.starts_with(&[0xe0, 0]) {
                bytes.advance(2);
                return Ok(Incoming::Disconnect(Farewell {
                    is_taken_over: false,
                    text: "normal disconnection".into(),
                }));
            }
            v5::Packet::read(bytes, None)
                .map_err(|error: V5Error| WireError::Malformed(error.to_string()))
                .and_then(from_v5)
        }
    }
}

fn from_v4(packet: v4::Packet) -> Incoming {
    match packet {
        v4::Packet::Publish(publish) => Incoming::Message(Message {
            topic: publish.topic,
            pkid: publish.pkid,
            qos: publish.qos as u8,
            is_duplicate: publish.dup,
            is_retained: publish.retain,
            len: publish.payload.len(),
            payload: publish.payload,
        }),
        v4::Packet::ConnAck(connack) => Incoming::ConnAck(match connack.code {
            v4::ConnectReturnCode::Success => Ok(Accepted {
                has_session: connack.session_present,
                limits: Limits::default(),
            }),
            code => Err(Refusal {
                kind: match code {
                    v4::ConnectReturnCode::BadUserNamePassword
                    | v4::ConnectReturnCode::NotAuthorized => RefusalKind::Credentials,
                    v4::ConnectReturnCode::BadClientId => RefusalKind::ClientId,
                    v4::ConnectReturnCode::RefusedProtocolVersion => RefusalKind::Version,
                    _ => RefusalKind::Other,
                },
                text: with_reason(&code, None),
            }),
        }),
        v4::Packet::SubAck(suback) => Incoming::SubAck {
            pkid: suback.pkid,
            grants: suback
                .return_codes
                .into_iter()
                .map(|code| match code {
                    v4::SubscribeReasonCode::Success(qos) => Grant::Qos(qos as u8),
                    v4::SubscribeReasonCode::Failure => Grant::Refused("failure".into()),
                })
                .collect(),
        },
        v4::Packet::UnsubAck(unsuback) => Incoming::UnsubAck {
            pkid: unsuback.pkid,
        },
        v4::Packet::PubAck(puback) => Incoming::PubAck { pkid: puback.pkid },
        v4::Packet::PingResp => Incoming::Pong,
        v4::Packet::Disconnect => Incoming::Unexpected("DISCONNECT, which 3.1.1 does not know"),
        v4::Packet::PubRec(_) | v4::Packet::PubRel(_) | v4::Packet::PubComp(_) => {
            Incoming::Unexpected("a packet of QoS 2")
        }
        v4::Packet::Connect(_)
        | v4::Packet::Subscribe(_)
        | v4::Packet::Unsubscribe(_)
        | v4::Packet::PingReq => Incoming::Unexpected("a packet that only clients send"),
    }
}

fn from_v5(packet: v5::Packet) -> Result<Incoming, WireError> {
    Ok(match packet {
        v5::Packet::Publish(publish) => {
            if publish.topic.is_empty() {
                return Err(WireError::Malformed(
                    "a message with a topic alias, which we did not allow".into(),
                ));
            }
            let topic = std::str::from_utf8(&publish.topic)
                .map_err(|_| WireError::Malformed("a topic that is not UTF-8".into()))?;
            Incoming::Message(Message {
                topic: topic.to_owned(),
                pkid: publish.pkid,
                qos: publish.qos as u8,
                is_duplicate: publish.dup,
                is_retained: publish.retain,
                len: publish.payload.len(),
                payload: publish.payload,
            })
        }
        v5::Packet::ConnAck(connack) => Incoming::ConnAck(connected_v5(&connack)),
        v5::Packet::SubAck(suback) => {
            let reason = suback
                .properties
                .as_ref()
                .and_then(|p| p.reason_string.clone());
            let grants = suback.return_codes.iter().map(|code| match code {
                v5::SubscribeReasonCode::Success(qos) => Grant::Qos(*qos as u8),
                code => Grant::Refused(with_reason(code, reason.as_deref())),
            });
            Incoming::SubAck {
                pkid: suback.pkid,
                grants: grants.collect(),
            }
        }
        v5::Packet::UnsubAck(unsuback) => Incoming::UnsubAck {
            pkid: unsuback.pkid,
        },
        v5::Packet::PubAck(puback) => Incoming::PubAck { pkid: puback.pkid },
        v5::Packet::PingResp(_) => Incoming::Pong,
        v5::Packet::Disconnect(disconnect) => {
            let reason = disconnect
                .properties
                .as_ref()
                .and_then(|p| p.reason_string.as_deref());
            Incoming::Disconnect(Farewell {
                is_taken_over: disconnect.reason_code == v5::DisconnectReasonCode::SessionTakenOver,
                text: with_reason(&disconnect.reason_code, reason),
            })
        }
        v5::Packet::Auth(_) => Incoming::Unexpected("AUTH, which we did not ask for"),
        v5::Packet::PubRec(_) | v5::Packet::PubRel(_) | v5::Packet::PubComp(_) => {
            Incoming::Unexpected("a packet of QoS 2")
        }
        v5::Packet::Connect(..)
        | v5::Packet::Subscribe(_)
        | v5::Packet::Unsubscribe(_)
        | v5::Packet::PingReq(_) => Incoming::Unexpected("a packet that only clients send"),
    })
}

fn connected_v5(connack: &v5::ConnAck) -> Result<Accepted, Refusal> {
    use v5::ConnectReturnCode as Code;
    let properties = connack.properties.as_ref();
    if connack.code != Code::Success {
        return Err(Refusal {
            kind: match connack.code {
                Code::BadUserNamePassword
                | Code::NotAuthorized
                | Code::BadAuthenticationMethod
                | Code::Banned => RefusalKind::Credentials,
                Code::BadClientId | Code::ClientIdentifierNotValid => RefusalKind::ClientId,
                Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
                    RefusalKind::Version
                }
                _ => RefusalKind::Other,
            },
            text: with_reason(
                &connack.code,
                properties.and_then(|p| p.reason_string.as_deref()),
            ),
        });
    }
    let limits = properties.map_or_else(Limits::default, |p| Limits {
        session_expiry_s: p.session_expiry_interval,
        qos_max: p.max_qos,
        keep_alive_s: p.server_keep_alive,
        receive_max: p.receive_max,
        lacks_wildcards: p.wildcard_subscription_available == Some(0),
        lacks_shared: p.shared_subscription_available == Some(0),
    });
    Ok(Accepted {
        has_session: connack.session_present,
        limits,
    })
}

/// Appends packets of ours to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) version: MqttVersion,
    pub(super) into: &'a mut BytesMut,
}

impl Writer<'_> {
    fn v4(&mut self, packet: &v4::Packet) -> Result<(), WireError> {
        packet
            .write(self.into, ANY_SIZE)
            .map(|_| ())
            .map_err(|error| WireError::Malformed(error.to_string()))
    }

    fn v5(&mut self, packet: &v5::Packet) -> Result<(), WireError> {
        packet
            .write(self.into, None)
            .map(|_| ())
            .map_err(|error| WireError::Malformed(error.to_string()))
    }

    pub(super) fn connect(&mut self, hello: &Hello) -> Result<(), WireError> {
        match self.version {
            MqttVersion::V311 => {
                let mut connect = v4::Connect::new(&hello.client_id);
                connect.keep_alive = hello.keep_alive_s;
                connect.clean_session = hello.is_clean;
                if let Some((username, password)) = &hello.login {
                    connect.set_login(username, password);
                }
                self.v4(&v4::Packet::Connect(connect))
            }
            MqttVersion::V5 => {
                let mut properties = v5::ConnectProperties::new();
                properties.receive_maximum = Some(hello.receive_max);
                properties.request_problem_info = Some(1);
                if !hello.is_clean {
                    properties.session_expiry_interval = Some(hello.session_expiry_s);
                }
                // No maximum packet size: a broker drops what exceeds it without a word, while we
                // keep its beginning among the rejected frames.
                let connect = v5::Connect {
                    keep_alive: hello.keep_alive_s,
                    client_id: hello.client_id.clone(),
                    clean_start: hello.is_clean,
                    properties: Some(properties),
                };
                let login = hello.login.as_ref().map(|(username, password)| v5::Login {
                    username: username.clone(),
                    password: password.clone(),
                });
                self.v5(&v5::Packet::Connect(connect, None, login))
            }
        }
    }

    /// Asks for `filters` at `QoS` 1.
    pub(super) fn subscribe<'f>(
        &mut self,
        pkid: u16,
        filters: impl Iterator<Item = &'f str>,
    ) -> Result<(), WireError> {
        match self.version {
            MqttVersion::V311 => {
                let filters = filters.map(|f| SubscribeFilter::new(f.to_owned(), QoS::AtLeastOnce));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = pkid;
                self.v4(&v4::Packet::Subscribe(subscribe))
            }
            MqttVersion::V5 => {
                let filters = filters.map(|f| {
                    let mut filter = v5::Filter::new(f, V5QoS::AtLeastOnce);
                    // Subscribing again after a reconnect must not bring old values again. A
                    // shared subscription has no retained messages at all.
                    filter.retain_forward_rule = v5::RetainForwardRule::OnNewSubscribe;
                    filter
                });
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = pkid;
                self.v5(&v5::Packet::Subscribe(subscribe))
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, pkid: u16, filters: &[String]) -> Result<(), WireError> {
        match self.version {
            MqttVersion::V311 => self.v4(&v4::Packet::Unsubscribe(v4::Unsubscribe {
                pkid,
                topics: filters.to_vec(),
            })),
            MqttVersion::V5 => self.v5(&v5::Packet::Unsubscribe(v5::Unsubscribe {
                pkid,
                filters: filters.to_vec(),
                properties: None,
            })),
        }
    }

    /// Acknowledges a message: the short form, which both versions share.
    pub(super) fn acknowledge(&mut self, pkid: u16) {
        self.into.put_slice(&[0x40, 2]);
        self.into.put_u16(pkid);
    }

    /// Publishes a message of the doctor's self-test at `QoS` 1: the one thing ever published from
    /// this side, on a topic of its own that no meter reads.
    pub(super) fn probe_message(
        &mut self,
        pkid: u16,
        topic: &str,
        payload: &[u8],
    ) -> Result<(), WireError> {
        match self.version {
            MqttVersion::V311 => {
                let mut message = v4::Publish::new(topic, QoS::AtLeastOnce, payload);
                message.pkid = pkid;
                self.v4(&v4::Packet::Publish(message))
            }
            MqttVersion::V5 => {
                let payload = Bytes::copy_from_slice(payload);
                let mut message = v5::Publish::new(topic, V5QoS::AtLeastOnce, payload, None);
                message.pkid = pkid;
                self.v5(&v5::Packet::Publish(message))
            }
        }
    }

    /// Asks for a sign of life: no version, no body.
    pub(super) fn ping(&mut self) {
        self.into.put_slice(&[0xc0, 0]);
    }

    /// Says goodbye; the session stays unless it was clean. No body means no reason in both
    /// versions.
    pub(super) fn goodbye(&mut self) {
        self.into.put_slice(&[0xe0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_codes_read_as_words() {
        assert_eq!(words("SessionTakenOver"), "session taken over");
        assert_eq!(
            with_reason(&v5::DisconnectReasonCode::ServerBusy, Some("later")),
            "server busy: later"
        );
    }

    #[test]
    fn both_versions_tell_of_a_refusal_in_the_same_words() {
        let v4 = &b"\x20\x02\x00\x05"[..];
        let v5 = &b"\x20\x0a\x00\x87\x07\x1f\x00\x04no: "[..];
        let read = |version, bytes: &[u8]| decode(version, &mut BytesMut::from(bytes));
        for (version, bytes, text) in [
            (MqttVersion::V311, v4, "not authorized"),
            (MqttVersion::V5, v5, "not authorized: no: "),
        ] {
            let Ok(Incoming::ConnAck(Err(refusal))) = read(version, bytes) else {
                panic!("{version} is no refusal");
            };
            assert_eq!(refusal.kind, RefusalKind::Credentials);
            assert_eq!(refusal.text, text);
        }
    }

    #[test]
    fn a_session_taken_over_is_recognised() {
        let mut bytes = BytesMut::from(&b"\xe0\x02\x8e\x00"[..]);
        let Ok(Incoming::Disconnect(farewell)) = decode(MqttVersion::V5, &mut bytes) else {
            panic!("no farewell");
        };
        assert!(farewell.is_taken_over);
        let mut bytes = BytesMut::from(&b"\xe0\x00"[..]);
        let read = decode(MqttVersion::V5, &mut bytes);
        assert!(matches!(read, Ok(Incoming::Disconnect(f)) if !f.is_taken_over));
    }

    #[test]
    fn an_acknowledgement_is_what_the_library_writes() {
        for version in [MqttVersion::V311, MqttVersion::V5] {
            let mut ours = BytesMut::new();
            Writer {
                version,
                into: &mut ours,
            }
            .acknowledge(513);
            let mut theirs = BytesMut::new();
            v4::Packet::PubAck(v4::PubAck::new(513))
                .write(&mut theirs, ANY_SIZE)
                .unwrap();
            assert_eq!(ours, theirs);
            let mut theirs = BytesMut::new();
            v5::Packet::PubAck(v5::PubAck::new(513, None))
                .write(&mut theirs, None)
                .unwrap();
            assert_eq!(ours, theirs);
        }
    }
}
