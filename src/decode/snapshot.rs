//! Register snapshots: the canonical bytes of a Modbus poll, so that a rejected one can be
//! replayed like any other frame.
//!
//! # Shape
//! Blocks one after another, each: function code (1 byte), first register (2, big-endian), count
//! (2, big-endian), then `count` registers (2 each, big-endian). Coils and discrete inputs
//! (functions 1 and 2) are registers of 0 or 1.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// Most registers a request may ask for.
pub const REGISTERS_MAX: u16 = 125;

/// A run of registers read in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterBlock {
    /// Function code, 1 to 4.
    pub function: u8,
    /// First register, as the protocol counts (from 0).
    pub start: u16,
    /// Registers, 1 to 125.
    pub count: u16,
}

impl RegisterBlock {
    /// Whether it holds `count` registers from `start` of the same function.
    pub fn covers(&self, function: u8, start: u16, count: u16) -> bool {
        self.function == function
            && start >= self.start
            && u32::from(start) + u32::from(count) <= u32::from(self.start) + u32::from(self.count)
    }
}

/// A block with the registers that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReading {
    /// Function code, 1 to 4.
    pub function: u8,
    /// First register.
    pub start: u16,
    /// The registers, at most 125.
    pub registers: Vec<u16>,
}

/// The bytes of a poll. A block beyond 65,535 registers cannot be and is cut.
pub fn encode(blocks: &[BlockReading]) -> Bytes {
    let size = blocks.iter().map(|b| 5 + 2 * b.registers.len()).sum();
    let mut bytes = BytesMut::with_capacity(size);
    for block in blocks {
        let count = u16::try_from(block.registers.len()).unwrap_or(u16::MAX);
        bytes.put_u8(block.function);
        bytes.put_u16(block.start);
        bytes.put_u16(count);
        for register in block.registers.iter().take(usize::from(count)) {
            bytes.put_u16(*register);
        }
    }
    bytes.freeze()
}

/// The blocks of a poll's bytes.
///
/// # Errors
/// `decode.truncated` where a block ends early or there is none; `decode.snapshot` where a block
/// cannot be one.
pub fn decode(bytes: &[u8]) -> Result<Vec<BlockReading>, RejectReason> {
    let mut blocks = Vec::new();
    let mut rest = bytes;
    if rest.is_empty() {
        return Err(truncated(0, 5, 0));
    }
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let Some((&[function, s1, s0, c1, c0], body)) = rest.split_first_chunk::<5>() else {
            return Err(truncated(offset, 5, rest.len()));
        };
        let start = u16::from_be_bytes([s1, s0]);
        let count = u16::from_be_bytes([c1, c0]);
        if !(1..=4).contains(&function)
            || !(1..=REGISTERS_MAX).contains(&count)
            || u32::from(start) + u32::from(count) > 0x1_0000
        {
            return Err(RejectReason::new(
                reject::SNAPSHOT,
                format!(
                    "register block at byte {offset} has function {function}, start {start}, count {count}; \
                     expected function 1 to 4 and 1 to {REGISTERS_MAX} registers below 65536"
                ),
            ));
        }
        let size = 2 * usize::from(count);
        let Some((words, after)) = body.split_at_checked(size) else {
            return Err(truncated(offset + 5, size, body.len()));
        };
        let (pairs, _) = words.as_chunks::<2>();
        blocks.push(BlockReading {
            function,
            start,
            registers: pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
        });
        rest = after;
    }
    Ok(blocks)
}

fn truncated(offset: usize, need: usize, have: usize) -> RejectReason {
    RejectReason::new(
        reject::TRUNCATED,
        format!("register snapshot needs {need} bytes at byte {offset} and has {have}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = BlockReading> {
        (
            1_u8..=4,
            0_u16..60_000,
            prop::collection::vec(any::<u16>(), 1..=125),
        )
            .prop_map(|(function, start, registers)| BlockReading {
                function,
                start,
                registers,
            })
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = encode(&[BlockReading {
            function: 3,
            start: 0x000A,
            registers: vec![0x4B3C, 0x6156],
        }]);
        assert_eq!(hex::encode(&bytes), "03000a00024b3c6156");
    }

    #[test]
    fn impossible_blocks_are_told_apart_from_short_ones() {
        let code = |text: &str| decode(&hex::decode(text).unwrap()).unwrap_err().code;
        assert_eq!(code(""), reject::TRUNCATED);
        assert_eq!(code("03000a"), reject::TRUNCATED);
        assert_eq!(code("03000a00024b3c"), reject::TRUNCATED);
        assert_eq!(code("10000a00014b3c"), reject::SNAPSHOT);
        assert_eq!(code("03000a0000"), reject::SNAPSHOT);
        assert_eq!(code("03000a007e"), reject::SNAPSHOT);
        assert_eq!(code("03ffff000200010002"), reject::SNAPSHOT);
    }

    proptest! {
        #[test]
        fn blocks_round_trip(blocks in prop::collection::vec(block(), 1..4)) {
            prop_assert_eq!(decode(&encode(&blocks)).unwrap(), blocks);
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(blocks) = decode(&bytes) {
                prop_assert_eq!(encode(&blocks).to_vec(), bytes);
            }
        }
    }
}
