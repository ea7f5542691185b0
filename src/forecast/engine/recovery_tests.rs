//! Effects of the calendar that are known because they were simulated, recovered from forecasts.
//!
//! Each case is simulated twice with the same weather and the same noise: once with the effect and
//! once without. What the two forecasts differ by is held against what the two truths differ by.

use std::fmt::Write as _;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::calendar::DayType;
use crate::domain::customer::CustomerClass;
use crate::domain::season::Place;
use crate::forecast::features::calendar::DayTraits;

const ZONE: &str = "north";
const HORIZON: usize = 45;
/// Standard deviation of what is new every day; the mood has as much again.
const NOISE: f64 = 0.03;

fn day(text: &str) -> GasDay {
    text.parse().unwrap()
}

/// The shipped years, and a place as in the north with a late and a prolonged winter.
fn calendar() -> Calendar {
    let place: Place = toml::from_str(
        "name = \"city\"\n\
         heating = { from = \"11-15\", to = \"03-15\", exceptions = [\
           { from = \"2024-11-08\", to = \"2025-03-20\" }] }\n\
         pricing = { from = \"11-01\", to = \"03-31\" }\n\
         school_holidays = [\n\
           { name = \"寒假\", from = \"2024-01-27\", to = \"2024-02-25\" },\n\
           { name = \"暑假\", from = \"2024-07-06\", to = \"2024-08-31\" },\n\
           { name = \"寒假\", from = \"2025-01-18\", to = \"2025-02-16\" },\n\
           { name = \"暑假\", from = \"2025-07-05\", to = \"2025-08-31\" },\n\
           { name = \"寒假\", from = \"2026-01-31\", to = \"2026-03-01\" },\n\
           { name = \"暑假\", from = \"2026-07-04\", to = \"2026-08-31\" },\n\
         ]\n",
    )
    .unwrap();
    Calendar::new(
        [
            include_str!("../../../config/calendar/2024.toml"),
            include_str!("../../../config/calendar/2025.toml"),
            include_str!("../../../config/calendar/2026.toml"),
            include_str!("../../../config/calendar/2027.toml"),
        ]
        .map(|text| toml::from_str(text).unwrap()),
    )
    .with_places(vec![place])
}

/// Noise of a series: a mood that lasts days, and what is new every day.
struct Noise {
    rng: ChaCha8Rng,
    mood: f64,
    size: f64,
}

impl Noise {
    fn new(seed: u64, size: f64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            mood: 0.0,
            size,
        }
    }

    /// Nearly normal, of standard deviation one.
    fn unit(&mut self) -> f64 {
        (0..6).map(|_| self.rng.random::<f64>() - 0.5).sum::<f64>() * 2.0_f64.sqrt()
    }

    fn next(&mut self) -> f64 {
        self.mood = 0.8 * self.mood + 0.6 * self.size * self.unit();
        1.0 + self.mood + self.size * self.unit()
    }
}

/// Daily mean temperatures from a day on, °C.
fn weather(first: GasDay, count: i64) -> Vec<f64> {
    let mut noise = Noise::new(99, 1.0);
    let mut anomaly = 0.0;
    (0..count)
        .map(|i| {
            let season = crate::forecast::features::calendar::year_angle(first.plus(i).0);
            anomaly = 0.75 * anomaly + 1.7 * noise.unit();
            14.0 - 12.0 * (season - 0.3).cos() + anomaly
        })
        .collect()
}

/// A class as it uses gas, without the effect under test.
fn usual(class: CustomerClass, traits: &DayTraits, temperature: f64) -> f64 {
    let cold = (16.0 - temperature).max(0.0);
    let (base, slope, day_off) = match class {
        CustomerClass::ResidentialHeating => (12_000.0, 2_000.0, 1.03),
        CustomerClass::PublicService => (8_000.0, 250.0, 0.75),
        CustomerClass::Commercial => (20_000.0, 500.0, 1.05),
        _ => (40_000.0, 300.0, 0.7),
    };
    let is_off = traits.day_type != DayType::Workday;
    (base + slope * cold) * if is_off { day_off } else { 1.0 }
}

type Effect = dyn Fn(&DayTraits) -> f64;

/// One node from a day to an origin's gas day, with what it would use after it.
struct Simulated {
    request: ForecastRequest,
    /// Expected use of the days of the forecast, without noise, m³.
    truth: Vec<f64>,
}

fn simulate(
    class: CustomerClass,
    [first, today]: [&str; 2],
    seed: u64,
    effect: &Effect,
) -> Simulated {
    let (first, today) = (day(first), day(today));
    let clock = GasDayClock::default();
    let node = DemandNode {
        zone: ZONE.into(),
        class,
    };
    let mut request =
        ForecastRequest::new("run-1".into(), clock.start_of(today), clock, calendar());
    let known = today.days_since(first);
    let ahead = i64::try_from(HORIZON).unwrap();
    let count = usize::try_from(known + ahead).unwrap();
    let traits = DayTraits::span_of(&request.calendar, &node, first, count);
    let temperatures = weather(first, known + ahead);
    let mut zone = ZoneWeather::default();
    let mut noise = Noise::new(seed, NOISE);
    let mut truth = Vec::new();
    for (traits, temperature) in traits.iter().zip(&temperatures) {
        let expected = usual(class, traits, *temperature) * effect(traits);
        let made = expected * noise.next();
        if traits.day < today {
            zone.observed.insert(traits.day, *temperature);
            request.demand.push(DemandDay {
                node: node.clone(),
                day: traits.day,
                hours_m3: [made / 24.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        } else {
            zone.forecast.insert(traits.day, *temperature);
            truth.push(expected);
        }
    }
    request.weather.insert(ZONE.into(), zone);
    request.shares = vec![vec![(ZONE.into(), "pipe".into(), 1.0)]; HORIZON];
    request.horizon_days = HORIZON;
    request.draws = 0;
    Simulated { request, truth }
}

fn p50(forecast: &DemandForecast, index: usize) -> f64 {
    forecast.nodes[0].p50_m3[index].iter().sum()
}

/// One line of the table.
struct Line {
    name: String,
    /// Part of the known effect that the forecast has.
    recovered: f64,
}

/// What the forecast has of an effect, by blocks of days and together.
fn recover(
    class: CustomerClass,
    span: [&str; 2],
    blocks: &[[&str; 2]],
    effect: &Effect,
    neutral: &Effect,
) -> Vec<Line> {
    let [with, without] = [effect, neutral].map(|effect| simulate(class, span, 7, effect));
    let [said, said_without] = [&with, &without].map(|s| run(&s.request).unwrap());
    let mut lines = Vec::new();
    let (mut all_said, mut all_known) = (0.0, 0.0);
    for [from, to] in blocks {
        let (mut of_said, mut of_known) = (0.0, 0.0);
        for index in 0..HORIZON {
            if (day(from)..=day(to)).contains(&said.days[index]) {
                of_said += p50(&said, index) - p50(&said_without, index);
                of_known += with.truth[index] - without.truth[index];
            }
        }
        lines.push(Line {
            name: format!("{from} to {to}"),
            recovered: of_said / of_known,
        });
        all_said += of_said;
        all_known += of_known;
    }
    lines.push(Line {
        name: "all of it".into(),
        recovered: all_said / all_known,
    });
    lines
}

/// Prints the table and asks for every line within a fifth.
fn within_a_fifth(what: &str, lines: &[Line]) {
    let mut table = format!("{what}\n");
    for Line { name, recovered } in lines {
        let _ = writeln!(table, "  {name:<28} {:6.1} %", 100.0 * recovered);
    }
    println!("{table}");
    let is_near = |line: &Line| (0.8..=1.2).contains(&line.recovered);
    assert!(lines.iter().all(is_near), "{table}");
}

fn none(_: &DayTraits) -> f64 {
    1.0
}

#[test]
fn school_holidays_are_recovered() {
    let effect = |d: &DayTraits| if d.local.is_school_holiday { 0.7 } else { 1.0 };
    let summer = recover(
        CustomerClass::PublicService,
        ["2024-01-01", "2026-06-28"],
        &[["2026-07-04", "2026-07-19"], ["2026-07-20", "2026-08-09"]],
        &effect,
        &none,
    );
    within_a_fifth("school holidays, summer", &summer);
    let winter = recover(
        CustomerClass::PublicService,
        ["2024-01-01", "2026-01-26"],
        &[["2026-01-31", "2026-02-13"], ["2026-02-14", "2026-03-01"]],
        &effect,
        &none,
    );
    within_a_fifth("school holidays, winter", &winter);
}

#[test]
fn the_step_of_the_heating_season_is_recovered() {
    let effect = |d: &DayTraits| if d.local.is_heating { 1.25 } else { 1.0 };
    let start = recover(
        CustomerClass::ResidentialHeating,
        ["2024-01-01", "2026-11-10"],
        &[["2026-11-15", "2026-11-30"], ["2026-12-01", "2026-12-24"]],
        &effect,
        &none,
    );
    within_a_fifth("heating season", &start);
}

#[test]
fn the_step_of_the_winter_price_is_recovered() {
    let effect = |d: &DayTraits| if d.local.is_winter_priced { 0.9 } else { 1.0 };
    for class in [CustomerClass::Industrial, CustomerClass::Commercial] {
        let start = recover(
            class,
            ["2024-01-01", "2026-10-27"],
            &[["2026-11-01", "2026-11-15"], ["2026-11-16", "2026-12-08"]],
            &effect,
            &none,
        );
        within_a_fifth(&format!("winter price, {}", class.key()), &start);
    }
}

#[test]
fn make_up_workdays_are_recovered() {
    // Where they have no effect, the factory closes on them as on any weekend.
    let closed = |d: &DayTraits| if d.is_make_up_workday { 0.7 } else { 1.0 };
    for first in ["2024-01-01", "2025-09-20"] {
        let lines = recover(
            CustomerClass::Industrial,
            [first, "2026-09-15"],
            &[["2026-09-20", "2026-09-20"], ["2026-10-10", "2026-10-10"]],
            &none,
            &closed,
        );
        within_a_fifth(&format!("make-up workdays, history from {first}"), &lines);
    }
}

#[test]
fn a_make_up_workday_never_met_is_a_workday() {
    let (mut said, mut known) = (0.0, 0.0);
    for seed in 0..5 {
        let made = simulate(
            CustomerClass::Industrial,
            ["2026-05-12", "2026-09-15"],
            seed,
            &none,
        );
        let forecast = run(&made.request).unwrap();
        for (index, truth) in made.truth.iter().enumerate() {
            if calendar().is_make_up_workday(forecast.days[index].0) {
                said += p50(&forecast, index) - 0.7 * truth;
                known += 0.3 * truth;
            }
        }
    }
    let line = Line {
        name: "two days, five factories".into(),
        recovered: said / known,
    };
    within_a_fifth("make-up workdays never met", &[line]);
}
