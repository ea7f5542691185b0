//! Decoding: bytes to readings, by declarative device profiles. No input or output but the profile folder.
//!
//! A profile is a TOML file with its own test vectors (`device-profiles/README.md`). Whatever the
//! bytes, the answer is a [`Decoded`] or a [`RejectReason`], never a panic.

#![warn(clippy::indexing_slicing)]

pub mod code;
pub mod context;
pub mod draft;
pub mod profile;
pub mod set;
pub mod snapshot;
pub mod vector;

mod cbor;
mod cjt188;
mod envelope;
mod dlms;
mod dlt645;
mod dsmr;
mod field;
mod file;
mod frame68;
mod json;
mod layout;
mod message;
mod mbus;
mod registers;
mod text;
mod time;
mod unit;
mod value;
mod wmbus;

use serde_json::json;

pub use self::context::DecodeContext;
pub use self::profile::{CodecKind, DeviceProfile, ProfileTransport};
pub use self::registers::ModbusQuirks;
pub use self::set::ProfileSet;
pub use self::snapshot::RegisterBlock;
use crate::domain::calendar::beijing_civil;
use crate::domain::frame::RejectReason;
use crate::domain::id::ProfileId;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Decoded, ItemValue};

/// The vendor-neutral JSON push profile; also that of rows imported from CSV.
pub const JSON_PUSH: &str = "qiliang/json-push";

/// How the bytes of a row imported from CSV begin; [`ProfileSet::for_frame`] knows them by it.
pub const CSV_PREFIX: &str = r#"{"v":1,"via":"csv","#;

/// Decodes one frame with one profile, for people to look at.
///
/// `input` is what the device sends; for codecs other than `json`, hexadecimal text is taken too.
///
/// # Errors
/// `decode.profile_unknown`, or why the frame cannot be taken.
pub fn try_profile(
    set: &ProfileSet,
    id: &ProfileId,
    input: &[u8],
    context: &DecodeContext<'_>,
) -> Result<serde_json::Value, RejectReason> {
    let profile = set.get(id).ok_or_else(|| {
        let known: Vec<&str> = set.iter().map(|p| p.id().as_str()).collect();
        RejectReason::new(
            code::reject::PROFILE,
            format!(
                "profile `{id}` is not loaded; loaded are {}",
                known.join(", ")
            ),
        )
    })?;
    let first = profile.decode(input, context);
    let decoded = match (first, profile.codec()) {
        (Ok(decoded), _) => decoded,
        (Err(reason), CodecKind::Json) => return Err(reason),
        (Err(reason), _) => match hex_text(input) {
            Some(bytes) => profile.decode(&bytes, context)?,
            None => return Err(reason),
        },
    };
    Ok(to_json(&decoded))
}

fn hex_text(input: &[u8]) -> Option<Vec<u8>> {
    let packed: Vec<u8> = input
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    if packed.is_empty() {
        return None;
    }
    hex::decode(packed).ok()
}

/// A decoded frame as JSON: item names with units, exact totals as strings, times in Beijing.
pub fn to_json(decoded: &Decoded) -> serde_json::Value {
    let total = |units: i64| StdVolume::from_units(units).to_string();
    let items: serde_json::Map<String, serde_json::Value> = decoded
        .values
        .iter()
        .map(|(item, value)| {
            let shown = match value {
                ItemValue::Exact(units) => json!(total(*units)),
                ItemValue::Float(number) => json!(number),
            };
            (item.key().to_owned(), shown)
        })
        .collect();
    let frozen: Vec<serde_json::Value> = decoded
        .frozen
        .iter()
        .map(|array| {
            json!({
                "item": array.item.key(),
                "first_at": beijing_civil(array.first_at).to_rfc3339(),
                "step_s": array.step_s,
                "totals": array.totals.iter().map(|t| t.map(total)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut shown = json!({
        "device": decoded.device,
        "sampled_at": beijing_civil(decoded.sampled_at).to_rfc3339(),
        "items": items,
        "frozen": frozen,
        "alarms": decoded.alarms.iter().collect::<Vec<_>>(),
    });
    if let (Some(at), Some(shown)) = (decoded.clock_at, shown.as_object_mut()) {
        shown.insert("clock_at".to_owned(), json!(beijing_civil(at).to_rfc3339()));
    }
    shown
}

#[cfg(test)]
mod tests;
