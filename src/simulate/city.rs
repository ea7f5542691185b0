//! The city: who uses how much gas in which hour, and what the meters show of it.

mod pipes;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::Customer;
use crate::domain::id::DeviceId;
use crate::domain::meter::{Gateway, MeterExchange, MeterRole};
use crate::domain::quantity::{
    AbsPressure, ReferenceConditions, Temperature, WorkVolume, conversion_factor,
};
use crate::domain::weather::WeatherVintage;
pub use crate::simulate::config::CityConfig;
use crate::simulate::fault::{self, Fault};
use crate::simulate::load::{self, LoadKind};
use crate::simulate::noise::{Noise, Stream, day_key, position, units};
use crate::simulate::script::{Script, cold_snaps, commissioned_on};
use crate::simulate::site::{LOW_PRESSURE_FACTOR, Layout, Site, Wire, lay_out};
use crate::simulate::supply::{self, ZONE_IDS};
use crate::simulate::usual::{reference_on, usual_year};
use crate::simulate::weather::Weather;

pub(crate) use self::pipes::RING_KPA;

/// A deterministic city.
///
/// Demand is made hour by hour for every meter, in whole units of 1e-4 m³, and added up exactly:
/// totals at the start of each gas day are kept (8 bytes for a meter and day), hours in between are
/// made again when asked for.
///
/// A residential meter is a neighbourhood's (楼栋表) and stands for `Customer::households`
/// households; with fewer meters each stands for more, and the city's total stays the same.
#[derive(Debug, Clone)]
pub struct City {
    config: CityConfig,
    noise: Noise,
    weather: Weather,
    script: Script,
    layout: Layout,
    first_date: NaiveDate,
    /// Volume of each kind by civil day, m³/d, if the whole city were in the zone:
    /// `[zone][kind][date]`.
    class_days: Vec<Vec<Vec<f64>>>,
    /// Totals at the start of each gas day, units, without rollover or exchange: `[site][day]`.
    totals: Vec<Vec<i64>>,
    /// Working totals of correctors, alike; empty for other sites.
    work_totals: Vec<Vec<i64>>,
    /// Hourly standard volume of each zone, units: `[zone][hour]`.
    zone_hours: Vec<Vec<i64>>,
    quirks: BTreeMap<usize, Quirk>,
    by_device: BTreeMap<DeviceId, usize>,
}

/// What the totaliser does that the gas does not; totals in units without quirk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quirk {
    Exchange {
        at: DateTime<Utc>,
        old_units: i64,
        new_units: i64,
    },
    Stuck {
        from_at: DateTime<Utc>,
        to_at: DateTime<Utc>,
        from_units: i64,
        to_units: i64,
    },
}

/// Totals a meter shows, in units of 1e-4 m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Standard total.
    pub std_units: i64,
    /// Working total.
    pub work_units: i64,
}

/// Pressure and temperature at a corrector on a gas day, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Gas temperature, °C.
    pub temperature_c: f64,
    /// Absolute pressure, kPa.
    pub pressure_abs_kpa: f64,
    /// Z₀/Z.
    pub k_ratio: f64,
    /// Conversion factor.
    pub factor: f64,
}

impl Conditions {
    /// At a pressure and temperature as transmitters show them.
    fn of(pressure_abs_kpa: f64, temperature_c: f64, k_ratio: f64) -> Self {
        // Steps of 1/8 are exact in f32 registers.
        let eighth = |value: f64| (value * 8.0).round() / 8.0;
        let (pressure_abs_kpa, temperature_c) = (eighth(pressure_abs_kpa), eighth(temperature_c));
        Self {
            temperature_c,
            pressure_abs_kpa,
            k_ratio,
            factor: conversion_factor(
                AbsPressure(pressure_abs_kpa),
                Temperature(temperature_c),
                k_ratio,
                ReferenceConditions::CHINA,
            ),
        }
    }
}

/// Z₀/Z of gas 1 in domain.md §3.7, table 4, at 15 °C: 1.0044 at 200 kPa gauge, 1.033 at 1600 kPa.
fn k_ratio(gauge_kpa: f64) -> f64 {
    1.0 + gauge_kpa * 2.1e-5
}

/// Units in which a total of `digits` digits starts over.
const fn rollover_units(digits: u32) -> i64 {
    10_i64.pow(if digits > 14 { 14 } else { digits } + 4)
}

impl City {
    /// Builds the city.
    ///
    /// # Shape
    /// Gas days `config.start_on()` (included) to `config.end_on()` (excluded). Beyond the end
    /// totals stand still.
    pub fn new(config: CityConfig) -> Self {
        let noise = Noise::new(config.seed);
        let first_date = config.start_on().0 - TimeDelta::days(4);
        let days = position(config.end_on().days_since(config.start_on()));
        let snaps = cold_snaps(&config);
        // Four days back for the memory of the effective temperature, and ahead as far as a
        // forecast of the last day reaches.
        let weather = Weather::new(noise, first_date - TimeDelta::days(4), days + 24, &snaps);
        let year = usual_year(&config);
        let year_m3 = |kind: LoadKind| year[kind.index()].iter().sum();
        let layout = lay_out(&config, &year_m3, commissioned_on(&config));
        let script = Script::new(&config, &layout);
        let class_days = class_days(&config, noise, &weather, first_date, days + 6);
        let by_device = layout
            .sites
            .iter()
            .enumerate()
            .map(|(i, s)| (s.meter.device.clone(), i))
            .collect();
        let sites = layout.sites.len();
        let mut city = Self {
            config,
            noise,
            weather,
            script,
            layout,
            first_date,
            class_days,
            totals: vec![Vec::new(); sites],
            work_totals: vec![Vec::new(); sites],
            zone_hours: vec![vec![0; days * 24]; ZONE_IDS.len()],
            quirks: BTreeMap::new(),
            by_device,
        };
        city.fill_totals(days);
        city.place_quirks();
        city
    }

    fn fill_totals(&mut self, days: usize) {
        let customers = (0..self.layout.sites.len())
            .filter(|i| self.layout.sites[*i].meter.role == MeterRole::Customer);
        let gates = (0..self.layout.sites.len())
            .filter(|i| self.layout.sites[*i].meter.role == MeterRole::Gate);
        for index in customers.chain(gates).collect::<Vec<_>>() {
            let site = &self.layout.sites[index];
            let (zone, factor) = (site.zone, site.meter.fixed_factor);
            let is_customer = site.meter.role == MeterRole::Customer;
            let has_corrector = site.gauge_kpa > 0.0;
            let mut total = site.start_m3 * 10_000;
            let mut work = (total as f64 / self.conditions(index, 0).factor).round();
            let mut totals = Vec::with_capacity(days + 1);
            let mut work_totals = Vec::new();
            for day in 0..days {
                let hours = self.hour_units(index, day);
                totals.push(total);
                let volume: i64 = hours.iter().sum();
                if has_corrector {
                    work_totals.push(units(work / 10_000.0));
                    work += if is_customer {
                        (volume as f64 / self.conditions(index, day).factor).round()
                    } else {
                        let works = self.gate_work_hours(zone, day, &hours);
                        works.iter().sum::<i64>() as f64
                    };
                }
                total += volume;
                if is_customer {
                    for (hour, value) in hours.into_iter().enumerate() {
                        self.zone_hours[zone][day * 24 + hour] +=
                            units(value as f64 / 10_000.0 * factor);
                    }
                }
            }
            totals.push(total);
            if has_corrector {
                work_totals.push(units(work / 10_000.0));
            }
            self.totals[index] = totals;
            self.work_totals[index] = work_totals;
        }
    }

    fn place_quirks(&mut self) {
        if let Some((site, at)) = self.script.rollover {
            // Shift the whole history so that the totaliser is full at that very instant, with so
            // few digits as do for the span.
            let span = self.totals[site].last().unwrap_or(&0) - self.totals[site][0];
            let digits = (5..12)
                .find(|d| rollover_units(*d) > 2 * span)
                .unwrap_or(12);
            let shift = rollover_units(digits) - self.true_units(site, at);
            self.totals[site].iter_mut().for_each(|t| *t += shift);
            self.layout.sites[site].meter.total_digits = digits;
        }
        for (site, at) in self.script.exchanges.clone() {
            let old_units = self.true_units(site, at);
            self.quirks.insert(
                site,
                Quirk::Exchange {
                    at,
                    old_units,
                    // The new meter has run 1.2 m³ on the test bench.
                    new_units: 12_000,
                },
            );
        }
        if let Some((site, from_at, to_at)) = self.script.stuck {
            let (from_units, to_units) =
                (self.true_units(site, from_at), self.true_units(site, to_at));
            self.quirks.insert(
                site,
                Quirk::Stuck {
                    from_at,
                    to_at,
                    from_units,
                    to_units,
                },
            );
        }
    }

    /// What it was built from.
    pub fn config(&self) -> &CityConfig {
        &self.config
    }

    /// Its metered places; gate stations first.
    pub fn sites(&self) -> &[Site] {
        &self.layout.sites
    }

    /// Its customers; the ledger enterprises first.
    pub fn customers(&self) -> &[Customer] {
        &self.layout.customers
    }

    /// How many customers are ledger enterprises.
    pub fn enterprises(&self) -> usize {
        self.layout.enterprises
    }

    /// Its Modbus gateways.
    pub fn gateways(&self) -> &[Gateway] {
        &self.layout.gateways
    }

    /// Its weather.
    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    /// Weather vintages that become known in `[from, to)`, in that order.
    pub fn weather_vintages(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = WeatherVintage> + '_ {
        self.weather.vintages(from, to)
    }

    /// Everything that is made to go wrong, in time order: a table people can read.
    pub fn faults(&self) -> Vec<Fault> {
        fault::table(
            &self.script,
            &self.config,
            &self.layout.sites,
            &self.layout.customers,
        )
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    pub(crate) fn noise(&self) -> Noise {
        self.noise
    }

    /// Position of a device among the sites.
    pub fn site_of(&self, device: &DeviceId) -> Option<usize> {
        self.by_device.get(device).copied()
    }

    /// Position of a gas day in the city's span, if it is inside.
    pub fn day_index(&self, day: GasDay) -> Option<usize> {
        let index = usize::try_from(day.days_since(self.config.start_on())).ok()?;
        (day < self.config.end_on()).then_some(index)
    }

    /// Volume of each hour of a gas day that flows through a meter, units of 1e-4 m³ of its
    /// settlement total (working m³ where that settles); hour 0 starts at 08:00.
    pub fn hour_units(&self, site: usize, day: usize) -> [i64; 24] {
        let place = &self.layout.sites[site];
        match place.kind {
            Some(kind) => self.customer_hours(place, site, kind, day),
            None => self.gate_hours(place.zone, day),
        }
    }

    fn customer_hours(&self, place: &Site, site: usize, kind: LoadKind, day: usize) -> [i64; 24] {
        let date = self
            .config
            .start_on()
            .plus(i64::try_from(day).unwrap_or(0))
            .0;
        let shares = kind.hour_shares();
        // The 16 hours from 08:00 belong to the first civil day, the 8 after midnight to the next.
        let today = self.civil_day_m3(place, site, kind, date);
        let tomorrow = self.civil_day_m3(place, site, kind, date + TimeDelta::days(1));
        let (_, hour_spread) = kind.meter_spread();
        let first_hour = self.epoch_key(day).wrapping_mul(24);
        std::array::from_fn(|hour| {
            let civil = (hour + 8) % 24;
            let rate = if hour < 16 { today } else { tomorrow };
            let noise = self.noise.normal(
                Stream::MeterHour,
                site as u64,
                first_hour.wrapping_add(hour as u64),
            );
            units(rate * shares[civil] * (1.0 + hour_spread * noise).max(0.05))
        })
    }

    /// What a meter takes on a civil day, m³ of its settlement total.
    fn civil_day_m3(&self, place: &Site, site: usize, kind: LoadKind, date: NaiveDate) -> f64 {
        let index = position((date - self.first_date).num_days());
        let class = self.class_days[place.zone][kind.index()]
            .get(index)
            .copied()
            .unwrap_or(0.0);
        let (day_spread, _) = kind.meter_spread();
        let epoch = (date - NaiveDate::default()).num_days();
        let noise = self
            .noise
            .autoregressive(Stream::MeterDay, site as u64, epoch, 0.7);
        let scripted = place.customer.map_or(1.0, |customer| {
            let is_new = self.is_new_plant(customer);
            if is_new || self.script.has_events(customer) {
                self.script.load_factor(customer, is_new, date)
            } else {
                1.0
            }
        });
        class * place.share * (1.0 + day_spread * noise).max(0.1) * scripted
            / place.meter.fixed_factor
    }

    pub(crate) fn is_new_plant(&self, customer: usize) -> bool {
        customer + 1 == self.layout.enterprises
    }

    /// Conditions at a site's corrector on a gas day; those of low pressure where there is none.
    pub fn conditions(&self, site: usize, day: usize) -> Conditions {
        let place = &self.layout.sites[site];
        if place.gauge_kpa <= 0.0 {
            return Conditions {
                temperature_c: 15.0,
                pressure_abs_kpa: 103.825,
                k_ratio: 1.0,
                factor: LOW_PRESSURE_FACTOR,
            };
        }
        if place.kind.is_none() {
            return self.gate_conditions(place.zone, day, 0.5);
        }
        let on = self.config.start_on().plus(i64::try_from(day).unwrap_or(0));
        let noise = self
            .noise
            .normal(Stream::Telemetry, site as u64, self.epoch_key(day));
        let pressure_kpa = place.gauge_kpa * (1.0 + 0.004 * noise) + supply::ATMOSPHERE_KPA;
        Conditions::of(pressure_kpa, self.ground_c(on.0), k_ratio(place.gauge_kpa))
    }

    /// Temperature of gas in buried pipes, °C: follows the air at two fifths.
    fn ground_c(&self, date: NaiveDate) -> f64 {
        12.0 + 0.4 * (self.weather.daily_mean_c(date) - 12.0)
    }

    /// What a site's transmitters show at an instant: the conditions of its day, or the ring's at a gate, and around them what
    /// pressure and temperature move in a quarter of an hour. The factor is that of what is shown.
    pub fn telemetry(&self, site: usize, at: DateTime<Utc>) -> Conditions {
        let day = self.day_index(GasDayClock::default().day_of(at));
        let place = &self.layout.sites[site];
        let of_now = match (day, place.kind) {
            (Some(day), None) => {
                let (_, into) = self.place_in_span(at);
                self.gate_conditions(place.zone, day, into as f64 / 86_400.0)
            }
            _ => self.conditions(site, day.unwrap_or(0)),
        };
        if place.gauge_kpa <= 0.0 {
            return of_now;
        }
        let quarter = day_key(at.timestamp().div_euclid(900));
        let moved = |salt: u64, size: f64| {
            let place = site as u64 + (salt << 32);
            (size * self.noise.normal(Stream::Telemetry, place, quarter) * 8.0).round() / 8.0
        };
        let temperature_c = of_now.temperature_c + moved(1, 0.25);
        let pressure_abs_kpa = of_now.pressure_abs_kpa + moved(2, 0.5);
        Conditions {
            temperature_c,
            pressure_abs_kpa,
            factor: conversion_factor(
                AbsPressure(pressure_abs_kpa),
                Temperature(temperature_c),
                of_now.k_ratio,
                ReferenceConditions::CHINA,
            ),
            ..of_now
        }
    }

    /// Everything that has flowed through a meter by an instant, units of its settlement total,
    /// since a start before the city's; without rollover, exchange or standstill.
    pub fn true_units(&self, site: usize, at: DateTime<Utc>) -> i64 {
        let (day, into) = self.place_in_span(at);
        let totals = &self.totals[site];
        let Some(start) = totals.get(day).copied() else {
            return totals.last().copied().unwrap_or(0);
        };
        if day + 1 >= totals.len() || into <= 0 {
            return start;
        }
        start + partial(&self.hour_units(site, day), into)
    }

    /// Gas day position and seconds into it; before the span the first instant of it.
    fn place_in_span(&self, at: DateTime<Utc>) -> (usize, i64) {
        let clock = GasDayClock::default();
        let seconds = (at - clock.start_of(self.config.start_on()))
            .num_seconds()
            .max(0);
        (position(seconds / 86_400), seconds % 86_400)
    }

    /// What a meter's totalisers show at an instant.
    pub fn shown(&self, site: usize, at: DateTime<Utc>) -> Totals {
        self.shown_of(site, at, self.true_units(site, at))
    }

    /// What a meter's totalisers show at the end of each hour of a gas day.
    pub fn shown_hourly(&self, site: usize, day: GasDay) -> [Totals; 24] {
        let start_at = GasDayClock::default().start_of(day);
        let mut total = self.true_units(site, start_at);
        let hours = self
            .day_index(day)
            .map_or([0; 24], |index| self.hour_units(site, index));
        let mut end_at = start_at;
        hours.map(|volume| {
            total += volume;
            end_at += TimeDelta::hours(1);
            self.shown_of(site, end_at, total)
        })
    }

    fn shown_of(&self, site: usize, at: DateTime<Utc>, true_units: i64) -> Totals {
        let place = &self.layout.sites[site];
        let counted = match self.quirks.get(&site) {
            Some(Quirk::Exchange {
                at: exchanged_at,
                old_units,
                new_units,
            }) if at >= *exchanged_at => true_units - old_units + new_units,
            Some(Quirk::Stuck {
                from_at,
                to_at,
                from_units,
                to_units,
            }) if at >= *from_at => {
                if at < *to_at {
                    *from_units
                } else {
                    true_units - (to_units - from_units)
                }
            }
            _ => true_units,
        };
        let modulus = rollover_units(place.meter.total_digits);
        if place.gauge_kpa > 0.0 {
            let work = self.work_units(site, at, true_units);
            return Totals {
                std_units: counted.rem_euclid(modulus),
                work_units: work.rem_euclid(modulus),
            };
        }
        if place.wire == Wire::Cjt188 {
            // Two decimals are all the frame has.
            let work_units = (counted / 100 * 100).rem_euclid(modulus);
            return Totals {
                std_units: 0,
                work_units,
            };
        }
        let std_units = counted.rem_euclid(modulus);
        Totals {
            std_units,
            work_units: std_units * 10_000 / units(LOW_PRESSURE_FACTOR),
        }
    }

    /// Working total of a corrector: within a day in proportion to the standard total, at a gate by the
    /// ring's state.
    fn work_units(&self, site: usize, at: DateTime<Utc>, true_units: i64) -> i64 {
        let (day, into) = self.place_in_span(at);
        let place = &self.layout.sites[site];
        if place.kind.is_none()
            && let (Some(start), true) = (
                self.work_totals[site].get(day),
                day + 1 < self.totals[site].len(),
            )
        {
            let hours = self.gate_hours(place.zone, day);
            return start + partial(&self.gate_work_hours(place.zone, day, &hours), into);
        }
        let (totals, works) = (&self.totals[site], &self.work_totals[site]);
        let (Some([from, to]), Some([work_from, work_to])) = (pair(totals, day), pair(works, day))
        else {
            return works.last().copied().unwrap_or(0);
        };
        let volume = i128::from(to - from);
        if volume == 0 {
            return work_from;
        }
        let into = i128::from(true_units - from);
        work_from + i64::try_from(i128::from(work_to - work_from) * into / volume).unwrap_or(0)
    }

    /// Standard flow at an instant, m³/h: that of its hour, which wanders by a hundredth from second to second
    /// as a flow does.
    pub fn flow_std_m3h(&self, site: usize, at: DateTime<Utc>) -> f64 {
        let (day, into) = self.place_in_span(at);
        if day + 1 >= self.totals[site].len() {
            return 0.0;
        }
        let hour = position(into / 3600).min(23);
        let noise = self
            .noise
            .normal(Stream::Flow, site as u64, at.timestamp().cast_unsigned());
        self.hour_units(site, day)[hour] as f64 / 10_000.0
            * self.layout.sites[site].meter.fixed_factor
            * (1.0 + 0.01 * noise)
    }

    /// Demand of a zone in an hour, m³ (all customers' meters, standard).
    pub fn zone_hour_m3(&self, zone: usize, day: usize, hour: usize) -> f64 {
        self.zone_hours
            .get(zone)
            .and_then(|hours| hours.get(day * 24 + hour))
            .map_or(0.0, |units| *units as f64 / 10_000.0)
    }

    /// Demand of the whole city on a gas day, m³.
    pub fn day_m3(&self, day: usize) -> f64 {
        (0..ZONE_IDS.len())
            .flat_map(|zone| (0..24).map(move |hour| (zone, hour)))
            .map(|(zone, hour)| self.zone_hour_m3(zone, day, hour))
            .sum()
    }

    /// Standard volume of a meter on a gas day, m³.
    #[cfg(test)]
    pub(crate) fn site_day_m3(&self, site: usize, day: usize) -> f64 {
        match pair(&self.totals[site], day) {
            Some([from, to]) => {
                (to - from) as f64 / 10_000.0 * self.layout.sites[site].meter.fixed_factor
            }
            None => 0.0,
        }
    }

    /// Meter exchanges within the span.
    pub(crate) fn exchanges(&self) -> Vec<MeterExchange> {
        self.script
            .exchanges
            .iter()
            .filter_map(|(site, at)| {
                let place = &self.layout.sites[*site];
                let just_before = self.true_units(*site, *at) / 100 * 100;
                match self.quirks.get(site) {
                    Some(Quirk::Exchange { new_units, .. }) => Some(MeterExchange {
                        meter: place.meter.id.clone(),
                        exchanged_at: *at,
                        old_total: WorkVolume::from_units(if place.wire == Wire::Cjt188 {
                            just_before
                        } else {
                            self.true_units(*site, *at)
                        }),
                        new_total: WorkVolume::from_units(*new_units),
                    }),
                    _ => None,
                }
            })
            .collect()
    }

    fn epoch_key(&self, day: usize) -> u64 {
        let day = i64::try_from(day).unwrap_or(0);
        day_key(i64::from(self.config.start_on().epoch_day()) + day)
    }
}

/// Units that have flowed `into` seconds of a day, linear within the hour.
fn partial(hours: &[i64; 24], into: i64) -> i64 {
    let hour = position(into / 3600).min(23);
    let before: i64 = hours.iter().take(hour).sum();
    before + hours[hour] * (into - 3600 * i64::try_from(hour).unwrap_or(0)) / 3600
}

fn pair(totals: &[i64], day: usize) -> Option<[i64; 2]> {
    Some([*totals.get(day)?, *totals.get(day + 1)?])
}

fn class_days(
    config: &CityConfig,
    noise: Noise,
    weather: &Weather,
    first_date: NaiveDate,
    days: usize,
) -> Vec<Vec<Vec<f64>>> {
    let reference = reference_on(config);
    let effective: Vec<(NaiveDate, f64)> = first_date
        .iter_days()
        .take(days)
        .map(|date| (date, weather.effective_c(date)))
        .collect();
    (0..ZONE_IDS.len())
        .map(|zone| {
            LoadKind::ALL
                .iter()
                .map(|kind| {
                    let stream = (zone * 16 + kind.index()) as u64;
                    effective
                        .iter()
                        .map(|(date, effective_c)| {
                            let epoch = (*date - NaiveDate::default()).num_days();
                            // What no model can know: 1.5 % of the class, slow from day to day.
                            let common = noise.autoregressive(Stream::ClassDay, stream, epoch, 0.6);
                            load::expected_m3(
                                *kind,
                                *date,
                                *effective_c,
                                &config.calendar,
                                reference,
                            ) * (1.0 + 0.015 * common)
                        })
                        .collect()
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests;
