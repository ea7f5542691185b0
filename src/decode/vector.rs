//! Test vectors: bytes in, exact values out, in the profile's own file. A profile that fails one
//! is refused.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use toml::Spanned;

use crate::decode::code::{self, problem};
use crate::decode::context::DecodeContext;
use crate::decode::file::{FileReader, RawExpected, RawFrozen, RawRtu, RawTest};
use crate::decode::profile::{CodecKind, DeviceProfile};
use crate::decode::snapshot::{self, BlockReading};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::{DeviceKey, KeyRing};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{AlarmSet, Decoded, FrozenTotals, Item, ItemValue};

/// Telemetry of a vector may differ by this part of it: the last digit of a double.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// A test vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    /// The frame's bytes.
    pub bytes: Bytes,
    /// When it is taken to have reached us.
    pub received_at: DateTime<Utc>,
    /// Key of the frame's device, for codecs that decrypt.
    pub key: Option<DeviceKey>,
    /// What must come out.
    pub expected: Expected,
    /// Where it stands in the file.
    span: Range<usize>,
}

/// What a vector must give.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// Exactly this.
    Decoded(Decoded),
    /// A rejection with this code.
    Reject(String),
}

/// Reads `[[test]]`.
pub(super) fn compile(
    reader: &mut FileReader<'_>,
    codec: CodecKind,
    takes_json: bool,
    tests: Vec<(Range<usize>, RawTest)>,
) -> Vec<Vector> {
    if tests.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::NO_VECTOR,
            "profile has no test vector",
            "add [[test]] with a frame of the device and what it means",
        );
    }
    tests
        .into_iter()
        .filter_map(|(_, raw)| one(reader, codec, takes_json, &raw))
        .collect()
}

fn one(
    reader: &mut FileReader<'_>,
    codec: CodecKind,
    takes_json: bool,
    raw: &RawTest,
) -> Option<Vector> {
    let span = raw.name.span();
    let name = raw.name.get_ref().clone();
    let bytes = input(reader, codec, takes_json, raw)?;
    let received_at = match &raw.received_at {
        Some(text) => instant(reader, text)?,
        None => DateTime::UNIX_EPOCH,
    };
    let key = match &raw.key {
        Some(text) => Some(key(reader, text)?),
        None => None,
    };
    let expected = match &raw.reject {
        Some(reject) => {
            if !raw.items.is_empty() || !raw.frozen.is_empty() || raw.sampled_at.is_some() {
                reader.problem(
                    Some(reject.span()),
                    problem::VECTOR_SYNTAX,
                    format!("test `{name}` expects both a rejection and values"),
                    "keep one of them",
                );
            }
            if !code::reject::ALL.contains(&reject.get_ref().as_str()) {
                reader.problem(
                    Some(reject.span()),
                    problem::VECTOR_SYNTAX,
                    format!("`{}` is no code of a rejection", reject.get_ref()),
                    "write one listed in device-profiles/README.md, for example decode.truncated",
                );
            }
            Expected::Reject(reject.get_ref().clone())
        }
        None => Expected::Decoded(decoded(reader, raw)?),
    };
    Some(Vector {
        name,
        bytes,
        received_at,
        key,
        expected,
        span,
    })
}

fn key(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<DeviceKey> {
    let key = DeviceKey::from_hex(text.get_ref());
    if key.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VECTOR_SYNTAX,
            "key is no AES-128 key",
            "write 32 hexadecimal digits",
        );
    }
    key
}

impl Vector {
    /// Whether the frame must be taken.
    pub fn is_taken(&self) -> bool {
        matches!(self.expected, Expected::Decoded(_))
    }

    /// Runs the profile on the frame, with the vector's key as that of whatever device it names.
    pub fn run(&self, profile: &DeviceProfile) -> Result<Decoded, RejectReason> {
        let device = DeviceId::from("vector");
        let mut keys = KeyRing::default();
        if let Some(key) = &self.key {
            keys.insert(device.clone(), key.clone());
        }
        profile.decode(
            &self.bytes,
            &DecodeContext {
                received_at: self.received_at,
                device: Some(&device),
                keys: &keys,
            },
        )
    }
}

fn input(
    reader: &mut FileReader<'_>,
    codec: CodecKind,
    takes_json: bool,
    raw: &RawTest,
) -> Option<Bytes> {
    match (&raw.json, &raw.hex, &raw.rtu, &raw.text) {
        (None, None, None, Some(text)) => Some(Bytes::copy_from_slice(text.get_ref().as_bytes())),
        (Some(json), None, None, None) if takes_json => {
            Some(Bytes::copy_from_slice(json.get_ref().trim().as_bytes()))
        }
        (None, Some(text), None, None) => {
            let packed: String = text.get_ref().split_whitespace().collect();
            match hex::decode(packed) {
                Ok(bytes) => Some(Bytes::from(bytes)),
                Err(error) => {
                    reader.problem(
                        Some(text.span()),
                        problem::VECTOR_SYNTAX,
                        format!("hex is no hexadecimal text: {error}"),
                        "write two digits for each byte",
                    );
                    None
                }
            }
        }
        (None, None, Some(exchanges), None) if codec == CodecKind::Modbus => {
            let blocks: Option<Vec<BlockReading>> = exchanges
                .iter()
                .map(|exchange| match rtu(exchange.get_ref()) {
                    Ok(block) => Some(block),
                    Err(message) => {
                        reader.problem(
                            Some(exchange.span()),
                            problem::VECTOR_SYNTAX,
                            message,
                            "write request and reply as they go over the line, checksums included",
                        );
                        None
                    }
                })
                .collect();
            Some(snapshot::encode(&blocks?))
        }
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::VECTOR_SYNTAX,
                format!(
                    "test `{}` has no input this codec takes, or more than one",
                    raw.name.get_ref()
                ),
                "write hex; json where frames are JSON or come inside it; rtu for codec modbus; text for a telegram that is text",
            );
            None
        }
    }
}

fn decoded(reader: &mut FileReader<'_>, raw: &RawTest) -> Option<Decoded> {
    let Some(sampled_at) = &raw.sampled_at else {
        reader.problem(
            Some(raw.name.span()),
            problem::VECTOR_SYNTAX,
            format!(
                "test `{}` says neither sampled_at nor reject",
                raw.name.get_ref()
            ),
            "add what must come out",
        );
        return None;
    };
    let sampled_at = instant(reader, sampled_at)?;
    let mut values = BTreeMap::new();
    for (key, expected) in &raw.items {
        match value(key.get_ref(), expected) {
            Ok((item, value)) => {
                values.insert(item, value);
            }
            Err(message) => reader.problem(
                Some(key.span()),
                problem::VECTOR_SYNTAX,
                message,
                "write total_std_m3 = \"123.4567\" for totals, flow_std_m3h = 12.5 for telemetry",
            ),
        }
    }
    let mut frozen = Vec::with_capacity(raw.frozen.len());
    for array in &raw.frozen {
        match frozen_totals(array.get_ref()) {
            Ok(totals) => frozen.push(totals),
            Err(message) => reader.problem(
                Some(array.span()),
                problem::VECTOR_SYNTAX,
                message,
                "write item, first_at, step_s and totals; an empty string for a total that is missing",
            ),
        }
    }
    let clock_at = match &raw.clock_at {
        Some(text) => Some(instant(reader, text)?),
        None => None,
    };
    Some(Decoded {
        device: raw.device.as_deref().map(DeviceId::from),
        sampled_at,
        clock_at,
        values: values.into_iter().collect(),
        frozen,
        alarms: raw
            .alarms
            .iter()
            .fold(AlarmSet::default(), |set, alarm| set.with(*alarm)),
    })
}

fn value(key: &str, expected: &RawExpected) -> Result<(Item, ItemValue), String> {
    let item = Item::from_key(key).ok_or_else(|| format!("`{key}` is no item of the program"))?;
    let value = match (item.is_exact(), expected) {
        (true, RawExpected::Exact(text)) => ItemValue::Exact(units(text)?),
        (false, RawExpected::Float(number)) => ItemValue::Float(*number),
        _ => return Err(format!("`{key}` is written as the wrong kind of value")),
    };
    Ok((item, value))
}

fn units(text: &str) -> Result<i64, String> {
    text.parse::<StdVolume>()
        .map(StdVolume::units)
        .map_err(|error| error.to_string())
}

fn frozen_totals(raw: &RawFrozen) -> Result<FrozenTotals, String> {
    let item = Item::from_key(&raw.item)
        .filter(|item| item.is_exact())
        .ok_or_else(|| format!("`{}` is no total", raw.item))?;
    let first_at = DateTime::parse_from_rfc3339(&raw.first_at)
        .map_err(|_| format!("`{}` is no time with an offset", raw.first_at))?
        .to_utc();
    let totals: Result<Vec<_>, String> = raw
        .totals
        .iter()
        .map(|text| match text.as_str() {
            "" => Ok(None),
            text => units(text).map(Some),
        })
        .collect();
    Ok(FrozenTotals {
        item,
        first_at,
        step_s: raw.step_s,
        totals: totals?,
    })
}

fn instant(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text.get_ref()).ok();
    if at.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VECTOR_SYNTAX,
            format!("`{}` is no time with an offset", text.get_ref()),
            "write for example 2026-11-21T08:00:00+08:00",
        );
    }
    at.map(|at| at.to_utc())
}

/// The block a serial exchange read: address, function, start, count, CRC; address, function,
/// byte count, registers, CRC.
fn rtu(raw: &RawRtu) -> Result<BlockReading, String> {
    let line = |what: &str, text: &str| {
        let packed: String = text.split_whitespace().collect();
        let bytes = hex::decode(packed)
            .map_err(|error| format!("{what} is no hexadecimal text: {error}"))?;
        let Some((body, crc)) = bytes.split_last_chunk::<2>() else {
            return Err(format!("{what} ends early"));
        };
        let computed = crc16(body);
        if u16::from_le_bytes(*crc) != computed {
            let [low, high] = computed.to_le_bytes();
            return Err(format!(
                "{what} has a wrong checksum; its bytes give {low:02X} {high:02X}"
            ));
        }
        Ok(body.to_vec())
    };
    let request = line("request", &raw.request)?;
    let reply = line("reply", &raw.reply)?;
    let &[unit, function, s1, s0, c1, c0] = request.as_slice() else {
        return Err("request is no read request of eight bytes".to_owned());
    };
    let count = u16::from_be_bytes([c1, c0]);
    let [reply_unit, reply_function, size, data @ ..] = reply.as_slice() else {
        return Err("reply ends early".to_owned());
    };
    if (*reply_unit, *reply_function) != (unit, function) {
        return Err("reply is of another unit or function than the request".to_owned());
    }
    if usize::from(*size) != data.len() || data.len() != 2 * usize::from(count) {
        return Err(format!(
            "reply has {} data bytes; the request asks for {count} registers",
            data.len()
        ));
    }
    let (pairs, _) = data.as_chunks::<2>();
    Ok(BlockReading {
        function,
        start: u16::from_be_bytes([s1, s0]),
        registers: pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
    })
}

/// CRC-16/MODBUS.
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}

/// Runs every vector of a profile; each that fails is a problem.
pub(super) fn check(reader: &mut FileReader<'_>, profile: &DeviceProfile) {
    for vector in profile.vectors() {
        let actual = vector.run(profile);
        let differences = match (&vector.expected, actual) {
            (Expected::Decoded(expected), Ok(actual)) => differences(expected, &actual),
            (Expected::Decoded(_), Err(reason)) => vec![format!("is rejected: {reason}")],
            (Expected::Reject(code), Err(reason)) if *code == reason.code => Vec::new(),
            (Expected::Reject(code), Err(reason)) => {
                vec![format!(
                    "is rejected with {} where {code} is expected",
                    reason.code
                )]
            }
            (Expected::Reject(code), Ok(_)) => {
                vec![format!(
                    "is taken where a rejection with {code} is expected"
                )]
            }
        };
        for difference in differences {
            reader.problem(
                Some(vector.span.clone()),
                problem::VECTOR,
                format!("test `{}` fails: {difference}", vector.name),
                "correct the profile, or the test if the device proves it wrong",
            );
        }
    }
}

/// Where two results differ, in words.
fn differences(expected: &Decoded, actual: &Decoded) -> Vec<String> {
    let mut out = Vec::new();
    if expected.device != actual.device {
        let name = |d: &Option<DeviceId>| d.as_ref().map_or("none".to_owned(), ToString::to_string);
        out.push(format!(
            "device is {}, expected {}",
            name(&actual.device),
            name(&expected.device)
        ));
    }
    if expected.sampled_at != actual.sampled_at {
        out.push(format!(
            "sampled_at is {}, expected {}",
            actual.sampled_at.to_rfc3339(),
            expected.sampled_at.to_rfc3339()
        ));
    }
    if expected.clock_at != actual.clock_at {
        let show = |at: Option<DateTime<Utc>>| at.map_or("none".to_owned(), |at| at.to_rfc3339());
        out.push(format!(
            "clock_at is {}, expected {}",
            show(actual.clock_at),
            show(expected.clock_at)
        ));
    }
    let find = |decoded: &Decoded, item| {
        decoded
            .values
            .iter()
            .find(|(i, _)| *i == item)
            .map(|(_, value)| *value)
    };
    for item in Item::ALL {
        let (want, have) = (find(expected, item), find(actual, item));
        if !same(want, have) {
            out.push(format!(
                "{} is {}, expected {}",
                item.key(),
                show(have),
                show(want)
            ));
        }
    }
    if expected.frozen != actual.frozen {
        out.push(format!(
            "frozen totals are {:?}, expected {:?}",
            actual.frozen, expected.frozen
        ));
    }
    if expected.alarms != actual.alarms {
        let list = |set: AlarmSet| set.iter().collect::<Vec<_>>();
        out.push(format!(
            "alarms are {:?}, expected {:?}",
            list(actual.alarms),
            list(expected.alarms)
        ));
    }
    out
}

fn same(want: Option<ItemValue>, have: Option<ItemValue>) -> bool {
    match (want, have) {
        (Some(ItemValue::Float(a)), Some(ItemValue::Float(b))) => {
            (a - b).abs() <= FLOAT_TOLERANCE * a.abs().max(1.0)
        }
        (want, have) => want == have,
    }
}

fn show(value: Option<ItemValue>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(ItemValue::Exact(units)) => StdVolume::from_units(units).to_string(),
        Some(ItemValue::Float(number)) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_published_request() {
        // 01 03 00 0A 00 14 65 C7 (domain.md §3.4)
        assert_eq!(
            crc16(&[0x01, 0x03, 0x00, 0x0A, 0x00, 0x14]).to_le_bytes(),
            [0x65, 0xC7]
        );
    }

    #[test]
    fn a_reply_that_does_not_match_its_request_is_told() {
        let exchange = |request: &str, reply: &str| {
            rtu(&RawRtu {
                request: request.into(),
                reply: reply.into(),
            })
        };
        let request = "01 03 00 0A 00 01 A4 08";
        let body = [0x01, 0x03, 0x02, 0x12, 0x34];
        let crc = crc16(&body).to_le_bytes();
        let reply = hex::encode(body) + &hex::encode(crc);
        let block = exchange(request, &reply).unwrap();
        assert_eq!(
            (block.function, block.start, block.registers),
            (3, 10, vec![0x1234])
        );
        assert!(
            exchange(request, "01 03 02 12 34 00 00")
                .unwrap_err()
                .contains("wrong checksum")
        );
        assert!(
            exchange("01 03 00 0A 00 14 65 C7", &reply)
                .unwrap_err()
                .contains("20 registers")
        );
    }
}
