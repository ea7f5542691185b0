//! From the tables of a profile to kinds of messages.

use std::ops::Range;

use chrono::{FixedOffset, TimeDelta};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::path::{Paths, Pointer};
use super::raw::{RawBackfill, RawFormat, RawMessage, RawTime, RawTree};
use super::time::{StampFormat, TimeKind, TimeSource, time_of_day, utc_offset};
use super::{Backfill, Count, Edge, Message, Messages, TreeAlarm, TreeField};
use crate::decode::code::{problem, reject};
use crate::decode::field::{
    AlarmBits, Field, check_decimals, check_name, foreign_key, foreign_keys, in_item_order,
};
use crate::decode::file::{FileReader, RawAlarm, RawField};
use crate::domain::calendar::beijing;
use crate::domain::frame::RejectReason;

/// Frozen totals in one array at most; a year of hours would not fit a frame.
pub(in crate::decode) const BACKFILL_MAX: usize = 1_000;

/// Longest time between two frozen totals, s.
pub(in crate::decode) const STEP_MAX_S: u32 = 31 * 86_400;

/// Largest payload a profile may allow.
const SIZE_MAX_BYTES: usize = 4_194_304;

/// Deepest nesting a profile may allow; the parser's own stack stays small.
const DEPTH_MAX: usize = 64;

/// How much of a tree a profile takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Limits {
    pub(in crate::decode) size_max_bytes: usize,
    pub(in crate::decode) depth_max: usize,
}

impl Limits {
    /// Takes a payload of `size` bytes or says what to raise in `[table]`.
    ///
    /// # Errors
    /// `decode.too_long`.
    pub(in crate::decode) fn admit(&self, size: usize, table: &str) -> Result<(), RejectReason> {
        if size <= self.size_max_bytes {
            return Ok(());
        }
        Err(RejectReason::new(
            reject::TOO_LONG,
            format!(
                "payload has {size} bytes, the profile allows {}; raise {table}.size_max_bytes if the \
                 device means it",
                self.size_max_bytes
            ),
        ))
    }

    /// Checks the limits of `[table]`; what is not stated has a default.
    pub(in crate::decode) fn check(
        reader: &mut FileReader<'_>,
        table: &str,
        size_max_bytes: Option<usize>,
        depth_max: Option<usize>,
    ) -> Self {
        let limits = Self {
            size_max_bytes: size_max_bytes.unwrap_or(65_536),
            depth_max: depth_max.unwrap_or(8),
        };
        if !(1..=SIZE_MAX_BYTES).contains(&limits.size_max_bytes)
            || !(1..=DEPTH_MAX).contains(&limits.depth_max)
        {
            reader.problem(
                Some(0..0),
                problem::VALUE,
                format!(
                    "[{table}] allows {} bytes and {} levels",
                    limits.size_max_bytes, limits.depth_max
                ),
                format!("write 1 to {SIZE_MAX_BYTES} bytes and 1 to {DEPTH_MAX} levels"),
            );
        }
        limits
    }
}

/// Reads `[json]` or `[cbor]`, as `codec` says, and `[[message]]`.
pub(in crate::decode) fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
    codec: &str,
) -> Option<Messages> {
    let raw: RawTree = match table.remove(codec) {
        Some(value) => reader.read(value)?,
        None => RawTree::default(),
    };
    let mut paths = Paths::default();
    let device = raw.device.and_then(|at| pointer(reader, &mut paths, &at));
    let limits = Limits::check(reader, codec, raw.size_max_bytes, raw.depth_max);
    let messages: Vec<Message> = reader
        .tables(table, "message")
        .into_iter()
        .filter_map(|value| message(reader, &mut paths, codec, value))
        .collect();
    if messages.is_empty() && reader.is_clean() {
        reader.problem(
            Some(0..0),
            problem::VALUE,
            format!("codec {codec} has no message"),
            "add [[message]] with name, when, time and fields",
        );
    }
    Some(Messages {
        limits,
        paths,
        device,
        kinds: messages,
    })
}

fn message<'t>(
    reader: &mut FileReader<'t>,
    paths: &mut Paths,
    codec: &str,
    value: Spanned<DeValue<'t>>,
) -> Option<Message> {
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
            compile_field(reader, paths, codec, raw).map(|f| (span, f))
        })
        .collect();
    let fields = in_item_order(reader, checked, |f: &TreeField| f.field.item);
    let backfills: Vec<Backfill> = raw_backfills
        .into_iter()
        .filter_map(|(_, raw)| backfill(reader, paths, raw))
        .collect();
    let alarms = raw_alarms
        .into_iter()
        .filter_map(|(span, raw)| alarm(reader, paths, codec, span, raw))
        .collect();
    let raw = raw?;
    let when = pointer(reader, paths, &raw.when);
    let time = compile_time(reader, paths, raw.time);
    let clock = raw
        .clock
        .and_then(|clock| compile_time(reader, paths, clock));
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
        clock,
        fields,
        backfills,
        alarms,
    })
}

/// Reads a pointer; what is none is a problem.
pub(in crate::decode) fn pointer(
    reader: &mut FileReader<'_>,
    paths: &mut Paths,
    at: &Spanned<String>,
) -> Option<Pointer> {
    let pointer = paths.pointer(at.get_ref());
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

/// Reads a field that a pointer leads to.
pub(in crate::decode) fn compile_field(
    reader: &mut FileReader<'_>,
    paths: &mut Paths,
    codec: &str,
    raw: RawField,
) -> Option<TreeField> {
    let name = raw.name.get_ref().clone();
    foreign_keys(reader, codec, &raw, &["at", "decimals", "none"]);
    if raw.at.is_none() {
        reader.problem(
            Some(raw.name.span()),
            problem::FIELD,
            format!("field `{name}` does not say where it is"),
            "add at, a JSON pointer such as \"/std_m3\"",
        );
    }
    let field = Field::check(reader, &raw);
    let at = raw.at.as_ref().and_then(|at| pointer(reader, paths, at));
    Some(TreeField {
        field: field?,
        at: at?,
        decimals: raw.decimals.map(Spanned::into_inner),
        none: raw.none.into_iter().map(Spanned::into_inner).collect(),
    })
}

fn backfill(reader: &mut FileReader<'_>, paths: &mut Paths, raw: RawBackfill) -> Option<Backfill> {
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
    let count = count(reader, name, &raw);
    if !(1..=STEP_MAX_S).contains(raw.step_s.get_ref()) {
        reader.problem(
            Some(raw.step_s.span()),
            problem::FIELD,
            format!("backfill `{name}` has a step of {} s", raw.step_s.get_ref()),
            "write the seconds between totals, 3600 for hours, at most 31 days",
        );
    }
    let edge = edge(reader, paths, &raw.name, raw.first, raw.last);
    let at = pointer(reader, paths, &raw.at);
    Some(Backfill {
        item: item?,
        at: at?,
        count: count?,
        edge: edge?,
        step_s: raw.step_s.into_inner(),
        newest_first: raw.newest_first,
        optional: raw.optional,
        decimals: raw.decimals.map(Spanned::into_inner),
    })
}

fn alarm(
    reader: &mut FileReader<'_>,
    paths: &mut Paths,
    codec: &str,
    span: Range<usize>,
    raw: RawAlarm,
) -> Option<TreeAlarm> {
    for (key, span) in [
        ("function", raw.function.as_ref().map(Spanned::span)),
        ("register", raw.register.as_ref().map(Spanned::span)),
        ("type", raw.kind.as_ref().map(Spanned::span)),
    ] {
        foreign_key(reader, codec, "alarm", key, span);
    }
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
    Some(TreeAlarm {
        at: pointer(reader, paths, at)?,
        bits,
        texts: raw.texts.into_iter().collect(),
    })
}

fn count(reader: &mut FileReader<'_>, name: &str, raw: &RawBackfill) -> Option<Count> {
    let (written, count) = match (&raw.count, &raw.count_max) {
        (Some(count), None) => (count, Count::Exactly(*count.get_ref())),
        (None, Some(most)) => (most, Count::AtMost(*most.get_ref())),
        _ => {
            reader.problem(
                Some(raw.name.span()),
                problem::FIELD,
                format!("backfill `{name}` does not say how many totals it has"),
                "write count where there are always as many, else count_max",
            );
            return None;
        }
    };
    if !(1..=BACKFILL_MAX).contains(written.get_ref()) {
        reader.problem(
            Some(written.span()),
            problem::FIELD,
            format!("backfill `{name}` has a count of {}", written.get_ref()),
            format!("write 1 to {BACKFILL_MAX}"),
        );
    }
    Some(count)
}

fn edge(
    reader: &mut FileReader<'_>,
    paths: &mut Paths,
    name: &Spanned<String>,
    first: Option<Spanned<RawTime>>,
    last: Option<Spanned<RawTime>>,
) -> Option<Edge> {
    match (first, last) {
        (Some(first), None) => compile_time(reader, paths, first).map(Edge::First),
        (None, Some(last)) => compile_time(reader, paths, last).map(Edge::Last),
        _ => {
            reader.problem(
                Some(name.span()),
                problem::FIELD,
                format!(
                    "backfill `{}` does not say of which instant it is",
                    name.get_ref()
                ),
                "write first, the time of the oldest total, or last, that of the newest",
            );
            None
        }
    }
}

/// Reads a time.
pub(in crate::decode) fn compile_time(
    reader: &mut FileReader<'_>,
    paths: &mut Paths,
    written: Spanned<RawTime>,
) -> Option<TimeSource> {
    let span = written.span();
    let raw = written.into_inner();
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
    let is_day = raw.day.is_some();
    let offset = match &raw.utc_offset {
        Some(text) if is_day || raw.format == Some(RawFormat::Civil) => Some(offset(reader, text)?),
        Some(text) => {
            reader.problem(
                Some(text.span()),
                problem::FIELD,
                "utc_offset does not belong to this time",
                "remove it, or write format = \"civil\", a wall clock of that offset",
            );
            return None;
        }
        None => None,
    };
    let kind = match (raw.at, raw.format, raw.day) {
        (Some(at), Some(format), None) if raw.cut.is_none() && raw.cut_default.is_none() => {
            let format = match (format, offset) {
                (RawFormat::Rfc3339, _) => StampFormat::Rfc3339,
                (RawFormat::Beijing, _) => StampFormat::Civil(beijing()),
                (RawFormat::Civil, Some(offset)) => StampFormat::Civil(offset),
                (RawFormat::Civil, None) => {
                    reader.problem(
                        Some(span),
                        problem::FIELD,
                        "time is by a wall clock of unknown offset",
                        "add utc_offset, for example \"+01:00\", or write format = \"beijing\"",
                    );
                    return None;
                }
                (RawFormat::UnixS, _) => StampFormat::UnixS,
                (RawFormat::UnixMs, _) => StampFormat::UnixMs,
            };
            TimeKind::Stamp(pointer(reader, paths, &at)?, format)
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
                Some(at) => Some(pointer(reader, paths, &at)?),
                None => None,
            };
            TimeKind::DayCut {
                day: pointer(reader, paths, &day)?,
                cut,
                cut_default,
                offset: offset.unwrap_or_else(beijing),
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

/// Reads a wall clock's offset.
pub(in crate::decode) fn offset(
    reader: &mut FileReader<'_>,
    text: &Spanned<String>,
) -> Option<FixedOffset> {
    let offset = utc_offset(text.get_ref());
    if offset.is_none() {
        reader.problem(
            Some(text.span()),
            problem::FIELD,
            format!("`{}` is no offset from UTC", text.get_ref()),
            "write for example \"+08:00\"; a clock that changes between summer and winter has no one offset",
        );
    }
    offset
}
