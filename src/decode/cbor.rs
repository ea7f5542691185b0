//! Codec `cbor`: a CBOR map (RFC 8949) per frame, with the messages of codec `json`.
//!
//! Exact totals travel as text or as decimal fractions (tag 4). Keys are texts or whole numbers; the
//! number 7 is the step `/7` of a pointer. Like JSON it is read once, and only what a pointer names
//! is kept.

use std::borrow::Cow;
use std::collections::BTreeSet;

use toml::de::DeTable;

use crate::decode::code::reject;
use crate::decode::file::FileReader;
use crate::decode::message::{self, Messages, Node, Paths, Slots, Step, with_slots};
use crate::domain::frame::RejectReason;
use crate::domain::reading::Decoded;

/// Keys of one map at most.
const KEYS_MAX: usize = 256;

/// Tags: a decimal fraction, the mark of a CBOR document.
const DECIMAL_FRACTION: u64 = 4;
const SELF_DESCRIBED: u64 = 55_799;

/// Tags whose content is another number than it looks: big numbers, big floats, rationals.
const OTHER_NUMBERS: [u64; 4] = [2, 3, 5, 30];

/// The codec of one profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CborCodec(Messages);

/// Reads `[cbor]` and `[[message]]`.
pub(super) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<CborCodec> {
    message::compile(reader, table, "cbor").map(CborCodec)
}

impl CborCodec {
    /// Decodes a frame.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Decoded, RejectReason> {
        self.0.limits.admit(bytes.len(), "cbor")?;
        with_slots(&self.0.paths, |slots| {
            scan(bytes, self.0.limits.depth_max, &self.0.paths, slots)?;
            self.0.decoded(Slots(slots))
        })
    }
}

/// Puts the values of a frame into their slots.
fn scan<'a>(
    bytes: &'a [u8],
    depth_max: usize,
    paths: &Paths,
    slots: &mut [Node<'a>],
) -> Result<(), RejectReason> {
    let mut scanner = Scanner {
        bytes,
        at: 0,
        depth_left: depth_max,
        slots,
    };
    scanner.document(paths.root()).map_err(|fault| match fault {
        Fault::Ends => RejectReason::new(
            reject::TRUNCATED,
            format!("CBOR ends early, after {} bytes", bytes.len()),
        ),
        Fault::Trailing => RejectReason::new(
            reject::TRAILING,
            format!("{} bytes follow the end of the CBOR map", bytes.len() - scanner.at),
        ),
        Fault::Depth => RejectReason::new(
            reject::DEPTH,
            format!("CBOR is nested deeper than {depth_max} levels; raise depth_max if the device means it"),
        ),
        Fault::NoMap(kind) => RejectReason::new(
            reject::CBOR,
            format!("the payload is {kind}; expected a CBOR map"),
        ),
        Fault::Syntax(what) => RejectReason::new(
            reject::CBOR,
            format!("no CBOR: {what} before byte {}", scanner.at),
        ),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Ends,
    Trailing,
    Depth,
    NoMap(&'static str),
    Syntax(&'static str),
}

/// The first byte of an item and its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    major: u8,
    /// The low five bits.
    info: u8,
    argument: u64,
}

impl Head {
    const BREAK: u8 = 0xFF;

    const fn is_indefinite(self) -> bool {
        self.info == 31
    }
}

struct Scanner<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
    slots: &'s mut [Node<'a>],
}

impl<'a> Scanner<'a, '_> {
    fn document(&mut self, root: &Step) -> Result<(), Fault> {
        let node = self.value(Some(root), false)?;
        if self.at < self.bytes.len() {
            return Err(Fault::Trailing);
        }
        match node {
            Node::Object => Ok(()),
            other => Err(Fault::NoMap(other.kind())),
        }
    }

    fn take(&mut self, size: u64) -> Result<&'a [u8], Fault> {
        let size = usize::try_from(size).map_err(|_| Fault::Ends)?;
        let end = self.at.checked_add(size).ok_or(Fault::Ends)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Ends)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| Fault::Ends)
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let [first] = self.array()?;
        let (major, info) = (first >> 5, first & 0x1F);
        let argument = match info {
            0..=23 => u64::from(info),
            24 => u64::from(u8::from_be_bytes(self.array()?)),
            25 => u64::from(u16::from_be_bytes(self.array()?)),
            26 => u64::from(u32::from_be_bytes(self.array()?)),
            27 => u64::from_be_bytes(self.array()?),
            31 if (2..=5).contains(&major) => 0,
            31 => return Err(Fault::Syntax("an indefinite length or break out of place")),
            _ => return Err(Fault::Syntax("a reserved length")),
        };
        Ok(Head {
            major,
            info,
            argument,
        })
    }

    /// Whether the next byte ends what has no stated length; it is then behind us.
    fn at_break(&mut self) -> Result<bool, Fault> {
        let is_break = *self.bytes.get(self.at).ok_or(Fault::Ends)? == Head::BREAK;
        if is_break {
            self.at += 1;
        }
        Ok(is_break)
    }

    /// A value and, if `step` has a slot, its way there.
    fn value(&mut self, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        let slot = step.and_then(Step::slot);
        let node = self.item(step, keep || slot.is_some())?;
        let Some(place) = slot.and_then(|slot| self.slots.get_mut(slot)) else {
            return Ok(node);
        };
        if keep {
            *place = node.clone();
            return Ok(node);
        }
        *place = node;
        Ok(Node::Null)
    }

    fn item(&mut self, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        let head = self.head()?;
        Ok(match head.major {
            0 => i64::try_from(head.argument).map_or(Node::Double(head.argument as f64), Node::Int),
            1 => i64::try_from(head.argument)
                .map_or(Node::Double(-1.0 - head.argument as f64), |n| {
                    Node::Int(-1 - n)
                }),
            2 => {
                self.chunks(head, |_| Ok(()))?;
                Node::Bytes
            }
            3 => Node::Text(self.text(head)?),
            4 => self.deeper(|scanner| scanner.list(head, step, keep))?,
            5 => {
                self.deeper(|scanner| scanner.map(head, step))?;
                Node::Object
            }
            6 => self.deeper(|scanner| scanner.tagged(head.argument, step, keep))?,
            _ => simple(head)?,
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::Depth)?;
        let read = read(self)?;
        self.depth_left += 1;
        Ok(read)
    }

    /// The pieces of a string of bytes or text: one, or several of the same kind.
    fn chunks(
        &mut self,
        head: Head,
        mut take: impl FnMut(&'a [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !head.is_indefinite() {
            return take(self.take(head.argument)?);
        }
        while !self.at_break()? {
            let chunk = self.head()?;
            if chunk.major != head.major || chunk.is_indefinite() {
                return Err(Fault::Syntax("a string in pieces of another kind"));
            }
            take(self.take(chunk.argument)?)?;
        }
        Ok(())
    }

    fn text(&mut self, head: Head) -> Result<Cow<'a, str>, Fault> {
        let mut text = Cow::Borrowed("");
        self.chunks(head, |bytes| {
            let piece =
                std::str::from_utf8(bytes).map_err(|_| Fault::Syntax("a text that is no UTF-8"))?;
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            Ok(())
        })?;
        Ok(text)
    }

    fn list(&mut self, head: Head, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        let mut items = Vec::new();
        let mut index = 0;
        while self.has_more(head, index)? {
            let child =
                step.and_then(|step| usize::try_from(index).ok().and_then(|i| step.element(i)));
            let item = self.value(child, keep)?;
            if keep {
                items.push(item);
            }
            index += 1;
        }
        Ok(Node::List(items))
    }

    fn has_more(&mut self, head: Head, done: u64) -> Result<bool, Fault> {
        if head.is_indefinite() {
            self.at_break().map(|is_break| !is_break)
        } else {
            Ok(done < head.argument)
        }
    }

    fn map(&mut self, head: Head, step: Option<&Step>) -> Result<(), Fault> {
        let mut seen: BTreeSet<Cow<'a, str>> = BTreeSet::new();
        let mut done = 0;
        while self.has_more(head, done)? {
            let key = self.key()?;
            let child = step.and_then(|step| step.key(&key)).map(|(_, step)| step);
            if seen.len() >= KEYS_MAX || !seen.insert(key) {
                return Err(Fault::Syntax("a key twice in one map, or too many keys"));
            }
            self.value(child, false)?;
            done += 1;
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        let head = self.head()?;
        match head.major {
            0 => Ok(Cow::Owned(head.argument.to_string())),
            1 => Ok(Cow::Owned((-1 - i128::from(head.argument)).to_string())),
            3 => self.text(head),
            _ => Err(Fault::Syntax("a key that is neither text nor whole number")),
        }
    }

    fn tagged(&mut self, tag: u64, step: Option<&Step>, keep: bool) -> Result<Node<'a>, Fault> {
        match tag {
            DECIMAL_FRACTION => self.decimal_fraction(),
            SELF_DESCRIBED => self.item(step, keep),
            tag if OTHER_NUMBERS.contains(&tag) => {
                self.item(None, false)?;
                // Of no kind a field takes, so that a field that points here says so.
                Ok(Node::Bytes)
            }
            _ => self.item(step, keep),
        }
    }

    /// An array of exponent and mantissa.
    fn decimal_fraction(&mut self) -> Result<Node<'a>, Fault> {
        const FORM: Fault =
            Fault::Syntax("a decimal fraction that is no pair of 64-bit whole numbers");
        let head = self.head()?;
        if head.major != 4 || head.is_indefinite() || head.argument != 2 {
            return Err(FORM);
        }
        match (self.item(None, false)?, self.item(None, false)?) {
            (Node::Int(exponent), Node::Int(digits)) => Ok(Node::Decimal { digits, exponent }),
            _ => Err(FORM),
        }
    }
}

fn simple(head: Head) -> Result<Node<'static>, Fault> {
    Ok(match (head.info, head.argument) {
        (20, _) => Node::Bool(false),
        (21, _) => Node::Bool(true),
        // null and undefined
        (22 | 23, _) => Node::Null,
        (25, bits) => Node::Single(half(bits)),
        (26, bits) => Node::Single(f32::from_bits(u32::try_from(bits).unwrap_or_default())),
        (27, bits) => Node::Double(f64::from_bits(bits)),
        _ => return Err(Fault::Syntax("a simple value nobody has defined")),
    })
}

/// A half-precision float.
fn half(bits: u64) -> f32 {
    let mantissa = u16::try_from(bits & 0x3FF).unwrap_or_default();
    let exponent = u16::try_from(bits >> 10 & 0x1F).unwrap_or_default();
    let size = match exponent {
        0 => f32::from(mantissa) * f32::powi(2.0, -24),
        31 if mantissa == 0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => f32::from(mantissa + 1_024) * f32::powi(2.0, i32::from(exponent) - 25),
    };
    if bits >> 15 & 1 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(hexadecimal: &str, pointers: &[&str]) -> Result<Vec<String>, RejectReason> {
        let bytes = hex::decode(hexadecimal.replace(' ', "")).unwrap();
        let mut paths = Paths::default();
        let pointers: Vec<_> = pointers
            .iter()
            .map(|text| paths.pointer(text).unwrap())
            .collect();
        with_slots(&paths, |slots| {
            scan(&bytes, 4, &paths, slots)?;
            Ok(pointers
                .iter()
                .map(|at| format!("{:?}", slots[at.slot()]))
                .collect())
        })
    }

    /// Values of RFC 8949, Appendix A, under the key "a".
    #[test]
    fn the_published_examples() {
        for (item, node) in [
            ("00", "Int(0)"),
            ("1818", "Int(24)"),
            ("1903e8", "Int(1000)"),
            ("1a000f4240", "Int(1000000)"),
            ("1b000000e8d4a51000", "Int(1000000000000)"),
            ("1bffffffffffffffff", "Double(1.8446744073709552e19)"),
            ("3bffffffffffffffff", "Double(-1.8446744073709552e19)"),
            ("20", "Int(-1)"),
            ("3903e7", "Int(-1000)"),
            ("f90000", "Single(0.0)"),
            ("f93c00", "Single(1.0)"),
            ("f93e00", "Single(1.5)"),
            ("f97bff", "Single(65504.0)"),
            ("f90001", "Single(5.9604645e-8)"),
            ("f90400", "Single(6.1035156e-5)"),
            ("f9c400", "Single(-4.0)"),
            ("f97c00", "Single(inf)"),
            ("f97e00", "Single(NaN)"),
            ("fa47c35000", "Single(100000.0)"),
            ("fb3ff199999999999a", "Double(1.1)"),
            ("f4", "Bool(false)"),
            ("f5", "Bool(true)"),
            ("f6", "Null"),
            ("f7", "Null"),
            (
                "c074323031332d30332d32315432303a30343a30305a",
                "Text(\"2013-03-21T20:04:00Z\")",
            ),
            ("c11a514b67b0", "Int(1363896240)"),
            ("c249010000000000000000", "Bytes"),
            ("4401020304", "Bytes"),
            ("60", "Text(\"\")"),
            ("62c3bc", "Text(\"ü\")"),
            ("7f657374726561646d696e67ff", "Text(\"streaming\")"),
            ("80", "List([])"),
            ("83010203", "List([Int(1), Int(2), Int(3)])"),
            (
                "9f018202039f0405ffff",
                "List([Int(1), List([Int(2), Int(3)]), List([Int(4), Int(5)])])",
            ),
            // 273.15 (RFC 8949 §3.4.4)
            ("c48221196ab3", "Decimal { digits: 27315, exponent: -2 }"),
        ] {
            let found = find(&format!("a1 6161 {item}"), &["/a"]).unwrap();
            assert_eq!(found, [node], "{item}");
        }
    }

    #[test]
    fn pointers_reach_into_maps_and_arrays() {
        // {"a": [1, {"b": 2}], 7: {-1: 3}}
        let found = find(
            "a2 6161 8201a1616202 07a12003",
            &["/a/1/b", "/a/0", "/7/-1", "/a/2"],
        )
        .unwrap();
        assert_eq!(found, ["Int(2)", "Int(1)", "Int(3)", "Null"]);
        // A whole document may say that it is CBOR, and a map need not say its length.
        assert_eq!(find("d9d9f7 bf616101ff", &["/a"]).unwrap(), ["Int(1)"]);
    }

    #[test]
    fn hostile_bytes_are_refused_by_name() {
        let code = |bytes: &str| find(bytes, &["/a"]).unwrap_err().code;
        for (bytes, wanted) in [
            ("", reject::TRUNCATED),
            ("a1", reject::TRUNCATED),
            ("a16161", reject::TRUNCATED),
            ("bf616101", reject::TRUNCATED),
            ("a161617bffffffffffffffff", reject::TRUNCATED),
            ("bbffffffffffffffff", reject::TRUNCATED),
            ("a16161018", reject::TRAILING),
            ("80", reject::CBOR),
            ("01", reject::CBOR),
            ("ff", reject::CBOR),
            ("a2616101616102", reject::CBOR),
            ("a20701613702", reject::CBOR),
            ("a1f501", reject::CBOR),
            ("a161611c", reject::CBOR),
            ("a16161f0", reject::CBOR),
            ("a16161f814", reject::CBOR),
            ("a1616161ff", reject::CBOR),
            ("a161617f4101ff", reject::CBOR),
            ("a161611f", reject::CBOR),
            ("a16161c48101", reject::CBOR),
            ("a16161c482f501", reject::CBOR),
            ("a161618181818100", reject::DEPTH),
            ("a16161c0c0c0c000", reject::DEPTH),
        ] {
            let padded = if bytes.len() % 2 == 1 {
                format!("{bytes}0")
            } else {
                bytes.to_owned()
            };
            assert_eq!(code(&padded), wanted, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Err(reason) = scan(&bytes, 8, &Paths::default(), &mut []) {
                prop_assert!(!reason.code.is_empty());
            }
        }
    }
}
