//! Replies beyond the vectors: hostile bytes, settlement days, what a wrong profile is told.

use std::path::Path;
use std::sync::OnceLock;

use super::*;
use crate::decode::profile::DeviceProfile;
use crate::domain::key::KeyRing;
use proptest::prelude::*;

const HISTORY: &str = include_str!("../../../device-profiles/generic/cjt188-gas-history.toml");
const LITRES_TOO: &str = include_str!("../../../device-profiles/generic/cjt188-gas-litres.toml");

fn parse(text: &str) -> DeviceProfile {
    DeviceProfile::parse(Path::new("p.toml"), text)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// A reply with its checksum.
fn frame(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x68, 0x30, 1, 0, 0, 5, 8, 0, 0, 0x81];
    frame.push(u8::try_from(data.len()).unwrap());
    frame.extend_from_slice(data);
    let sum = frame.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend_from_slice(&[sum, 0x16]);
    frame
}

#[test]
fn a_settlement_day_is_the_last_of_a_shorter_month() {
    let rule = Settlement {
        day: 31,
        time: NaiveTime::MIN,
        months_back: 1,
    };
    let received = at("2027-03-05T10:00:00+08:00");
    assert_eq!(rule.instant(0, received), at("2027-02-28T00:00:00+08:00"));
    assert_eq!(rule.instant(1, received), at("2027-01-31T00:00:00+08:00"));
    assert_eq!(rule.instant(3, received), at("2026-11-30T00:00:00+08:00"));
    // The month is Beijing's, not Greenwich's.
    let just_april = at("2027-03-31T16:30:00Z");
    assert_eq!(rule.instant(0, just_april), at("2027-03-31T00:00:00+08:00"));
}

#[test]
fn a_settlement_day_to_come_is_refused() {
    let early = HISTORY
        .replace("months_back = 1", "months_back = 0")
        .replace("day = 1,", "day = 28,");
    let problems = DeviceProfile::parse(Path::new("p.toml"), &early).unwrap_err();
    assert!(
        problems.iter().any(|p| p.message.contains("still to come")),
        "{problems:#?}"
    );
}

#[test]
fn the_meters_clock_is_told_only_where_it_is_the_clock() {
    let profile = parse(HISTORY);
    let clocks: Vec<bool> = profile
        .vectors()
        .iter()
        .take(5)
        .map(|v| v.run(&profile).unwrap().clock_at.is_some())
        .collect();
    assert_eq!(clocks, [true, false, false, false, false]);
}

#[test]
fn states_are_written_in_decimal() {
    for number in [0_u16, 7, 10, 255, 65_535] {
        assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
    }
}

#[test]
fn keys_that_cannot_be_are_told() {
    let told = |from: &str, to: &str| {
        DeviceProfile::parse(Path::new("p.toml"), &HISTORY.replace(from, to)).unwrap_err()[0]
            .to_string()
    };
    assert!(told("[0x30, 0x31]", "[0x10]").contains("meter type 10h is none of gas"));
    assert!(told("day = 1,", "day = 32,").contains("settlement is no day of a month"));
    assert!(told("[cjt188]", "[cjt188]\ntotal_decimals = 5").contains("totals have 5 decimals"));
}

proptest! {
    #[test]
    fn any_data_of_a_reply_is_answered(
        id in prop::sample::select(vec![0x901F_u16, 0xD120, 0xD200, 0xD300, 0xD4FF, 0x8103]),
        data in prop::collection::vec(any::<u8>(), 0..40),
        received in 0_i64..4_102_444_800,
    ) {
        static PROFILES: OnceLock<[DeviceProfile; 2]> = OnceLock::new();
        let context = DecodeContext::at(DateTime::from_timestamp(received, 0).unwrap());
        let profiles = PROFILES.get_or_init(|| [parse(HISTORY), parse(LITRES_TOO)]);
        for (profile, id) in profiles.iter().zip([id.to_le_bytes(), id.to_be_bytes()]) {
            let bytes = frame(&[&id, data.as_slice()].concat());
            if let Ok(decoded) = profile.decode(&bytes, &context) {
                let is_sound = |(item, value): &(Item, ItemValue)| match value {
                    ItemValue::Exact(units) => item.is_exact() && *units >= 0,
                    ItemValue::Float(number) => number.is_finite(),
                };
                prop_assert!(decoded.values.iter().all(is_sound));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused(
        which in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        static PROFILE: OnceLock<DeviceProfile> = OnceLock::new();
        let profile = PROFILE.get_or_init(|| parse(HISTORY));
        let taken: Vec<_> = profile.vectors().iter().filter(|v| v.is_taken()).collect();
        let vector = which.get(&taken);
        let mut bytes = vector.bytes.to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let context = DecodeContext {
            received_at: vector.received_at,
            device: None,
            keys: KeyRing::EMPTY,
        };
        prop_assert!(profile.decode(&bytes, &context).is_err());
    }
}
