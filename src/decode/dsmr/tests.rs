//! Telegrams beyond the vectors: hostile bytes, clocks, what a wrong profile is told.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::telegram::crc16;
use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::profile::DeviceProfile;
use crate::domain::frame::RejectReason;
use crate::domain::reading::Decoded;

const P1: &str = include_str!("../../../device-profiles/generic/dsmr-p1.toml");
const LEGACY: &str = include_str!("../../../device-profiles/generic/dsmr-p1-legacy.toml");

fn profile(text: &str) -> DeviceProfile {
    DeviceProfile::parse(Path::new("device-profiles/generic/p.toml"), text)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn decode(profile: &DeviceProfile, bytes: &[u8]) -> Result<Decoded, RejectReason> {
    profile.decode(bytes, &DecodeContext::at(chrono::DateTime::UNIX_EPOCH))
}

/// A telegram of these objects with its checksum.
fn telegram(objects: &str) -> Vec<u8> {
    let mut text = format!("/ISK5\\2M550T-1012\n\n{objects}\n!").replace('\n', "\r\n");
    let sum = crc16(text.as_bytes());
    write!(text, "{sum:04X}").unwrap();
    text.into_bytes()
}

fn gas(clock: &str, stamp: &str) -> Vec<u8> {
    telegram(&format!(
        "0-0:1.0.0({clock})\n0-1:24.1.0(003)\n0-1:24.2.1({stamp})(00001.000*m3)"
    ))
}

#[test]
fn the_checksum_is_that_of_the_catalogue() {
    // CRC-16/ARC of the digits 1 to 9.
    assert_eq!(crc16(b"123456789"), 0xBB3D);
}

#[test]
fn the_telegrams_own_time_is_what_the_clock_showed() {
    let profile = profile(P1);
    let decoded = decode(&profile, &gas("261125080013W", "261125080001W")).unwrap();
    let text = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339();
    assert_eq!(text(decoded.sampled_at), "2026-11-25T07:00:01+00:00");
    assert_eq!(
        decoded.clock_at.map(text).as_deref(),
        Some("2026-11-25T07:00:13+00:00")
    );
    let clock_that_shows_none = gas("261325080013W", "261125080001W");
    assert_eq!(
        decode(&profile, &clock_that_shows_none).unwrap_err().code,
        reject::TIME
    );
}

#[test]
fn an_hour_of_telegrams_across_the_end_of_summer_time_is_in_order() {
    let profile = profile(P1);
    let at = |stamp| decode(&profile, &gas(stamp, stamp)).unwrap().sampled_at;
    let stamps = [
        "261025015500S",
        "261025020000S",
        "261025025500S",
        "261025020000W",
        "261025025500W",
        "261025030000W",
    ];
    let times: Vec<_> = stamps.into_iter().map(at).collect();
    assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");
    assert_eq!((times[5] - times[0]).num_minutes(), 125);
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_telegram_is_refused() {
    let profile = profile(P1);
    let whole = gas("261125080013W", "261125080001W");
    decode(&profile, &whole).unwrap();
    for length in 0..whole.len() {
        assert!(
            decode(&profile, &whole[..length]).is_err(),
            "cut to {length}"
        );
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&profile, &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_line_end_behind_the_checksum_is_no_junk_but_more_is() {
    let profile = profile(P1);
    let mut whole = gas("261125080013W", "261125080001W");
    whole.extend_from_slice(b"\r\n");
    assert!(decode(&profile, &whole).is_ok());
    whole.extend_from_slice(b"\r\n");
    assert_eq!(decode(&profile, &whole).unwrap_err().code, reject::TRAILING);
}

#[test]
fn a_value_twice_is_refused_not_chosen() {
    let profile = profile(P1);
    let twice = telegram(
        "0-1:24.1.0(003)\n0-1:24.2.1(261125080001W)(00001.000*m3)\n0-1:24.2.1(261125080001W)(00002.000*m3)",
    );
    assert_eq!(decode(&profile, &twice).unwrap_err().code, reject::TELEGRAM);
}

#[test]
fn a_value_that_is_not_converted_cannot_be_the_standard_total() {
    let wrong = P1.replace("at = \"24.2.1\"", "at = \"24.2.3\"");
    let problems: Vec<String> = DeviceProfile::parse(Path::new("p.toml"), &wrong)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        problems[0].contains("24.2.3 is not converted: read total_work from it"),
        "{problems:?}"
    );
}

#[test]
fn a_stamp_without_season_needs_the_profiles_word() {
    let silent = LEGACY.replace("utc_offset = \"+01:00\"", "");
    let problems = DeviceProfile::parse(Path::new("p.toml"), &silent).unwrap_err();
    assert!(
        problems[0].message.contains("write utc_offset in [dsmr]"),
        "{}",
        problems[0]
    );
}

proptest! {
    #[test]
    fn any_objects_are_answered(objects in "(0-[0-9]:[0-9.]{1,8}(\\([0-9SWm*.:-]{0,14}\\)){0,7}\n?){0,6}") {
        static PROFILES: std::sync::OnceLock<[DeviceProfile; 2]> = std::sync::OnceLock::new();
        for profile in PROFILES.get_or_init(|| [profile(P1), profile(LEGACY)]) {
            if let Ok(decoded) = decode(profile, &telegram(&objects)) {
                prop_assert!(!decoded.values.is_empty());
            }
        }
    }

    #[test]
    fn a_total_comes_out_as_it_went_in(litres in 0_u64..100_000_000, channel in 1_u8..=9) {
        static PROFILE: std::sync::OnceLock<DeviceProfile> = std::sync::OnceLock::new();
        let profile = PROFILE.get_or_init(|| profile(P1));
        let bytes = telegram(&format!(
            "0-{channel}:24.1.0(003)\n0-{channel}:24.2.1(261125080001W)({:05}.{:03}*m3)",
            litres / 1000,
            litres % 1000
        ));
        let decoded = decode(profile, &bytes).unwrap();
        prop_assert_eq!(
            decoded.values,
            [(
                crate::domain::reading::Item::TotalStd,
                crate::domain::reading::ItemValue::Exact(i64::try_from(litres).unwrap() * 10)
            )]
        );
    }
}
