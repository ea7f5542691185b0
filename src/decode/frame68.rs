//! Frames of CJ/T 188 and DL/T 645: wake-up bytes, `68 … L`, data, checksum, `16`.

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// First byte of a frame.
pub(super) const START: u8 = 0x68;
const END: u8 = 0x16;
const WAKE_UP: u8 = 0xFE;
/// Wake-up bytes before a frame at most.
const WAKE_UP_MAX: usize = 32;

/// The frame behind its wake-up bytes.
pub(super) fn awake(bytes: &[u8]) -> Result<&[u8], RejectReason> {
    let wake_up = bytes
        .iter()
        .take(WAKE_UP_MAX)
        .take_while(|b| **b == WAKE_UP)
        .count();
    let frame = bytes.get(wake_up..).unwrap_or_default();
    match frame.first() {
        Some(first) if *first != START => Err(not_start("frame starts with", *first)),
        _ => Ok(frame),
    }
}

/// A byte that should be 68h.
pub(super) fn not_start(what: &str, byte: u8) -> RejectReason {
    RejectReason::new(
        reject::START_BYTE,
        format!("{what} {byte:02X}h; expected 68h"),
    )
}

/// A frame shorter than it needs to be.
pub(super) fn short(frame: &[u8], need: usize) -> RejectReason {
    RejectReason::new(
        reject::TRUNCATED,
        format!("frame ends early: {} bytes, needs {need}", frame.len()),
    )
}

/// The data of a frame: `length` bytes behind the first `head`. What follows them must be the sum
/// of all before it, and the end.
pub(super) fn data(frame: &[u8], head: usize, length: u8) -> Result<&[u8], RejectReason> {
    let summed = head + usize::from(length);
    let Some((before, tail)) = frame.split_at_checked(summed) else {
        return Err(short(frame, summed + 2));
    };
    let [checksum, end, trailing @ ..] = tail else {
        return Err(short(frame, summed + 2));
    };
    if *end != END {
        return Err(RejectReason::new(
            reject::END_BYTE,
            format!("frame ends with {end:02X}h; expected 16h"),
        ));
    }
    if !trailing.is_empty() {
        return Err(RejectReason::new(
            reject::TRAILING,
            format!("{} bytes follow the end of the frame", trailing.len()),
        ));
    }
    let sum = before
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if sum != *checksum {
        return Err(RejectReason::new(
            reject::CHECKSUM,
            format!("checksum is {checksum:02X}h; the bytes add up to {sum:02X}h"),
        ));
    }
    Ok(before.get(head..).unwrap_or_default())
}
