//! Records of every coding and unit with values computed by hand, load profiles of the standard's
//! own examples, and bytes nobody should send.

mod hostile;
mod load_profile;

use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use proptest::prelude::*;

use super::record::{Content, Function, Number, Order, Record, Records};
use super::stamp::{months_from, stamp};
use super::vib::{Conditions, Direction, Quantity};
use crate::decode::code::{problem, reject};
use crate::decode::vector::Expected;
use crate::decode::{DecodeContext, DeviceProfile, ProfileSet, to_json};
use crate::domain::frame::RejectReason;
use crate::domain::reading::{Decoded, Item, ItemValue};

fn bytes(hex_text: &str) -> Vec<u8> {
    let packed: String = hex_text.split_whitespace().collect();
    hex::decode(packed).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T08:00:30+08:00")
        .unwrap()
        .to_utc()
}

/// Reads one record and hands it to a check.
fn with_record<T>(hex_text: &str, check: impl FnOnce(&Record<'_>) -> T) -> T {
    let raw = bytes(hex_text);
    let mut records = Records::new(&raw, Order::LowFirst);
    let record = records.next_record().unwrap().unwrap();
    assert_eq!(records.next_record(), Ok(None), "{hex_text}");
    check(&record)
}

/// A long frame with a long header of gas meter ELS 12345678, around records.
fn frame(records: &str) -> Vec<u8> {
    framed("72 78 56 34 12 93 15 33 03 2A 00 00 00", records)
}

fn framed(header: &str, records: &str) -> Vec<u8> {
    let body = bytes(&format!("08 01 {header} {records}"));
    let length = u8::try_from(body.len()).unwrap();
    let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let mut out = vec![0x68, length, length, 0x68];
    out.extend_from_slice(&body);
    out.extend_from_slice(&[sum, 0x16]);
    out
}

fn parse(text: &str) -> Result<DeviceProfile, Vec<String>> {
    let whole = format!(
        "id = \"acme/g25\"\nverified = false\ndescription = \"a test\"\ntransport = \"mqtt\"\n\
         codec = \"mbus\"\n{text}\n[[test]]\nname = \"nothing\"\nhex = \"\"\nreject = \"decode.truncated\"\n"
    );
    DeviceProfile::parse(Path::new("device-profiles/acme/g25.toml"), &whole).map_err(|problems| {
        problems
            .iter()
            .map(|p| format!("{}: {}", p.code, p.message))
            .collect()
    })
}

fn profile(text: &str) -> DeviceProfile {
    parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn decode(profile: &DeviceProfile, raw: &[u8]) -> Result<Decoded, RejectReason> {
    profile.decode(raw, &DecodeContext::at(now()))
}

fn value(decoded: &Decoded, item: Item) -> Option<ItemValue> {
    decoded
        .values
        .iter()
        .find(|(i, _)| *i == item)
        .map(|(_, value)| *value)
}

const TOTAL: &str = "[[field]]\nname = \"total_work\"\nunit = \"m3\"\nvif = \"volume\"\n";

/// Total in units of 1e-4 m³ of one volume record.
fn total(record: &str) -> Result<i64, &'static str> {
    match decode(&profile(TOTAL), &frame(record)) {
        Ok(decoded) => match value(&decoded, Item::TotalWork) {
            Some(ItemValue::Exact(units)) => Ok(units),
            other => panic!("{other:?}"),
        },
        Err(reason) => Err(reject::ALL
            .iter()
            .copied()
            .find(|code| *code == reason.code)
            .unwrap()),
    }
}

#[test]
fn totals_of_every_coding() {
    // By hand: 39 30 is 3039h = 12345; 87 D6 12 is 12D687h = 1234567; 15 CD 5B 07 is 123456789;
    // the volume unit 13h is a litre, so 12345 l are 123450 units of 1e-4 m³.
    let table: &[(&str, Result<i64, &str>)] = &[
        ("01 13 7B", Ok(1_230)),
        ("02 13 39 30", Ok(123_450)),
        ("03 13 87 D6 12", Ok(12_345_670)),
        ("04 13 15 CD 5B 07", Ok(1_234_567_890)),
        ("06 13 15 CD 5B 07 00 00", Ok(1_234_567_890)),
        ("07 13 15 CD 5B 07 00 00 00 00", Ok(1_234_567_890)),
        ("09 13 99", Ok(990)),
        ("0A 13 34 12", Ok(12_340)),
        ("0B 13 56 34 12", Ok(1_234_560)),
        ("0C 13 78 56 34 12", Ok(123_456_780)),
        ("0E 13 12 90 78 56 34 12", Ok(1_234_567_890_120)),
        // Variable length: positive BCD (3 bytes), binary (4 bytes).
        ("0D 13 C3 56 34 12", Ok(1_234_560)),
        ("0D 13 E4 15 CD 5B 07", Ok(1_234_567_890)),
        // Text, no data, readout selection: no number.
        ("0D 13 03 31 32 33", Err(reject::TYPE)),
        ("00 13", Err(reject::TYPE)),
        ("08 13", Err(reject::TYPE)),
        // Negative totals: binary −1, BCD with F as minus, negative variable BCD.
        ("04 13 FF FF FF FF", Err(reject::RANGE)),
        ("0C 13 01 00 00 F0", Err(reject::RANGE)),
        ("0D 13 D2 34 12", Err(reject::RANGE)),
        // The value that stands for none; BCD digits that are none.
        ("04 13 00 00 00 80", Err(reject::DEVICE_ERROR)),
        ("02 13 00 80", Err(reject::DEVICE_ERROR)),
        ("0C 13 0A 00 00 00", Err(reject::BCD)),
        ("0C 13 FF FF FF FF", Err(reject::BCD)),
        // 123.5 as a 32-bit float is no exact total.
        ("05 13 00 00 F7 42", Err(reject::INEXACT)),
        // Beyond 18 digits and 64 bits.
        (
            "0D 13 CA 00 00 00 00 00 00 00 00 00 00",
            Err(reject::RECORD),
        ),
        ("0D 13 E9 01 00 00 00 00 00 00 00 00", Err(reject::RANGE)),
        // Reserved DIF and length; a record that ends early.
        ("3F", Err(reject::RECORD)),
        ("0D 13 FB 00", Err(reject::RECORD)),
        ("04 13 15 CD 5B", Err(reject::RECORD)),
        ("04", Err(reject::RECORD)),
        ("84", Err(reject::RECORD)),
        ("04 93", Err(reject::RECORD)),
    ];
    for (record, expected) in table {
        assert_eq!(total(record), *expected, "{record}");
    }
}

#[test]
fn totals_of_every_volume_unit() {
    // One count of each: 10^(n−6) m³, decimals beyond 1e-4 cut.
    let table: &[(&str, i64)] = &[
        ("02 10 40 1F", 80),                  // 8000 ml
        ("01 10 64", 1),                      // 100 ml
        ("01 10 63", 0),                      // 99 ml: cut, a total never runs ahead of the meter
        ("01 11 0A", 1),                      // 10 × 10 ml
        ("01 12 01", 1),                      // 0.1 l
        ("01 13 01", 10),                     // 1 l
        ("01 14 01", 100),                    // 10 l
        ("01 15 01", 1_000),                  // 0.1 m³
        ("01 16 01", 10_000),                 // 1 m³
        ("01 17 01", 100_000),                // 10 m³
        ("01 FB 10 01", 1_000_000),           // 100 m³
        ("01 FB 11 01", 10_000_000),          // 1000 m³
        ("04 FB 21 40 42 0F 00", 28_316_846), // 10^6 × 0.1 ft³ = 2831.6846592 m³
        ("01 93 76 05", 50),                  // × 10^0
        ("01 93 77 05", 500),                 // × 10
        ("01 96 70 05", 0),                   // × 10^−6
        ("01 96 73 05", 50),                  // × 10^−3
        ("01 93 7D 05", 50_000),              // × 10^3
    ];
    for (record, expected) in table {
        assert_eq!(total(record), Ok(*expected), "{record}");
    }
}

#[test]
fn a_record_that_is_something_else_is_not_the_total() {
    for record in [
        "14 13 01 00 00 00",             // maximum
        "24 13 01 00 00 00",             // minimum
        "34 13 01 00 00 00",             // during an error
        "44 13 01 00 00 00",             // storage number 1
        "84 10 13 01 00 00 00",          // tariff 1
        "84 40 13 01 00 00 00",          // subunit 1
        "04 93 3A 01 00 00 00",          // at metering conditions, which the field does not ask for
        "04 93 3E 01 00 00 00",          // at base conditions
        "04 93 3B 01 00 00 00",          // only forward flow
        "04 93 3C 01 00 00 00",          // only backward flow
        "04 93 7F 01 00 00 00",          // manufacturer's meaning
        "04 93 FF 3A 01 00 00 00",       // the same, with bytes that would mean something elsewhere
        "04 93 28 01 00 00 00",          // per input pulse
        "04 93 2D 01 00 00 00",          // per m³
        "04 93 12 01 00 00 00",          // average
        "04 93 7E 01 00 00 00",          // future value
        "04 93 78 01 00 00 00",          // additive correction
        "04 93 40 01 00 00 00",          // limit
        "04 93 FC 01 01 00 00 00",       // extension of combinable VIFE
        "04 06 01 00 00 00",             // energy
        "04 3B 01 00 00 00",             // flow
        "04 FB 22 01 00 00 00",          // gallons
        "04 7C 02 33 6D 01 00 00 00",    // "m3" in plain text
        "04 7F 01 00 00 00",             // manufacturer's VIF
        "04 FD 3A 01 00 00 00",          // dimensionless
        "04 EF 13 01 00 00 00",          // reserved table
        "0D 93 1F 06 29 01 01 00 00 00", // load profile
    ] {
        assert_eq!(total(record), Err(reject::MISSING), "{record}");
    }
}

#[test]
fn fillers_manufacturers_data_and_plain_text_do_not_hide_the_total() {
    for records in [
        "2F 2F 01 13 01 2F",
        "01 13 01 0F 04 13 FF",
        "02 7C 03 41 42 43 22 0C 01 13 01",
        "02 FC 03 48 52 25 74 22 0C 01 13 01",
        "0D FD 0C 06 36 47 34 4C 00 00 01 13 01",
        "01 7F 0A 01 13 01",
    ] {
        assert_eq!(total(records), Ok(10), "{records}");
    }
}

#[test]
fn errors_of_a_record_are_told_and_never_a_value() {
    for error in ["01", "0B", "0E", "15", "16", "17", "18", "1C"] {
        let record = format!("04 93 {error} 01 00 00 00");
        assert_eq!(total(&record), Err(reject::DEVICE_ERROR), "{record}");
    }
    let optional = format!(
        "{TOTAL}optional = true\n[[field]]\nname = \"temperature\"\nunit = \"c\"\nvif = \"flow_temperature\"\n"
    );
    let decoded = decode(
        &profile(&optional),
        &frame("04 93 15 01 00 00 00 02 5A 9F 00"),
    )
    .unwrap();
    assert_eq!(
        decoded.values,
        [(Item::Temperature, ItemValue::Float(15.9))]
    );
}

#[test]
fn two_records_for_one_field_are_refused() {
    assert_eq!(total("01 13 01 01 13 01"), Err(reject::AMBIGUOUS));
    // The same quantity in another unit is still the same field.
    assert_eq!(total("01 13 01 01 16 01"), Err(reject::AMBIGUOUS));
    let timed = format!("[mbus]\ntime = {{ storage = 0 }}\n{TOTAL}");
    let two = decode(
        &profile(&timed),
        &frame("01 13 01 04 6D 32 37 1F 15 06 6D 00 00 08 16 27 00"),
    );
    assert_eq!(two.unwrap_err().code, reject::AMBIGUOUS);
}

#[test]
fn telemetry_in_the_programs_units() {
    let text = |name: &str, unit: &str, vif: &str, rest: &str| {
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!("unit = \"{unit}\"\n")
        };
        format!("[[field]]\nname = \"{name}\"\n{unit}vif = \"{vif}\"\n{rest}\n")
    };
    let flow = text("flow_work", "m3h", "flow", "");
    let gas = text("temperature", "c", "flow_temperature", "");
    let outside = text("temperature", "c", "external_temperature", "");
    let back = text("temperature", "c", "return_temperature", "");
    let pressure = text("pressure_abs", "kpa", "pressure", "");
    let battery = text("battery", "v", "voltage", "");
    let factor = text("conversion_factor", "", "dimensionless", "");
    let heat = text("calorific_value", "mj_per_m3", "energy", "");
    let base = text("base_pressure", "kpa", "pressure", "conditions = \"base\"");
    let second = text("total_std_second", "m3", "volume", "");
    let signal = text("rsrp", "dbm", "rssi", "");
    let table: &[(&str, &str, f64)] = &[
        (&flow, "02 3B D2 04", 1.234),     // 1234 × 10^−3 m³/h
        (&flow, "02 3E 0C 00", 12.0),      // 12 m³/h
        (&flow, "02 38 D2 04", 0.001_234), // 1234 × 10^−6 m³/h
        (&flow, "02 47 02 00", 120.0),     // 2 m³/min
        (&flow, "02 44 02 00", 0.12),      // 2 × 10^−3 m³/min
        (&flow, "02 4F 02 00", 72.0),      // 2 × 10^−2 m³/s = 72 m³/h
        (&flow, "02 3B FF FF", -0.001),    // backward
        (&flow, "05 3E 9A 99 99 3F", 1.2), // a float: its shortest text, not 1.2000000476837158
        (&gas, "02 58 6F 3E", 15.983),     // 15983 × 10^−3 °C
        (&gas, "02 5A 9F 00", 15.9),
        (&gas, "0A 5A 59 01", 15.9),
        (&gas, "0A 5A 59 F1", -15.9), // F is minus
        (&gas, "01 5B F6", -10.0),
        (&back, "02 5E 9F 00", 15.9),
        (&outside, "02 66 9F 00", 15.9),
        (&pressure, "02 68 F5 03", 101.3), // 1013 × 10^−3 bar
        (&pressure, "02 6B 04 00", 400.0), // 4 bar
        (&base, "02 E8 3E F5 03", 101.3),
        (&battery, "02 FD 46 10 0E", 3.6), // 3600 × 10^−3 V
        (&battery, "01 FD 48 24", 3.6),    // 36 × 10^−1 V
        (&factor, "04 FD BA 73 D4 2A 00 00", 10.964), // 10964 × 10^−3
        (&heat, "04 8E 2D 27 00 00 00", 39.0), // 39 MJ/m³
        (&heat, "02 86 2D 0B 00", 39.6),   // 11 kWh/m³ = 39.6 MJ/m³
        (&second, "05 16 00 00 F7 42", 123.5),
        (&signal, "01 FD 71 A0", -96.0),
    ];
    for (text, record, expected) in table {
        let decoded = decode(&profile(text), &frame(record))
            .unwrap_or_else(|reason| panic!("{record}: {reason}"));
        let [(_, ItemValue::Float(actual))] = decoded.values[..] else {
            panic!("{record}: {decoded:?}");
        };
        assert!(
            (actual - expected).abs() <= 1e-12 * expected.abs(),
            "{record}: {actual}, expected {expected}"
        );
    }
    // Not a number, and infinity.
    for record in ["05 3E 00 00 C0 7F", "05 3E 00 00 80 7F"] {
        let reason = decode(&profile(&flow), &frame(record)).unwrap_err();
        assert_eq!(reason.code, reject::RANGE, "{record}");
    }
}

#[test]
fn storage_tariff_subunit_function_and_conditions_choose_the_record() {
    let text = "[[field]]
name = \"total_work\"
unit = \"m3\"
vif = \"volume\"
storage = 8
tariff = 2
subunit = 1
conditions = \"metering\"
direction = \"forward\"
[[field]]
name = \"flow_std\"
unit = \"m3h\"
vif = \"flow\"
function = \"maximum\"
conditions = \"base\"
";
    // DIF 84: storage bit 0 is 0; DIFE 64: storage bits 1 to 4 are 4 (8), tariff 2, subunit 1.
    let decoded = decode(
        &profile(text),
        &frame("84 64 93 BA 3B 07 00 00 00 04 93 3A 08 00 00 00 12 BB 3E D2 04 02 BB 3E 01 00"),
    )
    .unwrap();
    assert_eq!(
        decoded.values,
        [
            (Item::TotalWork, ItemValue::Exact(70)),
            (Item::FlowStd, ItemValue::Float(1.234)),
        ]
    );
}

#[test]
fn a_chain_of_dife_says_storage_tariff_and_subunit() {
    // DIF 4h | C0h; DIFE F1h, A3h, 0Fh: storage 1 + 1·2 + 3·32 + 15·512, tariff 3 + 2·4 + 0,
    // subunit 1 + 0 + 0.
    with_record("C4 F1 A3 0F 13 01 00 00 00", |record| {
        assert_eq!(record.storage, 1 + 2 + 96 + 7_680);
        assert_eq!(record.tariff, 3 + 8);
        assert_eq!(record.subunit, 1);
        assert_eq!(record.function, Function::Instantaneous);
        assert_eq!(record.number(), Ok(Number::Whole(1)));
    });
    // Ten DIFE are the most there can be.
    with_record(
        "84 80 80 80 80 80 80 80 80 80 4F 13 01 00 00 00",
        |record| {
            assert_eq!(record.storage, 15 << 37);
            assert_eq!(record.subunit, 512);
        },
    );
    let eleven = bytes("84 80 80 80 80 80 80 80 80 80 80 0F 13 01 00 00 00");
    let reason = Records::new(&eleven, Order::LowFirst)
        .next_record()
        .unwrap_err();
    assert_eq!(reason.code, reject::RECORD);
    let vife = bytes("04 93 80 80 80 80 80 80 80 80 80 80 80 00 01 00 00 00");
    let reason = Records::new(&vife, Order::LowFirst)
        .next_record()
        .unwrap_err();
    assert_eq!(reason.code, reject::RECORD);
}

#[test]
fn quantities_of_the_tables() {
    let table: &[(&str, Quantity, i64, i16)] = &[
        ("01 00 00", Quantity::Energy, 36, -7),
        ("01 08 00", Quantity::Energy, 1, -6),
        ("01 3F 00", Quantity::Flow, 1, 1),
        ("01 40 00", Quantity::Flow, 60, -7),
        ("01 48 00", Quantity::Flow, 3_600, -9),
        ("01 60 00", Quantity::Unknown, 1, 0),
        ("01 74 00", Quantity::Age, 1, 0),
        ("01 75 00", Quantity::Age, 60, 0),
        ("01 76 00", Quantity::Age, 3_600, 0),
        ("01 77 00", Quantity::Age, 86_400, 0),
        ("01 FD 26 00", Quantity::StorageInterval, 3_600, 0),
        ("01 FD 17 00", Quantity::ErrorFlags, 1, 0),
        ("01 FD 1A 00", Quantity::DigitalOutput, 1, 0),
        ("01 FD 1B 00", Quantity::DigitalInput, 1, 0),
        ("01 FD 08 00", Quantity::AccessNumber, 1, 0),
        ("01 FD FD 02 00", Quantity::Unknown, 1, 0),
    ];
    for (record, quantity, times, exponent) in table {
        with_record(record, |record| {
            assert_eq!(record.vib.quantity, *quantity);
            assert_eq!((record.vib.times, record.vib.exponent), (*times, *exponent));
        });
    }
    with_record("04 93 BA 3B 01 00 00 00", |record| {
        assert_eq!(record.vib.conditions, Conditions::Metering);
        assert_eq!(record.vib.direction, Direction::Forward);
        assert!(!record.vib.other_meaning);
    });
    with_record("0D 13 02 31 32", |record| {
        assert_eq!(record.content, Content::Text(b"12"));
    });
}

#[test]
fn dates_and_times_of_every_type() {
    let read = |text: &str| {
        with_record(text, |record| {
            stamp(record).map(|stamp| {
                let time = stamp.time.map_or("-".to_owned(), |t| t.to_string());
                (format!("{} {time}", stamp.date), stamp.summer_min)
            })
        })
    };
    let good = |text: &str, summer_min| Ok((text.to_owned(), summer_min));
    // Type F: minute, hour with hundreds of years and summer, day and month with the year.
    assert_eq!(read("04 6D 32 37 1F 15"), good("2008-05-31 23:50:00", 0));
    assert_eq!(read("04 6D 38 15 AA 19"), good("2013-09-10 21:56:00", 0));
    assert_eq!(read("04 6D 32 B7 1F 15"), good("2008-05-31 23:50:00", 60));
    // Hundreds 0: up to 80 this century, from 81 the last one; hundreds 1 say 20xx.
    assert_eq!(read("04 6D 00 00 01 A1"), good("2080-01-01 00:00:00", 0));
    assert_eq!(read("04 6D 00 00 21 A1"), good("1981-01-01 00:00:00", 0));
    assert_eq!(read("04 6D 00 20 21 A1"), good("2081-01-01 00:00:00", 0));
    // Type G.
    assert_eq!(read("02 6C 1F 15"), good("2008-05-31 -", 0));
    assert_eq!(read("02 6C BF 2C"), good("2021-12-31 -", 0));
    // Type I: second with summer, minute with sign, hour, day, month, week with hours of summer.
    assert_eq!(
        read("06 6D 1E 12 0D AF 29 6D"),
        good("2021-09-15 13:18:30", 0)
    );
    assert_eq!(
        read("06 6D 9E 12 0D AF 29 2D"),
        good("2021-09-15 13:18:30", 60)
    );
    assert_eq!(
        read("06 6D 9E 12 0D AF 29 AD"),
        good("2021-09-15 13:18:30", 120)
    );
    assert_eq!(
        read("06 6D 9E 52 0D AF 29 6D"),
        good("2021-09-15 13:18:30", -60)
    );
    // Invalid bit; never set; hour 24; type J; a text; a length no date has.
    for bad in [
        "04 6D B2 37 1F 15",
        "06 6D 1E 92 0D AF 29 6D",
        "02 6C 00 00",
        "02 6C FF FF",
        "04 6D 00 00 00 00",
        "04 6D 00 18 1F 15",
        "04 6D 3C 17 1F 15",
        "02 6C 1E 12",
        "03 6D 00 00 08",
        "0D 6D 02 31 32",
        "01 6D 00",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_times_zone_and_summer_bit_make_the_instant() {
    let text = format!("[mbus]\ntime = {{ storage = 0 }}\nutc_offset_min = 60\n{TOTAL}");
    let at = |time: &str| {
        decode(&profile(&text), &frame(&format!("01 13 01 {time}")))
            .unwrap()
            .sampled_at
            .to_rfc3339()
    };
    assert_eq!(at("04 6D 32 37 1F 15"), "2008-05-31T22:50:00+00:00");
    assert_eq!(at("04 6D 32 B7 1F 15"), "2008-05-31T21:50:00+00:00");
    let by_day = format!("[mbus]\ntime = {{ storage = 0, date_plus_s = 28800 }}\n{TOTAL}");
    let decoded = decode(&profile(&by_day), &frame("01 13 01 02 6C 1F 15")).unwrap();
    assert_eq!(decoded.sampled_at.to_rfc3339(), "2008-05-31T00:00:00+00:00");
    let dayless = decode(&profile(&text), &frame("01 13 01 02 6C 1F 15")).unwrap_err();
    assert_eq!(dayless.code, reject::TIME);
    assert!(dayless.message.contains("date_plus_s"), "{dayless}");
    let none = decode(&profile(&text), &frame("01 13 01")).unwrap_err();
    assert_eq!(none.code, reject::TIME);
}

#[test]
fn months_keep_the_last_day() {
    let date = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
    assert_eq!(months_from(date(2008, 5, 31), -3), Some(date(2008, 2, 29)));
    assert_eq!(months_from(date(2021, 2, 28), -1), Some(date(2021, 1, 31)));
    assert_eq!(months_from(date(2021, 1, 1), -1), Some(date(2020, 12, 1)));
    assert_eq!(months_from(date(2021, 1, 30), 1), Some(date(2021, 2, 28)));
    assert_eq!(
        months_from(date(2020, 12, 31), 12),
        Some(date(2021, 12, 31))
    );
}

#[test]
fn most_significant_byte_first() {
    // CI 76h: header and numbers are the other way round.
    let decoded = decode(
        &profile(&format!(
            "[mbus]\ntime = {{ storage = 0 }}\nmanufacturer = \"ELS\"\n{TOTAL}"
        )),
        &framed(
            "76 12 34 56 78 15 93 33 03 2A 00 00 00",
            "0C 14 02 85 04 27 04 6D 15 1F 37 32",
        ),
    )
    .unwrap();
    assert_eq!(decoded.device.unwrap().as_str(), "12345678");
    assert_eq!(
        decoded.values,
        [(Item::TotalWork, ItemValue::Exact(285_042_700))]
    );
    assert_eq!(decoded.sampled_at.to_rfc3339(), "2008-05-31T15:50:00+00:00");
}

#[test]
fn short_and_missing_headers_leave_the_name_to_the_transport() {
    for header in ["7A 2A 00 00 00", "78"] {
        let decoded = decode(&profile(TOTAL), &framed(header, "01 13 01")).unwrap();
        assert_eq!(decoded.device, None, "{header}");
        assert_eq!(
            decoded.sampled_at,
            now(),
            "no time asked for: when it reached us"
        );
    }
    // A short header that says encrypted names no meter, whose number the decryption needs.
    let reason = decode(
        &profile(TOTAL),
        &framed(
            "7A 2A 00 10 05",
            "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        ),
    )
    .unwrap_err();
    assert_eq!(reason.code, reject::ENCRYPTION);
}

#[test]
fn other_application_layers_are_named() {
    for (header, code) in [
        ("73 78 56 34 12 2A 00", reject::CI),
        ("79 01 02 03 04", reject::CI),
        ("7D 00 00 00 00", reject::CI),
        ("A2 00 00 00 00", reject::CI),
        ("70 08", reject::DEVICE_ERROR),
        ("72 78 56 34", reject::TRUNCATED),
    ] {
        let reason = decode(&profile(TOTAL), &framed(header, "")).unwrap_err();
        assert_eq!(reason.code, code, "{header}: {reason}");
    }
}

#[test]
fn bytes_that_are_no_long_frame_are_told_apart() {
    let code = |text: &str| decode(&profile(TOTAL), &bytes(text)).unwrap_err().code;
    assert_eq!(code(""), reject::TRUNCATED);
    assert_eq!(code("E5"), reject::START_BYTE);
    assert_eq!(code("10 5B 01 5C 16"), reject::START_BYTE);
    assert_eq!(code("68 05 06 68"), reject::LENGTH);
    assert_eq!(code("68 02 02 68 08 01 09 16"), reject::LENGTH);
    assert_eq!(code("68 03 03 67 08 01 78 81 16"), reject::START_BYTE);
    assert_eq!(code("68 03 03 68 08 01 78 81 17"), reject::END_BYTE);
    assert_eq!(code("68 03 03 68 08 01 78 82 16"), reject::CHECKSUM);
    assert_eq!(code("68 03 03 68 53 01 78 CC 16"), reject::CONTROL);
    assert_eq!(code("68 03 03 68 08 01 78 81 16"), reject::MISSING);
}

#[test]
fn states_error_flags_and_the_abnormal_status() {
    let text = format!(
        "{TOTAL}
[[field]]
name = \"valve\"
vif = \"digital_output\"
subunit = 1
mask = 0x03
values = {{ 0 = 1, 1 = 0 }}
[[alarm]]
at = \"error_flags\"
bits = {{ 0 = \"magnetic\", 9 = \"leak\" }}
[[alarm]]
at = \"status\"
bits = {{ 2 = \"battery_low\" }}
"
    );
    let shown = |raw: &[u8]| {
        decode(&profile(&text), raw).map(|decoded| to_json(&decoded)["alarms"].to_string())
    };
    let records = "01 13 01 89 40 FD 1A 01 02 FD 17 01 02";
    assert_eq!(shown(&frame(records)).unwrap(), r#"["magnetic","leak"]"#);
    let abnormal = framed("72 78 56 34 12 93 15 33 03 2A 07 00 00", records);
    assert_eq!(
        shown(&abnormal).unwrap(),
        r#"["battery_low","magnetic","leak","unlisted"]"#
    );
    let unknown = shown(&frame("01 13 01 89 40 FD 1A 02")).unwrap_err();
    assert_eq!(unknown.code, reject::STATE);
    let decoded = decode(&profile(&text), &frame("01 13 01 89 40 FD 1A 00")).unwrap();
    assert_eq!(value(&decoded, Item::Valve), Some(ItemValue::Float(1.0)));
}

#[test]
fn other_meters_and_telegrams_of_two_meters_are_refused() {
    let text =
        format!("[mbus]\nmanufacturer = \"ELS\"\nversion = [0x33]\ndevice = \"full\"\n{TOTAL}");
    let decoded = decode(&profile(&text), &frame("01 13 01")).unwrap();
    assert_eq!(decoded.device.unwrap().as_str(), "ELS-12345678-33-03");
    for header in [
        "72 78 56 34 12 E2 30 33 03 2A 00 00 00",
        "72 78 56 34 12 93 15 34 03 2A 00 00 00",
        "72 78 56 34 12 93 15 33 07 2A 00 00 00",
    ] {
        let reason = decode(&profile(&text), &framed(header, "01 13 01")).unwrap_err();
        assert_eq!(reason.code, reject::METER_TYPE, "{header}");
    }
    let mut two = frame("01 16 01 1F");
    two.extend(framed("72 79 56 34 12 93 15 33 03 2A 00 00 00", "01 13 01"));
    let reason = decode(&profile(TOTAL), &two).unwrap_err();
    assert_eq!(reason.code, reject::TRAILING);
    let partial = format!("[mbus]\npartial = true\n{TOTAL}");
    assert!(decode(&profile(&partial), &frame("01 16 01 1F")).is_ok());
}

#[test]
fn problems_of_a_profile_say_what_to_write() {
    let told = |text: &str| parse(text).unwrap_err();
    let field = |rest: &str| format!("[[field]]\nname = \"total_work\"\nunit = \"m3\"\n{rest}\n");
    let cases = [
        (field("vif = \"flow\""), problem::FIELD),
        (field("vif = \"volum\""), problem::VALUE),
        (
            field("vif = \"volume\"\nconditions = \"base\""),
            problem::FIELD,
        ),
        (
            field("vif = \"volume\"\nfunction = \"during_error\""),
            problem::VALUE,
        ),
        (field("vif = \"volume\"\nmask = 3"), problem::FIELD),
        (field("vif = \"volume\"\nscale = 3.0"), problem::KEY),
        (
            format!("[mbus]\nmanufacturer = \"Els\"\n{TOTAL}"),
            problem::VALUE,
        ),
        (
            format!("[mbus]\nutc_offset_min = 900\n{TOTAL}"),
            problem::VALUE,
        ),
        (
            format!("[mbus]\nage = true\ntime = {{}}\n{TOTAL}"),
            problem::VALUE,
        ),
        (format!("[mbus]\ncolour = 1\n{TOTAL}"), problem::KEY),
        (
            format!("{TOTAL}[[field]]\nname = \"total_std\"\nunit = \"m3\"\nvif = \"volume\"\n"),
            problem::FIELD,
        ),
        (
            "[[frozen]]\nname = \"flow_std\"\nunit = \"m3h\"\nstorage = 1\n".to_owned(),
            problem::FIELD,
        ),
        (
            "[[frozen]]\nname = \"total_std\"\nunit = \"m3\"\nstorage = 1\ncount = 0\n".to_owned(),
            problem::FIELD,
        ),
        (
            "[[frozen]]\nname = \"total_std\"\nunit = \"m3\"\nstorage = 1\nstep_s = 0\n".to_owned(),
            problem::FIELD,
        ),
        (
            format!("{TOTAL}[[alarm]]\nat = \"somewhere\"\nbits = {{ 0 = \"leak\" }}\n"),
            problem::FIELD,
        ),
        (
            format!("{TOTAL}[[alarm]]\nat = \"status\"\nbits = {{ 8 = \"leak\" }}\n"),
            problem::FIELD,
        ),
        (String::new(), problem::VALUE),
    ];
    for (text, code) in cases {
        let problems = told(&text);
        assert!(
            problems.iter().all(|p| p.starts_with(code)),
            "{text}: {problems:?}"
        );
    }
}
