use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::calendar::{Calendar, DayType, GasDay};
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::features::temperature::effective_temperature;
use crate::forecast::weather::{Climatology, ForecastSkill, ahead_of_past_origin};

fn calendar() -> Calendar {
    Calendar::new(
        [
            include_str!("../../../../config/calendar/2024.toml"),
            include_str!("../../../../config/calendar/2025.toml"),
            include_str!("../../../../config/calendar/2026.toml"),
        ]
        .map(|text| toml::from_str(text).unwrap()),
    )
}

fn index(date: &str) -> usize {
    let first = GasDay("2024-01-01".parse().unwrap());
    usize::try_from(GasDay(date.parse().unwrap()).days_since(first)).unwrap()
}

/// Part of a factory's use that is left so many days from 正月初一.
fn left_at(offset: Option<i64>) -> f64 {
    match offset {
        Some(d) if (-7..0).contains(&d) => 1.0 - 0.6 * (1.0 + d as f64 / 7.0),
        Some(d) if (0..=7).contains(&d) => 0.4,
        Some(d) if (8..16).contains(&d) => 0.4 + 0.6 * (d - 7) as f64 / 9.0,
        _ => 1.0,
    }
}

/// A factory from 2024-01-01 to the end of `days`, closed over the festival.
fn factory(days: usize) -> DailySeries {
    let traits = DayTraits::span(
        &calendar(),
        GasDay("2024-01-01".parse().unwrap()),
        days + 64,
    );
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let values = traits[..days]
        .iter()
        .map(|t| {
            let weekend = if t.day_type == DayType::Weekend {
                0.85
            } else {
                1.0
            };
            10_000.0 * weekend * left_at(t.festival) * (0.97 + 0.06 * rng.random::<f64>())
        })
        .collect();
    DailySeries {
        values,
        traits,
        temperatures: Vec::new(),
        deviations: Vec::new(),
        climate: Vec::new(),
    }
}

#[test]
fn the_festival_is_forecast_from_the_two_before() {
    // 2024-02-10 and 2025-01-29 are known, 2026-02-17 lies 17 days ahead of the origin.
    let origin = index("2026-01-31");
    let mut model = DailyModel::new(factory(origin + 1), DailyOptions::default());
    let forecast = model.forecast(origin, 40, WeatherAhead::None, &[]).unwrap();
    assert_eq!(forecast.model, REGRESSION);
    let over = |from: &str, to: &str| {
        let leads = index(from) - origin..=index(to) - origin;
        let count = leads.clone().count() as f64;
        leads.map(|lead| forecast.p50[lead - 1]).sum::<f64>() / count
    };
    // The true effect of the eight days from 正月初一 on is a drop of 6 000 m³/d.
    let drop = 10_000.0 - over("2026-02-17", "2026-02-24");
    assert!((0.8 * 6_000.0..1.2 * 6_000.0).contains(&drop), "{drop}");
    let after = over("2026-03-09", "2026-03-11");
    assert!((9_000.0..11_000.0).contains(&after), "{after}");
}

#[test]
fn values_after_the_origin_do_not_matter() {
    let origin = index("2025-11-20");
    let honest = factory(origin + 40);
    let mut changed = honest.clone();
    for (i, value) in changed.values.iter_mut().enumerate().skip(origin + 1) {
        *value = if i % 3 == 0 { f64::NAN } else { -1e7 };
    }
    let run = |series: DailySeries| {
        DailyModel::new(series, DailyOptions::default()).forecast(
            origin,
            14,
            WeatherAhead::None,
            &[],
        )
    };
    assert_eq!(run(changed), run(honest));
}

#[test]
fn a_rolling_run_gives_what_a_fresh_one_gives() {
    let series = factory(index("2025-12-31"));
    let mut rolling = DailyModel::new(series.clone(), DailyOptions::default());
    for origin in (500..700).step_by(40) {
        let warm = rolling
            .forecast(origin, 7, WeatherAhead::None, &[])
            .unwrap();
        let fresh = DailyModel::new(series.clone(), DailyOptions::default())
            .forecast(origin, 7, WeatherAhead::None, &[])
            .unwrap();
        assert_eq!(warm, fresh, "at {origin}");
    }
}

#[test]
fn the_first_week_of_a_month_is_that_of_a_week() {
    let city = heating_city(1_300, 3);
    let (first, temperatures) = (city.first(), city.temperatures.clone());
    let skill = WeatherAhead::Forecast(ForecastSkill::default());
    let mut model = DailyModel::new(city, DailyOptions::default());
    for origin in [300, 700, 1_250] {
        let typical = Climatology::new(first, &temperatures[..=origin]);
        let given = ahead_of_past_origin(skill, &typical, first, &temperatures, origin, 31);
        for ahead in [WeatherAhead::None, WeatherAhead::Climatology, skill] {
            let week = model.forecast(origin, 7, ahead, &given[..7]).unwrap();
            let month = model.forecast(origin, 31, ahead, &given).unwrap();
            assert_eq!(week.p50[..], month.p50[..7], "{ahead:?} at {origin}");
        }
    }
}

/// A city that heats, without growth, from 2024-01-01 on.
fn heating_city(days: usize, seed: u64) -> DailySeries {
    let first = GasDay("2024-01-01".parse().unwrap());
    let traits = DayTraits::span(&calendar(), first, days + 4);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut noise = |scale: f64| scale * (rng.random::<f64>() + rng.random::<f64>() - 1.0);
    let (mut anomaly, mut mood) = (0.0, 0.0);
    let (mut temperatures, mut values) = (Vec::new(), Vec::new());
    for (i, day) in traits[..days].iter().enumerate() {
        anomaly = 0.75 * anomaly + noise(5.0);
        let season = (std::f64::consts::TAU * (i as f64 - 20.0) / 365.25).cos();
        temperatures.push(14.0 - 12.0 * season + anomaly);
        let felt = effective_temperature(&temperatures);
        mood = 0.8 * mood + noise(0.03);
        let cooking = if day.is_off() { 18_000.0 } else { 21_000.0 };
        let heating = 2_400.0 * (16.0 - felt).max(0.0);
        values.push((cooking + heating) * (1.0 + mood + noise(0.02)));
    }
    DailySeries {
        values,
        traits,
        temperatures,
        deviations: Vec::new(),
        climate: Vec::new(),
    }
}

#[test]
fn a_first_year_is_not_learnt_from_far_ahead() {
    let (mut missed, mut total) = (0.0, 0.0);
    for seed in 0..2 {
        let city = heating_city(500, seed);
        let (first, temperatures) = (city.first(), city.temperatures.clone());
        let truth = city.values.clone();
        let mut model = DailyModel::new(city, DailyOptions::default());
        for origin in (400..440).step_by(10) {
            let skill = WeatherAhead::Forecast(ForecastSkill::default());
            let typical = Climatology::new(first, &temperatures[..=origin]);
            let given = ahead_of_past_origin(skill, &typical, first, &temperatures, origin, 60);
            let forecast = model.forecast(origin, 60, skill, &given).unwrap();
            for lead in 32..=60 {
                missed += (forecast.p50[lead - 1] - truth[origin + lead]).abs();
                total += truth[origin + lead];
            }
        }
    }
    let wape = missed / total;
    assert!(wape < 0.22, "{wape:.3}");
}

/// Days of a city, of which three weeks before `origin` were estimated 40 % too high.
fn three_weeks_estimated(origin: usize, back: usize, seed: u64) -> (Vec<f64>, DailySeries) {
    let mut city = heating_city(origin + 31, seed);
    let truth = city.values.clone();
    city.deviations = vec![0.0; city.values.len()];
    for day in origin - back - 20..=origin - back {
        city.values[day] *= 1.4;
        // Four of five times within 40 %.
        city.deviations[day] = 0.4 / 1.2816 * city.values[day];
    }
    (truth, city)
}

#[test]
fn three_weeks_of_bad_estimates_harm_less_when_their_uncertainty_is_told() {
    let (mut plain, mut weighed, mut measured, mut total) = (0.0, 0.0, 0.0, 0.0);
    for (back, seed) in [(30, 0), (60, 1), (365, 2), (30, 3), (60, 4), (365, 5)] {
        for origin in [520, 600, 700] {
            let (truth, city) = three_weeks_estimated(origin, back, seed);
            let missed = |series: DailySeries| -> f64 {
                let given = series.temperatures[origin + 1..].to_vec();
                let mut model = DailyModel::new(series, DailyOptions::default());
                let forecast = model.forecast(origin, 30, WeatherAhead::Perfect, &given);
                let ahead = forecast.unwrap().p50;
                let pairs = ahead.iter().zip(&truth[origin + 1..]);
                pairs.map(|(said, was)| (said - was).abs()).sum()
            };
            let known = DailySeries {
                values: truth.clone(),
                deviations: Vec::new(),
                ..city.clone()
            };
            let untold = DailySeries {
                deviations: Vec::new(),
                ..city.clone()
            };
            let one = (missed(untold), missed(city), missed(known));
            plain += one.0;
            weighed += one.1;
            measured += one.2;
            total += truth[origin + 1..=origin + 30].iter().sum::<f64>();
        }
    }
    println!(
        "WAPE: estimates as measured {:.4}, weighed {:.4}, all measured {:.4}",
        plain / total,
        weighed / total,
        measured / total
    );
    assert!(weighed < 0.8 * plain, "{weighed:.0} of {plain:.0}");
}

/// Of the days after an origin what was missed in the first week (a part of the whole), and how wide the bands
/// of a month are, m³.
fn week_and_width(
    series: &DailySeries,
    weighing: Weighing,
    truth: &[f64],
    origin: usize,
) -> (f64, f64) {
    let given = series.temperatures[origin + 1..].to_vec();
    let options = DailyOptions {
        weighing,
        ..DailyOptions::default()
    };
    let mut model = DailyModel::new(series.clone(), options);
    let forecast = model.forecast(origin, 30, WeatherAhead::Perfect, &given);
    let forecast = forecast.unwrap();
    let ahead = forecast.p50.iter().zip(&truth[origin + 1..]).take(7);
    let (missed, total) = ahead.fold((0.0, 0.0), |(missed, total), (said, was)| {
        (missed + (said - was).abs(), total + was)
    });
    let width: f64 = (0..30)
        .map(|lead| {
            let mut residuals: Vec<f64> = forecast
                .paths
                .iter()
                .map(|path| path.residuals[lead])
                .collect();
            residuals.sort_by(f64::total_cmp);
            let at = |tenths: usize| residuals[residuals.len() * tenths / 10];
            at(9) - at(1)
        })
        .sum();
    (missed / total, width / 30.0)
}

#[test]
fn three_weeks_of_bad_estimates_leave_bands_and_the_next_week_alone_when_told() {
    // Ending yesterday, and in the past.
    let mut lines = Vec::new();
    for (name, back) in [
        ("yesterday", 0),
        ("a month ago", 30),
        ("half a year ago", 180),
    ] {
        let (mut missed, mut off) = ([0.0; 4], [0.0; 4]);
        let cases = [(600, 0), (700, 1), (800, 2), (900, 3), (640, 4), (760, 5)];
        for (origin, seed) in cases {
            let (truth, told) = three_weeks_estimated(origin, back, seed);
            let untold = DailySeries {
                deviations: Vec::new(),
                ..told.clone()
            };
            let measured = DailySeries {
                values: truth.clone(),
                ..untold.clone()
            };
            let said = [
                (&measured, Weighing::All),
                (&untold, Weighing::All),
                (&told, Weighing::Fits),
                (&told, Weighing::All),
            ]
            .map(|(series, weighing)| week_and_width(series, weighing, &truth, origin));
            for (k, (week, width)) in said.into_iter().enumerate() {
                missed[k] += 100.0 * week / cases.len() as f64;
                off[k] += 100.0 * (width / said[0].1).ln().abs() / cases.len() as f64;
            }
        }
        println!(
            "{name}: week missed by {missed:.2?} %, bands off by {off:.1?} % (measured, not told, told in \
             fits, told in all)"
        );
        lines.push((missed, off));
    }
    for (missed, off) in lines {
        assert!(off[3] < 0.25 * off[1] && off[3] < 8.0, "{off:?}");
        assert!(missed[3] < missed[0] + 0.2 * (missed[1] - missed[0]).max(1.0));
    }
}

#[test]
fn a_festival_that_was_estimated_says_little_of_rare_days() {
    // The festival of 2025, of which three weeks were estimated to be as any other.
    let origin = index("2025-12-31");
    let measured = factory(origin + 1);
    let mut told = measured.clone();
    told.deviations = vec![0.0; told.values.len()];
    for day in index("2025-01-22")..index("2025-02-12") {
        told.values[day] = 10_000.0;
        told.deviations[day] = 5_000.0;
    }
    let untold = DailySeries {
        deviations: Vec::new(),
        climate: Vec::new(),
        ..told.clone()
    };
    let own = |series: &DailySeries| {
        let mut model = DailyModel::new(series.clone(), DailyOptions::chinese());
        model.rare_evidence(origin).own.unwrap()
    };
    let [measured, untold, told] = [&measured, &untold, &told].map(own);
    // Offset 0 of the festival: a drop of 60 %.
    let deepest = |own: &crate::forecast::models::rare_days::OwnEffects| {
        own.effects.iter().copied().fold(0.0, f64::min)
    };
    println!(
        "effect {:.2}, not told {:.2}, told {:.2}; noise {:.4}, {:.4}, {:.4}; days {:.1}, {:.1}, {:.1}",
        deepest(&measured),
        deepest(&untold),
        deepest(&told),
        measured.noise,
        untold.noise,
        told.noise,
        measured.days[6],
        untold.days[6],
        told.days[6],
    );
    assert!((deepest(&told) - deepest(&measured)).abs() < 0.08);
    assert!((deepest(&untold) - deepest(&measured)).abs() > 0.15);
    assert!(told.noise < 2.0 * measured.noise && untold.noise > 5.0 * measured.noise);
    // One festival of two is left to tell.
    assert!(told.days[6] < 0.7 * measured.days[6]);
    let same = (untold.days[6] - measured.days[6]).abs();
    assert!(same < 1e-12, "{same}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]
    #[test]
    fn days_that_count_in_full_are_said_from_as_if_measured_to_the_bit(
        seed in 0..1_000_u64,
        days in 100..900_usize,
        horizon in 1..32_usize,
        apart: bool,
        places in proptest::collection::vec(0..900_usize, 1..40),
    ) {
        let city = heating_city(days + horizon, seed);
        let origin = days - 1;
        let mut told = city.clone();
        told.deviations = vec![0.0; city.values.len()];
        // So well known that they count 1 to the last bit, and go through all that weighs.
        for place in places {
            told.deviations[place % days] = 1e-9;
        }
        let run = |series: &DailySeries| {
            let options = DailyOptions { sets_calendar_apart: apart, ..DailyOptions::default() };
            let ahead = WeatherAhead::Forecast(ForecastSkill::default());
            let mut model = DailyModel::new(series.clone(), options);
            let evidence = model.rare_evidence(origin);
            (evidence, model.forecast(origin, horizon, ahead, &vec![8.0; horizon]))
        };
        proptest::prop_assert_eq!(run(&told), run(&city));
    }
}

#[test]
fn days_without_uncertainty_are_fitted_as_before() {
    let city = heating_city(600, 7);
    let told = DailySeries {
        deviations: vec![0.0; city.values.len()],
        ..city.clone()
    };
    let run = |series: DailySeries| {
        let given = vec![8.0; 14];
        let ahead = WeatherAhead::Forecast(ForecastSkill::default());
        DailyModel::new(series, DailyOptions::default()).forecast(560, 14, ahead, &given)
    };
    assert_eq!(run(told), run(city));
}
