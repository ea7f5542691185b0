//! Codec `mbus`: the answer of a wired M-Bus meter, `68 L L 68 C A CI … CS 16`, and what wired and
//! wireless M-Bus share: transport headers, security, data records, and which record is which field.
//!
//! # Source
//! EN 13757-2:2018 (frames), EN 13757-3:2018 (records), EN 13757-7:2018 (security). The way from the
//! bytes to a reading: [`link`] → [`layers`] → [`record`] → [`application`].

pub(in crate::decode) mod address;
pub(in crate::decode) mod application;
pub(in crate::decode) mod compile;
pub(in crate::decode) mod crypt;
pub(in crate::decode) mod layers;
mod link;
mod load_profile;
pub(in crate::decode) mod record;
pub(in crate::decode) mod stamp;
pub(in crate::decode) mod vib;

#[cfg(test)]
mod tests;

use toml::de::DeTable;

use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::file::FileReader;
use crate::decode::mbus::application::Application;
use crate::decode::mbus::layers::{Buffer, Telegram, open};
use crate::decode::mbus::record::Records;
use crate::domain::frame::RejectReason;
use crate::domain::reading::Decoded;

/// Telegrams of one readout at most.
const TELEGRAMS_MAX: usize = 16;

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MbusCodec {
    application: Application,
}

/// Reads `[mbus]`, `[[field]]`, `[[frozen]]` and `[[alarm]]`.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<MbusCodec> {
    compile::compile(reader, table).map(|application| MbusCodec { application })
}

impl MbusCodec {
    /// Decodes a long frame, or the frames of one readout behind each other.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let (frame, rest) = link::long_frame(bytes)?;
        let mut buffer = Buffer::new();
        let telegram = self.open(frame, &mut buffer, context)?;
        if !rest.is_empty() {
            return self.several(&telegram, &buffer, rest, context);
        }
        self.application.read(
            buffer.after(telegram.records_at),
            telegram.order,
            telegram.status,
            telegram.device,
            context,
        )
    }

    fn open(
        &self,
        frame: &[u8],
        buffer: &mut Buffer,
        context: &DecodeContext<'_>,
    ) -> Result<Telegram, RejectReason> {
        buffer.push(frame)?;
        let telegram = open(buffer, None, self.application.policy, context)?;
        self.application.check(&telegram)?;
        Ok(telegram)
    }

    /// Puts the records of all telegrams of a readout together; each but the last must say that
    /// more follow.
    fn several(
        &self,
        first: &Telegram,
        buffer: &Buffer,
        mut rest: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let mut records = Vec::with_capacity(2 * buffer.bytes().len());
        append(&mut records, buffer.after(first.records_at), first)?;
        let mut status = first.status;
        let mut count = 1;
        while !rest.is_empty() {
            let (frame, behind) = link::long_frame(rest)?;
            let mut buffer = Buffer::new();
            let telegram = self.open(frame, &mut buffer, context)?;
            if telegram.address != first.address || telegram.order != first.order {
                return Err(RejectReason::new(
                    reject::TRAILING,
                    "telegrams of two meters are in one payload; send one readout in a payload",
                ));
            }
            count += 1;
            if count > TELEGRAMS_MAX {
                return Err(RejectReason::new(
                    reject::TOO_LONG,
                    format!("payload has more than {TELEGRAMS_MAX} telegrams"),
                ));
            }
            status |= telegram.status;
            if behind.is_empty() {
                records.extend_from_slice(buffer.after(telegram.records_at));
            } else {
                append(&mut records, buffer.after(telegram.records_at), &telegram)?;
            }
            rest = behind;
        }
        self.application
            .read(&records, first.order, status, first.device.clone(), context)
    }
}

/// Adds the records of a telegram that is not the last.
fn append(records: &mut Vec<u8>, bytes: &[u8], telegram: &Telegram) -> Result<(), RejectReason> {
    let mut reader = Records::new(bytes, telegram.order);
    while reader.next_record()?.is_some() {}
    if !reader.more_follow {
        return Err(RejectReason::new(
            reject::TRAILING,
            "another telegram follows one that says it is the last; send one readout in a payload",
        ));
    }
    records.extend_from_slice(bytes.get(..reader.used).unwrap_or_default());
    Ok(())
}
