//! What people expect of the city: the usual year, and the plans enterprises file.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasDayClock, GasMonth};
use crate::domain::filing::FiledPlan;
use crate::domain::quantity::StdVolume;
use crate::simulate::city::{City, CityConfig};
use crate::simulate::load::{self, LoadKind};
use crate::simulate::noise::{Stream, day_key, position};
use crate::simulate::supply::LOSS_RATIO;
use crate::simulate::weather::climate_c;

impl City {
    /// Plans the enterprises filed that were known at `known_at`: on Sunday evening for the seven
    /// gas days from Monday on. One in four never files; each has its own bias.
    pub fn filed_plans(&self, known_at: DateTime<Utc>) -> Vec<FiledPlan> {
        let clock = GasDayClock::default();
        let mut plans = Vec::new();
        let mut sites_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, site) in self.sites().iter().enumerate() {
            if let Some(customer) = site.customer.filter(|c| *c < self.enterprises()) {
                sites_of.entry(customer).or_default().push(i);
            }
        }
        let days = position(self.config().end_on().days_since(self.config().start_on()));
        for (customer, sites) in sites_of.iter().filter(|(c, _)| *c % 4 != 3) {
            let key = *customer as u64;
            let bias = 0.04 * self.noise().normal(Stream::Plan, key, 0);
            for index in 0..days {
                let day = self
                    .config()
                    .start_on()
                    .plus(i64::try_from(index).unwrap_or(0));
                let monday = day.plus(-i64::from(day.0.weekday().num_days_from_monday()));
                // Sunday 17:00 is nine hours into the gas day before Monday's.
                let available_at = clock.start_of(monday.plus(-1)) + TimeDelta::hours(9);
                if available_at > known_at || day.0 < self.customers()[*customer].connected_on {
                    continue;
                }
                let planned: f64 = sites
                    .iter()
                    .map(|site| self.planned_m3(*site, day, available_at))
                    .sum();
                let error = 0.05
                    * self
                        .noise()
                        .normal(Stream::Plan, key, day_key(i64::from(day.epoch_day())));
                let volume = (planned * (1.0 + bias + error)).max(0.0);
                plans.push(FiledPlan {
                    customer: self.customers()[*customer].id.clone(),
                    day,
                    // People plan in tens of cubic metres.
                    volume: StdVolume::from_f64((volume / 10.0).round() * 10.0),
                    available_at,
                });
            }
        }
        plans
    }

    /// What a planner expects of a site: the climate's usual day, and the shutdowns decided by then.
    fn planned_m3(&self, site: usize, day: GasDay, known_at: DateTime<Utc>) -> f64 {
        let place = &self.sites()[site];
        let (Some(kind), Some(customer)) = (place.kind, place.customer) else {
            return 0.0;
        };
        let usual = load::expected_m3(
            kind,
            day.0,
            climate_c(day.0),
            &self.config().calendar,
            reference_on(self.config()),
        );
        let mut factor = 1.0;
        for event in self.script().load.iter().filter(|e| e.customer == customer) {
            let is_known = event.declared_at.is_some_and(|at| at <= known_at);
            if is_known && event.from_on <= day.0 && day.0 <= event.to_on {
                factor *= event.factor;
            }
        }
        if self.is_new_plant(customer) {
            factor *= self.script().load_factor(customer, true, day.0);
        }
        usual * place.share * factor
    }

    /// Normal daily use of a customer, m³: its part of a usual year.
    pub(crate) fn normal_m3(&self, customer: usize) -> f64 {
        let year = usual_year(self.config());
        self.sites()
            .iter()
            .filter(|s| s.customer == Some(customer))
            .filter_map(|s| Some(s.share * year[s.kind?.index()].iter().sum::<f64>() / 365.0))
            .sum()
    }

    /// What the city is expected to buy in each calendar month, m³, January first.
    pub(crate) fn usual_purchase_m3(&self) -> [f64; 12] {
        let year = usual_year(self.config());
        let industry = [
            (LoadKind::IndustryThree, 0.0),
            (LoadKind::IndustryTwo, 0.0),
            (LoadKind::IndustryOne, 0.0),
        ]
        .map(|(kind, _)| {
            let part: f64 = self
                .sites()
                .iter()
                .filter(|s| s.kind == Some(kind))
                .map(|s| s.share)
                .sum();
            (kind, part)
        });
        std::array::from_fn(|month| {
            let other: f64 = LoadKind::ALL
                .iter()
                .filter(|k| !k.is_industry())
                .map(|k| year[k.index()][month])
                .sum();
            let industry: f64 = industry
                .iter()
                .map(|(kind, part)| year[kind.index()][month] * part)
                .sum();
            (other + industry) * (1.0 + LOSS_RATIO)
        })
    }
}

/// The date at which levels are exactly those of the reference: the middle of the history.
pub(crate) fn reference_on(config: &CityConfig) -> NaiveDate {
    config.start_on().0 + TimeDelta::days(i64::from(config.history_days) / 2)
}

/// What each kind takes in each calendar month of a usual year, if the whole city were of it, m³.
pub(crate) fn usual_year(config: &CityConfig) -> Vec<[f64; 12]> {
    let year = config.today().0.year();
    LoadKind::ALL
        .iter()
        .map(|kind| {
            std::array::from_fn(|month0| {
                let month = GasMonth {
                    year,
                    month: u32::try_from(month0).unwrap_or(0) + 1,
                };
                month
                    .days()
                    .into_iter()
                    .map(|day| {
                        load::expected_m3(*kind, day.0, climate_c(day.0), &config.calendar, day.0)
                    })
                    .sum()
            })
        })
        .collect()
}
