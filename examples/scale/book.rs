//! A start on a large book: five years of demand, weather and documents, and the runs that are kept.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use chrono::TimeDelta;
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::domain::demand::DemandDay;
use qiliang::domain::id::RunId;
use qiliang::run::app::App;
use qiliang::run::forecasting;
use qiliang::store::book::{Book, DocumentKind, RunBeside};
use tempfile::TempDir;

use crate::city::{fill, now, parts, today};
use crate::{peak_mb, site, timed};

const CUSTOMERS: usize = 400;
const LARGE: usize = 200;
const YEARS: i64 = 5;
/// A fortnight of hourly runs is kept.
const RUNS: i64 = 14 * 24;

/// Prints a line for a start from the disk, and one from the system's cache.
pub(crate) fn measure() {
    let dir = TempDir::new().unwrap();
    let site = site(dir.path(), parts(CUSTOMERS, LARGE));
    let clock = Arc::new(ManualClock::new(now()));
    let (app, reload) = App::open(&site, Arc::clone(&clock) as _).unwrap();
    fill(&app);
    fill_years(&app);
    fill_runs(&app);
    let file = app.book.path().to_owned();
    drop((app, reload));
    let megabytes = fs::metadata(&file).unwrap().len() as f64 / 1e6;
    println!("a book of {megabytes:.0} MB | s: open | latest run | all of it read | peak MB");
    for from in ["disk", "cache"] {
        if from == "disk" {
            let path = format!("of={}", file.display());
            let forget = [
                "oflag=nocache",
                "conv=notrunc,fdatasync",
                "count=0",
                "status=none",
            ];
            let done = Command::new("dd").arg(path).args(forget).status().unwrap();
            assert!(done.success());
        }
        peak_mb();
        let (book, open) = timed(|| Book::open(&file).unwrap());
        let (run, latest) = timed(|| book.latest_forecast_run().unwrap());
        assert!(run.is_some());
        let (damage, look) = timed(|| book.look_what_is_served());
        assert!(damage.is_empty());
        println!(
            "{from:>20} | {:.3} | {:.3} | {:.2} | {:.0}",
            open.as_secs_f64(),
            latest.as_secs_f64(),
            look.as_secs_f64(),
            peak_mb(),
        );
    }
}

/// Demand of the years before, and six versions of each day's nomination.
fn fill_years(app: &App) {
    let known = app.book.demand_days(today().plus(-365), today()).unwrap();
    for year in 1..YEARS {
        let moved = |day: &DemandDay| DemandDay {
            day: GasDay(day.day.0 - TimeDelta::days(365 * year)),
            ..day.clone()
        };
        app.book
            .restate_demand_days(Vec::new(), known.iter().map(moved).collect(), now())
            .unwrap();
    }
    let body: Vec<f64> = (0..400).map(|i| f64::from(i) * 1.234_567).collect();
    for back in 0..YEARS * 365 {
        for version in 0..6 {
            let at = now() - TimeDelta::days(back) + TimeDelta::hours(version);
            let body = serde_json::json!({ "lines": body, "version": version });
            let key = today().plus(-back).to_string();
            app.book
                .put_document(DocumentKind::Nomination, &key, body, at, "bench", "")
                .unwrap();
        }
    }
}

fn fill_runs(app: &App) {
    let made = forecasting::publish_whole(app).unwrap();
    for back in 1..RUNS {
        let mut forecast = made.forecast.clone();
        forecast.run_id = RunId::new(format!("B{back}"));
        forecast.origin_at = made.forecast.origin_at - TimeDelta::hours(back);
        let at = forecast.origin_at;
        app.book
            .put_forecast_run(
                &forecast,
                RunBeside {
                    breakdown: Some(&made.breakdown),
                    months: made.months.as_ref(),
                    parts: made.parts.clone(),
                    learning: Some(&made.learning),
                },
                at,
            )
            .unwrap();
    }
}
