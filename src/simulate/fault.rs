//! The table of scripted events, for people.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::calendar::{GasDay, GasDayClock, beijing_civil};
use crate::domain::customer::Customer;
use crate::simulate::config::CityConfig;
use crate::simulate::script::Script;
use crate::simulate::site::Site;
use crate::simulate::weather::SNAP_DAYS;

/// Kind of a scripted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An MQTT gateway is silent, then delivers what it kept, all at once.
    OutageWithBurst,
    /// A Modbus gateway does not answer; what it would have said is lost.
    OutageWithGap,
    /// Frames that come twice.
    Duplicates,
    /// Frames that come after later ones.
    OutOfOrder,
    /// A totaliser that starts over at zero.
    Rollover,
    /// A meter replaced by another (`exchanges.csv`).
    MeterExchange,
    /// A totaliser that stands still although gas flows.
    StuckMeter,
    /// Bytes that no profile can decode.
    GarbageFrames,
    /// Well-formed frames of a device that nobody registered.
    UnknownDevice,
    /// A corrector whose float total and BCD total disagree.
    DualTotalMismatch,
    /// A furnace shut down as declared (`production_changes.csv`).
    DeclaredShutdown,
    /// A furnace shut down without a word.
    UndeclaredShutdown,
    /// A new plant that ramps up month by month.
    Commissioning,
    /// Three days of frost.
    ColdSnap,
}

/// A scripted event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// Meter, gateway or customer it happens to; `*` for the whole city.
    pub target: String,
    /// From when.
    pub from_at: DateTime<Utc>,
    /// Until when, excluded.
    pub to_at: DateTime<Utc>,
    /// What exactly, in English.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = |at| beijing_civil(at).format("%Y-%m-%d %H:%M");
        write!(
            f,
            "{} .. {}  {:<20} {:<14} {}",
            civil(self.from_at),
            civil(self.to_at),
            format!("{:?}", self.kind),
            self.target,
            self.text
        )
    }
}

impl Fault {
    fn new(
        kind: FaultKind,
        target: impl fmt::Display,
        from_at: DateTime<Utc>,
        to_at: DateTime<Utc>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            target: target.to_string(),
            from_at,
            to_at,
            text: text.into(),
        }
    }
}

/// The script as a table, in time order.
pub(crate) fn table(
    script: &Script,
    config: &CityConfig,
    sites: &[Site],
    customers: &[Customer],
) -> Vec<Fault> {
    let mut table = meter_faults(script, sites);
    table.extend(load_events(script, customers));
    table.extend(city_events(script, config));
    table.sort_by(|a, b| (a.from_at, a.kind, &a.target).cmp(&(b.from_at, b.kind, &b.target)));
    table
}

fn meter_faults(script: &Script, sites: &[Site]) -> Vec<Fault> {
    let meter = |site: usize| sites[site].meter.id.to_string();
    let mut table = Vec::new();
    for outage in &script.outages {
        let (kind, text) = if outage.is_modbus {
            (
                FaultKind::OutageWithGap,
                "the gateway does not answer; polls are lost",
            )
        } else {
            (
                FaultKind::OutageWithBurst,
                "frames are kept and delivered at once at the end",
            )
        };
        table.push(Fault::new(
            kind,
            &outage.channel,
            outage.from_at,
            outage.to_at,
            text,
        ));
    }
    for (site, at) in &script.exchanges {
        let text = "the new meter starts near zero";
        table.push(Fault::new(
            FaultKind::MeterExchange,
            meter(*site),
            *at,
            *at,
            text,
        ));
    }
    if let Some((site, from_at, to_at)) = script.stuck {
        let text = "the total stands still; what flows is never counted";
        let kind = FaultKind::StuckMeter;
        table.push(Fault::new(kind, meter(site), from_at, to_at, text));
    }
    if let Some((site, at)) = script.rollover {
        let text = "the total is full and starts over at 0";
        table.push(Fault::new(FaultKind::Rollover, meter(site), at, at, text));
    }
    for (site, from_at, to_at) in &script.mismatches {
        let text = "the f32 total reads 60,000 m³ above the BCD total";
        let kind = FaultKind::DualTotalMismatch;
        table.push(Fault::new(kind, meter(*site), *from_at, *to_at, text));
    }
    table
}

fn load_events(script: &Script, customers: &[Customer]) -> Vec<Fault> {
    let clock = GasDayClock::default();
    let mut table: Vec<Fault> = script
        .load
        .iter()
        .map(|event| {
            let kind = if event.declared_at.is_some() {
                FaultKind::DeclaredShutdown
            } else {
                FaultKind::UndeclaredShutdown
            };
            Fault::new(
                kind,
                &customers[event.customer].id,
                clock.start_of(GasDay(event.from_on)),
                clock.end_of(GasDay(event.to_on)),
                format!("{:.0} % of the normal use is left", event.factor * 100.0),
            )
        })
        .collect();
    let plant = customers
        .iter()
        .find(|c| c.connected_on == script.commissioned_on);
    if let Some(plant) = plant {
        let from = GasDay(script.commissioned_on);
        table.push(Fault::new(
            FaultKind::Commissioning,
            &plant.id,
            clock.start_of(from),
            clock.start_of(from.plus(120)),
            "30, 50, 70, 85, 100 % of the full use, month by month",
        ));
    }
    table
}

fn city_events(script: &Script, config: &CityConfig) -> Vec<Fault> {
    let clock = GasDayClock::default();
    let end_at = clock.start_of(config.end_on());
    let start_at = clock.start_of(config.start_on());
    let mut table = Vec::new();
    for snap in &script.snaps {
        let from = GasDay(snap.from_on);
        let (from_at, to_at) = (clock.start_of(from), clock.start_of(from.plus(SNAP_DAYS)));
        if start_at <= from_at && from_at < end_at {
            let text = format!("down to {:.0} °C", snap.low_c);
            table.push(Fault::new(FaultKind::ColdSnap, "*", from_at, to_at, text));
        }
    }
    for (kind, text) in [
        (
            FaultKind::Duplicates,
            "one frame in 200 comes twice, 1 to 20 minutes later",
        ),
        (
            FaultKind::OutOfOrder,
            "one frame in 200 comes 20 to 90 minutes late",
        ),
        (
            FaultKind::GarbageFrames,
            "frames that cannot be decoded: one a day in history, one in three hours live",
        ),
        (
            FaultKind::UnknownDevice,
            "a device nobody registered reports: daily in history, every six hours live",
        ),
    ] {
        table.push(Fault::new(kind, "*", start_at, end_at, text));
    }
    table
}
