//! From bytes to packets, with a bound on what one packet may hold in memory.
//!
//! A message larger than the limit is read to its end but only its beginning is kept. Refusing to
//! read it would be worse: the broker would deliver it again after each reconnect, and nothing
//! behind it would ever come.

use bytes::{Buf as _, Bytes, BytesMut};

use super::wire::{self, Incoming, Message, WireError};
use crate::settings::MqttVersion;

/// Room for one read: some three hundred messages of 210 bytes.
const READ_BYTES: usize = 64 * 1024;

/// A topic, at most, and what stands around it.
const HEADER_MAX_BYTES: usize = 65_535 + 2 + 2 + 5;

/// Bytes of the broker, and the packets in them.
#[derive(Debug)]
pub(super) struct Reader {
    version: MqttVersion,
    payload_max: usize,
    unread: BytesMut,
    /// A message whose end is being skipped, and how many bytes of it are to come.
    oversize: Option<(Message, usize)>,
}

/// The fixed header: kind and flags, its own length, and that of what follows.
struct Header {
    first: u8,
    len: usize,
    body: usize,
}

impl Reader {
    pub(super) fn new(version: MqttVersion, payload_max: usize) -> Self {
        Self {
            version,
            payload_max,
            unread: BytesMut::with_capacity(READ_BYTES),
            oversize: None,
        }
    }

    /// Where the next bytes go; there is always room.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        // A new buffer at a time, not a few bytes: what was handed on keeps the old one alive.
        if self.unread.capacity() - self.unread.len() < READ_BYTES / 16 {
            self.unread.reserve(READ_BYTES);
        }
        &mut self.unread
    }

    /// The next whole packet, if it has come in.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, WireError> {
        if self.oversize.is_some() {
            return Ok(self.skip());
        }
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let len = header.len + header.body;
        let len_max = self.payload_max.saturating_add(HEADER_MAX_BYTES);
        if len <= len_max {
            if self.unread.len() < len {
                return Ok(None);
            }
            return wire::decode(self.version, &mut self.unread).map(Some);
        }
        if header.first >> 4 != 3 {
            return Err(WireError::TooLarge(len));
        }
        if self.unread.len() < len_max {
            return Ok(None);
        }
        let message = self.cut(&header)?;
        let to_come = len.saturating_sub(self.unread.len());
        self.unread.advance(self.unread.len().min(len));
        self.oversize = Some((message, to_come));
        Ok(self.skip())
    }

    fn skip(&mut self) -> Option<Incoming> {
        let (message, to_come) = self.oversize.take()?;
        let skipped = self.unread.len().min(to_come);
        self.unread.advance(skipped);
        if skipped < to_come {
            self.oversize = Some((message, to_come - skipped));
            return None;
        }
        Some(Incoming::Message(message))
    }

    fn header(&self) -> Result<Option<Header>, WireError> {
        let Some(first) = self.unread.first() else {
            return Ok(None);
        };
        let Some((len, body)) = varint(self.unread.get(1..).unwrap_or_default())? else {
            return Ok(None);
        };
        Ok(Some(Header {
            first: *first,
            len: 1 + len,
            body,
        }))
    }

    /// The beginning of a message too large to keep, read by hand.
    fn cut(&self, header: &Header) -> Result<Message, WireError> {
        let broken = || WireError::Malformed("a message whose header does not end".into());
        let mut rest = self.unread.get(header.len..).ok_or_else(broken)?;
        let topic_len = usize::from(rest.try_get_u16().map_err(|_| broken())?);
        let (topic, after) = rest.split_at_checked(topic_len).ok_or_else(broken)?;
        let topic = std::str::from_utf8(topic)
            .map_err(|_| WireError::Malformed("a topic that is not UTF-8".into()))?;
        rest = after;
        let qos = (header.first & 0b0110) >> 1;
        let pkid = if qos == 0 {
            0
        } else {
            rest.try_get_u16().map_err(|_| broken())?
        };
        if self.version == MqttVersion::V5 {
            let (width, properties) = varint(rest)?.ok_or_else(broken)?;
            // Properties longer than what we keep leave nothing of the payload.
            rest = rest.get(width + properties..).unwrap_or_default();
        }
        let head = rest.get(..self.payload_max).unwrap_or(rest);
        let before = self.unread.len() - rest.len();
        Ok(Message {
            topic: topic.to_owned(),
            pkid,
            qos,
            is_duplicate: header.first & 0b1000 != 0,
            is_retained: header.first & 1 != 0,
            payload: Bytes::copy_from_slice(head),
            len: (header.len + header.body).saturating_sub(before),
        })
    }
}

/// A length of one to four bytes: its width and value, if it is all there.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 1, value)));
        }
    }
    if bytes.len() >= 4 {
        return Err(WireError::Malformed(
            "a length of more than four bytes".into(),
        ));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;
    use proptest::prelude::*;
    use rumqttc::QoS;
    use rumqttc::mqttbytes::v4;
    use rumqttc::v5::mqttbytes::{QoS as V5QoS, v5};

    use super::*;

    fn publish(version: MqttVersion, pkid: u16, payload: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        match version {
            MqttVersion::V311 => {
                let mut publish = v4::Publish::new("gas/1", QoS::AtLeastOnce, payload);
                publish.pkid = pkid;
                v4::Packet::Publish(publish)
                    .write(&mut bytes, usize::MAX)
                    .unwrap();
            }
            MqttVersion::V5 => {
                let properties = v5::PublishProperties {
                    user_properties: vec![("a".into(), "b".repeat(200))],
                    ..v5::PublishProperties::default()
                };
                let mut publish = v5::Publish::new(
                    "gas/1",
                    V5QoS::AtLeastOnce,
                    payload.to_vec(),
                    Some(properties),
                );
                publish.pkid = pkid;
                v5::Packet::Publish(publish)
                    .write(&mut bytes, None)
                    .unwrap();
            }
        }
        bytes
    }

    /// Feeds `bytes` in pieces and collects what comes out.
    fn read_all(
        version: MqttVersion,
        payload_max: usize,
        bytes: &[u8],
        piece: usize,
    ) -> Vec<Incoming> {
        let mut reader = Reader::new(version, payload_max);
        let mut out = Vec::new();
        for part in bytes.chunks(piece) {
            reader.buffer().put_slice(part);
            while let Some(packet) = reader.next().unwrap() {
                out.push(packet);
            }
        }
        out
    }

    #[test]
    fn an_oversize_message_is_cut_and_what_follows_is_read() {
        for version in [MqttVersion::V311, MqttVersion::V5] {
            let mut bytes = publish(version, 7, &vec![b'x'; 300_000]);
            bytes.put_slice(&publish(version, 8, b"next"));
            for piece in [1_000, 65_536, 400_000] {
                let read = read_all(version, 1_000, &bytes, piece);
                let [Incoming::Message(cut), Incoming::Message(next)] = read.as_slice() else {
                    panic!("{read:?}");
                };
                assert_eq!((cut.pkid, cut.payload.len(), cut.len), (7, 1_000, 300_000));
                assert_eq!(cut.topic, "gas/1");
                assert_eq!((next.pkid, next.payload.as_ref()), (8, &b"next"[..]));
            }
        }
    }

    #[test]
    fn packets_come_whole_however_the_bytes_are_cut() {
        for version in [MqttVersion::V311, MqttVersion::V5] {
            let mut bytes = BytesMut::new();
            for pkid in 1..=20 {
                bytes.put_slice(&publish(version, pkid, &[b'y'; 150]));
            }
            for piece in [1, 7, 1_000, 100_000] {
                let read = read_all(version, 1_000, &bytes, piece);
                let pkids: Vec<u16> = read
                    .iter()
                    .map(|packet| match packet {
                        Incoming::Message(message) => message.pkid,
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert_eq!(pkids, (1..=20).collect::<Vec<u16>>());
            }
        }
    }

    #[test]
    fn other_packets_may_not_be_large() {
        let mut reader = Reader::new(MqttVersion::V311, 1_000);
        reader.buffer().put_slice(b"\x90\xff\xff\xff\x7f");
        assert!(matches!(reader.next(), Err(WireError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..600), piece in 1_usize..50) {
            for version in [MqttVersion::V311, MqttVersion::V5] {
                let mut reader = Reader::new(version, 16);
                'feed: for part in bytes.chunks(piece) {
                    reader.buffer().put_slice(part);
                    loop {
                        match reader.next() {
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(_) => break 'feed,
                        }
                    }
                }
            }
        }
    }
}
