//! Bad input gives a forecast with its model named, or an error with numbers; what lies after the
//! origin changes no bit, for every step, horizon and weather mode.

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const MODES: [Mode; 4] = [Mode::Perfect, Mode::Noisy, Mode::Clim, Mode::None];

/// One step: value and temperature, either may be unknown.
type Step = (Option<f64>, Option<f64>);

/// A task on steps of which the first `past` end at the origin.
struct Case<'a> {
    freq: &'a str,
    steps: &'a [Step],
    past: usize,
    horizon: usize,
    /// A step whose row is there twice.
    twice: Option<usize>,
}

impl Case<'_> {
    fn origin(&self) -> NaiveDateTime {
        let text = match self.freq {
            "D" => "2024-11-20",
            "h" => "2024-11-20 23:00:00",
            _ => "2024-11-01",
        };
        files::instant(text).unwrap()
    }

    fn at(&self, step: i64) -> NaiveDateTime {
        let apart = step + 1 - i64::try_from(self.past).unwrap();
        match self.freq {
            "D" => self.origin() + TimeDelta::days(apart),
            "h" => self.origin() + TimeDelta::hours(apart),
            _ => {
                let months = u32::try_from(apart.abs()).unwrap();
                let date = self.origin();
                if apart < 0 {
                    date - chrono::Months::new(months)
                } else {
                    date + chrono::Months::new(months)
                }
            }
        }
    }

    fn folder(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["data", "tasks", "weather"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let mut text = String::from("timestamp,series,value,temperature\n");
        let mut ahead = String::from("origin,series,timestamp,temperature\n");
        let show = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.3}"));
        for (i, (value, temperature)) in self.steps.iter().enumerate() {
            let at = self.at(i64::try_from(i).unwrap());
            let line = format!("{at},S,{},{}\n", show(*value), show(*temperature));
            text.push_str(&line);
            if self.twice == Some(i) {
                text.push_str(&line);
            }
        }
        let origin = self.origin();
        for lead in 0..self.horizon {
            let at = self.at(i64::try_from(self.past + lead).unwrap());
            writeln!(ahead, "{origin},S,{at},{}", 5 + lead % 7).unwrap();
        }
        fs::write(dir.path().join("data/s.csv"), text).unwrap();
        for mode in ["noisy", "clim"] {
            fs::write(dir.path().join(format!("weather/s.{mode}.csv")), &ahead).unwrap();
        }
        let task = format!(
            r#"{{"name":"s","file":"s.csv","series":["S"],"freq":"{}","horizon":{},"origins":["{origin}"]}}"#,
            self.freq, self.horizon
        );
        fs::write(dir.path().join("tasks/s.json"), task).unwrap();
        dir
    }

    fn forecast(&self, mode: Mode) -> Result<(Summary, String), ForecastError> {
        let dir = self.folder();
        let out = dir.path().join("out.csv");
        let summary = run(&dir.path().join("tasks/s.json"), mode, &out, 1)?;
        Ok((summary, fs::read_to_string(out).unwrap()))
    }

    /// Every step has ordered finite quantiles and the model is named, or the reason has numbers.
    fn check(&self, mode: Mode) {
        let (summary, text) = match self.forecast(mode) {
            Ok(done) => done,
            Err(e) => {
                assert!(e.to_string().chars().any(|c| c.is_ascii_digit()), "{e}");
                return;
            }
        };
        for reason in &summary.skipped {
            assert!(reason.contains(" complete "), "{reason}");
        }
        assert_eq!(summary.models.len() + summary.skipped.len(), 1);
        assert_eq!(summary.rows, self.horizon * summary.models.len());
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields[6], summary.models[0].0, "{mode:?} {line}");
            let q: Vec<f64> = fields[3..6].iter().map(|v| v.parse().unwrap()).collect();
            assert!(q.iter().all(|v| v.is_finite()), "{mode:?} {line}");
            assert!(q[0] <= q[1] && q[1] <= q[2], "{mode:?} {line}");
        }
    }
}

fn usual(freq: &str, count: usize) -> Vec<Step> {
    let per_year = match freq {
        "D" => 365.25,
        "h" => 8766.0,
        _ => 12.0,
    };
    (0..count)
        .map(|i| {
            let t = 12.0 - 9.0 * (i as f64 / per_year * std::f64::consts::TAU).cos();
            let wobble = ((i * 7919) % 101) as f64 / 50.0 - 1.0;
            let t = t + 3.0 * wobble;
            (Some(80.0 + 6.0 * (17.0 - t).max(0.0) + wobble), Some(t))
        })
        .collect()
}

/// Everything after the origin in another order and of another size.
fn shuffled(steps: &[Step], past: usize) -> Vec<Step> {
    let mut steps = steps.to_vec();
    steps[past..].reverse();
    for step in &mut steps[past..] {
        step.0 = step.0.map(|v| 1e4 - 50.0 * v);
    }
    steps
}

fn check_leaks(freq: &str, past: usize, horizons: &[usize]) {
    for &horizon in horizons {
        let honest = usual(freq, past + horizon + 20);
        let shuffled = shuffled(&honest, past);
        for mode in MODES {
            let mut shuffled = shuffled.clone();
            if mode == Mode::Perfect {
                // The one thing that may be known: the weather of the horizon.
                let ahead = past..past + horizon;
                for (step, seen) in shuffled[ahead.clone()].iter_mut().zip(&honest[ahead]) {
                    step.1 = seen.1;
                }
            }
            let of = |steps: &[Step]| {
                let case = Case {
                    freq,
                    steps,
                    past,
                    horizon,
                    twice: None,
                };
                let (summary, text) = case.forecast(mode).unwrap();
                assert_eq!(summary.rows, horizon, "{summary:?}");
                text
            };
            assert_eq!(of(&honest), of(&shuffled), "{freq} {mode:?} {horizon}");
        }
    }
}

#[test]
fn days_after_the_origin_change_no_bit() {
    check_leaks("D", 700, &[1, 7, 31, 62]);
}

#[test]
fn hours_after_the_origin_change_no_bit() {
    check_leaks("h", 24 * 420, &[24, 168]);
}

#[test]
fn months_after_the_origin_change_no_bit() {
    check_leaks("MS", 80, &[12, 18]);
    check_leaks("MS", 20, &[12, 18]);
}

fn few(freq: &str, past: usize, horizon: usize) -> Summary {
    let case = Case {
        freq,
        steps: &usual(freq, past),
        past,
        horizon,
        twice: None,
    };
    case.forecast(Mode::None).unwrap().0
}

#[test]
fn too_few_steps_are_counted() {
    let summary = few("D", 5, 7);
    assert!(
        summary.skipped[0].contains("5 complete days"),
        "{summary:?}"
    );
    assert_eq!(few("D", 10, 7).models, [("seasonal_naive".to_owned(), 1)]);
    let summary = few("h", 24 * 6, 168);
    assert!(
        summary.skipped[0].contains("6 complete days"),
        "{summary:?}"
    );
}

#[test]
fn a_step_given_twice_is_counted_and_forecast() {
    let steps = usual("D", 100);
    let mut case = Case {
        freq: "D",
        steps: &steps,
        past: 100,
        horizon: 7,
        twice: None,
    };
    let (_, once) = case.forecast(Mode::None).unwrap();
    case.twice = Some(99);
    let (summary, twice) = case.forecast(Mode::None).unwrap();
    assert_eq!(
        summary.repeated,
        ["`S`: 1 rows repeat a timestamp, first 2024-11-20 00:00:00; means were taken"]
    );
    assert_eq!(once, twice);
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Nothing,
    Constant(f64),
    Spike(usize),
    Negative,
    NoWeatherAtTheEnd(usize),
    Alternating,
    Twice(usize),
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Nothing),
        Just(Damage::Constant(0.0)),
        (-1e9..1e9).prop_map(Damage::Constant),
        (0_usize..900).prop_map(Damage::Spike),
        Just(Damage::Negative),
        (1_usize..400).prop_map(Damage::NoWeatherAtTheEnd),
        Just(Damage::Alternating),
        (0_usize..900).prop_map(Damage::Twice),
    ]
}

fn check_damaged(
    (freq, past, horizon): (&str, usize, usize),
    missing: u64,
    damage: Damage,
    mode: Mode,
    seed: u64,
) {
    let mut steps = usual(freq, past + horizon);
    for (i, step) in steps.iter_mut().enumerate() {
        match damage {
            Damage::Constant(value) => step.0 = Some(value),
            Damage::Spike(at) if i == at % past => step.0 = step.0.map(|v| 1000.0 * v),
            Damage::Negative => step.0 = step.0.map(|v| -v),
            Damage::NoWeatherAtTheEnd(count) if i + count >= past => step.1 = None,
            Damage::Alternating => step.0 = Some(if i % 2 == 0 { 1e-12 } else { 1e12 }),
            _ => {}
        }
        let dice = (i as u64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        if dice % 100 < missing {
            step.0 = None;
        }
    }
    let case = Case {
        freq,
        steps: &steps,
        past,
        horizon,
        twice: match damage {
            Damage::Twice(at) => Some(at % past),
            _ => None,
        },
    };
    case.check(mode);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bad_days_give_a_forecast_or_a_reason(
        past in prop_oneof![Just(10_usize), Just(59), Just(95), 1_usize..900],
        missing in prop_oneof![Just(0_u64), Just(40), Just(95)],
        damage in damages(),
        mode in prop::sample::select(MODES.to_vec()),
        horizon in prop::sample::select(vec![1_usize, 7, 31, 62]),
        seed in 0_u64..1000,
    ) {
        check_damaged(("D", past, horizon), missing, damage, mode, seed);
    }

    #[test]
    fn bad_months_give_a_forecast_or_a_reason(
        past in 1_usize..100,
        missing in prop_oneof![Just(0_u64), Just(40), Just(95)],
        damage in damages(),
        mode in prop::sample::select(MODES.to_vec()),
        horizon in prop::sample::select(vec![1_usize, 12, 18]),
        seed in 0_u64..1000,
    ) {
        check_damaged(("MS", past, horizon), missing, damage, mode, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn bad_hours_give_a_forecast_or_a_reason(
        days in prop_oneof![Just(10_usize), Just(59), 1_usize..150],
        missing in prop_oneof![Just(0_u64), Just(5), Just(40)],
        damage in damages(),
        mode in prop::sample::select(MODES.to_vec()),
        seed in 0_u64..1000,
    ) {
        check_damaged(("h", 24 * days, 168), missing, damage, mode, seed);
    }
}
