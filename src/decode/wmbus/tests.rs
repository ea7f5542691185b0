//! Link layer, checksums and ciphers with published telegrams.

use std::path::Path;

use chrono::DateTime;
use proptest::prelude::*;

use super::crc::crc;
use super::link::{Checksums, Format, unpack};
use crate::decode::code::reject;
use crate::decode::mbus::address::{DeviceForm, letters, manufacturer_of};
use crate::decode::mbus::layers::{Buffer, Policy, open};
use crate::decode::{DecodeContext, DeviceProfile};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::{DeviceKey, KeyRing};
use crate::domain::reading::{Decoded, Item, ItemValue};

fn bytes(text: &str) -> Vec<u8> {
    let packed: String = text.split_whitespace().collect();
    hex::decode(packed).unwrap()
}

fn profile(text: &str) -> DeviceProfile {
    let whole = format!(
        "id = \"acme/g25\"\nverified = false\ndescription = \"a test\"\ntransport = \"mqtt\"\n\
         codec = \"wmbus\"\n{text}\n[[test]]\nname = \"nothing\"\nhex = \"\"\nreject = \"decode.truncated\"\n"
    );
    DeviceProfile::parse(Path::new("device-profiles/acme/g25.toml"), &whole)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn decode(
    profile: &DeviceProfile,
    raw: &[u8],
    device: &str,
    key: Option<&str>,
) -> Result<Decoded, RejectReason> {
    let mut keys = KeyRing::default();
    if let Some(key) = key {
        keys.insert(DeviceId::from(device), DeviceKey::from_hex(key).unwrap());
    }
    profile.decode(
        raw,
        &DecodeContext {
            received_at: DateTime::UNIX_EPOCH,
            device: None,
            keys: &keys,
        },
    )
}

const TOTAL: &str = "[[field]]\nname = \"total_work\"\nunit = \"m3\"\nvif = \"volume\"\n";

/// EN 13757-4, the example of format B: checksum 7AC5h.
const FORMAT_B: &str = "14 44 AE 0C 78 56 34 12 01 07 8C 20 27 78 0B 13 43 65 87 7A C5";

#[test]
fn the_checksums_of_published_blocks() {
    let body = bytes("14 44 AE 0C 78 56 34 12 01 07 8C 20 27 78 0B 13 43 65 87");
    assert_eq!(crc(&body), 0x7AC5);
    assert_eq!(crc(&bytes("2E 44 93 15 78 56 34 12 33 03")), 0x3363);
    // The check value of CRC-16/EN-13757.
    assert_eq!(crc(b"123456789"), 0xC2B7);
}

#[test]
fn format_b_in_one_and_in_two_blocks() {
    let text = format!("[wmbus]\nformat = \"b\"\ncrc = \"present\"\n[mbus]\nmedium = [7]\n{TOTAL}");
    let one = decode(&profile(&text), &bytes(FORMAT_B), "", None).unwrap();
    // 0B 13 43 65 87 is BCD 876543 l.
    assert_eq!(one.values, [(Item::TotalWork, ItemValue::Exact(8_765_430))]);
    assert_eq!(one.device.unwrap().as_str(), "12345678");
    // The same header with the length of two blocks: 126 bytes and their checksum, then the rest.
    let long = bytes(&format!(
        "8644AE0C7856341201078C2027780B134365877AC5{}E6781234567890F4EE",
        "11".repeat(105)
    ));
    let mut buffer = Buffer::new();
    unpack(&long, Format::B, Checksums::Present, &mut buffer).unwrap();
    assert_eq!(buffer.bytes().len(), 0x87 - 2 * 2 - 10);
    assert!(buffer.bytes().ends_with(&bytes("12 34 56 78 90")));
    for at in [5, 60, 127, 130, 134] {
        let mut bad = long.clone();
        bad[at] ^= 1;
        let mut buffer = Buffer::new();
        let reason = unpack(&bad, Format::B, Checksums::Present, &mut buffer).unwrap_err();
        assert_eq!(reason.code, reject::CHECKSUM, "byte {at}");
    }
}

#[test]
fn a_telegram_of_another_length_or_direction_is_told() {
    let code = |text: &str| {
        unpack(
            &bytes(text),
            Format::A,
            Checksums::Removed,
            &mut Buffer::new(),
        )
        .unwrap_err()
        .code
    };
    assert_eq!(code(""), reject::TRUNCATED);
    assert_eq!(code("09 44 93 15 78 56 34 12 33 03"), reject::LENGTH);
    assert_eq!(code("0A 44 93 15 78 56 34 12 33 03"), reject::TRUNCATED);
    assert_eq!(
        code("0A 44 93 15 78 56 34 12 33 03 78 00"),
        reject::TRAILING
    );
    assert_eq!(code("0A 40 93 15 78 56 34 12 33 03 78"), reject::CONTROL);
}

/// A real meter (Kamstrup, water) whose extended link layer is encrypted in counter mode; its key is
/// published with the telegram in several open decoders.
#[test]
fn the_extended_link_layer_is_decrypted() {
    const TELEGRAM: &str =
        "24442D2C692845631B168D3050209CD621B006B1140AEF4953AE5B86FAFC0B00E70705B846";
    const KEY: &str = "4E5508544202058100DFEFA06B0934A5";
    let text = format!("[mbus]\nmedium = [0x16]\n{TOTAL}");
    let profile = profile(&text);
    let raw = bytes(TELEGRAM);
    // Decrypted: 78, 02 FF 20 00 00, 04 13 80 3C 07 00 (474240 l), 44 13 9F 38 07 00.
    let decoded = decode(&profile, &raw, "63452869", Some(KEY)).unwrap();
    assert_eq!(
        decoded.values,
        [(Item::TotalWork, ItemValue::Exact(4_742_400))]
    );
    let wrong = decode(
        &profile,
        &raw,
        "63452869",
        Some("4E5508544202058100DFEFA06B0934A6"),
    );
    assert_eq!(wrong.unwrap_err().code, reject::KEY_WRONG);
    let missing = decode(&profile, &raw, "63452869", None).unwrap_err();
    assert_eq!(missing.code, reject::KEY_MISSING);
    assert!(missing.message.contains("63452869"), "{missing}");
}

/// OMS specification volume 2, annex N.5.4: one block encrypted, the rest in plain text.
#[test]
fn part_of_a_telegram_may_be_encrypted() {
    let mut keys = KeyRing::default();
    keys.insert(
        DeviceId::from("55667788"),
        DeviceKey::from_hex("000102030405060708090A0B0C0D0E0F").unwrap(),
    );
    let context = DecodeContext {
        received_at: DateTime::UNIX_EPOCH,
        device: None,
        keys: &keys,
    };
    let mut buffer = Buffer::new();
    buffer
        .push(&bytes(
            "72 88 77 66 55 93 44 55 08 00 04 10 05 00 DF E2 A7 82 14 6D 15 13 58 1C D2 F8 3F 39 04
             0C FD 10 78 56 34 12 0C 78 44 33 22 11",
        ))
        .unwrap();
    let policy = Policy {
        form: DeviceForm::Id,
        is_decrypted: false,
    };
    let telegram = open(&mut buffer, None, policy, &context).unwrap();
    // 2F 2F, 0B 6E 34 12 00 (1234), 42 6C FE 04 (2007-04-30), 4B 6E 56 34 02 (23456) and plain text.
    assert_eq!(
        buffer.after(telegram.records_at),
        bytes(
            "2F 2F 0B 6E 34 12 00 42 6C FE 04 4B 6E 56 34 02 0C FD 10 78 56 34 12 0C 78 44 33 22 11"
        )
    );
    assert_eq!(telegram.status, 0x04);
}

#[test]
fn fragments_unknown_methods_and_short_layers_are_refused() {
    let text = profile(TOTAL);
    let telegram = |upper: &str| {
        let upper = bytes(upper);
        let mut raw = vec![u8::try_from(9 + upper.len()).unwrap()];
        raw.extend(bytes("44 93 15 78 56 34 12 33 03"));
        raw.extend(upper);
        decode(&text, &raw, "12345678", None).unwrap_err().code
    };
    // More fragments; fragment 2; authentication 8 (GMAC); a length that is not its own.
    assert_eq!(telegram("90 02 00 40 78"), reject::FRAGMENT);
    assert_eq!(telegram("90 02 02 00 78"), reject::FRAGMENT);
    assert_eq!(telegram("90 04 00 24 28 00 78"), reject::ENCRYPTION);
    assert_eq!(telegram("90 03 00 00 00 78"), reject::LENGTH);
    assert_eq!(telegram("90 02 00"), reject::TRUNCATED);
    // Extended link layer: ends early; mode 2; a checksum that does not match.
    assert_eq!(telegram("8C 20"), reject::TRUNCATED);
    assert_eq!(
        telegram("8D 20 00 00 00 00 40 00 00 78"),
        reject::ENCRYPTION
    );
    assert_eq!(telegram("8D 20 00 00 00 00 00 00 00 78"), reject::CHECKSUM);
    // Encryption modes 1 (reserved) and 13 (TLS); more blocks than bytes.
    assert_eq!(telegram("7A 2A 00 00 01"), reject::ENCRYPTION);
    assert_eq!(telegram("7A 2A 00 00 0D"), reject::ENCRYPTION);
    let key = "000102030405060708090A0B0C0D0E0F";
    let short = bytes("0E 44 93 15 78 56 34 12 33 03 7A 2A 00 20 05");
    let reason = decode(&text, &short, "12345678", Some(key)).unwrap_err();
    assert_eq!(reason.code, reject::LENGTH);
    // Mode 7 without a message counter; with an unknown key derivation.
    let counterless = bytes("0F 44 93 15 78 56 34 12 33 03 7A 2A 00 00 07 10");
    let reason = decode(&text, &counterless, "12345678", Some(key)).unwrap_err();
    assert_eq!(reason.code, reject::ENCRYPTION);
    let underived = bytes("0F 44 93 15 78 56 34 12 33 03 7A 2A 00 00 07 00");
    let reason = decode(&text, &underived, "12345678", Some(key)).unwrap_err();
    assert_eq!(reason.code, reject::ENCRYPTION);
}

#[test]
fn the_key_is_the_meters_not_that_of_its_radio_module() {
    // Link layer: module 00000816; long header: meter 04361909.
    let text = profile(&format!("[mbus]\nmanufacturer = \"PIP\"\n{TOTAL}"));
    let raw = bytes(
        "3B4493151608000001378C2063900F002C25657A0000B71FC5D1DB43311C
         720919360430413A039A001007102F2F0C13744214002F2F2F2F2F2F2F2F",
    );
    let reason = decode(&text, &raw, "00000816", Some(&"00".repeat(16))).unwrap_err();
    assert_eq!(reason.code, reject::KEY_MISSING);
    assert!(reason.message.contains("`04361909`"), "{reason}");
    let reason = decode(&text, &raw, "04361909", Some(&"00".repeat(16))).unwrap_err();
    assert_eq!(reason.code, reject::KEY_WRONG);
}

#[test]
fn manufacturers_are_three_letters() {
    assert_eq!(manufacturer_of("ELS"), Some(0x1593));
    assert_eq!(manufacturer_of("PIP"), Some(0x4130));
    assert_eq!(letters(0x1593), "ELS");
    for bad in ["", "EL", "els", "ELSE", "E1S"] {
        assert_eq!(manufacturer_of(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_upper_layers_are_answered(
        ci in prop::sample::select(vec![0x72_u8, 0x7A, 0x78, 0x8C, 0x8D, 0x8E, 0x8F, 0x90]),
        rest in prop::collection::vec(any::<u8>(), 0..240),
    ) {
        static PROFILE: std::sync::OnceLock<DeviceProfile> = std::sync::OnceLock::new();
        let profile = PROFILE.get_or_init(|| profile(TOTAL));
        let mut raw = vec![u8::try_from(10 + rest.len()).unwrap()];
        raw.extend(bytes("44 93 15 78 56 34 12 33 03"));
        raw.push(ci);
        raw.extend(rest);
        let key = "000102030405060708090A0B0C0D0E0F";
        if let Err(reason) = decode(profile, &raw, "12345678", Some(key)) {
            prop_assert!(reject::ALL.contains(&reason.code.as_str()));
        }
    }
}
