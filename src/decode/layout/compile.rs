//! From the tables of a profile to the codec `layout`: every place is held against the frame's size
//! and against every other.

mod array;
mod check;
mod field;
mod part;
mod time;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::array::{backfill, claim_array, told_from};
use self::check::check;
use self::field::{alarm, field};
use self::part::{NAME_MAX, anchor, unhex};
use self::time::optional_time;
use crate::decode::code::problem;
use crate::decode::field::in_item_order;
use crate::decode::file::FileReader;
use crate::decode::layout::array::Array;
use crate::decode::layout::claims::{Claims, Sharing};
use crate::decode::layout::place::{Order, Place};
use crate::decode::layout::raw::{
    NameKind, RawAlarm, RawBackfill, RawCheck, RawDevice, RawField, RawLayout, RawMessage, RawWhen,
};
use crate::decode::layout::time::LayoutTime;
use crate::decode::layout::{Condition, DeviceName, LayoutCodec, LayoutField, Message};

/// Largest frame a layout may have.
const SIZE_MAX: usize = 4_096;

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
