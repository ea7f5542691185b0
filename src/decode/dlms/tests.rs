//! Messages beyond the vectors: published ciphered frames, keys, hostile bytes, events, clocks, and
//! what a wrong profile is told.

use std::path::Path;
use std::sync::OnceLock;

use chrono::DateTime;
use proptest::prelude::*;

use super::cipher::{self, Protection};
use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::profile::DeviceProfile;
use crate::decode::vector::{Expected, Vector};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::{DeviceKey, KeyRing};
use crate::domain::reading::{Decoded, Item, ItemValue};

const EVC: &str = include_str!("../../../device-profiles/generic/dlms-evc-wrapper.toml");
const HDLC: &str = include_str!("../../../device-profiles/generic/dlms-gas-hdlc.toml");
const CIPHERED: &str = include_str!("../../../device-profiles/generic/dlms-gas-ciphered.toml");

fn parse(text: &str) -> DeviceProfile {
    DeviceProfile::parse(Path::new("device-profiles/generic/p.toml"), text)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn shipped() -> &'static [DeviceProfile; 3] {
    static PROFILES: OnceLock<[DeviceProfile; 3]> = OnceLock::new();
    PROFILES.get_or_init(|| [EVC, HDLC, CIPHERED].map(parse))
}

/// A ring of these keys, by name.
fn ring(keys: &[(&str, &str)]) -> KeyRing {
    let mut ring = KeyRing::default();
    for (name, key) in keys {
        ring.insert(DeviceId::from(*name), DeviceKey::from_hex(key).unwrap());
    }
    ring
}

fn open(frame: &str, protection: Protection, keys: &KeyRing) -> Result<Vec<u8>, RejectReason> {
    let bytes = hex::decode(frame.split_whitespace().collect::<String>()).unwrap();
    let context = DecodeContext {
        received_at: DateTime::UNIX_EPOCH,
        device: None,
        keys,
    };
    cipher::open(&bytes[1..], protection, None, &context).map(|opened| opened.apdu)
}

/// Runs a vector of a shipped profile on other bytes.
fn run_on(profile: &DeviceProfile, vector: &Vector, bytes: &[u8]) -> Result<Decoded, RejectReason> {
    let mut other = vector.clone();
    other.bytes = bytes.to_vec().into();
    other.run(profile)
}

/// TINETZ customer interface, published example (fneur/smart-meter-tirol, doc/EXAMPLE.md):
/// encryption only, key 101112…1F.
const TINETZ: &str = "DB084B464D10100000238201092100295B9AEFC1546E644A2C9E32EDD42CBD0F
    1B945B194D086885C4D8DF86DD52CB5B448854A6D548D5D270739B2A169D05B0
    13F9015070089D3C5FA45CA05E92309A645CC83D7DA40FBC8F4CF9C225AFA69A
    25FF0B2AC9C2744550ABA53CE9143FD10B0AD85FD30BD6B6DFFEE65F8204DC9C
    5067CA73B62E299A39D50AA730B2B9AE3836BC2F3490FB41BE5B6F930D849529
    76369DD7DABBB5A4354AECA1D2486CFF2EB0C6206380BA501D122AF75D716D30
    92C3960506A15E06FAB0EE5B7DFA3C2CDF0CAFD051B88E44B8B9FB8865F20CB8
    9D1143CDC7EFEB07FB4C4898E764E9E3A32DDC3D1FB46961CE962B2C78050C96
    598C7E4D26658043F9CBCA78189BD01B139F8AE0F739";
const TINETZ_PLAIN: &str =
    "0f0029b2dc0c07e50713010f2e2300ff8880020c09060000010000ff090c07e50713010f2e2300ff8880";
const TINETZ_KEY: &str = "101112131415161718191A1B1C1D1E1F";
/// An Italian gas meter, published with its dummy key for both (u9n/dlms-cosem, tests).
const ITALIAN: &str = "DB082F192291991641033B30000001E5025CE9D2271FD78BE8C204211A916A9D7F587E0A7A814CADEA89E9593F01F92EA8C087B5BDFDEFEAB6BECF282DFE49C08F5BE6DC8400";
/// `MYDUMMYGLOBALKEY`.
const ITALIAN_KEY: &str = "4D5944554D4D59474C4F42414C4B4559";

#[test]
fn published_ciphered_frames_open_to_their_published_plaintext() {
    let keys = ring(&[
        ("4B464D1010000023", TINETZ_KEY),
        ("2F19229199164103", ITALIAN_KEY),
        ("2F19229199164103/auth", ITALIAN_KEY),
    ]);
    let plain = open(TINETZ, Protection::Encrypted, &keys).unwrap();
    assert!(hex::encode(&plain).starts_with(TINETZ_PLAIN));
    assert!(hex::encode(&plain).ends_with("020309060100040800ff060000000902020f001620"));
    let plain = open(ITALIAN, Protection::Authenticated, &keys).unwrap();
    assert_eq!(
        hex::encode(plain),
        "0f000001db000922125a8591360000000049000000110000000a5a8513d014800000000d0000000a0100"
    );
}

#[test]
fn what_is_only_encrypted_is_not_taken_for_authenticated() {
    let keys = ring(&[("4B464D1010000023", TINETZ_KEY)]);
    let reason = open(TINETZ, Protection::Authenticated, &keys).unwrap_err();
    assert_eq!(reason.code, reject::SECURITY);
    assert!(!reason.message.contains("4B464D"), "{reason}");
}

#[test]
fn both_keys_are_needed_and_both_must_fit() {
    let with = |keys: &[(&str, &str)]| {
        open(ITALIAN, Protection::Authenticated, &ring(keys))
            .unwrap_err()
            .code
    };
    let title = ("2F19229199164103", ITALIAN_KEY);
    assert_eq!(with(&[]), reject::KEY_MISSING);
    assert_eq!(with(&[title]), reject::KEY_MISSING);
    assert_eq!(
        with(&[title, ("2F19229199164103/auth", TINETZ_KEY)]),
        reject::SECURITY
    );
    assert_eq!(
        with(&[
            ("2F19229199164103", TINETZ_KEY),
            ("2F19229199164103/auth", ITALIAN_KEY)
        ]),
        reject::SECURITY
    );
}

#[test]
fn keys_may_go_by_the_device_the_transport_stands_for() {
    let device = DeviceId::from("M-7");
    let keys = ring(&[("M-7", ITALIAN_KEY), ("M-7/auth", ITALIAN_KEY)]);
    let context = DecodeContext {
        received_at: DateTime::UNIX_EPOCH,
        device: Some(&device),
        keys: &keys,
    };
    let bytes = hex::decode(ITALIAN).unwrap();
    let opened = cipher::open(&bytes[1..], Protection::Authenticated, None, &context).unwrap();
    assert_eq!(opened.sender.as_str(), "2F19229199164103");
}

#[test]
fn every_truncation_is_refused_and_every_flipped_bit_of_what_is_summed() {
    for profile in shipped() {
        let is_summed = !profile.id().as_str().ends_with("wrapper");
        for vector in profile.vectors() {
            if matches!(vector.expected, Expected::Reject(_)) {
                continue;
            }
            for length in 0..vector.bytes.len() {
                let result = run_on(profile, vector, &vector.bytes[..length]);
                assert!(result.is_err(), "{} cut to {length}", vector.name);
            }
            let start = if profile.id().as_str().ends_with("ciphered") {
                // The ports in the wrapper's head are nobody's.
                8 * 8
            } else {
                0
            };
            for bit in (start..vector.bytes.len() * 8).filter(|_| is_summed) {
                let mut flipped = vector.bytes.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let result = run_on(profile, vector, &flipped);
                assert!(result.is_err(), "{} with bit {bit} flipped", vector.name);
            }
        }
    }
}

#[test]
fn an_event_of_one_object_is_taken_with_the_profiles_decimals() {
    let text = r#"
id = "acme/g25"
verified = false
description = "a test"
transport = "mqtt"
codec = "dlms"
[dlms]
framing = "apdu"
layout = "pairs"
[[field]]
name = "total_work"
unit = "m3"
at = "7-0:3.0.0"
decimals = 2
[[test]]
name = "event-notification-request of a register"
hex = "C2 01 0C 07EA0B15FF080005 00 FE20 00 0003 0700030000FF 02 06 0708DCDE"
sampled_at = "2026-11-21T08:00:05+08:00"
clock_at = "2026-11-21T08:00:05+08:00"
items = { total_work_m3 = "1180213.42" }
[[test]]
name = "without a time"
hex = "C2 00 0003 0700030000FF 02 06 0708DCDE"
reject = "decode.time"
[[test]]
name = "of another object"
hex = "C2 01 0C 07EA0B15FF080005 00 FE20 00 0003 07000D0200FF 02 06 0708DCDE"
reject = "decode.field_missing"
"#;
    let profile = parse(text);
    let decoded = profile.vectors()[0].run(&profile).unwrap();
    assert_eq!(decoded.clock_at, Some(decoded.sampled_at));
}

#[test]
fn the_repeated_hour_is_two_instants_by_its_deviation() {
    let text = r#"
id = "acme/g25"
verified = false
description = "a test"
transport = "mqtt"
codec = "dlms"
[dlms]
framing = "apdu"
layout = "positions"
objects = ["7-0:3.0.0"]
deviation_inverted = INVERTED
[[field]]
name = "total_work"
unit = "m3"
at = "7-0:3.0.0"
decimals = 2
[[test]]
name = "02:30 in summer time"
hex = "0F 00000001 0C 07EA0A19FF021E00 00 FIRST 80 02 01 06 00000064"
sampled_at = "2026-10-25T00:30:00Z"
clock_at = "2026-10-25T00:30:00Z"
items = { total_work_m3 = "1" }
[[test]]
name = "02:30 in winter time; the tag of an octet string before the date-time"
hex = "0F 00000001 09 0C 07EA0A19FF021E00 00 SECOND 00 02 01 06 00000064"
sampled_at = "2026-10-25T01:30:00Z"
clock_at = "2026-10-25T01:30:00Z"
items = { total_work_m3 = "1" }
[[test]]
name = "a hundredth of a second"
hex = "0F 00000001 0C 07EA0A19FF021E00 01 SECOND 00 02 01 06 00000064"
sampled_at = "2026-10-25T01:30:00.01Z"
clock_at = "2026-10-25T01:30:00.01Z"
items = { total_work_m3 = "1" }
"#;
    let with = |inverted, first, second| {
        text.replace("INVERTED", inverted)
            .replace("FIRST", first)
            .replace("SECOND", second)
    };
    parse(&with("false", "FF88", "FFC4"));
    // A maker that counts it the other way.
    parse(&with("true", "0078", "003C"));
}

#[test]
fn a_total_cannot_be_mapped_to_the_other_conditions() {
    let told = |text: &str| -> Vec<String> {
        DeviceProfile::parse(Path::new("p.toml"), text)
            .unwrap_err()
            .iter()
            .filter(|p| p.code == problem::FIELD)
            .map(ToString::to_string)
            .collect()
    };
    let swapped = EVC
        .replace("at = \"7-0:3.0.0\"\n", "at = \"7-0:13.2.0.255\"\n")
        .replace("at = \"7-0:13.2.0\"\n", "at = \"7-0:3.0.0\"\n");
    let problems = told(&swapped);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains(
            "field `total_std` is read from 7-0:3.0.0, which does not hold it; 7-0:3.0.0 is total_work_m3; read that from it"
        ),
        "{problems:?}"
    );
    let frozen = EVC.replace(
        "{ at = \"7-0:13.2.0\", name = \"total_std\"",
        "{ at = \"7-0:3.0.0\", name = \"total_std\"",
    );
    assert_eq!(told(&frozen).len(), 1);
    let alarmed = EVC.replace("at = \"7-0:13.2.0\"\n", "at = \"7-0:12.2.0\"\n");
    assert!(told(&alarmed)[0].contains("7-0:12.2.0 is total_disturbed_m3"));
    let electricity = EVC.replace("at = \"7-0:13.2.0\"\n", "at = \"1-0:1.8.0\"\n");
    assert!(told(&electricity)[0].contains("is no object of a gas meter"));
}

/// Rebuilds a wrapper around an APDU.
fn wrap(apdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 1, 0, 1, 0, 1];
    frame.extend_from_slice(&u16::try_from(apdu.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(apdu);
    frame
}

fn assert_well_formed(decoded: &Decoded) {
    assert!(decoded.values.windows(2).all(|w| w[0].0 < w[1].0));
    for (item, value) in &decoded.values {
        match value {
            ItemValue::Exact(units) => assert!(item.is_exact() && *units >= 0),
            ItemValue::Float(number) => assert!(!item.is_exact() && number.is_finite()),
        }
    }
    for array in &decoded.frozen {
        assert!(matches!(array.item, Item::TotalStd | Item::TotalWork));
        assert!(array.step_s > 0 && !array.totals.is_empty());
        assert!(array.totals.iter().flatten().all(|units| *units >= 0));
    }
}

proptest! {
    #[test]
    fn a_message_with_bytes_overwritten_is_answered(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let profile = &shipped()[0];
        let vector = which.get(profile.vectors());
        let mut apdu = vector.bytes.get(8..).unwrap_or_default().to_vec();
        prop_assume!(!apdu.is_empty());
        for (at, byte) in edits {
            let at = at.index(apdu.len());
            apdu[at] = byte;
        }
        if let Ok(decoded) = run_on(profile, vector, &wrap(&apdu)) {
            assert_well_formed(&decoded);
        }
    }

    #[test]
    fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut apdu = vec![0x0F, 0, 0, 0, 1, 0];
        apdu.extend_from_slice(&body);
        let profile = &shipped()[0];
        if let Ok(decoded) = run_on(profile, &profile.vectors()[0], &wrap(&apdu)) {
            assert_well_formed(&decoded);
        }
    }
}
