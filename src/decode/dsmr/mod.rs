//! Codec `dsmr`: the P1 telegram of an electricity meter that reads a gas meter over M-Bus
//! (DSMR 2.2 to 5, ESMR, e-MUCS-P1).
//!
//! The gas meter is found by its device type 003, on whatever channel it is. Its stamp is the time
//! of the value; the telegram's own stamp is what the clock showed.
//!
//! # Source
//! DSMR P1 companion standard 2.2, 3.0, 4.2 and 5.0.2 (Netbeheer Nederland); e-MUCS P1 1.7
//! (Fluvius).

mod compile;
mod telegram;

#[cfg(test)]
mod tests;

use chrono::{DateTime, FixedOffset, Utc};

pub(super) use self::compile::compile;
use self::telegram::{Device, Telegram};
use crate::decode::code::reject;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::time::{WallClock, season_offset};
use crate::decode::value::{exact_from_text, fault};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{AlarmSet, Decoded, ItemValue};

/// M-Bus device type of a gas meter.
const GAS: u8 = 3;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DsmrCodec {
    has_checksum: bool,
    /// How far ahead of UTC a clock is whose stamps have no suffix.
    unmarked: Option<FixedOffset>,
    channel: Option<u8>,
    fields: Vec<TelegramField>,
    alarms: AlarmBits,
}

#[derive(Debug, Clone, PartialEq)]
struct TelegramField {
    field: Field,
    part: Part,
}

/// A part of what a telegram says of a gas meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Total(Measure),
    /// `0-n:24.4.0`.
    Valve,
}

/// Which of a gas meter's values a total is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// `0-n:24.2.0`, in telegrams of DSMR 2.2 and 3: whatever the meter counts.
    Any,
    /// `0-n:24.2.1`: converted to the base temperature, where the meter can.
    Converted,
    /// `0-n:24.2.3`: not converted.
    Unconverted,
}

impl Measure {
    const ALL: [Self; 3] = [Self::Any, Self::Converted, Self::Unconverted];

    const fn code(self) -> &'static str {
        match self {
            Self::Any => "24.2.0",
            Self::Converted => "24.2.1",
            Self::Unconverted => "24.2.3",
        }
    }

    fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.code() == code)
    }
}

impl DsmrCodec {
    /// Decodes a telegram.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Decoded, RejectReason> {
        let telegram = Telegram::parse(bytes, self.has_checksum)?;
        let (channel, device) = self.gas_meter(&telegram)?;
        let mut values = Vec::with_capacity(self.fields.len());
        let mut sampled_at: Option<DateTime<Utc>> = None;
        let mut alarms = AlarmSet::default();
        for field in &self.fields {
            let value = match field.part {
                Part::Total(measure) => match device.total(measure) {
                    Some(total) => {
                        let at = self.instant(total.stamp, "gas value")?;
                        if sampled_at.is_some_and(|other| other != at) {
                            return Err(RejectReason::new(
                                reject::TIME,
                                "the gas meter's values are of different times",
                            ));
                        }
                        sampled_at = Some(at);
                        if let Some(status) = total.status {
                            alarms = AlarmSet(alarms.0 | self.alarms.alarms(u64::from(status)).0);
                        }
                        cubic_metres(&field.field, total)?
                    }
                    None => field
                        .field
                        .absent(format_args!("0-{channel}:{}", measure.code()))?,
                },
                Part::Valve => match device.valve {
                    Some(state) => field.field.state(state)?,
                    None => field.field.absent(format_args!("0-{channel}:24.4.0"))?,
                },
            };
            values.extend(value.map(|value| (field.field.item, value)));
        }
        let sampled_at = sampled_at.ok_or_else(|| {
            RejectReason::new(
                reject::EMPTY,
                format!("the gas meter on channel {channel} has none of the profile's values"),
            )
        })?;
        let clock_at = match telegram.stamp {
            Some(stamp) => Some(self.instant(stamp, "telegram")?),
            None => None,
        };
        Ok(Decoded {
            device: device.name.and_then(device_name),
            sampled_at,
            clock_at,
            values,
            frozen: Vec::new(),
            alarms,
        })
    }

    /// The gas meter the profile reads: the one on its channel, or the only one with values.
    fn gas_meter<'t, 'a>(
        &self,
        telegram: &'t Telegram<'a>,
    ) -> Result<(u8, &'t Device<'a>), RejectReason> {
        if let Some(channel) = self.channel {
            return match telegram.device(channel) {
                Some(device) if device.kind == Some(GAS) => Ok((channel, device)),
                Some(Device {
                    kind: Some(other), ..
                }) => Err(RejectReason::new(
                    reject::METER_TYPE,
                    format!(
                        "channel {channel} has a device of type {other:03}; a gas meter is 003"
                    ),
                )),
                _ => Err(RejectReason::new(
                    reject::MISSING,
                    format!("telegram says nothing of a device on channel {channel}"),
                )),
            };
        }
        let mut meters = telegram
            .devices()
            .filter(|(_, device)| device.kind == Some(GAS) && device.has_totals());
        match (meters.next(), meters.next()) {
            (Some(only), None) => Ok(only),
            (Some((first, _)), Some((second, _))) => Err(RejectReason::new(
                reject::MESSAGE,
                format!(
                    "gas meters on channels {first} and {second}; write channel = {first} or {second} in [dsmr]"
                ),
            )),
            (None, _) => Err(RejectReason::new(
                reject::MISSING,
                "telegram has no value of a gas meter (device type 003)",
            )),
        }
    }

    /// `YYMMDDhhmmss`, and S or W, or no suffix where the profile says what that means.
    fn instant(&self, stamp: &str, of: &str) -> Result<DateTime<Utc>, RejectReason> {
        let wrong =
            |what: &str| RejectReason::new(reject::TIME, format!("time stamp of the {of} {what}"));
        let Some((digits, suffix)) = stamp.as_bytes().split_first_chunk::<12>() else {
            return Err(wrong("is shorter than YYMMDDhhmmss"));
        };
        let ahead = match suffix {
            [] => self.unmarked.ok_or_else(|| {
                wrong("does not say S or W; write utc_offset in [dsmr] if the clock never changes")
            })?,
            [season] => season_offset(*season).ok_or_else(|| wrong("ends in neither S nor W"))?,
            _ => return Err(wrong("is longer than YYMMDDhhmmssX")),
        };
        WallClock::from_digits(digits)
            .and_then(|clock| clock.at(ahead))
            .ok_or_else(|| wrong("shows no date and time"))
    }
}

fn cubic_metres(
    field: &Field,
    total: &telegram::Total<'_>,
) -> Result<Option<ItemValue>, RejectReason> {
    match total.unit {
        Some("m3") => {}
        Some(_) => {
            return Err(fault(
                reject::UNIT_BYTE,
                field.item,
                "has another unit than m3",
            ));
        }
        None => {
            return Err(fault(
                reject::UNIT_BYTE,
                field.item,
                "has no unit; a gas meter that was never read sends this",
            ));
        }
    }
    exact_from_text(field.item, total.value).map(|units| Some(ItemValue::Exact(units)))
}

/// The name a meter gives itself: text, usually written as hexadecimal.
fn device_name(written: &str) -> Option<DeviceId> {
    if written.is_empty() {
        return None;
    }
    let decoded = hex::decode(written)
        .ok()
        .filter(|name| name.iter().all(u8::is_ascii_graphic))
        .and_then(|name| String::from_utf8(name).ok());
    Some(match decoded {
        Some(name) => DeviceId::new(name),
        None => DeviceId::from(written),
    })
}
