use super::*;
use crate::domain::calendar::GasMonth;
use crate::domain::customer::CustomerClass;

fn small(meters: usize, history_days: u32) -> City {
    City::new(CityConfig {
        meters,
        history_days,
        live_days: 12,
        ..CityConfig::default()
    })
}

/// Demand of a class on a gas day, m³.
fn class_m3(city: &City, class: CustomerClass, day: usize) -> f64 {
    city.sites()
        .iter()
        .enumerate()
        .filter(|(_, s)| {
            s.customer
                .is_some_and(|c| city.customers()[c].class == class)
        })
        .map(|(i, _)| city.site_day_m3(i, day))
        .sum()
}

fn days_between(city: &City, from: &str, to: &str) -> std::ops::Range<usize> {
    let index = |text: &str| city.day_index(text.parse().unwrap()).unwrap();
    index(from)..index(to)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn the_city_has_the_size_of_the_reference_whatever_the_number_of_meters() {
    for meters in [60, 200] {
        let city = small(meters, 400);
        assert_eq!(city.sites().len(), meters);
        let summer = mean(days_between(&city, "2026-06-10", "2026-08-20").map(|d| city.day_m3(d)));
        assert!(
            (340_000.0..420_000.0).contains(&summer),
            "{meters}: {summer}"
        );
        let mut winter: Vec<f64> = days_between(&city, "2025-12-01", "2026-02-28")
            .map(|d| city.day_m3(d))
            .collect();
        winter.sort_by(f64::total_cmp);
        let median = winter[winter.len() / 2];
        assert!(
            (640_000.0..760_000.0).contains(&median),
            "{meters}: {median}"
        );
        let peak = winter[winter.len() - 1];
        assert!((880_000.0..1_020_000.0).contains(&peak), "{meters}: {peak}");
    }
}

#[test]
fn class_shares_are_those_of_the_reference() {
    let city = small(200, 400);
    let share = |class, from: &str, to: &str| {
        let days = days_between(&city, from, to);
        let part: f64 = days.clone().map(|d| class_m3(&city, class, d)).sum();
        let whole: f64 = days.map(|d| city.day_m3(d)).sum();
        part / whole
    };
    // Winter away from the Spring Festival, and summer.
    let winter = |class| share(class, "2025-12-01", "2026-01-16");
    let summer = |class| share(class, "2026-06-01", "2026-08-31");
    let public = |f: &dyn Fn(CustomerClass) -> f64| {
        f(CustomerClass::PublicService) + f(CustomerClass::PublicResidential)
    };
    for (name, got, reference) in [
        (
            "cooking, winter",
            winter(CustomerClass::ResidentialCooking),
            0.18,
        ),
        (
            "cooking, summer",
            summer(CustomerClass::ResidentialCooking),
            0.30,
        ),
        (
            "heating, winter",
            winter(CustomerClass::ResidentialHeating),
            0.34,
        ),
        (
            "heating, summer",
            summer(CustomerClass::ResidentialHeating),
            0.0,
        ),
        (
            "commercial, winter",
            winter(CustomerClass::Commercial),
            0.10,
        ),
        (
            "commercial, summer",
            summer(CustomerClass::Commercial),
            0.14,
        ),
        (
            "industrial, winter",
            winter(CustomerClass::Industrial),
            0.30,
        ),
        (
            "industrial, summer",
            summer(CustomerClass::Industrial),
            0.46,
        ),
        ("public, winter", public(&winter), 0.04),
        ("public, summer", public(&summer), 0.05),
        ("vehicle, winter", winter(CustomerClass::VehicleCng), 0.04),
        ("vehicle, summer", summer(CustomerClass::VehicleCng), 0.05),
    ] {
        assert!((got - reference).abs() < 0.03, "{name}: {got:.3}");
    }
}

#[test]
fn households_and_enterprises_add_up() {
    let city = small(400, 30);
    let households: u32 = city
        .customers()
        .iter()
        .filter(|c| {
            matches!(
                c.class,
                CustomerClass::ResidentialCooking | CustomerClass::ResidentialHeating
            )
        })
        .map(|c| c.households)
        .sum();
    assert_eq!(households, 185_000);
    assert_eq!(city.enterprises(), 40);
    let of_ledger = city
        .customers()
        .iter()
        .filter(|c| !c.ledger_reason.is_empty())
        .count();
    assert_eq!(of_ledger, 40);
    assert!(small(60, 30).enterprises() < 10);
    // A Modbus unit is one meter only.
    let mut units: Vec<_> = city
        .sites()
        .iter()
        .filter_map(|s| Some((s.meter.gateway.clone()?, s.meter.unit)))
        .collect();
    let count = units.len();
    units.sort();
    units.dedup();
    assert_eq!(units.len(), count);
    assert!(count > 15, "{count}");
}

#[test]
fn a_gate_station_measures_its_zone_and_two_percent() {
    let city = small(60, 40);
    for (gate, site) in city.sites().iter().enumerate().take(2) {
        assert_eq!(site.meter.role, MeterRole::Gate);
        let mut bought = 0.0;
        let mut sold = 0.0;
        for day in 0..40 {
            bought += city.site_day_m3(gate, day);
            sold += city
                .sites()
                .iter()
                .enumerate()
                .filter(|(_, s)| s.meter.role == MeterRole::Customer && s.zone == site.zone)
                .map(|(i, _)| city.site_day_m3(i, day))
                .sum::<f64>();
        }
        assert!((bought / sold - 1.02).abs() < 0.002, "{}", bought / sold);
    }
}

#[test]
fn the_pipes_are_let_down_by_day_and_built_up_by_night() {
    let city = small(60, 40);
    let clock = GasDayClock::default();
    for zone in 0..2 {
        for day in 0..40 {
            let pack = |part| city.line_pack_m3(zone, day, part);
            // Nothing is lost from one day to the next, and never is a ring outside of what it is built for.
            assert!((pack(1.0) - city.line_pack_m3(zone, day + 1, 0.0)).abs() < 1e-6);
            let shown = city.telemetry(
                zone,
                clock.start_of(city.config().start_on().plus(i64::try_from(day).unwrap())),
            );
            assert!(
                (1_400.0..2_000.0).contains(&shown.pressure_abs_kpa),
                "{shown:?}"
            );
            let noon = city.gate_conditions(zone, day, 0.21).pressure_abs_kpa;
            let night = city.gate_conditions(zone, day, 0.79).pressure_abs_kpa;
            let straight = city.gate_conditions(zone, day + 1, 0.0).pressure_abs_kpa
                - city.gate_conditions(zone, day, 0.0).pressure_abs_kpa;
            assert!(night - noon - 0.58 * straight > 40.0, "{zone} {day}");
        }
    }
}

#[test]
fn totals_never_fall_but_where_the_script_says_so() {
    let city = small(60, 40);
    let clock = GasDayClock::default();
    let start = clock.start_of(city.config().start_on());
    let mut falls = Vec::new();
    for (index, site) in city.sites().iter().enumerate() {
        let item = |t: Totals| {
            if site.wire == Wire::Cjt188 {
                t.work_units
            } else {
                t.std_units
            }
        };
        let mut last = item(city.shown(index, start));
        for half_hour in 1..=(44 * 48) {
            let at = start + TimeDelta::minutes(30 * half_hour);
            let now = item(city.shown(index, at));
            if now < last {
                falls.push(index);
            }
            last = now;
        }
    }
    let mut scripted: Vec<usize> = city.script.exchanges.iter().map(|e| e.0).collect();
    scripted.extend(city.script.rollover.map(|r| r.0));
    // Six digits of a big commercial meter of so small a city may be full too.
    let natural = |site: &usize| {
        let place = &city.sites()[*site];
        let span = city.totals[*site].last().unwrap();
        *span >= rollover_units(place.meter.total_digits)
    };
    for site in &falls {
        assert!(scripted.contains(site) || natural(site), "{site}");
    }
    for site in scripted {
        assert!(falls.contains(&site), "{site} was to fall");
    }
}

#[test]
fn hours_add_up_to_days_and_halves_to_hours() {
    let city = small(60, 20);
    let clock = GasDayClock::default();
    let day = city.config().start_on().plus(7);
    for site in 0..city.sites().len() {
        let hours = city.hour_units(site, 7);
        assert_eq!(hours, city.hour_units(site, 7));
        assert!(hours.iter().all(|h| *h >= 0));
        let start = city.true_units(site, clock.start_of(day));
        let end = city.true_units(site, clock.end_of(day));
        assert_eq!(end - start, hours.iter().sum::<i64>());
        let half = city.true_units(site, clock.start_of(day) + TimeDelta::minutes(30));
        assert!((half - start - hours[0] / 2).abs() <= 1);
    }
}

#[test]
fn a_stuck_meter_stands_and_then_goes_on_from_there() {
    let city = small(60, 40);
    let (site, from, to) = city.script.stuck.unwrap();
    let shown = |at| city.shown(site, at).std_units;
    assert_eq!(shown(from), shown(to));
    assert!(shown(to + TimeDelta::hours(10)) > shown(to));
    assert!(city.true_units(site, to) > city.true_units(site, from));
}

#[test]
fn an_exchange_starts_anew_and_is_in_the_registry() {
    let city = small(200, 120);
    assert_eq!(city.exchanges().len(), 2);
    for exchange in city.exchanges() {
        let site = city
            .sites()
            .iter()
            .position(|s| s.meter.id == exchange.meter)
            .unwrap();
        let at = exchange.exchanged_at;
        let before = city.shown(site, at - TimeDelta::seconds(1));
        let after = city.shown(site, at);
        let of = |t: Totals| {
            if city.sites()[site].wire == Wire::Cjt188 {
                t.work_units
            } else {
                t.std_units
            }
        };
        assert!((exchange.old_total.units() - of(before)).abs() < 2_000);
        assert_eq!(exchange.new_total.units(), of(after));
    }
}

#[test]
fn the_declared_shutdown_is_in_the_registry_and_the_other_is_not() {
    let city = small(200, 120);
    let changes = city.registry_parts().unwrap().production_changes;
    assert_eq!(changes.len(), 2);
    for change in &changes {
        assert!(change.delta_m3_per_day < 0.0);
        assert!(change.available_at <= city.config().now_at);
    }
    // The one in history: use falls to a tenth on its days.
    let past = &changes[0];
    let customer = city
        .customers()
        .iter()
        .position(|c| c.id == past.customer)
        .unwrap();
    let use_m3 = |date: NaiveDate| {
        let day = city.day_index(GasDay(date)).unwrap();
        (0..city.sites().len())
            .filter(|i| city.sites()[*i].customer == Some(customer))
            .map(|i| city.site_day_m3(i, day))
            .sum::<f64>()
    };
    let during = use_m3(past.from_on + TimeDelta::days(2));
    let before = use_m3(past.from_on - TimeDelta::days(5));
    assert!(during < 0.15 * before, "{during} {before}");
    let missing = before - during + past.delta_m3_per_day;
    assert!(missing.abs() < 0.35 * before, "{missing} {before}");
}

#[test]
fn a_new_plant_ramps_up() {
    let city = small(200, 200);
    let plant = city.enterprises() - 1;
    let site = city
        .sites()
        .iter()
        .position(|s| s.customer == Some(plant))
        .unwrap();
    let month = |from: i64| {
        mean((from..from + 28).map(|d| {
            let day = GasDay(city.script.commissioned_on).plus(d);
            city.site_day_m3(site, city.day_index(day).unwrap())
        }))
    };
    let before = month(-40);
    assert!(before.abs() < 1e-9, "{before}");
    assert!(month(1) > 0.0 && month(1) < 0.8 * month(31) && month(31) < month(45) * 1.2);
}

#[test]
fn plans_are_known_before_their_day_and_are_about_right() {
    let city = small(200, 60);
    let now = city.config().now_at;
    let plans = city.filed_plans(now);
    let clock = GasDayClock::default();
    assert!(plans.len() > 400, "{}", plans.len());
    let mut errors = Vec::new();
    for plan in &plans {
        assert!(plan.available_at <= now);
        assert!(plan.available_at < clock.start_of(plan.day));
        let customer = city
            .customers()
            .iter()
            .position(|c| c.id == plan.customer)
            .unwrap();
        let Some(day) = city.day_index(plan.day) else {
            continue;
        };
        let used: f64 = (0..city.sites().len())
            .filter(|i| city.sites()[*i].customer == Some(customer))
            .map(|i| city.site_day_m3(i, day))
            .sum();
        errors.push((plan.volume.to_f64() / used - 1.0).abs());
    }
    errors.sort_by(f64::total_cmp);
    assert!(
        errors[errors.len() / 2] < 0.15,
        "{}",
        errors[errors.len() / 2]
    );
    // At now, a Friday, the plans reach to Sunday.
    let last = plans.iter().map(|p| p.day).max().unwrap();
    assert_eq!(last.days_since(city.config().today()), 2);
}

#[test]
fn conversion_factors_agree_with_pressure_and_temperature() {
    let city = small(60, 20);
    let clock = GasDayClock::default();
    for (site, place) in city.sites().iter().enumerate() {
        if place.gauge_kpa <= 0.0 {
            continue;
        }
        let day = city.config().start_on().plus(9);
        if place.kind.is_none() {
            // The state of a ring moves within the day, so each hour has its own factor.
            let mut before = city.shown(site, clock.start_of(day));
            for (hour, after) in city.shown_hourly(site, day).into_iter().enumerate() {
                let part = (hour as f64 + 0.5) / 24.0;
                let factor = city.gate_conditions(place.zone, 9, part).factor;
                let std = (after.std_units - before.std_units) as f64;
                let work = (after.work_units - before.work_units) as f64;
                assert!(
                    std > 0.0 && (std / work / factor - 1.0).abs() < 1e-4,
                    "{site}"
                );
                before = after;
            }
            continue;
        }
        let (from, to) = (
            city.shown(site, clock.start_of(day)),
            city.shown(site, clock.end_of(day)),
        );
        let conditions = city.conditions(site, 9);
        let std = (to.std_units - from.std_units) as f64;
        let work = (to.work_units - from.work_units) as f64;
        assert!(
            (std / work / conditions.factor - 1.0).abs() < 1e-4,
            "{site}"
        );
    }
}

#[test]
fn the_contracts_cover_the_summer_and_leave_a_gap_in_winter() {
    let city = small(200, 400);
    let parts = city.registry_parts().unwrap();
    let cover = |month: &str, source_ok: &dyn Fn(&str) -> bool| {
        let month: GasMonth = month.parse().unwrap();
        let bought: f64 = (0..2)
            .flat_map(|gate| month.days().into_iter().map(move |d| (gate, d)))
            .map(|(gate, day)| city.site_day_m3(gate, city.day_index(day).unwrap()))
            .sum();
        let contracted: f64 = parts
            .contracts
            .iter()
            .filter(|c| {
                source_ok(c.source.as_str())
                    && c.valid_from <= month.first_day().0
                    && month.first_day().0 <= c.valid_to
            })
            .flat_map(|c| &c.components)
            .map(|c| c.month_quantity(month).to_f64())
            .sum();
        contracted / bought
    };
    let summer = cover("2026-07", &|_| true);
    assert!((0.92..1.08).contains(&summer), "{summer}");
    let winter = cover("2026-01", &|_| true);
    assert!((0.75..0.98).contains(&winter), "{winter}");
}
