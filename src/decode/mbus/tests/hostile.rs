//! Bytes nobody should send: flipped bits, truncations, anything at all.

use super::*;

fn shipped() -> &'static ProfileSet {
    static SET: std::sync::OnceLock<ProfileSet> = std::sync::OnceLock::new();
    SET.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
        ProfileSet::load(&dir).0
    })
}

/// Every checksummed frame with each of its bits flipped: sums and checksums see all of them.
#[test]
fn every_flipped_bit_of_a_checksummed_frame_is_rejected() {
    let mut flipped = 0;
    for id in [
        "oms/gas-mbus",
        "itron/cyble-mbus-gas",
        "landis-gyr/g350",
        "oms/gas-wmbus-a",
    ] {
        let profile = shipped()
            .iter()
            .find(|profile| profile.id().as_str() == id)
            .unwrap();
        for vector in profile.vectors() {
            if matches!(vector.expected, Expected::Reject(_)) {
                continue;
            }
            for bit in 0..8 * vector.bytes.len() {
                let mut raw = vector.bytes.to_vec();
                raw[bit / 8] ^= 1 << (bit % 8);
                let mut copy = vector.clone();
                copy.bytes = raw.into();
                let result = copy.run(profile);
                assert!(
                    result.is_err(),
                    "{id} `{}` with bit {bit} flipped gave {result:?}",
                    vector.name
                );
                flipped += 1;
            }
        }
    }
    assert!(flipped > 3_000, "{flipped}");
}

/// Truncations with the key at hand: a cut is not seen because the key is missing.
#[test]
fn every_truncation_is_rejected_with_the_key_at_hand() {
    for profile in shipped().iter() {
        for vector in profile.vectors() {
            if matches!(vector.expected, Expected::Reject(_)) {
                continue;
            }
            for length in 0..vector.bytes.len() {
                let mut copy = vector.clone();
                copy.bytes = vector.bytes.slice(..length);
                assert!(
                    copy.run(profile).is_err(),
                    "{} `{}` cut to {length}",
                    profile.id(),
                    vector.name
                );
            }
        }
    }
}

/// A profile that asks for nearly everything.
fn greedy() -> &'static DeviceProfile {
    static PROFILE: std::sync::OnceLock<DeviceProfile> = std::sync::OnceLock::new();
    PROFILE.get_or_init(|| {
        profile(&format!(
            "[mbus]\nmedium = [3]\npartial = true\nclock = {{}}\n{TOTAL}optional = true\ninexact = true
[[field]]\nname = \"flow_work\"\nunit = \"m3h\"\nvif = \"flow\"\noptional = true
[[field]]\nname = \"temperature\"\nunit = \"c\"\nvif = \"flow_temperature\"\noptional = true
[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\nstorage = 0\ncompact = true\noptional = true
[[frozen]]\nname = \"total_work\"\nunit = \"m3\"\nstorage = 1\ncount = 3\noptional = true
[[alarm]]\nat = \"error_flags\"\nbits = {{ 63 = \"leak\" }}"
        ))
    })
}

/// Records that are likely to be read to their end.
fn likely_record() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::sample::select(vec![
            0x01_u8, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x0C, 0x0E, 0x44, 0x42, 0x84, 0xC4,
            0x0D,
        ]),
        prop::sample::select(vec![
            0x13_u8, 0x16, 0x3B, 0x5A, 0x6C, 0x6D, 0x74, 0x93, 0x94, 0xFD, 0xFB, 0x7C,
        ]),
        prop::collection::vec(any::<u8>(), 0..14),
    )
        .prop_map(|(dif, vif, rest)| {
            let mut record = vec![dif, vif];
            record.extend(rest);
            record
        })
}

proptest! {
    #[test]
    fn any_records_are_answered(
        records in prop::collection::vec(likely_record(), 1..8),
        order in any::<bool>(),
        status in any::<u8>(),
    ) {
        let records = hex::encode(records.concat());
        let header = if order {
            format!("76 12 34 56 78 15 93 33 03 2A {status:02X} 00 00")
        } else {
            format!("72 78 56 34 12 93 15 33 03 2A {status:02X} 00 00")
        };
        let raw = framed(&header, &records);
        if let Ok(decoded) = decode(greedy(), &raw) {
            prop_assert!(decoded.values.windows(2).all(|w| w[0].0 < w[1].0));
            prop_assert!(to_json(&decoded).is_object());
            for (item, value) in &decoded.values {
                match value {
                    ItemValue::Exact(units) => prop_assert!(item.is_exact() && *units >= 0),
                    ItemValue::Float(number) => prop_assert!(number.is_finite()),
                }
            }
            for array in &decoded.frozen {
                prop_assert!(array.step_s > 0 && !array.totals.is_empty());
                prop_assert!(array.totals.iter().flatten().all(|units| *units >= 0));
            }
        }
    }

    #[test]
    fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..252)) {
        let raw = framed(&hex::encode(body), "");
        if let Ok(decoded) = decode(greedy(), &raw) {
            prop_assert!(to_json(&decoded).is_object());
        }
    }

    #[test]
    fn whole_numbers_of_every_width_survive(count in 0_i64..1_000_000_000, places in 0_usize..4) {
        let vif = 0x13 + u8::try_from(places).unwrap();
        let units = count * 10 * 10_i64.pow(u32::try_from(places).unwrap());
        let record = |dif: u8, data: &[u8]| format!("{dif:02X} {vif:02X} {}", hex::encode(data));
        let binary = count.to_le_bytes();
        prop_assert_eq!(total(&record(0x04, &binary[..4])), Ok(units));
        prop_assert_eq!(total(&record(0x06, &binary[..6])), Ok(units));
        prop_assert_eq!(total(&record(0x07, &binary)), Ok(units));
        let mut bcd = bytes(&format!("{count:012}"));
        bcd.reverse();
        prop_assert_eq!(total(&record(0x0E, &bcd)), Ok(units));
    }
}
