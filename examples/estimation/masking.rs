//! Hours of a simulated city are taken away, each step of the ladder estimates them, and they are compared
//! with what really flowed.
//!
//! Where totals bound the gap (E1) the volume must be conserved to the last 1e-4 m³; it is an error if a
//! unit is lost.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use qiliang::domain::calendar::{Calendar, GasDay, GasDayClock, beijing_instant};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::estimate::{Estimate, Method};
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::id::ZoneId;
use qiliang::domain::meter::{MeterRole, SettlementTotal};
use qiliang::domain::quantity::{AbsPressure, ReferenceConditions, StdVolume, Temperature};
use qiliang::domain::series::LoadCurve;
use qiliang::domain::source::Zone;
use qiliang::simulate::Site;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::validate::curve::{CurveRules, build_days};
use qiliang::validate::estimate::{
    GateHour, LadderFacts, PeerHour, WEEKS_BACK, by_method, of_curve,
};
use qiliang::validate::line_pack::{self, GateReading};
use qiliang::validate::points::TotalPoint;

/// Hours taken away in a row.
pub(crate) const GAPS: [usize; 4] = [1, 6, 24, 72];
/// Days that are known before the first gap.
const HISTORY_DAYS: usize = 92;
/// Days of a city.
pub(crate) const DAYS: u32 = 140;
/// Meters of a class at most.
const METERS: usize = 40;
/// Gaps of a length in each meter.
const PLACES: usize = 5;
/// One meter in so many of a zone is silent when its gates are asked.
const SILENT: usize = 10;
const UNITS: f64 = 10_000.0;

/// How a step did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    /// Hours estimated.
    pub(crate) hours: usize,
    flowed: f64,
    off: f64,
    sum: f64,
    within: usize,
    /// Each error by the uncertainty stated.
    ratios: Vec<f64>,
}

impl Score {
    fn add(&mut self, truth: i64, found: Estimate) {
        let truth = truth as f64 / UNITS;
        let off = found.volume.to_f64() - truth;
        self.hours += 1;
        self.flowed += truth;
        self.off += off.abs();
        self.sum += off;
        self.within += usize::from(off.abs() <= found.uncertainty.to_f64());
        self.ratios.push(off.abs() / found.uncertainty.to_f64());
    }

    /// Adds another.
    pub(crate) fn plus(&mut self, other: &Self) {
        self.hours += other.hours;
        self.flowed += other.flowed;
        self.off += other.off;
        self.sum += other.sum;
        self.within += other.within;
        self.ratios.extend(&other.ratios);
    }

    /// Σ|estimate − truth| / Σtruth.
    pub(crate) fn error(&self) -> f64 {
        self.off / self.flowed
    }

    /// Σ(estimate − truth) / Σtruth.
    pub(crate) fn bias(&self) -> f64 {
        self.sum / self.flowed
    }

    /// The part of the hours that the uncertainty contains.
    pub(crate) fn within(&self) -> f64 {
        self.within as f64 / self.hours as f64
    }

    /// How many times the uncertainty would contain four of five hours.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    pub(crate) fn stretch(&self) -> f64 {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let place = (ratios.len() as f64 * 0.8) as usize;
        ratios.get(place).copied().unwrap_or(0.0)
    }
}

/// Scores by step ("E6", "E6 by size"), class and hours missing.
pub(crate) type Scores = BTreeMap<(String, String, usize), Score>;

/// The cities that uncertainties were set by: one in autumn, when it gets colder, one from winter to spring;
/// without pipes, and behind rings.
pub(crate) fn setting_cities() -> [CityConfig; 4] {
    behind_rings([city(1, (2026, 11, 20)), city(3, (2026, 4, 20))])
}

/// The cities that they are held against: the same seasons of other seeds.
pub(crate) fn verifying_cities() -> [CityConfig; 4] {
    behind_rings([city(4, (2026, 11, 20)), city(2, (2026, 4, 20))])
}

/// Cities without pipes, and the same behind rings whose pressure swings within the day.
fn behind_rings([one, other]: [CityConfig; 2]) -> [CityConfig; 4] {
    let pipe_volumes_m3 = CityConfig::default().pipe_volumes_m3;
    let ringed = |city: &CityConfig| CityConfig {
        pipe_volumes_m3,
        ..city.clone()
    };
    [ringed(&one), ringed(&other), one, other]
}

fn city(seed: u64, (year, month, day): (i32, u32, u32)) -> CityConfig {
    let date = NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    let time = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
    CityConfig {
        seed,
        meters: 600,
        pipe_volumes_m3: [0.0; 2],
        history_days: DAYS,
        live_days: 2,
        now_at: beijing_instant(date, time),
        ..CityConfig::default()
    }
}

/// Takes hours away from cities of [`DAYS`] days and judges what each step makes of them.
///
/// # Errors
/// A unit was lost where totals bound the gap.
pub(crate) fn judge_all(
    cities: impl IntoIterator<Item = CityConfig>,
) -> Result<Scores, Box<dyn Error>> {
    let mut all = Scores::new();
    for city in cities {
        for (key, score) in judge(city)? {
            all.entry(key).or_default().plus(&score);
        }
    }
    Ok(all)
}

fn judge(config: CityConfig) -> Result<Scores, Box<dyn Error>> {
    let town = Town::new(City::new(config))?;
    let mut scores = Scores::new();
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
                let room = (DAYS as usize - HISTORY_DAYS) * 24 - gap - 30;
                let start = HISTORY_DAYS * 24 + 1 + (site * 37 + place * 211) % room;
                let lost = start..start + gap;
                if town.packs.is_empty() {
                    town.bounded(site, class, lost.clone(), &mut scores)?;
                    town.open(site, class, lost, &mut scores);
                } else {
                    // What lies in the pipes is a matter of the gates alone.
                    town.behind_ring(site, class, lost, &mut scores);
                }
            }
        }
    }
    Ok(scores)
}

/// The scores of all classes together, by step and hours missing.
pub(crate) fn all_classes(scores: &Scores) -> BTreeMap<(String, usize), Score> {
    let mut sums: BTreeMap<(String, usize), Score> = BTreeMap::new();
    for ((step, _, gap), score) in scores {
        sums.entry((step.clone(), *gap)).or_default().plus(score);
    }
    sums
}

/// Growth of a ring's pack hour by hour, and its spread where the transmitters are silent.
type Pack = (Vec<Option<StdVolume>>, StdVolume);

/// Growth of the pack of each zone that hangs on a ring, hour by hour, from what its gate's transmitters show
/// on the hour, and the spread where they are silent.
fn packs(city: &City, zones: &[Zone]) -> Result<BTreeMap<ZoneId, Pack>, Box<dyn Error>> {
    let (clock, reference) = (GasDayClock::default(), ReferenceConditions::CHINA);
    let mut packs = BTreeMap::new();
    for zone in zones.iter().filter(|zone| zone.pipe_volume_m3 > 0.0) {
        let is_gate =
            |site: &Site| site.meter.zone == zone.id && site.meter.role == MeterRole::Gate;
        let gate = city.sites().iter().position(is_gate);
        let gate = gate.ok_or("a zone without a gate")?;
        let mut growth = Vec::new();
        for day in 0..i64::from(DAYS) {
            let start = clock.start_of(city.config().start_on().plus(day));
            let readings: Vec<GateReading> = (-1..=25)
                .map(|hour| start + TimeDelta::hours(hour))
                .map(|at| {
                    let shown = city.telemetry(gate, at);
                    GateReading {
                        at,
                        pressure: AbsPressure(shown.pressure_abs_kpa),
                        temperature: Some(Temperature(shown.temperature_c)),
                    }
                })
                .collect();
            let hours = line_pack::hourly(zone.pipe_volume_m3, &readings, start, reference);
            growth.extend(hours);
        }
        let spread = line_pack::spread(zone.pipe_volume_m3, [], reference);
        packs.insert(zone.id.clone(), (growth, spread));
    }
    Ok(packs)
}

struct Town {
    city: City,
    calendar: Calendar,
    first: GasDay,
    /// What flowed in every hour, standard m³ in units, by site.
    truth: Vec<Vec<i64>>,
    classes: Vec<Option<CustomerClass>>,
    temperatures: BTreeMap<GasDay, f64>,
    plans: BTreeMap<(String, GasDay), StdVolume>,
    /// By zone: how much more lies in its ring at the end of each hour, as its gate shows it, and how far an
    /// hour that is not known may be from nothing. Empty without pipes.
    packs: BTreeMap<ZoneId, (Vec<Option<StdVolume>>, StdVolume)>,
}

/// What E7 is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// What the meter used of what was left before, or its size alone.
    Use,
    Size,
}

/// What is known of the ring's pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressures {
    Known,
    Unknown,
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
        let truth = city
            .sites()
            .iter()
            .enumerate()
            .map(|(site, place)| {
                let factor = place.meter.fixed_factor;
                let of_day = |day| city.hour_units(site, day);
                let hours = (0..DAYS as usize).flat_map(of_day);
                // Totals of working volume, too, are compared as what they become.
                hours
                    .map(|units| StdVolume::from_f64(units as f64 / UNITS * factor).units())
                    .collect()
            })
            .collect();
        let mut temperatures = BTreeMap::new();
        for day in 0..i64::from(DAYS) {
            let day = first.plus(day);
            let start = GasDayClock::default().start_of(day);
            let sum: f64 = (0..24)
                .map(|hour| city.weather().temperature_c(start + TimeDelta::hours(hour)))
                .sum();
            temperatures.insert(day, sum / 24.0);
        }
        let packs = packs(&city, &parts.zones)?;
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
            packs,
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
    fn curves(&self, site: usize, days: Range<usize>, lost: &Range<usize>) -> Vec<LoadCurve> {
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
        lost: Range<usize>,
        scores: &mut Scores,
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
        for (from, step) in [(first_day, "E1"), ((lost.start - 1) / 24, "E1 by time")] {
            // Without days before it nothing is known of the meter's day.
            let (begin, end) = (self.day(from), self.day(last_day - 1));
            let built = build_days(&rules, clock, begin, end, &points);
            let key = (step.to_owned(), class.key().to_owned(), gap);
            let score = scores.entry(key).or_default();
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
    fn open(&self, site: usize, class: CustomerClass, lost: Range<usize>, scores: &mut Scores) {
        for day in lost.start / 24..=(lost.end - 1) / 24 {
            let curve = self.curves(site, day..day + 1, &lost);
            let history = self.curves(site, day - HISTORY_DAYS..day, &lost);
            let peers = self.peers(site, class, day);
            let gate = self.gate(site, day, Given::Use, Pressures::Known);
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
            let by_size = self.gate(site, day, Given::Size, Pressures::Known);
            let unknown = LadderFacts {
                curve: None,
                history: &[],
                gate: by_size.as_ref(),
                ..facts
            };
            let of_sizes = [(Method::E6, "E6 by size"), (Method::E7, "E7 by size")];
            let steps = Method::ALL.map(|method| (method, method.key(), facts));
            let steps = steps
                .into_iter()
                .chain(of_sizes.map(|(method, step)| (method, step, unknown)));
            for (method, step, facts) in steps {
                for hour in (0..24).filter(|hour| lost.contains(&(day * 24 + hour))) {
                    // Who heats comes to E4 where there is no day as warm.
                    if method == Method::E4 && by_method(Method::E5, &facts, hour).is_some() {
                        continue;
                    }
                    if let Some(found) = by_method(method, &facts, hour) {
                        let key = (step.to_owned(), class.key().to_owned(), lost.len());
                        let truth = self.hour(site, day * 24 + hour);
                        scores.entry(key).or_default().add(truth, found);
                    }
                }
            }
        }
    }

    /// What E7 makes of the same hours where a zone hangs on a ring, with its pressures and without.
    fn behind_ring(
        &self,
        site: usize,
        class: CustomerClass,
        lost: Range<usize>,
        scores: &mut Scores,
    ) {
        let steps = [
            ("E7, ring", Given::Use, Pressures::Known),
            ("E7 by size, ring", Given::Size, Pressures::Known),
            ("E7, ring, no pressure", Given::Use, Pressures::Unknown),
            (
                "E7 by size, ring, no pressure",
                Given::Size,
                Pressures::Unknown,
            ),
        ];
        for day in lost.start / 24..=(lost.end - 1) / 24 {
            for (step, given, pressures) in steps {
                let gate = self.gate(site, day, given, pressures);
                let facts = LadderFacts {
                    day: self.day(day),
                    curve: None,
                    history: &[],
                    calendar: &self.calendar,
                    class: Some(class),
                    temperatures: &self.temperatures,
                    size: self.size(site),
                    peers: None,
                    gate: gate.as_ref(),
                    plan: None,
                };
                for hour in (0..24).filter(|hour| lost.contains(&(day * 24 + hour))) {
                    if let Some(found) = by_method(Method::E7, &facts, hour) {
                        let key = (step.to_owned(), class.key().to_owned(), lost.len());
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

    fn zone(&self, site: usize) -> Option<&ZoneId> {
        let site = self.city.sites().get(site)?;
        Some(&site.meter.zone)
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

    /// With one meter in ten of the zone silent; by what these used on the same weekday before, or by size.
    fn gate(
        &self,
        site: usize,
        day: usize,
        given: Given,
        pressures: Pressures,
    ) -> Option<[Option<GateHour>; 24]> {
        let is_by_use = given == Given::Use;
        let pipes = self.packs.get(self.zone(site)?);
        let (grown, spread) = match (pipes, pressures) {
            (Some((grown, _)), Pressures::Known) => (Some(grown), StdVolume::ZERO),
            (Some((_, spread)), Pressures::Unknown) => (None, *spread),
            (None, _) => (None, StdVolume::ZERO),
        };
        let grown_in = |hour: usize| {
            let of_hour = grown.map_or(Some(StdVolume::ZERO), |grown| *grown.get(hour)?);
            of_hour.map_or(0, StdVolume::units)
        };
        let in_zone = |other: &usize| self.zone(*other) == self.zone(site);
        let members: Vec<usize> = (0..self.truth.len()).filter(in_zone).collect();
        let is_gate = |other: usize| {
            let place = self.city.sites().get(other);
            place.is_some_and(|place| place.meter.role == MeterRole::Gate)
        };
        let is_silent = |other: usize| !is_gate(other) && other % SILENT == site % SILENT;
        let left_on = |day: usize, hour: usize| -> i64 {
            let spoken = members.iter().copied().filter(|other| !is_silent(*other));
            let left: i64 = spoken
                .map(|other| {
                    let units = self.hour(other, day * 24 + hour);
                    if is_gate(other) { units } else { -units }
                })
                .sum();
            left - grown_in(day * 24 + hour)
        };
        let has_gate = members.iter().any(|other| is_gate(*other));
        let silent: Vec<usize> = members.iter().copied().filter(|m| is_silent(*m)).collect();
        let left: Vec<StdVolume> = (0..24)
            .map(|hour| StdVolume::from_units(left_on(day, hour)))
            .collect();
        let weeks = || WEEKS_BACK.map(|back| day - usize::try_from(back).unwrap_or(0));
        let mut hours = [None; 24];
        for (hour, slot) in hours.iter_mut().enumerate() {
            let left = *left.get(hour)?;
            let (own, all) = if is_by_use {
                let own = weeks().map(|day| self.hour(site, day * 24 + hour));
                let left = weeks().map(|day| left_on(day, hour));
                (own.iter().sum(), left.iter().sum())
            } else {
                let sizes = silent.iter().map(|other| self.size(*other));
                (self.size(site), sizes.sum())
            };
            *slot = Some(GateHour {
                left,
                own,
                all,
                is_by_use,
                pack: spread,
            });
        }
        has_gate.then_some(hours)
    }

    fn plan(&self, site: usize, day: usize) -> Option<StdVolume> {
        let customer = self.city.sites().get(site)?.meter.customer.as_ref()?;
        let plan = self.plans.get(&(customer.to_string(), self.day(day)))?;
        let sites = self.city.sites().iter().enumerate();
        let own = sites.filter(|(_, site)| site.meter.customer.as_ref() == Some(customer));
        let all: i64 = own.map(|(other, _)| self.size(other)).sum();
        let part = i128::from(plan.units()) * i128::from(self.size(site)) / i128::from(all.max(1));
        i64::try_from(part).ok().map(StdVolume::from_units)
    }
}
