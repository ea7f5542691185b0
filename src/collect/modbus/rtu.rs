//! Serial frames (RTU): unit, function, data, checksum; pure.
//!
//! A serial answer carries no number of the request it belongs to. What can be held against the
//! request is held: unit, function, byte count, checksum, and that nothing follows.

use crate::decode::RegisterBlock;
use crate::decode::vector::crc16;

/// Bytes of an answer that says no: unit, function, code, checksum.
const EXCEPTION_LEN: usize = 5;
/// Bytes around the data of an answer: unit, function, byte count; checksum.
const AROUND_LEN: usize = 5;
/// Set in the function code of an answer that says no.
const EXCEPTION_BIT: u8 = 0x80;

/// What an answer must look like to be one to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) unit: u8,
    pub(super) function: u8,
    /// Data bytes.
    pub(super) bytes: u8,
}

impl Expected {
    /// The answer to a request for a block; none where one answer cannot hold so many.
    pub(super) fn of(unit: u8, block: RegisterBlock) -> Option<Self> {
        let bytes = match block.function {
            1 | 2 => block.count.div_ceil(8),
            _ => block.count.checked_mul(2)?,
        };
        Some(Self {
            unit,
            function: block.function,
            bytes: u8::try_from(bytes).ok()?,
        })
    }

    /// Length of the whole answer.
    fn len(self) -> usize {
        AROUND_LEN + usize::from(self.bytes)
    }
}

/// The request for a block.
pub(super) fn request(unit: u8, block: RegisterBlock) -> Vec<u8> {
    let [s1, s0] = block.start.to_be_bytes();
    let [c1, c0] = block.count.to_be_bytes();
    let mut frame = vec![unit, block.function, s1, s0, c1, c0];
    frame.extend_from_slice(&crc16(&frame).to_le_bytes());
    frame
}

/// What the bytes that came so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The answer is not complete.
    Part,
    /// The answer's data, and the length of its frame.
    Data(Vec<u8>, usize),
    /// The device said no, with this code.
    Exception(u8),
    /// A frame for us with another number of data bytes.
    Count(u8),
    /// The checksum is wrong.
    Checksum,
    /// Bytes follow the end of the answer.
    Followed,
    /// From another unit, or to another function.
    Foreign {
        /// Unit.
        unit: u8,
        /// Function.
        function: u8,
    },
}

/// Looks at the bytes that came since the request.
pub(super) fn look(bytes: &[u8], expected: Expected) -> Found {
    let &[unit, function, third, ..] = bytes else {
        return match *bytes {
            [unit, function] if !is_of(unit, function, expected) => {
                Found::Foreign { unit, function }
            }
            _ => Found::Part,
        };
    };
    if !is_of(unit, function, expected) {
        return Found::Foreign { unit, function };
    }
    if function & EXCEPTION_BIT != 0 {
        return match whole(bytes, EXCEPTION_LEN) {
            Whole::Part => Found::Part,
            Whole::Good(_) => Found::Exception(third),
            Whole::Checksum => Found::Checksum,
            Whole::Followed => Found::Followed,
        };
    }
    let len = AROUND_LEN + usize::from(third);
    match whole(bytes, len) {
        Whole::Part => Found::Part,
        Whole::Checksum => Found::Checksum,
        Whole::Followed => Found::Followed,
        Whole::Good(_) if third != expected.bytes => Found::Count(third),
        Whole::Good(body) => Found::Data(body.get(3..).unwrap_or_default().to_vec(), len),
    }
}

/// Length of the late answer these bytes begin with, if that is what they are: none where they are
/// not, zero where it is not complete.
pub(super) fn late(bytes: &[u8], expected: Expected) -> Option<usize> {
    let len = match *bytes {
        [unit] => return (unit == expected.unit).then_some(0),
        [unit, function, ..] if !is_of(unit, function, expected) => return None,
        [_, function, ..] if function & EXCEPTION_BIT != 0 => EXCEPTION_LEN,
        [] | [_, _] => return Some(0),
        [_, _, count, ..] if count == expected.bytes => expected.len(),
        _ => return None,
    };
    let Some(frame) = bytes.get(..len) else {
        return Some(0);
    };
    match whole(frame, len) {
        Whole::Good(_) => Some(len),
        _ => None,
    }
}

fn is_of(unit: u8, function: u8, expected: Expected) -> bool {
    unit == expected.unit && function & !EXCEPTION_BIT == expected.function
}

enum Whole<'b> {
    Part,
    /// Without the checksum.
    Good(&'b [u8]),
    Checksum,
    Followed,
}

fn whole(bytes: &[u8], len: usize) -> Whole<'_> {
    let Some(frame) = bytes.get(..len) else {
        return Whole::Part;
    };
    match frame.split_last_chunk::<2>() {
        Some((body, crc)) if crc16(body) == u16::from_le_bytes(*crc) => {
            if bytes.len() > len {
                Whole::Followed
            } else {
                Whole::Good(body)
            }
        }
        _ => Whole::Checksum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: RegisterBlock = RegisterBlock {
        function: 3,
        start: 0x000A,
        count: 2,
    };

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = body.to_vec();
        frame.extend_from_slice(&crc16(body).to_le_bytes());
        frame
    }

    fn seen(bytes: &[u8]) -> Found {
        look(bytes, Expected::of(7, BLOCK).unwrap())
    }

    #[test]
    fn the_request_is_the_published_one() {
        let block = RegisterBlock { count: 20, ..BLOCK };
        assert_eq!(hex::encode(request(1, block)), "0103000a001465c7");
    }

    #[test]
    fn only_the_answer_to_the_request_is_taken() {
        let good = framed(&[7, 3, 4, 1, 2, 3, 4]);
        assert_eq!(seen(&good), Found::Data(vec![1, 2, 3, 4], 9));
        for len in 0..good.len() {
            assert_eq!(seen(&good[..len]), Found::Part, "{len}");
        }
        assert_eq!(seen(&framed(&[7, 0x83, 2])), Found::Exception(2));
        assert_eq!(seen(&framed(&[7, 3, 2, 1, 2])), Found::Count(2));
        let foreign = |unit, function| Found::Foreign { unit, function };
        assert_eq!(seen(&framed(&[8, 3, 4, 1, 2, 3, 4])), foreign(8, 3));
        assert_eq!(seen(&framed(&[7, 4, 4, 1, 2, 3, 4])), foreign(7, 4));
        assert_eq!(seen(&[8, 3]), foreign(8, 3));
        let mut bent = good.clone();
        bent[4] ^= 1;
        assert_eq!(seen(&bent), Found::Checksum);
        // Two answers glued together: nobody can say which of them is ours.
        assert_eq!(seen(&[good.clone(), good].concat()), Found::Followed);
    }

    #[test]
    fn a_late_answer_is_known_by_what_was_asked() {
        let asked = Expected::of(7, BLOCK).unwrap();
        let answer = framed(&[7, 3, 4, 1, 2, 3, 4]);
        assert_eq!(late(&answer, asked), Some(9));
        let next = [answer.clone(), framed(&[9, 3, 4, 1, 2, 3, 4])].concat();
        assert_eq!(late(&next, asked), Some(9));
        assert_eq!(late(&answer[..4], asked), Some(0));
        assert_eq!(late(&framed(&[7, 0x83, 6]), asked), Some(5));
        assert_eq!(late(&framed(&[9, 3, 4, 1, 2, 3, 4]), asked), None);
        assert_eq!(late(&framed(&[7, 3, 2, 1, 2]), asked), None);
    }

    #[test]
    fn coils_come_in_whole_bytes_and_no_answer_holds_more_than_a_byte_can_count() {
        let of = |function, count| {
            let block = RegisterBlock {
                function,
                start: 0,
                count,
            };
            Expected::of(1, block).map(|e| e.bytes)
        };
        assert_eq!(of(1, 9), Some(2));
        assert_eq!(of(4, 125), Some(250));
        assert_eq!(of(4, 128), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let expected = Expected::of(7, BLOCK).unwrap();
            if let Found::Data(data, len) = look(&bytes, expected) {
                prop_assert_eq!((data.len(), len), (4, bytes.len()));
            }
            if let Some(len) = late(&bytes, expected) {
                prop_assert!(len <= bytes.len());
            }
        }

        #[test]
        fn a_bent_bit_is_never_data(data in any::<[u8; 4]>(), byte in 0_usize..9, bit in 0_u8..8) {
            let [a, b, c, d] = data;
            let mut frame = framed(&[7, 3, 4, a, b, c, d]);
            frame[byte] ^= 1 << bit;
            prop_assert!(!matches!(seen(&frame), Found::Data(..)));
        }
    }
}
