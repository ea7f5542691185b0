//! The baseline: the last known same weekday. Always beside every model, and the fallback for
//! histories too short to learn from.

use crate::forecast::models::paths::{ResidualPath, fill_unknown, level_factor};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;

/// Name in results.
pub const NAME: &str = "seasonal_naive";
/// Complete days it needs: a week, and one day to see an error.
pub const DAYS_MIN: usize = 8;
/// Weeks it looks back over gaps.
const WEEKS_BACK: usize = 8;

/// Expected demand at a lead (1, 2, …) after `origin`: the last known day of the same weekday, else
/// the last known day. None if nothing is known within eight weeks.
pub fn expected(values: &[f64], origin: usize, lead: usize) -> Option<f64> {
    let back_to_weekday = (7 - lead % 7) % 7;
    let known = |i: usize| values.get(i).copied().filter(|v| v.is_finite());
    (0..WEEKS_BACK)
        .filter_map(|week| origin.checked_sub(back_to_weekday + 7 * week))
        .find_map(known)
        .or_else(|| {
            (0..7 * WEEKS_BACK)
                .filter_map(|d| origin.checked_sub(d))
                .find_map(known)
        })
}

/// Weeks of which [`recent_weeks`] is the mean.
const WEEKS_MEAN: usize = 4;
/// Days of the year-old week that are as far from the week's own day.
const YEAR_DAYS: usize = 364;
/// Days by which the present level is held against that of a year ago.
const LEVEL_DAYS: usize = 28;
/// Level ratios beyond these say that a year ago was another network.
const LEVEL_RATIO: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Mean of the same weekday in the last four weeks known at `origin`.
pub fn recent_weeks(values: &[f64], origin: usize, lead: usize) -> Option<f64> {
    let back = (7 - lead % 7) % 7;
    let (mut sum, mut count) = (0.0, 0.0);
    for week in 0..WEEKS_MEAN {
        let value = origin
            .checked_sub(back + 7 * week)
            .and_then(|i| values.get(i));
        if let Some(value) = value.filter(|v| v.is_finite()) {
            sum += value;
            count += 1.0;
        }
    }
    (count > 0.0).then(|| sum / count)
}

/// Level of the last four weeks to that of the same weeks a year before; none without such a year, or
/// where it was another network.
pub fn level_ratio(values: &[f64], origin: usize) -> Option<f64> {
    let (mut now_sum, mut then_sum) = (0.0, 0.0);
    for back in 0..LEVEL_DAYS {
        let now = values.get(origin.checked_sub(back)?)?;
        let then = values.get(origin.checked_sub(back + YEAR_DAYS)?)?;
        if now.is_finite() && then.is_finite() {
            now_sum += now;
            then_sum += then;
        }
    }
    let ratio = now_sum / then_sum;
    LEVEL_RATIO.contains(&ratio).then_some(ratio)
}

/// The same weekday a year before the day at `lead`, at the present level.
pub fn last_year(
    values: &[f64],
    origin: usize,
    lead: usize,
    level_ratio: Option<f64>,
) -> Option<f64> {
    let then = (origin + lead).checked_sub(YEAR_DAYS)?;
    let value = values.get(then).copied().filter(|v| v.is_finite())?;
    level_ratio.map(|ratio| value * ratio)
}

/// Years of which [`past_years`] is the mean.
const YEARS_MEAN: usize = 3;

/// Mean of the same weekday in the same week, and half as much in the weeks beside it, of up to three
/// years, half the way (geometrically) to the present level: years vary more than their mean, and a
/// new level seldom stays as new as it is.
pub fn past_years(
    values: &[f64],
    origin: usize,
    lead: usize,
    level_ratio: Option<f64>,
) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for year in 1..=YEARS_MEAN {
        let Some(same) = (origin + lead + 7).checked_sub(YEAR_DAYS * year) else {
            break;
        };
        for (later, weight) in [(0, 1.0), (7, 2.0), (14, 1.0)] {
            // `same` is a week later than the day itself.
            let Some(index) = same.checked_sub(later).filter(|i| *i <= origin) else {
                continue;
            };
            if let Some(value) = values.get(index).filter(|v| v.is_finite()) {
                sum += weight * value;
                weights += weight;
            }
        }
    }
    let ratio = level_ratio?;
    (weights > 0.0).then(|| sum / weights * ratio.sqrt())
}

/// Forecasts `horizon` days after `origin` with residual paths of the last `path_days` origins.
///
/// None if nothing is known within eight weeks.
pub fn forecast(
    series: &DailySeries,
    origin: usize,
    horizon: usize,
    path_days: usize,
) -> Option<DailyForecast> {
    let p50: Vec<f64> = (1..=horizon)
        .map(|lead| expected(&series.values, origin, lead))
        .collect::<Option<_>>()?;
    let typical = series.typical_level(origin);
    let first = origin.saturating_sub(path_days);
    let last = if origin > first + horizon + 60 {
        origin - horizon
    } else {
        origin
    };
    let mut paths = Vec::new();
    for past in first..last {
        let residuals: Vec<f64> = (1..=horizon)
            .map(|lead| {
                let truth = if past + lead <= origin {
                    series.values[past + lead]
                } else {
                    f64::NAN
                };
                let then = expected(&series.values, past, lead).unwrap_or(f64::NAN);
                (truth - then) * level_factor(p50[lead - 1], then, typical)
            })
            .collect();
        if residuals.iter().any(|r| r.is_finite()) {
            paths.push(ResidualPath {
                origin: series.traits[past].day,
                residuals,
            });
        }
    }
    fill_unknown(&mut paths);
    Some(DailyForecast {
        model: NAME,
        p50,
        paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_years_are_averaged_half_way_to_the_present_level() {
        // Three years of 100, 120 and 140 in all their weeks, the latest last.
        let values: Vec<f64> = (0..3 * YEAR_DAYS)
            .map(|i| 100.0 + 20.0 * f64::from(u8::try_from(i / YEAR_DAYS).unwrap()))
            .collect();
        let origin = values.len() - 1;
        let said = past_years(&values, origin, 100, Some(1.21)).unwrap();
        assert!((said - 120.0 * 1.1).abs() < 1e-9, "{said}");
        assert_eq!(past_years(&values, origin, 100, None), None);
        assert_eq!(past_years(&values[..100], 99, 10, Some(1.0)), None);
    }

    #[test]
    fn past_years_read_no_day_after_the_origin() {
        let mut values = vec![100.0; 800];
        let before = past_years(&values, 700, 364, Some(1.0));
        values[701..].fill(9e9);
        assert_eq!(past_years(&values, 700, 364, Some(1.0)), before);
    }
}
