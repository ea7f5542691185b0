//! `[[field]]` and `[[alarm]]`: what of the registers is a value.

use std::ops::Range;

use toml::Spanned;

use super::Defaults;
use crate::decode::code::problem;
use crate::decode::field::{AlarmBits, Field, foreign_key};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::decode::registers::number::WORDS_MAX;
use crate::decode::registers::raw::{ByteOrder, RegisterType};
use crate::decode::registers::{
    Bits, Fraction, High, Place, RegisterAlarm, RegisterField, may_be_float,
};

/// Largest exponent of a split total; more digits than any totaliser has.
const EXPONENT_MAX: u8 = 12;

pub(super) fn field(
    reader: &mut FileReader<'_>,
    raw: RawField,
    defaults: &Defaults,
) -> Option<RegisterField> {
    let name = raw.name.get_ref().clone();
    let at = raw.at.as_ref().map(Spanned::span);
    foreign_key(reader, "modbus", &format!("field `{name}`"), "at", at);
    let checked = Field::check(reader, &raw);
    let (Some(register), Some(kind)) = (&raw.register, &raw.kind) else {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` does not say where it is"),
            "add register and type",
        );
        return None;
    };
    let kind = *kind.get_ref();
    let register = defaults.wire(reader, &register.span(), *register.get_ref());
    let count = words(reader, &raw, kind)?;
    let item = checked.as_ref()?.item;
    if !may_be_float(item, kind, raw.inexact) {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` is exact, but f32 counts single m³ only up to 16.7 million"),
            "read BCD or integer registers; map the float to total_std_second; if there is nothing else add inexact = true",
        );
    }
    let order = raw.order.unwrap_or(defaults.order);
    let function = raw
        .function
        .as_ref()
        .map_or(defaults.function, |f| *f.get_ref());
    let fraction = fraction(reader, &raw, kind, item, (order, function), defaults);
    let high = high(reader, &raw, kind, item, (order, function), defaults);
    let bits = bits(reader, &raw, kind, item);
    if let Some(mask) = &raw.mask
        && (kind != RegisterType::U16 || *mask.get_ref() == 0 || item.is_exact())
    {
        reader.problem(
            Some(mask.span()),
            problem::FIELD,
            format!("field `{name}` cannot take this mask"),
            "masks cut bits out of one u16 register for states and telemetry",
        );
    }
    let none = none_patterns(reader, &raw, count);
    Some(RegisterField {
        field: checked?,
        place: Place {
            function,
            start: register,
            count,
            order,
        },
        kind,
        decimals: raw.decimals.map_or(0, Spanned::into_inner),
        fraction,
        high,
        bits,
        mask: raw.mask.map(Spanned::into_inner),
        none,
    })
}

fn words(reader: &mut FileReader<'_>, raw: &RawField, kind: RegisterType) -> Option<u16> {
    let given = raw.words.as_ref().map(|w| *w.get_ref());
    match (kind.words(), given) {
        (Some(words), None) => Some(words),
        (Some(words), Some(given)) if words == given => Some(words),
        (None, Some(given)) if (1..=WORDS_MAX).contains(&given) => Some(given),
        (fixed, _) => {
            reader.problem(
                Some(raw.name.span()),
                problem::REGISTERS,
                format!(
                    "field `{}` does not say how many registers it has",
                    raw.name.get_ref()
                ),
                match fixed {
                    Some(words) => format!("remove words; this type has {words}"),
                    None => format!("add words, 1 to {WORDS_MAX}"),
                },
            );
            None
        }
    }
}

fn fraction(
    reader: &mut FileReader<'_>,
    raw: &RawField,
    kind: RegisterType,
    item: crate::domain::reading::Item,
    (order, function): (ByteOrder, u8),
    defaults: &Defaults,
) -> Option<Fraction> {
    let written = raw.fraction.as_ref()?;
    let fraction = written.get_ref();
    let count = fraction.kind.words();
    let decimals = fraction.decimals.unwrap_or(0);
    let fits = if fraction.kind == RegisterType::F32 {
        fraction.decimals.is_none()
    } else {
        fraction.kind.is_unsigned() && (1..=9).contains(&decimals)
    };
    let good = item.is_exact() && kind.is_unsigned() && raw.decimals.is_none() && fits;
    let (true, Some(count)) = (good, count) else {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("field `{}` has a fraction that cannot be", raw.name.get_ref()),
            "give an exact field of an unsigned type a fraction of type u16, u32 or u64 with 1 to 9 decimals, or of type f32 without, and no decimals of its own",
        );
        return None;
    };
    Some(Fraction {
        place: Place {
            function,
            start: defaults.wire(reader, &written.span(), fraction.register),
            count,
            order: fraction.order.unwrap_or(order),
        },
        kind: fraction.kind,
        decimals,
    })
}

fn high(
    reader: &mut FileReader<'_>,
    raw: &RawField,
    kind: RegisterType,
    item: crate::domain::reading::Item,
    (order, function): (ByteOrder, u8),
    defaults: &Defaults,
) -> Option<High> {
    let written = raw.high.as_ref()?;
    let high = written.get_ref();
    let count = high.kind.words().or(high.words);
    let good = item.is_exact()
        && kind.is_unsigned()
        && high.kind.is_unsigned()
        && (1..=EXPONENT_MAX).contains(&high.exponent)
        && count.is_some_and(|count| (1..=WORDS_MAX).contains(&count))
        && (high.kind == RegisterType::Bcd) == high.words.is_some();
    let (true, Some(count)) = (good, count) else {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("field `{}` has a high part that cannot be", raw.name.get_ref()),
            format!(
                "give an exact field of an unsigned type a high part of an unsigned type (words for bcd only) with an exponent of 1 to {EXPONENT_MAX}: total = high × 10^exponent + low"
            ),
        );
        return None;
    };
    Some(High {
        place: Place {
            function,
            start: defaults.wire(reader, &written.span(), high.register),
            count,
            order: high.order.unwrap_or(order),
        },
        kind: high.kind,
        exponent: high.exponent,
    })
}

fn bits(
    reader: &mut FileReader<'_>,
    raw: &RawField,
    kind: RegisterType,
    item: crate::domain::reading::Item,
) -> Option<Bits> {
    let written = raw.bits.as_ref()?;
    let bits = written.get_ref();
    let width = match kind {
        RegisterType::U16 => 16,
        RegisterType::U32 => 32,
        RegisterType::U64 => 64,
        _ => 0,
    };
    let end = bits.first.checked_add(bits.count);
    if item.is_exact() || bits.count == 0 || raw.mask.is_some() || end.is_none_or(|end| end > width)
    {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("field `{}` cannot take these bits", raw.name.get_ref()),
            "bits = { first = 12, count = 8 } cuts them out of a u16, u32 or u64 for states and telemetry; bit 0 is the least significant",
        );
        return None;
    }
    Some(Bits {
        first: bits.first,
        count: bits.count,
    })
}

fn none_patterns(reader: &mut FileReader<'_>, raw: &RawField, count: u16) -> Vec<Vec<u8>> {
    let size = 2 * usize::from(count);
    let mut patterns = Vec::new();
    for text in &raw.none {
        let packed: String = text.get_ref().split_whitespace().collect();
        match hex::decode(packed) {
            Ok(bytes) if bytes.len() == size => patterns.push(bytes),
            _ => reader.problem(
                Some(text.span()),
                problem::FIELD,
                format!("`{}` is not the bytes of {count} registers", text.get_ref()),
                format!("write {size} bytes in hexadecimal, as they come over the wire"),
            ),
        }
    }
    patterns
}

pub(super) fn alarm(
    reader: &mut FileReader<'_>,
    span: &Range<usize>,
    raw: &RawAlarm,
    defaults: &Defaults,
) -> Option<RegisterAlarm> {
    let kind = raw
        .kind
        .as_ref()
        .map_or(RegisterType::U16, |k| *k.get_ref());
    let width = match kind {
        RegisterType::U16 => 16,
        RegisterType::U32 => 32,
        RegisterType::U64 => 64,
        _ => 0,
    };
    let (Some(register), true) = (
        &raw.register,
        width > 0 && raw.at.is_none() && raw.texts.is_empty(),
    ) else {
        reader.problem(
            Some(span.clone()),
            problem::REGISTERS,
            "alarm does not say which bits of which register",
            "write register, bits, and for wider words type = \"u32\" or \"u64\"",
        );
        return None;
    };
    Some(RegisterAlarm {
        place: Place {
            function: raw
                .function
                .as_ref()
                .map_or(defaults.function, |f| *f.get_ref()),
            start: defaults.wire(reader, &register.span(), *register.get_ref()),
            count: kind.words()?,
            order: raw.order.unwrap_or(defaults.order),
        },
        kind,
        bits: AlarmBits::check(reader, &raw.bits, width),
    })
}
