//! Bytes carried as text: hexadecimal and base64.

use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// The bytes of hexadecimal text; white space does not matter.
pub(super) fn from_hex(text: &[u8]) -> Result<Vec<u8>, RejectReason> {
    let packed: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    hex::decode(packed).map_err(|error| {
        RejectReason::new(
            reject::HEX,
            match error {
                hex::FromHexError::OddLength => "payload is hexadecimal text of odd length",
                _ => "payload is no hexadecimal text",
            },
        )
    })
}

/// The bytes of base64 text (RFC 4648 §4), with or without padding; white space does not matter.
/// Bits beyond the last byte must be zero, so that each content has one text.
pub(super) fn from_base64(text: &[u8]) -> Result<Vec<u8>, RejectReason> {
    decode_base64(text).ok_or_else(|| {
        RejectReason::new(
            reject::BASE64,
            "payload is no base64 text, or its last characters are cut off",
        )
    })
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut held = 0_u32;
    let mut digits = 0_usize;
    let mut padding = 0_usize;
    for character in text.iter().filter(|b| !b.is_ascii_whitespace()) {
        if *character == b'=' {
            padding += 1;
            continue;
        }
        if padding > 0 {
            return None;
        }
        held = held << 6 | u32::from(sextet(*character)?);
        digits += 1;
        if digits.is_multiple_of(4) {
            let [_, a, b, c] = held.to_be_bytes();
            bytes.extend([a, b, c]);
            held = 0;
        }
    }
    // What is left: two characters carry one byte, three carry two.
    let is_whole = padding == 0 || (digits + padding).is_multiple_of(4);
    match (digits % 4, padding) {
        (0, 0) => {}
        (2, 0 | 2) if held.trailing_zeros() >= 4 && is_whole => {
            bytes.push(u8::try_from(held >> 4).ok()?);
        }
        (3, 0 | 1) if held.trailing_zeros() >= 2 && is_whole => {
            let [_, _, a, b] = (held >> 2).to_be_bytes();
            bytes.extend([a, b]);
        }
        _ => return None,
    }
    Some(bytes)
}

const fn sextet(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 §10.
    #[test]
    fn the_published_examples() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
            ("Zm9v\nYmE", "fooba"),
        ] {
            assert_eq!(
                decode_base64(text.as_bytes()).as_deref(),
                Some(bytes.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for bad in [
            "Z", "Zg=", "Zg===", "=", "Zm8==", "Zm9v=", "Zm9v====", "Zh==", "Zm9=", "Zg==Zg==",
            "Zm-_", "Zm9v!",
        ] {
            assert_eq!(decode_base64(bad.as_bytes()), None, "{bad}");
        }
    }

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word =
                chunk.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                text.push(char::from(
                    ALPHABET[(word >> (18 - 6 * place) & 63) as usize],
                ));
            }
            text.push_str(&"=".repeat(3 - chunk.len()));
        }
        text
    }

    proptest! {
        #[test]
        fn base64_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode_base64(text.as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode_base64(text.trim_end_matches('=').as_bytes()), Some(bytes));
        }

        #[test]
        fn one_content_has_one_text(text in "[A-Za-z0-9+/]{0,12}") {
            if let Some(bytes) = decode_base64(text.as_bytes()) {
                let again = encode(&bytes);
                prop_assert_eq!(again.trim_end_matches('='), text);
            }
        }
    }
}
