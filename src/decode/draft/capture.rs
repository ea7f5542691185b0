//! A file of captured frames: JSON, lines of JSON or hexadecimal, or one binary frame.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// A captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Its bytes.
    pub bytes: Bytes,
    /// When it came, where the capture says so.
    pub received_at: Option<DateTime<Utc>>,
}

/// The frames of a capture.
///
/// Lines as `qiliang rejects export` writes them are unpacked; other JSON is a frame itself. A text
/// of hexadecimal lines is one frame a line. Everything else is one binary frame.
pub fn frames(capture: &[u8]) -> Vec<Captured> {
    let Ok(text) = std::str::from_utf8(capture) else {
        return whole(capture);
    };
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    if let Some(frames) = lines.iter().map(|line| of_json(line)).collect() {
        return frames;
    }
    if let Some(frame) = of_json(text.trim()) {
        return vec![frame];
    }
    if let Some(frames) = lines.iter().map(|line| of_hex(line)).collect() {
        return frames;
    }
    whole(capture)
}

fn whole(bytes: &[u8]) -> Vec<Captured> {
    if bytes.is_empty() {
        return Vec::new();
    }
    vec![Captured {
        bytes: Bytes::copy_from_slice(bytes),
        received_at: None,
    }]
}

fn of_hex(line: &str) -> Option<Captured> {
    let packed: String = line.split_whitespace().collect();
    let bytes = hex::decode(packed).ok()?;
    Some(Captured {
        bytes: Bytes::from(bytes),
        received_at: None,
    })
}

fn of_json(line: &str) -> Option<Captured> {
    if !line.starts_with('{') {
        return None;
    }
    let value: Value = serde_json::from_str(line).ok()?;
    let object = value.as_object()?;
    let is_capture = object.keys().all(|key| {
        matches!(
            key.as_str(),
            "hex" | "json" | "device" | "topic" | "received_at"
        )
    });
    let packed = if is_capture {
        let of_hex = object.get("hex").and_then(Value::as_str).map(|text| {
            let packed: String = text.split_whitespace().collect();
            hex::decode(packed).ok()
        });
        match of_hex {
            Some(bytes) => Some(bytes?),
            None => object.get("json").map(|json| json.to_string().into_bytes()),
        }
    } else {
        None
    };
    let received_at = packed.as_ref().and_then(|_| {
        let text = object.get("received_at")?.as_str()?;
        Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    });
    Some(Captured {
        bytes: packed.map_or_else(|| Bytes::copy_from_slice(line.as_bytes()), Bytes::from),
        received_at,
    })
}
