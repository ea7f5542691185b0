//! Places in a frame, and the numbers that lie there: every width, byte order and sign.

use serde::Deserialize;

use crate::decode::code::reject;
use crate::decode::value::{bcd_byte, widen};
use crate::domain::frame::RejectReason;

/// Most bytes a number takes.
pub(super) const NUMBER_MAX: usize = 8;

/// An offset from one end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Bytes after the first.
    Start(usize),
    /// Bytes before the end: 1 is the last byte.
    End(usize),
}

impl Anchor {
    /// From the profile's number: −1 is the last byte.
    pub(super) fn new(at: i64) -> Option<Self> {
        let size = usize::try_from(at.unsigned_abs()).ok()?;
        Some(if at < 0 {
            Self::End(size)
        } else {
            Self::Start(size)
        })
    }

    /// Its offset in a frame of a size.
    pub(super) const fn offset(self, size: usize) -> Option<usize> {
        match self {
            Self::Start(at) => Some(at),
            Self::End(back) => size.checked_sub(back),
        }
    }
}

/// Bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Anchor,
    pub(super) size: usize,
}

impl Place {
    /// Its bytes.
    pub(super) fn of<'f>(&self, frame: &'f [u8]) -> Result<&'f [u8], RejectReason> {
        self.at
            .offset(frame.len())
            .and_then(|from| frame.get(from..from.checked_add(self.size)?))
            .ok_or_else(|| {
                RejectReason::new(
                    reject::TRUNCATED,
                    format!("frame ends early: it has {} bytes", frame.len()),
                )
            })
    }
}

/// In which order bytes are sent; A is the most significant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Order {
    /// Most significant first.
    #[default]
    #[serde(rename = "ABCD", alias = "big")]
    Abcd,
    /// Words of two bytes, the last first.
    #[serde(rename = "CDAB")]
    Cdab,
    /// Words of two bytes, each with its low byte first.
    #[serde(rename = "BADC")]
    Badc,
    /// Least significant first.
    #[serde(rename = "DCBA", alias = "little")]
    Dcba,
}

impl Order {
    /// Whether it takes words of two bytes.
    pub(super) const fn needs_words(self) -> bool {
        matches!(self, Self::Cdab | Self::Badc)
    }

    /// Where the `index`th byte, counted from the most significant, is sent among `size`.
    pub(super) const fn sent_at(self, index: usize, size: usize) -> usize {
        let last = size.saturating_sub(1);
        match self {
            Self::Abcd => index,
            Self::Dcba => last.saturating_sub(index),
            Self::Badc => index ^ 1,
            Self::Cdab => last.saturating_sub(1).saturating_sub(index & !1) + (index & 1),
        }
    }

    /// The bytes, most significant first.
    pub(super) fn sorted(self, sent: &[u8]) -> impl Iterator<Item = u8> {
        (0..sent.len()).filter_map(move |index| sent.get(self.sent_at(index, sent.len())).copied())
    }
}

/// What a number is: unsigned or signed with its bits, IEEE 754, decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    U8,
    U16,
    U24,
    U32,
    U40,
    U48,
    U56,
    U64,
    I8,
    I16,
    I24,
    I32,
    I40,
    I48,
    I56,
    I64,
    F32,
    F64,
    Bcd,
}

impl Kind {
    /// Its bytes; none where the profile says how many.
    pub(super) const fn size(self) -> Option<usize> {
        Some(match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U24 | Self::I24 => 3,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U40 | Self::I40 => 5,
            Self::U48 | Self::I48 => 6,
            Self::U56 | Self::I56 => 7,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Bcd => return None,
        })
    }

    /// Whether it counts from zero up, in binary or in digits.
    pub(super) const fn is_count(self) -> bool {
        self.is_unsigned() || matches!(self, Self::Bcd)
    }

    /// Whether it is a binary number without a sign.
    pub(super) const fn is_unsigned(self) -> bool {
        matches!(
            self,
            Self::U8
                | Self::U16
                | Self::U24
                | Self::U32
                | Self::U40
                | Self::U48
                | Self::U56
                | Self::U64
        )
    }

    /// Whether it is a binary whole number.
    pub(super) const fn is_whole(self) -> bool {
        !matches!(self, Self::F32 | Self::F64 | Self::Bcd)
    }
}

/// A number as a device sent it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Whole.
    Whole(i128),
    /// Single precision.
    Single(f32),
    /// Double precision.
    Double(f64),
}

impl Number {
    /// For telemetry.
    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Single(number) if number.is_finite() => widen(number),
            Self::Single(_) => f64::NAN,
            Self::Double(number) => number,
        }
    }
}

/// A number in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) order: Order,
    /// First bit and width, of whole binary numbers; none for all of them.
    pub(super) bits: Option<(u32, u32)>,
    /// The most significant nibble of digits that stands for minus.
    pub(super) minus: Option<u8>,
}

impl Part {
    /// The number, and the bytes it was sent as; none where they are no decimal digits.
    pub(super) fn number(&self, frame: &[u8]) -> Result<Option<Number>, RejectReason> {
        self.place.of(frame).map(|sent| self.of_bytes(sent))
    }

    /// The number in its own bytes.
    pub(super) fn of_bytes(&self, sent: &[u8]) -> Option<Number> {
        let sorted = self.order.sorted(sent);
        match self.kind {
            Kind::Bcd => self.digits(sorted).map(Number::Whole),
            Kind::F32 => u32::try_from(word(sorted))
                .ok()
                .map(|bits| Number::Single(f32::from_bits(bits))),
            Kind::F64 => Some(Number::Double(f64::from_bits(word(sorted)))),
            kind => {
                let word = word(sorted);
                let (bit, width) = self
                    .bits
                    .unwrap_or((0, 8 * u32::try_from(sent.len()).ok()?));
                let cut = u128::from(word) >> bit & ((1_u128 << width) - 1);
                let cut = i128::try_from(cut).ok()?;
                let is_negative = !kind.is_unsigned() && width > 0 && cut >> (width - 1) & 1 == 1;
                Some(Number::Whole(if is_negative {
                    cut - (1_i128 << width)
                } else {
                    cut
                }))
            }
        }
    }

    fn digits(&self, sorted: impl Iterator<Item = u8>) -> Option<i128> {
        let mut sum = 0_i128;
        let mut is_negative = false;
        for (index, byte) in sorted.enumerate() {
            let byte = match self.minus {
                Some(minus) if index == 0 => {
                    is_negative = byte >> 4 == minus;
                    // A nibble that is neither this sign nor zero is no plus.
                    if is_negative {
                        byte & 0x0F
                    } else if byte >> 4 == 0 {
                        byte
                    } else {
                        return None;
                    }
                }
                _ => byte,
            };
            sum = sum * 100 + i128::from(bcd_byte(byte)?);
        }
        Some(if is_negative { -sum } else { sum })
    }
}

fn word(sorted: impl Iterator<Item = u8>) -> u64 {
    sorted.fold(0, |word, byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(kind: Kind, size: usize, order: Order) -> Part {
        Part {
            place: Place {
                at: Anchor::Start(0),
                size,
            },
            kind,
            order,
            bits: None,
            minus: None,
        }
    }

    #[test]
    fn the_four_orders_of_one_number() {
        for (order, sent) in [
            (Order::Abcd, [0x44, 0x9B, 0x63, 0x92]),
            (Order::Cdab, [0x63, 0x92, 0x44, 0x9B]),
            (Order::Badc, [0x9B, 0x44, 0x92, 0x63]),
            (Order::Dcba, [0x92, 0x63, 0x9B, 0x44]),
        ] {
            let number = part(Kind::F32, 4, order).of_bytes(&sent);
            assert_eq!(number, Some(Number::Single(1_243.111_6)), "{order:?}");
            assert_eq!(
                part(Kind::U32, 4, order).of_bytes(&sent),
                Some(Number::Whole(0x449B_6392))
            );
        }
    }

    #[test]
    fn words_of_eight_bytes_swap_from_end_to_end() {
        let sent = [7, 8, 5, 6, 3, 4, 1, 2];
        assert_eq!(
            Order::Cdab.sorted(&sent).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn widths_signs_and_bits() {
        let whole = |kind, bytes: &[u8]| part(kind, bytes.len(), Order::Abcd).of_bytes(bytes);
        assert_eq!(
            whole(Kind::U24, &[0xFF, 0, 1]),
            Some(Number::Whole(0xFF_0001))
        );
        assert_eq!(
            whole(Kind::I24, &[0xFF, 0xFF, 0xFE]),
            Some(Number::Whole(-2))
        );
        assert_eq!(whole(Kind::I64, &[0xFF; 8]), Some(Number::Whole(-1)));
        assert_eq!(
            whole(Kind::U64, &[0xFF; 8]),
            Some(Number::Whole(u64::MAX.into()))
        );
        assert_eq!(
            whole(Kind::F64, &1.5_f64.to_be_bytes()),
            Some(Number::Double(1.5))
        );
        let bits = |kind, bit, width| Part {
            bits: Some((bit, width)),
            ..part(kind, 2, Order::Abcd)
        };
        // 1010_0110_0000_0001
        assert_eq!(
            bits(Kind::U16, 9, 3).of_bytes(&[0xA6, 0x01]),
            Some(Number::Whole(3))
        );
        assert_eq!(
            bits(Kind::I16, 13, 3).of_bytes(&[0xA6, 0x01]),
            Some(Number::Whole(-3))
        );
        assert_eq!(
            bits(Kind::U16, 0, 1).of_bytes(&[0xA6, 0x01]),
            Some(Number::Whole(1))
        );
    }

    #[test]
    fn decimal_digits_with_and_without_a_sign() {
        let plain = part(Kind::Bcd, 2, Order::Dcba);
        assert_eq!(plain.of_bytes(&[0x34, 0x12]), Some(Number::Whole(1_234)));
        assert_eq!(plain.of_bytes(&[0x3A, 0x12]), None);
        let signed = Part {
            minus: Some(8),
            ..part(Kind::Bcd, 2, Order::Abcd)
        };
        assert_eq!(signed.of_bytes(&[0x81, 0x25]), Some(Number::Whole(-125)));
        assert_eq!(signed.of_bytes(&[0x01, 0x25]), Some(Number::Whole(125)));
        assert_eq!(
            signed.of_bytes(&[0x11, 0x25]),
            None,
            "neither plus nor minus"
        );
        let letter = Part {
            minus: Some(0xF),
            ..signed
        };
        assert_eq!(letter.of_bytes(&[0xF1, 0x25]), Some(Number::Whole(-125)));
    }

    #[test]
    fn places_are_counted_from_either_end() {
        let place = |at, size| Place {
            at: Anchor::new(at).unwrap(),
            size,
        };
        let frame = [1, 2, 3, 4];
        assert_eq!(place(1, 2).of(&frame).unwrap(), [2, 3]);
        assert_eq!(place(-2, 2).of(&frame).unwrap(), [3, 4]);
        for beyond in [
            place(3, 2),
            place(-1, 2),
            place(-5, 1),
            place(i64::MAX, 1),
            place(i64::MIN, 1),
        ] {
            assert_eq!(beyond.of(&frame).unwrap_err().code, reject::TRUNCATED);
        }
    }

    proptest! {
        #[test]
        fn an_order_sends_every_byte_once(words in 1_usize..5) {
            for order in [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba] {
                let size = 2 * words;
                let mut sent: Vec<usize> = (0..size).map(|i| order.sent_at(i, size)).collect();
                sent.sort_unstable();
                prop_assert_eq!(sent, (0..size).collect::<Vec<_>>());
            }
        }
    }
}
