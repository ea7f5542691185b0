//! Checksums, lengths and bytes that are always the same.

use std::ops::Range;

use toml::Spanned;

use super::part::{Written, anchor, part, unhex};
use crate::decode::code::problem;
use crate::decode::file::FileReader;
use crate::decode::layout::check::{self, Check, CheckKind};
use crate::decode::layout::claims::{Claims, Sharing};
use crate::decode::layout::place::{Kind, Order, Place};
use crate::decode::layout::raw::RawCheck;

pub(super) fn check(
    reader: &mut FileReader<'_>,
    order: Order,
    claims: &mut Claims,
    written: &Spanned<RawCheck>,
) -> Option<Check> {
    let raw = written.get_ref();
    let span = written.span();
    let is_bytes = raw.kind == CheckKind::Bytes;
    let is_length = raw.kind == CheckKind::Length;
    let is_sum = !is_bytes && !is_length;
    let foreign = [
        ("from", raw.from.is_some() && is_bytes),
        ("to", raw.to.is_some() && is_bytes),
        ("order", raw.order.is_some() && is_bytes),
        ("type", raw.number.is_some() && !is_length),
        ("bytes", raw.bytes.is_some() && !is_bytes),
        ("plus", raw.plus != 0 && !is_length),
    ];
    for (key, _) in foreign.into_iter().filter(|(_, is_there)| *is_there) {
        reader.problem(
            Some(span.clone()),
            problem::KEY,
            format!("check has `{key}`, which this kind does not know"),
            "remove it",
        );
    }
    if is_bytes {
        let bytes = raw
            .bytes
            .as_deref()
            .and_then(unhex)
            .filter(|b| !b.is_empty());
        let Some(bytes) = bytes else {
            reader.problem(
                Some(span),
                problem::LAYOUT,
                "check does not say which bytes must be there",
                "add bytes in hexadecimal, as they are sent",
            );
            return None;
        };
        let place = Place {
            at: anchor(reader, &span, "check", raw.at)?,
            size: bytes.len(),
        };
        claims.place(reader, &span, "check", place, Sharing::Alone);
        return Some(Check::Bytes { place, bytes });
    }
    let range = range(reader, &span, raw)?;
    let kind = match raw.kind.sum_size() {
        Some(1) => Kind::U8,
        Some(_) => Kind::U16,
        None => raw.number.unwrap_or(Kind::U8),
    };
    if is_sum && kind == Kind::U16 && raw.order.is_none() {
        reader.problem(
            Some(span.clone()),
            problem::LAYOUT,
            "check does not say which byte of the checksum is sent first",
            "add order = \"little\" (low byte first, as Modbus does) or \"big\"",
        );
    }
    if !kind.is_count() || kind == Kind::Bcd {
        reader.problem(
            Some(span.clone()),
            problem::LAYOUT,
            "check has a length of a type that does not count from zero up",
            "write type = \"u8\", \"u16\" or another unsigned one",
        );
        return None;
    }
    let part = part(
        reader,
        &span,
        "check",
        &Written {
            at: raw.at,
            kind,
            bytes: None,
            order: raw.order.unwrap_or(order),
        },
    )?;
    claims.part(reader, &span, "check", part);
    Some(if is_length {
        Check::Length {
            part,
            range,
            plus: raw.plus,
        }
    } else {
        Check::Sum {
            kind: raw.kind,
            part,
            range,
        }
    })
}

/// The bytes a check is of: by default all before a checksum, and all of the frame for a length.
pub(super) fn range(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    raw: &RawCheck,
) -> Option<check::Range> {
    let to = match (raw.to, raw.kind) {
        (Some(to), _) => Some(to),
        (None, CheckKind::Length) => None,
        (None, _) => Some(raw.at),
    };
    Some(check::Range {
        from: anchor(reader, span, "check's from", raw.from.unwrap_or(0))?,
        to: match to {
            Some(to) => Some(anchor(reader, span, "check's to", to)?),
            None => None,
        },
    })
}
