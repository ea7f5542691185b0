//! `qiliang history`: what is known of a meter, from the journal, and what that no longer holds from the
//! second store.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::influx::block_on;
use super::{Context, Failure};
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::ItemValue;
use crate::run::forwarding;
use crate::store::history::{History, HistoryError, HistoryPoint};

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Meter (表号).
    meter: String,
    /// First gas day, `YYYY-MM-DD`.
    #[arg(long)]
    from: GasDay,
    /// Last gas day, included; the first by default.
    #[arg(long)]
    to: Option<GasDay>,
    /// Readings instead of load curves.
    #[arg(long)]
    readings: bool,
}

/// A line of output: JSON, with the store it is from.
#[derive(Debug, Serialize)]
struct Line {
    store: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<GasDay>,
    #[serde(flatten)]
    values: BTreeMap<String, serde_json::Value>,
}

/// Prints one JSON object a line; what only the second store has is named so.
pub(super) fn run(context: &Context, arguments: &HistoryArguments) -> Result<(), Failure> {
    let app = context.read()?;
    let clock = app.gas_day_clock();
    let meter = MeterId::new(arguments.meter.clone());
    let to = arguments.to.unwrap_or(arguments.from);
    let days = || (0..=to.days_since(arguments.from)).map(|index| arguments.from.plus(index));
    let second = forwarding::influx(&app.settings.influx, clock)?;
    let mut failure = None;
    for day in days() {
        let mut lines = block_on(lines_of(
            &app.journal,
            "journal",
            &meter,
            day,
            arguments.readings,
            clock.start_of(day),
            clock.end_of(day),
        ))??;
        if let (true, Some(influx), None) = (lines.is_empty(), &second, &failure) {
            match block_on(lines_of(
                influx,
                "influx",
                &meter,
                day,
                arguments.readings,
                clock.start_of(day),
                clock.end_of(day),
            ))? {
                Ok(older) => lines = older,
                Err(error) => failure = Some(error),
            }
        }
        if arguments.readings {
            let (from, to) = (clock.start_of(day), clock.end_of(day));
            for reading in app.journal.set_aside_between(&meter, from, to)? {
                let values = reading.values.iter().copied();
                let point = HistoryPoint {
                    at: reading.sampled_at,
                    values: values.collect(),
                    frozen: Vec::new(),
                    alarms: reading.alarms,
                };
                lines.push(of_point("aside", &point));
            }
        }
        for line in lines {
            println!("{}", serde_json::to_string(&line)?);
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

async fn lines_of(
    store: &(impl History + Sync),
    name: &'static str,
    meter: &MeterId,
    day: GasDay,
    wants_readings: bool,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Line>, HistoryError> {
    if wants_readings {
        let points = store.points_between(meter, from, to).await?;
        return Ok(points.iter().map(|point| of_point(name, point)).collect());
    }
    let curves = store.curves_between(meter, day, day.plus(1)).await?;
    Ok(curves
        .iter()
        .map(|curve| {
            let hours: Vec<Option<String>> = curve
                .hours
                .iter()
                .zip(&curve.quality)
                .map(|(volume, quality)| quality.has_volume().then(|| volume.to_string()))
                .collect();
            Line {
                store: name,
                at: text(from),
                day: Some(curve.day),
                values: BTreeMap::from([
                    ("hours_m3".to_owned(), serde_json::json!(hours)),
                    ("quality".to_owned(), serde_json::json!(curve.quality)),
                ]),
            }
        })
        .collect())
}

fn of_point(name: &'static str, point: &HistoryPoint) -> Line {
    let mut values = BTreeMap::new();
    for (item, value) in &point.values {
        let value = match value {
            ItemValue::Exact(units) => serde_json::json!(StdVolume::from_units(*units)),
            ItemValue::Float(value) => serde_json::json!(value),
        };
        values.insert(item.key().to_owned(), value);
    }
    for (item, units) in &point.frozen {
        let value = serde_json::json!(StdVolume::from_units(*units));
        values.insert(format!("frozen_{}", item.key()), value);
    }
    let alarms: Vec<_> = point.alarms.iter().collect();
    if !alarms.is_empty() {
        values.insert("alarms".to_owned(), serde_json::json!(alarms));
    }
    Line {
        store: name,
        at: text(point.at),
        day: None,
        values,
    }
}

fn text(at: DateTime<Utc>) -> String {
    beijing_civil(at).to_rfc3339()
}
