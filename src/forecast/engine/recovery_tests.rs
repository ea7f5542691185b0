//! Effects of the calendar that are known because they were simulated, recovered from forecasts.
//!
//! Each case is simulated twice with the same weather and the same noise: once with the effect and
//! once without. What the two forecasts differ by is held against what the two truths differ by.

use crate::domain::demand::DemandDay;
use crate::forecast::weather::ZoneWeather;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

use super::*;
use crate::domain::calendar::{Calendar, DayType, GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::season::Place;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::request::ConsumerInput;

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
            // With joined days, as the notice of a year has them.
            &include_str!("../../../config/calendar/2027.toml").replace("2027-02-08", "2027-02-12"),
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
    let rows: Vec<String> = lines
        .iter()
        .map(|Line { name, recovered }| format!("  {name:<36} {:6.1} %", 100.0 * recovered))
        .collect();
    let table = format!("{what}\n{}\n", rows.join("\n"));
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

/// Part of use left so many days from 正月初一, where the class loses `depth` of it at the deepest.
fn left(class: CustomerClass, depth: f64, festival: Option<i64>) -> f64 {
    let Some(offset) = festival else { return 1.0 };
    let within = |from, full, end, to| match offset {
        o if o < from || o > to => 0.0,
        o if o < full => (o - from + 1) as f64 / (full - from + 1) as f64,
        o if o <= end => 1.0,
        o => (to - o + 1) as f64 / (to - end + 1) as f64,
    };
    let shape = match class {
        CustomerClass::Industrial => within(-8, -2, 6, 16),
        CustomerClass::PublicService => within(-8, -5, 7, 10),
        _ => within(-3, -1, 4, 8),
    };
    1.0 - depth * shape
}

/// A large factory of the simulated class.
struct Factory {
    id: &'static str,
    /// First day of its history.
    first: &'static str,
    depth: f64,
    level: f64,
}

const fn factory(id: &'static str, first: &'static str, depth: f64, level: f64) -> Factory {
    Factory {
        id,
        first,
        depth,
        level,
    }
}

/// From three festivals met to none; the class loses 0.7 of its use in the mean.
const FACTORIES: [Factory; 11] = [
    factory("a", "2024-01-01", 0.62, 9_000.0),
    factory("b", "2024-01-01", 0.78, 14_000.0),
    factory("c", "2024-01-01", 0.70, 6_000.0),
    factory("d", "2024-03-01", 0.85, 22_000.0),
    factory("e", "2024-03-01", 0.55, 5_000.0),
    factory("f", "2025-03-01", 0.74, 8_000.0),
    factory("g", "2025-03-01", 0.66, 12_000.0),
    factory("goes on", "2024-01-01", 0.0, 10_000.0),
    factory("one met", "2025-06-01", 0.7, 7_000.0),
    factory("none met", "2026-04-01", 0.7, 11_000.0),
    factory("new", "2026-11-10", 0.7, 4_000.0),
];

const FESTIVAL: &str = "2027-02-06";

/// The city on 18 January 2027, by class, with or without a festival; factories where asked for.
fn festive(
    classes: &[(CustomerClass, f64)],
    factories: &[&Factory],
    has_festival: bool,
) -> ForecastRequest {
    let today = day("2027-01-18");
    let clock = GasDayClock::default();
    let mut request =
        ForecastRequest::new("run-1".into(), clock.start_of(today), clock, calendar());
    let start = day("2024-01-01");
    let known = today.days_since(start);
    let temperatures = weather(start, known + 45);
    let depth_of = |depth: f64| if has_festival { depth } else { 0.0 };
    let made = |class, traits: &DayTraits, depth: f64, noise: &mut Noise| {
        let at = usize::try_from(traits.day.days_since(start)).unwrap();
        let left = left(class, depth_of(depth), traits.festival);
        usual(class, traits, temperatures[at]) * left * noise.next()
    };
    for (seed, zone) in [(1, "north"), (2, "south")] {
        let mut of_zone = ZoneWeather::default();
        for (i, temperature) in (0..).zip(&temperatures) {
            let on = start.plus(i);
            let days = if on < today {
                &mut of_zone.observed
            } else {
                &mut of_zone.forecast
            };
            days.insert(on, *temperature);
        }
        request.weather.insert(zone.into(), of_zone);
        for (class, depth) in classes {
            let node = DemandNode {
                zone: zone.into(),
                class: *class,
            };
            let count = usize::try_from(known).unwrap();
            let traits = DayTraits::span_of(&request.calendar, &node, start, count);
            let mut noise = Noise::new(seed, NOISE);
            for traits in &traits {
                let volume = made(*class, traits, *depth, &mut noise);
                request.demand.push(DemandDay {
                    node: node.clone(),
                    day: traits.day,
                    hours_m3: [volume / 24.0; 24],
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
    }
    for (seed, factory) in (10..).zip(factories) {
        let node = DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        };
        let first = day(factory.first);
        let count = usize::try_from(today.days_since(first)).unwrap();
        let traits = DayTraits::span_of(&request.calendar, &node, first, count);
        let mut noise = Noise::new(seed, 0.08);
        let scale = factory.level / 40_000.0;
        let days: BTreeMap<GasDay, f64> = traits
            .iter()
            .map(|traits| {
                let volume = made(node.class, traits, factory.depth, &mut noise);
                (traits.day, scale * volume)
            })
            .collect();
        // What it uses is a part of what its node uses.
        for of_node in request.demand.iter_mut().filter(|d| d.node == node) {
            let own = days.get(&of_node.day).copied().unwrap_or(0.0);
            of_node.hours_m3 = of_node.hours_m3.map(|hour| hour + own / 24.0);
        }
        request.parts.consumers.push(ConsumerInput {
            customer: factory.id.into(),
            node,
            days: days.into_iter().collect(),
            plans: BTreeMap::new(),
            past_plans: Vec::new(),
            plan_prior: 0.0,
            effects: BTreeMap::new(),
            deviations: BTreeMap::new(),
        });
    }
    request.shares = vec![
        vec![
            ("north".into(), "pipe".into(), 1.0),
            ("south".into(), "pipe".into(), 1.0),
        ];
        HORIZON
    ];
    request.horizon_days = HORIZON;
    request.draws = 0;
    request
}

/// Offsets in which a class feels the festival, and all of it.
fn blocks(class: CustomerClass) -> [[i64; 2]; 4] {
    match class {
        CustomerClass::Industrial => [[-8, -1], [0, 6], [7, 16], [-20, 20]],
        CustomerClass::PublicService => [[-8, -1], [0, 7], [8, 10], [-20, 20]],
        _ => [[-3, -1], [0, 4], [5, 8], [-20, 20]],
    }
}

/// What a series has of its festival by block of offsets, the last being all of it; `said` and
/// `plain` are forecasts with and without, `usual` the true use without.
fn of_festival(
    name: &str,
    class: CustomerClass,
    [said, plain]: [&dyn Fn(usize) -> f64; 2],
    usual: &dyn Fn(usize) -> f64,
    left: &dyn Fn(Option<i64>) -> f64,
) -> Vec<Line> {
    let calendar = calendar();
    let mut lines = Vec::new();
    for [from, to] in blocks(class) {
        let (mut recovered, mut known) = (0.0, 0.0);
        for index in 0..HORIZON {
            let on = day("2027-01-18").plus(i64::try_from(index).unwrap());
            let offset = on.days_since(day(FESTIVAL));
            if (from..=to).contains(&offset) {
                recovered += said(index) - plain(index);
                let festival = calendar.spring_festival_offset(on.0, 24);
                known += usual(index) * (left(festival) - 1.0);
            }
        }
        lines.push(Line {
            name: format!("{name}, day {from:+} to {to:+}"),
            recovered: recovered / known,
        });
    }
    lines
}

fn usual_of(class: CustomerClass, index: usize) -> f64 {
    let start = day("2024-01-01");
    let on = day("2027-01-18").plus(i64::try_from(index).unwrap());
    let temperatures = weather(start, on.days_since(start) + 1);
    let traits = DayTraits::new(&calendar(), on);
    usual(class, &traits, *temperatures.last().unwrap())
}

#[test]
fn the_festival_is_recovered_class_by_class() {
    let classes = [
        (CustomerClass::ResidentialCooking, -0.15),
        (CustomerClass::Industrial, 0.7),
        (CustomerClass::Commercial, 0.4),
        (CustomerClass::PublicService, 0.3),
        (CustomerClass::VehicleCng, 0.25),
    ];
    let [with, without] =
        [true, false].map(|has_festival| run(&festive(&classes, &[], has_festival)).unwrap());
    let mut lines = Vec::new();
    for (class, depth) in classes {
        let of = |run: &DemandForecast, index: usize| -> f64 {
            let nodes = run.nodes.iter().filter(|n| n.node.class == class);
            nodes.map(|n| n.p50_m3[index].iter().sum::<f64>()).sum()
        };
        lines.extend(of_festival(
            class.key(),
            class,
            [&|i| of(&with, i), &|i| of(&without, i)],
            &|i| 2.0 * usual_of(class, i),
            &|festival| left(class, depth, festival),
        ));
    }
    within_a_fifth(
        "Spring Festival by class, two zones, three festivals",
        &lines,
    );
}

fn factory_lines(factories: &[&Factory], asked: &Factory) -> Vec<Line> {
    let class = CustomerClass::Industrial;
    let [with, without] = [true, false].map(|has_festival| {
        let (_, parts) = run_in_parts(&festive(&[(class, 0.7)], factories, has_festival)).unwrap();
        let mut consumers = parts.consumers.into_iter();
        let found = consumers.find(|c| c.customer.as_str() == asked.id).unwrap();
        move |index: usize| found.days[index].band.p50_m3 as f64
    });
    let depth = if asked.depth > 0.0 { asked.depth } else { 0.7 };
    of_festival(
        asked.id,
        class,
        [&with, &without],
        &|i| usual_of(class, i) * asked.level / 40_000.0,
        &|festival| left(class, depth, festival),
    )
}

#[test]
fn a_factory_that_met_one_festival_or_none_is_helped_by_those_alike() {
    let all: Vec<&Factory> = FACTORIES.iter().collect();
    let mut lines = Vec::new();
    for factory in &FACTORIES {
        if factory.depth > 0.0 {
            lines.extend(factory_lines(&all, factory));
        }
    }
    within_a_fifth("Spring Festival of factories among eleven", &lines);
}

#[test]
fn what_comes_later_is_not_learnt_from_those_alike() {
    let all: Vec<&Factory> = FACTORIES.iter().collect();
    let request = festive(&[(CustomerClass::Industrial, 0.7)], &all, true);
    let mut tempted = request.clone();
    let today = day("2027-01-18");
    for consumer in &mut tempted.parts.consumers {
        consumer.days.extend((0..40).map(|i| (today.plus(i), 1e7)));
    }
    let of_node = request.demand[0].node.clone();
    tempted.demand.extend((0..40).map(|i| DemandDay {
        node: of_node.clone(),
        day: today.plus(i),
        hours_m3: [1e7; 24],
        coverage: 1.0,
        uncertainty_m3: 0.0,
    }));
    let [honest, tempted] = [&request, &tempted].map(|request| run_in_parts(request).unwrap());
    assert_eq!(honest, tempted);
}

#[test]
fn a_factory_unlike_its_class_is_left_as_it_is() {
    let all: Vec<&Factory> = FACTORIES.iter().collect();
    let goes_on = &FACTORIES[7];
    for Line { name, recovered } in factory_lines(&all, goes_on) {
        println!("  {name:<28} {:6.1} % of the class's", 100.0 * recovered);
        assert!(recovered.abs() < 0.2, "{name}: {recovered}");
    }
}

/// Σ |P50 − used| / Σ used of a factory over the festival's days, by its bands.
fn missed(factory: &Factory, bands: &[crate::domain::demand::Band]) -> f64 {
    let (mut off, mut all) = (0.0, 0.0);
    for (index, band) in bands.iter().enumerate() {
        let on = day("2027-01-18").plus(i64::try_from(index).unwrap());
        let festival = calendar().spring_festival_offset(on.0, 24);
        let usual = usual_of(CustomerClass::Industrial, index) * factory.level / 40_000.0;
        let used = usual * left(CustomerClass::Industrial, factory.depth, festival);
        off += (band.p50_m3 as f64 - used).abs();
        all += used;
    }
    off / all
}

#[test]
fn bands_of_single_customers_know_the_festival_from_those_alike() {
    let all: Vec<&Factory> = FACTORIES.iter().collect();
    let request = festive(&[(CustomerClass::Industrial, 0.7)], &all, true);
    let of = |request: &ForecastRequest| consumer_days(request, &Memory::default()).unwrap();
    let with = of(&request);
    let mut rows = Vec::new();
    for factory in &FACTORIES {
        let id = factory.id.into();
        // By itself, as if nobody were alike.
        let mut alone = request.clone();
        alone.demand.clear();
        alone.parts.consumers.retain(|of| of.customer == id);
        alone.customer_capacities = None;
        let [with, alone] = [&with, &of(&alone)].map(|said| missed(factory, &said[&id].bands));
        println!(
            "  {:<10} {:5.1} % alone, {:5.1} % with those alike",
            factory.id,
            100.0 * alone,
            100.0 * with
        );
        rows.push((factory, alone, with));
    }
    let mean = |is: &dyn Fn(&Factory) -> bool| {
        let of: Vec<_> = rows.iter().filter(|(factory, ..)| is(factory)).collect();
        let count = of.len() as f64;
        let sums = of
            .iter()
            .fold((0.0, 0.0), |(a, b), (_, alone, with)| (a + alone, b + with));
        (sums.0 / count, sums.1 / count)
    };
    // Who met one or none, and closes for it, is helped by a third at least.
    let (alone, with) = mean(&|f| f.first >= "2025-03-01" && f.depth > 0.0);
    assert!(with < 0.67 * alone, "{alone} {with}");
    // Who met three is no worse off, the one that never closes included.
    let (alone, with) = mean(&|f| f.first < "2025-03-01");
    assert!(with < 1.02 * alone, "{alone} {with}");
}
