//! What the stores hold, in the form in which the pure modules ask for it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandDay, DemandNode, deviation_m3};
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::forecast::weather::ZoneWeather;
use crate::run::app::App;
use crate::serve::figures::supply::Supply;
use crate::store::book::Book;
use crate::store::error::StoreError;
use crate::validate::estimate::day_uncertainty;

/// Days of demand a forecast looks back on.
pub const HISTORY_DAYS: i64 = 800;

/// A recent day counts as complete when this part of its volume was metered; late frozen frames come
/// in until noon of the day after.
const COVERAGE_MIN: f64 = 0.8;

/// Days that may still be waiting for late frames.
const RECENT_DAYS: i64 = 3;

/// An hour of today is known for a node when meters with this part of its usual volume reported it.
const HOUR_COVERAGE_MIN: f64 = 0.95;

/// Complete gas days of demand before `today`, at most [`HISTORY_DAYS`] of them.
///
/// # Errors
/// What the store says.
pub fn demand_before(app: &App, today: GasDay) -> Result<Vec<DemandDay>, StoreError> {
    let mut demand = app.book.demand_days(today.plus(-HISTORY_DAYS), today)?;
    demand.retain(|d| today.days_since(d.day) > RECENT_DAYS || d.coverage >= COVERAGE_MIN);
    Ok(demand)
}

/// Hours of the gas day under way that are metered well enough, by node, m³.
///
/// A node whose meters report once a day has none; its hours so far are forecast like the rest.
///
/// # Errors
/// What the store says.
pub fn today_hours(
    app: &App,
    registry: &Registry,
    today: GasDay,
) -> Result<BTreeMap<DemandNode, [Option<f64>; 24]>, StoreError> {
    let usual: BTreeMap<MeterId, f64> = (1..=RECENT_DAYS)
        .map(|back| app.journal.curves_on(today.plus(-back)))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .filter(LoadCurve::is_complete)
        .fold(BTreeMap::new(), |mut usual, curve| {
            usual
                .entry(curve.meter.clone())
                .or_insert(curve.volume().to_f64());
            usual
        });
    let mut weight_all: BTreeMap<DemandNode, f64> = BTreeMap::new();
    for (meter, volume) in &usual {
        if let Some(node) = registry.meters.get(meter).and_then(|m| registry.node_of(m)) {
            *weight_all.entry(node).or_default() += volume;
        }
    }
    let mut known: BTreeMap<DemandNode, [(f64, StdVolume); 24]> = BTreeMap::new();
    for curve in app.journal.curves_on(today)? {
        let Some(node) = registry
            .meters
            .get(&curve.meter)
            .and_then(|m| registry.node_of(m))
        else {
            continue;
        };
        let weight = usual.get(&curve.meter).copied().unwrap_or(0.0);
        let hours = known.entry(node).or_insert([(0.0, StdVolume::ZERO); 24]);
        for ((hour, quality), sum) in curve.hours.iter().zip(&curve.quality).zip(hours) {
            if quality.has_volume() {
                sum.0 += weight;
                sum.1 += *hour;
            }
        }
    }
    Ok(known
        .into_iter()
        .filter_map(|(node, hours)| {
            let all = weight_all.get(&node).copied().filter(|all| *all > 0.0)?;
            let hours = hours.map(|(weight, volume)| {
                let covered = weight / all;
                (covered >= HOUR_COVERAGE_MIN).then(|| volume.to_f64() / covered)
            });
            hours.iter().any(Option::is_some).then_some((node, hours))
        })
        .collect())
}

/// Temperatures by zone as known at an instant.
///
/// # Errors
/// What the store says.
pub fn weather_at(
    app: &App,
    registry: &Registry,
    at: DateTime<Utc>,
) -> Result<BTreeMap<ZoneId, ZoneWeather>, StoreError> {
    let from = at - TimeDelta::days(HISTORY_DAYS + 10);
    registry
        .zones
        .values()
        .map(|zone| {
            let mix = &zone.weather_station;
            let observed = app.book.observed_of(mix, from, at, at)?;
            let vintage = app.book.forecast_of(mix, at)?;
            let (points, issued_at) =
                vintage.map_or((Vec::new(), None), |v| (v.points, Some(v.issued_at)));
            let weather =
                ZoneWeather::from_points(app.gas_day_clock(), at, &observed, &points, issued_at);
            Ok((zone.id.clone(), weather))
        })
        .collect()
}

/// A forecast older than this at the gate is not what a dispatcher would have used, h.
const ISSUE_AGE_MAX_H: i64 = 36;

/// The weather forecasts as they were known at 08:30 (half an hour into the gas day) after each
/// origin, the last complete gas day, of the days `[from, to)`; by zone, origin and day ahead, °C.
///
/// # Errors
/// What the store says.
pub fn issued_weather(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<IssuedWeather, StoreError> {
    let clock = app.gas_day_clock();
    let mut by_mix: BTreeMap<&str, BTreeMap<GasDay, BTreeMap<GasDay, f64>>> = BTreeMap::new();
    for zone in registry.zones.values() {
        let mix = &zone.weather_station;
        if by_mix.contains_key(mix.as_str()) {
            continue;
        }
        let of_mix = by_mix.entry(mix.as_str()).or_default();
        for offset in 0..to.days_since(from).max(0) {
            let origin = from.plus(offset);
            let gate_at = clock.end_of(origin) + TimeDelta::minutes(30);
            let Some(vintage) = app.book.forecast_of(mix, gate_at)? else {
                continue;
            };
            if gate_at - vintage.issued_at > TimeDelta::hours(ISSUE_AGE_MAX_H) {
                continue;
            }
            let observed = app
                .book
                .observed_of(mix, clock.start_of(origin), gate_at, gate_at)?;
            let weather = ZoneWeather::from_points(
                clock,
                gate_at,
                &observed,
                &vintage.points,
                Some(vintage.issued_at),
            );
            of_mix.insert(origin, weather.forecast);
        }
    }
    Ok(registry
        .zones
        .values()
        .map(|zone| {
            let of_mix = by_mix.get(zone.weather_station.as_str());
            (zone.id.clone(), of_mix.cloned().unwrap_or_default())
        })
        .collect())
}

/// Weather forecasts by zone, origin and day ahead, °C.
pub type IssuedWeather = BTreeMap<ZoneId, BTreeMap<GasDay, BTreeMap<GasDay, f64>>>;

/// Daily mean temperatures, observed and then forecast, averaged over the zones.
pub fn mean_temperatures(weather: &BTreeMap<ZoneId, ZoneWeather>) -> BTreeMap<GasDay, f64> {
    let mut sums: BTreeMap<GasDay, (f64, f64)> = BTreeMap::new();
    for zone in weather.values() {
        let mut days = zone.forecast.clone();
        days.extend(&zone.observed);
        for (day, temperature) in days {
            let sum = sums.entry(day).or_default();
            sum.0 += temperature;
            sum.1 += 1.0;
        }
    }
    sums.into_iter()
        .map(|(day, (sum, n))| (day, sum / n))
        .collect()
}

/// Daily mean temperatures of the zone a customer lies in.
pub fn temperatures_of(weather: &ZoneWeather) -> BTreeMap<GasDay, f64> {
    let mut days = weather.forecast.clone();
    days.extend(&weather.observed);
    days
}

/// Complete gas days of a customer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomerDays {
    /// Volume of each.
    pub volumes: BTreeMap<GasDay, StdVolume>,
    /// Standard deviation of the volume of days that were partly estimated, m³.
    pub deviations: BTreeMap<GasDay, f64>,
}

impl CustomerDays {
    /// Those of the gas days `[from, to)`.
    #[must_use]
    pub fn between(&self, from: GasDay, to: GasDay) -> Self {
        let volumes = self.volumes.range(from..to);
        let deviations = self.deviations.range(from..to);
        Self {
            volumes: volumes.map(|(day, volume)| (*day, *volume)).collect(),
            deviations: deviations.map(|(day, m3)| (*day, *m3)).collect(),
        }
    }
}

/// Complete days of some customers on the gas days `[from, to)`.
///
/// A day on which one of the customer's meters lacks an hour is left out: missing is not zero.
///
/// # Errors
/// What the store says.
pub fn days_of<'a>(
    app: &App,
    registry: &Registry,
    customers: impl IntoIterator<Item = &'a CustomerId>,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<CustomerId, CustomerDays>, StoreError> {
    #[derive(Default)]
    struct Sum {
        volume: StdVolume,
        /// Meters err each on its own.
        variance: f64,
        meters: usize,
    }
    let mut out = BTreeMap::new();
    for customer in customers {
        let mut sums: BTreeMap<GasDay, Sum> = BTreeMap::new();
        let mut meters = 0;
        for meter in registry.meters_of(customer) {
            meters += 1;
            for curve in app.journal.curves_of(&meter.id, from, to)? {
                if curve.is_complete() {
                    let sum = sums.entry(curve.day).or_default();
                    sum.volume += curve.volume();
                    sum.variance += deviation_m3(day_uncertainty(&curve).to_f64()).powi(2);
                    sum.meters += 1;
                }
            }
        }
        let mut days = CustomerDays::default();
        for (day, sum) in sums.into_iter().filter(|(_, sum)| sum.meters == meters) {
            days.volumes.insert(day, sum.volume);
            if sum.variance > 0.0 {
                days.deviations.insert(day, sum.variance.sqrt());
            }
        }
        out.insert(customer.clone(), days);
    }
    Ok(out)
}

/// The volumes of the same.
///
/// # Errors
/// What the store says.
pub fn daily_of<'a>(
    app: &App,
    registry: &Registry,
    customers: impl IntoIterator<Item = &'a CustomerId>,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<CustomerId, BTreeMap<GasDay, StdVolume>>, StoreError> {
    let days = days_of(app, registry, customers, from, to)?;
    Ok(days.into_iter().map(|(id, of)| (id, of.volumes)).collect())
}

/// Hourly volumes of some customers on one gas day; an hour that a meter lacks is none.
///
/// # Errors
/// What the store says.
pub fn hours_of<'a>(
    app: &App,
    registry: &Registry,
    customers: impl IntoIterator<Item = &'a CustomerId>,
    day: GasDay,
) -> Result<BTreeMap<CustomerId, [Option<StdVolume>; 24]>, StoreError> {
    let mut out = BTreeMap::new();
    for customer in customers {
        let mut hours: Option<[Option<StdVolume>; 24]> = None;
        for meter in registry.meters_of(customer) {
            let curve = app
                .journal
                .curves_of(&meter.id, day, day.plus(1))?
                .pop()
                .unwrap_or_else(|| LoadCurve::missing(meter.id.clone(), day));
            let sums = hours.get_or_insert([Some(StdVolume::ZERO); 24]);
            for ((volume, quality), sum) in curve.hours.iter().zip(&curve.quality).zip(sums) {
                *sum = sum.filter(|_| quality.has_volume()).map(|s| s + *volume);
            }
        }
        out.insert(customer.clone(), hours.unwrap_or([None; 24]));
    }
    Ok(out)
}

/// Volume of every customer's meters on the gas days `[from, to)`, complete or not: what is known to
/// have been used.
///
/// # Errors
/// What the store says.
pub fn use_between(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<CustomerId, StdVolume>, StoreError> {
    let mut by_meter: BTreeMap<MeterId, StdVolume> = BTreeMap::new();
    app.journal.for_each_curve(from, to, |curve| {
        *by_meter.entry(curve.meter.clone()).or_default() += curve.volume();
    })?;
    let mut out: BTreeMap<CustomerId, StdVolume> = BTreeMap::new();
    for (meter, volume) in by_meter {
        let customer = registry.meters.get(&meter).and_then(|m| m.customer.clone());
        if let Some(customer) = customer {
            *out.entry(customer).or_default() += volume;
        }
    }
    Ok(out)
}

/// What came in through the city gates on the gas days `[from, to)`.
///
/// # Errors
/// What the store says.
pub fn supply(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<Supply, StoreError> {
    let mut curves = Vec::new();
    for meter in registry
        .meters
        .values()
        .filter(|m| m.role == MeterRole::Gate)
    {
        curves.extend(app.journal.curves_of(&meter.id, from, to)?);
    }
    // A day under way would count as a whole one.
    curves.retain(LoadCurve::is_complete);
    Ok(Supply::of_curves(registry, &curves))
}

/// Loss and own use as a part of what is bought (供销差率), over the last 60 complete days; zero while
/// no day is known on both sides.
///
/// # Errors
/// What the store says.
pub fn unaccounted_ratio(app: &App, registry: &Registry, today: GasDay) -> Result<f64, StoreError> {
    let from = today.plus(-60);
    let supply = supply(app, registry, from, today)?;
    let mut sold: BTreeMap<GasDay, f64> = BTreeMap::new();
    for day in demand_before(app, today)? {
        if day.day >= from {
            *sold.entry(day.day).or_default() += day.volume_m3();
        }
    }
    let (mut bought_m3, mut sold_m3) = (0.0, 0.0);
    for (day, volume) in sold {
        if let Some(bought) = supply.day_m3(day) {
            bought_m3 += bought as f64;
            sold_m3 += volume;
        }
    }
    if bought_m3 <= 0.0 {
        return Ok(0.0);
    }
    Ok((1.0 - sold_m3 / bought_m3).clamp(0.0, 0.3))
}

/// Filed plans of the gas days `[from, to)` known at an instant, from files and from the book.
///
/// # Errors
/// What the store says.
pub fn plans_known_at(
    book: &Book,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
    at: DateTime<Utc>,
) -> Result<Vec<FiledPlan>, StoreError> {
    let mut plans: Vec<FiledPlan> = registry
        .filed_plans
        .iter()
        .filter(|p| p.available_at <= at && from <= p.day && p.day < to)
        .cloned()
        .collect();
    plans.extend(book.filed_plans_known_at(from, to, at)?);
    Ok(plans)
}

/// Production changes known at an instant, from files and from the book; what both say is one.
///
/// # Errors
/// What the store says.
pub fn changes_known_at(
    book: &Book,
    registry: &Registry,
    at: DateTime<Utc>,
) -> Result<Vec<ProductionChange>, StoreError> {
    let of_files: Vec<&ProductionChange> = registry.changes_known_at(at).collect();
    let mut of_book = book.production_changes_known_at(at)?;
    of_book.retain(|change| !of_files.contains(&change));
    Ok(of_files.into_iter().cloned().chain(of_book).collect())
}

/// What the book was asked; none where its file cannot be used, which is told once, with what is done without
/// it.
///
/// # Errors
/// Any other.
pub fn if_readable<T>(
    book: &Book,
    without: &str,
    read: Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match read {
        Err(error) if error.is_of_file() => {
            tell_damage(book, without, &error);
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Tells once what is not done because the book is damaged.
pub fn tell_damage(book: &Book, what: &str, error: &StoreError) {
    let what = format!("{what}: {error}");
    if book.tell_damage(&what) {
        tracing::error!(code = error.code(), "{what}");
    }
}

/// The same for those who judge; none where the book cannot be read, which is told once.
///
/// # Errors
/// What the store says, but that its file is damaged.
pub fn changes_if_readable(
    book: &Book,
    registry: &Registry,
    at: DateTime<Utc>,
) -> Result<Option<Vec<ProductionChange>>, StoreError> {
    let read = changes_known_at(book, registry, at);
    if_readable(
        book,
        "production changes kept in the book are not known",
        read,
    )
}
