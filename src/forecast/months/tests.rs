//! Months: they agree with the run's days and with each other, know the festival, projects and changes, and
//! read nothing of what comes after.

use std::collections::BTreeMap;

use chrono::{Datelike as _, TimeDelta};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::breakdown::Part;
use crate::domain::calendar::{Calendar, CalendarYear, GasDayClock, lunar_new_year};
use crate::domain::connection::{ConnectionStage, NewConnection};
use crate::domain::demand::{DemandDay, DemandView};
use crate::forecast::engine::{EngineRun, run_with};
use crate::forecast::memory::Memory;
use crate::forecast::request::{Project, Shares};
use crate::forecast::weather::ZoneWeather;

fn calendar() -> Calendar {
    let years = [
        include_str!("../../../config/calendar/2021.toml"),
        include_str!("../../../config/calendar/2022.toml"),
        include_str!("../../../config/calendar/2023.toml"),
        include_str!("../../../config/calendar/2024.toml"),
        include_str!("../../../config/calendar/2025.toml"),
        include_str!("../../../config/calendar/2026.toml"),
        include_str!("../../../config/calendar/2027.toml"),
    ];
    Calendar::new(years.map(|text| toml::from_str::<CalendarYear>(text).unwrap()))
}

fn day(text: &str) -> GasDay {
    text.parse().unwrap()
}

fn today() -> GasDay {
    day("2026-11-20")
}

fn node(zone: &str, class: CustomerClass) -> DemandNode {
    DemandNode {
        zone: zone.into(),
        class,
    }
}

fn celsius(day: GasDay) -> f64 {
    let of_year = f64::from(day.0.ordinal0());
    let wave = (std::f64::consts::TAU * (of_year - 15.0) / 365.25).cos();
    14.0 - 12.0 * wave + 3.0 * (f64::from(day.epoch_day()) * 0.37).sin()
}

/// What the festival leaves of a factory's day.
fn festive(day: GasDay) -> f64 {
    let offsets = (-1..=1).filter_map(|back| lunar_new_year(day.0.year() + back));
    let offset = offsets
        .map(|first| (day.0 - first).num_days())
        .min_by_key(|offset| offset.abs());
    match offset {
        Some(-3..=7) => 0.3,
        Some(8..=12) => 0.7,
        _ => 1.0,
    }
}

/// Expected use of a day, m³.
fn truth(node: &DemandNode, day: GasDay) -> f64 {
    match node.class {
        CustomerClass::Industrial => {
            let off = f64::from(u8::from(day.0.weekday().num_days_from_monday() >= 5));
            (4_000.0 - 900.0 * off) * festive(day)
        }
        _ => 1_000.0 + 180.0 * (16.0 - celsius(day)).max(0.0),
    }
}

fn shares(lng: f64) -> Shares {
    vec![
        ("north".into(), "lng".into(), lng),
        ("north".into(), "pipe".into(), 1.0 - lng),
        ("south".into(), "pipe".into(), 1.0),
    ]
}

/// Two zones of a factory and households each, known since a gas day, at `at`.
fn city(at: GasDay, since: GasDay) -> ForecastRequest {
    let clock = GasDayClock::default();
    let origin_at = clock.start_of(at) + TimeDelta::minutes(30);
    let mut request = ForecastRequest::new("r".into(), origin_at, clock, calendar());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for zone in ["north", "south"] {
        let mut weather = ZoneWeather::default();
        for i in 0..at.days_since(since) {
            weather
                .observed
                .insert(since.plus(i), celsius(since.plus(i)));
        }
        request.weather.insert(zone.into(), weather);
        for class in [CustomerClass::Industrial, CustomerClass::ResidentialHeating] {
            for i in 0..at.days_since(since) {
                let node = node(zone, class);
                let noise = 1.0 + 0.04 * (rng.random::<f64>() - 0.5);
                let m3 = truth(&node, since.plus(i)) * noise;
                request.demand.push(DemandDay {
                    node,
                    day: since.plus(i),
                    hours_m3: [m3 / 24.0; 24],
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
    }
    request.shares = vec![shares(0.3); 62];
    request.hourly_days = 2;
    request.draws = 60;
    request.months = Some(MonthsInput {
        count: 18,
        shares: vec![
            (at.month().first_day(), shares(0.3)),
            (day("2027-04-01"), shares(0.45)),
        ],
    });
    request
}

fn made(request: &ForecastRequest) -> (EngineRun, MonthlyOutlook) {
    let mut run = run_with(request, &Memory::default()).unwrap();
    let months = run.months.take().unwrap();
    (run, months)
}

fn at(months: &MonthlyOutlook, month: &str) -> usize {
    months.index_of(month.parse().unwrap()).unwrap()
}

fn of_class(class: CustomerClass) -> DemandView {
    DemandView {
        class: Some(class),
        ..DemandView::default()
    }
}

fn views(months: &MonthlyOutlook) -> [Vec<DemandView>; 4] {
    let mut zones: BTreeMap<String, DemandView> = BTreeMap::new();
    let (mut sources, mut classes, mut nodes) = (zones.clone(), zones.clone(), zones.clone());
    for of in &months.series {
        let view = DemandView::default;
        let zone = Some(of.zone.clone());
        let one = DemandView {
            zone: zone.clone(),
            ..view()
        };
        zones.insert(of.zone.to_string(), one);
        let one = DemandView {
            source: Some(of.source.clone()),
            ..view()
        };
        sources.insert(of.source.to_string(), one);
        classes.insert(of.class.key().into(), of_class(of.class));
        let one = DemandView {
            zone,
            class: Some(of.class),
            ..view()
        };
        nodes.insert(format!("{}/{}", of.zone, of.class.key()), one);
    }
    [zones, sources, classes, nodes].map(|of| of.into_values().collect())
}

/// Every table of months adds up, in cells and in draws, and agrees with the run's days.
fn assert_coherent(run: &EngineRun, months: &MonthlyOutlook) {
    let all: Vec<usize> = (0..months.months.len()).collect();
    let total = DemandView::total();
    for index in &all {
        let of_month = months.band(&total, &[*index]).p50_m3;
        for by in views(months) {
            let sum: i64 = by.iter().map(|v| months.band(v, &[*index]).p50_m3).sum();
            assert_eq!(sum, of_month, "{:?}", months.months[*index]);
        }
        let (known, parts) = months.parts(&total, &[*index]);
        assert_eq!(known + parts.iter().sum::<i64>(), of_month);
    }
    let whole: i64 = all.iter().map(|i| months.band(&total, &[*i]).p50_m3).sum();
    assert_eq!(months.band(&total, &all).p50_m3, whole);
    for by in views(months) {
        let mut sums = vec![0.0; months.draws];
        for view in &by {
            for (sum, m3) in sums.iter_mut().zip(months.joint(view, &all)) {
                *sum += m3;
            }
        }
        for (sum, m3) in sums.iter().zip(months.joint(&total, &all)) {
            assert!((sum - m3).abs() < 1e-5 * m3, "{sum} {m3}");
        }
    }
    // Months that are the run's alone are its days, cell by cell and draw by draw.
    for (index, of) in months.months.iter().enumerate() {
        if of.basis != MonthBasis::Run {
            continue;
        }
        let days: Vec<usize> = (0..run.forecast.days.len())
            .filter(|i| run.forecast.days[*i].month() == of.month)
            .collect();
        for view in views(months).iter().flatten().chain([&total]) {
            let (known, _) = months.parts(view, &[index]);
            let of_days = run.forecast.band(view, &days);
            assert_eq!(months.band(view, &[index]).p50_m3, known + of_days.p50_m3);
            let draws = run.forecast.draws(view, &days);
            for (month, days) in months.joint(view, &[index]).iter().zip(&draws) {
                let apart = month - days - known as f64;
                // Known volumes are whole in the cells, of which there are six, and not in the draws.
                assert!(apart.abs() < 3.0 + 1e-6 * month, "{month} {days} {known}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn months_add_up_whatever_the_shares_and_wherever_the_run_ends(
        lng in 0.0..1.0_f64, later in 0.0..1.0_f64, back in 0..30_i64, horizon in 5..62_usize,
    ) {
        let mut request = city(today().plus(-back), day("2025-06-15"));
        request.shares = vec![shares(lng); horizon];
        request.horizon_days = horizon;
        request.draws = 20;
        if let Some(months) = &mut request.months {
            months.shares = vec![
                (today().plus(-back).month().first_day(), shares(lng)),
                (day("2027-01-11"), shares(later)),
            ];
        }
        let (run, months) = made(&request);
        assert_coherent(&run, &months);
    }
}

#[test]
fn the_months_of_a_run_are_its_days_then_both_then_the_model_of_months() {
    let (run, months) = made(&city(today(), day("2023-10-01")));
    assert_coherent(&run, &months);
    let basis: Vec<_> = months.months.iter().map(|of| of.basis).collect();
    assert_eq!(
        basis[..4],
        [
            MonthBasis::Run,
            MonthBasis::Run,
            MonthBasis::Joint,
            MonthBasis::Months
        ]
    );
    let november = months.months[0];
    assert_eq!(
        (november.known_days, november.run_days, november.filled_days),
        (19, 11, 0)
    );
    let january = months.months[2];
    assert_eq!((january.run_days, january.later_days), (20, 11));
    assert_eq!(months.months.len(), 18);
    // The year is met: what is heated is much more in January than in July.
    let homes = of_class(CustomerClass::ResidentialHeating);
    for (month, of) in months.months.iter().enumerate().skip(2) {
        let days = of.month.days();
        let true_m3: f64 = ["north", "south"]
            .iter()
            .flat_map(|zone| days.iter().map(move |day| (zone, day)))
            .map(|(zone, day)| truth(&node(zone, CustomerClass::ResidentialHeating), *day))
            .sum();
        let band = months.band(&homes, &[month]);
        let apart = band.p50_m3 as f64 / true_m3 - 1.0;
        assert!(apart.abs() < 0.12, "{}: {apart}", of.month);
        assert!(
            band.p10_m3 < band.p50_m3 && band.p50_m3 < band.p90_m3,
            "{}",
            of.month
        );
    }
    // Last year stands beside; a year ago it was known.
    let naive = months.naive_m3(&DemandView::total(), &[4]).unwrap();
    let march = months.band(&DemandView::total(), &[4]).p50_m3;
    assert!(
        (naive as f64 / march as f64 - 1.0).abs() < 0.15,
        "{naive} {march}"
    );
    assert!(
        months
            .series
            .iter()
            .all(|of| of.model == "seasonal_smoothing")
    );
}

#[test]
fn the_festival_takes_its_gas_with_it_from_february_to_january() {
    // Of 2027 it lies in February, of 2028, of which there is no calendar yet, on 26 January.
    let (_, months) = made(&city(today(), day("2020-11-20")));
    let factories = of_class(CustomerClass::Industrial);
    let m3 = |month: &str| months.band(&factories, &[at(&months, month)]).p50_m3 as f64;
    let true_m3 = |month: &str| -> f64 {
        let month: GasMonth = month.parse().unwrap();
        let of = node("north", CustomerClass::Industrial);
        2.0 * month.days().iter().map(|day| truth(&of, *day)).sum::<f64>()
    };
    for pair in [
        ["2027-02", "2027-03"],
        ["2028-01", "2028-03"],
        ["2028-02", "2028-03"],
    ] {
        let [festive, plain] = pair;
        let lost = 1.0 - m3(festive) / m3(plain);
        let truly = 1.0 - true_m3(festive) / true_m3(plain);
        assert!((lost - truly).abs() < 0.08, "{festive}: {lost} {truly}");
    }
    assert!(m3("2028-01") < 0.93 * m3("2028-03"), "{}", m3("2028-01"));
}

#[test]
fn days_after_the_origin_move_no_bit() {
    let request = city(today(), day("2024-10-01"));
    let mut tempted = request.clone();
    for i in 0..300 {
        let later = today().plus(i);
        tempted.demand.push(DemandDay {
            node: node("north", CustomerClass::Industrial),
            day: later,
            hours_m3: [9_999.0; 24],
            coverage: 1.0,
            uncertainty_m3: 0.0,
        });
        for weather in tempted.weather.values_mut() {
            weather.observed.insert(later, 40.0);
        }
    }
    tempted.demand.reverse();
    let [(_, a), (_, b)] = [&request, &tempted].map(made);
    assert_eq!(
        postcard::to_stdvec(&a).unwrap(),
        postcard::to_stdvec(&b).unwrap()
    );
    let (_, again) = made(&request);
    assert_eq!(a, again, "the same bits for the same request");
}

fn project(zone: &str, class: CustomerClass, from: &str) -> Project {
    Project {
        connection: NewConnection {
            id: format!("P {zone}"),
            name: "新建厂".into(),
            zone: zone.into(),
            class,
            stage: ConnectionStage::Building,
            connected_on: from.parse().unwrap(),
            connected_m3_per_day: 10_000.0,
            coefficient: 0.5,
            available_at: "2026-11-01T00:00:00Z".parse().unwrap(),
            probability: Some(0.8),
            ramp: "0.4/1".into(),
            customer: None,
            design_flow_m3h: None,
            settled_on: None,
            location: String::new(),
            contact: String::new(),
            sponsor: String::new(),
        },
        is_metered: false,
    }
}

#[test]
fn a_project_grows_by_its_ramp_and_a_change_counts_where_it_falls() {
    let plain = city(today(), day("2024-10-01"));
    let (_, before) = made(&plain);
    let mut request = plain.clone();
    let connects = project("north", CustomerClass::Industrial, "2027-03-16");
    let first_of_its_class = project("south", CustomerClass::Power, "2027-08-01");
    request.parts.projects = vec![connects, first_of_its_class];
    let stops = node("south", CustomerClass::Industrial);
    let days = (0..10).map(|i| (day("2027-05-05").plus(i), -800.0));
    request.effects.insert(stops.clone(), days.collect());
    let (run, after) = made(&request);
    assert_coherent(&run, &after);
    let total = DemandView::total();
    let moved = |month: &str| {
        let [b, a] = [&before, &after].map(|of| of.band(&total, &[at(of, month)]).p50_m3);
        a - b
    };
    // 10 000 · 0.5 · 0.8, at 0.4 for a month from 16 March, then in full.
    let near =
        |m3: i64, expected: f64| assert!((m3 as f64 - expected).abs() <= 2.0, "{m3} {expected}");
    near(moved("2027-02"), 0.0);
    near(moved("2027-03"), 16.0 * 1_600.0);
    near(moved("2027-04"), 15.0 * 1_600.0 + 15.0 * 4_000.0);
    near(moved("2027-05"), 31.0 * 4_000.0 - 8_000.0);
    near(moved("2027-08"), 31.0 * 4_000.0 + 31.0 * 1_600.0);
    let may = at(&after, "2027-05");
    let view = DemandView {
        zone: Some(stops.zone.clone()),
        class: Some(stops.class),
        ..DemandView::default()
    };
    let (_, parts) = after.parts(&view, &[may]);
    assert_eq!(parts[Part::Other.index()], -8_000);
    let power = of_class(CustomerClass::Power);
    assert_eq!(after.models(&power, &[may])[0].0, "new_connection");
    // Gas flows in eight of ten futures, the same in every month.
    let april = after.joint(&power, &[at(&after, "2027-09")]);
    let later = after.joint(&power, &[at(&after, "2028-03")]);
    let flows = |draws: &[f64]| -> Vec<bool> { draws.iter().map(|m3| *m3 > 0.0).collect() };
    assert_eq!(flows(&april), flows(&later));
    let share = april.iter().filter(|m3| **m3 > 0.0).count() as f64 / april.len() as f64;
    assert!((0.6..0.95).contains(&share), "{share}");
}

#[test]
fn a_young_node_follows_the_season_of_its_class() {
    let mut request = city(today(), day("2024-10-01"));
    let young = node("south", CustomerClass::ResidentialHeating);
    let since = day("2026-08-01");
    request
        .demand
        .retain(|of| of.node != young || of.day >= since);
    let (run, months) = made(&request);
    assert_coherent(&run, &months);
    let view = DemandView {
        zone: Some(young.zone.clone()),
        class: Some(young.class),
        ..DemandView::default()
    };
    let july = at(&months, "2027-07");
    assert_eq!(months.models(&view, &[july])[0].0, "class_profile");
    for month in ["2027-02", "2027-07", "2028-01"] {
        let true_m3: f64 = month
            .parse::<GasMonth>()
            .unwrap()
            .days()
            .iter()
            .map(|day| truth(&young, *day))
            .sum();
        let m3 = months.band(&view, &[at(&months, month)]).p50_m3 as f64;
        assert!((m3 / true_m3 - 1.0).abs() < 0.25, "{month}: {m3} {true_m3}");
    }
    // It used nothing that was metered a year ago, and others did.
    assert_eq!(months.naive_m3(&view, &[july]), Some(0));
}

#[test]
fn what_december_draws_goes_on_in_january() {
    // Years differ: a factory's level wanders from year to year, so what is missed lasts.
    let mut request = city(today(), day("2021-01-01"));
    for of in &mut request.demand {
        let year = f64::from(of.day.0.year() * 7 % 5 - 2);
        of.hours_m3 = of.hours_m3.map(|m3| m3 * (1.0 + 0.04 * year));
    }
    request.draws = 200;
    let (_, months) = made(&request);
    let total = DemandView::total();
    let [december, february] = [1, 3].map(|month| months.joint(&total, &[month]));
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (a, b) = (mean(&december), mean(&february));
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (x, y) in december.iter().zip(&february) {
        both += (x - a) * (y - b);
        one += (x - a).powi(2);
        other += (y - b).powi(2);
    }
    let together = both / (one * other).sqrt();
    assert!(together > 0.2, "{together}");
}

#[test]
fn a_later_run_of_the_day_renews_the_months_it_covers_and_no_others() {
    let (first, months) = made(&city(today(), day("2023-10-01")));
    // Said of the same days at noon: an announced change that nobody knew of in the morning.
    let mut later = first.clone();
    later.forecast.run_id = "F-later".into();
    later.forecast.origin_at += TimeDelta::hours(4);
    let same = months.renewed(&later.forecast, &later.breakdown).unwrap();
    for (index, of) in months.months.iter().enumerate() {
        let total = DemandView::total();
        assert_eq!(
            same.band(&total, &[index]).p50_m3,
            months.band(&total, &[index]).p50_m3
        );
        assert_eq!(
            same.parts(&total, &[index]),
            months.parts(&total, &[index]),
            "{of:?}"
        );
    }
    for row in &mut later.forecast.cube.rows {
        row.hours_m3[5] += 7;
    }
    for row in &mut later.breakdown.rows {
        row.m3[1] += 7;
    }
    let new = months.renewed(&later.forecast, &later.breakdown).unwrap();
    assert_eq!(new.run_id, "F-later".into());
    later.months = None;
    assert_coherent(&later, &new);
    for (index, of) in months.months.iter().enumerate() {
        let m3 = |of: &MonthlyOutlook| of.band(&DemandView::total(), &[index]).p50_m3;
        let rows = later.forecast.cube.rows.iter();
        let renewed = rows.filter(|row| later.forecast.days[row.day_index].month() == of.month);
        let more = match of.basis {
            MonthBasis::Run => 7 * i64::try_from(renewed.count()).unwrap(),
            MonthBasis::Joint | MonthBasis::Months => 0,
        };
        assert_eq!(m3(&new), m3(&months) + more, "{of:?}");
    }
    // A run of the next day knows another past: its own months come with it.
    later.forecast.days.remove(0);
    assert_eq!(months.renewed(&later.forecast, &later.breakdown), None);
}
