//! Times in binary frames: digits or numbers of a wall clock in any order, or a count since an epoch.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};

use super::place::{Kind, Number, Order, Part, Place};
use super::raw::Of;
use crate::decode::code::reject;
use crate::decode::message::civil_instant;
use crate::decode::value::bcd_byte;
use crate::domain::frame::RejectReason;

/// What one byte of a wall clock's stamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// The first two digits of the year.
    Century,
    /// The last two.
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Of no meaning here: the day of the week, a spare byte.
    Ignored,
}

impl Piece {
    /// The pieces of a format, two letters for each byte; none where it is no format.
    pub(super) fn parse(format: &str) -> Option<Vec<Self>> {
        let letters = format.as_bytes();
        let (pairs, []) = letters.as_chunks::<2>() else {
            return None;
        };
        let pieces: Vec<Self> = pairs
            .iter()
            .map(|pair| {
                Some(match pair {
                    b"CC" => Self::Century,
                    b"YY" => Self::Year,
                    b"MM" => Self::Month,
                    b"DD" => Self::Day,
                    b"hh" => Self::Hour,
                    b"mm" => Self::Minute,
                    b"ss" => Self::Second,
                    b"--" => Self::Ignored,
                    _ => return None,
                })
            })
            .collect::<Option<_>>()?;
        let times = |piece| pieces.iter().filter(|p| **p == piece).count();
        let needed = [Self::Year, Self::Month, Self::Day];
        let optional = [Self::Century, Self::Hour, Self::Minute, Self::Second];
        (needed.into_iter().all(|p| times(p) == 1) && optional.into_iter().all(|p| times(p) <= 1))
            .then_some(pieces)
    }
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A wall clock's digits (BCD) or numbers, one byte each.
    Civil {
        place: Place,
        pieces: Vec<Piece>,
        is_bcd: bool,
    },
    /// Units since an epoch.
    Count {
        part: Part,
        epoch: DateTime<Utc>,
        unit: TimeDelta,
    },
    /// Counted from another time of the message.
    Of(Of),
}

/// A time of a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayoutTime {
    pub(super) form: Form,
    /// The wall clock's offset; also where days and hours begin that a time is cut to.
    pub(super) offset: FixedOffset,
    /// The time is cut down to whole such seconds of the day.
    pub(super) floor_s: Option<i64>,
    pub(super) plus: TimeDelta,
}

/// The times of a message that others may be counted from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) time: DateTime<Utc>,
    pub(super) clock: Option<DateTime<Utc>>,
}

impl LayoutTime {
    /// Its bytes in the frame; none where it is counted from another.
    pub(super) const fn place(&self) -> Option<Place> {
        match &self.form {
            Form::Civil { place, .. } => Some(*place),
            Form::Count { part, .. } => Some(part.place),
            Form::Of(_) => None,
        }
    }

    /// The instant in a frame. `known` holds the times it may be counted from.
    pub(super) fn instant(
        &self,
        frame: &[u8],
        known: Option<Known>,
    ) -> Result<DateTime<Utc>, RejectReason> {
        let at = match &self.form {
            Form::Civil {
                place,
                pieces,
                is_bcd,
            } => civil(place.of(frame)?, pieces, *is_bcd)
                .and_then(|civil| civil_instant(civil, self.offset)),
            Form::Count { part, epoch, unit } => match part.number(frame)? {
                Some(Number::Whole(count)) => since(*epoch, *unit, count),
                _ => None,
            },
            Form::Of(Of::Time) => known.map(|k| k.time),
            Form::Of(Of::Clock) => known.and_then(|k| k.clock),
        };
        at.and_then(|at| self.cut(at)).ok_or_else(|| {
            RejectReason::new(
                reject::TIME,
                match self.place() {
                    Some(place) => format!("{} shows no date and time", show(place)),
                    None => "time is beyond the calendar".to_owned(),
                },
            )
        })
    }

    fn cut(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = match self.floor_s {
            Some(floor_s) => {
                let civil_s = at
                    .timestamp()
                    .checked_add(i64::from(self.offset.local_minus_utc()))?;
                DateTime::from_timestamp(at.timestamp() - civil_s.rem_euclid(floor_s), 0)?
            }
            None => at,
        };
        at.checked_add_signed(self.plus)
    }
}

fn show(place: Place) -> String {
    match place.at {
        super::place::Anchor::Start(at) => format!("time at byte {at}"),
        super::place::Anchor::End(back) => format!("time {back} bytes before the end"),
    }
}

fn since(epoch: DateTime<Utc>, unit: TimeDelta, count: i128) -> Option<DateTime<Utc>> {
    let ms = i64::try_from(count.checked_mul(i128::from(unit.num_milliseconds()))?).ok()?;
    epoch.checked_add_signed(TimeDelta::try_milliseconds(ms)?)
}

fn civil(sent: &[u8], pieces: &[Piece], is_bcd: bool) -> Option<chrono::NaiveDateTime> {
    let (mut century, mut year, mut month, mut day) = (20_i32, 0_i32, 0, 0);
    let (mut hour, mut minute, mut second) = (0, 0, 0);
    for (byte, piece) in sent.iter().zip(pieces) {
        if *piece == Piece::Ignored {
            continue;
        }
        let number = if is_bcd { bcd_byte(*byte)? } else { *byte };
        match piece {
            Piece::Century => century = i32::from(number),
            // A byte of a year beyond 99 is of no calendar.
            Piece::Year if number > 99 => return None,
            Piece::Year => year = i32::from(number),
            Piece::Month => month = u32::from(number),
            Piece::Day => day = u32::from(number),
            Piece::Hour => hour = u32::from(number),
            Piece::Minute => minute = u32::from(number),
            Piece::Second => second = u32::from(number),
            Piece::Ignored => {}
        }
    }
    NaiveDate::from_ymd_opt(century * 100 + year, month, day)?.and_hms_opt(hour, minute, second)
}

/// The part of a count; without a stated type it has 32 bits, milliseconds 64.
pub(super) const fn count_kind(kind: Option<Kind>, is_ms: bool) -> Kind {
    match (kind, is_ms) {
        (Some(kind), _) => kind,
        (None, true) => Kind::U64,
        (None, false) => Kind::U32,
    }
}

/// A count's part.
pub(super) const fn count_part(place: Place, kind: Kind, order: Order) -> Part {
    Part {
        place,
        kind,
        order,
        bits: None,
        minus: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Anchor;
    use super::*;
    use crate::domain::calendar::beijing;

    fn civil_time(format: &str, is_bcd: bool) -> LayoutTime {
        let pieces = Piece::parse(format).unwrap();
        LayoutTime {
            form: Form::Civil {
                place: Place {
                    at: Anchor::Start(0),
                    size: pieces.len(),
                },
                pieces,
                is_bcd,
            },
            offset: beijing(),
            floor_s: None,
            plus: TimeDelta::zero(),
        }
    }

    fn shown(time: &LayoutTime, frame: &[u8]) -> Option<String> {
        time.instant(frame, None).ok().map(|at| at.to_rfc3339())
    }

    #[test]
    fn a_wall_clock_in_any_order() {
        let eight = Some("2026-11-21T00:15:30+00:00".to_owned());
        assert_eq!(
            shown(
                &civil_time("YYMMDDhhmmss", true),
                &[0x26, 0x11, 0x21, 0x08, 0x15, 0x30]
            ),
            eight
        );
        assert_eq!(
            shown(
                &civil_time("ssmmhhDDMMYY", true),
                &[0x30, 0x15, 0x08, 0x21, 0x11, 0x26]
            ),
            eight
        );
        assert_eq!(
            shown(
                &civil_time("ssmmhh--DDMMYYCC", true),
                &[0x30, 0x15, 0x08, 0xFF, 0x21, 0x11, 0x26, 0x20]
            ),
            eight
        );
        assert_eq!(
            shown(&civil_time("YYMMDDhhmmss", false), &[26, 11, 21, 8, 15, 30]),
            eight
        );
        assert_eq!(
            shown(&civil_time("YYMMDDhh", true), &[0x26, 0x11, 0x21, 0x08]),
            Some("2026-11-21T00:00:00+00:00".to_owned())
        );
        for bad in [
            [0x26, 0x13, 0x21, 8, 0, 0],
            [0x26, 0x02, 0x30, 8, 0, 0],
            [0x2A, 0x11, 0x21, 8, 0, 0],
            [0; 6],
            [0xFF; 6],
            [0x26, 0x11, 0x21, 0x24, 0, 0],
        ] {
            assert_eq!(
                shown(&civil_time("YYMMDDhhmmss", true), &bad),
                None,
                "{bad:X?}"
            );
        }
        assert_eq!(
            shown(&civil_time("YYMMDDhhmmss", false), &[126, 11, 21, 8, 0, 0]),
            None
        );
    }

    #[test]
    fn formats_that_are_none() {
        for bad in [
            "",
            "YY",
            "YYMMDDhhmms",
            "YYMMDDDD",
            "YYMMDDhhmmssss",
            "yyMMDD",
            "YYMMDDhhXX",
            "日MMDD",
        ] {
            assert_eq!(Piece::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_since_an_epoch_and_whole_hours() {
        let count = |kind, size, epoch_s, unit| LayoutTime {
            form: Form::Count {
                part: count_part(
                    Place {
                        at: Anchor::Start(0),
                        size,
                    },
                    kind,
                    Order::Dcba,
                ),
                epoch: DateTime::from_timestamp(epoch_s, 0).unwrap(),
                unit,
            },
            offset: beijing(),
            floor_s: None,
            plus: TimeDelta::zero(),
        };
        let seconds = count(Kind::U32, 4, 0, TimeDelta::seconds(1));
        let wire = 1_795_220_130_u32.to_le_bytes();
        assert_eq!(shown(&seconds, &wire).unwrap(), "2026-11-21T00:15:30+00:00");
        let minutes = count(Kind::U32, 4, 946_684_800, TimeDelta::minutes(1));
        assert_eq!(
            shown(&minutes, &14_142_255_u32.to_le_bytes()).unwrap(),
            "2026-11-21T00:15:00+00:00"
        );
        let floored = |floor_s| LayoutTime {
            floor_s: Some(floor_s),
            plus: TimeDelta::hours(-1),
            ..seconds.clone()
        };
        assert_eq!(
            shown(&floored(3_600), &wire).unwrap(),
            "2026-11-20T23:00:00+00:00"
        );
        // Days begin in Beijing.
        assert_eq!(
            shown(&floored(86_400), &wire).unwrap(),
            "2026-11-20T15:00:00+00:00"
        );
        let far = count(Kind::U64, 8, 0, TimeDelta::minutes(1));
        assert_eq!(shown(&far, &[0xFF; 8]), None);
    }
}
