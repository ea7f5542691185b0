//! How a frame's bytes are carried: as they are, as text, or inside a JSON message that tells the
//! device, the time and the radio values beside them (network servers of meters by radio, gateways).
//!
//! It is opened before the codec sees the frame. To the codec the envelope's device is the one the
//! transport stands for, and the envelope's time the time of arrival: so a frame that tells neither
//! takes both from the envelope, and what it does tell wins, unless the profile says otherwise.

use std::borrow::Cow;
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::field::in_item_order;
use crate::decode::file::{FileReader, RawField};
use crate::decode::json::scan;
use crate::decode::message::{
    self, Limits, Node, Paths, Pointer, RawTime, Slots, TimeSource, TreeField, with_slots,
};
use crate::decode::text::{from_base64, from_hex};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{Decoded, Item, ItemValue};

/// `[envelope]`, but for its fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnvelope {
    kind: RawKind,
    size_max_bytes: Option<usize>,
    depth_max: Option<usize>,
    payload: Option<Spanned<String>>,
    encoding: Option<Spanned<Encoding>>,
    device: Option<Spanned<String>>,
    device_encoding: Option<Spanned<NameEncoding>>,
    device_from: Option<Spanned<Side>>,
    time: Option<Spanned<RawTime>>,
    time_from: Option<Spanned<Side>>,
    port: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    /// The bytes are the frame.
    Raw,
    /// The bytes are the frame as hexadecimal text.
    Hex,
    /// The bytes are the frame as base64 text.
    Base64,
    /// The frame is a text in a JSON object.
    Json,
}

/// How a text carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Hex,
    Base64,
    /// The text is the frame.
    Text,
}

/// How an envelope writes the device's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NameEncoding {
    /// The text is the name.
    #[default]
    Text,
    /// The name is the bytes of this text in lower-case hexadecimal.
    Base64,
}

/// Who is believed where both tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Frame,
    Envelope,
}

/// How the frames of one profile are carried.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Envelope {
    limits: Limits,
    kind: Kind,
    sides: Sides,
}

/// Who is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sides {
    /// None: a device named differently inside and outside is refused.
    device_from: Option<Side>,
    time_from: Side,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Text(Encoding),
    Json(Box<JsonEnvelope>),
}

#[derive(Debug, Clone, PartialEq)]
struct JsonEnvelope {
    paths: Paths,
    payload: Pointer,
    encoding: Encoding,
    device: Option<(Pointer, NameEncoding)>,
    time: Option<TimeSource>,
    port: Option<Pointer>,
    fields: Vec<TreeField>,
}

/// What an envelope held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opened<'a> {
    /// The frame.
    pub(super) bytes: Cow<'a, [u8]>,
    /// The port a network server received it on.
    pub(super) port: Option<u64>,
    device: Option<DeviceId>,
    time: Option<DateTime<Utc>>,
    values: Vec<(Item, ItemValue)>,
}

/// Reads `[envelope]`. The outer none is a mistake; the inner one, a frame that is carried as it is.
#[expect(
    clippy::option_option,
    reason = "a mistake and an absent table are two things"
)]
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<Option<Envelope>> {
    let Some(value) = table.remove("envelope") else {
        return Some(None);
    };
    let span = value.span();
    let DeValue::Table(mut inner) = value.into_inner() else {
        reader.problem(
            Some(span),
            problem::VALUE,
            "`envelope` is no table",
            "write [envelope]",
        );
        return None;
    };
    let raw_fields = reader.all::<RawField>(&mut inner, "field");
    let raw: RawEnvelope = reader.read(Spanned::new(span.clone(), DeValue::Table(inner)))?;
    let limits = Limits::check(reader, "envelope", raw.size_max_bytes, raw.depth_max);
    let sides = Sides {
        device_from: raw.device_from.as_ref().map(|side| *side.get_ref()),
        time_from: raw
            .time_from
            .as_ref()
            .map_or(Side::Frame, |side| *side.get_ref()),
    };
    let encoding = match raw.kind {
        RawKind::Json => {
            let json = json(reader, span, raw, raw_fields)?;
            return Some(Some(Envelope {
                limits,
                kind: Kind::Json(Box::new(json)),
                sides,
            }));
        }
        RawKind::Raw => None,
        RawKind::Hex => Some(Encoding::Hex),
        RawKind::Base64 => Some(Encoding::Base64),
    };
    only_json(reader, &raw, &raw_fields);
    Some(encoding.map(|encoding| Envelope {
        limits,
        kind: Kind::Text(encoding),
        sides,
    }))
}

/// A text has nothing beside the frame.
fn only_json(reader: &mut FileReader<'_>, raw: &RawEnvelope, fields: &[(Range<usize>, RawField)]) {
    let keys = [
        ("payload", raw.payload.as_ref().map(Spanned::span)),
        ("encoding", raw.encoding.as_ref().map(Spanned::span)),
        ("device", raw.device.as_ref().map(Spanned::span)),
        (
            "device_encoding",
            raw.device_encoding.as_ref().map(Spanned::span),
        ),
        ("device_from", raw.device_from.as_ref().map(Spanned::span)),
        ("time", raw.time.as_ref().map(Spanned::span)),
        ("time_from", raw.time_from.as_ref().map(Spanned::span)),
        ("port", raw.port.as_ref().map(Spanned::span)),
        ("field", fields.first().map(|(span, _)| span.clone())),
    ];
    for (key, span) in keys {
        if let Some(span) = span {
            reader.problem(
                Some(span),
                problem::KEY,
                format!("envelope has `{key}`, which only kind = \"json\" knows"),
                "remove it, or write kind = \"json\"",
            );
        }
    }
}

fn json(
    reader: &mut FileReader<'_>,
    span: Range<usize>,
    raw: RawEnvelope,
    raw_fields: Vec<(Range<usize>, RawField)>,
) -> Option<JsonEnvelope> {
    let mut paths = Paths::default();
    let mut pointer = |reader: &mut FileReader<'_>, at: &Spanned<String>| {
        message::pointer(reader, &mut paths, at)
    };
    let payload = raw.payload.as_ref().and_then(|at| pointer(reader, at));
    let device = raw.device.as_ref().and_then(|at| pointer(reader, at));
    let port = raw.port.as_ref().and_then(|at| pointer(reader, at));
    if raw.payload.is_none() || raw.encoding.is_none() {
        reader.problem(
            Some(span),
            problem::VALUE,
            "envelope does not say where the frame is and how it is written",
            "add payload, a JSON pointer such as \"/data\", and encoding = \"base64\", \"hex\" or \"text\"",
        );
    }
    for (side, told, what) in [
        (&raw.device_from, raw.device.is_some(), "device"),
        (&raw.time_from, raw.time.is_some(), "time"),
    ] {
        if let Some(side) = side
            && *side.get_ref() == Side::Envelope
            && !told
        {
            reader.problem(
                Some(side.span()),
                problem::VALUE,
                format!("envelope is to tell the {what} but does not say where"),
                format!("add {what}"),
            );
        }
    }
    if let (Some(encoding), None) = (&raw.device_encoding, &raw.device) {
        reader.problem(
            Some(encoding.span()),
            problem::VALUE,
            "envelope says how the device's name is written but not where",
            "add device, a JSON pointer",
        );
    }
    let name_encoding = raw
        .device_encoding
        .map(Spanned::into_inner)
        .unwrap_or_default();
    let time = raw
        .time
        .and_then(|time| message::compile_time(reader, &mut paths, time));
    let checked = raw_fields
        .into_iter()
        .filter_map(|(_, raw)| {
            let span = raw.name.span();
            message::compile_field(reader, &mut paths, "envelope", raw).map(|f| (span, f))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &TreeField| f.field.item);
    Some(JsonEnvelope {
        payload: payload?,
        encoding: raw.encoding?.into_inner(),
        device: device.map(|at| (at, name_encoding)),
        time,
        port,
        fields,
        paths,
    })
}

impl Envelope {
    /// Whether frames come inside JSON.
    pub(super) const fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json(_))
    }

    /// The frame and what is told beside it.
    ///
    /// # Errors
    /// Why there is no frame to be had.
    pub(super) fn open<'a>(&self, bytes: &'a [u8]) -> Result<Opened<'a>, RejectReason> {
        self.limits.admit(bytes.len(), "envelope")?;
        match &self.kind {
            Kind::Text(encoding) => Ok(Opened {
                bytes: encoding.bytes(Cow::Borrowed(bytes))?,
                port: None,
                device: None,
                time: None,
                values: Vec::new(),
            }),
            Kind::Json(json) => json.open(bytes, self.limits.depth_max),
        }
    }

    /// What frame and envelope say together.
    ///
    /// # Errors
    /// `decode.device_conflict` where they name two devices and the profile believes neither.
    pub(super) fn merge(
        &self,
        opened: Opened<'_>,
        mut decoded: Decoded,
    ) -> Result<Decoded, RejectReason> {
        decoded.device = match (decoded.device, opened.device) {
            (Some(inner), Some(outer)) => match self.sides.device_from {
                Some(Side::Frame) => Some(inner),
                Some(Side::Envelope) => Some(outer),
                None if inner == outer => Some(inner),
                None => {
                    return Err(RejectReason::new(
                        reject::DEVICE_CONFLICT,
                        "frame and envelope name different devices; \
                         if that is right, say in envelope.device_from which of them counts",
                    ));
                }
            },
            (inner, outer) => inner.or(outer),
        };
        if let (Side::Envelope, Some(time)) = (self.sides.time_from, opened.time) {
            decoded.sampled_at = time;
        }
        for (item, value) in opened.values {
            if let Err(at) = decoded.values.binary_search_by_key(&item, |(i, _)| *i) {
                decoded.values.insert(at, (item, value));
            }
        }
        Ok(decoded)
    }
}

impl Opened<'_> {
    /// What a codec knows beside the frame's bytes.
    pub(super) fn context<'c>(&'c self, outer: &DecodeContext<'c>) -> DecodeContext<'c> {
        DecodeContext {
            received_at: self.time.unwrap_or(outer.received_at),
            device: self.device.as_ref().or(outer.device),
            keys: outer.keys,
        }
    }
}

impl Encoding {
    fn bytes(self, text: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, RejectReason> {
        match self {
            Self::Hex => from_hex(&text).map(Cow::Owned),
            Self::Base64 => from_base64(&text).map(Cow::Owned),
            Self::Text => Ok(text),
        }
    }
}

impl JsonEnvelope {
    fn open<'a>(&self, bytes: &'a [u8], depth_max: usize) -> Result<Opened<'a>, RejectReason> {
        with_slots(&self.paths, |slots| {
            scan(bytes, depth_max, &self.paths, slots)?;
            let frame = slots
                .get_mut(self.payload.slot())
                .map(std::mem::take)
                .unwrap_or_default();
            let slots = Slots(slots);
            let device = match &self.device {
                Some((at, encoding)) => device_in(slots.get(at), at, *encoding)?,
                None => None,
            };
            let time = match &self.time {
                Some(time) => time.if_there(slots)?,
                None => None,
            };
            let mut values = Vec::with_capacity(self.fields.len());
            for field in &self.fields {
                if let Some(value) = field.value(slots)? {
                    values.push((field.field.item, value));
                }
            }
            let port = match self.port.as_ref().and_then(|at| slots.get(at)) {
                Some(Node::Int(port)) => u64::try_from(*port).ok(),
                _ => None,
            };
            Ok(Opened {
                bytes: self.frame(frame)?,
                port,
                device,
                time,
                values,
            })
        })
    }

    fn frame<'a>(&self, node: Node<'a>) -> Result<Cow<'a, [u8]>, RejectReason> {
        let text = match node {
            Node::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            Node::Text(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
            Node::Null => {
                return Err(RejectReason::new(
                    reject::MISSING,
                    format!("the message carries no frame at {}", self.payload),
                ));
            }
            other => {
                return Err(RejectReason::new(
                    reject::TYPE,
                    format!(
                        "the frame at {} is {}; expected a string",
                        self.payload,
                        other.kind()
                    ),
                ));
            }
        };
        self.encoding.bytes(text)
    }
}

/// The device's name in an envelope.
fn device_in(
    node: Option<&Node<'_>>,
    at: &Pointer,
    encoding: NameEncoding,
) -> Result<Option<DeviceId>, RejectReason> {
    match (node, encoding) {
        (None, _) => Ok(None),
        (Some(node), NameEncoding::Text) => message::device(node).map(Some),
        (Some(Node::Text(text)), NameEncoding::Base64) => {
            let bytes = from_base64(text.as_bytes()).map_err(|_| {
                RejectReason::new(
                    reject::DEVICE,
                    format!("the device's name at {at} is no base64 text"),
                )
            })?;
            message::device_name(&hex::encode(bytes)).map(Some)
        }
        (Some(node), NameEncoding::Base64) => Err(RejectReason::new(
            reject::DEVICE,
            format!(
                "the device's name at {at} is {}; expected base64 text",
                node.kind()
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
