//! Codec `cjt188`: the reply of a CJ/T 188 gas meter, `68 30 A0…A6 81 L DI SER … CS 16`.
//!
//! # Source
//! domain.md §3.2; the bits of the status word differ by vendor and are profile data.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::code::{problem, reject};
use crate::decode::field::{AlarmBits, Field, foreign_keys, in_item_order};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::value::{bcd, bcd_byte, exact_from_count};
use crate::domain::calendar::beijing_instant;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{AlarmSet, Decoded, ItemValue};

const START: u8 = 0x68;
const END: u8 = 0x16;
const WAKE_UP: u8 = 0xFE;
const GAS: u8 = 0x30;
const REPLY: u8 = 0x81;
const ERROR_REPLY: u8 = 0xC1;
const CUBIC_METRES: u8 = 0x2C;
/// Data identifier 901Fh, low byte first: totals and status.
const TOTALS: [u8; 2] = [0x1F, 0x90];
/// Length of the data of that reply: identifier, serial, two totals with units, clock, status.
const DATA_LEN: u8 = 22;
/// The totals count in 0.01 m³.
const TOTAL_DECIMALS: i8 = 2;
/// Wake-up bytes before a frame at most.
const WAKE_UP_MAX: usize = 32;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cjt188Codec {
    fields: Vec<FrameField>,
    alarms: AlarmBits,
}

#[derive(Debug, Clone, PartialEq)]
struct FrameField {
    field: Field,
    part: Part,
}

/// A part of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// 当前累积流量.
    CurrentTotal,
    /// Bits of the status word (ST, low byte first).
    Status { mask: u16 },
}

/// Reads `[[field]]` and `[[alarm]]`.
pub(super) fn compile<'t>(reader: &mut FileReader<'t>, table: &mut DeTable<'t>) -> Cjt188Codec {
    let checked = reader
        .all::<RawField>(table, "field")
        .into_iter()
        .filter_map(|(_, raw)| {
            let span = raw.name.span();
            field(reader, &raw).map(|f| (span, f))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &FrameField| f.field.item);
    if fields.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit and at = \"current_total\"",
        );
    }
    let mut alarms = AlarmBits::default();
    for (span, raw) in reader.all::<RawAlarm>(table, "alarm") {
        if raw.at.as_ref().map(|at| at.get_ref().as_str()) != Some("status")
            || !raw.texts.is_empty()
        {
            reader.problem(
                Some(span),
                problem::FIELD,
                "alarm of a CJ/T 188 frame is not at the status word",
                "write at = \"status\" and bits",
            );
        }
        alarms.0.extend(AlarmBits::check(reader, &raw.bits, 16).0);
    }
    Cjt188Codec { fields, alarms }
}

fn field(reader: &mut FileReader<'_>, raw: &RawField) -> Option<FrameField> {
    let name = raw.name.get_ref();
    foreign_keys(
        reader,
        "cjt188",
        name,
        &[
            ("function", raw.function.as_ref().map(Spanned::span)),
            ("register", raw.register.as_ref().map(Spanned::span)),
            ("type", raw.kind.as_ref().map(Spanned::span)),
            ("words", raw.words.as_ref().map(Spanned::span)),
            ("fraction", raw.fraction.as_ref().map(Spanned::span)),
            ("decimals", raw.decimals.as_ref().map(Spanned::span)),
            ("high", raw.high.as_ref().map(Spanned::span)),
            ("bits", raw.bits.as_ref().map(Spanned::span)),
            ("none", raw.none.first().map(Spanned::span)),
        ],
    );
    let checked = Field::check(reader, raw);
    let at = raw.at.as_ref().map(|at| at.get_ref().as_str());
    let part = match (at, &raw.mask) {
        (Some("current_total"), None) => Part::CurrentTotal,
        (Some("status"), Some(mask)) if *mask.get_ref() != 0 => Part::Status {
            mask: *mask.get_ref(),
        },
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("field `{name}` names no part of a CJ/T 188 frame"),
                "write at = \"current_total\", or at = \"status\" with a mask",
            );
            return None;
        }
    };
    let checked = checked?;
    if checked.item.is_exact() != (part == Part::CurrentTotal) {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` is read from a part that does not hold it"),
            "read total_work or total_std from current_total, states from status",
        );
    }
    Some(FrameField {
        field: checked,
        part,
    })
}

impl Cjt188Codec {
    /// Decodes a frame.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Decoded, RejectReason> {
        let data = Frame::check(bytes)?;
        // Layout of the 22 data bytes: DI 2, SER 1, total 4, unit 1, settlement total 4, unit 1,
        // clock 7, status 2.
        let [
            _,
            _,
            _,
            t0,
            t1,
            t2,
            t3,
            unit,
            s0,
            s1,
            s2,
            s3,
            settlement_unit,
            second,
            minute,
            hour,
            day,
            month,
            year,
            century,
            st0,
            st1,
        ] = data.data;
        for (unit, which) in [(unit, "current"), (settlement_unit, "settlement day's")] {
            if unit != CUBIC_METRES {
                return Err(RejectReason::new(
                    reject::UNIT_BYTE,
                    format!("{which} total has unit byte {unit:02X}h; expected 2Ch, m³"),
                ));
            }
        }
        let total = digits([t3, t2, t1, t0], "current total")?;
        digits([s3, s2, s1, s0], "settlement day's total")?;
        let sampled_at = clock([century, year, month, day, hour, minute, second])?;
        let status = u16::from_le_bytes([st0, st1]);
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(total, status)? {
                values.push((field.field.item, value));
            }
        }
        Ok(Decoded {
            device: Some(DeviceId::new(data.address)),
            sampled_at,
            clock_at: None,
            values,
            frozen: Vec::new(),
            alarms: self.alarms(status),
        })
    }

    fn alarms(&self, status: u16) -> AlarmSet {
        self.alarms.alarms(u64::from(status))
    }
}

impl FrameField {
    fn value(&self, total: u64, status: u16) -> Result<Option<ItemValue>, RejectReason> {
        match self.part {
            Part::CurrentTotal => {
                exact_from_count(self.field.item, i128::from(total), TOTAL_DECIMALS)
                    .map(|units| Some(ItemValue::Exact(units)))
            }
            Part::Status { mask } => {
                let state = (status & mask) >> mask.trailing_zeros();
                self.field.state(&state.to_string())
            }
        }
    }
}

/// A frame whose envelope holds: lengths, checksum, kind.
struct Frame {
    /// Device address, most significant byte first, hexadecimal.
    address: String,
    data: [u8; DATA_LEN as usize],
}

impl Frame {
    fn check(bytes: &[u8]) -> Result<Self, RejectReason> {
        let wake_up = bytes
            .iter()
            .take(WAKE_UP_MAX)
            .take_while(|b| **b == WAKE_UP)
            .count();
        let frame = bytes.get(wake_up..).unwrap_or_default();
        let short = |need: usize| {
            RejectReason::new(
                reject::TRUNCATED,
                format!("frame ends early: {} bytes, needs {need}", frame.len()),
            )
        };
        if let Some(first) = frame.first()
            && *first != START
        {
            return Err(RejectReason::new(
                reject::START_BYTE,
                format!("frame starts with {first:02X}h; expected 68h"),
            ));
        }
        let Some((&[_, kind, a0, a1, a2, a3, a4, a5, a6, control, length], rest)) =
            frame.split_first_chunk::<11>()
        else {
            return Err(short(11));
        };
        let need = 11 + usize::from(length) + 2;
        let Some((body, tail)) = rest.split_at_checked(usize::from(length)) else {
            return Err(short(need));
        };
        let [checksum, end, trailing @ ..] = tail else {
            return Err(short(need));
        };
        if *end != END {
            return Err(RejectReason::new(
                reject::END_BYTE,
                format!("frame ends with {end:02X}h; expected 16h"),
            ));
        }
        if !trailing.is_empty() {
            return Err(RejectReason::new(
                reject::TRAILING,
                format!("{} bytes follow the end of the frame", trailing.len()),
            ));
        }
        let sum = frame
            .iter()
            .take(11 + usize::from(length))
            .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != *checksum {
            return Err(RejectReason::new(
                reject::CHECKSUM,
                format!("checksum is {checksum:02X}h; the bytes add up to {sum:02X}h"),
            ));
        }
        if kind != GAS {
            return Err(RejectReason::new(
                reject::METER_TYPE,
                format!("meter type is {kind:02X}h; expected 30h, gas"),
            ));
        }
        match control {
            REPLY => {}
            ERROR_REPLY => {
                return Err(RejectReason::new(
                    reject::DEVICE_ERROR,
                    "meter answered with an error (control code C1h)",
                ));
            }
            other => {
                return Err(RejectReason::new(
                    reject::CONTROL,
                    format!("control code is {other:02X}h; expected 81h, the reply to a reading"),
                ));
            }
        }
        let data = <[u8; DATA_LEN as usize]>::try_from(body).map_err(|_| {
            RejectReason::new(
                reject::LENGTH,
                format!("data length is {length}; expected {DATA_LEN}"),
            )
        })?;
        if !data.starts_with(&TOTALS) {
            return Err(RejectReason::new(
                reject::DATA_ID,
                "data identifier is not 901Fh, totals and status",
            ));
        }
        Ok(Self {
            address: hex::encode([a6, a5, a4, a3, a2, a1, a0]),
            data,
        })
    }
}

fn digits(big_endian: [u8; 4], what: &str) -> Result<u64, RejectReason> {
    bcd(big_endian).ok_or_else(|| {
        RejectReason::new(
            reject::BCD,
            format!("{what} has a nibble that is no decimal digit"),
        )
    })
}

/// The meter's own clock, Beijing civil time.
fn clock(
    [century, year, month, day, hour, minute, second]: [u8; 7],
) -> Result<DateTime<Utc>, RejectReason> {
    let read = || {
        let year = i32::from(bcd_byte(century)?) * 100 + i32::from(bcd_byte(year)?);
        let date =
            NaiveDate::from_ymd_opt(year, u32::from(bcd_byte(month)?), u32::from(bcd_byte(day)?))?;
        let time = NaiveTime::from_hms_opt(
            u32::from(bcd_byte(hour)?),
            u32::from(bcd_byte(minute)?),
            u32::from(bcd_byte(second)?),
        )?;
        Some(beijing_instant(date, time))
    };
    read()
        .ok_or_else(|| RejectReason::new(reject::TIME, "the meter's clock shows no date and time"))
}
