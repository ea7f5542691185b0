//! Codec `layout`: a binary frame whose profile states what lies where.
//!
//! A frame is of the first kind of message whose `when` it fits. It must have exactly the bytes its
//! kind has, unless the profile lets more follow; then its checks must hold; only then is a value
//! read. Places are checked against the frame's size when the profile is loaded.

mod array;
mod check;
mod claims;
mod compile;
mod place;
mod raw;
mod time;

use chrono::{DateTime, Utc};

use self::array::{Array, with_fraction};
use self::check::Check;
pub(super) use self::compile::compile;
use self::place::{Number, Order, Part, Place};
use self::raw::NameKind;
use self::time::{Known, LayoutTime};
use crate::decode::code::reject;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::message::device_name;
use crate::decode::value::{bcd_byte, exact_from_count, exact_from_double, fault};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{Alarm, AlarmSet, Decoded, Item, ItemValue};

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayoutCodec {
    messages: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    when: Vec<Condition>,
    /// Bytes of a frame without the arrays whose length it tells.
    size: usize,
    size_max: usize,
    checks: Vec<Check>,
    device: Option<DeviceName>,
    time: Option<LayoutTime>,
    clock: Option<LayoutTime>,
    fields: Vec<LayoutField>,
    alarms: Vec<LayoutAlarm>,
    arrays: Vec<Array>,
}

/// What shows the kind of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Bytes { place: Place, bytes: Vec<u8> },
    Port(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DeviceName {
    place: Place,
    kind: NameKind,
    order: Order,
    trim_zeros: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct LayoutField {
    field: Field,
    part: Part,
    decimals: i8,
    /// Digits behind the point.
    fraction: Option<(Part, i8)>,
    /// A number above the field's own, and how many of those it counts.
    high: Option<(Part, i128)>,
    /// Bytes on the wire that stand for "no value".
    none: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq)]
struct LayoutAlarm {
    part: Part,
    bits: AlarmBits,
    codes: Vec<(i128, Alarm)>,
}

impl LayoutCodec {
    /// Decodes a frame. A kind of message without a time takes the time of arrival.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        received_at: DateTime<Utc>,
        port: Option<u64>,
    ) -> Result<Decoded, RejectReason> {
        if bytes.is_empty() {
            return Err(RejectReason::new(reject::TRUNCATED, "frame has no byte"));
        }
        let message = self
            .messages
            .iter()
            .find(|m| m.when.iter().all(|c| c.holds(bytes, port)))
            .ok_or_else(|| no_message(bytes, port))?;
        message.decode(bytes, received_at)
    }
}

fn no_message(bytes: &[u8], port: Option<u64>) -> RejectReason {
    let first = bytes.first().copied().unwrap_or_default();
    let port = port.map_or("none".to_owned(), |port| port.to_string());
    RejectReason::new(
        reject::MESSAGE,
        format!(
            "frame of {} bytes, first byte {first:02X}h, port {port}, is of no kind the profile knows",
            bytes.len()
        ),
    )
}

impl Condition {
    fn holds(&self, frame: &[u8], port: Option<u64>) -> bool {
        match self {
            Self::Bytes { place, bytes } => place.of(frame).is_ok_and(|sent| sent == bytes),
            Self::Port(wanted) => port == Some(*wanted),
        }
    }
}

impl Message {
    fn decode(&self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Decoded, RejectReason> {
        self.check_size(frame)?;
        for check in &self.checks {
            check.run(frame)?;
        }
        let device = match &self.device {
            Some(device) => Some(device.read(frame)?),
            None => None,
        };
        let sampled_at = match &self.time {
            Some(time) => time.instant(frame, None)?,
            None => received_at,
        };
        let known = Known {
            time: sampled_at,
            clock: None,
        };
        let clock_at = match &self.clock {
            Some(clock) => Some(clock.instant(frame, Some(known))?),
            None => None,
        };
        let known = Known {
            clock: clock_at,
            ..known
        };
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(frame)? {
                values.push((field.field.item, value));
            }
        }
        let mut frozen = Vec::new();
        for array in &self.arrays {
            frozen.extend(array.totals(frame, known)?);
        }
        let mut alarms = AlarmSet::default();
        for alarm in &self.alarms {
            alarms = AlarmSet(alarms.0 | alarm.read(frame)?.0);
        }
        if values.is_empty() && frozen.is_empty() {
            return Err(RejectReason::new(
                reject::EMPTY,
                "message holds none of the values its profile names",
            ));
        }
        Ok(Decoded {
            device,
            sampled_at,
            clock_at,
            values,
            frozen,
            alarms,
        })
    }

    /// The arrays whose length the frame tells lie side by side, record after record.
    fn told(&self) -> Option<(array::Count, usize)> {
        self.arrays
            .iter()
            .find(|a| matches!(a.count, array::Count::Told { .. }))
            .map(|a| (a.count, a.stride))
    }

    fn check_size(&self, frame: &[u8]) -> Result<(), RejectReason> {
        let short = |need: usize| {
            RejectReason::new(
                reject::TRUNCATED,
                format!("frame ends early: {} bytes, needs {need}", frame.len()),
            )
        };
        if frame.len() < self.size {
            return Err(short(self.size));
        }
        let told = match self.told() {
            Some((count, stride)) => count.of(frame)?.saturating_mul(stride),
            None => 0,
        };
        let (need, most) = (self.size + told, self.size_max + told);
        if frame.len() < need {
            return Err(short(need));
        }
        if frame.len() > most {
            return Err(RejectReason::new(
                reject::TRAILING,
                format!(
                    "{} bytes follow the {most} of the frame",
                    frame.len() - most
                ),
            ));
        }
        Ok(())
    }
}

impl DeviceName {
    fn read(&self, frame: &[u8]) -> Result<DeviceId, RejectReason> {
        let sorted = self.order.sorted(self.place.of(frame)?);
        let text: String = match self.kind {
            NameKind::Ascii => {
                let text: String = sorted.map(char::from).collect();
                text.trim_matches(['\0', ' ', '\u{FF}']).to_owned()
            }
            NameKind::Hex => hex::encode(sorted.collect::<Vec<_>>()),
            NameKind::Bcd => sorted
                .map(|byte| bcd_byte(byte).map(|number| format!("{number:02}")))
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    RejectReason::new(
                        reject::BCD,
                        "the device's number has a nibble that is no decimal digit",
                    )
                })?,
        };
        if !text.is_ascii() {
            return Err(RejectReason::new(
                reject::DEVICE,
                "the device's name has bytes that are no characters",
            ));
        }
        if self.trim_zeros {
            device_name(text.trim_start_matches('0'))
        } else {
            device_name(&text)
        }
    }
}

impl LayoutField {
    fn value(&self, frame: &[u8]) -> Result<Option<ItemValue>, RejectReason> {
        let item = self.field.item;
        let sent = self.part.place.of(frame)?;
        if self.none.iter().any(|none| none == sent) {
            return self.field.absent("its place, by the mark for no value");
        }
        let number = self.part.of_bytes(sent).ok_or_else(|| no_digits(item))?;
        if self.field.states.is_some() {
            return match number {
                Number::Whole(state) => self.field.state(&state.to_string()),
                _ => Err(fault(
                    reject::TYPE,
                    item,
                    "is a float; a state is a whole number",
                )),
            };
        }
        let (number, decimals) = self.with_parts(number, frame)?;
        if !item.is_exact() {
            let scaled = match (&self.fraction, number) {
                (Some((_, decimals)), Number::Whole(count)) => {
                    count as f64 / 10_f64.powi(i32::from(*decimals))
                }
                (_, number) => number.to_f64(),
            };
            return self.field.float(scaled);
        }
        let units = match number {
            Number::Whole(count) => exact_from_count(item, count, decimals),
            Number::Single(_) | Number::Double(_) => exact_from_double(item, number.to_f64()),
        }?;
        Ok(Some(ItemValue::Exact(units)))
    }

    /// The whole number with what lies above and behind it, and its implied decimals.
    fn with_parts(&self, number: Number, frame: &[u8]) -> Result<(Number, i8), RejectReason> {
        let item = self.field.item;
        let Number::Whole(mut count) = number else {
            return Ok((number, self.decimals));
        };
        let beyond = || fault(reject::RANGE, item, "is too large for a total");
        if let Some((high, times)) = &self.high {
            let Some(Number::Whole(high)) = high.number(frame)? else {
                return Err(no_digits(item));
            };
            if count < 0 || count >= *times {
                return Err(fault(
                    reject::RANGE,
                    item,
                    "has a low part that runs into its high part",
                ));
            }
            count = high
                .checked_mul(*times)
                .and_then(|high| high.checked_add(count))
                .ok_or_else(beyond)?;
        }
        let Some((fraction, decimals)) = &self.fraction else {
            return Ok((Number::Whole(count), self.decimals));
        };
        let Some(Number::Whole(part)) = fraction.number(frame)? else {
            return Err(no_digits(item));
        };
        let count = with_fraction(item, count, part, *decimals)?;
        Ok((Number::Whole(count), *decimals))
    }
}

fn no_digits(item: Item) -> RejectReason {
    fault(reject::BCD, item, "has a nibble that is no decimal digit")
}

impl LayoutAlarm {
    fn read(&self, frame: &[u8]) -> Result<AlarmSet, RejectReason> {
        let Some(Number::Whole(word)) = self.part.number(frame)? else {
            return Ok(AlarmSet::default());
        };
        if self.codes.is_empty() {
            let word = u64::try_from(word).unwrap_or_default();
            return Ok(self.bits.alarms(word));
        }
        let code = self.codes.iter().find(|(code, _)| *code == word);
        Ok(match (code, word) {
            (Some((_, alarm)), _) => AlarmSet::default().with(*alarm),
            (None, 0) => AlarmSet::default(),
            (None, _) => AlarmSet::default().with(Alarm::Unlisted),
        })
    }
}

#[cfg(test)]
mod tests;
