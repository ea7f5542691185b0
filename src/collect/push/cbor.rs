//! CBOR (RFC 8949) to JSON, so that one kind of profile decodes both.
//!
//! Exact where it matters: integers of any size CBOR has, decimal fractions (tag 4) as the decimal
//! text a total is, floats as the shortest decimal that is the same float. Byte strings become text
//! as RFC 8949 section 6.1 has it: base64url unless a tag asks for base64 or base16.

use super::BodyError;

/// Deepest nesting.
const DEPTH_MAX: usize = 16;

/// Digits that a decimal fraction may be written out to.
const EXPONENT_MAX: i64 = 30;

/// How byte strings are written.
#[derive(Clone, Copy)]
enum BytesAs {
    Base64Url,
    Base64,
    Base16,
}

/// Why something is not taken as CBOR.
type Wrong = &'static str;

const CUT: Wrong = "it breaks off";
const DEEP: Wrong = "it is nested deeper than 16 levels";

/// An item's first byte and what follows it at once.
struct Head {
    major: u8,
    /// None: of indefinite length.
    argument: Option<u64>,
    /// The low five bits.
    info: u8,
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Result<u8, Wrong> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, len: u64) -> Result<&'b [u8], Wrong> {
        let len = usize::try_from(len).map_err(|_| CUT)?;
        let end = self.at.checked_add(len).ok_or(CUT)?;
        let bytes = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, len: u64) -> Result<u64, Wrong> {
        Ok(self
            .take(len)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head, Wrong> {
        let first = self.byte()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => Some(self.number(1 << (info - 24))?),
            31 if matches!(major, 2..=5 | 7) => None,
            _ => return Err("it has a length that CBOR does not know"),
        };
        Ok(Head {
            major,
            argument,
            info,
        })
    }

    fn is_break(&self) -> bool {
        self.bytes.get(self.at) == Some(&0xff)
    }

    /// Passes over the end of something of indefinite length, if that is what comes.
    fn passes_break(&mut self) -> bool {
        let is_break = self.is_break();
        self.at += usize::from(is_break);
        is_break
    }

    /// Text or bytes, in one piece or several.
    fn string(&mut self, head: &Head) -> Result<Vec<u8>, Wrong> {
        let Some(len) = head.argument else {
            let mut whole = Vec::new();
            while !self.passes_break() {
                let piece = self.head()?;
                let len = piece.argument.filter(|_| piece.major == head.major);
                whole.extend_from_slice(self.take(len.ok_or("a piece of a string is none")?)?);
            }
            return Ok(whole);
        };
        Ok(self.take(len)?.to_vec())
    }

    /// Calls for each of the elements of an array, or each of the pairs of a map.
    fn each(
        &mut self,
        argument: Option<u64>,
        mut one: impl FnMut(&mut Self, u64) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let mut index = 0;
        loop {
            let is_end = match argument {
                Some(len) => index >= len,
                None => self.passes_break(),
            };
            if is_end {
                return Ok(());
            }
            one(self, index)?;
            index += 1;
        }
    }

    fn value(&mut self, out: &mut String, how: BytesAs, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH_MAX {
            return Err(DEEP);
        }
        let head = self.head()?;
        match (head.major, head.argument) {
            (0, Some(number)) => out.push_str(&number.to_string()),
            (1, Some(number)) => out.push_str(&(-1 - i128::from(number)).to_string()),
            (2, _) => {
                let bytes = self.string(&head)?;
                quote(out, &as_text(&bytes, how));
            }
            (3, _) => {
                let text =
                    String::from_utf8(self.string(&head)?).map_err(|_| "a text is no UTF-8")?;
                quote(out, &text);
            }
            (4, len) => {
                out.push('[');
                self.each(len, |reader, index| {
                    if index > 0 {
                        out.push(',');
                    }
                    reader.value(out, how, depth + 1)
                })?;
                out.push(']');
            }
            (5, len) => {
                out.push('{');
                self.each(len, |reader, index| {
                    if index > 0 {
                        out.push(',');
                    }
                    reader.key(out)?;
                    out.push(':');
                    reader.value(out, how, depth + 1)
                })?;
                out.push('}');
            }
            (6, Some(tag)) => self.tagged(tag, out, how, depth)?,
            (7, argument) => simple(out, head.info, argument)?,
            _ => return Err("it has an item that CBOR does not know"),
        }
        Ok(())
    }

    fn key(&mut self, out: &mut String) -> Result<(), Wrong> {
        let head = self.head()?;
        match (head.major, head.argument) {
            (3, _) => {
                let text =
                    String::from_utf8(self.string(&head)?).map_err(|_| "a key is no UTF-8")?;
                quote(out, &text);
            }
            (0, Some(number)) => quote(out, &number.to_string()),
            (1, Some(number)) => quote(out, &(-1 - i128::from(number)).to_string()),
            _ => return Err("a key of a map is neither text nor a whole number"),
        }
        Ok(())
    }

    fn tagged(
        &mut self,
        tag: u64,
        out: &mut String,
        how: BytesAs,
        depth: usize,
    ) -> Result<(), Wrong> {
        match tag {
            4 => self.decimal(out),
            21 => self.value(out, BytesAs::Base64Url, depth + 1),
            22 => self.value(out, BytesAs::Base64, depth + 1),
            23 => self.value(out, BytesAs::Base16, depth + 1),
            // Numbers of other bases and of any size would have to be rounded.
            2 | 3 | 5 => Err("it has a number that is no decimal fraction and no 64 bit integer"),
            // A time, a marker of the format itself: what it is a tag of says enough.
            _ => self.value(out, how, depth + 1),
        }
    }

    /// `[exponent, mantissa]`, written out as text: totals are exact decimals.
    fn decimal(&mut self, out: &mut String) -> Result<(), Wrong> {
        const WRONG: Wrong = "a decimal fraction is not two whole numbers";
        let head = self.head()?;
        if head.major != 4 || head.argument != Some(2) {
            return Err(WRONG);
        }
        let exponent = self.integer()?.ok_or(WRONG)?;
        let mantissa = self.integer()?.ok_or(WRONG)?;
        let exponent = i64::try_from(exponent)
            .ok()
            .filter(|e| e.abs() <= EXPONENT_MAX)
            .ok_or("a decimal fraction has an exponent beyond 30")?;
        let digits = mantissa.unsigned_abs().to_string();
        let mut text = String::new();
        if mantissa < 0 {
            text.push('-');
        }
        let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
        if exponent >= 0 {
            text.push_str(&digits);
            if mantissa != 0 {
                text.push_str(&"0".repeat(places));
            }
        } else {
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, part) = padded.split_at(padded.len() - places);
            text.push_str(whole);
            text.push('.');
            text.push_str(part);
        }
        quote(out, &text);
        Ok(())
    }

    fn integer(&mut self) -> Result<Option<i128>, Wrong> {
        let head = self.head()?;
        Ok(match (head.major, head.argument) {
            (0, Some(number)) => Some(i128::from(number)),
            (1, Some(number)) => Some(-1 - i128::from(number)),
            _ => None,
        })
    }
}

fn simple(out: &mut String, info: u8, argument: Option<u64>) -> Result<(), Wrong> {
    let number = match (info, argument) {
        (20, _) => return push(out, "false"),
        (21, _) => return push(out, "true"),
        // Undefined is as unknown as null.
        (22 | 23, _) => return push(out, "null"),
        (25, Some(bits)) => half(u16::try_from(bits).unwrap_or(0)),
        (26, Some(bits)) => {
            let number = f32::from_bits(u32::try_from(bits).unwrap_or(0));
            // The shortest decimal of the f32, not the long one of its f64.
            if number.is_finite() {
                return push(out, &decimal_of(&number.to_string()));
            }
            f64::from(number)
        }
        (27, Some(bits)) => f64::from_bits(bits),
        _ => return Err("it has a simple value other than true, false and null"),
    };
    if !number.is_finite() {
        return Err("it has a number that is infinite or none");
    }
    push(out, &decimal_of(&number.to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "reads as what its caller returns")]
fn push(out: &mut String, text: &str) -> Result<(), Wrong> {
    out.push_str(text);
    Ok(())
}

/// A float's own text; one that is whole still reads as a float.
fn decimal_of(text: &str) -> String {
    if text.contains('.') {
        text.to_owned()
    } else {
        format!("{text}.0")
    }
}

/// A float of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (bits >> 10 & 0x1f, f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

fn as_text(bytes: &[u8], how: BytesAs) -> String {
    match how {
        BytesAs::Base16 => hex::encode_upper(bytes),
        BytesAs::Base64 => openssl::base64::encode_block(bytes),
        BytesAs::Base64Url => openssl::base64::encode_block(bytes)
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_"),
    }
}

fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// The items of a body as JSON texts: those of one array, or the items of a sequence.
///
/// # Errors
/// `Syntax` with the byte at which it went wrong; `TooMany`.
pub(super) fn to_json(bytes: &[u8], max: usize) -> Result<Vec<String>, BodyError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut items = Vec::new();
    match all(&mut reader, max, &mut items) {
        Ok(true) => Ok(items),
        Ok(false) => Err(BodyError::TooMany { max }),
        Err(reason) => Err(BodyError::Syntax {
            kind: "CBOR",
            reason: format!("{reason}, at byte {}", reader.at),
        }),
    }
}

/// Whether there were no more than `max`.
fn all(reader: &mut Reader<'_>, max: usize, items: &mut Vec<String>) -> Result<bool, Wrong> {
    let one = |reader: &mut Reader<'_>| {
        let mut text = String::new();
        reader.value(&mut text, BytesAs::Base64Url, 1)?;
        Ok::<_, Wrong>(text)
    };
    // The marker that a body is CBOR (tag 55799) may stand in front.
    if reader.bytes.starts_with(&[0xd9, 0xd9, 0xf7]) {
        reader.at = 3;
    }
    if reader.bytes.get(reader.at).is_some_and(|b| b >> 5 == 4) {
        let len = reader.head()?.argument;
        if len.is_some_and(|len| len > max as u64) {
            return Ok(false);
        }
        let mut is_within = true;
        reader
            .each(len, |reader, index| {
                is_within &= index < max as u64;
                if is_within {
                    items.push(one(reader)?);
                    Ok(())
                } else {
                    Err("it has too many items")
                }
            })
            .or_else(|wrong| if is_within { Err(wrong) } else { Ok(()) })?;
        if !is_within {
            return Ok(false);
        }
        return if reader.at == reader.bytes.len() {
            Ok(true)
        } else {
            Err("something follows its end")
        };
    }
    while reader.at < reader.bytes.len() {
        if items.len() >= max {
            return Ok(false);
        }
        items.push(one(reader)?);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(hex_text: &str) -> Result<Vec<String>, BodyError> {
        to_json(&hex::decode(hex_text.replace(' ', "")).unwrap(), 100)
    }

    /// Examples of RFC 8949, appendix A, as far as JSON can say them.
    #[test]
    fn the_examples_of_the_standard() {
        for (cbor, expected) in [
            ("00", "0"),
            ("1818", "24"),
            ("1a000f4240", "1000000"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("3bffffffffffffffff", "-18446744073709551616"),
            ("3903e7", "-1000"),
            ("f90000", "0.0"),
            ("f98000", "-0.0"),
            ("f93e00", "1.5"),
            ("f97bff", "65504.0"),
            ("f90001", "0.00000005960464477539063"),
            ("f90400", "0.00006103515625"),
            ("f9c400", "-4.0"),
            ("fa47c35000", "100000.0"),
            ("fb3ff199999999999a", "1.1"),
            ("fbc010666666666666", "-4.1"),
            ("f4", "false"),
            ("f5", "true"),
            ("f6", "null"),
            ("f7", "null"),
            (
                "c074323031332d30332d32315432303a30343a30305a",
                r#""2013-03-21T20:04:00Z""#,
            ),
            ("c11a514b67b0", "1363896240"),
            ("d74401020304", r#""01020304""#),
            ("4401020304", r#""AQIDBA""#),
            ("60", r#""""#),
            ("62225c", r#""\"\\""#),
            ("64f0908591", "\"\u{10151}\""),
            ("a201020304", r#"{"1":2,"3":4}"#),
            ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
            ("7f657374726561646d696e67ff", r#""streaming""#),
            ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
            ("5f42010243030405ff", r#""AQIDBAU""#),
            ("d9d9f701", "1"),
        ] {
            assert_eq!(json(cbor).unwrap(), [expected], "{cbor}");
        }
        assert_eq!(
            json("8301 8202 03 820405").unwrap(),
            ["1", "[2,3]", "[4,5]"]
        );
        assert_eq!(
            json("9f018202039f0405ffff").unwrap(),
            ["1", "[2,3]", "[4,5]"]
        );
        // A sequence (RFC 8742).
        assert_eq!(
            json("a16161f6 a16161f5").unwrap(),
            [r#"{"a":null}"#, r#"{"a":true}"#]
        );
    }

    #[test]
    fn decimal_fractions_are_exact_text() {
        for (cbor, expected) in [
            ("c48221196ab3", "273.15"),
            ("c4822119ff9c", "654.36"),
            ("c4822201", "0.001"),
            ("c4820305", "5000"),
            ("c4820300", "0"),
            ("c4822129", "-0.10"),
            ("c482231b0000000859a9615c", "3586401.1100"),
        ] {
            assert_eq!(json(cbor).unwrap(), [format!("\"{expected}\"")], "{cbor}");
        }
    }

    #[test]
    fn what_json_cannot_say_exactly_is_refused() {
        for cbor in [
            "c249010000000000000000",
            "c5822003",
            "f97c00",
            "f97e00",
            "fb7ff0000000000000",
            "f0",
            "f8ff",
            "a1f501",
            "a18001",
            "61ff",
            "c48201",
            "c4821a7fffffff01",
        ] {
            assert!(json(cbor).is_err(), "{cbor}");
        }
    }

    #[test]
    fn lengths_that_lie_cost_nothing() {
        for cbor in [
            "9bffffffffffffffff",
            "bbffffffffffffffff",
            "5bffffffffffffffff00",
            "7affffffff",
            "9f",
            "bf61",
            "ff",
            "1c",
            "3f",
            "8101 01",
            "",
        ] {
            let parsed = json(cbor);
            assert!(parsed.is_err() || parsed.unwrap().is_empty(), "{cbor}");
        }
        let deep = [vec![0x81; 100_000], vec![0x01]].concat();
        assert!(
            to_json(&deep, 10)
                .unwrap_err()
                .to_string()
                .contains("16 levels")
        );
        let tags = [vec![0xc6; 100_000], vec![0x01]].concat();
        assert!(to_json(&tags, 10).is_err());
        assert_eq!(
            to_json(&[0x84, 1, 2, 3, 4], 3),
            Err(BodyError::TooMany { max: 3 })
        );
        assert_eq!(
            to_json(&[1, 2, 3, 4], 3),
            Err(BodyError::TooMany { max: 3 })
        );
        assert_eq!(
            to_json(&[0x9f, 1, 2, 3, 4, 0xff], 3),
            Err(BodyError::TooMany { max: 3 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_and_what_is_taken_is_json(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            for text in to_json(&bytes, 50).into_iter().flatten() {
                let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&text);
                prop_assert!(parsed.is_ok(), "{text}");
            }
        }
    }
}
