//! Numbers in registers: every width, both byte and word orders.

use super::raw::{ByteOrder, RegisterType};
use crate::decode::value::{bcd, widen};

/// Most registers a number takes.
pub(super) const WORDS_MAX: u16 = 4;

/// A number as a device holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Whole.
    Whole(i128),
    /// Single precision, widened by its shortest decimal text.
    Single(f64),
    /// Double precision.
    Double(f64),
}

impl Number {
    /// For telemetry.
    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Single(number) | Self::Double(number) => number,
        }
    }
}

impl RegisterType {
    /// Registers it takes; none where the profile says how many.
    pub(super) const fn words(self) -> Option<u16> {
        match self {
            Self::U16 | Self::I16 => Some(1),
            Self::U32 | Self::I32 | Self::F32 => Some(2),
            Self::U64 | Self::I64 | Self::F64 => Some(4),
            Self::Bcd => None,
        }
    }

    /// Whether it is a whole number without a sign.
    pub(super) const fn is_unsigned(self) -> bool {
        matches!(self, Self::U16 | Self::U32 | Self::U64 | Self::Bcd)
    }
}

/// The bytes of a number, most significant first.
pub(super) fn in_order(registers: &[u16], order: ByteOrder) -> Vec<u8> {
    let big = |word: &u16| word.to_be_bytes();
    let little = |word: &u16| word.to_le_bytes();
    match order {
        ByteOrder::Abcd => registers.iter().flat_map(big).collect(),
        ByteOrder::Badc => registers.iter().flat_map(little).collect(),
        ByteOrder::Cdab => registers.iter().rev().flat_map(big).collect(),
        ByteOrder::Dcba => registers.iter().rev().flat_map(little).collect(),
        ByteOrder::Other(order) => {
            let wire: Vec<u8> = registers.iter().flat_map(big).collect();
            order.apply(&wire)
        }
    }
}

/// The number in bytes, most significant first; none where the bytes are no such number.
pub(super) fn number(kind: RegisterType, bytes: &[u8]) -> Option<Number> {
    Some(match kind {
        RegisterType::U16 => Number::Whole(u16::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::I16 => Number::Whole(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::U32 => Number::Whole(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::I32 => Number::Whole(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::U64 => Number::Whole(u64::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::I64 => Number::Whole(i64::from_be_bytes(bytes.try_into().ok()?).into()),
        RegisterType::F32 => {
            let value = f32::from_be_bytes(bytes.try_into().ok()?);
            Number::Single(if value.is_finite() {
                widen(value)
            } else {
                f64::NAN
            })
        }
        RegisterType::F64 => Number::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
        RegisterType::Bcd => Number::Whole(bcd(bytes.iter().copied())?.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_four_orders_of_one_number() {
        // 1243.1116 as a float, 449B6392h, as each order puts it on the wire.
        for (order, wire) in [
            (ByteOrder::Abcd, [0x449B, 0x6392]),
            (ByteOrder::Cdab, [0x6392, 0x449B]),
            (ByteOrder::Badc, [0x9B44, 0x9263]),
            (ByteOrder::Dcba, [0x9263, 0x9B44]),
        ] {
            let bytes = in_order(&wire, order);
            assert_eq!(bytes, [0x44, 0x9B, 0x63, 0x92], "{order:?}");
            assert_eq!(
                number(RegisterType::F32, &bytes),
                Some(Number::Single(1_243.111_6))
            );
        }
    }

    #[test]
    fn sixty_four_bits_swap_words_from_end_to_end() {
        let bytes = in_order(&[4, 3, 2, 1], ByteOrder::Cdab);
        assert_eq!(
            number(RegisterType::U64, &bytes),
            Some(Number::Whole(0x0001_0002_0003_0004))
        );
    }

    #[test]
    fn signs_and_digits() {
        assert_eq!(
            number(RegisterType::I16, &[0xFF, 0xFE]),
            Some(Number::Whole(-2))
        );
        assert_eq!(
            number(RegisterType::U16, &[0xFF, 0xFE]),
            Some(Number::Whole(65_534))
        );
        assert_eq!(
            number(RegisterType::I32, &[0xFF; 4]),
            Some(Number::Whole(-1))
        );
        assert_eq!(
            number(RegisterType::I64, &[0xFF; 8]),
            Some(Number::Whole(-1))
        );
        assert_eq!(
            number(RegisterType::Bcd, &[0x12, 0x43]),
            Some(Number::Whole(1_243))
        );
        assert_eq!(number(RegisterType::Bcd, &[0x12, 0x4F]), None);
        assert_eq!(number(RegisterType::U32, &[1, 2]), None);
    }

    proptest! {
        #[test]
        fn an_order_undone_is_no_order(words in prop::collection::vec(any::<u16>(), 1..=4)) {
            let plain = in_order(&words, ByteOrder::Abcd);
            for order in [ByteOrder::Cdab, ByteOrder::Badc, ByteOrder::Dcba] {
                let (pairs, _) = plain.as_chunks::<2>();
                let regs: Vec<u16> = pairs.iter().map(|p| u16::from_be_bytes(*p)).collect();
                let once = in_order(&regs, order);
                let (pairs, _) = once.as_chunks::<2>();
                let swapped: Vec<u16> = pairs.iter().map(|p| u16::from_be_bytes(*p)).collect();
                prop_assert_eq!(in_order(&swapped, order), plain.clone());
            }
        }
    }
}
