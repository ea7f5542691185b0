use proptest::prelude::*;
use std::collections::BTreeMap;

use crate::domain::breakdown::{Breakdown, Part};
use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::capacity::{CapacityStep, NodeCapacity};
use crate::domain::connection::ConnectionStage;
use crate::domain::connection::tests::project as row;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandForecast, DemandNode, DemandView};
use crate::domain::factor::FactorAmount;
use crate::domain::factor::tests::factor as named;
use crate::domain::slot::SlotTable;
use crate::forecast::engine::run_in_parts;
use crate::forecast::request::{ConsumerInput, ForecastRequest, Project};

const DAYS: i64 = 60;

fn first() -> GasDay {
    "2026-09-21".parse().unwrap() // a Monday
}

fn today() -> GasDay {
    first().plus(DAYS)
}

fn node(zone: &str, class: CustomerClass) -> DemandNode {
    DemandNode {
        zone: zone.into(),
        class,
    }
}

fn works() -> DemandNode {
    node("north", CustomerClass::Industrial)
}

/// Use of a day that repeats every week.
fn used(scale: f64, day: GasDay) -> f64 {
    let weekday = day.days_since(first()).rem_euclid(7);
    scale
        * if weekday >= 5 {
            0.6
        } else {
            1.0 + 0.01 * weekday as f64
        }
}

fn hours(day_m3: f64) -> [f64; 24] {
    std::array::from_fn(|h| day_m3 * if h < 12 { 0.05 } else { 0.4 / 12.0 })
}

fn request(scales: &[(DemandNode, f64)]) -> ForecastRequest {
    let clock = GasDayClock::default();
    let origin_at = clock.start_of(today()) + chrono::TimeDelta::minutes(30);
    let mut request = ForecastRequest::new("run-1".into(), origin_at, clock, Calendar::default());
    for (node, scale) in scales {
        for day in (0..DAYS).map(|i| first().plus(i)) {
            request.demand.push(DemandDay {
                node: node.clone(),
                day,
                hours_m3: hours(used(*scale, day)),
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }
    let share = |zone: &str, source: &str, part| (zone.into(), source.into(), part);
    request.shares = vec![
        vec![
            share("north", "pipe", 0.7),
            share("north", "lng", 0.3),
            share("south", "pipe", 1.0),
        ];
        31
    ];
    request.horizon_days = 31;
    request.hourly_days = 2;
    request.draws = 40;
    request
}

fn consumer(id: &str, node: &DemandNode, scale: f64) -> ConsumerInput {
    ConsumerInput {
        customer: id.into(),
        node: node.clone(),
        days: (0..DAYS)
            .map(|i| first().plus(i))
            .map(|day| (day, used(scale, day)))
            .collect(),
        plans: BTreeMap::new(),
        past_plans: Vec::new(),
        plan_prior: 0.0,
        effects: BTreeMap::new(),
        deviations: BTreeMap::new(),
    }
}

fn total(run: &DemandForecast, day: usize) -> i64 {
    run.cube.day_m3(run.clock, &DemandView::total(), day)
}

/// Every table there is agrees, to the cubic metre.
fn check_tables(run: &DemandForecast, parts: &Breakdown) {
    let slots = SlotTable::default();
    for day in 0..run.days.len() {
        let all = total(run, day);
        let of = |view: &DemandView| run.cube.day_m3(run.clock, view, day);
        let sources = ["pipe", "lng"].map(|s| DemandView {
            source: Some(s.into()),
            ..DemandView::default()
        });
        let classes = CustomerClass::ALL.map(|c| DemandView {
            class: Some(c),
            ..DemandView::default()
        });
        let by_slot: i64 = (0..slots.0.len())
            .map(|i| of(&DemandView::slot(&slots, i)))
            .sum();
        assert_eq!(sources.iter().map(of).sum::<i64>(), all, "sources");
        assert_eq!(classes.iter().map(of).sum::<i64>(), all, "classes");
        assert_eq!(by_slot, all, "slots");
        for view in sources.iter().chain(&classes).chain([&DemandView::total()]) {
            let sum: i64 = parts.day_m3(view, day).iter().sum();
            assert_eq!(sum, of(view), "parts of {view:?}");
        }
        for node in run.nodes.iter().map(|n| &n.node) {
            let view = DemandView {
                zone: Some(node.zone.clone()),
                class: Some(node.class),
                ..DemandView::default()
            };
            let planned: i64 = parts
                .consumers
                .iter()
                .filter(|c| c.node == *node && c.days[day].is_planned)
                .map(|c| c.days[day].band.p50_m3)
                .sum();
            assert_eq!(planned, parts.day_m3(&view, day)[Part::Planned.index()]);
        }
    }
    for node in &run.nodes {
        let days = run.days.len();
        for draw in 0..node.draws.count {
            for day in 0..run.hourly_days {
                let at = (draw * run.hourly_days + day) * 24;
                let hours: f64 = node.draws.hourly[at..at + 24]
                    .iter()
                    .map(|v| f64::from(*v))
                    .sum();
                let daily = f64::from(node.draws.daily[draw * days + day]);
                assert!(
                    (hours - daily).abs() <= 1e-3 * daily.max(1.0),
                    "{hours} {daily}"
                );
            }
        }
    }
}

#[test]
fn without_anything_known_all_is_statistical() {
    let request = request(&[(works(), 10_000.0)]);
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    let all = parts.day_m3(&DemandView::total(), 3);
    assert_eq!(all, [0, total(&run, 3), 0, 0]);
}

#[test]
fn a_corrected_plan_stands_in_the_place_of_the_customer() {
    let mut request = request(&[(works(), 10_000.0)]);
    let (plain, _) = run_in_parts(&request).unwrap();
    let mut large = consumer("K1", &works(), 4_000.0);
    // Twenty plans, each exceeded by a tenth: a bias of 0.05.
    large.past_plans = (1..=20)
        .map(|back| (today().plus(-back), 1_000.0, 1_100.0))
        .collect();
    large.plans.insert(today().plus(1), 2_000.0);
    request.parts.consumers.push(large);
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    let own = &parts.consumers[0];
    assert!((own.plan_bias - 0.05).abs() < 1e-12);
    assert_eq!(own.days[1].band.p50_m3, 2_100);
    assert!(own.days[1].is_planned && !own.days[2].is_planned);
    // The class moves by the plan less what the customer was expected to use.
    let weekday = used(4_000.0, today().plus(1));
    let moved = (total(&run, 1) - total(&plain, 1)) as f64;
    assert!((moved - (2_100.0 - weekday)).abs() <= 1.0, "{moved}");
    assert_eq!(total(&run, 2), total(&plain, 2));
    assert_eq!(parts.day_m3(&DemandView::total(), 1)[0], 2_100);
    // Every draw moved with it.
    let (a, b) = (
        plain.draws(&DemandView::total(), &[1]),
        run.draws(&DemandView::total(), &[1]),
    );
    assert!(a.iter().zip(&b).all(|(a, b)| *b < *a));
}

#[test]
fn consumers_that_outgrow_their_class_are_fitted_into_it() {
    let mut request = request(&[(works(), 1_000.0)]);
    request
        .parts
        .consumers
        .push(consumer("K1", &works(), 900.0));
    request
        .parts
        .consumers
        .push(consumer("K2", &works(), 300.0));
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    for day in 0..31 {
        let class = total(&run, day);
        assert_eq!(parts.consumers_m3(&works(), day), class);
        let k1 = parts.consumers[0].days[day].band.p50_m3 as f64;
        assert!((k1 / class as f64 - 0.75).abs() < 0.01);
    }
}

#[test]
fn a_project_adds_its_expectation_and_flows_in_its_share_of_the_draws() {
    let mut request = request(&[(works(), 10_000.0)]);
    let (plain, _) = run_in_parts(&request).unwrap();
    let mut project = row();
    project.connected_on = today().plus(5).0;
    request.draws = 400;
    for (id, class) in [
        ("P1", CustomerClass::Industrial),
        ("P2", CustomerClass::Power),
    ] {
        let mut connection = project.clone();
        connection.id = id.into();
        connection.class = class;
        request.parts.projects.push(Project {
            connection,
            is_metered: false,
        });
    }
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    // 0.6 · 10 000 · 0.3 · 0.8 each, one of them in a class that had no node.
    assert_eq!(total(&run, 4), total(&plain, 4));
    assert_eq!(total(&run, 5) - total(&plain, 5), 2_880);
    assert_eq!(parts.day_m3(&DemandView::total(), 5)[2], 2_880);
    assert_eq!(run.nodes.len(), 2);
    assert_eq!(run.nodes[1].model, "new_connection");
    let power = DemandView {
        class: Some(CustomerClass::Power),
        ..DemandView::default()
    };
    let draws = run.draws(&power, &[5]);
    let flowing = draws.iter().filter(|m3| **m3 > 0.0).count();
    assert!((280..360).contains(&flowing), "{flowing} of 400");
    assert!(
        draws
            .iter()
            .all(|m3| *m3 == 0.0 || (*m3 - 1_800.0).abs() < 0.1)
    );
}

#[test]
fn a_factor_moves_its_days_and_is_taken_out_of_the_past() {
    let mut request = request(&[
        (works(), 10_000.0),
        (node("north", CustomerClass::Commercial), 500.0),
    ]);
    let (plain, _) = run_in_parts(&request).unwrap();
    let mut factor = named(FactorAmount::Percent(-20.0));
    factor.from_on = today().plus(-10).0;
    factor.to_on = today().plus(20).0;
    factor.expires_on = today().plus(3).0;
    // What came already came with the factor in force.
    for day in &mut request.demand {
        if day.node == works() && factor.holds_on(day.day) {
            day.hours_m3 = day.hours_m3.map(|v| v * 0.8);
        }
    }
    request.parts.factors.push(factor);
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    for day in 0..31 {
        let without = used(10_000.0, today().plus(i64::try_from(day).unwrap()));
        let fall = (total(&plain, day) - total(&run, day)) as f64;
        let expected = if day <= 3 { 0.2 * without } else { 0.0 };
        assert!(
            (fall - expected).abs() <= 2.0,
            "day {day}: {fall} {expected}"
        );
        let other = parts.day_m3(&DemandView::total(), day)[3] as f64;
        assert!((other + expected).abs() <= 2.0, "day {day}: {other}");
    }
    assert_eq!(parts.factors.len(), 1, "of the class it names");
}

#[test]
fn a_metered_customer_of_a_project_counts_once() {
    let mut request = request(&[(works(), 10_000.0)]);
    let mut connection = row();
    connection.stage = ConnectionStage::Connected;
    connection.connected_on = today().plus(-20).0;
    connection.customer = Some("K9".into());
    for day in &mut request.demand {
        let m3 = connection.expected_m3(day.day, today());
        day.hours_m3 = day.hours_m3.map(|v| v + m3 / 24.0);
    }
    request.parts.projects.push(Project {
        connection: connection.clone(),
        is_metered: true,
    });
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    for day in 0..31 {
        let on = today().plus(i64::try_from(day).unwrap());
        let expected = used(10_000.0, on) + connection.expected_m3(on, today());
        assert!((total(&run, day) as f64 - expected).abs() <= 2.0, "{on}");
    }
}

#[test]
fn metered_hours_stay_whatever_a_person_says() {
    let mut request = request(&[(works(), 10_000.0)]);
    let mut metered = [None; 24];
    for hour in metered.iter_mut().take(6) {
        *hour = Some(500.0);
    }
    request.today_hours.insert(works(), metered);
    let (plain, _) = run_in_parts(&request).unwrap();
    let mut factor = named(FactorAmount::Percent(50.0));
    factor.from_on = today().0;
    factor.to_on = today().0;
    factor.expires_on = today().0;
    request.parts.factors.push(factor);
    let (run, parts) = run_in_parts(&request).unwrap();
    check_tables(&run, &parts);
    let (before, after) = (&plain.nodes[0].p50_m3[0], &run.nodes[0].p50_m3[0]);
    for hour in 0..24 {
        let times = if hour < 6 { 1.0 } else { 1.5 };
        assert!(
            (after[hour] - times * before[hour]).abs() < 1e-6,
            "hour {hour}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Random cities: every table agrees with every other.
    #[test]
    fn every_table_agrees(
        scales in prop::collection::vec(1.0..30_000.0_f64, 4),
        sizes in prop::collection::vec(0.01..0.9_f64, 3),
        plans in prop::collection::vec((0_usize..3, 0_i64..31, 0.0..9_000.0_f64), 0..20),
        percent in -60.0..60.0_f64,
        m3 in -4_000.0..4_000.0_f64,
        effect in -3_000.0..3_000.0_f64,
        capacity in 1.0..20_000.0_f64,
        share in 0.0..1.0_f64,
    ) {
        let nodes = [
            works(),
            node("north", CustomerClass::Commercial),
            node("south", CustomerClass::Industrial),
            node("south", CustomerClass::ResidentialHeating),
        ];
        let pairs: Vec<_> = nodes.iter().cloned().zip(scales.iter().copied()).collect();
        let mut request = request(&pairs);
        for day in &mut request.shares {
            day[0].2 = share;
            day[1].2 = 1.0 - share;
        }
        for (i, size) in sizes.iter().enumerate() {
            let at = [0, 0, 2][i];
            request.parts.consumers.push(consumer(&format!("K{i}"), &nodes[at], size * scales[at]));
        }
        for (who, ahead, plan) in plans {
            request.parts.consumers[who].plans.insert(today().plus(ahead), plan);
        }
        let changed: BTreeMap<GasDay, f64> = (3..9).map(|i| (today().plus(i), effect)).collect();
        request.parts.consumers[1].effects.clone_from(&changed);
        request.effects.insert(nodes[0].clone(), changed);
        let mut connection = row();
        connection.connected_on = today().plus(4).0;
        connection.connected_m3_per_day = capacity;
        request.parts.projects.push(Project { connection, is_metered: false });
        for (id, amount) in [("A", FactorAmount::Percent(percent)), ("B", FactorAmount::M3PerDay(m3))] {
            let mut factor = named(amount);
            factor.id = id.into();
            factor.class = None;
            factor.from_on = today().0;
            request.parts.factors.push(factor);
        }
        let (run, parts) = run_in_parts(&request).unwrap();
        check_tables(&run, &parts);
        prop_assert!(run.nodes.iter().flat_map(|n| &n.draws.daily).all(|v| *v >= 0.0));
    }
}

/// A node whose only customer is a project on its ramp has no capacity of its own; the project's
/// figure stands alone, whether its use is metered or not. A second customer adds its own beside it.
#[test]
fn a_project_on_its_ramp_is_not_in_the_class_profile_too() {
    let south = node("south", CustomerClass::Industrial);
    let step = |from_on: GasDay, m3h| CapacityStep { from_on, m3h };
    let long_ago = today().plus(-900);
    let run_with = |own_m3h: f64, is_metered: bool| {
        let mut request = request(&[(works(), 1_000.0)]);
        // Long enough for a regression to lend from.
        for day in (1..200).map(|i| first().plus(-i)) {
            request.demand.push(DemandDay {
                node: works(),
                day,
                hours_m3: hours(used(1_000.0, day)),
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
        let mut connection = row();
        connection.zone = south.zone.clone();
        connection.stage = ConnectionStage::Connected;
        connection.connected_on = today().plus(-20).0;
        connection.connected_m3_per_day = 1_000.0;
        if is_metered {
            for day in (1..=20).map(|i| today().plus(-i)) {
                request.demand.push(DemandDay {
                    node: south.clone(),
                    day,
                    hours_m3: hours(connection.expected_m3(day, today())),
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
        request.parts.projects.push(Project {
            connection,
            is_metered,
        });
        let mut capacities = BTreeMap::new();
        capacities.insert(works(), NodeCapacity::new([step(long_ago, 100.0)]));
        if own_m3h > 0.0 {
            capacities.insert(south.clone(), NodeCapacity::new([step(long_ago, own_m3h)]));
        }
        request.capacities = Some(capacities);
        let (run, parts) = run_in_parts(&request).unwrap();
        check_tables(&run, &parts);
        let view = DemandView {
            zone: Some(south.zone.clone()),
            ..DemandView::default()
        };
        let of =
            |part: Part| -> i64 { (1..20).map(|d| parts.day_m3(&view, d)[part.index()]).sum() };
        (of(Part::Statistical), of(Part::New))
    };
    let (nothing, project) = run_with(0.0, false);
    assert_eq!(nothing, 0);
    assert!(project > 2_000, "{project}");
    let (metered, same) = run_with(0.0, true);
    assert!(
        metered <= 5 && same == project,
        "{metered} {same} {project}"
    );
    let (own, same) = run_with(50.0, false);
    assert!(own > 8_000 && same == project, "{own} {same} {project}");
}
