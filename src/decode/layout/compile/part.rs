//! Where a number is written to be, and whether it can be there.

use std::ops::Range;

use toml::Spanned;

use super::SIZE_MAX;
use crate::decode::code::problem;
use crate::decode::file::FileReader;
use crate::decode::layout::place::{Anchor, Kind, NUMBER_MAX, Order, Part, Place};
use crate::decode::layout::raw::RawPart;

/// Longest name of a device, bytes.
pub(super) const NAME_MAX: usize = 32;

pub(super) fn anchor(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    what: &str,
    at: i64,
) -> Option<Anchor> {
    let limit = i64::try_from(SIZE_MAX).unwrap_or(i64::MAX);
    let anchor = Anchor::new(at).filter(|_| at.abs() <= limit);
    if anchor.is_none() {
        reader.problem(
            Some(span.clone()),
            problem::LAYOUT,
            format!("{what} is at byte {at}"),
            format!("write 0 to {SIZE_MAX}, or -1 for the last byte and so on"),
        );
    }
    anchor
}

/// Where a number is and what it is.
pub(super) struct Written {
    pub(super) at: i64,
    pub(super) kind: Kind,
    pub(super) bytes: Option<usize>,
    pub(super) order: Order,
}

pub(super) fn part(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    what: &str,
    written: &Written,
) -> Option<Part> {
    let at = anchor(reader, span, what, written.at)?;
    let size = match (written.kind.size(), written.bytes) {
        (Some(size), None) => size,
        (Some(size), Some(given)) if size == given => size,
        (None, Some(given)) if (1..=NUMBER_MAX).contains(&given) => given,
        (fixed, _) => {
            reader.problem(
                Some(span.clone()),
                problem::LAYOUT,
                format!("{what} does not say how many bytes it has"),
                match fixed {
                    Some(size) => format!("remove bytes; this type has {size}"),
                    None => format!("add bytes, 1 to {NUMBER_MAX}"),
                },
            );
            return None;
        }
    };
    if written.order.needs_words() && !size.is_multiple_of(2) {
        reader.problem(
            Some(span.clone()),
            problem::LAYOUT,
            format!("{what} has {size} bytes, which are no whole words"),
            "write order = \"ABCD\" (big) or \"DCBA\" (little); CDAB and BADC swap words of two bytes",
        );
        return None;
    }
    Some(Part {
        place: Place { at, size },
        kind: written.kind,
        order: written.order,
        bits: None,
        minus: None,
    })
}

pub(super) fn counted_part(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    raw: &Spanned<RawPart>,
) -> Option<Part> {
    let written = raw.get_ref();
    if !written.kind.is_count() {
        reader.problem(
            Some(raw.span()),
            problem::LAYOUT,
            format!("{what} is of a type that does not count from zero up"),
            "write an unsigned type or bcd",
        );
        return None;
    }
    part(
        reader,
        &raw.span(),
        what,
        &Written {
            at: written.at,
            kind: written.kind,
            bytes: written.bytes,
            order: written.order.unwrap_or(order),
        },
    )
}

/// Tells which keys of a part its use does not have.
pub(super) fn foreign(
    reader: &mut FileReader<'_>,
    what: &str,
    raw: &Spanned<RawPart>,
    known: &[&str],
) {
    let part = raw.get_ref();
    for (key, is_there) in [
        ("decimals", part.decimals.is_some()),
        ("times", part.times.is_some()),
        ("is", part.is.is_some()),
    ] {
        if is_there && !known.contains(&key) {
            reader.problem(
                Some(raw.span()),
                problem::KEY,
                format!("{what} has `{key}`, which it does not know"),
                "remove it",
            );
        }
    }
}

pub(super) fn patterns(
    reader: &mut FileReader<'_>,
    texts: &[Spanned<String>],
    size: usize,
) -> Vec<Vec<u8>> {
    let mut patterns = Vec::new();
    for text in texts {
        match unhex(text.get_ref()) {
            Some(bytes) if bytes.len() == size => patterns.push(bytes),
            _ => reader.problem(
                Some(text.span()),
                problem::FIELD,
                format!("`{}` is not {size} bytes", text.get_ref()),
                format!("write {size} bytes in hexadecimal, as they are sent"),
            ),
        }
    }
    patterns
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.split_whitespace().collect();
    hex::decode(packed).ok()
}
