//! From the tables of a profile to the codec `layout`: every place is held against the frame's size
//! and against every other.

use std::ops::Range;

use chrono::{DateTime, TimeDelta};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::array::{Array, Base, Count, Edge};
use super::check::{self, Check, CheckKind};
use super::claims::{Claims, Sharing, may_cut};
use super::place::{Anchor, Kind, NUMBER_MAX, Order, Part, Place};
use super::raw::{
    NameKind, Of, RawAlarm, RawBackfill, RawCheck, RawDevice, RawField, RawLayout, RawMessage,
    RawPart, RawTime, RawWhen,
};
use super::time::{Form, LayoutTime, Piece, count_kind, count_part};
use super::{Condition, DeviceName, LayoutAlarm, LayoutCodec, LayoutField, Message};
use crate::decode::code::problem;
use crate::decode::field::{
    AlarmBits, Described, Field, check_decimals, check_name, in_item_order,
};
use crate::decode::file::FileReader;
use crate::decode::message::{BACKFILL_MAX, STEP_MAX_S, offset};
use crate::domain::calendar::beijing;
use crate::domain::reading::Item;

/// Largest frame a layout may have.
const SIZE_MAX: usize = 4_096;

/// Longest name of a device, bytes.
const NAME_MAX: usize = 32;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Reads `[layout]` and `[[message]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<LayoutCodec> {
    let layout: RawLayout = match table.remove("layout") {
        Some(value) => reader.read(value)?,
        None => RawLayout::default(),
    };
    let mut messages = Vec::new();
    let mut catch_all: Option<String> = None;
    for value in reader.tables(table, "message") {
        let span = value.span();
        let Some((name, message)) = message(reader, &layout, value) else {
            continue;
        };
        if let Some(other) = &catch_all {
            reader.problem(
                Some(span),
                problem::VALUE,
                format!("message `{name}` is never reached: `{other}` before it takes every frame"),
                format!("give `{other}` a when, or put it last"),
            );
        }
        if message.when.is_empty() {
            catch_all = Some(name);
        }
        messages.push(message);
    }
    if messages.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "codec layout has no message",
            "add [[message]] with name, size and fields",
        );
    }
    Some(LayoutCodec { messages })
}

fn message<'t>(
    reader: &mut FileReader<'t>,
    layout: &RawLayout,
    value: Spanned<DeValue<'t>>,
) -> Option<(String, Message)> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        reader.problem(
            Some(span),
            problem::VALUE,
            "`message` is no table",
            "write [[message]]",
        );
        return None;
    };
    let raw_fields = reader.all::<RawField>(&mut table, "field");
    let raw_arrays = reader.all::<RawBackfill>(&mut table, "backfill");
    let raw_alarms = reader.all::<RawAlarm>(&mut table, "alarm");
    let raw_checks = reader.all::<Spanned<RawCheck>>(&mut table, "check");
    let raw = reader.read::<RawMessage>(Spanned::new(span.clone(), DeValue::Table(table)))?;
    let name = raw.name.get_ref().clone();
    let (size, size_max) = sizes(reader, layout, &raw)?;

    let arrays: Vec<(Range<usize>, Array)> = raw_arrays
        .into_iter()
        .filter_map(|(_, array)| {
            let span = array.name.span();
            backfill(reader, layout.order, &raw, array).map(|a| (span, a))
        })
        .collect();
    let told_from = told_from(reader, &arrays);
    let mut claims = Claims::new(size, told_from);

    let time = optional_time(reader, layout.order, "time", raw.time.as_ref());
    let clock = optional_time(reader, layout.order, "clock", raw.clock.as_ref());
    for (what, written, time) in [("time", &raw.time, &time), ("clock", &raw.clock, &clock)] {
        if let (Some(written), Some(place)) = (written, time.as_ref().and_then(LayoutTime::place)) {
            claims.place(reader, &written.span(), what, place, Sharing::Shared);
        }
    }
    let device = layout
        .device
        .as_ref()
        .and_then(|written| device(reader, layout.order, &mut claims, written));
    for (span, array) in &arrays {
        claim_array(reader, &mut claims, span, array, told_from);
    }
    let checks = layout
        .check
        .iter()
        .chain(raw_checks.iter().map(|(_, check)| check))
        .filter_map(|written| check(reader, layout.order, &mut claims, written))
        .collect();
    let checked = raw_fields
        .into_iter()
        .filter_map(|(_, raw)| {
            let span = raw.name.span();
            field(reader, layout.order, &mut claims, &raw).map(|f| (span, f))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &LayoutField| f.field.item);
    let alarms = raw_alarms
        .into_iter()
        .filter_map(|(span, raw)| alarm(reader, layout.order, &mut claims, &span, &raw))
        .collect();
    let when = raw
        .when
        .iter()
        .filter_map(|written| condition(reader, written))
        .collect();
    if fields.is_empty() && arrays.is_empty() && reader.is_clean() {
        reader.problem(
            Some(raw.name.span()),
            problem::VALUE,
            format!("message `{name}` has neither field nor backfill"),
            "add [[message.field]] or [[message.backfill]]",
        );
    }
    let message = Message {
        when,
        size,
        size_max,
        checks,
        device,
        time,
        clock,
        fields,
        alarms,
        arrays: arrays.into_iter().map(|(_, array)| array).collect(),
    };
    Some((name, message))
}

fn sizes(
    reader: &mut FileReader<'_>,
    layout: &RawLayout,
    raw: &RawMessage,
) -> Option<(usize, usize)> {
    let name = raw.name.get_ref();
    let Some(size) = raw.size.as_ref().or(layout.size.as_ref()) else {
        reader.problem(
            Some(raw.name.span()),
            problem::LAYOUT,
            format!("message `{name}` does not say how many bytes it has"),
            "add size; without the elements of an array whose length the frame tells",
        );
        return None;
    };
    let most = raw.size_max.as_ref().or(layout.size_max.as_ref());
    let (bytes, bytes_max) = (
        *size.get_ref(),
        most.map_or(*size.get_ref(), |m| *m.get_ref()),
    );
    if !(1..=SIZE_MAX).contains(&bytes) || !(bytes..=SIZE_MAX).contains(&bytes_max) {
        reader.problem(
            Some(most.map_or_else(|| size.span(), Spanned::span)),
            problem::LAYOUT,
            format!("message `{name}` has {bytes} to {bytes_max} bytes"),
            format!("write 1 to {SIZE_MAX}, and a size_max that is not smaller than size"),
        );
        return None;
    }
    Some((bytes, bytes_max))
}

fn anchor(reader: &mut FileReader<'_>, span: &Range<usize>, what: &str, at: i64) -> Option<Anchor> {
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
struct Written {
    at: i64,
    kind: Kind,
    bytes: Option<usize>,
    order: Order,
}

fn part(
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

fn counted_part(
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
fn foreign(reader: &mut FileReader<'_>, what: &str, raw: &Spanned<RawPart>, known: &[&str]) {
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

fn patterns(reader: &mut FileReader<'_>, texts: &[Spanned<String>], size: usize) -> Vec<Vec<u8>> {
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

fn unhex(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.split_whitespace().collect();
    hex::decode(packed).ok()
}

fn field(
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
fn bits(
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
fn minus(reader: &mut FileReader<'_>, what: &str, raw: &RawField) -> Option<Option<u8>> {
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
fn fraction(
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
fn high(
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

fn alarm(
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

fn device(
    reader: &mut FileReader<'_>,
    order: Order,
    claims: &mut Claims,
    written: &Spanned<RawDevice>,
) -> Option<DeviceName> {
    let raw = written.get_ref();
    let span = written.span();
    let at = anchor(reader, &span, "device", raw.at)?;
    let order = raw.order.unwrap_or(match raw.kind {
        // Text is read as it stands, whatever the order of numbers.
        NameKind::Ascii => Order::Abcd,
        NameKind::Bcd | NameKind::Hex => order,
    });
    if !(1..=NAME_MAX).contains(&raw.bytes) || (order.needs_words() && !raw.bytes.is_multiple_of(2))
    {
        reader.problem(
            Some(span),
            problem::LAYOUT,
            format!("device has {} bytes", raw.bytes),
            format!("write 1 to {NAME_MAX}, an even number where the order swaps words"),
        );
        return None;
    }
    let place = Place {
        at,
        size: raw.bytes,
    };
    claims.place(reader, &span, "device", place, Sharing::Shared);
    Some(DeviceName {
        place,
        kind: raw.kind,
        order,
        trim_zeros: raw.trim_zeros,
    })
}

fn check(
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
fn range(reader: &mut FileReader<'_>, span: &Range<usize>, raw: &RawCheck) -> Option<check::Range> {
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

fn condition(reader: &mut FileReader<'_>, written: &Spanned<RawWhen>) -> Option<Condition> {
    let raw = written.get_ref();
    let span = written.span();
    match (raw.at, &raw.bytes, raw.port) {
        (None, None, Some(port)) => Some(Condition::Port(port)),
        (Some(at), Some(text), None) => {
            let at = anchor(reader, &span, "when", at)?;
            if let Some(bytes) = unhex(text).filter(|bytes| !bytes.is_empty()) {
                return Some(Condition::Bytes {
                    place: Place {
                        at,
                        size: bytes.len(),
                    },
                    bytes,
                });
            }
            reader.problem(
                Some(span),
                problem::LAYOUT,
                format!("`{text}` is no bytes"),
                "write them in hexadecimal, as they are sent",
            );
            None
        }
        _ => {
            reader.problem(
                Some(span),
                problem::LAYOUT,
                "when is neither bytes at a place nor a port",
                "write { at = 0, bytes = \"0F\" } or { port = 2 }",
            );
            None
        }
    }
}

fn optional_time(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    written: Option<&Spanned<RawTime>>,
) -> Option<LayoutTime> {
    let written = written?;
    if let Some(of) = written.get_ref().of {
        reader.problem(
            Some(written.span()),
            problem::LAYOUT,
            format!("{what} is counted from {}", of.name()),
            "say where in the frame it is: at and format",
        );
        return None;
    }
    time(reader, order, what, written)
}

impl Of {
    const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Clock => "clock",
        }
    }
}

fn time(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    written: &Spanned<RawTime>,
) -> Option<LayoutTime> {
    let raw = written.get_ref();
    let span = written.span();
    let Some(plus) = TimeDelta::try_seconds(raw.plus_s).filter(|d| d.num_days().abs() <= 400)
    else {
        reader.problem(
            Some(span),
            problem::FIELD,
            format!("{what} has a plus_s of more than 400 days"),
            "write the seconds between the stamp and the value",
        );
        return None;
    };
    if raw.floor_s.is_some_and(|s| s < 1 || DAY_S % s != 0) {
        reader.problem(
            Some(span),
            problem::FIELD,
            format!("{what} has a floor_s that is no part of a day"),
            "write 3600 for whole hours, 86400 for whole days",
        );
        return None;
    }
    let offset = match &raw.utc_offset {
        Some(text) => offset(reader, text)?,
        None => beijing(),
    };
    let form = form(reader, order, what, written)?;
    Some(LayoutTime {
        form,
        offset,
        floor_s: raw.floor_s,
        plus,
    })
}

fn form(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    written: &Spanned<RawTime>,
) -> Option<Form> {
    let raw = written.get_ref();
    let span = written.span();
    if let (Some(of), None, None) = (raw.of, raw.at, &raw.format) {
        return Some(Form::Of(of));
    }
    let (None, Some(at), Some(format)) = (raw.of, raw.at, &raw.format) else {
        reader.problem(
            Some(span),
            problem::FIELD,
            format!("{what} does not say where it is"),
            "write at and format; for the time of an array also of = \"time\" or \"clock\"",
        );
        return None;
    };
    let at = anchor(reader, &span, what, at)?;
    let text = format.get_ref().as_str();
    let unit = match text {
        "unix_s" | "seconds_since" => Some(TimeDelta::seconds(1)),
        "unix_ms" => Some(TimeDelta::milliseconds(1)),
        "minutes_since" => Some(TimeDelta::minutes(1)),
        _ => None,
    };
    let has_epoch = matches!(text, "seconds_since" | "minutes_since");
    if has_epoch != raw.epoch.is_some() {
        reader.problem(
            Some(format.span()),
            problem::FIELD,
            format!("{what} and its epoch do not go together"),
            "seconds_since and minutes_since need epoch = \"2000-01-01T00:00:00+08:00\"; others have none",
        );
        return None;
    }
    if let Some(unit) = unit {
        let epoch = match &raw.epoch {
            Some(text) => epoch(reader, text)?,
            None => DateTime::UNIX_EPOCH,
        };
        let kind = count_kind(raw.kind, text == "unix_ms");
        let size = kind.size().filter(|_| kind.is_unsigned());
        let Some(size) = size else {
            reader.problem(
                Some(format.span()),
                problem::FIELD,
                format!("{what} is of a type that does not count from zero up"),
                "write type = \"u32\" or another unsigned one",
            );
            return None;
        };
        let order = raw.order.unwrap_or(order);
        return Some(Form::Count {
            part: count_part(Place { at, size }, kind, order),
            epoch,
            unit,
        });
    }
    let is_bcd = match raw.kind {
        None | Some(Kind::Bcd) => true,
        Some(Kind::U8) => false,
        Some(_) => {
            reader.problem(
                Some(format.span()),
                problem::FIELD,
                format!("{what} is of a type no wall clock has"),
                "write type = \"bcd\" or \"u8\": one byte for each part",
            );
            return None;
        }
    };
    let Some(pieces) = Piece::parse(text) else {
        reader.problem(
            Some(format.span()),
            problem::FIELD,
            format!("`{text}` is no format of a time"),
            "write two letters for each byte, CC YY MM DD hh mm ss or --, for example \"YYMMDDhhmmss\"; \
             or unix_s, unix_ms, seconds_since, minutes_since",
        );
        return None;
    };
    Some(Form::Civil {
        place: Place {
            at,
            size: pieces.len(),
        },
        pieces,
        is_bcd,
    })
}

fn epoch(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<DateTime<chrono::Utc>> {
    let epoch = DateTime::parse_from_rfc3339(text.get_ref()).ok();
    if epoch.is_none() {
        reader.problem(
            Some(text.span()),
            problem::FIELD,
            format!("`{}` is no time with an offset", text.get_ref()),
            "write for example 2000-01-01T00:00:00+08:00",
        );
    }
    epoch.map(|at| at.to_utc())
}

fn backfill(
    reader: &mut FileReader<'_>,
    order: Order,
    message: &RawMessage,
    raw: RawBackfill,
) -> Option<Array> {
    let name = raw.name.get_ref().clone();
    let what = format!("backfill `{name}`");
    let span = raw.name.span();
    let item = check_name(reader, &raw.name, raw.unit.as_ref());
    if let Some(item) = item {
        check_array_item(reader, &what, &raw, item);
    }
    let written = Written {
        at: raw.at,
        kind: raw.kind,
        bytes: raw.bytes,
        order: raw.order.unwrap_or(order),
    };
    if !raw.kind.is_count() {
        reader.problem(
            Some(span.clone()),
            problem::FIELD,
            format!("{what} is of a type that does not count from zero up"),
            "write an unsigned type or bcd, and decimals",
        );
        return None;
    }
    let element = part(reader, &span, &what, &written)?;
    let may_have = raw.decimals.is_none() && raw.base.is_none();
    let fraction = fraction(reader, order, &what, raw.fraction.as_ref(), may_have)?;
    let count = count(reader, order, &what, &raw)?;
    let own_size = element.place.size + fraction.map_or(0, |(part, _)| part.place.size);
    let stride = raw.stride.as_ref().map_or(own_size, |s| *s.get_ref());
    if !(own_size..=SIZE_MAX).contains(&stride) {
        reader.problem(
            Some(
                raw.stride
                    .as_ref()
                    .map_or_else(|| span.clone(), Spanned::span),
            ),
            problem::LAYOUT,
            format!("{what} has a stride of {stride} bytes"),
            format!("write the bytes from one total to the next, at least {own_size}"),
        );
        return None;
    }
    if !(1..=STEP_MAX_S).contains(raw.step_s.get_ref()) {
        reader.problem(
            Some(raw.step_s.span()),
            problem::FIELD,
            format!("{what} has a step of {} s", raw.step_s.get_ref()),
            "write the seconds between totals, 3600 for hours, at most 31 days",
        );
    }
    let edge = edge(reader, order, &what, message, &raw)?;
    let base = match &raw.base {
        Some(written) => Some(base(reader, order, &what, &raw, written)?),
        None => None,
    };
    Some(Array {
        item: item?,
        none: patterns(reader, &raw.none, element.place.size),
        element,
        decimals: raw.decimals.as_ref().map_or(0, |d| *d.get_ref()),
        fraction,
        count,
        stride,
        step_s: raw.step_s.into_inner(),
        newest_first: raw.newest_first,
        edge,
        base,
    })
}

fn check_array_item(reader: &mut FileReader<'_>, what: &str, raw: &RawBackfill, item: Item) {
    if !item.is_exact() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("{what} is telemetry"),
            "only totals are frozen: total_std or total_work",
        );
    }
    check_decimals(reader, raw.name.get_ref(), raw.decimals.as_ref(), item);
    if let (Some(decimals), Some(_)) = (&raw.decimals, &raw.base)
        && *decimals.get_ref() > 4
    {
        reader.problem(
            Some(decimals.span()),
            problem::FIELD,
            format!(
                "{what} adds up increments of more than four decimals, which are cut one by one"
            ),
            "a total is kept to four decimals; read totals instead of increments",
        );
    }
}

fn count(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    raw: &RawBackfill,
) -> Option<Count> {
    let (most, told) = match (&raw.count, &raw.count_at, &raw.count_max) {
        (Some(count), None, None) => (count, None),
        (None, Some(told), Some(most)) => (most, Some(told)),
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("{what} does not say how many totals it has"),
                "write count where there are always as many, else count_at, where the frame tells it, and count_max",
            );
            return None;
        }
    };
    if !(1..=BACKFILL_MAX).contains(most.get_ref()) {
        reader.problem(
            Some(most.span()),
            problem::FIELD,
            format!("{what} has a count of {}", most.get_ref()),
            format!("write 1 to {BACKFILL_MAX}"),
        );
        return None;
    }
    let most = *most.get_ref();
    Some(match told {
        None => Count::Fixed(most),
        Some(written) => {
            let label = format!("the count of {what}");
            foreign(reader, &label, written, &[]);
            Count::Told {
                part: counted_part(reader, order, &label, written)?,
                most,
            }
        }
    })
}

fn edge(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    message: &RawMessage,
    raw: &RawBackfill,
) -> Option<Edge> {
    let (label, written) = match (&raw.first, &raw.last) {
        (Some(first), None) => (format!("first of {what}"), first),
        (None, Some(last)) => (format!("last of {what}"), last),
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("{what} does not say of which instant it is"),
                "write first, the time of the oldest total, or last, that of the newest",
            );
            return None;
        }
    };
    if written.get_ref().of == Some(Of::Clock) && message.clock.is_none() {
        reader.problem(
            Some(written.span()),
            problem::LAYOUT,
            format!("{label} is counted from a clock the message does not have"),
            "add clock to the message, or write of = \"time\"",
        );
        return None;
    }
    if written.get_ref().of == Some(Of::Time) && message.time.is_none() {
        reader.problem(
            Some(written.span()),
            problem::LAYOUT,
            format!("{label} is counted from a time the message does not have; the time of arrival is none of the meter's"),
            "add time to the message, or say where in the frame the array's time is",
        );
        return None;
    }
    let time = time(reader, order, &label, written)?;
    Some(if raw.first.is_some() {
        Edge::First(time)
    } else {
        Edge::Last(time)
    })
}

fn base(
    reader: &mut FileReader<'_>,
    order: Order,
    what: &str,
    raw: &RawBackfill,
    written: &Spanned<RawPart>,
) -> Option<Base> {
    let label = format!("the base of {what}");
    foreign(reader, &label, written, &["decimals", "is"]);
    let Some(is) = written.get_ref().is else {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("{label} does not say which total it is"),
            "add is = \"before\" (a step before the first) or \"after\" (that of the last)",
        );
        return None;
    };
    let decimals = written
        .get_ref()
        .decimals
        .or(raw.decimals.as_ref().map(|d| *d.get_ref()))
        .unwrap_or(0);
    Some(Base {
        part: counted_part(reader, order, &label, written)?,
        decimals,
        is,
    })
}

/// Where the records begin whose number the frame tells. There is one run of them.
fn told_from(reader: &mut FileReader<'_>, arrays: &[(Range<usize>, Array)]) -> Option<usize> {
    let told: Vec<_> = arrays
        .iter()
        .filter(|(_, a)| matches!(a.count, Count::Told { .. }))
        .collect();
    let (_, first) = told.first()?;
    let start = |array: &Array| match array.element.place.at {
        Anchor::Start(at) => Some(at),
        Anchor::End(_) => None,
    };
    let from = told.iter().filter_map(|(_, a)| start(a)).min();
    // What each record holds, byte by byte.
    let mut taken: Vec<Range<usize>> = Vec::new();
    for (span, array) in &told {
        let places =
            std::iter::once(array.element.place).chain(array.fraction.map(|(part, _)| part.place));
        let mut is_beside = array.count == first.count && array.stride == first.stride;
        for place in places {
            let at = match place.at {
                Anchor::Start(at) => at,
                Anchor::End(_) => usize::MAX,
            };
            let end = at.saturating_add(place.size);
            is_beside = is_beside
                && from.is_some_and(|from| at >= from && end <= from + first.stride)
                && taken
                    .iter()
                    .all(|other| end <= other.start || other.end <= at);
            taken.push(at..end);
        }
        if !is_beside {
            reader.problem(
                Some(span.clone()),
                problem::LAYOUT,
                "arrays whose length the frame tells do not lie side by side in one run of records",
                "give them the same count_at, count_max and stride, and places within the first record counted from the start",
            );
        }
    }
    from
}

fn claim_array(
    reader: &mut FileReader<'_>,
    claims: &mut Claims,
    span: &Range<usize>,
    array: &Array,
    told_from: Option<usize>,
) {
    let (Edge::First(time) | Edge::Last(time)) = &array.edge;
    if let Some(place) = time.place() {
        claims.place(
            reader,
            span,
            "the time of a backfill",
            place,
            Sharing::Shared,
        );
    }
    match array.count {
        Count::Told { part, .. } => {
            claims.place(
                reader,
                span,
                "the count of a backfill",
                part.place,
                Sharing::Shared,
            );
            if told_from.is_some_and(|from| from > claims.size()) {
                reader.problem(
                    Some(span.clone()),
                    problem::LAYOUT,
                    "backfill begins beyond the end of the frame",
                    "correct at or the message's size, which does not count these totals",
                );
            }
        }
        Count::Fixed(count) => {
            let mut places = vec![array.element.place];
            places.extend(array.fraction.map(|(part, _)| part.place));
            for (index, place) in (0..count).flat_map(|i| places.iter().map(move |p| (i, *p))) {
                let shift = index.saturating_mul(array.stride);
                let at = match place.at {
                    Anchor::Start(at) => Some(Anchor::Start(at.saturating_add(shift))),
                    Anchor::End(back) => back
                        .checked_sub(shift)
                        .filter(|back| *back >= place.size)
                        .map(Anchor::End),
                };
                let Some(at) = at else {
                    reader.problem(
                        Some(span.clone()),
                        problem::LAYOUT,
                        format!("backfill of {count} totals runs beyond the end of the frame"),
                        "correct at, count or stride",
                    );
                    return;
                };
                if !claims.place(
                    reader,
                    span,
                    "backfill",
                    Place { at, ..place },
                    Sharing::Alone,
                ) {
                    return;
                }
            }
        }
    }
    // A base may be a field's own place; that it is in the frame is enough.
    if let Some(base) = &array.base {
        claims.within(reader, span, "the base of a backfill", base.part.place);
    }
}
