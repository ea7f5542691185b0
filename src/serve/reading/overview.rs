//! What the overview of the gas day under way is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{countable, in_book, journal_failed};
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandDay;
use crate::domain::id::MeterId;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::ledger::entry::LedgerEntry;
use crate::serve::documents;
use crate::serve::figures::bought::BoughtFacts;
use crate::serve::figures::nominated::NominatedDay;
use crate::serve::figures::overview::{AlertCounts, Facts, HEATMAP_DAYS};
use crate::serve::figures::today::FILL_DAYS_BACK;
use crate::serve::figures::weather::StationPoints;
use crate::serve::metrics::CollectCounts;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::book::DocumentKind;

/// Alerts looked at for the count of open ones.
const ALERTS_MAX: usize = 1000;

impl AppState {
    /// Everything the overview is made of.
    pub(in crate::serve) fn facts(
        &self,
        ledger: Arc<Vec<LedgerEntry>>,
    ) -> Result<Facts, ApiProblem> {
        let now = self.now();
        let registry = self.registry();
        let day = registry.company.gas_day_start_hour.day_of(now);
        let journal = self.journal();
        let curves_today = journal.curves_on(day).map_err(journal_failed)?;
        let counts = self.counts()?;
        Ok(Facts {
            now,
            time_factor: self.time_factor(),
            curves_earlier: self.earlier_curves(day)?,
            bought: self.bought()?,
            demand: self.demand(day)?,
            run: self.run_to_show()?,
            weather: self.weather(&registry, now)?,
            nominated_tomorrow: self.nominated(&registry, day.plus(1))?,
            heard: self.heard()?,
            rate_per_s: self.rate_per_s(counts.received),
            alerts: self.alerts(&ledger)?,
            counts,
            ledger,
            curves_today,
            registry,
        })
    }

    /// Curves from which silent meters are filled today.
    pub(super) fn earlier_curves(&self, day: GasDay) -> Result<Vec<Vec<LoadCurve>>, ApiProblem> {
        FILL_DAYS_BACK
            .iter()
            .map(|back| {
                self.journal()
                    .curves_on(day.plus(-back))
                    .map_err(journal_failed)
            })
            .collect()
    }

    /// Completed days of the month of `day` and of the fortnight before it.
    pub(super) fn demand(&self, day: GasDay) -> Result<Vec<DemandDay>, ApiProblem> {
        let from = day.month().first_day().min(day.plus(-HEATMAP_DAYS));
        in_book(self.book().demand_days(from, day))
    }

    /// What a gas day is nominated with, as sent where it was sent; nothing where the book is damaged.
    pub(in crate::serve) fn nominated(
        &self,
        registry: &Registry,
        day: GasDay,
    ) -> Result<Option<NominatedDay>, ApiProblem> {
        let key = day.to_string();
        let found = in_book(
            self.book()
                .document_in_force(DocumentKind::Nomination, &key),
        )?;
        Ok(found.and_then(|document| NominatedDay::of_document(registry, &document.body)))
    }

    pub(super) fn bought(&self) -> Result<BoughtFacts, ApiProblem> {
        let read = self.actions().bought();
        read.map_err(|error| ApiProblem::store("one of the stores", &error))
    }

    pub(super) fn heard(&self) -> Result<BTreeMap<MeterId, DateTime<Utc>>, ApiProblem> {
        let latest = countable(self.journal().latest_all())?;
        Ok(latest
            .into_iter()
            .map(|one| (one.meter, one.received_at))
            .collect())
    }

    pub(in crate::serve) fn weather(
        &self,
        registry: &Registry,
        now: DateTime<Utc>,
    ) -> Result<Vec<StationPoints>, ApiProblem> {
        let mut stations: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for zone in registry.zones.values() {
            for (station, _) in zone.weather_station.stations() {
                let zones = stations.entry(station).or_default();
                zones.push(zone.name.clone());
            }
        }
        stations
            .into_iter()
            .map(|(station, zones)| {
                let from = now - TimeDelta::hours(48);
                let observed = in_book(self.book().observed_known_at(station, from, now, now))?;
                let forecast = in_book(self.book().latest_forecast_known_at(station, now))?;
                Ok(StationPoints {
                    station: station.to_owned(),
                    zones,
                    observed,
                    forecast: forecast.map(|v| v.points).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Open alerts: documents of that kind, and what the ledger found.
    fn alerts(&self, ledger: &[LedgerEntry]) -> Result<AlertCounts, ApiProblem> {
        let stored = in_book(self.book().documents(DocumentKind::Alert, ALERTS_MAX))?;
        Ok(documents::count_alerts(&stored, ledger))
    }

    fn counts(&self) -> Result<CollectCounts, ApiProblem> {
        let counters = self.journal().counters().map_err(journal_failed)?;
        Ok(CollectCounts {
            received: counters.received,
            accepted: counters.accepted,
            conflicts: counters.conflicts,
            rejected: counters.rejected,
            duplicates: counters.duplicate,
            ..CollectCounts::default()
        })
    }
}
