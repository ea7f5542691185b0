use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::calendar::{Calendar, GasDayClock};
use crate::domain::capacity::{CapacityStep, NodeCapacity};
use crate::domain::demand::DemandNode;
use crate::forecast::request::ConsumerInput;

/// Days of history of those that have one.
const HISTORY: i64 = 420;
const AHEAD: i64 = 31;

fn today() -> GasDay {
    GasDay("2026-10-12".parse().unwrap())
}

/// Factories of unlike levels, weekends and restlessness under one course of the class.
struct Town {
    request: ForecastRequest,
    /// What each uses from the beginning to the end of the horizon, m³.
    used: Vec<Vec<f64>>,
}

impl Town {
    /// Of `levels`, beside design flow.
    fn new(levels: &[f64]) -> Self {
        let clock = GasDayClock::default();
        let mut request = ForecastRequest::new(
            "L1".into(),
            clock.start_of(today()),
            clock,
            Calendar::default(),
        );
        request.horizon_days = usize::try_from(AHEAD).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let mut class = 0.0;
        let course: Vec<f64> = (0..HISTORY + AHEAD)
            .map(|i| {
                class = 0.97 * class + 0.06 * (rng.random::<f64>() - 0.5);
                let season = (std::f64::consts::TAU * i as f64 / 365.25).sin();
                1.0 + class + 0.2 * season
            })
            .collect();
        let mut used = Vec::new();
        for (k, level) in levels.iter().enumerate() {
            let flow = 80.0 * (k + 1) as f64;
            let weekend = [0.4, 0.7, 0.9][k % 3];
            let days: Vec<f64> = (0_i64..)
                .zip(&course)
                .map(|(i, course)| {
                    let day = today().plus(i - HISTORY);
                    let is_off = day.epoch_day().rem_euclid(7) < 2;
                    let noise = 1.0 + 0.36 * (rng.random::<f64>() - 0.5);
                    10.0 * flow * level * course * noise * if is_off { weekend } else { 1.0 }
                })
                .collect();
            request.parts.consumers.push(ConsumerInput {
                customer: format!("K{k}").as_str().into(),
                node: DemandNode {
                    zone: if k % 2 == 0 { "north" } else { "south" }.into(),
                    class: CustomerClass::Industrial,
                },
                days: Vec::new(),
                plans: BTreeMap::new(),
                past_plans: Vec::new(),
                plan_prior: 0.0,
                effects: BTreeMap::new(),
                deviations: BTreeMap::new(),
            });
            let step = CapacityStep {
                from_on: today().plus(-2 * HISTORY),
                m3h: flow,
            };
            let capacities = request.customer_capacities.get_or_insert_default();
            capacities.insert(format!("K{k}").as_str().into(), NodeCapacity::new([step]));
            used.push(days);
        }
        Self { request, used }
    }

    /// The request with all days of all factories, but the last `known` only of one.
    fn knowing(&self, young: usize, known: i64) -> ForecastRequest {
        let mut request = self.request.clone();
        for (k, consumer) in request.parts.consumers.iter_mut().enumerate() {
            let hidden = if k == young { HISTORY - known } else { 0 };
            consumer.days = (hidden..HISTORY)
                .map(|i| {
                    let at = usize::try_from(i).unwrap();
                    (today().plus(i - HISTORY), self.used[k][at])
                })
                .collect();
        }
        request
    }

    /// Model, Σ |P50 − used| / Σ used, and days within the band.
    fn scored(
        &self,
        request: &ForecastRequest,
        young: usize,
    ) -> Option<(&'static str, f64, usize)> {
        let said = consumer_days(request, &Memory::default()).unwrap();
        let of = said.get(&request.parts.consumers[young].customer)?;
        let came = &self.used[young][usize::try_from(HISTORY).unwrap()..];
        let days = of.bands.iter().zip(came);
        let off: f64 = days
            .clone()
            .map(|(band, m3)| (band.p50_m3 as f64 - m3).abs())
            .sum();
        let held =
            days.filter(|(band, m3)| (band.p10_m3 as f64..=band.p90_m3 as f64).contains(*m3));
        Some((of.model, off / came.iter().sum::<f64>(), held.count()))
    }
}

const LEVELS: [f64; 8] = [0.7, 1.0, 1.3, 0.9, 1.1, 0.5, 1.5, 1.0];

#[test]
fn a_young_factory_is_forecast_by_its_class_better_than_by_its_own_days() {
    let town = Town::new(&LEVELS);
    let all = usize::try_from(AHEAD).unwrap();
    for known in [1, 5, 14, 30, 59] {
        let (mut now, mut before, mut held) = (0.0, 0.0, 0);
        for young in 0..LEVELS.len() {
            let mut request = town.knowing(young, known);
            let (model, missed, days) = town.scored(&request, young).unwrap();
            let rungs = BTreeSet::from(["class_profile_scaled", "class_profile_design_flow"]);
            assert!(rungs.contains(model), "{known} days: {model}");
            now += missed / LEVELS.len() as f64;
            held += days;
            // Runs of earlier programs knew its own days only, and nothing from less than eight of them.
            request.customer_capacities = None;
            let own = town.scored(&request, young);
            assert_eq!(
                own.map(|own| own.0),
                (known >= 8).then_some("seasonal_naive")
            );
            before += own.map_or(f64::NAN, |own| own.1) / LEVELS.len() as f64;
        }
        let held = held as f64 / (LEVELS.len() * all) as f64;
        println!(
            "{known:3} days: {:5.1} % now, {:5.1} % before; {:3.0} % held",
            100.0 * now,
            100.0 * before,
            100.0 * held
        );
        assert!(before.is_nan() || now < before, "{known}: {now} {before}");
        assert!((0.65..=0.99).contains(&held), "{known}: {held}");
    }
}

#[test]
fn one_that_is_alone_in_its_class_stands_on_its_own_days() {
    let town = Town::new(&LEVELS[..1]);
    let of = |known| town.scored(&town.knowing(0, known), 0).map(|of| of.0);
    assert_eq!(
        [of(5), of(30), of(HISTORY)],
        [None, Some("seasonal_naive"), Some("regression")]
    );
}

#[test]
fn the_run_says_of_a_young_factory_what_the_ledger_says() {
    let town = Town::new(&LEVELS);
    let mut request = town.knowing(2, 12);
    let days = request.horizon_days;
    request.shares = vec![
        vec![
            ("north".into(), "p".into(), 1.0),
            ("south".into(), "p".into(), 1.0)
        ];
        days
    ];
    request.hourly_days = 1;
    // Its zone's industry, of which it is a part.
    for zone in ["north", "south"] {
        for i in 0..HISTORY {
            let day = today().plus(i - HISTORY);
            request.demand.push(crate::domain::demand::DemandDay {
                node: DemandNode {
                    zone: zone.into(),
                    class: CustomerClass::Industrial,
                },
                day,
                hours_m3: [2_000.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }
    let run = super::super::run_with(&request, &Memory::default()).unwrap();
    let said = consumer_days(&request, &Memory::default()).unwrap();
    let of_run = &run.breakdown.consumers[2];
    assert_eq!(of_run.model, said[&of_run.customer].model);
    assert!(of_run.model.starts_with("class_profile"));
    for (day, band) in of_run.days.iter().zip(&said[&of_run.customer].bands) {
        let apart = (day.band.p50_m3 - band.p50_m3).abs();
        assert!(apart <= 1, "{day:?} {band:?}");
    }
}

#[test]
fn a_month_is_as_wide_as_its_draws_not_as_its_days_together() {
    let town = Town::new(&LEVELS);
    let mut request = town.knowing(0, HISTORY);
    // To the end of November, so that one month lies wholly ahead.
    request.horizon_days = 50;
    let said = consumer_days(&request, &Memory::default()).unwrap();
    let november: GasMonth = "2026-11".parse().unwrap();
    for of in said.values() {
        assert_eq!(of.months.keys().collect::<Vec<_>>(), [&november]);
        let days = &of.bands[20..50];
        let sum = |at: fn(&Band) -> i64| days.iter().map(at).sum::<i64>();
        let month = of.months[&november];
        assert!((month.p50_m3 - sum(|b| b.p50_m3)).abs() <= 15);
        let (wide, sums) = (
            month.p90_m3 - month.p10_m3,
            sum(|b| b.p90_m3) - sum(|b| b.p10_m3),
        );
        // Noise of single days evens out over a month.
        assert!(wide > 0 && 10 * wide < 8 * sums, "{wide} {sums}");
    }
}
