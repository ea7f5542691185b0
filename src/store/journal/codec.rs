//! Numbers and values as bodies and the inbox have them: LEB128, signed ones zigzag first.

use crate::domain::reading::ItemValue;

pub(super) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(super) fn put_value(out: &mut Vec<u8>, value: ItemValue, rank: u8) {
    match value {
        ItemValue::Exact(units) => {
            out.push(rank << 4);
            put_signed(out, units);
        }
        ItemValue::Float(value) => put_float(out, value, rank),
    }
}

/// Telemetry mostly has few decimals; the shortest form that gives back the same bits is used.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each short form is used only if it gives the same bits back"
)]
fn put_float(out: &mut Vec<u8>, value: f64, rank: u8) {
    let tenth_thousands = (value * 1e4).round();
    let narrow = value as f32;
    if tenth_thousands.abs() < 1e15
        && (tenth_thousands as i64 as f64 / 1e4).to_bits() == value.to_bits()
    {
        out.push(3 | (rank << 4));
        put_signed(out, tenth_thousands as i64);
    } else if f64::from(narrow).to_bits() == value.to_bits() {
        out.push(2 | (rank << 4));
        out.extend_from_slice(&narrow.to_le_bytes());
    } else {
        out.push(1 | (rank << 4));
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub(super) fn put_totals(out: &mut Vec<u8>, totals: &[Option<i64>]) {
    put_unsigned(out, totals.len() as u64);
    let mut before = 0_i64;
    for total in totals {
        match total {
            None => out.push(0),
            Some(units) => {
                let step = units.wrapping_sub(before);
                let zigzag = ((step << 1) ^ (step >> 63)).cast_unsigned();
                // The largest zigzag has no successor; totals stay far below it.
                put_unsigned(out, zigzag.saturating_add(1));
                before = *units;
            }
        }
    }
}

/// Bytes still to be read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        self.unsigned().map(unzigzag)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn value(&mut self, kind: u8) -> Option<ItemValue> {
        Some(match kind {
            0 => ItemValue::Exact(self.signed()?),
            1 => ItemValue::Float(f64::from_le_bytes(self.array()?)),
            2 => ItemValue::Float(f64::from(f32::from_le_bytes(self.array()?))),
            3 => ItemValue::Float(self.signed()? as f64 / 1e4),
            _ => return None,
        })
    }

    pub(super) fn totals(&mut self) -> Option<Vec<Option<i64>>> {
        let count = usize::try_from(self.unsigned()?).ok()?;
        let mut totals = Vec::with_capacity(count.min(1_024));
        let mut before = 0_i64;
        for _ in 0..count {
            totals.push(match self.unsigned()?.checked_sub(1) {
                None => None,
                Some(zigzag) => {
                    before = before.wrapping_add(unzigzag(zigzag));
                    Some(before)
                }
            });
        }
        Some(totals)
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
