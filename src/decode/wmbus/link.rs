//! Link layer of wireless M-Bus: blocks and their checksums, control field, address.
//!
//! # Source
//! EN 13757-4:2019, clause 12: frame formats A and B.

use serde::Deserialize;

use crate::decode::code::reject;
use crate::decode::mbus::address::Address;
use crate::decode::mbus::layers::Buffer;
use crate::decode::wmbus::crc::crc;
use crate::domain::frame::RejectReason;

/// Length, control field, manufacturer, address: the first block.
const FIRST_BLOCK: usize = 10;
/// Bytes of every further block of format A.
const BLOCK_A: usize = 16;
/// Bytes of the first two blocks of format B without their common checksum.
const BLOCKS_B: usize = 126;
const CHECKSUM: usize = 2;

/// How bytes are cut into blocks on air.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Blocks of 16 bytes, each with a checksum; modes S, T, R and C.
    #[default]
    A,
    /// Up to two long blocks; mode C.
    B,
}

/// What the receiver did with the checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Checksums {
    /// They are in the payload, as on air.
    Present,
    /// The receiver checked and removed them, and the length says what is left.
    #[default]
    Removed,
}

/// Checks the link layer; the layers behind it go to the buffer.
pub(super) fn unpack(
    bytes: &[u8],
    format: Format,
    checksums: Checksums,
    buffer: &mut Buffer,
) -> Result<Address, RejectReason> {
    let Some(&length) = bytes.first() else {
        return Err(truncated(0, FIRST_BLOCK + 1));
    };
    let length = usize::from(length) + 1;
    if length <= FIRST_BLOCK {
        return Err(RejectReason::new(
            reject::LENGTH,
            format!("length byte is {}; a telegram has at least 10", length - 1),
        ));
    }
    let need = match (checksums, format) {
        (Checksums::Present, Format::A) => {
            let blocks = 1 + (length - FIRST_BLOCK).div_ceil(BLOCK_A);
            length + CHECKSUM * blocks
        }
        // The length of format B counts its checksums.
        _ => length,
    };
    if bytes.len() < need {
        return Err(truncated(bytes.len(), need));
    }
    if bytes.len() > need {
        return Err(RejectReason::new(
            reject::TRAILING,
            format!(
                "{} bytes follow the telegram; checksums or signal strength that the receiver adds? \
                 see crc and format of [wmbus]",
                bytes.len() - need
            ),
        ));
    }
    let mut header = Header::default();
    match (checksums, format) {
        (Checksums::Removed, _) => header.take(bytes, buffer)?,
        (Checksums::Present, Format::A) => {
            let (first, rest) = bytes
                .split_at_checked(FIRST_BLOCK + CHECKSUM)
                .unwrap_or_default();
            header.take(checked(first, 1)?, buffer)?;
            for (place, block) in rest.chunks(BLOCK_A + CHECKSUM).enumerate() {
                header.take(checked(block, place + 2)?, buffer)?;
            }
        }
        (Checksums::Present, Format::B) => {
            let size = bytes.len().min(BLOCKS_B + CHECKSUM);
            let (first, rest) = bytes.split_at_checked(size).unwrap_or_default();
            header.take(checked(first, 1)?, buffer)?;
            if !rest.is_empty() {
                header.take(checked(rest, 2)?, buffer)?;
            }
        }
    }
    header.address()
}

/// The first ten bytes; everything behind them goes on.
#[derive(Default)]
struct Header {
    bytes: Option<[u8; FIRST_BLOCK]>,
}

impl Header {
    fn take(&mut self, bytes: &[u8], buffer: &mut Buffer) -> Result<(), RejectReason> {
        if self.bytes.is_some() {
            return buffer.push(bytes);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<FIRST_BLOCK>() else {
            return Err(truncated(bytes.len(), FIRST_BLOCK));
        };
        self.bytes = Some(*header);
        buffer.push(rest)
    }

    fn address(&self) -> Result<Address, RejectReason> {
        let Some([_, control, m0, m1, i0, i1, i2, i3, version, medium]) = self.bytes else {
            return Err(truncated(0, FIRST_BLOCK));
        };
        // SND_NR, SND_IR, ACC_DMD (with data on some meters), and RSP_UD with its two flow bits.
        if !matches!(control, 0x44 | 0x46 | 0x48 | 0x08 | 0x18 | 0x28 | 0x38) {
            return Err(RejectReason::new(
                reject::CONTROL,
                format!(
                    "control field is {control:02X}h; expected 44h, a meter that sends by itself (SND_NR), 46h or 08h"
                ),
            ));
        }
        Ok(Address::of_link([m0, m1, i0, i1, i2, i3, version, medium]))
    }
}

/// A block without its checksum, if that holds.
fn checked(block: &[u8], place: usize) -> Result<&[u8], RejectReason> {
    let Some((body, sum)) = block.split_last_chunk::<CHECKSUM>() else {
        return Err(truncated(block.len(), CHECKSUM));
    };
    let (told, computed) = (u16::from_be_bytes(*sum), crc(body));
    if told == computed {
        Ok(body)
    } else {
        Err(RejectReason::new(
            reject::CHECKSUM,
            format!(
                "checksum of block {place} is {told:04X}h; its bytes give {computed:04X}h; \
                 if the receiver removes checksums write crc = \"removed\""
            ),
        ))
    }
}

fn truncated(have: usize, need: usize) -> RejectReason {
    RejectReason::new(
        reject::TRUNCATED,
        format!("telegram ends early: {have} bytes, needs {need}"),
    )
}
