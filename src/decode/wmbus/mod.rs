//! Codec `wmbus`: a telegram of wireless M-Bus (EN 13757-4) as a receiver hands it over, from its
//! length byte on. Everything behind the link layer is as in wired M-Bus.

pub(in crate::decode) mod crc;
mod link;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use toml::de::DeTable;

use crate::decode::context::DecodeContext;
use crate::decode::file::FileReader;
use crate::decode::mbus::application::Application;
use crate::decode::mbus::compile as shared;
use crate::decode::mbus::layers::{Buffer, open};
use crate::decode::wmbus::link::{Checksums, Format};
use crate::domain::frame::RejectReason;
use crate::domain::reading::Decoded;

/// `[wmbus]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWmbus {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    crc: Checksums,
}

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WmbusCodec {
    format: Format,
    checksums: Checksums,
    application: Application,
}

/// Reads `[wmbus]`, `[mbus]`, `[[field]]`, `[[frozen]]` and `[[alarm]]`.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<WmbusCodec> {
    let raw: RawWmbus = match table.remove("wmbus") {
        Some(value) => reader.read(value)?,
        None => RawWmbus::default(),
    };
    Some(WmbusCodec {
        format: raw.format,
        checksums: raw.crc,
        application: shared::compile(reader, table)?,
    })
}

impl WmbusCodec {
    /// Decodes a telegram.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let mut buffer = Buffer::new();
        let link = link::unpack(bytes, self.format, self.checksums, &mut buffer)?;
        let telegram = open(&mut buffer, Some(link), self.application.policy, context)?;
        self.application.check(&telegram)?;
        self.application.read(
            buffer.after(telegram.records_at),
            telegram.order,
            telegram.status,
            telegram.device,
            context,
        )
    }
}
