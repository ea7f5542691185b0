//! What an enterprise would have used (基准线), fixed before it is asked.
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
use crate::domain::id::{CustomerId, MeterId};
use crate::domain::meter::Meter;
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

/// How far an hour of an enterprise is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HourQuality {
    /// 实测: every meter has the hour from its readings, or a person decided it.
    Measured,
    /// 估算: every meter has the hour, at least one by estimation.
    Estimated,
    /// 缺数: at least one meter has nothing.
    Missing,
}

/// One hour of an enterprise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HourUse {
    /// All meters together, m³/h; none if one of them has nothing.
    pub m3h: Option<f64>,
    /// How far it is known.
    pub quality: HourQuality,
}

/// Hours of an enterprise on a gas day: the sum over its meters that were installed by then.
///
/// A meter without a curve of that day has no hour of it: missing is not zero. Without any meter
/// nothing is known.
pub fn hours_of<'a>(
    meters: &[&Meter],
    day: GasDay,
    curves: impl IntoIterator<Item = &'a LoadCurve>,
) -> [HourUse; 24] {
    let curves: BTreeMap<&MeterId, &LoadCurve> = curves
        .into_iter()
        .filter(|curve| curve.day == day)
        .map(|curve| (&curve.meter, curve))
        .collect();
    let installed: Vec<&Meter> = meters
        .iter()
        .copied()
        .filter(|m| m.is_installed_on(day))
        .collect();
    let none = HourUse {
        m3h: None,
        quality: HourQuality::Missing,
    };
    if installed.is_empty() {
        return [none; 24];
    }
    std::array::from_fn(|hour| {
        let mut sum = HourUse {
            m3h: Some(0.0),
            quality: HourQuality::Measured,
        };
        for meter in &installed {
            let of_hour = curves
                .get(&meter.id)
                .and_then(|curve| Some((curve.hours.get(hour)?, *curve.quality.get(hour)?)))
                .filter(|(_, quality)| quality.has_volume());
            let Some((volume, quality)) = of_hour else {
                return none;
            };
            sum.m3h = sum.m3h.map(|m3| m3 + volume.to_f64());
            if quality == Quality::Estimated {
                sum.quality = HourQuality::Estimated;
            }
        }
        sum
    })
}

/// Hourly use from the load curves of an enterprise's meters.
///
/// An hour counts only if every meter has it and none by estimation: what we made up ourselves
/// proves nothing to the customer.
pub fn hourly_use(meters: &[&Meter], curves: &[LoadCurve]) -> HourlyUse {
    let mut by_day: BTreeMap<GasDay, Vec<&LoadCurve>> = BTreeMap::new();
    for curve in curves {
        by_day.entry(curve.day).or_default().push(curve);
    }
    by_day
        .into_iter()
        .map(|(day, curves)| {
            let hours = hours_of(meters, day, curves);
            let measured =
                hours.map(|hour| hour.m3h.filter(|_| hour.quality == HourQuality::Measured));
            (day, measured)
        })
        .collect()
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
    /// Days that do not count: earlier events, days on which the enterprise stood still by
    /// announcement. Public holidays never count.
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
    /// Baseline of every hour of the gas day, m³/h, adjusted likewise: what tells volume that moved
    /// to other hours from volume that was not used. Empty if too few like days were measured whole.
    #[serde(default)]
    pub day_m3h: Vec<f64>,
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

/// Whether a day says something about usual use.
fn is_ordinary(input: &BaselineInput<'_>, day: GasDay) -> bool {
    input.calendar.day_type(day.0) != DayType::Holiday && !input.excluded.contains(&day)
}

/// The ten latest like days before `before` on which every one of `hours` was measured: working
/// days for a working day, weekends for any other, holidays and excluded days for none.
fn like_days(
    input: &BaselineInput<'_>,
    like: GasDay,
    before: GasDay,
    hours: &Range<usize>,
) -> DayHours {
    let is_workday = |day: GasDay| input.calendar.day_type(day.0) == DayType::Workday;
    (1..=LOOK_BACK_DAYS)
        .map(|back| before.plus(-back))
        .filter(|day| is_workday(*day) == is_workday(like) && is_ordinary(input, *day))
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
        day_m3h: whole_day(input, &days, adjustment),
        frozen_at: input.frozen_at,
        inputs_sha256: inputs_hash(input, &days, adjustment_found),
        days: days.into_iter().map(|d| d.0).collect(),
    })
}

/// Mean of those like days of which every hour was measured; empty if they are too few.
fn whole_day(input: &BaselineInput<'_>, days: &DayHours, adjustment: f64) -> Vec<f64> {
    let whole: DayHours = days
        .iter()
        .filter_map(|(day, _)| {
            let hours = input.history.get(day)?;
            Some((*day, hours.iter().copied().collect::<Option<Vec<f64>>>()?))
        })
        .collect();
    if whole.len() < DAYS_MIN_OTHER {
        return Vec::new();
    }
    let mean = mean_by_hour(&whole, 24);
    mean.into_iter().map(|v| v * adjustment).collect()
}

/// Use in the adjustment hours over what like days had in them.
///
/// None on a holiday or an excluded day, which are unlike any other.
fn ratio(input: &BaselineInput<'_>, day: GasDay, hours: &Range<usize>) -> Option<f64> {
    if !is_ordinary(input, day) {
        return None;
    }
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

#[cfg(test)]
pub(crate) mod tests;
