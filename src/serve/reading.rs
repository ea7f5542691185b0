//! What the views read from journal and book. Everything here blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::DemandDay;
use crate::domain::edit::CurveEdit;
use crate::domain::finding::Finding;
use crate::domain::id::{MeterId, RunId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::domain::text::error_chain;
use crate::ledger::entry::LedgerEntry;
use crate::serve::api::declarations::DeclarationSummary;
use crate::serve::api::forecast::RunSummary;
use crate::serve::api::ledger::{CustomerDay, LedgerDetail, TemperaturePoint};
use crate::serve::documents;
use crate::serve::figures::cells::Cells;
use crate::serve::figures::forecast::{
    Dimension, ForecastFacts, ForecastQuestion, ForecastView, Horizon, QualityRow, forecast_view,
};
use crate::serve::figures::overview::{AlertCounts, Facts, HEATMAP_DAYS, Run, meter_counts};
use crate::serve::figures::today::{Today, today};
use crate::serve::figures::weather::StationPoints;
use crate::serve::live::Notice;
use crate::serve::metrics::{CollectCounts, Moment, WayIn};
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::StoreError;
use crate::store::book::{DocumentKind, Restatement};
use crate::store::influx::{CLOCK_TOLERANCE_S, clock_text};
use crate::store::journal::{EditFilter, FindingFilter, RejectFilter, StoredReject};
use crate::validate::stats::Counts;

/// Completed gas days in a customer's detail.
const DETAIL_DAYS: i64 = 400;

/// Days before today from which a silent meter's hours are taken, first choice first: a meter that
/// reports once a day may not have reported yesterday yet.
const FILL_DAYS_BACK: [i64; 3] = [1, 2, 7];

/// Declarations in the list at most.
const DECLARATIONS_MAX: usize = 120;

/// Restatements looked at for notices.
const RESTATED_MAX: usize = 2000;

/// Alerts looked at for the count of open ones.
const ALERTS_MAX: usize = 1000;

/// What cannot be counted because that part of a file is damaged is 0: the damage itself is counted, and
/// hides nothing else.
fn countable<T: Default>(counted: Result<T, StoreError>) -> Result<T, ApiProblem> {
    match counted {
        Err(StoreError::Damaged { .. }) => Ok(T::default()),
        counted => counted.map_err(journal_failed),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn journal_failed(error: StoreError) -> ApiProblem {
    ApiProblem::store("the journal", &error)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn book_failed(error: StoreError) -> ApiProblem {
    ApiProblem::store("the book", &error)
}

impl AppState {
    /// The latest published run.
    pub(super) fn run_now(&self) -> Result<Option<Arc<Run>>, ApiProblem> {
        let headers = self.book().forecast_runs(1).map_err(book_failed)?;
        match headers.first() {
            Some(header) => self.run_by_id(&header.run_id),
            None => Ok(None),
        }
    }

    fn run_by_id(&self, id: &RunId) -> Result<Option<Arc<Run>>, ApiProblem> {
        self.run(id, || {
            let forecast = self.book().forecast_run(id).map_err(book_failed)?;
            Ok(forecast.map(|f| Run::new(Arc::unwrap_or_clone(f))))
        })
    }

    /// The last run published before yesterday began.
    fn run_before_yesterday(
        &self,
        yesterday_starts: DateTime<Utc>,
    ) -> Result<Option<Arc<Run>>, ApiProblem> {
        let headers = self.book().forecast_runs(500).map_err(book_failed)?;
        match headers
            .iter()
            .find(|h| h.origin_at <= yesterday_starts && h.created_at <= yesterday_starts)
        {
            Some(header) => self.run_by_id(&header.run_id),
            None => Ok(None),
        }
    }

    /// The latest runs, newest first.
    pub(super) fn run_summaries(&self, limit: usize) -> Result<Vec<RunSummary>, ApiProblem> {
        let headers = self.book().forecast_runs(limit).map_err(book_failed)?;
        let ids: Vec<RunId> = headers.into_iter().map(|h| h.run_id).collect();
        self.summaries(&ids, |id| {
            let forecast = self.book().forecast_run(id).map_err(book_failed)?;
            Ok(forecast.map(|f| RunSummary::from(&Run::new(Arc::unwrap_or_clone(f)))))
        })
    }

    /// Curves from which silent meters are filled today.
    fn earlier_curves(&self, day: GasDay) -> Result<Vec<Vec<LoadCurve>>, ApiProblem> {
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
    fn demand(&self, day: GasDay) -> Result<Vec<DemandDay>, ApiProblem> {
        let from = day.month().first_day().min(day.plus(-HEATMAP_DAYS));
        self.book().demand_days(from, day).map_err(book_failed)
    }

    /// Everything the overview is made of.
    pub(super) fn facts(&self, ledger: Arc<Vec<LedgerEntry>>) -> Result<Facts, ApiProblem> {
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
            gates: self.gate_curves(&registry, day)?,
            demand: self.demand(day)?,
            run: self.run_now()?,
            weather: self.weather(&registry, now)?,
            nominated_today: self
                .nomination(day)?
                .and_then(|body| documents::nominated_day(&registry, &body)),
            nominated_tomorrow: self
                .nomination(day.plus(1))?
                .and_then(|body| documents::nominated_day(&registry, &body)),
            heard: self.heard()?,
            rate_per_s: self.rate_per_s(counts.received),
            alerts: self.alerts(&ledger)?,
            counts,
            ledger,
            curves_today,
            registry,
        })
    }

    fn gate_curves(&self, registry: &Registry, day: GasDay) -> Result<Vec<LoadCurve>, ApiProblem> {
        let mut curves = Vec::new();
        for meter in registry.meters.values() {
            if meter.role == MeterRole::Gate {
                curves.extend(self.curves_of(&meter.id, day.month().first_day(), day)?);
            }
        }
        Ok(curves)
    }

    /// Curves of a meter on the gas days from one to another, both included.
    pub(super) fn curves_of(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<LoadCurve>, ApiProblem> {
        self.journal()
            .curves_of(meter, from, to.plus(1))
            .map_err(journal_failed)
    }

    fn heard(&self) -> Result<BTreeMap<MeterId, DateTime<Utc>>, ApiProblem> {
        let latest = countable(self.journal().latest_all())?;
        Ok(latest
            .into_iter()
            .map(|one| (one.meter, one.received_at))
            .collect())
    }

    pub(super) fn weather(
        &self,
        registry: &Registry,
        now: DateTime<Utc>,
    ) -> Result<Vec<StationPoints>, ApiProblem> {
        let stations: BTreeSet<&str> = registry
            .zones
            .values()
            .flat_map(|z| z.weather_station.stations())
            .map(|(station, _)| station)
            .collect();
        stations
            .into_iter()
            .map(|station| {
                let observed = self
                    .book()
                    .observed_known_at(station, now - TimeDelta::hours(48), now, now)
                    .map_err(book_failed)?;
                let forecast = self
                    .book()
                    .latest_forecast_known_at(station, now)
                    .map_err(book_failed)?;
                Ok(StationPoints {
                    station: station.to_owned(),
                    observed,
                    forecast: forecast.map(|v| v.points).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Open alerts: documents of that kind, and what the ledger found.
    fn alerts(&self, ledger: &[LedgerEntry]) -> Result<AlertCounts, ApiProblem> {
        let stored = self
            .book()
            .documents(DocumentKind::Alert, ALERTS_MAX)
            .map_err(book_failed)?;
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

    /// What `/metrics` reads at the moment of a scrape.
    pub(super) fn moment(&self) -> Result<Moment, ApiProblem> {
        let registry = self.registry();
        let now = self.now();
        let meters = meter_counts(&registry, &self.heard()?, now);
        let rejects = countable(self.journal().reject_stats())?;
        let latest = self.book().forecast_runs(1).map_err(book_failed)?;
        let dirty = countable(self.journal().dirty_len())?;
        Ok(Moment {
            counts: CollectCounts {
                received: rejects.counters.received,
                accepted: rejects.counters.accepted,
                conflicts: rejects.counters.conflicts,
                rejected: rejects.counters.rejected,
                duplicates: rejects.counters.duplicate,
                rejected_by_code: rejects.by_code,
                reject_fates: BTreeMap::from([
                    ("waiting", rejects.waiting),
                    ("replayed", rejects.replayed),
                    ("dropped", rejects.dropped),
                    ("purged", rejects.purged),
                ]),
                reject_bytes: Some(rejects.bytes),
                journal_lag_s: None,
                dirty_curves: Some(dirty),
                set_aside: self.journal().set_aside_len().map_err(journal_failed)?,
                damaged: (self.journal().damage_seen().len() + self.book().damage_seen().len())
                    as u64,
            },
            meters: Some((meters.expected, meters.reporting)),
            coverage_ratio: (meters.expected > 0)
                .then(|| meters.reporting as f64 / meters.expected as f64),
            forecast_age_s: latest
                .first()
                .map(|run| (now - run.origin_at).as_seconds_f64()),
            ways_in: self.ways_in(),
        })
    }

    /// What the rules found.
    pub(super) fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, ApiProblem> {
        self.journal().findings(filter).map_err(journal_failed)
    }

    /// How often each rule found something.
    pub(super) fn finding_counts(&self, from: GasDay, to: GasDay) -> Result<Counts, ApiProblem> {
        self.journal()
            .finding_counts(from, to)
            .map_err(journal_failed)
    }

    fn ways_in(&self) -> Vec<WayIn> {
        let health = self.collection();
        let brokers: Vec<_> = health.brokers.iter().map(|b| b.health.snapshot()).collect();
        let gateways = health.modbus.snapshot();
        let mut ways = vec![
            WayIn {
                kind: "broker",
                expected: brokers.len() as u64,
                connected: brokers.iter().filter(|b| b.is_connected).count() as u64,
                failures: brokers.iter().map(|b| b.sessions_lost).sum(),
            },
            WayIn {
                kind: "gateway",
                expected: gateways.len() as u64,
                connected: gateways.iter().filter(|g| g.is_connected).count() as u64,
                failures: gateways.iter().map(|g| g.errors).sum(),
            },
        ];
        if let Some(listener) = &health.listener {
            let now = listener.snapshot();
            ways.push(WayIn {
                kind: "listener",
                expected: 0,
                connected: now.connected,
                failures: now.refused,
            });
        }
        ways
    }

    /// Rejected frames.
    pub(super) fn rejects(&self, filter: &RejectFilter) -> Result<Vec<StoredReject>, ApiProblem> {
        self.journal().rejects(filter).map_err(journal_failed)
    }

    fn today_and_history(
        &self,
        registry: &Registry,
        now: DateTime<Utc>,
    ) -> Result<(Today, Cells), ApiProblem> {
        let day = registry.company.gas_day_start_hour.day_of(now);
        let journal = self.journal();
        let curves = journal.curves_on(day).map_err(journal_failed)?;
        let earlier = self.earlier_curves(day)?;
        let history = Cells::of_demand(&self.demand(day)?, registry);
        Ok((today(registry, day, now, &curves, &earlier), history))
    }

    /// The forecast page; none if `key` is no member of the dimension.
    pub(super) fn forecast_view(
        &self,
        run: &Run,
        horizon: Horizon,
        by: Dimension,
        key: Option<&str>,
    ) -> Result<Option<ForecastView>, ApiProblem> {
        let now = self.now();
        let registry = self.registry();
        let (today, history) = self.today_and_history(&registry, now)?;
        let yesterday_starts = registry
            .company
            .gas_day_start_hour
            .start_of(today.day.plus(-1));
        let before = self.run_before_yesterday(yesterday_starts)?;
        let quality = self.quality()?;
        let facts = ForecastFacts {
            now,
            registry: &registry,
            run,
            history: &history,
            today: &today,
            run_before_yesterday: before.as_deref(),
            quality: &quality,
        };
        Ok(forecast_view(&facts, ForecastQuestion { horizon, by, key }))
    }

    /// Lines of the last backtest.
    fn quality(&self) -> Result<Vec<QualityRow>, ApiProblem> {
        let latest = self
            .book()
            .documents(DocumentKind::Backtest, 1)
            .map_err(book_failed)?;
        Ok(latest
            .first()
            .map(|document| documents::quality_rows(&document.body))
            .unwrap_or_default())
    }

    /// The latest version of each month's declaration, latest month first.
    pub(super) fn declarations(&self) -> Result<Vec<DeclarationSummary>, ApiProblem> {
        let mut list: Vec<DeclarationSummary> = self
            .book()
            .documents(DocumentKind::Declaration, DECLARATIONS_MAX)
            .map_err(book_failed)?
            .iter()
            .map(documents::declaration_summary)
            .collect();
        list.sort_by(|a, b| b.month.cmp(&a.month));
        Ok(list)
    }

    /// The latest version of a month's declaration.
    pub(super) fn declaration(&self, month: GasMonth) -> Result<Option<Value>, ApiProblem> {
        self.body(DocumentKind::Declaration, &month.to_string())
    }

    /// The latest version of a gas day's nomination.
    pub(super) fn nomination(&self, day: GasDay) -> Result<Option<Value>, ApiProblem> {
        self.body(DocumentKind::Nomination, &day.to_string())
    }

    fn body(&self, kind: DocumentKind, key: &str) -> Result<Option<Value>, ApiProblem> {
        let document = self.book().document(kind, key).map_err(book_failed)?;
        Ok(document.map(|d| d.body))
    }

    /// Nudges, newest first.
    pub(super) fn nudges(&self, limit: usize) -> Result<Vec<Value>, ApiProblem> {
        let nudges = self
            .book()
            .documents(DocumentKind::Nudge, limit)
            .map_err(book_failed)?;
        Ok(nudges.into_iter().map(|d| d.body).collect())
    }

    /// A customer's days, hours and temperatures beside its row.
    pub(super) fn ledger_detail(&self, row: LedgerEntry) -> Result<LedgerDetail, ApiProblem> {
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
            of_meters.push((GasDay(meter.installed_on), curves));
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

    /// The first gas day of which no curve was dropped, if any ever was.
    pub(super) fn curves_kept_from(&self) -> Result<Option<GasDay>, ApiProblem> {
        self.journal()
            .curves_dropped_before()
            .map_err(journal_failed)
    }

    /// Decisions about hours of curves.
    pub(super) fn edits(&self, filter: &EditFilter) -> Result<Vec<CurveEdit>, ApiProblem> {
        self.journal().edits(filter).map_err(journal_failed)
    }

    /// What late truth restated, last changed first.
    pub(super) fn restatements(&self, limit: usize) -> Result<Vec<Restatement>, ApiProblem> {
        self.book().restatements(limit).map_err(book_failed)
    }

    /// What the stores say happened lately, newest first.
    pub(super) fn notices_now(&self, limit: usize) -> Result<Vec<Notice>, ApiProblem> {
        let mut notices = Vec::new();
        notices.extend(
            self.rejects(&RejectFilter {
                limit,
                ..RejectFilter::default()
            })?
            .iter()
            .map(documents::reject_notice),
        );
        let findings = self
            .journal()
            .findings(&FindingFilter {
                limit,
                ..FindingFilter::default()
            })
            .map_err(journal_failed)?;
        notices.extend(findings.iter().map(documents::finding_notice));
        let restated = self.restatements(RESTATED_MAX)?;
        notices.extend(documents::restatement_notices(&restated));
        let runs = self.book().forecast_runs(limit).map_err(book_failed)?;
        notices.extend(runs.iter().map(documents::run_notice));
        for kind in [
            DocumentKind::Alert,
            DocumentKind::Nudge,
            DocumentKind::Declaration,
            DocumentKind::Nomination,
            DocumentKind::Notice,
        ] {
            let found = self.book().documents(kind, limit).map_err(book_failed)?;
            notices.extend(found.iter().map(documents::document_notice));
        }
        notices.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.cmp(b)));
        notices.truncate(limit);
        Ok(notices)
    }

    /// Why the program cannot do its work at the moment; empty if it can.
    pub(super) fn not_ready(&self) -> Vec<NotReady> {
        let mut reasons = Vec::new();
        // An empty transaction goes through the one writer, so it fails when that has stopped.
        if let Err(error) = self.journal().mark_dirty(Vec::new()) {
            reasons.push(NotReady::new("journal", error.code(), &error_chain(&error)));
        }
        if let Err(error) = self.book().forecast_runs(1) {
            reasons.push(NotReady::new("book", error.code(), &error_chain(&error)));
        }
        if self.registry().meters.is_empty() {
            reasons.push(NotReady::new(
                "registry",
                "registry.no_meters",
                "the registry has no meters; fill meters.csv and customers.csv, `qiliang check` lists what is missing",
            ));
        }
        reasons
    }

    /// What is amiss and keeps nobody from working: a way in, a damaged part of a file, or the second store.
    pub(super) fn warnings(&self) -> Vec<NotReady> {
        let mut warnings = self.collection_warnings();
        for (part, seen) in [
            ("journal", self.journal().damage_seen()),
            ("book", self.book().damage_seen()),
        ] {
            let damaged = seen
                .iter()
                .map(|what| NotReady::new(part, "store.damaged", what));
            warnings.extend(damaged);
        }
        if let Ok(readings @ 1..) = self.journal().set_aside_len() {
            let why = match self.journal().refusal() {
                None => String::new(),
                Some(error) => format!(" (the journal takes nothing at present: {error})"),
            };
            let message = format!(
                "{readings} reading(s) are on disk but cannot be put at their place in the file{why}; \
                 stop the daemon, `qiliang salvage DIR` and `qiliang restore DIR --replace` put them there"
            );
            warnings.push(NotReady::new("journal", "store.set_aside", &message));
        }
        let Some(state) = self.second().map(|second| second.health.state()) else {
            return warnings;
        };
        if let Some((failure, since)) = &state.failure {
            let message = format!("{failure}; since {since}, {} row(s) wait", state.waiting);
            warnings.push(NotReady::new("influx", failure.code(), &message));
        }
        if state.refused > 0 {
            let message = format!(
                "the second store refused {} line(s); `qiliang influx refused` lists them with the reasons",
                state.refused
            );
            warnings.push(NotReady::new("influx", "influx.refused", &message));
        }
        if let Some(ahead_s) = state.ahead_s.filter(|s| s.abs() > CLOCK_TOLERANCE_S) {
            warnings.push(NotReady::new(
                "influx",
                "influx.clock",
                &clock_text(ahead_s),
            ));
        }
        warnings
    }

    /// Brokers and gateways that cannot be reached; what they hold comes later.
    fn collection_warnings(&self) -> Vec<NotReady> {
        let health = self.collection();
        let brokers = health.brokers.iter().filter_map(|broker| {
            let now = broker.health.snapshot();
            (!now.is_connected).then(|| {
                let why = now.last_error.unwrap_or_else(|| "not connected yet".into());
                let message = format!("broker {} ({}): {why}", broker.name, broker.address);
                NotReady::new("collect", "collect.broker_away", &message)
            })
        });
        let gateways = health.modbus.snapshot().into_iter().filter_map(|gateway| {
            let why = gateway.last_error.filter(|_| !gateway.is_connected)?;
            let message = format!("gateway {} ({}): {why}", gateway.gateway, gateway.address);
            Some(NotReady::new("collect", "collect.gateway_away", &message))
        });
        brokers.chain(gateways).collect()
    }
}

/// A part that does not work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct NotReady {
    part: &'static str,
    code: String,
    message: String,
}

impl NotReady {
    fn new(part: &'static str, code: &str, message: &str) -> Self {
        Self {
            part,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Hours of a customer on a day over all meters in use then; null where one of them has none.
fn hours_of(
    meters: &[(GasDay, BTreeMap<GasDay, LoadCurve>)],
    day: GasDay,
) -> [Option<StdVolume>; 24] {
    let in_use: Vec<Option<&LoadCurve>> = meters
        .iter()
        .filter(|(installed_on, _)| *installed_on <= day)
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
