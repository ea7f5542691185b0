//! Dates and times of meters: types F (4 bytes), G (2) and I (6) of EN 13757-3.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::decode::mbus::record::{Content, Order, Record};

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum StampType {
    /// Minutes (4 bytes).
    F,
    /// A day (2 bytes).
    G,
    /// Seconds (6 bytes).
    I,
}

/// A civil time as a meter writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Stamp {
    pub(in crate::decode) date: NaiveDate,
    /// None for a day.
    pub(in crate::decode) time: Option<NaiveTime>,
    /// Minutes the clock is ahead of standard time.
    pub(in crate::decode) summer_min: i64,
}

/// From civil time to instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Zone {
    /// Standard time ahead of UTC, minutes.
    pub(in crate::decode) offset_min: i64,
}

impl Zone {
    /// The instant of a stamp; a day counts from its midnight plus `date_plus_s`, if that is given.
    pub(in crate::decode) fn instant(
        self,
        stamp: &Stamp,
        date_plus_s: Option<u32>,
    ) -> Option<DateTime<Utc>> {
        let (time, plus_s) = match (stamp.time, date_plus_s) {
            (Some(time), _) => (time, 0),
            (None, Some(plus)) => (NaiveTime::MIN, i64::from(plus)),
            (None, None) => return None,
        };
        let ahead = TimeDelta::minutes(self.offset_min + stamp.summer_min);
        stamp
            .date
            .and_time(time)
            .checked_sub_signed(ahead)?
            .checked_add_signed(TimeDelta::seconds(plus_s))
            .map(|civil| civil.and_utc())
    }
}

/// The type of a record's time, by its length.
pub(in crate::decode) fn stamp_type(record: &Record<'_>) -> Option<StampType> {
    match record.content {
        Content::Integer(bytes) => match bytes.len() {
            2 => Some(StampType::G),
            4 => Some(StampType::F),
            6 => Some(StampType::I),
            _ => None,
        },
        _ => None,
    }
}

/// The time of a record, or why it is none.
pub(in crate::decode) fn stamp(record: &Record<'_>) -> Result<Stamp, &'static str> {
    let Content::Integer(bytes) = record.content else {
        return Err("is no binary date");
    };
    let mut low_first = [0_u8; 6];
    let reversed = record.order == Order::HighFirst;
    for (place, to) in low_first.iter_mut().take(bytes.len()).enumerate() {
        let from = if reversed {
            bytes.len() - 1 - place
        } else {
            place
        };
        *to = bytes.get(from).copied().unwrap_or_default();
    }
    match (bytes.len(), low_first) {
        (2, [day, month, ..]) => Ok(Stamp {
            date: date(day, month, None)?,
            time: None,
            summer_min: 0,
        }),
        (4, [minute, hour, day, month, ..]) => {
            if minute & 0x80 != 0 {
                return Err("is marked invalid by the meter; its clock is not set");
            }
            Ok(Stamp {
                date: date(day, month, Some(hour >> 5 & 3))?,
                time: Some(time(hour & 0x1F, minute & 0x3F, 0)?),
                summer_min: if hour & 0x80 == 0 { 0 } else { 60 },
            })
        }
        (6, [second, minute, hour, day, month, week]) => {
            if minute & 0x80 != 0 {
                return Err("is marked invalid by the meter; its clock is not set");
            }
            let summer_min = if second & 0x80 == 0 {
                0
            } else {
                let deviation = match week >> 6 {
                    0 => 60,
                    hours => 60 * i64::from(hours),
                };
                if minute & 0x40 == 0 {
                    deviation
                } else {
                    -deviation
                }
            };
            Ok(Stamp {
                date: date(day, month, None)?,
                time: Some(time(hour & 0x1F, minute & 0x3F, second & 0x3F)?),
                summer_min,
            })
        }
        (3, _) => Err("is a time of day without a date"),
        _ => Err("has a length that no date has"),
    }
}

/// Day and month bytes; the year is spread over both. Meters write two digits; the hundreds of
/// type F are 0 for old meters, whose years up to 80 are of this century.
fn date(day: u8, month: u8, hundreds: Option<u8>) -> Result<NaiveDate, &'static str> {
    let year = i32::from(day >> 5 | (month >> 4) << 3);
    let year = match hundreds {
        _ if year > 99 => return Err("is no date; it has not been set"),
        Some(hundreds @ 1..) => 1900 + 100 * i32::from(hundreds) + year,
        _ if year <= 80 => 2000 + year,
        _ => 1900 + year,
    };
    NaiveDate::from_ymd_opt(year, u32::from(month & 0x0F), u32::from(day & 0x1F))
        .ok_or("is no date; it has not been set")
}

fn time(hour: u8, minute: u8, second: u8) -> Result<NaiveTime, &'static str> {
    NaiveTime::from_hms_opt(u32::from(hour), u32::from(minute), u32::from(second))
        .ok_or("is no time of day")
}

/// The same day `count` months later or earlier. The last day of a month stays the last day: meters
/// close months, not the 30th.
pub(in crate::decode) fn months_from(date: NaiveDate, count: i32) -> Option<NaiveDate> {
    let months = date
        .year()
        .checked_mul(12)?
        .checked_add(i32::try_from(date.month0()).ok()?)?
        .checked_add(count)?;
    let month0 = u32::try_from(months.rem_euclid(12)).ok()?;
    let first = NaiveDate::from_ymd_opt(months.div_euclid(12), month0 + 1, 1)?;
    let last = last_of_month(first)?;
    if last_of_month(date)? == date {
        return Some(last);
    }
    Some(first.with_day(date.day()).unwrap_or(last))
}

fn last_of_month(date: NaiveDate) -> Option<NaiveDate> {
    let first = date.with_day(1)?;
    first
        .checked_add_days(Days::new(31))?
        .with_day(1)?
        .checked_sub_days(Days::new(1))
}
