//! Codec `dlt645`: the reply of a device behind an electricity concentrator, DL/T 645-2007,
//! `68 A0…A5 68 91 L DI DATA CS 16`, data bytes plus 33h.
//!
//! A gas meter does not speak it itself. A combined concentrator (四表合一) answers for it, with
//! identifiers of its own, which are profile data; or it forwards the meter's CJ/T 188 frame.
//!
//! # Source
//! DL/T 645-2007, §5 (frame), annexes A (identifiers, formats) and B (error word).

use std::ops::Range;

use chrono::FixedOffset;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::cjt188::{self, Cjt188Codec};
use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::field::{AlarmBits, Field, fields_of, foreign_keys};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::frame68;
use crate::decode::registers::RegisterType;
use crate::decode::time::WallClock;
use crate::decode::value::{bcd, exact_from_count, fault};
use crate::domain::calendar::beijing;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{AlarmSet, Decoded, Item, ItemValue};

/// What is added to every data byte.
const BIAS: u8 = 0x33;
/// Reply to "read data".
const REPLY: u8 = 0x91;
/// Reply to "read what follows".
const REPLY_FOLLOWING: u8 = 0x92;
/// More frames follow.
const FOLLOWED: u8 = 0x20;
/// The device could not.
const ERROR: u8 = 0x40;
/// What each bit of the error word means.
const ERRORS: [&str; 7] = [
    "another error",
    "no such data",
    "wrong password or not allowed",
    "speed cannot be changed",
    "too many yearly zones",
    "too many daily slots",
    "too many tariffs",
];

/// `[dlt645]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDlt645 {
    forwards: Option<Spanned<String>>,
    #[serde(default)]
    clock: Vec<Spanned<String>>,
}

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dlt645Codec {
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    /// Identifiers of the concentrator's own.
    Own {
        fields: Vec<FrameField>,
        alarms: Vec<(Place, AlarmBits)>,
        clocks: Vec<Place>,
    },
    /// Under this identifier, a frame of the gas meter.
    Forwarded { id: u32, inner: Box<Cjt188Codec> },
}

#[derive(Debug, Clone, PartialEq)]
struct FrameField {
    field: Field,
    place: Place,
    form: Form,
    decimals: i8,
    mask: Option<u16>,
    /// What stands where there is no value, as on the wire without the bias.
    none: Vec<Vec<u8>>,
}

/// Bytes behind a data identifier, the least significant first.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    id: u32,
    bytes: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bcd,
    Unsigned,
}

/// Reads `[dlt645]`, `[[field]]` and `[[alarm]]`; with `forwards`, `[cjt188]` too.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<Dlt645Codec> {
    let raw: RawDlt645 = match table.remove("dlt645") {
        Some(value) => reader.read(value)?,
        None => RawDlt645::default(),
    };
    if let Some(forwards) = &raw.forwards {
        let id = identifier(forwards.get_ref());
        if id.is_none() {
            reader.problem(
                Some(forwards.span()),
                problem::VALUE,
                format!("`{}` is no data identifier", forwards.get_ref()),
                "write eight hexadecimal digits, DI3 first",
            );
        }
        let inner = Box::new(cjt188::compile(reader, table)?);
        return Some(Dlt645Codec {
            content: Content::Forwarded { id: id?, inner },
        });
    }
    let clocks = raw
        .clock
        .iter()
        .filter_map(|text| clock(reader, text))
        .collect();
    let fields = fields_of(reader, table, field, |f: &FrameField| f.field.item);
    if fields.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit and at = \"<identifier>/<first byte>-<last byte>\"",
        );
    }
    let mut alarms = Vec::new();
    for (span, raw) in reader.all::<RawAlarm>(table, "alarm") {
        let place = raw.at.as_ref().and_then(|at| Place::parse(at.get_ref()));
        match place {
            Some(place) if place.bytes.len() <= 8 && raw.texts.is_empty() => {
                let width = u32::try_from(place.bytes.len() * 8).unwrap_or(64);
                alarms.push((place, AlarmBits::check(reader, &raw.bits, width)));
            }
            _ => reader.problem(
                Some(span),
                problem::FIELD,
                "alarm of a DL/T 645 frame is at no bytes of an identifier",
                "write at = \"04000501/0-1\" and bits",
            ),
        }
    }
    Some(Dlt645Codec {
        content: Content::Own {
            fields,
            alarms,
            clocks,
        },
    })
}

fn clock(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<Place> {
    let place = Place::parse(text.get_ref()).filter(|p| matches!(p.bytes.len(), 5 | 6));
    if place.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VALUE,
            format!("`{}` is no place of a clock", text.get_ref()),
            "write \"<identifier>/<first byte>-<last byte>\", six bytes from the second or five from the minute",
        );
    }
    place
}

fn field(reader: &mut FileReader<'_>, raw: &RawField) -> Option<FrameField> {
    let name = raw.name.get_ref();
    foreign_keys(
        reader,
        "dlt645",
        raw,
        &["at", "type", "decimals", "none", "mask"],
    );
    let checked = Field::check(reader, raw);
    let at = raw.at.as_ref();
    let place = at
        .and_then(|at| Place::parse(at.get_ref()))
        .filter(|place| place.bytes.len() <= 8);
    if place.is_none() {
        reader.problem(
            Some(at.map_or_else(|| raw.name.span(), Spanned::span)),
            problem::FIELD,
            format!("field `{name}` names no bytes of an identifier"),
            "write at = \"<identifier>/<first byte>-<last byte>\", at most eight bytes, counted from 0 behind the identifier",
        );
    }
    let form = match raw.kind.as_ref().map(|k| (*k.get_ref(), k.span())) {
        None | Some((RegisterType::Bcd, _)) => Form::Bcd,
        Some((RegisterType::U16 | RegisterType::U32 | RegisterType::U64, _)) => Form::Unsigned,
        Some((_, span)) => {
            reader.problem(
                Some(span),
                problem::FIELD,
                format!("field `{name}` has a type DL/T 645 does not have"),
                "write bcd, or u16, u32 or u64 for a whole number",
            );
            return None;
        }
    };
    let mut none = Vec::new();
    for text in &raw.none {
        match hex::decode(text.get_ref()) {
            Ok(bytes) => none.push(bytes),
            Err(_) => reader.problem(
                Some(text.span()),
                problem::FIELD,
                format!("field `{name}` has a `none` that is no hexadecimal"),
                "write the bytes as sent, without 33h, for example \"FFFFFFFF\"",
            ),
        }
    }
    let (field, place) = (checked?, place?);
    if field.item.is_exact() && raw.mask.is_some() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` is a total and takes no mask"),
            "remove the mask",
        );
    }
    Some(FrameField {
        field,
        place,
        form,
        decimals: raw.decimals.as_ref().map_or(0, |d| *d.get_ref()),
        mask: raw.mask.as_ref().map(|m| *m.get_ref()),
        none,
    })
}

/// Eight hexadecimal digits, DI3 first.
fn identifier(text: &str) -> Option<u32> {
    (text.len() == 8)
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

impl Place {
    /// `00900200/0-3`.
    fn parse(text: &str) -> Option<Self> {
        let (id, bytes) = text.split_once('/')?;
        let (first, last) = bytes.split_once('-').unwrap_or((bytes, bytes));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < 200).then_some(Self {
            id: identifier(id)?,
            bytes: first..last + 1,
        })
    }

    /// Its bytes, if the reply is of its identifier and so long.
    fn of<'d>(&self, id: u32, data: &'d [u8]) -> Option<&'d [u8]> {
        (self.id == id)
            .then(|| data.get(self.bytes.clone()))
            .flatten()
    }
}

impl Dlt645Codec {
    /// Decodes a frame.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let frame = Frame::check(bytes)?;
        let mut plain = [0_u8; 255];
        let data = frame.unbias(&mut plain);
        let Some((id, data)) = data.split_first_chunk::<4>() else {
            return Err(RejectReason::new(
                reject::LENGTH,
                format!("reply has {} data bytes; an identifier has 4", data.len()),
            ));
        };
        let id = u32::from_le_bytes(*id);
        match &self.content {
            Content::Forwarded { id: wanted, inner } if *wanted == id => {
                inner.decode(data, context)
            }
            Content::Forwarded { id: wanted, .. } => {
                Err(unknown(id, format_args!("{wanted:08X}h")))
            }
            Content::Own {
                fields,
                alarms,
                clocks,
            } => {
                if !fields.iter().any(|f| f.place.id == id) {
                    return Err(unknown(id, format_args!("those of the profile's fields")));
                }
                let mut values = Vec::with_capacity(fields.len());
                for field in fields.iter().filter(|f| f.place.id == id) {
                    if let Some(value) = field.value(data)? {
                        values.push((field.field.item, value));
                    }
                }
                let sampled_at = match clocks.iter().find(|clock| clock.id == id) {
                    Some(clock) => instant(clock.of(id, data), beijing())?,
                    None => context.received_at,
                };
                let alarms = alarms
                    .iter()
                    .fold(AlarmSet::default(), |set, (place, bits)| {
                        let word = place.of(id, data).map_or(0, little_endian);
                        AlarmSet(set.0 | bits.alarms(word).0)
                    });
                Ok(Decoded {
                    device: Some(DeviceId::new(frame.address)),
                    sampled_at,
                    clock_at: None,
                    values,
                    frozen: Vec::new(),
                    alarms,
                })
            }
        }
    }
}

fn unknown(id: u32, expected: std::fmt::Arguments<'_>) -> RejectReason {
    RejectReason::new(
        reject::DATA_ID,
        format!("data identifier is {id:08X}h; expected {expected}"),
    )
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn instant(
    bytes: Option<&[u8]>,
    ahead: FixedOffset,
) -> Result<chrono::DateTime<chrono::Utc>, RejectReason> {
    let clock = match bytes {
        Some(&[second, minute, hour, day, month, year]) => {
            WallClock::from_bcd([year, month, day, hour, minute, second])
        }
        Some(&[minute, hour, day, month, year]) => {
            WallClock::from_bcd([year, month, day, hour, minute, 0])
        }
        _ => {
            return Err(RejectReason::new(
                reject::TIME,
                "reply ends before its time stamp",
            ));
        }
    };
    clock
        .and_then(|clock| clock.at(ahead))
        .ok_or_else(|| RejectReason::new(reject::TIME, "time stamp shows no date and time"))
}

impl FrameField {
    fn value(&self, data: &[u8]) -> Result<Option<ItemValue>, RejectReason> {
        let item = self.field.item;
        let Some(bytes) = data.get(self.place.bytes.clone()) else {
            return self.field.absent(format_args!(
                "bytes {} to {} of a reply of {}",
                self.place.bytes.start,
                self.place.bytes.end - 1,
                data.len()
            ));
        };
        if self.none.iter().any(|none| none == bytes) {
            return self.field.absent("its place: the device has no value");
        }
        if self.field.states.is_some() {
            let word = little_endian(bytes);
            let state = match self.mask {
                Some(mask) => (word & u64::from(mask)) >> mask.trailing_zeros().min(15),
                None => word,
            };
            return self.field.state(&state.to_string());
        }
        let (number, is_negative) = match self.form {
            Form::Unsigned => (little_endian(bytes), false),
            Form::Bcd => {
                // The sign of a temperature is the top bit (annex A, table A.3).
                let signed = item == Item::Temperature;
                let mut bytes = bytes.iter().rev().copied();
                let top = bytes.next().unwrap_or_default();
                let is_negative = signed && top & 0x80 != 0;
                let top = if signed { top & 0x7F } else { top };
                let number = bcd(std::iter::once(top).chain(bytes)).ok_or_else(|| {
                    fault(reject::BCD, item, "has a nibble that is no decimal digit")
                })?;
                (number, is_negative)
            }
        };
        if item.is_exact() {
            return exact_from_count(item, i128::from(number), self.decimals)
                .map(|units| Some(ItemValue::Exact(units)));
        }
        let number = number as f64;
        self.field.float(if is_negative { -number } else { number })
    }
}

/// A frame whose envelope holds.
struct Frame<'a> {
    /// Twelve digits, most significant first.
    address: String,
    /// As on the wire.
    data: &'a [u8],
}

impl<'a> Frame<'a> {
    fn check(bytes: &'a [u8]) -> Result<Self, RejectReason> {
        let frame = frame68::awake(bytes)?;
        let Some((&[_, a0, a1, a2, a3, a4, a5, second, control, length], _)) =
            frame.split_first_chunk::<10>()
        else {
            return Err(frame68::short(frame, 10));
        };
        if second != frame68::START {
            return Err(frame68::not_start("byte behind the address is", second));
        }
        let data = frame68::data(frame, 10, length)?;
        check_control(control, data)?;
        let address = [a5, a4, a3, a2, a1, a0];
        if bcd(address).is_none() {
            return Err(RejectReason::new(
                reject::DEVICE,
                "address has a nibble that is no decimal digit: it is a wildcard, not a device",
            ));
        }
        Ok(Self {
            address: hex::encode(address),
            data,
        })
    }

    /// The data without the bias.
    fn unbias<'p>(&self, plain: &'p mut [u8; 255]) -> &'p [u8] {
        for (to, from) in plain.iter_mut().zip(self.data) {
            *to = from.wrapping_sub(BIAS);
        }
        plain.get(..self.data.len()).unwrap_or_default()
    }
}

fn check_control(control: u8, data: &[u8]) -> Result<(), RejectReason> {
    match control {
        REPLY => Ok(()),
        _ if control == REPLY | FOLLOWED => Err(RejectReason::new(
            reject::FRAGMENT,
            "reply is continued in a further frame (control code B1h); let the concentrator ask for less at once",
        )),
        _ if control & !(FOLLOWED | ERROR) == REPLY_FOLLOWING && control & ERROR == 0 => {
            Err(RejectReason::new(
                reject::FRAGMENT,
                "frame continues an earlier reply (control code 92h); let the concentrator ask for less at once",
            ))
        }
        _ if control & !FOLLOWED == REPLY | ERROR
            || control & !FOLLOWED == REPLY_FOLLOWING | ERROR =>
        {
            let word = data.first().map_or(0, |byte| byte.wrapping_sub(BIAS));
            let said: Vec<&str> = (0..8)
                .zip(ERRORS)
                .filter(|(bit, _)| word >> bit & 1 == 1)
                .map(|(_, text)| text)
                .collect();
            Err(RejectReason::new(
                reject::DEVICE_ERROR,
                if said.is_empty() {
                    format!("device answered with error word {word:02X}h")
                } else {
                    format!(
                        "device answered with error word {word:02X}h: {}",
                        said.join(", ")
                    )
                },
            ))
        }
        other => Err(RejectReason::new(
            reject::CONTROL,
            format!("control code is {other:02X}h; expected 91h, the reply to a reading"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::profile::DeviceProfile;

    const GAS: &str = include_str!("../../device-profiles/generic/dlt645-gas.toml");
    const FORWARDING: &str =
        include_str!("../../device-profiles/generic/dlt645-forwarding-cjt188.toml");

    fn profiles() -> &'static [DeviceProfile; 2] {
        static PROFILES: OnceLock<[DeviceProfile; 2]> = OnceLock::new();
        PROFILES.get_or_init(|| {
            [GAS, FORWARDING].map(|text| {
                DeviceProfile::parse(Path::new("p.toml"), text)
                    .unwrap_or_else(|problems| panic!("{problems:#?}"))
            })
        })
    }

    fn at_epoch() -> DecodeContext<'static> {
        DecodeContext::at(chrono::DateTime::UNIX_EPOCH)
    }

    /// A frame with bias and checksum.
    fn frame(control: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x68, 1, 0, 0, 0, 0, 0, 0x68, control];
        frame.push(u8::try_from(data.len()).unwrap());
        frame.extend(data.iter().map(|b| b.wrapping_add(BIAS)));
        let sum = frame.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        frame.extend_from_slice(&[sum, 0x16]);
        frame
    }

    #[test]
    fn an_error_word_is_told_in_words() {
        let reason = profiles()[0]
            .decode(&frame(0xD1, &[0x06]), &at_epoch())
            .unwrap_err();
        assert_eq!(
            reason.to_string(),
            "device answered with error word 06h: no such data, wrong password or not allowed [decode.device_error]"
        );
        let reason = profiles()[0]
            .decode(&frame(0xD2, &[]), &at_epoch())
            .unwrap_err();
        assert_eq!(reason.code, reject::DEVICE_ERROR);
    }

    #[test]
    fn a_place_is_checked_where_it_is_written() {
        for (wrong, code) in [
            ("00900200/3-0", problem::FIELD),
            ("0090020/0-3", problem::FIELD),
            ("00900200", problem::FIELD),
            ("00900200/0-9", problem::FIELD),
        ] {
            let text = GAS.replace("at = \"00900200/0-3\"", &format!("at = \"{wrong}\""));
            let problems = DeviceProfile::parse(Path::new("p.toml"), &text).unwrap_err();
            assert_eq!(problems[0].code, code, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_data_is_answered(
            control in prop::sample::select(vec![0x91_u8, 0xB1, 0x92, 0xD1, 0x11]),
            id in prop::sample::select(vec![0x0090_0200_u32, 0x0280_0008, 0x04E0_0101, 7]),
            data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = frame(control, &[&id.to_le_bytes(), data.as_slice()].concat());
            for profile in profiles() {
                if let Ok(decoded) = profile.decode(&bytes, &at_epoch()) {
                    prop_assert_eq!(control, 0x91);
                    let is_sound = |(item, value): &(Item, ItemValue)| match value {
                        ItemValue::Exact(units) => item.is_exact() && *units >= 0,
                        ItemValue::Float(number) => number.is_finite(),
                    };
                    prop_assert!(decoded.values.iter().all(is_sound));
                }
            }
        }

        #[test]
        fn every_flipped_bit_is_refused(
            which in any::<prop::sample::Index>(),
            bit in any::<prop::sample::Index>(),
        ) {
            for profile in profiles() {
                let taken: Vec<_> = profile.vectors().iter().filter(|v| v.is_taken()).collect();
                let mut bytes = which.get(&taken).bytes.to_vec();
                let bit = bit.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(profile.decode(&bytes, &at_epoch()).is_err());
            }
        }
    }
}
