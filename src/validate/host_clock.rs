//! Whether the host's own clock can be believed: steps, what meters say against it, and the time that
//! may be dropped by.
//!
//! A reading cannot arrive before it is sampled. Where more than half of the meters heard last are ahead
//! of the host, the host is behind (or the zone of a profile is wrong). A step is proven: the host's time
//! moved by more than passed. Nothing here corrects the clock; NTP does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::MeterId;

/// The host moved its time by more than this: a step and no slewing. As much as a reading may be ahead of
/// its arrival by default (V02).
pub const STEP_MIN: TimeDelta = TimeDelta::minutes(5);
/// Meters whose last word counts, the newest.
const HEARD_MAX: usize = 101;
/// Fewer meters prove nothing of the host.
const HEARD_MIN: usize = 3;
/// What is known follows the host's time, on and back, so many times as fast as time passes: a month without
/// the program in a bit more than a day.
const CATCH_UP: i32 = 24;
/// The host's time is told to be doubtful when it lies so far from what is known.
const DOUBT_MIN: TimeDelta = TimeDelta::days(1);

/// A jump of the host's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Since when, in the time before the jump, the clock had not jumped.
    pub since: DateTime<Utc>,
    /// First arrival of a reading that was ahead of the host and is one of those in doubt.
    pub ahead_since: Option<DateTime<Utc>>,
    /// The time just before the jump, as the clock told it.
    pub until: DateTime<Utc>,
    /// By how much it jumped; negative: back.
    pub by: TimeDelta,
}

/// What is amiss with the host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// More than half of the meters heard last are ahead of it.
    Behind {
        /// Those that are.
        ahead: usize,
        /// All that were heard.
        heard: usize,
        /// The middle one is ahead by so much.
        by: TimeDelta,
    },
    /// It is further on than time passed since the program last knew.
    Ahead {
        /// What it shows.
        now: DateTime<Utc>,
        /// The latest that it was known to be.
        known: DateTime<Utc>,
    },
    /// It shows less than the program knew before.
    Earlier {
        /// What it shows.
        now: DateTime<Utc>,
        /// The latest that it was known to be.
        known: DateTime<Utc>,
    },
}

impl Doubt {
    /// By how much it is off, at least: positive if the host is ahead.
    pub fn offset(&self) -> TimeDelta {
        match self {
            Self::Behind { by, .. } => -*by,
            Self::Ahead { now, known } | Self::Earlier { now, known } => *now - *known,
        }
    }

    /// What to say, with what to do.
    pub fn message(&self) -> String {
        let mut text = match self {
            Self::Behind { ahead, heard, by } => format!(
                "{ahead} of the {heard} meters heard last are ahead of this host's clock, the middle one by {} min: \
                 the host is behind (or `timezone` of their profile is wrong)",
                by.num_minutes()
            ),
            Self::Ahead { now, known } => format!(
                "this host's clock says {}, but the program last knew {}: nothing is dropped by the later time yet",
                now.to_rfc3339(),
                known.to_rfc3339()
            ),
            Self::Earlier { now, known } => format!(
                "this host's clock says {}, which is before {} that the program knew already",
                now.to_rfc3339(),
                known.to_rfc3339()
            ),
        };
        text.push_str(
            "; look at `timedatectl`, set the clock by NTP while the daemon runs: what came meanwhile is put right then",
        );
        text
    }
}

/// A meter's last word.
#[derive(Debug)]
struct Heard {
    meter: MeterId,
    /// Its time against that of the arrival.
    lead: TimeDelta,
    /// First arrival of those without a break that were ahead.
    ahead_since: Option<DateTime<Utc>>,
}

/// What was seen of the host's clock.
#[derive(Debug, Default)]
struct Seen {
    /// What it showed at the last look.
    last: Option<DateTime<Utc>>,
    /// Since when it has not jumped.
    since: Option<DateTime<Utc>>,
    /// The oldest word first, one of each meter.
    heard: VecDeque<Heard>,
    /// First arrival ahead of the host, while the host is behind.
    behind_since: Option<DateTime<Utc>>,
    /// The latest time that can be believed.
    known: Option<DateTime<Utc>>,
}

impl Seen {
    fn ahead(&self) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(|heard| heard.lead > STEP_MIN)
    }

    fn ahead_since(&self) -> Option<DateTime<Utc>> {
        let of_meters = self.ahead().filter_map(|heard| heard.ahead_since);
        of_meters.chain(self.behind_since).min()
    }

    fn is_most(&self, count: usize) -> bool {
        self.heard.len() >= HEARD_MIN && count * 2 > self.heard.len()
    }

    /// How many meters are ahead, where these are most.
    fn behind(&self) -> Option<usize> {
        let ahead = self.ahead().count();
        self.is_most(ahead).then_some(ahead)
    }

    /// Most meters heard last have the host's time, to the day.
    fn is_vouched(&self) -> bool {
        let agree = |heard: &&Heard| heard.lead <= STEP_MIN && heard.lead >= -DOUBT_MIN;
        self.is_most(self.heard.iter().filter(agree).count())
    }

    fn know(&mut self, now: DateTime<Utc>, passed: TimeDelta) {
        self.known = Some(match self.known {
            Some(known) if !self.is_vouched() => {
                let most = (passed * CATCH_UP).abs();
                known + (now - known).clamp(-most, most)
            }
            _ => now,
        });
    }
}

/// What is known of the host's clock; a clone shares it.
#[derive(Debug, Clone, Default)]
pub struct HostClock(Arc<Mutex<Seen>>);

impl HostClock {
    /// With the latest time that an earlier run could believe, if there was one.
    pub fn begin(&self, now: DateTime<Utc>, known: Option<DateTime<Utc>>) {
        let mut seen = self.seen();
        seen.last = Some(now);
        seen.since = Some(now);
        seen.known = Some(known.unwrap_or(now));
    }

    /// What a frame of a meter showed: the meter's own time when it came, and the host's. A meter without a
    /// clock is given the host's time and says nothing.
    pub fn hear(&self, meter: &MeterId, shown_at: DateTime<Utc>, received_at: DateTime<Utc>) {
        let lead = shown_at - received_at;
        if lead.is_zero() {
            return;
        }
        let mut seen = self.seen();
        let place = seen.heard.iter().position(|heard| heard.meter == *meter);
        let before = place.and_then(|place| seen.heard.remove(place));
        let ahead_since = (lead > STEP_MIN).then(|| {
            let since = before.and_then(|heard| heard.ahead_since);
            since.map_or(received_at, |since| since.min(received_at))
        });
        if seen.heard.len() >= HEARD_MAX {
            seen.heard.pop_front();
        }
        seen.heard.push_back(Heard {
            meter: meter.clone(),
            lead,
            ahead_since,
        });
        seen.behind_since = seen.behind().and(seen.ahead_since());
    }

    /// Looks at what the clock shows after some time has passed; the jump, if it jumped.
    pub fn look(&self, now: DateTime<Utc>, passed: TimeDelta) -> Option<Step> {
        let mut seen = self.seen();
        let until = seen.last.map_or(now, |last| last + passed);
        let by = now - until;
        let mut step = None;
        if by.abs() > STEP_MIN {
            step = Some(Step {
                since: seen.since.unwrap_or(until),
                ahead_since: seen.ahead_since(),
                until,
                by,
            });
            seen.since = Some(now);
            // They spoke against another time.
            seen.heard.clear();
            seen.behind_since = None;
        }
        seen.last = Some(now);
        seen.know(now, passed);
        step
    }

    /// The latest time that can be believed, to be kept over a restart.
    pub fn known(&self) -> Option<DateTime<Utc>> {
        self.seen().known
    }

    /// The time by which something may be dropped: never later than can be believed.
    pub fn dropping_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.known().map_or(now, |known| known.min(now))
    }

    /// What is amiss.
    pub fn doubt(&self, now: DateTime<Utc>) -> Option<Doubt> {
        let seen = self.seen();
        if let Some(ahead) = seen.behind() {
            let mut leads: Vec<TimeDelta> = seen.ahead().map(|heard| heard.lead).collect();
            leads.sort_unstable();
            return Some(Doubt::Behind {
                ahead,
                heard: seen.heard.len(),
                by: leads.get(leads.len() / 2).copied().unwrap_or_default(),
            });
        }
        let known = seen.known?;
        if now - known > DOUBT_MIN {
            Some(Doubt::Ahead { now, known })
        } else if known - now > DOUBT_MIN {
            Some(Doubt::Earlier { now, known })
        } else {
            None
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn begun(now: i64, known: i64) -> HostClock {
        let host = HostClock::default();
        host.begin(at(now), Some(at(known)));
        host
    }

    #[test]
    fn a_host_behind_most_of_its_meters_is_told_and_one_meter_ahead_is_not() {
        let host = begun(0, 0);
        host.hear(&"a".into(), at(181), at(1));
        host.hear(&"b".into(), at(1), at(2));
        host.hear(&"c".into(), at(2), at(3));
        assert_eq!(host.doubt(at(3)), None);
        host.hear(&"b".into(), at(184), at(4));
        host.hear(&"c".into(), at(183), at(5));
        let Some(doubt @ Doubt::Behind { ahead, heard, .. }) = host.doubt(at(5)) else {
            panic!("{:?}", host.doubt(at(5)));
        };
        assert_eq!((ahead, heard), (3, 3));
        assert_eq!(doubt.offset(), TimeDelta::minutes(-180));
        // Set three hours forward within a second.
        let step = host.look(at(185), SECOND).unwrap();
        assert_eq!(step.ahead_since, Some(at(1)));
        assert_eq!(step.until, at(0) + SECOND);
        assert_eq!(host.doubt(at(185)), None, "they spoke against another time");
    }

    #[test]
    fn meters_that_take_their_time_from_the_arrival_say_nothing() {
        let host = begun(0, 0);
        for meter in ["a", "b", "c"] {
            host.hear(&meter.into(), at(1), at(1));
        }
        assert!(!host.seen().is_vouched());
    }

    #[test]
    fn time_that_passes_is_no_step_and_slewing_is_none() {
        let host = begun(0, 0);
        assert_eq!(host.look(at(60), TimeDelta::minutes(60)), None);
        assert_eq!(host.look(at(124), TimeDelta::minutes(60)), None);
        let step = host.look(at(60), TimeDelta::minutes(60)).unwrap();
        assert_eq!(step.by, TimeDelta::minutes(-124));
        assert_eq!(step.since, at(0));
    }

    #[test]
    fn a_clock_nine_months_ahead_moves_what_may_be_dropped_by_a_day_an_hour_at_most() {
        let wrong = 270 * 1_440;
        let host = begun(wrong, 0);
        assert_eq!(host.dropping_time(at(wrong)), at(0));
        for second in 1..=3_600 {
            host.look(at(wrong) + SECOND * second, SECOND);
        }
        assert_eq!(host.dropping_time(at(wrong + 60)), at(1_440));
        assert!(matches!(
            host.doubt(at(wrong + 60)),
            Some(Doubt::Ahead { .. })
        ));
        // Over a restart.
        let again = begun(wrong + 60, 1_440);
        assert_eq!(again.dropping_time(at(wrong + 60)), at(1_440));
        // Set right, it goes by the host's time, which is earlier.
        again.look(at(62), SECOND);
        assert_eq!(again.dropping_time(at(62)), at(62));
    }

    #[test]
    fn after_a_month_without_the_program_the_meters_vouch_for_the_host() {
        let month = 30 * 1_440;
        let host = begun(month, 0);
        assert!(host.doubt(at(month)).is_some());
        for meter in ["a", "b", "c"] {
            host.hear(&meter.into(), at(month), at(month + 1));
        }
        host.look(at(month + 1), TimeDelta::minutes(1));
        assert_eq!(host.dropping_time(at(month + 1)), at(month + 1));
        assert_eq!(host.doubt(at(month + 1)), None);
    }

    #[test]
    fn a_clock_of_1970_is_told_to_be_earlier_than_what_is_known() {
        let host = begun(0, 0);
        let then = "1970-01-01T00:05:00Z".parse().unwrap();
        host.look(then, SECOND);
        assert!(matches!(host.doubt(then), Some(Doubt::Earlier { .. })));
        assert_eq!(host.known(), Some(at(0) - SECOND * CATCH_UP), "slowly");
        assert_eq!(host.dropping_time(then), then);
    }
}
