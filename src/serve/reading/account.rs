//! One customer's days, hours and temperatures.

use std::collections::BTreeMap;

use super::book_failed;
use crate::domain::calendar::GasDay;
use crate::domain::meter::Meter;
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;
use crate::ledger::entry::LedgerEntry;
use crate::serve::api::ledger::{CustomerDay, LedgerDetail, TemperaturePoint};
use crate::serve::figures::weather::StationPoints;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;

/// Completed gas days in a customer's detail.
const DETAIL_DAYS: i64 = 400;

impl AppState {
    /// A customer's days, hours and temperatures beside its row.
    pub(in crate::serve) fn ledger_detail(
        &self,
        row: LedgerEntry,
    ) -> Result<LedgerDetail, ApiProblem> {
        let registry = self.registry();
        let clock = registry.company.gas_day_start_hour;
        let now = self.now();
        let day = clock.day_of(now);
        let first = day.plus(-DETAIL_DAYS);
        let account = row.account_no.clone();
        let mut of_meters = Vec::new();
        for meter in registry.meters_of(&account) {
            let curves: BTreeMap<GasDay, LoadCurve> = self
                .curves_of(&meter.id, first, day)?
                .into_iter()
                .map(|c| (c.day, c))
                .collect();
            of_meters.push((meter, curves));
        }
        let days: Vec<CustomerDay> = (0..DETAIL_DAYS)
            .map(|i| first.plus(i))
            .map(|day| CustomerDay {
                day,
                m3: hours_of(&of_meters, day)
                    .into_iter()
                    .sum::<Option<StdVolume>>()
                    .map(StdVolume::to_f64),
            })
            .collect();
        let station = registry
            .customers
            .get(&account)
            .and_then(|c| registry.zones.get(&c.zone))
            .map(|z| z.weather_station.clone());
        let temperature = match station {
            Some(station) => {
                let points = StationPoints {
                    zones: Vec::new(),
                    observed: self
                        .book()
                        .observed_of(&station, clock.start_of(first), clock.start_of(day), now)
                        .map_err(book_failed)?,
                    station: station.as_str().to_owned(),
                    forecast: Vec::new(),
                };
                days.iter()
                    .filter_map(|d| {
                        Some(TemperaturePoint {
                            mean_c: points.day_mean_c(clock, d.day)?,
                            m3: d.m3?,
                        })
                    })
                    .collect()
            }
            None => Vec::new(),
        };
        Ok(LedgerDetail {
            row,
            yesterday_hours: numbers(&hours_of(&of_meters, day.plus(-1))),
            today_hours: numbers(&hours_of(&of_meters, day)),
            days,
            temperature,
        })
    }
}

/// Hours of a customer on a day over all meters in use then; null where one of them has none.
fn hours_of(
    meters: &[(&Meter, BTreeMap<GasDay, LoadCurve>)],
    day: GasDay,
) -> [Option<StdVolume>; 24] {
    let in_use: Vec<Option<&LoadCurve>> = meters
        .iter()
        .filter(|(meter, _)| meter.is_installed_on(day))
        .map(|(_, curves)| curves.get(&day))
        .collect();
    std::array::from_fn(|hour| {
        if in_use.is_empty() {
            return None;
        }
        in_use
            .iter()
            .map(|curve| {
                let curve = (*curve)?;
                let is_known = curve.quality.get(hour)?.has_volume();
                is_known.then(|| curve.hours.get(hour).copied()).flatten()
            })
            .sum()
    })
}

fn numbers(hours: &[Option<StdVolume>; 24]) -> Vec<Option<f64>> {
    hours.iter().map(|h| h.map(StdVolume::to_f64)).collect()
}
