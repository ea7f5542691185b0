//! `cargo run --release --example years`: what six years of demand and ten of weather cost a forecast run
//! beside 800 days of both, and what the months of its first run cost; times of one process and their ratios.

#![allow(clippy::print_stdout, reason = "its output is the result")]

use std::error::Error;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode};
use qiliang::domain::weather::{StationMix, WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::forecast::engine::run_with;
use qiliang::forecast::memory::Memory;
use qiliang::forecast::request::{ForecastRequest, MonthsInput};
use qiliang::run::runs::{digest_of, parts_of};
use qiliang::simulate::shipped_calendar;
use qiliang::store::book::Book;

const ZONES: usize = 4;
const CLASSES: [CustomerClass; 3] = [
    CustomerClass::Industrial,
    CustomerClass::Commercial,
    CustomerClass::ResidentialHeating,
];
/// Times each thing is done; the least counts.
const ROUNDS: usize = 3;

fn today() -> GasDay {
    GasDay::from_epoch_day(20_777)
}

fn celsius(day: GasDay) -> f64 {
    let of_year = f64::from(day.epoch_day()) / 365.25;
    14.0 - 12.0 * (std::f64::consts::TAU * (of_year - 0.04)).cos()
        + 3.0 * (f64::from(day.epoch_day()) * 0.37).sin()
}

fn demand(days: i64) -> Vec<DemandDay> {
    let mut out = Vec::new();
    for back in (1..=days).rev() {
        let day = today().plus(-back);
        for zone in 0..ZONES {
            for (k, class) in (1..).zip(CLASSES) {
                let noise = 1.0 + 0.01 * f64::from(day.epoch_day() * (37 + k) % 11 - 5);
                let warm = f64::from(k - 1) * 100.0 * (16.0 - celsius(day)).max(0.0);
                let week = if day.epoch_day() % 7 < 2 { 0.8 } else { 1.0 };
                let m3 = noise * week * (3_000.0 + warm);
                out.push(DemandDay {
                    node: DemandNode {
                        zone: format!("Z{zone}").as_str().into(),
                        class,
                    },
                    day,
                    hours_m3: std::array::from_fn(|h| m3 * (20.0 + h as f64) / 756.0),
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
    }
    out
}

fn request(days: i64, weather_days: i64, is_first_of_day: bool) -> ForecastRequest {
    let clock = GasDayClock::default();
    let origin_at = clock.start_of(today()) + TimeDelta::minutes(30);
    let mut request = ForecastRequest::new("r".into(), origin_at, clock, shipped_calendar());
    request.demand = demand(days);
    let zones: Vec<String> = (0..ZONES).map(|zone| format!("Z{zone}")).collect();
    for zone in &zones {
        let weather = request.weather.entry(zone.as_str().into()).or_default();
        for back in 1..=weather_days {
            let day = today().plus(-back);
            weather.observed.insert(day, celsius(day));
        }
    }
    let shares: Vec<_> = zones
        .iter()
        .map(|zone| (zone.as_str().into(), "pipe".into(), 1.0))
        .collect();
    request.shares = vec![shares.clone(); 62];
    if is_first_of_day {
        request.months = Some(MonthsInput {
            count: 18,
            shares: vec![(today().month().first_day(), shares)],
        });
    }
    request
}

/// The least of some rounds, ms.
fn least<T>(mut work: impl FnMut() -> T) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(work());
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

fn line(what: &str, before: f64, now: f64) {
    println!("| {what} | {before:.1} | {now:.1} | {:.2} |", now / before);
}

fn main() -> Result<(), Box<dyn Error>> {
    let nodes = ZONES * CLASSES.len();
    println!("{nodes} nodes in {ZONES} zones, 62 days, 200 draws; ms, the least of {ROUNDS}");
    println!("| | 800 days | 6 years, 10 of weather | ratio |\n|---|---|---|---|");
    let [before, now] = [(800, 810), (2_200, 3_650)].map(|(days, of_weather)| {
        let request = request(days, of_weather, false);
        let cold = least(|| run_with(&request, &Memory::default()).map(|run| run.forecast));
        let memory = Memory::with_room_for(64 << 20);
        let first = run_with(&request, &memory).map(|_| ());
        let mut hourly = request.clone();
        hourly.run_id = "r2".into();
        hourly.origin_at += TimeDelta::hours(1);
        let again = least(|| run_with(&hourly, &memory).map(|run| run.forecast));
        let parts = least(|| parts_of(&request).map(|parts| digest_of(&parts)));
        first.map(|()| [cold, again, parts])
    });
    let (before, now) = (before?, now?);
    line("the first run of a gas day", before[0], now[0]);
    line("an hour later", before[1], now[1]);
    line("its inputs, cut and digested", before[2], now[2]);
    let with_months = request(2_200, 3_650, true);
    let months = least(|| run_with(&with_months, &Memory::default()).map(|run| run.forecast));
    line("the first run, with 18 months", now[0], months);
    stores()
}

/// What is read once, beside what every run read.
fn stores() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let book = Book::open(dir.path().join("qiliang.db"))?;
    let clock = GasDayClock::default();
    let start: DateTime<Utc> = clock.start_of(today());
    book.restate_demand_days(Vec::new(), demand(2_200), start)?;
    let hours = 3_650 * 24;
    book.put_weather(vec![WeatherVintage {
        station: "st".into(),
        kind: WeatherKind::Observed,
        issued_at: start,
        available_at: start,
        points: (1..=hours)
            .rev()
            .map(|back| WeatherPoint {
                at: start - TimeDelta::hours(back),
                temperature_c: 5.0,
            })
            .collect(),
    }])?;
    let reader = Book::open_read_only(dir.path().join("qiliang.db"))?;
    let read = |book: &Book, days: i64| book.demand_days(today().plus(-days), today());
    read(&book, 2_200)?;
    let anew = least(|| read(&reader, 800));
    line(
        "demand from the book, read once",
        anew,
        least(|| read(&book, 2_200)),
    );
    line("the same, read anew", anew, least(|| read(&reader, 2_200)));
    let mix = StationMix::from("st");
    let observed = |days: i64| {
        let from = start - TimeDelta::days(days);
        reader.observed_of(&mix, from, start, start)
    };
    line(
        "weather of a station, the year under way",
        least(|| observed(810)),
        least(|| observed(323)),
    );
    Ok(())
}
