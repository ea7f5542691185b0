//! Bodies to messages: one, an array of them, or one a line.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, Utc};
use serde::Deserialize;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{BodyError, cbor};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;

/// Longest message, bytes: a meter's array of a month is some kilobytes, and a refused message is kept.
pub(super) const MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// Longest name of a device, characters.
const DEVICE_NAME_MAX: usize = 64;

/// What a body holds, as its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/json`: an object, or an array of objects.
    Json,
    /// `application/x-ndjson`: an object a line.
    Ndjson,
    /// `application/cbor`, `application/cbor-seq`: a map, an array of maps, or a sequence.
    Cbor,
    /// `application/vnd.qiliang.frames+ndjson`: frames of a file that `qiliang import` reads, a
    /// line each; from this machine's operator only.
    Frames,
}

impl BodyKind {
    /// The content type of [`BodyKind::Frames`].
    pub const FRAMES: &'static str = "application/vnd.qiliang.frames+ndjson";

    /// The kind a `Content-Type` names, whatever its parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Self::Ndjson)
            }
            "application/cbor" | "application/cbor-seq" => Some(Self::Cbor),
            Self::FRAMES => Some(Self::Frames),
            _ => None,
        }
    }
}

/// One message of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it stands: `/3` in an array, `line 4`.
    pub at: String,
    /// The device it is from.
    pub device: Option<DeviceId>,
    /// What a profile decodes.
    pub bytes: Bytes,
    /// File and line, of imported frames.
    pub origin: Option<String>,
    /// When it was received, of imported frames that know.
    pub received_at: Option<DateTime<Utc>>,
    /// Why it cannot be taken, if that is known already.
    pub refusal: Option<RejectReason>,
}

#[derive(Deserialize)]
struct Named<'b> {
    #[serde(borrow, default)]
    dev: Option<Cow<'b, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    origin: String,
    device: Option<DeviceId>,
    received_at: DateTime<FixedOffset>,
    hex: String,
}

/// Splits a body into its messages. `device` is the one the request names for all of them.
///
/// # Errors
/// What is wrong with the body as a whole. What is wrong with one message is its `refusal`.
pub fn messages(
    kind: BodyKind,
    body: &[u8],
    device: Option<&DeviceId>,
    max: usize,
) -> Result<Vec<Message>, BodyError> {
    let messages = match kind {
        BodyKind::Json => json(body, device, max)?,
        BodyKind::Cbor => {
            let texts = cbor::to_json(body, max)?;
            let at = |(index, text): (usize, &String)| {
                message(format!("/{index}"), text.as_bytes(), device)
            };
            texts.iter().enumerate().map(at).collect()
        }
        BodyKind::Ndjson => lines(body, max, |at, line| message(at, line, device))?,
        BodyKind::Frames => lines(body, max, frame)?,
    };
    if messages.is_empty() {
        return Err(BodyError::Empty);
    }
    Ok(messages)
}

fn json(body: &[u8], device: Option<&DeviceId>, max: usize) -> Result<Vec<Message>, BodyError> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return Err(BodyError::Empty);
    }
    let wrong = |error: &serde_json::Error| BodyError::Syntax {
        kind: "JSON",
        reason: error.to_string(),
    };
    if !trimmed.starts_with(b"[") {
        let whole: &RawValue = serde_json::from_slice(trimmed).map_err(|e| wrong(&e))?;
        return Ok(vec![message("/".into(), whole.get().as_bytes(), device)]);
    }
    let mut parser = serde_json::Deserializer::from_slice(trimmed);
    let mut is_within = true;
    let items = Items {
        max,
        is_within: &mut is_within,
    };
    let parsed = items
        .deserialize(&mut parser)
        .and_then(|items| parser.end().map(|()| items));
    match parsed {
        Ok(items) => Ok(items
            .into_iter()
            .enumerate()
            .map(|(index, item)| message(format!("/{index}"), item.get().as_bytes(), device))
            .collect()),
        Err(_) if !is_within => Err(BodyError::TooMany { max }),
        Err(error) => Err(wrong(&error)),
    }
}

/// The texts of an array's items, given up when there are too many.
struct Items<'w> {
    max: usize,
    is_within: &'w mut bool,
}

impl<'b> DeserializeSeed<'b> for Items<'_> {
    type Value = Vec<&'b RawValue>;

    fn deserialize<D: serde::Deserializer<'b>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'b> Visitor<'b> for Items<'_> {
    type Value = Vec<&'b RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() >= self.max {
                *self.is_within = false;
                return Err(serde::de::Error::custom("too many"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

fn lines(
    body: &[u8],
    max: usize,
    read: impl Fn(String, &[u8]) -> Message,
) -> Result<Vec<Message>, BodyError> {
    let mut messages = Vec::new();
    for (index, line) in body.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if messages.len() >= max {
            return Err(BodyError::TooMany { max });
        }
        messages.push(read(format!("line {}", index + 1), line));
    }
    Ok(messages)
}

/// A message and the device it is from: `dev` in it, or the request's, which must agree.
///
/// Of a message that is too long the beginning is kept, and no device: it must not be decoded as if it
/// were whole.
fn message(at: String, text: &[u8], device: Option<&DeviceId>) -> Message {
    let head = text.get(..MESSAGE_MAX_BYTES).unwrap_or(text);
    let named = if head.len() < text.len() {
        Err(RejectReason::new(
            "push.message_too_large",
            format!(
                "message has {} bytes, a message may have {MESSAGE_MAX_BYTES}; its beginning is kept; send readings in \
                 messages of their own",
                text.len()
            ),
        ))
    } else {
        device_of(text, device)
    };
    let (device, refusal) = match named {
        Ok(device) => (Some(device), None),
        Err(reason) => (None, Some(reason)),
    };
    Message {
        at,
        device,
        bytes: Bytes::copy_from_slice(head),
        origin: None,
        received_at: None,
        refusal,
    }
}

fn device_of(text: &[u8], asked: Option<&DeviceId>) -> Result<DeviceId, RejectReason> {
    if !text.starts_with(b"{") {
        return Err(RejectReason::new(
            "push.message",
            "message is not an object; send {\"dev\": …, \"ts\": …, …}",
        ));
    }
    let named: Named<'_> = serde_json::from_slice(text).map_err(|error| {
        RejectReason::new("push.message", format!("message cannot be read: {error}"))
    })?;
    match (named.dev, asked) {
        (None, None) => Err(RejectReason::new(
            "push.no_device",
            "message names no device; give it `dev`, or the request ?device=",
        )),
        (None, Some(asked)) => Ok(asked.clone()),
        (Some(named), Some(asked)) if named != asked.as_str() => Err(RejectReason::new(
            "push.device_mismatch",
            format!(
                "message is from another device than ?device={asked} says; correct one of them"
            ),
        )),
        (Some(named), _) if named.is_empty() || named.chars().count() > DEVICE_NAME_MAX => {
            Err(RejectReason::new(
                "push.no_device",
                "name of the device in `dev` is empty or longer than 64 characters",
            ))
        }
        (Some(named), _) => Ok(DeviceId::from(&*named)),
    }
}

fn frame(at: String, line: &[u8]) -> Message {
    let refused = |at, reason: String| Message {
        at,
        device: None,
        bytes: Bytes::new(),
        origin: None,
        received_at: None,
        refusal: Some(RejectReason::new("push.message", reason)),
    };
    let frame: Frame = match serde_json::from_slice(line) {
        Ok(frame) => frame,
        Err(error) => return refused(at, format!("line is no frame: {error}")),
    };
    match hex::decode(&frame.hex) {
        Ok(bytes) => Message {
            at,
            device: frame.device,
            bytes: bytes.into(),
            origin: Some(frame.origin),
            received_at: Some(frame.received_at.to_utc()),
            refusal: None,
        },
        Err(error) => refused(at, format!("hex is no hexadecimal text: {error}")),
    }
}
