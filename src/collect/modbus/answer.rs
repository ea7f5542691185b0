//! What a device answers to a request, however it is reached.

use std::time::Duration;

use super::fault::RequestError;
use crate::decode::RegisterBlock;
use crate::decode::snapshot::BlockReading;

/// What became of a request.
#[derive(Debug)]
pub(super) struct Asked {
    /// The registers, or why there are none.
    pub(super) outcome: Result<BlockReading, RequestError>,
    /// From sending to the answer or to giving up.
    pub(super) took: Duration,
    /// Whether the line can carry the next request.
    pub(super) is_usable: bool,
}

/// Coils come in whole bytes; the bits beyond the count are padding.
pub(super) fn without_padding(mut bits: Vec<bool>, count: u16) -> Vec<u16> {
    if bits.len() == usize::from(count).next_multiple_of(8) {
        bits.truncate(count.into());
    }
    bits.into_iter().map(u16::from).collect()
}

/// A block of exactly the registers that were asked for.
pub(super) fn counted(
    registers: Vec<u16>,
    block: RegisterBlock,
) -> Result<BlockReading, RequestError> {
    if registers.len() == usize::from(block.count) {
        Ok(BlockReading {
            function: block.function,
            start: block.start,
            registers,
        })
    } else {
        Err(RequestError::Count {
            want: block.count,
            have: registers.len(),
        })
    }
}

/// The exception a device answered a block with.
pub(super) fn exception_of(code: u8, block: RegisterBlock) -> RequestError {
    RequestError::Exception {
        code,
        function: block.function,
        start: block.start,
        end: u32::from(block.start) + u32::from(block.count.max(1)) - 1,
    }
}
