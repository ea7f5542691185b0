//! Who a meter is: manufacturer, number, version and type (secondary address).

use serde::Deserialize;

use crate::decode::mbus::record::Order;
use crate::domain::id::DeviceId;

/// What of its address names a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum DeviceForm {
    /// The eight digits on its plate: `12345678`.
    #[default]
    Id,
    /// All of it: `ELS-12345678-33-03`, where numbers of two manufacturers may be the same.
    Full,
}

/// A meter's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Address {
    manufacturer: [u8; 2],
    /// Least significant first.
    id: [u8; 4],
    pub(in crate::decode) version: u8,
    /// What the meter measures; 03h is gas.
    pub(in crate::decode) medium: u8,
}

impl Address {
    /// As the wireless link layer writes it.
    pub(in crate::decode) const fn of_link(bytes: [u8; 8]) -> Self {
        let [m0, m1, i0, i1, i2, i3, version, medium] = bytes;
        Self {
            manufacturer: [m0, m1],
            id: [i0, i1, i2, i3],
            version,
            medium,
        }
    }

    /// As the long transport header writes it.
    pub(in crate::decode) const fn of_header(bytes: [u8; 8], order: Order) -> Self {
        let [i0, i1, i2, i3, m0, m1, version, medium] = bytes;
        match order {
            Order::LowFirst => Self {
                manufacturer: [m0, m1],
                id: [i0, i1, i2, i3],
                version,
                medium,
            },
            Order::HighFirst => Self {
                manufacturer: [m1, m0],
                id: [i3, i2, i1, i0],
                version,
                medium,
            },
        }
    }

    /// As the wireless link layer writes it: what initialisation vectors are made of.
    pub(in crate::decode) const fn link_bytes(self) -> [u8; 8] {
        let [m0, m1] = self.manufacturer;
        let [i0, i1, i2, i3] = self.id;
        [m0, m1, i0, i1, i2, i3, self.version, self.medium]
    }

    /// The number, least significant byte first.
    pub(in crate::decode) const fn id_bytes(self) -> [u8; 4] {
        self.id
    }

    /// The manufacturer's three letters as a number (FLAG code).
    pub(in crate::decode) const fn manufacturer(self) -> u16 {
        u16::from_le_bytes(self.manufacturer) & 0x7FFF
    }

    /// The device's name.
    pub(in crate::decode) fn device(self, form: DeviceForm) -> DeviceId {
        let [i0, i1, i2, i3] = self.id;
        let mut digits = [0_u8; 8];
        for (pair, byte) in digits
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip([i3, i2, i1, i0])
        {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 0x0F)];
        }
        let id = std::str::from_utf8(&digits).unwrap_or_default();
        match form {
            DeviceForm::Id => DeviceId::from(id),
            DeviceForm::Full => DeviceId::new(format!(
                "{}-{id}-{:02X}-{:02X}",
                letters(self.manufacturer()),
                self.version,
                self.medium
            )),
        }
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'A' + nibble - 10
    }
}

/// The three letters of a manufacturer's number.
pub(in crate::decode) fn letters(manufacturer: u16) -> String {
    [10, 5, 0]
        .into_iter()
        .filter_map(|shift| char::from_u32(u32::from(manufacturer >> shift & 0x1F) + 0x40))
        .collect()
}

/// The number of a manufacturer's three letters.
pub(in crate::decode) fn manufacturer_of(text: &str) -> Option<u16> {
    let is_code = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    is_code.then(|| {
        text.bytes()
            .fold(0, |code, letter| code << 5 | u16::from(letter - 0x40))
    })
}
