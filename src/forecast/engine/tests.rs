use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::forecast::weather::ZoneWeather;
use chrono::{Datelike as _, TimeDelta};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

use super::*;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandView};

fn calendar() -> Calendar {
    Calendar::new(
        [
            include_str!("../../../config/calendar/2024.toml"),
            include_str!("../../../config/calendar/2025.toml"),
            include_str!("../../../config/calendar/2026.toml"),
            include_str!("../../../config/calendar/2027.toml"),
        ]
        .map(|text| toml::from_str(text).unwrap()),
    )
}

pub(super) fn first() -> GasDay {
    GasDay("2025-09-01".parse().unwrap())
}

fn temperature(day: i64) -> f64 {
    // 2025-09-01 is day 0; the coldest day lies 137 days later, in the middle of January.
    let wave = (std::f64::consts::TAU * (day as f64 - 137.0) / 365.25).cos();
    14.0 - 12.0 * wave + 3.0 * (day as f64 * 0.37).sin()
}

pub(super) fn node(zone: &str, class: CustomerClass) -> DemandNode {
    DemandNode {
        zone: zone.into(),
        class,
    }
}

fn volume(node: &DemandNode, day: i64, rng: &mut ChaCha8Rng) -> f64 {
    let weekday = day % 7; // day 0 is a Monday
    let base = match node.class {
        CustomerClass::Industrial => 4_000.0 - if weekday >= 5 { 900.0 } else { 0.0 },
        _ => 1_000.0 + 180.0 * (16.0 - temperature(day)).max(0.0),
    };
    base * (1.0 + 0.06 * (rng.random::<f64>() - 0.5))
}

/// Two zones, two classes, so many days of demand from 2025-09-01 on.
pub(super) fn request(days: i64) -> ForecastRequest {
    let clock = GasDayClock::default();
    let today = first().plus(days);
    let origin_at = clock.start_of(today) + TimeDelta::minutes(30);
    let mut request = ForecastRequest::new("run-1".into(), origin_at, clock, calendar());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for zone in ["north", "south"] {
        for class in [CustomerClass::ResidentialHeating, CustomerClass::Industrial] {
            let node = node(zone, class);
            for day in 0..days {
                let volume = volume(&node, day, &mut rng);
                let hours_m3 =
                    std::array::from_fn(|h| volume * if h < 12 { 0.05 } else { 0.4 / 12.0 });
                request.demand.push(DemandDay {
                    node: node.clone(),
                    day: first().plus(day),
                    hours_m3,
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
        let mut weather = ZoneWeather::default();
        for day in 0..days {
            weather.observed.insert(first().plus(day), temperature(day));
        }
        for day in days..days + 12 {
            weather.forecast.insert(first().plus(day), temperature(day));
        }
        request.weather.insert(zone.into(), weather);
    }
    request.shares = vec![
        vec![
            ("north".into(), "pipe".into(), 0.7),
            ("north".into(), "lng".into(), 0.3),
            ("south".into(), "pipe".into(), 1.0),
        ];
        62
    ];
    request.horizon_days = 40;
    request.draws = 80;
    request
}

#[test]
fn views_sum_to_the_total_and_hours_to_their_days() {
    let forecast = run(&request(400)).unwrap();
    assert_eq!(forecast.days.len(), 40);
    assert_eq!(forecast.days[0], first().plus(400));
    for day in [0, 7, 39] {
        let of = |view: &DemandView| forecast.cube.day_m3(forecast.clock, view, day);
        let total = of(&DemandView::total());
        let by_source: i64 = ["pipe", "lng"]
            .map(|s| {
                of(&DemandView {
                    source: Some(s.into()),
                    ..DemandView::default()
                })
            })
            .iter()
            .sum();
        assert_eq!(by_source, total);
        let expected: f64 = forecast
            .nodes
            .iter()
            .map(|n| n.p50_m3[day].iter().sum::<f64>())
            .sum();
        assert!((total as f64 - expected).abs() <= 2.0, "{total} {expected}");
    }
    for node in &forecast.nodes {
        assert_eq!(node.model, "regression");
        assert_eq!(node.draws.daily.len(), 80 * 40);
        assert_eq!(node.draws.hourly.len(), 80 * 8 * 24);
        for draw in 0..80 {
            for day in 0..8 {
                let start = (draw * 8 + day) * 24;
                let hours: f64 = node.draws.hourly[start..start + 24]
                    .iter()
                    .map(|v| f64::from(*v))
                    .sum();
                let daily = f64::from(node.draws.daily[draw * 40 + day]);
                assert!(
                    (hours - daily).abs() <= 1e-6 * daily + 1e-3,
                    "{hours} {daily}"
                );
            }
        }
    }
}

#[test]
fn the_same_request_gives_the_same_bits() {
    let request = request(400);
    assert_eq!(run(&request).unwrap(), run(&request).unwrap());
}

#[test]
fn nothing_after_the_origin_is_read() {
    let honest = request(300);
    let expected = run(&honest).unwrap();
    let mut tempted = request(300);
    let today = first().plus(300);
    for day in 0..40 {
        for template in honest.demand.iter().take(2) {
            tempted.demand.push(DemandDay {
                day: today.plus(day),
                hours_m3: [1e6 + day as f64; 24],
                ..template.clone()
            });
        }
        for weather in tempted.weather.values_mut() {
            weather.observed.insert(today.plus(day), -40.0);
        }
    }
    // The order of what is known must not matter either.
    tempted.demand.reverse();
    assert_eq!(run(&tempted).unwrap(), expected);
}

#[test]
fn metered_hours_are_kept_and_move_the_hours_left() {
    let mut request = request(400);
    let plain = run(&request).unwrap();
    let node = node("north", CustomerClass::Industrial);
    let position = plain.nodes.iter().position(|n| n.node == node).unwrap();
    let expected = plain.nodes[position].p50_m3[0];
    let mut hours = [None; 24];
    for (hour, slot) in hours.iter_mut().enumerate().take(12) {
        *slot = Some(expected[hour] * 1.2);
    }
    request.today_hours.insert(node, hours);
    let updated = run(&request).unwrap();
    let today = updated.nodes[position].p50_m3[0];
    assert_eq!(today[3].to_bits(), (expected[3] * 1.2).to_bits());
    assert!(today[20] > 1.05 * expected[20] && today[20] < 1.2 * expected[20]);
    let tomorrow = |f: &DemandForecast| f.nodes[position].p50_m3[1].map(f64::to_bits);
    assert_eq!(tomorrow(&updated), tomorrow(&plain));
    let draws = &updated.nodes[position].draws;
    assert!(
        (f64::from(draws.hourly[3]) - today[3]).abs() < 0.01,
        "metered hours are in every draw"
    );
}

#[test]
fn a_production_change_moves_only_its_days() {
    let mut request = request(400);
    let node = node("south", CustomerClass::Industrial);
    let plain = run(&request).unwrap();
    let today = first().plus(400);
    request.effects.insert(
        node.clone(),
        BTreeMap::from([(today.plus(2), -1_500.0), (today.plus(3), -1e9)]),
    );
    let changed = run(&request).unwrap();
    let position = plain.nodes.iter().position(|n| n.node == node).unwrap();
    let day = |f: &DemandForecast, i: usize| f.nodes[position].p50_m3[i].iter().sum::<f64>();
    assert!((day(&plain, 2) - day(&changed, 2) - 1_500.0).abs() < 1e-6);
    assert_eq!(day(&changed, 3).to_bits(), 0.0_f64.to_bits());
    assert_eq!(day(&changed, 4).to_bits(), day(&plain, 4).to_bits());
}

#[test]
fn short_histories_step_down_the_ladder_and_say_so() {
    let models = |days: i64| -> Vec<String> {
        run(&request(days))
            .unwrap()
            .nodes
            .into_iter()
            .map(|n| n.model)
            .collect()
    };
    assert_eq!(models(30), ["seasonal_naive"; 4]);
    assert_eq!(models(4), ["recent_mean"; 4]);
    let error = run(&request(2)).unwrap_err();
    assert_eq!(error.code(), "forecast.insufficient_history");
    assert!(error.to_string().contains("has 2 complete days"), "{error}");

    let mut mixed = request(300);
    let new = node("west", CustomerClass::Industrial);
    for day in 290..300 {
        let template = mixed
            .demand
            .iter()
            .find(|d| d.node.class == CustomerClass::Industrial)
            .unwrap();
        let hours_m3 = template.hours_m3.map(|v| v * 0.1);
        mixed.demand.push(DemandDay {
            node: new.clone(),
            day: first().plus(day),
            hours_m3,
            coverage: 1.0,
            uncertainty_m3: 0.0,
        });
    }
    let forecast = run(&mixed).unwrap();
    let west = forecast.nodes.iter().find(|n| n.node == new).unwrap();
    assert_eq!(west.model, "class_profile_scaled");
    let day: f64 = west.p50_m3[1].iter().sum();
    assert!((200.0..600.0).contains(&day), "{day}");
}

#[test]
fn gaps_constants_and_zeros_are_forecast() {
    let mut request = request(380);
    request.demand.retain(|d| d.day.epoch_day() % 11 != 0);
    for day in request
        .demand
        .iter_mut()
        .filter(|d| d.node.class == CustomerClass::Industrial)
    {
        day.hours_m3 = if day.node.zone.as_str() == "north" {
            [0.0; 24]
        } else {
            [50.0; 24]
        };
    }
    let forecast = run(&request).unwrap();
    for node in forecast
        .nodes
        .iter()
        .filter(|n| n.node.class == CustomerClass::Industrial)
    {
        let expected = if node.node.zone.as_str() == "north" {
            0.0
        } else {
            1_200.0
        };
        for day in &node.p50_m3 {
            let volume: f64 = day.iter().sum();
            assert!(
                (volume - expected).abs() < 1.0,
                "{} {volume}",
                node.node.zone
            );
        }
    }
}

#[test]
fn requests_out_of_bounds_are_refused_by_name() {
    let mut wide = request(30);
    wide.horizon_days = 0;
    assert_eq!(
        run(&wide).unwrap_err().to_string(),
        "horizon_days is 0, allowed is 1 to 100 days"
    );
    let mut bare = request(30);
    bare.shares.truncate(3);
    assert_eq!(run(&bare).unwrap_err().code(), "forecast.shares_missing");
    let mut twice = request(30);
    let again = twice.demand[0].clone();
    twice.demand.push(again);
    assert_eq!(run(&twice).unwrap_err().code(), "forecast.duplicate_day");
    let mut none = request(30);
    none.demand.clear();
    assert_eq!(run(&none).unwrap_err().code(), "forecast.no_nodes");
}

/// A year's course by the lunar offset alone: a collapse from −7 to +15 (industry), or a rise.
fn festival_effect(offset: i64, depth: f64) -> f64 {
    let shape = match offset {
        -12..=-4 => (offset + 12) as f64 / 8.0,
        -3..=6 => 1.0,
        7..=16 => (16 - offset) as f64 / 10.0,
        _ => 0.0,
    };
    1.0 + depth * shape
}

#[test]
fn a_festival_effect_that_is_known_is_recovered_within_a_fifth() {
    for depth in [-0.6, 0.3] {
        let start = GasDay("2023-12-01".parse().unwrap());
        let today = GasDay("2027-01-22".parse().unwrap());
        let clock = GasDayClock::default();
        let calendar = calendar();
        let mut request =
            ForecastRequest::new("run-1".into(), clock.start_of(today), clock, calendar);
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let one = node("north", CustomerClass::Industrial);
        let base = |day: GasDay| {
            5_000.0 + 300.0 * (std::f64::consts::TAU * f64::from(day.0.ordinal0()) / 365.25).cos()
        };
        for back in 0..today.days_since(start) {
            let day = start.plus(back);
            let offset = request.calendar.spring_festival_offset(day.0, 24);
            let effect = offset.map_or(1.0, |o| festival_effect(o, depth));
            let volume = base(day) * effect * (1.0 + 0.04 * (rng.random::<f64>() - 0.5));
            request.demand.push(DemandDay {
                node: one.clone(),
                day,
                hours_m3: [volume / 24.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
        request.shares = vec![vec![("north".into(), "pipe".into(), 1.0)]; 62];
        request.horizon_days = 40;
        request.draws = 0;
        let forecast = run(&request).unwrap();
        let (mut recovered, mut known) = (0.0, 0.0);
        for (index, day) in forecast.days.iter().enumerate() {
            let offset = request.calendar.spring_festival_offset(day.0, 24);
            let Some(offset) = offset.filter(|o| (-10..=14).contains(o)) else {
                continue;
            };
            let p50: f64 = forecast.nodes[0].p50_m3[index].iter().sum();
            recovered += p50 - base(*day);
            known += base(*day) * (festival_effect(offset, depth) - 1.0);
        }
        let part = recovered / known;
        assert!(
            (0.8..=1.2).contains(&part),
            "depth {depth}: {part} of it recovered"
        );
    }
}
