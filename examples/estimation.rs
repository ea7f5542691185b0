//! The estimation ladder judged by masking: hours of a simulated city are taken away, each step estimates
//! them, and they are compared with what really flowed.
//!
//! Where totals bound the gap (E1) the volume must be conserved to the last 1e-4 m³; the example ends with
//! an error if a unit is lost. "within" is the part of the hours that the stated uncertainty contains, and
//! should be about 80 %.
#![expect(clippy::print_stdout, reason = "a command that prints tables")]

use std::collections::BTreeMap;
use std::error::Error;

use chrono::TimeDelta;
use qiliang::domain::calendar::{Calendar, GasDay, GasDayClock};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::estimate::{Estimate, Method};
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::meter::{MeterRole, SettlementTotal};
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::series::LoadCurve;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::validate::curve::{CurveRules, build_days};
use qiliang::validate::estimate::{GateHour, LadderFacts, PeerHour, by_method, of_curve};
use qiliang::validate::points::TotalPoint;

/// Hours taken away in a row.
const GAPS: [usize; 4] = [1, 6, 24, 72];
/// Days that are known before the first gap.
const HISTORY_DAYS: usize = 92;
const DAYS: usize = 140;
/// Meters of a class at most.
const METERS: usize = 16;
/// Gaps of a length in each meter.
const PLACES: usize = 5;
/// One meter in so many of a zone is silent when its gates are asked.
const SILENT: usize = 10;
const UNITS: f64 = 10_000.0;

#[derive(Debug, Clone, Copy, Default)]
struct Score {
    hours: usize,
    flowed: f64,
    off: f64,
    sum: f64,
    within: usize,
}

impl Score {
    fn add(&mut self, truth: i64, found: Estimate) {
        let (truth, off) = (
            truth as f64 / UNITS,
            found.volume.to_f64() - truth as f64 / UNITS,
        );
        self.hours += 1;
        self.flowed += truth;
        self.off += off.abs();
        self.sum += off;
        self.within += usize::from(off.abs() <= found.uncertainty.to_f64());
    }

    fn cells(&self) -> String {
        let part = |value: f64| value / self.flowed * 100.0;
        format!(
            "{} | {:.1} % | {:+.1} % | {:.0} %",
            self.hours,
            part(self.off),
            part(self.sum),
            self.within as f64 / self.hours as f64 * 100.0
        )
    }
}

type Scores = BTreeMap<(Method, String, usize), Score>;

struct Town {
    city: City,
    calendar: Calendar,
    first: GasDay,
    /// What flowed in every hour, by site.
    truth: Vec<Vec<i64>>,
    classes: Vec<Option<CustomerClass>>,
    temperatures: BTreeMap<GasDay, f64>,
    plans: BTreeMap<(String, GasDay), StdVolume>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let city = City::new(CityConfig {
        meters: 600,
        history_days: u32::try_from(DAYS)?,
        live_days: 2,
        ..CityConfig::default()
    });
    let town = Town::new(city)?;
    let mut scores = Scores::new();
    let mut flat = Scores::new();
    let mut taken: BTreeMap<CustomerClass, usize> = BTreeMap::new();
    for site in 0..town.truth.len() {
        let Some(class) = town.classes.get(site).copied().flatten() else {
            continue;
        };
        let count = taken.entry(class).or_default();
        if *count == METERS {
            continue;
        }
        *count += 1;
        for gap in GAPS {
            for place in 0..PLACES {
                let room = (DAYS - HISTORY_DAYS) * 24 - gap - 30;
                let start = HISTORY_DAYS * 24 + 1 + (site * 37 + place * 211) % room;
                town.bounded(site, class, start..start + gap, &mut scores, &mut flat)?;
                town.open(site, class, start..start + gap, &mut scores);
            }
        }
    }
    print(&scores, &flat);
    Ok(())
}

fn print(scores: &Scores, flat: &Scores) {
    println!("All classes:\n");
    println!("| step | hours missing | hours estimated | error | bias | within |");
    println!("|---|---|---|---|---|---|");
    let mut sums: BTreeMap<(Method, usize, &str), Score> = BTreeMap::new();
    for (name, all) in [("", scores), (" by time", flat)] {
        for ((method, _, gap), score) in all {
            let sum = sums.entry((*method, *gap, name)).or_default();
            sum.hours += score.hours;
            sum.flowed += score.flowed;
            sum.off += score.off;
            sum.sum += score.sum;
            sum.within += score.within;
        }
    }
    for ((method, gap, name), score) in &sums {
        println!("| {}{name} | {gap} | {} |", method.key(), score.cells());
    }
    println!("\nBy class, 24 hours missing:\n");
    println!("| step | class | hours estimated | error | bias | within |");
    println!("|---|---|---|---|---|---|");
    for ((method, class, gap), score) in scores {
        if *gap == 24 {
            println!("| {} | {class} | {} |", method.key(), score.cells());
        }
    }
}

impl Town {
    fn new(city: City) -> Result<Self, Box<dyn Error>> {
        let first = city.config().start_on();
        let parts = city.registry_parts()?;
        let class_of: BTreeMap<_, _> = parts.customers.iter().map(|c| (&c.id, c.class)).collect();
        let classes = city
            .sites()
            .iter()
            .map(|site| {
                site.meter
                    .customer
                    .as_ref()
                    .and_then(|id| class_of.get(id))
                    .copied()
            })
            .collect();
        let truth = (0..city.sites().len())
            .map(|site| {
                (0..DAYS)
                    .flat_map(|day| city.hour_units(site, day))
                    .collect()
            })
            .collect();
        let mut temperatures = BTreeMap::new();
        for day in 0..i64::try_from(DAYS)? {
            let day = first.plus(day);
            let start = GasDayClock::default().start_of(day);
            let sum: f64 = (0..24)
                .map(|hour| city.weather().temperature_c(start + TimeDelta::hours(hour)))
                .sum();
            temperatures.insert(day, sum / 24.0);
        }
        let plans = parts
            .filed_plans
            .iter()
            .map(|plan| ((plan.customer.to_string(), plan.day), plan.volume))
            .collect();
        Ok(Self {
            calendar: city.config().calendar.clone(),
            city,
            first,
            truth,
            classes,
            temperatures,
            plans,
        })
    }

    fn hour(&self, site: usize, hour: usize) -> i64 {
        let hours = self.truth.get(site);
        hours
            .and_then(|hours| hours.get(hour))
            .copied()
            .unwrap_or(0)
    }

    fn day(&self, index: usize) -> GasDay {
        self.first.plus(i64::try_from(index).unwrap_or(0))
    }

    /// Curves of some days, but for the hours that are taken away.
    fn curves(
        &self,
        site: usize,
        days: std::ops::Range<usize>,
        lost: &std::ops::Range<usize>,
    ) -> Vec<LoadCurve> {
        days.map(|day| {
            let mut curve = LoadCurve::missing("m".into(), self.day(day));
            let hours = curve.hours.iter_mut().zip(&mut curve.quality);
            for (index, (volume, quality)) in hours.enumerate() {
                let hour = day * 24 + index;
                if !lost.contains(&hour) {
                    *volume = StdVolume::from_units(self.hour(site, hour));
                    *quality = Quality::Measured;
                }
            }
            curve
        })
        .collect()
    }

    /// Totals lost within a run that good totals bound.
    fn bounded(
        &self,
        site: usize,
        class: CustomerClass,
        lost: std::ops::Range<usize>,
        scores: &mut Scores,
        flat: &mut Scores,
    ) -> Result<(), Box<dyn Error>> {
        let clock = GasDayClock::default();
        let place = self.city.sites().get(site).ok_or("no such site")?;
        let mut meter = place.meter.clone();
        // The truth is in units of the settlement total.
        meter.settlement = SettlementTotal::Std;
        meter.total_digits = 12;
        let (first_day, last_day) = (lost.start / 24 - 28, lost.end / 24 + 2);
        let mut total = 0;
        let mut points = Vec::new();
        for hour in first_day * 24..last_day * 24 {
            if !lost.contains(&hour) {
                let hours = i64::try_from(hour)?;
                points.push(TotalPoint {
                    at: clock.start_of(self.first) + TimeDelta::hours(hours),
                    units: total,
                    is_frozen: false,
                    is_suspect: false,
                    contradicted_by: None,
                    transport: Transport::Import,
                    factor: None,
                    state: None,
                });
            }
            total += self.hour(site, hour);
        }
        let rules = CurveRules {
            calendar: Some(&self.calendar),
            ..CurveRules::plain(&meter)
        };
        let gap = lost.len();
        for (from, to) in [(first_day, &mut *scores), ((lost.start - 1) / 24, flat)] {
            // Without days before it nothing is known of the meter's day.
            let (begin, end) = (self.day(from), self.day(last_day - 1));
            let built = build_days(&rules, clock, begin, end, &points);
            let score = to
                .entry((Method::E1, class.key().to_owned(), gap))
                .or_default();
            let (mut was, mut is) = (0, 0);
            for (day, (curve, _)) in (from..).zip(&built) {
                for (index, found) in of_curve(curve).into_iter().enumerate() {
                    if let Some(found) = found {
                        let truth = self.hour(site, day * 24 + index);
                        was += truth;
                        is += found.volume.units();
                        score.add(truth, found);
                    }
                }
            }
            if was != is {
                return Err(format!("{}: {was} units became {is}", meter.id).into());
            }
        }
        Ok(())
    }

    /// Hours that nothing bounds, and what each step makes of them.
    fn open(
        &self,
        site: usize,
        class: CustomerClass,
        lost: std::ops::Range<usize>,
        scores: &mut Scores,
    ) {
        for day in lost.start / 24..=(lost.end - 1) / 24 {
            let curve = self.curves(site, day..day + 1, &lost);
            let history = self.curves(site, day - HISTORY_DAYS..day, &lost);
            let peers = self.peers(site, class, day);
            let gate = self.gate(site, day);
            let facts = LadderFacts {
                day: self.day(day),
                curve: curve.first(),
                history: &history,
                calendar: &self.calendar,
                class: Some(class),
                temperatures: &self.temperatures,
                size: self.size(site),
                peers: Some(&peers),
                gate: gate.as_ref(),
                plan: self.plan(site, day),
            };
            for method in Method::ALL {
                for hour in (0..24).filter(|hour| lost.contains(&(day * 24 + hour))) {
                    if let Some(found) = by_method(method, &facts, hour) {
                        let key = (method, class.key().to_owned(), lost.len());
                        let truth = self.hour(site, day * 24 + hour);
                        scores.entry(key).or_default().add(truth, found);
                    }
                }
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "flows are small")]
    fn size(&self, site: usize) -> i64 {
        let site = self.city.sites().get(site);
        site.map_or(0, |site| (site.meter.flow_max_m3h * 100.0).round() as i64)
    }

    fn zone(&self, site: usize) -> Option<&str> {
        let site = self.city.sites().get(site)?;
        Some(site.meter.zone.as_str())
    }

    fn peers(&self, site: usize, class: CustomerClass, day: usize) -> [PeerHour; 24] {
        let mut peers = [PeerHour::default(); 24];
        for (other, of) in self.classes.iter().enumerate() {
            if other != site && *of == Some(class) && self.zone(other) == self.zone(site) {
                for (hour, peer) in peers.iter_mut().enumerate() {
                    peer.volume += StdVolume::from_units(self.hour(other, day * 24 + hour));
                    peer.size += self.size(other);
                    peer.meters += 1;
                }
            }
        }
        peers
    }

    /// With one meter in ten of the zone silent.
    fn gate(&self, site: usize, day: usize) -> Option<[Option<GateHour>; 24]> {
        let in_zone = |other: &usize| self.zone(*other) == self.zone(site);
        let mut hours = [GateHour {
            left: StdVolume::ZERO,
            size: 0,
        }; 24];
        let mut has_gate = false;
        for other in (0..self.truth.len()).filter(in_zone) {
            let place = self.city.sites().get(other)?;
            let is_gate = place.meter.role == MeterRole::Gate;
            has_gate |= is_gate;
            for (hour, gate) in hours.iter_mut().enumerate() {
                let volume = StdVolume::from_units(self.hour(other, day * 24 + hour));
                if is_gate {
                    gate.left += volume;
                } else if other % SILENT == site % SILENT {
                    gate.size += self.size(other);
                } else {
                    gate.left -= volume;
                }
            }
        }
        has_gate.then(|| hours.map(Some))
    }

    fn plan(&self, site: usize, day: usize) -> Option<StdVolume> {
        let customer = self.city.sites().get(site)?.meter.customer.as_ref()?;
        let key = (customer.to_string(), self.day(day));
        self.plans.get(&key).copied()
    }
}
