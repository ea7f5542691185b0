//! A run by what earlier runs learnt is that of an empty memory to the bit, whatever has changed.

use crate::domain::demand::DemandDay;
use crate::domain::id::RunId;
use proptest::prelude::*;
use std::collections::BTreeMap;

use super::tests::{first, node, request};
use super::*;
use crate::domain::calendar::{Calendar, CalendarYear, GasDay, HolidaySpan};
use crate::domain::customer::CustomerClass;
use crate::domain::factor::{Factor, FactorAmount, FactorKind};
use crate::forecast::request::ConsumerInput;

const DAYS: i64 = 420;
const ROOM: usize = 64 << 20;

fn today() -> GasDay {
    first().plus(DAYS)
}

/// Four nodes, a new one and three large consumers; some days are missing, some partly estimated.
fn city() -> ForecastRequest {
    let mut request = request(DAYS);
    request.draws = 20;
    request.horizon_days = 16;
    request.hourly_days = 3;
    request
        .demand
        .retain(|d| d.day.epoch_day() % 23 != 0 || d.node.zone.as_str() == "south");
    for day in &mut request.demand {
        if day.day.epoch_day() % 31 == 0 {
            day.uncertainty_m3 = 0.2 * day.volume_m3();
            day.coverage = 0.7;
        }
    }
    // Too young for a regression: its class forecasts it.
    for day in DAYS - 50..DAYS {
        request.demand.push(DemandDay {
            node: node("west", CustomerClass::Industrial),
            day: first().plus(day),
            hours_m3: [20.0 + (day % 7) as f64; 24],
            coverage: 1.0,
            uncertainty_m3: 0.0,
        });
    }
    for (i, zone) in (0_i64..).zip(["north", "south", "north"]) {
        let days = (0..DAYS - i64::from(zone == "north"))
            .map(|day| {
                let weekend = if day % 7 >= 5 { 0.7 } else { 1.0 };
                let noise = ((day * 37 + i * 11) % 23) as f64;
                (first().plus(day), weekend * (300.0 + noise))
            })
            .collect();
        request.parts.consumers.push(ConsumerInput {
            customer: format!("K{i}").as_str().into(),
            node: node(zone, CustomerClass::Industrial),
            days,
            deviations: (0..9)
                .map(|day| (first().plus(300 + 5 * day), 40.0))
                .collect(),
            plans: BTreeMap::new(),
            past_plans: Vec::new(),
            plan_prior: 0.0,
            effects: BTreeMap::new(),
        });
    }
    request
}

/// What may come between two runs.
#[derive(Debug, Clone)]
enum Change {
    /// Another weather forecast.
    Weather(f64),
    /// Hours of the day under way.
    Hours(usize),
    /// A named factor, from days ago or from tomorrow on.
    Factor(i64, f64),
    /// A customer files a plan.
    Plan(usize, i64),
    /// A production change of a node.
    Effect(i64, f64),
    /// A reading comes in late or is edited.
    Late(usize, i64),
    /// A day is found to be wrong.
    Gone(usize, i64),
    /// A day was estimated worse than thought.
    Estimated(usize, i64),
    /// A customer's day is restated.
    Restated(usize, i64),
    /// A customer's day was estimated.
    Bounded(usize, i64),
    /// An observed temperature is corrected.
    Observed(i64),
    /// Another day off.
    Holiday(i64),
    /// Other skill of the weather forecast.
    Skill,
    /// Another length of the run.
    Horizon(usize),
    /// The next gas day.
    Midnight,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (-8.0..8.0_f64).prop_map(Change::Weather),
        3 => (1..20_usize).prop_map(Change::Hours),
        1 => (-30..5_i64, -20.0..20.0_f64).prop_map(|(day, percent)| Change::Factor(day, percent)),
        1 => (0..3_usize, 0..9_i64).prop_map(|(who, day)| Change::Plan(who, day)),
        1 => (-20..9_i64, -300.0..300.0_f64).prop_map(|(day, m3)| Change::Effect(day, m3)),
        2 => (0..4_usize, 1..400_i64).prop_map(|(who, back)| Change::Late(who, back)),
        1 => (0..4_usize, 1..400_i64).prop_map(|(who, back)| Change::Gone(who, back)),
        1 => (0..4_usize, 1..60_i64).prop_map(|(who, back)| Change::Estimated(who, back)),
        1 => (0..3_usize, 1..60_i64).prop_map(|(who, back)| Change::Restated(who, back)),
        1 => (0..3_usize, 1..60_i64).prop_map(|(who, back)| Change::Bounded(who, back)),
        1 => (1..40_i64).prop_map(Change::Observed),
        1 => (-200..40_i64).prop_map(Change::Holiday),
        1 => Just(Change::Skill),
        1 => (3..40_usize).prop_map(Change::Horizon),
        1 => Just(Change::Midnight),
    ]
}

impl Change {
    fn apply(&self, request: &mut ForecastRequest) {
        let today = request.clock.day_of(request.origin_at);
        let nodes: Vec<DemandNode> = ["north", "south"]
            .into_iter()
            .flat_map(|zone| {
                [CustomerClass::ResidentialHeating, CustomerClass::Industrial]
                    .map(|class| node(zone, class))
            })
            .collect();
        let mut of_day = |who: usize, back: i64, change: &dyn Fn(&mut DemandDay)| {
            let day = today.plus(-back);
            let found = request.demand.iter_mut();
            found
                .filter(|d| d.node == nodes[who] && d.day == day)
                .for_each(change);
        };
        match *self {
            Self::Late(who, back) => of_day(who, back, &|day| day.hours_m3[7] += 31.5),
            Self::Gone(who, back) => of_day(who, back, &|day| day.coverage = 0.1),
            Self::Estimated(who, back) => of_day(who, back, &|day| {
                day.uncertainty_m3 = 0.3 * day.volume_m3();
            }),
            Self::Weather(kelvin) => {
                for weather in request.weather.values_mut() {
                    weather.forecast.values_mut().for_each(|t| *t += kelvin);
                }
            }
            Self::Observed(back) => {
                if let Some(weather) = request.weather.values_mut().next()
                    && let Some(t) = weather.observed.get_mut(&today.plus(-back))
                {
                    *t -= 1.25;
                }
            }
            Self::Hours(count) => {
                for (i, node) in nodes.into_iter().enumerate() {
                    let hours =
                        std::array::from_fn(|h| (h < count).then_some(40.0 + (h * 3 + i) as f64));
                    request.today_hours.insert(node, hours);
                }
            }
            Self::Factor(from, percent) => request.parts.factors.push(Factor {
                id: format!("f{}", request.parts.factors.len()),
                kind: FactorKind::Market,
                zone: None,
                class: None,
                from_on: today.plus(from).0,
                to_on: today.plus(from + 4).0,
                amount: FactorAmount::Percent(percent),
                person: "li".to_owned(),
                reason: "fair".to_owned(),
                expires_on: today.plus(90).0,
                entered_at: request.origin_at,
                withdrawn_from: None,
            }),
            Self::Plan(who, ahead) => {
                let plans = &mut request.parts.consumers[who].plans;
                plans.insert(today.plus(ahead), 123.0);
            }
            Self::Effect(day, m3) => {
                let of_node = request.effects.entry(nodes[1].clone()).or_default();
                of_node.insert(today.plus(day), m3);
            }
            Self::Restated(who, back) => {
                let consumer = &mut request.parts.consumers[who];
                for (day, m3) in &mut consumer.days {
                    if *day == today.plus(-back) {
                        *m3 *= 1.1;
                    }
                }
            }
            Self::Bounded(who, back) => {
                let deviations = &mut request.parts.consumers[who].deviations;
                deviations.insert(today.plus(-back), 75.0);
            }
            Self::Holiday(day) => {
                let day = today.plus(day).0;
                let mut years: Vec<CalendarYear> = request.calendar.years().cloned().collect();
                for year in &mut years {
                    if year.year == chrono::Datelike::year(&day) {
                        year.holidays.push(HolidaySpan {
                            from: day,
                            to: day,
                            ..year.holidays[0].clone()
                        });
                    }
                }
                request.calendar = Calendar::new(years);
            }
            Self::Skill => request.weather_skill.full_days += 1,
            Self::Horizon(days) => request.horizon_days = days,
            Self::Midnight => request.origin_at += chrono::TimeDelta::days(1),
        }
    }
}

/// Every bit of a run, and which regressions it learnt or had.
fn bits(request: &ForecastRequest, memory: &Memory) -> (Vec<u8>, Learning) {
    let run = run_with(request, memory).unwrap();
    let mut bits = postcard::to_stdvec(&run.forecast).unwrap();
    bits.extend(postcard::to_stdvec(&run.breakdown).unwrap());
    (bits, run.learning)
}

fn cold(request: &ForecastRequest) -> Vec<u8> {
    bits(request, &Memory::default()).0
}

/// The run that learnt each series.
fn by_series(learning: Learning) -> BTreeMap<String, String> {
    let of_run = |(run, series): (RunId, Vec<String>)| {
        let run = run.to_string();
        series.into_iter().map(move |name| (name, run.clone()))
    };
    learning.into_iter().flat_map(of_run).collect()
}

/// The names of the series learnt by a run.
fn learnt_by(learning: Learning, run: &str) -> Vec<String> {
    let all = by_series(learning).into_iter();
    all.filter(|(_, by)| by == run)
        .map(|(name, _)| name)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn reused_is_cold_to_the_bit(changes in proptest::collection::vec(change(), 1..5)) {
        let mut request = city();
        let memory = Memory::with_room_for(ROOM);
        bits(&request, &memory);
        for (i, change) in changes.iter().enumerate() {
            change.apply(&mut request);
            request.run_id = format!("run-{}", i + 2).as_str().into();
            let (reused, _) = bits(&request, &memory);
            // Not as an assertion on both: a difference would print megabytes.
            prop_assert!(reused == cold(&request), "{changes:?} at {i}");
        }
    }
}

#[test]
fn an_hour_with_other_weather_hours_plans_and_factors_learns_nothing() {
    let mut request = city();
    let memory = Memory::with_room_for(ROOM);
    let (_, learning) = bits(&request, &memory);
    assert_eq!(
        learnt_by(learning, "run-1").len(),
        7,
        "four nodes, three customers"
    );
    let of_fit = memory.counts();
    request.run_id = "run-2".into();
    for change in [
        Change::Weather(-4.0),
        Change::Hours(9),
        Change::Factor(1, 12.0),
        Change::Plan(1, 3),
        Change::Effect(2, -200.0),
    ] {
        change.apply(&mut request);
    }
    let (reused, learning) = bits(&request, &memory);
    assert_eq!(learnt_by(learning, "run-1").len(), 7);
    assert_eq!(memory.counts().misses, of_fit.misses);
    assert!(reused == cold(&request));
}

#[test]
fn a_late_reading_is_learnt_by_its_node_and_no_other() {
    let mut request = city();
    let memory = Memory::with_room_for(ROOM);
    bits(&request, &memory);
    request.run_id = "run-2".into();
    // Since the latest cut, so that what the class says of rare days stays as it was.
    Change::Late(1, 1).apply(&mut request);
    let (reused, learning) = bits(&request, &memory);
    assert_eq!(learnt_by(learning, "run-2"), ["north/industrial"]);
    assert!(reused == cold(&request));
    // Taken back, the past is the one of the first run again.
    let mut request = city();
    request.run_id = "run-3".into();
    let (_, learning) = bits(&request, &memory);
    assert!(by_series(learning).values().all(|run| run == "run-1"));
}

#[test]
fn a_past_that_moves_the_class_is_learnt_by_all_of_it() {
    let mut request = city();
    let memory = Memory::with_room_for(ROOM);
    bits(&request, &memory);
    request.run_id = "run-2".into();
    // In the festival of February 2026.
    let festival = GasDay("2026-02-18".parse().unwrap());
    Change::Late(1, today().days_since(festival)).apply(&mut request);
    let (reused, learning) = bits(&request, &memory);
    assert_eq!(
        learnt_by(learning, "run-2"),
        ["K0", "K1", "K2", "north/industrial", "south/industrial"]
    );
    assert!(reused == cold(&request));
}

#[test]
fn another_calendar_or_day_is_learnt_by_all() {
    let mut request = city();
    let memory = Memory::with_room_for(ROOM);
    bits(&request, &memory);
    for (run, change) in [("run-2", Change::Holiday(3)), ("run-3", Change::Midnight)] {
        request.run_id = run.into();
        change.apply(&mut request);
        let (reused, learning) = bits(&request, &memory);
        assert_eq!(learnt_by(learning, run).len(), 7, "{change:?}");
        assert!(reused == cold(&request), "{change:?}");
    }
}

#[test]
fn a_small_memory_is_kept_within_its_room_and_changes_nothing() {
    let mut request = city();
    let whole = Memory::with_room_for(ROOM);
    bits(&request, &whole);
    let room = whole.counts().bytes / 2;
    let memory = Memory::with_room_for(room);
    for run in ["run-1", "run-2", "run-3"] {
        request.run_id = run.into();
        Change::Weather(1.5).apply(&mut request);
        assert!(bits(&request, &memory).0 == cold(&request));
        assert!(memory.counts().bytes <= room);
    }
    let counts = memory.counts();
    assert!(counts.hits > 0 && counts.evicted > 0, "{counts:?}");
    assert!(counts.bytes > room / 2, "{counts:?}");
}

#[test]
fn customers_one_by_one_cost_what_is_new_since_the_run() {
    let mut request = city();
    let memory = Memory::with_room_for(ROOM);
    let cold = |request: &ForecastRequest| consumer_days(request, &Memory::default()).unwrap();
    bits(&request, &memory);
    let of_run = memory.counts();
    request.run_id = "L1".into();
    let first = consumer_days(&request, &memory).unwrap();
    assert_eq!(first, cold(&request));
    assert_eq!(first.len(), 3);
    let of_answer = memory.counts();
    assert_eq!(
        of_answer.misses,
        of_run.misses + 1,
        "the answer, and nothing it is made of"
    );
    // Asked again, by whatever name: the answer alone is looked up. Plans are no part of it.
    request.run_id = "L2".into();
    Change::Plan(1, 3).apply(&mut request);
    assert_eq!(consumer_days(&request, &memory).unwrap(), first);
    let again = memory.counts();
    assert_eq!(
        (again.hits, again.misses),
        (of_answer.hits + 1, of_answer.misses)
    );
    // Whatever it is made of makes another one; one customer's day learns that customer.
    for (change, learnt) in [
        (Change::Weather(-3.0), 1),
        (Change::Restated(1, 1), 3),
        (Change::Bounded(2, 1), 3),
    ] {
        let before = memory.counts().misses;
        change.apply(&mut request);
        let answer = consumer_days(&request, &memory).unwrap();
        assert_eq!(answer, cold(&request), "{change:?}");
        let misses = memory.counts().misses - before;
        assert!(misses <= learnt, "{change:?}: {misses}");
    }
    // Its own change of production is added to the days to come.
    let customer = request.parts.consumers[0].customer.clone();
    let before = consumer_days(&request, &memory).unwrap()[&customer].bands[2];
    let effects = &mut request.parts.consumers[0].effects;
    effects.insert(today().plus(2), 50.0);
    let after = consumer_days(&request, &memory).unwrap()[&customer].bands[2];
    assert!((after.p50_m3 - before.p50_m3 - 50).abs() <= 1);
}
