use std::collections::BTreeMap;

use chrono::TimeDelta;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::capacity::{CapacityStep, NodeCapacity};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandForecast, DemandNode, quantile_of_sorted};
use crate::forecast::engine::run;
use crate::forecast::request::{ForecastRequest, ModelChoice};
use crate::forecast::weather::ZoneWeather;

/// Days of history of nodes that have one, the last of them yesterday.
const HISTORY: i64 = 400;
const DESIGN_FLOW: f64 = 100.0;

fn today() -> GasDay {
    GasDay("2026-11-16".parse().unwrap())
}

fn temperature(day: GasDay) -> f64 {
    let days = day.days_since(today()) as f64;
    let wave = (std::f64::consts::TAU * (days + 300.0) / 365.25).cos();
    14.0 - 12.0 * wave + 3.0 * (days * 0.37).sin()
}

/// What the class uses, m³ per m³/h of design flow.
fn class_rate(day: GasDay) -> f64 {
    let weekday = day.epoch_day().rem_euclid(7);
    let cold = (16.0 - temperature(day)).max(0.0);
    (8.0 + 0.5 * cold) * if weekday < 2 { 0.8 } else { 1.0 }
}

struct City {
    request: ForecastRequest,
    rng: ChaCha8Rng,
}

fn young() -> DemandNode {
    node("young")
}

fn node(zone: &str) -> DemandNode {
    DemandNode {
        zone: zone.into(),
        class: CustomerClass::Commercial,
    }
}

impl City {
    /// Zones with these levels beside the class and all of their history.
    fn new(levels: &[f64]) -> Self {
        let clock = GasDayClock::default();
        let origin_at = clock.start_of(today()) + TimeDelta::minutes(30);
        let mut request =
            ForecastRequest::new("run-1".into(), origin_at, clock, Calendar::default());
        request.horizon_days = 31;
        request.hourly_days = 2;
        request.shares = vec![Vec::new(); 31];
        let mut city = Self {
            request,
            rng: ChaCha8Rng::seed_from_u64(11),
        };
        for (i, level) in levels.iter().enumerate() {
            let zone = format!("old-{i}");
            city.add(&node(&zone), HISTORY, |_| *level);
            city.connect(&node(&zone), 2 * HISTORY);
        }
        city
    }

    /// Days of a node before today, at `level` of its age in days.
    fn add(&mut self, node: &DemandNode, days: i64, level: impl Fn(i64) -> f64) {
        let weather = self.request.weather.entry(node.zone.clone());
        let weather: &mut ZoneWeather = weather.or_default();
        for ago in 1..=HISTORY {
            let day = today().plus(-ago);
            weather.observed.insert(day, temperature(day));
        }
        for ahead in 0..10 {
            let day = today().plus(ahead);
            weather.forecast.insert(day, temperature(day));
        }
        for ago in (1..=days).rev() {
            let day = today().plus(-ago);
            let noise = 1.0 + 0.06 * (self.rng.random::<f64>() - 0.5);
            let m3 = DESIGN_FLOW * class_rate(day) * level(days - ago) * noise;
            self.request.demand.push(DemandDay {
                node: node.clone(),
                day,
                hours_m3: [m3 / 24.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }

    /// Gas was let in so many days ago.
    fn connect(&mut self, node: &DemandNode, days_ago: i64) {
        let step = CapacityStep {
            from_on: today().plus(-days_ago),
            m3h: DESIGN_FLOW,
        };
        let capacities = self.request.capacities.get_or_insert_default();
        capacities.insert(node.clone(), NodeCapacity::new([step]));
    }

    fn run(&self) -> DemandForecast {
        run(&self.request).unwrap()
    }
}

/// Model and volume by day of the young node.
fn of_young(run: &DemandForecast) -> (String, Vec<f64>) {
    let found = run.nodes.iter().find(|n| n.node == young()).unwrap();
    let days = found.p50_m3.iter().map(|hours| hours.iter().sum());
    (found.model.clone(), days.collect())
}

/// Volume of a month beside what the class would use.
fn level_said(days: &[f64]) -> f64 {
    let class: f64 = (0..31)
        .map(|i| DESIGN_FLOW * class_rate(today().plus(i)))
        .sum();
    days.iter().sum::<f64>() / class
}

#[test]
fn a_node_without_a_day_is_forecast_by_its_design_flow() {
    let mut city = City::new(&[0.9, 1.0, 1.1, 1.0]);
    city.connect(&young(), 900);
    let (model, days) = of_young(&city.run());
    assert_eq!(model, "class_profile_design_flow");
    let level = level_said(&days);
    assert!((0.9..1.1).contains(&level), "{level}");
    // Twice the design flow, twice the gas, to the bit of rounding.
    let double = CapacityStep {
        from_on: today().plus(-900),
        m3h: 2.0 * DESIGN_FLOW,
    };
    let capacities = city.request.capacities.as_mut().unwrap();
    capacities.insert(young(), NodeCapacity::new([double]));
    let (_, twice) = of_young(&city.run());
    for (one, two) in days.iter().zip(&twice) {
        assert!((2.0 * one - two).abs() < 1e-6 * two, "{one} {two}");
    }
}

#[test]
fn one_that_gets_gas_today_grows_by_the_ramp() {
    let mut city = City::new(&[0.9, 1.0, 1.1, 1.0]);
    city.connect(&young(), 0);
    city.request.horizon_days = 62;
    city.request.shares = vec![Vec::new(); 62];
    let (model, days) = of_young(&city.run());
    assert_eq!(model, "class_profile_design_flow");
    let part = |from: usize| -> f64 {
        let of = from..from + 14;
        let class = |i| DESIGN_FLOW * class_rate(today().plus(i64::try_from(i).unwrap()));
        of.clone().map(|i| days[i]).sum::<f64>() / of.map(class).sum::<f64>()
    };
    // Mostly the ramp (0.3 at first), a little of what does not follow it.
    assert!((0.3..0.5).contains(&part(0)), "{}", part(0));
    assert!(part(46) > part(0) + 0.12, "{} {}", part(0), part(46));
    // A node that gets gas within the horizon uses none before.
    let mut city = City::new(&[1.0, 1.0]);
    city.connect(&young(), -10);
    let (_, days) = of_young(&city.run());
    assert!(
        days[..10].iter().all(|m3| *m3 == 0.0) && days[10] > 100.0,
        "{days:?}"
    );
}

#[test]
fn its_own_days_move_it_from_the_class_to_its_own_level() {
    let said: Vec<(String, f64)> = [0, 2, 7, 21, 59]
        .iter()
        .map(|known| {
            let mut city = City::new(&[0.7, 1.0, 1.3, 1.0, 0.9, 1.1]);
            city.connect(&young(), 900);
            city.add(&young(), *known, |_| 1.6);
            let (model, days) = of_young(&city.run());
            (model, level_said(&days))
        })
        .collect();
    assert_eq!(said[0].0, "class_profile_design_flow");
    assert_eq!(said[4].0, "class_profile_scaled");
    for pair in said.windows(2) {
        assert!(pair[1].1 > pair[0].1 - 0.02, "{said:?}");
    }
    assert!(
        said[0].1 < 1.1 && said[4].1 > 1.5 && said[4].1 < 1.7,
        "{said:?}"
    );
}

#[test]
fn without_design_flow_its_days_tell_its_level() {
    for known in [1, 10, 40] {
        let mut city = City::new(&[0.5, 1.0, 3.0]);
        city.add(&young(), known, |_| 0.2);
        let (model, days) = of_young(&city.run());
        assert_eq!(model, "class_profile_scaled", "{known}");
        let level = level_said(&days);
        assert!((0.18..0.22).contains(&level), "{known}: {level}");
    }
}

#[test]
fn without_anyone_alike_its_own_pattern_is_all_there_is() {
    for (known, want) in [
        (30, Some("seasonal_naive")),
        (4, Some("recent_mean")),
        (0, None),
    ] {
        let mut city = City::new(&[]);
        let works = DemandNode {
            zone: "old".into(),
            class: CustomerClass::Industrial,
        };
        city.add(&works, HISTORY, |_| 1.0);
        city.connect(&works, 900);
        city.connect(&young(), 900);
        city.add(&young(), known, |_| 1.0);
        let run = city.run();
        let found = run.nodes.iter().find(|n| n.node == young());
        assert_eq!(found.map(|n| n.model.as_str()), want);
        let left_out = run
            .inputs
            .iter()
            .any(|(key, text)| key == "left_out" && text.contains("young/commercial (have 0 days"));
        assert_eq!(left_out, want.is_none());
    }
}

#[test]
fn a_node_that_does_not_follow_the_ramp_is_not_driven_beyond_itself() {
    let mut city = City::new(&[0.9, 1.0, 1.1, 1.0]);
    city.connect(&young(), 25);
    city.add(&young(), 25, |_| 1.0);
    let (_, days) = of_young(&city.run());
    let level = level_said(&days);
    assert!((0.85..1.25).contains(&level), "{level}");
    // One that does is seen to.
    let mut city = City::new(&[0.9, 1.0, 1.1, 1.0]);
    city.connect(&young(), 50);
    city.add(&young(), 50, |age| if age < 30 { 0.3 } else { 0.5 });
    let (_, days) = of_young(&city.run());
    let level = level_said(&days);
    assert!((0.5..0.8).contains(&level), "{level}");
}

#[test]
fn a_ramp_that_a_grown_node_showed_is_expected_of_the_next() {
    let first_month = |has_grown: bool| {
        let mut city = City::new(&[0.9, 1.0, 1.1, 1.0]);
        if has_grown {
            for zone in ["grown-1", "grown-2"] {
                city.connect(&node(zone), 300);
                city.add(&node(zone), 300, |age| if age < 120 { 0.9 } else { 1.0 });
            }
        }
        city.connect(&young(), 0);
        let (_, days) = of_young(&city.run());
        level_said(&days)
    };
    let (default, learnt) = (first_month(false), first_month(true));
    assert!(learnt > default + 0.15, "{default} {learnt}");
}

#[test]
fn the_regression_takes_over_without_a_jump() {
    // The same days whatever is known of them.
    let mut city = City::new(&[0.9, 1.0, 1.1]);
    city.connect(&young(), 900);
    city.add(&young(), HISTORY, |_| 1.2);
    let days = std::mem::take(&mut city.request.demand);
    let mut said = |known: i64| {
        let is_known = |d: &&DemandDay| d.node != young() || d.day >= today().plus(-known);
        city.request.demand = days.iter().filter(is_known).cloned().collect();
        let (model, days) = of_young(&city.run());
        (model, level_said(&days))
    };
    let (mut before, mut was) = said(84);
    assert_eq!(before, "class_profile_scaled");
    for known in (88..128).step_by(4) {
        let (model, level) = said(known);
        assert!((level / was - 1.0).abs() < 0.05, "{known}: {was} {level}");
        (before, was) = (model, level);
    }
    // The regression has been possible for some weeks, and has a small part.
    assert_eq!(before, "class_profile_scaled");
    // As old as the others, it is a node like them.
    assert_eq!(said(HISTORY).0, "regression");
}

#[test]
fn bands_hold_what_comes_at_every_age() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for known in [0, 14] {
        let (mut hits, mut all) = (0_u32, 0_u32);
        for trial in 0..10 {
            let mut level = || {
                (0.3 * (rng.random::<f64>() + rng.random::<f64>() + rng.random::<f64>() - 1.5)
                    * 2.0)
                    .exp()
            };
            let levels: Vec<f64> = (0..5).map(|_| level()).collect();
            let own = level();
            let mut city = City::new(&levels);
            city.rng = ChaCha8Rng::seed_from_u64(trial);
            city.connect(&young(), 900);
            city.add(&young(), known, |_| own);
            let run = city.run();
            let found = run.nodes.iter().find(|n| n.node == young()).unwrap();
            for ahead in 0..31 {
                let draws = (0..found.draws.count).map(|i| found.draws.daily[i * 31 + ahead]);
                let mut draws: Vec<f64> = draws.map(f64::from).collect();
                draws.sort_by(f64::total_cmp);
                let day = today().plus(i64::try_from(ahead).unwrap());
                let noise = 1.0 + 0.06 * (rng.random::<f64>() - 0.5);
                let came = DESIGN_FLOW * class_rate(day) * own * noise;
                let (low, high) = (
                    quantile_of_sorted(&draws, 0.1),
                    quantile_of_sorted(&draws, 0.9),
                );
                hits += u32::from((low..=high).contains(&came));
                all += 1;
            }
        }
        let held = f64::from(hits) / f64::from(all);
        assert!((0.6..=0.98).contains(&held), "{known} days: {held}");
    }
}

#[test]
fn runs_without_capacities_are_made_as_before() {
    let mut city = City::new(&[0.9, 1.0]);
    city.add(&young(), 10, |_| 0.2);
    city.request.capacities = None;
    let (model, days) = of_young(&city.run());
    assert_eq!(model, "class_profile");
    // The forecast of the node with most days, scaled by the days both have.
    let run = city.run();
    let volume = |node: &DemandNode| -> f64 {
        let of = city.request.demand.iter();
        let days = of.filter(|d| d.node == *node && d.day >= today().plus(-10));
        days.map(DemandDay::volume_m3).sum()
    };
    let donor = run.nodes.iter().find(|n| n.node == node("old-1")).unwrap();
    let ratio = volume(&young()) / volume(&node("old-1"));
    let lent: f64 = donor.p50_m3[1].iter().sum();
    assert!(
        (days[1] - ratio * lent).abs() < 1e-6 * lent,
        "{} {lent}",
        days[1]
    );
}

#[test]
fn the_baseline_knows_nothing_of_classes() {
    let mut city = City::new(&[0.9, 1.0]);
    city.connect(&young(), 900);
    city.add(&young(), 10, |_| 1.0);
    city.request.models = ModelChoice::SeasonalNaive;
    assert_eq!(of_young(&city.run()).0, "seasonal_naive");
    city.request.demand.retain(|d| d.node != young());
    let run = city.run();
    assert!(run.nodes.iter().all(|n| n.node != young()));
}

#[test]
fn the_same_request_gives_the_same_bits_and_old_nodes_keep_theirs() {
    let mut city = City::new(&[0.9, 1.0, 1.1]);
    let plain = city.run();
    city.connect(&young(), 900);
    city.add(&young(), 5, |_| 1.0);
    let with = city.run();
    assert_eq!(city.run(), with);
    let p50 = |run: &DemandForecast| -> BTreeMap<DemandNode, Vec<[f64; 24]>> {
        let old = run.nodes.iter().filter(|n| n.node != young());
        old.map(|n| (n.node.clone(), n.p50_m3.clone())).collect()
    };
    assert_eq!(p50(&plain), p50(&with));
}
