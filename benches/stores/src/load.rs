//! The readings: a total and three measurements, as they come from a city, hour by hour.

use chrono::{DateTime, TimeDelta, Utc};

/// Rows committed together.
pub const BATCH: usize = 5_000;
/// The day: so many meters, 24 readings each.
pub const DAY_METERS: u32 = 100_000;
/// The year: so many meters, 8,760 readings each.
pub const YEAR_METERS: u32 = 50;
pub const YEAR_HOURS: u32 = 8_760;

/// One reading.
#[derive(Clone, Copy)]
pub struct Row {
    pub meter: u32,
    pub at_ms: i64,
    /// Units of 1e-4 m³.
    pub total: i64,
    pub flow: f64,
    pub temperature: f64,
    pub pressure: f64,
}

/// 2026-11-20 08:00 in Beijing: a gas day's start.
pub fn day_start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_132_800, 0).expect("an instant")
}

/// A gas day's start, a year and some days earlier.
pub fn year_start() -> DateTime<Utc> {
    day_start() - TimeDelta::days(400)
}

fn noise(a: u32, b: u32) -> f64 {
    let mut x = (u64::from(a) << 32 | u64::from(b)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 11) as f64 / (1_u64 << 53) as f64
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// What a meter shows at an hour.
pub fn row(meter: u32, start: DateTime<Utc>, hour: u32) -> Row {
    let usual = 5.0 + 400.0 * noise(meter, u32::MAX);
    let extra = usual * noise(meter, hour);
    Row {
        meter,
        // Meters do not report at the same second.
        at_ms: start.timestamp_millis()
            + i64::from(hour) * 3_600_000
            + i64::from(meter % 900) * 1_000,
        total: ((1e5 * noise(meter, 7) + usual * f64::from(hour) + extra) * 1e4) as i64,
        flow: round(extra + usual / 2.0, 1),
        temperature: round(5.0 + 20.0 * noise(hour, meter), 1),
        pressure: round(300.0 + 5.0 * noise(hour, meter ^ 77), 2),
    }
}

/// All rows of a load in the order in which they arrive.
pub fn rows(meters: u32, start: DateTime<Utc>, hours: u32) -> impl Iterator<Item = Row> {
    (0..hours).flat_map(move |hour| (0..meters).map(move |meter| row(meter, start, hour)))
}

/// The same in batches.
pub fn batches(meters: u32, start: DateTime<Utc>, hours: u32) -> impl Iterator<Item = Vec<Row>> {
    let mut rows = rows(meters, start, hours);
    std::iter::from_fn(move || {
        let batch: Vec<Row> = rows.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// How many rows the two loads have, and their batches: the year first.
pub fn both() -> (u64, impl Iterator<Item = Vec<Row>>) {
    let count = u64::from(YEAR_METERS) * u64::from(YEAR_HOURS) + u64::from(DAY_METERS) * 24;
    let batches =
        batches(YEAR_METERS, year_start(), YEAR_HOURS).chain(batches(DAY_METERS, day_start(), 24));
    (count, batches)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Meters whose year is read.
pub const YEAR_ASKED: [u32; 7] = [3, 11, 17, 23, 29, 37, 43];
