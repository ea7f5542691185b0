//! Gathers what the estimation ladder asks for: the one place where hours without totals get a volume,
//! for demand and for whoever looks at a curve.

mod gates;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use self::gates::Left;
use crate::clock::Clock;
use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::estimate::Estimate;
use crate::domain::finding::Quality;
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::domain::text::error_chain;
use crate::forecast::weather::ZoneWeather;
use crate::ledger::demand::{HourEstimates, is_in_use, sum_day};
use crate::run::app::App;
use crate::run::facts;
use crate::store::StoreError;
use crate::store::book::Book;
use crate::store::journal::Journal;
use crate::validate::estimate::{
    CONTRACT_DAYS, LIKE_DAYS, LadderFacts, PeerHour, REACH_DAYS, ladder, ladder_near, ladder_own,
    of_curve,
};

/// Estimates by what journal, book and registry hold.
#[derive(Debug, Clone)]
pub struct Estimator {
    journal: Journal,
    book: Book,
    registry: watch::Receiver<Arc<Registry>>,
    calendar: watch::Receiver<Arc<Calendar>>,
    clock: Arc<dyn Clock>,
}

impl Estimator {
    /// Over an app's stores.
    pub fn new(app: &App) -> Self {
        Self {
            journal: app.journal.clone(),
            book: app.book.clone(),
            registry: app.registry.clone(),
            calendar: app.calendar.clone(),
            clock: Arc::clone(&app.clock),
        }
    }

    /// Demand of every node on a gas day from its curves, the rest estimated. Blocks.
    pub fn sum_day(&self, day: GasDay, curves: &[LoadCurve]) -> Vec<DemandDay> {
        let registry = Arc::clone(&self.registry.borrow());
        let facts = Around::new(self, &registry, day, curves);
        sum_day(&registry, day, curves, &|meter, curve| HourEstimates {
            missing: facts.missing(meter, curve).unwrap_or_else(|error| {
                warn!(
                    code = error.code(),
                    meter = %meter.id,
                    error = %error_chain(&error),
                    "Hours without a value cannot be estimated"
                );
                [None; 24]
            }),
            bounded: curve.map_or([None; 24], of_curve),
        })
    }

    /// Estimates of a meter's hours on a gas day: what its curve lacks, and how what it has came about
    /// where it is not measured. Blocks.
    ///
    /// # Errors
    /// What the stores say.
    pub fn of_meter(&self, meter: &MeterId, day: GasDay) -> Result<HourEstimates, StoreError> {
        let registry = Arc::clone(&self.registry.borrow());
        let Some(meter) = registry.meters.get(meter) else {
            return Ok(HourEstimates::default());
        };
        let curve = self.journal.curves_of(&meter.id, day, day.plus(1))?.pop();
        let curve = curve.as_ref();
        let bounded = curve.map_or([None; 24], of_curve);
        if !is_in_use(&registry, meter, day) || meter.is_last_day(day) {
            return Ok(HourEstimates {
                missing: [None; 24],
                bounded,
            });
        }
        // Its own days often say it all. Only else those of all others are read.
        let (own, has_all) = Around::new(self, &registry, day, &[]).own(meter, curve)?;
        let missing = if has_all {
            own
        } else {
            let curves = self.journal.curves_on(day)?;
            Around::new(self, &registry, day, &curves).missing(meter, curve)?
        };
        Ok(HourEstimates { missing, bounded })
    }
}

/// What is gathered once for all meters of a day, when the first asks for it.
struct Around<'a> {
    of: &'a Estimator,
    registry: &'a Registry,
    calendar: Arc<Calendar>,
    day: GasDay,
    curves: BTreeMap<&'a MeterId, &'a LoadCurve>,
    peers: OnceCell<BTreeMap<DemandNode, [PeerHour; 24]>>,
    gates: OnceCell<BTreeMap<ZoneId, [Left; 24]>>,
    plans: OnceCell<BTreeMap<CustomerId, StdVolume>>,
    temperatures: OnceCell<BTreeMap<ZoneId, BTreeMap<GasDay, f64>>>,
}

/// The largest flow in 0.01 m³/h.
#[expect(
    clippy::cast_possible_truncation,
    reason = "flows of meters are far below 2^53"
)]
fn size_of(meter: &Meter) -> i64 {
    (meter.flow_max_m3h.max(0.0) * 100.0).round() as i64
}

fn hour_of(curve: &LoadCurve, hour: usize) -> Option<StdVolume> {
    let quality = curve.quality.get(hour)?;
    let volume = curve.hours.get(hour).copied();
    volume.filter(|_| *quality <= Quality::Estimated)
}

/// Temperatures of customers who do not heat.
static NOWHERE: BTreeMap<GasDay, f64> = BTreeMap::new();

/// Whether an hour is neither in the curve nor estimated.
fn lacks_any(curve: Option<&LoadCurve>, found: &[Option<Estimate>; 24]) -> bool {
    let has_own = |hour: usize| {
        let quality = curve.and_then(|curve| curve.quality.get(hour));
        quality.is_some_and(|quality| quality.has_volume())
    };
    found
        .iter()
        .enumerate()
        .any(|(hour, estimate)| estimate.is_none() && !has_own(hour))
}

impl<'a> Around<'a> {
    fn new(
        of: &'a Estimator,
        registry: &'a Registry,
        day: GasDay,
        curves: &'a [LoadCurve],
    ) -> Self {
        Self {
            of,
            registry,
            calendar: Arc::clone(&of.calendar.borrow()),
            day,
            curves: curves
                .iter()
                .filter(|curve| curve.day == day)
                .map(|curve| (&curve.meter, curve))
                .collect(),
            peers: OnceCell::new(),
            gates: OnceCell::new(),
            plans: OnceCell::new(),
            temperatures: OnceCell::new(),
        }
    }

    /// What the meter's own days say of the hours its curve lacks, and whether that is all of them.
    fn own(
        &self,
        meter: &Meter,
        curve: Option<&LoadCurve>,
    ) -> Result<([Option<Estimate>; 24], bool), StoreError> {
        if curve.is_some_and(LoadCurve::is_complete) {
            return Ok(([None; 24], true));
        }
        let near = self.history(meter, REACH_DAYS)?;
        let found = ladder_own(&self.facts(meter, curve, &near)?);
        Ok((found, !lacks_any(curve, &found)))
    }

    fn missing(
        &self,
        meter: &Meter,
        curve: Option<&LoadCurve>,
    ) -> Result<[Option<Estimate>; 24], StoreError> {
        if curve.is_some_and(LoadCurve::is_complete) {
            return Ok([None; 24]);
        }
        let near = self.history(meter, REACH_DAYS)?;
        let node = self.registry.node_of(meter);
        let facts = LadderFacts {
            peers: node.as_ref().and_then(|node| self.peers().get(node)),
            ..self.facts(meter, curve, &near)?
        };
        let found = ladder_near(&facts);
        if !lacks_any(curve, &found) {
            return Ok(found);
        }
        // The last steps look at the whole zone, and three months back.
        let far = self.history(meter, CONTRACT_DAYS)?;
        let gate = self.gate_of(meter, &far)?;
        Ok(ladder(&LadderFacts {
            history: &far,
            gate: gate.as_ref(),
            plan: self.plan_of(meter)?,
            ..facts
        }))
    }

    fn history(&self, meter: &Meter, days: i64) -> Result<Vec<LoadCurve>, StoreError> {
        self.of
            .journal
            .curves_of(&meter.id, self.day.plus(-days), self.day)
    }

    /// What is known of the meter itself.
    fn facts<'b>(
        &'b self,
        meter: &Meter,
        curve: Option<&'b LoadCurve>,
        history: &'b [LoadCurve],
    ) -> Result<LadderFacts<'b>, StoreError> {
        let class = self.registry.customer_of(meter).map(|c| c.class);
        let temperatures = if class.is_some_and(CustomerClass::is_heating) {
            self.temperatures()?.get(&meter.zone).unwrap_or(&NOWHERE)
        } else {
            &NOWHERE
        };
        Ok(LadderFacts {
            day: self.day,
            curve,
            history,
            calendar: &self.calendar,
            class,
            temperatures,
            size: size_of(meter),
            peers: None,
            gate: None,
            plan: None,
        })
    }

    /// What the meters of each node used in the hours that they have.
    fn peers(&self) -> &BTreeMap<DemandNode, [PeerHour; 24]> {
        self.peers.get_or_init(|| {
            let mut nodes: BTreeMap<DemandNode, [PeerHour; 24]> = BTreeMap::new();
            for meter in self.customers() {
                let (Some(node), Some(curve)) =
                    (self.registry.node_of(meter), self.curves.get(&meter.id))
                else {
                    continue;
                };
                for (hour, peer) in nodes.entry(node).or_default().iter_mut().enumerate() {
                    if let Some(volume) = hour_of(curve, hour) {
                        peer.volume += volume;
                        peer.size += size_of(meter);
                        peer.meters += 1;
                    }
                }
            }
            nodes
        })
    }

    /// Customers' meters that are in use on the day.
    fn customers(&self) -> impl Iterator<Item = &'a Meter> {
        let (registry, day) = (self.registry, self.day);
        registry.meters.values().filter(move |meter| {
            meter.role == MeterRole::Customer && is_in_use(registry, meter, day)
        })
    }

    /// The meter's part, by largest flow, of what its customer planned for the day.
    fn plan_of(&self, meter: &Meter) -> Result<Option<StdVolume>, StoreError> {
        let Some(customer) = &meter.customer else {
            return Ok(None);
        };
        let Some(plan) = self.plans()?.get(customer) else {
            return Ok(None);
        };
        let meters = self.registry.meters_of(customer);
        let there = meters.filter(|meter| meter.is_installed_on(self.day));
        let all: i64 = there.map(size_of).sum();
        if all <= 0 {
            return Ok(None);
        }
        let part = i128::from(plan.units()) * i128::from(size_of(meter)) / i128::from(all);
        Ok(i64::try_from(part).ok().map(StdVolume::from_units))
    }

    /// What the book says; nothing where it is damaged, which is told once.
    fn readable<T: Default>(
        &self,
        what: &str,
        read: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let without = format!("estimates are made without {what}");
        Ok(facts::if_readable(&self.of.book, &without, read)?.unwrap_or_default())
    }

    /// The newest plan of each customer for the day, from files and from the book.
    fn plans(&self) -> Result<&BTreeMap<CustomerId, StdVolume>, StoreError> {
        if let Some(plans) = self.plans.get() {
            return Ok(plans);
        }
        let (day, now) = (self.day, self.of.clock.now());
        let filed = self.of.book.plan_words(None, day, day.plus(1), now);
        let words = self.readable("plans", filed)?;
        let words = facts::plan_words(self.registry, words, day, day.plus(1), now);
        let plans = facts::plans_in_force(words);
        let newest = plans.into_iter().map(|p| (p.customer, p.volume)).collect();
        Ok(self.plans.get_or_init(|| newest))
    }

    /// Observed mean temperatures of each zone, of the day and those before it.
    fn temperatures(&self) -> Result<&BTreeMap<ZoneId, BTreeMap<GasDay, f64>>, StoreError> {
        if let Some(temperatures) = self.temperatures.get() {
            return Ok(temperatures);
        }
        let (clock, now) = (self.of.journal.clock(), self.of.clock.now());
        let from = clock.start_of(self.day.plus(-LIKE_DAYS));
        let to = clock.end_of(self.day);
        let mut found = BTreeMap::new();
        for zone in self.registry.zones.values() {
            let points = self
                .of
                .book
                .observed_of(&zone.weather_station, from, to, now);
            let points = self.readable("temperatures", points)?;
            let weather = ZoneWeather::from_points(clock, to, &points, &[], None);
            found.insert(zone.id.clone(), weather.observed);
        }
        Ok(self.temperatures.get_or_init(|| found))
    }
}

#[cfg(test)]
mod tests;
