//! Codec `dlms`: what a DLMS/COSEM gas meter or volume converter pushes.
//!
//! Frame → (cipher →) message → objects by OBIS code → items. Codes are typed: a total at metering
//! conditions cannot be mapped to the standard one, nor the other way about.
//!
//! # Source
//! IEC 62056-5-3 and 62056-6-2 (DLMS/COSEM), EN 13757-1 (gas); domain.md §3.6.

mod apdu;
mod axdr;
mod cipher;
mod compile;
mod frame;
mod frozen;
mod obis;
mod object;

#[cfg(test)]
mod tests;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};

use self::apdu::{Body, GENERAL_GLO, Message};
use self::axdr::Data;
use self::cipher::Protection;
pub(super) use self::compile::compile;
use self::frame::Framing;
use self::frozen::Rows;
use self::object::{Attribute, Layout, Object, Objects};
use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::time::{WallClock, deviation_offset};
use crate::decode::value::{exact_from_count, exact_from_float, fault, widen};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::DeviceKey;
use crate::domain::reading::{Alarm, AlarmSet, Decoded, Item, ItemValue};

/// A device's name has at most so many characters.
const NAME_MAX: usize = 64;
/// Clock status: the time is invalid.
const INVALID: u8 = 0x01;
/// A byte of a date-time that is not specified.
const UNSPECIFIED: u8 = 0xFF;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DlmsCodec {
    framing: Framing,
    protection: Protection,
    /// An authentication key that is published, and so no secret.
    published_key: Option<DeviceKey>,
    layout: Layout,
    device: Name,
    time: Source,
    clock: Clock,
    gas_day: Option<GasDayStart>,
    fields: Vec<ObjectField>,
    alarms: Vec<(Attribute, AlarmBits)>,
    frozen: Vec<Rows>,
}

/// Where the device's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Only the transport knows.
    Transport,
    /// It is the system title of a ciphered frame.
    SystemTitle,
    /// In an object.
    Object(Attribute),
}

/// Where the time of the values stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// In the head of the message.
    Notification,
    /// In an object.
    Object(Attribute),
    /// Nowhere: it is when the frame reached us.
    Received,
}

/// The start of the gas day as the meter keeps it, and what if it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GasDayStart {
    at: Attribute,
    hour: u8,
    minute: u8,
    flags_only: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct ObjectField {
    field: Field,
    at: Attribute,
    /// Implied decimals of an object that comes without scaler and unit.
    decimals: Option<i8>,
    mask: Option<u16>,
}

/// How the meter's date-times are read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clock {
    /// How far ahead of UTC a date-time is whose deviation is not specified.
    unspecified: Option<FixedOffset>,
    /// The meter counts its deviation from UTC to local time, against the standard.
    is_inverted: bool,
}

impl Clock {
    /// A date-time, or seconds since 1970 UTC.
    fn instant(self, data: &Data<'_>) -> Result<DateTime<Utc>, RejectReason> {
        if let Data::Integer(seconds) = data {
            return u32::try_from(*seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| DateTime::from_timestamp(i64::from(seconds), 0))
                .ok_or_else(|| time_fault("is no number of seconds since 1970"));
        }
        match data.date_time() {
            Some(bytes) => self.date_time(bytes),
            None => Err(time_fault("is no date-time")),
        }
    }

    fn date_time(self, bytes: [u8; 12]) -> Result<DateTime<Utc>, RejectReason> {
        let [
            y1,
            y0,
            month,
            day,
            _weekday,
            hour,
            minute,
            second,
            hundredths,
            d1,
            d0,
            status,
        ] = bytes;
        if status != UNSPECIFIED && status & INVALID != 0 {
            return Err(time_fault("is marked invalid by the meter"));
        }
        let deviation = i16::from_be_bytes([d1, d0]);
        let ahead = if deviation == i16::MIN {
            self.unspecified.ok_or_else(|| {
                time_fault("has no deviation from UTC; write utc_offset in [dlms]")
            })?
        } else {
            let minutes = if self.is_inverted {
                deviation.saturating_neg()
            } else {
                deviation
            };
            deviation_offset(minutes)
                .ok_or_else(|| time_fault("has a deviation of more than 14 hours"))?
        };
        let or_zero = |byte: u8| if byte == UNSPECIFIED { 0 } else { byte };
        let clock = WallClock {
            year: i32::from(u16::from_be_bytes([y1, y0])),
            month: u32::from(month),
            day: u32::from(day),
            hour: u32::from(hour),
            minute: u32::from(minute),
            second: u32::from(or_zero(second)),
        };
        let hundredths = or_zero(hundredths);
        match clock.at(ahead) {
            Some(at) if hundredths < 100 => {
                Ok(at + TimeDelta::milliseconds(i64::from(hundredths) * 10))
            }
            _ => Err(time_fault("shows no date and time")),
        }
    }
}

fn time_fault(what: &str) -> RejectReason {
    RejectReason::new(reject::TIME, format!("the meter's time {what}"))
}

impl DlmsCodec {
    /// Decodes a frame.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let apdu = self.framing.open(bytes)?;
        match apdu.split_first() {
            Some((&GENERAL_GLO, ciphered)) => {
                let opened = cipher::open(
                    ciphered,
                    self.protection,
                    self.published_key.as_ref(),
                    context,
                )?;
                self.message(&opened.apdu, Some(&opened.sender), context)
            }
            _ if self.protection != Protection::None => Err(cipher::security(
                "is not ciphered, and the profile's meters cipher theirs",
            )),
            _ => self.message(apdu, None, context),
        }
    }

    fn message(
        &self,
        apdu: &[u8],
        sender: Option<&DeviceId>,
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let message = Message::parse(apdu)?;
        let objects = match &message.body {
            Body::Push(body) => Objects::read(&self.layout, body)?,
            Body::Event(attribute, value) => Objects(vec![Object {
                attribute: *attribute,
                value,
                unit: None,
            }]),
        };
        let sent = message
            .sent
            .map(|bytes| self.clock.date_time(bytes))
            .transpose()?;
        let sampled_at = match self.time {
            Source::Received => context.received_at,
            Source::Notification => sent.ok_or_else(|| {
                time_fault("is not in the head of the message; write time = \"<object>\" or \"received\" in [dlms]")
            })?,
            Source::Object(at) => match objects.find(at)? {
                Some(object) => self.clock.instant(object.value)?,
                None => {
                    return Err(RejectReason::new(
                        reject::TIME,
                        format!("message has no object {at}, the time of the values"),
                    ));
                }
            },
        };
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let value = match objects.find(field.at)? {
                Some(object) => field.value(object)?,
                None => field.field.absent(format_args!("object {}", field.at))?,
            };
            values.extend(value.map(|value| (field.field.item, value)));
        }
        let mut frozen = Vec::new();
        for rows in &self.frozen {
            if let Some(object) = objects.find(rows.at)? {
                frozen.extend(rows.totals(object.value, &self.clock)?);
            }
        }
        let alarms = self.alarms(&objects)?;
        if values.is_empty() && frozen.is_empty() && alarms == AlarmSet::default() {
            return Err(RejectReason::new(
                reject::EMPTY,
                "message has none of the profile's objects",
            ));
        }
        Ok(Decoded {
            device: self.device(&objects, sender)?,
            sampled_at,
            clock_at: sent,
            values,
            frozen,
            alarms,
        })
    }

    fn alarms(&self, objects: &Objects<'_, '_>) -> Result<AlarmSet, RejectReason> {
        let mut set = AlarmSet::default();
        for (at, bits) in &self.alarms {
            if let Some(object) = objects.find(*at)? {
                let word = word(object.value).ok_or_else(|| {
                    RejectReason::new(
                        reject::TYPE,
                        format!("object {at} is neither a whole number nor a string of bits"),
                    )
                })?;
                set = AlarmSet(set.0 | bits.alarms(word).0);
            }
        }
        if let Some(start) = &self.gas_day
            && let Some(object) = objects.find(start.at)?
            && !start.is_kept(object.value)?
        {
            if !start.flags_only {
                return Err(RejectReason::new(
                    reject::GAS_DAY,
                    format!(
                        "the meter starts its gas day at another time than {:02}:{:02}, where its frozen totals are cut; set the meter, or write mismatch = \"flag\"",
                        start.hour, start.minute
                    ),
                ));
            }
            set = set.with(Alarm::GasDayStart);
        }
        Ok(set)
    }

    fn device(
        &self,
        objects: &Objects<'_, '_>,
        sender: Option<&DeviceId>,
    ) -> Result<Option<DeviceId>, RejectReason> {
        let at = match self.device {
            Name::Transport => return Ok(None),
            Name::SystemTitle => return Ok(sender.cloned()),
            Name::Object(at) => at,
        };
        let wrong = |what: &str| {
            RejectReason::new(
                reject::DEVICE,
                format!("object {at}, the device's name, {what}"),
            )
        };
        let object = objects
            .find(at)?
            .ok_or_else(|| wrong("is not in the message"))?;
        match object.value {
            Data::Octets(name) => {
                let text = std::str::from_utf8(name)
                    .ok()
                    .map(|text| text.trim_matches([' ', '\0']))
                    .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
                match text {
                    Some("") => Err(wrong("is empty")),
                    Some(text) if text.len() <= NAME_MAX => Ok(Some(DeviceId::from(text))),
                    None if name.len() <= NAME_MAX / 2 => {
                        Ok(Some(DeviceId::new(hex::encode_upper(name))))
                    }
                    _ => Err(wrong("is too long")),
                }
            }
            Data::Integer(number) => Ok(Some(DeviceId::new(number.to_string()))),
            _ => Err(wrong("is neither text nor a number")),
        }
    }
}

impl GasDayStart {
    fn is_kept(self, data: &Data<'_>) -> Result<bool, RejectReason> {
        let [hour, minute, second, _] = data.time_of_day().ok_or_else(|| {
            RejectReason::new(
                reject::TYPE,
                format!(
                    "object {}, the start of the gas day, is no time of day",
                    self.at
                ),
            )
        })?;
        Ok((hour, minute) == (self.hour, self.minute) && matches!(second, 0 | UNSPECIFIED))
    }
}

impl ObjectField {
    fn value(&self, object: &Object<'_, '_>) -> Result<Option<ItemValue>, RejectReason> {
        let item = self.field.item;
        if *object.value == Data::Null {
            return self
                .field
                .absent(format_args!("object {}, which has no value", self.at));
        }
        if self.field.states.is_some() {
            return self.state(object.value);
        }
        let wrong_unit = |code: u8| {
            fault(
                reject::UNIT_BYTE,
                item,
                format_args!("comes in unit {code} of the COSEM table, which it cannot have"),
            )
        };
        if item.is_exact() {
            let told = match object.unit {
                Some(unit) => Some(unit.decimals(item).ok_or_else(|| wrong_unit(unit.code))?),
                None => None,
            };
            let decimals = match (told, self.decimals) {
                (Some(told), Some(written)) if told != written => {
                    return Err(fault(
                        reject::UNIT_BYTE,
                        item,
                        format_args!(
                            "comes with {told} decimals in m³; the profile says {written}"
                        ),
                    ));
                }
                (Some(decimals), _) | (None, Some(decimals)) => decimals,
                (None, None) => {
                    return Err(fault(
                        reject::UNIT_BYTE,
                        item,
                        "comes without scaler and unit; write decimals",
                    ));
                }
            };
            if let Data::Float64(m3) = object.value
                && decimals == 0
            {
                return exact_from_float(item, *m3).map(|units| Some(ItemValue::Exact(units)));
            }
            return exact_from_count(item, whole(item, object.value)?, decimals)
                .map(|units| Some(ItemValue::Exact(units)));
        }
        let raw = match object.value {
            Data::Integer(number) => *number as f64,
            Data::Enum(number) => f64::from(*number),
            Data::Float32(number) => widen(*number),
            Data::Float64(number) => *number,
            _ => return Err(fault(reject::TYPE, item, "is no number")),
        };
        match object.unit {
            Some(unit) => match unit.telemetry(item, raw) {
                Some(value) if value.is_finite() => Ok(Some(ItemValue::Float(value))),
                Some(_) if self.field.optional => Ok(None),
                Some(_) => Err(fault(reject::RANGE, item, "is not a finite number")),
                None => Err(wrong_unit(unit.code)),
            },
            None => self.field.float(raw),
        }
    }

    fn state(&self, data: &Data<'_>) -> Result<Option<ItemValue>, RejectReason> {
        let item = self.field.item;
        let number = match data {
            Data::Boolean(is_true) => u64::from(*is_true),
            Data::Enum(number) => u64::from(*number),
            other => word(other).ok_or_else(|| fault(reject::TYPE, item, "is no state"))?,
        };
        let number = match self.mask {
            Some(mask) => (number & u64::from(mask)) >> mask.trailing_zeros().min(15),
            None => number,
        };
        self.field.state(&number.to_string())
    }
}

/// A whole number.
fn whole(item: Item, data: &Data<'_>) -> Result<i128, RejectReason> {
    match data {
        Data::Integer(number) => Ok(*number),
        Data::Float32(_) | Data::Float64(_) => Err(fault(
            reject::INEXACT,
            item,
            "is a float, which does not count every litre; map it to the second representation",
        )),
        _ => Err(fault(reject::TYPE, item, "is no number")),
    }
}

/// A word of bits, bit 0 the least significant; the first of a string of bits is bit 0.
fn word(data: &Data<'_>) -> Option<u64> {
    match data {
        Data::Integer(number) => u64::try_from(*number).ok(),
        Data::Boolean(is_set) => Some(u64::from(*is_set)),
        Data::Bits(bytes, count) => Some(
            bytes
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| u64::from(byte >> bit & 1)))
                .take((*count).min(64))
                .zip(0..)
                .fold(0, |word, (bit, place)| word | bit << place),
        ),
        _ => None,
    }
}
