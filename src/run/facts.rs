//! What the stores hold, in the form in which the pure modules ask for it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::{DemandDay, DemandNode, deviation_m3};
use crate::domain::filing::{FiledPlan, PlanWord, ProductionChange};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::forecast::weather::ZoneWeather;
use crate::ledger::demand::is_in_use;
use crate::run::app::App;
use crate::run::daily::Shelf;
use crate::serve::figures::supply::Supply;
use crate::store::book::Book;
use crate::store::error::StoreError;

/// Days of demand a forecast looks back on at most, six years: what the engine reads of a node.
pub const HISTORY_DAYS: i64 = 2_200;

/// Days it looks back on though the holidays of that time are in no calendar.
const UNNAMED_DAYS: i64 = 800;

/// Years of observed weather that climatology reads.
const CLIMATE_YEARS: i32 = 31;

/// A recent day counts as complete when this part of its volume was metered; late frozen frames come
/// in until noon of the day after.
const COVERAGE_MIN: f64 = 0.8;

/// Days that may still be waiting for late frames.
const RECENT_DAYS: i64 = 3;

/// An hour of today is known for a node when meters with this part of its usual volume reported it.
const HOUR_COVERAGE_MIN: f64 = 0.95;

/// First gas day that a forecast of `today` looks back to: of the six years before, those whose holidays are
/// in the calendar. A festival that nobody named would pass for ordinary days.
pub fn history_from(app: &App, today: GasDay) -> GasDay {
    let calendar = app.calendar();
    let mut year = today.month().year;
    while calendar.covers(year - 1) {
        year -= 1;
    }
    let january = GasMonth { year, month: 1 };
    let named = january.first_day().max(today.plus(-HISTORY_DAYS));
    named.min(today.plus(-UNNAMED_DAYS))
}

/// Whether a node's gas day before `today` is complete, or too old to become so.
fn is_complete(day: &DemandDay, today: GasDay) -> bool {
    today.days_since(day.day) > RECENT_DAYS || day.coverage >= COVERAGE_MIN
}

/// Complete gas days of demand before `today`, at most [`HISTORY_DAYS`] of them, each node by itself.
///
/// A node that still waits for frames of yesterday is left out alone, so nothing may be summed over
/// nodes: [`whole_days`] is for that.
///
/// # Errors
/// What the store says.
pub fn demand_before(app: &App, today: GasDay) -> Result<Vec<DemandDay>, StoreError> {
    let mut demand = app.book.demand_days(history_from(app, today), today)?;
    demand.retain(|d| is_complete(d, today));
    Ok(demand)
}

/// Demand of every node on the gas days `[from, today)` on which every node is complete: what may be
/// summed over a class, a zone or the city.
///
/// # Errors
/// What the store says.
pub fn whole_days(app: &App, from: GasDay, today: GasDay) -> Result<Vec<DemandDay>, StoreError> {
    let mut demand = app.book.demand_days(from, today)?;
    let waiting = demand.iter().filter(|d| !is_complete(d, today));
    let waiting: BTreeSet<GasDay> = waiting.map(|d| d.day).collect();
    demand.retain(|d| !waiting.contains(&d.day));
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
        let there = registry
            .meters
            .get(meter)
            .filter(|m| m.is_expected_on(today));
        if let Some(node) = there.and_then(|m| registry.node_of(m)) {
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

/// Temperatures by zone as known at an instant, of all years that climatology reads.
///
/// # Errors
/// What the store says.
pub fn weather_at(
    app: &App,
    registry: &Registry,
    at: DateTime<Utc>,
) -> Result<BTreeMap<ZoneId, ZoneWeather>, StoreError> {
    let clock = app.gas_day_clock();
    let year = clock.day_of(at).month().year;
    // The year under way is read each time, those before it once.
    let from = clock.start_of(GasMonth { year, month: 1 }.first_day());
    registry
        .zones
        .values()
        .map(|zone| {
            let mix = &zone.weather_station;
            let observed = app.book.observed_of(mix, from, at, at)?;
            let vintage = app.book.forecast_of(mix, at)?;
            let (points, issued_at) =
                vintage.map_or((Vec::new(), None), |v| (v.points, Some(v.issued_at)));
            let mut weather = ZoneWeather::from_points(clock, at, &observed, &points, issued_at);
            if let Some(first) = app.book.observed_from(mix)? {
                let first = clock.day_of(first).month().year;
                for year in first.max(year - CLIMATE_YEARS)..year {
                    let of_year = app.past_weather.of_year(app, mix, year, at)?;
                    weather.observed.extend(of_year.iter());
                }
            }
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
/// A day on which one of the customer's meters that are in use on it lacks an hour is left out: missing is
/// not zero.
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
    let customers: BTreeSet<&CustomerId> = customers.into_iter().collect();
    let meters = meters_of(registry, customers.iter().copied());
    app.daily.with(&app.journal, &meters, [from, to], |daily| {
        let of = |customer: &CustomerId| days_of_one(daily, registry, customer, [from, to]);
        let all = customers.iter();
        all.map(|&customer| (customer.clone(), of(customer)))
            .collect()
    })
}

/// Meters of some customers.
fn meters_of<'a>(
    registry: &'a Registry,
    customers: impl Iterator<Item = &'a CustomerId>,
) -> BTreeSet<&'a MeterId> {
    let meters = customers.flat_map(|customer| registry.meters_of(customer));
    meters.map(|meter| &meter.id).collect()
}

fn days_of_one(
    daily: &Shelf,
    registry: &Registry,
    customer: &CustomerId,
    [from, to]: [GasDay; 2],
) -> CustomerDays {
    #[derive(Clone, Default)]
    struct Sum {
        volume: StdVolume,
        /// Meters err each on its own.
        variance: f64,
        /// Meters in use whose day is known.
        meters: usize,
        /// Meters in use whose day is not known.
        missing: usize,
    }
    let connected_on = registry.customers.get(customer).map(|c| c.connected_on);
    let is_in_use = |meter: &Meter, day: GasDay| {
        meter.is_installed_on(day) && connected_on.is_some_and(|from| from <= day.0)
    };
    let mut sums = vec![Sum::default(); usize::try_from(to.days_since(from)).unwrap_or(0)];
    for meter in registry.meters_of(customer) {
        for (day, sum) in (0_i64..).map(|at| from.plus(at)).zip(&mut sums) {
            sum.missing += usize::from(is_in_use(meter, day));
        }
        for (day, of_meter) in daily.of(&meter.id, [from, to]) {
            let Ok(at) = usize::try_from(day.days_since(from)) else {
                continue;
            };
            if let Some(sum) = sums.get_mut(at)
                && of_meter.is_complete()
                && is_in_use(meter, day)
            {
                sum.volume += of_meter.volume;
                sum.variance += deviation_m3(of_meter.uncertainty.to_f64()).powi(2);
                sum.meters += 1;
                sum.missing -= 1;
            }
        }
    }
    let complete = || {
        let days = (0_i64..).zip(&sums).map(|(at, sum)| (from.plus(at), sum));
        days.filter(|(_, sum)| sum.missing == 0 && sum.meters > 0)
    };
    CustomerDays {
        volumes: complete().map(|(day, sum)| (day, sum.volume)).collect(),
        deviations: complete()
            .filter(|(_, sum)| sum.variance > 0.0)
            .map(|(day, sum)| (day, sum.variance.sqrt()))
            .collect(),
    }
}

/// Part of the hours of the gas days `[from, to)` that have a volume, by customer, of meters on days on which
/// they are in use; customers without such a meter are absent.
///
/// # Errors
/// What the store says.
pub fn completeness_of<'a>(
    app: &App,
    registry: &Registry,
    customers: impl IntoIterator<Item = &'a CustomerId>,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<CustomerId, f64>, StoreError> {
    let customers: BTreeSet<&CustomerId> = customers.into_iter().collect();
    let meters = meters_of(registry, customers.iter().copied());
    app.daily.with(&app.journal, &meters, [from, to], |daily| {
        let mut out = BTreeMap::new();
        for customer in customers {
            let (mut known, mut expected) = (0_u32, 0_u32);
            for meter in registry.meters_of(customer) {
                let is_due = |day: GasDay| is_in_use(registry, meter, day);
                for at in 0..to.days_since(from) {
                    expected += 24 * u32::from(is_due(from.plus(at)));
                }
                let sums = daily.of(&meter.id, [from, to]);
                let due = sums.filter(|(day, _)| is_due(*day));
                known += due.map(|(_, sum)| u32::from(sum.hours)).sum::<u32>();
            }
            if expected > 0 {
                out.insert(customer.clone(), f64::from(known) / f64::from(expected));
            }
        }
        out
    })
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

/// Hourly volumes of some customers on one gas day; an hour that a meter in use on it lacks is none.
///
/// # Errors
/// What the store says.
pub fn hours_of<'a>(
    app: &App,
    registry: &Registry,
    customers: impl IntoIterator<Item = &'a CustomerId>,
    day: GasDay,
) -> Result<BTreeMap<CustomerId, [Option<StdVolume>; 24]>, StoreError> {
    let customers: BTreeSet<&CustomerId> = customers.into_iter().collect();
    let meters = meters_of(registry, customers.iter().copied());
    let meters: Vec<MeterId> = meters.into_iter().cloned().collect();
    let mut curves: BTreeMap<MeterId, LoadCurve> = BTreeMap::new();
    let take = |_, curve: LoadCurve| {
        curves.insert(curve.meter.clone(), curve);
    };
    app.journal
        .for_each_curve_of(&meters, day, day.plus(1), take)?;
    let mut out = BTreeMap::new();
    for customer in customers {
        let mut hours: Option<[Option<StdVolume>; 24]> = None;
        let meters = registry.meters_of(customer);
        for meter in meters.filter(|meter| is_in_use(registry, meter, day)) {
            let curve = curves
                .remove(&meter.id)
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
    let counts = |meter: &MeterId, day: GasDay| {
        let meter = registry.meters.get(meter);
        meter.is_some_and(|meter| is_in_use(registry, meter, day))
    };
    let mut out: BTreeMap<CustomerId, StdVolume> = BTreeMap::new();
    for (meter, volume) in app.journal.volumes_between(from, to, counts)? {
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

/// Loss and own use as a part of what is bought (供销差率), over those of the last 60 gas days that are
/// whole on both sides; zero while there is none.
///
/// # Errors
/// What the store says.
pub fn unaccounted_ratio(app: &App, registry: &Registry, today: GasDay) -> Result<f64, StoreError> {
    let from = today.plus(-60);
    let supply = supply(app, registry, from, today)?;
    let mut sold: BTreeMap<GasDay, f64> = BTreeMap::new();
    for day in whole_days(app, from, today)? {
        *sold.entry(day.day).or_default() += day.volume_m3();
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

/// The plan in force for each customer and gas day of `[from, to)` as known at an instant, from files and from
/// the book, by customer and day.
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
    let of_book = book.plan_words(None, from, to, at)?;
    Ok(plans_in_force(plan_words(registry, of_book, from, to, at)))
}

/// The newest word on each plan: what the files say, and what the book does, which stands above a file's word
/// of the same instant.
pub fn plan_words(
    registry: &Registry,
    of_book: Vec<PlanWord>,
    from: GasDay,
    to: GasDay,
    at: DateTime<Utc>,
) -> BTreeMap<(CustomerId, GasDay), PlanWord> {
    let of_files = registry
        .filed_plans
        .iter()
        .filter(|p| p.available_at <= at && from <= p.day && p.day < to)
        .map(PlanWord::from);
    let mut newest: BTreeMap<(CustomerId, GasDay), PlanWord> = BTreeMap::new();
    for word in of_files.chain(of_book) {
        let of = (word.customer.clone(), word.day);
        let is_newer = |kept: &PlanWord| kept.available_at <= word.available_at;
        if newest.get(&of).is_none_or(is_newer) {
            newest.insert(of, word);
        }
    }
    newest
}

/// Plans of which the newest word is a volume.
pub fn plans_in_force(words: BTreeMap<(CustomerId, GasDay), PlanWord>) -> Vec<FiledPlan> {
    let plan = |word: PlanWord| {
        Some(FiledPlan {
            volume: word.volume?,
            customer: word.customer,
            day: word.day,
            available_at: word.available_at,
        })
    };
    words.into_values().filter_map(plan).collect()
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_day_tests;
