use crate::forecast::request::ForecastRequest;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::calendar::DayType;
use crate::domain::capacity::NodeCapacity;

fn calendar() -> Calendar {
    Calendar::new(
        [
            include_str!("../../../config/calendar/2024.toml"),
            include_str!("../../../config/calendar/2025.toml"),
            include_str!("../../../config/calendar/2026.toml"),
        ]
        .map(|text| toml::from_str(text).unwrap()),
    )
}

/// A backtest in which nothing but demand and weather was known.
fn run(request: &BacktestRequest) -> Result<BacktestReport, ForecastError> {
    super::run(request, |_, _| Ok::<_, ForecastError>(Known::default()))
}

/// What is said at one gate.
fn said_at(
    request: &BacktestRequest,
    count: usize,
    gate: GateAsked,
    known: &Known,
) -> Vec<(DemandNode, Pair)> {
    let first = request.demand.iter().map(|d| d.day).min().unwrap();
    let nodes = node_models(request, first, count);
    let mut said = Vec::new();
    let mut forecasts = Forecasts {
        request,
        known: &mut |_: DateTime<Utc>, _: usize| Ok::<_, ForecastError>(known.clone()),
        engines: Engines::new(request),
        weather: &mut BTreeMap::new(),
    };
    let made = forecasts.each(&nodes, &[gate], |nodes, _, pairs| {
        let of_nodes = nodes.iter().zip(pairs);
        said = of_nodes
            .map(|(node, pair)| (node.node.clone(), pair.clone()))
            .collect();
    });
    made.unwrap();
    said
}

/// A city of two classes from 2024-01-01 on: heating follows the weather of four days, industry
/// the calendar; weather and demand have persistent noise.
fn city(days: usize) -> BacktestRequest {
    let first = GasDay("2024-01-01".parse().unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut noise = |scale: f64| scale * (rng.random::<f64>() + rng.random::<f64>() - 1.0);
    let (mut anomaly, mut mood) = (0.0, [0.0; 2]);
    let mut temperatures: Vec<f64> = Vec::new();
    let mut request = BacktestRequest {
        demand: Vec::new(),
        observed: BTreeMap::new(),
        issued: BTreeMap::new(),
        calendar: calendar(),
        clock: GasDayClock::default(),
        weather_skill: ForecastSkill::default(),
        days: 200,
        seed: 5,
    };
    let mut observed = BTreeMap::new();
    for i in 0..days {
        let day = first.plus(as_days(i));
        anomaly = 0.75 * anomaly + noise(5.0);
        let season = (std::f64::consts::TAU * (i as f64 - 20.0) / 365.25).cos();
        temperatures.push(14.0 - 12.0 * season + anomaly);
        observed.insert(day, temperatures[i]);
        let felt = crate::forecast::features::temperature::effective_temperature(&temperatures);
        let off = request.calendar.day_type(day.0) != DayType::Workday;
        for (k, class) in [CustomerClass::ResidentialHeating, CustomerClass::Industrial]
            .into_iter()
            .enumerate()
        {
            mood[k] = 0.8 * mood[k] + noise(0.03);
            let volume = match class {
                CustomerClass::Industrial => {
                    if off {
                        32_000.0
                    } else {
                        40_000.0
                    }
                }
                _ => 12_000.0 + 2_400.0 * (16.0 - felt).max(0.0),
            } * (1.0 + mood[k] + noise(0.02));
            let node = DemandNode {
                zone: "north".into(),
                class,
            };
            request.demand.push(DemandDay {
                node,
                day,
                hours_m3: [volume / 24.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }
    request.observed.insert("north".into(), observed);
    request
}

#[test]
fn the_model_beats_seasonal_naive_by_a_fifth_and_is_calibrated() {
    let report = run(&city(760)).unwrap();
    let day_ahead = &report.gates[0];
    assert_eq!(day_ahead.total.model.count, 200);
    let Compared {
        model,
        seasonal_naive,
    } = day_ahead.total;
    assert!(model.wape < 0.8 * seasonal_naive.wape, "{report}");
    assert!(model.pinball < seasonal_naive.pinball, "{report}");
    assert!((0.70..=0.90).contains(&model.coverage), "{report}");
    for (_, compared) in &day_ahead.classes {
        assert!(
            compared.model.wape < compared.seasonal_naive.wape,
            "{report}"
        );
        assert!((0.70..=0.90).contains(&compared.model.coverage), "{report}");
    }
    let months = &report.gates[2].total;
    assert!(
        months.model.count >= 5 && months.model.wape < months.seasonal_naive.wape,
        "{report}"
    );
    assert!(
        report.gates[1]
            .leads
            .first()
            .is_some_and(|(lead, _)| (19..=24).contains(lead)),
        "{report}"
    );
}

#[test]
fn later_days_do_not_change_earlier_scores() {
    let mut short = city(500);
    short.days = 30;
    let mut long = city(520);
    long.days = 50;
    // The first 30 targets are the same, and so are their forecasts.
    let (a, b) = (run(&short).unwrap(), run(&long).unwrap());
    assert_eq!(a.from, b.from);
    assert_eq!(
        a.gates[0].total.model.count + 20,
        b.gates[0].total.model.count
    );
    let known = Known::default();
    assert_eq!(
        said_at(&short, 500, (480, 2), &known),
        said_at(&long, 520, (480, 2), &known)
    );
}

#[test]
fn a_report_prints_and_round_trips() {
    let mut request = city(200);
    request.days = 20;
    let report = run(&request).unwrap();
    let text = report.to_string();
    assert!(
        text.contains("day-ahead (lead 2)") && text.contains("north/industrial"),
        "{text}"
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(
        serde_json::from_str::<BacktestReport>(&json).unwrap().from,
        report.from
    );
    request.demand.truncate(20);
    assert_eq!(
        run(&request).unwrap_err().code(),
        "forecast.insufficient_history"
    );
}

#[test]
fn a_stored_forecast_is_replayed_and_the_report_says_so() {
    let mut request = city(500);
    request.days = 60;
    let recreated = run(&request).unwrap();
    assert_eq!(recreated.weather.replayed, 0);
    assert!(recreated.weather.recreated >= 60);

    // Forecasts that were 8 K too cold: the replay must suffer from what was known then.
    let observed = request.observed[&ZoneId::from("north")].clone();
    let cold: BTreeMap<GasDay, BTreeMap<GasDay, f64>> = observed
        .keys()
        .map(|origin| {
            let ahead = (1..=45)
                .filter_map(|lead| {
                    Some((origin.plus(lead), observed.get(&origin.plus(lead))? - 8.0))
                })
                .collect();
            (*origin, ahead)
        })
        .collect();
    request.issued.insert("north".into(), cold);
    let replayed = run(&request).unwrap();
    assert_eq!(replayed.weather.recreated, 0);
    assert_eq!(replayed.weather.replayed, recreated.weather.recreated);
    let bias = |report: &BacktestReport| report.gates[0].total.model.bias;
    assert!(
        bias(&replayed) > bias(&recreated) + 0.05,
        "{} {}",
        bias(&replayed),
        bias(&recreated)
    );
    assert!(replayed.to_string().contains("0 re-created"));
}

/// The city with a vintage of the weather at every origin: the truth with an error of its own.
fn city_with_vintages(days: usize) -> BacktestRequest {
    let mut request = city(days);
    let observed = request.observed[&ZoneId::from("north")].clone();
    let issued = observed
        .keys()
        .map(|origin| {
            let ahead = (1..=45_i32)
                .filter_map(|lead| {
                    let day = origin.plus(i64::from(lead));
                    let truth = observed.get(&day)?;
                    Some((
                        day,
                        truth + 0.04 * f64::from(lead) * f64::from(origin.epoch_day() % 5 - 2),
                    ))
                })
                .collect();
            (*origin, ahead)
        })
        .collect();
    request.issued.insert("north".into(), issued);
    request
}

/// Everything that became known after `gate`, turned about: demand of the days after it up to `until`
/// (what comes then is what is scored), all weather measured after it, all vintages issued after it.
fn shuffled_after(honest: &BacktestRequest, gate: GasDay, until: GasDay) -> BacktestRequest {
    use rand::seq::SliceRandom as _;
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    let mut request = honest.clone();
    let between: Vec<usize> = (0..request.demand.len())
        .filter(|i| gate < request.demand[*i].day && request.demand[*i].day < until)
        .collect();
    let mut hours: Vec<[f64; 24]> = between
        .iter()
        .map(|i| request.demand[*i].hours_m3)
        .collect();
    assert!(!hours.is_empty());
    hours.shuffle(&mut rng);
    for (i, hours) in between.into_iter().zip(hours) {
        // Nor may its size matter.
        request.demand[i].hours_m3 = hours.map(|m3| 3.0 * m3 + 7.0);
    }
    let observed = request.observed.get_mut(&ZoneId::from("north")).unwrap();
    let mut later: Vec<f64> = observed.range(gate.plus(1)..).map(|(_, t)| *t).collect();
    later.shuffle(&mut rng);
    for ((_, temperature), other) in observed.range_mut(gate.plus(1)..).zip(later) {
        *temperature = other - 15.0;
    }
    let issued = request.issued.get_mut(&ZoneId::from("north")).unwrap();
    for (_, vintage) in issued.range_mut(gate.plus(1)..) {
        for temperature in vintage.values_mut() {
            *temperature = -40.0 - *temperature;
        }
    }
    // The order of what is known must not matter either.
    request.demand.shuffle(&mut rng);
    request
}

/// The figures of a gate as bits; MASE is left out, whose scale is of days before the first scored one.
fn bits(report: &BacktestReport, gate: Gate) -> Vec<[u64; 4]> {
    let gate = report.gates.iter().find(|one| one.gate == gate).unwrap();
    let of = |compared: &Compared| {
        [compared.model, compared.seasonal_naive].map(|scores| {
            [scores.wape, scores.bias, scores.pinball, scores.coverage].map(f64::to_bits)
        })
    };
    assert!(gate.total.model.count > 0, "nothing was scored");
    std::iter::once(&gate.total)
        .chain(gate.nodes.iter().map(|(_, compared)| compared))
        .chain(gate.leads.iter().map(|(_, compared)| compared))
        .flat_map(of)
        .collect()
}

#[test]
fn what_became_known_after_the_day_gate_changes_no_figure() {
    // D is the last day. At 08:30 on D−1 metering reaches the end of D−2.
    let mut honest = city_with_vintages(620);
    honest.days = 1;
    let last = GasDay("2024-01-01".parse().unwrap()).plus(619);
    let expected = run(&honest).unwrap();
    assert_eq!((expected.from, expected.to), (last, last));
    let tempted = run(&shuffled_after(&honest, last.plus(-2), last)).unwrap();
    assert_eq!(
        bits(&tempted, Gate::DayAhead),
        bits(&expected, Gate::DayAhead)
    );
    // And what was known is read: the same a day earlier is not the same.
    let known = run(&shuffled_after(&honest, last.plus(-3), last)).unwrap();
    assert_ne!(
        bits(&known, Gate::DayAhead),
        bits(&expected, Gate::DayAhead)
    );
}

#[test]
fn what_became_known_after_the_month_gate_changes_no_figure() {
    // October 2025, asked for on 10 September: metering reaches the end of the 9th.
    let first = GasDay("2024-01-01".parse().unwrap());
    let month: GasMonth = "2025-10".parse().unwrap();
    let end = month.next().first_day();
    let mut honest = city_with_vintages(usize::try_from(end.days_since(first)).unwrap());
    honest.days = month.days().len();
    let gate = GasDay("2025-09-09".parse().unwrap());
    let expected = run(&honest).unwrap();
    let tempted = run(&shuffled_after(&honest, gate, month.first_day())).unwrap();
    let known = run(&shuffled_after(&honest, gate.plus(-1), month.first_day())).unwrap();
    for of in [Gate::MonthAheadDays, Gate::MonthAheadTotal] {
        assert_eq!(bits(&tempted, of), bits(&expected, of), "{of:?}");
        assert_ne!(bits(&known, of), bits(&expected, of), "{of:?}");
    }
}

/// Four zones of one class without weather or holidays, one of them known for `known` days of `days`; and
/// what their customers are connected for.
fn city_with_young(days: i64, known: i64) -> (BacktestRequest, Known) {
    let first = GasDay("2025-01-01".parse().unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut request = city(0);
    let mut connected = Known::default();
    request.observed.clear();
    request.calendar = Calendar::default();
    for (zone, level) in [("a", 0.8), ("b", 1.0), ("c", 1.3), ("young", 1.1)] {
        let node = DemandNode {
            zone: zone.into(),
            class: CustomerClass::Commercial,
        };
        let step = crate::domain::capacity::CapacityStep {
            from_on: first.plus(-900),
            m3h: 100.0,
        };
        let capacity = NodeCapacity::new([step]);
        connected.capacities.insert(node.clone(), capacity);
        for i in 0..days {
            let weekend = if first.plus(i).epoch_day().rem_euclid(7) < 2 {
                0.8
            } else {
                1.0
            };
            let season = (std::f64::consts::TAU * i as f64 / 365.25).cos();
            let noise = 1.0 + 0.06 * (rng.random::<f64>() - 0.5);
            let volume = 1_000.0 * level * weekend * (1.0 + 0.3 * season) * noise;
            if zone != "young" || i >= days - known {
                request.demand.push(DemandDay {
                    node: node.clone(),
                    day: first.plus(i),
                    hours_m3: [volume / 24.0; 24],
                    coverage: 1.0,
                    uncertainty_m3: 0.0,
                });
            }
        }
    }
    (request, connected)
}

#[test]
fn a_young_node_is_judged_by_what_a_run_would_have_said() {
    use crate::forecast::engine;
    let days = 500;
    let (request, connected) = city_with_young(days, 40);
    let first = GasDay("2025-01-01".parse().unwrap());
    let clock = GasDayClock::default();
    for known in [0, 2, 10, 39] {
        let origin = usize::try_from(days - 41 + known).unwrap();
        let count = usize::try_from(days).unwrap();
        let said = said_at(&request, count, (origin, 5), &connected);
        let today = first.plus(as_days(origin) + 1);
        let at = clock.start_of(today);
        let mut run = ForecastRequest::new("run-1".into(), at, clock, Calendar::default());
        run.demand.clone_from(&request.demand);
        run.capacities = Some(connected.capacities.clone());
        run.horizon_days = 5;
        run.hourly_days = 1;
        run.shares = vec![Vec::new(); 5];
        let run = engine::run(&run).unwrap();
        for (node, [model, baseline]) in &said {
            let of_run = run.nodes.iter().find(|n| n.node == *node).unwrap();
            let model = model.as_ref().unwrap();
            assert_eq!(model.model, of_run.model, "{known} days");
            assert_eq!(
                baseline.is_some(),
                node.zone.as_str() != "young" || known >= 8
            );
            for (lead, hours) in of_run.p50_m3.iter().enumerate() {
                let (have, want) = (model.p50[lead], hours.iter().sum::<f64>());
                assert!((have / want - 1.0).abs() < 1e-9, "{known}: {have} {want}");
            }
        }
    }
}

#[test]
fn the_first_weeks_of_a_node_are_scored() {
    let (mut request, connected) = city_with_young(500, 40);
    request.days = 45;
    let report = super::run(&request, |_, _| Ok::<_, ForecastError>(connected.clone())).unwrap();
    let nodes = &report.gates[0].nodes;
    let of = |zone: &str| nodes.iter().find(|(n, _)| n.zone.as_str() == zone).unwrap();
    let young = of("young").1;
    // Each of its days, the first one by design flow; the baseline has none before it knows eight.
    assert_eq!(young.model.count, 40);
    assert_eq!(young.seasonal_naive.count, 31);
    assert!(young.model.wape < 0.1, "{report}");
    assert_eq!(of("a").1.model.count, 45);
    assert_eq!(report.gates[0].total.model.count, 45);
}

/// The industrial zone of [`city`] stands still for the last 20 of 560 days, announced or not.
fn city_that_stops(told: impl Fn(DateTime<Utc>) -> bool) -> BacktestReport {
    let mut request = city(560);
    request.days = 20;
    let first = GasDay("2024-01-01".parse().unwrap());
    let node = DemandNode {
        zone: "north".into(),
        class: CustomerClass::Industrial,
    };
    let stop = first.plus(540);
    for day in &mut request.demand {
        if day.node == node && day.day >= stop {
            day.hours_m3 = day.hours_m3.map(|m3| m3 - 30_000.0 / 24.0);
        }
    }
    let effects: BTreeMap<GasDay, f64> = (540..600).map(|i| (first.plus(i), -30_000.0)).collect();
    let known = Known {
        effects: BTreeMap::from([(node, effects)]),
        ..Known::default()
    };
    super::run(&request, |at, horizon| {
        assert!(horizon >= 2);
        Ok::<_, ForecastError>(if told(at) {
            known.clone()
        } else {
            Known::default()
        })
    })
    .unwrap()
}

#[test]
fn a_stop_that_was_announced_is_not_missed_at_the_gate() {
    let industry = |report: &BacktestReport| {
        let mut classes = report.gates[0].classes.iter();
        let of = classes.find(|(class, _)| *class == CustomerClass::Industrial);
        of.unwrap().1.model.wape
    };
    let told = industry(&city_that_stops(|_| true));
    let never = industry(&city_that_stops(|_| false));
    assert!(told < 0.12 && never > 4.0 * told, "{told} {never}");
    // Told ten days late it counts from then on.
    let first = GasDay("2024-01-01".parse().unwrap());
    let from = GasDayClock::default().start_of(first.plus(550));
    let late = industry(&city_that_stops(|at| at >= from));
    assert!(told < late && late < never, "{told} {late} {never}");
}
