//! Months: what the model meets, what it falls back to, what it does not read.

use super::*;

fn series(count: usize, horizon: usize) -> MonthlySeries {
    let mut month: GasMonth = "2016-01".parse().unwrap();
    let mut months = Vec::new();
    for _ in 0..count + horizon {
        months.push(month);
        month = month.next();
    }
    let temperature = |i: usize| {
        let angle = std::f64::consts::TAU * i as f64 / 12.0;
        12.0 - 11.0 * angle.cos() + 2.0 * ((i * 37 % 17) as f64 / 8.0 - 1.0)
    };
    let mut out = MonthlySeries {
        months,
        temperatures: (0..count).map(temperature).collect(),
        values: Vec::new(),
    };
    out.values = (0..count)
        .map(|i| out.days(i) * (100.0 + 12.0 * (16.0 - out.temperatures[i]).max(0.0)))
        .collect();
    out
}

#[test]
fn weather_explains_months_better_than_last_year_does() {
    let all = series(96, 12);
    let origin = 83;
    let mut known = all.clone();
    known.values.truncate(origin + 1);
    known.temperatures.truncate(origin + 1);
    let given = &all.temperatures[origin + 1..];
    let error = |p50: &[f64]| -> f64 {
        p50.iter()
            .zip(&all.values[origin + 1..])
            .map(|(f, y)| (f - y).abs())
            .sum()
    };
    let model = forecast(&known, origin, 12, WeatherAhead::Perfect, given).unwrap();
    let naive = baseline(&known, origin, 12).unwrap();
    assert_eq!(model.model, NAME);
    assert!(error(&model.p50) < 0.5 * error(&naive.p50));
    assert!(model.paths.iter().all(|p| p.residuals.len() == 12));
}

#[test]
fn less_than_a_year_falls_back_to_what_is_known() {
    let known = series(11, 12);
    let model = forecast(&known, 10, 12, WeatherAhead::None, &[]).unwrap();
    assert_eq!(model.model, BASELINE);
    assert_eq!(model.p50[1].to_bits(), known.values[0].to_bits());
}

#[test]
fn a_year_is_enough_and_a_new_level_is_carried_on() {
    let mut known = series(24, 12);
    known.temperatures.clear();
    for i in 12..24 {
        known.values[i] = 0.6 * known.values[i - 12];
    }
    let model = forecast(&known, 23, 12, WeatherAhead::None, &[]).unwrap();
    assert_eq!(model.model, NAME);
    let carried = model.p50[0] / known.values[12];
    // The profile lies between the old level and the new one, the ratio brings it down.
    assert!((0.8..1.1).contains(&carried), "{carried}");
    let short = forecast(&series(13, 12), 12, 12, WeatherAhead::None, &[]).unwrap();
    assert_eq!(short.model, NAME);
    let last = |p: &ResidualPath| p.residuals[11];
    assert!(short.paths.iter().any(|p| last(p) > 0.0));
    assert!(short.paths.iter().any(|p| last(p) < 0.0));
}

#[test]
fn months_after_the_origin_are_not_read() {
    let all = series(96, 12);
    let origin = 71;
    let mut changed = all.clone();
    changed.values[origin + 1..].reverse();
    changed.temperatures[origin + 1..].fill(40.0);
    for ahead in [
        WeatherAhead::None,
        WeatherAhead::Climatology,
        WeatherAhead::Perfect,
    ] {
        let [a, b] = [&all, &changed].map(|s| forecast(s, origin, 12, ahead, &[5.0; 12]).unwrap());
        assert_eq!(a, b, "{ahead:?}");
    }
}

#[test]
fn a_stable_season_is_met_more_closely_than_by_three_years() {
    // Twelve years of one season, each month off by chance of up to a tenth.
    let mut known = series(144, 12);
    known.temperatures.clear();
    let season = |i: usize| 100.0 - 60.0 * (std::f64::consts::TAU * i as f64 / 12.0).cos();
    for i in 0..144 {
        let chance = 0.1 * ((i * 7919 % 41) as f64 / 20.0 - 1.0);
        known.values[i] = known.days(i) * season(i) * (1.0 + chance);
    }
    let view = MonthView::new(&known, 131).unwrap();
    let (mut mixed, mut carried) = (0.0, 0.0);
    for lead in 1..=12 {
        let truth = season(131 + lead);
        let per_day = view.expected(lead, f64::NAN) / known.days(131 + lead);
        mixed += (per_day - truth).abs();
        carried += (view.profile(131 + lead, 131).unwrap() - truth).abs();
    }
    assert!(mixed < 0.8 * carried, "{mixed} {carried}");
}

#[test]
fn bands_are_as_wide_as_the_series_own_years_differ() {
    let width = |chance: f64| {
        let mut known = series(36, 12);
        known.temperatures.clear();
        for i in 0..36 {
            known.values[i] = known.days(i) * (100.0 + chance * ((i * 7919 % 41) as f64 - 20.0));
        }
        let view = MonthView::new(&known, 35).unwrap();
        view.usual_change(WeatherAhead::None)
    };
    assert!(width(0.1) < 0.04, "{}", width(0.1));
    assert!(width(1.0) > 0.1, "{}", width(1.0));
    assert!(width(0.0) >= *USUAL.start());
}
