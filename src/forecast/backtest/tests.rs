use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::calendar::DayType;

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
    let first = GasDay("2024-01-01".parse().unwrap());
    let mut one = node_models(&short, first, 500);
    let mut other = node_models(&long, first, 520);
    assert_eq!(
        forecast_all(&mut one, 480, 2, &short, &mut BTreeMap::new()),
        forecast_all(&mut other, 480, 2, &long, &mut BTreeMap::new())
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
