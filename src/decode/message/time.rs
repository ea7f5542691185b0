//! Times in messages: stamps, or a day with the time of day at which it is cut.

use chrono::{
    DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc,
};

use super::node::{Node, Slots};
use super::path::Pointer;
use crate::decode::code::reject;
use crate::domain::frame::RejectReason;

/// Years of a civil date; near the calendar's ends the subtraction of an offset would overflow.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9998;

/// How a stamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum StampFormat {
    /// RFC 3339 with an explicit offset.
    Rfc3339,
    /// `YYYY-MM-DD hh:mm:ss` by a wall clock whose offset the profile states.
    Civil(FixedOffset),
    /// Seconds since 1970 UTC.
    UnixS,
    /// Milliseconds since 1970 UTC.
    UnixMs,
}

/// Where a time is, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::decode) struct TimeSource {
    pub(super) kind: TimeKind,
    pub(super) plus: TimeDelta,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeKind {
    Stamp(Pointer, StampFormat),
    DayCut {
        day: Pointer,
        cut: Option<Pointer>,
        cut_default: Option<NaiveTime>,
        offset: FixedOffset,
    },
}

impl TimeSource {
    /// The instant, where the frame tells it at all.
    pub(in crate::decode) fn if_there(
        &self,
        slots: Slots<'_, '_>,
    ) -> Result<Option<DateTime<Utc>>, RejectReason> {
        let (TimeKind::Stamp(at, _) | TimeKind::DayCut { day: at, .. }) = &self.kind;
        match slots.get(at) {
            Some(_) => self.instant(slots).map(Some),
            None => Ok(None),
        }
    }

    /// The instant; the frame must tell it.
    pub(in crate::decode) fn instant(
        &self,
        slots: Slots<'_, '_>,
    ) -> Result<DateTime<Utc>, RejectReason> {
        let at = match &self.kind {
            TimeKind::Stamp(at, format) => slots
                .get(at)
                .and_then(|node| stamp(node, *format))
                .ok_or_else(|| bad_time(at, format.describe()))?,
            TimeKind::DayCut {
                day,
                cut,
                cut_default,
                offset,
            } => {
                let date = slots
                    .text(day)
                    .and_then(|text| text.parse::<NaiveDate>().ok())
                    .ok_or_else(|| bad_time(day, "a day, YYYY-MM-DD"))?;
                let time = match cut.as_ref().filter(|at| slots.get(at).is_some()) {
                    Some(at) => slots
                        .text(at)
                        .and_then(time_of_day)
                        .ok_or_else(|| bad_time(at, "a time of day, hh:mm"))?,
                    None => cut_default.ok_or_else(|| {
                        bad_time(cut.as_ref().unwrap_or(day), "a time of day, hh:mm")
                    })?,
                };
                civil_instant(date.and_time(time), *offset)
                    .ok_or_else(|| bad_time(day, "a day from 1970 to 9998"))?
            }
        };
        at.checked_add_signed(self.plus).ok_or_else(|| {
            RejectReason::new(reject::TIME, "time of the message is beyond the calendar")
        })
    }
}

fn bad_time(at: &Pointer, wanted: &str) -> RejectReason {
    RejectReason::new(
        reject::TIME,
        format!("time at {at} is missing or not {wanted}"),
    )
}

/// The instant a wall clock of a fixed offset shows; none outside the years a meter can mean.
pub(in crate::decode) fn civil_instant(
    civil: NaiveDateTime,
    offset: FixedOffset,
) -> Option<DateTime<Utc>> {
    if !YEARS.contains(&civil.year()) {
        return None;
    }
    civil.checked_sub_offset(offset).map(|utc| utc.and_utc())
}

fn stamp(node: &Node<'_>, format: StampFormat) -> Option<DateTime<Utc>> {
    match (format, node) {
        (StampFormat::Rfc3339, Node::Text(text)) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc()),
        (StampFormat::Civil(offset), Node::Text(text)) => {
            let civil = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
                .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
                .ok()?;
            civil_instant(civil, offset)
        }
        (StampFormat::UnixS, Node::Int(s)) => DateTime::from_timestamp(*s, 0),
        (StampFormat::UnixS, Node::Text(text)) => DateTime::from_timestamp(text.parse().ok()?, 0),
        (StampFormat::UnixMs, Node::Int(ms)) => DateTime::from_timestamp_millis(*ms),
        (StampFormat::UnixMs, Node::Text(text)) => {
            DateTime::from_timestamp_millis(text.parse().ok()?)
        }
        _ => None,
    }
}

/// `hh:mm` or `hh:mm:ss`.
pub(super) fn time_of_day(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
        .ok()
}

/// `+hh:mm` or `-hh:mm`, at most 14 hours.
pub(in crate::decode) fn utc_offset(text: &str) -> Option<FixedOffset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let digits = |part: &str, max: i32| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<i32>().ok())
            .flatten()
            .filter(|n| *n <= max)
    };
    FixedOffset::east_opt(sign * (digits(hours, 14)? * 3_600 + digits(minutes, 59)? * 60))
}

impl StampFormat {
    const fn describe(self) -> &'static str {
        match self {
            Self::Rfc3339 => "RFC 3339 with an offset, 2026-11-21T08:00:00+08:00",
            Self::Civil(_) => "YYYY-MM-DD hh:mm:ss",
            Self::UnixS => "whole seconds since 1970",
            Self::UnixMs => "whole milliseconds since 1970",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_written_in_full() {
        let seconds = |text| utc_offset(text).map(|o| o.local_minus_utc());
        assert_eq!(seconds("+08:00"), Some(28_800));
        assert_eq!(seconds("-03:30"), Some(-12_600));
        assert_eq!(seconds("+00:00"), Some(0));
        for bad in [
            "",
            "8",
            "08:00",
            "+8:00",
            "+08",
            "+15:00",
            "+08:60",
            "+a8:00",
            "Z",
            "+08:00:00",
            "＋08:00",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_summer_times_of_1986_to_1991_do_not_matter() {
        let beijing = utc_offset("+08:00").unwrap();
        let civil = |text: &str| {
            let civil = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
            civil_instant(civil, beijing).unwrap().to_rfc3339()
        };
        // The clocks of China stood an hour ahead then; a meter's wall clock is taken as +08:00 always.
        assert_eq!(civil("1988-07-01 08:00:00"), "1988-07-01T00:00:00+00:00");
        assert_eq!(civil("2026-07-01 08:00:00"), "2026-07-01T00:00:00+00:00");
    }
}
