//! When and how often an enterprise may be nudged. Pure: the answer depends on the arguments alone.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::domain::calendar::{beijing_civil, beijing_instant};
use crate::domain::id::CustomerId;
use crate::settings::NudgeSettings;

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Quiet from this civil time of day (夜间免打扰)…
    pub quiet_from: NaiveTime,
    /// … to this one; the same time twice means never quiet.
    pub quiet_to: NaiveTime,
    /// Messages to one enterprise in a civil day at most.
    pub per_day_max: u32,
    /// Messages to one enterprise in any seven days at most.
    pub per_week_max: u32,
}

impl From<&NudgeSettings> for Policy {
    fn from(settings: &NudgeSettings) -> Self {
        Self {
            quiet_from: settings.quiet_from,
            quiet_to: settings.quiet_to,
            per_day_max: settings.per_day_max,
            per_week_max: settings.per_week_max,
        }
    }
}

/// A message that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRecord {
    /// To whom.
    pub customer: CustomerId,
    /// When.
    pub sent_at: DateTime<Utc>,
}

/// Why a message must wait or stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// The enterprise does not want any.
    #[error("the enterprise has opted out, or answered 3 within seven days")]
    OptedOut,
    /// Night.
    #[error("quiet hours until {until}")]
    QuietHours {
        /// When they end.
        until: DateTime<Utc>,
    },
    /// Enough for today.
    #[error("{sent} messages today, {max} at most")]
    PerDay {
        /// Sent today.
        sent: usize,
        /// At most.
        max: u32,
    },
    /// Enough for seven days.
    #[error("{sent} messages in seven days, {max} at most")]
    PerWeek {
        /// Sent in seven days.
        sent: usize,
        /// At most.
        max: u32,
    },
}

impl Policy {
    /// Whether an instant lies in the quiet hours.
    pub fn is_quiet(&self, at: DateTime<Utc>) -> bool {
        let time = beijing_civil(at).time();
        if self.quiet_from <= self.quiet_to {
            self.quiet_from <= time && time < self.quiet_to
        } else {
            self.quiet_from <= time || time < self.quiet_to
        }
    }

    /// The first instant from `at` on that is not quiet.
    pub fn next_allowed_at(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        if !self.is_quiet(at) {
            return at;
        }
        let civil = beijing_civil(at);
        let mut date = civil.date_naive();
        if civil.time() >= self.quiet_to {
            date += TimeDelta::days(1);
        }
        beijing_instant(date, self.quiet_to)
    }

    /// Whether a message to `customer` may leave at `at`, given everything that left before.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_send(
        &self,
        customer: &CustomerId,
        at: DateTime<Utc>,
        sent: &[SentRecord],
        opted_out: &BTreeSet<CustomerId>,
    ) -> Result<(), Hold> {
        if opted_out.contains(customer) {
            return Err(Hold::OptedOut);
        }
        if self.is_quiet(at) {
            return Err(Hold::QuietHours {
                until: self.next_allowed_at(at),
            });
        }
        let count = |counts: &dyn Fn(DateTime<Utc>) -> bool| {
            sent.iter()
                .filter(|s| s.customer == *customer && counts(s.sent_at))
                .count()
        };
        let today = beijing_civil(at).date_naive();
        let in_day = count(&|t| beijing_civil(t).date_naive() == today);
        if in_day >= self.per_day_max as usize {
            return Err(Hold::PerDay {
                sent: in_day,
                max: self.per_day_max,
            });
        }
        // Seven days in either direction, so that a clock set back opens no gap.
        let in_week = count(&|t| (at - t).abs() < TimeDelta::days(7));
        if in_week >= self.per_week_max as usize {
            return Err(Hold::PerWeek {
                sent: in_week,
                max: self.per_week_max,
            });
        }
        Ok(())
    }
}

impl Policy {
    /// Whether a receipt to `customer` may leave at `at`: by day, to one who wants messages, and not
    /// on the day of a suggestion.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_send_receipt(
        &self,
        customer: &CustomerId,
        at: DateTime<Utc>,
        sent: &[SentRecord],
        opted_out: &BTreeSet<CustomerId>,
    ) -> Result<(), Hold> {
        let today = beijing_civil(at).date_naive();
        let one_a_day = Self {
            per_day_max: 1,
            per_week_max: u32::MAX,
            ..self.clone()
        };
        let of_today: Vec<SentRecord> = sent
            .iter()
            .filter(|s| beijing_civil(s.sent_at).date_naive() == today)
            .cloned()
            .collect();
        one_a_day.may_send(customer, at, &of_today, opted_out)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::fixture::at;
    use proptest::prelude::*;

    pub(crate) fn policy() -> Policy {
        let time = |h, m| NaiveTime::from_hms_opt(h, m, 0).unwrap();
        Policy {
            quiet_from: time(21, 30),
            quiet_to: time(7, 30),
            per_day_max: 1,
            per_week_max: 3,
        }
    }

    #[test]
    fn nights_are_quiet_to_the_minute() {
        let p = policy();
        assert!(!p.is_quiet(at("2026-11-20T21:29:59+08:00")));
        assert!(p.is_quiet(at("2026-11-20T21:30:00+08:00")));
        assert!(p.is_quiet(at("2026-11-21T07:29:59+08:00")));
        assert!(!p.is_quiet(at("2026-11-21T07:30:00+08:00")));
        let morning = at("2026-11-21T07:30:00+08:00");
        assert_eq!(p.next_allowed_at(at("2026-11-20T23:00:00+08:00")), morning);
        assert_eq!(p.next_allowed_at(at("2026-11-21T03:00:00+08:00")), morning);
        assert_eq!(p.next_allowed_at(morning), morning);
        let never = Policy {
            quiet_to: p.quiet_from,
            ..p
        };
        assert!(!never.is_quiet(at("2026-11-20T21:30:00+08:00")));
    }

    #[test]
    fn once_a_day_and_three_times_a_week() {
        let p = policy();
        let sent = |texts: &[&str]| -> Vec<SentRecord> {
            texts
                .iter()
                .map(|t| SentRecord {
                    customer: "I1".into(),
                    sent_at: at(t),
                })
                .collect()
        };
        let none = BTreeSet::new();
        let may =
            |records: &[SentRecord], when: &str| p.may_send(&"I1".into(), at(when), records, &none);
        let one = sent(&["2026-11-20T09:00:00+08:00"]);
        assert!(matches!(
            may(&one, "2026-11-20T15:00:00+08:00"),
            Err(Hold::PerDay { sent: 1, max: 1 })
        ));
        assert_eq!(may(&one, "2026-11-21T09:00:00+08:00"), Ok(()));
        let three = sent(&[
            "2026-11-18T09:00:00+08:00",
            "2026-11-19T09:00:00+08:00",
            "2026-11-20T09:00:00+08:00",
        ]);
        assert!(matches!(
            may(&three, "2026-11-25T08:59:00+08:00"),
            Err(Hold::PerWeek { .. })
        ));
        assert_eq!(may(&three, "2026-11-25T09:00:00+08:00"), Ok(()));
        // Another enterprise's messages do not count.
        assert_eq!(
            p.may_send(&"I2".into(), at("2026-11-20T15:00:00+08:00"), &three, &none),
            Ok(())
        );
        let out = BTreeSet::from([CustomerId::from("I1")]);
        assert_eq!(
            p.may_send(&"I1".into(), at("2026-11-25T12:00:00+08:00"), &[], &out),
            Err(Hold::OptedOut)
        );
    }

    #[test]
    fn a_receipt_waits_for_the_morning_and_for_a_day_without_a_suggestion() {
        let p = policy();
        let none = BTreeSet::new();
        let sent = ["2026-11-18", "2026-11-19", "2026-11-20"].map(|day| SentRecord {
            customer: "I1".into(),
            sent_at: at(&format!("{day}T09:00:00+08:00")),
        });
        let may = |when: &str| p.may_send_receipt(&"I1".into(), at(when), &sent, &none);
        assert!(matches!(
            may("2026-11-20T10:00:00+08:00"),
            Err(Hold::PerDay { .. })
        ));
        assert!(matches!(
            may("2026-11-21T07:00:00+08:00"),
            Err(Hold::QuietHours { .. })
        ));
        // Three suggestions in seven days hold no answer back.
        assert_eq!(may("2026-11-21T08:00:00+08:00"), Ok(()));
        let out = BTreeSet::from([CustomerId::from("I1")]);
        assert_eq!(
            p.may_send_receipt(&"I1".into(), at("2026-11-21T08:00:00+08:00"), &[], &out),
            Err(Hold::OptedOut)
        );
    }

    proptest! {
        /// Whatever is tried whenever, what leaves keeps every rule.
        #[test]
        fn nobody_is_nudged_too_often_at_night_or_after_opting_out(
            tries in prop::collection::vec((0_i64..60 * 24 * 20, 0_usize..3), 1..200),
            out_at in 0_i64..60 * 24 * 20,
        ) {
            let p = policy();
            let start = at("2026-11-01T00:00:00+08:00");
            let mut sent: Vec<SentRecord> = Vec::new();
            let mut tries = tries;
            tries.sort_unstable();
            for (minute, who) in tries {
                let customer = CustomerId::new(format!("I{who}"));
                let now = start + TimeDelta::minutes(minute);
                let mut opted_out = BTreeSet::new();
                if minute >= out_at {
                    opted_out.insert(CustomerId::from("I1"));
                }
                if p.may_send(&customer, now, &sent, &opted_out).is_ok() {
                    sent.push(SentRecord { customer, sent_at: now });
                }
            }
            for (i, s) in sent.iter().enumerate() {
                prop_assert!(!p.is_quiet(s.sent_at));
                prop_assert!(s.customer.as_str() != "I1" || s.sent_at < start + TimeDelta::minutes(out_at));
                let same = |t: &&SentRecord| t.customer == s.customer;
                let day = sent.iter().filter(same).filter(|t| {
                    beijing_civil(t.sent_at).date_naive() == beijing_civil(s.sent_at).date_naive()
                }).count();
                prop_assert!(day <= 1);
                let week = sent[i..].iter().filter(same)
                    .filter(|t| t.sent_at - s.sent_at < TimeDelta::days(7)).count();
                prop_assert!(week <= 3);
            }
        }
    }
}
