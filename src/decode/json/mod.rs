//! Codec `json`: an object per frame; JSON pointers say where things are.

mod scan;

use toml::de::DeTable;

pub(super) use self::scan::scan;
use crate::decode::code::reject;
use crate::decode::file::FileReader;
use crate::decode::message::{self, Limits, Messages, Slots, with_slots};
use crate::domain::frame::RejectReason;
use crate::domain::reading::Decoded;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonCodec(Messages);

/// Reads `[json]` and `[[message]]`.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<JsonCodec> {
    message::compile(reader, table, "json").map(JsonCodec)
}

impl JsonCodec {
    /// Decodes a frame.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Decoded, RejectReason> {
        let Limits {
            size_max_bytes,
            depth_max,
        } = self.0.limits;
        if bytes.len() > size_max_bytes {
            return Err(too_long(bytes.len(), size_max_bytes, "json"));
        }
        with_slots(&self.0.paths, |slots| {
            scan(bytes, depth_max, &self.0.paths, slots)?;
            self.0.decoded(Slots(slots))
        })
    }
}

/// A payload beyond the limit of `[table]`.
pub(super) fn too_long(size: usize, size_max_bytes: usize, table: &str) -> RejectReason {
    RejectReason::new(
        reject::TOO_LONG,
        format!(
            "payload has {size} bytes, the profile allows {size_max_bytes}; \
             raise {table}.size_max_bytes if the device means it"
        ),
    )
}

#[cfg(test)]
mod tests;
