//! Frames of wired M-Bus.
//!
//! # Source
//! EN 13757-2:2018, clause 5 (IEC 60870-5-2, format class FT 1.2).

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

const START: u8 = 0x68;
const END: u8 = 0x16;
const SHORT_START: u8 = 0x10;
const ACKNOWLEDGE: u8 = 0xE5;
/// Control field of an answer with data (`RSP_UD`); the two bits of `FLOW` say other things.
const RSP_UD: u8 = 0x08;
/// Access demand and data flow control.
const FLOW: u8 = 0x30;
/// Control and address field before the CI field.
const FIELDS: usize = 2;

/// The first frame of a payload from its CI field on, and what is behind it.
pub(super) fn long_frame(bytes: &[u8]) -> Result<(&[u8], &[u8]), RejectReason> {
    let short = |need: usize| {
        RejectReason::new(
            reject::TRUNCATED,
            format!("frame ends early: {} bytes, needs {need}", bytes.len()),
        )
    };
    match bytes.first() {
        Some(&START) => {}
        None => return Err(short(9)),
        Some(&first) => {
            let what = match first {
                ACKNOWLEDGE => ", an acknowledgement without data",
                SHORT_START => ", a short frame without data",
                _ => "",
            };
            return Err(RejectReason::new(
                reject::START_BYTE,
                format!("frame starts with {first:02X}h{what}; expected 68h"),
            ));
        }
    }
    let Some((&[_, length, again, start], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(short(9));
    };
    if length != again || usize::from(length) <= FIELDS {
        return Err(RejectReason::new(
            reject::LENGTH,
            format!("length bytes are {length} and {again}; expected twice the same, at least 3"),
        ));
    }
    if start != START {
        return Err(RejectReason::new(
            reject::START_BYTE,
            format!("second start byte is {start:02X}h; expected 68h"),
        ));
    }
    let need = 4 + usize::from(length) + 2;
    let Some((body, tail)) = rest.split_at_checked(usize::from(length)) else {
        return Err(short(need));
    };
    let [checksum, end, behind @ ..] = tail else {
        return Err(short(need));
    };
    if *end != END {
        return Err(RejectReason::new(
            reject::END_BYTE,
            format!("frame ends with {end:02X}h; expected 16h"),
        ));
    }
    let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if sum != *checksum {
        return Err(RejectReason::new(
            reject::CHECKSUM,
            format!("checksum is {checksum:02X}h; the bytes add up to {sum:02X}h"),
        ));
    }
    let [control, _address, upper @ ..] = body else {
        return Err(short(need));
    };
    if control & !FLOW != RSP_UD {
        return Err(RejectReason::new(
            reject::CONTROL,
            format!("control field is {control:02X}h; expected 08h, an answer with data (RSP_UD)"),
        ));
    }
    Ok((upper, behind))
}
