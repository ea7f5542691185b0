//! Fields and alarms of a message.

use std::ops::Range;

use toml::Spanned;

use super::part::{Written, counted_part, foreign, part, patterns};
use crate::decode::code::problem;
use crate::decode::field::{AlarmBits, Described, Field};
use crate::decode::file::FileReader;
use crate::decode::layout::claims::{Claims, may_cut};
use crate::decode::layout::place::{Kind, Order, Part};
use crate::decode::layout::raw::{RawAlarm, RawField, RawPart};
use crate::decode::layout::{LayoutAlarm, LayoutField};

pub(super) fn field(
    reader: &mut FileReader<'_>,
    order: Order,
    claims: &mut Claims,
    raw: &RawField,
) -> Option<LayoutField> {
    let name = raw.name.get_ref();
    let what = format!("field `{name}`");
    let span = raw.name.span();
    let checked = Field::check(
        reader,
        Described {
            name: &raw.name,
            unit: raw.unit.as_ref(),
            optional: raw.optional,
            decimals: raw.decimals.as_ref(),
            scale: raw.scale.as_ref(),
            offset: raw.offset.as_ref(),
            values: raw.values.as_ref(),
        },
    );
    let written = Written {
        at: raw.at,
        kind: raw.kind,
        bytes: raw.bytes,
        order: raw.order.unwrap_or(order),
    };
    let mut part = part(reader, &span, &what, &written)?;
    part.bits = bits(reader, &what, raw, part)?;
    part.minus = minus(reader, &what, raw)?;
    claims.part(reader, &span, &what, part);
    let checked = checked?;
    if checked.item.is_exact() && raw.kind == Kind::F32 && !raw.inexact {
        reader.problem(
            Some(span.clone()),
            problem::FIELD,
            format!("{what} is exact, but f32 counts single m³ only up to 16.7 million"),
            "read digits or whole numbers; map the float to total_std_second; if there is nothing else add inexact = true",
        );
    }
    let may_have = raw.kind.is_count() && raw.decimals.is_none() && raw.values.is_none();
    let fraction = fraction(reader, order, &what, raw.fraction.as_ref(), may_have);
    if let (Some(Some((part, _))), Some(written)) = (&fraction, &raw.fraction) {
        let label = format!("the fraction of {what}");
        claims.part(reader, &written.span(), &label, *part);
    }
    let high = high(reader, order, claims, &what, raw);
    Some(LayoutField {
        field: checked,
        none: patterns(reader, &raw.none, part.place.size),
        part,
        decimals: raw.decimals.as_ref().map_or(0, |d| *d.get_ref()),
        fraction: fraction?,
        high: high?,
    })
}

#[expect(
    clippy::option_option,
    reason = "a mistake and all bits are two things"
)]
pub(super) fn bits(
    reader: &mut FileReader<'_>,
    what: &str,
    raw: &RawField,
    part: Part,
) -> Option<Option<(u32, u32)>> {
    let all = u32::try_from(8 * part.place.size).unwrap_or(u32::MAX);
    match (raw.bit, raw.width) {
        (None, None) => Some(None),
        (Some(bit), width) if may_cut(raw.kind) => {
            let width = width.unwrap_or(1);
            if width > 0 && bit.checked_add(width).is_some_and(|end| end <= all) {
                return Some(Some((bit, width)));
            }
            reader.problem(
                Some(raw.name.span()),
                problem::LAYOUT,
                format!("{what} takes {width} bits from bit {bit} of {all}"),
                format!("write bits from 0, the least significant, to {}", all - 1),
            );
            None
        }
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::LAYOUT,
                format!("{what} cannot be cut into bits"),
                "write bit (and width) with a binary whole number, u8 to u64 or i8 to i64",
            );
            None
        }
    }
}

#[expect(clippy::option_option, reason = "a mistake and no sign are two things")]
pub(super) fn minus(reader: &mut FileReader<'_>, what: &str, raw: &RawField) -> Option<Option<u8>> {
    let Some(minus) = &raw.minus_nibble else {
        return Some(None);
    };
    if raw.kind == Kind::Bcd && (1..=15).contains(minus.get_ref()) {
        return Some(Some(*minus.get_ref()));
    }
    reader.problem(
        Some(minus.span()),
        problem::LAYOUT,
        format!("{what} has a minus_nibble that cannot be"),
        "write 1 to 15 with type = \"bcd\": the first nibble that stands for minus; 0 is plus",
    );
    None
}

#[expect(
    clippy::option_option,
    reason = "a mistake and no fraction are two things"
)]
pub(super) fn fraction(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    written: Option<&Spanned<RawPart>>,
    may_have: bool,
) -> Option<Option<(Part, i8)>> {
    let Some(written) = written else {
        return Some(None);
    };
    let label = format!("the fraction of {what}");
    foreign(reader, &label, written, &["decimals"]);
    let decimals = written.get_ref().decimals.unwrap_or(0);
    if !may_have || !(1..=9).contains(&decimals) {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("{what} has a fraction that cannot be"),
            "give a whole number that counts from zero a fraction with 1 to 9 decimals, and no decimals of its own",
        );
        return None;
    }
    Some(Some((
        counted_part(reader, order, &label, written)?,
        decimals,
    )))
}

#[expect(
    clippy::option_option,
    reason = "a mistake and no high part are two things"
)]
pub(super) fn high(
    reader: &mut FileReader<'_>,
    order: Order,
    claims: &mut Claims,
    what: &str,
    raw: &RawField,
) -> Option<Option<(Part, i128)>> {
    let Some(written) = &raw.high else {
        return Some(None);
    };
    let label = format!("the high part of {what}");
    foreign(reader, &label, written, &["times"]);
    let times = written.get_ref().times.filter(|times| *times > 1);
    let (Some(times), true) = (times, raw.kind.is_count() && raw.values.is_none()) else {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("{what} has a high part that cannot be"),
            "give a whole number that counts from zero a high part with times, how many of the low part one of it counts",
        );
        return None;
    };
    let part = counted_part(reader, order, &label, written)?;
    claims.part(reader, &written.span(), &label, part);
    Some(Some((part, i128::from(times))))
}

pub(super) fn alarm(
    reader: &mut FileReader<'_>,
    order: Order,
    claims: &mut Claims,
    span: &Range<usize>,
    raw: &RawAlarm,
) -> Option<LayoutAlarm> {
    if !raw.kind.is_unsigned() || raw.bits.is_empty() == raw.codes.is_empty() {
        reader.problem(
            Some(span.clone()),
            problem::FIELD,
            "alarm says neither bits nor codes of an unsigned number, or both",
            "write type = \"u8\" to \"u64\", and bits = { 0 = … } or codes = { 1 = … }",
        );
        return None;
    }
    let written = Written {
        at: raw.at,
        kind: raw.kind,
        bytes: None,
        order: raw.order.unwrap_or(order),
    };
    let part = part(reader, span, "alarm", &written)?;
    let width = u32::try_from(8 * part.place.size).unwrap_or(64);
    let bits = AlarmBits::check(reader, &raw.bits, width);
    let mut codes = Vec::with_capacity(raw.codes.len());
    for (code, alarm) in &raw.codes {
        match code.get_ref().parse::<u64>() {
            Ok(number) => codes.push((i128::from(number), *alarm)),
            Err(_) => reader.problem(
                Some(code.span()),
                problem::FIELD,
                format!("alarm code `{}` is no whole number", code.get_ref()),
                "write the number the device sends",
            ),
        }
    }
    if codes.is_empty() {
        claims.numbered(
            reader,
            span,
            "alarm",
            part,
            bits.0.iter().map(|(bit, _)| *bit),
        );
    } else {
        claims.part(reader, span, "alarm", part);
    }
    Some(LayoutAlarm { part, bits, codes })
}
