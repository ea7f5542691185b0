//! 购气侧: what our contracts deliver at the gates, of the gas day under way and of the month.
//!
//! What stands beside a contract or a nomination is gas bought: what the gates measured in the hours that are
//! known, and what must be bought in those that are not, as [`crate::plan::supply`] says of a run: demand with
//! its loss (供销差与自用), without what is carried for others. Customers' meters (用户侧) show less by the loss
//! and more by what is carried, and are never set against either.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::DemandForecast;
use crate::domain::id::{MeterId, SourceId, ZoneId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::{StdVolume, round_to_total};
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::plan::carried::Carried;
use crate::plan::supply::Supply;
use crate::serve::figures::Band;
use crate::serve::figures::cells::split_by_source;
use crate::serve::figures::nominated::NominatedDay;

/// Hours of the day that may be over before no known hour means that the gates are silent.
const LATE_HOURS_MAX: i64 = 3;

/// What is known of purchases beside a run.
#[derive(Debug, Clone, PartialEq)]
pub struct BoughtFacts {
    /// The instant.
    pub now: DateTime<Utc>,
    /// Loss and own use, part of what is bought.
    pub unaccounted_ratio: f64,
    /// Delivered by our contracts on closed gas days, by source, m³: yesterday and the days of its month and of
    /// this one of which the gates are known.
    pub delivered: BTreeMap<GasDay, BTreeMap<SourceId, i64>>,
    /// Curves of the gates of the gas day under way.
    pub gates: Vec<LoadCurve>,
    /// Carried for others in its hours that are over, by zone, m³.
    pub carried: BTreeMap<ZoneId, [f64; 24]>,
    /// What was nominated for it.
    pub nominated: Option<NominatedDay>,
}

/// How what the gates measured was split over sources: nothing measures it where a gate has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceSplit {
    /// As the gas day was nominated, hour by hour (按指定比例分摊).
    Nomination,
    /// By the fixed shares of sources (按供气比例分摊).
    Shares,
}

/// What a gas day's purchases will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Known hours and the forecast of the others.
    pub band: Band,
    /// Its joint draws, m³.
    pub draws: Vec<f64>,
    /// Its P50 by source, m³.
    pub by_source: BTreeMap<SourceId, i64>,
}

impl Expected {
    /// P50 and joint draws of all, or of a source: its part of the P50 in every draw.
    fn of(&self, source: Option<&SourceId>) -> (i64, Vec<f64>) {
        let whole_m3 = self.band.p50_m3;
        let Some(source) = source else {
            return (whole_m3, self.draws.clone());
        };
        let m3 = self.by_source.get(source).copied().unwrap_or(0);
        let part = m3 as f64 / whole_m3.max(1) as f64;
        (m3, self.draws.iter().map(|draw| part * draw).collect())
    }
}

/// Purchases of the gas day under way, of the closed days before it and of those a run reaches.
#[derive(Debug)]
pub struct Bought<'a> {
    /// The gas day under way.
    pub day: GasDay,
    /// Bought in each of its hours that all gates have, m³.
    pub hours_m3: [Option<i64>; 24],
    /// The same together; 0 at the start of the day, none where there is no gate or all are silent.
    pub taken_m3: Option<i64>,
    /// The same by source; empty where nothing is known.
    pub taken_by_source: BTreeMap<SourceId, i64>,
    /// How it is split.
    pub split: SourceSplit,
    facts: &'a BoughtFacts,
    run: Option<OfRun<'a>>,
}

/// What of a run is bought.
#[derive(Debug)]
struct OfRun<'a> {
    forecast: &'a DemandForecast,
    carried: Carried,
    today: Option<Expected>,
    /// What must be bought in each hour of today.
    hours: [Option<Band>; 24],
}

impl<'a> Bought<'a> {
    /// Of what is known, and of a run with what it consists of.
    pub fn new(
        registry: &Registry,
        facts: &'a BoughtFacts,
        run: Option<(&'a DemandForecast, Option<&Breakdown>)>,
    ) -> Self {
        let clock = registry.company.gas_day_start_hour;
        let day = clock.day_of(facts.now);
        let over = (facts.now - clock.start_of(day)).num_hours();
        let zones = gate_hours(registry, day, over, &facts.gates);
        let own = own_hours(&zones, &facts.carried);
        let hours_m3 = whole_hours(&own);
        let is_any = hours_m3.iter().any(Option::is_some);
        let is_start = !zones.is_empty() && over <= LATE_HOURS_MAX;
        let taken_m3 = (is_any || is_start).then(|| hours_m3.iter().flatten().sum());
        let mut bought = Self {
            day,
            hours_m3,
            taken_m3,
            taken_by_source: BTreeMap::new(),
            split: SourceSplit::Shares,
            facts,
            run: None,
        };
        if let Some(total) = taken_m3 {
            (bought.taken_by_source, bought.split) =
                bought.known_by_source(registry, &own, &zones, total);
        }
        bought.run = run.map(|(forecast, breakdown)| {
            let carried = Carried::of(registry, breakdown);
            bought.of_run(forecast, carried)
        });
        bought
    }

    /// Of the hours that are known, by source, and how they were split.
    fn known_by_source(
        &self,
        registry: &Registry,
        own: &[Option<f64>; 24],
        zones: &BTreeMap<&ZoneId, [Option<f64>; 24]>,
        total: i64,
    ) -> (BTreeMap<SourceId, i64>, SourceSplit) {
        let known = || (0..24).filter_map(|hour| Some((hour, (*own.get(hour)?)?)));
        let nominated = self.facts.nominated.as_ref();
        if let Some(of_source) = nominated.and_then(|n| n.split(self.known_hours())) {
            return (of_source, SourceSplit::Nomination);
        }
        let mut by_source: BTreeMap<SourceId, f64> = BTreeMap::new();
        for (zone, hours) in zones {
            let carried = self.facts.carried.get(*zone);
            let of_zone: f64 = known()
                .filter_map(|(hour, _)| {
                    let of_others = carried.and_then(|c| c.get(hour)).copied().unwrap_or(0.0);
                    Some((*hours.get(hour)?)? - of_others)
                })
                .sum();
            let m3 = StdVolume::from_f64(of_zone.max(0.0)).round_m3();
            for (source, part) in split_by_source(registry, self.day, zone, m3) {
                *by_source.entry(source).or_default() += part as f64;
            }
        }
        let parts: Vec<f64> = by_source.values().copied().collect();
        let whole = round_to_total(&parts, total);
        (
            by_source.into_keys().zip(whole).collect(),
            SourceSplit::Shares,
        )
    }

    fn known_hours(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let hours = self.hours_m3.iter().enumerate();
        hours.filter_map(|(hour, m3)| Some((hour, (*m3)? as f64)))
    }

    fn is_known(&self, hour: usize) -> bool {
        self.hours_m3.get(hour).copied().flatten().is_some()
    }

    fn of_run(&self, forecast: &'a DemandForecast, carried: Carried) -> OfRun<'a> {
        let ratio = self.facts.unaccounted_ratio;
        let supply = Supply::over(forecast, vec![self.day], ratio, &carried).ok();
        let mut of_run = OfRun {
            forecast,
            carried,
            today: None,
            hours: [None; 24],
        };
        let (Some(supply), Some(index)) = (supply, forecast.day_index(self.day)) else {
            return of_run;
        };
        let mut p50 = [0_i64; 24];
        let mut by_source: BTreeMap<SourceId, f64> = BTreeMap::new();
        let is_hourly = index < forecast.hourly_days;
        for cell in &supply.cells {
            for (hour, m3) in cell.hours_m3.iter().enumerate() {
                p50[hour] += m3;
                if !is_hourly || !self.is_known(hour) {
                    *by_source.entry(cell.source.clone()).or_default() += *m3 as f64;
                }
            }
        }
        let (p50_m3, draws) = if is_hourly {
            let mut m3 = 0;
            let mut sums: Vec<f64> = vec![0.0; supply.day_draws(0).len()];
            for (hour, p50) in p50.into_iter().enumerate() {
                let draws = supply.hour_draws(0, hour);
                of_run.hours[hour] = Some(Band::around(p50, draws.clone()));
                let known = self.hours_m3[hour];
                m3 += known.unwrap_or(p50);
                for (sum, draw) in sums.iter_mut().zip(draws) {
                    *sum += known.map_or(draw, |known| known as f64);
                }
            }
            (m3, sums)
        } else {
            // A run so old has no hours of today: what is known of them cannot be told from the rest.
            (p50.iter().sum(), supply.day_draws(0))
        };
        let hours = (0..24).map(|hour| {
            let known = self.hours_m3[hour].filter(|_| is_hourly);
            (hour, known.unwrap_or(p50[hour]) as f64)
        });
        let nominated = self.facts.nominated.as_ref();
        let by_source = nominated.and_then(|n| n.split(hours)).unwrap_or_else(|| {
            if is_hourly {
                for (source, m3) in &self.taken_by_source {
                    *by_source.entry(source.clone()).or_default() += *m3 as f64;
                }
            }
            let parts: Vec<f64> = by_source.values().copied().collect();
            let whole = round_to_total(&parts, p50_m3);
            by_source.into_keys().zip(whole).collect()
        });
        of_run.today = Some(Expected {
            band: Band::around(p50_m3, draws.clone()),
            draws,
            by_source,
        });
        of_run
    }

    /// Hours in what was taken.
    pub fn taken_hours(&self) -> usize {
        self.hours_m3.iter().flatten().count()
    }

    /// Whole hours of the day up to the end of the last that is in what was taken.
    pub fn taken_through(&self) -> usize {
        let last = self.hours_m3.iter().rposition(Option::is_some);
        last.map_or(0, |hour| hour + 1)
    }

    /// Nominated for the hours in what was taken, over all sources or of one, m³; none where the nomination has
    /// no hours.
    pub fn due_m3(&self, source: Option<&SourceId>) -> Option<i64> {
        let nominated = self.facts.nominated.as_ref()?;
        if nominated.hours.is_empty() {
            return None;
        }
        let known = (0..24).filter(|hour| self.is_known(*hour));
        match source {
            None => known.map(|hour| nominated.hour_m3(hour)).sum(),
            Some(source) => {
                let hours = nominated.hours.get(source)?;
                Some(known.filter_map(|hour| hours.get(hour)).sum())
            }
        }
    }

    /// What was nominated for the gas day under way.
    pub fn nominated(&self) -> Option<&NominatedDay> {
        self.facts.nominated.as_ref()
    }

    /// What the gas day under way will have been; none without a run that reaches it.
    pub fn expected(&self) -> Option<&Expected> {
        self.run.as_ref()?.today.as_ref()
    }

    /// The same as a band, over all sources or of one.
    pub fn today_band(&self, source: Option<&SourceId>) -> Option<Band> {
        let (m3, draws) = self.expected()?.of(source);
        Some(Band::around(m3, draws))
    }

    /// What the run says must be bought in an hour of the gas day under way.
    pub fn hour_band(&self, hour: usize) -> Option<Band> {
        self.run.as_ref()?.hours.get(hour).copied().flatten()
    }

    /// What must be bought on a later gas day, over all sources or of one.
    pub fn day_band(&self, day: GasDay, source: Option<&SourceId>) -> Option<Band> {
        let supply = self.supply(vec![day])?;
        let p50_m3 = sum_of(&supply, source);
        Some(Band::around(p50_m3, supply.draws(source)))
    }

    fn supply(&self, days: Vec<GasDay>) -> Option<Supply<'a>> {
        let run = self.run.as_ref()?;
        let ratio = self.facts.unaccounted_ratio;
        Supply::over(run.forecast, days, ratio, &run.carried).ok()
    }

    /// Delivered on a closed gas day, over all sources or from one, m³; none where the gates are not known.
    pub fn delivered_m3(&self, day: GasDay, source: Option<&SourceId>) -> Option<i64> {
        let of_day = self.facts.delivered.get(&day)?;
        Some(match source {
            None => of_day.values().sum(),
            Some(source) => of_day.get(source).copied().unwrap_or(0),
        })
    }

    /// Delivered on the closed gas days of a month, m³; none unless all of them are known (0 of a month that
    /// has none).
    pub fn delivered_in_m3(&self, month: GasMonth, source: Option<&SourceId>) -> Option<i64> {
        let closed = month.days().into_iter().filter(|day| *day < self.day);
        closed.map(|day| self.delivered_m3(day, source)).sum()
    }

    /// What must still be bought of a month: the gas day under way as expected, and the days after it; none
    /// unless the run reaches all of them.
    pub fn ahead_in(&self, month: GasMonth, source: Option<&SourceId>) -> Option<Band> {
        let run = self.run.as_ref()?;
        let days = month.days().into_iter();
        let later = days.filter(|day| *day > self.day).collect();
        let supply = self.supply(later)?;
        let mut p50_m3 = sum_of(&supply, source);
        let mut draws = supply.draws(source);
        if self.day.month() == month {
            let (m3, of_today) = run.today.as_ref()?.of(source);
            p50_m3 += m3;
            for (draw, of_today) in draws.iter_mut().zip(of_today) {
                *draw += of_today;
            }
        }
        Some(Band::around(p50_m3, draws))
    }

    /// The end of the hours in what was taken.
    pub fn taken_through_at(&self, registry: &Registry) -> DateTime<Utc> {
        let start = registry.company.gas_day_start_hour.start_of(self.day);
        start + TimeDelta::hours(i64::try_from(self.taken_through()).unwrap_or(0))
    }
}

fn sum_of(supply: &Supply<'_>, source: Option<&SourceId>) -> i64 {
    supply.sum_m3(|cell| source.is_none_or(|source| cell.source == *source))
}

/// What passed the gates of each zone in the hours that are over, m³; none in an hour that one of its gates of
/// the day lacks. A zone without a gate is not there.
fn gate_hours<'a>(
    registry: &'a Registry,
    day: GasDay,
    over: i64,
    curves: &[LoadCurve],
) -> BTreeMap<&'a ZoneId, [Option<f64>; 24]> {
    let of_day = curves.iter().filter(|curve| curve.day == day);
    let by_meter: BTreeMap<&MeterId, &LoadCurve> = of_day.map(|c| (&c.meter, c)).collect();
    let mut zones: BTreeMap<&ZoneId, [Option<StdVolume>; 24]> = BTreeMap::new();
    let gates = registry.meters.values();
    for gate in gates.filter(|m| m.role == MeterRole::Gate && m.is_installed_on(day)) {
        let curve = by_meter.get(&gate.id);
        let sums = zones
            .entry(&gate.zone)
            .or_insert([Some(StdVolume::ZERO); 24]);
        for (hour, sum) in (0_i64..).zip(sums.iter_mut()) {
            let at = usize::try_from(hour).unwrap_or(0);
            let volume = curve.filter(|_| hour < over).and_then(|curve| {
                let is_known = curve.quality.get(at)?.has_volume();
                is_known.then(|| curve.hours.get(at).copied()).flatten()
            });
            *sum = sum.zip(volume).map(|(sum, volume)| sum + volume);
        }
    }
    let number = |hours: [Option<StdVolume>; 24]| hours.map(|h| h.map(StdVolume::to_f64));
    zones.into_iter().map(|(z, h)| (z, number(h))).collect()
}

/// What was bought in the hours that every zone has, m³.
fn own_hours(
    zones: &BTreeMap<&ZoneId, [Option<f64>; 24]>,
    carried: &BTreeMap<ZoneId, [f64; 24]>,
) -> [Option<f64>; 24] {
    std::array::from_fn(|hour| {
        if zones.is_empty() {
            return None;
        }
        let through: Option<f64> = zones.values().map(|hours| hours[hour]).sum();
        let of_others: f64 = carried.values().map(|hours| hours[hour]).sum();
        through.map(|m3| (m3 - of_others).max(0.0))
    })
}

/// Whole m³ of hours: each is what the sum grows by, so that the sum is never off by more than half a m³ and an
/// hour does not depend on later ones.
fn whole_hours(hours: &[Option<f64>; 24]) -> [Option<i64>; 24] {
    let (mut sum, mut said) = (0.0, 0);
    hours.map(|m3| {
        let m3 = m3?;
        sum += m3;
        let whole = StdVolume::from_f64(sum).round_m3() - said;
        said += whole;
        Some(whole)
    })
}

#[cfg(test)]
pub(crate) mod tests;
