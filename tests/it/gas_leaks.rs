//! V12 judged by leaks that were put in: homes that cook, homes with a boiler, shops with a pilot flame,
//! hour by hour through import, journal and curves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use qiliang::domain::calendar::{GasDay, GasDayClock, beijing_civil};
use qiliang::registry::columns;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::support::daemon::qiliang;
use crate::support::site::Site;

/// Gas days, of which leaks begin after the first [`QUIET_DAYS`].
const DAYS: i64 = 60;
const QUIET_DAYS: i64 = 3;
/// Meters of each kind; every second has a leak.
const METERS: usize = 18;
const LEAK_HOURS: i64 = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cooking,
    Boiler,
    Shop,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Cooking, Self::Boiler, Self::Shop];

    const fn class(self) -> &'static str {
        match self {
            Self::Cooking => "residential_cooking",
            Self::Boiler => "residential_heating",
            Self::Shop => "commercial",
        }
    }

    /// Sizes of its leaks, m³/h.
    const fn leaks(self) -> [f64; 3] {
        match self {
            Self::Cooking | Self::Boiler => [0.005, 0.02, 0.1],
            Self::Shop => [0.05, 0.1, 0.2],
        }
    }
}

/// From 12 °C in autumn down to −8 °C, three degrees around it.
fn temperature(day: i64, rng: &mut StdRng) -> f64 {
    12.0 - 20.0 * day as f64 / DAYS as f64 + rng.random_range(-3.0..3.0)
}

/// What is used in a civil hour, m³.
fn used(kind: Kind, hour: u32, outside_c: f64, rng: &mut StdRng) -> f64 {
    let mut at = |hours: std::ops::RangeInclusive<u32>, chance: f64, m3: (f64, f64)| {
        let is_on = hours.contains(&hour) && rng.random_bool(chance);
        let m3 = rng.random_range(m3.0..m3.1);
        if is_on { m3 } else { 0.0 }
    };
    match kind {
        Kind::Cooking | Kind::Boiler => {
            let meals = at(7..=7, 0.7, (0.03, 0.12))
                + at(12..=12, 0.6, (0.05, 0.2))
                + at(18..=19, 0.9, (0.05, 0.25));
            let water = at(6..=8, 0.4, (0.05, 0.2)) + at(20..=23, 0.5, (0.1, 0.4));
            let night = at(0..=5, 0.03, (0.005, 0.03)) + at(9..=17, 0.15, (0.005, 0.05));
            // A boiler modulates, and pauses in mild hours.
            let lack_c = (16.0 - outside_c).max(0.0);
            let heat = if hour < 6 { 0.03 } else { 0.05 } * lack_c;
            let boiler = at(
                0..=23,
                (lack_c / 14.0).min(1.0),
                (0.6 * heat, 1.4 * heat + 1e-9),
            );
            meals + water + night + if kind == Kind::Boiler { boiler } else { 0.0 }
        }
        Kind::Shop => at(0..=23, 1.0, (0.015, 0.025)) + at(10..=21, 0.9, (0.5, 4.0)),
    }
}

struct Leak {
    m3h: f64,
    from_at: DateTime<Utc>,
}

struct Outlet {
    id: String,
    kind: Kind,
    leak: Option<Leak>,
}

fn outlets(rng: &mut StdRng, start: DateTime<Utc>) -> Vec<Outlet> {
    let mut outlets = Vec::new();
    for kind in Kind::ALL {
        for index in 0..METERS {
            let hours = rng.random_range(QUIET_DAYS * 24..(DAYS - 5) * 24);
            outlets.push(Outlet {
                id: format!("{kind:?}{index:02}"),
                kind,
                leak: (index % 2 == 0).then(|| Leak {
                    m3h: kind.leaks()[index / 2 % 3],
                    from_at: start + TimeDelta::hours(hours),
                }),
            });
        }
    }
    outlets
}

/// Hourly totals to the litre, and the site's customers and meters.
fn write(site: &Site, outlets: &[Outlet], start: DateTime<Utc>, rng: &mut StdRng) -> String {
    let mut customers = columns::CUSTOMERS.join(",") + "\n";
    let mut meters = columns::METERS.join(",") + "\n";
    let mut text = String::from("device,sampled_at,BTotal\n");
    let weather: Vec<f64> = (0..=DAYS).map(|day| temperature(day, rng)).collect();
    for outlet in outlets {
        let id = &outlet.id;
        writeln!(
            customers,
            "K{id},Outlet {id},{},north,1,,G1,,,direct,6.0,900,3.40,0.05,three,8,false,0,0,false,,2020-01-01",
            outlet.kind.class()
        )
        .unwrap();
        writeln!(
            meters,
            "{id},D{id},K{id},north,customer,diaphragm,qiliang/json-push,std,9,40,1,3600,,0,2020-01-01"
        )
        .unwrap();
        let mut total = 100.0;
        for hour in 0..=DAYS * 24 {
            let at = start + TimeDelta::hours(hour);
            let civil = beijing_civil(at).format("%Y-%m-%d %H:%M:%S");
            writeln!(text, "D{id},{civil},{total:.3}").unwrap();
            let outside = weather[usize::try_from(hour / 24).unwrap()];
            total += used(outlet.kind, beijing_civil(at).hour(), outside, rng);
            if let Some(leak) = &outlet.leak
                && (leak.from_at..leak.from_at + TimeDelta::hours(LEAK_HOURS)).contains(&at)
            {
                total += leak.m3h;
            }
        }
    }
    site.registry_file("customers.csv", &customers);
    site.registry_file("meters.csv", &meters);
    text
}

/// Gas days found by V12, by meter.
fn found(config: &str) -> BTreeMap<String, BTreeSet<GasDay>> {
    let asked = [
        "findings", "list", "--json", "--limit", "0", "--rule", "V12",
    ];
    let done = qiliang(&[&["--config", config], &asked[..]].concat());
    assert!(done.status.success(), "{done:?}");
    let mut found: BTreeMap<String, BTreeSet<GasDay>> = BTreeMap::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let finding: Value = serde_json::from_str(line).unwrap();
        let at: DateTime<Utc> = finding["at"].as_str().unwrap().parse().unwrap();
        let meter = finding["subject"].as_str().unwrap().to_owned();
        let day = GasDayClock::default().day_of(at);
        found.entry(meter).or_default().insert(day);
    }
    found
}

#[derive(Debug, Default)]
struct Score {
    leaks: usize,
    leaks_found: usize,
    leak_days: usize,
    leak_days_found: usize,
    days: usize,
    false_days: usize,
}

#[test]
fn leaks_are_found_and_boilers_and_pilot_flames_accuse_nobody() {
    let (clock, mut rng) = (GasDayClock::default(), StdRng::seed_from_u64(12));
    let first: GasDay = "2025-11-01".parse().unwrap();
    let start = clock.start_of(first);
    let outlets = outlets(&mut rng, start);
    let site = Site::new(0);
    // What a shop's pilot flame takes passes.
    site.registry_file(
        "rules.toml",
        "[[set]]\nclasses = [\"commercial\"]\nv12_flow_m3h = 0.04\n",
    );
    let text = write(&site, &outlets, start, &mut rng);
    let file = site.path().join("hours.csv");
    fs::write(&file, text).unwrap();
    let config = site.config("");
    let config = config.to_str().unwrap();
    let done = qiliang(&["--config", config, "import", file.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");

    let found = found(config);
    let nothing = BTreeSet::new();
    let mut scores: BTreeMap<(Kind, String), Score> = BTreeMap::new();
    let mut clean: BTreeMap<Kind, Score> = BTreeMap::new();
    for outlet in &outlets {
        let found = found.get(&outlet.id).unwrap_or(&nothing);
        let span = outlet.leak.as_ref().map(|leak| {
            let to_at = leak.from_at + TimeDelta::hours(LEAK_HOURS);
            (leak.m3h, leak.from_at, to_at)
        });
        let mut has_found = false;
        for day in (0..DAYS).map(|index| first.plus(index)) {
            let (from_at, to_at) = (clock.start_of(day), clock.end_of(day));
            let is_found = found.contains(&day);
            match span {
                Some((m3h, from, to)) if from <= from_at && to_at <= to => {
                    let score = scores.entry((outlet.kind, format!("{m3h}"))).or_default();
                    score.leak_days += 1;
                    score.leak_days_found += usize::from(is_found);
                    has_found |= is_found;
                }
                // A day that leaks in part may be found or not.
                Some((_, from, to)) if from < to_at && from_at < to => {}
                _ => {
                    let score = clean.entry(outlet.kind).or_default();
                    score.days += 1;
                    score.false_days += usize::from(is_found);
                }
            }
        }
        if let Some((m3h, ..)) = span {
            let score = scores.entry((outlet.kind, format!("{m3h}"))).or_default();
            score.leaks += 1;
            score.leaks_found += usize::from(has_found);
        }
    }
    println!("\n| kind | leak, m³/h | leaks found | days of them | |\n|---|---|---|---|---|");
    for ((kind, m3h), score) in &scores {
        println!(
            "| {kind:?} | {m3h} | {} of {} | {} of {} | |",
            score.leaks_found, score.leaks, score.leak_days_found, score.leak_days
        );
        if *kind != Kind::Boiler {
            assert_eq!(score.leak_days_found, score.leak_days, "{kind:?} {m3h}");
            assert!(score.leak_days >= 6, "{kind:?} {m3h}");
        }
    }
    for (kind, score) in &clean {
        let share = score.false_days as f64 / score.days as f64;
        println!(
            "| {kind:?} | none | {} of {} days, {:.2} % | | |",
            score.false_days,
            score.days,
            share * 100.0
        );
        assert!(
            share < if *kind == Kind::Boiler { 0.02 } else { 0.001 },
            "{kind:?}: {share}"
        );
    }
}
