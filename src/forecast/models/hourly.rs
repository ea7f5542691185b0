//! The model of one hourly series: days by [`DailyModel`], cut into hours by the shapes of like days.

use crate::domain::demand::quantile_of_sorted;
use crate::forecast::draws::{choose_origins, daily_draw, hours_of, path_for};
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::models::daily::{DailyModel, DailyOptions};
use crate::forecast::models::series::DailySeries;
use crate::forecast::models::shape::{HourResponse, Missed, ShapeBook, ShapeDay};
use crate::forecast::weather::WeatherAhead;

/// Hours of a day that must be known for the day to count; the others are taken to be like them.
const HOURS_MIN: usize = 20;

/// An hourly series with its daily model.
#[derive(Debug)]
pub struct HourlyModel {
    daily: DailyModel,
    shapes: ShapeBook,
    /// What was missed of the shares of past days, as they are first asked for.
    missed: Vec<Asked>,
    has_hours: bool,
}

/// A past day's shares: not asked for yet, or what was missed, if the day can say it.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every day is asked for: boxing each would cost more than it saves"
)]
enum Asked {
    NotYet,
    Answered(Option<Missed>),
}

/// Days that the response of hours to warmth is learnt from, the latest.
const RESPONSE_DAYS: usize = 365;

/// Joint draws from which quantiles are read.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Number.
    pub count: usize,
    /// Seed.
    pub seed: u64,
}

/// P10, P50 and P90 of every hour.
#[derive(Debug, Clone, PartialEq)]
pub struct HourlyForecast {
    /// Model the days come from.
    pub model: &'static str,
    /// By hour after the origin.
    pub quantiles: Vec<[f64; 3]>,
}

impl HourlyModel {
    /// Takes complete days without holes in their calendar, and the calendar of the days ahead.
    /// `uses_weather` says whether the days' temperatures are read.
    pub fn new(
        days: Vec<ShapeDay>,
        ahead: &[DayTraits],
        uses_weather: bool,
        options: DailyOptions,
    ) -> Self {
        let series = DailySeries {
            values: days.iter().map(|day| day_total(&day.hours)).collect(),
            traits: days
                .iter()
                .map(|day| day.traits)
                .chain(ahead.iter().copied())
                .collect(),
            temperatures: if uses_weather {
                days.iter().map(|day| day.temperature).collect()
            } else {
                Vec::new()
            },
            deviations: Vec::new(),
            climate: Vec::new(),
        };
        Self {
            missed: vec![Asked::NotYet; days.len()],
            has_hours: false,
            daily: DailyModel::new(series, options),
            shapes: ShapeBook::new(days),
        }
    }

    /// The same with the temperatures of the hours of the days, °C, NaN where unknown.
    #[must_use]
    pub fn with_hours(mut self, degrees: &[[f64; 24]]) -> Self {
        self.has_hours = degrees.iter().flatten().any(|t| t.is_finite());
        self.shapes = std::mem::take(&mut self.shapes).with_hours(degrees);
        self
    }

    /// The daily series.
    pub fn series(&self) -> &DailySeries {
        self.daily.series()
    }

    /// Forecasts the hours of the `horizon` days after `origin`, the index of the last day known;
    /// `given` are their daily mean temperatures and `hours` those of their hours, °C, empty or NaN
    /// where unknown. None where even the baseline cannot be.
    ///
    /// The P50 is the median of the hour's own draws, which for a small consumer that burns on and
    /// off is far from its mean.
    pub fn forecast(
        &mut self,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        (given, hours): (&[f64], &[f64]),
        draws: Draws,
    ) -> Option<HourlyForecast> {
        let forecast = self.daily.forecast(origin, horizon, ahead, given)?;
        let response = self.response(origin);
        let series = self.daily.series();
        let first = series.first();
        let warmth = self.shapes.warmth_ahead(origin, hours);
        let shares: Vec<[f64; 24]> = (0..horizon)
            .map(|lead| {
                let temperature = given.get(lead).copied().unwrap_or(f64::NAN);
                let target = &series.traits[origin + 1 + lead];
                let expected =
                    self.shapes
                        .expected(target, temperature, warmth.get(lead), origin + 1);
                hours_of(1.0, &expected.shares, Some(&expected.moved_by(response)))
            })
            .collect();
        let mut drawn_hours = vec![Vec::with_capacity(draws.count); horizon * 24];
        let paths = &forecast.paths;
        let day = series.traits[origin].day;
        for past in choose_origins([paths.as_slice()], day, draws.count, draws.seed) {
            let path = path_for(paths, past);
            let drawn = daily_draw(&forecast.p50, path);
            for (lead, volume) in drawn.into_iter().enumerate() {
                // The hours of the past day that gave the daily error, if it is known at this origin.
                let error = path
                    .and_then(|p| usize::try_from(p.origin.days_since(first)).ok())
                    .map(|i| i + 1 + lead)
                    .filter(|i| *i <= origin)
                    .and_then(|i| answer(&mut self.missed, &self.shapes, i))
                    .map(|missed| missed.beyond(response));
                let cut = hours_of(volume, &shares[lead], error.as_ref());
                for (hour, value) in drawn_hours[lead * 24..].iter_mut().zip(cut) {
                    hour.push(value);
                }
            }
        }
        Some(HourlyForecast {
            model: forecast.model,
            quantiles: drawn_hours.into_iter().map(spread).collect(),
        })
    }

    /// How hours answer to warmth, as the days up to `origin` show it.
    fn response(&mut self, origin: usize) -> HourResponse {
        if !self.has_hours {
            return HourResponse::default();
        }
        let days = (origin + 1).saturating_sub(RESPONSE_DAYS)..=origin;
        let missed: Vec<Missed> = days
            .filter_map(|i| answer(&mut self.missed, &self.shapes, i))
            .collect();
        HourResponse::fit(&missed)
    }
}

/// What was missed of a day's shares, computed when first asked for; none for a day without gas or
/// with an unknown hour.
fn answer(missed: &mut [Asked], shapes: &ShapeBook, index: usize) -> Option<Missed> {
    let slot = missed.get_mut(index)?;
    if let Asked::Answered(known) = slot {
        return *known;
    }
    let known = shapes.missed(index);
    *slot = Asked::Answered(known);
    known
}

/// P10, P50 and P90 of draws.
pub fn spread(mut draws: Vec<f64>) -> [f64; 3] {
    draws.sort_unstable_by(f64::total_cmp);
    [0.1, 0.5, 0.9].map(|q| quantile_of_sorted(&draws, q))
}

/// Sum of a day's hours; up to four missing ones are taken to be like the others.
fn day_total(hours: &[f64; 24]) -> f64 {
    let known: Vec<f64> = hours.iter().copied().filter(|v| v.is_finite()).collect();
    if known.len() >= HOURS_MIN {
        known.iter().sum::<f64>() * 24.0 / known.len() as f64
    } else {
        f64::NAN
    }
}
