//! COSEM data, A-XDR encoded.
//!
//! # Source
//! IEC 62056-5-3, 9.5 (`Data ::= CHOICE`); IEC 61334-6 (A-XDR).

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// Structures within structures at most; a profile buffer in a push is three deep.
const DEPTH_MAX: usize = 10;
/// Elements of one message at most: a year of hours in four columns is 35,000.
const ELEMENTS_MAX: usize = 65_536;

/// A value as it is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data<'a> {
    /// `null-data`; in a profile buffer, "as the row before".
    Null,
    /// `array` and `compact-array`.
    Array(Vec<Self>),
    /// `structure`.
    Structure(Vec<Self>),
    /// `boolean`.
    Boolean(bool),
    /// `bit-string`: bytes, and how many bits of them count. The first bit is the most significant.
    Bits(&'a [u8], usize),
    /// `octet-string`, `visible-string`, `utf8-string`.
    Octets(&'a [u8]),
    /// Every whole number.
    Integer(i128),
    /// `enum`.
    Enum(u8),
    /// `float32`.
    Float32(f32),
    /// `float64`.
    Float64(f64),
    /// `date-time`.
    DateTime([u8; 12]),
    /// `date`.
    Date([u8; 5]),
    /// `time`.
    Time([u8; 4]),
}

impl Data<'_> {
    /// The elements of an array or structure.
    pub(super) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Structure(elements) => Some(elements),
            _ => None,
        }
    }

    /// A date and time, as such or in an octet string.
    pub(super) fn date_time(&self) -> Option<[u8; 12]> {
        match self {
            Self::DateTime(bytes) => Some(*bytes),
            Self::Octets(bytes) => (*bytes).try_into().ok(),
            _ => None,
        }
    }

    /// A time of day, as such or in an octet string.
    pub(super) fn time_of_day(&self) -> Option<[u8; 4]> {
        match self {
            Self::Time(bytes) => Some(*bytes),
            Self::Octets(bytes) => (*bytes).try_into().ok(),
            _ => None,
        }
    }
}

/// The type of the elements of a compact array.
#[derive(Debug)]
enum Kind {
    Plain(u8),
    Array(u16, Box<Self>),
    Structure(Vec<Self>),
}

/// Reads one value after another.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    elements_left: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            elements_left: ELEMENTS_MAX,
        }
    }

    /// What was not read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, RejectReason> {
        self.array().map(|[byte]| byte)
    }

    /// The next bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RejectReason> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// So many bytes.
    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], RejectReason> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A length: one byte below 80h, else so many bytes.
    pub(super) fn length(&mut self) -> Result<usize, RejectReason> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let count = usize::from(first & 0x7F);
        if !(1..=4).contains(&count) {
            return Err(encoding("a length is of no form A-XDR has"));
        }
        let bytes = self.slice(count)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// A value with its tag.
    pub(super) fn data(&mut self) -> Result<Data<'a>, RejectReason> {
        self.tagged(0)
    }

    fn tagged(&mut self, depth: usize) -> Result<Data<'a>, RejectReason> {
        let tag = self.byte()?;
        self.plain(tag, depth)
    }

    fn plain(&mut self, tag: u8, depth: usize) -> Result<Data<'a>, RejectReason> {
        self.count_element(depth)?;
        Ok(match tag {
            0 | 255 => Data::Null,
            1 => Data::Array(self.list(depth)?),
            2 => Data::Structure(self.list(depth)?),
            3 => Data::Boolean(self.byte()? != 0),
            4 => {
                let bits = self.length()?;
                Data::Bits(self.slice(bits.div_ceil(8))?, bits)
            }
            5 => integer(i32::from_be_bytes(self.array()?)),
            6 => integer(u32::from_be_bytes(self.array()?)),
            9 | 10 | 12 => {
                let length = self.length()?;
                Data::Octets(self.slice(length)?)
            }
            13 | 15 => integer(i8::from_be_bytes(self.array()?)),
            16 => integer(i16::from_be_bytes(self.array()?)),
            17 => integer(self.byte()?),
            18 => integer(u16::from_be_bytes(self.array()?)),
            19 => Data::Array(self.compact(depth)?),
            20 => integer(i64::from_be_bytes(self.array()?)),
            21 => integer(u64::from_be_bytes(self.array()?)),
            22 => Data::Enum(self.byte()?),
            23 => Data::Float32(f32::from_be_bytes(self.array()?)),
            24 => Data::Float64(f64::from_be_bytes(self.array()?)),
            25 => Data::DateTime(self.array()?),
            26 => Data::Date(self.array()?),
            27 => Data::Time(self.array()?),
            other => {
                return Err(encoding(format_args!(
                    "type {other} is none this program reads"
                )));
            }
        })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Data<'a>>, RejectReason> {
        let count = self.length()?;
        // An element has at least one byte: a count beyond the rest is refused before memory is
        // taken for it.
        if count > self.rest.len() {
            return Err(truncated());
        }
        (0..count).map(|_| self.tagged(depth + 1)).collect()
    }

    fn compact(&mut self, depth: usize) -> Result<Vec<Data<'a>>, RejectReason> {
        let kind = self.kind(depth)?;
        let length = self.length()?;
        let mut contents = Self {
            rest: self.slice(length)?,
            elements_left: self.elements_left,
        };
        let mut elements = Vec::new();
        while !contents.rest.is_empty() {
            let before = contents.rest.len();
            elements.push(contents.of(&kind, depth + 1)?);
            if contents.rest.len() == before {
                return Err(encoding("a compact array has elements without a byte"));
            }
        }
        self.elements_left = contents.elements_left;
        Ok(elements)
    }

    fn kind(&mut self, depth: usize) -> Result<Kind, RejectReason> {
        self.count_element(depth)?;
        Ok(match self.byte()? {
            1 => {
                let count = u16::from_be_bytes(self.array()?);
                Kind::Array(count, Box::new(self.kind(depth + 1)?))
            }
            2 => {
                let count = self.length()?;
                if count > self.rest.len() {
                    return Err(truncated());
                }
                Kind::Structure(
                    (0..count)
                        .map(|_| self.kind(depth + 1))
                        .collect::<Result<_, _>>()?,
                )
            }
            19 => return Err(encoding("a compact array holds compact arrays")),
            tag => Kind::Plain(tag),
        })
    }

    fn of(&mut self, kind: &Kind, depth: usize) -> Result<Data<'a>, RejectReason> {
        match kind {
            Kind::Plain(tag) => self.plain(*tag, depth),
            Kind::Array(count, kind) => {
                self.count_element(depth)?;
                let elements: Result<_, _> =
                    (0..*count).map(|_| self.of(kind, depth + 1)).collect();
                Ok(Data::Array(elements?))
            }
            Kind::Structure(kinds) => {
                self.count_element(depth)?;
                let elements: Result<_, _> =
                    kinds.iter().map(|kind| self.of(kind, depth + 1)).collect();
                Ok(Data::Structure(elements?))
            }
        }
    }

    fn count_element(&mut self, depth: usize) -> Result<(), RejectReason> {
        if depth > DEPTH_MAX {
            return Err(encoding(format_args!(
                "structures are nested deeper than {DEPTH_MAX}"
            )));
        }
        match self.elements_left.checked_sub(1) {
            Some(left) => {
                self.elements_left = left;
                Ok(())
            }
            None => Err(encoding(format_args!(
                "there are more than {ELEMENTS_MAX} elements"
            ))),
        }
    }
}

fn integer<'a>(number: impl Into<i128>) -> Data<'a> {
    Data::Integer(number.into())
}

fn truncated() -> RejectReason {
    RejectReason::new(reject::TRUNCATED, "message ends within its data")
}

pub(super) fn encoding(what: impl std::fmt::Display) -> RejectReason {
    RejectReason::new(reject::ENCODING, format!("COSEM data is malformed: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Data<'static>, usize), RejectReason> {
        let bytes: &'static [u8] = Vec::leak(hex::decode(text).unwrap());
        let mut reader = Reader::new(bytes);
        reader.data().map(|data| (data, reader.rest().len()))
    }

    fn value(text: &str) -> Data<'static> {
        let (data, rest) = read(text).unwrap();
        assert_eq!(rest, 0);
        data
    }

    #[test]
    fn every_type_of_a_value() {
        assert_eq!(value("00"), Data::Null);
        assert_eq!(value("0301"), Data::Boolean(true));
        assert_eq!(
            value("040B A5E0".replace(' ', "").as_str()),
            Data::Bits(&[0xA5, 0xE0], 11)
        );
        assert_eq!(value("05FFFFFFFF"), Data::Integer(-1));
        assert_eq!(value("06FFFFFFFF"), Data::Integer(4_294_967_295));
        assert_eq!(value("0902ABCD"), Data::Octets(&[0xAB, 0xCD]));
        assert_eq!(value("0A0141"), Data::Octets(b"A"));
        assert_eq!(value("0FFD"), Data::Integer(-3));
        assert_eq!(value("10FF3C"), Data::Integer(-196));
        assert_eq!(value("11FF"), Data::Integer(255));
        assert_eq!(value("12FFFF"), Data::Integer(65_535));
        assert_eq!(value("14FFFFFFFFFFFFFFFE"), Data::Integer(-2));
        assert_eq!(
            value("15FFFFFFFFFFFFFFFF"),
            Data::Integer(i128::from(u64::MAX))
        );
        assert_eq!(value("160D"), Data::Enum(13));
        assert_eq!(value("1741200000"), Data::Float32(10.0));
        assert_eq!(value("184024000000000000"), Data::Float64(10.0));
        assert_eq!(value("1B08000000"), Data::Time([8, 0, 0, 0]));
        assert_eq!(
            value("020202020011010100"),
            Data::Structure(vec![
                Data::Structure(vec![Data::Null, Data::Integer(1)]),
                Data::Array(vec![])
            ])
        );
    }

    #[test]
    fn a_compact_array_of_structures() {
        // Two rows of a double-long-unsigned and an unsigned.
        assert_eq!(
            value(
                "13 02 02 06 11 0A 00000001 02 00000003 04"
                    .replace(' ', "")
                    .as_str()
            ),
            Data::Array(vec![
                Data::Structure(vec![Data::Integer(1), Data::Integer(2)]),
                Data::Structure(vec![Data::Integer(3), Data::Integer(4)]),
            ])
        );
        // The second row ends early.
        assert_eq!(
            read(&"13 02 02 06 11 09 00000001 02 00000003".replace(' ', ""))
                .unwrap_err()
                .code,
            reject::TRUNCATED
        );
    }

    #[test]
    fn what_would_take_memory_or_never_end_is_refused() {
        // An array of four thousand million elements.
        assert_eq!(read("0184FFFFFFFF").unwrap_err().code, reject::TRUNCATED);
        // Nested deeper than any device does.
        assert_eq!(read(&"0201".repeat(20)).unwrap_err().code, reject::ENCODING);
        // A compact array of nulls, which take no byte.
        assert_eq!(read("13000100").unwrap_err().code, reject::ENCODING);
        // A compact array whose type is arrays of arrays of 65,535.
        assert_eq!(
            read("1301FFFF01FFFF00 01 00".replace(' ', "").as_str())
                .unwrap_err()
                .code,
            reject::ENCODING
        );
        assert_eq!(read("1C00").unwrap_err().code, reject::ENCODING);
        assert_eq!(read("0980").unwrap_err().code, reject::ENCODING);
    }

    #[test]
    fn a_published_load_profile_of_a_day() {
        // 24 rows of time, status and total: u9n/dlms-cosem, tests/test_a_xdr.py (the first two).
        let data = value(
            "0102\
             0203090C07E2020C0500000000800000110006000186A0\
             0203090C07E2020C050100000080000011000600018840",
        );
        let rows = data.elements().unwrap();
        let row = rows[1].elements().unwrap();
        assert_eq!(
            row[0].date_time().unwrap(),
            [0x07, 0xE2, 2, 0x0C, 5, 1, 0, 0, 0, 0x80, 0, 0]
        );
        assert_eq!(row[2], Data::Integer(0x0001_8840));
    }
}
