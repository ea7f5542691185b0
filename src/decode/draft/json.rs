//! Drafts for JSON: every leaf becomes a candidate with its pointer; times are known by their form,
//! totals by their name.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

use super::render::quoted;
use super::{Captured, DraftError, Hints};

/// Names that may be those of a device, lower case and without separators.
const DEVICE_NAMES: &[&str] = &[
    "dev",
    "deveui",
    "device",
    "deviceid",
    "devid",
    "deviceno",
    "imei",
    "meterid",
    "meterno",
    "sn",
    "serial",
    "表号",
    "表具编号",
];

/// Names that end like this say when.
const TIME_NAMES: &[&str] = &["ts", "time", "timestamp", "at", "date", "clock", "时间"];

/// What a name may stand for: parts of it, the field, its unit, and what to look at.
struct Guess {
    parts: &'static [&'static str],
    field: &'static str,
    unit: Option<&'static str>,
    doubt: &'static str,
}

const fn guess(
    parts: &'static [&'static str],
    field: &'static str,
    unit: Option<&'static str>,
    doubt: &'static str,
) -> Guess {
    Guess {
        parts,
        field,
        unit,
        doubt,
    }
}

/// Totals first; the first that fits counts.
const GUESSES: &[Guess] = &[
    guess(&["disturbed", "受扰"], "total_disturbed", Some("m3"), ""),
    guess(
        &[
            "stdm3",
            "stdvol",
            "totalstd",
            "stdtotal",
            "stdsum",
            "standardvolume",
            "volumestd",
            "标况累",
            "标况总",
        ],
        "total_std",
        Some("m3"),
        "",
    ),
    guess(
        &[
            "workm3",
            "workvol",
            "totalwork",
            "worktotal",
            "worksum",
            "volumework",
            "actualvolume",
            "工况累",
            "工况总",
        ],
        "total_work",
        Some("m3"),
        "",
    ),
    guess(
        &[
            "total", "cumul", "index", "累计", "累积", "表底", "volume", "reading", "sumgas",
        ],
        "total_work",
        Some("m3"),
        "total_std if the device converts to standard conditions",
    ),
    guess(
        &["qstd", "flowstd", "stdflow", "标况流"],
        "flow_std",
        Some("m3h"),
        "unit",
    ),
    guess(
        &["qwork", "flow", "工况流", "流量"],
        "flow_work",
        Some("m3h"),
        "unit, or flow_std",
    ),
    guess(
        &["gauge", "表压"],
        "pressure_gauge",
        Some("kpa"),
        "unit (MPa: scale = 1000)",
    ),
    guess(
        &["press", "pkpa", "压力"],
        "pressure_abs",
        Some("kpa"),
        "unit (MPa: scale = 1000), and pressure_gauge if it is zero in open air",
    ),
    guess(&["temp", "tc", "温度"], "temperature", Some("c"), "unit"),
    guess(
        &["batt", "vbat", "电池", "电压"],
        "battery",
        Some("v"),
        "unit (mV: scale = 0.001)",
    ),
    guess(&["rsrp"], "rsrp", Some("dbm"), ""),
    guess(&["snr"], "snr", Some("db"), ""),
    guess(
        &["valve", "阀"],
        "valve",
        None,
        "values = { \"…\" = 0 } for open, closed 1, fault 2",
    ),
    guess(&["seq", "fcnt"], "report_seq", None, ""),
];

#[derive(Debug, Clone)]
struct Leaf {
    pointer: String,
    /// Its own key, lower case, without separators.
    name: String,
    sample: Value,
    /// Frames that have it.
    count: usize,
}

/// A JSON object.
pub(super) fn fits(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.is_object())
}

/// `codec = "json"` and one message with what is known by name.
pub(super) fn body(captured: &[Captured], hints: &Hints) -> Result<String, DraftError> {
    let leaves = leaves(captured);
    let (time, format) = time(&leaves, hints)?;
    let total = total(&leaves, hints)?;
    let device = leaves
        .iter()
        .find(|leaf| leaf.count == captured.len() && DEVICE_NAMES.contains(&leaf.name.as_str()));
    let mut out = String::from("codec = \"json\"\n\n[json]\n");
    match device {
        Some(leaf) => writeln!(
            out,
            "device = {}            # {}",
            quoted(&leaf.pointer),
            sample(leaf)
        ),
        None => writeln!(
            out,
            "# device = \"/…\"          # left out: only the topic knows the device"
        ),
    }
    .ok();
    writeln!(
        out,
        "\n[[message]]\nname = \"reading\"\nwhen = {0}\ntime = {{ at = {0}, format = \"{format}\" }}   # {1}",
        quoted(&time.pointer),
        sample(time),
    )
    .ok();
    field(&mut out, total, captured.len(), false);
    out.push_str(
        "\n# Candidates: every other leaf. Take what the device's description confirms.\n",
    );
    for leaf in &leaves {
        let is_taken = [Some(time), Some(total), device]
            .iter()
            .flatten()
            .any(|taken| taken.pointer == leaf.pointer);
        if !is_taken {
            field(&mut out, leaf, captured.len(), true);
        }
    }
    Ok(out)
}

fn field(out: &mut String, leaf: &Leaf, frames: usize, is_candidate: bool) {
    let known = guess_of(leaf);
    let mark = if is_candidate { "# " } else { "" };
    let (name, unit, doubt) = match known {
        Some(guess) => (guess.field, guess.unit, guess.doubt),
        None if is_candidate => ("…", Some("…"), ""),
        None => (
            "total_work",
            Some("m3"),
            "total_std if the device converts to standard conditions",
        ),
    };
    let doubt = if doubt.is_empty() {
        String::new()
    } else {
        format!("; check: {doubt}")
    };
    writeln!(
        out,
        "\n{mark}  [[message.field]]     # {}{doubt}",
        sample(leaf)
    )
    .ok();
    writeln!(out, "{mark}  name = \"{name}\"").ok();
    if let Some(unit) = unit {
        writeln!(out, "{mark}  unit = \"{unit}\"").ok();
    }
    writeln!(out, "{mark}  at = {}", quoted(&leaf.pointer)).ok();
    if leaf.count < frames {
        writeln!(
            out,
            "{mark}  optional = true     # in {} of {frames} frames",
            leaf.count
        )
        .ok();
    }
}

fn sample(leaf: &Leaf) -> String {
    let text: String = leaf.sample.to_string().chars().take(60).collect();
    format!("for example {text}")
}

fn guess_of(leaf: &Leaf) -> Option<&'static Guess> {
    let is_value = leaf.sample.is_number() || leaf.sample.is_string();
    GUESSES
        .iter()
        .filter(|_| is_value)
        .find(|guess| guess.parts.iter().any(|part| leaf.name.contains(part)))
}

/// The leaves of all frames, in the order in which they first come.
fn leaves(captured: &[Captured]) -> Vec<Leaf> {
    let mut found: Vec<Leaf> = Vec::new();
    for frame in captured {
        let Ok(value) = serde_json::from_slice::<Value>(&frame.bytes) else {
            continue;
        };
        let mut of_frame = Vec::new();
        walk(&value, String::new(), "", &mut of_frame);
        for leaf in of_frame {
            match found.iter_mut().find(|known| known.pointer == leaf.pointer) {
                Some(known) => known.count += 1,
                None => found.push(leaf),
            }
        }
    }
    found
}

fn walk(value: &Value, pointer: String, key: &str, out: &mut Vec<Leaf>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let step = key.replace('~', "~0").replace('/', "~1");
                walk(inner, format!("{pointer}/{step}"), key, out);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                // An array of plain values is one thing, a frozen array perhaps.
                if inner.is_object() {
                    walk(inner, format!("{pointer}/{index}"), key, out);
                }
            }
            if !items.iter().any(Value::is_object) {
                out.push(leaf(pointer, key, value));
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push(leaf(pointer, key, value));
        }
    }
}

fn leaf(pointer: String, key: &str, value: &Value) -> Leaf {
    Leaf {
        pointer,
        name: key.to_lowercase().replace(['_', '-', ' ', '.'], ""),
        sample: value.clone(),
        count: 1,
    }
}

fn time<'l>(leaves: &'l [Leaf], hints: &Hints) -> Result<(&'l Leaf, &'static str), DraftError> {
    if let Some(pointer) = &hints.time {
        let leaf = named(leaves, pointer)?;
        return match time_format(&leaf.sample) {
            Some(format) => Ok((leaf, format)),
            None => Err(DraftError::Lacks(format!(
                "{pointer} holds no time ({}); a time is RFC 3339, YYYY-MM-DD hh:mm:ss, or seconds or \
                 milliseconds since 1970",
                sample(leaf)
            ))),
        };
    }
    leaves
        .iter()
        .filter(|leaf| {
            // A number is a time by its name only; a text is one by its form.
            leaf.sample.is_string() || TIME_NAMES.iter().any(|end| leaf.name.ends_with(end))
        })
        .find_map(|leaf| Some((leaf, time_format(&leaf.sample)?)))
        .ok_or_else(|| lacks(leaves, "time", "--time"))
}

/// How a stamp is written, by its form.
fn time_format(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) if DateTime::parse_from_rfc3339(text).is_ok() => Some("rfc3339"),
        Value::String(text) if NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").is_ok() => {
            Some("beijing")
        }
        // From 2001 to 2096: anything else is a counter.
        Value::Number(number) => match number.as_i64()? {
            1_000_000_000..=3_999_999_999 => Some("unix_s"),
            1_000_000_000_000..=3_999_999_999_999 => Some("unix_ms"),
            _ => None,
        },
        _ => None,
    }
}

fn total<'l>(leaves: &'l [Leaf], hints: &Hints) -> Result<&'l Leaf, DraftError> {
    if let Some(pointer) = &hints.total {
        return named(leaves, pointer);
    }
    let of = |field: &str| {
        leaves.iter().find(|leaf| {
            let is_plain = leaf.sample.is_number() || leaf.sample.is_string();
            is_plain && guess_of(leaf).is_some_and(|guess| guess.field == field)
        })
    };
    of("total_std")
        .or_else(|| of("total_work"))
        .ok_or_else(|| lacks(leaves, "total", "--total"))
}

fn named<'l>(leaves: &'l [Leaf], pointer: &str) -> Result<&'l Leaf, DraftError> {
    leaves
        .iter()
        .find(|leaf| leaf.pointer == pointer)
        .ok_or_else(|| {
            DraftError::Lacks(format!(
                "the frames have no {pointer}; they have {}",
                list(leaves)
            ))
        })
}

fn lacks(leaves: &[Leaf], what: &str, option: &str) -> DraftError {
    DraftError::Lacks(format!(
        "no {what} is known by its name or form; name its pointer with {option}; the frames have {}",
        list(leaves)
    ))
}

fn list(leaves: &[Leaf]) -> String {
    let shown: Vec<&str> = leaves.iter().map(|leaf| leaf.pointer.as_str()).collect();
    shown.join(", ")
}
