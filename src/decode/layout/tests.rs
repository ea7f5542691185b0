//! Layouts that can and cannot be, and what frames of them say. The shipped profiles' vectors show
//! the rest.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use crate::decode::DeviceProfile;
use crate::decode::code::problem;
use crate::decode::context::DecodeContext;
use crate::domain::problem::Problem;

const HEAD: &str = "id = \"acme/g25\"
verified = false
description = \"a test\"
transport = \"mqtt\"
codec = \"layout\"
";

const VECTOR: &str = "
[[test]]
name = \"t\"
hex = \"\"
reject = \"decode.truncated\"
";

fn parse(body: &str) -> Result<DeviceProfile, Vec<Problem>> {
    DeviceProfile::parse(Path::new("acme/g25.toml"), &format!("{HEAD}{body}"))
}

fn passes(body: &str) -> DeviceProfile {
    parse(body).unwrap_or_else(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", text.join("\n"))
    })
}

/// Problems as `line: message`, lines counted from the body's first.
fn told(body: &str) -> Vec<String> {
    let problems = parse(&format!("{body}{VECTOR}")).unwrap_err();
    assert!(problems.iter().all(|p| !p.remedy.is_empty()));
    problems
        .iter()
        .map(|p| format!("{}: {}", p.line.unwrap() - HEAD.lines().count(), p.message))
        .collect()
}

#[test]
fn every_number_in_every_order() {
    passes(
        r#"
[[message]]
name = "all"
size = 40
  [[message.field]]
  name = "total_std"
  unit = "m3"
  at = 0
  type = "bcd"
  bytes = 6
  order = "little"
  decimals = 4
  [[message.field]]
  name = "total_work"
  unit = "m3"
  at = 6
  type = "u64"
  order = "CDAB"
  decimals = 3
  [[message.field]]
  name = "total_disturbed"
  unit = "m3"
  at = 14
  type = "u24"
  order = "little"
  fraction = { at = 17, type = "bcd", bytes = 2, order = "big", decimals = 4 }
  [[message.field]]
  name = "flow_std"
  unit = "m3h"
  at = 19
  type = "f32"
  order = "BADC"
  [[message.field]]
  name = "flow_work"
  unit = "m3h"
  at = 23
  type = "f64"
  order = "DCBA"
  [[message.field]]
  name = "temperature"
  unit = "c"
  at = 31
  type = "bcd"
  bytes = 2
  minus_nibble = 8
  scale = 0.1
  [[message.field]]
  name = "pressure_gauge"
  unit = "kpa"
  at = 33
  type = "i24"
  scale = 0.001
  [[message.field]]
  name = "valve"
  at = 36
  type = "u16"
  order = "little"
  bit = 14
  width = 2
  values = { 0 = 0, 1 = 1, 2 = 2 }
  [[message.field]]
  name = "battery"
  unit = "v"
  at = -2
  type = "u16"
  scale = 0.001
  none = ["FFFF"]
  optional = true
  [[message.alarm]]
  at = 36
  type = "u16"
  order = "little"
  bits = { 0 = "battery_low", 13 = "leak" }
[[test]]
name = "values"
received_at = "2026-11-21T08:00:00+08:00"
hex = """161143120000
EB2E 0FA6 0200 0000
E80300 0625
9B44 9263
0000000000208740
8125
FFFF00
0160
0E10"""
sampled_at = "2026-11-21T08:00:00+08:00"
alarms = ["battery_low", "leak"]
items = { total_std_m3 = "1243.1116", total_work_m3 = "144115191028.0590", total_disturbed_m3 = "1000.0625", flow_std_m3h = 1243.1116, flow_work_m3h = 740.0, temperature_c = -12.5, pressure_gauge_kpa = -0.256, valve = 1.0, battery_v = 3.6 }
"#
        .replace("144115191028.0590", &total_work())
        .as_str(),
    );
}

/// The words of EB2E 0FA6 0200 0000, last first, as thousandths of m³.
fn total_work() -> String {
    let count = 0x0000_0200_0FA6_EB2E_u64;
    format!("{}.{:03}", count / 1_000, count % 1_000)
}

#[test]
fn places_that_cannot_be_are_told_with_line_field_and_remedy() {
    let body = r#"[[message]]
name = "m"
size = 10
[[message.field]]
name = "total_std"
unit = "m3"
at = 8
type = "u32"
[[message.field]]
name = "total_work"
unit = "m3"
at = 0
type = "bcd"
[[message.field]]
name = "flow_std"
unit = "m3h"
at = -2
type = "u24"
[[message.field]]
name = "temperature"
unit = "c"
at = 0
type = "u24"
order = "CDAB"
[[message.field]]
name = "battery"
unit = "v"
at = 0
type = "u8"
bit = 5
width = 4
"#;
    assert_eq!(
        told(body),
        [
            "5: field `total_std` ends at byte 12, but the frame has 10 bytes",
            "10: field `total_work` does not say how many bytes it has",
            "15: field `flow_std` begins 2 bytes before the end and has 3 bytes",
            "20: field `temperature` has 3 bytes, which are no whole words",
            "26: field `battery` takes 4 bits from bit 5 of 8",
        ]
    );
    let problems = parse(&format!("{body}{VECTOR}")).unwrap_err();
    assert!(problems.iter().all(|p| p.code == problem::LAYOUT));
}

#[test]
fn two_values_in_one_place_are_told() {
    let two = |first: &str, second: &str| {
        format!(
            "[[message]]
name = \"m\"
size = 8
time = {{ at = 0, format = \"unix_s\" }}
[[message.field]]
name = \"flow_std\"
unit = \"m3h\"
{first}
[[message.field]]
name = \"flow_work\"
unit = \"m3h\"
{second}
"
        )
    };
    let u16_at = |at: i64| format!("at = {at}\ntype = \"u16\"");
    let bits = |bit: u32, order: &str| {
        format!("at = 4\ntype = \"u16\"\norder = \"{order}\"\nbit = {bit}\nwidth = 4")
    };
    for (first, second, overlap) in [
        (u16_at(4), u16_at(6), None),
        (
            u16_at(4),
            u16_at(5),
            Some("field `flow_work` overlaps field `flow_std` at byte 5"),
        ),
        (
            u16_at(4),
            u16_at(-3),
            Some("field `flow_work` overlaps field `flow_std` at byte 5"),
        ),
        (
            u16_at(4),
            u16_at(3),
            Some("field `flow_work` overlaps time at byte 3"),
        ),
        (bits(0, "big"), bits(4, "big"), None),
        (bits(0, "big"), bits(0, "little"), None),
        (
            bits(0, "big"),
            bits(8, "little"),
            Some("field `flow_work` overlaps field `flow_std` at byte 5"),
        ),
        (
            bits(3, "big"),
            bits(0, "big"),
            Some("field `flow_work` overlaps field `flow_std` at byte 5"),
        ),
    ] {
        let body = two(&first, &second);
        match overlap {
            None => {
                passes(&format!("{body}{VECTOR}"));
            }
            Some(overlap) => {
                let told = told(&body);
                assert_eq!(told.len(), 1, "{told:?}");
                assert!(told[0].ends_with(overlap), "{told:?}");
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of mistakes")]
fn mistakes_of_times_checks_arrays_and_kinds_are_told() {
    let with = |extra: &str| {
        format!(
            "[[message]]
name = \"m\"
size = 20
[[message.field]]
name = \"flow_std\"
unit = \"m3h\"
at = 0
type = \"u16\"
{extra}
"
        )
    };
    let array = |keys: &str| {
        with(&format!(
            "[[message.backfill]]\nname = \"total_std\"\nunit = \"m3\"\nat = 2\ntype = \"u16\"\nstep_s = 3600\n{keys}"
        ))
    };
    let check = |keys: &str| with(&format!("[[message.check]]\n{keys}"));
    let first = "first = { at = 16, format = \"unix_s\" }";
    for (body, message) in [
        (
            array(&format!("count = 8\n{first}")),
            "backfill overlaps the time of a backfill at byte 16",
        ),
        (
            array(&format!("count = 9\nstride = 1\n{first}")),
            "backfill `total_std` has a stride of 1 bytes",
        ),
        (
            array("count = 2"),
            "backfill `total_std` does not say of which instant it is",
        ),
        (
            array(first),
            "backfill `total_std` does not say how many totals it has",
        ),
        (
            array("count = 2\nfirst = { of = \"time\" }"),
            "is counted from a time the message does not have",
        ),
        (
            array("count = 2\nfirst = { of = \"clock\" }"),
            "is counted from a clock the message does not have",
        ),
        (
            array("count = 2\nfirst = { at = 16, format = \"YYMMXX\" }"),
            "`YYMMXX` is no format of a time",
        ),
        (
            array("count = 2\nfirst = { at = 16, format = \"minutes_since\" }"),
            "and its epoch do not go together",
        ),
        (
            array("count = 2\nfirst = { at = 16, format = \"unix_s\", floor_s = 7000 }"),
            "floor_s that is no part of a day",
        ),
        (
            array(&format!(
                "count = 2\n{first}\nbase = {{ at = 8, type = \"u16\" }}"
            )),
            "does not say which total it is",
        ),
        (
            array(&format!(
                "count_at = {{ at = 19, type = \"u8\" }}\ncount_max = 9\n{first}"
            )),
            "has no fixed place",
        ),
        (
            check("kind = \"crc16_modbus\"\nat = -2"),
            "does not say which byte of the checksum is sent first",
        ),
        (check("kind = \"sum8\"\nat = 0"), "overlaps check at byte 0"),
        (
            check("kind = \"bytes\"\nat = 19"),
            "does not say which bytes must be there",
        ),
        (
            check("kind = \"bytes\"\nat = 19\nbytes = \"16\"\nfrom = 1"),
            "check has `from`, which this kind does not know",
        ),
        (
            check("kind = \"length\"\nat = 19\ntype = \"bcd\""),
            "a length of a type",
        ),
        (
            with("[[message.alarm]]\nat = 5\ntype = \"u8\""),
            "neither bits nor codes",
        ),
        (
            with("[[message.alarm]]\nat = 5\ntype = \"u8\"\nbits = { 8 = \"leak\" }"),
            "alarm bit `8` is none of 8 bits",
        ),
        (
            with(
                "[[message]]\nname = \"n\"\nsize = 2\n[[message.field]]\nname = \"flow_std\"\nunit = \"m3h\"\nat = 0\ntype = \"u16\"",
            ),
            "message `n` is never reached",
        ),
        (
            with("[[message.field]]\nname = \"total_std\"\nunit = \"m3\"\nat = 4\ntype = \"f32\""),
            "f32 counts single m³ only up to 16.7 million",
        ),
        (
            "[[message]]\nname = \"m\"\n".to_owned(),
            "does not say how many bytes it has",
        ),
        (
            "[[message]]\nname = \"m\"\nsize = 9000\n".to_owned(),
            "message `m` has 9000 to 9000 bytes",
        ),
    ] {
        let told = told(&body);
        assert!(
            told.iter().any(|t| t.contains(message)),
            "{message}\n{told:#?}"
        );
    }
}

#[test]
fn arrays_of_totals_and_of_increments_stand_at_their_own_times() {
    let profile = |keys: &str, size: usize| {
        format!(
            "[[message]]
name = \"m\"
size = {size}
clock = {{ at = 0, format = \"YYMMDDhhmm\" }}
time = {{ at = 0, format = \"YYMMDDhhmm\" }}
[[message.backfill]]
name = \"total_work\"
unit = \"m3\"
at = 6
type = \"u16\"
none = [\"FFFF\"]
step_s = 3600
{keys}
"
        )
    };
    let test = |hex: &str, first_at: &str, totals: &str| {
        format!(
            "[[test]]
name = \"t\"
hex = \"{hex}\"
sampled_at = \"2026-11-21T08:20:00+08:00\"
clock_at = \"2026-11-21T08:20:00+08:00\"
[[test.frozen]]
item = \"total_work_m3\"
first_at = \"{first_at}\"
step_s = 3600
totals = {totals}
"
        )
    };
    let last = "last = { of = \"clock\", floor_s = 3600 }";
    let frame = "26 11 21 08 20 00";
    // Newest first, whole hours before the clock.
    passes(
        &(profile(&format!("count = 3\nnewest_first = true\n{last}"), 12)
            + &test(
                &format!("{frame} 0007 FFFF 0005"),
                "2026-11-21T06:00:00+08:00",
                "[\"5\", \"\", \"7\"]",
            )),
    );
    // Increments from the total before the first; what follows a gap is unknown.
    let base =
        |is: &str| format!("base = {{ at = -2, type = \"u16\", decimals = 1, is = \"{is}\" }}");
    passes(
        &(profile(
            &format!("count = 3\ndecimals = 2\n{}\n{last}", base("before")),
            14,
        ) + &test(
            &format!("{frame} 0007 0005 0001 0064"),
            "2026-11-21T06:00:00+08:00",
            "[\"10.07\", \"10.12\", \"10.13\"]",
        ) + &test(
            &format!("{frame} 0007 FFFF 0001 0064"),
            "2026-11-21T06:00:00+08:00",
            "[\"10.07\", \"\", \"\"]",
        )),
    );
    // Increments up to a total; what is before a gap is unknown, and no total is below zero.
    let after = profile(
        &format!("count = 3\ndecimals = 2\n{}\n{last}", base("after")),
        14,
    ) + &test(
        &format!("{frame} 0007 0005 0001 0064"),
        "2026-11-21T06:00:00+08:00",
        "[\"9.94\", \"9.99\", \"10\"]",
    ) + &test(
        &format!("{frame} 0007 FFFF 0001 0064"),
        "2026-11-21T06:00:00+08:00",
        "[\"\", \"9.99\", \"10\"]",
    ) + &format!(
        "[[test]]\nname = \"r\"\nhex = \"{frame} 0007 0005 FFFE 0064\"\nreject = \"decode.value_range\"\n"
    );
    passes(&after);
    // As many as the frame says, no more than the profile allows.
    let told = profile(
        "count_at = { at = 5, type = \"u8\" }\ncount_max = 3\nlast = { of = \"time\", floor_s = 3600 }",
        6,
    ) + "[[message.field]]\nname = \"flow_work\"\nunit = \"m3h\"\nat = -1\ntype = \"u8\"\n"
        + "[[message.check]]\nkind = \"xor8\"\nat = -2\n";
    let told = told.replace("size = 6", "size = 8");
    let xor = |body: &[u8]| body.iter().fold(0, |x, b| x ^ b);
    let body = [0x26, 0x11, 0x21, 0x08, 0x20, 2, 0, 5, 0, 7];
    let frame = format!("{} {:02X} 09", hex::encode(body), xor(&body));
    let good = test(&frame, "2026-11-21T07:00:00+08:00", "[\"5\", \"7\"]").replace(
        "[[test.frozen]]",
        "items = { flow_work_m3h = 9.0 }\n[[test.frozen]]",
    );
    let many = format!(
        "[[test]]\nname = \"r\"\nhex = \"{}\"\nreject = \"decode.array_length\"\n",
        frame.replacen("082002", "082004", 1)
    );
    let short = format!(
        "[[test]]\nname = \"s\"\nhex = \"{}\"\nreject = \"decode.truncated\"\n",
        frame.replacen("082002", "082003", 1)
    );
    passes(&(told + &good + &many + &short));
}

#[test]
fn names_of_devices_as_text_digits_and_bytes() {
    for (device, hexadecimal, name) in [
        (
            "bytes = 6, type = \"ascii\"",
            "20 47 41 53 31 00",
            Some("GAS1"),
        ),
        (
            "bytes = 6, type = \"ascii\", order = \"BADC\"",
            "41 47 31 53 00 00",
            Some("GAS1"),
        ),
        (
            "bytes = 6, type = \"bcd\"",
            "00 00 12 34 56 78",
            Some("000012345678"),
        ),
        (
            "bytes = 6, type = \"bcd\", order = \"little\", trim_zeros = true",
            "78 56 34 12 00 00",
            Some("12345678"),
        ),
        (
            "bytes = 6, type = \"hex\", order = \"little\"",
            "06 05 04 03 02 A1",
            Some("a10203040506"),
        ),
        ("bytes = 6, type = \"ascii\"", "00 00 00 00 00 00", None),
        ("bytes = 6, type = \"ascii\"", "47 C4 53 31 00 00", None),
        ("bytes = 6, type = \"ascii\"", "47 07 53 31 00 00", None),
        ("bytes = 6, type = \"bcd\"", "00 00 12 34 56 7F", None),
        (
            "bytes = 6, type = \"bcd\", trim_zeros = true",
            "00 00 00 00 00 00",
            None,
        ),
    ] {
        let profile = passes(&format!(
            "[layout]
device = {{ at = 0, {device} }}
[[message]]
name = \"m\"
size = 7
[[message.field]]
name = \"flow_std\"
unit = \"m3h\"
at = 6
type = \"u8\"
{VECTOR}"
        ));
        let mut frame = hex::decode(hexadecimal.replace(' ', "")).unwrap();
        frame.push(1);
        let decoded = profile.decode(&frame, &DecodeContext::at(chrono::DateTime::UNIX_EPOCH));
        let found = decoded.ok().and_then(|d| d.device).map(|d| d.to_string());
        assert_eq!(found.as_deref(), name, "{device} {hexadecimal}");
    }
}

#[test]
fn alarm_codes_and_lengths_of_frames() {
    passes(
        r#"
[[message]]
name = "m"
when = [{ at = 0, bytes = "68" }]
size = 6
size_max = 8
  [[message.check]]
  kind = "length"
  at = 1
  from = 2
  plus = 1
  [[message.check]]
  kind = "bytes"
  at = -1
  bytes = "16"
  [[message.field]]
  name = "flow_std"
  unit = "m3h"
  at = 2
  type = "u16"
  [[message.alarm]]
  at = 4
  type = "u8"
  codes = { 1 = "battery_low", 2 = "leak" }
[[test]]
name = "a code that is listed"
hex = "68 05 0001 02 16"
sampled_at = "1970-01-01T00:00:00Z"
alarms = ["leak"]
items = { flow_std_m3h = 1.0 }
[[test]]
name = "one that is not, in a longer frame"
hex = "68 06 0001 09 00 16"
sampled_at = "1970-01-01T00:00:00Z"
alarms = ["unlisted"]
items = { flow_std_m3h = 1.0 }
[[test]]
name = "no alarm"
hex = "68 05 0001 00 16"
sampled_at = "1970-01-01T00:00:00Z"
items = { flow_std_m3h = 1.0 }
[[test]]
name = "a length that is not the frame's"
hex = "68 06 0001 02 16"
reject = "decode.length"
[[test]]
name = "another end"
hex = "68 05 0001 02 17"
reject = "decode.end_byte"
[[test]]
name = "too many bytes"
hex = "68 08 0001 02 00 00 00 16"
reject = "decode.trailing_bytes"
[[test]]
name = "another frame"
hex = "69 05 0001 02 16"
reject = "decode.message_kind"
"#,
    );
}

proptest! {
    /// Whatever a layout says, it is taken or refused with reasons, and decodes any bytes.
    #[test]
    fn any_layout_is_answered(
        size in 0_usize..30,
        fields in prop::collection::vec((-40_i64..40, "u8|u16|u24|i32|u64|f32|f64|bcd", 0_usize..10, "ABCD|CDAB|BADC|little", 0_u32..70, 0_u32..70), 1..4),
        array in (-30_i64..30, 0_usize..6, 0_usize..5, any::<bool>()),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 8),
    ) {
        let names = ["flow_std", "flow_work"];
        let mut body = format!("[[message]]\nname = \"m\"\nsize = {size}\n");
        for ((at, kind, bytes, order, bit, width), name) in fields.iter().zip(names) {
            write!(body, "[[message.field]]\nname = \"{name}\"\nunit = \"m3h\"\nat = {at}\ntype = \"{kind}\"\norder = \"{order}\"\n").unwrap();
            if kind == "bcd" {
                writeln!(body, "bytes = {bytes}").unwrap();
            } else if *bit < 64 {
                write!(body, "bit = {bit}\nwidth = {width}\n").unwrap();
            }
        }
        let (at, count, stride, is_told) = array;
        write!(body, "[[message.backfill]]\nname = \"total_std\"\nunit = \"m3\"\nat = {at}\ntype = \"u8\"\nstep_s = 60\nstride = {stride}\nfirst = {{ at = 0, format = \"unix_s\" }}\n").unwrap();
        if is_told {
            write!(body, "count_at = {{ at = 4, type = \"u8\" }}\ncount_max = {count}\n").unwrap();
        } else {
            writeln!(body, "count = {count}").unwrap();
        }
        match parse(&format!("{body}{VECTOR}")) {
            Ok(profile) => {
                for frame in &frames {
                    let context = DecodeContext::at(chrono::DateTime::UNIX_EPOCH);
                    if let Ok(decoded) = profile.decode(frame, &context) {
                        prop_assert!(decoded.values.len() <= 2 && decoded.frozen.len() <= 1);
                    }
                }
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
