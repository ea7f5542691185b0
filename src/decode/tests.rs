//! The shipped profiles, hostile bytes, and what a wrong profile is told.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::code::{problem, reject};
use super::vector::Expected;
use super::*;
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::problem::Problem;
use crate::domain::reading::Item;

fn shipped_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles")
}

fn shipped() -> ProfileSet {
    let (set, problems) = ProfileSet::load(&shipped_dir());
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", text.join("\n"));
    set
}

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T08:00:30+08:00")
        .unwrap()
        .to_utc()
}

fn parse(text: &str) -> Result<DeviceProfile, Vec<Problem>> {
    DeviceProfile::parse(Path::new("device-profiles/acme/g25.toml"), text)
}

fn told(text: &str) -> Vec<String> {
    parse(text)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_shipped_profiles_pass_their_own_vectors() {
    let set = shipped();
    let ids: Vec<&str> = set.iter().map(|p| p.id().as_str()).collect();
    assert_eq!(
        ids,
        [
            "apator/at-wmbus-g",
            "chirpstack/v3-example",
            "chirpstack/v4-example",
            "diehl/aerius",
            "elster/bk-g65a",
            "elster/gas-v81",
            "fuxin/fx-corrector",
            "generic/cjt188-gas",
            "generic/cjt188-gas-history",
            "generic/cjt188-gas-litres",
            "generic/cjt188-gas-reversed",
            "generic/dlms-evc-wrapper",
            "generic/dlms-gas-ciphered",
            "generic/dlms-gas-hdlc",
            "generic/dlt645-forwarding-cjt188",
            "generic/dlt645-gas",
            "generic/dsmr-p1",
            "generic/dsmr-p1-belgium",
            "generic/dsmr-p1-legacy",
            "generic/dsmr-p1-legacy-channel2",
            "generic/dsmr-p1-legacy-xmx",
            "generic/modbus-corrector",
            "generic/modbus-int-frac",
            "gwf/gas-radio",
            "itron/cyble-mbus-gas",
            "landis-gyr/g350",
            "oms/gas-mbus",
            "oms/gas-wmbus",
            "oms/gas-wmbus-a",
            "pipersberg/bk-g4",
            "pipersberg/cyble5-converted",
            "qianwei/10e1-corrector",
            "qianwei/7021-report",
            "qiliang/cbor-push",
            "qiliang/json-push",
            "tancy/gprs-000f",
        ]
    );
    let rejected = set
        .iter()
        .flat_map(|p| p.vectors())
        .filter(|v| matches!(v.expected, Expected::Reject(_)))
        .count();
    assert!(rejected >= 20, "{rejected}");
}

#[test]
fn every_truncation_of_every_vector_is_rejected() {
    let set = shipped();
    for profile in set.iter() {
        for vector in profile.vectors() {
            if matches!(vector.expected, Expected::Reject(_)) {
                continue;
            }
            for length in 0..vector.bytes.len() {
                let result = profile.decode(&vector.bytes[..length], &DecodeContext::at(now()));
                assert!(
                    result.is_err(),
                    "{} `{}` cut to {length} bytes gave {result:?}",
                    profile.id(),
                    vector.name
                );
            }
        }
    }
}

/// A reading is in the order of `Item`, each item once, floats finite.
fn assert_well_formed(decoded: &Decoded) {
    assert!(decoded.values.windows(2).all(|w| w[0].0 < w[1].0));
    // Showing it does civil arithmetic on every instant.
    assert!(to_json(decoded).is_object());
    for (item, value) in &decoded.values {
        match value {
            ItemValue::Exact(units) => assert!(item.is_exact() && *units >= 0),
            ItemValue::Float(number) => assert!(!item.is_exact() && number.is_finite()),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for profile in shipped_once().iter() {
            if let Ok(decoded) = profile.decode(&bytes, &DecodeContext::at(now())) {
                assert_well_formed(&decoded);
            }
        }
    }

    #[test]
    fn vectors_with_bytes_overwritten_are_answered(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let vectors: Vec<_> = shipped_once()
            .iter()
            .flat_map(|p| p.vectors().iter().map(move |v| (p, v)))
            .collect();
        let (profile, vector) = vectors[which.index(vectors.len())];
        let mut bytes = vector.bytes.to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(decoded) = profile.decode(&bytes, &DecodeContext::at(now())) {
            assert_well_formed(&decoded);
        }
    }

    #[test]
    fn register_snapshots_of_any_content_are_answered(registers in prop::collection::vec(any::<u16>(), 22)) {
        for profile in shipped_once().iter() {
            let blocks: Vec<_> = profile
                .register_blocks()
                .iter()
                .map(|b| snapshot::BlockReading {
                    function: b.function,
                    start: b.start,
                    registers: registers.iter().copied().cycle().take(b.count.into()).collect(),
                })
                .collect();
            if blocks.is_empty() {
                continue;
            }
            if let Ok(decoded) = profile.decode(&snapshot::encode(&blocks), &DecodeContext::at(now())) {
                assert_well_formed(&decoded);
            }
        }
    }

    #[test]
    fn any_profile_text_is_answered(text in "[a-z\\[\\]= \"\n0-9/.{}]{0,200}") {
        prop_assert!(parse(&text).is_err());
    }
}

/// Loaded once for the property tests.
fn shipped_once() -> &'static ProfileSet {
    static SET: std::sync::OnceLock<ProfileSet> = std::sync::OnceLock::new();
    SET.get_or_init(shipped)
}

#[test]
fn a_field_without_a_unit_is_refused_with_file_line_field_and_remedy() {
    let text = "id = \"acme/g25\"
verified = false
description = \"a test\"
transport = \"mqtt\"
codec = \"json\"
[json]
device = \"/dev\"
[[message]]
name = \"reading\"
when = \"/ts\"
time = { at = \"/ts\", format = \"rfc3339\" }

[[message.field]]
name = \"flow_std\"
at = \"/flow\"

[[message.field]]
name = \"pressure_abs\"
unit = \"MPa\"
at = \"/p\"
[[test]]
name = \"t\"
json = '{}'
reject = \"decode.message_kind\"
";
    assert_eq!(
        told(text),
        [
            "device-profiles/acme/g25.toml:14: field `flow_std` has no unit; add m3h [decode.profile_field_unit]",
            "device-profiles/acme/g25.toml:19: field `pressure_abs` has the unit `MPa`; \
             write kpa and scale = 1000 [decode.profile_field_unit]",
        ]
    );
}

const MODBUS: &str = "id = \"acme/g25\"
verified = false
description = \"a test\"
transport = \"modbus\"
codec = \"modbus\"
";

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text = format!(
        "{MODBUS}colour = \"red\"
[modbus]
function = 3
[[field]]
name = \"total_std\"
unit = \"m3\"
register = 0
type = \"f32\"
[[field]]
name = \"temperature\"
unit = \"c\"
register = 65535
type = \"f32\"
[[field]]
name = \"flow_std\"
unit = \"m3h\"
register = 4
type = \"f23\"
[[alarm]]
register = 5
bits = {{ 16 = \"battery_low\" }}
[[test]]
name = \"t\"
hex = \"zz\"
reject = \"decode.nonsense\"
"
    );
    let codes: Vec<(Option<usize>, &str)> = parse(&text)
        .unwrap_err()
        .iter()
        .map(|p| (p.line, p.code))
        .collect();
    assert_eq!(
        codes,
        [
            (Some(6), problem::KEY),
            (Some(10), problem::FIELD),
            (Some(15), problem::REGISTERS),
            (Some(23), problem::VALUE),
            (Some(26), problem::FIELD),
            (Some(29), problem::VECTOR_SYNTAX),
        ]
    );
}

#[test]
fn a_profile_without_a_vector_or_with_a_failing_one_is_refused() {
    let body = format!(
        "{MODBUS}[modbus]
[[field]]
name = \"total_work\"
unit = \"m3\"
register = 0
type = \"u32\"
decimals = 2
"
    );
    assert!(told(&body)[0].contains("has no test vector"));
    let with = |expected: &str| {
        format!(
            "{body}[[test]]
name = \"t\"
hex = \"03 0000 0002 0000 3039\"
sampled_at = \"1970-01-01T00:00:00Z\"
items = {{ total_work_m3 = \"{expected}\" }}
"
        )
    };
    assert!(parse(&with("123.45")).is_ok());
    assert_eq!(
        told(&with("123.46")),
        [
            "device-profiles/acme/g25.toml:14: test `t` fails: total_work_m3 is 123.4500, expected 123.4600; \
             correct the profile, or the test if the device proves it wrong [decode.profile_vector]"
        ]
    );
}

#[test]
fn orders_types_clock_sentinels_and_masks_of_registers() {
    let text = format!(
        "{MODBUS}[modbus]
order = \"CDAB\"
registers_max = 4
clock = {{ register = 10, format = \"bcd\" }}
[[field]]
name = \"total_std\"
unit = \"m3\"
register = 0
type = \"u64\"
order = \"DCBA\"
decimals = 3
[[field]]
name = \"flow_std\"
unit = \"m3h\"
register = 4
type = \"f32\"
[[field]]
name = \"flow_work\"
unit = \"m3h\"
register = 6
type = \"f32\"
order = \"BADC\"
[[field]]
name = \"temperature\"
unit = \"c\"
register = 8
type = \"i16\"
scale = 0.1
offset = -40
none = [\"8000\"]
optional = true
[[field]]
name = \"valve\"
register = 9
type = \"u16\"
mask = 0x0300
values = {{ 0 = 0, 1 = 1, 2 = 2 }}
[[test]]
name = \"values\"
hex = '''03 0000 0004 EB2E 0FA6 0200 0000
03 0004 0004 6392 449B 9B44 9263
03 0008 0002 0258 0100
03 000A 0003 2611 2108 1530'''
sampled_at = \"2026-11-21T08:15:30+08:00\"
items = {{ total_std_m3 = \"11375947.499\", flow_std_m3h = 1243.1116, flow_work_m3h = 1243.1116, temperature_c = 20.0, valve = 1.0 }}
[[test]]
name = \"no sensor\"
hex = '''03 0000 0004 EB2E 0FA6 0200 0000
03 0004 0004 6392 449B 9B44 9263
03 0008 0002 8000 0200
03 000A 0003 2611 2108 1530'''
sampled_at = \"2026-11-21T08:15:30+08:00\"
items = {{ total_std_m3 = \"11375947.499\", flow_std_m3h = 1243.1116, flow_work_m3h = 1243.1116, valve = 2.0 }}
[[test]]
name = \"a valve state nobody listed\"
hex = '''03 0000 0004 EB2E 0FA6 0200 0000
03 0004 0004 6392 449B 9B44 9263
03 0008 0005 8000 0300 2611 2108 1530'''
reject = \"decode.state_unknown\"
[[test]]
name = \"a clock that stands at zero\"
hex = '''03 0000 0004 EB2E 0FA6 0200 0000
03 0004 0004 6392 449B 9B44 9263
03 0008 0005 8000 0200 0000 0000 0000'''
reject = \"decode.time\"
"
    );
    let profile = parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(profile.register_blocks().iter().all(|b| b.count <= 4));
}

#[test]
fn a_vendors_own_json_needs_only_a_profile() {
    let text = r#"
id = "acme/g25"
verified = false
description = "a test"
transport = "mqtt"
codec = "json"
[json]
device = "/head/imei"
[[message]]
name = "day"
when = "/day/list"
time = { at = "/head/t", format = "unix_ms" }
  [[message.backfill]]
  name = "total_work"
  unit = "m3"
  at = "/day/list"
  count = 3
  newest_first = true
  decimals = 2
  first = { at = "/day/newest", format = "beijing", plus_s = -7200 }
  step_s = 3600
[[message]]
name = "status"
when = "/d/0"
time = { at = "/head/t", format = "unix_s" }
  [[message.field]]
  name = "total_work"
  unit = "m3"
  at = "/d/0/v"
  decimals = 2
  [[message.field]]
  name = "pressure_abs"
  unit = "kpa"
  at = "/d/0/p"
  scale = 1000
  none = ["", "-1"]
  optional = true
  [[message.field]]
  name = "valve"
  at = "/d/0/closed"
  values = { false = 0, true = 1 }
  [[message.alarm]]
  at = "/d/0/st"
  bits = { 0 = "battery_low", 5 = "magnetic" }
[[test]]
name = "status"
json = '{"head":{"imei":860000000000001,"t":1795219200},"d":[{"v":118021342,"p":"0.301325","closed":true,"st":33}]}'
device = "860000000000001"
sampled_at = "2026-11-21T08:00:00+08:00"
alarms = ["battery_low", "magnetic"]
items = { total_work_m3 = "1180213.42", pressure_abs_kpa = 301.325, valve = 1.0 }
[[test]]
name = "no pressure"
json = '{"head":{"t":"1795219200"},"d":[{"v":"7","p":-1,"closed":false,"st":64}]}'
sampled_at = "2026-11-21T08:00:00+08:00"
items = { total_work_m3 = "0.07", valve = 0.0 }
[[test]]
name = "frozen, newest first"
json = '{"head":{"imei":"X","t":1795219200000},"day":{"newest":"2026-11-21 07:00:00","list":[300,null,100]}}'
device = "X"
sampled_at = "2026-11-21T08:00:00+08:00"
[[test.frozen]]
item = "total_work_m3"
first_at = "2026-11-21T05:00:00+08:00"
step_s = 3600
totals = ["1", "", "3"]
[[test]]
name = "a clock at the end of the calendar"
json = '{"head":{"t":8210266876799},"d":[{"v":7,"closed":false}]}'
reject = "decode.time"
[[test]]
name = "a total with a point where decimals are implied"
json = '{"head":{"t":1795219200},"d":[{"v":7.5,"closed":false}]}'
reject = "decode.field_type"
[[test]]
name = "no total"
json = '{"head":{"t":1795219200},"d":[{"v":null,"closed":false}]}'
reject = "decode.field_missing"
[[test]]
name = "a valve that is neither"
json = '{"head":{"t":1795219200},"d":[{"v":7,"closed":"half"}]}'
reject = "decode.state_unknown"
[[test]]
name = "an array of objects where texts belong"
json = '{"head":{"t":1795219200},"d":[{"v":7,"closed":false,"st":[{}]}]}'
reject = "decode.field_type"
"#;
    if let Err(problems) = parse(text) {
        panic!("{problems:#?}");
    }
}

#[test]
fn try_profile_prints_items_with_units_and_takes_hexadecimal() {
    let set = shipped();
    let frame = b"68 30 01 00 00 05 08 00 00 81 16 1F 90 00 78 56 34 12 2C 00 00 00 00 2C 00 00 08 21 11 26 20 05 00 DD 16\n";
    let id = ProfileId::from("generic/cjt188-gas");
    let shown = try_profile(&set, &id, frame, &DecodeContext::at(now())).unwrap();
    insta::assert_snapshot!(shown, @r#"{"alarms":["battery_low"],"clock_at":"2026-11-21T08:00:00+08:00","device":"00000805000001","frozen":[],"items":{"total_work_m3":"123456.7800","valve":1.0},"sampled_at":"2026-11-21T08:00:00+08:00"}"#);
    let unknown = try_profile(
        &set,
        &ProfileId::from("a/b"),
        frame,
        &DecodeContext::at(now()),
    )
    .unwrap_err();
    assert_eq!(unknown.code, reject::PROFILE);
    assert!(unknown.message.contains("generic/cjt188-gas"), "{unknown}");
    let bad = try_profile(&set, &id, b"68 30", &DecodeContext::at(now())).unwrap_err();
    assert_eq!(bad.code, reject::TRUNCATED);
}

#[test]
fn rejections_never_repeat_the_payload() {
    let set = shipped();
    let profile = set.get(&ProfileId::from(JSON_PUSH)).unwrap();
    for text in [
        r#"{"dev":"D","ts":"2026-11-21T08:00:00+08:00","std_m3":"SECRET"}"#,
        r#"{"dev":"D","ts":"SECRET","std_m3":"1"}"#,
        r#"{"dev":"D","ts":"2026-11-21T08:00:00+08:00","std_m3":"1","t_c":"SECRET"}"#,
        r#"{"dev":["SECRET"],"ts":"2026-11-21T08:00:00+08:00","std_m3":"1"}"#,
        r"{SECRET",
    ] {
        let reason = profile
            .decode(text.as_bytes(), &DecodeContext::at(now()))
            .unwrap_err();
        assert!(!reason.message.contains("SECRET"), "{reason}");
    }
}

#[test]
fn the_modbus_poll_of_the_corrector_is_the_published_request() {
    let set = shipped();
    let profile = set.get(&ProfileId::from("fuxin/fx-corrector")).unwrap();
    assert_eq!(
        profile.register_blocks(),
        [RegisterBlock {
            function: 3,
            start: 0x000A,
            count: 20
        }]
    );
    let vector = &profile.vectors()[0];
    let decoded = profile
        .decode(&vector.bytes, &DecodeContext::at(now()))
        .unwrap();
    assert_eq!(decoded.sampled_at, now(), "no clock: when it reached us");
    assert_eq!(decoded.device, None);
    assert!(
        decoded
            .values
            .iter()
            .any(|(i, _)| *i == Item::TotalStdSecond)
    );
}

#[test]
fn rows_of_a_csv_file_are_decoded_as_json_push_whatever_the_meter_is_bound_to() {
    let set = shipped();
    let bound = ProfileId::from("fuxin/fx-corrector");
    let frame = |transport, bytes: String| RawFrame {
        transport,
        origin: "history.csv:2".into(),
        device: None,
        bytes: bytes.into(),
        received_at: now(),
    };
    let id = |frame: &RawFrame| set.for_frame(frame, &bound).map(|p| p.id().to_string());
    let row = format!("{CSV_PREFIX}\"dev\":\"D\"}}");
    assert_eq!(
        id(&frame(Transport::Import, row.clone())).as_deref(),
        Some(JSON_PUSH)
    );
    assert_eq!(
        id(&frame(Transport::Mqtt, row)).as_deref(),
        Some("fuxin/fx-corrector")
    );
    assert_eq!(
        id(&frame(Transport::Import, "{\"v\":1}".into())).as_deref(),
        Some("fuxin/fx-corrector")
    );
}

fn copy_shipped(to: &Path, ids: &[&str]) {
    for id in ids {
        let file = to.join(format!("{id}.toml"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(shipped_dir().join(format!("{id}.toml")), file).unwrap();
    }
}

#[test]
fn a_folder_tells_all_problems_and_keeps_the_good() {
    let dir = tempfile::tempdir().unwrap();
    copy_shipped(dir.path(), &["qiliang/json-push", "generic/cjt188-gas"]);
    fs::create_dir_all(dir.path().join("copy")).unwrap();
    fs::copy(
        shipped_dir().join("qiliang/json-push.toml"),
        dir.path().join("copy/json-push.toml"),
    )
    .unwrap();
    fs::write(dir.path().join("loose.toml"), "").unwrap();
    fs::write(dir.path().join("copy/broken.toml"), "id = ").unwrap();
    fs::write(dir.path().join("copy/notes.txt"), "not a profile").unwrap();
    let (set, problems) = ProfileSet::load(dir.path());
    let ids: Vec<&str> = set.iter().map(|p| p.id().as_str()).collect();
    assert_eq!(ids, ["generic/cjt188-gas", "qiliang/json-push"]);
    let mut codes: Vec<&str> = problems.iter().map(|p| p.code).collect();
    codes.sort_unstable();
    // The copy takes nothing from the original, which lies where its id says.
    assert_eq!(codes, [problem::DUPLICATE, problem::PLACE, problem::SYNTAX]);
}

#[test]
fn a_reload_keeps_the_old_form_of_a_profile_that_became_bad() {
    let dir = tempfile::tempdir().unwrap();
    copy_shipped(dir.path(), &["qiliang/json-push", "generic/cjt188-gas"]);
    let (first, problems) = ProfileSet::load(dir.path());
    assert!(problems.is_empty());
    fs::write(dir.path().join("qiliang/json-push.toml"), "id = 7").unwrap();
    fs::remove_file(dir.path().join("generic/cjt188-gas.toml")).unwrap();
    let (second, problems) = first.reload(dir.path());
    assert!(!problems.is_empty());
    let ids: Vec<&str> = second.iter().map(|p| p.id().as_str()).collect();
    assert_eq!(ids, [JSON_PUSH]);
    let (third, problems) = second.reload(&dir.path().join("gone"));
    assert_eq!(problems[0].code, problem::UNREADABLE);
    assert_eq!(third, second);
}

#[test]
fn the_readme_lists_every_shipped_profile_code_and_alarm() {
    let readme = fs::read_to_string(shipped_dir().join("README.md")).unwrap();
    for profile in shipped().iter() {
        assert!(
            readme.contains(&format!("| `{}` |", profile.id())),
            "{}",
            profile.id()
        );
    }
    for code in reject::ALL {
        assert!(readme.contains(&format!("`{code}`")), "{code}");
    }
    for alarm in crate::domain::reading::Alarm::ALL {
        let key = serde_json::to_value(alarm).unwrap();
        assert!(readme.contains(key.as_str().unwrap()), "{key}");
    }
}
