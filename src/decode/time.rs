//! Wall-clock stamps to instants, each by a rule that leaves nothing to guess: a fixed offset, the
//! summer or winter suffix of a P1 telegram, the deviation of a COSEM date-time.
//!
//! A stamp that says none of these and whose profile states no offset is refused: one hour of the
//! year it would be two instants. China's daylight-saving years 1986 to 1991 do not matter: no
//! meter of today writes a stamp of then, and Beijing is a fixed +08:00 (domain.md §7, 5).

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use toml::Spanned;

use crate::decode::code::problem;
use crate::decode::file::FileReader;
use crate::decode::value::bcd_byte;
use crate::domain::calendar::civil_instant;

/// What a device's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WallClock {
    pub(super) year: i32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl WallClock {
    /// The instant at which a clock so far ahead of UTC shows this; none if no clock can.
    pub(super) fn at(self, ahead: FixedOffset) -> Option<DateTime<Utc>> {
        let date = NaiveDate::from_ymd_opt(self.year, self.month, self.day)?;
        let time = NaiveTime::from_hms_opt(self.hour, self.minute, self.second)?;
        civil_instant(date, time, ahead)
    }

    /// `YYMMDDhhmmss` of this century.
    pub(super) fn from_digits(digits: &[u8; 12]) -> Option<Self> {
        let mut pairs = [0_u32; 6];
        for (pair, [high, low]) in pairs.iter_mut().zip(digits.as_chunks::<2>().0) {
            if !high.is_ascii_digit() || !low.is_ascii_digit() {
                return None;
            }
            *pair = u32::from(high - b'0') * 10 + u32::from(low - b'0');
        }
        let [year, month, day, hour, minute, second] = pairs;
        Some(Self {
            year: 2000 + i32::try_from(year).ok()?,
            month,
            day,
            hour,
            minute,
            second,
        })
    }

    /// Six BCD bytes, year of this century first.
    pub(super) fn from_bcd(bytes: [u8; 6]) -> Option<Self> {
        let [year, month, day, hour, minute, second] = bytes.map(bcd_byte);
        Some(Self {
            year: 2000 + i32::from(year?),
            month: u32::from(month?),
            day: u32::from(day?),
            hour: u32::from(hour?),
            minute: u32::from(minute?),
            second: u32::from(second?),
        })
    }
}

/// How far ahead of UTC a clock is that marks its stamps S (summer, +02:00) or W (winter, +01:00).
///
/// # Source
/// DSMR P1 companion standard 5.0.2, §6.12, and e-MUCS P1: time stamps `YYMMDDhhmmssX`.
pub(super) fn season_offset(suffix: u8) -> Option<FixedOffset> {
    match suffix {
        b'S' => FixedOffset::east_opt(2 * 3600),
        b'W' => FixedOffset::east_opt(3600),
        _ => None,
    }
}

/// How far ahead of UTC a COSEM clock is with this deviation; none for 8000h, unspecified, and for
/// what is no offset of any place.
///
/// # Source
/// IEC 62056-6-2, 4.1.6.1: the deviation is in minutes from local time to UTC, so negative east of
/// Greenwich; it includes the daylight saving in force.
pub(super) fn deviation_offset(minutes: i16) -> Option<FixedOffset> {
    // UTC+14 is the farthest east.
    if minutes.unsigned_abs() > 14 * 60 {
        return None;
    }
    FixedOffset::west_opt(i32::from(minutes) * 60)
}

/// An offset as a profile writes it: `+08:00`.
pub(super) fn offset(reader: &mut FileReader<'_>, text: &Spanned<String>) -> Option<FixedOffset> {
    let parsed: Option<FixedOffset> = text.get_ref().parse().ok();
    if parsed.is_none() {
        reader.problem(
            Some(text.span()),
            problem::VALUE,
            format!("`{}` is no offset from UTC", text.get_ref()),
            "write for example \"+08:00\"",
        );
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(digits: &[u8; 12]) -> WallClock {
        WallClock::from_digits(digits).unwrap()
    }

    fn season(text: &[u8; 13]) -> Option<String> {
        let (digits, suffix) = text.split_first_chunk::<12>().unwrap();
        let ahead = season_offset(suffix[0])?;
        Some(stamp(digits).at(ahead)?.to_rfc3339())
    }

    #[test]
    fn the_hour_repeated_at_the_end_of_summer_time_is_two_hours() {
        // 2026-10-25: at 03:00 summer time the clock goes back to 02:00.
        assert_eq!(
            season(b"261025020000S").unwrap(),
            "2026-10-25T00:00:00+00:00"
        );
        assert_eq!(
            season(b"261025025959S").unwrap(),
            "2026-10-25T00:59:59+00:00"
        );
        assert_eq!(
            season(b"261025020000W").unwrap(),
            "2026-10-25T01:00:00+00:00"
        );
        assert_eq!(
            season(b"261025030000W").unwrap(),
            "2026-10-25T02:00:00+00:00"
        );
    }

    #[test]
    fn the_hour_skipped_at_the_start_of_summer_time_is_not_lost() {
        // 2026-03-29: at 02:00 winter time the clock goes forward to 03:00.
        assert_eq!(
            season(b"260329015959W").unwrap(),
            "2026-03-29T00:59:59+00:00"
        );
        assert_eq!(
            season(b"260329030000S").unwrap(),
            "2026-03-29T01:00:00+00:00"
        );
    }

    #[test]
    fn a_suffix_that_is_neither_is_none() {
        assert_eq!(season(b"260329030000X"), None);
        assert_eq!(season(b"260230030000W"), None, "30 February");
        assert_eq!(WallClock::from_digits(b"26032903000S"), None);
    }

    #[test]
    fn beijing_by_a_fixed_offset_has_neither_hour() {
        let at = |digits| {
            stamp(digits)
                .at("+08:00".parse().unwrap())
                .unwrap()
                .to_rfc3339()
        };
        assert_eq!(at(b"260329023000"), "2026-03-28T18:30:00+00:00");
        assert_eq!(at(b"261025023000"), "2026-10-24T18:30:00+00:00");
    }

    #[test]
    fn a_deviation_counts_from_local_time_to_utc() {
        let hours = |minutes| deviation_offset(minutes).map(|o| o.local_minus_utc() / 3600);
        assert_eq!(hours(-480), Some(8), "Beijing");
        assert_eq!(hours(-120), Some(2), "Innsbruck in July");
        assert_eq!(hours(300), Some(-5));
        assert_eq!(hours(i16::MIN), None, "8000h is unspecified");
        assert_eq!(hours(841), None);
    }

    #[test]
    fn the_repeated_hour_by_deviation() {
        let two = stamp(b"261025023000");
        let at = |minutes| two.at(deviation_offset(minutes).unwrap()).unwrap();
        assert_eq!((at(-60) - at(-120)).num_minutes(), 60);
    }

    proptest! {
        #[test]
        fn any_digits_and_offset_are_answered(bytes in any::<[u8; 12]>(), minutes in any::<i16>()) {
            if let (Some(clock), Some(ahead)) = (WallClock::from_digits(&bytes), deviation_offset(minutes)) {
                let _ = clock.at(ahead);
            }
        }

        #[test]
        fn an_instant_shown_by_a_clock_is_read_back(seconds in 946_684_800_i64..4_102_444_800, minutes in -840_i16..=840) {
            let ahead = deviation_offset(minutes).unwrap();
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            let text = at.with_timezone(&ahead).format("%y%m%d%H%M%S").to_string();
            let year = at.with_timezone(&ahead).format("%Y").to_string();
            prop_assume!(year.starts_with("20"));
            let digits: [u8; 12] = text.into_bytes().try_into().unwrap();
            prop_assert_eq!(stamp(&digits).at(ahead), Some(at));
        }
    }
}
