//! What must hold before a frame's values are believed: checksums, lengths, bytes that are always
//! the same.

use serde::Deserialize;

use super::place::{Anchor, Number, Part, Place};
use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// What a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckKind {
    /// The sum of the bytes, modulo 256.
    Sum8,
    /// The exclusive or of the bytes.
    Xor8,
    /// CRC-16/MODBUS: 8005h reflected, from `FFFFh`.
    Crc16Modbus,
    /// CRC-16/CCITT-FALSE (IBM-3740): 1021h, from `FFFFh`.
    Crc16CcittFalse,
    /// CRC-16/XMODEM: 1021h, from 0.
    Crc16Xmodem,
    /// CRC-16/KERMIT (the ITU's own): 1021h reflected, from 0.
    Crc16Kermit,
    /// CRC-16/X-25 (IBM-SDLC): 1021h reflected, from `FFFFh`, inverted.
    Crc16X25,
    /// Bytes that are always the same.
    Bytes,
    /// A number of bytes.
    Length,
}

impl CheckKind {
    /// Bytes of the checksum; none for what is none.
    pub(super) const fn sum_size(self) -> Option<usize> {
        match self {
            Self::Sum8 | Self::Xor8 => Some(1),
            Self::Crc16Modbus
            | Self::Crc16CcittFalse
            | Self::Crc16Xmodem
            | Self::Crc16Kermit
            | Self::Crc16X25 => Some(2),
            Self::Bytes | Self::Length => None,
        }
    }

    /// The checksum of bytes.
    fn sum(self, bytes: &[u8]) -> u16 {
        match self {
            Self::Sum8 => bytes
                .iter()
                .fold(0_u8, |sum, b| sum.wrapping_add(*b))
                .into(),
            Self::Xor8 => bytes.iter().fold(0_u8, |sum, b| sum ^ b).into(),
            Self::Crc16Modbus => reflected(bytes, 0xA001, 0xFFFF),
            Self::Crc16CcittFalse => straight(bytes, 0xFFFF),
            Self::Crc16Xmodem => straight(bytes, 0),
            Self::Crc16Kermit => reflected(bytes, 0x8408, 0),
            Self::Crc16X25 => !reflected(bytes, 0x8408, 0xFFFF),
            Self::Bytes | Self::Length => 0,
        }
    }
}

fn reflected(bytes: &[u8], polynomial: u16, from: u16) -> u16 {
    bytes.iter().fold(from, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ polynomial
            } else {
                crc >> 1
            }
        })
    })
}

fn straight(bytes: &[u8], from: u16) -> u16 {
    bytes.iter().fold(from, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

/// One check of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    /// A checksum of the bytes of a range.
    Sum {
        kind: CheckKind,
        part: Part,
        range: Range,
    },
    /// Bytes that are always the same.
    Bytes { place: Place, bytes: Vec<u8> },
    /// The size of a range, plus a constant.
    Length { part: Part, range: Range, plus: i64 },
}

/// Bytes from one place up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Anchor,
    /// None: the frame's end.
    pub(super) to: Option<Anchor>,
}

impl Range {
    fn of<'f>(&self, frame: &'f [u8]) -> Option<&'f [u8]> {
        let to = match self.to {
            Some(to) => to.offset(frame.len())?,
            None => frame.len(),
        };
        frame.get(self.from.offset(frame.len())?..to)
    }
}

impl Check {
    /// Holds it against a frame.
    pub(super) fn run(&self, frame: &[u8]) -> Result<(), RejectReason> {
        match self {
            Self::Sum { kind, part, range } => {
                let sum = kind.sum(range.of(frame).unwrap_or_default());
                let told = part.number(frame)?;
                if told == Some(Number::Whole(sum.into())) {
                    return Ok(());
                }
                let digits = 2 * part.place.size;
                Err(RejectReason::new(
                    reject::CHECKSUM,
                    format!("checksum does not match; the bytes give {sum:0digits$X}h"),
                ))
            }
            Self::Bytes { place, bytes } => {
                if place.of(frame)? == bytes.as_slice() {
                    return Ok(());
                }
                let wanted = hex::encode_upper(bytes);
                let (code, what) = match place.at {
                    Anchor::Start(0) => {
                        (reject::START_BYTE, "frame does not start with".to_owned())
                    }
                    Anchor::End(back) if back == place.size => {
                        (reject::END_BYTE, "frame does not end with".to_owned())
                    }
                    Anchor::Start(at) => {
                        (reject::DATA_ID, format!("frame does not have at byte {at}"))
                    }
                    Anchor::End(back) => (
                        reject::DATA_ID,
                        format!("frame does not have {back} bytes before its end"),
                    ),
                };
                Err(RejectReason::new(code, format!("{what} {wanted}h")))
            }
            Self::Length { part, range, plus } => {
                let size = range.of(frame).map_or(0, <[u8]>::len);
                let wanted = i128::try_from(size).unwrap_or(i128::MAX) + i128::from(*plus);
                match part.number(frame)? {
                    Some(Number::Whole(told)) if told == wanted => Ok(()),
                    Some(Number::Whole(told)) => Err(RejectReason::new(
                        reject::LENGTH,
                        format!("frame says that its length is {told}; it is {wanted}"),
                    )),
                    _ => Err(RejectReason::new(
                        reject::LENGTH,
                        "frame says no length that can be read",
                    )),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms.
    #[test]
    fn the_published_check_values() {
        for (kind, sum) in [
            (CheckKind::Sum8, 0xDD),
            (CheckKind::Xor8, 0x31),
            (CheckKind::Crc16Modbus, 0x4B37),
            (CheckKind::Crc16CcittFalse, 0x29B1),
            (CheckKind::Crc16Xmodem, 0x31C3),
            (CheckKind::Crc16Kermit, 0x2189),
            (CheckKind::Crc16X25, 0x906E),
        ] {
            assert_eq!(kind.sum(b"123456789"), sum, "{kind:?}");
        }
    }
}
