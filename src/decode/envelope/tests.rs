//! What is believed of a frame and of the message around it.

use std::path::Path;

use chrono::DateTime;

use crate::decode::DeviceProfile;
use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::domain::frame::RejectReason;
use crate::domain::reading::{Decoded, Item, ItemValue};

/// A CJ/T 188 reply of device 00000805000001 at 08:00 of 2026-11-21, Beijing.
const FRAME: &str = "68300100000508000081161F9000785634122C000000002C00000821112620000 0D816";
const FRAME_BASE64: &str = "aDABAAAFCAAAgRYfkAB4VjQSLAAAAAAsAAAIIREmIAAA2BY=";

fn profile(codec: &str, envelope: &str) -> Result<DeviceProfile, Vec<String>> {
    let fields = match codec {
        "cjt188" => "[[field]]\nname = \"total_work\"\nunit = \"m3\"\nat = \"current_total\"\n",
        "layout" => {
            "[[message]]\nname = \"m\"\nsize = 2\n[[message.field]]\nname = \"flow_work\"\nunit = \"m3h\"\nat = 0\ntype = \"u16\"\n"
        }
        _ => {
            "[[message]]\nname = \"m\"\nwhen = \"/ts\"\ntime = { at = \"/ts\", format = \"unix_s\" }\n[[message.field]]\nname = \"flow_work\"\nunit = \"m3h\"\nat = \"/q\"\n"
        }
    };
    let text = format!(
        "id = \"acme/g25\"\nverified = false\ndescription = \"a test\"\ntransport = \"mqtt\"\ncodec = \"{codec}\"\n\
         {fields}[envelope]\n{envelope}\n[[test]]\nname = \"t\"\nhex = \"\"\nreject = \"decode.truncated\"\n"
    );
    DeviceProfile::parse(Path::new("acme/g25.toml"), &text)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn decode(codec: &str, envelope: &str, payload: &str) -> Result<Decoded, RejectReason> {
    let profile = profile(codec, envelope).unwrap_or_else(|told| panic!("{told:#?}"));
    profile.decode(payload.as_bytes(), &DecodeContext::at(DateTime::UNIX_EPOCH))
}

fn named(decoded: Result<Decoded, RejectReason>) -> Result<Option<String>, String> {
    decoded
        .map(|d| d.device.map(|id| id.to_string()))
        .map_err(|reason| reason.code)
}

#[test]
fn a_frame_comes_as_hexadecimal_as_base64_or_inside_json() {
    let packed: String = FRAME.split_whitespace().collect();
    let json = "kind = \"json\"\npayload = \"/telegram\"\n";
    for (envelope, payload) in [
        ("kind = \"hex\"".to_owned(), FRAME.to_owned()),
        ("kind = \"base64\"".to_owned(), FRAME_BASE64.to_owned()),
        (
            format!("{json}encoding = \"hex\""),
            format!("{{\"telegram\":\"{packed}\"}}"),
        ),
        (
            format!("{json}encoding = \"base64\""),
            format!("{{\"telegram\":\"{}\"}}", FRAME_BASE64.replace('/', "\\/")),
        ),
    ] {
        let decoded = decode("cjt188", &envelope, &payload);
        assert_eq!(
            named(decoded),
            Ok(Some("00000805000001".into())),
            "{envelope}"
        );
    }
    let inner = r#"{"f":"{\"ts\":1795219200,\"q\":7.5}"}"#;
    let decoded = decode(
        "json",
        "kind = \"json\"\npayload = \"/f\"\nencoding = \"text\"",
        inner,
    )
    .unwrap();
    assert_eq!(decoded.values, [(Item::FlowWork, ItemValue::Float(7.5))]);
}

#[test]
fn two_names_are_a_conflict_unless_the_profile_says_whose_counts() {
    let packed: String = FRAME.split_whitespace().collect();
    let message = |device: &str| format!("{{\"t\":\"{packed}\",\"d\":\"{device}\"}}");
    let envelope = |more: &str| {
        format!("kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ndevice = \"/d\"\n{more}")
    };
    let run = |more: &str, device: &str| named(decode("cjt188", &envelope(more), &message(device)));
    let same = Ok(Some("00000805000001".to_owned()));
    assert_eq!(run("", "00000805000001"), same);
    assert_eq!(run("", "other"), Err(reject::DEVICE_CONFLICT.into()));
    assert_eq!(run("device_from = \"frame\"", "other"), same);
    assert_eq!(
        run("device_from = \"envelope\"", "other"),
        Ok(Some("other".into()))
    );
    // Without the envelope's word the frame's stands.
    let silent = decode(
        "cjt188",
        &envelope("device_from = \"envelope\""),
        &format!("{{\"t\":\"{packed}\"}}"),
    );
    assert_eq!(named(silent), same);
}

#[test]
fn the_frames_time_counts_unless_the_profile_says_otherwise() {
    let packed: String = FRAME.split_whitespace().collect();
    let message = format!("{{\"t\":\"{packed}\",\"at\":1795305600}}");
    let envelope = |more: &str| {
        format!(
            "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ntime = {{ at = \"/at\", format = \"unix_s\" }}\n{more}"
        )
    };
    let at = |more: &str| {
        decode("cjt188", &envelope(more), &message)
            .unwrap()
            .sampled_at
            .timestamp()
    };
    assert_eq!(at(""), 1_795_219_200);
    assert_eq!(at("time_from = \"frame\""), 1_795_219_200);
    assert_eq!(at("time_from = \"envelope\""), 1_795_305_600);
    // A frame without a time stands at the envelope's; without that, at the time of arrival.
    let layout = |message: &str| {
        decode("layout", &envelope(""), message)
            .unwrap()
            .sampled_at
            .timestamp()
    };
    assert_eq!(layout(r#"{"t":"0102","at":1795305600}"#), 1_795_305_600);
    assert_eq!(layout(r#"{"t":"0102"}"#), 0);
}

#[test]
fn values_beside_the_frame_are_taken_in_order_and_the_frames_own_win() {
    let envelope = "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\n\
        [[envelope.field]]\nname = \"flow_work\"\nunit = \"m3h\"\nat = \"/q\"\noptional = true\n\
        [[envelope.field]]\nname = \"snr\"\nunit = \"db\"\nat = \"/snr\"\n\
        [[envelope.field]]\nname = \"flow_std\"\nunit = \"m3h\"\nat = \"/s\"\noptional = true";
    let decoded = decode(
        "layout",
        envelope,
        r#"{"t":"0102","q":9,"snr":-7.5,"s":"2"}"#,
    )
    .unwrap();
    assert_eq!(
        decoded.values,
        [
            (Item::FlowStd, ItemValue::Float(2.0)),
            (Item::FlowWork, ItemValue::Float(258.0)),
            (Item::Snr, ItemValue::Float(-7.5)),
        ]
    );
    let missing = decode("layout", envelope, r#"{"t":"0102"}"#).unwrap_err();
    assert_eq!(missing.code, reject::MISSING);
}

#[test]
fn a_device_may_be_named_in_base64() {
    let envelope = "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ndevice = \"/d\"\ndevice_encoding = \"base64\"";
    let run = |device: &str| {
        named(decode(
            "layout",
            envelope,
            &format!("{{\"t\":\"0102\",\"d\":{device}}}"),
        ))
    };
    assert_eq!(run("\"AQIDBAUGBwg=\""), Ok(Some("0102030405060708".into())));
    for bad in ["\"AQID*\"", "\"\"", "7", "[]"] {
        assert_eq!(run(bad), Err(reject::DEVICE.into()), "{bad}");
    }
}

#[test]
fn sizes_depths_and_what_is_no_frame_are_refused_by_name() {
    let json =
        "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\nsize_max_bytes = 40\ndepth_max = 2";
    let code = |payload: &str| decode("layout", json, payload).unwrap_err().code;
    assert_eq!(
        code(&format!("{{\"t\":\"{}\"}}", "0".repeat(40))),
        reject::TOO_LONG
    );
    assert_eq!(code(r#"{"x":[[1]],"t":"0102"}"#), reject::DEPTH);
    assert_eq!(code(r#"{"u":"0102"}"#), reject::MISSING);
    assert_eq!(code(r#"{"t":7}"#), reject::TYPE);
    assert_eq!(code(r#"{"t":"010"}"#), reject::HEX);
    assert_eq!(code(r#"{"t":"0102"#), reject::TRUNCATED);
    assert_eq!(code(r#"{"t":"01"}"#), reject::TRUNCATED);
    assert_eq!(code(r#"{"t":""}"#), reject::TRUNCATED);
    assert_eq!(
        decode("layout", "kind = \"hex\"\nsize_max_bytes = 3", "0102")
            .unwrap_err()
            .code,
        reject::TOO_LONG
    );
}

#[test]
fn an_envelope_that_cannot_be_is_told() {
    for (codec, envelope, message) in [
        (
            "layout",
            "kind = \"json\"",
            "does not say where the frame is",
        ),
        (
            "layout",
            "kind = \"hex\"\npayload = \"/t\"",
            "`payload`, which only kind = \"json\" knows",
        ),
        (
            "layout",
            "kind = \"raw\"\ndevice = \"/t\"",
            "`device`, which only kind = \"json\" knows",
        ),
        (
            "layout",
            "kind = \"json\"\npayload = \"t\"\nencoding = \"hex\"",
            "`t` is no JSON pointer",
        ),
        (
            "layout",
            "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ndevice_from = \"envelope\"",
            "is to tell the device but does not say where",
        ),
        (
            "layout",
            "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ntime_from = \"envelope\"",
            "is to tell the time but does not say where",
        ),
        (
            "layout",
            "kind = \"json\"\npayload = \"/t\"\nencoding = \"hex\"\ndevice_encoding = \"base64\"",
            "is written but not where",
        ),
        (
            "layout",
            "kind = \"hex\"\nsize_max_bytes = 0",
            "[envelope] allows 0 bytes",
        ),
        ("layout", "kind = \"xml\"", "unknown variant"),
        ("layout", "kind = \"hex\"\ncolour = 1", "unknown field"),
    ] {
        let told = profile(codec, envelope).unwrap_err();
        assert!(
            told.iter().any(|t| t.contains(message)),
            "{message}: {told:#?}"
        );
    }
}
