use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A folder with one task: two daily series of 500 days, one of 90 days of hours, one of 6 years of
/// months; whatever comes after `scramble_after` (and after the hourly and monthly origin) is changed.
fn folder(scramble_after: Option<&str>) -> tempfile::TempDir {
    let scramble = scramble_after.is_some();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for sub in ["data", "tasks", "weather"] {
        fs::create_dir(path(sub)).unwrap();
    }
    let holidays = "date,country,name\n2024-12-25,FR,Christmas Day\n2025-01-01,FR,New Year's Day\n";
    fs::write(path("data/holidays.csv"), holidays).unwrap();
    let task = |name: &str, series: &str, freq: &str, horizon: usize, origins: &str| {
        let text = format!(
            r#"{{"name":"{name}","file":"{name}.csv","series":[{series}],"freq":"{freq}","season":7,
                "horizon":{horizon},"origins":[{origins}],"modes":["clim"],"country":{{"A":"FR","B":null}}}}"#
        );
        fs::write(path(&format!("tasks/{name}.json")), text).unwrap();
    };
    task(
        "days",
        r#""A","B""#,
        "D",
        10,
        r#""2025-01-20T00:00:00","2025-02-10T00:00:00""#,
    );
    task("hours", r#""A""#, "h", 30, r#""2025-04-20T23:00:00""#);
    task("months", r#""A""#, "MS", 12, r#""2024-06-01T00:00:00""#);

    let first: chrono::NaiveDate = "2023-11-01".parse().unwrap();
    let mut days = String::from("timestamp,series,value,temperature\n");
    let mut ahead = String::from("origin,series,timestamp,temperature\n");
    for i in 0..500_i32 {
        let date = first + TimeDelta::days(i64::from(i));
        let hidden = scramble_after.is_some_and(|after| date > after.parse().unwrap());
        let t = 11.0 - 9.0 * (std::f64::consts::TAU * f64::from(i - 75) / 365.25).cos();
        let wobble = f64::from((i * 7919) % 101) / 50.0 - 1.0;
        let value = 100.0 + 10.0 * (16.0 - t - 2.0 * wobble).max(0.0) + wobble;
        let value = if hidden { 1e6 * wobble } else { value };
        let temperature = if hidden { -99.0 } else { t + 2.0 * wobble };
        write!(
            days,
            "{date},A,{value:.3},{temperature:.2}\n{date},B,{value:.3},\n"
        )
        .unwrap();
        for origin in ["2025-01-20", "2025-02-10"] {
            writeln!(ahead, "{origin},A,{date},{t:.2}").unwrap();
        }
    }
    fs::write(path("data/days.csv"), days).unwrap();
    fs::write(path("weather/days.clim.csv"), ahead).unwrap();

    let mut hours = String::from("timestamp,series,value,temperature\n");
    let start = chrono::NaiveDate::from_ymd_opt(2025, 1, 1)
        .unwrap()
        .and_time(chrono::NaiveTime::MIN);
    for i in 0..24 * 120_i32 {
        let at = start + TimeDelta::hours(i64::from(i));
        let hidden = scramble && at > files::instant("2025-04-20 23:00:00").unwrap();
        let value = if hidden {
            -5.0
        } else {
            f64::from(i % 24) + f64::from((i * 31) % 7)
        };
        writeln!(hours, "{at},A,{value},").unwrap();
    }
    fs::write(path("data/hours.csv"), hours).unwrap();

    let mut months = String::from("timestamp,series,value,temperature\n");
    let mut month: GasMonth = "2018-06".parse().unwrap();
    for i in 0..90_i32 {
        let hidden = scramble && month.first_day().0 > "2024-06-01".parse().unwrap();
        let value = if hidden {
            7.0
        } else {
            3_000.0 + 1_000.0 * (f64::from(i) / 12.0 * std::f64::consts::TAU).sin()
        };
        writeln!(months, "{},A,{value:.2},", month.first_day()).unwrap();
        month = month.next();
    }
    fs::write(path("data/months.csv"), months).unwrap();
    dir
}

fn forecast(dir: &tempfile::TempDir, task: &str, mode: Mode, threads: usize) -> (Summary, String) {
    let out: PathBuf = dir.path().join("out.csv");
    let task = dir.path().join("tasks").join(format!("{task}.json"));
    let summary = run(&task, mode, &out, threads).unwrap();
    (summary, fs::read_to_string(out).unwrap())
}

#[test]
fn what_lies_after_an_origin_is_never_read() {
    let (honest, scrambled) = (folder(None), folder(Some("2025-02-10")));
    for (task, mode) in [
        ("days", Mode::None),
        ("days", Mode::Clim),
        ("hours", Mode::None),
        ("months", Mode::None),
    ] {
        let (summary, expected) = forecast(&honest, task, mode, 1);
        assert!(summary.skipped.is_empty(), "{summary:?}");
        assert_eq!(
            forecast(&scrambled, task, mode, 2).1,
            expected,
            "{task} {mode:?}"
        );
    }
}

#[test]
fn an_earlier_origin_does_not_see_what_a_later_one_may() {
    let (honest, scrambled) = (folder(None), folder(Some("2025-01-20")));
    let of_first = |dir: &tempfile::TempDir, mode: Mode| -> Vec<String> {
        let (_, text) = forecast(dir, "days", mode, 1);
        text.lines()
            .filter(|l| l.starts_with("2025-01-20"))
            .map(str::to_owned)
            .collect()
    };
    for mode in [Mode::None, Mode::Clim] {
        let expected = of_first(&honest, mode);
        assert_eq!(expected.len(), 20);
        assert_eq!(of_first(&scrambled, mode), expected, "{mode:?}");
    }
}

#[test]
fn every_step_of_every_origin_gets_ordered_quantiles() {
    let dir = folder(None);
    for (task, mode, rows) in [
        ("days", Mode::Perfect, 40),
        ("days", Mode::Clim, 40),
        ("hours", Mode::None, 30),
        ("months", Mode::None, 12),
    ] {
        let (summary, text) = forecast(&dir, task, mode, 2);
        assert_eq!(summary.rows, rows, "{task}");
        assert_eq!(text.lines().count(), rows + 1);
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let q: Vec<f64> = fields[3..6].iter().map(|v| v.parse().unwrap()).collect();
            assert!(q[0] <= q[1] && q[1] <= q[2] && q[0] >= 0.0, "{line}");
            assert!(files::instant(fields[2]).unwrap() > files::instant(fields[0]).unwrap());
        }
    }
}

#[test]
fn a_month_ends_on_the_value_of_last_year_where_nothing_moves() {
    let dir = folder(None);
    let (summary, text) = forecast(&dir, "months", Mode::None, 1);
    assert_eq!(summary.models, [("seasonal_smoothing".to_owned(), 1)]);
    let july: f64 = text
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    assert!((july - 3_500.0).abs() < 60.0, "{july}");
}

#[test]
fn files_that_break_the_protocol_are_named() {
    let dir = folder(None);
    let out = dir.path().join("out.csv");
    let missing = run(&dir.path().join("tasks/none.json"), Mode::None, &out, 1).unwrap_err();
    assert_eq!(missing.code(), "forecast.file");
    let task = dir.path().join("tasks/days.json");
    let noisy = run(&task, Mode::Noisy, &out, 1).unwrap_err();
    assert!(noisy.to_string().contains("days.noisy.csv"), "{noisy}");
    fs::write(
        dir.path().join("data/days.csv"),
        "timestamp,series,value,temperature\n2025-01-01,A,x,\n",
    )
    .unwrap();
    let bad = run(&task, Mode::None, &out, 1).unwrap_err();
    assert_eq!(bad.code(), "forecast.task");
    assert!(
        bad.to_string().ends_with("line 2: `x` is not a number"),
        "{bad}"
    );
    assert!(
        "sunny"
            .parse::<Mode>()
            .unwrap_err()
            .contains("perfect, noisy, clim or none")
    );
}
