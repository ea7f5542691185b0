//! The checksum of wireless M-Bus: polynomial 3D65h, start 0, complemented.
//!
//! # Source
//! EN 13757-4:2019, clause 12.2 (that of DNP3 without reflection).

const POLYNOMIAL: u16 = 0x3D65;

const fn table() -> [u16; 256] {
    let mut table = [0_u16; 256];
    let mut rest: &mut [u16] = &mut table;
    let mut byte = 0_u16;
    while let [entry, behind @ ..] = rest {
        let mut value = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000 == 0 {
                value << 1
            } else {
                (value << 1) ^ POLYNOMIAL
            };
            bit += 1;
        }
        *entry = value;
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    table
}

const TABLE: [u16; 256] = table();

/// The checksum of bytes.
pub(in crate::decode) fn crc(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0_u16, |crc, byte| {
        let [high, _] = crc.to_be_bytes();
        let entry = TABLE
            .get(usize::from(high ^ byte))
            .copied()
            .unwrap_or_default();
        (crc << 8) ^ entry
    })
}
