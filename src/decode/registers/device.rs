//! The device's own name in its registers: a serial number, held against the registry's.

use super::Place;
use super::number::in_order;
use super::raw::{NameBytes, NameType};
use crate::decode::code::reject;
use crate::decode::snapshot::BlockReading;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;

/// Most registers of a name.
pub(super) const NAME_WORDS_MAX: u16 = 32;

/// Where a device says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceName {
    pub(super) place: Place,
    pub(super) kind: NameType,
    pub(super) bytes: NameBytes,
}

impl DeviceName {
    pub(super) fn read(self, blocks: &[BlockReading]) -> Result<DeviceId, RejectReason> {
        let registers = self.place.registers(blocks)?;
        let bytes = in_order(registers, self.place.order);
        let name = match self.kind {
            NameType::Ascii => self.text(&bytes),
            NameType::Bcd => {
                let digits = hex::encode(&bytes);
                digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
            }
            NameType::Number => match bytes.as_slice() {
                bytes if bytes.len() <= 8 => Some(
                    bytes
                        .iter()
                        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
                        .to_string(),
                ),
                _ => None,
            },
        };
        // What it read is payload and stays out of the message.
        name.map(|name| DeviceId::from(name.as_str()))
            .ok_or_else(|| {
                RejectReason::new(
                    reject::DEVICE,
                    format!(
                        "registers {} to {} hold no device name; check register, order and bytes in \
                         [modbus.device]",
                        self.place.start,
                        u32::from(self.place.start) + u32::from(self.place.count) - 1
                    ),
                )
            })
    }

    fn text(self, bytes: &[u8]) -> Option<String> {
        let (pairs, _) = bytes.as_chunks::<2>();
        let characters: Vec<u8> = pairs
            .iter()
            .flat_map(|[high, low]| match self.bytes {
                NameBytes::Both => vec![*high, *low],
                NameBytes::High => vec![*high],
                NameBytes::Low => vec![*low],
            })
            .collect();
        let text = characters.split(|byte| *byte == 0).next()?;
        let text = std::str::from_utf8(text).ok()?.trim();
        let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        is_name.then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw::ByteOrder;
    use super::*;

    fn read(kind: NameType, bytes: NameBytes, order: ByteOrder, words: &[u16]) -> Option<String> {
        let name = DeviceName {
            place: Place {
                function: 3,
                start: 0,
                count: u16::try_from(words.len()).unwrap(),
                order,
            },
            kind,
            bytes,
        };
        let block = BlockReading {
            function: 3,
            start: 0,
            registers: words.to_vec(),
        };
        name.read(&[block]).ok().map(|id| id.as_str().to_owned())
    }

    #[test]
    fn text_lies_in_both_bytes_or_in_one_of_them() {
        let some = |text: &str| Some(text.to_owned());
        let ascii = |bytes, order, words: &[u16]| read(NameType::Ascii, bytes, order, words);
        let both = NameBytes::Both;
        assert_eq!(
            ascii(both, ByteOrder::Abcd, &[0x4658, 0x3132, 0x3300]),
            some("FX123")
        );
        assert_eq!(
            ascii(both, ByteOrder::Badc, &[0x5846, 0x3231, 0x0033]),
            some("FX123")
        );
        assert_eq!(
            ascii(NameBytes::Low, ByteOrder::Abcd, &[0x46, 0x58, 0x31]),
            some("FX1")
        );
        assert_eq!(
            ascii(NameBytes::High, ByteOrder::Abcd, &[0x4600, 0x5800]),
            some("FX")
        );
        assert_eq!(ascii(both, ByteOrder::Abcd, &[0x2046, 0x5820]), some("FX"));
        assert_eq!(ascii(both, ByteOrder::Abcd, &[0, 0]), None);
        assert_eq!(ascii(both, ByteOrder::Abcd, &[0x46FF]), None);
    }

    #[test]
    fn digits_keep_their_zeros_and_numbers_have_none() {
        let some = |text: &str| Some(text.to_owned());
        let (both, order) = (NameBytes::Both, ByteOrder::Abcd);
        assert_eq!(
            read(NameType::Bcd, both, order, &[0x0012, 0x3456]),
            some("00123456")
        );
        assert_eq!(read(NameType::Bcd, both, order, &[0x00A2]), None);
        assert_eq!(
            read(NameType::Number, both, ByteOrder::Cdab, &[0x0001, 0x0001]),
            some("65537")
        );
    }
}
