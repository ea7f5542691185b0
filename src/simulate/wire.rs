//! Frames in the formats of the shipped device profiles.

use std::fmt::Write as _;

use bytes::Bytes;
use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::domain::calendar::{GasDay, GasDayClock, beijing_civil};
use crate::domain::quantity::StdVolume;
use crate::simulate::city::{City, Totals};
use crate::simulate::noise::{Stream, day_key};

/// First register of the corrector's block (000Ah).
pub const FX_START: u16 = 0x000a;
/// Registers of the block.
pub const FX_COUNT: u16 = 20;
/// Scripted difference of the float total from the BCD total, m³.
const MISMATCH_M3: f64 = 60_000.0;

/// A push reading of domain.md §10.F; totals are strings.
pub(crate) fn json_reading(city: &City, site: usize, at: DateTime<Utc>) -> Bytes {
    let place = &city.sites()[site];
    let totals = city.shown(site, at);
    let period = i64::from(place.meter.period_s.max(1));
    let mut text = String::with_capacity(320);
    let head = write!(
        text,
        r#"{{"v":1,"dev":"{}","seq":{},"ts":"{}","work_m3":"{}","std_m3":"{}""#,
        place.meter.device,
        at.timestamp() / period % 1_000_000,
        stamp(at),
        StdVolume::from_units(totals.work_units),
        StdVolume::from_units(totals.std_units),
    );
    let flow_std = city.flow_std_m3h(site, at);
    let conditions = city.telemetry(site, at);
    let body = if place.gauge_kpa > 0.0 {
        write!(
            text,
            r#","q_work":{:.3},"q_std":{:.3},"t_c":{:.3},"p_kpa_abs":{:.3},"corr":{:.6}"#,
            flow_std / conditions.factor,
            flow_std,
            conditions.temperature_c,
            conditions.pressure_abs_kpa,
            conditions.factor,
        )
    } else {
        write!(text, r#","q_std":{flow_std:.3}"#)
    };
    let key = day_key(at.timestamp() / 3600);
    let rsrp = -95
        - i64::from(
            city.noise()
                .bits(Stream::Telemetry, site as u64, key)
                .is_multiple_of(12),
        ) * 7
        - i64::try_from(site % 9).unwrap_or(0);
    // Lithium cells fall from 3.65 V by 0.1 V in ten years.
    let battery = 3.65 - 0.01 * f64::from(at.year() - place.meter.installed_on.year());
    let tail = write!(
        text,
        r#","valve":"open","batt_v":{battery:.2},"rsrp":{rsrp},"alarms":[]}}"#
    );
    debug_assert!(head.and(body).and(tail).is_ok());
    Bytes::from(text)
}

/// The frozen frame of a gas day: the total at the end of each hour, and the day's last total.
pub(crate) fn json_frozen(city: &City, site: usize, day: GasDay) -> Bytes {
    let place = &city.sites()[site];
    let end_at = GasDayClock::default().end_of(day);
    let hourly = city.shown_hourly(site, day);
    let mut text = String::with_capacity(560);
    let written = write!(
        text,
        r#"{{"v":1,"dev":"{}","ts":"{}","day":"{day}","cut":"08:00","hourly":["#,
        place.meter.device,
        stamp(end_at),
    );
    for (i, totals) in hourly.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        push_total(&mut text, totals.std_units);
    }
    text.push_str(r#"],"std_m3":"#);
    push_total(&mut text, hourly[23].std_units);
    text.push('}');
    debug_assert!(written.is_ok());
    Bytes::from(text)
}

/// Appends `"1234.5678"` with its quotes: twenty million of them make a history, and the formatting
/// machinery is the larger part of their cost.
fn push_total(text: &mut String, units: i64) {
    let mut digits = [b'0'; 24];
    let mut at = digits.len();
    let mut rest = units.unsigned_abs();
    let mut count = 0;
    while rest > 0 || count < 5 {
        if count == 4 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
    }
    text.push('"');
    text.extend(digits[at..].iter().copied().map(char::from));
    text.push('"');
}

/// A CJ/T 188 reply (domain.md §3.2): address, working total with two decimals, real time, status.
pub(crate) fn cjt188(city: &City, site: usize, at: DateTime<Utc>) -> Bytes {
    let place = &city.sites()[site];
    let totals = city.shown(site, at);
    // The settlement day's total is that of the first of the month.
    let civil = beijing_civil(at);
    let first = GasDay(civil.date_naive().with_day(1).unwrap_or_default());
    let settled = city.shown(site, GasDayClock::default().start_of(first).min(at));
    cjt188_frame(
        place.meter.device.as_str(),
        totals.work_units / 100,
        settled.work_units / 100,
        at,
    )
}

fn cjt188_frame(address: &str, total_cm: i64, settled_cm: i64, at: DateTime<Utc>) -> Bytes {
    let mut frame = vec![0x68, 0x30];
    frame.extend(bcd_le::<7>(address.parse().unwrap_or(0)));
    frame.extend([0x81, 0x16, 0x1f, 0x90, 0x00]);
    frame.extend(bcd_le::<4>(total_cm));
    frame.push(0x2c);
    frame.extend(bcd_le::<4>(settled_cm));
    frame.push(0x2c);
    let civil = beijing_civil(at);
    for part in [
        civil.second(),
        civil.minute(),
        civil.hour(),
        civil.day(),
        civil.month(),
    ] {
        frame.extend(bcd_le::<1>(i64::from(part)));
    }
    frame.extend(bcd_le::<2>(i64::from(civil.year())));
    // Valve open, battery good.
    frame.extend([0x00, 0x00]);
    let sum = frame.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend([sum, 0x16]);
    Bytes::from(frame)
}

/// Binary-coded decimals, least significant byte first.
fn bcd_le<const N: usize>(value: i64) -> [u8; N] {
    let mut rest = value.unsigned_abs();
    std::array::from_fn(|_| {
        let two = u8::try_from(rest % 100).unwrap_or(0);
        rest /= 100;
        two / 10 * 16 + two % 10
    })
}

/// The corrector's registers 000Ah to 001Dh at an instant (domain.md §3.4).
pub(crate) fn fx_registers(city: &City, site: usize, at: DateTime<Utc>) -> Vec<u16> {
    registers_of(city, site, at, city.shown(site, at))
}

fn registers_of(city: &City, site: usize, at: DateTime<Utc>, shown: Totals) -> Vec<u16> {
    let Totals {
        std_units,
        work_units,
    } = shown;
    let conditions = city.telemetry(site, at);
    let flow_std = city.flow_std_m3h(site, at);
    let is_off = city
        .script()
        .mismatches
        .iter()
        .any(|(index, from, to)| *index == site && *from <= at && at < *to);
    let second = if is_off { MISMATCH_M3 } else { 0.0 };
    let mut registers = Vec::with_capacity(usize::from(FX_COUNT));
    registers.extend(float(work_units as f64 / 10_000.0));
    registers.extend(float(std_units as f64 / 10_000.0 + second));
    registers.extend(float(0.0));
    registers.extend(float(flow_std));
    registers.extend(bcd_registers(std_units));
    registers.extend(float(flow_std / conditions.factor));
    registers.extend(bcd_registers(work_units));
    registers.extend(float(conditions.temperature_c));
    registers.extend(float(conditions.pressure_abs_kpa));
    registers
}

/// An f32, high word first.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the device has no more than an f32"
)]
fn float(value: f64) -> [u16; 2] {
    let [a, b, c, d] = (value as f32).to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// Twelve BCD digits in three registers, most significant first; the last four are decimals.
fn bcd_registers(units: i64) -> [u16; 3] {
    let bytes = bcd_le::<6>(units);
    [5, 3, 1].map(|high| u16::from_be_bytes([bytes[high], bytes[high - 1]]))
}

/// A Modbus poll as it is kept: function, first register, count, registers, all big-endian.
pub(crate) fn snapshot(city: &City, site: usize, at: DateTime<Utc>) -> Bytes {
    snapshot_of(city, site, at, city.shown(site, at))
}

/// The same with other totals.
pub(crate) fn snapshot_of(city: &City, site: usize, at: DateTime<Utc>, shown: Totals) -> Bytes {
    let mut bytes = vec![3];
    bytes.extend(FX_START.to_be_bytes());
    bytes.extend(FX_COUNT.to_be_bytes());
    for register in registers_of(city, site, at, shown) {
        bytes.extend(register.to_be_bytes());
    }
    Bytes::from(bytes)
}

/// `2026-11-21T08:00:00+08:00`.
fn stamp(at: DateTime<Utc>) -> impl std::fmt::Display {
    beijing_civil(at).format("%Y-%m-%dT%H:%M:%S+08:00")
}

/// A well-formed reading of a device nobody knows.
pub(crate) fn unknown_reading(device: &str, at: DateTime<Utc>) -> Bytes {
    let total = StdVolume::from_units(at.timestamp().rem_euclid(1_000_000_000) * 7);
    Bytes::from(format!(
        r#"{{"v":1,"dev":"{device}","seq":1,"ts":"{}","work_m3":"{total}","std_m3":"{total}","valve":"open","alarms":[]}}"#,
        stamp(at)
    ))
}

/// Breaks a good frame in one of four ways.
pub(crate) fn garble(good: &Bytes, bits: u64) -> Bytes {
    let cut = good.len() / 3 + usize::try_from(bits % 8).unwrap_or(0);
    match (bits >> 8) % 4 {
        0 => good.slice(..cut.min(good.len())),
        1 => {
            // One flipped bit in the body: a checksum or a quote is wrong.
            let mut bytes = good.to_vec();
            if let Some(byte) = bytes.get_mut(10) {
                *byte ^= 0x40;
            }
            if let Some(byte) = bytes.first_mut() {
                *byte ^= 0x01;
            }
            Bytes::from(bytes)
        }
        2 => Bytes::from(bits.to_be_bytes().repeat(3)),
        _ => Bytes::from_static(b"AT+CSQ\r\nERROR\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_cjt188_reply_is_written_byte_for_byte() {
        let at = DateTime::parse_from_rfc3339("2026-11-21T08:00:00+08:00")
            .unwrap()
            .to_utc();
        let frame = cjt188_frame("00000805000001", 12_345_678, 0, at);
        assert_eq!(
            hex::encode(frame),
            "68300100000508000081161f900078563412 2c00000000 2c00000821112620 0000d816"
                .replace(' ', "")
        );
    }

    #[test]
    fn totals_are_written_as_the_vocabulary_prints_them() {
        for units in [0, 7, 10_000, 99_999, 35_864_011_116, 999_999_999_999] {
            let mut text = String::new();
            push_total(&mut text, units);
            assert_eq!(text, format!("\"{}\"", StdVolume::from_units(units)));
        }
    }

    #[test]
    fn registers_are_those_of_the_published_example() {
        assert_eq!(bcd_registers(12_431_116), [0x0000, 0x1243, 0x1116]);
        assert_eq!(float(12_345_686.0), [0x4b3c, 0x6156]);
        assert_eq!(float(2.5), [0x4020, 0x0000]);
    }
}
