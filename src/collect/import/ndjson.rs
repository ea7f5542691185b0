//! Captured frames, one JSON object a line.

use std::io::{BufRead, Read as _};

use bytes::Bytes;
use chrono::{DateTime, FixedOffset};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{LINE_MAX_BYTES, Line, Record, code};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capture {
    received_at: Option<DateTime<FixedOffset>>,
    device: Option<DeviceId>,
    topic: Option<String>,
    json: Option<IgnoredAny>,
    hex: Option<String>,
}

/// The lines of a text, however long one pretends to be.
pub(super) struct TextLines<R> {
    reader: R,
    number: u64,
    is_broken: bool,
}

impl<R: BufRead> TextLines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            number: 0,
            is_broken: false,
        }
    }

    /// The next line: its number, its bytes, and what is wrong with it as a line.
    pub(super) fn next_line(&mut self) -> Option<(u64, Bytes, Option<RejectReason>)> {
        if self.is_broken {
            return None;
        }
        self.number += 1;
        let mut bytes = Vec::new();
        let limit = LINE_MAX_BYTES as u64 + 1;
        let read = self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes);
        let trouble = match read {
            Ok(0) => return None,
            Ok(size) if size > LINE_MAX_BYTES && bytes.last() != Some(&b'\n') => {
                self.skip_line();
                // What is kept of a line too long to be a frame is enough to find it again.
                bytes.truncate(1_024);
                Some(RejectReason::new(code::LINE, "line is longer than 1 MiB"))
            }
            Ok(_) => None,
            Err(error) => {
                self.is_broken = true;
                Some(RejectReason::new(
                    code::UNREADABLE,
                    format!("file cannot be read further: {error}"),
                ))
            }
        };
        Some((self.number, Bytes::from(bytes), trouble))
    }

    fn skip_line(&mut self) {
        loop {
            let (found, used) = match self.reader.fill_buf() {
                Ok([]) => return,
                Ok(buffer) => match buffer.iter().position(|b| *b == b'\n') {
                    Some(at) => (true, at + 1),
                    None => (false, buffer.len()),
                },
                Err(_) => {
                    self.is_broken = true;
                    return;
                }
            };
            self.reader.consume(used);
            if found {
                return;
            }
        }
    }
}

/// The lines of a capture; empty ones are skipped.
pub(super) struct NdjsonLines<R>(TextLines<R>);

impl<R: BufRead> NdjsonLines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(TextLines::new(reader))
    }

    /// The next line that is not empty.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        loop {
            let (number, raw, trouble) = self.0.next_line()?;
            let record = if let Some(reason) = trouble {
                Err(reason)
            } else {
                let text = raw.trim_ascii();
                let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
                if text.is_empty() {
                    continue;
                }
                record(text)
            };
            return Some(Line {
                number,
                raw,
                record,
            });
        }
    }
}

fn record(text: &[u8]) -> Result<Record, RejectReason> {
    let fault = |message: String| RejectReason::new(code::LINE, message);
    let capture: Capture = serde_json::from_slice(text)
        .map_err(|error| fault(format!("line is no captured frame: {error}")))?;
    let bytes = match (capture.json, capture.hex) {
        (Some(_), None) => {
            let value = member(text, "json").ok_or_else(|| {
                fault("line is no captured frame: json cannot be found".to_owned())
            })?;
            Bytes::copy_from_slice(value)
        }
        (None, Some(hex)) => {
            let packed: String = hex.split_whitespace().collect();
            hex::decode(packed)
                .map(Bytes::from)
                .map_err(|error| fault(format!("hex is no hexadecimal text: {error}")))?
        }
        _ => {
            return Err(fault(
                "line has neither json nor hex, or both; write one of them".to_owned(),
            ));
        }
    };
    Ok(Record {
        device: capture.device,
        topic: capture.topic,
        bytes,
        received_at: capture.received_at.map(|at| at.to_utc()),
    })
}

/// The bytes of a member's value in an object that is known to be JSON, exactly as they stand:
/// a frame is kept as the device sent it, not as a parser would write it again.
fn member<'t>(text: &'t [u8], key: &str) -> Option<&'t [u8]> {
    let mut depth = 0_usize;
    let mut at = 0_usize;
    // The key just read at the top level, until its value begins.
    let mut name: Option<&[u8]> = None;
    // Where the wanted value begins.
    let mut value: Option<usize> = None;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = string_end(text, at)?;
                if depth == 1 && name.is_none() && value.is_none() {
                    name = text.get(at + 1..end - 1);
                }
                at = end;
                continue;
            }
            b':' if depth == 1 && value.is_none() && name == Some(key.as_bytes()) => {
                value = Some(at + 1);
            }
            b',' | b'}' if depth == 1 => {
                if let Some(start) = value {
                    return text.get(start..at).map(<[u8]>::trim_ascii);
                }
                name = None;
                depth -= usize::from(*byte == b'}');
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// One past the closing quote of the string that opens at `open`.
fn string_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_is_cut_out_as_it_stands() {
        let text = br#" { "x" : {"json":1}, "js\"on":[1,{"a":"}"}] , "json" : { "b" : 1.50, "a":"},\"" } , "hex":null}"#;
        assert_eq!(
            member(text, "json"),
            Some(br#"{ "b" : 1.50, "a":"},\"" }"#.as_slice())
        );
        assert_eq!(
            member(br#"{"json":"text"}"#, "json"),
            Some(br#""text""#.as_slice())
        );
        assert_eq!(member(br#"{"json":{}}"#, "json"), Some(b"{}".as_slice()));
        assert_eq!(member(br#"{"a":"json","b":{"json":2}}"#, "json"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(value) = member(&bytes, "json") {
                prop_assert!(value.len() <= bytes.len());
            }
            prop_assert!(record(&bytes).is_err() || !bytes.is_empty());
        }
    }
}
