//! Times: stamps, counts and how they are cut.

use chrono::{DateTime, TimeDelta};
use toml::Spanned;

use super::part::anchor;
use crate::decode::code::problem;
use crate::decode::file::FileReader;
use crate::decode::layout::place::{Kind, Order, Place};
use crate::decode::layout::raw::{Of, RawTime};
use crate::decode::layout::time::{Form, LayoutTime, Piece, count_kind, count_part};
use crate::decode::message::offset;
use crate::domain::calendar::beijing;

/// Seconds of a day.
pub(super) const DAY_S: i64 = 86_400;

pub(super) fn optional_time(
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
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Clock => "clock",
        }
    }
}

pub(super) fn time(
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

pub(super) fn form(
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

pub(super) fn epoch(
    reader: &mut FileReader<'_>,
    text: &Spanned<String>,
) -> Option<DateTime<chrono::Utc>> {
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
