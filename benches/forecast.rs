//! One series, fit and forecast from nothing: days by history and horizon, hours of three years.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use qiliang::domain::calendar::GasDay;
use qiliang::forecast::features::calendar::traits_of_named_holidays;
use qiliang::forecast::models::daily::{DailyModel, DailyOptions};
use qiliang::forecast::models::hourly::{Draws, HourlyModel};
use qiliang::forecast::models::series::DailySeries;
use qiliang::forecast::models::shape::ShapeDay;
use qiliang::forecast::weather::WeatherAhead;

const YEAR: usize = 365;

/// Heating demand with weekends and noise.
fn series(days: usize) -> DailySeries {
    let first = GasDay::from_epoch_day(18_262);
    let traits = traits_of_named_holidays(&std::collections::BTreeMap::new(), first, days + 70);
    let noise = |i: usize, k: usize| ((i * 7919 + k * 104_729) % 1009) as f64 / 504.5 - 1.0;
    let temperatures: Vec<f64> = (0..days)
        .map(|i| {
            let wave = (std::f64::consts::TAU * i as f64 / 365.25).cos();
            12.0 - 9.0 * wave + 3.0 * noise(i / 3, 1) + noise(i, 2)
        })
        .collect();
    let values = temperatures
        .iter()
        .zip(&traits)
        .enumerate()
        .map(|(i, (t, day))| {
            let week = if day.weekday >= 5 { 0.8 } else { 1.0 };
            week * (100.0 + 10.0 * (16.0 - t).max(0.0)) + 5.0 * noise(i, 3)
        })
        .collect();
    DailySeries {
        values,
        traits,
        temperatures,
        deviations: Vec::new(),
        climate: Vec::new(),
    }
}

fn days(c: &mut Criterion) {
    let mut group = c.benchmark_group("forecast/days");
    for (years, horizon) in [(1, 7), (2, 7), (3, 7), (5, 7), (8, 7), (5, 31), (5, 62)] {
        let series = series(years * YEAR);
        let given = vec![8.0; horizon];
        let name = BenchmarkId::from_parameter(format!("{years} years, {horizon} ahead"));
        group.bench_function(name, |b| {
            let fit_and_forecast = |series: DailySeries| {
                let origin = series.values.len() - 1;
                DailyModel::new(black_box(series), DailyOptions::default()).forecast(
                    origin,
                    horizon,
                    WeatherAhead::Perfect,
                    &given,
                )
            };
            let input = || series.clone();
            b.iter_batched(input, fit_and_forecast, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn hours(c: &mut Criterion) {
    let daily = series(3 * YEAR);
    let count = daily.values.len();
    let days: Vec<ShapeDay> = (0..count)
        .map(|i| ShapeDay {
            traits: daily.traits[i],
            temperature: daily.temperatures[i],
            hours: std::array::from_fn(|h| {
                daily.values[i] / 24.0 * (1.0 + 0.4 * (h as f64 / 4.0).sin())
                    + ((i * 7919 + h * 31) % 101) as f64 / 100.0
            }),
        })
        .collect();
    let degrees: Vec<[f64; 24]> = daily
        .temperatures
        .iter()
        .map(|mean| std::array::from_fn(|h| mean + 3.0 * (h as f64 / 4.0).sin()))
        .collect();
    let draws = Draws {
        count: 400,
        seed: 1,
    };
    c.bench_function("forecast/hours/3 years, 168 ahead", |b| {
        let fit_and_forecast = |days: Vec<ShapeDay>| {
            let ahead = &daily.traits[count..];
            HourlyModel::new(black_box(days), ahead, true, DailyOptions::default())
                .with_hours(&degrees)
                .forecast(
                    count - 1,
                    7,
                    WeatherAhead::Perfect,
                    (&[8.0; 7], &[8.0; 168]),
                    draws,
                )
        };
        b.iter_batched(|| days.clone(), fit_and_forecast, BatchSize::SmallInput);
    });
}

/// Two seconds a figure: the whole in half a minute.
fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = brief(); targets = days, hours);
criterion_main!(benches);
