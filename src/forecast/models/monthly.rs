//! The model of monthly series, a year ahead: damped seasonal smoothing of weather-free months.
//!
//! A robust regression on season, trend and temperature gives the weather response only. What is
//! left of each month without its weather is carried from the same month of the last three years
//! (0.7, 0.2, 0.1), moved by a damped part of the last three months' departure from it.

use crate::domain::calendar::GasMonth;
use crate::forecast::features::calendar::year_angle;
use crate::forecast::linear::{Design, Penalty, Robust, dot, robust_ridge};
use crate::forecast::models::daily::DailyForecast;
use crate::forecast::models::paths::{ResidualPath, fill_unknown, level_factor};
use crate::forecast::weather::WeatherAhead;

/// Name in results.
pub const NAME: &str = "seasonal_smoothing";
/// Name of the baseline in results.
pub const BASELINE: &str = "seasonal_naive";
/// Months the regression needs before its first fit.
const MONTHS_MIN: usize = 25;
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
const YEARS: [f64; 3] = [0.7, 0.2, 0.1];
/// Part of the last months' departure from the seasonal profile that is carried on, and what is
/// left of it from each month to the next.
const CARRIED: f64 = 0.6;
const DAMPING: f64 = 0.85;

/// What is known of a series at an origin: its weather response, and its weather-free months.
struct MonthView<'a> {
    series: &'a MonthlySeries,
    origin: usize,
    response: Option<(Vec<f64>, [f64; 3])>,
}

impl<'a> MonthView<'a> {
    fn new(series: &'a MonthlySeries, origin: usize) -> Option<Self> {
        let known: Vec<usize> = (0..=origin)
            .filter(|i| series.values[*i].is_finite())
            .collect();
        if known.len() < MONTHS_MIN {
            return None;
        }
        let temperature = |i: usize| series.temperatures.get(i).copied().unwrap_or(f64::NAN);
        let has_weather = known.iter().all(|i| temperature(*i).is_finite());
        let response = has_weather
            .then(|| response(series, origin, &known))
            .flatten();
        Some(Self {
            series,
            origin,
            response,
        })
    }

    /// Effect of a temperature on the mean day of a month, against no weather terms at all.
    fn weather(&self, index: usize, temperature: f64) -> f64 {
        let Some((b, knots)) = &self.response else {
            return 0.0;
        };
        if !temperature.is_finite() {
            return 0.0;
        }
        dot(
            &b[FIRST_WEATHER..],
            &self.series.row(index, temperature, *knots)[FIRST_WEATHER..],
        )
    }

    /// Mean day of a known month without its weather.
    fn free(&self, index: usize) -> f64 {
        let temperature = self
            .series
            .temperatures
            .get(index)
            .copied()
            .unwrap_or(f64::NAN);
        self.series.per_day(index) - self.weather(index, temperature)
    }

    /// Weather-free mean day of a month from the same month of the years known at `known`.
    fn profile(&self, index: usize, known: usize) -> Option<f64> {
        let first = (1..=10).find(|year| index.saturating_sub(year * SEASON) <= known)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (year, weight) in (first..).zip(YEARS) {
            let value = index
                .checked_sub(year * SEASON)
                .map_or(f64::NAN, |i| self.free(i));
            if value.is_finite() {
                sum += weight * value;
                weights += weight;
            }
        }
        (weights > 0.0).then(|| sum / weights)
    }

    /// How far the last three months lay from their profile, as it was a year ago.
    fn departure(&self) -> f64 {
        let departures: Vec<f64> = (0..3)
            .filter_map(|back| self.origin.checked_sub(back))
            .filter_map(|i| Some(self.free(i) - self.profile(i, i.checked_sub(SEASON)?)?))
            .filter(|d| d.is_finite())
            .collect();
        departures.iter().sum::<f64>() / (departures.len() as f64).max(1.0)
    }

    fn expected(&self, lead: usize, temperature: f64) -> Option<f64> {
        let index = self.origin + lead;
        let exponent = i32::try_from(lead.saturating_sub(1)).ok()?;
        let carried = CARRIED * DAMPING.powi(exponent) * self.departure();
        let value = self.profile(index, self.origin)? + carried + self.weather(index, temperature);
        Some(value.max(0.0) * self.series.days(index))
    }
}

/// Columns of the weather response start here in a row.
const FIRST_WEATHER: usize = 10;

fn response(
    series: &MonthlySeries,
    origin: usize,
    known: &[usize],
) -> Option<(Vec<f64>, [f64; 3])> {
    let mut sorted: Vec<f64> = known.iter().map(|i| series.temperatures[*i]).collect();
    sorted.sort_by(f64::total_cmp);
    let knots = [0.2, 0.5, 0.8].map(|q| crate::domain::demand::quantile_of_sorted(&sorted, q));
    let mut x = Design::new(COLUMNS);
    let mut y = Vec::new();
    let mut weights = Vec::new();
    for &i in known {
        x.push(&series.row(i, series.temperatures[i], knots));
        y.push(series.per_day(i));
        weights.push(0.5_f64.powf((origin - i) as f64 / 36.0));
    }
    let penalty = Penalty {
        relative: 0.005,
        pseudo_days: 0.0,
    };
    let robust = Robust {
        penalty,
        clip: 2.0,
        rounds: 2,
    };
    let b = robust_ridge(&x, &y, &weights, robust, None, &[])?;
    Some((b, knots))
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
        .collect::<Option<_>>()?;
    let typical = p50.iter().sum::<f64>() / horizon.max(1) as f64;
    let mut paths = Vec::new();
    for past in MONTHS_MIN - 1..origin {
        let Some(view) = MonthView::new(series, past) else {
            continue;
        };
        let residuals = (1..=horizon)
            .map(|lead| {
                let then = view.expected(lead, temperature_of_past(past, lead));
                match (then, series.values.get(past + lead)) {
                    (Some(then), Some(truth)) if past + lead <= origin => {
                        (truth - then) * level_factor(p50[lead - 1], then, typical)
                    }
                    _ => f64::NAN,
                }
            })
            .collect();
        paths.push(ResidualPath {
            origin: series.months[past].first_day(),
            residuals,
        });
    }
    if paths.len() < 6 {
        return None;
    }
    // Paths overlap, so a few years of them have seen few different errors: the fewer, the wider.
    let widening = 1.0 + 6.0 / paths.len() as f64;
    for residual in paths.iter_mut().flat_map(|p| &mut p.residuals) {
        *residual *= widening;
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

    fn series(count: usize, horizon: usize) -> MonthlySeries {
        let mut month: GasMonth = "2016-01".parse().unwrap();
        let mut months = Vec::new();
        for _ in 0..count + horizon {
            months.push(month);
            month = month.next();
        }
        let temperature = |i: usize| {
            let angle = std::f64::consts::TAU * i as f64 / 12.0;
            12.0 - 11.0 * angle.cos() + 2.0 * ((i * 37 % 17) as f64 / 8.0 - 1.0)
        };
        let mut out = MonthlySeries {
            months,
            temperatures: (0..count).map(temperature).collect(),
            values: Vec::new(),
        };
        out.values = (0..count)
            .map(|i| out.days(i) * (100.0 + 12.0 * (16.0 - out.temperatures[i]).max(0.0)))
            .collect();
        out
    }

    #[test]
    fn weather_explains_months_better_than_last_year_does() {
        let all = series(96, 12);
        let origin = 83;
        let mut known = all.clone();
        known.values.truncate(origin + 1);
        known.temperatures.truncate(origin + 1);
        let given = &all.temperatures[origin + 1..];
        let error = |p50: &[f64]| -> f64 {
            p50.iter()
                .zip(&all.values[origin + 1..])
                .map(|(f, y)| (f - y).abs())
                .sum()
        };
        let model = forecast(&known, origin, 12, WeatherAhead::Perfect, given).unwrap();
        let naive = baseline(&known, origin, 12).unwrap();
        assert_eq!(model.model, NAME);
        assert!(error(&model.p50) < 0.5 * error(&naive.p50));
        assert!(model.paths.iter().all(|p| p.residuals.len() == 12));
    }

    #[test]
    fn two_years_fall_back_to_last_year() {
        let known = series(20, 12);
        let model = forecast(&known, 19, 12, WeatherAhead::None, &[]).unwrap();
        assert_eq!(model.model, BASELINE);
        assert_eq!(model.p50[0].to_bits(), known.values[8].to_bits());
    }
}
