//! The ledger of large consumers, from the stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::calendar::GasDay;
use crate::domain::demand::Band;
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::SettlementTotal;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::Item;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::forecast::customer::{KnownDays, PlanRecord, customer_band};
use crate::forecast::weather::ZoneWeather;
use crate::ledger::entry::{self, LatestTotal, LedgerEntry, LedgerInput};
use crate::ledger::export;
use crate::ledger::{EntryRule, members, members_kept};
use crate::run::app::App;
use crate::run::facts;
use crate::store::book::DocumentKind;
use crate::store::error::StoreError;

/// Gas days of history on the ledger: a year and what compares with it.
const LEDGER_DAYS: i64 = 400;

/// Who is on the ledger and why.
pub type Members = Vec<(CustomerId, String)>;

/// Members as found for one gas day and registry; finding them reads a year of all curves.
#[derive(Debug, Clone, Default)]
pub struct MemberCache(Arc<Mutex<Option<(GasDay, String, Members)>>>);

/// What is known of the large consumers at an instant.
#[derive(Debug)]
pub struct Enterprises {
    /// Registry.
    pub registry: Arc<Registry>,
    /// Who, and why.
    pub members: Members,
    /// Complete days.
    pub daily: BTreeMap<CustomerId, BTreeMap<GasDay, StdVolume>>,
    /// Standard deviations of days that were partly estimated, m³.
    pub deviations: BTreeMap<CustomerId, BTreeMap<GasDay, f64>>,
    /// Weather by zone.
    pub weather: BTreeMap<ZoneId, ZoneWeather>,
    /// Plans of the year and of the weeks to come.
    pub plans: Vec<FiledPlan>,
    /// Production changes.
    pub changes: Vec<ProductionChange>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The gas day under way.
    pub today: GasDay,
}

impl Enterprises {
    /// Gathers it.
    ///
    /// # Errors
    /// What the stores say.
    pub fn gather(app: &App) -> anyhow::Result<Self> {
        let registry = app.registry();
        let now = app.clock.now();
        let today = app.gas_day_clock().day_of(now);
        let members = members_on(app, &registry, today)?;
        let from = today.plus(-LEDGER_DAYS);
        let days = facts::days_of(
            app,
            &registry,
            members.iter().map(|(id, _)| id),
            from,
            today,
        )?;
        let (mut daily, mut deviations) = (BTreeMap::new(), BTreeMap::new());
        for (customer, of) in days {
            deviations.insert(customer.clone(), of.deviations);
            daily.insert(customer, of.volumes);
        }
        let weather = facts::weather_at(app, &registry, now)?;
        let plans = facts::plans_known_at(&app.book, &registry, from, today.plus(62), now)?;
        let changes = facts::changes_known_at(&app.book, &registry, now)?;
        Ok(Self {
            registry,
            members,
            daily,
            deviations,
            weather,
            plans,
            changes,
            now,
            today,
        })
    }

    /// Temperatures of the zone a customer lies in, observed and then forecast.
    pub fn temperatures(&self, customer: &CustomerId) -> BTreeMap<GasDay, f64> {
        self.registry
            .customers
            .get(customer)
            .and_then(|c| self.weather.get(&c.zone))
            .map(facts::temperatures_of)
            .unwrap_or_default()
    }

    /// Volume a customer planned for a day, m³; of several plans the one known last.
    pub fn planned_m3(&self, customer: &CustomerId, day: GasDay) -> Option<f64> {
        self.plans
            .iter()
            .filter(|p| p.customer == *customer && p.day == day)
            .max_by_key(|p| p.available_at)
            .map(|p| p.volume.to_f64())
    }

    /// Past plans of a customer beside what it used: day, planned, used, m³.
    pub fn past_plans(&self, customer: &CustomerId) -> Vec<(GasDay, f64, f64)> {
        let Some(days) = self.daily.get(customer) else {
            return Vec::new();
        };
        let mut planned: BTreeMap<GasDay, &FiledPlan> = BTreeMap::new();
        for plan in self.plans.iter().filter(|p| p.customer == *customer) {
            let kept = planned.entry(plan.day).or_insert(plan);
            if plan.available_at > kept.available_at {
                *kept = plan;
            }
        }
        planned
            .into_iter()
            .filter_map(|(day, plan)| {
                let used = days.get(&day)?.to_f64();
                Some((day, plan.volume.to_f64(), used))
            })
            .collect()
    }

    /// Complete days of a customer, m³, with what is uncertain of them.
    pub fn known_days(&self, customer: &CustomerId) -> Option<KnownDays> {
        let days = self.daily.get(customer)?.iter();
        Some(KnownDays {
            days: days.map(|(day, volume)| (*day, volume.to_f64())).collect(),
            deviations: self.deviations.get(customer).cloned().unwrap_or_default(),
        })
    }

    /// Band of one customer and day; a filed plan, corrected by the customer's bias, comes first.
    pub fn band(&self, app: &App, customer: &CustomerId, day: GasDay) -> Option<Band> {
        let history = self.known_days(customer)?;
        let past = self.past_plans(customer);
        let plan = self.planned_m3(customer, day).map(|planned_m3| PlanRecord {
            planned_m3,
            past: &past,
        });
        customer_band(
            &history,
            &self.temperatures(customer),
            &app.calendar,
            &self.registry.customers.get(customer)?.node(),
            day,
            plan,
        )
    }
}

/// The ledger now.
///
/// # Errors
/// What the stores say.
pub fn entries(app: &App) -> anyhow::Result<Vec<LedgerEntry>> {
    let known = Enterprises::gather(app)?;
    let registry = &known.registry;
    let ids = || known.members.iter().map(|(id, _)| id);
    let hours_yesterday = facts::hours_of(app, registry, ids(), known.today.plus(-1))?;
    let hours_today = facts::hours_of(app, registry, ids(), known.today)?;
    let latest = latest_totals(app, registry, ids())?;
    let forecasts = ids()
        .filter_map(|id| Some((id.clone(), known.band(app, id, known.today)?)))
        .collect();
    let temperatures: BTreeMap<String, BTreeMap<GasDay, f64>> = registry
        .zones
        .values()
        .filter_map(|zone| {
            let weather = known.weather.get(&zone.id)?;
            Some((
                zone.weather_station.as_str().to_owned(),
                facts::temperatures_of(weather),
            ))
        })
        .collect();
    let completeness = completeness_7d(app, registry, ids(), known.today)?;
    Ok(entry::build(LedgerInput {
        registry,
        calendar: &app.calendar,
        now: known.now,
        clock: app.gas_day_clock(),
        members: &known.members,
        daily: &known.daily,
        hours_yesterday: &hours_yesterday,
        hours_today: &hours_today,
        completeness_7d: &completeness,
        latest: &latest,
        temperatures: &temperatures,
        forecasts: &forecasts,
        plans: &known.plans,
        changes: &known.changes,
    }))
}

/// The ledger as a workbook.
///
/// # Errors
/// What the stores or the workbook writer say.
pub fn workbook(app: &App) -> anyhow::Result<Vec<u8>> {
    let entries = entries(app)?;
    let company = &app.registry().company;
    Ok(export::workbook(&entries, app.clock.now(), &company.name)?)
}

/// The workbook for somebody, noted as given out, so that what later restates it can be told.
///
/// # Errors
/// What the stores say, or a workbook that cannot be written.
pub fn export(app: &App, who: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = workbook(app)?;
    let body = serde_json::json!({ "sha256": hex::encode(Sha256::digest(&bytes)) });
    let (now, key) = (app.clock.now(), format!("export {}", app.today()));
    app.book.put_document(
        DocumentKind::Ledger,
        &key,
        body,
        now,
        who,
        "ledger exported",
    )?;
    Ok(bytes)
}

pub(super) fn members_on(app: &App, registry: &Registry, today: GasDay) -> anyhow::Result<Members> {
    let lock = || app.members.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((day, version, members)) = lock().as_ref()
        && *day == today
        && *version == registry.version
    {
        return Ok(members.clone());
    }
    let used = facts::use_between(app, registry, today.plus(-365), today)?;
    let by_rule = members(registry, &used, EntryRule::default());
    let before: Members = app
        .book
        .document(DocumentKind::Ledger, "members")?
        .and_then(|d| serde_json::from_value(d.body).ok())
        .unwrap_or_default();
    let found = members_kept(&before, by_rule, registry);
    *lock() = Some((today, registry.version.clone(), found.clone()));
    Ok(found)
}

/// Writes down who is on the ledger, so that leaving it stays a decision; nothing if unchanged.
///
/// # Errors
/// What the stores say.
pub fn keep_members(app: &App) -> anyhow::Result<()> {
    let registry = app.registry();
    let now = members_on(app, &registry, app.today())?;
    let body = serde_json::to_value(&now)?;
    let before = app.book.document(DocumentKind::Ledger, "members")?;
    if before.is_none_or(|d| d.body != body) {
        app.book.put_document(
            DocumentKind::Ledger,
            "members",
            body,
            app.clock.now(),
            "qiliang",
            "entry rule",
        )?;
    }
    Ok(())
}

fn latest_totals<'a>(
    app: &App,
    registry: &Registry,
    customers: impl Iterator<Item = &'a CustomerId>,
) -> Result<BTreeMap<MeterId, LatestTotal>, StoreError> {
    let mut out = BTreeMap::new();
    for customer in customers {
        for meter in registry.meters_of(customer) {
            let item = match meter.settlement {
                SettlementTotal::Std => Item::TotalStd,
                SettlementTotal::Work => Item::TotalWork,
            };
            let after = app.clock.now() + chrono::TimeDelta::minutes(5);
            if let Some(point) = app.journal.total_before(&meter.id, item, after)? {
                // A working total stands for itself on the ledger only after conversion.
                let total = StdVolume::from_f64(
                    StdVolume::from_units(point.units).to_f64() * meter.fixed_factor,
                );
                let total = if meter.settlement == SettlementTotal::Std {
                    StdVolume::from_units(point.units)
                } else {
                    total
                };
                out.insert(
                    meter.id.clone(),
                    LatestTotal {
                        total,
                        at: point.at,
                    },
                );
            }
        }
    }
    Ok(out)
}

/// Part of the hours of the last seven complete gas days that have a volume.
fn completeness_7d<'a>(
    app: &App,
    registry: &Registry,
    customers: impl Iterator<Item = &'a CustomerId>,
    today: GasDay,
) -> Result<BTreeMap<CustomerId, f64>, StoreError> {
    let mut out = BTreeMap::new();
    for customer in customers {
        let (mut known, mut expected) = (0, 0);
        for meter in registry.meters_of(customer) {
            expected += 7 * 24;
            let curves = app.journal.curves_of(&meter.id, today.plus(-7), today)?;
            known += curves.iter().map(LoadCurve::hours_known).sum::<usize>();
        }
        if expected > 0 {
            out.insert(customer.clone(), known as f64 / f64::from(expected));
        }
    }
    Ok(out)
}
