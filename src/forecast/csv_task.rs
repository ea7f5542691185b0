//! `qiliang forecast-csv`: forecasts any series from CSV files, so that anyone can score the models
//! on other data. The one file of this module (with [`files`]) that touches the file system.
//!
//! The models are the engine's own. For an origin they are given the values and temperatures up to
//! it, and after it the temperatures of the weather mode and nothing else.

pub mod files;

use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{NaiveDateTime, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::forecast::ForecastError;
use crate::forecast::draws::{choose_origins, daily_draw, path_for};
use crate::forecast::features::calendar::{DayTraits, traits_of_named_holidays};
use crate::forecast::models::daily::{DailyModel, DailyOptions};
use crate::forecast::models::hourly::{Draws, HourlyModel, spread};
use crate::forecast::models::monthly::{self, MonthlySeries};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;
use crate::forecast::models::shape::ShapeDay;
use crate::forecast::weather::{ForecastSkill, WeatherAhead};

use files::{Freq, OutRow, Row, TaskFiles};

/// Temperatures that may be used after an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The observed ones.
    Perfect,
    /// Observed with a forecast-like error (`weather/<task>.noisy.csv`).
    Noisy,
    /// Climatology (`weather/<task>.clim.csv`).
    Clim,
    /// None.
    None,
}

impl Mode {
    /// As written on the command line and in file names.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Perfect => "perfect",
            Self::Noisy => "noisy",
            Self::Clim => "clim",
            Self::None => "none",
        }
    }

    fn ahead(self) -> WeatherAhead {
        match self {
            Self::Perfect => WeatherAhead::Perfect,
            Self::Noisy => WeatherAhead::Forecast(ForecastSkill {
                full_days: usize::MAX,
                climate_from: usize::MAX,
                ..ForecastSkill::default()
            }),
            Self::Clim => WeatherAhead::Climatology,
            Self::None => WeatherAhead::None,
        }
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Perfect, Self::Noisy, Self::Clim, Self::None]
            .into_iter()
            .find(|mode| mode.key() == text)
            .ok_or_else(|| {
                format!("weather mode `{text}` is unknown; use perfect, noisy, clim or none")
            })
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Series of the task.
    pub series: usize,
    /// Origins of the task.
    pub origins: usize,
    /// Rows written.
    pub rows: usize,
    /// Series and origin that could not be forecast, with the reason.
    pub skipped: Vec<String>,
    /// Series whose rows repeat a timestamp, of which the mean was taken.
    pub repeated: Vec<String>,
    /// Series and origins by the model that made them.
    pub models: Vec<(String, usize)>,
}

/// Draws from which quantiles are read.
const DRAWS: usize = 400;
const SEED: u64 = 20_261_122;
const DAYS: &str = "days";
const MONTHS: &str = "months";
/// What [`seasonal_naive`](crate::forecast::models::seasonal_naive) needs.
const DAYS_NEEDED: &str = "8 of which one in the last 8 weeks";

/// Forecasts a task and writes the CSV file that `score.py` reads.
///
/// Series are shared out over `threads`; the result does not depend on how many.
///
/// # Errors
/// A file that is missing or does not keep to the protocol. A series with too little history at
/// an origin is skipped and named in the summary.
pub fn run(task: &Path, mode: Mode, out: &Path, threads: usize) -> Result<Summary, ForecastError> {
    run_with(task, mode, out, threads, &DailyOptions::default())
}

/// [`run`] with other choices of the daily model, for comparing them.
pub fn run_with(
    task: &Path,
    mode: Mode,
    out: &Path,
    threads: usize,
    options: &DailyOptions,
) -> Result<Summary, ForecastError> {
    let files = TaskFiles::read(task, mode)?;
    let count = files.task.series.len();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<SeriesResult>>> = Mutex::new((0..count).map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = files.task.series.get(index) else {
                        break;
                    };
                    let result = one_series(&files, name, mode, options);
                    let mut done = done
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    done[index] = Some(result);
                }
            });
        }
    });
    let done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut summary = Summary {
        series: count,
        origins: files.origins.len(),
        rows: 0,
        skipped: Vec::new(),
        repeated: files
            .repeats
            .iter()
            .map(|(name, (count, first))| {
                format!(
                    "`{name}`: {count} rows repeat a timestamp, first {first}; means were taken"
                )
            })
            .collect(),
        models: Vec::new(),
    };
    let mut models = std::collections::BTreeMap::<String, usize>::new();
    let mut rows = Vec::with_capacity(count);
    for (name, result) in files.task.series.iter().zip(done.into_iter().flatten()) {
        summary.rows += result.rows.len();
        summary.skipped.extend(result.skipped);
        for model in result.models {
            *models.entry(model.to_owned()).or_default() += 1;
        }
        rows.push((name.clone(), result.rows));
    }
    summary.models = models.into_iter().collect();
    files::write(out, &rows)?;
    Ok(summary)
}

#[derive(Debug, Default)]
struct SeriesResult {
    rows: Vec<OutRow>,
    skipped: Vec<String>,
    models: Vec<&'static str>,
}

impl SeriesResult {
    fn skip(&mut self, name: &str, origin: NaiveDateTime, have: usize, step: &str) {
        let need = if step == MONTHS {
            "1 in the last 24"
        } else {
            DAYS_NEEDED
        };
        self.skipped.push(format!(
            "`{name}` at {origin}: {have} complete {step} up to the origin, the simplest model \
             needs {need}"
        ));
    }

    fn skip_all(&mut self, name: &str, origins: &[NaiveDateTime], step: &str) {
        for origin in origins {
            self.skip(name, *origin, 0, step);
        }
    }
}

fn one_series(files: &TaskFiles, name: &str, mode: Mode, options: &DailyOptions) -> SeriesResult {
    let rows = files.rows.get(name).map_or(&[][..], Vec::as_slice);
    match files.task.freq {
        Freq::Daily => daily(files, name, rows, mode, options),
        Freq::Hourly => hourly(files, name, rows, mode, options),
        Freq::Monthly => monthly(files, name, rows, mode),
    }
}

fn traits(files: &TaskFiles, name: &str, first: GasDay, count: usize) -> Vec<DayTraits> {
    let none = std::collections::BTreeMap::new();
    let country = files.task.country.get(name).and_then(Option::as_deref);
    let holidays = country.and_then(|c| files.holidays.get(c)).unwrap_or(&none);
    traits_of_named_holidays(holidays, first, count)
}

/// Temperatures of the steps after an origin, as the mode gives them.
fn given(
    files: &TaskFiles,
    name: &str,
    rows: &[Row],
    mode: Mode,
    origin: NaiveDateTime,
    steps: &[NaiveDateTime],
) -> Vec<f64> {
    let from_file = files.ahead.get(&(name.to_owned(), origin));
    steps
        .iter()
        .map(|at| match mode {
            Mode::None => f64::NAN,
            Mode::Clim | Mode::Noisy => from_file
                .and_then(|a| a.get(at))
                .copied()
                .unwrap_or(f64::NAN),
            Mode::Perfect => rows
                .binary_search_by_key(at, |row| row.at)
                .ok()
                .and_then(|i| rows.get(i))
                .map_or(f64::NAN, |row| row.temperature),
        })
        .collect()
}

fn days_between(first: GasDay, last: GasDay) -> Option<usize> {
    usize::try_from(last.days_since(first)).ok()
}

fn daily(
    files: &TaskFiles,
    name: &str,
    rows: &[Row],
    mode: Mode,
    options: &DailyOptions,
) -> SeriesResult {
    let mut result = SeriesResult::default();
    let (Some(first), Some(last)) = (rows.first(), files.origins.iter().max()) else {
        result.skip_all(name, &files.origins, DAYS);
        return result;
    };
    let first = GasDay(first.at.date());
    let known = days_between(first, GasDay(last.date())).map_or(0, |d| d + 1);
    let mut series = DailySeries {
        values: vec![f64::NAN; known],
        traits: traits(files, name, first, known + files.task.horizon + 2),
        temperatures: vec![f64::NAN; known],
        deviations: Vec::new(),
        climate: Vec::new(),
    };
    for row in rows {
        if let Some(i) = days_between(first, GasDay(row.at.date())).filter(|i| *i < known) {
            series.values[i] = row.value;
            series.temperatures[i] = row.temperature;
        }
    }
    if mode == Mode::None {
        series.temperatures.clear();
    }
    let mut model = DailyModel::new(series, *options);
    for &origin in &files.origins {
        let steps: Vec<NaiveDateTime> = (1_i64..)
            .take(files.task.horizon)
            .map(|k| origin + TimeDelta::days(k))
            .collect();
        let given = given(files, name, rows, mode, origin, &steps);
        let at = days_between(first, GasDay(origin.date()));
        let forecast = at.and_then(|at| model.forecast(at, steps.len(), mode.ahead(), &given));
        let Some(forecast) = forecast else {
            let have = at.map_or(0, |at| model.series().days_known(at));
            result.skip(name, origin, have, DAYS);
            continue;
        };
        result.models.push(forecast.model);
        let quantiles = quantiles(&forecast, GasDay(origin.date()));
        push(&mut result.rows, origin, &steps, &quantiles, forecast.model);
    }
    result
}

fn push(
    rows: &mut Vec<OutRow>,
    origin: NaiveDateTime,
    steps: &[NaiveDateTime],
    quantiles: &[[f64; 3]],
    quality: &'static str,
) {
    rows.extend(steps.iter().zip(quantiles).map(|(at, quantiles)| OutRow {
        origin,
        at: *at,
        quantiles: *quantiles,
        quality,
    }));
}

/// P10 and P90 of the joint draws around the published P50, by lead.
fn quantiles(forecast: &DailyForecast, origin: GasDay) -> Vec<[f64; 3]> {
    let draws: Vec<Vec<f64>> = choose_origins([forecast.paths.as_slice()], origin, DRAWS, SEED)
        .into_iter()
        .map(|past| daily_draw(&forecast.p50, path_for(&forecast.paths, past)))
        .collect();
    (0..forecast.p50.len())
        .map(|lead| {
            let p50 = forecast.p50[lead];
            let [low, _, high] = spread(draws.iter().map(|d| d[lead]).collect());
            [low.min(p50), p50, high.max(p50)]
        })
        .collect()
}

/// Days whose last hour is the origins' hour, so that a horizon begins with a whole day.
fn hourly(
    files: &TaskFiles,
    name: &str,
    rows: &[Row],
    mode: Mode,
    options: &DailyOptions,
) -> SeriesResult {
    let mut result = SeriesResult::default();
    let mut ends: Vec<u32> = files.origins.iter().map(Timelike::hour).collect();
    ends.sort_unstable();
    ends.dedup();
    for end in ends {
        let origins: Vec<NaiveDateTime> = files
            .origins
            .iter()
            .copied()
            .filter(|o| o.hour() == end)
            .collect();
        hourly_ending(
            files,
            name,
            rows,
            mode,
            options,
            (end, &origins),
            &mut result,
        );
    }
    result.rows.sort_by_key(|row| (row.origin, row.at));
    result
}

fn hourly_ending(
    files: &TaskFiles,
    name: &str,
    rows: &[Row],
    mode: Mode,
    options: &DailyOptions,
    (end, origins): (u32, &[NaiveDateTime]),
    result: &mut SeriesResult,
) {
    let start = TimeDelta::hours(i64::from((end + 1) % 24));
    let day_of = |at: NaiveDateTime| GasDay((at - start).date());
    let (Some(first), Some(last)) = (rows.first(), origins.iter().max()) else {
        result.skip_all(name, origins, DAYS);
        return;
    };
    let first = day_of(first.at);
    let known = days_between(first, day_of(*last)).map_or(0, |d| d + 1);
    let horizon_days = files.task.horizon.div_ceil(24);
    let traits = traits(files, name, first, known + horizon_days + 2);
    let mut book = vec![[f64::NAN; 24]; known];
    let mut warmth = vec![(0.0, 0_u32); known];
    let mut degrees = vec![[f64::NAN; 24]; known];
    for row in rows {
        let Some(i) = days_between(first, day_of(row.at)).filter(|i| *i < known) else {
            continue;
        };
        book[i][(row.at - start).hour() as usize] = row.value;
        if row.temperature.is_finite() && mode != Mode::None {
            degrees[i][(row.at - start).hour() as usize] = row.temperature;
            warmth[i].0 += row.temperature;
            warmth[i].1 += 1;
        }
    }
    let mean = |(sum, count): (f64, u32)| {
        if count >= 12 {
            sum / f64::from(count)
        } else {
            f64::NAN
        }
    };
    let temperatures: Vec<f64> = warmth.into_iter().map(mean).collect();
    let days = (0..known)
        .map(|i| ShapeDay {
            traits: traits[i],
            temperature: temperatures[i],
            hours: book[i],
        })
        .collect();
    let mut model = HourlyModel::new(days, &traits[known..], mode != Mode::None, *options);
    if mode != Mode::None {
        model = model.with_hours(&degrees);
    }
    for &origin in origins {
        let steps: Vec<NaiveDateTime> = (1_i64..)
            .take(horizon_days * 24)
            .map(|k| origin + TimeDelta::hours(k))
            .collect();
        let hourly = given(
            files,
            name,
            rows,
            mode,
            origin,
            &steps[..files.task.horizon],
        );
        let given: Vec<f64> = hourly
            .chunks(24)
            .map(|day| {
                let known: Vec<f64> = day.iter().copied().filter(|t| t.is_finite()).collect();
                mean((known.iter().sum(), u32::try_from(known.len()).unwrap_or(0)))
            })
            .collect();
        let at = days_between(first, day_of(origin));
        let draws = Draws {
            count: DRAWS,
            seed: SEED,
        };
        let forecast = at.and_then(|at| {
            model.forecast(at, horizon_days, mode.ahead(), (&given, &hourly), draws)
        });
        let Some(forecast) = forecast else {
            let have = at.map_or(0, |at| model.series().days_known(at));
            result.skip(name, origin, have, DAYS);
            continue;
        };
        result.models.push(forecast.model);
        push(
            &mut result.rows,
            origin,
            &steps[..files.task.horizon],
            &forecast.quantiles,
            forecast.model,
        );
    }
}

fn monthly(files: &TaskFiles, name: &str, rows: &[Row], mode: Mode) -> SeriesResult {
    let mut result = SeriesResult::default();
    let (Some(first), Some(last)) = (rows.first(), files.origins.iter().max()) else {
        result.skip_all(name, &files.origins, MONTHS);
        return result;
    };
    let month_of = |at: NaiveDateTime| GasDay(at.date()).month();
    let index = |month: GasMonth| {
        let first = month_of(first.at);
        let months = (month.year - first.year) * 12 + i32::try_from(month.month).unwrap_or(0)
            - i32::try_from(first.month).unwrap_or(0);
        usize::try_from(months).ok()
    };
    let known = index(month_of(*last)).map_or(0, |i| i + 1);
    let mut months = vec![month_of(first.at)];
    for i in 0..known + files.task.horizon {
        months.push(months[i].next());
    }
    let mut all = MonthlySeries {
        months,
        values: vec![f64::NAN; known],
        temperatures: vec![f64::NAN; known],
    };
    for row in rows {
        if let Some(i) = index(month_of(row.at)).filter(|i| *i < known) {
            all.values[i] = row.value;
            all.temperatures[i] = if mode == Mode::None {
                f64::NAN
            } else {
                row.temperature
            };
        }
    }
    for &origin in &files.origins {
        let at = index(month_of(origin));
        let steps: Vec<NaiveDateTime> = at
            .map(|at| all.months[at + 1..=at + files.task.horizon].to_vec())
            .unwrap_or_default()
            .iter()
            .map(|m| m.first_day().0.and_time(chrono::NaiveTime::MIN))
            .collect();
        let given = given(files, name, rows, mode, origin, &steps);
        let forecast = at.and_then(|at| {
            let mut upto = all.clone();
            upto.values.truncate(at + 1);
            upto.temperatures.truncate(at + 1);
            monthly::forecast(&upto, at, files.task.horizon, mode.ahead(), &given)
        });
        let Some(forecast) = forecast else {
            let upto = at.map_or(&[][..], |at| &all.values[..=at]);
            let have = upto.iter().filter(|v| v.is_finite()).count();
            result.skip(name, origin, have, MONTHS);
            continue;
        };
        result.models.push(forecast.model);
        let quantiles = quantiles(&forecast, GasDay(origin.date()));
        push(&mut result.rows, origin, &steps, &quantiles, forecast.model);
    }
    result
}

#[cfg(test)]
mod bad_input_tests;
#[cfg(test)]
mod tests;
