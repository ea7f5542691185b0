//! What an enterprise would have used (基准线), fixed before it is asked, and what it saved.
//!
//! # Source
//! METHODS.md, "Baseline 10 of 10"; worked examples: `the_worked_example…` below.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::domain::calendar::{Calendar, DayType, GasDay};
use crate::domain::finding::Quality;
use crate::domain::id::CustomerId;
use crate::domain::quantity::{Yuan, YuanPerM3};
use crate::domain::series::LoadCurve;

/// Like days averaged.
pub const DAYS: usize = 10;
/// How far back like days are looked for.
pub const LOOK_BACK_DAYS: i64 = 45;
/// Fewest like days on working days.
pub const DAYS_MIN_WORKDAY: usize = 5;
/// Fewest like days on other days.
pub const DAYS_MIN_OTHER: usize = 4;
/// The day-of adjustment stays within ± this part.
pub const ADJUSTMENT_MAX: f64 = 0.2;

/// Hourly use of one enterprise by gas day, m³/h; none where it was not measured.
pub type HourlyUse = BTreeMap<GasDay, [Option<f64>; 24]>;

/// Hourly use from the load curves of all meters of an enterprise.
///
/// An hour counts only if every meter with a curve on that day has it and it is no estimate: what
/// we made up ourselves proves nothing to the customer.
pub fn hourly_use<'a>(curves: impl IntoIterator<Item = &'a LoadCurve>) -> HourlyUse {
    let mut out = HourlyUse::new();
    for curve in curves {
        let hours = out.entry(curve.day).or_insert([Some(0.0); 24]);
        for ((sum, volume), quality) in hours.iter_mut().zip(curve.hours).zip(curve.quality) {
            let is_real = quality.has_volume() && quality != Quality::Estimated;
            *sum = sum.filter(|_| is_real).map(|s| s + volume.to_f64());
        }
    }
    out
}

/// What a baseline is made from.
#[derive(Debug)]
pub struct BaselineInput<'a> {
    /// Enterprise.
    pub customer: &'a CustomerId,
    /// Its hourly use.
    pub history: &'a HourlyUse,
    /// Holidays.
    pub calendar: &'a Calendar,
    /// Gas day of the event.
    pub day: GasDay,
    /// Hours of that gas day.
    pub hours: Range<usize>,
    /// Days that do not count: earlier events, maintenance.
    pub excluded: &'a BTreeSet<GasDay>,
    /// Hours just before the enterprise is told, by which the baseline is adjusted.
    pub adjustment: Option<(GasDay, Range<usize>)>,
    /// When it is frozen.
    pub frozen_at: DateTime<Utc>,
}

/// Why there is no baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Too few like days.
    #[error(
        "{have} like days with every hour measured within {LOOK_BACK_DAYS} days, {need} are needed"
    )]
    TooFewDays {
        /// Found.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// No hours.
    #[error("hours {from} to {to} are no window of a gas day")]
    BadWindow {
        /// First hour.
        from: usize,
        /// Last hour, excluded.
        to: usize,
    },
}

/// A frozen baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Baseline {
    /// Enterprise.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Method, `10-of-10`.
    pub method: String,
    /// Gas day of the event.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// First hour of the gas day.
    pub from_hour: usize,
    /// Baseline of each hour of the window, m³/h, adjusted.
    pub hours_m3h: Vec<f64>,
    /// Like days it stands on, latest first.
    #[schema(value_type = Vec<String>)]
    pub days: Vec<GasDay>,
    /// Adjustment found, before the cap; none if it could not be measured.
    pub adjustment_found: Option<f64>,
    /// Adjustment used, within ±20 % of 1.
    pub adjustment: f64,
    /// Spread of the like days' totals, m³: what the window varies by without any event.
    pub noise_m3: f64,
    /// When it was frozen.
    #[schema(value_type = String)]
    pub frozen_at: DateTime<Utc>,
    /// SHA-256 over the days, hours and volumes it was made from, hex.
    pub inputs_sha256: String,
}

impl Baseline {
    /// Volume of the window, m³.
    pub fn volume_m3(&self) -> f64 {
        self.hours_m3h.iter().sum()
    }

    /// Mean of the window, m³/h.
    pub fn mean_m3h(&self) -> f64 {
        self.volume_m3() / self.hours_m3h.len().max(1) as f64
    }
}

type DayHours = Vec<(GasDay, Vec<f64>)>;

/// The ten latest like days before `before` on which every one of `hours` was measured.
fn like_days(
    input: &BaselineInput<'_>,
    like: GasDay,
    before: GasDay,
    hours: &Range<usize>,
) -> DayHours {
    let is_workday = |day: GasDay| input.calendar.day_type(day.0) == DayType::Workday;
    (1..=LOOK_BACK_DAYS)
        .map(|back| before.plus(-back))
        .filter(|day| is_workday(*day) == is_workday(like) && !input.excluded.contains(day))
        .filter_map(|day| {
            let values: Option<Vec<f64>> = input
                .history
                .get(&day)?
                .get(hours.clone())?
                .iter()
                .copied()
                .collect();
            values.map(|v| (day, v))
        })
        .take(DAYS)
        .collect()
}

fn mean_by_hour(days: &DayHours, hours: usize) -> Vec<f64> {
    (0..hours)
        .map(|hour| {
            days.iter().filter_map(|(_, v)| v.get(hour)).sum::<f64>() / days.len().max(1) as f64
        })
        .collect()
}

/// Freezes the baseline of an event.
///
/// # Errors
/// [`BaselineError`] if the enterprise has too little measured history for an honest one.
pub fn freeze(input: &BaselineInput<'_>) -> Result<Baseline, BaselineError> {
    if input.hours.start >= input.hours.end || input.hours.end > 24 {
        return Err(BaselineError::BadWindow {
            from: input.hours.start,
            to: input.hours.end,
        });
    }
    // A day-ahead suggestion is made the day before: nothing from then on may enter.
    let told_on = input.adjustment.as_ref().map_or(input.day, |a| a.0);
    let days = like_days(input, input.day, told_on.min(input.day), &input.hours);
    let need = if input.calendar.day_type(input.day.0) == DayType::Workday {
        DAYS_MIN_WORKDAY
    } else {
        DAYS_MIN_OTHER
    };
    if days.len() < need {
        return Err(BaselineError::TooFewDays {
            have: days.len(),
            need,
        });
    }
    let adjustment_found = input
        .adjustment
        .as_ref()
        .and_then(|(day, hours)| ratio(input, *day, hours));
    let adjustment = adjustment_found
        .unwrap_or(1.0)
        .clamp(1.0 - ADJUSTMENT_MAX, 1.0 + ADJUSTMENT_MAX);
    let hours_m3h: Vec<f64> = mean_by_hour(&days, input.hours.len())
        .into_iter()
        .map(|v| v * adjustment)
        .collect();
    Ok(Baseline {
        customer: input.customer.clone(),
        method: "10-of-10".into(),
        day: input.day,
        from_hour: input.hours.start,
        hours_m3h,
        adjustment_found,
        adjustment,
        noise_m3: spread(&days) * adjustment,
        frozen_at: input.frozen_at,
        inputs_sha256: inputs_hash(input, &days, adjustment_found),
        days: days.into_iter().map(|d| d.0).collect(),
    })
}

/// Use in the adjustment hours over what like days had in them.
fn ratio(input: &BaselineInput<'_>, day: GasDay, hours: &Range<usize>) -> Option<f64> {
    let observed: Option<Vec<f64>> = input
        .history
        .get(&day)?
        .get(hours.clone())?
        .iter()
        .copied()
        .collect();
    let observed: f64 = observed?.iter().sum();
    let days = like_days(input, day, day, hours);
    if days.len() < DAYS_MIN_OTHER {
        return None;
    }
    let base: f64 = mean_by_hour(&days, hours.len()).iter().sum();
    (base > 0.0).then(|| observed / base)
}

/// Sample standard deviation of the days' totals.
fn spread(days: &DayHours) -> f64 {
    let totals: Vec<f64> = days.iter().map(|(_, v)| v.iter().sum()).collect();
    let count = totals.len() as f64;
    if count < 2.0 {
        return 0.0;
    }
    let mean = totals.iter().sum::<f64>() / count;
    (totals.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt()
}

fn inputs_hash(input: &BaselineInput<'_>, days: &DayHours, adjustment: Option<f64>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: String| {
        hash.update(text.as_bytes());
        hash.update(b"\n");
    };
    add(format!(
        "{} {} {}..{}",
        input.customer, input.day, input.hours.start, input.hours.end
    ));
    for (day, values) in days {
        let values: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
        add(format!("{day} {}", values.join(" ")));
    }
    add(format!("{adjustment:?}"));
    hex::encode(hash.finalize())
}

/// Result of an event (效果回执).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// Baseline, m³.
    pub baseline_m3: f64,
    /// Actual, m³.
    pub actual_m3: f64,
    /// Baseline less actual, m³; negative if more was used.
    pub reduction_m3: f64,
    /// Part of the baseline.
    pub reduction_ratio: f64,
    /// Whether the reduction is larger than what varies without any event; if not, nothing is
    /// claimed.
    pub is_claimed: bool,
    /// Reduction × price gap, 元; zero if nothing is claimed.
    #[schema(value_type = String)]
    pub saved: Yuan,
}

/// Measures an event against its frozen baseline; none unless every hour was measured.
pub fn measure(
    baseline: &Baseline,
    actual_m3h: &[Option<f64>],
    gap: YuanPerM3,
) -> Option<Measured> {
    if actual_m3h.len() != baseline.hours_m3h.len() {
        return None;
    }
    let actual: Option<Vec<f64>> = actual_m3h.iter().copied().collect();
    let actual_m3: f64 = actual?.iter().sum();
    let baseline_m3 = baseline.volume_m3();
    let reduction_m3 = baseline_m3 - actual_m3;
    let is_claimed = reduction_m3 > 0.0 && reduction_m3 > baseline.noise_m3;
    Some(Measured {
        baseline_m3,
        actual_m3,
        reduction_m3,
        reduction_ratio: if baseline_m3 > 0.0 {
            reduction_m3 / baseline_m3
        } else {
            0.0
        },
        is_claimed,
        saved: if is_claimed {
            Yuan::from_f64(reduction_m3 * gap.to_f64())
        } else {
            Yuan::default()
        },
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::id::MeterId;
    use crate::domain::quantity::StdVolume;
    use crate::plan::fixture;

    /// `level` m³/h in every hour of the 60 days up to and with 2026-11-20.
    pub(crate) fn flat(level: f64) -> HourlyUse {
        let last: GasDay = "2026-11-20".parse().unwrap();
        (0..60)
            .map(|i| (last.plus(-i), [Some(level); 24]))
            .collect()
    }

    fn frozen(history: &HourlyUse, day: &str) -> Result<Baseline, BaselineError> {
        let day: GasDay = day.parse().unwrap();
        freeze(&BaselineInput {
            customer: &"I1".into(),
            history,
            calendar: &fixture::calendar(),
            day,
            hours: 9..13,
            excluded: &BTreeSet::from(["2026-11-18".parse().unwrap()]),
            adjustment: Some((day.plus(-1), 4..7)),
            frozen_at: fixture::at("2026-11-22T16:00:00+08:00"),
        })
    }

    /// 1000 m³/h on like days, 1000 × `ratio` in the adjustment hours of 2026-11-22 (a Sunday).
    fn worked(ratio: f64) -> HourlyUse {
        let mut history = flat(1000.0);
        history.insert("2026-11-21".parse().unwrap(), [Some(1000.0); 24]);
        history.insert("2026-11-22".parse().unwrap(), [Some(1000.0 * ratio); 24]);
        history
    }

    fn gap() -> YuanPerM3 {
        YuanPerM3("1.15".parse().unwrap())
    }

    #[test]
    fn the_worked_example_saves_920_m3() {
        let baseline = frozen(&worked(1.15), "2026-11-23").unwrap();
        assert!((baseline.adjustment - 1.15).abs() < 1e-12);
        assert!((baseline.volume_m3() - 4600.0).abs() < 1e-9);
        let result = measure(&baseline, &[Some(920.0); 4], gap()).unwrap();
        assert!((result.reduction_m3 - 920.0).abs() < 1e-9);
        assert!((result.reduction_ratio - 0.20).abs() < 1e-12);
        assert!(result.is_claimed);
        assert_eq!(result.saved.to_string(), "1058.00");
    }

    #[test]
    fn the_adjustment_is_capped() {
        let baseline = frozen(&worked(1.35), "2026-11-23").unwrap();
        assert!((baseline.adjustment_found.unwrap() - 1.35).abs() < 1e-12);
        assert!((baseline.volume_m3() - 4800.0).abs() < 1e-9);
        let result = measure(&baseline, &[Some(920.0); 4], gap()).unwrap();
        assert!((result.reduction_m3 - 1120.0).abs() < 1e-9);
        let low = frozen(&worked(0.2), "2026-11-23").unwrap();
        assert!((low.adjustment - 0.8).abs() < 1e-12);
    }

    #[test]
    fn like_days_are_of_the_same_kind_and_not_excluded() {
        let baseline = frozen(&worked(1.0), "2026-11-23").unwrap();
        assert_eq!(baseline.days.len(), DAYS);
        let calendar = fixture::calendar();
        for day in &baseline.days {
            assert_eq!(calendar.day_type(day.0), DayType::Workday);
            assert_ne!(day.to_string(), "2026-11-18");
            assert!(day.to_string().as_str() < "2026-11-22");
        }
        let weekend = frozen(&flat(1000.0), "2026-11-21").unwrap();
        assert!(
            weekend
                .days
                .iter()
                .all(|d| calendar.day_type(d.0) != DayType::Workday)
        );
    }

    #[test]
    fn too_little_history_is_an_error_with_numbers() {
        let mut history = flat(1000.0);
        let keep: GasDay = "2026-11-17".parse().unwrap();
        history.retain(|day, _| *day > keep);
        let error = frozen(&history, "2026-11-23").unwrap_err();
        assert_eq!(error, BaselineError::TooFewDays { have: 2, need: 5 });
        assert!(error.to_string().contains("2 like days"), "{error}");
    }

    #[test]
    fn a_day_with_a_missing_hour_does_not_count() {
        let mut history = worked(1.0);
        let day: GasDay = "2026-11-20".parse().unwrap();
        history.get_mut(&day).unwrap()[10] = None;
        let baseline = frozen(&history, "2026-11-23").unwrap();
        assert!(!baseline.days.contains(&day));
    }

    #[test]
    fn within_the_noise_nothing_is_claimed() {
        let mut history = worked(1.0);
        for (at, hours) in history.values_mut().enumerate() {
            let level = if at % 2 == 0 { 900.0 } else { 1100.0 };
            *hours = [Some(level); 24];
        }
        let baseline = frozen(&history, "2026-11-23").unwrap();
        assert!(baseline.noise_m3 > 300.0, "{}", baseline.noise_m3);
        let little = measure(&baseline, &[Some(baseline.mean_m3h() - 50.0); 4], gap()).unwrap();
        assert!(!little.is_claimed && little.saved == Yuan::default());
        let more = measure(&baseline, &[Some(2000.0); 4], gap()).unwrap();
        assert!(!more.is_claimed && more.reduction_m3 < 0.0);
        assert_eq!(
            measure(&baseline, &[Some(1.0), None, Some(1.0), Some(1.0)], gap()),
            None
        );
    }

    #[test]
    fn the_hash_follows_the_inputs() {
        let a = frozen(&worked(1.0), "2026-11-23").unwrap();
        let again = frozen(&worked(1.0), "2026-11-23").unwrap();
        assert_eq!(a.inputs_sha256, again.inputs_sha256);
        let mut changed = worked(1.0);
        changed.get_mut(&a.days[3]).unwrap()[9] = Some(1000.5);
        let b = frozen(&changed, "2026-11-23").unwrap();
        assert_ne!(a.inputs_sha256, b.inputs_sha256);
    }

    #[test]
    fn estimated_hours_prove_nothing() {
        let mut one = LoadCurve::missing(MeterId::from("M1"), "2026-11-20".parse().unwrap());
        one.hours = [StdVolume::from_m3(10); 24];
        one.quality = [Quality::Measured; 24];
        let mut two = one.clone();
        two.quality[3] = Quality::Estimated;
        let use_of = hourly_use([&one, &two]);
        let hours = use_of[&one.day];
        assert_eq!(hours[0], Some(20.0));
        assert_eq!(hours[3], None);
    }
}
