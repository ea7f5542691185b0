//! From the tables of a profile to the codec `json`.

use std::ops::Range;

use chrono::TimeDelta;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::Pointer;
use super::{
    Backfill, JsonAlarm, JsonCodec, JsonField, Message, TimeKind, TimeSource, time_of_day,
};
use crate::decode::code::problem;
use crate::decode::field::{
    AlarmBits, Field, check_decimals, check_name, foreign_keys, in_item_order,
};
use crate::decode::file::{
    FileReader, RawAlarm, RawBackfill, RawField, RawJson, RawMessage, RawTime,
};

/// Frozen totals in one array at most; a year of hours would not fit a frame.
const BACKFILL_MAX: usize = 1_000;

/// Longest time between two frozen totals, s.
const STEP_MAX_S: u32 = 31 * 86_400;

/// Largest payload a profile may allow.
const SIZE_MAX_BYTES: usize = 4_194_304;

/// Deepest nesting a profile may allow; the parser's own stack stays small.
const DEPTH_MAX: usize = 64;

/// Reads `[json]` and `[[message]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
) -> Option<JsonCodec> {
    let raw: RawJson = match table.remove("json") {
        Some(value) => reader.read(value)?,
        None => RawJson::default(),
    };
    let device = raw.device.and_then(|at| pointer(reader, &at));
    let size_max_bytes = raw.size_max_bytes.unwrap_or(65_536);
    let depth_max = raw.depth_max.unwrap_or(8);
    if !(1..=SIZE_MAX_BYTES).contains(&size_max_bytes) || !(1..=DEPTH_MAX).contains(&depth_max) {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            format!("[json] allows {size_max_bytes} bytes and {depth_max} levels"),
            format!("write 1 to {SIZE_MAX_BYTES} bytes and 1 to {DEPTH_MAX} levels"),
        );
    }
    let messages: Vec<Message> = reader
        .tables(table, "message")
        .into_iter()
        .filter_map(|value| message(reader, value))
        .collect();
    if messages.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            "codec json has no message",
            "add [[message]] with name, when, time and fields",
        );
    }
    Some(JsonCodec {
        size_max_bytes,
        depth_max,
        device,
        messages,
    })
}

fn message<'t>(reader: &mut FileReader<'t>, value: Spanned<DeValue<'t>>) -> Option<Message> {
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
    let raw_backfills = reader.all::<RawBackfill>(&mut table, "backfill");
    let raw_alarms = reader.all::<RawAlarm>(&mut table, "alarm");
    let raw = reader.read::<RawMessage>(Spanned::new(span.clone(), DeValue::Table(table)));

    let checked = raw_fields
        .into_iter()
        .filter_map(|(_, raw)| {
            let span = raw.name.span();
            field(reader, raw).map(|f| (span, f))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &JsonField| f.field.item);
    let backfills: Vec<Backfill> = raw_backfills
        .into_iter()
        .filter_map(|(_, raw)| backfill(reader, raw))
        .collect();
    let alarms = raw_alarms
        .into_iter()
        .filter_map(|(span, raw)| alarm(reader, span, raw))
        .collect();
    let raw = raw?;
    let time_span = raw.time.span();
    let when = pointer(reader, &raw.when);
    let time = time(reader, time_span, raw.time.into_inner());
    if fields.is_empty() && backfills.is_empty() && reader.is_clean() {
        reader.problem(
            Some(raw.name.span()),
            problem::VALUE,
            format!(
                "message `{}` has neither field nor backfill",
                raw.name.get_ref()
            ),
            "add [[message.field]] or [[message.backfill]]",
        );
    }
    Some(Message {
        when: when?,
        time: time?,
        fields,
        backfills,
        alarms,
    })
}

fn pointer(reader: &mut FileReader<'_>, at: &Spanned<String>) -> Option<Pointer> {
    let pointer = Pointer::new(at.get_ref());
    if pointer.is_none() {
        reader.problem(
            Some(at.span()),
            problem::FIELD,
            format!("`{}` is no JSON pointer", at.get_ref()),
            format!("write \"/{}\"", at.get_ref()),
        );
    }
    pointer
}

fn field(reader: &mut FileReader<'_>, raw: RawField) -> Option<JsonField> {
    let name = raw.name.get_ref().clone();
    foreign_keys(
        reader,
        "json",
        &name,
        &[
            ("function", raw.function.as_ref().map(Spanned::span)),
            ("register", raw.register.as_ref().map(Spanned::span)),
            ("type", raw.kind.as_ref().map(Spanned::span)),
            ("words", raw.words.as_ref().map(Spanned::span)),
            ("fraction", raw.fraction.as_ref().map(Spanned::span)),
            ("mask", raw.mask.as_ref().map(Spanned::span)),
            ("high", raw.high.as_ref().map(Spanned::span)),
            ("bits", raw.bits.as_ref().map(Spanned::span)),
        ],
    );
    if raw.at.is_none() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` does not say where it is"),
            "add at, a JSON pointer such as \"/std_m3\"",
        );
    }
    let field = Field::check(reader, &raw);
    let at = raw.at.as_ref().and_then(|at| pointer(reader, at));
    Some(JsonField {
        field: field?,
        at: at?,
        decimals: raw.decimals.map(Spanned::into_inner),
        none: raw.none.into_iter().map(Spanned::into_inner).collect(),
    })
}

fn backfill(reader: &mut FileReader<'_>, raw: RawBackfill) -> Option<Backfill> {
    let item = check_name(reader, &raw.name, raw.unit.as_ref());
    let name = raw.name.get_ref();
    if let Some(item) = item {
        if !item.is_exact() {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("backfill `{name}` is telemetry"),
                "only totals are frozen: total_std or total_work",
            );
        }
        check_decimals(reader, name, raw.decimals.as_ref(), item);
    }
    if !(1..=BACKFILL_MAX).contains(raw.count.get_ref()) {
        reader.problem(
            Some(raw.count.span()),
            problem::FIELD,
            format!("backfill `{name}` has a count of {}", raw.count.get_ref()),
            format!("write 1 to {BACKFILL_MAX}"),
        );
    }
    if !(1..=STEP_MAX_S).contains(raw.step_s.get_ref()) {
        reader.problem(
            Some(raw.step_s.span()),
            problem::FIELD,
            format!("backfill `{name}` has a step of {} s", raw.step_s.get_ref()),
            "write the seconds between totals, 3600 for hours, at most 31 days",
        );
    }
    let span = raw.first.span();
    let first = time(reader, span, raw.first.into_inner());
    let at = pointer(reader, &raw.at);
    Some(Backfill {
        item: item?,
        at: at?,
        count: raw.count.into_inner(),
        first: first?,
        step_s: raw.step_s.into_inner(),
        newest_first: raw.newest_first,
        optional: raw.optional,
        decimals: raw.decimals.map(Spanned::into_inner),
    })
}

fn alarm(reader: &mut FileReader<'_>, span: Range<usize>, raw: RawAlarm) -> Option<JsonAlarm> {
    foreign_keys(
        reader,
        "json",
        "alarm",
        &[
            ("function", raw.function.as_ref().map(Spanned::span)),
            ("register", raw.register.as_ref().map(Spanned::span)),
            ("type", raw.kind.as_ref().map(Spanned::span)),
        ],
    );
    let bits = AlarmBits::check(reader, &raw.bits, 64);
    let Some(at) = &raw.at else {
        reader.problem(
            Some(span),
            problem::FIELD,
            "alarm does not say where it is",
            "add at, a JSON pointer such as \"/alarms\"",
        );
        return None;
    };
    Some(JsonAlarm {
        at: pointer(reader, at)?,
        bits,
        texts: raw.texts.into_iter().collect(),
    })
}

fn time(reader: &mut FileReader<'_>, span: Range<usize>, raw: RawTime) -> Option<TimeSource> {
    let Some(plus) = TimeDelta::try_seconds(raw.plus_s).filter(|d| d.num_days().abs() <= 400)
    else {
        reader.problem(
            Some(span),
            problem::FIELD,
            "time has a plus_s of more than 400 days",
            "write the seconds between the stamp and the value",
        );
        return None;
    };
    let kind = match (raw.at, raw.format, raw.day) {
        (Some(at), Some(format), None) if raw.cut.is_none() && raw.cut_default.is_none() => {
            TimeKind::Stamp(pointer(reader, &at)?, format)
        }
        (None, None, Some(day)) if raw.cut.is_some() || raw.cut_default.is_some() => {
            let cut_default = match raw.cut_default {
                Some(text) => {
                    let time = time_of_day(text.get_ref());
                    if time.is_none() {
                        reader.problem(
                            Some(text.span()),
                            problem::FIELD,
                            format!("`{}` is no time of day", text.get_ref()),
                            "write hh:mm, for example \"08:00\"",
                        );
                    }
                    Some(time?)
                }
                None => None,
            };
            let cut = match raw.cut {
                Some(at) => Some(pointer(reader, &at)?),
                None => None,
            };
            TimeKind::DayCut {
                day: pointer(reader, &day)?,
                cut,
                cut_default,
            }
        }
        _ => {
            reader.problem(
                Some(span),
                problem::FIELD,
                "time is neither a stamp nor a day with its cut",
                "write at and format, or day and one of cut and cut_default",
            );
            return None;
        }
    };
    Some(TimeSource { kind, plus })
}
