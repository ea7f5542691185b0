//! Codec `cjt188`: replies of a CJ/T 188 gas meter, `68 30 A0…A6 81 L DI SER … CS 16`: totals and
//! status (901Fh), totals of past settlement days (`D120h` to `D12Bh`, `D200h` to
//! `D2FFh`), frozen readings (`D300h` to `D4FFh`).
//!
//! # Source
//! domain.md §3.2; CJ/T 188-2004 and 2018. The bits of the status word, the order of an
//! identifier's bytes and the units differ by vendor and are profile data.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::field::{AlarmBits, Field, fields_of, foreign_keys};
use crate::decode::file::{FileReader, RawField};
use crate::decode::frame68;
use crate::decode::value::{bcd, bcd_byte, exact_from_count};
use crate::domain::calendar::{GasMonth, beijing_civil, beijing_instant};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::reading::{AlarmSet, Decoded, Item, ItemValue};

/// Meter types of gas.
const GAS: std::ops::RangeInclusive<u8> = 0x30..=0x39;
const REPLY: u8 = 0x81;
const ERROR_REPLY: u8 = 0xC1;
const LITRES: u8 = 0x29;
const CUBIC_METRES: u8 = 0x2C;
const LITRES_PER_HOUR: u8 = 0x32;
const CUBIC_METRES_PER_HOUR: u8 = 0x35;
/// Totals count in 0.01 of their unit, unless the profile says otherwise.
const TOTAL_DECIMALS: i8 = 2;
/// Decimals a litre has fewer of than a cubic metre.
const LITRE_DECIMALS: i8 = 3;

/// `[cjt188]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCjt188 {
    meter_types: Vec<Spanned<u8>>,
    data_id_order: IdOrder,
    units: Vec<Spanned<RawUnit>>,
    total_decimals: Option<Spanned<i8>>,
    tail_max_bytes: u8,
    settlement: Option<Spanned<RawSettlement>>,
}

impl Default for RawCjt188 {
    fn default() -> Self {
        Self {
            meter_types: Vec::new(),
            data_id_order: IdOrder::LowFirst,
            units: Vec::new(),
            total_decimals: None,
            tail_max_bytes: 0,
            settlement: None,
        }
    }
}

/// In which order a meter sends the two bytes of a data identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IdOrder {
    /// `1F 90`.
    LowFirst,
    /// `90 1F`.
    HighFirst,
}

/// A unit a total may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum RawUnit {
    /// 2Ch.
    #[serde(rename = "m3")]
    CubicMetres,
    /// 29h.
    #[serde(rename = "l")]
    Litres,
}

/// When the totals of past settlement days were taken: the reply does not say it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettlement {
    day: u32,
    time: String,
    #[serde(default = "one")]
    months_back: u32,
}

const fn one() -> u32 {
    1
}

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cjt188Codec {
    meter_types: Vec<u8>,
    id_order: IdOrder,
    takes_litres: bool,
    takes_cubic_metres: bool,
    total_decimals: i8,
    tail_max: usize,
    settlement: Option<Settlement>,
    fields: Vec<FrameField>,
    alarms: AlarmBits,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Settlement {
    day: u32,
    time: NaiveTime,
    months_back: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct FrameField {
    field: Field,
    part: Part,
}

/// A part of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// 当前累积流量, and the same totaliser on a settlement day or at a freeze.
    Total,
    /// Bits of the status word (ST, low byte first); 901Fh only.
    Status { mask: u16 },
    /// 瞬时流量 at a freeze.
    Flow,
    /// 温度 at a freeze, in 0.01.
    Temperature,
    /// 压力 at a freeze, in 0.01.
    Pressure,
}

/// Reads `[cjt188]`, `[[field]]` and `[[alarm]]`.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<Cjt188Codec> {
    let raw: RawCjt188 = match table.remove("cjt188") {
        Some(value) => reader.read(value)?,
        None => RawCjt188::default(),
    };
    for kind in &raw.meter_types {
        if !GAS.contains(kind.get_ref()) {
            reader.problem(
                Some(kind.span()),
                problem::VALUE,
                format!("meter type {:02X}h is none of gas", kind.get_ref()),
                "write 0x30 to 0x39",
            );
        }
    }
    if let Some(decimals) = &raw.total_decimals
        && !(0..=4).contains(decimals.get_ref())
    {
        reader.problem(
            Some(decimals.span()),
            problem::VALUE,
            format!("totals have {} decimals", decimals.get_ref()),
            "write 0 to 4; the standard has 2",
        );
    }
    let settlement = raw.settlement.as_ref().and_then(|s| settlement(reader, s));
    let fields = fields_of(reader, table, field, |f: &FrameField| f.field.item);
    if fields.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "profile has no field",
            "add [[field]] with name, unit and at = \"current_total\"",
        );
    }
    let units: Vec<RawUnit> = raw.units.iter().map(|u| *u.get_ref()).collect();
    Some(Cjt188Codec {
        meter_types: if raw.meter_types.is_empty() {
            vec![*GAS.start()]
        } else {
            raw.meter_types.iter().map(|k| *k.get_ref()).collect()
        },
        id_order: raw.data_id_order,
        takes_litres: units.contains(&RawUnit::Litres),
        takes_cubic_metres: units.is_empty() || units.contains(&RawUnit::CubicMetres),
        total_decimals: raw
            .total_decimals
            .map_or(TOTAL_DECIMALS, Spanned::into_inner),
        tail_max: usize::from(raw.tail_max_bytes),
        settlement,
        fields,
        alarms: AlarmBits::of_status(reader, table, "CJ/T 188 frame", 16),
    })
}

fn settlement(reader: &mut FileReader<'_>, raw: &Spanned<RawSettlement>) -> Option<Settlement> {
    let written = raw.get_ref();
    let time = NaiveTime::parse_from_str(&written.time, "%H:%M").ok();
    let is_good = (1..=31).contains(&written.day) && written.months_back <= 12;
    match time {
        Some(time) if is_good => Some(Settlement {
            day: written.day,
            time,
            months_back: written.months_back,
        }),
        _ => {
            reader.problem(
                Some(raw.span()),
                problem::VALUE,
                "settlement is no day of a month and time of day",
                "write for example settlement = { day = 1, time = \"00:00\", months_back = 1 }",
            );
            None
        }
    }
}

fn field(reader: &mut FileReader<'_>, raw: &RawField) -> Option<FrameField> {
    let name = raw.name.get_ref();
    foreign_keys(reader, "cjt188", raw, &["at", "mask"]);
    let checked = Field::check(reader, raw);
    let at = raw.at.as_ref().map(|at| at.get_ref().as_str());
    let part = match (at, &raw.mask) {
        (Some("current_total"), None) => Part::Total,
        (Some("freeze_flow"), None) => Part::Flow,
        (Some("freeze_temperature"), None) => Part::Temperature,
        (Some("freeze_pressure"), None) => Part::Pressure,
        (Some("status"), Some(mask)) if *mask.get_ref() != 0 => Part::Status {
            mask: *mask.get_ref(),
        },
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("field `{name}` names no part of a CJ/T 188 frame"),
                "write at = \"current_total\", \"freeze_flow\", \"freeze_temperature\" or \"freeze_pressure\", or at = \"status\" with a mask",
            );
            return None;
        }
    };
    let checked = checked?;
    let fits = match part {
        Part::Total => checked.item.is_exact(),
        Part::Status { .. } => !checked.item.is_exact(),
        Part::Flow => matches!(checked.item, Item::FlowStd | Item::FlowWork),
        Part::Temperature => checked.item == Item::Temperature,
        Part::Pressure => matches!(checked.item, Item::PressureAbs | Item::PressureGauge),
    };
    if !fits {
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

/// What a reply says.
#[derive(Default)]
struct Said {
    /// The total and its decimals.
    total: Option<(u64, i8)>,
    status: Option<u16>,
    flow: Option<f64>,
    temperature: Option<f64>,
    pressure: Option<f64>,
}

impl Cjt188Codec {
    /// Decodes a frame.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let frame = Frame::check(bytes, &self.meter_types)?;
        let Some((&id, body)) = frame.data.split_first_chunk::<2>() else {
            return Err(length(frame.data.len(), 22));
        };
        let id = match self.id_order {
            IdOrder::LowFirst => u16::from_le_bytes(id),
            IdOrder::HighFirst => u16::from_be_bytes(id),
        };
        let (sampled_at, is_live, said) = match id {
            0x901F => self.totals(body)?,
            0xD120..=0xD12B => self.settled(body, u32::from(id & 0x0F), context)?,
            0xD200..=0xD2FF => self.settled(body, u32::from(id & 0xFF), context)?,
            0xD300..=0xD4FF => self.frozen(body)?,
            _ => {
                return Err(RejectReason::new(
                    reject::DATA_ID,
                    format!(
                        "data identifier is {id:04X}h; known are 901Fh, D120h to D12Bh and D200h to D4FFh"
                    ),
                ));
            }
        };
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            if let Some(value) = field.value(&said)? {
                values.push((field.field.item, value));
            }
        }
        Ok(Decoded {
            device: Some(frame.device()),
            sampled_at,
            clock_at: is_live.then_some(sampled_at),
            values,
            frozen: Vec::new(),
            alarms: said
                .status
                .map_or(AlarmSet::default(), |st| self.alarms.alarms(u64::from(st))),
        })
    }

    /// 901Fh: serial 1, total 4, unit 1, settlement day's total 4, unit 1, clock 7, status 2.
    fn totals(&self, body: &[u8]) -> Result<(DateTime<Utc>, bool, Said), RejectReason> {
        let [
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
            clock @ ..,
            st0,
            st1,
        ] = self.part::<20>(body)?;
        let decimals = self.decimals(unit, "current total")?;
        self.decimals(settlement_unit, "settlement day's total")?;
        let total = digits([t3, t2, t1, t0], "current total")?;
        digits([s3, s2, s1, s0], "settlement day's total")?;
        let said = Said {
            total: Some((total, decimals)),
            status: Some(u16::from_le_bytes([st0, st1])),
            ..Said::default()
        };
        Ok((instant(clock, "the meter's clock")?, true, said))
    }

    /// D12xh and D2xxh: serial 1, total 4, unit 1. The place of the day is in the identifier.
    fn settled(
        &self,
        body: &[u8],
        place: u32,
        context: &DecodeContext<'_>,
    ) -> Result<(DateTime<Utc>, bool, Said), RejectReason> {
        let [_, t0, t1, t2, t3, unit] = self.part::<6>(body)?;
        let decimals = self.decimals(unit, "settlement day's total")?;
        let total = digits([t3, t2, t1, t0], "settlement day's total")?;
        let Some(settlement) = self.settlement else {
            return Err(RejectReason::new(
                reject::TIME,
                "the total of a past settlement day comes without its date; write settlement = { day, time } in [cjt188]",
            ));
        };
        let at = settlement.instant(place, context.received_at);
        if at > context.received_at {
            return Err(RejectReason::new(
                reject::TIME,
                "the settlement day is still to come; correct months_back of settlement in [cjt188]",
            ));
        }
        let said = Said {
            total: Some((total, decimals)),
            ..Said::default()
        };
        Ok((at, false, said))
    }

    /// D3xxh and D4xxh: serial 1, time 7, total 4, unit 1, flow 4, unit 1, temperature 3,
    /// pressure 3.
    fn frozen(&self, body: &[u8]) -> Result<(DateTime<Utc>, bool, Said), RejectReason> {
        let [
            _,
            time @ ..,
            t0,
            t1,
            t2,
            t3,
            unit,
            f0,
            f1,
            f2,
            f3,
            flow_unit,
            c0,
            c1,
            c2,
            p0,
            p1,
            p2,
        ] = self.part::<24>(body)?;
        let decimals = self.decimals(unit, "frozen total")?;
        let total = digits([t3, t2, t1, t0], "frozen total")?;
        let flow_scale = match flow_unit {
            CUBIC_METRES_PER_HOUR => Some(1e4),
            LITRES_PER_HOUR => Some(1e7),
            _ => None,
        };
        let number = |bytes: &[u8]| {
            if bytes.iter().all(|b| *b == 0xFF) {
                return None;
            }
            bcd(bytes.iter().copied()).map(|n| n as f64)
        };
        let said = Said {
            total: Some((total, decimals)),
            status: None,
            flow: number(&[f3, f2, f1, f0])
                .zip(flow_scale)
                .map(|(n, scale)| n / scale),
            temperature: number(&[c2, c1, c0]).map(|n| n / 100.0),
            pressure: number(&[p2, p1, p0]).map(|n| n / 100.0),
        };
        Ok((instant(time, "the time of the freeze")?, false, said))
    }

    /// The bytes behind the identifier; a longer tail only where the profile allows it.
    fn part<const N: usize>(&self, body: &[u8]) -> Result<[u8; N], RejectReason> {
        match body.split_first_chunk::<N>() {
            Some((part, tail)) if tail.len() <= self.tail_max => Ok(*part),
            _ => Err(length(body.len() + 2, N + 2)),
        }
    }

    /// Decimals in m³ of a total with this unit byte.
    fn decimals(&self, unit: u8, which: &str) -> Result<i8, RejectReason> {
        match unit {
            CUBIC_METRES if self.takes_cubic_metres => Ok(self.total_decimals),
            LITRES if self.takes_litres => Ok(self.total_decimals + LITRE_DECIMALS),
            _ => {
                let expected = match (self.takes_cubic_metres, self.takes_litres) {
                    (true, true) => "2Ch, m³, or 29h, L",
                    (false, _) => "29h, L",
                    (true, false) => "2Ch, m³",
                };
                Err(RejectReason::new(
                    reject::UNIT_BYTE,
                    format!("{which} has unit byte {unit:02X}h; expected {expected}"),
                ))
            }
        }
    }
}

impl Settlement {
    /// The settlement day the `place`th of the list stands for, counted from the month in which
    /// the reply reached us; the last day of a shorter month.
    fn instant(self, place: u32, received_at: DateTime<Utc>) -> DateTime<Utc> {
        let civil = beijing_civil(received_at);
        let mut month = GasMonth {
            year: civil.year(),
            month: civil.month(),
        };
        for _ in 0..self.months_back + place {
            month = month.previous();
        }
        let first = month.first_day().0;
        let date = (0..4)
            .find_map(|less| {
                NaiveDate::from_ymd_opt(month.year, month.month, self.day.checked_sub(less)?)
            })
            .unwrap_or(first);
        beijing_instant(date, self.time)
    }
}

impl FrameField {
    fn value(&self, said: &Said) -> Result<Option<ItemValue>, RejectReason> {
        match self.part {
            Part::Total => match said.total {
                Some((total, decimals)) => {
                    exact_from_count(self.field.item, i128::from(total), decimals)
                        .map(|units| Some(ItemValue::Exact(units)))
                }
                None => Ok(None),
            },
            Part::Status { mask } => match said.status {
                Some(status) => {
                    let state = (status & mask) >> mask.trailing_zeros();
                    self.field.state(decimal(state, &mut [0; 5]))
                }
                None => Ok(None),
            },
            Part::Flow => self.telemetry(said.flow),
            Part::Temperature => self.telemetry(said.temperature),
            Part::Pressure => self.telemetry(said.pressure),
        }
    }

    /// Other replies do not have it.
    fn telemetry(&self, value: Option<f64>) -> Result<Option<ItemValue>, RejectReason> {
        match value {
            Some(number) => self.field.float(number),
            None => Ok(None),
        }
    }
}

/// The decimal text of a state, without a heap.
fn decimal(mut number: u16, text: &mut [u8; 5]) -> &str {
    let mut start = text.len();
    for (at, digit) in text.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        start = at;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.get(start..)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .unwrap_or_default()
}

/// A frame whose envelope holds: lengths, checksum, kind.
struct Frame<'a> {
    /// As on the wire, least significant byte first.
    address: [u8; 7],
    data: &'a [u8],
}

impl<'a> Frame<'a> {
    fn check(bytes: &'a [u8], meter_types: &[u8]) -> Result<Self, RejectReason> {
        let frame = frame68::awake(bytes)?;
        let Some((&[_, kind, a0, a1, a2, a3, a4, a5, a6, control, length], _)) =
            frame.split_first_chunk::<11>()
        else {
            return Err(frame68::short(frame, 11));
        };
        let body = frame68::data(frame, 11, length)?;
        if !meter_types.contains(&kind) {
            return Err(RejectReason::new(
                reject::METER_TYPE,
                if GAS.contains(&kind) {
                    format!("meter type is {kind:02X}h, gas, but not in meter_types of the profile")
                } else {
                    format!("meter type is {kind:02X}h; gas is 30h to 39h")
                },
            ));
        }
        match control {
            REPLY => Ok(Self {
                address: [a0, a1, a2, a3, a4, a5, a6],
                data: body,
            }),
            ERROR_REPLY => Err(RejectReason::new(
                reject::DEVICE_ERROR,
                "meter answered with an error (control code C1h)",
            )),
            other => Err(RejectReason::new(
                reject::CONTROL,
                format!("control code is {other:02X}h; expected 81h, the reply to a reading"),
            )),
        }
    }

    /// The address, most significant byte first, hexadecimal.
    fn device(&self) -> DeviceId {
        let mut address = self.address;
        address.reverse();
        let mut text = [0_u8; 14];
        match hex::encode_to_slice(address, &mut text)
            .ok()
            .and_then(|()| std::str::from_utf8(&text).ok())
        {
            Some(text) => DeviceId::from(text),
            None => DeviceId::new(hex::encode(address)),
        }
    }
}

fn length(is: usize, expected: usize) -> RejectReason {
    RejectReason::new(
        reject::LENGTH,
        format!("data length is {is}; expected {expected}"),
    )
}

fn digits(big_endian: [u8; 4], what: &str) -> Result<u64, RejectReason> {
    bcd(big_endian).ok_or_else(|| {
        RejectReason::new(
            reject::BCD,
            format!("{what} has a nibble that is no decimal digit"),
        )
    })
}

/// Seven BCD bytes, second first, Beijing civil time.
fn instant(
    [second, minute, hour, day, month, year, century]: [u8; 7],
    what: &str,
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
    read().ok_or_else(|| RejectReason::new(reject::TIME, format!("{what} shows no date and time")))
}

#[cfg(test)]
mod tests;
