//! The audit of correctors page by page, and what is estimated of a meter that was silent for a month.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::id::MeterId;
use qiliang::domain::meter::{Meter, MeterRole};
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::domain::registry::RegistryParts;
use qiliang::domain::series::LoadCurve;
use qiliang::run::app::App;
use qiliang::run::auditing;
use qiliang::run::estimating::Estimator;
use qiliang::serve::api::correctors::{CorrectorsAsked, ROWS_DEFAULT};
use qiliang::simulate::city::{City, CityConfig};
use qiliang::store::journal::{CurveBatch, CurveWrite, JournalEntry};
use tempfile::TempDir;

use crate::{peak_mb, site};

/// Days of readings that the audit looks at.
const AUDIT_DAYS: i64 = 7;
/// Days of curves: a month, and the weeks before it that estimates look back on.
const CURVE_DAYS: i64 = 35;
const SILENT_DAYS: i64 = 31;
/// One meter in so many has a corrector.
const CORRECTOR_EVERY: usize = 50;

fn now() -> DateTime<Utc> {
    GasDayClock::default().start_of(today()) + TimeDelta::hours(1)
}

fn today() -> GasDay {
    "2026-11-21".parse().unwrap()
}

fn is_corrector(index: usize) -> bool {
    index.is_multiple_of(CORRECTOR_EVERY)
}

/// A city's registry with so many meters, half of them in each of two zones, of all classes.
fn parts(city: &City, meters: usize) -> RegistryParts {
    let mut parts = city.registry_parts().unwrap();
    let gates: Vec<Meter> = parts
        .meters
        .iter()
        .filter(|meter| meter.role == MeterRole::Gate)
        .cloned()
        .collect();
    let others: Vec<Meter> = parts
        .meters
        .iter()
        .filter(|meter| meter.role == MeterRole::Customer)
        .cloned()
        .collect();
    let more = (0..meters - gates.len()).map(|index| Meter {
        id: MeterId::new(format!("S{index:06}")),
        device: format!("S{index:06}").as_str().into(),
        gateway: None,
        ..others[index % others.len()].clone()
    });
    parts.meters = gates.into_iter().chain(more).collect();
    parts
}

fn reading(meter: &MeterId, index: usize, hour: i64) -> JournalEntry {
    let sampled_at = now() - TimeDelta::days(AUDIT_DAYS) + TimeDelta::hours(hour);
    let total = 1_000_000 + hour * 31_000;
    let mut values = vec![(Item::TotalStd, ItemValue::Exact(total * 3))];
    if is_corrector(index) {
        values.extend([
            (Item::TotalWork, ItemValue::Exact(total)),
            (Item::Temperature, ItemValue::Float(15.0)),
            (
                Item::PressureAbs,
                ItemValue::Float(301.325 + (hour % 7) as f64),
            ),
            (
                Item::ConversionFactor,
                ItemValue::Float(3.04 + 0.01 * (hour % 7) as f64),
            ),
        ]);
    }
    JournalEntry::Reading {
        reading: Reading {
            meter: meter.clone(),
            sampled_at,
            received_at: sampled_at,
            transport: Transport::Mqtt,
            values,
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        },
        findings: Vec::new(),
    }
}

/// Readings for the audit: hourly of correctors, daily of all others.
fn fill_readings(app: &App, meters: &[MeterId]) {
    let mut batch = Vec::new();
    for hour in 0..AUDIT_DAYS * 24 {
        for (index, meter) in meters.iter().enumerate() {
            if is_corrector(index) || hour % 24 == 6 {
                batch.push(reading(meter, index, hour));
            }
            if batch.len() == 20_000 {
                app.journal
                    .commit_blocking(std::mem::take(&mut batch))
                    .unwrap();
            }
        }
    }
    app.journal.commit_blocking(batch).unwrap();
}

/// Curves of everybody but the last two meters: one was silent for the month, one never spoke.
fn fill_curves(app: &App, meters: &[MeterId]) {
    for back in (1..=CURVE_DAYS).rev() {
        let day = today().plus(-back);
        let is_spoken =
            |at: usize| at + 2 < meters.len() || at + 2 == meters.len() && back > SILENT_DAYS;
        let speaking = meters.iter().enumerate().filter(|(at, _)| is_spoken(*at));
        let curves: Vec<CurveWrite> = speaking
            .map(|(at, meter)| {
                let mut curve = LoadCurve::missing(meter.clone(), day);
                curve.quality = [Quality::Measured; 24];
                for (hour, volume) in curve.hours.iter_mut().enumerate() {
                    let units = 10_000 + (at % 97) * 100 + hour * 31;
                    *volume = StdVolume::from_units(i64::try_from(units).unwrap());
                }
                CurveWrite {
                    curve,
                    findings: Vec::new(),
                }
            })
            .collect();
        for chunk in curves.chunks(10_000) {
            let batch = CurveBatch {
                curves: chunk.to_vec(),
                cleared: Vec::new(),
                computed_at: now(),
            };
            app.journal.put_curves(batch).unwrap();
        }
    }
}

/// All pages: how many, the slowest, all together, and rows.
fn audit(app: &App) -> (usize, Duration, Duration, usize) {
    let started = Instant::now();
    let mut asked = CorrectorsAsked {
        meter: None,
        days: u32::try_from(AUDIT_DAYS).unwrap(),
        after: None,
        limit: ROWS_DEFAULT,
    };
    let (mut pages, mut slowest, mut rows) = (0, Duration::ZERO, 0);
    loop {
        let page = Instant::now();
        let found = auditing::correctors(app, &app.registry(), &asked).unwrap();
        (pages, slowest) = (pages + 1, slowest.max(page.elapsed()));
        rows += found.rows.len();
        match found.next_after {
            Some(after) => asked.after = Some(MeterId::new(after)),
            None => return (pages, slowest, started.elapsed(), rows),
        }
    }
}

/// A month of silent days of a meter, newest first: days estimated, the slowest, all together.
fn silent(app: &App, meter: &MeterId) -> (usize, Duration, Duration) {
    let (estimator, started) = (Estimator::new(app), Instant::now());
    let (mut days, mut slowest) = (0, Duration::ZERO);
    for back in 1..=SILENT_DAYS {
        let one = Instant::now();
        let found = estimator.of_meter(meter, today().plus(-back)).unwrap();
        days += usize::from(found.missing.iter().all(Option::is_some));
        slowest = slowest.max(one.elapsed());
    }
    (days, slowest, started.elapsed())
}

/// Prints a line for each number of meters.
pub(crate) fn measure(wanted: &[usize]) {
    let city = City::new(CityConfig {
        meters: 200,
        history_days: 2,
        live_days: 1,
        ..CityConfig::default()
    });
    println!(
        "meters  | audit of {AUDIT_DAYS} days: pages, slowest, all, rows, peak MB | silent month, own days: days, slowest, all, peak MB | others' days: days, slowest, all, peak MB"
    );
    for meters in wanted.iter().copied() {
        let dir = TempDir::new().unwrap();
        let site = site(dir.path(), parts(&city, meters));
        let (app, _reload) = App::open(&site, Arc::new(ManualClock::new(now()))).unwrap();
        let registry = app.registry();
        let ids: Vec<MeterId> = registry.meters.keys().cloned().collect();
        fill_readings(&app, &ids);
        fill_curves(&app, &ids);
        let (own, never) = (&ids[ids.len() - 2], &ids[ids.len() - 1]);
        peak_mb();
        let (pages, slowest, all, rows) = audit(&app);
        let of_audit = peak_mb();
        let (own_days, own_slowest, own_all) = silent(&app, own);
        let of_own = peak_mb();
        let (days, day_slowest, days_all) = silent(&app, never);
        println!(
            "{meters:>7} | {pages:>4} {:>6.0} ms {:>6.2} s {rows:>6} {of_audit:>5.0} | {own_days:>3} {:>6.1} ms {:>6.2} s {of_own:>5.0} | {days:>3} {:>6.0} ms {:>6.2} s {:>5.0}",
            slowest.as_secs_f64() * 1e3,
            all.as_secs_f64(),
            own_slowest.as_secs_f64() * 1e3,
            own_all.as_secs_f64(),
            day_slowest.as_secs_f64() * 1e3,
            days_all.as_secs_f64(),
            peak_mb(),
        );
    }
}
