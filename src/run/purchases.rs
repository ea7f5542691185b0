//! What was bought and sold on past days, and what will be: gate curves less what was carried for others,
//! then what a forecast says must be bought.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::contract::SupplyContract;
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::demand::{DemandDay, DemandForecast};
use crate::domain::id::{ContractId, MeterId, SourceId, ZoneId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::plan::carried::Carried;
use crate::plan::declaration::{MeasuredPart, MonthHistory, YearBought};
use crate::plan::nomination::MonthTake;
use crate::plan::supply::Supply as PlannedSupply;
use crate::plan::terms::contract_year_from;
use crate::run::app::App;
use crate::run::facts;
use crate::serve::figures::bought::{Bought, BoughtFacts};
use crate::serve::figures::cells::split_by_source;
use crate::serve::figures::nominated::NominatedDay;
use crate::serve::figures::supply::Supply;
use crate::serve::figures::today::{FILL_DAYS_BACK, carried_hours};
use crate::store::book::DocumentKind;
use crate::store::error::StoreError;

/// Gas days that the year before a declaration has.
const YEAR_DAYS: i64 = 365;

/// What our own contracts delivered on past gas days, whole m³.
#[derive(Debug, PartialEq)]
pub struct Purchases {
    gates: Supply,
    carried: CarriedDays,
    nominated: BTreeMap<GasDay, NominatedDay>,
}

/// Gas carried for others, m³.
#[derive(Debug, Default, PartialEq)]
struct CarriedDays {
    by_source: BTreeMap<(GasDay, SourceId), i64>,
    by_class: BTreeMap<(GasDay, CustomerClass), f64>,
}

impl Purchases {
    /// Those of the gas days `[from, to)`.
    ///
    /// # Errors
    /// What the stores say.
    pub fn read(
        app: &App,
        registry: &Registry,
        from: GasDay,
        to: GasDay,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            gates: facts::supply(app, registry, from, to)?,
            carried: carried_days(app, registry, from, to)?,
            nominated: nominated_days(app, registry, from, to)?,
        })
    }

    /// Delivered from a source under our own contract; none where the gates did not report.
    ///
    /// What the gates measured less what was carried for others, split over sources as the day was nominated:
    /// a nomination departs from the fixed shares on purpose. A day that nobody nominated is split by shares.
    pub fn day_m3(&self, source: &SourceId, day: GasDay) -> Option<i64> {
        let nominated = self.nominated.get(&day);
        if let Some(of_source) = nominated.and_then(|n| n.split_day(self.own_m3(day)?)) {
            return Some(of_source.get(source).copied().unwrap_or(0));
        }
        let through = self.gates.source_day_m3(source, day)?;
        let carried = self.carried.by_source.get(&(day, source.clone()));
        Some((through - carried.copied().unwrap_or(0)).max(0))
    }

    /// Delivered on a day over all sources; none where the gates did not report.
    pub fn own_m3(&self, day: GasDay) -> Option<i64> {
        let sources_of = |day: GasDay| (day, SourceId::from(""));
        let of_day = sources_of(day)..sources_of(day.plus(1));
        let of_others = self.carried.by_source.range(of_day);
        let carried: i64 = of_others.map(|(_, m3)| m3).sum();
        Some((self.gates.day_m3(day)? - carried).max(0))
    }

    /// Sources that are known, and that zones without shares stand for.
    fn sources(&self, registry: &Registry) -> BTreeSet<SourceId> {
        let known = registry.sources.keys().cloned();
        known.chain(self.gates.sources()).collect()
    }

    /// Whether the gates reported a day.
    fn is_known(&self, day: GasDay) -> bool {
        self.gates.day_m3(day).is_some()
    }

    fn carried_m3(&self, class: CustomerClass, day: GasDay) -> f64 {
        let carried = self.carried.by_class.get(&(day, class));
        carried.copied().unwrap_or(0.0)
    }
}

/// What the gas days `[from, to)` were nominated with, of those that were.
fn nominated_days(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<GasDay, NominatedDay>, StoreError> {
    let mut days = BTreeMap::new();
    for day in span(from, to.plus(-1)) {
        let key = day.to_string();
        let document = app.book.document_in_force(DocumentKind::Nomination, &key)?;
        let read = document.and_then(|one| NominatedDay::of_document(registry, &one.body));
        days.extend(read.map(|nominated| (day, nominated)));
    }
    Ok(days)
}

/// Of class 代输 all of its demand; of other classes the customers one by one. A day that one of these
/// lacks counts with the mean of the days it has in the month, else of all it has.
fn carried_days(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<CarriedDays, StoreError> {
    let of_others: Vec<&Customer> = registry
        .customers
        .values()
        .filter(|customer| !customer.is_bought_for())
        .collect();
    let mut days = CarriedDays::default();
    if of_others
        .iter()
        .any(|customer| customer.class == CustomerClass::Wheeling)
    {
        let demand = app.book.demand_days(from, to)?;
        let of_class = |d: &&DemandDay| d.node.class == CustomerClass::Wheeling;
        for day in demand.iter().filter(of_class) {
            let volume = StdVolume::from_f64(day.volume_m3());
            days.add(registry, &day.node.zone, day.node.class, day.day, volume);
        }
    }
    let one_by_one: Vec<&Customer> = of_others
        .into_iter()
        .filter(|customer| customer.class != CustomerClass::Wheeling)
        .collect();
    let ids = one_by_one.iter().map(|customer| &customer.id);
    let known = facts::daily_of(app, registry, ids, from, to)?;
    for customer in one_by_one {
        let Some(volumes) = known.get(&customer.id).filter(|of| !of.is_empty()) else {
            continue;
        };
        let all = mean(volumes.values());
        for offset in 0..to.days_since(from).max(0) {
            let day = from.plus(offset);
            if day.0 < customer.connected_on {
                continue;
            }
            let volume = volumes.get(&day).copied().unwrap_or_else(|| {
                let (first, next) = (day.month().first_day(), day.month().next().first_day());
                let mut of_month = volumes
                    .range(first..next)
                    .map(|(_, volume)| volume)
                    .peekable();
                if of_month.peek().is_some() {
                    mean(of_month)
                } else {
                    all
                }
            });
            days.add(registry, &customer.zone, customer.class, day, volume);
        }
    }
    Ok(days)
}

fn mean<'a>(volumes: impl Iterator<Item = &'a StdVolume>) -> StdVolume {
    let (mut sum, mut count) = (0.0, 0.0);
    for volume in volumes {
        sum += volume.to_f64();
        count += 1.0;
    }
    StdVolume::from_f64(sum / f64::max(count, 1.0))
}

impl CarriedDays {
    fn add(
        &mut self,
        registry: &Registry,
        zone: &ZoneId,
        class: CustomerClass,
        day: GasDay,
        volume: StdVolume,
    ) {
        for (source, m3) in split_by_source(registry, day, zone, volume.round_m3()) {
            *self.by_source.entry((day, source)).or_default() += m3;
        }
        *self.by_class.entry((day, class)).or_default() += volume.to_f64();
    }
}

/// Volumes by gas day: bought and sold before today, what must be bought from today on.
struct Days<'a> {
    past: &'a Purchases,
    ahead: BTreeMap<GasDay, Ahead>,
    today: GasDay,
}

/// What must be bought on a day, m³.
#[derive(Default)]
struct Ahead {
    by_source: BTreeMap<SourceId, i64>,
    by_class: BTreeMap<CustomerClass, i64>,
}

impl Days<'_> {
    fn is_known(&self, day: GasDay) -> bool {
        if day < self.today {
            self.past.is_known(day)
        } else {
            self.ahead.contains_key(&day)
        }
    }

    /// Bought from a source over gas days `from` to `to` included, m³; none unless every day is known or
    /// forecast.
    fn bought(&self, source: &SourceId, from: GasDay, to: GasDay) -> Option<i64> {
        span(from, to)
            .map(|day| {
                if day < self.today {
                    return self.past.day_m3(source, day);
                }
                let of_day = self.ahead.get(&day)?;
                Some(of_day.by_source.get(source).copied().unwrap_or(0))
            })
            .sum()
    }
}

fn span(from: GasDay, to: GasDay) -> impl Iterator<Item = GasDay> {
    (0..=to.days_since(from)).map(move |i| from.plus(i))
}

fn ahead(
    registry: &Registry,
    forecast: &DemandForecast,
    breakdown: Option<&Breakdown>,
    unaccounted_ratio: f64,
    today: GasDay,
) -> anyhow::Result<BTreeMap<GasDay, Ahead>> {
    let days = forecast.days.iter().copied().filter(|day| *day >= today);
    let carried = Carried::of(registry, breakdown);
    let supply = PlannedSupply::over(forecast, days.collect(), unaccounted_ratio, &carried)?;
    let mut out: BTreeMap<GasDay, Ahead> = BTreeMap::new();
    for day in &supply.days {
        out.insert(*day, Ahead::default());
    }
    for cell in &supply.cells {
        let day = supply.days.get(cell.day).and_then(|day| out.get_mut(day));
        if let Some(day) = day {
            let m3 = cell.day_m3();
            *day.by_source.entry(cell.source.clone()).or_default() += m3;
            *day.by_class.entry(cell.class).or_default() += m3;
        }
    }
    Ok(out)
}

/// What a declaration tells of earlier months: measured before today, what must be bought from today on,
/// loss included in both.
///
/// # Errors
/// What the stores say, or a ratio that is no loss.
pub fn month_history(
    app: &App,
    registry: &Registry,
    month: GasMonth,
    forecast: &DemandForecast,
    breakdown: Option<&Breakdown>,
    unaccounted_ratio: f64,
) -> anyhow::Result<MonthHistory> {
    let today = app.today();
    let years = registry.contracts.iter();
    let years = years.map(|contract| contract_year_from(contract, month));
    let first = years.min().unwrap_or(month.first_day());
    let year_from = today.plus(-YEAR_DAYS);
    let first = first.min(month.last_year().first_day()).min(year_from);
    let past = Purchases::read(app, registry, first, today)?;
    let days = Days {
        past: &past,
        ahead: ahead(registry, forecast, breakdown, unaccounted_ratio, today)?,
        today,
    };
    let mut history = MonthHistory {
        last_year_by_source: by_source(&days, registry, month.last_year()),
        last_month_by_source: by_source(&days, registry, month.previous()),
        year: year_bought(&past, year_from, today),
        last_month_measured: measured(&days, registry, month.previous()),
        last_year_by_class: by_class(app, registry, month.last_year(), &days)?,
        last_month_by_class: by_class(app, registry, month.previous(), &days)?,
        ..MonthHistory::default()
    };
    for source in registry.sources.keys() {
        let (measured, expected) = in_parts(&days, source, month.previous());
        if let Some(m3) = measured {
            let measured = &mut history.last_month_measured_by_source;
            measured.insert(source.clone(), m3);
        }
        let of = &mut history.last_month_expected_by_source;
        of.insert(source.clone(), expected);
    }
    for contract in &registry.contracts {
        match taken(&days, contract, month) {
            Ok(m3) => history.taken_by_contract.insert(contract.id.clone(), m3),
            Err(unknown) => history.unknown_days.insert(contract.id.clone(), unknown),
        };
    }
    Ok(history)
}

/// A month's measured days and those that are not over, m³; no measure where a day is unknown.
fn in_parts(days: &Days<'_>, source: &SourceId, month: GasMonth) -> (Option<i64>, i64) {
    let last = month.next().first_day().plus(-1);
    let (past, ahead): (Vec<GasDay>, Vec<GasDay>) =
        span(month.first_day(), last).partition(|day| *day < days.today);
    let bought = |day: GasDay| days.bought(source, day, day);
    let measured = past.into_iter().map(bought).sum();
    (measured, ahead.into_iter().filter_map(bought).sum())
}

/// All that was bought on the gas days `[from, today)`.
fn year_bought(past: &Purchases, from: GasDay, today: GasDay) -> YearBought {
    let days = (0..today.days_since(from)).map(|at| from.plus(at));
    let known: Vec<(GasDay, i64)> = days
        .filter_map(|day| Some((day, past.own_m3(day)?)))
        .collect();
    let peak = known.iter().max_by_key(|(_, m3)| *m3);
    let is_whole = i64::try_from(known.len()).is_ok_and(|count| count == today.days_since(from));
    YearBought {
        bought_m3: is_whole.then(|| known.iter().map(|(_, m3)| m3).sum()),
        days_known: u32::try_from(known.len()).unwrap_or(0),
        peak_day: peak.map(|(day, _)| *day),
        peak_m3: peak.map(|(_, m3)| *m3),
    }
}

/// Delivered in the contract year before a month begins, m³; else how many of its days are unknown.
fn taken(days: &Days<'_>, contract: &SupplyContract, month: GasMonth) -> Result<i64, i64> {
    let (from, to) = (
        contract_year_from(contract, month),
        month.first_day().plus(-1),
    );
    let unknown = span(from, to).filter(|day| !days.is_known(*day)).count();
    let unknown = i64::try_from(unknown).unwrap_or(i64::MAX);
    days.bought(&contract.source, from, to).ok_or(unknown)
}

fn by_source(days: &Days<'_>, registry: &Registry, month: GasMonth) -> BTreeMap<SourceId, i64> {
    let last = month.next().first_day().plus(-1);
    let of = |source: &SourceId| days.bought(source, month.first_day(), last);
    let sources = registry.sources.keys();
    sources
        .filter_map(|source| Some((source.clone(), of(source)?)))
        .collect()
}

/// What of a month is measured; none where all of it is.
fn measured(days: &Days<'_>, registry: &Registry, month: GasMonth) -> Option<MeasuredPart> {
    let (first, until) = (month.first_day(), days.today.plus(-1));
    if month.next().first_day() <= days.today {
        return None;
    }
    let of = |source: &SourceId| days.bought(source, first, until);
    let sources = registry.sources.keys();
    Some(MeasuredPart {
        until,
        by_source: sources
            .filter_map(|source| Some((source.clone(), of(source)?)))
            .collect(),
    })
}

/// Sold by class in a month without what was carried for others, m³, and the loss; nothing unless every
/// day of the month is known or forecast.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a city's month is far below 2^53 m³"
)]
fn by_class(
    app: &App,
    registry: &Registry,
    month: GasMonth,
    days: &Days<'_>,
) -> anyhow::Result<BTreeMap<CustomerClass, i64>> {
    let last = month.next().first_day().plus(-1);
    let demand = app
        .book
        .demand_days(month.first_day(), last.plus(1).min(days.today))?;
    let known: BTreeSet<GasDay> = demand.iter().map(|of| of.day).collect();
    let mut sold: BTreeMap<CustomerClass, f64> = BTreeMap::new();
    for day in &demand {
        *sold.entry(day.node.class).or_default() += day.volume_m3();
    }
    for day in &known {
        for (class, m3) in &mut sold {
            *m3 -= days.past.carried_m3(*class, *day);
        }
    }
    let mut out: BTreeMap<CustomerClass, i64> = sold
        .into_iter()
        .map(|(class, m3)| (class, m3.max(0.0).round() as i64))
        .collect();
    for day in span(month.first_day(), last).filter(|day| !known.contains(day)) {
        let Some(of_day) = days.ahead.get(&day) else {
            return Ok(BTreeMap::new());
        };
        let sold = of_day.by_class.iter();
        for (class, m3) in sold.filter(|(class, _)| **class != CustomerClass::Unaccounted) {
            *out.entry(*class).or_default() += m3;
        }
    }
    let sources = registry.sources.keys();
    let bought: Option<i64> = sources
        .map(|source| days.bought(source, month.first_day(), last))
        .sum();
    if let Some(bought) = bought {
        let sold: i64 = out.values().sum();
        out.insert(CustomerClass::Unaccounted, bought - sold);
    }
    Ok(out)
}

/// What is known of the purchases of the gas day under way and of the closed days behind it. With a damaged book
/// it is what the gates say alone.
///
/// # Errors
/// What the stores say.
pub fn bought_facts(app: &App) -> Result<BoughtFacts, StoreError> {
    let registry = app.registry();
    let (now, today) = (app.clock.now(), app.today());
    let mut facts = BoughtFacts {
        now,
        unaccounted_ratio: 0.0,
        delivered: BTreeMap::new(),
        gates: Vec::new(),
        carried: carried_today(app, &registry, now, today)?,
        nominated: None,
    };
    let gates = registry.meters.values();
    for gate in gates.filter(|meter| meter.role == MeterRole::Gate) {
        let curves = app.journal.curves_of(&gate.id, today, today.plus(1))?;
        facts.gates.extend(curves);
    }
    match read_book(app, &registry, today, &mut facts) {
        Err(error) if error.is_of_file() && error.path() == app.book.path() => {
            let what = "loss, nominations and deliveries of closed days are not known";
            facts::tell_damage(&app.book, what, &error);
            Ok(facts)
        }
        read => read.map(|()| facts),
    }
}

fn read_book(
    app: &App,
    registry: &Registry,
    today: GasDay,
    facts: &mut BoughtFacts,
) -> Result<(), StoreError> {
    facts.unaccounted_ratio = facts::unaccounted_ratio(app, registry, today)?;
    let first = today.month().first_day().min(today.plus(-1));
    let past = Purchases::read(app, registry, first, today)?;
    for day in span(first, today.plus(-1)) {
        let of_source = |source: &SourceId| Some((source.clone(), past.day_m3(source, day)?));
        let sources = past.sources(registry);
        let of_day: Option<BTreeMap<SourceId, i64>> = sources.iter().map(of_source).collect();
        facts.delivered.extend(of_day.map(|of_day| (day, of_day)));
    }
    let mut nominated = nominated_days(app, registry, today, today.plus(1))?;
    facts.nominated = nominated.remove(&today);
    Ok(())
}

/// Carried for others in the hours of today that are over, by zone.
fn carried_today(
    app: &App,
    registry: &Registry,
    now: DateTime<Utc>,
    today: GasDay,
) -> Result<BTreeMap<ZoneId, [f64; 24]>, StoreError> {
    let of_others = registry.customers.values().filter(|c| !c.is_bought_for());
    let meters = of_others.flat_map(|customer| registry.meters_of(&customer.id));
    let meters: Vec<MeterId> = meters.map(|meter| meter.id.clone()).collect();
    if meters.is_empty() {
        return Ok(BTreeMap::new());
    }
    let curves_on = |day: GasDay| {
        let mut curves = Vec::new();
        let take = |_, curve| curves.push(curve);
        let read = app
            .journal
            .for_each_curve_of(&meters, day, day.plus(1), take);
        read.map(|()| curves)
    };
    let earlier: Vec<Vec<LoadCurve>> = FILL_DAYS_BACK
        .iter()
        .map(|back| curves_on(today.plus(-back)))
        .collect::<Result<_, _>>()?;
    Ok(carried_hours(
        registry,
        today,
        now,
        &curves_on(today)?,
        &earlier,
    ))
}

/// What the gas day under way is expected to deliver, by source: the figure of the overview.
///
/// # Errors
/// What the stores say.
pub fn expected_today(
    app: &App,
    registry: &Registry,
    forecast: &DemandForecast,
    breakdown: Option<&Breakdown>,
) -> Result<Option<BTreeMap<SourceId, i64>>, StoreError> {
    let facts = bought_facts(app)?;
    let bought = Bought::new(registry, &facts, Some((forecast, breakdown)));
    Ok(bought.expected().map(|today| today.by_source.clone()))
}

/// What each contract delivered in the month of a day up to the last closed gas day, where every day of it
/// is known, and on that day.
pub type Takes = (BTreeMap<ContractId, MonthTake>, BTreeMap<ContractId, i64>);

/// The takes that a nomination of `day` stands on.
///
/// # Errors
/// What the stores say.
pub fn month_takes(app: &App, registry: &Registry, day: GasDay) -> Result<Takes, StoreError> {
    let today = app.today();
    let (first, yesterday) = (day.month().first_day(), today.plus(-1));
    let past = Purchases::read(app, registry, first.min(yesterday), today)?;
    let mut taken = BTreeMap::new();
    let mut delivered = BTreeMap::new();
    for contract in &registry.contracts {
        let days = today.days_since(first).max(0);
        let volumes = (0..days).map(|i| past.day_m3(&contract.source, first.plus(i)));
        if let Some(taken_m3) = volumes.sum() {
            let take = MonthTake {
                taken_m3,
                days: u32::try_from(days).unwrap_or(0),
            };
            taken.insert(contract.id.clone(), take);
        }
        if let Some(m3) = past.day_m3(&contract.source, yesterday) {
            delivered.insert(contract.id.clone(), m3);
        }
    }
    Ok((taken, delivered))
}

#[cfg(test)]
mod tests;
