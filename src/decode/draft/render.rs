//! What a frame decodes to, as the `[[test]]` of a profile.

use std::fmt::Write as _;

use super::Captured;
use crate::decode::code::reject;
use crate::domain::calendar::beijing_civil;
use crate::domain::frame::RejectReason;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Decoded, ItemValue};

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The test of one frame.
pub(super) fn test(
    number: usize,
    frame: &Captured,
    outcome: &Result<Decoded, RejectReason>,
) -> String {
    let mut out = format!("\n[[test]]\nname = \"captured frame {number}\"\n");
    match std::str::from_utf8(&frame.bytes) {
        Ok(text) if text.trim_start().starts_with('{') && !text.contains("'''") => {
            line(&mut out, "json", &format!("'''{}'''", text.trim()));
        }
        _ => line(&mut out, "hex", &quoted(&spaced(&frame.bytes))),
    }
    if let Some(at) = frame.received_at {
        line(
            &mut out,
            "received_at",
            &quoted(&beijing_civil(at).to_rfc3339()),
        );
    }
    match outcome {
        Ok(decoded) => values(&mut out, decoded),
        Err(reason) => {
            let code = reject::ALL.iter().find(|code| **code == reason.code);
            let code = code.copied().unwrap_or(reject::TRUNCATED);
            writeln!(out, "# {}", reason.message.replace('\n', " ")).ok();
            line(&mut out, "reject", &quoted(code));
        }
    }
    out
}

fn values(out: &mut String, decoded: &Decoded) {
    if let Some(device) = &decoded.device {
        line(out, "device", &quoted(device.as_str()));
    }
    let at = beijing_civil(decoded.sampled_at).to_rfc3339();
    line(out, "sampled_at", &quoted(&at));
    if let Some(clock_at) = decoded.clock_at {
        let at = beijing_civil(clock_at).to_rfc3339();
        line(out, "clock_at", &quoted(&at));
    }
    let alarms: Vec<String> = decoded
        .alarms
        .iter()
        .filter_map(|alarm| serde_json::to_string(&alarm).ok())
        .collect();
    if !alarms.is_empty() {
        line(out, "alarms", &format!("[{}]", alarms.join(", ")));
    }
    if !decoded.values.is_empty() {
        out.push_str("[test.items]\n");
    }
    for (item, value) in &decoded.values {
        let shown = match value {
            ItemValue::Exact(units) => quoted(&StdVolume::from_units(*units).to_string()),
            ItemValue::Float(number) => format!("{number:?}"),
        };
        line(out, item.key(), &shown);
    }
    for array in &decoded.frozen {
        out.push_str("[[test.frozen]]\n");
        line(out, "item", &quoted(array.item.key()));
        let first = beijing_civil(array.first_at).to_rfc3339();
        line(out, "first_at", &quoted(&first));
        line(out, "step_s", &array.step_s.to_string());
        let totals: Vec<String> = array
            .totals
            .iter()
            .map(|total| {
                total.map_or_else(
                    || "\"\"".to_owned(),
                    |units| quoted(&StdVolume::from_units(units).to_string()),
                )
            })
            .collect();
        line(out, "totals", &format!("[{}]", totals.join(", ")));
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    writeln!(out, "{key} = {value}").ok();
}

fn spaced(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
    pairs.join(" ")
}
