//! What carries an APDU: the wrapper of TCP and UDP, HDLC, or nothing.
//!
//! # Source
//! IEC 62056-47 (wrapper); IEC 62056-46 (HDLC frame format type 3), 62056-5-3 (LLC bytes).

use serde::Deserialize;

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

const FLAG: u8 = 0x7E;
/// Bytes between the flags that are not information: format 2, addresses 2, control 1, checks 4.
const HDLC_MIN: usize = 9;

/// How an APDU is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Framing {
    /// `0001 source destination length`.
    Wrapper,
    /// `7E A… HCS E6 E7 00 … FCS 7E`.
    Hdlc,
    /// The bare APDU.
    Apdu,
}

impl Framing {
    /// The APDU of a frame.
    pub(super) fn open(self, bytes: &[u8]) -> Result<&[u8], RejectReason> {
        match self {
            Self::Wrapper => wrapper(bytes),
            Self::Hdlc => hdlc(bytes),
            Self::Apdu => Ok(bytes),
        }
    }
}

fn wrapper(bytes: &[u8]) -> Result<&[u8], RejectReason> {
    let Some((&[v1, v0, _, _, _, _, l1, l0], apdu)) = bytes.split_first_chunk::<8>() else {
        return Err(short(bytes.len(), 8));
    };
    if [v1, v0] != [0, 1] {
        return Err(RejectReason::new(
            reject::START_BYTE,
            format!("wrapper is of version {v1:02X}{v0:02X}h; expected 0001h"),
        ));
    }
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    match apdu.split_at_checked(length) {
        None => Err(short(bytes.len(), 8 + length)),
        Some((apdu, [])) => Ok(apdu),
        Some((_, trailing)) => Err(trail(trailing.len())),
    }
}

fn hdlc(bytes: &[u8]) -> Result<&[u8], RejectReason> {
    let Some((&[flag, f1, f0], _)) = bytes.split_first_chunk::<3>() else {
        return Err(short(bytes.len(), 3));
    };
    if flag != FLAG || f1 & 0xF0 != 0xA0 {
        return Err(RejectReason::new(
            reject::START_BYTE,
            format!("frame starts with {flag:02X} {f1:02X}h; expected 7E and A0 to AFh"),
        ));
    }
    let length = usize::from(u16::from_be_bytes([f1 & 0x07, f0]));
    let inner = bytes.get(1..).unwrap_or_default();
    let Some((frame, tail)) = inner.split_at_checked(length) else {
        return Err(short(bytes.len(), length + 2));
    };
    match tail {
        [FLAG] => {}
        [FLAG, trailing @ ..] => return Err(trail(trailing.len())),
        [other, ..] => {
            return Err(RejectReason::new(
                reject::END_BYTE,
                format!("frame ends with {other:02X}h; expected 7Eh"),
            ));
        }
        [] => return Err(short(bytes.len(), length + 2)),
    }
    if length < HDLC_MIN {
        return Err(RejectReason::new(
            reject::LENGTH,
            format!("frame length is {length}; one with information has at least {HDLC_MIN}"),
        ));
    }
    let frame = checked(frame, "frame check (FCS)")?;
    if f1 & 0x08 != 0 {
        return Err(RejectReason::new(
            reject::FRAGMENT,
            "frame is a segment of a longer message; let the gateway put the segments together",
        ));
    }
    let rest = frame.get(2..).unwrap_or_default();
    let rest = address(address(rest)?)?;
    let Some((control, rest)) = rest.split_first() else {
        return Err(framing("has no control byte"));
    };
    // UI frames, with or without the final bit, and I frames carry information.
    if control & 0xEF != 0x03 && control & 0x01 != 0 {
        return Err(RejectReason::new(
            reject::CONTROL,
            format!("control byte is {control:02X}h; expected an information frame"),
        ));
    }
    let header = frame.len() - rest.len();
    checked(
        frame.get(..header + 2).unwrap_or_default(),
        "header check (HCS)",
    )?;
    let information = rest.get(2..).unwrap_or_default();
    match information {
        [0xE6, 0xE6 | 0xE7, 0x00, apdu @ ..] => Ok(apdu),
        _ => Err(framing(
            "does not begin with the bytes E6 E7 00 of the link layer",
        )),
    }
}

/// An HDLC address: bytes up to the first whose last bit is set; one, two or four of them.
fn address(bytes: &[u8]) -> Result<&[u8], RejectReason> {
    let length = bytes
        .iter()
        .take(4)
        .position(|b| b & 1 == 1)
        .map(|at| at + 1);
    match length {
        Some(length @ (1 | 2 | 4)) => Ok(bytes.get(length..).unwrap_or_default()),
        _ => Err(framing("has an address of no form HDLC has")),
    }
}

/// The bytes before a checksum that holds.
fn checked<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8], RejectReason> {
    let Some((body, sum)) = bytes.split_last_chunk::<2>() else {
        return Err(framing("is too short for its checksum"));
    };
    let computed = crc16(body).to_le_bytes();
    if *sum == computed {
        Ok(body)
    } else {
        let [low, high] = computed;
        Err(RejectReason::new(
            reject::CHECKSUM,
            format!("{what} does not match; the bytes give {low:02X} {high:02X}h"),
        ))
    }
}

/// CRC-16/X-25.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0xFFFF_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0x8408
            } else {
                crc >> 1
            }
        })
    })
}

fn framing(what: &str) -> RejectReason {
    RejectReason::new(reject::FRAMING, format!("HDLC frame {what}"))
}

fn short(is: usize, need: usize) -> RejectReason {
    RejectReason::new(
        reject::TRUNCATED,
        format!("frame ends early: {is} bytes, needs {need}"),
    )
}

fn trail(count: usize) -> RejectReason {
    RejectReason::new(
        reject::TRAILING,
        format!("{count} bytes follow the end of the frame"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A push of an Aidon electricity meter: u9n/dlms-cosem, examples.
    const AIDON: &str =
        "7ea02a410883130413e6e7000f40000000000101020309060100010700ff0600001d3a02020f00161b16f97e";

    fn code(framing: Framing, text: &str) -> String {
        framing.open(&hex::decode(text).unwrap()).unwrap_err().code
    }

    #[test]
    fn a_published_frame_opens() {
        let bytes = hex::decode(AIDON).unwrap();
        let apdu = Framing::Hdlc.open(&bytes).unwrap();
        assert_eq!(hex::encode(&apdu[..6]), "0f4000000000");
        assert_eq!(apdu.len(), bytes.len() - 15);
    }

    #[test]
    fn every_flipped_bit_of_a_published_frame_is_refused() {
        let bytes = hex::decode(AIDON).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Framing::Hdlc.open(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_segment_is_refused_with_its_reason() {
        let mut bytes = hex::decode(AIDON).unwrap();
        bytes[1] |= 0x08;
        let end = bytes.len() - 3;
        let header = crc16(&bytes[1..7]).to_le_bytes();
        bytes[7..9].copy_from_slice(&header);
        let sum = crc16(&bytes[1..end]).to_le_bytes();
        bytes[end..end + 2].copy_from_slice(&sum);
        assert_eq!(
            Framing::Hdlc.open(&bytes).unwrap_err().code,
            reject::FRAGMENT
        );
    }

    #[test]
    fn a_wrapper_says_its_version_and_length() {
        assert_eq!(
            Framing::Wrapper
                .open(&[0, 1, 0, 1, 0, 1, 0, 2, 0xC2, 0])
                .unwrap(),
            [0xC2, 0]
        );
        assert_eq!(
            code(Framing::Wrapper, "00020001000100010F"),
            reject::START_BYTE
        );
        assert_eq!(
            code(Framing::Wrapper, "00010001000100020F"),
            reject::TRUNCATED
        );
        assert_eq!(
            code(Framing::Wrapper, "00010001000100010F0F"),
            reject::TRAILING
        );
    }
}
