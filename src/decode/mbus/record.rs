//! Data records (EN 13757-3): what a record is of (DIF, DIFE), its unit (VIF, VIFE), its bytes.
//!
//! Reading a record copies and allocates nothing.

use crate::decode::code::reject;
use crate::decode::mbus::vib::Vib;
use crate::domain::frame::RejectReason;

/// DIFE after one DIF at most.
const DIFE_MAX: usize = 10;
/// DIF of an idle filler; also what decrypted data must begin with, twice.
pub(in crate::decode) const FILLER: u8 = 0x2F;
const MANUFACTURER_DATA: u8 = 0x0F;
const MORE_FOLLOW: u8 = 0x1F;
const EXTENSION: u8 = 0x80;

/// In which order a telegram sends the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Order {
    /// Least significant first, as nearly every meter does (mode 1).
    LowFirst,
    /// Most significant first (mode 2, CI 76h).
    HighFirst,
}

/// Which value of its interval a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decode) enum Function {
    /// The value at its time.
    Instantaneous,
    /// The greatest of the interval.
    Maximum,
    /// The least of the interval.
    Minimum,
    /// The value while an error lasted. No field can ask for it.
    #[serde(skip)]
    DuringError,
}

/// The bytes of a record by their coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Content<'a> {
    /// None at all (DIF 0 and 8).
    Nothing,
    /// A binary number or bit field.
    Integer(&'a [u8]),
    /// IEEE 754, 32 bits.
    Real(&'a [u8]),
    /// Packed decimal digits.
    Bcd(&'a [u8]),
    /// Packed decimal digits of a negative number (LVAR D0h to D9h).
    NegativeBcd(&'a [u8]),
    /// Characters.
    Text(&'a [u8]),
}

/// One data record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Record<'a> {
    pub(in crate::decode) function: Function,
    pub(in crate::decode) storage: u64,
    pub(in crate::decode) tariff: u32,
    pub(in crate::decode) subunit: u16,
    pub(in crate::decode) vib: Vib,
    pub(in crate::decode) content: Content<'a>,
    pub(in crate::decode) order: Order,
}

/// Why a record holds no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct NoNumber {
    pub(in crate::decode) code: &'static str,
    pub(in crate::decode) what: &'static str,
}

const fn no_number(code: &'static str, what: &'static str) -> NoNumber {
    NoNumber { code, what }
}

/// A record's number before its unit is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::decode) enum Number {
    /// A whole number.
    Whole(i64),
    /// A 32-bit float as the nearest double of its shortest text.
    Real(f64),
}

impl Record<'_> {
    /// The number, signed where the coding is.
    pub(in crate::decode) fn number(&self) -> Result<Number, NoNumber> {
        match self.content {
            Content::Integer(bytes) => signed(bytes, self.order).map(Number::Whole),
            Content::Bcd(bytes) => digits(bytes, self.order, true).map(Number::Whole),
            Content::NegativeBcd(bytes) => {
                digits(bytes, self.order, false).map(|n| Number::Whole(-n))
            }
            Content::Real(bytes) => real(bytes, self.order).map(Number::Real),
            Content::Nothing => Err(no_number(reject::TYPE, "is a record without data")),
            Content::Text(_) => Err(no_number(
                reject::TYPE,
                "is a record of characters, not of a number",
            )),
        }
    }

    /// The bits of a bit field (types C and D).
    pub(in crate::decode) fn bits(&self) -> Result<u64, NoNumber> {
        match self.content {
            Content::Integer(bytes) => {
                unsigned(bytes, self.order).ok_or(no_number(reject::TYPE, "has more than 64 bits"))
            }
            Content::Bcd(bytes) => digits(bytes, self.order, false).map(i64::unsigned_abs),
            _ => Err(no_number(reject::TYPE, "is a record without bits")),
        }
    }
}

/// Bytes most significant first, whatever their order on the wire.
fn high_first(bytes: &[u8], order: Order) -> impl Iterator<Item = u8> {
    let (ahead, behind) = match order {
        Order::LowFirst => (None, Some(bytes.iter().rev())),
        Order::HighFirst => (Some(bytes.iter()), None),
    };
    ahead
        .into_iter()
        .flatten()
        .chain(behind.into_iter().flatten())
        .copied()
}

/// A binary number of at most eight bytes without sign.
pub(in crate::decode) fn unsigned(bytes: &[u8], order: Order) -> Option<u64> {
    (bytes.len() <= 8).then(|| {
        let mut wide = [0_u8; 8];
        match order {
            Order::LowFirst => {
                for (to, from) in wide.iter_mut().zip(bytes) {
                    *to = *from;
                }
            }
            Order::HighFirst => {
                for (to, from) in wide.iter_mut().zip(bytes.iter().rev()) {
                    *to = *from;
                }
            }
        }
        u64::from_le_bytes(wide)
    })
}

/// A binary number in two's complement (type B); its least value means that there is none.
pub(in crate::decode) fn signed(bytes: &[u8], order: Order) -> Result<i64, NoNumber> {
    let raw = unsigned(bytes, order).ok_or(no_number(reject::RANGE, "has more than 64 bits"))?;
    if bytes.is_empty() {
        return Err(no_number(reject::TYPE, "is a record without data"));
    }
    let unused = 64 - 8 * bytes.len();
    let value = (raw << unused).cast_signed() >> unused;
    if value == i64::MIN >> unused {
        return Err(no_number(
            reject::DEVICE_ERROR,
            "has the value that stands for none; the meter has no such value now",
        ));
    }
    Ok(value)
}

/// Decimal digits (type A); with `sign`, the topmost may be F, minus.
pub(in crate::decode) fn digits(bytes: &[u8], order: Order, sign: bool) -> Result<i64, NoNumber> {
    let bad = no_number(
        reject::BCD,
        "has a nibble that is no decimal digit; the meter has no such value now, or counts otherwise",
    );
    if bytes.len() > 9 {
        return Err(no_number(reject::RANGE, "has more than 18 digits"));
    }
    let mut sum = 0_i64;
    let mut negative = false;
    for (place, byte) in high_first(bytes, order).enumerate() {
        let (mut high, low) = (byte >> 4, byte & 0x0F);
        if sign && place == 0 && high == 0x0F {
            negative = true;
            high = 0;
        }
        if high > 9 || low > 9 {
            return Err(bad);
        }
        sum = sum * 100 + i64::from(high * 10 + low);
    }
    Ok(if negative { -sum } else { sum })
}

fn real(bytes: &[u8], order: Order) -> Result<f64, NoNumber> {
    let raw = unsigned(bytes, order)
        .and_then(|raw| u32::try_from(raw).ok())
        .ok_or(no_number(reject::TYPE, "is no 32-bit float"))?;
    let value = f32::from_bits(raw);
    if value.is_finite() {
        Ok(shortest(value))
    } else {
        Err(no_number(
            reject::RANGE,
            "is a float that is no finite number; the meter has no such value now",
        ))
    }
}

/// The double nearest to the shortest decimal text of a float, without an allocation.
fn shortest(value: f32) -> f64 {
    use std::io::Write as _;
    // A float's shortest text has at most 9 digits, sign, point and exponent.
    let mut text = [0_u8; 32];
    let size = {
        let mut rest = text.as_mut_slice();
        let full = rest.len();
        match write!(rest, "{value:e}") {
            Ok(()) => full - rest.len(),
            Err(_) => 0,
        }
    };
    text.get(..size)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| f64::from(value))
}

/// The records of a telegram, one after another.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Records<'a> {
    rest: &'a [u8],
    size: usize,
    order: Order,
    /// The meter has more records, in another telegram (DIF 1Fh).
    pub(in crate::decode) more_follow: bool,
    /// Bytes of records before manufacturer's data or the end.
    pub(in crate::decode) used: usize,
}

impl<'a> Records<'a> {
    pub(in crate::decode) const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self {
            rest: bytes,
            size: bytes.len(),
            order,
            more_follow: false,
            used: 0,
        }
    }

    fn at(&self) -> usize {
        self.size - self.rest.len()
    }

    fn early(&self, what: &str) -> RejectReason {
        RejectReason::new(
            reject::RECORD,
            format!(
                "data record at byte {} ends early: its {what} is not there",
                self.at()
            ),
        )
    }

    fn unreadable(&self, what: std::fmt::Arguments<'_>) -> RejectReason {
        RejectReason::new(
            reject::RECORD,
            format!("data record before byte {} {what}", self.at()),
        )
    }

    fn byte(&mut self, what: &str) -> Result<u8, RejectReason> {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                Ok(*first)
            }
            [] => Err(self.early(what)),
        }
    }

    fn take(&mut self, size: usize, what: &str) -> Result<&'a [u8], RejectReason> {
        let (taken, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or_else(|| self.early(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next record; none at the end.
    pub(in crate::decode) fn next_record(&mut self) -> Result<Option<Record<'a>>, RejectReason> {
        let dif = loop {
            self.used = self.at();
            match self.rest {
                [] => return Ok(None),
                [FILLER, rest @ ..] => self.rest = rest,
                [last @ (MANUFACTURER_DATA | MORE_FOLLOW), ..] => {
                    self.more_follow = *last == MORE_FOLLOW;
                    self.rest = &[];
                    return Ok(None);
                }
                [dif, rest @ ..] => {
                    self.rest = rest;
                    break *dif;
                }
            }
        };
        let function = match dif >> 4 & 3 {
            0 => Function::Instantaneous,
            1 => Function::Maximum,
            2 => Function::Minimum,
            _ => Function::DuringError,
        };
        let mut storage = u64::from(dif >> 6 & 1);
        let (mut tariff, mut subunit) = (0_u32, 0_u16);
        let mut extended = dif & EXTENSION != 0;
        let mut count = 0_usize;
        while extended {
            if count == DIFE_MAX {
                return Err(self.unreadable(format_args!("has more than {DIFE_MAX} DIFE")));
            }
            let dife = self.byte("DIFE")?;
            storage |= u64::from(dife & 0x0F) << (1 + 4 * count);
            tariff |= u32::from(dife >> 4 & 3) << (2 * count);
            subunit |= u16::from(dife >> 6 & 1) << count;
            extended = dife & EXTENSION != 0;
            count += 1;
        }
        let vib = self.vib()?;
        let content = self.content(dif & 0x0F)?;
        Ok(Some(Record {
            function,
            storage,
            tariff,
            subunit,
            vib,
            content,
            order: self.order,
        }))
    }

    fn vib(&mut self) -> Result<Vib, RejectReason> {
        let vif = self.byte("VIF")?;
        let mut extended = vif & EXTENSION != 0;
        let mut vib = match vif {
            0xFB | 0xFD | 0xEF => {
                let code = self.byte("extended VIF")?;
                extended = code & EXTENSION != 0;
                match vif {
                    0xFB => Vib::of_fb(code & !EXTENSION),
                    0xFD => Vib::of_fd(code & !EXTENSION),
                    _ => Vib::UNKNOWN,
                }
            }
            // Its unit is the text that follows; only a person can read it.
            0x7C | 0xFC => {
                let size = self.byte("length of the plain-text unit")?;
                self.take(usize::from(size), "plain-text unit")?;
                Vib::UNKNOWN
            }
            _ => Vib::of_primary(vif & !EXTENSION),
        };
        let mut count = 0_usize;
        while extended {
            if count == DIFE_MAX {
                return Err(self.unreadable(format_args!("has more than {DIFE_MAX} VIFE")));
            }
            let vife = self.byte("VIFE")?;
            vib.combine(vife & !EXTENSION);
            extended = vife & EXTENSION != 0;
            count += 1;
        }
        Ok(vib)
    }

    fn content(&mut self, coding: u8) -> Result<Content<'a>, RejectReason> {
        let what = "data";
        Ok(match coding {
            0x0 | 0x8 => Content::Nothing,
            0x1..=0x4 => Content::Integer(self.take(usize::from(coding), what)?),
            0x5 => Content::Real(self.take(4, what)?),
            0x6 => Content::Integer(self.take(6, what)?),
            0x7 => Content::Integer(self.take(8, what)?),
            0x9..=0xC => Content::Bcd(self.take(usize::from(coding - 8), what)?),
            0xE => Content::Bcd(self.take(6, what)?),
            0xD => {
                let length = self.byte("length")?;
                let size = usize::from(length);
                match length {
                    0x00..=0xBF => Content::Text(self.take(size, what)?),
                    0xC0..=0xC9 => Content::Bcd(self.take(size - 0xC0, what)?),
                    0xD0..=0xD9 => Content::NegativeBcd(self.take(size - 0xD0, what)?),
                    0xE0..=0xEF => Content::Integer(self.take(size - 0xE0, what)?),
                    0xF0..=0xF4 => Content::Integer(self.take(4 * (size - 0xEC), what)?),
                    0xF5 => Content::Integer(self.take(48, what)?),
                    0xF6 => Content::Integer(self.take(64, what)?),
                    _ => {
                        return Err(self.unreadable(format_args!(
                            "has the length {length:02X}h, which EN 13757-3 reserves"
                        )));
                    }
                }
            }
            _ => {
                return Err(self.unreadable(format_args!(
                    "has a DIF that EN 13757-3 reserves, so its length is unknown"
                )));
            }
        })
    }
}
