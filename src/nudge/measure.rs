//! The measured result of an event (效果核算): actual use against the baseline frozen before it.
//!
//! # Source
//! METHODS.md, "Result of a nudge"; worked examples: `the_worked_example…` in the tests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::quantity::{Yuan, YuanPerM3};
use crate::nudge::baseline::{Baseline, HourQuality, HourUse};

/// Hours after the window in which use that was put off comes back.
pub const REBOUND_HOURS: usize = 4;

/// What can be said of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 计削减: measured, and less than the baseline by more than varies without any event.
    Reduced,
    /// 未超出日常波动: measured, and no reduction beyond what varies without any event.
    WithinNoise,
    /// 含估算: hours of the window are estimates of ours, which prove nothing.
    Estimated,
    /// 缺数: hours of the window are not known.
    Incomplete,
}

impl Outcome {
    /// The key used in JSON and templates.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Reduced => "reduced",
            Self::WithinNoise => "within_noise",
            Self::Estimated => "estimated",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One hour of the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuredHour {
    /// Hour of the gas day, 0 to 23.
    pub hour: usize,
    /// Frozen baseline, m³/h.
    pub baseline_m3h: f64,
    /// Actual, m³/h; none if missing.
    pub actual_m3h: Option<f64>,
    /// How far it is known.
    pub quality: HourQuality,
}

/// Result of an event.
///
/// # Units
/// m³, rounded to 0.0001, unless a name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// What can be said.
    pub outcome: Outcome,
    /// Hours of the window.
    pub hours: Vec<MeasuredHour>,
    /// Hours of the window that are estimates.
    pub hours_estimated: usize,
    /// Hours of the window that are missing.
    pub hours_missing: usize,
    /// Baseline of the window.
    pub baseline_m3: f64,
    /// Actual use of the window, estimates included; none with a missing hour.
    pub actual_m3: Option<f64>,
    /// Baseline less actual; negative if more was used.
    pub reduction_m3: Option<f64>,
    /// One in ten: the reduction is smaller. The like days' spread as the error of the baseline,
    /// Student's t.
    pub reduction_p10_m3: Option<f64>,
    /// One in ten: the reduction is larger.
    pub reduction_p90_m3: Option<f64>,
    /// Part of the baseline.
    pub reduction_ratio: Option<f64>,
    /// What the window varies by without any event; smaller reductions are not claimed.
    pub noise_m3: f64,
    /// What was asked for, or what the enterprise promised for a part of it.
    pub committed_m3: f64,
    /// 履约率: reduction over what was asked for or promised; none if nothing was.
    pub performance_ratio: Option<f64>,
    /// Use above the baseline in the four hours after the window, as far as the gas day goes; none
    /// if an hour of them or their baseline is unknown.
    pub rebound_m3: Option<f64>,
    /// Baseline less actual of the whole gas day: what was not used at all rather than moved.
    pub day_reduction_m3: Option<f64>,
    /// Whether the reduction is claimed.
    pub is_claimed: bool,
    /// Reduction × price gap, 元; zero if nothing is claimed.
    #[schema(value_type = String)]
    pub saved: Yuan,
}

impl Measured {
    /// Whether a receipt says the same of both.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.outcome == other.outcome
            && self.hours_estimated == other.hours_estimated
            && self.hours_missing == other.hours_missing
            && self.saved == other.saved
            && is_near(self.actual_m3, other.actual_m3)
    }

    /// Whether both are the same, but for the last digit of what went through JSON.
    pub fn is_same(&self, other: &Self) -> bool {
        self.says_the_same(other)
            && self.hours.len() == other.hours.len()
            && self
                .hours
                .iter()
                .zip(&other.hours)
                .all(|(a, b)| a.quality == b.quality && is_near(a.actual_m3h, b.actual_m3h))
            && is_near(Some(self.committed_m3), Some(other.committed_m3))
            && is_near(self.rebound_m3, other.rebound_m3)
            && is_near(self.day_reduction_m3, other.day_reduction_m3)
    }
}

/// Volumes are kept to 0.0001 m³; half of that is no difference.
fn is_near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 5e-5,
        (None, None) => true,
        _ => false,
    }
}

fn exact(m3: f64) -> f64 {
    (m3 * 1e4).round() / 1e4
}

/// Measures an event against its frozen baseline.
///
/// `day` are the enterprise's hours of the event's gas day, `committed_m3` what it was asked for or
/// promised, `gap` the price gap as told, 元/m³.
pub fn measure(
    baseline: &Baseline,
    day: &[HourUse; 24],
    committed_m3: f64,
    gap: YuanPerM3,
) -> Measured {
    let missing = HourUse {
        m3h: None,
        quality: HourQuality::Missing,
    };
    let hours: Vec<MeasuredHour> = baseline
        .hours_m3h
        .iter()
        .zip(baseline.from_hour..)
        .map(|(expected, hour)| {
            let used = day.get(hour).copied().unwrap_or(missing);
            MeasuredHour {
                hour,
                baseline_m3h: exact(*expected),
                actual_m3h: used.m3h.map(exact),
                quality: used.quality,
            }
        })
        .collect();
    let count = |quality| hours.iter().filter(|h| h.quality == quality).count();
    let hours_estimated = count(HourQuality::Estimated);
    let hours_missing = count(HourQuality::Missing);
    let actual_m3: Option<f64> = hours.iter().map(|h| h.actual_m3h).sum();
    let baseline_m3 = baseline.volume_m3();
    let noise_m3 = baseline.noise_m3;
    let reduction_m3 = actual_m3.map(|actual| baseline_m3 - actual);
    let outcome = match reduction_m3 {
        None => Outcome::Incomplete,
        Some(_) if hours_estimated > 0 => Outcome::Estimated,
        Some(less) if less > 0.0 && less > noise_m3 => Outcome::Reduced,
        Some(_) => Outcome::WithinNoise,
    };
    let is_claimed = outcome == Outcome::Reduced;
    let half_band_m3 = band(baseline.days.len()) * noise_m3;
    let until = baseline.from_hour + baseline.hours_m3h.len();
    let part_of = |whole: f64| {
        reduction_m3
            .filter(|_| whole > 0.0)
            .map(|less| exact(less / whole))
    };
    Measured {
        outcome,
        hours_estimated,
        hours_missing,
        baseline_m3: exact(baseline_m3),
        actual_m3: actual_m3.map(exact),
        reduction_m3: reduction_m3.map(exact),
        reduction_p10_m3: reduction_m3.map(|less| exact(less - half_band_m3)),
        reduction_p90_m3: reduction_m3.map(|less| exact(less + half_band_m3)),
        reduction_ratio: part_of(baseline_m3),
        noise_m3: exact(noise_m3),
        committed_m3: exact(committed_m3),
        performance_ratio: part_of(committed_m3),
        rebound_m3: less_between(baseline, day, until, (until + REBOUND_HOURS).min(24))
            .map(|less| exact(-less)),
        day_reduction_m3: less_between(baseline, day, 0, 24).map(exact),
        is_claimed,
        saved: match reduction_m3.filter(|_| is_claimed) {
            Some(less) => Yuan::from_f64(less * gap.to_f64()),
            None => Yuan::default(),
        },
        hours,
    }
}

/// Baseline less actual over hours of the gas day; none if one of either is unknown, or there are
/// no hours.
fn less_between(baseline: &Baseline, day: &[HourUse; 24], from: usize, to: usize) -> Option<f64> {
    let expected = baseline.day_m3h.get(from..to)?;
    let used = day.get(from..to)?;
    if used.is_empty() {
        return None;
    }
    expected
        .iter()
        .zip(used)
        .map(|(expected, used)| Some(expected - used.m3h?))
        .sum()
}

/// Half the width of P10 to P90 of a new day against the mean of `n` days, in their sample standard
/// deviations: t₀.₉₀(n − 1) × √(1 + 1/n).
fn band(n: usize) -> f64 {
    /// t at 90 % for 1 to 9 degrees of freedom.
    const T90: [f64; 9] = [
        3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383,
    ];
    let t = n
        .checked_sub(2)
        .and_then(|at| T90.get(at.min(T90.len() - 1)))
        .copied()
        .unwrap_or(0.0);
    t * (1.0 + 1.0 / n.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
