//! Codec `modbus`: a register snapshot; the profile says which registers hold what.
//!
//! Every register the profile names must be in the snapshot, optional fields included: a shorter
//! snapshot is a poll that failed, not a device that has less.

mod compile;
mod device;
mod number;
mod order;
mod raw;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

pub(super) use self::compile::compile;
use self::device::DeviceName;
use self::number::{Number, in_order, number};
pub(super) use self::raw::{ByteOrder, ClockFormat, RawBits, RawFraction, RawHigh, RegisterType};
use crate::decode::code::reject;
use crate::decode::field::{AlarmBits, Field};
use crate::decode::snapshot::{self, BlockReading, RegisterBlock};
use crate::decode::value::{bcd_byte, exact_from_count, exact_from_double, fault};
use crate::domain::calendar::beijing_instant;
use crate::domain::frame::RejectReason;
use crate::domain::reading::{AlarmSet, Decoded, Item, ItemValue};

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModbusCodec {
    pub(super) blocks: Vec<RegisterBlock>,
    pub(super) quirks: ModbusQuirks,
    fields: Vec<RegisterField>,
    alarms: Vec<RegisterAlarm>,
    clock: Option<Clock>,
    device: Option<DeviceName>,
}

/// What a poller must know of a device beyond its registers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModbusQuirks {
    /// Pause between two requests, ms.
    pub pause_ms: u64,
    /// How long the model may take to answer, ms, where it is known to be slow.
    pub timeout_ms: Option<u64>,
    /// Exception codes that mean "not now": the connection stays, the poll is tried again.
    pub retry_exceptions: Vec<u8>,
}

/// Where a number lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    function: u8,
    start: u16,
    count: u16,
    order: ByteOrder,
}

#[derive(Debug, Clone, PartialEq)]
struct RegisterField {
    field: Field,
    place: Place,
    kind: RegisterType,
    decimals: i8,
    fraction: Option<Fraction>,
    high: Option<High>,
    mask: Option<u16>,
    bits: Option<Bits>,
    /// Bytes on the wire, in register order, that mean "no value".
    none: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fraction {
    place: Place,
    kind: RegisterType,
    decimals: i8,
}

/// The higher digits of a total that is split: total = high × 10^exponent + low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct High {
    place: Place,
    kind: RegisterType,
    exponent: u8,
}

/// A run of bits of a number, bit 0 the least significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits {
    first: u32,
    count: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RegisterAlarm {
    place: Place,
    kind: RegisterType,
    bits: AlarmBits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    place: Place,
    format: ClockFormat,
}

impl ModbusCodec {
    /// Decodes a snapshot. Without clock registers the instant is when it reached us.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        received_at: DateTime<Utc>,
    ) -> Result<Decoded, RejectReason> {
        let blocks = snapshot::decode(bytes)?;
        let device = match self.device {
            Some(name) => Some(name.read(&blocks)?),
            None => None,
        };
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(&blocks)? {
                values.push((field.field.item, value));
            }
        }
        let mut alarms = AlarmSet::default();
        for alarm in &self.alarms {
            alarms = AlarmSet(alarms.0 | alarm.read(&blocks)?.0);
        }
        let sampled_at = match &self.clock {
            Some(clock) => clock.read(&blocks)?,
            None => received_at,
        };
        if values.is_empty() {
            return Err(RejectReason::new(
                reject::EMPTY,
                "snapshot holds none of the values its profile names",
            ));
        }
        Ok(Decoded {
            device,
            sampled_at,
            clock_at: None,
            values,
            frozen: Vec::new(),
            alarms,
        })
    }
}

impl Place {
    /// The registers, wherever in the snapshot they are.
    fn registers(self, blocks: &[BlockReading]) -> Result<&[u16], RejectReason> {
        blocks
            .iter()
            .filter(|b| b.function == self.function && b.start <= self.start)
            .find_map(|b| {
                let from = usize::from(self.start - b.start);
                b.registers.get(from..from + usize::from(self.count))
            })
            .ok_or_else(|| {
                RejectReason::new(
                    reject::REGISTERS,
                    format!(
                        "snapshot does not hold registers {} to {} of function {}",
                        self.start,
                        u32::from(self.start) + u32::from(self.count) - 1,
                        self.function
                    ),
                )
            })
    }

    fn bytes(self, blocks: &[BlockReading]) -> Result<Vec<u8>, RejectReason> {
        Ok(in_order(self.registers(blocks)?, self.order))
    }
}

impl RegisterField {
    fn value(&self, blocks: &[BlockReading]) -> Result<Option<ItemValue>, RejectReason> {
        let registers = self.place.registers(blocks)?;
        let fraction = match self.fraction {
            Some(fraction) => Some((fraction, fraction.place.bytes(blocks)?)),
            None => None,
        };
        if !self.none.is_empty() {
            let wire: Vec<u8> = registers.iter().flat_map(|r| r.to_be_bytes()).collect();
            if self.none.contains(&wire) {
                return self.field.absent(self.where_it_is());
            }
        }
        let high = match self.high {
            Some(high) => Some((high, high.place.bytes(blocks)?)),
            None => None,
        };
        let item = self.field.item;
        let whole = number(self.kind, &in_order(registers, self.place.order))
            .ok_or_else(|| self.no_digits())?;
        if let (Some(bits), Number::Whole(word)) = (self.bits, whole) {
            let state = (word >> bits.first) & ((1_i128 << bits.count) - 1);
            return self.state_or_float(Number::Whole(state));
        }
        if let Some(mask) = self.mask
            && let Number::Whole(bits) = whole
        {
            let state = (bits & i128::from(mask)) >> mask.trailing_zeros();
            return self.state_or_float(Number::Whole(state));
        }
        if !item.is_exact() {
            return self.state_or_float(whole);
        }
        let units = match whole {
            Number::Whole(count) => {
                let count = match high {
                    Some((high, bytes)) => self.joined(high, &bytes, count)?,
                    None => count,
                };
                let units = exact_from_count(item, count, self.decimals)?;
                match fraction {
                    Some((fraction, bytes)) => units
                        .checked_add(self.fraction(fraction, &bytes)?)
                        .ok_or_else(|| fault(reject::RANGE, item, "is too large for a total"))?,
                    None => units,
                }
            }
            Number::Single(m3) | Number::Double(m3) => exact_from_double(item, m3)?,
        };
        Ok(Some(ItemValue::Exact(units)))
    }

    fn fraction(&self, fraction: Fraction, bytes: &[u8]) -> Result<i64, RejectReason> {
        let item = self.field.item;
        let count = match number(fraction.kind, bytes) {
            Some(Number::Whole(count)) => count,
            Some(Number::Single(part)) => return self.float_fraction(fraction, part),
            _ => return Err(self.no_digits()),
        };
        if count >= 10_i128.pow(u32::from(fraction.decimals.unsigned_abs())) {
            return Err(fault(
                reject::RANGE,
                item,
                format_args!(
                    "has a fraction of more than {} decimals at register {}",
                    fraction.decimals, fraction.place.start
                ),
            ));
        }
        exact_from_count(item, count, fraction.decimals)
    }

    /// A fraction that is itself a float, cut to four decimals.
    #[expect(clippy::cast_possible_truncation, reason = "a number from 0 to 9999")]
    fn float_fraction(&self, fraction: Fraction, part: f64) -> Result<i64, RejectReason> {
        if (0.0..1.0).contains(&part) {
            // Seven digits of a float, the fifth decimal safely inside them.
            Ok((part * 10_000.0 + 1e-3).min(9_999.0) as i64)
        } else {
            Err(fault(
                reject::RANGE,
                self.field.item,
                format_args!(
                    "has a fraction that is not from 0 to 1 at register {}",
                    fraction.place.start
                ),
            ))
        }
    }

    /// Both parts of a split total as one number.
    fn joined(&self, high: High, bytes: &[u8], low: i128) -> Result<i128, RejectReason> {
        let Some(Number::Whole(upper)) = number(high.kind, bytes) else {
            return Err(self.no_digits());
        };
        let step = 10_i128.pow(high.exponent.into());
        if (0..step).contains(&low) {
            Ok(upper * step + low)
        } else {
            Err(fault(
                reject::RANGE,
                self.field.item,
                format_args!(
                    "has a lower part of more than {} digits at register {}; the exponent of high does not fit",
                    high.exponent, self.place.start
                ),
            ))
        }
    }

    fn state_or_float(&self, number: Number) -> Result<Option<ItemValue>, RejectReason> {
        match (&self.field.states, number) {
            (Some(_), Number::Whole(state)) => self.field.state(&state.to_string()),
            _ => self.field.float(number.to_f64()),
        }
    }

    fn where_it_is(&self) -> String {
        format!("register {}", self.place.start)
    }

    fn no_digits(&self) -> RejectReason {
        fault(
            reject::BCD,
            self.field.item,
            format_args!(
                "has a nibble that is no decimal digit at {}",
                self.where_it_is()
            ),
        )
    }
}

impl RegisterAlarm {
    fn read(&self, blocks: &[BlockReading]) -> Result<AlarmSet, RejectReason> {
        let word = match number(self.kind, &self.place.bytes(blocks)?) {
            Some(Number::Whole(word)) => u64::try_from(word).unwrap_or(0),
            _ => 0,
        };
        Ok(self.bits.alarms(word))
    }
}

impl Clock {
    fn read(self, blocks: &[BlockReading]) -> Result<DateTime<Utc>, RejectReason> {
        let bytes = self.place.bytes(blocks)?;
        let read = || match (self.format, bytes.as_slice()) {
            (ClockFormat::UnixS, &[a, b, c, d]) => {
                DateTime::from_timestamp(i64::from(u32::from_be_bytes([a, b, c, d])), 0)
            }
            (ClockFormat::Bcd, &[year, month, day, hour, minute, second]) => {
                let two = |byte| bcd_byte(byte).map(u16::from);
                civil([
                    two(year)?,
                    two(month)?,
                    two(day)?,
                    two(hour)?,
                    two(minute)?,
                    two(second)?,
                ])
            }
            (ClockFormat::Fields, bytes) => {
                let (pairs, _) = bytes.as_chunks::<2>();
                let fields: Vec<u16> = pairs.iter().map(|p| u16::from_be_bytes(*p)).collect();
                civil(fields.try_into().ok()?)
            }
            _ => None,
        };
        read().ok_or_else(|| {
            RejectReason::new(
                reject::TIME,
                format!(
                    "device clock at register {} shows no date and time",
                    self.place.start
                ),
            )
        })
    }
}

/// Beijing civil time; a year below 100 is of this century.
fn civil([year, month, day, hour, minute, second]: [u16; 6]) -> Option<DateTime<Utc>> {
    let year = i32::from(year);
    let year = if year < 100 { 2000 + year } else { year };
    if year > 9999 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year, month.into(), day.into())?;
    let time = NaiveTime::from_hms_opt(hour.into(), minute.into(), second.into())?;
    Some(beijing_instant(date, time))
}

/// Which items a float may stand for.
fn may_be_float(item: Item, kind: RegisterType, inexact: bool) -> bool {
    !item.is_exact() || kind != RegisterType::F32 || inexact
}
