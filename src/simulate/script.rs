//! What goes wrong in the city, and when: written down before it happens, so that everyone can
//! compare what the daemon makes of it with what was done to it.

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::Customer;
use crate::domain::filing::{ChangeKind, ProductionChange};
use crate::domain::meter::MeterRole;
use crate::simulate::config::CityConfig;
use crate::simulate::load::LoadKind;
use crate::simulate::site::{Layout, Wire};
use crate::simulate::weather::{ColdSnap, climate_c};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// A change of a customer's use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadEvent {
    pub(crate) customer: usize,
    pub(crate) from_on: NaiveDate,
    /// Included.
    pub(crate) to_on: NaiveDate,
    /// Part of the normal use that is left.
    pub(crate) factor: f64,
    /// When the customer told us, if at all.
    pub(crate) declared_at: Option<DateTime<Utc>>,
}

/// An outage of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) channel: String,
    pub(crate) from_at: DateTime<Utc>,
    pub(crate) to_at: DateTime<Utc>,
    pub(crate) is_modbus: bool,
}

/// Everything scripted.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) commissioned_on: NaiveDate,
    pub(crate) snaps: Vec<ColdSnap>,
    pub(crate) load: Vec<LoadEvent>,
    pub(crate) outages: Vec<Outage>,
    /// Meter position, when.
    pub(crate) exchanges: Vec<(usize, DateTime<Utc>)>,
    pub(crate) stuck: Option<(usize, DateTime<Utc>, DateTime<Utc>)>,
    pub(crate) rollover: Option<(usize, DateTime<Utc>)>,
    pub(crate) mismatches: Vec<(usize, DateTime<Utc>, DateTime<Utc>)>,
}

/// Part of its full use that a new plant takes in its first, second, … month (domain.md §6.1).
const RAMP: [f64; 5] = [0.3, 0.5, 0.7, 0.85, 1.0];

/// When the new plant starts.
pub(crate) fn commissioned_on(config: &CityConfig) -> NaiveDate {
    back(config, 75).0
}

/// Cold snaps: one a few days ahead of now, and one in the third week of every January.
pub(crate) fn cold_snaps(config: &CityConfig) -> Vec<ColdSnap> {
    let next = config.today().0 + TimeDelta::days(4);
    // In the warm half of the year eight below would be absurd: eight degrees less than usual.
    let usual = climate_c(next);
    let low_c = if usual < 12.0 {
        -8.0
    } else {
        usual - 4.5 - 8.0
    };
    let mut snaps = vec![ColdSnap {
        from_on: next,
        low_c,
    }];
    let (first, last) = (
        chrono::Datelike::year(&config.start_on().0),
        chrono::Datelike::year(&config.end_on().0),
    );
    snaps.extend((first..=last).filter_map(|year| {
        Some(ColdSnap {
            from_on: NaiveDate::from_ymd_opt(year, 1, 18)?,
            low_c: -12.0,
        })
    }));
    snaps
}

/// `days` gas days before now, or as far back as half the history goes.
fn back(config: &CityConfig, days: i64) -> GasDay {
    let most = (i64::from(config.history_days) / 2).max(1);
    config.today().plus(-days.min(most))
}

impl Script {
    pub(crate) fn new(config: &CityConfig, layout: &Layout) -> Self {
        let clock = GasDayClock::default();
        let at = |day: GasDay, hours: i64| clock.start_of(day) + TimeDelta::hours(hours);
        let now = config.now_at;
        let find = |wire: Wire, kind: LoadKind, skip: usize| {
            layout
                .sites
                .iter()
                .enumerate()
                .filter(|(_, s)| s.wire == wire && s.kind == Some(kind))
                .map(|(i, _)| i)
                .nth(skip)
        };
        let corrector = layout
            .sites
            .iter()
            .position(|s| s.wire == Wire::Modbus && s.meter.role == MeterRole::Customer);
        let mut outages = vec![
            Outage {
                channel: "nb-01".into(),
                from_at: at(back(config, 15), 0),
                to_at: at(back(config, 15), 6),
                is_modbus: false,
            },
            Outage {
                channel: "dtu-01".into(),
                from_at: now + TimeDelta::hours(2),
                to_at: now + TimeDelta::minutes(210),
                is_modbus: false,
            },
        ];
        for (channel, from_at, hours) in [
            ("gw-m02", at(back(config, 8), 2), 6),
            ("gw-m01", now + TimeDelta::hours(5), 2),
        ] {
            outages.push(Outage {
                channel: channel.into(),
                from_at,
                to_at: from_at + TimeDelta::hours(hours),
                is_modbus: true,
            });
        }
        let exchanges = [
            (
                find(Wire::Json, LoadKind::Cooking, 1),
                at(back(config, 30), 3),
            ),
            (
                find(Wire::Cjt188, LoadKind::Commercial, 0),
                at(back(config, 100), 6),
            ),
        ]
        .into_iter()
        .filter_map(|(site, at)| Some((site?, at)))
        .collect();
        let mismatches = corrector.map_or_else(Vec::new, |site| {
            vec![
                (site, at(back(config, 5), 4), at(back(config, 5), 5)),
                (
                    site,
                    now + TimeDelta::minutes(40),
                    now + TimeDelta::minutes(60),
                ),
            ]
        });
        Self {
            commissioned_on: commissioned_on(config),
            snaps: cold_snaps(config),
            load: load_events(config, layout.enterprises),
            outages,
            exchanges,
            stuck: find(Wire::Json, LoadKind::Cooking, 2)
                .map(|site| (site, at(back(config, 3), 6), at(config.today().plus(2), 2))),
            rollover: find(Wire::Json, LoadKind::Cooking, 3)
                .map(|site| (site, at(back(config, 20), 4))),
            mismatches,
        }
    }

    /// Part of its normal use that a customer takes on a date.
    pub(crate) fn load_factor(&self, customer: usize, is_new_plant: bool, date: NaiveDate) -> f64 {
        let mut factor = 1.0;
        for event in &self.load {
            if event.customer == customer && event.from_on <= date && date <= event.to_on {
                factor *= event.factor;
            }
        }
        if is_new_plant {
            let days = (date - self.commissioned_on).num_days();
            factor *= match usize::try_from(days) {
                Ok(days) => RAMP[(days / 30).min(RAMP.len() - 1)],
                Err(_) => 0.0,
            };
        }
        factor
    }

    /// Whether a customer's use ever departs from its class by script.
    pub(crate) fn has_events(&self, customer: usize) -> bool {
        self.load.iter().any(|e| e.customer == customer)
    }

    /// The outage a gateway is in at an instant, if any.
    pub(crate) fn outage_of(&self, channel: &str, at: DateTime<Utc>) -> Option<&Outage> {
        self.outages
            .iter()
            .find(|o| o.channel == channel && o.from_at <= at && at < o.to_at)
    }

    /// What the customers told us.
    pub(crate) fn production_changes(
        &self,
        customers: &[Customer],
        normal_m3: &dyn Fn(usize) -> f64,
    ) -> Vec<ProductionChange> {
        let mut changes: Vec<ProductionChange> = self
            .load
            .iter()
            .filter_map(|event| {
                let kind = if event.factor < 0.2 {
                    ChangeKind::Shutdown
                } else {
                    ChangeKind::Reduce
                };
                Some(ProductionChange {
                    customer: customers[event.customer].id.clone(),
                    kind,
                    from_on: event.from_on,
                    to_on: event.to_on,
                    delta_m3_per_day: ((event.factor - 1.0) * normal_m3(event.customer)).round(),
                    confidence: 0.9,
                    source: "微信".into(),
                    available_at: event.declared_at?,
                })
            })
            .collect();
        changes.sort_by(|a, b| (a.available_at, &a.customer).cmp(&(b.available_at, &b.customer)));
        changes
    }
}

fn load_events(config: &CityConfig, enterprises: usize) -> Vec<LoadEvent> {
    let clock = GasDayClock::default();
    let now = config.now_at;
    let today = config.today();
    let event = |customer: usize, from: GasDay, days: i64, factor, declared_at| LoadEvent {
        customer: customer.min(enterprises.saturating_sub(2)),
        from_on: from.0,
        to_on: from.plus(days - 1).0,
        factor,
        declared_at,
    };
    let past = back(config, 60);
    vec![
        // Declared a week before, in history; and one to come, declared the day before yesterday.
        event(2, past, 10, 0.08, Some(clock.start_of(past.plus(-7)))),
        event(1, today.plus(6), 12, 0.10, Some(now - TimeDelta::days(2))),
        // Not declared: one in history, one from tomorrow on.
        event(6, back(config, 40), 4, 0.10, None),
        event(3, today.plus(1), 3, 0.10, None),
    ]
}
