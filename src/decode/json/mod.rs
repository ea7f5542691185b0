//! Codec `json`: an object per frame; JSON pointers say where things are.

mod scan;

use toml::de::DeTable;

pub(super) use self::scan::scan;
use crate::decode::file::FileReader;
use crate::decode::message::{self, Messages, Slots, with_slots};
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
        self.0.limits.admit(bytes.len(), "json")?;
        with_slots(&self.0.paths, |slots| {
            scan(bytes, self.0.limits.depth_max, &self.0.paths, slots)?;
            self.0.decoded(Slots(slots))
        })
    }
}

#[cfg(test)]
mod tests;
