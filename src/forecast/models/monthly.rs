//! The model of monthly series, a year ahead: damped seasonal smoothing of weather-normal months.
//!
//! A robust regression on season, trend and temperature gives the weather response only. A month
//! under the typical weather of its place in the year is the mean of four ways to say it: carried
//! from the same month of the last three years (0.5, 0.3, 0.2), times a damped part of the ratio of
//! the last three months to theirs, and three times a seasonal index times a level (`indices`).

mod indices;

use self::indices::Smoothed;
use crate::domain::calendar::GasMonth;
use crate::forecast::features::calendar::year_angle;
use crate::forecast::linear::{Design, Penalty, Robust, dot, robust_ridge};
use crate::forecast::models::correction::mean_known;
use crate::forecast::models::paths::{ResidualPath, fill_unknown, level_factor};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::weather::WeatherAhead;

/// Name in results.
pub const NAME: &str = "seasonal_smoothing";
/// Name of the baseline in results.
pub const BASELINE: &str = "seasonal_naive";
/// Months the model needs: one whole year.
const MONTHS_MIN: usize = 12;
/// Months the weather response needs, and those from which on it has all its columns.
const RESPONSE_MONTHS: std::ops::Range<usize> = 18..36;
const SEASON: usize = 12;
const COLUMNS: usize = FIRST_WEATHER + 5;

/// A monthly series without holes in its calendar.
#[derive(Debug, Clone, Default)]
pub struct MonthlySeries {
    /// Months of `values`, and at least `horizon` more.
    pub months: Vec<GasMonth>,
    /// Monthly volumes; NaN where unknown.
    pub values: Vec<f64>,
    /// Monthly mean temperatures, °C; NaN where unknown, empty if none.
    pub temperatures: Vec<f64>,
}

impl MonthlySeries {
    fn per_day(&self, index: usize) -> f64 {
        self.values
            .get(index)
            .map_or(f64::NAN, |v| v / self.days(index))
    }

    fn days(&self, index: usize) -> f64 {
        let month = self.months[index];
        month.next().first_day().days_since(month.first_day()) as f64
    }

    /// Mean of the same months of the ten years known at `origin`, °C.
    fn typical_temperature(&self, origin: usize, index: usize) -> f64 {
        let known: Vec<f64> = (1..=10)
            .filter_map(|year| index.checked_sub(year * SEASON))
            .filter(|i| *i <= origin)
            .filter_map(|i| self.temperatures.get(i))
            .copied()
            .filter(|t| t.is_finite())
            .collect();
        if known.is_empty() {
            f64::NAN
        } else {
            known.iter().sum::<f64>() / known.len() as f64
        }
    }

    fn row(&self, index: usize, temperature: f64, knots: [f64; 3]) -> Vec<f64> {
        let angle = year_angle(self.months[index].first_day().plus(15).0);
        let mut row = vec![1.0, index as f64 / 12.0];
        for k in 1..=4_u8 {
            row.push((f64::from(k) * angle).sin());
            row.push((f64::from(k) * angle).cos());
        }
        if temperature.is_finite() {
            row.push(temperature);
            row.extend(knots.map(|knot| (knot - temperature).max(0.0)));
            row.push(knots[1].min(temperature) * angle.cos());
        } else {
            row.extend([0.0; 5]);
        }
        row
    }
}

/// Forecasts `horizon` months after `origin`, the index of the last month known; `given` are the
/// temperatures of the leads. None if nothing is known of the last two years.
pub fn forecast(
    series: &MonthlySeries,
    origin: usize,
    horizon: usize,
    ahead: WeatherAhead,
    given: &[f64],
) -> Option<DailyForecast> {
    regression(series, origin, horizon, ahead, given).or_else(|| baseline(series, origin, horizon))
}

/// The same month of the last year known.
pub fn baseline(series: &MonthlySeries, origin: usize, horizon: usize) -> Option<DailyForecast> {
    let expected = |origin: usize, lead: usize| {
        let back = (SEASON - lead % SEASON) % SEASON;
        (0..3)
            .filter_map(|year| origin.checked_sub(back + SEASON * year))
            .map(|i| series.values[i])
            .find(|v| v.is_finite())
    };
    let any = (0..24)
        .filter_map(|b| origin.checked_sub(b))
        .map(|i| series.values[i])
        .find(|v| v.is_finite())?;
    let p50: Vec<f64> = (1..=horizon)
        .map(|lead| expected(origin, lead).unwrap_or(any))
        .collect();
    let mut paths: Vec<ResidualPath> = (0..origin)
        .map(|past| ResidualPath {
            origin: series.months[past].first_day(),
            residuals: (1..=horizon)
                .map(|lead| {
                    let truth = if past + lead <= origin {
                        series.values[past + lead]
                    } else {
                        f64::NAN
                    };
                    truth - expected(past, lead).unwrap_or(f64::NAN)
                })
                .collect(),
        })
        .filter(|path| path.residuals.iter().any(|r| r.is_finite()))
        .collect();
    fill_unknown(&mut paths);
    Some(DailyForecast {
        model: BASELINE,
        p50,
        paths,
    })
}

/// Weights of the same month one, two and three years back.
const YEARS: [f64; 3] = [0.5, 0.3, 0.2];
/// Part of the last months' departure from the seasonal profile that is carried on, and what is
/// left of it from each month to the next.
const CARRIED: f64 = 0.8;
const DAMPING: f64 = 0.9;
/// Ratios beyond these say that the profile is of another network.
const RATIO: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Change of a month of a typical series from one year to the next, as part of its level: what is
/// believed until its own changes are seen, and as if seen so many times.
const TYPICAL_ERROR: f64 = 0.15;
const TYPICAL_MONTHS: f64 = 3.0;
/// Usual changes beyond these are held to be chance.
const USUAL: std::ops::RangeInclusive<f64> = 0.02..=0.6;
/// Errors to come are somewhat larger than usual changes.
const WIDENED: f64 = 1.1;
/// Past origins that errors are taken from, the latest.
const PATHS_MAX: usize = 8 * SEASON;
/// Months that the weather response is learnt from, the latest.
const RESPONSE_MONTHS_MAX: usize = 10 * SEASON;
/// As many of them as a year has months: twelfths of a normal distribution, in no order.
const TYPICAL_DRAWS: [f64; SEASON] = [
    0.32, -1.15, 0.81, -0.10, 1.73, -0.55, 0.10, -1.73, 0.55, -0.81, 1.15, -0.32,
];
/// Own errors are widened by `1 + this / their number`: they overlap, and were seen in few years.
const FEW_PATHS: f64 = 1.5;

/// What is known of a series at an origin: its weather response, and its weather-normal months.
struct MonthView<'a> {
    series: &'a MonthlySeries,
    origin: usize,
    /// Mean day of each month up to the origin under typical weather.
    normal: Vec<f64>,
    response: Option<Response>,
    /// Ratio of the last three months to their profile.
    ratio: f64,
    smoothed: Option<Smoothed>,
}

struct Response {
    coefficients: Vec<f64>,
    knots: [f64; 3],
    /// Mean temperature of the months of a year, by index modulo twelve; NaN where unknown.
    typical: [f64; SEASON],
}

impl Response {
    /// What a temperature adds to the mean day of a month, against typical weather.
    fn effect(&self, series: &MonthlySeries, index: usize, temperature: f64) -> f64 {
        let typical = self.typical[index % SEASON];
        if !temperature.is_finite() || !typical.is_finite() {
            return 0.0;
        }
        let part = |temperature: f64| {
            dot(
                &self.coefficients[FIRST_WEATHER..],
                &series.row(index, temperature, self.knots)[FIRST_WEATHER..],
            )
        };
        part(temperature) - part(typical)
    }
}

impl<'a> MonthView<'a> {
    fn new(series: &'a MonthlySeries, origin: usize) -> Option<Self> {
        let known: Vec<usize> = (0..=origin)
            .filter(|i| series.values[*i].is_finite())
            .collect();
        if known.len() < MONTHS_MIN || origin - known.last()? > SEASON {
            return None;
        }
        let temperature = |i: usize| series.temperatures.get(i).copied().unwrap_or(f64::NAN);
        let with_weather: Vec<usize> = known
            .iter()
            .copied()
            .filter(|i| temperature(*i).is_finite())
            .collect();
        let has_weather = with_weather.len() >= RESPONSE_MONTHS.start
            && with_weather.len() * 10 >= known.len() * 8;
        let response = has_weather
            .then(|| response(series, origin, &with_weather))
            .flatten();
        let normal = (0..=origin)
            .map(|i| {
                let effect = response
                    .as_ref()
                    .map_or(0.0, |r| r.effect(series, i, temperature(i)));
                series.per_day(i) - effect
            })
            .collect();
        let mut view = Self {
            series,
            origin,
            normal,
            response,
            ratio: 1.0,
            smoothed: None,
        };
        view.ratio = view.present_ratio();
        view.smoothed = Smoothed::new(&view.normal, view.level());
        Some(view)
    }

    /// Weather-normal mean day of a month from the same month of the years known at `known`, else
    /// from the last twelve known months.
    fn profile(&self, index: usize, known: usize) -> Option<f64> {
        let first = (1..=10).find(|year| index.saturating_sub(year * SEASON) <= known)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (year, weight) in (first..).zip(YEARS) {
            let value = index
                .checked_sub(year * SEASON)
                .and_then(|i| self.normal.get(i));
            if let Some(value) = value.filter(|v| v.is_finite()) {
                sum += weight * value;
                weights += weight;
            }
        }
        (weights > 0.0).then(|| sum / weights)
    }

    /// How high the last three months lay against their profile, as it was a year before.
    fn present_ratio(&self) -> f64 {
        let (mut now, mut then) = (0.0, 0.0);
        for i in (0..3).filter_map(|back| self.origin.checked_sub(back)) {
            let profile = i.checked_sub(SEASON).and_then(|a| self.profile(i, a));
            if let Some(profile) = profile.filter(|p| p.is_finite() && self.normal[i].is_finite()) {
                now += self.normal[i];
                then += profile;
            }
        }
        let ratio = now / then;
        if then > 0.0 && ratio.is_finite() {
            ratio.clamp(*RATIO.start(), *RATIO.end())
        } else {
            1.0
        }
    }

    /// Standard deviation of a month's change from one year to the next as part of the level, over
    /// five years and with the typical error as if seen [`TYPICAL_MONTHS`] times: of the
    /// weather-normal months where the weather ahead is known, else of months as they came.
    fn usual_change(&self, ahead: WeatherAhead) -> f64 {
        let value = |i: usize| match ahead {
            WeatherAhead::Perfect => self.normal[i],
            _ => self.series.per_day(i),
        };
        let recent = || (SEASON..=self.origin).rev().take(5 * SEASON);
        let Some(level) = mean_known(recent().map(value)).filter(|level| *level > 0.0) else {
            return TYPICAL_ERROR;
        };
        let (mut sum, mut months) = (TYPICAL_MONTHS * TYPICAL_ERROR, TYPICAL_MONTHS);
        for i in recent() {
            let change = value(i) - value(i - SEASON);
            if change.is_finite() {
                // Of a normal distribution, 1.25 × the mean of sizes.
                sum += 1.25 * change.abs() / level;
                months += 1.0;
            }
        }
        (sum / months).clamp(*USUAL.start(), *USUAL.end())
    }

    fn level(&self) -> f64 {
        let last = (0..SEASON).filter_map(|back| self.normal.get(self.origin.checked_sub(back)?));
        mean_known(last.copied()).unwrap_or(0.0)
    }

    fn expected(&self, lead: usize, temperature: f64) -> f64 {
        let index = self.origin + lead;
        let exponent = i32::try_from(lead.saturating_sub(1)).unwrap_or(i32::MAX);
        let ratio = 1.0 + CARRIED * DAMPING.powi(exponent) * (self.ratio - 1.0);
        let profile = self
            .profile(index, self.origin)
            .unwrap_or_else(|| self.level());
        let effect = self
            .response
            .as_ref()
            .map_or(0.0, |r| r.effect(self.series, index, temperature));
        let carried = profile * ratio;
        let normal = match &self.smoothed {
            Some(smoothed) => {
                let said = smoothed.said(index, lead);
                (carried + said.iter().sum::<f64>()) / (1 + said.len()) as f64
            }
            None => carried,
        };
        (normal + effect).max(0.0) * self.series.days(index)
    }
}

/// Columns of the weather response start here in a row.
const FIRST_WEATHER: usize = 10;

fn response(series: &MonthlySeries, origin: usize, known: &[usize]) -> Option<Response> {
    let mut sorted: Vec<f64> = known.iter().map(|i| series.temperatures[*i]).collect();
    sorted.sort_by(f64::total_cmp);
    let knots = [0.2, 0.5, 0.8].map(|q| crate::domain::demand::quantile_of_sorted(&sorted, q));
    let known = &known[known.len().saturating_sub(RESPONSE_MONTHS_MAX)..];
    let is_short = known.len() < RESPONSE_MONTHS.end;
    let mut x = Design::new(COLUMNS);
    let mut y = Vec::new();
    let mut weights = Vec::new();
    for &i in known {
        let mut row = series.row(i, series.temperatures[i], knots);
        if is_short {
            // Two years cannot tell a trend, a sharp season or a curved response apart.
            for column in [1, 4, 5, 6, 7, 8, 9, 11, 13, 14] {
                row[column] = 0.0;
            }
        }
        x.push(&row);
        y.push(series.per_day(i));
        weights.push(0.5_f64.powf((origin - i) as f64 / 36.0));
    }
    let robust = Robust {
        penalty: Penalty {
            relative: if is_short { 0.05 } else { 0.02 },
            pseudo_days: 0.0,
        },
        clip: 2.0,
        rounds: 2,
    };
    let coefficients = robust_ridge(&x, &y, &weights, robust, None, &[])?;
    let typical = std::array::from_fn(|month| {
        let same: Vec<f64> = known
            .iter()
            .filter(|i| *i % SEASON == month)
            .map(|i| series.temperatures[*i])
            .collect();
        same.iter().sum::<f64>() / same.len() as f64
    });
    Some(Response {
        coefficients,
        knots,
        typical,
    })
}

fn regression(
    series: &MonthlySeries,
    origin: usize,
    horizon: usize,
    ahead: WeatherAhead,
    given: &[f64],
) -> Option<DailyForecast> {
    let now = MonthView::new(series, origin)?;
    let temperature_of_past = |from: usize, lead: usize| match ahead {
        WeatherAhead::None => f64::NAN,
        WeatherAhead::Perfect => series
            .temperatures
            .get(from + lead)
            .copied()
            .unwrap_or(f64::NAN),
        _ => series.typical_temperature(from, from + lead),
    };
    let p50: Vec<f64> = (1..=horizon)
        .map(|lead| {
            let given = given.get(lead - 1).copied().filter(|t| t.is_finite());
            let typical = || series.typical_temperature(origin, origin + lead);
            now.expected(lead, given.unwrap_or_else(typical))
        })
        .collect();
    if p50.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let typical = p50.iter().sum::<f64>() / horizon.max(1) as f64;
    let mut paths: Vec<ResidualPath> = ((MONTHS_MIN - 1).max(origin.saturating_sub(PATHS_MAX))
        ..origin)
        .filter_map(|past| {
            let view = MonthView::new(series, past)?;
            let residuals: Vec<f64> = (1..=horizon)
                .map(|lead| match series.values.get(past + lead) {
                    Some(truth) if past + lead <= origin => {
                        let then = view.expected(lead, temperature_of_past(past, lead));
                        (truth - then) * level_factor(p50[lead - 1], then, typical)
                    }
                    _ => f64::NAN,
                })
                .collect();
            let is_known = residuals.iter().any(|r| r.is_finite());
            is_known.then(|| ResidualPath {
                origin: series.months[past].first_day(),
                residuals,
            })
        })
        .collect();
    let widening = 1.0 + FEW_PATHS / (paths.len() as f64).max(1.0);
    for residual in paths.iter_mut().flat_map(|p| &mut p.residuals) {
        *residual *= widening;
    }
    fill_unknown(&mut paths);
    // Changes as usual, in the middle of the last twelve months.
    let middle = series.months[origin].first_day().plus(14);
    let usual = WIDENED * now.usual_change(ahead);
    for (back, draw) in (0..).zip(TYPICAL_DRAWS) {
        let of_lead = |p50: &f64| draw * usual * (0.3 * typical + 0.7 * p50);
        paths.push(ResidualPath {
            origin: middle.plus(-(back * 1461) / 48),
            residuals: p50.iter().map(of_lead).collect(),
        });
    }
    paths.sort_by_key(|path| path.origin);
    paths.dedup_by_key(|path| path.origin);
    Some(DailyForecast {
        model: NAME,
        p50,
        paths,
    })
}

#[cfg(test)]
mod tests;
