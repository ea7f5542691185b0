//! Customers whose meters were silent for three weeks, or decided about: what that does to their forecast,
//! taken as measured and weighed by its uncertainty.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::demand::deviation_m3;
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::meter::{Meter, MeterRole, SettlementTotal};
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::domain::series::LoadCurve;
use qiliang::forecast::engine::consumer_days;
use qiliang::forecast::memory::Memory;
use qiliang::forecast::request::{ConsumerInput, ForecastRequest};
use qiliang::forecast::weather::ZoneWeather;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::validate::curve::{CurveRules, build_days};
use qiliang::validate::estimate::day_uncertainty;
use qiliang::validate::points::expand;

const ORIGIN: usize = 480;
const AHEAD: usize = 30;
const GAP: usize = 21;

fn on(city: &City, day: usize) -> GasDay {
    city.config().start_on().plus(i64::try_from(day).unwrap())
}

/// The meter as one that says its standard total each hour.
fn meter_of(city: &City, site: usize) -> Meter {
    Meter {
        settlement: SettlementTotal::Std,
        fixed_factor: 1.0,
        period_s: 3_600,
        total_digits: 12,
        flow_max_m3h: 1e6,
        ..city.sites()[site].meter.clone()
    }
}

fn curve(city: &City, site: usize, day: usize) -> LoadCurve {
    let mut curve = LoadCurve::missing(city.sites()[site].meter.id.clone(), on(city, day));
    for (volume, units) in curve.hours.iter_mut().zip(city.hour_units(site, day)) {
        *volume = StdVolume::from_units(units);
    }
    curve.quality = [Quality::Measured; 24];
    curve
}

/// The curves of `days` when nothing was heard between their ends.
fn silent(city: &City, site: usize, days: std::ops::Range<usize>) -> Vec<LoadCurve> {
    let meter = meter_of(city, site);
    let clock = GasDayClock::default();
    let (mut total, mut readings) = (1_000_000, Vec::new());
    let heard = days.start - 2..days.end + 2;
    for day in heard.clone() {
        for (hour, units) in city.hour_units(site, day).into_iter().enumerate() {
            let hours = i64::try_from(hour).unwrap();
            let is_heard = !days.contains(&day) || (day == days.start && hour == 0);
            if is_heard {
                let at = clock.start_of(on(city, day)) + TimeDelta::hours(hours);
                readings.push(Reading {
                    meter: meter.id.clone(),
                    sampled_at: at,
                    received_at: at,
                    transport: Transport::Mqtt,
                    values: vec![(Item::TotalStd, ItemValue::Exact(total))],
                    frozen: Vec::new(),
                    alarms: AlarmSet::default(),
                });
            }
            total += units;
        }
    }
    let history: Vec<LoadCurve> = (days.start - 28..days.start)
        .map(|day| curve(city, site, day))
        .collect();
    let rules = CurveRules {
        history: &history,
        calendar: Some(&city.config().calendar),
        ..CurveRules::plain(&meter)
    };
    let points = expand(&readings, Item::TotalStd);
    let (from, to) = (on(city, days.start), on(city, days.end));
    let built = build_days(&rules, clock, from, to, &points);
    built.into_iter().map(|(curve, _)| curve).collect()
}

/// A decision 40 % too high about every hour.
fn decided(city: &City, site: usize, days: std::ops::Range<usize>) -> Vec<LoadCurve> {
    days.map(|day| {
        let mut curve = curve(city, site, day);
        for volume in &mut curve.hours {
            *volume = StdVolume::from_units(volume.units() * 7 / 5);
        }
        curve.quality = [Quality::Edited; 24];
        curve
    })
    .collect()
}

/// Curves of a site on some days, as they are where these were not measured.
type Masked = fn(&City, usize, std::ops::Range<usize>) -> Vec<LoadCurve>;

#[test]
fn customers_days_count_by_what_is_known_of_them() {
    let city = City::new(CityConfig {
        meters: 60,
        enterprises: 8,
        history_days: u32::try_from(ORIGIN).unwrap(),
        live_days: 40,
        ..CityConfig::default()
    });
    let registry = qiliang::domain::registry::Registry::new(city.registry_parts().unwrap());
    // Of each kind of use the first customer.
    let mut kinds = Vec::new();
    let mut sites: Vec<usize> = Vec::new();
    for (index, site) in city.sites().iter().enumerate() {
        let kind = site.kind.filter(|_| site.meter.role == MeterRole::Customer);
        if kind.is_some() && !kinds.contains(&kind) && sites.len() < 6 {
            kinds.push(kind);
            sites.push(index);
        }
    }
    assert!(sites.len() >= 4, "{kinds:?}");
    println!("three weeks, WAPE of the {AHEAD} days after the origin, %");
    println!("                             as measured   weighed   all measured");
    let cases: [(&str, Masked); 2] = [
        ("silent, spread by time (E1)", silent),
        ("decided 40 % too high (E10)", decided),
    ];
    for (name, masked) in cases {
        let (mut missed, mut total) = ([0.0; 3], 0.0);
        for site in &sites {
            let meter = &city.sites()[*site].meter;
            let node = registry.node_of(&registry.meters[&meter.id]).unwrap();
            let truth = |day: usize| curve(&city, *site, day).volume().to_f64();
            let temperatures: BTreeMap<GasDay, f64> = (0..=ORIGIN + AHEAD)
                .map(|day| on(&city, day))
                .map(|day| (day, city.weather().daily_mean_c(day.0)))
                .collect();
            for back in [1, 30] {
                let gap = ORIGIN - back - GAP + 1..ORIGIN - back + 1;
                let curves = masked(&city, *site, gap.clone());
                assert_eq!(curves.len(), GAP);
                let all: Vec<(GasDay, f64)> = (0..=ORIGIN)
                    .map(|day| (on(&city, day), truth(day)))
                    .collect();
                let mut with_gap: BTreeMap<GasDay, f64> = all.iter().copied().collect();
                let mut deviations = BTreeMap::new();
                for curve in &curves {
                    assert!(curve.is_complete(), "{name}: {:?}", curve.quality);
                    with_gap.insert(curve.day, curve.volume().to_f64());
                    let deviation = deviation_m3(day_uncertainty(curve).to_f64());
                    deviations.insert(curve.day, deviation);
                }
                let with_gap: Vec<(GasDay, f64)> = with_gap.into_iter().collect();
                let known = [
                    (with_gap.clone(), BTreeMap::new()),
                    (with_gap, deviations),
                    (all, BTreeMap::new()),
                ];
                for ((days_known, deviations), missed) in known.into_iter().zip(&mut missed) {
                    let clock = GasDayClock::default();
                    let origin_at = clock.start_of(on(&city, ORIGIN + 1));
                    let calendar = city.config().calendar.clone();
                    let mut request = ForecastRequest::new("L1".into(), origin_at, clock, calendar);
                    request.horizon_days = AHEAD;
                    let weather: &mut ZoneWeather =
                        request.weather.entry(node.zone.clone()).or_default();
                    weather.observed.clone_from(&temperatures);
                    request.parts.consumers.push(ConsumerInput {
                        customer: "K1".into(),
                        node: node.clone(),
                        days: days_known,
                        deviations,
                        plans: BTreeMap::new(),
                        past_plans: Vec::new(),
                        plan_prior: 0.0,
                        effects: BTreeMap::new(),
                    });
                    let said = consumer_days(&request, &Memory::default()).unwrap();
                    let bands = &said.values().next().unwrap().bands;
                    for (lead, band) in (1..).zip(bands) {
                        *missed += (band.p50_m3 as f64 - truth(ORIGIN + lead)).abs();
                    }
                }
                total += (1..=AHEAD).map(|lead| truth(ORIGIN + lead)).sum::<f64>();
            }
        }
        let [plain, weighed, measured] = missed.map(|missed| missed / total * 100.0);
        println!("{name:<28} {plain:>11.2} {weighed:>9.2} {measured:>14.2}");
        assert!(weighed <= plain * 1.01, "{name}: {weighed} and {plain}");
        assert!(measured <= plain * 1.01, "{name}: {measured} and {plain}");
    }
}
